"""Audits: the budget is kept exactly on average, whatever the ties."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.statistics._audit import audit

values = st.one_of(st.none(), st.integers(0, 4).map(lambda i: i / 4), st.floats(0, 1))
budgets = st.integers(0, 100).map(lambda i: i / 100)
runs = st.lists(st.tuples(values, st.booleans()), min_size=1, max_size=30)


@given(runs.filter(lambda r: any(b for _, b in r)), budgets, st.integers(0, 3))
def test_the_expected_number_of_benign_runs_is_the_budget(
    labelled: list[tuple[float | None, bool]], budget: float, seed: int
) -> None:
    scores, benign = [s for s, _ in labelled], [b for _, b in labelled]
    found = audit(scores, budget, benign=benign, seed=seed)
    expected = budget * sum(benign)
    assert found.expected == pytest.approx(expected)
    over_benign = [c for c, b in zip(found.chances, benign, strict=True) if b]
    assert math.fsum(over_benign) == pytest.approx(expected, abs=1e-9)
    share = Fraction(round(budget * 100), 100) * sum(benign)
    assert math.floor(share) <= found.audited_benign <= math.ceil(share)
    assert found.audited == sum(found.chosen)
    for chosen, chance in zip(found.chosen, found.chances, strict=True):
        assert not chosen or chance > 0
        assert chosen or chance < 1


@given(st.lists(values, min_size=1, max_size=30), budgets)
def test_no_run_is_passed_over_for_one_that_scores_lower(
    scores: list[float | None], budget: float
) -> None:
    found = audit(scores, budget)
    ranked = [2.0 if score is None else score for score in scores]
    taken = [s for s, chosen in zip(ranked, found.chosen, strict=True) if chosen]
    left = [s for s, chosen in zip(ranked, found.chosen, strict=True) if not chosen]
    assert not taken or not left or min(taken) >= max(left)
    # Runs with one score have one chance.
    assert len(set(zip(ranked, found.chances, strict=True))) == len(set(ranked))


@pytest.mark.parametrize(
    ("scores", "budget", "expected"),
    [
        ([0.5] * 40, 0.05, 2.0),
        ([0.0] * 90 + [1.0] * 10, 0.01, 1.0),
        ([0.0] * 90 + [1.0] * 10, 0.33, 33.0),
        ([i / 11 for i in range(11)], 0.05, 0.55),
        ([None] * 30 + [0.1] * 70, 0.1, 10.0),
    ],
)
def test_over_seeds_the_number_audited_is_the_budget_and_each_tied_run_as_likely(
    scores: Sequence[float | None], budget: float, expected: float
) -> None:
    trials = 600
    found = [audit(scores, budget, seed=seed) for seed in range(trials)]
    counts = np.array([f.audited for f in found])
    assert counts.min() >= math.floor(expected)
    assert counts.max() <= math.ceil(expected)
    spread = math.sqrt(max(expected % 1 * (1 - expected % 1), 0) / trials)
    assert counts.mean() == pytest.approx(expected, abs=4 * spread + 1e-9)
    share = np.mean([f.chosen for f in found], axis=0)
    chances = np.array(found[0].chances)
    errors = np.sqrt(chances * (1 - chances) / trials)
    assert np.all(np.abs(share - chances) <= 4.5 * errors + 1e-9)


def test_a_percentile_of_the_scores_overruns_the_budget_and_this_does_not() -> None:
    # Half of the benign runs score 0.2, the highest of them.
    scores = [0.2] * 50 + [0.1] * 50
    by_percentile = sum(score >= np.percentile(scores, 95) for score in scores)
    assert by_percentile == 50
    found = audit(scores, 0.05)
    assert (found.audited, found.cut, found.chance) == (5, 0.2, 0.1)


def test_interpolation_between_few_runs_overruns_the_budget_and_this_does_not() -> None:
    scores = [0.1, 0.2, 0.3, 0.4, 0.5]
    threshold = np.percentile(scores, 90)
    assert sum(score >= threshold for score in scores) == 1
    assert np.mean([audit(scores, 0.1, seed=s).audited for s in range(800)]) == pytest.approx(
        0.5, abs=0.08
    )


def test_runs_that_are_not_benign_are_chosen_by_the_same_cut_and_chance() -> None:
    scores = [0.9] * 4 + [0.5] * 10 + [0.5] * 20 + [0.1] * 6
    benign = [False] * 4 + [True] * 10 + [False] * 20 + [True] * 6
    found = audit(scores, 0.25, benign=benign)
    assert (found.expected, found.cut, found.chance) == (4.0, 0.5, 0.4)
    assert found.chances == (1.0,) * 4 + (0.4,) * 30 + (0.0,) * 6
    assert found.audited_benign == 4
    assert found.audited == 4 + 4 + 8


def test_runs_without_a_score_are_looked_at_first_and_within_the_budget() -> None:
    scores = [None, None, 1.0, 0.5, None, 0.4, 0.3, 0.2, 0.1, 0.0]
    found = audit(scores, 0.4)
    assert found.chosen == (True, True, True, False, True) + (False,) * 5
    assert (found.audited_missing, found.missing, found.cut) == (3, 3, 1.0)
    assert found.note == "3 of 10 runs have no score; 3 of them looked at"
    short = audit(scores, 0.2)
    assert (short.audited, short.audited_missing, short.cut) == (2, 2, None)
    assert short.chances[0] == pytest.approx(2 / 3)


def test_no_budget_looks_at_nothing_and_a_whole_one_at_everything() -> None:
    scores = [None, 0.3, 0.2, 0.1]
    benign = [True, True, False, False]
    assert audit(scores, 0, benign=benign).chances == (0.0,) * 4
    assert audit(scores, 1, benign=benign).chosen == (True,) * 4


def test_with_keys_the_order_of_the_list_changes_nothing() -> None:
    keys = [f"run {i}" for i in range(20)]
    scores = [0.5 if i % 3 else 0.7 for i in range(20)]
    first = audit(scores, 0.5, keys=keys, seed=3)
    order = np.random.default_rng(1).permutation(20).tolist()
    again = audit([scores[i] for i in order], 0.5, keys=[keys[i] for i in order], seed=3)
    assert [first.chosen[i] for i in order] == list(again.chosen)
    assert audit(scores, 0.5, keys=keys, seed=4).chosen != first.chosen


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: audit([], 0.1), ValueError, "at least one benign run, found none of 0"),
        (lambda: audit([0.1], 0.1, benign=[False]), ValueError, "found none of 1"),
        (lambda: audit([0.1], 0.1, benign=[]), ValueError, "scores and benign of one length"),
        (lambda: audit([0.1], 0.1, benign=[1]), TypeError, r"benign\[0\] to be a truth value"),  # type: ignore[list-item]
        (lambda: audit([0.1], -0.1), ValueError, "budget within"),
        (lambda: audit([0.1], 5), ValueError, "budget within"),
        (lambda: audit([0.1], math.nan), ValueError, "budget to be finite"),
        (lambda: audit([math.nan], 0.1), ValueError, r"scores\[0\] to be finite"),
        (lambda: audit([2.0], 0.1), ValueError, r"scores\[0\] within"),
        (lambda: audit([0.1, 0.2], 0.1, keys=["a", "a"]), ValueError, "'a' twice"),
        (lambda: audit([0.1], 0.1, seed=-1), ValueError, "seed to be at least 0"),
    ],
)
def test_bad_input_is_refused_in_one_clear_line(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("expected ")
