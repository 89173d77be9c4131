"""What `factors` refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from ._checks import checked_units, is_truth, listed, same_length


def checked_outcomes(
    outcomes: Sequence[int | bool | None], trials: Sequence[int] | None
) -> tuple[list[int | None], list[int], int]:
    """Events by row (None when missing), episodes by row, and the episodes missing."""
    if trials is not None:
        same_length(trials, outcomes, "trials and outcomes")
    counts: list[int | None] = []
    episodes = []
    for i, outcome in enumerate(outcomes):
        size = 1 if trials is None else checked_units(trials[i], f"trials[{i}]", least=1)
        count = None
        if outcome is not None:
            whole = int(outcome) if is_truth(outcome) else outcome
            count = checked_units(whole, f"outcomes[{i}]")
            if count > size:
                raise ValueError(f"expected outcomes[{i}] to be at most {size}, found {count}")
        counts.append(count)
        episodes.append(size)
    missing = sum(size for count, size in zip(counts, episodes, strict=True) if count is None)
    return counts, episodes, missing


def check_columns(columns: Mapping[str, Sequence[str]], outcomes: Sequence[object]) -> None:
    if not isinstance(columns, Mapping):
        raise TypeError(
            f"expected columns to map factors to levels, found {type(columns).__name__}"
        )
    if not columns:
        raise ValueError("expected at least one factor, found none")
    for name, column in columns.items():
        if isinstance(column, (str, bytes)):
            raise TypeError(f"expected the levels of {name} by row, found {column!r}")
        same_length(column, outcomes, f"{name} and outcomes")
        for i, value in enumerate(column):
            if not isinstance(value, str):
                raise TypeError(f"expected {name}[{i}] to be a text, found {value!r}")
            if not value:
                raise ValueError(f"expected {name}[{i}] to be a level, found an empty text")


def checked_interactions(
    interactions: Sequence[Sequence[str]], columns: Mapping[str, Sequence[str]]
) -> list[tuple[str, ...]]:
    terms: list[tuple[str, ...]] = []
    for interaction in listed(interactions, "interactions"):
        interaction = listed(interaction, "an interaction, as names of factors,")
        unknown = [name for name in interaction if name not in columns]
        if unknown:
            raise ValueError(f"expected interactions of {tuple(columns)}, found {unknown[0]!r}")
        term = tuple(name for name in columns if name in interaction)
        if len(term) < 2 or len(term) != len(interaction):
            raise ValueError(f"expected two or more different factors, found {interaction!r}")
        if term in terms:
            raise ValueError(f"expected each interaction once, found {term!r} again")
        terms.append(term)
    terms.sort(key=len)
    for term in terms:
        for pair in combinations(term, len(term) - 1):
            if len(pair) > 1 and pair not in terms:
                raise ValueError(f"expected {term!r} to come with {pair!r}, which is not asked for")
    return terms
