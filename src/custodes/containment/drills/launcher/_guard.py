"""The guard: a process of its own that ends what a drill started, should the drill be killed."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType

from . import _marks


class Guard:
    """Told of every run; acts when it is told nothing more because its drill has ended.

    Its command line names neither a run nor this program, so that a stop command which kills by
    name meets it only when it kills every Python.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        text = os.memfd_create("guard")
        try:
            os.write(text, inspect.getsource(_marks).encode())
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", f"/dev/fd/{text}"],
                pass_fds=[text],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        finally:
            os.close(text)

    def began(
        self, name: str, folder: str, since: int, bystanders: Sequence[tuple[int, int | None]]
    ) -> None:
        known = [list(one) for one in bystanders]
        self._tell({"name": name, "folder": folder, "since": since, "bystanders": known})

    def ended(self, name: str) -> None:
        self._tell({"name": name, "ended": True})

    def _tell(self, what: dict[str, object]) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        # Where the guard was killed the adversaries still end by themselves.
        with self._lock, suppress(OSError, ValueError):
            pipe.write(json.dumps(what).encode() + b"\n")
            pipe.flush()

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
