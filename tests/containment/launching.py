"""What the tests of the launcher drill share."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custodes.containment.drills.launcher import (
    Launcher,
    LauncherCell,
    LauncherMatrix,
    run_launcher_drill,
)


def drill(launch: str, stop: str, *against: str, n: int = 1, **more: Any) -> LauncherMatrix:
    """A drill with a short grace, and patience with a busy machine."""
    settings = {"grace_s": 0.15, "up_timeout_s": 60.0, **more}
    return run_launcher_drill(Launcher(launch=launch, stop=stop, **settings), against or None, n)


def one(launch: str, stop: str, adversary: str = "plain", **more: Any) -> LauncherCell:
    """The only cell of a drill of one adversary, of which nothing may be left."""
    matrix = drill(launch, stop, adversary, **more)
    assert matrix.uncleared == ()
    (cell,) = matrix.cells
    return cell


def skip_when_too_busy(matrix: LauncherMatrix) -> None:
    """A machine so busy that adversaries ended by themselves before the last look shows nothing."""
    for cell in matrix.cells:
        for reason in cell.drill.reasons:
            if "end by themselves" in reason:
                pytest.skip(f"the machine is too busy: {reason}")


def namespace_launcher() -> str:
    """A launcher whose own end ends everything; the test is skipped where it does not work."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        pytest.skip("no bubblewrap")
    line = [bwrap, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    line += ["--unshare-pid", "--die-with-parent"]
    done = subprocess.run([*line, "true"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"bubblewrap cannot make namespaces: {done.stderr.strip()}")
    return f"exec {' '.join(line)} --bind {{dir}} {{dir}} {{agent}}"


def mentioning(word: str) -> list[int]:
    """Processes that carry a word in their environment or command line and are not ended."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()[0]
            said = Path("/proc", name, "environ").read_bytes()
            said += Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if state not in b"ZX" and word.encode() in said and int(name) != os.getpid():
            found.append(int(name))
    return found


def descendants(pid: int) -> set[int]:
    """All processes below one, as they are now."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found |= {child} | descendants(child)
    return found


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for(happened: Callable[[], object], seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, what
        time.sleep(0.02)
