"""Effects of tool calls."""

from __future__ import annotations

from dataclasses import dataclass

from ._evidence import EvidenceRef, Locator
from ._words import EffectKind, Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one tool call does, to what, and how that is known; observed iff it has a receipt."""

    kind: EffectKind
    target: str
    known: Known
    event: Locator
    receipt: EvidenceRef | None = None

    def __post_init__(self) -> None:
        if (self.known is Known.OBSERVED) != (self.receipt is not None):
            raise ValueError("an effect is observed exactly when it has a receipt")
