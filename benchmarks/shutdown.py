"""How long Custodes takes to end many processes, beside the bare kernel operation on the same.

    python benchmarks/shutdown.py [--processes 1000] [--rounds 15]

The ways take turns, each on a fresh namespace of the same kind with the same processes in it
(sleeping, stopped, ignoring signals, in sessions of their own, and a few that write):

- *Custodes, namespace*: ``Sandbox.kill(count=False)``, from the call to its receipt, as a stop
  order calls it; *counted first* is the default, which lists the processes before;
- *kernel, namespace*: SIGKILL to the first process of a bare bubblewrap namespace, until its
  descriptor is readable, which it is when the namespace is empty;
- *Custodes, control group*: ``Sandbox.kill(count=False, by="cgroup")``;
- *kernel, control group*: 1 written to ``cgroup.kill`` of a group around the same kind of
  namespace, until the kernel says ``populated 0`` and the descriptor is readable.

The whole stop order is timed besides: the kill, the look whether anything is left, and the record;
without its window of silence, which is observation. Milliseconds; the ratio is of medians. The
control groups need a delegated version 2 group named in ``CUSTODES_CGROUP``; without it these rows
say so.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import select
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from custodes.containment import (
    FileHeartbeats,
    KillReceipt,
    Limits,
    Sandbox,
    SandboxError,
    SandboxSpec,
    StopMechanism,
    StopOrder,
    StopStage,
    Target,
    execute_stop,
)
from custodes.containment.drills import _agent

TARGET = 1.5
PYTHON = "/usr/bin/python3"
GROUP = os.environ.get("CUSTODES_CGROUP")


def command() -> list[str]:
    return [PYTHON, "-I", "-S", "-c", inspect.getsource(_agent), "crowd"]


def furnish(folder: Path, processes: int) -> None:
    (folder / "permit").touch()
    (folder / "crowd").write_text(str(processes), "ascii")


def beats(processes: int) -> int:
    return 1 + sum(number % 50 == 3 for number in range(processes - 1))


async def grown(folder: Path, processes: int) -> None:
    """Wait until all of them are there: the last to be started is the first that beats often."""
    main = folder / "main.beat"
    while len(list(folder.glob("*.beat"))) < beats(processes) or main.stat().st_size < 10:
        await asyncio.sleep(0.02)


# --- ours ----------------------------------------------------------------------------------------


async def ours(processes: int, stop: Callable[[Sandbox], Awaitable[float]]) -> float:
    spec = SandboxSpec(limits=Limits(processes=processes + 300, memory_mb=0))
    async with await Sandbox.start(spec) as sandbox:
        furnish(sandbox.workspace_host, processes)

        async def run() -> None:
            with suppress(SandboxError):
                await sandbox.exec(command())

        task = asyncio.create_task(run())
        await grown(sandbox.workspace_host, processes)
        took = await stop(sandbox)
        await task
        return took


async def timed(kill: Awaitable[KillReceipt]) -> float:
    started = time.perf_counter()
    receipt = await kill
    took = time.perf_counter() - started
    assert receipt.verified
    return took


async def by_namespace(sandbox: Sandbox) -> float:
    return await timed(sandbox.kill(count=False))


async def counted_first(sandbox: Sandbox) -> float:
    return await timed(sandbox.kill())


async def by_group(sandbox: Sandbox) -> float:
    return await timed(sandbox.kill(count=False, by="cgroup"))


async def by_order(sandbox: Sandbox) -> float:
    report = await execute_stop(
        StopOrder(
            ordered_by="benchmark",
            reason="how long it takes",
            targets=frozenset({Target.SANDBOX}),
            mechanism=StopMechanism.NAMESPACE_KILL,
        ),
        sandbox=sandbox,
        heartbeats=FileHeartbeats(sandbox.workspace_host, interval_ms=100),
        record=lambda kind, data: None,
    )
    killed = report.stage(StopStage.KILLED).us
    assert report.verified and killed is not None
    return killed / 1e6


# --- the kernel ----------------------------------------------------------------------------------


async def bare(processes: int, *, group: bool) -> float:
    """The same processes in a namespace that nobody but the kernel looks after."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        furnish(folder, processes)
        made = Path(GROUP or "", f"bare-{os.getpid()}") if group else None
        if made is not None:
            made.mkdir()
        outer = subprocess.Popen(
            [
                shutil.which("bwrap") or "bwrap",
                *("--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"),
                *("--die-with-parent", "--as-pid-1", "--ro-bind", "/", "/"),
                *("--proc", "/proc", "--dev", "/dev", "--bind", name, name, "--chdir", name),
                *("--", *command()),
            ],
            stdin=subprocess.DEVNULL,
            preexec_fn=None if made is None else _entering(made),
        )
        try:
            await grown(folder, processes)
            first = _first_child(outer.pid)
            descriptor = os.pidfd_open(first)
            started = time.perf_counter()
            if made is None:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            else:
                (made / "cgroup.kill").write_text("1\n")
            select.select([descriptor], [], [])
            if made is not None:
                while "populated 0" not in (made / "cgroup.events").read_text():
                    time.sleep(0.0002)
            took = time.perf_counter() - started
            os.close(descriptor)
            return took
        finally:
            outer.kill()
            outer.wait()
            if made is not None:
                (made / "cgroup.kill").write_text("1\n")
                while "populated 0" not in (made / "cgroup.events").read_text():
                    time.sleep(0.001)
                made.rmdir()


def _entering(group: Path) -> Callable[[], object]:
    return lambda: (group / "cgroup.procs").write_text("0\n")


def _first_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


# --- side by side --------------------------------------------------------------------------------


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    size = options.processes
    ways: dict[str, Callable[[], Awaitable[float]]] = {
        "kernel, namespace": lambda: bare(size, group=False),
        "Custodes, namespace": lambda: ours(size, by_namespace),
        "Custodes, counted first": lambda: ours(size, counted_first),
        "Custodes, stop order": lambda: ours(size, by_order),
    }
    if GROUP:
        ways["kernel, control group"] = lambda: bare(size, group=True)
        ways["Custodes, control group"] = lambda: ours(size, by_group)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            times[name].append(1000 * await way())
    print(f"{size} processes, {options.rounds} rounds, ways alternated; target {TARGET} times\n")
    print(f"{'':28}{'median ms':>10}{'least':>10}{'most':>10}{'ratio':>8}")
    for name, found in times.items():
        base = "kernel, control group" if "group" in name else "kernel, namespace"
        ratio = statistics.median(found) / statistics.median(times[base])
        print(
            f"{name:28}{statistics.median(found):10.1f}{min(found):10.1f}{max(found):10.1f}"
            f"{ratio:8.2f}"
        )
    if not GROUP:
        print("control group: not measured: name a delegated version 2 group in CUSTODES_CGROUP")


if __name__ == "__main__":
    asyncio.run(main())
