"""The stages of a stop before the kill and beside it: freeze, cut, revoke, halt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import anyio
import anyio.abc
import anyio.to_thread

from ._stop_kill import Kill
from ._stop_order import StageState, StopMechanism, StopStage, Target
from ._stop_parts import Cuttable, Haltable, Revocable, Stoppable
from ._stop_run import StopRun, said, settled


def running(sandbox: Stoppable) -> int:
    """Processes that run or could at once; the first process of the namespace is never held."""
    return sum(process.state in ("R", "S") and not process.init for process in sandbox.processes())


async def freeze(stop: StopRun, sandbox: Stoppable) -> str:
    """Hold every process; returns by which mechanism it was shown, or nothing.

    What is not shown to be held is killed at once.
    """
    if stop.order.mechanism not in (StopMechanism.FREEZE_THEN_KILL, StopMechanism.FREEZE):
        stop.end(StopStage.FROZEN, StageState.NOT_APPLICABLE, "the mechanism does not freeze")
        return ""
    # Before a kill the freeze gets a quarter of the time at most: the kill does not wait for it.
    holds = stop.order.mechanism is StopMechanism.FREEZE
    budget = stop.share_s() if holds else min(0.5, stop.left_s() / 4)
    state = StageState.NOT_VERIFIED
    try:
        with anyio.fail_after(budget):
            receipt = await sandbox.freeze()
        awake = running(sandbox)
    except TimeoutError:
        detail = f"not shown to be frozen within {int(budget * 1000)} ms"
    except Exception as error:
        state, detail = StageState.FAILED, said(error)
    else:
        if receipt.verified is not True:
            detail = receipt.note or "the freeze was not complete"
        elif awake and receipt.mechanism == "signal":
            detail = f"{awake} processes still ran after the freeze"
        else:
            detail = "every process is held, seen from the host"
            stop.end(StopStage.FROZEN, StageState.DONE, detail)
            return receipt.mechanism
    stop.escalate(StopStage.FROZEN, detail, "kill at once")
    stop.end(StopStage.FROZEN, state, detail)
    return ""


class Network:
    """The cut of the network, which other stages fall back on."""

    def __init__(self, stop: StopRun, broker: Cuttable | None) -> None:
        self.stop = stop
        self.broker = broker

    async def cut(self, kill: Kill | None, killed: anyio.Event) -> None:
        """Carry the stage out.

        A cut that fails is followed by the broker's own end, and where the order kills, by the end
        of the network namespace.

        Args:
            kill: of the sandbox whose network it is, if the order kills.
            killed: set once that is over.
        """
        stop, stage = self.stop, StopStage.NETWORK_CUT
        if not stop.wants(Target.NETWORK):
            stop.end(stage, StageState.NOT_APPLICABLE, "not in the order")
            return
        if self.broker is None:
            detail = "the order names the network, and no broker was given"
            stop.end(stage, StageState.NOT_VERIFIED, detail)
            return
        state, detail = await self._attempt()
        if state is not StageState.DONE and callable(close := getattr(self.broker, "close", None)):
            stop.escalate(stage, detail, "end of the broker")
            try:
                with anyio.fail_after(stop.share_s()):
                    await settled(close())
                state, detail = StageState.DONE, f"{detail}; then the broker was ended"
            except TimeoutError:
                detail += "; and the broker did not end"
            except Exception as error:
                detail += f"; and the broker did not end: {said(error)}"
        if state is not StageState.DONE and kill is not None:
            stop.escalate(stage, detail, "end of the sandbox's network with its namespace")
            await killed.wait()
            if kill.ended_us is not None:
                state = StageState.DONE
                detail += "; then the sandbox's network ended with its namespace"
        stop.end(stage, state, detail)

    async def _attempt(self) -> tuple[StageState, str]:
        assert self.broker is not None
        try:
            with anyio.fail_after(self.stop.share_s()):
                receipt = await settled(
                    await anyio.to_thread.run_sync(self.broker.cut, abandon_on_cancel=True)
                )
        except TimeoutError:
            return StageState.FAILED, "the broker did not answer in its share of the time"
        except Exception as error:
            return StageState.FAILED, said(error)
        if getattr(receipt, "verified", True) is not True:
            return StageState.NOT_VERIFIED, "the broker could not verify its cut"
        count = getattr(receipt, "connections", None)
        ended = f"{count} connections ended, " if isinstance(count, int) else ""
        return StageState.DONE, f"{ended}new ones are refused, by the broker's receipt"

    async def instead(self, stage: StopStage, reason: str) -> str:
        """Cut because another stage failed; returns what came of it, in a few words."""
        if self.broker is None:
            self.stop.escalate(stage, reason, "nothing: there is no broker to cut")
            return "there was no broker to cut"
        self.stop.escalate(stage, reason, "cut of the network")
        state, detail = await self._attempt()
        if state is StageState.DONE:
            return "the network was cut instead, so it cannot be used from inside"
        return f"the network could not be cut instead: {detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing to be ended: how, how one asks whether it worked, and what else could be done.

    Attributes:
        remedy: what is done where ending it failed, given the reason; returns what came of it.
    """

    name: str
    act: Callable[[], object]
    check: Callable[[], object]
    remedy: Callable[[str], Awaitable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All items of one target.

    Attributes:
        done: what to say when all of it worked.
        undone: what to say of an item that is there still.
        lapsed: what to say of one that was gone and is there again.
        curable: a remedy can do what ending it did not; else it only limits the harm.
    """

    stage: StopStage
    target: Target
    items: Sequence[Item]
    done: str
    undone: str
    lapsed: str
    curable: bool


async def end_each(stop: StopRun, group: Group) -> None:
    """Act on every item at once, ask each whether it worked, and do something else about the rest.

    Acting and asking get half of the time, the remedies and asking again what is left.
    """
    stage = group.stage
    if not stop.wants(group.target):
        stop.end(stage, StageState.NOT_APPLICABLE, "not in the order")
        return
    if not group.items:
        detail = f"the order names {group.target.value}, and none was given"
        stop.end(stage, StageState.NOT_VERIFIED, detail)
        return
    failed: list[str] = []
    unsure: list[str] = []
    cured: list[str] = []

    async def one(item: Item) -> None:
        where, why = unsure, ""
        try:
            with anyio.fail_after(stop.share_s()):
                await settled(item.act())
        except TimeoutError:
            where, why = failed, "no answer by the deadline"
        except Exception as error:
            where, why = failed, said(error)
        if not why:
            why = await _asked(item, stop.share_s(), group.undone)
        if not why:
            return
        came = await item.remedy(f"{item.name}: {why}")
        if (group.curable or where is unsure) and not await _asked(item, stop.left_s(0.05), ""):
            cured.append(f"{item.name}: {why}; {came}")
        else:
            where.append(f"{item.name}: {why}; {came}")

    async with anyio.create_task_group() as tasks:
        for item in group.items:
            tasks.start_soon(one, item)
    if failed:
        stop.end(stage, StageState.FAILED, "; ".join(sorted(failed + unsure)))
    elif unsure:
        stop.end(stage, StageState.NOT_VERIFIED, "; ".join(sorted(unsure)))
    else:
        words = [f"{len(group.items)} {group.done}", *sorted(cured)]
        stop.end(stage, StageState.DONE, "; ".join(words))


async def ask_again(stop: StopRun, group: Group) -> None:
    """Ask every item once more at the end: what was gone once must stay so."""
    result = stop.results[group.stage]
    if result.state is not StageState.DONE:
        return
    lapsed = []
    for item in group.items:
        why = await _asked(item, 0.05, group.lapsed)
        if why:
            lapsed.append(f"{item.name}: {why}; {await item.remedy(f'{item.name}: {why}')}")
    if lapsed:
        stop.end(group.stage, StageState.NOT_VERIFIED, "; ".join(lapsed))


async def _asked(item: Item, seconds: float, undone: str) -> str:
    """Ask until it says that it is over; returns why it does not, or nothing."""
    try:
        with anyio.fail_after(seconds):
            while await settled(item.check()) is not True:
                await anyio.sleep(0.002)
    except TimeoutError:
        return undone or "still there"
    except Exception as error:
        return f"could not be checked: {said(error)}"
    return ""


def credentials_group(credentials: Sequence[Revocable], network: Network) -> Group:
    """Where a credential stays valid, the network is cut so that it cannot be used from inside."""
    stage = StopStage.CREDENTIALS_REVOKED
    return Group(
        stage=stage,
        target=Target.CREDENTIAL,
        items=[
            Item(
                name=one.name,
                act=one.revoke,
                check=one.is_refused,
                remedy=partial(network.instead, stage),
            )
            for one in credentials
        ],
        done="refused where they were valid",
        undone="still valid in its share of the time",
        lapsed="refused at first, then valid again",
        curable=False,
    )


def halts_group(
    stop: StopRun,
    stage: StopStage,
    target: Target,
    things: Sequence[Haltable],
    background: anyio.abc.TaskGroup,
) -> Group:
    """Where a job or a sub-agent is not halted, its own sandbox is killed, if it shows one."""

    async def end_sandbox(thing: Haltable, reason: str) -> str:
        sandbox: Stoppable | None = getattr(thing, "sandbox", None)
        if sandbox is None:
            stop.escalate(stage, reason, "nothing: it shows no sandbox of its own")
            return "it shows no sandbox of its own"
        stop.escalate(stage, reason, "kill of its sandbox")
        kill = Kill(stop, sandbox, background, stage)
        await kill.run()
        if kill.ended_us is None:
            return "its sandbox was not seen to end"
        return "its sandbox was killed"

    return Group(
        stage=stage,
        target=target,
        items=[
            Item(
                name=one.name,
                act=one.halt,
                check=one.is_gone,
                remedy=partial(end_sandbox, one),
            )
            for one in things
        ],
        done="gone when asked",
        undone="still there in its share of the time",
        lapsed="gone at first, then there again",
        curable=True,
    )
