"""A table of scores that a monitor gave elsewhere: rows become units, nothing is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from custodes.types import Sha256, sha256_of

from ._labels import CLUSTER, Split
from ._table import BadTable, Row, Table, number, read_table

_LABELS = {
    "violation": True,
    "true": True,
    "yes": True,
    "1": True,
    "benign": False,
    "false": False,
    "no": False,
    "0": False,
}
PERCENT = 100.0


class BadScores(ValueError):
    """A table of scores that does not fit; one line: file, line, what was expected and found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRow:
    """One row of a table of scores.

    Attributes:
        score: in [0, 1] after division by the scale, or None for an empty cell.
        split: where the table says it.
        groups: values of the grouping columns.
    """

    line: int
    score: float | None
    violation: bool
    cluster: str
    split: Split | None
    groups: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Scores with their labels.

    Attributes:
        clustered: whether a column says which rows belong together; otherwise each row is taken
            as independent of the others.
    """

    path: str
    digest: Sha256
    rows: tuple[ScoredRow, ...]
    clustered: bool
    has_split: bool


def read_scores(
    path: str,
    *,
    score_column: str = "score",
    label_column: str = "label",
    cluster_column: str | None = None,
    by: Sequence[str] = (),
    scale: float = 1.0,
) -> ScoreTable:
    """Read a table of scores.

    Args:
        score_column: a number from 0 to ``scale``; empty where the monitor gave none.
        label_column: violation or benign, true or false, yes or no, 1 or 0.
        cluster_column: rows with one value are not independent; a column ``cluster`` is taken
            when there is one and nothing else is said.
        by: columns to group by.
        scale: what a score is out of.

    Raises:
        BadScores: naming file and line, what was expected and what was found.
        OSError: when it cannot be read.
    """
    try:
        table = read_table(path)
        if cluster_column is None and "cluster" in table.columns:
            cluster_column = "cluster"
        if CLUSTER in by:
            raise table.fault(
                1,
                f"expected a grouping of another name, found --by {CLUSTER}: every document has "
                "a grouping by cluster already; leave it out, or give the column another name",
            )
        named = [score_column, label_column, *by]
        table.need([*named, cluster_column] if cluster_column else named)
        _one_unit(table, score_column, scale)
        # A table sorted by group may write the group's name once; an empty group is still one.
        rows = tuple(
            _row(table, row, score_column, label_column, cluster_column, by, scale)
            for row in table.rows
        )
        _split_is_whole(table, rows)
    except BadTable as error:
        raise BadScores(str(error)) from None
    return ScoreTable(
        path=path,
        digest=sha256_of(table.data),
        rows=rows,
        clustered=cluster_column is not None,
        has_split=any(row.split is not None for row in rows),
    )


def _row(
    table: Table,
    row: Row,
    score_column: str,
    label_column: str,
    cluster_column: str | None,
    by: Sequence[str],
    scale: float,
) -> ScoredRow:
    cells = row.cells
    label = _LABELS.get(cells[label_column].lower())
    if label is None:
        raise table.fault(
            row.line,
            f"expected {label_column} as violation or benign (or true or false, yes or no, 1 or "
            f"0), found {cells[label_column]!r}",
        )
    if cluster_column is not None and not cells[cluster_column]:
        raise table.fault(row.line, f"expected a {cluster_column}, found an empty cell")
    split = cells.get("split", "")
    if split and split not in Split.__members__.values():
        raise table.fault(row.line, f"expected split calibration or test, found {split!r}")
    score = number(table, row, score_column) / scale if cells[score_column] else None
    return ScoredRow(
        line=row.line,
        score=score,
        violation=label,
        cluster=f"line {row.line}" if cluster_column is None else cells[cluster_column],
        split=Split(split) if split else None,
        groups={name: cells[name] for name in by if cells[name]},
    )


def _one_unit(table: Table, column: str, scale: float) -> None:
    """Refuse scores outside the scale, and fractions among percentages."""
    read = [(row, number(table, row, column)) for row in table.rows if row.cells[column]]
    fraction = next((row for row, value in read if 0 < value < 1), None)
    for row, value in read:
        if 0 <= value <= scale:
            continue
        hint = ""
        if scale == 1 and 1 < value <= PERCENT:
            hint = "; if the scores run to 100, say so with --scale 100"
            if fraction is not None:
                hint = (
                    f" here and {fraction.cells[column]} in line {fraction.line}: mixed units; "
                    "write all of them in one"
                )
        raise table.fault(
            row.line, f"expected {column} within [0, {scale:g}], found {row.cells[column]}{hint}"
        )
    if scale <= 1 or not read:
        return
    largest_row, largest = max(read, key=lambda item: item[1])
    if largest <= 1 and fraction is not None:
        raise table.fault(
            largest_row.line,
            f"expected {column} out of {scale:g}, found nothing above {largest:g}; leave --scale "
            "out if the scores are shares already",
        )
    whole = all(value == int(value) for _, value in read if value >= 1)
    if fraction is not None and whole and largest > 1:
        raise table.fault(
            fraction.line,
            f"expected {column} in one unit, found {fraction.cells[column]} here and "
            f"{largest_row.cells[column]} in line {largest_row.line}: mixed units; write all of "
            "them in one",
        )


def _split_is_whole(table: Table, rows: Sequence[ScoredRow]) -> None:
    given = any(row.split is not None for row in rows)
    first: dict[str, ScoredRow] = {}
    for row in rows:
        if given and row.split is None:
            raise table.fault(
                row.line, "expected split calibration or test, as in other rows, found neither"
            )
        before = first.setdefault(row.cluster, row)
        if before.split is not row.split:
            raise table.fault(
                row.line,
                f"expected each cluster in one split, found {row.cluster!r} in {row.split} here "
                f"and in {before.split} in line {before.line}",
            )
