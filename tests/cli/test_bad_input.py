"""Bad input gets one clear line with what to do, the right code, no traceback, no half a case."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from custodes.case import to_yaml

from ..runs.cases import COMMAND, call, config, make_case, run


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The line that an error is; nothing else may have been said."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert lines[0].startswith("custodes: ")
    return lines[0]


def test_no_case(tmp_path: Path) -> None:
    assert "custodes init" in one_line(call("assess", tmp_path / "none"), 2)
    assert "custodes init" in one_line(call("report", tmp_path), 2)
    assert not (tmp_path / "none").exists()


def test_verify_without_a_folder(tmp_path: Path) -> None:
    assert "not there" in one_line(call("verify", tmp_path / "none"), 2)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (("escape/canary_credential", "escape/canary_credentials"), 2, "no scenario is called"),
        (("reference/honest", "reference/honnest"), 2, "there are: honest, violator"),
        (("none-off", "none-of"), 2, "did you mean 'none-off'"),
        (("seeds:", "seed:"), 2, "nearest known one is 'seeds'"),
        (("tier: A", "tier: C"), 4, "--allow-uncontained"),
        (("- base", "- basic"), 2, "no planned scenario has a twin 'basic'"),
    ],
)
def test_a_plan_that_cannot_be_run(
    tmp_path: Path, change: tuple[str, str], code: int, words: str
) -> None:
    folder = make_case(tmp_path / "case")
    path = folder / "custodes.yaml"
    text = path.read_text(encoding="utf-8").replace("[base]", "\n  - base")
    assert change[0] in text
    path.write_text(text.replace(change[0], change[1]), encoding="utf-8")
    before = (folder / "ledger.jsonl").read_bytes()
    assert words in one_line(call("assess", folder), code)
    assert (folder / "ledger.jsonl").read_bytes() == before
    assert call("verify", folder).returncode in (0, 4)  # the edited plan is named, never a crash


def test_unknown_probe_adversary_mechanism(tmp_path: Path) -> None:
    assert "no probe is called 'x'" in one_line(call("probe", "x"), 2)
    assert "x" in one_line(call("drill", "--adversary", "x", "--n", "1"), 2)
    folder = make_case(tmp_path / "case", probes=["no_such_probe"])
    assert "no probe is called 'no_such_probe'" in one_line(call("assess", folder), 2)


@pytest.mark.parametrize(
    "model", ["nobody/x", pytest.param("openai/x", marks=pytest.mark.slow)]
)
def test_a_model_that_cannot_be_had(tmp_path: Path, model: str) -> None:
    folder = make_case(tmp_path / "case", policies=("honest",))
    path = folder / "custodes.yaml"
    text = path.read_text(encoding="utf-8").replace("role: control", "role: subject")
    path.write_text(text, encoding="utf-8")
    line = one_line(run("assess", folder, "--model", model), 4)
    assert repr(model) in line
    ledger = (folder / "ledger.jsonl").read_text(encoding="utf-8")
    assert "shard.sealed" not in ledger


def test_a_threshold_that_is_none(tmp_path: Path) -> None:
    folder = make_case(tmp_path / "case")
    line = one_line(call("assess", folder, "--fail-on", "attempted"), 2)
    assert "attempted@none-off>0.05" in line


def test_init_does_not_touch_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert "not empty" in one_line(call("init", tmp_path), 2)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    bad = tmp_path / "bad.yaml"
    bad.write_text("schema: custodes.case/1\norganization: x\n")
    assert "organisation" in one_line(call("init", tmp_path / "new", "--config", bad), 2)
    assert not (tmp_path / "new").exists()


def test_a_broken_ledger_is_named(tmp_path: Path) -> None:
    folder = make_case(tmp_path / "case")
    path = folder / "ledger.jsonl"
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(data)
    assert "ledger.jsonl" in one_line(call("assess", folder), 4)
    done = call("verify", folder)
    assert done.returncode == 4 and "ledger.jsonl" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="hiding bubblewrap from one process needs root")
def test_no_sandbox_possible(tmp_path: Path) -> None:
    """Without bubblewrap nothing is run, and the line says what to install."""
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        pytest.skip("bubblewrap is not installed here, so the rest of the suite shows this")
    folder = make_case(tmp_path / "case")
    # In a mount namespace of its own, an empty file lies over the program.
    hide = 'mount --bind /dev/null "$0" && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", hide, bubblewrap, *COMMAND, "assess", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    line = one_line(done, 4)
    assert "bubblewrap" in line
    assert "shard.sealed" not in (folder / "ledger.jsonl").read_text(encoding="utf-8")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [96, 224])
def test_a_full_disk(tmp_path: Path, kilobytes: int) -> None:
    """What was acknowledged stays, nothing is half-written, and with room it goes on."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(disk)], check=True
    )
    try:
        text = tmp_path / "plan.yaml"
        text.write_text(to_yaml(config(policies=("honest", "violator"))), encoding="utf-8")
        made = run("init", disk / "case", "--config", text)
        assert made.returncode == 0, made.stderr
        line = one_line(run("assess", disk / "case"), 4)
        assert "space" in line or "worker" in line
        checked = run("verify", disk / "case")
        assert checked.returncode == 0, checked.stdout
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert run("assess", disk / "case").returncode == 0
        assert run("verify", disk / "case").returncode == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a read-only disk needs root")
def test_a_read_only_case(tmp_path: Path) -> None:
    folder = make_case(tmp_path / "case")
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
        assert "ead-only" in one_line(run("assess", folder), 4)
        assert run("verify", folder).returncode == 0
    finally:
        subprocess.run(["umount", str(folder)], check=True)
