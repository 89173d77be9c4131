"""Probing any containment that can be named as a command."""

from __future__ import annotations

import inspect
import os
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from .._streams import pump_in
from . import _guard
from ._foreign import REPORTS_LIMIT, ForeignPlace, PlaceUnusable, probe_foreign
from ._model import ProbeMatrix, Ran
from ._run import Progress

PROBE: Final = "{probe}"
WORKSPACE: Final = "{workspace}"
COMMAND_TIMEOUT_S: Final = 60.0

_GRACE_S = 5.0
_CLEAR_S = 10.0
_CHUNK = 1 << 16
_STDERR_LIMIT = 1 << 20


class CommandPlace(ForeignPlace):
    """What a command contains. The command is started anew for each run, without a shell."""

    what = "the command"
    hint = (
        "see that it starts {probe} with its own standard input and output (docker run -i), and "
        "name the interpreter inside with --python"
    )
    no_executor = "the command has no executor to attack"

    def __init__(
        self,
        command: str,
        *,
        python: str = "python3",
        seen_at: str | None = None,
        timeout: float = COMMAND_TIMEOUT_S,
    ) -> None:
        """Take the command apart.

        Args:
            command: words as a shell would split them. ``{probe}`` stands for the program of the
                attempts and is appended where it is absent; ``{workspace}`` stands for a folder
                of the host.
            python: the interpreter inside, with its first arguments.
            seen_at: where the workspace is seen inside; None: it is searched.
            timeout: seconds that each run of the command may take.

        Raises:
            ValueError: for a command that cannot be taken apart, a relative ``seen_at``, or a
                ``timeout`` that is not positive.
        """
        self._words = _split(command, "command")
        interpreter = _split(python, "Python")
        if sum(PROBE in word for word in self._words) > 1:
            raise ValueError(f"expected one {PROBE} at most in the command, found more")
        if seen_at is not None and not seen_at.startswith("/"):
            raise ValueError(f"expected an absolute path of the workspace, found {seen_at!r}")
        if seen_at is not None and not any(WORKSPACE in word for word in self._words):
            raise ValueError(f"expected {WORKSPACE} in the command to be seen at {seen_at}")
        if not timeout > 0:
            raise ValueError(f"expected a timeout of more than 0 s, found {timeout:g}")
        super().__init__(python=tuple(interpreter), timeout=timeout, seen_at=seen_at)
        self._guards: list[tuple[subprocess.Popen[bytes], socket.socket]] = []
        if any(WORKSPACE in word for word in self._words):
            self.make_workspace()
        else:
            self._no_workspace = f"the command names no {WORKSPACE} that the host sees"

    def _argv(self, program: list[str]) -> list[str]:
        argv: list[str] = []
        for word in self._words if any(PROBE in w for w in self._words) else [*self._words, PROBE]:
            if word == PROBE:
                argv += program
            else:
                argv.append(word.replace(PROBE, shlex.join(program)))
        folder = "" if self._folder is None else str(self._folder)
        return [word.replace(WORKSPACE, folder) for word in argv]

    async def talk(self, argv: list[str], data: bytes, *, timeout: float) -> Ran:
        words = self._argv(argv)
        process, line, (to, out, err) = _start(words)
        self._guards.append((process, line))
        output, errors = bytearray(), bytearray()
        returncode, note = -1, ""
        try:
            async with anyio.create_task_group() as tasks:
                flooded = anyio.Event()
                tasks.start_soon(_collect, out, output, REPORTS_LIMIT, flooded)
                tasks.start_soon(_collect, err, errors, _STDERR_LIMIT, None)

                async def feed() -> None:
                    await pump_in(to.fileno(), data)
                    to.close()

                tasks.start_soon(feed)
                said = ""
                with anyio.move_on_after(timeout) as clock:
                    said = await _first(line, flooded)
                if not said:
                    note = (
                        f"did not end within {timeout:g} s and was stopped"
                        if clock.cancelled_caught
                        else f"wrote more than {REPORTS_LIMIT >> 20} MiB and was stopped"
                    )
                    with suppress(OSError):
                        line.send(b"stop")
                    with anyio.move_on_after(_GRACE_S):
                        said = await _heard(line)
                tasks.cancel_scope.cancel()
            for pipe, held in ((out, output), (err, errors)):
                _drain(pipe, held)
        finally:
            for pipe in (to, out, err):
                pipe.close()
        word, _, number = said.partition(" ")
        if word == "no":
            raise PlaceUnusable(
                f"expected a command that can be started, found {words[0]!r}: "
                f"{os.strerror(int(number))}; check the first word of --command"
            )
        if word == "ended":
            returncode = int(number)
        return Ran(returncode=returncode, stdout=bytes(output), stderr=bytes(errors), note=note)

    async def close(self) -> None:
        """End whatever the command left, and remove the workspace."""
        guards, self._guards = self._guards, []
        for _, line in guards:
            line.close()
        for process, _ in guards:
            try:
                await anyio.to_thread.run_sync(process.wait, _CLEAR_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        await super().close()


def _split(text: str, what: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"expected words as a shell splits them as {what}: {error}") from None
    if not words:
        raise ValueError(f"expected a {what}, found none")
    return words


_Pipes = tuple["_End", "_End", "_End"]


class _End:
    """One end of a pipe, closed once."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _start(argv: list[str]) -> tuple[subprocess.Popen[bytes], socket.socket, _Pipes]:
    """Start a command below a guard of its own."""
    ours, theirs = socket.socketpair()
    to_read, to_write = os.pipe()
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    theirs.set_inheritable(True)
    try:
        process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", "-c", inspect.getsource(_guard),
                str(theirs.fileno()), *argv,
            ],
            stdin=to_read,
            stdout=out_write,
            stderr=err_write,
            close_fds=False,  # what the launcher leaves open is inherited: one probe looks for it
            start_new_session=True,
        )  # fmt: skip
    except BaseException:
        for descriptor in (to_write, out_read, err_read):
            os.close(descriptor)
        ours.close()
        raise
    finally:
        theirs.close()
        for descriptor in (to_read, out_write, err_write):
            os.close(descriptor)
    ours.setblocking(False)
    return process, ours, (_End(to_write), _End(out_read), _End(err_read))


async def _collect(pipe: _End, into: bytearray, limit: int, flooded: anyio.Event | None) -> None:
    """Keep the first ``limit`` bytes of a stream."""
    while True:
        await anyio.wait_readable(pipe.fileno())
        try:
            chunk = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            continue
        if not chunk:
            return
        into += chunk[: limit - len(into)]
        if flooded is not None and len(into) >= limit:
            flooded.set()


def _drain(pipe: _End, into: bytearray) -> None:
    """Take what a command that has ended left in its pipe."""
    while True:
        try:
            chunk = os.read(pipe.fileno(), _CHUNK)
        except BlockingIOError:
            return
        if not chunk or len(into) >= REPORTS_LIMIT:
            return
        into += chunk


async def _heard(line: socket.socket) -> str:
    """What the guard says; ``gone`` when it has ended itself."""
    await anyio.wait_readable(line)
    try:
        return line.recv(64).decode("ascii", "replace").strip() or "gone"
    except OSError:
        return "gone"


async def _first(line: socket.socket, flooded: anyio.Event) -> str:
    """What the guard says, or nothing when there is too much output before that."""
    said = ""
    async with anyio.create_task_group() as tasks:

        async def flood() -> None:
            await flooded.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(flood)
        said = await _heard(line)
        tasks.cancel_scope.cancel()
    return said


async def run_command_probes(
    command: str,
    names: Iterable[str] | None = None,
    *,
    python: str = "python3",
    seen_at: str | None = None,
    timeout: float = COMMAND_TIMEOUT_S,
    canaries: Path | None = None,
    progress: Progress | None = None,
) -> ProbeMatrix:
    """Try to get out of whatever a command contains, and the same on the bare host.

    The command is run twice: to find out that it runs our program at all, and to carry out the
    attempts. What it leaves on this machine is ended; what it has started in somebody else's
    daemon ends by itself a few seconds after ``timeout``.

    Args:
        command, python, seen_at, timeout: as ``CommandPlace`` takes them.
        names: which probes; all by default.
        canaries: existing directory in which a folder for planted files is made, to test a
            containment that exposes it.
        progress: told as results come in.

    Raises:
        ValueError: for an unknown probe or a command that cannot be taken apart.
        PlaceUnusable: the command cannot be started, or does not run the attempts' program.
    """
    place = CommandPlace(command, python=python, seen_at=seen_at, timeout=timeout)
    return await probe_foreign(place, names, command=command, canaries=canaries, progress=progress)
