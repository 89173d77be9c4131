"""What the host saw, in the order in which it saw it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from custodes.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One thing that the host saw.

    Attributes:
        us: microseconds of the host's monotonic clock since the run began.
        kind: what it was.
        data: integers and text about it.
    """

    us: int
    kind: str
    data: JsonObject

    def to_json(self) -> JsonObject:
        return {"us": self.us, "kind": self.kind, "data": self.data}


class Receipts:
    """Receipts of one run: they are appended and never changed. Threads may share it."""

    def __init__(self) -> None:
        self._began_ns = time.monotonic_ns()
        self._lock = threading.Lock()
        self._all: list[Receipt] = []

    def now_us(self) -> int:
        """Microseconds since the run began."""
        return (time.monotonic_ns() - self._began_ns) // 1000

    def add(self, kind: str, data: JsonObject | None = None, *, us: int | None = None) -> int:
        """Append a receipt, of now unless it was seen before; returns its time."""
        with self._lock:
            at = self.now_us() if us is None else us
            self._all.append(Receipt(us=at, kind=kind, data=data or {}))
        return at

    def all(self) -> tuple[Receipt, ...]:
        with self._lock:
            return tuple(self._all)
