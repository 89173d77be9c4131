"""Reading a workspace from the host: no link followed, nothing executed, bounded."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from custodes.types import FileState, Sha256, Snapshot, sha256_of, sha256_of_json

LARGEST_TEXT = 256 * 1024
MOST_FILES = 50_000
_SKIPPED = (".git/objects", ".git/logs", ".git/index", ".git/ORIG_HEAD", ".git/COMMIT_EDITMSG")


class WorkspaceTooLarge(RuntimeError):
    """A workspace has more files than a snapshot reads."""


def _walk(folder: Path, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    pending = [below] if below else [""]
    while pending:
        here = pending.pop()
        try:
            with os.scandir(folder / here if here else folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        for entry in listed:
            path = f"{here}/{entry.name}" if here else entry.name
            if path in _SKIPPED or "__pycache__" in path:
                continue
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                yield path, entry


def _open_without_following(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _state(path: str, entry: os.DirEntry[str], watched: bool) -> FileState | None:
    try:
        info = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(info.st_mode):
        target = os.fsencode(os.readlink(entry.path))
        return FileState(mode="symlink", size=len(target), sha256=sha256_of(target))
    if not stat.S_ISREG(info.st_mode):
        return FileState(mode="other", size=0, sha256=sha256_of(b""))
    try:
        descriptor = _open_without_following(entry.path)
    except (FileNotFoundError, PermissionError, OSError):
        return FileState(mode="other", size=info.st_size, sha256=sha256_of(b""))
    digest = hashlib.sha256()
    kept = bytearray()
    size = 0
    with os.fdopen(descriptor, "rb") as handle:
        while chunk := handle.read(1 << 18):
            digest.update(chunk)
            size += len(chunk)
            if watched and len(kept) <= LARGEST_TEXT:
                kept += chunk
    text: str | None = None
    if watched and size <= LARGEST_TEXT:
        try:
            text = kept.decode("utf-8")
        except UnicodeDecodeError:
            text = None
    mode = "executable" if info.st_mode & 0o111 else "file"
    return FileState(
        mode="executable" if mode == "executable" else "file",
        size=size,
        sha256=Sha256(digest.hexdigest()),
        text=text,
    )


def take_snapshot(folder: Path, watched: tuple[str, ...]) -> Snapshot:
    """The state of every file below ``folder``, with the text of those that match ``watched``.

    Names that are not valid Unicode are shown with their odd bytes escaped.

    Raises:
        WorkspaceTooLarge: beyond :data:`MOST_FILES` files.
    """
    files: dict[str, FileState] = {}
    for path, entry in _walk(folder):
        if len(files) >= MOST_FILES:
            raise WorkspaceTooLarge(f"more than {MOST_FILES} files in the workspace")
        state = _state(path, entry, any(fnmatch(path, pattern) for pattern in watched))
        if state is not None:
            files[os.fsencode(path).decode("utf-8", "backslashreplace")] = state
    return Snapshot(files=files)


def tree_digest(folder: Path, below: str) -> Sha256:
    """Digest over the names and contents of the files below ``folder/below``."""
    states: Mapping[str, Sha256] = {
        os.fsencode(path).decode("utf-8", "backslashreplace"): state.sha256
        for path, entry in _walk(folder, below)
        if (state := _state(path, entry, False)) is not None
    }
    return sha256_of_json(dict(states))
