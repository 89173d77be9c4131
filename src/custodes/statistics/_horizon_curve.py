"""Success against task length: the fitted curve with its band, and what was observed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from custodes.types import JsonObject

from ._checks import checked_level, checked_numbers
from ._horizon import REGIONS, no_interval
from ._horizon_results import HorizonFit


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessCurve:
    """Fitted probability of success by task length.

    Attributes:
        agent: its name.
        minutes: task lengths, as asked for.
        probability: the fit at each; 0 or 1 throughout when every run failed or succeeded, and
            None when there is no finite fit.
        low, high: pointwise band from the bootstrap: it covers at each length, and the whole
            curve less often. None without one, and ``note`` says why.
        level: coverage at each length.
        note: what a reader must know.
    """

    agent: str
    minutes: tuple[float, ...]
    probability: tuple[float, ...] | None
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    level: float
    note: str | None

    def to_json(self) -> JsonObject:
        return {
            "agent": self.agent,
            "minutes": list(self.minutes),
            "probability": None if self.probability is None else list(self.probability),
            "low": None if self.low is None else list(self.low),
            "high": None if self.high is None else list(self.high),
            "level": self.level,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthBin:
    """Runs on tasks of about one length.

    Attributes:
        start, end: minutes; tasks with start <= minutes < end (the last bin holds its end too).
        success: mean score with the weights of the fit; None without a scored run.
        n_runs, n_tasks, n_families: scored runs, and the tasks and families they are of.
    """

    start: float
    end: float
    success: float | None
    n_runs: int
    n_tasks: int
    n_families: int

    def to_json(self) -> JsonObject:
        return {
            "start": self.start,
            "end": self.end,
            "success": self.success,
            "n_runs": self.n_runs,
            "n_tasks": self.n_tasks,
            "n_families": self.n_families,
        }


def success_curve(
    fit: HorizonFit, agent: str, minutes: Sequence[float], *, level: float = 0.95
) -> SuccessCurve:
    """The agent's fitted probability of success at task lengths, with a pointwise band.

    The band lies between percentiles of the replicates, placed as for the horizons and shown
    where p95 has an interval. A replicate without a fit counts as 0 for the lower end and
    as 1 for the upper.

    Args:
        fit: from `fit_horizons`. agent: one of its agents.
        minutes: task lengths above 0.
        level: coverage of the band at each length.

    Raises:
        TypeError, ValueError: an unknown agent, no length, or one that is not above 0.
    """
    place = fit.place(agent)
    level = checked_level(level)
    lengths = checked_numbers(minutes, "minutes", low=0.0)
    if not lengths or min(lengths) <= 0:
        raise ValueError(f"expected lengths above 0 minutes, found {tuple(minutes)}")

    import numpy as np

    from . import _horizon_fit as outcome
    from ._horizon_bootstrap import outer_ranks

    found = fit.agents[place]
    status = fit.outcomes[place]
    x = np.log2(np.array(lengths, dtype=np.float64))
    probability: tuple[float, ...] | None = None
    note = None
    if status in (outcome.ALL_FAILED, outcome.ALL_SOLVED):
        all_failed = status == outcome.ALL_FAILED
        probability = tuple(0.0 if all_failed else 1.0 for _ in lengths)
        note = f"no band: all runs {'failed' if all_failed else 'succeeded'}"
    elif found.slope is None or found.intercept is None:
        note = "no curve: there is no finite fit"
    else:
        probability = tuple(_logistic(found.intercept + found.slope * v) for v in x.tolist())
        note = no_interval(
            REGIONS[-1][1], fit.bootstrap, level, found.n_families, found.n_runs
        )
        note = note and note.replace("no interval", "no band")
    if probability is None or note is not None:
        return SuccessCurve(
            agent=agent,
            minutes=lengths,
            probability=probability,
            low=None,
            high=None,
            level=level,
            note=note,
        )
    states = fit.status[:, place]
    with np.errstate(over="ignore", invalid="ignore"):
        z = fit.intercept[:, place, None] + fit.slope[:, place, None] * x
        chance = 1 / (1 + np.exp(-z))
    chance[states == outcome.ALL_FAILED] = 0.0
    chance[states == outcome.ALL_SOLVED] = 1.0
    below, above = outer_ranks(len(chance), found.n_families, level)
    lows = np.sort(np.where(np.isnan(chance), 0.0, chance), axis=0)[below]
    highs = np.sort(np.where(np.isnan(chance), 1.0, chance), axis=0)[above]
    middle = np.array(probability)
    return SuccessCurve(
        agent=agent,
        minutes=lengths,
        probability=probability,
        low=tuple(np.minimum(lows, middle).tolist()),
        high=tuple(np.maximum(highs, middle).tolist()),
        level=level,
        note=(
            "pointwise: the band covers at each length where success is between 5 and 95 %, and "
            "the whole curve less often"
        ),
    )


def observed_success(
    fit: HorizonFit, agent: str, *, edges: Sequence[float] | None = None
) -> tuple[LengthBin, ...]:
    """The agent's mean score by task length, with the weights, cheats and runs of the fit.

    Args:
        fit: from `fit_horizons`. agent: one of its agents.
        edges: ascending minutes, at least two; by default powers of 2 around all tasks of the
            agent. Tasks outside are in no bin.

    Raises:
        TypeError, ValueError: an unknown agent, or edges that do not ascend.
    """
    import numpy as np

    from ._horizon_fit import cells_of

    place = fit.place(agent)
    cell = cells_of(fit.runs, fit.runs.scores(cheats=fit.cheats), fit.weighting)[place]
    if edges is None:
        if not len(cell.tasks):
            return ()
        first = math.floor(float(cell.x.min()))
        last = max(math.ceil(float(cell.x.max())), first + 1)
        limits = tuple(2.0**k for k in range(first, last + 1))
    else:
        limits = checked_numbers(edges, "edges", low=0.0)
        if len(limits) < 2 or any(b <= a for a, b in pairwise(limits)):
            raise ValueError(f"expected two or more ascending edges, found {tuple(edges)}")
    minutes = fit.runs.task_minutes[cell.tasks]
    bins = []
    for start, end in pairwise(limits):
        here = (minutes >= start) & (minutes < end)
        if end == limits[-1]:
            here |= minutes == end
        weight = cell.weight[here]
        total = float((weight * cell.runs[here]).sum())
        bins.append(
            LengthBin(
                start=start,
                end=end,
                success=float((weight * cell.total[here]).sum()) / total if total else None,
                n_runs=int(cell.runs[here].sum()),
                n_tasks=int(here.sum()),
                n_families=len(np.unique(fit.runs.task_family[cell.tasks[here]])),
            )
        )
    return tuple(bins)


def _logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
