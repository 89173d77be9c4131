"""Plots as SVG and PNG: readable in greyscale, with n and method, the same bytes for one input.

Drawn with matplotlib (``custodes[plots]``), which is loaded when a plot is made and not before.
"""

from __future__ import annotations

from ._canvas import PlotsUnavailable
from ._forest import ForestRow, save_forest
from ._horizon_plots import save_success_curves, save_trend
from ._operating import OperatingCurve, save_operating_curve
from ._time_plots import (
    RACE,
    IncidenceLine,
    IncidencePlot,
    SurvivalCurve,
    save_incidence,
    save_survival,
)

__all__ = [
    "RACE",
    "ForestRow",
    "IncidenceLine",
    "IncidencePlot",
    "OperatingCurve",
    "PlotsUnavailable",
    "SurvivalCurve",
    "save_forest",
    "save_incidence",
    "save_operating_curve",
    "save_success_curves",
    "save_survival",
    "save_trend",
]
