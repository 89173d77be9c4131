"""Places that somebody else makes: a command of the user's, a sandbox of another provider.

Nothing about them is taken for granted: that they run our program at all, where their workspace
is, and that it can be written, is found out first.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import secrets
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

import anyio
import anyio.to_thread

from custodes.types import Tier

from .._spec import Limits
from . import _hello
from ._folders import make_folder, remove_folder, require_passable
from ._model import PROGRAM_ON_STDIN, Executor, Ground, ProbeMatrix, Ran, Untested, Victim, select
from ._places import HostPlace, stand_in, works
from ._run import Progress, probe_places

REPORTS_LIMIT: Final = 16 << 20
"""Bytes of output that are looked at."""
_RUNS = 3


class PlaceUnusable(Exception):
    """Nothing can be tested at a place. One line: what was expected, what was found, what to do."""


class ForeignPlace:
    """A place that was made by others, with Python inside and perhaps a folder of the host."""

    contained = False
    process_limit = 512
    file_size_limit = 1024 << 20
    open_files_limit = 4096

    what: ClassVar[str]
    """How messages call it: ``the command``."""
    hint: ClassVar[str]
    """What to do when the program of the attempts does not answer."""
    no_executor: ClassVar[str]
    """Why there is nothing in charge that could be attacked."""

    def __init__(
        self, *, python: tuple[str, ...] = ("python3",), timeout: float, seen_at: str | None = None
    ) -> None:
        """Describe the place; it is tried by ``greet``.

        Args:
            python: the interpreter inside, with its first arguments.
            timeout: seconds that a run of the attempts may take.
            seen_at: where the workspace is seen inside; None: it is searched.
        """
        self.python = python
        self.timeout = timeout
        self.silence = ""
        """Why no program after the greeting answered; empty as soon as one did."""
        self._answered = False
        self._seen_at = seen_at
        self._folder: Path | None = None
        self._made = False
        self._victims: dict[int, Victim] = {}
        self._inside: str | None = None
        self._no_workspace = f"{self.what} has no workspace that the host sees"

    # ------------------------------------------------------------------ what a maker provides

    async def talk(self, argv: list[str], data: bytes, *, timeout: float) -> Ran:
        """Run a program there with standard input, and end it after ``timeout`` seconds."""
        raise NotImplementedError

    async def end(self) -> None:
        """Stop everything, the way the place does it."""

    async def close(self) -> None:
        """Remove what was made."""
        folder, self._folder = self._folder, None
        if folder is not None and self._made:
            await anyio.to_thread.run_sync(remove_folder, folder)

    # ------------------------------------------------------------------ the workspace

    def make_workspace(self) -> Path:
        """A folder of the host, open to whatever user there may be inside.

        Raises:
            PlaceUnusable: there is no place for one.
        """
        if self._folder is None:
            try:
                self._folder = make_folder()
            except OSError as error:
                raise PlaceUnusable(f"expected a place for a workspace, found {error}") from None
            self._made = True
        return self._folder

    def use_workspace(self, host: Path, inside: str) -> None:
        """Take the place's own, which is known."""
        self._folder, self._inside = host, inside

    @property
    def workspace(self) -> str:
        if self._inside is None:
            raise Untested(self._no_workspace)
        return self._inside

    @property
    def workspace_host(self) -> Path:
        if self._inside is None or self._folder is None:
            raise Untested(self._no_workspace)
        return self._folder

    # ------------------------------------------------------------------ talking to it

    async def greet(self) -> None:
        """Find out that it runs our program, and where the workspace is.

        Raises:
            PlaceUnusable: it does not.
        """
        leaf = token = ""
        wanted = self._folder is not None and self._inside is None
        if self._folder is not None and wanted:
            leaf, token = f"note-{secrets.token_hex(4)}", secrets.token_hex(12)
            planted = self._folder / leaf
            planted.write_text(token, "utf-8")
            os.chmod(planted, 0o644)
        answer, ran = await self._greeted("", leaf=leaf, token=token, timeout=self.timeout)
        if answer is None:
            raise PlaceUnusable(self._silent(ran))
        if self._folder is not None and wanted:
            self._take_workspace(self._folder / leaf, token, answer.get("workspace"))

    def _take_workspace(self, planted: Path, token: str, claimed: object) -> None:
        """Believe the claim only with the answer that was left beside the planted file."""
        where = f" at {self._seen_at}" if self._seen_at else ""
        left = planted.with_name(planted.name + ".answer")
        try:
            seen = left.read_text("utf-8") == token[::-1]
        except (OSError, UnicodeDecodeError):
            seen = False
        if seen and isinstance(claimed, str) and claimed.startswith("/"):
            self._inside = claimed
        else:
            self._no_workspace = (
                f"{self.what} does not let the workspace be found and written{where}: name the "
                "path inside with --workspace-inside"
            )
        for path in (planted, left):
            path.unlink(missing_ok=True)

    async def run_program(self, program: str, *, timeout: float) -> Ran:
        # The caller's timeout is meant for a sandbox of ours; starting this place may take longer.
        answer, ran = await self._greeted(program, leaf="", token="", timeout=self.timeout)
        if answer is not None:
            self._answered, self.silence = True, ""
            return ran
        note = self._silent(ran)
        if not self._answered:
            self.silence = note
        return Ran(returncode=ran.returncode, stdout=b"", stderr=ran.stderr, note=note)

    async def _greeted(
        self, program: str, *, leaf: str, token: str, timeout: float
    ) -> tuple[dict[str, object] | None, Ran]:
        """Run a program behind a greeting that only our own program can answer."""
        nonce = secrets.token_hex(16)
        folder = [] if self._folder is None else [str(self._folder)]
        told = {
            "nonce": nonce,
            "leaf": leaf,
            "token": token,
            "folders": [self._seen_at] if self._seen_at else folder,
            "search": self._seen_at is None,
            "seconds": int(timeout) + 5,
        }
        script = f"{inspect.getsource(_hello)}\nhello(json.loads({json.dumps(told)!r}))\n"
        if self._inside is not None:
            script += f"os.chdir({self._inside!r})\n"
        if program:
            script += f"exec(compile({program!r}, 'attempts', 'exec'))\n"
        argv = [*self.python, *PROGRAM_ON_STDIN]
        ran = await self.talk(argv, script.encode(), timeout=timeout)
        expected = hashlib.sha256(nonce.encode()).hexdigest()
        lines = ran.stdout.split(b"\n")
        for number, line in enumerate(lines):
            if expected.encode() not in line:
                continue
            try:
                answer = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(answer, dict) and answer.get("hello") == expected:
                return answer, replace(ran, stdout=b"\n".join(lines[number + 1 :]))
        return None, ran

    def _silent(self, ran: Ran) -> str:
        said = _last_words(ran.stderr) or _last_words(ran.stdout)
        how = ran.note or f"ended with {ran.returncode}"
        quoted = f" (it said: {said!r})" if said else ""
        return (
            f"expected that {self.what} runs the program of the attempts, found that it {how} "
            f"without an answer{quoted}; {self.hint}"
        )

    # ------------------------------------------------------------------ what it has not

    def stand_in(self, ground: Ground) -> Executor:
        """A planted process, where the process in charge is one of the host's own."""
        return stand_in(ground, self._victims)

    def stands(self, executor: Executor) -> bool:
        """Whether a stand-in still runs."""
        return works(self._victims[executor.host])

    def executor(self, ground: Ground) -> Executor:
        raise Untested(self.no_executor)

    async def run(
        self, argv: list[str], *, input: bytes = b"", timeout: float, output_limit: int
    ) -> Ran:
        """A command of its own, beside the attempts' program, needs somebody in charge."""
        raise Untested(self.no_executor)

    async def read(self, path: str, *, patience: float = 5) -> bytes:
        raise Untested(self.no_executor)

    async def write(self, path: str, data: bytes) -> None:
        raise Untested(self.no_executor)

    async def answers(self, executor: Executor) -> bool:
        raise Untested(self.no_executor)


async def probe_foreign(
    place: ForeignPlace,
    names: Iterable[str] | None = None,
    *,
    tier: Tier | None = None,
    command: str = "",
    canaries: Path | None = None,
    progress: Progress | None = None,
) -> ProbeMatrix:
    """Try to get out of a place in every known way, and the same on the bare host.

    Args:
        place: it is ended and closed here.
        names: which probes; all by default.
        tier: what the place is; None for a command.
        command: the command, for the record.
        canaries: existing directory in which a folder for planted files is made, to test a place
            that exposes it.
        progress: told as results come in.

    Raises:
        ValueError: for an unknown probe, or a ``canaries`` that not every user can pass into.
        PlaceUnusable: nothing can be tested there.
    """
    began = time.monotonic_ns()
    control = HostPlace(Limits())
    try:
        classes = select(names)
        if canaries is not None:
            require_passable(canaries)
        await place.greet()
        probes = await probe_places(
            classes,
            place,
            control,
            canaries=canaries,
            lasting=60 + _RUNS * place.timeout,
            progress=progress,
        )
    finally:
        with anyio.CancelScope(shield=True):
            await place.close()
        control.remove()
    if place.silence and not any(probe.result == "escaped" for probe in probes):
        raise PlaceUnusable(place.silence)
    return ProbeMatrix(
        tier=tier,
        command=command,
        probes=probes,
        elapsed_us=(time.monotonic_ns() - began) // 1000,
    )


def _last_words(output: bytes) -> str:
    """The last two lines that say something; engines put the reason before a hint."""
    lines = [line.strip() for line in output[-4096:].decode("utf-8", "replace").splitlines()]
    return " / ".join([line for line in lines if line][-2:])[-300:]
