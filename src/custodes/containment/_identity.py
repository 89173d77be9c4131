"""Which process is meant, though its number may be used again."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Identity = tuple[int, int]
"""Number of a process, and clock ticks between boot and its start."""


def process_identity(pid: int) -> tuple[int, int, str] | None:
    """Process number, start time and state, or None when there is no such process.

    Numbers are used again; a number with its start time (clock ticks since boot) is not.
    """
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = raw[raw.rindex(b")") + 2 :].split()
    return pid, int(fields[19]), fields[0].decode()


def alive(identity: Identity) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    now = process_identity(identity[0])
    return now is not None and now[1] == identity[1] and now[2] not in "ZX"


def identities(pids: Iterable[int]) -> set[Identity]:
    """Of those that run."""
    found = (process_identity(pid) for pid in pids)
    return {(one[0], one[1]) for one in found if one is not None and one[2] not in "ZX"}


def ancestors() -> list[int]:
    """Numbers of the processes that this one descends from, the first of all left out."""
    pids: list[int] = []
    pid = os.getppid()
    while pid > 1:
        pids.append(pid)
        raw = Path(f"/proc/{pid}/stat").read_bytes()
        pid = int(raw[raw.rindex(b")") + 2 :].split()[1])
    return pids
