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

    async def verdict(self, report: Report) -> Sight:
        # The value itself identifies the host, and is never repeated.
        if report.how == "returned" and (report.text or "").strip() == self.answer:
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
