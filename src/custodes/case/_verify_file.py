"""Check a bundle, or a published report that carries one, by someone who has only that file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from custodes.types import Sha256, sha256_of

from ._bundle import (
    PAGE,
    Bundle,
    CarriedEvent,
    parse_bundle,
    read_whole,
    split_page,
)
from ._canonical import parse_document
from ._dsse import SignaturesUncheckable, Signed
from ._errors import StorageError, shown
from ._heads import HeadFile
from ._keyring import KEY_KINDS, KeyEntry, KeyRing, when
from ._keys import PublicKey
from ._ledger import Event, _check_line
from ._merkle import consistent, includes, leaf_hash
from ._references import BlobNamed, FileNamed, Unclear, references
from ._verify import Problem, VerifyResult
from ._words import REPORT_RENDERED


@dataclass(slots=True)
class _Findings:
    name: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def wrong(self, part: str, what: str) -> None:
        where = f"{self.name}: {part}" if part else self.name
        self.problems.append(Problem(where=shown(where), what=shown(what)))


def verify_file(
    path: Path, *, keys: Sequence[PublicKey] = (), earlier: Sequence[HeadFile] = ()
) -> VerifyResult:
    """Check a bundle or a sealed page. Whatever the file holds, this reports and does not raise.

    Args:
        path: the file.
        keys: public keys known from elsewhere; the signatures must lead to one.
        earlier: signed heads that were kept elsewhere; the bundle's must continue each.
    """
    to = _Findings(name=os.path.basename(path))
    bundle: Bundle | None = None
    level = "integrity"
    try:
        data = read_whole(path)
        page: bytes | None = None
        # A bundle is one JSON object; everything else that is published is a page.
        if not data.startswith(b"{"):
            page, data = split_page(data)
        bundle = parse_bundle(data)
        if _check(bundle, page, keys, earlier, to):
            level = "signatures"
    except (ValueError, StorageError) as error:
        to.wrong("", str(error))
    except MemoryError:
        to.wrong("", "checking needs more memory than there is")
    return VerifyResult(
        ok=not to.problems,
        level=level,
        events=0 if bundle is None else len(bundle.events),
        evidence=0 if bundle is None else len(bundle.blobs),
        logs=0,
        head=None if bundle is None else bundle.head.last,
        problems=tuple(to.problems),
        notes=tuple(shown(text) for text in to.notes),
        not_checkable=tuple(to.open),
    )


def _check(
    bundle: Bundle,
    page: bytes | None,
    keys: Sequence[PublicKey],
    earlier: Sequence[HeadFile],
    to: _Findings,
) -> bool:
    """Check all parts; whether the signatures could be and are right."""
    if bundle.head.ledger != bundle.ledger:
        to.wrong("head", "signed for another ledger than the bundle's")
    events = _events(bundle, to)
    _files(bundle, page, events, to)
    _blobs(bundle, events, to)
    _continued(bundle, earlier, to)
    to.open.append("the rest of the ledger and its evidence: only the case itself holds them")
    to.open.append("the arithmetic and the episodes: they need the case (verify --recompute there)")
    try:
        return _signatures(bundle, events, keys, to)
    except SignaturesUncheckable as error:
        to.open.append(f"signatures: {error}")
        if keys:
            to.wrong("head", "a public key was given and no signature can be checked")
        return False


def _events(bundle: Bundle, to: _Findings) -> list[Event]:
    found: list[Event] = []
    root = bytes.fromhex(bundle.head.root)
    before = -1
    for carried in bundle.events:
        part = f"event {carried.seq}"
        event = _event(carried, part, to)
        if carried.seq <= before:
            to.wrong(part, "events are not in the order of their numbers")
        before = carried.seq
        if not includes(
            root, bundle.head.size, carried.seq, leaf_hash(carried.line), carried.proof
        ):
            to.wrong(part, "its proof does not lead to the signed root: it is not in the ledger")
        elif event is not None:
            found.append(event)
    return found


def _event(carried: CarriedEvent, part: str, to: _Findings) -> Event | None:
    try:
        value = parse_document(carried.line)
    except ValueError as error:
        to.wrong(part, f"not an event: {error}")
        return None
    prev = value.get("prev") if isinstance(value, Mapping) else None
    # The line before is not here: the inclusion proof stands in for the chain.
    event, problems = _check_line(carried.line, carried.seq, Sha256(str(prev)), 0)
    for problem in problems:
        to.wrong(part, problem)
    return event


def _files(bundle: Bundle, page: bytes | None, events: Sequence[Event], to: _Findings) -> None:
    named = {
        found.file.split("/")[-1]: found
        for event in events
        if event.kind == REPORT_RENDERED
        for found in references(event.data)
        if isinstance(found, FileNamed)
    }
    seen: set[str] = set()
    for file in bundle.files:
        if file.name in seen:
            to.wrong(file.name, "is carried twice")
        seen.add(file.name)
        recorded = named.get(file.name)
        if recorded is None or (recorded.sha256, recorded.size) != (file.sha256, file.size):
            to.wrong(file.name, "is not the report that the ledger names")
        data = file.data
        if data is None and file.name == PAGE and page is not None:
            data = page
        if data is None:
            to.wrong(file.name, "its bytes are missing")
        elif sha256_of(data) != file.sha256 or len(data) != file.size:
            to.wrong(file.name, "the bytes of the report were changed")
    for name in sorted(named.keys() - seen):
        to.wrong(name, "is missing; the ledger names it as part of the report")
    if not named:
        to.wrong("", "carries no event that names a report")
    elif page is not None and PAGE not in seen:
        to.wrong(PAGE, "the page around the bundle is not part of it")


def _blobs(bundle: Bundle, events: Sequence[Event], to: _Findings) -> None:
    named: set[Sha256] = set()
    for event in events:
        for found in references(event.data):
            if isinstance(found, BlobNamed):
                named.add(found.blob)
            elif isinstance(found, Unclear):
                to.wrong(f"event {event.seq}", found.what)
    for blob, data in bundle.blobs.items():
        if sha256_of(data) != blob:
            to.wrong(f"blob {blob}", "the bytes were changed")
        if blob not in named:
            to.wrong(f"blob {blob}", "no event in the bundle names it")
    if absent := len(named - bundle.blobs.keys()):
        to.open.append(f"{absent} blobs that events name: they are not in this file")


def _continued(bundle: Bundle, earlier: Sequence[HeadFile], to: _Findings) -> None:
    root = bytes.fromhex(bundle.head.root)
    known = {bundle.head.size: bundle.head.root}
    for old in bundle.earlier:
        if consistent(bytes.fromhex(old.root), old.size, root, bundle.head.size, old.proof):
            known[old.size] = old.root
        else:
            to.wrong(f"earlier head of {old.size} events", "the signed head does not continue it")
    for kept in earlier:
        said = f"the head kept from {when(kept.head.at)}"
        if kept.head.ledger != bundle.ledger:
            to.wrong("head", f"{said} is of another ledger, or the first event was rewritten")
        elif kept.head.size > bundle.head.size:
            to.wrong("head", f"{said} covers more events: this file is older, or some were removed")
        elif kept.head.size not in known:
            to.wrong("head", f"{said} is not among those that this file continues")
        elif known[kept.head.size] != kept.head.root:
            to.wrong("head", f"{said} does not fit: history was rewritten")


def _signatures(
    bundle: Bundle, events: Sequence[Event], keys: Sequence[PublicKey], to: _Findings
) -> bool:
    ring = KeyRing(keys)
    for event in events:
        if event.kind in KEY_KINDS:
            for text in ring.apply(
                event.kind, event.data, seq=event.seq, at=event.at, ledger=bundle.ledger
            ):
                to.wrong(f"event {event.seq}", text)
    to.notes += ring.notes
    before = len(to.problems)
    by_head = _signers(ring, bundle.head.signed, bundle.head.at, "head", bool(keys), to)
    _signers(ring, bundle.signed, bundle.head.at, "signature", bool(keys), to)
    about = {
        "ledger": bundle.ledger,
        "size": bundle.head.size,
        "root": bundle.head.root,
    }
    if dict(bundle.signed.subject) != {"content": bundle.content}:
        to.wrong("signature", "is over other content: something was changed, added or removed")
    if dict(bundle.signed.predicate) != about:
        to.wrong("signature", "is over another head")
    if by_head:
        names = ", ".join(f"{e.name} ({e.public.id}, {e.role})" for e in by_head)
        to.notes.append(
            f"signed by {names} over {bundle.head.size} events at {when(bundle.head.at)}"
        )
    if not keys:
        to.open.append(
            "whose keys signed: the file vouches for its own keys; give the public key that you "
            "know with --key"
        )
    to.open.append("whether a key was revoked after this file was made: ask its publisher")
    to.open.append(
        "whether what was recorded is true: signatures show who fixed which events in which "
        "order, not where the evidence came from"
    )
    return len(to.problems) == before


def _signers(
    ring: KeyRing, signed: Signed, at: int, part: str, pinned: bool, to: _Findings
) -> list[KeyEntry]:
    found, wrong = ring.signers(signed, at)
    for text in wrong:
        to.wrong(part, text)
    assessors = [e for e in found if e.role == "assessor"]
    if not assessors:
        to.wrong(part, "not signed by an assessor's key")
    elif pinned and not any(e.trusted for e in assessors):
        to.wrong(part, "not signed by the key that was given, nor by one that it brought in")
    return found


__all__ = ["verify_file"]
