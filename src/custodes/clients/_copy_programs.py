"""What a configuration starts: hooks, MCP servers and helpers, and whether the copy has them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

HOME: Final = "/home/dev"

_FETCHERS: Final = ("npx", "uvx", "bunx", "pnpx", "pipx", "docker", "podman")
_SYSTEM: Final = ("/usr/", "/bin/", "/sbin/", "/lib/", "/workspace")
_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_PATH: Final = re.compile(r"(?:~|\$HOME|\$\{HOME\})?/[\w.@+/-]+")
_COMMANDS: Final = (
    "command", "notify", "apiKeyHelper", "awsAuthRefresh", "awsCredentialExport",
    "otelHeadersHelper", "gcpAuthRefresh", "discoveryCommand", "callCommand", "toolCall",
)  # fmt: skip


def outside(tree: Any, copied: Collection[str]) -> Iterator[str]:
    """What a tree of configuration starts that the copy does not have, by the place in it.

    Args:
        copied: paths below the home.
    """
    for place, words in _started(tree, ""):
        for word in words[:1]:
            name = word.rpartition("/")[2]
            if name in _FETCHERS:
                yield f"{place} is started by {name}, which fetches it from a network"
        for word in words:
            for path in _PATH.findall(word):
                plain = re.sub(r"^(?:~|\$HOME|\$\{HOME\})", HOME, path).rstrip("/")
                if plain.startswith(_SYSTEM) or plain in ("/dev/null", "/tmp"):
                    continue
                below = plain.removeprefix(HOME + "/")
                there = below in copied or any(name.startswith(below + "/") for name in copied)
                if not plain.startswith(HOME + "/") or not there:
                    yield f"{place} names {plain}, which is not in the copy"


def _started(tree: Any, place: str) -> Iterator[tuple[str, list[str]]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            here = f"{place}.{key}" if place else str(key)
            if key in _COMMANDS and isinstance(value, str | list):
                words = [str(word) for word in value] if isinstance(value, list) else _words(value)
                more = tree.get("args")
                if isinstance(more, list):
                    words += [str(word) for word in more]
                while words and _ASSIGNMENT.match(words[0]):
                    words.pop(0)
                yield place if key == "command" and place else here, words
            else:
                yield from _started(value, here)
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            yield from _started(value, f"{place}[{number}]")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()
