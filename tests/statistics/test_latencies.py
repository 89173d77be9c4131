"""Latencies: order statistics, Kaplan-Meier, and bad input."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from custodes.statistics import kaplan_meier, median_interval
from custodes.types import Estimate

# Remission in weeks, 6-MP arm of Freireich et al. 1963 as in Kalbfleisch and Prentice: the usual
# textbook example (S = 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448 at the events).
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSED = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]


def ends(estimate: Estimate | None) -> tuple[float, float]:
    assert estimate is not None
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


@pytest.mark.parametrize(
    ("n", "rank"),
    # Ranks of the 95 % sign-test interval: Conover, Practical Nonparametric Statistics.
    [(6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (15, 4), (20, 6), (25, 8), (30, 10), (50, 18)],
)
def test_published_ranks_of_the_median_interval(n: int, rank: int) -> None:
    estimate = median_interval(range(1, n + 1))
    assert ends(estimate) == (rank, n + 1 - rank)
    assert estimate.value == (n + 1) / 2


@pytest.mark.parametrize("level", [0.8, 0.9, 0.95, 0.99])
def test_agrees_with_scipys_quantile_test(level: float) -> None:
    generator = np.random.default_rng(1)
    for n in range(1, 60):
        values = np.sort(generator.exponential(1, n))
        test = stats.quantile_test(values, q=0, p=0.5)
        low, high = (float(end) for end in test.confidence_interval(level))  # type: ignore[attr-defined]
        ours = median_interval(values.tolist(), level=level)
        if math.isnan(low) or math.isnan(high):
            assert ours.low is None
        else:
            assert ends(ours) == pytest.approx((low, high))


def test_five_values_are_too_few_and_it_says_how_many_are_needed() -> None:
    few = median_interval([3, 1, 2, 5, 4], missing=2)
    assert (few.value, few.low) == (3, None)
    assert "5 values, and 0.95 takes 6" in (few.note or "")
    assert "2 of 7 not measured" in (few.note or "")
    assert "takes 8" in (median_interval([1.0] * 7, level=0.99).note or "")
    assert median_interval([1.0] * 8, level=0.99).low == 1
    assert median_interval([]).value is None


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=50))
def test_order_does_not_matter_and_the_interval_is_made_of_values(values: list[float]) -> None:
    one, other = median_interval(values), median_interval(values[::-1])
    assert one == other
    assert one.low is None or {one.low, one.high} <= set(values)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: median_interval([1, math.nan]), ValueError, r"values\[1\].*nan"),
        (lambda: median_interval([1, math.inf]), ValueError, "censored"),
        (lambda: median_interval([1, -0.5]), ValueError, r"values\[1\] within"),
        (lambda: median_interval(["1"]), TypeError, "'1'"),  # type: ignore[list-item]
        (lambda: median_interval([None]), TypeError, "None"),  # type: ignore[list-item]
        (lambda: kaplan_meier([1, 2], [True]), ValueError, "one length"),
        (lambda: kaplan_meier([1, -2], [True, True]), ValueError, r"times\[1\]"),
        (lambda: kaplan_meier([1, 2], [True, 2]), TypeError, r"observed\[1\]"),  # type: ignore[list-item]
        (lambda: kaplan_meier([1], [True], horizon=0), ValueError, "horizon"),
        (lambda: kaplan_meier([1], [True], horizon=math.inf), ValueError, "horizon"),
        (lambda: kaplan_meier([1], [True], horizon=math.nan), ValueError, "horizon"),
        (lambda: kaplan_meier([1], [True], horizon="9"), TypeError, "horizon"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_refused_with_what_was_found(
    call: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call()


def test_the_textbook_curve() -> None:
    curve = kaplan_meier(WEEKS, [r == 1 for r in RELAPSED], horizon=35)
    assert list(curve.times) == [6, 7, 10, 13, 16, 22, 23]
    assert curve.survival == pytest.approx(
        (0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448), abs=5e-4
    )
    assert curve.at_risk == (21, 17, 15, 12, 11, 7, 6)
    assert curve.events == (3, 1, 1, 1, 1, 1, 1)
    # R's survfit with conf.type = "log-log" prints median 23, lower limit 13, upper NA.
    assert curve.median is not None
    assert (curve.median.value, curve.median_low, curve.median.low) == (23, 13, None)
    assert "13.0 or more" in (curve.median.note or "")
    assert curve.restricted_mean is not None
    assert curve.restricted_mean.value == pytest.approx(23.287, abs=5e-4)
    # Its standard error in R is 2.827: the conservative interval is wider than 1.96 of them.
    low, high = ends(curve.restricted_mean)
    assert low < 23.287 - 1.96 * 2.827 and 23.287 + 1.96 * 2.827 < high < 35
    assert "11 of 21 cut short" in (curve.restricted_mean.note or "")


# Acute myelogenous leukaemia, Embury et al. 1977 (Miller 1981; R's survival keeps it as aml): R
# prints median 31 and restricted mean 52.6 of the maintained and 23 and 22.7 of the others, with
# the last time of each as the horizon.
MAINTAINED = ([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161], "11011011010")
NOT_MAINTAINED = ([5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45], "111110111111")


@pytest.mark.parametrize(
    ("arm", "events", "middle", "mean"),
    [(MAINTAINED, 7, 31, 52.6), (NOT_MAINTAINED, 11, 23, 22.7)],
)
def test_medians_and_restricted_means_of_r(
    arm: tuple[list[int], str], events: int, middle: float, mean: float
) -> None:
    curve = kaplan_meier(arm[0], [seen == "1" for seen in arm[1]], horizon=arm[0][-1])
    assert curve.observed == events
    assert curve.median is not None and curve.median.value == middle
    assert curve.restricted_mean is not None and curve.restricted_mean.value is not None
    assert curve.restricted_mean.value == pytest.approx(mean, abs=0.05)


def test_the_placebo_arm_has_no_cuts() -> None:
    # Median 8 with limits 4 and 12, as R prints for it.
    placebo = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
    curve = kaplan_meier(placebo, [True] * 21, horizon=23)
    assert curve.median is not None and curve.median.value == 8
    assert ends(curve.median) == (4, 12)
    assert curve.restricted_mean is not None
    assert curve.restricted_mean.value == pytest.approx(182 / 21)


censored = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40)


@given(censored)
def test_agrees_with_scipy(pairs: list[tuple[int, bool]]) -> None:
    times, flags = [t for t, _ in pairs], [f for _, f in pairs]
    curve = kaplan_meier(times, flags)
    theirs = stats.ecdf(
        stats.CensoredData(
            uncensored=[t for t, f in pairs if f], right=[t for t, f in pairs if not f]
        )
    ).sf
    for time, survival in zip(curve.times, curve.survival, strict=True):
        assert survival == pytest.approx(float(theirs.evaluate([time])[0]), abs=1e-12)
    assert sum(curve.events) == curve.observed == sum(flags)
    assert list(curve.survival) == sorted(curve.survival, reverse=True)
    assert curve.median is not None or curve.notes


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_without_censoring_it_is_the_sample(times: list[int]) -> None:
    curve = kaplan_meier(times, [True] * len(times), horizon=31)
    assert curve.survival == pytest.approx(
        tuple(sum(1 for t in times if t > u) / len(times) for u in curve.times)
    )
    assert curve.median == median_interval(times)
    assert curve.restricted_mean is not None
    assert curve.restricted_mean.value == pytest.approx(sum(times) / len(times))
    low, high = ends(curve.restricted_mean)
    assert 0 <= low < high <= 31


def test_a_unit_cut_short_at_the_time_of_an_event_is_at_risk_there() -> None:
    assert kaplan_meier([1, 1], [True, False]).survival == (0.5,)


def test_few_units_with_censoring_get_no_interval() -> None:
    times, flags = list(range(1, 20)), [i % 4 != 3 for i in range(19)]
    curve = kaplan_meier(times, flags)
    assert curve.median is not None and curve.median.low is None and curve.median_low is None
    assert "from 20 units; here 19" in (curve.median.note or "")
    assert ends(kaplan_meier([*times, 20], [*flags, True]).median)[0] > 0
    other = kaplan_meier([*times, 20], [*flags, True], level=0.9).median
    assert other is not None and other.low is None


def test_a_median_that_is_not_reached_is_said_and_bounded_below() -> None:
    curve = kaplan_meier([float(i) for i in range(1, 31)], [i <= 12 for i in range(1, 31)])
    assert curve.median is None
    assert curve.median_low is not None
    assert "seen in 12 of 30" in curve.notes[0]
    assert f"it is {curve.median_low:g} or more" in curve.notes[0]
    never = kaplan_meier([60.0] * 10, [False] * 10, horizon=60)
    assert (never.median, never.median_low, never.observed) == (None, None, 0)
    assert never.restricted_mean is not None and never.restricted_mean.value == 60


def test_a_restricted_mean_stops_at_what_was_watched() -> None:
    assert kaplan_meier([1, 5], [True, False], horizon=6).restricted_mean is None
    assert "short of the horizon 6" in kaplan_meier([1, 5], [True, False], horizon=6).notes[-1]
    within = kaplan_meier([1, 5], [True, False], horizon=5).restricted_mean
    assert within is not None and within.value == 3
    assert ends(kaplan_meier([1, 2, 5], [True, False, True], horizon=5).restricted_mean)[1] < 5
    assert kaplan_meier([1, 5], [True, True], horizon=50).restricted_mean is not None
    assert "no horizon" in kaplan_meier([1], [True]).notes[0]


def test_nothing_watched() -> None:
    curve = kaplan_meier([], [], horizon=3)
    assert (curve.n, curve.median, curve.restricted_mean) == (0, None, None)
    assert curve.notes == ("nothing was measured",)


def test_exactly_half_without_the_event_is_the_middle_of_the_step() -> None:
    median = kaplan_meier([1, 2, 3, 4], [True, True, True, False]).median
    assert median is not None and median.value == 2.5
