"""Tasks over processes: what dies is told, what is left is ended, Ctrl-C is the parent's."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from custodes.scan import File, Task, TooSlow, bounded, over_processes

_FOLDER: Path | None = None


def prepare(folder: Path) -> None:
    global _FOLDER
    _FOLDER = folder


def work(task: Task) -> tuple[int, int]:
    assert _FOLDER is not None
    (_FOLDER / f"pid-{os.getpid()}").touch()
    if task.file.path == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.file.path == "waits":
        time.sleep(60)
    if task.file.path == "is interrupted":
        os.kill(os.getpid(), signal.SIGINT)
    return task.number, os.getpid()


def tasks(*names: str) -> deque[Task]:
    return deque(
        Task(number=number, file=File(path=name, size=0, changed=0))
        for number, name in enumerate(names)
    )


def alive(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if Path(f"/proc/{path.name[4:]}/fd").exists()]


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_every_task_has_one_result_and_one_that_kills_its_process_has_none(tmp_path: Path) -> None:
    waiting = tasks("a", "dies", "b", "is interrupted", "c")
    found = list(over_processes(waiting, work, jobs=2, prepare=prepare, about=tmp_path))
    results = {task.file.path: result for task, result in found}
    assert len(found) == 5 and not waiting
    assert results.pop("dies") is None
    assert {result[0] for result in results.values() if result is not None} == {0, 2, 3, 4}
    assert until(lambda: alive(tmp_path) == [])


def test_who_leaves_ends_the_processes(tmp_path: Path) -> None:
    found = over_processes(
        tasks("a", "waits", "waits"), work, jobs=2, prepare=prepare, about=tmp_path
    )
    assert next(found)[0].file.path == "a"
    assert until(lambda: len(list(tmp_path.iterdir())) == 2)
    began = time.monotonic()
    found.close()  # type: ignore[attr-defined]
    assert until(lambda: alive(tmp_path) == []) and time.monotonic() - began < 20


def test_an_interrupt_while_processes_start_is_not_lost(tmp_path: Path) -> None:
    """One that comes in a hook of the fork would be raised there, and swallowed."""
    interrupts = 1

    def hook() -> None:
        nonlocal interrupts
        if interrupts:
            interrupts -= 1
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0)  # where Python would run the handler

    os.register_at_fork(before=hook)  # for good: there is no way to take it back
    with pytest.raises(KeyboardInterrupt):
        list(over_processes(tasks("a", "waits"), work, jobs=2, prepare=prepare, about=tmp_path))
    assert interrupts == 0
    assert until(lambda: alive(tmp_path) == [])


def test_what_takes_too_long_is_interrupted_and_the_rest_is_not() -> None:
    with pytest.raises(TooSlow), bounded(0.05):
        time.sleep(20)
    with bounded(20):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
