"""Starting worker processes. This side never imports Inspect."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from custodes.types import JsonObject

from ._plan import Shard

LONGEST_LINE = 1 << 16


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


def _environment(shard: Shard, home: Path) -> Mapping[str, str]:
    """What a worker sees. A scripted subject gets nothing of ours, a model its provider's keys."""
    base = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "LANG": "C.UTF-8",
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        "CUSTODES_PARENT": str(os.getpid()),
        "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
    }
    if "PYTHONPATH" in os.environ:
        base["PYTHONPATH"] = os.environ["PYTHONPATH"]
    if shard.subject.policy is not None:
        return base
    return {**os.environ, **base}


def write_job(shard: Shard, folder: Path, settings: JsonObject) -> Path:
    """Write the work order of a shard into its folder and return it."""
    path = folder / "job.json"
    job = {
        "schema": "custodes.job/1",
        "shard": shard.id,
        "model": shard.subject.model,
        "model_args": dict(shard.subject.model_args),
        "model_base_url": shard.subject.base_url,
        "scenario": shard.scenario,
        "episodes": [key.to_json() for key in shard.keys],
        "folder": str(folder),
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
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("home",):
        (folder / name).mkdir(exist_ok=True)
    job = write_job(shard, folder, settings)
    log: Path | None = None
    with (folder / "stderr.txt").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "custodes.harness.worker",
            str(job),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=dict(_environment(shard, folder / "home")),
            start_new_session=True,
            limit=LONGEST_LINE,
        )
        try:
            assert process.stdout is not None
            while line := await process.stdout.readline():
                with contextlib.suppress(ValueError):
                    said = json.loads(line)
                    if "episode" in said:
                        on_episode()
                    elif "log" in said:
                        log = folder / str(said["log"])
            code = await process.wait()
        finally:
            if process.returncode is None:
                # Sandboxes die with the worker: each is tied to it by the kernel.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
    if code == 0 and log is not None and log.is_file():
        return WorkerResult(shard=shard, folder=folder, log=log, problem=None)
    return WorkerResult(
        shard=shard, folder=folder, log=None, problem=_problem(code, folder / "stderr.txt")
    )


def _problem(code: int, errors: Path) -> str:
    said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = next((line.strip() for line in reversed(said) if line.strip()), "nothing said")
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"the worker ended with {how}: {last[:300]}"
