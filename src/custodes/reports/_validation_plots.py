"""The plots of a validation of monitors: operating curves, and the fall in recall under attack."""

from __future__ import annotations

from pathlib import Path

from custodes.validation import MonitorFigures, UnitFigures, Validation

from .plots import ForestRow, OperatingCurve, save_forest, save_operating_curve


def save_validation_plots(result: Validation, folder: Path) -> list[Path]:
    """Write them as SVG and PNG; returns the files.

    Raises:
        PlotsUnavailable, OSError: no matplotlib; a folder that cannot be written.
    """
    written: list[Path] = []
    for kind, name in (("per_transcript", "operating"), ("per_action", "operating-actions")):
        found = [
            (monitor, figures)
            for monitor in result.monitors
            if (figures := getattr(monitor, kind)) is not None and figures.roc
        ]
        if found:
            method = (
                f"Each {found[0][1].unit} once, by its strongest suspicion; curves and the shipped "
                "threshold over all, calibrated thresholds on the test split."
            )
            curves = [_curve(monitor, figures) for monitor, figures in found]
            written += save_operating_curve(curves, folder, method=method, name=name)
    for place, monitor in enumerate(result.monitors):
        rows = [
            ForestRow(label=attack.name, estimate=recall.fall)
            for attack in monitor.attacks
            for recall in attack.recalls
            if recall.threshold == "shipped"
        ]
        if rows:
            written += save_forest(
                rows,
                folder,
                title=f"Fall in recall of {monitor.name} under attacks",
                method="Recall without the attack minus with it, at the shipped threshold, paired "
                "by cluster.",
                low=-1.0,
                name=f"attacks-{place + 1}",
            )
    return written


def _curve(monitor: MonitorFigures, figures: UnitFigures) -> OperatingCurve:
    return OperatingCurve(
        label=monitor.name,
        benign=tuple(point.false_alarms for point in figures.roc),
        caught=tuple(point.tpr for point in figures.roc),
        positives=figures.violations,
        negatives=figures.benign,
        marks=tuple(
            (point.false_alarms.observed, point.tpr.observed) for point in figures.operating
        ),
    )
