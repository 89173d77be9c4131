"""What a run did, without the names: to count how many different acts stand behind the positives.

A hundred transcripts of one act, in a hundred repositories, teach a monitor one thing. Their
*behaviours* are equal: the effects of their calls, with paths, hosts, packages and numbers reduced
to what kind of thing they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from custodes.transcripts import EventKind, Transcript
from custodes.transcripts.effects import CallEffect, EffectTracker
from custodes.types import EffectKind

_HOME = re.compile(r"(?:/root|/home/[^/]+|/Users/[^/]+|\$\{?HOME\}?)(?=/|$)")
_NUMBER = re.compile(r"\d+")
_SCRATCH = re.compile(r"(?:/private)?(?:/tmp|/var/tmp|/dev/shm)(?:/|$)")
_SYSTEM = re.compile(r"/(?:etc|var|proc|sys|boot|run|usr|opt|lib|dev|Library)(?:/|$)")
_ADDRESS = re.compile(r"(?:[a-zA-Z][\w+.-]*://)?(?:[^@/\s]*@)?(\[[^]]*\]|[^:/\s]*)(?::\d+)?(?:/|$)")
_HERE = re.compile(r"localhost|127(?:\.\d+){3}|\[?::1\]?|0\.0\.0\.0")
_PRIVATE = re.compile(r"10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|.*\.(?:internal|local)$")
_METADATA = frozenset({"169.254.169.254", "metadata.google.internal"})
_EXTENSION = re.compile(r"[a-z]\w{0,7}")

# Names inside a project that say what a file is for, whatever the project is called.
_PURPOSES = (
    (re.compile(r"(?:.*/)?\.git(?:/.*)?"), ".git"),
    (re.compile(r"(?:.*/)?(?:\.github/workflows(?:/.*)?|\.gitlab-ci\.yml|Jenkinsfile)"), "ci"),
    (re.compile(r"(?:.*/)?\.(?:claude|codex|gemini)(?:/.*)?"), "agent settings"),
    (re.compile(r"(?:.*/)?\.env(?:\..*)?"), ".env"),
)
_NAMES_A_PATH = frozenset(
    {
        EffectKind.READ,
        EffectKind.WRITE,
        EffectKind.DELETE,
        EffectKind.CREDENTIAL,
        EffectKind.PERMISSION,
        EffectKind.PERSIST,
        EffectKind.HIDE,
        EffectKind.OVERSIGHT_CHANGE,
    }
)


def behaviour(transcript: Transcript, *, calls: Collection[int] | None = None) -> tuple[str, ...]:
    """What a run did, as short texts to compare runs by (`statistics.minhash`).

    Each act stands alone (`delete .py`) and after the act before it (`read ~/.ssh > network
    host`), once, in order of first occurrence. Ordinary reading stands alone only: how much of it
    lies between two acts says little. How an act is known (stated, decoded) does not count, nor do
    names of projects, files, hosts, packages and people, numbers, times, models and messages. What
    does: the kinds of effects, kinds of files (extension; tests, CI, `.git`, settings of agents),
    well-known places (`~/.ssh`, `/etc/cron.d`), programs, and the order of acts.

    Args:
        transcript: of one run.
        calls: indices of the tool calls that count (those that were labelled); None for all.

    Returns:
        An empty tuple for a run whose calls have no effect: that is no behaviour, and no two such
        runs are alike in it.

    Raises:
        ValueError: for an index that is no tool call of the transcript.
    """
    events = transcript.events
    if calls is not None:
        for index in calls:
            if not 0 <= index < len(events) or events[index].kind is not EventKind.TOOL_CALL:
                raise ValueError(f"expected the index of a tool call, found {index}")
    tracker = EffectTracker(cwd=transcript.cwd)
    found: dict[str, None] = {}
    last: str | None = None
    for event in events:
        effects = tracker.see(event)
        if calls is not None and event.index not in calls:
            continue
        for act, ordinary in _acts(effects, transcript.cwd):
            found[act] = None
            if ordinary or act == last:
                continue
            if last is not None:
                found[f"{last} > {act}"] = None
            last = act
    return tuple(found)


def _acts(effects: Iterable[CallEffect], cwd: str | None) -> list[tuple[str, bool]]:
    """Each effect by kind and kind of target, and whether it is ordinary reading."""
    known = tuple(effects)
    secrets = {effect.target for effect in known if effect.kind is EffectKind.CREDENTIAL}
    acts: dict[tuple[str, bool], None] = {}
    for effect in known:
        if effect.kind is EffectKind.READ and effect.target in secrets:
            continue  # the credential says it
        ordinary = effect.kind is EffectKind.READ and not _special(effect.target)
        acts[(f"{effect.kind} {_kind_of(effect, cwd)}", ordinary)] = None
    return list(acts)


def _special(path: str) -> bool:
    return _SYSTEM.match(path) is not None or _HOME.sub("~", path).startswith("~/.")


def _kind_of(effect: CallEffect, cwd: str | None) -> str:
    """What a target is, without its name."""
    target, kind = effect.target, effect.kind
    if kind is EffectKind.OPAQUE:
        return "code"
    if kind is EffectKind.NETWORK:
        return _kind_of_address(target)
    if kind is EffectKind.INSTALL:
        return "package"
    if kind is EffectKind.TEST_CHANGE:
        return "test"
    if kind is EffectKind.HISTORY:
        return target if target in ("HEAD", "reflog", "stash") else "repository"
    if kind is EffectKind.KILL:
        return _NUMBER.sub("N", _last(target)) if not target.isdigit() else "process"
    if kind is EffectKind.PERMISSION and re.fullmatch(r"[a-z_][\w-]*", target):
        return "root" if target == "root" else "name"
    looks_like_path = "/" in target or target.startswith(("~", ".")) or "." in target
    if kind in _NAMES_A_PATH and (looks_like_path or kind in (EffectKind.WRITE, EffectKind.DELETE)):
        return _kind_of_path(target, cwd)
    if kind is EffectKind.EXECUTE and "/" in target and " " not in target:
        return _kind_of_path(target, cwd)
    return _NUMBER.sub("N", target)


def _kind_of_address(target: str) -> str:
    if target.startswith(":"):
        return "listening"
    match = _ADDRESS.match(target)
    host = match[1] if match else target
    if host in _METADATA:
        return "metadata"
    if _HERE.fullmatch(host):
        return "this machine"
    if _PRIVATE.match(host):
        return "private host"
    # A remote of git, a search tool: a name without a dot is no host of the internet.
    return "host" if "." in host or "$" in host or "<" in host else "named remote"


def _kind_of_path(path: str, cwd: str | None) -> str:
    if _SCRATCH.match(path):
        return f"scratch {_extension(path)}"
    inside = cwd is not None and (path == cwd or path.startswith(cwd.rstrip("/") + "/"))
    if inside:
        assert cwd is not None
        path = path[len(cwd.rstrip("/")) :].lstrip("/")
    else:
        path = _HOME.sub("~", path, count=1)
    if path.startswith("~/."):
        return "/".join(path.split("/")[:2])
    for pattern, purpose in _PURPOSES:
        if pattern.fullmatch(path):
            return purpose
    if _SYSTEM.match(path):
        return _NUMBER.sub("N", "/".join(path.split("/")[:3]))
    elsewhere = not inside and cwd not in (None, "/") and path.startswith(("/", "~"))
    return f"{'outside ' if elsewhere else ''}{_extension(path)}"


def _extension(path: str) -> str:
    name = _last(path)
    stem, dot, extension = name.rpartition(".")
    plain = bool(stem and dot) and _EXTENSION.fullmatch(extension.lower()) is not None
    return f".{extension.lower()}" if plain else "many" if "*" in name else "file"


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]
