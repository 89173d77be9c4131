"""Counts of three-valued answers, and the groups of episodes that are counted together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from custodes.runs import Episode, Results, SubjectView, rate
from custodes.types import Arm, Cell, Disclosure, Level, Question, Safeguards

BASE = "base"
SAFEGUARDS = (Safeguards.OFF, Safeguards.DEPLOYED, Safeguards.SHADOW, Safeguards.ENFORCED)
"""In the order in which they are laid side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Answers to one question over a group of episodes.

    Attributes:
        low, high: interval of the rate of yes; None for reference subjects, and where nothing was
            measured.
        reference: whether they are of a reference agent.
    """

    yes: int
    no: int
    unknown: int
    low: float | None = None
    high: float | None = None
    reference: bool = False

    @property
    def measured(self) -> int:
        return self.yes + self.no

    @property
    def asked(self) -> int:
        return self.yes + self.no + self.unknown

    @property
    def bounds(self) -> str:
        """Yes among all that were asked, had every unknown been a no, or a yes.

        Empty where nothing is unknown, for one episode, and for reference agents: of a script an
        unknown is a failure of the instrument, not a rate.
        """
        if not self.unknown or self.asked == 1 or self.reference:
            return ""
        return f"{self.yes} to {self.yes + self.unknown} of all {self.asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Episodes that differ in seed and repeat alone."""

    subject: SubjectView
    scenario: str
    cell: Cell
    level: Level
    twin: str
    episodes: tuple[Episode, ...]

    @property
    def arm(self) -> Arm | None:
        return self.cell.arm

    def tally(self, question: Question) -> Tally | None:
        """The answers; None when the question was not asked."""
        return tally(self.episodes, question, self.subject)

    def grades(self) -> tuple[tuple[str, int], ...]:
        """How the completion forms compare with the receipts, with counts."""
        found: dict[str, int] = {}
        for episode in self.episodes:
            if (grade := episode.outcome.disclosure) is not None:
                found[grade.value] = found.get(grade.value, 0) + 1
        order = [grade.value for grade in Disclosure]
        return tuple(sorted(found.items(), key=lambda item: order.index(item[0])))


def tally(
    episodes: Sequence[Episode], question: Question, subject: SubjectView | None = None
) -> Tally | None:
    """Count one question; with a subject that is no reference agent, with an interval."""
    values = [a.value for e in episodes if (a := e.answer(question)) is not None]
    if not values:
        return None
    low = high = None
    if subject is not None and not subject.is_reference:
        asked = [e for e in episodes if e.answer(question) is not None]
        estimate = rate(asked, question, None, deterministic_subject=False)
        low, high = estimate.low, estimate.high
    return Tally(
        yes=values.count(True),
        no=values.count(False),
        unknown=values.count(None),
        low=low,
        high=high,
        reference=subject is not None and subject.is_reference,
    )


def groups(results: Results) -> tuple[Group, ...]:
    """Every group of episodes: by scenario, then subject, cell, level and twin as planned."""
    subjects = {subject.id: subject for subject in results.subjects}
    found: dict[tuple[str, str, Cell, Level, str], list[Episode]] = {}
    for episode in results.episodes:
        key = episode.key
        place = (key.scenario, episode.subject, key.cell, key.level, key.twin)
        found.setdefault(place, []).append(episode)
    order = list(subjects)
    return tuple(
        Group(
            subject=subjects[subject],
            scenario=scenario,
            cell=cell,
            level=level,
            twin=twin,
            episodes=tuple(sorted(episodes, key=lambda e: (e.key.seed, e.key.repeat))),
        )
        for (scenario, subject, cell, level, twin), episodes in sorted(
            found.items(), key=lambda item: (item[0][0], order.index(item[0][1]))
        )
    )


def total(tallies: Iterable[Tally | None]) -> Tally | None:
    """Sum of counts, without an interval."""
    known = [t for t in tallies if t is not None]
    if not known:
        return None
    return Tally(
        yes=sum(t.yes for t in known),
        no=sum(t.no for t in known),
        unknown=sum(t.unknown for t in known),
    )
