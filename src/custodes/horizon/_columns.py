"""What a row of a runs file means: METR's old and new column names, and Inspect's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from custodes.statistics import TaskRun

from ._table import Row, shown

Scoring = Literal["binarized", "continuous"]

AGENT: Final = ("agent", "alias", "model")
TASK: Final = ("task_id", "task")
FAMILY: Final = ("task_family", "family")
MINUTES: Final = ("human_minutes",)
RUN: Final = ("run_id", "id")
CHEATED: Final = ("cheated", "is_cheating", "reward_hacked", "reward_hacking")
SCORES: Final[Mapping[Scoring, tuple[str, ...]]] = {
    "binarized": ("score_binarized", "success"),
    "continuous": ("score_cont", "score"),
}
OTHER_UNITS: Final = ("human_hours", "human_seconds", "human_time", "minutes_human", "human_days")
"""Lengths in another unit, or in one that nobody states: refused, never converted in silence."""
SHORTEST, LONGEST = 1e-6, 1e9
"""Minutes of a task. What lies outside (60 microseconds, 1,900 years) is no length of a task."""
HUMAN: Final = frozenset({"human", "humans", "human baseline"})
_TRUE: Final = frozenset({"true", "1", "1.0", "yes"})
_FALSE: Final = frozenset({"false", "0", "0.0", "no", "", "nan", "none", "null"})
_NOTHING: Final = frozenset({"", "nan", "none", "null", "na"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column of a file holds what. ``cheated`` and ``run`` may be missing."""

    agent: str
    task: str
    family: str
    minutes: str
    score: str
    run: str | None
    cheated: str | None

    def told(self) -> dict[str, str | None]:
        return {
            "agent": self.agent,
            "task": self.task,
            "family": self.family,
            "human_minutes": self.minutes,
            "score": self.score,
            "run": self.run,
            "cheated": self.cheated,
        }


def columns_of(row: Row, scoring: Scoring) -> Columns:
    """Which columns a file's first row has.

    Raises:
        BadInput: one that is needed is missing.
    """

    def found(names: Sequence[str]) -> str | None:
        return next((name for name in names if name in row.values), None)

    def needed(names: Sequence[str], what: str) -> str:
        name = found(names)
        if name is None:
            have = ", ".join(sorted(map(str, row.values))[:12]) or "none"
            raise row.refuse(
                f"expected a column {' or '.join(names)} ({what}), found the columns "
                f"{shown(have)[1:-1]}"
            )
        return name

    if found(MINUTES) is None and (other := found(OTHER_UNITS)) is not None:
        raise row.refuse(
            f"expected task lengths in a column human_minutes, found {other}; convert it to minutes"
        )
    return Columns(
        agent=needed(AGENT, "who ran"),
        task=needed(TASK, "what was run"),
        family=needed(FAMILY, "tasks that resemble each other"),
        minutes=needed(MINUTES, "how long the task takes a person"),
        score=needed(
            SCORES[scoring], f"the {scoring} score; --score chooses binarized or continuous"
        ),
        run=found(RUN),
        cheated=found(CHEATED),
    )


def run_of(row: Row, columns: Columns) -> TaskRun | None:
    """The run that a row describes; None for one by a person.

    Raises:
        BadInput: a field that is missing or not what its column holds.
    """
    agent = _text(row, columns.agent)
    if agent.strip().lower() in HUMAN:
        return None
    minutes = _number(row, columns.minutes)
    if minutes is None:
        raise row.refuse(f"expected {columns.minutes} above 0, found none")
    if not minutes > 0:
        raise row.refuse(f"expected {columns.minutes} above 0, found {minutes:g}")
    if not SHORTEST <= minutes <= LONGEST:
        raise row.refuse(
            f"expected {columns.minutes} from {SHORTEST:g} to {LONGEST:g}, found {minutes:g}"
        )
    score = _number(row, columns.score)
    if score is not None and not 0 <= score <= 1:
        raise row.refuse(f"expected {columns.score} within [0, 1], found {score:g}")
    name = None if columns.run is None else row.values.get(columns.run)
    return TaskRun(
        agent=agent,
        task=_text(row, columns.task),
        family=_text(row, columns.family),
        human_minutes=minutes,
        score=score,
        cheated=columns.cheated is not None and _flag(row, columns.cheated),
        run_id=None if name is None or name == "" else str(name),
    )


def _get(row: Row, column: str) -> object:
    if column not in row.values:
        raise row.refuse(f"expected a field {column}, found none")
    return row.values[column]


def _text(row: Row, column: str) -> str:
    value = _get(row, column)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        raise row.refuse(f"expected a name as {column}, found {shown(value)}")
    return str(value).strip()


def _number(row: Row, column: str) -> float | None:
    value = _get(row, column)
    if value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING):
        return None
    if isinstance(value, bool):
        return float(value)
    try:
        if not isinstance(value, (str, int, float)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return float(value.strip().lower() == "true")
        raise row.refuse(f"expected a number as {column}, found {shown(value)}") from None
    if math.isnan(number):
        return None
    if not math.isfinite(number):
        raise row.refuse(f"expected a finite number as {column}, found {shown(value)}")
    return number


def _flag(row: Row, column: str) -> bool:
    value = row.values.get(column)
    word = "" if value is None else str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise row.refuse(f"expected true or false as {column}, found {shown(value)}")
