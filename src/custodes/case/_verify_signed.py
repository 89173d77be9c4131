"""What signatures settle about a ledger, and what they leave open, in words."""

from __future__ import annotations

from typing import Protocol

from ._heads import HeadCheck
from ._keyring import when
from ._words import LEDGER_NAME


class Findings(Protocol):
    """Where findings go."""

    @property
    def not_checkable(self) -> list[str]: ...

    def wrong(self, where: str, what: str) -> None: ...

    def note(self, what: str) -> None: ...


def signed(check: HeadCheck, events: int, pinned: bool, to: Findings) -> None:
    """Say what the signed heads show, once the last line was read.

    Args:
        check: after the last line.
        events: whole events in the ledger.
        pinned: whether a public key was given from outside.
        to: where findings go.
    """
    for text in check.end():
        to.wrong(LEDGER_NAME, text)
    for text in check.ring.notes:
        to.note(text)
    if check.uncheckable:
        to.not_checkable.append(f"signatures: {check.uncheckable}")
        if pinned:
            to.wrong(LEDGER_NAME, "a public key was given and no signature can be checked")
        return
    if not check.heads:
        what = "nothing here is signed" if check.seen == 0 else "no signed head here is right"
        if pinned:
            to.wrong(LEDGER_NAME, f"a public key was given and {what}")
        to.not_checkable.append(
            f"who wrote the events and the evidence: {what}; a person who can write to the folder "
            "can write a new chain"
        )
        return
    head, signers = check.heads[-1]
    names = ", ".join(f"{e.name} ({e.public.id}, {e.role})" for e in signers)
    to.note(f"events 0 to {head.size - 1} are signed by {names} at {when(head.at)}")
    if pinned and not any(e.trusted and e.role == "assessor" for e in signers):
        to.wrong(
            LEDGER_NAME,
            f"the newest head is signed by {names}: none is the key that was given, or was brought "
            "in by it",
        )
    if not pinned:
        to.not_checkable.append(
            "whose keys signed: the ledger vouches for its own first key; give the public key "
            "that you know with --key"
        )
    # The event that holds the head is not under it.
    loose = events - head.size - 1
    if loose > 0:
        to.not_checkable.append(
            f"the newest {loose} events: they came after the newest signed head, and only the "
            "chain holds them"
        )
    to.not_checkable.append(
        "whether what was recorded is true: signatures show who fixed which events in which "
        "order, not where the evidence came from"
    )


__all__ = ["Findings", "signed"]
