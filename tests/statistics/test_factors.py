"""Effect-coded regression over crossed factors, separation, and clusters."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from custodes.statistics import _logistic as logistic
from custodes.statistics._factors import FactorModel, LevelEffect, factors
from custodes.types import Estimate

Floats = NDArray[np.float64]

# 79 cases of endometrial cancer: neovasculation, pulsatility index, endometrium height, and high
# grade (the outcome). No case with neovasculation is of low grade. Heinze and Schemper 2002.
ENDOMETRIAL = """
0 13 1.64 0/0 16 2.26 0/0 8 3.14 0/0 34 2.68 0/0 20 1.28 0/0 5 2.31 0/0 17 1.8 0/0 10 1.68 0
0 26 1.56 0/0 17 2.31 0/0 8 2.01 0/0 7 1.89 0/0 20 3.15 0/0 10 1.23 0/0 18 1.27 0/0 16 1.76 0
0 18 2 0/0 8 2.64 1/0 29 0.88 1/0 12 1.27 1/0 20 1.37 1/1 38 0.97 1/1 22 1.14 1/1 7 0.88 1
1 25 0.91 1/1 15 0.58 1/0 7 0.97 1/0 28 1.5 0/0 11 1.33 0/0 19 2.37 0/0 10 1.82 0/0 10 3.13 0
0 18 1.31 0/0 14 1.92 0/0 21 1.64 0/0 11 2.01 0/0 17 1.88 0/0 25 1.93 0/0 16 2.11 0/0 19 1.29 0
0 15 1.72 0/0 33 0.75 0/0 24 1.92 0/0 48 1.84 1/0 12 1.11 1/0 19 1.61 1/0 2 1.18 1/1 22 1.44 1
1 40 1.18 1/1 5 0.93 1/1 0 1.17 1/0 21 1.19 1/0 15 1.06 1/0 29 2.02 0/0 15 2.29 0/0 12 2.33 0
0 3 2.9 0/0 20 1.7 0/0 23 1.41 0/0 12 2.25 0/0 22 1.54 0/0 42 1.97 0/0 15 1.75 0/0 13 2.16 0
0 14 2.57 0/0 19 1.37 0/0 12 3.61 0/0 13 2.04 0/0 10 2.17 0/0 12 1.69 1/1 49 0.27 1/0 6 1.84 1
0 5 1.3 1/0 17 0.96 1/1 11 1.01 1/1 21 0.98 1/0 5 0.35 1/1 19 1.02 1/0 33 0.85 1
"""


def endometrial() -> tuple[Floats, Floats, Floats]:
    rows = np.array([line.split() for line in ENDOMETRIAL.replace("\n", "/").split("/") if line])
    numbers = rows.astype(np.float64)
    assert numbers.shape == (79, 4) and numbers[:, 3].sum() == 30
    x = np.hstack([np.ones((79, 1)), numbers[:, :3]])
    return x, numbers[:, 3], np.ones(79)


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


def effect(model: FactorModel, *levels: str) -> LevelEffect:
    return next(e for t in model.terms for e in t.effects if e.levels == levels)


def value(model: FactorModel, *levels: str) -> float:
    number = effect(model, *levels).estimate.value
    assert number is not None
    return number


ASK = {"open": 1.0, "covert": 0.3, "none": -1.3}
SAFEGUARDS = {"off": 0.4, "on": -0.4}


def episodes(
    seeds: int, repeats: int, random_seed: int = 1
) -> tuple[list[int], dict[str, list[str]], list[int]]:
    generator = np.random.default_rng(random_seed)
    outcomes, ask, safeguards, clusters = [], [], [], []
    for seed in range(seeds):
        lean = generator.normal()
        for a, x in ASK.items():
            for s, y in SAFEGUARDS.items():
                for _ in range(repeats):
                    outcomes.append(int(generator.random() < 1 / (1 + math.exp(-x - y - lean))))
                    ask.append(a)
                    safeguards.append(s)
                    clusters.append(seed)
    return outcomes, {"ask": ask, "safeguards": safeguards}, clusters


def coded(columns: dict[str, list[str]]) -> Floats:
    ask = {"open": (1, 0), "covert": (0, 1), "none": (-1, -1)}
    on = {"off": 1, "on": -1}
    return np.array(
        [
            (1, *ask[a], on[s], ask[a][0] * on[s], ask[a][1] * on[s])
            for a, s in zip(columns["ask"], columns["safeguards"], strict=True)
        ],
        dtype=np.float64,
    )


def test_coefficients_and_robust_errors_agree_with_statsmodels() -> None:
    outcomes, columns, clusters = episodes(40, 2)
    model = factors(outcomes, columns, clusters=clusters, interactions=[("ask", "safeguards")])
    x = coded(columns)
    theirs = sm.GLM(outcomes, x, family=sm.families.Binomial()).fit(
        tol=1e-12,
        cov_type="cluster",
        cov_kwds={"groups": np.array(clusters), "use_correction": True},
    )
    found = [
        model.overall.value,
        value(model, "open"),
        value(model, "covert"),
        value(model, "off"),
        value(model, "open", "off"),
        value(model, "covert", "off"),
    ]
    assert found == pytest.approx(theirs.params.tolist(), abs=1e-8)
    assert (model.method, model.separation, model.note) == ("maximum likelihood", False, None)

    # In a balanced design leaving out clusters is statsmodels' sandwich times m / (m - 1), but
    # for its (n - 1) / (n - p).
    cells = list(dict.fromkeys(map(tuple, x.tolist())))
    k, n = np.zeros((40, 6)), np.zeros((40, 6))
    for row, outcome, cluster in zip(x.tolist(), outcomes, clusters, strict=True):
        k[cluster, cells.index(tuple(row))] += outcome
        n[cluster, cells.index(tuple(row))] += 1
    robust = logistic.jackknife(np.array(cells), k, n, theirs.params, np.eye(6))
    assert robust is not None
    episodes_, parameters = len(outcomes), 6
    correction = math.sqrt((episodes_ - 1) / (episodes_ - parameters))
    assert robust.errors * correction == pytest.approx(theirs.bse, rel=1e-9)


def test_effects_sum_to_zero_over_levels_and_two_levels_mirror_each_other() -> None:
    outcomes, columns, clusters = episodes(40, 1)
    model = factors(outcomes, columns, clusters=clusters, interactions=[("ask", "safeguards")])
    ask, safeguards, both = model.terms
    assert [t.freedom for t in model.terms] == [2, 1, 2]
    assert sum(e.estimate.value or 0 for e in ask.effects) == pytest.approx(0, abs=1e-9)
    assert sum(e.estimate.value or 0 for e in both.effects) == pytest.approx(0, abs=1e-9)
    off, on = safeguards.effects
    assert (-ends(on.estimate)[1], -ends(on.estimate)[0]) == pytest.approx(ends(off.estimate))
    assert off.p_value == on.p_value == safeguards.p_value


def test_a_level_that_is_named_last_is_estimated_as_if_named_first() -> None:
    outcomes, columns, clusters = episodes(40, 1)
    one = factors(outcomes, columns, clusters=clusters)
    other = factors(
        list(reversed(outcomes)),
        {name: list(reversed(column)) for name, column in columns.items()},
        clusters=list(reversed(clusters)),
    )
    for levels in (("open",), ("none",), ("on",)):
        assert value(one, *levels) == pytest.approx(value(other, *levels))
        assert ends(effect(one, *levels).estimate) == pytest.approx(
            ends(effect(other, *levels).estimate)
        )


def test_counts_with_trials_are_the_same_as_their_episodes() -> None:
    outcomes, columns, clusters = episodes(30, 3)
    rows = list(zip(columns["ask"], columns["safeguards"], clusters, strict=True))
    cells = list(dict.fromkeys(rows))
    counts = [
        sum(y for y, row in zip(outcomes, rows, strict=True) if row == cell) for cell in cells
    ]
    grouped = factors(
        counts,
        {"ask": [c[0] for c in cells], "safeguards": [c[1] for c in cells]},
        clusters=[c[2] for c in cells],
        trials=[3] * len(cells),
    )
    single = factors(outcomes, columns, clusters=clusters)
    assert grouped.overall.n == single.overall.n == 540
    assert value(grouped, "open") == pytest.approx(value(single, "open"))
    one, other = (effect(model, "on").estimate for model in (grouped, single))
    assert ends(one) == pytest.approx(ends(other))


def test_the_p_value_of_a_term_is_bonferronis_over_its_distinct_effects() -> None:
    outcomes, columns, clusters = episodes(60, 1)
    model = factors(outcomes, columns, clusters=clusters, interactions=[("ask", "safeguards")])
    for term, distinct in zip(model.terms, (3, 1, 3), strict=True):
        ps = [e.p_value for e in term.effects if e.p_value is not None]
        assert len(ps) == len(term.effects)
        assert term.p_value == pytest.approx(min(1.0, distinct * min(ps)))
        for e in term.effects:
            low, high = ends(e.estimate)
            assert e.p_value is not None
            assert (e.p_value < 0.05) == (low > 0 or high < 0)


# Separation and Firth's likelihood --------------------------------------------------------------


def test_firths_estimates_and_profiles_on_the_endometrial_cases() -> None:
    # R's logistf on these cases, as in Heinze and Schemper 2002: NV 2.93 (0.61 to 7.85),
    # PI -0.03 (-0.12 to 0.04), EH -2.60 (-4.37 to -1.23).
    x, k, n = endometrial()
    assert logistic.separated(x, k, n)
    assert not logistic.separated(x[:, [0, 2, 3]], k, n)
    beta = logistic.fitted(x, k, n, firth=True, start=np.zeros(4))
    assert beta == pytest.approx([3.77456, 2.92927, -0.03475, -2.60416], abs=5e-5)
    published = [None, (0.61, 7.85), (-0.12, 0.04), (-4.37, -1.23)]
    ratio = logistic.chi_squared(0.95)
    for i, limits in enumerate(published):
        if limits is not None:
            found = logistic.profile_limits(x, k, n, beta, np.eye(4)[i], ratio)
            assert found == pytest.approx(limits, abs=0.006)


def test_a_table_of_two_by_two_is_fitted_with_half_a_count_added_to_each_cell() -> None:
    # Firth's penalty on a saturated model is Jeffreys' prior: 0.5 of 11 and 5.5 of 11.
    outcomes = [0] * 10 + [1] * 5 + [0] * 5
    columns = {"arm": ["x"] * 10 + ["y"] * 10}
    model = factors(outcomes, columns, clusters=range(20))
    assert (model.method, model.separation) == ("firth", True)
    assert value(model, "y") == pytest.approx(math.log(10.5 / 0.5) / 2, abs=1e-8)
    assert "separation" in (model.note or "")


def test_the_profile_agrees_with_a_general_optimiser() -> None:
    outcomes = [0] * 12 + [1, 0, 0, 0] * 3 + [1, 1, 0] * 4 + [1, 1, 1, 0] * 3
    columns = {"ask": ["a", "a", "b"] * 16, "belief": ["p"] * 24 + ["q"] * 24}
    model = factors(outcomes, columns, clusters=range(48))
    estimate = effect(model, "a").estimate
    x = np.array(
        [
            (1, 1 if a == "a" else -1, 1 if b == "p" else -1)
            for a, b in zip(columns["ask"], columns["belief"], strict=True)
        ],
        dtype=np.float64,
    )
    y = np.array(outcomes, dtype=np.float64)

    def against(beta: Floats) -> float:
        z = x @ beta
        rates = 1 / (1 + np.exp(-z))
        information = (x * (rates * (1 - rates))[:, None]).T @ x
        penalty = float(np.linalg.slogdet(information)[1]) / 2
        return float(np.logaddexp(0, z).sum() - y @ z) - penalty

    best = minimize(against, np.zeros(3), method="BFGS", options={"gtol": 1e-9})
    assert estimate.value == pytest.approx(float(best.x[1]), abs=1e-5)
    # The ratio is divided by 6.635 / 3.841, so the interval ends where it falls by 6.635 / 2.
    for end in ends(estimate):

        def held(free: Floats, end: float = end) -> float:
            return against(np.array([free[0], end, free[1]]))

        fallen = minimize(held, np.zeros(2), method="BFGS", options={"gtol": 1e-9})
        assert fallen.fun - best.fun == pytest.approx(6.635 / 2, abs=0.001)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from("pq")),
        min_size=4,
        max_size=24,
    )
)
def test_separation_is_found_exactly_when_the_likelihood_has_no_maximum(
    rows: list[tuple[bool, str, str]],
) -> None:
    columns = np.array(
        [(1, a == "a", a == "b", b == "p") for _, a, b in rows], dtype=np.float64
    )
    _, sizes, right = np.linalg.svd(columns, full_matrices=False)
    x = columns @ right[sizes > 1e-9].T
    y = np.array([float(y) for y, _, _ in rows])

    def against(beta: Floats) -> float:
        return float(np.logaddexp(0, x @ beta).sum() - y @ (x @ beta))

    def slope(beta: Floats) -> Floats:
        return np.asarray(x.T @ (1 / (1 + np.exp(-x @ beta)) - y))

    steep = minimize(
        against, np.zeros(x.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-7}
    )
    # Where there is a maximum, a table of 24 rows cannot put it further out than this.
    rates = 1 / (1 + np.exp(-x @ steep.x))
    runs_away = bool(np.minimum(rates, 1 - rates).min() < 1e-4)
    assert logistic.separated(x, y, np.ones(len(y))) == runs_away


def test_under_separation_clusters_take_the_interval_away() -> None:
    outcomes, columns, clusters = episodes(30, 1)
    never = [0 if a == "none" else y for a, y in zip(columns["ask"], outcomes, strict=True)]
    model = factors(never, columns, clusters=clusters)
    assert (model.method, model.separation) == ("firth", True)
    for term in model.terms:
        assert term.p_value is None
        for e in term.effects:
            assert e.estimate.value is not None and math.isfinite(e.estimate.value)
            assert (e.estimate.low, e.estimate.high) == (None, None)
            assert "ignores that episodes of a cluster are dependent" in (e.estimate.note or "")


def test_firth_gets_no_interval_with_interactions_or_few_episodes_of_a_level() -> None:
    outcomes, columns, _ = episodes(20, 1)
    alone = range(len(outcomes))
    plain = factors(outcomes, columns, clusters=alone)
    assert plain.method == "firth" and not plain.separation
    assert ends(effect(plain, "open").estimate)
    crossed = factors(outcomes, columns, clusters=alone, interactions=[("ask", "safeguards")])
    assert "without interactions" in (effect(crossed, "open").estimate.note or "")
    few = factors([0, 1, 0, 1, 0, 1, 0], {"f": list("aaaabbb")}, clusters=range(7))
    assert "here is one with 3" in (effect(few, "a").estimate.note or "")


# Edges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [0, 1])
def test_one_outcome_throughout_has_values_without_intervals(outcome: int) -> None:
    _, columns, clusters = episodes(25, 1)
    model = factors([outcome] * len(clusters), columns, clusters=clusters)
    assert model.note == f"every measured outcome is {outcome}"
    estimate = effect(model, "open").estimate
    assert estimate.value == pytest.approx(0, abs=1e-7)
    assert estimate.low is None and f"outcome is {outcome}" in (estimate.note or "")
    assert [t.p_value for t in model.terms] == [None, None]


def test_one_level_leaves_nothing_to_compare_and_the_rest_stands() -> None:
    outcomes, columns, clusters = episodes(30, 1)
    model = factors(
        outcomes,
        {**columns, "belief": ["real"] * len(outcomes)},
        clusters=clusters,
        interactions=[("ask", "belief")],
    )
    without = factors(outcomes, columns, clusters=clusters)
    assert value(model, "open") == pytest.approx(value(without, "open"))
    alone, crossed = model.terms[2], model.terms[3]
    assert (alone.freedom, alone.p_value, crossed.freedom) == (0, None, 0)
    assert [e.levels for e in alone.effects] == [("real",)]
    assert len(crossed.effects) == 3
    for e in (*alone.effects, *crossed.effects):
        assert (e.estimate.value, e.estimate.n) == (None, 0)
        assert "one level of belief" in (e.estimate.note or "")


def test_levels_that_vary_only_together_are_not_told_apart() -> None:
    outcomes, columns, clusters = episodes(30, 1)
    twin = ["asked" if a == "open" else "not" for a in columns["ask"]]
    model = factors(outcomes, {**columns, "twin": twin}, clusters=clusters)
    assert effect(model, "open").estimate.value is None
    assert effect(model, "asked").estimate.value is None
    assert "varies only together" in (effect(model, "asked").estimate.note or "")
    assert ends(effect(model, "off").estimate)


def test_too_few_clusters_and_too_little_that_differs_between_them() -> None:
    outcomes, columns, clusters = episodes(15, 4)
    few = effect(factors(outcomes, columns, clusters=clusters), "open").estimate
    assert few.low is None and "from 20 clusters, and here is 15" in (few.note or "")
    # One seed of 40 acts, and then always: it is the only evidence on the arms.
    rows = [(seed, arm, int(seed == 0 and (arm == "x" or i == 0))) for seed in range(40)
            for arm in "xy" for i in range(3)]  # fmt: skip
    model = factors(
        [y for _, _, y in rows], {"arm": [a for _, a, _ in rows]}, clusters=[s for s, _, _ in rows]
    )
    sparse = effect(model, "x").estimate
    assert sparse.low is None and "effective clusters each way" in (sparse.note or "")


def test_a_level_of_one_cluster_alone_gets_no_interval() -> None:
    outcomes, columns, clusters = episodes(30, 2)
    safeguards = ["odd" if c == 0 else s for c, s in zip(clusters, columns["safeguards"],
                                                         strict=True)]  # fmt: skip
    model = factors(outcomes, {"ask": columns["ask"], "s": safeguards}, clusters=clusters)
    assert "without one of the clusters" in (effect(model, "odd").estimate.note or "")


def test_missing_outcomes_are_counted_and_left_out() -> None:
    outcomes, columns, clusters = episodes(30, 2)
    gaps: list[int | None] = [None if i % 7 == 0 else y for i, y in enumerate(outcomes)]
    kept = [i for i, y in enumerate(gaps) if y is not None]
    model = factors(gaps, columns, clusters=clusters)
    same = factors(
        [outcomes[i] for i in kept],
        {name: [column[i] for i in kept] for name, column in columns.items()},
        clusters=[clusters[i] for i in kept],
    )
    one, other = effect(model, "open").estimate, effect(same, "open").estimate
    assert (one.value, ends(one)) == (other.value, ends(other))
    assert (one.n, one.missing) == (len(kept), len(gaps) - len(kept))
    assert f"{len(gaps) - len(kept)} of {len(gaps)} not measured" in (model.note or "")


def test_nothing_measured_has_no_values() -> None:
    for outcomes, rows in (([], 0), ([None, None], 2)):
        model = factors(outcomes, {"f": ["a", "b"][:rows]}, clusters=list(range(rows)))
        assert model.overall.value is None
        assert all(e.estimate.value is None for t in model.terms for e in t.effects)
        assert "nothing was measured" in (model.overall.note or "")


def test_another_level_than_that_simulated_has_no_interval() -> None:
    outcomes, columns, clusters = episodes(30, 2)
    estimate = effect(factors(outcomes, columns, clusters=clusters, level=0.9), "open").estimate
    assert (estimate.level, estimate.low) == (0.9, None)




@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: factors([0], {"f": ["a", "b"]}, clusters=[0]), ValueError, "f and outcomes"),
        (lambda: factors([0, 1], {"f": ["a", "b"]}, clusters=[0]), ValueError, "clusters and"),
        (lambda: factors([0, 2], {"f": ["a", "b"]}, clusters=[0, 1]), ValueError, "at most 1"),
        (lambda: factors([0, -1], {"f": ["a", "b"]}, clusters=[0, 1]), ValueError, "at least 0"),
        (
            lambda: factors([0, 0.5], {"f": ["a", "b"]}, clusters=[0, 1]),  # type: ignore[list-item]
            TypeError,
            r"outcomes\[1\] to be a whole number",
        ),
        (
            lambda: factors([0, 1], {"f": ["a", "b"]}, clusters=[0, 1], trials=[1, 0]),
            ValueError,
            r"trials\[1\] to be at least 1",
        ),
        (lambda: factors([0, 1], {}, clusters=[0, 1]), ValueError, "at least one factor"),
        (
            lambda: factors([0, 1], {"f": ["a", 1]}, clusters=[0, 1]),  # type: ignore[list-item]
            TypeError,
            r"f\[1\] to be a text",
        ),
        (lambda: factors([0, 1], {"f": ["a", ""]}, clusters=[0, 1]), ValueError, "empty text"),
        (lambda: factors([0, 1], {"f": "ab"}, clusters=[0, 1]), TypeError, "levels of f by row"),
        (
            lambda: factors([0, 1], {"f": ["a", "b"]}, clusters=[0, 1], interactions=[("f", "g")]),
            ValueError,
            "found 'g'",
        ),
        (
            lambda: factors([0, 1], {"f": ["a", "b"]}, clusters=[0, 1], interactions=[("f", "f")]),
            ValueError,
            "two or more different factors",
        ),
        (
            lambda: factors([0, 1], {"f": ["a", "b"]}, clusters=[0, 1], interactions=["f"]),
            TypeError,
            "names of factors",
        ),
        (
            lambda: factors(
                [0, 1],
                {"f": ["a", "b"], "g": ["a", "b"], "h": ["a", "b"]},
                clusters=[0, 1],
                interactions=[("f", "g", "h")],
            ),
            ValueError,
            "to come with",
        ),
        (
            lambda: factors(
                [0, 1],
                {"f": ["a", "b"], "g": ["a", "b"]},
                clusters=[0, 1],
                interactions=[("f", "g"), ("g", "f")],
            ),
            ValueError,
            "each interaction once",
        ),
    ],
)
def test_bad_input_is_refused_with_what_was_found(
    call: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call()
