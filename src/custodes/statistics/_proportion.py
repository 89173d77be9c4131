"""Rates of independent trials."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

from custodes.types import Estimate

from ._binomial import beta_quantile, clopper_pearson_limits
from ._checks import (
    checked_level,
    checked_numbers,
    checked_part,
    checked_units,
    joined,
    missing_note,
)

Method = Literal["clopper-pearson", "wilson", "jeffreys"]
Sided = Literal["two", "upper", "lower"]

NOTHING_MEASURED = "nothing was measured"
INSTRUMENT_CHECK = "instrument check: not an AI; a deterministic outcome gets no interval"


def proportion(
    k: int,
    n: int,
    *,
    method: Method = "clopper-pearson",
    level: float = 0.95,
    missing: int = 0,
    sided: Sided = "two",
) -> Estimate:
    """The rate k / n of independent trials, with an interval.

    Valid only when the n trials are independent: several episodes of one seed are not. Use
    `clustered_proportion` for those.

    At k = 0 and k = n a two-sided interval has one end at 0 or 1 and the other at the ordinary
    (1 - level) / 2 limit: 20 of 20 gives [0.832, 1] at 95 %. The tail is not doubled there,
    because choosing the side after seeing the count would cover less than ``level``. Ask for
    ``sided`` before looking: 0 of 299 with ``sided="upper"`` gives [0, 0.00997].

    Args:
        k: trials with the event, out of n.
        n: trials measured.
        method: "clopper-pearson" covers at least ``level`` at every rate. "wilson" (score
            interval) and "jeffreys" (Beta(1/2, 1/2) prior, ends 0 at k = 0 and 1 at k = n)
            cover ``level`` only on average over rates, and the note says so.
        level: coverage, from 0.8 to below 1.
        missing: trials asked for and not measured; recorded, never counted as either outcome.
        sided: "upper" gives [0, limit], "lower" gives [limit, 1], each at ``level``.

    Raises:
        TypeError: a count is not a whole number.
        ValueError: k > n, a negative count, or an unknown method, side or level.

    Sources: Clopper and Pearson 1934; Wilson 1927; Brown, Cai and DasGupta 2001.
    """
    k, n = checked_part(k, n)
    missing = checked_units(missing, "missing")
    level = checked_level(level)
    if method not in get_args(Method):
        raise ValueError(f"expected a method of {get_args(Method)}, found {method!r}")
    if sided not in get_args(Sided):
        raise ValueError(f"expected sided of {get_args(Sided)}, found {sided!r}")
    name = method if sided == "two" else f"{method} ({sided} limit only)"
    if n == 0:
        return Estimate(
            value=None,
            low=None,
            high=None,
            level=level,
            n=0,
            clusters=0,
            missing=missing,
            method=name,
            note=joined(NOTHING_MEASURED, missing_note(missing, 0)),
        )
    alpha = 1 - level
    tail_low = {"two": alpha / 2, "upper": 0.0, "lower": alpha}[sided]
    tail_high = {"two": alpha / 2, "upper": alpha, "lower": 0.0}[sided]
    average = None
    if method == "clopper-pearson":
        low, high = clopper_pearson_limits(k, n, tail_low, tail_high)
    else:
        average = f"{method} covers {level:g} on average over rates, not at every rate"
        limits = _wilson_limits if method == "wilson" else _jeffreys_limits
        low, high = limits(k, n, tail_low, tail_high)
    return Estimate(
        value=k / n,
        low=low,
        high=high,
        level=level,
        n=n,
        clusters=n,
        missing=missing,
        method=name,
        note=joined(average, missing_note(missing, n)),
    )


def _wilson_limits(k: int, n: int, tail_low: float, tail_high: float) -> tuple[float, float]:
    def limit(sign: int, tail: float) -> float:
        z = NormalDist().inv_cdf(1 - tail)
        middle = k + z * z / 2
        half = z * math.sqrt(k * (n - k) / n + z * z / 4)
        return (middle + sign * half) / (n + z * z)

    # At the boundary the exact limits are 0 and 1; rounding would miss them by 1e-17.
    low = 0.0 if k == 0 or tail_low == 0 else limit(-1, tail_low)
    high = 1.0 if k == n or tail_high == 0 else limit(+1, tail_high)
    return low, high


def _jeffreys_limits(k: int, n: int, tail_low: float, tail_high: float) -> tuple[float, float]:
    low = 0.0 if k == 0 or tail_low == 0 else beta_quantile(tail_low, k + 0.5, n - k + 0.5)
    high = 1.0 if k == n or tail_high == 0 else beta_quantile(1 - tail_high, k + 0.5, n - k + 0.5)
    return low, high


def deterministic(k: int, n: int, *, missing: int = 0) -> Estimate:
    """k of n for a scripted subject: a count that passes or fails, without an interval.

    A reference agent does the same each time, so its n runs are not a sample of anything.

    Raises:
        TypeError, ValueError: as `proportion`.
    """
    k, n = checked_part(k, n)
    missing = checked_units(missing, "missing")
    return Estimate(
        value=k / n if n else None,
        low=None,
        high=None,
        level=0.95,
        n=n,
        clusters=n,
        missing=missing,
        method="count",
        note=joined(None if n else NOTHING_MEASURED, INSTRUMENT_CHECK, missing_note(missing, n)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBounds:
    """A rate as observed, and as it would be had every missing trial gone one way.

    Attributes:
        observed: the measured trials alone.
        best, worst: all trials, each missing one taken as the good or the bad outcome.
    """

    observed: Estimate
    best: Estimate
    worst: Estimate


def with_missing(
    k: int,
    n: int,
    missing: int,
    *,
    harmful: bool = True,
    method: Method = "clopper-pearson",
    level: float = 0.95,
) -> MissingBounds:
    """Observed, best and worst case of k of n when ``missing`` further trials have no outcome.

    Nothing is assumed about why they are missing. The true outcome lies between best and worst.

    Args:
        k, n, method, level: as `proportion`.
        missing: trials asked for and not measured.
        harmful: True when the event counted by k is the bad one (an agent acted), so that best
            counts missing trials as without it; False when it is the good one (a stop worked).

    Raises:
        TypeError, ValueError: as `proportion`.
    """
    observed = proportion(k, n, method=method, level=level, missing=missing)
    k, n, missing = int(k), int(n), int(missing)

    def all_as(extra: int) -> Estimate:
        whole = proportion(k + extra, n + missing, method=method, level=level)
        counted = "with" if extra else "without"
        imputed = f"{missing} missing counted as {counted} the event" if missing else None
        return Estimate(
            value=whole.value,
            low=whole.low,
            high=whole.high,
            level=whole.level,
            n=whole.n,
            clusters=whole.clusters,
            missing=missing,
            method=whole.method,
            note=joined(imputed, whole.note),
        )

    lowest, highest = all_as(0), all_as(missing)
    best, worst = (lowest, highest) if harmful else (highest, lowest)
    return MissingBounds(observed=observed, best=best, worst=worst)


def minimum_detectable(n_clusters: int, level: float = 0.95) -> float:
    """The rate above which at least one event in ``n_clusters`` independent units was likely.

    1 - (1 - level)^(1 / n): any rate above it shows at least once with probability above
    ``level``. To be printed beside every null. With no units it is 1: nothing would have shown.

    Raises:
        TypeError, ValueError: a count that is negative or not whole; a level outside [0.8, 1).
    """
    n = checked_units(n_clusters, "n_clusters")
    level = checked_level(level)
    return 1.0 if n == 0 else -math.expm1(math.log(1 - level) / n)


def clusters_needed(rate: float, level: float = 0.95) -> int:
    """The fewest independent units without an event that show the rate to be at most ``rate``.

    At 95 %: 299 for 1 %, 149 for 2 %.

    Raises:
        ValueError: a rate outside (0, 1) or a level outside [0.8, 1).
    """
    level = checked_level(level)
    (rate,) = checked_numbers((rate,), "rate")
    if not 0 < rate < 1:
        raise ValueError(f"expected a rate between 0 and 1, found {rate}")
    units = max(1, math.ceil(math.log(1 - level) / math.log1p(-rate)))
    # The ratio of logarithms can land just above a whole number that already suffices.
    if units > 1 and minimum_detectable(units - 1, level) <= rate:
        units -= 1
    return units


def many_episodes(estimate: Estimate, episodes: int) -> Estimate:
    """The chance of at least one event in ``episodes`` episodes: 1 - (1 - p)^N.

    The interval is carried through (the map is monotone, so its coverage is that of
    ``estimate``). The assumption that episodes are independent is in the note, because it is
    the reader's to accept: nothing here can check it.

    Raises:
        TypeError, ValueError: ``episodes`` below 1 or not whole, or an estimate that is not a
            rate in [0, 1].
    """
    count = checked_units(episodes, "episodes", least=1)
    if not isinstance(estimate, Estimate):
        raise TypeError(f"expected an Estimate, found {type(estimate).__name__}")
    for number in (estimate.value, estimate.low, estimate.high):
        if number is not None and not 0 <= number <= 1:
            raise ValueError(f"expected the estimate of a rate in [0, 1], found {number}")

    def carried(p: float | None) -> float | None:
        if p is None or p == 1:
            return p
        return -math.expm1(count * math.log1p(-p))

    return Estimate(
        value=carried(estimate.value),
        low=carried(estimate.low),
        high=carried(estimate.high),
        level=estimate.level,
        n=estimate.n,
        clusters=estimate.clusters,
        missing=estimate.missing,
        method=f"at least once in {count}, from {estimate.method}",
        note=joined(f"assumes that the {count} episodes are independent", estimate.note),
    )
