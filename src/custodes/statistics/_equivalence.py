"""Showing that two cells do not differ by more than a stated margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._checks import checked_count, checked_level, checked_numbers, joined, same_length
from ._proportion import NOTHING_MEASURED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SEEDS = 1_000
_METHOD = "mean paired difference, two one-sided tests with Gaffke's bound"
_STEP = 0.1
_MOST_STEPS = 500
_BLOCK = 40
_BLOCK_NUMBERS = 400_000
_BISECTIONS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """Two one-sided tests of a paired difference against a margin.

    Attributes:
        estimate: mean of a - b over seeds. Its interval has the level 2 * level - 1 (90 % when
            each one-sided test is at 95 %), as two one-sided tests have: the seeds measured show
            equivalence exactly when the interval lies inside (-margin, margin).
        margin: the largest difference that was declared to be none.
        p_value: the larger of the two one-sided p-values; None when there is no pair.
        worst_p_value: the same if every missing seed had differed by 1, once in each direction.
        equivalent: True when shown, whatever the missing seeds were; False when not shown, which
            is not evidence of a difference; None when the data cannot answer (see ``note``).
        note: why there is no answer, or what a reader must know.
    """

    estimate: Estimate
    margin: float
    p_value: float | None
    worst_p_value: float | None
    equivalent: bool | None
    note: str | None


def equivalence(
    seed_means_a: Sequence[float],
    seed_means_b: Sequence[float],
    *,
    margin: float,
    level: float = 0.95,
    missing: int = 0,
) -> Equivalence:
    """Test that two cells which ran the same seeds differ by less than ``margin``.

    A test of no difference that does not reject shows nothing. Here the null is that the mean
    difference is at least ``margin`` in size, and both directions must be rejected at
    1 - ``level`` (Schuirmann 1987).

    Each direction uses Gaffke's bound for the mean of a variable with known ends: the mean lies
    above m with the probability that D_0 + sum(D_i d_i) >= m, D uniform on the simplex and the
    extra unit placed at the worst end. For differences of 0 and 1 it is Clopper and Pearson's.
    It assumes independent seeds and nothing about the shape of the differences. Its error is at
    most 1 - ``level`` wherever it was computed (docs/statistics.md); a t test has errors up to
    1 there.

    With n seeds no data can have a p-value below (1 - margin)^n. Where that is above
    1 - ``level`` the answer is None, and the note gives the seeds needed.

    Args:
        seed_means_a, seed_means_b: each seed's rate in its cell, in [0, 1], in the same order;
            1,000 seeds at most.
        margin: above 0 and below 1, in rate; chosen before looking. It has no default.
        level: confidence of each one-sided test, from 0.8 to below 1.
        missing: seeds that lack one or both cells.

    Raises:
        TypeError, ValueError: unequal lengths, NaN, a rate outside [0, 1], a margin outside
            (0, 1), or more than 1,000 seeds.

    Sources: Gaffke 2005; Schuirmann 1987.
    """
    a = checked_numbers(seed_means_a, "seed_means_a", low=0.0, high=1.0)
    b = checked_numbers(seed_means_b, "seed_means_b", low=0.0, high=1.0)
    same_length(a, b, "seed_means_a and seed_means_b")
    margin = checked_numbers([margin], "margin")[0]
    if not 0 < margin < 1:
        raise ValueError(f"expected a margin between 0 and 1, found {margin}")
    level = checked_level(level)
    missing = checked_count(missing, "missing")
    n = len(a)
    if n + missing > MOST_SEEDS:
        raise ValueError(f"expected at most {MOST_SEEDS} seeds, found {n + missing}")
    absent = f"{missing} of {n + missing} seeds lack a cell" if missing else None
    alpha = 1 - level
    if n == 0:
        nothing = joined(NOTHING_MEASURED, absent)
        empty = Estimate(
            value=None,
            low=None,
            high=None,
            level=2 * level - 1,
            n=0,
            clusters=0,
            missing=missing,
            method=_METHOD,
            note=nothing,
        )
        return Equivalence(
            estimate=empty,
            margin=margin,
            p_value=None,
            worst_p_value=None,
            equivalent=None,
            note=nothing,
        )

    differences = [x - y for x, y in zip(a, b, strict=True)]
    value = math.fsum(differences) / n
    mirrored = [-d for d in differences]
    estimate = Estimate(
        value=value,
        low=min(-_upper_limit(mirrored, alpha), value),
        high=max(_upper_limit(differences, alpha), value),
        level=2 * level - 1,
        n=n,
        clusters=n,
        missing=missing,
        method=_METHOD,
        note=joined(absent),
    )

    def p_value(extra: int) -> float:
        full = [1.0] * extra
        return max(
            _above(differences + full, margin),
            _above(mirrored + full, margin),
        )

    measured, worst = p_value(0), p_value(missing)
    equivalent: bool | None = measured <= alpha
    note = None
    if (1 - margin) ** n > alpha:
        needed = math.ceil(math.log(alpha) / math.log1p(-margin))
        equivalent = None
        note = f"{n} seeds cannot show a margin of {margin:g} at {level:g}: it takes {needed}"
    elif equivalent and worst > alpha:
        equivalent = None
        note = "shown by the seeds measured, and not if the missing ones had differed"
    elif not equivalent:
        note = "not shown, which is no evidence of a difference"
    return Equivalence(
        estimate=estimate,
        margin=margin,
        p_value=measured,
        worst_p_value=worst,
        equivalent=equivalent,
        note=joined(note, absent),
    )


def _above(differences: Sequence[float], m: float) -> float:
    """Gaffke's p-value of "the mean is at least m" for differences in [-1, 1]."""
    import numpy as np

    values, counts = np.unique(np.asarray([1.0, *differences]), return_counts=True)
    return float(gaffke_tail(values[None], m, counts[None].astype(np.float64))[0])


def _upper_limit(differences: Sequence[float], alpha: float) -> float:
    """The m at which the p-value of "the mean is at least m" is ``alpha``."""
    from scipy.optimize import brentq

    low, high = math.fsum(differences) / len(differences), 1.0
    # The p-value falls from above alpha at the mean to 0 at 1, unless every difference is 1.
    if min(differences) == high:
        return high
    found = brentq(lambda m: _above(differences, m) - alpha, low, high - 1e-15, xtol=1e-12)
    return float(found)


def gaffke_tail(
    values: NDArray[np.float64], m: float, counts: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """P(sum D_i x_i >= m) by row of ``values``, D uniform on the simplex.

    ``values`` is (rows, k) and in each row holds an entry above m unless the result is 0 or 1;
    ``counts`` repeats each value (0 leaves it out).

    D is a vector of exponentials over their sum, so this is P(Q >= 0) for
    Q = sum E_i (x_i - m), with transform M(s) = prod(1 - (x_i - m) s)^-1, and
    P = 1 / (2 pi i) times the integral of M(s) / s along a vertical line between 0 and the first
    pole. The line is put through the saddle point, where the integrand does not oscillate, and
    y = h sinh(u) turns its decay into an exponential one: the trapezoidal rule is then exact to
    about 1e-12, for small probabilities as well.
    """
    import numpy as np

    c = np.asarray(values, dtype=np.float64) - m
    k = np.ones_like(c) if counts is None else np.asarray(counts, dtype=np.float64)
    present = k > 0
    largest = np.where(present, c, -np.inf).max(axis=1)
    smallest = np.where(present, c, np.inf).min(axis=1)
    result = np.where(smallest >= 0, 1.0, 0.0)
    rows = (largest > 0) & (smallest < 0)
    if not rows.any():
        return result
    k = k[rows]
    c = c[rows] / largest[rows, None]
    low, high = np.zeros(len(c)), np.ones(len(c))
    for _ in range(_BISECTIONS):
        s = (low + high) / 2
        rising = (k * c / (1 - c * s[:, None])).sum(axis=1) > 1 / s
        high, low = np.where(rising, s, high), np.where(rising, low, s)
    s = (low + high) / 2
    poles = c / (1 - c * s[:, None])
    second = (k * poles**2).sum(axis=1) + 1 / s**2
    third = (2 * k * poles**3).sum(axis=1) - 2 / s**3
    scale = 1 / np.sqrt(second)
    bend = np.clip(scale * third / (3 * second), -1, 1)
    height = -(k * np.log1p(-c * s[:, None])).sum(axis=1) - np.log(s)
    total = np.zeros(len(c))
    block = max(1, min(_BLOCK, _BLOCK_NUMBERS // c.size))
    for first in range(0, _MOST_STEPS, block):
        u = np.arange(first, first + block) * _STEP
        along, across = np.cosh(u), np.sinh(u)
        curve = bend[:, None] * (along - 1) + 1j * across
        z = s[:, None] + scale[:, None] * curve
        slope = bend[:, None] * across + 1j * along
        logs = (k[:, :, None] * np.log(1 - c[:, :, None] * z[:, None, :])).sum(axis=1)
        terms = np.exp(-logs - np.log(z) - height[:, None]) * slope
        total += terms.imag.sum(axis=1)
        if first == 0:
            total -= terms[:, 0].imag / 2
        if np.abs(terms[:, -1]).max() < 1e-17:
            break
    result[rows] = np.clip(total * _STEP * scale / math.pi * np.exp(height), 0.0, 1.0)
    return result
