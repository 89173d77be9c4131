"""Quoting tricks: the shell takes away what the reader stumbles over."""

from __future__ import annotations

from random import Random

from ._attack import Attack, Knowledge, label
from ._calls import Code
from ._rewrite import NOT_PLAIN, Rewrite, Rewritten, on_code
from ._words import Command, Word, each_command, each_word


def _words(how: str) -> Rewrite:
    def rewrite(code: Code, rng: Random) -> Rewritten | str:
        unset = label(rng)

        def quoted(word: Word, program: bool) -> str | None:
            if word.spellable is None:
                return None
            kept, text = word.spellable
            cut = rng.randrange(1, len(text))
            first, last = kept + text[:cut], text[cut:]
            if how == "backslash":
                return f"{first}\\{last}"
            if how == "quotes":
                return rng.choice([f"{first}''{last}", f'{first}"{last}"'])
            if how == "empty":
                return f"{first}${{{unset}-}}{last}"
            return f"{kept}$'" + "".join(f"\\x{ord(char):02x}" for char in text) + "'"

        text = each_word(code.text, quoted)
        return NOT_PLAIN if text is None else Rewritten(text=text)

    return rewrite


def _ifs(code: Code, rng: Random) -> Rewritten | str:
    def joined(command: Command) -> str | None:
        # A word that the expansion makes is split again, and no tilde in it is expanded.
        if len(command.words) < 2 or not all(word.plain for word in command.words):
            return None
        return "${IFS}".join(word.text for word in command.words)

    text = each_command(code.text, joined)
    return NOT_PLAIN if text is None else Rewritten(text=text)


def _attack(name: str, describes: str, rewrite: Rewrite) -> Attack:
    return Attack(
        name=name,
        family="quoting",
        knowledge=Knowledge.TEXT,
        describes=describes,
        transform=on_code(shell=rewrite),
    )


ATTACKS = (
    _attack("backslash", "a backslash inside each plain word", _words("backslash")),
    _attack("quotes-inside", "quotes inside each plain word", _words("quotes")),
    _attack("ansi-c", "each plain word as hexadecimal escapes in $'…'", _words("ansi")),
    _attack("empty-expansion", "a variable without value inside each plain word", _words("empty")),
    _attack("ifs", "${IFS} in the place of every space of a plain command", _ifs),
)
