"""Any agent: a command, a Python function or an HTTP server of the user's own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from custodes.types import JsonObject, parse_sha256

from .._copy import copy_configuration
from .._detect import detect
from .._model import GATEWAY_PORT, ClientError, Copied, Installed, Preset
from .._program import program_at
from .._spec import OWN, AgentSpec, HttpServer
from ._environment import LOOPBACK, PLACEHOLDER

_RUNNER: Final = "/opt/own/runner.py"
_FILES: Final = "/opt/own/files"
_PYTHON: Final = "/usr/bin/python3"
_LARGEST: Final = 256 << 20


class _Tooling:
    """The tools of an agent that nobody described: one that takes a shell command, by its name."""

    _names: Final = ("bash", "shell", "run_command", "execute_command", "run_shell_command", "exec")

    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        lower = {tool.lower(): tool for tool in tools}
        for name in self._names:
            if name in lower:
                return lower[name], {"command": command}
        raise ClientError(
            f"expected a tool that runs a command ({', '.join(self._names)}), found "
            f"{', '.join(tools) or 'none'}; scripts cannot play this agent's model"
        )

    def output(self, text: str) -> str:
        return text

    def denied(self, text: str, error: bool | None = None) -> str | None:
        return None


def preset_for(spec: AgentSpec) -> Preset:
    """The preset that an own agent's description amounts to."""
    environment = {**LOOPBACK, **spec.environment}
    if spec.base_url is not None:
        environment[spec.base_url] = f"http://127.0.0.1:{GATEWAY_PORT}{spec.path}"
    if spec.key is not None:
        environment[spec.key] = PLACEHOLDER
    name, _, text = spec.header.partition(": ")
    words, unguarded, resumed = words_of(spec), spec.unguarded, spec.resume
    return Preset(
        name=spec.preset,
        title={"command": "an own command", "python": "an own Python function"}.get(
            spec.preset, "an own HTTP agent"
        ),
        programs=(),
        # One that asks no model's server through the gateway has no use for a dialect.
        dialect=spec.protocol or "chat",
        upstream=spec.upstream or "",
        key_variable=spec.key_variable,
        authorise=(name, text),
        tested=(),
        oldest="0",
        default=words,
        environment=environment,
        unguarded=(lambda _: unguarded) if unguarded else None,
        resumed=(lambda _: resumed) if resumed else None,
        base_files={},
        adapted=lambda path, content: content,
        config_folder=spec.config_folder,
        logs=spec.logs,
        tooling=_Tooling(),
        complaint=lambda code, said: None,
    )


def words_of(spec: AgentSpec) -> tuple[str, ...]:
    """The words that are started, the program first."""
    if spec.preset == "python" and spec.file is not None and spec.function is not None:
        inside = f"{_FILES}/{Path(spec.file).name}"
        return ("python3", _RUNNER, "python", inside, spec.function)
    words = spec.command or ()
    if spec.preset == "http":
        server = spec.server or _DEFAULT_SERVER
        return (
            "python3", _RUNNER, "http", str(server.port), server.path, str(server.seconds), *words,
        )  # fmt: skip
    return words


def installed(spec: AgentSpec, search: str) -> Installed:
    """What an own agent needs inside; nothing is run.

    Args:
        search: folders as in PATH.

    Raises:
        ClientError: a program or a file is missing, or cannot be mounted.
    """
    mounts: list[tuple[Path, str]] = []
    parts: list[Path] = []
    if spec.preset == "command":
        first = (spec.command or ("",))[0]
        path = Path(first) if "/" in first else _found(first, search)
        program = program_at(path.expanduser().absolute(), search)
        where, argv = program.path, program.argv
        mounts += program.mounts
        parts += program.parts
    else:
        where, argv = Path(__file__).with_name("_runner.py"), (_PYTHON,)
        mounts.append((where, _RUNNER))
        parts.append(where)
    if spec.file is not None:
        file = _existing(spec.file)
        if file.suffix != ".py" or f"{file.stem}:" != (spec.function or "").partition(":")[0] + ":":
            raise ClientError(f"expected the file of {spec.function}, found {file.name}")
        mounts.append((file, f"{_FILES}/{file.name}"))
        parts.append(file)
    for mount in spec.mounts:
        host = _existing(mount.host)
        mounts.append((host, mount.inside or str(host)))
    return Installed(
        preset=spec.preset,
        program=where,
        argv=argv,
        version=spec.version or "not said",
        digest=parse_sha256(_digest(parts)),
        mounts=tuple(mounts),
    )


_DEFAULT_SERVER: Final = HttpServer()


def _existing(name: str) -> Path:
    path = Path(name).expanduser().absolute()
    if not path.exists():
        raise ClientError(f"expected {name}, found nothing there; name a path of this machine")
    resolved = path.resolve()
    if resolved in (Path("/"), Path.home(), *map(Path, ("/etc", "/proc", "/sys", "/dev", "/home"))):
        raise ClientError(f"expected a folder that the agent needs, found all of {name}; name less")
    return resolved


def _found(name: str, search: str) -> Path:
    for folder in search.split(":"):
        path = Path(folder or ".", name)
        if path.is_file():
            return path
    raise ClientError(f"expected a program {name!r} on the PATH, found none; name it by its path")


def _digest(parts: Sequence[Path]) -> str:
    sha = hashlib.sha256()
    for path in sorted(parts):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.stat().st_size <= _LARGEST:
                with file.open("rb") as opened:
                    sha.update(hashlib.file_digest(opened, "sha256").digest())
    return sha.hexdigest()


def resolve(
    spec: AgentSpec, *, search: str | None = None
) -> tuple[Preset, tuple[str, ...], Installed, Copied]:
    """All that a description leads to: the preset, the command's words, program and configuration.

    Args:
        search: folders as in PATH; None: those of this process.

    Raises:
        ClientError: it cannot be assessed here; one line with what to do.
    """
    folders = os.environ.get("PATH", os.defpath) if search is None else search
    if spec.preset in OWN:
        preset, words, found = preset_for(spec), words_of(spec), installed(spec, folders)
    else:
        preset = named(spec.preset)
        words = spec.command or preset.default
        found = detect(preset, words, search=search)
        extra = tuple((_existing(m.host), m.inside or m.host) for m in spec.mounts)
        found = replace(found, mounts=(*found.mounts, *extra))
        preset = replace(preset, environment={**spec.environment, **preset.environment})
    config = None if spec.config is None else Path(spec.config).expanduser()
    return preset, words, found, copy_configuration(preset, config, without=spec.without)


def named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ClientError: there is none.
    """
    from . import PRESETS

    if name not in PRESETS:
        known = ", ".join((*PRESETS, *OWN))
        raise ClientError(f"expected one of {known}, found the agent {name!r}")
    return PRESETS[name]
