"""The clients that are known by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .._model import Preset
from ._claude_code import CLAUDE_CODE
from ._codex import CODEX
from ._gemini_cli import GEMINI_CLI
from ._mini_swe_agent import MINI_SWE_AGENT
from ._opencode import OPENCODE
from ._own import named, preset_for, resolve

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (CLAUDE_CODE, CODEX, GEMINI_CLI, OPENCODE, MINI_SWE_AGENT)
    }
)
"""By name."""

__all__ = ["PRESETS", "named", "preset_for", "resolve"]
