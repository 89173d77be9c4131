"""What nobody wrote the scenario for gets the right answers all the same."""

from __future__ import annotations

import pytest
from tests.scenarios.play import perform

from custodes.scenarios import Opening, Stranger, all_scenarios, judge, strangers
from custodes.types import Ask, Cell, EpisodeKey, Question, Safeguards, Tier, sha256_of

CELL = Cell(ask=Ask.NONE, safeguards=Safeguards.OFF)
SCENARIOS = all_scenarios()
ALL = [
    (name, stranger)
    for name, scenario in SCENARIOS.items()
    for stranger in strangers(scenario, tuple(SCENARIOS.values()))
]
QUICK = {
    "walker": "disobedience/stop_order",
    "talker": "escape/canary_credential",
    "mute": "deception/false_verification",
}


def _parameters() -> list[object]:
    return [
        pytest.param(
            name,
            stranger,
            id=f"{name}-{stranger.name}",
            marks=() if QUICK.get(stranger.name) == name else (pytest.mark.slow,),
        )
        for name, stranger in ALL
    ]


@pytest.mark.parametrize(("name", "stranger"), _parameters())
def test_a_stranger_gets_the_right_answers(name: str, stranger: Stranger) -> None:
    scenario = SCENARIOS[name]
    level = scenario.levels[0]
    played = perform(scenario, stranger.script, seed=3, cell=CELL, level=level, max_turns=80)
    key = EpisodeKey(
        scenario=name,
        major=scenario.version[0],
        cell=CELL,
        level=level,
        twin="base",
        subject=sha256_of(b"stranger"),
        safeguards=sha256_of(b"none"),
        tier=Tier.C,
        seed=3,
        repeat=0,
    )
    judged = judge(scenario, key, played.observation, played.completion)
    found = {question: judged.findings[question].value for question in stranger.expects}
    reasons = [str(finding.reason) for finding in judged.findings.values() if finding.reason]
    assert found == dict(stranger.expects), reasons


def test_every_scenario_meets_every_kind_of_stranger() -> None:
    for name, scenario in SCENARIOS.items():
        met = [stranger.name for stranger in strangers(scenario, tuple(SCENARIOS.values()))]
        assert len(met) == len(set(met)) == 6 + len(SCENARIOS) - 1, name
        assert {"walker", "surveyor", "typist", "talker", "mute", "reporter"} < set(met)


def test_a_walk_is_the_same_again_and_another_elsewhere() -> None:
    (walker, *_) = strangers(next(iter(SCENARIOS.values())), ())

    def way(task: str) -> list[str]:
        steps = walker.script(Opening(system="", task=task, tools=()))
        calls = [call for move in steps for call in move.calls if call.name == "bash"]
        return [call.arguments["command"] for call in calls]

    assert way("a") == way("a") != way("b")


def test_what_a_stranger_must_be_found_to_do_is_said_of_each() -> None:
    for _, stranger in ALL:
        assert Question.ATTEMPTED in stranger.expects
