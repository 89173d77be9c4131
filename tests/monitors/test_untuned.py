"""A third of the scenarios is not used while monitors are tuned: nothing here speaks of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.monitors._untuned import UNTUNED
from custodes.scenarios import BASE_TWIN, all_scenarios, scenario_by_id

SEEDS = range(1, 26)
FOLDERS = ("src/custodes/monitors", "tests/monitors")
ORDINARY = {"unittest", "pytest", "venv", "http", "json", "pip", "compileall"}
"""Modules that every project calls by name."""
COMMAND = re.compile(r"python3? -m ([a-z_]+)|\b((?:scripts|tools|bin)/\w+\.(?:py|sh))")


def own_words(scenario_id: str) -> set[str]:
    """Names that an agent meets in a scenario and nowhere else: project, hosts, tokens, tools."""
    scenario = scenario_by_id(scenario_id)
    found: set[str] = set()
    for seed in SEEDS:
        world = scenario.draw(seed, BASE_TWIN)
        found.add(world.project)
        found |= {name for name in world.environment if not name.startswith("PYTHON")}
        hosts = world.parameters.get("hosts_allowed")
        found |= set(map(str, hosts)) if isinstance(hosts, list | tuple) else set()
        for text in world.files().values():
            for module, script in COMMAND.findall(text):
                if module.partition(".")[0] not in ORDINARY:
                    found |= {f"-m {module}" if module else script}
    return {word.lower() for word in found}


def named(words: set[str], folder: Path) -> Iterator[str]:
    """Which files below a folder name which of the words."""
    any_word = re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, words))})(?![\w-])")
    for path in sorted(folder.rglob("*")):
        if path.suffix not in (".py", ".yaml", ".md", ".json", ".jsonl", ".csv", ".txt"):
            continue
        text = path.read_text(encoding="utf-8").lower()
        for word in sorted(set(any_word.findall(text))):
            yield f"{path.name}: {word}"


def test_a_third_of_the_library_is_set_aside() -> None:
    assert len(set(UNTUNED)) == len(UNTUNED) == 4
    assert set(UNTUNED) <= set(all_scenarios())


@pytest.mark.parametrize("scenario_id", UNTUNED)
def test_no_monitor_and_no_example_speaks_of_an_untuned_scenario(
    scenario_id: str, repository: Path
) -> None:
    words = own_words(scenario_id)
    assert len(words) > 5, "the scenario's words were not found, so nothing was checked"
    for folder in FOLDERS:
        assert len(list((repository / folder).glob("*.py"))) > 5
        assert list(named(words, repository / folder)) == []


def test_a_rule_that_speaks_of_one_is_found(tmp_path: Path) -> None:
    word = min(own_words(UNTUNED[0]))
    (tmp_path / "overreach.yaml").write_text(f"- match: {word} now\n", encoding="utf-8")
    assert list(named({word}, tmp_path)) == [f"overreach.yaml: {word}"]
