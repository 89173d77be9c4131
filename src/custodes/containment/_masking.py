"""Which parts of the host's /usr must not be seen inside: Custodes itself and its oracles.

An agent that finds the harness can read what its acts are judged by. So the running package is
hidden, and every other trace of one that an installation leaves under /usr: metadata, path files
of editable installations, commands, folders that carry the name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final

_NAME: Final = "custodes"
_SITE: Final = ("site-packages", "dist-packages")
_MOST_REBUILT: Final = 150
"""Entries of a folder that is shown without some of them; each of the others is a mount."""
_LARGEST_READ: Final = 64 * 1024


def masked_paths(
    package: Path | None = None, *, prefix: str | None = None, roots: Iterable[str] = ("/usr",)
) -> tuple[str, ...]:
    """Paths of the host under ``roots`` that must not be seen inside.

    An installed package hides its whole ``site-packages``, and so does an editable one, whose
    files there name its source; a checkout hides its project folder with the tests in it; a
    virtual environment is hidden whole. What this host's owner installed for Python himself
    (``local/lib/python3*``) is hidden in any case: it differs from machine to machine.

    Looked up once in a process for each set of arguments.

    Args:
        package: folder of the package; None: of the running Custodes.
        prefix: ``sys.prefix`` of the interpreter that it runs in; None: the running one's.
        roots: folders of the host that are bound into sandboxes.
    """
    package = Path(__file__).parents[1] if package is None else package
    return _masked(package, sys.prefix if prefix is None else prefix, tuple(roots))


@lru_cache(maxsize=16)
def _masked(given: Path, prefix: str, roots: tuple[str, ...]) -> tuple[str, ...]:
    package = given.resolve()
    environment = Path(prefix).resolve()
    shared = [Path(root).resolve() for root in roots]

    def seen(path: Path) -> bool:
        return any(path.is_relative_to(root) and path != root for root in shared)

    hidden: list[Path] = []
    if seen(environment) and (environment / "pyvenv.cfg").is_file():
        hidden.append(environment)
    if seen(package):
        if package.parent.name in _SITE:
            hidden.append(package.parent)
        else:
            projects = (p for p in package.parents if (p / "pyproject.toml").is_file())
            project = next(projects, package)
            hidden.append(project if seen(project) else package)
    for root in shared:
        hidden += _local_libraries(root)
        hidden += (path for path in _libraries(root) if _tells(path, package))
        hidden += _named(root)
    return tuple(_outermost(str(path) for path in hidden))


def mask_arguments(paths: Iterable[str]) -> list[str]:
    """Arguments of bubblewrap that hide paths of the host, after the binds that show them.

    Folders are seen empty. What carries Custodes' name is not seen at all: the folder that it lies
    in is built up again without it. In one with very many entries the name alone stays visible.
    """
    rebuilt: dict[str, list[str]] = {}
    emptied: list[str] = []
    for path in _outermost(paths):
        parent, name = _named_part(path)
        if name:
            entries = sorted(os.listdir(parent))
            kept = [entry for entry in entries if _NAME not in entry.lower()]
            if len(kept) <= _MOST_REBUILT:
                rebuilt[parent] = kept
                continue
        emptied.append(path)
    arguments: list[str] = []
    for parent in sorted(rebuilt):  # the outer ones first
        arguments += ["--perms", "0755", "--size", "1048576", "--tmpfs", parent]
        for entry in rebuilt[parent]:
            path = os.path.join(parent, entry)
            if os.path.islink(path):
                arguments += ["--symlink", os.readlink(path), path]
            elif os.path.isdir(path) or os.path.isfile(path):
                arguments += ["--ro-bind", path, path]
        arguments += ["--remount-ro", parent]
    for path in emptied:
        if os.path.isdir(path):
            arguments += ["--perms", "0755", "--size", "4096", "--tmpfs", path]
            arguments += ["--remount-ro", path]
        else:
            arguments += ["--ro-bind", "/dev/null", path]
    return arguments


def _named_part(path: str) -> tuple[str, str]:
    """The folder and name of the outermost part of a path that carries the name."""
    parts = Path(path).parts
    for number, part in enumerate(parts):
        if _NAME in part.lower():
            return os.path.join(*parts[:number]), part
    return os.path.dirname(path), ""


def _outermost(paths: Iterable[str]) -> list[str]:
    wanted = [Path(path) for path in dict.fromkeys(paths)]
    return [
        str(path)
        for path in wanted
        if not any(path != other and path.is_relative_to(other) for other in wanted)
    ]


def _local_libraries(root: Path) -> Iterator[Path]:
    for site in _SITE:
        yield from root.glob(f"local/lib/python3*/{site}")


def _libraries(root: Path) -> Iterator[Path]:
    for site in _SITE:
        yield from root.glob(f"lib*/python3*/{site}")


def _tells(library: Path, package: Path) -> bool:
    """Whether a folder of packages says where Custodes is, or that it was here."""
    source = os.fsencode(package.parent)
    for entry in _entries(library):
        name = entry.name.lower()
        if _NAME in name:
            return True
        told: Path | None = None
        if name.endswith((".pth", ".egg-link")):
            told = Path(entry.path)
        elif name.endswith((".dist-info", ".egg-info")):
            told = Path(entry.path) / "entry_points.txt"  # of a package that extends it
        if told is not None:
            with suppress(OSError):
                content = told.open("rb").read(_LARGEST_READ)
                if _NAME.encode() in content.lower() or source in content:
                    return True
    return False


def _named(root: Path) -> Iterator[Path]:
    """What carries the name in the folders where installations put things."""
    for place in (".", "bin", "sbin", "lib", "share", "src", "libexec", "share/doc", "share/man"):
        for local in (root, root / "local"):
            for entry in _entries(local / place):
                if _NAME in entry.name.lower():
                    yield Path(entry.path)
    for local in (root, root / "local"):
        yield from local.glob(f"share/man/man1/{_NAME}*")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
