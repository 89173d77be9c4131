"""Output and input of commands, in bounded memory."""

from __future__ import annotations

import fcntl
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import anyio

from ._spec import OnOutput

_CHUNK = 1 << 18
_F_GETPIPE_SZ = 1032


class Tail:
    """The last ``limit`` bytes of a stream; holds at most one chunk more.

    Every chunk also goes to ``sink`` as it comes.
    """

    def __init__(self, limit: int, sink: Callable[[bytes], None] | None = None) -> None:
        if limit < 0:
            raise ValueError(f"expected an output limit of 0 or more bytes, found {limit}")
        self._sink = sink
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._limit = limit
        self.total = 0
        self.ended = False

    def add(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._held += len(chunk)
        self.total += len(chunk)
        while self._chunks and self._held - len(self._chunks[0]) >= self._limit:
            self._held -= len(self._chunks.popleft())
        if self._sink is not None:
            self._sink(chunk)

    @property
    def truncated(self) -> bool:
        return self.total > self._limit

    def content(self) -> bytes:
        joined = b"".join(self._chunks)
        return joined[len(joined) - self._limit :] if len(joined) > self._limit else joined


def tails(limit: int, on_output: OnOutput | None) -> tuple[Tail, Tail]:
    """For a command's output and its errors."""
    if on_output is None:
        return Tail(limit), Tail(limit)
    return Tail(limit, partial(on_output, "stdout")), Tail(limit, partial(on_output, "stderr"))


def first_cause(error: BaseException) -> BaseException:
    """What a task group's exception is about: one of its tasks failed, and the rest was ended."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def pump_out(fd: int, tail: Tail) -> None:
    """Read until the end of the stream."""
    while True:
        # Also lets the others run: a flood of output must not starve the event loop.
        await anyio.wait_readable(fd)
        try:
            chunk = os.read(fd, _CHUNK)
        except BlockingIOError:
            continue
        if not chunk:
            tail.ended = True
            return
        tail.add(chunk)


async def pump_in(fd: int, data: bytes) -> None:
    """Write everything, or as much as the command reads. The caller closes."""
    view = memoryview(data)
    with suppress(BrokenPipeError):
        while view:
            await anyio.wait_writable(fd)
            with suppress(BlockingIOError):
                view = view[os.write(fd, view[:_CHUNK]) :]


def drain(fd: int, tail: Tail) -> None:
    """Take what a command that has ended left in its pipe: at most the pipe's size."""
    left = fcntl.fcntl(fd, _F_GETPIPE_SZ)
    while left > 0 and not tail.ended:
        try:
            chunk = os.read(fd, min(left, _CHUNK))
        except BlockingIOError:
            return
        if not chunk:
            tail.ended = True
            return
        tail.add(chunk)
        left -= len(chunk)


class Drainer:
    """Reads and discards pipes that background processes still hold after their command ended.

    So a server that logs to its standard output neither gets SIGPIPE nor blocks. After ``CAP``
    bytes of one pipe it stops reading: the writer then blocks instead of burning CPU time.
    """

    CAP = 64 << 20

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = 0
        self._waiting: list[tuple[int, list[int]]] = []

    def adopt(self, fd: int, parked: list[int]) -> None:
        """Take over a descriptor; when it is no longer read it goes to ``parked``, open."""
        with self._lock:
            if self._process != os.getpid():  # a fork copies no threads
                self._process = os.getpid()
                self._waiting = []
                self._selector = selectors.DefaultSelector()
                self._read_end, self._write_end = os.pipe()
                self._selector.register(self._read_end, selectors.EVENT_READ)
                threading.Thread(target=self._run, daemon=True, name="drain").start()
            self._waiting.append((fd, parked))
            os.write(self._write_end, b"x")

    def _run(self) -> None:
        seen: dict[int, tuple[int, list[int]]] = {}
        while True:
            for key, _ in self._selector.select():
                fd = key.fd
                if fd == self._read_end:
                    os.read(fd, 4096)
                    with self._lock:
                        waiting, self._waiting = self._waiting, []
                    for new, parked in waiting:
                        seen[new] = (0, parked)
                        self._selector.register(new, selectors.EVENT_READ)
                    continue
                try:
                    size = len(os.read(fd, 1 << 16))
                except BlockingIOError:
                    continue
                except OSError:
                    size = 0
                total, parked = seen[fd]
                seen[fd] = (total + size, parked)
                if size == 0:
                    self._selector.unregister(fd)
                    del seen[fd]
                    os.close(fd)
                elif total + size > self.CAP:
                    self._selector.unregister(fd)
                    del seen[fd]
                    parked.append(fd)


DRAINER = Drainer()
