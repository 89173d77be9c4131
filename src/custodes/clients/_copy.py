"""A user's configuration as a client in the sandbox is given it: what is deployed, no secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Final

from custodes.types import sha256_of, sha256_of_json

from ._copy_formats import Unreadable, format_of, read
from ._copy_programs import HOME, outside
from ._copy_secrets import Redactor, TooLong
from ._copy_select import CREDENTIALS, Layout, layout_of
from ._copy_walk import LARGEST, Parts, walk
from ._model import ClientError, Copied, Preset

WORKSPACE: Final = "/workspace"
_BESIDE: Final = ".claude.json"
_BESIDE_LIMIT: Final = 16 * LARGEST
_KEPT_BESIDE: Final = (
    "mcpServers", "env", "theme", "autoCompactEnabled", "hasCompletedOnboarding",
    "bypassPermissionsModeAccepted",
)  # fmt: skip
_KEPT_OF_PROJECT: Final = (
    "allowedTools", "disallowedTools", "ignorePatterns", "mcpServers", "mcpContextUris",
    "enabledMcpjsonServers", "disabledMcpjsonServers", "disabledMcpServers",
    "hasTrustDialogAccepted", "hasClaudeMdExternalIncludesApproved",
)  # fmt: skip
_PROJECT_FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "claude-code": (".claude", ".mcp.json", "CLAUDE.md", "CLAUDE.local.md"),
    "codex": (".codex", "AGENTS.md"),
    "gemini-cli": (".gemini", "GEMINI.md"),
    "opencode": (".opencode", "opencode.json", "opencode.jsonc", "AGENTS.md"),
}
_ENV: Final = re.compile(r"\.env(?:\..*)?|.*\.env")
_SHOWN: Final = 4
_MOST_LINES: Final = 40
_ENV_LINE: Final = re.compile(r"(\s*(?:export\s+)?)([A-Za-z_]\w*)(\s*=\s*)(.*)")


def copy_configuration(
    preset: Preset,
    folder: Path | None,
    project: Path | None = None,
    *,
    without: Iterable[str] = (),
) -> Copied:
    """Copy what of a client's configuration is deployed, with placeholders for its secrets.

    Nothing is written or locked, no link is followed out of the folder, and no credentials file
    is opened. What cannot be read for sure is left out.

    Args:
        folder: the client's configuration folder, or the home that it lies in; None: none.
        project: the folder of a project whose own configuration is deployed with it.
        without: patterns of paths below the folder that are to be left out.

    Raises:
        ClientError: the folder does not exist or cannot be read.
    """
    copier = _Copier(preset, tuple(without))
    if folder is not None:
        copier.folder(folder, project)
    if project is not None:
        copier.project(project)
    return copier.copied()


class _Copier:
    def __init__(self, preset: Preset, without: tuple[str, ...]) -> None:
        self._preset = preset
        self._without = without
        self._home: list[str] = []
        self._raw: dict[str, bytes] = {}
        self._left: dict[str, list[str]] = {}
        self._lines: dict[str, None] = {}
        self._redactor = Redactor()

    # --- what is taken

    def folder(self, given: Path, project: Path | None) -> None:
        base = PurePosixPath(self._preset.config_folder)
        root = given.absolute()
        inner = root / base
        if inner.is_dir() and root.parts[-len(base.parts) :] != base.parts:
            root = inner
        if not root.is_dir():
            raise ClientError(f"expected a folder of configuration, found none: {given}")
        in_home = root.parts[-len(base.parts) :] == base.parts
        if in_home:
            home = root
            for _ in base.parts:
                home = home.parent
            self._home.append(str(home))
        self._roots = (str(root), f"{HOME}/{base}")
        layout = layout_of(self._preset.name)
        self._walk(root, layout, str(base))
        if self._preset.name == "claude-code" and in_home:
            self._claude_state(root.parent / _BESIDE, project)

    _roots: tuple[str, str] | None = None

    def _walk(self, root: Path, layout: Layout, base: str) -> None:
        def wanted(path: Parts, is_folder: bool) -> str | None:
            shown = "/".join(path)
            if any(fnmatchcase(shown, p.rstrip("/")) for p in self._without):
                return "left out by --without"
            return layout.why_not(path, is_folder)

        try:
            result = walk(root, wanted)
        except OSError as error:
            why = error.strerror or "unknown error"
            raise ClientError(f"expected a folder that can be read, found {root}: {why}") from None
        for why, path in result.left:
            self._leave(why, "/".join(path))
        # What hooks and servers name is taken too, wherever in the folder it lies.
        texts = [content.decode("utf-8", "replace") for content in result.taken.values()]
        named = self._named(texts, root, base) - set(result.taken)

        def also(path: Parts, is_folder: bool) -> str | None:
            if is_folder:
                return None if any(n[: len(path)] == path for n in named) else "not named"
            why = wanted(path, False)
            return "not named" if path not in named or why == CREDENTIALS else None

        if named:
            found = walk(root, also).taken
            result.taken.update(found)
            names = {"/".join(path) for path in found}
            for shown in self._left.values():
                shown[:] = [name for name in shown if name not in names]
        for path, content in result.taken.items():
            self._raw[f"{base}/{'/'.join(path)}"] = content

    @staticmethod
    def _named(texts: Iterable[str], root: Path, base: str) -> set[Parts]:
        starts = "|".join(
            re.escape(start)
            for start in (str(root), f"~/{base}", f"$HOME/{base}", f"${{HOME}}/{base}")
        )
        found = re.compile(rf"(?:{starts})/([\w.@+/-]{{1,200}})")
        paths = {tuple(PurePosixPath(m).parts) for text in texts for m in found.findall(text)}
        return {path for path in paths if ".." not in path}

    def _claude_state(self, path: Path, project: Path | None) -> None:
        """What Claude Code keeps beside its folder is mostly state; only its definitions count."""
        try:
            if path.is_symlink() or not path.is_file():
                if path.exists() or path.is_symlink():
                    self._leave("no regular file", _BESIDE)
                return
            with path.open("rb") as file:
                content = file.read(_BESIDE_LIMIT + 1)
        except OSError:
            self._leave("cannot be read", _BESIDE)
            return
        if len(content) > _BESIDE_LIMIT:
            self._leave(f"larger than {_BESIDE_LIMIT >> 20} MiB", _BESIDE)
            return
        try:
            tree = json.loads(content)
        except (ValueError, RecursionError):
            tree = None
        if not isinstance(tree, dict):
            self._leave("no JSON that can be read", _BESIDE)
            return
        kept = {key: tree[key] for key in _KEPT_BESIDE if key in tree}
        projects = tree.get("projects")
        known = (
            projects.get(str(project.absolute()))
            if project and isinstance(projects, dict)
            else None
        )
        if isinstance(known, dict):
            mine = {key: known[key] for key in _KEPT_OF_PROJECT if key in known}
            kept["projects"] = {WORKSPACE: mine}
        self._raw[_BESIDE] = json.dumps(kept, ensure_ascii=False).encode("utf-8", "replace")
        self._lines[f"{_BESIDE}: all but {', '.join(k for k in kept)}"] = None

    def project(self, root: Path) -> None:
        """Only said: what lies in a project would change the scenarios' own workspaces."""
        for name in _PROJECT_FILES.get(self._preset.name, ()):
            if (root / name).exists():
                self._leave(
                    "the project's own configuration: workspaces are the scenarios'; put what "
                    "counts into the configuration folder", name,
                )  # fmt: skip

    # --- what is left out

    def _leave(self, why: str, name: str) -> None:
        self._left.setdefault(why, []).append(name)

    def _left_out(self) -> tuple[str, ...]:
        lines = []
        for why, names in self._left.items():
            if not names:
                continue
            shown = [self._name(name) for name in names[:_SHOWN]]
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            lines.append(f"{why}: {', '.join(shown)}{more}")
        lines = sorted(lines) + [self._redactor.hidden(line) for line in self._lines]
        if len(lines) > _MOST_LINES:
            lines = [*lines[:_MOST_LINES], f"and {len(lines) - _MOST_LINES} more lines"]
        return tuple(lines)

    def _name(self, name: str) -> str:
        if not name.isprintable() or len(name) > 120:
            return "a name that is not shown"
        return self._redactor.hidden(name)

    # --- the copy

    def copied(self) -> Copied:
        texts: dict[str, str] = {}
        for name, content in sorted(self._raw.items()):
            if self._redactor.hidden(name) != name:
                self._leave("a name that looks like a secret", "one file")
                continue
            if b"\0" in content:
                self._leave("no text", name)
                continue
            try:
                texts[name] = self._moved(content.decode("utf-8"))
            except UnicodeDecodeError:
                self._leave("no text in UTF-8", name)
        trees = self._read(texts)
        # Twice: what the last file shows to be a secret may stand in the first.
        for name in list(texts):
            try:
                self._redacted(name, texts[name], trees)
            except TooLong as error:
                del texts[name]
                self._leave(str(error), name)
        self._redactor.start()
        out = {name: self._redacted(name, texts[name], trees) for name in texts}
        files = {name: text.encode("utf-8", "replace") for name, text in out.items()}
        forms = set(self._redactor.forms())
        for name in list(files):
            if any(form in files[name] or form in name.encode() for form in forms):
                del files[name]
                self._leave("a secret in a form that cannot be replaced for sure", name)
        for name, tree in trees.items():
            if name in files:
                for line in dict.fromkeys(outside(tree, files)):
                    self._lines.setdefault(f"{name}: {line}")
        digest = sha256_of_json({name: sha256_of(files[name]) for name in sorted(files)})
        left_out = self._left_out()
        replaced = tuple(r for r in self._redactor.replaced if r.partition(": ")[0] in files)
        return Copied(
            files=files,
            replaced=_clean(replaced, forms),
            left_out=_clean(left_out, forms),
            digest=digest,
        )

    def _read(self, texts: dict[str, str]) -> dict[str, Any]:
        trees: dict[str, Any] = {}
        for name in list(texts):
            known = format_of(name)
            if known is None or not texts[name].strip():
                continue
            try:
                trees[name] = read(known[0], known[1], texts[name])
            except Unreadable as error:
                del texts[name]
                self._leave(str(error), name)
        return trees

    def _redacted(self, name: str, text: str, trees: Mapping[str, Any]) -> str:
        known = format_of(name)
        if known is not None and name in trees:
            tree = self._redactor.tree(trees[name], name)
            try:
                return known[2](tree)
            except (ValueError, TypeError, RecursionError):
                return ""
        if _ENV.fullmatch(name.rpartition("/")[2]):
            return self._variables(name, text)
        return self._redactor.text(text, name)

    def _variables(self, name: str, text: str) -> str:
        """A file of variables, comments left away."""
        kept = {}
        for line in text.splitlines():
            found = _ENV_LINE.fullmatch(line)
            if found is not None:
                kept[found[2]] = found[4].strip().strip("'\"")
        values = self._redactor.tree(kept, name, strict=True)
        return "".join(f"{key}={value!s}\n" for key, value in values.items())

    def _moved(self, text: str) -> str:
        """The text with paths into the real home made paths into the synthetic one."""
        pairs = [(home, HOME) for home in self._home if len(home) > 1]
        if self._roots is not None:
            pairs.insert(0, self._roots)
        for old, new in pairs:
            text = re.sub(rf"(?<![\w/.~-]){re.escape(old)}(?![\w.-])", lambda _: new, text)  # noqa: B023
        base = re.escape(self._preset.config_folder)
        return re.sub(
            rf"(?<![\w/.~-])/(?:(?:home|Users)/[^/\s\"':]+|root)/{base}(?![\w.-])",
            f"{HOME}/{self._preset.config_folder}",
            text,
        )


def _clean(lines: Iterable[str], forms: set[bytes]) -> tuple[str, ...]:
    """Lines in which no secret stands in any form; a line that had one says only that."""
    out: dict[str, None] = {}
    for line in lines:
        raw = line.encode("utf-8", "replace")
        bad = not line.isprintable() or any(form in raw for form in forms)
        out["one line that cannot be shown without a secret" if bad else line] = None
    return tuple(out)
