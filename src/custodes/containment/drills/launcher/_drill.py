"""The drill of the user's own launcher and stop command: every adversary, many times, and sums."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace

from custodes.types import JsonObject

from .._adversaries import ADVERSARIES, Adversary, Need, known
from .._cell import DrillCell, cell_of
from .._episode import Mechanism
from ._commands import placeholders
from ._guard import Guard
from ._run import LONGEST_S, Launcher, LauncherRun, run_once

Progress = Callable[[int, int], None]

LAUNCHABLE: Mapping[str, Adversary] = {
    name: adversary for name, adversary in ADVERSARIES.items() if not adversary.needs
}
"""Adversaries that need nothing but a folder, write there and nowhere else."""

_WHY_NOT: Mapping[Need, str] = {
    Need.STREAM: "its connection goes through the sandbox's broker",
    Need.SUB_AGENTS: "its helper is asked for at the sandbox's broker",
    Need.JOBS: "its job is queued at the sandbox's broker",
    Need.PLANTS: "it would plant files where daemons and shells of this machine run them",
}

_NOT_FOUND = ("exit 126", "exit 127")


class LauncherUnusable(Exception):
    """The launch or the stop command does not work at all; the text is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherCell:
    """One adversary under the user's launcher.

    Attributes:
        drill: what every drill says of a cell.
        stop_ended: runs by how the stop command ended, as in ``LauncherRun.stop``.
            stop_failed: those in which it hung or did not end with 0.
        by_heartbeat: runs with survivors that were heard. by_processes: runs in which processes
            of the adversary could be looked at besides.
        others_left: runs that left processes of the launcher or of the stop command.
    """

    drill: DrillCell
    stop_ended: Mapping[str, int]
    by_heartbeat: int
    by_processes: int
    others_left: int

    @property
    def stop_failed(self) -> int:
        return sum(count for how, count in self.stop_ended.items() if how != "exit 0")

    @property
    def looked_at(self) -> str:
        """What the cell's word rests on."""
        runs = sum(self.stop_ended.values())
        if not runs:
            return "nothing"
        if self.by_processes == runs:
            return "heartbeats and processes"
        if not self.by_processes:
            return "heartbeats alone: a process that is only held is not told from one that ended"
        return f"heartbeats, and processes in {self.by_processes} of {runs} runs"

    def to_json(self) -> JsonObject:
        return {
            **self.drill.to_json(),
            "stop_command": dict(self.stop_ended),
            "stop_failed": self.stop_failed,
            "looked_at": self.looked_at,
            "survivors_by_heartbeat": self.by_heartbeat,
            "others_left": self.others_left,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherMatrix:
    """All cells of a drill of the user's launcher.

    Attributes:
        uncleared: what is left on the machine although the drill did everything to end it.
    """

    launcher: Launcher
    cells: tuple[LauncherCell, ...]
    uncleared: tuple[str, ...]

    def cell(self, adversary: str) -> LauncherCell:
        """The cell of that adversary; raises KeyError without one."""
        for cell in self.cells:
            if cell.drill.adversary == adversary:
                return cell
        raise KeyError(adversary)

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.drill/1",
            "launch": self.launcher.launch,
            "stop": self.launcher.stop,
            "grace_ms": round(self.launcher.grace_s * 1000),
            "cells": [cell.to_json() for cell in self.cells],
            "uncleared": list(self.uncleared),
        }


def run_launcher_drill(
    launcher: Launcher,
    against: Iterable[str] | None = None,
    n: int = 30,
    *,
    at_once: int = 1,
    progress: Progress | None = None,
) -> LauncherMatrix:
    """Start adversaries under the user's launcher, stop them with the user's command, and look.

    Before an adversary counts, one run of it with the stop command ``true`` must show that the
    drill sees it survive.

    Args:
        launcher: how to start and to stop.
        against: names of adversaries; all of ``LAUNCHABLE`` by default.
        n: runs per adversary.
        at_once: runs at a time. More than one needs a stop command that stops its own run alone.
        progress: told as runs end.

    Raises:
        ValueError: for an unknown name, a placeholder out of place, or a number out of range.
        LauncherUnusable: the launch command never brings an adversary up, or the stop command
            cannot be found.
    """
    _check(launcher, n, at_once)
    adversaries = [LAUNCHABLE[name] for name in _chosen(against)]
    nothing = replace(launcher, stop="true")
    jobs = [(nothing, one) for one in adversaries[1:]]
    jobs += [(launcher, one) for _ in range(n) for one in adversaries]
    results: dict[tuple[str, str], list[LauncherRun]] = defaultdict(list)
    every: list[LauncherRun] = []
    with Guard() as guard, _workers(at_once) as (pool, cancelled):

        def play(job: tuple[Launcher, Adversary]) -> LauncherRun:
            return run_once(job[0], job[1], guard=guard, cancelled=cancelled)

        every += _come_up(lambda one: pool.submit(play, (nothing, one)).result(), adversaries[0])
        results["control", adversaries[0].name].append(every[0])
        for done, ((used, adversary), run) in enumerate(_in_turn(pool, play, jobs, at_once), 1):
            every.append(run)
            kind = "control" if used is nothing else "stop"
            if kind == "stop" and not results[kind, adversary.name] and run.stop in _NOT_FOUND:
                raise LauncherUnusable(_said(f"the stop command ended with {run.stop}", run))
            results[kind, adversary.name].append(run)
            if progress is not None:
                progress(done, len(jobs))
    counted = [run for (kind, _), runs in results.items() if kind == "stop" for run in runs]
    reasons = {run.episode.unverified for run in counted}
    if all(reason.startswith("not up") for reason in reasons):
        raise LauncherUnusable(f"no adversary came up under the launch command: {min(reasons)}")
    return LauncherMatrix(
        launcher=launcher,
        cells=tuple(
            _cell(launcher, one, results["stop", one.name], results["control", one.name])
            for one in adversaries
        ),
        uncleared=tuple(sorted({left for run in every for left in run.uncleared})),
    )


def _check(launcher: Launcher, n: int, at_once: int) -> None:
    if "agent" not in placeholders(launcher.launch):
        raise ValueError("expected {agent} in the launch command: it stands for the adversary")
    if "pid" in placeholders(launcher.launch):
        raise ValueError("found {pid} in the launch command: it is known only to the stop command")
    if "agent" in placeholders(launcher.stop):
        raise ValueError("found {agent} in the stop command: it belongs into the launch command")
    if not launcher.stop.strip():
        raise ValueError("expected a stop command, found an empty one")
    for what, number, least in (
        ("n", n, 1),
        ("runs at once", at_once, 1),
        ("seconds until up", launcher.up_timeout_s, 0.1),
        ("seconds for the stop command", launcher.stop_timeout_s, 0.1),
        ("seconds of grace", launcher.grace_s, 0),
    ):
        if not number >= least:
            raise ValueError(f"expected {what} of {least} or more, found {number:g}")
    if launcher.grace_s > LONGEST_S / 2:
        raise ValueError(
            f"expected a grace of {LONGEST_S / 2:g} s at most, found {launcher.grace_s:g}: "
            "adversaries end by themselves soon after"
        )


def not_launchable() -> dict[str, str]:
    """Adversaries that run in Custodes' own sandbox alone, and why."""
    return {
        name: "; ".join(_WHY_NOT[need] for need in sorted(adversary.needs))
        for name, adversary in ADVERSARIES.items()
        if adversary.needs
    }


def _chosen(against: Iterable[str] | None) -> list[str]:
    names = None if against is None else list(against)
    reasons = not_launchable()
    for name in names or []:
        if name in reasons:
            raise ValueError(f"{name} cannot run under a launcher: {reasons[name]}")
    return known(names, LAUNCHABLE, "adversary")


def _come_up(play: Callable[[Adversary], LauncherRun], adversary: Adversary) -> list[LauncherRun]:
    """The first control; where it shows nothing the plainest adversary must come up at least."""
    runs = [play(adversary)]
    if runs[0].episode.unverified:
        runs.append(play(LAUNCHABLE["plain"]))
        if runs[1].episode.unverified:
            raise LauncherUnusable(
                "the launch command does not bring even the plain adversary up: "
                + runs[1].episode.unverified.removeprefix("not up: ")
            )
    return runs


def _said(what: str, run: LauncherRun) -> str:
    return f"{what}: {run.stop_said}" if run.stop_said else what


@contextmanager
def _workers(at_once: int) -> Iterator[tuple[ThreadPoolExecutor, threading.Event]]:
    """Threads that outlive every run: what dies with its starting thread must not die early."""
    cancelled = threading.Event()
    pool = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="drill")
    try:
        yield pool, cancelled
    finally:
        cancelled.set()
        pool.shutdown(wait=True, cancel_futures=True)


_Job = tuple[Launcher, Adversary]


def _in_turn(
    pool: ThreadPoolExecutor,
    play: Callable[[_Job], LauncherRun],
    jobs: Sequence[_Job],
    at_once: int,
) -> Iterator[tuple[_Job, LauncherRun]]:
    """Every job with its run, as they end; no more are begun ahead than run at once."""
    waiting = iter(jobs)
    running: dict[Future[LauncherRun], _Job] = {}
    while True:
        for job in waiting:
            running[pool.submit(play, job)] = job
            if len(running) >= at_once:
                break
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def _cell(
    launcher: Launcher,
    adversary: Adversary,
    runs: Sequence[LauncherRun],
    controls: Sequence[LauncherRun],
) -> LauncherCell:
    mechanism = Mechanism(name=launcher.label, description="The user's own stop command.")
    ordered = [run for run in runs if run.stop != "not run"]
    return LauncherCell(
        drill=cell_of(
            mechanism,
            adversary,
            [run.episode for run in runs],
            [control.episode for control in controls],
        ),
        stop_ended=dict(sorted(Counter(run.stop for run in ordered).items())),
        by_heartbeat=sum(run.heartbeat_survived for run in ordered),
        by_processes=sum(bool(run.processes_seen) for run in ordered),
        others_left=sum(bool(run.others_left) for run in ordered),
    )
