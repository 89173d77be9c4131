"""The broker against a second reader of HTTP, written from the standard and sharing no code.

Whatever reaches a destination must be what that reader sees too, in order and whole: a request that
two readers take differently is a way past every rule.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.containment._broker_policy import AllowRule, EgressPolicy

from .broker_world import SERVICE, run, world

OTHER = "other.internal"
POLICY = EgressPolicy(
    allow=(AllowRule(host=SERVICE), AllowRule(host=OTHER, path_prefix="/open")),
    head_timeout_ms=500,
    idle_timeout_ms=500,
)
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
PLAIN_PATH = re.compile(r"(?:/[a-z]+)+\??[a-z]*")


@dataclass(frozen=True)
class Read:
    method: str
    host: str
    target: str
    body: bytes


class Malformed(Exception):
    """Where the next request would begin is in doubt."""


def strictly(raw: bytes) -> list[Read]:
    """The requests of one connection, up to the first whose end is in doubt, or that closes it.

    The host is empty where the destination is malformed.
    """
    found: list[Read] = []
    with contextlib.suppress(Malformed):
        while raw:
            request, raw, more = read_one(raw)
            found.append(request)
            if not more:
                break
    return found


def read_one(raw: bytes) -> tuple[Read, bytes, bool]:
    head, end, rest = raw.partition(b"\r\n\r\n")
    if not end:
        raise Malformed
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ")
    if (
        len(words) != 3
        or not TOKEN.fullmatch(words[0])
        or words[2]
        not in (
            b"HTTP/1.1",
            b"HTTP/1.0",
        )
    ):
        raise Malformed
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise Malformed
        fields.append((name.lower(), value.strip(b" \t")))
    body, rest = read_body(fields, rest, words[2])
    host, target = destination(words[1], [value for name, value in fields if name == b"host"])
    closes = any(
        b"close" in value.lower() for name, value in fields if name.endswith(b"connection")
    )
    more = words[2] == b"HTTP/1.1" and not closes
    return Read(words[0].decode(), host, target, body), rest, more


def read_body(
    fields: list[tuple[bytes, bytes]], rest: bytes, version: bytes
) -> tuple[bytes, bytes]:
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1 or (codings and version == b"HTTP/1.0"):
        raise Malformed
    if lengths:
        if not re.fullmatch(rb"[0-9]+", lengths[0]):
            raise Malformed
        count = int(lengths[0])
        if len(rest) < count:
            raise Malformed
        return rest[:count], rest[count:]
    if not codings:
        return b"", rest
    if codings[0].lower() != b"chunked":
        raise Malformed
    body = b""
    while True:
        line, end, rest = rest.partition(b"\r\n")
        size = re.fullmatch(rb"([0-9A-Fa-f]+)[ \t]*(?:;.*)?", line)
        if not end or size is None:
            raise Malformed
        count = int(size.group(1), 16)
        if count == 0:
            while line:
                line, end, rest = rest.partition(b"\r\n")
                if not end:
                    raise Malformed
            return body, rest
        if rest[count : count + 2] != b"\r\n":
            raise Malformed
        body, rest = body + rest[:count], rest[count + 2 :]


def destination(target: bytes, hosts: list[bytes]) -> tuple[str, str]:
    text = target.decode("latin-1")
    absolute = re.fullmatch(r"(?i:http)://([^/?#@]+)((?:[/?].*)?)", text)
    if len(hosts) != 1:
        return "", text
    host = normal(hosts[0].decode("latin-1"))
    if absolute is not None:
        if normal(absolute.group(1)) != host:
            return "", text
        text = absolute.group(2) or "/"
    elif not text.startswith("/"):
        return "", text
    return host, text


def normal(host: str) -> str:
    return host.lower().removesuffix(":80").removesuffix(".")


HOSTS = st.sampled_from([SERVICE, SERVICE.upper(), f"{SERVICE}.", f"{SERVICE}:80", OTHER, "evil.x"])
PATHS = st.sampled_from(["/", "/a", "/a/b", "/open", "/open/x?y", "/closed", "/a?b"])
BODIES = st.binary(max_size=20)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    host, path = draw(HOSTS), draw(PATHS)
    target = draw(st.sampled_from([path, f"http://{host}{path}", f"HTTP://{host}{path}"]))
    lines = [
        f"{draw(st.sampled_from(['GET', 'POST', 'PUT']))} {target} HTTP/1.1",
        f"{draw(st.sampled_from(['Host', 'host', 'HOST']))}: {host}",
        *draw(
            st.lists(
                st.sampled_from(["X: y", "Accept: */*", "Connection: keep-alive", "Upgrade: h2c"]),
                max_size=2,
            )
        ),
    ]
    body = draw(BODIES)
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "none":
        body = b""
    elif kind == "length":
        lines.append(f"Content-Length: {len(body)}")
    else:
        lines.append("Transfer-Encoding: chunked")
        cut = draw(st.integers(0, len(body)))
        extension = draw(st.sampled_from(["", ";a=b", ';c="d"']))
        chunks = [f"{len(c):x}{extension}\r\n".encode() + c + b"\r\n"
                  for c in (body[:cut], body[cut:]) if c]  # fmt: skip
        trailer = draw(st.sampled_from([b"", b"T: u\r\n"]))
        body = b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


NOISE = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b"\x0b", b"\xff", b":", b"0", b"-", b"+", b",",
        b"Content-Length: 0\r\n", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n", b"Transfer_Encoding: chunked\r\n", b"Host: evil.x\r\n",
        b"Connection: close\r\n", b" HTTP/1.0", b"HTTP/0.9", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n",
        b"@evil.x", b"\\", b"%0d%0a", b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n",
    ]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    raw = b"".join(draw(st.lists(requests(), min_size=1, max_size=3)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        if draw(st.booleans()):
            # Line ends are where readers differ.
            ends = [match.end() for match in re.finditer(rb"\r\n", raw)]
            at = draw(st.sampled_from(ends or [0]))
        taken = draw(st.integers(0, 2))
        raw = raw[:at] + draw(NOISE | st.just(b"")) + raw[at + taken :]
    return raw


def check(batch: list[bytes]) -> None:
    async def story() -> None:
        async with world(policy=POLICY, hosts=(SERVICE, OTHER)) as here:
            for raw in batch:
                here.asked.clear()
                session = await here.connect()
                with contextlib.suppress(ConnectionError):
                    await session.send(raw)
                    session.writer.write_eof()
                    await session.reader.read()
                session.close()
                expected = strictly(raw)
                seen = iter(expected)
                for request in here.asked:
                    found = (request.method, request.host, request.body)
                    match = next((r for r in seen if (r.method, r.host, r.body) == found), None)
                    assert match is not None, (raw, found, expected)
                    if PLAIN_PATH.fullmatch(match.target):
                        assert match.target == request.target, (raw, expected)
                    assert request.host == SERVICE or request.target.startswith("/open")

    run(story())


@settings(max_examples=12)
@given(batch=st.lists(damaged(), min_size=12, max_size=12))
def test_what_reaches_a_destination_is_what_a_second_reader_sees(batch: list[bytes]) -> None:
    check(batch)


@pytest.mark.slow
@settings(max_examples=500)
@given(batch=st.lists(damaged(), min_size=20, max_size=20))
def test_what_reaches_a_destination_is_what_a_second_reader_sees_at_length(
    batch: list[bytes],
) -> None:
    check(batch)


@settings(max_examples=12)
@given(batch=st.lists(requests(), min_size=1, max_size=8))
def test_well_formed_requests_all_arrive_but_for_those_denied(batch: list[bytes]) -> None:
    """Else a broker that refuses everything would pass."""

    async def story() -> None:
        async with world(policy=POLICY, hosts=(SERVICE, OTHER)) as here:
            session = await here.connect()
            await session.send(b"".join(batch))
            for _ in batch:
                await session.reply()
            expected = [
                read
                for read in strictly(b"".join(batch))
                if read.host == SERVICE or (read.host == OTHER and read.target[:5] == "/open")
            ]
            assert [(r.method, r.host, r.target, r.body) for r in here.asked] == [
                (r.method, r.host, r.target, r.body) for r in expected
            ]

    run(story())
