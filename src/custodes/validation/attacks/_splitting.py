"""Splitting: no word of the command stands in the text as a whole."""

from __future__ import annotations

import shlex
from random import Random

from ._attack import Attack, Knowledge, label, scratch
from ._calls import Code
from ._rewrite import NOT_PLAIN, Rewritten, on_code
from ._words import Command, Word, each_command, each_word


def _variables(code: Code, rng: Random) -> Rewritten | str:
    assigned: list[str] = []

    def split(word: Word, program: bool) -> str | None:
        if word.spellable is None:
            return None
        kept, whole = word.spellable
        cut = rng.randrange(1, len(whole))
        first, second = label(rng), label(rng, 5)
        assigned.append(f"{first}={whole[:cut]} {second}={whole[cut:]}")
        return f'{kept}"${{{first}}}${{{second}}}"'

    text = each_word(code.text, split)
    return NOT_PLAIN if text is None else Rewritten(text="; ".join([*assigned, text]))


def _concatenation(code: Code, rng: Random) -> Rewritten:
    name = label(rng)
    pieces = _pieces(code.text, rng)
    lines = [f"{name}={shlex.quote(pieces[0])}"]
    lines += [f"{name}+={shlex.quote(piece)}" for piece in pieces[1:]]
    return Rewritten(text="\n".join([*lines, f'eval "${name}"']))


def _concatenation_python(code: Code, rng: Random) -> Rewritten:
    name = label(rng)
    return Rewritten(text=f"{name}={_pieces(code.text, rng)!r}\nexec(''.join({name}))")


def _letters(code: Code, rng: Random) -> Rewritten | str:
    alphabet = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,=-")
    rng.shuffle(alphabet)
    name = label(rng)

    def spelled(word: Word, program: bool) -> str | None:
        if word.spellable is None:
            return None
        kept, whole = word.spellable
        letters = "".join(f"${{{name}:{alphabet.index(char)}:1}}" for char in whole)
        return f'{kept}"{letters}"'

    text = each_word(code.text, spelled)
    if text is None:
        return NOT_PLAIN
    return Rewritten(text=f"{name}='{''.join(alphabet)}'; {text}")


def _braces(code: Code, rng: Random) -> Rewritten | str:
    def braced(command: Command) -> str | None:
        texts = [word.text for word in command.words]
        if len(texts) < 2 or not all(word.plain and "," not in word.text for word in command.words):
            return None
        return "{" + ",".join(texts) + "}"

    text = each_command(code.text, braced)
    return NOT_PLAIN if text is None else Rewritten(text=text)


def _several_calls(code: Code, rng: Random) -> Rewritten:
    file = scratch(rng)
    pieces = _pieces(code.text, rng, least=max(3, len(code.text) // 4))
    earlier = [
        f"printf %s {shlex.quote(piece)} {'>>' if at else '>'} {file}"
        for at, piece in enumerate(pieces)
    ]
    return Rewritten(text=f". {file}", earlier=tuple(earlier))


def _pieces(text: str, rng: Random, *, least: int = 3) -> list[str]:
    """The text in short pieces, at least one."""
    pieces: list[str] = []
    while text:
        length = rng.randrange(least, least + 5)
        pieces.append(text[:length])
        text = text[length:]
    return pieces or [""]


ATTACKS = (
    Attack(
        name="variables",
        family="splitting",
        knowledge=Knowledge.TEXT,
        describes="each plain word is put together from two variables",
        transform=on_code(shell=_variables),
    ),
    Attack(
        name="concatenation",
        family="splitting",
        knowledge=Knowledge.TEXT,
        describes="the code grows in a variable, a few letters at a time, and is evaluated",
        transform=on_code(shell=_concatenation, python=_concatenation_python),
    ),
    Attack(
        name="letters",
        family="splitting",
        knowledge=Knowledge.TEXT,
        describes="each plain word is spelled from one string, letter by letter",
        transform=on_code(shell=_letters),
    ),
    Attack(
        name="braces",
        family="splitting",
        knowledge=Knowledge.TEXT,
        describes="the words of a plain command stand in a brace expansion, with no space",
        transform=on_code(shell=_braces),
    ),
    Attack(
        name="several-calls",
        family="splitting",
        knowledge=Knowledge.EFFECTS,
        describes="several calls write the code to a file piece by piece; the last one sources it",
        transform=on_code(shell=_several_calls),
    ),
)
