"""One stop order on its way: its clock, its results, its record."""

from __future__ import annotations

import inspect
import time

from custodes.types import JsonObject

from ._stop_order import (
    Escalation,
    Record,
    StageResult,
    StageState,
    StopOrder,
    StopStage,
    Target,
)


def said(error: BaseException) -> str:
    """An error in a line."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(said(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"[:300]


async def settled(value: object) -> object:
    """What a call gave, which may have been a coroutine."""
    return await value if inspect.isawaitable(value) else value


class StopRun:
    """One order on its way."""

    def __init__(self, order: StopOrder, record: Record) -> None:
        self.order = order
        self.record = record
        self.began_ns = time.monotonic_ns()
        self.wall_ns = time.time_ns()
        self.results: dict[StopStage, StageResult] = {}
        self.escalations: list[Escalation] = []
        self.unrecorded: list[str] = []

    def us(self) -> int:
        """Microseconds from the order."""
        return (time.monotonic_ns() - self.began_ns) // 1000

    def left_s(self, floor: float = 0.0) -> float:
        """Seconds to the deadline."""
        return max(floor, self.order.deadline_ms / 1000 - self.us() / 1e6)

    def share_s(self, floor: float = 0.05) -> float:
        """Seconds that a way may take before the next one is tried: half of what is left."""
        return max(floor, self.left_s() / 2)

    def write(self, kind: str, data: JsonObject) -> None:
        """Record; what the recorder refuses is kept for the report."""
        try:
            self.record(kind, data)
        except Exception as error:  # a full disk must not keep an agent alive
            self.unrecorded.append(f"{kind}: {said(error)}")

    def end(self, stage: StopStage, state: StageState, detail: str) -> None:
        """Note how a stage ended; a later word on the same stage replaces an earlier one."""
        self.results[stage] = StageResult(
            stage=stage,
            state=state,
            us=None if state is StageState.NOT_APPLICABLE else self.us(),
            detail=detail,
            escalated=any(step.stage is stage for step in self.escalations),
        )
        self.write("stop.stage", self.results[stage].to_json())

    def escalate(self, stage: StopStage, reason: str, step: str) -> None:
        """Note that a way failed, and what is tried instead."""
        self.escalations.append(
            Escalation(stage=stage, reason=reason[:300], next=step, us=self.us())
        )
        self.write("stop.escalated", self.escalations[-1].to_json())

    def wants(self, *targets: Target) -> bool:
        return bool(self.order.targets.intersection(targets))
