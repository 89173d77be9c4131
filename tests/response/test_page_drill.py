"""A page drill times each stage by itself, and says what nobody did."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from custodes.containment import Beat, FileHeartbeats, Sandbox
from custodes.monitors import Observation, Watch
from custodes.response import Kind, PageDrill, PageRun, page_drill
from custodes.response import _agent as agent
from custodes.response import _drill as drill_module
from custodes.transcripts import Event
from custodes.transcripts.effects import CallEffect
from custodes.types import Sha256, sha256_of

slow = pytest.mark.slow
Responder = Callable[..., str]
Drill = Callable[..., PageRun]

ANSWERS = ("acknowledge Mira person", "stop Mira person")
PERSON = ("wait 0.2", "acknowledge Mira person", "wait 0.1", "stop Mira person")


def kinds(run: PageRun) -> list[str]:
    return [receipt.kind for receipt in run.receipts]


# --- people and programs -----------------------------------------------------------------------


def test_a_person_who_acknowledges_and_orders_is_measured(
    drill: Drill, responder: Responder
) -> None:
    # In the background, so that the page is delivered before it is answered.
    run = drill(f"cat > alert; {{ {responder(*PERSON)} < alert; rm alert; }} >/dev/null 2>&1 &")
    assert run.human == "measured"
    assert not run.failed
    assert not run.machine
    assert run.flag is not None and run.flag.rule == "persists"
    assert run.flag.us > 0
    assert run.page is not None and run.page.by == "command"
    assert run.page_after_flag_us is not None and run.page_after_flag_us > 0
    assert run.acknowledged is not None
    assert (run.acknowledged.by, run.acknowledged.kind) == ("Mira", Kind.PERSON)
    assert run.acknowledged_after_page_us is not None
    assert run.acknowledged_after_page_us >= 150_000
    assert run.ordered_after_acknowledged_us is not None
    assert run.ordered_after_acknowledged_us >= 90_000
    assert run.stop.order.ordered_by == "Mira"
    assert run.gone_after_order_us is not None and run.gone_after_order_us > 0


def test_an_answer_before_the_command_ends_shows_the_page_and_hides_its_time(
    drill: Drill, responder: Responder
) -> None:
    run = drill(responder(*PERSON))
    assert run.human == "measured"
    assert run.page is not None and run.page.by == "answer"
    assert run.page_after_flag_us is None
    assert run.acknowledged_after_page_us is None
    assert run.acknowledged_after_flag_us is not None
    assert run.acknowledged_after_flag_us >= 200_000


def test_a_program_that_answers_is_the_machines_path_and_no_person(
    drill: Drill, responder: Responder
) -> None:
    run = drill(responder("acknowledge bot", "stop bot"))
    assert run.human == "not measured: acknowledged by a program"
    assert run.machine
    assert run.acknowledged is not None and run.acknowledged.kind is Kind.PROGRAM


@pytest.mark.slow
def test_a_person_who_leaves_the_order_to_a_program_is_not_measured(
    drill: Drill, responder: Responder
) -> None:
    run = drill(responder("acknowledge Mira person", "stop bot program"))
    assert run.human == "not measured: the stop was ordered by a program"
    assert not run.machine


def test_the_first_acknowledgement_counts_and_later_ones_are_only_recorded(
    drill: Drill, responder: Responder
) -> None:
    run = drill(
        responder(
            "acknowledge Mira person",
            "acknowledge Juno person",
            "stop Mira person",
            "acknowledge Late person",
            "stop Late person",
        )
    )
    assert run.human == "measured"
    assert run.acknowledged is not None and run.acknowledged.by == "Mira"
    assert run.ordered.by == "Mira"
    answers = [
        (receipt.kind, receipt.data["by"], receipt.data["counted"])
        for receipt in run.receipts
        if receipt.kind == "acknowledge" or (receipt.kind == "stop" and "counted" in receipt.data)
    ]
    assert answers == [
        ("acknowledge", "Mira", 1),
        ("acknowledge", "Juno", 0),
        ("stop", "Mira", 1),
        ("acknowledge", "Late", 0),
        ("stop", "Late", 0),
    ]


def test_an_order_without_acknowledgement_stops_and_is_said(
    drill: Drill, responder: Responder
) -> None:
    run = drill(responder("stop Mira person"))
    assert run.human == "not measured: the stop was ordered without an acknowledgement"
    assert run.acknowledged is None
    assert run.ordered.kind is Kind.PERSON
    assert run.stop.order.ordered_by == "Mira"


def test_an_acknowledgement_without_an_order_ends_in_the_drills_own_stop(
    drill: Drill, responder: Responder
) -> None:
    run = drill(responder("acknowledge Mira person"), timeout_s=3.0)
    assert run.human == ("not measured: Mira acknowledged, and nobody ordered the stop within 3 s")
    assert run.ordered.by == "drill: deadline"
    assert run.ordered_after_acknowledged_us is None


# --- pages that do not arrive ------------------------------------------------------------------


def test_nobody_there_is_not_measured_and_the_stop_is_made_all_the_same(drill: Drill) -> None:
    run = drill("true", timeout_s=2.0)
    assert run.human == "not measured: nobody acknowledged within 2 s"
    assert (run.ordered.by, run.ordered.kind) == ("drill: deadline", Kind.DRILL)
    assert run.acknowledged is None
    assert not run.failed


@pytest.mark.parametrize(
    ("page", "found"),
    [
        ("echo no route >&2; exit 3", "the page command ended with 3: no route"),
        ("nosuchpager --now", "the page command ended with 127: "),
        pytest.param("kill -9 $$", "the page command was ended by signal 9", marks=slow),
        pytest.param(
            "printf 'a\\033[2Jb\\n'; exit 1", "the page command ended with 1: a [2Jb", marks=slow
        ),
    ],
    ids=["fails", "missing", "killed", "escapes"],
)
def test_a_page_that_fails_is_one_line_and_is_not_waited_for(
    drill: Drill, page: str, found: str
) -> None:
    began = time.monotonic()
    run = drill(page, timeout_s=300.0)
    assert time.monotonic() - began < 100
    assert run.human.startswith(f"not measured: the page was not delivered: {found}")
    assert "\n" not in run.human
    assert run.ordered.by == "drill: page not delivered"
    assert run.page is not None and run.page.us is None


def test_a_page_that_hangs_and_floods_is_ended_at_the_deadline(drill: Drill) -> None:
    run = drill("yes 'a line of noise' & yes; wait", timeout_s=0.5)
    assert run.human.startswith(
        "not measured: the page was not delivered: the page command was still running after 0.5 s"
    )
    assert run.ordered.by == "drill: deadline"
    assert len(json.dumps(run.to_json())) < 50_000


@pytest.mark.slow
def test_a_page_that_floods_and_ends_is_delivered(drill: Drill) -> None:
    run = drill("yes | head -c 3000000", timeout_s=1.5)
    assert run.page is not None and run.page.by == "command"


@pytest.mark.slow
def test_who_answers_a_page_whose_command_failed_was_told(
    drill: Drill, responder: Responder
) -> None:
    run = drill(f"{responder(*ANSWERS)}; exit 7")
    assert run.human == "measured"
    assert run.page is not None and run.page.by == "answer"
    assert run.page.command == "the page command ended with 7"


def test_a_command_killed_by_the_drill_leaves_nothing_of_its_group(
    drill: Drill, tmp_path: Path
) -> None:
    drill(f"sleep 60 & echo $! > {tmp_path}/child; sleep 60", timeout_s=1.0)
    child = int((tmp_path / "child").read_text())
    for _ in range(200):
        if not _runs(child):
            break
        time.sleep(0.01)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# --- monitors ----------------------------------------------------------------------------------


class Scripted:
    """A monitor that does what it is told to at every call."""

    name = "scripted"
    digest: Sha256 = sha256_of(b"scripted")

    def __init__(self, see: Callable[[Event], Sequence[Observation]]) -> None:
        self._see = see

    def begin(self, run: object = None) -> Watch:
        return self  # type: ignore[return-value]

    def see(self, event: Event, effects: Sequence[CallEffect]) -> Sequence[Observation]:
        return self._see(event)


def test_what_no_monitor_flags_pages_nobody_and_is_stopped_by_the_drill(
    drill: Drill, tmp_path: Path
) -> None:
    paged = tmp_path / "paged"
    run = drill(f"touch {paged}", monitors=())
    assert run.failed == "not flagged: no monitor said anything"
    assert run.human == "not measured: nothing was flagged: no monitor said anything"
    assert run.ordered.by == "drill: not flagged"
    assert (run.flag, run.page, run.acknowledged) == (None, None, None)
    assert not paged.exists()


def _breaks(event: Event) -> Sequence[Observation]:
    raise RuntimeError("no\nmodel")


def test_a_monitor_that_fails_has_not_flagged_and_is_named(drill: Drill) -> None:
    nonsense = Scripted(lambda event: ["guilty"])  # type: ignore[list-item]
    run = drill("true", monitors=(Scripted(_breaks), nonsense))
    assert run.failed == (
        "not flagged: a monitor failed: scripted: RuntimeError: no model; "
        "scripted: TypeError: expected an observation, found str"
    )


def test_a_monitor_that_fails_does_not_hide_the_flag_of_another(drill: Drill) -> None:
    hostile = "\x1b[2J<b>\ud800"
    flags = Scripted(lambda event: [Observation(suspicion=1.0, why=hostile)])
    run = drill('curl -s "$CUSTODES_PAGE_URL" >&2; exit 1', monitors=(Scripted(_breaks), flags))
    assert run.flag is not None
    assert run.flag.why == "[2J<b>"
    assert run.page is not None and run.page.us is None


def test_a_monitor_that_hangs_has_not_flagged_and_holds_up_nothing(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_module, "_MONITOR_S", 0.5)
    release = time.monotonic() + 3

    def hangs(event: Event) -> Sequence[Observation]:
        while time.monotonic() < release:
            time.sleep(0.05)
        return [Observation(suspicion=1.0, why="late")]

    run = drill("true", monitors=(Scripted(hangs),))
    assert run.failed == "not flagged: a monitor failed: the monitors: no answer within 0.5 s"


def test_flags_on_honest_calls_are_counted_and_page_nobody(drill: Drill) -> None:
    suspects = Scripted(lambda event: [Observation(suspicion=0.9, why="all is suspect")])
    run = drill("true", timeout_s=0.3, monitors=(suspects,))
    assert run.early_flags == 4
    assert run.flag is not None and run.flag.us > 0
    assert kinds(run).index("violation") > 0  # the early flags were recorded before it


def test_a_violation_that_the_host_does_not_see_is_no_measurement(
    drill: Drill, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "_planted", lambda sandbox, canary: False)
    run = drill("true")
    assert run.violation is None
    assert run.failed == "the violation was not seen by the host"
    assert run.ordered.by == "drill: violation not seen"
    assert run.ordered.us is None
    assert run.flag is None


class Restless(FileHeartbeats):
    """Side effects that never end."""

    sampled = 0

    def sample(self) -> Beat:
        self.sampled += 1
        return replace(super().sample(), mark=self.sampled)


def test_a_stop_after_which_something_goes_on_is_not_verified(
    tier_a: None, monkeypatch: pytest.MonkeyPatch, responder: Responder
) -> None:
    async def prepare(sandbox: Sandbox) -> FileHeartbeats:
        return Restless((await agent.prepare(sandbox)).directory)

    monkeypatch.setattr(drill_module, "prepare", prepare)
    (run,) = anyio.run(lambda: page_drill(responder(*ANSWERS), timeout_s=60.0)).runs
    assert run.human == "measured"
    assert run.failed.startswith("the stop was not verified: ")
    assert run.gone_after_order_us is None
    assert run.to_json()["stop_verified"] is False


# --- results -----------------------------------------------------------------------------------


def test_receipts_are_in_order_and_no_number_adds_detection_to_the_stop(
    drill: Drill, responder: Responder
) -> None:
    run = drill(responder(*ANSWERS))
    times = [receipt.us for receipt in run.receipts]
    order = [kind for kind in kinds(run) if kind in ("violation", "flag", "acknowledge", "stop")]
    assert order == ["violation", "flag", "acknowledge", "stop"]
    assert times == sorted(times)
    written = run.to_json()
    assert written["human"] == "measured"
    assert run.flag is not None
    assert written["flag_us_after_violation"] == run.flag.us
    stop = written["stop_us_after_order"]
    assert isinstance(stop, int)
    # The stop is given from its order alone: from the violation it would be a sum of both.
    assert not any("stop" in key and "violation" in key for key in written)


def test_medians_stand_by_stage_and_have_no_interval_of_few_runs(
    tier_a: None, responder: Responder
) -> None:
    found = anyio.run(lambda: page_drill(responder(*ANSWERS), timeout_s=60.0, n=2))
    medians = found.summaries()
    flag = medians["flag_after_violation_us"]
    assert (flag.n, flag.low, flag.missing) == (2, None, 0)
    assert flag.note is not None and "no interval" in flag.note
    assert medians["person_acknowledged_after_flag_us"].n == 2
    program = medians["program_acknowledged_after_flag_us"]
    assert (program.value, program.n, program.missing) == (None, 0, 2)
    assert json.loads(json.dumps(found.to_json()))["schema"] == "custodes.page_drill/1"


@pytest.mark.slow
def test_ten_runs_have_intervals_and_leave_no_descriptor_or_folder(
    tier_a: None, responder: Responder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    warm: PageDrill = anyio.run(lambda: page_drill("true", timeout_s=0.2))
    assert len(warm.runs) == 1
    before = len(os.listdir("/proc/self/fd"))
    found = anyio.run(lambda: page_drill(responder(*ANSWERS), timeout_s=60.0, n=10))
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("page-")] == []
    medians = found.summaries()
    for name in ("flag_after_violation_us", "stop_after_order_us"):
        assert medians[name].low is not None, name
    assert all(run.human == "measured" and not run.failed for run in found.runs)


@pytest.mark.parametrize(
    ("page", "timeout_s", "n", "says"),
    [
        ("  ", 1.0, 1, "page command"),
        ("a\0b", 1.0, 1, "NUL"),
        ("true", 0.0, 1, "timeout"),
        ("true", float("nan"), 1, "timeout"),
        ("true", 1.0, 0, "1 run or more"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_runs(
    page: str, timeout_s: float, n: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        anyio.run(lambda: page_drill(page, timeout_s=timeout_s, n=n))
