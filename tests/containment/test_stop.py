"""A stop order stops, measures each stage from outside, and never claims what it did not see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from custodes.containment import (
    AllowRule,
    Broker,
    EgressPolicy,
    FreezeReceipt,
    KillReceipt,
    Limits,
    ProcessInfo,
    Sandbox,
    SandboxError,
    SandboxSpec,
)
from custodes.containment._stop import (
    Beat,
    FileHeartbeats,
    StageState,
    StopMechanism,
    StopOrder,
    StopReport,
    StopStage,
    Target,
    WorkspaceHeartbeats,
    execute_stop,
)
from custodes.types import HttpRequest, HttpResponse, JsonObject, canonical_json

from .cgroup_world import delegated_group

pytestmark = pytest.mark.anyio

PROCESSES = frozenset({Target.PROCESS, Target.SANDBOX})
KILLS = (StopMechanism.FREEZE_THEN_KILL, StopMechanism.NAMESPACE_KILL)
BEATING = "while :; do printf . >> a.beat; sleep 0.004; done"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def order(**changes: Any) -> StopOrder:
    plain = StopOrder(ordered_by="test", reason="a test of the stop", targets=PROCESSES)
    return replace(plain, **changes)


class Kept:
    """A recorder that keeps what it is given, and holds it to the form of receipts."""

    def __init__(self) -> None:
        self.receipts: list[tuple[str, JsonObject]] = []

    def __call__(self, kind: str, data: JsonObject) -> None:
        canonical_json(data)  # integers and text only
        self.receipts.append((kind, data))


@asynccontextmanager
async def running(script: str, *, beats: int = 1) -> AsyncIterator[Sandbox]:
    """A sandbox in which a shell script runs and has written its heartbeats."""
    sandbox = await Sandbox.start(SandboxSpec())

    async def command() -> None:
        with suppress(SandboxError):
            await sandbox.exec(["sh", "-c", script], timeout=60)

    async with anyio.create_task_group() as group:
        group.start_soon(command)
        try:
            with anyio.fail_after(10):
                while len(list(sandbox.workspace_host.glob("*.beat"))) < beats:
                    await anyio.sleep(0.005)
            yield sandbox
        finally:
            await sandbox.close()
            group.cancel_scope.cancel()


def heard(sandbox: Sandbox) -> FileHeartbeats:
    return FileHeartbeats(sandbox.workspace_host, interval_ms=10)


class Bent:
    """A sandbox with some of its calls replaced."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.real = sandbox
        self.workspace_host = sandbox.workspace_host

    @property
    def cgroup(self) -> Path | None:
        return self.real.cgroup

    def processes(self) -> tuple[ProcessInfo, ...]:
        return self.real.processes()

    async def freeze(self) -> FreezeReceipt:
        return await self.real.freeze()

    async def kill(self, *, count: bool = True) -> KillReceipt:
        return await self.real.kill()


CLAIM = KillReceipt(
    verified=True, guaranteed=True, processes_before=1, elapsed_us=1, mechanism="namespace"
)


def states(report: StopReport) -> dict[str, str]:
    return {result.stage.value: result.state.value for result in report.stages}


# --- what must be stopped --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "mechanism"),
    [
        (BEATING, StopMechanism.FREEZE_THEN_KILL),
        (BEATING, StopMechanism.NAMESPACE_KILL),
        (f"trap '' TERM INT HUP QUIT; {BEATING}", StopMechanism.FREEZE_THEN_KILL),
        (f"setsid sh -c '{BEATING}' & wait", StopMechanism.FREEZE_THEN_KILL),
    ],
)
async def test_a_running_process_is_stopped_and_every_stage_is_timed_from_the_order(
    script: str, mechanism: StopMechanism
) -> None:
    kept = Kept()
    async with running(script) as sandbox:
        report = await execute_stop(
            order(mechanism=mechanism), sandbox=sandbox, heartbeats=heard(sandbox), record=kept
        )
    assert report.outcome == "verified", report.to_json()
    assert (report.survivors, report.silent, report.collateral) == (0, True, 0)
    assert report.bystanders > 0
    frozen, killed = report.stage(StopStage.FROZEN), report.stage(StopStage.KILLED)
    verified = report.stage(StopStage.VERIFIED)
    assert killed.us is not None and verified.us is not None
    assert report.last_process_gone_us is not None
    assert 0 < report.last_process_gone_us <= killed.us < verified.us
    assert report.last_side_effect_us is not None
    assert report.last_side_effect_us <= report.last_process_gone_us + 1000
    if mechanism is StopMechanism.FREEZE_THEN_KILL:
        assert frozen.state is StageState.DONE and frozen.us is not None
        assert frozen.us <= report.last_process_gone_us
    else:
        assert frozen.state is StageState.NOT_APPLICABLE and frozen.us is None
    kinds = [kind for kind, _ in kept.receipts]
    assert kinds == ["stop.ordered", *["stop.stage"] * len(StopStage), "stop.ended"]
    assert not report.escalated
    assert kept.receipts[0][1]["ordered_by"] == "test"
    assert kept.receipts[-1][1] == report.to_json()


async def test_two_hundred_processes_are_stopped() -> None:
    script = "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); done; : > b.beat; " + BEATING
    async with running(script, beats=2) as sandbox:
        assert len(sandbox.processes()) > 200
        report = await execute_stop(
            order(), sandbox=sandbox, heartbeats=heard(sandbox), record=Kept()
        )
        assert sandbox.processes() == ()
    assert report.outcome == "verified", [stage.detail for stage in report.stages]
    assert report.survivors == 0


async def test_without_a_heartbeat_the_workspace_is_watched() -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(order(), sandbox=sandbox, record=Kept())
    assert report.outcome == "verified"
    assert report.silent is True and report.last_side_effect_us is not None


# --- stages that fail do not hold up the others ----------------------------------------------


class Key:
    """A credential whose revocation takes as it is told to."""

    def __init__(self, name: str, *, error: str = "", hangs: bool = False, works: bool = True):
        self.name = name
        self.error = error
        self.hangs = hangs
        self.works = works
        self.revoked = False

    async def revoke(self) -> None:
        if self.hangs:
            await anyio.sleep_forever()
        if self.error:
            raise RuntimeError(self.error)
        self.revoked = True

    def is_refused(self) -> bool:
        return self.revoked and self.works


WITH_KEYS = PROCESSES | {Target.CREDENTIAL}


async def test_a_refused_credential_is_done_only_when_its_use_was_refused() -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=WITH_KEYS),
            sandbox=sandbox,
            credentials=[Key("a"), Key("b")],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.outcome == "verified"
    assert report.stage(StopStage.CREDENTIALS_REVOKED).state is StageState.DONE


@pytest.mark.parametrize(
    ("key", "state", "word", "outcome"),
    [
        (Key("k", error="vault is down"), StageState.FAILED, "vault is down", "failed"),
        (Key("k", hangs=True), StageState.FAILED, "no answer by the deadline", "failed"),
        (Key("k", works=False), StageState.NOT_VERIFIED, "still valid", "not_verified"),
    ],
)
async def test_a_credential_that_is_not_refused_is_said_so_and_the_kill_goes_on(
    key: Key, state: StageState, word: str, outcome: str
) -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=WITH_KEYS, deadline_ms=600),
            sandbox=sandbox,
            credentials=[Key("good"), key],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    revoked = report.stage(StopStage.CREDENTIALS_REVOKED)
    assert revoked.state is state and word in revoked.detail
    assert report.stage(StopStage.KILLED).state is StageState.DONE
    assert report.survivors == 0
    assert report.outcome == outcome
    assert report.last_process_gone_us is not None and revoked.us is not None
    if key.hangs:
        assert report.last_process_gone_us < revoked.us
    # Nothing else could be done about it, and that is said.
    assert [step.next for step in report.escalations] == ["nothing: there is no broker to cut"]


class NoFreeze(Bent):
    async def freeze(self) -> FreezeReceipt:
        raise OSError("no freezer here")


class EndlessFreeze(Bent):
    async def freeze(self) -> FreezeReceipt:
        await anyio.sleep_forever()
        raise AssertionError


class EmptyFreeze(Bent):
    """Says that it froze, and did nothing."""

    async def freeze(self) -> FreezeReceipt:
        return FreezeReceipt(
            verified=True, processes=1, signals=0, rounds=1, elapsed_us=1, mechanism="signal"
        )


@pytest.mark.parametrize(
    ("bend", "state"),
    [
        (NoFreeze, StageState.FAILED),
        (EndlessFreeze, StageState.NOT_VERIFIED),
        (EmptyFreeze, StageState.NOT_VERIFIED),
    ],
)
async def test_a_freeze_that_fails_is_reported_and_does_not_stop_the_kill(
    bend: type[Bent], state: StageState
) -> None:
    async with running(f"sleep 60 & {BEATING}") as sandbox:
        report = await execute_stop(
            order(deadline_ms=400),
            sandbox=bend(sandbox),
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.stage(StopStage.FROZEN).state is state
    assert [step.next for step in report.escalations] == ["kill at once"]
    assert report.stage(StopStage.KILLED).state is StageState.DONE
    assert report.survivors == 0 and report.verified


class Wire:
    """A broker whose cut takes as it is told to."""

    def __init__(self, *, error: str = "", hangs: bool = False) -> None:
        self.error = error
        self.hangs = hangs
        self.cuts = 0

    async def cut(self) -> object:
        if self.hangs:
            await anyio.sleep_forever()
        if self.error:
            raise RuntimeError(self.error)
        self.cuts += 1
        return object()


@pytest.mark.parametrize(
    ("wire", "state"),
    [
        (Wire(), StageState.DONE),
        (Wire(error="socket is gone"), StageState.DONE),  # the network ends with its namespace
        (Wire(hangs=True), StageState.DONE),
        (None, StageState.NOT_VERIFIED),
    ],
)
async def test_the_cut_is_its_own_stage_and_never_delays_the_kill(
    wire: Wire | None, state: StageState
) -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=PROCESSES | {Target.NETWORK}, deadline_ms=1500),
            sandbox=sandbox,
            broker=wire,
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.stage(StopStage.NETWORK_CUT).state is state
    assert report.survivors == 0
    cut = report.stage(StopStage.NETWORK_CUT)
    assert cut.us is not None
    if wire is not None and wire.hangs:
        assert report.last_process_gone_us is not None
        assert report.last_process_gone_us < cut.us
    assert cut.escalated is (wire is not None and not wire.cuts)
    assert report.verified is (state is StageState.DONE)


@pytest.mark.parametrize("target", [Target.CREDENTIAL, Target.JOB, Target.SUB_AGENT])
async def test_a_target_that_nothing_was_given_for_is_never_called_stopped(target: Target) -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=PROCESSES | {target}),
            sandbox=sandbox,
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.outcome == "not_verified"
    assert list(states(report).values()).count("not_verified") == 1


class Other:
    """Another sandbox, as a sub-agent that a stop order reaches."""

    name = "helper"

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def halt(self) -> None:
        await self.sandbox.kill()

    def is_gone(self) -> bool:
        return self.sandbox.processes() == ()


async def test_a_sub_agent_in_a_second_sandbox_is_stopped_with_it() -> None:
    async with running(BEATING) as sandbox, running(BEATING) as second:
        report = await execute_stop(
            order(targets=PROCESSES | {Target.SUB_AGENT}),
            sandbox=sandbox,
            sub_agents=[Other(second)],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        assert second.processes() == ()
    assert report.stage(StopStage.SUB_AGENTS_ENDED).state is StageState.DONE
    assert report.outcome == "verified"


# --- another way where the first fails -------------------------------------------------------


NETWORK = frozenset({Target.NETWORK})


class ClosableWire(Wire):
    """Its cut fails; its end does not."""

    closed = False

    async def close(self) -> None:
        self.closed = True


class StuckWire(Wire):
    """Blocks its caller's thread, which a coroutine that waits does not."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def cut(self) -> Any:
        self.released.wait(20)


@pytest.mark.parametrize("targets", [NETWORK, NETWORK | PROCESSES], ids=["alone", "with_a_kill"])
async def test_a_broker_that_cannot_be_cut_is_ended(targets: frozenset[Target]) -> None:
    wire = ClosableWire(error="socket is gone")
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=targets),
            sandbox=sandbox,
            broker=wire,
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    cut = report.stage(StopStage.NETWORK_CUT)
    assert wire.closed and cut.state is StageState.DONE and cut.escalated
    assert [step.next for step in report.escalations] == ["end of the broker"]
    assert "socket is gone" in cut.detail


async def test_an_order_for_the_network_alone_never_goes_on_to_kill() -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=NETWORK),
            sandbox=sandbox,
            broker=Wire(error="socket is gone"),
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        assert len(sandbox.processes()) > 1
    assert report.outcome == "failed" and not report.escalated


async def test_a_broker_that_blocks_its_thread_holds_up_nothing() -> None:
    wire = StuckWire()
    try:
        async with running(BEATING) as sandbox:
            report = await execute_stop(
                order(targets=NETWORK | PROCESSES, deadline_ms=600),
                sandbox=sandbox,
                broker=wire,
                heartbeats=heard(sandbox),
                record=Kept(),
            )
    finally:
        wire.released.set()
    assert report.stage(StopStage.KILLED).state is StageState.DONE
    assert "share of the time" in report.stage(StopStage.NETWORK_CUT).detail
    assert report.survivors == 0


@pytest.mark.parametrize("key", [Key("k", error="vault is down"), Key("k", works=False)])
async def test_where_a_credential_stays_valid_the_network_is_cut_and_it_is_still_not_revoked(
    key: Key,
) -> None:
    wire = Wire()
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=frozenset({Target.CREDENTIAL}), deadline_ms=300),
            sandbox=sandbox,
            broker=wire,
            credentials=[key],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert wire.cuts == 1
    assert [step.next for step in report.escalations] == ["cut of the network"]
    revoked = report.stage(StopStage.CREDENTIALS_REVOKED)
    assert revoked.state is not StageState.DONE  # whoever has it elsewhere can use it
    assert "cannot be used from inside" in revoked.detail
    assert not report.verified


class Relapsing(Key):
    """Refused at first, and valid again."""

    asked = 0

    def is_refused(self) -> bool:
        self.asked += 1
        return self.asked == 1


@pytest.mark.parametrize(
    "targets", [frozenset({Target.CREDENTIAL}), WITH_KEYS], ids=["alone", "with_a_kill"]
)
async def test_a_credential_that_is_refused_only_at_first_is_found_out(
    targets: frozenset[Target],
) -> None:
    kept = Kept()
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=targets),
            sandbox=sandbox,
            broker=Wire(),
            credentials=[Relapsing("k")],
            heartbeats=heard(sandbox),
            record=kept,
        )
    revoked = report.stage(StopStage.CREDENTIALS_REVOKED)
    assert revoked.state is StageState.NOT_VERIFIED and "valid again" in revoked.detail
    assert report.outcome == "not_verified"
    told = [
        data["state"]
        for kind, data in kept.receipts
        if kind == "stop.stage" and data["stage"] == revoked.stage
    ]
    assert told[0] == "done" and told[-1] == "not_verified"  # the first word stays in the record


class Deaf(Other):
    """A sub-agent that does not halt; its sandbox can be killed."""

    async def halt(self) -> None:
        raise OSError("no answer")


class Pretending(Other):
    async def halt(self) -> None:
        pass


@pytest.mark.parametrize("kind", [Deaf, Pretending])
async def test_a_sub_agent_that_does_not_halt_has_its_sandbox_killed(kind: type[Other]) -> None:
    async with running(BEATING) as sandbox, running(BEATING) as second:
        report = await execute_stop(
            order(targets=frozenset({Target.SUB_AGENT}), deadline_ms=400),
            sandbox=sandbox,
            sub_agents=[kind(second)],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        assert second.processes() == ()
        assert len(sandbox.processes()) > 1
    ended = report.stage(StopStage.SUB_AGENTS_ENDED)
    assert ended.state is StageState.DONE and ended.escalated, report.to_json()
    assert "its sandbox was killed" in ended.detail
    assert report.verified


class Waiting:
    """A job in a queue, which is withdrawn or is not."""

    name = "nightly"

    def __init__(self, *, stays: bool = False) -> None:
        self.stays = stays
        self.waits = True

    def halt(self) -> None:
        self.waits = self.stays

    def is_gone(self) -> bool:
        return not self.waits


@pytest.mark.parametrize("stays", [False, True])
async def test_a_job_is_withdrawn_or_said_to_be_there(stays: bool) -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=frozenset({Target.JOB}), deadline_ms=200),
            sandbox=sandbox,
            jobs=[Waiting(stays=stays)],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    ended = report.stage(StopStage.JOBS_ENDED)
    assert report.verified is not stays
    assert ended.state is (StageState.NOT_VERIFIED if stays else StageState.DONE)
    assert [step.next for step in report.escalations] == (
        ["nothing: it shows no sandbox of its own"] if stays else []
    )


STAGE_OF = {
    Target.PROCESS: StopStage.KILLED,
    Target.SANDBOX: StopStage.KILLED,
    Target.NETWORK: StopStage.NETWORK_CUT,
    Target.CREDENTIAL: StopStage.CREDENTIALS_REVOKED,
    Target.JOB: StopStage.JOBS_ENDED,
    Target.SUB_AGENT: StopStage.SUB_AGENTS_ENDED,
}


@pytest.mark.parametrize(
    "targets",
    [*(frozenset({target}) for target in Target), frozenset(Target)],
    ids=lambda targets: "+".join(sorted(targets)),
)
async def test_an_order_stops_what_it_names_and_nothing_else(targets: frozenset[Target]) -> None:
    wire, key, job = Wire(), Key("k"), Waiting()
    async with running(BEATING) as sandbox, running(BEATING) as second:
        report = await execute_stop(
            order(targets=targets),
            sandbox=sandbox,
            broker=wire,
            credentials=[key],
            jobs=[job],
            sub_agents=[Other(second)],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        stopped = {
            Target.PROCESS: not sandbox.processes(),
            Target.NETWORK: wire.cuts == 1,
            Target.CREDENTIAL: key.revoked,
            Target.JOB: not job.waits,
            Target.SUB_AGENT: not second.processes(),
        }
    assert report.outcome == "verified", report.to_json()
    for target, is_stopped in stopped.items():
        alike = {target, Target.SANDBOX} if target is Target.PROCESS else {target}
        assert is_stopped is bool(alike & targets), target
        expected = StageState.DONE if alike & targets else StageState.NOT_APPLICABLE
        assert report.stage(STAGE_OF[target]).state is expected


# --- holding instead of ending ---------------------------------------------------------------


async def test_a_hold_ends_nothing_and_can_be_taken_back() -> None:
    async with running(f"setsid sh -c '{BEATING}' & wait") as sandbox:
        report = await execute_stop(
            order(mechanism=StopMechanism.FREEZE),
            sandbox=sandbox,
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        assert report.outcome == "verified", report.to_json()
        assert report.silent is True and report.survivors == 0
        assert states(report)["killed"] == "not_applicable"
        assert report.last_process_gone_us is None
        held = heard(sandbox).sample()
        assert len(sandbox.processes()) > 1
        await sandbox.thaw()
        with anyio.fail_after(10):
            while heard(sandbox).sample().mark == held.mark:
                await anyio.sleep(0.005)


async def test_a_hold_that_fails_is_a_kill_and_says_so() -> None:
    async with running(f"sleep 60 & {BEATING}") as sandbox:
        report = await execute_stop(
            order(mechanism=StopMechanism.FREEZE, deadline_ms=1000),
            sandbox=NoFreeze(sandbox),
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        assert sandbox.processes() == ()
    assert report.verified and report.escalations[0].next == "kill at once"
    assert states(report)["killed"] == "done"


async def test_what_runs_on_while_it_is_said_to_be_held_is_not_verified(tmp_path: Path) -> None:
    class Claimed(LyingSandbox):
        """Claims a hold, hides its processes."""

    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(mechanism=StopMechanism.FREEZE),
            sandbox=Claimed(sandbox),
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.outcome == "not_verified" and report.silent is False


# --- what cannot be verified is not ----------------------------------------------------------


class UnseenEnd(Bent):
    async def kill(self, *, count: bool = True) -> KillReceipt:
        return replace(await self.real.kill(), verified=False)


class Unguaranteed(Bent):
    async def kill(self, *, count: bool = True) -> KillReceipt:
        return replace(await self.real.kill(), guaranteed=False, note="by marker")


class FailingKill(Bent):
    async def kill(self, *, count: bool = True) -> KillReceipt:
        raise OSError("not permitted")


class LyingKill(Bent):
    """Says that everything ended, and did nothing."""

    async def kill(self, *, count: bool = True) -> KillReceipt:
        return CLAIM


class LyingSandbox(LyingKill):
    """Hides its processes besides: only the side effects give it away."""

    cgroup = None

    def processes(self) -> tuple[ProcessInfo, ...]:
        return ()

    async def freeze(self) -> FreezeReceipt:
        return FreezeReceipt(
            verified=True, processes=0, signals=0, rounds=1, elapsed_us=1, mechanism="signal"
        )


class FailingSandbox(LyingSandbox):
    """Cannot be killed, and hides its processes."""

    async def kill(self, *, count: bool = True) -> KillReceipt:
        raise OSError("not permitted")


class HangingKill(Bent):
    async def kill(self, *, count: bool = True) -> KillReceipt:
        await anyio.sleep_forever()
        raise AssertionError


class Unlistable(Bent):
    def processes(self) -> tuple[ProcessInfo, ...]:
        raise OSError("no process list")


@pytest.mark.parametrize(
    ("bend", "outcome", "word"),
    [
        (UnseenEnd, "not_verified", "neither was the end"),
        (Unguaranteed, "not_verified", "neither was the end"),
        (FailingSandbox, "failed", "side effects went on"),
        (LyingSandbox, "not_verified", "side effects went on"),
        (Unlistable, "not_verified", "could not be listed"),
    ],
)
@pytest.mark.parametrize("mechanism", KILLS)
async def test_a_stop_that_was_not_seen_to_work_is_not_verified(
    bend: type[Bent], outcome: str, word: str, mechanism: StopMechanism
) -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(mechanism=mechanism, deadline_ms=1000),
            sandbox=bend(sandbox),
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.outcome == outcome, report.to_json()
    assert report.last_process_gone_us is None
    assert report.deadline_met is None
    assert word in report.stage(StopStage.VERIFIED).detail


@pytest.mark.parametrize("bend", [FailingKill, HangingKill, LyingKill])
@pytest.mark.parametrize("mechanism", KILLS)
async def test_where_a_kill_fails_another_way_is_found_and_named(
    bend: type[Bent], mechanism: StopMechanism
) -> None:
    kept = Kept()
    async with running(f"setsid sh -c '{BEATING}' & sleep 60 & wait") as sandbox:
        report = await execute_stop(
            order(mechanism=mechanism, deadline_ms=1000),
            sandbox=bend(sandbox),
            heartbeats=heard(sandbox),
            record=kept,
        )
        assert sandbox.processes() == ()
    killed = report.stage(StopStage.KILLED)
    assert killed.state is StageState.DONE and killed.escalated, report.to_json()
    assert "SIGKILL to each process" in killed.detail
    assert report.survivors == 0 and report.verified and report.escalated
    steps = [data for kind, data in kept.receipts if kind == "stop.escalated"]
    assert steps == [step.to_json() for step in report.escalations]
    assert steps[-1]["next"] == "SIGKILL to each process"
    assert report.to_json()["escalations"] == steps


async def test_a_kill_that_hangs_gives_way_to_the_control_group() -> None:
    with delegated_group():
        async with running(BEATING) as sandbox:
            assert sandbox.cgroup is not None
            report = await execute_stop(
                order(mechanism=StopMechanism.NAMESPACE_KILL, deadline_ms=1000),
                sandbox=HangingKill(sandbox),
                heartbeats=heard(sandbox),
                record=Kept(),
            )
    assert report.verified and report.survivors == 0
    assert [step.next for step in report.escalations] == ["its control group"]
    assert "did not return" in report.escalations[0].reason


async def test_the_control_group_is_killed_where_the_order_says_so() -> None:
    with delegated_group():
        async with running(f"setsid sh -c '{BEATING}' & wait") as sandbox:
            report = await execute_stop(
                order(mechanism=StopMechanism.CGROUP_KILL),
                sandbox=sandbox,
                heartbeats=heard(sandbox),
                record=Kept(),
            )
    assert report.outcome == "verified" and not report.escalated
    assert "its control group" in report.stage(StopStage.KILLED).detail


async def test_an_order_for_a_control_group_that_is_not_there_kills_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUSTODES_CGROUP", raising=False)
    async with running(BEATING) as sandbox:
        if sandbox.cgroup is not None:
            pytest.skip("sandboxes have a control group here without being asked to")
        report = await execute_stop(
            order(mechanism=StopMechanism.CGROUP_KILL),
            sandbox=sandbox,
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.verified
    assert "no control group" in report.escalations[0].reason
    assert report.stage(StopStage.KILLED).escalated


async def test_a_heartbeat_that_goes_on_after_an_empty_namespace_is_not_verified(
    tmp_path: Path,
) -> None:
    """Something outside the sandbox still acts for the agent."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.004):
            with open(tmp_path / "outside.beat", "a") as file:
                file.write(".")

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        async with running(BEATING) as sandbox:
            time.sleep(0.02)
            report = await execute_stop(
                order(),
                sandbox=sandbox,
                heartbeats=FileHeartbeats(tmp_path, interval_ms=10),
                record=Kept(),
            )
    finally:
        done.set()
        thread.join()
    assert report.survivors == 0
    assert report.silent is False
    assert report.outcome == "not_verified"


async def test_a_planted_heartbeat_that_never_beat_proves_nothing(tmp_path: Path) -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(), sandbox=sandbox, heartbeats=FileHeartbeats(tmp_path), record=Kept()
        )
    assert report.outcome == "not_verified" and report.silent is None
    assert "never beat" in report.stage(StopStage.VERIFIED).detail


async def test_a_heartbeat_that_cannot_be_read_is_no_silence(tmp_path: Path) -> None:
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(), sandbox=sandbox, heartbeats=FileHeartbeats(tmp_path / "gone"), record=Kept()
        )
    assert report.outcome == "not_verified" and report.last_side_effect_us is None


async def test_a_stop_after_its_deadline_is_late() -> None:
    class Slow(Bent):
        async def kill(self, *, count: bool = True) -> KillReceipt:
            await anyio.sleep(0.08)
            return await self.real.kill()

    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(deadline_ms=40),
            sandbox=Slow(sandbox),
            heartbeats=heard(sandbox),
            record=Kept(),
        )
    assert report.verified and report.deadline_met is False
    assert report.outcome == "late"


# --- nothing keeps it from stopping ----------------------------------------------------------


async def test_a_deadline_of_a_millisecond_is_missed_and_the_stop_is_whole() -> None:
    async with running(f"sleep 60 & {BEATING}") as sandbox:
        report = await execute_stop(
            order(targets=frozenset(Target), deadline_ms=1),
            sandbox=sandbox,
            broker=Wire(),
            credentials=[Key("k")],
            jobs=[Waiting()],
            sub_agents=[Waiting()],
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        assert sandbox.processes() == ()
    assert report.outcome == "late" and report.survivors == 0


async def test_two_orders_at_once_both_see_the_end() -> None:
    reports: list[StopReport] = []

    async def one(mechanism: StopMechanism) -> None:
        reports.append(
            await execute_stop(
                order(mechanism=mechanism),
                sandbox=sandbox,
                heartbeats=heard(sandbox),
                record=Kept(),
            )
        )

    async with running(f"sleep 60 & {BEATING}") as sandbox, anyio.create_task_group() as group:
        for mechanism in (*KILLS, *KILLS):
            group.start_soon(one, mechanism)
    assert [report.verified for report in reports] == [True] * 4
    assert {report.survivors for report in reports} == {0}


async def test_a_cancelled_caller_does_not_cancel_the_stop() -> None:
    kept = Kept()
    async with running(BEATING) as sandbox:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await execute_stop(order(), sandbox=sandbox, heartbeats=heard(sandbox), record=kept)
        assert sandbox.processes() == ()
    assert kept.receipts[-1][1]["outcome"] == "verified"


async def test_a_recorder_that_fails_does_not_keep_the_agent_alive() -> None:
    def full(kind: str, data: JsonObject) -> None:
        raise OSError(28, "No space left on device")

    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(), sandbox=sandbox, heartbeats=heard(sandbox), record=full
        )
    assert report.survivors == 0
    assert len(report.unrecorded) >= 1 + len(StopStage)
    assert "No space left" in report.unrecorded[0]


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


async def test_collateral_is_counted(bystander: subprocess.Popen[bytes]) -> None:
    class Careless(Bent):
        async def kill(self, *, count: bool = True) -> KillReceipt:
            os.kill(bystander.pid, signal.SIGKILL)
            return await self.real.kill()

    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(),
            sandbox=Careless(sandbox),
            heartbeats=heard(sandbox),
            bystanders=[bystander.pid],
            record=Kept(),
        )
    assert report.collateral == 1


# --- what an order must say ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"ordered_by": " "},
        {"reason": ""},
        {"targets": frozenset()},
        {"targets": frozenset({"the moon"})},
        {"mechanism": "asking nicely"},
        {"deadline_ms": 0},
    ],
)
def test_an_order_that_does_not_say_what_it_must_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        order(**changes)


async def test_an_order_for_the_network_alone_kills_nothing() -> None:
    wire = Wire()
    async with running(BEATING) as sandbox:
        report = await execute_stop(
            order(targets=frozenset({Target.NETWORK})),
            sandbox=sandbox,
            broker=wire,
            heartbeats=heard(sandbox),
            record=Kept(),
        )
        assert len(sandbox.processes()) > 1
    assert wire.cuts == 1
    assert report.outcome == "verified" and report.survivors is None
    assert states(report)["killed"] == states(report)["verified"] == "not_applicable"


AGENT = """
import http.client, time
while True:
    try:
        link = http.client.HTTPConnection("127.0.0.1", 3128, timeout=2)
        link.request("GET", "http://svc.internal/beat")
        said = link.getresponse().status
    except OSError:
        said = "refused"
    with open("a.beat", "a") as file:
        file.write(f"{said}\\n")
    time.sleep(0.003)
"""


class Requests:
    """What the service was asked, as a heartbeat that the host counts."""

    planted = True
    interval_ms = 15

    def __init__(self) -> None:
        self.count = 0

    async def __call__(self, request: HttpRequest) -> HttpResponse:
        self.count += 1
        return HttpResponse(status=200, body=b"{}")

    def sample(self) -> Beat:
        return Beat(mark=self.count, last_wall_ns=None)


async def test_the_real_broker_is_cut_while_the_agent_runs_on() -> None:
    service = Requests()
    kept = Kept()
    broker = Broker(
        handlers={"svc.internal": service},
        policy=EgressPolicy(allow=(AllowRule(host="svc.internal"),)),
        record=kept,
    )
    script = f"exec /usr/bin/python3 -I -S -c '{AGENT}'"
    sandbox = await Sandbox.start(SandboxSpec())
    try:
        await broker.serve(await sandbox.listen(3128))
        async with anyio.create_task_group() as group:

            async def command() -> None:
                with suppress(SandboxError):
                    await sandbox.exec(["sh", "-c", script], timeout=60)

            group.start_soon(command)
            with anyio.fail_after(10):
                while service.count < 3:
                    await anyio.sleep(0.005)
            report = await execute_stop(
                order(targets=frozenset({Target.NETWORK})),
                sandbox=sandbox,
                broker=broker,
                heartbeats=service,
                record=kept,
            )
            after = service.count
            cut = report.stage(StopStage.NETWORK_CUT)
            assert cut.state is StageState.DONE and cut.us is not None
            await anyio.sleep(0.1)
            said = (sandbox.workspace_host / "a.beat").read_text().split()
            assert service.count == after
            assert said[0] == "200" and said[-1] == "refused"
            # and the kill, when it is ordered too
            report = await execute_stop(order(), sandbox=sandbox, record=kept)
            assert report.outcome == "verified"
    finally:
        await broker.close()
        await sandbox.close()


async def test_stopping_what_has_already_ended_is_verified_and_says_that_nothing_was_frozen() -> (
    None
):
    async with running(BEATING) as sandbox:
        await sandbox.kill()
        report = await execute_stop(
            order(), sandbox=sandbox, heartbeats=heard(sandbox), record=Kept()
        )
    assert report.stage(StopStage.FROZEN).state is not StageState.DONE
    assert report.verified and report.survivors == 0


@pytest.mark.slow
@pytest.mark.parametrize("mechanism", KILLS)
async def test_a_thousand_processes_are_stopped(mechanism: StopMechanism) -> None:
    script = "i=0; while [ $i -lt 1000 ]; do sleep 90 & i=$((i+1)); done; : > b.beat; " + BEATING
    sandbox = await Sandbox.start(SandboxSpec(limits=Limits(processes=1500)))
    try:
        async with anyio.create_task_group() as group:

            async def command() -> None:
                with suppress(SandboxError):
                    await sandbox.exec(["sh", "-c", script], timeout=90)

            group.start_soon(command)
            with anyio.fail_after(60):
                while len(list(sandbox.workspace_host.glob("*.beat"))) < 2:
                    await anyio.sleep(0.02)
            assert len(sandbox.processes()) > 1000
            report = await execute_stop(
                order(mechanism=mechanism),
                sandbox=sandbox,
                heartbeats=heard(sandbox),
                record=Kept(),
            )
            assert sandbox.processes() == ()
    finally:
        await sandbox.close()
    assert report.outcome == "verified", report.to_json()
    assert report.last_process_gone_us is not None and report.last_process_gone_us < 3_000_000


# --- heartbeats ------------------------------------------------------------------------------


def test_the_time_of_a_beat_cannot_be_forged(tmp_path: Path) -> None:
    path = tmp_path / "a.beat"
    before = time.time_ns()
    path.write_text(".")
    os.utime(path, ns=(1, 1))
    last = FileHeartbeats(tmp_path).sample().last_wall_ns
    assert last is not None and last >= before - 20_000_000


def test_a_link_does_not_beat_for_its_target(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x" * 1000)
    (tmp_path / "a.beat").symlink_to(tmp_path / "elsewhere")
    first = FileHeartbeats(tmp_path).sample()
    with open(tmp_path / "elsewhere", "a") as file:
        file.write("more")
    assert FileHeartbeats(tmp_path).sample() == first


def test_a_change_anywhere_in_the_workspace_is_seen_and_too_large_a_tree_is_refused(
    tmp_path: Path,
) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    watch = WorkspaceHeartbeats(tmp_path)
    first = watch.sample()
    time.sleep(0.01)
    (deep / "new").touch()
    second = watch.sample()
    assert second.mark != first.mark
    time.sleep(0.01)
    (deep / "new").unlink()
    assert watch.sample().mark != second.mark
    with pytest.raises(OSError, match="more than 2"):
        WorkspaceHeartbeats(tmp_path, most_entries=2).sample()
