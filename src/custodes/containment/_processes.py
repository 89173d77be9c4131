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
Listing = Callable[[], Iterable[int]]
"""Pids of the sandbox's processes, looked up now."""

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
        if seen is not None and seen[0]:
            state = "T" if seen[1] else "R"
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


def pids_in_namespace(init_pid: int, namespace: str | None) -> set[int]:
    """Pids of the pid namespace whose first process is ``init_pid``, that one included.

    By the namespace's identity where ``/proc`` tells it, and by descent besides: a process of the
    namespace has its parent in it, for orphans are handed to its first process.
    """
    found = {init_pid}
    unknown: dict[int, int] = {}
    for pid in host_pids():
        try:
            name = os.readlink(f"/proc/{pid}/ns/pid")
        except FileNotFoundError:
            continue
        except OSError:
            name = None
        if name is None or namespace is None:
            if (stat := read_stat(pid)) is not None:
                unknown[pid] = stat.ppid
        elif name == namespace:
            found.add(pid)
    grown = bool(unknown)
    while grown:
        children = {pid for pid, parent in unknown.items() if parent in found}
        grown = not children <= found
        found |= children
    return found


def in_namespace(init_pid: int, namespace: str | None) -> tuple[ProcessInfo, ...]:
    """Every process of ``pids_in_namespace``, in order of pid."""
    return tuple(
        ProcessInfo(
            pid=stat.pid,
            ppid=stat.ppid,
            state=stat.state,
            comm=stat.comm,
            init=stat.pid == init_pid,
        )
        for pid in sorted(pids_in_namespace(init_pid, namespace))
        if (stat := read_stat(pid)) is not None
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


_Switches = dict[int, int]
"""How often each thread of a process has been scheduled away, by thread id."""


def _threads(pid: int) -> tuple[_Switches, bool] | None:
    """Threads that could run again, and whether all of them are held; None: the process ended."""
    threads: _Switches = {}
    held = True
    try:
        tids = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return None
    for tid in tids:
        try:
            with open(f"/proc/{pid}/task/{tid}/status", "rb", 0) as file:
                text = file.read()
        except OSError:
            continue
        state = _field(text, b"\nState:\t")[:1]
        if state in (b"Z", b"X"):
            continue  # over; but other threads of the process may run on
        threads[int(tid)] = int(_field(text, b"\nvoluntary_ctxt_switches:\t")) + int(
            _field(text, b"\nnonvoluntary_ctxt_switches:\t")
        )
        if state in (b"T", b"t"):
            continue
        # A thread in uninterruptible sleep (a parent in vfork) stops before it runs user code.
        pending = int(_field(text, b"\nSigPnd:\t"), 16) | int(_field(text, b"\nShdPnd:\t"), 16)
        if state != b"D" or not pending & _SIGSTOP_BIT:
            held = False
    return threads, held


def _wakes_itself(pid: int) -> bool:
    """Whether the kernel will continue a stopped process: it has a timer that sends SIGCONT.

    The filter refuses the other ways to have that signal sent. True where the kernel does not tell.
    """
    try:
        with open(f"/proc/{pid}/timers", "rb") as file:
            return b"\nsignal: %d/" % signal.SIGCONT in file.read()
    except ProcessLookupError:
        return False  # it has ended
    except OSError:
        return os.path.exists(f"/proc/{pid}/stat")


def _field(text: bytes, key: bytes) -> bytes:
    start = text.index(key) + len(key)
    return text[start : text.index(b"\n", start)]


async def stop_all(
    listing: Listing, belongs: Belongs, *, started_ns: int, init_pid: int = 0
) -> FreezeReceipt:
    """Stop every process of a listing until two scans agree that none runs.

    The first process of a namespace is stopped as well, before the others, so that it starts
    nothing more; it is not counted.

    Two scans that only see stopped processes are not enough: two of them could wake each other in
    turn. So no thread may have been scheduled between the scans either.
    """
    signals = rounds = 0
    previous: dict[int, _Switches] | None = None
    deadline = time.monotonic() + _FREEZE_SECONDS
    for pid in sorted(listing(), key=lambda pid: pid != init_pid):
        signals += send(pid, signal.SIGSTOP, belongs)
    while True:
        rounds += 1
        current: dict[int, _Switches] = {}
        quiet = True
        for pid in listing():
            seen = _threads(pid)
            if seen is None or not seen[0]:
                continue
            current[pid], held = seen
            if not held:
                quiet = False
                signals += send(pid, signal.SIGSTOP, belongs)
        verified = quiet and previous == current
        if verified or time.monotonic() > deadline:
            woken = sum(_wakes_itself(pid) for pid in current) if verified else 0
            return FreezeReceipt(
                verified=verified and not woken,
                note=f"a timer of {woken} processes will continue them" if woken else "",
                processes=len(current.keys() - {init_pid}),
                signals=signals,
                rounds=rounds,
                elapsed_us=(time.monotonic_ns() - started_ns) // 1000,
                mechanism="signal",
            )
        previous = current if quiet else None
        await anyio.sleep(0 if rounds < 4 else 0.001)


def continue_all(listing: Listing, belongs: Belongs) -> int:
    """Let every process go on; returns how many were signalled."""
    return sum(send(pid, signal.SIGCONT, belongs) for pid in listing())
