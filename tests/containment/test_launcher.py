"""The drill of the user's own launcher: good stops pass, bad ones are caught, unknown is said."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from custodes.containment.drills import ADVERSARIES
from custodes.containment.drills.launcher import (
    LAUNCHABLE,
    LauncherUnusable,
    _drill,
    _run,
    not_launchable,
)
from custodes.containment.drills.launcher._marks import PERMIT, Mark

from ..runs.cases import COMMAND
from .launching import descendants, drill, lives, mentioning, namespace_launcher, one, wait_for

KILL = "kill -9 {pid}"
KILL_GROUP = "kill -9 -{pid}"


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches for a shorter time than users do; twenty intervals remain."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(_run, "_WINDOW_S", 0.1)


# --- what is caught --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_namespace_that_ends_leaves_nobody() -> None:
    matrix = drill(namespace_launcher(), KILL, "own_session", "stopped", grace_s=0.4)
    for cell in matrix.cells:
        assert cell.drill.status == "measured", cell
        assert (cell.drill.survivors, cell.drill.unverified) == (0, 0), cell
        assert cell.looked_at == "heartbeats and processes"
        assert cell.drill.last_process_gone_us[0] > 0
        assert cell.stop_ended == {"exit 0": 1}


@pytest.mark.slow
def test_a_kill_of_the_main_process_stops_the_plain_and_misses_the_daemon() -> None:
    matrix = drill("exec {agent}", KILL, "plain", "double_forked")
    plain, daemon = (matrix.cell(name) for name in ("plain", "double_forked"))
    assert (plain.drill.status, plain.drill.survivors) == ("measured", 0)
    assert (daemon.drill.survivors, daemon.by_heartbeat) == (1, 1)
    assert daemon.drill.last_process_gone_us == ()
    assert matrix.uncleared == ()


def test_a_stop_command_that_says_stopped_and_does_nothing_is_caught() -> None:
    cell = one("exec {agent}", "echo stopped")
    assert (cell.drill.survivors, cell.by_heartbeat) == (1, 1)
    assert cell.stop_ended == {"exit 0": 1}


@pytest.mark.slow
def test_who_is_only_held_has_survived() -> None:
    cell = one("exec {agent}", "kill -STOP {pid}")
    assert (cell.drill.survivors, cell.by_heartbeat) == (1, 0)


@pytest.mark.slow
def test_who_comes_back_has_survived() -> None:
    cell = one("while :; do {agent}; done", "kill -9 $(cat {dir}/launched)", grace_s=1.0)
    assert cell.drill.survivors == 1


@pytest.mark.slow
def test_a_stop_command_that_fails_is_recorded_and_the_cell_still_measured() -> None:
    cell = one("exec {agent}", f"{KILL}; exit 3")
    assert cell.stop_ended == {"exit 3": 1} and cell.stop_failed == 1
    assert (cell.drill.status, cell.drill.survivors) == ("measured", 0)


def test_a_stop_command_that_hangs_is_ended_and_recorded() -> None:
    cell = one("exec {agent}", "cat /dev/tty; sleep 61.4", stop_timeout_s=0.2)
    assert cell.stop_ended == {"hung": 1}
    assert cell.drill.survivors == 1
    assert not mentioning("61.4")


@pytest.mark.slow
def test_what_the_stop_command_leaves_behind_is_told_and_cleared() -> None:
    cell = one("exec {agent}", f"setsid sleep 61.5 & {KILL}")
    assert cell.others_left == 1 and cell.drill.survivors == 0
    assert not mentioning("61.5")


# --- launchers of every kind -----------------------------------------------------------------


def test_a_launcher_that_clears_everything_and_is_gone_at_once() -> None:
    cell = one("cd / && env -i setsid -f {agent}", KILL, "own_session")
    assert (cell.drill.survivors, cell.drill.survivor_processes) == (1, 2)
    assert cell.looked_at == "heartbeats and processes"


@pytest.mark.slow
def test_a_launcher_that_floods_its_output() -> None:
    cell = one("yes & yes >&2 & exec {agent}", KILL_GROUP)
    assert (cell.drill.status, cell.drill.survivors) == ("measured", 0)


def test_placeholders_and_variables_name_the_same(tmp_path: Path) -> None:
    said = tmp_path / "said"
    launch = f'test "$CUSTODES_DRILL_DIR" = {{dir}} && echo {{name}} > {said} && exec {{agent}}'
    stop = (
        f"echo $CUSTODES_DRILL_NAME $CUSTODES_DRILL_PID >> {said}; echo ${{HOME:+x}} >> {said}; "
        f'test "$CUSTODES_DRILL_DIR" = {{dir}} && {KILL}; echo {{pid}} >> {said}'
    )
    folder = tmp_path / "a folder"
    folder.mkdir()
    cell = one(launch, stop, folder=folder)
    assert cell.drill.survivors == 0
    name, mine, home, pid = said.read_text().splitlines()
    assert mine == f"{name} {pid}" and home in ("x", "")
    assert list(folder.iterdir()) == []


# --- what cannot be known --------------------------------------------------------------------


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes cannot be seen, as in another machine, until all is cleared away."""
    real = Mark.find

    def find(self: Mark, **more: Any) -> list[Any]:
        return [] if any(Path(self.folder).glob(f"{PERMIT}*")) else real(self, **more)

    monkeypatch.setattr(Mark, "find", find)


@pytest.mark.usefixtures("unseen")
def test_where_processes_cannot_be_seen_heartbeats_are_heard() -> None:
    cell = one("exec {agent}", KILL, "mapped_writer")
    assert (cell.drill.survivors, cell.by_heartbeat) == (1, 1)
    assert cell.looked_at.startswith("heartbeats alone")


@pytest.mark.usefixtures("unseen")
def test_where_processes_cannot_be_seen_a_stopped_one_is_not_verified() -> None:
    cell = one("exec {agent}", KILL, "stopped")
    assert (cell.drill.survivors, cell.drill.unverified) == (None, 1)
    assert cell.drill.status == "untested" and cell.drill.rate.value is None
    assert "not visible" in cell.drill.reasons[0]


def test_a_drill_that_can_see_nothing_says_untested(
    monkeypatch: pytest.MonkeyPatch, unseen: None
) -> None:
    real = _run._Stage._order

    def deaf(self: Any, launched: Any) -> Any:
        heard = self.beats.hear()
        self.beats.hear = lambda: heard
        return real(self, launched)

    monkeypatch.setattr(_run._Stage, "_order", deaf)
    cell = one("exec {agent}", "echo stopped")
    assert cell.drill.status == "untested"
    assert "unable to see" in cell.drill.note


def test_a_stop_command_that_removes_the_heartbeats_is_not_verified() -> None:
    cell = one("exec {agent}", f"{KILL}; rm -rf {{dir}}")
    assert (cell.drill.survivors, cell.drill.unverified) == (None, 1)
    assert "was removed" in cell.drill.reasons[0]


def test_a_stop_command_cannot_use_the_drills_own_off_switch_unseen() -> None:
    assert one("exec {agent}", "rm -f {dir}/permit").drill.survivors == 1
    cell = one("exec {agent}", "rm -f {dir}/permit*")
    assert (cell.drill.survivors, cell.drill.unverified) == (None, 1)
    assert "off switch" in cell.drill.reasons[0]


@pytest.mark.slow
def test_a_folder_that_the_stop_command_moves_is_removed_too(tmp_path: Path) -> None:
    cell = one("exec {agent}", f"{KILL}; mv {{dir}} {{dir}}.x", folder=tmp_path)
    assert cell.drill.unverified == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_finds_no_room_says_where_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(LauncherUnusable, match=r"prepared in .*: No space left.*--in"):
        drill("exec {agent}", KILL, "plain", folder=tmp_path)


@pytest.mark.slow
def test_who_survives_the_removal_of_the_heartbeats_is_still_seen(unseen: None) -> None:
    cell = one("exec {agent}", "rm -f {dir}/*.beat")
    assert (cell.drill.survivors, cell.by_heartbeat) == (1, 1)


def test_a_run_longer_than_an_adversary_lives_is_not_verified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_run, "LONGEST_S", 0.1)
    cell = one("exec {agent}", KILL, grace_s=0.01)
    assert cell.drill.unverified == 1
    assert "end by themselves" in cell.drill.reasons[0]


def test_a_heartbeat_from_the_future_is_no_latency_and_no_survivor() -> None:
    cell = one("exec {agent}", f"{KILL}; touch -d 2099-01-01 {{dir}}/main.beat")
    assert cell.drill.survivors == 0
    assert cell.drill.last_side_effect_us[0] < 60_000_000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_not_verified(tmp_path: Path) -> None:
    fill = "cat /dev/zero > {dir}/fill 2>/dev/null"
    command = [*COMMAND, "drill", "--launch", "exec {agent}", "--stop", f"{fill}; {KILL}"]
    command += ["--adversary", "plain", "--n", "1", "--grace", "0.1", "--json", "--in", "."]
    mount = 'mount -t tmpfs -o size=256k none "$0" && cd "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, str(tmp_path), *command],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["unverified"] == 1 and cell["survivors_upper_95"] is None
    assert "full" in cell["reasons"][0]


@pytest.mark.slow
def test_unrelated_processes_that_end_are_collateral(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _run._bystander
    monkeypatch.setattr(_run, "_bystander", lambda argv: real(["true"]))
    assert one("exec {agent}", KILL).drill.collateral == 2


# --- what cannot work ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        ("nosuchprogram {agent}", "exit 127.*nosuchprogram"),
        ("echo no licence >&2; exit 5 {agent}", "exit 5: no licence"),
        ("sleep 60 # {agent}", "0 of 1 heartbeats within 0.4 s"),
    ],
)
def test_a_launcher_that_starts_nothing_is_one_clear_line(launch: str, words: str) -> None:
    with pytest.raises(LauncherUnusable, match=words):
        drill(launch, KILL, "plain", up_timeout_s=0.4)


def test_a_stop_command_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(LauncherUnusable, match=r"stop command ended with exit 127.*no-such-stop"):
        drill("exec {agent}", "no-such-stop {pid}", "plain")


@pytest.mark.parametrize(
    ("launch", "stop", "more", "words"),
    [
        ("run", "x", {}, "expected {agent} in the launch"),
        ("run {agent} {pid}", "x", {}, "known only to the stop"),
        ("run {agent}", "stop {agent}", {}, "belongs into the launch"),
        ("run {agent}", " ", {}, "found an empty one"),
        ("run {agent}", "x", {"n": 0}, "n of 1 or more"),
        ("run {agent}", "x", {"grace_s": -1}, "grace of 0 or more"),
        ("run {agent}", "x", {"grace_s": float("nan")}, "grace of 0 or more"),
        ("run {agent}", "x", {"grace_s": 60.0}, "end by themselves"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    launch: str, stop: str, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        drill(launch, stop, "plain", **more)


def test_an_adversary_that_would_touch_this_machine_runs_in_a_sandbox_alone() -> None:
    assert LAUNCHABLE.keys() | not_launchable().keys() == ADVERSARIES.keys()
    assert len(LAUNCHABLE) >= 15
    assert not any(adversary.plants for adversary in LAUNCHABLE.values())
    with pytest.raises(ValueError, match="cron_and_at cannot run under a launcher: it would plant"):
        drill("{agent}", KILL, "cron_and_at")
    with pytest.raises(ValueError, match="nearest is 'plain'"):
        drill("{agent}", KILL, "plan")


# --- nothing is left -------------------------------------------------------------------------


def test_an_interrupted_drill_clears_everything_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*told: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _drill.run_launcher_drill(
            _run.Launcher(launch="setsid -f {agent}", stop="true", folder=tmp_path, grace_s=0.1),
            ["double_forked"],
            3,
            progress=interrupted,
        )
    assert list(tmp_path.iterdir()) == []
    assert mentioning(str(tmp_path)) == []
    assert not [one for one in threading.enumerate() if one.name.startswith("drill")]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_drill_that_is_ended_in_the_middle_leaves_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [*COMMAND, "drill", "--launch", "setsid -f {agent}", "--stop", "sleep 12"]
    process = subprocess.Popen(
        [*command, "--adversary", "own_session", "--n", "1", "--in", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: list(tmp_path.glob("*/child.beat")), 20, "the adversary did not come up")
        (folder,) = tmp_path.iterdir()
        started = descendants(process.pid)  # the bystanders and the guard among them
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert process.returncode in (-number, 4)
        assert b"Traceback" not in said
        wait_for(lambda: not mentioning(folder.name), 20, "processes of the run are left")
        wait_for(lambda: not folder.exists(), 20, "the run's folder is left")
        wait_for(lambda: not any(map(lives, started)), 20, "bystanders or the guard are left")
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_ordinary_users_see_what_root_sees() -> None:
    """The same drill without privileges, where this test runs with them."""
    if os.geteuid() != 0:
        pytest.skip("it runs as an ordinary user already")
    code = (
        "import os, sys\n"
        "from custodes.containment.drills.launcher import Launcher, run_launcher_drill\n"
        "from custodes.statistics import proportion; proportion(0, 1, sided='upper')\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.executable = '/usr/bin/python3'\n"
        "matrix = run_launcher_drill(Launcher(launch='exec {agent}', stop='kill -9 {pid}', "
        "grace_s=0.1), ['plain', 'undumpable', 'stopped', 'renamed'], 1)\n"
        "print([(c.drill.survivors, c.looked_at) for c in matrix.cells], matrix.uncleared)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    both = "heartbeats and processes"
    expected = [(0, both), (1, both), (1, both), (1, both)]
    assert done.stdout.strip() == f"{expected} ()", done.stderr
