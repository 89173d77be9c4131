"""The variance of areas under a ROC curve, and limits made of it.

Each score is placed among the scores of the other class. An area is the mean of the placements of
the positives, and of the negatives; its variance is that of the two means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._binomial import clopper_pearson_limits
from ._labelled import Labelled

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

SIMULATED_LEVEL = 0.95
LEAST_TRIALS = 30
"""Clusters of each class, as Kish's effective number, from which a variance is estimated."""
LEAST_EVEN = 0.5
"""Kish's effective number over the number of clusters: what unequal sizes leave of it."""
LEAST_DEVIATING = 10
"""Clusters that differ in their placement, as an effective number, in each class."""
EFFECTIVE_SHARE = 0.9
"""Of the effective number of trials; without it coverage falls below 93.5 % at some points."""

# Squared placements sum to less than this for each unit only through rounding.
_ROUNDING = 1e-18


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVariance:
    """What the variance of an area rests on.

    Attributes:
        positive, negative: the parts of the variance from each class.
        variance: of the area; their sum, and twice the covariance when clusters hold both classes.
        positive_clusters, negative_clusters: clusters with a score of the class.
        clusters: all clusters.
        positive_trials, negative_trials: Kish's effective number of clusters of the class: fewer
            when their sizes differ.
        deviating: sum(d^2)^2 / sum(d^4) over clusters' deviations d, of the class where it is
            smaller: how many clusters the variance rests on.
    """

    positive: float
    negative: float
    variance: float
    positive_clusters: int
    negative_clusters: int
    clusters: int
    positive_trials: float
    negative_trials: float
    deviating: float

    @property
    def apart(self) -> float:
        """1 when no cluster holds both classes, 1/2 when all do."""
        return self.clusters / (self.positive_clusters + self.negative_clusters)

    @property
    def pairs(self) -> float:
        """Pairs of a positive and a negative that share no cluster, as many as there can be."""
        both = (self.positive_trials + self.negative_trials) / 2
        return min(self.positive_trials, self.negative_trials, both * self.apart)


def pair_variance(data: Labelled, positive: Floats, negative: Floats) -> PairVariance:
    """The variance of an area from the placements of the scores of each class.

    Args:
        data: both classes have a score.
        positive, negative: each score's placement less their mean.

    Sources: DeLong, DeLong and Clarke-Pearson 1988; Obuchowski 1997 for clusters.
    """
    import numpy as np

    m, n = len(positive), len(negative)
    if data.positive_cluster is None or data.negative_cluster is None:
        first, second = _part(positive, None), _part(negative, None)
        clusters, covariance = m + n, 0.0
    else:
        top = 1 + int(max(data.positive_cluster.max(), data.negative_cluster.max()))
        sums_m: Floats = np.bincount(data.positive_cluster, positive, top).astype(np.float64)
        sums_n: Floats = np.bincount(data.negative_cluster, negative, top).astype(np.float64)
        sizes_m = np.bincount(data.positive_cluster, minlength=top)
        sizes_n = np.bincount(data.negative_cluster, minlength=top)
        first = _part(sums_m[sizes_m > 0], sizes_m[sizes_m > 0])
        second = _part(sums_n[sizes_n > 0], sizes_n[sizes_n > 0])
        clusters = int(((sizes_m > 0) | (sizes_n > 0)).sum())
        covariance = clusters / max(clusters - 1, 1) * float(sums_m @ sums_n) / (m * n)
    return PairVariance(
        positive=first.variance,
        negative=second.variance,
        variance=max(first.variance + second.variance + 2 * covariance, 0.0),
        positive_clusters=first.clusters,
        negative_clusters=second.clusters,
        clusters=clusters,
        positive_trials=first.trials,
        negative_trials=second.trials,
        deviating=min(first.deviating, second.deviating),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    variance: float
    clusters: int
    trials: float
    deviating: float


def _part(sums: Floats, sizes: Codes | None) -> _Part:
    """One class: sums of deviations by cluster, and clusters' sizes (None when all are 1)."""
    clusters = len(sums)
    scores = clusters if sizes is None else int(sizes.sum())
    squares = sums * sums
    second, fourth = float(squares.sum()), float((squares * squares).sum())
    spread = second > _ROUNDING * scores
    return _Part(
        variance=clusters / max(clusters - 1, 1) * second / scores**2 if spread else 0.0,
        clusters=clusters,
        trials=clusters if sizes is None else scores**2 / float((sizes * sizes).sum()),
        deviating=second**2 / fourth if spread else 0.0,
    )


def outside(spread: PairVariance, level: float) -> str | None:
    """Why there is no interval at all, or None."""
    if level != SIMULATED_LEVEL:
        return f"no interval: coverage was shown at a level of {SIMULATED_LEVEL}, not {level:g}"
    fewest = min(spread.positive_clusters, spread.negative_clusters)
    if fewest < 2:
        return "no interval: coverage was shown from 2 independent units of each class, here is 1"
    return None


def variance_is_known(spread: PairVariance) -> bool:
    """Whether the estimated variance may be relied on."""
    return (
        min(spread.positive_trials, spread.negative_trials) >= LEAST_TRIALS
        and spread.positive_trials >= LEAST_EVEN * spread.positive_clusters
        and spread.negative_trials >= LEAST_EVEN * spread.negative_clusters
        and spread.deviating >= LEAST_DEVIATING
        and spread.variance > 0
    )


def effective_trials(spread: PairVariance, value: float, fewest: float, most: float) -> float:
    """Independent trials with the same variance of their share, within fewest..most.

    The t quantile, with Satterthwaite's degrees of freedom, pays for a variance that is itself
    estimated, as in Korn and Graubard's limits for a proportion.
    """
    from scipy.special import ndtri, stdtrit

    both = spread.positive + spread.negative
    freedom = both**2 / (
        spread.positive**2 / (spread.positive_clusters - 1)
        + spread.negative**2 / (spread.negative_clusters - 1)
    )
    quantile = (1 + SIMULATED_LEVEL) / 2
    shrink = float(ndtri(quantile) / stdtrit(freedom, quantile)) ** 2
    trials = EFFECTIVE_SHARE * shrink * value * (1 - value) / spread.variance
    return min(max(trials, fewest), max(fewest, most))


def pair_trials(spread: PairVariance, value: float, pairs: float) -> float:
    """``pairs``, fewer where the estimated variance is above that of so many trials.

    With clusters of one size it is not, but for chance. With sizes that go with the scores, the
    largest clusters err together, and each counts as more than its share of trials.
    """
    even = (
        spread.positive_trials >= spread.positive_clusters * (1 - 1e-9)
        and spread.negative_trials >= spread.negative_clusters * (1 - 1e-9)
    )
    if even or spread.variance <= 0:
        return pairs
    return min(pairs, effective_trials(spread, value, 1.0, pairs))


def share_limits(value: float, trials: float, level: float) -> tuple[float, float]:
    """Clopper-Pearson limits of a share seen in so many trials."""
    tail = (1 - level) / 2
    low, high = clopper_pearson_limits(value * trials, trials, tail, tail)
    # A product can miss a whole number, and so the limits the value, by rounding.
    return min(low, value), max(high, value)


def separation_bound(spread: PairVariance, level: float) -> float:
    """Lower limit of the AUROC when every positive scored above every negative.

    That takes every one of the disjoint independent pairs to be in order, which has at most the
    chance AUROC ** pairs.
    """
    return math.exp(math.log((1 - level) / 2) / spread.pairs)
