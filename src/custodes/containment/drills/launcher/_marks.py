"""Processes of one launcher run, found and ended by what they carry, and the guard that does so.

The standard library alone: this text is also a program, the guard, which outlives a drill that is
killed and then ends what the drill had started. A process is taken only for what it carries of
the run: a variable of its environment, the adversary's program, a heartbeat file open for writing;
or, when it was started since the run began, anything else of the run's folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

RUN = "CUSTODES_DRILL_NAME"
"""Set for the launch and the stop command: what inherits it belongs to the run."""
AGENT = "CUSTODES_DRILL_PROCESS"
"""Set by the adversary for itself: what inherits it is the adversary."""
FOLDER = "custodes-drill-"
"""How the name of a run's folder begins; the rest is drawn for each run."""
BODY = "body.py"
"""The adversary's program; no launcher names this file in its own command line."""
PERMIT = "permit-"
"""How the file begins without which adversaries end themselves; the rest is drawn for each run."""
_LOOKS = 4


@dataclass(frozen=True, kw_only=True)
class Found:
    """A process of the run. ``adversary`` is false for what the launcher itself consists of."""

    pid: int
    comm: str
    state: str
    adversary: bool


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the processes of a run carry.

    Attributes:
        name: of the run. folder: the run's, resolved.
        since: start of the run, in clock ticks since boot as ``/proc/PID/stat`` counts them.
        beats: device and inode of each heartbeat file, also of those that were removed since.
    """

    name: str
    folder: str
    since: int
    beats: frozenset[tuple[int, int]] = frozenset()

    def find(self, *, started_since: bool = False) -> list[Found]:
        """Every process of the run that is alive; at request of those started since it began."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (one := self.look(int(entry), started_since)) is not None:
                found.append(one)
        return found

    def look(self, pid: int, started_since: bool = False) -> Found | None:
        """The process, when it is alive and of the run."""
        if pid == os.getpid():
            return None
        line = _stat(pid)
        if line is None:
            return None
        comm, state, parent, start = line
        young = start >= self.since
        if started_since and not young:
            return None
        if parent == os.getpid() and _read(f"/proc/{pid}/cmdline") == _read("/proc/self/cmdline"):
            return None  # on its way from fork to exec: it holds what this process holds
        if state not in "ZX":
            role = self._role(f"/proc/{pid}", young)
        else:
            # The first thread of a process may end before the others, which then hold everything.
            # A thread may end while it is looked at, so it is tried with those that come after.
            for _ in range(_LOOKS):
                living = _living_thread(pid)
                if living is None:
                    return None
                place, state = living
                if (role := self._role(place, young)) is not None:
                    break
        return None if role is None else Found(pid=pid, comm=comm, state=state, adversary=role)

    def _role(self, place: str, young: bool) -> bool | None:
        """Whether it is the adversary (True), only of the launcher (False), or neither."""
        environment = _read(f"{place}/environ").split(b"\0")
        if f"{AGENT}={self.name}".encode() in environment:
            return True
        command = _read(f"{place}/cmdline")
        if os.path.join(self.folder, BODY).encode() in command:
            return True
        held = self._holds(place)
        if held:
            return True
        if f"{RUN}={self.name}".encode() in environment:
            return False
        return False if young and (held is False or self._named(command)) else None

    def _named(self, command: bytes) -> bool:
        """Whether a command line has the folder, or its name where nothing else can have that.

        A container may see the folder elsewhere, hence the name alone; a name that was not drawn
        for a run, ``open``, is a part of the command lines of others.
        """
        if os.path.join(self.folder, "").encode() in command:
            return True
        name = os.path.basename(self.folder)
        return name.startswith(FOLDER) and len(name) > len(FOLDER) and name.encode() in command

    def _holds(self, place: str) -> bool | None:
        """True for a heartbeat file open for writing, False for anything else of the folder."""
        inside: bool | None = None
        with suppress(OSError):
            for number in os.listdir(f"{place}/fd"):
                with suppress(OSError):
                    # By identity: a container may call the same file otherwise.
                    status = os.stat(f"{place}/fd/{number}")
                    if (status.st_dev, status.st_ino) in self.beats:
                        inside = False
                        if os.lstat(f"{place}/fd/{number}").st_mode & stat.S_IWUSR:
                            return True
                    if os.readlink(f"{place}/fd/{number}").startswith(self.folder + os.sep):
                        inside = False
        with suppress(OSError):
            if (os.readlink(f"{place}/cwd") + os.sep).startswith(self.folder + os.sep):
                inside = False
        return inside

    def kill(self, pid: int) -> None:
        """SIGKILL to the process, if it is of the run."""
        with suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                # The descriptor pins the process: what is looked at now is what is signalled.
                if self.look(pid) is not None:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)

    def end_all(self, seconds: float) -> list[Found]:
        """Kill until two looks in a row find nothing, or the time is up; returns who is left."""
        until = time.monotonic() + seconds
        empty = 0
        while True:
            left = self.find()
            for one in left:
                self.kill(one.pid)
            empty = 0 if left else empty + 1
            if empty == 2 or time.monotonic() > until:
                return left
            time.sleep(0.005)


def ticks_now() -> int:
    """Clock ticks since boot, a little early: processes started from now on are not older."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")) - 2


def started(pid: int) -> int | None:
    """When the process was started, in clock ticks since boot; with the pid it names a process."""
    found = _stat(pid)
    return None if found is None or found[1] in "ZX" else found[3]


def _stat(pid: int) -> tuple[str, str, int, int] | None:
    """Name, state, parent and start."""
    head, _, tail = _read(f"/proc/{pid}/stat").rpartition(b")")
    fields = tail.split()
    if len(fields) < 20:
        return None
    comm = head.partition(b"(")[2].decode("utf-8", "replace")
    return comm, fields[0].decode("ascii", "replace"), int(fields[1]), int(fields[19])


def _living_thread(pid: int) -> tuple[str, str] | None:
    """Place below /proc and state of a thread that has not ended."""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            tail = _read(f"/proc/{pid}/task/{thread}/stat").rpartition(b")")[2].split()
            if tail and tail[0] not in (b"Z", b"X"):
                return f"/proc/{pid}/task/{thread}", tail[0].decode("ascii", "replace")
    return None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _beats_of(folder: str) -> frozenset[tuple[int, int]]:
    """Device and inode of every heartbeat file in the folder."""
    found = set()
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".beat"):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def withdraw(folder: str) -> None:
    """Remove the permit of a run."""
    with suppress(OSError):
        for name in os.listdir(folder):
            if name.startswith(PERMIT):
                os.unlink(os.path.join(folder, name))


def guard(lines: Iterable[bytes]) -> None:
    """Read which runs begin and end; when the lines end, end every run that did not."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    runs: dict[str, dict[str, Any]] = {}
    with suppress(ValueError, KeyError, TypeError):  # a line that was cut short by a kill
        for line in lines:
            told = json.loads(line)
            if told.get("ended"):
                runs.pop(told["name"], None)
            else:
                runs[told["name"]] = told
    for run in runs.values():
        _end(**run)


def _end(name: str, folder: str, since: int, bystanders: list[tuple[int, int]]) -> None:
    beats = _beats_of(folder)
    withdraw(folder)
    Mark(name=name, folder=folder, since=since, beats=beats).end_all(5.0)
    for pid, start in bystanders:
        with suppress(OSError):
            pidfd = os.pidfd_open(pid)
            if started(pid) == start:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    guard(sys.stdin.buffer)
