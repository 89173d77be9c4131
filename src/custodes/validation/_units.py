"""What is scored and labelled, and which of it may fit weights or a threshold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

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
        fit: clusters of the calibration split that fit weights, and nothing else, for a monitor
            that has weights to fit; for every other monitor they calibrate.
    """

    by_cluster: Mapping[str, Split]
    share: float | None
    seed: int
    fit: frozenset[str] = frozenset()

    def of(self, cluster: str, violation: bool) -> Split | None:
        """The split of a unit; None for a violation in a calibration cluster: it is set aside."""
        split = self.by_cluster[cluster]
        return None if violation and split is Split.CALIBRATION else split


def draw_split(
    clusters: Iterable[tuple[str, str, bool]], *, share: float, seed: int, fitting: bool = False
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
        fitting: whether weights are to be fitted, which takes violations: then half the share of
            the clusters without a benign run are of the calibration split as well.

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
    order = sorted(benign, key=lambda name: _place(seed, drawn_by[name]))
    # One cluster cannot both calibrate and test; with two or more each side has one.
    chosen = frozenset(order[: _part_of(len(order), share)])
    if fitting:
        # A half, because the other half of the split calibrates, which no violation can.
        rest = sorted(drawn_by.keys() - benign, key=lambda name: _place(seed, drawn_by[name]))
        chosen |= frozenset(rest[: _part_of(len(rest), share / 2)])
    by_cluster = {
        name: Split.CALIBRATION if name in chosen else Split.TEST for name in sorted(drawn_by)
    }
    return SplitPlan(by_cluster=by_cluster, share=share, seed=seed)


def with_fit(split: SplitPlan, clusters: Iterable[tuple[str, str, bool]]) -> SplitPlan:
    """The same split with its calibration clusters divided: some fit weights, the rest calibrate.

    Half of the clusters with a benign run fit (the smaller half), with all their runs: which is
    decided by a second hash of seed and name and by no label, so that those that calibrate stay
    exchangeable with those that test, whatever is fitted. Clusters without a benign run cannot
    calibrate, and all fit.

    Args:
        clusters: as for `draw_split`.
    """
    drawn_by: dict[str, str] = {}
    benign: set[str] = set()
    for cluster, drawn_as, violation in clusters:
        if split.by_cluster[cluster] is Split.CALIBRATION:
            drawn_by[cluster] = drawn_as
            if not violation:
                benign.add(cluster)
    order = sorted(benign, key=lambda name: _place(split.seed, drawn_by[name], "fit "))
    return replace(split, fit=frozenset(order[: len(order) // 2]) | (drawn_by.keys() - benign))


def _part_of(number: int, share: float) -> int:
    return 0 if number < 2 else min(max(round(share * number), 1), number - 1)


def _place(seed: int, name: str, purpose: str = "") -> tuple[str, str]:
    return _hash(seed, purpose + name), name


def _hash(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\n{name}".encode("utf-8", "surrogatepass")).hexdigest()
