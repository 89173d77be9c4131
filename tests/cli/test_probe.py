"""``custodes probe`` and ``custodes tiers`` as a user meets them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.cli import _probe
from custodes.containment._engine import engine_state

from ..runs.cases import call, run

NAMES = ("files.read_outside", "files.write_outside")
PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stdout == ""
    line = done.stderr.strip()
    assert line.startswith("custodes: ") and "\n" not in line
    return line


def test_the_matrix_of_a_command_keeps_its_contract() -> None:
    done = run("probe", *NAMES, "--command", "env", "--python", PYTHON, "--json")
    document = json.loads(done.stdout)
    assert (document["tier"], document["command"]) == ("command", "env")
    assert [probe["name"] for probe in document["probes"]] == list(NAMES)
    for probe in document["probes"]:
        assert set(probe) >= {"name", "family", "result", "receipt", "control", "detail"}
        assert (probe["result"], probe["control"]) == ("escaped", "escaped")
    assert done.returncode == 4 and done.stderr == ""


def test_the_text_is_grouped_counted_and_names_the_openings() -> None:
    done = run("probe", *NAMES, "resources.large_file", "--command", "env", "--python", PYTHON)
    lines = done.stdout.splitlines()
    assert lines[0] == "files: 0 contained, 2 escaped, 0 untested"
    assert "resources: 0 contained, 0 escaped, 1 untested" in lines
    openings = lines[lines.index("openings:") + 1 : -1]
    assert [line.split()[0] for line in openings] == list(NAMES)
    assert lines[-1] == "command env: 0 contained, 2 escaped, 1 untested"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--command", "false"), 4, "nothing was tested: expected that the command runs"),
        (("--command", "no-such-program-here"), 4, "found 'no-such-program-here'"),
        (("--command", "sh -c 'sleep 60'", "--timeout", "0.5"), 4, "within 0.5 s"),
        (("--command", "sh -c 'x"), 2, "No closing quotation"),
        (("--command", "env", "--tier", "A"), 2, "exclude each other"),
        (("--command", "env", "--workspace-inside", "/w"), 2, "{workspace}"),
        (("--workspace-inside", "/w"), 2, "goes with --command"),
    ],
)
def test_what_cannot_be_probed_is_one_line(
    arguments: tuple[str, ...], code: int, said: str
) -> None:
    start = call if code == 2 else run
    assert said in one_line(start("probe", NAMES[0], *arguments), code)


@pytest.mark.parametrize(
    "arguments",
    [("--timeout", "0"), ("--timeout", "soon"), ("--canaries", "/no/such"), ("--tier", "Z")],
)
def test_a_bad_option_is_refused(arguments: tuple[str, ...]) -> None:
    done = call("probe", NAMES[0], "--command", "env", *arguments)
    assert done.returncode == 2 and "Traceback" not in done.stderr


def test_what_was_probed_does_not_reach_the_terminal() -> None:
    """Details quote what somebody else wrote: text for a reader, not for a terminal."""
    shown = _probe._shown("\x1b[2J\x1b]0;owned\x07\r\nnext \x9b31m \ud800 \u202e" + "x" * 1000)
    assert shown.isprintable() and len(shown) < 200
    assert shown.startswith(r"\x1b[2J\x1b]0;owned\x07 next \x9b31m")


def test_tiers_are_tried_and_said() -> None:
    done = call("tiers", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "custodes.tiers/1"
    assert [state["tier"] for state in document["tiers"]] == ["A", "A'", "B", "C"]
    for state in document["tiers"]:
        assert state["reason"] and "\n" not in state["reason"]
    assert done.returncode == (2 if document["available"] is None else 0)
    text = call("tiers").stdout
    for word in ("tier A ", "tier A'", "bubblewrap", "seccomp", "control group", "kernel"):
        assert word in text


def test_no_containing_tier_is_a_configuration_error_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from click.testing import CliRunner

    from custodes import containment
    from custodes.cli import _tiers
    from custodes.containment import TierReport, TierState
    from custodes.types import Tier

    async def nothing() -> TierReport:
        why = "AppArmor forbids user namespaces (apparmor_restrict_unprivileged_userns)"
        return TierReport(
            available=None,
            tiers=(TierState(tier=Tier.A, usable=False, reason=why),),
            bubblewrap="0.9.0",
            kernel="6.8",
            machine="x86_64",
            seccomp=True,
            user_namespaces=why,
            cgroup=None,
            executor=None,
        )

    monkeypatch.setattr(containment, "detect_tier", nothing)
    done = CliRunner().invoke(_tiers.command)
    assert done.exit_code == 2
    assert "profile bwrap /usr/bin/bwrap" in done.stdout
    assert "apparmor_parser -r /etc/apparmor.d/bwrap" in done.stdout
    assert (
        "profile bwrap"
        in json.loads(CliRunner().invoke(_tiers.command, ["--json"]).stdout)["apparmor_profile"]
    )


def test_without_an_engine_tier_a_prime_is_refused_with_the_reason() -> None:
    usable, reason = engine_state()
    if usable:
        pytest.skip(f"there is an engine: {reason}")
    line = one_line(run("probe", NAMES[0], "--tier", "A'"), 2)
    assert "tier A' cannot be started here: no Docker engine" in line


@pytest.mark.slow
def test_tier_a_prime_takes_any_provider_of_inspect() -> None:
    pytest.importorskip("inspect_ai", reason="Inspect is not installed")
    done = run("probe", NAMES[0], "--tier", "A'", "--sandbox", "local", "--json",
               "--python", PYTHON)  # fmt: skip
    document = json.loads(done.stdout)
    assert (document["tier"], document["sandbox"]) == ("A'", "local")
    assert [probe["result"] for probe in document["probes"]] == ["escaped"]
    assert done.returncode == 4
    line = one_line(run("probe", NAMES[0], "--tier", "A'", "--sandbox", "no-such"), 2)
    assert "tier A' cannot be probed here: expected" in line and "no-such" in line


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder for temporary files that every user can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


def test_a_request_to_end_clears_up_as_an_interruption_does(passable: Path) -> None:
    # As a CI that cancels a step, or a shell that runs it in the background, does it.
    environment = {**os.environ, "TMPDIR": str(passable)}
    process = subprocess.Popen(
        [sys.executable, "-c", "from custodes.cli import main; main()", "probe"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    deadline = time.monotonic() + 60
    while not any(passable.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4 and out == ""
    assert err == "custodes: interrupted; what was planted has been removed\n"
    assert [path.name for path in passable.iterdir() if path.is_dir()] == []


def test_options_that_say_nothing_are_refused() -> None:
    for options, goes_with in (
        (("--sandbox", "foo"), "--tier A'"),
        (("--timeout", "5"), "--command or --tier A'"),
        (("--python", "x"), "--command or --tier A'"),
        (("--case", "x"), "--command"),
    ):
        assert f"{options[0]} goes with {goes_with}" in one_line(call("probe", *options), 2)


def test_a_family_stands_for_its_probes_and_the_list_is_json_when_asked() -> None:
    listed = json.loads(call("probe", "--list", "--json").stdout)
    identity = [probe["name"] for probe in listed if probe["family"] == "identity"]
    matrix = json.loads(run("probe", "identity", "--json").stdout)
    assert [probe["name"] for probe in matrix["probes"]] == identity
