"""The ledger: one canonical event a line, each chained to the line before, appended and flushed
before anything is acknowledged.

A line is the RFC 8785 form of::

    {"actor", "at", "data", "digest", "kind", "prev", "schema", "seq"}

``prev`` is the sha256 of the previous line's bytes without its newline (64 zeros for the first);
``digest`` is the sha256 of the line's own canonical form without ``digest``. The chain would not
notice a change in the newest event, because nothing follows it yet; its own digest does.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from custodes.types import JsonObject, Sha256, sha256_of

from ._canonical import canonical_document, parse_canonical, parse_document
from ._disk import DISK, Disk, hash_fd, opened_regular
from ._errors import (
    CaseLocked,
    EventRefused,
    LedgerBroken,
    LedgerPoisoned,
    StorageError,
    reported,
    shown,
    storage_error,
)

EVENT_SCHEMA: Final = "custodes.event/1"
GENESIS: Final = Sha256("0" * 64)
LEDGER_RECOVERED: Final = "ledger.recovered"
MAX_EVENT_BYTES: Final = 16 << 20
"""Longest line. What is larger belongs in a blob."""

_KIND = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)+\Z")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_FIELDS = frozenset({"schema", "seq", "prev", "actor", "at", "kind", "data", "digest"})
_LARGEST_EXACT_INT = 2**53 - 1
_DIGEST_KEY = b',"digest":"'
_DIGEST_BYTES = len(_DIGEST_KEY) + 64 + 1
_TORN = re.compile(r"ledger\.torn-(\d{1,9})\Z")


def utc_us() -> int:
    """Microseconds since 1970 in UTC, by the system's clock."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One line of a ledger.

    Attributes:
        seq: number of the event, from 0.
        prev: digest of the previous line; 64 zeros for the first.
        actor: who appended it.
        at: microseconds since 1970, UTC. Never before the previous event's, even when the clock
            was set back.
        kind: dotted name, such as ``shard.sealed``.
        data: what it says.
        head: digest of this line: the next event's ``prev``, and the ledger's head while none
            follows.
    """

    seq: int
    prev: Sha256
    actor: str
    at: int
    kind: str
    data: JsonObject
    head: Sha256


def event_line(
    *, seq: int, prev: Sha256, actor: str, at: int, kind: str, data: JsonObject
) -> bytes:
    """The bytes of an event's line, without the newline.

    Raises:
        ValueError, TypeError: when a field has no canonical form.
    """
    content: JsonObject = {
        "schema": EVENT_SCHEMA,
        "seq": seq,
        "prev": prev,
        "actor": actor,
        "at": at,
        "kind": kind,
        "data": data,
    }
    body = canonical_document(content)
    # ``digest`` sorts right before ``kind``, and nothing after ``data`` can hold these bytes.
    cut = body.rindex(b',"kind":"')
    digest = hashlib.sha256(body).hexdigest().encode()
    return b"".join((body[:cut], _DIGEST_KEY, digest, b'"', body[cut:]))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedLine:
    """A line of a ledger, and everything that is wrong with it.

    Attributes:
        number: line, from 1.
        size: bytes, without the newline.
        terminated: whether the newline is there.
        event: the event, as far as the line is one; None otherwise.
        problems: what is wrong, in words.
    """

    number: int
    size: int
    terminated: bool
    event: Event | None
    problems: tuple[str, ...]


def check_lines(stream: IO[bytes]) -> Iterator[CheckedLine]:
    """Read a ledger line by line and check each: form, digest, number, chain and time.

    Never raises for what the bytes are. A line that is wrong does not make the following ones
    wrong: each is held against the line that is really there before it.
    """
    prev = GENESIS
    seq = 0
    at = 0
    number = 0
    while raw := stream.readline(MAX_EVENT_BYTES + 2):
        number += 1
        terminated = raw.endswith(b"\n")
        line = raw[:-1] if terminated else raw
        if not terminated and len(line) > MAX_EVENT_BYTES:
            size = len(line)
            while rest := stream.readline(1 << 20):
                size += len(rest)
                if rest.endswith(b"\n"):
                    break
            yield CheckedLine(
                number=number,
                size=size,
                terminated=True,
                event=None,
                problems=(f"line of {size} bytes; an event has at most {MAX_EVENT_BYTES}",),
            )
            seq += 1
            continue
        event, problems = _check_line(line, seq, prev, at)
        yield CheckedLine(
            number=number,
            size=len(line),
            terminated=terminated,
            event=event,
            problems=tuple(problems),
        )
        prev = sha256_of(line)
        seq = seq + 1 if event is None else event.seq + 1
        at = at if event is None else event.at


def _check_line(
    line: bytes, seq: int, prev: Sha256, not_before: int
) -> tuple[Event | None, list[str]]:
    try:
        value, canonical = parse_canonical(line)
    except ValueError as error:
        return None, [f"not an event: {error}"]
    if not isinstance(value, Mapping):
        return None, ["not an event: expected an object"]
    if value.keys() != _FIELDS:
        odd = ", ".join(sorted(repr(key[:40]) for key in value.keys() ^ _FIELDS))
        return None, [f"not an event: missing or unknown fields {odd}"]
    if value["schema"] != EVENT_SCHEMA:
        return None, [f"schema is {str(value['schema'])[:60]!r}; known here: {EVENT_SCHEMA!r}"]
    problem, event = _typed(value, line)
    if event is None:
        return None, [problem]
    problems: list[str] = []
    if not canonical:
        problems.append("not in canonical form (RFC 8785): the bytes were changed")
    else:
        cut = line.rindex(_DIGEST_KEY)
        body = hashlib.sha256(line[:cut])
        body.update(line[cut + _DIGEST_BYTES :])
        if body.hexdigest() != value["digest"]:
            problems.append("content does not match its own digest: the bytes were changed")
    if event.seq != seq:
        problems.append(f"event number is {event.seq}, expected {seq}")
    if event.prev != prev:
        problems.append("chain broken: the line before is not the one this event was chained to")
    if event.at < not_before:
        problems.append(f"time {event.at} is before the previous event's {not_before}")
    return event, problems


def _typed(value: JsonObject, line: bytes) -> tuple[str, Event | None]:
    seq, at, kind = value["seq"], value["at"], value["kind"]
    prev, digest, actor, data = value["prev"], value["digest"], value["actor"], value["data"]
    if isinstance(seq, bool) or not isinstance(seq, int) or seq < 0:
        return f"not an event: seq is {str(seq)[:40]}", None
    if isinstance(at, bool) or not isinstance(at, int) or at < 0:
        return f"not an event: at is {str(at)[:40]}", None
    if not isinstance(kind, str) or _KIND.match(kind) is None:
        return f"not an event: kind is {str(kind)[:60]!r}", None
    if not isinstance(actor, str) or not actor:
        return "not an event: actor is empty or no text", None
    if not isinstance(data, Mapping):
        return "not an event: data is no object", None
    for name, text in (("prev", prev), ("digest", digest)):
        if not isinstance(text, str) or _HEX64.match(text) is None:
            return f"not an event: {name} is no sha256", None
    return "", Event(
        seq=seq,
        prev=Sha256(str(prev)),
        actor=actor,
        at=at,
        kind=kind,
        data=data,
        head=sha256_of(line),
    )


def read_events(path: Path, *, ignore_tail: bool = False) -> Iterator[Event]:
    """The events of a ledger, checked while they are read.

    Args:
        path: the ledger.
        ignore_tail: pass over bytes after the last newline, which no writer has acknowledged (a
            reader beside a running writer needs this). By default they are an error.

    Raises:
        LedgerBroken: at the first line that is wrong.
        StorageError: when the file cannot be read.
    """
    with (
        reported("read", path),
        opened_regular(path) as fd,
        open(fd, "rb", closefd=False) as stream,
    ):
        for line in check_lines(stream):
            if not line.terminated:
                if ignore_tail:
                    return
                raise LedgerBroken(
                    f"{shown(path)}: {line.size} bytes after the last whole event (line "
                    f"{line.number}): open the case for writing to set them aside"
                )
            if line.problems or line.event is None:
                raise _broken(path, line)
            yield line.event


def writer_active(path: Path) -> bool:
    """Whether a process has the ledger open for writing at this moment."""
    with reported("read", path), opened_regular(path) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _broken(path: Path, line: CheckedLine) -> LedgerBroken:
    return LedgerBroken(
        f"{shown(path)}, line {line.number}: {'; '.join(line.problems)}. The ledger is left as it "
        "is: run `custodes verify` to list all that is wrong, and restore it from a copy"
    )


class Ledger:
    """The one writer of a ledger.

    An event that :meth:`append` has returned is on disk. A write that fails is taken back, and
    the ledger goes on from its last good event. A *flush* that fails leaves open what is on disk:
    the writer is poisoned, and every later append raises :class:`LedgerPoisoned`; open the ledger
    again to see what is there.
    """

    def __init__(self) -> None:
        raise TypeError("use Ledger.open")

    _path: Path
    _disk: Disk
    _actor: str
    _clock: Callable[[], int]
    _fd: int
    _size: int
    _last: Event | None
    _poison: str | None
    _lock: threading.Lock
    _pid: int

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        actor: str,
        clock: Callable[[], int] = utc_us,
        create: bool = True,
        disk: Disk = DISK,
        on_event: Callable[[Event], None] | None = None,
    ) -> Ledger:
        """Lock the ledger, check all of it, set a torn tail aside, and be ready to append.

        Bytes after the last newline were never acknowledged: they are moved to
        ``ledger.torn-<n>`` beside the ledger, and a ``ledger.recovered`` event says so. Nothing
        is ever deleted.

        Args:
            path: the ledger; made when it is missing and ``create``.
            actor: who the events will be by.
            clock: microseconds since 1970.
            disk: the calls that change the disk.
            on_event: called with every event that is already there, in order.

        Raises:
            CaseLocked: another process has it open for writing.
            LedgerBroken: anything but a torn tail is wrong. Nothing has been changed.
            StorageError: the disk refused.
        """
        if not actor:
            raise ValueError("expected the name of an actor, found an empty one")
        self = object.__new__(cls)
        self._path, self._disk, self._actor, self._clock = path, disk, actor, clock
        self._last, self._poison, self._size = None, None, 0
        self._lock, self._pid = threading.Lock(), os.getpid()
        with reported("open", path):
            flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK
            try:
                self._fd = disk.open(path, flags)
            except FileNotFoundError:
                if not create:
                    raise
                self._fd = disk.open(path, flags | os.O_CREAT)
        try:
            self._start(on_event)
        except BaseException:
            disk.close(self._fd)
            self._fd = -1
            raise
        return self

    def _start(self, on_event: Callable[[Event], None] | None) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CaseLocked(
                f"{shown(self._path)} is being written by another process: wait for it to end"
            ) from None
        except OSError as error:
            raise storage_error("lock", self._path, error) from error
        recorded: set[str] = set()
        torn = 0
        with (
            reported("read", self._path),
            open(self._fd, "rb", closefd=False) as stream,
        ):
            stream.seek(0)
            for line in check_lines(stream):
                if not line.terminated:
                    torn = line.size
                    break
                if line.problems or line.event is None:
                    raise _broken(self._path, line)
                self._last = line.event
                self._size += line.size + 1
                if line.event.kind == LEDGER_RECOVERED:
                    recorded.add(str(line.event.data.get("file")))
                if on_event is not None:
                    on_event(line.event)
        folder = self._path.parent
        with reported("make durable", self._path):
            # Also for what an earlier process wrote and was killed before flushing.
            self._disk.fsync(self._fd)
            self._disk.sync_folder(folder)
        if torn:
            self._set_aside(torn)
        # A process may have died between setting a tail aside and recording it.
        for name in sorted(n for n in os.listdir(folder) if _TORN.match(n)):
            if name in recorded:
                continue
            with reported("read", folder / name), opened_regular(folder / name) as fd:
                digest, size = hash_fd(fd)
            event = self.append(LEDGER_RECOVERED, {"file": name, "sha256": digest, "bytes": size})
            if on_event is not None:
                on_event(event)

    def _set_aside(self, size: int) -> None:
        folder = self._path.parent
        with reported("set a torn tail aside from", self._path):
            tail = os.pread(self._fd, size, self._size)
            taken = [int(m[1]) for n in os.listdir(folder) if (m := _TORN.match(n))]
            target = folder / f"ledger.torn-{max(taken, default=0) + 1}"
            temporary = folder / ".tmp-torn"
            fd = self._disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                self._disk.write_all(fd, tail)
                self._disk.fsync(fd)
            finally:
                self._disk.close(fd)
            self._disk.rename(temporary, target)
            self._disk.sync_folder(folder)
            self._disk.truncate(self._fd, self._size)
            self._disk.fsync(self._fd)

    @property
    def path(self) -> Path:
        return self._path

    @property
    def last(self) -> Event | None:
        """The newest acknowledged event."""
        return self._last

    @property
    def head(self) -> Sha256:
        """Digest of the newest line; 64 zeros while there is none."""
        return GENESIS if self._last is None else self._last.head

    def append(self, kind: str, data: JsonObject) -> Event:
        """Add one event. It is on disk when this returns.

        Raises:
            EventRefused: it has no canonical form, is too long, or ``kind`` is no dotted name.
            StorageError: the disk refused; the ledger is as before.
            LedgerPoisoned: a flush failed, now or earlier.
        """
        return self.append_many([(kind, data)])[0]

    def append_many(self, items: Iterable[tuple[str, JsonObject]]) -> tuple[Event, ...]:
        """Add several events with one flush. All are on disk when this returns.

        When it raises :class:`StorageError`, none was added. When the process or the machine dies
        meanwhile, whole events from the beginning of the group may be there and the rest not: an
        event must make sense without those after it. What belongs together goes into one event.
        """
        with self._lock:
            self._usable()
            events, payload = self._prepare(tuple(items))
            if not events:
                return ()
            self._check_ground()
            self._write(payload)
            try:
                self._disk.fdatasync(self._fd)
            except OSError as error:
                self._poison = str(storage_error("flush", self._path, error))
                raise LedgerPoisoned(self._poisoned()) from error
            except BaseException:
                self._poison = f"a flush of {shown(self._path)} was interrupted"
                raise
            self._size += len(payload)
            self._last = events[-1]
            return events

    def _usable(self) -> None:
        if self._fd < 0:
            raise LedgerPoisoned(f"{shown(self._path)} was closed: open it again to append")
        if self._pid != os.getpid():
            raise LedgerPoisoned(
                f"{shown(self._path)} was opened by process {self._pid}: only that one may append"
            )
        if self._poison is not None:
            raise LedgerPoisoned(self._poisoned())

    def _poisoned(self) -> str:
        return (
            f"{self._poison}. What is on disk is unknown, so nothing more is accepted: open the "
            "case again"
        )

    def _prepare(self, items: Sequence[tuple[str, JsonObject]]) -> tuple[tuple[Event, ...], bytes]:
        seq = 0 if self._last is None else self._last.seq + 1
        prev = self.head
        at = max(int(self._clock()), 0 if self._last is None else self._last.at)
        events: list[Event] = []
        lines: list[bytes] = []
        for kind, data in items:
            if _KIND.match(kind) is None:
                raise EventRefused(f"expected a dotted name for an event's kind, found {kind!r}")
            if not isinstance(data, Mapping):
                raise EventRefused(f"{kind}: expected an object as data")
            try:
                line = event_line(
                    seq=seq, prev=prev, actor=self._actor, at=at, kind=kind, data=data
                )
                stored = parse_document(line)
            except (ValueError, TypeError) as error:
                raise EventRefused(f"{kind}: cannot be written canonically: {error}") from None
            if len(line) > MAX_EVENT_BYTES:
                raise EventRefused(
                    f"{kind}: {len(line)} bytes; an event has at most {MAX_EVENT_BYTES}: put the "
                    "content into the evidence store and name it"
                )
            assert isinstance(stored, Mapping)
            kept = stored["data"]
            assert isinstance(kept, Mapping)
            events.append(
                Event(
                    seq=seq,
                    prev=prev,
                    actor=self._actor,
                    at=at,
                    kind=kind,
                    data=kept,
                    head=sha256_of(line),
                )
            )
            lines.append(line + b"\n")
            prev = events[-1].head
            seq += 1
        return tuple(events), b"".join(lines)

    def _check_ground(self) -> None:
        """Refuse to write where the file is no longer what this writer left."""
        with reported("inspect", self._path):
            found = os.fstat(self._fd)
        if found.st_nlink == 0:
            self._poison = f"{shown(self._path)} was deleted while it was open for writing"
        elif found.st_size != self._size:
            self._poison = (
                f"{shown(self._path)} has {found.st_size} bytes, expected {self._size}: something "
                "else wrote to it"
            )
        if self._poison is not None:
            raise LedgerPoisoned(self._poisoned())

    def _write(self, payload: bytes) -> None:
        try:
            self._disk.write_all(self._fd, payload)
        except BaseException as error:
            try:
                self._disk.truncate(self._fd, self._size)
            except OSError as second:
                failure = storage_error("take a failed write back from", self._path, second)
                self._poison = str(failure)
                raise LedgerPoisoned(self._poisoned()) from error
            if isinstance(error, OSError):
                raise storage_error("append to", self._path, error) from error
            raise

    def close(self) -> None:
        """Release the lock. May be called twice."""
        with self._lock:
            if self._fd >= 0:
                self._disk.close(self._fd)
                self._fd = -1

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


__all__ = [
    "EVENT_SCHEMA",
    "GENESIS",
    "LEDGER_RECOVERED",
    "CheckedLine",
    "Event",
    "Ledger",
    "StorageError",
    "check_lines",
    "event_line",
    "read_events",
    "utc_us",
    "writer_active",
]
