"""Runs files of all kinds into one set of checked runs, with an account of what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from custodes.statistics import HorizonRuns, RunError, TaskRun
from custodes.transcripts import Source

from ._columns import Columns, Scoring, columns_of, run_of
from ._inspect_runs import is_inspect_log, rows_of_log
from ._table import BadInput, Row, opened, rows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """What one file held.

    Attributes:
        path: as given. rows: records in it. by_people: of them, runs by persons, left out.
        fatal: runs that ended in an error; they count with the score that they have.
        columns: which column holds what; None for a log of Inspect.
    """

    path: str
    rows: int
    by_people: int
    fatal: int
    columns: Columns | None


def read_runs(
    paths: Iterable[str], *, scoring: Scoring = "binarized", scorer: str | None = None
) -> tuple[HorizonRuns, tuple[FileRead, ...]]:
    """Read runs files and logs of Inspect, and check them together.

    Args:
        paths: files: CSV, JSON lines or a JSON array with METR's columns, or logs of Inspect.
        scoring: which score of a runs file counts.
        scorer: of a log of Inspect, whose score counts; None: the only one.

    Raises:
        BadInput: one line with file, place and what was expected.
    """
    records: list[TaskRun] = []
    places: list[Row] = []
    files: list[FileRead] = []
    for path in paths:
        with opened(path) as source:
            files.append(_read(source, scoring, scorer, records, places))
    if scorer is not None and all(file.columns is not None for file in files):
        names = ", ".join(file.path for file in files)
        raise BadInput(names, "", "expected a log of Inspect with --scorer, found none")
    try:
        return HorizonRuns.from_records(records), tuple(files)
    except RunError as error:
        earlier, text = "", str(error)
        if error.other is not None:
            other = places[error.other]
            same = other.file == places[error.index].file
            earlier = f" (first in {other.place if same else f'{other.file}, {other.place}'})"
            # Places among the records tell a reader of files nothing.
            for inner in (f" (first in record {error.other})", f" (record {error.other})"):
                before, found, after = text.rpartition(inner)
                text = before + after if found else text
        raise places[error.index].refuse(text + earlier) from None
    except ValueError as error:
        if records:
            raise
        names = ", ".join(file.path for file in files) or "no file"
        people = sum(file.by_people for file in files)
        found = f"{people} by people alone" if people else "none"
        raise BadInput(names, "", f"expected at least one run, found {found}") from error


def _read(
    source: Source,
    scoring: Scoring,
    scorer: str | None,
    records: list[TaskRun],
    places: list[Row],
) -> FileRead:
    is_log = is_inspect_log(source)
    rows: Iterator[Row] = rows_of_log(source, scorer) if is_log else rows_of(source)
    columns: Columns | None = None
    count = people = fatal = 0
    for row in rows:
        count += 1
        columns = columns or columns_of(row, scoring)
        run = run_of(row, columns)
        if run is None:
            people += 1
            continue
        fatal += row.values.get("fatal_error_from") not in (None, "", "nan")
        records.append(run)
        places.append(Row(file=row.file, place=row.place, values={}))
    if count == 0:
        raise BadInput(source.path, "", "expected runs, found none")
    return FileRead(
        path=source.path,
        rows=count,
        by_people=people,
        fatal=fatal,
        columns=None if is_log else columns,
    )
