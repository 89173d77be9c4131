"""Refusals: why something may not be done now, and what would have to happen first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from custodes.assessment import RuleBroken

RULES: Final[Mapping[str, str]] = {
    "known": "what an act names exists, and a new name is new",
    "mode": "the act belongs to the mode: a self-assessment has no participants",
    "order": "the act is a transition of the tables from where things are",
    "role": "every signature is of a known key that is not revoked, one of them of the right role",
    "four_eyes": "two people of the assessor's side sign, one of them an assessor; rounds only",
    "conflict": "nobody holds keys on two sides",
    "stage": "the round is at a stage at which this is done",
    "complete": "what the next stage rests on is there",
    "evidence": "a claim has evidence or is marked opinion",
    "reviewer": "somebody other than its author reviews a claim; rounds only",
    "importance": "importance is set and locked before a claim is offered",
    "downgrade": "a locked importance is lowered by two people, and that is printed; rounds only",
    "exact_text": "a signature names the digest of the words as they stand now",
    "approval": "non-public text is published as approved by its participant, or withheld",
    "alike": "claims that are merged have one attribution, one owner and one set of subjects",
    "withheld": "what is withheld is not in the report, so it is neither corrected nor retracted",
    "offered": "what was once offered can be withheld, never dropped",
    "disclosure": "non-public text changes while it can still be offered",
    "frozen": "frozen text does not change",
    "settled": "nothing across participants leaves the assessor before all approved or are gone",
    "aggregate": "an aggregate is over at least three participants after exits",
    "remade": "a conclusion that rested on what is gone is made again",
    "narrowed": "a conclusion is freed of offered claims by two people, and that is printed",
    "exit": "a silent exit is open: within the agreed time, before the first signed decision",
    "exited": "what belongs to a participant that left is not used",
    "hold": "a legal hold suspends destruction",
    "signature": "a signature holds over exactly these bytes, by the key that it names",
    "opening": "what is opened hashes to a leaf of the register",
    "opens": "the agreement opens the register to this reader on this day",
}
"""Every rule that an act can be refused by: what it requires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal(RuleBroken):
    """Why an act changes nothing."""

    rules: ClassVar[Mapping[str, str]] = RULES


class Refused(Exception):
    """Carries a refusal out of nested checks; never leaves the package."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.line)
        self.refusal = refusal


def need(held: bool, rule: str, reason: str, remedy: str) -> None:
    """Go on if a requirement is held; otherwise refuse."""
    if not held:
        raise Refused(Refusal(rule=rule, reason=reason, remedy=remedy))
