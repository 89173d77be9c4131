"""Planted secrets are found through the encodings at hand, and not by chance."""

from __future__ import annotations

import base64
import bz2
import codecs
import gzip
import io
import json
import lzma
import random
import tarfile
import time
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.containment._broker_canary import CanaryMatcher, CanaryTrail

SECRET = "sk-live/9f8e+7d6c=5b4a_39281706"
MATCHER = CanaryMatcher({"key": SECRET, "other": "correct horse battery"})


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


def wrapped(data: bytes) -> bytes:
    return b"\n".join(data[at : at + 7] for at in range(0, len(data), 7))


def raw_deflate(data: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-15)
    return compress.compress(data) + compress.flush()


def tarred(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo("notes.txt")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.txt", b"nothing here" * 50)
        archive.writestr("notes.txt", data)
    return file.getvalue()


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda data: data,
    "upper": bytes.upper,
    "percent": lambda data: urllib.parse.quote(data, safe="").encode(),
    "percent-all": lambda data: b"".join(b"%%%02x" % byte for byte in data),
    "percent-twice": lambda data: urllib.parse.quote(
        urllib.parse.quote(data, safe=""), safe=""
    ).encode(),
    "form": lambda data: urllib.parse.urlencode({"a": data}).encode(),
    "json": lambda data: json.dumps({"a": data.decode()}).encode(),
    "json-escaped": lambda data: b'"' + b"".join(b"\\u%04x" % byte for byte in data) + b'"',
    "json-in-json": lambda data: json.dumps(json.dumps({"a": data.decode()})).encode(),
    "json-base64-slashes": lambda data: json.dumps(b64(data).decode()).replace("/", "\\/").encode(),
    "base64": b64,
    "base64-url": base64.urlsafe_b64encode,
    "base64-wrapped": lambda data: wrapped(b64(data)),
    "base64-percent": lambda data: urllib.parse.quote(b64(data), safe="").encode(),
    "base64-reversed": lambda data: b64(data)[::-1],
    "reversed-base64": lambda data: b64(data[::-1]),
    "base64-base64": lambda data: b64(b64(data)),
    "base64-hex": lambda data: b64(data.hex().encode()),
    "base64-rot13": lambda data: b64(codecs.encode(data.decode(), "rot13").encode()),
    "base32": base64.b32encode,
    "base32-labels": lambda data: b".".join(
        base64.b32encode(data).rstrip(b"=").lower()[at : at + 20] for at in range(0, 400, 20)
    ),
    "hex": lambda data: data.hex().encode(),
    "hex-upper": lambda data: data.hex().upper().encode(),
    "hex-colons": lambda data: data.hex(":").encode(),
    "hex-dump": lambda data: data.hex(" ", 2).encode(),
    "hex-wrapped": lambda data: wrapped(data.hex().encode()),
    "hex-escapes": lambda data: b"".join(b"\\x%02x" % byte for byte in data),
    "hex-list": lambda data: b", ".join(b"0x%02x" % byte for byte in data),
    "hex-of-base64": lambda data: b64(data).hex().encode(),
    "hex-of-gzip": lambda data: gzip.compress(data).hex().encode(),
    "reversed": lambda data: data[::-1],
    "rot13": lambda data: codecs.encode(data.decode("latin-1"), "rot13").encode("latin-1"),
    "spaced": lambda data: b" ".join(bytes([byte]) for byte in data),
    "lines": lambda data: b"\n".join(bytes([byte]) for byte in data),
    "dashes": lambda data: b"-".join(bytes([byte]) for byte in data),
    "utf-16": lambda data: data.decode("latin-1").encode("utf-16"),
    "gzip": gzip.compress,
    "gzip-cut": lambda data: gzip.compress(data + random.Random(1).randbytes(4000))[:2000],
    "gzip-gzip": lambda data: gzip.compress(gzip.compress(data)),
    "gzip-base64": lambda data: gzip.compress(b64(data)),
    "base64-gzip": lambda data: b64(gzip.compress(data)),
    "base64-gzip-wrapped": lambda data: wrapped(b64(gzip.compress(data))),
    "base64-tar": lambda data: b64(tarred(data)),
    "zlib": zlib.compress,
    "zlib-best": lambda data: zlib.compress(data, 9),
    "zlib-fast": lambda data: zlib.compress(data, 1),
    "base64-zlib": lambda data: b64(zlib.compress(data)),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "base64-xz": lambda data: b64(lzma.compress(data)),
    "zip": zipped,
    "tar": tarred,
}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("around", ["", "a", "xy; key: pq"])
def test_each_encoding_is_seen_through_at_every_offset(name: str, around: str) -> None:
    encoded = ENCODINGS[name]((around + SECRET + around[::-1]).encode())
    assert MATCHER.find(encoded) == {"key"}
    assert MATCHER.find(b"POST /x\r\n\r\n" + encoded + b"\r\n--boundary--") == {"key"}


def test_raw_deflate_is_seen_where_it_is_announced() -> None:
    body = raw_deflate(SECRET.encode())
    assert MATCHER.find(body, coding="deflate") == {"key"}


@given(
    secret=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=12, max_size=60),
    name=st.sampled_from(sorted(set(ENCODINGS) - {"base32-labels"})),
    before=st.binary(max_size=20),
)
def test_any_printable_secret_is_found_in_plain_encodings(
    secret: str, name: str, before: bytes
) -> None:
    simple = {"raw", "percent-all", "base64", "base64-url", "hex", "json-escaped", "gzip"}
    matcher = CanaryMatcher({"s": secret})
    if sum(char.isalnum() for char in secret) >= 8 and name in simple - {"json-escaped"}:
        assert matcher.find(ENCODINGS[name](before + secret.encode())) == {"s"}
    assert matcher.find(before + secret.encode()) == {"s"}


@pytest.mark.parametrize("secret", ["pässwörtchen-7", "秘密の鍵の名前です", "@#$%^&*()!-+=/"])
def test_secrets_that_are_not_letters_are_found_as_they_are(secret: str) -> None:
    matcher = CanaryMatcher({"s": secret})
    for encode in ("raw", "gzip", "base64", "percent-all"):
        assert matcher.find(ENCODINGS[encode](secret.encode())) == {"s"}


def test_other_text_is_not_taken_for_a_canary() -> None:
    matcher = CanaryMatcher({f"k{number}": f"{number:016x}" for number in range(20)})
    source = random.Random(7)
    for size in (100, 10_000, 50_000):
        data = source.randbytes(size)
        for form in (data, b64(data), data.hex().encode()):
            assert matcher.find(form) == frozenset()
    # Parts of a secret, and the secret in another order, are not the secret.
    assert MATCHER.find(SECRET[:-1].encode()) == frozenset()
    assert MATCHER.find(SECRET[1:].encode()) == frozenset()
    assert MATCHER.find((SECRET[16:] + SECRET[:16]).encode()) == frozenset()


def test_a_secret_that_chance_would_find_is_refused() -> None:
    with pytest.raises(ValueError, match="'short' has 7 bytes"):
        CanaryMatcher({"short": "1234567"})


def test_without_canaries_there_is_nothing_to_find() -> None:
    assert CanaryMatcher({}).find(b"anything") == frozenset()


@given(data=st.binary(max_size=300))
def test_no_bytes_break_the_search(data: bytes) -> None:
    for head in (
        b"",
        b"\x1f\x8b\x08",
        b"PK\x03\x04",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x78\x9c",
        b"%",
        b"\\u",
    ):
        MATCHER.find(head + data, coding="gzip, deflate")


BOMB = 24 << 20


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(lambda: gzip.compress(b"\0" * BOMB, 1), id="gzip"),
        pytest.param(lambda: gzip.compress(gzip.compress(b"\0" * BOMB, 1)), id="gzip-gzip"),
        pytest.param(lambda: bz2.compress(b"\0" * BOMB, 1), id="bzip2"),
        pytest.param(lambda: gzip.compress(b"\0" * (1 << 20)) * 500, id="many-members"),
        pytest.param(lambda: b"\x1f\x8b\x08" * 300_000, id="many-magics"),
        pytest.param(lambda: b"%41" * 350_000, id="percent"),
        pytest.param(lambda: b"\\u0041" * 300_000, id="escapes"),
        pytest.param(lambda: (b"QUFB" * 6 + b" ") * 30_000, id="base64-runs"),
        pytest.param(lambda: b"A" * (1 << 20), id="one-run"),
        pytest.param(lambda: b"a1" * (1 << 19), id="hex-run"),
    ],
)
def test_bombs_are_bounded_in_time(bomb: Callable[[], bytes]) -> None:
    data = bomb()
    started = time.process_time()
    MATCHER.find(data)
    assert time.process_time() - started < 1.5


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda trail, piece: trail("/x", "", piece.encode()), id="body"),
        pytest.param(lambda trail, piece: trail(f"/log/{piece}", "", b""), id="path"),
        pytest.param(lambda trail, piece: trail("/x", f"n=7&d={piece}", b""), id="query"),
        pytest.param(
            lambda trail, piece: trail("/x", "", f"user=bob&d={piece}".encode()), id="form"
        ),
        pytest.param(
            lambda trail, piece: trail("/x", "", json.dumps({"u": "bob", "d": piece}).encode()),
            id="json",
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 8])
@pytest.mark.parametrize("encode", ["raw", "base64-url", "hex", "reversed"])
def test_pieces_are_put_together(
    send: Callable[[Callable[..., frozenset[str]], str], frozenset[str]], size: int, encode: str
) -> None:
    secret = "AKIA9F8E7D6C5B4A"
    trail = CanaryTrail(CanaryMatcher({"k": secret}))

    def push(path: str, query: str, body: bytes) -> frozenset[str]:
        return trail.push("h", path, query, body, whole=frozenset())

    text = ENCODINGS[encode](secret.encode()).decode()
    found = [send(push, text[at : at + size]) for at in range(0, len(text), size)]
    assert sum(map(len, found)) == 1
    # Found once, it is not found again in what follows.
    assert not any(send(push, f"harmless{number}") for number in range(5))


def test_pieces_for_different_hosts_are_kept_apart() -> None:
    trail = CanaryTrail(MATCHER)
    none: frozenset[str] = frozenset()
    assert not trail.push("a", "/", "", SECRET[:16].encode(), whole=none)
    assert not trail.push("b", "/", "", SECRET[16:].encode(), whole=none)
    assert trail.push("a", "/", "", SECRET[16:].encode(), whole=none) == {"key"}


def test_the_trail_forgets_so_that_it_cannot_grow() -> None:
    trail = CanaryTrail(MATCHER, max_streams=10)
    for number in range(500):
        trail.push(f"h{number}", "/abc", "d=e", b"x" * 10_000, whole=frozenset())
    assert len(trail._streams) <= 10
    assert sum(map(len, trail._streams.values())) <= 10 * 2048
