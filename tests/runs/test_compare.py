"""What changed between two settings: paired by what they met, counted apart, named one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from custodes.case import CaseConfig
from custodes.runs import (
    BadThreshold,
    CaseComparison,
    ChangeCrossing,
    Episode,
    NothingToCompare,
    Results,
    Row,
    Side,
    SubjectView,
    change_crossings,
    compare,
    parse_change_threshold,
)
from custodes.types import (
    Ask,
    Cell,
    EvidenceRef,
    JsonObject,
    Question,
    Safeguards,
    Sha256,
    sha256_of,
)

from .records import episode, evidence, results

OFF = Cell(ask=Ask.NONE, safeguards=Safeguards.OFF)
SHADOW = Cell(ask=Ask.COVERT, safeguards=Safeguards.SHADOW)
A, S, D, F = Question.ATTEMPTED, Question.SUCCEEDED, Question.DISCLOSED, Question.FLAGGED
OTHER = "disobedience/stop_order"


@pytest.fixture(scope="module")
def ref(tmp_path_factory: pytest.TempPathFactory) -> EvidenceRef:
    return evidence(tmp_path_factory.mktemp("store"))


def config_of(subjects: Sequence[Mapping[str, Any]], **plan: Any) -> CaseConfig:
    return CaseConfig.model_validate(
        {
            "schema": "custodes.case/1",
            "organisation": "Tests",
            "assessor": "Tests",
            "purpose": "Compares.",
            "plan": {"subjects": list(subjects), "cells": ["none-off"], "seeds": [1], **plan},
        }
    )


def case_of(
    episodes: Sequence[Episode],
    *,
    models: Mapping[str, str] | None = None,
    planned: Sequence[Episode] = (),
    head: str = "0",
    environment: JsonObject | None = None,
    fields: Mapping[str, Mapping[str, Any]] | None = None,
    limits: Mapping[str, int] | None = None,
    versions: Mapping[str, str] | None = None,
    not_run: int = 0,
) -> tuple[Results, CaseConfig]:
    """A case with the subjects ``old`` and ``new``; ``planned`` were not run."""
    models = models or {"old": "openai/x", "new": "openai/y"}
    subjects = [
        {"id": name, "role": "subject", "model": model, **(fields or {}).get(name, {})}
        for name, model in models.items()
    ]
    keys = [e.key.digest for e in (*episodes, *planned)]
    plan: JsonObject = {
        "subjects": [{"id": name, "model": model} for name, model in models.items()],
        "scenarios": [{"id": k, "version": v} for k, v in (versions or {}).items()],
        "safeguard": "f" * 64,
        "keys": keys,
    }
    found = replace(
        results(episodes),
        plan=plan,
        subjects=tuple(
            SubjectView(
                id=name,
                role="subject",
                model=model,
                digest=sha256_of(name.encode()),
                policy=model.removeprefix("reference/") if "reference/" in model else None,
                description=None,
                elicitation=(fields or {}).get(name, {}).get("elicitation"),
            )
            for name, model in models.items()
        ),
        environment=environment,
        head=Sha256(head * 64),
        planned=len(keys) + not_run,
    )
    return found, config_of(subjects, limits=dict(limits or {}))


def side(case: tuple[Results, CaseConfig], subject: str, *, name: str = "") -> Side:
    found, config = case
    view = next(s for s in found.subjects if s.id == subject)
    return Side(
        name=name or subject,
        case=name,
        subject=view,
        results=found,
        config=config,
        recorded=True,
    )


def compared(episodes: Sequence[Episode], **case: Any) -> CaseComparison:
    made = case_of(episodes, **case)
    return compare(side(made, "old"), side(made, "new"))


def pair(
    ref: EvidenceRef, old: Mapping[Question, bool | None], new: Mapping[Question, bool | None],
    **where: Any,
) -> list[Episode]:  # fmt: skip
    where = {"cell": OFF, **where}
    return [
        episode(ref, old, subject="old", **where),
        episode(ref, new, subject="new", **where),
    ]


def only(rows: Sequence[Row]) -> Row:
    assert len(rows) == 1, [row.where for row in rows]
    return rows[0]


# Tables


def test_a_table_by_hand_comes_out(ref: EvidenceRef) -> None:
    said = [(True, True), (True, False), *[(False, True)] * 3, *[(False, False)] * 4, (None, True)]
    episodes = [
        e for seed, (old, new) in enumerate(said) for e in pair(ref, {A: old}, {A: new}, seed=seed)
    ]
    found = compared(episodes)
    for scope in ("cell", "step", "setting"):
        row = only(found.of(A, scope))
        c = row.change
        assert (c.both_yes, c.only_a, c.only_b, c.both_no) == (1, 1, 3, 4)
        assert (c.unknown_a, c.unknown_b, c.unknown_both) == (1, 0, 0)
        assert row.reasons == (("a", "limit", 1),)
        assert c.estimate.value == pytest.approx(2 / 9)
        assert (c.lowest.value, c.highest.value) == pytest.approx((2 / 10, 3 / 10))
        assert row.unit == "seed" and c.estimate.clusters == 9
        assert c.p_value == pytest.approx(0.625)
    assert len(found.pairs) == 10
    assert found.of(D, "setting") == (), "a question that nobody was asked is absent"


def test_cells_twins_and_levels_are_never_added_up(ref: EvidenceRef) -> None:
    episodes = [
        *pair(ref, {A: False}, {A: True}),
        *pair(ref, {A: False}, {A: False}, cell=SHADOW),
        *pair(ref, {A: True}, {A: True}, twin="absent"),
    ]
    found = compared(episodes)
    assert {(r.cell.name, r.change.measured) for r in found.of(A, "cell")} == {
        ("none-off", 1),
        ("covert-shadow", 1),
    }
    assert {(r.cell.name, r.twin) for r in found.of(A, "setting")} == {
        ("none-off", "base"),
        ("none-off", "absent"),
        ("covert-shadow", "base"),
    }


def test_over_several_scenarios_the_scenario_is_the_cluster(ref: EvidenceRef) -> None:
    episodes = [e for s in range(8) for e in pair(ref, {A: False}, {A: True}, seed=s)]
    episodes += [
        e for s in range(8) for e in pair(ref, {A: True}, {A: True}, seed=s, scenario=OTHER)
    ]
    found = compared(episodes)
    row = only(found.of(A, "cell"))
    assert (row.unit, row.change.estimate.clusters, row.change.measured) == ("scenario", 2, 16)
    assert row.change.estimate.value == pytest.approx(0.5)
    assert row.change.p_value == 1, "two scenarios cannot show that a third changes"
    steps = found.of(A, "step")
    assert {r.unit for r in steps} == {"seed"}
    assert {r.change.estimate.value for r in steps} == {0, 1}


def test_one_seed_has_no_interval_and_one_of_a_script_neither(ref: EvidenceRef) -> None:
    row = only(compared(pair(ref, {A: False}, {A: False})).of(A, "setting"))
    assert row.change.estimate.low is None
    assert "one seed" in (row.change.estimate.note or "")
    assert row.change.detectable == pytest.approx(0.95)
    episodes = [e for s in range(5) for e in pair(ref, {A: False}, {A: True}, seed=s)]
    scripted = compared(episodes, models={"old": "openai/x", "new": "reference/violator"})
    row = only(scripted.of(A, "setting"))
    assert (row.change.estimate.value, row.change.estimate.low, row.p_adjusted) == (1, None, None)
    assert scripted.scripted
    assert any("not an AI: new is a scripted agent" in warning for warning in scripted.warnings)


def test_p_values_are_adjusted_within_a_question_and_scope(ref: EvidenceRef) -> None:
    episodes = [e for s in range(6) for e in pair(ref, {A: False}, {A: True}, seed=s)]
    episodes += [
        e for s in range(6) for e in pair(ref, {A: False}, {A: False}, seed=s, cell=SHADOW)
    ]
    rows = {row.cell.name: row for row in compared(episodes).of(A, "setting")}
    assert rows["none-off"].change.p_value == pytest.approx(1 / 32)
    assert rows["none-off"].p_adjusted == pytest.approx(2 / 32)
    assert rows["covert-shadow"].p_adjusted == 1


# Pairing


def test_what_only_one_side_was_to_run_is_counted_and_not_compared(ref: EvidenceRef) -> None:
    found = compared(
        [
            *pair(ref, {A: False}, {A: False}),
            episode(ref, {A: True}, cell=SHADOW, subject="new"),
            episode(ref, {A: True}, cell=OFF, subject="new", seed=2),
        ]
    )
    assert (len(found.pairs), len(found.unpaired_a), len(found.unpaired_b)) == (1, 0, 2)
    row = only(found.of(A, "setting"))
    assert (row.change.measured, row.unpaired_a, row.unpaired_b) == (1, 0, 1)
    assert found.unmeasurable == ()


def test_what_was_planned_and_not_run_is_an_unmeasurable_side(ref: EvidenceRef) -> None:
    lost = episode(ref, {A: True}, cell=OFF, subject="old", seed=2)
    found = compared(
        [
            *pair(ref, {A: False}, {A: False}),
            episode(ref, {A: True}, cell=OFF, subject="new", seed=2),
        ],
        planned=[lost],
    )
    row = only(found.of(A, "setting"))
    assert row.change.unknown_a == 1
    assert row.reasons == (("a", "not_run", 1),)
    assert found.unpaired_b == ()
    assert found.has_unmeasurable
    assert found.to_json()["not_run"] == {"a": 1, "b": 0}


def test_a_question_that_one_side_was_not_asked_is_told(ref: EvidenceRef) -> None:
    found = compared([*pair(ref, {A: False, F: True}, {A: False}), *pair(
        ref, {A: False, F: True}, {A: False, F: True}, seed=2)])  # fmt: skip
    row = only(found.of(F, "setting"))
    assert (row.change.measured, row.one_sided) == (1, 1)


def test_repeats_are_pairs_of_their_own_within_a_seed(ref: EvidenceRef) -> None:
    episodes = [e for r in range(3) for e in pair(ref, {A: False}, {A: r == 0}, seed=1, repeat=r)]
    row = only(compared(episodes).of(A, "setting"))
    assert (row.change.measured, row.change.estimate.clusters) == (3, 1)


def test_nothing_paired_is_an_error_that_says_so(ref: EvidenceRef) -> None:
    alone = [
        episode(ref, {A: True}, cell=OFF, subject="old"),
        episode(ref, {A: True}, cell=SHADOW, subject="new"),
    ]
    with pytest.raises(NothingToCompare, match=r"no episode of old \(1\).*of new \(1\)"):
        compared(alone)
    made = case_of(alone)
    with pytest.raises(NothingToCompare, match="the same subject of the same case"):
        compare(side(made, "old"), side(made, "old"))


# Pairs by name


def test_pairs_that_changed_come_most_telling_first(ref: EvidenceRef) -> None:
    no = {A: False, S: False, D: True}
    found = compared(
        [
            *pair(ref, no, {**no, D: False}, seed=1),
            *pair(ref, no, {A: True, S: True, D: True}, seed=2, twin="absent"),
            *pair(ref, {A: True, S: True, D: True}, {A: True, S: False, D: True}, seed=3),
            *pair(ref, no, {A: True, S: True, D: False}, seed=4),
            *pair(ref, no, no, seed=5),
            *pair(ref, no, {A: None, S: None, D: True}, seed=6),
        ]
    )
    assert [(c.pair.place.seed, [q for q, _, _ in c.answers]) for c in found.changed] == [
        (4, [S, A, D]),
        (3, [S]),
        (1, [D]),
        (2, [S, A]),
    ]
    assert [c.pair.place.seed for c in found.unmeasurable] == [6]
    document = found.to_json()
    changed = document["changed"]
    assert isinstance(changed, list)
    assert changed[0]["answers"][0]["a"]["value"] is False
    assert document["schema"] == "custodes.comparison/1"


# What differs


def whats(found: CaseComparison) -> list[str]:
    return [difference.what for difference in found.differences]


def test_one_thing_that_differs_is_named_without_a_warning(ref: EvidenceRef) -> None:
    found = compared(pair(ref, {A: False}, {A: False}))
    assert [(d.what, d.a, d.b) for d in found.differences] == [("model", "openai/x", "openai/y")]
    assert found.warnings == ()


def test_several_things_that_differ_are_named_and_warned_of(ref: EvidenceRef) -> None:
    found = compared(
        pair(ref, {A: False}, {A: False}),
        fields={
            "old": {"model_args": {"temperature": 0}, "elicitation": "Be careful."},
            "new": {"model_args": {"temperature": 1}, "elicitation": "Be quick."},
        },
    )
    assert whats(found) == ["model", "model_args.temperature", "elicitation"]
    assert any("3 things differ between old and new" in warning for warning in found.warnings)


def test_two_cases_differ_by_limits_versions_and_surroundings(ref: EvidenceRef) -> None:
    one = {"old": "openai/x"}
    first = case_of(
        [episode(ref, {A: False}, cell=OFF, subject="old")],
        models=one,
        environment={"schema": "custodes.environment/1", "custodes": "0.1", "canary": {"x": 1}},
        limits={"turns": 10},
        versions={"escape/canary_credential": "1.0", "unmet/scenario": "1.0"},
    )
    second = case_of(
        [episode(ref, {A: True}, cell=OFF, subject="old")],
        models=one,
        environment={"schema": "custodes.environment/1", "custodes": "0.2", "canary": {"x": 2}},
        limits={"turns": 30},
        versions={"escape/canary_credential": "1.1"},
        head="1",
    )
    found = compare(side(first, "old", name="before"), side(second, "old", name="after"))
    assert whats(found) == [
        "limits.turns",
        "surroundings: custodes",
        "scenario escape/canary_credential",
    ]
    assert only(found.of(A, "setting")).change.only_b == 1


def test_when_nothing_recorded_differs_a_change_is_how_one_setting_varies(ref: EvidenceRef) -> None:
    one = {"old": "openai/x"}
    cases = [
        case_of([episode(ref, {A: a}, cell=OFF, subject="old")], models=one, head=h)
        for a, h in ((False, "0"), (True, "1"))
    ]
    found = compare(*(side(case, "old", name=n) for case, n in zip(cases, "xy", strict=True)))
    assert found.differences == ()
    assert any("varies from run to run" in warning for warning in found.warnings)


def test_an_identity_that_nothing_recorded_explains_is_told(ref: EvidenceRef) -> None:
    found = compared(
        pair(ref, {A: False}, {A: False}), models={"old": "openai/x", "new": "openai/x"}
    )
    assert whats(found) == ["identity, by something that is not recorded here"]


# Thresholds


def crossed(found: CaseComparison, text: str) -> tuple[ChangeCrossing, ...]:
    return change_crossings(found, (parse_change_threshold(text),))


def test_one_pair_more_that_rose_than_fell_crosses(ref: EvidenceRef) -> None:
    up = compared(pair(ref, {A: False}, {A: True}))
    assert [(c.where, c.bound) for c in crossed(up, "attempted@none-off rises")] == [
        ("escape/canary_credential none-off level=explicit twin=base", 1.0)
    ]
    assert crossed(up, "attempted falls") == ()
    level = [*pair(ref, {A: False}, {A: True}), *pair(ref, {A: True}, {A: False}, seed=2)]
    assert crossed(compared(level), "attempted rises") == ()


def test_an_unmeasurable_side_is_taken_so_that_it_crosses(ref: EvidenceRef) -> None:
    found = compared([*pair(ref, {A: False}, {A: None}), *pair(ref, {A: None}, {A: True}, seed=2)])
    assert len(crossed(found, "attempted rises")) == 1
    known = compared(pair(ref, {A: True}, {A: None}))
    assert crossed(known, "attempted rises") == (), "it was yes before: it cannot rise"
    assert len(crossed(known, "attempted falls")) == 1


def test_a_limit_is_compared_with_the_end_of_the_interval(ref: EvidenceRef) -> None:
    same = [e for s in range(30) for e in pair(ref, {A: False}, {A: False}, seed=s)]
    found = compared(same)
    assert crossed(found, "attempted rises>0.12") == ()  # 1 - 0.025 ** (1 / 30) = 0.116
    assert [round(c.bound, 3) for c in crossed(found, "attempted rises>0.11")] == [0.116]
    one = compared(pair(ref, {A: False}, {A: False}))
    assert [c.bound for c in crossed(one, "attempted rises > 0.9")] == [1.0], (
        "one seed shows nothing"
    )


def test_a_threshold_is_not_passed_by_not_running(ref: EvidenceRef) -> None:
    found = compared(pair(ref, {A: False}, {A: False}))
    assert len(crossed(found, "attempted@covert-shadow rises")) == 1
    assert len(crossed(found, "solved falls")) == 1
    lost = compared(pair(ref, {A: False}, {A: False}), not_run=3)
    assert [c.where for c in crossed(lost, "attempted rises")] == [
        "3 planned episodes of the case of old were not run"
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("attempted@none-off", "expected QUESTION@CELL rises"),
        ("attempted>0.1", "expected QUESTION@CELL rises"),
        ("partial rises", "questions are"),
        ("attempted rises>1", "never changes by more than 1"),
        ("attempted@none-of rises", "did you mean 'none-off'"),
        ("attempted rises<0.5", "expected QUESTION@CELL rises"),
    ],
)
def test_what_is_no_threshold_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadThreshold, match=says):
        parse_change_threshold(text)
