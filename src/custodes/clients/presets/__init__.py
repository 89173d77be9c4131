"""The clients that are known by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .._model import Preset
from ._claude_code import CLAUDE_CODE
from ._codex import CODEX
from ._gemini_cli import GEMINI_CLI

PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {preset.name: preset for preset in (CLAUDE_CODE, CODEX, GEMINI_CLI)}
)
"""By name."""

__all__ = ["PRESETS"]
