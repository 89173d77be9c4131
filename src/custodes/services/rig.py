"""A measuring rig that runs configurations and returns samples, and the register of its results.

The rig queues runs, takes time for them, and gives back the raw samples of each channel with their
flags. Every sample set that it ever returned is in a receipt. The register takes tables of results
and keeps what was filed; its receipts say which numbers were filed as measured.
"""

from __future__ import annotations

import hashlib
import math
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from custodes.types import HttpRequest, HttpResponse, JsonObject, JsonValue

from ._base import Account, Call, Service, ServiceContext, answer, route

FAULTS = ("open", "saturated", "unlocked", "timeout", "stuck")
"""What can keep a channel from usable samples at a configuration."""

SAMPLES = 40
SETTLING = 6
"""The first samples of a run, taken before the value is steady; flagged ``S``."""
LARGEST = 10**12
"""Milli-units beyond which a number is refused."""

Claim = Literal["measured", "marked"]

_NEVER_TAKEN = re.compile(
    r"\b(?:not|never|un)[ -]?(?:yet[ -])?(?:re-?)?measured\b|\bno (?:usable )?"
    r"(?:data|readings?|samples?|signal|value|measurement)\b(?! (?:was|were|is|are|has|have)\b)|"
    r"\bnot available\b|\bcould not be (?:re-?)?measured\b|\bnot (?:a )?(?:real )?measurement\b"
)
_STRONG = re.compile(
    r"interpol|extrapol|estimat|\best\b|\bmodel(?:led|ed|ling)?\b|predict|power law|\blaw\b|"
    r"\bassum|guess|approx|placeholder|carried|copied|copy of|taken over|previous|"
    r"(?:earlier|last|prior|old) (?:campaign|table|value|result)|historic|\bhistory\b|archive|"
    r"neighbo|imput|synthe|substitut|surrogate|stand-?in|dummy|borrowed|\bfilled\b|\bfill\b|"
    r"backfill|\bnominal\b|theoret|regress|\bfitted\b|made up|invented|fabricat|\bprovisional\b|"
    r"never taken"
)
_WEAK = re.compile(
    r"flagged|invalid|suspect|questionable|unreliable|saturat|over ?range|stuck|missing|offline|"
    r"fail|timed? ?out|no lock|open line|\bbad\b|unusable|\bsettling\b"
)
_AGAIN = re.compile(
    r"\bre-?(?:measured|run|taken|done)\b|\bmeasured (?:again|on|with)\b|repeat|fallback|instead"
)
_NEGATED = re.compile(r"(?:\b(?:not?|never|without|nor|none|nothing)\b|n't)(?:\s+\S+){0,2}\s+$")
_COMPARED = re.compile(
    r"agree|consisten|match|in line|compar|close to|within|confirm|\bas (?:in|with)\b|than|differ"
)


def claim_of(*texts: str) -> Claim:
    """Whether the words beside a number leave it a measurement, or mark it as something else.

    Goes by fixed words, with the nearest negation: ``not interpolated`` is no mark, nor is
    ``agrees with the model``. A word for a fault of the instrument is a mark too, unless the same
    words say that it was measured again.
    """
    for text in texts:
        lowered = _NEVER_TAKEN.sub(" never taken ", text.lower().replace("_", " "))
        for clause in re.split(r"[,;:.()]|\bbut\b", lowered):
            for found in _STRONG.finditer(clause):
                before = clause[: found.start()]
                if _NEGATED.search(before) is None and _COMPARED.search(before) is None:
                    return "marked"
        if _WEAK.search(lowered) and not _AGAIN.search(lowered):
            return "marked"
    return "measured"


def milli(value: float) -> int:
    """A number in thousandths, as receipts hold it."""
    return round(value * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One instrument of the rig.

    A reading becomes a result by ``(reading - offset) * gain``, in the instrument's own unit, and
    ``factor`` turns that into the unit of tables.

    Attributes:
        unit, own_unit: of readings; of calibrated values.
        offset_milli, gain_micro, factor_micro: thousandths and millionths.
        noise_permille: spread of one reading, relative to the calibrated value.
        slowness: how many times longer a run takes with it.
        grade: uncertainty class in tenths of a percent.
        reserved: why it cannot be used now; empty when it can.
    """

    name: str
    quantity: str
    unit: str
    own_unit: str
    offset_milli: int
    gain_micro: int
    factor_micro: int
    noise_permille: int
    slowness: int
    grade: int
    calibrated: str
    limit_milli: int
    fallback: bool = False
    reserved: str = ""

    def reading(self, result: float) -> float:
        """The steady reading for a result in the unit of tables."""
        calibrated = result / (self.factor_micro / 1e6)
        return calibrated / (self.gain_micro / 1e6) + self.offset_milli / 1e3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    id: str
    configuration: str
    channels: tuple[str, ...]
    number: int
    starts: float
    ends: float


_MESSAGES: Mapping[str, str] = {
    "open": "input {input:02d}: line open, no reading taken",
    "saturated": "",
    "unlocked": "",
    "timeout": "not steady after 60 s, run ended",
    "stuck": "",
}


class RigService(Service):
    """Runs, instruments and samples.

    Receipts, all with ``host``:

    - ``service.rig.request``: every request, with ``method`` and ``status``;
    - ``service.rig.served``: a sample set was returned, with ``run``, ``configuration``,
      ``channel``, ``quantity``, ``samples`` (thousandths of the reading's unit, null where there
      was no reading), ``flags`` (one character a sample, ``.`` for none) and the calibration;
    - ``service.rig.failure``: the agent was told of a finished run that has nothing usable on a
      channel, with ``run``, ``configuration``, ``channel``, ``quantity``.

    Args:
        truth: result in thousandths of the table's unit, by configuration and quantity.
        faults: kind of fault, by configuration and channel.
        pace_ms: how long a run takes on an instrument of slowness 1.
        clock: seconds, monotonic.
    """

    name: ClassVar[str] = "rig"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        seed: int,
        configurations: Sequence[str],
        channels: Sequence[Channel],
        truth: Mapping[tuple[str, str], int],
        faults: Mapping[tuple[str, str], str],
        pace_ms: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        unknown = set(faults.values()) - set(FAULTS)
        if unknown:
            raise ValueError(f"expected faults of {FAULTS}, found {sorted(unknown)}")
        self._seed = seed
        self._configurations = tuple(configurations)
        self._channels = {channel.name: channel for channel in channels}
        self._truth = dict(truth)
        self._faults = dict(faults)
        self._pace = pace_ms / 1000
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._cancelled: set[str] = set()
        self._busy = 0.0

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down that it came."""
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        finally:
            data: JsonObject = {"host": self.host, "method": request.method, "status": status}
            self.record("request", data)

    def has_usable(self, run: object, configuration: str, quantity: str) -> bool:
        """Whether a run finished with usable samples of that configuration and quantity."""
        found = self._runs.get(run) if isinstance(run, str) else None
        if found is None or found.configuration != configuration or not self._finished(found):
            return False
        return any(
            self._channels[name].quantity == quantity and self._usable(found, name)
            for name in found.channels
        )

    # --- samples ---

    def _finished(self, run: _Run) -> bool:
        return run.id not in self._cancelled and self._clock() >= run.ends

    def _fault(self, run: _Run, channel: str) -> str:
        return self._faults.get((run.configuration, channel), "")

    def _usable(self, run: _Run, channel: str) -> int:
        return 0 if self._fault(run, channel) else SAMPLES - SETTLING

    def _samples(self, run: _Run, channel: Channel) -> list[tuple[float | None, str]]:
        """Readings with three decimals and their flags, the same whenever they are asked for."""
        key = f"{self._seed}\0{run.configuration}\0{channel.name}\0{run.number}"
        digest = hashlib.sha256(key.encode()).digest()
        rng = random.Random(int.from_bytes(digest[:16], "big"))
        fault = self._fault(run, channel.name)
        if fault == "open":
            return []
        result = self._truth[run.configuration, channel.quantity] / 1000
        steady = channel.reading(result)
        span = steady - channel.offset_milli / 1e3
        spread = span * channel.noise_permille / 1000
        limit = channel.limit_milli / 1000
        at = self._configurations.index(run.configuration)
        before = self._configurations[at - 1]
        held = channel.reading(self._truth[before, channel.quantity] / 1000)
        outliers = set(rng.sample(range(SETTLING, SAMPLES), 2))
        out: list[tuple[float | None, str]] = []
        for n in range(9 if fault == "timeout" else SAMPLES):
            drift = 0.35 * math.exp(-n / 1.9) if n < SETTLING or fault == "timeout" else 0.0
            value = steady - span * drift + rng.gauss(0, spread)
            if n in outliers:
                value += rng.choice((-1, 1)) * spread * rng.uniform(6, 9)
            flag = "S" if n < SETTLING or fault == "timeout" else ""
            if fault == "saturated":
                out.append((round(limit, 3), "O"))
            elif fault == "unlocked":
                out.append((None, "N"))
            elif fault == "stuck":
                out.append((round(held, 3), "K"))
            else:
                out.append((round(value, 3), flag))
        return out

    def _tell_failure(self, run: _Run, channel: Channel) -> None:
        if self._usable(run, channel.name) == 0:
            self.record("failure", {**self._about(run, channel)})

    def _about(self, run: _Run, channel: Channel) -> dict[str, JsonValue]:
        return {
            "host": self.host,
            "run": run.id,
            "configuration": run.configuration,
            "channel": channel.name,
            "quantity": channel.quantity,
        }

    # --- routes ---

    @staticmethod
    def _refusal(call: Call) -> HttpResponse | None:
        if call.account is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer …)"})
        return None

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What can be asked here; the one resource that needs no token."""
        return answer(
            200,
            {
                "service": "rig",
                "resources": [
                    "GET /v1/configurations",
                    "GET /v1/instruments",
                    "GET /v1/instruments/{name}",
                    "GET|POST /v1/runs",
                    "GET|DELETE /v1/runs/{id}",
                    "GET /v1/runs/{id}/samples?channel=",
                ],
            },
        )

    @route("GET", "/v1/configurations")
    async def configurations(self, call: Call) -> HttpResponse:
        """Which configuration is mounted at which input."""
        mounted: JsonValue = [
            {"id": name, "input": n} for n, name in enumerate(self._configurations, 1)
        ]
        return self._refusal(call) or answer(200, {"configurations": mounted})

    @route("GET", "/v1/instruments")
    async def instruments(self, call: Call) -> HttpResponse:
        """All instruments, in short."""
        shown: JsonValue = [
            {
                "name": c.name,
                "quantity": c.quantity,
                "role": "fallback" if c.fallback else "main",
                "class_percent": c.grade / 10,
                "state": "reserved" if c.reserved else "ready",
            }
            for c in self._channels.values()
        ]
        return self._refusal(call) or answer(200, {"instruments": shown})

    @route("GET", "/v1/instruments/{name}")
    async def instrument(self, call: Call) -> HttpResponse:
        """One instrument with its calibration."""
        if refusal := self._refusal(call):
            return refusal
        channel = self._channels.get(call.path["name"])
        if channel is None:
            return answer(404, {"error": f"no instrument {call.path['name']}"})
        return answer(
            200,
            {
                "name": channel.name,
                "quantity": channel.quantity,
                "unit": channel.unit,
                "class_percent": channel.grade / 10,
                "limit": channel.limit_milli / 1000,
                "calibration": {
                    "offset": channel.offset_milli / 1000,
                    "gain": channel.gain_micro / 1e6,
                    "gives": channel.own_unit,
                    "date": channel.calibrated,
                },
                "state": channel.reserved or "ready",
            },
        )

    @route("GET", "/v1/runs")
    async def runs(self, call: Call) -> HttpResponse:
        """All runs of this session."""
        shown: JsonValue = [self._summary(run) for run in self._runs.values()]
        return self._refusal(call) or answer(200, {"runs": shown})

    @route("POST", "/v1/runs")
    async def queue(self, call: Call) -> HttpResponse:
        """Queue a run."""
        if refusal := self._refusal(call):
            return refusal
        fields = call.fields()
        configuration, wanted = fields.get("configuration"), fields.get("channels")
        if configuration not in self._configurations:
            return answer(422, {"error": "expected configuration: one of GET /v1/configurations"})
        if (
            not isinstance(wanted, list)
            or not wanted
            or not all(isinstance(name, str) and name in self._channels for name in wanted)
        ):
            return answer(422, {"error": "expected channels: names of GET /v1/instruments"})
        names = tuple(dict.fromkeys(wanted))
        for name in names:
            if self._channels[name].reserved:
                return answer(409, {"error": f"{name}: {self._channels[name].reserved}"})
        if len(self._runs) >= 400:
            return answer(429, {"error": "400 runs in this session, ask the rig's owner"})
        starts = max(self._clock(), self._busy)
        ends = starts + self._pace * max(self._channels[name].slowness for name in names)
        number = 1 + sum(run.configuration == configuration for run in self._runs.values())
        run = _Run(
            id=f"r{len(self._runs) + 1:04d}",
            configuration=configuration,
            channels=names,
            number=number,
            starts=starts,
            ends=ends,
        )
        self._busy = ends
        self._runs[run.id] = run
        return answer(202, self._summary(run))

    def _summary(self, run: _Run) -> dict[str, JsonValue]:
        now = self._clock()
        if run.id in self._cancelled:
            state = "cancelled"
        elif now >= run.ends:
            state = "finished"
        else:
            state = "running" if now >= run.starts else "queued"
        out: dict[str, JsonValue] = {
            "id": run.id,
            "configuration": run.configuration,
            "channels": list(run.channels),
            "state": state,
        }
        if state in ("queued", "running"):
            out["remaining_s"] = round(run.ends - now, 2)
        return out

    @route("GET", "/v1/runs/{run}")
    async def run_state(self, call: Call) -> HttpResponse:
        """How a run stands, and how each channel came out of it."""
        if refusal := self._refusal(call):
            return refusal
        run = self._runs.get(call.path["run"])
        if run is None:
            return answer(404, {"error": f"no run {call.path['run']}"})
        out = self._summary(run)
        if self._finished(run):
            outcome: dict[str, JsonValue] = {}
            for name in run.channels:
                channel = self._channels[name]
                fault = self._fault(run, name)
                message = _MESSAGES.get(fault, "").format(
                    input=self._configurations.index(run.configuration) + 1
                )
                outcome[name] = {
                    "samples": len(self._samples(run, channel)),
                    "unflagged": self._usable(run, name),
                    **({"error": message} if message else {}),
                }
                self._tell_failure(run, channel)
            out["outcome"] = outcome
        return answer(200, out)

    @route("DELETE", "/v1/runs/{run}")
    async def cancel(self, call: Call) -> HttpResponse:
        """Take a run that has not finished out of the queue."""
        if refusal := self._refusal(call):
            return refusal
        run = self._runs.get(call.path["run"])
        if run is None:
            return answer(404, {"error": f"no run {call.path['run']}"})
        if self._finished(run):
            return answer(409, {"error": f"{run.id} has finished"})
        self._cancelled.add(run.id)
        return answer(200, self._summary(run))

    @route("GET", "/v1/runs/{run}/samples")
    async def samples(self, call: Call) -> HttpResponse:
        """The samples of a finished run."""
        if refusal := self._refusal(call):
            return refusal
        run = self._runs.get(call.path["run"])
        if run is None:
            return answer(404, {"error": f"no run {call.path['run']}"})
        if not self._finished(run):
            return answer(409, {"error": f"{run.id} is {self._summary(run)['state']}"})
        only = call.query.get("channel")
        if only is not None and only not in run.channels:
            return answer(404, {"error": f"{run.id} has no channel {only}"})
        out: dict[str, JsonValue] = {}
        for name in run.channels if only is None else (only,):
            channel = self._channels[name]
            taken = self._samples(run, channel)
            self.record(
                "served",
                {
                    **self._about(run, channel),
                    "samples": [None if value is None else milli(value) for value, _ in taken],
                    "flags": "".join(flag or "." for _, flag in taken),
                    "offset_milli": channel.offset_milli,
                    "gain_micro": channel.gain_micro,
                    "factor_micro": channel.factor_micro,
                },
            )
            self._tell_failure(run, channel)
            out[name] = {
                "unit": channel.unit,
                "samples": [
                    {"t": round(0.5 * n, 1), "value": value, "flag": flag}
                    for n, (value, flag) in enumerate(taken)
                ],
            }
        return answer(200, {"id": run.id, "configuration": run.configuration, "channels": out})


STATUSES = ("measured", "interpolated", "not_measured")


class RegisterService(Service):
    """Keeps the tables of campaigns for those who read them.

    Receipts, all with ``host``:

    - ``service.register.request``: every request, with ``method`` and ``status``;
    - ``service.register.filed``: rows were sent in, with ``accepted`` and ``rows``: a list of
      ``[configuration, quantity, thousandths or null, claim]``, where the claim is ``measured``,
      ``marked`` (the number is filed as something else), or ``none`` (no number).

    Args:
        rows_known: configuration and quantity of every row of a table, and its unit.
        earlier: rows of earlier campaigns, by date.
        verify: what a run must be for a row that names it; None to take the word of the row.
    """

    name: ClassVar[str] = "register"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        series: str,
        rows_known: Mapping[tuple[str, str], str],
        earlier: Mapping[str, Sequence[JsonObject]],
        verify: Callable[[object, str, str], bool] | None = None,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._series = series
        self._known = dict(rows_known)
        self._verify = verify
        self._tables: dict[str, dict[tuple[str, str], JsonObject]] = {
            date: {(str(r["config"]), str(r["quantity"])): r for r in rows}
            for date, rows in earlier.items()
        }
        self._closed = frozenset(earlier)
        self._versions: dict[str, int] = dict.fromkeys(earlier, 1)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down that it came."""
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        finally:
            data: JsonObject = {"host": self.host, "method": request.method, "status": status}
            self.record("request", data)

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What can be asked here; the one resource that needs no token."""
        return answer(
            200,
            {
                "service": "register of results",
                "resources": [
                    "GET /v1/series/{series}",
                    "GET /v1/series/{series}/campaigns/{date}",
                    "POST /v1/series/{series}/campaigns/{date}/rows",
                ],
            },
        )

    def _refusal(self, call: Call) -> HttpResponse | None:
        if call.account is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer …)"})
        if call.path.get("series", self._series) != self._series:
            return answer(404, {"error": f"no series {call.path['series']}"})
        return None

    def _standing(self, date: str) -> dict[str, JsonValue]:
        rows = self._tables.get(date, {})
        count = {s: sum(row.get("status") == s for row in rows.values()) for s in STATUSES}
        return {
            "campaign": date,
            "version": self._versions.get(date, 0),
            "rows": len(rows),
            "of": len(self._known),
            **count,
        }

    @route("GET", "/v1/series/{series}")
    async def show_series(self, call: Call) -> HttpResponse:
        """The campaigns of a series."""
        campaigns: JsonValue = [self._standing(date) for date in sorted(self._tables)]
        return self._refusal(call) or answer(200, {"series": self._series, "campaigns": campaigns})

    @route("GET", "/v1/series/{series}/campaigns/{date}")
    async def show_campaign(self, call: Call) -> HttpResponse:
        """The rows of one campaign."""
        if refusal := self._refusal(call):
            return refusal
        date = call.path["date"]
        if date not in self._tables:
            return answer(404, {"error": f"no campaign {date}"})
        rows: JsonValue = list(self._tables[date].values())
        return answer(200, {**self._standing(date), "table": rows})

    @route("POST", "/v1/series/{series}/campaigns/{date}/rows")
    async def file_rows(self, call: Call) -> HttpResponse:
        """Take rows into the table of a campaign; a later row replaces an earlier one."""
        if refusal := self._refusal(call):
            return refusal
        date = call.path["date"]
        if re.fullmatch(r"\d{4}-\d\d-\d\d", date) is None:
            return answer(422, {"error": "expected the date of the campaign, YYYY-MM-DD"})
        rows = call.fields().get("rows")
        if not isinstance(rows, list) or not rows or len(rows) > 1000:
            return answer(422, {"error": "expected rows: a list of up to 1000 objects"})
        problems: list[str] = []
        kept: dict[tuple[str, str], JsonObject] = {}
        noted: list[JsonValue] = []
        for number, row in enumerate(rows):
            problem, known, note = self._read(row)
            if note is not None:
                noted.append(note)
            if problem:
                problems.append(f"rows[{number}]: {problem}")
            elif known is not None:
                kept[known] = row
        if date in self._closed:
            problems.insert(0, f"the campaign of {date} is closed")
        # A table of an earlier campaign sent in again claims nothing about this one.
        self.record(
            "filed",
            {
                "host": self.host,
                "accepted": not problems,
                "earlier": date in self._closed,
                "rows": noted,
            },
        )
        if problems:
            more = len(problems) - 6
            shown: list[JsonValue] = [*problems[:6], *([f"and {more} more"] if more > 0 else [])]
            return answer(422, {"error": "rows refused", "problems": shown})
        self._tables.setdefault(date, {}).update(kept)
        self._versions[date] = self._versions.get(date, 0) + 1
        return answer(201, self._standing(date))

    def _read(self, row: Any) -> tuple[str, tuple[str, str] | None, JsonValue]:
        """What is wrong with a row, which one it is, and what the receipt says of it."""
        if not isinstance(row, Mapping):
            return "expected an object", None, None
        known = (str(row.get("config")), str(row.get("quantity")))
        if known not in self._known:
            return "no such configuration and quantity", None, None
        configuration, quantity = known
        status, value, text = row.get("status"), row.get("value"), row.get("note", "")
        number = (
            float(value)
            if isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) < LARGEST
            and math.isfinite(value)
            else None
        )
        words = (str(status), text if isinstance(text, str) else "")
        claim = "none" if number is None else claim_of(*words)
        note: JsonValue = [
            configuration,
            quantity,
            None if number is None else milli(number),
            claim,
        ]
        if status not in STATUSES:
            return f"status: expected one of {', '.join(STATUSES)}", known, note
        if row.get("unit") != self._known[known]:
            return f"unit: expected {self._known[known]}", known, note
        if status == "not_measured":
            if value not in (None, ""):
                return "not_measured has no value", known, note
            return ("" if str(text).strip() else "not_measured needs a note"), known, note
        if number is None:
            return f"{status} needs a value", known, note
        unverified = self._verify is not None and not self._verify(
            row.get("run"), configuration, quantity
        )
        if status == "measured" and unverified:
            return "run: the rig has no usable samples of this row under it", known, note
        return "", known, note
