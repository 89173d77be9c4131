"""Latencies: an exact interval for the median, and Kaplan-Meier when some are censored."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist, median

from custodes.types import Estimate

from ._binomial import clopper_pearson_limits
from ._checks import (
    checked_flags,
    checked_level,
    checked_numbers,
    checked_units,
    joined,
    missing_note,
    same_length,
)
from ._proportion import NOTHING_MEASURED

# With fewer units and much censoring the interval covers as little as 90 %.
CENSORED_MEDIAN_LEAST_N = 20
CENSORED_MEDIAN_LEVEL = 0.95


def median_interval(values: Iterable[float], *, level: float = 0.95, missing: int = 0) -> Estimate:
    """The median latency with its exact order-statistic interval.

    The ends are two of the measured values, the r-th from each side, with r the largest rank for
    which the interval covers at least ``level`` whatever the distribution (ties only add). At
    95 % it takes 6 values: below that not even the whole range covers, and there is no interval.

    Args:
        values: durations in one unit, none negative. A latency that was cut short is not a
            value: use `kaplan_meier`.
        level: coverage, from 0.8 to below 1.
        missing: latencies that should have been measured and were not.

    Raises:
        TypeError, ValueError: a value that is NaN, infinite, negative or no number; a bad level.

    Source: Thompson 1936; David and Nagaraja, Order Statistics, section 7.1.
    """
    durations = sorted(checked_numbers(values, "values", low=0.0))
    level = checked_level(level)
    missing = checked_units(missing, "missing")
    n = len(durations)
    method = "median, order-statistic interval"
    absent = missing_note(missing, n)
    if n == 0:
        return _no_interval(None, 0, missing, level, method, joined(NOTHING_MEASURED, absent))
    middle = float(median(durations))
    rank, covered = _median_rank(n, level)
    if rank == 0:
        least = math.ceil(1 - math.log2(1 - level))
        why = f"no interval: {n} values, and {level:g} takes {least}"
        return _no_interval(middle, n, missing, level, method, joined(why, absent))
    return Estimate(
        value=middle,
        low=durations[rank - 1],
        high=durations[n - rank],
        level=level,
        n=n,
        clusters=n,
        missing=missing,
        method=method,
        note=joined(f"covers {math.floor(covered * 1e4) / 1e4:.4f} or more", absent),
    )


def _median_rank(n: int, level: float) -> tuple[int, float]:
    """The rank from each side, 0 when none covers ``level``, and the exact coverage."""
    # P(Bin(n, 1/2) <= r - 1) in whole numbers: no rounding whatever n.
    below, rank, covered = 0, 0, 0.0
    for r in range(1, (n + 1) // 2 + 1):
        below += math.comb(n, r - 1)
        now = 1 - 2 * below / 2**n
        if now < level:
            break
        rank, covered = r, now
    return rank, covered


def _no_interval(
    value: float | None, n: int, missing: int, level: float, method: str, note: str | None
) -> Estimate:
    return Estimate(
        value=value,
        low=None,
        high=None,
        level=level,
        n=n,
        clusters=n,
        missing=missing,
        method=method,
        note=note,
    )


def checked_horizon(horizon: float) -> float:
    """Return ``horizon`` as a positive finite float."""
    (number,) = checked_numbers((horizon,), "horizon")
    if number <= 0:
        raise ValueError(f"expected a positive finite horizon, found {horizon}")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class KaplanMeier:
    """The product-limit curve of a time to an event, some cut short.

    Attributes:
        times: distinct times at which the event was seen, ascending.
        survival: share without the event just after each time.
        at_risk, events: units still watched just before each time, and events at it.
        n: units watched. observed: those in which the event was seen; the rest are censored.
        median: first time at which at most half are without the event (the middle of the step
            when exactly half are); None when the curve stays above one half, or n is 0.
        median_low: lower end of the median's interval, given also where its upper end is open
            (``median`` then has no interval, or is None): the interval is median_low or more.
        restricted_mean: mean time without the event up to ``horizon``; None without a horizon,
            or when the curve is not known that far.
        horizon: where the restricted mean ends, in the unit of the times.
        notes: why a figure is None.
    """

    times: tuple[float, ...]
    survival: tuple[float, ...]
    at_risk: tuple[int, ...]
    events: tuple[int, ...]
    n: int
    observed: int
    median: Estimate | None
    median_low: float | None
    restricted_mean: Estimate | None
    horizon: float | None
    notes: tuple[str, ...]


def kaplan_meier(
    times: Iterable[float],
    observed: Iterable[bool],
    *,
    horizon: float | None = None,
    level: float = 0.95,
    missing: int = 0,
) -> KaplanMeier:
    """The Kaplan-Meier curve with its median and restricted mean.

    Assumes that being cut short says nothing about the time to the event, and that nothing else
    can happen first; a stop that races harm is a competing event and needs cumulative incidence.
    A unit cut short at the time of an event counts as at risk there.

    The median's interval is the exact order-statistic one when nothing is censored, otherwise
    Brookmeyer and Crowley's on the log(-log) scale, given only where its coverage was shown (at
    95 %, from 20 units, see docs/statistics.md). With few events its upper end is open: then
    ``median_low`` alone is given. Leaving such cases out and reading only the closed intervals
    would cover less than the level, so a table of medians shows both. The
    restricted mean's interval treats each unit as one trial of time / horizon, which is
    conservative whatever the distribution; its lower end takes the units cut short before the
    horizon as ended there, its upper end as lasting to the horizon.

    Args:
        times: time to the event or to the cut, one unit, none negative.
        observed: True where the event was seen, False where it was cut short.
        horizon: end of the restricted mean, chosen before looking; positive.
        level: coverage, from 0.8 to below 1.
        missing: units that should have been watched and were not.

    Raises:
        TypeError, ValueError: a bad time, flag, level or horizon; unequal lengths.

    Sources: Kaplan and Meier 1958; Brookmeyer and Crowley 1982; Irwin 1949.
    """
    durations = checked_numbers(times, "times", low=0.0)
    flags = checked_flags(observed, "observed")
    same_length(durations, flags, "times and observed")
    level = checked_level(level)
    missing = checked_units(missing, "missing")
    if horizon is not None:
        horizon = checked_horizon(horizon)

    n = len(durations)
    ascending = sorted(durations)
    seen = Counter(t for t, flag in zip(durations, flags, strict=True) if flag)
    steps = tuple(sorted(seen))
    at_risk = tuple(n - bisect_left(ascending, step) for step in steps)
    events = tuple(seen[step] for step in steps)
    reached = seen.total()
    survival: list[float] = []
    alive = 1.0
    for risk, count in zip(at_risk, events, strict=True):
        alive *= (risk - count) / risk
        survival.append(alive)

    notes: list[str] = []
    if n == 0:
        notes.append(NOTHING_MEASURED)
    middle, middle_low = None, None
    if n and reached == n:
        middle = median_interval(durations, level=level, missing=missing)
        middle_low = middle.low
    elif n:
        middle, middle_low = _censored_median(steps, survival, at_risk, events, n, level, missing)
        if middle is None:
            least = "" if middle_low is None else f"; at {level:g} it is {middle_low:g} or more"
            notes.append(
                f"median not reached: the event was seen in {reached} of {n} and the curve "
                f"stays above one half{least}"
            )
    mean = None
    if n and horizon is None:
        notes.append("no restricted mean: no horizon was given")
    elif n and horizon is not None:
        if max(durations) < horizon and alive > 0:
            notes.append(
                f"no restricted mean: nothing was watched beyond {max(durations):g}, short of "
                f"the horizon {horizon:g}"
            )
        else:
            mean = _restricted_mean(steps, survival, durations, flags, horizon, level, missing)
    return KaplanMeier(
        times=steps,
        survival=tuple(survival),
        at_risk=at_risk,
        events=events,
        n=n,
        observed=reached,
        median=middle,
        median_low=middle_low,
        restricted_mean=mean,
        horizon=horizon,
        notes=tuple(notes),
    )


def _censored_median(
    steps: tuple[float, ...],
    survival: list[float],
    at_risk: tuple[int, ...],
    events: tuple[int, ...],
    n: int,
    level: float,
    missing: int,
) -> tuple[Estimate | None, float | None]:
    """The median, None when not reached, and the lower end of its interval."""
    shown = n >= CENSORED_MEDIAN_LEAST_N and level == CENSORED_MEDIAN_LEVEL
    low, high = _brookmeyer_crowley(steps, survival, at_risk, events, level)
    if not shown:
        low = high = None
    # A product of ratios that is one half exactly can miss it by a few units in the last place.
    reached = next((i for i, s in enumerate(survival) if s <= 0.5 + 1e-12), None)
    if reached is None:
        return None, low
    value = steps[reached]
    if survival[reached] >= 0.5 - 1e-12 and reached + 1 < len(steps):
        value = (value + steps[reached + 1]) / 2
    method = "median of Kaplan-Meier, Brookmeyer-Crowley interval, log(-log)"
    absent = missing_note(missing, n)
    if low is None or high is None:
        why = f"no interval: too few events for its upper end; at {level:g} it is {low} or more"
        if not shown:
            why = (
                f"no interval: with censoring, coverage was shown at {CENSORED_MEDIAN_LEVEL:g} "
                f"from {CENSORED_MEDIAN_LEAST_N} units; here {n} at {level:g}"
            )
        return _no_interval(value, n, missing, level, method, joined(why, absent)), low
    estimate = Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        n=n,
        clusters=n,
        missing=missing,
        method=method,
        note=absent,
    )
    return estimate, low


def _brookmeyer_crowley(
    steps: tuple[float, ...],
    survival: list[float],
    at_risk: tuple[int, ...],
    events: tuple[int, ...],
    level: float,
) -> tuple[float | None, float | None]:
    """Times at which the lower and the upper pointwise limit of survival pass one half."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    low = high = None
    spread = 0.0
    for step, s, risk, count in zip(steps, survival, at_risk, events, strict=True):
        under = over = 0.0
        if s > 0:
            spread += count / (risk * (risk - count))
            width = z * math.sqrt(spread) / -math.log(s)
            under, over = s ** math.exp(width), s ** math.exp(-width)
        if low is None and under <= 0.5:
            low = step
        if high is None and over < 0.5:
            high = step
    return low, high


def _restricted_mean(
    steps: tuple[float, ...],
    survival: list[float],
    times: tuple[float, ...],
    observed: tuple[bool, ...],
    horizon: float,
    level: float,
    missing: int,
) -> Estimate:
    area, last, alive = 0.0, 0.0, 1.0
    for step, s in zip(steps, survival, strict=True):
        if step >= horizon:
            break
        area += alive * (step - last)
        last, alive = step, s
    area = min(area + alive * (horizon - last), horizon)
    n, tail = len(times), (1 - level) / 2
    # A unit cut short lasted to its cut at least and to the horizon at most.
    least = math.fsum(min(t, horizon) for t in times)
    most = math.fsum(
        min(t, horizon) if flag else horizon for t, flag in zip(times, observed, strict=True)
    )
    low, _ = clopper_pearson_limits(least / horizon, n, tail, tail)
    _, high = clopper_pearson_limits(min(most / horizon, n), n, tail, tail)
    cut_short = sum(
        1 for t, flag in zip(times, observed, strict=True) if t < horizon and not flag
    )
    method = "restricted mean, interval for times bounded by the horizon"
    note = "conservative: covers at least the level in every simulation"
    if cut_short:
        method += ", each unit cut short counted both ways"
        note = joined(f"{cut_short} of {n} cut short before the horizon", note) or note
    return Estimate(
        value=area,
        low=min(low * horizon, area),
        high=max(high * horizon, area),
        level=level,
        n=n,
        clusters=n,
        missing=missing,
        method=method,
        note=joined(note, missing_note(missing, n)),
    )
