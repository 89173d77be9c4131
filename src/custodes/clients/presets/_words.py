"""Changing the words of a user's command: whole options, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from .._model import PROMPT

_END: Final = "--"


def without(
    words: Sequence[str],
    *,
    flags: Collection[str] = (),
    valued: Collection[str] = (),
    settings: tuple[Collection[str], Callable[[str], bool]] = ((), lambda _: False),
) -> list[str]:
    """The words without some options, in every spelling of them.

    Args:
        words: the program first.
        flags: options that stand alone.
        valued: options with a value: ``--name value``, ``--name=value``, and for a short one
            ``-nvalue``.
        settings: options with a value that are taken out only where the value is such.
    """
    named, wanted = settings
    kept = list(words[:1])
    at = 1
    while at < len(words):
        word = words[at]
        if word == _END:
            return [*kept, *words[at:]]
        name, value, length = word, None, 1
        for option in (*valued, *named):
            if word == option and at + 1 < len(words) and words[at + 1] != PROMPT:
                name, value, length = option, words[at + 1], 2
            elif word.startswith(f"{option}="):
                name, value = option, word[len(option) + 1 :]
            elif len(option) == 2 and word.startswith(option) and len(word) > 2:
                name, value = option, word[2:]
        drop = word in flags or (value is not None and name in valued)
        drop = drop or (value is not None and name in named and wanted(value))
        if not drop:
            kept += words[at : at + length]
        at += length
    return kept


def has(words: Sequence[str], options: Collection[str]) -> bool:
    """Whether one of the options is among the words."""
    for word in words[1:]:
        if word == _END:
            return False
        if word.partition("=")[0] in options:
            return True
    return False


def with_first(words: Sequence[str], *options: str) -> tuple[str, ...]:
    """The words with options right after the program, where no other option can swallow them."""
    return (*words[:1], *options, *words[1:])
