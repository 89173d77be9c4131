"""Assessors' probabilities, and scores of those that came to be resolved."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from custodes.statistics._forecasts import assessors, brier, log_score

inner = st.floats(0.001, 0.999)
forecasts = st.lists(st.tuples(inner, st.booleans()), min_size=1, max_size=20)


def test_each_assessor_is_shown_with_median_and_spread() -> None:
    shown = assessors({"A": 0.1, "B": None, "C": 0.4, "D": 0.2, "E": 0.9})
    assert shown.each == (("A", 0.1), ("B", None), ("C", 0.4), ("D", 0.2), ("E", 0.9))
    assert shown.median.value == pytest.approx(0.3)
    assert (shown.least, shown.most) == (0.1, 0.9)
    # numpy.quantile of (0.1, 0.2, 0.4, 0.9).
    assert shown.quartiles == pytest.approx((0.175, 0.525))


def test_assessors_never_get_an_interval() -> None:
    for probabilities in ({}, {"A": 0.5}, {str(i): i / 100 for i in range(100)}):
        median = assessors(probabilities).median
        assert (median.low, median.high) == (None, None)
        assert median.note
    assert "no sample" in (assessors({"A": 0.5, "B": 0.6}).median.note or "")


def test_one_or_no_assessor_has_a_defined_result() -> None:
    one = assessors({"A": 0.7})
    assert (one.median.value, one.least, one.most, one.quartiles) == (0.7, 0.7, 0.7, None)
    none = assessors({"A": None, "B": None})
    assert (none.median.value, none.median.n, none.median.missing) == (None, 0, 2)
    assert (none.least, none.most, none.quartiles) == (None, None, None)
    assert "2 of 2 gave no probability" in (none.median.note or "")


@given(st.lists(st.floats(0, 1), min_size=2, max_size=15))
def test_quartiles_are_numpys(values: list[float]) -> None:
    quartiles = assessors({str(i): p for i, p in enumerate(values)}).quartiles
    assert quartiles == pytest.approx(tuple(np.quantile(values, [0.25, 0.75])), abs=1e-12)


@given(forecasts)
def test_scores_agree_with_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    p, y = [p for p, _ in rows], [y for _, y in rows]
    assert brier(p, y).estimate.value == pytest.approx(brier_score_loss(y, p, pos_label=True))
    theirs = log_loss(y, p, labels=[False, True])
    assert log_score(p, y).estimate.value == pytest.approx(theirs)


def test_always_saying_one_half() -> None:
    assert brier([0.5] * 4, [True, False, True, True]).estimate.value == 0.25
    assert log_score([0.5] * 3, [True, False, True]).estimate.value == pytest.approx(math.log(2))


@given(st.lists(st.tuples(st.none() | inner, st.none() | st.booleans()), max_size=12))
def test_unresolved_forecasts_are_missing_and_bounded(
    rows: list[tuple[float | None, bool | None]],
) -> None:
    p, y = [p for p, _ in rows], [y for _, y in rows]
    for score in (brier, log_score):
        result = score(p, y)
        resolved = sum(a is not None and b is not None for a, b in rows)
        assert (result.estimate.n, result.estimate.missing) == (resolved, len(rows) - resolved)
        ends = []
        for way in (True, False):
            filled = [way if b is None else b for b in y]
            ends.append(score(p, filled).estimate.value)
        if result.lowest is None or result.highest is None:
            assert all(a is None for a in p)
            continue
        for end in ends:
            assert end is not None
            assert result.lowest - 1e-12 <= end <= result.highest + 1e-12
        assert [s is None for s in result.each] == [a is None or b is None for a, b in rows]


def test_a_probability_of_zero_that_happened_is_infinite_and_said() -> None:
    result = log_score([0.0, 0.5, 1.0], [True, True, False])
    assert result.estimate.value == math.inf
    assert list(result.each) == pytest.approx([math.inf, math.log(2), math.inf])
    assert result.certain_and_wrong == 2
    assert "2 forecasts were certain and wrong" in (result.estimate.note or "")
    right = log_score([0.0, 1.0], [False, True])
    assert (right.estimate.value, right.certain_and_wrong) == (0.0, 0)
    assert math.copysign(1.0, right.estimate.value or 0.0) == 1.0
    assert brier([0.0], [True]).estimate.value == 1.0


def test_an_unresolved_certainty_is_bounded_by_infinity() -> None:
    result = log_score([0.0, 0.5], [None, True])
    assert result.lowest == pytest.approx(math.log(2) / 2)
    assert result.highest == math.inf
    assert result.estimate.value == pytest.approx(math.log(2))


def test_a_small_probability_keeps_its_digits() -> None:
    assert log_score([1e-20], [False]).estimate.value == pytest.approx(1e-20, rel=1e-12)


def test_nothing_resolved_has_no_value() -> None:
    for result in (brier([], []), log_score([0.3], [None])):
        assert result.estimate.value is None
        assert "nothing was measured" in (result.estimate.note or "")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: assessors({"A": 1.2}), ValueError, r"estimates\[0\] within"),
        (lambda: assessors({"A": None, "B": math.nan}), ValueError, r"estimates\[1\].*finite"),
        (lambda: assessors({" ": 0.5}), ValueError, "name of an assessor"),
        (lambda: assessors({3: 0.5}), TypeError, "name of an assessor"),  # type: ignore[dict-item]
        (lambda: assessors({"A": True}), TypeError, "to be a number, found True"),
        (lambda: brier([0.1], []), ValueError, "one length, found 1 and 0"),
        (lambda: brier([-0.1], [True]), ValueError, r"probabilities\[0\] within"),
        (lambda: brier([0.5], [1]), TypeError, "be a truth value"),  # type: ignore[list-item]
        (lambda: log_score([math.inf], [True]), ValueError, r"probabilities\[0\].*finite"),
        (lambda: log_score(["0.5"], [True]), TypeError, "number"),  # type: ignore[list-item]
    ],
)
def test_bad_input_is_refused_with_what_was_found(
    call: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call()
