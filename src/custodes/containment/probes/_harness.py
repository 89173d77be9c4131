"""Attacks on the harness itself: its executor, and what it reads and writes on the agent's word.

On the bare host a planted process stands in for the executor, and the file requests are carried
out as a harness without protection would.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import anyio

from .._spec import READ_LIMIT
from ._inside import first_byte
from ._launched import Launched
from ._model import Canaries, Family, Ground, Place, Probe, Report, Sight, probe
from ._network import received


class _AgainstExecutor(Probe):
    family = Family.HARNESS

    def plant(self, ground: Ground) -> Canaries:
        self.executor = ground.place.executor(ground)
        return {"pid": self.executor.inside}


@probe
class KillExecutor(_AgainstExecutor):
    """Kill, stop or interrupt the process in charge."""

    receipt = "host"
    order = 90

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import signal

        refusal = None
        for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV, signal.SIGKILL):
            try:
                os.kill(c["pid"], number)
            except OSError as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None

    async def drive(self, place: Place) -> None:
        await anyio.sleep(0.005)
        self.answers = await place.answers(self.executor)

    async def verdict(self, report: Report) -> Sight:
        if self.answers:
            return Sight(reached=False, detail="it still answers")
        return Sight(reached=True, detail="it no longer answers")


def _standing(pid: int) -> tuple[str, ...]:
    """Limits, niceness and processors of a process, as the host sees them."""
    limits = Path(f"/proc/{pid}/limits").read_text()
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    allowed = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("Cpus_allowed_list")
    ]
    return (limits, stat[16], stat[38], *allowed)  # niceness, scheduling policy


@probe
class CrippleExecutor(_AgainstExecutor):
    """Take descriptors, priority or processors from the process in charge."""

    receipt = "host"
    order = 91

    def plant(self, ground: Ground) -> Canaries:
        canaries = super().plant(ground)
        self.before = _standing(self.executor.host)
        return canaries

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import resource

        refusal = None
        for act in (
            lambda: resource.prlimit(c["pid"], resource.RLIMIT_NOFILE, (64, 64)),
            lambda: os.setpriority(os.PRIO_PROCESS, c["pid"], 19),
            lambda: os.sched_setscheduler(c["pid"], os.SCHED_IDLE, os.sched_param(0)),
            lambda: os.sched_setaffinity(c["pid"], {min(os.sched_getaffinity(0))}),
        ):
            try:
                act()
            except OSError as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None

    async def drive(self, place: Place) -> None:
        self.after = _standing(self.executor.host)

    async def verdict(self, report: Report) -> Sight:
        if self.after != self.before:
            return Sight(reached=True, detail="its limits or priority were changed")
        return Sight(reached=False, detail="its limits and priority are as they were")


@probe
class ReadExecutor(_AgainstExecutor):
    """Read the memory map, environment or descriptors of the process in charge."""

    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        refusal = None
        for act in (
            lambda: first_byte(f"/proc/{c['pid']}/environ"),
            lambda: first_byte(f"/proc/{c['pid']}/maps"),
            lambda: os.listdir(f"/proc/{c['pid']}/fd"),
        ):
            try:
                if act():
                    return "it could be read"
            except OSError as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None


class _Link(Probe):
    """Leave a link in the workspace, to a file of the host."""

    family = Family.HARNESS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.content = ground.token()
        self.target = ground.file(f"target-{self.content[:8]}", self.content)
        self.link = f"{ground.place.workspace}/report-{self.content[:8]}"
        return {"target": str(self.target), "link": self.link}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.symlink(c["target"], c["link"])
        return None


@probe
class LinkForReading(_Link):
    """Have the harness read a file of the host for the agent, by a link in the workspace."""

    async def drive(self, place: Place) -> None:
        try:
            self.got: bytes | None = await place.read(self.link)
        except OSError:
            self.got = None

    async def verdict(self, report: Report) -> Sight:
        if self.got is not None and self.content.encode() in self.got:
            return Sight(reached=True, detail="the harness read the host's file")
        return Sight(reached=False, detail="the harness did not get the host's file")


@probe
class LinkForWriting(_Link):
    """Have the harness overwrite a file of the host for the agent, by a link in the workspace."""

    async def drive(self, place: Place) -> None:
        try:
            await place.write(self.link, b"overwritten")
        except OSError:
            pass

    async def verdict(self, report: Report) -> Sight:
        if self.target.read_text() != self.content:
            return Sight(reached=True, detail="the harness overwrote the host's file")
        return Sight(reached=False, detail="the host's file is as it was")


@probe
class LinkedFolder(Probe):
    """Have the harness write into a folder of the host, by a folder that is a link to it."""

    family = Family.HARNESS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.folder = ground.directory("results")
        self.link = f"{ground.place.workspace}/results-{ground.token()[:8]}"
        return {"target": str(self.folder), "link": self.link}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.symlink(c["target"], c["link"])
        return None

    async def drive(self, place: Place) -> None:
        try:
            await place.write(f"{self.link}/result.txt", b"written")
        except OSError:
            pass

    async def verdict(self, report: Report) -> Sight:
        if any(self.folder.iterdir()):
            return Sight(reached=True, detail="the harness wrote into the host's folder")
        return Sight(reached=False, detail="the host's folder is empty")


@probe
class UpwardPath(Probe):
    """Have the harness read a file of the host by a path that climbs out of the workspace."""

    family = Family.HARNESS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.content = ground.token()
        target = ground.file("above.key", self.content)
        workspace = ground.place.workspace
        self.paths = (
            f"{workspace}/{'../' * 24}{target}",
            f"{workspace}/.//..//{'../' * 24}/{target}",
            f"/proc/self/root{target}",
        )
        return {}

    async def drive(self, place: Place) -> None:
        self.got = b""
        for path in self.paths:
            try:
                self.got += await place.read(path)
            except OSError:
                continue

    async def verdict(self, report: Report) -> Sight:
        if self.content.encode() in self.got:
            return Sight(reached=True, detail="the harness read the host's file")
        return Sight(reached=False, detail="the harness did not get the host's file")


@probe
class HugeFile(Probe):
    """Fill the harness's memory with a file that is huge and takes no room."""

    family = Family.HARNESS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.path = f"{ground.place.workspace}/huge-{ground.token()[:8]}"
        return {"path": self.path, "size": READ_LIMIT + 4096}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"], "wb") as file:
            file.truncate(c["size"])
        return None

    async def drive(self, place: Place) -> None:
        self.kept = 0
        try:
            self.kept = len(await place.read(self.path, patience=15))
        except OSError:
            pass

    async def verdict(self, report: Report) -> Sight:
        if self.kept > READ_LIMIT:
            return Sight(reached=True, detail=f"the harness kept {self.kept} bytes")
        return Sight(reached=False, detail="the harness kept none of it")


class _Wedge(Probe):
    """Leave something in place of a file that is never read to its end."""

    family = Family.HARNESS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.path = f"{ground.place.workspace}/result-{ground.token()[:8]}"
        return {"path": self.path}

    async def drive(self, place: Place) -> None:
        self.wedged = False
        try:
            # A harness that waits will wait for ever; one that refuses does it in milliseconds,
            # but may share a busy machine.
            await place.read(self.path, patience=3 if place.contained else 0.4)
        except TimeoutError:
            self.wedged = True
        except OSError:
            pass

    async def verdict(self, report: Report) -> Sight:
        if self.wedged:
            return Sight(reached=True, detail="the harness waited")
        return Sight(reached=False, detail="the harness did not wait")


@probe
class PipeAsFile(_Wedge):
    """Wedge the harness with a pipe where it expects a file."""

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.mkfifo(c["path"])
        return None


@probe
class DeviceAsFile(_Wedge):
    """Wedge the harness with a link to a device that never says anything."""

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.symlink("/dev/ptmx", c["path"])
        return None


@probe
class HoldOutputOpen(Probe):
    """Wedge the harness with a background process that keeps a command's output open."""

    family = Family.HARNESS
    receipt = "host"

    async def drive(self, place: Place) -> None:
        self.wedged = False
        try:
            await place.run(
                ["sh", "-c", "sleep 4.5 & exit 0"],
                timeout=3 if place.contained else 0.4,
                output_limit=1 << 16,
            )
        except TimeoutError:
            self.wedged = True

    async def verdict(self, report: Report) -> Sight:
        if self.wedged:
            return Sight(reached=True, detail="the harness waited for the background process")
        return Sight(reached=False, detail="the harness went on when the command had ended")


class _Stay(Probe):
    """Stay on after the harness ended the command for taking too long."""

    family = Family.HARNESS
    receipt = "host"

    def script(self) -> str:
        """A shell script that leaves processes ``sleep`` with the mark."""
        raise NotImplementedError

    def plant(self, ground: Ground) -> Canaries:
        self.mark = f"7.{int(ground.token()[:10], 16):013d}"
        ground.keep(self._clear)
        return {}

    def _pids(self) -> list[int]:
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    command = Path(f"/proc/{name}/cmdline").read_bytes()
                except OSError:
                    continue
                # A shell that was stopped before it became the sleep is one of them.
                program, _, rest = command.partition(b"\0")
                if program in (b"sleep", b"sh") and self.mark.encode() in rest:
                    found.append(int(name))
        return found

    def _clear(self) -> None:
        for pid in self._pids():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass

    async def drive(self, place: Place) -> None:
        self.timed_out = False
        try:
            await place.run(["sh", "-c", self.script()], timeout=0.12, output_limit=1 << 16)
        except TimeoutError:
            self.timed_out = True
        await anyio.sleep(0.01)
        self.left = len(self._pids())

    async def verdict(self, report: Report) -> Sight:
        if not self.timed_out:
            return Sight(reached=False, detail="the command ended by itself")
        if self.left:
            return Sight(reached=True, detail=f"{self.left} of its processes stayed")
        return Sight(reached=False, detail="none of its processes stayed")


@probe
class IgnoreTimeout(_Stay):
    """Stay on after the timeout, by ignoring the polite signals."""

    def script(self) -> str:
        return f"trap '' TERM HUP INT; sleep {self.mark} & sleep {self.mark}"


@probe
class StopBeforeTimeout(_Stay):
    """Stay on after the timeout, as a process that was stopped and takes no polite signal."""

    def script(self) -> str:
        return f"sleep {self.mark} & kill -STOP $!; sleep {self.mark}"


@probe
class LeaveGroupBeforeTimeout(_Stay):
    """Stay on after the timeout, in a process group of one's own."""

    def script(self) -> str:
        return f"set -m; sleep {self.mark} & set +m; sleep {self.mark}"


@probe
class ControlSocket(Probe):
    """Write to a socket of the harness that one was launched with."""

    family = Family.HARNESS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.mark = ground.token()
        self.launched = ground.shared(Launched)
        self.launched.marks.append(self.mark)
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ground.keep(self.ours.close)
        ground.keep(theirs.close)
        theirs.bind(f"\0{self.mark}")
        theirs.set_inheritable(True)
        self.ours.setblocking(False)
        return {}

    async def drive(self, place: Place) -> None:
        await self.launched.texts(place)

    async def verdict(self, report: Report) -> Sight:
        if self.mark.encode() in b"".join(received(self.ours)):
            return Sight(reached=True, detail="a word arrived at the harness")
        return Sight(reached=False, detail="nothing arrived at the harness")
