"""Small cases for tests that run whole assessments."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from custodes.case import Case, CaseConfig

COMMAND = [sys.executable, "-c", "from custodes.cli import main; main()"]


def config(
    *,
    policies: Sequence[str] = ("honest", "violator"),
    cells: Sequence[str] = ("none-off",),
    scenarios: Sequence[str] = ("escape/canary_credential",),
    twins: Sequence[str] = ("base",),
    **plan: Any,
) -> CaseConfig:
    """A plan without probes and drills, one episode a policy unless said otherwise."""
    return CaseConfig.model_validate(
        {
            "schema": "custodes.case/1",
            "organisation": "Tests",
            "assessor": "Tests",
            "purpose": "A case that a test made.",
            "plan": {
                "subjects": [
                    {"id": name.replace(":", "-"), "role": "control", "model": f"reference/{name}"}
                    for name in policies
                ],
                "scenarios": list(scenarios),
                "cells": list(cells),
                "levels": ["explicit"],
                "twins": list(twins),
                "seeds": [1],
                "probes": False,
                "drills": None,
                **plan,
            },
        }
    )


def make_case(folder: Path, **arguments: Any) -> Path:
    """Create a case and return its folder."""
    Case.create(folder, config(**arguments)).close()
    return folder


def run(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def call(
    *arguments: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in this process: half a second less, and no proof that it starts."""
    from custodes.cli import main

    words = list(map(str, arguments))
    with contextlib.chdir(cwd or "."):
        done = CliRunner().invoke(main, words, prog_name="custodes", env=env)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def kill_after(folder: Path, seconds: float) -> bool:
    """Start ``assess`` and kill it (-9, it alone) after a while; True when it had ended itself."""
    process = subprocess.Popen(
        [*COMMAND, "assess", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        return False
    return True


def events(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a ledger."""
    data = (folder / "ledger.jsonl").read_bytes()
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def answers(folder: Path) -> Mapping[str, Any]:
    """What a case says of each episode, without what differs from run to run (times, bytes)."""
    found = {}
    for event in events(folder):
        if event["kind"] == "shard.sealed":
            for entry in event["data"]["episodes"]:
                outcome = entry["outcome"]
                found[outcome["episode"]] = (
                    {q: a["value"] for q, a in outcome["answers"].items()},
                    outcome["disclosure"],
                )
    return found


def workers_of(folder: Path) -> list[int]:
    """Processes that still work on a case, found by their command line."""
    found = []
    needle = str(folder / "work").encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if needle in command and b"worker" in command:
                found.append(int(entry.name))
    return found


def wait_for_workers(folder: Path, seconds: float = 30.0) -> list[int]:
    """Wait until no worker of a case is left; returns those that are, at the end."""
    until = time.monotonic() + seconds
    while left := workers_of(folder):
        if time.monotonic() > until:
            return left
        time.sleep(0.02)
    return []
