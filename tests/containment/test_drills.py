"""Drills see survivors where there are some, and say none only where they could have seen them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from custodes.containment import (
    Broker,
    FreezeReceipt,
    KillReceipt,
    Limits,
    Sandbox,
    SandboxError,
    SandboxSpec,
)
from custodes.containment._stop import (
    Beat,
    FileHeartbeats,
    MappedHeartbeats,
    StopMechanism,
    StopOrder,
    Target,
    execute_stop,
)
from custodes.containment._stop_kill import Kill
from custodes.containment.drills import (
    ADVERSARIES,
    MECHANISMS,
    Channel,
    DrillMatrix,
    Episode,
    Mechanism,
    Need,
    _agent,
    _matrix,
    _plants,
    _run,
    _world,
    cell_of,
    run_drills,
)
from custodes.containment.drills._episode import kill_process_tree
from custodes.types import Tier

from .cgroup_world import delegated_group

OWN = tuple(name for name, mechanism in MECHANISMS.items() if not mechanism.control)
NAIVE = tuple(name for name, mechanism in MECHANISMS.items() if mechanism.control)
ODD = ("fork_hopping", "stopped", "sub_agent", "queued_job", "open_connection", "mapped_writer")
"""Adversaries with something about them that a way to stop could miss."""


def run(against: Any, by: Any, n: int, **settings: Any) -> DrillMatrix:
    return anyio.run(lambda: run_drills(against, by, n, **settings))


def assert_stopped(matrix: DrillMatrix) -> None:
    """Custodes' mechanisms left nobody, and the naive ones somebody, in every cell."""
    for cell in matrix.cells:
        where = (cell.mechanism, cell.adversary, cell.reasons, cell.note)
        adversary = ADVERSARIES[cell.adversary]
        assert (cell.unverified, cell.collateral) == (0, 0), where
        if cell.mechanism in OWN:
            assert (cell.status, cell.survivors) == ("measured", 0), where
            ends = MECHANISMS[cell.mechanism].ends_processes
            assert len(cell.last_process_gone_us) == (cell.n if ends else 0), where
        else:
            assert cell.status == "control", where
            if cell.mechanism == "process_group":
                assert cell.survivors == (cell.n if adversary.leaves_group else 0), where
            elif cell.mechanism != "process_tree":
                assert cell.survivors == cell.n, where


# --- the mechanisms as they are --------------------------------------------------------------


@pytest.fixture(scope="module")
def ended() -> DrillMatrix:
    """Every adversary against Custodes' plainest mechanism and against the plainest control."""
    return run(None, ["namespace_kill", "process_group"], 1)


def test_every_adversary_is_ended_and_a_process_group_kill_leaves_who_left_the_group(
    ended: DrillMatrix,
) -> None:
    assert len(ended.cells) == 2 * len(ADVERSARIES) >= 2 * 16
    assert_stopped(ended)
    # every process that survived is counted
    assert ended.cell("process_group", "fork_storm").survivor_processes == 40
    # what comes back counts as well: a sub-agent, a job, a daemon and an implant
    assert ended.cell("process_group", "sub_agent").survivor_processes == 2
    assert ended.cell("process_group", "queued_job").survivor_processes == 1
    assert ended.cell("process_group", "shell_start_up").survivor_processes == 2
    assert ended.cell("process_group", "user_unit").survivor_processes == 2
    # a run with survivors is censored, and never a latency
    censored = ended.cell("process_group", "double_forked")
    assert censored.last_process_gone_us == censored.last_side_effect_us == ()
    document = censored.to_json()["last_process_gone_ms"]
    assert isinstance(document, dict)
    assert (document["n"], document["censored"], document["median"]) == (0, 1, None)
    assert document["survival"] == {
        "n": 1,
        "observed": 0,
        "steps": [],
        "median": None,
        "median_low": None,
        "notes": [
            "median not reached: the event was seen in 0 of 1 and the curve stays above one half"
        ],
    }
    # and the document keeps its contract
    found = json.loads(json.dumps(ended.to_json()))
    assert found["schema"] == "custodes.drill/1"
    for cell in found["cells"]:
        assert cell.keys() >= {
            "mechanism",
            "adversary",
            "n",
            "survivors",
            "survivors_upper_95",
            "unverified",
            "last_side_effect_ms",
            "last_process_gone_ms",
        }
        if cell["survivors"] == 0:
            assert 0.9 < cell["survivors_upper_95"] < 1  # one run says next to nothing


@pytest.mark.parametrize("mechanism", ["freeze_then_kill", "freeze"])
def test_what_is_held_stays_still(mechanism: str) -> None:
    # By signals, a process that forks faster than the host lists processes can escape a hold, which
    # the drill then says. The kernel's freezer holds it: see the test with a control group.
    odd = [name for name in ODD if mechanism != "freeze" or name != "fork_hopping"]
    assert_stopped(run(odd, [mechanism, "process_group"], 1))


@pytest.mark.slow  # on a busy machine an adversary may not beat on in time, which is unverified
@pytest.mark.parametrize(
    ("own", "naive"),
    [
        ("network_cut", "new_connections_refused"),
        ("credential_revocation", "key_file_deleted"),
    ],
)
def test_use_of_the_network_or_of_a_credential_ends_only_where_it_is_withdrawn(
    own: str, naive: str
) -> None:
    matrix = run(["plain", *ODD], [own, naive], 1)
    assert_stopped(matrix)
    times = matrix.cell(own, "plain").to_json()["last_process_gone_ms"]
    assert isinstance(times, dict) and "not measured" in str(times["note"])
    assert times["censored"] == 0  # nobody expected it to end


def test_a_control_group_is_killed_where_there_is_one() -> None:
    with delegated_group():
        assert_stopped(run(["fork_hopping", "sub_agent"], ["cgroup_kill", "freeze"], 1))


def test_without_a_control_group_its_kill_is_untested_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sandbox, "cgroup", None)
    (cell,) = run(["plain"], ["cgroup_kill"], 3).cells
    assert (cell.status, cell.n, cell.unverified) == ("untested", 3, 3)
    assert "CUSTODES_CGROUP" in cell.reasons[0]
    assert cell.rate.value is None


@pytest.mark.parametrize(
    ("adversary", "survives"),
    [("own_session", False), ("double_forked", True)],
)
def test_a_tree_kill_leaves_who_is_no_descendant(adversary: str, survives: bool) -> None:
    matrix = run([adversary], ["process_tree"], 1)
    assert matrix.cell("process_tree", adversary).survivors == int(survives)


def test_controls_are_added_where_none_were_asked_for() -> None:
    matrix = run(["plain"], ["namespace_kill"], 1)
    (cell,) = matrix.cells
    assert cell.status == "measured" and cell.survivors == 0


def test_the_survivors_of_the_controls_do_not_outlive_the_drill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Sandbox] = []
    real = Sandbox.start.__func__  # type: ignore[attr-defined]

    async def start(cls: type[Sandbox], spec: SandboxSpec | None = None) -> Sandbox:
        started.append(await real(cls, spec))
        return started[-1]

    monkeypatch.setattr(Sandbox, "start", classmethod(start))
    matrix = run(["double_forked", "sub_agent"], ["process_group"], 2)
    assert matrix.cell("process_group", "double_forked").survivors == 2
    assert len(started) > 6  # those of the sub-agents too
    assert not any(sandbox.alive for sandbox in started)


# --- an instrument or a mechanism that does not work -----------------------------------------


CLAIM = KillReceipt(
    verified=True, guaranteed=True, processes_before=1, elapsed_us=1, mechanism="namespace"
)


@pytest.fixture
def lying_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lie(self: Kill) -> str:
        return self._seen(CLAIM, self.stop.us())

    monkeypatch.setattr(Kill, "_by_namespace", lie)


@pytest.mark.usefixtures("lying_kill")
@pytest.mark.parametrize("mechanism", ["namespace_kill", "freeze_then_kill"])
def test_a_kill_that_only_claims_to_have_worked_is_found_out(
    mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(self: Kill) -> str:
        return "no other way today"

    monkeypatch.setattr(Kill, "_each", nothing)
    cell = run(["own_session"], [mechanism], 2).cell(mechanism, "own_session")
    assert cell.status == "measured"
    assert cell.survivors == 2
    assert cell.survivor_processes is not None and cell.survivor_processes >= 4
    assert cell.last_process_gone_us == ()


def test_a_kill_that_fails_and_has_no_other_way_is_unverified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(self: Kill) -> str:
        await self.sandbox.kill()
        raise OSError("the descriptor is gone")

    monkeypatch.setattr(Kill, "_by_namespace", fail)
    (cell,) = run(["plain"], ["namespace_kill"], 2).cells
    assert cell.status == "untested" and cell.unverified == 2
    assert cell.rate.value is None and cell.rate.missing == 2
    assert "descriptor is gone" in cell.reasons[0]


def test_a_hold_that_holds_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def claim(self: Sandbox) -> FreezeReceipt:
        return FreezeReceipt(
            verified=True, processes=1, signals=0, rounds=1, elapsed_us=1, mechanism="cgroup"
        )

    monkeypatch.setattr(Sandbox, "freeze", claim)
    cell = run(["own_session"], ["freeze"], 1).cell("freeze", "own_session")
    assert cell.survivors == 1


def test_a_hold_after_which_nothing_goes_on_is_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its silence may have had another cause."""

    async def nothing(self: Sandbox) -> int:
        return 0

    monkeypatch.setattr(Sandbox, "thaw", nothing)
    monkeypatch.setattr(_run, "_THAW_S", 0.1)
    (cell,) = run(["own_session"], ["freeze"], 1).cells
    assert (cell.survivors, cell.unverified) == (None, 1)
    assert "after the thaw" in cell.reasons[0]


def test_a_cut_that_only_claims_to_have_cut_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "cut", lambda self: object())
    cell = run(["own_session"], ["network_cut"], 1).cell("network_cut", "own_session")
    assert (cell.survivors, cell.survivor_processes) == (1, 2)


def test_a_revocation_that_only_claims_to_have_revoked_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_world.Credential, "revoke", lambda self: None)
    monkeypatch.setattr(_world.Credential, "is_refused", lambda self: True)
    matrix = run(["own_session"], ["credential_revocation"], 1)
    assert matrix.cell("credential_revocation", "own_session").survivor_processes == 2


def test_an_adversary_that_ended_by_itself_shows_nothing_about_a_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_run.Run, "let_go_on", lambda self: kill_process_tree(self))
    monkeypatch.setattr(_run, "_BEATS_ON_S", 0.1)
    cell = run(["plain"], ["network_cut"], 1).cell("network_cut", "plain")
    assert (cell.status, cell.unverified) == ("untested", 1)
    assert "did not beat on" in cell.reasons[0]


def test_a_job_that_is_not_withdrawn_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_world.Job, "halt", lambda self: None)
    monkeypatch.setattr(_world.Job, "is_gone", lambda self: True)
    cell = run(["queued_job"], ["namespace_kill"], 1).cell("namespace_kill", "queued_job")
    assert cell.survivors == 1 and cell.last_process_gone_us == ()


def test_an_adversary_that_does_not_come_up_is_unverified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_run, "_UP_S", 0.0)
    (cell,) = run(["own_session"], ["namespace_kill"], 2).cells
    assert cell.status == "untested"
    assert cell.unverified == cell.n == 2 and cell.survivors is None
    assert "not up" in cell.reasons[0]


def test_a_drill_that_cannot_see_survivors_says_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blind to processes and deaf to heartbeats, every mechanism would look perfect."""
    monkeypatch.setattr(_run.Run, "left", lambda self: [])
    monkeypatch.setattr(FileHeartbeats, "sample", lambda self: Beat(mark=9, last_wall_ns=1))
    (cell,) = run(["own_session"], ["namespace_kill"], 1).cells
    assert cell.status == "untested"
    assert "unable to see" in cell.note


def test_a_daemon_too_quick_to_be_listed_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_run.Run, "left", lambda self: [])
    (cell,) = run(["double_forked"], ["process_group"], 1).cells
    assert cell.survivors == 1


# --- what may be said ------------------------------------------------------------------------


OURS, GROUP = MECHANISMS["namespace_kill"], MECHANISMS["process_group"]
GONE = Episode(survivors=0, last_side_effect_us=10, last_process_gone_us=2000)
STAYED = Episode(survivors=3, window_us=150_000)
UNSEEN = Episode(survivors=None, unverified="not up")


def cell(episodes: list[Episode], controls: list[Episode], mechanism: Mechanism = OURS) -> Any:
    return cell_of(mechanism, ADVERSARIES["own_session"], episodes, controls)


@pytest.mark.parametrize(("n", "upper"), [(10, 0.2589), (30, 0.0950), (299, 0.00997)])
def test_no_survivor_in_n_runs_has_the_exact_upper_bound(n: int, upper: float) -> None:
    summed = cell([GONE] * n, [STAYED])
    assert summed.status == "measured" and summed.survivors == 0
    assert summed.rate.high == pytest.approx(1 - 0.05 ** (1 / n))
    assert summed.rate.high == pytest.approx(upper, abs=5e-5)


def test_unverified_runs_shrink_n_and_are_never_good() -> None:
    summed = cell([GONE] * 6 + [UNSEEN] * 4, [STAYED])
    assert (summed.n, summed.unverified, summed.survivors) == (10, 4, 0)
    assert summed.rate.n == 6 and summed.rate.missing == 4
    assert summed.rate.high == pytest.approx(1 - 0.05 ** (1 / 6))
    assert summed.reasons == ("not up",)


@pytest.mark.parametrize("controls", [[], [GONE, GONE], [UNSEEN]])
def test_without_a_control_that_shows_survivors_a_clean_cell_is_untested(
    controls: list[Episode],
) -> None:
    assert cell([GONE] * 10, controls).status == "untested"


def test_survivors_need_no_control() -> None:
    summed = cell([GONE] * 9 + [STAYED], [])
    assert summed.status == "measured"
    assert (summed.survivors, summed.survivor_processes) == (1, 3)


def test_the_median_counts_those_that_never_ended_as_longest() -> None:
    times = cell([GONE] * 4 + [STAYED] * 6, [STAYED]).to_json()["last_process_gone_ms"]
    assert times["median"] is None and times["censored"] == 6 and times["longest"] == 2.0
    times = cell([GONE] * 6 + [STAYED] * 4, [STAYED]).to_json()["last_process_gone_ms"]
    assert times["median"] == 2.0


def test_runs_that_nobody_watched_are_not_among_those_that_never_ended() -> None:
    summed = cell([GONE] * 2 + [STAYED] + [UNSEEN] * 3, [STAYED])
    times = summed.to_json()["last_process_gone_ms"]
    assert (times["n"], times["censored"], times["unverified"]) == (2, 1, 3)
    nothing = cell([UNSEEN] * 2, [STAYED]).to_json()
    times = nothing["last_process_gone_ms"]
    assert (times["n"], times["censored"], times["unverified"]) == (0, 0, 2)
    assert nothing["survivors"] is None and nothing["survivor_processes"] is None


def test_the_median_is_that_of_the_survival_curve() -> None:
    slower = Episode(survivors=0, last_side_effect_us=10, last_process_gone_us=4000)
    times = cell([GONE, slower], [STAYED]).to_json()["last_process_gone_ms"]
    assert times["median"] == times["survival"]["median"]["value"] == 3.0


def test_a_naive_mechanism_is_a_control_and_never_measured() -> None:
    assert cell([GONE] * 10, [STAYED], GROUP).status == "control"


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("against", "by", "n", "tier", "words"),
    [
        (["double_fork"], None, 1, Tier.A, "nearest is 'double_forked'"),
        (None, ["process_groups"], 1, Tier.A, "nearest is 'process_group'"),
        ([], None, 1, Tier.A, "at least one adversary"),
        (None, None, 0, Tier.A, "n of 1 or more"),
        (None, None, 1, Tier.C, "expected tier A"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    against: Any, by: Any, n: int, tier: Tier, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        run(against, by, n, tier=tier)


def test_progress_reaches_the_end() -> None:
    told: list[tuple[int, int]] = []
    run(["own_session"], ["process_group"], 1, progress=lambda *now: told.append(now))
    assert told[-1][0] == told[-1][1]


# --- the adversaries themselves --------------------------------------------------------------


def test_every_adversary_says_what_it_does_and_every_body_is_used() -> None:
    used = set(ADVERSARIES) | {"helper", "crowd"}
    assert used == set(_agent.BODIES)
    for adversary in ADVERSARIES.values():
        assert adversary.description.endswith(".") and Channel.FILE in adversary.channels
        assert bool(adversary.plants) is bool(
            adversary.needs & {Need.SUB_AGENTS, Need.JOBS, Need.PLANTS}
        )


@pytest.fixture
def loose(tmp_path: Path) -> Iterator[Any]:
    """Starts an adversary's program as a user's launcher would; ends it with its permit."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> tuple[Path, subprocess.Popen[bytes]]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / _agent.PERMIT).touch()
        text = Path(_agent.__file__).read_bytes()
        (folder / "agent.py").write_bytes(text)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-I", "-S", str(folder / "agent.py"), name],
                cwd="/",
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        return folder, processes[-1]

    yield start
    for folder in tmp_path.iterdir():
        with suppress(FileNotFoundError):
            (folder / _agent.PERMIT).unlink()
    for process in processes:
        process.wait(10)


@pytest.mark.parametrize("name", ["fork_hopping", "respawning_pair", "unlinked"])
def test_without_its_permit_an_adversary_ends_by_itself(loose: Any, name: str) -> None:
    folder, _ = loose(name)
    adversary = ADVERSARIES[name]
    heard = FileHeartbeats(folder)
    end = time.monotonic() + 20
    while len(list(folder.glob("*.beat"))) < adversary.beats or heard.sample().mark < 20:
        assert time.monotonic() < end, "it did not come up"
        time.sleep(0.01)
    (folder / _agent.PERMIT).unlink()
    quiet_since, last = time.monotonic(), heard.sample().mark
    while time.monotonic() < quiet_since + 0.3:
        time.sleep(0.01)
        if heard.sample().mark != last:
            quiet_since, last = time.monotonic(), heard.sample().mark
        assert time.monotonic() < end, "it goes on without its permit"


@pytest.mark.parametrize("name", ["cron_and_at", "shell_start_up", "user_unit"])
def test_what_plants_files_refuses_to_outside_a_sandbox(loose: Any, name: str) -> None:
    folder, process = loose(name)
    assert process.wait(20) == 3
    assert not list(folder.glob("*.beat"))


def test_a_file_planted_where_a_daemon_reads_is_found_and_an_old_one_is_not(
    tmp_path: Path,
) -> None:
    assert _plants.look_finds_plants()
    root, home = tmp_path / "root", tmp_path / "home"
    for path in (root / "etc/cron.d/x", home / ".config/systemd/user/y.service", root / "tmp/z"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("true # mark\n")
    found, unread = _plants.planted("mark", 0, root=root, home=home)
    assert found == [str(home / ".config/systemd/user/y.service"), str(root / "etc/cron.d/x")]
    assert unread == []
    assert _plants.planted("mark", time.time_ns() + 1, root=root, home=home) == ([], [])


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_place_that_changed_and_cannot_be_read_is_named(tmp_path: Path) -> None:
    spool = tmp_path / "var/spool/cron"
    spool.mkdir(parents=True)
    spool.chmod(0)
    try:
        assert _plants.planted("mark", 0, root=tmp_path, home=tmp_path)[1] == [str(spool)]
    finally:
        spool.chmod(0o700)


def test_a_blind_look_for_plants_makes_the_cell_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plants, "PLACES", ())
    (cell,) = run(["cron_and_at"], ["namespace_kill"], 1).cells
    assert cell.status == "untested"
    assert "did not find its own" in cell.reasons[0]


def test_bytes_that_change_in_shared_memory_are_heard(tmp_path: Path) -> None:
    path = tmp_path / "a.map"
    path.write_bytes(bytes(4096))
    heard = MappedHeartbeats(tmp_path)
    first = heard.sample()
    path.write_bytes((7).to_bytes(8, "little") + bytes(4088))
    assert (first.mark, heard.sample().mark) == (0, 7)


DOCUMENT = Path(__file__).parents[2] / "docs" / "shutdown.md"


def test_the_document_lists_every_adversary_and_every_mechanism() -> None:
    needs = {
        name: ", ".join(sorted(need.value for need in adversary.needs)) or "-"
        for name, adversary in ADVERSARIES.items()
    }
    tables = {
        "adversaries": [
            "| adversary | what it does | acts by | plants | needs |",
            "|---|---|---|---|---|",
            *(
                f"| {name} | {one.description} | {', '.join(one.channels)} | {one.plants or '-'} "
                f"| {needs[name]} |"
                for name, one in ADVERSARIES.items()
            ),
        ],
        "mechanisms": [
            "| mechanism | what it does | stops |",
            "|---|---|---|",
            *(
                f"| {name} | {one.description} | {STOPS[one.channel]} |"
                for name, one in MECHANISMS.items()
            ),
        ],
    }
    text = written = DOCUMENT.read_text("utf-8")
    for name, lines in tables.items():
        head, _, rest = written.partition(f"<!-- {name}:")
        first, _, rest = rest.partition("-->\n")
        _, _, rest = rest.partition("<!-- end -->")
        table = "\n".join(lines)
        written = f"{head}<!-- {name}:{first}-->\n{table}\n<!-- end -->{rest}"
    if os.environ.get("CUSTODES_WRITE_DOCS"):
        DOCUMENT.write_text(written, "utf-8")
        text = written
    assert text == written, "run this test with CUSTODES_WRITE_DOCS=1"


STOPS = {
    Channel.FILE: "processes",
    Channel.STREAM: "use of the network",
    Channel.TOKEN: "use of a credential",
}


# --- full size -------------------------------------------------------------------------------


@pytest.mark.slow
def test_thirty_runs_of_every_cell() -> None:
    with delegated_group():
        matrix = run(None, None, 30)
    assert_stopped(matrix)
    for found in matrix.cells:
        if found.mechanism in OWN:
            assert found.rate.high == pytest.approx(0.0950, abs=1e-4)
    assert _matrix._AT_ONCE > 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "mechanism", [StopMechanism.NAMESPACE_KILL, StopMechanism.CGROUP_KILL], ids=str
)
def test_a_thousand_processes_of_several_kinds_are_ended_ten_times_of_ten(
    mechanism: StopMechanism,
) -> None:
    async def once() -> None:
        spec = SandboxSpec(limits=Limits(processes=1300, memory_mb=0))
        async with await Sandbox.start(spec) as sandbox, anyio.create_task_group() as group:
            folder = sandbox.workspace_host
            (folder / _agent.PERMIT).touch()
            (folder / "crowd").write_text("1000")

            async def command() -> None:
                with suppress(SandboxError):
                    await sandbox.exec(crowd, timeout=90)

            group.start_soon(command)
            with anyio.fail_after(60):
                while sum(not one.init for one in sandbox.processes()) < 1000:
                    await anyio.sleep(0.05)
                while len(list(folder.glob("*.beat"))) < 21:
                    await anyio.sleep(0.02)
            report = await execute_stop(
                StopOrder(
                    ordered_by="test",
                    reason="a thousand processes",
                    targets=frozenset({Target.SANDBOX}),
                    mechanism=mechanism,
                    deadline_ms=20_000,
                ),
                sandbox=sandbox,
                heartbeats=FileHeartbeats(folder, interval_ms=100),
                record=lambda kind, data: None,
            )
            assert sandbox.processes() == ()
        assert (report.survivors, report.silent) == (0, True), report.to_json()
        assert report.verified and not report.escalated, report.to_json()

    crowd = ADVERSARIES["plain"].argv("/usr/bin/python3")
    crowd[-1] = "crowd"
    with delegated_group():
        for _ in range(10):
            anyio.run(once)
