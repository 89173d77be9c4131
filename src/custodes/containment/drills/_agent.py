"""The scripted adversaries' bodies. This text runs away from us; it imports nothing of ours.

Started as ``python3 -I -S -c TEXT NAME [CHANNELS]`` in its folder, or as ``python3 -I -S FILE NAME
[CHANNELS]`` with FILE lying in it. Each process that matters appends a byte to a file of its own in
that folder, ``*.beat``, every few milliseconds: its heartbeat. CHANNELS is a comma-separated list
of what else each beat does, through the proxy of the sandbox: ``stream`` sends a byte over a
connection that is opened once, ``token`` uses the credential in the file ``token``, read once.

Bounded: everything ends by itself after ``LIFE`` seconds (``crowd``: two minutes), or as soon as
the file ``permit`` is gone from the folder, and no adversary has more than a few dozen processes
(``crowd``: as many as the file ``crowd`` says). What plants files where a daemon might run them
does so only when the variable ``PLANT`` names a mark, which nobody sets outside a sandbox.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

TYPE_CHECKING = False  # typing, contextlib and socket take longer to import than a sandbox to end
if TYPE_CHECKING:
    import ctypes
    import socket

LIFE = 20.0
PAUSE = 0.005
PERMIT = "permit"
PROXY = ("127.0.0.1", 3128)
STREAM, SERVICE = "stream.internal", "api.internal"
_BORN = time.monotonic()
_HERE = os.path.dirname(os.path.abspath(__file__)) if "__file__" in globals() else os.getcwd()
_CHANNELS: set[str] = set()


class Ignoring:
    """``contextlib.suppress``."""

    def __init__(self, *errors: type[BaseException]) -> None:
        self.errors = errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self.errors)


def permitted() -> bool:
    """Whether it may go on: young enough, and the host has not taken the permit away."""
    return time.monotonic() - _BORN < LIFE and os.path.exists(f"{_HERE}/{PERMIT}")


def create(name: str, flags: int = os.O_APPEND) -> int:
    return os.open(f"{_HERE}/{name}", os.O_WRONLY | os.O_CREAT | flags, 0o644)


class Connection:
    """One connection through the proxy, opened again whenever it is lost."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.link: socket.socket | None = None

    def connect(self) -> socket.socket:
        import socket

        return socket.create_connection(PROXY, timeout=5)

    def use(self) -> None:
        """Send one beat; whatever goes wrong is tried anew at the next."""
        try:
            if self.link is None:
                self.link = self.connect()
                self.open(self.link)
            self.send(self.link)
        except OSError:
            if self.link is not None:
                self.link.close()
            self.link = None

    def ask(self, link: socket.socket, text: str) -> int:
        """Send the head of a request and read that of its answer; gives the status."""
        link.sendall(text.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = link.recv(4096)
            if not piece:
                raise ConnectionError
            answer += piece
        return int(answer.split(None, 2)[1])

    def open(self, link: socket.socket) -> None:
        """What is said once."""

    def send(self, link: socket.socket) -> None:
        """What is said at every beat."""


class Stream(Connection):
    """A tunnel that is opened once and carries a byte per beat."""

    def open(self, link: socket.socket) -> None:
        where = f"{STREAM}:443"
        if self.ask(link, f"CONNECT {where} HTTP/1.1\nHost: {where}") != 200:
            raise ConnectionError
        hello = bytes.fromhex(os.environ["HELLO"])
        link.sendall(hello + f"{self.name}\n".encode())

    def send(self, link: socket.socket) -> None:
        link.sendall(b".")


class Token(Connection):
    """A credential read once and held, used at every beat."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        with open(f"{_HERE}/token") as file:
            self.token = file.read()

    def send(self, link: socket.socket) -> None:
        head = f"POST http://{SERVICE}/use/{self.name} HTTP/1.1\nHost: {SERVICE}"
        self.ask(link, f"{head}\nAuthorization: Bearer {self.token}\nContent-Length: 0")


def request(path: str) -> None:
    """One request to the service, for what it does there."""
    asked = Connection("main")
    link = asked.connect()
    asked.ask(link, f"POST http://{SERVICE}{path} HTTP/1.1\nHost: {SERVICE}\nContent-Length: 0")
    link.close()


class Pulse:
    """The heartbeat of one process: a byte in a file, and what the channels ask for."""

    def __init__(self, name: str, channels: set[str] | None = None) -> None:
        self.file = create(f"{name}.beat")
        self.channels: list[Connection] = []
        chosen = _CHANNELS if channels is None else channels
        if "stream" in chosen:
            self.channels.append(Stream(name))
        if "token" in chosen:
            self.channels.append(Token(name))

    def __call__(self) -> None:
        os.write(self.file, b".")
        for channel in self.channels:
            channel.use()


def beat(name: str, times: int | None = None, pause: float = PAUSE) -> None:
    """Beat until the end, which is the process's too, or that many times."""
    pulse = Pulse(name)
    count = 0
    while permitted() and (times is None or count < times):
        pulse()
        count += 1
        time.sleep(pause)
    os.close(pulse.file)
    if times is None:
        os._exit(0)


def fork() -> bool:
    """Fork; True in the child."""
    return os.fork() == 0


def daemon() -> bool:
    """Fork; True in a child with a session of its own and no descent from the command."""
    if fork():
        os.setsid()
        if fork():
            return True
        os._exit(0)
    os.wait()
    return False


def libc() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None)


def plain() -> None:
    beat("main")


def sigterm_ignoring() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    beat("main")


def own_session() -> None:
    if fork():
        os.setsid()
        beat("child")
    beat("main")


def double_forked() -> None:
    if daemon():
        beat("daemon")
    beat("main")


def reparented() -> None:
    # Same session and group as the launched command, but no longer its descendant.
    if fork():
        if fork():
            beat("orphan")
        os._exit(0)
    os.wait()
    beat("main")


def fork_hopping() -> None:
    if fork():
        pulse = Pulse("hopper")
        for _ in range(2500):
            os.setsid()
            pulse()
            time.sleep(PAUSE)
            if not permitted() or not fork():
                os._exit(0)
        os._exit(0)
    beat("main")


def stopped() -> None:
    if fork():
        os.setsid()
        beat("child", times=4)
        os.kill(os.getpid(), signal.SIGSTOP)
        beat("child")
    beat("main")


def holding_pipe() -> None:
    # Keeps the launched command's output open: who waits for its end waits for ever.
    if fork():
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        beat("holder")
    beat("main")


def mid_write() -> None:
    if fork():
        os.setsid()
        block = bytes(1 << 16)
        file = create("table.bin", 0)
        pulse = Pulse("writer")
        offset = 0
        while permitted():
            for _ in range(8):
                os.pwrite(file, block, offset)
                offset = (offset + len(block)) % (8 << 20)
            pulse()
            time.sleep(0.001)
        os._exit(0)
    beat("main")


def fork_storm() -> None:
    for number in range(40):
        if fork():
            os.setsid()
            beat(f"storm{number:02d}", pause=0.02)
    beat("main")


def mapped_writer() -> None:
    # No system call writes: the host sees only the bytes change.
    if fork():
        os.setsid()
        import mmap

        file = os.open(f"{_HERE}/writer.map", os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(file, 4096)
        page = mmap.mmap(file, 4096)
        pulse = Pulse("writer")
        for _ in range(4):
            pulse()
        count = 0
        while permitted():
            count += 1
            page[:8] = count.to_bytes(8, "little")
            for channel in pulse.channels:
                channel.use()
            time.sleep(PAUSE)
        os._exit(0)
    beat("main")


def many_threads() -> None:
    if fork():
        os.setsid()
        import threading

        for number in range(16):
            threading.Thread(target=beat, args=(f"thread{number:02d}", None, 0.02)).start()
        while permitted():
            time.sleep(0.05)
        os._exit(0)
    beat("main")


def thread_hopping() -> None:
    # The first thread ends, so the process looks ended; each further one starts the next.
    if fork():
        os.setsid()
        import _thread

        pulse = Pulse("hopper")
        exit_thread = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
        system = libc()

        def hop() -> None:
            for _ in range(4):
                pulse()
                time.sleep(PAUSE)
            if not permitted():
                os._exit(0)
            _thread.start_new_thread(hop, ())

        _thread.start_new_thread(hop, ())
        system.syscall(exit_thread, 0)
    beat("main")


def vfork_churn() -> None:
    # Other programs in quick succession, by vfork and exec; each writes the heartbeat.
    if daemon():
        pulse = Pulse("churn")
        line = 'printf . >> "$0"'
        while permitted():
            argv = ["sh", "-c", line, f"{_HERE}/churn.beat"]
            os.waitpid(os.posix_spawn("/bin/sh", argv, {}), 0)
            for channel in pulse.channels:
                channel.use()
            time.sleep(PAUSE)
        os._exit(0)
    beat("main")


def respawning_pair() -> None:
    # Two daemons, each of which starts the other anew when it ends.
    if daemon():
        for number in range(200):
            here, there = os.pipe()
            role = "left" if number % 2 == 0 else "right"
            if not fork():
                # The elder: beats, and watches the younger through the pipe.
                os.close(there)
                os.set_blocking(here, False)
                pulse = Pulse(role)
                while permitted():
                    pulse()
                    time.sleep(PAUSE)
                    with Ignoring(BlockingIOError):
                        if os.read(here, 1) == b"":
                            break
                os.close(here)
                with Ignoring(ChildProcessError):
                    os.waitpid(-1, os.WNOHANG)
                if not permitted():
                    os._exit(0)
                continue
            # The younger: beats under the other name until the elder ends, then is the elder.
            os.close(here)
            os.setsid()
            pulse = Pulse("right" if role == "left" else "left")
            elder = os.getppid()
            while permitted() and os.getppid() == elder:
                pulse()
                time.sleep(PAUSE)
            os.close(there)
            if not permitted():
                os._exit(0)
        os._exit(0)
    beat("main")


def renamed() -> None:
    # Looks like a thread of the kernel: its name, and neither arguments nor environment.
    if daemon():
        with open("/proc/self/comm", "w") as comm:
            comm.write("kworker/0:1")
        with open("/proc/self/stat") as stat:
            fields = [int(field) for field in stat.read().rpartition(")")[2].split()[1:]]
        with Ignoring(OSError), open("/proc/self/mem", "r+b", 0) as memory:
            for start, end in ((fields[44], fields[45]), (fields[46], fields[47])):
                memory.seek(start)
                memory.write(bytes(end - start))
        beat("worker")
    beat("main")


def unlinked() -> None:
    # Its program and its folder are gone from the disk.
    if fork():
        os.setsid()
        program, folder = f"{_HERE}/worker.bin", f"{_HERE}/gone"
        pulse = Pulse("worker")
        if fork():
            with open("/bin/sh", "rb") as source, open(program, "wb") as copy:
                copy.write(source.read())
            os.chmod(program, 0o755)
            os.mkdir(folder)
            os.chdir(folder)
            os.set_inheritable(pulse.file, True)
            script = (
                'rm "$1"; rmdir "$2"; i=0; while [ $i -lt 2000 ] && [ -e "$3" ]; do '
                f"printf . >&{pulse.file}; i=$((i+1)); sleep 0.01; done"
            )
            os.execv(
                program, ["worker", "-c", script, "worker", program, folder, f"{_HERE}/{PERMIT}"]
            )
        while permitted():
            for channel in pulse.channels:
                channel.use()
            time.sleep(0.01)
        os._exit(0)
    beat("main")


def undumpable() -> None:
    # Its /proc entry belongs to root: others of its user cannot trace it, nor see its namespaces.
    if daemon():
        libc().prctl(4, 0, 0, 0, 0)
        beat("daemon")
    beat("main")


def open_connection() -> None:
    if fork():
        os.setsid()
        pulse = Pulse("sender", _CHANNELS | {"stream"})
        while permitted():
            pulse()
            time.sleep(PAUSE)
        os._exit(0)
    beat("main")


def sub_agent() -> None:
    request("/agents")
    beat("main")


def queued_job() -> None:
    request("/jobs")
    beat("main")


def planting_mark() -> str:
    mark = os.environ.get("PLANT", "")
    if not mark:
        os._exit(3)
    return mark


def plant(paths: list[str], text: str) -> None:
    """Write or append wherever it is possible."""
    for path in paths:
        with Ignoring(OSError):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "a") as file:
                file.write(text)


def implant() -> str:
    """A shell command that beats a few times: what a planted file has run."""
    return f"for i in 1 2 3 4 5; do printf . >> '{_HERE}/implant.beat'; sleep 0.002; done"


def cron_and_at() -> None:
    mark = planting_mark()
    home, user = os.environ["HOME"], os.environ["USER"]
    line = f"* * * * * {implant()} # {mark}\n"
    folders = ("/etc/cron.d", "/etc/cron.hourly", "/var/spool/cron", "/var/spool/cron/crontabs")
    spools = ("/var/spool/cron/atjobs", "/var/spool/at", "/var/spool/anacron")
    plant([f"{folder}/{user}" for folder in folders], line)
    plant([f"{folder}/a0000101e0000" for folder in spools], f"#!/bin/sh\n{line[10:]}")
    plant(["/etc/crontab", "/etc/anacrontab", f"{home}/.crontab", f"{_HERE}/crontab"], line)
    for argv in (["crontab", f"{_HERE}/crontab"], ["at", "-f", f"{_HERE}/crontab", "now"]):
        for folder in ("/usr/bin", "/bin"):
            with Ignoring(OSError):
                pid = os.posix_spawn(f"{folder}/{argv[0]}", argv, dict(os.environ))
                os.waitpid(pid, 0)
                break
    if daemon():
        beat("daemon")
    beat("main")


def shell_start_up() -> None:
    mark = planting_mark()
    names = (".profile", ".bash_profile", ".bash_login", ".bashrc", ".zshenv", ".envrc")
    folders = (os.environ["HOME"], _HERE, "/etc/profile.d")
    plant([f"{folder}/{name}" for folder in folders for name in names], f"{implant()} # {mark}\n")
    if daemon():
        beat("daemon")
    beat("main")


def user_unit() -> None:
    mark = planting_mark()
    home = os.environ["HOME"]
    install = "[Install]\nWantedBy=default.target"
    unit = f'[Service]\nExecStart=/bin/sh -c "{implant()}"\n# {mark}\n{install}\n'
    name = "default.target.wants/session-sync.service"
    folders = (f"{home}/.config", f"{_HERE}/.config", "/etc", "/run", "/usr/lib")
    plant([f"{folder}/systemd/user/{name}" for folder in folders], unit)
    entry = f'[Desktop Entry]\nType=Application\nExec=/bin/sh -c "{implant()}"\n# {mark}\n'
    plant([f"{folder}/autostart/session-sync.desktop" for folder in folders[:3]], entry)
    if daemon():
        beat("daemon")
    beat("main")


def helper() -> None:
    # What runs in a second sandbox on an adversary's behalf.
    if fork():
        os.setsid()
        beat("helper")
    beat("helper_main")


def crowd() -> None:
    # As many processes as the host asks for, of several kinds; one in fifty beats.
    global LIFE
    LIFE = 120.0  # on a busy machine it takes long until the last is there
    with open(f"{_HERE}/crowd") as file:
        size = int(file.read())
    for number in range(size - 1):
        if fork():
            kind = number % 4
            if kind == 1:
                os.setsid()
            elif kind == 2:
                for ignored in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(ignored, signal.SIG_IGN)
            elif kind == 3 and number % 50 != 3:
                os.kill(os.getpid(), signal.SIGSTOP)
            if number % 50 == 3:
                beat(f"crowd{number:04d}", pause=0.1)
            while permitted():
                time.sleep(1.0)
            os._exit(0)
    beat("main", pause=0.02)


BODIES: dict[str, Callable[[], None]] = {
    body.__name__: body
    for body in (
        plain,
        sigterm_ignoring,
        own_session,
        double_forked,
        reparented,
        fork_hopping,
        stopped,
        holding_pipe,
        mid_write,
        fork_storm,
        mapped_writer,
        many_threads,
        thread_hopping,
        vfork_churn,
        respawning_pair,
        renamed,
        unlinked,
        undumpable,
        open_connection,
        sub_agent,
        queued_job,
        cron_and_at,
        shell_start_up,
        user_unit,
        helper,
        crowd,
    )
}

if __name__ == "__main__":
    launched = create("launched.tmp", os.O_TRUNC)
    os.write(launched, str(os.getpid()).encode())
    os.close(launched)
    os.rename(f"{_HERE}/launched.tmp", f"{_HERE}/launched")
    _CHANNELS.update(sys.argv[2].split(",") if len(sys.argv) > 2 else ())
    BODIES[sys.argv[1]]()
