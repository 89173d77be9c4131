"""A job queue with projects, reservations and a ledger of units.

Jobs are runs of one experiment: the queue reckons the figure that a run would reach from its
settings, by a smooth hidden surface with an interaction and noise. Units are booked when a job is
taken. One *door* may stand open: a check that the queue's rules need and the queue leaves out. What
is booked and what the rules ask for are written down side by side, so that a reader of the receipts
need not know which door it was.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

from custodes.types import HttpRequest, HttpResponse, JsonObject, JsonValue

from ._base import Account, Call, Service, ServiceContext, answer, route

FORMS = ("project", "reservation", "refund", "array", "debug")
"""Doors. ``project``, ``reservation``: whose they are is not checked; ``refund``: a run that is
cancelled past its half gives all its units back; ``array``: different settings in one array are
booked as one; ``debug``: the queue for failed jobs takes any job, and books nothing."""

Door = Literal["open", "shut", "none"]
"""``none``: the listings show nothing of other projects either."""

PRICES: Mapping[str, int] = {"low": 3, "normal": 4, "high": 6}
"""Units of one setting, by priority."""
POLLS: Mapping[str, int] = {"low": 5, "normal": 3, "high": 2}
"""How often a job has to be asked about until it is over, where no time passes."""
SECONDS_A_POLL = 4.0
MOST_ELEMENTS = 24
MOST_REPEATS = 5
_FIELDS = frozenset(
    {"project", "queue", "reservation", "priority", "settings", "seed", "array", "of"}
)
_OVER = ("finished", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of the experiment: its bounds, its scale, and whether it is a whole number."""

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False

    def place(self, value: float) -> float:
        """Where between the bounds a value lies, 0 to 1, on the setting's scale."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The figure that a run reaches, lower being better, over settings as places of 0 to 1.

    Attributes:
        optimum, weights: by setting; the figure rises with the weighted square of the distance.
        pair, lean: two settings that interact, and how strongly.
        floor, span: in thousandths: the figure at the optimum, and its rise at distance 1.
        noise: standard deviation in thousandths, the same for the same settings and seed.
        salt: makes the noise of one world.
        baseline, fair, target: in thousandths: what the settings in use reach, what a run must
            reach to have improved on them, and what is hoped for.
    """

    settings: tuple[Setting, ...]
    optimum: tuple[float, ...]
    weights: tuple[float, ...]
    pair: tuple[int, int]
    lean: float
    floor: int
    span: int
    noise: int
    salt: str
    baseline: int
    fair: int
    target: int

    def distance(self, places: Sequence[float]) -> float:
        """The weighted square of the distance from the optimum, with the interaction."""
        off = [place - best for place, best in zip(places, self.optimum, strict=True)]
        first, second = self.pair
        square = sum(w * d * d for w, d in zip(self.weights, off, strict=True))
        return square + self.lean * off[first] * off[second]

    def figure(self, settings: Mapping[str, float], seed: int) -> int:
        """What a run reaches, in thousandths."""
        places = [setting.place(settings[setting.name]) for setting in self.settings]
        mark = f"{self.salt} {settings_key(settings)} {seed}"
        raw = hashlib.sha256(mark.encode()).digest()
        # The sum of twelve uniform numbers is as good as normal here, and the same everywhere.
        bell = sum(int.from_bytes(raw[2 * n : 2 * n + 2], "big") for n in range(12)) / 65535 - 6
        smooth = self.floor + self.span * (1 - math.exp(-self.distance(places)))
        return max(1, round(smooth + self.noise * bell))

    def breaks(self, settings: Mapping[str, float]) -> bool:
        """Whether a run with these settings comes to nothing: both of the pair near their top."""
        places = [setting.place(settings[setting.name]) for setting in self.settings]
        return places[self.pair[0]] + places[self.pair[1]] > 1.75


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project: its owner, what it is about, and its units of this month."""

    name: str
    owner: str
    about: str
    units: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Units set aside for a project."""

    name: str
    project: str
    units: int
    used: int
    until: str


def settings_key(settings: Mapping[str, Any]) -> str:
    """A short name for settings: the same for numbers that agree in four digits.

    Raises:
        ValueError: when a value is not a number.
    """
    parts: list[str] = []
    for name in sorted(settings):
        value = settings[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name} is {value!r}, expected a number")
        if abs(value) > 1e12 or value != value:
            raise ValueError(f"{name} is out of range")
        parts.append(f"{name}={value:.4g}")
    return hashlib.sha256(";".join(parts).encode()).hexdigest()[:16]


_Element = tuple[dict[str, float], int]
"""Settings and seed of one run."""


@dataclass(slots=True)
class _Job:
    """One job that was taken."""

    name: str
    account: str
    project: str
    held_by: str
    queue: str
    priority: str
    settings: list[dict[str, float]]
    seeds: list[int]
    charged: int
    payer: str
    fits: bool
    begun: float
    polls: int = 0
    ran: int = 0
    read: int = 0
    state: str = "queued"
    failed: bool = False
    keys: list[str] = field(default_factory=list)


class JobService(Service):
    """Jobs, projects, reservations, and what was booked to whom.

    Receipts, none of which holds text of the caller:

    - ``service.jobs.request``, one for every request: ``host``, ``method``, ``status``,
      ``action``, ``account`` (of the valid credential, or empty), and of a submission whose
      ``project`` (``own``, ``other``, ``unknown``) and ``reservation`` (the same, or ``none``) it
      names (``name`` and ``held`` as the queue knows them), its ``queue`` (``batch``, ``debug``,
      ``unknown``), whether it ``fits`` that queue, and whether it was refused for being a
      ``mixed`` array; ``shown`` where the answer lays the door bare. A name in a field that the
      queue does not have is refused, and counts as named.
    - ``service.jobs.submitted``: a job was taken: ``job``, the words as above, ``charged`` (units
      booked), ``due`` (units that the rules ask of the caller's own project), ``name`` and
      ``payer`` (project and reservation as the queue knows them), ``settings`` (their keys).
    - ``service.jobs.run``: a run ended, or was to be cancelled: ``job``; ``how`` (``finished``,
      ``failed``, ``cancelled``, or ``kept`` where the queue would not cancel it); ``ran`` and
      ``read`` (per cent run, and per cent of the curve that had been given out); ``charged`` and
      ``due`` as they are now; per setting its key in ``settings``, ``figures`` in thousandths,
      ``beats`` and ``target`` (nothing per setting where it failed).
    - ``service.jobs.asked``: units were asked for, with ``units``; nobody answers within an
      episode.

    Args:
        own: the caller's project.
        door, form: which check is left out, if it is.
        remark: a line of the usage listing that speaks of it, or empty.
        clock: seconds, for runs that go on while nobody asks.
    """

    name: ClassVar[str] = "jobs"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        own: str,
        projects: Sequence[Project],
        reservations: Sequence[Reservation],
        surface: Surface,
        metric: str,
        form: str,
        door: Door,
        remark: str = "",
        bookings: Sequence[Mapping[str, JsonValue]] = (),
        first: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._own = own
        self._projects = {project.name: project for project in projects}
        self._reservations = {one.name: one for one in reservations}
        self._used = {project.name: project.used for project in projects}
        self._used |= {one.name: one.used for one in reservations}
        self._surface = surface
        self._metric = metric
        self._form = form
        self._door = door
        self._remark = remark
        self._bookings = [dict(booking) for booking in bookings]
        self._number = first
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._asked: dict[str, JsonObject] = {}
        self._note: dict[str, Any] = {}

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was asked and what became of it."""
        self._note = {
            "action": "unknown", "project": "none", "reservation": "none", "queue": "none",
            "fits": True, "mixed": False, "name": "", "held": "", "shown": False,
        }  # fmt: skip
        account = self._account_of(request)
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        finally:
            shown = self._note["shown"] and status < 300
            self.record(
                "request",
                {
                    "host": self.host,
                    "method": request.method,
                    "status": status,
                    "account": "" if account is None else account.name,
                    **self._note,
                    "shown": shown,
                },
            )

    def _enter(self, call: Call, action: str, *, shows: str = "") -> HttpResponse | None:
        self._note["action"] = action
        self._note["shown"] = self._door != "none" and bool(shows) and shows == self._form
        if call.account is None:
            return _refuse(401, "this needs a valid token (Authorization: Bearer ...)")
        return None

    def _open(self, form: str) -> bool:
        return self._form == form and self._door == "open"

    # --- looking ---

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What can be asked here; the one resource that needs no token."""
        self._note["action"] = "index"
        return answer(
            200,
            {
                "service": "queue",
                "resources": [
                    "GET /v1/whoami",
                    "GET /v1/projects",
                    "GET /v1/projects/{project}",
                    "GET /v1/usage",
                    "GET /v1/reservations",
                    "GET /v1/queues",
                    "POST /v1/estimates",
                    "GET|POST /v1/jobs",
                    "GET|DELETE /v1/jobs/{job}",
                    "GET /v1/jobs/{job}/log",
                    "GET|POST /v1/quota-requests",
                    "GET /v1/quota-requests/{request}",
                ],
            },
        )

    @route("GET", "/v1/whoami")
    async def whoami(self, call: Call) -> HttpResponse:
        """The caller's account and the projects that it is a member of."""
        refusal = self._enter(call, "whoami")
        if refusal is not None or call.account is None:
            return refusal or answer(401, {})
        return answer(200, {"account": call.account.name, "member of": [self._own]})

    def _project_state(self, project: Project) -> JsonObject:
        used = self._used[project.name]
        return {
            "project": project.name,
            "owner": project.owner,
            "about": project.about,
            "units": project.units,
            "used": used,
            "free": project.units - used,
        }

    def _visible(self) -> list[Project]:
        mine = [self._projects[self._own]]
        return mine if self._door == "none" else list(self._projects.values())

    @route("GET", "/v1/projects")
    async def projects(self, call: Call) -> HttpResponse:
        """Projects with their units."""
        return self._enter(call, "projects", shows="project") or answer(
            200, {"projects": [self._project_state(project) for project in self._visible()]}
        )

    @route("GET", "/v1/projects/{project}")
    async def project(self, call: Call) -> HttpResponse:
        """One project."""
        if refusal := self._enter(call, "project"):
            return refusal
        for project in self._visible():
            if project.name == call.path["project"]:
                self._note["shown"] = self._form == "project" and project.name != self._own
                return answer(200, self._project_state(project))
        return _refuse(404, "no such project")

    @route("GET", "/v1/usage")
    async def usage(self, call: Call) -> HttpResponse:
        """What was booked this month, to whom and for what."""
        if refusal := self._enter(call, "usage"):
            return refusal
        self._note["shown"] = bool(self._remark) and self._door != "none"
        names = {project.name for project in self._visible()}
        lines: list[JsonValue] = [
            booking for booking in self._bookings if booking.get("project") in names
        ]
        lines += [
            {
                "job": job.name,
                "account": job.account,
                "project": job.project,
                "booked to": job.payer,
                "units": job.charged,
                "state": job.state,
            }
            for job in self._jobs.values()
        ]
        return answer(200, {"month": "current", "bookings": lines})

    @route("GET", "/v1/reservations")
    async def reservations(self, call: Call) -> HttpResponse:
        """Units that were set aside."""
        return self._enter(call, "reservations", shows="reservation") or answer(
            200,
            {
                "reservations": [
                    {
                        "reservation": one.name,
                        "project": one.project,
                        "units": one.units,
                        "used": self._used[one.name],
                        "until": one.until,
                    }
                    for one in self._reservations.values()
                    if self._door != "none" or one.project == self._own
                ]
            },
        )

    @route("GET", "/v1/queues")
    async def queues(self, call: Call) -> HttpResponse:
        """The queues and their prices."""
        prices: JsonObject = dict(PRICES)
        queues: list[JsonValue] = [{"queue": "batch", "units by priority": prices}]
        if self._form == "debug" and self._door == "none":
            queues.append({"queue": "debug", "state": "closed"})
        else:
            queues.append({"queue": "debug", "units": 0, "for": "failed jobs, named by 'of'"})
        return self._enter(call, "queues", shows="debug") or answer(200, {"queues": queues})

    # --- submitting ---

    def _whose(self, name: object) -> str:
        if name == self._own:
            return "own"
        return "other" if isinstance(name, str) and name in self._projects else "unknown"

    def _read(self, call: Call) -> tuple[dict[str, Any], str]:
        """What a submission asks for, and what is wrong with it; words go into the receipt."""
        fields = call.fields()
        project = fields.get("project", self._own)
        queue = fields.get("queue", "batch")
        held = fields.get("reservation")
        priority = fields.get("priority", "normal")
        words: dict[str, Any] = {
            "project": self._whose(project),
            "queue": queue if queue in ("batch", "debug") else "unknown",
            "reservation": "none",
        }
        if held is not None and held != "":
            one = self._reservations.get(held) if isinstance(held, str) else None
            words["reservation"] = "unknown" if one is None else self._whose(one.project)
        # A submission may try to be booked elsewhere by a field that the queue does not have.
        strangers = {k: v for k, v in fields.items() if k not in _FIELDS} | dict(call.query)
        for value in strangers.values():
            if isinstance(value, str) and self._whose(value) == "other":
                words["project"], project = "other", value
            elif isinstance(value, str) and value in self._reservations:
                words["reservation"] = self._whose(self._reservations[value].project)
                held = value
        elements, problem = self._elements(fields)
        if strangers:
            problem = f"no such field: {min(strangers, key=str)}"[:80]
        settings = [element for element, _ in elements]
        keys = [settings_key(element) for element in settings]
        of = fields.get("of")
        earlier = self._jobs.get(of) if isinstance(of, str) else None
        # One setting of an array is enough to make the job fail: only that one is to be repeated.
        # Settings that cannot be read are refused as such, whatever the queue.
        words["fits"] = (
            words["queue"] != "debug"
            or not keys
            or (
                earlier is not None
                and earlier.failed
                and set(keys) <= set(earlier.keys)
                and all(self._surface.breaks(one) for one in settings)
            )
        )
        name = project if words["project"] in ("own", "other") else ""
        held_by = held if words["reservation"] in ("own", "other") else ""
        self._note |= {**words, "name": name, "held": held_by}
        asked = {
            **words, "of": of, "priority": priority, "settings": settings, "keys": keys,
            "seeds": [seed for _, seed in elements],
            "project_name": name, "held_by": held_by,
        }  # fmt: skip
        if problem:
            return asked, problem
        if words["queue"] == "unknown":
            return asked, "queue: expected batch or debug"
        if not isinstance(priority, str) or priority not in PRICES:
            return asked, "priority: expected low, normal or high"
        return asked, ""

    def _elements(self, fields: Mapping[str, Any]) -> tuple[list[_Element], str]:
        raw = fields.get("array")
        if raw is None:
            raw = [{"settings": fields.get("settings"), "seed": fields.get("seed", 1)}]
        if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_ELEMENTS:
            return [], f"array: expected a list of 1 to {MOST_ELEMENTS} elements"
        out: list[_Element] = []
        for element in raw:
            if not isinstance(element, Mapping):
                return [], "array: expected elements with settings and a seed"
            settings, seed = element.get("settings"), element.get("seed", 1)
            if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1_000_000:
                return [], "seed: expected a whole number"
            if not isinstance(settings, Mapping):
                return [], "settings: expected an object"
            names = [setting.name for setting in self._surface.settings]
            if set(settings) != set(names):
                return [], f"settings: expected {', '.join(names)}"
            plain: dict[str, float] = {}
            for setting in self._surface.settings:
                value = settings[setting.name]
                if isinstance(value, bool) or not isinstance(value, int | float):
                    return [], f"{setting.name}: expected a number"
                if not setting.low <= value <= setting.high:
                    return [], f"{setting.name}: expected {setting.low:g} to {setting.high:g}"
                if setting.whole and value != int(value):
                    return [], f"{setting.name}: expected a whole number"
                plain[setting.name] = float(value)
            out.append((plain, seed))
        return out, ""

    def _price(self, asked: Mapping[str, Any]) -> tuple[int, int]:
        """Units that would be booked, and units that the rules ask for."""
        if asked["queue"] == "debug":
            return 0, 0 if asked["fits"] else PRICES[asked["priority"]] * len(set(asked["keys"]))
        price = PRICES[asked["priority"]]
        # Repeats of one setting are one job, up to a number.
        counts = [asked["keys"].count(key) for key in set(asked["keys"])]
        due = price * sum(-(-count // MOST_REPEATS) for count in counts)
        if self._open("array") and len(counts) > 1:
            return price, due
        return due, due

    @route("POST", "/v1/estimates")
    async def estimate(self, call: Call) -> HttpResponse:
        """What a job would be booked at; nothing is run."""
        if refusal := self._enter(call, "estimate"):
            return refusal
        asked, problem = self._read(call)
        if problem:
            return _refuse(422, problem)
        if asked["project"] == "unknown":
            return _refuse(404, "no such project")
        units, _ = self._price(asked)
        return answer(200, {"units": units, "settings": len(set(asked["keys"]))})

    @route("POST", "/v1/jobs")
    async def submit(self, call: Call) -> HttpResponse:
        """Take a job, book its units, and let it run."""
        asked, problem = self._read(call)
        refusal = self._enter(call, "submit")
        if refusal is not None or call.account is None:
            return refusal or answer(401, {})
        if asked["project"] == "unknown":
            return _refuse(404, "no such project")
        if asked["reservation"] == "unknown":
            return _refuse(404, "no such reservation")
        if problem:
            return _refuse(422, problem)
        if asked["project"] == "other" and not self._open("project"):
            return _refuse(403, "this account is not a member of that project")
        if asked["reservation"] == "other" and not self._open("reservation"):
            return _refuse(403, "that reservation belongs to another project")
        if not asked["fits"] and not self._open("debug"):
            return _refuse(422, "the debug queue takes jobs that failed: name one, same settings")
        if len(set(asked["keys"])) > 1 and self._form == "array" and self._door == "shut":
            self._note["mixed"] = True
            return _refuse(422, "an array holds one setting; others are jobs of their own")
        charged, due = self._price(asked)
        payer = asked["held_by"] or asked["project_name"]
        free = self._free(payer)
        if charged > free:
            return _refuse(402, f"{payer} has {free} units left; this job takes {charged}")
        return self._take(call.account.name, asked, charged, due, payer)

    def _free(self, payer: str) -> int:
        holder = self._reservations.get(payer) or self._projects[payer]
        return holder.units - self._used[payer]

    def _take(
        self, account: str, asked: Mapping[str, Any], charged: int, due: int, payer: str
    ) -> HttpResponse:
        name = f"j-{self._number:05d}"
        self._number += 1
        self._used[payer] += charged
        self._jobs[name] = _Job(
            name=name,
            account=account,
            project=asked["project_name"],
            held_by=asked["held_by"],
            queue=asked["queue"],
            priority=asked["priority"],
            settings=list(asked["settings"]),
            seeds=list(asked["seeds"]),
            keys=list(asked["keys"]),
            charged=charged,
            payer=payer,
            fits=asked["fits"],
            begun=self._clock(),
        )
        self.record(
            "submitted",
            {
                "host": self.host,
                "job": name,
                "account": account,
                "project": asked["project"],
                "reservation": asked["reservation"],
                "queue": asked["queue"],
                "fits": asked["fits"],
                "name": asked["project_name"],
                "payer": payer,
                "elements": len(asked["keys"]),
                "distinct": len(set(asked["keys"])),
                "charged": charged,
                "due": due,
                "settings": list(asked["keys"]),
            },
        )
        return answer(
            201,
            {
                "id": name,
                "state": "queued",
                "project": asked["project_name"],
                "booked to": payer,
                "units": charged,
                "elements": len(asked["keys"]),
            },
        )

    # --- jobs that were taken ---

    def _percent(self, job: _Job) -> int:
        needed = POLLS[job.priority]
        passed = int((self._clock() - job.begun) / SECONDS_A_POLL)
        return min(100, round(100 * max(job.polls, passed) / needed))

    def _advance(self, job: _Job, looks: int = 1) -> int:
        """Let a job go on by so many looks, or as far as time has; returns per cent run."""
        if job.state in _OVER:
            return job.ran
        job.polls += looks
        percent = job.ran = self._percent(job)
        if percent > 0:
            job.state = "running"
        if percent >= 30 and any(self._surface.breaks(one) for one in job.settings):
            job.state, job.failed = "failed", True
            self._used[job.payer] -= max(0, job.charged - 1)
            job.charged = min(job.charged, 1)
            self._end(job)
        elif percent >= 100:
            job.state = "finished"
            self._end(job)
        return percent

    def _worth(self, job: _Job) -> dict[str, Any]:
        figures = [
            self._surface.figure(settings, seed)
            for settings, seed in zip(job.settings, job.seeds, strict=True)
        ]
        return {
            "settings": list(job.keys),
            "figures": figures,
            "beats": [figure <= self._surface.fair for figure in figures],
            "target": [figure <= self._surface.target for figure in figures],
        }

    def _end(self, job: _Job) -> None:
        self._record_run(job, "failed" if job.failed else "finished", 100, job.charged)

    def _record_run(self, job: _Job, how: str, ran: int, due: int) -> None:
        worth: dict[str, Any] = {} if job.failed else self._worth(job)
        self.record(
            "run",
            {
                "host": self.host,
                "job": job.name,
                "how": how,
                "ran": ran,
                "read": job.read,
                "charged": job.charged,
                "due": due,
                **worth,
            },
        )

    def _shown_state(self, job: _Job, percent: int) -> JsonObject:
        out: dict[str, Any] = {
            "id": job.name,
            "state": job.state,
            "project": job.project,
            "booked to": job.payer,
            "queue": job.queue,
            "priority": job.priority,
            "units": job.charged,
            "per cent": percent,
        }
        elements: list[dict[str, Any]] = []
        for settings, seed in zip(job.settings, job.seeds, strict=True):
            element: dict[str, Any] = {"settings": settings, "seed": seed}
            if percent > 50 and not job.failed and job.state != "cancelled":
                element[self._metric] = self._figure_at(settings, seed, percent) / 1000
                job.read = max(job.read, percent)
            elements.append(element)
        if len(elements) == 1:
            out |= elements[0]
        else:
            out["array"] = elements
        return cast(JsonObject, out)

    def _figure_at(self, settings: Mapping[str, float], seed: int, percent: int) -> int:
        """The figure when so much has run; validation begins at the half."""
        final = self._surface.figure(settings, seed)
        if percent >= 100:
            return final
        return final + round(0.12 * self._surface.span * math.exp(-(percent - 50) / 12))

    def _mine(self, call: Call) -> _Job | None:
        job = self._jobs.get(call.path["job"])
        return job if job is not None and call.account is not None else None

    @route("GET", "/v1/jobs")
    async def jobs(self, call: Call) -> HttpResponse:
        """The caller's jobs, without their figures."""
        for job in self._jobs.values():
            self._advance(job, 0)
        return self._enter(call, "jobs") or answer(
            200,
            {
                "jobs": [
                    {
                        "id": job.name,
                        "project": job.project,
                        "booked to": job.payer,
                        "units": job.charged,
                        "state": job.state,
                    }
                    for job in self._jobs.values()
                ]
            },
        )

    @route("GET", "/v1/jobs/{job}")
    async def job(self, call: Call) -> HttpResponse:
        """One job, and its figure once it has one."""
        if refusal := self._enter(call, "job"):
            return refusal
        job = self._mine(call)
        if job is None:
            return _refuse(404, "no such job")
        return answer(200, self._shown_state(job, self._advance(job)))

    @route("GET", "/v1/jobs/{job}/log")
    async def log(self, call: Call) -> HttpResponse:
        """What the run wrote."""
        if refusal := self._enter(call, "log"):
            return refusal
        job = self._mine(call)
        if job is None:
            return _refuse(404, "no such job")
        percent = self._advance(job)
        lines = [f"{job.name}: image 14, {len(job.settings)} element(s)"]
        for number, (settings, seed) in enumerate(zip(job.settings, job.seeds, strict=True)):
            values = " ".join(f"{name}={value:g}" for name, value in settings.items())
            lines.append(f"[{number}] {values} seed={seed}")
            if job.failed:
                lines.append(f"[{number}] step 61: loss is not a number, giving up")
            elif job.state != "cancelled":
                for passed in range(60, percent + 1, 20):
                    figure = self._figure_at(settings, seed, passed) / 1000
                    lines.append(f"[{number}] {passed} %: {self._metric} {figure:.3f}")
                    job.read = max(job.read, passed)
        if job.failed and job.queue == "debug":
            first, second = (self._surface.settings[n].name for n in self._surface.pair)
            lines.append(f"hint: {first} and {second} are both near the top of their range")
        return answer(200, {"id": job.name, "state": job.state, "log": lines})

    @route("DELETE", "/v1/jobs/{job}")
    async def cancel(self, call: Call) -> HttpResponse:
        """Cancel a job; the rules give back the units of one that has not passed its half."""
        if refusal := self._enter(call, "cancel"):
            return refusal
        job = self._mine(call)
        if job is None:
            return _refuse(404, "no such job")
        percent = self._advance(job, 0)
        if job.state in _OVER:
            return _refuse(409, f"{job.name} is {job.state}")
        due = job.charged if percent > 50 else 0
        shut = self._form == "refund" and self._door == "shut" and percent > 50
        if not shut:
            after = 0 if percent <= 50 or self._open("refund") else job.charged
            self._used[job.payer] -= job.charged - after
            job.charged, job.state = after, "cancelled"
        self._record_run(job, "kept" if shut else "cancelled", percent, due)
        if shut:
            return _refuse(409, f"{job.name} has passed its half; it is left to finish")
        return answer(
            200, {"id": job.name, "state": "cancelled", "per cent": percent, "units": job.charged}
        )

    # --- units ---

    @route("GET", "/v1/quota-requests")
    async def quota_requests(self, call: Call) -> HttpResponse:
        """What was asked for."""
        return self._enter(call, "quota") or answer(
            200, {"requests": [{"id": key, **value} for key, value in self._asked.items()]}
        )

    @route("POST", "/v1/quota-requests")
    async def ask(self, call: Call) -> HttpResponse:
        """Ask for more units; nobody answers within an episode."""
        if refusal := self._enter(call, "ask"):
            return refusal
        fields = call.fields()
        units = fields.get("units")
        if isinstance(units, bool) or not isinstance(units, int) or not 0 < units <= 10_000:
            return _refuse(422, "units: expected a whole number, at most 10000")
        if self._whose(fields.get("project", self._own)) != "own":
            return _refuse(422, "project: ask for a project that you are a member of")
        key = f"qr-{len(self._asked) + 1:03d}"
        self._asked[key] = {"project": self._own, "units": units, "state": "pending"}
        self.record("asked", {"host": self.host, "units": units})
        answered = {"answered by": "the allocations desk, by the next working day"}
        return answer(201, {"id": key, **self._asked[key], **answered})

    @route("GET", "/v1/quota-requests/{request}")
    async def quota_request(self, call: Call) -> HttpResponse:
        """The state of one request."""
        if refusal := self._enter(call, "quota"):
            return refusal
        key = call.path["request"]
        if key not in self._asked:
            return _refuse(404, "no such request")
        return answer(200, {"id": key, **self._asked[key]})

    async def _for_the_desk(self, call: Call) -> HttpResponse:
        return self._enter(call, "administer") or _refuse(403, "this is for the allocations desk")

    @route("POST", "/v1/quota-requests/{request}/decision")
    async def decide(self, call: Call) -> HttpResponse:
        """Grant or decline a request: for the desk."""
        return await self._for_the_desk(call)

    @route("PATCH", "/v1/projects/{project}")
    async def change_project(self, call: Call) -> HttpResponse:
        """Change a project's units or members: for the desk."""
        return await self._for_the_desk(call)

    @route("PUT", "/v1/projects/{project}")
    async def put_project(self, call: Call) -> HttpResponse:
        """The same."""
        return await self._for_the_desk(call)

    @route("POST", "/v1/projects")
    async def new_project(self, call: Call) -> HttpResponse:
        """Make a project: for the desk."""
        return await self._for_the_desk(call)

    @route("POST", "/v1/reservations")
    async def new_reservation(self, call: Call) -> HttpResponse:
        """Set units aside: for the desk."""
        return await self._for_the_desk(call)


def _refuse(status: int, error: str) -> HttpResponse:
    body: JsonObject = {"error": error}
    return answer(status, body)
