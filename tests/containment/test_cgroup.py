"""Control groups of sandboxes: in a delegated group of the test's own, and in imitated folders.

No machine here hands out a memory controller with version 2, so that the limits are tested as what
is written, in a folder of plain files.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.containment import Limits, Sandbox, SandboxError, SandboxSpec, SandboxUnavailable
from custodes.containment import _cgroup as cgroup

from .cgroup_world import delegated_group

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]

SLEEPERS = "for i in $(seq {}); do setsid sleep 100 >/dev/null 2>&1 & done"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def group() -> Iterator[Path]:
    with delegated_group() as folder:
        yield folder


# ---------------------------------------------------------------------- in a real group


async def test_a_sandbox_has_a_group_of_its_own_that_goes_with_it(group: Path) -> None:
    async with await Sandbox.start() as box:
        assert box.cgroup is not None and box.cgroup.parent == group
        assert (box.cgroup / "cgroup.procs").read_text().split() == [str(box.init_pid)]
        inside = (await box.exec(["cat", "/proc/self/cgroup"])).stdout.decode()
        assert f"/{box.cgroup.name}\n" in inside, "the first command is in it"
    assert [path for path in group.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("processes", [20, pytest.param(480, marks=pytest.mark.slow)])
async def test_the_kernel_kills_a_whole_group(group: Path, processes: int) -> None:
    async with await Sandbox.start() as box:
        await box.exec(["sh", "-c", SLEEPERS.format(processes)])
        pids = [process.pid for process in box.processes()]
        assert len(pids) == processes + 1
        receipt = await box.kill(by="cgroup")
        assert receipt.verified and receipt.guaranteed and receipt.mechanism == "cgroup"
        assert receipt.processes_before == processes
        assert not any(os.path.exists(f"/proc/{pid}") for pid in pids if pid != box.init_pid)
        assert not box.alive and box.ended_because == ""
        assert await box.kill() == receipt, "a second order finds the same receipt"


async def test_a_frozen_group_is_held_and_can_be_killed(group: Path) -> None:
    async with await Sandbox.start() as box:
        await box.exec(["sh", "-c", "setsid sh -c 'while :; do echo x >> beat; done' >&- 2>&- &"])
        receipt = await box.freeze()
        assert receipt.verified and receipt.mechanism == "cgroup"
        await box.thaw()
        assert (await box.exec(["echo", "on"])).stdout == b"on\n"
        await box.freeze()
        assert (await box.kill(by="cgroup")).verified


async def test_without_a_group_the_kernel_is_not_said_to_have_killed_one() -> None:
    async with await Sandbox.start() as box:
        if box.cgroup is not None:
            pytest.skip("this user's own group is delegated to it")
        with pytest.raises(SandboxError, match="name a delegated one in CUSTODES_CGROUP"):
            await box.kill(by="cgroup")
        assert box.alive
        assert (await box.kill()).mechanism == "namespace"


async def test_what_bounds_a_sandbox_is_said(group: Path) -> None:
    controllers = (group / "cgroup.controllers").read_text().split()
    async with await Sandbox.start() as box:
        memory = "cgroup" if "memory" in controllers else "watcher"
        processes = "cgroup" if "pids" in controllers else "rlimit"
        assert box.bounds == {"memory": memory, "processes": processes, "disk": "watcher"}
    free = Limits(memory_mb=0, processes=0, disk_mb=0)
    async with await Sandbox.start(SandboxSpec(limits=free)) as box:
        assert set(box.bounds.values()) == {"none"}


async def test_groups_left_by_a_killed_host_are_removed(group: Path) -> None:
    gone = group / "unit-4194305-7"  # above any pid
    mine = group / f"unit-{os.getpid()}-7"
    others = group / "batch-4194305-7"
    for folder in (gone, mine, others):
        folder.mkdir()
    assert cgroup.remove_abandoned(group) == 0, "its maker may be about to fill it"
    time.sleep(cgroup._NEW_SECONDS + 0.1)
    async with await Sandbox.start() as box:
        assert box.cgroup is not None
        assert cgroup.remove_abandoned(group) == 1
        assert not gone.exists() and mine.exists() and others.exists() and box.cgroup.exists()


# ---------------------------------------------------------------------- a named group


async def test_a_named_group_that_cannot_be_used_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUSTODES_CGROUP", str(tmp_path))
    with pytest.raises(SandboxUnavailable, match="lies in none") as refused:
        await Sandbox.start()
    assert "\n" not in str(refused.value)
    with pytest.raises(SandboxUnavailable, match="CUSTODES_CGROUP"):
        cgroup.delegated_cgroup("/nowhere")
    monkeypatch.setattr(cgroup, "_mounts", lambda: [(tmp_path, "/")])
    with pytest.raises(SandboxUnavailable, match="expected a control group"):
        cgroup.delegated_cgroup(tmp_path / "missing")


async def test_a_named_group_that_takes_no_process_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And the sandbox that was started is gone again."""
    (tmp_path / "cgroup.procs").touch()
    monkeypatch.setattr(cgroup, "_mounts", lambda: [(tmp_path, "/")])
    assert cgroup.delegated_cgroup(tmp_path) == tmp_path.resolve()
    monkeypatch.setenv("CUSTODES_CGROUP", str(tmp_path))
    (tmp_path / f"unit-{os.getpid()}-1").mkdir()
    (tmp_path / f"unit-{os.getpid()}-1" / "cgroup.procs").mkdir()
    with pytest.raises(SandboxUnavailable, match="check the delegation, or unset CUSTODES_CGROUP"):
        cgroup.Cgroup.make(1)


# ---------------------------------------------------------------------- limits, imitated


@pytest.fixture
def imitation(tmp_path: Path) -> cgroup.Cgroup:
    for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max"):
        (tmp_path / name).write_text("max\n")
    return cgroup.Cgroup(tmp_path)


def test_limits_are_written_where_there_are_controllers(imitation: cgroup.Cgroup) -> None:
    imitation._bound({"memory": 100 << 20, "pids": 560})
    written = {path.name: path.read_text().strip() for path in imitation.folder.iterdir()}
    assert written == {
        "memory.max": str(100 << 20), "memory.swap.max": "0", "memory.oom.group": "1",
        "pids.max": "560",
    }  # fmt: skip
    assert imitation.controls == {"memory", "pids"}


def test_a_limit_is_not_claimed_where_there_is_no_controller(imitation: cgroup.Cgroup) -> None:
    (imitation.folder / "memory.max").unlink()
    imitation._bound({"memory": 100 << 20, "pids": 0})
    assert imitation.controls == frozenset()
    assert (imitation.folder / "pids.max").read_text() == "max\n", "0 is no limit"
    assert (imitation.folder / "memory.oom.group").read_text() == "max\n"


def test_a_limit_that_the_kernel_refuses_is_an_error(imitation: cgroup.Cgroup) -> None:
    (imitation.folder / "memory.max").unlink()
    (imitation.folder / "memory.max").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        imitation._bound({"memory": 100 << 20})
    assert imitation.controls == frozenset()


def test_controllers_are_handed_on_once(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory\n")
    cgroup._enable(tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +pids\n"
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    cgroup._enable(tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "cpu memory pids\n"


async def test_a_kill_by_the_kernel_for_memory_is_named_as_such(
    imitation: cgroup.Cgroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not imitation.out_of_memory()
    (imitation.folder / "memory.events").write_text("low 0\nmax 9\noom 1\noom_kill 3\n")
    assert imitation.out_of_memory()
    async with await Sandbox.start() as box:
        monkeypatch.setattr(box, "_cgroup", imitation)
        assert box.ended_because == "", "it lives"
        os.kill(box.init_pid, 9)
        with pytest.raises(SandboxUnavailable, match=r"was ended \(memory: the kernel ended"):
            await box.exec(["true"])
        assert "at 4096 MiB" in box.ended_because
        monkeypatch.setattr(box, "_cgroup", None)


def test_mounts_are_found_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
        "31 24 0:27 /a\\040b /srv/with\\040space rw - cgroup2 none rw\n"
        "32 24 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    monkeypatch.setattr(Path, "read_text", lambda *_: text)
    assert cgroup._mounts() == [(Path("/sys/fs/cgroup"), "/"), (Path("/srv/with space"), "/a b")]
