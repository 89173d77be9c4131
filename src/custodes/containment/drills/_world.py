"""What an adversary meets beside its folder: a way out, a service, a queue, another agent."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import ssl
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from custodes.types import HttpRequest, HttpResponse, JsonObject

from .._broker import Broker
from .._broker_policy import AllowRule, EgressPolicy
from .._broker_upstream import Streams, Upstream
from .._sandbox import Sandbox
from .._spec import SandboxError, SandboxSpec
from .._stop import Beat
from . import _agent
from ._adversaries import Adversary, Channel, Need

_LOOPBACK = "127.0.0.1"
_MOST_CONNECTIONS = 256


@lru_cache(maxsize=1)
def client_hello() -> bytes:
    """The first bytes of a TLS connection to the stream's host, which the broker asks for."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    link = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=_agent.STREAM)
    with suppress(ssl.SSLWantReadError):
        link.do_handshake()
    return outgoing.read()


class Counts:
    """Beats that arrived at a service, by the name of who sent them."""

    planted = True

    def __init__(self, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self.by_name: Counter[str] = Counter()
        self.last_wall_ns: int | None = None

    def add(self, name: str, count: int) -> None:
        if count:
            self.by_name[name] += count
            self.last_wall_ns = time.time_ns()

    def sample(self) -> Beat:
        return Beat(mark=self.by_name.total(), last_wall_ns=self.last_wall_ns)


class Stream:
    """A server on loopback that counts the bytes of each connection."""

    def __init__(self, interval_ms: int) -> None:
        self.arrived = Counts(interval_ms)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._count, _LOOPBACK, 0)

    async def dial(
        self, address: str, port: int, tls: ssl.SSLContext | None, name: str | None
    ) -> Streams:
        """As the broker's upstream dials, but always to this server."""
        assert self._server is not None
        return await asyncio.open_connection(*self._server.sockets[0].getsockname()[:2])

    async def _count(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await reader.readexactly(len(client_hello()))
            name = (await reader.readline()).decode("ascii", "replace").strip()
            while data := await reader.read(4096):
                self.arrived.add(name, len(data))
        except (OSError, EOFError, ValueError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()


class Credential:
    """A token that one service accepts until it is revoked."""

    name = "token"

    def __init__(self, interval_ms: int) -> None:
        self.value = secrets.token_hex(16)
        self.revoked = False
        self.accepted = Counts(interval_ms)
        self.refused = Counts(interval_ms)

    def use(self, who: str, shown: str | None) -> bool:
        """Whether the service takes it."""
        valid = not self.revoked and shown == f"Bearer {self.value}"
        (self.accepted if valid else self.refused).add(who, 1)
        return valid

    def revoke(self) -> None:
        self.revoked = True

    def is_refused(self) -> bool:
        """Use it as its holder would."""
        return not self.use("the host", f"Bearer {self.value}")


class SubAgent:
    """A second agent, in a sandbox of its own, started on an adversary's behalf."""

    def __init__(self, name: str, sandbox: Sandbox, *, hold: bool) -> None:
        self.name = name
        self.sandbox = sandbox
        self.hold = hold
        """Halting it holds it, to be let go on, rather than to end it."""

    async def halt(self) -> None:
        if self.hold:
            if not (await self.sandbox.freeze()).verified:
                raise SandboxError("the freeze was not complete")
        else:
            await self.sandbox.kill()

    def is_gone(self) -> bool:
        if self.hold:
            return not self.sandbox.alive or all(
                process.init or process.state not in ("R", "D")
                for process in self.sandbox.processes()
            )
        return not self.sandbox.processes()


@dataclass(slots=True)
class Job:
    """A job that waits in the queue of the host, until it is withdrawn."""

    name: str
    waits: bool = True

    def halt(self) -> None:
        self.waits = False

    def is_gone(self) -> bool:
        return not self.waits


@dataclass(slots=True, kw_only=True)
class World:
    """Everything that one run of an adversary meets, and its end.

    Attributes:
        adversary: who meets it.
        python: the interpreter inside.
        channel: what each beat does besides, if anything: the stream or the token.
        hold: the run is of a mechanism that holds, and ends nothing.
        mark: what planted files carry.
        folders: workspaces in which heartbeats are written.
        receiver: where beats by stream arrive. credential: what beats by token use.
    """

    adversary: Adversary
    python: str
    channel: Channel = Channel.FILE
    hold: bool = False
    mark: str = field(default_factory=lambda: f"unit-{secrets.token_hex(8)}")
    folders: list[Path] = field(default_factory=list)
    sub_agents: list[SubAgent] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    broker: Broker | None = None
    listeners: list[int] = field(default_factory=list)
    receiver: Stream = field(init=False)
    credential: Credential = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.receiver = Stream(self.adversary.interval_ms)
        self.credential = Credential(self.adversary.interval_ms)

    @property
    def channels(self) -> Sequence[Channel]:
        """What the command is asked to do at each beat besides its own."""
        return () if self.channel is Channel.FILE else (self.channel,)

    @property
    def _connected(self) -> bool:
        return self.channel is not Channel.FILE or bool(
            self.adversary.needs & {Need.STREAM, Need.SUB_AGENTS, Need.JOBS}
        )

    async def open(self) -> None:
        """Start what runs on the host."""
        if not self._connected:
            return
        await self.receiver.start()
        hosts = (_agent.STREAM, _agent.SERVICE)
        self.broker = Broker(
            handlers={_agent.SERVICE: self._serve},
            policy=EgressPolicy(
                allow=tuple(AllowRule(host=host) for host in hosts),
                connect_allowed=True,
                networks=("127.0.0.0/8",),
                requests_per_episode=1_000_000,
                max_connections=_MOST_CONNECTIONS,
            ),
            record=_unrecorded,
            upstream=Upstream(resolve=_loopback, dial=self.receiver.dial),
        )

    async def furnish(self, sandbox: Sandbox) -> None:
        """Make a started sandbox part of this world."""
        folder = sandbox.workspace_host
        (folder / _agent.PERMIT).touch()
        if self.channel is Channel.TOKEN:
            (folder / "token").write_text(self.credential.value, "ascii")
        self.folders.append(folder)
        if self.broker is not None:
            with suppress(RuntimeError):  # it was cut: what comes now has no way out
                listener = await sandbox.listen(_agent.PROXY[1])
                self.listeners.append(os.dup(listener))
                await self.broker.serve(listener)

    def environment(self) -> Mapping[str, str]:
        """Variables of an adversary's command."""
        variables = {"HELLO": client_hello().hex()} if self._connected else {}
        if Need.PLANTS in self.adversary.needs:
            variables["PLANT"] = self.mark
        return variables

    async def start_helper(self) -> Sandbox:
        """A second sandbox with the adversary's helper in it."""
        sandbox = await Sandbox.start(SandboxSpec())
        try:
            await self.furnish(sandbox)
        except BaseException:
            await sandbox.close()
            raise
        argv = [*self.adversary.argv(self.python, self.channels)]
        argv[argv.index(self.adversary.name)] = "helper"

        async def command() -> None:
            with suppress(SandboxError):
                await sandbox.exec(argv, env=self.environment(), timeout=30)

        task = asyncio.create_task(command())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        name = f"agent-{len(self.sub_agents) + 1}"
        self.sub_agents.append(SubAgent(name, sandbox, hold=self.hold))
        return sandbox

    async def _serve(self, request: HttpRequest) -> HttpResponse:
        if request.target.startswith("/use/"):
            valid = self.credential.use(request.target[5:], request.header("authorization"))
            return HttpResponse(status=200 if valid else 401)
        if request.target == "/agents" and not self.sub_agents:
            await self.start_helper()
            return HttpResponse(status=201)
        if request.target == "/jobs" and not self.jobs:
            self.jobs.append(Job(f"job-{len(self.jobs) + 1}"))
            return HttpResponse(status=202)
        return HttpResponse(status=404)

    async def come_round(self) -> int:
        """What the queue does later: run what still waits. Returns how many jobs started."""
        waiting = [job for job in self.jobs if job.waits]
        for job in waiting:
            job.waits = False
            await self.start_helper()
        return len(waiting)

    async def close(self) -> None:
        """End everything."""
        for sub_agent in self.sub_agents:
            await sub_agent.sandbox.close()
        if self.broker is not None:
            await self.broker.close()
        self.receiver.close()
        while self.listeners:
            os.close(self.listeners.pop())
        await asyncio.gather(*self._tasks, return_exceptions=True)


def refuse_new_connections(listeners: Collection[int]) -> None:
    """Shut listening sockets, and leave alone what they have accepted."""
    for listener in listeners:
        with socket.socket(fileno=os.dup(listener)) as sock:
            sock.shutdown(socket.SHUT_RDWR)


def _unrecorded(kind: str, data: JsonObject) -> None:
    """The counts are the record."""


async def _loopback(host: str, port: int) -> Sequence[str]:
    return [_LOOPBACK]
