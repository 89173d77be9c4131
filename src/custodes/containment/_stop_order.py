"""What a stop order says, and what its report says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from custodes.types import JsonObject

Record = Callable[[str, JsonObject], None]
"""Takes the kind and the data (integers and text only) of a host receipt."""


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
    CGROUP_KILL = "cgroup_kill"
    """The kernel's kill of the sandbox's control group, without the freeze before it."""
    FREEZE = "freeze"
    """Hold every process, to be let go on later; killed only where the hold fails."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOrder:
    """Who stops what, why, how, and by when.

    Attributes:
        ordered_by: a person, a monitor or a drill.
        reason: one sentence.
        targets: what is to be stopped; the criterion of each is fixed: no process left (or, for a
            hold, none that runs) and silence (process, sandbox), every new and open connection
            refused (network), refused where it was valid (credential), gone when asked (job,
            sub_agent).
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
        escalated: the first way failed; where the state is done, another way did it.
    """

    stage: StopStage
    state: StageState
    us: int | None
    detail: str
    escalated: bool = False

    def to_json(self) -> JsonObject:
        return {
            "stage": self.stage.value,
            "state": self.state.value,
            "us": self.us,
            "detail": self.detail,
            "escalated": self.escalated,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """One step from a way that failed to the next one.

    Attributes:
        stage: whose way failed.
        reason: what failed, in a few words.
        next: what is tried instead; or what is left, when nothing is.
        us: microseconds from the order.
    """

    stage: StopStage
    reason: str
    next: str
    us: int

    def to_json(self) -> JsonObject:
        return {
            "stage": self.stage.value,
            "reason": self.reason,
            "next": self.next,
            "us": self.us,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReport:
    """What a stop order did.

    Attributes:
        stages: every stage, in the order of ``StopStage``.
        escalations: every step to another way, in the order in which they were taken.
        last_side_effect_us: the last side effect seen, from the order; 0 when there was none after
            it, None when none was watched.
        resolution_us: how much earlier than the truth that time can be (the kernel's file clock).
        last_process_gone_us: when the namespace was empty; None when it was not shown to be, and
            for a hold, which ends nothing.
        survivors: processes of the sandbox still alive at the end (after a hold: that still run);
            None when nobody could look.
        silent: no side effect was seen after the kill or the hold; None when none was watched, or
            when there was nothing to hear.
        collateral: watched bystanders that ended during the stop.
        bystanders: how many were watched.
        unrecorded: receipts that the recorder refused, with its errors.
    """

    order: StopOrder
    stages: tuple[StageResult, ...]
    escalations: tuple[Escalation, ...] = ()
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
    def _counted(self) -> tuple[StageResult, ...]:
        """Stages that decide about the order.

        A freeze that failed before a verified kill leaves nothing running: it is reported as a
        failed stage, and does not undo the kill.
        """
        return tuple(result for result in self.stages if result.stage is not StopStage.FROZEN)

    @property
    def verified(self) -> bool:
        """Whether every target of the order was shown to be stopped."""
        return all(
            result.state in (StageState.DONE, StageState.NOT_APPLICABLE) for result in self._counted
        )

    @property
    def escalated(self) -> bool:
        """Whether any stage took another way than the order's."""
        return bool(self.escalations)

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
        if any(result.state is StageState.FAILED for result in self._counted):
            return "failed"
        return "not_verified"

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.stop/1",
            "order": self.order.to_json(),
            "outcome": self.outcome,
            "stages": [result.to_json() for result in self.stages],
            "escalations": [step.to_json() for step in self.escalations],
            "last_side_effect_us": self.last_side_effect_us,
            "resolution_us": self.resolution_us,
            "last_process_gone_us": self.last_process_gone_us,
            "survivors": self.survivors,
            "silent": self.silent,
            "collateral": self.collateral,
            "bystanders": self.bystanders,
            "unrecorded": list(self.unrecorded),
        }
