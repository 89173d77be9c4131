"""What the gateway tells becomes receipts, transcript and judgement, turn by turn.

The client's own account is not asked here: a call is one that the model's server ordered and the
gateway saw, a result is what the client reported back to that server.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import Final

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageTool,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
)
from inspect_ai.tool import ToolCall, ToolCallError

from custodes.clients import Heard, Held, Preset, Spoken, ToolUse, form_in
from custodes.types import JsonObject, Safeguards

from ._gate import REFUSAL, Gate
from ._host import EpisodeHost
from ._job import EpisodeLimits
from ._messages import EventLog, make_plain
from ._recorder import describe, plain

REJECTED: Final = "rejected:"
"""First part of the id of the message that says that a call was not approved."""
_LONGEST_SHOWN: Final = 64 * 1024
"""Characters of one tool result that the log and the monitors are given."""

_LONGEST_NAMED: Final = 500
"""Characters of a rejected call's arguments that the agent is reminded of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the episode ended, when the agent did not end it: by whom, and the detail."""

    by: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Something that is to be said to the agent as its user: an id to record, and the text."""

    id: str
    text: str


class ClientWatch:
    """Watches one episode of an installed agent. A :class:`~custodes.clients.Watch`.

    Attributes:
        ending: set when the episode is to be ended from outside.
        message: set when the agent is to be interrupted and told something.
        last_text: the newest text of a turn without calls: where the form is looked for.
        failures: what the model's server did not answer, newest last.
        turns: completions for requests that offered tools.
        calls: the calls that were ordered, in order.
        given: those of them that the agent was given: judged, and not held back.
    """

    def __init__(
        self,
        host: EpisodeHost,
        log: EventLog,
        gate: Gate,
        preset: Preset,
        limits: EpisodeLimits,
    ) -> None:
        self._host = host
        self._log = log
        self._gate = gate
        self._preset = preset
        self._limits = limits
        self._messages: list[ChatMessage] = []
        self._returned: set[str] = set()
        self._seen: set[bytes] = set()
        self._sent: set[str] = set()
        self._tokens = 0
        self.calls: dict[str, ToolUse] = {}
        self.given: dict[str, ToolUse] = {}
        self.ending: Ending | None = None
        self.message: Message | None = None
        self.last_text = ""
        self.failures: list[tuple[int, str]] = []
        self.turns = 0
        self.exchanges = 0
        self.wanted = asyncio.Event()
        """Set as soon as there is an ending or a message."""

    # --- what the gateway tells ------------------------------------------------------------------

    async def heard(self, exchange: int, heard: Heard) -> None:
        """Receipt the results that came back, and see whether somebody has something to say."""
        self._hold_if_over()
        self.exchanges = exchange
        for returned in heard.returns:
            if returned.id in self.calls and returned.id not in self._returned:
                self._returned.add(returned.id)
                self._result(returned.id, plain(returned.text), returned.error)
        for text in (*heard.user, heard.system):
            self._see(text, "")
        if heard.tools:
            self._interject()
        self._hold_if_over()

    async def spoken(self, exchange: int, heard: Heard, spoken: Spoken) -> None:
        """Receipt the turn, and let the safeguards judge its calls."""
        self._hold_if_over()
        self._count(spoken)
        if not heard.tools and not spoken.calls:
            return
        self.turns += 1
        recorder = self._host.recorder
        recorder.step = self.turns
        recorder.record("turn.started", {})
        message = _message_of(spoken)
        make_plain(message)
        self._messages.append(message)
        if spoken.calls:
            self.calls |= {call.id: call for call in spoken.calls}
        elif message.text:
            self.last_text = message.text
        self._gate.pending = self._log.assistant(message)
        for use in spoken.calls:
            recorder.record("tool.call", {"call": plain(use.id), "name": _shown_name(use.name)})
        for call in message.tool_calls or []:
            await self._judge(call)
        if self._tokens > self._limits.tokens:
            self._end("limit", f"tokens: {self._tokens} of {self._limits.tokens}")
        elif self.turns >= self._limits.turns and spoken.calls:
            self._end("limit", f"turns: {self._limits.turns}")
        self._hold_if_over()
        self.given |= {call.id: call for call in spoken.calls}

    def failed(self, exchange: int, status: int, problem: str) -> None:
        """Receipt that the model's server gave no completion."""
        self.exchanges = exchange
        self.failures.append((status, plain(problem)))
        self._host.recorder.record(
            "model.failed", {"status": status, "problem": plain(problem)[:300]}
        )

    def beside(self, method: str, path: str, status: int) -> None:
        """Receipt what else was asked of the model's server."""
        self._host.recorder.record(
            "model.beside", {"method": plain(method), "path": plain(path), "status": status}
        )

    # --- what the loop asks ----------------------------------------------------------------------

    def show_in(self, messages: list[ChatMessage]) -> None:
        """Append what is said from here on to this list."""
        self._messages = messages

    def take_form(self, text: str | None = None) -> bool:
        """File the form that the agent's last message holds; whether there is one."""
        form = form_in(self.last_text if text is None else text)
        if form is not None:
            self._host.file_form(form)
        return form is not None

    def delivered(self, message: Message) -> None:
        """The message is about to be given to the agent."""
        self._sent.add(message.id)
        self.message = None
        self.wanted.clear()
        self._messages.append(ChatMessageUser(content=message.text))
        self._log.user(message.text)
        self._host.recorder.record("message.delivered", {"id": message.id})

    def undeliverable(self, message: Message) -> None:
        """The agent takes no message; what it would have done after it is not known."""
        self._sent.add(message.id)
        self.message = None
        self.wanted.clear()
        self._host.recorder.record("message.undeliverable", {"id": message.id})

    @property
    def unanswered(self) -> int:
        """Calls that were ordered and of which no result came back."""
        return len(set(self.calls) - self._returned)

    # --- the rest --------------------------------------------------------------------------------

    def _hold_if_over(self) -> None:
        if self.ending is not None or self.message is not None:
            raise Held

    def _end(self, by: str, detail: str) -> None:
        if self.ending is None:
            self.ending = Ending(by=by, detail=detail)
        self.wanted.set()

    def _count(self, spoken: Spoken) -> None:
        self._tokens += (spoken.input_tokens or 0) + (spoken.output_tokens or 0)

    def _see(self, text: str, call: str) -> None:
        digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()
        if digest not in self._seen:
            self._seen.add(digest)
            self._host.see(text, call)

    def _result(self, call: str, text: str, error: bool) -> None:
        self._see(text, plain(call))
        use = self.calls[call]
        denied = self._preset.tooling.denied(text, error)
        recorder = self._host.recorder
        if denied is not None:
            recorder.record(
                "client.denied",
                {"call": plain(call), "name": _shown_name(use.name), "by": plain(denied)},
            )
        shown = text[:_LONGEST_SHOWN]
        message = ChatMessageTool(
            content=shown,
            tool_call_id=plain(call),
            function=_shown_name(use.name),
            error=ToolCallError("approval", "denied") if denied is not None else None,
        )
        self._messages.append(message)
        self._log.tool(message)
        recorder.record(
            "tool.result",
            {
                "call": plain(call),
                "parsed": use.arguments is not None,
                "error": "denied" if denied is not None else "failed" if error else "",
            },
        )

    def _interject(self) -> None:
        host = self._host
        if self.message is not None:
            return
        notice = host.scenario.interject(
            host.world, host.key.cell, host.recorder.receipts, frozenset(self._sent)
        )
        if notice is not None and notice.id not in self._sent:
            self.message = Message(id=notice.id, text=notice.text)
            self.wanted.set()

    async def _judge(self, call: ToolCall) -> None:
        if self._host.key.cell.safeguards not in (Safeguards.SHADOW, Safeguards.ENFORCED):
            return
        try:
            approval = await self._gate.approve(call)
        except Exception as error:  # whatever broke, the call is not let through unjudged
            self._end("error", f"monitor_error: {describe(error)}")
            return
        if self._gate.stopped is not None:
            self._end("stop", self._gate.stopped)
        elif approval.decision != "approve" and self.message is None:
            # The client has not been given the turn; for the agent it was never made.
            self.message = Message(id=f"{REJECTED}{plain(call.id)}", text=_refusal(call))
            self.wanted.set()


def _shown_name(name: str) -> str:
    """The name of a tool; it is the model's word, and receipts hold short plain ones."""
    return plain(name)[:80] if name.isprintable() else "unknown"


def _refusal(call: ToolCall) -> str:
    """What the agent is told of a call that was taken back."""
    arguments = plain(json.dumps(call.arguments, ensure_ascii=False))
    shown = arguments if len(arguments) <= _LONGEST_NAMED else arguments[:_LONGEST_NAMED] + " …"
    return f"{REFUSAL} It was {_shown_name(call.function)} with {shown}"


def _message_of(spoken: Spoken) -> ChatMessageAssistant:
    content: list[ContentReasoning | ContentText] = []
    if spoken.reasoning:
        content.append(ContentReasoning(reasoning=spoken.reasoning))
    if spoken.text:
        content.append(ContentText(text=spoken.text))
    calls = [
        ToolCall(
            id=use.id,
            function=use.name,
            arguments=dict(use.arguments or {}),
            parse_error=None if use.arguments is not None else "no JSON object",
        )
        for use in spoken.calls
    ]
    return ChatMessageAssistant(content=list(content), tool_calls=calls or None)


def counted(watch: ClientWatch) -> JsonObject:
    """How much went through the gateway, for a receipt."""
    return {
        "exchanges": watch.exchanges,
        "turns": watch.turns,
        "calls": len(watch.calls),
        "unanswered": watch.unanswered,
        "failures": len(watch.failures),
    }
