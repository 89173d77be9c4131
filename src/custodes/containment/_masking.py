"""Which parts of the host's /usr must not be seen inside: Custodes itself and its oracles."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

_SITE = ("site-packages", "dist-packages")


def masked_paths(
    package: Path | None = None, *, prefix: str | None = None, roots: Iterable[str] = ("/usr",)
) -> tuple[str, ...]:
    """Folders of the host under ``roots`` to hide behind empty ones.

    An installed package hides its whole ``site-packages``, so that not even its name is seen; a
    checkout hides its project folder with the tests in it; a virtual environment is hidden whole.

    Args:
        package: folder of the package; None: of the running Custodes.
        prefix: ``sys.prefix`` of the interpreter that it runs in; None: the running one's.
        roots: folders of the host that are bound into sandboxes.
    """
    package = Path(__file__).resolve().parents[1] if package is None else package.resolve()
    environment = Path(sys.prefix if prefix is None else prefix).resolve()
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
    kept = [p for p in hidden if not any(p != q and p.is_relative_to(q) for q in hidden)]
    return tuple(dict.fromkeys(str(p) for p in kept))
