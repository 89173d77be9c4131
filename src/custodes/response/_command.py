"""The user's page command: run by the shell, bounded in time and output."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import anyio

from ._result import plain_line

_TAIL = 2000
_FREE = 1 << 20
"""Bytes that are read as they come; after that reading slows down, and a flood with it."""
_CHUNK = 1 << 16


class PageCommand:
    """One run of a page command in a session of its own.

    What it leaves in the background goes on when it has ended: a pager may have to. A command
    that has not ended is killed with its process group.
    """

    def __init__(self, command: str, *, alert: Path, url: str) -> None:
        self.ended: str | None = None
        """How it ended, in one line; None while it runs."""
        self.delivered = False
        """It ended with 0."""
        self._tail = b""
        self._read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(write, True)
        try:
            with alert.open("rb") as stdin:
                self._process = subprocess.Popen(
                    ["/bin/sh", "-c", command],
                    stdin=stdin,
                    stdout=write,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "CUSTODES_PAGE_URL": url, "CUSTODES_PAGE_FILE": str(alert)},
                    start_new_session=True,
                )
            self._pidfd = os.pidfd_open(self._process.pid)
        except BaseException:
            os.close(self._read)
            raise
        finally:
            os.close(write)

    async def drain(self) -> None:
        """Read its output to the end and keep the last of it; cancel it when the run is over."""
        total = 0
        while True:
            await anyio.wait_readable(self._read)
            try:
                data = os.read(self._read, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                return
            total += len(data)
            self._tail = (self._tail + data)[-_TAIL:]
            if total > _FREE:
                await anyio.sleep(0.02)

    async def wait(self) -> None:
        """Until it has ended; ``ended`` and ``delivered`` then say how."""
        await anyio.wait_readable(self._pidfd)
        await anyio.sleep(0)  # its last words
        if self.ended is None:
            code = self._process.wait()
            self.delivered = code == 0
            how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
            self._say(f"the page command {how}", with_words=code != 0)

    def kill(self, why: str) -> None:
        """Kill it if it still runs; ``why`` says so in one line."""
        if self.ended is None:
            # It was not waited for, so its number, and that of its group, cannot be another's.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._say(f"the page command {why}", with_words=True)

    def close(self) -> None:
        """Kill what runs and give back its descriptors."""
        self.kill("was ended with the drill")
        for fd in (self._read, self._pidfd):
            with suppress(OSError):
                os.close(fd)

    def _say(self, what: str, *, with_words: bool) -> None:
        if with_words:
            with suppress(OSError):  # what came with the end and was not read yet
                self._tail = (self._tail + os.read(self._read, _CHUNK))[-_TAIL:]
        lines = self._tail.decode("utf-8", "replace").strip().splitlines() if with_words else []
        words = plain_line(lines[-1], 200) if lines else ""
        self.ended = f"{what}: {words}" if words else what
