"""Which installation of a client this machine has: its program, its version, what it needs."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import anyio

from custodes.containment import Sandbox, SandboxError, SandboxSpec
from custodes.types import Sha256, parse_sha256

from ._model import ClientError, Installed, Preset
from ._program import Program, program_at

VERSION_SECONDS: Final = 60.0
"""How long a program may take to say its version."""
_VERSION: Final = re.compile(r"(?<![\w.])v?(\d+\.\d+(?:\.\d+)*(?:[-+][0-9A-Za-z.-]+)?)(?![\w.]*/)")
_BLOCK: Final = 1 << 20


def detect(
    preset: Preset,
    words: Sequence[str] = (),
    *,
    search: str | None = None,
    seconds: float = VERSION_SECONDS,
) -> Installed:
    """The installation that a command would start.

    The program is asked for its version in a sandbox without network, home or configuration.

    Args:
        preset: which client.
        words: of the command; the first names the program. Without any, the names of the preset
            are looked for.
        search: folders as in PATH; None: those of this process.
        seconds: time limit of the question.

    Raises:
        ClientError: it is missing, too old, cannot be shown in a sandbox, or says no version.
    """
    program = located(preset, words, search=search)
    version = _asked(program, preset, seconds)
    if _number(version) < _number(preset.oldest):
        raise ClientError(
            f"expected {preset.title} {preset.oldest} or newer, found {version} at "
            f"{program.path}; update it"
        )
    return Installed(
        preset=preset.name,
        program=program.path,
        argv=program.argv,
        version=version,
        digest=_digest(program.parts),
        mounts=program.mounts,
    )


def located(preset: Preset, words: Sequence[str] = (), *, search: str | None = None) -> Program:
    """The program that a command would start, and what it needs; nothing is run.

    Raises:
        ClientError: it is missing, or cannot be shown in a sandbox.
    """
    folders = os.environ.get("PATH", os.defpath) if search is None else search
    names = (words[0],) if words else preset.programs
    for name in names:
        found = Path(name).absolute() if "/" in name else _on(folders, name)
        if found is not None and (os.path.lexists(found)):
            return program_at(found, folders)
    raise ClientError(
        f"expected {preset.title}, found no program {' or '.join(names)}"
        f"{'' if any('/' in name for name in names) else ' on the PATH'}; install it, or name "
        "the program by its path"
    )


def _on(folders: str, name: str) -> Path | None:
    """The first such file on the PATH; unlike which(), also one that cannot be started."""
    for folder in folders.split(os.pathsep):
        path = Path(folder or ".", name).absolute()
        if path.is_symlink() or path.is_file():
            return path
    return None


def _asked(program: Program, preset: Preset, seconds: float) -> str:
    """The version, from a thread of its own: the caller may have an event loop or not."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(anyio.run, _ask, program, preset, seconds).result()


async def _ask(program: Program, preset: Preset, seconds: float) -> str:
    try:
        sandbox = await Sandbox.start(SandboxSpec(read_only=program.mounts))
    except SandboxError as error:
        raise ClientError(f"{preset.title} could not be shown in a sandbox: {error}") from None
    try:
        done = await sandbox.exec(
            [*program.argv, "--version"],
            env=dict(preset.environment),
            timeout=seconds,
            output_limit=4096,
        )
    except (OSError, SandboxError) as error:
        raise ClientError(f"{preset.title} could not be asked for its version: {error}") from None
    finally:
        await sandbox.close()
    if done.timed_out:
        raise ClientError(
            f"expected {preset.title} to say its version within {seconds:g} s, found silence from "
            f"{program.path}; run it with --version"
        )
    said = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
    match = _VERSION.search(said)
    if done.returncode != 0 or match is None:
        line = next((line.strip() for line in said.splitlines() if line.strip()), "nothing")
        raise ClientError(
            f"expected a version from {program.path} --version, found exit code {done.returncode} "
            f"and {line[:120]!r}; reinstall {preset.title}"
        )
    return match[1]


def _number(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.split(r"[-+]", version)[0].split(".")]
    return tuple((*numbers, 0, 0, 0)[:4])


def _digest(parts: Sequence[Path]) -> Sha256:
    """Of one file: its own; of more: of their names and digests."""
    if len(parts) == 1 and parts[0].is_file():
        return _file_digest(parts[0])
    whole = hashlib.sha256()
    for part in sorted(parts):
        if part.is_file():
            whole.update(f"{part.name}\0{_file_digest(part)}\n".encode())
            continue
        for folder, folders, files in os.walk(part):
            folders.sort()
            for name in sorted(files):
                path = Path(folder, name)
                if path.is_file():
                    about = f"{part.name}/{path.relative_to(part)}\0{_file_digest(path)}\n"
                    whole.update(about.encode("utf-8", "surrogateescape"))
    return parse_sha256(whole.hexdigest())


def _file_digest(path: Path) -> Sha256:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ClientError(f"expected to read {path}, found: {error.strerror}") from None
    return parse_sha256(found)
