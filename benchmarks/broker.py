"""What the egress broker costs: one request after the other on one connection, and bodies.

    python benchmarks/broker.py [--requests N]

Compared with a bare asyncio server that reads up to the end of the head and answers the same bytes,
in the same process and event loop, so that both pay for the client alike: first in place of it,
then in front of it, where each request is resolved, checked and dialled anew and may get a
credential. Every request is written to a chained log. The target is 2 ms added per request. Then
the canary search by itself, over data of different kinds, and one alternation of `re` instead of
`bytes in bytes`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import re
import socket
import ssl
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from custodes.containment._broker import Broker
from custodes.containment._broker_canary import CanaryMatcher
from custodes.containment._broker_log import BrokerLog
from custodes.containment._broker_policy import AllowRule, EgressPolicy
from custodes.containment._broker_upstream import Credential, Upstream
from custodes.types import HttpRequest, HttpResponse

HOST = "svc.internal"
CANARIES = {f"canary-{number}": f"sk-{number}-9f8e7d6c5b4a39281706" for number in range(5)}
PROSE = " ".join(f"Record {number} was checked by the night shift." for number in range(2500))
LENGTH = re.compile(rb"(?i)content-length: (\d+)")
ANSWER = json.dumps({"ok": True, "text": "x" * 200}).encode()


def request(body: bytes) -> bytes:
    head = (
        f"POST http://{HOST}/v1/records?page=2 HTTP/1.1\r\nHost: {HOST}\r\n"
        "User-Agent: benchmark\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def handler(_: HttpRequest) -> HttpResponse:
    return HttpResponse(status=200, body=ANSWER)


async def bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            await reader.readexactly(int(length.group(1)) if length else 0)
            writer.write(answer)
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()


async def ask(port: int, raw: bytes, count: int) -> list[float]:
    """Seconds of each of ``count`` requests in a row on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took = []
    for _ in range(count):
        started = time.perf_counter()
        writer.write(raw)
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length is not None and head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(int(length.group(1)))
        took.append(time.perf_counter() - started)
    writer.close()
    return took


async def through_broker(
    canaries: dict[str, str], log: BrokerLog, run: Callable[[int], Awaitable[list[float]]]
) -> list[float]:
    policy = EgressPolicy(allow=(AllowRule(host=HOST),), requests_per_episode=10**6)
    broker = Broker(handlers={HOST: handler}, policy=policy, record=log, canaries=canaries)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    await broker.serve(listener.detach())
    took = await run(port)
    await broker.close()
    return took


@dataclass(frozen=True)
class Took:
    """Wall time of each request, and processor time of one on average, seconds."""

    wall: list[float]
    cpu: float


async def timed(run: Awaitable[list[float]]) -> Took:
    started = time.process_time()
    wall = await run
    return Took(wall, (time.process_time() - started) / len(wall))


def show(name: str, took: Took, base: Took | None = None) -> None:
    middle = statistics.median(took.wall) * 1e3
    late = statistics.quantiles(took.wall, n=100)[98] * 1e3
    cpu = took.cpu * 1e3
    against = ""
    if base is not None:
        direct = statistics.median(base.wall) * 1e3
        against = (
            f"   {middle / direct:6.1f} x, {middle - direct:+.2f} ms, "
            f"processor {cpu - base.cpu * 1e3:+.2f} ms"
        )
    print(f"{name:34} {middle:7.2f} ms median {late:7.2f} ms 99th {cpu:6.2f} ms cpu{against}")


async def requests(count: int, folder: Path) -> None:
    server = await asyncio.start_server(bare, "127.0.0.1", 0, limit=1 << 22)
    bare_port = server.sockets[0].getsockname()[1]
    for size in (0, 1_000, 100_000):
        body = json.dumps({"text": PROSE[:size]}).encode() if size else b""
        raw = request(body)
        turns = count if size < 100_000 else max(10, count // 20)

        async def run(port: int, raw: bytes = raw, turns: int = turns) -> list[float]:
            return await ask(port, raw, turns)

        base = await timed(run(bare_port))
        show(f"bare server, body of {size}", base)
        for name, canaries in (("no canaries", {}), ("5 canaries", CANARIES)):
            log = BrokerLog(folder / f"{size}-{len(canaries)}")
            took = await timed(through_broker(canaries, log, run))
            show(f"broker, {name}", took, base)
            log.close()
    server.close()


async def outside(count: int, folder: Path) -> None:
    """To a server outside: directly, over one connection or one for each request, and through."""
    server = await asyncio.start_server(bare, "127.0.0.1", 0, limit=1 << 22)
    port = server.sockets[0].getsockname()[1]
    raw = request(json.dumps({"text": PROSE[:1000]}).encode())

    async def anew(port: int) -> list[float]:
        took = []
        for _ in range(count):
            started = time.perf_counter()
            await ask(port, raw, 1)
            took.append(time.perf_counter() - started)
        return took

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def dial(
        address: str, _: int, tls: ssl.SSLContext | None, name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(address, port)

    kept = await timed(ask(port, raw, count))
    show("server outside, one connection", kept)
    base = await timed(anew(port))
    show("server outside, one each", base)
    key = Credential(value="Bearer sk-9f8e7d6c5b4a39281706", tls=False)
    for name, credentials in (("no credential", {}), ("a credential", {HOST: key})):
        log = BrokerLog(folder / name)
        broker = Broker(
            handlers={},
            policy=EgressPolicy(
                allow=(AllowRule(host=HOST),),
                networks=("127.0.0.1/32",),
                requests_per_episode=10**6,
            ),
            record=log,
            canaries=CANARIES,
            upstream=Upstream(resolve=resolve, dial=dial, credentials=credentials),
        )
        listener = socket.create_server(("127.0.0.1", 0))
        at = listener.getsockname()[1]
        await broker.serve(listener.detach())
        show(f"through the broker, {name}", await timed(ask(at, raw, count)), base)
        await broker.close()
        log.close()
    server.close()


def searches() -> None:
    matcher = CanaryMatcher(CANARIES)
    source = random.Random(1)
    kinds = {
        "one letter, 5 kB": b"y" * 5000,
        "text, 1 kB": b"the quick brown fox jumps over the lazy dog\n" * 25,
        "JSON, 75 kB": json.dumps(
            [{"a": n / 7, "name": "hello world"} for n in range(1800)]
        ).encode(),
        "random, 4 MB": source.randbytes(4 << 20),
        "base64, 4 MB": base64.b64encode(source.randbytes(3 << 20)),
        "all percent-encoded, 3 MB": b"%41" * (1 << 20),
    }
    for name, data in kinds.items():
        times = []
        for _ in range(3):
            started = time.perf_counter()
            matcher.find(data)
            times.append(time.perf_counter() - started)
        print(f"canary search, {name:27} {min(times) * 1e3:9.2f} ms")
    needles = [*matcher._exact, *matcher._folded, *matcher._compact]
    data = source.randbytes(1 << 19).hex().encode()
    started = time.perf_counter()
    re.compile(b"|".join(map(re.escape, needles))).search(data)
    pattern = time.perf_counter() - started
    started = time.perf_counter()
    assert not any(needle in data for needle in needles)
    scan = time.perf_counter() - started
    print(
        f"{len(needles)} needles in 1 MB: one re alternation {pattern * 1e3:.0f} ms, "
        f"`in` for each {scan * 1e3:.0f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    count = parser.parse_args().requests
    with TemporaryDirectory() as folder:
        asyncio.run(requests(count, Path(folder)))
        asyncio.run(outside(count, Path(folder)))
    searches()


if __name__ == "__main__":
    main()
