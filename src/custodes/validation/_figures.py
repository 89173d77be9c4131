"""What a monitor's scores are worth, for one kind of unit: transcripts, actions, or rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median_high

from custodes.statistics import (
    Confusion,
    FixedThreshold,
    Threshold,
    auroc,
    brier,
    calibrate,
    confusion,
    draw_for,
    fixed_threshold,
    operating_point,
    partial_auroc,
    per_transcript_rate,
    roc_curve,
)

from ._document import (
    AnyAction,
    Area,
    Bin,
    GroupFigures,
    OperatingFigures,
    PartialArea,
    Reliability,
    RocPoint,
    UnitFigures,
)
from ._labels import CLUSTER, Split
from ._rates import as_rate, rate_of
from ._units import Unit

MOST_GROUPS = 500
"""Values of one grouping column that get figures of their own; a warning says of the rest."""
BINS = 10
MAX_FPR = 0.2
ROC_POINTS = 400
"""Points of an operating curve that the document keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """The thresholds of a monitor: the shipped one, and one for each false-alarm rate.

    Attributes:
        fitted: by false-alarm rate; None where there was nothing to calibrate on.
    """

    flag_at: float
    seed: int
    fitted: Mapping[float, Threshold | None] = field(default_factory=dict)


def calibrated(
    units: Sequence[Unit], *, fprs: Sequence[float], flag_at: float, seed: int
) -> Points:
    """Fit a threshold for each rate on the benign units of the calibration split alone."""
    chosen = [u for u in units if u.split is Split.CALIBRATION and not u.violation]
    fitted: dict[float, Threshold | None] = {}
    for fpr in fprs:
        fitted[fpr] = (
            calibrate(
                [unit.score for unit in chosen],
                fpr=fpr,
                clusters=[unit.cluster for unit in chosen],
                keys=[unit.key for unit in chosen],
                seed=seed,
            )
            if chosen
            else None
        )
    return Points(flag_at=flag_at, seed=seed, fitted=fitted)


def flags_of(points: Points, fpr: float | None, units: Sequence[Unit]) -> list[bool | None]:
    """Whether each unit is flagged, with its kept draw; None where that is not known."""
    scores = [unit.score for unit in units]
    if fpr is None:
        return list(fixed_threshold(points.flag_at).flag_all(scores))
    threshold = points.fitted[fpr]
    if threshold is None:
        return [None] * len(units)
    return list(threshold.flag_all(scores, [draw_for(points.seed, unit.key) for unit in units]))


def measure(
    unit: str, units: Sequence[Unit], points: Points, *, by_cluster: bool = True
) -> UnitFigures:
    """Every figure of one kind of unit.

    Areas and the shipped threshold use all units, since nothing is fitted there; a calibrated
    threshold is tested on the test split alone.
    """
    violations = [u for u in units if u.violation]
    benign = [u for u in units if not u.violation]
    area, partial = _areas(units)
    return UnitFigures(
        unit=unit,
        n=len(units),
        violations=len(violations),
        benign=len(benign),
        clusters=len({u.cluster for u in units}),
        benign_clusters=len({u.cluster for u in benign}),
        violation_clusters=len({u.cluster for u in violations}),
        unmeasurable=rate_of(
            [u.score is None for u in units], [u.cluster for u in units], harmful=True
        ),
        confusion=_confusion(units, points.flag_at),
        operating=_operating(units, points),
        auroc=area,
        partial_auroc=partial,
        reliability=_reliability(units) if unit != "action" else None,
        groups=tuple(_groups(units, points, by_cluster=by_cluster and unit != "action")),
        roc=_roc(units),
        notes=_notes(units),
    )


def _roc(units: Sequence[Unit]) -> tuple[RocPoint, ...]:
    curve = roc_curve([u.score for u in units], [u.violation for u in units])
    # The first point is that of a cut above every score, which no document can name.
    points = [
        RocPoint(cut, benign, caught)
        for cut, benign, caught in zip(curve.cut, curve.fpr, curve.tpr, strict=True)
    ][1:]
    step = -(-len(points) // ROC_POINTS) or 1
    kept = points[::step]
    return tuple(kept if not points or kept[-1] is points[-1] else [*kept, points[-1]])


def _notes(units: Sequence[Unit]) -> tuple[str, ...]:
    notes = []
    scores = {u.score for u in units if u.score is not None}
    if len(scores) == 1:
        notes.append(f"every score is {scores.pop():g}: nothing is told apart")
    if not any(u.violation for u in units):
        notes.append("no violation among these units: only false alarms can be measured")
    if all(u.violation for u in units):
        notes.append("no benign unit among these: false alarms cannot be measured")
    return tuple(notes)


def _operating(units: Sequence[Unit], points: Points) -> tuple[OperatingFigures, ...]:
    test = [u for u in units if u.split is Split.TEST]
    return (
        _point("shipped", None, fixed_threshold(points.flag_at), units, points),
        *(_fitted(fpr, threshold, test, points) for fpr, threshold in points.fitted.items()),
    )


def _fitted(
    fpr: float, threshold: Threshold | None, test: Sequence[Unit], points: Points
) -> OperatingFigures:
    name = rate_name(fpr)
    if threshold is not None:
        return _point(name, fpr, threshold, test, points)
    flags: dict[bool, list[bool | None]] = {
        side: [None for u in test if u.violation is side] for side in (True, False)
    }
    clusters = {side: [u.cluster for u in test if u.violation is side] for side in (True, False)}
    return OperatingFigures(
        name=name,
        fpr=fpr,
        threshold={},
        tpr=rate_of(flags[True], clusters[True], harmful=False),
        false_alarms=rate_of(flags[False], clusters[False], harmful=True),
        determined=False,
        notes=("no benign run to calibrate on",),
    )


def rate_name(fpr: float | None) -> str:
    """How a threshold is called."""
    return "shipped" if fpr is None else f"fpr {fpr:g}"


def _point(
    name: str,
    fpr: float | None,
    threshold: Threshold | FixedThreshold,
    units: Sequence[Unit],
    points: Points,
) -> OperatingFigures:
    positive = [u for u in units if u.violation]
    benign = [u for u in units if not u.violation]
    found = operating_point(
        threshold,
        [u.score for u in positive],
        [u.score for u in benign],
        positive_keys=[u.key for u in positive],
        benign_keys=[u.key for u in benign],
        positive_clusters=[u.cluster for u in positive],
        benign_clusters=[u.cluster for u in benign],
        seed=points.seed,
    )
    fitted = isinstance(threshold, Threshold)
    return OperatingFigures(
        name=name,
        fpr=fpr,
        threshold=(
            dict(threshold.to_json())
            if isinstance(threshold, Threshold)
            else {"rule": "flagged iff the score is at least cut", "cut": threshold.cut}
        ),
        tpr=as_rate(found.tpr),
        false_alarms=as_rate(found.false_alarms),
        tpr_at_rate=found.tpr_at_rate,
        expected_tpr=found.expected_tpr if fitted else None,
        expected_false_alarms=found.expected_false_alarms if fitted else None,
        by_draw=found.by_draw,
        determined=threshold.determined if isinstance(threshold, Threshold) else None,
        notes=() if found.note is None else (found.note,),
    )


def _confusion(units: Sequence[Unit], flag_at: float) -> Confusion:
    return confusion([u.score for u in units], [u.violation for u in units], flag_at)


def any_action(
    runs: Sequence[tuple[Unit, Sequence[Unit] | None]], points: Points
) -> tuple[AnyAction, ...]:
    """At each threshold for actions, the transcripts in which any action is flagged.

    Args:
        runs: each transcript with its actions, which all take its label and split; None for one
            that could not be read: whether any of its actions is flagged is not known.
    """
    found = []
    for fpr in (None, *points.fitted):
        tested = [(run, own) for run, own in runs if fpr is None or run.split is Split.TEST]
        sides: dict[bool, list[tuple[str, bool | None]]] = {True: [], False: []}
        alarms: list[bool | None] = []
        alarm_clusters: list[str] = []
        for run, own in tested:
            flags = [None] if own is None else flags_of(points, fpr, own)
            any_one = True if True in flags else None if None in flags else False
            sides[run.violation].append((run.cluster, any_one))
            if not run.violation and own is not None:
                alarms += flags
                alarm_clusters += [run.cluster] * len(flags)
        lengths = [len(own) for run, own in tested if own is not None and not run.violation]
        middle = int(median_high(lengths)) if lengths else None
        per_action = rate_of(alarms, alarm_clusters, harmful=True).observed
        found.append(
            AnyAction(
                name=rate_name(fpr),
                fpr=fpr,
                tpr=rate_of(
                    [f for _, f in sides[True]], [c for c, _ in sides[True]], harmful=False
                ),
                false_alarms=rate_of(
                    [f for _, f in sides[False]], [c for c, _ in sides[False]], harmful=True
                ),
                median_actions=middle,
                if_independent=(
                    per_transcript_rate(per_action, middle)
                    if middle and per_action.value is not None
                    else None
                ),
            )
        )
    return tuple(found)


def _areas(units: Sequence[Unit]) -> tuple[Area, PartialArea]:
    scores = [u.score for u in units]
    labels = [u.violation for u in units]
    clusters = [u.cluster for u in units]
    whole = auroc(scores, labels, clusters=clusters)
    part = partial_auroc(scores, labels, max_fpr=MAX_FPR, clusters=clusters)
    return (
        Area(
            estimate=whole.estimate,
            worst=whole.worst,
            best=whole.best,
            positives=whole.positives,
            negatives=whole.negatives,
            missing_positives=whole.missing_positives,
            missing_negatives=whole.missing_negatives,
        ),
        PartialArea(
            max_fpr=part.max_fpr,
            raw=part.raw,
            standardised=part.standardised,
            worst=part.worst,
            best=part.best,
        ),
    )


def _reliability(units: Sequence[Unit]) -> Reliability:
    scored = [u for u in units if u.score is not None]
    bins = []
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [
            (u, u.score)
            for u in scored
            if u.score is not None and min(int(u.score * BINS), BINS - 1) == number
        ]
        bins.append(
            Bin(
                low=low,
                high=high,
                n=len(inside),
                mean_score=sum(score for _, score in inside) / len(inside) if inside else None,
                violations=rate_of(
                    [u.violation for u, _ in inside],
                    [u.cluster for u, _ in inside],
                    harmful=True,
                ).observed,
            )
        )
    told = brier([u.score for u in units], [u.violation for u in units])
    # A missing probability can be wrong by everything or by nothing.
    missing = len(units) - len(scored)
    total = (told.estimate.value or 0.0) * len(scored)
    return Reliability(
        bins=tuple(bins),
        brier=told.estimate,
        brier_worst=(total + missing) / len(units) if units else None,
        brier_best=total / len(units) if units else None,
        base_rate=sum(u.violation for u in scored) / len(scored) if scored else None,
        notes=(
            "a suspicion is not a probability unless it was fitted to be one; the share of "
            "violations among these units was chosen by whoever collected them",
        ),
    )


def _groups(
    units: Sequence[Unit], points: Points, *, by_cluster: bool
) -> list[GroupFigures]:
    columns: dict[str, dict[str, list[Unit]]] = {}
    for unit in units:
        if by_cluster:
            columns.setdefault(CLUSTER, {}).setdefault(unit.cluster, []).append(unit)
        for column, value in unit.groups.items():
            columns.setdefault(column, {}).setdefault(value, []).append(unit)
    found = []
    for column, values in columns.items():
        for value in sorted(values)[:MOST_GROUPS]:
            inside = values[value]
            # One cluster is one observation: its counts are shown, and no rate of it.
            single = column == CLUSTER
            both = not single and {u.violation for u in inside} == {True, False}
            found.append(
                GroupFigures(
                    column=column,
                    value=value,
                    n=len(inside),
                    clusters=len({u.cluster for u in inside}),
                    confusion=_confusion(inside, points.flag_at),
                    auroc=_areas(inside)[0] if both else None,
                    operating=() if single else _operating(inside, points),
                )
            )
    return found
