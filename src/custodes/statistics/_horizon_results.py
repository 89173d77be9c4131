"""What time horizons come to: the results and what they forbid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from custodes.types import JsonObject, JsonValue

from ._horizon_runs import Cheats, HorizonRuns, Unscored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Weighting = Literal["invsqrt", "equal"]
Bound = Literal["lower", "zero"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """The length of task that an agent completes with one probability.

    Attributes:
        quantile: the probability.
        estimate: human minutes; 0 when every run failed, the longest task when every run
            succeeded, None when it is not identified (``note`` says why).
        low, high: ends of the interval; both None when there is none (``note`` says why), and
            ``high`` alone None when it is open above.
        level: coverage of the interval.
        bound: "lower" when the suite cannot tell how much longer than ``measurable_to`` the
            horizon is, "zero" when every run failed, else None.
        measurable_to: minutes up to which enough tasks are longer; None without tasks. Where
            ``bound`` is "lower" it is what may be claimed: at least this long.
        longer, tasks: tasks longer than the estimate, of those that the agent attempted.
        unidentified: replicates without a finite horizon above 0: all failed (counted as 0), all
            solved (counted as infinite), and the rest, counted as 0 for ``low`` and as infinite
            for ``high``.
        note: what a reader must know to read it.
    """

    quantile: float
    estimate: float | None
    low: float | None
    high: float | None
    level: float
    bound: Bound | None
    measurable_to: float | None
    longer: int
    tasks: int
    unidentified: int
    note: str | None

    def __post_init__(self) -> None:
        for number in (self.estimate, self.low, self.high):
            if number is not None and not 0 <= number < math.inf:
                raise ValueError(f"expected minutes from 0 and finite, or None, found {number}")
        if self.estimate is None and (self.low is not None or not self.note):
            raise ValueError("a horizon without an estimate has no interval and says why")
        if self.low is None and (self.high is not None or not self.note):
            raise ValueError("a horizon without an interval says why")
        if self.high is None and not self.note:
            raise ValueError("a horizon with an open interval says why")

    @property
    def share_beyond(self) -> float | None:
        """Share of the agent's tasks that are longer than the estimate."""
        return self.longer / self.tasks if self.tasks and self.estimate is not None else None

    def to_json(self) -> JsonObject:
        return {
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "bound": self.bound,
            "measurable_to": self.measurable_to,
            "share_beyond": self.share_beyond,
            "unidentified": self.unidentified,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """What became of an agent's bootstrap replicates; the five counts sum to ``drawn``.

    Attributes:
        drawn: replicates.
        fitted: success falls with length.
        all_failed, all_solved: horizon 0, horizon without end.
        rising: success does not fall with length, so there is no horizon.
        none: no run was drawn, or no finite fit.
    """

    drawn: int
    fitted: int
    all_failed: int
    all_solved: int
    rising: int
    none: int

    @property
    def unidentified(self) -> int:
        return self.drawn - self.fitted

    def to_json(self) -> JsonObject:
        return {
            "drawn": self.drawn,
            "fitted": self.fitted,
            "all_failed": self.all_failed,
            "all_solved": self.all_solved,
            "rising": self.rising,
            "none": self.none,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHorizon:
    """One agent's fit: log odds of success = intercept + slope * log2(human minutes).

    Attributes:
        agent: its name.
        n_runs, n_tasks, n_families: scored runs, and the tasks and families they are of.
        unscored: runs without a score, in no other figure here.
        cheated: scored runs that cheated.
        slope, intercept: of the fit; None when there is no finite one. A slope of 0 or more
            means that the horizon is not identified.
        horizons: one for each quantile asked for, in that order.
        replicates: of the bootstrap.
        notes: what a reader must know, for all quantiles.
    """

    agent: str
    n_runs: int
    n_tasks: int
    n_families: int
    unscored: int
    cheated: int
    slope: float | None
    intercept: float | None
    horizons: tuple[Horizon, ...]
    replicates: Replicates
    notes: tuple[str, ...]

    def at(self, quantile: float) -> Horizon:
        """The horizon at a quantile that was asked for; else KeyError."""
        for horizon in self.horizons:
            if horizon.quantile == quantile:
                return horizon
        raise KeyError(f"expected one of {[h.quantile for h in self.horizons]}, found {quantile}")

    @property
    def p50(self) -> Horizon:
        return self.at(0.5)

    @property
    def p80(self) -> Horizon:
        return self.at(0.8)

    @property
    def share_beyond(self) -> float | None:
        """Share of the agent's tasks longer than its first horizon."""
        return self.horizons[0].share_beyond

    def to_json(self) -> JsonObject:
        document: dict[str, JsonValue] = {
            "agent": self.agent,
            "n_runs": self.n_runs,
            "n_tasks": self.n_tasks,
            "n_families": self.n_families,
            "unscored": self.unscored,
            "cheated": self.cheated,
            "slope": self.slope,
            "intercept": self.intercept,
            "replicates": self.replicates.to_json(),
        }
        for horizon in self.horizons:
            document[f"p{100 * horizon.quantile:g}"] = horizon.to_json()
        document["notes"] = list(self.notes)
        return document


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HorizonFit:
    """Fits of all agents with their replicates, as `fit_horizons` made them.

    Attributes:
        runs: what was fitted.
        regularization, weighting, cheats, bootstrap, seed, level, quantiles: as asked for; the
            first three are part of the estimator's name.
        agents: results, in the order of ``runs.agents``. outcomes: what each fit came to, as in
            ``status``.
        intercept, slope, status: of the replicates, arrays of shape (bootstrap, agents).
    """

    runs: HorizonRuns
    regularization: float
    weighting: Weighting
    cheats: Cheats
    bootstrap: int
    seed: int
    level: float
    quantiles: tuple[float, ...]
    agents: tuple[AgentHorizon, ...]
    outcomes: tuple[int, ...]
    intercept: NDArray[np.float64]
    slope: NDArray[np.float64]
    status: NDArray[np.int8]

    def agent(self, name: str) -> AgentHorizon:
        """The result of one agent; an unknown name is a ValueError."""
        return self.agents[self.place(name)]

    def replicate_horizons(self, agent: str, quantile: float = 0.5) -> NDArray[np.float64]:
        """Minutes by replicate: 0 all failed, inf all solved, NaN not identified.

        Replicate i of every agent is of the same draw of families and tasks.
        """
        place = self.place(agent)
        return minutes_of(
            self.intercept[:, place], self.slope[:, place], self.status[:, place], quantile
        )

    def place(self, name: str) -> int:
        """Where an agent is in ``agents`` and in the last axis of the arrays."""
        if name not in self.runs.agents:
            known = ", ".join(self.runs.agents)
            raise ValueError(f"expected an agent of the runs ({known}), found {name!r}")
        return self.runs.agents.index(name)

    def method(self) -> JsonObject:
        return {
            "regularization": self.regularization,
            "weighting": self.weighting,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "cheats": self.cheats,
            "level": self.level,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SensitivityRow:
    """Point estimates of one agent under one choice of method.

    Attributes:
        agent: its name.
        regularization, weighting, cheats: the choice. unscored: how runs without a score count.
        p50, p80: minutes; None when not identified.
        p50_bound, p80_bound: as `Horizon.bound`.
    """

    agent: str
    regularization: float
    weighting: Weighting
    cheats: Cheats
    unscored: Unscored
    p50: float | None
    p80: float | None
    p50_bound: Bound | None
    p80_bound: Bound | None

    def to_json(self) -> JsonObject:
        return {
            "agent": self.agent,
            "regularization": self.regularization,
            "weighting": self.weighting,
            "cheats": self.cheats,
            "unscored": self.unscored,
            "p50": self.p50,
            "p80": self.p80,
            "p50_bound": self.p50_bound,
            "p80_bound": self.p80_bound,
        }


def minutes_of(
    intercept: NDArray[np.float64],
    slope: NDArray[np.float64],
    status: NDArray[np.int8],
    q: float,
) -> NDArray[np.float64]:
    """Horizons in minutes: 0 all failed, inf all solved, NaN not identified."""
    import numpy as np

    from . import _horizon_fit as outcome

    minutes = np.full(len(status), np.nan)
    fitted = status == outcome.FALLING
    with np.errstate(over="ignore", under="ignore"):
        minutes[fitted] = np.exp2((math.log(q / (1 - q)) - intercept[fitted]) / slope[fitted])
    minutes[status == outcome.ALL_FAILED] = 0.0
    minutes[status == outcome.ALL_SOLVED] = np.inf
    return minutes
