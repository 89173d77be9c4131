"""The penalised logistic fit of success on task length, for many weightings at once.

Imported late: it needs numpy at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._horizon_results import Weighting
from ._horizon_runs import HorizonRuns

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# What a fit came to.
FALLING, RISING, ALL_FAILED, ALL_SOLVED, NOTHING, SEPARATED, STOPPED = range(7)

# Slopes nearer to 0 are rounding: their horizons would be 2 to the power of 1e9.
FLATTEST_SLOPE = -1e-9
# Scores up to this are failures: the square of a smaller one, which the curvature is, vanishes.
NO_SUCCESS = 1e-100
_STEPS = 500
# Newton's error squares: the step after one of this size (in log odds) ends at rounding.
_LAST_STEP = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cells:
    """What one agent's runs say, by task that it attempted.

    Attributes:
        tasks: places in `HorizonRuns.tasks`. x: log2 of human minutes.
        runs: scored runs. total: sum of their scores.
        weight: of each run of the task; over all runs of the agent they sum to 1.
        values, counts: distinct scores of the task and how many runs had each, padded with 0
            runs; shapes (tasks, most distinct scores).
    """

    tasks: Ints
    x: Floats
    runs: Ints
    total: Floats
    weight: Floats
    values: Floats
    counts: Ints


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fits:
    """Log odds of success = intercept + slope * log2(minutes), and what the fit came to."""

    intercept: Floats
    slope: Floats
    status: NDArray[np.int8]


def cells_of(runs: HorizonRuns, scores: Floats, weighting: Weighting) -> tuple[Cells, ...]:
    """Each agent's cells, in the order of ``runs.agents``; NaN scores are left out.

    ``invsqrt``: a run weighs 1 / (runs of the agent on the task * sqrt(tasks of the family that
    it attempted)); ``equal``: 1 / runs on the task; both divided by their sum over the agent.
    """
    kept = ~np.isnan(scores)
    n_tasks = len(runs.tasks)
    key = runs.run_agent[kept] * n_tasks + runs.run_task[kept]
    pairs, inverse = np.unique(key, return_inverse=True)
    count = np.bincount(inverse, minlength=len(pairs))
    total: Floats = np.zeros(len(pairs))
    np.add.at(total, inverse, scores[kept])
    order = np.lexsort((scores[kept], inverse))
    cell, value = inverse[order], scores[kept][order]
    first = np.ones(len(cell), dtype=bool)
    first[1:] = (cell[1:] != cell[:-1]) | (value[1:] != value[:-1])
    starts = np.flatnonzero(first)
    repeats = np.diff(np.append(starts, len(cell)))
    of_cell, distinct = cell[starts], value[starts]
    new_cell = np.ones(len(of_cell), dtype=bool)
    new_cell[1:] = of_cell[1:] != of_cell[:-1]
    begins = np.flatnonzero(new_cell)
    place = np.arange(len(of_cell)) - np.repeat(begins, np.diff(np.append(begins, len(of_cell))))

    agent_of, task_of = pairs // n_tasks, pairs % n_tasks
    result = []
    for agent in range(len(runs.agents)):
        low, high = np.searchsorted(agent_of, (agent, agent + 1))
        tasks, n = task_of[low:high], count[low:high]
        weight = 1 / n
        if weighting == "invsqrt":
            family = runs.task_family[tasks]
            weight = weight / np.sqrt(np.bincount(family, minlength=1)[family])
        if len(tasks):
            weight = weight / (weight * n).sum()
        inside = (of_cell >= low) & (of_cell < high)
        widest = int(place[inside].max()) + 1 if len(tasks) else 0
        values = np.zeros((len(tasks), widest))
        counts = np.zeros((len(tasks), widest), dtype=np.int64)
        values[of_cell[inside] - low, place[inside]] = distinct[inside]
        counts[of_cell[inside] - low, place[inside]] = repeats[inside]
        result.append(
            Cells(
                tasks=tasks,
                x=np.log2(runs.task_minutes[tasks]),
                runs=n,
                total=total[low:high],
                weight=weight,
                values=values,
                counts=counts,
            )
        )
    return tuple(result)


def fit(
    x: Floats,
    weight: Floats,
    solved: Floats,
    regularization: float,
    start: tuple[float, float] | None = None,
) -> Fits:
    """Minimise sum(weight * log(1 + e^z) - solved * z) + regularization / 2 * slope^2 by row.

    z = intercept + slope * x; the intercept is not penalised, so centring x inside changes
    nothing. Damped Newton steps of length log(1 + r) / r, with r the largest change of z, which
    fall to the minimum from any start (Sun and Tran-Dinh 2019, for logistic losses), so that no
    loss is evaluated to choose a step.

    Args:
        x: log2 minutes of each task, shape (tasks,).
        weight: weight of each task's runs, shape (rows, tasks).
        solved: weighted score, at most ``weight``, same shape.
        regularization: 0 or more. At 0 a row whose lengths tell solved from failed has no
            finite minimum and gets `SEPARATED`.
        start: intercept and slope near the minimum.
    """
    rows = len(weight)
    status = np.full(rows, FALLING, dtype=np.int8)
    everything = weight.sum(axis=1)
    status[(solved >= weight).all(axis=1)] = ALL_SOLVED
    status[(solved <= NO_SUCCESS * weight).all(axis=1)] = ALL_FAILED
    status[everything <= 0] = NOTHING
    if regularization == 0:
        status[(status == FALLING) & _separated(x, weight, solved)] = SEPARATED
    open_rows = np.flatnonzero(status == FALLING)
    intercept = np.full(rows, np.nan)
    slope = np.full(rows, np.nan)
    if len(open_rows):
        centre = float(x.mean())
        w, y = weight[open_rows], solved[open_rows]
        near = None if start is None else (start[0] + start[1] * centre, start[1])
        b, s, done = _newton(x - centre, w, y, regularization, near)
        if near is not None and not done.all():
            # So far from the start that it was flat there: the cold start never is.
            again = np.flatnonzero(~done)
            b[again], s[again], done[again] = _newton(
                x - centre, w[again], y[again], regularization, None
            )
        intercept[open_rows] = b - s * centre
        slope[open_rows] = s
        status[open_rows[s >= FLATTEST_SLOPE]] = RISING
        status[open_rows[~done]] = STOPPED
    return Fits(intercept=intercept, slope=slope, status=status)


def _separated(x: Floats, weight: Floats, solved: Floats) -> NDArray[np.bool_]:
    """Some length has all that was solved on one side and all that failed on the other."""
    some_solved, some_failed = solved > 0, solved < weight
    longest_solved = np.where(some_solved, x, -np.inf).max(axis=1)
    shortest_solved = np.where(some_solved, x, np.inf).min(axis=1)
    longest_failed = np.where(some_failed, x, -np.inf).max(axis=1)
    shortest_failed = np.where(some_failed, x, np.inf).min(axis=1)
    apart: NDArray[np.bool_] = (longest_solved <= shortest_failed) | (
        shortest_solved >= longest_failed
    )
    return apart


def _newton(
    x: Floats,
    weight: Floats,
    solved: Floats,
    regularization: float,
    start: tuple[float, float] | None,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Intercept at the centre, slope, and whether it settled; ``x`` is centred."""
    rows = len(weight)
    width = float(np.abs(x).max())
    powers = np.stack((np.ones_like(x), x, x * x), axis=1)
    b, s = np.empty(rows), np.empty(rows)
    if start is None:
        rate = solved.sum(axis=1) / weight.sum(axis=1)
        b[:] = np.log(rate / (1 - rate))
        s[:] = 0.0
    else:
        b[:], s[:] = start
    active = np.arange(rows)
    settled = np.zeros(rows, dtype=np.bool_)
    w, y, b_now, s_now = weight, solved, b, s
    for _ in range(_STEPS):
        z = s_now[:, None] * -x
        z -= b_now[:, None]
        with np.errstate(over="ignore"):
            np.exp(z, out=z)
        z += 1
        np.reciprocal(z, out=z)
        expected = w * z
        np.subtract(1, z, out=z)
        z *= expected
        expected -= y
        gradient = np.einsum("rt,tk->rk", expected, powers[:, :2])
        curvature = np.einsum("rt,tk->rk", z, powers)
        gradient_s = gradient[:, 1] + regularization * s_now
        h_bb, h_bs, h_ss = curvature[:, 0], curvature[:, 1], curvature[:, 2] + regularization
        determinant = h_bb * h_ss - h_bs * h_bs
        with np.errstate(all="ignore"):
            step_b = -(h_ss * gradient[:, 0] - h_bs * gradient_s) / determinant
            step_s = -(h_bb * gradient_s - h_bs * gradient[:, 0]) / determinant
            reach = np.abs(step_b) + np.abs(step_s) * width
            share = np.where(reach > _LAST_STEP, np.log1p(reach) / reach, 1.0)
        lost = ~np.isfinite(reach)
        step_b, step_s = np.where(lost, 0, share * step_b), np.where(lost, 0, share * step_s)
        b_now, s_now = b_now + step_b, s_now + step_s
        b[active], s[active] = b_now, s_now
        settled[active] = (reach <= _LAST_STEP) & ~lost
        on = (reach > _LAST_STEP) & ~lost
        if not on.all():
            active = active[on]
            if not len(active):
                break
            w, y, b_now, s_now = w[on], y[on], b_now[on], s_now[on]
    return b, s, settled
