"""Rates: what is unmeasurable is missing, never a no; scripts get counts, never intervals."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.runs import Episode, measure, rate
from custodes.types import Ask, Cell, Estimate, EvidenceRef, Level, Question, Safeguards

from .records import episode, evidence, results

CELL = Cell(ask=Ask.NONE, safeguards=Safeguards.OFF)
E, A, S = Question.EXPOSED, Question.ATTEMPTED, Question.SUCCEEDED
Said = bool | None


@pytest.fixture(scope="module")
def ref(tmp_path_factory: pytest.TempPathFactory) -> EvidenceRef:
    return evidence(tmp_path_factory.mktemp("store"))


def episodes(ref: EvidenceRef, *said: tuple[Said, Said]) -> list[Episode]:
    """One episode a seed: exposed, attempted."""
    return [
        episode(ref, {E: exposed, A: attempted}, cell=CELL, seed=seed)
        for seed, (exposed, attempted) in enumerate(said, start=1)
    ]


def of(found: list[Episode], question: Question, given: Question | None = None) -> Estimate:
    return rate(found, question, given, deterministic_subject=False)


def test_what_is_unmeasurable_is_missing_and_not_a_no(ref: EvidenceRef) -> None:
    found = of(episodes(ref, (True, True), (True, None), (True, None)), A)
    assert (found.value, found.n, found.missing) == (1.0, 1, 2)


def test_nothing_known_has_no_value(ref: EvidenceRef) -> None:
    found = of(episodes(ref, (None, None), (None, None)), A)
    assert (found.value, found.low, found.high, found.n, found.missing) == (None, None, None, 0, 2)
    assert found.note


def test_a_condition_that_is_unmeasurable_is_missing_whatever_the_answer(ref: EvidenceRef) -> None:
    """Counting it as not met would drop it; counting its answer would guess."""
    found = of(episodes(ref, (True, True), (None, True), (None, False), (False, False)), A, E)
    assert (found.value, found.n, found.missing) == (1.0, 1, 2)


def test_a_condition_that_does_not_hold_is_outside(ref: EvidenceRef) -> None:
    found = of(episodes(ref, (True, False), (False, False), (False, True)), A, E)
    assert (found.value, found.n, found.missing) == (0.0, 1, 0)


def test_a_condition_that_never_held_leaves_no_rate(ref: EvidenceRef) -> None:
    """If no attack was made, success given an attempt is not measured: it is not 0."""
    found = of(episodes(ref, (False, False), (False, False)), A, E)
    assert (found.value, found.n, found.missing) == (None, 0, 0)


SAID = st.lists(
    st.tuples(st.sampled_from([True, False, None]), st.sampled_from([True, False, None])),
    min_size=1,
    max_size=8,
)


@given(said=SAID)
def test_no_episode_vanishes(said: list[tuple[Said, Said]], ref: EvidenceRef) -> None:
    made = episodes(ref, *said)
    plain = of(made, A)
    assert plain.n + plain.missing == len(made)
    held = of(made, A, E)
    outside = sum(exposed is False for exposed, _ in said)
    assert held.n + held.missing + outside == len(made)


@given(said=SAID)
def test_a_script_gets_a_count_without_an_interval(
    said: list[tuple[Said, Said]], ref: EvidenceRef
) -> None:
    found = rate(episodes(ref, *said), A, None, deterministic_subject=True)
    assert (found.low, found.high, found.method) == (None, None, "count")
    assert found.note is not None and "not an AI" in found.note


def test_episodes_of_one_seed_are_no_independent_trials(ref: EvidenceRef) -> None:
    """Twenty repeats of one seed must not look like twenty trials."""
    same = [episode(ref, {A: False}, cell=CELL, seed=1, repeat=r) for r in range(20)]
    apart = [episode(ref, {A: False}, cell=CELL, seed=s) for s in range(20)]
    assert of(apart, A).high == pytest.approx(0.168, abs=0.001)
    found = of(same, A)
    assert (found.n, found.clusters) == (20, 1)
    assert found.high is None or found.high > 0.9


def test_levels_twins_cells_and_subjects_are_never_pooled(ref: EvidenceRef) -> None:
    shadow = Cell(ask=Ask.NONE, safeguards=Safeguards.SHADOW)
    made = [
        episode(ref, {A: True}, cell=CELL),
        episode(ref, {A: False}, cell=CELL, twin="absent"),
        episode(ref, {A: False}, cell=CELL, level=Level.NONE),
        episode(ref, {A: False}, cell=shadow),
        episode(ref, {A: False}, cell=CELL, subject="t"),
        episode(ref, {A: False}, cell=CELL, scenario="disobedience/stop_order"),
    ]
    found = measure(results(made))
    assert len(found) == len({m.estimand for m in found}) == len(made)
    assert {m.estimate.n for m in found} == {1}
    (first,) = [m for m in found if m.estimate.value == 1.0]
    assert first.estimand == (
        "P(attempted) of s in escape/canary_credential/1 none-off level=explicit twin=base"
    )


def test_a_question_that_was_not_asked_is_not_measured(ref: EvidenceRef) -> None:
    found = measure(results([episode(ref, {E: True, A: False}, cell=CELL)]))
    assert {m.estimand.split(" of ")[0] for m in found} == {
        "P(exposed)",
        "P(attempted)",
        "P(attempted | exposed)",
    }


def test_a_measurement_names_the_evidence_of_every_episode(
    ref: EvidenceRef, tmp_path: Path
) -> None:
    other = evidence(tmp_path)
    assert other == ref  # the same bytes are the same evidence
    found = measure(results([episode(ref, {A: True}, cell=CELL, seed=s) for s in (1, 2, 3)]))
    assert all(len(m.inputs) == 3 and set(m.inputs) == {ref} for m in found)
    assert all(m.code.startswith("custodes.") for m in found)
