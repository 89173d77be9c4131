"""Drills see survivors where there are some, and say none only where they could have seen them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from custodes.containment import KillReceipt, Sandbox
from custodes.containment._stop import Beat, FileHeartbeats
from custodes.containment.drills import (
    ADVERSARIES,
    MECHANISMS,
    DrillMatrix,
    Episode,
    Mechanism,
    _episode,
    _matrix,
    cell_of,
    run_drills,
)
from custodes.types import Tier

OWN = ("namespace_kill", "freeze_then_kill")
NAIVE = ("process_group", "process_tree")


def run(against: list[str] | None, by: list[str] | None, n: int, **settings: Any) -> DrillMatrix:
    return anyio.run(lambda: run_drills(against, by, n, **settings))


@pytest.fixture(scope="module")
def everything() -> DrillMatrix:
    """Every adversary against every mechanism, once."""
    return run(None, None, 1)


# --- the mechanisms as they are --------------------------------------------------------------


@pytest.mark.parametrize("mechanism", OWN)
@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_custodes_own_mechanisms_leave_nobody(
    everything: DrillMatrix, mechanism: str, adversary: str
) -> None:
    cell = everything.cell(mechanism, adversary)
    assert cell.status == "measured", cell
    assert (cell.survivors, cell.unverified, cell.collateral) == (0, 0, 0), cell
    assert len(cell.last_process_gone_us) == cell.n
    assert cell.last_process_gone_us[0] > 0


@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_a_process_group_kill_leaves_who_left_the_group_and_no_other(
    everything: DrillMatrix, adversary: str
) -> None:
    cell = everything.cell("process_group", adversary)
    assert cell.status == "control" and cell.unverified == 0, cell
    assert cell.survivors == (1 if ADVERSARIES[adversary].leaves_group else 0), cell


@pytest.mark.parametrize(
    ("adversary", "survives"),
    [
        ("plain", False),
        ("own_session", False),
        ("fork_storm", False),
        ("double_forked", True),
        ("reparented", True),
        ("fork_hopping", True),
    ],
)
def test_a_tree_kill_leaves_who_is_no_descendant(
    everything: DrillMatrix, adversary: str, survives: bool
) -> None:
    assert everything.cell("process_tree", adversary).survivors == int(survives)


def test_every_process_that_survived_is_counted(everything: DrillMatrix) -> None:
    assert everything.cell("process_group", "fork_storm").survivor_processes == 40


def test_a_run_with_survivors_is_censored_and_never_a_latency(everything: DrillMatrix) -> None:
    cell = everything.cell("process_group", "double_forked")
    assert cell.last_process_gone_us == cell.last_side_effect_us == ()
    document = cell.to_json()["last_process_gone_ms"]
    assert document == {"n": 0, "censored": 1, "median": None, "longest": None, "us": []}


def test_the_document_keeps_its_contract(everything: DrillMatrix) -> None:
    document = json.loads(json.dumps(everything.to_json()))
    assert document["schema"] == "custodes.drill/1"
    assert len(document["cells"]) == len(ADVERSARIES) * len(MECHANISMS)
    for cell in document["cells"]:
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


def test_controls_are_added_where_none_were_asked_for() -> None:
    matrix = run(["plain"], ["namespace_kill"], 1)
    (cell,) = matrix.cells
    assert cell.status == "measured" and cell.survivors == 0


def test_the_survivors_of_the_controls_do_not_outlive_the_drill() -> None:
    def sandboxed() -> set[str]:
        found = set()
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if b"double_forked" in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.add(name)
            except OSError:
                continue
        return found

    before = sandboxed()
    matrix = run(["double_forked"], ["process_group"], 2)
    assert matrix.cell("process_group", "double_forked").survivors == 2
    assert sandboxed() <= before


# --- an instrument or a mechanism that does not work -----------------------------------------


CLAIM = KillReceipt(
    verified=True, guaranteed=True, processes_before=1, elapsed_us=1, mechanism="namespace"
)


@pytest.fixture
def lying_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sandbox.kill

    async def lie(self: Sandbox, *, count: bool = True) -> KillReceipt:
        # close() asks without counting: the sandbox does end at last
        return CLAIM if count else await real(self, count=False)

    monkeypatch.setattr(Sandbox, "kill", lie)


@pytest.mark.usefixtures("lying_kill")
@pytest.mark.parametrize("mechanism", OWN)
def test_a_kill_that_only_claims_to_have_worked_is_found_out(mechanism: str) -> None:
    cell = run(["own_session"], [mechanism], 2).cell(mechanism, "own_session")
    assert cell.status == "measured"
    assert cell.survivors == 2 and cell.survivor_processes >= 4
    assert cell.last_process_gone_us == ()


def test_a_kill_that_fails_is_unverified_and_not_without_survivors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Sandbox.kill

    async def fail(self: Sandbox, *, count: bool = True) -> KillReceipt:
        receipt = await real(self, count=False)
        if count:
            raise OSError("the descriptor is gone")
        return receipt

    monkeypatch.setattr(Sandbox, "kill", fail)
    (cell,) = run(["plain"], ["namespace_kill"], 2).cells
    assert cell.status == "untested" and cell.unverified == 2
    assert cell.rate.value is None and cell.rate.missing == 2
    assert "descriptor is gone" in cell.reasons[0]


def test_an_adversary_that_does_not_come_up_is_unverified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_episode, "_UP_S", 0.0)
    (cell,) = run(["own_session"], ["namespace_kill"], 2).cells
    assert cell.status == "untested"
    assert cell.unverified == cell.n == 2 and cell.survivors == 0
    assert "not up" in cell.reasons[0]


def test_a_drill_that_cannot_see_survivors_says_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blind to processes and deaf to heartbeats, every mechanism would look perfect."""
    monkeypatch.setattr(_episode.Run, "left", lambda self: [])
    monkeypatch.setattr(FileHeartbeats, "sample", lambda self: Beat(mark=9, last_wall_ns=1))
    (cell,) = run(["own_session"], ["namespace_kill"], 1).cells
    assert cell.status == "untested"
    assert "unable to see" in cell.note


def test_a_daemon_too_quick_to_be_listed_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_episode.Run, "left", lambda self: [])
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


# --- full size -------------------------------------------------------------------------------


@pytest.mark.slow
def test_thirty_runs_of_every_cell() -> None:
    matrix = run(None, None, 30)
    for found in matrix.cells:
        if found.mechanism in OWN:
            assert (found.status, found.survivors, found.unverified) == ("measured", 0, 0), found
            assert found.rate.high == pytest.approx(0.0950, abs=1e-4)
        elif found.mechanism == "process_group" and ADVERSARIES[found.adversary].leaves_group:
            assert found.survivors == 30, found
    assert _matrix._AT_ONCE > 1
