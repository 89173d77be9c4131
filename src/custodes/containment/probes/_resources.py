"""Taking more than one's share: processes, file size, open files, output."""

from __future__ import annotations

import os
import resource
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import anyio

from .._spec import Limits, SandboxGone
from ._launched import spec_of, started_like
from ._model import (
    Canaries,
    Family,
    Ground,
    Place,
    Probe,
    Report,
    Sight,
    Untested,
    interpreter,
    probe,
)
from ._places import HostPlace, SandboxPlace


@probe
class ManyProcesses(Probe):
    """Start more processes at once than a sandbox may have (bounded, ended at once)."""

    family = Family.RESOURCES
    receipt = "self"
    order = 80

    def plant(self, ground: Ground) -> Canaries:
        return {"many": ground.place.process_limit + 64}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        reader, writer = os.pipe()
        children = []
        refusal = None
        try:
            for _ in range(c["many"]):
                child = os.fork()
                if child == 0:
                    os.close(writer)
                    os.read(reader, 1)  # until the parent closes or ends
                    os._exit(0)
                children.append(child)
        except OSError as error:
            refusal = error
        os.close(writer)
        for child in children:
            os.waitpid(child, 0)
        if refusal is not None:
            raise refusal
        return f"{len(children)} processes at once"


@probe
class ManyThreads(Probe):
    """Start more threads at once than a sandbox may have (bounded, ended at once)."""

    family = Family.RESOURCES
    receipt = "self"
    order = 81

    def plant(self, ground: Ground) -> Canaries:
        return {"many": ground.place.process_limit + 64}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import _thread

        gate = _thread.allocate_lock()
        gate.acquire()
        _thread.stack_size(1 << 16)
        for started in range(c["many"]):
            try:
                _thread.start_new_thread(gate.acquire, ())
            except RuntimeError:
                raise OSError(11, f"no more than {started} threads") from None
        return f"{c['many']} threads at once"


@probe
class LargeFile(Probe):
    """Make a file larger than a sandbox may have (sparse: it takes no room)."""

    family = Family.RESOURCES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        leaf = f"large-{ground.token()[:8]}"
        self.path = ground.place.workspace_host / leaf
        ground.keep(lambda: self.path.unlink(missing_ok=True))
        self.limit = ground.place.file_size_limit
        return {"path": f"{ground.place.workspace}/{leaf}", "size": self.limit + 4096}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of death
        with open(c["path"], "wb") as file:
            file.truncate(c["size"])
        return None

    async def verdict(self, report: Report) -> Sight:
        size = self.path.stat().st_size if self.path.exists() else 0
        return Sight(reached=size > self.limit, detail=f"the host sees {size} bytes")


_WAIT = "for _ in range(300): os.path.exists(sys.argv[1]) or time.sleep(0.05)\n"


class _Whole(Probe):
    """Take more than a whole sandbox may have: one of the same kind, with small limits."""

    family = Family.RESOURCES
    receipt = "host"
    order = 85
    _limit_mb: ClassVar[int]
    _taken_mb = 256

    def limits(self, limits: Limits) -> Limits:
        """These, with the small one."""
        raise NotImplementedError

    def program(self) -> str:
        """Takes it, and keeps it for some seconds or until there is a file with its name."""
        raise NotImplementedError

    def held(self, workspace: Path) -> int:
        """Bytes that the host sees to be taken."""
        raise NotImplementedError

    def plant(self, ground: Ground) -> Canaries:
        self.mark = f"take-{ground.token()[:12]}"
        return {}

    async def drive(self, place: Place) -> None:
        self.kept = False
        if isinstance(place, SandboxPlace):
            spec = spec_of(place)
            spec = replace(spec, workspace_host=None, limits=self.limits(spec.limits))
            async with started_like(place, spec) as sandbox:
                await self._take(SandboxPlace(sandbox, spec.limits))
        elif isinstance(place, HostPlace):
            await self._take(place)
        else:
            raise Untested("how much this place may have is not known")

    async def _take(self, place: Place) -> None:
        # Whoever watches does it about once a second; on the bare host nobody does.
        patience = 10.0 if place.contained else 0.2
        done = anyio.Event()

        async def run() -> None:
            argv = [interpreter(), "-I", "-S", "-c", self.program(), self.mark]
            try:
                self.ended = (await place.run(argv, timeout=30, output_limit=4096)).returncode
            except SandboxGone:
                self.ended = -1
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            since: float | None = None
            while not done.is_set():
                now = anyio.current_time()
                if self.held(place.workspace_host) < self._taken_mb << 20:
                    since = None
                elif since is None:
                    since = now
                elif now - since > patience:
                    self.kept = True
                    (place.workspace_host / self.mark).touch()
                await anyio.sleep(0.05)

    async def verdict(self, report: Report) -> Sight:
        if self.kept:
            return Sight(reached=True, detail=f"the host saw {self._taken_mb} MiB taken, and kept")
        how = "was ended" if self.ended < 0 else "was refused it"
        return Sight(reached=False, detail=f"it {how} with a limit of {self._limit_mb} MiB")


@probe
class Memory(_Whole):
    """Take more memory than a sandbox may have, in several processes (bounded)."""

    _limit_mb = 128

    def limits(self, limits: Limits) -> Limits:
        return replace(limits, memory_mb=self._limit_mb)

    def program(self) -> str:
        return (
            "import os, sys, time\n"
            "children = []\n"
            "for _ in range(4):\n"
            "    child = os.fork()\n"
            "    if child == 0:\n"
            "        try:\n"
            f"            held = bytearray({(self._taken_mb // 4) << 20})\n"
            "        except MemoryError:\n"
            "            os._exit(1)\n"
            "        for page in range(0, len(held), 4096):\n"
            "            held[page] = 1\n"
            f"        {_WAIT}"
            "        os._exit(0)\n"
            "    children.append(child)\n"
            "sys.exit(sum(os.waitpid(child, 0)[1] for child in children) != 0)\n"
        )

    def held(self, workspace: Path) -> int:
        pages = 0
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        if not file.read().endswith(f"\0{self.mark}\0".encode()):
                            continue
                    with open(f"/proc/{name}/statm") as file:
                        pages += int(file.read().split()[1])
                except OSError:
                    continue
        return pages * resource.getpagesize()


@probe
class Disk(_Whole):
    """Take more room on the host's disk than a sandbox may have, in several files (bounded)."""

    _limit_mb = 16
    _taken_mb = 64

    def limits(self, limits: Limits) -> Limits:
        return replace(limits, disk_mb=self._limit_mb)

    def program(self) -> str:
        return (
            "import os, sys, time\n"
            "data = os.urandom(1 << 20)\n"
            "for number in range(4):\n"
            "    with open(f'{sys.argv[1]}-{number}', 'wb') as file:\n"
            f"        for _ in range({self._taken_mb // 4}):\n"
            "            file.write(data)\n"
            "        file.flush()\n"
            "        os.fsync(file.fileno())\n"
            f"{_WAIT}"
            "for number in range(4):\n"
            "    os.unlink(f'{sys.argv[1]}-{number}')\n"
        )

    def held(self, workspace: Path) -> int:
        taken = 0
        for number in range(4):
            try:
                taken += (workspace / f"{self.mark}-{number}").lstat().st_blocks * 512
            except OSError:
                continue
        return taken


@probe
class ManyOpenFiles(Probe):
    """Hold more open files than a process of a sandbox may have."""

    family = Family.RESOURCES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        return {"many": ground.place.open_files_limit + 64}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for _ in range(c["many"]):
            os.dup(0)
        return f"{c['many']} open files"


class _Flood(Probe):
    """Write more than the harness asked for, to fill its memory."""

    family = Family.RESOURCES
    receipt = "host"
    _limit = 1 << 20
    _written = 8 << 20

    def command(self) -> list[str]:
        raise NotImplementedError

    async def drive(self, place: Place) -> None:
        ran = await place.run(self.command(), timeout=5, output_limit=self._limit)
        self.kept = max(len(ran.stdout), len(ran.stderr))
        if ran.returncode:
            raise Untested(f"the writer ended with {ran.returncode}")

    async def verdict(self, report: Report) -> Sight:
        return Sight(
            reached=self.kept > self._limit,
            detail=f"the harness kept {self.kept} of {self._written} bytes",
        )


@probe
class OutputFlood(_Flood):
    """Write more output than the harness asked for, to fill its memory."""

    def command(self) -> list[str]:
        return ["head", "-c", str(self._written), "/dev/zero"]


@probe
class ErrorFlood(_Flood):
    """Write more error output than the harness asked for, to fill its memory."""

    def command(self) -> list[str]:
        return ["sh", "-c", f"head -c {self._written} /dev/zero >&2"]
