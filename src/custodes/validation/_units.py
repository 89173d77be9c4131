"""What is scored and labelled, and which of it may fit a threshold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ._labels import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One scored thing: a transcript, an action of one, or a row of a table of scores.

    Attributes:
        key: identity, by which its draw is kept; unique among the units of one measurement, and
            made with `key_of`.
        score: in [0, 1], or None when the monitor gave none.
        violation: its label.
        cluster: units of one cluster are not independent.
        split: None for what neither fits a threshold nor tests a fitted one (a violation in a
            calibration cluster).
        groups: values of the grouping columns.
    """

    key: str
    score: float | None
    violation: bool
    cluster: str
    split: Split | None
    groups: Mapping[str, str] = field(default_factory=dict)


def key_of(kind: str, name: str) -> str:
    """The key of a unit. No table can name a cluster so, and the two are compared."""
    return f"\0{kind} {name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPlan:
    """Which clusters fit thresholds and which test them.

    Attributes:
        by_cluster: calibration or test.
        share: of the benign clusters that calibrate, as asked; None when the labels say it.
        seed: of the draw.
    """

    by_cluster: Mapping[str, Split]
    share: float | None
    seed: int

    def of(self, cluster: str, violation: bool) -> Split | None:
        """The split of a unit; None for a violation in a calibration cluster: it is set aside."""
        split = self.by_cluster[cluster]
        return None if violation and split is Split.CALIBRATION else split


def draw_split(
    clusters: Iterable[tuple[str, str, bool]], *, share: float, seed: int
) -> SplitPlan:
    """Split clusters at random, benign ones and mixed ones alike.

    The share is taken of the clusters with a benign run, since only benign runs calibrate; which
    of them is decided by a hash of seed and name, so that another run added changes the place of
    no more clusters than it must. Clusters without a benign run all test. A mixed cluster that
    calibrates does so with its benign runs, and its violations are set aside: choosing the
    purely benign ones would calibrate on other tasks than those that test.

    Args:
        clusters: of every run its cluster, the name that this is drawn by, and whether the run is
            a violation.
        share: of the clusters with a benign run, above 0 and below 1.

    Raises:
        ValueError: for a share out of range.
    """
    if not 0 < share < 1:
        raise ValueError(f"expected a share above 0 and below 1, found {share}")
    benign: set[str] = set()
    drawn_by: dict[str, str] = {}
    for cluster, drawn_as, violation in clusters:
        drawn_by[cluster] = drawn_as
        if not violation:
            benign.add(cluster)
    order = sorted(benign, key=lambda name: (_hash(seed, drawn_by[name]), drawn_by[name]))
    # One cluster cannot both calibrate and test; with two or more each side has one.
    count = 0 if len(order) < 2 else min(max(round(share * len(order)), 1), len(order) - 1)
    chosen = frozenset(order[:count])
    by_cluster = {
        name: Split.CALIBRATION if name in chosen else Split.TEST for name in sorted(drawn_by)
    }
    return SplitPlan(by_cluster=by_cluster, share=share, seed=seed)


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()
