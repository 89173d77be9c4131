"""Weights for an ensemble, fitted on a calibration split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from custodes.types import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST_OF_A_CLASS = 1
MOST_STEPS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticFit:
    """1 / (1 + exp(−(intercept + Σ coefficient · suspicion))) of the members' suspicions.

    The coefficients carry no intervals: they are settings of an instrument. What it is worth is
    measured on other runs.

    Attributes:
        members: names, in the order of the coefficients.
        intercept: not penalised; it carries the share of positives in the calibration split.
        coefficients: each 0 or more: no member can talk another one down.
        penalty: λ of the ridge penalty λ/2 · Σ coefficient².
        n: runs that it was fitted on; 0 before it was.
        positives: of these, labelled as harmful.
        missing: runs left out because a member could not judge them.
        calibration: names of the runs of the calibration split, used or left out.
    """

    members: tuple[str, ...]
    intercept: float
    coefficients: tuple[float, ...]
    penalty: float
    n: int
    positives: int
    missing: int
    calibration: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.members or len(self.members) != len(self.coefficients):
            raise ValueError(
                f"expected a coefficient for each member, found {len(self.members)} members and "
                f"{len(self.coefficients)} coefficients"
            )
        if not all(map(math.isfinite, (self.intercept, *self.coefficients))):
            raise ValueError("expected finite coefficients")
        if min(self.coefficients) < 0:
            raise ValueError(f"expected coefficients of 0 or more, found {min(self.coefficients)}")

    @classmethod
    def unfitted(cls, members: Sequence[str], *, penalty: float = 1.0) -> Self:
        """The place of a fit of these members that is still to be made; every weight is 0."""
        return cls(
            members=tuple(members),
            intercept=0.0,
            coefficients=(0.0,) * len(members),
            penalty=penalty,
            n=0,
            positives=0,
            missing=0,
        )

    def value(self, suspicions: Sequence[float]) -> float:
        """The ensemble's suspicion for those of its members."""
        pairs = zip(self.coefficients, suspicions, strict=True)
        z = self.intercept + sum(weight * suspicion for weight, suspicion in pairs)
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))

    def check_apart(self, runs: Iterable[str]) -> None:
        """Refuse to be tested on what it was fitted on.

        Raises:
            ValueError: naming a run that is in both.
        """
        if shared := self.calibration & frozenset(runs):
            raise ValueError(
                f"expected other runs than those of the calibration split, found {min(shared)!r} "
                f"and {len(shared) - 1} more in both"
            )

    def to_json(self) -> JsonObject:
        """Everything that decides; fractions as text with 12 digits."""
        return {
            "members": list(self.members),
            "intercept": f"{self.intercept:.12g}",
            "coefficients": [f"{weight:.12g}" for weight in self.coefficients],
        }


def fit_logistic(
    members: Sequence[str],
    scores: Sequence[Sequence[float | None]],
    labels: Sequence[bool],
    *,
    penalty: float = 1.0,
    runs: Sequence[str] = (),
) -> LogisticFit:
    """Fit the weights on a calibration split; never on runs that test the ensemble.

    Minimises Σ [log(1 + e^z) − y·z] + λ/2 · Σ w² over the intercept and weights w ≥ 0, the ridge
    estimator of le Cessie and van Houwelingen (1992) with the weights held at or above 0. The
    penalty keeps them finite when a member separates the classes.

    Args:
        members: names.
        scores: for each run, the suspicion of each member in [0, 1], or None; a run with a None is
            left out and counted.
        labels: for each run, whether it is harmful.
        penalty: λ > 0.
        runs: names of the runs, kept for :meth:`LogisticFit.check_apart`; or empty.

    Raises:
        TypeError, ValueError: for lengths that differ, scores outside [0, 1], labels that are no
            truth values, a penalty that is not above 0, or a class without a run.
    """
    import numpy as np

    if not members:
        raise ValueError("expected one member or more, found none")
    if len(scores) != len(labels):
        raise ValueError(
            f"expected scores and labels of one length, found {len(scores)} and {len(labels)}"
        )
    if runs and len(runs) != len(labels):
        raise ValueError(
            f"expected runs and labels of one length, found {len(runs)} and {len(labels)}"
        )
    if not (math.isfinite(penalty) and penalty > 0):
        raise ValueError(f"expected a penalty above 0, found {penalty}")
    rows, outcomes = [], []
    for at, (row, label) in enumerate(zip(scores, labels, strict=True)):
        if not isinstance(label, (bool, np.bool_)):
            raise TypeError(f"expected labels[{at}] to be a truth value, found {label!r}")
        if len(row) != len(members):
            raise ValueError(f"expected {len(members)} scores[{at}], found {len(row)}")
        for score in row:
            if score is not None and not 0 <= score <= 1:
                raise ValueError(f"expected scores[{at}] in [0, 1] or None, found {score}")
        if None not in row:
            rows.append([float(score) for score in row if score is not None])
            outcomes.append(bool(label))
    positives = sum(outcomes)
    if min(positives, len(outcomes) - positives) < FEWEST_OF_A_CLASS:
        raise ValueError(
            "expected runs of both classes in the calibration split that every member could "
            f"judge, found {positives} harmful and {len(outcomes) - positives} benign"
        )
    found = _minimum(np.array(rows), np.array(outcomes, dtype=float), float(penalty))
    return LogisticFit(
        members=tuple(members),
        intercept=float(found[0]),
        coefficients=tuple(float(weight) for weight in found[1:]),
        penalty=float(penalty),
        n=len(outcomes),
        positives=positives,
        missing=len(labels) - len(outcomes),
        calibration=frozenset(runs),
    )


def _minimum(
    scores: NDArray[np.float64], labels: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """Intercept and weights: a bounded search, then Newton steps on the weights above 0."""
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import expit

    design = np.column_stack([np.ones(len(scores)), scores])
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 0.0

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = design @ point
        value = np.sum(np.logaddexp(0.0, z) - labels * z) + 0.5 * np.sum(ridge * point**2)
        return float(value), design.T @ (expit(z) - labels) + ridge * point

    start = np.zeros(design.shape[1])
    start[0] = math.log(labels.sum() / (len(labels) - labels.sum()))
    bounds = [(None, None)] + [(0.0, None)] * scores.shape[1]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 10_000},
    )  # fmt: skip
    point = np.asarray(found.x, dtype=np.float64)
    free = point > 0
    free[0] = True
    while True:
        for _ in range(MOST_STEPS):
            _, slope = loss(point)
            share = expit(design @ point)
            bent = (design.T * (share * (1 - share))) @ design + np.diag(ridge)
            step = np.linalg.solve(bent[np.ix_(free, free)], slope[free])
            point[free] -= step
            if np.max(np.abs(step)) < 1e-13:
                break
        below = free & (point < 0)
        below[0] = False
        if not below.any():
            return point
        point[below], free[below] = 0.0, False
