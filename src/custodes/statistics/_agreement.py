"""How far raters agree: Krippendorff's alpha, and a model grader against people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from custodes.types import Estimate

from ._checks import checked_level, checked_numbers, joined, listed, missing_note, same_length
from ._clustered import clustered_proportion
from ._labelled import cluster_codes
from ._proportion import NOTHING_MEASURED, MissingBounds, minimum_detectable, proportion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Scale = Literal["nominal", "ordinal", "interval"]

# Where the coverage of the interval was shown (docs/statistics.md).
ALPHA_LEAST_UNITS = 100
# Rare ratings far from all others are missed by fewer: they covered 91 % at 100 units.
ALPHA_LEAST_UNITS_INTERVAL = 400
ALPHA_LEAST_EACH_WAY = 2.0
_METHOD = "Krippendorff's alpha ({scale}), delete-one-unit jackknife, t"
_CHUNK_CELLS = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How far raters agree beyond what their use of the values would give by chance.

    Attributes:
        estimate: Krippendorff's alpha; 1 is perfect, 0 is chance, below 0 is worse. ``n`` and
            ``clusters`` are the units with two ratings or more, ``missing`` the others.
        scale: how values differ: nominal, ordinal or interval.
        raters: rows given.
        ratings: values given in units that count. missing_ratings: cells without a value.
        disagreeing: units in which at least two values differ.
        values: how often each value was given in units that count.
    """

    estimate: Estimate
    scale: Scale
    raters: int
    ratings: int
    missing_ratings: int
    disagreeing: int
    values: tuple[tuple[Hashable, int], ...]


def krippendorff_alpha(
    ratings: Sequence[Sequence[Hashable | None]],
    *,
    scale: Scale = "ordinal",
    level: float = 0.95,
) -> Agreement:
    """Krippendorff's alpha of several raters over the same units, with missing ratings.

    alpha = 1 - (n - 1) sum o_ck d_ck / sum n_c n_k d_ck over pairs of values, where o_ck counts
    the pairs within units (each unit with m ratings weighs its pairs by 1 / (m - 1)), n_c the
    values in all, and d is 0 or 1 (nominal), the squared number of values between (ordinal) or
    the squared difference (interval).

    The interval leaves out one unit at a time. Its t quantile has one degree of freedom less
    than there are *effective* units, (sum v^2)^2 / sum v^4 of their influences v, on the side
    (raising alpha or lowering it) that has fewer: two disagreements among 1,000 units are two
    pieces of evidence. The percentile bootstrap over units covers less (docs/statistics.md).
    Below 100 units, or 2 effective ones on a side, there is none. Units must be independent.

    - All agree, and values vary: 1, without interval; the note gives the share of disagreeing
      units that would have shown.
    - Every rating is the same, or no unit has two ratings (one rater): alpha is not defined, and
      the estimate has no value and n = 0.

    Args:
        ratings: one row per rater, one column per unit; None where a rater gave no value.
        scale: "nominal" takes any values; the others take numbers, and order them.
        level: coverage; only 0.95 was simulated, other levels get no interval.

    Raises:
        TypeError, ValueError: rows of different lengths, an unknown scale, a text or a truth
            value where the scale needs numbers, NaN or an infinite value.

    Sources: Krippendorff 2011 (Computing Krippendorff's alpha-reliability); Tukey 1958 for the
    jackknife.
    """
    level = checked_level(level)
    if scale not in get_args(Scale):
        raise ValueError(f"expected a scale of {get_args(Scale)}, found {scale!r}")
    rows = [_checked_row(row, scale, i) for i, row in enumerate(listed(ratings, "ratings"))]
    for i, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"expected ratings of one length, found {len(rows[0])} and {len(row)} in row {i}"
            )
    units = [
        [row[u] for row in rows if row[u] is not None] for u in range(len(rows[0]) if rows else 0)
    ]
    paired = [unit for unit in units if len(unit) >= 2]
    seen = Counter(value for unit in paired for value in unit)
    order: list[Hashable] = sorted(seen, key=_text if scale == "nominal" else _number)
    disagreeing = sum(1 for unit in paired if len(set(unit)) > 1)
    missing_ratings = sum(value is None for row in rows for value in row)

    n, missing = len(paired), len(units) - len(paired)
    value = low = high = None
    note: str | None
    if not units:
        note = NOTHING_MEASURED
    elif not paired:
        note = "not defined: no unit has two ratings"
    elif len(seen) == 1:
        note = f"not defined: all {sum(seen.values())} ratings are {order[0]!r}"
        n, missing = 0, len(units)
    elif disagreeing == 0:
        value = 1.0
        shown = minimum_detectable(n, level)
        note = (
            f"no interval: all agree; a share of disagreeing units above {shown:.3g} would have "
            f"shown with probability {level:g}"
        )
    else:
        value, low, high, note = _jackknife(paired, order, scale, level)
    absent = f"{missing_ratings} ratings not given" if missing_ratings else None
    return Agreement(
        estimate=Estimate(
            value=value,
            low=low,
            high=high,
            level=level,
            n=n,
            clusters=n,
            missing=missing,
            method=_METHOD.format(scale=scale),
            note=joined(note, missing_note(missing, n) if n else None, absent),
        ),
        scale=scale,
        raters=len(rows),
        ratings=sum(seen.values()),
        missing_ratings=missing_ratings,
        disagreeing=disagreeing,
        values=tuple((value, seen[value]) for value in order),
    )


def _text(value: Hashable) -> tuple[str, str]:
    return str(value), str(type(value))


def _number(value: Hashable) -> float:
    assert isinstance(value, float)
    return value


def _checked_row(row: Sequence[Hashable | None], scale: Scale, i: int) -> list[Hashable | None]:
    if isinstance(row, (str, bytes)):
        raise TypeError(f"expected ratings[{i}] to be a sequence of values, found {row!r}")
    given = list(listed(row, f"ratings[{i}]"))
    if scale == "nominal":
        for j, value in enumerate(given):
            if isinstance(value, float) and value != value:
                raise ValueError(f"expected ratings[{i}][{j}] to be a value or None, found NaN")
        return given
    numbers = checked_numbers((0 if v is None else v for v in given), f"ratings[{i}]")  # type: ignore[misc]
    return [None if v is None else number for v, number in zip(given, numbers, strict=True)]


def _jackknife(
    units: list[list[Hashable | None]], order: list[Hashable], scale: Scale, level: float
) -> tuple[float, float | None, float | None, str | None]:
    """Alpha, its limits, and why it has none."""
    import numpy as np
    from scipy.special import stdtrit

    index = {value: i for i, value in enumerate(order)}
    counts = np.zeros((len(units), len(order)))
    for u, unit in enumerate(units):
        for rating in unit:
            counts[u, index[rating]] += 1
    positions = None if scale == "nominal" else np.asarray(order, dtype=np.float64)
    n, width = counts.shape
    chunk = max(1, _CHUNK_CELLS // width**2)
    parts = [counts[start : start + chunk] for start in range(0, n, chunk)]
    total = sum((_coincidences(part).sum(axis=0) for part in parts), np.zeros((width, width)))
    value = float(alphas(total[None], scale, positions)[0])
    without = np.concatenate(
        [alphas(total - _coincidences(part), scale, positions) for part in parts]
    )
    least = ALPHA_LEAST_UNITS_INTERVAL if scale == "interval" else ALPHA_LEAST_UNITS
    if n < least:
        found = f"from {least} units, and here is {n}"
    elif level != 0.95:
        found = f"at a level of 0.95, not {level:g}"
    elif not np.isfinite(without).all():
        found = "when no single unit carries all variation, and here one does"
    else:
        influence = without.mean() - without
        each_way = min(
            effective_number(np.maximum(influence, 0)), effective_number(np.maximum(-influence, 0))
        )
        # Two equal influences make 2 but for rounding.
        if each_way >= ALPHA_LEAST_EACH_WAY - 1e-6:
            error = float(np.sqrt((n - 1) / n * (influence**2).sum()))
            half = float(stdtrit(max(1.0, each_way - 1), (1 + level) / 2)) * error
            return value, max(-1.0, value - half), min(1.0, value + half), None
        found = (
            f"from {ALPHA_LEAST_EACH_WAY:g} effective units each way, and here are {each_way:.1f}"
        )
    return value, None, None, f"no interval: coverage was shown {found}"


def _coincidences(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pairs of values within each unit, (units, values, values), from counts of at least two."""
    import numpy as np

    pairs = counts[:, :, None] * counts[:, None, :]
    diagonal = np.arange(counts.shape[1])
    pairs[:, diagonal, diagonal] -= counts
    weighed: NDArray[np.float64] = pairs / (counts.sum(axis=1) - 1)[:, None, None]
    return weighed


def alphas(
    pairs: NDArray[np.float64], scale: Scale, positions: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Alpha of each coincidence matrix in (rows, values, values); NaN where values do not vary."""
    import numpy as np

    each = pairs.sum(axis=-1)
    n = each.sum(axis=-1)
    if scale == "nominal":
        distance = 1 - np.eye(pairs.shape[-1])
    elif scale == "ordinal":
        # Values between two ranks, the ranks' own ones counted half: a difference of midranks.
        middle = np.cumsum(each, axis=-1) - each / 2
        distance = (middle[:, :, None] - middle[:, None, :]) ** 2
    else:
        assert positions is not None
        distance = (positions[:, None] - positions) ** 2
    observed = (pairs * distance).sum(axis=(-1, -2))
    expected = (each[:, :, None] * each[:, None, :] * distance).sum(axis=(-1, -2))
    with np.errstate(divide="ignore", invalid="ignore"):
        result: NDArray[np.float64] = np.where(
            expected > 1e-12 * n**2, 1 - (n - 1) * observed / expected, np.nan
        )
    return result


def effective_number(influences: NDArray[np.float64]) -> float:
    """How many equal units would make a variance as well known as these do; 0 for none.

    (sum v^2)^2 / sum v^4.
    """
    squares = influences**2
    fourth = float((squares**2).sum())
    return float(squares.sum()) ** 2 / fourth if fourth > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassAgreement:
    """One class of a grader against people.

    Attributes:
        label: the class.
        sensitivity: P(grader says it | people say it), observed and bounded.
        specificity: P(grader says another | people say another), observed and bounded.
    """

    label: Hashable
    sensitivity: MissingBounds
    specificity: MissingBounds


@dataclass(frozen=True, slots=True, kw_only=True)
class GraderConfusion:
    """A model grader against people, item by item.

    Attributes:
        classes: rows and columns, in the order given or sorted.
        counts: counts[i][j], items that people put in class i and the grader in class j.
        grader_missing: items by the people's class that the grader did not grade.
        people_missing: items by the grader's class that people did not grade.
        both_missing: items that neither graded.
        agreement: share of items graded by both on which they agree.
        per_class: sensitivity and specificity of each class.
    """

    classes: tuple[Hashable, ...]
    counts: tuple[tuple[int, ...], ...]
    grader_missing: tuple[int, ...]
    people_missing: tuple[int, ...]
    both_missing: int
    agreement: Estimate
    per_class: tuple[ClassAgreement, ...]


def grader_confusion(
    model: Sequence[Hashable | None],
    people: Sequence[Hashable | None],
    *,
    classes: Sequence[Hashable] | None = None,
    clusters: Sequence[Hashable] | None = None,
    level: float = 0.95,
) -> GraderConfusion:
    """Compare a model grader's classes with people's, class by class.

    People's classes are taken as the truth; how far people agree among themselves is
    `krippendorff_alpha`. A missing grade is no grade: it is kept apart, and each rate is also
    given with every missing grade gone the better and the worse way. An item that people did not
    grade may be of any class, so it enters the bounds of every class.

    Args:
        model: the grader's class of each item; None where it failed, refused or was not parsed.
        people: people's class of each item; None where they gave none.
        classes: the classes, which fixes their order; by default those that occur, sorted by
            their text. An item of another class is an error.
        clusters: what the items came from (seed, transcript); without it items are independent.
        level: coverage.

    Raises:
        TypeError, ValueError: unequal lengths, NaN, or a class that is not in ``classes``.
    """
    model, people = listed(model, "model"), listed(people, "people")
    same_length(model, people, "model and people")
    level = checked_level(level)
    groups: Sequence[Hashable] = range(len(model))
    if clusters is not None:
        groups = listed(clusters, "clusters")
        cluster_codes(groups)
    if classes is not None:
        classes = listed(classes, "classes")
    same_length(groups, model, "clusters and model")
    for name, labels in (("model", model), ("people", people)):
        for i, label in enumerate(labels):
            if isinstance(label, float) and label != label:
                raise ValueError(f"expected {name}[{i}] to be a class or None, found NaN")
            if classes is not None and label is not None and label not in classes:
                raise ValueError(f"expected {name}[{i}] among the classes, found {label!r}")
    if classes is None:
        found = {label for label in (*model, *people) if label is not None}
        order = tuple(sorted(found, key=_text))
    else:
        order = tuple(classes)
        if len(set(order)) != len(order):
            raise ValueError(f"expected classes that differ, found {order!r}")
    table = Counter(zip(people, model, strict=True))

    def rate(outcomes: list[tuple[Hashable, bool]], missing: int) -> Estimate:
        if clusters is None:
            k = sum(hit for _, hit in outcomes)
            return proportion(k, len(outcomes), level=level, missing=missing)
        hits: Counter[Hashable] = Counter()
        sizes: Counter[Hashable] = Counter()
        for group, hit in outcomes:
            hits[group] += hit
            sizes[group] += 1
        return clustered_proportion(
            [hits[g] for g in sizes], list(sizes.values()), level=level, missing=missing
        )

    def bounds(label: Hashable, *, inside: bool) -> MissingBounds:
        observed: list[tuple[Hashable, bool]] = []
        best: list[tuple[Hashable, bool]] = []
        worst: list[tuple[Hashable, bool]] = []
        missing = 0
        for group, grade, truth in zip(groups, model, people, strict=True):
            if truth is not None and (truth == label) != inside:
                continue
            good = grade is not None and (grade == label) == inside
            if truth is not None and grade is not None:
                observed.append((group, good))
                best.append((group, good))
                worst.append((group, good))
                continue
            missing += 1
            if grade is None:
                best.append((group, True))
                worst.append((group, False))
            elif good:
                # Of unknown truth: it helps the rate if it belongs here, and else is no part.
                best.append((group, True))
            else:
                worst.append((group, False))
        return MissingBounds(
            observed=rate(observed, missing), best=rate(best, missing), worst=rate(worst, missing)
        )

    both = [
        (group, grade == truth)
        for group, grade, truth in zip(groups, model, people, strict=True)
        if grade is not None and truth is not None
    ]
    return GraderConfusion(
        classes=order,
        counts=tuple(tuple(table[truth, grade] for grade in order) for truth in order),
        grader_missing=tuple(table[truth, None] for truth in order),
        people_missing=tuple(table[None, grade] for grade in order),
        both_missing=table[None, None],
        agreement=rate(both, len(model) - len(both)),
        per_class=tuple(
            ClassAgreement(
                label=label,
                sensitivity=bounds(label, inside=True),
                specificity=bounds(label, inside=False),
            )
            for label in order
        ),
    )
