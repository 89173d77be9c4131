"""Roles are keys: who holds which, and whether the signatures on an act suffice for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ._codec import Document
from ._refusal import need
from ._words import Mode


class Role(StrEnum):
    """What a key is for."""

    ASSESSOR = "assessor"
    """Gathers, writes, reviews, publishes."""
    WITNESS = "witness"
    """A second pair of eyes that does not assess: countersigns."""
    PARTICIPANT = "participant"
    """Speaks for one participant."""


ASSESSING = frozenset({Role.ASSESSOR, Role.WITNESS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder(Document):
    """Who holds a key.

    Attributes:
        person: the human who uses it; four eyes are counted by people, not by keys.
        role: what it is for.
        participant: whom it speaks for, exactly when the role is participant.
        revoked: nothing signed from now on with this key counts.
    """

    person: str
    role: Role
    participant: str | None = None
    revoked: bool = False

    def __post_init__(self) -> None:
        if not self.person:
            raise ValueError("expected the name of the person who holds the key, found none")
        if (self.role is Role.PARTICIPANT) != (self.participant is not None):
            raise ValueError(
                f"expected a participant exactly for the role participant, found role {self.role} "
                f"and participant {self.participant!r}"
            )

    @property
    def side(self) -> str | None:
        """The participant's name, or None for the assessor's side."""
        return self.participant


def signers(keys: Mapping[str, Holder], by: tuple[str, ...]) -> tuple[Holder, ...]:
    """The holders of the keys that signed; refuses none, unknown, revoked and repeated ones."""
    need(bool(by), "role", "expected a signature, found none", "sign the act")
    need(
        len(set(by)) == len(by),
        "role",
        "a key signed twice",
        "sign once with each key",
    )
    for key in by:
        need(
            key in keys,
            "role",
            f"key {key} is not one of this round's",
            "have an assessor add it, or sign with a key of this round",
        )
        need(
            not keys[key].revoked,
            "role",
            f"key {key} is revoked",
            "sign with the key that replaced it",
        )
    return tuple(keys[key] for key in by)


def need_assessor(holders: tuple[Holder, ...]) -> Holder:
    """The first assessor among the signers; refuses when there is none, or a participant is."""
    found = [holder for holder in holders if holder.role is Role.ASSESSOR]
    need(
        bool(found),
        "role",
        f"expected an assessor's signature, found {_roles(holders)}",
        "have an assessor sign",
    )
    _no_others(holders, None)
    return found[0]


def need_participant(holders: tuple[Holder, ...], participant: str) -> None:
    """Refuses unless every signature is of a key that speaks for this participant."""
    need(
        any(holder.participant == participant for holder in holders),
        "role",
        f"expected a signature of {participant}, found {_roles(holders)}",
        f"have {participant} sign with its own key",
    )
    _no_others(holders, participant)


def need_four_eyes(
    holders: tuple[Holder, ...], mode: Mode, what: str, rule: str = "four_eyes"
) -> None:
    """Refuses unless two people of the assessor's side signed, one of them an assessor.

    A self-assessment is one person's: there an assessor suffices.
    """
    need_assessor(tuple(holder for holder in holders if holder.role in ASSESSING))
    people = {holder.person for holder in holders if holder.role in ASSESSING}
    need(
        mode is Mode.SELF or len(people) > 1,
        rule,
        f"{what} takes two people, found {len(people)}",
        "have a second assessor or a witness sign the same act",
    )


def _no_others(holders: tuple[Holder, ...], side: str | None) -> None:
    need(
        all(holder.side == side for holder in holders),
        "role",
        f"expected signatures of one side only, found {_roles(holders)}",
        "leave out the keys that have no part in this",
    )


def _roles(holders: tuple[Holder, ...]) -> str:
    return ", ".join(sorted({holder.participant or holder.role.value for holder in holders})) or (
        "none of the assessor's side"
    )


def need_one_side(keys: Mapping[str, Holder], new: Holder) -> None:
    """Refuses a key for a person who already holds one on another side."""
    for holder in keys.values():
        need(
            holder.person != new.person or holder.side == new.side,
            "conflict",
            f"{new.person} already holds a key of {holder.side or 'the assessor'}",
            "give the key to somebody without a tie to the other side",
        )
