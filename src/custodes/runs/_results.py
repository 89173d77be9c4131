"""What a case holds, read back from its ledger: the one view that summaries and reports share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from custodes.case import (
    DRILL_RECORDED,
    MEASUREMENT_RECORDED,
    PAGE_RECORDED,
    PLAN_FIXED,
    PROBE_RECORDED,
    SHARD_SEALED,
    Case,
    EvidenceStore,
)
from custodes.scenarios import expected_answers, scenario_by_id
from custodes.types import (
    Answer,
    Cell,
    Compared,
    Comparison,
    Disclosure,
    EpisodeKey,
    EvidenceRef,
    InterviewProblem,
    JsonObject,
    JsonValue,
    Moment,
    Outcome,
    Question,
    Reason,
    ReasonCode,
    Said,
    Stage,
    Timed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interviewed:
    """What an agent said after its episode, compared with the receipts. No part of its outcome.

    Attributes:
        version: of the list of questions.
        stored: the replies in its own words.
    """

    version: int
    compared: tuple[Compared, ...]
    stored: EvidenceRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One settled episode with everything that it can be traced to.

    Attributes:
        event: sequence number of the ledger event that sealed it.
        sample: its sample in the log; None, as the references, when no record was left.
        log: path of the log within the case; None when the worker died.
        interview: None when the agent was not interviewed.
    """

    outcome: Outcome
    subject: str
    event: int
    log: str | None
    log_sha256: str | None
    sample: str | None
    observation: EvidenceRef | None
    completion: EvidenceRef | None
    before: EvidenceRef | None
    after: EvidenceRef | None
    interview: Interviewed | None = None

    @property
    def key(self) -> EpisodeKey:
        return self.outcome.key

    def answer(self, question: Question) -> Answer | None:
        """The answer, or None when the question was not asked."""
        return self.outcome.answers.get(question)

    @property
    def unmeasurable(self) -> tuple[tuple[Question, Reason], ...]:
        return tuple(
            (question, answer.reason)
            for question, answer in sorted(self.outcome.answers.items())
            if answer.reason is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectView:
    """A subject as the plan fixed it. ``policy`` is None for a model."""

    id: str
    role: str
    model: str
    digest: str
    policy: str | None
    description: str | None
    elicitation: str | None

    @property
    def is_reference(self) -> bool:
        return self.policy is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentCheck:
    """One expectation about a reference subject, and what the instruments found.

    ``passed`` is None when what was expected could not be measured.
    """

    episode: Episode
    question: Question
    expected: bool
    found: bool | None

    @property
    def passed(self) -> bool | None:
        return None if self.found is None else self.found == self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A case, read back.

    Attributes:
        plan: the newest fixed plan document, or None before one was fixed.
        episodes: the last attempt at each planned episode, in ledger order.
        attempts: shards with planned episodes that were tried before, with the number of tries.
        planned: episodes that the plan asks for; those not in ``episodes`` were not run.
        superseded: sealed episodes that count in no figure: earlier tries at planned episodes,
            and what earlier plans asked for and the newest does not.
        probes, drills: the newest recorded documents about Custodes' own mechanisms, or None.
        deployed_probes, deployed_drills: the newest about each containment, and each launcher with
            its stop command, of the organisation's own. pages: the newest of each page drill.
        measurements: newest by estimand.
        plans: how many times the plan was fixed.
    """

    plan: JsonObject | None
    subjects: tuple[SubjectView, ...]
    episodes: tuple[Episode, ...]
    attempts: Mapping[str, int]
    planned: int
    probes: JsonObject | None
    drills: JsonObject | None
    measurements: Mapping[str, JsonObject]
    environment: JsonObject | None
    plans: int
    head: str
    events: int
    first_at: int
    last_at: int
    superseded: int = 0
    deployed_probes: tuple[JsonObject, ...] = ()
    deployed_drills: tuple[JsonObject, ...] = ()
    pages: tuple[JsonObject, ...] = ()

    @property
    def probe_documents(self) -> tuple[JsonObject, ...]:
        """Every newest probe document, Custodes' own first."""
        return (*((self.probes,) if self.probes is not None else ()), *self.deployed_probes)

    @property
    def drill_documents(self) -> tuple[JsonObject, ...]:
        """Every newest drill document, Custodes' own first."""
        return (*((self.drills,) if self.drills is not None else ()), *self.deployed_drills)

    def of(
        self, *, subject: str | None = None, scenario: str | None = None, cell: Cell | None = None
    ) -> tuple[Episode, ...]:
        """Episodes that match every argument given."""
        return tuple(
            episode
            for episode in self.episodes
            if (subject is None or episode.subject == subject)
            and (scenario is None or episode.key.scenario == scenario)
            and (cell is None or episode.key.cell == cell)
        )

    @property
    def scenarios(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(episode.key.scenario for episode in self.episodes))

    @property
    def not_run(self) -> int:
        return max(0, self.planned - len(self.episodes))

    def instrument_checks(self) -> tuple[InstrumentCheck, ...]:
        """Every expectation about reference subjects, with what was found."""
        policies = {subject.id: subject.policy for subject in self.subjects}
        checks: list[InstrumentCheck] = []
        for episode in self.episodes:
            policy = policies.get(episode.subject)
            if policy is None:
                continue
            key = episode.key
            wanted = expected_answers(policy, scenario_by_id(key.scenario), key.cell, key.twin)
            for question, expected in wanted.items():
                answer = episode.answer(question)
                if answer is not None:
                    kept = expected and answer.value is False and _kept_from_it(episode)
                    checks.append(
                        InstrumentCheck(
                            episode=episode,
                            question=question,
                            expected=expected,
                            found=None if kept else answer.value,
                        )
                    )
        return tuple(checks)

    def unmeasurable_episodes(self) -> tuple[Episode, ...]:
        """Episodes with an answer that could not be measured although nothing stopped them.

        What a stop order cut short is the safeguard's work and is shown with it.
        """
        return tuple(
            episode
            for episode in self.episodes
            if any(
                reason.code is not ReasonCode.INTERRUPTED_BY_SAFEGUARD
                for _, reason in episode.unmeasurable
            )
        )

    def unmeasurable_interviews(self) -> tuple[Episode, ...]:
        """Episodes with an interview question that has no answer although nothing stopped them."""
        stopped = ReasonCode.INTERRUPTED_BY_SAFEGUARD
        return tuple(
            episode
            for episode in self.episodes
            if episode.interview is not None
            and any(c.comparison is Comparison.UNMEASURABLE for c in episode.interview.compared)
            and not any(reason.code is stopped for _, reason in episode.unmeasurable)
        )

    @property
    def has_unmeasurable(self) -> bool:
        """Whether anything that was asked could not be measured, or was planned and not run."""
        return bool(
            self.unmeasurable_episodes()
            or self.unmeasurable_interviews()
            or self.not_run
            or any(check.passed is None for check in self.instrument_checks())
            or any(
                probe["result"] == "untested"
                for document in self.probe_documents
                for probe in _objects(document, "probes")
            )
            or any(
                cell["unverified"] or cell["status"] == "untested"
                for document in self.drill_documents
                for cell in _objects(document, "cells")
            )
            or any(
                run["human"] != "measured"
                for document in self.pages
                for run in _objects(document, "runs")
            )
        )


ENVIRONMENT_RECORDED = "environment.recorded"
"""Event: versions, tier and machine that the episodes ran on, and the canary run."""


def read_results(case: Case) -> Results:
    """Read a case back from its ledger.

    Raises:
        CaseError: when the ledger cannot be read or names evidence that is not there.
    """
    plan: JsonObject | None = None
    probes: JsonObject | None = None
    drills: JsonObject | None = None
    deployed_probes: dict[str, JsonObject] = {}
    deployed_drills: dict[tuple[str, str], JsonObject] = {}
    pages: dict[str, JsonObject] = {}
    environment: JsonObject | None = None
    measurements: dict[str, JsonObject] = {}
    sealed: list[tuple[int, JsonObject]] = []
    attempts: dict[str, int] = {}
    plans = events = 0
    first_at = last_at = 0
    for event in case.events():
        events += 1
        first_at = first_at or event.at
        last_at = event.at
        if event.kind == PLAN_FIXED:
            plan = _object(event.data["plan"])
            plans += 1
            # Under another plan the same name may mean another rate: all are recorded afresh.
            measurements = {}
        elif event.kind == SHARD_SEALED:
            sealed.append((event.seq, event.data))
        elif event.kind == PROBE_RECORDED:
            if "command" in event.data:
                deployed_probes[str(event.data["command"])] = event.data
            else:
                probes = event.data
        elif event.kind == DRILL_RECORDED:
            if "launch" in event.data:
                commands = str(event.data["launch"]), str(event.data["stop"])
                deployed_drills[commands] = event.data
            else:
                drills = event.data
        elif event.kind == PAGE_RECORDED:
            pages[str(event.data["page"])] = event.data
        elif event.kind == ENVIRONMENT_RECORDED:
            environment = event.data
        elif event.kind == MEASUREMENT_RECORDED:
            measurements[str(event.data["estimand"])] = event.data
    subjects = _subjects(plan)
    planned = frozenset(_strings(plan.get("keys", []))) if plan is not None else frozenset()
    # The last try at an episode counts. Names of subjects are the plan's: a case may rename one.
    last: dict[str, int] = {}
    tries = 0
    for seq, data in sealed:
        for digest in episodes_of(data):
            tries += 1
            if digest in planned:
                last[digest] = seq
                if (attempt := _integer(data["attempt"])) > 1:
                    attempts[str(data["shard"])] = attempt
    names = {subject.digest: subject.id for subject in subjects}
    episodes = [
        episode
        for seq, data in sealed
        if any(last.get(digest) == seq for digest in episodes_of(data))
        for episode in _episodes(case.evidence, seq, data, names, last)
    ]
    return Results(
        plan=plan,
        subjects=subjects,
        episodes=tuple(episodes),
        attempts=attempts,
        planned=_integer(plan["episodes"]) if plan is not None else 0,
        probes=probes,
        drills=drills,
        measurements=measurements,
        environment=environment,
        plans=plans,
        head=case.head,
        events=events,
        first_at=first_at,
        last_at=last_at,
        superseded=tries - len(episodes),
        deployed_probes=tuple(deployed_probes.values()),
        deployed_drills=tuple(deployed_drills.values()),
        pages=tuple(pages.values()),
    )


def _subjects(plan: JsonObject | None) -> tuple[SubjectView, ...]:
    if plan is None:
        return ()
    found = []
    for raw in _sequence(plan["subjects"]):
        data = _object(raw)
        model = str(data["model"])
        found.append(
            SubjectView(
                id=str(data["id"]),
                role=str(data["role"]),
                model=model,
                digest=str(data["digest"]),
                policy=model.removeprefix("reference/") if data["reference"] else None,
                description=_optional(data["description"]),
                elicitation=_optional(data["elicitation"]),
            )
        )
    return tuple(found)


def episodes_of(sealed: JsonObject) -> tuple[str, ...]:
    """Digests of the episodes that a ``shard.sealed`` holds."""
    return tuple(
        str(_object(_object(entry)["outcome"])["episode"])
        for entry in _sequence(sealed["episodes"])
    )


def _episodes(
    store: EvidenceStore,
    seq: int,
    data: JsonObject,
    names: Mapping[str, str],
    last: Mapping[str, int],
) -> Iterator[Episode]:
    """The episodes of a sealed shard whose last try it is."""
    log = data["log"]
    for raw in _sequence(data["episodes"]):
        entry = _object(raw)
        outcome = _object(entry["outcome"])
        if last.get(str(outcome["episode"])) != seq:
            continue
        settled = outcome_from_json(store, outcome)
        stored = None if entry["stored"] is None else _object(entry["stored"])
        named = _object(log) if log is not None else None

        def ref(name: str, stored: JsonObject | None = stored) -> EvidenceRef | None:
            return None if stored is None else store.ref_from_json(stored[name])

        yield Episode(
            outcome=settled,
            subject=names[settled.key.subject],
            event=seq,
            log=None if named is None else str(named["file"]),
            log_sha256=None if named is None else str(named["sha256"]),
            sample=None if stored is None else str(stored["sample"]),
            observation=ref("observation"),
            completion=ref("completion"),
            before=ref("before"),
            after=ref("after"),
            interview=_interviewed(store, entry),
        )


def _kept_from_it(episode: Episode) -> bool:
    """Whether safeguards of any kind kept calls of the episode from running.

    An installed agent's rules and hooks may hold also where its permission checks are off: that a
    script did not get through is then no failure of an instrument.
    """
    return any(
        reason.code is ReasonCode.INTERRUPTED_BY_SAFEGUARD for _, reason in episode.unmeasurable
    )


def _interviewed(store: EvidenceStore, entry: JsonObject) -> Interviewed | None:
    """The interview of an entry; those of before there were interviews have none."""
    raw = entry.get("interview")
    if raw is None:
        return None
    data = _object(raw)
    return Interviewed(
        version=_integer(data["version"]),
        compared=tuple(_compared(store, _object(item)) for item in _sequence(data["compared"])),
        stored=store.ref_from_json(data["stored"]),
    )


def _compared(store: EvidenceStore, raw: JsonObject) -> Compared:
    return Compared(
        question=str(raw["question"]),
        said=None if raw["said"] is None else Said(str(raw["said"])),
        sentence=str(raw["sentence"]),
        comparison=Comparison(str(raw["comparison"])),
        fact=_three(raw["fact"]),
        admits=_three(raw["admits"]),
        problem=None if raw["problem"] is None else InterviewProblem(str(raw["problem"])),
        against=str(raw["against"]),
        why=str(raw["why"]),
        evidence=tuple(store.ref_from_json(item) for item in _sequence(raw["evidence"])),
    )


def _three(value: JsonValue) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"expected true, false or null, found {value!r}")


def outcome_from_json(store: EvidenceStore, raw: JsonObject) -> Outcome:
    """Read what :meth:`~custodes.types.Outcome.to_json` wrote; its evidence must be there.

    Raises:
        CaseError: when evidence is missing.
        ValueError, KeyError: when it is not an outcome.
    """
    answers = {
        Question(name): _answer(store, _object(answer))
        for name, answer in _object(raw["answers"]).items()
    }
    times = {
        Stage(name): _timed(store, _object(timed)) for name, timed in _object(raw["times"]).items()
    }
    grade = raw["disclosure"]
    return Outcome(
        key=EpisodeKey.from_json(_object(raw["key"])),
        asked=frozenset(answers),
        answers=answers,
        times=times,
        disclosure=None if grade is None else Disclosure(str(grade)),
    )


def _answer(store: EvidenceStore, raw: JsonObject) -> Answer:
    reason = None if raw["reason"] is None else _object(raw["reason"])
    value = raw["value"]
    if value not in (True, False, None):
        raise ValueError(f"expected true, false or null, found {value!r}")
    return Answer(
        value=None if value is None else value is True,
        reason=(
            None
            if reason is None
            else Reason(code=ReasonCode(str(reason["code"])), detail=str(reason["detail"]))
        ),
        evidence=tuple(store.ref_from_json(item) for item in _sequence(raw["evidence"])),
    )


def _timed(store: EvidenceStore, raw: JsonObject) -> Timed:
    at = raw["at"]
    return Timed(
        answer=_answer(store, _object(raw["answer"])),
        at=None if at is None else _moment(_object(at)),
        until=_moment(_object(raw["until"])),
    )


def _moment(raw: JsonObject) -> Moment:
    step = raw["step"]
    return Moment(step=None if step is None else _integer(step), host_us=_integer(raw["host_us"]))


def _object(value: JsonValue) -> JsonObject:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    return value


def _sequence(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list, found {type(value).__name__}")
    return list(value)


def _objects(document: JsonObject | None, name: str) -> list[JsonObject]:
    return [] if document is None else [_object(item) for item in _sequence(document[name])]


def _strings(value: JsonValue) -> list[str]:
    return [str(item) for item in _sequence(value)]


def _integer(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, found {value!r}")
    return value


def _optional(value: JsonValue) -> str | None:
    return None if value is None else str(value)
