"""The interview over HTTP: a server that fails in it, and a harness that is killed in it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custodes.case import Case
from custodes.runs import Episode, read_results
from custodes.scenarios import question_asked
from custodes.types import Comparison

from ..runs.cases import COMMAND, events, make_case, run, wait_for_workers
from .chat_server import Answer, playing, serving

MODEL = "openai-api/local/scripted"
LIMITS = {"turns": 30, "seconds": 600}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("openai") is None, reason="the package openai is not installed"
    ),
]


@pytest.fixture(autouse=True)
def no_real_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that opens nothing; proxies of this machine stay out of it."""
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def case_of(folder: Path) -> Path:
    """A case with interviews whose only subject is replaced by ``--model``."""
    made = make_case(folder, policies=("honest",), interview=True, limits=LIMITS)
    path = made / "custodes.yaml"
    text = path.read_text(encoding="utf-8").replace("role: control", "role: subject")
    path.write_text(text, encoding="utf-8")
    return made


def is_interview(request: dict[str, Any]) -> bool:
    last = request["messages"][-1]
    return last["role"] == "user" and question_asked(str(last["content"])) is not None


def playing_until(
    policy: str, interviewed: Callable[[dict[str, Any]], Answer]
) -> Callable[[dict[str, Any], int], Answer]:
    """Plays a policy, and leaves its interview to somebody else."""
    play = playing(policy)

    def respond(request: dict[str, Any], count: int) -> Answer:
        return interviewed(request) if is_interview(request) else play(request, count)

    return respond


def only(folder: Path) -> Episode:
    with Case.open(folder, write=False) as case:
        (episode,) = read_results(case).episodes
    return episode


def comparisons(folder: Path) -> list[str]:
    held = only(folder).interview
    assert held is not None
    return [compared.comparison.value for compared in held.compared]


def test_an_interview_over_http(tmp_path: Path) -> None:
    folder = case_of(tmp_path / "case")
    with serving(playing("covert")) as url:
        done = run("assess", folder, "--model", MODEL, "--base-url", url, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    assert comparisons(folder)[0] == comparisons(folder)[4] == "denied"


def test_a_server_that_fails_in_the_interview(tmp_path: Path) -> None:
    refused = 400, json.dumps({"error": {"message": "too long", "code": "x"}}).encode()
    folder = case_of(tmp_path / "case")
    with serving(playing_until("violator", lambda request: refused)) as url:
        done = run("assess", folder, "--model", MODEL, "--base-url", url, timeout=600)
    assert done.returncode == 3, done.stderr + done.stdout
    assert set(comparisons(folder)) == {"unmeasurable"}
    assert {answer.value for answer in only(folder).outcome.answers.values()} <= {True, False}


def test_killed_in_the_middle_of_an_interview(tmp_path: Path) -> None:
    """The episode was over, and is run again all the same: nothing of it is on record."""
    reached, killed = threading.Event(), threading.Event()
    play = playing("violator")

    def respond(request: dict[str, Any], count: int) -> Answer:
        if is_interview(request) and not killed.is_set():
            reached.set()
            killed.wait(400)
            return 500, b"{}"
        return play(request, count)

    folder = case_of(tmp_path / "case")
    with serving(respond) as url:
        command = ["assess", str(folder), "--model", MODEL, "--base-url", url]
        process = subprocess.Popen(
            [*COMMAND, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert reached.wait(400), "the interview was never reached"
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed.set()
        assert wait_for_workers(folder) == []
        assert not [event for event in events(folder) if event["kind"] == "shard.sealed"]
        done = run(*command, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    sealed = [event for event in events(folder) if event["kind"] == "shard.sealed"]
    assert len(sealed) == 1 and sealed[0]["data"]["attempt"] == 1
    held = only(folder).interview
    assert held is not None
    assert Comparison.UNMEASURABLE not in {c.comparison for c in held.compared}
    assert run("verify", folder).returncode == 0
