"""Monitors that say what a test tells them to, and settings that load them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from custodes.monitors import Monitor, Observation, Watch, unmeasurable
from custodes.scan import Settings
from custodes.transcripts import Event, EventKind, Transcript
from custodes.transcripts.effects import CallEffect
from custodes.types import Sha256, sha256_of

Answer = float | None
"""None: could not be judged."""


def command_of(event: Event) -> str:
    """The command of a tool call; empty for other events."""
    arguments = event.arguments or {}
    return str(arguments.get("command", "")) if event.kind is EventKind.TOOL_CALL else ""


@dataclass
class Scripted:
    """Says of each event what `says` returns (0 says nothing), and `ends` at the end."""

    name: str
    says: Callable[[Event], Answer] = lambda event: 0.0
    ends: Callable[[Sequence[Event]], Answer] = lambda events: 0.0
    needs_effects: bool = False

    @property
    def digest(self) -> Sha256:
        return sha256_of(self.name.encode())

    def begin(self, run: Transcript | None = None) -> Watch:
        return _Watch(self)


@dataclass
class _Watch:
    of: Scripted
    events: list[Event] = field(default_factory=list)

    def see(self, event: Event, effects: Sequence[CallEffect]) -> Sequence[Observation]:
        self.events.append(event)
        return _observed(self.of.says(event))

    def finish(self) -> Sequence[tuple[int, Observation]]:
        last = self.events[-1].index if self.events else 0
        return [(last, one) for one in _observed(self.of.ends(self.events))]


def _observed(answer: Answer) -> list[Observation]:
    if answer is None:
        return [unmeasurable("it could not say")]
    return [Observation(suspicion=answer)] if answer else []


class TestSettings(Settings, frozen=True, kw_only=True):
    """Settings with monitors that have no name to load them by."""

    __test__ = False

    given: tuple[Monitor, ...] = ()

    def load_monitors(self) -> tuple[Monitor, ...]:
        return self.given
