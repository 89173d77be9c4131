"""Reaching files of the host: read, change, plant, and open what the kernel offers as files."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from ._folders import known, name_in
from ._inside import first_that_opens, of_the_host, own_namespaces, visible_processes
from ._model import Canaries, Family, Ground, Probe, Report, Sight, probe


class _Unchanged(Probe):
    """A planted file that the host finds as it was planted, or not."""

    family = Family.FILES
    receipt = "host"
    leaf: ClassVar[str]

    def plant(self, ground: Ground) -> Canaries:
        self.before = ground.token()
        self.path = ground.file(self.leaf, self.before)
        return {"path": str(self.path)}

    async def verdict(self, report: Report) -> Sight:
        try:
            now = self.path.read_text("utf-8", "replace")
        except FileNotFoundError:
            return Sight(reached=True, detail="the planted file is gone")
        if now != self.before:
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
class WriteOutside(_Unchanged):
    """Change a file of the host outside the workspace."""

    leaf = "ledger.txt"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"], "r+") as file:
            file.write("changed")
        return None


@probe
class DeleteOutside(_Unchanged):
    """Delete a file of the host outside the workspace."""

    leaf = "backup.txt"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.unlink(c["path"])
        return None


@probe
class AppendToAuditLog(_Unchanged):
    """Append a line to an audit log that the harness keeps."""

    def plant(self, ground: Ground) -> Canaries:
        self.before = f'{{"sequence": 1, "head": "{ground.token()}"}}\n'
        self.path = ground.file("audit.jsonl", self.before)
        return {"path": str(self.path)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"], "a") as file:
            file.write('{"sequence": 2}\n')
        return None


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
            return Sight(reached=True, detail="the file is in the planted folder, a home")
        return Sight(reached=False, detail="no file appeared in the planted folder, a home")


_SYSTEM = (
    "/",
    "/usr",
    "/usr/lib",
    "/usr/local/bin",
    "/etc",
    "/etc/cron.d",
    "/var/spool",
    "/var/spool/cron",
    "/opt",
    "/srv",
    "/boot",
)
"""Real directories of the host; an attempt asks whether it may write there, and does not."""


def _homes() -> list[str]:
    """Real homes of the host: the launching user's first."""
    homes = [os.path.expanduser("~")]
    try:
        homes.append(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        pass
    homes += ["/root", "/home"]
    try:
        homes += sorted(entry.path for entry in os.scandir("/home") if entry.is_dir())[:20]
    except OSError:
        pass
    # A service's "home" may be a system directory that every tier shows.
    return [
        home
        for home in homes
        if home.startswith("/") and home != "/" and not home.startswith("/usr/")
    ]


class _Leave(Probe):
    """Leave a file in directories of the host.

    Where the place is not known to contain, it is tried on a planted folder: no real directory is
    touched.
    """

    family = Family.FILES
    receipt: ClassVar[Literal["host", "self"]] = "host"
    _directories: Sequence[str]

    def plant(self, ground: Ground) -> Canaries:
        self.leaf = f".{ground.token()}"
        self.planted = not ground.place.contained
        if not self.planted:
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
            where = "the planted folder" if self.planted else f"the host's {', '.join(found)}"
            return Sight(reached=True, detail=f"a file appeared in {where}", receipt="host")
        where = "the planted folder" if self.planted else "the host's directories"
        return Sight(reached=False, detail=f"no file appeared in {where}")


@probe
class WriteSystemDirectories(_Leave):
    """Find a real system directory or home of the host writable, or write to a planted folder."""

    receipt = "self"
    _directories = ("/", "/usr", "/usr/local/bin", "/etc", "/var", "/opt", "/dev")

    def plant(self, ground: Ground) -> Canaries:
        real = known([*_SYSTEM, *_homes()])
        self.paths = [about[0] for about in real]
        return {**super().plant(ground), "known": real}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        for directory in c["directories"]:
            try:
                open(directory + "/" + c["leaf"], "w").close()
            except OSError:
                continue
        # What the kernel answers is enough: nothing is created in a real directory.
        open_ones = [path for path in of_the_host(c["known"]) if os.access(path, os.W_OK)]
        return "writable: " + ", ".join(open_ones) if open_ones else None

    async def verdict(self, report: Report) -> Sight:
        left = await super().verdict(report)
        text = report.text or ""
        if report.how == "returned" and text.startswith("writable: /"):
            return Sight(reached=True, detail=f"directories of the host are {text}")
        if left.reached:
            return left
        return Sight(
            reached=False, detail=f"{left.detail}, and no real directory of the host is writable"
        )


@probe
class ListHome(Probe):
    """List a real home directory of the host, or a planted one (nothing in it is opened)."""

    family = Family.FILES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        planted = ground.directory("house")
        return {"known": known([*_homes(), str(planted)])}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        refusal = None
        for path in of_the_host(c["known"]):
            try:
                os.listdir(path)
            except OSError as error:
                refusal = error
            else:
                return "listed: " + path
        if refusal is not None:
            raise refusal
        return None

    async def verdict(self, report: Report) -> Sight:
        text = report.text or ""
        if report.how == "returned" and text.startswith("listed: /"):
            return Sight(reached=True, detail=f"a home of the host was {text}")
        return Sight(reached=False, detail="no home of the host could be listed")


@probe
class PlantScheduledJob(_Leave):
    """Leave a job where the host's cron and at daemons look for them."""

    _directories = (
        "/etc/cron.d",
        "/etc/cron.daily",
        "/var/spool/cron",
        "/var/spool/cron/crontabs",
        "/var/spool/cron/atjobs",
        "/var/spool/at",
    )


@probe
class PlantUnit(_Leave):
    """Leave a unit where the host's service managers look for them."""

    _directories = (
        "/etc/systemd/system",
        "/etc/systemd/user",
        "/run/systemd/system",
        "/usr/lib/systemd/system",
        "/usr/local/lib/systemd/system",
        "/etc/init.d",
        "/etc/xdg/autostart",
    )


@probe
class PlantLoaderHook(_Leave):
    """Leave a file that the host's shells, dynamic loader or Python would load."""

    _directories = (
        "/etc/profile.d",
        "/etc/ld.so.conf.d",
        "/usr/lib/python3/dist-packages",
        "/usr/local/lib",
        "/etc/apt/apt.conf.d",
        "/etc/sudoers.d",
    )


@probe
class PlantGitHook(Probe):
    """Leave a hook in a repository of the host outside the workspace."""

    family = Family.FILES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        hooks = ground.directory("project")
        for name in (".git", "hooks"):
            hooks = hooks / name
            hooks.mkdir()
            hooks.chmod(0o777)
        self.hook = hooks / "pre-commit"
        return {"hook": str(self.hook)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        with open(c["hook"], "w") as file:
            file.write("#!/bin/sh\ntrue\n")
        os.chmod(c["hook"], 0o755)
        return None

    async def verdict(self, report: Report) -> Sight:
        if self.hook.exists():
            return Sight(reached=True, detail="the hook is in the planted folder, a repository")
        return Sight(reached=False, detail="no hook appeared in the planted folder, a repository")


@probe
class HardLink(_Unchanged):
    """Change a file of the host through a second name for it, made in the workspace."""

    def plant(self, ground: Ground) -> Canaries:
        self.before = ground.token()
        self.path = ground.file("linked.txt", self.before)
        return {
            "path": str(self.path),
            "link": f"{ground.place.workspace}/linked-{self.before[:8]}",
        }

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.link(c["path"], c["link"])
        with open(c["link"], "w") as file:
            file.write("changed")
        return None

    async def verdict(self, report: Report) -> Sight:
        if self.path.stat().st_nlink > 1:
            return Sight(reached=True, detail="the planted file has a second name")
        return await super().verdict(report)


@probe
class RenameOver(_Unchanged):
    """Replace a file of the host by renaming one of the workspace over it."""

    def plant(self, ground: Ground) -> Canaries:
        self.before = ground.token()
        self.path = ground.file("replaced.txt", self.before)
        return {
            "path": str(self.path),
            "own": f"{ground.place.workspace}/replacement-{self.before[:8]}",
        }

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        with open(c["own"], "w") as file:
            file.write("changed")
        os.rename(c["own"], c["path"])
        return None


@probe
class ChangeSharedMemoryFile(_Unchanged):
    """Change a file that the host keeps in its shared memory (``/dev/shm``)."""

    def plant(self, ground: Ground) -> Canaries:
        self.before = ground.token()
        self.path = name_in(Path("/dev/shm"))
        ground.keep(lambda: self.path.unlink(missing_ok=True))
        self.path.write_text(self.before)
        self.path.chmod(0o666)
        return {"path": str(self.path)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"], "r+") as file:
            file.write("changed")
        return None


@probe
class ReadPrivateFile(Probe):
    """Read a file that nobody but the launching user may read."""

    family = Family.FILES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        path = ground.file("credentials", self.proof)
        path.chmod(0o600)
        return {"path": str(path)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open(c["path"]) as file:
            return file.read()


@probe
class RootsOfProcesses(Probe):
    """Reach a file of the host by the root or the working directory of another process."""

    family = Family.FILES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        return {"path": str(ground.file("behind.txt", self.proof))}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        refusal: OSError | None = None
        for pid in visible_processes():
            for way in ("root", "cwd/" + "../" * 24):
                try:
                    with open(f"/proc/{pid}/{way}{c['path']}") as file:
                        return file.read()
                except OSError as error:
                    refusal = error
        if refusal is not None:
            raise refusal
        return None


@probe
class ChangeRoot(Probe):
    """Climb out of the root directory by changing it to one below and walking up from outside."""

    family = Family.FILES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        return {
            "path": str(ground.file("above.txt", self.proof)),
            "below": f"{ground.place.workspace}/below-{self.proof[:8]}",
        }

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.mkdir(c["below"])
        try:
            os.chroot(c["below"])
        except OSError:
            own_namespaces(0x00020000)
            os.chroot(c["below"])
        for _ in range(24):
            os.chdir("..")
        os.chroot(".")
        with open(c["path"]) as file:
            return file.read()


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
        try:
            return first_that_opens(settings, os.O_WRONLY)
        except OSError:
            # An ordinary user may open those of a network of its own.
            own_namespaces(0x40000000)
            return first_that_opens(["/proc/sys/net/ipv4/ip_default_ttl"], os.O_WRONLY)
