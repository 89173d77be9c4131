"""A validation of monitors as one offline page of HTML without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from jinja2 import Environment
from markupsafe import Markup

from custodes.types import Estimate
from custodes.validation import (
    AttackFigures,
    GroupFigures,
    Rate,
    Recall,
    UnitFigures,
    Validation,
)

from . import _text
from ._templates import page_environment
from ._validation_summary import estimate_text, number_text

LAID_OUT = 200
"""Rows of one table; the rest is counted."""
LONGEST = 600
"""Characters of one text that the page shows; the document has the rest."""


def validation_page(result: Validation) -> str:
    """The page; it holds no time of rendering. Secrets were masked where the logs were read."""
    return _environment().get_template("validation.html.j2").render(v=result, most=LAID_OUT)


def _columns(figures: UnitFigures) -> dict[str, list[GroupFigures]]:
    """Groups by their column, the clusters last."""
    found: dict[str, list[GroupFigures]] = {}
    for group in figures.groups:
        found.setdefault(group.column, []).append(group)
    return dict(sorted(found.items(), key=lambda item: (item[0] == "cluster", item[0])))


def _falls(
    attacks: Sequence[AttackFigures], threshold: str | float
) -> list[tuple[AttackFigures, Recall]]:
    """The recalls at one threshold, the largest fall first."""
    name = threshold if isinstance(threshold, str) else f"fpr {threshold:g}"
    found = [(a, recall) for a in attacks for recall in a.recalls if recall.threshold == name]
    return sorted(found, key=lambda pair: -(pair[1].fall.value or 0.0))


def _interval(estimate: Estimate) -> str:
    """The ends of the interval, or why there is none."""
    if estimate.low is not None and estimate.high is not None:
        return f"{number_text(estimate.low)} to {number_text(estimate.high)}"
    return estimate.note or "no interval"


def _missing(rate: Rate) -> str:
    """The bounds that what is missing leaves; empty when nothing is."""
    ends = [e.value for e in (rate.worst, rate.best) if e.value is not None]
    if not rate.observed.missing or len(ends) < 2:
        return ""
    return (
        f"{number_text(min(ends))} to {number_text(max(ends))} with {rate.observed.missing} missing"
    )


def _finalize(value: object) -> object:
    """All text is escaped, made visible, and no longer than a reader can use."""
    if isinstance(value, str) and not isinstance(value, Markup):
        shown, left = _text.clip(value, LONGEST)
        value = f"{shown}… ({left} more characters)" if left else shown
    return _text.finalize(value)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = page_environment(_finalize)
    environment.filters["estimate"] = estimate_text
    environment.filters["number"] = number_text
    environment.filters["interval"] = _interval
    environment.filters["missing"] = _missing
    environment.filters["columns"] = _columns
    environment.filters["falls"] = _falls
    return environment
