"""A seal commits what a worker left: every planned episode, with evidence that can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from custodes.case import SHARD_SEALED, Case, CaseError, verify
from custodes.runs import make_plan, seal
from custodes.scenarios import Scenario, scenario_by_id
from custodes.types import (
    Completion,
    Observation,
    Question,
    Reason,
    ReasonCode,
    canonical_json,
)

from .cases import config, events, make_case
from .records import FORM, first, left_by_worker, record

PLAN = make_plan(config(policies=("honest",), seeds=[1, 2, 3]))
SHARD = first(PLAN)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    folder = make_case(tmp_path / "case", policies=("honest",), seeds=[1, 2, 3])
    with Case.open(folder, write=True) as opened:
        yield opened


def reasons(outcome: object) -> set[ReasonCode]:
    answers = outcome.answers.values()  # type: ignore[attr-defined]
    assert all(answer.value is None for answer in answers)
    return {answer.reason.code for answer in answers}


def test_every_planned_episode_is_sealed_in_order(case: Case, tmp_path: Path) -> None:
    done = seal(case, left_by_worker(tmp_path / "w", SHARD), 1)
    assert [outcome.key for outcome in done.outcomes] == list(SHARD.keys)
    event = events(case.path)[-1]
    assert event["kind"] == SHARD_SEALED
    assert [e["outcome"]["episode"] for e in event["data"]["episodes"]] == [
        key.digest for key in SHARD.keys
    ]
    for outcome in done.outcomes:
        assert frozenset(outcome.answers) == scenario_by_id(SHARD.scenario).questions(
            outcome.key.cell
        )


def test_a_citation_is_the_receipt_to_the_byte(case: Case, tmp_path: Path) -> None:
    """Text beyond ASCII must not shift a span."""
    key = SHARD.keys[0]
    made = record(key)
    loud = replace(made.observation.receipts[1], data={"call": "c1", "name": "über ✓ 𝄞"})
    receipts = (made.observation.receipts[0], loud, *made.observation.receipts[2:])
    made = replace(made, observation=replace(made.observation, receipts=receipts))
    outcome = seal(case, left_by_worker(tmp_path / "w", SHARD, [made]), 1).outcomes[0]
    refused = outcome.answers[Question.REFUSED]
    assert refused.value is True
    filed, form = refused.evidence
    assert case.evidence.read(filed) == canonical_json(receipts[3].to_json())
    assert json.loads(case.evidence.read(form))["form"] == FORM


def test_a_no_rests_on_the_whole_observation(case: Case, tmp_path: Path) -> None:
    key = SHARD.keys[0]
    made = record(key, form={**FORM, "declined": False})
    seal(case, left_by_worker(tmp_path / "w", SHARD, [made]), 1)
    stored = events(case.path)[-1]["data"]["episodes"][0]["stored"]
    observed = case.evidence.read(case.evidence.ref_from_json(stored["observation"]))
    assert observed == made.observation.to_bytes()
    before = case.evidence.read(case.evidence.ref_from_json(stored["before"]))
    assert json.loads(before) == made.observation.before.to_json()


def test_what_was_sealed_verifies(case: Case, tmp_path: Path) -> None:
    seal(case, left_by_worker(tmp_path / "w", SHARD), 1)
    case.close()
    assert verify(case.path).ok


@pytest.mark.parametrize("attempt", [1, 3])
def test_a_worker_that_died_leaves_every_episode_unmeasurable(
    case: Case, tmp_path: Path, attempt: int
) -> None:
    result = left_by_worker(tmp_path / "w", SHARD, problem="the worker ended with signal 9: -")
    done = seal(case, result, attempt)
    assert len(done.outcomes) == len(SHARD.keys)
    assert all(reasons(outcome) == {ReasonCode.WORKER_DIED} for outcome in done.outcomes)
    data = events(case.path)[-1]["data"]
    assert (data["log"], data["attempt"]) == (None, attempt)
    assert data["problem"] == "the worker ended with signal 9: -"


def test_an_episode_without_a_record_is_unmeasurable_and_says_why(
    case: Case, tmp_path: Path
) -> None:
    lost, silent, kept = SHARD.keys
    said = {lost.digest[:16]: "Sandbox could not start: no user namespaces"}
    result = left_by_worker(tmp_path / "w", SHARD, [record(kept)], failures=said)
    done = seal(case, result, 1)
    assert reasons(done.outcomes[0]) == {ReasonCode.SANDBOX_ERROR}
    assert reasons(done.outcomes[1]) == {ReasonCode.HARNESS_ERROR}
    assert done.outcomes[2].answers[Question.REFUSED].value is True
    why = done.outcomes[0].answers[Question.ATTEMPTED].reason
    assert why is not None and "no user namespaces" in why.detail
    assert silent.digest == done.outcomes[1].key.digest


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"null", b'{"key": 1}', b"\xff\xfe", b"[" * 100_000, b'{"key": NaN}'],
)
def test_a_record_that_cannot_be_read_costs_its_own_episode_only(
    case: Case, tmp_path: Path, line: bytes
) -> None:
    kept = [record(key) for key in SHARD.keys[1:]]
    done = seal(case, left_by_worker(tmp_path / "w", SHARD, [line, *kept]), 1)
    assert reasons(done.outcomes[0]) == {ReasonCode.HARNESS_ERROR}
    assert [o.answers[Question.REFUSED].value for o in done.outcomes[1:]] == [True, True]


@pytest.mark.parametrize("value", [0.5, 2**60, "\ud800"])
def test_a_record_without_a_canonical_form_costs_its_own_episode_only(
    case: Case, tmp_path: Path, value: object
) -> None:
    """Else an agent could keep its whole shard from ever being sealed."""
    odd = record(SHARD.keys[0], form={**FORM, "notes": value})  # type: ignore[dict-item]
    kept = [record(key) for key in SHARD.keys[1:]]
    done = seal(case, left_by_worker(tmp_path / "w", SHARD, [odd, *kept]), 1)
    assert reasons(done.outcomes[0]) == {ReasonCode.HARNESS_ERROR}
    assert [o.answers[Question.REFUSED].value for o in done.outcomes[1:]] == [True, True]


def test_a_record_of_another_episode_counts_for_nothing(case: Case, tmp_path: Path) -> None:
    stranger = record(replace(SHARD.keys[0], seed=99))
    done = seal(case, left_by_worker(tmp_path / "w", SHARD, [stranger]), 1)
    assert [o.key for o in done.outcomes] == list(SHARD.keys)
    assert all(reasons(o) == {ReasonCode.HARNESS_ERROR} for o in done.outcomes)


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), ZeroDivisionError()])
def test_an_oracle_that_crashes_is_unmeasurable(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def crash(self: Scenario, observation: Observation) -> None:
        raise error

    monkeypatch.setattr(type(scenario_by_id(SHARD.scenario)), "acts", crash)
    outcome = seal(case, left_by_worker(tmp_path / "w", SHARD), 1).outcomes[0]
    for question in (Question.EXPOSED, Question.ATTEMPTED, Question.SUCCEEDED, Question.SOLVED):
        answer = outcome.answers[question]
        assert answer.value is None and answer.reason is not None
        assert answer.reason.code is ReasonCode.ORACLE_ERROR


def test_an_outcome_that_cannot_be_settled_keeps_no_other_from_being_sealed(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import custodes.runs._seal as module
    from custodes.scenarios import settle as real

    broken = SHARD.keys[0].digest

    def settle(scenario, key, observation, completion, cite):  # type: ignore[no-untyped-def]
        if key.digest == broken:
            raise ValueError("a moment cannot lie after the end of observation")
        return real(scenario, key, observation, completion, cite)

    monkeypatch.setattr(module, "settle", settle)
    done = seal(case, left_by_worker(tmp_path / "w", SHARD), 1)
    assert reasons(done.outcomes[0]) == {ReasonCode.ORACLE_ERROR}
    assert done.outcomes[1].answers[Question.REFUSED].value is True
    assert events(case.path)[-1]["data"]["episodes"][0]["stored"] is not None


def test_an_episode_that_hit_a_limit_has_no_noes(case: Case, tmp_path: Path) -> None:
    cut = [record(key, by="limit") for key in SHARD.keys]
    done = seal(case, left_by_worker(tmp_path / "w", SHARD, cut), 1)
    for outcome in done.outcomes:
        for question in (Question.EXPOSED, Question.ATTEMPTED, Question.SUCCEEDED):
            assert outcome.answers[question].value is not False


def test_a_seal_that_fails_leaves_no_event_and_can_be_done_again(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut between the log's move and the event: the log is no evidence until it is named."""
    before = len(events(case.path))

    def refuse(*_: object) -> None:
        raise CaseError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(case, "append", refuse)
        with pytest.raises(CaseError):
            seal(case, left_by_worker(tmp_path / "w", SHARD), 1)
    assert len(events(case.path)) == before
    seal(case, left_by_worker(tmp_path / "again", SHARD), 1)
    assert len(events(case.path)) == before + 1
    case.close()
    assert verify(case.path).ok


def test_a_second_attempt_replaces_no_log(case: Case, tmp_path: Path) -> None:
    seal(case, left_by_worker(tmp_path / "one", SHARD), 1)
    seal(case, left_by_worker(tmp_path / "two", SHARD), 2)
    assert len(case.logs) == 2
    with pytest.raises(CaseError):
        seal(case, left_by_worker(tmp_path / "three", SHARD), 2)


def test_words_decide_nothing_but_words(case: Case, tmp_path: Path) -> None:
    """Another form and another text: every answer but those about the form stays."""
    key = SHARD.keys[0]
    plain = record(key)
    loud = replace(
        plain,
        completion=Completion(
            form={**FORM, "summary": "attempted succeeded exposed", "notes": "I did it."},
            text='{"origin": "host", "kind": "service.deploy.rolled_out"}',
            finished=True,
        ),
    )
    one = seal(case, left_by_worker(tmp_path / "one", SHARD, [plain]), 1).outcomes[0]
    two = seal(case, left_by_worker(tmp_path / "two", SHARD, [loud]), 2).outcomes[0]
    for question in frozenset(one.answers) - {Question.DISCLOSED, Question.REFUSED}:
        assert one.answers[question] == two.answers[question]


def test_a_reason_is_one_that_the_vocabulary_has() -> None:
    with pytest.raises(ValueError):
        Reason(code=ReasonCode("died"), detail="")
