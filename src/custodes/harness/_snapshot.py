"""Reading and copying a workspace from the host: no link followed, nothing executed, bounded.

Every step goes by descriptor from the workspace's own folder, so that nothing that an agent puts
in the way, before or while it is read, leads anywhere else.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Literal

from custodes.types import FileState, Sha256, Snapshot, sha256_of, sha256_of_json

LARGEST_TEXT = 256 * 1024
MOST_FILES = 50_000
"""Files and folders."""
MOST_BYTES = 2 << 30
DEEPEST = 150
"""Folders within folders. Each level is held open while what lies below it is read."""
LONGEST_PATH = 3000
"""Bytes: a copy has the same path below a longer one, and the system's limit is 4096."""

_SKIPPED = frozenset(
    (".git/objects", ".git/logs", ".git/index", ".git/ORIG_HEAD", ".git/COMMIT_EDITMSG")
)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK = 1 << 18
_EMPTY = sha256_of(b"")

_Mode = Literal["file", "executable", "symlink", "other"]


class WorkspaceTooLarge(RuntimeError):
    """A workspace has more files, bytes or nested folders than are read."""


class _Place:
    """One entry of a folder, with the descriptor of that folder."""

    __slots__ = ("folder", "info", "name", "path")

    def __init__(self, path: str, folder: int, name: str, info: os.stat_result) -> None:
        self.path = path
        self.folder = folder
        self.name = name
        self.info = info

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.info.st_mode)


def _open(place: _Place, flags: int, *, ended: bool) -> int | None:
    """A descriptor, or None for what cannot be opened or is gone.

    Args:
        ended: nothing runs in the workspace any more: what its owner closed is opened all the
            same. Before that, its modes are the agent's affair.
    """
    try:
        return os.open(place.name, flags, dir_fd=place.folder)
    except PermissionError:
        if not ended:
            return None
    except OSError:
        return None
    try:
        held = os.open(place.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.folder)
    except OSError:
        return None
    try:
        os.chmod(f"/proc/self/fd/{held}", stat.S_IMODE(place.info.st_mode) | stat.S_IRWXU)
        found = os.open(place.name, flags, dir_fd=place.folder)
    except OSError:
        return None
    finally:
        os.close(held)
    return found


class _Reader:
    """Walks one tree, and counts what it meets."""

    def __init__(self, *, ended: bool, leave_out: Callable[[str, _Place], bool]) -> None:
        self._ended = ended
        self._leave_out = leave_out
        self._entries = 0
        self._bytes = 0

    def walk(self, folder: int, path: str = "", depth: int = 0) -> Iterator[_Place]:
        """Everything below a folder; a folder comes before what it holds. Skipped: see there.

        Raises:
            WorkspaceTooLarge: beyond the bounds of this module.
        """
        if depth > DEEPEST:
            raise WorkspaceTooLarge(f"more than {DEEPEST} folders within one another")
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError:
            return
        for name in names:
            below = f"{path}/{name}" if path else name
            if len(os.fsencode(below)) > LONGEST_PATH:
                raise WorkspaceTooLarge(f"a path of more than {LONGEST_PATH} bytes")
            try:
                info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except OSError:  # gone since
                continue
            place = _Place(below, folder, name, info)
            if self._leave_out(path, place):
                continue
            self._entries += 1
            if self._entries > MOST_FILES:
                raise WorkspaceTooLarge(f"more than {MOST_FILES} files and folders")
            yield place
            if not place.is_folder:
                continue
            deeper = _open(place, _FOLDER, ended=self._ended)
            if deeper is not None:
                try:
                    yield from self.walk(deeper, below, depth + 1)
                finally:
                    os.close(deeper)

    def read(self, place: _Place) -> Iterator[bytes] | None:
        """The content of a regular file in pieces, or None for what is none or cannot be read."""
        if not stat.S_ISREG(place.info.st_mode):
            return None
        descriptor = _open(place, _FILE, ended=self._ended)
        if descriptor is None:
            return None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # changed since
            os.close(descriptor)
            return None
        return self._pieces(descriptor)

    def _pieces(self, descriptor: int) -> Iterator[bytes]:
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                self._bytes += len(chunk)
                if self._bytes > MOST_BYTES:
                    raise WorkspaceTooLarge(f"more than {MOST_BYTES} bytes")
                yield chunk

    def state(self, place: _Place, watched: bool) -> FileState | None:
        """The state of one place; None for one that is gone, and for a folder that opens."""
        mode = place.info.st_mode
        if stat.S_ISLNK(mode):
            try:
                target = os.fsencode(os.readlink(place.name, dir_fd=place.folder))
            except OSError:
                return None
            return FileState(mode="symlink", size=len(target), sha256=sha256_of(target))
        if place.is_folder:
            # What is in a folder that cannot be opened is unknown: it must not look like nothing.
            deeper = _open(place, _FOLDER, ended=self._ended)
            if deeper is None:
                return FileState(mode="other", size=0, sha256=_EMPTY)
            os.close(deeper)
            return None
        pieces = self.read(place)
        if pieces is None:
            size = place.info.st_size if stat.S_ISREG(mode) else 0
            return FileState(mode="other", size=size, sha256=_EMPTY)
        digest = hashlib.sha256()
        kept = bytearray()
        size = 0
        for chunk in pieces:
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
        found: _Mode = "executable" if mode & 0o111 else "file"
        return FileState(mode=found, size=size, sha256=Sha256(digest.hexdigest()), text=text)


def _uninteresting(folder: str, place: _Place) -> bool:
    """What every command of git and Python changes, and no oracle asks about."""
    if place.path in _SKIPPED:
        return True
    compiled = folder.rpartition("/")[2] == "__pycache__" and place.name.endswith(".pyc")
    return compiled and stat.S_ISREG(place.info.st_mode)


def _history(folder: str, place: _Place) -> bool:
    return place.name == ".git"


def _shown(path: str) -> str:
    """A path as text. One that is not valid Unicode is escaped and ends in a slash, which no path
    of a file does: no two files are shown alike.
    """
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace") + "/"


@lru_cache(maxsize=64)
def _watching(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) or r"(?!)")


def take_snapshot(
    folder: Path, watched: tuple[str, ...], *, ended: bool = True, without: str | None = None
) -> Snapshot:
    """The state of every file below ``folder``, with the text of those that match ``watched``.

    Left out is what git and Python change by themselves: the object store, logs and index of the
    workspace's own ``.git``, and ``.pyc`` files in ``__pycache__``.

    Args:
        ended: nothing runs in the workspace any more, so that what an agent closed may be opened.
        without: a path below the folder that is left out, with what is in it.

    Raises:
        WorkspaceTooLarge: beyond :data:`MOST_FILES`, :data:`MOST_BYTES` or :data:`DEEPEST`.
    """
    watches = _watching(watched)
    reader = _Reader(
        ended=ended,
        leave_out=lambda above, place: place.path == without or _uninteresting(above, place),
    )
    files: dict[str, FileState] = {}
    root = os.open(folder, _FOLDER)
    try:
        for place in reader.walk(root):
            state = reader.state(place, watches.match(place.path) is not None)
            if state is not None:
                files[_shown(place.path)] = state
    finally:
        os.close(root)
    return Snapshot(files=files)


def tree_digest(folder: Path, below: str) -> Sha256:
    """Digest over the names and contents of the files below ``folder/below``, read while the
    agent may be at work there.

    Raises:
        WorkspaceTooLarge: as for :func:`take_snapshot`.
    """
    reader = _Reader(ended=False, leave_out=_uninteresting)
    states: dict[str, Sha256] = {}
    opened = [os.open(folder, _FOLDER)]
    try:
        path = ""
        for part in Path(below).parts:
            path = f"{path}/{part}" if path else part
            try:
                info = os.stat(part, dir_fd=opened[-1], follow_symlinks=False)
            except OSError:
                return sha256_of_json({})
            place = _Place(path, opened[-1], part, info)
            deeper = _open(place, _FOLDER, ended=False) if place.is_folder else None
            if part == ".." or deeper is None:
                # A link or a file where a folder should be is a state of its own.
                state = reader.state(place, False)
                return sha256_of_json({_shown(path): _EMPTY if state is None else state.sha256})
            opened.append(deeper)
        for place in reader.walk(opened[-1], path):
            state = reader.state(place, False)
            if state is not None:
                states[_shown(place.path)] = state.sha256
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return sha256_of_json(dict(states))


def copy_tree(source: Path, target: Path, *, history: bool = True) -> None:
    """Copy a workspace in which nothing runs: files, links as they are, modes and times.

    Fifos, sockets and what cannot be read are left out.

    Args:
        target: must not exist.
        history: whether ``.git`` comes along.

    Raises:
        WorkspaceTooLarge: as for :func:`take_snapshot`.
        OSError: the disk is full.
    """
    reader = _Reader(ended=True, leave_out=_history if not history else lambda folder, place: False)
    target.mkdir(mode=0o755)
    root = os.open(source, _FOLDER)
    times: list[tuple[str, os.stat_result]] = []
    into = os.fspath(target)
    try:
        for place in reader.walk(root):
            made = f"{into}/{place.path}"
            if place.is_folder:
                os.mkdir(made, 0o755)
                times.append((made, place.info))
            elif stat.S_ISLNK(place.info.st_mode):
                os.symlink(os.readlink(place.name, dir_fd=place.folder), made)
            elif (pieces := reader.read(place)) is not None:
                mode = (stat.S_IMODE(place.info.st_mode) & 0o777) | stat.S_IRUSR | stat.S_IWUSR
                fresh = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
                try:
                    for piece in pieces:
                        _write(fresh, piece)
                    os.utime(fresh, ns=(place.info.st_atime_ns, place.info.st_mtime_ns))
                finally:
                    os.close(fresh)
    finally:
        os.close(root)
    for made, info in reversed(times):
        os.utime(made, ns=(info.st_atime_ns, info.st_mtime_ns))


def lay_over(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a copied workspace, in the place of whatever is there.

    Raises:
        OSError: the disk is full.
    """
    root = os.open(folder, _FOLDER)
    try:
        for path, content in files.items():
            *above, name = Path(path).parts
            here = os.dup(root)
            try:
                for part in above:
                    try:
                        deeper = os.open(part, _FOLDER, dir_fd=here)
                    except OSError:
                        _clear(here, part)
                        os.mkdir(part, 0o755, dir_fd=here)
                        deeper = os.open(part, _FOLDER, dir_fd=here)
                    os.close(here)
                    here = deeper
                _clear(here, name)
                fresh = os.open(
                    name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=here
                )
                try:
                    _write(fresh, content.encode())
                finally:
                    os.close(fresh)
            finally:
                os.close(here)
    finally:
        os.close(root)


def _clear(folder: int, name: str) -> None:
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(info.st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
