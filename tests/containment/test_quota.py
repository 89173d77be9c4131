"""Memory and disk of a sandbox are bounded without a control group, and it says so when it ends."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from custodes.containment import Limits, Sandbox, SandboxGone, SandboxSpec, _quota

from .ordinary import portable as portable
from .ordinary import run_as_nobody

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
    pytest.mark.skipif(
        not os.access("/usr/bin/python3", os.X_OK),
        reason="the attacks are Python programs, and there is no /usr/bin/python3",
    ),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds that hold where there is no control group."""
    monkeypatch.delenv("CUSTODES_CGROUP", raising=False)


async def ended(limits: Limits, program: str) -> str:
    """Why a sandbox ended in which this ran."""
    async with await Sandbox.start(SandboxSpec(limits=limits)) as box:
        with anyio.fail_after(30), pytest.raises(SandboxGone) as gone:
            await box.exec(["python3", "-c", program])
        assert box.ended_because in str(gone.value), "the error quotes it"
        assert not box.alive and (await box.kill()).verified
        return box.ended_because


def mib(because: str) -> int:
    return int(because.split()[1])


# ---------------------------------------------------------------------- memory

WORKERS = """
import os, time
for _ in range(4):
    if not os.fork():
        block = bytearray(60 << 20)
        for at in range(0, len(block), 4096): block[at] = 1
        time.sleep(60)
time.sleep(60)
"""
MEMFDS = """
import os, time
for _ in range(3):
    fd = os.memfd_create("x")
    for _ in range(60): os.write(fd, bytes(1 << 20))
time.sleep(60)
"""
SHARED = """
import mmap, time
block = mmap.mmap(-1, 180 << 20)
for at in range(0, len(block), 1 << 20):
    block[at:at + (1 << 20)] = bytes(1 << 20)
    block.madvise(mmap.MADV_DONTNEED, at, 1 << 20)
time.sleep(60)
"""


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(WORKERS, id="processes"),
        pytest.param(MEMFDS, id="files in memory"),
        pytest.param(
            SHARED,
            id="shared memory that it lets go of",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root sees such memory"),
        ),
    ],
)
async def test_a_sandbox_with_too_much_memory_is_ended(program: str) -> None:
    because = await ended(Limits(memory_mb=120), program)
    assert because.startswith("memory: ") and because.endswith(" MiB of 120 MiB")
    assert mib(because) > 120


async def test_one_process_does_not_get_as_much_as_the_sandbox_may_have() -> None:
    async with await Sandbox.start(SandboxSpec(limits=Limits(memory_mb=120))) as box:
        done = await box.exec(["python3", "-c", "bytearray(130 << 20)"])
        assert done.returncode == 1 and b"MemoryError" in done.stderr
        soft, hard = (await box.exec(["sh", "-c", "ulimit -Sd; ulimit -Hd"])).stdout.split()
        assert soft == hard == b"122880"
        assert box.alive and box.ended_because == ""


async def test_memory_that_workers_share_counts_once() -> None:
    program = """
import os, time
block = bytearray(60 << 20)
for at in range(0, len(block), 4096): block[at] = 1
for _ in range(5):
    if not os.fork(): time.sleep(60)
time.sleep(1.2)
print("held")
"""
    async with await Sandbox.start(SandboxSpec(limits=Limits(memory_mb=120))) as box:
        done = await box.exec(["python3", "-c", program])
        assert done.stdout == b"held\n" and box.alive


async def test_the_bound_holds_while_the_event_loop_is_held_up() -> None:
    async with await Sandbox.start(SandboxSpec(limits=Limits(memory_mb=120))) as box:
        await box.exec(["sh", "-c", 'setsid python3 -c "$0" >/dev/null 2>&1 &', WORKERS])
        end = time.monotonic() + 20
        while box.alive and time.monotonic() < end:
            time.sleep(0.05)  # nothing of asyncio runs meanwhile
        assert box.ended_because.startswith("memory: ")


async def test_without_a_bound_nothing_is_ended() -> None:
    limits = Limits(memory_mb=0, disk_mb=0)
    async with await Sandbox.start(SandboxSpec(limits=limits)) as box:
        grow = "import time; a = bytearray(50 << 20); open('f', 'wb').write(a); time.sleep(.4)"
        assert (await box.exec(["python3", "-c", grow])).returncode == 0
        assert box.ended_because == "" and box.bounds["memory"] == box.bounds["disk"] == "none"


async def test_an_ordered_kill_is_no_reason() -> None:
    async with await Sandbox.start() as box:
        await box.kill()
        assert box.ended_because == ""
        with pytest.raises(SandboxGone, match="has ended; start another"):
            await box.exec(["true"])


# ---------------------------------------------------------------------- disk

FILES = """
for number in range(40):
    with open(f"f{number}", "wb", 0) as file:
        for _ in range(5): file.write(bytes(1 << 20))
import time; time.sleep(60)
"""
UNNAMED = """
import os, time
kept = []
for number in range(40):
    kept.append(open("f", "wb", 0)); os.unlink("f")
    for _ in range(5): kept[-1].write(bytes(1 << 20))
time.sleep(60)
"""
LEVELS = """
import os, time
for _ in range(1000): os.mkdir("d"); os.chdir("d")
time.sleep(60)
"""
SHUT = """
import os, time
os.makedirs("a/b")
with open("a/b/f", "wb", 0) as file:
    os.chmod("a/b", 0); os.chmod("a", 0); os.chmod(".", 0)
    for _ in range(100): file.write(bytes(1 << 20))
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("program", "because"),
    [
        pytest.param(FILES, "MiB of 50 MiB", id="files"),
        pytest.param(UNNAMED, "MiB of 50 MiB", id="deleted files"),
        pytest.param(LEVELS, "folders 200 levels deep", id="folders in folders"),
        pytest.param(SHUT, "MiB of 50 MiB", id="in a folder that is shut"),
    ],
)
async def test_a_sandbox_with_too_much_disk_is_ended(program: str, because: str) -> None:
    found = await ended(Limits(disk_mb=50), program)
    assert found.startswith("disk: ") and because in found


async def test_what_a_command_leaves_behind_is_seen_when_it_has_ended() -> None:
    async with await Sandbox.start(SandboxSpec(limits=Limits(disk_mb=10))) as box:
        await box.exec(["sh", "-c", "for i in 1 2 3; do head -c 10000000 /dev/zero > $i; done"])
        with anyio.fail_after(10):
            while box.alive:
                await anyio.sleep(0.02)
        assert box.ended_because == "disk: 29 MiB of 10 MiB"


async def test_what_cannot_be_watched_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the thread goes on with the others."""
    limits = Limits(memory_mb=0, disk_mb=8)

    def broken(root: Path) -> int:
        raise RuntimeError("no walk today")

    with monkeypatch.context() as patched:
        patched.setattr(_quota, "allocated", broken)
        because = await ended(limits, "import time; time.sleep(20)")
    assert because == "unwatched: RuntimeError: no walk today"
    with monkeypatch.context() as patched:
        patched.setattr(_quota.Watcher, "look", lambda *_: broken(Path("/")))
        assert (await ended(limits, "import time; time.sleep(20)")).startswith("unwatched: ")
    assert (await ended(limits, FILES)).startswith("disk: ")


def test_a_walk_that_was_held_up_is_followed_by_no_long_pause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    walks: list[float] = []

    def slow(root: Path) -> int:
        time.sleep(0.3)  # as when the disk is busy: it costs no processor
        walks.append(time.monotonic())
        return 0

    monkeypatch.setattr(_quota, "allocated", slow)
    watch = _quota.Watch(
        namespace="", init_pid=0, memory=0, disk=1 << 40, workspace=tmp_path, end=print
    )
    end = time.monotonic() + 20
    while len(walks) < 2 and time.monotonic() < end:
        watch.look([], busy=True)
        time.sleep(0.01)
    assert 1 <= walks[1] - walks[0] < 5, "twenty times its duration would be six seconds"


async def test_too_many_files_are_too_much_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_quota, "MOST_ENTRIES", 500)
    program = "import time\nfor n in range(600): open(str(n), 'w')\ntime.sleep(60)"
    found = await ended(Limits(), program)
    assert found == "disk: more than 500 files"


def test_blocks_are_counted_as_the_system_counts_them(tmp_path: Path) -> None:
    inner = tmp_path / "w" / "d\udcff\n"
    inner.mkdir(parents=True)
    for number in range(20):
        (inner / f"f{number}").write_bytes(os.urandom(number * 3000))
    os.link(inner / "f19", tmp_path / "w" / "again")
    with open(inner / "sparse", "wb") as file:
        file.truncate(1 << 40)
    (inner / "out").symlink_to("/usr")
    (inner / "loop").symlink_to(".")
    os.mkfifo(inner / "pipe")
    done = subprocess.run(
        ["du", "-s", "--block-size=1", str(tmp_path / "w")], capture_output=True, check=True
    )
    folder = (tmp_path / "w").stat().st_blocks * 512  # du counts the folder itself
    assert _quota.allocated(tmp_path / "w") == int(done.stdout.split()[0]) - folder


def test_the_walk_needs_few_descriptors_and_leaves_none(tmp_path: Path) -> None:
    at = tmp_path
    for _ in range(_quota.MOST_LEVELS - 2):
        at = at / "d"
        at.mkdir()
    (at / "f").write_bytes(b"x" * 5000)
    before = len(os.listdir("/proc/self/fd"))
    assert _quota.allocated(tmp_path) > 5000
    (at / "d").mkdir()
    (at / "d" / "d").mkdir()
    with pytest.raises(_quota.OverQuota, match="levels deep"):
        _quota.allocated(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_tree_that_changes_all_the_time_is_walked(tmp_path: Path) -> None:
    script = (
        "import os, sys\nos.chdir(sys.argv[1])\nwhile True:\n"
        "  for n in range(9):\n"
        "    os.makedirs(f'd{n}/e', exist_ok=True); open(f'd{n}/e/f', 'w').write('x')\n"
        "    os.rename(f'd{n}', f'm{n}'); os.unlink(f'm{n}/e/f'); os.rmdir(f'm{n}/e')\n"
        "    os.rmdir(f'm{n}'); os.symlink('/usr', f'd{n}'); os.unlink(f'd{n}')\n"
    )
    churn = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    try:
        for _ in range(200):
            assert _quota.allocated(tmp_path) < 1 << 20, "a link was followed"
        assert churn.poll() is None
    finally:
        churn.kill()
        churn.wait()


# ---------------------------------------------------------------------- an ordinary user

AS_NOBODY = """
import asyncio, json, os, sys
sys.path.insert(0, sys.argv[1])
from custodes.containment._sandbox import Sandbox
from custodes.containment._spec import Limits, SandboxGone, SandboxSpec

async def main():
    seen = []
    for program in sys.argv[2:]:
        spec = SandboxSpec(limits=Limits(memory_mb=120, disk_mb=50))
        async with await Sandbox.start(spec) as box:
            try:
                await box.exec(["python3", "-c", program], timeout=20)
            except SandboxGone:
                pass
            seen.append([box.ended_because.split(":")[0], os.getuid()])
        if os.path.exists(box.workspace_host):
            seen.append("left behind")
    print(json.dumps(seen))

asyncio.run(main())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become another user")
def test_an_ordinary_user_has_the_same_bounds(portable: Path) -> None:
    """A process that hides from those of its user, and a folder shut to its owner, among them."""
    hidden = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n" + WORKERS
    seen = json.loads(run_as_nobody(portable, AS_NOBODY, hidden, MEMFDS, SHUT))
    assert seen == [["memory", 65534], ["memory", 65534], ["disk", 65534]]


# ---------------------------------------------------------------------- what it costs


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Processor seconds of each look."""
    seen: list[float] = []
    look = _quota.Watcher.look

    def timed(self: _quota.Watcher, watches: list[_quota.Watch]) -> None:
        before = time.thread_time()
        look(self, watches)
        seen.append(time.thread_time() - before)

    monkeypatch.setattr(_quota.Watcher, "look", timed)
    yield seen


async def test_a_sandbox_in_which_nothing_runs_is_not_looked_at(looks: list[float]) -> None:
    async with await Sandbox.start() as box:
        await box.exec(["true"])
        await anyio.sleep(0.6)
        looks.clear()
        await anyio.sleep(0.5)
        assert looks == []
        await box.exec(["sleep", "0.5"])
        assert looks


@pytest.mark.slow
async def test_sixty_four_sandboxes_are_watched_at_little_cost(looks: list[float]) -> None:
    boxes = [await Sandbox.start() for _ in range(64)]
    try:
        for box in boxes:
            await box.exec(["sh", "-c", "setsid sleep 100 >/dev/null 2>&1 &"])
        await anyio.sleep(2)
        looks.clear()
        started = time.monotonic()
        await anyio.sleep(5)
        share = sum(looks) / (time.monotonic() - started)
        assert looks and share < 0.10, f"{len(looks)} looks took {share:.1%} of a processor"
    finally:
        for box in boxes:
            await box.close()


@pytest.mark.slow
async def test_how_far_a_burst_goes_beyond_the_bound() -> None:
    """As many processes as there are, each as fast as it can."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
        pytest.skip("this process may not have enough memory itself")
    burst = WORKERS.replace("range(4)", "range(16)").replace("60 << 20", "300 << 20")
    because = await ended(Limits(memory_mb=512), burst)
    assert 512 < mib(because) < 4096, because


# --- the host's own memory ---------------------------------------------------------------------


async def test_before_the_host_runs_out_the_likeliest_sandbox_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Buffers of sockets and descriptors on their way are in nobody's account.
    hoard = "import os, time\nL = [os.pipe() for _ in range(400)]\ntime.sleep(60)"
    async with (
        await Sandbox.start(SandboxSpec()) as quiet,
        await Sandbox.start(SandboxSpec()) as hoarder,
    ):
        await quiet.exec(["sh", "-c", "sleep 60 >/dev/null 2>&1 &"])
        await hoarder.exec(["sh", "-c", f"python3 -c '{hoard}' >/dev/null 2>&1 &"])
        await anyio.sleep(0.5)
        assert quiet.alive and hoarder.alive
        left = [3 << 20]
        monkeypatch.setattr(
            _quota, "memory_left", lambda: (left.pop() if left else 1 << 40, 1 << 29)
        )
        await hoarder.exec(["true"])
        with anyio.fail_after(20):
            while hoarder.alive:
                await anyio.sleep(0.05)
        assert hoarder.ended_because == "memory: the host has 3 MiB left"
        await anyio.sleep(0.5)
        assert quiet.alive and quiet.ended_because == ""


def test_what_the_host_has_left_is_read_from_the_kernel() -> None:
    left, least = _quota.memory_left()
    assert 0 < least <= 512 << 20 and left > 0
