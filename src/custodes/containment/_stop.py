"""Stop orders: what is stopped, by whom, in which stages, and how that is known.

Each stage is timed apart, in microseconds of the host's monotonic clock since the order, by what
the host itself saw. A stage that fails does not hold up the next one; a stop that cannot be
verified is reported as not verified.
"""

from __future__ import annotations

import inspect
import os
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import anyio

from custodes.types import JsonObject

from ._spec import FreezeReceipt, KillReceipt, ProcessInfo

Record = Callable[[str, JsonObject], None]
"""Takes the kind and the data (integers and text only) of a host receipt."""

_GRACE_S = 5.0
"""A kill is never given up at the deadline: a late stop is better than none, and is called late."""

_CLOCK_REALTIME_COARSE = 5
"""The clock of file times (linux/time.h); Python has no name for it."""


class Target(StrEnum):
    """What an order stops."""

    PROCESS = "process"
    SANDBOX = "sandbox"
    NETWORK = "network"
    CREDENTIAL = "credential"
    JOB = "job"
    SUB_AGENT = "sub_agent"


class StopMechanism(StrEnum):
    """How processes are stopped."""

    FREEZE_THEN_KILL = "freeze_then_kill"
    NAMESPACE_KILL = "namespace_kill"
    """End of the process namespace, without the freeze before it."""


class StopStage(StrEnum):
    """Stages of a stop, in order of their report."""

    FROZEN = "frozen"
    NETWORK_CUT = "network_cut"
    CREDENTIALS_REVOKED = "credentials_revoked"
    JOBS_ENDED = "jobs_ended"
    SUB_AGENTS_ENDED = "sub_agents_ended"
    KILLED = "killed"
    VERIFIED = "verified"


class StageState(StrEnum):
    """How a stage ended."""

    DONE = "done"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"
    """The order did not name it."""
    NOT_VERIFIED = "not_verified"
    """It was carried out, or could have been, and nothing shows that it worked."""


class Stoppable(Protocol):
    """The part of a sandbox that a stop order uses."""

    @property
    def workspace_host(self) -> Path | None: ...
    def processes(self) -> tuple[ProcessInfo, ...]: ...
    async def freeze(self) -> FreezeReceipt: ...
    async def kill(self) -> KillReceipt: ...


class Cuttable(Protocol):
    """The part of an egress broker that a stop order uses."""

    def cut(self) -> object:
        """End what is open and refuse what is new; a coroutine or not. Raises on failure."""
        ...


class Revocable(Protocol):
    """A credential that can be withdrawn, and tried afterwards."""

    @property
    def name(self) -> str: ...
    def revoke(self) -> Awaitable[None] | None:
        """Withdraw it. Raises on failure."""
        ...

    def is_refused(self) -> Awaitable[bool] | bool:
        """Use it where it was valid, and say whether it was refused."""
        ...


class Haltable(Protocol):
    """A queued job or a sub-agent that can be halted, and asked about afterwards."""

    @property
    def name(self) -> str: ...
    def halt(self) -> Awaitable[None] | None: ...
    def is_gone(self) -> Awaitable[bool] | bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """State of a heartbeat at one moment.

    Attributes:
        mark: changes whenever there was a side effect since; 0 when there never was one.
        last_wall_ns: the kernel's time of the last side effect, nanoseconds since 1970, or None.
    """

    mark: int
    last_wall_ns: int | None


class Heartbeats(Protocol):
    """Side effects of what is to be stopped, watched by the host."""

    @property
    def interval_ms(self) -> int:
        """Longest pause between two beats while alive."""
        ...

    @property
    def planted(self) -> bool:
        """Whether it beats steadily while alive, so that silence says something."""
        ...

    def sample(self) -> Beat: ...


class FileHeartbeats:
    """Files in one directory of the host that grow at every beat.

    The time of the last beat is the file's change time, which the kernel writes and no process
    can set (modification times can be forged). Links are not followed.

    Args:
        directory: directory on the host.
        suffix: which files count.
        interval_ms: longest pause between two beats.
    """

    planted = True

    def __init__(self, directory: Path, *, suffix: str = ".beat", interval_ms: int = 5) -> None:
        self.directory = directory
        self.suffix = suffix
        self.interval_ms = interval_ms

    def sample(self) -> Beat:
        size = 0
        last: int | None = None
        with os.scandir(self.directory) as entries:
            for entry in entries:
                if not entry.name.endswith(self.suffix):
                    continue
                found = entry.stat(follow_symlinks=False)
                size += found.st_size
                if found.st_size and (last is None or found.st_ctime_ns > last):
                    last = found.st_ctime_ns
        return Beat(mark=size, last_wall_ns=last)


class WorkspaceHeartbeats:
    """Any change below a workspace, for subjects without a planted heartbeat.

    Its silence is weaker evidence: an agent that only computes changes no file.
    """

    planted = False
    interval_ms = 10

    def __init__(self, workspace: Path, *, most_entries: int = 20_000) -> None:
        self.workspace = workspace
        self.most_entries = most_entries

    def sample(self) -> Beat:
        """Raises OSError when the tree is too large to be watched this way."""
        newest = 0
        entries = 0
        for directory, _, files in os.walk(self.workspace, followlinks=False):
            for name in (".", *files):
                entries += 1
                if entries > self.most_entries:
                    raise OSError(f"more than {self.most_entries} entries below the workspace")
                try:
                    found = os.stat(os.path.join(directory, name), follow_symlinks=False)
                except FileNotFoundError:
                    continue
                newest = max(newest, found.st_ctime_ns)
        return Beat(mark=newest, last_wall_ns=newest or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """Who stops what, why, how, and by when.

    Attributes:
        ordered_by: a person, a monitor or a drill.
        reason: one sentence.
        targets: what is to be stopped; the criterion of each is fixed: no process left and silence
            (process, sandbox), every new and open connection refused (network), refused where it
            was valid (credential), gone when asked (job, sub_agent).
        mechanism: how processes are stopped.
        deadline_ms: by when, in milliseconds from the order.
    """

    ordered_by: str
    reason: str
    targets: frozenset[Target]
    mechanism: StopMechanism = StopMechanism.FREEZE_THEN_KILL
    deadline_ms: int = 5_000

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", frozenset(Target(target) for target in self.targets))
        object.__setattr__(self, "mechanism", StopMechanism(self.mechanism))
        if not self.ordered_by.strip() or not self.reason.strip():
            raise ValueError("a stop order names who ordered it and why")
        if not self.targets:
            raise ValueError("a stop order names at least one target")
        if self.deadline_ms <= 0:
            raise ValueError(f"expected a deadline of 1 ms or more, found {self.deadline_ms}")

    def to_json(self) -> JsonObject:
        return {
            "ordered_by": self.ordered_by,
            "reason": self.reason,
            "targets": sorted(target.value for target in self.targets),
            "mechanism": self.mechanism.value,
            "deadline_ms": self.deadline_ms,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """One stage: how it ended, and when.

    Attributes:
        us: microseconds from the order to the host's knowledge of the result; None when the
            stage did not apply.
        detail: what was seen, in a few words.
    """

    stage: StopStage
    state: StageState
    us: int | None
    detail: str

    def to_json(self) -> JsonObject:
        return {
            "stage": self.stage.value,
            "state": self.state.value,
            "us": self.us,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """What a stop order did.

    Attributes:
        stages: every stage, in the order of ``StopStage``.
        last_side_effect_us: the last side effect seen, from the order; 0 when there was none after
            it, None when none was watched.
        resolution_us: how much earlier than the truth that time can be (the kernel's file clock).
        last_process_gone_us: when the namespace was empty; None when it was not shown to be.
        survivors: processes of the sandbox still alive at the end; None when nobody could look.
        silent: no side effect was seen after the kill; None when none was watched, or when there
            was nothing to hear.
        collateral: watched bystanders that ended during the stop.
        bystanders: how many were watched.
        unrecorded: receipts that the recorder refused, with its errors.
    """

    order: StopOrder
    stages: tuple[StageResult, ...]
    last_side_effect_us: int | None
    resolution_us: int
    last_process_gone_us: int | None
    survivors: int | None
    silent: bool | None
    collateral: int
    bystanders: int
    unrecorded: tuple[str, ...] = ()

    def stage(self, stage: StopStage) -> StageResult:
        return next(result for result in self.stages if result.stage is stage)

    @property
    def verified(self) -> bool:
        """Whether every target of the order was shown to be stopped."""
        return all(
            result.state in (StageState.DONE, StageState.NOT_APPLICABLE)
            for result in self.stages
            # A freeze that failed before a verified kill leaves nothing running: it is reported
            # as a failed stage, and does not undo the kill.
            if result.stage is not StopStage.FROZEN
        )

    @property
    def deadline_met(self) -> bool | None:
        """Whether the order was carried out in time; None when it was not verified."""
        if not self.verified:
            return None
        times = [result.us for result in self.stages if result.us is not None]
        # The window of silence after an empty namespace is observation, not stopping.
        done = [
            result.us
            for result in self.stages
            if result.us is not None and result.stage is not StopStage.VERIFIED
        ]
        return max(done or times, default=0) <= self.order.deadline_ms * 1000

    @property
    def outcome(self) -> str:
        """``verified``, ``late``, ``not_verified`` or ``failed``."""
        if self.verified:
            return "verified" if self.deadline_met else "late"
        if any(
            result.state is StageState.FAILED
            for result in self.stages
            if result.stage is not StopStage.FROZEN
        ):
            return "failed"
        return "not_verified"

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.stop/1",
            "order": self.order.to_json(),
            "outcome": self.outcome,
            "stages": [result.to_json() for result in self.stages],
            "last_side_effect_us": self.last_side_effect_us,
            "resolution_us": self.resolution_us,
            "last_process_gone_us": self.last_process_gone_us,
            "survivors": self.survivors,
            "silent": self.silent,
            "collateral": self.collateral,
            "bystanders": self.bystanders,
            "unrecorded": list(self.unrecorded),
        }


def process_identity(pid: int) -> tuple[int, int, str] | None:
    """Process number, start time and state, or None when there is no such process.

    Numbers are used again; a number with its start time (clock ticks since boot) is not.
    """
    try:
        raw = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = raw[raw.rindex(b")") + 2 :].split()
    return pid, int(fields[19]), fields[0].decode()


def alive(identity: tuple[int, int]) -> bool:
    """Whether that very process still runs (a zombie does not)."""
    now = process_identity(identity[0])
    return now is not None and now[1] == identity[1] and now[2] not in "ZX"


def _identities(pids: Sequence[int]) -> set[tuple[int, int]]:
    found = (process_identity(pid) for pid in pids)
    return {(one[0], one[1]) for one in found if one is not None and one[2] not in "ZX"}


def _ancestors() -> list[int]:
    pids: list[int] = []
    pid = os.getppid()
    while pid > 1:
        pids.append(pid)
        raw = Path(f"/proc/{pid}/stat").read_bytes()
        pid = int(raw[raw.rindex(b")") + 2 :].split()[1])
    return pids


def _text(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_text(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"[:300]


async def _maybe(value: object) -> object:
    return await value if inspect.isawaitable(value) else value


class _Stop:
    """One order on its way."""

    def __init__(self, order: StopOrder, record: Record) -> None:
        self.order = order
        self.record = record
        self.began_ns = time.monotonic_ns()
        self.wall_ns = time.time_ns()
        self.results: dict[StopStage, StageResult] = {}
        self.unrecorded: list[str] = []

    def us(self) -> int:
        return (time.monotonic_ns() - self.began_ns) // 1000

    def left_s(self, floor: float = 0.0) -> float:
        return max(floor, self.order.deadline_ms / 1000 - self.us() / 1e6)

    def write(self, kind: str, data: JsonObject) -> None:
        try:
            self.record(kind, data)
        except Exception as error:  # a full disk must not keep an agent alive
            self.unrecorded.append(f"{kind}: {_text(error)}")

    def end(self, stage: StopStage, state: StageState, detail: str) -> None:
        us = None if state is StageState.NOT_APPLICABLE else self.us()
        self.results[stage] = StageResult(stage=stage, state=state, us=us, detail=detail)
        self.write("stop.stage", self.results[stage].to_json())

    def wants(self, *targets: Target) -> bool:
        return bool(self.order.targets.intersection(targets))


async def _freeze(stop: _Stop, sandbox: Stoppable) -> None:
    if stop.order.mechanism is not StopMechanism.FREEZE_THEN_KILL:
        stop.end(StopStage.FROZEN, StageState.NOT_APPLICABLE, "the mechanism does not freeze")
        return
    # The freeze gets a quarter of the time at most: the kill does not wait for it.
    budget = min(0.5, stop.left_s() / 4)
    try:
        with anyio.fail_after(budget):
            receipt = await sandbox.freeze()
        running = _running(sandbox)
    except TimeoutError:
        detail = f"not shown to be frozen within {int(budget * 1000)} ms"
        stop.end(StopStage.FROZEN, StageState.NOT_VERIFIED, detail)
    except Exception as error:
        stop.end(StopStage.FROZEN, StageState.FAILED, _text(error))
    else:
        if receipt.verified is not True:
            stop.end(StopStage.FROZEN, StageState.NOT_VERIFIED, "the freeze was not complete")
        elif running and receipt.mechanism == "signal":
            detail = f"{running} processes still ran after the freeze"
            stop.end(StopStage.FROZEN, StageState.NOT_VERIFIED, detail)
        else:
            detail = "every process is held, seen from the host"
            stop.end(StopStage.FROZEN, StageState.DONE, detail)


def _running(sandbox: Stoppable) -> int:
    """Processes that run or could at once; the first process of the namespace is never held."""
    return sum(process.state in ("R", "S") and not process.init for process in sandbox.processes())


async def _cut(stop: _Stop, broker: Cuttable | None) -> None:
    stage = StopStage.NETWORK_CUT
    if not stop.wants(Target.NETWORK):
        stop.end(stage, StageState.NOT_APPLICABLE, "not in the order")
        return
    if broker is None:
        stop.end(
            stage, StageState.NOT_VERIFIED, "the order names the network, and no broker was given"
        )
        return
    try:
        with anyio.fail_after(stop.left_s(0.05)):
            receipt = await _maybe(broker.cut())
    except TimeoutError:
        stop.end(stage, StageState.FAILED, "the broker did not answer by the deadline")
    except Exception as error:
        stop.end(stage, StageState.FAILED, _text(error))
    else:
        if getattr(receipt, "verified", True) is not True:
            stop.end(stage, StageState.NOT_VERIFIED, "the broker could not verify its cut")
        else:
            count = getattr(receipt, "connections", None)
            ended = f"{count} connections ended, " if isinstance(count, int) else ""
            stop.end(
                stage, StageState.DONE, f"{ended}new ones are refused, by the broker's receipt"
            )


async def _each(
    stop: _Stop,
    stage: StopStage,
    target: Target,
    items: Sequence[tuple[str, Callable[[], object], Callable[[], object]]],
    done: str,
) -> None:
    """Act on every item at once, then ask each whether it worked."""
    if not stop.wants(target):
        stop.end(stage, StageState.NOT_APPLICABLE, "not in the order")
        return
    if not items:
        stop.end(
            stage,
            StageState.NOT_VERIFIED,
            f"the order names {target.value}, and none was given",
        )
        return
    failed: list[str] = []
    unsure: list[str] = []

    async def one(name: str, act: Callable[[], object], check: Callable[[], object]) -> None:
        try:
            with anyio.fail_after(stop.left_s(0.05)):
                await _maybe(act())
        except TimeoutError:
            failed.append(f"{name}: no answer by the deadline")
            return
        except Exception as error:
            failed.append(f"{name}: {_text(error)}")
            return
        try:
            with anyio.fail_after(stop.left_s(0.05)):
                while await _maybe(check()) is not True:
                    await anyio.sleep(0.002)
        except TimeoutError:
            unsure.append(f"{name}: still valid at the deadline")
        except Exception as error:
            unsure.append(f"{name}: could not be checked: {_text(error)}")

    async with anyio.create_task_group() as group:
        for item in items:
            group.start_soon(one, *item)
    if failed:
        stop.end(stage, StageState.FAILED, "; ".join(sorted(failed + unsure)))
    elif unsure:
        stop.end(stage, StageState.NOT_VERIFIED, "; ".join(sorted(unsure)))
    else:
        stop.end(stage, StageState.DONE, f"{len(items)} {done}")


async def _kill(stop: _Stop, sandbox: Stoppable) -> int | None:
    """Kill; microseconds until the namespace was seen to end, None when that was not seen."""
    called_us = stop.us()
    try:
        with anyio.fail_after(max(stop.left_s(), _GRACE_S)):
            receipt = await sandbox.kill()
    except TimeoutError:
        stop.end(StopStage.KILLED, StageState.FAILED, "the kill did not return")
    except Exception as error:
        stop.end(StopStage.KILLED, StageState.FAILED, _text(error))
    else:
        if receipt.verified is True and receipt.guaranteed is True:
            detail = "the namespace ended, by its descriptor"
            stop.end(StopStage.KILLED, StageState.DONE, detail)
            return called_us + receipt.elapsed_us
        detail = receipt.note or "killed, and its end was not seen"
        stop.end(StopStage.KILLED, StageState.NOT_VERIFIED, detail)
    return None


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
    that none waits for another. The stop goes on when its caller is cancelled, when a stage fails
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
        record: receives ``stop.ordered``, one ``stop.stage`` per stage, and ``stop.ended``.
    """
    stop = _Stop(order, record)
    with anyio.CancelScope(shield=True):
        stop.write("stop.ordered", order.to_json())
        watched = _identities([*_ancestors(), *bystanders])
        kills = stop.wants(Target.PROCESS, Target.SANDBOX)
        if heartbeats is None and sandbox.workspace_host is not None:
            heartbeats = WorkspaceHeartbeats(sandbox.workspace_host)
        at_order = _sample(heartbeats)

        if kills:
            await _freeze(stop, sandbox)
        else:
            stop.end(StopStage.FROZEN, StageState.NOT_APPLICABLE, "not in the order")
        # After a freeze the list is complete and costs no time that matters; before a bare kill
        # it would only delay it, and the kernel's word on the namespace covers every process.
        frozen = kills and stop.results[StopStage.FROZEN].state is not StageState.NOT_APPLICABLE
        before = _processes(sandbox) if frozen else frozenset()

        ended_us: int | None = None

        async def kill() -> None:
            nonlocal ended_us
            if kills:
                ended_us = await _kill(stop, sandbox)
            else:
                stop.end(StopStage.KILLED, StageState.NOT_APPLICABLE, "not in the order")

        async with anyio.create_task_group() as group:
            group.start_soon(kill)
            group.start_soon(_cut, stop, broker)
            group.start_soon(
                _each,
                stop,
                StopStage.CREDENTIALS_REVOKED,
                Target.CREDENTIAL,
                [(one.name, one.revoke, one.is_refused) for one in credentials],
                "refused where they were valid",
            )
            group.start_soon(
                _each,
                stop,
                StopStage.JOBS_ENDED,
                Target.JOB,
                [(one.name, one.halt, one.is_gone) for one in jobs],
                "gone when asked",
            )
            group.start_soon(
                _each,
                stop,
                StopStage.SUB_AGENTS_ENDED,
                Target.SUB_AGENT,
                [(one.name, one.halt, one.is_gone) for one in sub_agents],
                "gone when asked",
            )

        gone_us: int | None = None
        survivors: int | None = None
        silent: bool | None = None
        last: Beat | None = None
        if kills:
            ended = ended_us is not None
            survivors, gone, silent, noise, last = await _verify(
                sandbox, before, ended, heartbeats, at_order
            )
            if gone and silent is not False:
                gone_us = ended_us
            stop.end(
                StopStage.VERIFIED,
                StageState.DONE if gone and noise is None else StageState.NOT_VERIFIED,
                "; ".join(reason for reason in (_not_empty(survivors, ended), noise) if reason)
                or "no process left, and silence",
            )
        else:
            stop.end(StopStage.VERIFIED, StageState.NOT_APPLICABLE, "no process in the order")
            last = _sample(heartbeats)

        report = StopReport(
            order=order,
            stages=tuple(stop.results[stage] for stage in StopStage),
            last_side_effect_us=_last_effect(stop, at_order, last),
            resolution_us=int(time.clock_getres(_CLOCK_REALTIME_COARSE) * 1e6),
            last_process_gone_us=gone_us,
            survivors=survivors,
            silent=silent,
            collateral=sum(not alive(identity) for identity in watched),
            bystanders=len(watched),
            unrecorded=tuple(stop.unrecorded),
        )
        stop.write("stop.ended", report.to_json())
    return report


def _not_empty(survivors: int | None, ended: bool) -> str:
    if survivors:
        return f"{survivors} processes left"
    if survivors is None:
        return "the processes of the sandbox could not be listed"
    return "" if ended else "no process was seen, and neither was the end of the namespace"


def _sample(heartbeats: Heartbeats | None) -> Beat | None:
    if heartbeats is None:
        return None
    try:
        return heartbeats.sample()
    except Exception:  # a source that cannot be read is no silence: _verify says so
        return None


def _processes(sandbox: Stoppable) -> Set[tuple[int, int]] | None:
    try:
        return _identities([process.pid for process in sandbox.processes()])
    except Exception:
        return None


def _last_effect(stop: _Stop, at_order: Beat | None, last: Beat | None) -> int | None:
    if last is None or at_order is None:
        return None
    if last.mark == at_order.mark or last.last_wall_ns is None:
        return 0
    return max(0, (last.last_wall_ns - stop.wall_ns) // 1000)


async def _verify(
    sandbox: Stoppable,
    before: Set[tuple[int, int]] | None,
    ended: bool,
    heartbeats: Heartbeats | None,
    at_order: Beat | None,
) -> tuple[int | None, bool, bool | None, str | None, Beat | None]:
    """Survivors, whether the namespace is empty, whether there is silence and what breaks it."""
    after = _processes(sandbox)
    survivors: int | None = None
    if before is not None and after is not None:
        survivors = len(after | {identity for identity in before if alive(identity)})
    empty = ended and survivors == 0
    if heartbeats is None:
        return survivors, empty, None, "no side effect was watched", None
    first = _sample(heartbeats)
    await anyio.sleep(max(0.015, 4 * heartbeats.interval_ms / 1000))
    last = _sample(heartbeats)
    if at_order is None or first is None or last is None:
        return survivors, empty, None, "the side effects could not be read", last
    if last.mark != first.mark:
        return survivors, empty, False, "side effects went on after the kill", last
    if heartbeats.planted and last.mark == 0:
        noise = "the heartbeat never beat: its silence says nothing"
        return survivors, empty, None, noise, last
    return survivors, empty, True, None, last
