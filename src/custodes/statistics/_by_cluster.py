"""Rates of yes-or-no answers of units that may share a cluster."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from custodes.types import Estimate

from ._checks import joined, listed
from ._clustered import clustered_proportion
from ._proportion import INSTRUMENT_CHECK, proportion


def checked_clusters(
    clusters: Iterable[Hashable] | None, n: int
) -> tuple[Hashable, ...] | None:
    """Return the clusters, None when each unit has its own; refuse what names none."""
    if clusters is None:
        return None
    found = listed(clusters, "clusters")
    if len(found) != n:
        raise ValueError(f"expected one cluster for each unit, found {len(found)} and {n}")
    for i, cluster in enumerate(found):
        try:
            hash(cluster)
        except TypeError:
            raise TypeError(f"expected clusters[{i}] to be hashable, found {cluster!r}") from None
        if cluster is None or cluster != cluster:
            raise ValueError(f"expected clusters[{i}] to name a cluster, found {cluster!r}")
    return found if len(set(found)) < n else None


def rate_over_clusters(
    flags: Sequence[bool],
    clusters: Sequence[Hashable] | None,
    *,
    level: float,
    missing: int = 0,
    note: str | None = None,
    scripted: bool = False,
) -> Estimate:
    """The rate of ``flags``, each cluster counting once, with what ``note`` adds."""
    if clusters is None:
        rate = proportion(sum(map(bool, flags)), len(flags), level=level, missing=missing)
    else:
        counts: dict[Hashable, list[int]] = {}
        for flag, cluster in zip(flags, clusters, strict=True):
            count = counts.setdefault(cluster, [0, 0])
            count[0] += bool(flag)
            count[1] += 1
        rate = clustered_proportion(
            [k for k, _ in counts.values()],
            [n for _, n in counts.values()],
            level=level,
            missing=missing,
        )
    rate = replace(rate, note=joined(note, rate.note))
    return without_interval(rate) if scripted else rate


def without_interval(estimate: Estimate) -> Estimate:
    """The estimate of a scripted subject: a count, without an interval."""
    return replace(estimate, low=None, high=None, note=joined(INSTRUMENT_CHECK, estimate.note))
