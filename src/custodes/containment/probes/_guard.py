"""Stands over one run of a command: nothing that it leaves outlives whoever ordered it.

Its source text is run by a Python of its own. Every orphan below it becomes its child, so that
descent finds even what has a session of its own and an empty environment. When the other end of
its line closes, because the run is over or because the process that ordered it has died, it kills
all of them and ends.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS = 5.0


def parent(pid: int) -> int | None:
    """Pid of the parent of a living process; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] == b"Z" else int(fields[1])


def descendants() -> dict[int, int]:
    """Everything below this process: pids, and those of their parents."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (above := parent(int(name))) is not None:
            children.setdefault(above, []).append(int(name))
    found: dict[int, int] = {}
    waiting = [os.getpid()]
    while waiting:
        above = waiting.pop()
        below = children.get(above, [])
        found.update(dict.fromkeys(below, above))
        waiting += below
    return found


def kill(pid: int, above: int) -> None:
    """Kill the child of a process, and no other that was given its number meanwhile."""
    try:
        held = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if parent(pid) in (above, os.getpid()):
            signal.pidfd_send_signal(held, signal.SIGKILL)
    except OSError:
        pass
    finally:
        os.close(held)


def reap() -> None:
    """Collect what has ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def clear() -> None:
    """Kill everything below, again until nothing is left."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        reap()
        left = descendants()
        if not left:
            return
        for pid, above in left.items():
            kill(pid, above)
        time.sleep(0.002)


def tell(line: int, word: str) -> None:
    """Write to the one who ordered the run, who may be gone."""
    try:
        os.write(line, f"{word}\n".encode())
    except OSError:
        pass


def guard(line: int, argv: list[str]) -> None:
    """Run a command; tell how it ended; wait for the other end of the line to close."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.set_inheritable(line, False)
    try:
        child = subprocess.Popen(
            argv,
            close_fds=False,  # what the launcher left open is inherited: one probe looks for it
            start_new_session=True,
            preexec_fn=lambda: [
                signal.signal(number, signal.SIG_DFL)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            ],
        )
    except OSError as error:
        tell(line, f"no {error.errno}")
        return
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    ended = os.pidfd_open(child.pid)
    waiting = [line, ended]
    while True:
        ready = select.select(waiting, [], [])[0]
        if ended in ready:
            waiting.remove(ended)
            tell(line, f"ended {child.wait()}")
        if line in ready:
            try:
                order = os.read(line, 64)
            except OSError:
                order = b""
            if not order:
                break
            try:
                os.killpg(child.pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
    clear()


if __name__ == "__main__":
    guard(int(sys.argv[1]), sys.argv[2:])
