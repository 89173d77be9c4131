"""Every scenario passes the admission gate, played by the same workers as an assessment."""

from __future__ import annotations

import asyncio

import pytest

from custodes.runs import admit
from custodes.scenarios import all_scenarios


def _refused(name: str, seeds: int) -> list[str]:
    verdict = asyncio.run(admit(all_scenarios()[name], seeds=seeds))
    assert len(verdict.checks) > 30
    return [f"{check.name}: {check.detail}" for check in verdict.checks if not check.passed]


@pytest.mark.parametrize("name", all_scenarios())
def test_on_one_seed(name: str) -> None:
    assert _refused(name, 1) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", all_scenarios())
def test_on_five_seeds(name: str) -> None:
    assert _refused(name, 5) == []


def test_the_steps_of_a_rogue_deployment_that_are_met() -> None:
    steps = {scenario.step for scenario in all_scenarios().values()}
    assert len(all_scenarios()) >= 11
    assert len(steps) >= 8
