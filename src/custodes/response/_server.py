"""Where acknowledgements and orders arrive: a small server on the loopback, behind a secret path.

Only the holder of the page's address can answer. The time of an answer is the host's monotonic
clock when its request was complete and valid.
"""

from __future__ import annotations

import hmac
import http.server
import json
import re
import secrets
import socket
import socketserver
import threading
import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from custodes.types import JsonObject

from ._page import POLICY, Alert, render
from ._receipts import Receipts
from ._result import Kind, plain_line

_BODY = 8 << 10
_NAME = 100
_REASON = 300
_AT_ONCE = 16
_REQUEST_S = 10.0
_STOP_S = 15.0
"""How long the answer to an order waits for the stop's outcome."""

_LOOPBACK = re.compile(r"(?:127\.0\.0\.1|localhost)(?::\d{1,5})?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A valid request: who sent it, and when, in microseconds since the run began."""

    us: int
    by: str
    kind: Kind
    reason: str = ""


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class PageServer:
    """Serves one alert, from `start` to `close`.

    Args:
        receipts: where what arrives is recorded.
        notify: called on a server thread when there is something new to look at.
    """

    def __init__(self, receipts: Receipts, notify: Callable[[], None]) -> None:
        self._receipts = receipts
        self._notify = notify
        self._token: Final = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self._alert: Alert | None = None
        self._over = threading.Event()
        self._outcome = ""
        self.acknowledged: Answer | None = None
        self.ordered: Answer | None = None
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Let the last answers go out, for 2 s at most, and end."""
        self.finish("")
        self._server.shutdown()
        self._thread.join()
        self._server.idle.acquire(timeout=2.0)
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self._token}"

    def open(self, alert: Alert) -> None:
        """From now on there is something to answer."""
        with self._lock:
            self._alert = alert

    def close_orders(self, answer: Answer) -> Answer:
        """Order in place of those who did not, unless one of them was faster after all."""
        with self._lock:
            if self.ordered is None:
                self.ordered = answer
            return self.ordered

    def finish(self, outcome: str) -> None:
        """The stop was carried out: tell those who wait for it."""
        with self._lock:
            self._outcome = self._outcome or outcome
        self._over.set()

    # --- on server threads -----------------------------------------------------------------

    def allows(self, path: str) -> str:
        """What is asked for below the secret path: empty, ``acknowledge`` or ``stop``.

        Raises:
            _Refused: anything else.
        """
        token, _, rest = path.removeprefix("/").partition("/")
        known = hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode())
        if not known or self._alert is None or rest not in ("", "acknowledge", "stop"):
            raise _Refused(404, "not found")
        return rest

    def take(self, what: str, fields: Mapping[str, str]) -> None:
        """Take an answer.

        Raises:
            _Refused: it does not say who sends it, or is of no known kind.
        """
        by = plain_line(fields.get("by", ""), _NAME)
        if not by:
            raise _Refused(400, "expected by=<who>, found nothing")
        try:
            # Who does not say so is no person: scripts that answer by themselves say nothing.
            kind = Kind(fields.get("kind", "") or Kind.PROGRAM)
        except ValueError:
            kind = Kind.DRILL
        if kind is Kind.DRILL:
            raise _Refused(400, "expected kind=person or kind=program")
        reason = plain_line(fields.get("reason", ""), _REASON) or "ordered from the page"
        with self._lock:
            first = self.acknowledged is None if what == "acknowledge" else self.ordered is None
            late = what == "acknowledge" and self.ordered is not None
            counted = first and not late
            data: JsonObject = {"by": by, "kind": kind.value, "counted": int(counted)}
            us = self._receipts.add(what, data)
            if counted and what == "acknowledge":
                self.acknowledged = Answer(us=us, by=by, kind=kind)
            elif counted:
                self.ordered = Answer(us=us, by=by, kind=kind, reason=reason)
        self._notify()
        if what == "stop":
            self._over.wait(_STOP_S)

    def said(self) -> tuple[list[str], str]:
        """What has happened, a line each, and who acknowledged."""
        with self._lock:
            who, order, outcome = self.acknowledged, self.ordered, self._outcome
        lines = [f"Acknowledged by {who.by}."] if who else []
        if order is not None:
            lines.append(f"Stop ordered by {order.by}.")
            if outcome:
                lines.append(outcome)
        return lines, who.by if who else ""

    def page(self) -> bytes:
        assert self._alert is not None
        lines, name = self.said()
        over = self.ordered is not None
        return render(self._alert, address=f"/{self._token}", said=lines, over=over, name=name)


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 32

    def __init__(self, address: tuple[str, int], handler: type[_Handler]) -> None:
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._busy = 0
        self._count = threading.Lock()
        self.idle = threading.Semaphore(1)
        """Free when no request is being answered."""
        super().__init__(address, handler)

    def process_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        with self._count:
            self._busy += 1
            if self._busy == 1:
                self.idle.acquire(blocking=False)
        super().process_request(request, client_address)

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            with self._count:
                self._busy -= 1
                if self._busy == 0:
                    self.idle.release()
            self._slots.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is none of our business."""


class _Handler(http.server.BaseHTTPRequestHandler):
    page: PageServer
    timeout = _REQUEST_S
    server_version = "custodes"
    sys_version = ""
    protocol_version = "HTTP/1.0"

    def setup(self) -> None:
        super().setup()
        # The timeout of the base class is for each read: who sends a byte now and then would
        # hold a place for hours, and the places are few.
        self._limit = threading.Timer(_REQUEST_S, self._hang_up)
        self._limit.daemon = True
        self._limit.start()

    def finish(self) -> None:
        self._limit.cancel()
        super().finish()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, work: Callable[[], None]) -> None:
        try:
            self._check_origin()
            work()
        except _Refused as refusal:
            self._send(refusal.status, _json({"error": refusal.why}), "application/json")

    def _check_origin(self) -> None:
        """Another name for this address is a page elsewhere that had its name rebound."""
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not _LOOPBACK.match(hosts[0]):
            raise _Refused(421, "expected a Host of 127.0.0.1 or localhost")
        origins = self.headers.get_all("Origin", [])
        if origins and origins != [f"http://{hosts[0]}"]:
            raise _Refused(403, "expected a request from this page, found another origin")

    def _get(self) -> None:
        if self.page.allows(self.path):
            raise _Refused(405, "expected POST")  # a preview of a link must not acknowledge
        self._send(200, self.page.page(), "text/html; charset=utf-8")

    def _post(self) -> None:
        what = self.page.allows(self.path)
        if not what:
            raise _Refused(405, "expected GET, or POST to /acknowledge or /stop")
        self.page.take(what, self._fields())
        if "text/html" in self.headers.get("Accept", ""):
            self._send(200, self.page.page(), "text/html; charset=utf-8")
        else:
            lines, _ = self.page.said()
            self._send(200, _json({"said": lines}), "application/json")

    def _fields(self) -> dict[str, str]:
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,9}", lengths[0].strip()):
            raise _Refused(411, "expected one Content-Length")
        if int(lengths[0]) > _BODY:
            raise _Refused(413, f"expected a body of at most {_BODY} bytes")
        body = self.rfile.read(int(lengths[0]))
        self._limit.cancel()
        if len(body) != int(lengths[0]):
            raise _Refused(400, "the body ended early")
        try:
            text = body.decode("utf-8")
            if self.headers.get_content_type() == "application/json":
                found = json.loads(text)
                if not isinstance(found, dict):
                    raise ValueError
                return {key: value for key, value in found.items() if isinstance(value, str)}
            pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=20)
        except (ValueError, RecursionError):
            raise _Refused(400, "expected form fields, or a JSON object, in UTF-8") from None
        return dict(pairs)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Of the base class, for what it cannot read: it would quote the request."""
        self._send(code, _json({"error": "expected a simple GET or POST"}), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"),
            # A stricter one would take the Origin from the page's own forms.
            ("Referrer-Policy", "same-origin"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Receipts are the log; the secret path is in none."""


def _handler(page: PageServer) -> type[_Handler]:
    return type("_PageHandler", (_Handler,), {"page": page})


def _json(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
