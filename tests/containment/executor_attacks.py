"""Programs that try, from inside, to hold up or break the first process of a sandbox.

Each takes a size as its argument, goes on in the background, and is harmless outside the limits of
the sandbox that it runs in. Used by the tests and by ``benchmarks/executor_under_attack.py``.
"""

from __future__ import annotations

from typing import Final

_DAEMON: Final = """
import array, ctypes, fcntl, mmap, os, resource, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
size = int(sys.argv[1])
if os.fork(): os._exit(0)
os.setsid()
[os.close(n) for n in (0, 1, 2)]
for n in (0, 1, 2): os.open("/dev/null", os.O_RDWR)
def tried(work):
    try: return work()
    except (OSError, ValueError, MemoryError): return None
"""

ATTACKS: Final[dict[str, str]] = {
    "nothing": "",
    "fork bomb": """
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: pass
""",
    "fork bomb of short lives": """
for _ in range(min(size, 8)):
    if os.fork() == 0:
        while True:
            try:
                if os.fork() == 0: os._exit(0)
                os.waitpid(-1, os.WNOHANG)
            except OSError: pass
""",
    "spinners, one session": """
for _ in range(size):
    if tried(os.fork) == 0:
        while True: pass
""",
    "spinners, many sessions": """
for _ in range(size):
    if tried(os.fork) == 0:
        os.setsid()
        while True: pass
""",
    "real-time and niced spinners": """
for _ in range(size):
    if tried(os.fork) == 0:
        os.setsid()
        for policy in (1, 2, 3, 5, 6):
            tried(lambda: os.sched_setscheduler(0, policy, os.sched_param(1)))
        tried(lambda: os.nice(-20))
        while True: os.sched_yield()
""",
    "orphans to reap": """
while True:
    try:
        if os.fork() == 0:
            for _ in range(size):
                if os.fork() == 0: os._exit(0)
            os._exit(0)
        os.wait()
    except OSError: pass
""",
    "output flood": """
for _ in range(min(size, 16)):
    if tried(os.fork) == 0:
        while True: tried(lambda: os.write(1, bytes(1 << 16)))
""",
    "memory": """
for _ in range(min(size, 8)):
    if tried(os.fork) == 0:
        while True:
            block = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for at in range(0, len(block), 4096): block[at] = 1
            block.close()
""",
    "descriptors": """
for _ in range(size):
    if tried(os.fork) == 0:
        while tried(lambda: os.open("/etc/passwd", os.O_RDONLY)) is not None: pass
        time.sleep(1000)
""",
    "sockets with descriptors in flight": """
for _ in range(min(size, 64)):
    if tried(os.fork) == 0:
        kept = []
        def fill():
            while True:
                a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
                kept.extend((a, b))
                a.setblocking(False)
                for _ in range(10): socket.send_fds(a, [b"x"], [b.fileno()] * 100)
        while True:
            tried(fill)
            kept = kept[: len(kept) // 2]
""",
    "file locks": """
file = open("/tmp/locks", "w+b")
for number in range(min(size * 100, 20000)):
    tried(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number * 2))
for _ in range(min(size, 64)):
    if tried(os.fork) == 0:
        file = open("/tmp/locks", "r+b")
        while True: tried(lambda: fcntl.lockf(file, fcntl.LOCK_SH, 0, 0))
time.sleep(1000)
""",
    "inotify": """
for _ in range(min(size, 128)):
    if tried(os.fork) == 0:
        while (fd := libc.inotify_init1(0)) >= 0:
            for root, folders, files in os.walk("/usr"):
                if libc.inotify_add_watch(fd, os.fsencode(root), 0xFFF) < 0: break
        while True:
            tried(lambda: os.close(os.open("/tmp/touched", os.O_WRONLY | os.O_CREAT)))
""",
    "the process list": """
for _ in range(min(size, 32)):
    if tried(os.fork) == 0:
        os.setsid()
        while True:
            for entry in os.listdir("/proc"):
                tried(lambda: open(f"/proc/{entry}/status").read())
                tried(lambda: open(f"/proc/{entry}/smaps").read())
""",
    "signals": """
for _ in range(min(size, 8)):
    if tried(os.fork) == 0:
        while True:
            for number in range(1, 65):
                tried(lambda: os.kill(1, number))
                tried(lambda: signal.pidfd_send_signal(os.pidfd_open(1), number))
                if number not in (9, 19):
                    tried(lambda: libc.syscall(62, 1, number))
""",
}
"""By name; each goes on until the sandbox ends."""


def command(name: str, size: int) -> list[str]:
    """Command line of an attack, for inside."""
    return ["python3", "-c", f"{_DAEMON}\n{ATTACKS[name]}", str(size)]
