"""Read spans of bytes from files and from members of zip archives (Inspect's logs are such).

Members may be stored, deflated, or compressed with Zstandard (method 93), which the standard
library of this Python does not read: only the directory is read with ``zipfile``. Nothing is
extracted to disk, and no more than asked is held in memory.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedIOBase, BufferedReader, RawIOBase, UnsupportedOperation
from typing import Final

from custodes.types import Sha256

from ._disk import CHUNK

MAX_MEMBER_BYTES: Final = 8 << 30
"""Decompressed bytes of a member that are read at most."""

_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_STORED, _DEFLATED, _ZSTANDARD = 0, 8, 93


class ArchiveError(Exception):
    """The archive or the member cannot be read; says why, without the name of the file."""


class _Part(RawIOBase):
    """A window on an open file, read with ``pread`` so that the offset is nobody else's."""

    def __init__(self, fd: int, start: int, size: int) -> None:
        super().__init__()
        self._fd, self._at, self._end = fd, start, start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = os.pread(self._fd, min(len(view), max(0, self._end - self._at)), self._at)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Whole(BufferedIOBase):
    """A seekable view of an open file for ``zipfile``, which must not close it."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd, self._at, self._size = fd, 0, os.fstat(fd).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._at, 2: self._size}[whence]
        if base + offset < 0:
            raise UnsupportedOperation("negative seek")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        rest = max(0, self._size - self._at)
        want = rest if size is None or size < 0 else min(size, rest)
        data = os.pread(self._fd, want, self._at)
        self._at += len(data)
        return data


def chunks(fd: int, member: str | None) -> Iterator[bytes]:
    """The bytes of a file, or of a member of the archive that it is, from the start, in pieces.

    Raises:
        ArchiveError: no archive, no such member, two of that name, encrypted, an unknown
            compression, damaged, or longer than :data:`MAX_MEMBER_BYTES`.
    """
    if member is None:
        at = 0
        while data := os.pread(fd, CHUNK, at):
            at += len(data)
            yield data
        return
    info = _find(fd, member)
    part = _part(fd, info)
    if info.compress_type == _STORED:
        pieces: Iterable[bytes] = iter(lambda: part.read(CHUNK), b"")
    elif info.compress_type == _DEFLATED:
        pieces = _inflate(part)
    elif info.compress_type == _ZSTANDARD:
        pieces = _zstandard(part)
    else:
        raise ArchiveError(f"member {member!r} uses compression {info.compress_type}, not known")
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > MAX_MEMBER_BYTES:
            raise ArchiveError(f"member {member!r} is longer than {MAX_MEMBER_BYTES} bytes")
        yield piece


def _find(fd: int, member: str) -> zipfile.ZipInfo:
    try:
        with zipfile.ZipFile(_Whole(fd)) as archive:
            found = [info for info in archive.infolist() if info.filename == member]
    except Exception as error:  # zipfile raises many kinds for hostile bytes
        raise ArchiveError(f"not a readable zip archive ({type(error).__name__})") from None
    if not found:
        raise ArchiveError(f"the archive has no member {member!r}")
    if len(found) > 1:
        raise ArchiveError(f"the archive has {len(found)} members {member!r}: which is meant?")
    return found[0]


def _part(fd: int, info: zipfile.ZipInfo) -> _Part:
    header = os.pread(fd, _LOCAL_HEADER.size, max(0, info.header_offset))
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise ArchiveError(f"member {info.filename!r} has no local header")
    fields = _LOCAL_HEADER.unpack(header)
    if info.flag_bits & 1 or fields[2] & 1:
        raise ArchiveError(f"member {info.filename!r} is encrypted")
    start = info.header_offset + _LOCAL_HEADER.size + fields[9] + fields[10]
    return _Part(fd, start, info.compress_size)


def _inflate(part: _Part) -> Iterator[bytes]:
    engine = zlib.decompressobj(-15)
    try:
        while data := part.read(CHUNK):
            while data and not engine.eof:
                if piece := engine.decompress(data, CHUNK):
                    yield piece
                data = engine.unconsumed_tail
        if tail := engine.flush():
            yield tail
    except zlib.error as error:
        raise ArchiveError(f"damaged deflate stream ({error})") from None
    if not engine.eof:
        raise ArchiveError("deflate stream ends early")


def _zstandard(part: _Part) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise ArchiveError(
            "member is compressed with Zstandard: install the package zstandard to read it"
        ) from None
    try:
        with zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
            BufferedReader(part), read_across_frames=True, closefd=False
        ) as reader:
            while piece := reader.read(CHUNK):
                yield piece
    except zstandard.ZstdError as error:
        raise ArchiveError(f"damaged Zstandard stream ({error})") from None


def span_bytes(fd: int, member: str | None, start: int, end: int) -> bytes:
    """Bytes ``start`` to ``end`` of a file or member; fewer when it is shorter."""
    if member is None:
        return b"".join(_pieces(fd, start, end))
    out: list[bytes] = []
    at = 0
    for piece in chunks(fd, member):
        if at + len(piece) > start:
            out.append(piece[max(0, start - at) : end - at])
        at += len(piece)
        if at >= end:
            break
    return b"".join(out)


def _pieces(fd: int, start: int, end: int) -> Iterator[bytes]:
    while start < end and (data := os.pread(fd, min(CHUNK, end - start), start)):
        start += len(data)
        yield data


def span_digests(
    fd: int, member: str | None, spans: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], Sha256 | None]:
    """Digest of each span, or None where the source ends before the span does.

    A member is decompressed once, however many spans it has.
    """
    wanted = sorted(set(spans))
    out: dict[tuple[int, int], Sha256 | None] = dict.fromkeys(wanted)
    if member is None:
        size = os.fstat(fd).st_size
        for start, end in wanted:
            if end <= size:
                digest = hashlib.sha256()
                for piece in _pieces(fd, start, end):
                    digest.update(piece)
                out[start, end] = Sha256(digest.hexdigest())
        return out
    waiting = wanted[::-1]
    running: dict[tuple[int, int], hashlib._Hash] = {}
    at = 0
    for piece in chunks(fd, member):
        after = at + len(piece)
        while waiting and waiting[-1][0] < after:
            running[waiting.pop()] = hashlib.sha256()
        view = memoryview(piece)
        for span in list(running):
            start, end = span
            running[span].update(view[max(0, start - at) : max(0, end - at)])
            if end <= after:
                out[span] = Sha256(running.pop(span).hexdigest())
        at = after
        if not waiting and not running:
            break
    return out
