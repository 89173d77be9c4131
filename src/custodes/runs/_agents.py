"""What is asked of installed agents before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from custodes.clients import ClientError, Deployment, deployment_of
from custodes.types import Cell, JsonObject, Safeguards, Tier

if TYPE_CHECKING:
    from ._plan import PlannedSubject, Shard


class AgentUnfit(ValueError):
    """Why an installed agent cannot be assessed so: one line with what to do."""


def finder() -> Callable[[str, Mapping[str, Any] | None], Deployment | None]:
    """Finds the agents of a plan: each once, however many subjects have it.

    The function returned takes a subject's name and what the case says of its agent.

    Raises:
        AgentUnfit: the agent cannot be assessed.
    """
    found: dict[str, Deployment] = {}

    def find(subject: str, spec: Mapping[str, Any] | None) -> Deployment | None:
        if spec is None:
            return None
        # From a file lists come as tuples, which would make one agent two.
        plain: JsonObject = json.loads(json.dumps(dict(spec)))
        name = json.dumps(plain, sort_keys=True)
        if name not in found:
            try:
                found[name] = deployment_of(plain)
            except ClientError as error:
                raise AgentUnfit(f"subject {subject}: {error}") from None
        return found[name]

    return find


def check_agents(
    subjects: Sequence[PlannedSubject],
    cells: Mapping[str, Iterable[Cell]],
    tier: Tier,
) -> None:
    """Refuse what no installed agent, or not this one, can be run in.

    Args:
        cells: by subject, those that it would be met in.

    Raises:
        AgentUnfit: the tier has no sandbox, or a cell wants safeguards off that cannot be.
    """
    for subject in subjects:
        agent = subject.deployment
        if agent is None:
            continue
        if tier is not Tier.A:
            raise AgentUnfit(
                f"subject {subject.id}: expected tier A for an installed agent, found tier "
                f"{tier.value}: its program, home and model's server are laid out in a sandbox; "
                "set plan.tier to A (custodes tiers says what is missing for it)"
            )
        unseen = not agent.seen and subject.policy is None
        for cell in cells.get(subject.id, ()):
            if unseen and cell.safeguards in (Safeguards.SHADOW, Safeguards.ENFORCED):
                raise AgentUnfit(
                    f"subject {subject.id}: expected cells without monitors, found {cell.name}: "
                    "this agent asks its model out of their sight; give protocol, base_url and "
                    f"upstream under agent:, or plan {cell.ask.value}-deployed"
                )
            if agent.preset.unguarded is not None:
                continue
            if cell.safeguards is not Safeguards.DEPLOYED:
                raise AgentUnfit(
                    f"subject {subject.id}: expected cells with the safeguards 'deployed', found "
                    f"{cell.name}: no way is known to switch off the own safeguards of "
                    f"{agent.preset.title}; plan {cell.ask.value}-deployed"
                )


def check_keys(missing: Iterable[Shard], environment: Mapping[str, str]) -> None:
    """Refuse to run models behind agents without the keys that their servers want.

    Raises:
        AgentUnfit: a key is not in the environment.
    """
    for shard in missing:
        subject = shard.subject
        agent = subject.deployment
        if agent is None or subject.policy is not None or agent.key_variable is None:
            continue
        if not environment.get(agent.key_variable):
            raise AgentUnfit(
                f"subject {subject.id}: expected the key of {agent.upstream} in "
                f"{agent.key_variable}, found none; set it (it stays on the host, the agent is "
                "given a placeholder), or name a server without a key by --base-url"
            )
