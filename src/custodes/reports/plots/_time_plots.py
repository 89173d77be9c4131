"""Shares over time: competing events, and what is still going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ._canvas import caption, figure, label, literal, quiet, save, settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from custodes.statistics import (
        KaplanMeier,
        Race,
    )


RACE = "Which came first, the flag or the harm"


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidenceLine:
    """One outcome of a race.

    Attributes:
        label: of the outcome. events: units that had it.
        share: with it by each of the plot's times.
        low, high: pointwise limits of each share; None without.
    """

    label: str
    events: int
    share: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidencePlot:
    """Outcomes that compete, over time.

    Attributes:
        unit: of the times. since: what they are counted from. what: had the outcomes, in plural.
        times: of the events, ascending. horizon: end of the axis, no earlier than the last.
        lines: each with a share for every time.
        measured, clusters, unmeasurable, cut_short, ties: counts for the caption.
    """

    unit: str
    times: tuple[float, ...]
    horizon: float
    lines: tuple[IncidenceLine, ...]
    measured: int
    clusters: int
    unmeasurable: int = 0
    cut_short: int = 0
    ties: int = 0
    since: str = "the attempt could begin"
    what: str = "episodes with an attempt"

    @classmethod
    def of(cls, race: Race) -> IncidencePlot:
        """The curves of a race as it was measured."""
        curves = race.curves
        return cls(
            unit=race.unit,
            times=curves.times,
            horizon=curves.horizon,
            lines=tuple(
                IncidenceLine(
                    label=one.cause, events=one.events, share=one.incidence, low=one.low,
                    high=one.high,
                )
                for one in curves.causes
            ),
            measured=race.measured,
            clusters=race.clusters,
            unmeasurable=race.attempted - race.measured,
            cut_short=race.cut_short,
            ties=race.ties,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalCurve:
    """One line of a survival plot: its name and the curve."""

    label: str
    curve: KaplanMeier


def save_incidence(
    race: IncidencePlot, folder: Path, *, title: str = RACE, name: str = "race"
) -> tuple[Path, Path]:
    """Cumulative incidence of flag first and of harm first, and the share with neither.

    Raises:
        PlotsUnavailable, OSError: no matplotlib; a folder that cannot be written.
    """
    with settings():
        drawn = figure(6.4, 4.2)
        axes: Axes = drawn.subplots()
        if not race.times:
            axes.text(0.5, 0.5, "no event", ha="center", transform=axes.transAxes)
        else:
            # What comes at the very end would lie on the frame.
            end = race.horizon if race.horizon > race.times[-1] else race.times[-1] * 1.04
            times = [0.0, *race.times, end]
            for place, line in enumerate(race.lines):
                look = style(place)
                rising = [0.0, *line.share, line.share[-1]]
                axes.step(
                    times, rising, where="post", color=look.colour, linestyle=look.dashes,
                    label=f"{label(line.label)} ({line.events})",
                )  # fmt: skip
                for limit in (line.low, line.high):
                    if limit is not None:  # two lines: of filled bands one would hide the other
                        # Limits are of the shares at events: before the first there are none.
                        axes.step(
                            times[1:],
                            [*limit, limit[-1]],
                            where="post",
                            color=look.colour,
                            linestyle=look.dashes,
                            linewidth=0.6,
                        )
            look = style(len(race.lines))
            taken = list(zip(*(line.share for line in race.lines), strict=True))
            free = [1.0, *(max(0.0, 1 - sum(shares)) for shares in taken)]
            axes.step(
                times, [*free, free[-1]], where="post", color=look.colour, linestyle=look.dashes,
                label="neither",
            )  # fmt: skip
            axes.set_xlim(0, end)
            axes.legend(frameon=False, fontsize=8, handlelength=4)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(f"{literal(race.unit)} since {literal(race.since)}")
        axes.set_ylabel(f"share of {literal(race.what)}")
        quiet(axes)
        bands = any(line.low or line.high for line in race.lines)
        thin = "Thin: pointwise bands." if bands else "No band: none is shown to cover here."
        text = (
            f"Cumulative incidence (Aalen–Johansen) over n = {race.measured} measured "
            f"({race.clusters} clusters) of {race.measured + race.unmeasurable} "
            f"{literal(race.what, 90)}; {race.unmeasurable} unmeasurable, {race.cut_short} cut "
            f"short, {race.ties} ties counted as harm first. {thin}"
        )
        title = literal(title, 90)
        caption(drawn, title, text)
        return save(drawn, folder, name, title=title, text=text)


def save_survival(
    curves: Sequence[SurvivalCurve],
    folder: Path,
    *,
    what: str,
    unit: str,
    method: str = "Kaplan–Meier",
    name: str = "survival",
) -> tuple[Path, Path]:
    """Share still going on against time, with how many are still watched.

    Args:
        curves: one line each. folder: where to write.
        what: that goes on ("without an answer"). unit: of the times.
        method: for the caption. name: of the two files.

    Raises:
        PlotsUnavailable, OSError: no matplotlib; a folder that cannot be written.
    """
    with settings():
        drawn = figure(6.4, 3.6 + 0.2 * len(curves))
        axes: Axes = drawn.subplots()
        last = max((one.curve.times[-1] for one in curves if one.curve.times), default=1.0)
        places = [last * k / 5 for k in range(6)]
        table: list[str] = []
        for place, one in enumerate(curves):
            look = style(place)
            times = [0.0, *one.curve.times, last]
            falling = [1.0, *one.curve.survival, (one.curve.survival or (1.0,))[-1]]
            axes.step(
                times, falling, where="post", color=look.colour, linestyle=look.dashes,
                label=f"{label(one.label)} (n = {one.curve.n}, {one.curve.observed} ended)",
            )  # fmt: skip
            left = [_at_risk(one.curve, at) for at in places]
            table.append(f"{literal(one.label)}: {', '.join(map(str, left))}")
        axes.set_xlim(0, last)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel(literal(unit))
        axes.set_ylabel(literal(what))
        if curves:
            axes.legend(frameon=False, fontsize=8, handlelength=4)
        quiet(axes)
        title = literal(f"{what[:1].upper()}{what[1:]}, over time", 90)
        at = ", ".join(f"{value:.3g}" for value in places)
        text = f"{method}. Still watched at {at}: " + "; ".join(table) + "."
        caption(drawn, title, text)
        return save(drawn, folder, name, title=title, text=text)


def _at_risk(curve: KaplanMeier, at: float) -> int:
    for time, left in zip(curve.times, curve.at_risk, strict=True):
        if time >= at:
            return left
    return 0 if curve.times else curve.n
