"""The bootstrap over clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._binomial import reaches_unseen
from ._checks import (
    checked_count,
    checked_level,
    checked_numbers,
    joined,
    listed,
    missing_note,
)
from ._labelled import cluster_codes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Draws = NDArray[np.int32]

CHUNK_CELLS = 2**20
"""Most drawn clusters held at a time: 10,000 replicates of 1,000 clusters take ten chunks."""
MOST_REPLICATES = 10**7
MOST_CLUSTERS = 10**7
LEAST_CLUSTERS = 100
LEAST_DEVIATING = 50
"""Clusters that differ from the rest, as an effective number: sum(d^2)^2 / sum(d^4)."""
WIDER = 0.7 ** -0.5
"""Plain percentiles cover 91 to 94 % of the time with 100 clusters, and less where it matters."""
SIMULATED_LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """A statistic and how it varies when clusters are drawn anew.

    Attributes:
        estimate: the statistic on the data as they are. Its interval is the widened percentile
            interval, where that was shown to cover.
        percentile_low, percentile_high: the plain percentiles of the replicates at ``level``:
            a spread, not an interval that covers. None when a replicate is not defined.
        standard_error: standard deviation over replicates; None likewise.
        replicates: drawn.
        undefined: replicates in which the statistic is not defined; counted, never dropped.
        seed: of the generator. The same seed gives the same replicates.
    """

    estimate: Estimate
    percentile_low: float | None
    percentile_high: float | None
    standard_error: float | None
    replicates: int
    undefined: int
    seed: int


def clustered_bootstrap(
    values: Sequence[float | None] | NDArray[np.floating],
    clusters: Sequence[Hashable],
    *,
    denominators: Sequence[float] | NDArray[np.floating] | None = None,
    replicates: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Bootstrap:
    """sum(values) / sum(denominators), with clusters drawn with replacement.

    Without denominators this is the mean of the values: units count alike, whatever the size of
    their cluster. Use `clustered_proportion` for a rate where each cluster counts alike.

    The interval is the percentile interval at the level whose normal quantile is 1.195 times as
    large, for t with one less than the clusters: plain percentiles are too narrow with few or
    uneven clusters. From 100 clusters, of which effectively 50 differ in their sums, at 0.95;
    else none, and the note says why. Constant values have none: they do not show how they vary.

    Args:
        values: one for each unit; None where it was not measured.
        clusters: each unit's cluster.
        denominators: one for each unit, at least 0. None for 1 each.
        replicates: how often clusters are drawn, from 100.
        seed: of the generator.
        level: coverage.

    Raises:
        TypeError, ValueError: unequal lengths, NaN, an infinite value, a negative denominator, or
            denominators that are all 0.

    Sources: Efron 1979; Davison and Hinkley 1997; Hesterberg 2015 for the widening by t.
    """
    import numpy as np

    level = checked_level(level)
    replicates = _checked_replicates(replicates)
    seed = checked_count(seed, "seed")
    given = values.tolist() if isinstance(values, np.ndarray) else list(listed(values, "values"))
    measured = np.array([value is not None for value in given], dtype=np.bool_)
    numerators = np.zeros(len(given))
    # None keeps its place, so that a message names the position in what was given.
    numerators[:] = checked_numbers([0.0 if v is None else v for v in given], "values")
    codes = cluster_codes(clusters)
    _same_length(len(given), len(codes), "values and clusters")
    shares = np.ones(len(given))
    if denominators is not None:
        shares = np.array(checked_numbers(denominators, "denominators", low=0.0))
        _same_length(len(given), len(shares), "values and denominators")
    missing = int((~measured).sum())
    method = "mean" if denominators is None else "ratio of sums"
    method = f"{method}, bootstrap over clusters"
    if not measured.any():
        return _nothing(method, missing, level, replicates, seed)

    _, codes = np.unique(codes[measured], return_inverse=True)
    above = np.bincount(codes, numerators[measured]).astype(np.float64)
    below = np.bincount(codes, shares[measured]).astype(np.float64)
    if below.sum() == 0:
        raise ValueError("expected a denominator above 0, found none among measured values")
    with np.errstate(over="ignore"):
        value = float(above.sum() / below.sum())
    if not math.isfinite(value):
        raise ValueError(f"expected values with a finite sum, found {value}")
    if denominators is None:
        # A mean of equal values is that value, whatever the rounding of its sum.
        value = float(np.clip(value, numerators[measured].min(), numerators[measured].max()))
    drawn = np.empty(replicates)
    at = 0
    for rows in cluster_draws(len(above), replicates=replicates, seed=seed):
        with np.errstate(divide="ignore", invalid="ignore"):
            drawn[at : at + len(rows)] = above[rows].sum(axis=1) / below[rows].sum(axis=1)
        at += len(rows)
    deviations = above - value * below
    is_rate = bool((numerators >= 0).all() and (numerators <= shares)[measured].all())
    size = float(np.abs(above).max() + abs(value) * below.max())
    return _summary(
        value=value,
        drawn=drawn,
        deviating=_effective(deviations / size if size else deviations),
        units=int(measured.sum()),
        clusters=len(above),
        missing=missing,
        level=level,
        method=method,
        seed=seed,
        reason=None,
        is_rate=is_rate,
    )


def bootstrap_statistic(
    statistic: Callable[[Floats], Sequence[float] | Floats],
    clusters: int,
    *,
    replicates: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Bootstrap:
    """Any statistic that can be computed from weights on clusters.

    It has percentiles and a standard error but no interval: coverage depends on the statistic,
    and was simulated for those of `clustered_bootstrap` alone.

    Args:
        statistic: takes weights, an array of rows by clusters that says how often each cluster
            was drawn, and gives one number for each row; NaN where it is not defined.
        clusters: how many there are, at least 1.
        replicates, seed, level: as `clustered_bootstrap`.

    Raises:
        TypeError, ValueError: a count out of range, a statistic that gives another number of
            results than rows, an infinite one, or none on the data as they are.
    """
    import numpy as np

    if not callable(statistic):
        raise TypeError(f"expected the statistic to be a function, found {statistic!r}")
    level = checked_level(level)
    clusters = _checked_clusters(clusters)
    replicates = _checked_replicates(replicates)
    seed = checked_count(seed, "seed")

    def computed(weights: Floats) -> Floats:
        results = np.asarray(statistic(weights), dtype=np.float64)
        if results.shape != (len(weights),):
            raise ValueError(
                f"expected the statistic to give {len(weights)} results for as many rows, found "
                f"the shape {results.shape}"
            )
        if np.isinf(results).any():
            raise ValueError("expected a finite result or NaN of the statistic, found an infinity")
        return results

    value = float(computed(np.ones((1, clusters)))[0])
    if math.isnan(value):
        raise ValueError("expected a statistic that is defined on the data as they are, found NaN")
    drawn = np.concatenate(
        [
            computed(weights.astype(np.float64))
            for weights in cluster_weights(clusters, replicates=replicates, seed=seed)
        ]
    )
    return _summary(
        value=value,
        drawn=drawn,
        deviating=math.inf,
        units=clusters,
        clusters=clusters,
        missing=0,
        level=level,
        method="statistic of weights, bootstrap over clusters",
        seed=seed,
        reason="coverage was not simulated for this statistic",
        is_rate=False,
    )


def _checked_replicates(replicates: int, least: int = 100) -> int:
    count = checked_count(replicates, "replicates", least=least)
    if count > MOST_REPLICATES:
        raise ValueError(f"expected replicates to be at most {MOST_REPLICATES}, found more")
    return count


def _checked_clusters(clusters: int) -> int:
    count = checked_count(clusters, "clusters", least=1)
    if count > MOST_CLUSTERS:
        raise ValueError(f"expected clusters to be at most {MOST_CLUSTERS}, found more")
    return count


def cluster_draws(clusters: int, *, replicates: int, seed: int) -> Iterator[Draws]:
    """Drawn clusters' numbers: chunks of rows, one row for each replicate.

    The rows together do not depend on the size of a chunk.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    most = max(1, CHUNK_CELLS // clusters)
    for start in range(0, replicates, most):
        rows = min(most, replicates - start)
        yield generator.integers(0, clusters, (rows, clusters), dtype=np.int32)


def cluster_weights(clusters: int, *, replicates: int, seed: int) -> Iterator[Draws]:
    """How often each cluster is drawn: chunks of rows, each row adding up to ``clusters``."""
    import numpy as np

    clusters, replicates = _checked_clusters(clusters), _checked_replicates(replicates, 0)
    seed = checked_count(seed, "seed")
    for rows in cluster_draws(clusters, replicates=replicates, seed=seed):
        places = rows + clusters * np.arange(len(rows))[:, None]
        counts = np.bincount(places.ravel(), minlength=len(rows) * clusters)
        yield counts.reshape(len(rows), clusters).astype(np.int32)


def _summary(
    *,
    value: float,
    drawn: Floats,
    deviating: float,
    units: int,
    clusters: int,
    missing: int,
    level: float,
    method: str,
    seed: int,
    reason: str | None,
    is_rate: bool,
) -> Bootstrap:
    import numpy as np
    from scipy.special import ndtr, stdtrit

    undefined = int(np.isnan(drawn).sum())
    spread = None
    tail = (1 - level) / 2
    if not undefined:
        spread = np.quantile(drawn, [tail, 1 - tail])
    reason = reason or _outside(clusters, deviating, level, undefined, len(drawn))
    low = high = None
    if reason is None:
        wide = float(stdtrit(clusters - 1, 1 - tail)) * math.sqrt(clusters / (clusters - 1)) * WIDER
        low, high = (float(end) for end in np.quantile(drawn, [ndtr(-wide), ndtr(wide)]))
        low, high = min(low, value), max(high, value)
        if is_rate and not reaches_unseen(value, low, high, clusters, level):
            low = high = None
            reason = (
                "the limits do not allow for clusters of another kind that the sample may lack; "
                "clustered_proportion does"
            )
    return Bootstrap(
        estimate=Estimate(
            value=value,
            low=low,
            high=high,
            level=level,
            n=units,
            clusters=clusters,
            missing=missing,
            method=method,
            note=joined(reason and f"no interval: {reason}", missing_note(missing, units)),
        ),
        percentile_low=None if spread is None else float(spread[0]),
        percentile_high=None if spread is None else float(spread[1]),
        standard_error=None if undefined else float(drawn.std(ddof=1)),
        replicates=len(drawn),
        undefined=undefined,
        seed=seed,
    )


def _outside(
    clusters: int, deviating: float, level: float, undefined: int, replicates: int
) -> str | None:
    """Why coverage was not shown here, or None."""
    if level != SIMULATED_LEVEL:
        return f"coverage was shown at a level of {SIMULATED_LEVEL}, not {level:g}"
    if undefined:
        return f"not defined in {undefined} of {replicates} replicates"
    if deviating == 0:
        return "all clusters agree, so the data do not show how they vary"
    if clusters < LEAST_CLUSTERS:
        return f"coverage was shown from {LEAST_CLUSTERS} clusters, and here is {clusters}"
    if deviating < LEAST_DEVIATING:
        return (
            f"coverage was shown where effectively {LEAST_DEVIATING} clusters differ from the "
            f"rest, and here {deviating:.0f}"
        )
    return None


def _nothing(method: str, missing: int, level: float, replicates: int, seed: int) -> Bootstrap:
    return Bootstrap(
        estimate=Estimate(
            value=None,
            low=None,
            high=None,
            level=level,
            n=0,
            clusters=0,
            missing=missing,
            method=method,
            note=joined("nothing was measured", missing_note(missing, 0)),
        ),
        percentile_low=None,
        percentile_high=None,
        standard_error=None,
        replicates=replicates,
        undefined=replicates,
        seed=seed,
    )


def _effective(deviations: Floats) -> float:
    """sum(d^2)^2 / sum(d^4); 0 when what there is comes from rounding."""
    squares = deviations * deviations
    second, fourth = float(squares.sum()), float((squares * squares).sum())
    return second**2 / fourth if second > 1e-24 * len(squares) else 0.0


def _same_length(a: int, b: int, names: str) -> None:
    if a != b:
        raise ValueError(f"expected {names} of one length, found {a} and {b}")
