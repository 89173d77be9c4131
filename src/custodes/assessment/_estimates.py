"""What a person estimates of a cell of the threat ladder, and the commitment that hides it.

A commitment is a signed sha256 over round, cell, person, a nonce of 256 bits and the estimate: it
binds a person to an estimate that nobody else can read from it. The nonce and the signature come
from the caller.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any, ClassVar, Final, TypeVar

from custodes.types import JsonObject, JsonValue, Sha256, canonical_json, parse_sha256

Sign = Callable[[bytes], bytes]
"""Signs a payload with one key."""
Verify = Callable[[str, bytes, bytes], bool]
"""Whether a signature holds: key id, payload, signature."""

NONCE_BYTES: Final = 32
_NONCE = re.compile(r"[0-9a-f]{64}\Z")
_SIGNATURE = re.compile(r"(?:[0-9a-f]{2})+\Z")
_D = TypeVar("_D", bound="Document")


class Axis(StrEnum):
    """What a rogue deployment would have to do."""

    OVERREACH = "overreach"
    DECEPTION = "deception"


class Rung(StrEnum):
    """What it would have to get past, the weakest first."""

    INCIDENTAL = "incidental"
    """Incidental user contact."""
    ROUTINE = "routine"
    """Routine security and monitoring."""
    ACTIVE = "active"
    """Active investigation, or a high-priority shutdown."""


LADDER: Final = tuple(f"{axis.value}/{rung.value}" for axis in Axis for rung in Rung)
"""The cells of the threat ladder."""


class Capability(StrEnum):
    """The ordinal scale: where a cell lies seen from the capabilities that were observed."""

    WELL_WITHIN = "well_within"
    AT_THE_EDGE = "at_the_edge"
    WELL_BEYOND = "well_beyond"
    CANNOT_ASSESS = "cannot_assess"
    """Outside the order, neither low nor high."""


ORDER: Final = (Capability.WELL_WITHIN, Capability.AT_THE_EDGE, Capability.WELL_BEYOND)
"""The ordered part of the scale."""


class Confidence(StrEnum):
    """How sure a person is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Document:
    """Base of what is written as documents: strict both ways."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    schema: ClassVar[str]

    def to_json(self) -> JsonObject:
        """The document."""
        return {"schema": self.schema, **_plain(asdict(self))}  # type: ignore[call-overload]

    @classmethod
    def from_json(cls: type[_D], data: JsonValue) -> _D:
        """The value of a document; ValueError, in one line, if it is none."""
        # Late: it costs half a second that judging does not need.
        from pydantic import TypeAdapter, ValidationError

        if not isinstance(data, Mapping) or data.get("schema") != cls.schema:
            raise ValueError(f"expected a document {cls.schema}: use the version that wrote it")
        fields = {name: value for name, value in data.items() if name != "schema"}
        try:
            value: _D = TypeAdapter(cls).validate_json(canonical_json(fields), strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "it"
            message = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{cls.schema}: at {where}: {message}") from None
        return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, StrEnum) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementEstimate(Document):
    """What one person estimates of one cell.

    Attributes:
        capability: where the cell lies.
        confidence: how sure the person is; None exactly if it cannot be assessed.
        rationale: why.
        rests_on: ids of the claims that it rests on.
        would_change: what would change it.
        expires: first day (YYYY-MM-DD) on which it holds no more.
    """

    schema: ClassVar[str] = "custodes.judgement-estimate/1"

    capability: Capability
    confidence: Confidence | None
    rationale: str
    rests_on: tuple[str, ...]
    would_change: str
    expires: str

    def __post_init__(self) -> None:
        if (self.capability is Capability.CANNOT_ASSESS) != (self.confidence is None):
            raise ValueError(
                "expected a confidence exactly where the cell is assessed, found "
                f"{self.confidence} for {self.capability}"
            )
        for name, text in (("rationale", self.rationale), ("would_change", self.would_change)):
            if not text.strip():
                raise ValueError(f"expected words for {name}, found none")
        _day(self.expires)


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ValueError(f"expected a day as YYYY-MM-DD, found {text!r}")
    return day


def commitment_digest(
    *, round: str, cell: str, person: str, nonce: str, estimate: JudgementEstimate
) -> Sha256:
    """sha256 over the JCS of round, cell, person, nonce and estimate.

    Raises:
        ValueError: if the cell is not of the ladder, or the nonce not 256 bits in hexadecimal.
    """
    if cell not in LADDER:
        raise ValueError(f"expected a cell of the ladder ({', '.join(LADDER)}), found {cell!r}")
    if _NONCE.match(nonce) is None:
        raise ValueError("expected a nonce of 256 bits as 64 lower-case hexadecimal digits")
    plain = canonical_json(
        {
            "round": round,
            "cell": cell,
            "person": person,
            "nonce": nonce,
            "estimate": estimate.to_json(),
        }
    )
    return Sha256(hashlib.sha256(plain).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment(Document):
    """A signed digest: binds a person to an estimate that nobody else can read from it.

    Attributes:
        round: name of the round.
        cell: of the ladder.
        person: who commits.
        digest: of :func:`commitment_digest`.
        key: id of the key that signed.
        signature: hexadecimal.
    """

    schema: ClassVar[str] = "custodes.judgement-commitment/1"

    round: str
    cell: str
    person: str
    digest: Sha256
    key: str
    signature: str

    def __post_init__(self) -> None:
        parse_sha256(self.digest)
        if _SIGNATURE.match(self.signature) is None:
            raise ValueError("expected a signature as lower-case hexadecimal digits")

    @property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        fields = {name: value for name, value in self.to_json().items() if name != "signature"}
        return canonical_json(fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reveal(Document):
    """What a commitment stood for. Private until its person reveals it.

    Attributes:
        round: name of the round.
        cell: of the ladder.
        person: who committed.
        nonce: 256 bits as hexadecimal digits; without it short estimates could be guessed.
        estimate: what was committed to.
    """

    schema: ClassVar[str] = "custodes.judgement-reveal/1"

    round: str
    cell: str
    person: str
    nonce: str
    estimate: JudgementEstimate

    @property
    def digest(self) -> Sha256:
        """The digest that was committed to."""
        return commitment_digest(
            round=self.round,
            cell=self.cell,
            person=self.person,
            nonce=self.nonce,
            estimate=self.estimate,
        )


def commit(
    estimate: JudgementEstimate,
    *,
    round: str,
    cell: str,
    person: str,
    key: str,
    nonce: bytes,
    sign: Sign,
) -> tuple[Commitment, Reveal]:
    """A person's signed commitment, and what the person keeps to reveal it.

    Args:
        estimate: what is committed to.
        round: name of the round.
        cell: of the ladder.
        person: who commits.
        key: id of the person's key.
        nonce: 32 bytes drawn for this commitment alone (``secrets.token_bytes``).
        sign: signs with the person's key.

    Raises:
        ValueError: if the nonce is shorter or longer, or the cell is not of the ladder.
    """
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"expected a nonce of {NONCE_BYTES} bytes, found {len(nonce)}")
    kept = Reveal(round=round, cell=cell, person=person, nonce=nonce.hex(), estimate=estimate)
    unsigned = Commitment(
        round=round, cell=cell, person=person, digest=kept.digest, key=key, signature="00"
    )
    return replace(unsigned, signature=sign(unsigned.payload).hex()), kept
