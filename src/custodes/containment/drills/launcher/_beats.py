"""Heartbeats of one launcher run, held open: they are still heard when their folder is removed."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_MOST_FILES = 512
_MOST_MAPS = 8
_MAPPED_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """All heartbeats at one time.

    Attributes:
        sizes: bytes of each file, in the order in which they were found.
        mapped: bytes of each file that is written through memory and never grows.
        last_wall_ns: newest change time, which the kernel writes and no process can set.
    """

    sizes: tuple[int, ...]
    mapped: tuple[bytes, ...]
    last_wall_ns: int | None

    def grew(self, later: Heard) -> bool:
        """Whether any heartbeat beat between this and ``later``."""
        known = len(self.sizes)
        return self.mapped != later.mapped or any(
            size > (self.sizes[index] if index < known else 0)
            for index, size in enumerate(later.sizes)
        )


class HeldBeats:
    """The heartbeat files below a folder; each is held by a descriptor once it was seen.

    Links are not followed and only regular files count.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        status = folder.stat()
        self._identity = (status.st_dev, status.st_ino)
        self._held: dict[tuple[int, int], int] = {}
        self._mapped: dict[str, int] = {}

    @property
    def inodes(self) -> frozenset[tuple[int, int]]:
        """Device and inode of each."""
        return frozenset(self._held)

    @property
    def folder_gone(self) -> bool:
        """Whether the folder is no longer at its place."""
        try:
            status = self.folder.stat()
        except OSError:
            return True
        return (status.st_dev, status.st_ino) != self._identity

    def hear(self) -> Heard:
        """Look at every heartbeat, new ones included."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".beat") and len(self._held) < _MOST_FILES:
                    self._hold(entry.path)
                elif entry.name.endswith(".map") and len(self._mapped) < _MOST_MAPS:
                    self._hold_mapped(entry)
        sizes = []
        last: int | None = None
        for file in self._held.values():
            found = os.fstat(file)
            sizes.append(found.st_size)
            if found.st_size and (last is None or found.st_ctime_ns > last):
                last = found.st_ctime_ns
        mapped = tuple(os.pread(file, _MAPPED_BYTES, 0) for file in self._mapped.values())
        return Heard(sizes=tuple(sizes), mapped=mapped, last_wall_ns=last)

    def _hold(self, path: str) -> None:
        with suppress(OSError):
            status = os.lstat(path)
            if (status.st_dev, status.st_ino) in self._held or not stat.S_ISREG(status.st_mode):
                return
            # Needs no permission to read: the adversary may run as another user.
            file = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            status = os.fstat(file)
            key = (status.st_dev, status.st_ino)
            if key in self._held or not stat.S_ISREG(status.st_mode):
                os.close(file)
            else:
                self._held[key] = file

    def _hold_mapped(self, entry: os.DirEntry[str]) -> None:
        if entry.name in self._mapped or not entry.is_file(follow_symlinks=False):
            return
        with suppress(OSError):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            self._mapped[entry.name] = os.open(entry.path, flags)

    def __enter__(self) -> HeldBeats:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in (*self._held.values(), *self._mapped.values()):
            os.close(file)
        self._held.clear()
        self._mapped.clear()
