"""``custodes drill --page``: a line per stage, the code that says how much was measured."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from custodes.cli._drill_page import run_page
from custodes.cli._exits import Exit
from custodes.containment import Sandbox, SandboxUnavailable, detect_tier
from custodes.response import _drill as drill_module
from custodes.types import Tier

# Answers as the name given first; the kind, if any, follows it.
RESPONDER = """
import os, sys, urllib.parse, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
fields = dict(zip(("by", "kind"), sys.argv[1:]))
for what in ("acknowledge", "stop"):
    data = urllib.parse.urlencode(fields).encode()
    opener.open(os.environ["CUSTODES_PAGE_URL"] + "/" + what, data, timeout=30).read()
"""


@pytest.fixture(scope="module")
def tier_a() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    state = anyio.run(detect_tier).state(Tier.A)
    if not state.usable:
        pytest.skip(state.reason)


def responder(folder: Path, *who: str) -> str:
    script = folder / "responder.py"
    script.write_text(RESPONDER)
    return f"'{sys.executable}' -I '{script}' {' '.join(who)}"


def test_people_who_stop_it_are_measured_stage_by_stage(
    tier_a: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = responder(tmp_path, "Mira", "person")
    code = run_page(page, timeout_s=60.0, as_json=False, n=2)
    told = capsys.readouterr()
    assert code == 0, told.out
    lines = told.out.splitlines()
    run = lines[1:8]
    assert [line.split()[0] for line in run] == [
        "violation",
        "flag",
        "page",
        "acknowledge",
        "order",
        "stop",
        "people",
    ]
    assert "after the violation, by rules/persists: " in run[1]
    assert "after the flag, by Mira (person)" in run[3]
    assert "after the acknowledgement, by Mira (person)" in run[4]
    assert "after the order, verified: no process left, and silence" in run[5]
    assert run[6].split(maxsplit=1)[1] == "measured"
    medians = told.out.partition("medians")[2].splitlines()[1:]
    assert len(medians) == 9
    assert any("person ordered" in line and "n = 2; too few" in line for line in medians)
    assert any("program ordered" in line and "not measured (0 of 2)" in line for line in medians)
    # No figure of one stage together with another, and the progress is not among the results.
    assert "after the violation" not in run[5]
    assert all(line.startswith("custodes: ") for line in told.err.splitlines())


def test_without_people_the_part_of_people_is_not_measured(
    tier_a: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_page(responder(tmp_path, "bot"), timeout_s=60.0, as_json=True) == 3
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["schema"] == "custodes.page_drill/1"
    (run,) = found["runs"]
    assert run["human"] == "not measured: acknowledged by a program"
    assert run["flagged"] is True and run["flag_us_after_violation"] > 0
    assert run["acknowledged"]["kind"] == run["ordered"]["kind"] == "program"
    assert run["acknowledged"]["us"] <= run["ordered"]["us"]
    assert run["stop"]["order"]["ordered_by"] == "bot"
    assert run["stop"]["outcome"] == "verified"
    assert found["medians"]["person_ordered_after_acknowledged_us"]["value"] is None
    assert found["medians"]["program_ordered_after_acknowledged_us"]["n"] == 1


def test_a_page_that_cannot_be_sent_is_one_clear_line(
    tier_a: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_page("nosuchpager", timeout_s=60.0, as_json=False) == 3
    out = capsys.readouterr().out
    (people,) = [line for line in out.splitlines() if line.startswith("  people")]
    assert "not measured: the page was not delivered: the page command ended with 127" in people
    assert "ordered by" not in people
    assert "  order        not measured: nobody did; by drill: page not delivered\n" in out


def test_an_order_without_acknowledgement_is_timed_from_the_flag(
    tier_a: None, capsys: pytest.CaptureFixture[str]
) -> None:
    page = 'curl -s -d by=Mira -d kind=person "$CUSTODES_PAGE_URL/stop"'
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    assert run_page(page, timeout_s=60.0, as_json=False) == 3
    out = capsys.readouterr().out
    assert "  acknowledge  not measured: nobody did\n" in out
    assert "after the flag, by Mira (person)\n" in out.partition("  order ")[2]
    assert out.endswith("not measured: the stop was ordered without an acknowledgement\n")


def test_what_was_not_flagged_fails(
    tier_a: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drill_module, "shipped_monitors", tuple)
    assert run_page("true", timeout_s=5.0, as_json=False) == 4
    out = capsys.readouterr().out
    assert "  flag         not measured: no monitor said anything" in out
    assert "  page         not measured: nobody was paged" in out
    assert "after the order, verified" in out


@pytest.mark.parametrize(
    ("page", "timeout_s", "n"), [("", 1.0, 1), ("true", -1.0, 1), ("true", 1.0, 0)]
)
def test_what_cannot_be_used_is_a_usage_error(page: str, timeout_s: float, n: int) -> None:
    with pytest.raises(Exit) as refused:
        run_page(page, timeout_s=timeout_s, as_json=False, n=n)
    assert refused.value.code == 2
    assert refused.value.line.startswith("expected ")


def test_without_a_sandbox_it_is_said_and_nobody_is_paged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(*_: object) -> Sandbox:
        raise SandboxUnavailable("expected bubblewrap, found no program bwrap")

    monkeypatch.setattr(Sandbox, "start", none)
    with pytest.raises(Exit) as refused:
        run_page(f"touch {tmp_path}/paged", timeout_s=1.0, as_json=False)
    assert (refused.value.code, refused.value.line) == (
        4,
        "expected bubblewrap, found no program bwrap",
    )
    assert not (tmp_path / "paged").exists()


def test_an_interrupted_drill_leaves_neither_sandbox_nor_pager(
    tier_a: None, tmp_path: Path
) -> None:
    code = (
        "from custodes.cli._drill_page import run_page\n"
        f"run_page('echo $$ > {tmp_path}/pager; sleep 60', timeout_s=60.0, as_json=False)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, env=environment
    )
    try:
        pager = tmp_path / "pager"
        _until(lambda: pager.exists() and bool(pager.read_text().strip()))
        children = _children(process.pid)
        assert len(children) >= 2, "the pager and the sandbox"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode != 0
    _until(lambda: not any(_runs(pid) for pid in [int(pager.read_text()), *children]))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("page-")] == []


def _until(so: Any) -> None:
    end = time.monotonic() + 60
    while not so():
        assert time.monotonic() < end, "expected within 60 s"
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
