"""``custodes drill`` as a user meets it."""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from custodes.cli import _drill
from custodes.cli._drill import _print
from custodes.containment.drills import ADVERSARIES, MECHANISMS, Episode, cell_of

from ..containment.launching import descendants, lives, wait_for
from ..runs.cases import COMMAND, call, run

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
        (("--adversary", "nope"), 2, "`custodes drill --list` names them"),
        ((*NAIVE, "--adversary", "user_unit"), 2, "cannot run under a launcher"),
        ((*NAIVE, "--n", "0"), 2, "n of 1 or more"),
        ((*NAIVE, "--page", "x"), 2, "says nothing with --page"),
        (("--grace", "2"), 2, "--grace says nothing without --launch"),
        (("--page-timeout", "2"), 2, "--page-timeout needs --page"),
        (("--guarded",), 2, "--guarded says nothing without --launch, --agent or --page"),
        (("--agent", "nosuch"), 2, "expected a command of a known agent"),
        (("--agent", "claude-code", "--mechanism", "freeze"), 2, "says nothing with --agent"),
        (("--launch", "nosuch {agent}", "--stop", "x"), 4, "nosuch"),
        ((*NAIVE, "--stop", "nosuch", "--adversary", "plain"), 4, "exit 127"),
    ],
)
def test_bad_input_is_one_clear_line(options: tuple[str, ...], code: int, words: str) -> None:
    # What runs a command does so in a process that may be ended with it.
    start = call if code == 2 else run
    assert words in one_line(start("drill", *options), code)


def test_the_list_says_what_runs_where() -> None:
    done = call("drill", "--list")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert any(line.startswith("adversary  plain ") and "Not with" not in line for line in lines)
    assert any(line.startswith("adversary  cron_and_at ") and "Not with" in line for line in lines)
    assert any(line.startswith("mechanism  namespace_kill ") for line in lines)


@pytest.mark.slow
def test_custodes_own_mechanism_in_text() -> None:
    done = run("drill", "--adversary", "plain", "--mechanism", "namespace_kill", "--n", "1")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^namespace_kill +plain +0 of 1 ", done.stdout, re.MULTILINE)


def test_the_list_as_json_says_the_same() -> None:
    done = call("drill", "--list", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    alone = {one["name"]: one["not_with_launch"] for one in document["adversaries"]}
    assert alone.keys() == ADVERSARIES.keys()
    assert alone["plain"] is None and "plant" in alone["cron_and_at"]
    assert [one["name"] for one in document["mechanisms"]] == list(MECHANISMS)


def test_what_was_not_tested_shows_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    unseen = Episode(survivors=None, unverified="no control group")
    gone = Episode(survivors=0, last_side_effect_us=10)
    for runs in ([unseen] * 2, [gone] * 2):  # unverified, and verified without a control
        cell = cell_of(MECHANISMS["cgroup_kill"], ADVERSARIES["plain"], runs, [])
        assert cell.status == "untested"
        _print([cell])
        line = capsys.readouterr().out.splitlines()[1]
        assert re.match(r"cgroup_kill +plain +- +- +[02] +- +untested: ", line), line


def test_a_full_disk_is_one_clear_line_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_drill, "_drill_own", full)
    monkeypatch.setattr(_drill, "ends_on_term", lambda: None)
    done = CliRunner().invoke(_drill.command, ["--n", "1"])
    assert done.exit_code == 4
    assert re.search(r"custodes: no space left at .*/.*: .*TMPDIR", done.output), done.output


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param("kill -9 {pid}; exit 9", marks=pytest.mark.slow),
        "kill -9 {pid}; sleep 61.7",
    ],
)
def test_a_stop_command_that_does_not_end_well_is_no_success(stop: str) -> None:
    options = ("--stop", stop, "--stop-timeout", "0.3", "--adversary", "plain")
    done = run("drill", *NAIVE, *options)
    assert done.returncode == 3, (done.stdout, done.stderr)
    how = "exit 9" if "exit" in stop else "hung"
    assert f"stop command: {how} in 1 runs" in done.stdout
    assert "the stop command did not end well in 1 of 1 runs" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_drill_of_custodes_own_that_is_ended_leaves_nothing_and_closes_its_output(
    number: signal.Signals,
) -> None:
    process = subprocess.Popen(
        [*COMMAND, "drill", "--adversary", "own_session", "--mechanism", "process_group"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until = time.monotonic() + 60
        while len(started := descendants(process.pid)) < 4:
            assert time.monotonic() < until and process.poll() is None, "no run was begun"
            time.sleep(0.01)
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)  # whoever holds the output makes this fail
        assert process.returncode in (4, -number), said
        assert b"Traceback" not in said
        wait_for(lambda: not any(map(lives, started)), 20, "processes of the drill are left")
    finally:
        process.kill()
        process.wait()
