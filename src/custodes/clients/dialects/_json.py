"""JSON of strangers: read once, checked where it is used, never able to break what comes after."""

from __future__ import annotations

import json
import math
import sys
from typing import Any, Final

from custodes.types import JsonObject

JsonDict = dict[str, Any]

_DEEPER: Final = "nested deeper than can be read"


def loaded(data: bytes | str, what: str) -> Any:
    """A JSON document.

    Raises:
        ValueError: it is none, or nothing that can be held: one line.
    """
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_number)
    except RecursionError:
        raise ValueError(f"expected {what} as JSON, found one that is {_DEEPER}") from None
    except ValueError as error:
        problem = " ".join(str(error).split())[:120]
        raise ValueError(f"expected {what} as JSON, found something else: {problem}") from None


def loaded_object(data: bytes | str, what: str) -> JsonDict:
    """A JSON document that is an object.

    Raises:
        ValueError: it is none: one line.
    """
    value = loaded(data, what)
    if not isinstance(value, dict):
        raise ValueError(f"expected {what} as a JSON object, found {_kind(value)}")
    return value


def arguments_in(text: str) -> JsonObject | None:
    """A call's arguments out of their text: nothing is no argument, None is no JSON object.

    Raises:
        ValueError: the client may be able to read them although they cannot be read here.
    """
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_number)
    except (json.JSONDecodeError, _NoJson):
        return None
    except RecursionError:
        raise ValueError(f"expected the arguments of a call, found some {_DEEPER}") from None
    except ValueError:
        raise ValueError("expected the arguments of a call, found a number too long") from None
    return arguments_of(value)


def arguments_of(value: object) -> JsonObject | None:
    """A call's arguments that are there as a value; None when they are no object."""
    return _plain_value(value) if isinstance(value, dict) else None


def plain(text: str) -> str:
    """The text as it can be stored: surrogates joined, and replaced where they stay alone.

    A client that hands such a text to a program replaces them likewise.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def objects(holder: JsonDict, name: str) -> list[JsonDict]:
    """The list of objects in a field; empty where there is none.

    Raises:
        ValueError: there is something else.
    """
    value = holder.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"expected a list in {name!r}, found {_kind(value)}")
    for item in value:
        if not isinstance(item, dict):
            raise ValueError(f"expected objects in {name!r}, found {_kind(item)}")
    return value


def below(holder: JsonDict, name: str) -> JsonDict:
    """The object in a field; an empty one where there is none."""
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def string(holder: JsonDict, name: str) -> str:
    """The text in a field; empty where there is none."""
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def texts(content: object) -> list[str]:
    """The texts of a content: a string, or parts of which some have a text."""
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    found = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return [text for text in found if isinstance(text, str)]


def count(holder: JsonDict, name: str) -> int | None:
    """A number of tokens, or None where none is given."""
    value = holder.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        return None
    return value


def total(*counts: int | None) -> int | None:
    """The sum of what is known, or None where nothing is."""
    known = [number for number in counts if number is not None]
    return sum(known) if known else None


def dumped(value: object) -> str:
    """A value as JSON text, for a reader."""
    return json.dumps(value, ensure_ascii=False)


class _NoJson(ValueError):
    """What Python reads and JSON does not have."""


def _refuse(constant: str) -> Any:
    raise _NoJson(f"{constant} is no JSON")


def _number(text: str) -> float:
    value = float(text)
    # Other readers make it infinite, which has no JSON: the largest number stands for it.
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else value


def _plain_value(value: Any) -> Any:
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): _plain_value(item) for key, item in value.items()}
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}
    return names.get(type(value), "nothing" if value is None else "a number")
