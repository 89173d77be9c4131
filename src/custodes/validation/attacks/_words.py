"""Plain shell commands as words with their places, so that single words can be rewritten.

Deliberately small: whatever is not plain (here-documents, substitutions, compound commands,
comments) is refused, and the attacks that work on words then leave the call alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_REFUSED = re.compile(r"<<|<\(|>\(|`|\$\(|[(){}#]|\\\n|(?:^|\s)!(?:\s|$)")
_KEYWORDS = frozenset(
    {"if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac",
     "select", "function", "time", "in", "coproc", "[[", "{", "}", "!"}
)  # fmt: skip
_OPERATOR = re.compile(r"&&|\|\||\|&|;;|[;|&\n]")
_REDIRECT = re.compile(r"\d*(?:&>>|&>|>>|>&|<&|<>|>\||[<>])")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of a command.

    Attributes:
        text: as written.
        start: place of its first character.
        end: place after its last one.
    """

    text: str
    start: int
    end: int

    @property
    def plain(self) -> bool:
        """No character of it means anything to the shell."""
        return _PLAIN.fullmatch(self.text) is not None

    @property
    def spellable(self) -> tuple[str, str] | None:
        """What must stay as it is (`~/` or nothing), and plain text that may be spelled otherwise.

        None when there is no such text of at least two characters.
        """
        kept = "~/" if self.text.startswith("~/") else ""
        rest = self.text[len(kept) :]
        return (kept, rest) if len(rest) > 1 and _PLAIN.fullmatch(rest) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A simple command.

    Attributes:
        words: the program and its arguments, without assignments and redirections.
        redirects: the words that redirections name.
        assigns: it begins with assignments.
        joined: its words stand next to each other, with nothing else in between.
        fed: something is piped or redirected into it.
    """

    words: tuple[Word, ...]
    redirects: tuple[Word, ...]
    assigns: bool
    joined: bool
    fed: bool

    @property
    def start(self) -> int:
        return self.words[0].start

    @property
    def end(self) -> int:
        return self.words[-1].end

    @property
    def program(self) -> str:
        return self.words[0].text


def commands_in(text: str) -> tuple[Command, ...] | None:
    """The simple commands of plain shell code, or None when it is more than that."""
    bare = _without_quoted(text)
    if bare is None or _REFUSED.search(bare):
        return None
    found: list[Command] = []
    at, piped = 0, False
    while at <= len(text):
        parsed = _command(text, bare, at, piped)
        if parsed is None:
            return None
        command, at = parsed
        operator = _OPERATOR.match(bare, at)
        if command is not None:
            if command.program in _KEYWORDS:
                return None
            found.append(command)
        piped = operator is not None and operator[0] in ("|", "|&")
        if operator is None:
            break
        at = operator.end()
    return tuple(found) if found and at >= len(text) else None


def _command(text: str, bare: str, at: int, piped: bool) -> tuple[Command | None, int] | None:
    words: list[Word] = []
    redirects: list[Word] = []
    assigns, fed, joined, broken = False, piped, True, False
    while at < len(text):
        if bare[at] in " \t":
            at += 1
            continue
        redirect = _REDIRECT.match(bare, at)
        if redirect is None and _OPERATOR.match(bare, at):
            break
        if redirect is not None:
            at = redirect.end()
            while at < len(text) and bare[at] in " \t":
                at += 1
            fed = fed or "<" in redirect[0]
            broken = True
        end = at
        while end < len(text) and bare[end] not in " \t\n;|&<>":
            end += 1
        if redirect is not None and end < len(text) and bare[end] == "&" and end == at:
            return None
        if end == at:
            return None
        word = Word(text=text[at:end], start=at, end=end)
        at = end
        if redirect is not None:
            redirects.append(word)
        elif not words and _ASSIGNMENT.match(word.text):
            assigns = True
        else:
            joined = joined and not broken
            words.append(word)
    if not words:
        return (None, at) if not redirects and not assigns else None
    return (
        Command(
            words=tuple(words),
            redirects=tuple(redirects),
            assigns=assigns,
            joined=joined,
            fed=fed,
        ),
        at,
    )


def _without_quoted(text: str) -> str | None:
    """The text with quoted characters made harmless, or None when quoting is not plain."""
    out: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            if text[at + 1 : at + 2] in ("", "\n"):
                return None
            out.append("\\x")
            at += 2
            continue
        if char in "'\"":
            if out and out[-1] == "$":
                return None
            end = at + 1
            while end < len(text) and text[end] != char:
                end += 2 if char == '"' and text[end] == "\\" else 1
            if end >= len(text):
                return None
            inner = text[at + 1 : end]
            if char == '"' and ("`" in inner or "$(" in inner):
                return None
            out.append(char + "x" * len(inner) + char)
            at = end + 1
            continue
        out.append(char)
        at += 1
    return "".join(out)


def replaced(text: str, pieces: list[tuple[int, int, str]]) -> str:
    """The text with some stretches of it exchanged; they must not overlap."""
    for start, end, new in sorted(pieces, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def each_command(text: str, new: Callable[[Command], str | None]) -> str | None:
    """The text with whole commands (without redirections) exchanged; None when none is."""
    found = commands_in(text)
    pieces = []
    for command in found or ():
        written = new(command) if command.joined else None
        if written is not None:
            pieces.append((command.start, command.end, written))
    return replaced(text, pieces) if pieces else None


def each_word(
    text: str,
    new: Callable[[Word, bool], str | None],
    *,
    only_program: bool = False,
    within: Callable[[Command], bool] | None = None,
) -> str | None:
    """The text with single words exchanged.

    Args:
        text: the code.
        new: from a word, and whether it is the program, to what stands there instead.
        only_program: leave arguments as they are.
        within: which commands to look at; None for all.
    """
    found = commands_in(text)
    pieces = []
    for command in found or ():
        if within is not None and not within(command):
            continue
        for place, word in enumerate(command.words):
            if only_program and place:
                break
            written = new(word, place == 0)
            if written is not None and written != word.text:
                pieces.append((word.start, word.end, written))
    return replaced(text, pieces) if pieces else None
