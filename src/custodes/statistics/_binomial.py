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
