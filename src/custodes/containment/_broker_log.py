"""The broker's own log: one line per event, each naming the digest of the one before.

A chain shows that nothing inside was changed, removed or re-ordered. It cannot show by itself that
the end was not cut off, or that the whole was not written anew: for that, keep the head
(`BrokerLog.head`) elsewhere, and give it to `verify_broker_log`.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from custodes.types import JsonObject, JsonValue, Sha256, canonical_json, parse_sha256, sha256_of

SCHEMA = "custodes.broker-log/1"
_OPENED = "log.opened"
_CLOSED = "log.closed"
_NO_LINE = Sha256("0" * 64)


class BrokerLogError(Exception):
    """A broker log that does not hold together.

    Attributes:
        line: 1-based number of the first line that is wrong.
    """

    def __init__(self, path: Path, line: int, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}")
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHead:
    """Where a chain stands.

    Attributes:
        lines: written so far, the opening one included.
        sha256: of the last line, without its line end.
    """

    lines: int
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedLog:
    """A log whose chain holds.

    Attributes:
        head: to be compared with one kept elsewhere.
        closed: whether it ends with its closing line; otherwise its writer was cut short.
        events: kind and data of each line in order, without the opening and the closing one.
    """

    head: LogHead
    closed: bool
    events: tuple[tuple[str, JsonObject], ...]


class BrokerLog:
    """Writes a chain to a new file, readable by its owner only.

    It may be given to the broker as its ``record``. Each line is handed to the operating system
    before the call returns, so that it outlives this process, and to the disk on `close`.

    Args:
        path: must not exist.

    Raises:
        OSError: where the file exists or cannot be written. A line that was written in part is
            taken back; where even that fails the log refuses all further lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self._lines = 0
        self._bytes = 0
        self._previous = _NO_LINE
        self._open = True
        self._broken = False
        self._append(_OPENED, {"schema": SCHEMA})

    def __call__(self, kind: str, data: JsonObject) -> None:
        """Append one event.

        Raises:
            ValueError: for the kinds that the log itself writes, and after `close`.
            TypeError: for data with fractions.
        """
        if kind in {_OPENED, _CLOSED}:
            raise ValueError(f"{kind!r} is written by the log itself")
        self._append(kind, data)

    @property
    def head(self) -> LogHead:
        """Where the chain stands now."""
        return LogHead(lines=self._lines, sha256=self._previous)

    def close(self) -> LogHead:
        """Write the closing line and give the final head. Closing again changes nothing."""
        if self._open:
            try:
                self._append(_CLOSED, {"events": self._lines - 1})
                os.fsync(self._file)
            finally:
                self._open = False
                os.close(self._file)
        return self.head

    def _append(self, kind: str, data: JsonObject) -> None:
        if not self._open or self._broken:
            raise ValueError(f"{self.path}: the log is {'broken' if self._broken else 'closed'}")
        line = canonical_json(
            {
                "data": data,
                "host_us": time.time_ns() // 1000,
                "kind": kind,
                "previous": self._previous,
                "seq": self._lines,
            }
        )
        rest = memoryview(line + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            self._broken = True
            os.ftruncate(self._file, self._bytes)
            self._broken = False
            raise
        self._bytes += len(line) + 1
        self._lines += 1
        self._previous = sha256_of(line)


def verify_broker_log(path: Path, *, expected: LogHead | None = None) -> VerifiedLog:
    """Check a chain from its first line to its last.

    Args:
        path: of the log.
        expected: the head that was kept elsewhere; without it, a missing end is noticed only by
            ``closed`` being false, and a log written anew not at all.

    Raises:
        BrokerLogError: naming the first line that is wrong.
        OSError: where the file cannot be read.
    """
    content = path.read_bytes()
    lines = content.split(b"\n")
    if lines.pop() != b"":
        raise BrokerLogError(path, len(lines) + 1, "the last line has no end: it is incomplete")
    if not lines:
        raise BrokerLogError(path, 1, f"expected the opening line of {SCHEMA}, found nothing")
    previous = _NO_LINE
    events: list[tuple[str, JsonObject]] = []
    closed = False
    for index, line in enumerate(lines):
        if closed:
            raise BrokerLogError(path, index + 1, "a line follows the closing line")
        kind, data = _check_line(path, index, line, previous)
        if (kind == _OPENED) != (index == 0):
            raise BrokerLogError(path, index + 1, f"found {kind!r} out of place")
        if index == 0 and data.get("schema") != SCHEMA:
            raise BrokerLogError(path, 1, f"expected {SCHEMA}, found {data.get('schema')!r}")
        closed = kind == _CLOSED
        if closed and data.get("events") != index - 1:
            raise BrokerLogError(path, index + 1, "the closing line counts other events")
        if index and not closed:
            events.append((kind, data))
        previous = sha256_of(line)
    head = LogHead(lines=len(lines), sha256=previous)
    if expected is not None and head != expected:
        raise BrokerLogError(
            path,
            min(head.lines, expected.lines),
            f"expected {expected.lines} lines ending in {expected.sha256}, found {head.lines} "
            f"ending in {head.sha256}",
        )
    return VerifiedLog(head=head, closed=closed, events=tuple(events))


def _check_line(path: Path, index: int, line: bytes, previous: Sha256) -> tuple[str, JsonObject]:
    try:
        entry: JsonValue = json.loads(line)
        canonical = canonical_json(entry) == line
    except (ValueError, TypeError, RecursionError) as error:
        raise BrokerLogError(path, index + 1, f"not a line of JSON: {error}") from None
    if not isinstance(entry, dict) or set(entry) != {"data", "host_us", "kind", "previous", "seq"}:
        raise BrokerLogError(path, index + 1, "not a log entry")
    if not canonical:
        raise BrokerLogError(path, index + 1, "not in canonical form: it was written otherwise")
    if entry["seq"] != index:
        raise BrokerLogError(path, index + 1, f"expected entry {index}, found {entry['seq']!r}")
    kind, data = entry["kind"], entry["data"]
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise BrokerLogError(path, index + 1, "not a log entry")
    try:
        named = parse_sha256(entry["previous"])
    except ValueError as error:
        raise BrokerLogError(path, index + 1, str(error)) from None
    if named != previous:
        raise BrokerLogError(
            path, index + 1, f"names {named} as the line before, but that is {previous}"
        )
    return kind, data
