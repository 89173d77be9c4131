"""The model of a drilled client: it orders what is to be stopped, and then keeps it waiting."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import anyio

from custodes.scenarios import Move, ToolCall
from custodes.types import JsonObject

from ._drill_ways import HELPER_TASK, MAIN_TASK, How, Planted, Ways
from ._gateway import Answered, Asked
from ._model import ClientError, Heard, Payload, Spoken, Tooling
from .dialects import Base

_LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """An adversary and the shell line that starts it."""

    planted: Planted
    line: str


@dataclass(slots=True, kw_only=True)
class DrillModel:
    """Answers a client's requests, watches them, and is the credential that a stop revokes.

    Each conversation is told by its task, and its place in the script by the results that it
    holds. When nothing is left to be started, the answer does not come: the client waits for it.

    Attributes:
        heard_ns: when each request for a completion came, monotonic.
        refused: adversaries that the client offers no tool for, and why. Before it is ``at_work``
            that may have been a question on the side, which comes without tools.
        returned: what the client said of each call, by adversary.
        asked: set at the first request. waiting: set when nothing is left to be started.
    """

    dialect: Base
    tooling: Tooling
    ways: Ways
    orders: Sequence[Ordered]
    name: str = "model"
    heard_ns: list[int] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    returned: dict[str, str] = field(default_factory=dict)
    revoked: bool = False
    at_work: bool = False
    asked: anyio.Event = field(default_factory=anyio.Event)
    waiting: anyio.Event = field(default_factory=anyio.Event)

    # --- the way to the model's server

    @contextlib.asynccontextmanager
    async def ask(self, asked: Asked) -> AsyncIterator[Answered]:
        payload = self._answer(asked.method, asked.target, asked.body)
        if payload is None:
            self.waiting.set()
            await anyio.sleep_forever()  # until the gateway is closed
            raise AssertionError
        answer = payload.body

        async def body() -> AsyncIterator[bytes]:
            yield answer

        yield Answered(
            status=payload.status, content_type=payload.content_type, headers=(), body=body()
        )

    def _answer(self, method: str, target: str, body: bytes) -> Payload | None:
        """What the server says; None: nothing for as long as the run goes on."""
        if self.revoked:
            return self.dialect.failure(401, "the key is not valid")
        if not self.dialect.wants(method, target.partition("?")[0]):
            return self.dialect.beside(method, target, body)
        try:
            heard = self.dialect.heard(target, body)
            calls = self._calls(heard)
            if not calls:  # a question on the side, or a client without a shell
                return self.dialect.speak(target, body, Move(text="ok"), self.tooling)
            at = len(heard.returns)
            for (name, _), answer in zip(calls, heard.returns, strict=False):
                said = " ".join(self.tooling.output(answer.text).split())[:_LONGEST]
                self.returned[name] = said or "nothing"
            if at >= len(calls):
                return None
            due = calls[at : at + 1]
            if self.ways.helper_waits and due[0][0] in self._blocking:
                due = calls[at:]
            move = Move(
                calls=tuple(ToolCall(name=tool, arguments=dict(given)) for _, (tool, given) in due)
            )
            return self.dialect.speak(target, body, move, self.tooling)
        except ValueError as error:
            return self.dialect.failure(400, str(error))

    @property
    def _blocking(self) -> set[str]:
        return {one.planted.name for one in self.orders if one.planted.how is How.HELPER}

    def _calls(self, heard: Heard) -> list[tuple[str, tuple[str, JsonObject]]]:
        """What is to be ordered in this conversation, as far as its tools allow."""
        # Some give a sub-agent its task in items of their own; what they do not is the main task.
        helping = MAIN_TASK not in "\n".join(heard.user)
        found: list[tuple[str, tuple[str, JsonObject]]] = []
        for order in self.orders:
            if helping and order.planted.how is not How.HELPER:
                continue
            try:
                call = self._call(order, heard.tools, helping=helping)
            except ClientError as error:
                if not helping and (heard.tools or not self.at_work):
                    self.refused.setdefault(order.planted.name, str(error))
                continue
            self.refused.pop(order.planted.name, None)
            found.append((order.planted.name, call))
        self.at_work = self.at_work or (bool(found) and not helping)
        return found

    def _call(
        self, order: Ordered, tools: Sequence[str], *, helping: bool
    ) -> tuple[str, JsonObject]:
        how = order.planted.how
        if how is How.HELPER and not helping:
            if self.ways.helper is None:
                raise ClientError("no sub-agent of this client is known")
            return self.ways.helper(HELPER_TASK, tools)
        if how is How.BACKGROUND and self.ways.background is None:
            raise ClientError("no way of this client to run a command in the background is known")
        if how in (How.BACKGROUND, How.HELPER) and self.ways.background is not None:
            return self.ways.background(self.tooling, order.line, tools)
        line = f"{order.line} </dev/null >/dev/null 2>&1 &" if how is How.HELPER else order.line
        return self.tooling.call(line, tools)

    # --- the credential

    def revoke(self) -> None:
        self.revoked = True

    def is_refused(self) -> bool:
        return self.revoked

    # --- the watch

    async def heard(self, exchange: int, heard: Heard) -> None:
        self.heard_ns.append(time.monotonic_ns())
        self.asked.set()

    async def spoken(self, exchange: int, heard: Heard, spoken: Spoken) -> None:
        """Nothing is held back."""

    def failed(self, exchange: int, status: int, problem: str) -> None:
        """A revoked key is no news."""

    def beside(self, method: str, path: str, status: int) -> None:
        """Nothing is counted but requests for completions."""
