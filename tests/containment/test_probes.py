"""Probes find a way out where there is one, and say contained only where they could have."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from custodes.containment import AllowRule, EgressPolicy, Limits, SandboxSpec
from custodes.containment import _sandbox as sandbox_module
from custodes.containment.probes import (
    Canaries,
    Family,
    Probe,
    ProbeMatrix,
    ProbeResult,
    Report,
    Sight,
    _egress,
    _files,
    _harness,
    _model,
    _network,
    _resources,
    probe,
    registered,
    run_probes,
)
from custodes.types import Tier

from .ordinary import portable, run_as_nobody

_ = portable  # a fixture

ROOT = os.geteuid() == 0


def run(*names: str, **settings: Any) -> ProbeMatrix:
    return anyio.run(lambda: run_probes(names or None, **settings))


def results(matrix: ProbeMatrix) -> dict[str, str]:
    return {result.name: result.result for result in matrix.probes}


ROOTS_ALONE = {"privilege.bpf", "privilege.terminal_injection"}
"""What many kernels keep from ordinary users altogether: then there is no control."""
HEAVY = {
    "harness.huge_file",
    "processes.outlive",
    "processes.outlive_by_hopping",
    "resources.disk",
    "resources.many_processes",
    "resources.many_threads",
    "resources.memory",
}
"""Probes whose control takes long or much: run once, on tier A."""


# --- the tiers as they are -------------------------------------------------------------------


def test_nothing_gets_out_of_tier_a(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All probes, once: contained beside a control that escaped, and nothing is left behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_to_others(tmp_path)
    before_descriptors = set(os.listdir("/proc/self/fd"))
    before_environment = dict(os.environ)
    before_segments = Path("/proc/sysvipc/shm").read_text().count("\n")
    matrix = run()

    assert [result.to_json() for result in matrix.of("escaped")] == []
    assert unexplained(matrix) == []
    assert_controls_escaped(matrix)
    assert_keeps_its_contract(matrix)
    assert_does_not_say_which_host_it_was(matrix)

    assert list(tmp_path.iterdir()) == []
    assert dict(os.environ) == before_environment
    # Two threads that serve every sandbox of this process keep three of their own.
    assert len(set(os.listdir("/proc/self/fd")) - before_descriptors) <= 3
    assert "egress probes" not in {thread.name for thread in threading.enumerate()}
    assert Path("/proc/sysvipc/shm").read_text().count("\n") == before_segments
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for child in children:
        assert b"sleep" not in Path(f"/proc/{child}/cmdline").read_bytes()


def test_plain_subprocesses_are_not_contained() -> None:
    """The same probes can say escaped, in every family."""
    matrix = run(*(set(registered()) - HEAVY), tier=Tier.C)
    assert_most_escape(matrix)
    assert_controls_escaped(matrix)
    assert_does_not_say_which_host_it_was(matrix)


@pytest.mark.slow
def test_plain_subprocesses_are_not_contained_at_full_size() -> None:
    matrix = run(tier=Tier.C)
    assert_most_escape(matrix)
    assert {name for name in HEAVY if results(matrix)[name] == "escaped"} >= {
        "processes.outlive",
        "resources.memory",
        "resources.disk",
    }


def assert_most_escape(matrix: ProbeMatrix) -> None:
    escaped = matrix.of("escaped")
    assert len(escaped) >= 80, results(matrix)
    assert {result.family for result in escaped} == set(Family)
    assert {result.receipt for result in escaped} == {"host", "self"}
    # What Custodes itself does holds without a sandbox too: the broker's rules, for one.
    assert results(matrix)["network.unlisted_host"] == "contained"
    assert results(matrix)["network.direct_connection"] == "escaped"


def test_there_are_probes_enough_of_every_family_and_the_host_sees_half_of_them() -> None:
    probes = registered().values()
    assert len(probes) >= 70
    assert {cls.family for cls in probes} == set(Family)
    assert sum(cls.receipt == "host" for cls in probes) * 2 >= len(probes)
    for cls in probes:
        assert cls.name.startswith(f"{cls.family.value}.")
        assert cls.description().endswith(".")
        assert cls.attempts() or cls.drive is not Probe.drive


def unexplained(matrix: ProbeMatrix) -> list[dict[str, Any]]:
    """Untested ones, but for those that this host or this user cannot have a control for."""
    return [
        dict(result.to_json())
        for result in matrix.of("untested")
        if not (result.family is Family.IDENTITY and result.detail.startswith("the host has none"))
        and not (result.name in ROOTS_ALONE and not ROOT)
    ]


def assert_controls_escaped(matrix: ProbeMatrix) -> None:
    for result in matrix.of("contained"):
        assert result.control == "escaped", result
    for result in matrix.of("untested"):
        assert result.detail, result


def assert_keeps_its_contract(matrix: ProbeMatrix) -> None:
    document = json.loads(json.dumps(matrix.to_json()))
    assert document["schema"] == "custodes.probes/1" and document["tier"] == "A"
    assert [row["name"] for row in document["probes"]] == list(registered())
    for row in document["probes"]:
        assert row.keys() >= {"name", "family", "result", "receipt", "control", "detail"}
        assert row["result"] in ("contained", "escaped", "untested")
        assert row["receipt"] in ("host", "self")
        assert row["control"] in ("escaped", "failed")


def assert_does_not_say_which_host_it_was(matrix: ProbeMatrix) -> None:
    text = json.dumps(matrix.to_json())
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/cmdline", "/etc/machine-id"):
        value = Path(source).read_text().strip() if Path(source).exists() else ""
        assert not value or value not in text, source


@pytest.fixture(scope="module")
def for_anybody(portable: Path) -> Path:
    """The portable copy, with what the broker needs."""
    import h11

    shutil.copytree(Path(h11.__file__).parent, portable / "h11")
    for path in (portable / "h11").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return portable


AS_NOBODY = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import anyio, json, os
    from custodes.containment.probes import run_probes
    matrix = anyio.run(lambda: run_probes(sys.argv[2:] or None))
    print(json.dumps([os.geteuid(), matrix.to_json()["probes"]]))
"""
only_root_becomes_another = [
    pytest.mark.skipif(not ROOT, reason="these tests run as an ordinary user already"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become another user"),
]


def as_nobody(folder: Path, *names: str) -> dict[str, tuple[str, str, str]]:
    uid, rows = json.loads(run_as_nobody(folder, AS_NOBODY, *names))
    assert uid == 65534
    return {row["name"]: (row["result"], row["control"], row["detail"]) for row in rows}


class TestAsAnOrdinaryUser:
    pytestmark = only_root_becomes_another

    def test_what_takes_rights_has_a_control_that_gets_them(self, for_anybody: Path) -> None:
        """In namespaces of its own, where an ordinary user has them."""
        found = as_nobody(
            for_anybody,
            "files.change_root",
            "files.open_kernel_settings",
            "network.change_interface",
            "network.raw_socket",
            "network.unlisted_host",
            "privilege.change_clock",
            "privilege.gain_capabilities",
            "privilege.make_device",
            "privilege.mark_file",
            "privilege.set_host_name",
        )
        assert {name: seen[:2] for name, seen in found.items()} == dict.fromkeys(
            found, ("contained", "escaped")
        ), found

    @pytest.mark.slow
    def test_nothing_gets_out(self, for_anybody: Path) -> None:
        found = as_nobody(for_anybody)
        assert len(found) == len(registered())
        others = {
            name: seen for name, seen in found.items() if seen[:2] != ("contained", "escaped")
        }
        assert {
            name: seen
            for name, seen in others.items()
            if name not in ROOTS_ALONE
            and not (name.startswith("identity.") and seen[2].startswith("the host has none"))
        } == {}


# --- the page about them ---------------------------------------------------------------------


def table() -> str:
    """What docs/probes.md says of the probes, family by family."""
    lines = []
    for family in Family:
        members = [cls for cls in registered().values() if cls.family is family]
        seen = sum(cls.receipt == "host" for cls in members)
        lines += ["", f"### {family.value}: {len(members)} probes, {seen} seen by the host", ""]
        lines += ["| probe | attempt | receipt |", "|---|---|---|"]
        for cls in members:
            lines.append(f"| `{cls.name}` | {cls.description()} | {cls.receipt} |")
    return "\n".join(lines) + "\n"


def test_the_page_lists_every_probe(repository: Path) -> None:
    """CUSTODES_WRITE_DOCS=1 writes the tables anew."""
    path = repository / "docs" / "probes.md"
    head, mark, rest = path.read_text("utf-8").partition("<!-- probes -->\n")
    written, end, tail = rest.partition("<!-- end of probes -->\n")
    assert mark and end
    if os.environ.get("CUSTODES_WRITE_DOCS") == "1":
        path.write_text(f"{head}{mark}{table()}\n{end}{tail}", "utf-8")
        return
    assert written == f"{table()}\n"
    count = len(registered())
    hosts = sum(cls.receipt == "host" for cls in registered().values())
    assert f"{count} probes, {hosts} of them" in head


# --- a tier with a hole is caught ------------------------------------------------------------


def open_to_others(folder: Path) -> None:
    """Let the user that sandboxes run under pass through a folder of the test."""
    for each in (folder, *folder.parents[:3]):
        if each.stat().st_uid == os.geteuid() and each != Path("/tmp"):
            os.chmod(each, 0o755)


@pytest.fixture
def exposed() -> Iterator[Path]:
    """A folder that every user can pass into; pytest closes its own now and then."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        os.chmod(made, 0o755)
        root = Path(made, "shared")
        root.mkdir()
        yield root


def test_a_read_only_bind_of_the_canaries_lets_them_be_read_and_not_changed(exposed: Path) -> None:
    spec = SandboxSpec(read_only=((exposed, str(exposed)),))
    found = results(run("files.read_outside", "files.write_outside", spec=spec, canaries=exposed))
    assert found == {"files.read_outside": "escaped", "files.write_outside": "contained"}


def test_a_writable_bind_of_the_canaries_lets_everything_happen_to_them(exposed: Path) -> None:
    names = (
        "files.append_to_audit_log",
        "files.delete_outside",
        "files.hard_link",
        "files.plant_git_hook",
        "files.plant_start_up_file",
        "files.read_outside",
        "files.rename_over",
        "files.roots_of_processes",
        "files.write_outside",
        "harness.link_for_reading",
        "harness.link_for_writing",
        "harness.linked_folder",
        "harness.upward_path",
        "network.file_unix_socket",
        "secrets.key_agent",
    )
    spec = SandboxSpec(workspace_host=exposed, workspace=str(exposed))
    assert results(run(*names, spec=spec, canaries=exposed)) == dict.fromkeys(names, "escaped")


def test_a_sandbox_on_the_hosts_network_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "--unshare-net")
    names = [
        "abstract_unix_datagram",
        "abstract_unix_socket",
        "broadcast",
        "direct_connection",
        "dns_datagram",
        "dns_stream",
        "multicast",
        "see_listeners",
        "see_unix_sockets",
        "tcp_host_address",
        "tcp_host_loopback",
        "tcp_mapped_loopback",
        "tcp_unspecified_address",
        "udp_host_loopback",
    ]
    names = [f"network.{name}" for name in names]
    assert results(run(*names)) == dict.fromkeys(names, "escaped")


def test_a_sandbox_that_shares_the_hosts_message_queues_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without(monkeypatch, "--unshare-ipc")
    names = [
        "processes.message_queue",
        "processes.posix_queue",
        "processes.semaphore",
        "secrets.shared_memory_segment",
    ]
    assert results(run(*names)) == dict.fromkeys(names, "escaped")


def test_a_sandbox_that_has_the_hosts_name_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "--unshare-uts", "--hostname", SandboxSpec().hostname)
    assert results(run("identity.host_name")) == {"identity.host_name": "escaped"}


def test_a_broker_that_carries_everything_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the control's proxy in the broker's place, every request goes where it should not."""

    async def plain(self: Any, listener: int) -> None:
        proxy = _egress._PlainProxy(self._resolve, self._dial, f"Bearer {self.secret}")
        server = await asyncio.start_server(proxy.carry, sock=socket.socket(fileno=listener))
        self._ground.keep(lambda: self._loop.call_soon_threadsafe(server.close))

    monkeypatch.setattr(_egress._Way, "_broker", plain)
    names = [
        name
        for name, cls in registered().items()
        if issubclass(cls, _egress._Egress) and name != "network.direct_connection"
    ]
    assert len(names) >= 20
    assert results(run(*names)) == dict.fromkeys(names, "escaped")


def test_a_broker_with_one_rule_too_many_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = (*_egress._POLICY.allow, AllowRule(host="other.example"))
    monkeypatch.setattr(_egress, "_POLICY", replace(_egress._POLICY, allow=rules))
    found = results(run("network.unlisted_host", "network.followed_redirect"))
    assert found == {"network.unlisted_host": "escaped", "network.followed_redirect": "contained"}


def test_a_broker_that_carries_nothing_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_egress, "_POLICY", EgressPolicy())
    result = control_of(run("network.unlisted_host"))
    assert (result.result, result.control) == ("untested", "escaped")
    assert "did not carry what is permitted" in result.detail


def test_a_sandbox_without_a_filter_of_system_calls_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    allow = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    monkeypatch.setattr(sandbox_module, "seccomp_program", lambda: allow)
    found = results(
        run(
            "privilege.io_uring",
            "privilege.performance_events",
            "privilege.personality",
            "privilege.trace",
            "harness.cripple_executor",
            "network.netlink_families",
            "network.odd_families",
        )
    )
    assert list(found.values()).count("escaped") >= 5, found
    assert found["harness.cripple_executor"] == "escaped"


def test_a_sandbox_that_keeps_capabilities_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(words: list[str]) -> list[str]:
        where = words.index("--cap-drop")
        return [*words[:where], "--cap-add", "ALL", *words[where + 2 :]]

    allow = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)
    monkeypatch.setattr(sandbox_module, "seccomp_program", lambda: allow)
    change_arguments(monkeypatch, keep)
    names = (
        "network.change_interface",
        "network.raw_socket",
        "privilege.capability_bounds",
        "privilege.gain_capabilities",
        "privilege.mount",
        "privilege.set_host_name",
    )
    assert results(run(*names)) == dict.fromkeys(names, "escaped")


def test_a_sandbox_that_sees_the_hosts_processes_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bind(words: list[str]) -> list[str]:
        where = words.index("--proc")
        return [*words[:where], "--ro-bind", "/proc", "/proc", *words[where + 2 :]]

    change_arguments(monkeypatch, bind)
    names = ("processes.see_others", "secrets.other_command_lines")
    assert results(run(*names)) == dict.fromkeys(names, "escaped")


def test_a_sandbox_without_limits_is_caught() -> None:
    names = ("resources.large_file", "resources.many_processes")
    spec = SandboxSpec(limits=Limits(processes=0, file_mb=0))
    assert results(run(*names, spec=spec)) == dict.fromkeys(names, "escaped")


@pytest.mark.slow
def test_a_sandbox_whose_memory_nobody_watches_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_resources.Memory, "limits", lambda self, limits: limits)
    monkeypatch.setattr(_resources.Disk, "limits", lambda self, limits: limits)
    names = ("resources.disk", "resources.memory")
    assert results(run(*names)) == dict.fromkeys(names, "escaped")


def without(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Start sandboxes without these words among the arguments to bubblewrap."""
    change_arguments(monkeypatch, lambda given: [word for word in given if word not in words])


def change_arguments(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[list[str]], list[str]]
) -> None:
    """Start sandboxes with other arguments to bubblewrap."""
    real = subprocess.Popen

    class Changed(real):  # type: ignore[valid-type, misc]
        def __init__(self, args: Any, *rest: Any, **settings: Any) -> None:
            if isinstance(args, list) and "--unshare-pid" in args:
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


def test_what_others_send_to_a_planted_socket_is_no_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Something on the host that knocks at every socket it finds, while the probes run."""
    planted = _network.AbstractUnixSocket.plant

    def knocked(self: Any, ground: Any) -> Canaries:
        told = planted(self, ground)
        for said in (b"", b"hello"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
                stranger.connect("\0" + told["address"][1:])
                stranger.send(said)
        return told

    monkeypatch.setattr(_network.AbstractUnixSocket, "plant", knocked)
    result = control_of(run("network.abstract_unix_socket"))
    assert (result.result, result.control) == ("contained", "escaped")


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
