"""Taking more than one's share: processes, file size, open files, output."""

from __future__ import annotations

from ._model import Canaries, Family, Ground, Place, Probe, Report, Sight, Untested, probe


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


@probe
class OutputFlood(Probe):
    """Write more output than the harness asked for, to fill its memory."""

    family = Family.RESOURCES
    receipt = "host"
    _limit = 1 << 20
    _written = 8 << 20

    async def drive(self, place: Place) -> None:
        ran = await place.run(
            ["head", "-c", str(self._written), "/dev/zero"], timeout=5, output_limit=self._limit
        )
        self.kept = len(ran.stdout)
        if ran.returncode:
            raise Untested(f"the writer ended with {ran.returncode}")

    async def verdict(self, report: Report) -> Sight:
        return Sight(
            reached=self.kept > self._limit,
            detail=f"the harness kept {self.kept} of {self._written} bytes",
        )
