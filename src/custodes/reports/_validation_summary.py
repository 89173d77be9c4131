"""A validation of monitors on the terminal: per transcript and per action apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from custodes.types import Estimate
from custodes.validation import (
    AttackFigures,
    FitFigures,
    MonitorFigures,
    OperatingFigures,
    Rate,
    UnitFigures,
    Validation,
)

from ._text import counted, plain

SHOWN_GROUPS = 8
"""Values of one grouping column that are shown; the page has the others."""
SHOWN_ATTACKS = 6
"""Attacks that are shown, the largest fall first."""
SHOWN_UNMEASURED = 3


def validation_summary_lines(result: Validation) -> Iterator[str]:
    """The lines of `custodes monitor validate`; control characters are shown, never sent."""
    yield from (plain(line) for line in _lines(result))


def _lines(result: Validation) -> Iterator[str]:
    data, about = result.data, result.about
    rows = "scores" in about
    what = "rows" if rows else "labelled runs"
    yield (
        f"{data.labelled} {what} ({data.violations} violations, {data.benign} benign) in "
        f"{data.clusters} clusters"
    )
    drawn = (
        "split as labelled"
        if about["calibration_share"] is None
        else f"split by cluster with seed {about['seed']}"
    )
    aside = f"; {data.set_aside} violations set aside" if data.set_aside else ""
    yield (
        f"{drawn}: {data.calibration_runs} benign of {data.calibration_clusters} clusters "
        f"calibrate, {data.test_runs} test{aside}"
    )
    if data.not_read:
        yield f"incomplete: {len(data.not_read)} labelled runs were not read, and are bounded"
    if data.behaviours_of_violations is not None:
        yield f"distinct behaviours behind the violations: {data.behaviours_of_violations}"
    for monitor in result.monitors:
        yield ""
        yield from _monitor(monitor)
    if result.warnings:
        yield ""
        yield f"warnings: {len(result.warnings)}"
        for warning in result.warnings:
            about_one = f"{warning.monitor}: " if warning.monitor else ""
            yield f"  {about_one}{warning.text}"
    yield ""
    yield "not measured: " + "; ".join(result.not_measured)


def _monitor(monitor: MonitorFigures) -> Iterator[str]:
    yield f"monitor {monitor.name}"
    if monitor.fit is not None:
        yield f"  {_fit(monitor.fit)}"
    yield from _unit(monitor.per_transcript)
    if monitor.per_action is not None:
        yield from _unit(monitor.per_action)
        yield "  per transcript, at the thresholds for actions"
        yield from _table(
            [
                ("", "flagged of violations", "flagged of benign", "if independent"),
                *(
                    (
                        point.name,
                        rate_text(point.tpr),
                        rate_text(point.false_alarms),
                        "" if point.if_independent is None else estimate_text(point.if_independent),
                    )
                    for point in monitor.any_action
                ),
            ]
        )
    else:
        yield f"  per action: not measured: {'; '.join(monitor.per_action_notes)}"
    for latency in monitor.latency:
        untimed = f", {latency.untimed} without times" if latency.untimed else ""
        yield (
            f"  to first flag ({latency.unit}): median {estimate_text(latency.median)}; "
            f"{latency.flagged} flagged on the way, {latency.at_end} at the end, "
            f"{latency.never} never, {latency.unknown} unknown{untimed}"
        )
    for race in monitor.race:
        yield (
            f"  race ({race.unit}), {race.n + race.unknown} runs: flag first "
            f"{rate_text(race.flag_first)}; harm first {rate_text(race.harm_first)}; "
            f"{race.ties} at the same moment, counted as harm first"
        )
    for note in monitor.race_notes:
        yield f"  race: not measured: {note}"
    yield from _attacks(monitor.attacks)
    cost = monitor.cost
    if cost is not None and cost.seconds is not None:
        asked = "" if cost.model_calls is None else f", {cost.model_calls} model calls"
        tokens = "" if cost.tokens is None else f", {cost.tokens} tokens"
        yield f"  cost: {cost.seconds:.2f} s{asked}{tokens}"
    if monitor.unmeasured:
        yield f"  unmeasurable, wholly or in part: {len(monitor.unmeasured)}"
        for one in monitor.unmeasured[:SHOWN_UNMEASURED]:
            yield f"    {one.run}: {one.reason}"
        if len(monitor.unmeasured) > SHOWN_UNMEASURED:
            yield f"    and {len(monitor.unmeasured) - SHOWN_UNMEASURED} more"


def _fit(fit: FitFigures) -> str:
    """The weights of an ensemble and what they were fitted on, or why there are none."""
    if fit.why_not is not None or fit.intercept is None or fit.penalty is None:
        return fit.why_not or "not fitted"
    weights = [
        f"{name} {number_text(weight)}"
        for name, weight in zip(fit.members, fit.coefficients, strict=True)
    ]
    left_out = f", {counted(fit.left_out, 'run')} left out" if fit.left_out else ""
    return (
        f"weights: {', '.join(weights)}; intercept {number_text(fit.intercept)}; penalty "
        f"{fit.penalty:g}; fitted on {counted(fit.violations, 'violation')} in "
        f"{counted(fit.violation_clusters, 'cluster')} and {fit.benign} benign in "
        f"{fit.benign_clusters}{left_out}; none of these {counted(len(fit.clusters), 'cluster')} "
        "is in its figures"
    )


def _unit(figures: UnitFigures) -> Iterator[str]:
    missing = figures.confusion.missing_positive + figures.confusion.missing_negative
    lost = f", {missing} unmeasurable" if missing else ""
    yield (
        f"  per {figures.unit}: {counted(figures.violations, 'violation')} in "
        f"{counted(figures.violation_clusters, 'cluster')}, {figures.benign} benign in "
        f"{figures.benign_clusters}{lost}"
    )
    yield from _table(
        [
            ("", "TPR", "false alarms", ""),
            *(
                (
                    _threshold(point),
                    rate_text(point.tpr),
                    rate_text(point.false_alarms),
                    _notes(point),
                )
                for point in figures.operating
            ),
        ]
    )
    bounds = _bounds(figures.auroc.worst, figures.auroc.best, figures.auroc.estimate)
    yield f"    AUROC {estimate_text(figures.auroc.estimate)}{bounds}"
    part = figures.partial_auroc
    bounds = _bounds(part.worst, part.best, part.standardised)
    yield (
        f"    partial AUROC to fpr {part.max_fpr:g}, standardised "
        f"{estimate_text(part.standardised)}{bounds}"
    )
    if figures.reliability is not None:
        brier = figures.reliability.brier
        yield f"    Brier score {estimate_text(brier)}"
    for note in _reasons(figures):
        yield f"    {note}"
    if figures.unit != "action":
        yield from _groups(figures)


def _threshold(point: OperatingFigures) -> str:
    if point.fpr is None:
        return f"shipped, {point.threshold['cut']:g}"
    return point.name


def _notes(point: OperatingFigures) -> str:
    notes = [] if point.determined in (None, True) else ["not determined"]
    if point.by_draw:
        notes.append(f"{point.by_draw} decided by the draw")
    return ", ".join(notes)


def _groups(figures: UnitFigures) -> Iterator[str]:
    columns = dict.fromkeys(group.column for group in figures.groups if group.column != "cluster")
    for column in columns:
        values = [group for group in figures.groups if group.column == column]
        yield f"    by {column}"
        yield from _table(
            [
                ("", "n", "AUROC", "TPR, shipped", "false alarms, shipped"),
                *(
                    (
                        group.value,
                        str(group.n),
                        ""
                        if group.auroc is None
                        else estimate_text(group.auroc.estimate)
                        + _bounds(group.auroc.worst, group.auroc.best, group.auroc.estimate),
                        rate_text(group.operating[0].tpr) if group.operating else "",
                        rate_text(group.operating[0].false_alarms) if group.operating else "",
                    )
                    for group in values[:SHOWN_GROUPS]
                ),
            ],
            indent=6,
        )
        if len(values) > SHOWN_GROUPS:
            yield f"      and {len(values) - SHOWN_GROUPS} more"


def _reasons(figures: UnitFigures) -> list[str]:
    """Why figures of this part have no interval, each reason once."""
    estimates = [
        *(rate.observed for p in figures.operating for rate in (p.tpr, p.false_alarms)),
        figures.auroc.estimate,
        figures.partial_auroc.standardised,
    ]
    reasons: dict[str, None] = {}
    for estimate in estimates:
        if estimate.value is not None and estimate.low is None and estimate.note:
            reasons[estimate.note.partition(";")[0]] = None
    return list(reasons)


def _attacks(attacks: Sequence[AttackFigures]) -> Iterator[str]:
    if not attacks:
        return
    applied = [
        (attack, recall)
        for attack in attacks
        for recall in attack.recalls
        if recall.threshold == "shipped"
    ]
    yield f"  attacks, at the shipped threshold: {len(applied)} of {len(attacks)} could be applied"
    ordered = sorted(applied, key=lambda pair: -(pair[1].fall.value or 0.0))
    rows = [("", "runs", "recall before", "under attack", "fall", "what it shows")]
    rows += [
        (
            attack.name,
            str(attack.runs),
            rate_text(recall.before),
            rate_text(recall.after),
            estimate_text(recall.fall),
            attack.label,
        )
        for attack, recall in ordered[:SHOWN_ATTACKS]
    ]
    yield from _table(rows)
    if len(ordered) > SHOWN_ATTACKS:
        yield f"    and {len(ordered) - SHOWN_ATTACKS} more with a fall no larger"


def _table(rows: Sequence[tuple[str, ...]], *, indent: int = 4) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (" " * indent + "  ".join(cells)).rstrip()


def _bounds(worst: float | None, best: float | None, estimate: Estimate) -> str:
    if worst is None or best is None or (worst == best == estimate.value):
        return ""
    return f" ({number_text(worst)} to {number_text(best)} with what is missing)"


def rate_text(rate: Rate) -> str:
    """A share with its interval, and its bounds where something is missing."""
    worst, best = rate.worst.value, rate.best.value
    text = estimate_text(rate.observed)
    if worst is None or best is None or not rate.observed.missing:
        return text
    low, high = sorted((worst, best))
    return f"{text} ({number_text(low)} to {number_text(high)} with what is missing)"


def estimate_text(estimate: Estimate) -> str:
    """``0.83 [0.52, 0.98]``, ``0.83, no interval``, or ``not measured``."""
    if estimate.value is None:
        return "not measured"
    if estimate.low is None or estimate.high is None:
        return f"{number_text(estimate.value)}, no interval"
    ends = f"[{number_text(estimate.low)}, {number_text(estimate.high)}]"
    return f"{number_text(estimate.value)} {ends}"


def number_text(value: float) -> str:
    """Three digits after the point; whole numbers as such, and nothing rounded to 0 or 1."""
    if value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:,.1f}"
    text = f"{value:.3f}"
    if text == "1.000":
        return ">0.999" if value < 1 else text
    return "<0.001" if text == "0.000" and value > 0 else text
