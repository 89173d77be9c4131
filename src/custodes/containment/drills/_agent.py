"""The scripted adversaries' bodies. This text runs inside a sandbox; it imports nothing of ours.

Started as ``python3 -I -S -c TEXT NAME`` in the workspace. Each process that matters appends a
byte to a file of its own, ``*.beat``, every few milliseconds: its heartbeat. Everything ends by
itself after ``LIFE`` seconds, and no adversary has more than a few dozen processes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

LIFE = 20.0
PAUSE = 0.005
_BORN = time.monotonic()


def beat(name: str, times: int | None = None, pause: float = PAUSE) -> None:
    """Append to the heartbeat until the end of life, or that many times."""
    file = os.open(f"{name}.beat", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    count = 0
    while time.monotonic() - _BORN < LIFE and (times is None or count < times):
        os.write(file, b".")
        count += 1
        time.sleep(pause)
    os.close(file)
    if times is None:
        os._exit(0)


def fork() -> bool:
    """Fork; True in the child."""
    return os.fork() == 0


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
    if fork():
        os.setsid()
        if fork():
            beat("daemon")
        os._exit(0)
    os.wait()
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
        for _ in range(2500):
            os.setsid()
            beat("hopper", times=1)
            if not fork():
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
        file = os.open("table.bin", os.O_WRONLY | os.O_CREAT, 0o644)
        row = os.open("writer.beat", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        offset = 0
        while time.monotonic() - _BORN < LIFE:
            for _ in range(8):
                os.pwrite(file, block, offset)
                offset = (offset + len(block)) % (8 << 20)
            os.write(row, b".")
            time.sleep(0.001)
        os._exit(0)
    beat("main")


def fork_storm() -> None:
    for number in range(40):
        if fork():
            os.setsid()
            beat(f"storm{number:02d}", pause=0.02)
    beat("main")


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
    )
}

if __name__ == "__main__":
    with open("launched.tmp", "w") as launched:
        launched.write(str(os.getpid()))
    os.rename("launched.tmp", "launched")
    BODIES[sys.argv[1]]()
