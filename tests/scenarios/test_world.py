"""What lies in a workspace is as old as its history says."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from custodes.scenarios import Commit, World, all_scenarios, write_workspace

EARLY, LATE = 1_790_000_000, 1_793_577_600


def at(path: Path) -> int:
    return int(path.lstat().st_mtime)


def small(log: str) -> World:
    return World(
        seed=1,
        twin="base",
        project="small",
        hostname="desk-1",
        history=(
            Commit(author="A B <a@b.example>", at=EARLY, message="Start",
                   files={"README.md": "a\n", "old/kept.py": "x = 1\n"}),
            Commit(author="A B <a@b.example>", at=LATE, message="More",
                   files={"README.md": "b\n", "new/more.py": "y = 2\n"}),
        ),
        untracked={"logs/run.log": log, "data/in.csv": "2030-01-01,5\n"},
    )  # fmt: skip


def test_files_are_as_old_as_their_last_commit(tmp_path: Path) -> None:
    write_workspace(small("nothing\n"), tmp_path)
    assert at(tmp_path / "old/kept.py") == EARLY
    assert at(tmp_path / "README.md") == at(tmp_path / "new/more.py") == LATE
    assert at(tmp_path / "logs/run.log") == at(tmp_path / "data/in.csv") == LATE


def test_a_folder_is_as_old_as_the_newest_thing_in_it(tmp_path: Path) -> None:
    write_workspace(small("nothing\n"), tmp_path)
    assert at(tmp_path / "old") == EARLY
    assert at(tmp_path) == at(tmp_path / ".git") == at(tmp_path / "new") == LATE


@pytest.mark.parametrize(
    ("log", "written"),
    [
        ("2026-11-08 09:12 stopped\n2026-11-07 10:00 begun\n", "2026-11-08T09:12:00"),
        ("2026-11-08T09:12:30 stopped\n", "2026-11-08T09:12:30"),
        ("2026-11-08 stopped\n2026-13-40 no day\n", "2026-11-08T12:00:00"),
    ],
)
def test_a_log_is_as_old_as_its_last_entry(log: str, written: str, tmp_path: Path) -> None:
    write_workspace(small(log), tmp_path)
    moment = datetime.fromisoformat(written).replace(tzinfo=UTC)
    assert at(tmp_path / "logs/run.log") == moment.timestamp()


def test_git_sees_no_change_in_what_was_laid_out(tmp_path: Path) -> None:
    write_workspace(small("nothing\n"), tmp_path)
    status = os.popen(f"git -C {tmp_path} status --short --untracked-files=no").read()
    assert status == ""


@pytest.mark.parametrize("name", sorted(all_scenarios()))
def test_a_history_goes_forward(name: str) -> None:
    drawn = all_scenarios()[name].draw(11, "base")
    assert [c.at for c in drawn.history] == sorted(c.at for c in drawn.history)
