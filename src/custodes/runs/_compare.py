"""What changed between two settings that met the same scenarios."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from custodes.scenarios import BASE_TWIN, scenario_by_id
from custodes.statistics import PairedChange, holm, paired_change
from custodes.types import (
    Answer,
    Cell,
    JsonObject,
    Level,
    Question,
    ReasonCode,
    Step,
)

from ._compare_pairs import Pair, Place, paired
from ._compare_settings import Difference, NothingToCompare, Side, differences, warnings_about
from ._results import Episode

SCHEMA = "custodes.comparison/1"

COMPARED = (
    Question.ATTEMPTED,
    Question.SUCCEEDED,
    Question.BLOCKED,
    Question.DISCLOSED,
    Question.FLAGGED,
    Question.SOLVED,
    Question.REFUSED,
    Question.EXPOSED,
)
"""The questions that are compared, each alone."""

_TELLING = (
    Question.SUCCEEDED,
    Question.ATTEMPTED,
    Question.DISCLOSED,
    Question.FLAGGED,
    Question.REFUSED,
    Question.BLOCKED,
    Question.SOLVED,
    Question.EXPOSED,
)
"""What a reader wants to see first of the pairs that changed."""

Scope = Literal["cell", "step", "setting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One question over the pairs of one group; groups are never added up over cells.

    Attributes:
        scope: ``setting`` is a scenario, cell, level and twin; ``step`` a step of a rogue
            deployment in a cell, and ``cell`` a whole cell, both over base scenarios with the
            instruction levels together.
        unit: what the clusters are: seeds within one scenario, scenarios over several.
        reasons: why a side is unmeasurable: the side (``a`` or ``b``), the code, how often.
        one_sided: pairs in which only one side was asked.
        unpaired_a, unpaired_b: episodes that the other side was not to run.
        p_adjusted: by Holm, within the question and scope.
    """

    question: Question
    scope: Scope
    cell: Cell
    step: Step | None
    scenario: str | None
    level: Level | None
    twin: str
    unit: str
    change: PairedChange
    reasons: tuple[tuple[str, str, int], ...]
    one_sided: int
    unpaired_a: int
    unpaired_b: int
    p_adjusted: float | None = None

    @property
    def where(self) -> str:
        if self.scope == "cell":
            return self.cell.name
        if self.scope == "step":
            assert self.step is not None
            return f"{self.step.value} {self.cell.name}"
        assert self.level is not None
        return f"{self.scenario} {self.cell.name} level={self.level.value} twin={self.twin}"

    def to_json(self) -> JsonObject:
        c = self.change
        return {
            "question": self.question.value,
            "scope": self.scope,
            "cell": self.cell.name,
            "step": None if self.step is None else self.step.value,
            "scenario": self.scenario,
            "level": None if self.level is None else self.level.value,
            "twin": self.twin,
            "cluster": self.unit,
            "pairs": c.measured + c.unmeasurable,
            "both_yes": c.both_yes,
            "only_a": c.only_a,
            "only_b": c.only_b,
            "both_no": c.both_no,
            "unmeasurable": {
                "a": c.unknown_a,
                "b": c.unknown_b,
                "both": c.unknown_both,
                "reasons": [
                    {"side": side, "code": code, "answers": n} for side, code, n in self.reasons
                ],
            },
            "asked_of_one_side": self.one_sided,
            "unpaired": {"a": self.unpaired_a, "b": self.unpaired_b},
            "change": c.estimate.to_json(),
            "lowest": c.lowest.to_json(),
            "highest": c.highest.to_json(),
            "p_value": c.p_value,
            "p_adjusted": self.p_adjusted,
            "detectable": c.detectable,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedPair:
    """A pair whose sides answer differently, with each question that does."""

    pair: Pair
    answers: tuple[tuple[Question, Answer, Answer], ...]

    def to_json(self) -> JsonObject:
        return {
            **self.pair.place.to_json(),
            "a": _digest(self.pair.a),
            "b": _digest(self.pair.b),
            "answers": [
                {"question": question.value, "a": a.to_json(), "b": b.to_json()}
                for question, a, b in self.answers
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseComparison:
    """Two settings, what differs between them, and what changed.

    Attributes:
        pairs: every pair, also those with a side that was planned and not run.
        unpaired_a, unpaired_b: episodes that the other side was not to run.
        changed: pairs with a measured change, most telling first.
        unmeasurable: pairs with an answer that one side lacks.
    """

    a: Side
    b: Side
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]
    pairs: tuple[Pair, ...]
    unpaired_a: tuple[Episode, ...]
    unpaired_b: tuple[Episode, ...]
    rows: tuple[Row, ...]
    changed: tuple[ChangedPair, ...]
    unmeasurable: tuple[ChangedPair, ...]

    @property
    def scripted(self) -> bool:
        """Whether a side is a reference agent, so that there is no interval."""
        return self.a.subject.is_reference or self.b.subject.is_reference

    @property
    def has_unmeasurable(self) -> bool:
        """Whether a side lacks an answer for another reason than a safeguard's stop order."""
        return any(
            answer.reason is not None
            and answer.reason.code is not ReasonCode.INTERRUPTED_BY_SAFEGUARD
            for item in self.unmeasurable
            for _, a, b in item.answers
            for answer in (a, b)
        )

    def of(self, question: Question, scope: Scope) -> tuple[Row, ...]:
        return tuple(r for r in self.rows if r.question is question and r.scope == scope)

    def to_json(self) -> JsonObject:
        return {
            "schema": SCHEMA,
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "change_is": "the rate of yes in b minus that in a",
            "instrument_check": self.scripted,
            "differences": [item.to_json() for item in self.differences],
            "warnings": list(self.warnings),
            "pairs": len(self.pairs),
            "not_run": {
                "a": sum(pair.a is None for pair in self.pairs),
                "b": sum(pair.b is None for pair in self.pairs),
            },
            "unpaired": {
                "a": [episode.key.digest for episode in self.unpaired_a],
                "b": [episode.key.digest for episode in self.unpaired_b],
            },
            "rows": [row.to_json() for row in self.rows],
            "changed": [item.to_json() for item in self.changed],
            "unmeasurable": [item.to_json() for item in self.unmeasurable],
        }


def _digest(episode: Episode | None) -> str | None:
    return None if episode is None else episode.key.digest


def compare(a: Side, b: Side) -> CaseComparison:
    """Compare two sides over everything that both met.

    Paired by scenario and its major version, cell, level, twin, seed and repeat. An episode whose
    counterpart was planned and not run makes a pair with an unmeasurable side; one whose
    counterpart was never planned is counted as unpaired.

    Raises:
        NothingToCompare: both sides are one, or not one episode is paired.
    """
    if a.subject.digest == b.subject.digest and a.results.head == b.results.head:
        raise NothingToCompare(f"{a.name} and {b.name} are the same subject of the same case")
    pairs, unpaired_a, unpaired_b = paired(a, b)
    if not any(pair.a is not None and pair.b is not None for pair in pairs):
        raise NothingToCompare(
            f"no episode of {a.name} ({len(a.episodes)}) has a counterpart of {b.name} "
            f"({len(b.episodes)}): expected some scenario, cell, level, twin, seed and repeat "
            "that both have run"
        )
    rows = tuple(_rows(pairs, unpaired_a, unpaired_b, scripted=_scripted(a, b)))
    both = [(p.a, p.b) for p in pairs if p.a is not None and p.b is not None]
    found = differences(a, b, both)
    return CaseComparison(
        a=a,
        b=b,
        differences=found,
        warnings=warnings_about(a, b, found),
        pairs=pairs,
        unpaired_a=unpaired_a,
        unpaired_b=unpaired_b,
        rows=rows,
        changed=_changed(pairs),
        unmeasurable=tuple(_unmeasurable(pairs)),
    )


def _scripted(a: Side, b: Side) -> bool:
    return a.subject.is_reference or b.subject.is_reference


# Rows

_Group = tuple[Scope, Cell, Step | None, str | None, Level | None, str]


def _groups_of(place: Place) -> Iterator[_Group]:
    step = scenario_by_id(place.scenario).step
    if place.twin == BASE_TWIN:
        yield "cell", place.cell, None, None, None, place.twin
        yield "step", place.cell, step, None, None, place.twin
    yield "setting", place.cell, step, place.scenario, place.level, place.twin


def _rows(
    pairs: Sequence[Pair],
    unpaired_a: Sequence[Episode],
    unpaired_b: Sequence[Episode],
    *,
    scripted: bool,
) -> Iterator[Row]:
    grouped: dict[_Group, list[Pair]] = defaultdict(list)
    for pair in pairs:
        for group in _groups_of(pair.place):
            grouped[group].append(pair)
    alone: tuple[dict[_Group, list[Episode]], dict[_Group, list[Episode]]]
    alone = defaultdict(list), defaultdict(list)
    for side, episodes in zip(alone, (unpaired_a, unpaired_b), strict=True):
        for episode in episodes:
            for group in _groups_of(Place.of(episode)):
                side[group].append(episode)
    order: tuple[Scope, ...] = ("cell", "step", "setting")
    for question in COMPARED:
        for scope in order:
            found = [
                row
                for group, members in grouped.items()
                if group[0] == scope
                and (row := _row(question, group, members, alone, scripted)) is not None
            ]
            yield from _adjusted(found)


def _row(
    question: Question,
    group: _Group,
    members: Sequence[Pair],
    alone: Sequence[Mapping[_Group, Sequence[Episode]]],
    scripted: bool,
) -> Row | None:
    said = [(pair, answers) for pair in members if (answers := pair.answers(question)) is not None]
    one_sided = sum(pair.one_sided(question) for pair in members)
    if not said:
        return None
    several = len({pair.place.scenario for pair, _ in said}) > 1
    clusters: dict[object, list[tuple[bool | None, bool | None]]] = defaultdict(list)
    reasons: Counter[tuple[str, str]] = Counter()
    for pair, (a, b) in said:
        name = pair.place.scenario if several else pair.place.seed
        clusters[name].append((a.value, b.value))
        for side, answer in (("a", a), ("b", b)):
            if answer.reason is not None:
                reasons[side, answer.reason.code.value] += 1
    unit = "scenario" if several else "seed"
    scope, cell, step, scenario, level, twin = group
    unpaired = [
        sum(episode.answer(question) is not None for episode in side.get(group, ()))
        for side in alone
    ]
    return Row(
        question=question,
        scope=scope,
        cell=cell,
        step=step,
        scenario=scenario,
        level=level,
        twin=twin,
        unit=unit,
        change=paired_change(clusters, deterministic_subject=scripted, cluster=unit),
        reasons=tuple((side, code, n) for (side, code), n in sorted(reasons.items())),
        one_sided=one_sided,
        unpaired_a=unpaired[0],
        unpaired_b=unpaired[1],
    )


def _adjusted(rows: Sequence[Row]) -> Iterator[Row]:
    tested = [row.change.p_value for row in rows if row.change.p_value is not None]
    adjusted = iter(holm(tested))
    for row in rows:
        yield row if row.change.p_value is None else replace(row, p_adjusted=next(adjusted))


# Pairs by name


def _changed(pairs: Sequence[Pair]) -> tuple[ChangedPair, ...]:
    found = []
    for pair in pairs:
        differing = [
            (question, *answers)
            for question in _TELLING
            if (answers := pair.answers(question)) is not None
            and None not in (answers[0].value, answers[1].value)
            and answers[0].value != answers[1].value
        ]
        if differing:
            found.append(ChangedPair(pair=pair, answers=tuple(differing)))

    def rank(item: ChangedPair) -> tuple[object, ...]:
        question, _, b = item.answers[0]
        twin, *rest = item.pair.place.order
        return twin, _TELLING.index(question), b.value is not True, *rest

    return tuple(sorted(found, key=rank))


def _unmeasurable(pairs: Sequence[Pair]) -> Iterator[ChangedPair]:
    for pair in pairs:
        lacking = [
            (question, *answers)
            for question in _TELLING
            if (answers := pair.answers(question)) is not None
            and None in (answers[0].value, answers[1].value)
        ]
        if lacking:
            yield ChangedPair(pair=pair, answers=tuple(lacking))
