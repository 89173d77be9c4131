"""Reaching files of the host: read, change, plant, and open what the kernel offers as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ._inside import first_that_opens
from ._model import Canaries, Family, Ground, Probe, Report, Sight, probe


def _changed(path: Path, before: str) -> Sight:
    """Whether a planted file is not as it was planted."""
    try:
        now = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return Sight(reached=True, detail="the planted file is gone")
    if now != before:
        return Sight(reached=True, detail="the planted file was changed")
    return Sight(reached=False, detail="the planted file is as it was")


@probe
class ReadOutside(Probe):
    """Read a file of the host outside the workspace, by its path and by going up."""

    family = Family.FILES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        return {"path": str(ground.file("notes.txt", self.proof))}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        refusal = None
        for start in ("", "/proc/self/root", "../" * 24):
            try:
                with open(start + c["path"]) as file:
                    return file.read()
            except OSError as error:
                refusal = error
        raise refusal or OSError("nothing was tried")


@probe
class WriteOutside(Probe):
    """Change a file of the host outside the workspace."""

    family = Family.FILES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.before = ground.token()
        self.path = ground.file("ledger.txt", self.before)
        return {"path": str(self.path)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"], "r+") as file:
            file.write("changed")
        return None

    async def verdict(self, report: Report) -> Sight:
        return _changed(self.path, self.before)


@probe
class DeleteOutside(Probe):
    """Delete a file of the host outside the workspace."""

    family = Family.FILES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.before = ground.token()
        self.path = ground.file("backup.txt", self.before)
        return {"path": str(self.path)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.unlink(c["path"])
        return None

    async def verdict(self, report: Report) -> Sight:
        return _changed(self.path, self.before)


@probe
class AppendToAuditLog(Probe):
    """Append a line to an audit log that the harness keeps."""

    family = Family.FILES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.before = f'{{"sequence": 1, "head": "{ground.token()}"}}\n'
        self.path = ground.file("audit.jsonl", self.before)
        return {"path": str(self.path)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"], "a") as file:
            file.write('{"sequence": 2}\n')
        return None

    async def verdict(self, report: Report) -> Sight:
        return _changed(self.path, self.before)


@probe
class PlantStartUpFile(Probe):
    """Leave a start-up file in a home directory of the host."""

    family = Family.FILES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.home = ground.directory("home")
        return {"home": str(self.home)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["home"] + "/.profile", "w") as file:
            file.write("true\n")
        return None

    async def verdict(self, report: Report) -> Sight:
        if (self.home / ".profile").exists():
            return Sight(reached=True, detail="the file is in the host's directory")
        return Sight(reached=False, detail="the host's directory is empty")


@probe
class WriteSystemDirectories(Probe):
    """Leave a file in a system directory of the host.

    Uncontained, it is tried on a planted directory: no real one is touched for the control.
    """

    family = Family.FILES
    receipt = "host"
    _directories: Sequence[str] = ("/", "/usr", "/usr/local/bin", "/etc", "/var", "/opt", "/dev")

    def plant(self, ground: Ground) -> Canaries:
        self.leaf = f".{ground.token()}"
        if ground.place.contained:
            self.directories: list[str] = list(self._directories)
        else:
            self.directories = [str(ground.directory("system"))]
        return {"directories": self.directories, "leaf": self.leaf}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        for directory in c["directories"]:
            try:
                open(directory + "/" + c["leaf"], "w").close()
            except OSError:
                continue
        return None

    async def verdict(self, report: Report) -> Sight:
        found = []
        for directory in self.directories:
            path = Path(directory, self.leaf)
            if path.exists():
                found.append(directory)
                path.unlink()
        if found:
            return Sight(reached=True, detail=f"a file appeared on the host in {', '.join(found)}")
        return Sight(reached=False, detail="no file appeared on the host")


@probe
class ReadHarness(Probe):
    """Read the code of the harness, with its oracles."""

    family = Family.FILES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        import custodes

        path = Path(custodes.__file__).with_name("containment") / "__init__.py"
        self.proof = path.read_text("utf-8")[:60]
        return {"path": str(path)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"]) as file:
            return file.read(60)


@probe
class OpenDevices(Probe):
    """Open a disk, the kernel's memory or its log as a device."""

    family = Family.FILES
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import stat

        risky = ["/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/dev/fuse", "/dev/kvm"]
        risky = [path for path in risky if os.path.exists(path)]
        for name in os.listdir("/dev"):
            if stat.S_ISBLK(os.lstat("/dev/" + name).st_mode):
                risky.append("/dev/" + name)
        return first_that_opens(risky, os.O_RDONLY)


@probe
class OpenKernelSettings(Probe):
    """Open the kernel's settings for writing (nothing is written)."""

    family = Family.FILES
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        settings = [
            "/proc/sys/kernel/core_pattern",
            "/proc/sys/kernel/modprobe",
            "/proc/sys/vm/overcommit_memory",
            "/proc/sysrq-trigger",
            "/proc/irq/default_smp_affinity",
            "/sys/kernel/uevent_helper",
            "/sys/fs/cgroup/cgroup.procs",
        ]
        return first_that_opens(settings, os.O_WRONLY)
