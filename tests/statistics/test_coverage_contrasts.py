"""Do tests of equivalence hold their size, and intervals of factors and of agreement cover?

Run as a program, this prints the tables of the documentation.

Some estimators give no interval for some data, and which data get one depends on the data. Two
figures are therefore held to the floor: the share of all replicates that get an interval which
misses, everywhere; and the coverage among those that get one, wherever at least half do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, gammaln, stdtr, stdtrit, xlogy

from custodes.statistics import _logistic as logistic
from custodes.statistics._agreement import (
    ALPHA_LEAST_EACH_WAY,
    ALPHA_LEAST_UNITS,
    ALPHA_LEAST_UNITS_INTERVAL,
    Scale,
    alphas,
    krippendorff_alpha,
)
from custodes.statistics._equivalence import equivalence, gaffke_tail
from custodes.statistics._factors import FACTORS_LEAST_EACH_WAY, FIRTH_INFLATION, factors

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

REPLICATES = 2_000
FLOOR = 0.935
ALPHA = 0.05


@dataclass(frozen=True)
class Coverage:
    """Of one point: how often there is an interval, and how often it covers or misses."""

    point: tuple[object, ...]
    given: float
    covered: float
    missed: float


def coverage(point: tuple[object, ...], hit: Flags, given: Flags) -> Coverage:
    covered = float(hit[given].mean()) if given.any() else 1.0
    return Coverage(point, float(given.mean()), covered, float((given & ~hit).mean()))


def below_floor(points: Iterable[Coverage]) -> list[Coverage]:
    return [
        p for p in points if p.missed > 1 - FLOOR or (p.given >= 0.5 and p.covered < FLOOR)
    ]


def summary(points: list[Coverage]) -> str:
    often = [p.covered for p in points if p.given >= 0.5]
    lowest = f"{100 * min(often):.1f}" if often else "-"
    return f"{lowest} ({len(often)}) | {100 * max(p.missed for p in points):.1f}"


# Equivalence ----------------------------------------------------------------------------------

MARGINS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


def exact_sizes(n: int, margin: float) -> tuple[float, float]:
    """The largest chance of calling a mean of ``margin`` smaller, for differences of -1, 0, 1.

    Exact, by enumeration: of the published test and of a t test.
    """
    gains, losses = (x.ravel() for x in np.indices((n + 1, n + 1)))
    keep = gains + losses <= n
    gains, losses = gains[keep], losses[keep]
    none = n - gains - losses
    counts = np.stack([gains + 1, none, losses], axis=1).astype(np.float64)
    ours = gaffke_tail(np.tile([1.0, 0.0, -1.0], (len(gains), 1)), margin, counts) <= ALPHA
    mean = (gains - losses) / n
    variance = (gains + losses - n * mean**2) / max(n - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (mean - margin) / np.sqrt(np.maximum(variance, 0) / n)
    t = stdtr(max(n - 1, 1), statistic) <= ALPHA
    ways = gammaln(n + 1) - gammaln(gains + 1) - gammaln(losses + 1) - gammaln(none + 1)
    worst = [0.0, 0.0]
    for loss in np.linspace(0, (1 - margin) / 2, 60):
        rest = max(0.0, 1 - margin - 2 * loss)
        chance = np.exp(
            ways + xlogy(gains, margin + loss) + xlogy(losses, loss) + xlogy(none, rest)
        )
        for i, rejects in enumerate((ours, t)):
            worst[i] = max(worst[i], float(chance[rejects].sum()))
    return worst[0], worst[1]


SHAPES = tuple(product((0.99, 0.6, 0.25), (0.0, 0.3, 2.0), (1, 5, 20)))


def simulated_size(
    n: int, margin: float, a: float, spread: float, repeats: int, seed: int
) -> tuple[float, float]:
    """The same for seeds of several episodes whose rates vary, correlated within a pair."""
    generator = np.random.default_rng(seed)
    shape = (REPLICATES, n)
    b = a - margin
    shared = generator.random(shape)
    other = np.where(generator.random(shape) < 0.5, shared, generator.random(shape))
    if spread == 0:
        theta_a, theta_b = (shared < a) * 1.0, (other < b) * 1.0
    else:
        theta_a = generator.beta(a * spread, (1 - a) * spread, shape)
        theta_b = generator.beta(b * spread, (1 - b) * spread, shape)
    d = (generator.binomial(repeats, theta_a) - generator.binomial(repeats, theta_b)) / repeats
    ours = gaffke_tail(np.hstack([np.ones((REPLICATES, 1)), d]), margin) <= ALPHA
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = (d.mean(axis=1) - margin) / (d.std(axis=1, ddof=1) / np.sqrt(n))
    t = stdtr(n - 1, np.nan_to_num(statistic, nan=np.inf)) <= ALPHA
    for i in range(2):
        result = equivalence(d[i].clip(0).tolist(), (-d[i]).clip(0).tolist(), margin=margin)
        # Both directions have to be rejected, so the whole never rejects more than this one.
        assert result.p_value is not None
        assert (result.p_value <= ALPHA) <= bool(ours[i])
    return float(ours.mean()), float(t.mean())


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 12, 20])
def test_equivalence_holds_its_size_exactly_for_single_trials(n: int) -> None:
    for margin in MARGINS:
        assert exact_sizes(n, margin)[0] <= ALPHA


def test_a_t_test_of_equivalence_does_not_hold_its_size() -> None:
    ours, t = exact_sizes(12, 0.05)
    assert ours <= ALPHA
    assert t > 0.5


def test_equivalence_holds_its_size_for_seeds_of_several_episodes() -> None:
    for a, spread, repeats in ((0.99, 0.3, 5), (0.25, 2.0, 20)):
        ours, _ = simulated_size(10, 0.2, a, spread, repeats, seed=51)
        assert ours <= ALPHA + 0.01


def arbitrary_size(n: int, values: int, seed: int) -> float:
    """The largest error over nominal of 150 x 200 distributions on few values, exactly."""
    generator = np.random.default_rng(seed)
    counts = np.array([c for c in product(range(n + 1), repeat=values) if sum(c) == n])
    ways = gammaln(n + 1) - gammaln(counts + 1).sum(axis=1)
    worst = 0.0
    for _ in range(150):
        x = np.sort(generator.uniform(-1, 1, values))
        x[-1] = 1 if generator.random() < 0.5 else x[-1]
        x[0] = -1 if generator.random() < 0.5 else x[0]
        mean = generator.uniform(max(x[0], -0.9) * 0.98 + 0.02 * x[-1], x[-1] * 0.98)
        nominal = generator.choice([0.01, 0.05, 0.2])
        rows = np.tile(np.r_[x, 1.0], (len(counts), 1))
        weights = np.hstack([counts, np.ones((len(counts), 1))])
        rejects = gaffke_tail(rows, mean, weights) <= nominal
        if not rejects.any():
            continue
        # Two mixtures, one below and one above, weighed so that the mean is what is tested.
        below = x <= mean
        low = generator.dirichlet(np.full(int(below.sum()), 0.4), 200)
        high = generator.dirichlet(np.full(int((~below).sum()), 0.4), 200)
        share = (mean - low @ x[below]) / (high @ x[~below] - low @ x[below])
        chances = np.hstack([low * (1 - share)[:, None], high * share[:, None]])
        errors = np.exp(ways + xlogy(counts, chances[:, None, :]).sum(axis=2))[:, rejects]
        worst = max(worst, float(errors.sum(axis=1).max()) / nominal)
    return worst


def test_equivalence_holds_its_size_for_arbitrary_distributions() -> None:
    assert 0.8 < arbitrary_size(3, 3, seed=54) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize("values", [2, 3, 4])
def test_equivalence_holds_its_size_for_more_arbitrary_distributions(n: int, values: int) -> None:
    assert arbitrary_size(n, values, seed=55) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("n", [4, 6, 10, 15, 25, 40, 60])
def test_equivalence_holds_its_size_everywhere(n: int) -> None:
    for margin in MARGINS:
        assert exact_sizes(n, margin)[0] <= ALPHA
    for i, (a, spread, repeats) in enumerate(SHAPES):
        assert simulated_size(n, 0.2, a, spread, repeats, seed=100 * n + i)[0] <= ALPHA + 0.012


# Factors over clusters ------------------------------------------------------------------------

DESIGNS: dict[str, tuple[tuple[int, ...], tuple[tuple[int, int], ...]]] = {
    "2 x 2": ((2, 2), ()),
    "3 x 2, crossed": ((3, 2), ((0, 1),)),
    "3 x 3 x 2": ((3, 3, 2), ()),
}
# Mean log-odds and effect of the first level.
TRUTHS = ((-3.0, 1.0), (-1.0, 0.0), (-1.0, 1.0), (0.0, 2.0), (2.0, 0.7))
# How episodes of a seed go together, how much, and how many there are in which cells.
DEPENDENCE = (
    ("copied", 0.3, "1 each"),
    ("copied", 0.9, "3, every fifth seed 15"),
    ("copied", 1.0, "2 each"),
    ("beta by cell", 0.5, "2 in half of the cells"),
    ("some seeds only", 0.3, "3 in half of the cells"),
    ("beta by cell", 0.6, "5 in one cell"),
)


@dataclass(frozen=True)
class Design:
    x: Floats
    names: tuple[tuple[str, ...], ...]
    contrasts: tuple[Floats, ...]
    terms: tuple[slice, ...]


def designed(name: str) -> Design:
    """The cells of a design, and the first and the last effect of each of its terms."""
    levels, crossed = DESIGNS[name]
    cells = list(product(*(range(k) for k in levels)))
    blocks = [np.ones((len(cells), 1))]
    for term in [(f,) for f in range(len(levels))] + list(crossed):
        codes = [logistic.effect_codes(levels[f])[[cell[f] for cell in cells]] for f in term]
        blocks.append(logistic.products(codes))
    ends = np.cumsum([block.shape[1] for block in blocks])
    terms = tuple(slice(a, b) for a, b in pairwise(ends.tolist()))
    contrasts = []
    for term_ in terms:
        contrasts.append(np.eye(ends[-1])[term_.start])
        if term_.stop - term_.start > 1:
            last = np.zeros(ends[-1])
            last[term_] = -1
            contrasts.append(last)
    names = tuple(tuple(f"{f}{level}" for f, level in enumerate(cell)) for cell in cells)
    return Design(np.hstack(blocks), names, tuple(contrasts), terms)


def truth(design: Design, base: float, size: float) -> Floats:
    beta = np.zeros(design.x.shape[1])
    beta[0] = base
    for term in design.terms:
        beta[term.start] = size
    if len(design.terms) > 2:
        beta[design.terms[-1]] = 0
    return beta


def drawn_clusters(
    rates: Floats, seeds: int, kind: str, strength: float, sizes: str, seed: int
) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    shape = (REPLICATES, seeds, len(rates))
    n = np.full(shape, int(sizes[0]))
    if "half" in sizes:
        n = n * (generator.random(shape) < 0.5)
    elif "one cell" in sizes:
        n = n * (np.arange(seeds)[:, None] % len(rates) == np.arange(len(rates)))
    elif "fifth" in sizes:
        n = n * np.where(np.arange(seeds) % 5 == 0, 5, 1)[:, None]
    k = np.zeros(shape, dtype=np.int64)
    if kind == "copied":
        # An episode takes its seed's draw or its own: rates are exact, and seeds differ only
        # where the draw falls between the rates of two cells.
        own = generator.random((REPLICATES, seeds, 1))
        for episode in range(int(n.max())):
            drawn = np.where(generator.random(shape) < strength, own, generator.random(shape))
            k += (drawn < rates) & (episode < n)
    elif kind == "beta by cell":
        total = 1 / strength - 1
        k = generator.binomial(n, generator.beta(rates * total, (1 - rates) * total, shape))
    else:
        active = max(float(rates.max()), strength)
        acts = generator.random((REPLICATES, seeds, 1)) < active
        k = generator.binomial(n, acts * rates / active)
    return k.astype(np.float64), n.astype(np.float64)


def maximum_likelihood(x: Floats, k: Floats, n: Floats) -> tuple[Floats, Flags]:
    """Of cells' totals, by replicate; and whether there is one."""
    beta = np.zeros((len(k), x.shape[1]))
    step = np.ones_like(beta)
    for _ in range(60):
        rates = expit(beta @ x.T)
        information = np.einsum("rc,ci,cj->rij", n * rates * (1 - rates), x, x)
        score = (k - n * rates) @ x
        step = np.linalg.solve(information + 1e-10 * np.eye(x.shape[1]), score[..., None])[..., 0]
        beta = beta + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    return beta, (np.abs(step).max(axis=1) < 1e-6) & (np.abs(beta).max(axis=1) < 15)


def factor_coverage(
    name: str, seeds: int, where: tuple[float, float], how: tuple[str, float, str], seed: int
) -> Iterator[tuple[Coverage, Coverage]]:
    """By contrast: as published, and with m - 1 degrees of freedom whatever the data."""
    design = designed(name)
    x, beta = design.x, truth(design, *where)
    k, n = drawn_clusters(expit(x @ beta), seeds, *how, seed=seed)
    usable = (n.sum(axis=1) > 0).all(axis=1)
    k, n = k[usable], n[usable]
    found, has = maximum_likelihood(x, k.sum(axis=1), n.sum(axis=1))
    k, n, found = k[has], n[has], found[has]
    if not has.any():
        return
    rates = expit(found @ x.T)[:, None]
    scores = (k - n * rates) @ x
    parts = np.einsum("rgc,ci,cj->rgij", n * rates * (1 - rates), x, x)
    whole = parts.sum(axis=1)
    rest = whole[:, None] - parts
    # A level of one cluster alone: the public function gives no interval there.
    whole_scale = np.sqrt(np.einsum("rii->ri", whole))
    scaled = rest / whole_scale[:, None, :, None] / whole_scale[:, None, None, :]
    regular = np.linalg.cond(scaled).max(axis=1) <= 1e8
    rest[~regular] = np.eye(x.shape[1])
    removed = np.linalg.solve(rest, scores[..., None])[..., 0]
    inverse = np.linalg.inv(whole)
    pad = np.zeros(REPLICATES - len(k), dtype=np.bool_)
    for c in design.contrasts:
        influence = np.einsum("rgi,rij,j->rg", scores, inverse, c)
        sides = np.stack([np.maximum(influence, 0), np.maximum(-influence, 0)])
        each_way = (
            (sides**2).sum(axis=2) ** 2 / np.maximum((sides**4).sum(axis=2), 1e-300)
        ).min(axis=0)
        error = np.sqrt((seeds - 1) / seeds * ((removed @ c) ** 2).sum(axis=1))
        away = np.abs(found @ c - beta @ c)
        independent = np.einsum("i,rij,j->r", c, inverse, c)
        varies = (influence**2).sum(axis=1) >= 1e-12 * independent
        given = regular & varies & (each_way >= FACTORS_LEAST_EACH_WAY)
        freedom = np.clip(each_way - 1, 1, seeds - 1)
        hit = away <= stdtrit(freedom, 0.975) * error
        plain = away <= stdtrit(seeds - 1, 0.975) * error
        point = (name, seeds, where, how, tuple(c.tolist()))
        yield (
            coverage(point, np.concatenate([hit, pad]), np.concatenate([given, pad])),
            coverage(point, np.concatenate([plain, pad]), np.concatenate([regular, pad])),
        )
        first = design.terms[0].start
        if given[0] and c[first] == 1:
            _compare_public(design, k[0], n[0], bool(hit[0]), float(beta @ c))


def _compare_public(design: Design, k: Floats, n: Floats, hit: bool, true: float) -> None:
    rows = [(g, c) for g, c in product(*map(range, k.shape)) if n[g, c]]
    if len({g for g, _ in rows}) < len(k):
        return
    columns = {
        f"f{f}": [design.names[c][f] for _, c in rows] for f in range(len(design.names[0]))
    }
    crossed = [("f0", "f1")] if len(design.terms) > len(columns) else []
    model = factors(
        [int(k[g, c]) for g, c in rows],
        columns,
        clusters=[g for g, _ in rows],
        trials=[int(n[g, c]) for g, c in rows],
        interactions=crossed,
    )
    level = design.names[0][0]
    estimate = next(e for e in model.terms[0].effects if e.levels == (level,)).estimate
    assert estimate.low is not None and estimate.high is not None, estimate.note
    assert (estimate.low <= true <= estimate.high) == hit


def factor_grid(
    name: str, seeds: int, truths: Iterable[tuple[float, float]] = TRUTHS
) -> Iterator[tuple[Coverage, Coverage]]:
    cells = len(designed(name).names)
    for i, (where, how) in enumerate(product(truths, DEPENDENCE)):
        if "one cell" not in how[2] or seeds >= 3 * cells:
            yield from factor_coverage(name, seeds, where, how, seed=1000 * seeds + i)


def test_effects_of_factors_cover_where_most_intervals_do_not() -> None:
    both = [
        pair
        for how in (DEPENDENCE[0], DEPENDENCE[1])
        for pair in factor_coverage("2 x 2", 40, (2.0, 0.7), how, seed=61)
    ]
    assert below_floor(published for published, _ in both) == []
    assert min(plain.covered for _, plain in both) < 0.9
    assert max(published.given for published, _ in both) > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [20, 30, 60])
@pytest.mark.parametrize("name", list(DESIGNS))
def test_effects_of_factors_cover_everywhere_in_the_region(name: str, seeds: int) -> None:
    assert below_floor(published for published, _ in factor_grid(name, seeds)) == []


# Firth's likelihood, one episode per cluster --------------------------------------------------

FIRTH_TRUTHS = ((-4.0, 0.0), (-4.0, 2.5), (-3.0, 0.7), (-3.0, 2.5), (-1.0, 0.0), (-1.0, 2.5))


def firth(
    x: Floats, k: Floats, n: Floats, start: Floats, free: Floats
) -> tuple[Floats, Floats]:
    """Maxima over ``start`` + span of ``free``, and log-likelihoods, by replicate."""

    def valued(beta: Floats) -> tuple[Floats, Floats, Floats]:
        z = beta @ x.T
        rates = expit(z)
        information = np.einsum("rc,ci,cj->rij", n * rates * (1 - rates), x, x)
        sign, determinant = np.linalg.slogdet(information)
        penalty = np.where(sign > 0, determinant / 2, -1e300)
        return (k * z - n * np.logaddexp(0, z)).sum(axis=1) + penalty, rates, information

    beta = start
    reached, rates, information = valued(beta)
    for _ in range(80):
        ridge = information + 1e-12 * np.eye(x.shape[1])
        spread = np.einsum("ci,rij,cj->rc", x, np.linalg.inv(ridge), x)
        residual = k - n * rates + n * rates * (1 - rates) * spread * (0.5 - rates)
        reduced = np.einsum("ia,rij,jb->rab", free, ridge, free)
        step = np.linalg.solve(reduced, (residual @ x @ free)[..., None])[..., 0] @ free.T
        step *= np.minimum(1, 2 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        length = np.ones((len(beta), 1))
        for _ in range(30):
            proposed = valued(beta + length * step)
            worse = proposed[0] < reached - 1e-9 * (1 + np.abs(reached))
            if not worse.any():
                break
            length[worse] /= 2
        beta = beta + length * step
        reached, rates, information = proposed
        if float(np.abs(length * step).max()) < 1e-6:
            break
    return beta, reached


def firth_coverage(
    name: str, per_cell: int, where: tuple[float, float], uneven: bool, seed: int
) -> Iterator[tuple[Coverage, Coverage]]:
    """By contrast: as published, and cut at the usual chi-squared quantile."""
    design = designed(name)
    x, beta = design.x, truth(design, *where)
    rates = expit(x @ beta)
    if min(rates.min(), 1 - rates.max()) < 0.001:
        return
    sizes = np.full(len(x), float(per_cell))
    sizes[0] *= 4 if uneven else 1
    generator = np.random.default_rng(seed)
    k = generator.binomial(sizes.astype(np.int64), rates, (REPLICATES, len(x))).astype(np.float64)
    n = np.broadcast_to(sizes, k.shape)
    given = (k.sum(axis=1) > 0) & (k.sum(axis=1) < sizes.sum())
    best, top = firth(x, k, n, np.zeros((REPLICATES, len(beta))), np.eye(len(beta)))
    for c in design.contrasts:
        held = best + ((beta @ c - best @ c) / (c @ c))[:, None] * c
        _, fallen = firth(x, k, n, held, logistic.null_space(c))
        ratio = 2 * (top - fallen)
        point = (name, per_cell, where, uneven, tuple(c.tolist()))
        usual = logistic.chi_squared(0.95)
        published = ratio <= usual * FIRTH_INFLATION
        yield coverage(point, published, given), coverage(point, ratio <= usual, given)
        if c[design.terms[0].start] == 1 and given[0]:
            low, high = logistic.profile_limits(
                x, k[0], n[0], best[0], c, usual * FIRTH_INFLATION
            )
            assert (low <= beta @ c <= high) == published[0]


def firth_grid(name: str, per_cell: int) -> Iterator[tuple[Coverage, Coverage]]:
    for i, (where, uneven) in enumerate(product(FIRTH_TRUTHS, (False, True))):
        yield from firth_coverage(name, per_cell, where, uneven, seed=1000 * per_cell + i)


FIRTH_DESIGNS = ("2", "2 x 2", "3 x 2")
DESIGNS["2"] = ((2,), ())
DESIGNS["3 x 2"] = ((3, 2), ())


def test_firths_intervals_cover_under_separation() -> None:
    both = list(firth_grid("2", 5))
    assert below_floor(published for published, _ in both) == []
    assert min(usual.covered for _, usual in both) < FLOOR


@pytest.mark.slow
@pytest.mark.parametrize("per_cell", [5, 10, 20, 50])
@pytest.mark.parametrize("name", FIRTH_DESIGNS)
def test_firths_intervals_cover_everywhere_in_the_region(name: str, per_cell: int) -> None:
    assert below_floor(published for published, _ in firth_grid(name, per_cell)) == []


# Krippendorff's alpha -------------------------------------------------------------------------

PREVALENCES: dict[str, tuple[tuple[float, ...], Scale]] = {
    "four alike": ((0.25,) * 4, "ordinal"),
    "six alike, nominal": ((1 / 6,) * 6, "nominal"),
    "one common": ((0.8, 0.1, 0.06, 0.04), "ordinal"),
    "rare of two": ((0.95, 0.05), "nominal"),
    "two alike": ((0.5, 0.5), "ordinal"),
    "mostly the ends": ((0.45, 0.05, 0.0, 0.05, 0.45), "interval"),
}
# Chance that a rater says the true value; in "hard", of 30 % of the units, the rest being easy.
RATERS = ((0.99, False), (0.97, False), (0.9, False), (0.7, False), (0.8, True), (0.5, True))


def drawn_ratings(
    generator: np.random.Generator,
    replicates: int,
    units: int,
    raters: int,
    prevalence: tuple[float, ...],
    right: float,
    hard: bool,
) -> NDArray[np.int64]:
    """(replicates, units, raters): the true value or one beside it."""
    shape = (replicates, units, raters)
    values = len(prevalence)
    true = generator.choice(values, size=(replicates, units, 1), p=np.array(prevalence))
    wrong = generator.random(shape) > right
    if hard:
        wrong &= generator.random((replicates, units, 1)) < 0.3
    beside = np.clip(true + generator.choice([-1, 1], size=shape), 0, values - 1)
    if values == 2:
        beside = 1 - np.broadcast_to(true, shape)
    return np.where(wrong, beside, true)


def pairs_within(ratings: NDArray[np.int64], values: int) -> Floats:
    counts = (ratings[..., None] == np.arange(values)).sum(axis=-2).astype(np.float64)
    pairs = counts[..., :, None] * counts[..., None, :] - np.eye(values) * counts[..., None]
    weighed: Floats = pairs / (ratings.shape[-1] - 1)
    return weighed


def alpha_coverage(
    name: str, units: int, raters: int, how: tuple[float, bool], seed: int, bootstrap: int = 0
) -> tuple[Coverage, Coverage, Coverage | None]:
    """As published, with units - 1 degrees of freedom, and of a percentile bootstrap."""
    prevalence, scale = PREVALENCES[name]
    values = len(prevalence)
    positions = np.arange(values, dtype=np.float64)
    generator = np.random.default_rng(seed)
    # Alpha takes few values where few units disagree, and an interval may just end at the true
    # one: that has to be known to more digits than the table.
    large = sum(
        pairs_within(drawn_ratings(generator, 1, 50_000, raters, prevalence, *how), values).sum(
            axis=1
        )
        for _ in range(8)
    )
    true = float(alphas(np.asarray(large), scale, positions)[0])
    ratings = drawn_ratings(generator, REPLICATES, units, raters, prevalence, *how)
    founds, withouts = [], []
    for part in np.array_split(ratings, 8):
        pairs = pairs_within(part, values)
        total = pairs.sum(axis=1)
        founds.append(alphas(total, scale, positions))
        rest = (total[:, None] - pairs).reshape(-1, values, values)
        withouts.append(alphas(rest, scale, positions).reshape(len(part), units))
    found, without = np.concatenate(founds), np.concatenate(withouts)
    finite = np.isfinite(without).all(axis=1) & np.isfinite(found)
    influence = np.where(finite[:, None], without.mean(axis=1, keepdims=True) - without, 0.0)
    sides = np.stack([np.maximum(influence, 0), np.maximum(-influence, 0)])
    # Rounding leaves influences of 1e-16 where all agree.
    fourth = (sides**4).sum(axis=2)
    each_way = np.where(
        fourth > 1e-50, (sides**2).sum(axis=2) ** 2 / np.maximum(fourth, 1e-300), 0.0
    ).min(axis=0)
    error = np.sqrt((units - 1) / units * (influence**2).sum(axis=1))
    away = np.abs(found - true)
    given = finite & (each_way >= ALPHA_LEAST_EACH_WAY - 1e-6)
    hit = away <= stdtrit(np.clip(each_way - 1, 1, units - 1), 0.975) * error
    plain = away <= stdtrit(units - 1, 0.975) * error
    point = (name, units, raters, how)
    if scale == "interval" and units < ALPHA_LEAST_UNITS_INTERVAL:
        estimate = krippendorff_alpha(ratings[0].T.tolist(), scale=scale).estimate
        assert estimate.low is None, (point, estimate)
    elif units >= ALPHA_LEAST_UNITS:
        for i in range(2):
            estimate = krippendorff_alpha(ratings[i].T.tolist(), scale=scale).estimate
            assert (estimate.low is not None) == given[i], (point, estimate)
            if estimate.low is not None and estimate.high is not None:
                assert (estimate.low <= true <= estimate.high) == hit[i], (point, estimate)
    resampled = None
    if bootstrap:
        # A draw without any variation has no alpha; it is taken as perfect agreement.
        inside = np.zeros(bootstrap, dtype=np.bool_)
        pairs = pairs_within(ratings[:bootstrap], values)
        for i in range(bootstrap):
            weights = generator.multinomial(units, np.full(units, 1 / units), size=400)
            drawn = np.tensordot(weights.astype(np.float64), pairs[i], axes=1)
            low, high = np.quantile(
                np.nan_to_num(alphas(drawn, scale, positions), nan=1.0), [0.025, 0.975]
            )
            inside[i] = low <= true <= high
        resampled = coverage(point, inside, finite[:bootstrap])
    return coverage(point, hit, given), coverage(point, plain, finite), resampled


def alpha_grid(
    units: int, bootstrap: int = 0
) -> Iterator[tuple[Coverage, Coverage, Coverage | None]]:
    for i, (name, raters, how) in enumerate(product(PREVALENCES, (2, 5), RATERS)):
        yield alpha_coverage(name, units, raters, how, seed=1000 * units + i, bootstrap=bootstrap)


def test_alpha_covers_where_few_units_carry_the_evidence() -> None:
    for name, raters, how in (("rare of two", 5, (0.9, False)), ("four alike", 2, (0.97, False))):
        published, _, _ = alpha_coverage(name, 100, raters, how, seed=81)
        assert below_floor([published]) == []
    _, plain, _ = alpha_coverage("rare of two", 100, 2, (0.99, False), seed=82)
    assert plain.covered < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("units", [100, 200, 400])
def test_alpha_covers_everywhere_in_the_region(units: int) -> None:
    """The interval scale too where it has no interval: what would be shown is what is measured."""
    assert below_floor(published for published, _, _ in alpha_grid(units)) == []


# The tables of the documentation --------------------------------------------------------------


def _size_table(write: Callable[[str], object]) -> None:
    write("| seeds | exact: published | exact: t | simulated: published | simulated: t |\n")
    write("|---:|---:|---:|---:|---:|\n")
    for n in (2, 5, 10, 15, 20, 40):
        exact = [exact_sizes(n, margin) for margin in MARGINS]
        drawn = [
            simulated_size(n, 0.2, *shape, seed=100 * n + i) for i, shape in enumerate(SHAPES)
        ]
        cells = (100 * max(pair[i] for pair in both) for both in (exact, drawn) for i in (0, 1))
        write(f"| {n} | " + " | ".join(f"{cell:.1f}" for cell in cells) + " |\n")


def _factor_tables(write: Callable[[str], object]) -> None:
    write("\n| design | seeds | points | published | misses | t(m - 1) | misses |\n")
    write("|---|---:|---:|---:|---:|---:|---:|\n")
    for name, seeds in product(("2 x 2", "3 x 2, crossed", "3 x 3 x 2"), (20, 30, 60)):
        both = list(factor_grid(name, seeds))
        rows = " | ".join(summary([pair[i] for pair in both]) for i in (0, 1))
        write(f"| {name} | {seeds} | {len(both)} | {rows} |\n")
    write("\n| design | per cell | points | published | misses | usual | misses |\n")
    write("|---|---:|---:|---:|---:|---:|---:|\n")
    for name, per_cell in product(FIRTH_DESIGNS, (5, 10, 20, 50)):
        both = list(firth_grid(name, per_cell))
        rows = " | ".join(summary([pair[i] for pair in both]) for i in (0, 1))
        write(f"| {name} | {per_cell} | {len(both)} | {rows} |\n")


def _alpha_table(write: Callable[[str], object]) -> None:
    write("\n| units | points | published | misses | t(n - 1) | misses | bootstrap | misses |\n")
    write("|---:|---:|---:|---:|---:|---:|---:|---:|\n")
    for units in (50, 100, 200):
        found = list(alpha_grid(units, bootstrap=200 if units == 100 else 0))
        parts = [summary([x[i] for x in found]) for i in (0, 1)]  # type: ignore[misc]
        resampled = [x[2] for x in found if x[2] is not None]
        parts.append(summary(resampled) if resampled else "| ")
        write(f"| {units} | {len(found)} | " + " | ".join(parts) + " |\n")


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["size", "factors", "alpha"]
    tables = {"size": _size_table, "factors": _factor_tables, "alpha": _alpha_table}
    for chosen_ in chosen:
        tables[chosen_](sys.stdout.write)
