"""Attacks on the broker from inside: what is not HTTP/1.1, what is slow, what misleads servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from custodes.containment._broker_log import BrokerLog, verify_broker_log
from custodes.containment._broker_policy import AllowRule, EgressPolicy
from custodes.types import HttpRequest, HttpResponse

from .broker_world import POLICY, SERVICE, get, run, world

SMUGGLED = get(f"http://{SERVICE}/smuggled")
CHUNKED = get(f"http://{SERVICE}/", "Transfer-Encoding: chunked", method="POST")


# -- other protocols -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="),
        ("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"),
        ("Upgrade: TLS/1.0", "Connection: Upgrade"),
    ],
)
def test_no_connection_changes_its_protocol(headers: tuple[str, ...]) -> None:
    async def story() -> None:
        async with world() as here:
            session = await here.connect()
            reply = await session.ask(get(f"http://{SERVICE}/", *headers))
            assert reply.status == 200
            (asked,) = here.asked
            assert not {"upgrade", "connection", "http2-settings"} & dict(asked.headers).keys()
            # What follows is read as HTTP/1.1, and frames of the other protocol are not that.
            reply = await session.ask(b"\x81\x05hello" + SMUGGLED)
            assert reply.status == 400
            assert await session.ended()
            assert len(here.asked) == 1

    run(story())


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", id="http-2-preface"),
        pytest.param(f"GET http://{SERVICE}/\r\n".encode(), id="http-0.9"),
        pytest.param(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", id="tls"),
        pytest.param(b"\x05\x01\x00", id="socks5"),
        pytest.param(b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00", id="socks4"),
        pytest.param(b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n" + SMUGGLED, id="proxy-protocol"),
        pytest.param(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0" + SMUGGLED, id="proxy-protocol-2"),
        pytest.param(b"SSH-2.0-x\r\n" + SMUGGLED, id="ssh"),
        pytest.param(b"EHLO x\r\n" + SMUGGLED, id="smtp"),
        pytest.param(b"TRACK / HTTP/1.1\r\nHost: svc.internal\r\n\r\n", id="track"),
    ],
)
def test_what_is_not_http_1_goes_nowhere(raw: bytes) -> None:
    async def story() -> None:
        async with world(policy=replace(POLICY, head_timeout_ms=200)) as here:
            session = await here.connect()
            reply = await session.ask(raw)
            assert reply.status in {400, 405, 408, 505}
            assert not here.asked
            assert here.last["decision"] == "refused"
            assert await here.works()

    run(story())


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n", 200, id="extension-and-trailer"),
        pytest.param(b"0\r\nContent-Length: 9\r\nHost: evil\r\n\r\n", 200, id="framing-trailers"),
        pytest.param(b"0\r\n\n", 400, id="bare-end"),
        pytest.param(b"0\r\nX: y\n\n", 400, id="bare-end-of-trailer"),
        pytest.param(b"0\r\nX: y\n\r\n", 400, id="bare-line-of-trailer"),
        pytest.param(b"0\r\nX: y\r\n z\r\n\r\n", 400, id="folded-trailer"),
        pytest.param(b"5\nhello\n0\n\n", 408, id="bare-chunks"),
        pytest.param(b"5\r\nhello0\r\n\r\n", 400, id="no-end-of-chunk"),
        pytest.param(b" 5\r\nhello\r\n0\r\n\r\n", 400, id="space-before-size"),
        pytest.param(b"+5\r\nhello\r\n0\r\n\r\n", 400, id="plus"),
        pytest.param(b"5_0\r\nhello\r\n0\r\n\r\n", 400, id="underscore"),
        pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n", 400, id="prefix"),
        pytest.param(b"\r\n0\r\n\r\n", 400, id="no-size"),
        pytest.param(b"ffffffffffffffff\r\nhello", 408, id="huge-and-unfinished"),
        pytest.param(b"100000005\r\nhello\r\n0\r\n\r\n", 408, id="over-32-bits"),
        pytest.param(b"5;" + b"e" * 100_000 + b"\r\nhello", 400, id="endless-extension"),
    ],
)
def test_chunks_are_read_one_way_only(body: bytes, status: int) -> None:
    async def story() -> None:
        async with world(policy=replace(POLICY, head_timeout_ms=200)) as here:
            session = await here.connect()
            reply = await session.ask(CHUNKED + body)
            assert reply.status == status
            if status == 200:
                assert not {"x", "trailer"} & dict(here.asked[0].headers).keys()
                assert here.asked[0].host == SERVICE
                assert (await session.ask(get(f"http://{SERVICE}/next"))).status == 200
            else:
                assert not here.asked
                assert await session.ended()

    run(story())


def test_what_is_pipelined_behind_a_denial_is_judged_and_behind_a_doubt_is_not_read() -> None:
    async def story() -> None:
        async with world() as here:
            session = await here.connect()
            good = get(f"http://{SERVICE}/after")
            await session.send(get("http://evil.example/") + good + get("http://127.1/") + good)
            assert [(await session.reply()).status for _ in range(4)] == [403, 200, 400, 200]
            await session.send(get(f"http://{SERVICE}/", " X: folded") + good * 3)
            assert (await session.reply()).status == 400
            assert await session.ended()
            assert len(here.asked) == 2
            assert len(here.of("net.request")) == 5

    run(story())


# -- headers that servers believe more than the request line ---------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "x_http_method_override",
    ],
)
def test_a_method_that_is_asked_for_in_a_header_must_be_permitted_too(name: str) -> None:
    policy = EgressPolicy(
        allow=(AllowRule(host=SERVICE, methods=frozenset({"GET", "POST", "PUT"})),)
    )

    async def story() -> None:
        async with world(policy=policy) as here:
            for value, status in (("DELETE", 403), ("delete", 403), ("a b", 400), ("PUT", 200)):
                raw = get(f"http://{SERVICE}/", f"{name}: {value}", method="POST")
                assert (await here.once(raw)).status == status
            twice = get(f"http://{SERVICE}/", f"{name}: PUT", f"{name}: DELETE", method="POST")
            assert (await here.once(twice)).status == 403
            assert here.last["reason"] == "method_not_listed"
            assert len(here.asked) == 1

    run(story())


@pytest.mark.parametrize(
    "name",
    [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X_Rewrite_URL",
        "X-Forwarded-Host",
        "X-Forwarded-For",
        "X-Host",
        "Forwarded",
        "X-Real-IP",
        "Transfer_Encoding",
        "Content_Length",
        "Proxy_Authorization",
    ],
)
def test_headers_that_tell_another_story_are_not_passed_on(name: str) -> None:
    async def story() -> None:
        async with world() as here:
            reply = await here.once(get(f"http://{SERVICE}/", f"{name}: chunked", "X-Kept: yes"))
            assert reply.status == 200
            assert dict(here.asked[0].headers) == {"x-kept": "yes"}
            assert here.asked[0].body == b""

    run(story())


# -- slow, half open, and many ---------------------------------------------------------------------

IMPATIENT = replace(
    POLICY, max_connections=8, head_timeout_ms=300, idle_timeout_ms=300, request_timeout_ms=300
)


def test_connections_held_by_slow_heads_come_free_again() -> None:
    async def story() -> None:
        async with world(policy=IMPATIENT) as here:
            held = [await here.connect() for _ in range(IMPATIENT.max_connections)]
            for session in held:
                await session.send(b"GET http://svc.internal/ HTTP/1.1\r\nX: ")
            await here.settled("net.request", len(held))
            assert {record["reason"] for record in here.of("net.request")} == {"head_timeout"}
            async with asyncio.timeout(5):
                while here.broker._clients:
                    await asyncio.sleep(0.01)
            assert await here.works()

    run(story())


def test_half_open_connections_get_their_answer_and_end() -> None:
    async def story() -> None:
        async with world(policy=IMPATIENT) as here:
            done_sending = await here.connect()
            await done_sending.send(get(f"http://{SERVICE}/"))
            done_sending.writer.write_eof()
            assert (await done_sending.reply()).status == 200
            assert await done_sending.ended()
            for raw in (b"", get(f"http://{SERVICE}/")):
                silent = await here.connect()
                await silent.send(raw)
                if raw:
                    assert (await silent.reply()).status == 200
                assert await silent.ended()
            assert not here.broker._clients
            assert not here.of("service.error")

    run(story())


def test_who_does_not_take_an_answer_is_dropped_and_holds_little() -> None:
    async def large(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=200, body=b"x" * (8 << 20))

    async def story() -> None:
        async with world(handlers={SERVICE: large}, policy=IMPATIENT) as here:
            slow = await here.connect()
            transport = slow.writer.transport
            transport.pause_reading()  # type: ignore[attr-defined]
            await slow.send(get(f"http://{SERVICE}/") * 50)
            async with asyncio.timeout(10):
                while not here.of("net.request") or here.broker._clients:
                    await asyncio.sleep(0.01)
            assert len(here.of("net.request")) == 1
            assert here.broker._held_bytes == 0

    run(story())


def test_answers_read_a_little_at_a_time_end_by_the_clock() -> None:
    async def large(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=200, body=b"x" * (8 << 20))

    async def story() -> None:
        async with world(handlers={SERVICE: large}, policy=IMPATIENT) as here:
            slow = await here.connect()
            await slow.send(get(f"http://{SERVICE}/", "Connection: close"))
            async with asyncio.timeout(10):
                await here.settled("net.request")
                while here.broker._clients:  # it reads on all the while
                    with contextlib.suppress(ConnectionError):
                        await slow.reader.read(100)
                    await asyncio.sleep(0.02)
            assert here.broker._held_bytes == 0

    run(story())


def test_more_requests_a_second_than_permitted_get_429() -> None:
    policy = EgressPolicy(allow=(AllowRule(host=SERVICE),), requests_per_second=5)

    async def story() -> None:
        async with world(policy=policy) as here:
            statuses = [(await here.once(get(f"http://{SERVICE}/"))).status for _ in range(5)]
            assert statuses == [200] * 5
            for _ in range(100):  # however slow this machine is, it is faster than that
                if (await here.once(get(f"http://{SERVICE}/"))).status == 429:
                    break
            assert here.last["reason"] == "request_rate"
            await asyncio.sleep(0.5)
            assert await here.works()

    run(story())


# -- the record ------------------------------------------------------------------------------------

NASTY = (
    get('http://a"},{"kind":"net.cut/'),
    get("http://evil.example/%0a%0d%22%7d"),
    b"GET http://evil.example/\x0a{} HTTP/1.1\r\n\r\n",
    b"GET http://evil.example\r\n{}:80/ HTTP/1.1\r\n\r\n",
    "GET http://\u2028\u202e.example/ HTTP/1.1\r\n\r\n".encode(),
    get("http://evil.example/", 'Content-Encoding: \xff\x80"}'),
    get("http://evil.example/", 'Content-Encoding: br"}\\', method="POST", body=b"\n{}\n"),
    b"\xff\xfe\n{}\n",
    b"GET http://evil.example/\x1b[2J HTTP/1.1\r\n\r\n",
    get("http://evil.example/" + "a" * 20_000),
)


def test_nothing_that_is_sent_can_write_lines_of_the_log(tmp_path: Path) -> None:
    log = BrokerLog(tmp_path / "log")

    async def story() -> None:
        async with world() as here:
            here.broker._record = log
            for raw in NASTY:
                await here.once(raw)
            await here.broker.close()

    run(story())
    head = log.close()
    content = log.path.read_bytes()
    verified = verify_broker_log(log.path, expected=head)
    assert [kind for kind, _ in verified.events] == ["net.request"] * len(NASTY) + ["net.summary"]
    lines = content.splitlines()
    assert len(lines) == len(NASTY) + 3
    for line in lines:
        assert len(line) < 4096
        assert json.dumps(json.loads(line)).isprintable()


def test_a_broker_is_not_reached_through_itself() -> None:
    """A proxy that connects to itself would multiply each request."""
    policy = EgressPolicy(allow=(AllowRule(host="*.example"),), connect_allowed=True)

    async def story() -> None:
        async with world(policy=policy) as here:
            own = f"127.0.0.1:{here.port}"
            for raw in (
                get(f"http://{own}/"),
                get(own, method="CONNECT"),
                get(f"http://[::1]:{here.port}/"),
            ):
                assert (await here.once(raw)).status == 403
            assert here.broker.requests == 3

    run(story())
