"""Hierarchical bootstrap of time horizons: families, then tasks, then runs.

Imported late: it needs numpy at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ._horizon_fit import Cells, Fits, Floats, Ints, fit
from ._horizon_runs import HorizonRuns

# Replicates are drawn in blocks of this size whatever is fitted together, so that neither the
# number asked for nor the memory at hand changes any of them.
DRAWN_TOGETHER = 256
# Numbers in one array of a fit; a dozen such arrays live at once.
_LARGEST_ARRAY = 1_000_000


def resample_tasks(task_family: Ints, rng: np.random.Generator, rows: int) -> Ints:
    """How often each task is drawn, shape (rows, tasks).

    As many families as there are, with replacement; from each drawn family as many tasks as it
    has, with replacement, anew each time that the family is drawn.
    """
    sizes = np.bincount(task_family)
    members = np.argsort(task_family, kind="stable")
    begins = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    drawn = rng.multinomial(len(sizes), np.full(len(sizes), 1 / len(sizes)), size=rows)
    times = np.zeros((rows, len(task_family)), dtype=np.int64)
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        columns = members[begins[same][:, None] + np.arange(size)]
        if size == 1:
            times[:, columns[:, 0]] = drawn[:, same]
        else:
            times[:, columns] = rng.multinomial(drawn[:, same] * size, np.full(size, 1 / size))
    return times


def resample_runs(
    cells: Cells, times: Ints, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Weight and weighted score of each of the agent's tasks, shape (rows, tasks).

    A task drawn c times with n runs gets c * n runs with replacement from its n. They keep their
    original weights, which then no longer sum to 1.
    """
    runs = times * cells.runs
    score = np.zeros(times.shape)
    left = runs
    behind = cells.counts.sum(axis=1)
    for k in range(cells.values.shape[1]):
        here = cells.counts[:, k]
        drawn = _binomial(rng, left, here, behind)
        score += drawn * cells.values[:, k]
        left = left - drawn
        behind = behind - here
    weight = cells.weight * runs
    return weight, np.minimum(cells.weight * score, weight)


def _binomial(rng: np.random.Generator, n: Ints, part: Ints, whole: Ints) -> Ints:
    """Binomial(n, part / whole) by task, without drawing where it is certain."""
    result = np.where(part >= whole, n, 0)
    unsure = np.flatnonzero((part > 0) & (part < whole))
    if len(unsure):
        result[:, unsure] = rng.binomial(n[:, unsure], part[unsure] / whole[unsure])
    return result


def replicates(
    runs: HorizonRuns,
    cells: Sequence[Cells],
    points: Fits,
    *,
    count: int,
    regularization: float,
    seed: int,
    fitted_together: int | None = None,
) -> Fits:
    """Fits of ``count`` replicates, arrays of shape (count, agents).

    All agents share the draw of families and tasks, so their differences are paired.

    Args:
        runs: gives the tasks and families that are drawn.
        cells: by agent. points: their fits, from which those of the replicates start.
        count: replicates. regularization: as in the point fit. seed: of the draws.
        fitted_together: replicates in one array computation; by default what memory allows.
    """
    agents = len(cells)
    intercept = np.full((count, agents), np.nan)
    slope = np.full((count, agents), np.nan)
    status: NDArray[np.int8] = np.zeros((count, agents), dtype=np.int8)
    for block in range(-(-count // DRAWN_TOGETHER)):
        begin = block * DRAWN_TOGETHER
        rows = min(DRAWN_TOGETHER, count - begin)
        times = resample_tasks(
            runs.task_family, _stream(seed, block, 0), DRAWN_TOGETHER
        )
        for agent, cell in enumerate(cells):
            rng = _stream(seed, block, agent + 1)
            weight, solved = resample_runs(cell, times[:, cell.tasks], rng)
            known = np.isfinite(points.slope[agent])
            start = (float(points.intercept[agent]), float(points.slope[agent])) if known else None
            step = fitted_together or max(1, _LARGEST_ARRAY // max(1, len(cell.tasks)))
            for low in range(0, rows, step):
                part = slice(low, min(low + step, rows))
                out = slice(begin + part.start, begin + part.stop)
                found = fit(cell.x, weight[part], solved[part], regularization, start)
                intercept[out, agent] = found.intercept
                slope[out, agent] = found.slope
                status[out, agent] = found.status
    return Fits(intercept=intercept, slope=slope, status=status)


def outer_ranks(count: int, families: int, level: float) -> tuple[int, int]:
    """Places of the interval's ends among ``count`` sorted replicates, from 0.

    Resampled families vary by (m - 1) / m less than families do, and know their own variance
    badly; percentiles further out by the t quantile and that factor pay for both (Hesterberg
    2015, the expanded percentile interval).
    """
    from scipy.special import ndtr, stdtrit

    wider = math.sqrt(families / (families - 1)) * stdtrit(families - 1, (1 + level) / 2)
    tail = float(ndtr(-wider))
    # The k-th lowest of n replicates has k / (n + 1) of the distribution below it.
    below = max(math.floor(tail * (count + 1)) - 1, 0)
    return below, count - 1 - below


def _stream(seed: int, block: int, part: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block, part)))
