"""The rate over seeds within one scenario, when a seed may have several episodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from custodes.types import Estimate

from ._binomial import clopper_pearson_limits, reaches_unseen
from ._checks import (
    checked_count,
    checked_counts,
    checked_level,
    joined,
    missing_note,
    same_length,
)
from ._proportion import proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Where a method's coverage was shown by simulation.

    Attributes:
        method: the interval's name.
        level: the nominal coverage.
        least_clusters, most_clusters: seeds.
        most_per_cluster: episodes of one seed.
        largest_ratio: most episodes of a seed over fewest; None when any was covered.
        least_each_way: seeds with an event, and seeds with an episode without one, that the
            method needs.
        lowest_coverage: the lowest measured over correlation 0 to 1, rate 0.01 to 0.99 and
            equal, unequal and informative sizes; 2,000 replicates per point. The table by number
            of seeds is in docs/statistics.md.
    """

    method: str
    level: float
    least_clusters: int
    most_clusters: int
    most_per_cluster: int
    largest_ratio: float | None
    least_each_way: int
    lowest_coverage: float


EFFECTIVE_SIZE = "mean of seed rates, Clopper-Pearson with 0.8 of the effective sample size"
ONE_TRIAL_PER_SEED = "mean of seed rates, Clopper-Pearson with each seed as one trial"

# The effective sample size of Korn and Graubard covers 92.9 % at its worst point in its region;
# 0.8 of it never fell below 94 %. See the coverage table in docs/statistics.md.
EFFECTIVE_SIZE_SHARE = 0.8

# Tried in this order: the first region that holds the data gives the interval.
CLUSTERED_REGIONS: tuple[Region, ...] = (
    Region(
        method=EFFECTIVE_SIZE,
        level=0.95,
        least_clusters=30,
        most_clusters=200,
        most_per_cluster=50,
        largest_ratio=2.0,
        least_each_way=10,
        lowest_coverage=0.94,
    ),
    Region(
        method=ONE_TRIAL_PER_SEED,
        level=0.95,
        least_clusters=2,
        most_clusters=500,
        most_per_cluster=50,
        largest_ratio=None,
        least_each_way=0,
        lowest_coverage=0.94,
    ),
)


def clustered_proportion(
    k_i: Sequence[int], n_i: Sequence[int], *, level: float = 0.95, missing: int = 0
) -> Estimate:
    """The mean over seeds of each seed's rate, within one scenario.

    The seed is the independent unit: it counts once, however many episodes it has, so value is
    the mean of k_i / n_i and not sum(k_i) / sum(n_i) (they differ when sizes do). Scenarios are
    fixed, not sampled: do not pass seeds of several scenarios and call the result a population
    rate.

    When every seed has one episode this is `proportion`. Otherwise `CLUSTERED_REGIONS` lists the
    methods and where the coverage of each was shown; the first that holds the data is used.

    - Each seed as one trial whose outcome is its rate: conservative everywhere, because nothing
      in [0, 1] with a given mean varies more than a trial that is 0 or 1.
    - 0.8 of the effective sample size (Korn and Graubard 1998), narrower when episodes of a seed
      differ: many seeds of nearly equal sizes, with events in some and not in others. Used only
      where its limits also allow for seeds of another kind that the sample happens to lack, such
      as a few that always act: many episodes of each seed tell nothing about those.

    Pooled and uncorrected intervals were simulated too and undercover (docs/statistics.md).
    Outside every region there is no interval, and the note says which edge was passed.

    Args:
        k_i: episodes with the event, by seed.
        n_i: episodes measured, by seed. A seed with none is left out, and the note counts it.
        level: coverage; only 0.95 was simulated for seeds of several episodes.
        missing: episodes asked for and not measured, over all seeds.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: unequal lengths, k_i > n_i, or a negative count.
    """
    ks, ns = checked_counts(k_i, "k_i"), checked_counts(n_i, "n_i")
    same_length(ks, ns, "k_i and n_i")
    for i, (k, n) in enumerate(zip(ks, ns, strict=True)):
        if k > n:
            raise ValueError(f"expected k_i[{i}] to be at most n_i[{i}], found {k} and {n}")
    level = checked_level(level)
    missing = checked_count(missing, "missing")

    measured = [(k, n) for k, n in zip(ks, ns, strict=True) if n]
    left_out = len(ns) - len(measured)
    empty = f"{left_out} of {len(ns)} seeds have no measured episode" if left_out else None
    episodes = sum(n for _, n in measured)
    seeds = len(measured)
    if not measured or all(n == 1 for _, n in measured):
        alone = proportion(sum(k for k, _ in measured), seeds, level=level, missing=missing)
        return _with_note(alone, empty)

    rates = [k / n for k, n in measured]
    value = math.fsum(rates) / seeds
    absent = missing_note(missing, episodes)
    sizes = [n for _, n in measured]
    low = high = outside = None
    for region in CLUSTERED_REGIONS:
        outside = _outside(region, rates, sizes, level)
        if outside is None:
            size = float(seeds)
            if region.method == EFFECTIVE_SIZE:
                size = _effective_size(rates, value, episodes, level)
            tail = (1 - level) / 2
            low, high = clopper_pearson_limits(value * size, size, tail, tail)
            # A sum of rates can miss a whole number, and so the limits the value, by rounding.
            low, high = min(low, value), max(high, value)
            if region.method == ONE_TRIAL_PER_SEED or reaches_unseen(
                value, low, high, seeds, level
            ):
                break
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        n=episodes,
        clusters=seeds,
        missing=missing,
        method=region.method,
        note=joined(outside, empty, absent),
    )


def _effective_size(rates: list[float], value: float, episodes: int, level: float) -> float:
    """Independent trials with the same variance of the mean, within seeds..episodes."""
    from scipy.special import stdtrit

    seeds = len(rates)
    variance = math.fsum((rate - value) ** 2 for rate in rates) / (seeds - 1) / seeds
    if variance == 0:
        # Equal rates in all seeds are no evidence of a variance of zero.
        return float(seeds)
    quantile = (1 + level) / 2
    # Few seeds know their variance badly; the t quantiles pay for it (Korn and Graubard).
    shrink = float(stdtrit(episodes - 1, quantile) / stdtrit(seeds - 1, quantile)) ** 2
    size = EFFECTIVE_SIZE_SHARE * shrink * value * (1 - value) / variance
    return min(max(size, float(seeds)), float(episodes))


def _outside(region: Region, rates: list[float], sizes: list[int], level: float) -> str | None:
    """Why coverage was not shown here, or None inside the region."""
    seeds, largest = len(rates), max(sizes)
    with_event = sum(1 for rate in rates if rate > 0)
    without = sum(1 for rate in rates if rate < 1)
    if level != region.level:
        found = f"at a level of {region.level:g}, not {level:g}"
    elif seeds < region.least_clusters:
        found = f"from {region.least_clusters} seeds, and here is {seeds}"
    elif seeds > region.most_clusters:
        found = f"up to {region.most_clusters} seeds, and here are {seeds}"
    elif largest > region.most_per_cluster:
        found = f"up to {region.most_per_cluster} episodes of a seed, and here are {largest}"
    elif region.largest_ratio is not None and largest > region.largest_ratio * min(sizes):
        found = f"for sizes up to {region.largest_ratio:g} to 1, and here {largest} to {min(sizes)}"
    elif min(with_event, without) < region.least_each_way:
        found = f"from {region.least_each_way} seeds each way, and here {with_event} and {without}"
    else:
        return None
    return f"no interval: coverage for seeds of several episodes was shown {found}"


def _with_note(estimate: Estimate, note: str | None) -> Estimate:
    if note is None:
        return estimate
    return Estimate(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        n=estimate.n,
        clusters=estimate.clusters,
        missing=estimate.missing,
        method=estimate.method,
        note=joined(note, estimate.note),
    )
