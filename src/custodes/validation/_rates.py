"""Shares over clusters, with what is missing bounded both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from custodes.statistics import MissingBounds, flag_rate
from custodes.types import Estimate

from ._document import Rate


def rate_of(flags: Sequence[bool | None], clusters: Sequence[str], *, harmful: bool) -> Rate:
    """The share of units with the event: the mean over clusters of each cluster's share.

    Args:
        flags: None where it is not known.
        clusters: of each unit.
        harmful: whether the event is the bad outcome: then a missing one is counted as the event
            in the worst case, and otherwise as its absence.
    """
    return as_rate(flag_rate(flags, clusters=clusters, harmful=harmful))


def as_rate(bounds: MissingBounds) -> Rate:
    return Rate(observed=bounds.observed, best=bounds.best, worst=bounds.worst)


def without_interval(estimate: Estimate, why: str) -> Estimate:
    """The same value without an interval whose conditions do not hold here."""
    note = f"no interval: {why}" + (f"; {estimate.note}" if estimate.note else "")
    return replace(estimate, low=None, high=None, note=note)
