"""Do the intervals of competing risks cover, and does the log-rank test keep its size?

Run as a program, this prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betainc, ndtri

from custodes.statistics import kaplan_meier
from custodes.statistics._incidence import cumulative_incidence
from custodes.statistics._logrank import log_rank
from custodes.types import Estimate

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

REPLICATES = 2_000
FLOOR = 0.935
RATES = (
    (0.02, 0.3),
    (0.05, 0.05),
    (0.1, 0.8),
    (0.2, 0.2),
    (0.3, 0.6),
    (0.5, 0.2),
    (0.5, 0.5),
    (0.8, 0.1),
    (0.9, 0.1),
    (0.95, 0.0),
)
WHEN: dict[str, float] = {"early": 3.0, "even": 1.0, "late": 1 / 3}


@dataclass(frozen=True)
class Point:
    """Units, rates of the cause and of a competing one, when events come, cuts, when they come."""

    n: int
    rates: tuple[float, float]
    events: str
    cut: float
    cuts: str


def grid(n: int, cuts: Iterable[float] = (0.1, 0.3, 0.6)) -> Iterator[Point]:
    for rates, events, cut, when in product(RATES, WHEN, cuts, WHEN):
        yield Point(n, rates, events, cut, when)


def small_grid(n: int) -> Iterator[Point]:
    """The points at which the usual intervals were found to fail."""
    for rates in ((0.02, 0.3), (0.1, 0.8), (0.5, 0.5), (0.9, 0.1)):
        for events, cut, when in (("late", 0.6, "early"), ("early", 0.1, "late")):
            yield Point(n, rates, events, cut, when)


def draw(point: Point, generator: np.random.Generator) -> tuple[Floats, Ints]:
    """Times by 1, the horizon, and causes: 1, 2, or 0 for what was watched without an event."""
    shape = (REPLICATES, point.n)
    first, second = point.rates
    u = generator.random(shape)
    cause = np.where(u < first, 1, np.where(u < first + second, 2, 0))
    time = np.where(cause == 0, np.inf, generator.random(shape) ** WHEN[point.events])
    end = np.where(
        generator.random(shape) < point.cut, generator.random(shape) ** WHEN[point.cuts], 1.0
    )
    return np.minimum(time, end), np.where(time <= end, cause, 0)


def curve_at_horizon(times: Floats, causes: Ints) -> tuple[Floats, Floats, Floats]:
    """Share with cause 1, its variance, and the share without an event; no ties."""
    order = np.argsort(times, axis=1)
    sorted_causes = np.take_along_axis(causes, order, 1)
    n = times.shape[1]
    at_risk = n - np.arange(n)
    any_event, own = sorted_causes > 0, sorted_causes == 1
    free = np.cumprod(1 - any_event / at_risk, axis=1)
    prior = np.concatenate([np.ones((len(free), 1)), free[:, :-1]], axis=1)
    shares = np.cumsum(prior * own / at_risk, axis=1)
    to_come = shares[:, -1:] - shares
    hazard = any_event / (at_risk * np.maximum(at_risk - 1.0, 1.0)) * (at_risk > 1)
    variance = (
        (to_come**2 * hazard).sum(1)
        + (prior**2 * own * (at_risk - own) / at_risk**3).sum(1)
        - 2 * (to_come * prior * own / at_risk**2).sum(1)
    )
    return shares[:, -1], variance, free[:, -1]


def within(low_x: Floats, high_x: Floats, size: Floats, rate: float) -> Flags:
    """Clopper-Pearson limits, the lower from one count and the upper from another."""
    with np.errstate(divide="ignore", invalid="ignore"):
        below = np.where(
            low_x <= 1e-9, 1.0, betainc(np.maximum(low_x, 1e-9), size - low_x + 1, rate)
        )
        above = np.where(
            high_x >= size - 1e-9, 0.0, betainc(high_x + 1, np.maximum(size - high_x, 1e-9), rate)
        )
    flags: Flags = (below >= 0.025) & (above <= 0.975)
    return flags


def covered(times: Floats, causes: Ints, rate: float) -> dict[str, Flags]:
    """By the published procedure, its conservative part alone, and log(-log) limits."""
    n = times.shape[1]
    share, variance, free = curve_at_horizon(times, causes)
    k = (causes == 1).sum(axis=1)
    cut = ((causes == 0) & (times < 1)).sum(axis=1)
    known = (times.max(axis=1) >= 1) | (free < 1e-12)
    uncut = n - cut
    both_ways = within(k * 1.0, k + cut * 1.0, np.full(len(k), float(n)), rate)
    region = (cut > 0) & (uncut >= 20) & (k >= 5) & (uncut - k >= 5) & (variance > 0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        size = np.minimum(np.where(variance > 0, share * (1 - share) / variance, n), uncut)
        cumulative = -np.log1p(-np.minimum(share, 1 - 1e-12))
        spread = np.sqrt(variance) / ((1 - share) * cumulative)
        factor = np.exp(ndtri(0.975) * spread)
        usual = (1 - np.exp(-cumulative / factor) <= rate) & (
            rate <= 1 - np.exp(-cumulative * factor)
        )
    size = np.where(region, size, n)
    effective = within(share * size, share * size, size, rate)
    return {
        "published": np.where(region & known, effective, both_ways),
        "both ways": both_ways,
        # Where they are defined: neither at 0 nor at 1.
        "log(-log)": usual[(share > 0) & (share < 1 - 1e-12)],
    }


def contains(estimate: Estimate, rate: float) -> bool:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low <= rate <= estimate.high


def public(times: Floats, causes: Ints, rate: float) -> bool:
    """The same from the public function; without an estimate, from its bounds."""
    found = cumulative_incidence(
        times.tolist(), [None if c == 0 else str(c) for c in causes], horizon=1.0, names=("1",)
    ).of("1")
    if found.estimate is not None:
        return contains(found.estimate, rate)
    assert found.lowest.low is not None and found.highest.high is not None
    return found.lowest.low <= rate <= found.highest.high


def coverage(point: Point, generator: np.random.Generator) -> dict[str, float]:
    times, causes = draw(point, generator)
    flags = covered(times, causes, point.rates[0])
    for i in range(3):
        assert public(times[i], causes[i], point.rates[0]) == flags["published"][i], (point, i)
    return {name: float(f.mean()) if len(f) else 1.0 for name, f in flags.items()}


def below_floor(points: Iterable[Point], seed: int) -> list[tuple[float, Point]]:
    generator = np.random.default_rng(seed)
    measured = [(coverage(point, generator)["published"], point) for point in points]
    return [(c, point) for c, point in measured if c < FLOOR]


def test_cumulative_incidence_covers_where_the_usual_limits_fail() -> None:
    for n in (5, 20, 50):
        assert below_floor(small_grid(n), seed=51) == []
    generator = np.random.default_rng(52)
    usual = coverage(Point(50, (0.02, 0.3), "late", 0.6, "early"), generator)["log(-log)"]
    assert usual < FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 15, 20, 25, 30, 50, 100, 200])
def test_cumulative_incidence_covers_everywhere(n: int) -> None:
    assert below_floor(grid(n), seed=500 + n) == []


@pytest.mark.slow
@pytest.mark.parametrize("n", [500, 1_000])
def test_cumulative_incidence_covers_with_many_units(n: int) -> None:
    assert below_floor(grid(n, cuts=(0.6,)), seed=500 + n) == []


def tied_coverage(n: int, rate: float, cut: float, replicates: int, seed: int) -> float:
    """Times in whole actions, five of them, with cuts at the times of events."""
    generator = np.random.default_rng(seed)
    hits = 0
    for _ in range(replicates):
        u = generator.random(n)
        cause = np.where(u < rate, 1, np.where(u < rate + (1 - rate) / 2, 2, 0))
        time = np.where(cause == 0, 99, generator.integers(1, 6, n))
        end = np.where(generator.random(n) < cut, generator.integers(1, 6, n), 6)
        seen = np.where(time <= end, cause, 0)
        hits += public(np.minimum(time, end) / 6, seen, rate)
    return hits / replicates


def test_ties_do_not_spoil_the_coverage() -> None:
    assert tied_coverage(40, 0.4, 0.3, 250, seed=53) >= FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 100])
@pytest.mark.parametrize("rate", [0.1, 0.4, 0.8])
def test_ties_do_not_spoil_the_coverage_anywhere(n: int, rate: float) -> None:
    for cut in (0.2, 0.5):
        assert tied_coverage(n, rate, cut, REPLICATES, seed=54 + n) >= FLOOR


# Episodes that share a seed ---------------------------------------------------------------------


def clustered(
    seeds: int, episodes: int, rate: float, icc: float, cut: float, seed: int
) -> tuple[float, float]:
    """Coverage with clusters given, and when the episodes are taken as independent."""
    generator = np.random.default_rng(seed)
    total = 1 / icc - 1
    theta: Floats
    if icc == 1:
        theta = (generator.random((REPLICATES, seeds, 1)) < rate) * 1.0
    else:
        theta = generator.beta(rate * total, (1 - rate) * total, (REPLICATES, seeds, 1))
    shape = (REPLICATES, seeds, episodes)
    cause = (generator.random(shape) < theta) * 1
    time = np.where(cause == 0, np.inf, generator.random(shape))
    end = np.where(generator.random(shape) < cut, generator.random(shape), 1.0)
    seen, stop = np.where(time <= end, cause, 0), np.minimum(time, end)
    lost = (seen == 0) & (stop < 1)
    m = np.full(REPLICATES, float(seeds))
    low = seen.mean(axis=2).sum(axis=1)
    flags = within(low, low + lost.mean(axis=2).sum(axis=1), m, rate)
    names = np.repeat(np.arange(seeds), episodes).tolist()
    for i in range(2):
        found = cumulative_incidence(
            stop[i].ravel().tolist(),
            [str(c) if c else None for c in seen[i].ravel()],
            horizon=1.0,
            names=("1",),
            clusters=names,
        ).of("1")
        if lost[i].any() and found.estimate is not None:
            assert contains(found.estimate, rate) == flags[i]
    flat = (REPLICATES, seeds * episodes)
    return float(flags.mean()), float(
        covered(stop.reshape(flat), seen.reshape(flat), rate)["published"].mean()
    )


CLUSTERED = list(product((5, 10, 20, 50), (2, 10), (0.05, 0.3, 0.8), (0.1, 0.5, 1.0), (0.05, 0.3)))


def test_episodes_of_a_seed_are_not_taken_as_independent() -> None:
    with_seeds, without = clustered(20, 10, 0.3, 0.5, 0.1, seed=61)
    assert with_seeds >= FLOOR
    assert without < 0.8


@pytest.mark.slow
def test_incidence_over_seeds_covers_everywhere() -> None:
    for i, point in enumerate(CLUSTERED):
        assert clustered(*point, seed=62 + i)[0] >= FLOOR, point


# The restricted mean, some cut short --------------------------------------------------------------


def mean_coverage(n: int, slow: float, cut: float, replicates: int, seed: int) -> float:
    """A share ``slow`` lasts beyond the horizon of 60, the rest one unit."""
    generator = np.random.default_rng(seed)
    truth, hits = slow * 60 + (1 - slow), 0
    for _ in range(replicates):
        time = np.where(generator.random(n) < slow, 61.0, 1.0)
        end = np.where(generator.random(n) < cut, 60 * generator.random(n), 61.0)
        seen = time <= end
        curve = kaplan_meier(np.minimum(time, end).tolist(), seen.tolist(), horizon=60.0)
        hits += curve.restricted_mean is None or contains(curve.restricted_mean, truth)
    return hits / replicates


def test_restricted_means_cover_when_some_are_cut_short() -> None:
    assert mean_coverage(20, 0.1, 0.3, 400, seed=81) >= FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 20, 50, 100])
@pytest.mark.parametrize("slow", [0.04, 0.3, 0.9])
def test_restricted_means_cover_everywhere(n: int, slow: float) -> None:
    for cut in (0.1, 0.5):
        assert mean_coverage(n, slow, cut, REPLICATES, seed=82 + n) >= FLOOR, cut


# The size of the log-rank test ------------------------------------------------------------------

Sized = tuple[int, int, float, float]
DRAWS = 999
# Reached with few units that are not cut against many that are; elsewhere it is 6 %.
LARGEST_SIZE = 0.08
SIZED: list[Sized] = [
    (a, b, *cuts)
    for (a, b), cuts in product(
        ((5, 5), (5, 20), (10, 10), (10, 40), (20, 20), (50, 50), (20, 200)),
        ((0.0, 0.0), (0.5, 0.5), (0.0, 0.6), (0.6, 0.0)),
    )
]


def sizes(a: int, b: int, cut_a: float, cut_b: float, seed: int) -> tuple[float, float, float]:
    """Share rejected at 5 % without a difference: as published, by permutation, by chi-square."""
    generator = np.random.default_rng(seed)
    n = a + b
    first = np.arange(n) < a
    time = generator.exponential(1.0, (REPLICATES, n))
    share = np.where(first, cut_a, cut_b)
    with np.errstate(divide="ignore"):
        end = generator.exponential(1.0, (REPLICATES, n)) * np.where(
            share > 0, (1 - share) / np.maximum(share, 1e-9), np.inf
        )
    seen, stop = time <= end, np.minimum(time, end)
    order = np.argsort(stop, axis=1)
    event, own = np.take_along_axis(seen, order, 1), first[order]
    at_risk = n - np.arange(n)
    own_at_risk = own[:, ::-1].cumsum(axis=1)[:, ::-1]
    fraction = own_at_risk / at_risk
    excess = (event * (own - fraction)).sum(axis=1)
    variance = (event * fraction * (1 - fraction)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        chi_square = np.where(variance > 0, excess**2 / variance, 0.0)
    scores: Floats = event - np.cumsum(event / at_risk, axis=1)
    observed = np.abs((scores * own).sum(axis=1))
    hits = np.zeros(REPLICATES)
    for start in range(0, REPLICATES, 100):
        # A set of drawn assignments serves a hundred replicates, whose scores differ.
        drawn = (np.argsort(generator.random((DRAWS, n)), axis=1) < a).T.astype(np.float64)
        part = slice(start, start + 100)
        sums = np.abs(scores[part] @ drawn)
        hits[part] = (sums >= observed[part, None] - 1e-9).sum(axis=1)
    p = (1 + hits) / (1 + DRAWS)
    for i in range(2):
        test = log_rank(stop[i, :a].tolist(), seen[i, :a], stop[i, a:].tolist(), seen[i, a:])
        if test.chi_square is not None:
            assert test.chi_square == pytest.approx(chi_square[i])
            assert test.p_permutation == pytest.approx(p[i], abs=0.07)
    permuted, chi = p <= 0.05, chi_square >= 3.8415
    return float((permuted & chi).mean()), float(permuted.mean()), float(chi.mean())


def test_the_log_rank_test_keeps_its_size() -> None:
    published, _, chi_square = sizes(5, 5, 0.0, 0.0, seed=71)
    assert published < 0.06 < chi_square
    published, permuted, _ = sizes(10, 50, 0.0, 0.6, seed=72)
    assert published <= LARGEST_SIZE < permuted


@pytest.mark.slow
def test_the_log_rank_test_keeps_its_size_everywhere() -> None:
    for i, point in enumerate(SIZED):
        unlike = point[0] < point[1] and point[2] < point[3]
        assert sizes(*point, seed=73 + i)[0] <= (LARGEST_SIZE if unlike else 0.065), point


# The tables of the documentation ----------------------------------------------------------------


def _tables(write: Callable[[str], object]) -> None:
    generator = np.random.default_rng(2026)
    names = ("published", "both ways", "log(-log)")
    write("| n | points | " + " | ".join(names) + " | worst point of the published one |\n")
    write("|---:|---:|" + "---:|" * len(names) + "---|\n")
    for n in (5, 10, 15, 20, 25, 30, 50, 100, 200, 500, 1_000):
        points = list(grid(n, (0.1, 0.3, 0.6) if n <= 200 else (0.6,)))
        found = [coverage(point, generator) for point in points]
        cells = " | ".join(
            f"{min(f[name] for f in found) * 100:.1f} "
            f"({sum(f[name] for f in found) / len(found) * 100:.1f})"
            for name in names
        )
        at = points[int(np.argmin([f["published"] for f in found]))]
        write(
            f"| {n} | {len(points)} | {cells} | {at.rates[0]:g} against {at.rates[1]:g}, "
            f"{at.events}; {at.cut:g} cut, {at.cuts} |\n"
        )
    write("\n| seeds | points | clusters given | taken as independent |\n|---:|---:|---:|---:|\n")
    for seeds in (5, 10, 20, 50):
        points_here = [point for point in CLUSTERED if point[0] == seeds]
        both = [clustered(*point, seed=i) for i, point in enumerate(points_here)]
        shown = " | ".join(f"{min(c) * 100:.1f}" for c in zip(*both, strict=True))
        write(f"| {seeds} | {len(both)} | {shown} |\n")
    write("\n| units | cuts | published | permutation | chi-square |\n|---|---|---:|---:|---:|\n")
    for i, sized in enumerate(SIZED):
        rejected = " | ".join(f"{share * 100:.1f}" for share in sizes(*sized, seed=i))
        a, b, cut_a, cut_b = sized
        write(f"| {a} and {b} | {cut_a * 100:.0f} % and {cut_b * 100:.0f} % | {rejected} |\n")


if __name__ == "__main__":
    _tables(sys.stdout.write)
