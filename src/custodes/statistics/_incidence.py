"""Cumulative incidence of competing events (Aalen-Johansen), some units cut short."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from custodes.types import Estimate

from ._by_cluster import checked_clusters, rate_over_clusters, without_interval
from ._checks import (
    checked_level,
    checked_missing,
    checked_numbers,
    joined,
    listed,
    missing_note,
    same_length,
)
from ._proportion import NOTHING_MEASURED
from ._time import checked_horizon

if TYPE_CHECKING:
    from ._aalen_johansen import Curve

EFFECTIVE = "Aalen-Johansen, Clopper-Pearson with the effective sample size"
BOTH_WAYS = "Aalen-Johansen, Clopper-Pearson with each unit cut short counted both ways"


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseIncidence:
    """One cause of several that compete.

    Attributes:
        cause: its name.
        events: units in which it came, by the horizon.
        incidence: share with it by each of the curve's times, a right-continuous step function.
        standard_error: of each share, Dinse and Larson's formula; None when units share clusters.
        low, high: pointwise limits, not a simultaneous band; None where coverage was not shown.
        estimate: the share by the horizon; None when the curve is not known that far.
        lowest, highest: the share had every unit cut short, and every missing one, been without
            and with this cause by the horizon. Nothing is assumed about why they were cut.
    """

    cause: str
    events: int
    incidence: tuple[float, ...]
    standard_error: tuple[float, ...] | None
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    estimate: Estimate | None
    lowest: Estimate
    highest: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class CumulativeIncidence:
    """The shares of units that had each of several competing events, over time.

    Attributes:
        times: distinct times of any event up to the horizon, ascending; before the first, every
            share is 0.
        at_risk: units still watched and without an event just before each time.
        event_free: share without any event just after each time; with the causes' shares, 1.
        causes: in the order of ``names``, then of first appearance.
        n: units watched. clusters: independent units behind them. cut_short: units whose watching
            ended before the horizon without an event.
        horizon: in the unit of the times.
        notes: what a reader must know.
    """

    times: tuple[float, ...]
    at_risk: tuple[int, ...]
    event_free: tuple[float, ...]
    causes: tuple[CauseIncidence, ...]
    n: int
    clusters: int
    cut_short: int
    horizon: float
    notes: tuple[str, ...]

    def of(self, cause: str) -> CauseIncidence:
        """The curve of one cause.

        Raises:
            KeyError: no such cause; give it in ``names`` if it may have no event.
        """
        for one in self.causes:
            if one.cause == cause:
                return one
        raise KeyError(f"expected a cause of {[c.cause for c in self.causes]}, found {cause!r}")


def cumulative_incidence(
    times: Iterable[float],
    causes: Iterable[str | None],
    *,
    horizon: float,
    names: Sequence[str] = (),
    clusters: Iterable[Hashable] | None = None,
    level: float = 0.95,
    missing: int = 0,
    scripted: bool = False,
) -> CumulativeIncidence:
    """Aalen-Johansen's estimate of the share with each competing event by each time.

    F_k(t) = sum over event times s <= t of S(s-) d_k(s) / n(s), with S the Kaplan-Meier curve of
    any event. Its variance is the delta method's (Dinse and Larson 1986), which is F(1 - F)/n when
    nothing is cut short. An event at the time of a cut counts the cut unit as at risk. An event
    after the horizon is none by then. Being cut short must say nothing about what would have come;
    a competing event is a cause, never a cut.

    The interval by the horizon is the first of these that holds:

    - nothing cut short before it: the share is a plain rate, `proportion` or, with clusters,
      `clustered_proportion`;
    - independent units, at 0.95, up to 1,000 of them, with 20 or more not cut short, of which 5
      or more have the cause and 5 or more have not: Clopper-Pearson limits with the effective
      sample size F(1 - F) / variance, at most the units that were not cut short;
    - otherwise, the lower limit of the rate in which the units cut short are without the cause
      and the upper limit of that in which they have it. Always conservative, also when a cut is
      not independent of the outcome. With clusters, each is one trial; it needs two of them.

    The usual log(-log) limits cover as little as 77 % at 25 units and 87 % at 50, and are not
    defined without an event (docs/statistics.md).

    With clusters, each cluster counts once (a unit weighs 1 / units of its cluster), so that
    without cuts the share by the horizon is the mean over clusters of their rates.

    Args:
        times: time of the first event or of the cut, one unit, none negative.
        causes: the event's name, or None for a unit cut short.
        horizon: when the shares are read, chosen before looking; positive.
        names: causes to list, also those without any event.
        clusters: each unit's cluster (its seed); None when units are independent.
        level: coverage, from 0.8 to below 1.
        missing: units that should have been watched and were not. With clusters, give such a
            unit as cut short at time 0 in its cluster instead.
        scripted: True for a scripted subject: no interval, since its runs are no sample.

    Raises:
        TypeError, ValueError: a bad time, cause, name, cluster, horizon or level; unequal lengths.

    Sources: Aalen and Johansen 1978; Dinse and Larson 1986; Korn and Graubard 1998.
    """
    durations = checked_numbers(times, "times", low=0.0)
    kinds = _checked_causes(causes)
    same_length(durations, kinds, "times and causes")
    groups = checked_clusters(clusters, len(durations))
    level = checked_level(level)
    missing = checked_missing(missing)
    horizon = checked_horizon(horizon)
    if missing and groups is not None:
        raise ValueError(
            "expected missing=0 with clusters: give a unit that was not watched as cut short at "
            f"time 0 in its cluster, found missing={missing}"
        )
    listed = tuple(dict.fromkeys((*_checked_names(names), *(k for k in kinds if k is not None))))
    watch = _watched(durations, kinds, groups, horizon, level, missing, scripted)

    number = {name: i for i, name in enumerate(listed)}
    from ._aalen_johansen import curves

    found = curves(
        durations,
        [-1 if kind is None else number[kind] for kind in kinds],
        watch.weights,
        count=len(listed),
        horizon=horizon,
        units=watch.units,
        independent=groups is None,
        level=level,
    )
    cut_short = sum(watch.cut)
    notes: list[str] = []
    if not durations:
        notes.append(NOTHING_MEASURED)
    if cut_short:
        notes.append(
            f"{cut_short} of {len(durations)} cut short before the horizon {horizon:g}; the "
            "estimate assumes that this says nothing about what would have come"
        )
    left = found.event_free[-1] if found.event_free else 1.0
    known = cut_short == 0 or max(durations) >= horizon or left < 1e-12
    if not known:
        notes.append(
            f"no estimate at the horizon: nothing was watched beyond {max(durations):g}, short of "
            f"{horizon:g}"
        )
    return CumulativeIncidence(
        times=found.times,
        at_risk=found.at_risk,
        event_free=found.event_free,
        causes=tuple(
            _cause(name, curve, watch, known)
            for name, curve in zip(listed, found.causes, strict=True)
        ),
        n=len(durations),
        clusters=watch.units,
        cut_short=cut_short,
        horizon=horizon,
        notes=tuple(notes),
    )


def _checked_causes(causes: Iterable[str | None]) -> tuple[str | None, ...]:
    kinds = listed(causes, "causes")
    for i, kind in enumerate(kinds):
        if kind is not None and not isinstance(kind, str):
            raise TypeError(f"expected causes[{i}] to be a name or None, found {kind!r}")
        if kind == "":
            raise ValueError(f"expected causes[{i}] to be a name or None, found an empty one")
    return kinds


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    found = _checked_causes(names)
    if len(set(found)) != len(found):
        raise ValueError(f"expected names to be distinct, found {list(found)}")
    kept = tuple(name for name in found if name is not None)
    if len(kept) != len(found):
        raise TypeError("expected names of causes, found None")
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watch:
    """Units as watched.

    Attributes:
        cut: whether watching ended before the horizon without an event.
        weights: of each unit, by cluster.
        units: independent ones.
        shown: whether limits that count each cluster as one trial were shown to cover here.
    """

    times: tuple[float, ...]
    kinds: tuple[str | None, ...]
    clusters: tuple[Hashable, ...] | None
    horizon: float
    level: float
    missing: int
    scripted: bool
    cut: tuple[bool, ...]
    weights: tuple[float, ...]
    units: int
    shown: bool


def _watched(
    times: tuple[float, ...],
    kinds: tuple[str | None, ...],
    clusters: tuple[Hashable, ...] | None,
    horizon: float,
    level: float,
    missing: int,
    scripted: bool,
) -> _Watch:
    cut = tuple(kind is None and time < horizon for time, kind in zip(times, kinds, strict=True))
    weights, units, shown = (1.0,) * len(times), len(times), bool(times)
    if clusters is not None:
        sizes = Counter(clusters)
        weights, units = tuple(1 / sizes[cluster] for cluster in clusters), len(sizes)
        # The region of that method is written down in one place: ask there.
        shown = rate_over_clusters(cut, clusters, level=level).low is not None
    return _Watch(
        times=times,
        kinds=kinds,
        clusters=clusters,
        horizon=horizon,
        level=level,
        missing=missing,
        scripted=scripted,
        cut=cut,
        weights=weights,
        units=units,
        shown=shown,
    )


def _cause(name: str, curve: Curve, watch: _Watch, known: bool) -> CauseIncidence:
    having = tuple(
        kind == name and time <= watch.horizon
        for time, kind in zip(watch.times, watch.kinds, strict=True)
    )
    unknown = sum(watch.cut) + watch.missing

    def counted(as_having: bool) -> Estimate:
        flags = [a or (as_having and b) for a, b in zip(having, watch.cut, strict=True)]
        word = "with" if as_having else "without"
        rate = rate_over_clusters(
            flags + [as_having] * watch.missing,
            watch.clusters,
            level=watch.level,
            note=f"{unknown} cut short or missing counted as {word} it" if unknown else None,
            scripted=watch.scripted,
        )
        return replace(rate, missing=unknown)

    estimate = None
    if not any(watch.cut):
        estimate = rate_over_clusters(
            having,
            watch.clusters,
            level=watch.level,
            missing=watch.missing,
            scripted=watch.scripted,
        )
    elif known:
        estimate = _censored(curve, watch)
    banded = watch.shown and not watch.scripted
    return CauseIncidence(
        cause=name,
        events=sum(having),
        incidence=curve.share,
        standard_error=curve.error if watch.clusters is None else None,
        low=curve.low if banded else None,
        high=curve.high if banded else None,
        estimate=estimate,
        lowest=counted(False),
        highest=counted(True),
    )


def _censored(curve: Curve, watch: _Watch) -> Estimate:
    n = len(watch.times)
    why = None if watch.shown else "no interval: coverage was not shown for these clusters"
    estimate = Estimate(
        value=curve.value,
        low=curve.value_low if watch.shown else None,
        high=curve.value_high if watch.shown else None,
        level=watch.level,
        n=n,
        clusters=watch.units,
        missing=watch.missing,
        method=EFFECTIVE if curve.effective else BOTH_WAYS,
        note=joined(
            why,
            f"{sum(watch.cut)} of {n} cut short before the horizon",
            missing_note(watch.missing, n),
        ),
    )
    return without_interval(estimate) if watch.scripted else estimate
