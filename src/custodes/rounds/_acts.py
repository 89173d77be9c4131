"""Acts: everything that anybody can do in a round, as values.

An act names the keys whose signatures over it were checked before it got here (``by``). What it
may do, and when, is in :mod:`custodes.rounds._states`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from custodes.types import JsonObject, JsonValue, Sha256, parse_sha256

from ._codec import Document, body, dump, load
from ._roles import Holder
from ._words import Attribution, Choice, ExitUntil, Importance

SCHEMA = "custodes.round-act/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act(Document):
    """Something done, by whom.

    Attributes:
        kind: its dotted name, also of the ledger's event.
        by: ids of the keys that signed it.
    """

    schema: ClassVar[str] = SCHEMA
    kind: ClassVar[str]

    by: tuple[str, ...]

    def to_json(self) -> JsonObject:
        """A document of schema ``custodes.round-act/1``, with its kind."""
        return {"schema": SCHEMA, "kind": self.kind, **dump(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ForParticipant(Act):
    """An act about one participant."""

    participant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForClaim(Act):
    """An act about one claim."""

    claim: str


# --- keys --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AddKey(Act):
    """An assessor takes a key into the round."""

    kind: ClassVar[str] = "round.key_added"
    key: str
    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(Act):
    """Two people declare that a key counts no more."""

    kind: ClassVar[str] = "round.key_revoked"
    key: str


# --- the round ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeProtocol(Act):
    """Questions, ladder, rubric and analysis plan are fixed.

    Attributes:
        protocol: digest of them.
    """

    kind: ClassVar[str] = "round.protocol_frozen"
    protocol: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.protocol)


@dataclass(frozen=True, slots=True, kw_only=True)
class StartGathering(Act):
    """Evidence is gathered from now on."""

    kind: ClassVar[str] = "round.gathering"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAnalysis(Act):
    """All evidence is in."""

    kind: ClassVar[str] = "round.analysis"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDisclosure(Act):
    """Participants are offered what would be published."""

    kind: ClassVar[str] = "round.disclosure"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartDrafting(Act):
    """The report is written from what was approved."""

    kind: ClassVar[str] = "round.drafting"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendCourtesy(Act):
    """Every participant gets the same bytes of the draft.

    Attributes:
        draft: digest of the draft.
    """

    kind: ClassVar[str] = "round.courtesy"
    draft: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.draft)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReoffer(Act):
    """New non-public text came up and is offered."""

    kind: ClassVar[str] = "round.re_offer"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFinalCheck(Act):
    """The text is frozen and checked."""

    kind: ClassVar[str] = "round.final_check"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBack(Act):
    """The final check found a fault: back to drafting."""

    kind: ClassVar[str] = "round.sent_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish(Act):
    """Two people publish.

    Attributes:
        report: digest of what is published.
    """

    kind: ClassVar[str] = "round.published"
    report: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.report)


@dataclass(frozen=True, slots=True, kw_only=True)
class Supersede(Act):
    """A later report takes this one's place."""

    kind: ClassVar[str] = "round.superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort(Act):
    """The round ends without a report."""

    kind: ClassVar[str] = "round.aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRestricted(Act):
    """Two people let restricted material out.

    Attributes:
        material: digest of what leaves.
        participants: whose it is.
        to: who gets it: ``regulator``, or a participant's name.
    """

    kind: ClassVar[str] = "round.exported"
    material: Sha256
    participants: tuple[str, ...]
    to: str

    def __post_init__(self) -> None:
        parse_sha256(self.material)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waive(Act):
    """Two people waive a disclosure rule; printed.

    Attributes:
        waived: the rule's number, 01 to 25.
    """

    kind: ClassVar[str] = "round.waived"
    waived: str

    def __post_init__(self) -> None:
        if self.waived not in {f"{number:02}" for number in range(1, 26)}:
            raise ValueError(f"expected a rule's number from 01 to 25, found {self.waived!r}")


# --- participants ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Invite(ForParticipant):
    """An assessor invites.

    Attributes:
        exit_until: until when the agreement would let it leave in silence.
    """

    kind: ClassVar[str] = "participant.invited"
    exit_until: ExitUntil = ExitUntil.PACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Agree(ForParticipant):
    """A participant signs the agreement."""

    kind: ClassVar[str] = "participant.agreed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveAccess(ForParticipant):
    """A participant gives the access agreed on."""

    kind: ClassVar[str] = "participant.access"


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishEvaluation(ForParticipant):
    """An assessor has what was to be gathered there."""

    kind: ClassVar[str] = "participant.evaluated"


@dataclass(frozen=True, slots=True, kw_only=True)
class SendPrivateReport(ForParticipant):
    """An assessor sends the private report.

    Attributes:
        report: its digest.
    """

    kind: ClassVar[str] = "participant.private_report"
    report: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.report)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPack(ForParticipant):
    """A participant opens its review pack."""

    kind: ClassVar[str] = "participant.negotiating"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignApproval(ForParticipant):
    """A participant signs that its decisions are complete."""

    kind: ClassVar[str] = "participant.approved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute(ForParticipant):
    """A participant disputes what is said around its approved text: both positions are printed.

    Attributes:
        theirs: digest of the participant's position.
        ours: digest of the assessor's.
    """

    kind: ClassVar[str] = "participant.disputed"
    theirs: Sha256
    ours: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.theirs)
        parse_sha256(self.ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdraw(ForParticipant):
    """A participant leaves after its first signed decision: published as a count."""

    kind: ClassVar[str] = "participant.withdrawn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit(ForParticipant):
    """A participant leaves in silence."""

    kind: ClassVar[str] = "participant.exited"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold(ForParticipant):
    """A legal hold: what a participant that left has here may not be destroyed, nor used."""

    kind: ClassVar[str] = "participant.held"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHold(ForParticipant):
    """The legal hold is over."""

    kind: ClassVar[str] = "participant.hold_released"


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge(ForParticipant):
    """Two people destroy what a participant that left has here."""

    kind: ClassVar[str] = "participant.purged"


# --- claims ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftClaim(ForClaim):
    """An assessor writes a claim.

    Attributes:
        attribution: who must approve it.
        participant: whose it is, exactly if it needs an approval.
        over: the participants that an aggregate is over.
        leaf: digest of its block.
    """

    kind: ClassVar[str] = "claim.drafted"
    attribution: Attribution
    participant: str | None = None
    over: tuple[str, ...] = ()
    leaf: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportClaim(ForClaim):
    """An assessor names a claim's evidence, or marks it as opinion."""

    kind: ClassVar[str] = "claim.supported"
    evidence: tuple[str, ...] = ()
    opinion: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewClaim(ForClaim):
    """Another assessor has checked a claim against its evidence."""

    kind: ClassVar[str] = "claim.reviewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetImportance(ForClaim):
    """An assessor sets a claim's importance."""

    kind: ClassVar[str] = "claim.importance_set"
    importance: Importance


@dataclass(frozen=True, slots=True, kw_only=True)
class LockImportance(ForClaim):
    """An assessor locks it: from now on it falls by two people only, in print."""

    kind: ClassVar[str] = "claim.importance_locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviseClaim(ForClaim):
    """An assessor changes a claim's words: what was approved is approved no more."""

    kind: ClassVar[str] = "claim.revised"
    leaf: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Document):
    """A claim that a split makes."""

    claim: str
    leaf: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitClaim(ForClaim):
    """An assessor splits a claim; every part inherits its importance."""

    kind: ClassVar[str] = "claim.split"
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        if len({part.claim for part in self.parts}) < 2:
            raise ValueError("expected at least two parts with ids of their own")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeClaims(ForClaim):
    """An assessor merges claims into a new one, which inherits the highest importance."""

    kind: ClassVar[str] = "claim.merged"
    sources: tuple[str, ...]
    leaf: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)
        if len(set(self.sources)) != len(self.sources) or len(self.sources) < 2:
            raise ValueError("expected at least two different claims to merge")


@dataclass(frozen=True, slots=True, kw_only=True)
class DropClaim(ForClaim):
    """An assessor drops a claim that was never offered."""

    kind: ClassVar[str] = "claim.dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferClaim(ForClaim):
    """An assessor offers a claim's exact words to its participant."""

    kind: ClassVar[str] = "claim.offered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide(ForClaim):
    """A participant decides about a claim's exact words.

    Attributes:
        choice: what it decides.
        leaf: digest of the words that it decides about.
        replacement: digest of the words that it approves instead, for edit and anonymise.
        describable: whether the report may say what was withheld.
    """

    kind: ClassVar[str] = "claim.decided"
    choice: Choice
    leaf: Sha256
    replacement: Sha256 | None = None
    describable: bool = False

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)
        if (self.choice in {Choice.EDIT, Choice.ANONYMISE}) != (self.replacement is not None):
            raise ValueError(
                f"expected words in place of the offered ones exactly for edit and anonymise, "
                f"found {self.choice}"
            )
        if self.replacement is not None and parse_sha256(self.replacement) == self.leaf:
            raise ValueError("expected other words in place of the offered ones: approve these")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignMeaning(ForClaim):
    """An assessor signs that changed words preserve the meaning."""

    kind: ClassVar[str] = "claim.meaning_signed"
    leaf: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectClaim(ForClaim):
    """A published claim is corrected: two people, and its participant over the new words."""

    kind: ClassVar[str] = "claim.corrected"
    leaf: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetractClaim(ForClaim):
    """A published claim is taken back: two people, and nobody's approval."""

    kind: ClassVar[str] = "claim.retracted"


# --- conclusions -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclude(Act):
    """An assessor makes a conclusion (a key fact or a judgement), or makes it again.

    Attributes:
        conclusion: its id.
        rests_on: the claims that it depends on significantly.
    """

    kind: ClassVar[str] = "conclusion.made"
    conclusion: str
    rests_on: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropConclusion(Act):
    """An assessor drops a conclusion."""

    kind: ClassVar[str] = "conclusion.dropped"
    conclusion: str


def _concrete(kind: type[Act]) -> list[type[Act]]:
    below = [found for child in kind.__subclasses__() for found in _concrete(child)]
    return [kind, *below] if "kind" in vars(kind) else below


# A dataclass with slots is made twice; the later one of a name is the one in this module.
KINDS = {kind.kind: kind for kind in _concrete(Act) if globals().get(kind.__name__) is kind}
"""Every act by its kind."""


def act_from_json(data: JsonValue) -> Act:
    """The act of a document.

    Raises:
        ValueError: one line that says what is wrong with it.
    """
    fields = body(data, SCHEMA)
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"expected the kind of an act, found {kind!r}: see docs/rounds.md")
    act: Act = load(KINDS[kind], fields, kind)
    return act
