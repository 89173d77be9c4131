"""Canonical bytes of documents that may hold fractions, and a parser that accepts nothing odd."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from custodes.types import JsonValue

MAX_DEPTH = 64
"""Levels of nesting that a document may have."""

_LARGEST_EXACT_INT = 2**53 - 1
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


class _Plain(Exception):
    """Not an error: says that the fast way does not apply."""


def canonical_document(value: JsonValue) -> bytes:
    """RFC 8785 bytes of a JSON value; fractions allowed.

    Raises:
        ValueError: for NaN, an infinity, an integer beyond 2**53 - 1, text that is not valid
            Unicode, or nesting deeper than :data:`MAX_DEPTH`.
        TypeError: for a value that is not JSON.
    """
    try:
        prepared = _fast(value, 0)
    except _Plain:
        return _slow(value)
    text = json.dumps(prepared, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("text with a lone surrogate has no canonical form") from None


def _fast(value: Any, depth: int) -> Any:
    """A copy that ``json.dumps`` writes canonically, or :class:`_Plain` when it cannot.

    It can when every fraction is printed alike by Python and ECMAScript, and every key is ASCII
    (Python sorts by code point, RFC 8785 by UTF-16 unit).
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        if not -_LARGEST_EXACT_INT <= value <= _LARGEST_EXACT_INT:
            raise ValueError(f"integer {value} is beyond 2**53 - 1 and would lose digits")
        return value
    if kind is float:
        text = repr(value)
        if "e" in text or "n" in text or text.endswith(".0"):
            raise _Plain
        return value
    if depth >= MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key in value:
            if type(key) is not str or not key.isascii():
                raise _Plain
        return {key: _fast(item, depth + 1) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_fast(item, depth + 1) for item in value]
    raise _Plain


def _slow(value: JsonValue) -> bytes:
    import rfc8785

    try:
        return rfc8785.dumps(_plain(value, 0))
    except rfc8785.CanonicalizationError as error:
        raise ValueError(str(error)) from None


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, (Mapping, list, tuple)) and depth >= MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not text")
            _check_text(key)
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"{type(value).__name__} is not JSON")


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("text with a lone surrogate has no canonical form") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"number {text[:40]} is out of range")
    return number


def _int(text: str) -> int | float:
    # RFC 8785 prints 1e20 as 100000000000000000000: such a number is a double, not an integer.
    if len(text) <= 17:
        number = int(text)
        if -_LARGEST_EXACT_INT <= number <= _LARGEST_EXACT_INT:
            return number
    return _float(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {key[:80]!r} occurs twice in one object")
            seen.add(key)
    return found


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_float, parse_int=_int, parse_constant=_refuse_constant
)


_PLAIN_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
_PLAIN_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
# Numbers that the plain encoder prints otherwise than RFC 8785 does: with an exponent, with a
# fraction of zero, or beyond 2**53 - 1. Text that looks like one only costs time.
_UNPLAIN = re.compile(rb"(?:\A|[:,\[])-?(?:\d+(?:\.\d+)?[eE]|\d+\.0(?:[,\]}]|\Z)|9\d{15}|\d{17,})")


def parse_canonical(data: bytes) -> tuple[JsonValue, bool]:
    """The JSON value that ``data`` is, and whether ``data`` is its canonical form.

    Raises:
        ValueError: as :func:`parse_document`.
    """
    if data.isascii() and _UNPLAIN.search(data) is None and not _too_deep(data):
        text = data.decode("ascii")
        try:
            value: JsonValue = _PLAIN_DECODER.decode(text)
            # Also excludes keys given twice: writing out what was read would be shorter.
            if _PLAIN_ENCODER.encode(value) == text:
                return value, True
        except (ValueError, RecursionError):
            pass
    value = parse_document(data)
    return value, canonical_document(value) == data


def _too_deep(data: bytes) -> bool:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", data)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def parse_document(data: bytes) -> JsonValue:
    """The JSON value that ``data`` is.

    Raises:
        ValueError: when it is not UTF-8 or not JSON, an object has a key twice, a number is not
            finite, text has a lone surrogate, or nesting is deeper than :data:`MAX_DEPTH`.
    """
    if _too_deep(data):
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON at byte {error.pos}: {error.msg.lower()}") from None
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    if b"\\ud" in data or b"\\uD" in data:
        _check_text(json.dumps(value, ensure_ascii=False))
    return value
