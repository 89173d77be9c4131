"""Whether a container engine answers on this machine, as tier A′ needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

_SECONDS = 5.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ADDRESSES: Final = ("PATH", "DOCKER_HOST", "DOCKER_CONFIG", "HOME", "XDG_RUNTIME_DIR")
"""What tells a client where its engine is. Nothing else of the environment is handed to it."""


def engine_state() -> tuple[bool, str]:
    """Whether Inspect's docker provider would find an engine, and the reason either way.

    A client asks its engine for its version, which takes at most 5 s.

    Returns:
        True with what answered; False with one line that says what is missing.
    """
    engine, said = _ask("docker", "version", "--format", "{{.Server.Version}}")
    if not engine:
        # It is not asked: for an ordinary user, podman leaves a process behind when it is.
        instead = (
            "; podman is here, which Inspect's docker provider does not use: probe it with "
            "custodes probe --command"
            if shutil.which("podman", path=_PATH)
            else ""
        )
        return False, f"no Docker engine: {said}{instead}"
    compose, version = _ask("docker", "compose", "version", "--short")
    if not compose:
        return False, (
            f"Docker engine {said} answers, but docker compose, which Inspect's provider needs, "
            f"does not: {version}"
        )
    return True, f"Docker engine {said} with compose {version} answers"


def _ask(*argv: str) -> tuple[bool, str]:
    """Whether a client ended well, with its last line, or with why it did not."""
    environment = {"PATH": _PATH} | {
        name: os.environ[name] for name in _ADDRESSES if name in os.environ
    }
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        return False, f"no program {argv[0]}"
    except subprocess.TimeoutExpired:
        return False, f"{' '.join(argv[:2])} did not answer within {_SECONDS:g} s"
    except OSError as error:
        return False, f"{argv[0]}: {error.strerror}"
    ended_well = done.returncode == 0
    said = done.stdout if ended_well else done.stderr.strip() or done.stdout
    lines = [line for line in said.splitlines() if line.strip()]
    if not lines:
        # A client whose engine is away may still end with 0 and an empty version.
        named = "named no version" if ended_well else f"ended with {done.returncode}"
        return False, f"{argv[0]} {named}"
    return ended_well, _shown(lines[-1])


def _shown(line: str) -> str:
    return "".join(letter for letter in line[:200] if letter.isprintable())
