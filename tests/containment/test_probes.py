"""Probes find a way out where there is one, and say contained only where they could have."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from custodes.containment import Limits, SandboxSpec
from custodes.containment import _sandbox as sandbox_module
from custodes.containment.probes import (
    Canaries,
    Family,
    Probe,
    ProbeMatrix,
    ProbeResult,
    Report,
    Sight,
    _files,
    _harness,
    _model,
    probe,
    registered,
    run_probes,
)
from custodes.types import Tier

ROOT = os.geteuid() == 0


def run(*names: str, **settings: Any) -> ProbeMatrix:
    return anyio.run(lambda: run_probes(names or None, **settings))


def results(matrix: ProbeMatrix) -> dict[str, str]:
    return {result.name: result.result for result in matrix.probes}


@pytest.fixture(scope="module")
def tier_a() -> ProbeMatrix:
    return run()


@pytest.fixture(scope="module")
def tier_c() -> ProbeMatrix:
    return run(tier=Tier.C)


# --- the tiers as they are -------------------------------------------------------------------


def test_nothing_gets_out_of_tier_a(tier_a: ProbeMatrix) -> None:
    assert [result.to_json() for result in tier_a.of("escaped")] == []
    if ROOT:
        # As an ordinary user some controls need rights that nobody gives them.
        assert [result.to_json() for result in tier_a.of("untested")] == []


def test_every_contained_has_a_control_that_escaped(
    tier_a: ProbeMatrix, tier_c: ProbeMatrix
) -> None:
    for result in (*tier_a.of("contained"), *tier_c.of("contained")):
        assert result.control == "escaped", result
    for result in tier_a.of("untested"):
        assert result.detail, result


def test_plain_subprocesses_are_not_contained(tier_c: ProbeMatrix) -> None:
    """The same probes can say escaped, in every family that has to do with the tier."""
    escaped = tier_c.of("escaped")
    assert len(escaped) >= 25, results(tier_c)
    assert {result.family for result in escaped} >= set(Family) - {Family.SECRETS}
    assert {result.receipt for result in escaped} == {"host", "self"}


def test_there_are_probes_enough_of_every_family_and_the_host_sees_half_of_them() -> None:
    probes = registered().values()
    assert len(probes) >= 20
    assert {cls.family for cls in probes} == set(Family)
    assert sum(cls.receipt == "host" for cls in probes) * 2 >= len(probes)
    for cls in probes:
        assert cls.name.startswith(f"{cls.family.value}.")
        assert cls.description().endswith(".")
        assert cls.attempts() or cls.drive is not Probe.drive


def test_the_document_keeps_its_contract(tier_a: ProbeMatrix) -> None:
    document = json.loads(json.dumps(tier_a.to_json()))
    assert document["schema"] == "custodes.probes/1" and document["tier"] == "A"
    assert [row["name"] for row in document["probes"]] == list(registered())
    for row in document["probes"]:
        assert row.keys() >= {"name", "family", "result", "receipt", "control", "detail"}
        assert row["result"] in ("contained", "escaped", "untested")
        assert row["receipt"] in ("host", "self")
        assert row["control"] in ("escaped", "failed")


def test_the_document_does_not_say_which_host_it_was(
    tier_a: ProbeMatrix, tier_c: ProbeMatrix
) -> None:
    text = json.dumps([tier_a.to_json(), tier_c.to_json()])
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    command = Path("/proc/cmdline").read_text().strip()
    assert boot not in text and (not command or command not in text)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    os.chmod(tmp_path, 0o755)
    for folder in tmp_path.parents[:3]:
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            os.chmod(folder, 0o755)
    before_descriptors = set(os.listdir("/proc/self/fd"))
    before_environment = dict(os.environ)
    matrix = run()
    assert matrix.of("escaped") == ()
    assert list(tmp_path.iterdir()) == []
    assert dict(os.environ) == before_environment
    assert len(set(os.listdir("/proc/self/fd")) - before_descriptors) <= 2
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for child in children:
        assert b"sleep" not in Path(f"/proc/{child}/cmdline").read_bytes()


# --- a tier with a hole is caught ------------------------------------------------------------


@pytest.fixture
def exposed(tmp_path: Path) -> Path:
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/tmp"):
            os.chmod(folder, 0o755)
    root = tmp_path / "shared"
    root.mkdir()
    return root


def test_a_read_only_bind_of_the_canaries_lets_them_be_read_and_not_changed(exposed: Path) -> None:
    spec = SandboxSpec(read_only=((exposed, str(exposed)),))
    found = results(run("files.read_outside", "files.write_outside", spec=spec, canaries=exposed))
    assert found == {"files.read_outside": "escaped", "files.write_outside": "contained"}


def test_a_writable_bind_of_the_canaries_lets_everything_happen_to_them(exposed: Path) -> None:
    names = (
        "files.append_to_audit_log",
        "files.delete_outside",
        "files.plant_start_up_file",
        "files.read_outside",
        "files.write_outside",
        "harness.link_for_reading",
        "harness.link_for_writing",
        "network.file_unix_socket",
    )
    spec = SandboxSpec(workspace_host=exposed, workspace=str(exposed))
    assert results(run(*names, spec=spec, canaries=exposed)) == dict.fromkeys(names, "escaped")


def test_a_sandbox_on_the_hosts_network_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    change_arguments(monkeypatch, lambda words: [w for w in words if w != "--unshare-net"])
    names = ["abstract_unix_socket", "tcp_host_loopback", "udp_host_loopback"]
    names = [f"network.{name}" for name in names]
    assert results(run(*names)) == dict.fromkeys(names, "escaped")


def test_a_sandbox_without_a_filter_of_system_calls_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    monkeypatch.setattr(sandbox_module, "seccomp_program", lambda: allow)
    matrix = run(
        "privilege.io_uring",
        "privilege.performance_events",
        "harness.cripple_executor",
        "network.odd_families",
    )
    assert len(matrix.of("escaped")) >= 2, results(matrix)
    assert results(matrix)["harness.cripple_executor"] == "escaped"


def test_a_sandbox_that_sees_the_hosts_processes_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bind(words: list[str]) -> list[str]:
        where = words.index("--proc")
        return [*words[:where], "--ro-bind", "/proc", "/proc", *words[where + 2 :]]

    change_arguments(monkeypatch, bind)
    assert results(run("processes.see_others")) == {"processes.see_others": "escaped"}


def test_a_sandbox_without_limits_is_caught() -> None:
    names = ("resources.large_file", "resources.many_processes")
    spec = SandboxSpec(limits=Limits(processes=0, file_mb=0))
    assert results(run(*names, spec=spec)) == dict.fromkeys(names, "escaped")


def change_arguments(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[list[str]], list[str]]
) -> None:
    """Start sandboxes with other arguments to bubblewrap."""
    real = subprocess.Popen

    class Changed(real):  # type: ignore[valid-type, misc]
        def __init__(self, args: Any, *rest: Any, **settings: Any) -> None:
            if isinstance(args, list) and "--unshare-net" in args:
                args = change(list(args))
            super().__init__(args, *rest, **settings)

    monkeypatch.setattr(subprocess, "Popen", Changed)


# --- an instrument that does not work says nothing -------------------------------------------


def control_of(matrix: ProbeMatrix) -> ProbeResult:
    (result,) = matrix.probes
    return result


def test_a_probe_whose_control_does_not_escape_is_untested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def timid(c: Canaries) -> str | None:
        return None

    monkeypatch.setattr(_files.ReadOutside, "attempt", staticmethod(timid))
    result = control_of(run("files.read_outside"))
    assert (result.result, result.control) == ("untested", "failed")
    assert "control did not escape" in result.detail


def test_a_probe_that_fails_of_itself_is_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    """It escapes on the bare host and breaks inside: that is no containment."""

    def fragile(c: Canaries) -> str | None:
        with open(c["path"], "r+") as file:
            file.write("changed")
        return None

    def broken(c: Canaries) -> str | None:
        import os

        if not os.path.exists(c["path"]):
            raise RuntimeError("written with the host in mind")
        with open(c["path"], "r+") as file:
            file.write("changed")
        return None

    monkeypatch.setattr(_files.WriteOutside, "attempt", staticmethod(fragile))
    assert control_of(run("files.write_outside")).result == "contained"
    monkeypatch.setattr(_files.WriteOutside, "attempt", staticmethod(broken))
    result = control_of(run("files.write_outside"))
    assert (result.result, result.control) == ("untested", "escaped")
    assert "written with the host in mind" in result.detail


def test_an_attempt_that_hangs_or_dies_is_untested(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(c: Canaries) -> str | None:
        import os

        if os.path.exists(c["path"]):
            with open(c["path"], "r+") as file:
                file.write("changed")
        os._exit(3)

    monkeypatch.setattr(_files.WriteOutside, "attempt", staticmethod(dies))
    result = control_of(run("files.write_outside"))
    assert (result.result, result.control) == ("untested", "escaped")


def test_a_false_claim_from_inside_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def boasts(c: Canaries) -> str | None:
        import os

        return open(c["path"]).read() if os.path.exists(c["path"]) else "I have read it all"

    monkeypatch.setattr(_files.ReadOutside, "attempt", staticmethod(boasts))
    result = control_of(run("files.read_outside"))
    assert (result.result, result.control) == ("contained", "escaped")


def test_an_executor_that_died_is_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness sees that it no longer answers, whatever the attempt says."""

    async def dead(self: Any, place: Any) -> None:
        await place.end()
        self.answers = await place.answers(self.executor)

    monkeypatch.setattr(_harness.KillExecutor, "drive", dead)
    assert control_of(run("harness.kill_executor")).result == "escaped"


# --- the registry ----------------------------------------------------------------------------


def test_an_unknown_probe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"nearest is 'files\.read_outside'"):
        run("files.read_outsid")
    with pytest.raises(ValueError, match="at least one"):
        anyio.run(lambda: run_probes([]))
    with pytest.raises(ValueError, match="tier A or C"):
        run("files.read_outside", tier=Tier.B)


def test_a_probe_registers_itself_once_and_says_what_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_model, "_REGISTRY", dict(_model._REGISTRY))

    class AskTheTime(Probe):
        """Ask for the time."""

        family = Family.IDENTITY
        receipt = "self"

        @staticmethod
        def attempt(c: Canaries) -> str | None:
            return "noon"

        async def verdict(self, report: Report) -> Sight:
            return Sight(reached=report.text == "noon", detail="asked")

    assert probe(AskTheTime).name == "identity.ask_the_time"
    assert control_of(run("identity.ask_the_time")).result == "escaped"
    with pytest.raises(ValueError, match="two probes"):
        probe(AskTheTime)

    class Silent(Probe):
        family = Family.IDENTITY
        receipt = "self"

    Silent.__doc__ = ""
    with pytest.raises(ValueError, match="docstring"):
        probe(Silent)


def test_progress_reaches_the_end() -> None:
    told: list[tuple[int, int]] = []
    run("files.read_outside", "files.write_outside", progress=lambda *now: told.append(now))
    assert told[-1] == (2, 2)
