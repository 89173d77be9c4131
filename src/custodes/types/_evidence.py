"""References to evidence: what a sentence in a report can be traced back to."""

from __future__ import annotations

from dataclasses import dataclass

from ._json import JsonObject, Sha256, parse_sha256

_MINT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Locator:
    """A span of bytes in a source, after decompression.

    Attributes:
        source: digest of the file as stored.
        member: name inside an archive, or None for a plain file.
        start: first byte of the span, counted from 0.
        end: byte after the last one; ``start < end``.
        excerpt: digest of the span's bytes, so that an excerpt can be checked alone.
    """

    source: Sha256
    member: str | None
    start: int
    end: int
    excerpt: Sha256

    def __post_init__(self) -> None:
        parse_sha256(self.source)
        parse_sha256(self.excerpt)
        if not 0 <= self.start < self.end:
            raise ValueError(f"expected 0 <= start < end, found {self.start}..{self.end}")

    def to_json(self) -> JsonObject:
        return {
            "source": self.source,
            "member": self.member,
            "start": self.start,
            "end": self.end,
            "excerpt": self.excerpt,
        }


class EvidenceRef:
    """Points at bytes that the evidence store holds (or at a span of them).

    Only the evidence store mints one, after the bytes are durable: code elsewhere cannot name
    evidence that does not exist. Equality and hash go by blob and locator.
    """

    __slots__ = ("_blob", "_locator")
    _blob: Sha256
    _locator: Locator | None

    def __init__(self, blob: Sha256, locator: Locator | None, *, mint: object) -> None:
        if mint is not _MINT:
            raise TypeError("an EvidenceRef is minted by the evidence store (custodes.case)")
        object.__setattr__(self, "_blob", parse_sha256(blob))
        object.__setattr__(self, "_locator", locator)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("EvidenceRef is immutable")

    @property
    def blob(self) -> Sha256:
        """Digest of the stored bytes."""
        return self._blob

    @property
    def locator(self) -> Locator | None:
        """The span meant, or None for the whole blob."""
        return self._locator

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EvidenceRef):
            return NotImplemented
        return (self._blob, self._locator) == (other._blob, other._locator)

    def __hash__(self) -> int:
        return hash((self._blob, self._locator))

    def __repr__(self) -> str:
        span = "" if self._locator is None else f"[{self._locator.start}:{self._locator.end}]"
        return f"EvidenceRef({self._blob[:12]}…{span})"

    def to_json(self) -> JsonObject:
        return {
            "blob": self._blob,
            "locator": None if self._locator is None else self._locator.to_json(),
        }


def mint_evidence_ref(blob: Sha256, locator: Locator | None = None) -> EvidenceRef:
    """For the evidence store alone (a test holds every other caller off)."""
    return EvidenceRef(blob, locator, mint=_MINT)
