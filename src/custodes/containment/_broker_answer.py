"""What the broker says to the inside: answers of services, checked, and its own few words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus

from custodes.types import HttpResponse

from ._broker_wire import Head, end_to_end

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")

_WORDS: Mapping[int, str] = {
    400: "malformed request",
    403: "destination not permitted by network policy",
    405: "method not supported",
    408: "request timed out",
    413: "request too large",
    417: "expectation not supported",
    429: "too many requests",
    431: "request headers too large",
    501: "not implemented",
    502: "upstream not reachable",
    503: "temporarily unavailable",
    504: "upstream timed out",
    505: "http version not supported",
}


class ServiceFailed(Exception):
    """A service did not answer, or not with something that can be sent."""

    def __init__(self, status: int, error: str, where: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.where = where


def neutral_answer(status: int) -> HttpResponse:
    # The same few words for every cause: an agent must learn nothing about what watches it.
    body = json.dumps({"error": _WORDS[status]}, separators=(",", ":")).encode("ascii")
    return HttpResponse(status=status, body=body)


def check_answer(answer: object, limit: int) -> None:
    """Refuse what a service must not or cannot say.

    Raises:
        ServiceFailed: naming what is wrong with it.
    """
    if not isinstance(answer, HttpResponse):
        raise ServiceFailed(502, "not_a_response", "answer")
    if type(answer.status) is not int or not 200 <= answer.status <= 599:
        raise ServiceFailed(502, "status_out_of_range", "answer")
    if not isinstance(answer.body, bytes):
        raise ServiceFailed(502, "body_not_bytes", "answer")
    if len(answer.body) > limit:
        raise ServiceFailed(502, "response_too_large", "answer")
    for name, value in answer.headers:
        if not _FIELD_NAME.match(name) or not _FIELD_VALUE.match(value):
            raise ServiceFailed(502, "malformed_header", "answer")


def render(answer: HttpResponse, *, keep: bool, head: Head | None) -> bytes:
    """The bytes of an answer, framed by us alone."""
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lowered = tuple((name.lower(), value) for name, value in answer.headers)
    lines += [
        f"{name}: {value}" for name, value in end_to_end(lowered) if name not in {"date", "server"}
    ]
    lines.append(f"date: {formatdate(usegmt=True)}")
    lines.append("server: proxy")
    bodiless = answer.status in {204, 304}
    if not bodiless:
        lines.append(f"content-length: {len(answer.body)}")
    lines.append(f"connection: {'keep-alive' if keep else 'close'}")
    rendered = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if bodiless or (head is not None and head.method == "HEAD"):
        return rendered
    return rendered + answer.body
