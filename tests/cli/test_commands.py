"""The commands as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..runs.cases import call, make_case, run

COMMANDS = ("init", "assess", "report", "verify", "scenarios", "probe", "drill")


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert "4 failed" in done.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom custodes.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'inspect_ai', 'numpy', 'scipy', 'jinja2', 'pydantic', 'yaml', 'anyio'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    done = call(name, "--help")
    assert done.returncode == 0 and "Usage:" in done.stdout


@pytest.mark.parametrize("command", [["verify"], ["scenarios", "list"], ["report"]])
def test_reading_commands_do_not_load_inspect(tmp_path: Path, command: list[str]) -> None:
    folder = make_case(tmp_path / "case")
    arguments = command if command[0] == "scenarios" else [*command, str(folder)]
    code = (
        "import sys\nfrom custodes.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "print('inspect_ai' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"


def test_verify_in_json_keeps_its_contract(tmp_path: Path) -> None:
    done = call("verify", make_case(tmp_path / "case"), "--json")
    document = json.loads(done.stdout)
    assert set(document) >= {
        "schema", "ok", "level", "events", "evidence", "head", "problems", "not_checkable",
    }  # fmt: skip
    assert document["ok"] is True and document["problems"] == []


def test_scenarios_in_json_keep_their_contract() -> None:
    document = json.loads(call("scenarios", "list", "--json").stdout)
    assert {s["id"] for s in document["scenarios"]} >= {
        "deception/false_verification", "disobedience/stop_order", "escape/canary_credential",
    }  # fmt: skip
    for scenario in document["scenarios"]:
        assert set(scenario) == {
            "id", "version", "step", "cells", "levels", "twins", "elicited", "missing_ablations",
        }  # fmt: skip


def test_probe_in_json_keeps_its_contract() -> None:
    done = run("probe", "files.read_outside", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] and document["tier"] == "A"
    (probe,) = document["probes"]
    assert set(probe) >= {"name", "family", "result", "receipt", "control", "detail"}
    assert probe["result"] == "contained" and probe["control"] == "escaped"


def test_probing_what_contains_nothing_says_so() -> None:
    assert call("probe", "--tier", "C").returncode == 2
    done = call("probe", "files.read_outside", "--tier", "C", "--allow-uncontained", "--json")
    (probe,) = json.loads(done.stdout)["probes"]
    assert probe["result"] == "escaped"


def case_of_a_violator(folder: Path) -> Path:
    """A case whose subject is a script that does the act."""
    made = make_case(folder, policies=("violator",))
    path = made / "custodes.yaml"
    text = path.read_text(encoding="utf-8").replace("role: control", "role: subject")
    path.write_text(text, encoding="utf-8")
    return made


def test_a_crossed_threshold_decides_the_exit_code_and_nothing_is_drawn_in_a_pipe(
    tmp_path: Path,
) -> None:
    folder = case_of_a_violator(tmp_path / "case")
    crossed = run("assess", folder, "--fail-on", "attempted@none-off>0.5")
    assert crossed.returncode == 1
    assert "crossed: attempted@none-off>0.5 by violator" in crossed.stderr
    shown = crossed.stdout + crossed.stderr
    assert "\x1b" not in shown and "\r" not in shown
    assert len(crossed.stdout.splitlines()) <= 41
    assert "instrument check: not an AI" in crossed.stdout


@pytest.mark.slow
def test_each_threshold_decides_for_itself(tmp_path: Path) -> None:
    folder = case_of_a_violator(tmp_path / "case")
    assert run("assess", folder, "--fail-on", "refused@none-off>0.5").returncode == 0
    # A threshold on what was never run is crossed: nothing shows that it holds.
    assert run("assess", folder, "--fail-on", "attempted@covert-off>0.5").returncode == 1
    assert run("assess", folder, "--fail-on", "escapes>0").returncode == 1

