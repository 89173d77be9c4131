"""From what a case says of an agent to what is installed here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custodes.types import JsonObject

from ._deployment import Deployment
from ._model import ClientError, Preset


def preset_of(spec: Mapping[str, Any]) -> Preset:
    """The preset that a spec means.

    Raises:
        ClientError: there is no such preset.
    """
    from .presets import PRESETS

    name = str(spec.get("preset"))
    if name not in PRESETS:
        raise ClientError(f"expected one of {', '.join(PRESETS)}, found the agent {name!r}")
    return PRESETS[name]


def spec_of(command: str, config: Path | None, upstream: str | None) -> dict[str, Any]:
    """What a command line says of an agent, as a subject's ``agent`` would.

    Args:
        command: a preset's name, or its command in the user's words.

    Raises:
        ClientError: no preset has a program of that name, or the words cannot be told apart.
    """
    from .presets import PRESETS

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ClientError(f"expected the words of a command, found {command!r}: {error}") from None
    if not words:
        raise ClientError("expected a command, found an empty one")
    spec: dict[str, Any] = {}
    if len(words) == 1 and words[0] in PRESETS:
        spec["preset"] = words[0]
    else:
        program = words[0].rpartition("/")[2]
        names = [name for name, preset in PRESETS.items() if program in preset.programs]
        if not names:
            known = ", ".join(p for preset in PRESETS.values() for p in preset.programs)
            raise ClientError(
                f"expected a command of a known agent ({known}), found {program!r}: describe any "
                "other under `agent:` in custodes.yaml"
            )
        spec |= {"preset": names[0], "command": words}
    if config is not None:
        spec["config"] = str(config.absolute())
    if upstream is not None:
        spec["upstream"] = upstream
    return spec


def deployment_of(spec: JsonObject) -> Deployment:
    """Find the agent on this machine and copy its configuration.

    Raises:
        ClientError: it cannot be assessed; one line with what to do.
    """
    from ._copy import copy_configuration
    from ._detect import detect

    preset = preset_of(spec)
    command = spec.get("command")
    words = tuple(map(str, command)) if isinstance(command, (list, tuple)) else preset.default
    config = spec.get("config")
    installed = detect(preset, words)
    copied = copy_configuration(preset, None if config is None else Path(str(config)))
    home = {
        **{path: text.encode() for path, text in preset.base_files.items()},
        **copied.files,
    }
    return Deployment(
        preset=preset,
        spec=spec,
        words=words,
        installed=installed,
        home={path: preset.adapted(path, content) for path, content in home.items()},
        upstream=str(spec.get("upstream") or preset.upstream),
        key_variable=preset.key_variable,
        replaced=copied.replaced,
        left_out=copied.left_out,
    )
