"""A control group of its own for a sandbox, where this process may make one."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import anyio

_FREEZE_SECONDS = 2.0


def delegated_cgroup() -> Path | None:
    """The version 2 control group of this process if it is delegated to it, else None.

    Delegated means that somebody handed it over: it belongs to this ordinary user, or systemd has
    marked it so. Root may write everywhere, which is no permission.
    """
    folder = _own_cgroup()
    if folder is None:
        return None
    try:
        owner = folder.stat().st_uid
        marked = False
        for name in ("trusted.delegate", "user.delegate"):
            with suppress(OSError):
                marked = marked or os.getxattr(folder, name) == b"1"
    except OSError:
        return None
    if not marked and (owner == 0 or owner != os.geteuid()):
        return None
    wanted = (folder, folder / "cgroup.procs")
    return folder if all(os.access(path, os.W_OK) for path in wanted) else None


def _own_cgroup() -> Path | None:
    try:
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
        inside = next(line[3:] for line in lines if line.startswith("0::"))
        mounts = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    except (OSError, StopIteration, ValueError):
        return None
    for mount in mounts:
        fields, _, kind = mount.partition(" - ")
        if kind.startswith("cgroup2 "):
            folder = Path(fields.split()[4] + inside)
            return folder if folder.is_dir() else None
    return None


class Cgroup:
    """One sandbox's control group: its first process was put in before anything else ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, pid: int) -> Cgroup | None:
        """Make a group and move a process into it; None where that is not possible."""
        parent = delegated_cgroup()
        if parent is None:
            return None
        folder = parent / f"unit-{os.getpid()}-{pid}"
        try:
            folder.mkdir()
            (folder / "cgroup.procs").write_text(f"{pid}\n", "ascii")
        except OSError:
            with suppress(OSError):
                folder.rmdir()
            return None
        return cls(folder)

    async def freeze(self) -> bool:
        """Freeze, and say whether the kernel confirmed it."""
        try:
            (self.folder / "cgroup.freeze").write_text("1\n", "ascii")
            end = time.monotonic() + _FREEZE_SECONDS
            while time.monotonic() < end:
                if "frozen 1" in (self.folder / "cgroup.events").read_text("ascii"):
                    return True
                await anyio.sleep(0.0005)
        except OSError:
            return False
        return False

    async def thaw(self) -> None:
        with suppress(OSError):
            (self.folder / "cgroup.freeze").write_text("0\n", "ascii")

    def remove(self) -> None:
        with suppress(OSError):
            self.folder.rmdir()
