"""Bundles: what a published report carries so that it can be checked without the case.

A bundle is one line of RFC 8785 JSON: the report, the events that it rests on with proofs that
they are in the signed ledger, the changes of keys, the signed head, and a signature over all of
it. A sealed page is a report's HTML followed by its bundle in a comment.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from custodes.types import JsonObject, JsonValue, Sha256, parse_sha256, sha256_of

from ._canonical import canonical_document, parse_canonical
from ._disk import CHUNK, opened_regular
from ._dsse import SignatureRefused, Signed, parse_signed, sign, statement, strict_base64
from ._errors import EvidenceCorrupt, reported, shown
from ._evidence import EvidenceStore, iter_fd
from ._heads import LedgerState, SignedHead, parse_head, read_state
from ._item import EVIDENCE_RECORDED, Classification, evidence_items, parse_item, strictest
from ._keyring import KEY_KINDS
from ._keys import PrivateKey
from ._ledger import Event, utc_us
from ._merkle import LONGEST_PROOF
from ._references import FileNamed, references
from ._words import EVIDENCE_NAME, MEASUREMENT_RECORDED, REPORT_RENDERED, REPORTS_NAME

BUNDLE_SCHEMA: Final = "custodes.bundle/1"
BUNDLE_PREDICATE: Final = "urn:custodes:bundle:1"
PAGE: Final = "report.html"
LARGEST_BUNDLE: Final = 256 << 20

_OPEN: Final = b"\n<!-- custodes-bundle "
_CLOSE: Final = b" -->\n"
_ALWAYS: Final = KEY_KINDS | {MEASUREMENT_RECORDED}
_CONTENT: Final = frozenset({"ledger", "head", "earlier", "events", "files", "blobs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedEvent:
    """An event's line, its number, and the proof that the signed head covers it."""

    seq: int
    line: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedFile:
    """A file of the report: name, digest, length, and bytes (None: the page around the bundle)."""

    name: str
    sha256: Sha256
    size: int
    data: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierHead:
    """A signed head before the newest, and the proof that the newest continues it."""

    size: int
    root: Sha256
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle as it was read; nothing in it has been checked but its form."""

    ledger: Sha256
    head: SignedHead
    earlier: tuple[EarlierHead, ...]
    events: tuple[CarriedEvent, ...]
    files: tuple[CarriedFile, ...]
    blobs: Mapping[Sha256, bytes]
    content: Sha256
    signed: Signed


def make_bundle(
    case: Path,
    keys: Sequence[PrivateKey],
    *,
    most: Classification = Classification.PUBLIC,
    blobs: Sequence[Sha256] = (),
    around_page: bool = False,
    clock: Callable[[], int] = utc_us,
) -> bytes:
    """The bundle of a case's newest report. The same case and keys give the same bytes.

    Args:
        case: the folder.
        keys: the first is an assessor's.
        most: evidence items that are more restricted than this stay out, with their blobs.
            Measurements, changes of keys and the report are carried always.
        blobs: more evidence that is carried; each must be named by a carried event.
        around_page: leave out the page's bytes, for :func:`seal_page`.
        clock: microseconds since 1970; decides only whether the keys are in force.

    Raises:
        SignatureRefused: there is no report, no signed head that covers it, or a key may not sign.
        CaseError: the case is not intact.
    """
    state = read_state(case)
    report = next((e for e in reversed(state.events) if e.kind == REPORT_RENDERED), None)
    if report is None:
        raise SignatureRefused("there is no report yet: write one with `custodes report`")
    if not state.check.heads or state.check.heads[-1][0].size <= report.seq:
        raise SignatureRefused(
            f"no signed head covers the newest report (event {report.seq}): sign one with "
            "`custodes head sign`"
        )
    head = state.check.heads[-1][0]
    _may_sign(state, keys, clock())
    tree = state.tree()
    shown_item = _shown(state.events[: head.size], most)
    carried = [
        e
        for e in state.events[: head.size]
        if e.seq == report.seq or e.kind in _ALWAYS or shown_item(e)
    ]
    store = EvidenceStore(case / EVIDENCE_NAME, writable=False)
    wanted = {*blobs}
    hidden: set[Sha256] = set()
    for event in state.events[: head.size]:
        if event.kind == EVIDENCE_RECORDED:
            # A sealed log is too large to carry: it stays in the case.
            held = {blob for blob in parse_item(event.data).blobs if blob in store}
            (wanted if shown_item(event) else hidden).update(held)
    # The same bytes may stand in an item that is restricted too.
    wanted -= hidden
    content: JsonObject = {
        "ledger": state.ledger,
        "head": head.signed.to_json(),
        "earlier": [
            {
                "size": found.size,
                "root": found.root,
                "proof": _hex(tree.consistency(found.size, head.size)),
            }
            for found, _ in state.check.heads[:-1]
        ],
        "events": [
            {
                "seq": e.seq,
                "line": state.lines[e.seq].decode("utf-8"),
                "proof": _hex(tree.inclusion(e.seq, head.size)),
            }
            for e in carried
        ],
        "files": [
            _file(case, named, around_page)
            for named in references(report.data)
            if isinstance(named, FileNamed)
        ],
        "blobs": [
            {"sha256": blob, "base64": base64.b64encode(store.read(store.ref(blob))).decode()}
            for blob in sorted(wanted)
        ],
    }
    about: JsonObject = {"ledger": state.ledger, "size": head.size, "root": head.root}
    digest = sha256_of(canonical_document(content))
    signed = sign(statement({"content": digest}, BUNDLE_PREDICATE, about), keys)
    document: JsonObject = {
        "schema": BUNDLE_SCHEMA,
        "content": content,
        "signature": signed.to_json(),
    }
    data = canonical_document(document) + b"\n"
    if len(data) > LARGEST_BUNDLE:
        raise SignatureRefused(
            f"the bundle has {len(data)} bytes, at most {LARGEST_BUNDLE} are read again: carry less"
        )
    return data


def _shown(events: Sequence[Event], most: Classification) -> Callable[[Event], bool]:
    """Which evidence items may be carried: neither they nor their newest version too restricted."""
    newest = evidence_items(events)

    def shown(event: Event) -> bool:
        if event.kind != EVIDENCE_RECORDED:
            return False
        item = parse_item(event.data)
        found = strictest([item.classification, newest[item.id].classification])
        return found.rank <= most.rank

    return shown


def _may_sign(state: LedgerState, keys: Sequence[PrivateKey], now: int) -> None:
    roles = set()
    for key in keys:
        entry = state.check.ring.entries.get(key.public.id)
        if entry is None:
            raise SignatureRefused(f"key {key.public.id} is not one of this case")
        if refusal := entry.refusal(now):
            raise SignatureRefused(f"{refusal}: sign with a key that is in force")
        roles.add(entry.role)
    if "assessor" not in roles:
        raise SignatureRefused("expected an assessor's key to sign a bundle: name one with --key")


def _file(case: Path, named: FileNamed, around_page: bool) -> JsonObject:
    path = case / named.file
    name = named.file.split("/")[-1]
    with reported("read", path), opened_regular(path) as fd:
        data = b"".join(iter_fd(fd))
    if sha256_of(data) != named.sha256:
        raise EvidenceCorrupt(f"{shown(path)}: the bytes were changed: write the report again")
    left_out = around_page and name == PAGE
    return {
        "name": name,
        "sha256": named.sha256,
        "bytes": named.size,
        "text": None if left_out else data.decode("utf-8"),
    }


def seal_page(case: Path, bundle: bytes) -> bytes:
    """The page of a case's newest report with its bundle (made ``around_page``) behind it."""
    found = parse_bundle(bundle)
    (page,) = [f for f in found.files if f.name == PAGE]
    for path in (case / PAGE, *sorted((case / REPORTS_NAME).glob(f"*/{PAGE}"))):
        if not path.is_file():
            continue
        with reported("read", path), opened_regular(path) as fd:
            data = b"".join(iter_fd(fd))
        if sha256_of(data) == page.sha256:
            return data + _OPEN + base64.b64encode(bundle) + _CLOSE
    raise SignatureRefused(f"{shown(case)} has no {PAGE} as recorded: write the report again")


def split_page(data: bytes) -> tuple[bytes, bytes]:
    """A sealed page as the page and its bundle.

    Raises:
        ValueError: it carries none, or not in the form of :func:`seal_page`.
    """
    at = data.rfind(_OPEN)
    if at < 0:
        raise ValueError("carries no bundle: it is not a sealed report, or its end was cut off")
    if not data.endswith(_CLOSE):
        raise ValueError("does not end with its bundle: something was added or cut off")
    text = data[at + len(_OPEN) : -len(_CLOSE)]
    try:
        return data[:at], strict_base64(text.decode("ascii"))
    except ValueError as error:
        raise ValueError(f"its bundle is damaged: {error}") from None


def read_whole(path: Path) -> bytes:
    """The bytes of a bundle or sealed page.

    Raises:
        StorageError: it cannot be read.
        ValueError: it is too large.
    """
    pieces, size = [], 0
    with reported("read", path), opened_regular(path) as fd, open(fd, "rb", closefd=False) as file:
        while piece := file.read(CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_BUNDLE:
                raise ValueError(f"has more than {LARGEST_BUNDLE} bytes; not read")
    return b"".join(pieces)


def parse_bundle(data: bytes) -> Bundle:
    """A bundle from its bytes, checked for form only.

    Raises:
        ValueError: it is none, or not in canonical form.
    """
    if not data.endswith(b"\n"):
        raise ValueError("does not end with a newline: something was cut off")
    value, canonical = parse_canonical(data[:-1])
    if not isinstance(value, Mapping) or value.get("schema") != BUNDLE_SCHEMA:
        raise ValueError(f"expected a document of schema {BUNDLE_SCHEMA}")
    if not canonical:
        raise ValueError("not in canonical form (RFC 8785): the bytes were changed")
    _exactly(value, "a bundle", "schema", "content", "signature")
    content = value["content"]
    if not isinstance(content, Mapping) or content.keys() != _CONTENT:
        raise ValueError(f"expected content with exactly {', '.join(sorted(_CONTENT))}")
    signed = parse_signed(value["signature"])
    if signed.predicate_type != BUNDLE_PREDICATE:
        raise ValueError(f"signs a statement of another type, {signed.predicate_type[:80]!r}")
    return Bundle(
        ledger=parse_sha256(content["ledger"]),
        head=parse_head(content["head"]),
        earlier=tuple(_earlier(item) for item in _list(content, "earlier")),
        events=tuple(_event(item) for item in _list(content, "events")),
        files=tuple(_parse_file(item) for item in _list(content, "files")),
        blobs=dict(_blob(item) for item in _list(content, "blobs")),
        content=sha256_of(canonical_document(content)),
        signed=signed,
    )


def _exactly(value: JsonObject, what: str, *fields: str) -> None:
    if value.keys() != set(fields):
        raise ValueError(f"expected {what} with exactly {', '.join(fields)}")


def _list(content: JsonObject, name: str) -> Sequence[JsonObject]:
    found = content[name]
    if not isinstance(found, (list, tuple)):
        raise ValueError(f"expected {name} as a list")
    items: list[JsonObject] = []
    for item in found:
        if not isinstance(item, Mapping):
            raise ValueError(f"expected objects in {name}")
        items.append(item)
    return items


def _count(value: JsonValue, what: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected {what} as a number, found {str(value)[:40]!r}")
    return value


def _hashes(value: JsonValue) -> tuple[bytes, ...]:
    if not isinstance(value, (list, tuple)) or len(value) > LONGEST_PROOF:
        raise ValueError(f"expected a proof of at most {LONGEST_PROOF} digests")
    return tuple(bytes.fromhex(parse_sha256(item)) for item in value)


def _hex(proof: Sequence[bytes]) -> list[JsonValue]:
    return [item.hex() for item in proof]


def _earlier(item: JsonObject) -> EarlierHead:
    _exactly(item, "an earlier head", "size", "root", "proof")
    return EarlierHead(
        size=_count(item["size"], "size"),
        root=parse_sha256(item["root"]),
        proof=_hashes(item["proof"]),
    )


def _event(item: JsonObject) -> CarriedEvent:
    _exactly(item, "an event", "seq", "line", "proof")
    line = item["line"]
    if not isinstance(line, str):
        raise ValueError("expected an event's line as text")
    return CarriedEvent(
        seq=_count(item["seq"], "seq"), line=line.encode("utf-8"), proof=_hashes(item["proof"])
    )


def _parse_file(item: JsonObject) -> CarriedFile:
    _exactly(item, "a file", "name", "sha256", "bytes", "text")
    name, text = item["name"], item["text"]
    if not isinstance(name, str) or not name.isprintable() or "/" in name or not name:
        raise ValueError(f"expected a plain file name, found {str(name)[:80]!r}")
    if text is not None and not isinstance(text, str):
        raise ValueError(f"expected {name} as text")
    return CarriedFile(
        name=name,
        sha256=parse_sha256(item["sha256"]),
        size=_count(item["bytes"], "bytes"),
        data=None if text is None else text.encode("utf-8"),
    )


def _blob(item: JsonObject) -> tuple[Sha256, bytes]:
    _exactly(item, "a blob", "sha256", "base64")
    return parse_sha256(item["sha256"]), strict_base64(item["base64"])


__all__ = [
    "BUNDLE_SCHEMA",
    "PAGE",
    "Bundle",
    "CarriedEvent",
    "CarriedFile",
    "make_bundle",
    "parse_bundle",
    "read_whole",
    "seal_page",
    "split_page",
]
