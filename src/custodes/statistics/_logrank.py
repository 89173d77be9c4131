"""Do groups differ in the time to an event? The log-rank test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._checks import (
    checked_count,
    checked_flags,
    checked_numbers,
    joined,
    listed,
    same_length,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXACT_ARRANGEMENTS = 2**16
DRAWN_ARRANGEMENTS = 99_999
PERMUTED_UP_TO = 500
# Times as many units from which the size of the test is no longer claimed.
UNEQUAL = 4
_UNEQUAL_NOTE = (
    "groups of very unequal sizes, the larger one cut: where it is cut early and often, the test "
    "rejects too often"
)
_CHUNK = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRank:
    """A log-rank test.

    Attributes:
        chi_square: Mantel's statistic with the hypergeometric variance; None when nothing can be
            compared. degrees: its degrees of freedom.
        p_chi_square: upper tail of the chi-square distribution, too small with few events.
        p_permutation: too small when cuts come unlike in groups of unlike sizes; None above 500
            units.
        p_value: the one to report: the larger of the two; None when nothing can be compared.
        permutations: assignments of units to groups compared, all of them when ``exact``.
        exact: False when they were drawn (the p-value then counts the observed one too).
        n, observed, expected: by group, units, events, and events expected without a difference.
        note: what a reader must know; why a figure is None.
    """

    chi_square: float | None
    degrees: int
    p_chi_square: float | None
    p_permutation: float | None
    p_value: float | None
    permutations: int
    exact: bool
    n: tuple[int, ...]
    observed: tuple[int, ...]
    expected: tuple[float, ...]
    note: str | None


def log_rank(
    times_a: Iterable[float],
    observed_a: Iterable[bool],
    times_b: Iterable[float],
    observed_b: Iterable[bool],
    *,
    random_seed: int = 0,
) -> LogRank:
    """Compare the times to an event of two groups, some cut short.

    At each event time the events of a group are compared with its share of the units at risk. A
    unit cut short at the time of an event is at risk there. It sees curves that keep apart; curves
    that cross can differ and not show. Units must be independent: with several runs of a seed,
    give one time per seed. Competing events are no cuts: use `cumulative_incidence` for those.

    The permutation p-value compares the log-rank scores (event seen minus pooled cumulative
    hazard) over all assignments of units to groups, up to 65,536 of them, otherwise 99,999 drawn
    with ``random_seed``. It is exact when cuts come alike in the groups, and rejects up to 15 %
    for a nominal 5 % when the smaller group is not cut and the larger often is. Chi-square
    rejects up to 8 % with five units in a group. The larger of the two rejects at most 6 %, but
    more when fewer than ten units without cuts face many that are often cut: up to 7 % for
    exponential cuts, and about 10 % for early ones (docs/statistics.md).

    Args:
        times_a, times_b: time to the event or to the cut, one unit, none negative.
        observed_a, observed_b: True where the event was seen, False where it was cut short.
        random_seed: of the drawn assignments; the same seed gives the same p-value.

    Raises:
        TypeError, ValueError: a bad time, flag or seed; unequal lengths.

    Sources: Mantel 1966; Peto and Peto 1972.
    """
    return log_rank_groups(((times_a, observed_a), (times_b, observed_b)), random_seed=random_seed)


def log_rank_groups(
    groups: Sequence[tuple[Iterable[float], Iterable[bool]]], *, random_seed: int = 0
) -> LogRank:
    """`log_rank` for two or more groups: is any of them different?

    The permutation statistic is the sum over groups of (sum of scores)^2 / units, which for two
    groups orders assignments as the absolute difference does.

    Args:
        groups: times and flags of each group, as `log_rank` takes them.
        random_seed: of the drawn assignments.

    Raises:
        TypeError, ValueError: as `log_rank`; fewer than two groups.
    """
    groups = listed(groups, "groups")
    given: tuple[object, ...] = groups
    for pair in given:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"expected each group as times and flags, found {pair!r}")
    if len(groups) < 2:
        raise ValueError(f"expected two groups or more, found {len(groups)}")
    random_seed = checked_count(random_seed, "random_seed")
    times: list[float] = []
    seen: list[bool] = []
    sizes: list[int] = []
    for g, (group_times, group_flags) in enumerate(groups):
        name = "ab"[g] if len(groups) == 2 else str(g + 1)
        durations = checked_numbers(group_times, f"times of group {name}", low=0.0)
        flags = checked_flags(group_flags, f"observed of group {name}")
        same_length(durations, flags, f"times and observed of group {name}")
        times.extend(durations)
        seen.extend(bool(flag) for flag in flags)
        sizes.append(len(durations))
    empty = sum(1 for size in sizes if size == 0)
    if empty or not any(seen):
        why = "no event was seen" if not empty else f"{empty} of {len(sizes)} groups are empty"
        return LogRank(
            chi_square=None,
            degrees=len(sizes) - 1,
            p_chi_square=None,
            p_permutation=None,
            p_value=None,
            permutations=0,
            exact=False,
            n=tuple(sizes),
            observed=_by_group(seen, sizes),
            expected=(0.0,) * len(sizes),
            note=f"nothing to compare: {why}",
        )
    return _compared(times, seen, sizes, random_seed)


def _by_group(seen: Sequence[bool], sizes: Sequence[int]) -> tuple[int, ...]:
    counts, start = [], 0
    for size in sizes:
        counts.append(sum(seen[start : start + size]))
        start += size
    return tuple(counts)


def _compared(
    times: list[float], seen: list[bool], sizes: list[int], random_seed: int
) -> LogRank:
    import numpy as np
    from scipy.special import gammaincc

    t = np.asarray(times, dtype=np.float64)
    event = np.asarray(seen, dtype=bool)
    group = np.repeat(np.arange(len(sizes)), sizes)
    steps = np.unique(t[event])
    at_risk = np.empty((len(sizes), len(steps)))
    deaths = np.zeros((len(sizes), len(steps)))
    for g in range(len(sizes)):
        own = np.sort(t[group == g])
        at_risk[g] = len(own) - np.searchsorted(own, steps, side="left")
        np.add.at(deaths[g], np.searchsorted(steps, t[event & (group == g)]), 1.0)
    n, d = at_risk.sum(axis=0), deaths.sum(axis=0)
    expected = (at_risk * d / n).sum(axis=1)
    excess = deaths.sum(axis=1) - expected
    share = at_risk / n
    spread = np.where(n > 1, d * (n - d) / np.maximum(n - 1, 1), 0.0)
    variance = np.diag((share * spread).sum(axis=1)) - (share * spread) @ share.T
    degrees = len(sizes) - 1
    chi_square = p_chi_square = None
    note = None
    rank = int(np.linalg.matrix_rank(variance, tol=1e-9 * max(1.0, float(np.trace(variance)))))
    if rank == degrees:
        chi_square = float(excess[:-1] @ np.linalg.solve(variance[:-1, :-1], excess[:-1]))
        p_chi_square = float(gammaincc(degrees / 2, max(chi_square, 0.0) / 2))
    else:
        note = "no chi-square: a group is never at risk together with another at an event"
    large = int(np.argmax(sizes))
    if max(sizes) >= UNEQUAL * min(sizes) and not event[group == large].all():
        note = joined(note, _UNEQUAL_NOTE)
    p_permutation, permutations, exact = None, 0, False
    if len(times) <= PERMUTED_UP_TO:
        hazard = np.concatenate(([0.0], np.cumsum(d / n)))
        scores = event - hazard[np.searchsorted(steps, t, side="right")]
        p_permutation, permutations, exact = _permuted(scores, sizes, random_seed)
    return LogRank(
        chi_square=chi_square,
        degrees=degrees,
        p_chi_square=p_chi_square,
        p_permutation=p_permutation,
        p_value=max((p for p in (p_chi_square, p_permutation) if p is not None), default=None),
        permutations=permutations,
        exact=exact,
        n=tuple(sizes),
        observed=_by_group(seen, sizes),
        expected=tuple(expected.tolist()),
        note=note,
    )


def _permuted(
    scores: NDArray[np.float64], sizes: list[int], random_seed: int
) -> tuple[float, int, bool]:
    """The p-value, the assignments compared, and whether those were all."""
    import numpy as np

    count = math.factorial(len(scores))
    for size in sizes:
        count //= math.factorial(size)
    bounds = np.cumsum([0, *sizes])[:-1]
    each = np.asarray(sizes, dtype=np.float64)

    def statistic(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.add.reduceat(rows, bounds, axis=1)
        found: NDArray[np.float64] = (sums**2 / each).sum(axis=1)
        return found

    observed = float(statistic(scores[None, :])[0])
    # Equal sums in another order differ in the last places; without the slack ties are lost.
    threshold = observed - 1e-9 * max(observed, float((scores**2).sum()))
    if count <= EXACT_ARRANGEMENTS:
        rows = np.asarray(list(_arrangements(tuple(range(len(scores))), sizes)), dtype=np.int64)
        return int((statistic(scores[rows]) >= threshold).sum()) / count, count, True
    generator = np.random.default_rng(random_seed)
    hits, left = 0, DRAWN_ARRANGEMENTS
    while left:
        rows_now = min(max(1, _CHUNK // len(scores)), left)
        drawn = generator.permuted(np.broadcast_to(scores, (rows_now, len(scores))), axis=1)
        hits += int((statistic(drawn) >= threshold).sum())
        left -= rows_now
    return (1 + hits) / (1 + DRAWN_ARRANGEMENTS), DRAWN_ARRANGEMENTS, False


def _arrangements(units: tuple[int, ...], sizes: list[int]) -> Iterable[tuple[int, ...]]:
    """Every way to deal ``units`` to groups of these sizes, order within a group aside."""
    from itertools import combinations

    if len(sizes) == 1:
        yield units
        return
    for first in combinations(units, sizes[0]):
        taken = set(first)
        rest = tuple(unit for unit in units if unit not in taken)
        for others in _arrangements(rest, sizes[1:]):
            yield first + others
