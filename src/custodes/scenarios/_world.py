"""The world of one episode, drawn from a seed, and its workspace on disk."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from custodes.types import JsonValue, Sha256, sha256_of_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit of the workspace's history.

    Attributes:
        author: ``Name <mail>``.
        at: seconds since the epoch.
        files: paths to their new content; None removes the file.
        executable: paths that get the executable bit (it stays until the file is removed).
    """

    author: str
    at: int
    message: str
    files: Mapping[str, str | None]
    executable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that a seed and a twin decide. A pure value: same seed and twin, same world.

    Attributes:
        project: name of the workspace folder; the agent sees ``/home/dev/<project>``.
        hostname: what the machine calls itself.
        history: commits, oldest first; the last state is what is checked out.
        untracked: files that lie in the workspace and are not in git.
        home: files in the user's home, by path relative to it.
        environment: variables that the agent's commands see.
        canaries: name to secret text; entering the agent's context or leaving is receipted.
        watched: path patterns whose text the snapshots keep (fnmatch over relative paths).
        parameters: what services and interjections need to know; twins may differ in them.
    """

    seed: int
    twin: str
    project: str
    hostname: str
    history: tuple[Commit, ...]
    untracked: Mapping[str, str] = field(default_factory=dict)
    home: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    canaries: Mapping[str, str] = field(default_factory=dict)
    watched: tuple[str, ...] = ("*",)
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """The checked-out files and the untracked ones, by path."""
        state: dict[str, str] = {}
        for commit in self.history:
            for path, content in commit.files.items():
                if content is None:
                    state.pop(path, None)
                else:
                    state[path] = content
        return {**state, **self.untracked}

    @property
    def digest(self) -> Sha256:
        """Identity of everything the agent can meet in the workspace."""
        return sha256_of_json(
            {
                "project": self.project,
                "hostname": self.hostname,
                "history": [
                    [c.author, c.at, c.message, dict(c.files), sorted(c.executable)]
                    for c in self.history
                ],
                "untracked": dict(self.untracked),
                "home": dict(self.home),
                "environment": dict(self.environment),
            }
        )


def generator(scenario: str, seed: int, purpose: str = "") -> random.Random:
    """A random generator that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{scenario}\0{seed}\0{purpose}".encode()).digest()
    return random.Random(int.from_bytes(digest[:16], "big"))


def _fast_import_stream(history: Sequence[Commit], branch: str) -> bytes:
    out: list[bytes] = []

    def data(text: str) -> None:
        raw = text.encode()
        out.append(b"data %d\n" % len(raw) + raw + b"\n")

    executable: set[str] = set()
    for commit in history:
        executable |= commit.executable
        out.append(f"commit refs/heads/{branch}\n".encode())
        out.append(f"author {commit.author} {commit.at} +0000\n".encode())
        out.append(f"committer {commit.author} {commit.at} +0000\n".encode())
        data(commit.message)
        for path, content in commit.files.items():
            if content is None:
                out.append(f"D {path}\n".encode())
                continue
            mode = "100755" if path in executable else "100644"
            out.append(f"M {mode} inline {path}\n".encode())
            data(content)
        out.append(b"\n")
    return b"".join(out)


_GIT_ENVIRONMENT = {
    "PATH": os.defpath + ":/usr/local/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "LC_ALL": "C.UTF-8",
}


def write_workspace(world: World, folder: Path, *, branch: str = "main") -> None:
    """Lay the workspace out in an empty folder: real git history, then untracked files.

    Raises:
        RuntimeError: when git is missing or refuses the history.
    """

    def git(*arguments: str, feed: bytes | None = None) -> None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],
                input=feed,
                capture_output=True,
                env=_GIT_ENVIRONMENT,
                check=False,
            )
        except FileNotFoundError:
            raise RuntimeError("git is needed to lay out a workspace: install git") from None
        if done.returncode != 0:
            message = done.stderr.decode("utf-8", "replace").strip()
            raise RuntimeError(f"git {arguments[0]} failed while laying out a workspace: {message}")

    git("init", "--quiet", f"--initial-branch={branch}", "--template=")
    # One pack instead of hundreds of loose objects: the folder is copied for every episode.
    git(
        "-c",
        "fastimport.unpackLimit=1",
        "fast-import",
        "--quiet",
        feed=_fast_import_stream(world.history, branch),
    )
    git("reset", "--quiet", "--hard")
    for path, content in world.untracked.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    _set_times(folder, _times(world), world.history[-1].at if world.history else 0)


_STAMP = re.compile(r"\b(20\d\d)-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?)?")


def _last_stamp(text: str) -> int | None:
    """The latest moment that a text names, in seconds since the epoch; a day ends at noon."""
    found: list[int] = []
    for match in _STAMP.finditer(text):
        year, month, day, hour, minute, second = (
            None if part is None else int(part) for part in match.groups()
        )
        clock = (12, 0, 0) if hour is None else (hour, minute or 0, second or 0)
        try:
            found.append(
                int(datetime(year or 0, month or 0, day or 0, *clock, tzinfo=UTC).timestamp())
            )
        except ValueError:
            continue
    return max(found, default=None)


def _times(world: World) -> dict[str, int]:
    """When each file was written: by its last commit, or by the last entry of a log."""
    out: dict[str, int] = {}
    for commit in world.history:
        out |= dict.fromkeys(commit.files, commit.at)
    newest = world.history[-1].at if world.history else 0
    for path, content in world.untracked.items():
        stamp = _last_stamp(content) if path.endswith(".log") else None
        out[path] = newest if stamp is None else stamp
    return out


def _set_times(folder: Path, times: Mapping[str, int], newest: int) -> None:
    """Dates are visible inside: they follow the history, not the moment of the episode.

    A folder is as old as the newest thing in it; what git keeps is as old as the last commit.
    """
    below: dict[str, int] = {}
    for root, folders, names in os.walk(folder, topdown=False):
        latest = 0
        for name in names:
            path = os.path.join(root, name)
            at = times.get(os.path.relpath(path, folder), newest)
            os.utime(path, (at, at), follow_symlinks=False)
            latest = max(latest, at)
        latest = max([latest, *(below.get(os.path.join(root, name), 0) for name in folders)])
        below[root] = latest or newest
        os.utime(root, (below[root], below[root]))
