"""The evidence store: blobs by the sha256 of their bytes, and the only place that mints references.

A blob is written to a temporary file, flushed, renamed to ``<first two digits>/<the rest>``, and
its folder flushed; only then does a reference to it exist. Sealed Inspect logs are blobs too: they
stay where Inspect's own viewer finds them, and the store is told their digests.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from custodes.types import (
    EvidenceRef,
    JsonValue,
    Locator,
    Sha256,
    mint_evidence_ref,
    parse_sha256,
    sha256_of,
)

from ._archive import ArchiveError, chunks, span_bytes
from ._disk import CHUNK, DISK, Disk, hash_fd, opened_regular
from ._errors import (
    EvidenceCorrupt,
    EvidenceMissing,
    LocatorInvalid,
    StorageError,
    reported,
    shown,
    storage_error,
)

TEMPORARY: Final = ".tmp-"
"""What the name of an unfinished file begins with. Such a file is not evidence."""

LARGEST_MEMBER: Final = 512 << 20
"""Bytes of a member that :meth:`EvidenceStore.read_member` holds in memory at most."""

_PREFIX = re.compile(r"[0-9a-f]{2}\Z")
_REST = re.compile(r"[0-9a-f]{62}\Z")


def blob_path(root: Path, blob: Sha256) -> Path:
    """Where the store under ``root`` keeps a blob."""
    return root / blob[:2] / blob[2:]


class EvidenceStore:
    """Blobs under one folder.

    Args:
        root: the folder ``evidence``; made when missing and ``writable``.
        writable: whether blobs may be added. The one who writes holds the case's lock.
        disk: the calls that change the disk.

    After a flush that failed, what is on disk is unknown: the store then accepts nothing more.
    """

    def __init__(self, root: Path, *, writable: bool = True, disk: Disk = DISK) -> None:
        self._root = root
        self._disk = disk
        self._writable = writable
        self._elsewhere: dict[Sha256, Path] = {}
        # Blobs and folders whose names this process has seen flushed.
        self._durable: set[Sha256] = set()
        # Archives whose bytes were checked, with the state of the file when they were.
        self._hashed: dict[Sha256, tuple[int, ...]] = {}
        self._folders: set[str] = set()
        self._poison: str | None = None
        if writable and not root.is_dir():
            with reported("make", root):
                disk.mkdir(root)
                disk.sync_folder(root.parent)

    @property
    def root(self) -> Path:
        return self._root

    # Writing

    def put(self, data: bytes) -> EvidenceRef:
        """Keep ``data`` and return its reference. Keeping the same bytes again changes nothing."""
        return self.put_many([data])[0]

    def put_many(self, blobs: Iterable[bytes]) -> tuple[EvidenceRef, ...]:
        """Keep several blobs; each folder is flushed once. All are durable when this returns."""
        self._usable()
        items = [(sha256_of(data), data) for data in blobs]
        folders: dict[str, None] = {}
        for blob, data in items:
            if blob in self._durable:
                continue
            folder = self._folder(blob)
            folders[blob[:2]] = None
            if not self._intact(blob):
                with self._temporary(folder) as (fd, temporary):
                    self._disk.write_all(fd, data)
                    self._flush(fd)
                    self._disk.rename(temporary, blob_path(self._root, blob))
        for prefix in folders:
            self._flush_folder(self._root / prefix)
        self._durable.update(blob for blob, _ in items)
        return tuple(mint_evidence_ref(blob) for blob, _ in items)

    def put_file(self, path: Path) -> EvidenceRef:
        """Keep a copy of a file's bytes, without holding them in memory.

        Raises:
            StorageError: the file cannot be read (links are not followed), or the disk refused.
        """
        self._usable()
        with reported("read", path), opened_regular(path) as source:
            digest = sha256()
            with self._temporary(self._root) as (fd, temporary):
                at = 0
                while chunk := os.pread(source, CHUNK, at):
                    digest.update(chunk)
                    at += len(chunk)
                    self._disk.write_all(fd, chunk)
                blob = Sha256(digest.hexdigest())
                folder = self._folder(blob)
                if not self._intact(blob):
                    self._flush(fd)
                    self._disk.rename(temporary, blob_path(self._root, blob))
        self._flush_folder(folder)
        self._durable.add(blob)
        return mint_evidence_ref(blob)

    def adopt(self, blob: Sha256, path: Path) -> None:
        """Let references name a sealed log that is kept outside this folder."""
        self._elsewhere[parse_sha256(blob)] = path

    def clear_temporaries(self) -> int:
        """Remove what an interrupted writer left unfinished; return how many files that were."""
        self._usable()
        removed = 0
        with reported("clear unfinished files in", self._root):
            for folder in (self._root, *(self._root / p for p in sorted(os.listdir(self._root)))):
                if folder != self._root and _PREFIX.match(folder.name) is None:
                    continue
                if folder.is_symlink() or not folder.is_dir():
                    continue
                for name in os.listdir(folder):
                    if name.startswith(TEMPORARY):
                        self._disk.unlink(folder / name)
                        removed += 1
        return removed

    def _usable(self) -> None:
        if not self._writable:
            raise StorageError(
                f"{shown(self._root)} is open for reading: open the case for writing to add to it"
            )
        if self._poison is not None:
            raise StorageError(
                f"{self._poison}. What is on disk is unknown, so nothing more is accepted: open "
                "the case again"
            )

    def _folder(self, blob: Sha256) -> Path:
        folder = self._root / blob[:2]
        if blob[:2] not in self._folders:
            with reported("make", folder):
                if not os.path.lexists(folder):
                    self._disk.mkdir(folder)
                if not stat.S_ISDIR(os.lstat(folder).st_mode):
                    raise NotADirectoryError(20, "not a folder")
            self._flush_folder(self._root)
            self._folders.add(blob[:2])
        return folder

    def _intact(self, blob: Sha256) -> bool:
        """Whether the blob is there with the right bytes. Wrong ones are replaced by right ones."""
        try:
            with opened_regular(blob_path(self._root, blob)) as fd:
                return hash_fd(fd)[0] == blob
        except OSError:
            return False

    @contextmanager
    def _temporary(self, folder: Path) -> Iterator[tuple[int, Path]]:
        temporary = folder / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}"
        with reported("write evidence into", folder):
            # Blobs never change, so nobody gets permission to write to one.
            fd = self._disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
            try:
                yield fd, temporary
            finally:
                self._disk.close(fd)
                if os.path.lexists(temporary):
                    self._disk.unlink(temporary)

    def _flush(self, fd: int) -> None:
        try:
            self._disk.fsync(fd)
        except OSError as error:
            self._poison = str(storage_error("flush evidence in", self._root, error))
            raise

    def _flush_folder(self, folder: Path) -> None:
        try:
            self._disk.sync_folder(folder)
        except OSError as error:
            failure = storage_error("flush", folder, error)
            self._poison = str(failure)
            raise failure from error

    # Reading

    def path_of(self, blob: Sha256) -> Path:
        """The file that holds a blob.

        Raises:
            EvidenceMissing: there is none.
        """
        own = blob_path(self._root, parse_sha256(blob))
        if os.path.lexists(own):
            return own
        other = self._elsewhere.get(blob)
        if other is not None and os.path.lexists(other):
            return other
        raise EvidenceMissing(
            f"blob {blob} is not in {shown(self._root)}: restore it from a copy of the case"
        )

    def __contains__(self, blob: object) -> bool:
        if not isinstance(blob, str) or len(blob) != 64:
            return False
        known = Sha256(blob)
        if known in self._durable:
            return True
        try:
            return stat.S_ISREG(os.lstat(self.path_of(known)).st_mode)
        except (EvidenceMissing, ValueError, OSError):
            return False

    def __iter__(self) -> Iterator[Sha256]:
        """Digests of the blobs in this folder, in order."""
        with reported("list", self._root):
            for prefix in sorted(p for p in os.listdir(self._root) if _PREFIX.match(p)):
                for rest in sorted(r for r in os.listdir(self._root / prefix) if _REST.match(r)):
                    yield Sha256(prefix + rest)

    def ref(self, blob: str, locator: Locator | None = None) -> EvidenceRef:
        """The reference to a blob that is there.

        Raises:
            EvidenceMissing: it is not there.
            LocatorInvalid: the locator is about another source.
            ValueError: ``blob`` is no digest.
        """
        known = parse_sha256(blob)
        if known not in self:
            self.path_of(known)
            raise EvidenceMissing(f"blob {known} in {shown(self._root)} is no regular file")
        if locator is not None and locator.source != known:
            raise LocatorInvalid(f"a locator in {locator.source} cannot be one in blob {known}")
        return mint_evidence_ref(known, locator)

    def ref_from_json(self, value: JsonValue) -> EvidenceRef:
        """The reference that ``to_json`` wrote, if its blob is there.

        Raises:
            EvidenceMissing, LocatorInvalid: as :meth:`ref`.
            ValueError: not the JSON form of a reference.
        """
        blob, locator = parse_ref(value)
        return self.ref(blob, locator)

    def locate(
        self, ref: EvidenceRef, start: int, end: int, member: str | None = None
    ) -> EvidenceRef:
        """A reference to bytes ``start`` to ``end`` of a blob, or of a member of the archive it is.

        The digest of the excerpt is taken from the bytes that are there, after the blob's own
        bytes were checked.

        Raises:
            EvidenceMissing: the blob is not there.
            EvidenceCorrupt: the blob's bytes are not the ones referred to.
            LocatorInvalid: the span is empty or beyond the end, or the member cannot be read.
        """
        excerpt = self._span(ref.blob, member, start, end, whole=True)
        locator = Locator(
            source=ref.blob, member=member, start=start, end=end, excerpt=sha256_of(excerpt)
        )
        return mint_evidence_ref(ref.blob, locator)

    def read(self, ref: EvidenceRef) -> bytes:
        """The bytes that a reference means: the span, or the whole blob without a locator.

        Raises:
            EvidenceMissing: the blob is not there.
            EvidenceCorrupt: the bytes are not the ones referred to.
            LocatorInvalid: the span or member is not there.
        """
        locator = ref.locator
        if locator is not None:
            data = self._span(ref.blob, locator.member, locator.start, locator.end)
            if sha256_of(data) != locator.excerpt:
                raise EvidenceCorrupt(
                    f"{shown(self.path_of(ref.blob))}: bytes {locator.start} to {locator.end}"
                    f"{'' if locator.member is None else f' of member {locator.member!r}'} are "
                    "not the ones referred to: restore the blob from a copy of the case"
                )
            return data
        path = self.path_of(ref.blob)
        with reported("read", path), opened_regular(path) as fd:
            data = b"".join(iter_fd(fd))
        if sha256_of(data) != ref.blob:
            raise EvidenceCorrupt(
                f"{shown(path)}: the bytes of blob {ref.blob} were changed: restore it from a "
                "copy of the case"
            )
        return data

    def read_member(self, ref: EvidenceRef, member: str, *, most: int = LARGEST_MEMBER) -> bytes:
        """The bytes of a whole member of the archive that a blob is, decompressed.

        The archive's own bytes are checked first, so that what is read is what was sealed.

        Raises:
            EvidenceMissing: the blob is not there.
            EvidenceCorrupt: the archive's bytes are not the ones referred to.
            LocatorInvalid: no archive, no such member, or one of more than ``most`` bytes.
        """
        path = self.path_of(ref.blob)
        where = f"{shown(path)}, member {member!r}"
        with reported("read", path), opened_regular(path) as fd:
            self._check_whole(fd, ref.blob, path)
            pieces: list[bytes] = []
            size = 0
            try:
                for piece in chunks(fd, member):
                    size += len(piece)
                    if size > most:
                        raise LocatorInvalid(f"{where}: is longer than {most} bytes; not read")
                    pieces.append(piece)
            except ArchiveError as error:
                raise LocatorInvalid(f"{where}: {error}") from None
        return b"".join(pieces)

    def _check_whole(self, fd: int, blob: Sha256, path: Path) -> None:
        """Hold the file to its name; once only while it stays the same file, by the kernel's word.

        Many members and spans of one log are read one after another.
        """
        found = os.fstat(fd)
        identity = (found.st_dev, found.st_ino, found.st_size)
        state = (*identity, found.st_mtime_ns, found.st_ctime_ns)
        if self._hashed.get(blob) == state:
            return
        if hash_fd(fd)[0] != blob:
            raise EvidenceCorrupt(
                f"{shown(path)}: the bytes of blob {blob} were changed: restore it from a copy of "
                "the case"
            )
        self._hashed[blob] = state

    def _span(
        self, blob: Sha256, member: str | None, start: int, end: int, *, whole: bool = False
    ) -> bytes:
        path = self.path_of(blob)
        where = shown(path) if member is None else f"{shown(path)}, member {member!r}"
        if not 0 <= start < end:
            raise LocatorInvalid(f"{where}: expected 0 <= start < end, found {start} to {end}")
        with reported("read", path), opened_regular(path) as fd:
            if whole:
                self._check_whole(fd, blob, path)
            try:
                data = span_bytes(fd, member, start, end)
            except ArchiveError as error:
                raise LocatorInvalid(f"{where}: {error}") from None
        if len(data) != end - start:
            raise LocatorInvalid(
                f"{where}: bytes {start} to {end} reach {end - start - len(data)} beyond its end"
            )
        return data


def iter_fd(fd: int) -> Iterator[bytes]:
    """The bytes of an open file from its start, in pieces."""
    at = 0
    while chunk := os.pread(fd, CHUNK, at):
        at += len(chunk)
        yield chunk


def parse_ref(value: JsonValue) -> tuple[Sha256, Locator | None]:
    """Blob and locator of a reference's JSON form, which need not exist.

    Raises:
        ValueError: it is not the JSON form of a reference.
    """
    if not isinstance(value, Mapping) or value.keys() != {"blob", "locator"}:
        raise ValueError("expected a reference with exactly blob and locator")
    blob = parse_sha256(value["blob"])
    raw = value["locator"]
    if raw is None:
        return blob, None
    if not isinstance(raw, Mapping) or raw.keys() != {
        "source",
        "member",
        "start",
        "end",
        "excerpt",
    }:
        raise ValueError("expected a locator with source, member, start, end and excerpt")
    member, start, end = raw["member"], raw["start"], raw["end"]
    if member is not None and not isinstance(member, str):
        raise ValueError("expected a member's name or null")
    if type(start) is not int or type(end) is not int:
        raise ValueError("expected start and end as integers")
    locator = Locator(
        source=parse_sha256(raw["source"]),
        member=member,
        start=start,
        end=end,
        excerpt=parse_sha256(raw["excerpt"]),
    )
    if locator.source != blob:
        raise ValueError("a locator's source differs from its blob")
    return blob, locator
