"""Kinds of clusters that a sample can lack, hostile input everywhere, and fits that swung."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import numpy as np
import pytest
from numpy.typing import NDArray

import custodes.statistics as st
from custodes.statistics import _logistic as logistic
from custodes.statistics._binomial import clopper_pearson_limits, reaches_unseen

FLOOR = 0.935


@pytest.mark.parametrize(
    ("seeds", "episodes", "background", "share"),
    [(100, 50, 0.005, 0.005), (30, 50, 0.02, 1 / 60), (30, 50, 0.02, 0.05), (150, 20, 0.2, 0.04)],
)
def test_rates_cover_when_a_few_seeds_always_act(
    seeds: int, episodes: int, background: float, share: float
) -> None:
    # With many episodes of each seed the variance within a sample says nothing of the seeds
    # that it lacks: by the effective sample size alone, the first covers 42 %.
    generator = np.random.default_rng(3)
    truth = share + (1 - share) * background
    hits = 0
    for _ in range(1000):
        theta = np.where(generator.random(seeds) < share, 1.0, background)
        k = generator.binomial(episodes, theta)
        rate = st.clustered_proportion(k.tolist(), [episodes] * seeds)
        assert rate.low is not None and rate.high is not None
        hits += rate.low <= truth <= rate.high
    assert hits / 1000 >= FLOOR


def test_limits_reach_as_far_as_one_trial_per_unit_does() -> None:
    for units in (2, 10, 100):
        for value in (0.0, 0.01, 0.3, 0.5, 0.99, 1.0):
            low, high = clopper_pearson_limits(value * units, units, 0.025, 0.025)
            assert reaches_unseen(value, low, high, units, 0.95)
    assert not reaches_unseen(0.02, 0.015, 0.026, 100, 0.95)
    assert reaches_unseen(0.3, 0.25, 0.35, 100, 0.95)


def auroc_coverage(
    clusters: int, size: Callable[[NDArray[np.float64]], NDArray[np.int64]], wrong: float
) -> float:
    """Positives of a share ``wrong`` of the clusters score below all negatives."""
    generator = np.random.default_rng(4)

    def drawn(count: int) -> tuple[list[float], list[bool], list[Hashable]]:
        kind = generator.random(count)
        cluster = np.repeat(np.arange(count), size(kind))
        positive = cluster % 2 == 0
        centre = np.where(positive, np.where(kind[cluster] < wrong, -9.0, 1.2), 0.0)
        scores = centre + generator.standard_normal(len(cluster))
        return scores.tolist(), positive.tolist(), list(cluster.tolist())

    scores, labels, _ = drawn(60_000)
    truth = st.auroc(scores, labels, scale=None).estimate.value
    assert truth is not None
    hits = 0
    for _ in range(400):
        scores, labels, names = drawn(clusters)
        estimate = st.auroc(scores, labels, clusters=names, scale=None).estimate
        assert estimate.low is not None and estimate.high is not None
        hits += estimate.low <= truth <= estimate.high
    return hits / 400


def test_areas_cover_when_a_few_clusters_are_all_missed() -> None:
    assert auroc_coverage(70, lambda kind: np.full(len(kind), 20), 0.04) >= FLOOR


def test_areas_cover_when_many_large_clusters_are_all_missed() -> None:
    sized = auroc_coverage(400, lambda kind: np.where(kind < 0.05, 10, 1), 0.05)
    assert sized >= FLOOR


def test_a_bootstrap_of_rates_has_no_interval_that_unseen_clusters_would_leave() -> None:
    generator = np.random.default_rng(5)
    k = generator.binomial(50, 0.3, 200).astype(np.float64)
    result = st.clustered_bootstrap(
        k, range(200), denominators=np.full(200, 50.0), replicates=500
    )
    assert result.estimate.low is None
    assert "another kind" in (result.estimate.note or "")
    # Times and lengths have no largest value, so nothing can be said of those unseen.
    times = st.clustered_bootstrap(5 + k, range(200), replicates=500)
    assert times.estimate.low is not None


@pytest.mark.parametrize("n", [1, 2, 7])
def test_firths_fit_of_a_saturated_table_adds_one_half_with_one_episode_too(n: int) -> None:
    # In cells of one episode the plain information makes each step twice as long as it should be.
    x = np.array([[1.0, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]])
    k, total = np.array([2.0, 1.0, 0.0, 1.0]), np.array([2.0, 2.0, 2.0, float(n)])
    beta = logistic.fitted(x, k, total, firth=True, start=np.zeros(4))
    assert np.allclose(x @ beta, np.log((k + 0.5) / (total - k + 0.5)), atol=1e-8)


def test_factors_of_a_table_with_a_cell_of_one_episode() -> None:
    model = st.factors(
        [1, None, 1, 0, 1, 1, 0, 0],
        {"a": list("xyxyxyxy"), "b": list("uuvvuuvv")},
        clusters=[1, 1, 1, 1, 2, 2, 2, 2],
        interactions=[("a", "b")],
    )
    assert model.method == "firth" and model.separation


def test_a_calibration_holds_for_measured_runs_when_some_clusters_are_often_missing() -> None:
    # Half of the clusters score low, and nine of ten of their runs have no score.
    generator = np.random.default_rng(6)
    rates = []
    for replicate in range(300):
        high = generator.random(20) < 0.5
        scores: list[float | None] = []
        for one in high:
            for _ in range(10):
                lost = not one and generator.random() < 0.9
                score = float(generator.uniform(0.6, 1.0) if one else generator.uniform(0.0, 0.4))
                scores.append(None if lost else score)
        clusters = np.repeat(np.arange(20), 10).tolist()
        threshold = st.calibrate(scores, fpr=0.1, clusters=clusters, seed=replicate)
        if threshold.n == 0:
            continue
        chances = [threshold.chance(s) or 0.0 for s in np.linspace(0.6, 1.0, 41).tolist()]
        low = [threshold.chance(s) or 0.0 for s in np.linspace(0.0, 0.4, 41).tolist()]
        rates.append((float(np.mean(chances)) + 0.1 * float(np.mean(low))) / 1.1)
    error = float(np.std(rates)) / math.sqrt(len(rates))
    assert abs(float(np.mean(rates)) - 0.1) < 4 * error


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


HUGE = 10**400
SCORES, LABELS = [0.1, 0.9], [False, True]
ESTIMATE = st.proportion(1, 4)
BAD: list[Callable[[], object]] = [
    lambda: st.proportion(1, 2, level="0.95"),  # type: ignore[arg-type]
    lambda: st.proportion(1, 2, level=None),  # type: ignore[arg-type]
    lambda: st.proportion(1, 2, level=np.array([0.95])),  # type: ignore[arg-type]
    lambda: st.proportion(1, HUGE),
    lambda: st.proportion(np.True_, 2),  # type: ignore[arg-type]
    lambda: st.minimum_detectable(HUGE),
    lambda: st.clusters_needed("1"),  # type: ignore[arg-type]
    lambda: st.many_episodes(0.1, 5),  # type: ignore[arg-type]
    lambda: st.many_episodes(ESTIMATE, HUGE),
    lambda: st.per_transcript_rate(None, 5),  # type: ignore[arg-type]
    lambda: st.clustered_proportion(5, [5]),  # type: ignore[arg-type]
    lambda: st.clustered_proportion([1], {1: 2}),  # type: ignore[arg-type]
    lambda: st.clustered_proportion([HUGE], [HUGE]),
    lambda: st.median_interval([1, HUGE]),
    lambda: st.median_interval({1.0, 2.0}),
    lambda: st.median_interval([np.True_]),  # type: ignore[list-item]
    lambda: st.median_interval([np.array([1.0])]),  # type: ignore[list-item]
    lambda: st.kaplan_meier([1], 1),  # type: ignore[arg-type]
    lambda: st.kaplan_meier([1], [np.array([1, 2])]),  # type: ignore[list-item]
    lambda: st.log_rank([1], 1, [1], [True]),  # type: ignore[arg-type]
    lambda: st.log_rank_groups([1, 2]),  # type: ignore[list-item]
    lambda: st.log_rank_groups(1),  # type: ignore[arg-type]
    lambda: st.cumulative_incidence([1], ["a"], horizon=1, missing=HUGE),
    lambda: st.cumulative_incidence([1], ["a"], horizon=1, clusters=5),  # type: ignore[arg-type]
    lambda: st.cumulative_incidence([1], 5, horizon=1),  # type: ignore[arg-type]
    lambda: st.race([1], [None], [2], unit="s", missing=HUGE),
    lambda: st.race(1, [None], [2], unit="s"),  # type: ignore[arg-type]
    lambda: st.auroc(5, LABELS),  # type: ignore[arg-type]
    lambda: st.auroc(SCORES, 5),  # type: ignore[arg-type]
    lambda: st.auroc(set(SCORES), LABELS),  # type: ignore[arg-type]
    lambda: st.auroc(SCORES, LABELS, clusters=5),  # type: ignore[arg-type]
    lambda: st.auroc(SCORES, LABELS, clusters=[1, math.nan]),
    lambda: st.auroc(SCORES, LABELS, scale=(0, HUGE)),
    lambda: st.factors([1], {"a": iter("x")}, clusters=[1]),  # type: ignore[dict-item]
    lambda: st.calibrate(5, fpr=0.1),  # type: ignore[arg-type]
    lambda: st.calibrate(SCORES, fpr=HUGE),
    lambda: st.calibrate(SCORES, fpr=0.1, clusters=5),  # type: ignore[arg-type]
    lambda: st.audit([0.1, np.True_], 0.5),  # type: ignore[list-item]
    lambda: st.audit(SCORES, 0.5, benign=5),  # type: ignore[arg-type]
    lambda: st.flag_rate(5),  # type: ignore[arg-type]
    lambda: st.confusion(SCORES, 5, 0.5),  # type: ignore[arg-type]
    lambda: st.chain(5),  # type: ignore[arg-type]
    lambda: st.safeguard_effect({"s": 5}, {}),  # type: ignore[dict-item]
    lambda: st.shortcut_check(LABELS, [1], monitor=0.9),  # type: ignore[arg-type]
    lambda: st.assessors([0.1]),  # type: ignore[arg-type]
    lambda: st.brier(5, [True]),  # type: ignore[arg-type]
    lambda: st.brier([0.1], 5),  # type: ignore[arg-type]
    lambda: st.krippendorff_alpha(5),  # type: ignore[arg-type]
    lambda: st.krippendorff_alpha([5]),  # type: ignore[list-item]
    lambda: st.grader_confusion(5, ["a"]),  # type: ignore[arg-type]
    lambda: st.grader_confusion(["a"], ["a"], clusters=[[]]),  # type: ignore[list-item]
    lambda: st.grader_confusion(["a"], ["a"], classes=5),  # type: ignore[arg-type]
    lambda: st.factors([1], 5, clusters=[1]),  # type: ignore[arg-type]
    lambda: st.factors(5, {"a": ["x"]}, clusters=[1]),  # type: ignore[arg-type]
    lambda: st.factors([1], {"a": ["x"]}, clusters=[Unhashable()]),  # type: ignore[list-item]
    lambda: st.factors([1], {"a": ["x"]}, clusters=[1], trials=[HUGE]),
    lambda: st.factors([1], {"a": ["x"]}, clusters=[1], interactions=[5]),  # type: ignore[list-item]
    lambda: st.clustered_bootstrap(5, [1]),  # type: ignore[arg-type]
    lambda: st.bootstrap_statistic(5, 3),  # type: ignore[arg-type]
    lambda: st.bootstrap_statistic(lambda w: w.mean(axis=1), 3, replicates=HUGE),
    lambda: list(st.cluster_weights(1.5, replicates=5, seed=0)),  # type: ignore[arg-type]
    lambda: list(st.cluster_weights(3, replicates=2**63, seed=0)),
    lambda: list(st.cluster_weights(3, replicates=5, seed=-1)),
    lambda: st.groups(5),  # type: ignore[arg-type]
    lambda: st.groups([5]),  # type: ignore[list-item]
    lambda: st.similarity(5, (1,)),  # type: ignore[arg-type]
    lambda: st.similarity((1.5,), (1,)),  # type: ignore[arg-type]
    lambda: st.minhash(5),  # type: ignore[arg-type]
    lambda: st.holm(5),  # type: ignore[arg-type]
    lambda: st.equivalence([HUGE], [0.1], margin=0.2),
    lambda: st.paired_difference(5, [0.1]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("case", range(len(BAD)))
def test_hostile_input_is_refused_in_one_line_of_our_own(case: int) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        BAD[case]()
    message = str(raised.value)
    assert message.startswith("expected") and "found" in message and "\n" not in message


def test_numbers_of_numpy_are_numbers() -> None:
    assert st.proportion(np.int64(1), np.int64(2)).value == 0.5  # type: ignore[arg-type]
    one = st.median_interval([np.float32(0.5), np.array(0.5), 0.5])  # type: ignore[list-item]
    assert one.value == 0.5 and not math.isnan(one.value)
