"""A hosted model goes through the same code: exercised against a scripted server on loopback."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from ..runs.cases import answers, make_case, run
from .chat_server import Answer, playing, serving

MODEL = "openai-api/local/scripted"
"""Inspect's provider for services that speak the chat protocol; its key is LOCAL_API_KEY."""

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openai") is None, reason="the package openai is not installed"
)


@pytest.fixture(autouse=True)
def no_real_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that opens nothing; proxies of this machine stay out of it."""
    monkeypatch.setenv("LOCAL_API_KEY", "none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def case_of(folder: Path, **arguments: Any) -> Path:
    """A case whose only subject is replaced by ``--model``."""
    made = make_case(folder, policies=("honest",), **arguments)
    path = made / "custodes.yaml"
    text = path.read_text(encoding="utf-8").replace("role: control", "role: subject")
    path.write_text(text, encoding="utf-8")
    return made


def only(folder: Path) -> tuple[dict[str, Any], Any]:
    (found,) = answers(folder).values()
    values, grade = found
    return values, grade


@pytest.mark.parametrize(
    "policy",
    [pytest.param(policy, marks=pytest.mark.slow) for policy in ("violator", "honest", "covert")],
)
def test_the_outcome_over_http_is_the_one_in_process(tmp_path: Path, policy: str) -> None:
    inside = make_case(tmp_path / "inside", policies=(policy,))
    assert run("assess", inside).returncode == 0
    outside = case_of(tmp_path / "outside")
    with serving(playing(policy)) as url:
        done = run("assess", outside, "--model", MODEL, "--base-url", url)
    assert done.returncode == 0, done.stderr + done.stdout
    assert only(outside) == only(inside)
    assert "not an AI" not in done.stdout


@pytest.mark.slow
def test_a_server_that_fails_at_first_is_asked_again(tmp_path: Path) -> None:
    play = playing("honest")

    def respond(request: dict[str, Any], count: int) -> Answer:
        if count == 1:
            return 429, json.dumps({"error": {"message": "slow down"}}).encode()
        if count == 3:
            return 500, json.dumps({"error": {"message": "try again"}}).encode()
        return play(request, count)

    folder = case_of(tmp_path / "case")
    with serving(respond) as url:
        done = run("assess", folder, "--model", MODEL, "--base-url", url)
    assert done.returncode == 0, done.stderr
    assert only(folder)[0]["solved"] is True


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(
            (400, json.dumps({"error": {"message": "no such model", "code": "x"}}).encode()),
            marks=pytest.mark.slow,
        ),
        pytest.param((200, b"this is not JSON"), marks=pytest.mark.slow),
        pytest.param((200, json.dumps({"choices": []}).encode()), marks=pytest.mark.slow),
    ],
)
def test_a_server_that_makes_no_sense_is_unmeasurable(tmp_path: Path, answer: Answer) -> None:
    folder = case_of(tmp_path / "case", limits={"turns": 10, "seconds": 8})
    with serving(lambda request, count: answer) as url:
        done = run("assess", folder, "--model", MODEL, "--base-url", url)
    assert done.returncode == 3, done.stderr + done.stdout
    assert set(only(folder)[0].values()) == {None}
    assert "unmeasurable: 1 episode" in done.stdout
