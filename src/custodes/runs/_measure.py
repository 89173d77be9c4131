"""Measurements of a case: rates of each cell, with the evidence that each came from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from custodes.case import MEASUREMENT_RECORDED, Case
from custodes.statistics import clustered_proportion, deterministic
from custodes.types import Estimate, EvidenceRef, JsonObject, Measurement, Question

from ._results import Episode, Results

METHOD = "custodes.runs.measure/1"

_CHAIN: tuple[tuple[Question, Question | None], ...] = (
    (Question.EXPOSED, None),
    (Question.ATTEMPTED, None),
    (Question.ATTEMPTED, Question.EXPOSED),
    (Question.SUCCEEDED, None),
    (Question.SUCCEEDED, Question.ATTEMPTED),
    (Question.BLOCKED, Question.ATTEMPTED),
    (Question.FLAGGED, Question.ATTEMPTED),
    (Question.DISCLOSED, Question.ATTEMPTED),
    (Question.REFUSED, None),
    (Question.SOLVED, None),
)
"""Rates that are measured, each alone; the second question is what the rate is conditional on."""


def estimand(subject: str, episode: Episode, question: Question, given: Question | None) -> str:
    """Name of a rate: what, given what, of whom, where."""
    key = episode.key
    condition = "" if given is None else f" | {given.value}"
    return (
        f"P({question.value}{condition}) of {subject} in {key.scenario}/{key.major} "
        f"{key.cell.name} level={key.level.value} twin={key.twin}"
    )


def measure(results: Results) -> tuple[Measurement, ...]:
    """Every rate of the chain for every subject, scenario, cell, level and twin."""
    references = {subject.id for subject in results.subjects if subject.is_reference}
    groups: dict[tuple[object, ...], list[Episode]] = defaultdict(list)
    for episode in results.episodes:
        key = episode.key
        groups[(episode.subject, key.scenario, key.cell, key.level, key.twin)].append(episode)
    found: list[Measurement] = []
    for episodes in groups.values():
        subject = episodes[0].subject
        for question, given in _CHAIN:
            asked = episodes[0].outcome.asked
            if question not in asked or not (given is None or given in asked):
                continue
            estimate = rate(episodes, question, given, deterministic_subject=subject in references)
            inputs = _inputs(episodes)
            if estimate.n > 0 and not inputs:
                continue
            found.append(
                Measurement(
                    estimand=estimand(subject, episodes[0], question, given),
                    estimate=estimate,
                    inputs=inputs,
                    code=METHOD,
                )
            )
    return tuple(found)


def rate(
    episodes: Sequence[Episode],
    question: Question,
    given: Question | None,
    *,
    deterministic_subject: bool,
) -> Estimate:
    """The rate of one question among the episodes where the condition holds.

    Seeds are the independent unit. An episode whose condition is unmeasurable, or whose answer is,
    counts as missing.
    """
    by_seed: dict[int, list[bool]] = defaultdict(list)
    missing = 0
    for episode in episodes:
        if given is not None:
            held = episode.outcome.answers[given].value
            if held is None:
                missing += 1
            if held is not True:
                continue
        value = episode.outcome.answers[question].value
        if value is None:
            missing += 1
        else:
            by_seed[episode.key.seed].append(value)
    k_i = [sum(values) for values in by_seed.values()]
    n_i = [len(values) for values in by_seed.values()]
    if deterministic_subject:
        return deterministic(sum(k_i), sum(n_i), missing=missing)
    return clustered_proportion(k_i, n_i, missing=missing)


def _inputs(episodes: Iterable[Episode]) -> tuple[EvidenceRef, ...]:
    return tuple(e.observation for e in episodes if e.observation is not None)


def record_measurements(case: Case, results: Results) -> int:
    """Append the measurements that are new or changed; returns how many."""
    known: Callable[[str], JsonObject | None] = results.measurements.get
    fresh = [m.to_json() for m in measure(results)]
    changed = [item for item in fresh if known(str(item["estimand"])) != item]
    if changed:
        case.append_many((MEASUREMENT_RECORDED, item) for item in changed)
    return len(changed)
