"""A harness that is killed (-9) at any moment leaves nothing running and nothing mounted.

What it leaves on disk is cleared by the next start. Whether something still runs is looked up by
what it can reach, not by what it says of itself: a process is one of these when its command line
or its mounts name the folder that everything here is made in.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PHASES = ("start", "exec", "freeze", "kill", "close", "episode")
WATCHED = 60.0
"""Seconds that nothing may come up again in, at full size."""

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

# Stays warm: each host is a fork of it, so that a hundred of them cost no imports. It is told what
# the next one does, says its pid, and says so again when that one was killed.
NURSERY = """
import asyncio, ctypes, os, signal, sys
from custodes.containment import Sandbox
from tests.harness import playing
from tests.harness.toy import SUM, moves, shell

MARK = os.environ["MARK"]
LITTER = (
    f"echo > /dev/shm/{MARK}; ipcmk -M 4096 >/dev/null 2>&1;"
    "for i in 1 2 3; do setsid sleep 1000 >/dev/null 2>&1 & done"
)

async def work(phase):
    box = await Sandbox.start() if phase in ("exec", "freeze") else None
    say("ready")
    while True:
        if phase == "start":
            for box in await asyncio.gather(Sandbox.start(), Sandbox.start()):
                await box.close()
        elif phase == "exec":
            await asyncio.gather(*(box.exec(["sh", "-c", LITTER]) for _ in range(3)))
            await box.write_file("deep/file", b"x" * 100_000)
            await box.exec(["pkill", "sleep"])
        elif phase == "freeze":
            await box.exec(["sh", "-c", LITTER])
            await box.freeze()
            await asyncio.sleep(0.01)
            await box.thaw()
            await box.exec(["pkill", "sleep"])
        else:
            box = await Sandbox.start()
            await box.exec(["sh", "-c", LITTER + "; mkdir d; touch d/$(seq -s ' d/' 300)"])
            if phase == "kill":
                await box.kill(by="namespace" if box.cgroup is None else "cgroup")
            await box.close()

def say(word):  # in one call: two processes write to this pipe
    os.write(1, f"{word}\\n".encode())

def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)

def host(phase):
    end_with_parent()
    if phase != "episode":
        asyncio.run(work(phase))
    say("ready")
    while True:
        playing.play({"honest": moves(SUM), "litters": shell(LITTER)}, parallel=2)

end_with_parent()
while line := sys.stdin.readline():
    child = os.fork()
    if child == 0:
        host(line.strip())
    say(child)
    os.waitpid(child, 0)
    say("gone")
"""


class Ground:
    """A folder and, where there may be one, a control group that everything is made in."""

    def __init__(self, folder: Path, group: Path | None) -> None:
        self.folder = folder
        self.group = group
        self.mark = f"m{folder.name}"
        self.environment = {
            **os.environ,
            "TMPDIR": str(folder),
            "MARK": self.mark,
            **({} if group is None else {"CUSTODES_CGROUP": str(group)}),
        }

    def running(self) -> list[str]:
        sign = os.fsencode(self.folder)
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) != os.getpid():
                for name in ("cmdline", "mountinfo"):
                    with suppress(OSError):
                        text = Path(f"/proc/{entry}/{name}").read_bytes()
                        if sign in text:
                            shown = text if name == "cmdline" else b"its mounts"
                            found.append(f"{entry} {shown[:200]!r}")
        return found

    def left(self) -> list[str]:
        """Traces on the host besides processes and what the next start clears."""
        name = self.folder.name
        found = [f"mount {line}" for line in lines("/proc/self/mountinfo") if name in line]
        found += [f"socket {line}" for line in lines("/proc/net/unix") if name in line]
        found += [f"shared memory {entry}" for entry in os.listdir("/dev/shm") if name in entry]
        return found

    def on_disk(self) -> list[str]:
        # The folders of jobs are the caller's: a case keeps them.
        entries = [path for path in self.folder.iterdir() if not path.name.startswith("job-")]
        units = [] if self.group is None else list(self.group.glob("unit-*"))
        return [str(path) for path in (*entries, *units)]


def lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8", "replace").splitlines()


def hierarchy() -> Path | None:
    """Where root may make version 2 control groups."""
    for line in lines("/proc/self/mountinfo"):
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 ") and os.geteuid() == 0:
            return Path(fields.split()[4])
    return None


@pytest.fixture
def ground() -> Iterator[Ground]:
    # Not below the other tests' folder, whose name in mounts is not this test's.
    folder = Path(tempfile.mkdtemp(prefix="vols-", dir="/tmp"))
    folder.chmod(0o711)
    above = hierarchy()
    group = None
    if above is not None:
        with suppress(OSError):
            group = above / folder.name
            group.mkdir()
    yield Ground(folder, group if group is not None and group.is_dir() else None)
    shutil.rmtree(folder, ignore_errors=True)
    if group is not None:
        for unit in group.glob("unit-*"):
            with suppress(OSError):
                unit.rmdir()
        with suppress(OSError):
            group.rmdir()


@pytest.mark.parametrize(
    ("rounds", "watched"), [(1, 1.0), pytest.param(20, WATCHED, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_it_leaves_nothing(
    ground: Ground, rounds: int, watched: float
) -> None:
    chance = random.Random(11)
    phases = [phase for _ in range(rounds) for phase in PHASES]
    chance.shuffle(phases)
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        env=ground.environment, cwd=REPOSITORY, start_new_session=True,
    ) as nursery:  # fmt: skip
        try:
            for phase in phases:
                kill_one(nursery, phase, chance.random() * (1.0 if phase == "episode" else 0.2))
        finally:
            nursery.kill()
    end = time.monotonic() + 20
    while ground.running() and time.monotonic() < end:
        time.sleep(0.02)
    # One that was killed between two system calls of bubblewrap waits, running nothing, until the
    # next start. So do the folders.
    assert ground.on_disk() != [], "nothing was left to clear, so that nothing was tested"
    next_start(ground)
    quiet_until = time.monotonic() + watched
    while time.monotonic() < quiet_until:
        assert ground.running() == []
        assert ground.left() == []
        time.sleep(0.2)
    assert ground.on_disk() == []


def kill_one(nursery: subprocess.Popen[str], phase: str, delay: float) -> None:
    """Have a host begin with something, and kill it so many seconds later."""
    assert nursery.stdin is not None and nursery.stdout is not None
    nursery.stdin.write(f"{phase}\n")
    said: list[str] = []

    def hear() -> str:  # episodes print lines of their own in between
        assert nursery.stdout is not None
        line = nursery.stdout.readline()
        assert line, f"the nursery ended with {nursery.wait()} in {phase}, after {said[-3:]}"
        said.append(line.strip())
        return said[-1]

    while "ready" not in said or not any(word.isdigit() for word in said):
        hear()
    time.sleep(delay)
    os.kill(next(int(word) for word in said if word.isdigit()), signal.SIGKILL)
    while hear() != "gone":
        pass


def next_start(ground: Ground) -> None:
    for path in ground.folder.iterdir():  # those without a marker yet have to age
        os.utime(path, (0, 0))
    time.sleep(2.1)  # and so do control groups, which may be another namespace's
    subprocess.run(
        [sys.executable, "-c", NEXT], env=ground.environment, cwd=REPOSITORY, check=True, timeout=60
    )


NEXT = """
import asyncio
from custodes.containment import Sandbox

async def main():
    async with await Sandbox.start() as box:
        assert (await box.exec(["true"])).success

asyncio.run(main())
"""
