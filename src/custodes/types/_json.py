"""Canonical bytes of JSON values: the form in which anything is hashed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import NewType, TypeAlias

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
JsonObject: TypeAlias = Mapping[str, JsonValue]

Sha256 = NewType("Sha256", str)
"""A sha256 digest as 64 lower-case hexadecimal digits."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_LARGEST_EXACT_INT = 2**53 - 1


def parse_sha256(text: object) -> Sha256:
    """Return ``text`` as a digest.

    Raises:
        ValueError: if it is not 64 lower-case hexadecimal digits.
    """
    if not isinstance(text, str) or _SHA256.match(text) is None:
        raise ValueError(f"expected a sha256 as 64 lower-case hex digits, found {text!r}")
    return Sha256(text)


def sha256_of(data: bytes) -> Sha256:
    """Digest of ``data``."""
    return Sha256(hashlib.sha256(data).hexdigest())


def _check_plain(value: object, where: str) -> None:
    """Refuse what has no single canonical form without a full RFC 8785 number formatter."""
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        value.encode("utf-8")  # lone surrogates have no UTF-8 form: raises UnicodeEncodeError
        return
    if isinstance(value, int):
        if abs(value) > _LARGEST_EXACT_INT:
            raise ValueError(f"{where}: integer {value} is beyond 2**53 - 1 and would lose digits")
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"{where}: key {key!r} is not a string")
            _check_plain(key, where)
            _check_plain(item, f"{where}.{key}")
        return
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
        return
    kind = type(value).__name__
    raise TypeError(f"{where}: {kind} has no canonical form here (fractions: see custodes.case)")


def _utf16_order(value: object) -> object:
    """Rebuild ``value`` with keys in the UTF-16 code unit order that RFC 8785 asks for."""
    if isinstance(value, Mapping):
        ordered = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return {key: _utf16_order(value[key]) for key in ordered}
    if isinstance(value, (list, tuple)):
        return [_utf16_order(item) for item in value]
    return value


def _is_simple(value: object) -> bool:
    """Whether ``value`` is plain, and its keys sort alike in every encoding.

    Receipts are: this spares them the look-ups of abstract types, which take most of the time.
    """
    kind = type(value)
    if kind is str:
        return value.isascii()  # type: ignore[attr-defined, no-any-return]
    if kind is int:
        return -_LARGEST_EXACT_INT <= value <= _LARGEST_EXACT_INT  # type: ignore[operator]
    if kind is dict:
        for key, item in value.items():  # type: ignore[attr-defined]
            if type(key) is not str or not key.isascii() or not _is_simple(item):
                return False
        return True
    if kind is list or kind is tuple:
        return all(map(_is_simple, value))  # type: ignore[call-overload]
    return value is None or kind is bool


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def canonical_json(value: JsonValue) -> bytes:
    """RFC 8785 bytes of a JSON value without floating-point numbers.

    Identities and receipts hold integers and text only, so this needs nothing beyond the standard
    library; documents with fractions are written through ``custodes.case``.

    Raises:
        TypeError: for a float or a type that is not JSON.
        ValueError: for an integer beyond 2**53 - 1 or text that is not valid Unicode.
    """
    if _is_simple(value):
        return _ENCODE(value).encode("ascii")
    _check_plain(value, "$")
    text = json.dumps(_utf16_order(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8")


def sha256_of_json(value: JsonValue) -> Sha256:
    """Digest of the canonical bytes of ``value``."""
    return sha256_of(canonical_json(value))
