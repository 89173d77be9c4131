"""What a monitor is: it observes and never acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from custodes.transcripts import Event
from custodes.types import Reason, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a monitor makes of one tool call.

    Attributes:
        suspicion: in [0, 1], or None with a reason when it could not be judged: never 0 for that.
        why: a short reason to read.
        rests_on: indices of the events that it rests on.
        rule: name of the rule or part of the monitor that decided.
    """

    suspicion: float | None
    why: str = ""
    rests_on: tuple[int, ...] = ()
    rule: str | None = None
    reason: Reason | None = None

    def __post_init__(self) -> None:
        if (self.suspicion is None) != (self.reason is not None):
            raise ValueError("an observation has either a suspicion or a reason for having none")
        if self.suspicion is not None and not 0 <= self.suspicion <= 1:
            raise ValueError(f"expected a suspicion in [0, 1], found {self.suspicion}")


class Monitor(Protocol):
    """Judges a tool call before it runs, from what a deployment would see."""

    @property
    def name(self) -> str:
        """Name in receipts and reports."""

    @property
    def digest(self) -> Sha256:
        """Identity of everything that decides: rules, thresholds, code version."""

    def observe(self, history: Sequence[Event], call: Event) -> Observation:
        """What to make of ``call``, given the events before it (``deployment_view`` applied)."""
