"""Reading one sample of an Inspect log, with the exact bytes of every message."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from custodes.types import Locator, Sha256, sha256_of

from ._transcript import Event, EventKind, Transcript

LARGEST_SAMPLE = 512 << 20
_ATTACHMENT = "attachment://"
_SPACE = " \t\n\r"
_KINDS = {
    "system": EventKind.SYSTEM,
    "user": EventKind.USER,
    "assistant": EventKind.ASSISTANT,
    "tool": EventKind.TOOL_RESULT,
}


class UnreadableSample(ValueError):
    """Not a sample of an Inspect log; says what was expected and where."""


def sample_member(sample: str, epoch: int = 1) -> str:
    """Name of a sample within the log's archive."""
    return f"samples/{sample}_epoch_{epoch}.json"


def read_inspect_sample(data: bytes, *, source: Sha256, member: str) -> Transcript:
    """The conversation of one sample; each event points at the bytes of its message.

    Args:
        data: the member's bytes, decompressed.
        source: digest of the log.
        member: the member's name in the log.

    Raises:
        UnreadableSample: for anything but a sample; nothing is returned in part.
    """
    if len(data) > LARGEST_SAMPLE:
        raise UnreadableSample(f"{member}: more than {LARGEST_SAMPLE} bytes")
    try:
        text = data.decode("utf-8")
        sample = _fields(text)
        attachments = _attachments(sample.get("attachments"), text)
        span = sample.get("messages")
        if span is None:
            raise UnreadableSample(f"{member}: expected a sample with messages")
        events: list[Event] = []
        for start, end, message in _elements(text, span[0]):
            locator = _locator(text, data, start, end, source, member)
            for event in _events(message, attachments, len(events), locator):
                events.append(event)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, UnreadableSample):
            raise
        raise UnreadableSample(f"{member}: {type(error).__name__}: {error}"[:300]) from None
    return Transcript(events=tuple(events), name=member)


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names are all different: readers disagree about which of two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableSample("a field occurs twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_once)


def _after(text: str, at: int, end: str) -> tuple[int, bool]:
    """Where the next item begins after one, and whether there is one: past a comma or ``end``."""
    at = _skip(text, at)
    if text[at] == end:
        return at + 1, False
    if text[at] != ",":
        raise UnreadableSample(f"expected ',' or {end!r} at character {at}")
    return _skip(text, at + 1), True


def _begin(text: str, at: int, begin: str, end: str) -> tuple[int, bool]:
    if text[at] != begin:
        raise UnreadableSample(f"expected {begin!r} at character {at}")
    at = _skip(text, at + 1)
    return (at + 1, False) if text[at] == end else (at, True)


def _fields(text: str) -> dict[str, tuple[int, int]]:
    """Where the value of each top-level field begins and ends, in characters."""
    found: dict[str, tuple[int, int]] = {}
    at, more = _begin(text, _skip(text, 0), "{", "}")
    while more:
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, at)
        if not isinstance(name, str) or text[at] != ":":
            raise UnreadableSample(f"expected a name and ':' before character {at}")
        start = _skip(text, at + 1)
        _, end = _DECODER.raw_decode(text, start)
        if name in found:
            raise UnreadableSample(f"the field {name!r} occurs twice")
        found[name] = (start, end)
        at, more = _after(text, end, "}")
    if _skip(text, at) != len(text):
        raise UnreadableSample(f"expected nothing after character {at}")
    return found


def _elements(text: str, start: int) -> Iterator[tuple[int, int, Any]]:
    """Each element of the array that begins at ``start``: span in characters, and value."""
    at, more = _begin(text, start, "[", "]")
    while more:
        value, end = _DECODER.raw_decode(text, at)
        yield at, end, value
        at, more = _after(text, end, "]")


def _locator(text: str, data: bytes, start: int, end: int, source: Sha256, member: str) -> Locator:
    if len(text) == len(data):  # plain ASCII: characters are bytes
        first, last = start, end
    else:
        first = len(text[:start].encode("utf-8"))
        last = first + len(text[start:end].encode("utf-8"))
    return Locator(
        source=source, member=member, start=first, end=last, excerpt=sha256_of(data[first:last])
    )


def _attachments(span: tuple[int, int] | None, text: str) -> Mapping[str, str]:
    if span is None:
        return {}
    value = json.loads(text[span[0] : span[1]])
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


def _text(value: object, attachments: Mapping[str, str]) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    if text.startswith(_ATTACHMENT):
        return attachments.get(text.removeprefix(_ATTACHMENT), text)
    return text


def _events(
    message: Any, attachments: Mapping[str, str], index: int, locator: Locator
) -> Iterator[Event]:
    kind = _KINDS[message["role"]]
    content = message.get("content", "")
    texts: list[str] = []
    for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
        if part.get("type") == "reasoning":
            # A redacted block holds a cipher; what can be read of it is in the summary.
            shown = part.get("summary") if part.get("redacted") else part.get("reasoning")
            if shown:
                yield Event(
                    index=index,
                    kind=EventKind.REASONING,
                    text=_text(shown, attachments),
                    locator=locator,
                )
                index += 1
        elif part.get("type") == "text":
            texts.append(_text(part.get("text"), attachments))
        else:
            texts.append(f"[{part.get('type')}]")
    text = "\n".join(texts)
    if kind is EventKind.TOOL_RESULT:
        error = message.get("error")
        yield Event(
            index=index,
            kind=kind,
            text=text,
            call=message.get("tool_call_id"),
            tool=message.get("function"),
            error=None if not error else _text(error.get("message"), attachments),
            locator=locator,
        )
        return
    if text or kind is not EventKind.ASSISTANT:
        yield Event(index=index, kind=kind, text=text, locator=locator)
        index += 1
    for call in message.get("tool_calls") or ():
        arguments = call.get("arguments")
        yield Event(
            index=index,
            kind=EventKind.TOOL_CALL,
            call=call.get("id"),
            tool=call.get("function"),
            arguments=(
                {str(k): _resolved(v, attachments) for k, v in arguments.items()}
                if isinstance(arguments, dict)
                else None
            ),
            error=call.get("parse_error"),
            locator=locator,
        )
        index += 1


def _resolved(value: Any, attachments: Mapping[str, str]) -> Any:
    return _text(value, attachments) if isinstance(value, str) else value
