"""Time horizons: the length of task, in human minutes, done with a given probability."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ._checks import checked_count, checked_level, checked_numbers, joined
from ._horizon_point import measurable_to, point_fits, point_horizon
from ._horizon_results import (
    AgentHorizon,
    Bound,
    Horizon,
    HorizonFit,
    Replicates,
    SensitivityRow,
    Weighting,
    minutes_of,
)
from ._horizon_runs import Cheats, HorizonRuns, Unscored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Where coverage was shown (docs/statistics.md): quantiles, and the least families and runs of the
# agent. The first row that holds the quantile counts.
REGIONS: tuple[tuple[float, float, int, int], ...] = (
    (0.5, 0.5, 10, 1),
    (0.2, 0.8, 30, 100),
    (0.05, 0.95, 30, 200),
)
INTERVAL_LEVEL = 0.95
# Below it the 2.5th percentile is one of the two lowest replicates.
LEAST_REPLICATES = 100

REGULARIZATIONS = (0.1, 1e-5)
WEIGHTINGS: tuple[Weighting, ...] = ("invsqrt", "equal")


def horizons(
    runs: HorizonRuns,
    *,
    regularization: float = 0.1,
    weighting: Weighting = "invsqrt",
    bootstrap: int = 1000,
    seed: int = 0,
    quantiles: Sequence[float] = (0.5, 0.8),
    level: float = 0.95,
    cheats: Cheats = "fail",
) -> tuple[AgentHorizon, ...]:
    """Each agent's time horizons with bootstrap intervals; see `fit_horizons`."""
    return fit_horizons(
        runs,
        regularization=regularization,
        weighting=weighting,
        bootstrap=bootstrap,
        seed=seed,
        quantiles=quantiles,
        level=level,
        cheats=cheats,
    ).agents


def fit_horizons(
    runs: HorizonRuns,
    *,
    regularization: float = 0.1,
    weighting: Weighting = "invsqrt",
    bootstrap: int = 1000,
    seed: int = 0,
    quantiles: Sequence[float] = (0.5, 0.8),
    level: float = 0.95,
    cheats: Cheats = "fail",
) -> HorizonFit:
    """Fit success against task length for each agent, and bootstrap the fit.

    Minimises sum w (log(1 + e^z) - y z) + regularization / 2 * slope^2 over runs, with
    z = intercept + slope * log2(minutes), scores y in [0, 1] and weights that sum to 1 for each
    agent. The horizon at q is 2^((logit q - intercept) / slope).

    - Every run failed: 0. Every run succeeded: a lower bound at the longest task. Neither has an
      interval: nothing in the runs says how far the horizon is.
    - Success does not fall with length (also: all tasks of one length): not identified.
    - ``regularization`` 0 and lengths that tell solved from failed: no finite fit, not
      identified.
    - At most 5 of 228 of the agent's tasks are longer than the estimate: a lower bound, and the
      interval is open above.

    The bootstrap draws families, then tasks within each drawn family, then runs within task and
    agent, with replacement; all agents share the draw of families and tasks. The interval lies
    between percentiles of the replicates, further out the fewer families there are, and is
    widened to hold the estimate. It is given where its coverage was shown: at 95 %; for p50 from
    10 families on; from p20 to p80 from 30 families and 100 runs on; from p5 to p95 from 30
    families and 200 runs on.

    Args:
        runs: what was run.
        regularization: weight of the penalty on the slope, with run weights summing to 1; METR
            used 0.1 in January 2026 and 1e-5 later.
        weighting: "invsqrt", a family counts as the root of its tasks; "equal", every task as
            one.
        bootstrap: replicates; 0 for none.
        seed: of the bootstrap; the same seed gives the same replicates, and the first ones of a
            longer bootstrap are those of a shorter one.
        quantiles: probabilities, each above 0 and below 1.
        level: coverage of the intervals.
        cheats: a run that cheated counts as 0 ("fail") or as 1 ("pass").

    Raises:
        TypeError, ValueError: an argument out of range.

    Source: METR, Measuring AI Ability to Complete Long Tasks (Kwa et al. 2025), and its Time
    Horizon 1.1 release (January 2026).
    """
    checked = _checked(runs, regularization, weighting, cheats)
    bootstrap = checked_count(bootstrap, "bootstrap")
    seed = checked_count(seed, "seed")
    level = checked_level(level)
    asked = checked_numbers(quantiles, "quantiles", low=0.0, high=1.0)
    if not asked or len(set(asked)) < len(asked) or min(asked) <= 0 or max(asked) >= 1:
        raise ValueError(
            f"expected distinct quantiles above 0 and below 1, found {tuple(quantiles)}"
        )

    import numpy as np

    from ._horizon_bootstrap import replicates
    from ._horizon_fit import cells_of

    scores = runs.scores(cheats=cheats)
    cells = cells_of(runs, scores, weighting)
    points = point_fits(cells, checked)
    drawn = replicates(
        runs, cells, points, count=bootstrap, regularization=checked, seed=seed
    )
    scored = ~np.isnan(scores)
    agents = []
    for place, name in enumerate(runs.agents):
        cell = cells[place]
        mine = runs.run_agent == place
        counts = _counted(drawn.status[:, place])
        families = len(np.unique(runs.task_family[cell.tasks]))
        minutes = np.sort(runs.task_minutes[cell.tasks])
        status = int(points.status[place])
        intercept, slope = float(points.intercept[place]), float(points.slope[place])
        found = []
        for q in asked:
            of_replicates = minutes_of(
                drawn.intercept[:, place], drawn.slope[:, place], drawn.status[:, place], q
            )
            found.append(
                _horizon(
                    q,
                    status,
                    intercept,
                    slope,
                    minutes,
                    of_replicates,
                    counts,
                    families,
                    int(cell.runs.sum()),
                    level,
                )
            )
        unscored = int((mine & ~scored).sum())
        cheated = int((mine & scored & runs.run_cheated).sum())
        agents.append(
            AgentHorizon(
                agent=name,
                n_runs=int(cell.runs.sum()),
                n_tasks=len(cell.tasks),
                n_families=families,
                unscored=unscored,
                cheated=cheated,
                slope=slope if math.isfinite(slope) else None,
                intercept=intercept if math.isfinite(intercept) else None,
                horizons=tuple(found),
                replicates=counts,
                notes=_notes(unscored, int(mine.sum()), cheated, cheats, counts),
            )
        )
    return HorizonFit(
        runs=runs,
        regularization=checked,
        weighting=weighting,
        cheats=cheats,
        bootstrap=bootstrap,
        seed=seed,
        level=level,
        quantiles=asked,
        agents=tuple(agents),
        outcomes=tuple(points.status.tolist()),
        intercept=drawn.intercept,
        slope=drawn.slope,
        status=drawn.status,
    )


def sensitivity(
    runs: HorizonRuns,
    *,
    regularizations: Sequence[float] = REGULARIZATIONS,
    weightings: Sequence[Weighting] = WEIGHTINGS,
    cheats: Cheats | Literal["both"] = "both",
) -> tuple[SensitivityRow, ...]:
    """Point estimates of every agent under every choice of method.

    Runs without a score are left out, and also counted as failed and as solved where there are
    any, so that the rows bound what they can mean. Rows are ordered by agent, then by
    regularization, weighting, cheats and unscored.

    Raises:
        TypeError, ValueError: an argument out of range, or no choice at all.
    """
    if not isinstance(runs, HorizonRuns):
        raise TypeError(f"expected HorizonRuns, found {type(runs).__name__}")

    import numpy as np

    ways: tuple[Cheats, ...] = ("fail", "pass") if cheats == "both" else (cheats,)
    blank: tuple[Unscored, ...] = ("left out",)
    if bool(np.isnan(runs.run_score).any()):
        blank = ("left out", "fail", "pass")
    if not regularizations or not weightings:
        raise ValueError("expected at least one regularization and one weighting, found none")

    from ._horizon_fit import cells_of

    rows: dict[str, list[SensitivityRow]] = {name: [] for name in runs.agents}
    for regularization in regularizations:
        for weighting in weightings:
            for way in ways:
                checked = _checked(runs, regularization, weighting, way)
                for unscored in blank:
                    cells = cells_of(runs, runs.scores(cheats=way, unscored=unscored), weighting)
                    points = point_fits(cells, checked)
                    for place, name in enumerate(runs.agents):
                        minutes = np.sort(runs.task_minutes[cells[place].tasks])
                        (p50, p50_bound), (p80, p80_bound) = (
                            point_horizon(
                                q,
                                int(points.status[place]),
                                float(points.intercept[place]),
                                float(points.slope[place]),
                                minutes,
                            )[:2]
                            for q in (0.5, 0.8)
                        )
                        rows[name].append(
                            SensitivityRow(
                                agent=name,
                                regularization=checked,
                                weighting=weighting,
                                cheats=way,
                                unscored=unscored,
                                p50=p50,
                                p80=p80,
                                p50_bound=p50_bound,
                                p80_bound=p80_bound,
                            )
                        )
    return tuple(row for name in runs.agents for row in rows[name])


def _checked(runs: object, regularization: float, weighting: str, cheats: str) -> float:
    if not isinstance(runs, HorizonRuns):
        raise TypeError(f"expected HorizonRuns, found {type(runs).__name__}")
    if weighting not in WEIGHTINGS:
        raise ValueError(f"expected weighting to be one of {WEIGHTINGS}, found {weighting!r}")
    if cheats not in ("fail", "pass"):
        raise ValueError(f"expected cheats to be 'fail' or 'pass', found {cheats!r}")
    return checked_numbers((regularization,), "regularization", low=0.0)[0]


def _horizon(
    q: float,
    status: int,
    intercept: float,
    slope: float,
    minutes: NDArray[np.float64],
    of_replicates: NDArray[np.float64],
    counts: Replicates,
    families: int,
    runs: int,
    level: float,
) -> Horizon:
    estimate, bound, longer, note = point_horizon(q, status, intercept, slope, minutes)
    low, high, why = None, None, None
    if estimate is not None:
        low, high, why = _interval(q, estimate, status, bound, of_replicates, families, runs, level)
    return Horizon(
        quantile=q,
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        bound=bound,
        measurable_to=measurable_to(minutes) if len(minutes) else None,
        longer=longer,
        tasks=len(minutes),
        unidentified=counts.unidentified,
        note=joined(note, why),
    )


def no_interval(
    quantile: float, replicates: int, level: float, families: int, runs: int
) -> str | None:
    """Why coverage was not shown here, or None where it was."""
    if replicates == 0:
        return "no interval: no bootstrap was asked for"
    if replicates < LEAST_REPLICATES:
        return f"no interval: {replicates} replicates, and it takes {LEAST_REPLICATES}"
    if level != INTERVAL_LEVEL:
        return f"no interval: coverage was shown at a level of {INTERVAL_LEVEL:g}, not {level:g}"
    region = next((row for row in REGIONS if row[0] <= quantile <= row[1]), None)
    if region is None:
        lowest, highest = REGIONS[-1][:2]
        return f"no interval: coverage was shown from p{100 * lowest:g} to p{100 * highest:g}"
    least_families, least_runs = region[2:]
    if families < least_families:
        return (
            f"no interval: coverage of p{100 * quantile:g} was shown from {least_families} "
            f"families, and here are {families}"
        )
    if runs < least_runs:
        return (
            f"no interval: coverage of p{100 * quantile:g} was shown from {least_runs} runs, "
            f"and here are {runs}"
        )
    return None


def _interval(
    quantile: float,
    estimate: float,
    status: int,
    bound: Bound | None,
    of_replicates: NDArray[np.float64],
    families: int,
    runs: int,
    level: float,
) -> tuple[float | None, float | None, str | None]:
    """Ends, and what must be said of them."""
    import numpy as np

    from . import _horizon_fit as outcome
    from ._horizon_bootstrap import outer_ranks

    if status == outcome.ALL_FAILED:
        return None, None, "no interval: without a success nothing says how short it is"
    if status == outcome.ALL_SOLVED:
        return None, None, "no interval: without a failure nothing says how long it is"
    why = no_interval(quantile, len(of_replicates), level, families, runs)
    if why is not None:
        return None, None, why
    below, above = outer_ranks(len(of_replicates), families, level)
    unknown = np.isnan(of_replicates)
    least = np.sort(np.where(unknown, 0.0, of_replicates))
    most = np.sort(np.where(unknown, np.inf, of_replicates))
    low, high = min(float(least[below]), estimate), max(float(most[above]), estimate)
    if bound == "lower":
        return low, None, "the interval is open above"
    if high == math.inf:
        return low, None, "the interval is open above: replicates without a horizon reach it"
    return low, high, None


def _counted(status: NDArray[np.int8]) -> Replicates:
    import numpy as np

    from . import _horizon_fit as outcome

    count = np.bincount(status, minlength=outcome.STOPPED + 1)
    return Replicates(
        drawn=len(status),
        fitted=int(count[outcome.FALLING]),
        all_failed=int(count[outcome.ALL_FAILED]),
        all_solved=int(count[outcome.ALL_SOLVED]),
        rising=int(count[outcome.RISING]),
        none=int(count[[outcome.NOTHING, outcome.SEPARATED, outcome.STOPPED]].sum()),
    )


def _notes(
    unscored: int, runs: int, cheated: int, cheats: Cheats, counts: Replicates
) -> tuple[str, ...]:
    notes = []
    if unscored:
        notes.append(
            f"{unscored} of {runs} runs have no score and are not counted; the sensitivity rows "
            "count them as failed and as solved"
        )
    if cheated:
        counted = "failures" if cheats == "fail" else "successes"
        notes.append(f"{cheated} runs cheated and are counted as {counted}")
    if counts.unidentified:
        parts = (
            (counts.all_failed, "all failed (counted as 0)"),
            (counts.all_solved, "all solved (counted as infinite)"),
            (counts.rising + counts.none, "not identified (counted as 0 below, infinite above)"),
        )
        said = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        notes.append(
            f"{counts.unidentified:,} of {counts.drawn:,} replicates have no finite horizon above "
            f"0: {said}"
        )
    return tuple(notes)
