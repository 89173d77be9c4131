"""A loopback server that speaks OpenAI's chat protocol and plays the reference scripts.

The path of a hosted model is exercised without one: Inspect's own provider, its client library,
HTTP, tool schemas and tool calls as text.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from custodes.scenarios import Conversation, Move, Opening, Reply, reference_move

Answer = tuple[int, bytes]


def conversation_of(request: dict[str, Any]) -> Conversation:
    """Messages and tool names of a chat request, as a reference policy is given them."""
    system: list[str] = []
    task: list[str] = []
    replies: list[tuple[list[str], list[str]]] = []
    for message in request["messages"]:
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "\n".join(part.get("text", "") for part in content)
        if message["role"] == "assistant":
            replies.append(([], []))
        elif message["role"] == "tool":
            replies[-1][0].append(content)
        elif message["role"] in ("system", "developer"):
            system.append(content)
        else:
            (replies[-1][1] if replies else task).append(content)
    return Conversation(
        opening=Opening(
            system="\n\n".join(system),
            task="\n\n".join(task),
            tools=tuple(tool["function"]["name"] for tool in request.get("tools", ())),
        ),
        replies=tuple(Reply(outputs=tuple(o), notices=tuple(n)) for o, n in replies),
    )


def completion(move: Move, turn: int) -> bytes:
    """A chat completion that makes the move."""
    calls = [
        {
            "id": f"call_{turn}_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(move.calls)
    ]
    message: dict[str, Any] = {"role": "assistant", "content": move.text or None}
    if calls:
        message["tool_calls"] = calls
    body = {
        "id": f"chatcmpl-{turn}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "scripted",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "tool_calls" if calls else "stop",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20},
    }
    return json.dumps(body).encode()


def playing(policy: str) -> Callable[[dict[str, Any], int], Answer]:
    """Answers requests with the moves of a reference policy."""

    def respond(request: dict[str, Any], count: int) -> Answer:
        conversation = conversation_of(request)
        return 200, completion(reference_move(policy, conversation), len(conversation.replies))

    return respond


@contextmanager
def serving(respond: Callable[[dict[str, Any], int], Answer]) -> Iterator[str]:
    """Serve on loopback while the context lasts; yields the base URL.

    ``respond`` is given each request and how many came before it.
    """
    count = 0
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal count
            size = int(self.headers.get("content-length", 0))
            request = json.loads(self.rfile.read(size))
            with lock:
                before, count = count, count + 1
            status, body = respond(request, before)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
