"""How often a pack was asked: a chained log in the pack, so that a line taken away shows.

Each line carries the hash of the one before; a second file holds the hash of the last, so that the
end cannot go unnoticed either. Whoever rewrites both goes unnoticed here, and not by those who were
told the head: every result prints it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from custodes.types import JsonObject, Sha256, canonical_json, sha256_of

from ._packs import Label, Pack

LOG = "queries.jsonl"
HEAD = "queries.head"
LINE_SCHEMA = "custodes.pack-query/1"
FREE_QUERIES = 3
"""After so many answers a monitor may have been tuned on them."""
GENESIS = Sha256("0" * 64)

Kind: TypeAlias = Literal["query", "disclosed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a pack's result may be called.

    Attributes:
        queries: how often it was asked, this one included.
        head: hash of the log's last line.
        why: why it is development data, each a phrase; empty where it is held out.
    """

    queries: int
    head: Sha256
    why: tuple[str, ...]

    @property
    def label(self) -> Label:
        return "development" if self.why else "held-out"


def standing(pack: Pack) -> Standing:
    """Where a pack stands, had it been asked no more."""
    with _locked(pack.folder):
        return _standing(pack, *_read(pack.folder))


def record(pack: Pack, kind: Kind, *, monitor: Sha256, seeds: Sequence[int]) -> Standing:
    """Append a line; it is durable when this returns.

    Raises:
        OSError: when the log cannot be written: then nothing may be played.
    """
    with _locked(pack.folder):
        lines, broken = _read(pack.folder)
        entry: JsonObject = {
            "schema": LINE_SCHEMA,
            "kind": kind,
            "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "monitor": monitor,
            "seeds": list(seeds),
            "pack": pack.digest,
            "previous": sha256_of(lines[-1]) if lines else GENESIS,
            # Two queries within a second are two lines, and one cannot stand in for the other.
            "id": secrets.token_hex(8),
            "broken": broken,
        }
        line = canonical_json(entry)
        path = pack.folder / LOG
        with open(_opened(path), "ab") as file:
            if path.stat().st_size and not _ends_a_line(path):
                file.write(b"\n")  # what was cut off in the middle stays as it is, and broken
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _write_head(pack.folder, sha256_of(line))  # that it was broken, the line now says
        return _standing(pack, [*lines, line], broken)


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)


def _ends_a_line(path: Path) -> bool:
    return path.read_bytes().endswith(b"\n")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: two that ask at once must not both be the third."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _read(folder: Path) -> tuple[list[bytes], str | None]:
    """The lines of the log, and how it is broken, or None."""
    path, head_path = folder / LOG, folder / HEAD
    if path.is_symlink() or head_path.is_symlink():
        raise OSError(f"{path}: expected a file, found a link")
    data = path.read_bytes() if path.exists() else b""
    head = head_path.read_text("utf-8", "replace").strip() if head_path.exists() else None
    lines = [line for line in data.split(b"\n") if line]
    previous = GENESIS
    broken = None
    for number, line in enumerate(lines, 1):
        entry = _entry(line)
        if entry is None or entry.get("previous") != previous:
            broken = f"its log of queries was changed before or in line {number}"
            break
        previous = sha256_of(line)
    if broken is None:
        # A line is written before the head: a process that ended between leaves one line more.
        last = [sha256_of(line) for line in lines[-2:]] or [GENESIS]
        expected = {*last, *([GENESIS] if len(lines) == 1 else [])}
        if (head is None and len(lines) > 1) or (head is not None and head not in expected):
            broken = "lines at the end of its log of queries are gone"
    return lines, broken


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        if isinstance(entry, dict) and canonical_json(entry) == line:
            return entry
    except (ValueError, TypeError, RecursionError):
        pass
    return None


def _standing(pack: Pack, lines: Sequence[bytes], broken: str | None) -> Standing:
    entries = [entry or {} for entry in map(_entry, lines)]
    # What cannot be read may have been a query.
    queries = [entry for entry in entries if entry.get("kind") != "disclosed"]
    why: list[str] = []
    if pack.label == "development":
        why.append("its owner labels it so")
    if any(entry.get("kind") == "disclosed" for entry in entries):
        why.append("it was disclosed")
    if len(queries) > FREE_QUERIES:
        why.append(f"it was asked {len(queries)} times, and {FREE_QUERIES} are free")
    if any(entry.get("pack") != pack.digest for entry in entries):
        why.append("its files changed since it was first asked")
    told = broken or next((str(entry["broken"]) for entry in entries if entry.get("broken")), None)
    if told is not None:
        why.append(told)
    return Standing(
        queries=len(queries), head=sha256_of(lines[-1]) if lines else GENESIS, why=tuple(why)
    )


def _write_head(folder: Path, head: Sha256) -> None:
    part = folder / f"{HEAD}.part"
    with part.open("w", encoding="utf-8") as file:
        file.write(head + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, folder / HEAD)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
