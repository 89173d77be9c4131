"""Launchers and stop commands that people use, against every adversary: what they leave is known.

Where a stop is expected to leave survivors they must be seen, and where not there must be none.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import textwrap
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from custodes.containment.drills.launcher import LAUNCHABLE, LauncherMatrix

from .launching import drill, namespace_launcher, skip_when_too_busy

pytestmark = pytest.mark.slow

ALL = LAUNCHABLE.keys()
SOME = frozenset(
    {"plain", "sigterm_ignoring", "own_session", "double_forked", "reparented", "stopped"}
)
LEAVE_GROUP = {name for name, adversary in LAUNCHABLE.items() if adversary.leaves_group}


def survived(matrix: LauncherMatrix) -> set[str]:
    """Adversaries that survived; each cell must have been measured, and nothing be left."""
    skip_when_too_busy(matrix)
    for cell in matrix.cells:
        assert cell.drill.status == "measured", cell
        assert cell.drill.unverified == 0, cell
        assert cell.drill.survivors in (0, cell.drill.n), cell
        assert cell.drill.collateral == 0, cell
    assert matrix.uncleared == ()
    return {cell.drill.adversary for cell in matrix.cells if cell.drill.survivors}


def test_the_end_of_a_namespace_leaves_no_adversary_in_five_runs_of_each() -> None:
    matrix = drill(namespace_launcher(), "kill -9 {pid}", n=5, grace_s=0.2)
    assert survived(matrix) == set()
    assert {cell.drill.n for cell in matrix.cells} == {5}


@pytest.mark.parametrize(
    ("launch", "stop", "left"),
    [
        ("exec {agent}", "echo stopped", SOME),
        ("exec {agent}", "kill {pid}", SOME - {"plain"}),
        ("exec {agent}", "kill -STOP -{pid}", SOME),
        ("exec {agent}", "pkill -9 -g {pid}", LEAVE_GROUP),
        ("exec {agent}", "kill -9 -{pid}", LEAVE_GROUP),
        # It passes on the signal that it gets, whatever it would send when the time is up.
        ("exec timeout -s KILL 30 {agent}", "kill {pid}", LEAVE_GROUP | {"sigterm_ignoring"}),
        ("setsid -f {agent}", "kill -9 -$(cat {dir}/launched)", LEAVE_GROUP),
    ],
    ids=lambda value: None if isinstance(value, AbstractSet) else value.partition(" {agent}")[0],
)
def test_plain_launchers_and_stops(launch: str, stop: str, left: AbstractSet[str]) -> None:
    assert survived(drill(launch, stop, *sorted(SOME), grace_s=0.5)) == left & SOME


@pytest.mark.parametrize(
    ("stop", "left"),
    [
        ("kill -9 {pid}", ALL - {"plain", "sigterm_ignoring"}),
        ("kill -9 -{pid}", LEAVE_GROUP),
    ],
)
def test_every_adversary_against_the_two_commonest(stop: str, left: AbstractSet[str]) -> None:
    assert survived(drill("exec {agent}", stop, grace_s=0.5)) == left


def test_a_kill_by_name_misses_who_changes_it() -> None:
    matrix = drill("exec {agent}", "pkill -9 -f {dir}/body.py", "own_session", "renamed")
    assert survived(matrix) == {"renamed"}


def test_a_tree_kill_as_people_write_it(tmp_path: Path) -> None:
    if importlib.util.find_spec("psutil") is None:
        pytest.skip("no psutil")
    script = tmp_path / "kill_tree.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, psutil
            parent = psutil.Process(int(sys.argv[1]))
            processes = parent.children(recursive=True) + [parent]
            for process in processes:
                process.kill()
            psutil.wait_procs(processes, timeout=3)
            """
        ),
        "utf-8",
    )
    stop = f"{sys.executable} {script} {{pid}}"
    matrix = drill("exec {agent}", stop, *sorted(SOME), grace_s=0.5)
    assert survived(matrix) == {"double_forked", "reparented"}


# --- supervisord -----------------------------------------------------------------------------

_CONF = """
[supervisord]
nodaemon=true
logfile=/dev/null
logfile_maxbytes=0
pidfile=$CUSTODES_DRILL_DIR/supervisord.pid
[unix_http_server]
file=$CUSTODES_DRILL_DIR/supervisor.sock
[supervisorctl]
serverurl=unix://$CUSTODES_DRILL_DIR/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[program:agent]
command=$*
startsecs=0
autorestart=true
stopwaitsecs=1
stopasgroup=GROUP
killasgroup=GROUP
"""


@pytest.fixture
def control(tmp_path: Path) -> str:
    """The program supervisorctl, beside supervisord; skipped where it is not installed."""
    found = shutil.which("supervisorctl", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("no supervisor in this environment")
    return f"{found} -c {{dir}}/supervisord.conf"


def supervised(tmp_path: Path, group: str) -> str:
    script = tmp_path / "start.sh"
    conf = _CONF.replace("GROUP", group)
    script.write_text(
        f"cat > $CUSTODES_DRILL_DIR/supervisord.conf <<END\n{conf}END\n"
        f"exec {Path(sys.executable).parent}/supervisord -n "
        "-c $CUSTODES_DRILL_DIR/supervisord.conf",
        "utf-8",
    )
    return f"exec sh {script} {{agent}}"


@pytest.mark.parametrize(
    ("group", "left"),
    [("false", ALL - {"plain", "sigterm_ignoring"}), ("true", LEAVE_GROUP)],
)
def test_supervisord_stops_what_it_started_and_with_asgroup_its_group(
    tmp_path: Path, control: str, group: str, left: AbstractSet[str]
) -> None:
    stop = f"{control} stop agent"
    matrix = drill(supervised(tmp_path, group), stop, *sorted(SOME), grace_s=0.5)
    assert survived(matrix) == left & SOME
    # The supervisor itself stays, as it should: it is no adversary.
    assert all(cell.others_left == 1 for cell in matrix.cells)


def test_supervisord_brings_back_what_others_kill(tmp_path: Path, control: str) -> None:
    bad = "kill -9 $(cat {dir}/launched)"
    matrix = drill(supervised(tmp_path, "true"), bad, "plain", n=3, grace_s=3.0)
    assert survived(matrix) == {"plain"}


def test_a_shut_down_supervisord_is_gone_too(tmp_path: Path, control: str) -> None:
    stop = f"{control} shutdown"
    matrix = drill(supervised(tmp_path, "true"), stop, "plain", "own_session", grace_s=2.5)
    assert survived(matrix) == {"own_session"}
    assert matrix.cell("plain").others_left == 0
