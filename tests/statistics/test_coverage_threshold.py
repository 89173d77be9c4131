"""Does a threshold keep its false-alarm rate, and do its bounds hold? By simulation.

Run as a program, this prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, ndtri

from custodes.statistics._operating import operating_point
from custodes.statistics._realised import (
    cut_ranks,
    realised_bound,
    realised_bound_without_ties,
)
from custodes.statistics._threshold import calibrate, draw_for

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

REPLICATES = 2_000
FLOOR = 0.935
FPRS = (0.01, 0.05, 0.1, 0.2)
SIZES = (5, 10, 20, 50, 100, 200, 500)

# Chances of the scores that a benign run can have, highest score first.
TIES: dict[str, tuple[float, ...]] = {
    "all equal": (1.0,),
    "two values, 1 : 1": (0.5, 0.5),
    "two values, 1 : 4": (0.2, 0.8),
    "two values, 1 : 9": (0.1, 0.9),
    "two values, 1 : 99": (0.01, 0.99),
    "heavy top": (0.6, *(0.05,) * 8),
    "heavy bottom": (*(0.01,) * 5, 0.95),
    "ten values": (0.1,) * 10,
    "0 to 100": (1 / 101,) * 101,
    "0 to 100, mostly low": tuple(
        (0.95**i - 0.95 ** (i + 1)) / (1 - 0.95**101) for i in reversed(range(101))
    ),
}
PATTERNS = ("continuous", "clustered", "clustered, sizes follow scores", *TIES)


def split(n: int, fpr: float) -> tuple[float, int, float]:
    """fpr (n + 1), its whole part and the rest."""
    allowed = Fraction(repr(fpr)) * (n + 1)
    return float(allowed), math.floor(allowed), float(allowed % 1)


def passed(n: int, replicates: int, generator: np.random.Generator) -> Floats:
    """Chance that a new run passes the k-th highest of n continuous scores, k = 0 .. n + 1."""
    inner = np.sort(generator.random((replicates, n)), axis=1)
    edges = np.zeros((replicates, 1)), np.ones((replicates, 1))
    return np.hstack([edges[0], inner, edges[1]])


def clustered_scores(
    n: int,
    runs: int,
    icc: float,
    informative: bool,
    replicates: int,
    generator: np.random.Generator,
) -> tuple[Floats, Ints]:
    """Uniform scores of n clusters of up to ``runs``, and the clusters' sizes."""
    shared = generator.standard_normal((replicates, n, 1))
    own = generator.standard_normal((replicates, n, runs))
    scores = ndtr(math.sqrt(icc) * shared + math.sqrt(1 - icc) * own)
    sizes = np.full((replicates, n), runs)
    if informative:
        sizes = np.where(shared[..., 0] > 0, runs, 1)
    return scores, sizes


def realised(
    pattern: str, n: int, fpr: float, replicates: int, generator: np.random.Generator
) -> Floats:
    """The false-alarm rate over all new benign runs, of each simulated calibration."""
    allowed, r, f = split(n, fpr)
    if pattern == "continuous":
        s = passed(n, replicates, generator)
        mixed: Floats = (1 - f) * s[:, r] + f * s[:, r + 1]
        return mixed
    if pattern in TIES:
        chances = np.array(TIES[pattern])
        counts = generator.multinomial(n, chances, replicates)
    else:
        informative = pattern.endswith("sizes follow scores")
        scores, sizes = clustered_scores(n, 4, 0.6, informative, replicates, generator)
        picks = (generator.random((replicates, n)) * sizes).astype(np.int64)
        drawn = np.take_along_axis(scores, picks[..., None], axis=2)[..., 0]
        # Twenty distinct scores, each as likely for a run of a new cluster.
        chances = np.full(20, 1 / 20)
        level = np.minimum((drawn * 20).astype(np.int64), 19)
        counts = np.stack([(level == k).sum(axis=1) for k in reversed(range(20))], axis=1)
    above = np.cumsum(counts, axis=1) - counts
    flagged: Floats = np.clip((allowed - above) / (1 + counts), 0, 1) @ chances
    return flagged


@dataclass(frozen=True)
class Cell:
    pattern: str
    n: int
    fpr: float
    mean: float
    error: float
    held: float
    held_without_ties: float

    @property
    def deviations(self) -> float:
        return (self.mean - self.fpr) / max(self.error, 1e-12)


def simulate(pattern: str, n: int, fpr: float, replicates: int, seed: int) -> Cell:
    generator = np.random.default_rng([seed, PATTERNS.index(pattern), n, round(1000 * fpr)])
    rates = realised(pattern, n, fpr, replicates, generator)
    share = Fraction(repr(fpr))
    return Cell(
        pattern,
        n,
        fpr,
        float(rates.mean()),
        float(rates.std() / math.sqrt(replicates)),
        float((rates <= realised_bound(n, share, 0.95) + 1e-12).mean()),
        float((rates <= realised_bound_without_ties(n, share, 0.95) + 1e-12).mean()),
    )


def cells(
    patterns: Iterable[str], sizes: Iterable[int], fprs: Iterable[float], replicates: int, seed: int
) -> Iterator[Cell]:
    for pattern, n, fpr in product(patterns, sizes, fprs):
        yield simulate(pattern, n, fpr, replicates, seed)


def check(cell: Cell) -> None:
    # 364 cells: a standard score beyond 4.2 has a chance of 1 % in all of them together.
    assert abs(cell.deviations) < 4.2, cell
    assert cell.held >= FLOOR, cell
    if cell.pattern == "continuous":
        assert cell.held_without_ties >= FLOOR, cell


# The mean rate and the realised rate ----------------------------------------------------------


def test_new_benign_runs_are_flagged_at_the_rate_asked_for() -> None:
    for cell in cells(PATTERNS, (5, 20, 100), (0.01, 0.1), REPLICATES, seed=1):
        check(cell)


@pytest.mark.slow
@pytest.mark.parametrize("pattern", PATTERNS)
def test_new_benign_runs_are_flagged_at_the_rate_asked_for_everywhere(pattern: str) -> None:
    for cell in cells((pattern,), SIZES, FPRS, 10_000, seed=2):
        check(cell)


def test_the_simulation_is_of_the_published_rule() -> None:
    """The formula simulated gives, for the same calibration, the chances of the public one."""
    generator = np.random.default_rng(3)
    for pattern, n, fpr in product(("ten values", "heavy top"), (5, 50), FPRS):
        chances = np.array(TIES[pattern])
        values = np.linspace(1, 0, len(chances))
        counts = generator.multinomial(n, chances)
        above = np.cumsum(counts) - counts
        expected = np.clip((split(n, fpr)[0] - above) / (1 + counts), 0, 1)
        threshold = calibrate(np.repeat(values, counts).tolist(), fpr=fpr)
        assert [threshold.chance(v) for v in values.tolist()] == pytest.approx(expected.tolist())


def test_flags_of_new_runs_by_the_kept_draws() -> None:
    generator = np.random.default_rng(4)
    for n, fpr in ((5, 0.1), (20, 0.05)):
        flagged = 0
        for i in range(REPLICATES):
            scores = (np.round(generator.random(n + 2) * 8) / 8).tolist()
            threshold = calibrate(scores[:n], fpr=fpr, seed=i)
            flagged += sum(
                threshold.flags(score, draw_for(i, f"new {j}")) is True
                for j, score in enumerate(scores[n:])
            )
        share = flagged / (2 * REPLICATES)
        # The two new runs share a calibration: at worst they count as one.
        assert share == pytest.approx(fpr, abs=4 * math.sqrt(fpr * (1 - fpr) / REPLICATES))


def rates_over_clusters(
    clusters: int, runs: int, icc: float, fpr: float, replicates: int, pool: bool
) -> Floats:
    """Rates that the public function realises for a run of a new cluster."""
    generator = np.random.default_rng(5)
    scores, _ = clustered_scores(clusters, runs, icc, False, replicates, generator)
    labels = None if pool else [c for c in range(clusters) for _ in range(runs)]
    rates = []
    for i in range(replicates):
        threshold = calibrate(scores[i].ravel().tolist(), fpr=fpr, clusters=labels, seed=i)
        certain, hopeless = threshold.cut.certain_above, threshold.cut.never_below
        certain = 1.0 if certain is None else certain
        hopeless = 0.0 if hopeless is None else hopeless
        # Scores are uniform, and continuous between the two ends of the cut.
        middle = threshold.chance((certain + hopeless) / 2) if certain > hopeless else 0.0
        rates.append((1 - certain) + (certain - hopeless) * (middle or 0.0))
    return np.array(rates)


def test_one_run_of_each_cluster_keeps_the_rate_and_pooled_runs_do_not() -> None:
    rates = rates_over_clusters(10, 10, 0.9, 0.02, 1_000, pool=False)
    assert rates.mean() == pytest.approx(0.02, abs=4 * rates.std() / math.sqrt(1_000))
    pooled = rates_over_clusters(10, 10, 0.9, 0.02, 1_000, pool=True)
    assert pooled.mean() > 0.04


def in_sample(n: int, fpr: float) -> float:
    """Mean rate of the lowest threshold that at most a share fpr of the n runs passes."""
    return (math.floor(Fraction(repr(fpr)) * n) + 1) / (n + 1)


def test_thresholds_counted_in_sample_flag_more_than_they_say() -> None:
    generator = np.random.default_rng(6)
    for n, expected in ((10, 0.0909), (100, 0.0198)):
        s = passed(n, 20_000, generator)
        rate = s[:, math.floor(0.01 * n) + 1].mean()
        assert in_sample(n, 0.01) == pytest.approx(expected, abs=1e-4)
        assert rate == pytest.approx(expected, abs=2e-3)
        assert rate > 1.9 * 0.01


def test_ties_break_the_bound_for_continuous_scores() -> None:
    cell = simulate("two values, 1 : 4", 10, 0.05, 10_000, seed=7)
    assert cell.held >= FLOOR
    # All ten have the lower score, as 11 % of calibrations do: 0.8^10.
    assert cell.held_without_ties == pytest.approx(1 - 0.8**10, abs=0.015)


# The rate of positives at the cut that truly has the rate ---------------------------------------


@dataclass(frozen=True)
class Point:
    n: int
    fpr: float
    clusters: int
    sizes: tuple[int, ...]
    icc: float
    shift: float
    step: float

    @property
    def truth(self) -> float:
        """Share of positives flagged by the cut that exactly fpr of benign runs pass."""
        if self.step == 0:
            return float(ndtr(self.shift + ndtri(self.fpr)))
        grid = np.arange(-24, 24) * self.step
        benign = ndtr(grid + self.step) - ndtr(grid)
        positive = ndtr(grid + self.step - self.shift) - ndtr(grid - self.shift)
        above = 1 - ndtr(grid + self.step)
        # Far out a benign run never comes: the chance there is 0 or 1, by the sign above it.
        share = (self.fpr - above) / np.maximum(benign, 1e-300)
        return float(np.clip(share, 0, 1) @ positive)


def at_rate_coverage(point: Point, seed: int) -> float:
    generator = np.random.default_rng(seed)
    benign = generator.standard_normal((REPLICATES, point.n))
    sizes = np.resize(point.sizes, point.clusters)
    shared = generator.standard_normal((REPLICATES, point.clusters, 1))
    own = generator.standard_normal((REPLICATES, point.clusters, int(sizes.max())))
    positives = point.shift + math.sqrt(point.icc) * shared + math.sqrt(1 - point.icc) * own
    if point.step:
        benign = np.clip(np.floor(benign / point.step), -24, 23) * point.step
        positives = np.clip(np.floor(positives / point.step), -24, 23) * point.step
    inside = np.arange(sizes.max()) < sizes[:, None]
    ranked = np.sort(benign, axis=1)[:, ::-1]
    high_rank, low_rank = cut_ranks(point.n, point.fpr, 0.025)
    cut_high = ranked[:, high_rank - 1, None, None]
    cut_low = ranked[:, low_rank - 1, None, None]
    m = float(point.clusters)
    surely = ((positives > cut_high) & inside).sum(axis=2) / sizes
    perhaps = ((positives >= cut_low) & inside).sum(axis=2) / sizes
    x, y = surely.sum(axis=1), perhaps.sum(axis=1)
    low = np.where(x <= 0, 0, betaincinv(np.maximum(x, 1e-300), m - x + 1, 0.025))
    high = np.where(y >= m, 1, betaincinv(y + 1, np.maximum(m - y, 1e-300), 0.975))
    flags = (low <= point.truth) & (point.truth <= high)
    for i in range(2):
        labels = np.repeat(np.arange(point.clusters), sizes)
        found = operating_point(
            calibrate(ndtr(benign[i]).tolist(), fpr=point.fpr),
            ndtr(positives[i][inside]).tolist(),
            [],
            positive_keys=[f"run {j}" for j in range(len(labels))],
            benign_keys=[],
            positive_clusters=labels.tolist(),
        ).tpr_at_rate
        assert found is not None and found.low is not None and found.high is not None
        assert (found.low <= point.truth <= found.high) == flags[i], (point, found)
    return float(flags.mean())


def at_rate_grid(
    pairs: Iterable[tuple[int, float]], clusters: Iterable[int], shifts: Iterable[float]
) -> Iterator[Point]:
    for (n, fpr), m, sizes, shift, step in product(
        pairs, clusters, ((1,), (5,), (1, 20)), shifts, (0.0, 0.5)
    ):
        for icc in (0.0,) if sizes == (1,) else (0.0, 1.0):
            yield Point(n, fpr, m, sizes, icc, shift, step)


PAIRS = ((50, 0.2), (100, 0.1), (500, 0.1), (200, 0.05), (1_000, 0.01), (2_000, 0.05))
SHIFTS = (0.0, 1.0, 2.5, 5.0)
CLUSTERS = (2, 5, 20, 200)


def test_rates_at_fpr_cover() -> None:
    points = [p for p in at_rate_grid(((100, 0.1),), (5, 20), (0.0, 2.0)) if p.sizes != (5,)]
    for i, point in enumerate(points):
        assert at_rate_coverage(point, seed=100 + i) >= FLOOR, point


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_rates_at_fpr_cover_everywhere(pair: tuple[int, float]) -> None:
    for i, point in enumerate(at_rate_grid((pair,), CLUSTERS, SHIFTS)):
        assert at_rate_coverage(point, seed=1_000 + i) >= FLOOR, point


def test_the_interval_of_the_cut_covers() -> None:
    generator = np.random.default_rng(9)
    for n, fpr in ((50, 0.2), (200, 0.05), (1_000, 0.01)):
        s = passed(n, 10_000, generator)
        high_rank, low_rank = cut_ranks(n, fpr, 0.025)
        held = (s[:, high_rank] <= fpr) & (fpr <= s[:, low_rank])
        assert held.mean() >= 0.945


# The tables of the documentation --------------------------------------------------------------


def _tables(write: Callable[[str], object]) -> None:
    replicates = 10_000
    write("| n | " + " | ".join(f"{100 * f:g} %" for f in FPRS) + " | furthest |")
    write(" " + " | ".join(f"in-sample, {100 * f:g} %" for f in FPRS) + " |\n")
    write("|---:|" + "---:|" * (2 * len(FPRS) + 1) + "\n")
    found = list(cells(PATTERNS, SIZES, FPRS, replicates, seed=2026))
    for n in SIZES:
        row = []
        for fpr in FPRS:
            means = [100 * c.mean for c in found if (c.n, c.fpr) == (n, fpr)]
            row.append(f"{min(means):.2f} to {max(means):.2f}")
        furthest = max(abs(c.deviations) for c in found if c.n == n)
        naive = [f"{100 * in_sample(n, fpr):.1f}" for fpr in FPRS]
        write(f"| {n} | " + " | ".join(row) + f" | {furthest:.1f} | " + " | ".join(naive) + " |\n")
    write("\n| pattern | mean, furthest | bound held | bound without ties held |\n")
    write("|---|---:|---:|---:|\n")
    for pattern in PATTERNS:
        own = [c for c in found if c.pattern == pattern]
        furthest = max((c.deviations for c in own), key=abs)
        held = min(c.held for c in own)
        without = min(c.held_without_ties for c in own)
        write(f"| {pattern} | {furthest:+.1f} | {100 * held:.1f} | {100 * without:.1f} |\n")
    write("\n| clusters | runs of each | correlation | one run of each | pooled |\n")
    write("|---:|---:|---:|---:|---:|\n")
    for clusters, runs, icc in ((10, 10, 0.3), (10, 10, 0.9), (50, 10, 0.9), (10, 50, 1.0)):
        means = [
            100 * rates_over_clusters(clusters, runs, icc, 0.02, 1_000, pool=pool).mean()
            for pool in (False, True)
        ]
        write(f"| {clusters} | {runs} | {icc:g} | {means[0]:.1f} | {means[1]:.1f} |\n")
    write("\n| n | fpr | points | lowest | mean | worst point |\n|---:|---:|---:|---:|---:|---|\n")
    for pair in PAIRS:
        points = list(at_rate_grid((pair,), CLUSTERS, SHIFTS))
        shares = [at_rate_coverage(point, seed=1_000 + i) for i, point in enumerate(points)]
        worst = points[int(np.argmin(shares))]
        sizes = " and ".join(map(str, worst.sizes))
        write(
            f"| {pair[0]} | {pair[1]:g} | {len(points)} | {100 * min(shares):.1f} | "
            f"{100 * float(np.mean(shares)):.1f} | {worst.clusters} clusters of {sizes}, "
            f"correlation {worst.icc:g}, rate {worst.truth:.2f} |\n"
        )


if __name__ == "__main__":
    _tables(sys.stdout.write)
