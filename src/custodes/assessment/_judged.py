"""A judged cell as it is printed: every estimate, its spread, and no verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from ._estimates import ORDER, Capability, Document, JudgementEstimate
from ._judgement import Panel, PanelStage, Recusal, Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread(Document):
    """How the estimates of one round lie: a range and counts; the scale is ordinal.

    Attributes:
        lowest: the lowest of the ordered estimates, None when there is none.
        highest: the highest of them.
        counts: of every word of the scale, those that nobody chose included.
        withheld: how many committed and did not reveal.
    """

    schema: ClassVar[str] = "custodes.judgement-spread/1"

    lowest: Capability | None
    highest: Capability | None
    counts: Mapping[Capability, int]
    withheld: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonsLine(Document):
    """One person's line.

    Attributes:
        person: whose.
        first: estimate of the first round; None is withheld, recused, or not given.
        second: estimate of the second round; None if there is none.
        withheld: committed and did not reveal.
        recused: why the person does not judge, or None.
        dissent: in the person's words, or None.
    """

    schema: ClassVar[str] = "custodes.judgement-line/1"

    person: str
    first: JudgementEstimate | None
    second: JudgementEstimate | None
    withheld: bool
    recused: Recusal | None
    dissent: str | None

    @property
    def standing(self) -> JudgementEstimate | None:
        """The estimate that counts: of the second round, else of the first."""
        return self.second or self.first

    @property
    def words(self) -> str:
        """What the report prints for the estimate that counts."""
        if self.recused is not None:
            return f"recused ({self.recused.value})"
        if self.withheld:
            return "withheld"
        if self.standing is None:
            return "none"
        return self.standing.capability.value.replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement(Document):
    """A cell as it is printed.

    Attributes:
        cell: of the ladder.
        closed: whether both rounds are done.
        first: spread of the first round.
        standing: spread of the estimates that count.
        lines: of every person, by name.
        expires: the earliest day on which an estimate that counts holds no more; None if none does.
        expired: whether that day has come.
    """

    schema: ClassVar[str] = "custodes.judgement/1"

    cell: str
    closed: bool
    first: Spread
    standing: Spread
    lines: tuple[PersonsLine, ...]
    expires: str | None
    expired: bool


def spread(estimates: Sequence[JudgementEstimate], *, withheld: int) -> Spread:
    """Range and counts of estimates."""
    chosen = [estimate.capability for estimate in estimates]
    ordered = sorted((word for word in chosen if word in ORDER), key=ORDER.index)
    return Spread(
        lowest=ordered[0] if ordered else None,
        highest=ordered[-1] if ordered else None,
        counts={word: chosen.count(word) for word in Capability},
        withheld=withheld,
    )


def judgement(panel: Panel, *, on: date) -> Judgement:
    """The cell as it is printed on a day.

    Estimates of the first round are shown once the reveal is over; until then a reader sees who
    has committed, and everything as withheld.
    """
    shown = panel.stage not in {PanelStage.FIRST, PanelStage.REVEAL}
    lines = tuple(_line(person, seat, shown) for person, seat in sorted(panel.seats.items()))
    standing = [line.standing for line in lines if line.standing is not None]
    withheld = sum(line.withheld for line in lines)
    expires = min((estimate.expires for estimate in standing), default=None)
    return Judgement(
        cell=panel.cell,
        closed=panel.stage is PanelStage.CLOSED,
        first=spread([line.first for line in lines if line.first is not None], withheld=withheld),
        standing=spread(standing, withheld=withheld),
        lines=lines,
        expires=expires,
        expired=expires is not None and on >= date.fromisoformat(expires),
    )


def _line(person: str, seat: Seat, shown: bool) -> PersonsLine:
    return PersonsLine(
        person=person,
        first=seat.first if shown else None,
        second=seat.second,
        withheld=seat.commitment is not None and (seat.first is None or not shown),
        recused=seat.recused,
        dissent=seat.dissent,
    )
