"""Judgements: people's estimates of the cells of the threat ladder, first in private.

A private first round binds everybody before anybody sees another's estimate: a signed digest over
round, cell, person, nonce and estimate. After the reveal comes discussion and a second round.
Every estimate is shown, with its spread as a range and counts: the scale is ordinal, so there is
no mean, and nothing here says which estimate is right.

Functions from values to values: the nonce, the signatures and the day come from the caller.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final

from ._estimates import LADDER, Commitment, Document, JudgementEstimate, Reveal, Verify
from ._refusal import RuleBroken

LEAST_ESTIMATES: Final = 2
"""Estimates that a cell needs in a round; a self-assessment is content with one."""


class Recusal(StrEnum):
    """Why somebody does not judge a cell."""

    FINANCIAL = "financial"
    EMPLOYMENT = "employment"
    PERSONAL = "personal"
    AUTHORSHIP = "authorship"
    """Made what is judged."""


class PanelStage(StrEnum):
    """Where the judging of one cell is."""

    FIRST = "first"
    """Estimates are committed to in private."""
    REVEAL = "reveal"
    DISCUSSION = "discussion"
    SECOND = "second"
    CLOSED = "closed"


RULES: Final[Mapping[str, str]] = {
    "stage": "the cell is at the step at which this is done",
    "panel": "who estimates is of the panel and not recused",
    "signature": "a signature holds, by the key of the person that it names",
    "commitment": "each person commits once, to this cell, and nobody to another's digest",
    "reveal": "what is revealed is what was committed to",
    "least": "a cell has at least two estimates in a round",
    "complete": "everybody of the panel has committed or is recused",
}
"""Every rule that a step can be refused by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementRefusal(RuleBroken):
    """Why a step of judging changes nothing."""

    rules: ClassVar[Mapping[str, str]] = RULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat(Document):
    """One person's part in judging a cell.

    Attributes:
        key: id of the person's key.
        recused: why the person does not judge, or None.
        commitment: of the first round.
        first: the estimate of the first round, once revealed.
        second: the estimate of the second round.
        dissent: why the person dissents, in its own words, or None.
    """

    schema: ClassVar[str] = "custodes.judgement-seat/1"

    key: str
    recused: Recusal | None = None
    commitment: Commitment | None = None
    first: JudgementEstimate | None = None
    second: JudgementEstimate | None = None
    dissent: str | None = None

    @property
    def standing(self) -> JudgementEstimate | None:
        """The estimate that counts: of the second round, else of the first."""
        return self.second or self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel(Document):
    """The judging of one cell.

    Attributes:
        round: name of the round.
        cell: of the ladder.
        least: how many estimates it needs.
        stage: where it is.
        seats: by person.
    """

    schema: ClassVar[str] = "custodes.judgement-panel/1"

    round: str
    cell: str
    least: int = LEAST_ESTIMATES
    stage: PanelStage = PanelStage.FIRST
    seats: Mapping[str, Seat]

    def __post_init__(self) -> None:
        if self.cell not in LADDER:
            raise ValueError(f"expected a cell of the ladder, found {self.cell!r}")
        if len({seat.key for seat in self.seats.values()}) != len(self.seats):
            raise ValueError("expected a key of its own for every person of the panel")
        if self.least < 1:
            raise ValueError(f"expected at least one estimate, found {self.least}")

    @property
    def judging(self) -> Mapping[str, Seat]:
        """The seats of those who are not recused."""
        return {person: seat for person, seat in self.seats.items() if seat.recused is None}


def _refuse(rule: str, reason: str, remedy: str) -> JudgementRefusal:
    return JudgementRefusal(rule=rule, reason=reason, remedy=remedy)


def _at(panel: Panel, what: str, *stages: PanelStage) -> JudgementRefusal | None:
    if panel.stage in stages:
        return None
    return _refuse(
        "stage",
        f"{what} belongs to {' or '.join(stages)}, found {panel.cell} at {panel.stage.value}",
        "do the steps in their order: commit, reveal, discuss, estimate again, close",
    )


def _of_panel(panel: Panel, person: str) -> JudgementRefusal | None:
    if person in panel.judging:
        return None
    recused = person in panel.seats
    return _refuse(
        "panel",
        f"{person} is {'recused from' if recused else 'not of the panel of'} {panel.cell}",
        "leave the cell to the others" if recused else "seat the person before the first round",
    )


def _put(panel: Panel, person: str, seat: Seat) -> Panel:
    return replace(panel, seats={**panel.seats, person: seat})


def recuse(panel: Panel, person: str, why: Recusal) -> Panel | JudgementRefusal:
    """Takes a person out of a cell, with all that the person said of it, until it is closed."""
    stages = [stage for stage in PanelStage if stage is not PanelStage.CLOSED]
    refusal = _at(panel, "a recusal", *stages) or _of_panel(panel, person)
    return refusal or _put(panel, person, Seat(key=panel.seats[person].key, recused=why))


def take_commitment(
    panel: Panel, commitment: Commitment, verify: Verify
) -> Panel | JudgementRefusal:
    """Takes a person's commitment in; no second one, nobody else's, none after the first round."""
    person = commitment.person
    refusal = _at(panel, "a commitment", PanelStage.FIRST) or _of_panel(panel, person)
    if refusal is not None:
        return refusal
    seat = panel.seats[person]
    if (commitment.round, commitment.cell) != (panel.round, panel.cell):
        return _refuse(
            "commitment",
            f"expected a commitment for {panel.round} and {panel.cell}, found one for "
            f"{commitment.round} and {commitment.cell}",
            "commit to this cell",
        )
    if seat.commitment is not None:
        return _refuse("commitment", f"{person} has committed already", "keep to the first one")
    others = [other.commitment.digest for other in panel.seats.values() if other.commitment]
    if commitment.digest in others:
        return _refuse(
            "commitment", "the digest is another person's", "commit to an estimate of your own"
        )
    signature = bytes.fromhex(commitment.signature)
    if commitment.key != seat.key or not verify(seat.key, commitment.payload, signature):
        return _refuse(
            "signature",
            f"the signature over the commitment does not hold for the key of {person}",
            "sign with the key that the panel names",
        )
    return _put(panel, person, replace(seat, commitment=commitment))


def close_first(panel: Panel) -> Panel | JudgementRefusal:
    """Ends the private round, once everybody has committed and there are enough."""
    refusal = _at(panel, "ending the first round", PanelStage.FIRST)
    if refusal is not None:
        return refusal
    waiting = [person for person, seat in panel.judging.items() if seat.commitment is None]
    if waiting:
        return _refuse(
            "complete",
            f"expected a commitment of everybody, found none of {', '.join(sorted(waiting))}",
            "wait for it, or record the recusal",
        )
    if len(panel.judging) < panel.least:
        return _refuse(
            "least",
            f"expected {panel.least} estimates or more of {panel.cell}, found {len(panel.judging)}",
            "seat more people, or record that the cell was not judged",
        )
    return replace(panel, stage=PanelStage.REVEAL)


def take_reveal(panel: Panel, reveal: Reveal) -> Panel | JudgementRefusal:
    """Takes in what a person committed to; refused when it is not that."""
    refusal = _at(panel, "a reveal", PanelStage.REVEAL) or _of_panel(panel, reveal.person)
    if refusal is not None:
        return refusal
    seat = panel.seats[reveal.person]
    try:
        digest = reveal.digest
    except ValueError as error:
        return _refuse("reveal", str(error), "reveal the document that was kept")
    same = (reveal.round, reveal.cell) == (panel.round, panel.cell)
    committed = seat.commitment
    if not same or committed is None or not hmac.compare_digest(committed.digest, digest):
        return _refuse(
            "reveal",
            f"what {reveal.person} reveals is not what the commitment stands for",
            "reveal the document that was kept; without it the estimate prints as withheld",
        )
    return _put(panel, reveal.person, replace(seat, first=reveal.estimate))


def open_discussion(panel: Panel) -> Panel | JudgementRefusal:
    """Ends the reveal: whatever is not revealed by now prints as withheld."""
    refusal = _at(panel, "discussion", PanelStage.REVEAL)
    return refusal or replace(panel, stage=PanelStage.DISCUSSION)


def open_second(panel: Panel) -> Panel | JudgementRefusal:
    """Ends the discussion."""
    refusal = _at(panel, "the second round", PanelStage.DISCUSSION)
    return refusal or replace(panel, stage=PanelStage.SECOND)


def take_second(panel: Panel, person: str, estimate: JudgementEstimate) -> Panel | JudgementRefusal:
    """Takes a person's second estimate in, once; only from who revealed the first."""
    refusal = _at(panel, "a second estimate", PanelStage.SECOND) or _of_panel(panel, person)
    if refusal is not None:
        return refusal
    seat = panel.seats[person]
    if seat.first is None:
        return _refuse(
            "reveal",
            f"{person} withheld the first estimate, and has seen those of the others",
            "leave it: the seat prints as withheld",
        )
    if seat.second is not None:
        return _refuse("commitment", f"{person} has estimated again already", "keep to that one")
    return _put(panel, person, replace(seat, second=estimate))


def take_dissent(panel: Panel, person: str, words: str) -> Panel | JudgementRefusal:
    """Takes in why a person dissents: printed with the judgement."""
    refusal = _at(panel, "a dissent", PanelStage.SECOND) or _of_panel(panel, person)
    if refusal is not None:
        return refusal
    if not words.strip():
        return _refuse("panel", "expected the words of a dissent, found none", "write them")
    return _put(panel, person, replace(panel.seats[person], dissent=words))


def close(panel: Panel) -> Panel | JudgementRefusal:
    """Ends the second round; refused while fewer estimates than needed were revealed."""
    refusal = _at(panel, "closing", PanelStage.SECOND)
    if refusal is not None:
        return refusal
    known = sum(seat.standing is not None for seat in panel.judging.values())
    if known < panel.least:
        return _refuse(
            "least",
            f"expected {panel.least} estimates or more of {panel.cell}, found {known}",
            "record that the cell was not judged",
        )
    return replace(panel, stage=PanelStage.CLOSED)
