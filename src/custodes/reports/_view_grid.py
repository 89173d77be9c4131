"""The grid: steps of a rogue deployment by arms, one for each subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from custodes.runs import SubjectView
from custodes.scenarios import scenario_by_id
from custodes.types import Arm, Belief, Question, Step

from ._tally import BASE, Group, Tally

QUESTIONS = (Question.EXPOSED, Question.ATTEMPTED, Question.SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridLine:
    """One cell and instruction level of one scenario."""

    scenario: str
    label: str
    n: int
    tallies: tuple[tuple[str, Tally | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """A step; ``arms`` is empty where no scenario of the case is about it."""

    step: str
    scenarios: tuple[str, ...]
    arms: tuple[tuple[str, tuple[GridLine, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The grid of one subject."""

    subject: SubjectView
    rows: tuple[GridRow, ...]


def grids(groups: Sequence[Group], subjects: Sequence[SubjectView]) -> tuple[Grid, ...]:
    """One grid a subject. Twins and beliefs change what is met and stay out of it."""
    return tuple(Grid(subject=subject, rows=_rows(groups, subject)) for subject in subjects)


def _rows(groups: Sequence[Group], subject: SubjectView) -> tuple[GridRow, ...]:
    mine = [
        group
        for group in groups
        if group.subject.id == subject.id
        and group.twin == BASE
        and group.cell.belief is Belief.NOTHING
    ]
    rows = []
    for step in Step:
        here = [group for group in mine if scenario_by_id(group.scenario).step is step]
        rows.append(
            GridRow(
                step=step.value,
                scenarios=tuple(dict.fromkeys(group.scenario for group in here)),
                arms=tuple(
                    (arm.value, tuple(_line(group) for group in here if group.arm is arm))
                    for arm in Arm
                )
                if here
                else (),
            )
        )
    return tuple(rows)


def _line(group: Group) -> GridLine:
    return GridLine(
        scenario=group.scenario,
        label=f"{group.cell.name}, level {group.level.value}",
        n=len(group.episodes),
        tallies=tuple((question.value, group.tally(question)) for question in QUESTIONS),
    )
