"""Finding the records of one protected text in bytes that somebody has wrapped, packed or cut up.

A record is recognised by short pieces of it that occur nowhere else: whatever columns are left
out, in whatever order, whatever stands between them. Looked through are what a shell and Python's
standard library do in one step. Encryption is not; so :class:`Look` also says how many bytes had
the density of packed or encrypted data and could not be explained.

All work is bounded: nothing here raises for any input, and what was left out is said.
"""

from __future__ import annotations

import base64
import binascii
import bz2
import codecs
import hashlib
import io
import json
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

GRAM = 10
"""Letters and digits of a piece. With 3,000 pieces, random digits (10 values a place) hit by chance
once in three million places, letters and digits practically never."""
_LEAST_DIGITS = 12
_DIFFERENCES = 12
"""Bytes of a raw piece that is looked for under any constant exclusive-or."""

_MAX_DEPTH = 5
_MAX_VIEWS = 96
_MAX_DECODED = 4 << 20
_MAX_MEMBERS = 64
_LZMA_MEMORY = 80 << 20
"""Bytes: what `xz -9` asks for is 64 MiB of dictionary and a little more."""
_BLOCK = 1024
_DENSE = 0.70
"""A block that deflate leaves above this share is dense: base64 comes to 0.77, random bytes to 1,
code, prose and tables of figures to 0.2 to 0.6."""

_DENSE_SHORT = 0.80
_TEXT = bytes(range(32, 127)) + b"\t\r\n"
_ROT47 = bytes(33 + (n - 33 + 47) % 94 if 33 <= n < 127 else n for n in range(256))
_OTHER = bytes(byte for byte in range(256) if not (chr(byte).isascii() and chr(byte).isalnum()))
_SPACE = b" \t\r\n\v\f"
_MAGIC = re.compile(rb"\x1f\x8b\x08|BZh[1-9]1AY|\xfd7zXZ\x00|\x5d\x00\x00[\x00-\xff]{2}|"
                    rb"\x78[\x01\x5e\x9c\xda]|PK\x03\x04")  # fmt: skip
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")
_BASE32 = re.compile(rb"(?:[A-Z2-7]{32,}|[a-z2-7]{32,})={0,6}")
_HEX = re.compile(rb"(?<![0-9A-Za-z])(?:[0-9a-f]{32,}|[0-9A-F]{32,})(?![0-9A-Za-z])")
_HEX_PAIRS = re.compile(rb"(?:(?:\\x|0x|%|:|,|\s)*[0-9a-fA-F]{2}){32,}")
_NUMBERS = re.compile(rb"(?:\d{1,3}[\s,;]+){32,}\d{1,3}")
_SEPARATED = re.compile(rb"[,;|\t\s\"'{}\[\]():=]+")
_DIGESTS = (40, 64, 96, 128)
_STANDARD = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found in some bytes.

    Attributes:
        records: indices of the records that were recognised.
        dense: bytes that look packed or encrypted and were not explained by unpacking them.
        digests: texts of hexadecimal that are as long as a digest, in lower case.
        members: digests of what archives held.
        cut: whether work was left undone because a bound was reached.
        torn: whether something packed broke off: more of it may be elsewhere.
    """

    records: frozenset[int] = frozenset()
    dense: int = 0
    digests: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    cut: bool = False
    torn: bool = False


def dense_bytes(data: bytes) -> int:
    """How many bytes stand in blocks that compress no better than base64 does."""
    total = 0
    for at in range(0, len(data), _BLOCK):
        block = data[at : at + _BLOCK]
        if len(block) < 128 and at:
            # Too little to say of it alone: as the block before it, which it belongs to.
            block = data[max(0, at - _BLOCK + len(block)) :]
            if _is_dense(block):
                total += len(data) - at
        elif _is_dense(block):
            total += len(block)
    return total


def _is_dense(block: bytes) -> bool:
    if len(block) < 256:
        # Too short to tell packed text from text; bytes that are no text still show.
        return len(block) >= 16 and len(block.translate(None, _TEXT)) * 3 > len(block)
    # Short text leaves more than long text does, and base64 still more.
    share = _DENSE if len(block) >= 800 else _DENSE_SHORT
    return len(zlib.compress(block, 6)) - 8 > share * len(block)


def _compact(data: bytes) -> bytes:
    return data.lower().translate(None, _OTHER)


def _differences(data: bytes) -> bytes:
    """Each byte exclusive-or the next: the same under any constant key."""
    if len(data) < 2:
        return b""
    first = int.from_bytes(data[:-1], "big")
    return (first ^ int.from_bytes(data[1:], "big")).to_bytes(len(data) - 1, "big")


class Recogniser:
    """Knows the pieces of the protected records.

    Args:
        records: the protected records, one text each.
        elsewhere: texts that anybody may have; pieces that occur there count for nothing.
    """

    def __init__(self, records: Sequence[str], elsewhere: Iterable[str] = ()) -> None:
        self.lengths = tuple(len(record.encode()) for record in records)
        self._grams: dict[bytes, int] = {}
        self._raw: dict[bytes, int] = {}
        known: set[bytes] = set()
        if records:
            for text in elsewhere:
                compact = _compact(text.encode())
                known.update(compact[at : at + GRAM] for at in range(len(compact) - GRAM + 1))
        ambiguous: set[bytes] = set()
        for index, record in enumerate(records):
            for word in _SEPARATED.split(record.encode()):
                compact = _compact(word)
                if len(compact) < (_LEAST_DIGITS if compact.isdigit() else GRAM):
                    continue
                for gram in {compact[:GRAM], compact[-GRAM:]}:
                    if gram in known:
                        continue
                    for form in (gram, gram[::-1], codecs.encode(gram.decode(), "rot13").encode()):
                        if self._grams.setdefault(form, index) != index:
                            ambiguous.add(form)
                if len(word) >= _DIFFERENCES and compact[:GRAM] not in known:
                    self._raw.setdefault(_differences(word[:_DIFFERENCES]), index)
        for gram in ambiguous:
            del self._grams[gram]

    def find(self, view: bytes) -> set[int]:
        """Records in bytes as they are: in any case, reversed, rot13, with anything between."""
        grams = self._grams
        if not grams or len(view) < GRAM:
            return set()
        compact = _compact(view)
        found = {
            grams[gram]
            for at in range(len(compact) - GRAM + 1)
            if (gram := compact[at : at + GRAM]) in grams
        }
        if not found and len(view) >= 64:
            steps, raw, width = _differences(view), self._raw, _DIFFERENCES - 1
            found = {
                raw[step]
                for at in range(len(steps) - width + 1)
                if (step := steps[at : at + width]) in raw
            }
        return found

    def look(self, data: bytes) -> Look:
        """Records in ``data`` and in whatever it can be unpacked to."""
        return _Search(self).run(data)


@dataclass(slots=True)
class _Search:
    """One look: the views still to be seen, and what is left of the bounds."""

    recogniser: Recogniser
    records: set[int] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    members: set[str] = field(default_factory=set)
    seen: set[bytes] = field(default_factory=set)
    views: int = 0
    decoded: int = 0
    cut: bool = False
    torn: bool = False

    def run(self, data: bytes) -> Look:
        dense = self._see(data, 0)
        return Look(
            records=frozenset(self.records),
            dense=dense,
            digests=frozenset(self.digests),
            members=frozenset(self.members),
            cut=self.cut,
            torn=self.torn,
        )

    def _see(self, data: bytes, depth: int, *, sure: bool = True) -> int:
        """Look at one view and at what it unpacks to; returns its unexplained dense bytes.

        Args:
            sure: the view is data or what data says that it holds, not a guess: then it is worth
                guessing further.
        """
        mark = hashlib.sha256(data).digest()
        if mark in self.seen or not data:
            return 0
        if depth > _MAX_DEPTH or self.views >= _MAX_VIEWS or self.decoded > _MAX_DECODED:
            self.cut = True
            return dense_bytes(data[: 1 << 20])
        self.seen.add(mark)
        self.views += 1
        self.decoded += len(data)
        direct = self.recogniser.find(data)
        if not direct and not depth:
            direct = self.recogniser.find(data.translate(_ROT47))
        self.records |= direct
        rest, dense = self._unpack(data, depth)
        # Rows of random letters are dense themselves; recognised, they need no other explanation.
        known = 2 * sum(self.recogniser.lengths[index] for index in direct)
        dense += self._decode_text(data, depth, max(0, dense_bytes(rest) - known), sure)
        encoded = sum(map(len, _BASE64.findall(data))) * 2 > len(data)
        if (dense or encoded) and not self.records and sure and depth < 3:
            return 0 if self._guess(data, depth) else dense
        return dense

    # --- packed data, which is sure of itself ---

    def _unpack(self, data: bytes, depth: int) -> tuple[bytes, int]:
        """Unpack what begins with a known mark; returns the rest, and what stays unexplained."""
        dense = 0
        rest: list[bytes] = []
        at = 0
        tries = 0
        while tries < _MAX_MEMBERS and (found := _MAGIC.search(data, at)) is not None:
            tries += 1
            start = found.start()
            used, outputs = self._unpacked(data[start:])
            self.cut = self.cut or sum(map(len, outputs)) > _MAX_DECODED - self.decoded
            if not used:
                rest.append(data[at : start + 1])
                at = start + 1
                continue
            rest.append(data[at:start])
            at = start + used
            # What is used up to the last byte may have been cut off there.
            self.torn = self.torn or at >= len(data)
            for output in outputs:
                dense += self._see(output, depth + 1)
        if tries == _MAX_MEMBERS:
            self.cut = True
        rest.append(data[at:])
        return b"".join(rest), dense

    def _unpacked(self, data: bytes) -> tuple[int, list[bytes]]:
        """Bytes used, and what they unpack to; nothing used when they do not unpack."""
        budget = max(0, _MAX_DECODED - self.decoded) + 1
        if data.startswith(b"PK\x03\x04"):
            return self._unzipped(data, budget)
        make: Callable[[], object]
        if data.startswith(b"\x1f\x8b"):
            return _inflated(data, budget, zlib.MAX_WBITS | 16)
        if data.startswith(b"\x78"):
            # Two bytes are no sure mark: chance gives them every 16 KiB, and some output with them.
            used, outputs = _inflated(data, budget, zlib.MAX_WBITS)
            return (used, outputs) if outputs and len(outputs[0]) >= 1024 else (0, [])
        if data.startswith(b"BZh"):
            make = bz2.BZ2Decompressor
        else:
            form = lzma.FORMAT_XZ if data.startswith(b"\xfd") else lzma.FORMAT_ALONE

            def make() -> object:
                return lzma.LZMADecompressor(form, memlimit=_LZMA_MEMORY)

        return _decompressed(make(), data, budget)

    def _unzipped(self, data: bytes, budget: int) -> tuple[int, list[bytes]]:
        outputs: list[bytes] = []
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                members = archive.infolist()
                spans = [(archive.start_dir, len(data))]
                for info in members[:_MAX_MEMBERS]:
                    if info.flag_bits & 1:
                        return 0, []
                    with archive.open(info) as member:
                        outputs.append(member.read(budget))
                    budget -= len(outputs[-1])
                    if budget <= 0:
                        self.cut = True
                        break
                    at = info.header_offset
                    name = int.from_bytes(data[at + 26 : at + 28], "little")
                    extra = int.from_bytes(data[at + 28 : at + 30], "little")
                    spans.append((at, at + 30 + name + extra + info.compress_size))
                self.cut = self.cut or len(members) > _MAX_MEMBERS
                spans[0] = (archive.start_dir, _end_of_directory(data, len(archive.comment)))
        except Exception:  # a torn archive: whatever the module stumbles over
            return _torn_zip(data, budget)
        self.members.update(hashlib.sha256(output).hexdigest() for output in outputs)
        names = "\n".join(info.filename for info in members).encode()
        # What an archive has room for beside its members: gaps, extra fields, the comment.
        between, at = [names, archive.comment], 0
        for start, end in sorted(spans):
            between.append(data[at:start])
            at = max(at, end)
        between += [info.extra + info.comment for info in members]
        return max(4, at), [*outputs, b"\n".join(between)]

    # --- text that stands for bytes ---

    def _decode_text(self, data: bytes, depth: int, own: int, sure: bool) -> int:
        """Decode runs of text; returns how much of ``own`` stays unexplained, or is added to it."""
        unexplained = own
        for number, decoded in enumerate(_base64_views(data)):
            if number and not sure:
                break
            left = self._see(decoded, depth + 1, sure=sure and not number)
            if own and len(decoded) >= 256:
                # Dense because it is base64: then what counts is what the base64 holds.
                covered = len(decoded) * 4 // 3 + _BLOCK
                unexplained = min(unexplained, left + max(0, own - covered))
            if len(decoded) >= 256 and left * 4 < len(decoded):
                break
        runs = _HEX.findall(data)
        if sure:
            self.digests.update(run.decode().lower() for run in runs if len(run) in _DIGESTS)
        others = [run[: len(run) // 2 * 2] for run in runs if len(run) not in _DIGESTS]
        for text in dict.fromkeys((b"".join(others), b"".join(runs))):
            if len(text) >= 32 and len(text) % 2 == 0:
                left = self._see(binascii.unhexlify(text), depth + 1, sure=sure)
                unexplained += left if text == b"".join(others) else 0
        if not sure:
            return unexplained
        for found in _HEX_PAIRS.findall(data)[:_MAX_MEMBERS] if depth == 0 else ():
            pairs = re.sub(rb"\\x|0x|[^0-9a-fA-F]", b"", found)
            if len(pairs) % 2 == 0 and len(pairs) != len(found):
                self._see(binascii.unhexlify(pairs), depth + 1, sure=False)
        for decoded, counts in _other_texts(data):
            left = self._see(decoded, depth + 1, sure=counts)
            unexplained += left if counts else 0
        return unexplained

    def _guess(self, data: bytes, depth: int) -> bool:
        """Try transformations that leave no mark; whether one of them shows records."""
        known = len(self.records)
        for guess in _guesses(data):
            self._see(guess, depth + 1, sure=False)
            if len(self.records) > known:
                return True
        return False


def _end_of_directory(data: bytes, comment: int) -> int:
    at = data.rfind(b"PK\x05\x06")
    return len(data) if at < 0 else at + 22 + comment


def _torn_zip(data: bytes, budget: int) -> tuple[int, list[bytes]]:
    """The members of an archive that breaks off, by their local headers."""
    at, outputs = 0, []
    while data[at : at + 4] == b"PK\x03\x04" and len(data) >= at + 30:
        if data[at + 6] & 9:
            break
        size = int.from_bytes(data[at + 18 : at + 22], "little")
        start = at + 30
        start += int.from_bytes(data[at + 26 : at + 28], "little")
        start += int.from_bytes(data[at + 28 : at + 30], "little")
        if data[at + 8 : at + 10] == b"\x00\x00":
            outputs.append(data[start : start + size])
        else:
            used, found = _inflated(data[start : start + size], budget, -zlib.MAX_WBITS)
            if not used:
                # Too little of the last member is there to give anything.
                at = len(data) if len(data) - start < 64 else at
                break
            outputs += found
            budget -= len(found[0])
        at = start + size
        if budget <= 0 or len(outputs) >= _MAX_MEMBERS:
            break
    return min(at, len(data)), outputs


def _inflated(data: bytes, budget: int, bits: int) -> tuple[int, list[bytes]]:
    stream = zlib.decompressobj(bits)
    try:
        output = stream.decompress(data, budget)
    except zlib.error:
        # A stream that breaks off in the middle has given something before.
        stream = zlib.decompressobj(bits)
        output = b""
        try:
            for at in range(0, len(data), 512):
                output += stream.decompress(data[at : at + 512], budget)
                if len(output) > budget:
                    break
        except zlib.error:
            pass
        if len(output) < 64:
            return 0, []
        return at, [output]
    if not output or (not stream.eof and len(output) < 32):
        return 0, []
    return len(data) - len(stream.unused_data), [output]


def _decompressed(stream: object, data: bytes, budget: int) -> tuple[int, list[bytes]]:
    try:
        output = stream.decompress(data, budget)  # type: ignore[attr-defined]
    except Exception:
        return 0, []
    if not output:
        return 0, []
    unused = stream.unused_data  # type: ignore[attr-defined]
    return len(data) - len(unused), [output]


def _base64_views(data: bytes) -> Iterator[bytes]:
    """What runs of base64 stand for: the likeliest first."""
    runs = [run.rstrip(b"=") for run in _BASE64.findall(data) if not _HEX.fullmatch(run)]
    # A path is a run as well, and would shift all that follows: the long ones by themselves.
    long = [run for run in runs if len(run) >= 72] or runs
    joined = b"".join(long)
    if joined:
        yield _base64(joined)
    whole = data.translate(None, _SPACE).rstrip(b"=")
    if len(whole) >= 24 and whole != joined and re.fullmatch(rb"[A-Za-z0-9+/_-]+", whole):
        yield _base64(whole)
    if len(runs) > 1:
        yield b"\n".join(map(_base64, runs[:4096]))
        if len(long) < len(runs):
            yield _base64(b"".join(runs))
    if len(joined) >= 200:
        for shift in (1, 2, 3):
            yield _base64(joined[shift:])


def _base64(text: bytes) -> bytes:
    text = text.rstrip(b"=").translate(_STANDARD)
    text = text[: len(text) - (len(text) % 4 == 1)]
    return base64.b64decode(text + b"=" * (-len(text) % 4))


def _base32(text: bytes) -> bytes:
    text = text.rstrip(b"=").upper()
    text = text[: len(text) // 8 * 8]
    return base64.b32decode(text)


def _other_texts(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Other texts for bytes; True where what is dense in them counts."""
    runs = [run for run in _BASE32.findall(data) if len(run) >= 40 and not _HEX.fullmatch(run)]
    if runs:
        yield _base32(b"".join(run.rstrip(b"=") for run in runs)), True
        if len(runs) > 1:
            yield b"\n".join(map(_base32, runs[:4096])), False
    if data.count(b"%") >= 8:
        yield unquote_to_bytes(data), False
    if re.search(rb"=[0-9A-F]{2}", data) and data.count(b"=") >= 8:
        yield binascii.a2b_qp(data), False
    if (numbers := _NUMBERS.search(data)) is not None:
        values = [int(text) for text in re.findall(rb"\d+", numbers[0])]
        if all(value < 256 for value in values):
            yield bytes(values), True
    yield from _json_texts(data)
    lines = data.split(b"\n")
    if len(lines) > 2 and sum(line[:1] == b"M" for line in lines) * 2 > len(lines):
        yield _uudecoded(lines), True


def _json_texts(data: bytes) -> Iterator[tuple[bytes, bool]]:
    if data.lstrip()[:1] not in (b"{", b"[", b'"'):
        return
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError):
        return
    texts: list[str] = []
    numbers: list[int] = []
    stack = [parsed]
    while stack and len(texts) < 20_000:
        node = stack.pop()
        if isinstance(node, dict):
            texts += node.keys()
            stack += reversed(list(node.values()))
        elif isinstance(node, list):
            if len(node) > 16 and all(isinstance(n, int) and 0 <= n < 256 for n in node):
                numbers += node
            else:
                stack += reversed(node)
        elif isinstance(node, str):
            texts.append(node)
    values = [text.encode("utf-8", "replace") for text in texts]
    if numbers:
        yield bytes(numbers), True
    yield b"\n".join(values), False
    for value in sorted(values, key=len, reverse=True)[:4]:
        if len(value) > 64:
            yield value, False


def _uudecoded(lines: Sequence[bytes]) -> bytes:
    out = []
    for line in lines:
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            continue
    return b"".join(out)


def _guesses(data: bytes) -> Iterator[bytes]:
    text = data.translate(None, _SPACE)
    yield data[::-1]
    if text.isascii():
        if re.fullmatch(rb"[A-Za-z0-9+/_=-]+", text):
            yield codecs.encode(data.decode("ascii"), "rot13").encode()
        for decode in (base64.b85decode, base64.a85decode):
            for part in (text, *sorted(data.split(b'"'), key=len)[-1:]):
                try:
                    yield decode(part)
                except ValueError:
                    continue
    for magic in (b"\x1f\x8b\x08", b"BZh", b"\xfd7z", b"PK\x03\x04", b"\x78\x9c", b"\x78\xda"):
        key = data[0] ^ magic[0]
        if key and len(data) > 8 and all(a ^ key == b for a, b in zip(data, magic, strict=False)):
            yield data.translate(bytes(byte ^ key for byte in range(256)))
    for bits in (-zlib.MAX_WBITS,):
        used, outputs = _inflated(data, _MAX_DECODED, bits)
        if used > 64:
            yield from outputs


def member_digests(data: bytes) -> frozenset[str]:
    """Digests of the files in a plain tar; empty for anything else."""
    if data[257:262] != b"ustar":
        return frozenset()
    out: set[str] = set()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                held = archive.extractfile(member) if member.isfile() else None
                if held is not None and member.size <= len(data):
                    out.add(hashlib.sha256(held.read(len(data))).hexdigest())
                if len(out) > 4096:
                    break
    except (tarfile.TarError, OSError, ValueError, EOFError):
        pass
    return frozenset(out)


def interleaved(pieces: Sequence[bytes]) -> bytes:
    """Pieces of about one size, dealt out byte by byte, put together again."""
    width = max(map(len, pieces))
    out = bytearray()
    for at in range(width):
        for piece in pieces:
            out += piece[at : at + 1]
    return bytes(out)
