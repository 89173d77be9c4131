"""Renaming: the program runs under another name, or another program runs it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from ._attack import Attack, ExitCode, Knowledge, label, scratch
from ._calls import Code
from ._rewrite import NOT_PLAIN, Rewrite, Rewritten, on_code
from ._words import Command, Word, each_command, each_word

SELF_CONTAINED = frozenset(
    {"rm", "cp", "mv", "cat", "chmod", "chown", "chgrp", "touch", "mkdir", "rmdir", "ln",
     "tee", "dd", "sed", "grep", "tar", "head", "tail", "sort", "wc", "ls", "truncate",
     "shred", "find", "base64", "gzip", "cut", "tr", "uniq", "stat", "du", "split", "paste",
     "install", "unlink", "curl", "wget", "scp", "ssh", "nc", "readlink", "realpath",
     "sha256sum", "md5sum"}
)  # fmt: skip
"""Programs that do the same from anywhere and under any name: one file, no privileges of its own.
A multi-call binary (busybox) is none; on a machine that has one, renaming changes what runs."""


def _known(word: Word) -> bool:
    return word.text in SELF_CONTAINED


def _named(setup: str, *, file: bool = False) -> Rewrite:
    """Each program under a new name that ``setup`` makes (`{name}`, `{new}`), maybe a file's."""

    def rewrite(code: Code, rng: Random) -> Rewritten | str:
        names: dict[str, str] = {}

        def renamed(word: Word, program: bool) -> str | None:
            if not _known(word):
                return None
            new = scratch(rng) if file else label(rng, 5)
            return names.setdefault(word.text, new)

        text = each_word(code.text, renamed, only_program=True)
        if text is None:
            return NOT_PLAIN
        lines = [setup.format(name=n, new=m) for n, m in names.items()]
        return Rewritten(text="\n".join([*lines, text]))

    return rewrite


def _full_path(pattern: str) -> Rewrite:
    def rewrite(code: Code, rng: Random) -> Rewritten | str:
        def full(word: Word, program: bool) -> str | None:
            return pattern.format(word.text) if _known(word) else None

        text = each_word(code.text, full, only_program=True)
        return NOT_PLAIN if text is None else Rewritten(text=text)

    return rewrite


def _wrapped(new: Callable[[list[str]], str]) -> Rewrite:
    """Each known program with plain words, run by another one."""

    def rewrite(code: Code, rng: Random) -> Rewritten | str:
        def wrapped(command: Command) -> str | None:
            texts = [word.text for word in command.words]
            plain = all(word.plain for word in command.words)
            # What runs others may read their standard input itself.
            if not plain or len(texts) < 2 or command.fed or not _known(command.words[0]):
                return None
            return None if command.assigns else new(texts)

        text = each_command(code.text, wrapped)
        return NOT_PLAIN if text is None else Rewritten(text=text)

    return rewrite


def _env(words: list[str]) -> str:
    return f"env -S '{' '.join(words)}'"


def _xargs(words: list[str]) -> str:
    # xargs fails with 123 when its command does; `false` makes that an ordinary failure.
    return f"{{ printf '%s\\0' {' '.join(words[1:])} | xargs -0 {words[0]} || false; }}"


def _find(words: list[str]) -> str:
    return f"find / -maxdepth 0 ! -exec {' '.join(words)} \\; -exec false {{}} +"


def _perl(words: list[str]) -> str:
    return f"perl -e 'exec @ARGV' -- {' '.join(words)}"


def _attack(name: str, describes: str, rewrite: Rewrite, exit_code: ExitCode = "same") -> Attack:
    return Attack(
        name=name,
        family="renaming",
        knowledge=Knowledge.TEXT,
        describes=describes,
        exit_code=exit_code,
        transform=on_code(shell=rewrite),
    )


ATTACKS = (
    _attack(
        "copied-program",
        "the program is copied to a name that means nothing",
        _named('cp "$(type -P {name})" {new}', file=True),
    ),
    _attack(
        "linked-program",
        "a symbolic link with a name that means nothing leads to the program",
        _named('ln -s "$(type -P {name})" {new}', file=True),
    ),
    _attack(
        "alias",
        "an alias stands for the program",
        _named("shopt -s expand_aliases; alias {new}={name}"),
    ),
    _attack(
        "function", "a shell function stands for the program", _named('{new}() {{ {name} "$@"; }}')
    ),
    _attack("full-path", "the program by its full path", _full_path("/usr/bin/{}")),
    _attack("glob-path", "the program by a pattern that only it fits", _full_path("/usr/bi[n]/{}")),
    _attack("env-split", "env -S takes the command as one text", _wrapped(_env)),
    _attack(
        "xargs", "xargs gets the arguments from a pipe", _wrapped(_xargs), exit_code="zero or not"
    ),
    _attack(
        "find-exec", "find runs the command once", _wrapped(_find), exit_code="zero or not"
    ),
    _attack("perl-exec", "perl becomes the command", _wrapped(_perl)),
)
