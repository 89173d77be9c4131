"""Thresholds from benign runs whose false-alarm rate on new benign runs is the one asked for."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from custodes.types import JsonObject

from ._checks import checked_count, joined, missing_note, same_length
from ._realised import cut_ranks, realised_bound, realised_bound_without_ties
from ._runs import checked_clusters, checked_keys, checked_number, checked_scores

LEVEL = 0.95
DETERMINED_FROM = 10
_KEY_VERSION = b"custodes draw 1"

RULE = "flagged iff (#{benign > s} + U (1 + #{benign = s})) / (n + 1) <= fpr, U uniform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where a threshold flags whatever the draw, and where it never does.

    From ``never_below`` to ``certain_above``, both included, the draw decides.

    Attributes:
        certain_above: every score above it is flagged; None when no score is certain to be.
        never_below: no score below it is flagged; None when every score has a chance.
    """

    certain_above: float | None
    never_below: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A threshold from benign calibration runs; make one with `calibrate`.

    Attributes:
        fpr: the false-alarm rate asked for: exactly that of new benign runs, on average over
            calibrations and draws.
        scores: the scores ranked, rising; one for each independent unit.
        n: how many they are. clusters: units given, those without a measured run included.
        runs: runs measured. missing: runs without a score.
        seed: of the run drawn from each cluster and of the draws for the runs judged.
        cut: where the decision is certain and where the draw makes it.
        cut_low, cut_high: 95 % interval of the score that a share ``fpr`` of benign runs
            passes; both None unless ``determined``.
        if_missing_highest, if_missing_lowest: the cut, had every run without a score been
            scored 1, or 0.
        realised_high: with 95 % probability the false-alarm rate of this calibration, over all
            new benign runs, is at most this, whatever ties the scores have; None when n is 0.
        realised_high_without_ties: the same where two benign runs never score alike, exactly.
        determined: n * fpr is at least 10; below, another calibration would cut elsewhere.
        calibrated_clusters, calibrated_keys: of all runs given, to keep them out of the test;
            None when they were not given.
        note: what a reader must know to read the threshold.
    """

    fpr: float
    scores: tuple[float, ...]
    n: int
    clusters: int
    runs: int
    missing: int
    seed: int
    cut: Cut
    cut_low: float | None
    cut_high: float | None
    if_missing_highest: Cut
    if_missing_lowest: Cut
    realised_high: float | None
    realised_high_without_ties: float | None
    determined: bool
    calibrated_clusters: frozenset[Hashable] | None
    calibrated_keys: frozenset[str] | None
    note: str | None

    def chance(self, score: float | None) -> float | None:
        """Probability over the draw that ``score`` is flagged; None when it is missing.

        Raises:
            TypeError, ValueError: a score that is not a number in [0, 1].
        """
        if score is None:
            return None
        value = checked_number(score, "score", low=0.0, high=1.0)
        if self.n == 0:
            return None
        above, equal = self._rank(value)
        return min(1.0, max(0.0, (self._allowed() - above) / (1 + equal)))

    def flags(self, score: float | None, draw: float) -> bool | None:
        """Whether ``score`` is flagged; None when it is missing or nothing was calibrated on.

        Args:
            score: in [0, 1].
            draw: uniform in [0, 1), kept with the run: `draw_for` its key. A lower draw flags
                more, so a run flagged at one rate is flagged at every higher one.

        Raises:
            TypeError, ValueError: a score outside [0, 1], a draw outside [0, 1).
        """
        u = _checked_draw(draw, "draw")
        if score is None:
            return None
        value = checked_number(score, "score", low=0.0, high=1.0)
        if self.n == 0:
            return None
        above, equal = self._rank(value)
        left = self._allowed() - above
        return left > 0 and u * (1 + equal) <= left

    def flag_all(
        self, scores: Sequence[float | None], draws: Sequence[float]
    ) -> tuple[bool | None, ...]:
        """`flags` for each score with its draw.

        Raises:
            TypeError, ValueError: as `flags`; unequal lengths.
        """
        import numpy as np

        values = checked_scores(scores, "scores")
        us = tuple(_checked_draw(draw, f"draws[{i}]") for i, draw in enumerate(draws))
        same_length(values, us, "scores and draws")
        if self.n == 0:
            return (None,) * len(values)
        filled = np.array([0.0 if value is None else value for value in values])
        ranked = np.array(self.scores)
        right = np.searchsorted(ranked, filled, "right")
        equal = right - np.searchsorted(ranked, filled, "left")
        left = self._allowed() - (self.n - right)
        flagged = (left > 0) & (np.array(us) * (1 + equal) <= left)
        return tuple(
            None if value is None else flag
            for value, flag in zip(values, flagged.tolist(), strict=True)
        )

    def to_json(self) -> JsonObject:
        """What a document shows; the scores themselves are left out."""
        return {
            "rule": RULE,
            "fpr": self.fpr,
            "n": self.n,
            "clusters": self.clusters,
            "runs": self.runs,
            "missing": self.missing,
            "seed": self.seed,
            "certain_above": self.cut.certain_above,
            "never_below": self.cut.never_below,
            "cut_low": self.cut_low,
            "cut_high": self.cut_high,
            "if_missing_highest": {
                "certain_above": self.if_missing_highest.certain_above,
                "never_below": self.if_missing_highest.never_below,
            },
            "if_missing_lowest": {
                "certain_above": self.if_missing_lowest.certain_above,
                "never_below": self.if_missing_lowest.never_below,
            },
            "realised_high": self.realised_high,
            "realised_high_without_ties": self.realised_high_without_ties,
            "determined": self.determined,
            "note": self.note,
        }

    def _rank(self, score: float) -> tuple[int, int]:
        """Calibration scores above, and equal."""
        right = bisect_right(self.scores, score)
        return self.n - right, right - bisect_left(self.scores, score)

    def _allowed(self) -> float:
        return float(_share(self.fpr) * (self.n + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedThreshold:
    """A threshold that a monitor ships with: flagged iff the score is at least ``cut``.

    Nothing is known about its false-alarm rate until it is measured.
    """

    cut: float

    def __post_init__(self) -> None:
        checked_number(self.cut, "cut", low=0.0, high=1.0)

    def chance(self, score: float | None) -> float | None:
        """1 or 0; None when the score is missing."""
        flag = self.flags(score)
        return None if flag is None else float(flag)

    def flags(self, score: float | None, draw: float = 0.0) -> bool | None:
        """Whether ``score`` is flagged; None when it is missing. The draw changes nothing.

        Raises:
            TypeError, ValueError: a score outside [0, 1], a draw outside [0, 1).
        """
        _checked_draw(draw, "draw")
        if score is None:
            return None
        value = checked_number(score, "score", low=0.0, high=1.0)
        return value >= self.cut

    def flag_all(
        self, scores: Sequence[float | None], draws: Sequence[float] | None = None
    ) -> tuple[bool | None, ...]:
        """`flags` for each score.

        Raises:
            TypeError, ValueError: as `flags`; unequal lengths.
        """
        values = checked_scores(scores, "scores")
        if draws is not None:
            for i, draw in enumerate(draws):
                _checked_draw(draw, f"draws[{i}]")
            same_length(values, draws, "scores and draws")
        return tuple(None if value is None else value >= self.cut for value in values)


def fixed_threshold(cut: float) -> FixedThreshold:
    """The threshold that flags every score of at least ``cut``.

    Raises:
        TypeError, ValueError: a cut that is not a number in [0, 1].
    """
    return FixedThreshold(cut=cut)


def draw_for(seed: int, key: str, *, purpose: str = "flag") -> float:
    """The uniform draw in [0, 1) of one run: the same for ever, whatever other runs there are.

    The first 53 bits of SHA-256 over purpose, seed and key.

    Args:
        seed: chosen before looking, and kept with the results.
        key: names the run (or the action), uniquely.
        purpose: draws for different purposes are independent.

    Raises:
        TypeError, ValueError: a seed that is negative or not whole, an empty key or no text.
    """
    seed = checked_count(seed, "seed")
    texts: tuple[tuple[str, object], ...] = (("key", key), ("purpose", purpose))
    for name, text in texts:
        if not isinstance(text, str) or not text:
            raise TypeError(f"expected {name} to be text that is not empty, found {text!r}")
    parts = (_KEY_VERSION, purpose.encode(), str(seed).encode(), key.encode())
    # Each part with its length: no two lists of parts run together to the same bytes.
    digest = hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()
    return int(int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


def calibrate(
    scores: Sequence[float | None],
    *,
    fpr: float,
    clusters: Sequence[Hashable] | None = None,
    keys: Sequence[str] | None = None,
    seed: int = 0,
) -> Threshold:
    """A threshold with false-alarm rate ``fpr`` on new benign runs, from benign runs alone.

    A score s is flagged iff (#{s_i > s} + U (1 + #{s_i = s})) / (n + 1) <= fpr with U uniform.
    The left side is uniform for a new benign run, because each of the n + 1 runs is as likely
    to hold any rank: the rate is fpr exactly, at any n, for any distribution and any ties, on
    average over calibrations and draws. What one calibration has realised is bounded by
    ``realised_high``. Needs that the new run could have changed places with any of the n, such
    as a random split; drift and another mix of tasks break it.

    With several runs in a cluster (a seed, a task) they are not exchangeable with a run of a
    new cluster, and counting them all is wrong. One run of each cluster is drawn with ``seed``
    and kept: that is exact for a run drawn from a new cluster. The other runs are not used, also
    where the one drawn has no score: replacing it would favour clusters that are often missing.

    A missing score has no rank and is left out. The rate then holds for new benign runs that
    are measured, with no assumption about which ones are missing, since calibration and new
    runs are selected alike. ``if_missing_highest`` and ``if_missing_lowest`` show where the cut
    would be, had every missing run a score. Without any measured run nothing can be flagged:
    `Threshold.flags` then returns None.

    Args:
        scores: of benign runs, in [0, 1]; None where the monitor gave none.
        fpr: the false-alarm rate, between 0 and 1. Read as the decimal that it prints as.
        clusters: the independent unit of each run. None: each run is one.
        keys: the runs' names; with them the run drawn from a cluster does not depend on the
            order of the list.
        seed: of that choice; also to be used in `draw_for` the runs judged.

    Raises:
        TypeError, ValueError: no runs, a score that is not a number in [0, 1], an fpr outside
            (0, 1), unequal lengths, keys that are not unique.

    Source: smoothed conformal prediction, Vovk, Gammerman and Shafer 2005.
    """
    values = checked_scores(scores, "scores")
    if not values:
        raise ValueError("expected at least one benign run, found none")
    rate = checked_number(fpr, "fpr")
    if not 0 < rate < 1:
        raise ValueError(f"expected fpr between 0 and 1, found {rate}")
    seed = checked_count(seed, "seed")
    names = None if keys is None else checked_keys(keys, values, "keys")
    labels: Sequence[Hashable] | None = None
    if clusters is not None:
        labels = checked_clusters(clusters, values, "clusters")

    members: list[list[int]]
    if labels is None:
        members = [[i] for i in range(len(values))]
    else:
        by_cluster: dict[Hashable, list[int]] = {}
        for i, label in enumerate(labels):
            by_cluster.setdefault(label, []).append(i)
        members = list(by_cluster.values())
    ordered = [_in_drawn_order(runs, number, names, seed) for number, runs in enumerate(members)]
    ranked: list[float] = []
    highest: list[float] = []
    lowest: list[float] = []
    for runs in ordered:
        # The run is drawn before its score is looked at. Taking another when it has none would
        # weigh clusters otherwise than new measured runs do, and the rate would not hold.
        first = values[runs[0]]
        if first is not None:
            ranked.append(first)
        highest.append(1.0 if first is None else first)
        lowest.append(0.0 if first is None else first)
    ranked.sort()
    n = len(ranked)
    share = _share(rate)
    determined = share * n >= DETERMINED_FROM
    cut_low, cut_high = cut_limits(ranked, rate, 1 - LEVEL) if determined else (None, None)
    measured_runs = sum(1 for value in values if value is not None)
    return Threshold(
        fpr=rate,
        scores=tuple(ranked),
        n=n,
        clusters=len(members),
        runs=measured_runs,
        missing=len(values) - measured_runs,
        seed=seed,
        cut=_cut(ranked, share),
        cut_low=cut_low,
        cut_high=cut_high,
        if_missing_highest=_cut(sorted(highest), share),
        if_missing_lowest=_cut(sorted(lowest), share),
        realised_high=realised_bound(n, share, LEVEL) if n else None,
        realised_high_without_ties=realised_bound_without_ties(n, share, LEVEL) if n else None,
        determined=determined,
        calibrated_clusters=None if labels is None else frozenset(labels),
        calibrated_keys=None if names is None else frozenset(names),
        note=_note(n, rate, determined, measured_runs, len(values), len(members)),
    )


def cut_limits(ranked: Sequence[float], fpr: float, alpha: float) -> tuple[float, float]:
    """Interval of the score that a share ``fpr`` of benign runs passes, at level 1 - alpha.

    Order statistics, exact for any distribution: 0 or 1 where the sample has none far enough.
    """
    high_rank, low_rank = cut_ranks(len(ranked), fpr, alpha / 2)
    high = ranked[len(ranked) - high_rank] if high_rank >= 1 else 1.0
    low = ranked[len(ranked) - low_rank] if low_rank <= len(ranked) else 0.0
    return low, high


def _checked_draw(draw: float, name: str) -> float:
    if type(draw) is not float:
        draw = checked_number(draw, name)
    if not 0 <= draw < 1:
        raise ValueError(f"expected {name} from 0 to below 1, found {draw}")
    return draw


def _share(rate: float) -> Fraction:
    """The rate as the decimal that it prints as: 0.07 * 100 is then 7 and not a little more."""
    return Fraction(repr(rate))


def _in_drawn_order(
    runs: list[int], number: int, names: Sequence[str] | None, seed: int
) -> list[int]:
    if len(runs) == 1:
        return runs
    keyed = []
    for position, i in enumerate(runs):
        key = names[i] if names is not None else f"{number}/{position}"
        keyed.append((draw_for(seed, key, purpose="one run of a cluster"), i))
    return [i for _, i in sorted(keyed)]


def _cut(ranked: Sequence[float], share: Fraction) -> Cut:
    n = len(ranked)
    allowed = share * (n + 1)
    # Certain iff #{s_i >= s} <= allowed - 1; hopeless iff #{s_i > s} >= allowed.
    certain, never = math.floor(allowed), math.ceil(allowed)
    return Cut(
        certain_above=ranked[n - certain] if certain >= 1 and n else None,
        never_below=ranked[n - never] if never <= n else None,
    )


def _note(
    n: int,
    rate: float,
    determined: bool,
    measured: int,
    runs: int,
    clusters: int,
) -> str | None:
    if n == 0 and measured:
        return (
            f"no threshold: in none of {clusters} clusters has the run drawn a score, so nothing "
            "is flagged"
        )
    if n == 0:
        return f"no threshold: none of {runs} benign runs was measured, so nothing is flagged"
    share = _share(rate)
    short = unsettled = drawn = lost = None
    if share * (n + 1) < 1:
        least = math.ceil(1 / share) - 1
        short = (
            f"no score is flagged but by the draw: a rate of {rate:g} takes at least {least} "
            f"benign units, and here are {n}"
        )
    if not determined:
        unsettled = (
            f"not determined: n x fpr is {float(share * n):g}, below {DETERMINED_FROM}; "
            "another calibration of this size may cut elsewhere"
        )
    if measured > n:
        drawn = f"one run of each of {n} clusters ranked, of {measured}"
    if clusters > n and clusters < runs:
        lost = f"in {clusters - n} of {clusters} clusters the run drawn has no score"
    return joined(short, unsettled, drawn, missing_note(runs - measured, measured), lost)
