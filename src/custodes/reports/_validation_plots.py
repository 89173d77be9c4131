"""The plots of a validation of monitors: operating curves, races, falls in recall under attack."""

from __future__ import annotations

from pathlib import Path

from custodes.validation import MonitorFigures, RaceFigures, UnitFigures, Validation

from .plots import (
    RACE,
    ForestRow,
    IncidenceLine,
    IncidencePlot,
    OperatingCurve,
    save_forest,
    save_incidence,
    save_operating_curve,
)

_RACES = {"actions": "race", "seconds": "race-seconds"}


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
        for race in monitor.race:
            # Of a race of which nothing is known there is no curve, and no flat one either.
            if race.n:
                written += save_incidence(
                    _incidence(race),
                    folder,
                    title=f"{RACE}: {monitor.name}",
                    name=f"{_RACES[race.unit]}-{place + 1}",
                )
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


def _incidence(race: RaceFigures) -> IncidencePlot:
    points = race.curve
    flag_low, flag_high, harm_low, harm_high = (
        _band([getattr(point, end) for point in points])
        for end in ("flag_low", "flag_high", "harm_low", "harm_high")
    )
    return IncidencePlot(
        unit=race.unit,
        since="the run began",
        what="violating runs with a labelled harm",
        times=tuple(point.at for point in points),
        horizon=race.horizon,
        lines=(
            IncidenceLine(
                label="flag first",
                events=race.flagged,
                share=tuple(point.flag_first for point in points),
                low=flag_low,
                high=flag_high,
            ),
            IncidenceLine(
                label="harm first",
                events=race.harmed,
                share=tuple(point.harm_first for point in points),
                low=harm_low,
                high=harm_high,
            ),
        ),
        measured=race.n,
        clusters=race.clusters,
        unmeasurable=race.unknown,
        ties=race.ties,
    )


def _band(ends: list[float | None]) -> tuple[float, ...] | None:
    known = tuple(end for end in ends if end is not None)
    return known if ends and len(known) == len(ends) else None


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
