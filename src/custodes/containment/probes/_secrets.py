"""Finding secrets of the launching process: environment, descriptors, other processes, keyrings."""

from __future__ import annotations

import os
import platform

from ._inside import kernel_call
from ._model import Canaries, Family, Ground, Probe, Untested, probe


@probe
class LauncherEnvironment(Probe):
    """Find a secret of the launching process's environment in one's own."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        name = f"SERVICE_KEY_{self.proof[:8]}"
        os.environ[name] = self.proof
        ground.keep(lambda: os.environ.pop(name, None))
        return {}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        return "\n".join(os.environ.values())


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
class InheritedDescriptors(Probe):
    """Read a file that the launching process left open."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        descriptor = os.open(ground.file("open.key", self.proof), os.O_RDONLY)
        ground.keep(lambda: os.close(descriptor))
        os.set_inheritable(descriptor, True)
        return {}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        found = []
        for descriptor in range(3, 1024):
            try:
                found.append(os.pread(descriptor, 64, 0).decode("utf-8", "replace"))
            except OSError:
                continue
        return "\n".join(found) or None


@probe
class Keyring(Probe):
    """Read a key from the launching process's kernel keyring."""

    family = Family.SECRETS
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        from ctypes import c_char_p, c_int, c_size_t

        if platform.machine() not in ("x86_64", "aarch64"):
            raise Untested(f"the numbers of system calls on {platform.machine()} are not known")
        self.proof = ground.token()
        name = ground.token()
        secret = self.proof.encode()
        try:
            key = kernel_call(
                "add_key",
                c_char_p(b"user"),
                c_char_p(name.encode()),
                c_char_p(secret),
                c_size_t(len(secret)),
                c_int(-4),  # the user's keyring
            )
        except OSError as error:
            raise Untested(f"no key could be planted: {error.strerror}") from error
        ground.keep(lambda: kernel_call("keyctl", c_int(21), c_int(key)))  # invalidate
        # Readable by every process of the user, whatever session it belongs to.
        kernel_call("keyctl", c_int(5), c_int(key), c_int(0x3F3F0000))
        return {"name": name}

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
