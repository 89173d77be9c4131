"""One stop of one adversary: by which mechanism, and what it showed.

The mechanisms are Custodes' own, by stop order, and naive ones that must show survivors.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from .._spec import SandboxError
from .._stop import (
    StageState,
    StopMechanism,
    StopOrder,
    StopReport,
    StopStage,
    Target,
    execute_stop,
)
from ._adversaries import Channel, known
from ._run import WINDOW_S, Run
from ._world import refuse_new_connections

_PROCESSES = frozenset({Target.PROCESS, Target.SANDBOX})


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """What one run showed.

    Attributes:
        survivors: what was left at the end of the observation (processes, implants, jobs, planted
            files, users of the network or of the credential), at least 1 when the heartbeat went
            on; None when it is unverified.
        unverified: why nothing can be said, or empty.
        last_side_effect_us: from the order; 0 for none after it, None when it never ended.
        last_process_gone_us: from the order; None when it never ended. Of a hold: held.
        window_us: how long survivors were watched: where the latencies are censored.
        collateral: bystanders that ended.
    """

    survivors: int | None
    unverified: str = ""
    last_side_effect_us: int | None = None
    last_process_gone_us: int | None = None
    window_us: int = 0
    collateral: int = 0


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


def refuse_connections(run: Run) -> None:
    """Stop taking connections, as a removed allow rule does; what is open stays open."""
    refuse_new_connections(run.world.listeners)


def delete_key_file(run: Run) -> None:
    """Delete the file that holds the credential; who has read it still has it."""
    for folder in run.world.folders:
        (folder / "token").unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A way to stop an adversary.

    Attributes:
        name: as reports spell it.
        description: one sentence.
        order: how Custodes' own stop order stops processes, or None.
        targets: what that order names.
        act: the naive act, or None.
        channel: by what the adversary acts while this is tried, besides its files.
    """

    name: str
    description: str
    order: StopMechanism | None = None
    targets: frozenset[Target] = _PROCESSES
    act: Callable[[Run], None] | None = None
    channel: Channel = Channel.FILE

    @property
    def control(self) -> bool:
        """Whether it is a naive way, run to show that the drill can see survivors."""
        return self.act is not None

    @property
    def ends_processes(self) -> bool:
        """Whether processes are what it stops."""
        return self.channel is Channel.FILE

    @property
    def holds(self) -> bool:
        """Whether it stops without ending anything."""
        return self.order is StopMechanism.FREEZE

    def start(self, run: Run) -> Callable[[], Awaitable[Episode]]:
        """What is to be awaited for the stop, and then for what it showed."""
        began_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        if self.act is not None:
            self.act(run)
            if self.ends_processes:
                return lambda: _watch_processes(run, began_ns, wall_ns)
            return lambda: _watch_uses(run, began_ns, wall_ns)
        return lambda: self._by_order(run)

    async def _by_order(self, run: Run) -> Episode:
        world = run.world
        targets = set(self.targets)
        if self.ends_processes:
            targets |= {Target.SUB_AGENT} if world.sub_agents else set()
            targets |= {Target.JOB} if world.jobs else set()
        wall_ns = time.time_ns()
        report = await execute_stop(
            StopOrder(
                ordered_by="drill",
                reason=f"drill against {run.adversary.name}",
                targets=frozenset(targets),
                mechanism=self.order or StopMechanism.NAMESPACE_KILL,
            ),
            sandbox=run.sandbox,
            broker=world.broker if self.channel is Channel.STREAM else None,
            credentials=[world.credential] if self.channel is Channel.TOKEN else (),
            jobs=world.jobs,
            sub_agents=world.sub_agents,
            heartbeats=run.heartbeats(),
            bystanders=run.bystanders,
            record=lambda kind, data: None,
        )
        if not self.ends_processes:
            began_ns = time.monotonic_ns()
            episode = await _watch_uses(run, began_ns, wall_ns)
            return _with_report(episode, report)
        episode = episode_of(report)
        if self.holds and episode.survivors is not None:
            return await _after_hold(run, report, episode)
        return await _and_later(run, episode)


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
        name="cgroup_kill",
        description="Custodes: the kernel's kill of the control group, verified by its emptiness "
        "and the namespace's.",
        order=StopMechanism.CGROUP_KILL,
    ),
    Mechanism(
        name="freeze",
        description="Custodes: every process held, and let go on afterwards.",
        order=StopMechanism.FREEZE,
    ),
    Mechanism(
        name="network_cut",
        description="Custodes: every connection through the broker ended, new ones refused.",
        targets=frozenset({Target.NETWORK}),
        channel=Channel.STREAM,
    ),
    Mechanism(
        name="credential_revocation",
        description="Custodes: the credential withdrawn where it is accepted.",
        targets=frozenset({Target.CREDENTIAL}),
        channel=Channel.TOKEN,
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
    Mechanism(
        name="new_connections_refused",
        description="Control: no new connection is taken; open ones are left, as a removed allow "
        "rule leaves them.",
        act=refuse_connections,
        channel=Channel.STREAM,
    ),
    Mechanism(
        name="key_file_deleted",
        description="Control: the file with the credential is deleted; nothing withdraws it.",
        act=delete_key_file,
        channel=Channel.TOKEN,
    ),
)

MECHANISMS: Mapping[str, Mechanism] = {mechanism.name: mechanism for mechanism in _ALL}
"""Every mechanism by name."""

CONTROL_OF: Mapping[Channel, Mechanism] = {
    Channel.FILE: MECHANISMS["process_group"],
    Channel.STREAM: MECHANISMS["new_connections_refused"],
    Channel.TOKEN: MECHANISMS["key_file_deleted"],
}
"""The naive mechanism that shows survivors of those on the same channel."""


def mechanisms(names: Iterable[str] | None) -> list[Mechanism]:
    """Those of these names, or all. Raises ValueError as ``adversaries`` does."""
    return [MECHANISMS[name] for name in known(names, MECHANISMS, "mechanism")]


def episode_of(report: StopReport) -> Episode:
    """What a stop order showed, as a drill counts it: not verified is never no survivor."""
    window_us = report.stage(StopStage.VERIFIED).us or 0
    if report.survivors or report.silent is False:
        return Episode(
            survivors=report.survivors or 1, collateral=report.collateral, window_us=window_us
        )
    if not report.verified:
        return Episode(survivors=None, unverified=_doubts(report), collateral=report.collateral)
    return Episode(
        survivors=0,
        last_side_effect_us=report.last_side_effect_us,
        last_process_gone_us=report.last_process_gone_us,
        window_us=window_us,
        collateral=report.collateral,
    )


def _doubts(report: StopReport) -> str:
    return "; ".join(
        f"{stage.stage.value}: {stage.detail}"
        for stage in report.stages
        if stage.state in (StageState.FAILED, StageState.NOT_VERIFIED)
    )


async def _after_hold(run: Run, report: StopReport, episode: Episode) -> Episode:
    """A hold must be one: nothing runs meanwhile, nothing was killed, and all goes on after it."""
    if report.escalated:
        steps = "; ".join(f"{step.stage.value}: {step.reason}" for step in report.escalations)
        return replace(episode, survivors=None, unverified=f"it did not hold: {steps}")
    episode = replace(episode, last_process_gone_us=report.stage(StopStage.FROZEN).us)
    later, doubt = await run.jobs_run()
    if episode.survivors == 0 and not await run.resumes():
        doubt = "nothing beat after the thaw: the silence may not have been the hold's doing"
    return _joined(episode, later, doubt)


async def _and_later(run: Run, episode: Episode) -> Episode:
    """Add what comes back."""
    if episode.survivors is None:
        return episode
    later, doubt = await run.returned()
    return _joined(episode, later, doubt)


def _joined(episode: Episode, later: int, doubt: str) -> Episode:
    assert episode.survivors is not None
    if later:
        return replace(
            episode,
            survivors=episode.survivors + later,
            last_side_effect_us=None,
            last_process_gone_us=None,
        )
    if doubt and not episode.survivors:
        return replace(episode, survivors=None, unverified=doubt)
    return episode


def _with_report(episode: Episode, report: StopReport) -> Episode:
    episode = replace(episode, collateral=report.collateral)
    if episode.survivors == 0 and not report.verified:
        return replace(episode, survivors=None, unverified=_doubts(report))
    return episode


async def _watch_processes(run: Run, began_ns: int, wall_ns: int) -> Episode:
    """Look for survivors until none is left or the window has passed."""

    def us() -> int:
        return (time.monotonic_ns() - began_ns) // 1000

    left = run.left()
    while left and us() < WINDOW_S * 1e6:
        await anyio.sleep(0.005)
        left = run.left()
    gone_us = us()
    heard = run.heartbeats()
    first = heard.sample()
    await anyio.sleep(max(0.015, 4 * heard.interval_ms / 1000))
    last = heard.sample()
    left = run.left()
    survivors = len(left)
    if not left and last.mark != first.mark:
        # A process that is never there when one looks: its heartbeat gives it away.
        survivors = 1
    effect = None if last.last_wall_ns is None else max(0, (last.last_wall_ns - wall_ns) // 1000)
    episode = Episode(
        survivors=survivors,
        window_us=us(),
        last_side_effect_us=None if survivors else effect,
        last_process_gone_us=None if survivors else gone_us,
    )
    return await _and_later(run, episode)


async def _watch_uses(run: Run, began_ns: int, wall_ns: int) -> Episode:
    """Count the processes whose use of the network or of the credential still arrives.

    What was stopped is let go on first, and what waits in a queue is run, so that all can try; and
    the adversary must live through it, or its silence would say nothing.
    """
    uses = run.uses
    assert uses is not None
    run.let_go_on()
    _, doubt = await run.jobs_run()
    alive = run.files()
    window = max(WINDOW_S / 2, 4 * uses.interval_ms / 1000)
    still, tried = 0, False
    # What was under way at the stop may arrive in the first window; what still can uses each.
    for _ in range(2):
        first, last_ns, mark = dict(uses.by_name), uses.last_wall_ns, alive.sample().mark
        await anyio.sleep(window)
        tried = await run.beats_on(mark)
        still = sum(count > first.get(name, 0) for name, count in uses.by_name.items())
        if not still:
            break
    window_us = (time.monotonic_ns() - began_ns) // 1000
    if still:
        return Episode(survivors=still, window_us=window_us)
    if not tried:
        doubt = "the adversary did not beat on meanwhile: its silence says nothing"
    if doubt:
        return Episode(survivors=None, unverified=doubt, window_us=window_us)
    effect = 0 if last_ns is None else max(0, (last_ns - wall_ns) // 1000)
    return Episode(survivors=0, last_side_effect_us=effect, window_us=window_us)
