"""The bootstrap over clusters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, stdtrit

from custodes.statistics import _bootstrap
from custodes.statistics._bootstrap import (
    bootstrap_statistic,
    cluster_draws,
    cluster_weights,
    clustered_bootstrap,
)


def rates(clusters: int, seed: int = 0) -> tuple[list[float], list[int]]:
    """Rates of clusters of one to four units, with as many as asked for."""
    generator = np.random.default_rng(seed)
    owners = np.repeat(np.arange(clusters), generator.integers(1, 5, clusters))
    chance = generator.beta(2, 3, clusters)[owners]
    return (generator.random(len(owners)) < chance).astype(float).tolist(), owners.tolist()


def test_replicates_are_ratios_of_sums_over_drawn_clusters() -> None:
    values, clusters = rates(250)
    found = clustered_bootstrap(values, clusters, replicates=400, seed=3)
    x, c = np.array(values), np.array(clusters)
    plain = []
    for rows in cluster_draws(250, replicates=400, seed=3):
        for row in rows:
            units = np.concatenate([x[c == i] for i in row])
            plain.append(units.mean())
    assert found.estimate.value == pytest.approx(x.mean())
    assert found.percentile_low == pytest.approx(np.quantile(plain, 0.025))
    assert found.percentile_high == pytest.approx(np.quantile(plain, 0.975))
    assert found.standard_error == pytest.approx(np.std(plain, ddof=1))
    wide = stdtrit(249, 0.975) * math.sqrt(250 / 249 / 0.7)
    assert found.estimate.low == pytest.approx(np.quantile(plain, ndtr(-wide)))
    assert found.estimate.high == pytest.approx(np.quantile(plain, ndtr(wide)))


def test_the_spread_is_that_of_the_textbook() -> None:
    # For one unit a cluster the bootstrap's error of a mean is s / sqrt(n), s with n below it.
    x = np.random.default_rng(1).normal(5, 2, 400)
    found = clustered_bootstrap(x, range(400), replicates=20_000)
    assert found.standard_error == pytest.approx(x.std() / 20, rel=0.03)


def test_denominators_make_a_ratio() -> None:
    found = clustered_bootstrap([1.0, 2.0, 3.0], [0, 1, 1], denominators=[10.0, 0.0, 5.0])
    assert found.estimate.value == pytest.approx(6 / 15)
    assert found.estimate.n == 3 and found.estimate.clusters == 2


def test_the_result_does_not_depend_on_the_size_of_a_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values, clusters = rates(130)
    whole = clustered_bootstrap(values, clusters, replicates=333, seed=9)
    weights = np.concatenate(list(cluster_weights(130, replicates=333, seed=9)))
    for cells in (1, 130, 1_000, 17 * 130 + 5):
        monkeypatch.setattr(_bootstrap, "CHUNK_CELLS", cells)
        assert clustered_bootstrap(values, clusters, replicates=333, seed=9) == whole
        assert (np.concatenate(list(cluster_weights(130, replicates=333, seed=9))) == weights).all()
    assert clustered_bootstrap(values, clusters, replicates=333, seed=10) != whole


@settings(max_examples=20)
@given(st.integers(1, 60), st.integers(100, 200), st.integers(0, 5))
def test_weights_count_the_draws(clusters: int, replicates: int, seed: int) -> None:
    weights = np.concatenate(list(cluster_weights(clusters, replicates=replicates, seed=seed)))
    draws = np.concatenate(list(cluster_draws(clusters, replicates=replicates, seed=seed)))
    assert weights.shape == (replicates, clusters)
    assert (weights.sum(axis=1) == clusters).all()
    assert (weights[0] == np.bincount(draws[0], minlength=clusters)).all()


def test_weights_are_multinomial() -> None:
    weights = np.concatenate(list(cluster_weights(50, replicates=20_000, seed=1)))
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.05)
    assert weights.var(axis=0) == pytest.approx(np.full(50, 49 / 50), abs=0.07)
    covariance = np.cov(weights[:, :2].T)[0, 1]
    assert covariance == pytest.approx(-1 / 50, abs=0.02)


def test_a_statistic_of_weights_agrees_with_the_ratio_and_has_no_interval() -> None:
    values, clusters = rates(120)
    above = np.bincount(clusters, values)
    below = np.bincount(clusters)
    ratio = clustered_bootstrap(values, clusters, replicates=500, seed=2)
    general = bootstrap_statistic(
        lambda w: (w @ above) / (w @ below), 120, replicates=500, seed=2
    )
    assert general.estimate.value == pytest.approx(ratio.estimate.value)
    assert general.percentile_low == pytest.approx(ratio.percentile_low)
    assert general.percentile_high == pytest.approx(ratio.percentile_high)
    assert general.estimate.low is None
    assert general.estimate.note is not None and "not simulated" in general.estimate.note


# Edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "clusters", "why"),
    [
        ([0.1, 0.9] * 49, range(98), "from 100 clusters, and here is 98"),
        ([0.1] * 300, range(300), "all clusters agree"),
        ([0.3, 0.1, 0.2] * 10, [0] * 30, "all clusters agree"),
        ([0.0] * 296 + [1.0] * 4, range(300), "effectively 50 clusters"),
        ([0.1 * i for i in range(5)], [0, 1, 2, 3, 4], "from 100 clusters, and here is 5"),
    ],
    ids=["few", "constant", "one cluster", "rare", "five"],
)
def test_where_coverage_was_not_shown_there_is_no_interval(
    values: list[float], clusters: Any, why: str
) -> None:
    found = clustered_bootstrap(values, list(clusters), replicates=200)
    assert found.estimate.value == pytest.approx(sum(values) / len(values))
    assert found.estimate.low is None and found.estimate.high is None
    assert found.estimate.note is not None and why in found.estimate.note
    assert found.percentile_low is not None, "the spread is still given"


def test_other_levels_have_no_interval() -> None:
    values, clusters = rates(250)
    assert clustered_bootstrap(values, clusters, replicates=200).estimate.low is not None
    at_90 = clustered_bootstrap(values, clusters, replicates=200, level=0.9)
    assert at_90.estimate.low is None and at_90.percentile_low is not None


def test_missing_units_are_counted_and_bound_nothing() -> None:
    found = clustered_bootstrap([1.0, None, 0.0, None], [0, 0, 1, 2], replicates=100)
    assert found.estimate.value == 0.5
    assert (found.estimate.n, found.estimate.clusters, found.estimate.missing) == (2, 2, 2)
    assert found.estimate.note is not None and "2 of 4 not measured" in found.estimate.note
    nothing = clustered_bootstrap([None], [0], replicates=100)
    assert nothing.estimate.value is None and nothing.estimate.missing == 1
    assert nothing.undefined == 100 and nothing.standard_error is None
    assert clustered_bootstrap([], []).estimate.value is None


def test_undefined_replicates_are_counted_and_take_the_interval() -> None:
    # Half of the clusters have no denominator: some draws of two see none.
    found = clustered_bootstrap(
        [1.0, 0.0], [0, 1], denominators=[1.0, 0.0], replicates=1_000, seed=1
    )
    assert 200 < found.undefined < 300
    assert found.percentile_low is None and found.standard_error is None
    assert found.estimate.note is not None and "not defined in" in found.estimate.note


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: clustered_bootstrap([math.nan], [0]), ValueError, r"values\[0\] to be finite"),
    (lambda: clustered_bootstrap([0.1, math.inf], [0, 1]), ValueError, r"values\[1\]"),
    (lambda: clustered_bootstrap([0.1, "x"], [0, 1]), TypeError, r"values\[1\]"),  # type: ignore[list-item]
    (lambda: clustered_bootstrap([1e308, 1e308], [0, 1]), ValueError, "finite sum"),
    (lambda: clustered_bootstrap([0.1], [0, 1]), ValueError, "one length, found 1 and 2"),
    (lambda: clustered_bootstrap([0.1], [None]), TypeError, r"clusters\[0\]"),
    (
        lambda: clustered_bootstrap([0.1], [0], denominators=[-1.0]),
        ValueError,
        r"denominators\[0\] within",
    ),
    (
        lambda: clustered_bootstrap([0.1], [0], denominators=[0.0]),
        ValueError,
        "denominator above 0",
    ),
    (
        lambda: clustered_bootstrap([0.1], [0], denominators=[1.0, 1.0]),
        ValueError,
        "values and denominators of one length",
    ),
    (lambda: clustered_bootstrap([0.1], [0], replicates=10), ValueError, "replicates"),
    (lambda: clustered_bootstrap([0.1], [0], seed=-1), ValueError, "seed"),
    (lambda: clustered_bootstrap([0.1], [0], seed=0.5), TypeError, "seed"),  # type: ignore[arg-type]
    (lambda: clustered_bootstrap([0.1], [0], level=0.5), ValueError, "level"),
    (lambda: bootstrap_statistic(lambda w: w.sum(axis=1), 0), ValueError, "clusters"),
    (lambda: bootstrap_statistic(lambda w: [1.0, 2.0, 3.0], 4), ValueError, "1 results"),
    (lambda: bootstrap_statistic(lambda w: w[:, 0] * math.nan, 4), ValueError, "found NaN"),
    (lambda: bootstrap_statistic(lambda w: w[:, 0] * math.inf, 4), ValueError, "an infinity"),
]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_refused_in_one_line(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
