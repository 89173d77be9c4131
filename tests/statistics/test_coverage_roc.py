"""Do the intervals of areas under ROC curves, and of the bootstrap, cover?

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
from scipy.special import expit, logit, ndtr, ndtri
from scipy.stats import rankdata

from custodes.statistics._bootstrap import clustered_bootstrap
from custodes.statistics._partial_roc import partial_auroc
from custodes.statistics._roc import auroc
from custodes.types import Estimate

Floats = NDArray[np.floating]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]

REPLICATES = 2_000
FLOOR = 0.935
SLACK = 1e-9
"""The true area of a distribution on a few values is met exactly, but for rounding."""


def covers(estimate: Estimate, truth: float) -> bool:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low - SLACK <= truth <= estimate.high + SLACK


# Independent scores ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Family:
    """How positives and negatives score, and the true area."""

    positive: Draw
    negative: Draw
    area: float


def normal(area: float, spread: float) -> Family:
    shift = float(ndtri(area)) * math.sqrt(1 + spread**2)
    return Family(
        lambda g, n: g.standard_normal(n) * spread + shift,
        lambda g, n: g.standard_normal(n),
        area,
    )


def skewed(area: float) -> Family:
    power = (1 - area) / area
    return Family(lambda g, n: g.random(n) ** power, lambda g, n: g.random(n), area)


def missed(area: float) -> Family:
    """Some positives score below every negative, the rest above."""
    return Family(
        lambda g, n: np.where(g.random(n) < area, 2.0, -1.0) + g.random(n) / 2,
        lambda g, n: g.random(n),
        area,
    )


def loud(area: float) -> Family:
    """Some negatives score above every positive, the rest below."""
    return Family(
        lambda g, n: g.random(n),
        lambda g, n: np.where(g.random(n) < area, -1.0, 2.0) + g.random(n) / 2,
        area,
    )


def flags(tpr: float, fpr: float) -> Family:
    """A monitor that says only yes or no."""
    return Family(
        lambda g, n: (g.random(n) < tpr) * 1.0,
        lambda g, n: (g.random(n) < fpr) * 1.0,
        0.5 + (tpr - fpr) / 2,
    )


def quiet_flags(area: float) -> Family:
    fpr = 0.5 if area == 0.5 else min(0.02, (1 - area) / 2)
    return flags(2 * area - 1 + fpr, fpr)


def eager_flags(area: float) -> Family:
    tpr = min(1.0, 0.99 if area < 0.99 else 0.995)
    return flags(tpr, tpr - 2 * area + 1)


def five_levels(area: float) -> Family:
    cuts = np.array([-0.5, 0.5, 1.0, 1.5])
    shift = float(ndtri(area)) * math.sqrt(2)
    p, q = (np.diff(ndtr([-math.inf, *(cuts - s), math.inf])) for s in (shift, 0.0))
    truth = sum(p[i] * (q[:i].sum() + q[i] / 2) for i in range(5))
    return Family(
        lambda g, n: np.searchsorted(cuts, g.standard_normal(n) + shift).astype(float),
        lambda g, n: np.searchsorted(cuts, g.standard_normal(n)).astype(float),
        float(truth),
    )


FAMILIES: dict[str, Callable[[float], Family]] = {
    "normal": lambda a: normal(a, 1.0),
    "normal, wide positives": lambda a: normal(a, 3.0),
    "normal, wide negatives": lambda a: normal(a, 1 / 3),
    "skewed": skewed,
    "some missed": missed,
    "some loud": loud,
    "yes or no, quiet": quiet_flags,
    "yes or no, eager": eager_flags,
    "five levels": five_levels,
}
AREAS = (0.5, 0.8, 0.95, 0.99)
COUNTS = (
    *((5, 5), (10, 10), (20, 20), (30, 30), (50, 50), (100, 100), (500, 500)),
    *((5, 50), (50, 5), (20, 500), (500, 20), (50, 500), (500, 50)),
)


def independent_coverage(
    family: Family, m: int, n: int, replicates: int, seed: int
) -> tuple[float, float, float]:
    """Coverage, that of DeLong's normal interval of the logit, and the mean width."""
    generator = np.random.default_rng(seed)
    positive = family.positive(generator, (replicates, m))
    negative = family.negative(generator, (replicates, n))
    labels = np.arange(m + n) < m
    hits, width = 0, 0.0
    for row in np.concatenate([positive, negative], axis=1):
        estimate = auroc(row, labels, scale=None).estimate
        hits += covers(estimate, family.area)
        width += (estimate.high or 0.0) - (estimate.low or 0.0)
    return hits / replicates, delong_logit(positive, negative, family.area), width / replicates


def delong_logit(positive: Floats, negative: Floats, truth: float) -> float:
    """Coverage of logit(A) +- 1.96 s; an area of 0 or 1 covers nothing but itself."""
    m, n = positive.shape[1], negative.shape[1]
    ranks = rankdata(np.concatenate([positive, negative], axis=1), axis=1)
    above = (ranks[:, :m] - rankdata(positive, axis=1)) / n
    below = 1 - (ranks[:, m:] - rankdata(negative, axis=1)) / m
    area = above.mean(axis=1)
    variance = above.var(axis=1, ddof=1) / m + below.var(axis=1, ddof=1) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        half = 1.959964 * np.sqrt(variance) / (area * (1 - area))
        low, high = expit(logit(area) - half), expit(logit(area) + half)
    inside = (low - SLACK <= truth) & (truth <= high + SLACK)
    return float(np.where((area > 0) & (area < 1), inside, area == truth).mean())


def test_areas_cover_where_the_interval_of_delong_does_not() -> None:
    worst = {
        ("normal, wide positives", 0.99, 100, 100): 0.9,
        ("yes or no, eager", 0.95, 20, 500): 0.92,
        ("five levels", 0.99, 500, 20): 0.85,
        ("some loud", 0.5, 30, 30): 1.0,
        ("normal", 0.8, 50, 50): 1.0,
    }
    for seed, ((name, area, m, n), delong) in enumerate(worst.items()):
        published, plain, _ = independent_coverage(FAMILIES[name](area), m, n, 500, seed)
        assert published >= FLOOR, (name, area, m, n)
        assert plain <= delong, (name, area, m, n)


def test_a_perfect_separation_is_covered_by_its_exact_bound() -> None:
    for m, n, area in ((2, 2, 0.16), (5, 5, 0.49), (10, 40, 0.7), (20, 20, 0.85)):
        # The hardest case: positives that are each above all negatives or below them all.
        family = missed(area)
        assert independent_coverage(family, m, n, 1_000, seed=m)[0] >= FLOOR, (m, n)


@pytest.mark.slow
@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_areas_cover_everywhere(counts: tuple[int, int]) -> None:
    for i, (name, area) in enumerate(product(FAMILIES, AREAS)):
        family = FAMILIES[name](area)
        coverage, _, _ = independent_coverage(family, *counts, REPLICATES, seed=1000 + i)
        assert coverage >= FLOOR, (counts, name, area)


# Clusters -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """Clusters of positives only, of negatives only, and of both; sizes of each in turn."""

    positive: int
    negative: int
    both: int
    sizes: tuple[int, ...]


LAYOUTS = {
    "3 + 3 of 6": Layout(3, 3, 0, (6,)),
    "10 mixed of 6": Layout(0, 0, 10, (6,)),
    "30 + 30 of 6": Layout(30, 30, 0, (6,)),
    "5 + 30, 5 mixed of 6": Layout(5, 30, 5, (6,)),
    "60 mixed of 1, 1, 2, 6": Layout(0, 0, 60, (1, 1, 2, 6)),
    "60 mixed of 1 x 4, 20": Layout(0, 0, 60, (1, 1, 1, 1, 20)),
    "60 + 60 of 1 x 4, 20": Layout(60, 60, 0, (1, 1, 1, 1, 20)),
    "100 mixed of 4": Layout(0, 0, 100, (4,)),
}
CLUSTERED = ("normal", "some missed", "some loud", "some missed, some loud")


@dataclass(frozen=True)
class Clustered:
    layout: str
    mixing: str
    correlation: float
    area: float
    opposed: bool
    """Whether what lifts a cluster's positives lowers its negatives."""


def clustered_grid(
    layouts: Iterable[str], correlations: Iterable[float] = (0.3, 1.0)
) -> Iterator[Clustered]:
    for layout, mixing, icc, area in product(layouts, CLUSTERED, correlations, (0.5, 0.8, 0.95)):
        yield Clustered(layout, mixing, icc, area, False)
        if icc and LAYOUTS[layout].both:
            yield Clustered(layout, mixing, icc, area, True)


def draw_clusters(
    point: Clustered, generator: np.random.Generator, layout: Layout | None = None
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    layout = layout or LAYOUTS[point.layout]
    count = layout.positive + layout.negative + layout.both
    sizes = np.resize(layout.sizes, count)
    cluster = np.repeat(np.arange(count), sizes)
    shared = generator.standard_normal(count)

    def latent(of: NDArray[np.int64], sign: int) -> Floats:
        own = generator.standard_normal(len(of))
        icc = point.correlation
        return math.sqrt(icc) * sign * shared[of] + math.sqrt(1 - icc) * own

    p_of = cluster[(cluster < layout.positive) | (cluster >= layout.positive + layout.negative)]
    n_of = cluster[cluster >= layout.positive]
    up, down = latent(p_of, 1), latent(n_of, -1 if point.opposed else 1)
    jitter_p, jitter_n = generator.random(len(p_of)) / 100, generator.random(len(n_of)) / 100
    if point.mixing == "normal":
        positive, negative = up + float(ndtri(point.area)) * math.sqrt(2), down
    else:
        at = point.area
        if point.mixing == "some missed, some loud":
            at = 1 - math.sqrt(1 - point.area)
        cut = float(ndtri(at))
        top = np.where(up < cut, 3.0, 1.0) if "missed" in point.mixing else np.full(len(up), 1.0)
        low = np.where(down < cut, 0.0, 2.0) if "loud" in point.mixing else np.full(len(down), 2.0)
        positive, negative = top + jitter_p, low + jitter_n
    return (
        np.concatenate([positive, negative]),
        np.arange(len(p_of) + len(n_of)) < len(p_of),
        np.concatenate([p_of, n_of]),
    )


def clustered_coverage(point: Clustered, replicates: int, seed: int) -> tuple[float, float]:
    """Coverage with the clusters given, and when they are passed over in silence."""
    generator = np.random.default_rng(seed)
    hits = naive = 0
    for i in range(replicates):
        scores, labels, clusters = draw_clusters(point, generator)
        estimate = auroc(scores, labels, clusters=clusters.tolist(), scale=None).estimate
        hits += covers(estimate, point.area)
        if i < 200:
            naive += covers(auroc(scores, labels, scale=None).estimate, point.area)
    return hits / replicates, naive / min(replicates, 200)


def test_clustered_areas_cover_where_ignoring_clusters_does_not() -> None:
    points = (
        Clustered("30 + 30 of 6", "some loud", 1.0, 0.5, False),
        Clustered("60 mixed of 1 x 4, 20", "some missed, some loud", 1.0, 0.8, True),
        Clustered("60 mixed of 1, 1, 2, 6", "some missed, some loud", 0.3, 0.5, False),
        Clustered("10 mixed of 6", "some missed, some loud", 1.0, 0.8, False),
    )
    for seed, point in enumerate(points):
        assert clustered_coverage(point, 400, seed)[0] >= FLOOR, point
    assert clustered_coverage(points[0], 400, seed=9)[1] < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_clustered_areas_cover_everywhere(layout: str) -> None:
    for i, point in enumerate(clustered_grid((layout,))):
        assert clustered_coverage(point, REPLICATES, seed=2000 + i)[0] >= FLOOR, point


# Partial areas --------------------------------------------------------------------------------


def narrow(area: float) -> Family:
    """Every positive at nearly one false-alarm rate, so that negatives alone decide."""
    return Family(
        lambda g, n: 1 - (1 - area) / 5 + 0.004 * g.random(n), lambda g, n: g.random(n), area
    )


def two_bands(area: float) -> Family:
    return Family(
        lambda g, n: np.where(g.random(n) < 0.5, 0.81, 0.81 + area / 6) + 0.004 * g.random(n),
        lambda g, n: g.random(n),
        area,
    )


PARTIAL = {**FAMILIES, "one band": narrow, "two bands": two_bands}
RIGHTS = (0.05, 0.2, 0.5)
PARTIAL_AREAS = (0.5, 0.9)
PARTIAL_COUNTS = ((10, 20), (30, 30), (50, 100), (100, 100), (50, 500), (500, 50))


def true_partial(family: Family, right: float) -> float:
    generator = np.random.default_rng(77)
    positive = family.positive(generator, (400_000,))
    negative = family.negative(generator, (400_000,))
    scores, labels = np.concatenate([positive, negative]), np.arange(800_000) < 400_000
    value = partial_auroc(scores, labels, max_fpr=right, scale=None).raw.value
    assert value is not None
    return value


def partial_coverage(
    family: Family, m: int, n: int, right: float, replicates: int, seed: int
) -> tuple[float, float]:
    """Coverage of the intervals shown, and the share of replicates that have one."""
    truth = true_partial(family, right)
    generator = np.random.default_rng(seed)
    positive = family.positive(generator, (replicates, m))
    negative = family.negative(generator, (replicates, n))
    labels = np.arange(m + n) < m
    hits = shown = 0
    # The truth is itself from a sample: 0.4 % of the largest area is five standard errors.
    slack = 0.004 * right
    for row in np.concatenate([positive, negative], axis=1):
        raw = partial_auroc(row, labels, max_fpr=right, scale=None).raw
        if raw.low is not None and raw.high is not None:
            shown += 1
            hits += raw.low - slack <= truth <= raw.high + slack
    return hits / max(shown, 1), shown / replicates


def test_partial_areas_cover() -> None:
    for seed, (name, area, m, n, right) in enumerate(
        (
            ("normal", 0.9, 50, 100, 0.2),
            ("some loud", 0.9, 50, 50, 0.2),
            ("one band", 0.5, 30, 30, 0.2),
            ("skewed", 0.8, 50, 200, 0.05),
        )
    ):
        family = PARTIAL[name](area)
        coverage, shown = partial_coverage(family, m, n, right, 400, seed)
        assert shown > 0.5
        assert coverage >= FLOOR, (name, area, m, n, right)


@pytest.mark.slow
@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize("counts", PARTIAL_COUNTS, ids=str)
def test_partial_areas_cover_everywhere(counts: tuple[int, int], right: float) -> None:
    for i, (name, area) in enumerate(product(PARTIAL, PARTIAL_AREAS)):
        coverage, shown = partial_coverage(
            PARTIAL[name](area), *counts, right, REPLICATES, seed=3000 + i
        )
        assert shown < 0.05 or coverage >= FLOOR, (counts, right, name, area)


def clustered_partial_coverage(
    point: Clustered, replicates: int, seed: int
) -> tuple[float, float]:
    """As `partial_coverage`, up to 0.2, where clusters hold several scores or both classes."""
    generator = np.random.default_rng(seed)
    apart = Layout(300_000, 300_000, 0, (1,))
    scores, labels, _ = draw_clusters(point, np.random.default_rng(78), apart)
    truth = partial_auroc(scores, labels, scale=None).raw.value
    assert truth is not None
    hits = shown = 0
    for _ in range(replicates):
        scores, labels, clusters = draw_clusters(point, generator)
        raw = partial_auroc(scores, labels, clusters=clusters.tolist(), scale=None).raw
        if raw.low is not None and raw.high is not None:
            shown += 1
            hits += raw.low - 0.0008 <= truth <= raw.high + 0.0008
    return hits / max(shown, 1), shown / replicates


def test_partial_areas_of_clusters_cover() -> None:
    point = Clustered("30 + 30 of 6", "normal", 0.3, 0.8, False)
    coverage, shown = clustered_partial_coverage(point, 200, seed=4)
    assert shown > 0.5
    assert coverage >= FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_partial_areas_of_clusters_cover_everywhere(layout: str) -> None:
    for i, point in enumerate(clustered_grid((layout,))):
        coverage, shown = clustered_partial_coverage(point, REPLICATES, seed=3500 + i)
        assert shown < 0.05 or coverage >= FLOOR, point


# The bootstrap --------------------------------------------------------------------------------

Sample = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def rates(rate: float, correlation: float) -> Sample:
    def sample(generator: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
        sizes = np.resize((1, 2, 3, 4, 5), clusters)
        if correlation == 0:
            theta = np.full(clusters, rate)
        else:
            shape = 1 / correlation - 1
            theta = generator.beta(rate * shape, (1 - rate) * shape, clusters)
        return generator.binomial(sizes, theta).astype(float), sizes.astype(float)

    return sample


def of_values(draw: Callable[[np.random.Generator, int], Floats]) -> Sample:
    return lambda generator, clusters: (draw(generator, clusters), np.ones(clusters))


def uneven(generator: np.random.Generator, clusters: int) -> tuple[Floats, Floats]:
    sizes = np.where(generator.random(clusters) < 0.9, 1, 20)
    # Large clusters differ from small ones, so the ratio moves with their number.
    hits = generator.binomial(sizes, np.where(sizes > 1, 0.2, 0.8))
    return hits.astype(float), sizes.astype(float)


SAMPLES: dict[str, tuple[Sample, float]] = {
    "rate 0.1": (rates(0.1, 0.0), 0.1),
    "rate 0.1, correlated": (rates(0.1, 0.3), 0.1),
    "rate 0.3, correlated": (rates(0.3, 0.3), 0.3),
    "normal": (of_values(lambda g, n: g.standard_normal(n)), 0.0),
    "exponential": (of_values(lambda g, n: g.exponential(1.0, n)), 1.0),
    "lognormal 0.5": (of_values(lambda g, n: g.lognormal(0.0, 0.5, n)), math.exp(0.125)),
    "lognormal 1": (of_values(lambda g, n: g.lognormal(0.0, 1.0, n)), math.exp(0.5)),
    "uneven": (uneven, (0.9 * 0.8 + 2 * 0.2) / 2.9),
}


BOOTSTRAP_CLUSTERS = (200, 400, 1_000)
OFTEN = 0.15
"""Where fewer samples have an interval, those that have one are a selection: see the docs."""


def bootstrap_coverage(name: str, clusters: int, replicates: int, seed: int) -> tuple[float, ...]:
    """Coverage of the intervals shown, share that has one, coverage of all plain percentiles."""
    sample, truth = SAMPLES[name]
    generator = np.random.default_rng(seed)
    hits = shown = plain = 0
    for i in range(replicates):
        above, below = sample(generator, clusters)
        found = clustered_bootstrap(
            above, range(clusters), denominators=below, replicates=500, seed=i
        )
        if found.estimate.low is not None:
            shown += 1
            hits += covers(found.estimate, truth)
        if found.percentile_low is not None and found.percentile_high is not None:
            plain += found.percentile_low <= truth <= found.percentile_high
    return hits / max(shown, 1), shown / replicates, plain / replicates


def test_the_bootstrap_covers() -> None:
    for name in ("normal", "rate 0.3, correlated"):
        coverage, shown, _ = bootstrap_coverage(name, 250, 200, seed=5)
        assert shown > 0.5
        assert coverage >= FLOOR, name


@pytest.mark.slow
@pytest.mark.parametrize("clusters", BOOTSTRAP_CLUSTERS)
@pytest.mark.parametrize("name", SAMPLES)
def test_the_bootstrap_covers_where_an_interval_is_shown(name: str, clusters: int) -> None:
    coverage, shown, _ = bootstrap_coverage(name, clusters, REPLICATES, seed=clusters)
    assert shown < OFTEN or coverage >= FLOOR


# The tables of the documentation --------------------------------------------------------------


def _independent_table(write: Callable[[str], object], replicates: int) -> None:
    write("| positives, negatives | published | DeLong on the logit | worst point |\n")
    write("|---|---:|---:|---|\n")
    for m, n in COUNTS:
        worst = min(
            (*independent_coverage(FAMILIES[name](area), m, n, replicates, 1000 + i), name, area)
            for i, (name, area) in enumerate(product(FAMILIES, AREAS))
        )
        plain = min(
            independent_coverage(FAMILIES[name](area), m, n, 200, 1000 + i)[1]
            for i, (name, area) in enumerate(product(FAMILIES, AREAS))
        )
        write(
            f"| {m}, {n} | {worst[0] * 100:.1f} | {plain * 100:.1f} | {worst[3]}, {worst[4]:g} |\n"
        )


def _clustered_table(write: Callable[[str], object], replicates: int) -> None:
    write("| clusters | published | clusters ignored | worst point |\n|---|---:|---:|---|\n")
    for layout in LAYOUTS:
        both = [
            (*clustered_coverage(point, replicates, 2000 + i), i, point)
            for i, point in enumerate(clustered_grid((layout,)))
        ]
        low, _, _, at = min(both)
        where = f"{at.mixing}, {at.correlation:g}, {at.area:g}" + ", opposed" * at.opposed
        naive = min(b[1] for b in both)
        write(f"| {layout} | {low * 100:.1f} | {naive * 100:.1f} | {where} |\n")


def _partial_table(write: Callable[[str], object], replicates: int) -> None:
    write("| positives, negatives | 0.05 | 0.2 | 0.5 |\n|---|---:|---:|---:|\n")
    for m, n in PARTIAL_COUNTS:
        cells = []
        for right in RIGHTS:
            worst_partial = min(
                (coverage, name, area)
                for i, (name, area) in enumerate(product(PARTIAL, PARTIAL_AREAS))
                for coverage, shown in [
                    partial_coverage(PARTIAL[name](area), m, n, right, replicates, 3000 + i)
                ]
                if shown >= 0.05
            )
            low, name, area = worst_partial
            cells.append(f"{low * 100:.1f} ({name}, {area:g})")
        write(f"| {m}, {n} | " + " | ".join(cells) + " |\n")


def _clustered_partial_table(write: Callable[[str], object], replicates: int) -> None:
    write("| clusters | published | worst point |\n|---|---:|---|\n")
    for layout in LAYOUTS:
        found = [
            (*clustered_partial_coverage(point, replicates, 3500 + i), i, point)
            for i, point in enumerate(clustered_grid((layout,)))
        ]
        low, _, _, at = min(f for f in found if f[1] >= 0.05)
        where = f"{at.mixing}, {at.correlation:g}, {at.area:g}" + ", opposed" * at.opposed
        write(f"| {layout} | {low * 100:.1f} | {where} |\n")


def _bootstrap_table(write: Callable[[str], object], replicates: int) -> None:
    write("| values | 200 | 400 | 1,000 |\n|---|---:|---:|---:|\n")
    for name in SAMPLES:
        row = []
        for clusters in BOOTSTRAP_CLUSTERS:
            coverage, shown, plain = bootstrap_coverage(name, clusters, replicates, clusters)
            kept = f"{coverage * 100:.1f}" if shown >= OFTEN else "-"
            row.append(f"{kept} ({shown * 100:.0f}), {plain * 100:.1f}")
        write(f"| {name} | " + " | ".join(row) + " |\n")


TABLES = {
    "independent": _independent_table,
    "clustered": _clustered_table,
    "partial": _partial_table,
    "clustered-partial": _clustered_partial_table,
    "bootstrap": _bootstrap_table,
}

if __name__ == "__main__":
    for wanted in sys.argv[2:] or TABLES:
        TABLES[wanted](sys.stdout.write, int(sys.argv[1]) if len(sys.argv) > 1 else REPLICATES)
        sys.stdout.write("\n")
