"""A plan says what will be run, all of it, and nothing in it can pass for covered without."""

from __future__ import annotations

from typing import Any

import pytest

from custodes.case import CaseConfig, quickstart_config
from custodes.runs import LARGEST_SHARD, Plan, PlanError, make_plan, missing_shards
from custodes.runs import Tried as TriedEpisode
from custodes.types import EpisodeKey, Safeguards

from .cases import config

MODEL: list[dict[str, Any]] = [
    {"id": "agent", "role": "subject", "model": "openai/one"},
    {"id": "honest", "role": "control", "model": "reference/honest"},
]


def keys(plan: Plan) -> list[EpisodeKey]:
    return [key for shard in plan.shards for key in shard.keys]


def planned(**arguments: Any) -> list[EpisodeKey]:
    return keys(make_plan(config(**arguments)))


def test_every_combination_is_planned_once() -> None:
    found = planned(
        policies=("honest", "violator"),
        cells=("none-off", "covert-shadow"),
        seeds=[1, 2, 3],
        repeats=2,
        levels=["none", "explicit"],
    )
    assert len(found) == 2 * 2 * 3 * 2 * 2
    assert len({key.digest for key in found}) == len(found)


def test_a_plan_is_the_same_each_time() -> None:
    one, two = make_plan(quickstart_config()), make_plan(quickstart_config())
    assert one.to_json() == two.to_json()
    assert [shard.id for shard in one.shards] == [shard.id for shard in two.shards]
    assert one.episodes == len(keys(one)) == len({key.digest for key in keys(one)})


def test_shards_are_of_one_subject_and_scenario_and_not_too_long() -> None:
    plan = make_plan(config(seeds=list(range(1, 100))))
    for shard in plan.shards:
        assert 0 < len(shard.keys) <= LARGEST_SHARD
        assert {key.scenario for key in shard.keys} == {shard.scenario}
        assert {key.subject for key in shard.keys} == {shard.subject.digest}
    assert len({shard.name for shard in plan.shards}) == len(plan.shards)


def test_safeguards_are_part_of_an_episode_where_there_are_any() -> None:
    found = planned(cells=("none-off", "none-shadow", "covert-enforced"))
    off = {k.safeguards for k in found if k.cell.safeguards is Safeguards.OFF}
    on = {k.safeguards for k in found if k.cell.safeguards is not Safeguards.OFF}
    assert len(off) == len(on) == 1 and off != on


@pytest.mark.parametrize(
    "change",
    [
        {"model": "openai/two"},
        {"model_args": {"temperature": 0.5}},
        {"elicitation": "Think first."},
    ],
)
def test_what_makes_a_subject_another_makes_its_episodes_others(change: dict[str, Any]) -> None:
    before = planned(subjects=MODEL)
    after = planned(subjects=[{**MODEL[0], **change}, MODEL[1]])
    assert {k.digest for k in before} & {k.digest for k in after} == {
        k.digest for k in before[len(before) // 2 :]
    }


def test_a_name_or_a_description_is_no_identity() -> None:
    renamed = [{**MODEL[0], "id": "other", "role": "control", "description": "Hm."}, MODEL[1]]
    assert [k.digest for k in planned(subjects=MODEL)] == [
        k.digest for k in planned(subjects=renamed)
    ]


def test_an_episode_with_other_limits_is_another() -> None:
    """One that was cut off at 5 turns says nothing about 50."""
    short = {k.digest for k in planned(limits={"turns": 5})}
    assert short.isdisjoint(k.digest for k in planned(limits={"turns": 50}))


def test_a_model_on_the_command_line_replaces_subjects_and_not_controls() -> None:
    case = config(subjects=MODEL)
    plan = make_plan(case, model="vllm/mine", base_url="http://127.0.0.1:8000/v1")
    by_id = {subject.id: subject for subject in plan.subjects}
    assert (by_id["agent"].model, by_id["agent"].base_url) == (
        "vllm/mine",
        "http://127.0.0.1:8000/v1",
    )
    assert (by_id["honest"].model, by_id["honest"].base_url) == ("reference/honest", None)
    elsewhere = make_plan(case, model="vllm/mine", base_url="http://127.0.0.1:9000/v1")
    assert by_id["agent"].digest != elsewhere.subjects[0].digest
    assert by_id["honest"].digest == make_plan(case).subjects[1].digest


# Nothing vanishes


def refused(words: str, case: CaseConfig, **arguments: Any) -> None:
    with pytest.raises(PlanError, match=words) as error:
        make_plan(case, **arguments)
    assert "\n" not in str(error.value)


def test_two_subjects_that_are_the_same_are_refused() -> None:
    """Their episodes would be one: one subject would vanish from every count."""
    twice = [MODEL[0], {**MODEL[0], "id": "again"}]
    refused("agent and again are the same", config(subjects=twice))


def test_a_model_that_would_make_two_subjects_one_is_refused() -> None:
    both = [MODEL[0], {"id": "other", "role": "subject", "model": "openai/two"}]
    assert make_plan(config(subjects=both)).episodes == 2
    refused("agent and other would both be openai/z", config(subjects=both), model="openai/z")


def test_a_twin_that_no_planned_cell_can_meet_is_refused() -> None:
    refused(
        "twin absent would have no episode",
        config(cells=("covert-shadow",), twins=("base", "absent")),
    )
    refused("twin 'nowhere'", config(twins=("base", "nowhere")))


def test_a_cell_that_no_planned_twin_can_meet_is_refused() -> None:
    refused(
        "cell covert-shadow would have no episode",
        config(cells=("none-off", "covert-shadow"), twins=("absent",)),
    )


def test_an_empty_plan_is_refused() -> None:
    refused("no episode", config(cells=("covert-shadow",), twins=("absent",)))


def test_a_twin_always_has_its_base_in_the_same_cell() -> None:
    found = planned(
        cells=("none-off", "none-shadow", "none-off-watched", "open-off"),
        levels=["none", "explicit"],
        twins=("base", "absent", "routine"),
    )
    settings: dict[object, set[str]] = {(k.subject, k.cell, k.level, k.seed): set() for k in found}
    for k in found:
        settings[(k.subject, k.cell, k.level, k.seed)].add(k.twin)
    assert all("base" in twins for twins in settings.values())
    assert any("absent" in twins for twins in settings.values())


@pytest.mark.parametrize("policy", ["honnest", "route:nowhere", "route:", "unforeseen:x"])
def test_a_policy_that_does_not_exist_is_refused(policy: str) -> None:
    subjects = [{"id": "x", "role": "control", "model": f"reference/{policy}"}]
    refused("subject x: no ", config(subjects=subjects))


# What is left to run


def sealed(plan: Plan, *, died: bool = False) -> dict[str, TriedEpisode]:
    return {key.digest: TriedEpisode(times=1, died=died) for key in keys(plan)}


def test_nothing_is_left_of_a_plan_that_was_run() -> None:
    plan = make_plan(config(seeds=[1, 2]))
    assert missing_shards(plan, {}, retry_failed=False) == plan.shards
    assert missing_shards(plan, sealed(plan), retry_failed=False) == ()
    assert missing_shards(plan, sealed(plan), retry_failed=True) == ()


def test_a_plan_that_grows_runs_what_is_new_and_draws_nothing_again() -> None:
    before = make_plan(config(seeds=[1, 2]))
    after = make_plan(config(seeds=[1, 2, 3], cells=("none-off", "open-off")))
    left = missing_shards(after, sealed(before), retry_failed=True)
    new = {key.digest for shard in left for key in shard.keys}
    assert new == {k.digest for k in keys(after)} - {k.digest for k in keys(before)}


def test_what_died_is_run_again_on_request_alone() -> None:
    plan = make_plan(config(seeds=[1, 2]))
    assert missing_shards(plan, sealed(plan, died=True), retry_failed=False) == ()
    assert missing_shards(plan, sealed(plan, died=True), retry_failed=True) == plan.shards
