"""What a monitor catches, and what it flags in vain, at one threshold."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from custodes.types import Estimate

from ._binomial import clopper_pearson_limits
from ._checks import checked_level, joined, listed, missing_note, same_length
from ._flag_rates import TranscriptFlag, flag_rate, per_transcript_rate, transcript_flags
from ._proportion import NOTHING_MEASURED, MissingBounds
from ._runs import checked_clusters, checked_keys, checked_number, checked_scores, checked_truth
from ._threshold import DETERMINED_FROM, FixedThreshold, Threshold, cut_limits, draw_for

__all__ = [
    "Above",
    "Confusion",
    "OperatingPoint",
    "TranscriptFlag",
    "confusion",
    "flag_rate",
    "operating_point",
    "per_transcript_rate",
    "transcript_flags",
]

Above = Literal["at least", "more than"]

AT_RATE = (
    "share of positives flagged, over the calibration as well (order statistics for the cut, and "
    "Clopper-Pearson at either end of it)"
)
# Where the coverage of that interval was simulated.
AT_RATE_LEVEL = 0.95
MOST_CLUSTERS = 200
MOST_PER_CLUSTER = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Decisions against the truth.

    Attributes:
        tp, fn: positives flagged, and not. fp, tn: negatives flagged, and not.
        missing_positive, missing_negative: without a score, and so in none of the four.
    """

    tp: int
    fp: int
    tn: int
    fn: int
    missing_positive: int
    missing_negative: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A monitor at one threshold on runs that the threshold has not seen.

    Attributes:
        threshold: the one used.
        tpr: share of positive runs flagged; best takes missing ones as flagged.
        false_alarms: share of benign test runs flagged; best takes missing ones as not flagged.
        tpr_at_rate: share of positives flagged at the cut that a share fpr of all benign runs
            passes. Its value is that of ``tpr``; its interval includes that another calibration
            cuts elsewhere. None for a fixed threshold.
        confusion: the counts behind them, from the kept draws.
        expected_tpr, expected_false_alarms: the two rates over all draws instead of the kept
            ones; None when nothing was measured.
        by_draw: measured runs of both kinds whose decision was the draw's.
        note: what a reader must know; None when there is nothing.
    """

    threshold: Threshold | FixedThreshold
    tpr: MissingBounds
    false_alarms: MissingBounds
    tpr_at_rate: Estimate | None
    confusion: Confusion
    expected_tpr: float | None
    expected_false_alarms: float | None
    by_draw: int
    note: str | None


def operating_point(
    threshold: Threshold | FixedThreshold,
    positives: Sequence[float | None],
    benign: Sequence[float | None],
    *,
    positive_keys: Sequence[str],
    benign_keys: Sequence[str],
    positive_clusters: Sequence[Hashable] | None = None,
    benign_clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    seed: int | None = None,
) -> OperatingPoint:
    """Rates of flags among positive and among benign runs of a test split.

    Each run's draw is `draw_for` the seed and its key; the counts come from that one draw, so
    they are those of runs that happened and their intervals are exact for independent runs.
    With clusters the rates are means over clusters, by `clustered_proportion`.

    The intervals of ``tpr`` and ``false_alarms`` take the threshold as given: they are for this
    threshold on new runs. ``tpr_at_rate`` does not: the score that a share fpr of all benign runs
    passes lies between two order statistics of the calibration, and the share of positives is
    bounded at either end of that. Calibration and positives are independent, so taking both at
    ``level`` covers more than it. It has an interval only at 95 % and where n * fpr is at least
    10, else the cut is not determined.

    Args:
        threshold: from `calibrate` on other runs, or a `fixed_threshold`.
        positives, benign: test scores in [0, 1], None where the monitor gave none.
        positive_keys, benign_keys: the runs' names, all different.
        positive_clusters, benign_clusters: the independent unit of each run. None: each run is.
        level: coverage.
        seed: of the draws; the threshold's own when None (0 for a fixed threshold).

    Raises:
        TypeError: a score, key or cluster of another kind.
        ValueError: unequal lengths, scores outside [0, 1], a key used twice, or a cluster (a
            run, when the calibration had no clusters) that the threshold was calibrated on.
    """
    if not isinstance(threshold, (Threshold, FixedThreshold)):
        raise TypeError(f"expected a Threshold or a FixedThreshold, found {threshold!r}")
    level = checked_level(level)
    hits = _side(positives, positive_keys, positive_clusters, "positive")
    alarms = _side(benign, benign_keys, benign_clusters, "benign")
    both = set(hits.keys) & set(alarms.keys)
    if both:
        raise ValueError(f"expected keys that differ, found {min(both)!r} among both kinds")
    calibrated = threshold if isinstance(threshold, Threshold) else None
    unseen = None if calibrated is None else _refuse_overlap(calibrated, hits, alarms)
    if seed is None:
        seed = 0 if calibrated is None else calibrated.seed

    flags = [
        threshold.flag_all(side.scores, [draw_for(seed, key) for key in side.keys])
        for side in (hits, alarms)
    ]
    chances = [[threshold.chance(score) for score in side.scores] for side in (hits, alarms)]
    tp, fn = _counts(flags[0])
    fp, tn = _counts(flags[1])
    by_draw = sum(1 for side in chances for c in side if c is not None and 0 < c < 1)
    luck = None
    if by_draw:
        luck = f"{by_draw} of {tp + fn + fp + tn} decisions are the draw's, with seed {seed}"
    tpr = flag_rate(flags[0], clusters=hits.clusters, harmful=False, level=level)
    own = None if calibrated is None else calibrated.note
    return OperatingPoint(
        threshold=threshold,
        tpr=tpr,
        false_alarms=flag_rate(flags[1], clusters=alarms.clusters, harmful=True, level=level),
        tpr_at_rate=(
            None if calibrated is None else _tpr_at_rate(calibrated, hits, tpr.observed, level)
        ),
        confusion=Confusion(
            tp=tp,
            fp=fp,
            tn=tn,
            fn=fn,
            missing_positive=len(flags[0]) - tp - fn,
            missing_negative=len(flags[1]) - fp - tn,
        ),
        expected_tpr=_mean_over_clusters(chances[0], hits.clusters),
        expected_false_alarms=_mean_over_clusters(chances[1], alarms.clusters),
        by_draw=by_draw,
        note=joined(own, unseen, luck),
    )


def confusion(
    scores: Sequence[float | None],
    labels: Sequence[bool],
    cut: float,
    *,
    above: Above = "at least",
) -> Confusion:
    """Counts of decisions at a plain cut, against labels.

    Args:
        scores: in [0, 1], None where the monitor gave none; counted apart, in none of the four.
        labels: True for a positive.
        cut: in [0, 1].
        above: a score equal to the cut is flagged ("at least") or not ("more than").

    Raises:
        TypeError, ValueError: a score outside [0, 1], a label that is no truth value, unequal
            lengths, or another word for ``above``.
    """
    values = checked_scores(scores, "scores")
    labels = listed(labels, "labels")
    truths = [checked_truth(label, f"labels[{i}]") for i, label in enumerate(labels)]
    same_length(values, truths, "scores and labels")
    at = checked_number(cut, "cut", low=0.0, high=1.0)
    if above not in get_args(Above):
        raise ValueError(f"expected above of {get_args(Above)}, found {above!r}")
    count = {(truth, flag): 0 for truth in (True, False) for flag in (True, False, None)}
    for value, truth in zip(values, truths, strict=True):
        flag = None if value is None else value > at or (above == "at least" and value == at)
        count[truth, flag] += 1
    return Confusion(
        tp=count[True, True],
        fp=count[False, True],
        tn=count[False, False],
        fn=count[True, False],
        missing_positive=count[True, None],
        missing_negative=count[False, None],
    )


@dataclass(frozen=True, slots=True)
class _Side:
    scores: tuple[float | None, ...]
    keys: tuple[str, ...]
    clusters: tuple[Hashable, ...] | None


def _side(
    scores: Sequence[float | None],
    keys: Sequence[str],
    clusters: Sequence[Hashable] | None,
    kind: str,
) -> _Side:
    values = checked_scores(scores, "positives" if kind == "positive" else kind)
    names = checked_keys(keys, values, f"{kind}_keys")
    if clusters is None:
        return _Side(values, names, None)
    return _Side(values, names, checked_clusters(clusters, values, f"{kind}_clusters"))


def _refuse_overlap(threshold: Threshold, *sides: _Side) -> str | None:
    """Raise when the threshold was calibrated on a tested unit; say when that is not known."""
    known = True
    for side in sides:
        compared = False
        for seen, tested in (
            (threshold.calibrated_clusters, side.clusters),
            (threshold.calibrated_keys, side.keys),
        ):
            if seen is None or tested is None:
                continue
            compared = True
            shared = seen.intersection(tested)
            if shared:
                raise ValueError(
                    "expected a test split without what the threshold was calibrated on, found "
                    f"{len(shared)} of its units in both, such as {min(map(repr, shared))}"
                )
        known = known and (compared or not side.scores)
    if known:
        return None
    return "whether calibration and test overlap is not known: no clusters or keys to compare"


def _counts(flags: Sequence[bool | None]) -> tuple[int, int]:
    return sum(1 for flag in flags if flag is True), sum(1 for flag in flags if flag is False)


def _grouped(
    values: Sequence[float | None], clusters: Sequence[Hashable] | None
) -> list[list[float]]:
    """Measured values by cluster, those without any left out."""
    groups: dict[Hashable, list[float]] = {}
    for i, value in enumerate(values):
        if value is not None:
            groups.setdefault(i if clusters is None else clusters[i], []).append(value)
    return list(groups.values())


def _mean_over_clusters(
    values: Sequence[float | None], clusters: Sequence[Hashable] | None
) -> float | None:
    groups = _grouped(values, clusters)
    if not groups:
        return None
    return math.fsum(math.fsum(group) / len(group) for group in groups) / len(groups)


def _tpr_at_rate(
    threshold: Threshold, side: _Side, tpr: Estimate, level: float
) -> Estimate:
    groups = _grouped(side.scores, side.clusters)
    m = len(groups)
    several = any(len(group) > 1 for group in groups)
    why = None
    if tpr.value is None:
        why = tpr.note or NOTHING_MEASURED
    elif not threshold.determined:
        why = (
            f"no interval: the cut is not determined (n x fpr is "
            f"{threshold.n * threshold.fpr:g}, below {DETERMINED_FROM})"
        )
    elif level != AT_RATE_LEVEL:
        why = f"no interval: coverage was shown at a level of {AT_RATE_LEVEL:g}, not {level:g}"
    elif several and not 2 <= m <= MOST_CLUSTERS:
        why = (
            "no interval: coverage for clusters of several runs was shown for 2 to "
            f"{MOST_CLUSTERS} clusters, and here are {m}"
        )
    elif several and max(len(group) for group in groups) > MOST_PER_CLUSTER:
        why = (
            f"no interval: coverage was shown up to {MOST_PER_CLUSTER} runs of a cluster, and "
            f"here are {max(len(group) for group in groups)}"
        )
    low = high = None
    if why is None and tpr.value is not None:
        alpha = 1 - level
        cut_low, cut_high = cut_limits(threshold.scores, threshold.fpr, alpha)
        surely = math.fsum(sum(s > cut_high for s in group) / len(group) for group in groups)
        perhaps = math.fsum(sum(s >= cut_low for s in group) / len(group) for group in groups)
        low = clopper_pearson_limits(surely, m, alpha / 2, 0.0)[0]
        high = clopper_pearson_limits(perhaps, m, 0.0, alpha / 2)[1]
        low, high = min(low, tpr.value), max(high, tpr.value)
    return Estimate(
        value=tpr.value,
        low=low,
        high=high,
        level=level,
        n=tpr.n,
        clusters=tpr.clusters,
        missing=tpr.missing,
        method=AT_RATE,
        note=why if tpr.value is None else joined(why, missing_note(tpr.missing, tpr.n)),
    )
