"""The pinned tools that tasks find inside, besides git and the system's Python.

Set-up installs them for the system's Python (``scripts/toolbox.sh``). Each process binds a copy of
its own, made of hard links where it can be: the path of a bind can be read inside, and the one of
the installation says what it belongs to.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from custodes.types import Tier

from . import _volumes
from ._spec import AnySandbox, SandboxUnavailable

TARGET: Final = "/opt/tools"
"""Where they are seen inside."""
PROGRAMS: Final = frozenset({"pytest"})
MODULES: Final = frozenset({"click", "httpx", "jinja2", "pytest", "requests", "yaml"})
_PATH: Final = f"{TARGET}/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_SCHEMA: Final = "custodes.toolbox/1"
_REQUIREMENT: Final = re.compile(r"(?:(python3):)?([A-Za-z0-9_][A-Za-z0-9_.+-]*)")
_CHECK_SECONDS: Final = 60.0
_lock = threading.Lock()
_linked: dict[tuple[int, Path], Path] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """What to add to a ``SandboxSpec``; nothing when nothing is needed.

    Attributes:
        read_only: folders to bind: (path on the host, path inside).
        environment: variables with which the tools are found.
    """

    read_only: tuple[tuple[Path, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def toolbox() -> Toolbox:
    """The whole toolbox, as it is bound by this process.

    Raises:
        SandboxUnavailable: it is not installed, or for a Python that is not there any more.
    """
    folder = _installed()
    with _lock:
        made = _linked.get((os.getpid(), folder))
        if made is None:
            made = _linked[os.getpid(), folder] = _link(folder)
    return Toolbox(
        read_only=tuple((made / name, f"{TARGET}/{name}") for name in ("bin", "lib")),
        environment={"PATH": _PATH, "PYTHONPATH": f"{TARGET}/lib"},
    )


def toolbox_for(requires: Iterable[str]) -> Toolbox:
    """The toolbox if one of these requirements comes from it, else an empty one.

    A requirement is a program, such as ``git``, or a module, such as ``python3:yaml``.

    Raises:
        ValueError: something is neither.
        SandboxUnavailable: it is needed and not installed.
    """
    return toolbox() if any(_from_toolbox(name) for name in requires) else Toolbox()


async def missing_requirements(sandbox: AnySandbox, requires: Iterable[str]) -> Mapping[str, str]:
    """Which requirements are not met inside, each with one line that says what to do.

    Programs are looked up on the PATH of commands, modules are imported.

    Raises:
        ValueError: something is neither a program nor a module.
    """
    missing = {}
    for name in dict.fromkeys(requires):
        language, word = _read(name)
        argv = (
            ["sh", "-c", 'command -v -- "$1"', "sh", word]
            if language is None
            else [language, "-c", f"import {word}"]
        )
        done = await sandbox.exec(argv, timeout=_CHECK_SECONDS, output_limit=4096)
        if not done.success:
            if _from_toolbox(name) and sandbox.tier is not Tier.C:
                advice = "run make toolbox"
            elif language is None:
                advice = f"install {word} on this machine, below /usr"
            else:
                advice = f"install {word} for the system's Python"
            missing[name] = f"expected {name} in the sandbox, found none; {advice}"
    return missing


def _read(requirement: str) -> tuple[str | None, str]:
    match = _REQUIREMENT.fullmatch(requirement)
    if match is None or (match[1] and not all(p.isidentifier() for p in match[2].split("."))):
        raise ValueError(
            f"expected a program (git) or a module (python3:yaml), found {requirement!r}"
        )
    return match[1], match[2]


def _from_toolbox(requirement: str) -> bool:
    language, word = _read(requirement)
    return word in PROGRAMS if language is None else word.partition(".")[0] in MODULES


def _installed() -> Path:
    named = os.environ.get("CUSTODES_TOOLBOX")
    folder = Path(named) if named else Path(sys.prefix) / "share" / "custodes" / "toolbox"
    advice = "run make toolbox, or name another with CUSTODES_TOOLBOX"
    try:
        about = json.loads((folder / "toolbox.json").read_text("utf-8"))
    except (OSError, ValueError):
        about = None
    if not isinstance(about, dict) or about.get("schema") != _SCHEMA:
        raise SandboxUnavailable(f"expected the toolbox at {folder}, found none; {advice}")
    python = str(about.get("python"))
    if not os.access(python, os.X_OK):
        raise SandboxUnavailable(
            f"expected {python}, which the toolbox was installed for, found none; {advice}"
        )
    return folder


def _link(folder: Path) -> Path:
    volume = _volumes.make_volume()
    atexit.register(_remove, os.getpid(), volume)
    made = volume / "data"
    try:
        for name in ("bin", "lib"):
            shutil.copytree(folder / name, made / name, symlinks=True, copy_function=_share)
    except OSError as error:
        _volumes.remove_volume(volume)
        raise SandboxUnavailable(
            f"the toolbox could not be laid out at {volume}: {error.strerror or error}; "
            "set TMPDIR to a folder with room"
        ) from error
    return made


def _share(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, or another's file
        shutil.copy2(source, target, follow_symlinks=False)


def _remove(process: int, volume: Path) -> None:
    if process == os.getpid():
        _volumes.remove_volume(volume)
