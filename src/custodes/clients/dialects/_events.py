"""Server-sent events: read as the standard says, written as the vendors' servers write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Final

from .._model import Payload
from ._json import JsonDict, loaded_object

STREAM: Final = "text/event-stream"
DONE: Final = "[DONE]"
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


def is_stream(payload: Payload) -> bool:
    """Whether a payload is a stream of events."""
    return payload.content_type.partition(";")[0].strip().lower() == STREAM


def events_in(body: bytes) -> Iterator[JsonDict | None]:
    """The events of a stream, None for the end that OpenAI's servers mark with ``[DONE]``.

    An event that the stream breaks off in is none: no client is given it.

    Raises:
        ValueError: an event is no JSON object.
    """
    data: list[bytes] = []
    lines = _LINE_END.split(body.removeprefix(b"\xef\xbb\xbf"))
    for line in lines[:-1]:
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            continue
        if data:
            whole = b"\n".join(data)
            data = []
            if whole.strip() == DONE.encode():
                yield None
            elif whole.strip():
                yield loaded_object(whole, "an event")


def streamed(events: Iterable[JsonDict | str]) -> Payload:
    """A stream of events; those with a type are named after it."""
    return Payload(body=b"".join(map(_written, events)), content_type=STREAM)


def _written(event: JsonDict | str) -> bytes:
    if isinstance(event, str):
        return f"data: {event}\n\n".encode()
    head = f"event: {event['type']}\n" if "type" in event else ""
    return f"{head}data: {json.dumps(event)}\n\n".encode()


def halves(text: str) -> tuple[str, ...]:
    """A text in the parts that a stream brings it in: never all at once."""
    middle = len(text) // 2
    return tuple(half for half in (text[:middle], text[middle:]) if half)
