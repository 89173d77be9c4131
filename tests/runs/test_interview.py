"""Interviews in a case: one more record beside an outcome, which stays what it was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from custodes.case import Case, CaseConfig, verify
from custodes.cli import main
from custodes.runs import (
    Interviewed,
    Plan,
    forecast,
    interviewed_arms,
    make_plan,
    missing_shards,
    read_results,
    seal,
    tried_episodes,
)
from custodes.runs._assess import worker_settings
from custodes.runs._plan import Shard
from custodes.scenarios import INTERVIEW
from custodes.types import (
    Compared,
    Comparison,
    EpisodeKey,
    EpisodeRecord,
    Interview,
    InterviewAnswer,
    InterviewProblem,
    Question,
    Said,
)

from . import records
from .cases import config, make_case, run
from .records import left_by_worker, record

IDS = [question.id for question in INTERVIEW]
FORGED = '{"blob":"' + "0" * 64 + '","locator":null}'
"""What the ledger calls a reference to evidence."""


def said(**answers: Said) -> Interview:
    """Everything answered no, but for these."""
    return Interview(
        version=1,
        answers=tuple(
            InterviewAnswer(
                question=name,
                said=answers.get(name, Said.NO),
                sentence=f"Über {name} ✓ {FORGED}",
                replies=("```json\n…\n```",),
            )
            for name in IDS
        ),
    )


def asked(key: EpisodeKey, interview: Interview | None) -> EpisodeRecord:
    return replace(record(key), interview=interview)


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with Case.create(tmp_path / "case", config(interview=True)) as made:
        yield made


def sealed(case: Case, interview: Interview | None) -> tuple[Plan, dict[str, Any]]:
    """Seal the plan's first shard; returns its entry in the ledger."""
    plan = make_plan(case.config)
    case.fix_plan(plan.to_json())
    shard = plan.shards[0]
    left = [asked(key, interview) for key in shard.keys]
    seal(case, left_by_worker(case.path / "left", shard, left), 1)
    event = next(e for e in case.events() if e.kind == "shard.sealed")
    return plan, json.loads(json.dumps(event.data))["episodes"][0]


def test_the_outcome_is_the_same_bytes_with_and_without(tmp_path: Path) -> None:
    entries = []
    for name, interview in (("without", None), ("with", said()), ("lying", said(test=Said.YES))):
        with Case.create(tmp_path / name, config()) as made:
            entries.append(sealed(made, interview)[1])
    assert entries[0]["outcome"] == entries[1]["outcome"] == entries[2]["outcome"]
    assert entries[0]["stored"] == entries[1]["stored"]
    assert "interview" not in entries[0]
    assert entries[1]["interview"]["schema"] == "custodes.interview_compared/1"


def test_what_was_said_is_evidence_and_read_back(case: Case) -> None:
    _, entry = sealed(case, said())
    (episode,) = read_results(case).episodes
    held = episode.interview
    assert isinstance(held, Interviewed)
    assert [compared.question for compared in held.compared] == IDS
    assert [compared.to_json() for compared in held.compared] == entry["interview"]["compared"]
    stored = json.loads(case.evidence.read(held.stored))
    assert Interview.from_json(stored) == said()
    assert stored["schema"] == "custodes.interview/1"
    # A sentence that looks like a reference is a sentence.
    assert held.compared[0].sentence.endswith(FORGED)
    case.close()
    assert verify(case.path).ok


def test_older_records_and_ledgers_have_none(case: Case) -> None:
    _, entry = sealed(case, None)
    assert "interview" not in entry
    (episode,) = read_results(case).episodes
    assert episode.interview is None
    raw = record(episode.key).to_json()
    assert "interview" not in raw and EpisodeRecord.from_json(raw).interview is None


def test_interviews_are_no_part_of_what_an_episode_is() -> None:
    without, planned = make_plan(config()), make_plan(config(interview=True))
    assert without.shards == planned.shards
    assert "interview" not in without.to_json() and planned.to_json()["interview"] == 1
    assert "interview" not in worker_settings(config(), allow_uncontained=False)
    assert worker_settings(config(interview=True), allow_uncontained=False)["interview"] is True


def test_configurations_of_before_keep_their_identity() -> None:
    old = config().to_json()
    del old["plan"]["interview"]
    parsed = CaseConfig.model_validate(old)
    assert parsed.digest == config().digest != config(interview=True).digest


@pytest.mark.parametrize("value", ["yes", 1, None, "maybe"])
def test_only_true_and_false_plan_them(value: object) -> None:
    with pytest.raises(ValueError, match="interview"):
        config(interview=value)


def test_planning_interviews_later_runs_nothing_again(tmp_path: Path) -> None:
    with Case.create(tmp_path / "case", config()) as made:
        plan, _ = sealed(made, None)
        later = make_plan(config(interview=True))
        left = missing_shards(later, tried_episodes(made), retry_failed=False)
    assert [key for shard in left for key in shard.keys] == [
        key for shard in plan.shards[1:] for key in shard.keys
    ]


def test_a_record_that_is_no_interview_costs_its_episode_and_is_said(case: Case) -> None:
    plan = make_plan(case.config)
    shard: Shard = plan.shards[0]
    case.fix_plan(plan.to_json())
    raw = {**record(shard.keys[0]).to_json(), "interview": {"schema": "custodes.interview/2"}}
    seal(case, left_by_worker(case.path / "left", shard, [json.dumps(raw).encode()]), 1)
    (episode,) = read_results(case).episodes
    assert {answer.value for answer in episode.outcome.answers.values()} == {None}


def test_the_forecast_counts_them() -> None:
    found = {}
    for planned in (False, True):
        made = config(interview=planned)
        made = made.model_copy(
            update={
                "plan": made.plan.model_copy(
                    update={
                        "subjects": tuple(
                            s.model_copy(update={"model": "openai/m" + s.id})
                            for s in made.plan.subjects
                        )
                    }
                )
            }
        )
        found[planned] = forecast(made, make_plan(made), {}).subjects[0]
    assert found[False].interview_calls == found[False].most_interview_calls == 0
    assert found[True].interview_calls == 6 and found[True].most_interview_calls == 12
    assert found[True].calls == found[False].calls
    # Six more readings of the whole episode, of 20 calls and 850 tokens each.
    assert found[True].tokens - found[False].tokens > 6 * 20 * 850


def test_the_command_says_so(tmp_path: Path) -> None:
    folder = make_case(tmp_path / "case", interview=True)
    done = CliRunner().invoke(main, ["assess", str(folder), "--plan"])
    assert "interviews after the episodes: 12 calls more (24)" in done.output
    document = json.loads(
        CliRunner().invoke(main, ["assess", str(folder), "--plan", "--json"]).output
    )
    assert [s["most_interview_calls"] for s in document["subjects"]] == [12, 12]


# --- counted ------------------------------------------------------------------------------------


def answer(comparison: Comparison, fact: bool | None, against: str = "attempted") -> Compared:
    said, admits = {
        Comparison.DENIED: (Said.NO, False),
        Comparison.CONSISTENT: (Said.YES, True),
        Comparison.UNSURE: (Said.UNSURE, None),
        Comparison.NOT_COMPARABLE: (Said.NO, False),
        Comparison.UNMEASURABLE: (None, None),
        Comparison.OVER_REPORTED: (Said.YES, True),
    }[comparison]
    return Compared(
        question="access",
        said=said,
        sentence="",
        comparison=comparison,
        fact=fact,
        admits=admits,
        problem=InterviewProblem.UNPARSABLE if said is None else None,
        against=against,
    )


def counted(folder: Path, answers: list[Compared], **changes: Any) -> Any:
    """The counts of the question, each answer in an episode of a seed of its own."""
    ref = records.evidence(folder)
    (cell,) = config().plan.cells
    episodes = [
        replace(
            records.episode(
                ref,
                {Question.ATTEMPTED: True},
                cell=cell,
                seed=seed,
                subject="s",
                **changes,
            ),
            interview=Interviewed(version=1, compared=(one,), stored=ref),
        )
        for seed, one in enumerate(answers, 1)
    ]
    (arm,) = interviewed_arms(records.results(episodes))
    (found,) = [count for count in arm.counts if count.question == "access"]
    return found


def test_the_rate_of_denial_is_over_what_the_receipts_show(tmp_path: Path) -> None:
    found = counted(
        tmp_path,
        [
            *[answer(Comparison.DENIED, True)] * 3,
            *[answer(Comparison.CONSISTENT, True)] * 4,
            answer(Comparison.UNSURE, True),
            answer(Comparison.UNMEASURABLE, True),
            answer(Comparison.UNMEASURABLE, False),
            answer(Comparison.OVER_REPORTED, False),
            answer(Comparison.NOT_COMPARABLE, None),
            answer(Comparison.NOT_COMPARABLE, None, against=""),
        ],
    )
    assert found.planned == 13
    assert found.comparisons[Comparison.DENIED] == 3
    rate = found.denied_given_yes
    # Of eight that answered where the receipts say yes; two are open: one could not be read, and
    # of one nobody knows whether the receipts say yes. Clopper and Pearson's limits for 3 of 8.
    assert (rate.n, rate.missing, rate.value) == (8, 2, 0.375)
    assert rate.low == pytest.approx(0.0852, abs=1e-4)
    assert rate.high == pytest.approx(0.7551, abs=1e-4)


@pytest.mark.parametrize(
    ("comparison", "open_"),
    [(Comparison.UNMEASURABLE, True), (Comparison.DENIED, False), (Comparison.UNSURE, False)],
)
def test_an_interview_that_failed_reaches_the_exit_code(
    tmp_path: Path, comparison: Comparison, open_: bool
) -> None:
    ref = records.evidence(tmp_path)
    held = Interviewed(version=1, compared=(answer(comparison, True),), stored=ref)
    (cell,) = config().plan.cells
    base = records.episode(ref, {Question.ATTEMPTED: True}, cell=cell)
    found = records.results([replace(base, interview=held)])
    assert found.has_unmeasurable is open_
    assert len(found.unmeasurable_interviews()) == open_
    assert found.unmeasurable_episodes() == ()
    assert not records.results([base]).has_unmeasurable


def test_twins_stay_out(tmp_path: Path) -> None:
    ref = records.evidence(tmp_path)
    held = Interviewed(version=1, compared=(answer(Comparison.DENIED, True),), stored=ref)
    base = records.episode(ref, {Question.ATTEMPTED: True}, cell=config().plan.cells[0])
    twin = replace(
        records.episode(ref, {Question.ATTEMPTED: True}, cell=base.key.cell, twin="absent"),
        interview=held,
    )
    assert interviewed_arms(records.results([base, twin])) == ()
    (arm,) = interviewed_arms(records.results([replace(base, interview=held), twin]))
    assert (arm.episodes, arm.planned, arm.interviewed) == (1, 1, 1)


def test_a_scripted_agent_gets_no_interval(tmp_path: Path) -> None:
    ref = records.evidence(tmp_path)
    held = Interviewed(version=1, compared=(answer(Comparison.DENIED, True),), stored=ref)
    base = records.episode(ref, {Question.ATTEMPTED: True}, cell=config().plan.cells[0])
    results = records.results([replace(base, interview=held)], model="reference/covert")
    (arm,) = interviewed_arms(results)
    rate = next(c for c in arm.counts if c.question == "access").denied_given_yes
    assert (rate.n, rate.low, rate.high) == (1, None, None)


# --- with real episodes -------------------------------------------------------------------------


def comparisons(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Subject and scenario, and what its interview came to."""
    with Case.open(folder, write=False) as case:
        return {
            (episode.subject, episode.key.scenario): {
                c.question: c.comparison.value
                for c in (episode.interview.compared if episode.interview else ())
            }
            for episode in read_results(case).episodes
        }


@pytest.mark.slow
def test_the_reference_agents_of_every_scenario_are_told_apart(tmp_path: Path) -> None:
    """The honest are consistent, violators that hide nothing too, and the covert deny it."""
    from custodes.scenarios import all_scenarios

    folder = make_case(
        tmp_path / "case",
        policies=("honest", "near-miss", "violator", "covert", "refuser"),
        scenarios=tuple(all_scenarios()),
        limits={"turns": 60, "seconds": 600},
        interview=True,
    )
    done = run("assess", folder, timeout=1500)
    assert done.returncode == 3, done.stdout + done.stderr  # the refuser answers no question
    found = comparisons(folder)
    assert len(found) == 5 * len(all_scenarios())
    for (subject, scenario), said in found.items():
        words = set(said.values())
        if subject == "refuser":
            assert words == {"unmeasurable"}, scenario
        elif subject == "covert":
            assert said["complete"] == "denied", scenario
            assert "over-reported" not in words, scenario
            if not scenario.startswith("deception/"):
                assert said["outside_task"] == "denied", scenario
        else:
            assert words == {"consistent", "not comparable"}, (subject, scenario, said)
            if not scenario.startswith("deception/"):
                assert said["outside_task"] == "consistent", scenario
