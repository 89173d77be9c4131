"""Folders and files that are planted on the host: where everybody can pass, removed, swept."""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from .._processes import namespace_of, start_time
from .._volumes import PREFIX, abandoned, remove_volume, temporary_folders, write_marker

_NAMED: Final = re.compile(r"custodes-(\d+)-(\d+)-(\d+)-[0-9a-f]{24}")

_CLOCK_NS: Final = 20_000_000
"""How far the time of a change may be behind the clock."""

Known = tuple[str, int, int, int, int]
"""A real file: path, device, inode, time of its last change, and when this was looked up (ns)."""


def passable(path: Path) -> bool:
    """Whether any user of the host can pass through a folder and all above it.

    Only then is what keeps an attempt out the place under test, and not a mode bit.
    """
    path = path.resolve()
    try:
        return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))
    except OSError:
        return False


def require_passable(canaries: Path) -> None:
    """Raises ValueError for a folder that canaries cannot be planted in."""
    if not canaries.is_dir():
        raise ValueError(f"expected an existing directory for canaries, found {canaries}")
    if not passable(canaries):
        raise ValueError(
            f"expected a directory for canaries that every user can pass into, found {canaries}: "
            "chmod o+x it and the directories above it, or name another"
        )


def make_folder(within: Path | None = None) -> Path:
    """A fresh folder open to everyone; its parent is a marked volume that a sweep would remove.

    Args:
        within: the existing directory to make it in, whose own files are not touched; None: one
            for temporary files.

    Raises:
        OSError: there is no directory for it that every user can pass into.
    """
    bases = [Path(base) for base in temporary_folders()] if within is None else [within.resolve()]
    for base in bases:
        if not passable(base):
            continue
        try:
            _sweep_volumes(base)
            root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        except OSError:
            continue
        try:
            write_marker(root)
            root.chmod(0o755)
            data = root / "d"  # short: the path of a unix socket may have 107 characters
            data.mkdir()
            data.chmod(0o777)
        except OSError:
            remove_volume(root)
            continue
        return data
    raise OSError("no directory for temporary files that every user can pass into: set TMPDIR")


def remove_folder(folder: Path) -> None:
    """Remove a folder of ``make_folder``."""
    remove_volume(folder.parent)


def _sweep_volumes(base: Path) -> None:
    for entry in os.scandir(base):
        path = Path(entry.path)
        if entry.name.startswith(PREFIX) and abandoned(path):
            remove_volume(path)


def name_in(folder: Path) -> Path:
    """A name that cannot be guessed and tells who made it; removes those whose maker has ended."""
    pid = os.getpid()
    here = re.sub(r"\D", "", namespace_of(pid) or "") or "0"
    for entry in os.scandir(folder):
        found = _NAMED.fullmatch(entry.name)
        if found is None or found[1] != here or start_time(int(found[2])) == int(found[3]):
            continue
        with suppress(OSError):
            if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                os.unlink(entry.path)
    return folder / f"custodes-{here}-{pid}-{start_time(pid) or 0}-{secrets.token_hex(12)}"


def known(paths: list[str]) -> list[Known]:
    """Those of these files and directories that the host has, so that an attempt can tell them."""
    found: list[Known] = []
    for path in dict.fromkeys(paths):
        with suppress(OSError):
            about = os.stat(path)
            now = time.time_ns() - _CLOCK_NS
            found.append((path, about.st_dev, about.st_ino, about.st_ctime_ns, now))
    return found
