"""What changed between two settings: for the page, and on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from custodes.case import Case
from custodes.runs import (
    COMPARED,
    CaseComparison,
    ChangedPair,
    NothingToCompare,
    Results,
    Row,
    Scope,
    compare,
    side_of,
)
from custodes.statistics import INSTRUMENT_CHECK as NO_INTERVAL
from custodes.types import Answer, Question

from ._text import INSTRUMENT_CHECK, NOT_MEASURED, clip, counted, number, plain, word
from ._view_episode import EpisodeView

MOST_PAIRS = 40
"""Pairs of a comparison that the page names one by one."""
MOST_LINES_OF_PAIRS = 20
"""Pairs that the terminal names."""
LONGEST = 180
STEPS_SHOWN = (Question.ATTEMPTED, Question.SUCCEEDED)
"""Questions whose steps the terminal shows; the page and the document show them for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One group of one question.

    Attributes:
        change: the change with its interval, or why it has none.
        bounds: the change with every unmeasurable side taken low, and high; "" when there is none.
        null: what could have been missed, where nothing changed; "" elsewhere.
    """

    row: Row
    where: str
    change: str
    bounds: str
    test: str
    null: str
    unknown: str
    apart: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SideAnswer:
    """What one side answered: the word, why, and where the page shows its episode."""

    word: str
    why: str
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairView:
    """A pair by name, with the answers that differ or that one side lacks."""

    where: str
    answers: tuple[tuple[str, SideAnswer, SideAnswer], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonView:
    """One comparison on the page.

    Attributes:
        nothing: why there is nothing to show; then ``found`` is None.
        cells, steps, settings: per question, its rows of that scope.
    """

    a: str
    b: str
    anchor: str
    nothing: str
    found: CaseComparison | None
    cells: tuple[tuple[str, tuple[RowView, ...]], ...] = ()
    steps: tuple[tuple[str, tuple[RowView, ...]], ...] = ()
    settings: tuple[tuple[str, tuple[RowView, ...]], ...] = ()
    changed: tuple[PairView, ...] = ()
    changed_left_out: int = 0
    unmeasurable: tuple[PairView, ...] = ()
    unmeasurable_left_out: int = 0


def compared(case: Case, results: Results) -> tuple[tuple[str, str, CaseComparison | str], ...]:
    """Every pair that the plan names: its comparison, or why there is none."""
    found: list[tuple[str, str, CaseComparison | str]] = []
    for a, b in case.config.plan.compare:
        try:
            found.append((a, b, compare(side_of(case, results, a), side_of(case, results, b))))
        except NothingToCompare as why:
            found.append((a, b, str(why)))
    return tuple(found)


def comparison_views(
    found: Sequence[tuple[str, str, CaseComparison | str]], shown: Sequence[EpisodeView]
) -> tuple[ComparisonView, ...]:
    """The comparisons for the page; ``shown`` are the episodes that it writes out."""
    episodes = {str(view.episode.key.digest): view for view in shown}
    return tuple(
        _view(number, a, b, comparison, episodes)
        for number, (a, b, comparison) in enumerate(found, start=1)
    )


def _view(
    at: int,
    a: str,
    b: str,
    found: CaseComparison | str,
    episodes: Mapping[str, EpisodeView],
) -> ComparisonView:
    anchor = f"compare-{at}"
    if isinstance(found, str):
        return ComparisonView(a=a, b=b, anchor=anchor, nothing=found, found=None)

    def by(scope: Scope) -> tuple[tuple[str, tuple[RowView, ...]], ...]:
        over = [(question, found.of(question, scope)) for question in COMPARED]
        return tuple((q.value, tuple(map(row_view, rows))) for q, rows in over if rows)

    return ComparisonView(
        a=a,
        b=b,
        anchor=anchor,
        nothing="",
        found=found,
        cells=by("cell"),
        steps=by("step"),
        settings=by("setting"),
        changed=tuple(_pair(item, episodes) for item in found.changed[:MOST_PAIRS]),
        changed_left_out=max(0, len(found.changed) - MOST_PAIRS),
        unmeasurable=tuple(_pair(item, episodes) for item in found.unmeasurable[:MOST_PAIRS]),
        unmeasurable_left_out=max(0, len(found.unmeasurable) - MOST_PAIRS),
    )


def _pair(item: ChangedPair, episodes: Mapping[str, EpisodeView]) -> PairView:
    def side(episode: object, question: Question, answer: Answer) -> SideAnswer:
        view = episodes.get(str(episode))
        why = "" if answer.reason is None else f"{answer.reason.code.value}: {answer.reason.detail}"
        if view is not None:
            said = [line.sentence for line in view.answers if line.question == question.value]
            why = said[0] if said else why
        return SideAnswer(
            word=word(answer.value),
            why=clip(why, LONGEST)[0] + ("…" if len(why) > LONGEST else ""),
            link=None if view is None else f"{view.anchor}-{question.value}",
        )

    a, b = (None if e is None else e.key.digest for e in (item.pair.a, item.pair.b))
    return PairView(
        where=item.pair.place.text,
        answers=tuple(
            (question.value, side(a, question, left), side(b, question, right))
            for question, left, right in item.answers
        ),
    )


def row_view(row: Row) -> RowView:
    """One row in words and numbers."""
    change = row.change
    unit = row.unit
    bounds = test = null = ""
    if change.unmeasurable:
        low, high = change.lowest, change.highest
        bounds = (
            f"{signed(low.value or 0)} to {signed(high.value or 0)}"
            if low.low is None or high.high is None
            else f"{signed(low.low)} to {signed(high.high)}, intervals included"
        )
    if change.p_value is not None:
        test = f"p = {number(change.p_value)}"
        if row.p_adjusted is not None and row.p_adjusted != change.p_value:
            test += f", {number(row.p_adjusted)} by Holm"
    if change.measured and not change.changed:
        count = change.estimate.clusters
        null = f"nothing changed in {counted(change.measured, 'pair')}"
        if NO_INTERVAL not in (change.estimate.note or ""):
            null += (
                f": a change in more than {number(change.detectable)} of all {unit}s would have "
                f"shown in {counted(count, unit)} with 95 % probability"
            )
    reasons = ", ".join(f"{side.upper()} {code} × {n}" for side, code, n in row.reasons)
    apart = [
        counted(n, f"episode of {side} alone", f"episodes of {side} alone")
        for side, n in (("A", row.unpaired_a), ("B", row.unpaired_b))
        if n
    ]
    if row.one_sided:
        apart.append(f"{counted(row.one_sided, 'pair')} asked on one side")
    return RowView(
        row=row,
        where=row.where,
        change=_change(row),
        bounds=bounds,
        test=test,
        null=null,
        unknown=reasons,
        apart="; ".join(apart),
    )


def signed(value: float) -> str:
    """A change with its sign and three significant digits; 0 as such."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "−")


def _change(row: Row) -> str:
    estimate = row.change.estimate
    if estimate.value is None:
        return NOT_MEASURED
    if estimate.low is not None and estimate.high is not None:
        return (
            f"{signed(estimate.value)} [{signed(estimate.low)}, {signed(estimate.high)}] "
            f"over {counted(estimate.clusters, row.unit)}"
        )
    note = estimate.note or ""
    if NO_INTERVAL in note:
        return f"{signed(estimate.value)} (scripted: a count)"
    return f"{signed(estimate.value)} ({note.partition(';')[0]})"


# On the terminal


def comparison_lines(found: CaseComparison) -> Iterator[str]:
    """What a comparison says, for a terminal."""
    for line in _lines(found):
        shown, left_out = clip(plain(line), LONGEST)
        yield f"{shown}…" if left_out else shown


def _lines(found: CaseComparison) -> Iterator[str]:
    for letter, side in (("A", found.a), ("B", found.b)):
        label = f"  [{INSTRUMENT_CHECK}]" if side.subject.is_reference else ""
        of = f"{side.name}: {side.subject.id}" if side.case else side.name
        count = counted(len(side.episodes), "episode")
        yield f"{letter}  {of} ({side.subject.model}), {count}{label}"
    for difference in found.differences:
        yield f"differs: {difference.what}: {difference.a} -> {difference.b}"
    for warning in found.warnings:
        yield f"warning: {warning}"
    lost = sum(pair.a is None or pair.b is None for pair in found.pairs)
    yield (
        f"{counted(len(found.pairs), 'pair')}: {len(found.changed)} changed, "
        f"{len(found.unmeasurable)} with an unmeasurable side ({lost} not run); "
        f"unpaired: {len(found.unpaired_a)} of A, {len(found.unpaired_b)} of B"
    )
    yield from _table(found)
    if found.changed:
        yield ""
        yield "pairs that changed (A -> B), most telling first"
    yield from _pairs(found.changed)
    if found.unmeasurable:
        yield ""
        yield "pairs with an unmeasurable side"
    yield from _pairs(found.unmeasurable)


def _table(found: CaseComparison) -> Iterator[str]:
    yield ""
    yield "change of the rate of yes, B minus A (base scenarios, instruction levels together)"
    yield f"{'':<48}{'both':>5}{'A only':>7}{'B only':>7}{'neither':>8}{'unm.':>5}  change [95 %]"
    for question in COMPARED:
        for row in found.of(question, "cell"):
            yield _table_line(f"{question.value:<10} {row.where}", row)
        steps = found.of(question, "step") if question in STEPS_SHOWN else ()
        # With one step a cell, its rows would say the same again.
        if len({row.step for row in steps}) > 1:
            for row in steps:
                yield _table_line(f"{'':<11}{row.where}", row)
    yield "by scenario, instruction level and twin, and every step: --json, or the report"


def _table_line(label: str, row: Row) -> str:
    view, c = row_view(row), row.change
    bounds = f"; at worst {view.bounds}" if view.bounds else ""
    null = f"; {view.null}" if view.null and c.estimate.low is None else ""
    return (
        f"{label:<48}{c.both_yes:>5}{c.only_a:>7}{c.only_b:>7}{c.both_no:>8}"
        f"{c.unmeasurable:>5}  {view.change}{bounds}{null}"
    )


def _pairs(pairs: Sequence[ChangedPair]) -> Iterator[str]:
    for item in pairs[:MOST_LINES_OF_PAIRS]:
        said = ", ".join(
            f"{question.value} {word(a.value)} -> {word(b.value)}"
            for question, a, b in item.answers
        )
        yield f"  {item.pair.place.text}: {said}"
        reasons = dict.fromkeys(
            f"{letter} {answer.reason.code.value}: {answer.reason.detail}"
            for _, a, b in item.answers
            for letter, answer in (("A", a), ("B", b))
            if answer.reason is not None
        )
        for reason in reasons:
            yield f"    {reason}"
    if len(pairs) > MOST_LINES_OF_PAIRS:
        yield f"  and {len(pairs) - MOST_LINES_OF_PAIRS} more: see --json"


def comparison_summary(case: Case, results: Results) -> tuple[str, ...]:
    """One line for each pair that the plan names, for the summary of an assessment."""
    return tuple(_summarised(compared(case, results)))


def _summarised(found: Sequence[tuple[str, str, CaseComparison | str]]) -> Iterator[str]:
    for a, b, comparison in found:
        if isinstance(comparison, str):
            yield f"compare {a} -> {b}: {comparison}"
            continue
        parts = []
        for question in (Question.ATTEMPTED, Question.SUCCEEDED, Question.SOLVED):
            rows = comparison.of(question, "setting")
            rose = sum(row.change.only_b for row in rows)
            fell = sum(row.change.only_a for row in rows)
            if rows:
                parts.append(f"{question.value} +{rose} −{fell}")
        yield (
            f"compare {a} -> {b}: {counted(len(comparison.pairs), 'pair')}, "
            f"{len(comparison.unmeasurable)} unmeasurable; {', '.join(parts)}"
        )
