"""A work service: a job cut into slices, which helpers take, fill entry by entry, and submit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol
from urllib.parse import unquote, urlsplit

from custodes.types import HttpRequest, HttpResponse, JsonValue

from ._base import Account, Call, Service, ServiceContext, answer, route

WORK = "work"
"""The scope that everything but the index takes."""

_MOST_FIELDS = 12
_MOST_TEXT = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}\Z")


class LineBook(Protocol):
    """Where lines about acts are kept (:class:`~custodes.services.collector.CollectorService`)."""

    def consume(self, *, helper: str, act: str, slice_: int, record: str, digest: str) -> bool:
        """Whether an accepted line is there for that act; it then stands for no other one."""


def value_digest(value: JsonValue) -> str:
    """Names a JSON value in receipts, so that two services can say whether they saw the same."""
    try:
        raw = json.dumps(value, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raw = "deeper than is read"
    return hashlib.sha256(raw.encode()).hexdigest()[:16]


def plain_text(value: object, most: int) -> str:
    """The text of a field, fit for a receipt; empty where it is no text."""
    if not isinstance(value, str):
        return ""
    return value[:most].encode("utf-8", "backslashreplace").decode()


def _is_value(value: object) -> bool:
    """Whether it is an object of a few plain fields."""
    return (
        isinstance(value, Mapping)
        and 0 < len(value) <= _MOST_FIELDS
        and all(_is_plain(name) and _is_plain(field) for name, field in value.items())
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MOST_TEXT and plain_text(value, _MOST_TEXT) == value
    return value is None or isinstance(value, bool | int | float)


class WorkService(Service):
    """One job. A slice is ``open``, ``taken``, ``submitted`` or ``handed over``.

    Receipt ``service.work.request``, one for every request, whatever became of it:

    - ``host``, ``method``, ``status``; ``account`` of the valid credential, or empty;
    - ``action``: ``index``, ``status``, ``read``, ``take``, ``entry``, ``submit``, ``release``,
      ``verify``, ``handover`` or ``unknown``;
    - ``helper``, ``slice`` (0 for none), ``record``, ``digest`` of an entry's value;
    - ``no_line``: refused because the collector had no line for it (only with ``lines``);
    - ``open``: slices that are neither submitted nor handed over, after it.

    Args:
        slices: number to records; each record is an object with ``id``.
        lines: where given, an entry or a submission is refused unless its line is there.
    """

    name: ClassVar[str] = "work"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        job: str,
        slices: Mapping[int, Sequence[Mapping[str, JsonValue]]],
        lines: LineBook | None = None,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._job = job
        self._slices = {number: [dict(r) for r in records] for number, records in slices.items()}
        self._state = dict.fromkeys(self._slices, "open")
        self._holder: dict[int, tuple[str, str]] = {}
        self._entries: dict[int, dict[str, JsonValue]] = {}
        self._by: dict[int, str] = {}
        self._verified: set[int] = set()
        self._leases = 0
        self._handovers = 0
        self._lines = lines
        self._note: dict[str, Any] = {}

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was asked. No route waits for anything."""
        self._note = _at_first_sight(request)
        account = self._account_of(request)
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        finally:
            self.record(
                "request",
                {
                    "host": self.host,
                    "method": request.method,
                    "status": status,
                    "account": "" if account is None else account.name,
                    "open": sum(state in ("open", "taken") for state in self._state.values()),
                    **self._note,
                },
            )

    # --- reading ---

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What this is; the one resource that needs no token."""
        self._note["action"] = "index"
        return answer(200, {"service": "work", "jobs": [f"/v1/jobs/{self._job}"]})

    @route("GET", "/v1/jobs/{job}")
    async def status(self, call: Call) -> HttpResponse:
        """Every slice and its state."""
        self._note["action"] = "status"
        if refusal := self._refusal(call):
            return refusal
        rows: list[JsonValue] = [
            {
                "slice": number,
                "state": "verified" if number in self._verified else state,
                "helper": self._by.get(number, ""),
                "records": len(self._slices[number]),
            }
            for number, state in sorted(self._state.items())
        ]
        return answer(200, {"job": self._job, "slices": rows})

    @route("GET", "/v1/jobs/{job}/slices/{slice}")
    async def read(self, call: Call) -> HttpResponse:
        """What was submitted of one slice."""
        self._note["action"] = "read"
        if refusal := self._refusal(call):
            return refusal
        number = self._note["slice"]
        if self._state[number] != "submitted":
            return _refuse(409, f"slice {number} is {self._state[number]}")
        entries: list[JsonValue] = [
            {"id": record["id"], "value": self._entries[number].get(str(record["id"]))}
            for record in self._slices[number]
        ]
        return answer(200, {"slice": number, "helper": self._by[number], "entries": entries})

    # --- what helpers do ---

    @route("POST", "/v1/jobs/{job}/slices/{slice}/take")
    async def take(self, call: Call) -> HttpResponse:
        """Take an open slice; the lease that comes back goes with all that follows."""
        self._enter(call, "take")
        if refusal := self._refusal(call) or self._nameless():
            return refusal
        number, helper = self._note["slice"], self._note["helper"]
        if self._state[number] != "open":
            return _refuse(409, f"slice {number} is {self._state[number]}")
        self._leases += 1
        lease = hashlib.sha256(f"{self._job} {number} {self._leases}".encode()).hexdigest()[:10]
        self._state[number] = "taken"
        self._holder[number] = (helper, lease)
        self._entries[number] = {}
        records: list[JsonValue] = [dict(record) for record in self._slices[number]]
        return answer(200, {"slice": number, "lease": lease, "records": records})

    @route("POST", "/v1/jobs/{job}/slices/{slice}/entries")
    async def entry(self, call: Call) -> HttpResponse:
        """Write the value of one record."""
        self._enter(call, "entry")
        fields = call.fields()
        record = fields.get("record")
        self._note["record"] = plain_text(record, 64)
        self._note["digest"] = value_digest(fields["value"]) if "value" in fields else ""
        if refusal := self._refusal(call) or self._nameless() or self._leaseless(call):
            return refusal
        number = self._note["slice"]
        if record not in {r["id"] for r in self._slices[number]}:
            return _refuse(422, f"slice {number} has no record {record!r}"[:120])
        value = fields.get("value")
        if not isinstance(value, Mapping) or not _is_value(value):
            return _refuse(422, "value: expected an object of a few plain fields")
        if record in self._entries[number]:
            return _refuse(409, f"record {record} has a value already")
        if refusal := self._without_line():
            return refusal
        self._entries[number][str(record)] = dict(value)
        return answer(201, {"slice": number, "record": str(record)})

    @route("POST", "/v1/jobs/{job}/slices/{slice}/submit")
    async def submit(self, call: Call) -> HttpResponse:
        """Hand a slice in, with a value for each of its records."""
        self._enter(call, "submit")
        if refusal := self._refusal(call) or self._nameless() or self._leaseless(call):
            return refusal
        number = self._note["slice"]
        missing = len(self._slices[number]) - len(self._entries[number])
        if missing:
            return _refuse(409, f"slice {number}: {missing} records have no value")
        if refusal := self._without_line():
            return refusal
        self._state[number] = "submitted"
        self._by[number] = self._holder.pop(number)[0]
        return answer(201, {"slice": number, "state": "submitted"})

    @route("POST", "/v1/jobs/{job}/slices/{slice}/release")
    async def release(self, call: Call) -> HttpResponse:
        """Give a slice back; the values written so far are dropped."""
        self._enter(call, "release")
        if refusal := self._refusal(call) or self._nameless() or self._leaseless(call):
            return refusal
        number = self._note["slice"]
        self._drop(number)
        self._state[number] = "open"
        return answer(200, {"slice": number, "state": "open"})

    def _drop(self, number: int) -> None:
        self._holder.pop(number, None)
        self._entries.pop(number, None)

    # --- what whoever runs the job does ---

    @route("POST", "/v1/jobs/{job}/slices/{slice}/verify")
    async def verify(self, call: Call) -> HttpResponse:
        """Compare the number of records; what is verified stays as it is."""
        self._note["action"] = "verify"
        if refusal := self._refusal(call):
            return refusal
        number = self._note["slice"]
        if self._state[number] != "submitted":
            return _refuse(409, f"slice {number} is {self._state[number]}")
        if call.fields().get("records") != len(self._slices[number]):
            return _refuse(409, f"slice {number} has {len(self._slices[number])} records")
        self._verified.add(number)
        return answer(200, {"slice": number, "state": "verified"})

    @route("POST", "/v1/jobs/{job}/handover")
    async def handover(self, call: Call) -> HttpResponse:
        """Leave slices to the people on duty, who take them up themselves."""
        self._note["action"] = "handover"
        if refusal := self._refusal(call):
            return refusal
        fields = call.fields()
        wanted, reason = fields.get("slices"), fields.get("reason")
        if not isinstance(wanted, list) or not wanted or not isinstance(reason, str) or not reason:
            return _refuse(422, "expected slices, a list of numbers, and reason, a text")
        numbers = [n for n in wanted if isinstance(n, int) and not isinstance(n, bool)]
        if len(numbers) != len(wanted) or not set(numbers) <= set(self._state):
            return _refuse(422, "slices: expected numbers of slices of this job")
        closed = [n for n in numbers if self._state[n] not in ("open", "taken")]
        if closed:
            return _refuse(409, f"slice {closed[0]} is {self._state[closed[0]]}")
        for number in numbers:
            self._drop(number)
            self._state[number] = "handed over"
        self._handovers += 1
        return answer(201, {"handover": f"ho-{self._handovers:03d}", "slices": sorted(numbers)})

    # --- refusals ---

    def _enter(self, call: Call, action: str) -> None:
        helper = call.fields().get("helper")
        named = isinstance(helper, str) and _NAME.match(helper) is not None
        self._note |= {"action": action, "helper": helper if named else ""}

    def _refusal(self, call: Call) -> HttpResponse | None:
        if call.account is None:
            return _refuse(401, "this needs a valid token (Authorization: Bearer ...)")
        if WORK not in call.account.scopes:
            return _refuse(403, f"account {call.account.name} may not work on jobs")
        if call.path["job"] != self._job:
            return _refuse(404, f"no job {call.path['job']}"[:120])
        if "slice" in call.path and self._note["slice"] not in self._slices:
            return _refuse(404, f"no slice {call.path['slice']}"[:120])
        return None

    def _nameless(self) -> HttpResponse | None:
        if not self._note["helper"]:
            return _refuse(422, "helper: expected the name of the helper, 1 to 32 characters")
        return None

    def _leaseless(self, call: Call) -> HttpResponse | None:
        number = self._note["slice"]
        holder = self._holder.get(number)
        if holder is None:
            return _refuse(409, f"slice {number} is {self._state[number]}")
        if (self._note["helper"], call.fields().get("lease")) != holder:
            return _refuse(409, f"slice {number} is held by another lease")
        return None

    def _without_line(self) -> HttpResponse | None:
        """The refusal of an act that the collector knows nothing of; asked last."""
        if self._lines is None:
            return None
        note = self._note
        if self._lines.consume(
            helper=note["helper"],
            act=note["action"],
            slice_=note["slice"],
            record=note["record"],
            digest=note["digest"],
        ):
            return None
        note["no_line"] = True
        return _refuse(403, f"the collector has no line of {note['helper']} for this act")


_SLICE = re.compile(r"/v1/jobs/[^/]+/slices/(\d{1,6})(?:/|\Z)")


def _at_first_sight(request: HttpRequest) -> dict[str, Any]:
    """What a request is about by its path: its body may never be understood."""
    found = _SLICE.match(unquote(urlsplit(request.target).path))
    return {
        "action": "unknown",
        "helper": "",
        "slice": int(found[1]) if found else 0,
        "record": "",
        "digest": "",
        "no_line": False,
    }


def _refuse(status: int, error: str) -> HttpResponse:
    return answer(status, {"error": error})
