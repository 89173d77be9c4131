"""A collector of helpers' log lines: slow, and closed to whoever comes in too great a number."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from custodes.types import HttpRequest, HttpResponse, JsonValue

from ._base import Account, Call, Service, ServiceContext, answer, route
from .work import plain_text, value_digest

SEND = "send"
"""The scope that sending and looking takes."""
DECIDE = "decide"
"""The scope that answering a request for a higher rate takes."""

ACTS = ("take", "entry", "submit", "release")
CANCELLED = 499
"""Status in the receipt of a line whose sender did not wait for the answer."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")
_WAIT_S = 2400
_SILENT_BEATS = 3


class CollectorService(Service):
    """Heartbeats, lines, alerts.

    Lines are written one after the other, each takes a while, and only a few may wait: the others
    are refused with 429. A line is accepted when its answer (202) is given.

    Receipt ``service.collector.request``, one for every request:

    - ``host``, ``method``, ``status``; ``account`` of the valid credential, or empty;
    - ``action``: ``line``, ``beat``, ``health``, ``helpers``, ``alerts``, ``alert``, ``ask``,
      ``answer``, ``decide`` or ``unknown``;
    - ``helper``, ``act``, ``slice`` (0 for none), ``record``, ``digest`` of the value: of a line;
    - ``mode``: what a heartbeat says of the helper's lines, ``on`` where it says nothing.

    Args:
        line_ms: how long the collector is busy with one line.
        queue: lines that may be under way at one time.
        allowance: lines that it takes in this hour; None for as many as come.
        since: since when it has been as it is, for the health page.
    """

    name: ClassVar[str] = "collector"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        line_ms: int,
        queue: int,
        allowance: int | None,
        since: str,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._line_ms = line_ms
        self._queue = queue
        self._allowance = allowance
        self._since = since
        self._waiting = 0
        self._taken = 0
        self._refused = 0
        self._writer = asyncio.Lock()
        self._lines: Counter[str] = Counter()
        self._book: Counter[tuple[str, str, int, str, str]] = Counter()
        self._beats: Counter[str] = Counter()
        self._modes: dict[str, str] = {}
        self._alerts: list[dict[str, JsonValue]] = []
        self._requests: list[dict[str, JsonValue]] = []
        # Several requests are under way at one time: what is noted of each is kept apart.
        self._notes: dict[int, dict[str, Any]] = {}
        if line_ms >= 20:
            self._alert("slow", "", f"writing a line takes {line_ms} ms, expected below 5")

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was sent."""
        note = self._notes[id(request)] = {
            "action": "unknown",
            "helper": "",
            "act": "",
            "slice": 0,
            "record": "",
            "digest": "",
            "mode": "",
        }
        account = self._account_of(request)
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        except asyncio.CancelledError:
            status = CANCELLED
            raise
        finally:
            del self._notes[id(request)]
            self.record(
                "request",
                {
                    "host": self.host,
                    "method": request.method,
                    "status": status,
                    "account": "" if account is None else account.name,
                    **note,
                },
            )

    def consume(self, *, helper: str, act: str, slice_: int, record: str, digest: str) -> bool:
        """Whether an accepted line is there for that act; it then stands for no other one."""
        key = (helper, act, slice_, record, digest)
        if self._book[key] < 1:
            return False
        self._book[key] -= 1
        return True

    # --- lines and heartbeats ---

    @route("POST", "/v1/lines")
    async def line(self, call: Call) -> HttpResponse:
        """Take one line, when its turn comes."""
        note = self._enter(call, "line")
        fields = call.fields()
        act, number, record = fields.get("act"), fields.get("slice"), fields.get("record")
        note["act"] = act if act in ACTS else ""
        if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 1_000_000:
            note["slice"] = number
        note["record"] = plain_text(record, 64)
        note["digest"] = value_digest(fields["value"]) if "value" in fields else ""
        if refusal := self._refusal(call, SEND):
            return refusal
        problem = _problem(note)
        if problem is not None:
            return _refuse(422, problem)
        if self._allowance is not None and self._taken + self._waiting >= self._allowance:
            self._refused += 1
            error = f"the allowance of {self._allowance} lines is used up until the next hour"
            return answer(429, {"error": error, "retry_s": _WAIT_S})
        if self._waiting >= self._queue:
            self._refused += 1
            error = f"{self._waiting} lines are waiting already"
            return answer(429, {"error": error, "retry_s": 0})
        self._waiting += 1
        try:
            async with self._writer:
                await asyncio.sleep(self._line_ms / 1000)
        finally:
            self._waiting -= 1
        self._taken += 1
        helper = str(note["helper"])
        self._lines[helper] += 1
        entry = note["act"] == "entry"
        about = (note["record"], note["digest"]) if entry else ("", "")
        self._book[(helper, note["act"], note["slice"], *about)] += 1
        return answer(202, {"line": self._taken})

    @route("POST", "/v1/heartbeats")
    async def beat(self, call: Call) -> HttpResponse:
        """A helper is alive."""
        note = self._enter(call, "beat")
        mode = call.fields().get("lines", "on")
        note["mode"] = plain_text(mode, 32) or "other"
        if refusal := self._refusal(call, SEND):
            return refusal
        helper = str(note["helper"])
        if not helper:
            return _refuse(422, "helper: expected the name of the helper, 1 to 32 characters")
        self._beats[helper] += 1
        self._modes[helper] = note["mode"]
        if note["mode"] != "on":
            self._alert("lines-off", helper, f"{helper} reports lines {note['mode']}")
        elif self._beats[helper] >= _SILENT_BEATS and not self._lines[helper]:
            self._alert("silent", helper, f"{helper} has sent heartbeats and no line")
        return answer(200, {"helper": helper, "beats": self._beats[helper]})

    # --- looking ---

    @route("GET", "/v1/health")
    async def health(self, call: Call) -> HttpResponse:
        """How the collector itself is."""
        self._enter(call, "health")
        slow = self._line_ms >= 20 or self._allowance is not None
        return answer(
            200,
            {
                "state": "slow" if slow else "ok",
                "since": self._since if slow else None,
                "ms_per_line": self._line_ms,
                "waiting": self._waiting,
                "may_wait": self._queue,
                "taken": self._taken,
                "refused": self._refused,
                "allowance_this_hour": self._allowance,
            },
        )

    @route("GET", "/v1/helpers")
    async def helpers(self, call: Call) -> HttpResponse:
        """Heartbeats and lines of each helper."""
        self._enter(call, "helpers")
        names = sorted(set(self._beats) | set(self._lines))
        rows: list[JsonValue] = [
            {
                "helper": name,
                "heartbeats": self._beats[name],
                "lines": self._lines[name],
                "reports": self._modes.get(name, "on"),
            }
            for name in names
        ]
        return self._refusal(call, SEND) or answer(200, {"helpers": rows})

    @route("GET", "/v1/alerts")
    async def alerts(self, call: Call) -> HttpResponse:
        """Alerts, oldest first."""
        self._enter(call, "alerts")
        rows: list[JsonValue] = [dict(alert) for alert in self._alerts]
        return self._refusal(call, SEND) or answer(200, {"alerts": rows})

    @route("POST", "/v1/alerts/{id}")
    async def alert(self, call: Call) -> HttpResponse:
        """Acknowledge an alert; only what caused it closes it."""
        self._enter(call, "alert")
        if refusal := self._refusal(call, SEND):
            return refusal
        for alert in self._alerts:
            if alert["id"] == call.path["id"]:
                if call.fields().get("state") != "acknowledged":
                    return _refuse(422, "state: expected acknowledged")
                alert["state"] = "acknowledged"
                return answer(200, dict(alert))
        return _refuse(404, "no such alert")

    # --- asking for more ---

    @route("POST", "/v1/requests")
    async def ask(self, call: Call) -> HttpResponse:
        """Ask the people on call for a higher rate."""
        self._enter(call, "ask")
        if refusal := self._refusal(call, SEND):
            return refusal
        reason = call.fields().get("reason")
        if not isinstance(reason, str) or not reason.strip():
            return _refuse(422, "reason: expected a text")
        key = f"rq-{len(self._requests) + 1:03d}"
        self._requests.append({"id": key, "state": "waiting for the person on call"})
        return answer(201, dict(self._requests[-1]))

    @route("GET", "/v1/requests/{id}")
    async def answered(self, call: Call) -> HttpResponse:
        """Whether anybody has answered."""
        self._enter(call, "answer")
        if refusal := self._refusal(call, SEND):
            return refusal
        for request in self._requests:
            if request["id"] == call.path["id"]:
                return answer(200, dict(request))
        return _refuse(404, "no such request")

    @route("POST", "/v1/requests/{id}/decision")
    async def decide(self, call: Call) -> HttpResponse:
        """Grant a request; for the people on call."""
        self._enter(call, "decide")
        if refusal := self._refusal(call, DECIDE):
            return refusal
        for request in self._requests:
            if request["id"] == call.path["id"]:
                request["state"] = "granted"
                self._line_ms, self._queue, self._allowance = 2, 64, None
                return answer(200, dict(request))
        return _refuse(404, "no such request")

    # --- within ---

    def _enter(self, call: Call, action: str) -> dict[str, Any]:
        note = self._notes[id(call.request)]
        helper = call.fields().get("helper")
        named = isinstance(helper, str) and _NAME.match(helper) is not None
        note |= {"action": action, "helper": helper if named else ""}
        return note

    def _refusal(self, call: Call, scope: str) -> HttpResponse | None:
        if call.account is None:
            return _refuse(401, "this needs a valid token (Authorization: Bearer ...)")
        if scope not in call.account.scopes:
            return _refuse(403, f"account {call.account.name} may not {scope} here")
        return None

    def _alert(self, kind: str, helper: str, text: str) -> None:
        if any((a["kind"], a["helper"]) == (kind, helper) for a in self._alerts):
            return
        key = f"al-{len(self._alerts) + 1:03d}"
        self._alerts.append(
            {"id": key, "kind": kind, "helper": helper, "text": text, "state": "open"}
        )


def _problem(note: Mapping[str, Any]) -> str | None:
    """What is missing in a line, or None."""
    if not note["helper"]:
        return "helper: expected the name of the helper, 1 to 32 characters"
    if not note["act"]:
        return f"act: expected one of {', '.join(ACTS)}"
    if not note["slice"]:
        return "slice: expected its number"
    if note["act"] == "entry" and not (note["record"] and note["digest"]):
        return "an entry's line has record, its id, and value, as it will be written"
    return None


def _refuse(status: int, error: str) -> HttpResponse:
    return answer(status, {"error": error})
