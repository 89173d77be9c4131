"""Monitors that read along, as they would on a deployed agent's log."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.to_thread

from custodes.monitors import Monitor, Observation, ThresholdProtocol, Watch
from custodes.transcripts import Event, deployment_view
from custodes.transcripts.effects import EffectTracker
from custodes.types import JsonObject

from ._receipts import Receipts
from ._result import plain_line


class Watching:
    """Monitors over one run, each event judged when its call is over.

    Monitors are asked one after the other on a worker thread, so that one that computes or waits
    holds up nothing else; the first flag counts.
    """

    def __init__(
        self, monitors: Sequence[Monitor], protocol: ThresholdProtocol, receipts: Receipts
    ) -> None:
        self._protocol = protocol
        self._receipts = receipts
        self._effects = EffectTracker()
        self._watches: list[tuple[str, Watch]] = [
            (monitor.name, monitor.begin()) for monitor in monitors
        ]
        self._hangs = False
        self.failures: list[str] = []
        """Monitors that failed or could not judge, each with its error."""

    async def see(
        self, events: Sequence[Event], *, within_s: float
    ) -> tuple[str, Observation, int] | None:
        """Show the next events; the first flag: monitor, observation and receipt's time."""
        if self._hangs:
            return None
        with anyio.move_on_after(within_s):
            return await anyio.to_thread.run_sync(self._see, tuple(events), abandon_on_cancel=True)
        self._hangs = True  # its thread may come back and must not meet the next events
        self._failed("the monitors", f"no answer within {within_s:g} s")
        return None

    def _see(self, events: tuple[Event, ...]) -> tuple[str, Observation, int] | None:
        flag = None
        for event in deployment_view(events):
            effects = self._effects.see(event)
            for name, watch in self._watches:
                try:
                    found = self._judge(name, watch.see(event, effects), event)
                except Exception as error:  # a monitor that fails has seen nothing
                    self._failed(name, f"{type(error).__name__}: {error}")
                else:
                    flag = flag or found
        return flag

    def _judge(
        self, name: str, seen: Sequence[Observation], event: Event
    ) -> tuple[str, Observation, int] | None:
        for one in seen:
            if not isinstance(one, Observation):
                raise TypeError(f"expected an observation, found {type(one).__name__}")
            if one.reason is not None:
                self._failed(name, one.reason.detail)
            elif self._protocol.flags(one) and not self._hangs:
                data: JsonObject = {"monitor": name, "rule": one.rule, "event": event.index}
                return name, one, self._receipts.add("flag", data)
        return None

    def _failed(self, name: str, why: str) -> None:
        why = plain_line(why, 300)
        line = f"{name}: {why}"
        if line not in self.failures:
            self.failures.append(line)
            self._receipts.add("monitor.failed", {"monitor": name, "why": why})
