"""The drill: every adversary against every mechanism, many times, and what may be said of it."""

from __future__ import annotations

import subprocess
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import anyio
import anyio.abc

from custodes.statistics import proportion
from custodes.types import Estimate, JsonObject, Tier

from .._sandbox import Sandbox
from .._spec import SandboxError, SandboxGone, SandboxSpec
from .._volumes import run_identity
from ..probes._model import Untested, interpreter
from ._adversaries import Adversary, adversaries
from ._episode import Episode, Mechanism, Run, mechanisms

Progress = Callable[[int, int], None]
"""Takes how many runs are done, of how many."""

_AT_ONCE = 8
_CONTROLS = 2
"""Control runs added for each adversary that no requested naive mechanism meets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillCell:
    """One adversary against one mechanism.

    Attributes:
        status: ``measured``; ``control`` for a naive mechanism, which is there to show survivors;
            ``untested`` when the drill did not show that it could have seen a survivor.
        n: runs asked for. unverified: runs that show nothing, and why.
        survivors: runs with any survivor. survivor_processes: processes over all runs.
        rate: of runs with survivors among those verified, with the exact one-sided upper 95 %
            bound; no value without a verified run.
        last_side_effect_us, last_process_gone_us: of the runs where it ended, microseconds from
            the order; runs with survivors are censored and counted apart.
        collateral: bystanders that ended.
    """

    mechanism: str
    adversary: str
    status: Literal["measured", "control", "untested"]
    n: int
    survivors: int
    survivor_processes: int
    unverified: int
    reasons: tuple[str, ...]
    rate: Estimate
    last_side_effect_us: tuple[int, ...]
    last_process_gone_us: tuple[int, ...]
    collateral: int
    note: str = ""

    def to_json(self) -> JsonObject:
        return {
            "mechanism": self.mechanism,
            "adversary": self.adversary,
            "status": self.status,
            "n": self.n,
            "survivors": self.survivors,
            "survivor_processes": self.survivor_processes,
            "survivors_upper_95": self.rate.high,
            "unverified": self.unverified,
            "reasons": list(self.reasons),
            "rate": self.rate.to_json(),
            "last_side_effect_ms": _times(self.last_side_effect_us, self.n),
            "last_process_gone_ms": _times(self.last_process_gone_us, self.n),
            "collateral": self.collateral,
            "note": self.note,
        }


def _times(values: Sequence[int], n: int) -> JsonObject:
    """Median and longest in milliseconds, how many never ended or were not seen, and all of them.

    The median is over all runs, those that never ended counted as longer than any; None when it
    lies among them.
    """
    ordered = sorted(values)
    middle = (n - 1) // 2
    return {
        "n": len(ordered),
        "censored": n - len(ordered),
        "median": ordered[middle] / 1000 if middle < len(ordered) else None,
        "longest": ordered[-1] / 1000 if ordered else None,
        "us": ordered,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillMatrix:
    """All cells of a drill."""

    tier: Tier
    cells: tuple[DrillCell, ...]
    window_ms: int = field(default=150)

    def cell(self, mechanism: str, adversary: str) -> DrillCell:
        """The cell of that mechanism and adversary; raises KeyError without one."""
        for cell in self.cells:
            if (cell.mechanism, cell.adversary) == (mechanism, adversary):
                return cell
        raise KeyError((mechanism, adversary))

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.drill/1",
            "tier": self.tier.value,
            "window_ms": self.window_ms,
            "cells": [cell.to_json() for cell in self.cells],
        }


def cell_of(
    mechanism: Mechanism,
    adversary: Adversary,
    episodes: Sequence[Episode],
    controls: Sequence[Episode],
) -> DrillCell:
    """Sum up a cell.

    Args:
        mechanism: what stopped.
        adversary: what was to be stopped.
        episodes: the runs.
        controls: runs of a naive mechanism against an adversary that it cannot stop, which must
            show survivors before a cell may say that there were none.
    """
    verified = [episode for episode in episodes if episode.survivors is not None]
    with_survivors = sum(bool(episode.survivors) for episode in verified)
    unverified = len(episodes) - len(verified)
    seen = sum(bool(episode.survivors) for episode in controls)
    status: Literal["measured", "control", "untested"] = "measured"
    note = ""
    if mechanism.control:
        status = "control"
    elif not seen and not with_survivors:
        status = "untested"
        note = "no control run showed a survivor: the drill may be unable to see one"
    elif not verified:
        status = "untested"
        note = "no run could be verified"
    return DrillCell(
        mechanism=mechanism.name,
        adversary=adversary.name,
        status=status,
        n=len(episodes),
        survivors=with_survivors,
        survivor_processes=sum(episode.survivors or 0 for episode in verified),
        unverified=unverified,
        reasons=tuple(sorted({episode.unverified for episode in episodes if episode.unverified})),
        rate=proportion(with_survivors, len(verified), missing=unverified, sided="upper"),
        last_side_effect_us=tuple(
            episode.last_side_effect_us
            for episode in verified
            if episode.last_side_effect_us is not None
        ),
        last_process_gone_us=tuple(
            episode.last_process_gone_us
            for episode in verified
            if episode.last_process_gone_us is not None
        ),
        collateral=sum(episode.collateral for episode in episodes),
        note=note,
    )


Job = tuple[Mechanism, Adversary]


async def _batch(jobs: Sequence[Job], python: str, bystanders: Sequence[int]) -> list[Episode]:
    """Bring all adversaries up at once, stop them one after another, then look at all."""
    episodes: dict[int, Episode] = {}
    runs: dict[int, Run] = {}

    async def launch(run: Run) -> None:
        with suppress(SandboxGone):  # stopped, as it should be
            await run.sandbox.exec(run.adversary.argv(python), timeout=30)

    async def bring_up(index: int, adversary: Adversary, commands: anyio.abc.TaskGroup) -> None:
        try:
            sandbox = await Sandbox.start(SandboxSpec())
        except SandboxError as error:
            episodes[index] = Episode(survivors=None, unverified=f"no sandbox: {error}")
            return
        run = runs[index] = Run(adversary, sandbox, bystanders)
        commands.start_soon(launch, run)
        missing = await run.up()
        if missing:
            episodes[index] = Episode(survivors=None, unverified=missing)

    async def look(index: int, showed: Callable[[], Awaitable[Episode]]) -> None:
        episodes[index] = await showed()

    try:
        async with anyio.create_task_group() as commands:
            async with anyio.create_task_group() as group:
                for index, (_, adversary) in enumerate(jobs):
                    group.start_soon(bring_up, index, adversary, commands)
            async with anyio.create_task_group() as watching:
                # Custodes' own first: survivors of the naive ones keep the machine busy.
                for index, (mechanism, _) in sorted(
                    enumerate(jobs), key=lambda job: job[1][0].control
                ):
                    if index in episodes:
                        continue
                    try:
                        showed = mechanism.start(runs[index])
                    except (OSError, SandboxError) as error:
                        episodes[index] = Episode(survivors=None, unverified=str(error))
                        continue
                    if mechanism.control:
                        watching.start_soon(look, index, showed)
                    else:
                        await look(index, showed)
            await _close(runs.values())
    finally:
        with anyio.CancelScope(shield=True):
            await _close(runs.values())
    return [episodes[index] for index in range(len(jobs))]


async def _close(runs: Iterable[Run]) -> None:
    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.sandbox.close)


async def run_drills(
    against: Iterable[str] | None = None,
    by: Iterable[str] | None = None,
    n: int = 30,
    *,
    tier: Tier = Tier.A,
    progress: Progress | None = None,
) -> DrillMatrix:
    """Run adversaries against mechanisms, ``n`` times each, every time in a fresh sandbox.

    Naive mechanisms run inside a sandbox too, which ends what they leave. For each adversary that
    a process-group kill cannot stop, control runs of it are added when ``by`` has none.

    Args:
        against: names of adversaries; all by default.
        by: names of mechanisms; all by default.
        n: runs per cell.
        tier: only A: elsewhere the survivors of the controls could not be ended for certain.
        progress: told as runs end.

    Raises:
        ValueError: for an unknown name, ``n`` below 1, or another tier.
        SandboxUnavailable: no sandbox can be started on this machine.
    """
    if tier is not Tier.A:
        raise ValueError(
            f"expected tier A, found {tier.value}: the controls leave survivors, and only a "
            "process namespace is sure to end them"
        )
    if n < 1:
        raise ValueError(f"expected n of 1 or more, found {n}")
    adversary_list = adversaries(against)
    mechanism_list = mechanisms(by)
    try:
        python = interpreter()
    except Untested as error:
        raise ValueError(str(error)) from error

    await (await Sandbox.start(SandboxSpec())).close()  # raises here where none can be started

    jobs: list[Job] = [
        (mechanism, adversary)
        for _ in range(n)
        for adversary in adversary_list
        for mechanism in mechanism_list
    ]
    group = mechanisms(["process_group"])[0]
    leaving = [one for one in adversary_list if one.leaves_group]
    added: list[Job] = []
    if group not in mechanism_list:
        added = [(group, one) for one in leaving or adversaries(["own_session"])] * _CONTROLS
    elif not leaving:
        added = [(group, one) for one in adversaries(["own_session"])] * _CONTROLS
    everything = jobs + added
    identity = run_identity()
    bystander = subprocess.Popen(
        ["sleep", "600"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        start_new_session=True,
        user=None if identity is None else identity[0],
        group=None if identity is None else identity[1],
        extra_groups=None if identity is None else [],
    )
    results: dict[Job, list[Episode]] = defaultdict(list)
    try:
        for start in range(0, len(everything), _AT_ONCE):
            part = everything[start : start + _AT_ONCE]
            for job, episode in zip(part, await _batch(part, python, [bystander.pid]), strict=True):
                results[job].append(episode)
            if progress is not None:
                progress(min(start + _AT_ONCE, len(everything)), len(everything))
    finally:
        bystander.kill()
        bystander.wait()

    def controls(adversary: Adversary) -> list[Episode]:
        if adversary.leaves_group:
            return results[group, adversary]
        return [
            episode
            for (mechanism, other), episodes in results.items()
            if mechanism is group and other.leaves_group
            for episode in episodes
        ]

    return DrillMatrix(
        tier=tier,
        cells=tuple(
            cell_of(mechanism, adversary, results[mechanism, adversary], controls(adversary))
            for mechanism in mechanism_list
            for adversary in adversary_list
        ),
    )
