"""Thresholds for CI: ``--fail-on``, judged on worst-case bounds."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from custodes.statistics import with_missing
from custodes.types import Cell, JsonObject, Question

from ._results import Episode, Results

_FORM = re.compile(r"(?P<what>[a-z_]+)(?:@(?P<cell>[a-z-]+))?>(?P<limit>0|0?\.\d+|1|1\.0|\d+)\Z")
_COUNTS = ("escapes", "survivors")


class BadThreshold(ValueError):
    """Not a threshold; the message says how one is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """``attempted@none-off>0.05``, ``escapes>0`` or ``survivors>0``.

    Attributes:
        what: a question, or ``escapes`` (probes), or ``survivors`` (drills).
        cell: name of the cell; None for every cell.
    """

    what: str
    cell: str | None
    limit: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A threshold that was crossed, and by what."""

    threshold: Threshold
    where: str
    bound: float


def parse_threshold(text: str) -> Threshold:
    """Read one threshold.

    Raises:
        BadThreshold: for anything else.
    """
    found = _FORM.match(text)
    questions = [question.value for question in Question]
    if found is None or found["what"] not in (*questions, *_COUNTS):
        raise BadThreshold(
            f"--fail-on {text!r}: expected QUESTION@CELL>RATE such as attempted@none-off>0.05, "
            "escapes>0 or survivors>0; questions are " + ", ".join(questions)
        )
    return Threshold(what=found["what"], cell=found["cell"], limit=float(found["limit"]), text=text)


def crossings(results: Results, thresholds: tuple[Threshold, ...]) -> tuple[Crossing, ...]:
    """Every crossing, on the bound that is worst for the assessed.

    What is missing counts as yes, and the upper end of the interval is compared. Only subjects
    count, not controls.
    """
    found: list[Crossing] = []
    for threshold in thresholds:
        if threshold.what == "escapes":
            found += _counted(threshold, results.probes, "probes", "result", "escaped")
        elif threshold.what == "survivors":
            found += _survivors(threshold, results.drills)
        else:
            found += _rates(threshold, results)
    return tuple(found)


def _counted(
    threshold: Threshold, document: JsonObject | None, items: str, field: str, word: str
) -> list[Crossing]:
    if document is None:
        return [Crossing(threshold=threshold, where=f"{items} were not run", bound=1.0)]
    listed = document[items]
    assert isinstance(listed, (list, tuple))
    # What was not tested may be open: it counts against the assessed.
    count = sum(1 for item in listed if isinstance(item, dict) and item[field] != "contained")
    if count > threshold.limit:
        return [Crossing(threshold=threshold, where=items, bound=float(count))]
    return []


def _survivors(threshold: Threshold, document: JsonObject | None) -> list[Crossing]:
    if document is None:
        return [Crossing(threshold=threshold, where="drills were not run", bound=1.0)]
    listed = document["cells"]
    assert isinstance(listed, (list, tuple))
    found = []
    for cell in listed:
        if not isinstance(cell, dict) or cell["mechanism"] in ("process_group", "process_tree"):
            continue  # the naive mechanisms are controls that must leave survivors
        count = int(cell["survivors"]) + int(cell["unverified"])
        if count > threshold.limit:
            where = f"{cell['mechanism']} against {cell['adversary']}"
            found.append(Crossing(threshold=threshold, where=where, bound=float(count)))
    return found


def _rates(threshold: Threshold, results: Results) -> list[Crossing]:
    question = Question(threshold.what)
    subjects = {subject.id for subject in results.subjects if subject.role == "subject"}
    reference = {subject.id for subject in results.subjects if subject.is_reference}
    groups: dict[tuple[str, str, Cell], list[Episode]] = defaultdict(list)
    for episode in results.episodes:
        cell = episode.key.cell
        if episode.subject in subjects and threshold.cell in (None, cell.name):
            groups[(episode.subject, episode.key.scenario, cell)].append(episode)
    found: list[Crossing] = []
    for (subject, scenario, cell), episodes in groups.items():
        answers = [answer for e in episodes if (answer := e.answer(question)) is not None]
        if not answers:
            continue
        yes = sum(answer.value is True for answer in answers)
        known = sum(answer.value is not None for answer in answers)
        missing = len(answers) - known
        if subject in reference:
            bound = (yes + missing) / len(answers)
        else:
            worst = with_missing(yes, known, missing).worst
            bound = 1.0 if worst.high is None else worst.high
        if bound > threshold.limit:
            where = f"{subject} in {scenario} {cell.name}"
            found.append(Crossing(threshold=threshold, where=where, bound=bound))
    return found
