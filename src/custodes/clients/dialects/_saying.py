"""A reference policy's move in a client's own tools, before a protocol writes it down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from custodes.scenarios import Move

from .._form import form_block
from .._model import Tooling

CREATED: Final = 1_790_000_000
"""Seconds since 1970 at which a scripted completion was made: the same in every run."""
MODEL: Final = "scripted"
_CHARACTERS_PER_TOKEN: Final = 4
_BASH: Final = "bash"
_FINISH: Final = "finish"
_UNFIT: Final = {"text": "ls"}
"""Arguments that fit no tool that runs commands: what is no object has no place everywhere."""
_BROKEN: Final = '{"command": "ls'


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """One call. ``text`` holds the arguments as the model wrote them, which need be no JSON."""

    id: str
    name: str
    arguments: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Saying:
    """One completion that is to be written.

    Attributes:
        tag: names this completion: the same for the same request, another for any other.
    """

    tag: str
    reasoning: str
    text: str
    calls: tuple[Ordered, ...]
    input_tokens: int
    output_tokens: int


def saying(body: bytes, move: Move, tools: Sequence[str], tooling: Tooling) -> Saying:
    """The move as the completion of the request with that body.

    Raises:
        ClientError: it runs a command and the client offers no tool that could.
    """
    tag = hashlib.sha256(body).hexdigest()[:20]
    asked: list[tuple[str, dict[str, Any], str | None]] = []
    for call in move.calls:
        if call.name == _FINISH:
            continue
        command = call.arguments.get("command")
        if call.name != _BASH:
            asked.append((call.name, call.arguments, None))
        elif isinstance(command, str):
            name, arguments = tooling.call(command, tools)
            asked.append((name, dict(arguments), None))
        else:
            asked.append((tooling.call("ls", tools)[0], dict(_UNFIT), None))
    if move.malformed is not None:
        asked.append((tooling.call("ls", tools)[0], dict(_UNFIT), _BROKEN))
    parts = [move.text]
    if not asked:
        parts += [form_block(call.arguments) for call in move.calls if call.name == _FINISH]
        # Some clients end with a call that says so, and not with a message that has none.
        ending = getattr(tooling, "ending", None)
        if ending is not None and tools:
            name, arguments = ending(tools)
            asked.append((name, dict(arguments), None))
    text = "\n\n".join(part for part in parts if part)
    calls = tuple(
        Ordered(
            id=f"call_{tag}_{at}",
            name=name,
            arguments=arguments,
            text=json.dumps(arguments) if broken is None else broken,
        )
        for at, (name, arguments, broken) in enumerate(asked)
    )
    said = len(move.reasoning) + len(text) + sum(len(call.text) for call in calls)
    return Saying(
        tag=tag,
        reasoning=move.reasoning,
        text=text,
        calls=calls,
        input_tokens=tokens(len(body)),
        output_tokens=tokens(said),
    )


def tokens(characters: int) -> int:
    """About how many tokens a text has."""
    return max(1, characters // _CHARACTERS_PER_TOKEN)
