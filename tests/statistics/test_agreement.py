"""Krippendorff's alpha, and a model grader against people."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score

from custodes.statistics import clustered_proportion, proportion, with_missing
from custodes.statistics._agreement import Scale, grader_confusion, krippendorff_alpha
from custodes.types import Estimate

# Four observers, twelve units, five values: Krippendorff 2011, "Computing Krippendorff's
# alpha-reliability", example C/D; alphas as printed there and in R's irr::kripp.alpha.
FOUR_OBSERVERS: list[list[int | None]] = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
# Three coders, fifteen units with many gaps: the example of the encyclopaedia articles.
N = None
THREE_CODERS: list[list[int | None]] = [
    [N, N, N, N, N, 3, 4, 1, 2, 1, 1, 3, 3, N, 3],
    [1, N, 2, 1, 3, 3, 4, 3, N, N, N, N, N, N, N],
    [N, N, 2, 1, 3, 4, 4, N, 2, 1, 1, 3, 3, N, 4],
]
grids = st.integers(1, 4).flatmap(
    lambda raters: st.lists(
        st.lists(st.none() | st.integers(0, 3), min_size=raters, max_size=raters),
        min_size=1,
        max_size=12,
    )
)


def ends(estimate: Estimate) -> tuple[float, float]:
    assert estimate.low is not None and estimate.high is not None, estimate.note
    return estimate.low, estimate.high


def drawn(units: int, raters: int, right: float, seed: int = 1) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 4, units)
    rows = []
    for _ in range(raters):
        wrong = generator.random(units) > right
        rows.append(np.where(wrong, generator.integers(0, 4, units), truth).tolist())
    return rows


@pytest.mark.parametrize(
    ("ratings", "scale", "published"),
    [
        (FOUR_OBSERVERS, "nominal", 0.743),
        (FOUR_OBSERVERS, "ordinal", 0.815),
        (FOUR_OBSERVERS, "interval", 0.849),
        (THREE_CODERS, "nominal", 0.691),
        (THREE_CODERS, "interval", 0.811),
    ],
)
def test_published_worked_examples(
    ratings: list[list[int | None]], scale: Scale, published: float
) -> None:
    value = krippendorff_alpha(ratings, scale=scale).estimate.value
    assert value == pytest.approx(published, abs=0.0005)


@given(grids, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_values_agree_with_the_krippendorff_package(
    by_unit: list[list[int | None]], scale: Scale
) -> None:
    ratings = [list(row) for row in zip(*by_unit, strict=True)]
    result = krippendorff_alpha(ratings, scale=scale)
    given_ = [[v for v in unit if v is not None] for unit in by_unit]
    values = {v for unit in given_ if len(unit) > 1 for v in unit}
    if len(values) < 2:
        assert result.estimate.value is None
        return
    theirs = krippendorff.alpha(
        reliability_data=[[np.nan if v is None else v for v in row] for row in ratings],
        level_of_measurement=scale,
    )
    assert result.estimate.value == pytest.approx(float(theirs), abs=1e-9)


def test_what_was_counted_is_told() -> None:
    result = krippendorff_alpha(THREE_CODERS, scale="nominal")
    # 26 of the values stand in units with two or more of them, as the example counts.
    assert (result.raters, result.ratings, result.missing_ratings) == (3, 26, 18)
    assert (result.estimate.n, result.estimate.missing) == (12, 3)
    assert result.disagreeing == 3
    assert dict(result.values) == {1: 7, 2: 4, 3: 10, 4: 5}


def test_few_units_get_no_interval() -> None:
    estimate = krippendorff_alpha(FOUR_OBSERVERS).estimate
    assert (estimate.low, estimate.high) == (None, None)
    assert "from 100 units, and here is 11" in (estimate.note or "")


def test_the_interval_is_the_jackknifes() -> None:
    ratings = drawn(110, 3, 0.6)
    result = krippendorff_alpha(ratings)
    low, high = ends(result.estimate)
    units = np.array(ratings)
    without = np.array(
        [
            krippendorff.alpha(np.delete(units, u, axis=1), level_of_measurement="ordinal")
            for u in range(110)
        ]
    )
    error = math.sqrt(109 / 110 * float(((without - without.mean()) ** 2).sum()))
    assert (low + high) / 2 == pytest.approx(result.estimate.value)
    # Wider than with 109 degrees of freedom, and by no more than with 10.
    assert 1.982 * error < (high - low) / 2 < 2.228 * error


def test_perfect_agreement_has_no_interval_and_says_what_would_have_shown() -> None:
    row = [1, 2, 3, 4] * 25
    result = krippendorff_alpha([row, row])
    assert (result.estimate.value, result.estimate.low) == (1.0, None)
    assert result.disagreeing == 0
    # 1 - 0.05^(1/100).
    assert "above 0.0295 would have shown" in (result.estimate.note or "")


def test_one_disagreement_among_many_units_is_one_piece_of_evidence() -> None:
    row = [0, 1] * 500
    other = [*row[:-1], 0]
    estimate = krippendorff_alpha([row, other]).estimate
    assert estimate.value is not None and 0.99 < estimate.value < 1
    assert estimate.low is None
    assert "effective units each way" in (estimate.note or "")


@pytest.mark.parametrize(
    ("ratings", "says"),
    [
        ([[1, 2, 3]], "no unit has two ratings"),
        ([[1, None], [None, 2]], "no unit has two ratings"),
        ([[2, 2, 2], [2, 2, 2]], "all 6 ratings are 2"),
        ([], "nothing was measured"),
        ([[], []], "nothing was measured"),
    ],
)
def test_where_alpha_is_not_defined_it_has_no_value(ratings: list[list[int]], says: str) -> None:
    estimate = krippendorff_alpha(ratings).estimate
    assert (estimate.value, estimate.n) == (None, 0)
    assert says in (estimate.note or "")


def test_texts_are_classes_and_another_level_has_no_interval() -> None:
    rows = [["yes" if v else "no" for v in row] for row in drawn(200, 2, 0.8)]
    assert ends(krippendorff_alpha(rows, scale="nominal").estimate)
    other = krippendorff_alpha(rows, scale="nominal", level=0.9).estimate
    assert (other.low, other.level) == (None, 0.9)
    assert "at a level of 0.95, not 0.9" in (other.note or "")


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(5)), st.integers(0, 50))
def test_the_order_of_raters_and_units_does_not_matter(order: list[int], seed: int) -> None:
    ratings = np.array(drawn(100, 5, 0.5, seed))
    moved = ratings[order][:, np.random.default_rng(seed).permutation(100)]
    one, other = (krippendorff_alpha(r.tolist()).estimate for r in (ratings, moved))
    assert one.value == pytest.approx(other.value)
    assert ends(one) == pytest.approx(ends(other))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: krippendorff_alpha([[1, 2], [1]]), ValueError, "found 2 and 1 in row 1"),
        (lambda: krippendorff_alpha([[1, math.nan]]), ValueError, r"ratings\[0\]\[1\].*nan"),
        (lambda: krippendorff_alpha([["a"]]), TypeError, r"ratings\[0\]\[0\] to be a number"),
        (lambda: krippendorff_alpha([[True]]), TypeError, "found True"),
        (lambda: krippendorff_alpha(["abc"]), TypeError, "sequence of values"),
        (lambda: krippendorff_alpha([[math.nan]], scale="nominal"), ValueError, "found NaN"),
        (
            lambda: krippendorff_alpha([[1]], scale="ratio"),  # type: ignore[arg-type]
            ValueError,
            "expected a scale",
        ),
        (lambda: krippendorff_alpha([[1]], level=0.5), ValueError, "level"),
    ],
)
def test_bad_ratings_are_refused(
    call: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call()


# A grader against people ------------------------------------------------------------------------

labels = st.none() | st.sampled_from(["benign", "harmful", "unclear"])


def test_confusion_with_missing_kept_apart() -> None:
    people = ["harmful"] * 10 + ["benign"] * 20 + [None] * 3 + [None]
    model: list[str | None] = ["harmful"] * 7 + ["benign"] * 2 + [None]
    model += ["benign"] * 17 + ["harmful"] * 1 + [None] * 2
    model += ["harmful", "harmful", "benign", None]
    found = grader_confusion(model, people, classes=["harmful", "benign"])
    assert found.counts == ((7, 2), (1, 17))
    assert (found.grader_missing, found.people_missing, found.both_missing) == ((1, 2), (2, 1), 1)
    assert found.agreement == proportion(24, 27, missing=7)
    harmful = found.per_class[0]
    # Of unknown truth: the two graded harmful help, the one graded benign hurts, none does both.
    assert harmful.sensitivity.observed == proportion(7, 9, missing=5)
    assert (harmful.sensitivity.best.value, harmful.sensitivity.worst.value) == (11 / 13, 7 / 12)
    assert harmful.specificity.observed == proportion(17, 18, missing=6)
    assert (harmful.specificity.best.value, harmful.specificity.worst.value) == (21 / 22, 17 / 23)


def test_with_only_the_grader_missing_the_bounds_are_those_of_with_missing() -> None:
    people = ["a"] * 8 + ["b"] * 8
    model = ["a"] * 5 + ["b"] + [None] * 2 + ["b"] * 8
    sensitivity = grader_confusion(model, people).per_class[0].sensitivity
    bounds = with_missing(5, 6, 2, harmful=False)
    assert sensitivity.observed == bounds.observed
    assert (sensitivity.best.value, sensitivity.worst.value) == (
        bounds.best.value,
        bounds.worst.value,
    )


@given(st.lists(st.tuples(labels, labels), max_size=25))
def test_counts_and_rates_are_scikit_learns(pairs: list[tuple[str | None, str | None]]) -> None:
    found = grader_confusion([m for m, _ in pairs], [p for _, p in pairs])
    both = [(m, p) for m, p in pairs if m is not None and p is not None]
    total = sum(map(sum, found.counts))
    assert total == len(both)
    apart = sum(found.grader_missing) + sum(found.people_missing) + found.both_missing
    assert total + apart == len(pairs)
    if not both:
        assert found.agreement.value is None
        return
    graded, truth = [m for m, _ in both], [p for _, p in both]
    names = [str(label) for label in found.classes]
    theirs = confusion_matrix(truth, graded, labels=names)
    assert found.counts == tuple(map(tuple, theirs.tolist()))
    recalls = recall_score(truth, graded, labels=names, average=None, zero_division=0)
    for recall, one in zip(recalls, found.per_class, strict=True):
        value = one.sensitivity.observed.value
        assert value is None or value == pytest.approx(recall)
        for rate in (one.sensitivity, one.specificity):
            if rate.observed.value is not None:
                assert rate.worst.value is not None and rate.best.value is not None
                assert rate.worst.value <= rate.observed.value <= rate.best.value


@settings(deadline=None)
@given(
    st.lists(st.tuples(labels, labels), min_size=1, max_size=8),
    st.lists(st.sampled_from(["benign", "harmful"]), min_size=16, max_size=16),
)
def test_no_way_of_filling_the_gaps_leaves_the_bounds(
    pairs: list[tuple[str | None, str | None]], fill: list[str]
) -> None:
    classes = ["benign", "harmful", "unclear"]
    filler = iter(fill)
    complete = [tuple(next(filler) if v is None else v for v in pair) for pair in pairs]
    found, filled = (
        grader_confusion([m for m, _ in rows], [p for _, p in rows], classes=classes)
        for rows in (pairs, complete)
    )
    for bounds, truth in zip(found.per_class, filled.per_class, strict=True):
        for rate, actual in (
            (bounds.sensitivity, truth.sensitivity.observed.value),
            (bounds.specificity, truth.specificity.observed.value),
        ):
            if actual is None:
                continue
            worst, best = rate.worst.value, rate.best.value
            assert worst is None or worst <= actual + 1e-12
            assert best is None or actual <= best + 1e-12


def test_items_of_one_transcript_are_one_cluster() -> None:
    people: list[Hashable] = ["h"] * 12
    model = ["h", "h", "h", "b"] * 3
    clusters = [i // 4 for i in range(12)]
    sensitivity = grader_confusion(model, people, clusters=clusters).per_class[1].sensitivity
    assert sensitivity.observed == clustered_proportion([3, 3, 3], [4, 4, 4])
    assert sensitivity.observed.clusters == 3


def test_no_items_and_classes_that_nobody_used() -> None:
    assert grader_confusion([], []).agreement.value is None
    found = grader_confusion(["a"], ["a"], classes=["a", "b"])
    assert found.counts == ((1, 0), (0, 0))
    assert found.per_class[1].sensitivity.observed.value is None
    assert found.per_class[1].specificity.observed.value == 1.0


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: grader_confusion(["a"], []), "one length, found 1 and 0"),
        (lambda: grader_confusion(["a"], ["c"], classes=["a"]), r"people\[0\] among the classes"),
        (lambda: grader_confusion([math.nan], ["a"]), r"model\[0\].*NaN"),
        (lambda: grader_confusion(["a"], ["a"], classes=["a", "a"]), "classes that differ"),
        (lambda: grader_confusion(["a"], ["a"], clusters=[]), "clusters and model"),
    ],
)
def test_bad_grades_are_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
