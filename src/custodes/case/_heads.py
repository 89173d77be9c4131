"""Signed heads: what a ledger held at a moment, in a form that its holder can keep and compare.

The event ``head.signed`` with number n signs the Merkle root over the n events before it. Whoever
keeps one finds any later rewriting of those events, even one that is consistent in itself and
signed anew.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from custodes.types import JsonObject, JsonValue, Sha256, parse_sha256

from ._canonical import parse_document
from ._disk import opened_regular
from ._dsse import (
    SignatureRefused,
    SignaturesUncheckable,
    Signed,
    parse_signed,
    sign,
    statement,
)
from ._errors import LedgerBroken, NotACase, reported, shown
from ._keyring import (
    CLOCK_STEP,
    KEY_ADDED,
    KEY_KINDS,
    KEY_REVOKED,
    KEY_ROTATED,
    KeyEntry,
    KeyRing,
    key_event,
    time_of,
    when,
)
from ._keys import PrivateKey, PublicKey, parse_public
from ._ledger import Event, check_lines, utc_us
from ._merkle import Frontier, Tree, leaf_hash
from ._words import LEDGER_NAME

if TYPE_CHECKING:
    from ._case import Case

HEAD_SIGNED: Final = "head.signed"
HEAD_SCHEMA: Final = "custodes.signed_head/1"
HEAD_PREDICATE: Final = "urn:custodes:head:1"
LARGEST_HEAD_FILE: Final = 1 << 20

_FIELDS: Final = frozenset({"ledger", "size", "root", "previous", "at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """A head and its signatures; whether they are right is checked elsewhere.

    Attributes:
        signed: the statement.
        ledger: digest of the ledger's first line: which ledger it is.
        size: events that it covers: 0 to ``size - 1``.
        root: Merkle root over their lines.
        last: digest of the newest of them.
        previous: size and root of the signed head before, None for the first.
        at: microseconds since 1970, by the signer's clock.
    """

    signed: Signed
    ledger: Sha256
    size: int
    root: Sha256
    last: Sha256
    previous: tuple[int, Sha256] | None
    at: int


def parse_head(value: JsonValue) -> SignedHead:
    """A signed head from the JSON form of its signed statement.

    Raises:
        ValueError: it is none.
    """
    signed = parse_signed(value)
    if signed.predicate_type != HEAD_PREDICATE:
        raise ValueError(f"signs a statement of another type, {signed.predicate_type[:80]!r}")
    about = signed.predicate
    if about.keys() != _FIELDS:
        raise ValueError(f"expected exactly {', '.join(sorted(_FIELDS))}")
    if signed.subject.keys() != {LEDGER_NAME}:
        raise ValueError(f"expected {LEDGER_NAME} as the only subject")
    size = about["size"]
    if type(size) is not int or size < 1:
        raise ValueError(f"expected a number of events, found {str(size)[:40]!r}")
    before = about["previous"]
    previous = None
    if before is not None:
        if not isinstance(before, Mapping) or before.keys() != {"size", "root"}:
            raise ValueError("expected the previous head as size and root")
        count = before["size"]
        if type(count) is not int or not 0 < count < size:
            raise ValueError("expected a previous head over fewer events")
        previous = (count, parse_sha256(before["root"]))
    return SignedHead(
        signed=signed,
        ledger=parse_sha256(about["ledger"]),
        size=size,
        root=parse_sha256(about["root"]),
        last=signed.subject[LEDGER_NAME],
        previous=previous,
        at=time_of(about["at"]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadFile:
    """A signed head that somebody kept, with the keys that signed it.

    Attributes:
        head: the head.
        keys: public keys by id.
    """

    head: SignedHead
    keys: Mapping[str, PublicKey]

    def to_json(self) -> JsonObject:
        return {
            "schema": HEAD_SCHEMA,
            **self.head.signed.to_json(),
            "keys": {name: key.raw.hex() for name, key in sorted(self.keys.items())},
        }


def parse_head_file(data: bytes) -> HeadFile:
    """What ``custodes head show --json`` wrote; every signature in it is checked.

    Raises:
        ValueError: it is none, or a signature in it is not that of its key.
        SignaturesUncheckable: the library for signatures is missing.
    """
    value = parse_document(data)
    if not isinstance(value, Mapping) or value.get("schema") != HEAD_SCHEMA:
        raise ValueError(f"expected a document of schema {HEAD_SCHEMA}")
    if value.keys() != {"schema", "statement", "signatures", "keys"}:
        raise ValueError("expected schema, statement, signatures and keys")
    head = parse_head({k: value[k] for k in ("statement", "signatures")})
    listed = value["keys"]
    if not isinstance(listed, Mapping):
        raise ValueError("expected keys as an object")
    keys = {name: parse_public(raw) for name, raw in listed.items()}
    for name, key in keys.items():
        if key.id != name:
            raise ValueError(f"key {name[:40]!r} is not the id of the public key beside it")
    if keys.keys() != {s.key for s in head.signed.signatures}:
        raise ValueError("expected the public key of each signature and no other")
    for key in keys.values():
        if not head.signed.by(key):
            raise ValueError(f"the signature is not that of key {key.id}")
    return HeadFile(head=head, keys=keys)


def read_head_file(path: Path) -> HeadFile:
    """A kept head from a file.

    Raises:
        NotACase: it is none (a mistake of usage).
        StorageError: it cannot be read.
    """
    with reported("read", path), opened_regular(path) as fd, open(fd, "rb", closefd=False) as file:
        data = file.read(LARGEST_HEAD_FILE + 1)
    try:
        if len(data) > LARGEST_HEAD_FILE:
            raise ValueError(f"it has more than {LARGEST_HEAD_FILE} bytes")
        return parse_head_file(data)
    except ValueError as error:
        raise NotACase(
            f"{shown(path)} is no signed head: {error}; use one that `custodes head show --json` "
            "wrote"
        ) from None


class LineTap(io.BufferedReader):
    """A file that remembers the line it gave last, for what needs an event's bytes."""

    line: bytes = b""

    def readline(self, size: int | None = -1, /) -> bytes:
        self.line = super().readline(-1 if size is None else size)
        return self.line


@contextmanager
def tapped(path: Path) -> Iterator[LineTap]:
    """Open a ledger so that each checked line's bytes are at hand.

    Raises:
        OSError: as :func:`opened_regular`.
    """
    with opened_regular(path) as fd, LineTap(io.FileIO(fd, closefd=False), 1 << 20) as stream:
        yield stream


@dataclass(slots=True)
class HeadCheck:
    """Checks keys and signed heads while a ledger's lines go by.

    Attributes:
        ring: the keys so far.
        earlier: heads that were kept outside: each must be a start of this ledger.
        heads: signed heads that are right, with who signed.
        uncheckable: why signatures were not checked; empty when they were.
    """

    ring: KeyRing
    earlier: Sequence[HeadFile] = ()
    heads: list[tuple[SignedHead, tuple[KeyEntry, ...]]] = field(default_factory=list)
    seen: int = 0
    uncheckable: str = ""
    ledger: Sha256 | None = None
    _tree: Frontier = field(default_factory=Frontier)
    _at: int = 0
    _met: set[int] = field(default_factory=set)

    def line(self, line: bytes, event: Event | None) -> list[str]:
        """Take the next line (without its newline) and the event that it is; what is wrong."""
        wrong: list[str] = []
        if event is not None:
            if event.kind in KEY_KINDS or event.kind == HEAD_SIGNED:
                wrong = self._signed(event)
            self._at = event.at
        if self._tree.size == 0 and event is not None:
            self.ledger = event.head
        self._tree.add(leaf_hash(line))
        for number, kept in enumerate(self.earlier):
            if kept.head.size == self._tree.size:
                self._met.add(number)
                wrong += self._against(kept)
        return wrong

    def end(self) -> list[str]:
        """What is wrong now that there are no more lines."""
        return [
            f"the head kept from {when(kept.head.at)} covers {kept.head.size} events; "
            f"{self._tree.size} are here: the newest were removed"
            for number, kept in enumerate(self.earlier)
            if number not in self._met
        ]

    def _against(self, kept: HeadFile) -> list[str]:
        if kept.head.ledger != self.ledger:
            return [
                f"the head kept from {when(kept.head.at)} is of another ledger, or the first event "
                "was rewritten"
            ]
        if kept.head.root != self._tree.root().hex():
            return [
                f"the head kept from {when(kept.head.at)} does not fit: the first "
                f"{kept.head.size} events are not those that were signed then (history rewritten)"
            ]
        return []

    def _signed(self, event: Event) -> list[str]:
        self.seen += event.kind == HEAD_SIGNED
        if self.uncheckable or self.ledger is None:
            return []
        try:
            if event.kind == HEAD_SIGNED:
                return self._head(event)
            return self.ring.apply(
                event.kind, event.data, seq=event.seq, at=event.at, ledger=self.ledger
            )
        except SignaturesUncheckable as error:
            self.uncheckable = str(error)
            return []

    def _head(self, event: Event) -> list[str]:
        try:
            if event.data.keys() != {"schema", "statement", "signatures"}:
                raise ValueError("expected schema, statement and signatures")
            if event.data["schema"] != HEAD_SCHEMA:
                raise ValueError(f"expected schema {HEAD_SCHEMA}")
            head = parse_head({k: event.data[k] for k in ("statement", "signatures")})
        except ValueError as error:
            return [f"{HEAD_SIGNED}: {error}"]
        newest = self.heads[-1][0] if self.heads else None
        wrong: list[str] = []
        if head.ledger != self.ledger:
            wrong.append("signed for another ledger")
        elif head.size != self._tree.size:
            wrong.append(f"signs {head.size} events, {self._tree.size} stand before it")
        elif head.root != self._tree.root().hex():
            wrong.append("the signed root is not that of the events before it: they were changed")
        elif head.last != event.prev:
            wrong.append("the signed digest is not that of the event before it")
        elif head.previous != (None if newest is None else (newest.size, newest.root)):
            wrong.append("the previous head that it names is not the one before it")
        if not self._at <= head.at <= event.at + CLOCK_STEP:
            wrong.append(
                f"signed at {when(head.at)}, which is not between its event and the one before: "
                "a clock was set back"
            )
        signers, refused = self.ring.signers(head.signed, event.at)
        wrong += refused
        if not wrong and not any(entry.role == "assessor" for entry in signers):
            wrong.append("not signed by an assessor's key")
        if wrong:
            return [f"{HEAD_SIGNED}: {text}" for text in wrong]
        self.heads.append((head, tuple(signers)))
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerState:
    """A ledger read for signing: its tree, keys and heads.

    Attributes:
        lines: bytes of each event's line.
        events: each event.
        check: keys and heads.
    """

    lines: Sequence[bytes]
    events: Sequence[Event]
    check: HeadCheck

    @property
    def ledger(self) -> Sha256:
        assert self.check.ledger is not None
        return self.check.ledger

    def tree(self) -> Tree:
        return Tree(leaf_hash(line) for line in self.lines)


def read_state(folder: Path, *, trusted: Sequence[PublicKey] = ()) -> LedgerState:
    """Read a case's ledger and check keys and heads in it.

    Raises:
        LedgerBroken: something in it is wrong.
        NotACase, StorageError: there is none, or it cannot be read.
        SignaturesUncheckable: it has signatures and the library for them is missing.
    """
    path = folder / LEDGER_NAME
    check = HeadCheck(ring=KeyRing(trusted))
    lines: list[bytes] = []
    events: list[Event] = []
    if not path.exists():
        raise NotACase(f"{shown(folder)} is no case (it has no {LEDGER_NAME})")
    with reported("read", path), tapped(path) as stream:
        for found in check_lines(stream):
            if not found.terminated:
                break
            wrong = list(found.problems) + check.line(stream.line[:-1], found.event)
            if wrong or found.event is None:
                raise LedgerBroken(
                    f"{shown(path)}:{found.number}: {wrong[0]}: restore the case from a copy"
                )
            lines.append(stream.line[:-1])
            events.append(found.event)
    if not events:
        raise NotACase(f"{shown(path)} has no event: make a case with `custodes init`")
    if check.uncheckable:
        raise SignaturesUncheckable(check.uncheckable)
    return LedgerState(lines=lines, events=events, check=check)


def sign_head(
    case: Case, keys: Sequence[PrivateKey], *, clock: Callable[[], int] = utc_us
) -> SignedHead:
    """Sign all events of a case that is open for writing, and append ``head.signed``.

    Args:
        case: open for writing.
        keys: the first is an assessor's; others witness.
        clock: microseconds since 1970.

    Raises:
        SignatureRefused: a key may not sign here, or the clock is behind the newest event.
    """
    state = read_state(case.path)
    now = clock()
    _forward(state, now)
    for key in keys:
        _usable(state, key, now)
    if not any(state.check.ring.entries[k.public.id].role == "assessor" for k in keys):
        raise SignatureRefused("expected an assessor's key to sign a head: name one with --key")
    newest = state.check.heads[-1][0] if state.check.heads else None
    last = state.events[-1].head
    about: JsonObject = {
        "ledger": state.ledger,
        "size": len(state.events),
        "root": state.tree().root().hex(),
        "previous": None if newest is None else {"size": newest.size, "root": newest.root},
        "at": now,
    }
    signed = sign(statement({LEDGER_NAME: last}, HEAD_PREDICATE, about), keys)
    case.append(HEAD_SIGNED, {"schema": HEAD_SCHEMA, **signed.to_json()})
    return parse_head(signed.to_json())


def _forward(state: LedgerState, now: int) -> None:
    newest = state.events[-1].at
    if now < newest:
        raise SignatureRefused(
            f"the clock says {when(now)}, the newest event {when(newest)}: the clock was set back; "
            "set it right and run again"
        )


def _usable(state: LedgerState, key: PrivateKey, now: int) -> None:
    entry = state.check.ring.entries.get(key.public.id)
    if entry is None:
        raise SignatureRefused(
            f"key {key.public.id} is not one of this case: add it with `custodes keys add`"
        )
    if refusal := entry.refusal(now):
        raise SignatureRefused(f"{refusal}: sign with a key that is in force")


def add_key(
    case: Case,
    key: PrivateKey,
    *,
    name: str,
    role: str = "assessor",
    by: Sequence[PrivateKey] = (),
    not_after: int | None = None,
    clock: Callable[[], int] = utc_us,
) -> Event:
    """Append ``key.added``: signed by the key itself and, unless it is the first, by others.

    Args:
        by: an assessor's key in force, or two recovery keys.
        not_after: microseconds; when the key expires.

    Raises:
        SignatureRefused: the keys that sign it may not.
    """
    about: JsonObject = {
        "key": key.public.id,
        "public": key.public.raw.hex(),
        "name": name,
        "role": role,
        "not_after": not_after,
    }
    return _append_key(case, KEY_ADDED, about, [key, *by], clock)


def rotate_key(
    case: Case,
    old: str,
    new: PrivateKey,
    *,
    by: Sequence[PrivateKey],
    not_after: int | None = None,
    clock: Callable[[], int] = utc_us,
) -> Event:
    """Append ``key.rotated``: the old key ends and the new one has its role and name.

    Args:
        old: id of the key that ends.
        by: the old key, or two recovery keys when it is lost.
        not_after: microseconds; when the new key expires.

    Raises:
        SignatureRefused: the keys that sign it may not.
    """
    about: JsonObject = {
        "key": new.public.id,
        "public": new.public.raw.hex(),
        "replaces": old,
        "not_after": not_after,
    }
    return _append_key(case, KEY_ROTATED, about, [new, *by], clock)


def revoke_key(
    case: Case,
    key: str,
    *,
    reason: str,
    by: Sequence[PrivateKey],
    clock: Callable[[], int] = utc_us,
) -> Event:
    """Append ``key.revoked``, which a second key witnesses wherever there is one.

    Raises:
        SignatureRefused: the keys that sign it may not.
    """
    return _append_key(case, KEY_REVOKED, {"key": key, "reason": reason}, by, clock)


def _append_key(
    case: Case,
    kind: str,
    about: JsonObject,
    keys: Sequence[PrivateKey],
    clock: Callable[[], int],
) -> Event:
    state = read_state(case.path)
    now = clock()
    _forward(state, now)
    data = key_event(kind, {**about, "at": now}, state.ledger, keys)
    # The same rules that every reader applies later: what they would refuse is not written.
    wrong = state.check.ring.apply(kind, data, seq=len(state.events), at=now, ledger=state.ledger)
    if wrong:
        raise SignatureRefused(wrong[0])
    return case.append(kind, data)


def head_file(state: LedgerState, number: int = -1) -> HeadFile:
    """A signed head of a ledger in the form to keep or hand on; the newest by default.

    Raises:
        SignatureRefused: there is none.
    """
    if not state.check.heads:
        raise SignatureRefused("no head was signed yet: sign one with `custodes head sign`")
    head, signers = state.check.heads[number]
    return HeadFile(head=head, keys={e.public.id: e.public for e in signers})


__all__ = [
    "HEAD_SCHEMA",
    "HEAD_SIGNED",
    "HeadCheck",
    "HeadFile",
    "LedgerState",
    "LineTap",
    "SignedHead",
    "add_key",
    "head_file",
    "parse_head",
    "parse_head_file",
    "read_head_file",
    "read_state",
    "revoke_key",
    "rotate_key",
    "sign_head",
    "tapped",
]
