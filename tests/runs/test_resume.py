"""An assessment may be interrupted anywhere; run again, it does what is missing and no more."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .cases import (
    COMMAND,
    answers,
    events,
    kill_after,
    make_case,
    run,
    wait_for_workers,
)

POLICIES = ("honest", "violator")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_case(tmp_path_factory.mktemp("case") / "whole", policies=POLICIES)
    done = run("assess", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_second_run_does_nothing(uninterrupted: Path) -> None:
    before = (uninterrupted / "ledger.jsonl").read_bytes()
    report = (uninterrupted / "report.html").read_bytes()
    done = run("assess", uninterrupted)
    assert done.returncode == 0, done.stderr
    assert (uninterrupted / "ledger.jsonl").read_bytes() == before
    assert (uninterrupted / "report.html").read_bytes() == report


def _kill_until_whole(folder: Path, whole: Path, kills: int, rng: random.Random) -> int:
    """Kill ``assess`` at random moments until the case is whole; returns the kills that hit."""
    hit = 0
    acknowledged: list[dict[str, Any]] = []
    for _ in range(kills):
        ended = kill_after(folder, rng.uniform(0.05, 5.0))
        now = events(folder)
        assert now[: len(acknowledged)] == acknowledged, "an acknowledged event was lost"
        acknowledged = now
        assert wait_for_workers(folder) == [], "a worker outlived its parent"
        if ended:
            break
        hit += 1
    _goes_on(folder, whole, acknowledged)
    return hit


def _goes_on(folder: Path, whole: Path, acknowledged: list[dict[str, Any]]) -> None:
    """Run again, it ends as the uninterrupted one and repeats nothing that is acknowledged."""
    done = run("assess", folder)
    assert done.returncode == 0, done.stderr
    assert events(folder)[: len(acknowledged)] == acknowledged
    assert answers(folder) == answers(whole)
    sealed = [e["data"]["shard"] for e in events(folder) if e["kind"] == "shard.sealed"]
    assert len(sealed) == len(set(sealed)), "a sealed shard was run again"
    verified = run("verify", folder)
    assert verified.returncode == 0, verified.stdout
    assert not list((folder / "work").glob("*_*")), "scratch was left behind"


def test_killed_while_a_worker_plays(uninterrupted: Path, tmp_path: Path) -> None:
    folder = make_case(tmp_path / "case", policies=POLICIES)
    process = subprocess.Popen(
        [*COMMAND, "assess", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not list((folder / "work").glob("*_*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert wait_for_workers(folder) == [], "a worker outlived its parent"
    _goes_on(folder, uninterrupted, events(folder))


@pytest.mark.slow
def test_killed_at_random_moments(uninterrupted: Path, tmp_path: Path) -> None:
    folder = make_case(tmp_path / "case", policies=POLICIES)
    assert _kill_until_whole(folder, uninterrupted, 3, random.Random(1)) > 0


@pytest.mark.slow
def test_killed_two_hundred_times(uninterrupted: Path, tmp_path: Path) -> None:
    rng = random.Random(2)
    hit = 0
    while hit < 200:
        folder = make_case(tmp_path / "case", policies=POLICIES)
        hit += _kill_until_whole(folder, uninterrupted, min(8, 200 - hit), rng)
        shutil.rmtree(folder)


@pytest.mark.slow
def test_interrupted_from_the_keyboard(uninterrupted: Path, tmp_path: Path) -> None:
    folder = make_case(tmp_path / "case", policies=POLICIES)
    process = subprocess.Popen(
        [*COMMAND, "assess", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(2.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 4
    assert said.strip() == "custodes: interrupted; the same command goes on where it stopped"
    assert wait_for_workers(folder) == []
    assert run("assess", folder).returncode == 0
    assert answers(folder) == answers(uninterrupted)


@pytest.mark.parametrize("retried", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_worker_that_dies_is_unmeasurable_and_stays_on_record(
    retried: bool, tmp_path: Path
) -> None:
    folder = make_case(tmp_path / "case", policies=("honest", "violator"), workers=1)
    process = subprocess.Popen(
        [*COMMAND, "assess", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed: list[int] = []
    while process.poll() is None and not killed:
        # The canary episode runs first, in a worker of its own: that one is left alone.
        shards = [p for p in (folder / "work").glob("*_*") if p.is_dir()]
        from .cases import workers_of

        for pid in workers_of(folder) if shards else []:
            subprocess.run(["kill", "-9", str(pid)], check=True)
            killed.append(pid)
        time.sleep(0.05)
    out, err = process.communicate(timeout=300)
    assert killed
    assert process.returncode == 3, err
    assert "unmeasurable: 1 episode" in out
    dead = [v for v, _ in answers(folder).values() if set(v.values()) == {None}]
    assert len(dead) == 1
    if not retried:
        return
    # It is not tried again in silence ...
    assert run("assess", folder).returncode == 3
    assert sum(e["kind"] == "shard.sealed" for e in events(folder)) == 2
    # ... but on request, and the first attempt stays in the ledger.
    assert run("assess", folder, "--retry-failed").returncode == 0
    assert sum(e["kind"] == "shard.sealed" for e in events(folder)) == 3
    assert all(set(v.values()) != {None} for v, _ in answers(folder).values())
    assert run("verify", folder).returncode == 0
