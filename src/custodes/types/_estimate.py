"""Estimates with their uncertainty, and where they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ._evidence import EvidenceRef
from ._json import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its interval, or with the reason why it has none.

    Attributes:
        value: the point estimate; None exactly when ``n`` is 0.
        low, high: ends of the interval; both None when there is none, and then ``note`` says why.
        level: coverage of the interval, such as 0.95.
        n: units measured. clusters: independent units behind them. missing: units asked and not
            measured.
        method: name and variant of the estimator.
        note: what a reader must know to read the number.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    n: int
    clusters: int
    missing: int
    method: str
    note: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.n == 0):
            raise ValueError("an estimate has a value exactly when n > 0")
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends or none")
        if self.low is None and not self.note:
            raise ValueError("an estimate without an interval says why")
        if not 0 < self.level < 1:
            raise ValueError(f"expected a level between 0 and 1, found {self.level}")
        if min(self.n, self.clusters, self.missing) < 0:
            raise ValueError("counts cannot be negative")
        for number in (self.value, self.low, self.high):
            if number is not None and math.isnan(number):
                raise ValueError("NaN is not an estimate")
        if self.low is not None and self.high is not None:
            if self.low > self.high:
                raise ValueError(f"interval is reversed: {self.low}..{self.high}")
            if self.value is not None and not self.low <= self.value <= self.high:
                raise ValueError(f"{self.value} lies outside {self.low}..{self.high}")

    def to_json(self) -> JsonObject:
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "level": self.level,
            "n": self.n,
            "clusters": self.clusters,
            "missing": self.missing,
            "method": self.method,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """An estimand, its estimate, the evidence it came from, and the version of the method."""

    estimand: str
    estimate: Estimate
    inputs: tuple[EvidenceRef, ...]
    code: str

    def __post_init__(self) -> None:
        if not self.estimand or not self.code:
            raise ValueError("a measurement names its estimand and its code version")
        if self.estimate.n > 0 and not self.inputs:
            raise ValueError("a measurement of something has inputs")

    def to_json(self) -> JsonObject:
        return {
            "estimand": self.estimand,
            "estimate": self.estimate.to_json(),
            "inputs": [ref.to_json() for ref in self.inputs],
            "code": self.code,
        }
