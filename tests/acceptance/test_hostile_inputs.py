"""Folders, names and special files that a scan meets: none of them hides another's findings."""

from __future__ import annotations

import functools
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from .running import custodes, flagged, scanned, session, thief


def test_names_with_line_breaks_escapes_and_markup_are_scanned_and_shown_inert(
    tmp_path: Path,
) -> None:
    names = ["new\nline", "ansi\x1b[31mred", "bidi\u202eevil", "a #b", "<script>alert(1)"]
    for number, name in enumerate(names):
        thief(tmp_path / "logs" / name, f"s-{number}")
    done = custodes("scan", "logs", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout) & {"\x1b", "\u202e"}
    assert "<script>alert(1)" not in (tmp_path / "out" / "report.html").read_text()
    assert len({f["session"] for f in flagged(scanned("logs", cwd=tmp_path))}) == len(names)


def test_a_name_that_is_no_utf8_hides_no_findings(tmp_path: Path) -> None:
    thief(tmp_path / "logs" / "good.log")
    odd = os.path.join(os.fsencode(tmp_path), b"logs", b"bad\xff.log")
    with open(odd, "wb") as file:
        file.write(b"{}")
    assert flagged(scanned("logs", cwd=tmp_path))
    assert custodes("scan", "logs", "--out", "out", cwd=tmp_path).returncode == 0


@pytest.mark.slow
def test_a_deep_folder_hides_no_findings(tmp_path: Path) -> None:
    thief(tmp_path / "good.log")
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(1100):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(here)
    try:
        assert flagged(scanned(".", cwd=tmp_path))
    finally:
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


@pytest.mark.slow
def test_a_pipe_is_told_as_unreadable(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    try:
        found = scanned("pipe", cwd=tmp_path, seconds=15)
    except subprocess.TimeoutExpired:
        pytest.fail("the scan hangs on a pipe")
    assert found["unreadable"]


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/proc/self/status"])
def test_what_is_no_plain_file_is_told_as_unreadable(path: str, tmp_path: Path) -> None:
    if not os.path.exists(path):
        pytest.skip(f"no {path} here")
    thief(tmp_path / "good.log")
    found = scanned(path, "good.log", cwd=tmp_path)
    assert [entry["path"] for entry in found["unreadable"]] == [path]
    assert flagged(found)


def test_pipes_sockets_and_loops_of_links_in_a_folder_do_no_harm(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    thief(logs / "good.log")
    os.mkfifo(logs / "pipe")
    (logs / "loop").symlink_to(".")
    (logs / "a").symlink_to("b")
    (logs / "b").symlink_to("a")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(logs)
        try:
            listener.bind("s")
        finally:
            os.chdir(here)
        assert len(flagged(scanned("logs", cwd=tmp_path))) >= 1


def test_logs_that_are_mounted_through_links_are_read(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    thief(tmp_path / "elsewhere" / "s.log")
    (tmp_path / "logs" / "s.log").symlink_to(tmp_path / "elsewhere" / "s.log")
    assert flagged(scanned("logs", cwd=tmp_path))


@pytest.mark.parametrize("how", ["node_modules", "venv"])
def test_what_a_walk_leaves_out_is_told(how: str, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    thief(logs / how / "s.log")
    done = custodes("scan", "logs", "--out", "out", cwd=tmp_path)
    assert how in done.stdout + done.stderr


def test_what_cannot_be_read_is_accounted_for_and_hides_nothing(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    thief(logs / "good.log")
    (logs / "empty.json").write_bytes(b"")
    (logs / "deep.json").write_text("[" * 10_000 + "]" * 10_000)
    (logs / "binary").write_bytes(b"\x7fELF\x00\x01\xff")
    (logs / "cut.eval").write_bytes(b"PK\x03\x04cut")
    (logs / "README.md").write_text("# Hello\n")
    found = scanned("logs", cwd=tmp_path)
    assert {os.path.basename(e["path"]) for e in found["unreadable"]} == {
        "empty.json", "deep.json", "binary", "cut.eval",
    }  # fmt: skip
    assert [os.path.basename(e["path"]) for e in found["without_transcript"]] == ["README.md"]
    assert flagged(found)


def test_reports_of_an_earlier_scan_are_no_logs(tmp_path: Path) -> None:
    thief(tmp_path / "good.log")
    custodes("scan", "good.log", "--out", "earlier", cwd=tmp_path)
    found = scanned(".", cwd=tmp_path)
    assert found["unreadable"] == []
    assert found["transcripts"] == 1


def _many(folder: Path, count: int) -> None:
    for number in range(count):
        if number % 50:
            steps = [("user", f"Task {number}"), ("run", f"git diff HEAD~{number}", "ok")]
            session(folder / f"{number}.log", *steps, name=f"s-{number}")
        else:
            thief(folder / f"{number}.log", f"s-{number}")


def _started(folder: Path) -> subprocess.Popen[bytes]:
    """A scan of ``logs`` into ``out`` that has begun to write its journal."""
    command = [sys.executable, "-m", "custodes", "scan", "logs", "--out", "out", "--jobs", "1"]
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    journal = folder / "out" / ".scan-journal.jsonl"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 2000):
        time.sleep(0.01)
    return process


@pytest.mark.slow
def test_of_two_scans_into_one_folder_one_finishes_and_the_other_says_why(tmp_path: Path) -> None:
    _many(tmp_path / "logs", 3000)
    first = _started(tmp_path)
    second = custodes("scan", "logs", "--out", "out", cwd=tmp_path, seconds=120)
    told = first.communicate(timeout=120)[1].decode() + second.stderr
    assert "defect" not in told
    assert 0 in (first.returncode, second.returncode)


@pytest.mark.slow
def test_interrupted_and_resumed_gives_the_same_findings(tmp_path: Path) -> None:
    _many(tmp_path / "logs", 2000)
    whole = [f["id"] for f in scanned("logs", cwd=tmp_path)["findings"]]
    interrupted = 0
    for after in (0, 0.05, 0.3):
        process = _started(tmp_path)
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1].decode()
        assert "Traceback" not in told
        interrupted += "goes on where it stopped" in told
    assert interrupted
    assert custodes("scan", "logs", "--out", "out", cwd=tmp_path).returncode == 0
    resumed = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert [f["id"] for f in resumed["findings"]] == whole


def test_a_reader_of_the_output_who_leaves_gets_no_traceback(tmp_path: Path) -> None:
    thief(tmp_path / "good.log")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "custodes", "scan", "good.log", "--json"]
    process = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert process.returncode == 4
    assert process.stderr == b""


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    thief(tmp_path / "good.log")
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "custodes", "scan", "good.log", "--json"]
        process = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE)
    assert process.returncode == 4
    assert process.stderr.decode().count("\n") == 1


@pytest.fixture
def address(tmp_path: Path) -> str:
    pytest.importorskip("aiohttp")
    thief(tmp_path / "served" / "s.log")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "served"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}/s.log"


def test_an_http_address_is_scanned(address: str, tmp_path: Path) -> None:
    assert flagged(scanned(f"http://{address}", cwd=tmp_path))


def test_a_password_in_an_address_is_not_repeated(tmp_path: Path) -> None:
    done = custodes("scan", "http://dana:hunter2secret@127.0.0.1:1/x", cwd=tmp_path)
    assert done.returncode == 2
    assert "hunter2secret" not in done.stderr


@pytest.mark.parametrize("address", ["memory://nothing", "bogus://x/y", "nosuch"])
def test_an_address_without_anything_is_a_usage_error(address: str, tmp_path: Path) -> None:
    done = custodes("scan", address, cwd=tmp_path)
    assert done.returncode == 2
    assert address in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_bucket_without_credentials_is_no_defect_of_custodes(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    done = custodes(
        "scan",
        "s3://bucket/logs",
        cwd=tmp_path,
        HOME=str(tmp_path),
        AWS_EC2_METADATA_DISABLED="true",
    )
    assert "defect" not in done.stderr


def test_a_chained_address_is_refused_with_a_reason(tmp_path: Path) -> None:
    done = custodes("scan", f"zip://s.log::{tmp_path}/logs.zip", cwd=tmp_path)
    assert done.returncode == 2
    assert "chained" in done.stderr and done.stderr.count("\n") == 1


def test_ids_stay_over_moves_growth_order_and_processes(tmp_path: Path) -> None:
    paths = [thief(tmp_path / "a" / f"{number}.log", f"s-{number}") for number in range(6)]
    before = sorted(f["id"] for f in scanned("a", cwd=tmp_path)["findings"])
    assert len(set(before)) == len(before) > 6
    with paths[0].open("a") as file:
        file.write(
            '{"timestamp":"2026-11-20T18:00:00.000Z","type":"response_item","payload":'
            '{"type":"message","role":"assistant","content":[{"type":"output_text","text":"ok"}]}}\n'
        )
    (tmp_path / "a").rename(tmp_path / "b")
    moved = [f"b/{number}.log" for number in reversed(range(6))]
    after = scanned(*moved, "--jobs", "2", cwd=tmp_path)
    assert sorted(f["id"] for f in after["findings"]) == before


@pytest.mark.slow
def test_a_bomb_of_merge_keys_in_suppressions_is_refused(tmp_path: Path) -> None:
    thief(tmp_path / "good.log")
    lines = ["a0: &a0 {k: v}"]
    for number in range(1, 28):
        before = f"*a{number - 1}"
        lines.append(f"a{number}: &a{number} {{<<: [{before}, {before}, {before}]}}")
    lines += ["schema: custodes.suppressions/1", "suppressions: []"]
    (tmp_path / "s.yaml").write_text("\n".join(lines))
    try:
        done = custodes("scan", "good.log", "--suppressions", "s.yaml", cwd=tmp_path, seconds=20)
    except subprocess.TimeoutExpired:
        pytest.fail("the file of suppressions keeps the scan busy")
    assert done.returncode == 2
