"""What a drill showed, by adversary and mechanism, and what may be said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from custodes.statistics import kaplan_meier, proportion
from custodes.types import Estimate, JsonObject, Tier

from ._adversaries import Adversary
from ._episode import Episode, Mechanism


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillCell:
    """One adversary against one mechanism.

    Attributes:
        status: ``measured``; ``control`` for a naive mechanism, which is there to show survivors;
            ``untested`` when the drill did not show that it could have seen a survivor.
        n: runs asked for. unverified: runs that show nothing, and why.
        survivors: runs with any survivor. survivor_processes: processes over all runs. None
            without a verified run: unknown is no zero.
        rate: of runs with survivors among those verified, with the exact one-sided upper 95 %
            bound; no value without a verified run.
        last_side_effect_us, last_process_gone_us: of the runs where it ended, microseconds from
            the order; runs with survivors are censored and counted apart.
        watched_us: how long survivors were watched in each run that had any: where its latencies
            are cut short.
        ends_processes: the mechanism stops processes; else there is no time of the last one.
        collateral: bystanders that ended.
    """

    mechanism: str
    adversary: str
    status: Literal["measured", "control", "untested"]
    n: int
    survivors: int | None
    survivor_processes: int | None
    unverified: int
    reasons: tuple[str, ...]
    rate: Estimate
    last_side_effect_us: tuple[int, ...]
    last_process_gone_us: tuple[int, ...]
    collateral: int
    note: str = ""
    watched_us: tuple[int, ...] = ()
    ends_processes: bool = True

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
            "last_side_effect_ms": self._times(self.last_side_effect_us),
            "last_process_gone_ms": (
                self._times(self.last_process_gone_us)
                if self.ends_processes
                else {
                    "n": 0,
                    "censored": 0,
                    "unverified": 0,
                    "median": None,
                    "longest": None,
                    "us": [],
                    "note": "not measured: it ends no process",
                }
            ),
            "collateral": self.collateral,
            "note": self.note,
        }

    def _times(self, values: Sequence[int]) -> JsonObject:
        """Times of an end, in milliseconds from the order, and the survival curve of the runs.

        ``n``: runs whose end was timed. ``censored``: runs with a survivor, cut short where their
        watch ended. ``unverified``: runs in which no end was watched. ``median``: that of the
        curve, over the first two kinds; None when it is not reached. ``steps``: time, share that
        goes on after it, runs still watched just before it, runs that ended at it.
        """
        ordered = sorted(values)
        unwatched = self.n - len(ordered) - len(self.watched_us)
        ended = [value / 1000 for value in values]
        censored = [value / 1000 for value in self.watched_us]
        curve = kaplan_meier(
            [*ended, *censored],
            [True] * len(ended) + [False] * len(censored),
            missing=unwatched,
        )
        steps = zip(curve.times, curve.survival, curve.at_risk, curve.events, strict=True)
        return {
            "n": len(ordered),
            "censored": len(censored),
            "unverified": unwatched,
            "median": None if curve.median is None else curve.median.value,
            "longest": ordered[-1] / 1000 if ordered else None,
            "us": list(ordered),
            "survival": {
                "n": curve.n,
                "observed": curve.observed,
                "steps": [list(step) for step in steps],
                "median": None if curve.median is None else curve.median.to_json(),
                "median_low": curve.median_low,
                "notes": [note for note in curve.notes if "restricted mean" not in note],
            },
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
        survivors=with_survivors if verified else None,
        survivor_processes=(
            sum(episode.survivors or 0 for episode in verified) if verified else None
        ),
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
        watched_us=tuple(episode.window_us for episode in verified if episode.survivors),
        ends_processes=mechanism.ends_processes,
    )
