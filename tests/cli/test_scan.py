"""``custodes scan`` and ``custodes effects`` as their users meet them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ..runs.cases import call as custodes
from ..scan.logs import FLAGGED, ORDINARY, write


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    write(tmp_path / "logs" / "fine.json", ORDINARY)
    write(tmp_path / "logs" / "bad.json", FLAGGED)
    return tmp_path / "logs"


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_json_contract(logs: Path, tmp_path: Path) -> None:
    (logs / "broken.eval").write_bytes(b"PK\x03\x04broken")
    done = custodes("scan", logs, "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    found = document(done)
    assert found["schema"] == "custodes.scan/1"
    assert (found["files"], found["transcripts"]) == (3, 2)
    assert found["events"] > 4
    assert {"path", "position", "reason"} <= set(found["unreadable"][0])
    assert found["duplicates"] == [] and found["unmeasurable"] == []
    finding = max(found["findings"], key=lambda f: f["suspicion"])
    assert {
        "id", "transcript", "event", "monitor", "rule", "suspicion", "flagged", "step", "effects",
        "locator", "reason",
    } <= set(finding)  # fmt: skip
    assert finding["flagged"] is True
    assert "bad.json" in finding["transcript"]
    assert {"kind", "target", "known"} == set(finding["effects"][0])
    # With --json nothing is left behind.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs"]


def test_everything_is_written_to_the_folder(logs: Path, tmp_path: Path) -> None:
    done = custodes("scan", logs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "custodes-scan").iterdir()) == [
        "findings.json",
        "findings.ocsf.jsonl",
        "findings.parquet",
        "findings.sarif",
        "report.html",
    ]
    assert "bad.json" in done.stdout and "what could not be read or judged" in done.stdout
    again = custodes("scan", ".", cwd=tmp_path)
    assert "2 transcripts" in again.stdout, "the folder of an earlier scan is no log"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("nowhere",), "nowhere: No such file"),
        ((), "name files or folders"),
        (("logs", "--since", "soon"), "expected a date"),
        (("logs", "--fail-on", "harm>0"), "flagged>0"),
        (("logs", "--fail-on", "flagged@lunch>0"), "STEP"),
        (("logs", "--monitor", "oracle"), "oracle"),
        (("logs", "--monitor", "bad.yaml"), "bad.yaml:"),
        (("logs", "--suppressions", "bad.yaml"), "bad.yaml:1"),
        (("logs", "--mapping", "bad.yaml"), "bad.yaml"),
        (("logs", "--watch", "--json"), "--watch"),
    ],
)
def test_wrong_input_gets_one_clear_line(
    logs: Path, tmp_path: Path, args: tuple[str, ...], says: str
) -> None:
    (tmp_path / "bad.yaml").write_text("schema: custodes.nothing/1\n")
    done = custodes("scan", *args, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_a_format_that_nothing_knows_gets_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(range(256)) * 10)
    done = custodes("scan", "x.bin", "--json", cwd=tmp_path)
    assert done.returncode == 3
    (entry,) = document(done)["unreadable"]
    assert "known format" in entry["reason"]


@pytest.mark.parametrize(
    ("threshold", "code"),
    [("flagged>0", 1), ("flagged>50", 0), ("flagged@persist>0", 0), ("unreadable>0", 0)],
)
def test_thresholds_for_ci(logs: Path, tmp_path: Path, threshold: str, code: int) -> None:
    done = custodes("scan", logs, "--json", "--fail-on", threshold, cwd=tmp_path)
    assert done.returncode == code, done.stderr


def test_what_could_not_be_read_counts_against_the_threshold(logs: Path, tmp_path: Path) -> None:
    (logs / "bad.json").unlink()
    assert custodes("scan", logs, "--fail-on", "flagged>0", cwd=tmp_path).returncode == 0
    (logs / "cut.eval").write_bytes(b"PK\x03\x04")
    done = custodes("scan", logs, "--fail-on", "flagged>0", cwd=tmp_path)
    assert done.returncode == 1
    assert "1 unknown" in done.stderr


def test_local_says_what_it_looked_at(tmp_path: Path) -> None:
    home = tmp_path / "home"
    log = home / ".claude" / "projects" / "-w" / "s.jsonl"
    log.parent.mkdir(parents=True)
    record = {
        "type": "assistant", "uuid": "1", "parentUuid": None, "sessionId": "s", "cwd": "/w",
        "version": "2.1.329", "timestamp": "2026-11-01T00:00:00.000Z",
        "message": {
            "id": "m", "role": "assistant", "model": "m",
            "content": [
                {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": FLAGGED}}
            ],
        },
    }  # fmt: skip
    log.write_text(json.dumps(record) + "\n")
    cleared = dict.fromkeys(
        ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_DATA_HOME", "GEMINI_CLI_HOME"), ""
    )
    done = custodes("scan", "--local", cwd=tmp_path, HOME=str(home), **cleared)
    assert "claude-code: 1 session files" in done.stdout
    for client in ("codex", "gemini-cli", "opencode"):
        assert f"{client}: 0 session files" in done.stdout
    assert str(home / ".codex") in done.stdout
    assert "s.jsonl" in done.stdout.partition("flagged")[2]


def test_hostile_text_stays_text_on_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b]8;;http://evil.example\x07\x1b[2J\u202e{{7*7}}<script>"
    write(tmp_path / "logs" / "x.json", f"{FLAGGED} # {evil}", f"cat '~/.ssh/{evil}'", task=evil)
    done = custodes("scan", "logs", cwd=tmp_path)
    shown = done.stdout + done.stderr
    assert done.returncode in (0, 3)
    assert not [c for c in shown if not c.isprintable() and c != "\n"]
    assert "\u202e" not in shown


def test_watch_tells_each_finding_once_and_follows_growing_folders(
    logs: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "custodes", "scan", str(logs), "--watch", "--interval", "0.2"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    page = tmp_path / "custodes-scan" / "findings.json"
    try:
        _until(lambda: page.exists() and json.loads(page.read_text())["transcripts"] == 2)
        write(logs / "later.json", FLAGGED, task="Later.")
        _until(lambda: json.loads(page.read_text())["transcripts"] == 3)
        time.sleep(0.5)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    lines = [line for line in out.splitlines() if line.startswith("flagged")]
    assert len(lines) == len(set(lines)) > 0
    assert "later.json" in out and "bad.json" in out
    assert not list((tmp_path / "custodes-scan").glob(".*")), "no journal is left"


def _until(true: Any) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("did not come")


def test_a_killed_scan_goes_on_where_it_was(logs: Path, tmp_path: Path) -> None:
    for number in range(30):
        write(logs / f"n{number}.json", FLAGGED, task=f"Do {number}.")
    whole = custodes("scan", logs, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "custodes", "scan", str(logs), "--out", "cut"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    journal = tmp_path / "cut" / ".scan-journal.jsonl"
    for _ in range(10_000):
        if process.poll() is not None or (journal.exists() and journal.stat().st_size > 5_000):
            break
        time.sleep(0.001)
    process.kill()
    process.wait()
    done = custodes("scan", logs, "--out", "cut", cwd=tmp_path)
    assert done.returncode == 0
    first, second = (
        json.loads((tmp_path / name / "findings.json").read_text()) for name in ("whole", "cut")
    )
    assert [f["id"] for f in first["findings"]] == [f["id"] for f in second["findings"]]
    assert first["totals"] == second["totals"]


def test_effects_of_one_command(tmp_path: Path) -> None:
    done = custodes("effects", "echo cm0gLXJmIH4vd29yaw== | base64 -d | sh", "--json", cwd=tmp_path)
    assert done.returncode == 0
    assert document(done) == {
        "schema": "custodes.effects/1",
        "effects": [{"kind": "delete", "target": "~/work", "known": "decoded"}],
    }
    python = custodes("effects", "--python", "open('a', 'w')", "--json", cwd=tmp_path)
    assert document(python)["effects"] == [{"kind": "write", "target": "a", "known": "stated"}]


def test_neither_needs_inspect(logs: Path, tmp_path: Path, shared_data: Path) -> None:
    log = shared_data / "inspect_logs" / "inspect-action__small.eval"
    code = (
        "import sys; sys.modules['inspect_ai'] = None; sys.modules['inspect_scout'] = None\n"
        "from custodes.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "scan", str(log), str(logs), "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 3), done.stderr
    assert document(done)["transcripts"] == 8


def test_a_file_name_that_is_no_text_is_shown_as_an_escape(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    log = write(tmp_path / "logs" / "x.json", FLAGGED)
    os.rename(log, os.fsencode(log.parent) + b"/\xff\xfe.json")
    done = custodes("scan", "logs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "custodes-scan" / "findings.json").read_text())
    assert any("\\xff\\xfe.json" in f["transcript"] for f in found["findings"])
