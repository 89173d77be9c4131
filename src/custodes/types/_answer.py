"""Three-valued answers and the moments at which they became true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ._evidence import EvidenceRef
from ._json import JsonObject
from ._words import ReasonCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something could not be measured: a code to count by and a sentence to read."""

    code: ReasonCode
    detail: str

    def to_json(self) -> JsonObject:
        return {"code": self.code.value, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Yes, no, or unmeasurable with a reason.

    ``value`` is None exactly when there is a ``reason``; a known value rests on evidence. It is
    not a bool: ``if answer`` raises, so that unknown can never pass for no.
    """

    value: bool | None
    reason: Reason | None = None
    evidence: tuple[EvidenceRef, ...] = ()

    def __post_init__(self) -> None:
        if (self.value is None) != (self.reason is not None):
            raise ValueError("an answer has either a value or a reason, never both or neither")
        if self.value is not None and not self.evidence:
            raise ValueError("a known answer needs evidence")

    def __bool__(self) -> NoReturn:
        raise TypeError("an Answer has three values: compare .value with True, False or None")

    def to_json(self) -> JsonObject:
        return {
            "value": self.value,
            "reason": None if self.reason is None else self.reason.to_json(),
            "evidence": [ref.to_json() for ref in self.evidence],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point of an episode.

    Attributes:
        step: number of the agent's turn, from 1, or None before the first turn and outside one.
        host_us: monotonic microseconds of the host since the episode began.
    """

    step: int | None
    host_us: int

    def __post_init__(self) -> None:
        if self.step is not None and self.step < 0:
            raise ValueError(f"expected a step of 0 or more, found {self.step}")
        if self.host_us < 0:
            raise ValueError(f"expected microseconds since the start, found {self.host_us}")

    def to_json(self) -> JsonObject:
        return {"step": self.step, "host_us": self.host_us}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """An answer in time: yes has a moment, no means not seen before ``until`` (censored there)."""

    answer: Answer
    at: Moment | None
    until: Moment

    def __post_init__(self) -> None:
        if (self.answer.value is True) != (self.at is not None):
            raise ValueError("a timed answer has a moment exactly when it is yes")
        if self.at is not None and self.at.host_us > self.until.host_us:
            raise ValueError("a moment cannot lie after the end of observation")

    def to_json(self) -> JsonObject:
        return {
            "answer": self.answer.to_json(),
            "at": None if self.at is None else self.at.to_json(),
            "until": self.until.to_json(),
        }
