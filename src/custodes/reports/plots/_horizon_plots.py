"""Success against task length, and horizons over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ._canvas import caption, figure, literal, quiet, save, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from custodes.statistics import (
        HorizonFit,
        Trend,
    )


_LENGTHS = (
    (1 / 60_000, "1 ms"), (1 / 600, "0.1 s"), (1 / 60, "1 s"), (1 / 6, "10 s"), (1, "1 min"),
    (4, "4 min"), (15, "15 min"), (60, "1 h"), (240, "4 h"), (960, "16 h"), (3840, "64 h"),
    (15360, "256 h"), (61440, "1,024 h"),
)  # fmt: skip
_COLUMNS = 3
_GRID = 161


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
