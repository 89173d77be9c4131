"""Check a case's integrity without trusting anything in it, and without changing it.

What it settles: that the ledger is a chain of well-formed events, that every blob, log, report and
configuration that an event names is there with the bytes it names, that every locator's span
has the bytes it claims, and that every signed head and every change of keys is rightly signed.
What no file can settle about itself is listed as not checkable.

Blobs and logs that no event names are notes, not problems: a writer that is killed between storing
a blob and appending its event leaves one, and nothing rests on it. Foreign files are notes too,
except inside ``evidence/``, where every file claims to be evidence. ``work/`` is scratch and is not
looked at. Links are not followed, pipes and devices are not opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from custodes.types import JsonObject, Locator, Sha256, parse_sha256

from ._archive import ArchiveError, span_digests
from ._disk import hash_fd, opened_regular
from ._errors import StorageError, shown
from ._evidence import TEMPORARY
from ._heads import HeadCheck, HeadFile, tapped
from ._item import EVIDENCE_RECORDED, Items
from ._keyring import KeyRing
from ._keys import PublicKey
from ._ledger import GENESIS, Event, check_lines, writer_active
from ._references import BlobNamed, FileNamed, Unclear, references
from ._verify_signed import signed
from ._words import (
    CASE_CREATED,
    CONFIG_NAME,
    EVIDENCE_NAME,
    LEDGER_NAME,
    LOGS_NAME,
    REPORT_COPIES,
    REPORTS_NAME,
    WORK_NAME,
)

VERIFY_SCHEMA: Final = "custodes.verify/1"
MOST_FINDINGS: Final = 2000
"""Problems that are listed; more are counted."""
MOST_STRANGERS: Final = 20
"""Blobs that no event names and that are listed; more are counted."""

_TORN = re.compile(r"ledger\.torn-\d{1,9}\Z")
_HEX2 = re.compile(r"[0-9a-f]{2}\Z")
_HEX62 = re.compile(r"[0-9a-f]{62}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that is wrong.

    Attributes:
        where: path inside the case, with ``:line`` for the ledger.
        what: in words.
    """

    where: str
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What was checked and found.

    Attributes:
        ok: nothing is wrong. Read it together with ``not_checkable``.
        level: ``integrity``; ``signatures`` when a signed head was checked as well;
            ``arithmetic`` when the numbers were computed again too. Episodes never are.
        events: whole events in the ledger.
        evidence: blobs in ``evidence/`` whose bytes are those that their names stand for.
        logs: sealed logs with the bytes they were sealed with.
        head: digest of the newest event's line; None without one.
        problems: what is wrong.
        notes: what is unusual and not wrong.
        not_checkable: what this folder cannot show.
    """

    ok: bool
    level: str
    events: int
    evidence: int
    logs: int
    head: Sha256 | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    not_checkable: tuple[str, ...]

    def to_json(self) -> JsonObject:
        return {
            "schema": VERIFY_SCHEMA,
            "ok": self.ok,
            "level": self.level,
            "events": self.events,
            "evidence": self.evidence,
            "logs": self.logs,
            "head": self.head,
            "problems": [{"where": p.where, "what": p.what} for p in self.problems],
            "notes": list(self.notes),
            "not_checkable": list(self.not_checkable),
        }


@dataclass(slots=True)
class _Check:
    root: Path
    signatures: HeadCheck
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_checkable: list[str] = field(default_factory=list)
    unlisted: int = 0

    items: Items = field(default_factory=Items)
    events: int = 0
    head: Sha256 | None = None
    heads: dict[Sha256, int] = field(default_factory=dict)
    # For each blob or file that an event names, the line that named it first or last.
    blobs: dict[Sha256, int] = field(default_factory=dict)
    spans: dict[tuple[Sha256, str | None], dict[Locator, int]] = field(default_factory=dict)
    files: dict[str, tuple[FileNamed, int]] = field(default_factory=dict)
    # Where the bytes of a blob are, once they were read and found right: in evidence/ or logs/.
    sound: dict[Sha256, str] = field(default_factory=dict)
    damaged: set[Sha256] = field(default_factory=set)
    evidence: int = 0
    logs: int = 0

    def wrong(self, where: str, what: str) -> None:
        if len(self.problems) < MOST_FINDINGS:
            self.problems.append(Problem(where=shown(where), what=shown(what)))
        else:
            self.unlisted += 1

    def note(self, what: str) -> None:
        if len(self.notes) < MOST_FINDINGS:
            self.notes.append(shown(what))


def verify(
    path: Path,
    *,
    expected_head: str | None = None,
    keys: Sequence[PublicKey] = (),
    earlier: Sequence[HeadFile] = (),
) -> VerifyResult:
    """Check the case in ``path``. Whatever the folder holds, this reports and does not raise.

    Args:
        path: the folder.
        expected_head: a head noted earlier, outside the folder. The ledger must contain it, and
            events that were cut off its end are then found.
        keys: public keys known from elsewhere. The newest signed head must then be signed by one,
            or by a key that one has brought in.
        earlier: signed heads that were kept elsewhere. Each must be a start of this ledger, so
            that a history that was rewritten as a whole is found.
    """
    check = _Check(root=path, signatures=HeadCheck(ring=KeyRing(keys), earlier=earlier))
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            check.wrong(".", "not a folder: expected a case")
        else:
            _ledger(check)
            _head(check, expected_head)
            signed(check.signatures, check.events, bool(keys), check)
            _evidence(check)
            _files(check)
            _copies(check)
            _references(check)
            _strangers(check)
    except OSError as error:
        check.wrong(".", f"cannot be read: {error.strerror or error}")
    except MemoryError:
        check.wrong(".", "checking needs more memory than there is")
    if check.unlisted:
        check.problems.append(Problem(where=".", what=f"{check.unlisted} more problems not listed"))
    return VerifyResult(
        ok=not check.problems,
        level="signatures" if check.signatures.heads else "integrity",
        events=check.events,
        evidence=check.evidence,
        logs=check.logs,
        head=check.head,
        problems=tuple(check.problems),
        notes=tuple(check.notes),
        not_checkable=tuple(check.not_checkable),
    )


def _ledger(check: _Check) -> None:
    path = check.root / LEDGER_NAME
    try:
        with tapped(path) as stream:
            for line in check_lines(stream):
                where = f"{LEDGER_NAME}:{line.number}"
                if not line.terminated:
                    _tail(check, path, where, line.size)
                    break
                for problem in line.problems:
                    check.wrong(where, problem)
                for problem in check.signatures.line(stream.line[:-1], line.event):
                    check.wrong(where, problem)
                if line.event is not None:
                    _event(check, line.event, line.number, where)
    except OSError as error:
        check.wrong(LEDGER_NAME, f"cannot be read: {error.strerror or error}")
        return
    if check.events == 0:
        check.wrong(LEDGER_NAME, "has no event: expected case.created as the first")


def _tail(check: _Check, path: Path, where: str, size: int) -> None:
    try:
        active = writer_active(path)
    except StorageError:
        active = False
    if active:
        check.note(f"{where}: {size} bytes are being written by another process at this moment")
        return
    check.wrong(
        where,
        f"torn tail: {size} bytes after the last newline. An interrupted writer leaves one, and so "
        "does damage; opening the case for writing sets it aside without deleting it",
    )


def _event(check: _Check, event: Event, number: int, where: str) -> None:
    if check.events == 0 and event.kind != CASE_CREATED:
        check.wrong(where, f"first event is {event.kind}, expected {CASE_CREATED}")
    check.events += 1
    check.head = event.head
    check.heads[event.head] = event.seq
    if event.kind == EVIDENCE_RECORDED:
        for problem in check.items.apply(event.data):
            check.wrong(where, problem)
    for named in references(event.data):
        if isinstance(named, Unclear):
            check.wrong(where, named.what)
        elif isinstance(named, BlobNamed):
            check.blobs.setdefault(named.blob, number)
            if named.locator is not None:
                spans = check.spans.setdefault((named.blob, named.locator.member), {})
                spans.setdefault(named.locator, number)
        else:
            before = check.files.get(named.file)
            kept = named.file.startswith(f"{LOGS_NAME}/") or _TORN.match(named.file) is not None
            if kept and before is not None and before[0] != named:
                check.wrong(where, f"{named.file} is named otherwise in line {before[1]}")
            else:
                check.files[named.file] = (named, number)


def _head(check: _Check, expected: str | None) -> None:
    if expected is None:
        if check.signatures.earlier:
            return
        check.not_checkable.append(
            "whether the newest events were removed: a chain shows that only against a head that "
            "was noted elsewhere (give it with --head)"
        )
        return
    try:
        wanted = parse_sha256(expected)
    except ValueError as error:
        check.wrong(LEDGER_NAME, f"expected head: {error}")
        return
    if wanted not in check.heads:
        check.wrong(
            LEDGER_NAME,
            f"expected head {wanted} is not in the ledger: events were removed or replaced",
        )
    elif wanted != check.head:
        seq = check.heads[wanted]
        check.note(f"{LEDGER_NAME}: has grown since the expected head (event {seq})")


def _evidence(check: _Check) -> None:
    if not _is_folder(check, EVIDENCE_NAME):
        return
    unfinished = unnamed = 0
    for prefix in sorted(os.listdir(check.root / EVIDENCE_NAME)):
        folder = f"{EVIDENCE_NAME}/{prefix}"
        if prefix.startswith(TEMPORARY):
            unfinished += 1
            continue
        if _HEX2.match(prefix) is None:
            check.wrong(folder, "not evidence: expected folders named by two hex digits")
            continue
        if not _is_folder(check, folder):
            continue
        try:
            names = sorted(os.listdir(check.root / folder))
        except OSError as error:
            check.wrong(folder, f"cannot be read: {error.strerror or error}")
            continue
        for rest in names:
            where = f"{folder}/{rest}"
            if rest.startswith(TEMPORARY):
                unfinished += 1
            elif _HEX62.match(rest) is None:
                check.wrong(where, "not evidence: expected a name of 62 hex digits")
            else:
                blob = Sha256(prefix + rest)
                if _sound(check, where, blob):
                    check.evidence += 1
                    if blob not in check.blobs:
                        unnamed += 1
                        if unnamed <= MOST_STRANGERS:
                            check.note(f"{where}: no event names it")
    if unfinished:
        check.note(f"{EVIDENCE_NAME}: {unfinished} unfinished files ({TEMPORARY}…), not evidence")
    if unnamed:
        check.note(f"{EVIDENCE_NAME}: {unnamed} blobs that no event names; nothing rests on them")


def _is_folder(check: _Check, name: str) -> bool:
    try:
        mode = os.lstat(check.root / name).st_mode
    except OSError as error:
        check.wrong(name, f"cannot be read: {error.strerror or error}")
        return False
    if not stat.S_ISDIR(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no folder"
        check.wrong(name, f"is {kind}: expected a folder (links are not followed)")
        return False
    return True


def _sound(check: _Check, where: str, digest: Sha256, size: int | None = None) -> bool:
    """Whether the file has the bytes of ``digest``; says so when not."""
    try:
        with opened_regular(check.root / where) as fd:
            found, length = hash_fd(fd)
    except OSError as error:
        check.wrong(where, f"cannot be read: {error.strerror or error}")
        check.damaged.add(digest)
        return False
    if found != digest:
        check.wrong(where, f"the bytes were changed: sha256 is {found}, expected {digest}")
        check.damaged.add(digest)
        return False
    if size is not None and length != size:
        check.wrong(where, f"has {length} bytes; the event that names it says {size}")
    if where.startswith((f"{EVIDENCE_NAME}/", f"{LOGS_NAME}/")):
        check.sound.setdefault(digest, where)
    return True


def _files(check: _Check) -> None:
    """Logs, reports, configuration and torn tails against the newest event that names each."""
    for name, (named, line) in sorted(check.files.items()):
        folder = name.split("/")[0]
        known = name == CONFIG_NAME or _TORN.match(name) is not None
        if not known and not (folder in (LOGS_NAME, REPORTS_NAME) and name.count("/") >= 1):
            check.wrong(f"{LEDGER_NAME}:{line}", f"names {name}, which is no place for a file")
            continue
        if _through_link(check.root, name):
            check.wrong(name, "lies behind a symbolic link: links are not followed")
            check.damaged.add(named.sha256)
            continue
        if not os.path.lexists(check.root / name):
            if folder == REPORTS_NAME:
                check.not_checkable.append(f"{name}: was rendered, and is not in this folder")
            else:
                check.wrong(name, f"is missing; line {line} of the ledger names it")
            continue
        if _sound(check, name, named.sha256, named.size) and folder == LOGS_NAME:
            check.logs += 1
    if check.events and CONFIG_NAME not in check.files:
        check.wrong(CONFIG_NAME, "no event records its digest")


def _copies(check: _Check) -> None:
    """Reports beside the ledger: each is a copy of a report that some event names."""
    for name in REPORT_COPIES:
        if not os.path.lexists(check.root / name):
            continue
        recorded = [
            named.sha256
            for file, (named, _) in check.files.items()
            if file.startswith(f"{REPORTS_NAME}/") and file.split("/")[-1] == name
        ]
        try:
            with opened_regular(check.root / name) as fd:
                found = hash_fd(fd)[0]
        except OSError as error:
            check.wrong(name, f"cannot be read: {error.strerror or error}")
            continue
        if not recorded:
            check.note(f"{name}: no event names a report; not looked at")
        elif found not in recorded:
            check.wrong(name, f"is no copy of a report that an event names: sha256 is {found}")


def _through_link(root: Path, name: str) -> bool:
    parts = name.split("/")[:-1]
    return any(os.path.islink(root.joinpath(*parts[: i + 1])) for i in range(len(parts)))


def _references(check: _Check) -> None:
    for blob, line in check.blobs.items():
        if blob not in check.sound and blob not in check.damaged:
            check.wrong(
                f"{EVIDENCE_NAME}/{blob[:2]}/{blob[2:]}",
                f"is missing; line {line} of the ledger names it",
            )
    for (blob, member), spans in check.spans.items():
        where = check.sound.get(blob)
        if where is None:
            continue
        inside = where if member is None else f"{where}, member {member!r}"
        try:
            with opened_regular(check.root / where) as fd:
                found = span_digests(fd, member, ((s.start, s.end) for s in spans))
        except (ArchiveError, OSError) as error:
            for line in sorted(set(spans.values())):
                check.wrong(f"{LEDGER_NAME}:{line}", f"names a span of {inside}: {error}")
            continue
        for locator, line in spans.items():
            digest = found[locator.start, locator.end]
            named = f"bytes {locator.start} to {locator.end} of {inside}"
            if digest is None:
                check.wrong(f"{LEDGER_NAME}:{line}", f"{named} reach beyond its end")
            elif digest != locator.excerpt:
                check.wrong(f"{LEDGER_NAME}:{line}", f"{named} are not the excerpt it claims")


def _strangers(check: _Check) -> None:
    """Files that nothing names."""
    usual = {CONFIG_NAME, LEDGER_NAME, EVIDENCE_NAME, LOGS_NAME, REPORTS_NAME, WORK_NAME}
    usual |= set(REPORT_COPIES)
    for name in sorted(os.listdir(check.root)):
        if name not in usual and name not in check.files:
            check.note(f"{name}: no event names it; not looked at")
    for folder in (LOGS_NAME, REPORTS_NAME):
        if not os.path.lexists(check.root / folder):
            continue
        if _is_folder(check, folder):
            for name in sorted(os.listdir(check.root / folder)):
                within = f"{folder}/{name}"
                if not any(f == within or f.startswith(f"{within}/") for f in check.files):
                    check.note(f"{within}: no event names it; not evidence")


__all__ = ["GENESIS", "VERIFY_SCHEMA", "Problem", "VerifyResult", "verify"]
