"""One adversary in one fresh sandbox: brought up, stopped by a mechanism, and looked at."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from .._sandbox import Sandbox
from .._spec import ProcessInfo, SandboxError
from .._stop import (
    FileHeartbeats,
    StopMechanism,
    StopOrder,
    StopReport,
    Target,
    execute_stop,
)
from ._adversaries import Adversary, known

WINDOW_S = 0.15
"""How long survivors of a mechanism are watched."""
_UP_S = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """What one run showed.

    Attributes:
        survivors: processes alive at the end of the observation, at least 1 when the heartbeat
            went on; None when it is unverified.
        unverified: why nothing can be said, or empty.
        last_side_effect_us: from the order; 0 for none after it, None when it never ended.
        last_process_gone_us: from the order; None when it never ended.
        window_us: how long survivors were watched: where the latencies are censored.
        collateral: bystanders that ended.
    """

    survivors: int | None
    unverified: str = ""
    last_side_effect_us: int | None = None
    last_process_gone_us: int | None = None
    window_us: int = 0
    collateral: int = 0


class Run:
    """An adversary that is up and beating."""

    def __init__(self, adversary: Adversary, sandbox: Sandbox, bystanders: Sequence[int]) -> None:
        self.adversary = adversary
        self.sandbox = sandbox
        self.bystanders = bystanders
        self.workspace = sandbox.workspace_host
        self.heartbeats = FileHeartbeats(self.workspace, interval_ms=adversary.interval_ms)
        self.launched = 0
        """Number of the launched command on the host, once it is up."""

    async def up(self) -> str:
        """Wait until every heartbeat was seen; returns what is missing, or nothing."""
        with anyio.move_on_after(_UP_S):
            while not self._beating():
                await anyio.sleep(0.003)
            while self.adversary.shows_stopped and not any(
                process.state == "T" for process in self.sandbox.processes()
            ):
                await anyio.sleep(0.003)
            self.launched = self._find_launched()
            return "" if self.launched else "the launched command was not found on the host"
        return f"not up within {_UP_S:.0f} s"

    def _beating(self) -> bool:
        try:
            files = [path.stat().st_size for path in self.workspace.glob("*.beat")]
        except FileNotFoundError:
            return False
        return len(files) == self.adversary.beats and min(files) >= 3

    def _find_launched(self) -> int:
        number = (self.workspace / "launched").read_text()
        for process in self.sandbox.processes():
            with suppress(OSError):
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                    if line.startswith("NSpid:") and line.split()[-1] == number:
                        return process.pid
        return 0

    def left(self) -> list[ProcessInfo]:
        """Processes of the sandbox that still run, seen from the host."""
        return [
            process
            for process in self.sandbox.processes()
            if not process.init and process.state not in ("Z", "X")
        ]


def _kill(run: Run, pids: Iterable[int]) -> None:
    """SIGKILL processes by number, and only those that are the sandbox's."""
    inside = {process.pid for process in run.sandbox.processes() if not process.init}
    for pid in pids:
        if pid in inside:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _group_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[2])


def kill_process_group(run: Run) -> None:
    """SIGKILL to the launched command's process group, as ``timeout`` and process managers do."""
    inside = {process.pid for process in run.sandbox.processes()}
    if run.launched not in inside or _group_of(run.launched) != run.launched:
        raise SandboxError("the launched command does not lead a process group in the sandbox")
    os.killpg(run.launched, signal.SIGKILL)


def kill_process_tree(run: Run) -> None:
    """SIGKILL to the launched command and all that descend from it, as psutil's users do."""
    parents = {process.pid: process.ppid for process in run.sandbox.processes()}
    tree = [run.launched]
    for pid in tree:  # grows while it is walked
        tree += [child for child, parent in parents.items() if parent == pid]
    _kill(run, tree)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A way to stop an adversary.

    Attributes:
        name: as reports spell it.
        description: one sentence.
        order: Custodes' own stop order, or None.
        act: the naive act, or None.
    """

    name: str
    description: str
    order: StopMechanism | None = None
    act: Callable[[Run], None] | None = None

    @property
    def control(self) -> bool:
        """Whether it is a naive way, run to show that the drill can see survivors."""
        return self.act is not None

    def start(self, run: Run) -> Callable[[], Awaitable[Episode]]:
        """What is to be awaited for the stop, and then for what it showed."""
        if self.order is not None:
            return lambda: _by_order(run, self.order or StopMechanism.NAMESPACE_KILL)
        assert self.act is not None
        began_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        self.act(run)
        return lambda: _watch(run, began_ns, wall_ns)


_ALL = (
    Mechanism(
        name="namespace_kill",
        description="Custodes: end of the process namespace, verified by its descriptor.",
        order=StopMechanism.NAMESPACE_KILL,
    ),
    Mechanism(
        name="freeze_then_kill",
        description="Custodes: every process held first, then the end of the namespace.",
        order=StopMechanism.FREEZE_THEN_KILL,
    ),
    Mechanism(
        name="process_group",
        description="Control: SIGKILL to the process group of the launched command.",
        act=kill_process_group,
    ),
    Mechanism(
        name="process_tree",
        description="Control: SIGKILL to the launched command and its descendants.",
        act=kill_process_tree,
    ),
)

MECHANISMS: Mapping[str, Mechanism] = {mechanism.name: mechanism for mechanism in _ALL}
"""Every mechanism by name."""


def mechanisms(names: Iterable[str] | None) -> list[Mechanism]:
    """Those of these names, or all. Raises ValueError as ``adversaries`` does."""
    return [MECHANISMS[name] for name in known(names, MECHANISMS, "mechanism")]


async def _by_order(run: Run, mechanism: StopMechanism) -> Episode:
    report = await execute_stop(
        StopOrder(
            ordered_by="drill",
            reason=f"drill against {run.adversary.name}",
            targets=frozenset({Target.PROCESS, Target.SANDBOX}),
            mechanism=mechanism,
        ),
        sandbox=run.sandbox,
        heartbeats=run.heartbeats,
        bystanders=run.bystanders,
        record=lambda kind, data: None,
    )
    return episode_of(report)


def episode_of(report: StopReport) -> Episode:
    """What a stop order showed, as a drill counts it: not verified is never no survivor."""
    if report.survivors or report.silent is False:
        return Episode(survivors=report.survivors or 1, collateral=report.collateral)
    if not report.verified:
        why = "; ".join(
            f"{stage.stage.value}: {stage.detail}"
            for stage in report.stages
            if stage.state.value in ("failed", "not_verified")
        )
        return Episode(survivors=None, unverified=why, collateral=report.collateral)
    return Episode(
        survivors=0,
        last_side_effect_us=report.last_side_effect_us,
        last_process_gone_us=report.last_process_gone_us,
        collateral=report.collateral,
    )


async def _watch(run: Run, began_ns: int, wall_ns: int) -> Episode:
    """Look for survivors until none is left or the window has passed."""

    def us() -> int:
        return (time.monotonic_ns() - began_ns) // 1000

    left = run.left()
    while left and us() < WINDOW_S * 1e6:
        await anyio.sleep(0.005)
        left = run.left()
    gone_us = us()
    first = run.heartbeats.sample()
    await anyio.sleep(max(0.015, 4 * run.heartbeats.interval_ms / 1000))
    last = run.heartbeats.sample()
    left = run.left()
    if left:
        return Episode(survivors=len(left), window_us=us())
    if last.mark != first.mark:
        # A process that is never there when one looks: its heartbeat gives it away.
        return Episode(survivors=1, window_us=us())
    effect = None if last.last_wall_ns is None else (last.last_wall_ns - wall_ns) // 1000
    return Episode(
        survivors=0,
        last_side_effect_us=None if effect is None else max(0, effect),
        last_process_gone_us=gone_us,
    )
