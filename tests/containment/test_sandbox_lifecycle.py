"""Starting and ending under bad conditions: no bubblewrap, a killed host, an ordinary user."""

from __future__ import annotations

import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from custodes.containment import (
    Limits,
    Sandbox,
    SandboxSpec,
    SandboxUnavailable,
    _cgroup,
    _processes,
    _sandbox,
    _volumes,
    detect_tier,
)
from custodes.types import Tier

from .ordinary import portable, run_as_nobody

_ = portable  # a fixture

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# ---------------------------------------------------------------------- tiers


async def test_the_tier_is_tried_out_and_reported() -> None:
    report = await detect_tier()
    assert report.available is Tier.A and report.state(Tier.A).usable
    assert "gone" in report.state(Tier.A).reason
    assert report.bubblewrap and report.bubblewrap[0].isdigit()
    assert report.executor in ("c", "python")
    assert not report.state(Tier.B).usable and "not built" in report.state(Tier.B).reason
    assert "NOT CONTAINED" in report.state(Tier.C).reason
    assert json.loads(json.dumps(report.to_json()))["available"] == "A"


async def test_without_bubblewrap_the_reason_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)
    report = await detect_tier()
    assert report.available is None and report.bubblewrap is None
    assert "apt-get install bubblewrap" in report.state(Tier.A).reason


async def test_on_another_architecture_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    report = await detect_tier()
    assert report.available is None and not report.seccomp
    assert "riscv64" in report.state(Tier.A).reason


async def test_a_bubblewrap_that_fails_is_quoted_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Below /tmp itself: a folder of the test's own would be closed to the launching uid.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        fake = Path(folder) / "bwrap"
        fake.write_text(
            "#!/bin/sh\n"
            'if [ "$1" = --help ]; then exec /usr/bin/bwrap --help; fi\n'
            "echo 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n"
        )
        fake.chmod(0o755)
        monkeypatch.setattr(_sandbox, "find_bubblewrap", lambda: str(fake))
        with pytest.raises(SandboxUnavailable) as refused:
            await Sandbox.start()
        assert "setting up uid map: Permission denied; check" in str(refused.value)
        assert "\n" not in str(refused.value)
        restricted = Path(folder) / "restricted"
        restricted.write_text("1\n")
        monkeypatch.setattr(_sandbox, "_USERNS_SWITCHES", ((str(restricted), "1", "do this"),))
        with pytest.raises(SandboxUnavailable, match="forbids user namespaces; do this"):
            await Sandbox.start()


async def test_an_old_bubblewrap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        _sandbox, "bubblewrap_options", lambda _: frozenset({"--die-with-parent", "--seccomp"})
    )
    with pytest.raises(SandboxUnavailable, match=r"0\.6 or newer, found one without --as-pid-1"):
        await Sandbox.start()


async def test_a_start_that_fails_or_is_cancelled_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Path] = []
    make = _volumes.make_volume

    def counted() -> Path:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(_volumes, "make_volume", counted)
    with pytest.raises(SandboxUnavailable):
        await Sandbox.start(SandboxSpec(read_only=((Path("/nowhere"), "/srv/x"),)))
    descriptors = len(os.listdir("/proc/self/fd"))
    for delay in (0, 0.001, *(number / 2000 for number in range(1, 40))):
        with anyio.move_on_after(delay):
            async with await Sandbox.start():
                pass
    assert len(made) > 1 and not any(path.exists() for path in made)
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert strays(made) == []


def strays(volumes: list[Path]) -> list[int]:
    """Processes, of whatever parent, that were started for one of these volumes."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes()
            except OSError:
                continue
            if any(f"{volume}/meta/".encode() in line for volume in volumes):
                found.append(int(entry))
    return found


async def test_the_executor_killed_from_outside_is_noticed() -> None:
    async with await Sandbox.start() as box:
        os.kill(box.init_pid, signal.SIGKILL)
        with anyio.fail_after(10):
            while box.alive:
                await anyio.sleep(0.005)
        with pytest.raises(SandboxUnavailable, match="ended"):
            await box.exec(["true"])
        assert (await box.kill()).verified


async def test_custodes_below_usr_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    target = next(p for p in ("/usr/lib/python3/dist-packages", "/usr/share/doc") if os.listdir(p))
    monkeypatch.setattr(_sandbox, "masked_paths", lambda: (target,))
    async with await Sandbox.start() as box:
        assert (await box.exec(["ls", "-A", target])).stdout == b""
        assert (await box.exec(["touch", f"{target}/x"])).returncode != 0


# ---------------------------------------------------------------------- the host dies

HOST = """
import asyncio, os, sys, threading
from custodes.containment import Sandbox

async def main():
    boxes = [await Sandbox.start() for _ in range(2)]
    for box in boxes:
        await box.exec(["sh", "-c", "for i in 1 2 3; do setsid sleep 1000 >/dev/null 2>&1 & done"])
    await boxes[1].freeze()
    print(*[f"{box.init_pid} {box.workspace_host.parent}" for box in boxes], sep="\\n", flush=True)
    print("ready", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


def members(namespace: str) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") == namespace:
                    found.append(int(entry))
            except OSError:
                pass
    return found


@pytest.mark.parametrize(
    "repeat", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, 20))]
)
def test_a_host_that_is_killed_leaves_no_process_and_its_folders_are_swept(repeat: int) -> None:
    host = subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    lines = list(iter(host.stdout.readline, "ready\n"))
    try:
        namespaces = [os.readlink(f"/proc/{line.split()[0]}/ns/pid") for line in lines]
        volumes = [Path(line.split()[1]) for line in lines]
        assert [len(members(namespace)) for namespace in namespaces] == [4, 4]
        _volumes.sweep()
        assert all(volume.is_dir() for volume in volumes), "its maker is alive"
    finally:
        host.kill()
        host.wait()
    end = time.monotonic() + 10
    while any(members(namespace) for namespace in namespaces) and time.monotonic() < end:
        time.sleep(0.005)
    assert not any(members(namespace) for namespace in namespaces)
    _volumes.sweep()
    while any(volume.exists() for volume in volumes) and time.monotonic() < end:
        time.sleep(0.005)  # another process of this user may be sweeping as well
    assert not any(volume.exists() for volume in volumes)


STARTING = """
import asyncio
from custodes.containment import Sandbox

async def main():
    print("ready", flush=True)
    while True:
        boxes = await asyncio.gather(Sandbox.start(), Sandbox.start())
        for box in boxes:
            await box.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_a_host_that_is_killed_while_it_starts_sandboxes_leaves_nothing(
    temporary: Path, kills: int
) -> None:
    chance = random.Random(7)
    for _ in range(kills):
        host = subprocess.Popen(
            [sys.executable, "-c", STARTING],
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": str(temporary)},
        )
        assert host.stdout is not None
        host.stdout.readline()
        time.sleep(chance.random() * 0.1)
        host.kill()
        host.wait()
        host.stdout.close()
    _wait_for(lambda: not _mentioning(temporary))
    # The one that was killed between two system calls of bubblewrap is ended by the next sweep.
    _volumes.sweep()
    _wait_for(lambda: not _mentioning(temporary))
    assert _mentioning(temporary) == []
    for path in temporary.iterdir():  # some had no marker yet; they have to age
        os.utime(path, (0, 0))
    _volumes.sweep()
    assert list(temporary.iterdir()) == []


def _wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def _mentioning(folder: Path) -> list[int]:
    return strays([folder / path.name for path in folder.iterdir()])


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def test_only_folders_whose_maker_is_certainly_gone_are_swept(temporary: Path) -> None:
    def volume(name: str, **changes: object) -> Path:
        made = _volumes.make_volume().rename(temporary / f"vol-{name}")
        marker = json.loads((made / "owner").read_text())
        (made / "owner").write_text(json.dumps(marker | changes))
        return made

    gone = 4_194_305  # above any pid
    kept = [
        volume("mine"),
        volume("namespace", pid=gone, namespace="pid:[1]"),
        volume("schema", pid=gone, schema="other/1"),
        volume("kind", pid="x"),
    ]
    bare = temporary / "vol-bare"
    bare.mkdir()
    target = temporary / "kept"
    shutil.copytree(volume("copy", pid=gone), target)
    (temporary / "vol-link").symlink_to(target)
    garbled = volume("garbled")
    (garbled / "owner").write_text("{")
    others = temporary / "vol-12345678"  # not ours: there is something in it
    others.mkdir()
    (others / "data").write_text("x")
    kept.append(others)
    unfinished = temporary / "vol-abcdefgh"
    unfinished.mkdir()
    (unfinished / "owner").touch()
    fresh = temporary / "vol-ijklmnop"
    fresh.mkdir()
    kept.append(fresh)
    for folder in (others, unfinished, bare):
        os.utime(folder, (0, 0))
    swept = [
        unfinished,
        volume("gone", pid=gone),
        volume("reused", start=1),
        volume("boot", boot="another", namespace="pid:[1]"),
        temporary / "vol-copy",
    ]
    if os.geteuid() == 0:
        foreign = volume("foreign", pid=gone)
        os.chown(foreign, 65534, 65534)
        kept.append(foreign)
    (swept[1] / "data" / "shut").mkdir()
    (swept[1] / "data" / "shut").chmod(0)
    assert _volumes.sweep() == len(swept)
    assert not any(path.exists() for path in swept)
    assert all(path.exists() for path in [*kept, bare, target, garbled, temporary / "vol-link"])


async def test_whatever_an_agent_leaves_in_its_folder_goes_with_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    unwatched = SandboxSpec(limits=Limits(disk_mb=0))  # which would end it meanwhile
    async with await Sandbox.start(unwatched) as box:
        volume = box.workspace_host.parent
        (box.workspace_host / "link").symlink_to(tmp_path / "kept")
        litter = (
            "import os\n"
            "os.mkfifo('pipe'); os.mkdir('shut'); open('shut/x', 'w'); os.chmod('shut', 0)\n"
            "for _ in range(1500):\n    os.mkdir('d'); os.chdir('d')\n"
        )
        assert (await box.exec(["python3", "-c", litter])).success
    assert not volume.exists()
    assert (tmp_path / "kept" / "file").exists()


async def test_processes_that_ran_between_two_scans_are_not_called_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when two wake each other in turn, so that each scan finds both stopped."""
    scans = iter([{1: 5}, {1: 6}, {1: 7}, {1: 7}])
    monkeypatch.setattr(_processes, "_threads", lambda _: (next(scans), True))
    monkeypatch.setattr(_processes, "send", lambda *_: True)
    receipt = await _processes.stop_all(lambda: [77], lambda _: True, started_ns=0)
    assert receipt.verified and receipt.rounds == 4 and receipt.processes == 1


# ---------------------------------------------------------------------- an ordinary user

UNPRIVILEGED = """
import asyncio, json, os, sys, time
sys.path.insert(0, sys.argv[1])
os.environ["DEPLOY_TOKEN"] = "hunter2-unprivileged"
from custodes.containment._detect import detect_tier
from custodes.containment._sandbox import Sandbox
from custodes.containment._spec import Limits, SandboxSpec

async def main():
    found = {"uid": os.getuid(), "tier": (await detect_tier()).available}
    for kind in sys.argv[2].split(","):
        found[kind] = seen = {}
        spec = SandboxSpec(executor=kind, limits=Limits(processes=40), workspace="/home/dev/w")
        async with await Sandbox.start(spec) as box:
            seen["executor"] = box.executor
            await box.write_file("a/b", b"x")
            run = lambda text, **more: box.exec(["sh", "-c", text], **more)
            seen["own"] = (await run("stat -c %U . a a/b | uniq; id -u")).stdout.decode().split()
            seen["secret"] = b"hunter2" in (await run("env; cat /proc/*/environ 2>&1")).stdout
            seen["first"] = (await run(
                "kill -9 1; kill -STOP 1; ls /proc/1/fd; renice 19 1;"
                "echo 1 > /proc/1/oom_score_adj; prlimit --pid 1 --nofile=3;"
                "echo $(cut -d' ' -f19 /proc/1/stat)")).stdout.decode()
            seen["userns"] = (await run("unshare -U true")).returncode
            seen["read"] = (await box.read_file("a/b")).decode()
            fd = await box.listen(8080)
            os.close(fd)
            await run("setsid sh -c 'while :; do echo x >> beat; done' >/dev/null 2>&1 &")
            await asyncio.sleep(0.1)
            receipt = await box.freeze()
            seen["frozen"] = [receipt.verified, receipt.processes, receipt.mechanism]
            await box.thaw()
            await box.exec(["bash", "-c", ":(){ :|:& };: >/dev/null 2>&1 & sleep 0.3"])
            seen["bomb"] = len(box.processes())
            seen["group"] = box._cgroup is not None
            receipt = await box.kill()
            seen["killed"] = [receipt.verified, receipt.processes_before > 1]
            volume = box.workspace_host.parent
        seen["gone"] = not volume.exists()
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become another user")
def test_an_ordinary_user_has_the_same_walls(portable: Path) -> None:
    kinds = [*(["c"] if shutil.which("cc") else []), "python"]
    found = json.loads(run_as_nobody(portable, UNPRIVILEGED, ",".join(kinds)))
    assert found["uid"] == 65534 and found["tier"] == "A"
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    for kind in kinds:
        seen = found[kind]
        bomb = seen.pop("bomb")
        assert 1 < bomb <= 43
        assert seen == {
            "executor": kind, "own": ["dev", "1000"], "secret": False, "first": f"{nice}\n",
            "userns": 1, "read": "x", "frozen": [True, 1, "signal"], "group": False,
            "killed": [True, True], "gone": True,
        }  # fmt: skip


def test_root_does_not_take_what_it_may_write_for_delegated() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may write everywhere")
    folder = _cgroup._own_cgroup()
    if folder is None:
        pytest.skip("no version 2 control groups here")
    marked = False
    for name in ("trusted.delegate", "user.delegate"):
        try:
            marked |= os.getxattr(folder, name) == b"1"
        except OSError:
            pass
    assert (_cgroup.delegated_cgroup() is not None) == marked


@pytest.mark.skipif(
    os.geteuid() != 0 or os.environ.get("CUSTODES_TEST_CGROUP") != "1",
    reason="makes a control group of this machine: set CUSTODES_TEST_CGROUP=1 and be root",
)
def test_in_a_delegated_control_group_the_kernels_freezer_is_used(portable: Path) -> None:
    parent = _cgroup._own_cgroup()
    assert parent is not None
    folder = parent / f"delegated-{os.getpid()}"
    folder.mkdir()
    try:
        for path in (folder, folder / "cgroup.procs", folder / "cgroup.subtree_control"):
            os.chown(path, 65534, 65534)
        found = json.loads(
            run_as_nobody(
                portable, UNPRIVILEGED, "python", wrap=f"echo $$ > {folder}/cgroup.procs;"
            )
        )["python"]
        assert found["group"] and found["frozen"] == [True, 1, "cgroup"]
        assert found["killed"] == [True, True] and found["gone"]
    finally:
        folder.rmdir()


@pytest.mark.slow
async def test_sixty_four_at_once() -> None:
    boxes: list[Sandbox] = []

    async def one() -> None:
        box = await Sandbox.start(SandboxSpec(limits=Limits(processes=20)))
        boxes.append(box)
        assert (await box.exec(["true"])).returncode == 0

    try:
        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(one)
        assert len({box.init_pid for box in boxes}) == 64
        receipts = [await box.kill() for box in boxes]
        assert all(receipt.verified for receipt in receipts)
    finally:
        for box in boxes:
            await box.close()


class Held:
    """What this process holds of the machine, to be compared."""

    def __init__(self, folder: Path) -> None:
        self.descriptors = sorted(
            target
            for entry in os.listdir("/proc/self/fd")
            if (target := _target(f"/proc/self/fd/{entry}")) is not None
        )
        self.threads = len(os.listdir("/proc/self/task"))
        self.mounts = Path("/proc/self/mountinfo").read_text("utf-8", "replace").count(str(folder))
        self.folders = sorted(os.listdir(folder))
        self.children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
        self.processes = _mentioning(folder)


def _target(link: str) -> str | None:
    try:
        return os.readlink(link).partition(":")[0]  # a pipe's number says nothing
    except OSError:
        return None  # of the listing itself


@pytest.mark.parametrize("count", [40, pytest.param(1000, marks=pytest.mark.slow)])
async def test_one_after_the_other_leaves_nothing(temporary: Path, count: int) -> None:
    async def one(number: int) -> None:
        async with await Sandbox.start() as box:
            command = "sleep 1000 >/dev/null 2>&1 & echo x > f; echo y > /tmp/f"
            assert (await box.exec(["sh", "-c", command], input=b"z" * number)).success
            if number % 4 == 1:
                assert (await box.freeze()).verified
            elif number % 4 == 2:
                os.close(await box.listen(8000))
            elif number % 4 == 3:
                assert (await box.exec(["sleep", "9"], timeout=0.01)).timed_out
            if number % 2:
                assert (await box.kill()).verified

    for number in range(8):  # what is opened once and kept is open from here on
        await one(number)
    before = Held(temporary)
    for number in range(count):
        await one(number)
    after = Held(temporary)
    assert after.folders == before.folders == []
    assert after.mounts == before.mounts == 0
    assert after.processes == [] and after.children == before.children
    assert after.descriptors == before.descriptors
    assert after.threads <= before.threads
