"""What an agent said when it was asked after its episode, and how that compares with receipts.

Testimony, and no evidence of what happened: nothing here enters an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ._evidence import EvidenceRef
from ._json import JsonObject, JsonValue

INTERVIEW_SCHEMA = "custodes.interview/1"
LONGEST_KEPT = 4_000
"""Characters that are kept of one reply."""


class Said(StrEnum):
    """An agent's answer to a question about its own work."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"


class InterviewProblem(StrEnum):
    """Why a question has no answer."""

    UNPARSABLE = "unparsable"
    """Neither reply had the shape that was asked for."""
    LIMIT = "limit"
    """The interview's own time or tokens were used up."""
    MODEL_ERROR = "model_error"
    NOT_HELD = "not_held"
    """The agent did not end the episode itself, or its sandbox was not seen to end."""
    HARNESS_ERROR = "harness_error"


class Comparison(StrEnum):
    """An answer against what the receipts show."""

    CONSISTENT = "consistent"
    DENIED = "denied"
    """The receipts show it, and the agent says that it did not happen."""
    OVER_REPORTED = "over-reported"
    """The agent says that it happened, and the receipts do not show it."""
    UNSURE = "unsure"
    NOT_COMPARABLE = "not comparable"
    """Nothing that was recorded answers the question in this episode."""
    UNMEASURABLE = "unmeasurable"
    """The agent gave no answer that could be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewAnswer:
    """One question and what came of it.

    Attributes:
        question: its id.
        said: the answer; None exactly when there is a ``problem``.
        sentence: the agent's reason, on one line; empty without an answer.
        problem: why there is no answer, with a line of ``detail``.
        replies: what the agent wrote each time it was asked, each cut at :data:`LONGEST_KEPT`.
    """

    question: str
    said: Said | None
    sentence: str = ""
    problem: InterviewProblem | None = None
    detail: str = ""
    replies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.said is None) != (self.problem is not None):
            raise ValueError("a question has either an answer or a problem")
        for text in (self.question, self.sentence, self.detail, *self.replies):
            text.encode("utf-8")  # lone surrogates could not be stored: UnicodeEncodeError
        if any(len(reply) > LONGEST_KEPT for reply in self.replies):
            raise ValueError(f"expected replies of at most {LONGEST_KEPT} characters")

    def to_json(self) -> JsonObject:
        return {
            "question": self.question,
            "said": None if self.said is None else self.said.value,
            "sentence": self.sentence,
            "problem": None if self.problem is None else self.problem.value,
            "detail": self.detail,
            "replies": list(self.replies),
        }

    @staticmethod
    def from_json(raw: JsonObject) -> InterviewAnswer:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError, KeyError: for anything else.
        """
        said, problem = raw["said"], raw["problem"]
        return InterviewAnswer(
            question=str(raw["question"]),
            said=None if said is None else Said(str(said)),
            sentence=str(raw["sentence"]),
            problem=None if problem is None else InterviewProblem(str(problem)),
            detail=str(raw["detail"]),
            replies=tuple(str(reply) for reply in _items(raw["replies"])),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interview:
    """Every question of one version of the list, in its order."""

    version: int
    answers: tuple[InterviewAnswer, ...]

    def to_json(self) -> JsonObject:
        return {
            "schema": INTERVIEW_SCHEMA,
            "version": self.version,
            "answers": [answer.to_json() for answer in self.answers],
        }

    @staticmethod
    def from_json(raw: JsonObject) -> Interview:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError, KeyError: for anything else.
        """
        if raw["schema"] != INTERVIEW_SCHEMA:
            raise ValueError(f"expected schema {INTERVIEW_SCHEMA}, found {raw['schema']!r}")
        return Interview(
            version=_integer(raw["version"]),
            answers=tuple(
                InterviewAnswer.from_json(_object(item)) for item in _items(raw["answers"])
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One answer beside what the receipts say.

    Attributes:
        fact: whether the receipts show something that a truthful answer admits; None where nothing
            that was recorded answers the question.
        admits: whether the answer admits something; None without an answer, and for unsure.
        against: what the fact is taken from: a question of the outcome, or ``receipts``; empty
            where nothing that is recorded could answer the question. With a ``fact`` of None it
            could have, and was unmeasurable.
        problem: why there is no answer; None with one.
        why: why it is not comparable or unmeasurable, in words; empty otherwise.
        evidence: where ``against`` is ``receipts``, the receipts; otherwise the outcome's answer
            has it.
    """

    question: str
    said: Said | None
    sentence: str
    comparison: Comparison
    fact: bool | None
    admits: bool | None
    problem: InterviewProblem | None = None
    against: str = ""
    why: str = ""
    evidence: tuple[EvidenceRef, ...] = ()

    def __post_init__(self) -> None:
        known = self.comparison in (
            Comparison.CONSISTENT,
            Comparison.DENIED,
            Comparison.OVER_REPORTED,
        )
        if known and (self.fact is None or self.admits is None):
            raise ValueError("a comparison needs a fact and an answer")
        unread = self.comparison is Comparison.UNMEASURABLE
        if unread != (self.said is None) or unread != (self.problem is not None):
            raise ValueError("a question is unmeasurable exactly when it has no answer")

    def to_json(self) -> JsonObject:
        return {
            "question": self.question,
            "said": None if self.said is None else self.said.value,
            "sentence": self.sentence,
            "comparison": self.comparison.value,
            "fact": self.fact,
            "admits": self.admits,
            "problem": None if self.problem is None else self.problem.value,
            "against": self.against,
            "why": self.why,
            "evidence": [ref.to_json() for ref in self.evidence],
        }


def _object(value: JsonValue) -> JsonObject:
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, found {type(value).__name__}")
    return value


def _items(value: JsonValue) -> tuple[JsonValue, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"expected a list, found {type(value).__name__}")
    return tuple(value)


def _integer(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, found {value!r}")
    return value
