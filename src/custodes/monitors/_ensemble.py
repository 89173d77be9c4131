"""The monitor `ensemble`: several monitors as one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Self

from custodes.transcripts import Event, EventKind, Transcript, deployment_view
from custodes.transcripts.effects import CallEffect, EffectTracker
from custodes.types import Sha256, sha256_of_json

from ._logistic import LogisticFit, fit_logistic
from ._monitor import Monitor, Observation, Watch, unmeasurable

VERSION = "ensemble/1"


class Combination(StrEnum):
    """How the members' suspicions become one. None of them falls when a member's rises."""

    MAX = "max"
    MEAN = "mean"
    NOISY_OR = "noisy_or"
    """1 − Π(1 − s): members as independent causes."""
    LOGISTIC = "logistic"
    """With weights fitted on a calibration split."""


@dataclass(frozen=True)
class EnsembleMonitor:
    """Several monitors, combined event by event and over the run.

    Of each member, an event's suspicion is the strongest that it gives there, 0 when it is silent,
    and between what it did give and 1 when it could not judge or failed. The run's suspicion is
    that over all its events. The combination of the lower ends and of the upper ends bounds the
    ensemble's: where both agree it is known (`max` when a member is certain, whatever the others),
    otherwise unmeasurable, with the bounds in the reason.

    While the run lasts, an event gets an observation when a member gives one; what members only
    say at the end counts 0 until then. At the end, the run gets one, if it says more than those of
    its events did: two members that suspect different events add up there.

    Args:
        combination: how.
        members: two or more with different names.
        fit: for `logistic`, its weights.

    Raises:
        ValueError: for members or a fit that do not go together.
    """

    combination: Combination
    members: tuple[Monitor, ...]
    fit: LogisticFit | None = None

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if len(names) < 2:
            raise ValueError(f"expected two members of an ensemble or more, found {len(names)}")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"expected every member of an ensemble once, found {twice[0]!r} twice")
        if (self.fit is None) == (self.combination is Combination.LOGISTIC):
            raise ValueError("expected a fit for logistic and for nothing else")
        if self.fit is not None and self.fit.members != tuple(names):
            raise ValueError(
                f"expected a fit of {', '.join(names)}, found one of {', '.join(self.fit.members)}"
            )

    @classmethod
    def fitted(
        cls,
        members: Sequence[Monitor],
        calibration: Iterable[tuple[str, Transcript, bool]],
        *,
        penalty: float = 1.0,
    ) -> Self:
        """A logistic ensemble fitted on a calibration split: names, runs, whether harmful.

        Raises:
            ValueError: see :func:`fit_logistic`.
        """
        runs, rows, labels = [], [], []
        for name, run, harmful in calibration:
            runs.append(name)
            rows.append([run_suspicion(member, run).suspicion for member in members])
            labels.append(harmful)
        fit = fit_logistic(
            [member.name for member in members], rows, labels, penalty=penalty, runs=runs
        )
        return cls(Combination.LOGISTIC, tuple(members), fit)

    @property
    def name(self) -> str:
        """``max(rules,sequence)``."""
        return f"{self.combination.value}({','.join(member.name for member in self.members)})"

    @cached_property
    def digest(self) -> Sha256:
        """Of the members, of how they are combined, and of the weights."""
        return sha256_of_json(
            {
                "version": VERSION,
                "combination": self.combination.value,
                "members": [[member.name, member.digest] for member in self.members],
                "fit": None if self.fit is None else self.fit.to_json(),
            }
        )

    @property
    def needs_fit(self) -> bool:
        """Whether its weights are still to be fitted: until then it watches nothing."""
        return self.fit is not None and self.fit.n == 0

    @property
    def needs_effects(self) -> bool:
        """Whether any member looks at effects."""
        return any(getattr(member, "needs_effects", True) for member in self.members)

    def value(self, suspicions: Sequence[float]) -> float:
        """The suspicion of the ensemble, given those of its members, in their order."""
        if self.fit is not None:
            return self.fit.value(suspicions)
        if self.combination is Combination.MAX:
            return max(suspicions)
        if self.combination is Combination.MEAN:
            return min(math.fsum(suspicions) / len(suspicions), 1.0)
        return 1 - math.prod(1 - suspicion for suspicion in suspicions)

    def begin(self, run: Transcript | None = None) -> EnsembleWatch:
        """Start to watch a run with every member.

        Raises:
            ValueError: when its weights were not fitted.
        """
        if self.needs_fit:
            raise ValueError(f"expected {self.name} to be fitted before it watches")
        return EnsembleWatch(self, run)

    def close(self) -> None:
        """Close the members that hold something open."""
        for member in self.members:
            close = getattr(member, "close", None)
            if close is not None:
                close()


@dataclass(slots=True)
class _Range:
    """What is known of a suspicion."""

    low: float = 0.0
    high: float = 0.0
    strongest: tuple[int, Observation] | None = None
    unknown: tuple[int, str] | None = None
    """Where and why the first part of it could not be judged."""

    def add(self, index: int, seen: Observation) -> None:
        if seen.suspicion is None:
            self.fail(index, "" if seen.reason is None else seen.reason.detail)
            return
        if self.strongest is None or seen.suspicion > self.low:
            self.strongest = index, seen
        self.low = max(self.low, seen.suspicion)
        self.high = max(self.high, seen.suspicion)

    def fail(self, index: int, why: str) -> None:
        self.high = 1.0
        if self.unknown is None:
            self.unknown = index, why

    @property
    def said(self) -> bool:
        return self.strongest is not None or self.unknown is not None

    def __str__(self) -> str:
        return f"{self.low:.2f}" if self.low == self.high else f"{self.low:.2f} to {self.high:.2f}"


class _Member:
    """A member, watching; when it fails, it has seen nothing from there on."""

    def __init__(self, monitor: Monitor, run: Transcript | None) -> None:
        self.name = monitor.name
        self.run = _Range()
        self.watch: Watch | None = None
        try:
            self.watch = monitor.begin(run)
        except Exception as error:
            self.run.fail(0, f"the monitor failed: {type(error).__name__}: {error}")

    def see(self, event: Event, effects: Sequence[CallEffect]) -> _Range:
        here = _Range()
        if self.watch is None:
            here.high = 1.0
            return here
        try:
            for seen in self.watch.see(event, effects):
                here.add(event.index, _checked(seen))
        except Exception as error:
            self.watch = None
            here.fail(event.index, f"the monitor failed: {type(error).__name__}: {error}")
        self._carry(here)
        return here

    def finish(self, last: int) -> None:
        if self.watch is None:
            return
        end = _Range()
        try:
            for index, seen in self.watch.finish():
                end.add(index, _checked(seen))
        except Exception as error:
            end.fail(last, f"the monitor failed: {type(error).__name__}: {error}")
        self._carry(end)

    def _carry(self, here: _Range) -> None:
        if here.strongest is not None:
            self.run.add(*here.strongest)
        if here.unknown is not None:
            self.run.fail(*here.unknown)


def _checked(seen: object) -> Observation:
    if not isinstance(seen, Observation):
        raise TypeError(f"expected an observation, found {type(seen).__name__}")
    return seen


class EnsembleWatch:
    """The members of an ensemble, watching one run."""

    def __init__(self, monitor: EnsembleMonitor, run: Transcript | None) -> None:
        self._monitor = monitor
        self._members = [_Member(member, run) for member in monitor.members]
        self._last: int | None = None
        self._told: float | None = None
        self._told_unknown = False

    def see(self, event: Event, effects: Sequence[CallEffect]) -> Sequence[Observation]:
        """What the members make of the event together."""
        self._last = event.index
        here = [member.see(event, effects) for member in self._members]
        # A member that has failed says nothing of a call, which is not that it finds nothing.
        failed = event.kind is EventKind.TOOL_CALL and any(one.low != one.high for one in here)
        if not failed and not any(one.said for one in here):
            return ()
        _, seen = self._together(here, event.index)
        if seen.suspicion is None:
            self._told_unknown = True
        else:
            self._told = max(self._told or 0.0, seen.suspicion)
        return (seen,)

    def finish(self) -> Sequence[tuple[int, Observation]]:
        """What they make of the run, where that is more than they made of its events."""
        if self._last is None:
            return ()
        for member in self._members:
            member.finish(self._last)
        runs = [member.run for member in self._members]
        index, seen = self._together(runs, self._last)
        if seen.suspicion is None:
            return () if self._told_unknown else ((index, seen),)
        told = self._told
        if told is None and not any(one.said for one in runs):
            told = 0.0
        return ((index, seen),) if told is None or seen.suspicion > told else ()

    def _together(self, ranges: Sequence[_Range], last: int) -> tuple[int, Observation]:
        monitor = self._monitor
        low = monitor.value([one.low for one in ranges])
        high = monitor.value([one.high for one in ranges])
        named = list(zip(self._members, ranges, strict=True))
        each = ", ".join(f"{member.name} {one}" for member, one in named)
        if low != high:
            index, _ = next((one.unknown for one in ranges if one.unknown is not None), (last, ""))
            # A member that failed at an earlier event is unknown here as well.
            unknown = [
                (member.name, one.unknown or member.run.unknown)
                for member, one in named
                if one.low != one.high
            ]
            whys = "; ".join(f"{name}: {why[1]}" for name, why in unknown if why is not None)
            return index, unmeasurable(f"between {low:.2f} and {high:.2f} ({each}): {whys}")
        found = [one.strongest for one in ranges if one.strongest is not None]
        if not found:
            return last, Observation(suspicion=low, why=f"{monitor.combination.value} of {each}")
        index, strongest = max(found, key=lambda one: one[1].suspicion or 0.0)
        return index, Observation(
            suspicion=low,
            why=f"{strongest.why} [{monitor.combination.value} of {each}]",
            rests_on=tuple(sorted({at for _, seen in found for at in seen.rests_on})),
            rule=strongest.rule,
            step=strongest.step,
            techniques=strongest.techniques,
        )


def run_suspicion(monitor: Monitor, run: Transcript) -> Observation:
    """A monitor's suspicion of a whole run: the strongest of its observations, 0 without any.

    Unmeasurable when an observation is, unless another one is certain (1).

    Raises:
        Exception: whatever the monitor raises.
    """
    whole = _Range()
    watch, tracker = monitor.begin(run), EffectTracker(cwd=run.cwd)
    for event in deployment_view(run.events):
        for seen in watch.see(event, tracker.see(event)):
            whole.add(event.index, seen)
    for index, seen in watch.finish():
        whole.add(index, seen)
    if whole.low != whole.high and whole.unknown is not None:
        return unmeasurable(f"between {whole} at event {whole.unknown[0]}: {whole.unknown[1]}")
    return Observation(suspicion=0.0) if whole.strongest is None else whole.strongest[1]
