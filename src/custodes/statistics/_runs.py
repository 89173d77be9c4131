"""Runs as the threshold and its tests take them: score, truth, name, cluster."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from ._checks import checked_numbers, is_truth, listed, same_length


def checked_number(
    value: float, name: str, *, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return one finite float within [low, high].

    Raises:
        TypeError, ValueError: text, a truth value, NaN, or a number outside.
    """
    try:
        (number,) = checked_numbers((value,), name, low=low, high=high)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace(f"{name}[0]", name, 1)) from None
    return number


def checked_scores(scores: Sequence[float | None], name: str) -> tuple[float | None, ...]:
    """Return scores in [0, 1] or None.

    Raises:
        TypeError, ValueError: text, a score that is no number, NaN, or one outside [0, 1].
    """
    if isinstance(scores, (str, bytes)):
        raise TypeError(f"expected {name} to be a sequence of scores, found {scores!r}")
    checked: list[float | None] = []
    for i, score in enumerate(listed(scores, name)):
        if type(score) is float and 0.0 <= score <= 1.0:
            checked.append(score)
        elif score is None:
            checked.append(None)
        else:
            checked.append(checked_number(score, f"{name}[{i}]", low=0.0, high=1.0))
    return tuple(checked)


def checked_truth(value: object, name: str) -> bool:
    """Return a truth value, numpy's included.

    Raises:
        TypeError: it is anything else; 0 and 1 are not.
    """
    if is_truth(value):
        return bool(value)
    raise TypeError(f"expected {name} to be a truth value, found {value!r}")


def checked_keys(keys: Sequence[str], runs: Sequence[object], name: str) -> tuple[str, ...]:
    """Return keys, one for each run, all different.

    Raises:
        TypeError, ValueError: unequal lengths, a key that is no text, empty or used twice.
    """
    if isinstance(keys, (str, bytes)):
        raise TypeError(f"expected {name} to be a sequence of keys, found the text {keys!r}")
    given: tuple[object, ...] = listed(keys, name)
    same_length(runs, given, f"runs and {name}")
    seen: dict[str, None] = {}
    for i, key in enumerate(given):
        if not isinstance(key, str) or not key:
            raise TypeError(f"expected {name}[{i}] to be text that names a run, found {key!r}")
        if key in seen:
            raise ValueError(f"expected {name} that differ, found {key!r} twice")
        seen[key] = None
    return tuple(seen)


def checked_clusters(
    clusters: Sequence[Hashable], runs: Sequence[object], name: str
) -> tuple[Hashable, ...]:
    """Return cluster labels, one for each run.

    Raises:
        TypeError, ValueError: unequal lengths, a label that is None, NaN or without a hash.
    """
    if isinstance(clusters, (str, bytes)):
        raise TypeError(f"expected {name} to be a sequence of labels, found {clusters!r}")
    checked = listed(clusters, name)
    same_length(runs, checked, f"runs and {name}")
    for i, label in enumerate(checked):
        # None would join all runs that lack a label, and NaN equals nothing.
        if label is None or (isinstance(label, float) and math.isnan(label)):
            raise TypeError(f"expected {name}[{i}] to be a label, found {label!r}")
        try:
            hash(label)
        except TypeError:
            raise TypeError(f"expected {name}[{i}] to be a label, found {label!r}") from None
    return checked
