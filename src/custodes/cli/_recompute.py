"""``verify --recompute``: every recorded number computed again from the sealed episodes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from custodes.case import VerifyResult
    from custodes.types import JsonValue

TOLERANCE: Final = 1e-9
"""Largest difference, absolute or relative, between a number recorded and computed again."""


def recomputed(folder: Path, before: VerifyResult) -> VerifyResult:
    """The result of an integrity check with what the arithmetic adds to it.

    Args:
        folder: a case.
        before: its integrity; when that is broken, nothing is computed.
    """
    from custodes.case import Case, CaseError, Problem
    from custodes.runs import measure, read_results

    if not before.ok:
        said = "the arithmetic: the case is not intact, so nothing was computed"
        return dataclasses.replace(before, not_checkable=(*before.not_checkable, said))
    try:
        with Case.open(folder, write=False) as case:
            results = read_results(case)
            fresh = {found.estimand: found.to_json() for found in measure(results)}
    except (CaseError, ValueError, KeyError, LookupError) as error:
        problem = Problem(where=folder.name, what=f"the numbers cannot be computed: {error}")
        return dataclasses.replace(before, ok=False, problems=(*before.problems, problem))
    problems = list(before.problems)
    open_points = list(before.not_checkable)
    methods = {found.get("code") for found in fresh.values()}
    checked = 0
    for name, recorded in results.measurements.items():
        again = fresh.get(name)
        if again is None and methods and recorded.get("code") not in methods:
            open_points.append(f"{name}: its method {recorded.get('code')} is not one done here")
        elif again is None:
            problems.append(
                Problem(where=name, what="recorded, and nothing sealed gives such a number")
            )
        elif recorded.get("code") != again.get("code"):
            open_points.append(
                f"{name}: recorded by method {recorded.get('code')}, here is {again.get('code')}"
            )
        else:
            checked += 1
            problems += [
                Problem(where=f"{name}: {part}", what=what)
                for part, what in differences(recorded, again)
            ]
    problems += [
        Problem(where=name, what="follows from what is sealed, and was not recorded")
        for name in fresh
        if name not in results.measurements
    ]
    return dataclasses.replace(
        before,
        ok=not problems,
        level="arithmetic",
        problems=tuple(problems),
        notes=(*before.notes, f"{checked} numbers were computed again"),
        not_checkable=(*open_points, "the episodes: only running them again would show"),
    )


def differences(a: JsonValue, b: JsonValue, part: str = "") -> Iterator[tuple[str, str]]:
    """Where two documents differ by more than :data:`TOLERANCE`: the place, and what is there."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(a.keys() | b.keys()):
            yield from differences(a.get(key), b.get(key), f"{part}.{key}" if part else key)
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for number, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differences(one, other, f"{part}[{number}]")
    elif not _same(a, b):
        yield part, f"recorded {str(a)[:80]}, computed {str(b)[:80]}"


def _same(a: JsonValue, b: JsonValue) -> bool:
    numbers = (int, float)
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, numbers) and isinstance(b, numbers):
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return a == b
