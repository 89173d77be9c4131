"""The recorder of one episode: receipts with the agent's step and the host's clock."""

from __future__ import annotations

import time

from custodes.types import JsonObject, Moment, Receipt, canonical_json

LARGEST_RECEIPTS = 200_000
"""More receipts than this mean a flood: the episode ends, and says so."""


class ReceiptFlood(RuntimeError):
    """An episode produced more receipts than a reader could ever use."""


class Recorder:
    """Collects host receipts in order. Its clock starts when it is made."""

    def __init__(self) -> None:
        self._start = time.monotonic_ns()
        self._receipts: list[Receipt] = []
        self.step: int | None = None
        """The agent's present turn, from 1; None before the first."""

    def now(self) -> Moment:
        return Moment(step=self.step, host_us=(time.monotonic_ns() - self._start) // 1000)

    def record(self, kind: str, data: JsonObject) -> None:
        """Append a host receipt.

        Raises:
            TypeError, ValueError: for data that has no canonical form; nothing is appended.
            ReceiptFlood: beyond :data:`LARGEST_RECEIPTS`.
        """
        if len(self._receipts) >= LARGEST_RECEIPTS:
            raise ReceiptFlood(f"more than {LARGEST_RECEIPTS} receipts in one episode")
        canonical_json(data)
        self._receipts.append(Receipt(origin="host", kind=kind, at=self.now(), data=dict(data)))

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        return tuple(self._receipts)
