"""Telling which machine this is."""

from __future__ import annotations

import os
from pathlib import Path

from ._model import Canaries, Family, Ground, Probe, Report, Sight, Untested, probe


class _Tell(Probe):
    """Name something that only this host has."""

    family = Family.IDENTITY
    receipt = "self"

    def truth(self) -> str:
        raise NotImplementedError

    def plant(self, ground: Ground) -> Canaries:
        try:
            self.answer = self.truth().strip()
        except OSError as error:
            raise Untested(f"the host has none: {error.strerror}") from error
        if not self.answer:
            raise Untested("the host has none")
        return {}

    def tells(self, text: str) -> bool:
        return text.strip() == self.answer

    async def verdict(self, report: Report) -> Sight:
        # The value itself identifies the host, and is never repeated.
        if report.how == "returned" and self.tells(report.text or ""):
            return Sight(reached=True, detail="it is the host's")
        return Sight(reached=False, detail="it is not the host's")


@probe
class HostName(_Tell):
    """Name the host."""

    def truth(self) -> str:
        return os.uname().nodename

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        return os.uname().nodename


@probe
class BootIdentity(_Tell):
    """Name the host's boot, which tells two sandboxes that they share a machine."""

    def truth(self) -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text()

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read()


@probe
class KernelCommandLine(_Tell):
    """Read how the host's kernel was started."""

    def truth(self) -> str:
        return Path("/proc/cmdline").read_text()

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/proc/cmdline") as file:
            return file.read()


@probe
class MachineIdentity(_Tell):
    """Read the number that the host was given when it was set up."""

    def truth(self) -> str:
        return Path("/etc/machine-id").read_text()

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/etc/machine-id") as file:
            return file.read()


@probe
class Users(_Tell):
    """List the host's users."""

    def truth(self) -> str:
        return Path("/etc/passwd").read_text()

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/etc/passwd") as file:
            return file.read()


@probe
class HostsFile(_Tell):
    """Read the names that the host gives to its neighbours."""

    def truth(self) -> str:
        return Path("/etc/hosts").read_text()

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/etc/hosts") as file:
            return file.read()


@probe
class NameServers(_Tell):
    """Read which name servers the host asks."""

    def truth(self) -> str:
        return Path("/etc/resolv.conf").read_text()

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/etc/resolv.conf") as file:
            return file.read()


@probe
class HardwareAddress(_Tell):
    """Read the hardware address of a network interface of the host."""

    def truth(self) -> str:
        for interface in Path("/sys/class/net").iterdir():
            found = (interface / "address").read_text().strip()
            if found.strip("0:"):
                return found
        return ""

    def tells(self, text: str) -> bool:
        return self.answer in text.split()

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import fcntl
        import socket
        import struct

        found = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            for _, name in socket.if_nameindex():
                request = struct.pack("256s", name.encode())
                found.append(fcntl.ioctl(any_socket, 0x8927, request)[18:24].hex(":"))
        return " ".join(found)
