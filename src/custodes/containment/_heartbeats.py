"""Heartbeats: side effects of what is to be stopped, as the host sees them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """State of a heartbeat at one moment.

    Attributes:
        mark: changes whenever there was a side effect since; 0 when there never was one.
        last_wall_ns: the kernel's time of the last side effect, nanoseconds since 1970, or None.
    """

    mark: int
    last_wall_ns: int | None


class Heartbeats(Protocol):
    """Side effects of what is to be stopped, watched by the host."""

    @property
    def interval_ms(self) -> int:
        """Longest pause between two beats while alive."""
        ...

    @property
    def planted(self) -> bool:
        """Whether it beats steadily while alive, so that silence says something."""
        ...

    def sample(self) -> Beat: ...


class FileHeartbeats:
    """Files in one directory of the host that grow at every beat.

    The time of the last beat is the file's change time, which the kernel writes and no process
    can set (modification times can be forged). Links are not followed.

    Args:
        directory: directory on the host.
        suffix: which files count.
        interval_ms: longest pause between two beats.
    """

    planted = True

    def __init__(self, directory: Path, *, suffix: str = ".beat", interval_ms: int = 5) -> None:
        self.directory = directory
        self.suffix = suffix
        self.interval_ms = interval_ms

    def sample(self) -> Beat:
        size = 0
        last: int | None = None
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if not entry.name.endswith(self.suffix):
                    continue
                found = entry.stat(follow_symlinks=False)
                size += found.st_size
                if found.st_size and (last is None or found.st_ctime_ns > last):
                    last = found.st_ctime_ns
        return Beat(mark=size, last_wall_ns=last)


class MappedHeartbeats:
    """Files in one directory whose bytes change at every beat, also through shared memory.

    The kernel notes no time for such a change, so none is known. Links are not followed.

    Args:
        directory: directory on the host.
        suffix: which files count; of each the first 8 bytes.
        interval_ms: longest pause between two beats.
    """

    planted = True

    def __init__(self, directory: Path, *, suffix: str = ".map", interval_ms: int = 5) -> None:
        self.directory = directory
        self.suffix = suffix
        self.interval_ms = interval_ms

    def sample(self) -> Beat:
        mark = 0
        for path in sorted(self.directory.glob(f"*{self.suffix}")):
            file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                mark += int.from_bytes(os.pread(file, 8, 0), "little")
            finally:
                os.close(file)
        return Beat(mark=mark, last_wall_ns=None)


class JointHeartbeats:
    """Several heartbeats as one: it is silent when all of them are."""

    def __init__(self, parts: Sequence[Heartbeats]) -> None:
        self.parts = tuple(parts)
        self.interval_ms = max(part.interval_ms for part in self.parts)
        self.planted = any(part.planted for part in self.parts)

    def sample(self) -> Beat:
        """Raises what a part raises: one that cannot be read is no silence."""
        beats = [part.sample() for part in self.parts]
        times = [beat.last_wall_ns for beat in beats if beat.last_wall_ns is not None]
        return Beat(mark=sum(beat.mark for beat in beats), last_wall_ns=max(times, default=None))


class WorkspaceHeartbeats:
    """Any change below a workspace, for subjects without a planted heartbeat.

    Its silence is weaker evidence: an agent that only computes changes no file.
    """

    planted = False
    interval_ms = 10

    def __init__(self, workspace: Path, *, most_entries: int = 20_000) -> None:
        self.workspace = workspace
        self.most_entries = most_entries

    def sample(self) -> Beat:
        """Raises OSError when the tree is too large to be watched this way."""
        newest = 0
        entries = 0
        for directory, _, files in os.walk(self.workspace, followlinks=False):
            for name in (".", *files):
                entries += 1
                if entries > self.most_entries:
                    raise OSError(f"more than {self.most_entries} entries below the workspace")
                try:
                    found = os.stat(os.path.join(directory, name), follow_symlinks=False)
                except FileNotFoundError:
                    continue
                newest = max(newest, found.st_ctime_ns)
        return Beat(mark=newest, last_wall_ns=newest or None)
