"""A tunnel (CONNECT): bytes both ways, counted, bounded, and searched on the way out."""

from __future__ import annotations

import asyncio
import time
from typing import NoReturn

from custodes.types import JsonObject

from ._broker_canary import CanaryMatcher
from ._broker_policy import EgressPolicy, parse_ip_literal
from ._broker_tls import LONGEST_HELLO, NameHidden, NotTls, asked_server_name

_READ_BYTES = 16384


class Tunnel:
    """Bytes both ways, counted, bounded and searched on the way out."""

    def __init__(self, host: str, policy: EgressPolicy, matcher: CanaryMatcher) -> None:
        self._host = host
        self._policy = policy
        self._matcher = matcher
        self._window = b""
        self._moved = 0.0
        self.sent = 0
        self.received = 0
        self.canaries: set[str] = set()
        self.reason = "closed"

    async def run(
        self,
        inner: asyncio.StreamReader,
        to_inner: asyncio.StreamWriter,
        outer: asyncio.StreamReader,
        to_outer: asyncio.StreamWriter,
        early: bytes,
    ) -> None:
        """Carry until both sides are done, one breaks, a limit is reached, or nothing moves."""
        self._moved = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(self._watch())
                ways = [
                    group.create_task(self._send_out(inner, to_outer, early)),
                    group.create_task(self._send_in(outer, to_inner)),
                ]
                for way in ways:
                    await way
                watch.cancel()
        except* (_Enough, OSError):
            pass

    async def _watch(self) -> None:
        seconds = self._policy.idle_timeout_ms / 1000
        while (quiet := time.monotonic() - self._moved) < seconds:
            await asyncio.sleep(seconds - quiet)
        self._stop("idle")

    def _stop(self, reason: str) -> NoReturn:
        self.reason = reason
        raise _Enough

    async def _send_out(
        self, inner: asyncio.StreamReader, outer: asyncio.StreamWriter, early: bytes
    ) -> None:
        data = early or await inner.read(_READ_BYTES)
        greeting = b"" if self._policy.tunnels_tls_only else None
        while data:
            self._moved = time.monotonic()
            self._count_out(data)
            if greeting is not None:
                # Nothing passes before it is known whom the client means to talk to.
                greeting += data
                if self._greets_right(greeting):
                    data, greeting = greeting, None
            if greeting is None:
                outer.write(data)
                await outer.drain()
            data = await inner.read(_READ_BYTES)
        outer.write_eof()

    def _count_out(self, data: bytes) -> None:
        self.sent += len(data)
        if self._matcher.names:
            self.canaries |= self._matcher.find(self._window + data)
            self._window = (self._window + data)[-max(4096, 16 * self._matcher.longest) :]
        if self.sent > self._policy.max_request_bytes:
            self._stop("request_too_large")

    def _greets_right(self, greeting: bytes) -> bool:
        try:
            name = asked_server_name(greeting)
        except NameHidden:
            self._stop("hidden_server_name")
        except NotTls:
            self._stop("not_tls")
        if name is None and len(greeting) > LONGEST_HELLO:
            self._stop("not_tls")
        # A client that connects to an address has no name to ask for.
        expected = "" if parse_ip_literal(self._host) is not None else self._host
        if name is not None and name != expected:
            self._stop("other_server_name")
        return name is not None

    async def _send_in(self, outer: asyncio.StreamReader, inner: asyncio.StreamWriter) -> None:
        while data := await outer.read(_READ_BYTES):
            self._moved = time.monotonic()
            self.received += len(data)
            if self.received > self._policy.max_response_bytes:
                self._stop("response_too_large")
            inner.write(data)
            await inner.drain()
        if inner.can_write_eof():
            inner.write_eof()

    def as_json(self, port: int, *, cut: bool) -> JsonObject:
        """The record of the whole tunnel."""
        return {
            "canaries": sorted(self.canaries),
            "host": self._host,
            "port": port,
            "reason": "cut" if cut else self.reason,
            "received_bytes": self.received,
            "sent_bytes": self.sent,
        }


class _Enough(Exception):
    """A tunnel reached one of its limits."""
