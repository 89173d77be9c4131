"""Configuration files as trees and back: what is not a value (comments, layout) is not copied."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any, Final, TypeAlias

import yaml

Reader: TypeAlias = Callable[[str], Any]
Writer: TypeAlias = Callable[[Any], str]

_COMMENT: Final = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING: Final = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')


class Unreadable(ValueError):
    """The file is not what its name says; the message says so without its content."""


def format_of(name: str) -> tuple[str, Reader, Writer] | None:
    """A format by the name of a file: what it is called, how it is read and written."""
    suffix = name.lower().rpartition(".")[2]
    if suffix in ("json", "jsonc", "json5", "code-workspace"):
        return "JSON", _from_json, _to_json
    if suffix == "toml":
        return "TOML", tomllib.loads, _to_toml
    if suffix in ("yaml", "yml"):
        return "YAML", _from_yaml, _to_yaml
    return None


def read(name: str, reader: Reader, text: str) -> Any:
    """The tree in a file.

    Raises:
        Unreadable: it is not of that format.
    """
    try:
        return reader(text)
    except (ValueError, RecursionError, OverflowError, yaml.YAMLError):
        # A parser's own message quotes the line.
        raise Unreadable(f"no {name} that can be read") from None


def _from_json(text: str) -> Any:
    text = text.removeprefix("\ufeff")
    try:
        return json.loads(text)
    except ValueError:
        plain = _COMMENT.sub(lambda m: m[1] or " ", text)
        return json.loads(_TRAILING.sub(lambda m: m[1] or "", plain))


def _to_json(tree: Any) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


class _Loader(yaml.SafeLoader):
    """The safe loader without aliases, which can make much out of little."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def _from_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)


def _to_yaml(tree: Any) -> str:
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
    return text


def _to_toml(tree: Any) -> str:
    lines: list[str] = []
    _table(tree, (), lines)
    return "\n".join(lines) + "\n"


def _table(table: dict[str, Any], path: tuple[str, ...], lines: list[str]) -> None:
    """Values first: after a header of another table they would belong to that."""
    plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
    if path and (plain or not table):
        lines += ["", f"[{'.'.join(map(_key, path))}]"]
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            _table(value, (*path, key), lines)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _quoted(key)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for the delete character, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return repr(value)
