"""A control group (version 2) of its own for a sandbox, where this process may make one."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio

from ._spec import SandboxUnavailable

ENVIRONMENT: Final = "CUSTODES_CGROUP"
"""Environment variable that names a delegated group to make the groups of sandboxes in."""
_FREEZE_SECONDS: Final = 2.0
_WANTED: Final = ("cpu", "memory", "pids")
"""Controllers to have. With ``cpu`` a sandbox as a whole has one share of the processors, however
many processes and sessions it makes; no limit of it is written."""
_NAME: Final = re.compile(r"unit-(\d+)-\d+")
_NEW_SECONDS: Final = 2.0
_COMMANDS: Final = 520
"""Processes that a group may hold over the sandbox's limit, which RLIMIT_NPROC enforces: so that
the executor can start a command while something inside has used all of it up."""


def delegated_cgroup(named: Path | str | None = None) -> Path | None:
    """A version 2 control group in which this process may make others, else None.

    The one that is named, here or by ``CUSTODES_CGROUP``; else this process's own if it is
    delegated to it, which means that somebody handed it over: it belongs to this ordinary user,
    or systemd has marked it so. Root may write everywhere, which is no permission.

    Raises:
        SandboxUnavailable: a group was named, and cannot be used.
    """
    if named is None:
        named = os.environ.get(ENVIRONMENT) or None
    if named is not None:
        return _named(Path(named))
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
    return folder if _writable(folder) else None


def _named(folder: Path) -> Path:
    real = folder.resolve()
    mounts = [mount for mount, _ in _mounts()]
    if not any(real.is_relative_to(mount) for mount in mounts):
        known = ", ".join(str(mount) for mount in mounts) or "none is mounted"
        raise SandboxUnavailable(
            f"expected a version 2 control group as {ENVIRONMENT}, found {folder}, which lies in "
            f"none ({known}); name a folder below, or unset it"
        )
    if not (real / "cgroup.procs").is_file():
        raise SandboxUnavailable(
            f"expected a control group as {ENVIRONMENT}, found none at {folder}; make it"
        )
    if not _writable(real):
        raise SandboxUnavailable(
            f"expected a control group that uid {os.geteuid()} may write as {ENVIRONMENT}, found "
            f"{folder}; hand it over (chown it and its cgroup.procs)"
        )
    return real


def _writable(folder: Path) -> bool:
    return all(os.access(path, os.W_OK) for path in (folder, folder / "cgroup.procs"))


def _mounts() -> list[tuple[Path, str]]:
    """Where version 2 hierarchies are mounted, and which group of theirs each mount shows."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            root, point = fields.split()[3:5]
            found.append((Path(_unescaped(point)), _unescaped(root)))
    return found


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _own_cgroup() -> Path | None:
    try:
        lines = Path("/proc/self/cgroup").read_text("ascii").splitlines()
        inside = next(line[3:] for line in lines if line.startswith("0::"))
    except (OSError, StopIteration, ValueError):
        return None
    for mount, root in _mounts():
        shown = inside if root == "/" else inside.removeprefix(root)
        if root != "/" and shown == inside:
            continue
        folder = Path(f"{mount}/{shown}")
        if folder.is_dir():
            return folder
    return None


def remove_abandoned(parent: Path) -> int:
    """Remove the empty groups of sandboxes whose host process has ended; returns how many."""
    removed = 0
    for folder in parent.glob("unit-*"):
        found = _NAME.fullmatch(folder.name)
        with suppress(OSError):
            if (
                found is not None
                and not os.path.exists(f"/proc/{found[1]}")
                # The maker may live in another pid namespace, and be about to fill it.
                and time.time() - folder.stat().st_mtime > _NEW_SECONDS
            ):
                folder.rmdir()  # which the kernel refuses while there is anything in it
                removed += 1
    return removed


class Cgroup:
    """One sandbox's control group: its first process was put in before anything else ran.

    Attributes:
        folder: where it is.
        controls: the controllers that bound it: of ``memory`` and ``pids``, those whose limit was
            written.
    """

    def __init__(self, folder: Path, controls: frozenset[str] = frozenset()) -> None:
        self.folder = folder
        self.controls = controls

    @classmethod
    def make(cls, pid: int, *, memory_mb: int = 0, processes: int = 0) -> Cgroup | None:
        """Make a group and move a process into it; None where no group is delegated.

        Args:
            pid: the process.
            memory_mb: limit of its memory, MiB, where the controller is to be had. 0: none.
            processes: limit of its processes and threads, likewise.

        Raises:
            SandboxUnavailable: a group was named, but none could be made in it, or the kernel
                refused a limit. In one that was merely found, None.
        """
        parent = delegated_cgroup()
        if parent is None:
            return None
        try:
            return cls.below(parent, pid, memory_mb, processes)
        except SandboxUnavailable:
            if os.environ.get(ENVIRONMENT):
                raise
            return None

    @classmethod
    def below(cls, parent: Path, pid: int, memory_mb: int, processes: int) -> Cgroup:
        """As ``make``, in a given group."""
        group = cls(parent / f"unit-{os.getpid()}-{pid}")
        try:
            _enable(parent)
            with suppress(OSError):  # of a process that had these pids before us
                group.folder.rmdir()
            group.folder.mkdir()
            limits = {"memory": memory_mb << 20, "pids": processes and processes + _COMMANDS}
            group._bound(limits)
            (group.folder / "cgroup.procs").write_text(f"{pid}\n", "ascii")
        except OSError as error:
            group.remove()
            raise SandboxUnavailable(
                f"expected a control group to be made in {parent}, found: {error}; check the "
                f"delegation, or unset {ENVIRONMENT}"
            ) from error
        return group

    def _bound(self, limits: dict[str, int]) -> None:
        done = set()
        for controller, limit in limits.items():
            path = self.folder / f"{controller}.max"
            if limit and path.exists():
                path.write_text(f"{limit}\n", "ascii")
                done.add(controller)
        if "memory" in done:
            # Without a swap area there is no such file. All of a sandbox goes, or nothing.
            for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
                if (self.folder / name).exists():
                    (self.folder / name).write_text(f"{value}\n", "ascii")
        self.controls = frozenset(done)

    async def freeze(self) -> bool:
        """Freeze, and say whether the kernel confirmed it."""
        try:
            (self.folder / "cgroup.freeze").write_text("1\n", "ascii")
            end = time.monotonic() + _FREEZE_SECONDS
            while time.monotonic() < end:
                if "frozen 1" in self._events():
                    return True
                await anyio.sleep(0.0005)
        except OSError:
            return False
        return False

    async def thaw(self) -> None:
        with suppress(OSError):
            (self.folder / "cgroup.freeze").write_text("0\n", "ascii")

    def kill(self) -> None:
        """Have the kernel kill everything in it at once.

        Raises:
            OSError: it cannot (before Linux 5.14).
        """
        (self.folder / "cgroup.kill").write_text("1\n", "ascii")

    async def emptied(self) -> None:
        """Wait until the kernel says that nothing is left in it."""
        while "populated 0" not in self._events():
            await anyio.sleep(0.0002)

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed it for its memory."""
        try:
            text = (self.folder / "memory.events").read_text("ascii")
        except OSError:
            return False
        counts = dict(line.split() for line in text.splitlines())
        return int(counts.get("oom_kill", 0)) > 0

    def _events(self) -> str:
        return (self.folder / "cgroup.events").read_text("ascii")

    def remove(self) -> None:
        with suppress(OSError):
            self.folder.rmdir()


def _enable(parent: Path) -> None:
    """Hand the controllers that a group has on to those below it.

    The kernel refuses where processes are in the group itself (EBUSY) or where nobody handed over
    its switch. The limits are not there then, and not claimed.
    """
    switch = parent / "cgroup.subtree_control"
    with suppress(OSError):
        has = (parent / "cgroup.controllers").read_text("ascii").split()
        on = switch.read_text("ascii").split()
        wanted = [f"+{name}" for name in _WANTED if name in has and name not in on]
        if wanted:
            switch.write_text(" ".join(wanted) + "\n", "ascii")
