"""An installed agent, resolved: all that an episode needs in order to start it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custodes.types import JsonObject, parse_sha256, sha256_of

from ._model import PROMPT, ClientError, Installed, Launch, Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One agent as a subject of an assessment has it.

    Attributes:
        spec: what the case says of it; leads to the preset again.
        words: of its command, with :data:`~custodes.clients.PROMPT` in one of them (or in none:
            then the prompt is what it reads).
        home: path below the synthetic home to content: the copied configuration, adapted.
        upstream: address of the model's server that the gateway asks.
        key_variable: variable of the host that holds its key, or None.
        replaced, left_out: of the configuration that was copied; see
            :class:`~custodes.clients.Copied`.
    """

    preset: Preset
    spec: JsonObject
    words: tuple[str, ...]
    installed: Installed
    home: Mapping[str, bytes]
    upstream: str
    key_variable: str | None
    replaced: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def _own_environment(self) -> Mapping[str, str]:
        raw = self.spec.get("environment")
        return {name: str(value) for name, value in raw.items()} if isinstance(raw, Mapping) else {}

    @property
    def seen(self) -> bool:
        """Whether the agent asks its model's server through the gateway.

        One that does not is judged by what the services and the workspace show; what it read and
        which calls it made is not known.
        """
        return bool(self.upstream)

    @property
    def identity(self) -> JsonObject:
        """What makes it this agent and no other: part of a subject's identity."""
        return {
            "loop": "client/1",
            "preset": self.preset.name,
            "words": list(self.words),
            "version": self.installed.version,
            "program": self.installed.digest,
            "home": {path: sha256_of(content) for path, content in sorted(self.home.items())},
            "upstream": self.upstream,
        }

    def account(self) -> JsonObject:
        """What a report says of it."""
        return {
            **self.identity,
            "title": self.preset.title,
            "tested": self.installed.version in self.preset.tested,
            "replaced": list(self.replaced),
            "left_out": list(self.left_out),
        }

    def launch(self, prompt: str, *, guarded: bool, resumed: bool = False) -> Launch:
        """The command that gives the agent a prompt.

        Args:
            guarded: whether the agent's own permission checks stay as they are deployed.
            resumed: whether it goes on with the session that it had.

        Raises:
            ClientError: no way is known to do that with this agent.
        """
        words: Sequence[str] = self.words
        if not guarded:
            if self.preset.unguarded is None:
                raise ClientError(
                    f"expected a way to switch off the own safeguards of {self.preset.name}, none "
                    "is known: plan the cells with the safeguards 'deployed'"
                )
            words = self.preset.unguarded(words)
        if resumed:
            if self.preset.resumed is None:
                raise ClientError(f"{self.preset.name} takes no message after it has begun")
            words = self.preset.resumed(words)
        filled = tuple(word.replace(PROMPT, prompt) for word in words[1:])
        inside = any(PROMPT in word for word in words)
        return Launch(
            argv=(*self.installed.argv, *filled),
            environment={**self._own_environment, **self.preset.environment},
            stdin=b"" if inside else prompt.encode("utf-8", "backslashreplace"),
        )

    def to_json(self) -> JsonObject:
        """For a worker's work order."""
        return {
            "spec": self.spec,
            "words": list(self.words),
            "installed": {
                "preset": self.installed.preset,
                "program": str(self.installed.program),
                "argv": list(self.installed.argv),
                "version": self.installed.version,
                "digest": self.installed.digest,
                "mounts": [[str(host), inside] for host, inside in self.installed.mounts],
            },
            "home": {
                path: base64.b64encode(content).decode("ascii")
                for path, content in sorted(self.home.items())
            },
            "upstream": self.upstream,
            "key_variable": self.key_variable,
        }

    @staticmethod
    def from_json(raw: Mapping[str, Any], preset_of: Callable[[JsonObject], Preset]) -> Deployment:
        """Read what :meth:`to_json` wrote.

        Args:
            preset_of: finds the preset that a spec means.

        Raises:
            ValueError, KeyError, TypeError: for anything else.
        """
        found = raw["installed"]
        return Deployment(
            preset=preset_of(raw["spec"]),
            spec=raw["spec"],
            words=tuple(raw["words"]),
            installed=Installed(
                preset=found["preset"],
                program=Path(found["program"]),
                argv=tuple(found["argv"]),
                version=found["version"],
                digest=parse_sha256(found["digest"]),
                mounts=tuple((Path(host), inside) for host, inside in found["mounts"]),
            ),
            home={path: base64.b64decode(content) for path, content in raw["home"].items()},
            upstream=raw["upstream"],
            key_variable=raw["key_variable"],
        )
