"""What every estimator here refuses, said in one way."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence

LOWEST_LEVEL = 0.8


def checked_count(value: object, name: str, *, least: int = 0) -> int:
    """Return ``value`` as an int.

    Raises:
        TypeError: it is not a whole number (a bool, a float and NaN are not counts).
        ValueError: it is below ``least``.
    """
    if isinstance(value, bool):
        raise TypeError(f"expected {name} to be a whole number, found the truth value {value}")
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"expected {name} to be a whole number, found {value!r}") from None
    if count < least:
        raise ValueError(f"expected {name} to be at least {least}, found {count}")
    return count


def checked_counts(values: Iterable[object], name: str) -> tuple[int, ...]:
    return tuple(checked_count(value, f"{name}[{i}]") for i, value in enumerate(values))


def checked_part(k: object, n: object) -> tuple[int, int]:
    """Return (k, n) with 0 <= k <= n."""
    part, whole = checked_count(k, "k"), checked_count(n, "n")
    if part > whole:
        raise ValueError(f"expected k to be at most n, found k={part} and n={whole}")
    return part, whole


def checked_level(level: float) -> float:
    """Return ``level``, refused outside [0.8, 1).

    Below 0.8 the ends of a one-sided Jeffreys interval can pass the point estimate.
    """
    if not LOWEST_LEVEL <= level < 1:
        raise ValueError(f"expected a level from {LOWEST_LEVEL} to below 1, found {level}")
    return float(level)


def checked_numbers(
    values: Sequence[float] | Iterable[float],
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> tuple[float, ...]:
    """Return finite floats within [low, high]; the message names the first that is not."""
    numbers = []
    for i, value in enumerate(values):
        if isinstance(value, (str, bytes, bool)):
            raise TypeError(f"expected {name}[{i}] to be a number, found {value!r}")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"expected {name}[{i}] to be a number, found {value!r}") from None
        if not math.isfinite(number):
            raise ValueError(
                f"expected {name}[{i}] to be finite, found {number}; count what could not be "
                "measured as missing or as censored instead"
            )
        if not low <= number <= high:
            raise ValueError(f"expected {name}[{i}] within [{low}, {high}], found {number}")
        numbers.append(number)
    return tuple(numbers)


def same_length(a: Sequence[object], b: Sequence[object], names: str) -> None:
    if len(a) != len(b):
        raise ValueError(f"expected {names} of one length, found {len(a)} and {len(b)}")


def joined(*notes: str | None) -> str | None:
    """Join the notes that are not empty; None when all are."""
    kept = [note for note in notes if note]
    return "; ".join(kept) if kept else None


def missing_note(missing: int, measured: int) -> str | None:
    if missing == 0:
        return None
    return f"{missing} of {measured + missing} not measured and not counted"
