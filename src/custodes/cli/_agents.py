"""``custodes agents``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._exits import DONE, USAGE, Exit, reported

if TYPE_CHECKING:
    from custodes.clients import Preset


@click.command("agents")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@reported
def command(as_json: bool) -> None:
    """List the installed agents that can be assessed as they are deployed.

    Each is asked for its version in a sandbox without network; no configuration is opened and no
    key is printed.

    Exit codes: 0 at least one can be assessed; 2 none can: what to do is said beside each.
    """
    from custodes.clients.presets import PRESETS

    found = [_found(preset) for preset in PRESETS.values()]
    if as_json:
        click.echo(json.dumps({"schema": "custodes.agents/1", "agents": found}, indent=2))
    else:
        click.echo("\n".join(_text(agent) for agent in found))
    raise Exit(DONE if any(agent["usable"] for agent in found) else USAGE)


def _found(preset: Preset) -> dict[str, Any]:
    from custodes.clients import ClientError
    from custodes.clients import detect as detect_agent

    # Shown as ~: whose home it is says nothing about the agent.
    lies = (Path.home() / preset.config_folder).is_dir()
    about: dict[str, Any] = {
        "name": preset.name,
        "title": preset.title,
        "usable": False,
        "reason": None,
        "program": None,
        "version": None,
        "tested": None,
        "tested_versions": list(preset.tested),
        "command": list(preset.default),
        "configuration": f"~/{preset.config_folder}" if preset.config_folder else None,
        "configuration_found": lies and bool(preset.config_folder),
        "upstream": preset.upstream or None,
        "key_variable": preset.key_variable,
        "key_set": None if preset.key_variable is None else preset.key_variable in os.environ,
        "mounts": [],
    }
    try:
        installed = detect_agent(preset)
    except ClientError as error:
        return {**about, "reason": str(error)}
    return {
        **about,
        "usable": True,
        "program": str(installed.program),
        "version": installed.version,
        "tested": installed.version in preset.tested,
        "mounts": [[str(host), inside] for host, inside in installed.mounts],
    }


def _text(agent: dict[str, Any]) -> str:
    name = f"{agent['name']:<14}"
    if not agent["usable"]:
        return f"{name} not usable: {agent['reason']}"
    lines = [
        f"{name} {agent['version']} ({_tested(agent)}) at {agent['program']}",
        f"  configuration  {_configuration(agent)}",
        f"  to be given    {_wanted(agent)}",
    ]
    return "\n".join(lines)


def _tested(agent: dict[str, Any]) -> str:
    if agent["tested"]:
        return "tested"
    return f"not tested; tested: {', '.join(agent['tested_versions']) or 'none'}"


def _configuration(agent: dict[str, Any]) -> str:
    where = agent["configuration"]
    if where is None:
        return "none is known"
    if not agent["configuration_found"]:
        return f"none at {where}: the agent's own defaults"
    return f"{where}: a copy without secrets is assessed with --config {where}"


def _wanted(agent: dict[str, Any]) -> str:
    variable = agent["key_variable"]
    if variable is None:
        return "nothing"
    state = "set" if agent["key_set"] else "not set"
    return f"{variable} for {agent['upstream']} ({state}); it stays on the host"
