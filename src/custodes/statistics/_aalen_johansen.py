"""Aalen-Johansen curves with pointwise limits. Imported when first used: it loads numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

Floats = NDArray[np.float64]

# Where the effective sample size was shown to cover, units cut short being present: at most this
# many units, and among those not cut short at least so many, with and without the event.
EFFECTIVE_LEVEL = 0.95
EFFECTIVE_MOST_UNITS = 1_000
EFFECTIVE_LEAST_UNCUT = 20
EFFECTIVE_LEAST_EACH_WAY = 5

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One cause by each step, and by the horizon.

    Attributes:
        share, error, low, high: by each step; ``error`` is meant for independent units only.
        value, value_low, value_high: by the horizon.
        effective: whether the effective sample size gave the limits at the horizon.
    """

    share: tuple[float, ...]
    error: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    value: float
    value_low: float
    value_high: float
    effective: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Steps of any cause, units at risk just before each, share without an event after each."""

    times: tuple[float, ...]
    at_risk: tuple[int, ...]
    event_free: tuple[float, ...]
    causes: tuple[Curve, ...]


def curves(
    times: Sequence[float],
    causes: Sequence[int],
    weights: Sequence[float],
    *,
    count: int,
    horizon: float,
    units: int,
    independent: bool,
    level: float,
) -> Curves:
    """The curves of causes 0..count-1 up to the horizon; a cause of -1 is a cut.

    Args:
        times, causes, weights: of each unit; weights sum to ``units``.
        units: independent units.
        independent: each unit is its own.
    """
    t = np.asarray(times, dtype=np.float64)
    kind = np.asarray(causes, dtype=np.int64)
    weight = np.asarray(weights, dtype=np.float64)
    seen = (kind >= 0) & (t <= horizon)
    steps = np.unique(t[seen])
    order = np.argsort(t, kind="stable")
    before = np.searchsorted(t[order], steps, side="left")
    mass = np.concatenate(([0.0], np.cumsum(weight[order])))
    at_risk = mass[-1] - mass[before]
    each = np.zeros((count, len(steps)))
    np.add.at(each, (kind[seen], np.searchsorted(steps, t[seen])), weight[seen])
    total = each.sum(axis=0)
    # What rounding leaves over when all that remains has its event is nothing.
    left = np.where(at_risk - total > _ROUNDING * at_risk, at_risk - total, 0.0)
    free = np.cumprod(left / at_risk)
    prior = np.concatenate(([1.0], free))[:-1]

    # The horizon is one more step, so that its limits come from the same lines.
    ends = np.append(steps, horizon)
    cut = (kind < 0) & (t < horizon)
    cut_order = np.argsort(t[cut], kind="stable")
    cut_mass = np.concatenate(([0.0], np.cumsum(weight[cut][cut_order])))
    lost = cut_mass[np.searchsorted(t[cut][cut_order], ends, side="left")]
    enough = independent and level == EFFECTIVE_LEVEL and units <= EFFECTIVE_MOST_UNITS
    found = []
    for d in each:
        share = np.minimum(np.cumsum(prior * d / at_risk), 1.0)
        variance = _variance(share, prior, at_risk, total, left, d)
        low, high, effective = _limits(
            _extended(share),
            _extended(variance),
            _extended(np.cumsum(d)),
            lost,
            units,
            level,
            enough,
        )
        found.append(
            Curve(
                share=tuple(share.tolist()),
                error=tuple(np.sqrt(variance).tolist()),
                low=tuple(low[:-1].tolist()),
                high=tuple(high[:-1].tolist()),
                value=float(share[-1]) if len(steps) else 0.0,
                value_low=float(low[-1]),
                value_high=float(high[-1]),
                effective=bool(effective[-1]),
            )
        )
    return Curves(
        times=tuple(steps.tolist()),
        at_risk=tuple((len(t) - before).tolist()),
        event_free=tuple(free.tolist()),
        causes=tuple(found),
    )


def _extended(steps: Floats) -> Floats:
    return np.append(steps, steps[-1] if len(steps) else 0.0)


def _variance(
    share: Floats, prior: Floats, at_risk: Floats, total: Floats, left: Floats, d: Floats
) -> Floats:
    """Delta-method variance of the share by each step (Dinse and Larson 1986)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # When nothing is left no share changes any more: the term is multiplied by zero.
        hazard = np.where(left > 0, total / (at_risk * left), 0.0)
    entering = prior * d / at_risk**2
    own = prior**2 * d * (at_risk - d) / at_risk**3
    variance: Floats = (
        share**2 * np.cumsum(hazard)
        - 2 * share * np.cumsum(share * hazard)
        + np.cumsum(share**2 * hazard)
        + np.cumsum(own)
        - 2 * share * np.cumsum(entering)
        + 2 * np.cumsum(share * entering)
    )
    return np.maximum(variance, 0.0)


def _limits(
    share: Floats,
    variance: Floats,
    events: Floats,
    lost: Floats,
    units: int,
    level: float,
    enough: bool,
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Lower limits, upper limits, and where the effective sample size gave them."""
    tail = (1 - level) / 2
    uncut = units - lost
    effective = (
        enough
        & (lost > 0)
        & (uncut >= EFFECTIVE_LEAST_UNCUT)
        & (events >= EFFECTIVE_LEAST_EACH_WAY)
        & (uncut - events >= EFFECTIVE_LEAST_EACH_WAY)
        & (variance > 0)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(effective, share * (1 - share) / variance, units)
    size = np.where(effective, np.minimum(size, uncut), units)
    fewest = np.where(effective, share * size, events)
    most = np.where(effective, share * size, events + lost)
    closed_below = fewest > _ROUNDING
    first = np.where(closed_below, fewest, 1.0)
    low = np.where(closed_below, betaincinv(first, size - fewest + 1, tail), 0.0)
    open_above = most >= size - _ROUNDING
    rest = np.where(open_above, 1.0, size - most)
    high = np.where(open_above, 1.0, betaincinv(most + 1, rest, 1 - tail))
    return np.minimum(low, share), np.maximum(high, share), effective
