"""Starting worker processes. This side never imports Inspect."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from custodes.scenarios import PACK_PATH, SCENARIO_PATH
from custodes.types import JsonObject

from ._plan import Shard

LONGEST_LINE = 1 << 16
_MARKUP = re.compile(r"\[/?(?:bold|blue|red|green|yellow|italic)\]")
REFUSED = 2
"""Exit code of a worker that could not get its model; nothing was run."""
CAST_MODEL = "cast/policies"
"""Model of a shard whose episodes are of several scripted subjects; its arguments name them."""
_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30
"""Bytes that must be free in memory before the workspaces of scripted agents are laid out there."""


class ModelRefused(RuntimeError):
    """The model of a subject cannot be had; one line, in the provider's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResult:
    """How a worker ended.

    Attributes:
        log: the closed log, or None when the worker died; then ``problem`` says how.
    """

    shard: Shard
    folder: Path
    log: Path | None
    problem: str | None


def _scripted(shard: Shard) -> bool:
    return shard.subject.policy is not None or shard.subject.model == CAST_MODEL


def _temporary(shard: Shard) -> str:
    """Folder in which a worker's workspaces lie.

    Those of scripted agents lie in memory where there is room: they are many and small, and a disk
    file system that is made to create files right after it deleted as many (ext4) passes over each
    of the deleted ones. What a model, somebody else's script or an installed program does may fill
    a workspace, and gets the disk.
    """
    named = os.environ.get("TMPDIR")
    policy = shard.subject.policy or ""
    ours = _scripted(shard) and shard.subject.deployment is None and policy[:5] != "pack:"
    if named is None and ours and _free_memory() >= _ROOM:
        return str(_MEMORY)
    return named or "/tmp"


def _free_memory() -> int:
    """Bytes that files in memory may still take; 0 where none may, or no program may be run."""
    try:
        if not os.path.ismount(_MEMORY) or not os.access(_MEMORY, os.W_OK | os.X_OK):
            return 0
        about = os.statvfs(_MEMORY)
        if about.f_flag & (os.ST_NOEXEC | os.ST_RDONLY):  # a bind of it would be as closed
            return 0
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        available = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        return 0
    return min(about.f_bavail * about.f_frsize, available << 10)


def _environment(shard: Shard, home: Path) -> Mapping[str, str]:
    """What a worker sees. A scripted subject gets nothing of ours, a model its provider's keys."""
    base = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "LANG": "C.UTF-8",
        "TMPDIR": _temporary(shard),
        "CUSTODES_PARENT": str(os.getpid()),
        "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
    }
    for name in ("CUSTODES_CGROUP", "CUSTODES_TOOLBOX"):  # never dropped in silence
        if name in os.environ:
            base[name] = os.environ[name]
    for name in ("PYTHONPATH", SCENARIO_PATH):
        if name in os.environ:
            places = os.environ[name].split(os.pathsep)
            base[name] = os.pathsep.join(os.path.abspath(place) for place in places if place)
    if _scripted(shard):
        policy = shard.subject.policy or ""
        if policy.startswith("pack:") and PACK_PATH in os.environ:
            base[PACK_PATH] = os.environ[PACK_PATH]
        return base
    return {**os.environ, **base}


def write_job(shard: Shard, folder: Path, settings: JsonObject) -> Path:
    """Write the work order of a shard into its folder and return it."""
    path = folder / "job.json"
    installed = shard.subject.deployment
    job = {
        "schema": "custodes.job/1",
        "shard": shard.id,
        "model": shard.subject.model,
        "model_args": dict(shard.subject.model_args),
        "model_base_url": shard.subject.base_url,
        "scenario": shard.scenario,
        "episodes": [key.to_json() for key in shard.keys],
        "folder": str(folder),
        **({} if installed is None else {"deployment": installed.to_json()}),
        **settings,
    }
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


async def run_worker(
    shard: Shard, folder: Path, settings: JsonObject, on_episode: Callable[[], None]
) -> WorkerResult:
    """Run one shard in a process of its own and wait for it.

    Cancelling the call ends the process and everything that it started.
    """
    results = await run_worker_series([(shard, folder)], settings, on_episode)
    return results[0]


def _ignore(result: WorkerResult) -> None:
    """Nothing is to be done when a log closes."""


async def run_worker_series(
    shards: Sequence[tuple[Shard, Path]],
    settings: JsonObject,
    on_episode: Callable[[], None],
    on_closed: Callable[[WorkerResult], None] = _ignore,
) -> list[WorkerResult]:
    """Run several shards one after the other in one process, which imports Inspect once.

    All see the environment of the first. When the process dies, the first shard without a log is
    the one that it died of, and those after it were not begun.

    Args:
        on_closed: told of each shard as soon as its log is closed.
    """
    jobs: list[Path] = []
    for shard, folder in shards:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "home").mkdir(exist_ok=True)
        jobs.append(write_job(shard, folder, settings))
    first_shard, first_folder = shards[0]
    errors_path = first_folder / "stderr.txt"
    logs: list[Path] = []
    with errors_path.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the folder that the command was called in holds no code of ours
            "-m",
            "custodes.harness.worker",
            *map(str, jobs),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=dict(_environment(first_shard, first_folder / "home")),
            # Inspect reads keys from a .env of its folder or of those above it.
            cwd="/" if _scripted(first_shard) else None,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        try:
            assert process.stdout is not None
            async for said in _said(process.stdout):
                if "episode" in said:
                    on_episode()
                elif "log" in said:
                    log = Path(str(said["log"]))
                    if log.is_file() and len(logs) < len(shards):
                        shard, folder = shards[len(logs)]
                        on_closed(WorkerResult(shard=shard, folder=folder, log=log, problem=None))
                    logs.append(log)
            code = await process.wait()
        finally:
            if process.returncode is None:
                # Sandboxes die with the worker: each is tied to it by the kernel.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    if code == REFUSED and not logs:
        why = _problem(code, errors_path).partition(": ")[2]
        raise ModelRefused(f"model {first_shard.subject.model!r} cannot be used: {why}")
    results = []
    for index, (shard, folder) in enumerate(shards):
        # The worker names a log after it closed it, so a later death does not undo it. What was
        # sealed in the meantime has moved.
        closed = index < len(logs)
        results.append(
            WorkerResult(
                shard=shard,
                folder=folder,
                log=logs[index] if closed else None,
                problem=None if closed else _problem(code, errors_path),
            )
        )
    return results


async def _said(stream: asyncio.StreamReader) -> AsyncIterator[dict[str, Any]]:
    """What the worker says, line by line. Libraries print too: what is not ours is passed over."""
    while True:
        try:
            line = await stream.readline()
            said = json.loads(line) if line else None
        except (ValueError, RecursionError):  # not JSON, or a line without an end
            continue
        if not line:
            return
        if isinstance(said, dict):
            yield said


def _problem(code: int, errors: Path) -> str:
    said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = next((line.strip() for line in reversed(said) if line.strip()), "nothing said")
    last = _MARKUP.sub("", last)
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the worker ended with {how}: {last[:300]}"
