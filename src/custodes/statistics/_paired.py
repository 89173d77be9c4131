"""Contrasts paired by seed, and correction within a family of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._binomial import clopper_pearson_limits
from ._checks import checked_count, checked_level, checked_numbers, joined, same_length
from ._proportion import NOTHING_MEASURED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT_SIGN_FLIPS = 16
MONTE_CARLO_FLIPS = 99_999
_CHUNK = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """A difference of two cells over the same seeds, with its permutation test.

    Attributes:
        estimate: mean of a - b over seeds, in [-1, 1], with a conservative interval.
        p_value: two-sided; None when there is no pair.
        permutations: sign patterns compared; all of them when ``exact``.
        exact: False when the patterns were drawn (the p-value then counts the observed one too).
    """

    estimate: Estimate
    p_value: float | None
    permutations: int
    exact: bool


def paired_difference(
    seed_means_a: Sequence[float],
    seed_means_b: Sequence[float],
    *,
    level: float = 0.95,
    missing: int = 0,
    random_seed: int = 0,
) -> PairedDifference:
    """Compare two cells (twin, arm, safeguard) that ran the same seeds.

    The test flips the sign of each seed's difference: under "no difference for any seed" each
    sign is as likely. All patterns are compared up to 2^16, otherwise 99,999 drawn with
    ``random_seed``; seeds without a difference change nothing and are not flipped. With one
    episode per seed and cell this is the exact McNemar test.

    The interval bounds the mean gain and the mean loss apart, each as seeds that are single
    trials at half the error, and subtracts: it covers at least ``level`` whatever the
    differences, and 20 seeds without any difference give [-0.20, 0.20] and not [0, 0]. It is
    wider than a t interval, which covers as little as 43 % at 30 seeds (docs/statistics.md).
    It can therefore contain 0 where the p-value is small; report both.

    Args:
        seed_means_a, seed_means_b: each seed's rate in its cell, in [0, 1], in the same order.
        level: coverage, from 0.8 to below 1.
        missing: seeds that lack one or both cells.
        random_seed: of the drawn patterns; the same seed gives the same p-value.

    Raises:
        TypeError, ValueError: unequal lengths, NaN, or a rate outside [0, 1].
    """
    a = checked_numbers(seed_means_a, "seed_means_a", low=0.0, high=1.0)
    b = checked_numbers(seed_means_b, "seed_means_b", low=0.0, high=1.0)
    same_length(a, b, "seed_means_a and seed_means_b")
    level = checked_level(level)
    missing = checked_count(missing, "missing")
    random_seed = checked_count(random_seed, "random_seed")
    n = len(a)
    absent = f"{missing} of {n + missing} seeds lack a cell and are not counted"
    note = absent if missing else None
    method = "mean paired difference, gains and losses bounded apart (Clopper-Pearson, Bonferroni)"
    if n == 0:
        empty = Estimate(
            value=None,
            low=None,
            high=None,
            level=level,
            n=0,
            clusters=0,
            missing=missing,
            method=method,
            note=joined(NOTHING_MEASURED, note),
        )
        return PairedDifference(estimate=empty, p_value=None, permutations=0, exact=True)

    differences = [x - y for x, y in zip(a, b, strict=True)]
    value = math.fsum(differences) / n
    tail = (1 - level) / 4
    gain_low, gain_high = clopper_pearson_limits(
        math.fsum(d for d in differences if d > 0), n, tail, tail
    )
    loss_low, loss_high = clopper_pearson_limits(
        math.fsum(-d for d in differences if d < 0), n, tail, tail
    )
    p_value, permutations, exact = _sign_flip([d for d in differences if d], random_seed)
    return PairedDifference(
        estimate=Estimate(
            value=value,
            low=min(gain_low - loss_high, value),
            high=max(gain_high - loss_low, value),
            level=level,
            n=n,
            clusters=n,
            missing=missing,
            method=method,
            note=note,
        ),
        p_value=p_value,
        permutations=permutations,
        exact=exact,
    )


def _sign_flip(differences: list[float], random_seed: int) -> tuple[float, int, bool]:
    """Two-sided p-value, patterns compared, and whether those were all."""
    if not differences:
        return 1.0, 1, True
    import numpy as np

    sizes = np.abs(np.asarray(differences, dtype=np.float64))
    # Equal sums in another order differ in the last places; without the slack ties are lost.
    threshold = abs(sum(differences)) - 1e-9 * float(sizes.sum())

    def as_extreme(bits: NDArray[np.bool_]) -> int:
        sums = np.where(bits, sizes, -sizes).sum(axis=1)
        return int((np.abs(sums) >= threshold).sum())

    count = len(differences)
    if count <= EXACT_SIGN_FLIPS:
        patterns = np.arange(2**count, dtype=np.int64)[:, None]
        bits = (patterns >> np.arange(count, dtype=np.int64)) & 1 == 1
        return as_extreme(bits) / 2**count, 2**count, True

    generator = np.random.default_rng(random_seed)
    hits, left = 0, MONTE_CARLO_FLIPS
    while left:
        rows = min(_CHUNK, left)
        hits += as_extreme(generator.random((rows, count)) < 0.5)
        left -= rows
    return (1 + hits) / (1 + MONTE_CARLO_FLIPS), MONTE_CARLO_FLIPS, False


def holm(p_values: Iterable[float]) -> tuple[float, ...]:
    """Holm's adjusted p-values, in the order given.

    An adjusted value at or below alpha rejects with the chance of any false rejection in the
    family at most alpha, whatever the dependence. No values give ().

    Raises:
        TypeError, ValueError: a p-value that is NaN, no number or outside [0, 1].

    Source: Holm 1979.
    """
    values = checked_numbers(p_values, "p_values", low=0.0, high=1.0)
    adjusted = [0.0] * len(values)
    running = 0.0
    for position, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        running = max(running, min(1.0, (len(values) - position) * values[i]))
        adjusted[i] = running
    return tuple(adjusted)
