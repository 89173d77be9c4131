"""A loopback server for the chat protocol whose answers a test decides one by one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from custodes.scenarios import reference_move

from .protocols import Chat

Answer = tuple[int, bytes]


def playing(policy: str) -> Callable[[dict[str, Any], int], Answer]:
    """Answers requests with the moves of a reference policy."""

    def respond(request: dict[str, Any], count: int) -> Answer:
        chat = Chat()
        conversation = chat.read(request)
        move = reference_move(policy, conversation)
        return 200, json.dumps(chat.whole(move, len(conversation.replies))).encode()

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
