"""A scan: tasks over processes, results into the journal, and what it all comes to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from custodes import __version__
from custodes.monitors import Monitor
from custodes.transcripts import ReadError, reader_for

from ._cross import cross_findings
from ._files import PART, File, open_source
from ._finding import (
    Duplicate,
    Finding,
    NotJudged,
    NotRead,
    RunSummary,
    Totals,
)
from ._journal import Journal
from ._judge import moment
from ._processes import DIED, over_processes
from ._settings import Settings, Task
from ._storable import json_text
from ._suppress import Suppressions
from ._worker import TaskResult, prepare, run_prepared, run_task

SMALL = 8 << 20
"""Bytes in all below which starting further processes costs more than it saves."""
MOST_PARTS = 32
"""Parts of one archive: each has to read the archive's directory."""


def tasks_of(files: Iterable[File], settings: Settings) -> Iterator[Task]:
    """The tasks of a scan, in its fixed order. Large archives are read in parts."""
    number = 0
    for file in files:
        parts = 1
        if file.size > PART and not file.store:
            try:
                with open_source(file, settings.limits) as source:
                    # Only a reader that knows of parts leaves the others' runs to them.
                    if source.is_archive and getattr(reader_for(source), "divisible", False):
                        parts = min(-(-file.size // PART), MOST_PARTS)
            except (OSError, ReadError):
                parts = 1  # the task itself says why
        for part in range(parts):
            yield Task(number=number, file=file, part=(part, parts))
            number += 1


def run_tasks(
    tasks: Sequence[Task],
    settings: Settings,
    journal: Journal,
    *,
    jobs: int,
    done: Callable[[Task], None] = lambda task: None,
) -> None:
    """Run what the journal does not hold yet.

    Args:
        jobs: processes; 1 reads in this one.
        done: called after each task, for progress.
    """
    missing = [task for task in tasks if task.key not in journal]
    for task in tasks:
        if task.key in journal:
            done(task)
    small = sum(map(_weight, missing)) < SMALL or len(missing) == 1
    if jobs <= 1 or small:
        judge = settings.judge()
        for task in missing:
            result = run_task(task, settings, judge)
            journal.add(task.key, json_text(result).encode())
            done(task)
        return
    # Large ones first: a long last task would leave the other processes idle.
    waiting = deque(sorted(missing, key=lambda task: (-_weight(task), task.number)))
    results = over_processes(waiting, run_prepared, jobs=jobs, prepare=prepare, about=settings)
    for task, encoded in results:
        journal.add(task.key, json_text(_died(task)).encode() if encoded is None else encoded)
        done(task)


def _weight(task: Task) -> int:
    """Bytes to decode, roughly: archives hold ten times their size."""
    return task.file.size // task.part[1] * (10 if task.part[1] > 1 else 1)


def _died(task: Task) -> TaskResult:
    return TaskResult(
        key=task.key,
        size=task.file.size,
        unreadable=[NotRead(path=task.file.path, position="", reason=DIED)],
    )


@dataclass(slots=True)
class Scanned:
    """A finished scan: a :class:`ScanResult` over the journal."""

    about: dict[str, object]
    totals: Totals
    _journal: Journal
    _keys: list[str]
    _dropped: dict[str, Duplicate]
    _cross: list[Finding]
    _cross_not_judged: list[NotJudged]
    _suppressions: Suppressions | None
    _older: list[NotRead] = field(default_factory=list)

    def _results(self) -> Iterator[TaskResult]:
        return self._journal.results(self._keys)

    def findings(self) -> Iterator[Finding]:
        for result in self._results():
            for finding in result.findings:
                if finding.transcript not in self._dropped:
                    yield self._told(finding)
        yield from map(self._told, self._cross)

    def _told(self, finding: Finding) -> Finding:
        if self._suppressions is None:
            return finding
        suppressed = self._suppressions.of(finding)
        if suppressed is None:
            return finding
        return msgspec.structs.replace(finding, suppressed=suppressed)

    def runs(self) -> Iterator[RunSummary]:
        for result in self._results():
            for run in result.runs:
                if run.transcript not in self._dropped:
                    yield run

    def unreadable(self) -> Iterator[NotRead]:
        yield from _once(entry for result in self._results() for entry in result.unreadable)

    def without_transcript(self) -> Iterator[NotRead]:
        yield from _once(entry for result in self._results() for entry in result.without_transcript)

    def unmeasurable(self) -> Iterator[NotJudged]:
        for result in self._results():
            for entry in result.not_judged:
                if entry.transcript not in self._dropped:
                    yield entry
        yield from self._cross_not_judged

    def duplicates(self) -> Iterator[Duplicate]:
        yield from self._dropped.values()


def _once(entries: Iterable[NotRead]) -> Iterator[NotRead]:
    # Every part of an archive says the same of the archive as a whole.
    path, told = "", set[tuple[str, str]]()
    for entry in entries:
        if entry.path != path:
            path, told = entry.path, set()
        if (entry.position, entry.reason) not in told:
            told.add((entry.position, entry.reason))
            yield entry


class _Met(NamedTuple):
    """What is kept of a run to recognise it again."""

    transcript: str
    session: str | None
    model: str | None


LEAST_TO_COMPARE = 3
"""Events that a run needs before another with the same words counts as the same run."""


def conclude(
    tasks: Sequence[Task],
    journal: Journal,
    settings: Settings,
    monitors: Sequence[Monitor],
    *,
    paths: Sequence[str],
    suppressions: Suppressions | None,
) -> Scanned:
    """What the finished tasks come to, duplicates taken out."""
    keys = [task.key for task in tasks]
    first: dict[str, _Met] = {}
    dropped: dict[str, Duplicate] = {}
    files: set[str] = set()
    totals = Totals()
    for task, result in zip(tasks, journal.results(keys), strict=True):
        files.add(task.file.path)
        totals.bytes += result.size
        totals.older += result.older
        totals.untimed += result.untimed
        for run in result.runs:
            if run.events < LEAST_TO_COMPARE or run.calls == 0:
                continue  # the same few words may be chance
            mine = _Met(run.transcript, run.session, run.model)
            met = first.setdefault(run.fingerprint, mine)
            # A client's own identity of a run is never given twice: other ids are other runs.
            if met is not mine and (
                met.session == run.session or None in (met.session, run.session)
            ):
                dropped[run.transcript] = Duplicate(
                    transcript=run.transcript,
                    same_as=met.transcript,
                    difference="nothing" if met.model == run.model else "the model's name",
                )
    totals.files = len(files)
    totals.duplicates = len(dropped)
    cross, not_judged = cross_findings(
        monitors,
        (
            signal
            for result in journal.results(keys)
            for signal in result.signals
            if signal.transcript not in dropped
        ),
        flag_at=settings.flag_at,
    )
    scanned = Scanned(
        about={
            "custodes": __version__,
            "paths": list(paths),
            "monitors": [{"name": m.name, "digest": m.digest} for m in monitors],
            "flag_at": settings.flag_at,
            "since": None if settings.since_us is None else moment(settings.since_us),
            "mapping": settings.mapping,
        },
        totals=totals,
        _journal=journal,
        _keys=keys,
        _dropped=dropped,
        _cross=cross,
        _cross_not_judged=not_judged,
        _suppressions=suppressions,
    )
    _count(scanned)
    return scanned


def _count(scanned: Scanned) -> None:
    totals = scanned.totals
    for run in scanned.runs():
        totals.transcripts += 1
        totals.events += run.events
        totals.calls += run.calls
        totals.opaque += run.opaque or 0
    for finding in scanned.findings():
        totals.findings += 1
        if finding.suppressed is not None:
            totals.suppressed += 1
        elif finding.flagged:
            totals.flagged += 1
    totals.unreadable = sum(1 for _ in scanned.unreadable())
    totals.without_transcript = sum(1 for _ in scanned.without_transcript())
    totals.unmeasurable = sum(1 for _ in scanned.unmeasurable())


def scan_files(
    files: Iterable[File],
    settings: Settings,
    *,
    folder: Path,
    paths: Sequence[str] = (),
    jobs: int = 1,
    suppressions: Suppressions | None = None,
    planned: Callable[[int, int], None] = lambda tasks, size: None,
    done: Callable[[Task], None] = lambda task: None,
) -> tuple[Scanned, Journal]:
    """Scan files; goes on where a scan with the same settings in this folder was interrupted.

    Args:
        folder: where the journal lies while the scan runs.
        planned: told the number of tasks and of bytes before the first.
        done: told each finished task.

    Returns:
        the result, which reads from the journal: close the journal after using it.

    Raises:
        BadRules, LookupError: see :meth:`Settings.load_monitors`.
        OSError: when the journal cannot be written.
    """
    monitors = settings.load_monitors()
    journal = Journal.open(folder, settings.identity(monitors), settings.mask_key)
    settings = msgspec.structs.replace(settings, mask_key=journal.mask_key)
    tasks = list(tasks_of(files, settings))
    planned(len(tasks), sum(task.file.size // task.part[1] for task in tasks))
    run_tasks(tasks, settings, journal, jobs=jobs, done=done)
    journal.forget_others([task.key for task in tasks])
    scanned = conclude(tasks, journal, settings, monitors, paths=paths, suppressions=suppressions)
    return scanned, journal
