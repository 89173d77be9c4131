"""Do the intervals cover? Simulation of each estimator over the region that it claims.

Run as a program, this prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, stdtrit

from custodes.statistics import (
    CLUSTERED_REGIONS,
    clustered_proportion,
    kaplan_meier,
    median_interval,
    paired_difference,
)
from custodes.types import Estimate

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

REPLICATES = 2_000
FLOOR = 0.935
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.95, 0.99)
CORRELATIONS = (0.0, 0.1, 0.3, 0.6, 0.9, 1.0)
SIZES: dict[str, tuple[int, ...]] = {
    "2 each": (2,),
    "5 each": (5,),
    "20 each": (20,),
    "50 each": (50,),
    "5 x 4, 10": (5, 5, 5, 5, 10),
    "25 x 3, 50": (25, 25, 25, 50),
    "1, 10 x 4": (1, 10, 10, 10, 10),
    "1 x 4, 50": (1, 1, 1, 1, 50),
}
# Sizes that depend on the seed's own rate: fewer episodes of the seeds that act more.
INFORMATIVE = {"10 quiet, 5 active": (10, 5), "40 quiet, 2 active": (40, 2)}


@dataclass(frozen=True)
class Point:
    seeds: int
    mixing: str
    correlation: float
    rate: float
    sizes: str


def grid(
    seeds: Iterable[int],
    correlations: Iterable[float] = CORRELATIONS,
    rates: Iterable[float] = RATES,
    sizes: Iterable[str] = (*SIZES, *INFORMATIVE),
) -> Iterator[Point]:
    for m, mixing, icc, rate, size in product(
        seeds, ("beta", "some seeds only"), correlations, rates, sizes
    ):
        yield Point(m, mixing, icc, rate, size)


def draw(point: Point, generator: np.random.Generator) -> tuple[Ints, Ints]:
    shape = (REPLICATES, point.seeds)
    rate, icc = point.rate, point.correlation
    theta: Floats
    if point.mixing == "some seeds only":
        # A share of the seeds acts at one rate and the rest never: worse than beta mixing.
        active = max(rate, icc)
        theta = (generator.random(shape) < rate / active) * active
    elif icc == 0:
        theta = np.full(shape, rate, dtype=np.float64)
    elif icc == 1:
        theta = (generator.random(shape) < rate) * 1.0
    else:
        total = 1 / icc - 1
        theta = generator.beta(rate * total, (1 - rate) * total, shape)
    if point.sizes in INFORMATIVE:
        quiet, busy = INFORMATIVE[point.sizes]
        n = np.where(theta > rate, busy, quiet)
    else:
        pattern = SIZES[point.sizes]
        n = np.broadcast_to(np.resize(pattern, point.seeds), shape)
    return generator.binomial(n, theta), n.astype(np.int64)


def covered_by_beta(
    x: Floats, size: Floats, rate: float | Floats, tail: float = 0.025
) -> Flags:
    """Clopper-Pearson limits contain ``rate``, by the distribution instead of its inverse."""
    low = np.where(x <= 0, 1.0, betainc(np.maximum(x, 1e-300), size - x + 1, rate)) >= tail
    high = np.where(x >= size, 0.0, betainc(x + 1, np.maximum(size - x, 1e-300), rate)) <= 1 - tail
    flags: Flags = low & high
    return flags


def mean_rate(k: Ints, n: Ints) -> Floats:
    y: Floats = (k / n).mean(axis=1)
    return y


def one_trial_per_seed(k: Ints, n: Ints, rate: float) -> Flags:
    m = float(k.shape[1])
    return covered_by_beta(mean_rate(k, n) * m, np.full(len(k), m), rate)


def effective_size(k: Ints, n: Ints, rate: float, *, share: float, region: bool) -> Flags:
    m = k.shape[1]
    y, total = k / n, n.sum(axis=1)
    mean = y.mean(axis=1)
    variance = y.var(axis=1, ddof=1) / m
    shrink = (stdtrit(np.maximum(total - 1, 1), 0.975) / stdtrit(m - 1, 0.975)) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(variance > 1e-18, share * shrink * mean * (1 - mean) / variance, m)
    size = np.clip(size, m, total)
    if region:
        inside = (
            (30 <= m <= 200)
            & (n.max(axis=1) <= 2 * n.min(axis=1))
            & ((y > 0).sum(axis=1) >= 10)
            & ((y < 1).sum(axis=1) >= 10)
        )
        unseen = 1 - 0.025 ** (1 / m)
        for reached in (mean * (1 - unseen), mean + unseen * (1 - mean)):
            inside &= covered_by_beta(mean * size, size, reached)
        size = np.where(inside, size, m)
    return covered_by_beta(mean * size, size, rate)


def as_published(k: Ints, n: Ints, rate: float) -> Flags:
    return effective_size(k, n, rate, share=0.8, region=True)


def uncorrected(k: Ints, n: Ints, rate: float) -> Flags:
    return effective_size(k, n, rate, share=1.0, region=False)


def pooled(k: Ints, n: Ints, rate: float) -> Flags:
    return covered_by_beta(k.sum(axis=1) * 1.0, n.sum(axis=1) * 1.0, rate)


def contains(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low <= truth <= estimate.high


def clustered_coverage(point: Point, generator: np.random.Generator) -> float:
    """Coverage at a point; the first replicates go through the public function as well."""
    k, n = draw(point, generator)
    flags = as_published(k, n, point.rate)
    for i in range(3):
        estimate = clustered_proportion(k[i].tolist(), n[i].tolist())
        assert contains(estimate, point.rate) == flags[i], (point, estimate)
    return float(flags.mean())


def below_floor(points: Iterable[Point], seed: int) -> list[tuple[float, Point]]:
    generator = np.random.default_rng(seed)
    measured = [(clustered_coverage(point, generator), point) for point in points]
    return [(c, point) for c, point in measured if c < FLOOR]


def test_clustered_rates_cover_at_the_worst_points_found() -> None:
    points = grid(
        (2, 10, 30, 50), (0.0, 0.6, 1.0), (0.02, 0.5, 0.8), ("5 each", "50 each", "1 x 4, 50")
    )
    assert below_floor(points, seed=11) == []


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20, 30, 50, 100, 200, 500])
def test_clustered_rates_cover_everywhere_in_the_region(seeds: int) -> None:
    assert below_floor(grid((seeds,)), seed=100 + seeds) == []


def test_the_simulation_can_tell_an_interval_that_does_not_cover() -> None:
    generator = np.random.default_rng(12)
    k, n = draw(Point(20, "beta", 0.3, 0.3, "20 each"), generator)
    assert pooled(k, n, 0.3).mean() < 0.75
    k, n = draw(Point(20, "some seeds only", 0.9, 0.8, "20 each"), generator)
    assert uncorrected(k, n, 0.8).mean() < FLOOR


def test_the_lowest_coverage_published_is_not_above_the_floor_claimed() -> None:
    assert all(FLOOR <= region.lowest_coverage <= 0.95 for region in CLUSTERED_REGIONS)


# Paired differences ---------------------------------------------------------------------------


def draw_pairs(
    m: int, episodes: int, spread: float, a: float, b: float, shared: float, seed: int
) -> Floats:
    generator = np.random.default_rng(seed)
    shape = (REPLICATES, m)
    if spread == 0:
        # Each seed always or never acts; a share of the seeds is decided alike in both cells.
        u = generator.random(shape)
        v = np.where(generator.random(shape) < shared, u, generator.random(shape))
        theta_a, theta_b = (u < a) * 1.0, (v < b) * 1.0
    else:
        theta_a = generator.beta(a * spread, (1 - a) * spread, shape)
        theta_b = generator.beta(b * spread, (1 - b) * spread, shape)
    k: Floats = np.stack([generator.binomial(episodes, t) for t in (theta_a, theta_b)]) / episodes
    return k


def paired_coverage(
    m: int, episodes: int, spread: float, a: float, b: float, shared: float, seed: int
) -> tuple[float, float]:
    """Coverage of the published interval and of the t interval."""
    pairs = draw_pairs(m, episodes, spread, a, b, shared, seed)
    d = pairs[0] - pairs[1]

    def limits(x: Floats) -> tuple[Floats, Floats]:
        low = np.where(x <= 0, 0, betaincinv(np.maximum(x, 1e-300), m - x + 1, 0.0125))
        high = np.where(x >= m, 1, betaincinv(x + 1, np.maximum(m - x, 1e-300), 0.9875))
        return low, high

    gain_low, gain_high = limits(np.maximum(d, 0).sum(axis=1))
    loss_low, loss_high = limits(np.maximum(-d, 0).sum(axis=1))
    flags = (gain_low - loss_high <= a - b) & (a - b <= gain_high - loss_low)
    for i in range(2):
        public = paired_difference(pairs[0][i].tolist(), pairs[1][i].tolist()).estimate
        assert contains(public, a - b) == flags[i], (public, a - b)
    half = stdtrit(m - 1, 0.975) * d.std(axis=1, ddof=1) / math.sqrt(m)
    t = np.abs(d.mean(axis=1) - (a - b)) <= half + 1e-12
    return float(flags.mean()), float(t.mean())


PairedPoint = tuple[int, int, float, float, float, float]


def paired_grid(seeds: Iterable[int]) -> Iterator[PairedPoint]:
    rates = (0.01, 0.05, 0.2, 0.5, 0.9, 0.99)
    for m, e, spread, a, b in product(seeds, (1, 2, 5, 20), (0, 0.3, 2, 50), rates, rates):
        for shared in (0.0, 0.7) if spread == 0 else (0.0,):
            # With sharing, a seed is decided alike: the marginal rates stay a and b.
            yield m, e, spread, a, b, shared


def test_paired_differences_cover_where_a_t_interval_does_not() -> None:
    published, t = paired_coverage(30, 1, 2, 0.01, 0.99, 0.0, seed=21)
    assert t < 0.5
    assert published >= FLOOR
    for m, spread in product((2, 5, 15, 40), (0.0, 2.0)):
        assert paired_coverage(m, 5, spread, 0.9, 0.2, 0.0, seed=22)[0] >= FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 5, 8, 10, 15, 20, 30, 50, 100])
def test_paired_differences_cover_everywhere(seeds: int) -> None:
    for i, point in enumerate(paired_grid((seeds,))):
        assert paired_coverage(*point, seed=1000 * seeds + i)[0] >= FLOOR, point


# Latencies ------------------------------------------------------------------------------------

SHAPES: dict[str, tuple[Callable[[np.random.Generator, int], Floats], float]] = {
    "exponential": (lambda g, n: g.exponential(1.0, n), math.log(2)),
    "lognormal": (lambda g, n: g.lognormal(0.0, 1.0, n), 1.0),
    "uniform": (lambda g, n: g.random(n), 0.5),
    # A quick way that mostly works and a slow one that is tried when it fails.
    "two ways": (
        lambda g, n: np.where(g.random(n) < 0.6, g.random(n), 10 + g.exponential(5.0, n)),
        0.5 / 0.6,
    ),
}


def median_coverage(
    shape: str, n: int, censored: float, replicates: int, seed: int
) -> tuple[float, float]:
    """Coverage, and the share of intervals that are open above (median_low or more)."""
    generator = np.random.default_rng(seed)
    sample, truth = SHAPES[shape]
    hits = opened = 0
    for _ in range(replicates):
        times = sample(generator, n)
        cut = np.full(n, np.inf)
        if censored:
            cut = generator.exponential(truth / math.log(2) * (1 - censored) / censored, n)
        curve = kaplan_meier(np.minimum(times, cut).tolist(), (times <= cut).tolist())
        if curve.median is None or curve.median.low is None:
            opened += 1
            hits += curve.median_low is None or curve.median_low <= truth
        else:
            hits += contains(curve.median, truth)
    return hits / replicates, opened / replicates


def test_medians_cover() -> None:
    for shape, censored in (("exponential", 0.3), ("lognormal", 0.0), ("two ways", 0.2)):
        coverage, opened = median_coverage(shape, 20, censored, 1_500, seed=31)
        assert coverage >= FLOOR, (shape, censored)
        assert opened < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 30, 50, 100])
@pytest.mark.parametrize("shape", list(SHAPES))
def test_medians_cover_everywhere_in_the_region(shape: str, n: int) -> None:
    for censored in (0.0, 0.1, 0.2, 0.4):
        coverage, _ = median_coverage(shape, n, censored, REPLICATES, seed=32 + n)
        assert coverage >= FLOOR, censored


def test_restricted_means_cover_when_slow_ones_are_rare() -> None:
    # 4 % take the whole 60 s and the rest 1 s: a normal interval misses most of the time.
    generator = np.random.default_rng(41)
    for n in (5, 10, 30):
        truth, hits = 0.96 * 1 + 0.04 * 60, 0
        for _ in range(REPLICATES):
            times = np.where(generator.random(n) < 0.04, 61.0, 1.0)
            mean = kaplan_meier(times.tolist(), [True] * n, horizon=60.0).restricted_mean
            assert mean is not None
            hits += contains(mean, truth)
        assert hits / REPLICATES >= FLOOR


def test_a_median_without_censoring_covers_exactly_as_its_note_says() -> None:
    # Coverage of (x_2, x_9) of 10 is 1 - 2 * 11 / 1024 for any continuous distribution.
    generator = np.random.default_rng(42)
    hits = sum(
        contains(median_interval(generator.exponential(1.0, 10).tolist()), math.log(2))
        for _ in range(4_000)
    )
    assert hits / 4_000 == pytest.approx(1 - 22 / 1024, abs=0.008)


# The tables of the documentation --------------------------------------------------------------


def _tables(write: Callable[[str], object]) -> None:
    generator = np.random.default_rng(2026)
    names = ("published", "one trial per seed", "effective size, uncorrected", "pooled")
    methods = (as_published, one_trial_per_seed, uncorrected, pooled)
    write("| seeds | points | " + " | ".join(names) + " | worst point of the published one |\n")
    write("|---:|---:|" + "---:|" * len(names) + "---|\n")
    for m in (2, 3, 5, 10, 20, 30, 50, 100, 200, 500):
        worst, mean, where, count = [1.0] * 4, [0.0] * 4, None, 0
        counts = [0] * 4
        for point in grid((m,)):
            k, n = draw(point, generator)
            count += 1
            for j, method in enumerate(methods):
                # Pooling estimates another rate when sizes depend on rates: not held against it.
                if method is pooled and point.sizes in INFORMATIVE:
                    continue
                coverage = float(method(k, n, point.rate).mean())
                mean[j] += coverage
                counts[j] += 1
                if coverage < worst[j]:
                    worst[j] = coverage
                    where = point if j == 0 else where
        cells = " | ".join(
            f"{w * 100:.1f} ({s / c * 100:.1f})"
            for w, s, c in zip(worst, mean, counts, strict=True)
        )
        at = where and f"{where.mixing}, {where.correlation:g}, {where.rate:g}, {where.sizes}"
        write(f"| {m} | {count} | {cells} | {at} |\n")
    write("\n| seeds | points | published | t interval |\n|---:|---:|---:|---:|\n")
    for m in (2, 5, 10, 15, 20, 30, 50, 100):
        both = [paired_coverage(*point, seed=i) for i, point in enumerate(paired_grid((m,)))]
        shown = " | ".join(f"{min(c) * 100:.1f}" for c in zip(*both, strict=True))
        write(f"| {m} | {len(both)} | {shown} |\n")
    write("\n| n | " + " | ".join(SHAPES) + " |\n|---:|" + "---:|" * len(SHAPES) + "\n")
    for units in (20, 30, 50, 100):
        row = []
        for shape in SHAPES:
            results = [
                median_coverage(shape, units, c, REPLICATES, seed=units)
                for c in (0.0, 0.1, 0.2, 0.4)
            ]
            lowest, opened = min(r[0] for r in results), max(r[1] for r in results)
            row.append(f"{lowest * 100:.1f} ({opened * 100:.0f})")
        write(f"| {units} | " + " | ".join(row) + " |\n")


if __name__ == "__main__":
    _tables(sys.stdout.write)
