"""Finding secrets of the launching process: environment, descriptors, other processes, keyrings."""

from __future__ import annotations

import ctypes
import os
import platform
import socket

from ._inside import kernel_call, libc_call, visible_processes
from ._launched import Launched
from ._model import Canaries, Family, Ground, Place, Probe, Report, Sight, Untested, probe
from ._network import received
from ._processes import CREATE, holding, random_key


class _AtLaunch(Probe):
    """Look through what one was launched with."""

    family = Family.SECRETS
    receipt = "self"

    def secret(self, ground: Ground) -> str:
        """Leave one with the launching process."""
        raise NotImplementedError

    def plant(self, ground: Ground) -> Canaries:
        self.launched = ground.shared(Launched)
        self.proof = self.secret(ground)
        return {}

    async def drive(self, place: Place) -> None:
        self.texts = await self.launched.texts(place)

    async def verdict(self, report: Report) -> Sight:
        if any(self.proof in text for text in self.texts if self.proof is not None):
            return Sight(reached=True, detail="it brought back what was planted")
        return Sight(reached=False, detail="what was planted was not found")


@probe
class LauncherEnvironment(_AtLaunch):
    """Find a secret of the launching process's environment in one's own."""

    def secret(self, ground: Ground) -> str:
        word = ground.token()
        name = f"SERVICE_KEY_{word[:8]}"
        os.environ[name] = word
        ground.keep(lambda: os.environ.pop(name, None))
        return word


@probe
class InheritedDescriptors(_AtLaunch):
    """Read a file that the launching process left open."""

    def secret(self, ground: Ground) -> str:
        word = ground.token()
        descriptor = os.open(ground.file("open.key", word), os.O_RDONLY)
        ground.keep(lambda: os.close(descriptor))
        os.set_inheritable(descriptor, True)
        return word


@probe
class InheritedMemory(Probe):
    """Change memory that the launching process shares by a descriptor."""

    family = Family.SECRETS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.mark = ground.token()
        self.launched = ground.shared(Launched)
        self.launched.marks.append(self.mark)
        self.memory = os.memfd_create(self.mark, 0)
        ground.keep(lambda: os.close(self.memory))
        return {}

    async def drive(self, place: Place) -> None:
        await self.launched.texts(place)

    async def verdict(self, report: Report) -> Sight:
        if self.mark.encode() in os.pread(self.memory, 64, 0):
            return Sight(reached=True, detail="the launching process's memory was written")
        return Sight(reached=False, detail="the launching process's memory is as it was")


@probe
class OtherEnvironments(Probe):
    """Find a secret in the environment of any process that can be seen."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        mark = ground.token()
        ground.victim(environment={"SERVICE_KEY": mark + self.proof})
        return {"mark": mark}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        for pid in os.listdir("/proc"):
            if not pid.isdigit():
                continue
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    text = file.read().decode("utf-8", "replace")
            except OSError:
                continue
            if c["mark"] in text:
                return text.partition(c["mark"])[2]
        return None


@probe
class OtherCommandLines(Probe):
    """Find a secret in the command line of any process that can be seen."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        mark = ground.token()
        ground.victim(code=f"import time\nprint({mark + self.proof!r}, flush=True)\ntime.sleep(60)")
        return {"mark": mark}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        for pid in visible_processes():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    text = file.read().decode("utf-8", "replace")
            except OSError:
                continue
            if c["mark"] in text:
                return text.partition(c["mark"])[2][:64]
        return None


@probe
class OtherDescriptors(Probe):
    """Read what another process holds open, by its descriptors in the process list."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        mark = ground.token()
        ground.victim(code=holding(mark, self.proof))
        return {"mark": mark}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        for pid in visible_processes():
            try:
                numbers = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue
            for number in numbers:
                path = f"/proc/{pid}/fd/{number}"
                try:
                    if c["mark"] in os.readlink(path):
                        with open(path) as file:
                            return file.read()
                except OSError:
                    continue
        return None


@probe
class SharedMemorySegment(Probe):
    """Read a shared memory segment of the host (System V)."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        key = random_key()
        segment = libc_call("shmget", key, ctypes.c_size_t(4096), CREATE | 0o666)
        ground.keep(lambda: libc_call("shmctl", segment, 0, None))
        attach = ctypes.CDLL(None, use_errno=True).shmat
        attach.restype = ctypes.c_void_p
        address = attach(segment, None, 0)
        ctypes.memmove(address, self.proof.encode(), len(self.proof))
        libc_call("shmdt", ctypes.c_void_p(address))
        return {"key": key}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes

        segment = libc_call("shmget", c["key"], ctypes.c_size_t(0), 0)
        attach = ctypes.CDLL(None, use_errno=True).shmat
        attach.restype = ctypes.c_void_p
        return ctypes.string_at(attach(segment, None, 0o10000)).decode()


@probe
class KeyAgent(Probe):
    """Ask the launching user's key agent to list its keys, by its socket."""

    family = Family.SECRETS
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        path = ground.root / "agent"
        self.agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ground.keep(self.agent.close)
        self.agent.bind(str(path))
        self.agent.listen(4)
        self.agent.setblocking(False)
        path.chmod(0o666)
        self.word = ground.token()
        return {"path": str(path), "word": self.word}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import socket

        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(1)
            client.connect(c["path"])
            request = b"\x0b" + c["word"].encode()  # request identities
            client.send(len(request).to_bytes(4, "big") + request)
        return None

    async def verdict(self, report: Report) -> Sight:
        if any(self.word.encode() in got for got in received(self.agent)):
            return Sight(reached=True, detail="the agent was asked for its keys")
        return Sight(reached=False, detail="the agent was not asked")


def plant_key(ground: Ground, secret: str) -> str:
    """Keep a secret in the user's keyring; returns the key's name. Raises Untested."""
    from ctypes import c_char_p, c_int, c_size_t

    if platform.machine() not in ("x86_64", "aarch64"):
        raise Untested(f"the numbers of system calls on {platform.machine()} are not known")
    name = ground.token()
    try:
        key = kernel_call(
            "add_key",
            c_char_p(b"user"),
            c_char_p(name.encode()),
            c_char_p(secret.encode()),
            c_size_t(len(secret)),
            c_int(-4),  # the user's keyring
        )
    except OSError as error:
        raise Untested(f"no key could be planted: {error.strerror}") from error
    ground.keep(lambda: kernel_call("keyctl", c_int(21), c_int(key)))  # invalidate
    # Readable by every process of the user, whatever session it belongs to.
    kernel_call("keyctl", c_int(5), c_int(key), c_int(0x3F3F0000))
    return name


@probe
class Keyring(Probe):
    """Read a key from the launching process's kernel keyring."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        return {"name": plant_key(ground, self.proof)}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        from ctypes import c_char_p, c_int, c_size_t, create_string_buffer

        key = kernel_call(
            "keyctl",
            c_int(10),  # search
            c_int(-4),
            c_char_p(b"user"),
            c_char_p(c["name"].encode()),
            c_int(0),
        )
        buffer = create_string_buffer(64)
        kernel_call("keyctl", c_int(11), c_int(key), buffer, c_size_t(64))  # read
        return buffer.value.decode()


@probe
class KeyNames(Probe):
    """Find the name of a key of the launching process in the kernel's list of keys."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = plant_key(ground, ground.token())
        return {}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/proc/keys") as file:
            return file.read()
