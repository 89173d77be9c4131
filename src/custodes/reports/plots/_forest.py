"""Estimates below each other, with their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._canvas import caption, figure, literal, quiet, save, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
