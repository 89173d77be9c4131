"""Processes of a sandbox as the host sees them: listing, stopping, continuing.

Reads ``/proc`` of the host and signals; nothing here trusts what runs inside.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import anyio

from ._spec import FreezeReceipt, ProcessInfo

Belongs = Callable[[int], bool]
"""Whether the process with this pid is one of the sandbox's, looked up now."""

_FREEZE_SECONDS = 10.0
_SIGSTOP_BIT = 1 << (signal.SIGSTOP - 1)


@dataclass(frozen=True, slots=True)
class _Stat:
    pid: int
    ppid: int
    state: str
    comm: str


def read_stat(pid: int) -> _Stat | None:
    """Fields of ``/proc/PID/stat``, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    head, _, tail = line.rpartition(b")")
    fields = tail.split()
    if len(fields) < 2:
        return None
    comm = head.partition(b"(")[2].decode("utf-8", "replace")
    state = fields[0].decode("ascii", "replace")
    if state == "Z":  # so it looks too when only the first of its threads has ended
        seen = _threads(pid)
        state = "R" if seen is not None and seen[0] else state
    return _Stat(pid, int(fields[1]), state, comm)


def start_time(pid: int) -> int | None:
    """Clock ticks between boot and the start of the process; with the pid it names a process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def host_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def namespace_of(pid: int) -> str | None:
    """Name of the pid namespace of a process; None when it has ended or may not be read."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def in_namespace(init_pid: int, namespace: str | None) -> tuple[ProcessInfo, ...]:
    """Every process of the pid namespace whose first process is ``init_pid``.

    By the namespace's identity where ``/proc`` tells it, and by descent besides: a process of the
    namespace has its parent in it, for orphans are handed to its first process.
    """
    found: dict[int, _Stat] = {}
    unknown: dict[int, _Stat] = {}
    for pid in host_pids():
        name = namespace_of(pid)
        if name is not None and namespace is not None:
            if name == namespace and (stat := read_stat(pid)) is not None:
                found[pid] = stat
        elif (stat := read_stat(pid)) is not None:
            unknown[pid] = stat
    if init_pid in unknown:
        found[init_pid] = unknown.pop(init_pid)
    grown = True
    while grown:
        grown = False
        for pid, stat in list(unknown.items()):
            if stat.ppid in found:
                found[pid] = unknown.pop(pid)
                grown = True
    return tuple(
        ProcessInfo(
            pid=stat.pid,
            ppid=stat.ppid,
            state=stat.state,
            comm=stat.comm,
            init=stat.pid == init_pid,
        )
        for _, stat in sorted(found.items())
    )


def send(pid: int, number: signal.Signals, belongs: Belongs) -> bool:
    """Signal a process of the sandbox and no other, whatever happened to its pid meanwhile."""
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # The descriptor pins the process: if the pid belongs now, it is this one or it has ended.
        if not belongs(pid):
            return False
        signal.pidfd_send_signal(pidfd, number)
        return True
    except OSError:
        return False
    finally:
        os.close(pidfd)


@dataclass(frozen=True, slots=True)
class _Thread:
    tid: int
    switches: int


def _threads(pid: int) -> tuple[list[_Thread], bool] | None:
    """Threads that could run again, and whether all of them are held; None: the process ended."""
    threads: list[_Thread] = []
    held = True
    try:
        tids = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    for tid in tids:
        try:
            with open(f"/proc/{pid}/task/{tid}/status", "rb") as file:
                text = file.read()
        except OSError:
            continue
        state, pending, switches = "?", 0, 0
        for line in text.split(b"\n"):
            key, _, value = line.partition(b":\t")
            if key == b"State":
                state = value[:1].decode("ascii", "replace")
            elif key in (b"SigPnd", b"ShdPnd"):
                pending |= int(value, 16)
            elif key in (b"voluntary_ctxt_switches", b"nonvoluntary_ctxt_switches"):
                switches += int(value)
        if state in "ZX":
            continue  # over; but other threads of the process may run on
        threads.append(_Thread(int(tid), switches))
        # A thread in uninterruptible sleep (a parent in vfork) stops before it runs user code.
        if state not in "Tt" and not (state == "D" and pending & _SIGSTOP_BIT):
            held = False
    return threads, held


async def stop_all(
    listing: Callable[[], Iterable[ProcessInfo]], belongs: Belongs, *, started_ns: int
) -> FreezeReceipt:
    """Stop every process but the init until two scans agree that none runs.

    Two scans that only see stopped processes are not enough: two of them could wake each other in
    turn. So no thread may have been scheduled between the scans either.
    """
    signals = rounds = 0
    previous: dict[int, list[_Thread]] | None = None
    deadline = time.monotonic() + _FREEZE_SECONDS
    count = 0
    while True:
        rounds += 1
        current: dict[int, list[_Thread]] = {}
        quiet = True
        for process in listing():
            if process.init:
                continue
            seen = _threads(process.pid)
            if seen is None or not seen[0]:
                continue
            threads, held = seen
            current[process.pid] = threads
            if not held:
                quiet = False
                signals += send(process.pid, signal.SIGSTOP, belongs)
        count = len(current)
        verified = quiet and previous == current
        if verified or time.monotonic() > deadline:
            return FreezeReceipt(
                verified=verified,
                processes=count,
                signals=signals,
                rounds=rounds,
                elapsed_us=(time.monotonic_ns() - started_ns) // 1000,
                mechanism="signal",
            )
        previous = current if quiet else None
        await anyio.sleep(0 if rounds < 4 else 0.001)


def continue_all(listing: Callable[[], Iterable[ProcessInfo]], belongs: Belongs) -> int:
    """Let every process go on; returns how many were signalled."""
    return sum(
        send(process.pid, signal.SIGCONT, belongs) for process in listing() if not process.init
    )
