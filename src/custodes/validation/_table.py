"""A table that a person wrote: columns by name, rows with the line that they stand in."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LARGEST_TABLE = 256 << 20
"""Bytes of a table."""
LONGEST_CELL = 100_000
"""Characters of one cell."""


class BadTable(ValueError):
    """A table that cannot be used; one line: file, line, what was expected and found."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line that it begins in, and its cells without space around them."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its columns in order.

    Attributes:
        path: as given by the user.
        data: the file's bytes, of which a document states the digest.
    """

    path: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    data: bytes

    def fault(self, line: int, text: str) -> BadTable:
        return BadTable(f"{self.path}:{line}: {text}")

    def need(self, columns: Sequence[str]) -> None:
        """Refuse a table without these columns.

        Raises:
            BadTable: naming what is missing and what there is.
        """
        absent = [name for name in columns if name not in self.columns]
        if absent:
            raise self.fault(
                1,
                f"expected {'a column' if len(absent) == 1 else 'columns'} "
                f"{', '.join(map(repr, absent))}, found {', '.join(map(repr, self.columns))}",
            )


def read_table(path: str) -> Table:
    """Read comma-separated values with a row of column names.

    Raises:
        BadTable: for anything that is not such a table, with file and line.
        OSError: when the file cannot be read.
    """
    with Path(path).open("rb") as file:
        data = file.read(LARGEST_TABLE + 1)
    if len(data) > LARGEST_TABLE:
        raise BadTable(f"{path}:1: expected at most {LARGEST_TABLE} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadTable(f"{path}:{line}: expected UTF-8 text") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadTable(f"{path}:{line}: expected text, found a zero byte")
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: tuple[str, ...] | None = None
    rows: list[Row] = []
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if header is None:
                    header = _header(path, line, cells)
                elif len(cells) != len(header):
                    raise BadTable(
                        f"{path}:{line}: expected {len(header)} cells as in the first row, found "
                        f"{len(cells)}"
                    )
                else:
                    stripped = (cell.strip() for cell in cells)
                    rows.append(Row(line, dict(zip(header, stripped, strict=True))))
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadTable(f"{path}:{line}: expected comma-separated values, found: {error}") from None
    if header is None:
        raise BadTable(f"{path}:1: expected a row of column names, found an empty file")
    if not rows:
        raise BadTable(f"{path}:1: expected rows below the column names, found none")
    return Table(path, header, tuple(rows), data)


def _header(path: str, line: int, cells: list[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    for position, name in enumerate(names, start=1):
        if not name:
            raise BadTable(f"{path}:{line}: expected a name for column {position}, found none")
        if name in names[: position - 1]:
            raise BadTable(f"{path}:{line}: expected each column once, found {name!r} twice")
    return names


def whole_number(table: Table, row: Row, column: str) -> int:
    """A count or index in a cell.

    Raises:
        BadTable: when it is none.
    """
    text = row.cells[column]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise table.fault(
            row.line, f"expected {column} as a whole number from 0, found {text!r}"
        )
    return int(text)


def number(table: Table, row: Row, column: str) -> float:
    """A finite number in a cell.

    Raises:
        BadTable: when it is none, or infinite, or not a number.
    """
    text = row.cells[column]
    try:
        # Python also reads 1_0 and the digits of every script: nobody writes a score so.
        value = float(text if text.isascii() and "_" not in text else "no number")
    except ValueError:
        raise table.fault(row.line, f"expected {column} as a number, found {text!r}") from None
    if not math.isfinite(value):
        raise table.fault(
            row.line,
            f"expected {column} as a finite number, found {text!r}; leave the cell empty where "
            "the monitor gave no score",
        )
    return value
