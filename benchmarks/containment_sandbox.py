"""What the long-lived sandbox costs, beside a plain subprocess and bubblewrap per command.

    python benchmarks/containment_sandbox.py [--repeats 300]

The ways of running a command take turns, so that a busy machine slows all of them alike. Times are
milliseconds; the ratio is to the plain subprocess's median.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from custodes.containment import PlainSandbox, Sandbox, SandboxSpec, detect_tier

COMMAND = ["/bin/true"]
PER_COMMAND = [
    "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr", "--symlink",
    "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
    "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *COMMAND,
]  # fmt: skip
TARGETS = {"exec over plain": 2.0, "start": 60.0, "close": 20.0}


async def asyncio_subprocess(argv: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await process.communicate()


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1000


def row(name: str, times: list[float], base: float | None = None) -> float:
    times = sorted(times)
    median = statistics.median(times)
    p95 = times[int(len(times) * 0.95)]
    ratio = "" if base is None else f"{median / base:8.2f}"
    print(f"{name:44}{median:10.2f}{p95:10.2f}{ratio}")
    return median


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    repeats = parser.parse_args().repeats
    report = await detect_tier()
    load = os.getloadavg()[0]
    print(
        f"bubblewrap {report.bubblewrap}, Linux {report.kernel}, {report.machine}, "
        f"{os.cpu_count()} cores, load {load:.1f} {'(busy)' if load > 1.5 else '(quiet)'}\n"
    )
    print(f"{'one command (true)':44}{'median':>10}{'p95':>10}{'ratio':>8}")
    async with (
        await Sandbox.start(SandboxSpec(executor="auto")) as box,
        await Sandbox.start(SandboxSpec(executor="python")) as slow,
        await PlainSandbox.start(allow_uncontained=True) as plain,
    ):
        ways: dict[str, Callable[[], Awaitable[object]]] = {
            "plain subprocess (asyncio)": lambda: asyncio_subprocess(COMMAND),
            f"sandbox exec, executor {box.executor}": lambda: box.exec(COMMAND),
            "sandbox exec, executor python": lambda: slow.exec(COMMAND),
            "tier C exec": lambda: plain.exec(COMMAND),
            "bubblewrap per command": lambda: asyncio_subprocess(PER_COMMAND),
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                taken[name].append(await timed(way))
        names = list(ways)
        base = row(names[0], taken[names[0]])
        medians = [row(name, taken[name], base) for name in names[1:]]
        for name, median in zip(names[1:3], medians, strict=False):
            print(f"{'':4}{name}: {median - base:+.2f} ms over plain")
        print(f"{'':4}target of the C executor: at most {TARGETS['exec over plain']:+.1f} ms\n")

        data = b"x" * 10_000
        print(f"{'files':44}{'median':>10}{'p95':>10}")
        row("write 10 kB", [await timed(lambda: box.write_file("f", data)) for _ in range(100)])
        row("read 10 kB", [await timed(lambda: box.read_file("f")) for _ in range(100)])

    print(f"\n{'life':44}{'median':>10}{'p95':>10}{'ratio':>8}")
    # bubblewrap for one command is a start and an end: what the kernel takes for the walls alone.
    lives: dict[str, list[float]] = {"bare": [], "start": [], "close": [], "python start": []}
    for _ in range(max(20, repeats // 10)):
        lives["bare"].append(await timed(lambda: asyncio_subprocess(PER_COMMAND)))
        kinds: tuple[tuple[Literal["auto", "python"], str], ...] = (
            ("auto", "start"),
            ("python", "python start"),
        )
        for kind, key in kinds:
            started = time.perf_counter()
            box = await Sandbox.start(SandboxSpec(executor=kind))
            lives[key].append((time.perf_counter() - started) * 1000)
            ended = await timed(box.close)
            if key == "start":
                lives["close"].append(ended)
    bare = row("bubblewrap, one command, up and down", lives["bare"])
    row(f"start (target at most {TARGETS['start']:.0f})", lives["start"], bare)
    row("start, executor python", lives["python start"], bare)
    row(f"close (target at most {TARGETS['close']:.0f})", lives["close"], bare)

    started = time.perf_counter()
    boxes = await asyncio.gather(*(Sandbox.start() for _ in range(64)))
    up = time.perf_counter() - started
    await asyncio.gather(*(box.exec(COMMAND) for box in boxes for _ in range(5)))
    ran = time.perf_counter() - started - up
    await asyncio.gather(*(box.close() for box in boxes))
    down = time.perf_counter() - started - up - ran
    print(f"\n64 at once: up {up:.2f} s, 320 commands {ran:.2f} s, down {down:.2f} s")

    print(f"\n{'stopping':44}{'median':>10}{'p95':>10}")
    for count in (1, 50, 400):
        frozen, killed = [], []
        for _ in range(5):
            async with await Sandbox.start() as box:
                await box.exec(
                    ["sh", "-c", f"for i in $(seq {count}); do sleep 100 & done >/dev/null 2>&1"]
                )
                freeze = await box.freeze()
                kill = await box.kill()
                assert freeze.verified and kill.verified
                assert kill.processes_before == count
                frozen.append(freeze.elapsed_us / 1000)
                killed.append(kill.elapsed_us / 1000)
        row(f"freeze {count} processes, verified", frozen)
        row(f"kill {count} processes, counted and verified", killed)


if __name__ == "__main__":
    asyncio.run(main())
