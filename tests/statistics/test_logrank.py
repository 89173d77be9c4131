"""The log-rank test: published example, statsmodels, exact p-values by hand, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import survdiff

from custodes.statistics import _logrank
from custodes.statistics._logrank import LogRank, log_rank, log_rank_groups

# Weeks of remission, Freireich et al. 1963. R's survdiff prints 10.7 and 19.3 expected,
# Chisq = 16.8 on 1 degree of freedom, p = 4.17e-05; the textbooks give 16.79.
TREATED = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [r == "1" for r in "111010100110001100000"]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def test_the_textbook_example() -> None:
    test = log_rank(TREATED, RELAPSED, PLACEBO, [True] * 21)
    assert test.chi_square == pytest.approx(16.793, abs=5e-4)
    assert test.p_chi_square == pytest.approx(4.17e-5, abs=5e-8)
    assert test.observed == (9, 21)
    assert test.expected == pytest.approx((19.25, 10.75), abs=5e-3)
    assert (test.permutations, test.exact, test.n) == (99_999, False, (21, 21))
    assert test.p_permutation is not None and test.p_permutation < 3e-4
    assert test.p_value == max(test.p_permutation, test.p_chi_square or 0)
    assert log_rank(TREATED, RELAPSED, PLACEBO, [True] * 21, random_seed=0) == test


def test_the_small_example_of_r() -> None:
    # survdiff of R for the data in statsmodels' tests.
    times_a, times_b = [3, 1, 2, 3, 2, 1, 5, 3], [1, 1, 2, 3, 7, 1, 5, 3, 9]
    flags_a, flags_b = [0, 1, 1, 1, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0, 1, 0, 1]
    test = log_rank(times_a, [f == 1 for f in flags_a], times_b, [f == 1 for f in flags_b])
    assert test.chi_square == pytest.approx(2.14673, abs=5e-5)
    assert test.exact and test.permutations == math.comb(17, 8)


units = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=12)


@settings(max_examples=30)
@given(units, units, units)
def test_agrees_with_statsmodels(
    a: list[tuple[int, bool]], b: list[tuple[int, bool]], c: list[tuple[int, bool]]
) -> None:
    for groups in ((a, b), (a, b, c)):
        with pytest.MonkeyPatch.context() as patch:
            # Above the limit only the chi-square is computed, which is what is compared.
            patch.setattr(_logrank, "PERMUTED_UP_TO", 0)
            found = log_rank_groups([_split(group) for group in groups])
        if found.chi_square is None:
            continue
        times = np.array([t for group in groups for t, _ in group], dtype=float)
        flags = np.array([f for group in groups for _, f in group], dtype=float)
        label = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
        chi_square, p = survdiff(times, flags, label)
        assert found.chi_square == pytest.approx(float(chi_square), rel=1e-6, abs=1e-9)
        assert found.p_value == found.p_chi_square == pytest.approx(float(p), abs=1e-7)
        assert (found.permutations, found.degrees) == (0, len(groups) - 1)


def _split(group: list[tuple[int, bool]]) -> tuple[list[int], list[bool]]:
    return [t for t, _ in group], [f for _, f in group]


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=8),
    st.integers(1, 7),
)
def test_the_exact_p_value_counts_every_way_to_deal(
    group: list[tuple[int, bool]], size: int
) -> None:
    size = min(size, len(group) - 1)
    found = log_rank(*_split(group[:size]), *_split(group[size:]))
    if found.p_permutation is None:
        assert not any(flag for _, flag in group)
        return

    def gap(own: tuple[int, ...]) -> float:
        total = 0.0
        for step in {t for t, flag in group if flag}:
            risk = [i for i, (t, _) in enumerate(group) if t >= step]
            dead = [i for i in risk if group[i] == (step, True)]
            expected = len(dead) * len(set(risk) & set(own)) / len(risk)
            total += len(set(dead) & set(own)) - expected
        return abs(total)

    ways = list(combinations(range(len(group)), size))
    observed = gap(tuple(range(size)))
    # The statistic is the square; leave what rounding cannot tell from a tie.
    at_least = sum(gap(way) >= observed - 1e-4 for way in ways) / len(ways)
    more = sum(gap(way) > observed + 1e-4 for way in ways) / len(ways)
    assert more < found.p_permutation <= at_least
    assert (found.exact, found.permutations) == (True, len(ways))


def test_complete_separation_of_five_and_five() -> None:
    # One of 252 ways to deal, and its mirror image.
    test = log_rank([1, 2, 3, 4, 5], [True] * 5, [6, 7, 8, 9, 10], [True] * 5)
    assert test.p_value == test.p_permutation == pytest.approx(2 / 252)
    assert test.p_chi_square is not None and test.p_chi_square < 2 / 252 / 4


def test_drawn_p_values_agree_with_the_exact_ones_and_follow_the_seed() -> None:
    times = [3, 5, 7, 9, 11, 13, 2, 4, 6, 8, 10, 20]
    exact = log_rank(times[:6], [True] * 6, times[6:], [True] * 6)
    long_a, long_b = [t + 0.1 for t in range(12)], [t * 1.3 + 1 for t in range(12)]
    one, again, other = (
        log_rank(long_a, [True] * 12, long_b, [True] * 12, random_seed=seed) for seed in (1, 1, 2)
    )
    assert exact.exact and not one.exact
    assert one == again
    assert one.p_permutation != other.p_permutation
    assert one.p_permutation == pytest.approx(other.p_permutation or 0, abs=0.01)


def test_identical_groups_do_not_differ() -> None:
    test = log_rank([1, 2, 3], [True] * 3, [1, 2, 3], [True] * 3)
    assert test.chi_square == pytest.approx(0)
    assert test.p_value == 1


def test_three_groups() -> None:
    test = log_rank_groups([([1, 2], [True] * 2), ([3, 4], [True] * 2), ([5, 6], [True] * 2)])
    assert (test.degrees, test.permutations, test.exact) == (2, 90, True)
    # The order of the groups does not matter, and the extremes are the 6 orders of the blocks.
    assert test.p_permutation is not None
    assert test.p_permutation * 90 == pytest.approx(round(test.p_permutation * 90))
    swapped = log_rank_groups([([5, 6], [True] * 2), ([1, 2], [True] * 2), ([3, 4], [True] * 2)])
    assert swapped.p_permutation == pytest.approx(test.p_permutation)
    assert swapped.chi_square == pytest.approx(test.chi_square)


@pytest.mark.parametrize(
    ("test", "note"),
    [
        (lambda: log_rank([1, 2], [False] * 2, [3], [False]), "no event was seen"),
        (lambda: log_rank([], [], [1], [True]), "1 of 2 groups are empty"),
        (lambda: log_rank([], [], [], []), "2 of 2 groups are empty"),
    ],
)
def test_nothing_to_compare(test: Callable[[], LogRank], note: str) -> None:
    found = test()
    assert (found.chi_square, found.p_value, found.p_chi_square) == (None, None, None)
    assert note in (found.note or "")


def test_groups_that_are_never_at_risk_together() -> None:
    found = log_rank([1], [False], [2], [True])
    assert (found.chi_square, found.p_chi_square, found.p_value) == (None, None, 1)
    assert "never at risk together" in (found.note or "")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: log_rank([math.nan], [True], [1], [True]), ValueError, r"group a\[0\].*nan"),
        (lambda: log_rank([1], [True], [-1], [True]), ValueError, r"group b\[0\] within"),
        (lambda: log_rank([1], [True], [1, 2], [True]), ValueError, "group b of one length"),
        (lambda: log_rank([1], [None], [1], [True]), TypeError, r"observed of group a\[0\]"),  # type: ignore[list-item]
        (lambda: log_rank(["1"], [True], [1], [True]), TypeError, "'1'"),  # type: ignore[list-item]
        (lambda: log_rank([1], [True], [1], [True], random_seed=-1), ValueError, "random_seed"),
        (lambda: log_rank_groups([([1], [True])]), ValueError, "two groups or more, found 1"),
    ],
)
def test_bad_input_is_refused_with_what_was_found(
    call: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call()
