"""A loopback server that plays reference policies over the protocols of hosted models.

OpenAI's chat and responses protocols and Anthropic's messages, whole or as a stream of events. The
policy is the first part of the path. Nothing is kept between requests: the conversation is read
from each one, as a hosted model reads it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import unquote

from custodes.scenarios import Conversation, Move, Opening, Reply, reference_move

JsonDict = dict[str, Any]
CREATED = 1_790_000_000


@dataclass
class _Draft:
    """A conversation that is being read."""

    system: list[str] = field(default_factory=list)
    task: list[str] = field(default_factory=list)
    replies: list[tuple[list[str], list[str]]] = field(default_factory=list)

    def said(self, text: str) -> None:
        """The user said something."""
        (self.replies[-1][1] if self.replies else self.task).append(text)

    def returned(self, text: str) -> None:
        self.replies[-1][0].append(text)

    def turn(self) -> None:
        self.replies.append(([], []))

    def conversation(self, tools: Iterable[str]) -> Conversation:
        opening = Opening(
            system="\n\n".join(self.system), task="\n\n".join(self.task), tools=tuple(tools)
        )
        replies = tuple(Reply(outputs=tuple(o), notices=tuple(n)) for o, n in self.replies)
        return Conversation(opening=opening, replies=replies)


def _texts(content: object) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and "text" in part]


def _arguments(move: Move) -> list[tuple[str, str, JsonDict | None]]:
    """Name, arguments as text, and as an object where they are one, of each call."""
    calls: list[tuple[str, str, JsonDict | None]] = [
        (call.name, json.dumps(call.arguments), call.arguments) for call in move.calls
    ]
    if move.malformed is not None:
        calls.append(("bash", '{"command": "ls', None))
    return calls


def _halves(text: str) -> tuple[str, str]:
    """As a stream brings it: never all at once."""
    middle = len(text) // 2
    return text[:middle], text[middle:]


class Dialect(Protocol):
    """One protocol: how a request is read and how a move is written."""

    path: str

    def read(self, request: JsonDict) -> Conversation: ...

    def whole(self, move: Move, turn: int) -> JsonDict: ...

    def events(self, move: Move, turn: int) -> Iterator[tuple[str, JsonDict | str]]: ...


class Chat:
    """OpenAI's chat completions."""

    path = "/chat/completions"

    def read(self, request: JsonDict) -> Conversation:
        draft = _Draft()
        for message in request["messages"]:
            text = "\n".join(_texts(message.get("content")))
            match message["role"]:
                case "assistant":
                    draft.turn()
                case "tool":
                    draft.returned(text)
                case "system" | "developer":
                    draft.system.append(text)
                case _:
                    draft.said(text)
        return draft.conversation(tool["function"]["name"] for tool in request.get("tools", ()))

    def _calls(self, move: Move, turn: int) -> list[JsonDict]:
        return [
            {
                "id": f"call_{turn}_{at}",
                "type": "function",
                "function": {"name": name, "arguments": text},
            }
            for at, (name, text, _) in enumerate(_arguments(move))
        ]

    def whole(self, move: Move, turn: int) -> JsonDict:
        calls = self._calls(move, turn)
        message: JsonDict = {"role": "assistant", "content": move.text or None}
        if move.reasoning:
            message["reasoning_content"] = move.reasoning
        if calls:
            message["tool_calls"] = calls
        end = "tool_calls" if calls else "stop"
        return {
            "id": f"chatcmpl-{turn}",
            "object": "chat.completion",
            "created": CREATED,
            "model": "scripted",
            "choices": [{"index": 0, "message": message, "finish_reason": end}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
        }

    def events(self, move: Move, turn: int) -> Iterator[tuple[str, JsonDict | str]]:
        def chunk(delta: JsonDict, end: str | None = None, **more: Any) -> tuple[str, JsonDict]:
            return "", {
                "id": f"chatcmpl-{turn}",
                "object": "chat.completion.chunk",
                "created": CREATED,
                "model": "scripted",
                "choices": [{"index": 0, "delta": delta, "finish_reason": end}],
                **more,
            }

        yield chunk({"role": "assistant", "content": ""})
        for half in _halves(move.reasoning):
            if half:
                yield chunk({"reasoning_content": half})
        for half in _halves(move.text):
            if half:
                yield chunk({"content": half})
        calls = self._calls(move, turn)
        for at, call in enumerate(calls):
            first, second = _halves(call["function"]["arguments"])
            begin = {**call, "index": at, "function": {**call["function"], "arguments": first}}
            yield chunk({"tool_calls": [begin]})
            yield chunk({"tool_calls": [{"index": at, "function": {"arguments": second}}]})
        usage = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        yield chunk({}, "tool_calls" if calls else "stop")
        yield "", {**chunk({})[1], "choices": [], "usage": usage}
        yield "", "[DONE]"


class Responses:
    """OpenAI's responses."""

    path = "/responses"

    def read(self, request: JsonDict) -> Conversation:
        draft = _Draft()
        if request.get("instructions"):
            draft.system.append(request["instructions"])
        items = request["input"]
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        ours = False
        for item in items:
            kind, role = item.get("type", "message"), item.get("role")
            text = "\n".join(_texts(item.get("content")))
            mine = kind in ("reasoning", "function_call") or role == "assistant"
            if mine and not ours:
                draft.turn()
            ours = mine
            if kind == "function_call_output":
                draft.returned("\n".join(_texts(item["output"])))
            elif role in ("system", "developer"):
                draft.system.append(text)
            elif role == "user":
                draft.said(text)
        return draft.conversation(tool["name"] for tool in request.get("tools", ()))

    def _items(self, move: Move, turn: int) -> list[JsonDict]:
        items: list[JsonDict] = []
        if move.reasoning:
            summary = [{"type": "summary_text", "text": move.reasoning}]
            items.append({"type": "reasoning", "id": f"rs_{turn}", "summary": summary})
        calls = _arguments(move)
        if move.text or not calls:
            part = {"type": "output_text", "text": move.text, "annotations": []}
            items.append(
                {
                    "type": "message",
                    "id": f"msg_{turn}",
                    "role": "assistant",
                    "status": "completed",
                    "content": [part],
                }
            )
        items += [
            {
                "type": "function_call",
                "id": f"fc_{turn}_{at}",
                "call_id": f"call_{turn}_{at}",
                "name": name,
                "arguments": text,
                "status": "completed",
            }
            for at, (name, text, _) in enumerate(calls)
        ]
        return items

    def _frame(self, turn: int) -> JsonDict:
        return {
            "id": f"resp_{turn}",
            "object": "response",
            "created_at": CREATED,
            "model": "scripted",
            "status": "in_progress",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }

    def whole(self, move: Move, turn: int) -> JsonDict:
        usage = {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 20,
        }
        items = self._items(move, turn)
        return {**self._frame(turn), "status": "completed", "output": items, "usage": usage}

    def events(self, move: Move, turn: int) -> Iterator[tuple[str, JsonDict | str]]:
        at = iter(range(10_000))

        def event(kind: str, **data: Any) -> tuple[str, JsonDict]:
            return kind, {"type": kind, "sequence_number": next(at), **data}

        yield event("response.created", response=self._frame(turn))
        for index, item in enumerate(self._items(move, turn)):
            where = {"output_index": index, "item_id": item["id"]}
            begun = {**item, "status": "in_progress"}
            if item["type"] == "message":
                begun["content"] = []
            if item["type"] == "function_call":
                begun["arguments"] = ""
            yield event("response.output_item.added", output_index=index, item=begun)
            if item["type"] == "message":
                part = item["content"][0]
                where["content_index"] = 0
                empty = {**part, "text": ""}
                yield event("response.content_part.added", **where, part=empty)
                for half in _halves(part["text"]):
                    yield event("response.output_text.delta", **where, delta=half, logprobs=[])
                text = part["text"]
                yield event("response.output_text.done", **where, text=text, logprobs=[])
                yield event("response.content_part.done", **where, part=part)
            if item["type"] == "function_call":
                for half in _halves(item["arguments"]):
                    yield event("response.function_call_arguments.delta", **where, delta=half)
                yield event(
                    "response.function_call_arguments.done",
                    **where,
                    name=item["name"],
                    arguments=item["arguments"],
                )
            yield event("response.output_item.done", output_index=index, item=item)
        yield event("response.completed", response=self.whole(move, turn))


class Messages:
    """Anthropic's messages."""

    path = "/v1/messages"

    def read(self, request: JsonDict) -> Conversation:
        draft = _Draft()
        draft.system += _texts(request.get("system"))
        for message in request["messages"]:
            if message["role"] == "assistant":
                draft.turn()
                continue
            content = message["content"]
            for part in [{"text": content}] if isinstance(content, str) else content:
                if part.get("type") == "tool_result":
                    draft.returned("\n".join(_texts(part.get("content"))))
                else:
                    draft.said(part.get("text", ""))
        return draft.conversation(tool["name"] for tool in request.get("tools", ()))

    def _blocks(self, move: Move, turn: int) -> list[JsonDict]:
        blocks: list[JsonDict] = []
        if move.reasoning:
            blocks.append({"type": "thinking", "thinking": move.reasoning, "signature": "c2ln"})
        calls = _arguments(move)
        if move.text:
            blocks.append({"type": "text", "text": move.text})
        for at, (name, _, arguments) in enumerate(calls):
            call = {"type": "tool_use", "id": f"toolu_{turn}_{at}", "name": name}
            # What is no object has no place here: the nearest thing is one that fits no tool.
            blocks.append({**call, "input": {"cmd": "ls"} if arguments is None else arguments})
        return blocks

    def _frame(self, turn: int) -> JsonDict:
        return {
            "id": f"msg_{turn}",
            "type": "message",
            "role": "assistant",
            "model": "scripted",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 1},
        }

    def _end(self, blocks: list[JsonDict]) -> str:
        calls = any(block["type"] == "tool_use" for block in blocks)
        return "tool_use" if calls else "end_turn"

    def whole(self, move: Move, turn: int) -> JsonDict:
        blocks = self._blocks(move, turn)
        return {**self._frame(turn), "content": blocks, "stop_reason": self._end(blocks)}

    def events(self, move: Move, turn: int) -> Iterator[tuple[str, JsonDict | str]]:
        def event(kind: str, **data: Any) -> tuple[str, JsonDict]:
            return kind, {"type": kind, **data}

        blocks = self._blocks(move, turn)
        yield event("message_start", message=self._frame(turn))
        for index, block in enumerate(blocks):
            match block["type"]:
                case "thinking":
                    empty = {**block, "thinking": "", "signature": ""}
                    deltas = [
                        *(
                            {"type": "thinking_delta", "thinking": half}
                            for half in _halves(block["thinking"])
                        ),
                        {"type": "signature_delta", "signature": block["signature"]},
                    ]
                case "text":
                    empty = {**block, "text": ""}
                    deltas = [{"type": "text_delta", "text": h} for h in _halves(block["text"])]
                case _:
                    empty = {**block, "input": {}}
                    halves = _halves(json.dumps(block["input"]))
                    deltas = [{"type": "input_json_delta", "partial_json": h} for h in halves]
            yield event("content_block_start", index=index, content_block=empty)
            for delta in deltas:
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        end = {"stop_reason": self._end(blocks), "stop_sequence": None}
        yield event("message_delta", delta=end, usage={"output_tokens": 10})
        yield event("message_stop")


DIALECTS: tuple[Dialect, ...] = (Chat(), Responses(), Messages())


@dataclass(frozen=True)
class Fault:
    """Something that a server does instead of answering.

    Attributes:
        body: what it sends; after ``seconds`` of silence.
        cut: a stream ends after so many events.
    """

    status: int = 500
    body: bytes = b'{"error": {"message": "try again", "type": "server_error"}}'
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0
    cut: int | None = None


Faults = Callable[[int], Fault | None]
"""What goes wrong with the n-th request, from 1."""


def fine(number: int) -> Fault | None:
    return None


@dataclass
class Served:
    """A running server. ``requests`` holds path and whether a stream was asked for."""

    port: int
    requests: list[tuple[str, bool]] = field(default_factory=list)

    def url(self, policy: str, below: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/{policy.replace(':', '%3A')}{below}"


@contextmanager
def serving(faults: Faults = fine) -> Iterator[Served]:
    """Serve every policy in every dialect for as long as the block lasts."""
    closing = threading.Event()
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            request = json.loads(body)
            stream = request.get("stream") is True
            if self.path.partition("?")[0].endswith(("/count_tokens", "/input_tokens")):
                self._send(200, json.dumps({"input_tokens": len(body) // 4}).encode())
                return
            with lock:
                served.requests.append((self.path, stream))
                fault = faults(len(served.requests))
            if fault is not None and fault.cut is None:
                closing.wait(fault.seconds)
                self._send(fault.status, fault.body, fault.headers)
                return
            policy, _, path = self.path.lstrip("/").partition("/")
            path = "/" + path.partition("?")[0]
            dialect = next((one for one in DIALECTS if path.endswith(one.path)), None)
            if dialect is None:
                self._send(404, b'{"error": {"message": "no such path"}}')
                return
            conversation = dialect.read(request)
            move = reference_move(unquote(policy), conversation)
            turn = len(conversation.replies)
            if stream:
                self._stream(dialect.events(move, turn), None if fault is None else fault.cut)
            else:
                self._send(200, json.dumps(dialect.whole(move, turn)).encode())

        def _send(
            self, status: int, body: bytes, headers: tuple[tuple[str, str], ...] = ()
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, events: Iterator[tuple[str, JsonDict | str]], cut: int | None) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()
            for at, (name, data) in enumerate(events):
                if at == cut:
                    break
                head = f"event: {name}\n" if name else ""
                text = data if isinstance(data, str) else json.dumps(data)
                self.wfile.write(f"{head}data: {text}\n\n".encode())
                self.wfile.flush()
            self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            return  # a client that went away

    server = Server(("127.0.0.1", 0), Handler)
    served = Served(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
