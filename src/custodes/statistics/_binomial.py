"""Exact limits of a binomial rate. The only place that calls the incomplete beta function."""

from __future__ import annotations


def beta_quantile(q: float, a: float, b: float) -> float:
    """The ``q`` quantile of Beta(a, b)."""
    from scipy.special import betaincinv

    return float(betaincinv(a, b, q))


def clopper_pearson_limits(
    x: float, n: float, tail_low: float, tail_high: float
) -> tuple[float, float]:
    """Clopper-Pearson limits with the given tail probabilities; a tail of 0 gives 0 or 1.

    ``x`` and ``n`` need not be whole numbers: the beta form of the limits extends to an
    effective sample size (Korn and Graubard 1998).
    """
    low = 0.0 if x <= 0 or tail_low == 0 else beta_quantile(tail_low, x, n - x + 1)
    high = 1.0 if x >= n or tail_high == 0 else beta_quantile(1 - tail_high, x + 1, n - x)
    return low, high


def reaches_unseen(value: float, low: float, high: float, units: float, level: float) -> bool:
    """Whether limits of a mean in [0, 1] allow for a kind of unit that is not in the sample.

    A kind that is a share 1 - ((1 - level) / 2) ** (1 / units) of all units is absent from that
    many with the chance (1 - level) / 2. The variance within a sample cannot show it, and it
    moves the mean by that share of the way to 0 or to 1.
    """
    unseen: float = 1 - ((1 - level) / 2) ** (1 / units)
    # Without an event the limits of single trials reach exactly as far, but for rounding.
    slack = 1e-12
    return low <= value * (1 - unseen) + slack and high >= value + unseen * (1 - value) - slack
