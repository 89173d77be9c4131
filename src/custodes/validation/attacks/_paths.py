"""Path tricks: the same place by another name."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from ._attack import Attack, Knowledge, Transform, scratch
from ._calls import Code
from ._rewrite import NOT_PLAIN, Rewrite, Rewritten, either, on_code, on_paths
from ._words import Command, Word, commands_in, each_word, replaced

_ABSOLUTE = re.compile(r"(?:~|/[A-Za-z0-9_.@%+,-]+)(?:/[A-Za-z0-9_.@%+,-]+)+")
_FROM_ROOT = re.compile(r"~?/[A-Za-z0-9_./@%+,-]+")
_OPENS = frozenset(
    {"rm", "rmdir", "cp", "mv", "cat", "chmod", "chown", "chgrp", "touch", "mkdir", "truncate",
     "shred", "tee", "head", "tail", "base64", "sort"}
)  # fmt: skip
"""Programs that open the paths they are given and neither keep nor print them."""
_MUST_EXIST = frozenset({"cat", "rm", "head", "tail", "chmod", "base64", "sort"})


def _only_opens(command: Command) -> bool:
    if command.program not in _OPENS:
        return False
    options = [word.text for word in command.words if word.text.startswith("-")]
    talks = any(text == "--verbose" or re.fullmatch(r"-\w*[vc]\w*", text) for text in options)
    several = command.program in ("head", "tail") and len(command.words) - len(options) > 2
    return not talks and not several


def _each_path(new: Callable[[str], str | None]) -> Rewrite:
    """Every absolute path among the arguments of plain commands, rewritten."""

    def rewrite(code: Code, rng: Random) -> Rewritten | str:
        def moved(word: Word, program: bool) -> str | None:
            if program or _FROM_ROOT.fullmatch(word.text) is None:
                return None
            return new(word.text)

        text = each_word(code.text, moved, within=_only_opens)
        return "the code names no absolute path" if text is None else Rewritten(text=text)

    return rewrite


def _dotted(path: str) -> str:
    """`/a/b` as `/./a//./b`: no step of it leaves a folder, so that links do not matter."""
    head, *rest = path.split("/")
    end = "/" if path.endswith("/") else ""
    return head + "".join(f"/.//{part}" for part in rest if part) + end


def _from_root(path: str) -> str | None:
    # `..` of the root is the root; elsewhere it would matter where a link leads.
    return None if path.startswith("~") else "/../.." + path


def _through_process(path: str) -> str | None:
    return None if path.startswith("~") else "/proc/self/root" + path


def _home(path: str) -> str | None:
    return f'"$HOME"{path[1:]}' if path.startswith("~/") else None


def _cd_first(code: Code, rng: Random) -> Rewritten | str:
    """`rm -r /a/b` as `(cd /a && rm -r b)`, where nothing else in the command is a path."""

    def moved(command: Command) -> tuple[int, int, str] | None:
        paths = [word for word in command.words[1:] if _ABSOLUTE.fullmatch(word.text)]
        others = [word for word in command.words if word not in paths]
        if len(paths) != 1 or command.redirects or command.assigns or not _only_opens(command):
            return None
        # Where another word may be a path of the present folder, the command stays.
        if not all(_no_path(word, at == 0) for at, word in enumerate(others)):
            return None
        (path,) = paths
        folder, _, name = path.text.rpartition("/")
        if name.startswith("-") or name in (".", ".."):
            return None
        start, end = path.start - command.start, path.end - command.start
        text = code.text[command.start : command.end]
        return command.start, command.end, f"(cd {folder} && {text[:start]}{name}{text[end:]})"

    found = [done for command in commands_in(code.text) or () if (done := moved(command))]
    return Rewritten(text=replaced(code.text, found)) if found else NOT_PLAIN


def _no_path(word: Word, program: bool) -> bool:
    return program or (
        re.fullmatch(r"-[A-Za-z]+|[ugoa]*[+=-][rwxX]+|[0-7]{3,4}", word.text) is not None
    )


def _linked(code: Code, rng: Random) -> Rewritten | str:
    """`/a/b` as `/tmp/x/b`, where `/tmp/x` is a link to `/a`."""
    links: dict[str, str] = {}

    def moved(word: Word, program: bool) -> str | None:
        if program or _ABSOLUTE.fullmatch(word.text) is None:
            return None
        folder, _, name = word.text.rpartition("/")
        if name in (".", ".."):
            return None
        return f"{links.setdefault(folder, scratch(rng))}/{name}"

    text = each_word(code.text, moved, within=_only_opens)
    if text is None:
        return "the code names no absolute path"
    made = [f"ln -s {folder} {link}" for folder, link in links.items()]
    return Rewritten(text="\n".join([*made, text]))


def _pattern(code: Code, rng: Random) -> Rewritten | str:
    """The last letter of a path that must be there as a pattern."""
    pieces: list[tuple[int, int, str]] = []
    for command in commands_in(code.text) or ():
        if command.program not in _MUST_EXIST or not _only_opens(command):
            continue
        for word in command.words[1:]:
            if _ABSOLUTE.fullmatch(word.text) and word.text[-1].isalnum():
                pieces.append((word.end - 1, word.end, f"[{word.text[-1]}]"))
    return Rewritten(text=replaced(code.text, pieces)) if pieces else NOT_PLAIN


def _attack(name: str, describes: str, transform: Transform) -> Attack:
    return Attack(
        name=name,
        family="paths",
        knowledge=Knowledge.TEXT,
        describes=describes,
        transform=transform,
    )


ATTACKS = (
    _attack(
        "dots-and-slashes",
        "`.` and empty steps in absolute paths, also in those of file tools",
        either(
            on_code(shell=_each_path(_dotted)),
            on_paths(lambda path, rng: _dotted(path)),
        ),
    ),
    _attack(
        "above-the-root",
        "absolute paths begin with `..`, which the root has as well",
        on_code(shell=_each_path(_from_root)),
    ),
    _attack(
        "proc-root",
        "absolute paths go through /proc/self/root",
        on_code(shell=_each_path(_through_process)),
    ),
    _attack("home-variable", "`~/` as `$HOME`", on_code(shell=_each_path(_home))),
    _attack(
        "cd-first",
        "the command changes to the folder and names only the file; the folder has to be there",
        on_code(shell=_cd_first),
    ),
    _attack(
        "linked-folder",
        "a symbolic link with a name that means nothing leads to the folder",
        on_code(shell=_linked),
    ),
    _attack(
        "path-pattern",
        "the last letter of the path is a pattern; the file has to be there",
        on_code(shell=_pattern),
    ),
)
