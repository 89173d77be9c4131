"""Ends the commands of the bare host: whole sessions, stopped processes included.

Its source text is run by a Python of its own, which reads the number and the start time of each
session's leader. When its input closes, because the place is removed or because the harness was
killed, it kills what these sessions still hold and ends.
"""

from __future__ import annotations

import os
import signal
import sys
import time

_SECONDS = 5.0


def members(leaders: dict[int, int]) -> dict[int, int]:
    """Living processes of these sessions: pids and start times."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        session, start = int(fields[3]), int(fields[19])
        if fields[0] in (b"Z", b"X") or session not in leaders:
            continue
        # A leader that started at another time has taken over the number.
        if start < leaders[session] or (int(name) == session and start != leaders[session]):
            continue
        found[int(name)] = start
    return found


def clear(leaders: dict[int, int]) -> None:
    """Kill what is in these sessions, again until nothing is left."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        left = members(leaders)
        if not left:
            return
        for pid in left:
            try:
                held = os.pidfd_open(pid)
            except OSError:
                continue
            try:
                if pid in members(leaders):
                    signal.pidfd_send_signal(held, signal.SIGKILL)
            except OSError:
                pass
            finally:
                os.close(held)
        time.sleep(0.002)


def watch() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    leaders: dict[int, int] = {}
    for line in sys.stdin:
        pid, _, start = line.partition(" ")
        leaders[int(pid)] = int(start)
    clear(leaders)


if __name__ == "__main__":
    watch()
