"""Survival curves of a drill, as plain drawing instructions for the page.

One panel for each mechanism and each time, one line for each adversary: the share of runs in which
the thing was still going on, against the milliseconds since the order. Runs in which it never ended
keep the line above zero; runs that show nothing are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from custodes.statistics import kaplan_meier
from custodes.types import JsonObject, JsonValue

WIDTH: Final = 300
HEIGHT: Final = 120
_LEFT: Final = 30
_BOTTOM: Final = 18
_TOP: Final = 6
_RIGHT: Final = 8
_FIRST_MS: Final = 0.1
"""Left end of the scale: what ended sooner, or before the order, begins here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One adversary: the drawing's path, and whether something never ended."""

    adversary: str
    path: str
    never_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis: its place in the drawing and its words."""

    at: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalPlot:
    """One panel.

    Attributes:
        runs: how many runs are drawn, over all adversaries.
        worst: adversaries with runs in which it never ended, most first.
    """

    mechanism: str
    control: bool
    what: str
    runs: int
    lines: tuple[Line, ...]
    worst: tuple[str, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT


def survival_plots(cells: Iterable[JsonObject]) -> tuple[SurvivalPlot, ...]:
    """Panels for the cells of a drill that show something, mechanism by mechanism."""
    by_mechanism: dict[str, list[JsonObject]] = {}
    for cell in cells:
        if cell["status"] not in ("untested", "not_applicable"):
            by_mechanism.setdefault(str(cell["mechanism"]), []).append(cell)
    found = []
    for mechanism, mine in by_mechanism.items():
        for field, what in (
            ("last_side_effect_ms", "side effects went on"),
            ("last_process_gone_ms", "a process was left"),
        ):
            plot = _plot(mechanism, what, [(str(c["adversary"]), c, c[field]) for c in mine])
            if plot is not None:
                found.append(plot)
    return tuple(found)


def _plot(
    mechanism: str, what: str, cells: Sequence[tuple[str, JsonObject, JsonValue]]
) -> SurvivalPlot | None:
    drawn: list[tuple[str, list[float], int]] = []
    for adversary, cell, times in cells:
        if not isinstance(times, Mapping) or not isinstance(times.get("us"), (list, tuple)):
            continue
        us = times["us"]
        assert isinstance(us, (list, tuple))
        ended = [value / 1000 for value in us if isinstance(value, (int, float))]
        survivors = cell["survivors"] or 0
        assert isinstance(survivors, int)
        if ended or survivors:
            drawn.append((adversary, ended, survivors))
    if not drawn:
        return None
    longest = max((max(ended, default=0.0) for _, ended, _ in drawn), default=0.0)
    decades = max(2, math.ceil(math.log10(max(longest, 1.0) / _FIRST_MS) + 0.05))

    def x(ms: float) -> float:
        share = math.log10(max(ms, _FIRST_MS) / _FIRST_MS) / decades
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def y(share: float) -> float:
        return round(_TOP + (1.0 - share) * (HEIGHT - _TOP - _BOTTOM), 1)

    lines = []
    for adversary, ended, never in drawn:
        last = max([*ended, _FIRST_MS * 10**decades])
        curve = kaplan_meier([*ended, *[last] * never], [True] * len(ended) + [False] * never)
        path = f"M{x(0)} {y(1)}"
        for time, share in zip(curve.times, curve.survival, strict=True):
            path += f"H{x(time)}V{y(share)}"
        if never:
            path += f"H{x(last)}"
        lines.append(Line(adversary=adversary, path=path, never_ended=bool(never)))
    return SurvivalPlot(
        mechanism=mechanism,
        control=all(cell["status"] == "control" for _, cell, _ in cells),
        what=what,
        runs=sum(len(ended) + never for _, ended, never in drawn),
        lines=tuple(lines),
        worst=tuple(
            adversary for adversary, _, never in sorted(drawn, key=lambda one: -one[2]) if never
        ),
        across=tuple(
            Tick(at=x(_FIRST_MS * 10**power), words=f"{_FIRST_MS * 10**power:g}")
            for power in range(decades + 1)
        ),
        up=tuple(
            Tick(at=y(share), words=words) for share, words in ((0, "0"), (0.5, "½"), (1, "1"))
        ),
    )
