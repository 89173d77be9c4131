"""What was not measured, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from custodes.runs import Results
from custodes.scenarios import scenario_by_id
from custodes.types import ReasonCode, Step

from ._tally import BASE, Group
from ._text import counted

MOST_DETAILS = 4

NOT_PART: tuple[tuple[str, str], ...] = (
    ("validation of monitors on a held-out pack", "how often the monitors see what they should"),
    ("time horizon", "how long the tasks are that the subject completes"),
    ("key facts and questionnaire", "what the organisation states about its agents, and its grade"),
    ("threat ladder and judgement", "what people conclude, with confidence and dissent"),
    ("incidents", "what happened outside this assessment"),
    ("disclosure and redaction", "what others agreed to publish"),
)
"""Parts of an assessment that this version of the report has no place for yet."""

_REASONS: dict[ReasonCode, str] = {
    ReasonCode.PARSE_FAILURES: "no tool call of the episode could be parsed",
    ReasonCode.ORACLE_ERROR: "the oracle failed",
    ReasonCode.MONITOR_ERROR: "the monitor failed, or did not observe",
    ReasonCode.LIMIT: "a limit ended the episode before the agent did",
    ReasonCode.WORKER_DIED: "the worker process died",
    ReasonCode.MODEL_ERROR: "the model could not be called, or said nothing",
    ReasonCode.SANDBOX_ERROR: "the sandbox failed",
    ReasonCode.SERVICE_ERROR: "a service of the task failed",
    ReasonCode.RECEIPTS_INCOMPLETE: "the receipts break off",
    ReasonCode.NO_FORM: "the agent ended without its completion form",
    ReasonCode.INTERRUPTED_BY_SAFEGUARD: "a safeguard intervened before the question was settled",
    ReasonCode.NOT_RUN: "not run",
    ReasonCode.HARNESS_ERROR: "the harness failed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """One reason, with how many answers and episodes it made unmeasurable."""

    code: str
    meaning: str
    answers: int
    episodes: int
    questions: tuple[str, ...]
    subjects: tuple[str, ...]
    details: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What of a scenario was met, and what was not."""

    id: str
    cells: tuple[str, ...]
    cells_not_run: tuple[str, ...]
    levels_not_run: tuple[str, ...]
    twins_not_run: tuple[str, ...]
    missing_ablations: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Everything of the case that stayed unknown."""

    reasons: tuple[Unmeasured, ...]
    not_run: int
    planned: int
    steps: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    not_part: tuple[tuple[str, str], ...]


def unknown(results: Results, groups: Sequence[Group]) -> Unknown:
    """Collect what was asked and not answered, planned and not run, possible and not planned."""
    measured = {scenario_by_id(name).step for name in results.scenarios}
    return Unknown(
        reasons=_reasons(results),
        not_run=results.not_run,
        planned=results.planned,
        steps=tuple(step.value for step in Step if step not in measured),
        coverage=tuple(_coverage(name, groups) for name in sorted(results.scenarios)),
        not_part=NOT_PART,
    )


def _reasons(results: Results) -> tuple[Unmeasured, ...]:
    answers: dict[ReasonCode, int] = {}
    episodes: dict[ReasonCode, set[str]] = {}
    questions: dict[ReasonCode, dict[str, None]] = {}
    subjects: dict[ReasonCode, dict[str, None]] = {}
    details: dict[ReasonCode, dict[str, int]] = {}
    for episode in results.episodes:
        for question, reason in episode.unmeasurable:
            code = reason.code
            answers[code] = answers.get(code, 0) + 1
            episodes.setdefault(code, set()).add(episode.key.digest)
            questions.setdefault(code, {})[question.value] = None
            subjects.setdefault(code, {})[episode.subject] = None
            said = details.setdefault(code, {})
            said[reason.detail] = said.get(reason.detail, 0) + 1
    found = []
    for code in sorted(answers, key=lambda c: (-answers[c], c.value)):
        ranked = sorted(details[code].items(), key=lambda item: (-item[1], item[0]))
        found.append(
            Unmeasured(
                code=code.value.replace("_", " "),
                meaning=_REASONS.get(code, code.value),
                answers=answers[code],
                episodes=len(episodes[code]),
                questions=tuple(questions[code]),
                subjects=tuple(subjects[code]),
                details=tuple(
                    f"{text[:300]} ({counted(count, 'answer')})"
                    for text, count in ranked[:MOST_DETAILS]
                ),
                more=max(0, len(ranked) - MOST_DETAILS),
            )
        )
    return tuple(found)


def _coverage(name: str, groups: Sequence[Group]) -> Coverage:
    scenario = scenario_by_id(name)
    mine = [group for group in groups if group.scenario == name]
    met = {group.cell for group in mine}
    levels = {group.level for group in mine}
    twins = {group.twin for group in mine}
    return Coverage(
        id=name,
        cells=tuple(cell.name for cell in scenario.cells() if cell in met),
        cells_not_run=tuple(cell.name for cell in scenario.cells() if cell not in met),
        levels_not_run=tuple(level.value for level in scenario.levels if level not in levels),
        twins_not_run=tuple(
            twin for twin in (BASE, *(t.name for t in scenario.twins)) if twin not in twins
        ),
        missing_ablations=scenario.missing_ablations,
    )
