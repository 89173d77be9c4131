"""The ways to kill what runs in a sandbox, tried in turn until its end was seen."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc

from ._spec import KillReceipt
from ._stop_order import StageState, StopMechanism, StopStage
from ._stop_parts import Stoppable
from ._stop_run import StopRun, said

_GRACE_S = 5.0
"""A kill is never given up at the deadline: a late stop is better than none, and is called late."""
_LEAST_SHARE_S = 0.25
_AT_ONCE = 200

_Way = Callable[[], Awaitable[str]]
"""Kills; returns why the end was not seen, or nothing when it was."""


class Kill:
    """The kill of one sandbox.

    A way that hangs is not waited for beyond its share of the time: the next one begins beside
    it, and the first that shows the end decides.

    Args:
        stop: the order. sandbox: where the processes are.
        stage: which stage reports about it.
        background: runs the ways; to be cancelled when the order is over.
    """

    def __init__(
        self,
        stop: StopRun,
        sandbox: Stoppable,
        background: anyio.abc.TaskGroup,
        stage: StopStage = StopStage.KILLED,
    ) -> None:
        self.stop = stop
        self.sandbox = sandbox
        self.background = background
        self.stage = stage
        self.ended_us: int | None = None
        """Microseconds from the order until the end of the namespace was seen."""
        self.how = ""
        self._news = anyio.Event()

    async def run(self) -> None:
        """Try every way in turn, and note how the stage ended."""
        await self._try([*self._ways(), ("SIGKILL to each process", self._each, _GRACE_S)])

    async def again(self, reason: str) -> None:
        """After a kill that only seemed to have worked."""
        self.ended_us, self.how = None, ""
        self.stop.escalate(self.stage, reason, "SIGKILL to each process")
        await self._try([("SIGKILL to each process", self._each, _GRACE_S)])

    async def _try(self, ways: list[tuple[str, _Way, float]]) -> None:
        reasons: list[str] = []
        failed = False
        for index, (name, way, seconds) in enumerate(ways):
            outcome: list[str] = []
            self._news = anyio.Event()
            self.background.start_soon(self._attempt, name, way, outcome)
            with anyio.move_on_after(seconds):
                while self.ended_us is None and not outcome:
                    await self._news.wait()
                    self._news = anyio.Event()
            if self.ended_us is not None:
                break
            failed = failed or not outcome or outcome[0].startswith("!")
            why = outcome[0].removeprefix("!") if outcome else "the kill did not return"
            reasons.append(f"{name}: {why}")
            if index + 1 < len(ways):
                self.stop.escalate(self.stage, reasons[-1], ways[index + 1][0])
        if self.stage is not StopStage.KILLED:
            return
        if self.ended_us is not None:
            self.stop.end(self.stage, StageState.DONE, f"the namespace ended, by {self.how}")
        else:
            state = StageState.FAILED if failed else StageState.NOT_VERIFIED
            self.stop.end(self.stage, state, "; ".join(reasons))

    async def _attempt(self, name: str, way: _Way, outcome: list[str]) -> None:
        try:
            why = await way()
        except Exception as error:
            why = f"!{said(error)}"
        outcome.append(why)
        if not why and not self.how:
            self.how = name
        self._news.set()

    def _ways(self) -> Iterator[tuple[str, _Way, float]]:
        share = max(self.stop.share_s(), _LEAST_SHARE_S)
        group: Path | None = getattr(self.sandbox, "cgroup", None)
        namespace = ("its first process", self._by_namespace, share)
        if self.stop.order.mechanism is StopMechanism.CGROUP_KILL:
            yield "its control group", self._by_order_of_group, share
            yield namespace
            return
        yield namespace
        if group is not None:
            yield "its control group", lambda: self._by_group(group), share

    async def _by_namespace(self) -> str:
        called_us = self.stop.us()
        return self._seen(await self.sandbox.kill(count=False), called_us)

    async def _by_order_of_group(self) -> str:
        called_us = self.stop.us()
        if getattr(self.sandbox, "cgroup", None) is None:
            return "!the sandbox has no control group of its own"
        sandbox: Any = self.sandbox
        return self._seen(await sandbox.kill(count=False, by="cgroup"), called_us)

    def _seen(self, receipt: KillReceipt, called_us: int) -> str:
        if receipt.verified is True and receipt.guaranteed is True:
            self.ended_us = called_us + receipt.elapsed_us
            return ""
        return receipt.note or "killed, and its end was not seen"

    async def _by_group(self, group: Path) -> str:
        """Past the sandbox's own kill, which may be what hangs."""
        (group / "cgroup.kill").write_text("1\n", "ascii")
        while "populated 0" not in (group / "cgroup.events").read_text("ascii"):
            await anyio.sleep(0.0005)
        # Its first process was in the group, and took the namespace with it.
        self.ended_us = self.stop.us()
        return ""

    async def _each(self) -> str:
        """Kill every process that the host can list, the first one included.

        The end of the first one, seen by its descriptor, is the end of the namespace. Without it
        nothing shows that the list was complete.
        """
        first = -1
        try:
            end = time.monotonic() + _GRACE_S - 0.1
            while time.monotonic() < end:
                processes = self.sandbox.processes()
                if first < 0:
                    first = self._first()
                ordered = sorted(processes, key=lambda process: not process.init)
                pids = [process.pid for process in ordered if not process.ended]
                for start in range(0, len(pids), _AT_ONCE):
                    self._kill_some(pids[start : start + _AT_ONCE])
                if first >= 0 and _over(first):
                    self.ended_us = self.stop.us()
                    return ""
                if not pids:
                    return "nothing was left to signal, and its first process was not seen to end"
                await anyio.sleep(0.003)
            return "processes were left after SIGKILL to each"
        finally:
            if first >= 0:
                os.close(first)

    def _first(self) -> int:
        """Descriptor of the first process of the namespace, -1 without one."""
        for process in self.sandbox.processes():
            if not process.init:
                continue
            with suppress(OSError):
                descriptor = os.pidfd_open(process.pid)
                if process.pid in {now.pid for now in self.sandbox.processes() if now.init}:
                    return descriptor
                os.close(descriptor)
        return -1

    def _kill_some(self, pids: list[int]) -> None:
        descriptors: dict[int, int] = {}
        try:
            for pid in pids:
                with suppress(OSError):
                    descriptors[pid] = os.pidfd_open(pid)
            # The descriptors pin the processes: what is listed now is what they stand for.
            listed = {process.pid for process in self.sandbox.processes()}
            for pid, descriptor in descriptors.items():
                if pid in listed:
                    with suppress(OSError):
                        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            for descriptor in descriptors.values():
                os.close(descriptor)


def _over(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
