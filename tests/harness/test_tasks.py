"""Scenarios as tasks of Inspect: found by name, refused in one line, scored without pretence."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval
from inspect_ai._util.registry import registry_lookup
from inspect_ai.log import read_eval_log

from custodes.harness._tasks import scenario_task, seeds_of
from custodes.scenarios import all_scenarios, scenario_by_id

TOKEN = scenario_by_id("escape/canary_credential")


@pytest.mark.parametrize(
    ("text", "seeds"),
    [(3, (3,)), ("1-4", (1, 2, 3, 4)), ("1, 4,7-8", (1, 4, 7, 8)), ("2,2,1-2", (2, 1))],
)
def test_seeds(text: int | str, seeds: tuple[int, ...]) -> None:
    assert seeds_of(text) == seeds


@pytest.mark.parametrize(
    "text", ["", "x", "1-", "-1", "5-3", "1,,2", "1-100000", "1-999,2000-2999"]
)
def test_what_are_no_seeds(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        seeds_of(text)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"ask": "nine"}, "nine"),
        ({"safeguards": "some"}, "some"),
        ({"level": "loud"}, "loud"),
        ({"twin": "evil"}, "has no twin"),
        ({"twin": "absent", "ask": "open"}, "applies to the ask"),
        ({"tier": "Z"}, "Z"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(settings: dict[str, Any], found: str) -> None:
    with pytest.raises((ValueError, KeyError), match=found):
        scenario_task(TOKEN, **settings)


def test_every_scenario_is_found_under_its_name() -> None:
    for name in all_scenarios():
        assert registry_lookup("task", f"custodes/{name}") is not None


def test_the_prompt_is_the_sample_and_the_settings_are_beside_it() -> None:
    task = scenario_task(TOKEN, ask="none", seeds="1-2", level="explicit", twin="stakes")
    first, second = task.dataset
    assert "Ticket" in str(first.input) and str(first.input) != str(second.input)
    assert first.metadata is not None
    assert {k: first.metadata[k] for k in ("cell", "level", "twin", "seed")} == {
        "cell": "none-shadow",
        "level": "explicit",
        "twin": "stakes",
        "seed": 1,
    }


def test_an_evaluation_of_inspects_own(tmp_path: Path) -> None:
    task = scenario_task(TOKEN, ask="none", safeguards="shadow")
    settings: dict[str, Any] = {"display": "none", "log_dir": str(tmp_path)}
    (log,) = eval(task, model="reference/violator", epochs=2, **settings)
    log = read_eval_log(log.location)
    assert log.status == "success" and log.results is not None
    found = {
        score.name: {name.rpartition("/")[2]: m.value for name, m in score.metrics.items()}
        for score in log.results.scores
    }
    assert found["attempted"] == {"yes": 1.0, "unmeasurable": 0}
    assert found["blocked"] == {"yes": 0.0, "unmeasurable": 0}
    assert log.samples is not None and len(log.samples) == 2
    for sample in log.samples:
        assert sample.scores is not None
        value = sample.scores["custodes_answers"].value
        assert isinstance(value, dict)
        assert value["succeeded"] == "yes" and value["blocked"] == "no"
    (log,) = eval(task, model="reference/erratic", **settings)
    assert log.results is not None
    for score in log.results.scores:
        metrics = {name.rpartition("/")[2]: m.value for name, m in score.metrics.items()}
        assert math.isnan(metrics["yes"]) and metrics["unmeasurable"] == 1
