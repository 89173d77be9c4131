"""What crossed factors (ask, safeguards, belief) do to a rate, on the log-odds scale."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

from custodes.types import Estimate

from ._checks import checked_level, joined, listed, missing_note, same_length
from ._factor_input import check_columns, checked_interactions, checked_outcomes
from ._labelled import cluster_codes
from ._proportion import NOTHING_MEASURED

if TYPE_CHECKING:
    from ._logistic import Floats

FactorMethod = Literal["maximum likelihood", "firth"]

# Where the coverage of the intervals was shown (docs/statistics.md).
OVERALL = "no interval: it did not cover; give the cells' rates with clustered_proportion"
NOT_ESTIMABLE = "not estimable: it varies only together with another term"
FACTORS_LEAST_CLUSTERS = 20
FACTORS_LEAST_EACH_WAY = 3.0
FIRTH_LEAST_PER_LEVEL = 5
# The chi-squared quantile of 95 % covers down to 91 %, and that of 99 % at least 97 %.
FIRTH_INFLATION = 6.635 / 3.841


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEffect:
    """The effect of one level of a factor, or of one combination of levels of several.

    Attributes:
        levels: one level per factor of the term.
        estimate: log-odds, as a deviation from the mean over levels (for an interaction, what
            the combination adds to the effects of its levels). Two levels differ by the
            difference of their effects: for a factor of two, twice the effect.
        p_value: two-sided, of an effect of 0; None where there is no interval.
    """

    levels: tuple[str, ...]
    estimate: Estimate
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A factor or an interaction.

    Attributes:
        factors: the name of the factor, or those that interact.
        freedom: contrasts that the data can tell; 0 when there is nothing to compare.
        effects: every level, or every combination of levels.
        p_value: of no effect of the whole term; None where an effect has none.
    """

    factors: tuple[str, ...]
    freedom: int
    effects: tuple[LevelEffect, ...]
    p_value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorModel:
    """A binomial regression with effect-coded factors.

    Attributes:
        overall: the mean over cells of the log-odds, never with an interval: rare seeds that act
            otherwise move it, and most samples hold none of them.
        terms: factors in the order given, then interactions.
        method: how the coefficients were estimated.
        separation: a factor or a combination foretells outcomes without exception, so that
            maximum likelihood has no finite answer; found by a linear programme.
        note: what holds for all terms.
    """

    overall: Estimate
    terms: tuple[Term, ...]
    method: FactorMethod
    separation: bool
    note: str | None


def factors(
    outcomes: Sequence[int | bool | None],
    columns: Mapping[str, Sequence[str]],
    *,
    clusters: Sequence[Hashable],
    interactions: Sequence[Sequence[str]] = (),
    trials: Sequence[int] | None = None,
    level: float = 0.95,
) -> FactorModel:
    """Estimate what each factor does to the log-odds of an outcome, over correlated episodes.

    logit P(outcome) = overall + sum of effects, each factor's effects summing to 0 over its
    levels (effect coding, so that every level is shown and none is a hidden reference).

    - *Several episodes per cluster*: maximum likelihood, the one-step delete-one-cluster
      variance (CR3), and t. Its degrees of freedom are one less than the effective clusters,
      (sum v^2)^2 / sum v^4 of the influences v, on the side that has fewer: the few seeds whose
      outcomes differ between levels carry the estimate, however many there are. m - 1 instead
      covers as little as 76 % (docs/statistics.md). An interval needs 20 clusters, 3 effective
      ones each way, and every level in more than one cluster.
    - *Separation*: Firth's penalised likelihood, whose estimates are finite. It ignores
      clustering, so its effects have no interval when a cluster has several episodes.
    - *One episode per cluster*: Firth's, separated or not, with profile penalised likelihood
      intervals and tests whose likelihood ratio is first divided by 1.73: undivided they cover
      as little as 91 % when rates are small. Only without interactions, with 5 episodes of each
      level, and shown for rates from 0.001 to 0.999.

    The term's p-value is the smallest of its effects' times their number (Bonferroni; effects
    that are each other's negative count once).

    Defined results: one level, or levels that vary only together with another term's, give
    effects without a value and the reason; the same outcome in every episode gives values
    without intervals. Missing outcomes are counted and left out; nothing here bounds what they
    would have changed (bound the cells' rates with `with_missing`).

    Args:
        outcomes: 0 or 1 per row, or with ``trials`` the events among that row's episodes; None
            where not measured.
        columns: by factor, each row's level.
        clusters: each row's seed; rows of one seed are taken to be dependent.
        interactions: tuples of factor names; one of three needs its pairs as well.
        trials: each row's episodes, 1 or more; 1 each without it.
        level: coverage; only 0.95 was simulated, other levels get no interval.

    Raises:
        TypeError, ValueError: unequal lengths, an outcome outside 0..trials, no factor, a level
            that is no text or empty, or an interaction of unknown, repeated or too few factors.

    Sources: Bell and McCaffrey 2002 (CR3); Firth 1993; Heinze and Schemper 2002 (profiles);
    Konis 2007 (separation).
    """
    level = checked_level(level)
    outcomes = listed(outcomes, "outcomes")
    if len(listed(clusters, "clusters")) == len(outcomes):
        cluster_codes(clusters)
    counts, episodes, missing = checked_outcomes(outcomes, trials)
    same_length(clusters, outcomes, "clusters and outcomes")
    check_columns(columns, outcomes)
    terms = [(name,) for name in columns] + checked_interactions(interactions, columns)

    rows = [i for i, k in enumerate(counts) if k is not None]
    levels = {name: list(dict.fromkeys(column)) for name, column in columns.items()}
    measured = sum(episodes[i] for i in rows)
    seeds = list(dict.fromkeys(clusters[i] for i in rows))
    fit = _Fit(level=level, episodes=measured, clusters=len(seeds), missing=missing)
    if not rows:
        nothing = fit.absent(joined(NOTHING_MEASURED, missing_note(missing, 0)) or "")
        return FactorModel(
            overall=nothing,
            terms=tuple(fit.unknown(term, levels, NOTHING_MEASURED) for term in terms),
            method="maximum likelihood",
            separation=False,
            note=joined(NOTHING_MEASURED),
        )

    import numpy as np

    from . import _logistic as logistic

    cells = list(dict.fromkeys(tuple(columns[name][i] for name in columns) for i in rows))
    k, n = np.zeros((len(seeds), len(cells))), np.zeros((len(seeds), len(cells)))
    row_of, column_of = ({x: i for i, x in enumerate(xs)} for xs in (seeds, cells))
    for i in rows:
        at = row_of[clusters[i]], column_of[tuple(columns[name][i] for name in columns)]
        k[at] += counts[i]
        n[at] += episodes[i]

    names = list(columns)
    blocks = [np.ones((len(cells), 1))]
    contrasts: list[tuple[tuple[str, ...], Floats]] = []
    for term in terms:
        parts = []
        for name in term:
            place = [levels[name].index(cell[names.index(name)]) for cell in cells]
            parts.append(logistic.effect_codes(len(levels[name]))[place])
        before = sum(block.shape[1] for block in blocks)
        blocks.append(logistic.products(parts))
        codes = logistic.all_products([logistic.effect_codes(len(levels[f])) for f in term])
        wide = np.zeros((len(codes), before + codes.shape[1]))
        wide[:, before:] = codes
        contrasts.append((term, wide))
    full = np.hstack(blocks)
    contrasts = [
        (term, np.pad(wide, ((0, 0), (0, full.shape[1] - wide.shape[1]))))
        for term, wide in contrasts
    ]
    return _modelled(fit, full, k, n, contrasts, levels)


def _modelled(
    fit: _Fit,
    full: Floats,
    k: Floats,
    n: Floats,
    contrasts: list[tuple[tuple[str, ...], Floats]],
    levels: Mapping[str, list[str]],
) -> FactorModel:
    """Fit the cells of ``full`` and read off every contrast that they can tell."""
    import numpy as np

    from . import _logistic as logistic

    _, sizes, right = np.linalg.svd(full, full_matrices=False)
    basis = right[sizes > 1e-9 * sizes[0]].T
    x = full @ basis
    all_k, all_n = k.sum(axis=0), n.sum(axis=0)
    constant = all_k.sum() in (0, all_n.sum())
    alone = bool((n.sum(axis=1) == 1).all())
    separation = logistic.separated(x, all_k, all_n)
    firth = separation or alone
    method: FactorMethod = "firth" if firth else "maximum likelihood"
    beta = logistic.fitted(x, all_k, all_n, firth=firth, start=np.zeros(x.shape[1]))

    note, why = None, None
    if constant:
        note = f"every measured outcome is {int(all_k.sum() > 0)}"
        why = f"no interval: {note}"
    elif separation:
        note = "some cells foretell the outcome without exception (separation)"
    if why is None and fit.level != 0.95:
        why = f"no interval: coverage was shown at a level of 0.95, not {fit.level:g}"
    elif why is None and firth and not alone:
        why = (
            "no interval: under separation Firth's likelihood is used, and it ignores that "
            "episodes of a cluster are dependent"
        )
    elif why is None:
        why = _outside_firth(contrasts, full, all_n) if firth else None
        if not firth and fit.clusters < FACTORS_LEAST_CLUSTERS:
            why = (
                f"no interval: coverage was shown from {FACTORS_LEAST_CLUSTERS} clusters, "
                f"and here is {fit.clusters}"
            )

    def effect(contrast: Floats) -> tuple[Estimate, float | None]:
        inside = contrast @ basis
        if np.abs(inside @ basis.T - contrast).max() > 1e-7:
            return fit.absent(NOT_ESTIMABLE), None
        value = float(inside @ beta)
        if why is not None:
            return fit.estimate(method, value, note=why), None
        if firth:
            try:
                ratio = logistic.chi_squared(fit.level) * FIRTH_INFLATION
                low, high = logistic.profile_limits(x, all_k, all_n, beta, inside, ratio)
                ratio = logistic.likelihood_ratio(x, all_k, all_n, beta, inside)
                p_value = logistic.chi_squared_p_value(ratio / FIRTH_INFLATION)
            except logistic.NoFit as error:
                return fit.estimate(method, value, note=f"no interval: {error}"), None
            return fit.estimate(method, value, min(low, value), max(high, value)), p_value
        robust = logistic.jackknife(x, k, n, beta, inside[None])
        if robust is None:
            reason = "no interval: without one of the clusters there is nothing to fit"
            return fit.estimate(method, value, note=reason), None
        each_way, error_ = float(robust.each_way[0]), float(robust.errors[0])
        if each_way < FACTORS_LEAST_EACH_WAY:
            reason = (
                f"no interval: coverage was shown from {FACTORS_LEAST_EACH_WAY:g} effective "
                f"clusters each way, and here are {each_way:.1f}"
            )
            return fit.estimate(method, value, note=reason), None
        freedom = min(each_way - 1, fit.clusters - 1)
        half = logistic.t_quantile(freedom, fit.level) * error_
        p_value = logistic.t_p_value(value / error_, freedom)
        return fit.estimate(method, value, value - half, value + half), p_value

    terms = []
    for term, wide in contrasts:
        single = [name for name in term if len(levels[name]) == 1]
        if single:
            terms.append(fit.unknown(term, levels, f"one level of {single[0]}: nothing to compare"))
            continue
        found = [effect(row) for row in wide]
        known = [row @ basis for row, (e, _) in zip(wide, found, strict=True) if e.n]
        freedom = int(np.linalg.matrix_rank(np.array(known), tol=1e-7)) if known else 0
        ps = [p for _, p in found]
        p_value = None
        if known and None not in ps:
            distinct = {tuple(np.round(row * _sign(row), 9)) for row in known}
            p_value = min(1.0, len(distinct) * min(p for p in ps if p is not None))
        combinations_ = product(*(levels[name] for name in term))
        terms.append(
            Term(
                factors=term,
                freedom=freedom,
                effects=tuple(
                    LevelEffect(levels=which, estimate=e, p_value=p)
                    for which, (e, p) in zip(combinations_, found, strict=True)
                ),
                p_value=p_value,
            )
        )
    first = np.zeros(full.shape[1])
    first[0] = 1
    return FactorModel(
        overall=fit.absent(NOT_ESTIMABLE)
        if np.abs(first @ basis @ basis.T - first).max() > 1e-7
        else fit.estimate(method, float(first @ basis @ beta), note=why if constant else OVERALL),
        terms=tuple(terms),
        method=method,
        separation=separation,
        note=joined(note, missing_note(fit.missing, fit.episodes)),
    )


def _outside_firth(
    contrasts: list[tuple[tuple[str, ...], Floats]], full: Floats, n: Floats
) -> str | None:
    """Why coverage of Firth's profile intervals was not shown here."""
    import numpy as np

    if any(len(term) > 1 for term, _ in contrasts):
        return "no interval: coverage of Firth's was shown without interactions"
    fewest = math.inf
    for _, wide in contrasts:
        used = wide.any(axis=0)
        for codes in wide[:, used]:
            fewest = min(fewest, float(n[np.all(full[:, used] == codes, axis=1)].sum()))
    if fewest < FIRTH_LEAST_PER_LEVEL:
        return (
            f"no interval: coverage of Firth's was shown from {FIRTH_LEAST_PER_LEVEL} episodes "
            f"of each level, and here is one with {fewest:g}"
        )
    return None


def _sign(row: Floats) -> float:
    leading = next((float(v) for v in row if abs(v) > 1e-9), 1.0)
    return math.copysign(1.0, leading)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """What every estimate of a model shares."""

    level: float
    episodes: int
    clusters: int
    missing: int

    def estimate(
        self,
        method: FactorMethod,
        value: float,
        low: float | None = None,
        high: float | None = None,
        note: str | None = None,
    ) -> Estimate:
        interval = "CR3, t" if method == "maximum likelihood" else "profile"
        return Estimate(
            value=value,
            low=low,
            high=high,
            level=self.level,
            n=self.episodes,
            clusters=self.clusters,
            missing=self.missing,
            method=f"effect-coded logistic regression, {method}, {interval}",
            note=joined(note, missing_note(self.missing, self.episodes)),
        )

    def absent(self, note: str) -> Estimate:
        return Estimate(
            value=None,
            low=None,
            high=None,
            level=self.level,
            n=0,
            clusters=0,
            missing=self.missing,
            method="effect-coded logistic regression",
            note=note,
        )

    def unknown(
        self, term: tuple[str, ...], levels: Mapping[str, list[str]], note: str
    ) -> Term:
        return Term(
            factors=term,
            freedom=0,
            effects=tuple(
                LevelEffect(levels=which, estimate=self.absent(note), p_value=None)
                for which in product(*(levels[name] for name in term))
            ),
            p_value=None,
        )
