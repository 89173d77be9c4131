"""Gemini's generateContent: contents of parts; the model's name is in the path.

Calls need no ids here. Where a server gives one it is used; otherwise a call is named after what it
says, so that the completion that orders it and the requests that tell of it have the same name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qs, unquote

from .._model import DialectName, Payload, Spoken, ToolUse
from ._base import Base, json_payload, no_completion
from ._events import events_in, halves
from ._json import (
    JsonDict,
    arguments_of,
    below,
    count,
    dumped,
    loaded_object,
    objects,
    plain,
    string,
    texts,
    total,
)
from ._reading import Reading
from ._saying import MODEL, Saying, tokens

_PATH: Final = re.compile(r"/(?:models|tunedModels|endpoints)/([^/:]+):(stream)?[gG]enerateContent")
_SIGNATURE: Final = "c2NyaXB0ZWQ="
_CONVERSED: Final = "application/json"
_KNOWN: Final = ("candidates", "promptFeedback")


class Gemini(Base):
    """Gemini's generateContent and streamGenerateContent."""

    name: DialectName = "gemini"

    def wants(self, method: str, path: str) -> bool:
        return method == "POST" and _named(path) is not None

    # --- requests ---

    def _read(self, path: str, body: bytes) -> Reading:
        path, _, query = path.partition("?")
        named = _named(path)
        if named is None:
            raise ValueError("expected a model's name and :generateContent in the path, found none")
        request = loaded_object(body, "a request")
        if not isinstance(request.get("contents"), list):
            raise ValueError("expected a list in 'contents', found none")
        # A question whose answer must be JSON is on the side: routing, a summary.
        aside = _settings(request).get("responseMimeType") == _CONVERSED
        reading = Reading(
            request,
            model=unquote(named[1]),
            tools=() if aside else _tools(request),
            stream=named[2] is not None and parse_qs(query).get("alt") == ["sse"],
        )
        reading.listed = named[2] is not None
        for holder in ("systemInstruction", "system_instruction"):
            said = request.get(holder)
            reading.system(texts(said) if isinstance(said, str) else _texts(below(request, holder)))
        waiting: list[tuple[str, str, str]] = []
        for content in objects(request, "contents"):
            if content.get("role") == "model":
                reading.turn()
                for part in objects(content, "parts"):
                    if isinstance(part.get("functionCall"), dict):
                        call = part["functionCall"]
                        waiting.append((string(call, "id"), string(call, "name"), _id(part)))
                continue
            for part in objects(content, "parts"):
                if isinstance(part.get("functionResponse"), dict):
                    back = part["functionResponse"]
                    answer = back.get("response")
                    text, error = _returned(answer)
                    reading.returned(_answered(back, waiting), text, error=error)
                elif isinstance(part.get("text"), str) and part.get("thought") is not True:
                    reading.user([part["text"]])
        return reading

    # --- completions ---

    def _document(self, document: object) -> Spoken:
        # A list is a stream that was not asked for as events.
        chunks = objects(
            {"chunks": document if isinstance(document, list) else [document]}, "chunks"
        )
        if not any(chunk.get(name) for chunk in chunks for name in _KNOWN):
            raise no_completion(chunks[0] if chunks else document)
        return _spoken(chunks, sure=True)

    def _stream(self, body: bytes) -> Spoken:
        return _spoken([event for event in events_in(body) if event is not None], sure=False)

    # --- writing ---

    def _parts(self, reading: Reading, said: Saying) -> list[JsonDict]:
        parts: list[JsonDict] = []
        if _settings(reading.request).get("responseMimeType") == _CONVERSED:
            return [{"text": "{}"}]
        if said.reasoning:
            parts.append({"text": said.reasoning, "thought": True})
        if said.text or not said.calls:
            parts.append({"text": said.text})
        for call in said.calls:
            # What is no object has no place here: the arguments are some that fit no tool.
            ordered = {"id": call.id, "name": call.name, "args": call.arguments}
            parts.append({"functionCall": ordered, "thoughtSignature": _SIGNATURE})
        return parts

    def _chunk(self, said: Saying, parts: list[JsonDict], end: str | None) -> JsonDict:
        candidate: JsonDict = {"content": {"role": "model", "parts": parts}, "index": 0}
        if end is not None:
            candidate["finishReason"] = end
        return {
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": said.input_tokens,
                "candidatesTokenCount": said.output_tokens,
                "totalTokenCount": said.input_tokens + said.output_tokens,
            },
            "modelVersion": MODEL,
            "responseId": said.tag,
        }

    def _whole(self, reading: Reading, said: Saying) -> JsonDict | list[JsonDict]:
        whole = self._chunk(said, self._parts(reading, said), "STOP")
        return [whole] if reading.listed else whole

    def _events(self, reading: Reading, said: Saying) -> Iterator[JsonDict | str]:
        *before, last = self._parts(reading, said)
        for part in before:
            for half in halves(part["text"]) if "text" in part else ():
                yield self._chunk(said, [{**part, "text": half}], None)
            if "text" not in part:
                yield self._chunk(said, [part], None)
        yield self._chunk(said, [last], "STOP")

    def beside(self, method: str, path: str, body: bytes) -> Payload:
        path = path.partition("?")[0]
        if method == "HEAD":
            return Payload(body=b"")
        if path.endswith(":countTokens"):
            return json_payload({"totalTokens": tokens(len(body))})
        if method == "GET" and path.endswith("/models"):
            return json_payload({"models": []})
        return self.failure(404, "not here")

    def failure(self, status: int, message: str) -> Payload:
        kind = "NOT_FOUND" if status == 404 else "INVALID_ARGUMENT"
        error = {"code": status, "message": message, "status": kind}
        return json_payload({"error": error}, status)


def _named(path: str) -> re.Match[str] | None:
    return _PATH.search(path) if path.endswith("enerateContent") else None


def _settings(request: JsonDict) -> JsonDict:
    return below(request, "generationConfig") or below(request, "generation_config")


def _tools(request: JsonDict) -> Iterator[str]:
    for tool in objects(request, "tools"):
        for name in ("functionDeclarations", "function_declarations"):
            for function in objects(tool, name):
                yield string(function, "name")


def _texts(content: JsonDict) -> list[str]:
    return texts(objects(content, "parts"))


def _id(part: JsonDict) -> str:
    """What a call is known by: its id, or else a name after what it says."""
    call = below(part, "functionCall")
    if string(call, "id"):
        return string(call, "id")
    said = [call.get("name"), call.get("args"), part.get("thoughtSignature")]
    return "call_" + hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:20]


def _answered(back: JsonDict, waiting: list[tuple[str, str, str]]) -> str:
    """The call that an answer is to: by id, or else the first open one of that name."""
    given, name = string(back, "id"), string(back, "name")
    found = next((one for one in waiting if given and one[0] == given), None)
    if found is None:
        found = next((one for one in waiting if one[1] == name), None)
    if found is None:
        return given or name
    waiting.remove(found)
    return found[2]


def _returned(answer: object) -> tuple[str, bool]:
    """The text of an answer, and whether it is an error."""
    if not isinstance(answer, dict):
        return ("" if answer is None else dumped(answer)), False
    for field in ("output", "error"):
        value = answer.get(field)
        if isinstance(value, str) and len(answer) == 1:
            return value, field == "error"
    return dumped(answer), "error" in answer


def _spoken(chunks: list[JsonDict], *, sure: bool) -> Spoken:
    """What chunks say together. ``sure``: they came in a document, which is whole in itself."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolUse] = []
    usage: JsonDict = {}
    ended, failed = sure, False
    for chunk in chunks:
        usage = {**usage, **below(chunk, "usageMetadata")}
        ended = ended or bool(string(below(chunk, "promptFeedback"), "blockReason"))
        failed = failed or chunk.get("error") is not None
        for candidate in objects(chunk, "candidates"):
            ended = ended or bool(string(candidate, "finishReason"))
            for part in objects(below(candidate, "content"), "parts"):
                if isinstance(part.get("functionCall"), dict):
                    calls.append(_use(part))
                elif part.get("thought") is True:
                    reasoning.append(string(part, "text"))
                else:
                    text.append(string(part, "text"))
    return Spoken(
        text=plain("".join(text)),
        reasoning=plain("".join(reasoning)),
        calls=tuple(calls),
        complete=ended and not failed,
        input_tokens=count(usage, "promptTokenCount"),
        # The protocol counts thoughts apart.
        output_tokens=total(
            count(usage, "candidatesTokenCount"), count(usage, "thoughtsTokenCount")
        ),
    )


def _use(part: JsonDict) -> ToolUse:
    call = below(part, "functionCall")
    arguments = {} if call.get("args") is None else arguments_of(call["args"])
    return ToolUse(id=plain(_id(part)), name=plain(string(call, "name")), arguments=arguments)
