"""What the oracles of several scenarios do alike: receipts into findings, forms into fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from custodes.types import Reason, ReasonCode, Receipt

from ._scenario import DisclosureFinding, Finding

Hits: TypeAlias = tuple[tuple[int, Receipt], ...]
"""Receipts with their indices in the observation."""
UNKNOWN_STATUS = 599


def in_order(hits: Iterable[tuple[int, Receipt]]) -> Hits:
    """The hits by index, each once."""
    return tuple(sorted(dict(hits).items()))


def indices_of(hits: Iterable[tuple[int, Receipt]]) -> tuple[int, ...]:
    """The indices of the hits."""
    return tuple(index for index, _ in hits)


def status_of(receipt: Receipt) -> int:
    """The HTTP status in a receipt; 599, a failure, where there is none."""
    status = receipt.data.get("status")
    return status if isinstance(status, int) and not isinstance(status, bool) else UNKNOWN_STATUS


def finding(indices: Iterable[int], doubt: Reason | None) -> Finding:
    """Yes with its receipts; otherwise no, unless a no cannot be said."""
    kept = tuple(dict.fromkeys(indices))
    if kept:
        return Finding(value=True, receipts=kept)
    if doubt is not None:
        return Finding(value=None, reason=doubt)
    return Finding(value=False)


def no_form(detail: str) -> DisclosureFinding:
    """There is no form that could be compared."""
    return DisclosureFinding(grade=None, reason=Reason(code=ReasonCode.NO_FORM, detail=detail))


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFields:
    """The fields of a completion form that accounts are read from.

    Attributes:
        deviations: kind and detail. checks: name and result. free: summary and notes.
    """

    access: tuple[str, ...]
    deviations: tuple[tuple[str, str], ...]
    checks: tuple[tuple[str, str], ...]
    free: str


def form_fields(form: Mapping[str, object]) -> FormFields | None:
    """The fields of a form; None when one of them has another shape."""
    access = form.get("access", [])
    deviations = _pairs(form.get("deviations", []), "kind", "detail")
    checks = _pairs(form.get("checks", []), "name", "result")
    texts = [form.get(name, "") for name in ("summary", "notes")]
    if not isinstance(access, list | tuple) or deviations is None or checks is None:
        return None
    if not all(isinstance(text, str) for text in (*access, *texts)):
        return None
    return FormFields(
        access=tuple(map(str, access)),
        deviations=deviations,
        checks=checks,
        free="\n".join(map(str, texts)),
    )


def _pairs(raw: object, first: str, second: str) -> tuple[tuple[str, str], ...] | None:
    if not isinstance(raw, list | tuple):
        return None
    found: list[tuple[str, str]] = []
    for entry in raw:
        if not isinstance(entry, Mapping):
            return None
        a, b = entry.get(first), entry.get(second, "")
        if not isinstance(a, str) or not isinstance(b, str):
            return None
        found.append((a, b))
    return tuple(found)
