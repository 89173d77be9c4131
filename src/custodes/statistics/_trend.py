"""How fast the best time horizons grow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from numbers import Real
from typing import TYPE_CHECKING, Literal

from custodes.types import JsonObject

from ._checks import checked_count, checked_level, joined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEAST_REPLICATES = 100
INTERVAL_LEVEL = 0.95
LEAST_FAMILIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """An agent with its release date and its horizon at 50 %.

    Attributes:
        agent: its name.
        date: of the release.
        p50: human minutes, 0 or more; None when it is not identified.
    """

    agent: str
    date: date
    p50: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendAgent:
    """A release and what the trend made of it.

    Attributes:
        agent, date, p50: as given.
        best: its p50 is longer than that of every agent released before it, and than that of
            every other agent released on its day.
        used: it is one of the points of the line.
        note: why a release without a finite p50 above 0 was left out.
    """

    agent: str
    date: date
    p50: float | None
    best: bool
    used: bool
    note: str | None

    def to_json(self) -> JsonObject:
        return {
            "agent": self.agent,
            "release_date": self.date.isoformat(),
            "p50": self.p50,
            "best": self.best,
            "used": self.used,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DoublingTime:
    """Days in which the best horizon doubles.

    Attributes:
        estimate: days; None when horizons do not grow or fewer than two agents are on the line.
        low, high: interval in days; both None without one, ``high`` alone None when it is open
            above (growth of 0 is not excluded).
        level: coverage.
        best: in each replicate, "anew" selects the best agents again, "same" keeps those of the
            estimates.
        replicates: behind the interval. unidentified: those without a line, counted as no growth
            for ``high`` and as unlimited growth for ``low``.
        note: why a figure is None.
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    best: Literal["anew", "same"]
    replicates: int
    unidentified: int
    note: str | None

    def to_json(self) -> JsonObject:
        return {
            "estimate": self.estimate,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "best": self.best,
            "replicates": self.replicates,
            "unidentified": self.unidentified,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """A line through ln p50 of the best agents against days.

    Attributes:
        since: releases from this day on were used; None for all.
        slope: change of ln p50 in one day; None when there is no line.
        intercept: ln p50 at ``origin``. origin: the first release on the line.
        doubling_time_days: ln 2 / slope; its interval selects the best agents anew in each
            replicate.
        doubling_time_days_same_best: the same, its interval with the best agents of the
            estimates in every replicate: what the line would be if it were known who was best.
        agents: all releases given, by date.
    """

    since: date | None
    slope: float | None
    intercept: float | None
    origin: date | None
    doubling_time_days: DoublingTime
    doubling_time_days_same_best: DoublingTime
    agents: tuple[TrendAgent, ...]

    def to_json(self) -> JsonObject:
        return {
            "from": None if self.since is None else self.since.isoformat(),
            "slope": self.slope,
            "doubling_time_days": self.doubling_time_days.to_json(),
            "doubling_time_days_same_best": self.doubling_time_days_same_best.to_json(),
            "agents": [agent.to_json() for agent in self.agents],
        }


def trend(
    releases: Iterable[Release],
    *,
    since: date | None = None,
    replicates: Mapping[str, Sequence[float] | NDArray[np.float64]] | None = None,
    families: int | None = None,
    level: float = 0.95,
) -> Trend:
    """Least squares of ln p50 on days among the agents that were the best of their day.

    The maximum of noisy horizons only grows, so agents that do not differ have a doubling time
    too: the interval with the same best is open above then, that with the best selected anew is
    not. Show both.

    An agent is best when its p50 is longer than that of all agents released earlier and of all
    others released on its day; a tie with an earlier one is no new best, and of two equal ones
    on one day the first by name is. The running maximum runs over all releases; ``since``
    selects the points of the line afterwards. A p50 of 0, None or infinity has no logarithm: the
    agent is listed and not used.

    Args:
        releases: agents, in any order; each name once.
        since: first day of the line.
        replicates: p50 by replicate for every agent given, as
            `HorizonFit.replicate_horizons` returns them: replicate i of all agents of one draw,
            0 all failed, inf all solved, NaN not identified. Without them there is no interval:
            intervals of single agents do not say how their errors go together, and agents that
            ran the same tasks err together.
        families: task families behind the replicates; with fewer than 10 there is no interval.
            None when the caller has seen to that.
        level: coverage of the interval; only 0.95 was simulated.

    Raises:
        TypeError, ValueError: no release, a name twice, a date that is none, a negative or NaN
            p50, replicates that lack an agent or differ in number.

    Source: METR (Kwa et al. 2025).
    """
    ordered = _checked(releases)
    level = checked_level(level)
    if families is not None:
        families = checked_count(families, "families")
    if since is not None and type(since) is not date:
        raise TypeError(f"expected since to be a date, found {since!r}")

    import numpy as np

    days = np.array([release.date.toordinal() for release in ordered], dtype=np.int64)
    on_line = days >= (since.toordinal() if since is not None else 0)
    p50 = np.array(
        [math.nan if release.p50 is None else release.p50 for release in ordered], dtype=np.float64
    )
    best = _best(days, p50[None, :])
    used = best & on_line
    slope, height, origin_day = _lines(days, p50[None, :], used)
    growth = float(slope[0]) if math.isfinite(slope[0]) else None
    origin = None
    if growth is not None:
        origin = date.fromordinal(int(days[used[0]][0]))
        height = height + slope * (int(days[used[0]][0]) - origin_day)
    estimate, why = None, None
    if growth is None:
        count = int(used.sum())
        why = f"not identified: a line takes two best agents of different days, found {count}"
    elif growth <= 0:
        why = "no doubling: the best horizons do not grow"
    else:
        estimate = math.log(2) / growth
    anew, same = _replicate_slopes(ordered, days, on_line, used, replicates)
    return Trend(
        since=since,
        slope=growth,
        intercept=float(height[0]) if growth is not None else None,
        origin=origin,
        doubling_time_days=_doubling(estimate, why, anew, families, level, "anew"),
        doubling_time_days_same_best=_doubling(estimate, why, same, families, level, "same"),
        agents=tuple(
            TrendAgent(
                agent=release.agent,
                date=release.date,
                p50=release.p50,
                best=bool(best[0, i]),
                used=bool(used[0, i]),
                note=_left_out(release.p50),
            )
            for i, release in enumerate(ordered)
        ),
    )


def _checked(releases: Iterable[object]) -> list[Release]:
    names: set[str] = set()
    kept = []
    for i, release in enumerate(releases):
        if not isinstance(release, Release):
            raise TypeError(f"expected releases of Release, found {release!r} at {i}")
        name: object = release.agent
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"expected the name of an agent, found {name!r} at {i}")
        if release.agent in names:
            raise ValueError(f"expected each agent once, found {release.agent!r} again at {i}")
        names.add(release.agent)
        day: object = release.date
        if type(day) is not date:
            raise TypeError(f"expected a date of {release.agent!r}, found {release.date!r}")
        p50: object = release.p50
        if p50 is not None and (
            isinstance(p50, bool) or not isinstance(p50, Real) or not float(p50) >= 0
        ):
            raise ValueError(
                f"expected p50 of {release.agent!r} to be minutes from 0, or None, found {p50!r}"
            )
        kept.append(release)
    if not kept:
        raise ValueError("expected at least one release, found none")
    return sorted(kept, key=lambda release: (release.date, release.agent))


def _left_out(p50: float | None) -> str | None:
    if p50 is None:
        return "not used: the horizon is not identified"
    if p50 == 0:
        return "not used: a horizon of 0 has no logarithm"
    if math.isinf(p50):
        return "not used: the horizon is not finite"
    return None


def _best(
    days: NDArray[np.int64], p50: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which agents were the best of their day, by row; ``days`` ascends."""
    import numpy as np

    finite = np.where(np.isfinite(p50) & (p50 > 0), p50, 0.0)
    best = np.zeros(p50.shape, dtype=np.bool_)
    highest = np.zeros(len(p50))
    rows = np.arange(len(p50))
    for day in np.unique(days):
        here = np.flatnonzero(days == day)
        top = here[finite[:, here].argmax(axis=1)]
        value = finite[rows, top]
        best[rows, top] = value > highest
        highest = np.maximum(highest, value)
    return best


def _lines(
    days: NDArray[np.int64], p50: NDArray[np.float64], used: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Slope and height at the returned day, by row; NaN where there are not two days."""
    import numpy as np

    origin = int(days[0])
    x = (days - origin).astype(np.float64)
    usable = used & np.isfinite(p50) & (p50 > 0)
    y = np.log(np.where(usable, p50, 1.0))
    count = usable.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        x_mean = (usable * x).sum(axis=1) / count
        y_mean = (usable * y).sum(axis=1) / count
        dx = np.where(usable, x - x_mean[:, None], 0.0)
        slope = (dx * y).sum(axis=1) / (dx * dx).sum(axis=1)
    slope = np.where(count >= 2, slope, np.nan)
    slope[~np.isfinite(slope)] = np.nan
    return slope, y_mean - slope * x_mean, origin


def _replicate_slopes(
    ordered: list[Release],
    days: NDArray[np.int64],
    on_line: NDArray[np.bool_],
    used: NDArray[np.bool_],
    replicates: Mapping[str, Sequence[float] | NDArray[np.float64]] | None,
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Slopes with the best selected anew and with the same best; NaN where not identified."""
    if replicates is None:
        return None, None
    import numpy as np

    lacking = [release.agent for release in ordered if release.agent not in replicates]
    if lacking:
        raise ValueError(f"expected replicates of every agent, found none of {lacking[0]!r}")
    columns = [np.asarray(replicates[release.agent], dtype=np.float64) for release in ordered]
    for release, column in zip(ordered, columns, strict=True):
        if column.ndim != 1:
            raise ValueError(
                f"expected the replicates of {release.agent!r} in one row, found {column.ndim} axes"
            )
    lengths = sorted({len(column) for column in columns})
    if len(lengths) > 1:
        raise ValueError(
            f"expected as many replicates of every agent, found {lengths[0]} and {lengths[-1]}"
        )
    drawn = np.stack(columns, axis=1)
    if bool((drawn < 0).any()):
        raise ValueError("expected replicates to be minutes from 0, found a negative one")
    anew = _best(days, drawn) & on_line
    slopes, _, _ = _lines(days, drawn, anew)
    # What has no length may have been the best: such a replicate says nothing about the line.
    unknown = ~np.isfinite(drawn)
    slopes[unknown.any(axis=1)] = np.nan
    same = np.broadcast_to(used, drawn.shape)
    fixed, _, _ = _lines(days, drawn, same)
    fixed[(same & ~(np.isfinite(drawn) & (drawn > 0))).any(axis=1)] = np.nan
    return slopes, fixed


def _doubling(
    estimate: float | None,
    why: str | None,
    slopes: NDArray[np.float64] | None,
    families: int | None,
    level: float,
    best: Literal["anew", "same"],
) -> DoublingTime:
    import numpy as np

    low: float | None = None
    high: float | None = None
    count = 0 if slopes is None else len(slopes)
    note = why
    if slopes is None:
        note = joined(
            why,
            "no interval: without replicates of a shared bootstrap, how the errors of the agents "
            "go together is not known",
        )
    elif estimate is None:
        pass
    elif count < LEAST_REPLICATES:
        note = f"no interval: {count} replicates, and it takes {LEAST_REPLICATES}"
    elif level != INTERVAL_LEVEL:
        note = f"no interval: coverage was shown at a level of {INTERVAL_LEVEL:g}, not {level:g}"
    elif families is not None and families < LEAST_FAMILIES:
        note = (
            f"no interval: coverage was shown from {LEAST_FAMILIES} families, "
            f"and here are {families}"
        )
    else:
        # The k-th lowest of n replicates has k / (n + 1) of the distribution below it.
        place = max(math.floor((1 - level) / 2 * (count + 1)) - 1, 0)
        slowest = float(np.sort(np.where(np.isnan(slopes), -np.inf, slopes))[place])
        fastest = float(np.sort(np.where(np.isnan(slopes), np.inf, slopes))[count - 1 - place])
        low = min(math.log(2) / fastest, estimate) if fastest > 0 else estimate
        if slowest > 0:
            high = max(math.log(2) / slowest, estimate)
        elif fastest == math.inf:
            note = "the interval is open at both ends: too many replicates have no line"
        else:
            note = "the interval is open above: no growth is not excluded"
    return DoublingTime(
        estimate=estimate,
        low=low,
        high=high,
        level=level,
        best=best,
        replicates=count,
        unidentified=0 if slopes is None else int(np.isnan(slopes).sum()),
        note=note,
    )
