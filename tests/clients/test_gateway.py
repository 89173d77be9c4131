"""The gateway between a client and its model's server: read both ways, and nothing slips by."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from custodes.clients import (
    DIALECTS,
    ClientError,
    Gateway,
    Heard,
    Held,
    HostedProvider,
    Payload,
    Provider,
    ScriptedProvider,
    Spoken,
    hosted,
)

pytestmark = pytest.mark.anyio

KEY = "sk-of-the-host-0123456789"
REQUEST = {
    "model": "m",
    "messages": [{"role": "user", "content": "hello"}],
    "tools": [{"type": "function", "function": {"name": "bash", "parameters": {}}}],
}
CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "bash", "arguments": '{"command": "ls"}'},
}
COMPLETION = {
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": None, "tool_calls": [CALL]},
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}


@dataclass
class Noted:
    """A watch that writes down what it is told, and may refuse."""

    heards: list[Heard] = field(default_factory=list)
    spokens: list[Spoken] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    others: list[tuple[str, str, int]] = field(default_factory=list)
    hold: str = ""
    on_spoken: Callable[[], None] = lambda: None

    async def heard(self, exchange: int, heard: Heard) -> None:
        self.heards.append(heard)
        if self.hold == "heard":
            raise Held

    async def spoken(self, exchange: int, heard: Heard, spoken: Spoken) -> None:
        self.spokens.append(spoken)
        self.on_spoken()
        if self.hold == "spoken":
            raise Held

    def failed(self, exchange: int, status: int, problem: str) -> None:
        self.failures.append((status, problem))

    def beside(self, method: str, path: str, status: int) -> None:
        self.others.append((method, path, status))


class _Upstream(BaseHTTPRequestHandler):
    """A provider that remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[tuple[str, str, dict[str, str], bytes]]] = []
    status = 200
    content_type = "application/json"
    answer = json.dumps(COMPLETION).encode()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        type(self).asked.append((self.command, self.path, headers, body))
        self.send_response(self.status)
        self.send_header("content-type", self.content_type)
        self.send_header("content-length", str(len(self.answer)))
        self.send_header("set-cookie", "tracking=1")
        self.end_headers()
        self.wfile.write(self.answer)


@pytest.fixture
def upstream() -> Iterator[tuple[str, type[_Upstream]]]:
    handler = type("Handler", (_Upstream,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler
    server.shutdown()
    server.server_close()
    thread.join()


@contextlib.asynccontextmanager
async def serving(provider: Provider, watch: Noted) -> AsyncIterator[int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    gateway = Gateway(dialect=DIALECTS["chat"], provider=provider, watch=watch)
    await gateway.serve(listener.detach())
    try:
        yield port
    finally:
        await gateway.close()
        if isinstance(provider, HostedProvider):
            await provider.close()


def _request(method: str, path: str, body: bytes = b"", *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}", *more]
    return "\r\n".join((*lines, "", "")).encode() + body


async def ask(port: int, raw: bytes, seconds: float = 20.0) -> bytes:
    """Everything that comes back until the gateway closes or the answer is whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        received = b""
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(65536):
                received += chunk
                head, _, rest = received.partition(b"\r\n\r\n")
                lengths = [
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                ]
                if (lengths and len(rest) >= lengths[0]) or rest.endswith(b"0\r\n\r\n"):
                    break
        return received
    finally:
        writer.close()


def _completion(*more: str, **changes: Any) -> bytes:
    body = json.dumps({**REQUEST, **changes}).encode()
    return _request("POST", "/v1/chat/completions", body, *more)


def _hosted(base: str) -> HostedProvider:
    return HostedProvider(base, authorise=("authorization", "Bearer {key}"), key=KEY)


async def test_a_completion_goes_through_unchanged_and_is_told_of_first(
    upstream: tuple[str, type[_Upstream]],
) -> None:
    base, handler = upstream
    watch = Noted()
    async with serving(_hosted(base), watch) as port:
        answer = await ask(port, _completion())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body) == COMPLETION
    ((_, path, _, sent),) = handler.asked
    assert (path, json.loads(sent)) == ("/v1/chat/completions", REQUEST)
    assert [call.name for call in watch.spokens[0].calls] == ["bash"]
    assert (watch.spokens[0].input_tokens, watch.heards[0].tools) == (3, ("bash",))


async def test_the_key_is_the_hosts_and_nothing_of_the_clients_stands_for_it(
    upstream: tuple[str, type[_Upstream]],
) -> None:
    base, handler = upstream
    stolen = ("authorization: Bearer stolen", "x-api-key: stolen", "cookie: stolen", "x-own: kept")
    async with serving(_hosted(base), Noted()) as port:
        answer = await ask(port, _completion(*stolen))
    ((_, _, headers, _),) = handler.asked
    assert headers["authorization"] == f"Bearer {KEY}"
    assert "stolen" not in str(headers)
    assert headers["x-own"] == "kept"
    assert KEY.encode() not in answer
    assert b"set-cookie" not in answer.lower()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("POST", "/v1/messages/count_tokens", 200),
        ("POST", "/v1/messages/batches", 404),
        ("GET", "/v1/files", 404),
        ("POST", "/v1/files", 404),
        ("DELETE", "/v1/models/m", 404),
        ("POST", "/v1/organizations/keys", 404),
        ("POST", "/api/event_logging/batch", 404),
        ("PUT", "/v1/chat/completions", 404),
    ],
)
async def test_the_key_opens_completions_and_a_few_harmless_things(
    upstream: tuple[str, type[_Upstream]], method: str, path: str, status: int
) -> None:
    base, handler = upstream
    watch = Noted()
    async with serving(_hosted(base), watch) as port:
        answer = await ask(port, _request(method, path, b"{}"))
    assert answer.startswith(f"HTTP/1.1 {status}".encode())
    assert len(handler.asked) == (1 if status == 200 else 0)
    assert watch.others == [(method, path, status)]


@pytest.mark.parametrize(
    "target",
    [
        # Put after the provider's address, these would take the key to another host.
        "@elsewhere.example/v1/chat/completions",
        ".elsewhere.example/v1/chat/completions",
        ":8443/v1/chat/completions",
        "//elsewhere.example/v1/chat/completions",
        # And these to another place of the provider than the one that was judged.
        "/v1/batches#/v1/chat/completions",
        "/v1/batches?a#/chat/completions",
        "/v1/models/../files",
        "/v1/files/../models",
        "/v1/./models",
        "/v1/models/%2e%2e/files",
        "/v1/files%2f..%2fmodels",
        "/v1/organizations/o/keys/models",
        "/v1/models\\..\\files",
        "/v1/models//x",
        "*",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_target_that_two_could_read_differently_is_refused(
    upstream: tuple[str, type[_Upstream]], method: str, target: str
) -> None:
    base, handler = upstream
    watch = Noted()
    async with serving(_hosted(base), watch) as port:
        answer = await ask(port, _request(method, target, json.dumps(REQUEST).encode()))
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")) or answer == b""
    assert handler.asked == []
    assert watch.heards == []


async def test_a_question_without_a_body_is_answered_without_one() -> None:
    watch = Noted()
    async with serving(ScriptedProvider(lambda *_: Payload(body=b"")), watch) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_request("HEAD", "/") + _completion())
        async with asyncio.timeout(20):
            first = await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert first.startswith(b"HTTP/1.1 404")
    assert watch.others == [("HEAD", "/", 404)]


async def test_what_the_watch_holds_does_not_reach_the_provider(
    upstream: tuple[str, type[_Upstream]],
) -> None:
    base, handler = upstream
    async with serving(_hosted(base), Noted(hold="heard")) as port:
        assert await ask(port, _completion()) == b""
    assert handler.asked == []


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_completion_that_the_watch_holds_does_not_reach_the_client(
    upstream: tuple[str, type[_Upstream]], streamed: bool
) -> None:
    base, handler = upstream
    if streamed:
        handler.content_type = "text/event-stream"
        delta = {"role": "assistant", "tool_calls": [{**CALL, "index": 0}]}
        chunk = json.dumps({"choices": [{"index": 0, "delta": delta}]})
        handler.answer = f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
    watch = Noted(hold="spoken")
    async with serving(_hosted(base), watch) as port:
        answer = await ask(port, _completion(stream=streamed))
    assert len(watch.spokens) == 1, "the control: it came as far as the watch"
    assert b"ls" not in answer and b"bash" not in answer


async def test_a_stream_reaches_the_client_only_when_it_was_judged(
    upstream: tuple[str, type[_Upstream]],
) -> None:
    base, handler = upstream
    handler.content_type = "text/event-stream"
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "hi"}}]})
    handler.answer = f"data: {chunk}\n\ndata: [DONE]\n\n".encode()
    arrived: list[bytes] = []
    watch = Noted(on_spoken=lambda: arrived.append(b"judged"))
    async with serving(_hosted(base), watch) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_completion(stream=True))
        async with asyncio.timeout(20):
            await reader.readuntil(b"\r\n\r\n")
            arrived.append(await reader.readuntil(b"[DONE]"))
        writer.close()
    assert arrived[0] == b"judged"
    assert b"hi" in arrived[1]


async def test_an_error_of_the_provider_is_the_clients_to_handle(
    upstream: tuple[str, type[_Upstream]],
) -> None:
    base, handler = upstream
    handler.status, handler.answer = 429, b'{"error": {"message": "slow down"}}'
    watch = Noted()
    async with serving(_hosted(base), watch) as port:
        answer = await ask(port, _completion())
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"slow down" in answer
    assert watch.failures[0][0] == 429 and watch.spokens == []


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[1]", b'{"choices": 3}', b"\xff\xfe"])
async def test_a_completion_that_cannot_be_read_is_not_given_to_the_client(
    upstream: tuple[str, type[_Upstream]], body: bytes
) -> None:
    base, handler = upstream
    handler.answer = body
    watch = Noted()
    async with serving(_hosted(base), watch) as port:
        answer = await ask(port, _completion())
    assert answer == b""
    assert watch.failures and watch.spokens == []


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b'{"messages": 3}'])
async def test_a_request_that_cannot_be_read_is_not_passed_on(
    upstream: tuple[str, type[_Upstream]], body: bytes
) -> None:
    base, handler = upstream
    watch = Noted()
    async with serving(_hosted(base), watch) as port:
        answer = await ask(port, _request("POST", "/v1/chat/completions", body))
    assert answer.startswith(b"HTTP/1.1 400")
    assert handler.asked == [] and watch.failures[0][0] == 400


async def test_a_provider_that_is_not_there_is_said_without_the_key() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    watch = Noted()
    async with serving(_hosted(f"http://127.0.0.1:{port}"), watch) as gateway:
        answer = await ask(gateway, _completion())
    assert answer.startswith(b"HTTP/1.1 502")
    assert watch.failures[0][0] == 0
    assert KEY not in str(watch.failures)


async def test_a_script_answers_in_this_process() -> None:
    seen: list[tuple[str, str]] = []

    def script(method: str, path: str, body: bytes) -> Payload:
        seen.append((method, path))
        return Payload(body=json.dumps(COMPLETION).encode())

    async with serving(ScriptedProvider(script), Noted()) as port:
        answer = await ask(port, _completion())
    assert answer.endswith(json.dumps(COMPLETION).encode())
    assert seen == [("POST", "/v1/chat/completions")]


@pytest.mark.parametrize(
    "raw",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
        b"content-length: 6\r\n\r\nhello",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n"
        b"transfer-encoding: chunked\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: " + b"b" * 200_000 + b"\r\n\r\n",
    ],
)
async def test_hostile_bytes_end_the_connection_and_nothing_else(
    upstream: tuple[str, type[_Upstream]], raw: bytes
) -> None:
    base, handler = upstream
    async with serving(_hosted(base), Noted()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw)
        writer.write_eof()
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                answered = await reader.read()
                assert not answered.startswith(b"HTTP/1.1 2")
        writer.close()
        assert handler.asked == []
        assert (await ask(port, _completion())).startswith(b"HTTP/1.1 200")


def test_a_key_that_is_missing_is_one_line() -> None:
    with pytest.raises(ClientError, match="in SOME_KEY, found none"):
        hosted("http://127.0.0.1", ("x-api-key", "{key}"), "SOME_KEY", {})
