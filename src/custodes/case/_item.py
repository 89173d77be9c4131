"""Evidence items: what is known about a piece of evidence beside its bytes.

Recorded by the event ``evidence.recorded``. Reading all items of a ledger applies the rules that
need more than one: an item derived from others is at least as restricted as the strictest of
them, unless a named approval lowers it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from custodes.types import JsonObject, JsonValue, Sha256

from ._errors import EventRefused
from ._evidence import parse_ref
from ._ledger import Event

if TYPE_CHECKING:
    from ._case import Case

EVIDENCE_RECORDED: Final = "evidence.recorded"
EVIDENCE_SCHEMA: Final = "custodes.evidence/1"

_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,79}\Z")
_FIELDS: Final = frozenset(
    {
        "schema",
        "id",
        "title",
        "origin",
        "as_of",
        "custody",
        "grade",
        "classification",
        "untrusted",
        "inputs",
        "approval",
        "blobs",
    }
)
MOST_TEXT: Final = 2000


class Origin(StrEnum):
    """Where evidence came from."""

    PUBLIC = "public"
    OWN_PUBLIC_MODEL = "own_public_model"
    OWN_SHARED_MODEL = "own_shared_model"
    PARTICIPANT_STATEMENT = "participant_statement"
    PARTICIPANT_DOCUMENT = "participant_document"
    PARTICIPANT_RUN = "participant_run"
    INTERVIEW = "interview"
    RED_TEAM = "red_team"
    THIRD_PARTY = "third_party"


OWN: Final = frozenset({Origin.OWN_PUBLIC_MODEL, Origin.OWN_SHARED_MODEL, Origin.RED_TEAM})
"""Origins whose bytes the assessor made; those of all others are untrusted."""


class Grade(StrEnum):
    """How far it was verified."""

    STATED = "stated"
    DOCUMENTED = "documented"
    CORROBORATED = "corroborated"
    REPRODUCED = "reproduced"


class Classification(StrEnum):
    """Who may see it, from everybody to nobody, in this order."""

    PUBLIC = "public"
    AGGREGATE = "aggregate"
    NON_ATTRIBUTED = "non_attributed"
    ATTRIBUTED_APPROVED = "attributed_approved"
    RESTRICTED = "restricted"
    SEALED = "sealed"

    @property
    def rank(self) -> int:
        """The larger, the fewer may see it."""
        return list(Classification).index(self)


def strictest(found: Iterable[Classification]) -> Classification:
    """The strictest of several; ``public`` of none."""
    return max(found, key=lambda c: c.rank, default=Classification.PUBLIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """Why a derived item is less restricted than its inputs.

    Attributes:
        by: who allowed it.
        reason: in words.
    """

    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceItem:
    """A piece of evidence.

    Attributes:
        id: stable name; a later event with the same id replaces it.
        title: one line.
        origin: where it came from.
        as_of: the day that it speaks of.
        custody: who held it, in order, up to the assessor.
        grade: how far it was verified.
        classification: who may see it.
        untrusted: whether its bytes may be hostile. They are never rendered then, only quoted.
        inputs: ids of the items that it was derived from.
        approval: what lowers its classification below that of its inputs.
        blobs: its bytes.
    """

    id: str
    title: str
    origin: Origin
    as_of: date
    custody: tuple[str, ...]
    grade: Grade
    classification: Classification
    untrusted: bool
    inputs: tuple[str, ...]
    approval: Approval | None
    blobs: tuple[Sha256, ...]

    def __post_init__(self) -> None:
        if _ID.match(self.id) is None:
            raise ValueError(
                f"expected an id of small letters, digits, '_', '.' and '-', found {self.id[:80]!r}"
            )
        texts = [("title", self.title), *(("custody", holder) for holder in self.custody)]
        if self.approval is not None:
            texts += [("approval", self.approval.by), ("approval", self.approval.reason)]
        for name, text in texts:
            if not text.strip() or len(text) > MOST_TEXT or not text.isprintable():
                raise ValueError(f"{self.id}: expected one printable line as {name}")
        if not self.custody:
            raise ValueError(f"{self.id}: expected at least one holder as custody")
        if not self.untrusted and self.origin not in OWN:
            raise ValueError(f"{self.id}: evidence of origin {self.origin.value} is untrusted")
        if self.grade is Grade.REPRODUCED and self.origin in (
            Origin.PARTICIPANT_STATEMENT,
            Origin.INTERVIEW,
        ):
            raise ValueError(f"{self.id}: what was only said is at most corroborated")
        if len(set(self.inputs)) != len(self.inputs) or self.id in self.inputs:
            raise ValueError(f"{self.id}: expected other items as inputs, each once")

    def to_json(self) -> JsonObject:
        return {
            "schema": EVIDENCE_SCHEMA,
            "id": self.id,
            "title": self.title,
            "origin": self.origin.value,
            "as_of": self.as_of.isoformat(),
            "custody": list(self.custody),
            "grade": self.grade.value,
            "classification": self.classification.value,
            "untrusted": self.untrusted,
            "inputs": list(self.inputs),
            "approval": None
            if self.approval is None
            else {"by": self.approval.by, "reason": self.approval.reason},
            "blobs": [{"blob": blob, "locator": None} for blob in self.blobs],
        }


def parse_item(value: JsonValue) -> EvidenceItem:
    """An item from its JSON form.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, Mapping) or value.keys() != _FIELDS:
        raise ValueError(f"expected exactly {', '.join(sorted(_FIELDS))}")
    if value["schema"] != EVIDENCE_SCHEMA:
        raise ValueError(f"expected schema {EVIDENCE_SCHEMA}")
    untrusted, approval, blobs = value["untrusted"], value["approval"], value["blobs"]
    if not isinstance(untrusted, bool):
        raise ValueError("expected untrusted as true or false")
    if not isinstance(blobs, (list, tuple)):
        raise ValueError("expected blobs as a list")
    lowered = None
    if approval is not None:
        if not isinstance(approval, Mapping) or approval.keys() != {"by", "reason"}:
            raise ValueError("expected an approval with exactly by and reason")
        lowered = Approval(by=_text(approval, "by"), reason=_text(approval, "reason"))
    return EvidenceItem(
        id=_text(value, "id"),
        title=_text(value, "title"),
        origin=Origin(_text(value, "origin")),
        as_of=_day(_text(value, "as_of")),
        custody=_texts(value, "custody"),
        grade=Grade(_text(value, "grade")),
        classification=Classification(_text(value, "classification")),
        untrusted=untrusted,
        inputs=_texts(value, "inputs"),
        approval=lowered,
        blobs=tuple(parse_ref(item)[0] for item in blobs),
    )


def _day(text: str) -> date:
    day = date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError(f"expected a day such as 2026-03-31, found {text[:40]!r}")
    return day


def _text(value: JsonObject, name: str) -> str:
    found = value[name]
    if not isinstance(found, str):
        raise ValueError(f"expected {name} as text")
    return found


def _texts(value: JsonObject, name: str) -> tuple[str, ...]:
    found = value[name]
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"expected {name} as a list of texts")
    texts: list[str] = []
    for item in found:
        if not isinstance(item, str):
            raise ValueError(f"expected {name} as a list of texts")
        texts.append(item)
    return tuple(texts)


class Items:
    """The items of a ledger as its events are read one after another."""

    def __init__(self) -> None:
        self._found: dict[str, EvidenceItem] = {}

    @property
    def found(self) -> Mapping[str, EvidenceItem]:
        """The newest version of each, by id."""
        return self._found

    def apply(self, data: JsonObject) -> list[str]:
        """Take in the data of an ``evidence.recorded``; what is wrong. A wrong one is left out."""
        try:
            item = parse_item(data)
            self.check(item)
        except ValueError as error:
            return [f"{EVIDENCE_RECORDED}: {error}"]
        self._found[item.id] = item
        return []

    def check(self, item: EvidenceItem) -> None:
        """Hold an item against those before it.

        Raises:
            ValueError: an input is missing, or its classification is too weak.
        """
        missing = [name for name in item.inputs if name not in self._found]
        if missing:
            raise ValueError(f"{item.id}: input {missing[0]!r} was not recorded before it")
        needed = strictest(self._found[name].classification for name in item.inputs)
        before = self._found.get(item.id)
        if before is not None:
            needed = strictest([needed, before.classification])
        if item.classification.rank < needed.rank and item.approval is None:
            raise ValueError(
                f"{item.id}: is {item.classification.value}; what it comes from is "
                f"{needed.value}: classify it so, or name the approval that lowers it"
            )


def evidence_items(events: Iterable[Event]) -> Mapping[str, EvidenceItem]:
    """The items of a ledger, the newest version of each, by id.

    Raises:
        ValueError: an event breaks a rule.
    """
    items = Items()
    for event in events:
        if event.kind == EVIDENCE_RECORDED and (wrong := items.apply(event.data)):
            raise ValueError(f"event {event.seq}: {wrong[0]}")
    return items.found


def record_evidence(case: Case, *items: EvidenceItem) -> tuple[Event, ...]:
    """Append ``evidence.recorded`` for each, in this order; the bytes are in the store already.

    Raises:
        EventRefused: a rule about inputs, classification or blobs is broken; none was added.
    """
    known = Items()
    for event in case.events():
        if event.kind == EVIDENCE_RECORDED:
            known.apply(event.data)
    for item in items:
        if wrong := known.apply(item.to_json()):
            raise EventRefused(wrong[0])
    return case.append_many([(EVIDENCE_RECORDED, item.to_json()) for item in items])


__all__ = [
    "EVIDENCE_RECORDED",
    "Approval",
    "Classification",
    "EvidenceItem",
    "Grade",
    "Items",
    "Origin",
    "evidence_items",
    "parse_item",
    "record_evidence",
    "strictest",
]
