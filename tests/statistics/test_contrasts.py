"""Paired differences and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from custodes.statistics import holm, paired_difference
from custodes.types import Estimate


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


shares = st.integers(0, 5).map(lambda k: k / 5)


@given(st.lists(st.tuples(shares, shares), min_size=2, max_size=9))
def test_the_exact_test_agrees_with_scipy(pairs: list[tuple[float, float]]) -> None:
    # In fifths, as whole numbers: scipy compares floats without slack and can lose a tie.
    a, b = np.array([5 * x for x, _ in pairs]).round(), np.array([5 * y for _, y in pairs]).round()
    theirs = stats.permutation_test(
        (a, b),
        lambda x, y, axis: np.sum(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**10,
    )
    ours = paired_difference([x for x, _ in pairs], [y for _, y in pairs])
    assert ours.exact
    assert ours.p_value == pytest.approx(min(1.0, float(theirs.pvalue)), abs=1e-12)


@pytest.mark.parametrize(("gains", "losses"), [(5, 0), (8, 1), (7, 3), (6, 6), (0, 0)])
def test_with_one_episode_it_is_the_exact_mcnemar_test(gains: int, losses: int) -> None:
    a = [1.0] * gains + [0.0] * losses + [1.0] * 4
    b = [0.0] * gains + [1.0] * losses + [1.0] * 4
    theirs = stats.binomtest(gains, gains + losses).pvalue if gains + losses else 1.0
    assert paired_difference(a, b).p_value == pytest.approx(theirs)


def test_above_sixteen_differences_patterns_are_drawn_with_a_seed() -> None:
    a, b = [1.0] * 13 + [0.0] * 5, [0.0] * 13 + [1.0] * 5
    drawn = paired_difference(a, b, random_seed=7)
    assert not drawn.exact
    assert drawn.permutations == 99_999
    assert drawn.p_value == pytest.approx(stats.binomtest(13, 18).pvalue, abs=0.004)
    assert drawn == paired_difference(a, b, random_seed=7)
    assert drawn.p_value != paired_difference(a, b, random_seed=8).p_value
    certain = paired_difference([1.0] * 200, [0.0] * 200).p_value
    assert certain == 1 / 100_000, "a drawn p-value is never 0"


def test_ties_survive_rounding() -> None:
    # 0.1 + 0.2 and 0.3 differ in the last place; all four patterns but two are as extreme.
    assert paired_difference([0.1, 0.2, 0.3], [0.0, 0.0, 0.0]).p_value == 0.25
    assert paired_difference([0.3, 0.0, 0.0], [0.0, 0.1, 0.2]).p_value == 1.0


def test_no_difference_in_any_seed_is_not_a_difference_of_exactly_zero() -> None:
    result = paired_difference([0.5] * 20, [0.5] * 20)
    assert (result.estimate.value, result.p_value) == (0, 1.0)
    assert ends(result.estimate) == pytest.approx((-0.19676, 0.19676), abs=1e-5)


@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=24))
def test_swapping_the_cells_mirrors_the_result(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    one, other = paired_difference(a, b), paired_difference(b, a)
    assert one.estimate.value is not None and other.estimate.value is not None
    assert one.estimate.value == pytest.approx(-other.estimate.value)
    low, high = ends(one.estimate)
    assert (-high, -low) == pytest.approx(ends(other.estimate))
    assert -1 <= low < high <= 1
    assert one.p_value == pytest.approx(other.p_value, abs=1e-12)


def test_the_test_rejects_a_true_null_no_more_often_than_it_says() -> None:
    generator = np.random.default_rng(3)
    rejected = 0
    for _ in range(600):
        theta = generator.beta(0.5, 0.5, 8)
        a, b = generator.binomial(3, theta) / 3, generator.binomial(3, theta) / 3
        p = paired_difference(a.tolist(), b.tolist()).p_value
        rejected += p is not None and p <= 0.05
    assert rejected / 600 <= 0.07


def test_no_pairs_give_no_p_value() -> None:
    empty = paired_difference([], [], missing=3)
    assert (empty.p_value, empty.estimate.value, empty.estimate.low) == (None, None, None)
    assert "3 of 3 seeds lack a cell" in (empty.estimate.note or "")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: paired_difference([0.1], [0.1, 0.2]), "one length, found 1 and 2"),
        (lambda: paired_difference([math.nan], [0.1]), r"seed_means_a\[0\].*nan"),
        (lambda: paired_difference([0.1], [1.5]), r"seed_means_b\[0\] within"),
        (lambda: paired_difference([0.1], [-0.1]), r"seed_means_b\[0\] within"),
        (lambda: holm([0.1, math.nan]), r"p_values\[1\]"),
        (lambda: holm([1.1]), r"p_values\[0\] within"),
    ],
)
def test_bad_input_is_refused_with_what_was_found(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_holm_on_a_worked_example() -> None:
    # By hand: 4 * 0.005; 3 * 0.01; max(0.03, 2 * 0.03); max(0.06, 0.04).
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([]) == ()
    assert holm([0.7, 0.6]) == (1.0, 1.0)


@given(st.lists(st.floats(0, 1), max_size=12), st.floats(0.001, 0.2))
def test_holm_rejects_what_stepping_down_rejects(values: list[float], alpha: float) -> None:
    adjusted = holm(values)
    stepped, going = set(), True
    for position, i in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        going = going and min(1.0, (len(values) - position) * values[i]) <= alpha
        if going:
            stepped.add(i)
    assert {i for i, p in enumerate(adjusted) if p <= alpha} == stepped
    assert all(a >= p for a, p in zip(adjusted, values, strict=True))
