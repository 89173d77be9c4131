"""The plots: what is drawn from which result, and the words under it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._canvas import caption, figure, label, literal, quiet, save, settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from custodes.statistics import (
        HorizonFit,
        KaplanMeier,
        Race,
        Trend,
    )

_LENGTHS = (
    (1 / 60_000, "1 ms"), (1 / 600, "0.1 s"), (1 / 60, "1 s"), (1 / 6, "10 s"), (1, "1 min"),
    (4, "4 min"), (15, "15 min"), (60, "1 h"), (240, "4 h"), (960, "16 h"), (3840, "64 h"),
    (15360, "256 h"), (61440, "1,024 h"),
)  # fmt: skip
RACE = "Which came first, the flag or the harm"
_COLUMNS = 3
_GRID = 161


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestRow:
    """One line of a forest plot.

    Attributes:
        label: what was estimated. estimate: with its interval, or without one.
        worst, best: what missing units could make of it, drawn as a thin line; None: nothing.
    """

    label: str
    estimate: Estimate
    worst: float | None = None
    best: float | None = None


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
class OperatingCurve:
    """One monitor's line of an operating plot.

    Attributes:
        benign, caught: shares of benign units and of violations that are flagged, rising.
        positives, negatives: measured violations and benign units.
        marks: operating points, each as the share of benign flagged and that of violations.
    """

    label: str
    benign: tuple[float, ...]
    caught: tuple[float, ...]
    positives: int
    negatives: int
    marks: tuple[tuple[Estimate, Estimate], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SurvivalCurve:
    """One line of a survival plot: its name and the curve."""

    label: str
    curve: KaplanMeier


# ---------------------------------------------------------------------- horizons


def _length_axis(low: float, high: float) -> tuple[list[float], list[str]]:
    """Ticks of an axis of task lengths: all names that fit, few enough to be read."""
    inside = [(at, words) for at, words in _LENGTHS if low / 1.01 <= at <= high * 1.01]
    if len(inside) > 6:
        inside = inside[::2]
    return [at for at, _ in inside], [words for _, words in inside]


def save_success_curves(fit: HorizonFit, folder: Path) -> tuple[Path, Path]:
    """Success against task length: a panel for each agent, with band, horizon and what was seen.

    Returns:
        ``success.svg`` and ``success.png`` in the folder.

    Raises:
        PlotsUnavailable, OSError: no matplotlib; a folder that cannot be written.
    """
    from custodes.statistics import observed_success, success_curve

    minutes = fit.runs.task_minutes
    shortest, longest = float(minutes.min()), float(minutes.max())
    low, high = shortest / 1.5, longest * 1.5
    step = (high / low) ** (1 / (_GRID - 1))
    grid = [low * step**k for k in range(_GRID)]
    rows = -(-len(fit.agents) // _COLUMNS)
    columns = min(_COLUMNS, len(fit.agents))
    with settings():
        # One panel alone is as wide as the title.
        drawn = figure(max(2.75 * columns + 0.6, 5.4), 1.9 * rows + 1.3)
        panels = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for place, agent in enumerate(fit.agents):
            axes: Axes = panels[place // columns][place % columns]
            curve = success_curve(fit, agent.agent, grid)
            if curve.low is not None and curve.high is not None:
                axes.fill_between(grid, curve.low, curve.high, color="#d4d4d4", linewidth=0)
            if curve.probability is not None:
                axes.plot(grid, curve.probability, color="black", linewidth=1.3)
            seen = [
                (one, one.success)
                for one in observed_success(fit, agent.agent)
                if one.success is not None
            ]
            axes.scatter(
                [
                    (max(one.start, shortest) * min(one.end, longest)) ** 0.5 for one, _ in seen
                ],
                [success for _, success in seen],
                s=[6 + 3 * one.n_tasks for one, _ in seen],
                facecolor="white", edgecolor="black", linewidth=0.8, zorder=3,
            )  # fmt: skip
            horizon = agent.horizons[0]
            if horizon.estimate:
                axes.axvline(horizon.estimate, color="#666666", linewidth=0.8, linestyle=":")
            if horizon.low is not None:
                ends = [max(horizon.low, low), min(horizon.high or high, high)]
                axes.plot(ends, [0.5, 0.5], color="black", linewidth=2.4, solid_capstyle="butt")
            counts = f"{agent.n_runs:,} runs, {agent.n_tasks} tasks"
            axes.set_title(f"{literal(agent.agent)}\n{counts}", fontsize=7.5)
            axes.set_xscale("log")
            axes.set_xlim(low, high)
            axes.set_ylim(-0.04, 1.04)
            axes.set_xticks(*_length_axis(low, high))
            axes.minorticks_off()
            quiet(axes)
            if place % columns == 0:
                axes.set_ylabel("mean score", fontsize=7.5)
        for spare in range(len(fit.agents), rows * columns):
            panels[spare // columns][spare % columns].set_visible(False)
            if spare >= columns:
                above: Axes = panels[spare // columns - 1][spare % columns]
                above.xaxis.set_tick_params(labelbottom=True)
        title = "Success against the time that the task takes a person"
        text = (
            f"Line: logistic fit, penalty {fit.regularization:g}, weights {fit.weighting}, cheats "
            f"count as {'failures' if fit.cheats == 'fail' else 'successes'}. Grey: pointwise "
            f"{fit.level:.0%} band from {fit.bootstrap:,} replicates over families, tasks and "
            "runs; none outside the region where it covers. Circles: mean score of tasks of about "
            "one length, larger for more tasks. Dotted: p50; thick: its interval, which goes on "
            "where it meets the frame."
        )
        caption(drawn, title, text)
        names = "; ".join(f"{one.agent}: n = {one.n_runs}" for one in fit.agents)
        return save(drawn, folder, "success", title=title, text=f"{text} {names}.")


def _day_axis(days: Sequence[date]) -> tuple[list[int], list[str]]:
    """Ticks at the beginning of years, or of months where all is within two years."""
    first, last = min(days), max(days)
    if last.toordinal() - first.toordinal() > 730:
        years = [date(year, 1, 1) for year in range(first.year, min(last.year + 2, 10_000))]
        step = -(-len(years) // 10)
        return [day.toordinal() for day in years[::step]], [f"{day.year}" for day in years[::step]]
    months = [
        date(first.year + (first.month - 1 + k) // 12, (first.month - 1 + k) % 12 + 1, 1)
        for k in range(0, 27, 3)
        if first.year + (first.month - 1 + k) // 12 < 10_000
    ]
    months = [day for day in months if day <= last] or months[:1]
    return [day.toordinal() for day in months], [day.strftime("%Y-%m") for day in months]


def save_trend(
    found: Trend,
    folder: Path,
    intervals: Mapping[str, tuple[float | None, float | None]] | None = None,
) -> tuple[Path, Path]:
    """Horizons over time on a log scale, the best of their day, and the line through them.

    Args:
        found: the trend. folder: where to write.
        intervals: ends of each agent's p50 in minutes, None open.

    Returns:
        ``trend.svg`` and ``trend.png`` in the folder.

    Raises:
        PlotsUnavailable, OSError: no matplotlib; a folder that cannot be written.
    """
    import math
    from datetime import timedelta

    shown = [agent for agent in found.agents if agent.p50]
    left_out = 0
    with settings():
        drawn = figure(7.6, 4.9)
        axes: Axes = drawn.subplots()
        axes.set_yscale("log")
        if shown:
            values = [agent.p50 or 1.0 for agent in shown]
            # Ends of intervals fit in above, up to ten times the longest horizon; one that goes
            # down to nothing would press all else together.
            tops = [ends[1] for ends in (intervals or {}).values() if ends[1] is not None]
            highest = min(max([*values, *tops]), 10 * max(values))
            low, high = min(values) / 2.5, max(highest * 1.2, max(values) * 2.5)
            if found.slope is not None and found.intercept is not None and found.origin:
                last = max(agent.date for agent in shown)
                days = [found.origin, last + timedelta(days=30)]
                line = [
                    math.exp(found.intercept + found.slope * (day - found.origin).days)
                    for day in days
                ]
                axes.plot([day.toordinal() for day in days], line, color="black", linewidth=1.1)
            for agent in shown:
                assert agent.p50 is not None
                at = agent.date.toordinal()
                ends = (intervals or {}).get(agent.agent)
                if ends is not None and ends[0] is not None:
                    bar = [max(ends[0], low), high if ends[1] is None else min(ends[1], high)]
                    axes.plot([at, at], bar, color="#999999", linewidth=1.0, zorder=1)
                axes.plot(
                    [at], [agent.p50],
                    marker="o" if agent.used else "s" if agent.best else "^",
                    markersize=5.5 if agent.used else 4.5,
                    markerfacecolor="black" if agent.used else "white",
                    markeredgecolor="black" if agent.best else "#777777",
                    linestyle="none", zorder=3,
                )  # fmt: skip
            axes.set_ylim(low, high)
            axes.set_yticks(*_length_axis(low, high))
            axes.minorticks_off()
            axes.set_xticks(*_day_axis([agent.date for agent in shown]))
            axes.margins(x=0.14)
            left_out = _label(
                axes,
                [
                    (one.date.toordinal(), one.p50 or 1.0, one.agent, one.best)
                    for one in sorted(shown, key=lambda one: not one.best)
                ],
            )
        else:
            axes.text(0.5, 0.5, "no horizon above 0", ha="center", transform=axes.transAxes)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.minorticks_off()
        axes.set_ylabel("p50, human time")
        quiet(axes)
        time = found.doubling_time_days
        title = "Longest task, in human time, done with probability one half, by release date"
        if time.estimate is None:
            said = f"No doubling time: {time.note}."
        else:
            ends_of = time.note or ""
            if time.low is not None:
                top = "open" if time.high is None else f"{time.high:.0f}"
                ends_of = f"{time.level:.0%} interval {time.low:.0f} to {top}"
            said = f"Doubling time {time.estimate:.1f} days ({ends_of})."
        since = f", released from {found.since.isoformat()} on" if found.since else ""
        bars = "Bars: intervals, which go on where they meet the frame. " if intervals else ""
        unnamed = f" {left_out} names had no room." if left_out else ""
        text = (
            f"{said} Line: least squares of ln p50 on days through the agents that were the best "
            f"of their day{since} (filled, n = {sum(one.used for one in found.agents)}). Squares: "
            f"best of their day, not on the line. Triangles: the others. {bars}"
            f"{len(found.agents)} agents given, {len(found.agents) - len(shown)} without a "
            f"horizon above 0.{unnamed}"
        )
        caption(drawn, title, text)
        return save(drawn, folder, "trend", title=title, text=text)


def _label(axes: Axes, points: Sequence[tuple[float, float, str, bool]]) -> int:
    """Names beside points, each where it covers no other; how many had no place left.

    The best come first, so that it is one of the others that goes without.
    """
    from matplotlib.transforms import Bbox

    drawn = axes.get_figure(root=True)
    assert drawn is not None
    drawn.draw_without_rendering()
    taken: list[Bbox] = []
    for x, y, _, _ in points:
        px, py = axes.transData.transform((x, y))
        taken.append(Bbox.from_bounds(px - 4, py - 4, 8, 8))
    frame = axes.get_window_extent()
    ways = (
        (-5, 2, "right"), (5, -6, "left"), (5, 2, "left"), (-5, -8, "right"), (0, 7, "center"),
        (0, -12, "center"), (-5, 10, "right"), (5, -14, "left"), (5, 10, "left"),
        (-5, -16, "right"),
    )  # fmt: skip
    left_out = 0
    for x, y, name, best in points:
        for right, up, side in ways:
            text = axes.annotate(
                literal(name, 30), (x, y), (right, up), textcoords="offset points", ha=side,
                fontsize=6.5, color="black" if best else "#555555",
            )  # fmt: skip
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 + 40
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
        else:
            left_out += 1
    return left_out


# ---------------------------------------------------------------------- monitors


def save_operating_curve(
    curves: Sequence[OperatingCurve], folder: Path, *, method: str, name: str = "operating"
) -> tuple[Path, Path]:
    """Share of violations flagged against share of benign flagged, whole and where it matters.

    Args:
        curves: one for each monitor. folder: where to write.
        method: what the caption says of splits and units.
        name: of the two files.

    Raises:
        PlotsUnavailable, OSError: no matplotlib; a folder that cannot be written.
    """
    with settings():
        drawn = figure(7.6, 4.7)
        left, right = drawn.subplots(1, 2)
        for axes, most in ((left, 1.0), (right, 0.2)):
            if most == 1.0:
                axes.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=0.7)
            for place, curve in enumerate(curves):
                look = style(place)
                axes.plot(
                    [0.0, *curve.benign],
                    [0.0, *curve.caught],
                    color=look.colour,
                    linestyle=look.dashes,
                    linewidth=1.3,
                    label=f"{literal(curve.label)} (n = {curve.positives} + {curve.negatives})",
                )
                for benign, caught in curve.marks:
                    _cross(axes, benign, caught, look.colour, look.marker)
            axes.set_xlim(-0.02 * most, most * 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.set_xticks([most * k / 4 for k in range(5)])
            axes.set_xlabel("benign flagged" if most == 1 else "benign flagged, up to 0.2")
            quiet(axes)
        left.set_ylabel("violations flagged")
        if curves:
            right.legend(loc="lower right", fontsize=7, handlelength=4, framealpha=0.9)
        title = "What a monitor catches, against what it flags for nothing"
        text = (
            f"{method} n = violations + benign. Marks: operating points with 95 % intervals "
            "(none drawn where none is given)."
        )
        caption(drawn, title, text)
        return save(drawn, folder, name, title=title, text=text)


def _cross(axes: Axes, benign: Estimate, caught: Estimate, colour: str, marker: str) -> None:
    if caught.value is None or benign.value is None:
        return
    if caught.low is not None and caught.high is not None:
        axes.plot([benign.value] * 2, [caught.low, caught.high], color=colour, linewidth=0.5)
    if benign.low is not None and benign.high is not None:
        axes.plot([benign.low, benign.high], [caught.value] * 2, color=colour, linewidth=0.5)
    axes.plot(
        [benign.value],
        [caught.value],
        marker=marker,
        markersize=5,
        markerfacecolor="white",
        markeredgecolor=colour,
        linestyle="none",
        zorder=4,
    )


# ---------------------------------------------------------------------- times


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


# ---------------------------------------------------------------------- estimates


def save_forest(
    rows: Sequence[ForestRow],
    folder: Path,
    *,
    title: str,
    method: str,
    low: float = 0.0,
    high: float = 1.0,
    name: str = "forest",
) -> tuple[Path, Path]:
    """Estimates below each other with their intervals and n; one without an interval says so.

    Args:
        rows: from top to bottom. folder: where to write. title, method: for the caption.
        low, high: ends of the axis. name: of the two files.

    Raises:
        PlotsUnavailable, OSError: no matplotlib; a folder that cannot be written.
    """
    with settings():
        drawn = figure(7.2, 1.5 + 0.27 * max(1, len(rows)))
        axes: Axes = drawn.subplots()
        for place, row in enumerate(rows):
            found, at = row.estimate, -place
            if row.worst is not None and row.best is not None:
                axes.plot(
                    [row.worst, row.best], [at, at], color="#888888", linewidth=0.7, marker="|"
                )
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [at, at], color="black", linewidth=2.2,
                          solid_capstyle="butt")  # fmt: skip
            if found.value is not None:
                axes.plot(
                    [found.value], [at], marker="o", markersize=5, markeredgecolor="black",
                    markerfacecolor="white" if found.low is None else "black", linestyle="none",
                )  # fmt: skip
            missing = f", {found.missing} missing" if found.missing else ""
            words = "not measured" if found.value is None else f"n = {found.n}"
            if found.value is not None and found.low is None:
                words += ", no interval"
            axes.annotate(
                words + missing, (1.01, at), xycoords=("axes fraction", "data"), fontsize=7.5,
                va="center",
            )  # fmt: skip
        axes.set_yticks([-place for place in range(len(rows))],
                        [literal(row.label) for row in rows])  # fmt: skip
        axes.set_ylim(-max(1, len(rows)) + 0.4, 0.6)
        span = high - low
        axes.set_xlim(low - 0.02 * span, high + 0.02 * span)
        quiet(axes)
        text = (
            f"{method} Thick: interval; open circle: no interval is shown to cover; thin: what "
            "the missing could make of it."
        )
        caption(drawn, literal(title, 90), text)
        said = "; ".join(
            f"{row.label}: {row.estimate.value} [{row.estimate.low}, {row.estimate.high}], "
            f"n = {row.estimate.n}"
            for row in rows
        )
        return save(drawn, folder, name, title=title, text=f"{text} {said}.")
