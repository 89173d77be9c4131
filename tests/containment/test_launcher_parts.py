"""What the launcher drill is made of: command lines, heartbeats held open, marks on processes."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.containment.drills.launcher._beats import HeldBeats
from custodes.containment.drills.launcher._commands import Command, filled_in, placeholders
from custodes.containment.drills.launcher._guard import Guard
from custodes.containment.drills.launcher._marks import (
    AGENT,
    BODY,
    FOLDER,
    RUN,
    Mark,
    _read,
    ticks_now,
)

from .launching import wait_for

# --- command lines ---------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(exclude_characters="\0"), min_size=1))
def test_every_placeholder_is_one_word_of_the_shell(folder: str) -> None:
    line = filled_in("{dir} {agent}", agent=["python3", folder], folder=folder, name="x", pid=1)
    assert shlex.split(line) == [folder, "python3", folder]


@given(st.text(alphabet="{}$agentdirpidname ", max_size=40))
def test_a_line_is_filled_in_once_and_the_shells_own_braces_are_left(line: str) -> None:
    done = filled_in(line, agent=["{dir}"], folder="{name}", name="{pid}", pid=7)
    if not placeholders(line):
        assert done == line
    assert done.count("${") == line.count("${")


def test_the_shells_own_variables_stay() -> None:
    line = 'kill ${name} {pid} "${pid}" {other} {}'
    assert filled_in(line, agent=[], folder="/d", name="n", pid=12) == (
        'kill ${name} 12 "${pid}" {other} {}'
    )


def command(line: str) -> Command:
    return Command(line, os.environ)


def ended(started: Command) -> int:
    wait_for(lambda: started.ended is not None, 30, "the command did not end")
    assert started.ended is not None
    return started.ended


@pytest.mark.parametrize(("line", "code"), [("exit 7", 7), ("kill -9 $$", -9), ("true", 0)])
def test_a_commands_end_is_told_before_and_after_it_is_reaped(line: str, code: int) -> None:
    started = command(line)
    assert ended(started) == code
    started.end()
    assert started.ended == code


def test_a_flood_is_read_to_its_end_and_its_tail_kept() -> None:
    started = command("head -c 30000000 /dev/zero | tr '\\0' x; echo; echo all done")
    ended(started)
    wait_for(lambda: started.said() == "all done", 30, "the tail was not read")
    assert sum(len(block) for tail in started._tails.values() for block in tail) <= 8192
    started.end()


def test_what_is_said_is_one_line_and_errors_come_first() -> None:
    started = command("echo out; printf 'one\\ttwo\\n' >&2")
    ended(started)
    wait_for(lambda: started.said() == "one two", 30, "nothing was read")
    started.end()


def test_a_command_has_no_input_and_no_terminal() -> None:
    started = command("cat; cat /dev/tty 2>/dev/null || exit 9")
    assert ended(started) == 9
    started.end()


def test_the_end_of_a_command_ends_its_group() -> None:
    started = command("sleep 60 & sleep 60")
    started.end()
    wait_for(lambda: not _group(started.pid), 10, "the group goes on")


def _group(number: int) -> bool:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        found.append(fields[0] not in (b"Z", b"X") and int(fields[2]) == number)
    return any(found)


# --- heartbeats ------------------------------------------------------------------------------


def test_a_heartbeat_is_heard_after_its_file_and_folder_are_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / "main.beat").open("wb", buffering=0) as file, HeldBeats(folder) as beats:
        first = beats.hear()
        (folder / "main.beat").unlink()
        folder.rmdir()
        file.write(b".")
        assert first.grew(beats.hear())
        assert beats.folder_gone


def test_silence_is_silence_whatever_is_done_to_times_and_modes(tmp_path: Path) -> None:
    path = tmp_path / "main.beat"
    path.write_bytes(b"...")
    with HeldBeats(tmp_path) as beats:
        first = beats.hear()
        os.utime(path, (4e9, 4e9))
        path.chmod(0o600)
        later = beats.hear()
        assert not first.grew(later)
        assert later.last_wall_ns is not None and later.last_wall_ns < (time.time() + 5) * 1e9


def test_a_new_heartbeat_and_a_file_made_anew_are_heard(tmp_path: Path) -> None:
    (tmp_path / "a.beat").write_bytes(b".")
    with HeldBeats(tmp_path) as beats:
        first = beats.hear()
        (tmp_path / "a.beat").unlink()
        (tmp_path / "a.beat").write_bytes(b".")
        second = beats.hear()
        assert first.grew(second) and len(second.sizes) == 2


def test_what_is_written_through_memory_is_heard(tmp_path: Path) -> None:
    (tmp_path / "writer.map").write_bytes(bytes(64))
    with HeldBeats(tmp_path) as beats:
        first = beats.hear()
        assert not first.grew(beats.hear())
        (tmp_path / "writer.map").write_bytes(bytes(63) + b"1")
        assert first.grew(beats.hear())


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_only_regular_files_are_heartbeats(tmp_path: Path, kind: str) -> None:
    for suffix in (".beat", ".map"):
        path = tmp_path / f"x{suffix}"
        if kind == "link":
            path.symlink_to("/etc/passwd")
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path.mkdir()
    with HeldBeats(tmp_path) as beats:
        assert beats.hear().sizes == () and beats.hear().mapped == ()


def test_a_thousand_files_do_not_exhaust_descriptors(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / f"{number}.beat").touch()
    with HeldBeats(tmp_path) as beats:
        assert len(beats.hear().sizes) == 512


# --- marks -----------------------------------------------------------------------------------


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that do nothing and are ended with the test."""
    started = []

    def start(
        *argv: str, env: dict[str, str] | None = None, cwd: str = "/"
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            argv, env=env or {}, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def mark(folder: Path, since: int = 0, **more: frozenset[tuple[int, int]]) -> Mark:
    return Mark(name="run-1", folder=str(folder), since=since, **more)


def test_a_process_is_known_by_what_it_carries(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    script = "import time; time.sleep(60)"
    expected = {
        start("sleep", "60", env={AGENT: "run-1"}).pid: True,
        start(sys.executable, "-c", script, f"{tmp_path}/{BODY}").pid: True,
        start("sleep", "60", env={RUN: "run-1"}).pid: False,
        start("sleep", "60", cwd=str(tmp_path)).pid: False,
        start(sys.executable, "-c", script, f"{tmp_path}/agent.py").pid: False,
        start("sleep", "60", env={AGENT: "run-12", RUN: "xrun-1"}).pid: None,
        start("sleep", "60").pid: None,
    }

    def seen() -> dict[int, bool | None]:
        found = {one.pid: one.adversary for one in mark(tmp_path).find()}
        return {pid: found.get(pid) for pid in expected}

    wait_for(lambda: seen() == expected, 10, "the marks are not as expected")


def test_who_writes_a_heartbeat_is_the_adversary_and_who_reads_it_is_not(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    path = tmp_path / "main.beat"
    path.touch()
    status = path.stat()
    beats = frozenset({(status.st_dev, status.st_ino)})
    writer = start("sh", "-c", f"exec sleep 60 3>>{path}")
    reader = start("tail", "-f", str(path))

    def seen() -> dict[int, bool]:
        found = mark(tmp_path, since=2**62, beats=beats).find()
        return {one.pid: one.adversary for one in found}

    wait_for(lambda: writer.pid in seen(), 10, "the writer is not seen")
    assert seen() == {writer.pid: True}
    assert reader.poll() is None


def test_who_looked_into_the_folder_before_the_run_is_left_alone(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    shell = start("sleep", "60", cwd=str(tmp_path))
    assert mark(tmp_path, since=ticks_now() + 10).find() == []
    assert mark(tmp_path, since=ticks_now() + 10).end_all(0.1) == []
    assert shell.poll() is None


@pytest.mark.parametrize("name", ["open", FOLDER, "x" + FOLDER])
def test_a_folder_with_a_name_of_every_day_takes_no_others(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], name: str
) -> None:
    """It once ended whatever had the word in its command line: the run of the tests, too."""
    script = "import time; time.sleep(60)"
    other = start(sys.executable, "-c", script, f"an {name} file")
    folder = tmp_path / name
    folder.mkdir()
    wait_for(lambda: _read(f"/proc/{other.pid}/cmdline"), 10, "it does not start")
    assert mark(folder).find() == []
    assert other.poll() is None


def test_a_drawn_folder_is_known_by_its_name_alone(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    folder = Path(tempfile.mkdtemp(prefix=FOLDER, dir=tmp_path))
    inside = start(sys.executable, "-c", "import time; time.sleep(60)", f"/elsewhere/{folder.name}")
    wait_for(
        lambda: [one.pid for one in mark(folder, since=0).find()] == [inside.pid], 10, "not seen"
    )
    assert mark(folder, since=ticks_now() + 10).find() == []


def test_only_marked_processes_are_ended(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    marked = start("sleep", "60", env={RUN: "run-1"})
    other = start("sleep", "60", env={RUN: "run-2"})
    wait_for(lambda: mark(tmp_path).look(marked.pid), 10, "the mark is not seen")
    mark(tmp_path).kill(other.pid)
    assert mark(tmp_path).end_all(10) == []
    assert marked.wait(10) == -signal.SIGKILL
    assert other.poll() is None


def test_an_ended_process_is_not_alive_and_a_held_one_is(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    one = start("sleep", "60", env={AGENT: "run-1"})
    os.kill(one.pid, signal.SIGSTOP)

    def state() -> str:
        found = mark(tmp_path).look(one.pid)
        return found.state if found else ""

    wait_for(lambda: state() == "T", 10, "it is not seen held")
    one.kill()
    wait_for(lambda: not state(), 10, "an ended one is seen alive")  # a zombie: not reaped yet


# --- the guard -------------------------------------------------------------------------------


def test_the_guard_ends_open_runs_alone_when_it_is_told_no_more(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    since = ticks_now()
    folders = [Path(tempfile.mkdtemp(prefix=FOLDER, dir=tmp_path)) for _ in range(2)]
    mine, other = (start("sleep", "60", env={RUN: folder.name}) for folder in folders)
    with Guard() as guard:
        for folder in folders:
            guard.began(folder.name, str(folder), since, [])
        guard.ended(folders[1].name)
        assert mine.poll() is None
    assert mine.wait(10) == -signal.SIGKILL
    assert other.poll() is None
    assert [folder.exists() for folder in folders] == [False, True]


def test_a_guard_that_was_killed_does_not_stop_a_drill(tmp_path: Path) -> None:
    with Guard() as guard:
        guard._process.kill()
        guard._process.wait()
        guard.began("x", str(tmp_path), 0, [])
        guard.ended("x")
    assert tmp_path.exists()
