"""Which keys may sign in a ledger, as its own events say: added, rotated, revoked.

The first key vouches for itself. Every later one is signed by itself (it exists and is held) and
by an assessor's key that is in force, or by two recovery keys. Whether the first key is the right
one, no ledger can say: that takes a public key from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from custodes.types import JsonObject, JsonValue, Sha256

from ._dsse import Signed, parse_signed, sign, statement
from ._keys import PrivateKey, PublicKey, parse_public

KEY_ADDED: Final = "key.added"
KEY_ROTATED: Final = "key.rotated"
KEY_REVOKED: Final = "key.revoked"
KEY_KINDS: Final = frozenset({KEY_ADDED, KEY_ROTATED, KEY_REVOKED})

ROLES: Final = ("assessor", "witness", "recovery", "participant")
"""``assessor`` signs heads and adds keys, ``witness`` signs beside, two ``recovery`` keys together
do what an assessor's key does to keys, ``participant`` signs approvals."""
REASONS: Final = ("retired", "lost", "compromised")
RECOVERY_QUORUM: Final = 2
RECOVERY_KEYS: Final = 3

PREDICATES: Final[Mapping[str, str]] = {
    KEY_ADDED: "urn:custodes:key-added:1",
    KEY_ROTATED: "urn:custodes:key-rotated:1",
    KEY_REVOKED: "urn:custodes:key-revoked:1",
}
_SCHEMAS: Final[Mapping[str, str]] = {
    KEY_ADDED: "custodes.key_added/1",
    KEY_ROTATED: "custodes.key_rotated/1",
    KEY_REVOKED: "custodes.key_revoked/1",
}
_FIELDS: Final[Mapping[str, frozenset[str]]] = {
    KEY_ADDED: frozenset({"key", "public", "name", "role", "not_after", "at"}),
    KEY_ROTATED: frozenset({"key", "public", "replaces", "not_after", "at"}),
    KEY_REVOKED: frozenset({"key", "reason", "at"}),
}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
CLOCK_STEP: Final = 60_000_000
"""Microseconds by which a clock may be set back between signing and appending. More is refused."""
_LARGEST_TIME: Final = 2**53 - 1


def when(us: int) -> str:
    """Microseconds since 1970 as a date and time that people read."""
    try:
        return datetime.fromtimestamp(us // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"{us} us"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A key that a ledger names.

    Attributes:
        public: the key.
        name: what its holder calls it.
        role: one of :data:`ROLES`.
        seq: the event that brought it.
        since, until: microseconds; it signs nothing before or after. ``until`` None: no end.
        ended: how it went out of force ("rotated", or "revoked: <reason>"); empty while in force.
        ended_by: the event that ended it.
        trusted: whether it, or a chain of signatures that leads to it, begins with a key that was
            given from outside.
    """

    public: PublicKey
    name: str
    role: str
    seq: int
    since: int
    until: int | None
    ended: str = ""
    ended_by: int | None = None
    trusted: bool = False

    def refusal(self, at: int) -> str:
        """Why it may not sign at a time, in words; empty when it may."""
        if self.ended:
            return f"key {self.public.id} was {self.ended} by event {self.ended_by}"
        if self.until is not None and at > self.until:
            return f"key {self.public.id} expired at {when(self.until)}"
        if at < self.since:
            return f"key {self.public.id} was not in force before {when(self.since)}"
        return ""


class KeyRing:
    """The keys of a ledger as its events are read one after another.

    Args:
        trusted: keys that are known from outside.
    """

    def __init__(self, trusted: Iterable[PublicKey] = ()) -> None:
        self._pinned = frozenset(key.raw for key in trusted)
        self._entries: dict[str, KeyEntry] = {}
        self.notes: list[str] = []

    @property
    def entries(self) -> Mapping[str, KeyEntry]:
        """By key id."""
        return self._entries

    def signers(self, signed: Signed, at: int) -> tuple[list[KeyEntry], list[str]]:
        """Who has rightly signed, and what is wrong with the other signatures."""
        found: list[KeyEntry] = []
        wrong: list[str] = []
        for signature in signed.signatures:
            entry = self._entries.get(signature.key)
            if entry is None:
                wrong.append(f"signed by key {signature.key}, which the ledger does not name")
            elif refusal := entry.refusal(at):
                wrong.append(refusal)
            elif not signed.by(entry.public):
                wrong.append(f"the signature is not that of key {signature.key}")
            else:
                found.append(entry)
        return found, wrong

    def apply(self, kind: str, data: JsonObject, *, seq: int, at: int, ledger: Sha256) -> list[str]:
        """Take in an event about keys; what is wrong with it. A wrong one changes nothing.

        Args:
            kind, data, seq, at: the event's.
            ledger: digest of the ledger's first line.

        Raises:
            SignaturesUncheckable: the library for it is missing.
        """
        try:
            signed = _parse(kind, data)
            about = _predicate(kind, signed, ledger, at)
            new = None if kind == KEY_REVOKED else parse_public(about["public"])
        except ValueError as error:
            return [f"{kind}: {error}"]
        if new is not None and new.id != about["key"]:
            return [f"{kind}: key {about['key']} is not the id of the public key beside it"]
        wrong = (
            self._revoke(signed, about, seq, at)
            if new is None
            else self._bring(kind, signed, about, new, seq, at)
        )
        return [f"{kind}: {text}" for text in wrong]

    def _bring(
        self, kind: str, signed: Signed, about: JsonObject, new: PublicKey, seq: int, at: int
    ) -> list[str]:
        if new.id in self._entries:
            return [f"key {new.id} was in this ledger before: make a new one"]
        if not signed.by(new):
            return [f"the new key {new.id} has not signed it itself"]
        rest = tuple(s for s in signed.signatures if s.key != new.id)
        others, wrong = self.signers(replace(signed, signatures=rest), at)
        if wrong:
            return wrong
        until = about["not_after"]
        assert until is None or isinstance(until, int)
        if until is not None and until < at:
            return [f"the new key {new.id} has expired already, at {when(until)}"]
        name, role = str(about.get("name", "")), str(about.get("role", ""))
        old = None
        if kind == KEY_ROTATED:
            old = self._entries.get(str(about["replaces"]))
            if old is None:
                return [f"replaces key {about['replaces']}, which the ledger does not name"]
            name, role = old.name, old.role
            if old not in others and not _quorum(others):
                return [old.refusal(at) or f"key {old.public.id} has not signed its replacement"]
            if old.ended:
                return [old.refusal(at)]
        elif self._entries:
            if not any(e.role == "assessor" for e in others) and not _quorum(others):
                return ["not signed by an assessor's key in force, nor by two recovery keys"]
        elif role != "assessor":
            return [f"the first key is an assessor's, found role {role!r}"]
        if role == "recovery" and old is None:
            held = [e for e in self._entries.values() if e.role == role and not e.ended]
            if len(held) >= RECOVERY_KEYS:
                return [f"there are {RECOVERY_KEYS} recovery keys already: revoke one first"]
        trusted = new.raw in self._pinned or _trust(others)
        if old is not None:
            self._end(old, "rotated", seq)
        self._entries[new.id] = KeyEntry(
            public=new, name=name, role=role, seq=seq, since=at, until=until, trusted=trusted
        )
        return []

    def _revoke(self, signed: Signed, about: JsonObject, seq: int, at: int) -> list[str]:
        entry = self._entries.get(str(about["key"]))
        if entry is None:
            return [f"revokes key {about['key']}, which the ledger does not name"]
        if entry.ended:
            return [entry.refusal(at)]
        others, wrong = self.signers(signed, at)
        if wrong:
            return wrong
        witnesses = [e for e in others if e.public.id != entry.public.id]
        left = [
            e
            for e in self._entries.values()
            if e.public.id != entry.public.id and e.role != "participant" and not e.refusal(at)
        ]
        if not any(e.role in ("assessor", "witness") for e in witnesses) and not _quorum(witnesses):
            if left:
                return ["not witnessed: a second key (assessor, witness, or two recovery) signs it"]
            self.notes.append(
                f"event {seq}: key {entry.public.id} was revoked without a witness: there was no "
                "second key"
            )
        self._end(entry, f"revoked ({about['reason']})", seq)
        return []

    def _end(self, entry: KeyEntry, how: str, seq: int) -> None:
        self._entries[entry.public.id] = replace(entry, ended=how, ended_by=seq)


def _quorum(entries: Sequence[KeyEntry]) -> bool:
    return len([e for e in entries if e.role == "recovery"]) >= RECOVERY_QUORUM


def _trust(others: Sequence[KeyEntry]) -> bool:
    trusted = [e for e in others if e.trusted]
    return any(e.role == "assessor" for e in trusted) or _quorum(trusted)


def _parse(kind: str, data: JsonObject) -> Signed:
    if data.keys() != {"schema", "statement", "signatures"}:
        raise ValueError("expected schema, statement and signatures")
    if data["schema"] != _SCHEMAS[kind]:
        raise ValueError(f"expected schema {_SCHEMAS[kind]}")
    signed = parse_signed({k: data[k] for k in ("statement", "signatures")})
    if signed.predicate_type != PREDICATES[kind]:
        raise ValueError(f"signs a statement of another type, {signed.predicate_type[:80]!r}")
    return signed


def _predicate(kind: str, signed: Signed, ledger: Sha256, at: int) -> JsonObject:
    about = signed.predicate
    if about.keys() != _FIELDS[kind]:
        raise ValueError(f"expected exactly {', '.join(sorted(_FIELDS[kind]))}")
    if dict(signed.subject) != {"ledger": ledger}:
        raise ValueError("signed for another ledger")
    if not isinstance(about["key"], str):
        raise ValueError("expected a key id as text")
    said = time_of(about["at"])
    if said > at + CLOCK_STEP:
        raise ValueError(f"signed at {when(said)}, after its event's time {when(at)}")
    if about.get("not_after") is not None:
        time_of(about["not_after"])
    if kind == KEY_ADDED:
        if about["role"] not in ROLES:
            raise ValueError(f"expected a role of {', '.join(ROLES)}")
        if not isinstance(about["name"], str) or _NAME.match(about["name"]) is None:
            raise ValueError("expected a name of small letters, digits, '_' and '-'")
    if kind == KEY_ROTATED and not isinstance(about["replaces"], str):
        raise ValueError("expected the id of the key that is replaced")
    if kind == KEY_REVOKED and about["reason"] not in REASONS:
        raise ValueError(f"expected a reason of {', '.join(REASONS)}")
    return about


def time_of(value: JsonValue) -> int:
    """Microseconds since 1970.

    Raises:
        ValueError: no such number.
    """
    if type(value) is not int or not 0 <= value <= _LARGEST_TIME:
        raise ValueError(f"expected microseconds since 1970, found {str(value)[:40]!r}")
    return value


def key_event(
    kind: str, about: JsonObject, ledger: Sha256, keys: Sequence[PrivateKey]
) -> JsonObject:
    """The data of an event about keys, signed by each of ``keys``."""
    signed = sign(statement({"ledger": ledger}, PREDICATES[kind], about), keys)
    return {"schema": _SCHEMAS[kind], **signed.to_json()}


__all__ = [
    "CLOCK_STEP",
    "KEY_ADDED",
    "KEY_KINDS",
    "KEY_REVOKED",
    "KEY_ROTATED",
    "PREDICATES",
    "REASONS",
    "ROLES",
    "KeyEntry",
    "KeyRing",
    "key_event",
    "time_of",
    "when",
]
