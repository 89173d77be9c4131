"""Starts processes from one thread that lives as long as this process.

The parent-death signal follows the *thread* that started a child, not the process. Started from a
worker thread that ends, a sandbox would be killed with it.
"""

from __future__ import annotations

import os
import queue
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future

_Job = tuple[Callable[[], "subprocess.Popen[bytes]"], "Future[subprocess.Popen[bytes]]"]
_lock = threading.Lock()
_jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
_process = 0


def launch(start: Callable[[], subprocess.Popen[bytes]]) -> Future[subprocess.Popen[bytes]]:
    """Run ``start`` on the launching thread; returns at once."""
    global _process, _jobs
    future: Future[subprocess.Popen[bytes]] = Future()
    with _lock:
        if _process != os.getpid():  # first use, or a fork, which copies no threads
            _process = os.getpid()
            _jobs = queue.SimpleQueue()
            threading.Thread(target=_run, args=(_jobs,), daemon=True, name="launch").start()
        _jobs.put((start, future))
    return future


def _run(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        start, future = jobs.get()
        try:
            future.set_result(start())
        except BaseException as error:
            future.set_exception(error)
