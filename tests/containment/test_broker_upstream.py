"""The way outside: what a name leads to is checked, and the checked address is the one used."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from custodes.containment._broker_policy import AllowRule, EgressPolicy
from custodes.containment._broker_tls import NotTls, asked_server_name
from custodes.containment._broker_upstream import Credential, Upstream

from .broker_world import DENIED, SECRET, SERVICE, Session, get, run, world

PUBLIC = "93.184.215.14"
API_KEY = "sk-ant-api03-held-by-the-broker"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-From: there\r\n\r\nhello"
OPEN = EgressPolicy(
    allow=(AllowRule(host="*.example"), AllowRule(host="10.9.8.7")),
    connect_allowed=True,
    tunnels_tls_only=False,
    request_timeout_ms=800,
    idle_timeout_ms=800,
    max_response_bytes=100_000,
    max_request_bytes=100_000,
)


@dataclass
class Internet:
    """A name server that answers as told, and one host, whatever its address."""

    names: dict[str, list[Sequence[str]]]
    answer: bytes = ANSWER
    serve: Callable[[Session], Awaitable[None]] | None = None
    resolved: list[str] = field(default_factory=list)
    dialled: list[tuple[str, int, bool, str | None]] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    port: int = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.resolved.append(host)
        answers = self.names.get(host)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def dial(
        self, address: str, port: int, tls: ssl.SSLContext | None, name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.dialled.append((address, port, tls is not None, name))
        if address.endswith(".66"):
            raise ConnectionRefusedError
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def host(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer)
        try:
            if self.serve is not None:
                await self.serve(session)
            else:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.received.append(head + await reader.readexactly(length))
                await session.send(self.answer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def upstream(self, **credentials: Credential) -> Upstream:
        return Upstream(
            resolve=self.resolve,
            dial=self.dial,
            credentials={name.replace("_", "."): value for name, value in credentials.items()},
        )


@asynccontextmanager
async def internet(**kwargs: object) -> AsyncIterator[Internet]:
    names = kwargs.pop("names", {"www.example": [[PUBLIC]]})
    net = Internet(names, **kwargs)  # type: ignore[arg-type]
    server = await asyncio.start_server(net.host, "127.0.0.1", 0)
    net.port = server.sockets[0].getsockname()[1]
    try:
        yield net
    finally:
        server.close()


def test_a_permitted_request_goes_out_and_its_answer_comes_back() -> None:
    async def story() -> None:
        async with internet() as net, world(policy=OPEN, upstream=net.upstream()) as here:
            reply = await here.once(
                get("http://www.example:8080/a/../b?q", "X: y", method="POST", body=b"abc")
            )
            assert (reply.status, reply.body) == (200, b"hello")
            assert reply.headers["x-from"] == "there"
            assert net.dialled == [(PUBLIC, 8080, False, None)]
            (sent,) = net.received
            assert sent.startswith(b"POST /b?q HTTP/1.1\r\nhost: www.example:8080\r\nx: y\r\n")
            assert sent.endswith(b"\r\n\r\nabc")
            assert here.last["decision"] == "allowed"

    run(story())


def test_names_that_are_not_permitted_are_not_even_resolved() -> None:
    async def story() -> None:
        async with internet() as net, world(policy=OPEN, upstream=net.upstream()) as here:
            for target in ("http://stolen-data.evil.test/", "http://example/", "http://1.1.1.1/"):
                assert (await here.once(get(target))).body == DENIED
            assert net.resolved == []
            assert net.dialled == []

    run(story())


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["192.168.0.1"],
        ["100.100.100.200"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["2002:7f00:1::"],
        ["fe80::1%eth0"],
        ["fe80::1"],
        ["2606:4700::1%eth0"],
        ["::"],
        ["::7f00:1"],
        ["::ffff:0:127.0.0.1"],
        ["64:ff9b:1::7f00:1"],
        ["2001:0:4136:e378:8000:63bf:80ff:fffe"],
        ["ff02::1"],
        ["255.255.255.255"],
        ["198.18.0.1"],
        ["127.1"],
        ["0x7f000001"],
        ["fd00:ec2::254"],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        ["not an address"],
    ],
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_a_permitted_name_that_leads_inside_is_refused(addresses: list[str], method: str) -> None:
    async def story() -> None:
        names = {"www.example": [addresses]}
        async with (
            internet(names=names) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            target = "http://www.example/" if method == "GET" else "www.example:443"
            reply = await here.once(get(target, method=method))
            assert (reply.status, reply.body) == (403, DENIED)
            assert net.dialled == []
            assert (here.last["decision"], here.last["reason"]) == (
                "refused",
                "address_not_permitted",
            )

    run(story())


def test_rebinding_has_no_window() -> None:
    async def story() -> None:
        names: dict[str, list[Sequence[str]]] = {"www.example": [[PUBLIC], ["127.0.0.1"]]}
        async with (
            internet(names=names) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            # Resolved once, checked, connected to that: the second answer comes too late...
            assert (await here.once(get("http://www.example/"))).status == 200
            assert net.resolved == ["www.example"]
            assert net.dialled == [(PUBLIC, 80, False, None)]
            # ...and is checked in its turn by the next request.
            assert (await here.once(get("http://www.example/"))).status == 403
            assert net.dialled == [(PUBLIC, 80, False, None)]

    run(story())


def test_a_tunnel_opened_before_the_name_changed_keeps_its_address_and_the_next_is_checked() -> (
    None
):
    async def story() -> None:
        names: dict[str, list[Sequence[str]]] = {"www.example": [[PUBLIC], ["10.0.0.1"]]}
        async with (
            internet(names=names, serve=echoes) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            early = await here.connect()
            assert (await early.ask(get("www.example:443", method="CONNECT"))).status == 200
            late = await here.connect()
            assert (await late.ask(get("www.example:443", method="CONNECT"))).status == 403
            await early.send(b"still")
            assert await early.reader.readexactly(5) == b"still"
            assert net.dialled == [(PUBLIC, 443, False, None)]

    run(story())


def test_the_next_checked_address_is_tried_when_one_does_not_answer() -> None:
    async def story() -> None:
        names = {"www.example": [["8.8.8.66", PUBLIC]], "down.example": [["8.8.8.66"]]}
        async with (
            internet(names=names) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            assert (await here.once(get("http://www.example/"))).status == 200
            assert [address for address, *_ in net.dialled] == ["8.8.8.66", PUBLIC]
            for target in ("http://down.example/", "http://unknown.example/"):
                assert (await here.once(get(target))).status == 502
                assert here.last["reason"] == "upstream_failed"

    run(story())


def test_what_is_listed_is_reached_although_it_is_private() -> None:
    listed = EgressPolicy(allow=OPEN.allow, networks=("192.168.7.0/24",))

    async def story() -> None:
        names = {"www.example": [["192.168.7.1"]], "other.example": [["192.168.8.1"]]}
        async with (
            internet(names=names) as net,
            world(policy=listed, upstream=net.upstream()) as here,
        ):
            assert (await here.once(get("http://www.example/"))).status == 200
            assert (await here.once(get("http://other.example/"))).status == 403
            assert (await here.once(get("http://10.9.8.7/"))).status == 200
            assert (await here.once(get("http://10.9.8.8/"))).status == 403
            assert [address for address, *_ in net.dialled] == ["192.168.7.1", "10.9.8.7"]

    run(story())


def test_without_an_upstream_a_permitted_host_is_just_not_there() -> None:
    async def story() -> None:
        async with world(policy=OPEN) as here:
            for raw in (get("http://www.example/"), get("www.example:443", method="CONNECT")):
                reply = await here.once(raw)
                assert (reply.status, reply.body) == (502, b'{"error":"upstream not reachable"}')
                assert here.last["reason"] == "no_route"

    run(story())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "upstream_failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", "upstream_failed"),
        (b"nonsense\r\n\r\n", "upstream_failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "upstream_failed"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n", "upstream_failed"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 200_000, "response_too_large"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "upstream_failed"),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", "upstream_failed"),
    ],
)
def test_a_broken_answer_from_outside_becomes_one_proper_one(answer: bytes, reason: str) -> None:
    async def story() -> None:
        async with (
            internet(answer=answer) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            session = await here.connect()
            reply = await session.ask(get("http://www.example/"))
            assert reply.status == 502
            assert here.last["reason"] == reason
            assert here.last["decision"] == "allowed"
            assert not here.of("service.error")
            assert (await session.ask(get("http://nowhere/"))).status == 403

    run(story())


def test_a_silent_host_times_out() -> None:
    async def silent(session: Session) -> None:
        await session.reader.read()

    async def story() -> None:
        async with internet(serve=silent) as net, world(policy=OPEN, upstream=net.upstream()) as h:
            reply = await h.once(get("http://www.example/"))
            assert (reply.status, h.last["reason"]) == (504, "upstream_timeout")

    run(story())


def test_hop_by_hop_headers_and_framing_of_the_answer_are_our_own() -> None:
    answer = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-drop\r\nX-Drop: 1\r\n"
        b"Server: nginx\r\nProxy-Authenticate: Basic\r\nX-Keep: 2\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )

    async def story() -> None:
        async with (
            internet(answer=answer) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            reply = await here.once(get("http://www.example/"))
            assert reply.body == b"abc"
            assert reply.headers["content-length"] == "3"
            assert reply.headers["x-keep"] == "2"
            assert reply.headers["server"] == "proxy"
            assert not {"transfer-encoding", "x-drop", "proxy-authenticate"} & set(reply.headers)

    run(story())


# -- credentials -----------------------------------------------------------------------------------


def test_a_credential_is_added_outside_and_the_clients_own_is_dropped() -> None:
    async def story() -> None:
        names = {"api.example": [[PUBLIC]], "www.example": [[PUBLIC]]}
        credential = Credential(header="x-api-key", value=API_KEY)
        async with (
            internet(names=names) as net,
            world(policy=OPEN, upstream=net.upstream(api_example=credential)) as here,
        ):
            own = ("Authorization: Bearer stolen", "X-API-Key: own", "Cookie: a=b", "X-Keep: 1")
            # `Connection` may not be used to drop what the broker adds.
            reply = await here.once(get("http://api.example/v1", "Connection: x-api-key", *own))
            assert reply.status == 200
            assert net.dialled == [(PUBLIC, 443, True, "api.example")]
            sent = net.received[0].lower()
            assert f"x-api-key: {API_KEY}".encode() in sent
            assert sent.count(b"x-api-key") == 1
            assert b"stolen" not in sent
            assert b"cookie" not in sent
            assert b"x-keep: 1" in sent
            # It is for that host alone.
            await here.once(get("http://www.example/", "Authorization: Bearer mine"))
            assert API_KEY.encode() not in net.received[1]
            assert b"Bearer mine" in net.received[1]
            # A tunnel would let the client use its own.
            reply = await here.once(get("api.example:443", method="CONNECT"))
            assert (reply.status, reply.body) == (403, DENIED)
            assert API_KEY not in repr(here.records)
            assert API_KEY not in repr(credential)

    run(story())


@pytest.mark.parametrize(
    "reflect",
    [
        lambda key: (b"", key),
        lambda key: (b"X-Echo: " + key + b"\r\n", b""),
        lambda key: (b"", base64.b64encode(b"you sent " + key)),
        lambda key: (b"Content-Encoding: gzip\r\n", gzip.compress(key)),
    ],
)
def test_an_answer_that_shows_the_credential_is_withheld(
    reflect: Callable[[bytes], tuple[bytes, bytes]],
) -> None:
    header, body = reflect(API_KEY.encode())
    answer = b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s" % (header, len(body), body)

    async def story() -> None:
        credential = Credential(value=f"Bearer {API_KEY}")
        async with (
            internet(answer=answer) as net,
            world(policy=OPEN, upstream=net.upstream(www_example=credential)) as here,
        ):
            reply = await here.once(get("http://www.example/"))
            assert reply.status == 502
            assert API_KEY not in str(reply)
            assert here.last["reason"] == "credential_reflected"
            trace = await here.once(get("http://www.example/", method="TRACE"))
            assert trace.status == 405

    run(story())


@pytest.mark.parametrize(
    "wrong",
    [
        {"value": "Bearer a\r\nX: y" + API_KEY},
        {"value": ""},
        {"value": "Bearer short"},
        {"value": API_KEY, "header": "X-Api-Key"},
        {"value": API_KEY, "header": "a b"},
        {"value": API_KEY, "path_prefix": "v1"},
        {"value": API_KEY, "port": 0},
        {"value": API_KEY, "methods": frozenset({"get"})},
    ],
)
def test_a_credential_that_cannot_be_sent_is_refused_when_built(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="credential"):
        Credential(**wrong)  # type: ignore[arg-type]


def answer_of(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


KEY = API_KEY.encode()
PERCENT = "".join(f"%{byte:02x}" for byte in KEY).encode()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(
            answer_of(b"", b"Location: http://evil.example/?k=" + KEY, status=b"302 Found"),
            "credential_reflected",
            id="redirect",
        ),
        pytest.param(
            answer_of(b"", b"Location: /?k=" + PERCENT, status=b"302 Found"),
            "credential_reflected",
            id="redirect-percent-encoded",
        ),
        pytest.param(
            answer_of(b"bad key " + KEY, status=b"401 Unauthorized"),
            "credential_reflected",
            id="error-page",
        ),
        pytest.param(answer_of(b"", b"Set-Cookie: k=" + KEY), "credential_reflected", id="cookie"),
        pytest.param(answer_of(b"", KEY + b": 1"), "credential_reflected", id="header-name"),
        pytest.param(
            answer_of(gzip.compress(b"ok") + gzip.compress(KEY), b"Content-Encoding: x-gzip"),
            "credential_reflected",
            id="second-gzip-member",
        ),
        pytest.param(
            answer_of(b"\x0b\x02\x80okay\x03", b"Content-Encoding: br"),
            "answer_unsearchable",
            id="brotli",
        ),
        pytest.param(answer_of(b"x", b"Content-Encoding: zstd"), "answer_unsearchable", id="zstd"),
        pytest.param(
            answer_of(gzip.compress(b"x" * (9 << 20) + KEY), b"Content-Encoding: gzip"),
            "answer_unsearchable",
            id="gzip-over-the-limit",
        ),
        pytest.param(
            answer_of(gzip.compress(b"x" * 999)[:-9], b"Content-Encoding: gzip"),
            "answer_unsearchable",
            id="gzip-cut-short",
        ),
        pytest.param(
            answer_of(gzip.compress(gzip.compress(KEY)), b"Content-Encoding: gzip, gzip"),
            "credential_reflected",
            id="gzip-twice",
        ),
        pytest.param(
            answer_of(gzip.compress(gzip.compress(b"fine")), b"Content-Encoding: gzip, gzip"),
            "answer_unsearchable",
            id="gzip-twice-with-anything",
        ),
        pytest.param(
            answer_of(gzip.compress(b"") * 40 + gzip.compress(b"fine"), b"Content-Encoding: gzip"),
            "answer_unsearchable",
            id="many-gzip-members",
        ),
    ],
)
def test_no_answer_shows_the_credential_nor_may_do_so_unseen(answer: bytes, reason: str) -> None:
    async def story() -> None:
        credential = Credential(value=f"Bearer {API_KEY}")
        async with (
            internet(answer=answer) as net,
            world(policy=OPEN, upstream=net.upstream(www_example=credential)) as here,
        ):
            reply = await here.once(get("http://www.example/"))
            assert (reply.status, reply.body) == (502, b'{"error":"upstream not reachable"}')
            assert API_KEY not in str(reply)
            assert here.last["reason"] == reason

    run(story())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(answer_of(b"fine", status=b"200 " + KEY), id="reason-phrase"),
        pytest.param(
            b"HTTP/1.1 103 Early\r\nLink: " + KEY + b"\r\n\r\n" + answer_of(b"fine"), id="early"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"4;%b\r\nfine\r\n0\r\nX: %b\r\n\r\n" % (KEY, KEY),
            id="extension-and-trailer",
        ),
    ],
)
def test_what_a_host_says_beside_its_answer_is_not_passed_on(answer: bytes) -> None:
    async def story() -> None:
        credential = Credential(value=f"Bearer {API_KEY}")
        async with (
            internet(answer=answer) as net,
            world(policy=OPEN, upstream=net.upstream(www_example=credential)) as here,
        ):
            session = await here.connect()
            await session.send(get("http://www.example/", "Connection: close"))
            said = await session.reader.read()
            assert said.endswith(b"fine")
            assert KEY not in said

    run(story())


def test_an_answer_that_was_compressed_all_the_same_passes_when_it_is_clean() -> None:
    body = gzip.compress(b"fine ") + gzip.compress(b"enough")

    async def story() -> None:
        credential = Credential(value=f"Bearer {API_KEY}")
        async with (
            internet(answer=answer_of(body, b"Content-Encoding: gzip")) as net,
            world(policy=OPEN, upstream=net.upstream(www_example=credential)) as here,
        ):
            reply = await here.once(get("http://www.example/"))
            assert (reply.status, reply.body) == (200, body)
            assert reply.headers["content-encoding"] == "gzip"

    run(story())


def test_a_host_with_a_credential_is_not_asked_for_pieces_or_for_compressed_answers() -> None:
    async def story() -> None:
        credential = Credential(value=f"Bearer {API_KEY}", methods=frozenset({"GET"}))
        async with (
            internet() as net,
            world(policy=OPEN, upstream=net.upstream(www_example=credential)) as here,
        ):
            own = (
                "Accept-Encoding: br", "Range: bytes=0-5", "If-Range: x", "Authorization: own",
                "authorization: own", "X_API_Key: own", "X-HTTP-Method-Override: DELETE",
                "Connection: accept-encoding",
            )  # fmt: skip
            assert (await here.once(get("http://www.example/", *own))).status == 200
            lines = net.received[0].lower().split(b"\r\n")
            assert lines[1:-2] == [
                b"host: www.example",
                b"accept-encoding: identity",
                b"authorization: bearer " + KEY.lower(),
                b"connection: close",
            ]

    run(story())


@pytest.mark.parametrize(
    ("method", "target", "has"),
    [
        ("POST", "http://www.example:8080/v1/chat", True),
        ("POST", "http://www.example:8080/x/../v1", True),
        ("POST", "http://www.example:8080/v1x", False),
        ("POST", "http://www.example:8080/v1/../files", False),
        ("POST", "http://www.example:8080/v1/%2e%2e/files", False),
        ("POST", "http://www.example:8080/v1/..%2ffiles", False),
        ("GET", "http://www.example:8080/v1/chat", False),
        ("POST", "http://www.example:8081/v1/chat", False),
        ("POST", "http://www.example/v1/chat", False),
        ("POST", "http://sub.www.example:8080/v1/chat", False),
    ],
)
def test_a_credential_goes_to_its_host_port_method_and_path_only(
    method: str, target: str, has: bool
) -> None:
    async def story() -> None:
        credential = Credential(
            value=f"Bearer {API_KEY}", port=8080, methods=frozenset({"POST"}), path_prefix="/v1"
        )
        names = {"www.example": [[PUBLIC]], "sub.www.example": [[PUBLIC]]}
        async with (
            internet(names=names) as net,
            world(policy=OPEN, upstream=net.upstream(www_example=credential)) as here,
        ):
            reply = await here.once(get(target, "X-Api-Key: own", method=method))
            assert reply.status == 200
            (sent,) = net.received
            assert (KEY in sent) is has
            # Where it belongs, a key of the client's own never comes along, in scope or not.
            assert (b"own" in sent) is ("sub." in target)

    run(story())


def test_a_client_that_follows_a_redirect_leaves_the_credential_behind() -> None:
    answer = answer_of(b"", b"Location: http://other.example/next", status=b"307 Temporary")

    async def story() -> None:
        names = {"api.example": [[PUBLIC]], "other.example": [[PUBLIC]]}
        credential = Credential(value=f"Bearer {API_KEY}")
        async with (
            internet(names=names, answer=answer) as net,
            world(policy=OPEN, upstream=net.upstream(api_example=credential)) as here,
        ):
            reply = await here.once(get("http://api.example/"))
            assert reply.status == 307
            assert len(net.dialled) == 1  # it was not followed
            assert (await here.once(get(reply.headers["location"]))).status == 307
            assert KEY in net.received[0]
            assert KEY not in net.received[1]
            assert (await here.once(get("http://evil.test/next"))).status == 403

    run(story())


# -- tunnels ---------------------------------------------------------------------------------------


async def echoes(session: Session) -> None:
    while data := await session.reader.read(1000):
        await session.send(data)


def test_a_tunnel_carries_bytes_both_ways_and_is_counted_and_searched() -> None:
    async def story() -> None:
        async with (
            internet(serve=echoes) as net,
            world(policy=OPEN, upstream=net.upstream(), canaries={"k": SECRET}) as here,
        ):
            session = await here.connect()
            reply = await session.ask(get("www.example:443", method="CONNECT"))
            assert reply.status == 200
            for piece in ("abc", SECRET[:10], SECRET[10:]):
                await session.send(piece.encode())
                assert await session.reader.readexactly(len(piece)) == piece.encode()
            session.writer.write_eof()
            assert await session.reader.read() == b""
            await here.settled("net.tunnel")
            (tunnel,) = here.of("net.tunnel")
            assert tunnel == {
                "canaries": ["k"],
                "host": "www.example",
                "port": 443,
                "reason": "closed",
                "received_bytes": 3 + len(SECRET),
                "sent_bytes": 3 + len(SECRET),
            }
            assert (here.last["method"], here.last["status"]) == ("CONNECT", 200)

    run(story())


@pytest.mark.parametrize(
    ("target", "policy", "reason"),
    [
        ("www.example:443", EgressPolicy(allow=OPEN.allow), "connect_not_allowed"),
        ("www.other:443", OPEN, "host_not_listed"),
        ("93.184.215.14:443", OPEN, "ip_literal"),
        ("127.0.0.1:22", OPEN, "ip_literal"),
        ("[::1]:22", OPEN, "ip_literal"),
        (f"{SERVICE}:443", OPEN, "host_not_listed"),
        (
            "www.example:22",
            EgressPolicy(allow=(AllowRule(host="www.example", port=443),), connect_allowed=True),
            "port_not_listed",
        ),
        (
            "www.example:443",
            EgressPolicy(
                allow=(AllowRule(host="www.example", methods=frozenset({"GET", "POST"})),),
                connect_allowed=True,
            ),
            "method_not_listed",
        ),
        (
            "www.example:443",
            EgressPolicy(
                allow=(AllowRule(host="www.example", path_prefix="/v1"),), connect_allowed=True
            ),
            "path_not_listed",
        ),
        (
            f"{SERVICE}:443",
            EgressPolicy(allow=(AllowRule(host=SERVICE),), connect_allowed=True),
            "tunnel_to_service",
        ),
    ],
)
def test_tunnels_that_are_not_listed_are_not_dug(
    target: str, policy: EgressPolicy, reason: str
) -> None:
    async def story() -> None:
        async with internet() as net, world(policy=policy, upstream=net.upstream()) as here:
            session = await here.connect()
            reply = await session.ask(get(target, method="CONNECT") + b"early data")
            assert reply.status in {403, 502}
            assert await session.ended()
            assert here.last["reason"] == reason
            assert net.dialled == []
            assert not here.asked

    run(story())


async def takes_all(session: Session) -> None:
    while await session.reader.read(10_000):
        pass


async def pours(session: Session) -> None:
    while True:
        await session.send(b"x" * 10_000)


async def says_nothing(session: Session) -> None:
    await session.ended()


@pytest.mark.parametrize(
    ("serve", "sent", "reason"),
    [
        (takes_all, 150_000, "request_too_large"),
        (pours, 0, "response_too_large"),
        (says_nothing, 0, "idle"),
    ],
)
def test_tunnels_are_bounded_in_bytes_both_ways_and_in_silence(
    serve: Callable[[Session], Awaitable[None]], sent: int, reason: str
) -> None:
    async def story() -> None:
        async with (
            internet(serve=serve) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            session = await here.connect()
            await session.ask(get("www.example:443", method="CONNECT"))
            with contextlib.suppress(ConnectionError):
                for _ in range(sent // 1000):
                    await session.send(b"x" * 1000)
                while await session.reader.read(10_000):
                    pass
            await here.settled("net.tunnel")
            (tunnel,) = here.of("net.tunnel")
            assert tunnel["reason"] == reason
            assert max(tunnel["sent_bytes"], tunnel["received_bytes"]) < 120_000

    run(story())


def client_hello(name: str | None) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message, spread over many small records."""
    message = hello[5:]
    return b"".join(
        hello[:3] + len(message[at : at + size]).to_bytes(2, "big") + message[at : at + size]
        for at in range(0, len(message), size)
    )


def with_extension(hello: bytes, kind: int) -> bytes:
    """The same ClientHello with one more extension, as a single record."""
    message = hello[9:]
    at = 2 + 32
    for width in (1, 2, 1):  # session, cipher suites, compression methods
        at += width + int.from_bytes(message[at : at + width], "big")
    extensions = message[at + 2 :] + kind.to_bytes(2, "big") + b"\0\4abcd"
    message = message[:at] + len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(message).to_bytes(3, "big") + message
    return hello[:3] + len(message).to_bytes(2, "big") + message


TLS_ONLY = EgressPolicy(
    allow=OPEN.allow, connect_allowed=True, idle_timeout_ms=300, request_timeout_ms=700
)


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        pytest.param(client_hello("www.example"), None, id="own"),
        pytest.param(client_hello("WWW.Example"), None, id="own-in-capitals"),
        pytest.param(in_records(client_hello("www.example"), 7), None, id="own-in-pieces"),
        pytest.param(client_hello("evil.example"), "other_server_name", id="other"),
        pytest.param(
            in_records(client_hello("evil.example"), 7), "other_server_name", id="other-in-pieces"
        ),
        pytest.param(client_hello(None), "other_server_name", id="none"),
        pytest.param(with_extension(client_hello("www.example"), 0xFF01), None, id="one-more"),
        pytest.param(
            with_extension(client_hello("www.example"), 0xFE0D), "hidden_server_name", id="ech"
        ),
        pytest.param(
            with_extension(client_hello("www.example"), 0xFFCE), "hidden_server_name", id="esni"
        ),
        pytest.param(
            client_hello("www.example")[:5] + b"\x14\x03\x01\x00\x01\x01", "not_tls", id="mixed"
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "not_tls", id="http"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "not_tls", id="ssh"),
        pytest.param(b"\x17" + client_hello("www.example")[1:], "not_tls", id="other-record"),
        pytest.param(b"\x16\x02" + client_hello("www.example")[2:], "not_tls", id="other-version"),
        pytest.param(b"\x16\x03\x01\x00\x00", "not_tls", id="empty-record"),
        pytest.param(b"\x16\x03\x01\x00\x05\x02\x00\x00\x01x", "not_tls", id="other-message"),
        pytest.param(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff", "not_tls", id="huge"),
        pytest.param(client_hello("www.example")[:40], "idle", id="unfinished"),
    ],
)
@pytest.mark.parametrize("size", [1 << 16, 9])
def test_a_tunnel_must_ask_for_the_host_it_was_opened_to(
    greeting: bytes, reason: str | None, size: int
) -> None:
    """Domain fronting: connect to a permitted name, ask the front end for another."""
    got: list[bytes] = []

    async def takes(session: Session) -> None:
        while data := await session.reader.read(10_000):
            got.append(data)
            await session.send(b"ok")

    async def story() -> None:
        async with (
            internet(serve=takes) as net,
            world(policy=TLS_ONLY, upstream=net.upstream()) as here,
        ):
            session = await here.connect()
            await session.ask(get("www.example:443", method="CONNECT"))
            try:
                for at in range(0, len(greeting), size):
                    await session.send(greeting[at : at + size])
            except ConnectionError:
                pass
            if reason is None:
                assert await session.reader.readexactly(2) == b"ok"
                await session.send(b"more")
                assert await session.reader.readexactly(2) == b"ok"
                assert b"".join(got) == greeting + b"more"
            else:
                assert await session.ended()
                await here.settled("net.tunnel")
                assert here.of("net.tunnel")[0]["reason"] == reason
                assert got == []

    run(story())


def test_the_server_name_reader_takes_every_cut_of_its_message_calmly() -> None:
    hello = client_hello("www.example")
    assert asked_server_name(hello) == "www.example"
    for end in range(len(hello)):
        assert asked_server_name(hello[:end]) is None
    for at in range(len(hello)):
        for bit in (1, 128):
            changed = bytearray(hello)
            changed[at] ^= bit
            try:
                name = asked_server_name(bytes(changed))
            except NotTls:
                continue
            assert name is None or isinstance(name, str)


def test_the_cut_ends_tunnels_and_connections_outside() -> None:
    async def story() -> None:
        ended: list[bool] = []

        async def watches(session: Session) -> None:
            await session.send(await session.reader.read(10))
            ended.append(await session.ended())

        async with (
            internet(serve=watches) as net,
            world(policy=OPEN, upstream=net.upstream()) as here,
        ):
            session = await here.connect()
            await session.ask(get("www.example:443", method="CONNECT"))
            await session.send(b"hello")
            await session.reader.readexactly(5)
            receipt = here.broker.cut()
            assert (receipt.connections, receipt.in_flight, receipt.upstream) == (1, 1, 1)
            assert await session.ended()
            await here.settled("net.tunnel")
            assert here.of("net.tunnel")[0]["reason"] == "cut"
            async with asyncio.timeout(3):
                while not ended:
                    await asyncio.sleep(0.01)
            assert ended == [True]

    run(story())


# -- clients as they are ---------------------------------------------------------------------------


def test_the_standard_library_as_client() -> None:
    async def story() -> None:
        async with world() as here:
            proxies = {"http": f"http://127.0.0.1:{here.port}"}

            def ask() -> tuple[int, bytes, int]:
                opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
                with opener.open(f"http://{SERVICE}/a?b=c", data=b"body", timeout=5) as reply:
                    good = reply.status, reply.read()
                try:
                    opener.open("http://other.example/", timeout=5)
                except urllib.error.HTTPError as error:
                    return *good, error.code
                raise AssertionError("was not denied")

            status, body, denied = await asyncio.to_thread(ask)
            assert (status, denied) == (200, 403)
            assert b'"path": "/a?b=c"' in body
            assert here.asked[0].body == b"body"

    run(story())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_as_client() -> None:
    async def story() -> None:
        async with world(policy=OPEN, handlers={}) as here:
            codes = {}
            for name, arguments in {
                "http": ["http://www.example/"],
                "tunnel": ["-p", "http://www.example/"],
                "https": ["https://www.example/"],
                "denied": ["http://www.evil/"],
                "upload": ["--data-binary", "x" * 90_000, "http://www.example/"],
                "escape": ["--path-as-is", "http://www.example/a/../../b"],
            }.items():
                proxy = f"http://127.0.0.1:{here.port}"
                process = await asyncio.create_subprocess_exec(
                    "curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}",
                    "-x", proxy, *arguments, stdout=asyncio.subprocess.PIPE,
                )  # fmt: skip
                out, _ = await process.communicate()
                codes[name] = out.decode()
            assert codes == {
                "http": "502 000",
                "tunnel": "000 502",
                "https": "000 502",
                "denied": "403 000",
                "upload": "502 000",
                "escape": "502 000",
            }
            assert here.last["path"] == "/b"
            assert here.of("net.request")[4]["request_bytes"] == 90_000

    run(story())
