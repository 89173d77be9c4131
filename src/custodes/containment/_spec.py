"""Values that the sandboxes take and give, and the errors that they raise."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final, Literal, Protocol

from custodes.types import JsonObject, Tier

OUTPUT_LIMIT: Final = 10 << 20
"""Bytes kept of each output stream of a command, unless the caller says otherwise."""
READ_LIMIT: Final = 100 << 20
"""Bytes that a file may have to be read, unless the caller says otherwise."""
OnOutput = Callable[[Literal["stdout", "stderr"], bytes], None]
"""Takes each chunk of a command's output as it comes: the name of the stream, and the bytes."""


class SandboxError(Exception):
    """Something about the sandbox itself, not about what ran in it."""


class SandboxUnavailable(SandboxError):
    """No sandbox can be started here, or it has ended. One line: what is wrong, what to do."""


class SandboxGone(SandboxUnavailable):
    """The sandbox ended (killed, closed or died) before or during the request."""


class SandboxFrozen(SandboxError):
    """The sandbox is frozen and takes no request until it is thawed or killed."""


class ReadLimitExceeded(SandboxError, OSError):
    """A file is larger than the caller's limit (EFBIG); ``limit`` is in bytes."""

    def __init__(self, path: str, limit: int) -> None:
        OSError.__init__(
            self, errno.EFBIG, f"expected a file of at most {limit} bytes, found more", path
        )
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what runs inside. 0 means no bound.

    Attributes:
        processes: processes and threads of the sandbox (RLIMIT_NPROC of each command).
        file_mb: largest single file, MiB.
        address_mb: address space of each process, MiB. Low values break JVM, node and Go.
        open_files: descriptors of each process.
        tmpfs_mb: size of each in-memory file system (/tmp, /var/tmp, /dev/shm, home), MiB. Their
            pages are memory of the host, and no part of ``memory_mb`` unless a control group
            counts them.
        memory_mb: memory of the whole sandbox, MiB, and the most that one process may commit
            (RLIMIT_DATA). A sandbox that takes more is ended: by its control group where there is
            one with a memory controller, else by a watcher that looks several times a second.
        disk_mb: blocks allocated in the workspace, MiB. A sandbox that takes more is ended by the
            watcher, which looks about once a second.
    """

    processes: int = 512
    file_mb: int = 1024
    address_mb: int = 0
    open_files: int = 4096
    tmpfs_mb: int = 512
    memory_mb: int = 4096
    disk_mb: int = 4096

    def __post_init__(self) -> None:
        for bound in fields(self):
            value = getattr(self, bound.name)
            if value < 0:
                raise ValueError(f"expected limits.{bound.name} of 0 or more, found {value}")
        if self.tmpfs_mb == 0:
            raise ValueError("expected limits.tmpfs_mb of 1 or more: it bounds the host's memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What a sandbox looks like from inside.

    Attributes:
        workspace_host: folder of the host bound read-write; None: the sandbox makes one, owns it
            and removes it. Its path can be read inside (``/proc/self/mountinfo``), so give it a
            neutral name. When the host runs as root, what is in it is handed to the uid that
            sandboxes are launched under, except files with several names (hard links).
        workspace: where it is seen inside, absolute.
        hostname: name of the machine as seen inside.
        user: name of the only ordinary user; its uid and gid are 1000.
        home: its home directory, an in-memory file system.
        environment: variables of every command, over the usual ones (PATH, HOME, ...).
        read_only: further folders or files bound read-only: (path on the host, path inside).
        tmpfs: further empty in-memory directories, private to the user, mounted last.
        certificates: further certificate authorities to trust inside, PEM.
        limits: bounds on what runs inside.
        executor: first process of the namespace: compiled C, Python, or C with Python behind it.
        inspect_tools: bind one extracted copy of Inspect's tool programs read-only where Inspect
            looks for them.
    """

    workspace_host: Path | None = None
    workspace: str = "/workspace"
    hostname: str = "build-07"
    user: str = "dev"
    home: str = "/home/dev"
    environment: Mapping[str, str] = field(default_factory=dict)
    read_only: tuple[tuple[Path, str], ...] = ()
    tmpfs: tuple[str, ...] = ()
    certificates: bytes = b""
    limits: Limits = field(default_factory=Limits)
    executor: Literal["auto", "c", "python"] = "auto"
    inspect_tools: bool = False

    def __post_init__(self) -> None:
        inside = [self.workspace, self.home, *self.tmpfs, *(target for _, target in self.read_only)]
        for path in inside:
            if not path.startswith("/") or ".." in PurePosixPath(path).parts or path == "/":
                raise ValueError(f"expected an absolute path inside the sandbox, found {path!r}")
        for name, word in (("hostname", self.hostname), ("user", self.user)):
            if not word or not all(c.isascii() and (c.isalnum() or c in "-_") for c in word):
                raise ValueError(f"expected {name} of letters, digits, - and _, found {word!r}")
        for key, value in self.environment.items():
            if not key or "=" in key or "\0" in key + value:
                raise ValueError(f"expected an environment variable, found {key!r}={value!r}")
        object.__setattr__(self, "environment", MappingProxyType(dict(self.environment)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """How a command ended.

    Attributes:
        returncode: exit code; 128 + n when signal n ended it; 126 or 127 when it could not be
            run (``stderr`` says why); 124 when it was ended by the time limit.
        stdout: the last ``output_limit`` bytes written; ``stdout_truncated`` when there were more.
        stderr: likewise.
        timed_out: the time limit passed and the command's session was killed. Output up to then
            is kept. A process that left the session may live on until the sandbox is killed.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    stdout_truncated: bool = False
    stderr_truncated: bool = False
    timed_out: bool = False

    @property
    def success(self) -> bool:
        return self.returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """One process of the sandbox as the host sees it.

    Attributes:
        pid: its number on the host. ppid: its parent's.
        state: letter of the kernel: R, S, D running or waiting, T stopped, Z ended and not yet
            collected by its parent (never said of a process with a living thread).
        comm: the name that it gave itself.
        init: it is the sandbox's first process.
    """

    pid: int
    ppid: int
    state: str
    comm: str
    init: bool = False

    @property
    def ended(self) -> bool:
        """Nothing of it can run any more."""
        return self.state in ("Z", "X")


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeReceipt:
    """What a freeze reached.

    Attributes:
        verified: every process of the sandbox was seen stopped twice in a row, and none of their
            threads ran in between (context switches are counted).
        processes: how many processes are held, init not counted.
        signals: stop signals sent. rounds: scans made.
        elapsed_us: microseconds from the order to the verified state (or to giving up).
        mechanism: ``cgroup`` (the kernel's freezer) or ``signal`` (SIGSTOP).
        note: why it is not verified although all are held at this moment, or empty.
    """

    verified: bool
    processes: int
    signals: int
    rounds: int
    elapsed_us: int
    mechanism: Literal["cgroup", "signal"]
    note: str = ""

    def to_json(self) -> JsonObject:
        return {
            "verified": self.verified,
            "note": self.note,
            "processes": self.processes,
            "signals": self.signals,
            "rounds": self.rounds,
            "elapsed_us": self.elapsed_us,
            "mechanism": self.mechanism,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class KillReceipt:
    """What a kill reached.

    Attributes:
        verified: nothing of the sandbox runs any more, as far as the mechanism can see.
        guaranteed: the mechanism sees everything (the kernel ended the namespace). False for
            plain subprocesses, where a process that hides its origin is not found.
        processes_before: processes when the order came, init not counted; None: not counted.
        elapsed_us: microseconds from the order to the proof (or to giving up).
        mechanism: ``namespace`` (SIGKILL to its first process), ``cgroup`` (the kernel's
            ``cgroup.kill``), or ``marker`` for plain subprocesses.
        note: what a reader must know, or empty.
    """

    verified: bool
    guaranteed: bool
    processes_before: int | None
    elapsed_us: int
    mechanism: Literal["namespace", "cgroup", "marker"]
    note: str = ""

    def to_json(self) -> JsonObject:
        return {
            "verified": self.verified,
            "guaranteed": self.guaranteed,
            "processes_before": self.processes_before,
            "elapsed_us": self.elapsed_us,
            "mechanism": self.mechanism,
            "note": self.note,
        }


class AnySandbox(Protocol):
    """What every tier offers; ``Sandbox`` (tier A) and ``PlainSandbox`` (tier C) are such."""

    tier: Tier
    workspace: str

    @property
    def workspace_host(self) -> Path: ...
    @property
    def alive(self) -> bool: ...
    def own(self, path: Path | str = ".") -> int: ...
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
    ) -> ExecResult: ...
    async def read_file(self, path: str, *, limit: int = READ_LIMIT) -> bytes: ...
    async def write_file(self, path: str, data: bytes) -> None: ...
    async def listen(self, port: int) -> int: ...
    def processes(self) -> tuple[ProcessInfo, ...]: ...
    async def freeze(self) -> FreezeReceipt: ...
    async def thaw(self) -> int: ...
    async def kill(self) -> KillReceipt: ...
    async def close(self) -> None: ...
