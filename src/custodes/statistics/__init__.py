"""Estimates with intervals that cover, or with the reason why there is none.

Pure functions on plain numbers. scipy and numpy are loaded when a function needs them, not when
this package is imported.
"""

from ._clustered import CLUSTERED_REGIONS, Region, clustered_proportion
from ._paired import PairedDifference, holm, paired_difference
from ._proportion import (
    INSTRUMENT_CHECK,
    Method,
    MissingBounds,
    Sided,
    clusters_needed,
    deterministic,
    many_episodes,
    minimum_detectable,
    proportion,
    with_missing,
)
from ._time import KaplanMeier, kaplan_meier, median_interval

__all__ = [
    "CLUSTERED_REGIONS",
    "INSTRUMENT_CHECK",
    "KaplanMeier",
    "Method",
    "MissingBounds",
    "PairedDifference",
    "Region",
    "Sided",
    "clustered_proportion",
    "clusters_needed",
    "deterministic",
    "holm",
    "kaplan_meier",
    "many_episodes",
    "median_interval",
    "minimum_detectable",
    "paired_difference",
    "proportion",
    "with_missing",
]
