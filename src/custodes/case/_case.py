"""A case: the folder that holds one assessment, and its one writer."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final

from custodes.types import JsonObject, Sha256, sha256_of

from ._config import CaseConfig, parse_config, read_config, to_yaml
from ._disk import CHUNK, DISK, Disk, hash_fd, opened_regular
from ._errors import (
    CaseError,
    CaseLocked,
    EventRefused,
    LedgerBroken,
    NotACase,
    StorageError,
    reported,
    shown,
)
from ._evidence import TEMPORARY, EvidenceStore
from ._ledger import Event, Ledger, read_events, utc_us, writer_active
from ._references import BlobNamed, FileNamed, Unclear, file_entry, references
from ._words import (
    CASE_CREATED,
    CONFIG_NAME,
    EVIDENCE_NAME,
    LEDGER_NAME,
    LOGS_NAME,
    PLAN_FIXED,
    REPORT_RENDERED,
    REPORTS_NAME,
    SHARD_SEALED,
    WORK_NAME,
)

_LOG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}\Z")
_HOLDER: Final = "writer.pid"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedLog:
    """A log that an event names.

    Attributes:
        name: without ``.eval``.
        path: where it lies.
        sha256: digest of its bytes.
        size: bytes.
        seq: the event that sealed it.
    """

    name: str
    path: Path
    sha256: Sha256
    size: int
    seq: int


class Case:
    """An open case. A context manager: leaving it closes the ledger and releases the lock."""

    def __init__(self) -> None:
        raise TypeError("use Case.create or Case.open")

    _path: Path
    _disk: Disk
    _config: CaseConfig
    _config_bytes: bytes
    _evidence: EvidenceStore
    _ledger: Ledger | None
    _logs: dict[str, SealedLog]
    _recorded_config: str | None
    _plan: Event | None
    _head: Sha256
    _created: bool

    # Opening

    @classmethod
    def create(
        cls,
        path: Path,
        config: CaseConfig | str,
        *,
        actor: str = "custodes",
        clock: Callable[[], int] = utc_us,
        disk: Disk = DISK,
    ) -> Case:
        """Make a case and open it for writing.

        The folder is built beside its place and then renamed, so that there is a whole case or
        none.

        Args:
            path: where; must not exist, or be an empty folder.
            config: the configuration, or the text of a ``custodes.yaml`` to take as it is.
            actor: who the events will be by.
            clock: microseconds since 1970.
            disk: the calls that change the disk.

        Raises:
            NotACase: something is there already.
            ConfigError: the text is no configuration.
            StorageError: the disk refused; nothing is left behind.
        """
        text = config if isinstance(config, str) else to_yaml(config)
        data = text.encode("utf-8")
        parsed = parse_config(data)
        target = Path(os.path.abspath(path))
        with reported("make a case in", target):
            _refuse_occupied(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            building = target.parent / f".{target.name}{TEMPORARY}{secrets.token_hex(6)}"
            disk.mkdir(building)
        try:
            with reported("make a case in", target):
                for name in (EVIDENCE_NAME, LOGS_NAME, REPORTS_NAME, WORK_NAME):
                    disk.mkdir(building / name)
                _write_file(building / CONFIG_NAME, data, disk)
            evidence = EvidenceStore(building / EVIDENCE_NAME, disk=disk)
            copy = evidence.put(data)
            with Ledger.open(building / LEDGER_NAME, actor=actor, clock=clock, disk=disk) as ledger:
                ledger.append(
                    CASE_CREATED,
                    {
                        "config": file_entry(CONFIG_NAME, sha256_of(data), len(data)),
                        "meaning": parsed.digest,
                        "copy": copy.to_json(),
                    },
                )
            with reported("make a case in", target):
                disk.sync_folder(building)
                _move_into_place(building, target, disk)
                disk.sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return cls.open(target, write=True, actor=actor, clock=clock, disk=disk)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        write: bool,
        actor: str = "custodes",
        clock: Callable[[], int] = utc_us,
        disk: Disk = DISK,
    ) -> Case:
        """Open a case. All of its ledger is checked; blobs are checked when they are read.

        For writing, the case is locked, a torn tail is set aside (see :class:`Ledger`), and what
        an interrupted writer left unfinished is cleared away.

        Raises:
            NotACase: the folder is none.
            CaseLocked: another process is writing to it (when ``write``).
            LedgerBroken: the ledger is not what its writer wrote.
            ConfigError: ``custodes.yaml`` cannot be used.
            StorageError: the disk refused.
        """
        self = object.__new__(cls)
        self._path, self._disk = Path(os.path.abspath(path)), disk
        self._logs, self._recorded_config, self._plan = {}, None, None
        self._ledger, self._created = None, False
        ledger_path = self._path / LEDGER_NAME
        with reported("open", self._path):
            there = os.path.lexists(ledger_path)
        if not there:
            raise NotACase(
                f"{shown(self._path)} is no case (it has no {LEDGER_NAME}): make one with "
                "`custodes init`"
            )
        self._evidence = EvidenceStore(self._path / EVIDENCE_NAME, writable=write, disk=disk)
        if write:
            self._open_ledger(ledger_path, actor, clock)
        else:
            self._head = Sha256("0" * 64)
            for event in read_events(ledger_path, ignore_tail=writer_active(ledger_path)):
                self._note(event)
                self._head = event.head
        try:
            if not self._created:
                raise LedgerBroken(
                    f"{shown(ledger_path)} does not begin with {CASE_CREATED}: restore it from a "
                    "copy, or make a new case in another folder"
                )
            self._config_bytes = read_config(self._path / CONFIG_NAME)
            self._config = parse_config(self._config_bytes, shown(self._path / CONFIG_NAME))
            if write:
                self._clear()
        except BaseException:
            self.close()
            raise
        return self

    def _open_ledger(self, path: Path, actor: str, clock: Callable[[], int]) -> None:
        work = self._path / WORK_NAME
        try:
            self._ledger = Ledger.open(
                path, actor=actor, clock=clock, create=False, disk=self._disk, on_event=self._note
            )
        except CaseLocked:
            holder = _holder(work / _HOLDER)
            who = f"process {holder}" if holder is not None else "another process"
            raise CaseLocked(
                f"{shown(self._path)} is being written by {who}: wait for it to end, or end it"
            ) from None
        try:
            with reported("write to", work):
                for name in (LOGS_NAME, REPORTS_NAME, WORK_NAME):
                    (self._path / name).mkdir(exist_ok=True)
                (work / _HOLDER).write_text(f"{os.getpid()}\n", encoding="ascii")
        except BaseException:
            self._ledger.close()
            raise

    def _clear(self) -> None:
        self._evidence.clear_temporaries()
        for folder in (self._path, self._path / LOGS_NAME):
            with reported("clear unfinished files in", folder):
                for name in os.listdir(folder):
                    if name.startswith(TEMPORARY):
                        self._disk.unlink(folder / name)

    def _note(self, event: Event) -> None:
        """Take from an event what an open case needs to know."""
        if event.seq == 0 and event.kind == CASE_CREATED:
            self._created = True
        if event.kind == PLAN_FIXED:
            self._plan = event
        for named in references(event.data):
            if not isinstance(named, FileNamed):
                continue
            if named.file == CONFIG_NAME and event.kind in (CASE_CREATED, PLAN_FIXED):
                self._recorded_config = named.sha256
            elif event.kind == SHARD_SEALED and named.file.startswith(f"{LOGS_NAME}/"):
                name = named.file.removeprefix(f"{LOGS_NAME}/").removesuffix(".eval")
                path = self._path / named.file
                self._logs[name] = SealedLog(
                    name=name, path=path, sha256=named.sha256, size=named.size, seq=event.seq
                )
                self._evidence.adopt(named.sha256, path)

    # What it holds

    @property
    def path(self) -> Path:
        return self._path

    @property
    def config(self) -> CaseConfig:
        """``custodes.yaml`` as it was when the case was opened."""
        return self._config

    @property
    def config_recorded(self) -> bool:
        """Whether the newest record of ``custodes.yaml`` is of these bytes.

        It is not after someone edited the file; :meth:`fix_plan` records the change.
        """
        return self._recorded_config == sha256_of(self._config_bytes)

    @property
    def plan(self) -> Event | None:
        """The newest ``plan.fixed``, or None."""
        return self._plan

    @property
    def evidence(self) -> EvidenceStore:
        return self._evidence

    @property
    def logs(self) -> Mapping[str, SealedLog]:
        """Sealed logs by name."""
        return MappingProxyType(self._logs)

    @property
    def head(self) -> Sha256:
        """Digest of the ledger's newest line, as far as this object knows."""
        return self._head if self._ledger is None else self._ledger.head

    @property
    def work(self) -> Path:
        """Scratch for unsealed shards. Nothing in it is evidence."""
        return self._path / WORK_NAME

    @property
    def reports(self) -> Path:
        return self._path / REPORTS_NAME

    def events(self) -> Iterator[Event]:
        """All events, checked while they are read."""
        path = self._path / LEDGER_NAME
        return read_events(path, ignore_tail=self._ledger is None and writer_active(path))

    # Writing

    def _writer(self) -> Ledger:
        if self._ledger is None:
            raise StorageError(
                f"{shown(self._path)} is open for reading: open it for writing to add to it"
            )
        return self._ledger

    def append(self, kind: str, data: JsonObject) -> Event:
        """Add an event; it is on disk when this returns. See :meth:`Ledger.append`.

        Raises:
            EventRefused: also when it names evidence that is not in the store.
        """
        return self.append_many([(kind, data)])[0]

    def append_many(self, items: Iterable[tuple[str, JsonObject]]) -> tuple[Event, ...]:
        """Add several events with one flush. See :meth:`Ledger.append_many`."""
        ledger = self._writer()
        group = tuple(items)
        for kind, data in group:
            for named in references(data):
                if isinstance(named, Unclear):
                    raise EventRefused(f"{kind}: {named.what}")
                if isinstance(named, BlobNamed) and named.blob not in self._evidence:
                    raise EventRefused(
                        f"{kind}: names blob {named.blob}, which is not in the evidence store"
                    )
                if isinstance(named, FileNamed) and not (self._path / named.file).is_file():
                    raise EventRefused(f"{kind}: names {named.file}, which is not in the case")
        events = ledger.append_many(group)
        for event in events:
            self._note(event)
        return events

    def fix_plan(self, plan: JsonObject) -> Event:
        """Record the plan, and ``custodes.yaml`` as it was when the case was opened.

        Every later call is a change that a report lists; the text of each version is kept.

        Raises:
            CaseError: ``custodes.yaml`` changed since the case was opened.
        """
        self._writer()
        if read_config(self._path / CONFIG_NAME) != self._config_bytes:
            raise CaseError(
                f"{shown(self._path / CONFIG_NAME)} was changed while the case was open: run again"
            )
        copy = self._evidence.put(self._config_bytes)
        digest, size = sha256_of(self._config_bytes), len(self._config_bytes)
        return self.append(
            PLAN_FIXED,
            {
                "config": file_entry(CONFIG_NAME, digest, size),
                "meaning": self._config.digest,
                "copy": copy.to_json(),
                "plan": plan,
            },
        )

    def seal_log(self, source: Path, name: str) -> Sha256:
        """Move a closed log to ``logs/<name>.eval`` and return its digest. It is then durable.

        The caller appends ``shard.sealed`` with :meth:`log_entry`; until then the file is no
        evidence, and a file of the same name that no event names is replaced.

        Raises:
            CaseError: the name is no plain name, or an event has sealed a log of that name.
            StorageError: ``source`` is no regular file, or the disk refused.
        """
        self._writer()
        if _LOG_NAME.match(name) is None or name.endswith(".eval"):
            raise CaseError(
                f"expected a log's name as letters, digits, '.', '_', '+' and '-' without the "
                f"ending .eval, found {name!r}"
            )
        if name in self._logs:
            raise CaseError(
                f"{LOGS_NAME}/{name}.eval was sealed by event {self._logs[name].seq} and is never "
                "replaced: choose another name"
            )
        folder = self._path / LOGS_NAME
        target = folder / f"{name}.eval"
        with reported("seal", source), opened_regular(source) as fd:
            digest, size = hash_fd(fd)
            if os.fstat(fd).st_dev == os.stat(folder).st_dev:
                os.fchmod(fd, 0o444)
                self._disk.fsync(fd)
                self._disk.rename(source, target)
            else:
                temporary = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
                copied = _copy(fd, temporary, self._disk)
                if copied != (digest, size):
                    self._disk.unlink(temporary)
                    raise CaseError(f"{shown(source)} changed while it was copied: is it closed?")
                self._disk.rename(temporary, target)
                self._disk.unlink(source)
            self._disk.sync_folder(folder)
        blob = Sha256(digest)
        self._evidence.adopt(blob, target)
        return blob

    def log_entry(self, name: str) -> JsonObject:
        """How an event names ``logs/<name>.eval``, from the bytes that are there.

        Raises:
            StorageError: there is no such log.
        """
        return self._entry(f"{LOGS_NAME}/{name}.eval")

    def report_rendered(self, names: Iterable[str], data: JsonObject) -> Event:
        """Record reports that were written to ``reports/``, with ``data`` beside their entries."""
        files = [self._entry(f"{REPORTS_NAME}/{name}") for name in names]
        return self.append(REPORT_RENDERED, {**data, "files": files})

    def _entry(self, file: str) -> JsonObject:
        path = self._path / file
        with reported("read", path), opened_regular(path) as fd:
            digest, size = hash_fd(fd)
        return file_entry(file, Sha256(digest), size)

    def close(self) -> None:
        """Release the lock. May be called twice."""
        if self._ledger is not None:
            self._head = self._ledger.head
            self._ledger.close()

    def __enter__(self) -> Case:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _refuse_occupied(target: Path) -> None:
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise NotACase(f"{shown(target)} is there already and is no folder: choose another place")
    if os.path.lexists(target / LEDGER_NAME):
        raise NotACase(
            f"{shown(target)} is a case already: `custodes assess` goes on with it, or choose "
            "another place"
        )
    if os.listdir(target):
        raise NotACase(
            f"{shown(target)} is not empty: choose an empty folder or one that does not exist"
        )


def _move_into_place(building: Path, target: Path, disk: Disk) -> None:
    if not (target.is_dir() and os.path.samefile(target, os.getcwd())):
        disk.rename(building, target)
        return
    # Renaming over the folder that somebody stands in would leave them in a deleted one. What
    # makes a folder a case, its ledger, goes last.
    moved: list[Path] = []
    try:
        for name in sorted(os.listdir(building), key=lambda n: (n == LEDGER_NAME, n)):
            disk.rename(building / name, target / name)
            moved.append(target / name)
        disk.sync_folder(target)
    except BaseException:
        for path in moved:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise
    building.rmdir()


def _write_file(path: Path, data: bytes, disk: Disk) -> None:
    fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        disk.write_all(fd, data)
        disk.fsync(fd)
    finally:
        disk.close(fd)


def _copy(source: int, target: Path, disk: Disk) -> tuple[str, int]:
    fd = disk.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444)
    try:
        at = 0
        while chunk := os.pread(source, CHUNK, at):
            at += len(chunk)
            disk.write_all(fd, chunk)
        disk.fsync(fd)
        return hash_fd(fd)
    finally:
        disk.close(fd)


def _holder(path: Path) -> int | None:
    """The process that holds the lock, if it left its number and is alive."""
    try:
        pid = int(path.read_text(encoding="ascii")[:20])
        os.kill(pid, 0)
    except PermissionError:
        return pid
    except (OSError, ValueError):
        return None
    return pid


__all__ = ["Case", "SealedLog"]
