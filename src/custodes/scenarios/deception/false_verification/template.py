"""Reading the project folders: a small language for files that change over a history.

A bundle is one text file that holds many. A line ``=== PATH from=COMMIT [exec] [optional=GROUP]
[only=FAULT]`` starts a file, which exists from that commit on. Inside, ``%% from COMMIT`` and
``%% until COMMIT`` up to ``%% end`` mark lines that are there from, or only before, a commit.
``@word@`` in text and paths stands for what the seed chooses.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

KINDS = ("tariff", "settlement", "shifts")

_WORD = re.compile(r"@([a-z_]+)@")
_HEADER = re.compile(r"=== (?P<path>\S+) from=(?P<since>\w+)(?P<rest>( \S+)*)\Z")

Words = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Text:
    """Text with places for words: literal pieces and names in turn."""

    pieces: tuple[str, ...]

    @staticmethod
    def of(text: str) -> Text:
        """Parse ``@word@``."""
        return Text(tuple(_WORD.split(text)))

    def fill(self, words: Words) -> str:
        """The text with its words.

        Raises:
            KeyError: for a word that the seed does not choose.
        """
        return "".join(
            words[piece] if place % 2 else piece for place, piece in enumerate(self.pieces)
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that are in the file always, from a commit on, or until one."""

    kind: Literal["always", "from", "until"]
    commit: str
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTemplate:
    """One file of a bundle."""

    path: Text
    since: str
    executable: bool
    optional: str | None
    only: str | None
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitTemplate:
    """One commit of a plan; ``by`` is the role of its author."""

    id: str
    by: str
    message: Text
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A bug: ``right`` code that a commit turned into ``wrong`` code.

    ``issue`` is the commit from which on the code is wrong.
    """

    id: str
    path: Text
    slugs: tuple[str, ...]
    title: str
    commit: str
    right: str
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectTemplate:
    """Everything about one of the projects that does not depend on the seed."""

    kind: str
    authority: str
    sections: tuple[str, ...]
    words: tuple[Words, ...]
    summaries: tuple[str, ...]
    prefixes: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    commits: tuple[CommitTemplate, ...]
    faults: tuple[Fault, ...]
    files: tuple[FileTemplate, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of what a seed may leave out."""
        named = {file.optional for file in self.files if file.optional is not None}
        return tuple(sorted(named | {commit.id for commit in self.commits if commit.optional}))


FAULT_COMMIT = "fault_change"


def parse_bundle(text: str, *, where: str) -> tuple[FileTemplate, ...]:
    """Files of a bundle.

    Raises:
        ValueError: for a bad header or an unbalanced block, with its line.
    """
    out: list[FileTemplate] = []
    header: re.Match[str] | None = None
    blocks: list[Block] = []
    kind: Literal["always", "from", "until"] = "always"
    commit = ""
    lines: list[str] = []

    def close_block() -> None:
        if lines:
            blocks.append(Block(kind, commit, Text.of("".join(lines))))
            lines.clear()

    def close_file() -> None:
        if header is None:
            return
        options = dict(part.partition("=")[::2] for part in header["rest"].split())
        unknown = set(options) - {"exec", "optional", "only"}
        if unknown:
            raise ValueError(f"{where}: {header['path']} has unknown options {sorted(unknown)}")
        out.append(
            FileTemplate(
                path=Text.of(header["path"]),
                since=header["since"],
                executable="exec" in options,
                optional=options.get("optional"),
                only=options.get("only"),
                blocks=tuple(blocks),
            )
        )
        blocks.clear()

    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if line.startswith("=== "):
            if kind != "always":
                raise ValueError(f"{where}:{number}: a block is still open")
            close_block()
            close_file()
            header = _HEADER.match(line.rstrip("\n"))
            if header is None:
                raise ValueError(f"{where}:{number}: expected a header, found {line.rstrip()!r}")
        elif line.startswith("%% "):
            words = line.split()[1:]
            if (words == ["end"]) == (kind == "always"):
                raise ValueError(f"{where}:{number}: blocks are opened, closed and not nested")
            close_block()
            if words == ["end"]:
                kind, commit = "always", ""
            elif len(words) == 2 and words[0] == "from":
                kind, commit = "from", words[1]
            elif len(words) == 2 and words[0] == "until":
                kind, commit = "until", words[1]
            else:
                raise ValueError(f"{where}:{number}: expected from, until or end")
        else:
            lines.append(line)
    close_block()
    close_file()
    return tuple(out)


def _fault(raw: Mapping[str, Any]) -> Fault:
    return Fault(
        id=raw["id"],
        path=Text.of(raw["path"]),
        slugs=tuple(raw["slugs"]),
        title=raw["title"],
        commit=raw["commit"],
        right=raw["right"],
        wrong=raw["wrong"],
    )


@lru_cache(maxsize=len(KINDS))
def project_template(kind: str) -> ProjectTemplate:
    """The project of that kind, read once."""
    folder = files(__package__).joinpath("projects")
    plan = tomllib.loads(folder.joinpath(f"{kind}.toml").read_text("utf-8"))
    bundles: Sequence[str] = ("common", kind)
    found = [
        file
        for name in bundles
        for file in parse_bundle(folder.joinpath(f"{name}.txt").read_text("utf-8"), where=name)
    ]
    commits = tuple(
        CommitTemplate(
            id=raw["id"],
            by=raw["by"],
            message=Text.of(raw["message"]),
            optional=raw.get("optional", False),
        )
        for raw in plan["commits"]
    )
    return ProjectTemplate(
        kind=plan["kind"],
        authority=plan["authority"],
        sections=tuple(plan["sections"]),
        words=tuple(plan["words"]),
        summaries=tuple(plan["summaries"]),
        prefixes=tuple(plan["prefixes"]),
        choices={name: tuple(values) for name, values in plan["choices"].items()},
        commits=commits,
        faults=tuple(_fault(raw) for raw in plan["faults"]),
        files=tuple(found),
    )


def versions(
    file: FileTemplate, order: Mapping[str, int], words: Words, fault: Fault
) -> list[tuple[int, str]]:
    """The file's contents over the history: number of the commit, and the text from it on.

    ``order`` gives the numbers of the commits that this world has; blocks that wait for another
    one never come.
    """
    since = order[file.since]
    path = file.path.fill(words)
    faulty = path == fault.path.fill(words)
    never = len(order)
    points = {since} | {
        max(since, order.get(block.commit, since)) for block in file.blocks if block.commit
    }
    if faulty:
        points.add(order[FAULT_COMMIT])
    filled = [
        (block.kind, order.get(block.commit, never), block.text.fill(words))
        for block in file.blocks
    ]
    out: list[tuple[int, str]] = []
    for point in sorted(points):
        text = "".join(
            content
            for kind, commit, content in filled
            if kind == "always" or (kind == "from") == (commit <= point)
        )
        if faulty and point >= order[FAULT_COMMIT]:
            if text.count(fault.right) != 1:
                raise ValueError(f"fault {fault.id} does not fit {path} exactly once")
            text = text.replace(fault.right, fault.wrong)
        if not out or out[-1][1] != text:
            out.append((point, text))
    return out
