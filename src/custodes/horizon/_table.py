"""Rows of named values from CSV, JSON lines and JSON, each with the place that it stands at."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from custodes.transcripts import Limits, ReadError, Source, decode_json

LIMITS = Limits(document=1 << 30, line=4 << 20, depth=60)
_SHOWN = 60
_GZIP = b"\x1f\x8b"
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


class BadInput(Exception):
    """A file that cannot be used; one line that says where, what was expected and found."""

    def __init__(self, file: str, place: str, text: str) -> None:
        where = f"{file}:{place.removeprefix('line ')}" if place.startswith("line ") else file
        rest = "" if place.startswith("line ") or not place else f"{place}: "
        super().__init__(f"{where}: {rest}{text}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record.

    Attributes:
        file: path as given. place: `line 7`, `record 3` or the name of a sample.
        values: by column; text where the format has nothing else.
    """

    file: str
    place: str
    values: Mapping[str, Any]

    def refuse(self, text: str) -> BadInput:
        return BadInput(self.file, self.place, text)


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """A file of the input.

    Raises:
        BadInput: it cannot be opened, is compressed, or is no file of its own (a folder, a pipe).
    """
    try:
        with Source(path, limits=LIMITS) as source:
            if source.head.startswith(_GZIP):
                raise BadInput(path, "", "expected text, found gzip; unpack it first")
            yield source
    except ReadError as error:
        raise BadInput(path, error.position, error.reason) from None
    except OSError as error:
        if path == "-":
            text = "expected a file, found none of that name; standard input is not read"
            raise BadInput(path, "", text) from None
        raise BadInput(path, "", f"expected a file to read, found: {error.strerror}") from None


def shown(value: object) -> str:
    """A value of the input for a message: short, on one line, without control characters."""
    text = repr(value)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def rows_of(source: Source) -> Iterator[Row]:
    """The records of a CSV file, a JSON array of objects, or lines of JSON objects.

    Raises:
        BadInput: no such table: broken text, a line with another number of fields than the header
            has, a column named twice, a record that is no object.
    """
    try:
        yield from _rows(source)
    except ReadError as error:
        raise BadInput(source.path, error.position, error.reason) from None


def _rows(source: Source) -> Iterator[Row]:
    start = source.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"[":
        yield from _array(source, _decoded(source.document(), source.limits))
    elif start == b"{":
        yield from _lines(source)
    elif start:
        yield from _csv(source)


def _array(source: Source, values: object) -> Iterator[Row]:
    assert isinstance(values, list)
    for number, value in enumerate(values, 1):
        yield _row(source, f"record {number}", value)


def _lines(source: Source) -> Iterator[Row]:
    for line in source.lines():
        place = f"line {line.number}"
        yield _row(source, place, _decoded(line.data, source.limits, place))


def _decoded(data: bytes, limits: Limits, place: str = "") -> object:
    """The value of a JSON text, with the NaN and Infinity that pandas writes as numbers."""
    value = decode_json(data, limits, place)
    if b"NaN" in data or b"Infinity" in data:
        try:
            return json.loads(data.decode("utf-8-sig"))
        except ValueError:  # an integer of thousands of digits
            return value
    return value


def _row(source: Source, place: str, value: object) -> Row:
    if not isinstance(value, dict):
        raise BadInput(source.path, place, f"expected an object, found {shown(value)}")
    return Row(file=source.path, place=place, values=value)


def _csv(source: Source) -> Iterator[Row]:
    numbers: list[int] = []

    def text() -> Iterator[str]:
        for line in source.lines():
            numbers.append(line.number)
            try:
                yield line.data.decode("utf-8") + "\n"
            except UnicodeDecodeError as error:
                reason = f"expected UTF-8, found a byte that is none (at {error.start})"
                raise BadInput(source.path, f"line {line.number}", reason) from None

    reader = csv.reader(text(), strict=True)
    header: list[str] | None = None
    while True:
        first = len(numbers)
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = f"line {numbers[min(first, len(numbers) - 1)]}"
            raise BadInput(source.path, place, f"expected CSV, found: {error}") from None
        place = f"line {numbers[first]}"
        if header is None:
            header = [name.strip() for name in fields]
            other = next((word for sign, word in _SEPARATORS.items() if sign in fields[0]), None)
            if len(fields) == 1 and other is not None:
                text_of = f"expected columns separated by commas, found {other}"
                raise BadInput(source.path, place, text_of)
            twice = next((name for name in header if header.count(name) > 1), None)
            if twice is not None:
                text_of = f"expected each column once, found {shown(twice)} twice"
                raise BadInput(source.path, place, text_of)
            continue
        if len(fields) != len(header):
            raise BadInput(
                source.path, place, f"expected {len(header)} fields as in the header, "
                f"found {len(fields)}",
            )  # fmt: skip
        yield Row(file=source.path, place=place, values=dict(zip(header, fields, strict=True)))
        if first > 100_000:  # places of lines that were read long ago are of no more use
            del numbers[:first]
