"""The area under the ROC curve where false alarms are few."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._binomial import reaches_unseen
from ._checks import checked_level, checked_numbers, joined, missing_note
from ._labelled import UNIT_SCALE, Labelled, labelled
from ._placement import (
    EFFECTIVE_SHARE,
    PairVariance,
    effective_trials,
    outside,
    pair_trials,
    pair_variance,
    separation_bound,
    share_limits,
    variance_is_known,
)
from ._roc import not_defined

if TYPE_CHECKING:
    from ._labelled import Floats, Labels, Scores

LEAST_MAX_FPR = 0.05
"""The smallest right end for which coverage was simulated."""
LEAST_SEEN = 4.0
"""Trials' worth of area below which the lower end is 0."""

# A perfect area is a mean of equal numbers, and misses them by less than this.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialAuroc:
    """The area under the ROC curve over false-alarm rates from 0 to ``max_fpr``.

    Attributes:
        max_fpr: the right end.
        raw: the area itself, from 0 to ``max_fpr``; chance gives ``max_fpr`` ** 2 / 2.
        standardised: McClish's: 0.5 at chance, 1 when every positive scores above every negative;
            below 0.5 for a monitor worse than chance.
        worst, best: the standardised area if every missing score had fallen against, or for, the
            monitor; None when a class is absent altogether.
        positives, negatives: measured scores of each class.
        missing_positives, missing_negatives: missing scores of each class.
    """

    max_fpr: float
    raw: Estimate
    standardised: Estimate
    worst: float | None
    best: float | None
    positives: int
    negatives: int
    missing_positives: int
    missing_negatives: int


def partial_auroc(
    scores: Scores,
    labels: Labels,
    *,
    max_fpr: float = 0.2,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
    scale: tuple[float, float] | None = UNIT_SCALE,
) -> PartialAuroc:
    """The area under the ROC curve up to ``max_fpr``; ties and the right end by the trapezoid.

    The interval is made as that of `auroc`, from the share p = area / ``max_fpr``. Where the
    variance cannot be told from the data, the trials are min(positives, negatives * max_fpr * p /
    (1 - max_fpr * (1 - p))), counted in clusters: the negatives count only as far as they decide
    where the curve ends. With less than four trials' worth of area the lower end is 0. When every
    positive scored above every negative, the lower end follows from that of the whole area. No
    interval where no area is seen, or for ``max_fpr`` below 0.05.

    Args:
        scores, labels, clusters, level, scale: as `auroc`.
        max_fpr: above 0, at most 1.

    Raises:
        TypeError, ValueError: as `auroc`, and a ``max_fpr`` outside (0, 1].

    Sources: McClish 1989; Dodd and Pepe 2003; He and Escobar 2008.
    """
    level = checked_level(level)
    (right,) = checked_numbers((max_fpr,), "max_fpr")
    if not 0 < right <= 1:
        raise ValueError(f"expected max_fpr above 0 and at most 1, found {right}")
    data = labelled(scores, labels, clusters, scale)
    raw = _estimate(data, right, level)
    worst = best = raw.value
    if data.missing:
        worst, best = _area(*data.against(), right), _area(*data.in_favour(), right)
    return PartialAuroc(
        max_fpr=right,
        raw=raw,
        standardised=_standardised(raw, right),
        worst=None if worst is None else mcclish(worst, right),
        best=None if best is None else mcclish(best, right),
        positives=len(data.positive),
        negatives=len(data.negative),
        missing_positives=data.missing_positives,
        missing_negatives=data.missing_negatives,
    )


def mcclish(area: float, max_fpr: float) -> float:
    """The area rescaled so that chance is 0.5 and the most that there can be is 1."""
    chance = max_fpr * max_fpr / 2
    return (1 + (area - chance) / (max_fpr - chance)) / 2


def _standardised(raw: Estimate, right: float) -> Estimate:
    def scaled(area: float | None) -> float | None:
        return None if area is None else mcclish(area, right)

    return Estimate(
        value=scaled(raw.value),
        low=scaled(raw.low),
        high=scaled(raw.high),
        level=raw.level,
        n=raw.n,
        clusters=raw.clusters,
        missing=raw.missing,
        method=f"standardised (McClish) {raw.method}",
        note=raw.note,
    )


def _estimate(data: Labelled, right: float, level: float) -> Estimate:
    m, n = len(data.positive), len(data.negative)
    method = f"partial AUROC up to {right:g}"
    if not m or not n:
        return not_defined(data, level, method)
    seen = _placements(data.positive, data.negative, right)
    value = float(seen.positive.mean())
    if value >= right * (1 - _ROUNDING):
        value = right
    spread = pair_variance(
        data, (seen.positive - value) / right, (seen.negative - seen.negative.mean()) / right
    )
    low, high, how, note = _interval(value / right, spread, data, right, level)
    return Estimate(
        value=value,
        low=None if low is None else min(low * right, value),
        high=None if high is None else max(high * right, value),
        level=level,
        n=m + n,
        clusters=spread.clusters,
        missing=data.missing,
        method=f"{method}, {how}",
        note=joined(note, missing_note(data.missing, m + n)),
    )


def _interval(
    share: float, spread: PairVariance, data: Labelled, right: float, level: float
) -> tuple[float | None, float | None, str, str | None]:
    """Limits of the share of the largest area, method and note."""
    how = "Clopper-Pearson with each independent pair near the top as one trial"
    fewest = min(spread.positive_clusters, spread.negative_clusters)
    if share == 1 and fewest >= 2:
        # The whole area is at most right * p + (1 - right), and it has an exact bound.
        low = max(0.0, 1 - (1 - separation_bound(spread, level)) / right)
        note = "every positive scored above every negative: one end is at the boundary"
        return low, 1.0, how, note
    reason = outside(spread, level)
    if reason is None and right < LEAST_MAX_FPR:
        reason = f"no interval: coverage was shown from a max_fpr of {LEAST_MAX_FPR}"
    if reason is None and share <= 0:
        reason = "no interval: no positive scored above the negatives that bound the area"
    if reason is not None:
        return None, None, how, reason
    near = spread.negative_trials * right * share / (1 - right * (1 - share))
    pairs = min(spread.positive_trials, near) * spread.apart
    trials = pair_trials(spread, share, pairs)
    low, high = share_limits(share, trials, level)
    if variance_is_known(spread):
        known = effective_trials(spread, share, pairs, data.measured)
        limits = share_limits(share, known, level)
        if data.positive_cluster is None or reaches_unseen(share, *limits, pairs, level):
            trials, (low, high) = known, limits
            name = "DeLong" if data.positive_cluster is None else "Obuchowski"
            how = f"{name} variance, Clopper-Pearson with {EFFECTIVE_SHARE} of the effective trials"
    # Cut off at zero, the area of a curve that has none looks like that of two standard errors.
    return (low if share * trials >= LEAST_SEEN else 0.0), high, how, None


@dataclass(frozen=True, slots=True)
class _Placements:
    """Each positive's part of the area, and each negative's influence on it."""

    positive: Floats
    negative: Floats


def _placements(positive: Floats, negative: Floats, right: float) -> _Placements:
    import numpy as np

    n = len(negative)
    ordered = np.sort(negative)
    # A positive lies on the piece of the curve from false-alarm rate a to b; a < b in a tie.
    a = 1 - np.searchsorted(ordered, positive, "right") / n
    b = 1 - np.searchsorted(ordered, positive, "left") / n
    width = np.where(b > a, b - a, 1.0)
    reach = np.where(b <= right, 1.0, np.clip((right - a) / width, 0.0, 1.0))
    reach = np.where(a >= right, 0.0, reach)
    part = np.where(b <= right, right - (a + b) / 2, reach * np.maximum(right - a, 0.0) / 2)

    order = np.argsort(positive)
    summed = np.concatenate([[0.0], np.cumsum(reach[order])])
    squares = np.concatenate([[0.0], np.cumsum(reach[order] ** 2)])
    first = np.searchsorted(positive[order], negative, "left")
    last = np.searchsorted(positive[order], negative, "right")
    # More false alarms move the curve to the right: the influence is negative.
    influence = summed[first] + (squares[last] - squares[first]) / 2
    return _Placements(part, -influence / len(positive))


def _area(positive: Floats, negative: Floats, right: float) -> float | None:
    if not len(positive) or not len(negative):
        return None
    return float(_placements(positive, negative, right).positive.mean())
