"""Areas under the ROC curve, whole and partial, and the curve."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_curve

from custodes.statistics._labelled import labelled
from custodes.statistics._partial_roc import mcclish, partial_auroc
from custodes.statistics._placement import pair_variance
from custodes.statistics._roc import auroc, roc_curve
from custodes.types import Estimate

# Few distinct values, so that ties within and across classes are common.
coarse = st.integers(0, 8).map(lambda k: k / 8)
either = st.one_of(coarse, st.floats(0, 1))
marked = st.lists(st.tuples(either, st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


def parted(rows: list[tuple[Any, bool]]) -> tuple[list[Any], list[bool]]:
    return [score for score, _ in rows], [label for _, label in rows]


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


def value(estimate: Estimate) -> float:
    assert estimate.value is not None, estimate.note
    return estimate.value


# The value ------------------------------------------------------------------------------------


@given(marked)
def test_the_area_is_that_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    scores, labels = parted(rows)
    ours = auroc(scores, labels)
    assert value(ours.estimate) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert ours.worst == ours.best == ours.estimate.value


@given(marked, st.sampled_from([0.01, 0.05, 0.2, 1 / 3, 0.9, 1.0]))
def test_the_partial_area_is_that_of_scikit_learn(
    rows: list[tuple[float, bool]], right: float
) -> None:
    scores, labels = parted(rows)
    ours = partial_auroc(scores, labels, max_fpr=right)
    theirs = roc_auc_score(labels, scores, max_fpr=right)
    assert value(ours.standardised) == pytest.approx(theirs, abs=1e-9)
    assert mcclish(value(ours.raw), right) == pytest.approx(theirs, abs=1e-9)


@given(marked)
def test_the_curve_is_that_of_scikit_learn(rows: list[tuple[float, bool]]) -> None:
    scores, labels = parted(rows)
    ours = roc_curve(scores, labels)
    fpr, tpr, cut = sklearn_curve(labels, scores, drop_intermediate=False)
    assert ours.fpr == pytest.approx(fpr)
    assert ours.tpr == pytest.approx(tpr)
    assert ours.cut == pytest.approx(cut)
    area = math.fsum(
        (x1 - x0) * (y0 + y1) / 2
        for (x0, y0), (x1, y1) in pairwise(zip(ours.fpr, ours.tpr, strict=True))
    )
    assert area == pytest.approx(value(auroc(scores, labels).estimate))


@given(marked)
def test_turning_scores_or_labels_round_turns_the_area(rows: list[tuple[float, bool]]) -> None:
    scores, labels = parted(rows)
    area = value(auroc(scores, labels).estimate)
    turned = auroc([-s for s in scores], labels, scale=None)
    swapped = auroc(scores, [not label for label in labels])
    for other in (turned, swapped):
        assert value(other.estimate) == pytest.approx(1 - area)
        if other.estimate.low is not None:
            low, high = ends(auroc(scores, labels).estimate)
            assert ends(other.estimate) == pytest.approx((1 - high, 1 - low))


def test_published_areas_of_a_chain_of_thought_monitor(shared_data: Path) -> None:
    """The publisher dropped the record without a score; here it is counted and bounded."""
    folder = shared_data / "cot_monitor"
    published = json.loads((folder / "published.json").read_text())
    scores: dict[str, list[float | None]] = defaultdict(list)
    labels: dict[str, list[bool]] = defaultdict(list)
    with (folder / "scores.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            given = row["monitor_probability"]
            scores[row["checkpoint"]].append(float(given) / 100 if given else None)
            labels[row["checkpoint"]].append(row["switched"] == "True")
    assert set(scores) == set(published)
    for name, figures in published.items():
        ours = auroc(scores[name], labels[name])
        assert value(ours.estimate) == pytest.approx(figures["auroc"], abs=1e-9)
        assert ours.estimate.n == figures["n"]
        assert ours.positives == figures["tp"] + figures["fn"]
        low, high = ends(ours.estimate)
        assert low < value(ours.estimate) < high
    one = auroc(scores["olmo_step_1000"], labels["olmo_step_1000"])
    assert (one.missing_positives, one.missing_negatives, one.estimate.missing) == (0, 1, 1)
    assert one.worst == pytest.approx(73 / 108) and one.best == pytest.approx(77 / 108)
    assert one.estimate.note is not None and "1 of 33 not measured" in one.estimate.note


# Missing scores -------------------------------------------------------------------------------


quarters = st.one_of(st.integers(0, 4).map(lambda k: k / 4), st.none())


@settings(max_examples=30)
@given(
    st.lists(st.tuples(quarters, st.booleans()), min_size=2, max_size=7).filter(
        lambda rows: len({label for _, label in rows}) == 2 and sum(s is None for s, _ in rows) <= 2
    )
)
def test_worst_and_best_are_the_extremes_over_all_that_could_have_been_scored(
    rows: list[tuple[float | None, bool]],
) -> None:
    scores, labels = parted(rows)
    ours = auroc(scores, labels)
    partial = partial_auroc(scores, labels, max_fpr=0.3)
    holes = [i for i, score in enumerate(scores) if score is None]
    whole, part = [], []
    for filling in product([k / 4 for k in range(5)], repeat=len(holes)):
        filled = list(scores)
        for i, score in zip(holes, filling, strict=True):
            filled[i] = score
        whole.append(value(auroc(filled, labels).estimate))
        part.append(value(partial_auroc(filled, labels, max_fpr=0.3).standardised))
    assert (ours.worst, ours.best) == pytest.approx((min(whole), max(whole)))
    assert (partial.worst, partial.best) == pytest.approx((min(part), max(part)))
    assert ours.estimate.missing == len(holes) == ours.missing_positives + ours.missing_negatives


def test_on_an_open_scale_a_missing_score_may_lie_beyond_all_others() -> None:
    scores, labels = [1.0, None, 0.0], [True, True, False]
    assert auroc(scores, labels).worst == 0.75, "0 ties with the negative's 0"
    assert auroc(scores, labels, scale=None).worst == 0.5


def test_without_a_class_there_is_no_value_but_there_may_be_bounds() -> None:
    one_class = auroc([0.1, 0.2], [True, True])
    assert one_class.estimate.value is None and one_class.estimate.n == 0
    assert one_class.worst is None and one_class.best is None
    assert (one_class.positives, one_class.negatives) == (2, 0)
    assert one_class.estimate.note is not None and "both classes" in one_class.estimate.note
    all_missing = auroc([0.1, 0.2, None], [True, True, False])
    assert all_missing.estimate.value is None
    assert (all_missing.worst, all_missing.best) == (0.0, 1.0)
    empty = partial_auroc([], [])
    assert empty.raw.value is None and empty.worst is None
    curve = roc_curve([0.5], [True], level=0.95)
    assert curve.fpr == curve.tpr == curve.cut == curve.tpr_low == ()


# The variance ---------------------------------------------------------------------------------


def pairwise_parts(
    scores: NDArray[np.float64], labels: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = scores[labels], scores[~labels]
    psi = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    return psi.mean(axis=1), psi.mean(axis=0)


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 30), st.booleans())
def test_the_variance_is_that_of_delong_by_its_definition(
    seed: int, m: int, n: int, ties: bool
) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 5, m + n) / 5 if ties else generator.random(m + n)
    labels = np.arange(m + n) < m
    above, below = pairwise_parts(scores, labels)
    expected = above.var(ddof=1) / m + below.var(ddof=1) / n
    data = labelled(scores, labels, None, (0.0, 1.0))
    got = pair_variance(data, above - above.mean(), below - below.mean())
    assert got.variance == pytest.approx(expected, abs=1e-15)
    alone = labelled(scores, labels, list(range(m + n)), (0.0, 1.0))
    each = pair_variance(alone, above - above.mean(), below - below.mean())
    # A cluster of one holds one class, so there is nothing in common: Obuchowski's is DeLong's.
    assert each.variance == pytest.approx(expected, abs=1e-15)
    assert each.pairs == min(m, n)


def test_the_variance_of_clusters_is_that_of_obuchowski_by_its_definition() -> None:
    generator = np.random.default_rng(4)
    cluster = generator.integers(0, 12, 90)
    labels = generator.random(90) < 0.4
    scores = generator.integers(0, 9, 90) / 9
    above, below = pairwise_parts(scores, labels)
    area, m, n = above.mean(), int(labels.sum()), int((~labels).sum())
    ten, one, both = [], [], []
    for c in range(12):
        here_p, here_n = above[cluster[labels] == c], below[cluster[~labels] == c]
        ten.append((here_p.sum() - len(here_p) * area) if len(here_p) else None)
        one.append((here_n.sum() - len(here_n) * area) if len(here_n) else None)
        both.append((ten[-1] or 0.0) * (one[-1] or 0.0))
    tens, ones = [t for t in ten if t is not None], [o for o in one if o is not None]
    s10 = len(tens) / ((len(tens) - 1) * m) * sum(t * t for t in tens)
    s01 = len(ones) / ((len(ones) - 1) * n) * sum(o * o for o in ones)
    s11 = 12 / 11 * sum(both)
    expected = s10 / m + s01 / n + 2 * s11 / (m * n)
    data = labelled(scores, labels, cluster.tolist(), (0.0, 1.0))
    got = pair_variance(data, above - area, below - area)
    assert got.variance == pytest.approx(expected)
    assert (got.positive_clusters, got.negative_clusters, got.clusters) == (
        len(tens),
        len(ones),
        12,
    )


@pytest.mark.parametrize("right", [0.05, 0.2, 0.6])
def test_the_partial_variance_agrees_with_a_bootstrap(right: float) -> None:
    # Independent of the formula: resample each class and look at the spread.
    generator = np.random.default_rng(8)
    m, n = 300, 400 if right > 0.1 else 1500
    scores = np.concatenate([generator.normal(1, 1, m), generator.normal(0, 1, n)])
    labels = np.arange(m + n) < m
    spread = []
    for _ in range(500):
        drawn = np.concatenate([generator.integers(0, m, m), m + generator.integers(0, n, n)])
        area = partial_auroc(scores[drawn], labels, max_fpr=right, scale=None).raw
        spread.append(value(area))
    estimate = partial_auroc(scores, labels, max_fpr=right, scale=None).raw
    low, high = ends(estimate)
    half_width = (high - low) / 2
    # 0.9 of the effective trials: the half-width is 1.96 / sqrt(0.9) standard errors.
    assert half_width == pytest.approx(1.96 / math.sqrt(0.9) * np.std(spread), rel=0.15)


def test_the_interval_uses_nine_tenths_of_the_effective_trials() -> None:
    generator = np.random.default_rng(2)
    scores = np.concatenate([generator.normal(1, 1, 400), generator.normal(0, 1, 400)])
    labels = np.arange(800) < 400
    above, below = pairwise_parts(scores, labels)
    error = math.sqrt(above.var(ddof=1) / 400 + below.var(ddof=1) / 400)
    estimate = auroc(scores, labels, scale=None).estimate
    low, high = ends(estimate)
    assert (high - low) / 2 == pytest.approx(1.96 * error / math.sqrt(0.9), rel=0.04)
    assert "DeLong" in estimate.method
    clustered = auroc(scores, labels, scale=None, clusters=[i // 2 for i in range(800)]).estimate
    assert "Obuchowski" in clustered.method and clustered.clusters == 400


# Edges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "n"), [(20, 20), (20, 500), (500, 20), (5, 2)])
def test_a_perfect_separation_has_the_exact_bound_and_never_one_to_one(m: int, n: int) -> None:
    scores = [0.9] * m + [0.1] * n
    labels = [True] * m + [False] * n
    area = auroc(scores, labels).estimate
    assert area.value == 1.0
    # P(all min(m, n) disjoint pairs in order) is at most AUROC ** min(m, n): 20 gives 0.832.
    assert ends(area) == pytest.approx((0.025 ** (1 / min(m, n)), 1.0))
    assert area.note is not None and "boundary" in area.note
    worst = auroc(scores, [not label for label in labels]).estimate
    assert worst.value == 0.0
    assert ends(worst) == pytest.approx((0.0, 1 - 0.025 ** (1 / min(m, n))))
    at_90 = auroc(scores, labels, level=0.9).estimate
    assert ends(at_90)[0] == pytest.approx(0.05 ** (1 / min(m, n)))


def test_a_perfect_partial_area_has_the_bound_that_follows_from_the_whole_area() -> None:
    scores, labels = [0.9] * 100 + [0.1] * 100, [True] * 100 + [False] * 100
    area = partial_auroc(scores, labels)
    assert (area.raw.value, area.standardised.value) == (0.2, 1.0)
    whole = 0.025 ** (1 / 100)
    assert ends(area.raw) == pytest.approx((0.2 * (1 - (1 - whole) / 0.2), 0.2))
    assert ends(area.standardised)[1] == 1.0
    assert ends(area.standardised)[0] == pytest.approx(mcclish(ends(area.raw)[0], 0.2))
    few = partial_auroc(scores[95:105], labels[95:105])
    assert ends(few.raw)[0] == 0.0, "five of each say nothing below a fifth"


def test_a_cluster_counts_once_at_the_boundary() -> None:
    scores, labels = [0.9] * 40 + [0.1] * 40, [True] * 40 + [False] * 40
    apart = [i // 4 for i in range(80)]
    assert ends(auroc(scores, labels, clusters=apart).estimate)[0] == pytest.approx(0.025**0.1)
    # Ten clusters that hold both classes make five pairs of different clusters.
    mixed = [i % 10 for i in range(80)]
    assert ends(auroc(scores, labels, clusters=mixed).estimate)[0] == pytest.approx(0.025**0.2)


def test_one_unit_of_a_class_has_a_value_and_no_interval() -> None:
    for clusters in (None, ["a", "b", "c"]):
        area = auroc([0.9, 0.4, 0.6], [True, False, False], clusters=clusters).estimate
        assert area.value == 1.0 and area.low is None
        assert area.note is not None and "2 independent units" in area.note
    one_cluster = auroc([0.9, 0.4, 0.6, 0.5], [True, False, False, True], clusters=["a"] * 4)
    assert one_cluster.estimate.value == 0.75 and one_cluster.estimate.low is None
    assert partial_auroc([0.9, 0.1], [True, False]).raw.low is None


def test_equal_scores_say_nothing() -> None:
    scores, labels = [0.5] * 100, [i < 50 for i in range(100)]
    area = auroc(scores, labels).estimate
    assert area.value == 0.5
    low, high = ends(area)
    assert low == pytest.approx(0.355, abs=1e-3) and high == pytest.approx(0.645, abs=1e-3)
    assert area.note is not None and "rank alike" in area.note
    part = partial_auroc(scores, labels).raw
    assert part.value == pytest.approx(0.02)
    assert ends(part)[0] <= 0.02 <= ends(part)[1]


def test_other_levels_and_narrow_ranges_have_no_interval() -> None:
    scores, labels = [0.9, 0.3, 0.5, 0.4, 0.1, 0.2], [True, True, True, False, False, False]
    for area in (auroc(scores, labels, level=0.9).estimate, partial_auroc(scores, labels).raw):
        assert area.value is not None
    note = auroc(scores, labels, level=0.9).estimate.note
    assert note is not None and "0.95" in note
    narrow = partial_auroc(scores, labels, max_fpr=0.01).raw
    assert narrow.value == pytest.approx(0.01 * 2 / 3) and narrow.low is None
    nothing = partial_auroc([0.1, 0.2, 0.8, 0.9], [True, True, False, False]).raw
    assert nothing.value == 0.0 and nothing.low is None


@given(marked, st.booleans())
def test_an_interval_holds_the_value_and_is_never_a_point(
    rows: list[tuple[float, bool]], clustered: bool
) -> None:
    scores, labels = parted(rows)
    clusters = [i // 3 for i in range(len(rows))] if clustered else None
    area = auroc(scores, labels, clusters=clusters)
    partial = partial_auroc(scores, labels, clusters=clusters)
    for estimate in (area.estimate, partial.raw, partial.standardised):
        if estimate.low is None:
            assert estimate.note
            continue
        low, high = ends(estimate)
        assert low <= value(estimate) <= high
        assert high - low > 1e-3
    assert 0.0 <= (area.estimate.low or 0.0) <= (area.estimate.high or 1.0) <= 1.0


def test_pointwise_bands_are_clopper_pearson() -> None:
    curve = roc_curve([0.9, 0.8, 0.7, 0.2], [True, True, False, False], level=0.95)
    assert curve.cut == (math.inf, 0.9, 0.8, 0.7, 0.2)
    assert curve.tpr == (0.0, 0.5, 1.0, 1.0, 1.0)
    assert curve.fpr == (0.0, 0.0, 0.0, 0.5, 1.0)
    assert curve.tpr_low is not None and curve.tpr_high is not None
    # 2 of 2: (0.025 ** (1 / 2), 1); 1 of 2: (0.0126, 0.9874), Clopper and Pearson's chart.
    assert curve.tpr_low[2] == pytest.approx(0.025**0.5)
    assert (curve.tpr_low[1], curve.tpr_high[1]) == pytest.approx((0.0126, 0.9874), abs=1e-4)
    assert curve.fpr_high is not None and curve.fpr_high[0] == pytest.approx(1 - 0.025**0.5)
    assert roc_curve([0.9, 0.1], [True, False]).tpr_low is None


# Hostile input --------------------------------------------------------------------------------

BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: auroc([0.1, math.nan], [True, False]), ValueError, r"scores\[1\] to be finite"),
    (lambda: auroc([math.inf, 0.1], [True, False]), ValueError, r"scores\[0\] to be finite"),
    (
        lambda: auroc([math.inf, 0.1], [True, False], scale=None),
        ValueError,
        r"scores\[0\] to be finite",
    ),
    (lambda: auroc([0.1, 15], [True, False]), ValueError, r"scores\[1\] within \[0.0, 1.0\]"),
    (lambda: auroc([0.1, "0.2"], [True, False]), TypeError, r"scores\[1\] .*found '0.2'"),  # type: ignore[list-item]
    (lambda: auroc([0.1, True], [True, False]), TypeError, r"scores\[1\] .*found True"),
    (lambda: auroc([0.1, 10**400], [True, False]), ValueError, r"scores\[1\] to be finite"),
    (lambda: auroc([0.1, [0.2]], [True, False]), TypeError, r"scores\[1\]"),  # type: ignore[list-item]
    (lambda: auroc(np.array([[0.1], [0.2]]), [True, False]), TypeError, "one dimension"),
    (lambda: auroc(np.array([0.1, np.nan]), [True, False]), ValueError, "give None"),
    (lambda: auroc([0.1, 0.2], [1, 0]), TypeError, r"labels\[0\] to be True or False"),  # type: ignore[list-item]
    (lambda: auroc([0.1, 0.2], np.array([1, 0])), TypeError, "truth values"),
    (lambda: auroc([0.1, 0.2], [True]), ValueError, "one length, found 2 and 1"),
    (
        lambda: auroc([0.1, 0.2], [True, False], clusters=["a"]),
        ValueError,
        "scores and clusters of one length",
    ),
    (lambda: auroc([0.1, 0.2], [True, False], clusters="ab"), TypeError, "sequence"),
    (lambda: auroc([0.1, 0.2], [True, False], clusters=["a", None]), TypeError, r"clusters\[1\]"),
    (lambda: auroc([0.1], [True], clusters=[["a"]]), TypeError, "hashable"),  # type: ignore[list-item]
    (lambda: auroc([0.1, 0.2], [True, False], level=1.0), ValueError, "level"),
    (lambda: auroc([0.1, 0.2], [True, False], scale=(1.0, 0.0)), ValueError, "scale"),
    (lambda: partial_auroc([0.1], [True], max_fpr=0.0), ValueError, "max_fpr"),
    (lambda: partial_auroc([0.1], [True], max_fpr=1.1), ValueError, "max_fpr"),
    (lambda: partial_auroc([0.1], [True], max_fpr=math.nan), ValueError, "max_fpr"),
    (lambda: roc_curve([0.1], [True, False]), ValueError, "one length"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=range(len(BAD)))
def test_bad_input_is_refused_in_one_line(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_lists_and_arrays_give_the_same() -> None:
    generator = np.random.default_rng(3)
    scores, labels = generator.random(50), generator.random(50) < 0.5
    assert auroc(scores, labels) == auroc(scores.tolist(), labels.tolist())
    assert auroc(scores.astype(np.float32), labels).positives == int(labels.sum())
    whole: list[float | None] = [0, 1, None, 1]
    assert auroc(whole, [False, True, True, False]).missing_positives == 1
