# It runs inside, alone, as a script: nothing imports it.
# mypy: ignore-errors
"""The executor's twin for hosts without a C compiler: the same protocol, see executor.c."""

import array
import contextlib
import ctypes
import errno
import os
import resource
import select
import signal
import socket
import stat
import struct
import sys

LIMITS = (
    resource.RLIMIT_NPROC,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_AS,
    resource.RLIMIT_NOFILE,
    resource.RLIMIT_DATA,
)
ROUNDS = 100
PROCFS = 0x9FA0
CONTROL = 3
libc = ctypes.CDLL(None, use_errno=True)


def take_a_plain_name():
    """Write "/sbin/init" over the arguments, where the process list reads them."""
    name = b"/sbin/init"
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rsplit(b")", 1)[1].split()
    start, end = int(fields[45]), int(fields[46])
    if 0 < start < end and end - start > len(name):
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, name, len(name))
    libc.prctl(15, b"init", 0, 0, 0)


def on_procfs(fd):
    buffer = ctypes.create_string_buffer(512)
    if libc.fstatfs(fd, buffer):
        raise OSError(ctypes.get_errno(), "fstatfs")
    return struct.unpack_from("l", buffer)[0] == PROCFS


def say(status, kind, stage, value):
    with contextlib.suppress(OSError):
        status.send(kind + stage + struct.pack("i", value), socket.MSG_DONTWAIT)


def child(op, fds):
    status, stage = socket.socket(fileno=fds[4]), b"b"
    try:
        if op == b"X":  # the others keep the precedence that the host gave to our session
            os.setsid()
        os.umask(0o022)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        body = b""
        while chunk := os.pread(fds[0], 1 << 20, len(body)):
            body += chunk
        parts = body.split(b"\0")
        argc, envc, *limits = map(int, parts[0].split())
        argv, env = parts[2 : 2 + argc], parts[2 + argc : 2 + argc + envc]
        stage = b"c"
        if op != b"L":
            os.chdir(parts[1])
        if op == b"X":
            run(argv, env, limits, fds, status)
        stage = b"o"
        descriptor = listen(argv[0]) if op == b"L" else open_file(op, argv[0])
        socket.send_fds(status, [b"F"], [descriptor])
        os._exit(0)
    except OSError as error:
        say(
            status,
            b"E",
            b"x" if op == b"X" and stage == b"c" and error.filename is RUN else stage,
            error.errno or errno.EIO,
        )
    except BaseException:
        say(status, b"E", stage, errno.EIO)
    finally:
        os._exit(127)


RUN = "run"


def run(argv, env, limits, fds, status):
    # Settled before the descriptors move: a lookup after dup2 could not report.
    variables = dict(item.split(b"=", 1) for item in env)
    for number in range(3):
        os.dup2(fds[number + 1], number, True)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "wb", 0) as score:
        score.write(b"1000")  # short of memory, the kernel takes a command before the host
    for kind in (1, 2, 3, 4, 0):
        value = limits[kind]
        if value:
            hard = resource.getrlimit(LIMITS[kind])[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(LIMITS[kind], (value, value))
    try:
        os.execvpe(argv[0], argv, variables)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise OSError(error.errno, "exec", RUN) from None
        os.execve("/bin/sh", [b"sh", *argv], variables)


def listen(port):
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", int(port)))
    server.listen(128)
    return server.detach()


def open_file(op, path):
    if op == b"W" and os.path.dirname(path):
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    how = os.O_WRONLY | os.O_CREAT if op == b"W" else os.O_RDONLY
    descriptor = os.open(path, how | os.O_NONBLOCK | os.O_NOCTTY, 0o644)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "directory")
    if not stat.S_ISREG(mode) or on_procfs(descriptor):
        raise OSError(errno.EACCES, "not a regular file")
    if op == b"W":
        os.ftruncate(descriptor, 0)
    return descriptor


class Command:
    """One that is running, or whose session is being ended."""

    def __init__(self, op, pid, status):
        self.op = op
        self.pid = pid
        self.status = status  # None: the host has gone
        self.rounds = 0  # looks left for the session that is being ended; 0: it is not
        self.result = None  # of the leader, once it was reaped

    def end(self):
        if self.result is None:
            for target in (self.pid, -self.pid):
                with contextlib.suppress(OSError):
                    os.kill(target, signal.SIGKILL)
        self.rounds = ROUNDS


def end_sessions(commands):
    """One look through the process list for sessions that are being ended.

    Between two looks requests are served: one that forks all the time must not hold this up.
    """
    wanted = {command.pid: command for command in commands if command.rounds}
    if not wanted:
        return
    hit = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) <= 1:
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb", 0) as file:
                fields = file.read().rsplit(b")", 1)[1].split(None, 4)
        except (OSError, IndexError):
            continue
        if int(fields[3]) in wanted and fields[0] not in (b"Z", b"X"):
            with contextlib.suppress(OSError):
                os.kill(int(entry), signal.SIGKILL)
            hit.add(int(fields[3]))
    for leader, command in wanted.items():
        command.rounds = command.rounds - 1 if leader in hit else 0


def main():
    take_a_plain_name()
    libc.prctl(4, 0, 0, 0, 0)  # not dumpable: no ptrace, /proc/1/fd or pidfd_getfd from inside
    os.dup2(0, CONTROL, False)
    os.closerange(CONTROL + 1, 4096)
    control = socket.socket(fileno=CONTROL)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for number in range(1, 65):
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    ended, wake = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)
    control.send(b"H")

    commands = []
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(ended, select.POLLIN)
    while True:
        events = dict(poll.poll(1 if any(command.rounds for command in commands) else None))
        for command in commands:
            if command.status is None or command.status.fileno() not in events:
                continue
            try:
                got = command.status.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError:
                got = b""
            command.end()
            if not got:
                forget(poll, command)
        if ended in events:
            with contextlib.suppress(OSError):
                os.read(ended, 4096)
            reap(commands)
        end_sessions(commands)
        for command in commands:
            if command.result is not None and not command.rounds and command.status is not None:
                say(command.status, b"X", b"\0", command.result)
                forget(poll, command)
        commands = [c for c in commands if c.result is None or c.rounds]
        if CONTROL in events:
            accept(control, poll, commands)


def forget(poll, command):
    poll.unregister(command.status)
    command.status.close()
    command.status = None


def reap(commands):
    while True:
        try:
            pid, result = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        except ChildProcessError:
            return
        if not pid:
            return
        for command in commands:
            if command.pid == pid and command.result is None:
                if not os.WIFSTOPPED(result):
                    command.result = result
                elif command.op != b"X":  # what the host has asked for is not the agent's to stop
                    os.kill(pid, signal.SIGCONT)
                break


def accept(control, poll, commands):
    try:
        op, ancillary, _, _ = control.recvmsg(
            1, socket.CMSG_SPACE(20), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
        )
    except BlockingIOError:
        return
    if not op:
        os._exit(0)
    fds = array.array("i")
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) // 4 * 4])
    kept = 5
    if len(fds) == 5 and op in (b"Z", b"N"):
        with contextlib.suppress(ProcessLookupError):  # nobody else is there
            if op == b"Z":
                os.kill(-1, signal.SIGSTOP)
        with socket.socket(fileno=os.dup(fds[4])) as status:
            say(status, b"X", b"\0", 0)
    elif len(fds) == 5:
        try:
            pid = os.fork()
        except OSError as error:
            with socket.socket(fileno=os.dup(fds[4])) as status:
                say(status, b"E", b"f", error.errno)
        else:
            if pid == 0:
                child(op, fds)
            status = socket.socket(fileno=fds[4])
            say(status, b"S", b"\0", 0)
            commands.append(Command(op, pid, status))
            poll.register(status, select.POLLIN)
            kept = 4
    for fd in fds[:kept]:
        os.close(fd)


if __name__ == "__main__":
    sys.tracebacklimit = 0
    main()
