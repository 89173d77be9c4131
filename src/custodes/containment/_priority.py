"""Lets the first process of a sandbox, and its host, run soon whatever else wants to run.

The scheduler owes each session of processes (where it groups them by session) and each process its
share of the time: among 500 that never sleep, one that was asked something waits for its turn. From
outside, its turn can be made to come sooner; and many sessions of one sandbox can be made to share
what one of them would get.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
_RESET_ON_FORK: Final = 1
_NICE: Final = -15
FEW: Final = 16
"""Sessions of a sandbox that need not share."""
_STEP: Final = 1.25
"""What one step of the nice value changes the share of the time by."""
_SLICE_NS: Final = 100_000
"""The shortest that the kernel takes (Linux 6.12; ignored before): who asks for little is first."""


@lru_cache(maxsize=1)
def _system_call() -> ctypes._NamedFuncPointer:
    return ctypes.CDLL(None, use_errno=True).syscall


def prefer(pid: int) -> bool:
    """Give a process precedence over what it starts; False where this process may not.

    A short time slice may be asked for by any user; a low nice value only by root.
    """
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None:
        return False
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    # On a fork a negative value becomes 0, which would be a gift where the harness has less.
    nice = _NICE if os.geteuid() == 0 and usual <= 0 else usual
    attributes = struct.pack("=IIQiIQQQ", 48, 0, _RESET_ON_FORK, nice, 0, _SLICE_NS, 0, 0)
    done: int = _system_call()(number, pid, attributes, 0)
    if nice < 0:
        with suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(f"{nice}\n", "ascii")
    return done == 0


def ration(pids: Iterable[int], namespace: str, init_pid: int) -> int:
    """Have the sessions of a sandbox share the processors as one; how many sessions there are.

    Each step goes by a descriptor of the process, so that none of another sandbox or of the host
    is meant. Only root may do so at once for many; for others nothing is done.
    """
    sessions: dict[bytes, int] = {}
    try:
        for pid in pids:
            with suppress(OSError, IndexError):
                folder = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    session = _read(folder, "stat").rpartition(b")")[2].split(None, 4)[3]
                    if (
                        int(session) != init_pid
                        and session not in sessions
                        and os.readlink("ns/pid", dir_fd=folder) == namespace
                    ):
                        sessions[session] = os.dup(folder)
                finally:
                    os.close(folder)
        count = len(sessions)
        nice = 0 if count <= FEW else min(19, round(math.log(count, _STEP)))
        for folder in sessions.values():
            with suppress(OSError):
                if not _read(folder, "autogroup").endswith(b" nice %d\n" % nice):
                    fd = os.open("autogroup", os.O_WRONLY | os.O_CLOEXEC, dir_fd=folder)
                    try:
                        os.write(fd, b"%d\n" % nice)
                    finally:
                        os.close(fd)
        return count
    finally:
        for folder in sessions.values():
            os.close(folder)


def _read(folder: int, name: str) -> bytes:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)
