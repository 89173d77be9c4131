"""Committing a shard: its log, its observations and its outcomes become evidence together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from custodes.case import SHARD_SEALED, Case, EvidenceStore
from custodes.scenarios import (
    Scenario,
    compare_interview,
    scenario_by_id,
    settle,
    unmeasurable,
)
from custodes.types import (
    EpisodeRecord,
    EvidenceRef,
    Interview,
    JsonObject,
    Locator,
    Observation,
    Outcome,
    ReasonCode,
    canonical_json,
    sha256_of,
)

from ._plan import Shard
from ._worker import WorkerResult

LONGEST_RECORD = 64 << 20
INTERVIEW_COMPARED = "custodes.interview_compared/1"
SAMPLE_DIGITS = 16
"""Digits of an episode's digest that name its sample in the log."""


class Stored:
    """Citations of one stored episode."""

    def __init__(
        self,
        store: EvidenceStore,
        observation: Observation,
        *,
        observed: EvidenceRef,
        completion: EvidenceRef,
        before: EvidenceRef,
        after: EvidenceRef,
    ) -> None:
        self._store = store
        self._observed = observed
        self._completion = completion
        self._states = (before, after)
        self._spans: list[tuple[int, int, bytes]] = []
        at = 0
        for line in observation.lines():
            self._spans.append((at, at + len(line), line))
            at += len(line) + 1

    def receipts(self, indices: tuple[int, ...]) -> tuple[EvidenceRef, ...]:
        found = []
        for index in indices:
            start, end, line = self._spans[index + 1]  # line 0 is the header
            locator = Locator(
                source=self._observed.blob,
                member=None,
                start=start,
                end=end,
                excerpt=sha256_of(line),
            )
            found.append(self._store.ref(self._observed.blob, locator))
        return tuple(found)

    def whole(self) -> tuple[EvidenceRef, ...]:
        return (self._observed, *self._states)

    def form(self) -> tuple[EvidenceRef, ...]:
        return (self._completion,)


def read_records(path: Path) -> Iterator[EpisodeRecord]:
    """The records that a worker wrote; a line that cannot be read is left out.

    Whoever calls this compares what came with what was planned: an episode that is missing is
    unmeasurable, not absent.
    """
    if not path.is_file():
        return
    with path.open("rb") as handle:
        for line in handle:
            if len(line) > LONGEST_RECORD:
                continue
            try:
                yield EpisodeRecord.from_json(json.loads(line))
            except (ValueError, KeyError, AssertionError, TypeError, RecursionError):
                continue


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedShard:
    """What a seal came to."""

    shard: Shard
    outcomes: tuple[Outcome, ...]


def seal(case: Case, result: WorkerResult, attempt: int) -> SealedShard:
    """Store what a worker left and append ``shard.sealed``. It is durable when this returns.

    A worker that died is sealed as well, with every episode unmeasurable: nothing that was tried
    leaves the record.

    Raises:
        CaseError: when the case cannot be written.
    """
    shard = result.shard
    if result.log is None:
        outcomes = tuple(
            _lost(shard, index, ReasonCode.WORKER_DIED, result.problem or "the worker died")
            for index in range(len(shard.keys))
        )
        case.append(
            SHARD_SEALED,
            {
                **_head(shard, attempt),
                "log": None,
                "problem": result.problem,
                "episodes": [_entry(outcome, None) for outcome in outcomes],
            },
        )
        return SealedShard(shard=shard, outcomes=outcomes)

    records = {
        record.key.digest: record for record in read_records(result.folder / "records.jsonl")
    }
    failures = _read_failures(result.folder / "failures.json")
    blobs: list[bytes] = []
    places: dict[str, int] = {}
    for key in shard.keys:
        record = records.get(key.digest)
        if record is None:
            continue
        try:
            stored = _stored_form(record)
        except (TypeError, ValueError) as error:  # no canonical form: it costs this episode only
            failures[key.digest[:SAMPLE_DIGITS]] = f"its record cannot be stored: {error}"
            continue
        places[key.digest] = len(blobs)
        blobs += stored
    refs = case.evidence.put_many(blobs)
    entries: list[JsonObject] = []
    settled: list[Outcome] = []
    for index, key in enumerate(shard.keys):
        at = places.get(key.digest)
        if at is None:
            said = failures.get(key.digest[:SAMPLE_DIGITS], "it said nothing of it")
            code = (
                ReasonCode.SANDBOX_ERROR if said.startswith("Sandbox") else ReasonCode.HARNESS_ERROR
            )
            outcome = _lost(
                shard, index, code, f"the worker left no record of the episode: {said}"[:500]
            )
            settled.append(outcome)
            entries.append(_entry(outcome, None))
            continue
        record = records[key.digest]
        observed, completion, before, after = refs[at : at + 4]
        citations = Stored(
            case.evidence,
            record.observation,
            observed=observed,
            completion=completion,
            before=before,
            after=after,
        )
        try:
            outcome = settle(
                scenario_by_id(shard.scenario),
                key,
                record.observation,
                record.completion,
                citations,
            )
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # One episode that cannot be settled must not keep the others from being sealed.
            said = f"the outcome could not be settled: {type(error).__name__}: {error}"
            outcome = _lost(shard, index, ReasonCode.ORACLE_ERROR, said[:500])
        settled.append(outcome)
        sealed = _entry(
            outcome,
            {
                "sample": record.sample,
                "observation": observed.to_json(),
                "completion": completion.to_json(),
                "before": before.to_json(),
                "after": after.to_json(),
            },
        )
        if record.interview is not None:
            scenario = scenario_by_id(shard.scenario)
            compared = _interview(
                record.interview, scenario, outcome, record.observation, citations
            )
            sealed = {**sealed, "interview": {**compared, "stored": refs[at + 4].to_json()}}
        entries.append(sealed)
    name = shard.name if attempt == 1 else f"{shard.name}_{attempt}"
    case.seal_log(result.log, name)
    case.append(
        SHARD_SEALED,
        {
            **_head(shard, attempt),
            "log": case.log_entry(name),
            "problem": None,
            "episodes": entries,
        },
    )
    return SealedShard(shard=shard, outcomes=tuple(settled))


def _interview(
    interview: Interview,
    scenario: Scenario,
    outcome: Outcome,
    observation: Observation,
    citations: Stored,
) -> JsonObject:
    """An interview beside the outcome that it was compared with, and no part of it."""
    key = outcome.key
    found = compare_interview(interview, scenario, key.cell, outcome.answers, observation)
    compared = [
        replace(item.compared, evidence=citations.receipts(item.receipts)).to_json()
        for item in found
    ]
    return {"schema": INTERVIEW_COMPARED, "version": interview.version, "compared": compared}


def _stored_form(record: EpisodeRecord) -> list[bytes]:
    """Observation, completion, and the states before and after, as they are stored; then what was
    said in the interview, if there was one.

    Raises:
        TypeError, ValueError: when something of it has no canonical form.
    """
    observation = record.observation
    stored = [
        observation.to_bytes(),
        canonical_json(record.completion.to_json()),
        canonical_json(observation.before.to_json()),
        canonical_json(observation.after.to_json()),
    ]
    if record.interview is not None:
        stored.append(canonical_json(record.interview.to_json()))
    return stored


def _read_failures(path: Path) -> dict[str, str]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in raw.items()} if isinstance(raw, dict) else {}


def _head(shard: Shard, attempt: int) -> JsonObject:
    return {
        "schema": "custodes.shard/1",
        "shard": shard.id,
        "attempt": attempt,
        "subject": shard.subject.to_json(),
        "scenario": shard.scenario,
    }


def _entry(outcome: Outcome, stored: JsonObject | None) -> JsonObject:
    return {"outcome": outcome.to_json(), "stored": stored}


def _lost(shard: Shard, index: int, code: ReasonCode, detail: str) -> Outcome:
    key = shard.keys[index]
    return unmeasurable(key, scenario_by_id(shard.scenario).questions(key.cell), code, detail)
