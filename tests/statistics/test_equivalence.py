"""Two one-sided tests against a margin."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincc

from custodes.statistics._equivalence import equivalence, gaffke_tail
from custodes.types import Estimate

shares = st.integers(0, 5).map(lambda k: k / 5)
pairs_of_cells = st.lists(st.tuples(shares, shares), min_size=1, max_size=12)


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


def split(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in pairs], [b for _, b in pairs]


@pytest.mark.parametrize(("n", "margin"), [(1, 0.3), (5, 0.1), (20, 0.2), (100, 0.9), (1000, 0.01)])
def test_without_any_difference_the_p_value_is_that_of_no_event(n: int, margin: float) -> None:
    # Gaffke's bound for n zeros is the largest of n uniforms: (1 - margin)^n exactly.
    result = equivalence([0.5] * n, [0.5] * n, margin=margin)
    assert result.p_value == pytest.approx((1 - margin) ** n, rel=1e-11)


@pytest.mark.parametrize(
    ("k", "n", "m"), [(0, 3, 0.4), (3, 9, 0.5), (10, 50, 0.4), (30, 900, 0.1)]
)
def test_for_zeros_and_ones_the_tail_is_clopper_and_pearsons(k: int, n: int, m: float) -> None:
    row = np.array([[1.0] * (k + 1) + [0.0] * (n - k)])
    assert gaffke_tail(row, m)[0] == pytest.approx(float(betaincc(k + 1, n - k, m)), rel=1e-10)


def test_the_tail_of_unequal_differences_agrees_with_drawn_weights() -> None:
    generator = np.random.default_rng(5)
    values = np.r_[1.0, generator.uniform(-1, 1, 6)]
    weights = generator.dirichlet(np.ones(7), 200_000)
    for m in (-0.2, 0.1, 0.5):
        drawn = float((weights @ values >= m).mean())
        assert gaffke_tail(values[None], m)[0] == pytest.approx(drawn, abs=0.005)


def test_counts_stand_for_repeated_values_and_ends_are_certain() -> None:
    repeated = gaffke_tail(np.array([[1.0, 0.0, 0.0, 0.0, -1.0, -1.0]]), 0.2)
    counted = gaffke_tail(np.array([[1.0, 0.0, -1.0]]), 0.2, np.array([[1.0, 3.0, 2.0]]))
    assert counted[0] == pytest.approx(repeated[0], rel=1e-12)
    certain = gaffke_tail(np.array([[0.9, 0.3], [0.1, 0.0]]), 0.2)
    assert certain.tolist() == [1.0, 0.0]


def test_equivalence_is_shown_exactly_when_the_interval_lies_inside_the_margin() -> None:
    a, b = [0.4] * 19 + [0.8], [0.4] * 20
    for margin in (0.1, 0.17, 0.19, 0.2, 0.25, 0.5):
        result = equivalence(a, b, margin=margin)
        low, high = ends(result.estimate)
        assert result.equivalent in (True, False, None)
        if result.equivalent is not None:
            assert result.equivalent == (-margin < low and high < margin), margin
    assert equivalence(a, b, margin=0.25).equivalent is True
    assert equivalence(a, b, margin=0.16).equivalent is False


@settings(max_examples=12, deadline=None)
@given(pairs_of_cells, st.sampled_from([0.1, 0.3, 0.6]))
def test_swapping_the_cells_changes_nothing_but_the_sign(
    pairs: list[tuple[float, float]], margin: float
) -> None:
    a, b = split(pairs)
    one, other = equivalence(a, b, margin=margin), equivalence(b, a, margin=margin)
    assert one.p_value == pytest.approx(other.p_value, rel=1e-9)
    assert one.equivalent == other.equivalent
    low, high = ends(one.estimate)
    assert (-high, -low) == pytest.approx(ends(other.estimate), abs=1e-9)
    assert -1 <= low <= high <= 1


@settings(max_examples=12, deadline=None)
@given(pairs_of_cells, st.integers(0, 3))
def test_more_missing_seeds_never_help(pairs: list[tuple[float, float]], missing: int) -> None:
    a, b = split(pairs)
    result = equivalence(a, b, margin=0.4, missing=missing)
    assert result.p_value is not None and result.worst_p_value is not None
    if missing == 0:
        assert result.worst_p_value == result.p_value
    else:
        assert result.worst_p_value >= result.p_value - 1e-12
    assert result.estimate.missing == missing


def test_missing_seeds_that_could_undo_the_answer_leave_none() -> None:
    measured = [0.5] * 20
    shown = equivalence(measured, measured, margin=0.2)
    assert shown.equivalent is True
    open_ = equivalence(measured, measured, margin=0.2, missing=3)
    assert open_.equivalent is None
    assert "not if the missing ones had differed" in (open_.note or "")
    assert "3 of 23 seeds lack a cell" in (open_.note or "")
    few = equivalence([0.5] * 200, [0.5] * 200, margin=0.2, missing=3)
    assert few.equivalent is True and few.worst_p_value is not None
    assert few.p_value is not None and few.p_value < few.worst_p_value < 0.05


def test_too_few_seeds_have_no_answer_and_are_told_how_many_it_takes() -> None:
    # (1 - 0.2)^13 = 0.055 and (1 - 0.2)^14 = 0.044.
    at_13 = equivalence([0.1] * 13, [0.1] * 13, margin=0.2)
    assert at_13.equivalent is None
    assert at_13.note == "13 seeds cannot show a margin of 0.2 at 0.95: it takes 14"
    assert equivalence([0.1] * 14, [0.1] * 14, margin=0.2).equivalent is True


def test_a_difference_is_not_shown_to_be_none() -> None:
    result = equivalence([1.0] * 30, [0.0] * 30, margin=0.3)
    assert result.equivalent is False
    assert result.p_value == 1.0
    assert ends(result.estimate)[1] == 1.0
    assert "no evidence of a difference" in (result.note or "")


def test_no_seed_gives_no_answer() -> None:
    result = equivalence([], [], margin=0.1, missing=4)
    assert (result.equivalent, result.p_value, result.worst_p_value) == (None, None, None)
    assert result.estimate.value is None
    assert result.note == "nothing was measured; 4 of 4 seeds lack a cell"


def test_the_interval_has_the_level_of_two_one_sided_tests() -> None:
    estimate = equivalence([0.2] * 9, [0.1] * 9, margin=0.5).estimate
    assert estimate.level == pytest.approx(0.9)
    assert (estimate.n, estimate.clusters) == (9, 9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: equivalence([0.1], [0.1, 0.2], margin=0.1), "one length, found 1 and 2"),
        (lambda: equivalence([math.nan], [0.1], margin=0.1), r"seed_means_a\[0\].*nan"),
        (lambda: equivalence([0.1], [1.5], margin=0.1), r"seed_means_b\[0\] within"),
        (lambda: equivalence([0.1], [0.1], margin=0.0), "margin between 0 and 1, found 0"),
        (lambda: equivalence([0.1], [0.1], margin=1.0), "margin between 0 and 1, found 1"),
        (lambda: equivalence([0.1], [0.1], margin=math.nan), "margin.*finite"),
        (lambda: equivalence([0.1], [0.1], margin=0.1, level=1.0), "level"),
        (lambda: equivalence([0.1], [0.1], margin=0.1, missing=-1), "missing"),
        (lambda: equivalence([0.1] * 1001, [0.1] * 1001, margin=0.1), "at most 1000 seeds"),
    ],
)
def test_bad_input_is_refused_with_what_was_found(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()


def test_the_margin_has_no_default() -> None:
    with pytest.raises(TypeError, match="margin"):
        equivalence([0.1], [0.1])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="margin"):
        equivalence([0.1], [0.1], margin="small")  # type: ignore[arg-type]
