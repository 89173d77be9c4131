"""Where the code is in a tool call, found by asking what the call would do with other code.

Which argument of which tool is a command, a program or a path is known to the derivation of
effects, per schema. Here it is not written down again: an argument that turns a probe into an
effect is code, and one that becomes the target of an effect is a path.
"""

from __future__ import annotations

import json
import re
import shlex
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from custodes.transcripts import Event, EventKind, Transcript
from custodes.transcripts.effects import CallEffect, EffectTracker
from custodes.types import EffectKind, JsonObject, JsonValue

Keeps = Literal["nothing", "folder", "everything"]

_PLACE = "/custodes/probe"
_SHELL = f"cat {_PLACE}"
_PYTHON = f"open({_PLACE!r})"
_KEYS = "C-c"
_SHELLS = frozenset({"bash", "sh", "zsh", "dash", "/bin/bash", "/bin/sh", "/usr/bin/bash"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The code of one tool call.

    Attributes:
        text: the code, without line ends at its end when it is typed into a terminal.
        language: `shell` or `python`.
        keeps: what the tool keeps for the next call: nothing, the working directory, or
            everything that a shell or an interpreter knows.
        event: the call.
        path: keys from the arguments to the code.
        words: it was an argument vector.
        typed: it is typed into a terminal.
    """

    text: str
    language: Literal["shell", "python"]
    keeps: Keeps
    event: Event
    path: tuple[str, ...]
    words: tuple[str, ...] = ()
    typed: bool = False

    def with_text(self, text: str) -> JsonObject:
        """The arguments of a call of the same tool with other code."""
        value: JsonValue = text
        arguments = self.event.arguments or {}
        if self.words:
            wrapped = _wrapped(self.words)
            value = [*(self.words[:2] if wrapped else ("bash", "-c")), text]
        elif self.typed:
            old = str(_at(arguments, self.path))
            value = text + old[len(old.rstrip("\r\n")) :]
        return put(arguments, self.path, value)


def code_of(event: Event) -> Code | str:
    """The code of a tool call, or why it has none that can be attacked."""
    arguments = event.arguments
    if event.kind is not EventKind.TOOL_CALL or not arguments:
        return "the call has no arguments"
    for path, value in _leaves(arguments):
        if isinstance(value, str):
            found = _probed(event, path, value)
        else:
            found = _probed_words(event, path, value)
        if found is None:
            continue
        if "apply_patch" in found.text or "applypatch" in found.text:
            return "the client reads the command itself"
        if not found.text.strip():
            return "the call has no code"
        try:
            found.text.encode("utf-8")
        except UnicodeEncodeError:
            return "the code is no valid text"
        if "\0" in found.text:
            return "the code is no valid text"
        return found
    return "the tool runs no code"


def shell_of(event: Event) -> Code | str:
    """The shell code of a tool call, or why it has none."""
    found = code_of(event)
    if isinstance(found, Code) and found.language != "shell":
        return "the tool runs no shell"
    return found


def paths_of(event: Event) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The arguments of a file tool that are paths, as keys and value; none for other tools."""
    arguments = event.arguments or {}
    found = []
    for path, value in _leaves(arguments):
        if not isinstance(value, str) or not value.startswith(("/", "~/")):
            continue
        effects = EffectTracker().see(_call(event, put(arguments, path, _PLACE)))
        if any(effect.target == _PLACE for effect in effects):
            found.append((path, value))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """A tool of the run that writes a whole file.

    Attributes:
        event: a call of it.
        place: keys to the path.
        content: keys to the content.
    """

    event: Event
    place: tuple[str, ...]
    content: tuple[str, ...]

    def writing(self, path: str, text: str) -> JsonObject:
        """Arguments that write ``text`` to ``path``."""
        return put(put(self.event.arguments or {}, self.place, path), self.content, text)


def writer_in(transcript: Transcript) -> Writer | None:
    """A tool with which the run itself wrote a file, or None."""
    tried: set[tuple[str | None, frozenset[str]]] = set()
    for event in transcript.events:
        if event.kind is not EventKind.TOOL_CALL or not event.arguments:
            continue
        shape = (event.tool, frozenset(event.arguments))
        if shape in tried:
            continue
        found = _writer(event, event.arguments)
        if found is not None:
            return found
        # An editor has one name for several acts, of which only some write a whole file.
        if not any(event.arguments.get(name) for name in ("command", "action")):
            tried.add(shape)
    return None


def _writer(event: Event, arguments: JsonObject) -> Writer | None:
    leaves = [(path, value) for path, value in _leaves(arguments) if isinstance(value, str)]
    for place, _ in leaves:
        there = put(arguments, place, "/custodes/script")
        effects = EffectTracker().see(_call(event, there))
        if CallEffect(EffectKind.WRITE, "/custodes/script", effects[0].known) not in effects[:1]:
            continue
        for content, _ in leaves:
            if content == place:
                continue
            tracker = EffectTracker()
            tracker.see(_call(event, put(there, content, _SHELL + "\n")))
            run = Event(
                index=0,
                kind=EventKind.TOOL_CALL,
                tool="bash",
                arguments={"command": "bash /custodes/script"},
            )
            if _reads(tracker.see(run)):
                return Writer(event=event, place=place, content=content)
    return None


def _probed(event: Event, path: tuple[str, ...], value: str) -> Code | None:
    if value.startswith("{") and _is_json(value):
        return None
    kind = _kind_of(event, path)
    if kind is None:
        return None
    if kind.typed:
        if value.rstrip().endswith("Enter") or not EffectTracker().see(event):
            return None
        value = value.rstrip("\r\n")
    return Code(
        text=value,
        language=kind.language,
        keeps=kind.keeps,
        event=event,
        path=path,
        typed=kind.typed,
    )


@dataclass(frozen=True, slots=True)
class _Kind:
    language: Literal["shell", "python"]
    keeps: Keeps
    typed: bool


_KINDS: OrderedDict[object, _Kind | None] = OrderedDict()
_MOST_KINDS = 4096
_SWITCH = re.compile(r"[\w-]{0,24}")


def _kind_of(event: Event, path: tuple[str, ...]) -> _Kind | None:
    """What kind of code an argument is. Probing is kept per tool and shape of its arguments."""
    arguments = event.arguments or {}
    key = (event.tool, path, tuple(_shape(arguments, path)))
    if key not in _KINDS:
        _KINDS[key] = _asked(event, path)
        if len(_KINDS) > _MOST_KINDS:
            _KINDS.popitem(last=False)
    return _KINDS[key]


def _shape(arguments: JsonObject, path: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    """The arguments beside the one in question, as far as they can switch what it means."""
    for name, value in arguments.items():
        if isinstance(value, dict):
            yield name, tuple(_shape(value, path[1:] if path[:1] == (name,) else ()))
        elif path == (name,):
            yield name, "itself"
        elif isinstance(value, str):
            yield name, value if _SWITCH.fullmatch(value) else "<text>"
        else:
            scalar = isinstance(value, bool | int | type(None))
            yield name, value if scalar else type(value).__name__


def _asked(event: Event, path: tuple[str, ...]) -> _Kind | None:
    arguments = event.arguments or {}
    if _reads(EffectTracker().see(_call(event, put(arguments, path, _SHELL)))):
        typed = not EffectTracker().see(_call(event, put(arguments, path, _KEYS)))
        return _Kind("shell", _keeps(event, path), typed)
    if _reads(EffectTracker().see(_call(event, put(arguments, path, _PYTHON)))):
        return _Kind("python", "everything", False)
    return None


def _probed_words(event: Event, path: tuple[str, ...], value: list[str]) -> Code | None:
    arguments = event.arguments or {}
    if not _reads(EffectTracker().see(_call(event, put(arguments, path, ["cat", _PLACE])))):
        return None
    code = value[2] if _wrapped(value) else shlex.join(value)
    return Code(
        text=code, language="shell", keeps="nothing", event=event, path=path, words=tuple(value)
    )


def _wrapped(words: tuple[str, ...] | list[str]) -> bool:
    return len(words) == 3 and words[0] in _SHELLS and words[1] in ("-c", "-lc")


def _keeps(event: Event, path: tuple[str, ...]) -> Keeps:
    arguments = event.arguments or {}
    tracker = EffectTracker()
    tracker.see(_call(event, put(arguments, path, f"probe={_PLACE}")))
    if _reads(tracker.see(_call(event, put(arguments, path, "cat $probe")))):
        return "everything"
    tracker = EffectTracker()
    tracker.see(_call(event, put(arguments, path, "cd /custodes")))
    if _reads(tracker.see(_call(event, put(arguments, path, "cat probe")))):
        return "folder"
    return "nothing"


def _reads(effects: tuple[CallEffect, ...]) -> bool:
    return any(effect.kind is EffectKind.READ and effect.target == _PLACE for effect in effects)


def _call(event: Event, arguments: JsonObject) -> Event:
    return Event(index=0, kind=EventKind.TOOL_CALL, tool=event.tool, arguments=arguments)


def _leaves(arguments: JsonObject) -> list[tuple[tuple[str, ...], str | list[str]]]:
    """Texts and lists of texts among the arguments, one level of objects deep."""
    found: list[tuple[tuple[str, ...], str | list[str]]] = []
    for name, value in arguments.items():
        inner = value.items() if isinstance(value, dict) else ()
        for path, leaf in [((name,), value), *(((name, key), item) for key, item in inner)]:
            if isinstance(leaf, str):
                found.append((path, leaf))
            elif isinstance(leaf, list) and leaf:
                words = [item for item in leaf if isinstance(item, str)]
                if len(words) == len(leaf):
                    found.append((path, words))
    return found


def _at(arguments: JsonObject, path: tuple[str, ...]) -> JsonValue:
    value: JsonValue = arguments
    for key in path:
        assert isinstance(value, dict)
        value = value[key]
    return value


def put(arguments: JsonObject, path: tuple[str, ...], value: JsonValue) -> JsonObject:
    """The arguments with one of them, one level of objects deep at most, exchanged."""
    if len(path) == 1:
        return {**arguments, path[0]: value}
    inner = arguments[path[0]]
    assert isinstance(inner, dict)
    return {**arguments, path[0]: {**inner, path[1]: value}}


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


# Builtins and reserved words that change the shell in which they run: what does so cannot move to
# another shell. Read as words anywhere in the text, so that a doubt counts as a change.
_CHANGES_SHELL = re.compile(
    r"(?<![\w./$-])(?:pushd|popd|unset|alias|unalias|source|shopt|trap|history|umask|ulimit|"
    r"declare|typeset|readonly|local|wait|disown|bg|fg|jobs|set|export|hash|enable|bind|fc|HIST\w+"
    r")(?![\w./-])|(?:^|[;&|\n({])\s*\.\s"
)
_CHANGES_FOLDER = re.compile(r"(?<![\w./$-])cd(?![\w./-])")
_ASSIGNS = re.compile(r"(?:^|[;&|\n({])\s*[A-Za-z_]\w*\+?=")
_USES_SHELL = re.compile(r"\$(?!(?:\{?(?:HOME|PATH|USER|PWD|LOGNAME|SHELL|TMPDIR)\b|\())")


def needs_its_shell(code: Code) -> str | None:
    """Why shell code must run in the shell that it was given to, or None when another will do."""
    text = code.text
    if _CHANGES_SHELL.search(text):
        return "the code changes the shell that it runs in"
    if code.keeps != "nothing" and _CHANGES_FOLDER.search(text):
        return "the code changes the working directory of later calls"
    if code.keeps == "everything" and (_ASSIGNS.search(text) or _USES_SHELL.search(text)):
        return "the code uses variables of a shell that stays open"
    return None
