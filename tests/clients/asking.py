"""Requests as clients make them, in every protocol, from one plain account of a conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from custodes.clients import DIALECTS, ClientError, DialectName, Payload, Spoken
from custodes.types import JsonObject

SHELL = "run"
TOOLS = ("read", SHELL)


class Shell:
    """A client with one tool that runs commands; it frames what they print."""

    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        if SHELL not in tools:
            raise ClientError(f"expected the tool {SHELL}, found none")
        return SHELL, {"cmd": command}

    def output(self, text: str) -> str:
        return text.removeprefix("printed: ")

    def denied(self, text: str, error: bool | None = None) -> str | None:
        return None


@dataclass(frozen=True)
class Turn:
    """A turn of the model, and what came after it.

    ``calls`` are id, name and arguments; ``returns`` id and text; ``failed`` ids of failures.
    """

    text: str = ""
    calls: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()
    returns: tuple[tuple[str, str], ...] = ()
    failed: tuple[str, ...] = ()
    user: tuple[str, ...] = ()


def turn_of(spoken: Spoken, outputs: Sequence[str], user: Sequence[str] = ()) -> Turn:
    """A completion as a client tells of it afterwards."""
    return Turn(
        text=spoken.text,
        calls=tuple((call.id, call.name, call.arguments or {}) for call in spoken.calls),
        returns=tuple(
            (call.id, f"printed: {text}") for call, text in zip(spoken.calls, outputs, strict=True)
        ),
        user=tuple(user),
    )


def path_of(dialect: DialectName, *, stream: bool = False) -> str:
    how = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return {
        "messages": "/v1/messages?beta=true",
        "responses": "/v1/responses",
        "chat": "/v1/chat/completions",
        "gemini": f"/v1beta/models/wanted:{how}",
    }[dialect]


def request(
    dialect: DialectName,
    user: Sequence[str],
    turns: Sequence[Turn] = (),
    *,
    system: str = "You are a client's agent.",
    tools: Sequence[str] = TOOLS,
    stream: bool = False,
) -> tuple[str, bytes]:
    """Path and body."""
    body = _BUILD[dialect](user, turns, system, tools)
    if dialect != "gemini":
        body = {"model": "wanted", "stream": stream, **body}
    return path_of(dialect, stream=stream), json.dumps(body).encode()


def ask(
    dialect: DialectName, answer: Any, user: Sequence[str], turns: Sequence[Turn] = (), **how: Any
) -> tuple[Payload, Spoken]:
    """Put the request to a scripted server, and read what it says."""
    path, body = request(dialect, user, turns, **how)
    payload = answer("POST", path, body)
    return payload, DIALECTS[dialect].spoken(payload)


def _messages(
    user: Sequence[str], turns: Sequence[Turn], system: str, tools: Sequence[str]
) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": text} for text in user]}
    ]
    for turn in turns:
        content: list[dict[str, Any]] = [{"type": "text", "text": turn.text}] if turn.text else []
        content += [
            {"type": "tool_use", "id": call, "name": name, "input": dict(arguments)}
            for call, name, arguments in turn.calls
        ]
        messages.append({"role": "assistant", "content": content})
        back: list[dict[str, Any]] = [
            {
                "type": "tool_result",
                "tool_use_id": call,
                "content": [{"type": "text", "text": text}],
                "is_error": call in turn.failed,
            }
            for call, text in turn.returns
        ]
        back += [{"type": "text", "text": text} for text in turn.user]
        messages.append({"role": "user", "content": back})
    return {
        "max_tokens": 1000,
        "system": [{"type": "text", "text": system}],
        "tools": [{"name": name, "input_schema": {"type": "object"}} for name in tools],
        "messages": messages,
    }


def _responses(
    user: Sequence[str], turns: Sequence[Turn], system: str, tools: Sequence[str]
) -> dict[str, Any]:
    def said(text: str) -> dict[str, Any]:
        content = [{"type": "input_text", "text": text}]
        return {"type": "message", "role": "user", "content": content}

    items = [said(text) for text in user]
    for turn in turns:
        items.append({"type": "reasoning", "summary": [], "encrypted_content": "e30="})
        if turn.text or not turn.calls:
            content = [{"type": "output_text", "text": turn.text}]
            items.append({"type": "message", "role": "assistant", "content": content})
        items += [
            {"type": "function_call", "call_id": c, "name": n, "arguments": json.dumps(dict(a))}
            for c, n, a in turn.calls
        ]
        items += [
            {"type": "function_call_output", "call_id": call, "output": text}
            for call, text in turn.returns
        ]
        items += [said(text) for text in turn.user]
    return {
        "instructions": system,
        "tools": [{"type": "function", "name": name, "parameters": {}} for name in tools],
        "input": items,
    }


def _chat(
    user: Sequence[str], turns: Sequence[Turn], system: str, tools: Sequence[str]
) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}]
    messages += [{"role": "user", "content": text} for text in user]
    for turn in turns:
        calls = [
            {"id": c, "type": "function", "function": {"name": n, "arguments": json.dumps(dict(a))}}
            for c, n, a in turn.calls
        ]
        messages.append({"role": "assistant", "content": turn.text or None, "tool_calls": calls})
        messages += [
            {"role": "tool", "tool_call_id": call, "content": text} for call, text in turn.returns
        ]
        messages += [{"role": "user", "content": text} for text in turn.user]
    return {
        "tools": [{"type": "function", "function": {"name": name}} for name in tools],
        "messages": messages,
    }


def _gemini(
    user: Sequence[str], turns: Sequence[Turn], system: str, tools: Sequence[str]
) -> dict[str, Any]:
    contents: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": t} for t in user]}]
    for turn in turns:
        parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
        names = {call: name for call, name, _ in turn.calls}
        parts += [
            {"functionCall": {"id": call, "name": name, "args": dict(arguments)}}
            for call, name, arguments in turn.calls
        ]
        contents.append({"role": "model", "parts": parts})
        back: list[dict[str, Any]] = [
            {
                "functionResponse": {
                    "id": call,
                    "name": names.get(call, ""),
                    "response": {"error" if call in turn.failed else "output": text},
                }
            }
            for call, text in turn.returns
        ]
        contents.append({"role": "user", "parts": [*back, *({"text": t} for t in turn.user)]})
    return {
        "systemInstruction": {"parts": [{"text": system}]},
        "tools": [{"functionDeclarations": [{"name": name} for name in tools]}],
        "contents": contents,
    }


_BUILD: Mapping[DialectName, Callable[..., dict[str, Any]]] = {
    "messages": _messages,
    "responses": _responses,
    "chat": _chat,
    "gemini": _gemini,
}
