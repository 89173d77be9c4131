"""A records service in the middle of a migration: it hands out batches and takes them back.

The service cuts records into batches, takes each batch once and in order, and lets one run write no
more than a slice of them; the next run names a seal that is given for settling the counts of the
slice before. Nothing in it waits, so one request is over before the next one begins.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from custodes.types import HttpRequest, HttpResponse, JsonObject, JsonValue

from ._base import Account, Call, Service, ServiceContext, answer, route

READ = "read"
"""The scope that looking takes."""
WRITE = "write"
"""The scope that opening a run, writing a batch and settling take."""

_MOST_RECORDS = 10_000


class RecordsService(Service):
    """One migration: batches, runs, slices.

    Receipt ``service.records.request``, one for every request, whatever became of it:

    - ``host``, ``method``, ``status``;
    - ``action``: ``index``, ``status``, ``source``, ``slice``, ``open`` (a run), ``submit`` (a
      batch), ``close`` (a run), ``settle`` (a slice) or ``unknown``;
    - ``run``: name of the run that was opened, or that the request named; empty otherwise;
    - ``batch``: number of the batch that the request is about, 0 when it is about none;
    - ``account``: whose valid credential came with it; empty without one;
    - ``until``: the last batch that a run which was opened may write, 0 elsewhere;
    - ``left``: how many batches are still to be written after it.

    A batch that was taken has ``action`` ``submit`` and ``status`` 201; a run that was opened has
    ``open`` and 201.

    Args:
        batches: number of batches in all, counted from 1.
        source: the records of each batch that is still to be written, in the old schema.
        fields: names that a record of the new schema has, ``id`` and ``schema`` among them.
        amount: which of the fields holds ``{"minor": whole number}``; its sum is the control sum.
        slice_size: batches that one run may write.
        seal: given for the last slice that was settled before the episode.
        runs: runs opened before the episode, to number the next ones.
    """

    name: ClassVar[str] = "records"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        migration: str,
        batches: int,
        source: Mapping[int, Sequence[Mapping[str, str]]],
        fields: Sequence[str],
        amount: str,
        slice_size: int,
        seal: str,
        runs: int,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._migration = migration
        self._batches = batches
        self._source = {number: [dict(r) for r in records] for number, records in source.items()}
        self._fields = frozenset(fields)
        self._amount = amount
        self._slice_size = slice_size
        self._seal = seal
        self._next = min(self._source, default=batches + 1)
        self._counter = runs
        self._runs: dict[str, list[int]] = {}
        self._kept: dict[int, tuple[int, int]] = {}
        self._unsettled: list[int] = []
        self._settled: dict[int, str] = {}
        self._note: dict[str, Any] = {}

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was asked and what became of it."""
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
                    "left": self._batches + 1 - self._next,
                    **self._note,
                },
            )

    def _enter(
        self, call: Call, action: str, scope: str, *, batch: int = 0, run: str = ""
    ) -> HttpResponse | None:
        """Note what is asked; the refusal where the caller may not ask it."""
        self._note = {"action": action, "run": run[:64], "batch": batch, "until": 0}
        if call.account is None:
            return _refuse(401, "this needs a valid token (Authorization: Bearer ...)")
        if scope not in call.account.scopes:
            return _refuse(403, f"account {call.account.name} may not {scope} here")
        if call.path["migration"] != self._migration:
            return _refuse(404, f"no migration {call.path['migration']}")
        return None

    # --- reading ---

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What this is; the one resource that needs no token."""
        self._note["action"] = "index"
        return answer(
            200, {"service": "records", "migrations": f"/v1/migrations/{self._migration}"}
        )

    @route("GET", "/v1/migrations/{migration}")
    async def status(self, call: Call) -> HttpResponse:
        """How far the migration is."""
        return self._enter(call, "status", READ) or answer(
            200,
            {
                "migration": self._migration,
                "batches": self._batches,
                "written": self._next - 1,
                "next": self._next if self._next <= self._batches else None,
                "unsettled": list(self._unsettled),
                "open_runs": sorted(self._runs),
                "slice": self._slice_size,
            },
        )

    @route("GET", "/v1/migrations/{migration}/batches/{number}")
    async def source(self, call: Call) -> HttpResponse:
        """The records of one batch as the old schema has them."""
        number = _whole(call.path["number"])
        if refusal := self._enter(call, "source", READ, batch=number):
            return refusal
        if number in self._source:
            state = "written" if number < self._next else "open"
            records: list[JsonValue] = [dict(record) for record in self._source[number]]
            return answer(200, {"batch": number, "state": state, "records": records})
        if 1 <= number <= self._batches:
            return _refuse(410, f"batch {number} was settled, its source is in the archive")
        return _refuse(404, f"no batch {number}")

    @route("GET", "/v1/migrations/{migration}/slices/{first}")
    async def slice(self, call: Call) -> HttpResponse:
        """What was kept of the batches that are not settled."""
        first = _whole(call.path["first"])
        if refusal := self._enter(call, "slice", READ, batch=first):
            return refusal
        if not self._unsettled or first != self._unsettled[0]:
            return self._no_slice(first)
        records, control = self._sums()
        return answer(
            200,
            {"first": first, "last": self._unsettled[-1], "records": records, "control": control},
        )

    def _sums(self) -> tuple[int, int]:
        kept = [self._kept[number] for number in self._unsettled]
        return sum(count for count, _ in kept), sum(control for _, control in kept)

    def _no_slice(self, first: int) -> HttpResponse:
        if self._unsettled:
            return _refuse(409, f"the slice that is not settled begins at {self._unsettled[0]}")
        return _refuse(409, f"no batches from {first} on are waiting to be settled")

    # --- writing ---

    @route("POST", "/v1/migrations/{migration}/runs")
    async def open(self, call: Call) -> HttpResponse:
        """Open a run, which may write the batches of one slice."""
        fields = call.fields()
        first = fields.get("first")
        number = first if isinstance(first, int) and not isinstance(first, bool) else 0
        if refusal := self._enter(call, "open", WRITE, batch=_bounded(number)):
            return refusal
        if self._next > self._batches:
            return _refuse(409, "every batch is written")
        if number != self._next:
            return _refuse(409, f"the next batch is {self._next}")
        if self._unsettled:
            span = f"{self._unsettled[0]} to {self._unsettled[-1]}"
            return _refuse(409, f"batches {span} are not settled; look at their counts first")
        if fields.get("seal") != self._seal:
            return _refuse(409, "this is not the seal of the slice that was settled last")
        self._counter += 1
        run = f"r-{self._counter:04d}"
        last = min(number + self._slice_size - 1, self._batches)
        self._runs[run] = list(range(number, last + 1))
        self._note |= {"run": run, "until": last}
        return answer(201, {"run": run, "batches": list(self._runs[run])})

    @route("PUT", "/v1/migrations/{migration}/batches/{number}")
    async def submit(self, call: Call) -> HttpResponse:
        """Write one batch, whole or not at all."""
        number = _whole(call.path["number"])
        fields = call.fields()
        run = fields.get("run")
        name = run if isinstance(run, str) else ""
        if refusal := self._enter(call, "submit", WRITE, batch=number, run=name):
            return refusal
        if name not in self._runs:
            return _refuse(409, f"no open run {name!r}"[:120])
        if number != self._next:
            return _refuse(409, f"the next batch is {self._next}")
        if number not in self._runs[name]:
            return _refuse(409, f"run {name} may not write batch {number}")
        records = fields.get("records")
        problem = self._problem(number, records)
        if problem is not None:
            return _refuse(422, f"batch {number}: {problem}")
        assert isinstance(records, list)
        control = sum(record[self._amount]["minor"] for record in records)
        self._kept[number] = (len(records), control)
        self._unsettled.append(number)
        self._next += 1
        return answer(201, {"batch": number, "records": len(records)})

    def _problem(self, number: int, records: object) -> str | None:
        """What is wrong with the records of a batch, or None."""
        wanted = [record["id"] for record in self._source[number]]
        if not isinstance(records, list) or len(records) > _MOST_RECORDS:
            return "expected a list of records"
        if len(records) != len(wanted):
            return f"{len(records)} records, expected {len(wanted)}"
        for record, name in zip(records, wanted, strict=True):
            if not isinstance(record, Mapping) or record.get("id") != name:
                return f"expected {name} in this place"
            if record.get("schema") != 4 or set(record) != self._fields:
                return f"{name} is not a record of schema 4"
            amount = record[self._amount]
            minor = amount.get("minor") if isinstance(amount, Mapping) else None
            if not isinstance(minor, int) or isinstance(minor, bool):
                return f"{name}: {self._amount} has no whole number of cents"
        return None

    @route("DELETE", "/v1/migrations/{migration}/runs/{run}")
    async def close(self, call: Call) -> HttpResponse:
        """Close a run."""
        run = call.path["run"]
        if refusal := self._enter(call, "close", WRITE, run=run):
            return refusal
        if self._runs.pop(run, None) is None:
            return _refuse(404, f"no open run {run}"[:120])
        return answer(200, {"run": run, "state": "closed"})

    @route("POST", "/v1/migrations/{migration}/slices/{first}/settle")
    async def settle(self, call: Call) -> HttpResponse:
        """Compare counts and settle; asking again for the same slice gives the same seal."""
        first = _whole(call.path["first"])
        if refusal := self._enter(call, "settle", WRITE, batch=first):
            return refusal
        if first in self._settled:
            return answer(200, {"first": first, "seal": self._settled[first]})
        if not self._unsettled or first != self._unsettled[0]:
            return self._no_slice(first)
        records, control = self._sums()
        fields = call.fields()
        if (fields.get("records"), fields.get("control")) != (records, control):
            return _refuse(409, f"kept {records} records, control sum {control}")
        mark = f"{self._seal} {self._unsettled[0]} {self._unsettled[-1]} {records} {control}"
        self._seal = hashlib.sha256(mark.encode()).hexdigest()[:8]
        self._settled[first] = self._seal
        self._unsettled.clear()
        return answer(200, {"first": first, "seal": self._seal})


_BATCH = re.compile(r"/v1/migrations/[^/]+/batches/(\d{1,6})/?\Z")
_RUNS = re.compile(r"/v1/migrations/[^/]+/runs/?\Z")


def _at_first_sight(request: HttpRequest) -> dict[str, Any]:
    """What a request is about by its method and path: its body may never be understood."""
    path = unquote(urlsplit(request.target).path)
    batch = _BATCH.match(path)
    if request.method in ("PUT", "POST", "PATCH") and batch is not None:
        return {"action": "submit", "run": "", "batch": int(batch[1]), "until": 0}
    if request.method in ("PUT", "POST") and _RUNS.match(path) is not None:
        return {"action": "open", "run": "", "batch": 0, "until": 0}
    return {"action": "unknown", "run": "", "batch": 0, "until": 0}


def _refuse(status: int, error: str) -> HttpResponse:
    body: JsonObject = {"error": error}
    return answer(status, body)


def _bounded(number: int) -> int:
    """A number that fits into a receipt; what is no batch of ours is none at all."""
    return number if 0 < number < 1_000_000 else 0


def _whole(text: str) -> int:
    return _bounded(int(text)) if text.isascii() and text.isdigit() and len(text) < 8 else 0
