"""The edge to the disk: every call by which the case changes it, in one object.

Tests replace it to make any single call fail, fall short or never happen.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHUNK = 1 << 20


class Disk:
    """The operating system's calls, as they are."""

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def close(self, fd: int) -> None:
        os.close(fd)

    def write(self, fd: int, data: memoryview) -> int:
        return os.write(fd, data)

    def fsync(self, fd: int) -> None:
        os.fsync(fd)

    def fdatasync(self, fd: int) -> None:
        os.fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def mkdir(self, path: Path) -> None:
        os.mkdir(path)

    def write_all(self, fd: int, data: bytes) -> None:
        """Write every byte, however many calls that takes."""
        rest = memoryview(data)
        while rest:
            done = self.write(fd, rest)
            if done <= 0:
                raise OSError(5, "write returned nothing")
            rest = rest[done:]

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.fsync(fd)
        finally:
            self.close(fd)


DISK = Disk()


@contextmanager
def opened_regular(path: Path) -> Iterator[int]:
    """Open a regular file for reading: no link is followed, and a pipe cannot make it wait.

    Raises:
        OSError: when it is missing, unreadable, a symbolic link (ELOOP) or no regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(22, "not a regular file")
        yield fd
    finally:
        os.close(fd)


def hash_fd(fd: int) -> tuple[str, int]:
    """sha256 (hexadecimal) and length of what can be read from ``fd``, from its start."""
    digest = hashlib.sha256()
    size = 0
    while chunk := os.pread(fd, CHUNK, size):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
