"""The egress broker: the one way out of a sandbox, and the record of who took it.

It runs on the host and accepts on a listening socket that was bound inside the sandbox's network
namespace, so inside there is no bridge process to attack, only an ordinary HTTP proxy. What comes
in is untrusted; the rules are:

- a request is read strictly, brought to one form, judged on that form, and passed on in that form;
- whatever is not permitted gets the same words, whether or not the destination exists;
- every request is recorded before its answer is sent; when the record cannot be written, the
  broker cuts itself off.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import h11

from custodes.types import HttpHandler, HttpRequest, HttpResponse, JsonObject

from ._broker_answer import ServiceFailed, check_answer, neutral_answer, render
from ._broker_canary import CanaryMatcher, CanaryTrail
from ._broker_policy import Decision, EgressPolicy, Refusal, parse_host
from ._broker_record import CutReceipt, Exchange
from ._broker_tunnel import Tunnel
from ._broker_upstream import Upstream, UpstreamError, reset_connection, reset_socket
from ._broker_wire import Head, check_trailers, find_head_end, parse_destination, parse_head

_READ_BYTES = 16384
_DRAIN_BYTES = 1 << 20
_DRAIN_SECONDS = 0.5
# Beyond the first, chunks must carry this much on average: one-byte chunks cost the host far more
# time than they cost the sender.
_FREE_CHUNKS = 1024
_MEAN_CHUNK_BYTES = 64
# Bytes; above this a search would hold up the other connections for milliseconds.
_SEARCHED_IN_THREAD = 64 << 10
# Refusals over the quota that are still recorded one by one; the rest are only counted, or an agent
# could fill the disk with its own refusals.
_RECORDED_OVER_QUOTA = 100
_ACCEPTED_AT_ONCE = 16  # then the open connections have their turn, whatever the flood


class _RecordFailed(Exception):
    """The record could not be written."""


class _CutOff(Exception):
    """The broker was cut while this request was under way."""


@dataclass(eq=False, slots=True)
class _Client:
    """One connection from inside."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    task: asyncio.Task[None] | None = None
    buffer: bytearray = field(default_factory=bytearray)
    busy: bool = False


class _Pace:
    """Lets pass so many in a second, on average and at once."""

    def __init__(self, per_second: int | None) -> None:
        self._per_second = per_second
        self._left = float(per_second or 0)
        self._counted = time.monotonic()

    def permits(self) -> bool:
        if self._per_second is None:
            return True
        now = time.monotonic()
        gained = (now - self._counted) * self._per_second
        self._left = min(float(self._per_second), self._left + gained)
        self._counted = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Broker:
    """An HTTP/1.1 forward proxy that denies by default and records everything.

    Args:
        handlers: lower-case host name to the in-process service that answers for it, on any port.
            The policy applies to them as to the outside: a service that no rule covers is denied.
        policy: what is permitted.
        record: takes the kind and the data of each event, in order; see below. Where it raises,
            the broker answers nothing more and cuts itself off.
        canaries: name to secret; recorded by name wherever one appears.
        upstream: the way to hosts without a handler; without it they answer 502.

    Records, of integers and text only:

    - ``net.request``: host, port, method, path (normalised, without the query), query_sha256,
      decision, reason, status, request_bytes, response_bytes, body_sha256, response_sha256,
      duration_us, canaries, response_canaries; ``truncated`` where the body was longer than what
      was read, ``unsearched`` with a content coding that could not be searched for canaries;
    - ``net.tunnel``: at the end of a tunnel: host, port, sent_bytes, received_bytes, canaries,
      reason;
    - ``service.error``: a handler raised, timed out, or gave an answer that cannot be sent (or the
      broker itself failed, as service ``broker``): service, error (a type or a word), where;
    - ``net.cut``: the fields of `CutReceipt`;
    - ``net.summary``: on `close`: counts by decision, suppressed records, dropped connections.

    Raises:
        ValueError: for a handler host that is not in its normal form, or a canary too short.
    """

    def __init__(
        self,
        *,
        handlers: Mapping[str, HttpHandler],
        policy: EgressPolicy,
        record: Callable[[str, JsonObject], None],
        canaries: Mapping[str, str] | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        for host in handlers:
            try:
                normal = parse_host(host)
            except Refusal as refusal:
                raise ValueError(f"handler host {host!r}: {refusal.reason}") from None
            if normal != host:
                raise ValueError(f"handler host {host!r} is not normal: write {normal!r}")
        self._handlers = dict(handlers)
        self._policy = policy
        self._record = record
        self._matcher = CanaryMatcher(canaries or {})
        self._trail = CanaryTrail(self._matcher)
        self._upstream = upstream
        self._clients: set[_Client] = set()
        self._arriving: set[socket.socket] = set()
        self._welcoming: set[asyncio.Task[None]] = set()
        self._most_clients = policy.max_connections
        self._listeners: list[socket.socket] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cut_lock = threading.Lock()
        self._cutting = False
        self._receipt: CutReceipt | None = None
        self._closed = False
        self._record_failed = False
        self._requests = 0
        self._pace = _Pace(policy.requests_per_second)
        self._held_bytes = 0
        self._counts = {"allowed": 0, "denied": 0, "dropped": 0, "refused": 0, "suppressed": 0}

    @property
    def requests(self) -> int:
        """Requests seen so far, of whatever decision."""
        return self._requests

    @property
    def record_failed(self) -> bool:
        """Whether the record could once not be written: the episode's evidence has a gap."""
        return self._record_failed

    async def serve(self, listener_fd: int) -> None:
        """Accept on a listening stream socket; returns once it does.

        Args:
            listener_fd: owned by the broker from here on. May be called again for another one.

        Raises:
            RuntimeError: after `cut` or `close`.
            OSError: where the descriptor is no socket; it is then still the caller's.
        """
        listener = socket.socket(fileno=listener_fd)
        if self._cutting or self._closed:
            listener.close()
            raise RuntimeError("the broker has been cut or closed and serves nothing more")
        listener.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._listeners.append(listener)
        self._watch(self._loop, listener)

    def cut(self) -> CutReceipt:
        """End everything at once: listeners, connections from inside, connections to the outside.

        Nothing that the broker still buffers is sent, and connecting from inside is refused from
        here on, even where another process holds a copy of the listening descriptor. May be
        called from any thread, whatever the event loop is doing. Calling again gives the first
        receipt. What a service does without awaiting cannot be interrupted. Records of requests
        that were under way follow a moment later: `close` waits for them.
        """
        with self._cut_lock:
            if self._receipt is not None:
                return self._receipt
            host_us = time.time_ns() // 1000
            started = time.monotonic_ns()
            self._cutting = True
            for listener in self._listeners:
                _shut_listener(listener)
            clients = list(self._clients)
            for sock in list(self._arriving):
                reset_socket(sock)
            for client in clients:
                reset_connection(client.writer)
            upstream = self._upstream.reset_all() if self._upstream is not None else 0
            self._receipt = CutReceipt(
                host_us=host_us,
                took_us=(time.monotonic_ns() - started) // 1000,
                listeners=len(self._listeners),
                connections=len(clients),
                in_flight=sum(client.busy for client in clients),
                upstream=upstream,
                requests=self._requests,
            )
        self._settle_cut_in_loop()
        return self._receipt

    async def close(self) -> None:
        """Stop serving, end what is open, and record the summary. Closing again does nothing."""
        if self._closed:
            return
        self._closed = True
        tasks = self._end_tasks()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._write("net.summary", {"requests": self._requests, **self._counts}, must=False)

    # -- accepting ---------------------------------------------------------------------------------

    def _accept(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                loop.remove_reader(listener)
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    loop.call_later(0.1, self._watch, loop, listener)
                elif not self._cutting:
                    self._report_own_error(error, "accept")
                return
            sock.setblocking(False)
            if self._cutting or len(self._clients) + len(self._arriving) >= self._most_clients:
                self._counts["dropped"] += 1
                reset_socket(sock)
                sock.close()
                continue
            self._arriving.add(sock)
            task = loop.create_task(self._welcome(loop, sock))
            self._welcoming.add(task)
            task.add_done_callback(self._welcoming.discard)

    def _watch(self, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
        if listener.fileno() >= 0 and not self._cutting:
            loop.add_reader(listener, self._accept, loop, listener)

    async def _welcome(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=_READ_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock)
        except BaseException:
            sock.close()
            raise
        finally:
            self._arriving.discard(sock)
        client = _Client(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        self._clients.add(client)
        client.task = loop.create_task(self._converse(client))

    async def _converse(self, client: _Client) -> None:
        try:
            while not self._cutting and await self._next_exchange(client):
                pass
        except (OSError, EOFError, _CutOff):
            pass
        except _RecordFailed:
            self.cut()
        except Exception as error:
            self._report_own_error(error, "broker")
        finally:
            self._clients.discard(client)
            client.writer.transport.abort()

    # -- one request -------------------------------------------------------------------------------

    async def _next_exchange(self, client: _Client) -> bool:
        """Read, judge, carry, record and answer one request; whether the connection goes on."""
        exchange = Exchange()
        try:
            return await self._carry_one(client, exchange)
        finally:
            client.busy = False
            self._held_bytes -= exchange.held_bytes
            if exchange.begun and not exchange.recorded:
                # Cut off, or left by its client in the middle: it happened all the same, but no
                # answer was sent.
                exchange.status = 0
                exchange.reason = "cut" if self._cutting else "interrupted"
                self._write_exchange(exchange, must=not self._cutting)

    async def _carry_one(self, client: _Client, exchange: Exchange) -> bool:
        head: Head | None = None
        keep = False
        try:
            raw = await self._read_head(client, exchange)
            if raw is None:
                return False
            if exchange.number > self._policy.requests_per_episode:
                raise Refusal(429, "request_quota")
            if not self._pace.permits():
                raise Refusal(429, "request_rate")
            connection, head = parse_head(raw)
            exchange.method = head.method
            exchange.coding = ",".join(head.values("content-encoding")).lower()
            keep = _wants_more(head)
            problem = self._judge(head, exchange)
            if head.method == "CONNECT":
                return await self._tunnel(client, head, exchange, problem)
            await self._read_body(client, connection, head, exchange)
            if problem is not None:
                raise problem
            answer = await self._carry(head, exchange)
            if self._cutting:
                raise _CutOff
            self._hold(exchange, len(answer.body), "allowed")
        except Refusal as refusal:
            exchange.decision, exchange.reason = refusal.decision, refusal.reason
            if not exchange.in_step and not exchange.wire:
                exchange.wire = bytes(client.buffer)  # whatever came along is searched as well
            answer = neutral_answer(refusal.status)
        exchange.status = answer.status
        exchange.answer = answer
        size = len(exchange.body) + len(exchange.wire) + len(answer.body)
        if self._matcher.names and size > _SEARCHED_IN_THREAD:
            await asyncio.to_thread(self._search, exchange)
        self._write_exchange(exchange)
        keep = keep and exchange.in_step
        await self._send(client, render(answer, keep=keep, head=head))
        if not keep:
            await self._part(client)
        return keep

    async def _read_head(self, client: _Client, exchange: Exchange) -> bytes | None:
        """The next whole head, or None where the client is done."""
        buffer = client.buffer
        policy = self._policy
        try:
            async with asyncio.timeout(policy.idle_timeout_ms / 1000) as limit:
                while True:
                    if buffer and not exchange.begun:
                        exchange.begun = client.busy = True
                        exchange.started = time.monotonic()
                        self._requests += 1
                        exchange.number = self._requests
                        # One deadline for the whole head: a byte a second gains nothing.
                        loop = asyncio.get_running_loop()
                        limit.reschedule(loop.time() + policy.head_timeout_ms / 1000)
                    end = find_head_end(buffer, policy.max_head_bytes)
                    if end is not None:
                        exchange.raw = bytes(buffer[:end])
                        del buffer[:end]
                        return exchange.raw
                    data = await client.reader.read(_READ_BYTES)
                    if not data:
                        if exchange.begun:
                            raise Refusal(400, "incomplete")
                        return None
                    buffer += data
        except TimeoutError:
            if not exchange.begun:
                return None
            exchange.raw = bytes(buffer)
            raise Refusal(408, "head_timeout") from None
        except Refusal:
            exchange.raw = bytes(buffer)
            raise

    def _judge(self, head: Head, exchange: Exchange) -> Refusal | None:
        """What speaks against the request. Its body is read for the record even so."""
        try:
            exchange.destination = to = parse_destination(head)
            methods = head.methods()
        except Refusal as refusal:
            return refusal
        for method in methods:
            why = self._policy.why_denied(host=to.host, port=to.port, method=method, path=to.path)
            if why is not None:
                return Refusal(403, why, "denied")
        return None

    async def _read_body(
        self, client: _Client, connection: h11.Connection, head: Head, exchange: Exchange
    ) -> None:
        """Read the body into ``exchange``, as far as the limits allow.

        Raises:
            Refusal: 400, 408, 413 or 503; what was read by then is kept for the record.
        """
        policy = self._policy
        body = bytearray()
        wire = bytearray()
        chunked = bool(head.values("transfer-encoding"))
        wire_limit = policy.max_request_bytes + policy.max_request_bytes // 4 + 65536
        chunks = 0
        if head.values("expect") and head.version == "1.1":
            await self._send(client, b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(policy.head_timeout_ms / 1000):
                while True:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        data = bytes(client.buffer) or await client.reader.read(_READ_BYTES)
                        client.buffer.clear()
                        if chunked:
                            wire += data
                        self._hold(exchange, len(data) * (2 if chunked else 1))
                        if len(wire) > wire_limit:
                            raise Refusal(413, "request_too_large")
                        connection.receive_data(data)
                    elif isinstance(event, h11.Data):
                        body += event.data
                        chunks += event.chunk_end
                        too_small = len(body) < (chunks - _FREE_CHUNKS) * _MEAN_CHUNK_BYTES
                        if chunked and too_small:
                            raise Refusal(400, "chunks_too_small")
                        if len(body) > policy.max_request_bytes:
                            del body[policy.max_request_bytes :]
                            raise Refusal(413, "request_too_large")
                    else:
                        break
        except h11.RemoteProtocolError:
            raise Refusal(400, "malformed_body") from None
        except TimeoutError:
            raise Refusal(408, "body_timeout") from None
        finally:
            exchange.body = bytes(body)
            exchange.wire = bytes(wire)
            exchange.truncated = True
        rest, _ = connection.trailing_data
        if chunked:
            trailers = list(event.headers) if isinstance(event, h11.EndOfMessage) else []
            check_trailers(bytes(wire[: len(wire) - len(rest)]), len(trailers))
        client.buffer[:0] = rest
        exchange.truncated = False
        exchange.in_step = True

    def _hold(self, exchange: Exchange, count: int, decision: Decision = "refused") -> None:
        if self._held_bytes + count > self._policy.max_buffered_bytes:
            raise Refusal(503, "buffer_limit", decision)
        exchange.held_bytes += count
        self._held_bytes += count

    async def _carry(self, head: Head, exchange: Exchange) -> HttpResponse:
        """Hand a permitted request to its service or to the outside."""
        to = exchange.destination
        assert to is not None
        if self._cutting:
            raise _CutOff
        exchange.decision, exchange.reason = "allowed", "ok"
        request = HttpRequest(
            method=head.method,
            host=to.host,
            port=to.port,
            target=to.target,
            headers=head.forwardable_headers(),
            body=exchange.body,
        )
        handler = self._handlers.get(to.host)
        seconds = self._policy.request_timeout_ms / 1000
        try:
            if handler is not None:
                return await self._ask_service(handler, request, seconds)
            if self._upstream is None:
                raise Refusal(502, "no_route", "allowed")
            async with asyncio.timeout(seconds):
                answer = await self._upstream.fetch(request, self._policy, tls=to.tls)
            try:
                check_answer(answer, self._policy.max_response_bytes)
            except ServiceFailed as failure:  # none of ours: it says nothing about the episode
                raise UpstreamError(failure.error) from None
            return answer
        except ServiceFailed as failure:
            self._write(
                "service.error",
                {"error": failure.error, "service": to.host, "where": failure.where},
            )
            raise Refusal(failure.status, "service_error", "allowed") from None
        except UpstreamError:
            raise Refusal(502, "upstream_failed", "allowed") from None
        except TimeoutError:
            raise Refusal(504, "upstream_timeout", "allowed") from None

    async def _ask_service(
        self, handler: HttpHandler, request: HttpRequest, seconds: float
    ) -> HttpResponse:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(seconds) as limit:
                answer = await handler(request)
        except TimeoutError as error:
            status = 504 if limit.expired() else 502
            raise ServiceFailed(status, type(error).__name__, "handler") from None
        except asyncio.CancelledError:
            if self._cutting or (task is not None and task.cancelling()):
                raise
            raise ServiceFailed(502, "CancelledError", "handler") from None
        except Exception as error:
            raise ServiceFailed(502, type(error).__name__, "handler") from None
        check_answer(answer, self._policy.max_response_bytes)
        return answer

    # -- tunnels -----------------------------------------------------------------------------------

    async def _tunnel(
        self, client: _Client, head: Head, exchange: Exchange, problem: Refusal | None
    ) -> bool:
        if problem is not None:
            raise problem
        to = exchange.destination
        assert to is not None
        if head.values("content-length") or head.values("transfer-encoding"):
            raise Refusal(400, "tunnel_with_body")
        if to.host in self._handlers:
            # Services speak plain HTTP; a tunnel would hide from the policy what is asked of them.
            raise Refusal(502, "tunnel_to_service")
        if self._upstream is None:
            raise Refusal(502, "no_route", "allowed")
        if to.host in self._upstream.credentials:
            # Inside a tunnel the client could use a credential of its own.
            raise Refusal(403, "tunnel_to_credentialed_host", "denied")
        if self._cutting:
            raise _CutOff
        exchange.decision, exchange.reason = "allowed", "ok"
        try:
            async with asyncio.timeout(self._policy.request_timeout_ms / 1000):
                reader, writer = await self._upstream.open(to.host, to.port, self._policy)
        except UpstreamError:
            raise Refusal(502, "upstream_failed", "allowed") from None
        except TimeoutError:
            raise Refusal(504, "upstream_timeout", "allowed") from None
        flow = Tunnel(to.host, self._policy, self._matcher)
        try:
            exchange.status = 200
            self._write_exchange(exchange)
            await self._send(client, b"HTTP/1.1 200 Connection established\r\n\r\n")
            await flow.run(client.reader, client.writer, reader, writer, bytes(client.buffer))
        finally:
            self._upstream.release(writer)
            if exchange.recorded:
                data = flow.as_json(to.port, cut=self._cutting)
                self._write("net.tunnel", data, must=not self._cutting)
        return False

    # -- sending and recording ---------------------------------------------------------------------

    async def _send(self, client: _Client, data: bytes) -> None:
        if self._cutting:
            raise _CutOff
        client.writer.write(data)
        try:
            async with asyncio.timeout(self._policy.request_timeout_ms / 1000):
                await client.writer.drain()
        except TimeoutError:
            raise EOFError("the client does not take its answer") from None

    async def _part(self, client: _Client) -> None:
        """Let the client read its answer: closing on unread input would destroy it in flight."""
        writer = client.writer
        try:
            async with asyncio.timeout(self._policy.request_timeout_ms / 1000):
                while writer.transport.get_write_buffer_size():
                    await writer.drain()
                    await asyncio.sleep(0.005)
            if writer.can_write_eof():
                writer.write_eof()
            async with asyncio.timeout(_DRAIN_SECONDS):
                left = _DRAIN_BYTES
                while left > 0 and (data := await client.reader.read(_READ_BYTES)):
                    left -= len(data)
        except TimeoutError:
            return

    def _write_exchange(self, exchange: Exchange, *, must: bool = True) -> None:
        exchange.recorded = True
        self._counts[exchange.decision] += 1
        if exchange.number > self._policy.requests_per_episode + _RECORDED_OVER_QUOTA:
            self._counts["suppressed"] += 1
            return
        if self._matcher.names:
            if not exchange.searched:
                self._search(exchange)
            if (to := exchange.destination) is not None:
                exchange.canaries |= self._trail.push(
                    to.host, to.path or "", to.query or "", exchange.body, whole=exchange.canaries
                )
        self._write("net.request", exchange.as_json(), must=must)

    def _search(self, exchange: Exchange) -> None:
        """Look for canaries in the request and in the answer of a service."""
        matcher = self._matcher
        found = matcher.find(exchange.raw)
        found |= matcher.find(exchange.body, coding=exchange.coding)
        if exchange.wire:
            # Chunk extensions and trailers go nowhere, but putting a secret there is an attempt.
            found |= matcher.find(exchange.wire)
        exchange.canaries = found
        if exchange.answer is not None and exchange.decision == "allowed":
            shown = "\n".join(value for _, value in exchange.answer.headers)
            exchange.response_canaries = matcher.find(exchange.answer.body) | matcher.find(
                shown.encode("latin-1", "replace")
            )
        exchange.searched = True

    def _write(self, kind: str, data: JsonObject, *, must: bool = True) -> None:
        try:
            self._record(kind, data)
        except Exception as error:
            self._record_failed = True
            if must:
                raise _RecordFailed from error

    def _report_own_error(self, error: Exception, where: str) -> None:
        data = {"error": type(error).__name__, "service": "broker", "where": where}
        self._write("service.error", data, must=False)

    # -- ending ------------------------------------------------------------------------------------

    def _settle_cut_in_loop(self) -> None:
        try:
            here: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if self._loop is None or here is self._loop:
            self._settle_cut()
            return
        try:
            self._loop.call_soon_threadsafe(self._settle_cut)
        except RuntimeError:  # the loop is closed, and with it everything that was to be ended
            self._settle_cut()

    def _settle_cut(self) -> None:
        assert self._receipt is not None
        self._write("net.cut", self._receipt.as_json(), must=False)
        if self._loop is not None and not self._loop.is_closed():
            self._end_tasks()

    def _end_tasks(self) -> list[asyncio.Task[None]]:
        current = asyncio.current_task()
        for listener in self._listeners:
            if self._loop is not None and listener.fileno() >= 0:
                self._loop.remove_reader(listener)
            listener.close()
        tasks = list(self._welcoming)
        for client in list(self._clients):
            client.writer.transport.abort()
            if client.task is not None:
                tasks.append(client.task)
        for task in tasks:
            if task is not current:
                task.cancel()
        return [task for task in tasks if task is not current]


def _shut_listener(listener: socket.socket) -> None:
    # Shutting down ends the listening itself, for every copy of the descriptor; closing would only
    # end this one.
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)


def _wants_more(head: Head) -> bool:
    """Whether the client means to go on with this connection."""
    tokens = {
        token.strip().lower()
        for key, value in head.headers
        if key in {"connection", "proxy-connection"}
        for token in value.split(",")
    }
    return head.version == "1.1" and "close" not in tokens
