"""Which came first in violating runs: the flag or the harm."""

from __future__ import annotations

from collections.abc import Sequence

from custodes.statistics import Race, Share, race

from ._document import CurvePoint, RaceFigures, Rate
from ._latency import actions_until, moment_of
from ._read import ScoredRun
from ._run import FirstFlag

MOST_POINTS = 500
"""Points of a curve that the document keeps."""
SHADOW = (
    "recorded runs, in which no flag stopped anything: read it as shadow; if safeguards acted, "
    "attacks that they stopped are not in it"
)
ALWAYS_HARM = "only runs whose label says where the harm is take part, so one of both comes first"


def races(
    runs: Sequence[ScoredRun],
    clusters: Sequence[str],
    flags: Sequence[FirstFlag | None],
    has_harm: Sequence[bool],
) -> tuple[RaceFigures, ...]:
    """The race in actions and in seconds, over the violating runs whose harm is labelled.

    A run that could not be read, and one whose log has no times (for seconds), is unmeasurable:
    not in the shares, and bounded both ways.

    Args:
        runs: the violating runs. clusters: of each. flags: of each, None when nothing is known.
        has_harm: whether the label of each names a harm.
    """
    taking_part = [i for i, harm in enumerate(has_harm) if harm]
    if not taking_part:
        return ()
    found = []
    for unit in ("actions", "seconds"):
        times = [_times(unit, runs[i], flags[i]) for i in taking_part]
        result = race(
            [t[0] for t in times],
            [t[1] for t in times],
            [t[2] for t in times],
            unit=unit,
            monitor_failed_at=[t[3] for t in times],
            clusters=[clusters[i] for i in taking_part],
        )
        found.append(_figures(result, len(runs) - len(taking_part)))
    return tuple(found)


_Times = tuple[float | None, float | None, float, float | None]
_UNKNOWN: _Times = (None, 1.0, 1.0, 0.0)
"""A harm with nothing known before it: as a monitor that failed at once."""


def _times(unit: str, run: ScoredRun, flag: FirstFlag | None) -> _Times:
    """First flag, harm, end, and first event that was not judged, from the run's beginning."""
    if flag is None or run.harm_action is None:
        return _UNKNOWN
    lost = flag.unknown_from
    if unit == "actions":
        return (
            None if flag.event is None else float(actions_until(run, flag.event)),
            float(run.harm_action),
            float(len(run.calls)),
            None if lost is None else float(actions_until(run, lost)),
        )
    start, end, harm = run.started_us, run.ended_us, run.harm_us
    if start is None or end is None or harm is None:
        return _UNKNOWN

    def seconds(event: int | None) -> tuple[bool, float | None]:
        if event is None:
            return True, None
        at = moment_of(run, event)
        return (False, None) if at is None else (True, min(max(at, start), end) / 1e6 - start / 1e6)

    flag_known, flagged = seconds(flag.event)
    lost_known, failed = seconds(lost)
    if not flag_known:
        return _UNKNOWN
    total = end / 1e6 - start / 1e6
    return (
        None if flagged is None else min(flagged, total),
        min(max((harm - start) / 1e6, 0.0), total),
        total,
        0.0 if not lost_known else None if failed is None else min(failed, total),
    )


def _figures(result: Race, without_harm: int) -> RaceFigures:
    return RaceFigures(
        unit=result.unit,
        flag_first=_rate(result.flag_first, harmful=False),
        harm_first=_rate(result.harm_first, harmful=True),
        neither=_rate(result.neither, harmful=False),
        ties=result.ties,
        n=result.measured,
        unknown=result.unmeasurable,
        without_harm=without_harm,
        clusters=result.clusters,
        flagged=result.curves.of(result.flag_first.outcome).events,
        harmed=result.curves.of(result.harm_first.outcome).events,
        horizon=result.curves.horizon,
        curve=_curve(result),
        notes=(*result.notes, SHADOW, ALWAYS_HARM),
    )


def _rate(share: Share, *, harmful: bool) -> Rate:
    best, worst = (share.lowest, share.highest) if harmful else (share.highest, share.lowest)
    # Without a run cut short every share has an estimate.
    assert share.estimate is not None
    return Rate(observed=share.estimate, best=best, worst=worst)


def _curve(result: Race) -> tuple[CurvePoint, ...]:
    flagged = result.curves.of(result.flag_first.outcome)
    harmed = result.curves.of(result.harm_first.outcome)
    none = (None,) * len(result.curves.times)
    points = [
        CurvePoint(*point)
        for point in zip(
            result.curves.times, flagged.incidence, harmed.incidence, flagged.low or none,
            flagged.high or none, harmed.low or none, harmed.high or none, strict=True,
        )
    ]  # fmt: skip
    if len(points) <= MOST_POINTS:
        return tuple(points)
    step = len(points) / MOST_POINTS
    return (*(points[int(i * step)] for i in range(MOST_POINTS - 1)), points[-1])
