"""Scores with labels: checked, and split by class."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._checks import checked_numbers, listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Codes = NDArray[np.int64]
    Scores = Sequence[float | None] | NDArray[np.floating] | NDArray[np.integer]
    Labels = Sequence[bool] | NDArray[np.bool_]

UNIT_SCALE = (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Scores by class.

    Attributes:
        positive, negative: the measured scores of each class.
        positive_cluster, negative_cluster: the number, from 0, of each score's cluster; None when
            every score is its own.
        missing_positives, missing_negatives: missing scores of each class.
        scale: lowest and highest score there can be.
    """

    positive: Floats
    negative: Floats
    positive_cluster: Codes | None
    negative_cluster: Codes | None
    missing_positives: int
    missing_negatives: int
    scale: tuple[float, float]

    @property
    def measured(self) -> int:
        return len(self.positive) + len(self.negative)

    @property
    def missing(self) -> int:
        return self.missing_positives + self.missing_negatives

    def against(self) -> tuple[Floats, Floats]:
        """Scores by class, with each missing one where it counts most against the monitor."""
        return self._filled(*self.scale)

    def in_favour(self) -> tuple[Floats, Floats]:
        """Scores by class, with each missing one where it counts most for the monitor."""
        low, high = self.scale
        return self._filled(high, low)

    def _filled(self, positive: float, negative: float) -> tuple[Floats, Floats]:
        import numpy as np

        return (
            np.concatenate([self.positive, np.full(self.missing_positives, positive)]),
            np.concatenate([self.negative, np.full(self.missing_negatives, negative)]),
        )


def labelled(
    scores: Scores,
    labels: Labels,
    clusters: Sequence[Hashable] | None,
    scale: tuple[float, float] | None,
) -> Labelled:
    """Check the arguments of `auroc` and split the scores by class."""
    import numpy as np

    ends = _checked_scale(scale)
    numbers = _checked_scores(scores, ends)
    truths = _checked_labels(labels)
    if len(numbers) != len(truths):
        raise ValueError(
            f"expected scores and labels of one length, found {len(numbers)} and {len(truths)}"
        )
    codes = None
    if clusters is not None:
        codes = cluster_codes(clusters)
        if len(numbers) != len(codes):
            raise ValueError(
                f"expected scores and clusters of one length, found {len(numbers)} and {len(codes)}"
            )
    absent = np.isnan(numbers)
    positive, negative = truths & ~absent, ~truths & ~absent
    return Labelled(
        positive=numbers[positive],
        negative=numbers[negative],
        positive_cluster=None if codes is None else codes[positive],
        negative_cluster=None if codes is None else codes[negative],
        missing_positives=int((truths & absent).sum()),
        missing_negatives=int((~truths & absent).sum()),
        scale=ends,
    )


def cluster_codes(clusters: Sequence[Hashable]) -> Codes:
    """A whole number from 0 for each distinct cluster, in order of appearance.

    Raises:
        TypeError: a text in place of a sequence, a cluster that has no hash, or None, which
            would make one cluster of all units that lack one.
    """
    import numpy as np

    if isinstance(clusters, (str, bytes)):
        raise TypeError(f"expected clusters to be a sequence, found {clusters!r}")
    numbers: dict[Hashable, int] = {}
    codes = []
    for i, cluster in enumerate(listed(clusters, "clusters")):
        # NaN equals nothing, so that each would be a cluster of its own.
        if cluster is None or (isinstance(cluster, float) and math.isnan(cluster)):
            raise TypeError(f"expected clusters[{i}] to name a cluster, found {cluster}")
        try:
            codes.append(numbers.setdefault(cluster, len(numbers)))
        except TypeError:
            raise TypeError(
                f"expected clusters[{i}] to be hashable, such as a text or a number, "
                f"found {cluster!r}"
            ) from None
    return np.array(codes, dtype=np.int64)


def _checked_scale(scale: tuple[float, float] | None) -> tuple[float, float]:
    if scale is None:
        return -math.inf, math.inf
    ends = checked_numbers(scale, "scale")
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError(f"expected a scale from low to high, found {scale}")
    return ends[0], ends[1]


def _checked_scores(scores: Scores, scale: tuple[float, float]) -> Floats:
    """The scores as an array, NaN in place of each missing one."""
    import numpy as np

    low, high = scale
    if isinstance(scores, np.ndarray):
        if scores.ndim != 1 or scores.dtype.kind not in "fiu":
            raise TypeError(
                "expected scores to be numbers in one dimension, found "
                f"{scores.ndim} dimensions of {scores.dtype}"
            )
        numbers = scores.astype(np.float64)
        absent = np.zeros(len(numbers), dtype=np.bool_)
    else:
        values = list(listed(scores, "scores"))
        numbers = _as_floats(values)
        absent = np.isnan(numbers)
        # NaN is what None became, unless it was there before.
        for i in np.flatnonzero(absent).tolist():
            absent[i] = values[i] is None
    wrong = ~absent & ~((numbers >= low) & (numbers <= high) & np.isfinite(numbers))
    if wrong.any():
        i = int(wrong.argmax())
        found = float(numbers[i])
        if math.isfinite(found):
            raise ValueError(f"expected scores[{i}] within [{low}, {high}], found {found}")
        raise ValueError(
            f"expected scores[{i}] to be finite, found {found}; give None for a missing score"
        )
    return numbers


def _as_floats(values: list[float | None]) -> Floats:
    import numpy as np

    # One by one only when there is something else than floats: a million scores are common.
    if set(map(type, values)) <= {float, type(None)}:
        return np.array(values, dtype=np.float64)
    numbers = []
    for i, value in enumerate(values):
        if value is None:
            numbers.append(math.nan)
            continue
        problem = f"expected scores[{i}] to be a number or None, found {value!r}"
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError(problem)
        try:
            numbers.append(float(value))
        except (TypeError, ValueError):
            raise TypeError(problem) from None
        except OverflowError:
            raise ValueError(f"expected scores[{i}] to be finite, found one too large") from None
    return np.array(numbers, dtype=np.float64)


def _checked_labels(labels: Labels) -> Flags:
    import numpy as np

    if isinstance(labels, np.ndarray):
        if labels.ndim != 1 or labels.dtype != np.bool_:
            raise TypeError(
                "expected labels to be truth values in one dimension, found "
                f"{labels.ndim} dimensions of {labels.dtype}"
            )
        return labels
    values: list[object] = list(listed(labels, "labels"))
    if not set(map(type, values)) <= {bool, np.bool_}:
        i = next(i for i, v in enumerate(values) if not isinstance(v, (bool, np.bool_)))
        raise TypeError(f"expected labels[{i}] to be True or False, found {values[i]!r}")
    return np.array(values, dtype=np.bool_)
