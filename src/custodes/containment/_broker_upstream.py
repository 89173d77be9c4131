"""Connections to the outside: resolved, checked, then opened to exactly what was checked."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import ssl
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import h11

from custodes.types import HttpRequest, HttpResponse

from ._broker_canary import SHORTEST_CANARY, CanaryMatcher
from ._broker_policy import AllowRule, EgressPolicy, Refusal, parse_host, parse_ip_literal
from ._broker_wire import METHOD_OVERRIDES, as_hyphened, end_to_end

if TYPE_CHECKING:
    from asyncio.trsock import TransportSocket

Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses."""
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dialler: TypeAlias = Callable[[str, int, "ssl.SSLContext | None", "str | None"], Awaitable[Streams]]
"""Address, port, TLS context, name to verify the certificate for; gives open streams."""

_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z")
_READ_BYTES = 65536
_SEARCHED_IN_THREAD = 64 << 10
_MOST_MEMBERS = 32  # each costs a copy of what is left
_SHAPING = frozenset({"accept-encoding", "range", "if-range"})


async def resolve_with_system(host: str, port: int) -> Sequence[str]:
    """Addresses of ``host`` as the system resolver gives them."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def dial(address: str, port: int, tls: ssl.SSLContext | None, name: str | None) -> Streams:
    """Connect to ``address``, which is never resolved again."""
    options: dict[str, Any] = {"ssl": tls, "server_hostname": name} if tls is not None else {}
    return await asyncio.open_connection(address, port, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A secret that the broker adds to requests for one host; nothing inside ever holds it.

    The host must be one that can be trusted with it: an answer that shows it, plain or in a common
    encoding, is withheld, but a host that means to hand it on can. It is asked for whole answers
    that are not compressed, and one that cannot be searched is withheld as well.

    Attributes:
        port: as the client asks for it, that it is sent to; None for any.
        methods: that it is sent with; None for any.
        path_prefix: whole segments, as in `AllowRule`. Other requests to the host, if the policy
            lets them pass, go without it, and without any of the client's own.
        header: lower-case name of the header that carries it.
        value: of that header.
        strip: further headers that the client may not send to that host.
        tls: whether such requests leave over TLS even though the client spoke plain HTTP; those
            for port 80 then go to port 443.
    """

    value: str = field(repr=False)
    header: str = "authorization"
    strip: frozenset[str] = frozenset(
        {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie"}
    )
    tls: bool = True
    port: int | None = None
    methods: frozenset[str] | None = None
    path_prefix: str = "/"

    def scope(self, host: str) -> AllowRule:
        """The requests to its host that it goes along with."""
        return AllowRule(
            host=host, port=self.port, methods=self.methods, path_prefix=self.path_prefix
        )

    def __post_init__(self) -> None:
        try:
            self.scope("host")
        except ValueError as error:
            raise ValueError(f"credential scope: {error}") from None
        if re.fullmatch(r"[a-z0-9-]+", self.header) is None:
            raise ValueError(f"credential header {self.header!r} is not a lower-case header name")
        if _FIELD_VALUE.match(self.value) is None:
            raise ValueError("credential value is empty or cannot stand in a header")
        if len(self.value.rpartition(" ")[2]) < SHORTEST_CANARY:
            raise ValueError(
                f"credential value ends in a word of less than {SHORTEST_CANARY} characters; it "
                "could not be told from other text in an answer"
            )


class UpstreamError(Exception):
    """The outside could not be reached, or answered with something that is not HTTP."""


class Upstream:
    """Carries permitted requests to the outside.

    A name is resolved once per connection; every address found must be permitted, and the
    connection goes to one of exactly those addresses, so that a second answer of a hostile name
    server never counts. Redirects are handed back, not followed.

    Args:
        resolve: name resolution.
        dial: opens connections.
        credentials: by host, what the broker adds.
        tls: context for connections over TLS.

    Raises:
        ValueError: for a credential whose host is not in its normal form.
    """

    def __init__(
        self,
        *,
        resolve: Resolver = resolve_with_system,
        dial: Dialler = dial,
        credentials: Mapping[str, Credential] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._resolve = resolve
        self._dial = dial
        self._tls = tls
        self.credentials = dict(credentials or {})
        for host in self.credentials:
            if parse_host(host) != host:
                raise ValueError(f"credential host {host!r} is not in its normal form")
        self._open: set[asyncio.StreamWriter] = set()
        self._scopes = {
            host: credential.scope(host) for host, credential in self.credentials.items()
        }
        self._secrets = {
            host: CanaryMatcher({"value": credential.value.rpartition(" ")[2]})
            for host, credential in self.credentials.items()
        }

    async def open(
        self, host: str, port: int, policy: EgressPolicy, *, tls: bool = False
    ) -> Streams:
        """Connect to a permitted host.

        Raises:
            Refusal: 403 where the name leads to an address that is not permitted.
            UpstreamError: where it leads nowhere.
        """
        literal = parse_ip_literal(host)
        if literal is not None:
            # Only a rule that spells this very address lets a literal come this far.
            addresses = [str(literal)]
        else:
            addresses = await self._permitted_addresses(host, port, policy)
        if tls and self._tls is None:
            self._tls = ssl.create_default_context()
        context = self._tls if tls else None
        for address in addresses:
            try:
                reader, writer = await self._dial(address, port, context, host if tls else None)
            except OSError:
                continue
            self._open.add(writer)
            return reader, writer
        raise UpstreamError(f"{host}: no connection")

    async def _permitted_addresses(self, host: str, port: int, policy: EgressPolicy) -> list[str]:
        try:
            found = await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise UpstreamError(f"{host}: not resolved") from None
        addresses = []
        for text in found:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                raise Refusal(403, "address_not_permitted") from None
            # One forbidden address among permitted ones refuses the name: it is how rebinding
            # looks when both answers come at once.
            if not policy.permits_address(address):
                raise Refusal(403, "address_not_permitted")
            addresses.append(str(address))
        if not addresses:
            raise UpstreamError(f"{host}: not resolved")
        return addresses

    def _check_silence(self, host: str, response: HttpResponse, limit: int) -> None:
        """Refuse an answer that shows the host's credential, or may do so unseen."""
        find = self._secrets[host].find
        shown = "\n".join(f"{key}: {value}" for key, value in response.headers)
        codings = [
            coding.strip().lower()
            for key, value in response.headers
            if key == "content-encoding"
            for coding in value.split(",")
        ]
        codings = [coding for coding in codings if coding not in {"identity", ""}]
        body = response.body
        if find(body) or find(shown.encode("latin-1")):
            raise Refusal(502, "credential_reflected", "allowed")
        if codings:
            known = len(codings) == 1 and codings[0] in {"gzip", "x-gzip"}
            plain = _gunzip(body, limit) if known else None
            if plain is None:
                raise Refusal(502, "answer_unsearchable", "allowed")
            if find(plain):
                raise Refusal(502, "credential_reflected", "allowed")

    def release(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection that `open` gave."""
        self._open.discard(writer)
        writer.transport.abort()

    def reset_all(self) -> int:
        """Reset every open connection at once, from any thread; gives their number."""
        writers = list(self._open)
        for writer in writers:
            reset_connection(writer)
        return len(writers)

    async def fetch(self, request: HttpRequest, policy: EgressPolicy, *, tls: bool) -> HttpResponse:
        """Carry one request and read the whole answer.

        Raises:
            Refusal: 403 for an address that is not permitted; 502 for an answer over the limit or
                one that would show the client a credential.
            UpstreamError: where there is no proper answer.
        """
        credential = self.credentials.get(request.host)
        headers = list(request.headers)
        if credential is not None:
            # In pieces or compressed, an answer could show the credential unseen.
            dropped = credential.strip | {credential.header} | _SHAPING
            if credential.methods is not None:
                dropped |= METHOD_OVERRIDES
            barred = {as_hyphened(name) for name in dropped}
            headers = [(key, value) for key, value in headers if as_hyphened(key) not in barred]
            headers.append(("accept-encoding", "identity"))
            path = request.target.partition("?")[0]
            if self._scopes[request.host].covers(request.port, request.method, path):
                headers.append((credential.header, credential.value))
            tls = tls or credential.tls
        port = 443 if credential is not None and tls and request.port == 80 else request.port
        reader, writer = await self.open(request.host, port, policy, tls=tls)
        try:
            response = await _exchange(reader, writer, request, headers, port, tls, policy)
        except (OSError, h11.ProtocolError, EOFError) as error:
            raise UpstreamError(f"{request.host}: {type(error).__name__}") from None
        finally:
            self.release(writer)
        if credential is not None:
            check = partial(self._check_silence, request.host, response, policy.max_response_bytes)
            if len(response.body) > _SEARCHED_IN_THREAD:
                await asyncio.to_thread(check)
            else:
                check()
        return response


def _gunzip(data: bytes, limit: int) -> bytes | None:
    """All that gzipped ``data`` holds; None where it is damaged or holds more than the limit."""
    plain = b""
    for _ in range(_MOST_MEMBERS):
        if not data:
            return plain
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            plain += stream.decompress(data, limit + 1 - len(plain))
        except zlib.error:
            return None
        if len(plain) > limit or not stream.eof:
            return None
        data = stream.unused_data
    return None if data else plain


def reset_connection(writer: asyncio.StreamWriter) -> None:
    """End a connection so that its peer learns of it now and nothing buffered is sent.

    It works on the socket alone, so that any thread may call it; closing is left to the owner.
    """
    sock = writer.get_extra_info("socket")
    if sock is not None:
        reset_socket(sock)


def reset_socket(sock: socket.socket | TransportSocket) -> None:
    """Shut a socket down both ways, so that closing it sends a reset."""
    with contextlib.suppress(OSError):  # it may be gone already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    request: HttpRequest,
    headers: list[tuple[str, str]],
    port: int,
    tls: bool,
    policy: EgressPolicy,
) -> HttpResponse:
    connection = h11.Connection(h11.CLIENT)
    name = f"[{request.host}]" if ":" in request.host else request.host
    host = name if port == (443 if tls else 80) else f"{name}:{port}"
    framing = [("content-length", str(len(request.body)))]
    if not request.body and request.method in {"GET", "HEAD", "OPTIONS", "DELETE"}:
        framing = []
    sent = h11.Request(
        method=request.method,
        target=request.target,
        headers=[
            (key.encode("ascii"), value.encode("latin-1"))
            for key, value in [("host", host), *headers, *framing, ("connection", "close")]
        ],
    )
    writer.write(connection.send(sent) or b"")
    if request.body:
        writer.write(connection.send(h11.Data(data=request.body)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    answer: h11.Response | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            answer = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > policy.max_response_bytes:
                raise Refusal(502, "response_too_large", "allowed")
        elif isinstance(event, h11.EndOfMessage):
            break
        elif not isinstance(event, h11.InformationalResponse):
            raise EOFError("connection closed before an answer")
    if answer is None:
        raise EOFError("no answer")
    return HttpResponse(
        status=answer.status_code,
        body=bytes(body),
        headers=end_to_end(
            tuple((key.decode("ascii"), value.decode("latin-1")) for key, value in answer.headers)
        ),
    )
