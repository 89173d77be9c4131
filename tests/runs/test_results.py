"""What is read back from a ledger: each planned episode once, by its last try, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custodes.case import Case, EvidenceMissing
from custodes.runs import (
    Plan,
    Results,
    fix_plan,
    make_plan,
    missing_shards,
    outcome_from_json,
    read_results,
    seal,
    tried_episodes,
)
from custodes.runs._measure import record_measurements
from custodes.types import JsonObject, Question

from .cases import config, events, make_case
from .records import first, left_by_worker, record, seal_all

SUBJECTS: list[dict[str, Any]] = [
    {"id": "agent", "role": "subject", "model": "openai/one"},
    {"id": "honest", "role": "control", "model": "reference/honest"},
]


def plan(**arguments: Any) -> Plan:
    return make_plan(config(**{"subjects": SUBJECTS, "seeds": [1, 2], **arguments}))


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    folder = make_case(tmp_path / "case", subjects=SUBJECTS, seeds=[1, 2])
    with Case.open(folder, write=True) as opened:
        yield opened


def digests(results: Results) -> list[str]:
    return [episode.key.digest for episode in results.episodes]


def test_an_empty_case_has_nothing_and_claims_nothing(case: Case) -> None:
    found = read_results(case)
    assert (found.episodes, found.planned, found.plan, found.subjects) == ((), 0, None, ())
    assert found.instrument_checks() == ()


def test_what_is_planned_and_not_run_is_missing_and_unmeasurable(
    case: Case, tmp_path: Path
) -> None:
    whole = plan()
    fix_plan(case, whole)
    assert read_results(case).not_run == whole.episodes == 4
    seal_all(case, whole.shards[:1], tmp_path)
    found = read_results(case)
    assert (len(found.episodes), found.not_run, found.planned) == (2, 2, 4)
    assert found.has_unmeasurable


def test_everything_that_was_sealed_comes_back_as_it_was(case: Case, tmp_path: Path) -> None:
    whole = plan()
    fix_plan(case, whole)
    done = seal(case, left_by_worker(tmp_path / "w", first(whole)), 1)
    found = read_results(case)
    assert [episode.outcome for episode in found.episodes] == list(done.outcomes)
    for episode, key in zip(found.episodes, first(whole).keys, strict=True):
        assert (episode.key, episode.subject, episode.sample) == (key, "agent", key.digest[:16])
        assert episode.log is not None and (case.path / episode.log).is_file()
        assert episode.observation is not None
        assert case.evidence.read(episode.observation) == record(key).observation.to_bytes()


def test_an_outcome_whose_evidence_is_gone_is_not_read(case: Case, tmp_path: Path) -> None:
    fix_plan(case, plan())
    seal_all(case, plan().shards[:1], tmp_path)
    stored = events(case.path)[-1]["data"]["episodes"][0]
    blob = stored["outcome"]["answers"]["refused"]["evidence"][0]["blob"]
    (case.path / "evidence" / blob[:2] / blob[2:]).unlink()
    with Case.open(case.path, write=False) as reader:
        with pytest.raises(EvidenceMissing):
            outcome_from_json(reader.evidence, stored["outcome"])
        with pytest.raises(EvidenceMissing):
            read_results(reader)


# Plans that change


def test_a_plan_that_grows_keeps_what_was_measured(case: Case, tmp_path: Path) -> None:
    """A plan that is changed by a seed must not draw the other seeds again."""
    small, large = plan(seeds=[1, 2]), plan(seeds=[1, 2, 3])
    fix_plan(case, small)
    seal_all(case, small.shards, tmp_path / "one")
    before = digests(read_results(case))
    fix_plan(case, large)
    assert digests(read_results(case)) == before
    left = missing_shards(large, tried_episodes(case), retry_failed=False)
    assert sorted({key.seed for shard in left for key in shard.keys}) == [3]
    seal_all(case, left, tmp_path / "two")
    found = read_results(case)
    assert set(digests(found)) == {k.digest for shard in large.shards for k in shard.keys}
    assert (len(found.episodes), found.not_run, found.superseded) == (6, 0, 0)
    assert missing_shards(large, tried_episodes(case), retry_failed=True) == ()


def test_what_only_an_older_plan_asked_for_is_counted_apart(case: Case, tmp_path: Path) -> None:
    fix_plan(case, plan(seeds=[1, 2]))
    seal_all(case, plan(seeds=[1, 2]).shards, tmp_path)
    fix_plan(case, plan(seeds=[2]))
    found = read_results(case)
    assert {episode.key.seed for episode in found.episodes} == {2}
    assert (found.planned, found.not_run, found.superseded) == (2, 0, 2)
    assert found.plans == 2


def test_another_model_under_the_same_name_inherits_nothing(case: Case, tmp_path: Path) -> None:
    fix_plan(case, plan())
    seal_all(case, plan().shards, tmp_path)
    other = make_plan(config(subjects=SUBJECTS, seeds=[1, 2]), model="openai/two")
    fix_plan(case, other)
    found = read_results(case)
    assert {episode.subject for episode in found.episodes} == {"honest"}
    assert found.not_run == 2


def test_a_subject_that_is_renamed_keeps_its_episodes(case: Case, tmp_path: Path) -> None:
    """Else its thresholds would have nothing to cross, and its checks nothing to fail."""
    fix_plan(case, plan())
    seal_all(case, plan().shards, tmp_path)
    renamed = [{**SUBJECTS[0], "id": "nice"}, {**SUBJECTS[1], "id": "good"}]
    fix_plan(case, plan(subjects=renamed))
    found = read_results(case)
    assert {episode.subject for episode in found.episodes} == {"nice", "good"}
    assert len(found.of(subject="nice")) == 2
    assert {check.episode.subject for check in found.instrument_checks()} == {"good"}


def test_the_same_plan_is_recorded_once(case: Case) -> None:
    fix_plan(case, plan())
    before = len(events(case.path))
    fix_plan(case, plan())
    assert len(events(case.path)) == before
    fix_plan(case, plan(seeds=[1]))
    assert len(events(case.path)) == before + 1


def test_measurements_of_an_older_plan_are_not_shown_as_this_ones(
    case: Case, tmp_path: Path
) -> None:
    fix_plan(case, plan())
    seal_all(case, plan().shards, tmp_path)
    assert record_measurements(case, read_results(case)) > 0
    assert record_measurements(case, read_results(case)) == 0
    assert any(" of agent in " in name for name in read_results(case).measurements)
    fix_plan(case, make_plan(config(subjects=SUBJECTS, seeds=[1, 2]), model="openai/two"))
    assert read_results(case).measurements == {}
    record_measurements(case, read_results(case))
    assert not any(" of agent in " in name for name in read_results(case).measurements)


# Tries


def test_the_last_try_counts_and_the_first_stays(case: Case, tmp_path: Path) -> None:
    whole = plan()
    fix_plan(case, whole)
    shard = first(whole)
    seal(case, left_by_worker(tmp_path / "one", shard, problem="signal 9"), 1)
    died = read_results(case)
    assert all(episode.log is None for episode in died.episodes)
    assert len(died.unmeasurable_episodes()) == 2
    seal(case, left_by_worker(tmp_path / "two", shard), 2)
    found = read_results(case)
    assert digests(found) == digests(died)
    assert all(episode.log is not None for episode in found.episodes)
    assert found.attempts == {shard.id: 2}
    assert found.superseded == 2
    assert sum(event["kind"] == "shard.sealed" for event in events(case.path)) == 2


def test_a_try_that_died_after_one_that_ran_is_not_passed_over(case: Case, tmp_path: Path) -> None:
    """The last try, not the best one: nobody picks."""
    fix_plan(case, plan())
    seal(case, left_by_worker(tmp_path / "one", first(plan())), 1)
    seal(case, left_by_worker(tmp_path / "two", first(plan()), problem="signal 9"), 2)
    assert all(episode.log is None for episode in read_results(case).episodes)


# What the exit code goes by


def mechanisms(case: Case, kind: str, items: str, **found: Any) -> bool:
    """Whether a case with nothing but this finding has something unmeasurable."""
    document: JsonObject = {"schema": "x/1", items: [found]}
    case.append(kind, document)
    return read_results(case).has_unmeasurable


@pytest.mark.parametrize(("result", "unknown"), [("contained", False), ("untested", True)])
def test_a_probe_that_was_not_tested_is_unknown(case: Case, result: str, unknown: bool) -> None:
    assert mechanisms(case, "probe.recorded", "probes", result=result) is unknown


@pytest.mark.parametrize(
    ("status", "unverified", "unknown"),
    [("measured", 0, False), ("measured", 1, True), ("untested", 0, True), ("control", 0, False)],
)
def test_a_drill_that_showed_nothing_is_unknown(
    case: Case, status: str, unverified: int, unknown: bool
) -> None:
    assert (
        mechanisms(case, "drill.recorded", "cells", status=status, unverified=unverified) is unknown
    )


def test_a_check_of_an_instrument_has_three_results(case: Case, tmp_path: Path) -> None:
    """The control's records are made up: it did not solve its task, and did decline."""
    fix_plan(case, plan())
    control = plan().shards[1]
    lost, kept = control.keys
    seal(case, left_by_worker(tmp_path / "w", control, [record(kept)]), 1)
    checks = read_results(case).instrument_checks()
    assert {check.passed for check in checks if check.episode.key == lost} == {None}
    solved = [c for c in checks if c.episode.key == kept and c.question is Question.SOLVED]
    assert [check.passed for check in solved] != [True]
