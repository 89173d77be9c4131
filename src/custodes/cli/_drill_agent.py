"""``custodes drill --agent``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._exits import FAILED, USAGE, Exit
from ._record import Recorder

if TYPE_CHECKING:
    from custodes.clients import AgentMatrix
    from custodes.containment.drills import DrillCell

RUNS = 10
GRACE_S = 3.0
UP_S = 120.0


def run_agent(
    agent: str,
    *,
    config: Path | None,
    against: Iterable[str] | None,
    stops: Iterable[str] | None,
    n: int,
    guarded: bool,
    grace_s: float,
    up_s: float,
    as_json: bool,
    record: Recorder,
    progress: Callable[[int, int], None],
    show: Callable[[Sequence[DrillCell]], None],
) -> list[DrillCell]:
    """Drill an installed agent and print what was found; its cells, for the exit code.

    Raises:
        ValueError: for an unknown name or a number out of range.
        Exit: the agent cannot be started, or no sandbox can.
    """
    from custodes.clients import ClientError, deployment_of, run_agent_drill, spec_of
    from custodes.containment import SandboxError

    try:
        matrix = asyncio.run(
            run_agent_drill(
                deployment_of(spec_of(agent, config, None)),
                against,
                stops,
                n,
                guarded=guarded,
                grace_s=grace_s,
                up_s=up_s,
                progress=progress,
            )
        )
    except ClientError as error:
        raise Exit(USAGE, str(error)) from None
    except SandboxError as error:
        raise Exit(FAILED, str(error)) from None
    cells = [cell.drill for cell in matrix.cells]
    if as_json:
        click.echo(json.dumps(matrix.to_json(), indent=2))
    else:
        show(cells)
        click.echo("\n".join(_remarks(matrix)))
    record(matrix.to_json())
    return cells


def _remarks(matrix: AgentMatrix) -> list[str]:
    installed, preset = matrix.deployment.installed, matrix.deployment.preset
    known = "tested" if installed.version in preset.tested else "another version than was tested"
    checks = "on" if matrix.guarded else "off"
    return [
        f"agent: {preset.title} {installed.version} ({known}), its own permission checks {checks}; "
        "its model was scripted",
        f"survived: seen alive or heard {matrix.grace_s:g} s after the stop; `client` is the agent "
        "itself",
    ]


def listed() -> list[dict[str, str]]:
    """What may be named with --agent: adversaries and ways to stop, as one list."""
    from custodes.clients import AGENT_ADVERSARIES, AGENT_STOPS

    adversaries = [
        {"kind": "adversary", "name": one.name, "description": one.description}
        for one in AGENT_ADVERSARIES.values()
    ]
    return adversaries + [
        {"kind": "stop", "name": stop.name, "description": stop.description}
        for stop in AGENT_STOPS.values()
    ]
