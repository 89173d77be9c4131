"""Do the intervals of time horizons cover? Families, tasks and runs drawn with a known truth.

Run as a program, this prints the tables of docs/statistics.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from custodes.statistics._horizon import fit_horizons
from custodes.statistics._horizon_fit import fit
from custodes.statistics._horizon_runs import HorizonRuns
from custodes.statistics._trend import Release, trend

Floats = NDArray[np.float64]

SUITES = 2_000
# Fewer than the default 1,000: the ends lie at ranks as far out, with more noise.
DRAWS = 256
FLOOR = 0.935
QUANTILES = (0.5, 0.8, 0.95)
# Agents whose success is even at 4, 32 and 256 minutes, on tasks of 1 to 1,024.
ABILITIES = (2.0, 5.0, 8.0)
SIZES: dict[str, tuple[int, ...]] = {
    "1": (1,),
    "4": (4,),
    "1, 1, 1, 2, 8": (1, 1, 1, 2, 8),
    "1 x 5, 20": (1, 1, 1, 1, 1, 20),
}


@dataclass(frozen=True)
class Point:
    """A way to draw a suite and its runs.

    between, within: standard deviations, in log odds, of what makes a family, and a task in it,
    harder than its length says; the same for all agents. alike: share of tasks whose length is
    that of their family.
    """

    families: int
    sizes: str = "1, 1, 1, 2, 8"
    runs: int = 4
    between: float = 1.0
    within: float = 1.0
    alike: float = 0.7
    slope: float = -0.6
    regularization: float = 0.1


def families_alone(point: Point) -> Point:
    """All that the length does not say is the family's: its tasks add next to nothing."""
    return replace(point, between=2.0, within=0.0, alike=1.0, runs=8)


GRID = (
    Point(20),
    Point(20, "1"),
    Point(20, "1 x 5, 20", between=2.0, within=0.3, alike=1.0),
    families_alone(Point(20, "4")),
    Point(30),
    Point(30, "1"),
    Point(30, "4", runs=1),
    Point(30, "1 x 5, 20", between=2.0, within=0.3, alike=1.0),
    families_alone(Point(30, "4")),
    Point(36, slope=-1.5),
    Point(36, slope=-0.3),
    Point(36, regularization=1e-5),
    Point(60, "1", runs=2),
    families_alone(Point(60, "4")),
    Point(100, "1", runs=1),
    Point(200, "1", runs=1),
    Point(50, "4", runs=1, between=2.0, within=0.0, alike=1.0),
    Point(10),
    Point(10, "1", runs=1),
    Point(10, "1 x 5, 20", between=2.0, within=0.3, alike=1.0),
    families_alone(Point(10, "4")),
)
# Families that differ more than any region claims.
BEYOND = replace(families_alone(Point(36, "4")), between=3.0)


def draw_tasks(
    point: Point, families: int, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Log2 length, hardness and family of each task."""
    sizes = np.resize(SIZES[point.sizes], families)
    family = np.repeat(np.arange(families), sizes)
    middle = rng.random(families) * 10
    own = rng.random(len(family)) * 10
    near = np.where(rng.random(len(family)) < point.alike, middle[family], own)
    near = np.clip(near + rng.normal(0, 0.5, len(family)), 0, 10)
    x = np.round(near, 3).astype(np.float64)
    hard: Floats = point.between * rng.normal(size=families)[family]
    hard += point.within * rng.normal(size=len(family))
    return x, hard, family


def truth(
    point: Point,
    quantiles: tuple[float, ...],
    rng: np.random.Generator,
    abilities: tuple[float, ...] = ABILITIES,
) -> Floats:
    """What the estimator comes to on endlessly many families: minutes by quantile and agent."""
    x, hard, family = draw_tasks(point, 40_000, rng)
    weight = 1 / np.sqrt(np.bincount(family)[family])
    weight /= weight.sum()
    q = np.array(quantiles)
    columns = []
    for ability in abilities:
        p = 1 / (1 + np.exp(-(point.slope * (x - ability) + hard)))
        found = fit(x, weight[None, :], (weight * p)[None, :], point.regularization)
        columns.append((np.log(q / (1 - q)) - found.intercept[0]) / found.slope[0])
    minutes: Floats = 2.0 ** np.stack(columns, axis=1)
    return minutes


def draw_runs(
    point: Point, rng: np.random.Generator, abilities: tuple[float, ...] = ABILITIES
) -> HorizonRuns:
    x, hard, family = draw_tasks(point, point.families, rng)
    n, agents = len(x), len(abilities)
    z = point.slope * (x - np.array(abilities)[:, None]) + hard
    p = np.repeat(1 / (1 + np.exp(-z)).ravel(), point.runs)
    return HorizonRuns(
        agents=tuple(f"agent {a}" for a in range(agents)),
        tasks=tuple(map(str, range(n))),
        families=tuple(map(str, range(point.families))),
        task_minutes=2.0**x,
        task_family=family,
        run_agent=np.repeat(np.arange(agents), n * point.runs),
        run_task=np.tile(np.repeat(np.arange(n), point.runs), agents),
        run_score=(rng.random(len(p)) < p).astype(np.float64),
        run_cheated=np.zeros(len(p), dtype=np.bool_),
    )


@dataclass(frozen=True)
class Tally:
    """Shares of suites, the least favourable of the agents; NaN where no interval was shown.

    covered: of the intervals shown. opened: the largest share of those open above. none: the
    largest share of suites without an interval. width: median of high / low in doublings.
    """

    covered: float
    opened: float
    none: float
    width: float


def simulate(
    point: Point,
    suites: int,
    seed: int,
    *,
    families: Callable[[HorizonRuns], HorizonRuns] = lambda runs: runs,
) -> dict[float, Tally]:
    rng = np.random.default_rng(seed)
    true = truth(point, QUANTILES, rng)
    shape = (len(QUANTILES), suites, len(ABILITIES))
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    for i in range(suites):
        agents = fit_horizons(
            families(draw_runs(point, rng)),
            regularization=point.regularization,
            bootstrap=DRAWS,
            seed=i,
            quantiles=QUANTILES,
        ).agents
        for a, agent in enumerate(agents):
            for k, horizon in enumerate(agent.horizons):
                if horizon.low is not None:
                    low[k, i, a] = horizon.low
                    high[k, i, a] = math.inf if horizon.high is None else horizon.high
    tallies = {}
    for k, q in enumerate(QUANTILES):
        shown = ~np.isnan(low[k])
        none = 1 - shown.mean(axis=0)
        if not shown.any(axis=0).all():
            tallies[q] = Tally(math.nan, math.nan, float(none.max()), math.nan)
            continue
        count = shown.sum(axis=0)
        hit = ((low[k] <= true[k]) & (true[k] <= high[k])).sum(axis=0) / count
        opened = np.isinf(high[k]).sum(axis=0) / count
        closed = shown & np.isfinite(high[k]) & (low[k] > 0)
        width = np.log2(high[k][closed]) - np.log2(low[k][closed])
        tallies[q] = Tally(
            float(hit.min()), float(opened.max()), float(none.max()), float(np.median(width))
        )
    return tallies


def test_horizons_cover() -> None:
    tallies = simulate(Point(30), 80, seed=1)
    for q in QUANTILES:
        assert tallies[q].none <= 0.01
        assert tallies[q].covered >= FLOOR, q


def each_task_a_family(runs: HorizonRuns) -> HorizonRuns:
    return replace(
        runs, families=runs.tasks, task_family=np.arange(len(runs.tasks), dtype=np.int64)
    )


def test_the_simulation_can_tell_an_interval_that_does_not_cover() -> None:
    # Tasks of a family that go together, resampled as if they did not.
    point = families_alone(Point(30, "4"))
    assert simulate(point, 50, seed=2, families=each_task_a_family)[0.5].covered < 0.85


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(GRID)))
def test_horizons_cover_everywhere_in_the_region(place: int) -> None:
    point = GRID[place]
    tallies = simulate(point, SUITES, seed=100 + place)
    assert tallies[0.5].covered >= FLOOR
    for q in (0.8, 0.95):
        # NaN, no interval at all, where the region leaves the quantile out.
        assert not tallies[q].covered < FLOOR, q


# Trends ---------------------------------------------------------------------------------------

TREND_GRID = (
    Point(10),
    families_alone(Point(10, "4")),
    Point(20),
    Point(36),
    families_alone(Point(36, "4")),
)
# Two that are a little worse than what came before, and so are sometimes taken for the best.
GROWING = (1.0, 2.2, 2.0, 3.6, 5.0, 4.8, 6.5, 8.0)


def trend_coverage(point: Point, suites: int, seed: int) -> tuple[float, float, float]:
    """Coverage with the best selected anew and with the same best; share open above."""
    rng = np.random.default_rng(seed)
    days = [date(2023, 1, 1) + timedelta(days=120 * i) for i in range(len(GROWING))]
    names = [f"agent {a}" for a in range(len(GROWING))]
    true = truth(point, (0.5,), rng, GROWING)[0]
    line = trend(
        Release(agent=n, date=d, p50=float(m)) for n, d, m in zip(names, days, true, strict=True)
    )
    doubling = line.doubling_time_days.estimate
    assert doubling is not None
    anew = same = opened = 0
    for i in range(suites):
        found = fit_horizons(draw_runs(point, rng, GROWING), bootstrap=DRAWS, seed=i)
        result = trend(
            [
                Release(agent=n, date=d, p50=found.agent(n).p50.estimate)
                for n, d in zip(names, days, strict=True)
            ],
            replicates={n: found.replicate_horizons(n) for n in names},
        )
        first, second = result.doubling_time_days, result.doubling_time_days_same_best
        anew += _holds(first.low, first.high, doubling)
        same += _holds(second.low, second.high, doubling)
        opened += first.high is None
    return anew / suites, same / suites, opened / suites


def _holds(low: float | None, high: float | None, value: float) -> bool:
    return low is not None and low <= value <= (math.inf if high is None else high)


def test_trends_cover() -> None:
    anew, same, _ = trend_coverage(Point(36), 30, seed=3)
    assert anew >= FLOOR
    assert same >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("place", range(len(TREND_GRID)))
def test_trends_cover_everywhere_in_the_region(place: int) -> None:
    anew, same, _ = trend_coverage(TREND_GRID[place], 500, seed=7)
    assert anew >= FLOOR
    assert same >= FLOOR


# The tables of the documentation --------------------------------------------------------------


def _tables(write: Callable[[str], object]) -> None:
    def shown(tally: Tally) -> str:
        if math.isnan(tally.covered):
            return "– | –"
        return f"{tally.covered * 100:.1f} ({tally.opened * 100:.0f}) | {tally.width:.1f}"

    write("| families | tasks of each | runs | between, within, alike | slope | λ |")
    write(" p50 | | p80 | | p95 | |\n|---:|---|---:|---|---:|---:|" + "---:|" * 6 + "\n")
    for place, point in enumerate((*GRID, BEYOND)):
        tallies = simulate(point, SUITES, seed=100 + place)
        write(
            f"| {point.families} | {point.sizes} | {point.runs} "
            f"| {point.between:g}, {point.within:g}, {point.alike:g} | {point.slope:g} "
            f"| {point.regularization:g} | "
            + " | ".join(shown(tallies[q]) for q in QUANTILES)
            + " |\n"
        )
        sys.stdout.flush()
    write("\n| families | between, within; tasks of each | anew | the same | open |\n")
    write("|---:|---|---:|---:|---:|\n")
    for point in TREND_GRID:
        anew, same, opened = trend_coverage(point, 500, seed=7)
        write(
            f"| {point.families} | {point.between:g}, {point.within:g}; {point.sizes} "
            f"| {anew * 100:.1f} | {same * 100:.1f} | {opened * 100:.0f} |\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    _tables(sys.stdout.write)
