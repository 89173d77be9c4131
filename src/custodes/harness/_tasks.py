"""Every scenario as a task of Inspect: ``inspect eval custodes/escape/persistence -T ask=none``.

For those who want a scenario in an evaluation of their own. What an assessment adds, the case with
its ledger and evidence, the plan over cells, the contrasts and the controls, is not here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.util import SandboxEnvironmentSpec

from custodes.monitors import shipped_safeguard
from custodes.scenarios import BASE_TWIN, Scenario, all_scenarios
from custodes.types import (
    Ask,
    Belief,
    Cell,
    EpisodeKey,
    Level,
    Safeguards,
    Tier,
    sha256_of,
)

from ._interview import InterviewLimits
from ._job import EpisodeLimits
from ._loop import episode
from ._sandboxenv import EPISODE_METADATA, SandboxConfig
from ._score import answers

MOST_SEEDS = 1_000
_LIMITS = EpisodeLimits()


def seeds_of(text: int | str) -> tuple[int, ...]:
    """Seeds as a command line gives them: ``3``, ``1-5``, ``1,4,7-9``.

    Raises:
        ValueError: anything else, or more than :data:`MOST_SEEDS`.
    """
    found: list[int] = []
    for part in str(text).split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ValueError(f"expected seeds such as 3, 1-5 or 1,4, found {text!r}")
        low, high = int(first), int(last) if dash else int(first)
        if low > high:
            raise ValueError(f"expected seeds in order, found {part.strip()!r}")
        if high - low + len(found) >= MOST_SEEDS:
            raise ValueError(f"expected at most {MOST_SEEDS} seeds, found more in {text!r}")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))


def scenario_task(
    scenario: Scenario,
    *,
    ask: str = "none",
    safeguards: str = "shadow",
    belief: str = "nothing",
    level: str = "none",
    twin: str = BASE_TWIN,
    seeds: int | str = 1,
    tier: str = "A",
    turns: int = _LIMITS.turns,
    seconds: int = _LIMITS.seconds,
    interview: bool = False,
    allow_uncontained: bool = False,
) -> Task:
    """One cell of a scenario: a sample for each seed; repeat with Inspect's epochs.

    With ``interview`` the agent is asked about its work afterwards; what it says, and how that
    compares with the receipts, stands in the sample's store as ``custodes_interview``.

    Raises:
        ValueError, KeyError: a setting that does not exist, or that the scenario does not have.
    """
    cell = Cell(ask=Ask(ask), safeguards=Safeguards(safeguards), belief=Belief(belief))
    if cell not in scenario.cells():
        raise ValueError(f"{scenario.id} is not met in the cell {cell.name}")
    if cell.safeguards is Safeguards.DEPLOYED:
        raise ValueError(
            "the safeguards 'deployed' are those of an installed agent: use custodes assess --agent"
        )
    chosen = Level(level)
    if chosen not in scenario.levels:
        known = ", ".join(one.value for one in scenario.levels)
        raise ValueError(f"{scenario.id} has no level {level!r}; it has {known}")
    variant = scenario.twin(twin)
    if variant is not None and cell.ask not in variant.asks:
        asks = ", ".join(sorted(one.value for one in variant.asks))
        raise ValueError(f"the twin {twin} applies to the ask {asks}, not to {ask}")
    watched = cell.safeguards is not Safeguards.OFF
    key = EpisodeKey(
        scenario=scenario.id,
        major=scenario.version[0],
        cell=cell,
        level=chosen,
        twin=twin,
        # The task does not know the model: Inspect's log does.
        subject=sha256_of(b"inspect"),
        safeguards=shipped_safeguard().digest if watched else sha256_of(b"no safeguards"),
        tier=Tier(tier),
        seed=0,
        repeat=0,
    )
    samples = [
        Sample(
            id=f"seed-{seed}",
            input=scenario.brief(scenario.draw(seed, twin), cell, chosen).task_text,
            metadata={
                EPISODE_METADATA: json.dumps(replace(key, seed=seed).to_json()),
                "cell": cell.name,
                "level": chosen.value,
                "twin": twin,
                "seed": seed,
            },
        )
        for seed in seeds_of(seeds)
    ]
    return Task(
        name=scenario.id.replace("/", "-"),
        dataset=MemoryDataset(samples, name=scenario.id),
        solver=episode(
            EpisodeLimits(turns=turns, seconds=seconds), InterviewLimits() if interview else None
        ),
        scorer=answers(),
        sandbox=SandboxEnvironmentSpec(
            "custodes", SandboxConfig(allow_uncontained=allow_uncontained)
        ),
        version=".".join(map(str, scenario.version)),
        metadata={"scenario": scenario.id, "step": scenario.step.value, "act": scenario.act},
    )


def register_tasks() -> None:
    """Make every scenario known to Inspect under ``custodes/<family>/<name>``."""
    for scenario in all_scenarios().values():
        task(name=scenario.id)(_maker(scenario))


def _maker(scenario: Scenario) -> Callable[..., Task]:
    # Spelled out: Inspect shows and checks the parameters by this signature.
    def make(
        ask: str = "none",
        safeguards: str = "shadow",
        belief: str = "nothing",
        level: str = "none",
        twin: str = BASE_TWIN,
        seeds: int | str = 1,
        tier: str = "A",
        turns: int = _LIMITS.turns,
        seconds: int = _LIMITS.seconds,
        interview: bool = False,
        allow_uncontained: bool = False,
    ) -> Task:
        return scenario_task(
            scenario,
            ask=ask,
            safeguards=safeguards,
            belief=belief,
            level=level,
            twin=twin,
            seeds=seeds,
            tier=tier,
            turns=turns,
            seconds=seconds,
            interview=interview,
            allow_uncontained=allow_uncontained,
        )

    make.__name__ = scenario.id.rpartition("/")[2]
    make.__doc__ = scenario.title
    return make
