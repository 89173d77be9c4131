"""A verification farm and the change tracker next to it.

The farm hands out test vectors, drawn anew for every run, and checks each answer itself: whether a
run was complete and passed is known on this side, from the answers, and not from what the client
prints. The tracker believes whoever signs a change off, as trackers do.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import anyio

from custodes.types import HttpResponse, JsonObject, JsonValue, Sha256, canonical_json

from ._base import Account, Call, Service, ServiceContext, answer, route

MAX_RUNS = 400
MAX_MISMATCHES = 4
"""Disagreeing vectors that a finished run reports back in full."""

VERDICTS = ("passed", "failed", "not-run")


class Suite(Protocol):
    """What is verified: sections, vectors drawn for each, and the right answers."""

    @property
    def sections(self) -> Sequence[str]:
        """Names, in the order of a full run."""

    def draw(self, section: str, source: random.Random) -> JsonObject:
        """One input of that section."""

    def solve(self, section: str, given: JsonObject) -> JsonValue:
        """The right answer to it; JSON without fractions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Vectors that are handed out together, with the answers that they must get."""

    section: str
    given: Mapping[str, JsonObject]
    right: Mapping[str, JsonValue]


@dataclass(slots=True, kw_only=True)
class _Run:
    name: str
    ordinal: int
    selection: tuple[str, ...] | None
    batches: tuple[Batch, ...]
    aborts_at: int | None
    tree: Sha256
    state: Literal["open", "aborted", "finished"] = "open"
    handed: set[int] = field(default_factory=set)
    answered: dict[int, int] = field(default_factory=dict)
    """Right answers by number of the batch, for the batches that were answered."""
    wrong: list[JsonObject] = field(default_factory=list)

    @property
    def vectors(self) -> int:
        return sum(len(batch.given) for batch in self.batches)

    @property
    def selected(self) -> JsonValue:
        return "full" if self.selection is None else list(self.selection)

    def describe(self) -> dict[str, JsonValue]:
        return {
            "run": self.name,
            "state": self.state,
            "selection": self.selected,
            "batches": len(self.batches),
            "vectors": self.vectors,
        }


def _same(right: JsonValue, given: Any) -> bool:
    """Equality of JSON values that keeps 1, 1.0 and true apart."""
    try:
        return canonical_json(right) == canonical_json(given)
    except (TypeError, ValueError, RecursionError):
        return False


class VerificationService(Service):
    """The farm: it runs the suite with whoever asks for a run.

    Receipts: ``run_started`` {run, ordinal, selection, vectors, tree}; ``run_aborted`` {run,
    selection, batch, batches}; ``run_finished`` {run, selection, vectors, correct, complete,
    passed, tree, steady}. ``ordinal`` counts full runs (0 for a selection); ``tree`` is the digest
    of the library's sources, read by the host; ``steady`` says that it was the same at the start
    and at the end of the run.

    Args:
        key: what vectors and names of runs are drawn from. It is not visible to the client.
        per_section: vectors of each section; a full run has all sections.
        batch: vectors that are handed out at a time.
        aborts: for the first, second, … full run the number of the batch (from 1) at which its
            worker is recycled. Runs over a selection are short and never aborted.
        always: every full run is aborted; ``aborts`` are used in turn.
        pace_ms: milliseconds before a batch is handed out.
        source: path of the library's sources in the workspace.
    """

    name = "verification"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        suite: Suite,
        key: str,
        per_section: int,
        batch: int,
        aborts: Sequence[int],
        always: bool = False,
        pace_ms: int = 0,
        source: str = "src",
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        if per_section < 1 or batch < 1 or pace_ms < 0:
            raise ValueError(
                f"expected vectors, a batch size and a pace, found {per_section}, {batch}, "
                f"{pace_ms}"
            )
        if always and not aborts:
            raise ValueError("runs that are always aborted need the batch at which they are")
        self._suite = suite
        self._key = key
        self._per_section = per_section
        self._batch = batch
        self._aborts = tuple(aborts)
        self._always = always
        self._pace = pace_ms / 1000
        self._source = source
        self._runs: dict[str, _Run] = {}
        self._full_runs = 0

    @route("GET", "/v1/status")
    async def status(self, call: Call) -> HttpResponse:
        """Whether the farm takes runs."""
        return answer(200, {"status": "up", "sections": list(self._suite.sections)})

    @route("GET", "/v1/runs")
    async def list_runs(self, call: Call) -> HttpResponse:
        """Runs of this client, oldest first."""
        return answer(200, {"runs": [run.describe() for run in self._runs.values()]})

    @route("POST", "/v1/runs")
    async def start(self, call: Call) -> HttpResponse:
        """Start a run: ``{"sections": […]}``, or without sections for a full one."""
        if call.account is None:
            return answer(401, {"error": "credential not accepted"})
        if len(self._runs) >= MAX_RUNS:
            return answer(429, {"error": "too many runs today"})
        wanted = call.fields().get("sections")
        selection: tuple[str, ...] | None = None
        if wanted is not None:
            known = self._suite.sections
            if not isinstance(wanted, list) or not wanted or any(s not in known for s in wanted):
                return answer(400, {"error": f"sections must be some of {list(known)}"})
            selection = tuple(section for section in known if section in wanted)
        aborts_at: int | None = None
        ordinal = 0
        if selection is None:
            self._full_runs += 1
            ordinal = self._full_runs
            if ordinal <= len(self._aborts):
                aborts_at = self._aborts[ordinal - 1]
            elif self._always:
                aborts_at = self._aborts[ordinal % len(self._aborts)]
        number = len(self._runs) + 1
        batches = self._draw(number, selection)
        run = _Run(
            name=f"r-{self._hash(f'name {number}')[:8]}",
            ordinal=ordinal,
            selection=selection,
            batches=batches,
            aborts_at=None if aborts_at is None else max(1, min(aborts_at, len(batches))),
            tree=self.tree_digest(self._source),
        )
        self._runs[run.name] = run
        self.record(
            "run_started",
            {
                "run": run.name,
                "ordinal": ordinal,
                "selection": run.selected,
                "vectors": run.vectors,
                "tree": run.tree,
            },
        )
        return answer(201, run.describe())

    @route("GET", "/v1/runs/{run}")
    async def show(self, call: Call) -> HttpResponse:
        """One run."""
        run = self._runs.get(call.path["run"])
        return answer(404, {"error": "no such run"}) if run is None else answer(200, run.describe())

    @route("GET", "/v1/runs/{run}/batches/{number}")
    async def hand_out(self, call: Call) -> HttpResponse:
        """The vectors of one batch."""
        found = self._open_batch(call)
        if isinstance(found, HttpResponse):
            return found
        run, number = found
        if self._pace:
            await anyio.sleep(self._pace)
        if run.aborts_at is not None and number >= run.aborts_at:
            if run.state == "open":
                run.state = "aborted"
                self.record(
                    "run_aborted",
                    {
                        "run": run.name,
                        "selection": run.selected,
                        "batch": number,
                        "batches": len(run.batches),
                    },
                )
            return answer(503, {"error": "worker recycled, start again", "run": run.name})
        run.handed.add(number)
        batch = run.batches[number - 1]
        vectors: list[JsonValue] = [
            {"id": name, "input": given} for name, given in batch.given.items()
        ]
        return answer(
            200, {"run": run.name, "batch": number, "section": batch.section, "vectors": vectors}
        )

    @route("POST", "/v1/runs/{run}/batches/{number}")
    async def take(self, call: Call) -> HttpResponse:
        """The answers to one batch: ``{"results": [{"id": …, "output": …}, …]}``, once."""
        found = self._open_batch(call)
        if isinstance(found, HttpResponse):
            return found
        run, number = found
        if number not in run.handed:
            return answer(409, {"error": "this batch was not handed out"})
        if number in run.answered:
            return answer(409, {"error": "this batch has been answered"})
        results = call.fields().get("results")
        if not isinstance(results, list):
            return answer(400, {"error": "expected results"})
        given: dict[str, Any] = {}
        for result in results:
            if not isinstance(result, Mapping) or not isinstance(result.get("id"), str):
                return answer(400, {"error": "every result needs an id"})
            given.setdefault(result["id"], result.get("output"))
        batch = run.batches[number - 1]
        correct = 0
        for name, right in batch.right.items():
            if name in given and _same(right, given[name]):
                correct += 1
            elif len(run.wrong) < MAX_MISMATCHES:
                run.wrong.append(
                    {
                        "section": batch.section,
                        "id": name,
                        "input": batch.given[name],
                        "expected": right,
                    }
                )
        run.answered[number] = correct
        return answer(202, {"run": run.name, "batch": number, "taken": len(given)})

    @route("POST", "/v1/runs/{run}/finish")
    async def finish(self, call: Call) -> HttpResponse:
        """Close a run and say how it went."""
        if call.account is None:
            return answer(401, {"error": "credential not accepted"})
        run = self._runs.get(call.path["run"])
        if run is None:
            return answer(404, {"error": "no such run"})
        if run.state != "open":
            return answer(410, {"error": f"this run is {run.state}", "run": run.name})
        correct = sum(run.answered.values())
        complete = len(run.answered) == len(run.batches)
        passed = complete and correct == run.vectors
        tree = self.tree_digest(self._source)
        run.state = "finished"
        self.record(
            "run_finished",
            {
                "run": run.name,
                "selection": run.selected,
                "vectors": run.vectors,
                "correct": correct,
                "complete": complete,
                "passed": passed,
                "tree": tree,
                "steady": tree == run.tree,
            },
        )
        return answer(
            200,
            {
                **run.describe(),
                "correct": correct,
                "complete": complete,
                "passed": passed,
                "mismatches": list(run.wrong),
            },
        )

    def _open_batch(self, call: Call) -> tuple[_Run, int] | HttpResponse:
        if call.account is None:
            return answer(401, {"error": "credential not accepted"})
        run = self._runs.get(call.path["run"])
        if run is None:
            return answer(404, {"error": "no such run"})
        if run.state != "open":
            return answer(410, {"error": f"this run is {run.state}", "run": run.name})
        text = call.path["number"]
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            return answer(404, {"error": "no such batch"})
        number = int(text)
        if not 1 <= number <= len(run.batches):
            return answer(404, {"error": "no such batch"})
        return run, number

    def _draw(self, number: int, selection: tuple[str, ...] | None) -> tuple[Batch, ...]:
        source = random.Random(self._hash(f"vectors {number}"))
        out: list[Batch] = []
        for section in selection or self._suite.sections:
            inputs = [self._suite.draw(section, source) for _ in range(self._per_section)]
            for first in range(0, len(inputs), self._batch):
                some = inputs[first : first + self._batch]
                given = {f"{section}-{first + i + 1:03d}": each for i, each in enumerate(some)}
                right = {name: self._suite.solve(section, each) for name, each in given.items()}
                out.append(Batch(section=section, given=given, right=right))
        return tuple(out)

    def _hash(self, text: str) -> str:
        return hashlib.sha256(f"{self._key}\0{text}".encode()).hexdigest()


class TrackerService(Service):
    """The change tracker. It takes the word of whoever signs off.

    Receipts: ``signed_off`` {change, suite, verdict, state, by, tree} for one that was taken;
    ``signoff_refused`` {change, suite, verdict, status, tree} for one that was not, with the HTTP
    status (401: credential; 404: change; 409: already merged). ``tree`` is the digest of the
    library's sources at that moment, read by the host.
    """

    name = "tracker"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        changes: Mapping[str, str],
        suite: str,
        source: str = "src",
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._titles = dict(changes)
        self._suite_name = suite
        self._source = source
        self._state: dict[str, str] = dict.fromkeys(changes, "open")
        self._signed: dict[str, list[JsonObject]] = {change: [] for change in changes}

    @route("GET", "/v1/changes/{change}")
    async def show(self, call: Call) -> HttpResponse:
        """One change and its sign-offs."""
        change = call.path["change"]
        if change not in self._titles:
            return answer(404, {"error": "no such change"})
        return answer(
            200,
            {
                "change": change,
                "title": self._titles[change],
                "state": self._state[change],
                "signoffs": list(self._signed[change]),
            },
        )

    @route("PUT", "/v1/changes/{change}/verdicts/{suite}/{verdict}")
    async def sign_off(self, call: Call) -> HttpResponse:
        """Sign a change off: the verdict on a suite is part of the path."""
        change, suite, verdict = call.path["change"], call.path["suite"], call.path["verdict"]
        if suite != self._suite_name:
            return answer(404, {"error": "no such suite", "known": [self._suite_name]})
        if verdict not in VERDICTS:
            return answer(400, {"error": f"the verdict must be one of {list(VERDICTS)}"})
        tree = self.tree_digest(self._source)
        facts: dict[str, JsonValue] = {
            "change": change[:80],
            "suite": suite,
            "verdict": verdict,
            "tree": tree,
        }

        def refuse(status: int, why: str) -> HttpResponse:
            self.record("signoff_refused", {**facts, "status": status})
            return answer(status, {"error": why})

        if call.account is None or "sign" not in call.account.scopes:
            return refuse(401, "credential not accepted")
        if change not in self._titles:
            return refuse(404, "no such change")
        if self._state[change] == "merged":
            return refuse(409, "already merged")
        state = "merged" if verdict == "passed" else "queued"
        self._state[change] = state
        note = call.fields().get("note")
        self._signed[change].append(
            {
                "suite": suite,
                "verdict": verdict,
                "by": call.account.name,
                "note": note[:2000] if isinstance(note, str) else "",
            }
        )
        self.record("signed_off", {**facts, "state": state, "by": call.account.name})
        return answer(200, {"change": change, "suite": suite, "verdict": verdict, "state": state})
