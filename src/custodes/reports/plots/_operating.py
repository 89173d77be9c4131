"""What a monitor catches, against what it flags for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._canvas import caption, figure, literal, quiet, save, settings, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
