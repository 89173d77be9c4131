"""What a stop order acts on: the parts of sandboxes, brokers, credentials and jobs that it uses."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol

from ._spec import FreezeReceipt, KillReceipt, ProcessInfo


class Stoppable(Protocol):
    """The part of a sandbox that a stop order uses.

    One that has a version 2 control group of its own shows it as ``cgroup`` (a path, or None) and
    takes ``kill(count=False, by="cgroup")``.
    """

    @property
    def workspace_host(self) -> Path | None: ...
    def processes(self) -> tuple[ProcessInfo, ...]: ...
    async def freeze(self) -> FreezeReceipt: ...
    async def kill(self, *, count: bool = True) -> KillReceipt:
        """End everything; without a count of what there was, which takes time, when told so."""
        ...


class Cuttable(Protocol):
    """The part of an egress broker that a stop order uses.

    One that has a coroutine ``close()`` is closed where its cut fails.
    """

    def cut(self) -> object:
        """End what is open and refuse what is new; a coroutine or not. Raises on failure.

        Called on a thread of its own, so that one that blocks holds up nothing else.
        """
        ...


class Revocable(Protocol):
    """A credential that can be withdrawn, and tried afterwards. Neither may block."""

    @property
    def name(self) -> str: ...
    def revoke(self) -> Awaitable[None] | None:
        """Withdraw it. Raises on failure."""
        ...

    def is_refused(self) -> Awaitable[bool] | bool:
        """Use it where it was valid, and say whether it was refused."""
        ...


class Haltable(Protocol):
    """A queued job or a sub-agent that can be halted, and asked about afterwards.

    One that runs in a sandbox shows it as ``sandbox``; it is killed where the halt fails.
    """

    @property
    def name(self) -> str: ...
    def halt(self) -> Awaitable[None] | None: ...
    def is_gone(self) -> Awaitable[bool] | bool: ...
