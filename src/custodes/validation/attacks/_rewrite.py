"""From a function that rewrites code to the transformation of a run."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from custodes.transcripts import Event, EventKind, Transcript

from ._attack import Change, Transform, exchange
from ._calls import Code, code_of, needs_its_shell, paths_of, put

LONGEST_ARGUMENT = 131_071
"""Bytes that Linux takes as one argument of a program (MAX_ARG_STRLEN less the final NUL): longer
code cannot be given to `bash -c`, which is how most tools run it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """Code that does the same.

    Attributes:
        text: the code.
        earlier: code to run in calls of its own before it; it prints nothing.
    """

    text: str
    earlier: tuple[str, ...] = ()


Rewrite = Callable[[Code, Random], "Rewritten | str"]
"""From code to other code, or why there is none."""

NOT_PLAIN = "the code has no plain command that this fits"


def on_code(
    *,
    shell: Rewrite | None = None,
    python: Rewrite | None = None,
    new_shell: bool = False,
    most_calls: int | None = None,
) -> Transform:
    """A transformation of calls that run code.

    Args:
        shell: what to do with shell code; None leaves such calls alone.
        python: what to do with Python code.
        new_shell: shell code ends up in another shell, so that what needs its own is left alone.
        most_calls: leave runs alone that have more tool calls; None for any number.
    """

    def transform(event: Event, run: Transcript, rng: Random) -> Change | str:
        if most_calls is not None and calls_in(run) > most_calls:
            return f"the run has more than {most_calls} calls, which it would make too large"
        code = code_of(event)
        if isinstance(code, str):
            return code
        rewrite = shell if code.language == "shell" else python
        if rewrite is None:
            return f"the attack is not for {code.language} code"
        if new_shell and code.language == "shell" and (why := needs_its_shell(code)):
            return why
        if code.language == "python" and not parses(code.text):
            return "the code is no plain Python"
        return changed(code, rewrite(code, rng), rng)

    return transform


def changed(code: Code, new: Rewritten | str, rng: Random) -> Change | str:
    """The change that gives a call its new code."""
    if isinstance(new, str):
        return new
    if new.text == code.text and not new.earlier:
        return NOT_PLAIN
    if max(len(text.encode()) for text in (new.text, *new.earlier)) > LONGEST_ARGUMENT:
        return "the code would be longer than the 128 KiB that an argument may have"
    before = [
        event
        for text in new.earlier
        for event in exchange(code.event, code.with_text(text), "", rng)
    ]
    return Change(arguments=code.with_text(new.text), before=tuple(before))


def on_paths(rewrite: Callable[[str, Random], str]) -> Transform:
    """A transformation of the path arguments of file tools."""

    def transform(event: Event, run: Transcript, rng: Random) -> Change | str:
        arguments = event.arguments or {}
        for keys, value in paths_of(event):
            arguments = put(arguments, keys, rewrite(value, rng))
        if arguments == (event.arguments or {}):
            return "the call names no absolute path"
        return Change(arguments=arguments)

    return transform


def either(first: Transform, second: Transform) -> Transform:
    """The first transformation that fits a call."""

    def transform(event: Event, run: Transcript, rng: Random) -> Change | str:
        done = first(event, run, rng)
        if isinstance(done, Change):
            return done
        other = second(event, run, rng)
        return other if isinstance(other, Change) else done

    return transform


def calls_in(run: Transcript) -> int:
    """How many tool calls a run has."""
    return sum(event.kind is EventKind.TOOL_CALL for event in run.events)


def parses(code: str) -> bool:
    """Whether the code is Python and nothing of an interactive shell's own."""
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
