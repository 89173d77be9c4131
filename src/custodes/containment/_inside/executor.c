/* First process of the namespace. It forks and reaps, and never sees command data.
 *
 * Descriptor 0 at start is the control socket (SOCK_SEQPACKET). One datagram is one request:
 * an op byte and five descriptors
 *   [0] body (memfd)  [1] stdin  [2] stdout  [3] stderr  [4] status socket (SOCK_SEQPACKET)
 * The body, strings each ended by NUL:
 *   "argc envc nproc fsize as nofile data" cwd argument*argc variable*envc    (a limit of 0: none)
 * Ops: 'X' run argv; 'R' and 'W' open argv[0] and pass the descriptor back; 'L' bind and listen on
 * port argv[0] of 127.0.0.1 and pass the descriptor back; 'Z' stop every other process; 'N' answer
 * that all requests before it were taken up.
 * Status socket, to the host: 'S' 0 0 at once, then 'E' stage errno(i32) | 'F' with a descriptor |
 * 'X' 0 status(i32), then end of file. From the host: any byte, or end of file, ends the command's
 * whole session; its status is then reported after the last of the session has been killed.
 * The body is parsed by the forked child, so that nothing in a request can harm this process. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTORS 5
#define MAX_COMMANDS 512
#define PROCFS 0x9fa0
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define ROUNDS 100

static struct {
  pid_t pid;
  int status; /* -1: the host has gone */
  int rounds; /* looks left for the session that is being ended; 0: it is not */
  char op;
  int over;   /* the leader was reaped, with this result */
  int result;
} table[MAX_COMMANDS];
static int commands;

static void say(int fd, char kind, char stage, int value) {
  char message[6] = {kind, stage};
  int32_t number = value;
  memcpy(message + 2, &number, 4);
  send(fd, message, sizeof message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int pass_descriptor(int to, int fd) {
  char kind = 'F', space[CMSG_SPACE(sizeof(int))];
  struct iovec iov = {&kind, 1};
  struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
                           .msg_controllen = sizeof space};
  memset(space, 0, sizeof space);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof(int));
  return sendmsg(to, &message, MSG_NOSIGNAL);
}

static void fail(int status, char stage) {
  say(status, 'E', stage, errno);
  _exit(127);
}

static void close_from(int first) {
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
  for (int fd = first; fd < 4096; fd++) close(fd);
}

static void limit(int resource, unsigned long long value) {
  if (!value) return;
  struct rlimit wanted = {value, value}, now;
  if (!getrlimit(resource, &now) && now.rlim_max < value) wanted.rlim_cur = wanted.rlim_max = now.rlim_max;
  setrlimit(resource, &wanted);
}

static void child(char op, int *fds) {
  int status = fds[4];
  sigset_t none;
  sigemptyset(&none);
  if (op == 'X') setsid(); /* the others keep the precedence that the host gave to our session */
  for (int i = 1; i < 65; i++) signal(i, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, 0);
  umask(022);

  struct stat about;
  if (fstat(fds[0], &about)) fail(status, 'b');
  char *body = malloc(about.st_size + 2), *end = body + about.st_size;
  if (!body) fail(status, 'b');
  for (off_t got = 0; got < about.st_size;) {
    ssize_t n = pread(fds[0], body + got, about.st_size - got, got);
    if (n <= 0) fail(status, 'b');
    got += n;
  }
  end[0] = end[1] = 0;
  int argc = 0, envc = 0;
  unsigned long long nproc = 0, fsize = 0, as = 0, nofile = 0, data = 0;
  if (sscanf(body, "%d %d %llu %llu %llu %llu %llu", &argc, &envc, &nproc, &fsize, &as, &nofile,
             &data) != 7 || argc < 1 || envc < 0) {
    errno = EINVAL;
    fail(status, 'b');
  }
  char *at = body + strlen(body) + 1, *cwd = at;
  at += strlen(at) + 1;
  char **argv = calloc((size_t)argc + envc + 2, sizeof(char *));
  if (!argv) fail(status, 'b');
  char **env = argv + argc + 1;
  for (int i = 0; i < argc && at < end; i++) { argv[i] = at; at += strlen(at) + 1; }
  for (int i = 0; i < envc && at < end; i++) { env[i] = at; at += strlen(at) + 1; }
  if (!argv[0]) { errno = EINVAL; fail(status, 'b'); }

  if (op == 'X') {
    if (chdir(cwd)) fail(status, 'c');
    /* So that the kernel, short of memory, takes a command before anything of the host. */
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score >= 0 && write(score, "1000", 4) > 0) close(score);
    for (int i = 0; i < 3; i++)
      if (dup2(fds[i + 1], i) < 0) fail(status, 'd'); /* all others are close-on-exec */
    limit(RLIMIT_FSIZE, fsize);
    limit(RLIMIT_AS, as);
    limit(RLIMIT_NOFILE, nofile);
    limit(RLIMIT_DATA, data);
    limit(RLIMIT_NPROC, nproc); /* here and never on process 1: exec must work in a fork bomb */
    environ = env;
    execvp(argv[0], argv);
    fail(status, 'x');
  }

  dup2(status, 3);
  status = 3;
  close_from(4);
  int fd = -1;
  if (op == 'L') {
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[0]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail(status, 's');
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 128)) fail(status, 'l');
  } else {
    /* The path is resolved here, inside, so that no planted link can lead outside. */
    char *path = argv[0];
    if (chdir(cwd)) fail(status, 'c');
    if (op == 'W')
      for (char *q = path + 1; *path && *q; q++)
        if (*q == '/') {
          *q = 0;
          if (mkdir(path, 0755) && errno != EEXIST) fail(status, 'm');
          *q = '/';
        }
    int how = op == 'W' ? O_WRONLY | O_CREAT : O_RDONLY;
    fd = open(path, how | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
    if (fd < 0) fail(status, 'o');
    struct statfs on;
    if (fstat(fd, &about) || fstatfs(fd, &on)) fail(status, 'o');
    if (S_ISDIR(about.st_mode)) { errno = EISDIR; fail(status, 'o'); }
    /* A fifo or a device can block or act; a file of procfs can do anything. */
    if (!S_ISREG(about.st_mode) || on.f_type == PROCFS) { errno = EACCES; fail(status, 'o'); }
    if (op == 'W' && ftruncate(fd, 0)) fail(status, 'o');
  }
  if (pass_descriptor(status, fd) < 0) fail(status, 's');
  _exit(0);
}

/* One look through the process list for sessions that are being ended. Between two looks requests
 * are served: a session that forks all the time must not hold this process up. */
static void end_sessions(void) {
  int wanted = 0;
  for (int i = 0; i < commands; i++) wanted |= table[i].rounds;
  if (!wanted) return;
  static char hit[MAX_COMMANDS];
  memset(hit, 0, sizeof hit);
  DIR *proc = opendir("/proc");
  for (struct dirent *entry; proc && (entry = readdir(proc));) {
    int pid = atoi(entry->d_name);
    if (pid <= 1) continue;
    char name[64], line[512], state;
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ssize_t n = read(fd, line, sizeof line - 1);
    close(fd);
    if (n <= 0) continue;
    line[n] = 0;
    char *after = strrchr(line, ')');
    int parent, group, session;
    if (!after || sscanf(after + 2, "%c %d %d %d", &state, &parent, &group, &session) != 4) continue;
    if (state == 'Z' || state == 'X') continue;
    for (int i = 0; i < commands; i++)
      if (table[i].rounds && table[i].pid == session) {
        kill(pid, SIGKILL);
        hit[i] = 1;
      }
  }
  if (proc) closedir(proc);
  for (int i = 0; i < commands; i++)
    if (table[i].rounds) table[i].rounds = proc && hit[i] ? table[i].rounds - 1 : 0;
}

static void end_session(int i) {
  if (!table[i].over) {
    kill(table[i].pid, SIGKILL); /* it may not have come as far as setsid */
    kill(-table[i].pid, SIGKILL);
  }
  table[i].rounds = ROUNDS;
}

/* Reports commands that are over, and whose session need not be ended any more. */
static void report(void) {
  for (int i = 0; i < commands; i++)
    if (table[i].over && !table[i].rounds) {
      if (table[i].status >= 0) { say(table[i].status, 'X', 0, table[i].result); close(table[i].status); }
      table[i--] = table[--commands];
    }
}

/* Shows "/sbin/init" in the process list, over the space of the arguments and environment. */
static void take_a_plain_name(char **argv) {
  static const char name[] = "/sbin/init";
  char *start = argv[0], *end = start;
  for (char **p = argv; *p; p++) end = *p + strlen(*p) + 1;
  for (char **p = environ; *p; p++) if (*p == end) end = *p + strlen(*p) + 1;
  if (end - start >= (ptrdiff_t)sizeof name) {
    memset(start, 0, end - start);
    memcpy(start, name, sizeof name);
  }
  static char *empty[] = {0};
  environ = empty;
  prctl(PR_SET_NAME, "init");
}

int main(int argc, char **argv) {
  if (argc < 1) return 2;
  prctl(PR_SET_DUMPABLE, 0); /* no ptrace, /proc/1/fd or pidfd_getfd from inside */
  take_a_plain_name(argv);
  int control = 3;
  if (dup2(0, control) != control || fcntl(control, F_SETFD, FD_CLOEXEC)) return 2;
  close_from(4);
  struct rlimit files;
  if (!getrlimit(RLIMIT_NOFILE, &files)) { files.rlim_cur = files.rlim_max; setrlimit(RLIMIT_NOFILE, &files); }
  /* With default dispositions the kernel drops every signal from inside, even KILL and STOP. */
  for (int i = 1; i < 65; i++) signal(i, SIG_DFL);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_SETMASK, &mask, 0);
  int ended = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (ended < 0) return 2;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3; i++) dup2(null, i);
  if (null > 2) close(null);
  if (send(control, "H", 1, MSG_NOSIGNAL) != 1) return 3; /* the host takes our pid from it */

  static struct pollfd polled[MAX_COMMANDS + 2];
  for (;;) {
    int n = commands, ending = 0;
    polled[0] = (struct pollfd){.fd = control, .events = n < MAX_COMMANDS ? POLLIN : 0};
    polled[1] = (struct pollfd){.fd = ended, .events = POLLIN};
    for (int i = 0; i < n; i++) {
      polled[i + 2] = (struct pollfd){.fd = table[i].status, .events = POLLIN};
      ending |= table[i].rounds;
    }
    if (poll(polled, n + 2, ending ? 1 : -1) < 0) {
      if (errno == EINTR) continue;
      return 4;
    }
    for (int i = 0; i < n; i++)
      if (polled[i + 2].revents) {
        char byte;
        ssize_t got = recv(table[i].status, &byte, 1, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        end_session(i);
        if (got <= 0) { close(table[i].status); table[i].status = -1; }
      }
    if (polled[1].revents) {
      struct signalfd_siginfo info;
      while (read(ended, &info, sizeof info) > 0) {}
      int result;
      pid_t pid;
      while ((pid = waitpid(-1, &result, WNOHANG | WUNTRACED)) > 0)
        for (int i = 0; i < commands; i++)
          if (table[i].pid == pid && !table[i].over) {
            if (WIFSTOPPED(result)) { /* what the host has asked for is not the agent's to stop */
              if (table[i].op != 'X') kill(pid, SIGCONT);
              break;
            }
            table[i].over = 1;
            table[i].result = result;
            break;
          }
    }
    end_sessions();
    report(); /* the table moves: polled says nothing about it any more */
    if (polled[0].revents) {
      char op = 0, space[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
      struct iovec iov = {&op, 1};
      struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = space,
                               .msg_controllen = sizeof space};
      ssize_t got = recvmsg(control, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
      if (got < 0) {
        if (errno == EAGAIN || errno == EINTR) continue;
        if (errno == EMFILE || errno == ENFILE || errno == ETOOMANYREFS || errno == ENOMEM || errno == ENOBUFS) {
          usleep(1000);
          continue;
        }
        return 0;
      }
      if (got == 0) return 0; /* the host has gone: with us the kernel ends the namespace */
      int fds[DESCRIPTORS], count = 0;
      struct cmsghdr *header = CMSG_FIRSTHDR(&message);
      if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (count > DESCRIPTORS) count = DESCRIPTORS;
        memcpy(fds, CMSG_DATA(header), count * sizeof(int));
      }
      if (count == DESCRIPTORS && (op == 'Z' || op == 'N')) {
        /* Every process but this one, at once: none can fork past it, as past a list of them. */
        if (op == 'Z') kill(-1, SIGSTOP);
        say(fds[4], 'X', 0, 0);
      } else if (count == DESCRIPTORS) {
        pid_t pid = fork();
        if (pid == 0) child(op, fds);
        if (pid < 0) {
          say(fds[4], 'E', 'f', errno);
          close(fds[4]);
        } else {
          say(fds[4], 'S', 0, 0);
          memset(&table[commands], 0, sizeof table[0]);
          table[commands].pid = pid;
          table[commands].op = op;
          table[commands++].status = fds[4];
        }
        count = DESCRIPTORS - 1; /* the table keeps the status socket */
      }
      for (int i = 0; i < count; i++) close(fds[i]);
    }
  }
}
