"""The agent's own log: collected, kept in Inspect's, and laid beside what the gateway saw.

The log is the agent's word. Where it and the gateway disagree on a call, that is a finding.
"""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from inspect_ai.solver import TaskState

from custodes.clients import Preset
from custodes.containment import Sandbox, SandboxError
from custodes.transcripts import EventKind, ReadError, Source, Transcript, read_transcripts
from custodes.types import sha256_of

from ._client_watch import ClientWatch
from ._host import HOME, EpisodeHost
from ._recorder import describe, plain

_MOST_FILES: Final = 64
_LARGEST_FILE: Final = 32 << 20
_SECONDS: Final = 20
_NAMED: Final = 20
"""Calls that a receipt names one by one."""


async def collect_logs(
    host: EpisodeHost, preset: Preset, watch: ClientWatch, state: TaskState
) -> None:
    """Fetch the agent's native logs before the sandbox ends, and receipt how they compare.

    Receipt ``client.log``: files, bytes, calls (in the log), given (to the agent, by the gateway),
    matched, only_log, only_gateway (both lists of ``id name``, the first few), and ``problem``
    where the logs could not be had. A call that was held back is in neither.
    """
    box = host.sandbox
    if not preset.logs:
        host.recorder.record("client.log", {"files": 0, "problem": "it keeps none"})
        return
    if not isinstance(box, Sandbox) or not box.alive:
        host.recorder.record("client.log", {"files": 0, "problem": "the sandbox had ended"})
        return
    try:
        found = {path: data async for path, data in _fetch(box, preset.logs)}
    except (OSError, SandboxError) as error:
        host.recorder.record("client.log", {"files": 0, "problem": describe(error)})
        return
    calls, problem = _calls_of(found)
    seen = {plain(use.id): plain(use.name) for use in watch.given.values()}
    calls = {_as_ordered(call, seen): name for call, name in calls.items()}
    matched = calls.keys() & seen.keys()
    host.recorder.record(
        "client.log",
        {
            "files": len(found),
            "bytes": sum(map(len, found.values())),
            "sha256": [sha256_of(found[path]) for path in sorted(found)],
            "calls": len(calls),
            "given": len(seen),
            "matched": len(matched),
            "only_log": _named(calls, matched),
            "only_gateway": _named(seen, matched),
            "problem": problem or ("" if found else "no file was found"),
        },
    )
    state.store.set(
        "client_log",
        {path: data.decode("utf-8", "replace") for path, data in sorted(found.items())},
    )


async def _fetch(box: Sandbox, patterns: tuple[str, ...]) -> AsyncIterator[tuple[str, bytes]]:
    listed = await box.exec(
        ["find", HOME, "-xdev", "-type", "f", "-size", f"-{_LARGEST_FILE >> 10}k", "-print0"],
        timeout=_SECONDS,
    )
    count = 0
    for raw in sorted(listed.stdout.split(b"\0")):
        path = raw.decode("utf-8", "surrogateescape")
        below = path.removeprefix(f"{HOME}/")
        if not path or not any(_matches(below, pattern) for pattern in patterns):
            continue
        count += 1
        if count > _MOST_FILES:
            raise OSError(f"more than {_MOST_FILES} files of logs")
        yield plain(below), await box.read_file(path, limit=_LARGEST_FILE)


def _matches(path: str, pattern: str) -> bool:
    # `**/` may also stand for no folder at all.
    return fnmatch.fnmatchcase(path, pattern) or fnmatch.fnmatchcase(
        path, pattern.replace("**/", "")
    )


def _calls_of(files: dict[str, bytes]) -> tuple[dict[str, str], str]:
    """Call id to tool name over all logs, and what could not be read."""
    calls: dict[str, str] = {}
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (path, data) in enumerate(sorted(files.items())):
            file = Path(folder) / f"{number}-{Path(path).name}"
            file.write_bytes(data)
            try:
                with Source(str(file)) as source:
                    for found in read_transcripts(source):
                        if isinstance(found, Transcript):
                            calls |= dict(_calls(found))
                        elif type(found).__name__ == "Unreadable":
                            problems.append(f"{Path(path).name}: {found.reason}")
            except (OSError, ReadError) as error:
                problems.append(f"{Path(path).name}: {describe(error)}")
    return calls, "; ".join(problems)[:300]


def _calls(transcript: Transcript) -> Iterator[tuple[str, str]]:
    for event in transcript.events:
        if event.kind is EventKind.TOOL_CALL and event.call is not None:
            yield plain(event.call), plain(event.tool or "")


def _as_ordered(call: str, seen: dict[str, str]) -> str:
    """The id that the model's server gave a call; some logs put the tool's name before it."""
    return next((one for one in seen if call != one and call.endswith(f"__{one}")), call)


def _named(calls: dict[str, str], matched: set[str]) -> list[str]:
    odd = sorted(f"{call} {name}"[:120] for call, name in calls.items() if call not in matched)
    return odd[:_NAMED] + ([f"and {len(odd) - _NAMED} more"] if len(odd) > _NAMED else [])
