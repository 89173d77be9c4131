"""Stop orders: what is stopped, by whom, in which stages, and how that is known.

Each stage is timed apart, in microseconds of the host's monotonic clock since the order, by what
the host itself saw. A stage that fails does not hold up the next one, and is followed by another
way to the same end; a stop that cannot be verified is reported as not verified.
"""

from __future__ import annotations

import time
from collections.abc import Sequence, Set
from dataclasses import dataclass

import anyio
import anyio.abc

from ._heartbeats import (
    Beat,
    FileHeartbeats,
    Heartbeats,
    JointHeartbeats,
    MappedHeartbeats,
    WorkspaceHeartbeats,
)
from ._identity import Identity, alive, ancestors, identities, process_identity
from ._stop_kill import Kill
from ._stop_order import (
    Escalation,
    Record,
    StageResult,
    StageState,
    StopMechanism,
    StopOrder,
    StopReport,
    StopStage,
    Target,
)
from ._stop_parts import Cuttable, Haltable, Revocable, Stoppable
from ._stop_run import StopRun
from ._stop_stages import (
    Network,
    ask_again,
    credentials_group,
    end_each,
    freeze,
    halts_group,
    running,
)

__all__ = [
    "Beat",
    "Cuttable",
    "Escalation",
    "FileHeartbeats",
    "Haltable",
    "Heartbeats",
    "JointHeartbeats",
    "MappedHeartbeats",
    "Record",
    "Revocable",
    "StageResult",
    "StageState",
    "StopMechanism",
    "StopOrder",
    "StopReport",
    "StopStage",
    "Stoppable",
    "Target",
    "WorkspaceHeartbeats",
    "alive",
    "execute_stop",
    "process_identity",
]

_CLOCK_REALTIME_COARSE = 5
"""The clock of file times (linux/time.h); Python has no name for it."""
_LEAST_WINDOW_S = 0.015
_WINDOWS = 2
"""What was under way at the stop (bytes in a connection) may arrive in the first, which is then
part of the latency; what lives beats in each of them."""


async def execute_stop(
    order: StopOrder,
    *,
    sandbox: Stoppable,
    broker: Cuttable | None = None,
    credentials: Sequence[Revocable] = (),
    jobs: Sequence[Haltable] = (),
    sub_agents: Sequence[Haltable] = (),
    heartbeats: Heartbeats | None = None,
    bystanders: Sequence[int] = (),
    record: Record,
) -> StopReport:
    """Carry out a stop order and say what is known about it.

    Processes are frozen first; then the cut, the revocations and the kill run side by side, so
    that none waits for another. Where one fails, another way is tried, within the order's targets:
    only an order that names process or sandbox kills the sandbox, but a credential that stays
    valid has the network cut. The stop goes on when its caller is cancelled, when a stage fails
    and when the recorder fails; all of that is in the report. It raises nothing of its own.

    Args:
        order: what to do.
        sandbox: where the processes are.
        broker: the way out to the network, if there is one.
        credentials, jobs, sub_agents: what else the order can reach. A target that the order
            names and for which nothing is given is not verified.
        heartbeats: side effects to watch; without them, changes below the workspace.
        bystanders: host processes that the stop must not touch, watched for collateral (this
            process's ancestors always are).
        record: receives ``stop.ordered``, one ``stop.stage`` per stage (another one where a later
            look contradicts it), ``stop.escalated`` at every step to another way, ``stop.ended``.
    """
    stop = StopRun(order, record)
    with anyio.CancelScope(shield=True):
        async with anyio.create_task_group() as background:
            report = await _carry_out(
                stop,
                background,
                sandbox=sandbox,
                network=Network(stop, broker),
                credentials=credentials,
                jobs=jobs,
                sub_agents=sub_agents,
                heartbeats=heartbeats,
                bystanders=bystanders,
            )
            background.cancel_scope.cancel()  # ways that hang
    return report


async def _carry_out(
    stop: StopRun,
    background: anyio.abc.TaskGroup,
    *,
    sandbox: Stoppable,
    network: Network,
    credentials: Sequence[Revocable],
    jobs: Sequence[Haltable],
    sub_agents: Sequence[Haltable],
    heartbeats: Heartbeats | None,
    bystanders: Sequence[int],
) -> StopReport:
    order = stop.order
    stop.write("stop.ordered", order.to_json())
    watched = identities([*ancestors(), *bystanders])
    if heartbeats is None and sandbox.workspace_host is not None:
        heartbeats = WorkspaceHeartbeats(sandbox.workspace_host)
    at_order = _sample(heartbeats)

    held = ""
    if stops := stop.wants(Target.PROCESS, Target.SANDBOX):
        held = await freeze(stop, sandbox)
    else:
        stop.end(StopStage.FROZEN, StageState.NOT_APPLICABLE, "not in the order")
    kills = stops and not (held and order.mechanism is StopMechanism.FREEZE)
    # After a freeze the list is complete and costs no time that matters; before a bare kill
    # it would only delay it, and the kernel's word on the namespace covers every process.
    frozen = stops and stop.results[StopStage.FROZEN].state is not StageState.NOT_APPLICABLE
    before = _processes(sandbox) if frozen else frozenset()

    kill = Kill(stop, sandbox, background) if kills else None
    killed = anyio.Event()
    groups = (
        credentials_group(credentials, network),
        halts_group(stop, StopStage.JOBS_ENDED, Target.JOB, jobs, background),
        halts_group(stop, StopStage.SUB_AGENTS_ENDED, Target.SUB_AGENT, sub_agents, background),
    )

    async def end_processes() -> None:
        if kill is not None:
            await kill.run()
        else:
            why = "held, not killed" if stops else "not in the order"
            stop.end(StopStage.KILLED, StageState.NOT_APPLICABLE, why)
        killed.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(end_processes)
        tasks.start_soon(network.cut, kill, killed)
        for group in groups:
            tasks.start_soon(end_each, stop, group)

    found = _Found()
    if kill is not None:
        found = await _verify_end(sandbox, before, kill.ended_us is not None, heartbeats, at_order)
        if found.survivors and kill.ended_us is not None:
            # It only seemed to have worked.
            await kill.again(f"{found.survivors} processes left after the kill")
            ended = kill.ended_us is not None
            found = await _verify_end(sandbox, before, ended, heartbeats, at_order)
    elif stops:
        found = await _verify_hold(sandbox, held, heartbeats, at_order)
    else:
        await anyio.sleep(_LEAST_WINDOW_S if any(group.items for group in groups) else 0)
        found.last = _sample(heartbeats)
    for group in groups:
        await ask_again(stop, group)
    if stops:
        state = StageState.NOT_VERIFIED if found.doubts else StageState.DONE
        stop.end(StopStage.VERIFIED, state, "; ".join(found.doubts) or found.word)
    else:
        stop.end(StopStage.VERIFIED, StageState.NOT_APPLICABLE, "no process in the order")

    report = StopReport(
        order=order,
        stages=tuple(stop.results[stage] for stage in StopStage),
        escalations=tuple(stop.escalations),
        last_side_effect_us=_last_effect(stop, at_order, found.last),
        resolution_us=int(time.clock_getres(_CLOCK_REALTIME_COARSE) * 1e6),
        last_process_gone_us=(
            kill.ended_us
            if kill is not None and found.survivors == 0 and found.silent is not False
            else None
        ),
        survivors=found.survivors,
        silent=found.silent,
        collateral=sum(not alive(identity) for identity in watched),
        bystanders=len(watched),
        unrecorded=tuple(stop.unrecorded),
    )
    stop.write("stop.ended", report.to_json())
    return report


@dataclass(slots=True)
class _Found:
    """What the last look showed.

    Attributes:
        doubts: why the stop is not verified; none when it is.
        word: what to say when it is.
    """

    survivors: int | None = None
    silent: bool | None = None
    last: Beat | None = None
    doubts: tuple[str, ...] = ()
    word: str = ""


def _sample(heartbeats: Heartbeats | None) -> Beat | None:
    if heartbeats is None:
        return None
    try:
        return heartbeats.sample()
    except Exception:  # a source that cannot be read is no silence: the last look says so
        return None


def _processes(sandbox: Stoppable) -> Set[Identity] | None:
    try:
        return identities(process.pid for process in sandbox.processes())
    except Exception:
        return None


def _last_effect(stop: StopRun, at_order: Beat | None, last: Beat | None) -> int | None:
    if last is None or at_order is None:
        return None
    if last.mark == at_order.mark:
        return 0
    if last.last_wall_ns is None:
        return None
    return max(0, (last.last_wall_ns - stop.wall_ns) // 1000)


async def _verify_end(
    sandbox: Stoppable,
    before: Set[Identity] | None,
    ended: bool,
    heartbeats: Heartbeats | None,
    at_order: Beat | None,
) -> _Found:
    """Look for emptiness and for silence after a kill.

    Args:
        before: processes that were listed before it; None when that failed.
        ended: the end of the namespace was seen.
    """
    found = _Found(word="no process left, and silence")
    after = _processes(sandbox)
    if before is not None and after is not None:
        found.survivors = len(after | {identity for identity in before if alive(identity)})
    noise = await _listen(heartbeats, at_order, found)
    if found.survivors:
        left = f"{found.survivors} processes left"
    elif found.survivors is None:
        left = "the processes of the sandbox could not be listed"
    else:
        left = "" if ended else "no process was seen, and neither was the end of the namespace"
    found.doubts = tuple(doubt for doubt in (left, noise) if doubt)
    return found


async def _verify_hold(
    sandbox: Stoppable, held: str, heartbeats: Heartbeats | None, at_order: Beat | None
) -> _Found:
    """Look, after a while, whether anything runs or acts though all of it is held."""
    found = _Found(word="every process is held, and silence")
    noise = await _listen(heartbeats, at_order, found)
    doubt = ""
    try:
        # The kernel's freezer says itself that it holds; what it holds shows no state of its own.
        found.survivors = 0 if held == "cgroup" else running(sandbox)
        doubt = f"{found.survivors} processes run" if found.survivors else ""
    except Exception:
        doubt = "the processes of the sandbox could not be listed"
    found.doubts = tuple(reason for reason in (doubt, noise) if reason)
    return found


async def _listen(heartbeats: Heartbeats | None, at_order: Beat | None, found: _Found) -> str:
    """Whether there is silence, into ``found``; returns what breaks it or forbids to say so."""
    if heartbeats is None:
        return "no side effect was watched"
    window = max(_LEAST_WINDOW_S, 4 * heartbeats.interval_ms / 1000)
    first, last = _sample(heartbeats), None
    for _ in range(_WINDOWS):
        await anyio.sleep(window)
        last = found.last = _sample(heartbeats)
        if at_order is None or first is None or last is None:
            return "the side effects could not be read"
        if last.mark == first.mark:
            break
        first = last
    else:
        found.silent = False
        return "side effects went on after the stop"
    if heartbeats.planted and last.mark == 0:
        return "the heartbeat never beat: its silence says nothing"
    found.silent = True
    return ""
