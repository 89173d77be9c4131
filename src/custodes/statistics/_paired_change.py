"""What changed between two settings: one yes-or-no question, asked of both sides of each pair."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from custodes.types import Estimate

from ._checks import checked_count, checked_level, joined, listed
from ._equivalence import equivalence
from ._paired import paired_difference
from ._proportion import INSTRUMENT_CHECK, NOTHING_MEASURED, minimum_detectable

LEAST_CHANGE_CLUSTERS = 2
MOST_CHANGE_CLUSTERS = 200
"""Clusters between which coverage was shown by simulation (docs/statistics.md)."""
SHOWN_LEVEL = 0.95
_METHOD = "mean change over clusters, Gaffke's bound from either side"
_NEAR = 1e-12

Pair = tuple[bool | None, bool | None]
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedChange:
    """The table of pairs, and the change of the rate of yes from A to B.

    Attributes:
        both_yes, only_a, only_b, both_no: pairs with both sides measured.
        unknown_a, unknown_b, unknown_both: pairs in which that side could not be measured.
        estimate: rate of yes in B minus that in A, each cluster counting once; in [-1, 1].
        lowest, highest: the same over every pair, each unmeasurable side taken so that the
            change is as low, or as high, as it could have been.
        p_value: of the two-sided sign-flip test over clusters: the exact McNemar test with one
            pair a cluster. None for scripts, without a measured pair, and with one cluster.
        detectable: had more than this share of clusters changed, at least one change would have
            shown with the probability ``level``. 1 without a measured pair.
    """

    both_yes: int
    only_a: int
    only_b: int
    both_no: int
    unknown_a: int
    unknown_b: int
    unknown_both: int
    estimate: Estimate
    lowest: Estimate
    highest: Estimate
    p_value: float | None
    detectable: float

    @property
    def measured(self) -> int:
        """Pairs with both sides measured."""
        return self.both_yes + self.only_a + self.only_b + self.both_no

    @property
    def unmeasurable(self) -> int:
        """Pairs with a side that could not be measured."""
        return self.unknown_a + self.unknown_b + self.unknown_both

    @property
    def changed(self) -> int:
        """Measured pairs whose sides differ."""
        return self.only_a + self.only_b


def paired_change(
    pairs: Mapping[K, Sequence[Pair]],
    *,
    level: float = 0.95,
    deterministic_subject: bool = False,
    cluster: str = "cluster",
    random_seed: int = 0,
) -> PairedChange:
    """Compare the answers of two settings that met the same things.

    The change of a cluster is its share of yes in B minus that in A over its measured pairs, and
    the value is the mean over clusters: a cluster with many pairs counts as one with few, since
    pairs of one cluster may all tell the same. The interval holds every change that neither
    one-sided test with Gaffke's bound rejects at (1 - level) / 2. It assumes that clusters are
    independent, and of their changes only that they lie in [-1, 1]; within a cluster anything may
    be correlated. n clusters without any change give +-(1 - 0.025^(1/n)), never 0.

    An interval is given from 2 to 200 clusters at 0.95, where its coverage was shown
    (docs/statistics.md); one cluster says nothing about how clusters vary.

    Args:
        pairs: by cluster, the answers (A, B) of each of its pairs; None is unmeasurable.
        level: coverage.
        deterministic_subject: a script on either side: a count, without interval and test.
        cluster: what a cluster is, in the notes, such as "seed".
        random_seed: of the drawn sign flips.

    Raises:
        TypeError, ValueError: pairs that are no mapping of pairs of True, False or None.

    Sources: Gaffke 2005; McNemar 1947.
    """
    level = checked_level(level)
    random_seed = checked_count(random_seed, "random_seed")
    checked = _checked(pairs)
    every = [pair for found in checked.values() for pair in found]

    def count(a: bool | None, b: bool | None) -> int:
        return sum(pair == (a, b) for pair in every)

    known = [[(a, b) for a, b in found if None not in (a, b)] for found in checked.values()]
    measured = [_change(found) for found in known if found]
    unknown = sum(None in pair for pair in every)

    def over(changes: list[float], n: int, note: str | None, missing: int) -> Estimate:
        return _estimate(
            tuple(sorted(changes)), n, level, deterministic_subject, cluster, note, missing
        )

    def filled(a: bool, word: str) -> Estimate:
        note = f"{unknown} unmeasurable pairs counted {word}" if unknown else None
        changes = [
            _change([(a if x is None else x, (not a) if y is None else y) for x, y in found])
            for found in checked.values()
            if found
        ]
        return over(changes, len(every), note, unknown)

    left_out = f"{unknown} of {len(every)} pairs not measured and not counted" if unknown else None
    p_value = None
    if len(measured) >= LEAST_CHANGE_CLUSTERS and not deterministic_subject:
        p_value = _p_value(tuple(sorted(measured)), random_seed)
    return PairedChange(
        both_yes=count(True, True),
        only_a=count(True, False),
        only_b=count(False, True),
        both_no=count(False, False),
        unknown_a=count(None, True) + count(None, False),
        unknown_b=count(True, None) + count(False, None),
        unknown_both=count(None, None),
        estimate=over(measured, len(every) - unknown, left_out, unknown),
        lowest=filled(True, "as falls"),
        highest=filled(False, "as rises"),
        p_value=p_value,
        detectable=minimum_detectable(len(measured), level),
    )


def _checked(pairs: object) -> dict[Hashable, tuple[Pair, ...]]:
    if not isinstance(pairs, Mapping):
        raise TypeError(f"expected pairs to map clusters to pairs, found {type(pairs).__name__}")
    checked: dict[Hashable, tuple[Pair, ...]] = {}
    for name, given in pairs.items():
        found = []
        for i, pair in enumerate(listed(given, f"pairs[{name!r}]")):
            if (
                not isinstance(pair, tuple)
                or len(pair) != 2
                or any(side is not None and not isinstance(side, bool) for side in pair)
            ):
                raise TypeError(
                    f"expected pairs[{name!r}][{i}] to be two of True, False and None, "
                    f"found {pair!r}"
                )
            found.append((pair[0], pair[1]))
        checked[name] = tuple(found)
    return checked


def _change(pairs: Sequence[Pair]) -> float:
    return sum(bool(b) - bool(a) for a, b in pairs) / len(pairs)


def _estimate(
    changes: tuple[float, ...],
    n: int,
    level: float,
    deterministic_subject: bool,
    cluster: str,
    note: str | None,
    missing: int,
) -> Estimate:
    clusters = len(changes)
    value = math.fsum(changes) / clusters if clusters else None
    low: float | None = None
    high: float | None = None
    why: str | None
    if not clusters:
        why = NOTHING_MEASURED
    elif deterministic_subject:
        why = INSTRUMENT_CHECK
    elif (why := _outside(clusters, level, cluster)) is None:
        low, high = _limits(changes, level)
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=level,
        n=n,
        clusters=clusters,
        missing=missing,
        method=_METHOD,
        note=joined(why, note),
    )


def _outside(clusters: int, level: float, cluster: str) -> str | None:
    """Why there is no interval, or None where its coverage was shown."""
    if clusters < LEAST_CHANGE_CLUSTERS:
        return f"no interval: one {cluster} does not show how much {cluster}s vary"
    if clusters > MOST_CHANGE_CLUSTERS:
        return (
            f"no interval: coverage was shown up to {MOST_CHANGE_CLUSTERS} {cluster}s, "
            f"and here are {clusters}"
        )
    if level != SHOWN_LEVEL:
        return f"no interval: coverage was shown at a level of {SHOWN_LEVEL:g}, not {level:g}"
    return None


# Most groups of a report are like another one: without a change, or the same few changes.
@lru_cache(maxsize=4096)
def _limits(changes: tuple[float, ...], level: float) -> tuple[float, float]:
    clusters = len(changes)
    value = math.fsum(changes) / clusters
    if not any(changes):
        # Then the bound is exactly (1 - x)^n.
        reach = minimum_detectable(clusters, (1 + level) / 2)
        return -reach, reach
    # The margin plays no part in the interval, which has the level 2 * 0.975 - 1.
    found = equivalence(
        [max(c, 0.0) for c in changes],
        [max(-c, 0.0) for c in changes],
        margin=0.5,
        level=(1 + level) / 2,
    ).estimate
    assert found.low is not None and found.high is not None
    # What the root finder leaves in the last places must not put an end at a value that is seen.
    low = min(found.low if found.low > -1 + _NEAR else -1.0, value)
    high = max(found.high if found.high < 1 - _NEAR else 1.0, value)
    return low, high


@lru_cache(maxsize=4096)
def _p_value(changes: tuple[float, ...], random_seed: int) -> float | None:
    return paired_difference(
        [max(c, 0.0) for c in changes],
        [max(-c, 0.0) for c in changes],
        random_seed=random_seed,
    ).p_value
