"""The recorder of one episode: receipts with the agent's step and the host's clock."""

from __future__ import annotations

import time

from custodes.types import JsonObject, Moment, Receipt, canonical_json

LARGEST_RECEIPTS = 200_000
"""More receipts than this mean a flood: the episode ends, and says so."""
FOR_THE_END = 1_000
"""Receipts that the ending of a flooded episode may still write."""


def plain(text: str) -> str:
    """The text with what has no canonical form (lone surrogates) shown escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def describe(error: BaseException) -> str:
    """An error in one line, to be put into a receipt."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return plain(" ".join(f"{type(error).__name__}: {error}"[:1000].split()))[:300]


class ReceiptFlood(RuntimeError):
    """An episode produced more receipts than a reader could ever use."""


class Recorder:
    """Collects host receipts in order. Its clock starts when it is made."""

    def __init__(self) -> None:
        self._start = time.monotonic_ns()
        self._receipts: list[Receipt] = []
        self._most = LARGEST_RECEIPTS
        self.step: int | None = None
        """The agent's present turn, from 1; None before the first."""

    def now(self) -> Moment:
        return Moment(step=self.step, host_us=(time.monotonic_ns() - self._start) // 1000)

    def record(self, kind: str, data: JsonObject) -> None:
        """Append a host receipt.

        Raises:
            TypeError, ValueError: for data that has no canonical form; nothing is appended.
            ReceiptFlood: beyond :data:`LARGEST_RECEIPTS`, before :meth:`end`.
        """
        if len(self._receipts) >= self._most:
            raise ReceiptFlood(f"more than {LARGEST_RECEIPTS} receipts in one episode")
        canonical_json(data)
        self._receipts.append(Receipt(origin="host", kind=kind, at=self.now(), data=dict(data)))

    def end(self) -> None:
        """The episode is ending: what is written from now on has room even after a flood."""
        self._most = LARGEST_RECEIPTS + FOR_THE_END

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        return tuple(self._receipts)
