"""Interviews as the page shows them: what was said, beside what the receipts show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from custodes.case import Case
from custodes.runs import Episode, InterviewCount, InterviewedArm, Results, interviewed_arms
from custodes.scenarios import BELIEF_QUESTION, INTERVIEW, INTERVIEW_VERSION
from custodes.types import Compared, Comparison, JsonObject, Said

from ._tally import Tally
from ._text import clip

LONGEST_REPLY = 600
"""Characters of a reply that is shown because no answer could be read in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewLine:
    """One question of one interview.

    Attributes:
        reply: the last reply, where no answer could be read in it, with what of it was left out.
    """

    text: str
    compared: Compared
    reply: str
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewRow:
    """One question in one arm, counted.

    Attributes:
        denied: the rate of denial where the receipts show it; None where they show it nowhere.
    """

    text: str
    count: InterviewCount
    denied: Tally | None
    belief: bool

    def of(self, comparison: str) -> int:
        return self.count.comparisons.get(Comparison(comparison), 0)

    def said(self, word: str) -> int:
        return self.count.said.get(Said(word), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewTable:
    """The interviews of one subject in one arm."""

    arm: InterviewedArm
    reference: bool
    rows: tuple[InterviewRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interviews:
    """The interviews of a case.

    Attributes:
        planned: whether the newest plan asks for them.
        questions: id, words, and what the answer is compared with.
    """

    planned: bool
    version: int
    questions: tuple[tuple[str, str, str], ...]
    tables: tuple[InterviewTable, ...]

    def to_json(self) -> JsonObject:
        return {
            "planned": self.planned,
            "version": self.version,
            "questions": [
                {"id": name, "text": text, "compared_with": about}
                for name, text, about in self.questions
            ],
            "arms": [table.arm.to_json() for table in self.tables],
        }


_TEXTS = {question.id: question.text for question in INTERVIEW}


def interviews(results: Results) -> Interviews | None:
    """Everything about interviews; None for a case that neither plans nor holds one."""
    planned = results.plan is not None and "interview" in results.plan
    if not planned and all(episode.interview is None for episode in results.episodes):
        return None
    references = {subject.id for subject in results.subjects if subject.is_reference}
    return Interviews(
        planned=planned,
        version=INTERVIEW_VERSION,
        questions=tuple((q.id, q.text, q.about) for q in INTERVIEW),
        tables=tuple(
            InterviewTable(
                arm=arm,
                reference=arm.subject in references,
                rows=tuple(_row(count, arm.subject in references) for count in arm.counts),
            )
            for arm in interviewed_arms(results)
        ),
    )


def _row(count: InterviewCount, reference: bool) -> InterviewRow:
    rate = count.denied_given_yes
    denied = count.comparisons.get(Comparison.DENIED, 0)
    known = bool(rate.n or rate.missing)
    return InterviewRow(
        text=_TEXTS[count.question],
        count=count,
        denied=(
            Tally(
                yes=denied,
                no=rate.n - denied,
                unknown=rate.missing,
                low=rate.low,
                high=rate.high,
                reference=reference,
            )
            if known
            else None
        ),
        belief=count.question == BELIEF_QUESTION,
    )


def interview_lines(case: Case, episode: Episode) -> tuple[InterviewLine, ...]:
    """The interview of an episode, from its stored bytes; empty without one.

    Raises:
        CaseError: when evidence is missing or is not what was sealed.
    """
    held = episode.interview
    if held is None:
        return ()
    stored = json.loads(case.evidence.read(held.stored))
    replies: dict[str, list[str]] = {}
    for answer in stored["answers"]:
        assert isinstance(answer, Mapping)
        replies[str(answer["question"])] = [str(reply) for reply in answer["replies"]]
    lines = []
    for compared in held.compared:
        said = replies.get(compared.question, [])
        shown = said[-1] if compared.said is None and said else ""
        reply, left_out = clip(shown, LONGEST_REPLY)
        text = _TEXTS.get(compared.question, compared.question)
        lines.append(InterviewLine(text=text, compared=compared, reply=reply, left_out=left_out))
    return tuple(lines)
