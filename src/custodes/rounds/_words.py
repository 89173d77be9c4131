"""The closed lists of words that a round is told in."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """Who assesses whom."""

    ROUND = "round"
    """An assessor and several participants."""
    SELF = "self"
    """One organisation, its own subjects; a single person can run it."""


class RoundStage(StrEnum):
    """Where a round is."""

    DRAFT = "draft"
    PROTOCOL_FROZEN = "protocol_frozen"
    GATHERING = "gathering"
    ANALYSIS = "analysis"
    DISCLOSURE = "disclosure"
    DRAFTING = "drafting"
    COURTESY = "courtesy"
    RE_OFFER = "re_offer"
    """New non-public text came up after the courtesy draft and is offered to its participant."""
    FINAL_CHECK = "final_check"
    PUBLISHED = "published"
    CORRECTED = "corrected"
    SUPERSEDED = "superseded"
    ABORTED = "aborted"


class ParticipantState(StrEnum):
    """Where a participant is."""

    INVITED = "invited"
    AGREED = "agreed"
    ACCESS = "access"
    EVALUATED = "evaluated"
    PRIVATE_REPORT = "private_report"
    NEGOTIATING = "negotiating"
    """Its review pack is open."""
    APPROVED = "approved"
    DISPUTED = "disputed"
    """The text is frozen; both positions are printed."""
    INCLUDED = "included"
    WITHDRAWN = "withdrawn"
    """Left after its first signed decision: published as a count."""
    EXITED = "exited"
    """Left in silence; waits for its compartment's destruction and is in nobody's view."""


class ClaimState(StrEnum):
    """Where a claim is."""

    DRAFT = "draft"
    SUPPORTED = "supported"
    REVIEWED = "reviewed"
    OFFERED = "offered"
    APPROVED = "approved"
    EDITED = "edited"
    ANONYMISED = "anonymised"
    REDACTED = "redacted"
    FROZEN = "frozen"
    PUBLISHED = "published"
    CORRECTED = "corrected"
    RETRACTED = "retracted"


class Importance(StrEnum):
    """How much a claim matters for what the report concludes; set by people."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"

    @property
    def rank(self) -> int:
        """Position in the order low, medium, high, from 0."""
        return list(Importance).index(self)


class Attribution(StrEnum):
    """Whose claim it is to a reader, and so who must approve it."""

    ATTRIBUTED = "attributed"
    NON_ATTRIBUTED = "non_attributed"
    AGGREGATE = "aggregate"
    """Over at least three participants; agreed in advance, cannot be blocked."""
    PUBLIC = "public"
    """What public access would have shown; cannot be blocked."""

    @property
    def needs_approval(self) -> bool:
        """Whether one participant must approve its exact words before they are published."""
        return self in {Attribution.ATTRIBUTED, Attribution.NON_ATTRIBUTED}


class Choice(StrEnum):
    """What a participant decides about one block."""

    APPROVE = "approve"
    EDIT = "edit"
    ANONYMISE = "anonymise"
    REDACT = "redact"


class ExitUntil(StrEnum):
    """Until when the agreement lets a participant leave in silence.

    The first signed decision ends it in every case.
    """

    ACCESS = "access"
    """Before it gave access."""
    PACK = "pack"
    """Before it opened its review pack: the default."""
    DECISION = "decision"
    """Before its first signed decision."""


def highest(*importances: Importance | None) -> Importance | None:
    """The highest of those that are set; None when none is."""
    known = [importance for importance in importances if importance is not None]
    return max(known, key=lambda importance: importance.rank, default=None)
