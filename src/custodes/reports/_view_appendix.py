"""Plan, environment, logs and measurements, as the ledger has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from custodes.case import REPORT_RENDERED, Case
from custodes.runs import Results
from custodes.types import JsonObject, Sha256

from ._text import number

_ESTIMAND = re.compile(
    r"P\((?P<rate>[a-z_]+(?: \| [a-z_]+)?)\) of (?P<subject>\S+) in (?P<scenario>\S+) "
    r"(?P<cell>\S+) level=(?P<level>\S+) twin=(?P<twin>\S+)\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """The ledger up to its newest event that is no rendering of a report.

    A report that counted its own rendering would differ each time it is rendered.
    """

    head: Sha256
    events: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One recorded estimate: count, interval or the number of its note, missing."""

    count: str
    interval: str
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRow:
    """The estimates of one group; ``rates`` in the order of the table's columns."""

    subject: str
    reference: bool
    scenario: str
    cell: str
    level: str
    twin: str
    rates: tuple[Rate | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherMeasurement:
    estimand: str
    count: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All measurements of a case.

    Attributes:
        methods: each method, code version, level and note that occurs, with how often.
    """

    columns: tuple[str, ...]
    rows: tuple[MeasuredRow, ...]
    others: tuple[OtherMeasurement, ...]
    methods: tuple[tuple[str, int], ...]


def as_of(case: Case) -> AsOf:
    """Where the ledger stood when there was last something new to report."""
    head, events, first, last = Sha256("0" * 64), 0, 0, 0
    for event in case.events():
        first = first or event.at
        if event.kind != REPORT_RENDERED:
            head, events, last = event.head, event.seq + 1, event.at
    return AsOf(head=head, events=events, first_us=first, last_us=last)


def measured(results: Results) -> Measured:
    """The recorded measurements as a table."""
    references = {subject.id for subject in results.subjects if subject.is_reference}
    rows: dict[tuple[str, ...], dict[str, Rate]] = {}
    others: list[OtherMeasurement] = []
    methods: dict[str, int] = {}
    columns: dict[str, None] = {}
    for name, document in results.measurements.items():
        estimate = document["estimate"]
        assert isinstance(estimate, Mapping)
        said = _method(document, estimate)
        methods[said] = methods.get(said, 0) + 1
        found = _ESTIMAND.match(name)
        if found is None:
            others.append(
                OtherMeasurement(
                    estimand=name, count=_count(estimate), note=str(estimate["note"] or "")
                )
            )
            continue
        place = (
            found["subject"],
            found["scenario"],
            found["cell"],
            found["level"],
            found["twin"],
        )
        columns[found["rate"]] = None
        rows.setdefault(place, {})[found["rate"]] = Rate(
            count=_count(estimate),
            interval=_interval(estimate),
            missing=_whole(estimate["missing"]),
        )
    return Measured(
        columns=tuple(columns),
        rows=tuple(
            MeasuredRow(
                subject=subject,
                reference=subject in references,
                scenario=scenario,
                cell=cell,
                level=level,
                twin=twin,
                rates=tuple(rates.get(column) for column in columns),
            )
            for (subject, scenario, cell, level, twin), rates in rows.items()
        ),
        others=tuple(others),
        methods=tuple(sorted(methods.items(), key=lambda item: (-item[1], item[0]))),
    )


def _count(estimate: JsonObject) -> str:
    value, n = estimate["value"], _whole(estimate["n"])
    if not isinstance(value, (int, float)) or not n:
        return "n = 0"
    return f"{round(value * n)} of {n}"


def _interval(estimate: JsonObject) -> str:
    low, high = estimate["low"], estimate["high"]
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    return f"{number(low)} to {number(high)}"


def _method(document: JsonObject, estimate: JsonObject) -> str:
    level = estimate["level"]
    assert isinstance(level, (int, float))
    interval = "no interval" if estimate["low"] is None else f"interval at {level * 100:g} %"
    note = f"; {estimate['note']}" if estimate["note"] else ""
    return f"{estimate['method']} ({document['code']}), {interval}{note}"


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, found {value!r}")
    return value
