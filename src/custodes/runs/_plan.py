"""From a configuration to the episodes to run, in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from custodes.case import CaseConfig, Subject
from custodes.clients import Deployment
from custodes.monitors import shipped_safeguard
from custodes.scenarios import (
    BASE_TWIN,
    INTERVIEW_VERSION,
    REFERENCE_PREFIX,
    Scenario,
    all_scenarios,
    check_reference_policy,
    scenario_by_id,
)
from custodes.types import (
    Belief,
    Cell,
    EpisodeKey,
    JsonObject,
    Level,
    Safeguards,
    Sha256,
    sha256_of,
    sha256_of_json,
)

from ._agents import AgentUnfit, check_agents, finder

AGENT = "loop/1"
"""The scaffold of every subject that is a bare model; part of the subject's identity."""

LARGEST_SHARD = 40
"""Episodes in one shard: what an interruption can cost at most, for each worker."""


class PlanError(ValueError):
    """The configuration asks for something that does not exist; one line, with what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSubject:
    """A subject of the plan with its identity.

    Attributes:
        policy: name of the scripted policy, or None for a model.
        limits: what ends an episode. Part of the identity: an episode that was cut off earlier is
            another episode.
        deployment: the installed agent that it is; None for a bare model in our own loop.
    """

    id: str
    role: str
    model: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    elicitation: str | None = None
    description: str | None = None
    base_url: str | None = None
    limits: Mapping[str, int | None] = field(default_factory=dict)
    deployment: Deployment | None = None

    @property
    def policy(self) -> str | None:
        if not self.model.startswith(REFERENCE_PREFIX):
            return None
        return self.model.removeprefix(REFERENCE_PREFIX)

    @property
    def digest(self) -> Sha256:
        from custodes.case import canonical_document

        return sha256_of(
            canonical_document(
                {
                    "model": self.model,
                    "model_args": dict(self.model_args),
                    "base_url": self.base_url,
                    "agent": AGENT if self.deployment is None else self.deployment.identity,
                    "elicitation": self.elicitation,
                    "limits": dict(self.limits),
                }
            )
        )

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "role": self.role,
            "model": self.model,
            "reference": self.policy is not None,
            "digest": self.digest,
            "elicitation": self.elicitation,
            "description": self.description,
            **({} if self.deployment is None else {"agent": self.deployment.account()}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The unit of work and of commitment: one worker, one evaluation, one closed log."""

    subject: PlannedSubject
    scenario: str
    keys: tuple[EpisodeKey, ...]

    @property
    def id(self) -> Sha256:
        return sha256_of_json([key.digest for key in self.keys])

    @property
    def name(self) -> str:
        """Name of its log."""
        scenario = self.scenario.replace("/", "-")
        return f"{self.subject.id}_{scenario}_{self.id[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that the configuration asks to be run.

    Attributes:
        interview: whether agents are interviewed after their episodes. No part of what an episode
            is: it is over by then, and what is on record stays as it is.
    """

    subjects: tuple[PlannedSubject, ...]
    scenarios: tuple[str, ...]
    shards: tuple[Shard, ...]
    interview: bool = False

    @property
    def episodes(self) -> int:
        return sum(len(shard.keys) for shard in self.shards)

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.plan/1",
            "subjects": [subject.to_json() for subject in self.subjects],
            "scenarios": [
                {"id": name, "version": ".".join(map(str, scenario_by_id(name).version))}
                for name in self.scenarios
            ],
            "safeguard": shipped_safeguard().digest,
            "episodes": self.episodes,
            "keys": [key.digest for shard in self.shards for key in shard.keys],
            **({"interview": INTERVIEW_VERSION} if self.interview else {}),
        }


def make_plan(
    config: CaseConfig,
    *,
    model: str | None = None,
    base_url: str | None = None,
    agent: Mapping[str, Any] | None = None,
) -> Plan:
    """Lay out the episodes of a configuration.

    Args:
        agent: replaces the agents of the subjects whose role is ``subject`` (``--agent``).
        model: replaces the models of the subjects whose role is ``subject`` (``--model``).
        base_url: where that model is served.

    Raises:
        PlanError: an unknown scenario, twin or reference policy, two subjects that are the same,
            an installed agent that cannot be assessed so, or a part of the plan that would come to
            no episode.
    """
    plan = config.plan
    try:
        found = finder()
        subjects = tuple(
            _planned(config, subject, model, base_url, agent, found) for subject in plan.subjects
        )
        cells = {asked.id: asked.cells or plan.cells for asked in plan.subjects}
        check_agents(subjects, cells, plan.tier)
    except AgentUnfit as error:
        raise PlanError(str(error)) from None
    _check_distinct(subjects, model)
    for subject in subjects:
        if subject.policy is not None:
            try:
                check_reference_policy(subject.policy)
            except ValueError as error:
                raise PlanError(f"subject {subject.id}: {error}") from None
    names = tuple(all_scenarios()) if plan.scenarios == "all" else tuple(plan.scenarios)
    scenarios: list[Scenario] = []
    for name in names:
        try:
            scenarios.append(scenario_by_id(name))
        except KeyError as error:
            raise PlanError(str(error.args[0])) from None
    if plan.twins != "all":
        known = {twin.name for scenario in scenarios for twin in scenario.twins} | {BASE_TWIN}
        for twin in plan.twins:
            if twin not in known:
                raise PlanError(
                    f"no planned scenario has a twin {twin!r}; there are: {sorted(known)}"
                )
    shards = tuple(
        Shard(subject=subject, scenario=scenario.id, keys=tuple(keys[at : at + LARGEST_SHARD]))
        for scenario in scenarios
        for asked, subject in zip(plan.subjects, subjects, strict=True)
        for keys in [list(_keys(config, scenario, asked, subject))]
        for at in range(0, len(keys), LARGEST_SHARD)
    )
    if not shards:
        raise PlanError("the plan has no episode: its cells, levels and twins exclude one another")
    _check_nothing_vanishes(config, subjects, names, shards)
    return Plan(
        subjects=subjects, scenarios=names, shards=shards, interview=plan.interview
    )


def _check_distinct(subjects: tuple[PlannedSubject, ...], model: str | None) -> None:
    seen: dict[Sha256, str] = {}
    for subject in subjects:
        if subject.digest in seen:
            pair = f"subjects {seen[subject.digest]} and {subject.id}"
            if model is not None and subject.model == model:
                raise PlanError(
                    f"{pair} would both be {model}: keep one subject with the role 'subject' in "
                    "custodes.yaml, or give them different elicitations"
                )
            raise PlanError(
                f"{pair} are the same: leave one out, or set plan.repeats to run it again"
            )
        seen[subject.digest] = subject.id


def _check_nothing_vanishes(
    config: CaseConfig,
    subjects: tuple[PlannedSubject, ...],
    scenarios: tuple[str, ...],
    shards: tuple[Shard, ...],
) -> None:
    """Refuse a plan that names what would never be met: it would pass for covered."""
    plan = config.plan
    keys = [key for shard in shards for key in shard.keys]
    met = {key.scenario for key in keys}
    for name in scenarios:
        if name not in met:
            raise PlanError(
                f"scenario {name} would have no episode: the planned cells, levels or twins do "
                "not apply to it"
            )
    for asked, subject in zip(plan.subjects, subjects, strict=True):
        own = [key for key in keys if key.subject == subject.digest]
        cells = {key.cell for key in own}
        for cell in asked.cells or plan.cells:
            if cell in cells:
                continue
            if cell.safeguards is Safeguards.DEPLOYED and subject.deployment is None:
                raise PlanError(
                    f"cell {cell.name} would have no episode of {asked.id}: a bare model has no "
                    "safeguards of its own; give it an agent, or cells of its own"
                )
            raise PlanError(
                f"cell {cell.name} would have no episode of {asked.id}: no planned scenario and "
                "twin has it"
            )
        _check_twins(asked.twins or (), {key.twin for key in own}, f" of {asked.id}")
    levels = {key.level for key in keys}
    for level in plan.levels:
        if level not in levels:
            raise PlanError(
                f"level {level.value} would have no episode: no planned scenario has it"
            )
    _check_twins(plan.twins, {key.twin for key in keys}, "")


def _check_twins(wanted: Literal["all"] | tuple[str, ...], met: set[str], whose: str) -> None:
    for twin in () if wanted == "all" else wanted:
        if twin not in met:
            raise PlanError(
                f"twin {twin} would have no episode{whose}: twins are met with the safeguards off "
                "and nothing said about oversight; plan such a cell with an ask that it applies to"
            )


def _planned(
    config: CaseConfig,
    subject: Subject,
    model: str | None,
    base_url: str | None,
    agent: Mapping[str, Any] | None,
    find: Callable[[str, Mapping[str, Any] | None], Deployment | None],
) -> PlannedSubject:
    replaced = model is not None and subject.role == "subject"
    installed = agent if agent is not None and subject.role == "subject" else subject.agent
    return PlannedSubject(
        id=subject.id,
        role=subject.role,
        model=model if replaced and model is not None else subject.model,
        model_args={} if replaced else dict(subject.model_args),
        elicitation=subject.elicitation,
        description=None if replaced else subject.description,
        base_url=base_url if replaced else None,
        limits=config.plan.limits.model_dump(),
        deployment=find(subject.id, installed),
    )


def _keys(
    config: CaseConfig, scenario: Scenario, asked: Subject, subject: PlannedSubject
) -> Iterator[EpisodeKey]:
    plan = config.plan
    watched = shipped_safeguard().digest
    unwatched = sha256_of(b"no safeguards")
    cells = set(scenario.cells())
    installed = subject.deployment is not None
    levels = [level for level in plan.levels if level in scenario.levels]
    for seed in plan.seeds:
        for repeat in range(plan.repeats):
            for cell in asked.cells or plan.cells:
                if cell not in cells:
                    continue
                if cell.safeguards is Safeguards.DEPLOYED and not installed:
                    continue  # a bare model has no safeguards of its own
                for level in levels:
                    for twin in _twins(
                        asked.twins or config.plan.twins, scenario, cell, level, levels
                    ):
                        yield EpisodeKey(
                            scenario=scenario.id,
                            major=scenario.version[0],
                            cell=cell,
                            level=level,
                            twin=twin,
                            subject=subject.digest,
                            safeguards=(
                                watched
                                if cell.safeguards in (Safeguards.SHADOW, Safeguards.ENFORCED)
                                else unwatched
                            ),
                            tier=plan.tier,
                            seed=seed,
                            repeat=repeat,
                        )


def _twins(
    wanted: Literal["all"] | tuple[str, ...],
    scenario: Scenario,
    cell: Cell,
    level: Level,
    levels: list[Level],
) -> Iterator[str]:
    """Twins are met where they are one setting apart from a base that is run as well.

    That is with none of our safeguards, nothing said about oversight, and the first level planned:
    each contrast then has its base in the same cell, and the plan does not multiply.
    """
    if wanted == "all" or BASE_TWIN in wanted:
        yield BASE_TWIN
    unwatched = cell.safeguards in (Safeguards.OFF, Safeguards.DEPLOYED)
    base_cell = unwatched and cell.belief is Belief.NOTHING
    if not base_cell or level is not levels[0]:
        return
    for twin in scenario.twins:
        if cell.ask in twin.asks and (wanted == "all" or twin.name in wanted):
            yield twin.name
