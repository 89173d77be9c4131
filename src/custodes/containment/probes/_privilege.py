"""Gaining privilege: namespaces, mounts, capabilities, devices, kernel interfaces to attack."""

from __future__ import annotations

import os

from ._inside import kernel_call, libc_call, own_namespaces
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
class MarkFile(Probe):
    """Give a file to another user, or give a capability to it: either takes a capability."""

    family = Family.PRIVILEGE
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        leaf = f"owned-{ground.token()[:8]}"
        self.path = ground.place.workspace_host / leaf
        return {"path": f"{ground.place.workspace}/{leaf}"}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import struct

        open(c["path"], "w").close()
        for user in (0, 1, 12345):
            if user == os.getuid():
                continue
            try:
                os.chown(c["path"], user, -1)
            except OSError:
                continue
            return None
        own_namespaces(0x00020000)
        # To bind low ports, in the format of Linux's vfs_cap_data of the second revision.
        os.setxattr(
            c["path"], "security.capability", struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
        )
        return None

    async def verdict(self, report: Report) -> Sight:
        if not os.path.lexists(self.path):
            return Sight(reached=False, detail="there is no such file")
        if report.how == "returned" and self.path.lstat().st_uid != self.path.parent.stat().st_uid:
            return Sight(reached=True, detail="the file on the host has another owner")
        if "security.capability" in os.listxattr(self.path, follow_symlinks=False):
            return Sight(reached=True, detail="the file on the host has a capability")
        return Sight(reached=False, detail="the file is as it was")


@probe
class MakeDevice(Probe):
    """Make a device node, or mount a file system that has some."""

    family = Family.PRIVILEGE
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        return {"path": f"{ground.place.workspace}/node-{ground.token()[:8]}"}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import stat

        try:
            os.mknod(c["path"], stat.S_IFCHR | 0o666, os.makedev(1, 3))
        except OSError:
            os.mkdir(c["path"])
            own_namespaces(0x00020000)
            libc_call("mount", None, b"/", None, 0x4000 | 0x40000, None)
            libc_call("mount", b"none", c["path"].encode(), b"devpts", 0, b"newinstance")
            c = {"path": c["path"] + "/ptmx"}
        return "a device" if stat.S_ISCHR(os.lstat(c["path"]).st_mode) else None


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


@probe
class CloneNamespaces(Probe):
    """Start a process in a user namespace of its own, by the system call itself."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import signal
        from ctypes import c_long, c_ulong

        zero = c_long(0)
        flags = c_ulong(0x10000000 | signal.SIGCHLD)
        child = kernel_call("clone", flags, zero, zero, zero, zero)
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return "started"


@probe
class GainCapabilities(Probe):
    """Hold a capability: by becoming root, or as the root of a user namespace of one's own."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        try:
            os.setresuid(0, 0, 0)
        except OSError:
            own_namespaces(0x00020000)
        with open("/proc/self/status") as file:
            held = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
        return "a capability is in effect" if held else None


@probe
class CapabilityBounds(Probe):
    """Keep a capability in the bounding set, from which a program could gain it."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/proc/self/status") as file:
            bound = next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd"))
        return "a capability is in the bounding set" if bound else None


@probe
class SetHostName(Probe):
    """Change the host's name, if need be in a namespace of one's own."""

    family = Family.PRIVILEGE
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()[:16]
        return {"name": self.proof}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import socket

        name = c["name"]
        try:
            own_namespaces(0x04000000)
        except OSError:
            name = os.uname().nodename  # changes nothing, and takes the same capability
        socket.sethostname(name)
        return os.uname().nodename


@probe
class ChangeClock(Probe):
    """Set a clock, if need be in a namespace of one's own."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes
        import os
        import time

        try:
            own_namespaces(0x80)
        except OSError:
            clock = ctypes.create_string_buffer(256)
            libc_call("adjtimex", clock)  # reads
            clock[0] = b"\x10"  # and sets the status to what it is
            libc_call("adjtimex", clock)
            return "the clock's status was set"
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        with open("/proc/self/timens_offsets", "w") as file:
            file.write("boottime 864000 0\n")
        reader, writer = os.pipe()
        if os.fork() == 0:
            after = time.clock_gettime(time.CLOCK_BOOTTIME)
            os.write(writer, b"set" if after - before > 86400 else b"same")
            os._exit(0)
        return "a clock was set" if os.read(reader, 8) == b"set" else None


@probe
class Personality(Probe):
    """Switch off the randomisation of addresses, which protects set-uid programs among others."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        from ctypes import c_ulong

        now = libc_call("personality", c_ulong(0xFFFFFFFF))
        libc_call("personality", c_ulong(now | 0x0040000))
        return "switched off"


@probe
class FileHandles(Probe):
    """Get a handle of a file, by which files are opened without a path."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import struct
        from ctypes import byref, c_int, create_string_buffer

        refusal: OSError | None = None
        for path in (".", "/tmp", "/dev/shm", "/usr"):
            handle = create_string_buffer(struct.pack("Ii", 128, 0), 136)
            mount = c_int(0)
            here = c_int(-100)
            try:
                kernel_call(
                    "name_to_handle_at", here, path.encode(), handle, byref(mount), c_int(0)
                )
            except OSError as error:
                refusal = error
            else:
                return "a handle"
        raise refusal or OSError("nothing was tried")


@probe
class Fanotify(Probe):
    """Watch a whole file system (fanotify)."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        from ctypes import c_uint

        os.close(kernel_call("fanotify_init", c_uint(0x200), c_uint(os.O_RDONLY)))
        return "opened"


@probe
class NewMountCalls(Probe):
    """Prepare a mount by the newer system calls for it."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        from ctypes import c_char_p, c_int, c_uint

        try:
            own_namespaces(0x00020000)
        except OSError:
            os.close(kernel_call("open_tree", c_int(-100), c_char_p(b"."), c_uint(0)))
        os.close(kernel_call("fsopen", c_char_p(b"tmpfs"), c_uint(0)))
        return "opened"


@probe
class Trace(Probe):
    """Let oneself be traced: the call that attacks on other processes begin with."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes

        zero = ctypes.c_void_p(0)
        libc_call("ptrace", ctypes.c_long(0), 0, zero, zero)
        return "traced"


@probe
class TerminalInjection(Probe):
    """Type into a terminal as if at its keyboard, which reaches whoever works there."""

    family = Family.PRIVILEGE
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import fcntl
        import os
        import termios

        os.setsid()
        _, terminal = os.openpty()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        for character in b"x\n":
            fcntl.ioctl(terminal, 0x5412, bytes([character]))  # TIOCSTI
        return "typed" if os.read(terminal, 8) == b"x\n" else None
