"""Do intervals of paired changes cover, where a score interval of the pairs does not?

Run as a program, this prints the table of the documentation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from custodes.statistics import paired_change
from custodes.statistics._equivalence import gaffke_tail
from custodes.statistics._paired_change import (
    LEAST_CHANGE_CLUSTERS,
    MOST_CHANGE_CLUSTERS,
)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

REPLICATES = 2_000
FLOOR = 0.935
TAIL = 0.025
Z = 1.959963984540054
RATES = (0.01, 0.2, 0.9)
CLUSTERS = (2, 3, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Point:
    """One set of assumptions.

    Attributes:
        a, b: rate of yes in either setting, over clusters.
        spread: how clusters' rates vary: 0 for always or never, large for hardly.
        shared: share of clusters that are decided alike in both settings.
        sizes: pairs of the clusters, repeated as often as it takes.
    """

    clusters: int
    sizes: tuple[int, ...]
    spread: float
    a: float
    b: float
    shared: float


def points(clusters: Iterable[int]) -> Iterator[Point]:
    sizes = ((1,), (2,), (5,), (1, 2, 20))
    for m, size, spread, a, b in product(clusters, sizes, (0.0, 0.3, 50.0), RATES, RATES):
        if a > b:
            continue  # the mirror of another point
        for shared in (0.0, 0.7, 1.0) if spread == 0 else (0.0,):
            yield Point(m, size, spread, a, b, shared)


def draw(point: Point, seed: int, replicates: int = REPLICATES) -> tuple[Flags, Flags, Flags]:
    """Answers in A and in B by replicate, cluster and pair, and which pairs there are."""
    generator = np.random.default_rng(seed)
    shape = (replicates, point.clusters)
    if point.spread == 0:
        u = generator.random(shape)
        v = np.where(generator.random(shape) < point.shared, u, generator.random(shape))
        rate_a, rate_b = (u < point.a) * 1.0, (v < point.b) * 1.0
    else:
        s = point.spread
        rate_a = generator.beta(point.a * s, (1 - point.a) * s, shape)
        rate_b = generator.beta(point.b * s, (1 - point.b) * s, shape)
    each = max(point.sizes)
    sizes = np.resize(np.array(point.sizes), point.clusters)
    there = np.broadcast_to(np.arange(each) < sizes[:, None], (*shape, each))
    a = (generator.random((*shape, each)) < rate_a[..., None]) & there
    b = (generator.random((*shape, each)) < rate_b[..., None]) & there
    return a, b, there


def gaffke_covers(changes: Floats, truth: float) -> Flags:
    """Whether the interval holds the truth, by replicate: both tests at once, not inverted."""
    held = np.ones(len(changes), dtype=np.bool_)
    for sign in (1, -1):
        values = np.unique(np.append(sign * changes, 1.0))
        counts = np.stack([np.isclose(sign * changes, v).sum(axis=1) for v in values], axis=1)
        counts[:, -1] += 1  # the extra unit at the worst end
        rows, back = np.unique(counts, axis=0, return_inverse=True)
        tail = gaffke_tail(np.tile(values, (len(rows), 1)), sign * truth, rows.astype(np.float64))
        held &= (tail >= TAIL - 1e-9)[back.reshape(-1)]
    return held


def tango_covers(a: Flags, b: Flags, there: Flags, truth: float) -> Flags:
    """Tango's score interval of the pairs, as if they were independent."""
    n = there[0].sum()
    gain = (b & ~a & there).sum(axis=(1, 2)).astype(np.float64)
    loss = (a & ~b & there).sum(axis=(1, 2)).astype(np.float64)
    linear = -gain - loss + (2 * n - gain + loss) * truth
    free = -loss * truth * (1 - truth)
    q = (np.sqrt(np.maximum(linear**2 - 8 * n * free, 0)) - linear) / (4 * n)
    spread = np.maximum(n * (2 * q + truth * (1 - truth)), 1e-12)
    held: Flags = np.abs(gain - loss - n * truth) <= Z * np.sqrt(spread) + 1e-9
    return held


def coverage(point: Point, seed: int) -> tuple[float, float]:
    """Of the published interval, and of the score interval of the pairs."""
    a, b, there = draw(point, seed)
    truth = point.b - point.a
    changes = (b.sum(axis=2) - a.sum(axis=2, dtype=np.int64)) / there.sum(axis=2)
    held = gaffke_covers(changes, truth)
    result = paired_change(
        {
            i: [(bool(x), bool(y)) for x, y, t in zip(*rows, strict=True) if t]
            for i, rows in enumerate(zip(a[0], b[0], there[0], strict=True))
        }
    ).estimate
    assert result.low is not None and result.high is not None
    assert (result.low - 1e-9 <= truth <= result.high + 1e-9) == held[0], (point, result)
    return float(held.mean()), float(tango_covers(a, b, there, truth).mean())


def test_changes_cover_at_the_worst_points_found() -> None:
    for i, (m, size, spread) in enumerate(product((2, 20), ((1,), (2,)), (0.0, 0.3))):
        point = Point(m, size, spread, 0.2, 0.9, 0.0)
        assert coverage(point, i)[0] >= FLOOR, point


def test_the_simulation_can_tell_an_interval_that_does_not_cover() -> None:
    point = Point(20, (5,), 0.3, 0.2, 0.5, 0.0)
    ours, tango = coverage(point, 7)
    assert ours >= FLOOR
    assert tango < 0.8, "pairs of one cluster are not independent"


def test_the_region_that_is_claimed_is_the_one_that_was_simulated() -> None:
    assert (min(CLUSTERS), max(CLUSTERS)) == (LEAST_CHANGE_CLUSTERS, MOST_CHANGE_CLUSTERS)


@pytest.mark.slow
@pytest.mark.parametrize("clusters", CLUSTERS)
def test_changes_cover_everywhere_in_the_region(clusters: int) -> None:
    for i, point in enumerate(points((clusters,))):
        assert coverage(point, 1000 * clusters + i)[0] >= FLOOR, point


def _table(write: Callable[[str], object], clusters: Iterable[int]) -> None:
    write("| clusters | points | published | mean | Tango, one pair each | Tango, several |\n")
    write("|---:|---:|---:|---:|---:|---:|\n")
    for m in clusters:
        every = list(points((m,)))
        found = [coverage(point, 1000 * m + i) for i, point in enumerate(every)]
        ours = [x for x, _ in found]
        single = [t for (_, t), p in zip(found, every, strict=True) if p.sizes == (1,)]
        several = [t for (_, t), p in zip(found, every, strict=True) if p.sizes != (1,)]
        write(
            f"| {m} | {len(every)} | {100 * min(ours):.1f} | {100 * np.mean(ours):.1f} | "
            f"{100 * min(single):.1f} | {100 * min(several):.1f} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    _table(sys.stdout.write, [int(x) for x in sys.argv[1:]] or CLUSTERS)
