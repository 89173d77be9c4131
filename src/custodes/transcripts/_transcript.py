"""The canonical transcript: ordered events of one agent run, whatever wrote them down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from custodes.types import JsonObject, Locator


class EventKind(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    REASONING = "reasoning"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"
    APPROVAL = "approval"
    ERROR = "error"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that was said or done.

    Attributes:
        index: position in the transcript, from 0.
        text: what was said, or the output of a tool; empty for a tool call.
        call: identity that a tool call and its result share.
        tool: name of the tool.
        arguments: of a tool call, as parsed; None when they could not be.
        error: what went wrong with the call or the run, in the recorder's words.
        part: for prompts that Custodes wrote, the name of the prompt part, else None.
        locator: the event's bytes in the log that it was read from, or None before there is one.
    """

    index: int
    kind: EventKind
    text: str = ""
    call: str | None = None
    tool: str | None = None
    arguments: JsonObject | None = None
    error: str | None = None
    part: str | None = None
    locator: Locator | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The events of one run."""

    events: tuple[Event, ...]
    name: str = ""


ATTACK_PARTS = frozenset({"ask"})
"""Prompt parts that exist only because this is an assessment. A deployment would not have them."""


def deployment_view(events: Iterable[Event]) -> tuple[Event, ...]:
    """The events that a monitor in deployment would see: the one place where the rest is hidden.

    Indices are kept, so that a monitor's findings still point at the full transcript.
    """
    return tuple(event for event in events if event.part not in ATTACK_PARTS)
