"""OpenAI's responses: a flat list of items, and events that build them up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from custodes.types import JsonObject

from .._model import DialectName, Payload, Spoken, ToolUse
from ._base import Base, json_payload, no_completion
from ._events import events_in, halves
from ._json import (
    JsonDict,
    arguments_in,
    arguments_of,
    below,
    count,
    dumped,
    loaded_object,
    objects,
    plain,
    string,
    texts,
)
from ._reading import Reading
from ._saying import CREATED, MODEL, Saying, tokens

_BUILT_IN: Final = {
    # Calls without a name: the tool's, and the field that says what is to be done.
    "local_shell_call": ("local_shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
    "computer_call": ("computer", "action"),
    "tool_search_call": ("tool_search", "arguments"),
}
_CALLS: Final = frozenset({"function_call", "custom_tool_call", *_BUILT_IN})
_UNFINISHED: Final = frozenset({"failed", "cancelled", "in_progress", "queued"})
_TEXT: Final = ("response.output_text.delta", "response.refusal.delta")
_REASONING: Final = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_INPUT: Final = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")
_ENDS: Final = ("response.completed", "response.incomplete")
_FAILURES: Final = ("response.failed", "error")


@dataclass(slots=True)
class _Item:
    """An output item that is being put together.

    Attributes:
        value: as far as it is known; the whole item once it is ``done``.
    """

    value: JsonDict = field(default_factory=dict)
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    input: list[str] = field(default_factory=list)
    done: bool = False


class Responses(Base):
    """OpenAI's responses."""

    name: DialectName = "responses"

    def wants(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/responses")

    # --- requests ---

    def _read(self, path: str, body: bytes) -> Reading:
        request = loaded_object(body, "a request")
        if not isinstance(request.get("input"), str | list):
            raise ValueError("expected a text or a list in 'input', found neither")
        reading = Reading(
            request,
            model=string(request, "model"),
            tools=_offered(request),
            stream=request.get("stream") is True,
        )
        reading.earlier = bool(request.get("previous_response_id") or request.get("conversation"))
        reading.system(texts(request.get("instructions")))
        if isinstance(request["input"], str):
            reading.user([request["input"]])
            return reading
        for item in objects(request, "input"):
            kind, role = string(item, "type"), string(item, "role")
            if kind.endswith("_output"):
                reading.returned(string(item, "call_id"), _returned(item.get("output")))
            elif kind == "reasoning" or kind.endswith("_call") or role == "assistant":
                reading.turn()
            elif role in ("system", "developer"):
                reading.system(texts(item.get("content")))
            elif role == "user":
                reading.user(texts(item.get("content")))
        return reading

    # --- completions ---

    def _document(self, document: object) -> Spoken:
        if not isinstance(document, dict) or not isinstance(document.get("output"), list):
            raise no_completion(document)
        items = [_Item(value=item, done=True) for item in objects(document, "output")]
        complete = document.get("status") not in _UNFINISHED
        return _spoken(items, below(document, "usage"), complete=complete)

    def _stream(self, body: bytes) -> Spoken:
        items: dict[object, _Item] = {}
        last: JsonDict = {}
        ended = failed = False
        for event in events_in(body):
            if event is None:
                continue
            kind, index = string(event, "type"), event.get("output_index")
            at: object = index if isinstance(index, int) else -1
            if kind == "response.output_item.added":
                items[at] = _Item(value=below(event, "item"))
            elif kind == "response.output_item.done":
                if at in items and items[at].done:  # a server that does not count its items
                    at = object()
                items[at] = _Item(value=below(event, "item"), done=True)
            elif kind in _TEXT:
                items.setdefault(at, _Item()).text.append(string(event, "delta"))
            elif kind in _REASONING:
                items.setdefault(at, _Item()).reasoning.append(string(event, "delta"))
            elif kind in _INPUT:
                items.setdefault(at, _Item()).input.append(string(event, "delta"))
            elif kind in _ENDS:
                ended, last = True, below(event, "response")
            elif kind in _FAILURES:
                failed = True
        found = list(items.values())
        if ended:
            # Some clients read the items as they are done, others the list at the end.
            known = [_identity(item.value) for item in found if item.done]
            rest = [one for one in objects(last, "output") if _identity(one) not in known]
            found = [item for item in found if item.done or not rest]
            found += [_Item(value=one, done=True) for one in rest]
        return _spoken(found, below(last, "usage"), complete=ended and not failed)

    # --- writing ---

    def _items(self, reading: Reading, said: Saying) -> list[JsonDict]:
        items: list[JsonDict] = []
        if said.reasoning:
            summary = [{"type": "summary_text", "text": said.reasoning}]
            items.append({"type": "reasoning", "id": f"rs_{said.tag}", "summary": summary})
        if said.text or not said.calls:
            part = {"type": "output_text", "text": said.text, "annotations": []}
            items.append(
                {
                    "type": "message",
                    "id": f"msg_{said.tag}",
                    "role": "assistant",
                    "status": "completed",
                    "content": [part],
                }
            )
        offered = _offered(reading.request)
        for call in said.calls:
            tool = offered.get(call.name, {})
            item = {"call_id": call.id, "name": string(tool, "name") or call.name}
            if string(tool, "namespace"):
                item["namespace"] = tool["namespace"]
            if tool.get("type") == "custom":
                kind, written = "custom_tool_call", {"input": str(call.arguments.get("input", ""))}
            else:
                kind, written = "function_call", {"arguments": call.text}
            own = {"type": kind, "id": f"fc_{call.id}", "status": "completed"}
            items.append({**own, **item, **written})
        return items

    def _frame(self, reading: Reading, said: Saying) -> JsonDict:
        return {
            "id": f"resp_{said.tag}",
            "object": "response",
            "created_at": CREATED,
            "model": string(reading.request, "model") or MODEL,
            "status": "in_progress",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def _whole(self, reading: Reading, said: Saying) -> JsonDict:
        usage = {
            "input_tokens": said.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": said.input_tokens + said.output_tokens,
        }
        items = self._items(reading, said)
        frame = self._frame(reading, said)
        return {**frame, "status": "completed", "output": items, "usage": usage}

    def _events(self, reading: Reading, said: Saying) -> Iterator[JsonDict | str]:
        whole = self._whole(reading, said)
        events = [
            {"type": "response.created", "response": self._frame(reading, said)},
            *(e for at, item in enumerate(whole["output"]) for e in _item_events(at, item)),
            {"type": "response.completed", "response": whole},
        ]
        for number, event in enumerate(events):
            yield {**event, "sequence_number": number}

    def beside(self, method: str, path: str, body: bytes) -> Payload:
        path = path.partition("?")[0]
        if method == "HEAD":
            return Payload(body=b"")
        if path.endswith("/input_tokens"):
            count = {"object": "response.input_tokens", "input_tokens": tokens(len(body))}
            return json_payload(count)
        if method == "GET" and path.endswith("/models"):
            # Codex reads a list of its own kind from there.
            return json_payload({"object": "list", "data": [], "models": []})
        return self.failure(404, "not here")

    def failure(self, status: int, message: str) -> Payload:
        return openai_failure(status, message)


def openai_failure(status: int, message: str) -> Payload:
    """An error as OpenAI's servers have it."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return json_payload({"error": error}, status)


def _offered(request: JsonDict) -> dict[str, JsonDict]:
    """Every tool by its name; one of a namespace has that before a dot.

    Codex offers most of its tools in an item of the input.
    """
    items = request.get("input")
    holders = [request, *(item for item in (items if isinstance(items, list) else ()))]
    found: dict[str, JsonDict] = {}
    for holder in holders:
        for tool in objects(holder, "tools") if isinstance(holder, dict) else ():
            if tool.get("type") == "namespace":
                space = string(tool, "name")
                for inner in objects(tool, "tools"):
                    name = string(inner, "name")
                    found[f"{space}.{name}"] = {**inner, "namespace": space}
            else:
                name = string(tool, "name") or string(tool, "type")
                found[name] = {**tool, "name": name}
    return found


def _returned(output: object) -> str:
    if isinstance(output, str):
        return output
    found = texts(output)
    return "\n".join(found) if found or output is None else dumped(output)


def _identity(item: JsonDict) -> tuple[str, str]:
    return string(item, "type"), string(item, "call_id") or string(item, "id") or dumped(item)


def _call(item: _Item, *, complete: bool) -> ToolUse:
    value, kind = item.value, string(item.value, "type")
    name = string(value, "name")
    if string(value, "namespace"):
        name = f"{value['namespace']}.{name}"
    arguments: JsonObject | None = None
    if kind in _BUILT_IN:
        name, what = _BUILT_IN[kind]
        arguments = arguments_of(value.get(what))
    elif item.done or complete:
        custom = kind == "custom_tool_call"
        text = string(value, "input" if custom else "arguments") or "".join(item.input)
        arguments = {"input": plain(text)} if custom else arguments_in(text)
    call = string(value, "call_id") or string(value, "id")
    return ToolUse(id=plain(call), name=plain(name), arguments=arguments)


def _spoken(items: list[_Item], usage: JsonDict, *, complete: bool) -> Spoken:
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[ToolUse] = []
    for item in items:
        kind = string(item.value, "type")
        if kind in _CALLS or (not kind and item.input):
            calls.append(_call(item, complete=complete))
        elif item.done and kind == "message":
            parts = objects(item.value, "content")
            text.append("".join(string(part, "text") or string(part, "refusal") for part in parts))
        elif item.done and kind == "reasoning":
            parts = [*objects(item.value, "summary"), *objects(item.value, "content")]
            reasoning += texts(parts)
        elif not item.done:
            text.append("".join(item.text))
            reasoning.append("".join(item.reasoning))
    return Spoken(
        text=plain("\n\n".join(part for part in text if part)),
        reasoning=plain("\n\n".join(part for part in reasoning if part)),
        calls=tuple(calls),
        complete=complete,
        input_tokens=count(usage, "input_tokens"),
        output_tokens=count(usage, "output_tokens"),
    )


def _item_events(index: int, item: JsonDict) -> Iterator[JsonDict]:
    at = {"output_index": index}
    where: JsonDict = {**at, "item_id": item["id"]}
    begun = {**item, "status": "in_progress"}
    field, kind = {
        "message": ("content", ""),
        "function_call": ("arguments", "response.function_call_arguments"),
        "custom_tool_call": ("input", "response.custom_tool_call_input"),
    }.get(item["type"], ("summary", ""))
    begun[field] = "" if kind else []
    yield {"type": "response.output_item.added", **at, "item": begun}
    if kind:
        for half in halves(item[field]):
            yield {"type": f"{kind}.delta", **where, "delta": half}
        yield {"type": f"{kind}.done", **where, "name": item["name"], field: item[field]}
    elif item["type"] == "message":
        (part,) = item["content"]
        where["content_index"] = 0
        added = "response.content_part.added"
        yield {"type": added, **where, "part": {**part, "text": ""}}
        for half in halves(part["text"]):
            delta = {"delta": half, "logprobs": []}
            yield {"type": "response.output_text.delta", **where, **delta}
        done = {"text": part["text"], "logprobs": []}
        yield {"type": "response.output_text.done", **where, **done}
        yield {"type": "response.content_part.done", **where, "part": part}
    else:
        (part,) = item["summary"]
        where["summary_index"] = 0
        summary = "response.reasoning_summary"
        yield {"type": f"{summary}_part.added", **where, "part": {**part, "text": ""}}
        for half in halves(part["text"]):
            yield {"type": f"{summary}_text.delta", **where, "delta": half}
        yield {"type": f"{summary}_text.done", **where, "text": part["text"]}
        yield {"type": f"{summary}_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", **at, "item": item}
