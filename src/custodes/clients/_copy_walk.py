"""Reading a folder of somebody else's: bounded, without waiting, and without leaving it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

LARGEST: Final = 128 * 1024
"""Bytes of one file."""
LARGEST_TOGETHER: Final = 8 * 1024 * 1024
MOST_FILES: Final = 2000
_MOST_NAMES: Final = 200_000
_DEEPEST: Final = 16
_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_ENTER: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY

Parts: TypeAlias = tuple[str, ...]
Wanted: TypeAlias = Callable[[Parts, bool], str | None]
"""Why an entry (its path, whether it is a folder) is left out; None when it is taken."""


@dataclass(slots=True)
class Walk:
    """What a folder gave.

    Attributes:
        taken: path below the folder to content.
        left: reason and path of what was not taken, sorted by path.
    """

    taken: dict[Parts, bytes] = field(default_factory=dict)
    left: list[tuple[str, Parts]] = field(default_factory=list)
    size: int = 0
    met: int = 0


def walk(root: Path, wanted: Wanted) -> Walk:
    """Read what is wanted of a folder.

    Names are met in the order of their bytes, so that a bound always cuts at the same place. A
    link is followed when it stays inside, and what it leads to is wanted by its own name too.

    Raises:
        OSError: the folder itself cannot be read.
    """
    real = Path(os.path.realpath(root))
    result = Walk()
    fd = os.open(real, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        _folder(real, fd, (), (), wanted, result)
    finally:
        os.close(fd)
    return result


def _folder(
    root: Path, fd: int, shown: Parts, above: tuple[Parts, ...], wanted: Wanted, result: Walk
) -> None:
    """One folder: ``shown`` is its path as the user sees it, ``above`` what it lies in, really."""
    real = above[-1] if above else ()
    names: list[str] = []
    with os.scandir(fd) as entries:
        for entry in entries:
            names.append(entry.name)
            if len(names) > _MOST_NAMES:
                result.left.append((f"more than {_MOST_NAMES:,} names in one folder", shown))
                return
    for name in sorted(names, key=os.fsencode):
        path = (*shown, name)
        result.met += 1
        if result.met > _MOST_NAMES:
            # Folders that link to each other have more paths than names.
            result.left.append((f"more than {_MOST_NAMES:,} names in all", path))
            return
        try:
            why = _entry(root, fd, name, path, real, above, wanted, result)
        except OSError:
            why = "cannot be read"
        if why is not None:
            result.left.append((why, path))


def _entry(
    root: Path,
    fd: int,
    name: str,
    path: Parts,
    real: Parts,
    above: tuple[Parts, ...],
    wanted: Wanted,
    result: Walk,
) -> str | None:
    mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
    if not name.isprintable() or len(name) > 200:
        return "a name that is no plain text"
    if stat.S_ISLNK(mode):
        return _link(root, name, path, above, wanted, result)
    if stat.S_ISDIR(mode):
        why = wanted(path, True)
        if why is not None:
            return why
        if len(path) > _DEEPEST:
            return f"deeper than {_DEEPEST} folders"
        inner = os.open(name, _ENTER, dir_fd=fd)
        try:
            _folder(root, inner, path, (*above, (*real, name)), wanted, result)
        finally:
            os.close(inner)
        return None
    if not stat.S_ISREG(mode):
        return "no regular file"
    why = wanted(path, False)
    return _file(fd, name, path, result) if why is None else why


def _link(
    root: Path,
    name: str,
    path: Parts,
    above: tuple[Parts, ...],
    wanted: Wanted,
    result: Walk,
) -> str | None:
    why = wanted(path, False) and wanted(path, True)
    if why is not None:
        return why
    here = root.joinpath(*(above[-1] if above else ()))
    target = Path(os.path.realpath(here / name))
    if not target.is_relative_to(root) or target == root:
        return "a link that leads out of the folder, or to nothing"
    parts = target.relative_to(root).parts
    if parts in above:
        return "a link in a circle"
    folder = os.open(root, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _ENTER, dir_fd=folder)
            os.close(folder)
            folder = inner
        is_folder = stat.S_ISDIR(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode)
        why = wanted(path, is_folder) or wanted(parts, is_folder)
        if why is not None:
            return why
        if not is_folder:
            return _file(folder, parts[-1], path, result)
        if len(path) > _DEEPEST or len(above) > _DEEPEST:
            return f"deeper than {_DEEPEST} folders"
        inner = os.open(parts[-1], _ENTER, dir_fd=folder)
        try:
            _folder(root, inner, path, (*above, parts), wanted, result)
        finally:
            os.close(inner)
        return None
    finally:
        os.close(folder)


def _file(folder: int, name: str, path: Parts, result: Walk) -> str | None:
    if len(result.taken) >= MOST_FILES:
        return f"more than {MOST_FILES:,} files"
    fd = os.open(name, _READ, dir_fd=folder)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            return "no regular file"
        if info.st_size > LARGEST:
            return f"larger than {LARGEST // 1024} KiB"
        pieces: list[bytes] = []
        left = LARGEST + 1
        while left > 0 and (piece := os.read(fd, left)):
            pieces.append(piece)
            left -= len(piece)
    finally:
        os.close(fd)
    if left <= 0:
        return f"larger than {LARGEST // 1024} KiB"
    content = b"".join(pieces)
    if result.size + len(content) > LARGEST_TOGETHER:
        return f"more than {LARGEST_TOGETHER >> 20} MiB in all"
    result.size += len(content)
    result.taken[path] = content
    return None
