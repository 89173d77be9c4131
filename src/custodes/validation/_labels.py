"""Labels: which recorded runs were violations, and what else is known of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from custodes.types import Sha256, sha256_of

from ._table import BadTable, Row, Table, read_table, whole_number

KNOWN_COLUMNS = ("path", "run", "label", "cluster", "harm_at", "split", "model")
"""Columns with a meaning; every other one is a grouping."""
CLUSTER = "cluster"
"""The grouping by cluster, which every measurement has."""


class BadLabels(ValueError):
    """Labels that do not fit; one line: file, line, what was expected and found."""


class Split(StrEnum):
    """What a run is used for where a threshold is fitted."""

    CALIBRATION = "calibration"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a person says of one run.

    Attributes:
        line: in the labels file.
        path: as written there.
        run: name of the run within its file, or None for every run of the file.
        violation: whether it is one; otherwise it is benign.
        cluster: runs of one cluster are not independent; None: taken from the log.
        harm_at: index of the event that does the harm, or None.
        split: what it is used for, or None: drawn.
        groups: the model and further columns, without empty cells.
    """

    line: int
    path: str
    run: str | None
    violation: bool
    cluster: str | None
    harm_at: int | None
    split: Split | None
    groups: Mapping[str, str]


class Labels:
    """The labels of one file, found by the real path of a log and the name of a run."""

    def __init__(self, table: Table, by_place: dict[tuple[str, str | None], Label]) -> None:
        self.path = table.path
        self.columns = tuple(name for name in table.columns if name not in KNOWN_COLUMNS)
        self.digest: Sha256 = sha256_of(table.data)
        self._by_place = by_place
        self._places = {label.line: place for (place, _), label in by_place.items()}

    def __iter__(self) -> Iterator[Label]:
        return iter(self._by_place.values())

    def __len__(self) -> int:
        return len(self._by_place)

    @property
    def has_split(self) -> bool:
        return any(label.split is not None for label in self._by_place.values())

    def of(self, place: str, run: str) -> Label | None:
        """The label of a run: its own, or the one of its whole file."""
        return self._by_place.get((place, run)) or self._by_place.get((place, None))

    def place_of(self, label: Label) -> str:
        """The real path of the file that a label names."""
        return self._places[label.line]

    def need_files(self, places: frozenset[str]) -> None:
        """Refuse a label of a file that is not among those to be read.

        Raises:
            BadLabels: naming the first such line.
        """
        for (place, _), label in self._by_place.items():
            if place not in places:
                raise self.fault(
                    label,
                    f"expected the path of a log among those to be read, found {label.path!r}",
                )

    def fault(self, label: Label, text: str) -> BadLabels:
        return BadLabels(f"{self.path}:{label.line}: {text}")


def read_labels(path: str) -> Labels:
    """Read a file of labels (docs/monitor_validation.md describes it).

    Raises:
        BadLabels: naming file and line, what was expected and what was found.
        OSError: when it cannot be read.
    """
    try:
        table = read_table(path)
        table.need(("path", "label"))
        by_place: dict[tuple[str, str | None], Label] = {}
        for row in table.rows:
            place, label = _label(table, row)
            before = by_place.setdefault((place, label.run), label)
            if before is not label:
                what = label.path if label.run is None else f"{label.path} run {label.run}"
                raise table.fault(
                    row.line, f"expected each run once, found {what!r} again (line {before.line})"
                )
        _split_is_whole(table, by_place.values())
    except BadTable as error:
        raise BadLabels(str(error)) from None
    return Labels(table, by_place)


def _label(table: Table, row: Row) -> tuple[str, Label]:
    cells = row.cells
    if not cells["path"]:
        raise table.fault(row.line, "expected the path of a log, found an empty cell")
    if cells["label"] not in ("violation", "benign"):
        raise table.fault(
            row.line, f"expected label violation or benign, found {cells['label']!r}"
        )
    violation = cells["label"] == "violation"
    harm_at = whole_number(table, row, "harm_at") if cells.get("harm_at") else None
    if harm_at is not None and not violation:
        raise table.fault(row.line, "expected harm_at only where the label is violation")
    split = None
    if cells.get("split"):
        if cells["split"] not in Split.__members__.values():
            raise table.fault(
                row.line, f"expected split calibration or test, found {cells['split']!r}"
            )
        split = Split(cells["split"])
    groups = {
        name: cells[name]
        for name in table.columns
        if (name == "model" or name not in KNOWN_COLUMNS) and cells[name]
    }
    return _place(table, cells["path"]), Label(
        line=row.line,
        path=cells["path"],
        run=cells.get("run") or None,
        violation=violation,
        cluster=cells.get("cluster") or None,
        harm_at=harm_at,
        split=split,
        groups=groups,
    )


def _place(table: Table, path: str) -> str:
    """The real path of a log: as given, or else relative to the labels file."""
    if not os.path.isabs(path) and not os.path.exists(path):
        beside = Path(table.path).parent / path
        if beside.exists():
            return os.path.realpath(beside)
    return os.path.realpath(path)


def _split_is_whole(table: Table, labels: Collection[Label]) -> None:
    given = [label for label in labels if label.split is not None]
    by_cluster: dict[str, Label] = {}
    for label in labels:
        if given and label.split is None:
            raise table.fault(
                label.line,
                "expected split calibration or test, as in other rows, found an empty cell",
            )
        if label.split is None or label.cluster is None:
            continue
        first = by_cluster.setdefault(label.cluster, label)
        if first.split is not label.split:
            raise table.fault(
                label.line,
                f"expected each cluster in one split, found {label.cluster!r} in {label.split} "
                f"here and in {first.split} in line {first.line}",
            )
