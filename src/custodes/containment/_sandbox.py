"""Tier A: one long-lived sandbox of bubblewrap, with a small executor as its first process.

::

    host                                      sandbox: own user, pid, net, ipc, uts, mount, cgroup
    control socket (SEQPACKET) -------------> executor = process 1: forks and reaps
    per command: pipes and a status socket,   the forked child parses the request, takes the
    passed as descriptors; argv in a memfd    descriptors as its 0, 1, 2 and runs the program

Output never crosses the executor, so there is nothing to frame and nothing to forge; background
processes live on between commands because the namespace does. Files are opened inside and their
descriptor is passed out, so that a planted link leads nowhere.

What an agent inside can still see that is not an ordinary machine, and that cannot be hidden here:
the root of ``/`` in ``/proc/self/mountinfo`` is ``/newroot``, and binds show their folder on the
host; ``/usr`` is the host's, with its bubblewrap program if it lies there; files of the host's
root belong to ``nobody``; ``/proc/self/uid_map`` shows one mapped uid; ``/proc/self/status`` shows
a seccomp filter and no capabilities; ``/proc/version``, uptime and load are the host's; the only
network interface is ``lo``; process 1 is named ``init`` but started moments ago.

Memory and disk are bounded as ``Limits`` says: by a delegated control group where there is one,
else by a watcher outside (``_quota``, which names what it cannot see). Limits that the kernel
counts by user (descriptors in flight, inotify watches) are shared by sandboxes of one launching
user, and with that user when it is not root. Something inside that takes all it can of the
processors slows down its own commands first: the first process has precedence, and where this is
root many sessions of a sandbox share as one (``_priority``).
"""

from __future__ import annotations

import errno
import glob
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Final, Literal, TypedDict, TypeVar

import anyio
import anyio.abc
import anyio.to_thread

from custodes.types import Tier

from . import _volumes
from ._answers import Ending, Message, receive, take
from ._cgroup import ENVIRONMENT as CGROUP_ENVIRONMENT
from ._cgroup import Cgroup, delegated_cgroup, remove_abandoned
from ._executor import ExecutorProgram, executor_program
from ._inspect_tools import inspect_tools_binds
from ._launch import launch
from ._masking import mask_arguments, masked_paths
from ._priority import prefer
from ._processes import (
    continue_all,
    in_namespace,
    namespace_of,
    pids_in_namespace,
    send,
    stop_all,
)
from ._quota import WATCHER, Watch
from ._seccomp import seccomp_program
from ._spec import (
    OUTPUT_LIMIT,
    READ_LIMIT,
    ExecResult,
    FreezeReceipt,
    KillReceipt,
    OnOutput,
    ProcessInfo,
    ReadLimitExceeded,
    SandboxError,
    SandboxFrozen,
    SandboxGone,
    SandboxSpec,
    SandboxUnavailable,
)
from ._streams import DRAINER, drain, first_cause, pump_in, pump_out, tails

UID: Final = 1000
"""Uid and gid of everything inside, as seen inside."""
_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_START_SECONDS: Final = 30.0
_KILL_SECONDS: Final = 20.0
_FILE_SECONDS: Final = 60.0
_FILE_TRIES: Final = 5
_SEND_SECONDS: Final = 10.0
_HOLD_SECONDS: Final = 0.25
"""How long the first process has to stop the others, before they are stopped one by one."""
_ANSWER_SECONDS: Final = 10.0
"""Silence of the executor after which a sandbox is ended."""
_REQUESTS_AT_ONCE: Final = 256
"""Requests under way above which silence means nothing: the executor takes 512."""
_INLINE: Final = 1 << 20
"""Files up to this size are copied on the event loop's thread."""
_LOCAL_TO_THE_HOST: Final = ("/usr/local/share/ca-certificates", "/usr/src", "/usr/local/src")
"""Folders of /usr that tell of this host and its owner, or hold source code: seen empty."""
_NEEDED_OPTIONS: Final = (
    "--as-pid-1",
    "--die-with-parent",
    "--perms",
    "--size",
    "--seccomp",
    "--unshare-cgroup-try",
    "--clearenv",
    "--remount-ro",
)
_swept = 0
_Result = TypeVar("_Result")


class Sandbox:
    """A running tier A sandbox; made by ``start``, ended by ``kill`` or ``close``."""

    tier = Tier.A

    def __init__(self, spec: SandboxSpec) -> None:
        self._spec = spec
        self.workspace = str(PurePosixPath(spec.workspace))
        self.executor: str | None = None
        self._volume: Path | None = None
        self._workspace_host: Path | None = None
        self._control: socket.socket | None = None
        self._outer: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._pidfd = -1
        self._namespace: str | None = None
        self._cgroup: Cgroup | None = None
        self._parked: list[int] = []
        self._frozen = False
        self._in_freezer = False
        self._thawed = 0.0
        self._watch: Watch | None = None
        self._because = ""
        self._under_way = 0
        self._ended: KillReceipt | None = None
        self._sending = anyio.Lock()
        self._killing = anyio.Lock()
        self._signalling = threading.Lock()
        self._environment = {
            "PATH": _PATH,
            "HOME": spec.home,
            "USER": spec.user,
            "LOGNAME": spec.user,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            **spec.environment,
        }

    # ------------------------------------------------------------------ start

    @classmethod
    async def start(cls, spec: SandboxSpec | None = None) -> Sandbox:
        """Start a sandbox.

        Safe from any thread: the launch itself happens on a thread that lives as long as the
        process.

        Raises:
            SandboxUnavailable: in one line, what is missing and what to do.
        """
        sandbox = cls(SandboxSpec() if spec is None else spec)
        try:
            await sandbox._start()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await sandbox.close()
            raise
        return sandbox

    async def _start(self) -> None:
        global _swept
        bubblewrap = find_bubblewrap()
        program = seccomp_program()
        group = delegated_cgroup()
        executor = await anyio.to_thread.run_sync(executor_program, self._spec.executor)
        self.executor = executor.kind
        if _swept != os.getpid():
            _swept = os.getpid()
            await anyio.to_thread.run_sync(_volumes.sweep)
            if group is not None:
                await anyio.to_thread.run_sync(remove_abandoned, group)
        self._volume = _volumes.make_volume()
        self._workspace_host = self._spec.workspace_host or self._volume / "data"
        if not self._workspace_host.is_dir():
            raise SandboxUnavailable(
                f"expected a folder as workspace, found none at {self._workspace_host}; make it"
            )
        if self._spec.workspace_host is not None:
            await anyio.to_thread.run_sync(_volumes.give_tree, self._workspace_host)

        host, guest = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        host.setblocking(False)
        host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._control = host
        fds: list[int] = []
        complaints: IO[bytes] | None = None
        try:
            complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, read before
            arguments = self._arguments(bubblewrap, executor, program, fds)
            arguments, credentials = _as_launched(arguments)

            def start() -> subprocess.Popen[bytes]:
                try:
                    # Nothing of our environment: bubblewrap keeps its own, and so would the first
                    # process be if it were not for --clearenv.
                    return subprocess.Popen(
                        arguments,
                        stdin=guest.fileno(),
                        stdout=subprocess.DEVNULL,
                        stderr=complaints,
                        env={},
                        cwd="/",
                        pass_fds=fds,
                        **credentials,
                    )
                finally:
                    guest.close()  # so that its end shows as end of file here
                    for fd in fds:
                        os.close(fd)

            future = launch(start)
        except BaseException as error:
            guest.close()
            for fd in fds:
                os.close(fd)
            if complaints is not None:
                complaints.close()
            if isinstance(error, OSError) and not isinstance(error, SandboxError):
                raise SandboxUnavailable(
                    f"expected room for a sandbox's own files, found: {error}; free some, or set "
                    "TMPDIR to another folder"
                ) from error
            raise
        try:
            greeting: tuple[bytes, int] | None = None
            with anyio.move_on_after(_START_SECONDS):
                try:
                    await anyio.wait_readable(host)
                    greeting = _greeting(host)
                finally:
                    # At most the time of a fork away, whether we were cancelled or not.
                    self._outer = future.result(timeout=_START_SECONDS)
            if greeting is None or greeting[0] != b"H" or greeting[1] <= 0:
                complaints.seek(0)
                raise SandboxUnavailable(_explain(complaints.read(2000)))
        except OSError as error:
            raise SandboxUnavailable(f"bubblewrap could not be run: {error}") from error
        finally:
            complaints.close()
        # From SCM_CREDENTIALS: translated by the kernel, so it cannot be forged.
        self._init_pid = greeting[1]
        try:
            self._pidfd = os.pidfd_open(self._init_pid)
        except OSError as error:
            raise SandboxUnavailable(f"the sandbox ended while it started: {error}") from error
        host.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        self._namespace = namespace_of(self._init_pid)
        if self._namespace == namespace_of(os.getpid()):
            os.close(self._pidfd)  # it ended, and its pid is somebody else's by now
            self._pidfd = -1
            raise SandboxUnavailable("the sandbox ended while it started; try again")
        limits = self._spec.limits
        self._cgroup = Cgroup.make(
            self._init_pid, memory_mb=limits.memory_mb, processes=limits.processes
        )
        prefer(self._init_pid)
        bounds = self.bounds
        memory = limits.memory_mb << 20 if bounds["memory"] == "watcher" else 0
        disk = limits.disk_mb << 20 if bounds["disk"] == "watcher" else 0
        if self._namespace is not None and (memory or disk):
            self._watch = Watch(
                namespace=self._namespace,
                init_pid=self._init_pid,
                memory=memory,
                disk=disk,
                workspace=self._workspace_host,
                end=self._end_because,
            )
            WATCHER.add(self._watch)

    def _arguments(
        self, bubblewrap: str, executor: ExecutorProgram, program: bytes, fds: list[int]
    ) -> list[str]:
        spec = self._spec
        assert self._volume is not None and self._workspace_host is not None
        options = bubblewrap_options(bubblewrap)
        missing = [option for option in _NEEDED_OPTIONS if option not in options]
        if missing:
            raise SandboxUnavailable(
                f"expected bubblewrap 0.6 or newer, found one without {', '.join(missing)}; "
                "update bubblewrap"
            )
        size = str(spec.limits.tmpfs_mb << 20)

        def content(data: bytes) -> str:
            fd = _memfd(data)
            fds.append(fd)
            return str(fd)

        def in_memory(path: str, mode: str) -> list[str]:
            return ["--perms", mode, "--size", size, "--tmpfs", path]

        def bind(kind: str, source: Path, target: str) -> list[str]:
            if not _volumes.reachable(source if source.is_dir() else source.parent):
                raise SandboxUnavailable(
                    f"expected a path that uid {_volumes.run_identity_uid()} can reach, found "
                    f"{source}; put it below /tmp, or let others pass its parent folders (o+x)"
                )
            return [kind, str(source), target]

        out = [
            bubblewrap,
            *("--unshare-user", "--uid", str(UID), "--gid", str(UID)),
            *(("--disable-userns",) if "--disable-userns" in options else ()),
            *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"),
            *("--unshare-cgroup-try", "--hostname", spec.hostname),
            *("--new-session", "--die-with-parent", "--as-pid-1", "--cap-drop", "ALL"),
            "--clearenv",
        ]
        for name in ("bin", "sbin", "lib", "lib64", "lib32", "libx32"):
            path = f"/{name}"
            if os.path.islink(path):
                out += ["--symlink", os.readlink(path).lstrip("/"), path]
            elif os.path.isdir(path):
                out += ["--ro-bind", path, path]
        out += ["--ro-bind", "/usr", "/usr"]
        local = [path for path in _LOCAL_TO_THE_HOST if os.path.isdir(path)]
        out += mask_arguments((*masked_paths(), *local))
        targets = [
            self.workspace,
            spec.home,
            *spec.tmpfs,
            *(target for _, target in spec.read_only),
        ]
        folders = {"/etc", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/var"}
        folders |= {"/etc/ssl", "/etc/ssl/certs"}
        in_tmpfs = ("/usr", "/tmp", "/var/tmp", "/dev", "/proc", spec.home)
        for target in targets:
            for parent in PurePosixPath(target).parents:
                name = str(parent)
                if name != "/" and not any(
                    name == top or name.startswith(f"{top}/") for top in in_tmpfs
                ):
                    folders.add(name)
        for folder in sorted(folders):  # made by a bind, a parent would be closed to the user
            out += ["--perms", "0755", "--dir", folder]
        usual = ("/etc/ld.so.cache", "/etc/alternatives", *_java_settings())
        for path in usual:
            out += ["--ro-bind-try", path, path]
        meta = self._volume / "meta"
        # Settings of the namespaces belong to their owner, who is the agent's user outside.
        out += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
        for name, text in _PROC_FILES:
            if os.path.exists(name):
                try:
                    (meta / PurePosixPath(name).name).write_text(text(), "ascii")
                except OSError as error:
                    raise SandboxUnavailable(
                        f"the sandbox's own files could not be written: {error}; free some space"
                    ) from error
                out += bind("--ro-bind", meta / PurePosixPath(name).name, name)
        out += [
            *("--dev", "/dev", *in_memory("/dev/shm", "1777")),
            *("--remount-ro", "/dev"),  # it is a writable file system without a limit otherwise
            *in_memory("/tmp", "1777"),
            *in_memory("/var/tmp", "1777"),
            *in_memory(spec.home, "0700"),
            *bind("--bind", self._workspace_host, self.workspace),
        ]
        for path, data in _etc(spec).items():
            out += ["--perms", "0444", "--file", content(data), path]
        for source, target in spec.read_only:
            if not source.exists():
                raise SandboxUnavailable(
                    f"expected something to bind at {source}, found nothing; check read_only"
                )
            out += bind("--ro-bind", source, target)
        for target in spec.tmpfs:
            out += in_memory(target, "0700")
        if spec.inspect_tools:
            tools = inspect_tools_binds()
            out += bind("--ro-bind", tools.folder, tools.target)
            out += in_memory(tools.server, "0700")
        out += ["--perms", "0555", "--file", content(executor.content), "/init"]
        out += ["--remount-ro", "/", "--chdir", self.workspace, "--seccomp", content(program), "--"]
        if executor.interpreter is not None:
            out += [executor.interpreter, "-I", "-S"]
        return [*out, "/init"]

    # ------------------------------------------------------------------ state

    @property
    def spec(self) -> SandboxSpec:
        return self._spec

    @property
    def workspace_host(self) -> Path:
        """The workspace as the host sees it. Links in it are the agent's: do not follow them."""
        if self._workspace_host is None:
            raise SandboxGone("the sandbox has not been started")
        return self._workspace_host

    @property
    def _file_limit(self) -> int:
        """Bytes of one file: the disk, watched more rarely, is not passed by far with one."""
        limits = self._spec.limits
        return min(size for size in (limits.file_mb, 2 * limits.disk_mb, 1 << 40) if size) << 20

    @property
    def init_pid(self) -> int:
        """Host pid of the first process of the namespace."""
        return self._init_pid

    @property
    def cgroup(self) -> Path | None:
        """Its own version 2 control group, if there is one."""
        return None if self._cgroup is None else self._cgroup.folder

    @property
    def bounds(self) -> Mapping[str, str]:
        """What bounds the sandbox as a whole.

        ``memory``: ``cgroup``, ``watcher`` or ``none``. ``processes``: ``cgroup`` (and RLIMIT_NPROC
        below it), ``rlimit`` or ``none``. ``disk`` (the workspace): ``watcher`` or ``none``.
        """
        limits = self._spec.limits
        controls = frozenset[str]() if self._cgroup is None else self._cgroup.controls
        watcher = "watcher" if self._namespace is not None else "none"
        return {
            "memory": "cgroup" if "memory" in controls else watcher if limits.memory_mb else "none",
            "processes": "cgroup"
            if "pids" in controls
            else "rlimit"
            if limits.processes
            else "none",
            "disk": watcher if limits.disk_mb else "none",
        }

    @property
    def ended_because(self) -> str:
        """One line that says why Custodes or the kernel ended the sandbox on its own; else empty.

        A kill that was ordered is no such reason.
        """
        if not self._because and self._ended is None and not self.alive:
            self._note_memory()
        return self._because

    def _note_memory(self) -> None:
        if not self._because and self._cgroup is not None and self._cgroup.out_of_memory():
            limit = self._spec.limits.memory_mb
            self._because = f"memory: the kernel ended the control group at {limit} MiB"

    def _end_because(self, because: str) -> None:
        """End the namespace for a reason; safe from any thread."""
        with self._signalling:
            if self._pidfd < 0 or _readable(self._pidfd):
                return
            self._because = because
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def _gone(self, text: str = "the sandbox has ended; start another") -> SandboxGone:
        """The error to raise, once nothing is left: the first process goes before the others."""
        if self._pidfd >= 0:
            own = os.dup(self._pidfd)  # one task at a time may wait for a descriptor
            try:
                with anyio.move_on_after(_KILL_SECONDS):
                    await anyio.wait_readable(own)
            finally:
                os.close(own)
        if because := self.ended_because:
            text = f"the sandbox was ended ({because}); start another"
        return SandboxGone(text)

    @property
    def alive(self) -> bool:
        """Whether the namespace still exists."""
        return self._pidfd >= 0 and not _readable(self._pidfd)

    def own(self, path: Path | str = ".") -> int:
        """Give files that the host put into the workspace to the sandbox's user.

        Needed when the host runs as root: otherwise they belong to nobody inside, and git refuses
        such a repository. A path relative to the workspace; folders with all below them. Returns
        how many changed hands. Called by ``start`` for the whole workspace.
        """
        inside = Path(path)
        if inside.is_absolute():
            inside = inside.relative_to(self.workspace_host)
        return _volumes.give_tree(self.workspace_host, str(inside))

    def processes(self) -> tuple[ProcessInfo, ...]:
        """Every process of the namespace as the host sees it; the first one is marked ``init``."""
        if not self.alive:
            return ()
        return in_namespace(self._init_pid, self._namespace)

    def _pids(self) -> set[int]:
        return pids_in_namespace(self._init_pid, self._namespace) if self.alive else set()

    def _belongs(self, pid: int) -> bool:
        if self._namespace is not None and (name := namespace_of(pid)) is not None:
            return name == self._namespace
        return pid in self._pids()

    # ------------------------------------------------------------------ stop

    async def freeze(self) -> FreezeReceipt:
        """Stop every process, and verify it. Requests are refused until ``thaw``.

        One that was under way waits in the stopped executor.

        Raises:
            SandboxGone: there is nothing to freeze any more.
        """
        started = time.monotonic_ns()
        if not self.alive:
            raise await self._gone("the sandbox has ended; there is nothing to freeze")
        self._frozen = True
        if self._cgroup is not None and await self._cgroup.freeze():
            self._in_freezer = True
            held = sum(not (p.init or p.ended) for p in self.processes())
            return FreezeReceipt(
                verified=True,
                processes=held,
                signals=0,
                rounds=1,
                elapsed_us=(time.monotonic_ns() - started) // 1000,
                mechanism="cgroup",
            )
        await self._hold()
        return await stop_all(
            self._pids, self._belongs, started_ns=started, init_pid=self._init_pid
        )

    async def _hold(self) -> None:
        """Have the first process stop all others in one call, which no fork can slip past.

        A look through /proc can miss one that becomes another process all the time. Whether it
        worked is for the scans to say that follow.
        """
        await self._order(b"Z")

    async def _order(self, op: bytes) -> None:
        """Have the first process do something itself, and wait a moment for its word."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            with suppress(OSError, SandboxError), anyio.move_on_after(_HOLD_SECONDS):
                body = ["1 0 0 0 0 0 0", "/", "-"]
                status = await self._request(op, body, (null, null, null), frozen=True)
                with status:
                    await receive(status)
        finally:
            os.close(null)

    async def thaw(self) -> int:
        """Let everything go on; returns how many processes there are, the first one included.

        Raises:
            SandboxGone: there is nothing to thaw any more.
        """
        if not self.alive:
            raise await self._gone("the sandbox has ended; there is nothing to thaw")
        if self._cgroup is not None:
            await self._cgroup.thaw()
        # What the freezer held needs no signal, which would wake what had stopped itself.
        if not self._in_freezer:
            # First the first process alone: an order to stop the others that did not reach it in
            # time is carried out now, and not after they were let go.
            send(self._init_pid, signal.SIGCONT, self._belongs)
            await self._order(b"N")
        pids = self._pids()
        count = len(pids) if self._in_freezer else continue_all(lambda: pids, self._belongs)
        self._frozen = self._in_freezer = False
        self._thawed = time.monotonic()
        return count

    async def kill(
        self, *, count: bool = True, by: Literal["namespace", "cgroup"] = "namespace"
    ) -> KillReceipt:
        """End the namespace, and wait for the proof that nothing of it is left.

        SIGKILL to its first process makes the kernel kill every other one. The descriptor of that
        process becomes readable only after all of them have been killed and reaped.

        Args:
            count: count the processes first (a look through /proc, within ``elapsed_us``).
            by: ``namespace`` as above; ``cgroup``: the kernel kills everything in the sandbox's
                control group, and the proof is that group's emptiness and the descriptor.

        Raises:
            SandboxError: a kill by control group was asked for, and there is none or it cannot.
        """
        started = time.monotonic_ns()
        async with self._killing:
            if self._ended is not None:
                return self._ended
            group = self._cgroup if by == "cgroup" else None
            if by == "cgroup" and group is None:
                raise SandboxError(
                    "expected a control group of the sandbox's own, found none; name a delegated "
                    f"one in {CGROUP_ENVIRONMENT} before it starts, or kill by namespace"
                )
            if not self.alive:
                self._note_memory()
            before: int | None = None
            if count:
                before = sum(not (p.init or p.ended) for p in self.processes())
            verified = False
            if self._pidfd >= 0:
                if group is None:
                    with suppress(ProcessLookupError):
                        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
                else:
                    try:
                        group.kill()
                    except OSError as error:
                        raise SandboxError(
                            f"the control group could not be killed: {error}; kill by namespace"
                        ) from error
                with anyio.CancelScope(shield=True), anyio.move_on_after(_KILL_SECONDS):
                    await anyio.wait_readable(self._pidfd)
                    if group is not None:
                        await group.emptied()
                    verified = True
            elapsed = (time.monotonic_ns() - started) // 1000
            with anyio.CancelScope(shield=True):
                await self._reap_outer()
            # Without a first process no command has ever run.
            verified = verified or self._pidfd < 0
            receipt = KillReceipt(
                verified=verified,
                guaranteed=True,
                processes_before=before,
                elapsed_us=elapsed,
                mechanism=by,
                note="" if verified else f"init not seen to end in {_KILL_SECONDS:.0f} s",
            )
            if verified:
                self._ended = receipt
            return receipt

    async def _reap_outer(self) -> None:
        """Wait for the bubblewrap process outside, which ends after the namespace.

        One that is still starting is not killed: killed at the wrong moment it leaves its child
        waiting for ever. It finds the control socket closed, and ends by itself.
        """
        if self._outer is None:
            return
        if self._pidfd < 0 and self._control is not None:
            self._control.close()
            self._control = None
        with suppress(OSError):
            fd = os.pidfd_open(self._outer.pid)
            try:
                with anyio.move_on_after(_KILL_SECONDS):
                    await anyio.wait_readable(fd)
            finally:
                os.close(fd)
        if self._outer.poll() is None:
            self._outer.kill()
            self._outer.wait()
            assert self._volume is not None
            await anyio.to_thread.run_sync(_volumes.end_strays, self._volume)

    async def close(self) -> None:
        """Kill what is left, and remove what the sandbox made on the host. May be repeated."""
        with anyio.CancelScope(shield=True):
            if self._ended is None:
                await self.kill(count=False)
            if self._control is not None:
                self._control.close()
                self._control = None
            if self._watch is not None:
                WATCHER.remove(self._watch)
                self._watch = None
            if self._pidfd >= 0:
                with self._signalling:  # the watcher's thread may be about to use it
                    os.close(self._pidfd)
                    self._pidfd = -1
            while self._parked:
                os.close(self._parked.pop())
            if self._cgroup is not None:
                self._cgroup.remove()
                self._cgroup = None
            # Never under something hostile that still runs: a later sweep removes it then.
            if self._volume is not None and self._ended is not None:
                await anyio.to_thread.run_sync(_volumes.remove_volume, self._volume)
                self._volume = None

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------ requests

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
        """Run a command and wait for it to end. Processes that it leaves behind live on.

        Args:
            argv: program and arguments; no shell.
            input: bytes on standard input; None: /dev/null.
            cwd: folder inside; relative ones start at the workspace, and so does None.
            env: variables over the sandbox's own.
            timeout: seconds from its start, after which the command's session is killed.
            output_limit: bytes kept of each output stream (the last ones).
            on_output: called with every chunk as it comes, on the event loop. What it raises ends
                the command and is raised here.

        Raises:
            PermissionError: the program may not be executed.
            SandboxGone: the sandbox ended before the command did.
            SandboxFrozen: it is frozen.
        """
        if not argv:
            raise ValueError("expected a program to run, found an empty argv")
        variables = {**self._environment, **(env or {})}
        limits = self._spec.limits
        header = " ".join(
            str(number)
            for number in (
                len(argv),
                len(variables),
                limits.processes,
                self._file_limit,
                limits.address_mb << 20,
                limits.open_files,
                limits.memory_mb << 20,
            )
        )
        folder = self._inside(cwd)
        body = [header, folder, *argv, *(f"{key}={value}" for key, value in variables.items())]
        out, err = tails(output_limit, on_output)
        held: set[int] = set()
        status: socket.socket | None = None

        def pipe() -> tuple[int, int]:
            ends = os.pipe()
            held.update(ends)
            return ends

        def drop(fd: int) -> None:
            held.discard(fd)
            os.close(fd)

        try:
            out_read, out_write = pipe()
            err_read, err_write = pipe()
            in_write = -1
            if input is None:
                in_read = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
                held.add(in_read)
            else:
                in_read, in_write = pipe()
                os.set_blocking(in_write, False)
            # The ends of a pipe have flags of their own: the command's stay blocking.
            os.set_blocking(out_read, False)
            os.set_blocking(err_read, False)
            status = await self._request(b"X", body, (in_read, out_write, err_write))
            for fd in (in_read, out_write, err_write):
                drop(fd)

            ending = Ending()
            timed_out = False
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(pump_out, out_read, out)
                    tasks.start_soon(pump_out, err_read, err)
                    if input is not None:

                        async def feed() -> None:
                            await pump_in(in_write, input)
                            drop(in_write)

                        tasks.start_soon(feed)
                    ending.add(await self._started(status))
                    with anyio.move_on_after(timeout) as clock:
                        await ending.wait(status)
                    if clock.cancelled_caught:
                        timed_out = True
                        await self._end_session(status, ending)
                    tasks.cancel_scope.cancel()
            except BaseException as error:
                if not ending.over and self.alive:
                    with anyio.CancelScope(shield=True):
                        await self._end_session(status, ending)
                raise first_cause(error) from None
            for fd, tail in ((out_read, out), (err_read, err)):
                if not tail.ended:
                    drain(fd, tail)
                if not tail.ended:  # a background process holds it
                    held.discard(fd)
                    DRAINER.adopt(fd, self._parked)
            if ending.lost and not timed_out:
                raise await self._gone("the sandbox ended while the command was running")
            code, complaint = (124, b"") if timed_out else ending.outcome(argv[0], folder)
            return ExecResult(
                returncode=code,
                stdout=out.content(),
                stderr=err.content() + complaint,
                stdout_truncated=out.truncated,
                stderr_truncated=err.truncated,
                timed_out=timed_out,
            )
        finally:
            if status is not None:
                status.close()
            for fd in held:
                os.close(fd)

    async def _end_session(self, status: socket.socket, ending: Ending) -> None:
        """Have the executor kill the command's session, and see its leader end."""
        with suppress(OSError):
            status.send(b"K")
        with anyio.move_on_after(5):
            await ending.wait(status)

    async def read_file(self, path: str, *, limit: int = READ_LIMIT) -> bytes:
        """Content of a regular file, opened inside; relative paths start at the workspace.

        Raises:
            ReadLimitExceeded: it has more than ``limit`` bytes.
            SandboxError: something inside kills or holds up what opens the file.
            FileNotFoundError, PermissionError, IsADirectoryError, OSError: as for open(). What is
                not a regular file, or lies in procfs, is a PermissionError.
        """
        fd = await self._open(b"R", path)

        def read() -> bytes:
            with os.fdopen(fd, "rb", buffering=0) as file:
                content = bytearray()
                while len(content) <= limit:  # a growing file lies about its size
                    chunk = file.read(min(_INLINE, limit + 1 - len(content)))
                    if not chunk:
                        break
                    content += chunk
                return bytes(content)

        size = os.fstat(fd).st_size
        if size > limit:
            os.close(fd)
            raise ReadLimitExceeded(path, limit)
        content = await _copying(read, size)
        if len(content) > limit:
            raise ReadLimitExceeded(path, limit)
        return content

    async def write_file(self, path: str, data: bytes) -> None:
        """Write a regular file, opened inside, making missing folders.

        Raises:
            PermissionError, IsADirectoryError, OSError: as for open(); a full disk is an OSError.
        """
        fd = await self._open(b"W", path)

        def write() -> None:
            view = memoryview(data)
            try:
                while view:
                    written = os.write(fd, view)
                    if written == 0:  # some files take nothing for ever
                        raise PermissionError(errno.EACCES, "not writable", path)
                    view = view[written:]
            finally:
                os.close(fd)

        await _copying(write, len(data))

    async def listen(self, port: int) -> int:
        """Listen on 127.0.0.1 inside; returns the listening descriptor, the caller's to close.

        The socket belongs to the sandbox's network, its descriptor to the host: connections made
        inside are accepted outside, with nothing in between.

        Raises:
            OSError: the port is taken (EADDRINUSE) or may not be bound (EACCES).
        """
        if not 0 < port < 65536:
            raise ValueError(f"expected a port in 1..65535, found {port}")
        return await self._descriptor(b"L", str(port), what=f"port {port}")

    async def _open(self, op: bytes, path: str) -> int:
        if not path:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return await self._descriptor(op, path, what=path)

    async def _descriptor(self, op: bytes, argument: str, *, what: str) -> int:
        # An absolute path has to work when the workspace was made impassable.
        folder = "/" if argument.startswith("/") else self.workspace
        for _ in range(_FILE_TRIES):
            message = await self._ask(op, ["1 0 0 0 0 0 0", folder, argument], what)
            if message.kind == b"F" and message.fd >= 0:
                return message.fd
            if message.kind == b"E":
                number = message.value
                if number in (errno.ENXIO, errno.ELOOP, errno.EROFS):
                    raise PermissionError(number, os.strerror(number), what)
                raise OSError(number, os.strerror(number), what)  # of the class that fits
            if message.kind != b"X":
                raise await self._gone(f"the sandbox ended during access to {what}")
        raise SandboxError(
            f"access to {what} was killed {_FILE_TRIES} times by something inside; freeze or kill "
            "the sandbox"
        )

    async def _ask(self, op: bytes, body: list[str], what: str) -> Message:
        """What the executor's child answers to a request that runs no program."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            status = await self._request(op, body, (null, null, null))
        finally:
            os.close(null)
        try:
            message = await self._started(status)
            with anyio.fail_after(_FILE_SECONDS):
                return await receive(status) if message.kind == b"S" else message
        except TimeoutError:
            raise SandboxError(
                f"access to {what} took more than {_FILE_SECONDS:.0f} s; something inside may hold "
                "it up: freeze or kill the sandbox"
            ) from None
        finally:
            status.close()

    async def _started(self, status: socket.socket) -> Message:
        """The executor's first answer, which it gives at once: silence ends the sandbox.

        While the sandbox is frozen, or has as many requests under way as the executor takes, it
        may be silent.

        Raises:
            SandboxGone: it has ended, or was ended for its silence.
        """
        self._under_way += 1
        try:
            asked = time.monotonic()
            while True:
                with anyio.move_on_after(_ANSWER_SECONDS):
                    return await self._unless_gone(await receive(status))
                # The event loop may have been held up, so that both have happened.
                if (message := take(status)) is not None:
                    return await self._unless_gone(message)
                since = time.monotonic() - max(asked, self._thawed)
                busy = self._under_way > _REQUESTS_AT_ONCE
                if self._frozen or busy or since < _ANSWER_SECONDS:
                    continue
                self._end_because(
                    f"the first process did not answer within {_ANSWER_SECONDS:.0f} s"
                )
                raise await self._gone()
        finally:
            self._under_way -= 1

    async def _unless_gone(self, message: Message) -> Message:
        if not message.kind:
            raise await self._gone()
        return message

    def _inside(self, cwd: str | None) -> str:
        if cwd is None:
            return self.workspace
        return cwd if cwd.startswith("/") else f"{self.workspace}/{cwd}"

    async def _request(
        self,
        op: bytes,
        body: Iterable[str],
        streams: tuple[int, int, int],
        *,
        frozen: bool = False,
    ) -> socket.socket:
        """Send a request; returns the host's end of its status socket.

        Args:
            frozen: send it although a freeze has begun.
        """
        encoded = [os.fsencode(part) for part in body]
        if any(b"\0" in part for part in encoded):
            raise ValueError("expected text without NUL in command, path and environment")
        if self._control is None or self._ended is not None:
            raise await self._gone()
        if self._frozen and not frozen:
            raise SandboxFrozen("the sandbox is frozen; thaw it first")
        if self._watch is not None:
            WATCHER.poke(self._watch)
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mine.setblocking(False)
        memory = -1
        try:
            memory = _memfd(b"\0".join(encoded) + b"\0")
            async with self._sending:
                if self._frozen and not frozen:  # since we began to wait
                    raise SandboxFrozen("the sandbox is frozen; thaw it first")
                end = time.monotonic() + _SEND_SECONDS
                while True:
                    try:
                        socket.send_fds(self._control, [op], [memory, *streams, theirs.fileno()])
                        break
                    except BlockingIOError:
                        await anyio.wait_writable(self._control)
                    except OSError as error:
                        if error.errno != errno.ETOOMANYREFS:
                            raise
                        # Descriptors in flight are counted by user, and so are those of an agent
                        # that was launched under this user's own uid.
                        if time.monotonic() > end:
                            raise SandboxError(
                                "too many descriptors of this user are in flight; something "
                                "inside may hold them: kill the sandbox"
                            ) from error
                        await anyio.sleep(0.001)
        except OSError as error:
            mine.close()
            if error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF):
                raise await self._gone() from error
            raise
        except BaseException:
            mine.close()
            raise
        finally:
            if memory >= 0:
                os.close(memory)
            theirs.close()
        return mine


# ---------------------------------------------------------------------- small parts


def _memfd(data: bytes) -> int:
    fd = os.memfd_create("data", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


async def _copying(work: Callable[[], _Result], size: int) -> _Result:
    """Run file work here when it is small, else on a worker thread."""
    if size <= _INLINE:
        return work()
    return await anyio.to_thread.run_sync(work)


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _greeting(host: socket.socket) -> tuple[bytes, int]:
    space = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(256)
    try:
        data, ancillary, _, _ = host.recvmsg(1, space, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        return b"", 0
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid: int = struct.unpack("iII", raw[:12])[0]
            return data, pid
    return data, 0


class _Credentials(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def _as_launched(arguments: list[str]) -> tuple[list[str], _Credentials]:
    """A command line, and arguments of Popen, that start it as sandboxes are started.

    Under the launching uid: with a program that changes it, Python can use vfork; with Popen's own
    arguments it has to copy the page tables of a large process, which takes 20 ms at 600 MB and
    holds up the event loop.
    """
    # A limit of 1 and not 0: with 0 a crash inside would still run the host's core handler, if that
    # is a program. Set here, for the filter keeps everything inside from setting this limit.
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard != 0 and (prlimit := shutil.which("prlimit", path="/usr/bin:/bin")) is not None:
        arguments = [prlimit, "--core=1:1", *arguments]
    identity = _volumes.run_identity()
    if identity is None:
        return arguments, {}
    uid, gid = identity
    if (setpriv := shutil.which("setpriv", path="/usr/bin:/bin")) is not None:
        return [setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *arguments], {}
    return arguments, {"user": uid, "group": gid, "extra_groups": []}


@lru_cache(maxsize=1)
def _java_settings() -> tuple[str, ...]:
    """Folders that the distribution's Java links to; looked for once, for /etc is large."""
    return tuple(sorted(glob.glob("/etc/java-*-openjdk")))


def find_bubblewrap() -> str:
    """Path of the bubblewrap program.

    Raises:
        SandboxUnavailable: it is not installed.
    """
    found = shutil.which("bwrap", path=f"{os.environ.get('PATH', '')}:/usr/bin:/usr/local/bin")
    if found is None:
        raise SandboxUnavailable(
            "expected bubblewrap, found no program bwrap; install it (Debian and Ubuntu: "
            "apt-get install bubblewrap)"
        )
    return os.path.abspath(found)


@lru_cache(maxsize=4)
def bubblewrap_options(program: str) -> frozenset[str]:
    """Long options that this bubblewrap knows, from its help."""
    try:
        done = subprocess.run(
            [program, "--help"], capture_output=True, text=True, timeout=20, env={}, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailable(f"bubblewrap could not be run: {error}") from error
    return frozenset(re.findall(r"^\s+(--[a-z0-9-]+)", done.stdout, re.MULTILINE))


_USERNS_SWITCHES: Final = (
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "allow them to bubblewrap: python -c 'from custodes.containment import APPARMOR_PROFILE as "
        "p; print(p)' | sudo tee /etc/apparmor.d/bwrap && sudo apparmor_parser -r "
        "/etc/apparmor.d/bwrap",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "allow them: sudo sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "allow them: sudo sysctl user.max_user_namespaces=10000",
    ),
)
"""Settings of the kernel that forbid user namespaces: file, forbidding value, what to do."""


def user_namespace_obstacle() -> str | None:
    """What forbids user namespaces to ordinary users here, and what to do; None: nothing known."""
    for path, value, advice in _USERNS_SWITCHES:
        with suppress(OSError):
            if Path(path).read_text("ascii").strip() == value:
                return f"{path} is {value}, which forbids user namespaces; {advice}"
    return None


def _explain(complaint: bytes) -> str:
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    said = lines[-1].strip() if lines else "it gave no reason"
    advice = user_namespace_obstacle() or "check that user namespaces are allowed here"
    return f"bubblewrap did not start a sandbox: {said}; {advice}"


def _etc(spec: SandboxSpec) -> dict[str, bytes]:
    try:
        release = Path("/etc/os-release").read_bytes()
    except OSError:
        release = b"ID=debian\n"
    user, home, host = spec.user, spec.home, spec.hostname
    files = {
        "passwd": (
            "root:x:0:0:root:/root:/bin/bash\n"
            "daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
            f"{user}:x:{UID}:{UID}:{user}:{home}:/bin/bash\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "group": f"root:x:0:\ndaemon:x:1:\n{user}:x:{UID}:\nnogroup:x:65534:\n",
        "hosts": f"127.0.0.1 localhost\n127.0.1.1 {host}\n::1 localhost\n",
        "hostname": f"{host}\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }
    return {
        **{f"/etc/{name}": text.encode() for name, text in files.items()},
        "/etc/os-release": release,
        "/etc/ssl/certs/ca-certificates.crt": _authorities() + spec.certificates,
    }


@lru_cache(maxsize=1)
def _authorities() -> bytes:
    """The usual certificate authorities, without those that this host's owner has added."""
    texts = []
    for path in sorted(Path("/usr/share/ca-certificates").rglob("*.crt")):
        with suppress(OSError):
            texts.append(path.read_bytes().strip() + b"\n")
    if texts:
        return b"".join(texts)
    for name in ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        with suppress(OSError):
            return Path(name).read_bytes()
    return b""


_PROC_FILES: Final[tuple[tuple[str, Callable[[], str]], ...]] = (
    ("/proc/cmdline", lambda: "BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro quiet\n"),
    ("/proc/sys/kernel/random/boot_id", lambda: f"{uuid.uuid4()}\n"),
    ("/proc/keys", lambda: ""),
    ("/proc/key-users", lambda: ""),
)
"""Files of /proc that tell of the host or of the launcher, and what is seen instead."""
