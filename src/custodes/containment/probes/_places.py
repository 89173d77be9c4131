"""Where attempts run: in a tier's sandbox, or on the bare host for the positive control."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.to_thread

from custodes.types import Tier

from .._processes import start_time
from .._spec import AnySandbox, Limits, SandboxGone
from . import _sessions
from ._folders import make_folder, remove_folder
from ._model import PROGRAM_ON_STDIN, Executor, Ground, Ran, Untested, Victim, interpreter

_ANSWER_S = 2.0
_REPORTS_LIMIT = 8 << 20


def stand_in(ground: Ground, victims: dict[int, Victim]) -> Executor:
    """Where no executor is, a planted process is in its place."""
    victim = ground.victim(environment={"KEY": ground.token()})
    victims[victim.pid] = victim
    return Executor(inside=victim.pid, host=victim.pid)


def works(victim: Victim) -> bool:
    return victim.state is not None and victim.state not in ("T", "t", "Z", "X")


class SandboxPlace:
    """A started sandbox of any tier."""

    def __init__(self, sandbox: AnySandbox, limits: Limits) -> None:
        self.sandbox = sandbox
        self.workspace_host = sandbox.workspace_host
        self.contained = sandbox.tier is not Tier.C
        # Plain subprocesses see the host's own path.
        self.workspace = sandbox.workspace if self.contained else str(sandbox.workspace_host)
        # Where nothing bounds a resource, a probe has to stop somewhere.
        self.process_limit = limits.processes or 512
        self.file_size_limit = (limits.file_mb or 1024) << 20
        self.open_files_limit = limits.open_files or 4096
        self._victims: dict[int, Victim] = {}

    def executor(self, ground: Ground) -> Executor:
        if not self.contained:
            return stand_in(ground, self._victims)
        first = next(process.pid for process in self.sandbox.processes() if process.init)
        return Executor(inside=1, host=first)

    async def run_program(self, program: str, *, timeout: float) -> Ran:
        result = await self.sandbox.exec(
            [interpreter(), *PROGRAM_ON_STDIN],
            input=program.encode(),
            timeout=timeout,
            output_limit=_REPORTS_LIMIT,
        )
        return Ran(
            returncode=result.returncode,
            stdout=result.stdout,
            stderr=result.stderr,
            note=f"it was stopped after {timeout:g} s" if result.timed_out else "",
        )

    async def run(
        self, argv: list[str], *, input: bytes = b"", timeout: float, output_limit: int
    ) -> Ran:
        result = await self.sandbox.exec(
            argv, input=input, timeout=timeout, output_limit=output_limit
        )
        if result.timed_out:
            raise TimeoutError(f"the command was stopped after {timeout} s")
        return Ran(returncode=result.returncode, stdout=result.stdout, stderr=result.stderr)

    async def read(self, path: str, *, patience: float = 5) -> bytes:
        with anyio.fail_after(patience):
            return await self.sandbox.read_file(path)

    async def write(self, path: str, data: bytes) -> None:
        await self.sandbox.write_file(path, data)

    async def answers(self, executor: Executor) -> bool:
        if executor.host in self._victims:
            return works(self._victims[executor.host])
        try:
            with anyio.fail_after(_ANSWER_S):
                return (await self.sandbox.exec(["true"])).returncode == 0
        except (TimeoutError, SandboxGone):
            return False

    async def end(self) -> None:
        await self.sandbox.kill()


class HostPlace:
    """The bare host, handled as a simple process manager does it. NOT CONTAINED."""

    contained = False
    process_limit = 512
    file_size_limit = 1024 << 20
    open_files_limit = 4096

    def __init__(self, limits: Limits) -> None:
        self.process_limit = limits.processes or 512
        self.file_size_limit = (limits.file_mb or 1024) << 20
        self.open_files_limit = limits.open_files or 4096
        self._folder: Path | None = None
        self._no_folder = ""
        try:
            self._folder = make_folder()
        except OSError as error:
            self._no_folder = str(error)
        self._victims: dict[int, Victim] = {}
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def workspace_host(self) -> Path:
        if self._folder is None:
            raise Untested(self._no_folder)
        return self._folder

    @property
    def workspace(self) -> str:
        return str(self.workspace_host)

    def executor(self, ground: Ground) -> Executor:
        return stand_in(ground, self._victims)

    async def run_program(self, program: str, *, timeout: float) -> Ran:
        argv = [interpreter(), *PROGRAM_ON_STDIN]
        return await self.run(
            argv, input=program.encode(), timeout=timeout, output_limit=_REPORTS_LIMIT
        )

    async def run(
        self, argv: list[str], *, input: bytes = b"", timeout: float, output_limit: int
    ) -> Ran:
        """Run it; all output is kept, and after the timeout the command is asked to end."""
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._folder or "/",
            close_fds=False,  # what the launcher leaves open is inherited: one probe looks for it
            start_new_session=True,
        )
        self._watch(process.pid)

        def talk() -> tuple[bytes, bytes]:
            try:
                return process.communicate(input, timeout=timeout)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()
                raise TimeoutError(f"the command was asked to end after {timeout} s") from None

        out, err = await anyio.to_thread.run_sync(talk)
        return Ran(returncode=process.returncode, stdout=out, stderr=err)

    async def read(self, path: str, *, patience: float = 5) -> bytes:
        """Open whatever the path leads to and read it to its end."""
        ran = await self.run(["cat", "--", path], timeout=patience, output_limit=1 << 20)
        if ran.returncode:
            raise OSError(ran.stderr.decode("utf-8", "replace").strip())
        return ran.stdout

    async def write(self, path: str, data: bytes) -> None:
        Path(path).write_bytes(data)

    async def answers(self, executor: Executor) -> bool:
        return works(self._victims[executor.host])

    async def end(self) -> None:
        """Nothing more: every command's own process has ended, and that is all it looked after."""

    def _watch(self, leader: int) -> None:
        """Have a session ended when this place is removed, or when this process is killed."""
        if self._watcher is None:
            self._watcher = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", inspect.getsource(_sessions)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        start = start_time(leader)
        if start is not None and self._watcher.stdin is not None:
            self._watcher.stdin.write(f"{leader} {start}\n".encode())
            self._watcher.stdin.flush()

    def remove(self) -> None:
        """End what its commands left, and remove the workspace."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.communicate()
        folder, self._folder = self._folder, None
        if folder is not None:
            remove_folder(folder)


def can_choose_user() -> bool:
    """Whether this process may start others under another user."""
    return os.geteuid() == 0
