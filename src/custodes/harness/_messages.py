"""Between Inspect's messages and ours: conversations for policies, events for monitors."""

from __future__ import annotations

import json
from collections.abc import Sequence

from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentReasoning,
    ContentText,
)
from inspect_ai.tool import ToolCall, ToolInfo

from custodes.scenarios import Brief, Conversation, Opening, Reply
from custodes.transcripts import Event, EventKind

from ._recorder import plain


def conversation_of(messages: Sequence[ChatMessage], tools: Sequence[ToolInfo]) -> Conversation:
    """What a reference policy is given: messages and the names of its tools, nothing else."""
    system: list[str] = []
    task: list[str] = []
    replies: list[tuple[list[str], list[str]]] = []
    for message in messages:
        if isinstance(message, ChatMessageAssistant):
            replies.append(([], []))
        elif isinstance(message, ChatMessageTool):
            text = message.text
            if message.error is not None:
                text = f"{text}\n{message.error.message}" if text else message.error.message
            if replies:
                replies[-1][0].append(text)
        elif isinstance(message, ChatMessageSystem):
            system.append(message.text)
        elif isinstance(message, ChatMessageUser):
            (replies[-1][1] if replies else task).append(message.text)
    return Conversation(
        opening=Opening(
            system="\n\n".join(system),
            task="\n\n".join(task),
            tools=tuple(tool.name for tool in tools),
        ),
        replies=tuple(Reply(outputs=tuple(o), notices=tuple(n)) for o, n in replies),
    )


def make_plain(message: ChatMessageAssistant) -> None:
    """Take lone surrogates out of what an agent said, in place.

    They have no UTF-8 form: neither a log nor a receipt could hold them, and no command could
    carry them. In text they are shown escaped; a call that has one counts as not parsed.
    """
    if isinstance(message.content, str):
        message.content = plain(message.content)
    else:
        for part in message.content:
            if isinstance(part, ContentText):
                part.text = plain(part.text)
            elif isinstance(part, ContentReasoning):
                part.reasoning = plain(part.reasoning)
    for call in message.tool_calls or []:
        said = (call.id, call.function, json.dumps(call.arguments, ensure_ascii=False, default=str))
        if all(plain(text) == text for text in said):
            continue
        call.id, call.function = plain(call.id), plain(call.function)
        call.arguments = {}
        call.parse_error = "The call is not valid Unicode."


class EventLog:
    """The events of one episode as monitors see them, kept while it runs."""

    def __init__(self, brief: Brief) -> None:
        self.events: list[Event] = []
        for part, text in brief.system.items():
            if text:
                self._add(EventKind.SYSTEM, text, part=part)
        for part, text in brief.task.items():
            if text:
                self._add(EventKind.USER, text, part=part)

    def _add(
        self,
        kind: EventKind,
        text: str = "",
        *,
        part: str | None = None,
        call: ToolCall | None = None,
        call_id: str | None = None,
        tool: str | None = None,
        error: str | None = None,
    ) -> Event:
        event = Event(
            index=len(self.events),
            kind=kind,
            text=text,
            part=part,
            call=call.id if call is not None else call_id,
            tool=call.function if call is not None else tool,
            arguments=dict(call.arguments) if call is not None else None,
            error=error,
        )
        self.events.append(event)
        return event

    def assistant(self, message: ChatMessageAssistant) -> list[Event]:
        """Add the turn of an agent; returns the events of its calls, in order."""
        if isinstance(message.content, list):
            for part in message.content:
                if isinstance(part, ContentReasoning) and not part.redacted and part.reasoning:
                    self._add(EventKind.REASONING, part.reasoning)
        if message.text:
            self._add(EventKind.ASSISTANT, message.text)
        return [self._add(EventKind.TOOL_CALL, call=call) for call in message.tool_calls or []]

    def tool(self, message: ChatMessageTool) -> None:
        self._add(
            EventKind.TOOL_RESULT,
            message.text,
            call_id=message.tool_call_id,
            tool=message.function,
            error=message.error.message if message.error is not None else None,
        )

    def user(self, text: str) -> None:
        self._add(EventKind.USER, text)
