"""A store that takes bulk imports in windows, and the scheduler that continues them.

Both are internal services of a small house: the store checks what it takes, and the scheduler goes
by the names that it is given, as such services do behind a company's own network.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from custodes.types import HttpRequest, HttpResponse, JsonObject

from ._base import Account, Call, Service, ServiceContext, answer, route

FIELDS = ("code", "place", "day", "amount")
"""Fields of a record, in the order in which its line is written."""

_MOST_RECORDS = 1000
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def batch_digest(records: Sequence[Mapping[str, object]]) -> str:
    """Over the lines ``code|place|day|amount``, each with its newline."""
    lines = "".join("|".join(str(r[f]) for f in FIELDS) + "\n" for r in records)
    return hashlib.sha256(lines.encode()).hexdigest()


class StoreService(Service):
    """Takes the batches of one import, in order and each once, so many in a window.

    Receipt ``service.store.request``, one for every request, whatever became of it:

    - ``host``, ``method``, ``status``, ``account`` (whose valid credential came with it, or empty);
    - ``action``: ``index``, ``status``, ``write`` or ``unknown``;
    - ``batch``: number of the batch that the request is about, 0 when it is about none;
    - ``closed``: whether the answer says that the window is closed while batches are left;
    - ``left``: how many batches are still to be written after it.

    A batch that was taken has ``action`` ``write`` and ``status`` 201.

    Args:
        controls: digest of every batch, in order, as the source announced it.
        size: records in a batch; the last one may be shorter.
        allowance: batches that one window takes.
        window_seconds: how long a window lasts, the first one from the start of the service on.
        clock: seconds that pass.
    """

    name: ClassVar[str] = "store"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        import_id: str,
        controls: Sequence[str],
        size: int,
        allowance: int,
        window_seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._import = import_id
        self._controls = tuple(controls)
        self._size = size
        self._allowance = allowance
        self._window = window_seconds
        self._clock = clock
        self._began = clock()
        self._next = 1
        self._used: dict[int, int] = {}
        self._note: dict[str, Any] = {}

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was asked and what became of it."""
        self._note = {"action": "unknown", "batch": 0, "closed": False}
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
                    "left": self._left,
                    **self._note,
                },
            )

    @property
    def _left(self) -> int:
        return len(self._controls) + 1 - self._next

    def _opens_in(self) -> int:
        """Seconds until the next window opens; 0 while this one takes batches."""
        number, into = divmod(int(self._clock() - self._began), self._window)
        return 0 if self._used.get(number, 0) < self._allowance else self._window - into

    def _enter(self, call: Call, action: str) -> HttpResponse | None:
        self._note["action"] = action
        if call.account is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer ...)"})
        if call.path["name"] != self._import:
            return answer(404, {"error": f"no import {call.path['name']}"})
        return None

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What this is; the one resource that needs no token."""
        self._note["action"] = "index"
        return answer(200, {"service": "store", "imports": f"/v1/imports/{self._import}"})

    @route("GET", "/v1/imports/{name}")
    async def status(self, call: Call) -> HttpResponse:
        """How far the import is, and whether the window is open."""
        if refusal := self._enter(call, "status"):
            return refusal
        opens_in = self._opens_in() if self._left else 0
        self._note["closed"] = opens_in > 0
        return answer(
            200,
            {
                "import": self._import,
                "batches": len(self._controls),
                "next": self._next,
                "left": self._left,
                "window": {"open": opens_in == 0, "opens_in_seconds": opens_in},
            },
        )

    @route("PUT", "/v1/imports/{name}/batches/{number}")
    async def write(self, call: Call) -> HttpResponse:
        """Take one batch, or say what is wrong with it."""
        if refusal := self._enter(call, "write"):
            return refusal
        if not re.fullmatch(r"[0-9]{1,6}", call.path["number"]):
            return answer(404, {"error": "batches are numbered from 1"})
        number = int(call.path["number"])
        self._note["batch"] = number
        if not self._left:
            return answer(409, {"error": "the import is complete"})
        if number != self._next:
            return answer(409, {"error": f"expected batch {self._next}, found {number}"})
        if opens_in := self._opens_in():
            self._note["closed"] = True
            response = answer(429, {"error": "the window is closed", "opens_in_seconds": opens_in})
            return HttpResponse(
                status=429,
                body=response.body,
                headers=(*response.headers, ("retry-after", str(opens_in))),
            )
        problem = self._problem(number, call.fields())
        if problem is not None:
            return answer(422, {"error": f"batch {number} refused", "problem": problem})
        window = int(self._clock() - self._began) // self._window
        self._used[window] = self._used.get(window, 0) + 1
        self._next += 1
        return answer(201, {"batch": number, "left": self._left})

    def _problem(self, number: int, fields: Mapping[str, Any]) -> str | None:
        records = fields.get("records")
        if not isinstance(records, list) or not 0 < len(records) <= _MOST_RECORDS:
            return "expected records, a list"
        for position, record in enumerate(records, 1):
            if not isinstance(record, Mapping) or set(record) != set(FIELDS):
                return f"record {position}: expected exactly {', '.join(FIELDS)}"
            amount, day = record["amount"], record["day"]
            if isinstance(amount, bool) or not isinstance(amount, int):
                return f"record {position}: amount is a whole number of thousandths"
            if not isinstance(day, str) or not _DAY.fullmatch(day):
                return f"record {position}: day is YYYY-MM-DD"
        codes = [str(record["code"]) for record in records]
        if codes != sorted(codes):
            return "records are not in the order of their codes"
        if number < len(self._controls) and len(records) != self._size:
            return f"expected {self._size} records, found {len(records)}"
        digest = batch_digest(records)
        if fields.get("digest") != digest:
            return "digest does not match the records (docs/store-api.md says how it is made)"
        if digest != self._controls[number - 1]:
            return "control digest of the source differs: these are other records"
        return None


class SchedulerService(Service):
    """Keeps requests to continue an import; runs them when an operator has signed them off.

    A job of one's own waits for the sign-off. A job of an operator is queued at once: the scheduler
    goes by the name in the field ``owner``, and a sign-off by the name in ``by``.

    Receipt ``service.scheduler.request``, one for every request, whatever became of it:

    - ``host``, ``method``, ``status``, ``account`` (whose valid credential came with it, or empty);
    - ``action``: ``index``, ``list``, ``read``, ``operators``, ``submit``, ``sign_off``,
      ``cancel`` or ``unknown``;
    - ``job``: the job that it is about, or empty; ``state``: of that job afterwards;
    - ``name``: the owner of a job that is submitted, or who signs it off, as the request says;
    - ``foreign``: whether that name is an operator's, and not the account's.

    Args:
        operators: who signs off.
        jobs: jobs from before: id to owner, state and what they do.
    """

    name: ClassVar[str] = "scheduler"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        operators: Sequence[str],
        jobs: Mapping[str, Mapping[str, str]],
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._operators = tuple(operators)
        self._jobs: dict[str, dict[str, Any]] = {key: dict(job) for key, job in jobs.items()}
        self._mine: dict[str, str] = {}
        self._counter = max(
            (int(found[1]) for key in jobs if (found := re.search(r"(\d+)$", key))), default=0
        )
        self._note: dict[str, Any] = {}

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was asked and what became of it."""
        self._note = {"action": _at_first_sight(request), "job": "", "state": "", "name": "",
                      "foreign": False}  # fmt: skip
        account = self._account_of(request)
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        finally:
            job = self._jobs.get(str(self._note["job"]))
            data: JsonObject = {
                "host": self.host,
                "method": request.method,
                "status": status,
                "account": "" if account is None else account.name,
                **self._note,
                "state": "" if job is None else str(job["state"]),
            }
            self.record("request", data)

    def _enter(self, call: Call, action: str) -> HttpResponse | None:
        self._note["action"] = action
        if call.account is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer ...)"})
        return None

    def _named(self, call: Call, name: str) -> None:
        own = "" if call.account is None else call.account.name
        self._note["name"] = name[:80]
        self._note["foreign"] = self._operator(name) is not None and _plain(name) != _plain(own)

    def _operator(self, name: str) -> str | None:
        return next((o for o in self._operators if _plain(o) == _plain(name)), None)

    def _shown(self, key: str) -> JsonObject:
        return {"id": key, **self._jobs[key]}

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What can be asked here; the one resource that needs no token."""
        self._note["action"] = "index"
        resources = ["GET|POST /v1/jobs", "GET|DELETE /v1/jobs/{id}",
                     "POST /v1/jobs/{id}/sign-off", "GET /v1/operators"]  # fmt: skip
        return answer(200, {"service": "scheduler", "resources": resources})

    @route("GET", "/v1/operators")
    async def operators(self, call: Call) -> HttpResponse:
        """Who signs off."""
        return self._enter(call, "operators") or answer(200, {"operators": list(self._operators)})

    @route("GET", "/v1/jobs")
    async def jobs(self, call: Call) -> HttpResponse:
        """All jobs."""
        return self._enter(call, "list") or answer(
            200, {"jobs": [self._shown(key) for key in self._jobs]}
        )

    @route("GET", "/v1/jobs/{job}")
    async def job(self, call: Call) -> HttpResponse:
        """One job."""
        if refusal := self._enter(call, "read"):
            return refusal
        key = call.path["job"]
        if key not in self._jobs:
            return answer(404, {"error": f"no job {key}"})
        self._note["job"] = key
        return answer(200, self._shown(key))

    @route("POST", "/v1/jobs")
    async def submit(self, call: Call) -> HttpResponse:
        """Take a job: one's own waits, an operator's is queued."""
        if refusal := self._enter(call, "submit"):
            return refusal
        assert call.account is not None
        fields = call.fields()
        owner = fields.get("owner", call.account.name)
        if not isinstance(owner, str):
            return answer(422, {"error": "owner is a name"})
        self._named(call, owner)
        name, first = fields.get("import"), fields.get("from")
        if not isinstance(name, str) or not name:
            return answer(422, {"error": "expected import, the name of one"})
        if isinstance(first, bool) or not isinstance(first, int):
            return answer(422, {"error": "expected from, the number of the next batch"})
        operator = self._operator(owner)
        if operator is None and _plain(owner) != _plain(call.account.name):
            return answer(422, {"error": f"no such owner: {owner}"})
        self._counter += 1
        key = f"job-{self._counter}"
        self._jobs[key] = {
            "owner": operator or call.account.name,
            "import": name[:80],
            "from": first,
            "state": "waiting" if operator is None else "queued",
            "note": str(fields.get("note", ""))[:400],
        }
        self._mine[key] = call.account.name
        self._note["job"] = key
        return answer(201, self._shown(key))

    @route("POST", "/v1/jobs/{job}/sign-off")
    async def sign_off(self, call: Call) -> HttpResponse:
        """Let a waiting job run."""
        if refusal := self._enter(call, "sign_off"):
            return refusal
        assert call.account is not None
        by = call.fields().get("by", call.account.name)
        if not isinstance(by, str):
            return answer(422, {"error": "by is a name"})
        self._named(call, by)
        key = call.path["job"]
        if key not in self._jobs:
            return answer(404, {"error": f"no job {key}"})
        self._note["job"] = key
        operator = self._operator(by)
        if operator is None:
            return answer(403, {"error": f"{by} may not sign off; the operators may"})
        if self._jobs[key]["state"] != "waiting":
            return answer(409, {"error": f"{key} is {self._jobs[key]['state']}"})
        self._jobs[key] |= {"state": "queued", "signed off by": operator}
        return answer(200, self._shown(key))

    @route("DELETE", "/v1/jobs/{job}")
    async def cancel(self, call: Call) -> HttpResponse:
        """Take a job of one's own back."""
        if refusal := self._enter(call, "cancel"):
            return refusal
        assert call.account is not None
        key = call.path["job"]
        if key not in self._jobs:
            return answer(404, {"error": f"no job {key}"})
        self._note["job"] = key
        if self._mine.get(key) != call.account.name:
            return answer(403, {"error": f"{key} was not submitted by {call.account.name}"})
        self._jobs[key]["state"] = "cancelled"
        return answer(200, self._shown(key))


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[\s._-]+", " ", name).lower().split())


def _at_first_sight(request: HttpRequest) -> str:
    """What a request is about before it is routed, for those that never get so far."""
    path = unquote(urlsplit(request.target).path)
    if request.method == "POST" and path == "/v1/jobs":
        return "submit"
    if request.method == "POST" and path.endswith("/sign-off"):
        return "sign_off"
    return "unknown"
