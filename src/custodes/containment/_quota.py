"""Memory and disk of sandboxes, watched from outside and bounded by ending the sandbox.

One thread looks after all sandboxes of this process: it works while the event loop is held up, and
sleeps while nothing but first processes is there. What it can and cannot see:

- Memory is what processes have mapped, anonymous and shared, swapped out or not, with pages that
  several of them share counted once, and shared memory that a process holds by a descriptor or,
  where this is root, by a mapping that it never touched. Files of the in-memory file systems are
  bounded by their own size, and count where they are mapped. Not seen are System V segments that
  nobody has attached, what is on its way through a socket, and buffers of the kernel; and, where
  this is not root, what a process holds by descriptor that has made itself unreadable.
- Disk is the blocks of what lies in the workspace, of files with several names once, and of
  deleted files that a process holds, which are seen as far as such memory is. Not seen is what
  lies in a folder that is renamed all the time while the tree is walked, and what is on its way
  through a socket.
- Against what is not seen stands the host's own memory: before it runs out, the sandbox that is
  likeliest to be the cause is ended, and says so.

Between two looks a sandbox can take more than its bound. A control group with a memory controller
has none of these gaps.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ._priority import FEW, ration
from ._processes import host_pids

PERIOD: Final = 0.2
"""Seconds between two looks at memory, while anything runs."""
_WALK_PERIOD: Final = 1.0
_WALK_SHARE: Final = 20
"""A walk of the workspace is followed by a pause of this many times the processor time it took.

Not of its duration: on a machine that was held up, one slow walk would mean a long time unwatched.
"""
MOST_ENTRIES: Final = 200_000
"""Files and folders that a workspace may have: more take too long to count."""
MOST_LEVELS: Final = 200
"""Folders within folders that a workspace may have."""
_MOST_DESCRIPTORS: Final = 20_000
"""Descriptors of a sandbox that are looked at in one pass."""
_MIB: Final = 1 << 20
_LEAST_LEFT: Final = 512 * _MIB
"""Memory that the host keeps, or a twentieth of it where that is less."""
_WEIGHT_OF_ONE: Final = 1 << 18
"""What one descriptor may stand for in buffers; a sandbox with less than this has no part."""


class OverQuota(Exception):
    """More than the bound; the message says what was found and what is allowed."""


@dataclass(slots=True, eq=False, kw_only=True)
class Watch:
    """What is watched of one sandbox. Made by its owner, used by the thread.

    Attributes:
        namespace: name of its pid namespace. init_pid: its first process.
        memory: bound in bytes. disk: likewise, of ``workspace``. 0: none.
        end: called once, on the thread, with one line when a bound is crossed.
    """

    namespace: str
    init_pid: int
    memory: int
    disk: int
    workspace: Path
    end: Callable[[str], None]
    poked: bool = True
    over: bool = field(default=False, init=False)
    _walked: float = field(default=0.0, init=False)
    _walk_took: float = field(default=0.0, init=False)
    _weighed: float = field(default=0.0, init=False)
    _weigh_took: float = field(default=0.0, init=False)
    _listed: float = field(default=0.0, init=False)
    _rationed: bool = field(default=False, init=False)
    _hidden: int = field(default=0, init=False)
    _unnamed: int = field(default=0, init=False)
    _used: int = field(default=0, init=False)
    _free: int = field(default=0, init=False)

    def look(self, pids: Sequence[int], *, busy: bool) -> bool:
        """Compare with the bounds; whether this look counts as the last one if it is not busy.

        Raises:
            OverQuota: one is crossed.
        """
        if os.geteuid() == 0 and (len(pids) > FEW or self._rationed):
            self._rationed = ration(pids, self.namespace, self.init_pid) > FEW
        now = time.monotonic()
        if now - self._listed > _WALK_PERIOD or not busy:
            self._listed = now
            blocks = _held(pids)
            device = _shared_device()
            self._hidden = sum(size for (where, _), size in blocks.items() if where == device)
            device = os.stat(self.workspace).st_dev
            self._unnamed = sum(size for (where, _), size in blocks.items() if where == device)
        if self.memory:
            self._weigh(pids)
        if not self.disk:
            return True
        if not self._walk_due(busy):
            return False
        started = time.thread_time()
        try:
            self._used = allocated(self.workspace) + self._unnamed
            self._free = _free(self.workspace)
        finally:
            self._walked = time.monotonic()
            self._walk_took = time.thread_time() - started
        if self._used > self.disk:
            raise OverQuota(f"disk: {_of(self._used, self.disk)}")
        return True

    def _weigh(self, pids: Sequence[int]) -> None:
        if sum(_resident(pid) for pid in pids) + self._hidden <= self.memory:
            return
        now = time.monotonic()
        if now - self._weighed < self._weigh_took * 10:
            return
        started = time.thread_time()
        private = shared = 0
        for pid in pids:  # pages of forked workers are counted once
            mine, others = _share(pid)
            private += mine
            shared += others
        self._weighed = time.monotonic()
        self._weigh_took = time.thread_time() - started
        used = private + max(shared, self._hidden)  # a memfd may be mapped as well
        if used > self.memory:
            raise OverQuota(f"memory: {_of(used, self.memory)}")

    def _walk_due(self, busy: bool) -> bool:
        since = time.monotonic() - self._walked
        if since > max(_WALK_PERIOD, self._walk_took * _WALK_SHARE):
            return True
        if since < self._walk_took * 5:
            return False
        # Sooner when all is quiet, or when what the file system has lost could be ours.
        return not busy or self._used + self._free - _free(self.workspace) > self.disk


def _of(used: int, bound: int) -> str:
    return f"{-(-used // _MIB)} MiB of {bound // _MIB} MiB"


def _free(folder: Path) -> int:
    about = os.statvfs(folder)
    return about.f_bfree * about.f_frsize


# ---------------------------------------------------------------------- memory


def _numbers(pid: int, name: str, keys: tuple[bytes, ...]) -> int:
    """Sum of some fields of a file in ``/proc/PID``, in bytes; 0 for a process that has ended."""
    try:
        with open(f"/proc/{pid}/{name}", "rb", 0) as file:
            text = file.read()
    except OSError:
        return 0
    total = 0
    for key in keys:
        at = text.find(key)
        if at >= 0:
            total += int(text[at + len(key) : text.index(b"k", at + len(key))])
    return total << 10


def _resident(pid: int) -> int:
    return _numbers(pid, "status", (b"\nRssAnon:", b"\nRssShmem:", b"\nVmSwap:"))


def _share(pid: int) -> tuple[int, int]:
    """A process's share of private and of shared memory: pages of several count in parts."""
    private = _numbers(pid, "smaps_rollup", (b"\nPss_Anon:", b"\nSwapPss:"))
    if private == 0:  # may not be read
        return _resident(pid), 0
    return private, _numbers(pid, "smaps_rollup", (b"\nPss_Shmem:",))


# ---------------------------------------------------------------------- descriptors


def _held(pids: Iterable[int]) -> dict[tuple[int, int], int]:
    """Files without a name that processes hold: allocated bytes by device and inode."""
    blocks: dict[tuple[int, int], int] = {}
    left = _MOST_DESCRIPTORS
    for pid in pids:
        for path in (*_descriptors(pid, left), *_deleted_mappings(pid)):
            left -= 1
            with suppress(OSError):
                about = os.stat(path)
                if stat.S_ISREG(about.st_mode) and about.st_nlink == 0:
                    blocks[about.st_dev, about.st_ino] = about.st_blocks * 512
    return blocks


def _descriptors(pid: int, most: int) -> list[str]:
    with suppress(OSError):
        return [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")[: max(0, most)]]
    return []


def _deleted_mappings(pid: int) -> list[str]:
    """What a process has mapped and nobody can open, shared memory too. Only root may follow."""
    if os.geteuid() != 0:
        return []
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            text = file.read()
    except OSError:
        return []
    if b"(deleted)" not in text:
        return []
    ranges = [line.split(None, 1)[0] for line in text.splitlines() if line.endswith(b"(deleted)")]
    found = []
    for start, _, end in (name.decode("ascii").partition("-") for name in ranges):
        found.append(f"/proc/{pid}/map_files/{int(start, 16):x}-{int(end, 16):x}")
    return found


_memory_device = 0


def _shared_device() -> int:
    """Device number of the kernel's own in-memory file system, where memfds live."""
    global _memory_device
    if not _memory_device:
        fd = os.memfd_create("x", os.MFD_CLOEXEC)
        _memory_device = os.fstat(fd).st_dev
        os.close(fd)
    return _memory_device


# ---------------------------------------------------------------------- disk

_FOLDER: Final = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def allocated(root: Path) -> int:
    """Bytes of the blocks allocated below a folder, which may change all the time.

    Every step goes by descriptor and follows no link; other file systems are not entered. A
    folder that its owner, who is this process's user, has shut is opened while it is looked at.

    Raises:
        OverQuota: there are too many entries, or levels of folders, to count.
        OSError: the folder itself cannot be read.
    """
    total = entries = 0
    several: set[int] = set()
    top = _Folder.enter(None, str(root))
    if top is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(root))
    pending = [top]
    try:
        while pending:
            folder = pending[-1]
            if folder.inner is None:
                folder.inner = []
                with suppress(OSError), os.scandir(folder.fd) as listing:
                    for entry in listing:
                        entries += 1
                        if entries > MOST_ENTRIES:
                            raise OverQuota(f"disk: more than {MOST_ENTRIES} files")
                        with suppress(OSError):
                            about = entry.stat(follow_symlinks=False)
                            if about.st_dev != top.device:
                                continue
                            if stat.S_ISDIR(about.st_mode):
                                folder.inner.append(entry.name)
                            elif about.st_nlink > 1:
                                if about.st_ino in several:
                                    continue
                                several.add(about.st_ino)
                            total += about.st_blocks * 512
            elif folder.inner:
                deeper = _Folder.enter(folder.fd, folder.inner.pop())
                if deeper is not None:
                    pending.append(deeper)
                    if len(pending) > MOST_LEVELS:
                        raise OverQuota(f"disk: folders {MOST_LEVELS} levels deep")
            else:
                pending.pop().close()
        return total
    finally:
        for folder in pending:
            folder.close()


class _Folder:
    """An open folder. ``inner``: names of folders in it still to be seen; None: not listed yet."""

    __slots__ = ("_mode", "device", "fd", "inner")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.inner: list[str] | None = None
        about = os.fstat(fd)
        self.device = about.st_dev
        self._mode = stat.S_IMODE(about.st_mode)
        self._open_up()

    def _open_up(self) -> None:
        if self._mode & 0o500 != 0o500 and os.geteuid() != 0:
            with suppress(OSError):
                os.chmod(f"/proc/self/fd/{self.fd}", self._mode | 0o500)

    @classmethod
    def enter(cls, parent: int | None, name: str) -> _Folder | None:
        """Open a folder in a folder; None where it cannot be."""
        with suppress(OSError):
            return cls(os.open(name, os.O_RDONLY | _FOLDER, dir_fd=parent))
        shut = None
        with suppress(OSError):
            shut = cls(os.open(name, os.O_PATH | _FOLDER, dir_fd=parent))
            path = f"/proc/self/fd/{shut.fd}"
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            os.close(shut.fd)
            shut.fd = fd
            return shut
        if shut is not None:
            shut.close()
        return None

    def close(self) -> None:
        if self._mode & 0o500 != 0o500 and os.geteuid() != 0:
            with suppress(OSError):
                os.chmod(f"/proc/self/fd/{self.fd}", self._mode)
        os.close(self.fd)


# ---------------------------------------------------------------------- the thread


class Watcher:
    """The thread, started with the first sandbox that has a bound."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: list[Watch] = []
        self._process = 0

    def add(self, watch: Watch) -> None:
        with self._changed:
            if self._process != os.getpid():  # first use, or a fork, which copies no threads
                self._process = os.getpid()
                self._watches = []
                threading.Thread(target=self._run, daemon=True, name="quota").start()
            self._watches.append(watch)
            self._changed.notify()

    def remove(self, watch: Watch) -> None:
        with self._changed, suppress(ValueError):
            self._watches.remove(watch)

    def poke(self, watch: Watch) -> None:
        """Say that something may begin to run in a sandbox."""
        if not watch.poked:
            with self._changed:
                watch.poked = True
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not any(watch.poked for watch in self._watches):
                    self._changed.wait()
            # First, so that a command on its own is not held up by what looks at it.
            time.sleep(PERIOD)
            with self._changed:
                watches = [watch for watch in self._watches if watch.poked]
            try:
                self.look(watches)
            except Exception as error:  # nobody would notice that the thread has ended
                for watch in watches:
                    self._end(watch, f"unwatched: {type(error).__name__}: {error}")

    def look(self, watches: Sequence[Watch]) -> None:
        """One pass over the process list, for all of these."""
        members: dict[str, list[int]] = {}
        for watch in watches:
            members[watch.namespace] = []
            watch.poked = False  # before the list is read: what begins later pokes again
        for pid in host_pids():
            with suppress(OSError):
                found = members.get(os.readlink(f"/proc/{pid}/ns/pid"))
                if found is not None:
                    found.append(pid)
        self._spare_the_host(watches, members)
        for watch in watches:
            if watch.over:
                continue
            pids = members[watch.namespace]
            busy = any(pid != watch.init_pid for pid in pids)
            try:
                done = watch.look(pids, busy=busy)
            except OverQuota as over:
                self._end(watch, str(over))
            except OSError:
                # It cannot be seen at this moment: because it is being closed, or look again.
                watch.poked = watch.poked or bool(pids)
            except Exception as error:  # what cannot be watched is not bounded
                self._end(watch, f"unwatched: {type(error).__name__}: {error}")
            else:
                watch.poked = watch.poked or busy or not done

    def _end(self, watch: Watch, why: str) -> None:
        self.remove(watch)
        if not watch.over:
            watch.over = True
            with suppress(OSError):  # it is gone already
                watch.end(why)

    def _spare_the_host(
        self, watches: Sequence[Watch], members: Mapping[str, Sequence[int]]
    ) -> None:
        """Before the host runs out, end the sandbox that is likeliest to be the cause.

        What the bounds cannot see (buffers of sockets, descriptors on their way) shows in what the
        host has left. One at a time: the next look sees what that has brought.
        """
        left, least = memory_left()
        bounded = [watch for watch in watches if watch.memory]
        if left < least and bounded:
            likeliest = max(bounded, key=lambda watch: _weight(members[watch.namespace]))
            if _weight(members[likeliest.namespace]) > _WEIGHT_OF_ONE:
                self._end(likeliest, f"memory: the host has {left // _MIB} MiB left")


def memory_left() -> tuple[int, int]:
    """Bytes that the host can still give without swapping, and how few are too few."""
    available = total = 0
    with open("/proc/meminfo", "rb", 0) as file:
        for line in file.read().splitlines():
            if line.startswith(b"MemAvailable:"):
                available = int(line.split()[1]) << 10
            elif line.startswith(b"MemTotal:"):
                total = int(line.split()[1]) << 10
    return available, min(_LEAST_LEFT, total // 20)


def _weight(pids: Sequence[int]) -> int:
    """How likely processes are to hold memory that is not seen: what is, and descriptors."""
    weight = 0
    for pid in pids:
        weight += _resident(pid)
        try:
            weight += len(os.listdir(f"/proc/{pid}/fd")) * _WEIGHT_OF_ONE
        except OSError:  # it has made itself unreadable
            weight += _LEAST_LEFT
    return weight


WATCHER: Final = Watcher()
