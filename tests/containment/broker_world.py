"""A broker on a loopback listener, with one service that remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from custodes.containment._broker import Broker
from custodes.containment._broker_policy import AllowRule, EgressPolicy
from custodes.containment._broker_upstream import Upstream
from custodes.types import HttpHandler, HttpRequest, HttpResponse, JsonObject, canonical_json

SECRET = "sk-live-9f8e7d6c5b4a39281706"
DENIED = b'{"error":"destination not permitted by network policy"}'
SERVICE = "svc.internal"
POLICY = EgressPolicy(allow=(AllowRule(host=SERVICE),))

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T], *, seconds: float = 30) -> T:
    async def bounded() -> T:
        return await asyncio.wait_for(coroutine, seconds)

    return asyncio.run(bounded())


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Session:
    """One client connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def reply(self, *, head_only: bool = False) -> Reply:
        head = await self.reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head[:-4].decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = 0 if head_only else int(headers.get("content-length", "0"))
        body = await self.reader.readexactly(length)
        return Reply(int(status_line.split(" ")[1]), headers, body)

    async def ask(self, raw: bytes) -> Reply:
        await self.send(raw)
        return await self.reply()

    async def ended(self) -> bool:
        """Whether the broker closed the connection, sending nothing more."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass
class World:
    broker: Broker
    port: int
    records: list[tuple[str, JsonObject]]
    asked: list[HttpRequest]
    sessions: list[Session] = field(default_factory=list)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [dict(data) for found, data in self.records if found == kind]

    @property
    def last(self) -> dict[str, Any]:
        return self.of("net.request")[-1]

    async def connect(self) -> Session:
        session = Session(*await asyncio.open_connection("127.0.0.1", self.port))
        self.sessions.append(session)
        return session

    async def once(self, raw: bytes) -> Reply:
        """The first reply on a connection of its own."""
        session = await self.connect()
        try:
            return await session.ask(raw)
        finally:
            session.close()

    async def works(self) -> bool:
        """Whether the next, ordinary request is served."""
        reply = await self.once(get(f"http://{SERVICE}/works"))
        return reply.status == 200

    async def settled(self, kind: str, count: int = 1) -> None:
        async with asyncio.timeout(5):
            while len(self.of(kind)) < count:
                await asyncio.sleep(0.005)


def get(target: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    host = target.split("://", 1)[-1].split("/", 1)[0].split("?", 1)[0]
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(header.lower().startswith("host:") for header in headers):
        lines.append(f"Host: {host}")
    lines += headers
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@asynccontextmanager
async def world(
    *,
    handlers: Mapping[str, HttpHandler] | None = None,
    policy: EgressPolicy = POLICY,
    canaries: Mapping[str, str] | None = None,
    upstream: Upstream | None = None,
    hosts: tuple[str, ...] = (SERVICE,),
) -> AsyncIterator[World]:
    records: list[tuple[str, JsonObject]] = []
    asked: list[HttpRequest] = []

    def record(kind: str, data: JsonObject) -> None:
        canonical_json(data)  # raises for a fraction, a lone surrogate or anything not JSON
        records.append((kind, data))

    async def service(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        body = {"path": request.target, "got": len(request.body)}
        return HttpResponse(status=200, body=json.dumps(body).encode())

    broker = Broker(
        handlers=dict.fromkeys(hosts, service) if handlers is None else handlers,
        policy=policy,
        record=record,
        canaries=canaries or {},
        upstream=upstream,
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    await broker.serve(listener.detach())
    here = World(broker, port, records, asked)
    try:
        yield here
    finally:
        for session in here.sessions:
            session.close()
        await broker.close()
