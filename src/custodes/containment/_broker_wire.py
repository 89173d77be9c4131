"""Strict reading of HTTP/1.1 requests as a proxy receives them.

h11 parses; this module first refuses what h11 tolerates and other programs read differently, since
each such difference is a way to smuggle a request past a rule (RFC 9112, section 11).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

from ._broker_policy import Refusal, normalise_path, parse_authority

_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}\Z")
_ABSOLUTE = re.compile(r"(https?)://([^/?#]*)([/?][^#]*)?\Z", re.IGNORECASE)
_MAX_HEADERS = 100
_ECHOING = frozenset({"TRACE", "TRACK"})
_TOKEN_BYTES = (
    frozenset(b"!#$%&'*+-.^_`|~0123456789")
    | frozenset(range(0x41, 0x5B))
    | frozenset(range(0x61, 0x7B))
)

METHOD_OVERRIDES = frozenset({"x-http-method", "x-http-method-override", "x-method-override"})
"""Headers that ask a server to take another method than the request line's."""

# Never forwarded (RFC 9110, section 7.6.1, and what proxies add to it). `expect` is answered here.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

# Names that some servers believe more than the request line, about what is asked for, of which host
# and by whom. What the broker judged would then not be what the server does.
_REROUTING = frozenset(
    {
        "client-ip",
        "forwarded",
        "true-client-ip",
        "x-client-ip",
        "x-forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-path",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-uri",
        "x-host",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request line and its headers.

    Attributes:
        method: upper-case.
        target: as sent.
        version: ``1.0`` or ``1.1``.
        headers: lower-case names, in order.
        raw: the bytes.
    """

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    raw: bytes

    def values(self, name: str) -> list[str]:
        """All values of that (lower-case) header."""
        return [value for key, value in self.headers if key == name]

    def forwardable_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that are passed on to the destination."""
        return tuple(
            (key, value)
            for key, value in end_to_end(self.headers)
            if as_hyphened(key) not in _REROUTING
        )

    def methods(self) -> tuple[str, ...]:
        """The method, and those that a header asks the server to take instead of it.

        Raises:
            Refusal: 400 where such a header names no method.
        """
        found = [self.method]
        for key, value in self.headers:
            if as_hyphened(key) in METHOD_OVERRIDES:
                method = value.strip().upper()
                if _METHOD.match(method) is None:
                    raise Refusal(400, "malformed_method")
                found.append(method)
        return tuple(found)


def as_hyphened(name: str) -> str:
    """A header name as servers that hand headers on as variables read it (CGI, WSGI)."""
    return name.replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a request goes, in normal form. ``path`` is None for a tunnel."""

    host: str
    port: int
    path: str | None
    query: str | None = None
    tls: bool = False

    @property
    def target(self) -> str:
        """Origin-form of the normalised target."""
        path = self.path or "/"
        return path if self.query is None else f"{path}?{self.query}"


def end_to_end(headers: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """``headers`` without the ones that belong to a single connection."""
    named = {
        token.strip().lower()
        for key, value in headers
        if key in {"connection", "proxy-connection"}
        for token in value.split(",")
    }
    dropped = _HOP_BY_HOP | named
    return tuple((key, value) for key, value in headers if as_hyphened(key) not in dropped)


def find_head_end(buffer: bytearray, limit: int) -> int | None:
    """Length of the head at the start of ``buffer``, or None while it is incomplete.

    Raises:
        Refusal: as soon as no continuation could make it a head.
    """
    if buffer and buffer[0] not in _TOKEN_BYTES:
        raise Refusal(400, "not_http")
    end = buffer.find(b"\r\n\r\n")
    if end > limit or (end < 0 and len(buffer) > limit):
        raise Refusal(431, "head_too_large")
    if end >= 0:
        return end + 4
    bare = _BARE_LINE_END.search(buffer)
    if bare is not None and bare.start() < len(buffer) - 1:
        raise Refusal(400, "bare_line_end")
    return None


def parse_head(raw: bytes) -> tuple[h11.Connection, Head]:
    """Parse one whole head; the connection returned takes the body next.

    Raises:
        Refusal: for whatever is not plain, unambiguous HTTP/1.0 or 1.1.
    """
    if _BARE_LINE_END.search(raw):
        raise Refusal(400, "bare_line_end")
    if _CONTROL.search(raw):
        raise Refusal(400, "control_character")
    lines = raw[:-4].split(b"\r\n")
    if len(lines) - 1 > _MAX_HEADERS:
        raise Refusal(431, "too_many_headers")
    if any(line[:1] in {b" ", b"\t"} for line in lines):
        raise Refusal(400, "folded_header")
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw) + 65536)
    try:
        connection.receive_data(raw)
        event = connection.next_event()
    except h11.RemoteProtocolError as error:
        raise Refusal(501 if error.error_status_hint == 501 else 400, "malformed_head") from None
    if not isinstance(event, h11.Request):
        raise Refusal(400, "malformed_head")
    head = Head(
        method=event.method.decode("ascii"),
        target=event.target.decode("ascii"),
        version=event.http_version.decode("ascii"),
        headers=tuple(
            (name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers
        ),
        raw=raw,
    )
    _check_head(head, lines)
    return connection, head


def _check_head(head: Head, lines: list[bytes]) -> None:
    if head.version not in {"1.0", "1.1"}:
        raise Refusal(505, "http_version")
    if _METHOD.match(head.method) is None:
        raise Refusal(400, "malformed_method")
    if head.method in _ECHOING:
        # They would echo back what the broker adds, credentials included.
        raise Refusal(405, "trace")
    # h11 merges equal Content-Length fields and lets Transfer-Encoding win over them; a next hop
    # may choose otherwise. Counted on the lines as sent, since h11 has already merged them.
    names = [line.partition(b":")[0].lower() for line in lines[1:]]
    lengths = names.count(b"content-length")
    codings = names.count(b"transfer-encoding")
    if lengths > 1 or (lengths and codings):
        raise Refusal(400, "ambiguous_length")
    if lengths:
        sent = lines[1 + names.index(b"content-length")].partition(b":")[2].strip(b" \t")
        if not sent.isdigit():
            raise Refusal(400, "ambiguous_length")
    if codings and head.version == "1.0":
        raise Refusal(400, "ambiguous_length")
    for expected in head.values("expect"):
        if expected.lower() != "100-continue":
            raise Refusal(417, "expectation")


def check_trailers(wire: bytes, count: int) -> None:
    """Hold the end of a chunked body to the line ends of a head; h11 takes bare ones there.

    Args:
        wire: the body as sent.
        count: fields that were read after the last chunk.

    Raises:
        Refusal: 400 where another reader could see the body end elsewhere.
    """
    lines = wire.removesuffix(b"\r\n\r\n").split(b"\r\n")
    trailers = lines[len(lines) - count :]
    if (
        not wire.endswith(b"\r\n\r\n")
        or any(_CONTROL.search(line) or _BARE_LINE_END.search(line) for line in trailers)
        or any(line[:1] in {b" ", b"\t"} for line in trailers)
    ):
        raise Refusal(400, "malformed_body")


def parse_destination(head: Head) -> Destination:
    """Where the request goes: an absolute target, or else the Host header.

    Raises:
        Refusal: 400 where the two disagree, or either is malformed.
    """
    hosts = head.values("host")
    if head.method == "CONNECT":
        host, port = parse_authority(head.target, None)
        if hosts and parse_authority(hosts[0], port) != (host, port):
            raise Refusal(400, "host_mismatch")
        return Destination(host=host, port=port, path=None)
    absolute = _ABSOLUTE.match(head.target)
    if absolute is not None:
        scheme, authority, rest = absolute.groups()
        tls = scheme.lower() == "https"
        host, port = parse_authority(authority, 443 if tls else 80)
        if hosts and parse_authority(hosts[0], 443 if tls else 80) != (host, port):
            raise Refusal(400, "host_mismatch")
        target = rest or "/"
    elif head.target.startswith("/") and "#" not in head.target:
        if not hosts:
            raise Refusal(400, "no_host")
        tls = False
        host, port = parse_authority(hosts[0], 80)
        target = head.target
    else:
        raise Refusal(400, "malformed_target")
    path, mark, query = target.partition("?")
    return Destination(
        host=host,
        port=port,
        path=normalise_path(path or "/"),
        query=query if mark else None,
        tls=tls,
    )
