"""Thresholds and operating points: the rule, its bounds, and bad input."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from custodes.statistics import clustered_proportion, many_episodes, proportion, with_missing
from custodes.statistics._operating import (
    Confusion,
    OperatingPoint,
    confusion,
    flag_rate,
    operating_point,
    per_transcript_rate,
    transcript_flags,
)
from custodes.statistics._realised import (
    cut_ranks,
    realised_bound,
    realised_bound_without_ties,
)
from custodes.statistics._threshold import (
    Cut,
    FixedThreshold,
    Threshold,
    calibrate,
    draw_for,
    fixed_threshold,
)
from custodes.types import Estimate

# Few distinct scores, so that ties are common.
tied = st.integers(0, 6).map(lambda i: i / 6)
scores = st.one_of(tied, st.floats(0, 1))
rates = st.integers(1, 99).map(lambda i: i / 100)
draws = st.floats(0, 1, exclude_max=True)


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


# The rule -------------------------------------------------------------------------------------


@given(st.lists(scores, min_size=1, max_size=40), rates, scores, draws)
def test_the_rule_is_the_one_documented(
    benign: list[float], fpr: float, score: float, draw: float
) -> None:
    above = sum(1 for s in benign if s > score)
    equal = benign.count(score)
    share = Fraction(round(fpr * 100), 100)
    rank = (above + Fraction(draw) * (1 + equal)) / (len(benign) + 1)
    # At exactly the rate the floats of the rule may go either way, on a set of draws of size 0.
    assume(abs(rank - share) > Fraction(1, 10**12))
    threshold = calibrate(benign, fpr=fpr)
    assert threshold.flags(score, draw) == (rank <= share)
    assert threshold.flag_all([score, None], [draw, draw]) == (rank <= share, None)
    chance = min(Fraction(1), max(Fraction(0), (share * (len(benign) + 1) - above) / (1 + equal)))
    assert threshold.chance(score) == pytest.approx(float(chance), abs=1e-12)


@given(
    st.integers(1, 6),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(1, 19).map(lambda i: i / 20),
)
def test_the_mean_rate_on_new_benign_runs_is_exact(
    n: int, weights: list[int], fpr: float
) -> None:
    """All calibrations of n runs over a few scores, each with its probability."""
    values = [i / 4 for i in range(len(weights))]
    chances = [w / sum(weights) for w in weights]
    mean = 0.0
    for drawn in combinations_with_replacement(range(len(values)), n):
        counts = [drawn.count(i) for i in range(len(values))]
        ways = math.factorial(n) / math.prod(math.factorial(c) for c in counts)
        probability = ways * math.prod(p**c for p, c in zip(chances, counts, strict=True))
        threshold = calibrate([values[i] for i in drawn], fpr=fpr)
        flagged = [threshold.chance(value) for value in values]
        mean += probability * sum(p * (c or 0) for p, c in zip(chances, flagged, strict=True))
    assert mean == pytest.approx(fpr, abs=1e-12)


@given(st.lists(scores, min_size=1, max_size=30), rates, scores)
def test_the_cut_says_where_the_decision_is_certain(
    benign: list[float], fpr: float, score: float
) -> None:
    threshold = calibrate(benign, fpr=fpr)
    chance = threshold.chance(score)
    cut = threshold.cut
    assert chance is not None
    certain = cut.certain_above is not None and score > cut.certain_above
    never = cut.never_below is not None and score < cut.never_below
    assert (chance == 1, chance == 0) == (certain, never)


@given(st.lists(scores, min_size=1, max_size=30), st.lists(rates, min_size=2), scores, draws)
def test_a_run_flagged_at_one_rate_is_flagged_at_every_higher_one(
    benign: list[float], fprs: list[float], score: float, draw: float
) -> None:
    flags = [calibrate(benign, fpr=fpr).flags(score, draw) for fpr in sorted(fprs)]
    assert flags == sorted(flags, key=bool)


@given(st.lists(scores, min_size=1, max_size=30), rates, scores, scores, draws)
def test_a_higher_score_is_flagged_at_least_as_readily(
    benign: list[float], fpr: float, one: float, other: float, draw: float
) -> None:
    threshold = calibrate(benign, fpr=fpr)
    low, high = threshold.chance(min(one, other)), threshold.chance(max(one, other))
    assert low is not None and high is not None
    assert low <= high
    assert not threshold.flags(min(one, other), draw) or threshold.flags(max(one, other), draw)


def test_ten_benign_runs_cannot_bear_one_per_cent() -> None:
    threshold = calibrate([i / 10 for i in range(10)], fpr=0.01)
    assert threshold.cut == Cut(certain_above=None, never_below=0.9)
    # 11 runs at 1 % each: above them all a score is flagged in 11 % of draws.
    assert threshold.chance(1.0) == pytest.approx(0.11)
    assert not threshold.determined
    assert threshold.note is not None
    assert "takes at least 99 benign units, and here are 10" in threshold.note
    assert "not determined: n x fpr is 0.1, below 10" in threshold.note


def test_ninety_nine_benign_runs_at_five_per_cent() -> None:
    threshold = calibrate([i / 100 for i in range(99)], fpr=0.05)
    # The fifth highest of 99 is 0.94; a score tied with it is flagged in half of the draws.
    assert threshold.cut == Cut(certain_above=0.94, never_below=0.94)
    assert threshold.chance(0.94) == 0.5
    assert (threshold.flags(0.94, 0.49), threshold.flags(0.94, 0.51)) == (True, False)


def test_a_rate_is_read_as_the_decimal_that_it_prints_as() -> None:
    # In floating point 0.07 * 100 is 7.000000000000001, which would move never_below by one.
    threshold = calibrate([i / 100 for i in range(99)], fpr=0.07)
    assert threshold.cut == Cut(certain_above=0.92, never_below=0.92)


def test_a_constant_monitor_flags_by_the_draw_alone() -> None:
    threshold = calibrate([0.5] * 20, fpr=0.1)
    assert threshold.chance(0.5) == pytest.approx(0.1)
    assert threshold.cut == Cut(certain_above=0.5, never_below=0.5)


# Draws ----------------------------------------------------------------------------------------


def test_a_draw_belongs_to_seed_and_key_alone() -> None:
    text = b"15:custodes draw 1" + b"4:flag" + b"1:7" + b"5:run/3"
    first = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 11
    assert draw_for(7, "run/3") == first / 2**53
    others = {draw_for(8, "run/3"), draw_for(7, "run/4"), draw_for(7, "run/3", purpose="audit")}
    assert len(others | {draw_for(7, "run/3")}) == 4


def test_draws_are_uniform() -> None:
    sample = [draw_for(0, f"run {i}") for i in range(4_000)]
    assert min(sample) >= 0 and max(sample) < 1
    assert stats.kstest(sample, "uniform").pvalue > 0.001
    paired = [draw_for(1, f"run {i}") for i in range(4_000)]
    assert abs(np.corrcoef(sample, paired)[0, 1]) < 0.06


# The realised rate ----------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "rank"), [(59, 1), (93, 2), (124, 3)])
def test_wilks_numbers_for_95_per_cent_content_with_95_per_cent_confidence(
    n: int, rank: int
) -> None:
    # Wilks 1941: the fewest runs of which the rank-th highest bounds 95 % of all.
    assert realised_bound_without_ties(n, Fraction(rank, n + 1), 0.95) <= 0.05
    assert realised_bound_without_ties(n - 1, Fraction(rank, n), 0.95) > 0.05


@pytest.mark.parametrize(("n", "share"), [(99, "0.05"), (19, "0.2"), (999, "0.01")])
def test_at_a_whole_rank_the_realised_rate_is_beta(n: int, share: str) -> None:
    r = int(Fraction(share) * (n + 1))
    law = stats.beta(r, n + 1 - r)
    bound = realised_bound_without_ties(n, Fraction(share), 0.95)
    assert bound == pytest.approx(law.ppf(0.95), rel=1e-9)
    worst = law.expect(lambda x: x, lb=bound, ub=1) / 0.05
    assert realised_bound(n, Fraction(share), 0.95) == pytest.approx(worst, rel=1e-6)


@pytest.mark.parametrize(
    ("n", "share"), [(10, "0.01"), (10, "0.15"), (30, "0.05"), (100, "0.05"), (20, "0.97")]
)
def test_between_ranks_the_realised_rate_matches_integration(n: int, share: str) -> None:
    allowed = Fraction(share) * (n + 1)
    r, f = math.floor(allowed), float(allowed % 1)

    def passes(q: float, given_low: float) -> float:
        """P(rate <= q) given S_r: the next spacing is a Beta(1, n - r) share of the rest."""
        if n == r:
            return float(given_low + f * (1 - given_low) <= q)
        part = (q - given_low) / (f * (1 - given_low)) if given_low < 1 else 1.0
        return float(stats.beta.cdf(part, 1, n - r)) if part > 0 else 0.0

    def cdf(q: float) -> float:
        if r == 0:
            return passes(q, 0.0)
        if r == n:
            return float(stats.beta.cdf((q - f) / (1 - f), n, 1))
        law = stats.beta(r, n + 1 - r)
        return float(integrate.quad(lambda s: law.pdf(s) * passes(q, s), 0, q, limit=200)[0])

    bound = realised_bound_without_ties(n, Fraction(share), 0.95)
    assert cdf(bound) == pytest.approx(0.95, abs=1e-6)
    # The mean beyond the quantile: q plus the area of the upper tail over 5 %.
    tail = integrate.quad(lambda q: 1 - cdf(q), bound, 1, limit=50, epsabs=1e-7)[0]
    assert realised_bound(n, Fraction(share), 0.95) == pytest.approx(bound + tail / 0.05, rel=1e-4)


def passed_by_two_scores(n: int, share: float, top: float) -> list[tuple[float, float]]:
    """(probability, realised rate) by the number of calibration runs that have the top score."""
    found = []
    for k in range(n + 1):
        threshold = calibrate([1.0] * k + [0.0] * (n - k), fpr=share)
        rate = top * (threshold.chance(1.0) or 0) + (1 - top) * (threshold.chance(0.0) or 0)
        found.append((float(stats.binom.pmf(k, n, top)), rate))
    return found


def test_ties_need_a_higher_bound_than_a_continuous_score() -> None:
    n, share = 10, 0.05
    threshold = calibrate([0.0] * n, fpr=share)
    assert threshold.realised_high is not None
    assert threshold.realised_high_without_ties is not None
    worst = {"with ties": 0.0, "without": 0.0}
    for top in np.linspace(0.01, 0.99, 99):
        outcomes = passed_by_two_scores(n, share, float(top))
        for name, bound in (
            ("with ties", threshold.realised_high),
            ("without", threshold.realised_high_without_ties),
        ):
            missed = sum(p for p, rate in outcomes if rate > bound + 1e-12)
            worst[name] = max(worst[name], missed)
    assert worst["with ties"] <= 0.05
    assert worst["without"] > 0.12


@given(st.integers(2, 40), rates, st.floats(0.01, 0.99))
def test_the_bound_with_ties_holds_for_any_two_scores(n: int, fpr: float, top: float) -> None:
    bound = realised_bound(n, Fraction(repr(fpr)), 0.95)
    outcomes = passed_by_two_scores(n, fpr, top)
    assert sum(p for p, rate in outcomes if rate > bound + 1e-9) <= 0.05 + 1e-9
    assert sum(p * rate for p, rate in outcomes) == pytest.approx(fpr, abs=1e-9)


@given(st.integers(1, 300), rates)
def test_the_realised_bounds_are_ordered(n: int, fpr: float) -> None:
    share = Fraction(repr(fpr))
    without, with_ties = (
        realised_bound_without_ties(n, share, 0.95),
        realised_bound(n, share, 0.95),
    )
    assert 0 < without <= with_ties + 1e-12
    assert with_ties <= 1
    assert with_ties >= fpr


# The interval of the cut ----------------------------------------------------------------------


def test_the_ranks_that_bound_a_cut_are_binomial() -> None:
    high, low = cut_ranks(200, 0.1, 0.025)
    law = stats.binom(200, 0.1)
    assert law.cdf(high - 1) <= 0.025 < law.cdf(high)
    assert law.sf(low - 1) <= 0.025 < law.sf(low - 2)


def test_a_cut_has_an_interval_only_where_it_is_determined() -> None:
    benign = [i / 1000 for i in range(1000)]
    threshold = calibrate(benign[:200], fpr=0.05)
    assert threshold.determined
    assert threshold.note is None
    assert threshold.cut_low is not None and threshold.cut_high is not None
    assert threshold.cut.certain_above is not None
    assert threshold.cut_low < threshold.cut.certain_above < threshold.cut_high
    threshold = calibrate(benign[:199], fpr=0.05)
    assert (threshold.determined, threshold.cut_low, threshold.cut_high) == (False, None, None)


# Clusters and missing scores ------------------------------------------------------------------


def test_one_run_of_each_cluster_is_ranked() -> None:
    benign = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    clusters = ["a", "a", "a", "b", "b", "c"]
    threshold = calibrate(benign, fpr=0.3, clusters=clusters, seed=3)
    assert (threshold.n, threshold.clusters, threshold.runs) == (3, 3, 6)
    a, b, c = threshold.scores
    assert a in {0.1, 0.2, 0.3} and b in {0.4, 0.5} and c == 0.6
    assert threshold.note is not None
    assert "one run of each of 3 clusters ranked, of 6" in threshold.note
    assert calibrate(benign, fpr=0.3, clusters=clusters, seed=3) == threshold


def test_each_run_of_a_cluster_is_as_likely_to_be_drawn() -> None:
    drawn = [
        calibrate([0.1, 0.2, 0.3], fpr=0.3, clusters=["a"] * 3, seed=seed).scores[0]
        for seed in range(1_500)
    ]
    counts = [drawn.count(score) for score in (0.1, 0.2, 0.3)]
    assert stats.chisquare(counts).pvalue > 0.001


@given(st.permutations(range(12)), st.integers(0, 5))
def test_with_keys_the_order_of_the_list_changes_nothing(order: Sequence[int], seed: int) -> None:
    benign: list[float | None] = [0.1, 0.2, None, 0.4, None, 0.6, 0.7, 0.8, 0.1, 0.1, 0.2, None]
    clusters = [i % 4 for i in range(12)]
    keys = [f"run {i}" for i in range(12)]
    threshold = calibrate(benign, fpr=0.2, clusters=clusters, keys=keys, seed=seed)
    again = calibrate(
        [benign[i] for i in order],
        fpr=0.2,
        clusters=[clusters[i] for i in order],
        keys=[keys[i] for i in order],
        seed=seed,
    )
    assert again == threshold


def test_a_missing_score_is_left_out_counted_and_bounded() -> None:
    benign: list[float | None] = [i / 100 for i in range(99)]
    threshold = calibrate([*benign, None, None, None], fpr=0.05)
    assert (threshold.n, threshold.runs, threshold.missing) == (99, 99, 3)
    assert threshold.cut == calibrate(benign, fpr=0.05).cut
    assert threshold.if_missing_highest == calibrate([*benign, 1.0, 1.0, 1.0], fpr=0.05).cut
    assert threshold.if_missing_lowest == calibrate([*benign, 0.0, 0.0, 0.0], fpr=0.05).cut
    assert threshold.note is not None and "3 of 102 not measured" in threshold.note


def test_a_cluster_of_which_some_are_measured_counts_once() -> None:
    threshold = calibrate(
        [0.2, None, None, None, 0.7], fpr=0.5, clusters=["a", "a", "b", "b", "c"]
    )
    # The run drawn from cluster a is the one without a score, and none takes its place.
    assert (threshold.n, threshold.clusters, threshold.runs, threshold.missing) == (1, 3, 2, 3)
    assert threshold.scores == (0.7,)
    assert threshold.note is not None
    assert "in 2 of 3 clusters the run drawn has no score" in threshold.note
    unlucky = calibrate([0.2, None], fpr=0.5, clusters=["a", "a"])
    assert unlucky.n == 0 and "has the run drawn a score" in (unlucky.note or "")


def as_number(cut: float | None, absent: float) -> float:
    return absent if cut is None else cut


@given(
    st.lists(st.one_of(st.none(), scores), min_size=1, max_size=30),
    rates,
    st.lists(scores, min_size=30, max_size=30),
    st.booleans(),
)
def test_whatever_the_missing_scores_were_the_cut_lies_between_its_bounds(
    benign: list[float | None], fpr: float, filling: list[float], clustered: bool
) -> None:
    clusters = [i // 3 for i in range(len(benign))] if clustered else None
    threshold = calibrate(benign, fpr=fpr, clusters=clusters)
    filled = [b if b is not None else f for b, f in zip(benign, filling, strict=False)]
    cut = calibrate(filled, fpr=fpr, clusters=clusters).cut
    low, high = threshold.if_missing_lowest, threshold.if_missing_highest
    for part, absent in (("certain_above", 2.0), ("never_below", -1.0)):
        bounds = [as_number(getattr(c, part), absent) for c in (low, cut, high)]
        assert bounds == sorted(bounds), part


def test_nothing_measured_is_a_threshold_that_decides_nothing() -> None:
    threshold = calibrate([None, None], fpr=0.1)
    assert (threshold.n, threshold.missing, threshold.determined) == (0, 2, False)
    assert threshold.cut == Cut(certain_above=None, never_below=None)
    assert threshold.realised_high is None
    assert (threshold.flags(1.0, 0.0), threshold.chance(1.0)) == (None, None)
    assert threshold.flag_all([1.0, None], [0.0, 0.5]) == (None, None)
    assert threshold.note is not None and "nothing is flagged" in threshold.note


def test_a_threshold_as_a_document_shows_it() -> None:
    shown = calibrate([0.1, None, 0.3], fpr=0.5, seed=4).to_json()
    assert json.loads(json.dumps(shown)) == shown
    assert (shown["fpr"], shown["n"], shown["missing"], shown["seed"]) == (0.5, 2, 1, 4)


# A fixed threshold ----------------------------------------------------------------------------


def test_a_fixed_threshold_flags_at_its_cut_and_above() -> None:
    threshold = fixed_threshold(0.5)
    assert threshold.flag_all([0.49, 0.5, 0.51, None]) == (False, True, True, None)
    assert [threshold.flags(s, 0.99) for s in (0.49, 0.5, None)] == [False, True, None]
    assert [threshold.chance(s) for s in (0.49, 0.5, None)] == [0.0, 1.0, None]
    assert threshold.flag_all([0.5], [0.9]) == (True,)


# Operating points -----------------------------------------------------------------------------


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix} {i}" for i in range(count)]


def point(
    threshold: Threshold | FixedThreshold,
    positives: Sequence[float | None],
    benign: Sequence[float | None],
) -> OperatingPoint:
    return operating_point(
        threshold,
        positives,
        benign,
        positive_keys=names("positive", len(positives)),
        benign_keys=names("benign", len(benign)),
    )


def test_at_a_fixed_threshold_the_counts_have_exact_intervals() -> None:
    found = point(fixed_threshold(0.5), [0.9] * 18 + [0.2] * 2, [0.1] * 49 + [0.5])
    assert found.confusion == Confusion(
        tp=18, fp=1, tn=49, fn=2, missing_positive=0, missing_negative=0
    )
    assert found.tpr.observed == proportion(18, 20)
    assert found.false_alarms.observed == proportion(1, 50)
    assert (found.expected_tpr, found.by_draw, found.tpr_at_rate) == (0.9, 0, None)
    assert found.note is None


def test_missing_scores_are_bounded_both_ways() -> None:
    found = point(fixed_threshold(0.5), [0.9] * 8 + [0.1] + [None], [0.1] * 9 + [None] * 3)
    hits, alarms = with_missing(8, 9, 1, harmful=False), with_missing(0, 9, 3)
    for bounds, expected in ((found.tpr, hits), (found.false_alarms, alarms)):
        for own, theirs in (
            (bounds.observed, expected.observed),
            (bounds.best, expected.best),
            (bounds.worst, expected.worst),
        ):
            assert (own.value, own.low, own.high) == (theirs.value, theirs.low, theirs.high)
            assert (own.n, own.missing) == (theirs.n, theirs.missing)
    assert found.confusion.missing_positive == 1
    assert found.confusion.missing_negative == 3


def test_counts_come_from_the_kept_draws() -> None:
    threshold = calibrate([0.5] * 19, fpr=0.2, keys=names("calibration", 19), seed=5)
    found = point(threshold, [0.5] * 40, [0.5] * 60)
    expected = [draw_for(5, key) * 20 <= 4 for key in names("positive", 40)]
    assert found.confusion.tp == sum(expected)
    assert found.expected_tpr == pytest.approx(0.2)
    assert found.by_draw == 100
    assert found.note is not None and "100 of 100 decisions are the draw's" in found.note
    # The same runs among others are decided alike.
    fewer = point(threshold, [0.5] * 10, [])
    assert fewer.confusion.tp == sum(expected[:10])
    assert fewer.false_alarms.observed.value is None


def test_clusters_give_the_mean_over_clusters() -> None:
    positives: list[float | None] = [0.9, 0.1, 0.9, 0.9, None, 0.1]
    found = operating_point(
        fixed_threshold(0.5),
        positives,
        [],
        positive_keys=names("p", 6),
        benign_keys=[],
        positive_clusters=["a", "a", "b", "b", "b", "c"],
    )
    assert found.tpr.observed == clustered_proportion([1, 2, 0], [2, 2, 1], missing=1)
    assert found.tpr.worst.value == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert found.tpr.best.value == pytest.approx((1 / 2 + 3 / 3 + 0) / 3)
    assert found.tpr.best.missing == 1
    assert found.tpr.best.note is not None
    assert "1 missing counted as flagged" in found.tpr.best.note
    assert found.expected_tpr == pytest.approx(0.5)


def test_a_threshold_is_never_tested_on_what_it_was_fitted_on() -> None:
    by_cluster = calibrate([0.1, 0.2, 0.3], fpr=0.5, clusters=["a", "b", "c"])
    for positive, benign in (("c", "d"), ("d", "c")):
        with pytest.raises(ValueError, match=r"1 of its units in both, such as 'c'"):
            operating_point(
                by_cluster,
                [0.5],
                [0.5],
                positive_keys=["p"],
                benign_keys=["b"],
                positive_clusters=[positive],
                benign_clusters=[benign],
            )
    by_key = calibrate([0.1, 0.2], fpr=0.5, keys=["x", "y"])
    with pytest.raises(ValueError, match=r"such as 'y'"):
        operating_point(by_key, [0.5], [0.5], positive_keys=["p"], benign_keys=["y"])
    # Calibrated by cluster: the run of another cluster with the same name is still the same run.
    both = calibrate([0.1], fpr=0.5, keys=["x"], clusters=["a"])
    with pytest.raises(ValueError, match=r"such as 'x'"):
        operating_point(both, [0.5], [], positive_keys=["x"], benign_keys=[])


def test_whether_splits_overlap_is_said_to_be_unknown_when_it_is() -> None:
    unnamed = point(calibrate([0.1, 0.2], fpr=0.5), [0.5], [0.5])
    assert unnamed.note is not None and "overlap is not known" in unnamed.note
    named = point(calibrate([0.1, 0.2], fpr=0.5, keys=["x", "y"]), [0.5], [0.5])
    assert named.note is not None and "overlap" not in named.note


def test_the_cut_s_own_uncertainty_is_in_the_rate_at_fpr() -> None:
    benign = [i / 400 for i in range(400)]
    positives = [0.8 + i / 500 for i in range(100)]
    threshold = calibrate(benign, fpr=0.1, keys=names("calibration", 400))
    found = point(threshold, positives, [])
    assert found.tpr_at_rate is not None
    low, high = ends(found.tpr_at_rate)
    own_low, own_high = ends(found.tpr.observed)
    assert low < own_low < own_high < high
    # By hand: ranks of Bin(400, 0.1) at 2.5 % either side, then limits at 2.5 %.
    law = stats.binom(400, 0.1)
    high_rank, low_rank = int(law.ppf(0.025)), int(law.isf(0.025)) + 1
    surely = sum(s > benign[-high_rank] for s in positives)
    perhaps = sum(s >= benign[-low_rank] for s in positives)
    assert low == pytest.approx(stats.beta.ppf(0.025, surely, 101 - surely), rel=1e-9)
    assert high == pytest.approx(stats.beta.isf(0.025, perhaps + 1, 100 - perhaps), rel=1e-9)


def test_an_undetermined_cut_gives_no_interval_of_the_rate_at_fpr() -> None:
    found = point(calibrate([i / 100 for i in range(99)], fpr=0.1), [0.95] * 9, [])
    assert found.tpr_at_rate is not None
    assert (found.tpr_at_rate.value, found.tpr_at_rate.low) == (1.0, None)
    assert found.tpr_at_rate.note is not None
    assert "the cut is not determined (n x fpr is 9.9, below 10)" in found.tpr_at_rate.note
    # The rate at this very threshold has its interval all the same, and not (1, 1).
    low, high = ends(found.tpr.observed)
    assert low == pytest.approx(0.025 ** (1 / 9))
    assert high == 1


@pytest.mark.parametrize(
    ("runs", "clusters", "reason"),
    [(4, 1, "2 to 200 clusters, and here are 1"), (42, 2, "up to 20 runs of a cluster")],
)
def test_the_rate_at_fpr_has_no_interval_outside_the_region(
    runs: int, clusters: int, reason: str
) -> None:
    found = operating_point(
        calibrate([i / 200 for i in range(200)], fpr=0.1, keys=names("c", 200)),
        [0.95] * runs,
        [],
        positive_keys=names("p", runs),
        benign_keys=[],
        positive_clusters=[i % clusters for i in range(runs)],
    )
    assert found.tpr_at_rate is not None and found.tpr_at_rate.low is None
    assert found.tpr_at_rate.note is not None and reason in found.tpr_at_rate.note


def test_the_rate_at_fpr_has_no_interval_at_a_level_that_was_not_simulated() -> None:
    found = operating_point(
        calibrate([i / 200 for i in range(200)], fpr=0.1, keys=names("c", 200)),
        [0.95] * 4,
        [],
        positive_keys=names("p", 4),
        benign_keys=[],
        level=0.9,
    )
    assert found.tpr_at_rate is not None and found.tpr_at_rate.low is None
    assert found.tpr_at_rate.note is not None
    assert "a level of 0.95, not 0.9" in found.tpr_at_rate.note
    assert found.tpr.observed.low is not None


def test_no_positive_measured_has_no_rate() -> None:
    threshold = calibrate([i / 200 for i in range(200)], fpr=0.1)
    for positives in ([], [None, None]):
        found = point(threshold, positives, [0.1])
        assert found.tpr.observed.value is None and found.expected_tpr is None
        assert found.tpr_at_rate is not None and found.tpr_at_rate.value is None


@given(
    st.lists(st.one_of(st.none(), scores), min_size=1, max_size=20),
    st.lists(st.one_of(st.none(), scores), max_size=20),
    st.lists(st.one_of(st.none(), scores), max_size=20),
    rates,
)
def test_an_operating_point_is_always_in_order(
    calibration: list[float | None],
    positives: list[float | None],
    benign: list[float | None],
    fpr: float,
) -> None:
    found = point(calibrate(calibration, fpr=fpr), positives, benign)
    counts = found.confusion
    assert counts.tp + counts.fn + counts.missing_positive == len(positives)
    assert counts.fp + counts.tn + counts.missing_negative == len(benign)
    for bounds, sign in ((found.tpr, -1), (found.false_alarms, 1)):
        if bounds.best.value is not None and bounds.worst.value is not None:
            assert sign * bounds.best.value <= sign * bounds.worst.value
            if bounds.observed.value is not None:
                inside = sorted((bounds.best.value, bounds.observed.value, bounds.worst.value))
                assert inside[1] == pytest.approx(bounds.observed.value)


# Actions and transcripts ----------------------------------------------------------------------


def test_one_per_cent_per_action_is_39_per_cent_over_fifty_actions() -> None:
    per_action = proportion(10, 1_000)
    carried = per_transcript_rate(per_action, 50)
    assert carried.value == pytest.approx(1 - 0.99**50) == pytest.approx(0.395, abs=1e-3)
    assert ends(carried) == ends(many_episodes(per_action, 50))
    assert carried.note is not None and "50 actions are flagged independently" in carried.note


def test_a_transcript_is_flagged_when_any_action_is() -> None:
    flags = [False, True, False, False, None, None, True, None]
    transcripts = ["a", "a", "b", "b", "c", "d", "d", "e"]
    found = {t.transcript: (t.flagged, t.actions) for t in transcript_flags(flags, transcripts)}
    assert found == {
        "a": (True, 2),
        "b": (False, 2),
        "c": (None, 1),
        "d": (True, 2),
        "e": (None, 1),
    }
    own = [flag for flag, _ in found.values()]
    rate = flag_rate(own)
    assert rate.observed.value == pytest.approx(2 / 3)
    assert rate.observed.missing == 2
    assert (rate.best.value, rate.worst.value) == (0.4, 0.8)


def test_dependent_actions_are_why_the_two_rates_are_printed_apart() -> None:
    # 100 transcripts of 50 actions; one transcript has all the 50 flags: 1 % per action.
    flags = [i < 50 for i in range(5_000)]
    transcripts = [i // 50 for i in range(5_000)]
    observed = flag_rate([t.flagged for t in transcript_flags(flags, transcripts)]).observed
    assert observed.value == 0.01
    assert per_transcript_rate(proportion(50, 5_000), 50).value == pytest.approx(0.395, abs=1e-3)


# Confusion ------------------------------------------------------------------------------------


def test_confusion_at_least_and_more_than() -> None:
    values = [0.5, 0.5, 0.6, 0.4, None, None]
    labels = [True, False, True, False, True, False]
    assert confusion(values, labels, 0.5) == Confusion(
        tp=2, fp=1, tn=1, fn=0, missing_positive=1, missing_negative=1
    )
    assert confusion(values, np.array(labels), 0.5, above="more than") == Confusion(  # type: ignore[arg-type]
        tp=1, fp=0, tn=2, fn=1, missing_positive=1, missing_negative=1
    )


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, tuple[list[float | None], list[bool], Confusion]]:
    """Monitor probabilities of five checkpoints with the counts that were published."""
    folder = shared_data / "cot_monitor"
    if not folder.is_dir():
        pytest.skip(f"no recorded monitor scores: {folder.name} is not in the data folder")
    figures = json.loads((folder / "published.json").read_text())
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for checkpoint, counts in figures.items():
        own = [row for row in rows if row["checkpoint"] == checkpoint]
        text = [row["monitor_probability"] for row in own]
        found[checkpoint] = (
            [float(t) / 100 if t else None for t in text],
            [row["switched"] == "True" for row in own],
            Confusion(
                **{k: counts[k] for k in ("tp", "fp", "tn", "fn")},
                missing_positive=0,
                missing_negative=len(own) - counts["n"],
            ),
        )
    return found


def test_the_published_confusion_counts_of_five_checkpoints(
    published: dict[str, tuple[list[float | None], list[bool], Confusion]],
) -> None:
    # The monitor's own yes or no was counted; no score lies between 0.35 and 0.6, so every cut
    # between them gives those counts.
    assert len(published) == 5
    for values, labels, counts in published.values():
        for cut in (0.36, 0.5, 0.6):
            assert confusion(values, labels, cut) == counts
        assert confusion(values, labels, 0.5, above="more than") == counts
    missing = {name: c.missing_negative for name, (_, _, c) in published.items()}
    assert {name: m for name, m in missing.items() if m} == {"olmo_step_1000": 1}


def test_the_missing_score_of_a_checkpoint_is_bounded_and_not_dropped(
    published: dict[str, tuple[list[float | None], list[bool], Confusion]],
) -> None:
    values, labels, _ = published["olmo_step_1000"]
    benign = [v for v, label in zip(values, labels, strict=True) if not label]
    positives = [v for v, label in zip(values, labels, strict=True) if label]
    found = point(fixed_threshold(0.5), positives, benign)
    assert found.tpr.observed.value == pytest.approx(2 / 6)
    alarms = found.false_alarms
    assert (alarms.observed.value, alarms.observed.n, alarms.observed.missing) == (0.0, 26, 1)
    assert alarms.best.value == 0
    assert alarms.worst.value == pytest.approx(1 / 27)


# Bad input ------------------------------------------------------------------------------------

THRESHOLD = calibrate([0.1, 0.2, 0.3], fpr=0.5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: calibrate([], fpr=0.1), ValueError, "at least one benign run, found none"),
        (lambda: calibrate([math.nan], fpr=0.1), ValueError, r"scores\[0\] to be finite"),
        (lambda: calibrate([0.1, 1.5], fpr=0.1), ValueError, r"scores\[1\] within \[0.0, 1.0\]"),
        (lambda: calibrate([0.1, -0.5], fpr=0.1), ValueError, r"scores\[1\] within"),
        (lambda: calibrate([math.inf], fpr=0.1), ValueError, r"scores\[0\] to be finite"),
        (lambda: calibrate(["0.1"], fpr=0.1), TypeError, r"scores\[0\] to be a number"),  # type: ignore[list-item]
        (lambda: calibrate([True], fpr=0.1), TypeError, r"scores\[0\] to be a number"),
        (lambda: calibrate("0.1", fpr=0.1), TypeError, "a sequence of scores"),  # type: ignore[arg-type]
        (lambda: calibrate([0.1], fpr=0.0), ValueError, "fpr between 0 and 1, found 0.0"),
        (lambda: calibrate([0.1], fpr=1.0), ValueError, "fpr between 0 and 1, found 1.0"),
        (lambda: calibrate([0.1], fpr=math.nan), ValueError, "fpr to be finite"),
        (lambda: calibrate([0.1], fpr=0.1, seed=-1), ValueError, "seed to be at least 0"),
        (lambda: calibrate([0.1], fpr=0.1, clusters=[]), ValueError, "found 1 and 0"),
        (lambda: calibrate([0.1], fpr=0.1, clusters=[None]), TypeError, "to be a label"),
        (lambda: calibrate([0.1], fpr=0.1, clusters=[math.nan]), TypeError, "to be a label"),
        (lambda: calibrate([0.1], fpr=0.1, clusters=[[]]), TypeError, "to be a label"),  # type: ignore[list-item]
        (lambda: calibrate([0.1], fpr=0.1, clusters="a"), TypeError, "a sequence of labels"),
        (lambda: calibrate([0.1] * 2, fpr=0.1, keys=["a", "a"]), ValueError, "'a' twice"),
        (lambda: calibrate([0.1], fpr=0.1, keys=[""]), TypeError, r"keys\[0\] to be text"),
        (lambda: calibrate([0.1], fpr=0.1, keys="a"), TypeError, "a sequence of keys"),
        (lambda: THRESHOLD.flags(1.1, 0.5), ValueError, "score within"),
        (lambda: THRESHOLD.flags(0.1, 1.0), ValueError, "draw from 0 to below 1, found 1.0"),
        (lambda: THRESHOLD.flags(0.1, math.nan), ValueError, "draw"),
        (lambda: THRESHOLD.flag_all([0.1], []), ValueError, "scores and draws of one length"),
        (lambda: THRESHOLD.flag_all([0.1], [2]), ValueError, r"draws\[0\] from 0 to below 1"),
        (lambda: fixed_threshold(1.5), ValueError, "cut within"),
        (lambda: fixed_threshold(0.5).flags(math.nan), ValueError, "finite"),
        (lambda: fixed_threshold(0.5).flag_all([0.5], []), ValueError, "of one length"),
        (lambda: draw_for(-1, "a"), ValueError, "seed to be at least 0"),
        (lambda: draw_for(0, ""), TypeError, "key to be text that is not empty"),
        (lambda: draw_for(0, 3), TypeError, "key to be text that is not empty, found 3"),  # type: ignore[arg-type]
        (lambda: point(0.5, [], []), TypeError, "a Threshold or a FixedThreshold, found 0.5"),  # type: ignore[arg-type]
        (lambda: point(THRESHOLD, [2.0], []), ValueError, r"positives\[0\] within"),
        (lambda: flag_rate([1]), TypeError, r"flags\[0\] to be a truth value, found 1"),  # type: ignore[list-item]
        (lambda: flag_rate([True], clusters=[]), ValueError, "of one length"),
        (lambda: transcript_flags([True], []), ValueError, "of one length"),
        (lambda: per_transcript_rate(proportion(1, 2), 0), ValueError, "at least 1"),
        (lambda: confusion([0.1], [], 0.5), ValueError, "scores and labels of one length"),
        (lambda: confusion([0.1], [None], 0.5), TypeError, "a truth value, found None"),  # type: ignore[list-item]
        (lambda: confusion([0.1], [True], 50), ValueError, "cut within"),
        (lambda: confusion([0.1], [True], 0.5, above="over"), ValueError, "above of"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_refused_in_one_clear_line(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected ")


def test_keys_of_the_two_kinds_differ() -> None:
    with pytest.raises(ValueError, match="found 'a' among both kinds"):
        operating_point(THRESHOLD, [0.1], [0.1], positive_keys=["a"], benign_keys=["a"])
