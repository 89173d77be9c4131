"""Tier C: plain subprocesses. NOT CONTAINED: nothing here keeps anything from anybody.

It offers the calls of ``Sandbox`` so that the rest can run where no sandbox is possible and the
user insists. Commands see the host's files, network and processes. They are found again by a
variable in their environment, which a process can remove: a kill is never guaranteed.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import anyio
import anyio.to_thread

from custodes.types import Tier

from . import _volumes
from ._launch import launch
from ._processes import continue_all, host_pids, read_stat, send, stop_all
from ._spec import (
    OUTPUT_LIMIT,
    READ_LIMIT,
    ExecResult,
    FreezeReceipt,
    KillReceipt,
    OnOutput,
    ProcessInfo,
    ReadLimitExceeded,
    SandboxFrozen,
    SandboxGone,
    SandboxSpec,
    SandboxUnavailable,
)
from ._streams import DRAINER, drain, first_cause, pump_in, pump_out, tails

_MARKER = "INVOCATION_ID"
_KILL_SECONDS = 10.0
_NOTE = "not guaranteed: a process that removed its marker would not be found"


class PlainSandbox:
    """A folder and a marker; see the module. Made by ``start``, ended by ``kill`` or ``close``."""

    tier = Tier.C

    def __init__(self, spec: SandboxSpec) -> None:
        self._spec = spec
        self.workspace = str(PurePosixPath(spec.workspace))
        self._volume: Path | None = None
        self._workspace_host: Path | None = None
        self._marker = uuid.uuid4().hex
        self._parked: list[int] = []
        self._frozen = False
        self._ended: KillReceipt | None = None

    @classmethod
    async def start(
        cls, spec: SandboxSpec | None = None, *, allow_uncontained: bool = False
    ) -> PlainSandbox:
        """Make the folder.

        Raises:
            SandboxUnavailable: ``allow_uncontained`` was not given, or there is no place.
        """
        if not allow_uncontained:
            raise SandboxUnavailable(
                "plain subprocesses contain nothing and are refused; allow them with "
                "--allow-uncontained, or install what tier A needs (bubblewrap)"
            )
        sandbox = cls(SandboxSpec() if spec is None else spec)
        sandbox._volume = _volumes.make_volume()
        (sandbox._volume / "home").mkdir(mode=0o700)
        _volumes.give(sandbox._volume / "home")
        sandbox._workspace_host = sandbox._spec.workspace_host or sandbox._volume / "data"
        if not sandbox._workspace_host.is_dir():
            await sandbox.close()
            raise SandboxUnavailable(
                f"expected a folder as workspace, found none at {sandbox._workspace_host}; make it"
            )
        if sandbox._spec.workspace_host is not None:
            await anyio.to_thread.run_sync(_volumes.give_tree, sandbox._workspace_host)
        return sandbox

    @property
    def spec(self) -> SandboxSpec:
        return self._spec

    @property
    def workspace_host(self) -> Path:
        """The workspace; commands see it under this path too, not under ``spec.workspace``."""
        if self._workspace_host is None:
            raise SandboxGone("the sandbox has not been started")
        return self._workspace_host

    @property
    def home_host(self) -> Path:
        """The home of its commands."""
        if self._volume is None:
            raise SandboxGone("the sandbox has not been started")
        return self._volume / "home"

    @property
    def alive(self) -> bool:
        return self._ended is None and self._volume is not None

    def own(self, path: Path | str = ".") -> int:
        """As ``Sandbox.own``."""
        inside = Path(path)
        if inside.is_absolute():
            inside = inside.relative_to(self.workspace_host)
        return _volumes.give_tree(self.workspace_host, str(inside))

    # ------------------------------------------------------------------ processes

    def _belongs(self, pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                return f"{_MARKER}={self._marker}".encode() in file.read().split(b"\0")
        except OSError:
            return False

    def _pids(self) -> list[int]:
        return [pid for pid in host_pids() if self._belongs(pid)]

    def processes(self) -> tuple[ProcessInfo, ...]:
        """Processes with this sandbox's marker in their first environment."""
        found = []
        for pid in sorted(host_pids()):
            if self._belongs(pid) and (about := read_stat(pid)) is not None:
                found.append(
                    ProcessInfo(pid=pid, ppid=about.ppid, state=about.state, comm=about.comm)
                )
        return tuple(found)

    async def freeze(self) -> FreezeReceipt:
        """Stop what carries the marker."""
        started = time.monotonic_ns()
        if not self.alive:
            raise SandboxGone("the sandbox has ended; there is nothing to freeze")
        self._frozen = True
        return await stop_all(self._pids, self._belongs, started_ns=started)

    async def thaw(self) -> int:
        if not self.alive:
            raise SandboxGone("the sandbox has ended; there is nothing to thaw")
        self._frozen = False
        return continue_all(self._pids, self._belongs)

    async def kill(self, *, count: bool = True) -> KillReceipt:
        """Kill what carries the marker until a scan finds none."""
        started = time.monotonic_ns()
        if self._ended is not None:
            return self._ended
        before: int | None = None
        verified = False
        end = time.monotonic() + _KILL_SECONDS
        while not verified and time.monotonic() < end:
            left = [p for p in self.processes() if not p.ended]
            before = len(left) if before is None else before
            for process in left:
                send(process.pid, signal.SIGKILL, self._belongs)
            verified = not left
            if not verified:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
        receipt = KillReceipt(
            verified=verified,
            guaranteed=False,
            processes_before=before if count else None,
            elapsed_us=(time.monotonic_ns() - started) // 1000,
            mechanism="marker",
            note=_NOTE,
        )
        if verified:
            self._ended = receipt
        return receipt

    async def close(self) -> None:
        """Kill what is found, and remove the folder. May be repeated."""
        with anyio.CancelScope(shield=True):
            if self._ended is None and self._volume is not None:
                await self.kill(count=False)
            while self._parked:
                os.close(self._parked.pop())
            if self._volume is not None:
                await anyio.to_thread.run_sync(_volumes.remove_volume, self._volume)
                self._volume = None

    async def __aenter__(self) -> PlainSandbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------ requests

    def _check(self) -> None:
        if not self.alive:
            raise SandboxGone("the sandbox has ended; start another")
        if self._frozen:
            raise SandboxFrozen("the sandbox is frozen; thaw it first")

    def _on_host(self, path: str) -> Path:
        """A path as inside, on the host: the workspace's is replaced, others must lie in it."""
        given = PurePosixPath(path)
        if not given.is_absolute():
            return self.workspace_host / given
        if given.is_relative_to(self.workspace):
            return self.workspace_host / given.relative_to(self.workspace)
        return Path(given)

    async def exec(
        self,
        argv: Sequence[str],
        *,
        input: bytes | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        output_limit: int = OUTPUT_LIMIT,
        on_output: OnOutput | None = None,
    ) -> ExecResult:
        """As ``Sandbox.exec``, as a plain subprocess in a session of its own."""
        if not argv:
            raise ValueError("expected a program to run, found an empty argv")
        self._check()
        assert self._volume is not None
        user = self._spec.user
        variables = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "HOME": str(self._volume / "home"),
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            **self._spec.environment,
            **(env or {}),
            _MARKER: self._marker,
        }
        folder = self._on_host(cwd) if cwd is not None else self.workspace_host
        identity = _volumes.run_identity()
        out, err = tails(output_limit, on_output)

        def start() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env=variables,
                start_new_session=True,
                user=None if identity is None else identity[0],
                group=None if identity is None else identity[1],
                extra_groups=None if identity is None else [],
                bufsize=0,
            )

        try:
            process = launch(start).result()
        except PermissionError:
            raise
        except OSError as error:
            code = 127 if error.errno == errno.ENOENT else 126
            line = f"{error.filename}: {error.strerror}\n".encode()
            return ExecResult(returncode=code, stdout=b"", stderr=line)
        streams = [s for s in (process.stdin, process.stdout, process.stderr) if s is not None]
        fds = [os.dup(stream.fileno()) for stream in streams]
        for stream in streams:
            stream.close()
        held = set(fds)
        for fd in fds:
            os.set_blocking(fd, False)
        in_fd = fds[0] if input is not None else -1
        out_fd, err_fd = fds[-2:]
        ended = os.pidfd_open(process.pid)
        timed_out = False
        try:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(pump_out, out_fd, out)
                    tasks.start_soon(pump_out, err_fd, err)
                    if input is not None:

                        async def feed() -> None:
                            await pump_in(in_fd, input)
                            held.discard(in_fd)
                            os.close(in_fd)

                        tasks.start_soon(feed)
                    with anyio.move_on_after(timeout) as clock:
                        await anyio.wait_readable(ended)
                    if clock.cancelled_caught:
                        timed_out = True
                        await self._end_session(process, ended)
                    tasks.cancel_scope.cancel()
            except BaseException as error:
                with anyio.CancelScope(shield=True):
                    await self._end_session(process, ended)
                raise first_cause(error) from None
            for fd, tail in ((out_fd, out), (err_fd, err)):
                if not tail.ended:
                    drain(fd, tail)
                if not tail.ended:
                    held.discard(fd)
                    DRAINER.adopt(fd, self._parked)
        finally:
            process.poll()
            os.close(ended)
            for fd in held:
                os.close(fd)
        status = process.returncode if process.returncode is not None else 126
        return ExecResult(
            returncode=124 if timed_out else (128 - status if status < 0 else status),
            stdout=out.content(),
            stderr=err.content(),
            stdout_truncated=out.truncated,
            stderr_truncated=err.truncated,
            timed_out=timed_out,
        )

    async def _end_session(self, process: subprocess.Popen[bytes], ended: int) -> None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.move_on_after(5):
            await anyio.wait_readable(ended)

    async def read_file(self, path: str, *, limit: int = READ_LIMIT) -> bytes:
        """As ``Sandbox.read_file``; only below the workspace, links followed only within it."""
        self._check()
        fd = self._open(path, os.O_RDONLY)
        with os.fdopen(fd, "rb", buffering=0) as file:
            content = bytearray()
            while len(content) <= limit:
                chunk = file.read(min(1 << 20, limit + 1 - len(content)))
                if not chunk:
                    return bytes(content)
                content += chunk
        raise ReadLimitExceeded(path, limit)

    async def write_file(self, path: str, data: bytes) -> None:
        """As ``Sandbox.write_file``; only below the workspace, links followed only within it."""
        self._check()
        target = self._within(path)
        missing = [p for p in target.parents if not p.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        fd = self._open(path, os.O_WRONLY | os.O_CREAT)
        with os.fdopen(fd, "wb") as file:
            file.truncate(0)
            file.write(data)
        for made in (*reversed(missing), target):
            _volumes.give(made)

    def _within(self, path: str) -> Path:
        real = Path(os.path.realpath(self._on_host(path)))
        if not real.is_relative_to(os.path.realpath(self.workspace_host)):
            raise PermissionError(errno.EACCES, "outside the workspace", path)
        return real

    def _open(self, path: str, flags: int) -> int:
        flags |= os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._within(path), flags, 0o644)
        mode = os.fstat(fd).st_mode
        if stat.S_ISREG(mode):
            return fd
        os.close(fd)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
        raise PermissionError(errno.EACCES, "not a regular file", path)

    async def listen(self, port: int) -> int:
        """Listen on 127.0.0.1 of the host itself."""
        self._check()
        if not 0 < port < 65536:
            raise ValueError(f"expected a port in 1..65535, found {port}")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", port))
            server.listen(128)
            return server.detach()
