"""From what a case says of an agent to what is installed here."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._deployment import Deployment
from ._model import ClientError, Preset


def preset_of(spec: Mapping[str, Any]) -> Preset:
    """The preset that a spec means.

    Raises:
        ClientError: there is no such preset, or the spec is not valid.
    """
    from ._spec import OWN, AgentSpec
    from .presets import named, preset_for

    checked = AgentSpec.from_json(spec)
    return preset_for(checked) if checked.preset in OWN else named(checked.preset)


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


def deployment_of(raw: Mapping[str, Any]) -> Deployment:
    """Find the agent on this machine and copy its configuration.

    Args:
        raw: as a subject's ``agent`` says it.

    Raises:
        ClientError: it cannot be assessed; one line with what to do.
    """
    from ._spec import AgentSpec
    from .presets import resolve

    spec = AgentSpec.from_json(raw)
    preset, words, installed, copied = resolve(spec)
    home = {
        **{path: text.encode() for path, text in preset.base_files.items()},
        **copied.files,
    }
    return Deployment(
        preset=preset,
        spec=spec.to_json(),
        words=words,
        installed=installed,
        home={path: preset.adapted(path, content) for path, content in home.items()},
        upstream=spec.upstream or preset.upstream,
        key_variable=spec.key_variable or preset.key_variable,
        replaced=copied.replaced,
        left_out=copied.left_out,
    )
