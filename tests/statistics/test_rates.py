"""Rates: against published values, an independent implementation, and bad input."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from custodes.statistics import (
    INSTRUMENT_CHECK,
    Method,
    Sided,
    clustered_proportion,
    clusters_needed,
    deterministic,
    many_episodes,
    minimum_detectable,
    proportion,
    with_missing,
)
from custodes.types import Estimate


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


def test_importing_the_package_loads_neither_scipy_nor_numpy() -> None:
    code = (
        "import sys, custodes.statistics;"
        "sys.exit(' '.join(m for m in ('scipy', 'numpy') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# proportion -----------------------------------------------------------------------------------


def test_twenty_of_twenty_is_never_one_to_one() -> None:
    estimate = proportion(20, 20)
    assert estimate.value == 1
    low, high = ends(estimate)
    # The two-sided limit: 0.025^(1/20). A one-sided one, 0.05^(1/20) = 0.861, must be asked for.
    assert low == pytest.approx(0.025 ** (1 / 20), abs=1e-12) == pytest.approx(0.8316, abs=1e-4)
    assert high == 1
    assert ends(proportion(20, 20, sided="lower"))[0] == pytest.approx(0.05**0.05, abs=1e-12)


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        # 81 of 263: the worked example of Newcombe 1998, Statistics in Medicine 17, table I.
        ("clopper-pearson", 0.2527, 0.3676),
        ("wilson", 0.2553, 0.3662),
    ],
)
def test_published_intervals(method: Method, low: float, high: float) -> None:
    assert ends(proportion(81, 263, method=method)) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("k", "n", "high"), [(0, 20, 0.1611), (1, 29, 0.1718)])
def test_more_published_wilson_limits(k: int, n: int, high: float) -> None:
    # Newcombe 1998, table I.
    assert ends(proportion(k, n, method="wilson"))[1] == pytest.approx(high, abs=5e-5)


@given(
    st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from(["clopper-pearson", "wilson"]),
    st.sampled_from([0.8, 0.9, 0.95, 0.99]),
    st.sampled_from(["two", "upper", "lower"]),
)
def test_agrees_with_scipy(kn: tuple[int, int], method: Method, level: float, sided: Sided) -> None:
    k, n = kn
    test = {
        "two": stats.binomtest(k, n, alternative="two-sided"),
        "upper": stats.binomtest(k, n, alternative="less"),
        "lower": stats.binomtest(k, n, alternative="greater"),
    }[sided]
    theirs = test.proportion_ci(level, method="exact" if method == "clopper-pearson" else "wilson")
    ours = ends(proportion(k, n, method=method, level=level, sided=sided))
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_jeffreys_is_the_posterior_of_its_prior_except_at_the_boundary(kn: tuple[int, int]) -> None:
    k, n = kn
    posterior = stats.beta(k + 0.5, n - k + 0.5)
    low, high = ends(proportion(k, n, method="jeffreys"))
    assert low == pytest.approx(0 if k == 0 else posterior.ppf(0.025), abs=1e-9)
    assert high == pytest.approx(1 if k == n else posterior.ppf(0.975), abs=1e-9)


@given(
    st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.sampled_from(["clopper-pearson", "wilson", "jeffreys"]),
    st.sampled_from([0.8, 0.9, 0.95, 0.999999]),
    st.sampled_from(["two", "upper", "lower"]),
)
def test_every_interval_holds_its_rate_and_is_mirrored(
    kn: tuple[int, int], method: Method, level: float, sided: Sided
) -> None:
    k, n = kn
    mirror: Sided = {"two": "two", "upper": "lower", "lower": "upper"}[sided]  # type: ignore[assignment]
    low, high = ends(proportion(k, n, method=method, level=level, sided=sided))
    other = ends(proportion(n - k, n, method=method, level=level, sided=mirror))
    assert (1 - high, 1 - low) == pytest.approx(other, abs=1e-9)
    assert low < high


def exact_coverage(method: Method, n: int, rate: float) -> float:
    total = 0.0
    for k in range(n + 1):
        low, high = ends(proportion(k, n, method=method))
        if low <= rate <= high:
            total += math.comb(n, k) * rate**k * (1 - rate) ** (n - k)
    return total


@pytest.mark.parametrize("n", [1, 5, 20, 60])
def test_clopper_pearson_covers_at_every_rate_and_the_others_say_that_they_do_not(n: int) -> None:
    rates = np.linspace(0.001, 0.999, 101)
    assert min(exact_coverage("clopper-pearson", n, r) for r in rates) >= 0.95 - 1e-9
    for method in ("wilson", "jeffreys"):
        assert min(exact_coverage(method, n, r) for r in rates) < 0.95
        assert "on average" in (proportion(1, n, method=method).note or "")


def test_nothing_measured_has_no_value_and_no_interval() -> None:
    estimate = proportion(0, 0, missing=4)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, 0)
    assert estimate.missing == 4
    assert "nothing was measured" in (estimate.note or "")
    assert "4 of 4" in (estimate.note or "")


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: proportion(-1, 3), ValueError, "k to be at least 0, found -1"),
        (lambda: proportion(4, 3), ValueError, "k=4 and n=3"),
        (lambda: proportion(0.5, 3), TypeError, "whole number, found 0.5"),  # type: ignore[arg-type]
        (lambda: proportion(math.nan, 3), TypeError, "found nan"),  # type: ignore[arg-type]
        (lambda: proportion(True, 3), TypeError, "truth value"),
        (lambda: proportion(1, 3, missing=-1), ValueError, "missing"),
        (lambda: proportion(1, 3, level=95), ValueError, "found 95"),
        (lambda: proportion(1, 3, level=math.nan), ValueError, "found nan"),
        (lambda: proportion(1, 3, method="wald"), ValueError, "'wald'"),  # type: ignore[arg-type]
        (lambda: proportion(1, 3, sided="left"), ValueError, "'left'"),  # type: ignore[arg-type]
        (lambda: clustered_proportion([1, 2], [3]), ValueError, "one length, found 2 and 1"),
        (lambda: clustered_proportion([1, 4], [3, 3]), ValueError, r"k_i\[1\]"),
        (lambda: clustered_proportion([1, math.nan], [3, 3]), TypeError, r"k_i\[1\].*nan"),  # type: ignore[list-item]
        (lambda: with_missing(1, 3, -2), ValueError, "missing"),
        (lambda: minimum_detectable(-1), ValueError, "n_clusters"),
        (lambda: clusters_needed(0.0), ValueError, "rate"),
        (lambda: clusters_needed(math.nan), ValueError, "rate"),
        (lambda: many_episodes(proportion(1, 3), 0), ValueError, "at least 1"),
        (lambda: deterministic(2, 1), ValueError, "k=2 and n=1"),
    ],
)
def test_bad_input_is_refused_with_what_was_found(
    call: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call()


def test_numpy_integers_are_counts() -> None:
    assert proportion(np.int64(3), np.int64(9)) == proportion(3, 9)  # type: ignore[arg-type]


# clustered_proportion -------------------------------------------------------------------------


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_one_episode_per_seed_is_an_ordinary_proportion(ks: list[int]) -> None:
    assert clustered_proportion(ks, [1] * len(ks)) == proportion(sum(ks), len(ks))


def test_a_seed_counts_once_however_many_episodes_it_has() -> None:
    estimate = clustered_proportion([0, 0, 0, 50], [1, 1, 1, 50])
    assert estimate.value == pytest.approx(0.25)
    assert (estimate.n, estimate.clusters) == (53, 4)
    assert ends(estimate) == pytest.approx(ends(proportion(1, 4)))


def test_repeating_what_a_seed_always_does_is_no_evidence() -> None:
    for seeds in (5, 20, 40):
        alone = ends(proportion(seeds // 5, seeds))
        ks = [1] * (seeds // 5) + [0] * (seeds - seeds // 5)
        repeated = ends(clustered_proportion([20 * k for k in ks], [20] * seeds))
        assert repeated == pytest.approx(alone)


def test_zero_everywhere_is_bounded_by_the_number_of_seeds() -> None:
    assert ends(clustered_proportion([0] * 20, [10] * 20)) == pytest.approx((0, 0.16843), abs=1e-5)


def test_equal_rates_in_all_seeds_are_not_taken_as_zero_variance() -> None:
    low, high = ends(clustered_proportion([1] * 40, [2] * 40))
    assert high - low > 0.3


def test_many_seeds_that_differ_little_get_the_narrower_interval() -> None:
    ks = [0, 1, 2, 3, 2, 1] * 8
    wide, narrow = clustered_proportion(ks[:24], [5] * 24), clustered_proportion(ks, [5] * 48)
    assert "each seed as one trial" in wide.method
    assert "effective sample size" in narrow.method
    pooled = ends(proportion(sum(ks), 5 * 48))
    one_trial = ends(proportion(sum(ks) // 5, 48))
    width = ends(narrow)[1] - ends(narrow)[0]
    assert pooled[1] - pooled[0] <= width < one_trial[1] - one_trial[0]


def test_the_effective_sample_size_is_the_one_documented() -> None:
    generator = np.random.default_rng(5)
    n = generator.integers(4, 9, 60)
    k = generator.binomial(n, generator.beta(1.5, 3.5, 60))
    y = k / n
    variance = stats.sem(y) ** 2
    t_seeds, t_episodes = stats.t.ppf(0.975, 59), stats.t.ppf(0.975, n.sum() - 1)
    size = 0.8 * (t_episodes / t_seeds) ** 2 * y.mean() * (1 - y.mean()) / variance
    assert 60 < size < n.sum(), "the limits on the size are not what is tested here"
    x = y.mean() * size
    expected = np.asarray(
        stats.beta.ppf([0.025, 0.975], [x, x + 1], [size - x + 1, size - x])
    ).tolist()
    estimate = clustered_proportion(k.tolist(), n.tolist())
    assert estimate.value == pytest.approx(y.mean())
    assert ends(estimate) == pytest.approx(tuple(expected), abs=1e-9)


@pytest.mark.parametrize(
    ("ks", "ns", "narrow"),
    [
        ([0, 2] * 15, [4] * 30, True),
        ([0, 2] * 14 + [0], [4] * 29, False),  # 29 seeds
        ([0, 2] * 15, [4, 9] * 15, False),  # sizes 9 to 4
        ([0] * 21 + [2] * 9, [4] * 30, False),  # an event in 9 seeds only
        ([4] * 21 + [2] * 9, [4] * 30, False),  # an episode without one in 9 seeds only
        ([0, 2] * 101, [4] * 202, False),  # 202 seeds
    ],
)
def test_the_narrower_interval_is_used_in_its_region_only(
    ks: list[int], ns: list[int], narrow: bool
) -> None:
    estimate = clustered_proportion(ks, ns)
    assert ("effective sample size" in estimate.method) is narrow
    seeds = len(ks)
    assert estimate.value is not None
    x = estimate.value * seeds
    one_trial = float(stats.beta.ppf(0.025, x, seeds - x + 1))
    assert (ends(estimate)[0] == pytest.approx(one_trial, abs=1e-9)) is not narrow


@pytest.mark.parametrize(
    ("ks", "ns", "level", "says"),
    [
        ([2], [3], 0.95, "from 2 seeds, and here is 1"),
        ([1, 2], [3, 51], 0.95, "up to 50 episodes"),
        ([1] * 501, [2] * 501, 0.95, "up to 500 seeds"),
        ([1, 2], [3, 3], 0.9, "at a level of 0.95, not 0.9"),
    ],
)
def test_outside_the_region_there_is_no_interval_and_the_note_says_why(
    ks: list[int], ns: list[int], level: float, says: str
) -> None:
    estimate = clustered_proportion(ks, ns, level=level)
    assert estimate.value is not None
    assert estimate.low is None and estimate.high is None
    assert says in (estimate.note or "")


def test_seeds_without_a_measured_episode_are_named() -> None:
    estimate = clustered_proportion([1, 0, 0], [2, 2, 0], missing=2)
    assert (estimate.value, estimate.n, estimate.clusters, estimate.missing) == (0.25, 4, 2, 2)
    assert "1 of 3 seeds have no measured episode" in (estimate.note or "")
    nothing = clustered_proportion([], [])
    assert (nothing.value, nothing.low) == (None, None)
    assert clustered_proportion([0, 0], [0, 0]).value is None


@given(
    st.lists(
        st.integers(1, 50).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
        min_size=2,
        max_size=80,
    )
)
def test_a_clustered_interval_is_never_narrower_than_the_pooled_count_allows(
    pairs: list[tuple[int, int]],
) -> None:
    estimate = clustered_proportion([k for k, _ in pairs], [n for _, n in pairs])
    low, high = ends(estimate)
    # Holding the value and having no width would be the (1, 1) of a bootstrap.
    assert high - low > 0
    assert 0 <= low <= high <= 1
    mirror = ends(clustered_proportion([n - k for k, n in pairs], [n for _, n in pairs]))
    assert (1 - high, 1 - low) == pytest.approx(mirror, abs=1e-6)


# What is missing, nulls, many episodes --------------------------------------------------------


def test_missing_trials_move_the_rate_between_best_and_worst() -> None:
    bounds = with_missing(3, 16, 4)
    assert bounds.observed.value == 3 / 16
    assert (bounds.best.value, bounds.worst.value) == (3 / 20, 7 / 20)
    assert ends(bounds.best) == ends(proportion(3, 20))
    assert ends(bounds.worst) == ends(proportion(7, 20))
    assert {e.missing for e in (bounds.observed, bounds.best, bounds.worst)} == {4}
    assert "4 missing counted as with the event" in (bounds.worst.note or "")


def test_for_a_good_event_best_counts_the_missing_as_with_it() -> None:
    bounds = with_missing(16, 16, 4, harmful=False)
    assert (bounds.best.value, bounds.worst.value) == (1.0, 0.8)


def test_nothing_missing_is_one_rate_and_everything_missing_is_anything() -> None:
    same = with_missing(3, 16, 0)
    assert same.observed == same.best == same.worst == proportion(3, 16)
    unknown = with_missing(0, 0, 5)
    assert (unknown.observed.value, unknown.best.value, unknown.worst.value) == (None, 0, 1)


@pytest.mark.parametrize(("rate", "needed"), [(0.01, 299), (0.02, 149)])
def test_what_a_null_shows(rate: float, needed: int) -> None:
    assert clusters_needed(rate) == needed
    assert minimum_detectable(needed) <= rate < minimum_detectable(needed - 1)
    # No rate below its bound is claimed: the one-sided exact limit is the same number.
    assert ends(proportion(0, needed, sided="upper"))[1] == pytest.approx(
        minimum_detectable(needed), abs=1e-12
    )


@given(st.floats(0.001, 0.9), st.sampled_from([0.9, 0.95, 0.99]))
def test_clusters_needed_is_the_fewest(rate: float, level: float) -> None:
    n = clusters_needed(rate, level)
    assert minimum_detectable(n, level) <= rate + 1e-12
    assert n == 1 or minimum_detectable(n - 1, level) > rate


def test_without_units_a_null_excludes_no_rate() -> None:
    assert minimum_detectable(0) == 1
    assert minimum_detectable(1) == pytest.approx(0.95)


@given(
    st.integers(1, 100).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.integers(1, 10_000),
)
def test_many_episodes_carries_value_and_interval(kn: tuple[int, int], episodes: int) -> None:
    one = proportion(*kn)
    many = many_episodes(one, episodes)
    for before, after in zip(
        (one.value, one.low, one.high), (many.value, many.low, many.high), strict=True
    ):
        assert before is not None
        assert after == pytest.approx(1 - (1 - before) ** episodes, abs=1e-9)
    assert f"the {episodes} episodes are independent" in (many.note or "")


def test_many_episodes_keeps_tiny_rates_and_missing_intervals() -> None:
    tiny = Estimate(
        value=1e-18, low=0.0, high=1e-17, level=0.95, n=9, clusters=9, missing=0, method="m"
    )
    assert many_episodes(tiny, 1000).value == pytest.approx(1e-15, rel=1e-9, abs=0)
    none = many_episodes(deterministic(1, 1), 10)
    assert (none.value, none.low, none.high) == (1, None, None)
    assert INSTRUMENT_CHECK in (none.note or "")
    assert many_episodes(proportion(0, 0), 10).value is None


def test_many_episodes_takes_only_rates() -> None:
    seconds = Estimate(
        value=3.0, low=2.0, high=4.0, level=0.95, n=9, clusters=9, missing=0, method="median"
    )
    with pytest.raises(ValueError, match="rate in"):
        many_episodes(seconds, 10)


def test_a_deterministic_outcome_gets_no_interval() -> None:
    estimate = deterministic(10, 10, missing=1)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (1.0, None, None, 10)
    assert (estimate.note or "").startswith("instrument check: not an AI")
    assert deterministic(0, 0).value is None
