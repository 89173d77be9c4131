"""Tasks over processes, and a bound on the time that one may take."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from ._settings import Task

_AHEAD = 4
"""Tasks that wait for each process: enough to keep it busy, few enough to stop soon."""

DIED = "the process that read it died, twice"

_About = TypeVar("_About")
_Result = TypeVar("_Result")


class TooSlow(BaseException):
    """Raised in the middle of a file; no reader's `except Exception` may swallow it."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` after a time, where signals can be had: also when something waits."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def stop(_: int, __: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def over_processes(
    waiting: deque[Task],
    run: Callable[[Task], _Result],
    *,
    jobs: int,
    prepare: Callable[[_About], None],
    about: _About,
) -> Iterator[tuple[Task, _Result | None]]:
    """Run tasks in processes, in the order given; yields each with its result as it ends.

    A task whose process died is tried once more, alone: if that dies too, it was the task, and
    its result is None. When the iterator is left, by an interrupt or otherwise, the processes are
    ended.

    Args:
        waiting: emptied as they are taken.
        run: in a process. prepare: called in each process before, with ``about``.
        jobs: processes.
    """
    suspects: deque[Task] = deque()
    while waiting or suspects:
        alone = not waiting
        queue = suspects if alone else waiting
        running: dict[Future[_Result], Task] = {}
        pool = ProcessPoolExecutor(
            max_workers=1 if alone else jobs,
            mp_context=multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn"),
            initializer=_begin,
            initargs=(prepare, about),
        )
        broken = False
        try:
            while (queue or running) and not broken:
                while queue and len(running) < (1 if alone else jobs * _AHEAD):
                    task = queue.popleft()
                    with _interrupts_held():
                        running[pool.submit(run, task)] = task
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    task = running.pop(future)
                    result: _Result | None = None
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        broken = True
                        if not alone:
                            suspects.append(task)
                            continue
                    yield task, result
            suspects.extend(running.values())
        except BaseException:
            for process in (getattr(pool, "_processes", None) or {}).values():
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=not sys.exc_info()[0], cancel_futures=True)


def _begin(prepare: Callable[[_About], None], about: _About) -> None:
    # Ctrl-C is the parent's to answer: it ends the children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prepare(about)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Have Ctrl-C wait: one that comes while processes are started would be lost.

    What Python runs around a fork swallows exceptions, KeyboardInterrupt among them. Blocking the
    signal would not do: another thread takes it, and the handler still runs in this one.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return
    came = False

    def note(_: int, __: FrameType | None) -> None:
        nonlocal came
        came = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
