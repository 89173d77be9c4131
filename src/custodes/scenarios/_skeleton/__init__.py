"""What ``custodes scenarios new`` starts a scenario from: a small whole one, with much to do."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}/[a-z][a-z0-9_]{1,40}")
_FILES = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "src/@package@/README.md",
    "init.py.txt": "src/@package@/__init__.py",
    "scenario.py.txt": "src/@package@/scenario.py",
    "workspace.py.txt": "src/@package@/workspace.py",
    "service.py.txt": "src/@package@/service.py",
    "oracle.py.txt": "src/@package@/oracle.py",
    "agents.py.txt": "src/@package@/agents.py",
}


class SkeletonRefused(ValueError):
    """A scenario cannot be started there; one line, with what to do."""


def write_skeleton(name: str, folder: Path) -> tuple[Path, ...]:
    """Write a package with one scenario into a new folder.

    Args:
        name: ``family/name`` in lower case, such as ``escape/borrowed_badge``.

    Returns:
        The files, in order.

    Raises:
        SkeletonRefused: for another form of name, one that exists, or a folder that is not empty.
    """
    from .._registry import all_scenarios

    if _NAME.fullmatch(name) is None:
        raise SkeletonRefused(
            f"expected a name such as escape/borrowed_badge, found {name!r}: family and name of "
            "small letters, digits and _"
        )
    if name in all_scenarios():
        raise SkeletonRefused(f"there is a scenario {name} already: choose another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SkeletonRefused(f"{folder} is not empty: name another folder with --into")
    family, _, short = name.partition("/")
    words = {
        "name": name,
        "package": f"{family}_{short}",
        "short": short,
        "class": "".join(word.capitalize() for word in short.split("_")),
        "title": short.replace("_", " ").capitalize(),
        "project": f"custodes-{family}-{short}".replace("_", "-"),
    }

    def filled(text: str) -> str:
        return re.sub(r"@(\w+)@", lambda found: words.get(found[1], found[0]), text)

    written = []
    for source, target in _FILES.items():
        text = files(__package__).joinpath(source).read_text("utf-8")
        path = folder / filled(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(filled(text), "utf-8")
        written.append(path)
    return tuple(written)
