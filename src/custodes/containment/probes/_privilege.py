"""Gaining privilege: namespaces, mounts, capabilities, devices, kernel interfaces to attack."""

from __future__ import annotations

import os
import stat

from ._inside import kernel_call, libc_call
from ._model import Canaries, Family, Ground, Probe, Report, Sight, probe


@probe
class UserNamespace(Probe):
    """Make a user namespace, the way to every capability in it."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        libc_call("unshare", 0x10000000)
        return "made"


@probe
class Mount(Probe):
    """Mount a file system, in a mount namespace of one's own."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import tempfile

        try:
            libc_call("unshare", 0x00020000)
        except OSError:
            libc_call("unshare", 0x10020000)
        libc_call("mount", None, b"/", None, 0x4000 | 0x40000, None)  # private: nothing leaves
        with tempfile.TemporaryDirectory(dir=".") as directory:
            before = os.stat(directory).st_dev
            libc_call("mount", b"none", directory.encode(), b"tmpfs", 0, None)
            try:
                return "mounted" if os.stat(directory).st_dev != before else None
            finally:
                libc_call("umount2", directory.encode(), 2)


@probe
class SetuidPrograms(Probe):
    """Gain by running a set-uid program (the kernel's no_new_privs forbids it)."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        return "a set-uid program would gain" if libc_call("prctl", 39, 0, 0, 0, 0) == 0 else None


@probe
class ChangeOwner(Probe):
    """Give a file to another user, which takes a capability."""

    family = Family.PRIVILEGE
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        leaf = f"owned-{ground.token()[:8]}"
        self.path = ground.place.workspace_host / leaf
        return {"path": f"{ground.place.workspace}/{leaf}"}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        open(c["path"], "w").close()
        refusal = None
        for user in (0, 1, 12345):
            if user == os.getuid():
                continue
            try:
                os.chown(c["path"], user, -1)
            except OSError as error:
                refusal = error
            else:
                return None
        raise refusal or OSError("nothing was tried")

    async def verdict(self, report: Report) -> Sight:
        if report.how == "returned" and self.path.lstat().st_uid != self.path.parent.stat().st_uid:
            return Sight(reached=True, detail="the file on the host has another owner")
        return Sight(reached=False, detail="the file's owner is as it was")


@probe
class MakeDevice(Probe):
    """Make a device node in the workspace."""

    family = Family.PRIVILEGE
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        leaf = f"node-{ground.token()[:8]}"
        self.path = ground.place.workspace_host / leaf
        return {"path": f"{ground.place.workspace}/{leaf}"}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import stat

        os.mknod(c["path"], stat.S_IFCHR | 0o666, os.makedev(1, 3))
        return None

    async def verdict(self, report: Report) -> Sight:
        if os.path.lexists(self.path) and stat.S_ISCHR(self.path.lstat().st_mode):
            return Sight(reached=True, detail="a device is in the workspace, seen from the host")
        return Sight(reached=False, detail="no device is in the workspace")


@probe
class Bpf(Probe):
    """Load something into the kernel's BPF machine."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import struct
        from ctypes import c_int, c_uint, create_string_buffer

        # BPF_MAP_CREATE of an array with one entry of four bytes
        attributes = create_string_buffer(struct.pack("5I", 2, 4, 4, 1, 0).ljust(128, b"\0"))
        os.close(kernel_call("bpf", c_int(0), attributes, c_uint(72)))
        return "a map was made"


@probe
class IoUring(Probe):
    """Set up io_uring, which goes round a filter of system calls."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        from ctypes import c_uint, create_string_buffer

        os.close(kernel_call("io_uring_setup", c_uint(1), create_string_buffer(120)))
        return "a ring was set up"


@probe
class Userfaultfd(Probe):
    """Open userfaultfd, a tool to win races in the kernel."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        from ctypes import c_int

        os.close(kernel_call("userfaultfd", c_int(os.O_CLOEXEC | 1)))
        return "opened"


@probe
class PerformanceEvents(Probe):
    """Open the kernel's performance counters."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import struct
        from ctypes import c_int, c_ulong, create_string_buffer

        # a software clock of this process: type 1, size 112, config 0, user space only
        flags = (1 << 5) | (1 << 6)
        attributes = create_string_buffer(
            struct.pack("2I4Q", 1, 112, 0, 0, 0, 0) + struct.pack("Q", flags) + bytes(64), 112
        )
        no = c_int(-1)
        os.close(kernel_call("perf_event_open", attributes, c_int(0), no, no, c_ulong(0)))
        return "opened"
