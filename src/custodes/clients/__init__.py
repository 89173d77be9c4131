"""Installed agents: coding clients and whatever else is given a prompt, assessed as deployed."""

from __future__ import annotations

from ._deployment import Deployment
from ._detect import detect
from ._drill import AgentCell, AgentMatrix, run_agent_drill
from ._drill_stops import STOPS as AGENT_STOPS
from ._drill_ways import PLANTED as AGENT_ADVERSARIES
from ._form import REMINDER, form_block, form_in, prompt_of
from ._gateway import (
    Gateway,
    Held,
    HostedProvider,
    Provider,
    ScriptedProvider,
    Watch,
    hosted,
)
from ._model import (
    GATEWAY_PORT,
    PROMPT,
    ClientError,
    Copied,
    Dialect,
    DialectName,
    Heard,
    Installed,
    Launch,
    Payload,
    Preset,
    Spoken,
    Tooling,
    ToolReturn,
    ToolUse,
)
from ._resolve import deployment_of, preset_of, spec_of
from ._scripted import scripted
from .dialects import DIALECTS

__all__ = [
    "AGENT_ADVERSARIES",
    "AGENT_STOPS",
    "DIALECTS",
    "GATEWAY_PORT",
    "PROMPT",
    "REMINDER",
    "AgentCell",
    "AgentMatrix",
    "ClientError",
    "Copied",
    "Deployment",
    "Dialect",
    "DialectName",
    "Gateway",
    "Heard",
    "Held",
    "HostedProvider",
    "Installed",
    "Launch",
    "Payload",
    "Preset",
    "Provider",
    "ScriptedProvider",
    "Spoken",
    "ToolReturn",
    "ToolUse",
    "Tooling",
    "Watch",
    "deployment_of",
    "detect",
    "form_block",
    "form_in",
    "hosted",
    "preset_of",
    "prompt_of",
    "run_agent_drill",
    "scripted",
    "spec_of",
]
