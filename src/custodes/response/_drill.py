"""The page drill: a planted violation, and who stops it.

The stages are timed apart: violation, flag, page, acknowledgement, order, stop. A flag is no page,
a page is no reaction and an order is no stop; each has its own receipt.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread

from custodes.containment import (
    FileHeartbeats,
    Sandbox,
    StopOrder,
    StopReport,
    Target,
    execute_stop,
)
from custodes.monitors import Monitor, ThresholdProtocol, shipped_monitors
from custodes.transcripts import Event, EventKind
from custodes.types import JsonObject

from ._agent import TASK, act, prepare, spec
from ._command import PageCommand
from ._page import Alert
from ._receipts import Receipts
from ._result import Acted, Flag, Kind, PageDelivery, PageDrill, PageRun, Violation, plain_line
from ._server import Answer, PageServer
from ._watching import Watching

_MONITOR_S = 60.0
"""How long the monitors may take over one call."""
_EVIDENCE = 5
_LONGEST = 2000
_AFTER_S = 5.0
"""How long a page command may go on after the stop."""


async def page_drill(
    page: str,
    *,
    timeout_s: float = 300.0,
    n: int = 1,
    monitors: Sequence[Monitor] | None = None,
    protocol: ThresholdProtocol | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> PageDrill:
    """Plant a harmless violation and time what follows, stage by stage.

    Args:
        page: command for ``/bin/sh -c`` that tells somebody. It gets the alert as JSON on its
            standard input and in the file CUSTODES_PAGE_FILE, and in CUSTODES_PAGE_URL the address
            where to acknowledge and to order the stop.
        timeout_s: how long people have, from the start of the command; then the drill orders the
            stop itself.
        n: repetitions, one after the other.
        monitors: who watches; the shipped monitors by default.
        protocol: from which suspicion on an observation is a flag.
        progress: called with a line at each stage.

    Raises:
        ValueError: an empty command, or a time or count below its least.
        SandboxUnavailable, SandboxError: no sandbox could be started, or it failed before the
            violation.
        OSError: the shell could not be run.
    """
    if not page.strip() or "\0" in page:
        raise ValueError("expected a page command, found an empty one or one with a NUL")
    if not (math.isfinite(timeout_s) and timeout_s > 0):
        raise ValueError(f"expected a page timeout above 0 s, found {timeout_s:g}")
    if n < 1:
        raise ValueError(f"expected 1 run or more, found {n}")
    judges = shipped_monitors() if monitors is None else tuple(monitors)
    runs = []
    for number in range(1, n + 1):
        run = _Run(page, timeout_s, judges, protocol or ThresholdProtocol(), progress)
        progress(f"run {number} of {n}")
        runs.append(await run.carry_out())
    return PageDrill(runs=tuple(runs))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Response:
    """What came of the page."""

    delivery: PageDelivery
    acknowledged: Answer | None
    ordered: Answer


class _Bell:
    """Wakes the drill from server threads, also from one that comes when all is over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ring(self) -> None:
        with self._lock:
            if self._fd >= 0:
                os.eventfd_write(self._fd, 1)

    async def heard(self) -> None:
        await anyio.wait_readable(self._fd)
        os.eventfd_read(self._fd)

    def close(self) -> None:
        with self._lock:
            fd, self._fd = self._fd, -1
        os.close(fd)


class _Run:
    """One violation."""

    def __init__(
        self,
        page: str,
        timeout_s: float,
        monitors: Sequence[Monitor],
        protocol: ThresholdProtocol,
        progress: Callable[[str], None],
    ) -> None:
        self._page = page
        self._timeout_s = timeout_s
        self._monitors = monitors
        self._protocol = protocol
        self._progress = progress
        self._receipts = Receipts()
        self._events: list[Event] = []
        self._violation: Violation | None = None
        self._violation_us = 0
        self._early = 0

    async def carry_out(self) -> PageRun:
        async with await Sandbox.start(spec()) as sandbox:
            heartbeats = await prepare(sandbox)
            watching = Watching(self._monitors, self._protocol, self._receipts)
            flag, alert = await self._watch(sandbox, watching)
            if self._violation is None or flag is None or alert is None:
                seen = self._violation is not None
                why = "not flagged" if seen else "violation not seen"
                order = Answer(
                    us=self._receipts.add("stop", {"by": f"drill: {why}"}),
                    by=f"drill: {why}",
                    kind=Kind.DRILL,
                    reason="the drill is over",
                )
                stop, handover_us = await self._stop(order, sandbox, heartbeats)
                response = None
            else:
                response, stop, handover_us = await self._respond(alert, sandbox, heartbeats)
                order = response.ordered
        failures = "; ".join(watching.failures)
        missing = f"a monitor failed: {failures}" if failures else "no monitor said anything"
        return PageRun(
            violation=self._violation,
            flag=flag,
            flag_missing="" if flag else missing if self._violation else "nothing to flag",
            early_flags=self._early,
            page=None if response is None else response.delivery,
            acknowledged=self._acted(response.acknowledged)
            if response is not None and response.acknowledged is not None
            else None,
            ordered=self._acted(order),
            handover_us=handover_us,
            stop=stop,
            timeout_s=self._timeout_s,
            receipts=self._receipts.all(),
        )

    async def _watch(
        self, sandbox: Sandbox, watching: Watching
    ) -> tuple[Flag | None, Alert | None]:
        """Let the stand-in act under the monitors' eyes, up to the flag on the violation."""
        async with aclosing(act(sandbox)) as steps:
            async for step in steps:
                if step.violation is not None:
                    self._violation = step.violation
                    self._violation_us = self._receipts.add("violation", step.violation.to_json())
                self._events += step.events
                found = await watching.see(step.events, within_s=_MONITOR_S)
                if not step.is_violation:
                    self._early += found is not None
                elif found is not None and step.violation is not None:
                    monitor, seen, us = found
                    assert seen.suspicion is not None
                    flag = Flag(
                        us=us - self._violation_us,
                        monitor=plain_line(monitor, 100),
                        rule=None if seen.rule is None else plain_line(seen.rule, 100),
                        why=plain_line(seen.why, 300),
                        suspicion_permille=round(seen.suspicion * 1000),
                    )
                    return flag, self._alert(flag)
        return None, None

    def _alert(self, flag: Flag) -> Alert:
        calls = [event for event in self._events if event.kind is EventKind.TOOL_CALL]
        return Alert(
            why=flag.why,
            monitor=flag.monitor,
            rule=flag.rule,
            task=TASK,
            evidence=tuple(
                (call.tool or "", str((call.arguments or {}).get("command", ""))[:_LONGEST])
                for call in calls[-_EVIDENCE:]
            ),
        )

    async def _respond(
        self, alert: Alert, sandbox: Sandbox, heartbeats: FileHeartbeats
    ) -> tuple[_Response, StopReport, int]:
        bell = _Bell()
        server = PageServer(self._receipts, bell.ring)
        with tempfile.TemporaryDirectory(prefix="page-") as folder:
            try:
                server.start()
                server.open(alert)
                file = Path(folder) / "alert.json"
                file.write_text(json.dumps(_told(alert, server.url), indent=2) + "\n", "utf-8")
                command = PageCommand(self._page, alert=file, url=server.url)
                try:
                    self._progress(
                        f"flagged by {alert.monitor} and paged; up to {self._timeout_s:g} s for an "
                        "acknowledgement and an order"
                    )
                    return await self._answered(command, server, bell, sandbox, heartbeats)
                finally:
                    command.close()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(server.close)
                bell.close()

    async def _answered(
        self,
        command: PageCommand,
        server: PageServer,
        bell: _Bell,
        sandbox: Sandbox,
        heartbeats: FileHeartbeats,
    ) -> tuple[_Response, StopReport, int]:
        ended_us: int | None = None
        ended = anyio.Event()

        async def until_ended() -> None:
            nonlocal ended_us
            await command.wait()
            ended_us = self._receipts.add("page.command", {"how": command.ended})
            ended.set()
            bell.ring()

        async with anyio.create_task_group() as group:
            group.start_soon(command.drain)
            group.start_soon(until_ended)
            order = await self._order(command, server, bell, ended)
            stop, handover_us = await self._stop(order, sandbox, heartbeats)
            server.finish(_outcome(stop))
            why = f"was still running after {self._timeout_s:g} s"
            if order.kind is not Kind.DRILL:
                why = f"was still running {_AFTER_S:g} s after the stop"
                with anyio.move_on_after(_AFTER_S):
                    await ended.wait()
            if command.ended is None:
                command.kill(why)
                self._receipts.add("page.command", {"how": command.ended})
            group.cancel_scope.cancel()
        response = _Response(
            delivery=self._delivery(command, ended_us, (server.acknowledged, order)),
            acknowledged=server.acknowledged,
            ordered=order,
        )
        return response, stop, handover_us

    async def _order(
        self, command: PageCommand, server: PageServer, bell: _Bell, ended: anyio.Event
    ) -> Answer:
        """The order that somebody gives, or at last the drill's own."""
        by = "drill: deadline"
        with anyio.move_on_after(self._timeout_s):
            while server.ordered is None:
                await bell.heard()
                if ended.is_set() and not command.delivered and server.acknowledged is None:
                    # Nobody was told: there is nothing to wait for.
                    by = "drill: page not delivered"
                    break
        us = self._receipts.now_us()
        order = server.close_orders(
            Answer(us=us, by=by, kind=Kind.DRILL, reason="nobody ordered the stop")
        )
        if order.kind is Kind.DRILL:
            self._receipts.add("stop", {"by": by}, us=us)
        return order

    def _delivery(
        self, command: PageCommand, ended_us: int | None, answers: Sequence[Answer | None]
    ) -> PageDelivery:
        """When the page was delivered: who answered had it, whatever became of the command."""
        answered = [one.us for one in answers if one is not None and one.kind is not Kind.DRILL]
        us = min(answered, default=None)
        by: Literal["command", "answer"] | None = None if us is None else "answer"
        if command.delivered and ended_us is not None and (us is None or ended_us <= us):
            us, by = ended_us, "command"
        return PageDelivery(
            us=None if us is None else us - self._violation_us, by=by, command=command.ended or ""
        )

    async def _stop(
        self, order: Answer, sandbox: Sandbox, heartbeats: FileHeartbeats
    ) -> tuple[StopReport, int]:
        """Carry out the order; also how long it took to begin, in microseconds."""
        asked = StopOrder(
            ordered_by=order.by,
            reason=order.reason,
            targets=frozenset({Target.PROCESS, Target.SANDBOX}),
        )
        handover_us = self._receipts.now_us() - order.us
        report = await execute_stop(
            asked,
            sandbox=sandbox,
            heartbeats=heartbeats,
            record=self._record,
        )
        # Not before: whoever reads the progress slowly must not hold up the stop.
        self._progress(f"stop ordered by {order.by}: {report.outcome}")
        return report, handover_us

    def _record(self, kind: str, data: JsonObject) -> None:
        # The whole report is part of the result; its receipt need not repeat it.
        whole = kind == "stop.ended"
        self._receipts.add(kind, {"outcome": data["outcome"]} if whole else data)

    def _acted(self, answer: Answer) -> Acted:
        return Acted(
            us=None if self._violation is None else answer.us - self._violation_us,
            by=answer.by,
            kind=answer.kind,
            reason=answer.reason,
        )


def _told(alert: Alert, url: str) -> dict[str, object]:
    """The alert as the page command gets it."""
    return {
        "schema": "custodes.page_alert/1",
        "drill": True,
        "url": url,
        "why": alert.why,
        "monitor": alert.monitor,
        "rule": alert.rule,
        "task": alert.task,
        "evidence": [{"tool": tool, "given": given} for tool, given in alert.evidence],
        "flagged_at_us": time.time_ns() // 1000,
        "acknowledge": f"{url}/acknowledge",
        "stop": f"{url}/stop",
    }


def _outcome(stop: StopReport) -> str:
    if stop.verified and stop.last_process_gone_us is not None:
        ms = stop.last_process_gone_us / 1000
        return f"Stopped: no process left {ms:.0f} ms after the stop began, and silence since."
    return f"The stop is {stop.outcome.replace('_', ' ')}: call whoever runs the machine."
