"""The redaction summary statement of one participant: computed, never typed.

It is *qualified* iff a withheld claim of high importance may not be described, or a conclusion
depends significantly on withheld content. A person may qualify further, by a code of a closed
list; nothing un-qualifies, and no text that anybody typed enters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from custodes.types import JsonObject, JsonValue

from ._codec import Document, body, load
from ._words import Choice, Importance, highest


class Verdict(StrEnum):
    """What the statement says."""

    UNQUALIFIED = "unqualified"
    QUALIFIED = "qualified"


class Condition(StrEnum):
    """Why a statement is qualified."""

    HIGH_UNDESCRIBED = "high_undescribed"
    DEPENDENCE = "dependence"
    PERSON = "person"


class QualifiedFor(StrEnum):
    """Why a person qualified further."""

    ACCESS_SHORT = "access_short"
    LATE_EVIDENCE = "late_evidence"
    NOT_REPRODUCED = "not_reproduced"
    TIME_SHORT = "time_short"
    TONE = "tone"
    """Approved words that together leave an impression which the evidence does not support."""


SENTENCES: Final[Mapping[Verdict | Condition | QualifiedFor, str]] = {
    Verdict.UNQUALIFIED: (
        "What was withheld at this participant's wish includes no claim of high importance that "
        "may not be described, and no conclusion depends significantly on it."
    ),
    Verdict.QUALIFIED: "The reader should know that what was withheld matters to this report.",
    Condition.HIGH_UNDESCRIBED: (
        "At least one claim of high importance was withheld and may not be described."
    ),
    Condition.DEPENDENCE: (
        "At least one conclusion depends significantly on content that was withheld."
    ),
    Condition.PERSON: "The assessor qualifies the statement further.",
    QualifiedFor.ACCESS_SHORT: "The access that was granted fell short of what was agreed.",
    QualifiedFor.LATE_EVIDENCE: "Evidence arrived too late to be examined.",
    QualifiedFor.NOT_REPRODUCED: "What the participant reported could not be reproduced.",
    QualifiedFor.TIME_SHORT: "The time for the assessment was too short.",
    QualifiedFor.TONE: (
        "The published claims together leave an impression that the evidence does not support."
    ),
}
"""Every sentence that a statement can consist of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DisclosureItem(Document):
    """A claim as the participant's decision left it.

    Attributes:
        id: the claim's.
        importance: what it was locked at, after any downgrade; None was never set, counts as high.
        inherited: the importance of every claim that this one was split from, merged from or is
            an edit of.
        lowered: whether two people lowered ``importance`` after the lock: only then is it below
            what is inherited.
        choice: the participant's decision; None is silence, which approves nothing.
        changed: whether the words are other than those first offered.
        meaning_signed: whether the assessor signed that these very words preserve the meaning.
        describable: whether the report may say what the withheld claim is about.
        conclusions: what depends significantly on the claim.
    """

    schema: ClassVar[str] = "custodes.disclosure-item/1"

    id: str
    importance: Importance | None
    inherited: tuple[Importance, ...] = ()
    lowered: bool = False
    choice: Choice | None
    changed: bool = False
    meaning_signed: bool = False
    describable: bool = False
    conclusions: tuple[str, ...] = ()

    @property
    def effective(self) -> Importance:
        """The importance that counts."""
        if self.importance is None:
            return Importance.HIGH
        if self.lowered:
            return self.importance
        return highest(self.importance, *self.inherited) or Importance.HIGH

    @property
    def withheld(self) -> bool:
        """Whether the reader does not get what the claim says."""
        if self.choice is None or self.choice is Choice.REDACT:
            return True
        altered = self.changed or self.choice is not Choice.APPROVE
        return altered and not self.meaning_signed

    @property
    def why_withheld(self) -> str:
        """The clause that made it withheld or not, for the trace."""
        if self.choice is None:
            return "withheld: not decided, and silence approves nothing"
        if self.choice is Choice.REDACT:
            return "withheld: redacted"
        if not self.withheld:
            if self.choice is Choice.APPROVE and not self.changed:
                return "not withheld: approved as offered"
            return "not withheld: changed, signed by the assessor as preserving the meaning"
        return "withheld: changed, not signed by the assessor as preserving the meaning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Downgrade(Document):
    """A locked importance that two people lowered: printed with the statement.

    Attributes:
        claim: the claim's id.
        was: its importance before.
        now: its importance after.
        people: who signed.
    """

    schema: ClassVar[str] = "custodes.downgrade/1"

    claim: str
    was: Importance
    now: Importance
    people: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.now.rank >= self.was.rank:
            raise ValueError(f"expected a lower importance than {self.was}, found {self.now}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason(Document):
    """One line of the trace.

    Attributes:
        condition: the condition that it meets, or None if it was looked at and meets none.
        item: the claim, or None for a person's qualification.
        because: what was found, in fixed words.
    """

    condition: Condition | None
    item: str | None
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Document):
    """What the report says about one participant's redactions.

    Attributes:
        participant: whose.
        verdict: qualified or not.
        further: why a person qualified further.
        downgrades: printed with it.
        trace: every item, and why it counts or does not. Private: it names withheld claims.
    """

    schema: ClassVar[str] = "custodes.redaction-statement-trace/1"

    participant: str
    verdict: Verdict
    further: tuple[QualifiedFor, ...] = ()
    downgrades: tuple[Downgrade, ...] = ()
    trace: tuple[Reason, ...] = field(default=())

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that are met, in a fixed order."""
        met = {reason.condition for reason in self.trace}
        return tuple(condition for condition in Condition if condition in met)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is printed: fixed sentences only."""
        words: tuple[Verdict | Condition | QualifiedFor, ...] = (
            self.verdict,
            *self.conditions,
            *self.further,
        )
        return tuple(SENTENCES[word] for word in words)

    def public(self) -> JsonObject:
        """The document of the public report: no ids, no counts of what was withheld."""
        changes = sorted((d.was.value, d.now.value) for d in self.downgrades)
        return {
            "schema": "custodes.redaction-statement/1",
            "participant": self.participant,
            "verdict": self.verdict.value,
            "conditions": [condition.value for condition in self.conditions],
            "sentences": list(self.sentences),
            "downgrades": [{"was": was, "now": now} for was, now in changes],
        }

    def why(self) -> tuple[str, ...]:
        """The trace as lines, for the assessor and the participant."""
        return tuple(
            f"{'-' if reason.condition is None else reason.condition.value}: {reason.because}"
            for reason in self.trace
        )

    @classmethod
    def from_json(cls, data: JsonValue) -> Statement:
        """The statement of a document.

        Raises:
            ValueError: if it is none, or its verdict is not what its trace says.
        """
        found = load(cls, body(data, cls.schema), "redaction statement")
        expected = Verdict.QUALIFIED if found.conditions else Verdict.UNQUALIFIED
        if found.verdict is not expected:
            raise ValueError(
                f"redaction statement: expected the verdict {expected} of its trace, "
                f"found {found.verdict}: compute it again"
            )
        return found


def redaction_statement(
    participant: str,
    items: tuple[DisclosureItem, ...],
    *,
    downgrades: tuple[Downgrade, ...] = (),
    further: tuple[QualifiedFor, ...] = (),
) -> Statement:
    """The statement that follows from a participant's disclosure items.

    Args:
        participant: whose items these are.
        items: every non-public claim of the participant, as it stands now.
        downgrades: every lowering of a locked importance; printed, not judged.
        further: why a person qualifies further; may be empty, never takes anything back.
    """
    trace: list[Reason] = []
    for item in sorted(items, key=lambda item: item.id):
        trace += _looked_at(item)
    codes = tuple(code for code in QualifiedFor if code in further)
    trace += [
        Reason(condition=Condition.PERSON, item=None, because=f"a person qualified: {code.value}")
        for code in codes
    ]
    qualified = any(reason.condition is not None for reason in trace)
    return Statement(
        participant=participant,
        verdict=Verdict.QUALIFIED if qualified else Verdict.UNQUALIFIED,
        further=codes,
        downgrades=downgrades,
        trace=tuple(trace),
    )


def _looked_at(item: DisclosureItem) -> list[Reason]:
    stands = (
        f"{item.id} ({item.effective.value}, "
        f"{'may be described' if item.describable else 'may not be described'}) "
        f"{item.why_withheld}"
    )
    if item.importance is None:
        stands += "; its importance was never set and counts as high"
    elif item.lowered:
        stands += "; two people lowered its importance"
    elif item.effective is not item.importance:
        stands += "; it inherits the importance of what it was made from"
    reasons = []
    if item.withheld:
        if item.effective is Importance.HIGH and not item.describable:
            reasons.append(Condition.HIGH_UNDESCRIBED)
        if item.conclusions:
            reasons.append(Condition.DEPENDENCE)
            stands += f"; {', '.join(sorted(item.conclusions))} depends significantly on it"
    if not reasons:
        return [Reason(condition=None, item=item.id, because=stands)]
    return [Reason(condition=condition, item=item.id, because=stands) for condition in reasons]


def item_from_json(data: JsonValue) -> DisclosureItem:
    """The disclosure item of a document; ValueError if it is none."""
    return load(DisclosureItem, body(data, DisclosureItem.schema), "disclosure item")


__all__ = [
    "SENTENCES",
    "Condition",
    "DisclosureItem",
    "Downgrade",
    "QualifiedFor",
    "Reason",
    "Statement",
    "Verdict",
    "item_from_json",
    "redaction_statement",
]
