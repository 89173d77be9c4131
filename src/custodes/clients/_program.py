"""From the name of a program to what of this machine a sandbox has to show for it to start.

A native binary is shown alone; a script of node with its package and what that depends on; a
script of Python with its virtual environment. Nothing else of the user's home is shown, and what
lies beside secrets is refused.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ._model import ClientError

INSIDE: Final = "/opt/agent"
"""Folder inside below which programs are shown."""

_SHOWN: Final = tuple(Path(top) for top in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64"))
_MOST_WRAPPERS: Final = 8
_SCRIPT_LIMIT: Final = 64 * 1024
_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh"})
_MANAGERS: Final = frozenset({"asdf", "mise", "nodenv", "proto", "rtx", "volta", "volta-shim"})
_FORBIDDEN: Final = frozenset(
    {".aws", ".azure", ".docker", ".gnupg", ".kube", ".mozilla", ".password-store", ".ssh"}
)
_TELLING: Final = frozenset(
    {".env", ".git", ".git-credentials", ".netrc", ".npmrc", ".pypirc", "id_ed25519", "id_rsa"}
)
_EXEC: Final = re.compile(
    r"""^[ \t]*(?:exec[ \t]+)?(?:env[ \t]+)?((?:"[^"\n]*"|'[^'\n]*'|[^\s"'\n])+)[^\n]*\$\{?@""",
    re.MULTILINE,
)
_HERE: Final = re.compile(
    r"\$\(\s*(?:cd\s+)?[\"']?\$?\(?\s*dirname\s+(?:--\s+)?[\"']?(?:\$0|\$\{BASH_SOURCE\[0\]\}"
    r"|\$\{BASH_SOURCE\}|\$BASH_SOURCE|\$\{0\})[\"']?\s*\)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program that can be shown inside a sandbox.

    Attributes:
        path: of its file on the host, resolved.
        argv: how it is started inside.
        mounts: host path and path inside, read-only.
        parts: files and folders whose content makes it this program and no other.
    """

    path: Path
    argv: tuple[str, ...]
    mounts: tuple[tuple[Path, str], ...]
    parts: tuple[Path, ...]


def program_at(found: Path, search: str) -> Program:
    """What has to be shown for a program to start.

    Args:
        found: its path; links and wrapper scripts are followed.
        search: folders for interpreters, as in PATH.

    Raises:
        ClientError: it cannot be followed, or lies where secrets would be shown with it.
    """
    path = _resolved(found)
    for _ in range(_MOST_WRAPPERS):
        interpreter = _interpreter(path)
        if interpreter is None:
            return _native(path)
        name = Path(interpreter[0]).name
        if name in {"node", "nodejs", "bun"}:
            return _of_node(path, interpreter, search)
        if name.startswith("python"):
            return _of_python(path, interpreter, search)
        if name not in _SHELLS:
            raise ClientError(
                f"expected a program, found a script of {name} at {path}; name a program, or a "
                "script of node or Python"
            )
        if _shown(path) and _wrapped(path) is None:
            return Program(path=path, argv=(str(path),), mounts=(), parts=(path,))
        inner = _wrapped(path)
        if inner is None:
            raise ClientError(
                f"expected a program, found a shell script at {path} that starts none by its "
                "path; name the program that it starts"
            )
        target = Path(inner) if "/" in inner else _on(search, inner)
        if target is None:
            raise ClientError(f"expected the program {inner} that {path} starts, found none")
        path = _resolved(target)
    raise ClientError(
        f"expected a program, found more than {_MOST_WRAPPERS} scripts in a row from {found}; "
        "name the program itself"
    )


def _resolved(path: Path) -> Path:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise ClientError(
            f"expected a program at {path}, found a link that leads nowhere; reinstall it"
        ) from None
    if real.name in _MANAGERS and real.name != path.name:
        raise ClientError(
            f"expected a program at {path}, found a shim of {real.name}; name the program itself "
            f"(`{real.name} which {path.name}` says where it is)"
        )
    if not real.is_file() or not os.access(real, os.X_OK | os.R_OK):
        raise ClientError(
            f"expected a program at {path}, found no file that can be read and executed"
        )
    return real


def _interpreter(path: Path) -> list[str] | None:
    """The words of a script's first line, without env; None for a binary."""
    with path.open("rb") as file:
        first = file.readline(1024)
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode("utf-8", "replace").split()
    if words and Path(words[0]).name == "env":
        words = words[1:]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words = words[1:]
    if not words:
        raise ClientError(f"expected an interpreter in the first line of {path}, found none")
    return words


def _wrapped(path: Path) -> str | None:
    """The program that a shell script hands its arguments on to."""
    with path.open("rb") as file:
        raw = file.read(_SCRIPT_LIMIT + 1)
    if len(raw) > _SCRIPT_LIMIT:
        return None
    text = re.sub(r"^[ \t]*#[^\n]*$", "", raw.decode("utf-8", "replace"), flags=re.MULTILINE)
    text = _HERE.sub(lambda _: str(path.parent), text)
    home = os.path.expanduser("~")
    found = None
    for match in _EXEC.finditer(text):
        word = match[1].replace('"', "").replace("'", "")
        word = word.replace("${HOME}", home).replace("$HOME", home)
        if "$" in word or word in {"if", "set", "shift", "for", "echo", "printf", "return"}:
            continue
        found = os.path.normpath(word) if "/" in word else word
    return found


def _on(search: str, name: str) -> Path | None:
    found = shutil.which(name, path=search)
    return Path(found) if found else None


# --- what is shown ------------------------------------------------------------------------------


def _native(path: Path) -> Program:
    if _shown(path):
        return Program(path=path, argv=(str(path),), mounts=(), parts=(path,))
    inside = f"{INSIDE}/{path.name}"
    mounts = ((_allowed(path), inside), *_libraries(path))
    return Program(path=path, argv=(inside,), mounts=mounts, parts=(path,))


def _of_node(path: Path, interpreter: Sequence[str], search: str) -> Program:
    node, mounts = _interpreter_shown(interpreter[0], search, path)
    package = _package_of(path)
    options = tuple(interpreter[1:])
    if package is None:
        if _shown(path):
            return Program(path=path, argv=(*node, *options, str(path)), mounts=mounts,
                           parts=(path,))  # fmt: skip
        inside = f"{INSIDE}/{path.name}"
        mounts += ((_allowed(path), inside),)
        return Program(path=path, argv=(*node, *options, inside), mounts=mounts, parts=(path,))
    packages = _with_dependencies(package)
    if _shown(package):
        return Program(path=path, argv=(*node, *options, str(path)), mounts=mounts,
                       parts=tuple(packages.values()))  # fmt: skip
    for name, folder in packages.items():
        mounts += ((_allowed(folder), f"{INSIDE}/node_modules/{name}"),)
    main = next(name for name, folder in packages.items() if folder == package)
    inside = f"{INSIDE}/node_modules/{main}/{path.relative_to(package)}"
    return Program(path=path, argv=(*node, *options, inside), mounts=mounts,
                   parts=tuple(packages.values()))  # fmt: skip


def _of_python(path: Path, interpreter: Sequence[str], search: str) -> Program:
    named = Path(interpreter[0])
    python = named if named.is_absolute() else _on(search, str(named))
    if python is None or not python.exists():
        raise ClientError(f"expected {named}, which runs {path}, found none; reinstall the program")
    options = tuple(interpreter[1:])
    environment = python.parent.parent
    settings = environment / "pyvenv.cfg"
    if not settings.is_file():
        if _shown(python) and _shown(path):
            argv = (str(python), *options, str(path))
            return Program(path=path, argv=argv, mounts=(), parts=(path,))
        raise ClientError(
            f"expected {path.name} in a virtual environment of its own, found it beside other "
            f"packages of {python}; install it with uv tool install or pipx"
        )
    if any(environment.glob("lib/python3*/site-packages/[cC]ustodes*")):
        raise ClientError(
            f"expected {path.name} apart from Custodes, found both in {environment}: the agent "
            "would see what it is judged by; install it with uv tool install or pipx"
        )
    # Both name their places by absolute paths, so they are shown where they are.
    mounts: tuple[tuple[Path, str], ...] = ((_allowed(environment), str(environment)),)
    base = python.resolve()
    if not _shown(base):
        mounts += ((_allowed(base.parent.parent), str(base.parent.parent)),)
        link = Path(os.path.realpath(_home_of(settings) or base.parent))
        unresolved = Path(_home_of(settings) or link)
        if unresolved != link and not _shown(unresolved):
            mounts += ((_allowed(link.parent), str(unresolved.parent)),)
    argv = (str(python), *options, str(path))
    return Program(path=path, argv=argv, mounts=mounts, parts=(path, settings))


def _home_of(settings: Path) -> str | None:
    for line in settings.read_text("utf-8", "replace").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return value.strip()
    return None


def _interpreter_shown(
    name: str, search: str, script: Path
) -> tuple[tuple[str, ...], tuple[tuple[Path, str], ...]]:
    found = Path(name) if name.startswith("/") else _on(search, name)
    if found is None:
        raise ClientError(
            f"expected {name}, which runs {script.name}, on the PATH, found none; install it"
        )
    real = _resolved(found)
    if _interpreter(real) is not None:
        raise ClientError(
            f"expected the program {name}, found a script at {real}; put {name} itself on the PATH"
        )
    program = _native(real)
    return program.argv, program.mounts


def _package_of(path: Path) -> Path | None:
    """The nearest folder around a script that describes a package and lies in a node_modules."""
    for folder in path.parents:
        if (folder / "package.json").is_file() and _among_packages(folder) is not None:
            return folder
    return None


def _among_packages(folder: Path) -> Path | None:
    """The folder node_modules that a package lies in."""
    parent = folder.parent
    if parent.name.startswith("@"):
        parent = parent.parent
    return parent if parent.name == "node_modules" else None


def _with_dependencies(package: Path) -> dict[str, Path]:
    """Name to folder of a package and of what it depends on, as far as that lies outside it."""
    found: dict[str, Path] = {}
    waiting = [package]
    while waiting:
        folder = waiting.pop()
        among = _among_packages(folder)
        if among is None or folder in found.values():
            continue
        found[str(folder.relative_to(among))] = folder
        for name in _named(folder):
            other = _resolved_package(folder, name)
            if other is not None and not any(other.is_relative_to(known) for known in
                                             found.values()):  # fmt: skip
                waiting.append(other)
    return found


def _named(folder: Path) -> Iterator[str]:
    try:
        about: Any = json.loads((folder / "package.json").read_text("utf-8"))
    except (OSError, ValueError):
        return
    for key in ("dependencies", "optionalDependencies", "peerDependencies"):
        names = about.get(key) if isinstance(about, dict) else None
        if isinstance(names, dict):
            # A name that climbs would lead out of the packages.
            yield from (name for name in names if ".." not in name and not name.startswith("/"))


def _resolved_package(folder: Path, name: str) -> Path | None:
    """Where node would find a package, seen from a folder."""
    for parent in (folder, *folder.parents):
        if parent.name == "node_modules":
            continue
        candidate = parent / "node_modules" / name
        if (candidate / "package.json").is_file():
            return candidate.resolve()
    return None


def _libraries(path: Path) -> tuple[tuple[Path, str], ...]:
    """Shared libraries of a binary that lie outside what every sandbox shows."""
    with path.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return ()
    ldd = shutil.which("ldd", path="/usr/bin:/bin")
    if ldd is None:
        return ()
    try:
        said = subprocess.run([ldd, str(path)], capture_output=True, text=True, timeout=20,
                              env={}, check=False).stdout  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ()
    mounts = []
    for line in said.splitlines():
        match = re.search(r"(?:=> )?(/\S+) \(0x", line)
        if match is not None and not _shown(Path(match[1])):
            mounts.append((_allowed(Path(match[1]).resolve()), match[1]))
    return tuple(mounts)


def _shown(path: Path) -> bool:
    """Whether every sandbox shows it anyhow."""
    return any(path.is_relative_to(top) for top in _SHOWN)


def _allowed(path: Path) -> Path:
    """The path itself.

    Raises:
        ClientError: showing it would show secrets with it.
    """
    home = Path(os.path.expanduser("~")).resolve()
    if path.is_dir():
        if home.is_relative_to(path) or len(path.parts) < 3:
            raise ClientError(
                f"expected a program in a folder of its own, found it spread over {path}; install "
                "it in one"
            )
        telling = sorted(_TELLING & set(os.listdir(path)))
        if telling:
            raise ClientError(
                f"expected an installed program, found {telling[0]} beside it in {path}, which the "
                "agent must not see; install it elsewhere"
            )
    hidden = sorted(_FORBIDDEN & set(path.parts))
    if hidden:
        raise ClientError(
            f"expected a program outside {hidden[0]}, found {path}, where secrets lie; move it"
        )
    return path
