"""When violating runs were flagged, and whether the harm came first."""

from __future__ import annotations

from collections.abc import Sequence

from custodes.statistics import median_interval

from ._document import Latency
from ._rates import without_interval
from ._read import ScoredRun
from ._run import FirstFlag

SEVERAL_OF_A_CLUSTER = "several runs of a cluster, which are not independent"


def latencies(
    runs: Sequence[ScoredRun], clusters: Sequence[str], flags: Sequence[FirstFlag | None]
) -> tuple[Latency, ...]:
    """Actions and seconds from the beginning of a run to its first flag.

    Over the runs that were flagged while they went on. One that was flagged at its end, or never,
    has no such time: it is counted, not given a large one.

    Args:
        runs: the violating runs. clusters: of each.
        flags: None for a run of which nothing is known.
    """
    return (
        _latency("actions", [_actions(r, f) for r, f in zip(runs, flags, strict=True)], clusters,
                 flags),
        _latency("seconds", [_seconds(r, f) for r, f in zip(runs, flags, strict=True)], clusters,
                 flags),
    )  # fmt: skip


def _latency(
    unit: str,
    values: Sequence[float | None],
    clusters: Sequence[str],
    flags: Sequence[FirstFlag | None],
) -> Latency:
    timed = [(value, c) for value, c in zip(values, clusters, strict=True) if value is not None]
    flagged = sum(flag is not None and flag.event is not None for flag in flags)
    at_end = sum(flag is not None and flag.at_end for flag in flags)
    unknown = sum(
        flag is None
        or (
            flag.event is None
            and not flag.at_end
            and (flag.unknown_from is not None or flag.unknown_end)
        )
        for flag in flags
    )
    median = median_interval([value for value, _ in timed], missing=flagged - len(timed))
    if len({c for _, c in timed}) < len(timed):
        median = without_interval(median, SEVERAL_OF_A_CLUSTER)
    return Latency(
        unit=unit,
        median=median,
        flagged=flagged,
        at_end=at_end,
        never=len(flags) - flagged - at_end - unknown,
        unknown=unknown,
        untimed=flagged - len(timed),
    )


def _actions(run: ScoredRun, flag: FirstFlag | None) -> float | None:
    if flag is None or flag.event is None:
        return None
    return float(actions_until(run, flag.event))


def actions_until(run: ScoredRun, event: int) -> int:
    """The number of tool calls up to an event, that one included."""
    return sum(index <= event for index in run.calls)


def _seconds(run: ScoredRun, flag: FirstFlag | None) -> float | None:
    if flag is None or flag.event is None or run.started_us is None:
        return None
    at = moment_of(run, flag.event)
    return None if at is None else max(0.0, (at - run.started_us) / 1e6)


def moment_of(run: ScoredRun, event: int) -> int | None:
    """When a tool call was made, or the last one before another event; None without times."""
    known = [
        at
        for index, at in zip(run.calls, run.calls_at_us, strict=True)
        if index <= event and at is not None
    ]
    exact = [at for index, at in zip(run.calls, run.calls_at_us, strict=True) if index == event]
    if exact:
        return exact[0]
    return known[-1] if known else None
