"""Logistic regression on cells: fits, separation, cluster-robust errors, penalised profiles.

Imported late, because numpy is.

Shapes: c cells, p coefficients, m clusters. ``x`` is (c, p) of full column rank; ``k`` and ``n``
are events and episodes, (c,) in all and (m, c) by cluster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, chdtri, expit, stdtr, stdtrit

Floats = NDArray[np.float64]

_MOST_STEPS = 200
_LONGEST_STEP = 5.0
# Of the log-likelihood: what is left to gain, and what rounding may take.
_PRECISION = 1e-18
_ROUNDING = 1e-12


class NoFit(ArithmeticError):
    """The likelihood was not maximised; raised rather than returning where the search stopped."""


def effect_codes(levels: int) -> Floats:
    """(levels, levels - 1): deviations from the mean over levels; the last is minus the others."""
    return np.vstack([np.eye(levels - 1), -np.ones((1, levels - 1))])


def products(parts: list[Floats]) -> Floats:
    """Row-wise products of columns: the codes of an interaction."""
    result = parts[0]
    for part in parts[1:]:
        result = (result[:, :, None] * part[:, None, :]).reshape(len(result), -1)
    return result


def all_products(parts: list[Floats]) -> Floats:
    """Codes of every combination of levels, the last factor running fastest."""
    result = parts[0]
    for part in parts[1:]:
        result = np.asarray(np.kron(result, part), dtype=np.float64)
    return result


def separated(x: Floats, k: Floats, n: Floats) -> bool:
    """Whether some direction never lowers the likelihood, so that no finite maximum exists.

    The linear programme of Konis (2007): a direction b with x b >= 0 in cells with an event and
    x b <= 0 in cells with an episode without one, not 0 in all of them.
    """
    from scipy.optimize import linprog

    signed = np.vstack([x[k > 0], -x[k < n]])
    found = linprog(
        -signed.sum(axis=0),
        A_ub=-signed,
        b_ub=np.zeros(len(signed)),
        bounds=[(-1, 1)] * x.shape[1],
        method="highs",
    )
    if found.status != 0 or found.fun is None:
        raise NoFit(f"the linear programme for separation ended with: {found.message}")
    return bool(-found.fun > 1e-7)


def _weights(n: Floats, z: Floats) -> Floats:
    # 1 - expit(z) has no digits left where expit(z) is nearly 1, and expit(-z) has all.
    weights: Floats = n * expit(z) * expit(-z)
    return weights


def _weighed(x: Floats, n: Floats, z: Floats) -> Floats:
    weighed: Floats = x * np.sqrt(_weights(n, z))[:, None]
    return weighed


def _triangle(weighed: Floats) -> Floats:
    return np.asarray(np.linalg.qr(weighed)[1], dtype=np.float64)


def _information(x: Floats, n: Floats, z: Floats) -> Floats:
    return (x * _weights(n, z)[:, None]).T @ x


def log_likelihood(x: Floats, k: Floats, n: Floats, beta: Floats, *, firth: bool) -> float:
    """Of the cells' counts, without the binomial coefficients; Firth's adds log|I| / 2."""
    z = x @ beta
    value = float((k * z - n * np.logaddexp(0.0, z)).sum())
    if firth:
        # A triangle of the weighed cells keeps the digits that the determinant of their
        # product loses where rates are nearly 0 or 1.
        diagonal = np.abs(np.diagonal(_triangle(_weighed(x, n, z))))
        value = value + float(np.log(diagonal).sum()) if diagonal.min() > 0 else -math.inf
    return value


def fitted(
    x: Floats, k: Floats, n: Floats, *, firth: bool, free: Floats | None = None, start: Floats
) -> Floats:
    """Maximise over ``start`` + the span of the columns of ``free`` (all directions when None).

    Firth's penalty always uses all of ``x``, as a penalised likelihood ratio needs.

    Raises:
        NoFit: no maximum was reached.
    """
    span = np.eye(x.shape[1]) if free is None else free
    beta = np.array(start, dtype=np.float64)
    reached = log_likelihood(x, k, n, beta, firth=firth)
    for _ in range(_MOST_STEPS):
        z = x @ beta
        weighed = _weighed(x, n, z)
        residual = k * expit(-z) - (n - k) * expit(z)
        if firth:
            # Leverages of cells; each episode of a cell has its share of them.
            leverage = (np.linalg.qr(weighed)[0] ** 2).sum(axis=1)
            residual = residual + leverage * (0.5 - expit(z))
            # The penalty is worth as many more episodes. Without them a step in a cell of one
            # episode goes twice as far as the maximum, and back again for ever.
            weighed = weighed * np.sqrt(1 + leverage / n)[:, None]
        score = span.T @ (x.T @ residual)
        triangle = _triangle(weighed @ span)
        try:
            step = np.linalg.solve(triangle, np.linalg.solve(triangle.T, score))
        except np.linalg.LinAlgError:
            raise NoFit("the information matrix is singular") from None
        left = float(score @ step)
        if left < _PRECISION:
            return beta
        longest = float(np.abs(x @ (span @ step)).max(initial=0.0))
        step *= min(1.0, _LONGEST_STEP / longest)
        for _ in range(40):
            proposed = beta + span @ step
            value = log_likelihood(x, k, n, proposed, firth=firth)
            if value >= reached - _ROUNDING * (1 + abs(reached)):
                break
            step /= 2
        else:
            if left < 1e-8:
                return beta
            raise NoFit("no step raises the likelihood")
        beta, reached = proposed, value
    raise NoFit(f"no maximum within {_MOST_STEPS} steps")


def null_space(contrasts: Floats) -> Floats:
    """Columns spanning the directions that leave every row of ``contrasts`` as it is."""
    _, sizes, rows = np.linalg.svd(np.atleast_2d(contrasts))
    rank = int((sizes > 1e-9 * max(1.0, sizes.max(initial=0.0))).sum())
    return np.asarray(rows[rank:].T, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Robust:
    """What leaving out clusters says about contrasts of the coefficients.

    Attributes:
        errors: standard error of each contrast, (q,).
        each_way: effective clusters on the poorer side of each contrast, (q,).
    """

    errors: Floats
    each_way: Floats


def jackknife(x: Floats, k: Floats, n: Floats, beta: Floats, contrasts: Floats) -> Robust | None:
    """One-step delete-one-cluster variance (CR3) of ``contrasts`` @ beta; None when singular.

    V = (m - 1) / m sum d_g d_g', d_g = (M - M_g)^-1 s_g, with M_g and s_g the information and
    the score of cluster g. Source: Bell and McCaffrey 2002.

    Args:
        x, beta, contrasts: (c, p), (p,), (q, p).
        k, n: by cluster, (m, c).
    """
    scores = (k - n * expit(x @ beta)) @ x
    parts = np.einsum("gc,ci,cj->gij", _weights(n, x @ beta), x, x)
    whole = parts.sum(axis=0)
    rest = whole - parts
    m = len(k)
    # A level that only one cluster has leaves nothing to fit without that cluster.
    scale = np.sqrt(np.diagonal(whole))
    if m < 2 or np.linalg.cond(rest / scale[:, None] / scale).max() > 1e8:
        return None
    removed = np.linalg.solve(rest, scores[:, :, None])[:, :, 0] @ contrasts.T
    directions = np.linalg.solve(whole, contrasts.T)
    influence = scores @ directions
    # Where every cluster does the same at all levels, influences are rounding and no evidence.
    influence[:, (influence**2).sum(axis=0) < 1e-12 * (contrasts.T * directions).sum(axis=0)] = 0
    sides = np.stack([np.maximum(influence, 0), np.maximum(-influence, 0)])
    fourth = (sides**4).sum(axis=1)
    effective = np.where(
        fourth > 0, (sides**2).sum(axis=1) ** 2 / np.where(fourth > 0, fourth, 1.0), 0.0
    )
    return Robust(
        errors=np.sqrt((m - 1) / m * (removed**2).sum(axis=0)), each_way=effective.min(axis=0)
    )


def t_quantile(freedom: float, level: float) -> float:
    return float(stdtrit(freedom, (1 + level) / 2))


def t_p_value(statistic: float, freedom: float) -> float:
    return float(2 * stdtr(freedom, -abs(statistic)))


def profile_limits(
    x: Floats, k: Floats, n: Floats, beta: Floats, contrast: Floats, ratio: float
) -> tuple[float, float]:
    """Where twice the fall of Firth's profile log-likelihood of a contrast reaches ``ratio``.

    Source: Heinze and Schemper 2002.

    Raises:
        NoFit: a constrained fit failed, or a limit lies further out than 40 Wald intervals.
    """
    top = log_likelihood(x, k, n, beta, firth=True)
    free = null_space(contrast)
    size = float(contrast @ contrast)
    value = float(contrast @ beta)
    variance = contrast @ np.linalg.solve(_information(x, n, x @ beta), contrast)
    wald = math.sqrt(ratio * float(variance))

    def limit(sign: int) -> float:
        start = beta
        inside, outside, reach = 0.0, math.inf, wald
        while reach - inside > 1e-7 * wald:
            shift = value + sign * reach - float(contrast @ start)
            start = fitted(
                x, k, n, firth=True, free=free, start=start + shift / size * contrast
            )
            if top - log_likelihood(x, k, n, start, firth=True) > ratio / 2:
                outside = reach
            else:
                inside = reach
            if inside > 40 * wald:
                raise NoFit("the profile likelihood does not fall")
            reach = (inside + outside) / 2 if outside < math.inf else 2 * inside
        return value + sign * inside

    return limit(-1), limit(+1)


def likelihood_ratio(x: Floats, k: Floats, n: Floats, beta: Floats, contrast: Floats) -> float:
    """Twice the fall of Firth's log-likelihood when ``contrast`` @ beta is held at 0."""
    free = null_space(contrast)
    start = free @ (free.T @ beta)
    null = fitted(x, k, n, firth=True, free=free, start=start)
    fall = log_likelihood(x, k, n, beta, firth=True) - log_likelihood(x, k, n, null, firth=True)
    return max(0.0, 2 * fall)


def chi_squared(level: float) -> float:
    """The ``level`` quantile with one degree of freedom."""
    return float(chdtri(1, 1 - level))


def chi_squared_p_value(ratio: float) -> float:
    return float(chdtrc(1, ratio))
