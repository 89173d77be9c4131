"""OpenAI's chat completions, which many other servers speak, each in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from custodes.types import JsonObject

from .._model import DialectName, Payload, Spoken, ToolUse
from ._base import Base, json_payload, no_completion
from ._events import DONE, events_in, halves
from ._json import (
    JsonDict,
    arguments_in,
    arguments_of,
    below,
    count,
    loaded_object,
    objects,
    plain,
    string,
    texts,
)
from ._reading import Reading
from ._responses import openai_failure
from ._saying import CREATED, MODEL, Saying


@dataclass(slots=True)
class _Call:
    """A call that is being put together."""

    id: str = ""
    name: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    value: object = None
    custom: bool = False

    def add(self, part: JsonDict) -> None:
        """Add what one piece says of the call."""
        self.id = self.id or string(part, "id")
        for kind, text in (("function", "arguments"), ("custom", "input")):
            piece = below(part, kind)
            if piece:
                self.custom = kind == "custom"
                self.name.append(string(piece, "name"))
                self.arguments.append(string(piece, text))
                # Some servers hand over the arguments as they are.
                self.value = piece[text] if isinstance(piece.get(text), dict) else self.value

    def use(self, *, done: bool) -> ToolUse:
        text = "".join(self.arguments)
        arguments: JsonObject | None = None
        if done and self.custom:
            arguments = {"input": plain(text)}
        elif done:
            arguments = arguments_in(text) if self.value is None else arguments_of(self.value)
        return ToolUse(id=plain(self.id), name=plain("".join(self.name)), arguments=arguments)


@dataclass(slots=True)
class _Choice:
    """One of the answers: as a rule there is one."""

    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    at: dict[object, _Call] = field(default_factory=dict)
    ended: bool = False

    def add(self, message: JsonDict) -> None:
        """Add a message, or a piece of one."""
        self.text += texts(message.get("content"))
        self.text.append(string(message, "refusal"))
        self.reasoning.append(string(message, "reasoning_content") or string(message, "reasoning"))
        for part in objects(message, "tool_calls"):
            self._call(part)
        if below(message, "function_call"):
            self._call({"index": "function_call", "function": message["function_call"]})

    def _call(self, part: JsonDict) -> None:
        index, name = part.get("index"), string(part, "id")
        # Without an index, or where one is used twice, an id of its own begins another call.
        at = index if isinstance(index, int | str) else None
        known = self.at.get(at)
        if known is None or (name and (at is None or name != known.id)):
            known = _Call()
            self.calls.append(known)
            self.at[at] = known
        known.add(part)


class Chat(Base):
    """OpenAI's chat completions."""

    name: DialectName = "chat"

    def wants(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/chat/completions")

    # --- requests ---

    def _read(self, path: str, body: bytes) -> Reading:
        request = loaded_object(body, "a request")
        if not isinstance(request.get("messages"), list):
            raise ValueError("expected a list in 'messages', found none")
        reading = Reading(
            request,
            model=string(request, "model"),
            tools=_tools(request),
            stream=request.get("stream") is True,
        )
        for message in objects(request, "messages"):
            said = texts(message.get("content"))
            match message.get("role"):
                case "assistant":
                    reading.turn()
                case "tool":
                    reading.returned(string(message, "tool_call_id"), "\n".join(said))
                case "function":
                    reading.returned(string(message, "name"), "\n".join(said))
                case "system" | "developer":
                    reading.system(said)
                case _:
                    reading.user(said)
        return reading

    # --- completions ---

    def _document(self, document: object) -> Spoken:
        if not isinstance(document, dict) or not isinstance(document.get("choices"), list):
            raise no_completion(document)
        found = []
        for choice in objects(document, "choices"):
            found.append(_Choice(ended=True))
            # Every call of a document is one of its own, whatever it is called.
            message = below(choice, "message")
            calls = [{**part, "index": n} for n, part in enumerate(objects(message, "tool_calls"))]
            found[-1].add({**message, "tool_calls": calls})
        if not found:
            raise ValueError("expected a completion, found none in 'choices'")
        return _spoken(found, below(document, "usage"), complete=True)

    def _stream(self, body: bytes) -> Spoken:
        choices: dict[object, _Choice] = {}
        usage: JsonDict = {}
        ended = failed = False
        for event in events_in(body):
            if event is None:
                ended = True
                continue
            failed = failed or event.get("error") is not None
            usage = below(event, "usage") or usage
            for part in objects(event, "choices"):
                index = part.get("index")
                choice = choices.setdefault(index if isinstance(index, int) else 0, _Choice())
                choice.add(below(part, "delta"))
                choice.ended = choice.ended or isinstance(part.get("finish_reason"), str)
        found = list(choices.values())
        if ended:
            for choice in found:
                choice.ended = True
        complete = bool(found) and all(choice.ended for choice in found)
        return _spoken(found, usage, complete=complete and not failed)

    # --- writing ---

    def _calls(self, said: Saying) -> list[JsonDict]:
        return [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.text},
            }
            for call in said.calls
        ]

    def _frame(self, reading: Reading, said: Saying, kind: str) -> JsonDict:
        return {
            "id": f"chatcmpl-{said.tag}",
            "object": kind,
            "created": CREATED,
            "model": string(reading.request, "model") or MODEL,
        }

    def _whole(self, reading: Reading, said: Saying) -> JsonDict:
        message: JsonDict = {"role": "assistant", "content": said.text or None}
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.calls:
            message["tool_calls"] = self._calls(said)
        return {
            **self._frame(reading, said, "chat.completion"),
            "choices": [{"index": 0, "message": message, "finish_reason": _end(said)}],
            "usage": _usage(said),
        }

    def _events(self, reading: Reading, said: Saying) -> Iterator[JsonDict | str]:
        frame = self._frame(reading, said, "chat.completion.chunk")

        def chunk(delta: JsonDict, end: str | None = None) -> JsonDict:
            return {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": end}]}

        yield chunk({"role": "assistant", "content": ""})
        for half in halves(said.reasoning):
            yield chunk({"reasoning_content": half})
        for half in halves(said.text):
            yield chunk({"content": half})
        for at, call in enumerate(self._calls(said)):
            first, *rest = halves(call["function"]["arguments"])
            begin: dict[str, Any] = {**call["function"], "arguments": first}
            yield chunk({"tool_calls": [{**call, "index": at, "function": begin}]})
            for half in rest:
                yield chunk({"tool_calls": [{"index": at, "function": {"arguments": half}}]})
        yield chunk({}, _end(said))
        yield {**frame, "choices": [], "usage": _usage(said)}
        yield DONE

    def beside(self, method: str, path: str, body: bytes) -> Payload:
        if method == "HEAD":
            return Payload(body=b"")
        if method == "GET" and path.partition("?")[0].endswith("/models"):
            listed = {"id": MODEL, "object": "model", "created": CREATED, "owned_by": MODEL}
            return json_payload({"object": "list", "data": [listed]})
        return self.failure(404, "not here")

    def failure(self, status: int, message: str) -> Payload:
        return openai_failure(status, message)


def _tools(request: JsonDict) -> Iterator[str]:
    for tool in objects(request, "tools"):
        yield string(below(tool, "function"), "name") or string(below(tool, "custom"), "name")
    for function in objects(request, "functions"):
        yield string(function, "name")


def _end(said: Saying) -> str:
    return "tool_calls" if said.calls else "stop"


def _usage(said: Saying) -> JsonDict:
    read, written = said.input_tokens, said.output_tokens
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
    }


def _spoken(choices: list[_Choice], usage: JsonDict, *, complete: bool) -> Spoken:
    text = ["".join(choice.text) for choice in choices]
    reasoning = ["".join(choice.reasoning) for choice in choices]
    return Spoken(
        text=plain("\n\n".join(part for part in text if part)),
        reasoning=plain("\n\n".join(part for part in reasoning if part)),
        calls=tuple(call.use(done=choice.ended) for choice in choices for call in choice.calls),
        complete=complete,
        input_tokens=count(usage, "prompt_tokens"),
        output_tokens=count(usage, "completion_tokens"),
    )
