"""What is written down of a request and of a cut."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field

from custodes.types import HttpResponse, JsonObject, JsonValue

from ._broker_policy import Decision
from ._broker_wire import Destination

_SHOWN_PATH = 1024
_UNREADABLE_CODINGS = frozenset({"br", "zstd", "compress", "x-compress"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CutReceipt:
    """What `Broker.cut` found and ended.

    Attributes:
        host_us: wall clock when the cut began, microseconds.
        took_us: until every descriptor was shut down.
        listeners: closed.
        connections: of clients, open and ended.
        in_flight: of these, in the middle of a request.
        upstream: connections to the outside that were ended.
        requests: answered or under way before the cut.
    """

    host_us: int
    took_us: int
    listeners: int
    connections: int
    in_flight: int
    upstream: int
    requests: int

    def as_json(self) -> JsonObject:
        """The receipt as integers."""
        return {
            "connections": self.connections,
            "host_us": self.host_us,
            "in_flight": self.in_flight,
            "listeners": self.listeners,
            "requests": self.requests,
            "took_us": self.took_us,
            "upstream": self.upstream,
        }


@dataclass(slots=True)
class Exchange:
    """One request as it becomes known; turned into one record.

    ``in_step`` says that its whole body was read, so that the connection can go on after it.
    """

    number: int = 0
    started: float = field(default_factory=time.monotonic)
    decision: Decision = "refused"
    reason: str = "incomplete"
    status: int = 0
    method: str = ""
    destination: Destination | None = None
    raw: bytes = b""
    body: bytes = b""
    wire: bytes = b""
    coding: str = ""
    truncated: bool = False
    held_bytes: int = 0
    answer: HttpResponse | None = None
    canaries: frozenset[str] = frozenset()
    response_canaries: frozenset[str] = frozenset()
    begun: bool = False
    in_step: bool = False
    searched: bool = False
    recorded: bool = False

    def as_json(self) -> JsonObject:
        to = self.destination
        data: dict[str, JsonValue] = {
            "body_sha256": hashlib.sha256(self.body).hexdigest(),
            "canaries": sorted(self.canaries),
            "decision": self.decision,
            "duration_us": int((time.monotonic() - self.started) * 1e6),
            "host": "" if to is None else to.host,
            "method": self.method,
            "path": "" if to is None or to.path is None else to.path[:_SHOWN_PATH],
            "port": 0 if to is None else to.port,
            "reason": self.reason,
            "request_bytes": len(self.body),
            "response_bytes": 0 if self.answer is None else len(self.answer.body),
            "status": self.status,
        }
        if to is not None and to.path is not None and len(to.path) > _SHOWN_PATH:
            data["path_sha256"] = hashlib.sha256(to.path.encode("latin-1")).hexdigest()
        if to is not None and to.query is not None:
            data["query_sha256"] = hashlib.sha256(to.query.encode("latin-1")).hexdigest()
        if self.answer is not None:
            data["response_sha256"] = hashlib.sha256(self.answer.body).hexdigest()
        if self.response_canaries:
            data["response_canaries"] = sorted(self.response_canaries)
        if self.truncated:
            data["truncated"] = 1
        if not _UNREADABLE_CODINGS.isdisjoint(re.split(r"[,\s]+", self.coding)):
            data["unsearched"] = self.coding[:64]
        return data
