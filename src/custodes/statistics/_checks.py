"""What every estimator here refuses, said in one way."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import TypeVar

LOWEST_LEVEL = 0.8
MOST_UNITS = 10**15
"""More than this of anything is a mistake, and loses digits as a float."""

MOST_MISSING = 10**6

T = TypeVar("T")


def listed(values: Iterable[T], name: str) -> tuple[T, ...]:
    """Return the values in their order.

    Raises:
        TypeError: text, a set or a mapping, which are no lists of values, or no sequence at all.
    """
    if isinstance(values, (str, bytes, Set, Mapping)):
        raise TypeError(f"expected {name} to be a sequence, found {_short(values)}")
    try:
        return tuple(values)
    except TypeError:
        raise TypeError(f"expected {name} to be a sequence, found {_short(values)}") from None


def is_truth(value: object) -> bool:
    """Whether it is a truth value, numpy's included."""
    # numpy may not be loaded, so its type is known by name.
    return isinstance(value, bool) or (
        type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")
    )


def _short(value: object) -> str:
    """One line, of a length that fits into a message."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def checked_count(value: object, name: str, *, least: int = 0) -> int:
    """Return ``value`` as an int.

    Raises:
        TypeError: it is not a whole number (a bool, a float and NaN are not counts).
        ValueError: it is below ``least``.
    """
    if is_truth(value):
        raise TypeError(f"expected {name} to be a whole number, found the truth value {value}")
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"expected {name} to be a whole number, found {_short(value)}") from None
    if count < least:
        raise ValueError(f"expected {name} to be at least {least}, found {count}")
    return count


def checked_units(value: object, name: str, *, least: int = 0) -> int:
    """Return a count that is also used as a float: at most 10^15."""
    count = checked_count(value, name, least=least)
    if count > MOST_UNITS:
        raise ValueError(f"expected {name} to be at most 10^15, found one above it")
    return count


def checked_counts(values: Iterable[object], name: str) -> tuple[int, ...]:
    return tuple(checked_units(v, f"{name}[{i}]") for i, v in enumerate(listed(values, name)))


def checked_part(k: object, n: object) -> tuple[int, int]:
    """Return (k, n) with 0 <= k <= n."""
    part, whole = checked_units(k, "k"), checked_units(n, "n")
    if part > whole:
        raise ValueError(f"expected k to be at most n, found k={part} and n={whole}")
    return part, whole


def checked_level(level: float) -> float:
    """Return ``level``, refused outside [0.8, 1).

    Below 0.8 the ends of a one-sided Jeffreys interval can pass the point estimate.
    """
    number = _number(level, "a level")
    if not LOWEST_LEVEL <= number < 1:
        raise ValueError(f"expected a level from {LOWEST_LEVEL} to below 1, found {number}")
    return number


def _number(value: object, name: str) -> float:
    """Return a float, which may be NaN or infinite."""
    if isinstance(value, (str, bytes)) or is_truth(value):
        raise TypeError(f"expected {name} to be a number, found {_short(value)}")
    # An array of one number is no number; one without dimensions is.
    if getattr(value, "ndim", 0):
        raise TypeError(f"expected {name} to be a number, found {_short(value)}")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"expected {name} to be a number, found {_short(value)}") from None
    except OverflowError:
        raise ValueError(f"expected {name} to be finite, found one too large") from None


def checked_numbers(
    values: Sequence[float] | Iterable[float],
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
) -> tuple[float, ...]:
    """Return finite floats within [low, high]; the message names the first that is not."""
    numbers = []
    for i, value in enumerate(listed(values, name)):
        # Most are floats, and need no more looking at.
        number = value if type(value) is float else _number(value, f"{name}[{i}]")
        if not math.isfinite(number):
            raise ValueError(
                f"expected {name}[{i}] to be finite, found {number}; count what could not be "
                "measured as missing or as censored instead"
            )
        if not low <= number <= high:
            raise ValueError(f"expected {name}[{i}] within [{low}, {high}], found {number}")
        numbers.append(number)
    return tuple(numbers)


def checked_flags(values: Iterable[object], name: str) -> tuple[bool, ...]:
    """Return truth values, as which 0 and 1 pass."""
    flags = []
    for i, value in enumerate(listed(values, name)):
        if not is_truth(value) and not (type(value) in (int, float) and value in (0, 1)):
            raise TypeError(f"expected {name}[{i}] to be True or False, found {_short(value)}")
        flags.append(bool(value))
    return tuple(flags)


def checked_missing(value: object) -> int:
    """Return how many units are missing, where each is then counted one by one."""
    count = checked_count(value, "missing")
    if count > MOST_MISSING:
        raise ValueError(f"expected missing to be at most {MOST_MISSING}, found more")
    return count


def same_length(a: Sequence[object], b: Sequence[object], names: str) -> None:
    for side in (a, b):
        try:
            len(side)
        except TypeError:
            raise TypeError(f"expected {names} to be sequences, found {_short(side)}") from None
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
