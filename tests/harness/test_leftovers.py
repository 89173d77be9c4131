"""Episodes leave nothing behind: no process, no folder, no descriptor."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from custodes.types import Safeguards

from .playing import key, play
from .toy import PRIVATE, SUM, deep, fetch, moves, shell

MARK = "86398"


def children() -> set[str]:
    """Processes that this one started, and theirs."""
    tree: dict[str, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            tree[stat.parent.name] = fields[1]
    found: set[str] = set()
    new = {str(os.getpid())}
    while new:
        new = {pid for pid, parent in tree.items() if parent in new} - found
        found |= new
    return found


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def sleeping() -> list[str]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue
    return [line for line in lines if MARK in line]


@pytest.mark.parametrize(
    ("cells", "repeats"),
    [
        ((Safeguards.ENFORCED,), 1),
        pytest.param((Safeguards.OFF, Safeguards.ENFORCED), 2, marks=pytest.mark.slow),
    ],
    ids=["five", "twenty"],
)
def test_episodes_leave_nothing_behind(
    cells: tuple[Safeguards, ...], repeats: int, volumes: Path
) -> None:
    scripts = {
        "solved": moves(SUM),
        "litters": shell(
            f"setsid sleep {MARK} >/dev/null 2>&1 & sleep {MARK} & echo; mkfifo p; mkdir c;"
            f" echo > c/f; chmod 000 c; {deep(1500)}"
        ),
        "forbidden": moves(PRIVATE, SUM),
        "dies": moves(fetch("die"), SUM),
        "destroys": shell(f"sleep {MARK} & rm -rf ~ "),
    }
    keys = tuple(
        key(name, safeguards=safeguards, repeat=repeat)
        for name in scripts
        for safeguards in cells
        for repeat in range(repeats)
    )
    # What is opened once and kept, in either cell, is open from here on.
    play(scripts, keys=keys)
    before = (children(), descriptors(), sorted(volumes.glob("vol-*")))
    run = play(scripts, keys=keys)
    assert run.planned == 5 * len(cells) * repeats
    assert set(run.episodes) == set(scripts)
    assert not run.failures
    after = (children(), descriptors(), sorted(volumes.glob("vol-*")))
    assert after[2] == before[2] == []
    assert after[0] <= before[0]
    assert after[1] <= before[1] + 2  # of the event loop's, at most
    assert sleeping() == []
