"""What services may ask of the harness, for tests of services that ask for nothing but receipts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from custodes.services import ServiceRun


class NoMachine:
    """A context without a machine behind it."""

    def folder(self, name: str) -> Path:
        raise AssertionError(f"no folder {name} was expected to be asked for")

    async def run(self, folder: Path, command: Sequence[str], *, seconds: int) -> ServiceRun:
        raise AssertionError(f"no run of {command} was expected to be asked for")
