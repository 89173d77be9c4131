"""``custodes drill`` as a user meets it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from ..runs.cases import run

NAIVE = ("--launch", "exec {agent}", "--stop", "kill -9 {pid}", "--grace", "0.1", "--n", "1")


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("custodes: ")
    return line


def test_the_users_own_stop_in_json_keeps_the_contract_and_fails_on_survivors() -> None:
    chosen = ("--adversary", "plain", "--adversary", "own_session", "--label", "kill-main")
    done = run("drill", *NAIVE, *chosen, "--json")
    assert done.returncode == 4, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "custodes.drill/1"
    assert document["stop"] == "kill -9 {pid}" and document["uncleared"] == []
    plain, own_session = document["cells"]
    for cell in (plain, own_session):
        assert cell.keys() >= {
            "mechanism", "adversary", "n", "survivors", "survivors_upper_95", "unverified",
            "last_side_effect_ms", "last_process_gone_ms",
        }  # fmt: skip
        assert cell["mechanism"] == "kill-main"
        assert cell["stop_command"] == {"exit 0": 1}
        assert cell["looked_at"] == "heartbeats and processes"
    assert (plain["survivors"], own_session["survivors"]) == (0, 1)
    assert plain["survivors_upper_95"] == pytest.approx(0.95)
    assert own_session["last_process_gone_ms"]["n"] == 0


def test_the_users_own_stop_in_text() -> None:
    done = run("drill", *NAIVE, "--adversary", "plain")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^user +plain +0 of 1 +0\.950 +0 +\d+\.\d$", done.stdout, re.MULTILINE)
    assert "stop command: exit 0 in 1 runs" in done.stdout
    assert "looked at: heartbeats and processes" in done.stdout
    assert "\r" not in done.stderr and "1 of 1 runs" in done.stderr


@pytest.mark.slow
def test_what_is_not_verified_is_not_a_success(tmp_path: Path) -> None:
    stop = ("--stop", "kill -9 {pid}; rm -rf {dir}")
    done = run("drill", *NAIVE, *stop, "--adversary", "plain", "--in", tmp_path)
    assert done.returncode == 3
    assert "not verified: the folder of the heartbeats was removed" in done.stdout
    assert "untested" in done.stdout


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--launch", "x {agent}"), 2, "--launch without --stop"),
        (("--stop", "x"), 2, "--stop without --launch"),
        (("--launch", "x", "--stop", "x"), 2, "expected {agent}"),
        ((*NAIVE, "--mechanism", "freeze"), 2, "--mechanism says nothing with --launch"),
        ((*NAIVE, "--adversary", "nobody"), 2, "there is no adversary 'nobody'"),
        ((*NAIVE, "--adversary", "user_unit"), 2, "cannot run under a launcher"),
        ((*NAIVE, "--n", "0"), 2, "n of 1 or more"),
        ((*NAIVE, "--page", "x"), 2, "says nothing with --page"),
        (("--grace", "2"), 2, "--grace says nothing without --launch"),
        (("--page-timeout", "2"), 2, "--page-timeout says nothing without"),
        (("--launch", "nosuch {agent}", "--stop", "x"), 4, "nosuch"),
        ((*NAIVE, "--stop", "nosuch", "--adversary", "plain"), 4, "exit 127"),
    ],
)
def test_bad_input_is_one_clear_line(options: tuple[str, ...], code: int, words: str) -> None:
    assert words in one_line(run("drill", *options), code)


def test_the_list_says_what_runs_where() -> None:
    done = run("drill", "--list")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert any(line.startswith("adversary  plain ") and "Not with" not in line for line in lines)
    assert any(line.startswith("adversary  cron_and_at ") and "Not with" in line for line in lines)
    assert any(line.startswith("mechanism  namespace_kill ") for line in lines)


def test_custodes_own_mechanism_in_text() -> None:
    done = run("drill", "--adversary", "plain", "--mechanism", "namespace_kill", "--n", "1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^namespace_kill +plain +0 of 1 ", done.stdout, re.MULTILINE)
