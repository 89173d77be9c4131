"""How soon the first process of a sandbox answers while something inside attacks it.

    python benchmarks/executor_under_attack.py [--size 512] [--repeats 40] [--executor c]

Each attack runs in a sandbox of its own; meanwhile /bin/true is run again and again. Timed are the
executor's answer that it has started the command, the end of the command (which has to share the
processors with the attack), and a request that runs no program (listening on a port). The target
is a median answer within 100 ms. Times are milliseconds. A sandbox that ended says why.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.containment.executor_attacks import ATTACKS, command

from custodes.containment import Limits, Sandbox, SandboxGone, SandboxSpec
from custodes.containment._answers import Message


def row(name: str, what: str, times: list[float], note: str = "") -> None:
    if not times:
        print(f"{name:36}{what:8}{0:5}{'-':>10}{'-':>10}{'-':>10}  {note}", flush=True)
        return
    times = sorted(times)
    p95 = times[int(len(times) * 0.95)]
    middle = statistics.median(times)
    print(
        f"{name:36}{what:8}{len(times):5}{middle:10.1f}{p95:10.1f}{times[-1]:10.1f}  {note}",
        flush=True,
    )


async def under(name: str, size: int, repeats: int, spec: SandboxSpec) -> None:
    answers: list[float] = []
    commands: list[float] = []
    requests: list[float] = []
    note = ""
    async with await Sandbox.start(spec) as box:
        answered = box._started

        async def timed(status: socket.socket) -> Message:
            message = await answered(status)
            answers.append((time.perf_counter() - asked) * 1000)
            return message

        try:
            await box.exec(command(name, size))
            await asyncio.sleep(1)
            box._started = timed  # type: ignore[method-assign]
            for _ in range(repeats):
                asked = time.perf_counter()
                done = await box.exec(["/bin/true"])
                commands.append((time.perf_counter() - asked) * 1000)
                if done.returncode:
                    note = f"a command ended with {done.returncode}"
                asked = time.perf_counter()
                os.close(await box.listen(8000))
                requests.append((time.perf_counter() - asked) * 1000)
                await asyncio.sleep(0.02)
        except SandboxGone as gone:
            note = str(gone)
        note = note or f"{len(box.processes())} processes"
    row(name, "answer", answers, note)
    row("", "true", commands)
    row("", "listen", requests)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="processes that an attack may use")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--executor", choices=["c", "python"], default="c")
    parser.add_argument("--attack", choices=list(ATTACKS), action="append")
    given = parser.parse_args()
    spec = SandboxSpec(executor=given.executor, limits=Limits(processes=given.size))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, executor {given.executor}, "
          f"up to {given.size} processes\n")  # fmt: skip
    print(f"{'attack':36}{'asked':8}{'n':>5}{'median':>10}{'p95':>10}{'max':>10}")
    for name in given.attack or ATTACKS:
        await under(name, given.size, given.repeats, spec)


if __name__ == "__main__":
    asyncio.run(main())
