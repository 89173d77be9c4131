"""The user's own command lines: filled in, started in a session of their own, ended with it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

_PLACEHOLDER = re.compile(r"(?<!\$)\{(agent|dir|pid|name)\}")
_TAIL_CHUNKS = 4
_CHUNK = 1024


def placeholders(line: str) -> set[str]:
    """Those that occur in a command line; ``${name}`` is the shell's own."""
    return set(_PLACEHOLDER.findall(line))


def filled_in(line: str, *, agent: list[str], folder: str, name: str, pid: int | None) -> str:
    """The line with its placeholders replaced, each quoted for the shell; ``pid`` where known."""
    values = {
        "agent": shlex.join(agent),
        "dir": shlex.quote(folder),
        "name": shlex.quote(name),
        "pid": "{pid}" if pid is None else str(pid),
    }
    return _PLACEHOLDER.sub(lambda found: values[found[1]], line)


class Command:
    """A line given to ``/bin/sh -c`` in a session of its own, without input.

    Its output is read to the end, however much it is, and the last few kilobytes are kept. The
    shell is not reaped before ``end``, so that its number stays its own for as long as it may be
    signalled.
    """

    def __init__(self, line: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._tails: dict[str, deque[bytes]] = {}
        for which, pipe in (("err", self._process.stderr), ("out", self._process.stdout)):
            assert pipe is not None
            tail = self._tails[which] = deque[bytes](maxlen=_TAIL_CHUNKS)
            # A daemon left behind may hold the pipe for long: nobody waits for these threads.
            threading.Thread(target=_drain, args=(pipe, tail), daemon=True).start()

    @property
    def ended(self) -> int | None:
        """Exit code of the shell, minus the signal that ended it, or None while it runs."""
        if self._process.returncode is not None:
            return self._process.returncode
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def said(self) -> str:
        """The last line on standard error, else on standard output, else nothing."""
        for which in ("err", "out"):
            text = b"".join(list(self._tails[which])).decode("utf-8", "replace")
            lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
            if lines:
                return lines[-1][-300:]
        return ""

    def end(self) -> None:
        """Kill what is left of the command's process group, and reap the shell."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


def _drain(pipe: IO[bytes], tail: deque[bytes]) -> None:
    with pipe, suppress(OSError):
        while block := os.read(pipe.fileno(), 1 << 16):
            tail.append(block[-_CHUNK:])
