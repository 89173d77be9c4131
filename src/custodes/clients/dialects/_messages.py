"""Anthropic's messages: content blocks, and events that build them up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

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
    total,
)
from ._reading import Reading
from ._saying import MODEL, Saying, tokens

_SIGNATURE = "c2lnbmVk"


@dataclass(slots=True)
class _Block:
    """A content block that is being put together."""

    start: JsonDict
    text: list[str] = field(default_factory=list)
    input: list[str] = field(default_factory=list)
    done: bool = False

    @property
    def kind(self) -> str:
        return string(self.start, "type")

    def call(self) -> ToolUse:
        arguments = None
        if self.done:
            written = "".join(self.input)
            # Without a word of input the block's start has it: an empty object, as a rule.
            arguments = (
                arguments_in(written) if written.strip() else arguments_of(self.start.get("input"))
            )
        return ToolUse(
            id=plain(string(self.start, "id")),
            name=plain(string(self.start, "name")),
            arguments=arguments,
        )


class Messages(Base):
    """Anthropic's messages."""

    name: DialectName = "messages"

    def wants(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/v1/messages")

    # --- requests ---

    def _read(self, path: str, body: bytes) -> Reading:
        request = loaded_object(body, "a request")
        if not isinstance(request.get("messages"), list):
            raise ValueError("expected a list in 'messages', found none")
        reading = Reading(
            request,
            model=string(request, "model"),
            tools=(string(tool, "name") for tool in objects(request, "tools")),
            stream=request.get("stream") is True,
        )
        reading.system(texts(request.get("system")))
        for message in objects(request, "messages"):
            match message.get("role"):
                case "assistant":
                    reading.turn()
                case "system":
                    reading.system(texts(message.get("content")))
                case _:
                    self._user(reading, message)
        return reading

    def _user(self, reading: Reading, message: JsonDict) -> None:
        if isinstance(message.get("content"), str):
            reading.user([message["content"]])
            return
        for part in objects(message, "content"):
            if part.get("type") == "tool_result":
                reading.returned(
                    string(part, "tool_use_id"),
                    "\n".join(texts(part.get("content"))),
                    error=part.get("is_error") is True,
                )
            elif part.get("type", "text") == "text":
                reading.user(texts([part]))

    # --- completions ---

    def _document(self, document: object) -> Spoken:
        if not isinstance(document, dict) or not isinstance(document.get("content"), list):
            raise no_completion(document)
        blocks = [_Block(start=part, done=True) for part in objects(document, "content")]
        return _spoken(blocks, below(document, "usage"), complete=True)

    def _stream(self, body: bytes) -> Spoken:
        blocks: list[_Block] = []
        open_blocks: dict[object, _Block] = {}
        usage: JsonDict = {}
        ended = failed = False
        for event in events_in(body):
            if event is None:
                continue
            index = event.get("index")
            at = index if isinstance(index, int) else 0
            match event.get("type"):
                case "message_start":
                    usage.update(below(below(event, "message"), "usage"))
                case "content_block_start":
                    open_blocks[at] = _Block(start=below(event, "content_block"))
                    blocks.append(open_blocks[at])
                case "content_block_delta":
                    if at not in open_blocks:
                        raise ValueError(
                            f"expected the start of block {at} first, found more of it"
                        )
                    delta = below(event, "delta")
                    block = open_blocks[at]
                    block.text += [string(delta, "text"), string(delta, "thinking")]
                    block.input.append(string(delta, "partial_json"))
                case "content_block_stop":
                    if at in open_blocks:
                        open_blocks[at].done = True
                case "message_delta":
                    known = {k: v for k, v in below(event, "usage").items() if v is not None}
                    usage.update(known)
                case "message_stop":
                    ended = True
                case "error":
                    failed = True
        return _spoken(blocks, usage, complete=ended and not failed)

    # --- writing ---

    def _blocks(self, said: Saying) -> list[JsonDict]:
        blocks: list[JsonDict] = []
        if said.reasoning:
            thinking = {"thinking": said.reasoning, "signature": _SIGNATURE}
            blocks.append({"type": "thinking", **thinking})
        if said.text:
            blocks.append({"type": "text", "text": said.text})
        for call in said.calls:
            # What is no object has no place here: the arguments are some that fit no tool.
            use = {"id": f"toolu_{call.id}", "name": call.name, "input": call.arguments}
            blocks.append({"type": "tool_use", **use})
        return blocks

    def _frame(self, reading: Reading, said: Saying) -> JsonDict:
        return {
            "id": f"msg_{said.tag}",
            "type": "message",
            "role": "assistant",
            "model": string(reading.request, "model") or MODEL,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": said.input_tokens, "output_tokens": 1},
        }

    def _whole(self, reading: Reading, said: Saying) -> JsonDict:
        frame = self._frame(reading, said)
        usage = {"input_tokens": said.input_tokens, "output_tokens": said.output_tokens}
        return {
            **frame,
            "content": self._blocks(said),
            "stop_reason": _end(said),
            "usage": usage,
        }

    def _events(self, reading: Reading, said: Saying) -> Iterator[JsonDict | str]:
        yield {"type": "message_start", "message": self._frame(reading, said)}
        for index, block in enumerate(self._blocks(said)):
            at = {"index": index}
            match block["type"]:
                case "thinking":
                    start = {**block, "thinking": "", "signature": ""}
                    deltas: list[JsonDict] = [
                        {"type": "thinking_delta", "thinking": half}
                        for half in halves(block["thinking"])
                    ]
                    deltas.append({"type": "signature_delta", "signature": _SIGNATURE})
                case "text":
                    start = {**block, "text": ""}
                    deltas = [{"type": "text_delta", "text": h} for h in halves(block["text"])]
                case _:
                    start = {**block, "input": {}}
                    deltas = [
                        {"type": "input_json_delta", "partial_json": half}
                        for half in halves(dumped(block["input"]))
                    ]
            yield {"type": "content_block_start", **at, "content_block": start}
            for delta in deltas:
                yield {"type": "content_block_delta", **at, "delta": delta}
            yield {"type": "content_block_stop", **at}
        end = {"stop_reason": _end(said), "stop_sequence": None}
        usage = {"output_tokens": said.output_tokens}
        yield {"type": "message_delta", "delta": end, "usage": usage}
        yield {"type": "message_stop"}

    def beside(self, method: str, path: str, body: bytes) -> Payload:
        path = path.partition("?")[0]
        if method == "HEAD":
            return Payload(body=b"")
        if path.endswith("/count_tokens"):
            return json_payload({"input_tokens": tokens(len(body))})
        if method == "GET" and path.endswith("/models"):
            return json_payload({"data": [], "has_more": False, "first_id": None, "last_id": None})
        return self.failure(404, "not here")

    def failure(self, status: int, message: str) -> Payload:
        kind = "not_found_error" if status == 404 else "invalid_request_error"
        return json_payload({"type": "error", "error": {"type": kind, "message": message}}, status)


def _end(said: Saying) -> str:
    return "tool_use" if said.calls else "end_turn"


def _spoken(blocks: list[_Block], usage: JsonDict, *, complete: bool) -> Spoken:
    text: list[str] = []
    reasoning: list[str] = []
    for block in blocks:
        if block.kind == "text":
            text.append("".join((string(block.start, "text"), *block.text)))
        elif block.kind == "thinking":
            reasoning.append("".join((string(block.start, "thinking"), *block.text)))
    return Spoken(
        text=plain("\n\n".join(part for part in text if part)),
        reasoning=plain("\n\n".join(part for part in reasoning if part)),
        calls=tuple(block.call() for block in blocks if block.kind == "tool_use"),
        complete=complete,
        # Cached tokens were read too; the protocol counts them apart.
        input_tokens=total(
            count(usage, "input_tokens"),
            count(usage, "cache_creation_input_tokens"),
            count(usage, "cache_read_input_tokens"),
        ),
        output_tokens=count(usage, "output_tokens"),
    )
