"""People's probabilities: shown as they are, and scored when the outcome is known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from custodes.types import Estimate

from ._checks import checked_level, checked_numbers, joined, listed, missing_note, same_length
from ._proportion import NOTHING_MEASURED

NOT_A_SAMPLE = "no interval: these assessors were chosen and confer, and are no sample of anyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessors:
    """The probabilities that named assessors gave to one statement.

    Attributes:
        each: every assessor asked, by name and in the order given; None for one who gave none.
        median: of those given, and never with an interval: ``low`` and ``high`` are None.
        least, most: the smallest and largest given; None when none was.
        quartiles: lower and upper, interpolated between the values given; None below two.
    """

    each: tuple[tuple[str, float | None], ...]
    median: Estimate
    least: float | None
    most: float | None
    quartiles: tuple[float, float] | None


def assessors(estimates: Mapping[str, float | None]) -> Assessors:
    """Show each assessor's probability, their median and their spread.

    The spread says how far these people are apart. It is no interval for the truth and none for
    what other people would say. Quartiles are the sample quantiles at (n - 1) q (type 7 of
    Hyndman and Fan 1996).

    Args:
        estimates: probability in [0, 1] by assessor; None for one who was asked and gave none.

    Raises:
        TypeError, ValueError: a name that is empty or no text, or a probability that is NaN, no
            number or outside [0, 1].
    """
    if not isinstance(estimates, Mapping):
        raise TypeError(
            f"expected estimates to map assessors to probabilities, found "
            f"{type(estimates).__name__}"
        )
    for name in estimates:
        if not isinstance(name, str):
            raise TypeError(f"expected the name of an assessor, found {name!r}")
        if not name.strip():
            raise ValueError("expected the name of an assessor, found an empty one")
    each = tuple(zip(estimates, _probabilities(estimates.values(), "estimates"), strict=True))
    given = [p for _, p in each if p is not None]
    missing = len(each) - len(given)
    absent = f"{missing} of {len(each)} gave no probability" if missing else None
    quartiles = None
    if len(given) >= 2:
        lower, _, upper = statistics.quantiles(given, n=4, method="inclusive")
        quartiles = (lower, upper)
    median = Estimate(
        value=statistics.median(given) if given else None,
        low=None,
        high=None,
        level=0.95,
        n=len(given),
        clusters=len(given),
        missing=missing,
        method="median of assessors",
        note=joined(NOT_A_SAMPLE if given else NOTHING_MEASURED, absent),
    )
    return Assessors(
        each=each,
        median=median,
        least=min(given, default=None),
        most=max(given, default=None),
        quartiles=quartiles,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastScore:
    """The mean score of resolved forecasts; lower is better for both scores.

    Attributes:
        estimate: the mean over resolved forecasts, without an interval: forecasts of one person
            about one subject are not independent. For the log score ``value`` is the infinity
            when a forecast of probability 0 happened.
        each: the score of each forecast in the order given; None where it is not resolved.
        lowest, highest: the mean had every unresolved forecast come out the better or the worse
            way; None when there is no forecast.
        certain_and_wrong: resolved forecasts that gave probability 0 to what happened.
    """

    estimate: Estimate
    each: tuple[float | None, ...]
    lowest: float | None
    highest: float | None
    certain_and_wrong: int


def brier(
    probabilities: Sequence[float | None],
    outcomes: Sequence[bool | None],
    *,
    level: float = 0.95,
) -> ForecastScore:
    """The mean of (p - outcome)^2, in [0, 1]; 0.25 is what always saying one half gets.

    Args:
        probabilities: forecasts in [0, 1]; None where none was given.
        outcomes: what happened; None while it is not resolved.
        level: recorded in the estimate, which has no interval.

    Raises:
        TypeError, ValueError: unequal lengths, an outcome that is no truth value, or a
            probability that is NaN, no number or outside [0, 1].

    Source: Brier 1950, for events of two outcomes and counting the event alone.
    """
    return _scored(probabilities, outcomes, level, "Brier score")


def log_score(
    probabilities: Sequence[float | None],
    outcomes: Sequence[bool | None],
    *,
    level: float = 0.95,
) -> ForecastScore:
    """The mean of -ln(probability given to what happened), in nats; ln 2 for saying one half.

    A probability of 0 for something that happened (or 1 for something that did not) scores
    infinity, and so does the mean then: nothing is clipped. The note counts such forecasts.

    Args and errors: as `brier`. Source: Good 1952.
    """
    return _scored(probabilities, outcomes, level, "log score")


def _score(p: float, outcome: bool, method: str) -> float:
    chance = p if outcome else 1 - p
    if method == "Brier score":
        return (1 - chance) ** 2
    if chance == 0:
        return math.inf
    # 1 - p loses the small p that log1p keeps.
    return max(0.0, -math.log(p) if outcome else -math.log1p(-p))


def _scored(
    probabilities: Sequence[float | None],
    outcomes: Sequence[bool | None],
    level: float,
    method: str,
) -> ForecastScore:
    level = checked_level(level)
    same_length(probabilities, outcomes, "probabilities and outcomes")
    numbers = _probabilities(probabilities, "probabilities")
    _check_outcomes(outcomes)
    each: list[float | None] = []
    resolved: list[float] = []
    better: list[float] = []
    worse: list[float] = []
    certain_and_wrong = without = 0
    for p, outcome in zip(numbers, outcomes, strict=True):
        if p is None:
            without += 1
            each.append(None)
            continue
        if outcome is None:
            both = [_score(p, way, method) for way in (True, False)]
            better.append(min(both))
            worse.append(max(both))
            each.append(None)
            continue
        score = _score(p, outcome, method)
        certain_and_wrong += p == (0.0 if outcome else 1.0)
        resolved.append(score)
        each.append(score)
    n, missing = len(resolved), len(better) + without
    given = n + len(better)
    wrong = f"{certain_and_wrong} forecasts were certain and wrong" if certain_and_wrong else None
    estimate = Estimate(
        value=_mean(resolved),
        low=None,
        high=None,
        level=level,
        n=n,
        clusters=n,
        missing=missing,
        method=f"mean {method}",
        note=joined(
            "no interval: forecasts are not independent" if n else NOTHING_MEASURED,
            wrong,
            f"{without} without a probability, outside the bounds" if without else None,
            missing_note(missing, n),
        ),
    )
    return ForecastScore(
        estimate=estimate,
        each=tuple(each),
        lowest=_mean(resolved + better) if given else None,
        highest=_mean(resolved + worse) if given else None,
        certain_and_wrong=certain_and_wrong,
    )


def _check_outcomes(outcomes: Sequence[object]) -> None:
    for i, outcome in enumerate(listed(outcomes, "outcomes")):
        if outcome is not None and not isinstance(outcome, bool):
            found = f"found {outcome!r}"
            raise TypeError(f"expected outcomes[{i}] to be a truth value or None, {found}")


def _probabilities(values: Iterable[float | None], name: str) -> list[float | None]:
    given = list(listed(values, name))
    numbers = checked_numbers((0.0 if p is None else p for p in given), name, low=0.0, high=1.0)
    return [None if p is None else number for p, number in zip(given, numbers, strict=True)]


def _mean(scores: list[float]) -> float | None:
    if not scores:
        return None
    return math.inf if math.inf in scores else math.fsum(scores) / len(scores)
