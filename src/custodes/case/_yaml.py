"""YAML as configuration needs it: no aliases, no key twice, no guessing of types, lines known."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, TypeAlias

import yaml

MAX_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 24

Place: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the top of a document to a value."""


class YamlProblem(Exception):
    """The text is not accepted.

    Attributes:
        line: where, from 1; None when that is unknown.
    """

    def __init__(self, text: str, line: int | None) -> None:
        super().__init__(text)
        self.line = line


class _Loader(yaml.SafeLoader):
    """The safe loader without the guesses of YAML 1.1: ``off``, ``no`` and ``1:30`` stay text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - how PyYAML declares it
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag
            not in (
                "tag:yaml.org,2002:bool",
                "tag:yaml.org,2002:int",
                "tag:yaml.org,2002:float",
                "tag:yaml.org,2002:merge",
                "tag:yaml.org,2002:value",
            )
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _resolve(tag: str, pattern: str, first: str) -> None:
    import re

    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), list(first))


_resolve("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF")
_resolve("int", r"[-+]?(?:0|[1-9][0-9]{0,18})\Z", "-+0123456789")
_resolve(
    "float",
    r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?)\Z",
    "-+0123456789.",
)


def load(data: bytes) -> tuple[Any, dict[Place, int]]:
    """The document, and the line of every value and key.

    Raises:
        YamlProblem: too long, not UTF-8, no YAML, more than one document, nested too deep, an
            anchor or alias, a tag, a key twice, or a key that is no text.
    """
    if len(data) > MAX_BYTES:
        raise YamlProblem(f"{len(data)} bytes; at most {MAX_BYTES} are read", None)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise YamlProblem("not UTF-8", data.count(b"\n", 0, error.start) + 1) from None
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "not YAML"
        raise YamlProblem(f"not YAML: {said}", None if mark is None else mark.line + 1) from None
    except yaml.YAMLError as error:
        raise YamlProblem(f"not YAML: {str(error).splitlines()[0]}", None) from None
    except (ValueError, RecursionError) as error:
        raise YamlProblem(f"not YAML: {error}", None) from None
    lines: dict[Place, int] = {(): 1}
    if node is None:
        return None, lines
    return _value(node, (), lines), lines


def _check_events(text: str) -> None:
    """Refuse what could make the document grow or recurse, before anything is built."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise YamlProblem("aliases (*name) are not accepted: write the value out", line)
        if getattr(event, "anchor", None) is not None:
            raise YamlProblem("anchors (&name) are not accepted: write the value out", line)
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
            if depth > MAX_DEPTH:
                raise YamlProblem(f"nested deeper than {MAX_DEPTH} levels", line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise YamlProblem("a second document begins: expected one", line)
        if getattr(event, "tag", None) is not None:
            raise YamlProblem("tags (!name) are not accepted", line)


def _value(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        out: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlProblem("a key is no text", line)
            key = key_node.value
            if key in out:
                first = lines[(*place, key)]
                raise YamlProblem(f"key {key!r} occurs twice (first in line {first})", line)
            lines[(*place, key)] = line
            out[key] = _value(value_node, (*place, key), lines)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, i), lines) for i, item in enumerate(node.value)]
    try:
        return _SCALARS.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        text = getattr(error, "problem", None) or str(error)
        raise YamlProblem(f"value {node.value[:60]!r}: {text}", node.start_mark.line + 1) from None


_SCALARS = _Loader("")
