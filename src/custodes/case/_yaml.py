"""YAML as configuration needs it: no aliases, no key twice, no guessing of types, lines known."""

from __future__ import annotations

import re
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
    lines: dict[Place, int] = {(): 1}
    try:
        return _Builder(text, lines).document(), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "not YAML"
        raise YamlProblem(f"not YAML: {said}", None if mark is None else mark.line + 1) from None
    except yaml.YAMLError as error:
        raise YamlProblem(f"not YAML: {str(error).splitlines()[0]}", None) from None
    except (ValueError, RecursionError) as error:
        raise YamlProblem(f"not YAML: {error}", None) from None


class _Builder:
    """Builds the document from the parser's events, so that nothing is built that is refused."""

    def __init__(self, text: str, lines: dict[Place, int]) -> None:
        self._loader = _Loader(text)
        self._lines = lines

    def document(self) -> Any:
        self._take()  # start of the stream
        if isinstance(self._take(), yaml.StreamEndEvent):
            return None
        value = self._value(self._take(), ())
        self._take()  # end of the document
        event = self._take()
        if not isinstance(event, yaml.StreamEndEvent):
            raise YamlProblem("a second document begins: expected one", _line(event))
        return value

    def _take(self) -> yaml.Event:
        event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call]
        return event

    def _value(self, event: yaml.Event, place: Place) -> Any:
        line = _line(event)
        self._lines.setdefault(place, line)
        if isinstance(event, yaml.AliasEvent):
            raise YamlProblem("aliases (*name) are not accepted: write the value out", line)
        if getattr(event, "anchor", None) is not None:
            raise YamlProblem("anchors (&name) are not accepted: write the value out", line)
        if getattr(event, "tag", None) is not None:
            raise YamlProblem("tags (!name) are not accepted", line)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if len(place) >= MAX_DEPTH:
            raise YamlProblem(f"nested deeper than {MAX_DEPTH} levels", line)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := self._take(), yaml.SequenceEndEvent):
                items.append(self._value(event, (*place, len(items))))
            return items
        out: dict[str, Any] = {}
        while not isinstance(event := self._take(), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise YamlProblem("a key is no text", line)
            if event.anchor is not None or event.tag is not None:
                raise YamlProblem("anchors (&name) and tags (!name) are not accepted", line)
            key = str(event.value)
            if key in out:
                first = self._lines[(*place, key)]
                raise YamlProblem(f"key {key!r} occurs twice (first in line {first})", line)
            self._lines[(*place, key)] = line
            out[key] = self._value(self._take(), (*place, key))
        return out

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        node = yaml.ScalarNode(tag, event.value)
        try:
            return self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            text = getattr(error, "problem", None) or str(error)
            raise YamlProblem(f"value {event.value[:60]!r}: {text}", _line(event)) from None


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1
