"""The drill: every adversary against every mechanism, many times."""

from __future__ import annotations

import os
import random
import subprocess
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import anyio
import anyio.abc

from custodes.types import Tier

from .._sandbox import Sandbox
from .._spec import SandboxError, SandboxSpec
from .._stop import StopMechanism
from .._volumes import run_identity
from ..probes._model import Untested, interpreter
from ._adversaries import Adversary, Need, adversaries
from ._cell import DrillCell, DrillMatrix, cell_of
from ._episode import CONTROL_OF, Episode, Mechanism, mechanisms
from ._plants import look_finds_plants
from ._run import Run
from ._world import World

__all__ = ["DrillCell", "DrillMatrix", "Progress", "cell_of", "run_drills"]

Progress = Callable[[int, int], None]
"""Takes how many runs are done, of how many."""

_AT_ONCE = 8
_CONTROLS = 2
"""Control runs added for each adversary that no requested naive mechanism meets."""
_PLAIN_CONTROL = "own_session"
"""Stands in as control where no adversary that was asked for leaves its process group."""

Job = tuple[Mechanism, Adversary]


async def _batch(jobs: Sequence[Job], python: str, bystanders: Sequence[int]) -> list[Episode]:
    """Bring all adversaries up at once, stop them one after another, then look at all."""
    episodes: dict[int, Episode] = {}
    runs: dict[int, Run] = {}

    async def bring_up(index: int, job: Job, commands: anyio.abc.TaskGroup) -> None:
        mechanism, adversary = job
        world = World(
            adversary=adversary, python=python, channel=mechanism.channel, hold=mechanism.holds
        )
        try:
            run = runs[index] = await Run.start(world, commands, bystanders)
        except SandboxError as error:
            episodes[index] = Episode(survivors=None, unverified=f"no sandbox: {error}")
            return
        missing = await run.up()
        if missing:
            episodes[index] = Episode(survivors=None, unverified=missing)

    async def look(index: int, showed: Callable[[], Awaitable[Episode]]) -> None:
        try:
            episodes[index] = await showed()
        except (OSError, SandboxError) as error:
            episodes[index] = Episode(survivors=None, unverified=f"{error}")

    try:
        async with anyio.create_task_group() as commands:
            async with anyio.create_task_group() as group:
                for index, job in enumerate(jobs):
                    group.start_soon(bring_up, index, job, commands)
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
                    if mechanism.control or not mechanism.ends_processes:
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
            group.start_soon(run.close)


@contextmanager
def _bystander() -> Iterator[int]:
    """A process of the user that sandboxes are launched under, which no stop may touch.

    It ends with this process, however that ends: nobody else has the other end of its input.
    """
    identity = run_identity()
    process = subprocess.Popen(
        ["sh", "-c", "read nothing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        start_new_session=True,
        user=None if identity is None else identity[0],
        group=None if identity is None else identity[1],
        extra_groups=None if identity is None else [],
    )
    try:
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def _obstacles(group: os.PathLike[str] | None) -> Callable[[Job], str]:
    """Why a job cannot be run here, or nothing.

    Args:
        group: control group that a sandbox has here, if it has one.
    """
    blind = "" if look_finds_plants() else "the look for planted files did not find its own"

    def obstacle(job: Job) -> str:
        mechanism, adversary = job
        if mechanism.order is StopMechanism.CGROUP_KILL and group is None:
            return (
                "no control group: name a delegated version 2 group in CUSTODES_CGROUP, or run "
                "under one"
            )
        return blind if Need.PLANTS in adversary.needs else ""

    return obstacle


def _controls(jobs: Sequence[Job]) -> list[Job]:
    """Control runs that the jobs lack: for each adversary and channel a naive mechanism."""
    added: list[Job] = []
    for mechanism, adversary in dict.fromkeys(jobs):
        if mechanism.control:
            continue
        control = CONTROL_OF[mechanism.channel]
        wanted = control, _control_adversary(mechanism, adversary)
        if wanted not in jobs and wanted not in added:
            added += [wanted] * _CONTROLS
    return added


def _control_adversary(mechanism: Mechanism, adversary: Adversary) -> Adversary:
    """Whom the control must not be able to stop: the same, or one that leaves its group."""
    if not mechanism.ends_processes or adversary.leaves_group:
        return adversary
    return adversaries([_PLAIN_CONTROL])[0]


async def run_drills(
    against: Iterable[str] | None = None,
    by: Iterable[str] | None = None,
    n: int = 30,
    *,
    tier: Tier = Tier.A,
    progress: Progress | None = None,
) -> DrillMatrix:
    """Run adversaries against mechanisms, ``n`` times each, every time in a fresh sandbox.

    Naive mechanisms run inside a sandbox too, which ends what they leave. Where ``by`` has no naive
    mechanism for a cell, control runs of one are added.

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

    async with await Sandbox.start(SandboxSpec()) as sandbox:  # raises where none can be started
        obstacle = _obstacles(sandbox.cgroup)
    asked = [(one, other) for other in adversary_list for one in mechanism_list]
    results: dict[Job, list[Episode]] = defaultdict(list)
    for job in asked:
        if why := obstacle(job):
            results[job] = [Episode(survivors=None, unverified=why)] * n
    runnable = [job for job in asked if job not in results]
    everything = runnable * n + [job for job in _controls(runnable) if not obstacle(job)]
    # So that neither the heaviest adversaries nor the runs of a cell stand side by side.
    random.Random(0).shuffle(everything)
    with _bystander() as bystander:
        for start in range(0, len(everything), _AT_ONCE):
            part = everything[start : start + _AT_ONCE]
            for job, episode in zip(part, await _batch(part, python, [bystander]), strict=True):
                results[job].append(episode)
            if progress is not None:
                progress(min(start + _AT_ONCE, len(everything)), len(everything))

    def controls(mechanism: Mechanism, adversary: Adversary) -> list[Episode]:
        wanted = _control_adversary(mechanism, adversary)
        return results[CONTROL_OF[mechanism.channel], wanted]

    return DrillMatrix(
        tier=tier,
        cells=tuple(
            cell_of(
                mechanism,
                adversary,
                results[mechanism, adversary],
                controls(mechanism, adversary),
            )
            for mechanism in mechanism_list
            for adversary in adversary_list
        ),
    )
