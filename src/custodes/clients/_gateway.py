"""The model's server as a client in a sandbox meets it: a gateway on the host, read both ways.

The client believes that its provider listens on a port of its own loopback. Each request for a
completion is read and reported before it is passed on, and each completion is read and reported
before the client is given it: whoever watches has judged a call before the client can know of it.
A completion is therefore held back until it is whole; a client that asked for a stream is kept
waiting by comments in it. The key is put in here; inside there is a placeholder.

The provider is asked for completions and for the few harmless things beside them that clients need.
Whatever else is asked is refused and reported: the key would open all of the provider's interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import h11

from ._model import ClientError, Dialect, Heard, Payload, Spoken

LARGEST_BODY: Final = 64 << 20
"""Bytes of one request or one completion."""
_READ_BYTES: Final = 64 << 10
_PING_SECONDS: Final = 10.0
_PING: Final = b": waiting\n\n"
_MOST_CONNECTIONS: Final = 64
_HEADERS_KEPT_BACK: Final = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "accept-encoding",
        "authorization",
        "x-api-key",
        "x-goog-api-key",
        "api-key",
        "cookie",
        "expect",
    }
)
"""Of a client's headers these are not passed on: they are the connection's, or would be a key."""
_PLAIN: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~:@!$&'()*+,;=-]+)+")
"""A path that means to every server what it says: nothing that climbs, nothing encoded."""
_HARMLESS: Final = (
    ("POST", re.compile(r".*/v1/messages/count_tokens")),
    ("POST", re.compile(r".*/models/[^/]+:countTokens")),
    ("GET", re.compile(r"(?:/[a-z]+)?(?:/v\d+[a-z]*)?/models(?:/[^/]+)?")),
)
"""Requests beside completions that a provider is asked: method and path."""

Scripted = Callable[[str, str, bytes], Payload]
"""A server that answers from a script: method, path with the query, body."""


class Held(Exception):
    """The watcher lets the client have no answer; the connection is closed without one."""


class Watch(Protocol):
    """Who is told what goes through."""

    async def heard(self, exchange: int, heard: Heard) -> None:
        """A client asks for a completion; ``exchange`` counts from 1.

        Raises:
            Held: it is not to be passed on.
        """

    async def spoken(self, exchange: int, heard: Heard, spoken: Spoken) -> None:
        """A completion has come; the client does not have it yet.

        Raises:
            Held: the client is not to be given it.
        """

    def failed(self, exchange: int, status: int, problem: str) -> None:
        """The provider gave no completion: its status (0: no answer), and one line."""

    def beside(self, method: str, path: str, status: int) -> None:
        """Something else was asked of the model's server, and was answered with that status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request to be passed on."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The head of an answer, and its body as it comes."""

    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]
    body: AsyncIterator[bytes]


class Provider(Protocol):
    """The way to a model's server."""

    def ask(self, asked: Asked) -> contextlib.AbstractAsyncContextManager[Answered]:
        """Pass a request on.

        Raises:
            OSError: the server cannot be reached, or the answer breaks off.
        """


class ScriptedProvider:
    """Answers from a script, in this process."""

    def __init__(self, script: Scripted) -> None:
        self._script = script

    @contextlib.asynccontextmanager
    async def ask(self, asked: Asked) -> AsyncIterator[Answered]:
        payload = await asyncio.to_thread(self._script, asked.method, asked.target, asked.body)

        async def body() -> AsyncIterator[bytes]:
            yield payload.body

        yield Answered(
            status=payload.status, content_type=payload.content_type, headers=(), body=body()
        )


class HostedProvider:
    """A provider reached over HTTP, with the key of the host.

    Args:
        base: address that the client's paths are added to.
        authorise: the header that carries the key: name, and text with ``{key}``.
        key: None where none is needed.
        seconds: that it may be silent.
    """

    _PASSED_BACK: Final = ("retry-after", "request-id", "x-request-id")

    def __init__(
        self, base: str, *, authorise: tuple[str, str], key: str | None, seconds: float = 600.0
    ) -> None:
        import httpx

        self._base = base.rstrip("/")
        name, text = authorise
        self._own = {} if key is None else {name: text.replace("{key}", key)}
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(seconds, connect=30.0), follow_redirects=False, trust_env=True
        )

    @contextlib.asynccontextmanager
    async def ask(self, asked: Asked) -> AsyncIterator[Answered]:
        import httpx

        headers = [*asked.headers, ("accept-encoding", "identity"), *self._own.items()]
        try:
            async with self._client.stream(
                asked.method, self._base + asked.target, headers=headers, content=asked.body
            ) as response:
                yield Answered(
                    status=response.status_code,
                    content_type=response.headers.get("content-type", "application/json"),
                    headers=tuple(
                        (name, response.headers[name])
                        for name in self._PASSED_BACK
                        if name in response.headers
                    ),
                    body=response.aiter_bytes(),
                )
        except httpx.HTTPError as error:
            # The key is in a header: no text of the library may carry it outside.
            raise OSError(f"{type(error).__name__} from the model's server") from None

    async def close(self) -> None:
        """Close what is open."""
        await self._client.aclose()


class Gateway:
    """Serves one sandbox; see the module.

    Args:
        dialect: the protocol that the client speaks.
        provider: who is asked.
        watch: who is told.
    """

    def __init__(self, *, dialect: Dialect, provider: Provider, watch: Watch) -> None:
        self._dialect = dialect
        self._provider = provider
        self._watch = watch
        self._exchanges = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, listener_fd: int) -> None:
        """Accept on a listening socket, which is the gateway's from here on."""
        listener = socket.socket(fileno=listener_fd)
        listener.setblocking(False)
        self._server = await asyncio.start_server(self._converse, sock=listener)

    async def close(self) -> None:
        """End what is open; nothing is answered from here on."""
        if self._server is not None:
            self._server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= _MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 << 10)
            while await self._exchange(connection, reader, writer):
                connection.start_next_cycle()
        except (OSError, EOFError, Held, h11.ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def _exchange(
        self,
        connection: h11.Connection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Read, pass on and answer one request; whether the connection goes on."""
        request, body = await _read(connection, reader, writer)
        method = request.method.decode("ascii")
        target = request.target.decode("latin-1")
        if "://" in target[:8]:  # a client that takes us for its proxy
            target = "/" + target.split("://", 1)[1].partition("/")[2]
        path = target.partition("?")[0]
        sender = _Sender(connection, writer, bodiless=method == "HEAD")
        asked = Asked(method=method, target=target, headers=_passed(request), body=body)
        # What another server would read otherwise than we do would carry the key elsewhere.
        plain = _PLAIN.fullmatch(path) is not None and "#" not in target
        if plain and self._dialect.wants(method, path):
            await self._completion(asked, sender)
        else:
            await self._beside(asked, path, sender, plain=plain)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _beside(self, asked: Asked, path: str, sender: _Sender, *, plain: bool) -> None:
        if not plain or not any(
            asked.method == method and known.fullmatch(path) for method, known in _HARMLESS
        ):
            self._watch.beside(asked.method, path[:300], 404)
            await sender.whole(Payload(body=b'{"error":{"message":"not found"}}', status=404))
            return
        try:
            async with self._provider.ask(asked) as answered:
                body = await _collected(answered.body)
        except OSError:
            self._watch.beside(asked.method, path[:300], 502)
            await sender.whole(Payload(body=b'{"error":{"message":"unreachable"}}', status=502))
            return
        self._watch.beside(asked.method, path[:300], answered.status)
        await sender.whole(
            Payload(body=body, content_type=answered.content_type, status=answered.status)
        )

    async def _completion(self, asked: Asked, sender: _Sender) -> None:
        path = asked.target.partition("?")[0]
        self._exchanges += 1
        exchange = self._exchanges
        try:
            heard = self._dialect.heard(asked.target, asked.body)
        except ValueError as error:
            self._watch.failed(exchange, 400, f"the client's request cannot be read: {error}")
            await sender.whole(Payload(body=b'{"error":{"message":"unreadable"}}', status=400))
            return
        await self._watch.heard(exchange, heard)
        try:
            async with self._provider.ask(asked) as answered:
                streamed = answered.content_type.partition(";")[0] == "text/event-stream"
                if answered.status != 200:
                    body = await _collected(answered.body)
                    self._watch.failed(exchange, answered.status, _line(body))
                    await sender.whole(
                        Payload(
                            body=body, content_type=answered.content_type, status=answered.status
                        ),
                        answered.headers,
                    )
                    return
                if streamed:
                    await sender.begin(answered.content_type, answered.headers)
                    body = await _pinging(_collected(answered.body), sender.ping)
                else:
                    body = await _collected(answered.body)
        except OSError as error:
            self._watch.failed(exchange, 0, f"{path}: {error}")
            if sender.begun:
                raise Held from None
            await sender.whole(Payload(body=b'{"error":{"message":"unreachable"}}', status=502))
            return
        payload = Payload(body=body, content_type=answered.content_type)
        try:
            spoken = self._dialect.spoken(payload)
        except ValueError as error:
            # What cannot be read cannot be judged, and so does not reach the client.
            self._watch.failed(exchange, 200, f"the completion cannot be read: {error}")
            raise Held from None
        await self._watch.spoken(exchange, heard, spoken)
        if sender.begun:
            await sender.end(body)
        else:
            await sender.whole(payload, answered.headers)


class _Sender:
    """Writes one answer."""

    def __init__(
        self, connection: h11.Connection, writer: asyncio.StreamWriter, *, bodiless: bool
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._bodiless = bodiless
        self.begun = False

    async def _send(self, *events: h11.Event) -> None:
        for event in events:
            self._writer.write(self._connection.send(event) or b"")
        await self._writer.drain()

    async def whole(self, payload: Payload, headers: tuple[tuple[str, str], ...] = ()) -> None:
        head = h11.Response(
            status_code=payload.status,
            headers=[
                ("content-type", payload.content_type),
                ("content-length", str(len(payload.body))),
                *headers,
            ],
        )
        body = () if self._bodiless else (h11.Data(data=payload.body),)
        await self._send(head, *body, h11.EndOfMessage())

    async def begin(self, content_type: str, headers: tuple[tuple[str, str], ...]) -> None:
        self.begun = True
        await self._send(
            h11.Response(
                status_code=200,
                headers=[
                    ("content-type", content_type),
                    ("transfer-encoding", "chunked"),
                    *headers,
                ],
            )
        )

    async def ping(self) -> None:
        """Say that the answer is still to come, in words that every reader of events passes by."""
        await self._send(h11.Data(data=_PING))

    async def end(self, body: bytes) -> None:
        await self._send(h11.Data(data=body), h11.EndOfMessage())


async def _read(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> tuple[h11.Request, bytes]:
    request: h11.Request | None = None
    parts: list[bytes] = []
    size = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                writer.write(connection.send(go_on) or b"")
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            parts.append(bytes(event.data))
            size += len(event.data)
            if size > LARGEST_BODY:
                raise EOFError(f"a request of more than {LARGEST_BODY} bytes")
        elif isinstance(event, h11.EndOfMessage):
            assert request is not None
            return request, b"".join(parts)
        else:  # the client has gone
            raise EOFError("the connection was closed")


def _passed(request: h11.Request) -> tuple[tuple[str, str], ...]:
    headers = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in request.headers]
    return tuple((n, v) for n, v in headers if n not in _HEADERS_KEPT_BACK)


async def _collected(body: AsyncIterator[bytes]) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in body:
        parts.append(part)
        size += len(part)
        if size > LARGEST_BODY:
            raise OSError(f"an answer of more than {LARGEST_BODY} bytes")
    return b"".join(parts)


async def _pinging(work: Awaitable[bytes], ping: Callable[[], Awaitable[None]]) -> bytes:
    """Wait for the work, with a ping now and then."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait({task}, timeout=_PING_SECONDS)
            if done:
                return task.result()
            await ping()
    finally:
        task.cancel()


def _line(body: bytes) -> str:
    return " ".join(body[:2000].decode("utf-8", "replace").split())[:300]


def hosted(
    base: str, authorise: tuple[str, str], key_variable: str | None, environment: Mapping[str, str]
) -> HostedProvider:
    """The provider at an address, with the key that the environment holds.

    Raises:
        ClientError: the key is not there.
    """
    key = None
    if key_variable is not None:
        key = environment.get(key_variable)
        if not key:
            raise ClientError(
                f"expected the key of {base} in {key_variable}, found none: set it (it stays on "
                "this side; the client is given a placeholder)"
            )
    return HostedProvider(base, authorise=authorise, key=key)
