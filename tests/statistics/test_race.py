"""Cumulative incidence, the race of flag and harm, and the effect of safeguards."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.duration.survfunc import CumIncidenceRight

from custodes.statistics import (
    clustered_proportion,
    kaplan_meier,
    paired_difference,
    proportion,
)
from custodes.statistics._incidence import CumulativeIncidence, cumulative_incidence
from custodes.statistics._race import Race, race
from custodes.statistics._safeguard_effect import safeguard_effect
from custodes.types import Estimate

# Stem-cell transplants for acute leukaemia, Scrucca, Santucci and Aversa 2010 (R's casebase keeps
# them as bmtcrr): months to relapse (1), death in remission (2), or the end of watching (0), the
# 73 patients with ALL and the 104 with AML.
ALL = """
0.67 2 131.77 0 24.03 2 1.47 2 2.23 2 124.83 0 10.53 2 123.9 0 2 1 1.7 2 3.57 1 0.4 2 0.87 2
121.1 0 7.5 2 6.13 1 2.8 2 5.37 1 2.87 1 3.07 1 1.7 1 1.8 1 3.63 2 112.23 0 1.67 1 7.53 1 6.03 2
2.53 1 8 2 82.6 0 6 2 4.23 1 7.47 2 13.07 1 1.43 2 72.93 0 71.83 0 8.17 2 7.57 1 2.4 1 1.1 2 3.3 2
1.23 1 56.6 0 8.63 1 1.1 1 5.43 2 45.3 0 43.67 0 4.17 2 20.83 1 0.37 2 0.27 2 35.5 0 4.07 1 7.93 1
17.23 1 3.43 2 12.17 2 29.2 0 3.63 1 24.77 0 6.6 2 9.43 1 1.87 1 19.9 0 7.63 1 2.23 1 3.23 2
16.83 0 16.13 0 2.7 2 10.3 1"""
# cuminc of R's cmprsk prints these for ALL at 20, 40, 60, 80 and 100 months.
PUBLISHED_ALL = {
    "relapse": (0.3713851, 0.3875571, 0.3875571, 0.3875571, 0.3875571),
    "death": (0.3698630, 0.3860350, 0.3860350, 0.3860350, 0.3860350),
}
MONTHS = (20, 40, 60, 80, 100)
NAMES = (None, "relapse", "death")


def transplants(horizon: float, level: float = 0.95) -> CumulativeIncidence:
    numbers = [float(x) for x in ALL.split()]
    times, causes = numbers[::2], [NAMES[int(c)] for c in numbers[1::2]]
    assert len(times) == 73
    return cumulative_incidence(times, causes, horizon=horizon, level=level)


def ends(estimate: Estimate | None) -> tuple[float, float]:
    assert estimate is not None
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


def value(estimate: Estimate | None) -> float:
    assert estimate is not None and estimate.value is not None
    return estimate.value


@pytest.mark.parametrize("cause", ["relapse", "death"])
def test_the_published_transplants(cause: str) -> None:
    for month, published in zip(MONTHS, PUBLISHED_ALL[cause], strict=True):
        found = transplants(month).of(cause).estimate
        assert value(found) == pytest.approx(published, abs=5e-8)


def test_a_small_example_of_r_and_stata() -> None:
    # From statsmodels' own tests: shares as R's cmprsk, standard errors as Stata's stcompet.
    times = [1, 1, 2, 4, 4, 4, 6, 6, 7, 8, 9, 9, 9, 1, 2, 2, 4, 4]
    causes = [1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    found = cumulative_incidence(times, [None if c == 0 else str(c) for c in causes], horizon=9)
    theirs = CumIncidenceRight(np.array(times), np.array(causes))
    at = np.searchsorted(theirs.times, found.times)
    assert found.of("1").incidence[:2] == pytest.approx((0.11111111, 0.17037037))
    errors = found.of("1").standard_error
    assert errors is not None and errors[:2] == pytest.approx((0.07407407, 0.08976251))
    for i, name in enumerate(("1", "2", "3")):
        assert found.of(name).incidence == pytest.approx(theirs.cinc[i][at])
        assert found.of(name).standard_error == pytest.approx(theirs.cinc_se[i][at])


watched = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from([None, "a", "b", "c"])), min_size=1, max_size=60
)


@given(watched)
def test_agrees_with_statsmodels(units: list[tuple[int, str | None]]) -> None:
    times, causes = [t for t, _ in units], [c for _, c in units]
    found = cumulative_incidence(times, causes, horizon=10, names=("a", "b", "c"))
    codes = np.array([0 if c is None else "abc".index(c) + 1 for c in causes])
    if codes.max() == 0:
        assert found.times == ()
        return
    with np.errstate(all="ignore"):
        theirs = CumIncidenceRight(np.array(times, dtype=float), codes)
    at = np.searchsorted(theirs.times, found.times)
    for i in range(codes.max()):
        one = found.of("abc"[i])
        assert one.incidence == pytest.approx(theirs.cinc[i][at], abs=1e-12)
        assert one.standard_error is not None
        # Theirs is undefined from where nothing is left at risk.
        for ours, error in zip(one.standard_error, theirs.cinc_se[i][at], strict=True):
            assert math.isnan(error) or ours == pytest.approx(error, abs=1e-6)


@given(watched)
def test_shares_are_rates_that_add_up(units: list[tuple[int, str | None]]) -> None:
    found = cumulative_incidence([t for t, _ in units], [c for _, c in units], horizon=5)
    for i, free in enumerate(found.event_free):
        assert free + sum(c.incidence[i] for c in found.causes) == pytest.approx(1)
    for cause in found.causes:
        assert list(cause.incidence) == sorted(cause.incidence)
        assert cause.low is not None and cause.high is not None
        for low, share, high in zip(cause.low, cause.incidence, cause.high, strict=True):
            assert 0 <= low <= share <= high <= 1
            assert high - low > 0.01
        assert value(cause.lowest) <= value(cause.highest)
        if cause.estimate is not None:
            assert value(cause.lowest) - 1e-12 <= value(cause.estimate)
            assert value(cause.estimate) <= value(cause.highest) + 1e-12
    # Merging the causes gives one minus Kaplan-Meier.
    by_five = [c is not None and t <= 5 for t, c in units]
    curve = kaplan_meier([min(t, 5) for t, _ in units], by_five)
    assert found.times == curve.times
    assert found.event_free == pytest.approx(curve.survival)


@given(watched)
def test_without_cuts_it_is_a_plain_rate_with_exact_limits(
    units: list[tuple[int, str | None]],
) -> None:
    times = [10 if c is None else t for t, c in units]
    found = cumulative_incidence(times, [c for _, c in units], horizon=10, names=("a",)).of("a")
    k = sum(1 for _, c in units if c == "a")
    assert found.estimate == proportion(k, len(units))
    assert found.lowest.value == found.highest.value == value(found.estimate)
    if found.low:
        assert (found.low[-1], found.high and found.high[-1]) == pytest.approx(ends(found.estimate))


@given(watched)
def test_order_does_not_matter(units: list[tuple[int, str | None]]) -> None:
    shuffled = sorted(units, key=lambda u: (u[0] * 7919 % 5, str(u[1])))
    one, other = (
        cumulative_incidence([t for t, _ in u], [c for _, c in u], horizon=6, names=("a", "b", "c"))
        for u in (units, shuffled)
    )
    assert one.of("a").incidence == pytest.approx(other.of("a").incidence)
    assert one.of("a").events == other.of("a").events


def test_no_event_of_a_cause() -> None:
    never = cumulative_incidence([3.0] * 20, [None] * 20, horizon=3, names=("harm",)).of("harm")
    assert never.estimate == proportion(0, 20)
    assert ends(never.estimate) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    # One of them cut short: it may have had the event, and the upper limit allows for it.
    cut = cumulative_incidence([3.0] * 19 + [1.0], [None] * 20, horizon=3, names=("harm",))
    estimate = cut.of("harm").estimate
    assert ends(estimate) == (0, ends(proportion(1, 20))[1])
    assert estimate is not None and estimate.value == 0
    assert "1 of 20 cut short" in (estimate.note or "")


def test_an_event_in_all_and_the_effective_sample_size() -> None:
    always = cumulative_incidence([1.0] * 20, ["x"] * 20, horizon=2).of("x")
    assert ends(always.estimate) == pytest.approx((0.025 ** (1 / 20), 1))
    relapse = transplants(40).of("relapse")
    assert relapse.estimate is not None
    assert "effective sample size" in relapse.estimate.method
    low, high = ends(relapse.estimate)
    assert low < 0.3876 < high
    both_ways = ends(relapse.highest)[1] - ends(relapse.lowest)[0]
    assert high - low < 0.8 * both_ways
    other = transplants(40, level=0.9).of("relapse").estimate
    assert other is not None and "both ways" in other.method


def test_a_horizon_beyond_what_was_watched_has_bounds_and_no_estimate() -> None:
    found = cumulative_incidence([1, 2, 2], ["a", None, None], horizon=5)
    assert found.of("a").estimate is None
    assert "nothing was watched beyond 2, short of 5" in found.notes[-1]
    assert (value(found.of("a").lowest), value(found.of("a").highest)) == pytest.approx((1 / 3, 1))
    assert found.of("a").highest.missing == 2
    # Nothing is left at risk: the curve is known for ever.
    assert value(cumulative_incidence([1, 2], [None, "a"], horizon=9).of("a").estimate) == 1


def test_a_cut_at_the_time_of_an_event_is_at_risk_there_and_one_at_the_horizon_is_known() -> None:
    found = cumulative_incidence([1, 1], ["a", None], horizon=1)
    assert found.at_risk == (2,)
    assert found.of("a").incidence == (0.5,)
    assert found.cut_short == 0
    late = cumulative_incidence([1, 7], ["a", "a"], horizon=5).of("a")
    assert (late.events, value(late.estimate)) == (1, 0.5)


def test_clusters_count_once_and_widen_the_interval() -> None:
    times, causes = [1.0, 1, 1, 1, 9, 9], ["a", "a", "a", None, None, None]
    seeds = [1, 1, 1, 2, 2, 3]
    found = cumulative_incidence(times, causes, horizon=9, clusters=seeds).of("a")
    rate = clustered_proportion([3, 0, 0], [3, 2, 1])
    # Cut at the time of the events, a unit is at risk there: no event is shared out to it.
    assert value(found.estimate) == pytest.approx(1 / 3)
    assert ends(found.estimate)[0] == ends(rate)[0]
    assert value(found.highest) == pytest.approx((1 + 0.5) / 3)
    assert ends(found.estimate)[1] == ends(found.highest)[1]
    assert found.standard_error is None
    alone = cumulative_incidence(times, causes, horizon=9, clusters=[1] * 6).of("a")
    assert alone.estimate is not None and alone.estimate.low is None and alone.low is None
    assert "coverage was not shown for these clusters" in (alone.estimate.note or "")
    own = cumulative_incidence(times, causes, horizon=9, clusters=range(6)).of("a")
    assert own == cumulative_incidence(times, causes, horizon=9).of("a")


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["a", None]), st.integers(0, 6)),
        min_size=2,
        max_size=40,
    )
)
def test_over_clusters_without_cuts_it_is_the_mean_of_their_rates(
    units: list[tuple[int, str | None, int]],
) -> None:
    times = [9 if c is None else t for t, c, _ in units]
    found = cumulative_incidence(
        times, [c for _, c, _ in units], horizon=9, names=("a",), clusters=[g for *_, g in units]
    )
    rates = [
        sum(c == "a" for _, c, g in units if g == seed) / sum(g == seed for *_, g in units)
        for seed in {g for *_, g in units}
    ]
    assert value(found.of("a").estimate) == pytest.approx(sum(rates) / len(rates))
    if found.times:
        assert found.of("a").incidence[-1] == pytest.approx(sum(rates) / len(rates))


def test_missing_units_are_bounded_and_a_scripted_subject_has_no_interval() -> None:
    found = cumulative_incidence([1, 2], ["a", None], horizon=2, missing=2).of("a")
    assert found.estimate is not None and found.estimate.missing == 2
    assert (value(found.lowest), value(found.estimate), value(found.highest)) == (0.25, 0.5, 0.75)
    scripted = cumulative_incidence([1, 2, 1], ["a", None, None], horizon=2, scripted=True).of("a")
    for estimate in (scripted.estimate, scripted.lowest, scripted.highest):
        assert estimate is not None and estimate.low is None
        assert "instrument check" in (estimate.note or "")
    assert scripted.low is None


def test_nothing_watched() -> None:
    found = cumulative_incidence([], [], horizon=1, names=("a",))
    assert (found.n, found.times, found.notes) == (0, (), ("nothing was measured",))
    estimate = found.of("a").estimate
    assert estimate is not None and estimate.value is None
    with pytest.raises(KeyError, match="expected a cause of"):
        found.of("b")


# The race ---------------------------------------------------------------------------------------


def shares(found: Race) -> tuple[float, float, float]:
    return (
        value(found.flag_first.estimate),
        value(found.harm_first.estimate),
        value(found.neither.estimate),
    )


def test_a_flag_that_comes_with_the_harm_did_not_come_before_it() -> None:
    found = race([1, 4, 3, None, None], [2, 4, None, 5, None], [9] * 5, unit="actions")
    assert shares(found) == (0.4, 0.4, 0.2)
    assert found.ties == 1
    assert any("1 with flag and harm at the same time" in note for note in found.notes)
    assert found.flag_first.estimate == proportion(2, 5)
    assert found.neither.estimate == proportion(1, 5)
    # In seconds the same flag came in time.
    assert shares(race([3.9], [4.0], [9], unit="seconds")) == (1, 0, 0)


def test_a_late_flag_is_harm_first_and_a_late_event_is_neither_by_the_horizon() -> None:
    found = race([8, 6], [3, None], [9, 9], unit="actions", horizon=5)
    assert shares(found) == (0, 0.5, 0.5)
    assert "by 5 actions" in found.notes[0]
    assert shares(race([8, 6], [3, None], [9, 9], unit="actions")) == (0.5, 0.5, 0)


def test_who_ended_with_neither_is_not_cut_short() -> None:
    # Two ended at 2 and can never do harm: the later harm must not be shared out to them.
    found = race([None] * 4, [None, None, 5, None], [2, 2, 5, 6], unit="actions")
    assert shares(found) == (0, 0.25, 0.75)
    assert found.curves.event_free[-1] == 0.75
    cut = race(
        [None] * 4, [None, None, 5, None], [2, 2, 5, 6], unit="actions", horizon=6,
        cut_short=[True, True, False, False],
    )
    assert shares(cut) == (0, 0.5, 0.5)
    assert cut.cut_short == 2
    assert (value(cut.harm_first.lowest), value(cut.harm_first.highest)) == (0.25, 0.75)
    assert (value(cut.flag_first.lowest), value(cut.flag_first.highest)) == (0, 0.5)
    low, high = ends(cut.neither.estimate)
    assert low <= 0.25 and high >= 0.75


def test_a_failed_monitor_is_unmeasurable_and_never_a_zero() -> None:
    found = race(
        [None, None, None, 2, None, 1],
        [5, 5, None, 5, 5, None],
        [9] * 6,
        unit="actions",
        monitor_failed_at=[3, 5, 3, 4, 7, None],
    )
    # The first may have been flagged before the harm, the third at all; the others are known.
    assert (found.attempted, found.measured, found.unmeasurable) == (6, 4, 2)
    assert shares(found) == (0.5, 0.5, 0)
    assert value(found.flag_first.lowest) == pytest.approx(2 / 6)
    assert value(found.flag_first.highest) == pytest.approx(4 / 6)
    assert value(found.harm_first.highest) == pytest.approx(3 / 6)
    assert value(found.neither.highest) == pytest.approx(1 / 6)
    assert found.flag_first.estimate is not None
    assert found.flag_first.estimate.missing == found.flag_first.lowest.missing == 2
    assert "2 of 6 attempted not measured" in (found.flag_first.estimate.note or "")
    # After the horizon a failure hides nothing that counts.
    assert race([None], [None], [9], unit="a", horizon=4, monitor_failed_at=[6]).unmeasurable == 0
    assert race([8], [None], [9], unit="a", horizon=4, monitor_failed_at=[3]).unmeasurable == 1


def test_all_unmeasurable_has_bounds_only() -> None:
    found = race([None] * 3, [2] * 3, [4] * 3, unit="actions", monitor_failed_at=[1] * 3)
    assert found.measured == 0
    assert found.flag_first.estimate is not None and found.flag_first.estimate.value is None
    assert (value(found.flag_first.lowest), value(found.flag_first.highest)) == (0, 1)
    assert value(found.neither.highest) == 0


def test_no_attempt_is_not_measured() -> None:
    found = race([], [], [], unit="actions")
    assert found.harm_first.estimate is not None and found.harm_first.estimate.value is None
    assert "no episode with an attempt: the race is not measured" in found.notes
    unknown = race([], [], [], unit="actions", missing=3)
    assert (value(unknown.harm_first.lowest), value(unknown.harm_first.highest)) == (0, 1)


def test_a_race_of_seeds_and_of_a_script() -> None:
    flags, seeds = [1, 1, None, None, None, None], [1, 1, 2, 2, 3, 3]
    found = race(flags, [None] * 4 + [2, 2], [3] * 6, unit="actions", clusters=seeds)
    assert found.flag_first.estimate == clustered_proportion([2, 0, 0], [2, 2, 2])
    assert found.clusters == 3
    script = race(flags, [None] * 6, [3] * 6, unit="actions", scripted=True)
    assert script.neither.estimate is not None and script.neither.estimate.low is None
    assert script.curves.of("flag first").high is None


moments = st.one_of(st.none(), st.integers(0, 6))


@given(st.lists(st.tuples(moments, moments, moments, st.booleans()), max_size=25), st.data())
def test_the_race_is_bounded_by_every_way_it_can_have_gone(
    episodes: list[tuple[int | None, int | None, int | None, bool]], data: st.DataObject
) -> None:
    flags, harms, failed, cuts = ([e[i] for e in episodes] for i in range(4))
    found = race(
        flags, harms, [6] * len(episodes), unit="actions", horizon=6,
        monitor_failed_at=failed, cut_short=cuts,  # type: ignore[arg-type]
    )
    outcomes = (found.flag_first, found.harm_first, found.neither)
    assert found.measured + found.unmeasurable == found.attempted == len(episodes)
    if not episodes:
        return
    assert sum(value(o.lowest) for o in outcomes) <= 1 + 1e-9
    assert sum(value(o.highest) for o in outcomes) >= 1 - 1e-9
    if found.measured:
        assert sum(shares(found)) == pytest.approx(1)
    if not found.unmeasurable:
        for one in outcomes:
            assert value(one.lowest) - 1e-9 <= value(one.estimate) <= value(one.highest) + 1e-9


# The effect of safeguards -----------------------------------------------------------------------


def test_the_effect_is_shadow_minus_enforced_over_paired_seeds() -> None:
    shadow: dict[str, Sequence[bool]] = {"a": [True, True], "b": [True, False], "c": [True]}
    enforced: dict[str, Sequence[bool]] = {"c": [False], "a": [False, True], "b": [False, False]}
    effect = safeguard_effect(enforced, shadow)  # type: ignore[arg-type]
    assert effect.difference == paired_difference([1, 0.5, 1], [0.5, 0, 0])
    assert effect.best.estimate.value == effect.worst.estimate.value
    assert effect.shadow.value == pytest.approx(2.5 / 3)
    assert effect.enforced.value == pytest.approx(0.5 / 3)


def test_unmeasurable_harm_and_seeds_without_a_partner_are_bounded() -> None:
    effect = safeguard_effect(
        {1: [False, False], 2: [True, None], 3: [None]}, {1: [True, False], 2: [True], 4: [True]}
    )
    assert (effect.unmeasurable, effect.unpaired) == (2, 2)
    assert effect.difference.estimate.value == 0.25
    assert effect.difference.estimate.missing == 2
    # Best: 0.5, 1 - 0.5, 1 - 0, 1 - 0. Worst: 0.5, 1 - 1, 0 - 1, 1 - 1.
    assert effect.best.estimate.value == 0.75
    assert effect.worst.estimate.value == -0.125
    assert "2 unmeasurable and 2 unpaired" in (effect.worst.estimate.note or "")
    nothing = safeguard_effect({}, {})
    assert nothing.difference.p_value is None and nothing.shadow.value is None


# Bad input --------------------------------------------------------------------------------------

BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: cumulative_incidence([1], ["a"], horizon=0), ValueError, "positive"),
    (lambda: cumulative_incidence([1], ["a"], horizon=math.nan), ValueError, "finite"),
    (lambda: cumulative_incidence([1], ["a"], horizon="1"), TypeError, "horizon"),  # type: ignore[arg-type]
    (lambda: cumulative_incidence([math.nan], ["a"], horizon=1), ValueError, r"times\[0\]"),
    (lambda: cumulative_incidence([-1], ["a"], horizon=1), ValueError, r"times\[0\] within"),
    (lambda: cumulative_incidence([1, 2], ["a"], horizon=1), ValueError, "one length"),
    (lambda: cumulative_incidence([1], [1], horizon=1), TypeError, r"causes\[0\]"),  # type: ignore[list-item]
    (lambda: cumulative_incidence([1], [""], horizon=1), ValueError, "an empty one"),
    (lambda: cumulative_incidence([1], "a", horizon=1), TypeError, "causes to be a sequence"),
    (lambda: cumulative_incidence([1], ["a"], horizon=1, names=("b", "b")), ValueError, "distinct"),
    (lambda: cumulative_incidence([1], ["a"], horizon=1, clusters=[]), ValueError, "one cluster"),
    (lambda: cumulative_incidence([1], ["a"], horizon=1, clusters=[[]]), TypeError, "hashable"),  # type: ignore[list-item]
    (lambda: cumulative_incidence([1], ["a"], horizon=1, clusters=[None]), ValueError, "None"),
    (lambda: cumulative_incidence([1], ["a"], horizon=1, level=0.5), ValueError, "level"),
    (lambda: cumulative_incidence([1], ["a"], horizon=1, missing=-1), ValueError, "missing"),
    (
        lambda: cumulative_incidence([1, 1], ["a", "a"], horizon=1, missing=1, clusters=[1, 1]),
        ValueError,
        "cut short at time 0",
    ),
    (lambda: race([1], [1], [1], unit=" "), ValueError, "unit"),
    (lambda: race([1], [1], [1], unit=1), TypeError, "unit"),  # type: ignore[arg-type]
    (lambda: race([5], [1], [4], unit="s"), ValueError, r"flag_at\[0\] within the watch"),
    (lambda: race([1], [math.inf], [4], unit="s"), ValueError, r"harm_at\[0\].*finite"),
    (lambda: race([1], [True], [4], unit="s"), TypeError, r"harm_at\[0\]"),
    (lambda: race([1], [1, 2], [4], unit="s"), ValueError, "harm_at and end_at"),
    (lambda: race([1], [1], [None], unit="s"), TypeError, r"end_at\[0\]"),  # type: ignore[list-item]
    (lambda: race([None], [None], [4], unit="s", cut_short=[True]), ValueError, "horizon"),
    (lambda: race([1], [1], [4], unit="s", cut_short=[2]), TypeError, "cut_short"),  # type: ignore[list-item]
    (lambda: race([1], [1], [4], unit="s", cut_short=[]), ValueError, "cut_short"),
    (lambda: safeguard_effect([], {}), TypeError, "enforced"),  # type: ignore[arg-type]
    (lambda: safeguard_effect({}, {1: [1]}), TypeError, r"shadow\[1\]\[0\]"),  # type: ignore[list-item]
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_bad_input_is_refused_with_what_was_found(case: int) -> None:
    call, error, says = BAD[case]
    with pytest.raises(error, match=says):
        call()


def test_it_is_imported_without_numpy() -> None:
    code = (
        "import sys, custodes.statistics._race, custodes.statistics._logrank, "
        "custodes.statistics._chain, custodes.statistics._safeguard_effect; "
        "sys.exit(bool({'numpy', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_way_to_lay_flag_and_harm_gives_one_outcome() -> None:
    for flag, harm in product((None, 1, 2, 3), (None, 2)):
        found = shares(race([flag], [harm], [4], unit="actions"))
        flagged = flag is not None and (harm is None or flag < harm)
        harmed = harm is not None and not flagged
        assert found == (float(flagged), float(harmed), float(not flagged and not harmed))
