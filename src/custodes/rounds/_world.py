"""The world: everything about a round that decides what may happen next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import ClassVar

from custodes.types import JsonObject, JsonValue, Sha256

from ._codec import Document, body, load
from ._roles import Holder
from ._statement import DisclosureItem, Downgrade, QualifiedFor, Statement, redaction_statement
from ._words import (
    Attribution,
    Choice,
    ClaimState,
    ExitUntil,
    Importance,
    Mode,
    ParticipantState,
    RoundStage,
)

GONE = frozenset({ParticipantState.EXITED})
SETTLED = frozenset(
    {
        ParticipantState.APPROVED,
        ParticipantState.DISPUTED,
        ParticipantState.INCLUDED,
        ParticipantState.WITHDRAWN,
    }
)
DECIDED = frozenset(
    {ClaimState.APPROVED, ClaimState.EDITED, ClaimState.ANONYMISED, ClaimState.REDACTED}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant(Document):
    """One participant.

    Attributes:
        state: where it is.
        exit_until: until when it may leave in silence.
        decided: whether it has signed a decision: that closes the silent exit.
        positions: digests of its position and the assessor's, once it disputes.
        held: whether a legal hold is on what it left behind.
    """

    state: ParticipantState
    exit_until: ExitUntil
    decided: bool = False
    positions: tuple[Sha256, Sha256] | None = None
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim(Document):
    """One claim.

    Attributes:
        state: where it is.
        attribution: who must approve it.
        participant: whose it is, exactly if it needs an approval.
        over: the participants that an aggregate is over.
        leaf: digest of its block as it stands.
        author: who wrote these words.
        evidence: what it rests on.
        opinion: whether it is marked as opinion.
        importance: set by people.
        locked: whether only two people can lower it.
        lowered: whether two people did.
        inherited: importance of the claims that it was made from.
        first: digest of the words first offered, of it or of what it was made from.
        choice: the participant's decision about the words as they stand.
        approved: digest that the participant signed, if it approved any.
        describable: whether the report may say what was withheld.
        meaning: digest of the words that the assessor signed as preserving the meaning.
    """

    state: ClaimState
    attribution: Attribution
    participant: str | None
    over: tuple[str, ...]
    leaf: Sha256
    author: str
    evidence: tuple[str, ...] = ()
    opinion: bool = False
    importance: Importance | None = None
    locked: bool = False
    lowered: bool = False
    inherited: tuple[Importance, ...] = ()
    first: Sha256 | None = None
    choice: Choice | None = None
    approved: Sha256 | None = None
    describable: bool = False
    meaning: Sha256 | None = None

    @property
    def offered(self) -> bool:
        """Whether any words of it, or of what it was made from, were ever offered."""
        return self.first is not None

    @property
    def changed(self) -> bool:
        """Whether its words are other than those first offered."""
        return self.offered and self.first != self.leaf

    @property
    def needs_approval(self) -> bool:
        """Whether a participant must approve its words."""
        return self.participant is not None

    @property
    def effective(self) -> Importance | None:
        """The importance that counts; None while nobody set it and nothing is inherited."""
        if self.importance is None and not self.inherited:
            return None
        return self._item("").effective

    @property
    def publishable(self) -> bool:
        """Whether its words may stand in a public report."""
        if not self.needs_approval:
            return True
        return self.choice not in {None, Choice.REDACT} and self.approved == self.leaf

    def _item(self, name: str, conclusions: tuple[str, ...] = ()) -> DisclosureItem:
        return DisclosureItem(
            id=name,
            importance=self.importance,
            inherited=self.inherited,
            lowered=self.lowered,
            choice=self.choice,
            changed=self.changed,
            meaning_signed=self.meaning == self.leaf,
            describable=self.describable,
            conclusions=conclusions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion(Document):
    """A key fact or a judgement.

    Attributes:
        rests_on: the claims that it depends on significantly.
        stale: whether something that it rested on is gone, so that it must be made again.
    """

    rests_on: tuple[str, ...]
    stale: bool = False


class NoticeKind(StrEnum):
    """What a report prints about how it was made."""

    DOWNGRADE = "downgrade"
    NARROWED = "narrowed"
    WAIVER = "waiver"
    EXPORT = "export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Document):
    """Something that two people did and the report prints.

    Attributes:
        kind: what.
        about: the claim, conclusion, rule or material.
        participants: whom it concerns; gone with any of them that leaves in silence.
        was: importance before a downgrade.
        now: importance after it.
        people: who signed.
    """

    kind: NoticeKind
    about: str
    participants: tuple[str, ...] = ()
    was: Importance | None = None
    now: Importance | None = None
    people: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class World(Document):
    """A round, or a self-assessment.

    Attributes:
        name: the round's.
        mode: who assesses whom.
        stage: where it is.
        keys: holders by key id.
        participants: by name.
        claims: by id.
        conclusions: by id.
        notices: what the report prints, oldest first.
    """

    schema: ClassVar[str] = "custodes.round-world/1"

    name: str
    mode: Mode
    stage: RoundStage = RoundStage.DRAFT
    keys: Mapping[str, Holder]
    participants: Mapping[str, Participant] = field(default_factory=dict)
    claims: Mapping[str, Claim] = field(default_factory=dict)
    conclusions: Mapping[str, Conclusion] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()

    @classmethod
    def from_json(cls, data: JsonValue) -> World:
        """The world of a document; ValueError if it is none."""
        return load(cls, body(data, cls.schema), "round")

    @property
    def present(self) -> Mapping[str, Participant]:
        """The participants that have not left in silence."""
        return {name: p for name, p in self.participants.items() if p.state not in GONE}

    @property
    def withdrawn(self) -> int:
        """How many withdrew after a signed decision: printed."""
        return sum(p.state is ParticipantState.WITHDRAWN for p in self.participants.values())

    def claims_of(self, participant: str) -> Mapping[str, Claim]:
        """The claims that a participant must approve."""
        return {name: c for name, c in self.claims.items() if c.participant == participant}

    def items_of(self, participant: str) -> tuple[DisclosureItem, ...]:
        """A participant's claims as its decisions left them."""
        return tuple(
            claim._item(
                name, tuple(sorted(c for c, on in self.conclusions.items() if name in on.rests_on))
            )
            for name, claim in sorted(self.claims_of(participant).items())
        )

    def statement_of(self, participant: str, further: tuple[QualifiedFor, ...] = ()) -> Statement:
        """The redaction summary statement of a participant, as things stand."""
        downgrades = tuple(
            Downgrade(claim=n.about, was=n.was, now=n.now, people=n.people)
            for n in self.notices
            if n.kind is NoticeKind.DOWNGRADE
            and n.participants == (participant,)
            and n.was is not None
            and n.now is not None
        )
        return redaction_statement(
            participant, self.items_of(participant), downgrades=downgrades, further=further
        )

    def to_label(self) -> Mapping[str, tuple[str, ...]]:
        """The conclusions that rest on withheld claims, with those claims: re-issue or label."""
        withheld = {
            item.id for name in self.participants for item in self.items_of(name) if item.withheld
        }
        found = {
            name: tuple(claim for claim in conclusion.rests_on if claim in withheld)
            for name, conclusion in self.conclusions.items()
        }
        return {name: claims for name, claims in found.items() if claims}

    def public(self) -> JsonObject:
        """What a publication may be built from: nothing of whoever left in silence.

        Withheld claims and participants that withdrew are not named; the notices about them are
        printed without their ids, and without the names of people.
        """
        shown = {
            name: p.state.value
            for name, p in sorted(self.present.items())
            if p.state is not ParticipantState.WITHDRAWN
        }
        return {
            "schema": "custodes.round-public/1",
            "name": self.name,
            "mode": self.mode.value,
            "stage": self.stage.value,
            "participants": shown,
            "withdrawn": self.withdrawn,
            "published": sorted(
                claim.leaf
                for claim in self.claims.values()
                if claim.state in {ClaimState.PUBLISHED, ClaimState.CORRECTED} and claim.publishable
            ),
            "statements": [self.statement_of(name).public() for name in shown],
            "waivers": sorted(n.about for n in self.notices if n.kind is NoticeKind.WAIVER),
        }

    def without(self, participant: str) -> World:
        """The same world with a participant gone from everything but the list of who exited."""
        mine = set(self.claims_of(participant))
        claims: dict[str, Claim] = {}
        for name, claim in self.claims.items():
            if name in mine:
                continue
            if participant in claim.over:
                # Its figures must be computed again: new words, new support, new review.
                over = tuple(other for other in claim.over if other != participant)
                claim = replace(claim, over=over, state=ClaimState.DRAFT, evidence=())
            claims[name] = claim
        redrafted = {name for name, claim in claims.items() if claim != self.claims[name]}
        conclusions = {
            name: replace(
                conclusion,
                rests_on=tuple(claim for claim in conclusion.rests_on if claim not in mine),
                stale=conclusion.stale or bool((mine | redrafted) & set(conclusion.rests_on)),
            )
            for name, conclusion in self.conclusions.items()
        }
        return replace(
            self,
            claims=claims,
            conclusions=conclusions,
            keys={key: h for key, h in self.keys.items() if h.participant != participant},
            notices=tuple(n for n in self.notices if participant not in n.participants),
        )


def new_world(name: str, mode: Mode, keys: Mapping[str, Holder]) -> World:
    """A round that nothing has happened in yet.

    Raises:
        ValueError: if no key is an assessor's.
    """
    if not any(holder.role.value == "assessor" for holder in keys.values()):
        raise ValueError("expected a key of an assessor, found none: nobody could act")
    return World(name=name, mode=mode, keys=dict(keys))
