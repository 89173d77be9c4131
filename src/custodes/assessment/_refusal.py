"""Why a step may not be done: the rule, what was found, and what would have to happen first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from custodes.types import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleBroken:
    """Why a step changes nothing; each process has its own rules.

    Attributes:
        rules: every rule of the process, by name: what it requires.
        rule: the rule it breaks, a key of ``rules``.
        reason: what was expected and what was found.
        remedy: what would have to happen first, or instead.
    """

    rules: ClassVar[Mapping[str, str]]
    rule: str
    reason: str
    remedy: str

    @property
    def line(self) -> str:
        """The refusal as one line."""
        return f"{self.reason}: {self.remedy}"

    def to_json(self) -> JsonObject:
        """A document of schema ``custodes.refusal/1``."""
        return {
            "schema": "custodes.refusal/1",
            "rule": self.rule,
            "requires": self.rules[self.rule],
            "reason": self.reason,
            "remedy": self.remedy,
        }
