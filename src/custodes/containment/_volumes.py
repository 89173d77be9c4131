"""Folders on the host that sandboxes live in: made, owned, marked, removed, swept.

A volume is ``vol-XXXXXXXX`` in a directory for temporary files, with ``data`` (the workspace),
``meta`` (files bound over some of ``/proc``) and ``owner``, which names the process that made it.
The agent reaches ``data`` only.
"""

from __future__ import annotations

import errno
import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ._processes import host_pids, namespace_of, send, start_time
from ._spec import SandboxUnavailable

PREFIX = "vol-"
_MARKER = "owner"
_SCHEMA = "custodes.volume/1"
_NAME = re.compile(r"vol-[a-z0-9_]{8}")
_UNFINISHED_SECONDS = 60.0
_ROOM = 256 * 1024
"""Bytes that must be free for a volume."""


@lru_cache(maxsize=1)
def run_identity() -> tuple[int, int] | None:
    """Uid and gid that sandboxes are launched under, or None for this process's own.

    Root launches under an unused uid: the kernel's uid 0 is exempt from RLIMIT_NPROC, so that a
    fork bomb would be unlimited, and owns the files of the first process in ``/proc``.
    """
    if os.geteuid() != 0:
        return None
    for candidate in range(64321, 64400):
        try:
            pwd.getpwuid(candidate)
        except KeyError:
            return candidate, candidate
    raise SandboxUnavailable("expected an unused uid in 64321..64399, found none; free one of them")


def make_volume() -> Path:
    """A fresh marked volume that the launching uid can reach.

    Raises:
        SandboxUnavailable: no directory for temporary files can be used.
    """
    problems: list[str] = []
    for base in _bases():
        try:
            root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        except OSError as error:
            problems.append(f"{base}: {error.strerror}")
            continue
        try:
            identity = run_identity()
            if identity is not None:
                os.chown(root, -1, identity[1])
                root.chmod(0o710)
            write_marker(root)
            for name in ("data", "meta"):
                (root / name).mkdir(mode=0o755)
            _require_room(root)
            give(root / "data")
        except OSError as error:
            remove_volume(root)
            problems.append(f"{base}: {error.strerror}")
            continue
        return root
    raise SandboxUnavailable(
        "expected a writable directory for temporary files, found none that works "
        f"({'; '.join(problems) or 'none can be reached by the sandbox user'}); set TMPDIR"
    )


def _require_room(folder: Path) -> None:
    """See that what a start writes there finds room: later it would be a half-made sandbox."""
    about = os.statvfs(folder)
    if about.f_blocks and about.f_bavail * about.f_frsize < _ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _bases() -> list[str]:
    return [base for base in temporary_folders() if reachable(Path(base))]


def temporary_folders() -> list[str]:
    """Directories for temporary files, by preference.

    Not ``tempfile.gettempdir()``: when all of them are full it takes the current folder, whose
    path could then be read inside, and where no later sweep would look.
    """
    named = tempfile.tempdir or os.environ.get("TMPDIR") or ""
    return list(dict.fromkeys([*([named] if named.startswith("/") else []), "/tmp", "/var/tmp"]))


def reachable(path: Path) -> bool:
    """Whether the uid that sandboxes are launched under can pass through a path's folders."""
    identity = run_identity()
    if identity is None:
        return os.path.isdir(path)
    path = path.resolve()
    for folder in (path, *path.parents):
        try:
            about = folder.stat()
        except OSError:
            return False
        if about.st_uid == identity[0]:
            needed = stat.S_IXUSR
        elif about.st_gid == identity[1]:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not about.st_mode & needed:
            return False
    return True


def run_identity_uid() -> int:
    """The kernel's uid of everything in the sandbox."""
    identity = run_identity()
    return os.geteuid() if identity is None else identity[0]


def give(path: Path) -> None:
    """Hand one file or folder to the sandbox's uid; links are not followed."""
    identity = run_identity()
    if identity is not None:
        os.chown(path, *identity, follow_symlinks=False)


def give_tree(root: Path, inside: str = ".") -> int:
    """Hand a tree below ``root`` to the sandbox's uid, and count what changed hands.

    Safe while something hostile changes the tree: every step goes by descriptor and follows no
    link. Files with several names are left alone, since another name may lie outside.
    """
    identity = run_identity()
    if identity is None:
        return 0
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(root, flags)
    try:
        parts = [part for part in Path(inside).parts if part != "."]
        if ".." in parts:
            raise ValueError(f"expected a path inside the workspace, found {inside!r}")
        for number, part in enumerate(parts):
            about = os.stat(part, dir_fd=fd, follow_symlinks=False)
            if number == len(parts) - 1 and not stat.S_ISDIR(about.st_mode):
                return _give_at(fd, part, identity)
            deeper = os.open(part, flags, dir_fd=fd)
            os.close(fd)
            fd = deeper
        return _give_below(fd, identity)
    finally:
        os.close(fd)


def _give_below(fd: int, identity: tuple[int, int]) -> int:
    count = 0
    for _, folders, files, folder in os.fwalk(".", dir_fd=fd, follow_symlinks=False):
        about = os.fstat(folder)
        if (about.st_uid, about.st_gid) != identity:
            os.fchown(folder, *identity)
            count += 1
        for name in files:
            count += _give_at(folder, name, identity)
        for name in folders:  # links to folders are listed here and not entered
            with suppress(OSError):
                if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    count += _give_at(folder, name, identity)
    return count


def _give_at(folder: int, name: str, identity: tuple[int, int]) -> int:
    try:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return 0
    try:
        about = os.fstat(fd)
        if (about.st_uid, about.st_gid) == identity:
            return 0
        if about.st_nlink > 1 and not stat.S_ISDIR(about.st_mode):
            return 0
        os.chown(f"/proc/self/fd/{fd}", *identity)
        return 1
    except OSError:
        return 0
    finally:
        os.close(fd)


def remove_volume(root: Path) -> bool:
    """Remove a volume, its marker last: one that is killed meanwhile leaves it to a sweep."""
    with suppress(OSError):
        for entry in os.scandir(root):
            if entry.name != _MARKER:
                remove_tree(Path(entry.path))
    return remove_tree(root)


def remove_tree(path: Path) -> bool:
    """Remove a tree in which nothing runs any more, whatever was left in it; says whether it did.

    Links are not followed.
    """
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        pass
    except (OSError, RecursionError):
        # Folders that even their owner may not enter, or thousands within one another.
        for command in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
            with suppress(OSError):
                subprocess.run([*command, "--", str(path)], capture_output=True, check=False)
    return not os.path.lexists(path)


@lru_cache(maxsize=1)
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def write_marker(root: Path) -> None:
    """Write down in a fresh volume who made it, for a sweep after its maker has ended."""
    pid = os.getpid()
    owner = {
        "schema": _SCHEMA,
        "pid": pid,
        "start": start_time(pid),
        "boot": _boot(),
        "namespace": namespace_of(pid),
    }
    fd = os.open(root / _MARKER, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(owner).encode())  # in one call: all of it is there, or nothing
    finally:
        os.close(fd)


def sweep() -> int:
    """Remove volumes whose maker has ended without doing so; returns how many.

    Only folders that this user owns, with a marker whose process is certainly gone: started in
    this pid namespace since this boot, and now absent or another process under the same pid. And
    empty ones of some age, whose maker did not come as far as the marker.
    """
    removed = 0
    for base in temporary_folders():
        try:
            entries = [e for e in os.scandir(base) if e.name.startswith(PREFIX)]
        except OSError:
            continue
        for entry in entries:
            if abandoned(Path(entry.path)):
                end_strays(Path(entry.path))
                removed += remove_volume(Path(entry.path))
    return removed


def end_strays(root: Path) -> int:
    """Kill the bubblewrap processes of a volume; returns how many there were.

    A maker that is killed within a few microseconds of a start takes the outer bubblewrap with it
    before the inner one has asked to die with its parent. That one waits for ever, and runs
    nothing.
    """
    sign = f"{root}/meta/".encode()
    uid = run_identity_uid()

    def stray(pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
            with open(f"/proc/{pid}/status", "rb") as file:
                status = file.read()
        except OSError:
            return False
        return (
            os.path.basename(arguments[0]) == b"bwrap"
            and any(argument.startswith(sign) for argument in arguments)
            and f"\nUid:\t{uid}\t".encode() in status
        )

    return sum(send(pid, signal.SIGKILL, stray) for pid in host_pids() if stray(pid))


def _unfinished(root: Path, about: os.stat_result) -> bool:
    """Whether its maker ended before the marker was written: there is nothing in it then."""
    return (
        _NAME.fullmatch(root.name) is not None
        and time.time() - about.st_mtime > _UNFINISHED_SECONDS
        and all(
            entry.name == _MARKER and entry.stat(follow_symlinks=False).st_size == 0
            for entry in os.scandir(root)
        )
    )


def abandoned(root: Path) -> bool:
    """Whether a marked volume is ours and its maker has ended, so that a sweep may remove it."""
    try:
        about = os.lstat(root)
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.geteuid():
            return False
        if _unfinished(root, about):
            return True
        marker = os.lstat(root / _MARKER)
        if not stat.S_ISREG(marker.st_mode) or marker.st_uid != os.geteuid():
            return False
        owner = json.loads((root / _MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(owner, dict) or owner.get("schema") != _SCHEMA:
        return False
    pid, start = owner.get("pid"), owner.get("start")
    if not isinstance(pid, int) or not isinstance(start, int) or not _boot():
        return False
    if owner.get("boot") != _boot():
        return True
    if owner.get("namespace") != namespace_of(os.getpid()):
        return False  # its pids mean nothing here
    return start_time(pid) != start
