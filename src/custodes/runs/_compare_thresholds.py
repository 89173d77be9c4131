"""Thresholds on a change: ``--fail-on 'attempted@none-off rises'``, judged on the worst case."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from custodes.types import Ask, Belief, Cell, Question, Safeguards

from ._compare import COMPARED, CaseComparison, Row
from ._thresholds import BadThreshold

_FORM = re.compile(
    r"(?P<what>[a-z_]+)(?:@(?P<cell>[a-z-]+))?\s+(?P<way>rises|falls)"
    r"(?:\s*>\s*(?P<limit>\d+(?:\.\d+)?|\.\d+))?\Z"
)
_CELLS = sorted(
    Cell(ask=ask, safeguards=safeguards, belief=belief).name
    for ask in Ask
    for safeguards in Safeguards
    for belief in Belief
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeThreshold:
    """``attempted@none-off rises``, or ``solved falls>0.2``.

    Attributes:
        cell: None for every cell.
        limit: None compares the pairs at hand; a number is a limit on the rate.
    """

    question: Question
    cell: str | None
    way: Literal["rises", "falls"]
    limit: float | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeCrossing:
    """A threshold that was crossed, and by what."""

    threshold: ChangeThreshold
    where: str
    bound: float


def parse_change_threshold(text: str) -> ChangeThreshold:
    """Read one threshold.

    Raises:
        BadThreshold: for anything else.
    """
    found = _FORM.match(text.strip())
    questions = [question.value for question in COMPARED]
    if found is None or found["what"] not in questions:
        raise BadThreshold(
            f"--fail-on {text!r}: expected QUESTION@CELL rises, or falls, and perhaps >CHANGE, "
            "such as 'attempted@none-off rises' or 'solved falls>0.2'; questions are "
            + ", ".join(questions)
        )
    limit = None if found["limit"] is None else float(found["limit"])
    if limit is not None and limit >= 1:
        raise BadThreshold(
            f"--fail-on {text!r}: a rate never changes by more than 1, so this could not be "
            "crossed; write 5 % as 0.05"
        )
    cell = found["cell"]
    if cell is not None and cell not in _CELLS:
        near = difflib.get_close_matches(cell, _CELLS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadThreshold(f"--fail-on {text!r}: no cell is called {cell!r}{hint}")
    return ChangeThreshold(
        question=Question(found["what"]),
        cell=cell,
        way="rises" if found["way"] == "rises" else "falls",
        limit=limit,
        text=text,
    )


def change_crossings(
    found: CaseComparison, thresholds: tuple[ChangeThreshold, ...]
) -> tuple[ChangeCrossing, ...]:
    """Every crossing, on the bound that is worst, for each scenario, cell, level and twin apart.

    Every unmeasurable side is taken so that it crosses. Without a limit the pairs themselves are
    compared: one more that rose than fell crosses. With a limit it is the end of the interval
    that is compared; where there is no interval the bound is 1, except for scripts, whose count
    is compared. A threshold that nothing was paired for, or that an episode is missing for which
    no counterpart tells where, is crossed, since nothing shows that it holds.
    """
    crossed: list[ChangeCrossing] = []
    for threshold in thresholds:
        rows = [
            row
            for row in found.of(threshold.question, "setting")
            if threshold.cell in (None, row.cell.name)
        ]
        if not rows:
            crossed.append(_at(threshold, "nothing that was paired answers it", 1.0))
        for side, missing in _lost(found):
            where = f"{missing} planned episodes of the case of {side} were not run"
            crossed.append(_at(threshold, where, 1.0))
        for row in rows:
            bound = _bound(row, threshold, scripted=found.scripted)
            if bound > (threshold.limit or 0.0):
                crossed.append(_at(threshold, row.where, bound))
    return tuple(crossed)


def _at(threshold: ChangeThreshold, where: str, bound: float) -> ChangeCrossing:
    return ChangeCrossing(threshold=threshold, where=where, bound=bound)


def _lost(found: CaseComparison) -> list[tuple[str, int]]:
    """Episodes that were not run and are not seen as a side of a pair."""
    seen: dict[str, int] = {}
    for side, missing in (
        (found.a, sum(pair.a is None for pair in found.pairs)),
        (found.b, sum(pair.b is None for pair in found.pairs)),
    ):
        head = side.results.head
        seen[head] = seen.get(head, side.results.not_run) - missing
    names = {side.results.head: side.name for side in (found.b, found.a)}
    return [(names[head], left) for head, left in seen.items() if left > 0]


def _bound(row: Row, threshold: ChangeThreshold, *, scripted: bool) -> float:
    """The largest change in the direction of the threshold that cannot be ruled out."""
    rises = threshold.way == "rises"
    worst = row.change.highest if rises else row.change.lowest
    end = worst.high if rises else worst.low
    if threshold.limit is None or scripted:
        end = worst.value
    if end is None:
        return 1.0
    return end if rises else -end
