"""Reading and judging one file, in whatever process: never raises, always accounts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import msgspec

from custodes.transcripts import (
    Event,
    NoTranscript,
    ReadError,
    Source,
    Transcript,
    Unreadable,
    opencode_sessions,
    read_transcripts,
    read_with_mapping,
)

from ._cross import RunSignal
from ._files import open_source
from ._finding import Finding, NotJudged, NotRead, RunSummary
from ._judge import Judge
from ._mask import Masker
from ._processes import TooSlow, bounded
from ._settings import Settings, Task
from ._storable import json_text

LONGEST = 60.0
"""Seconds for one file, and a second more for each `SLOWEST` bytes of it."""
SLOWEST = 1 << 18


class TaskResult(msgspec.Struct, kw_only=True):
    """What came of one task. `key` says which work it was."""

    key: str
    size: int
    runs: list[RunSummary] = []
    findings: list[Finding] = []
    unreadable: list[NotRead] = []
    without_transcript: list[NotRead] = []
    not_judged: list[NotJudged] = []
    signals: list[RunSignal] = []
    older: int = 0
    untimed: int = 0


_SETTINGS: tuple[Settings, Judge] | None = None


_DIGESTED: dict[str, Any] = {}
"""The archive of which a part was read last, and its digest: each part would work it out anew."""


def prepare(settings: Settings) -> None:
    """Load the monitors once for all tasks of this process."""
    global _SETTINGS
    _SETTINGS = (settings, settings.judge())


def run_prepared(task: Task) -> bytes:
    """The result of a task in a prepared process, encoded."""
    assert _SETTINGS is not None
    return json_text(run_task(task, *_SETTINGS)).encode()


def run_task(task: Task, settings: Settings, judge: Judge) -> TaskResult:
    """Read one file or part of one, and judge every run in it."""
    file = task.file
    first = task.part[0] == 0
    result = TaskResult(key=task.key, size=file.size if first else 0)
    masker = Masker(settings.mask_key)
    try:
        if file.note is not None:
            _nothing_in(file.path, file.note, result)
            return result
        # What a third party's reader or monitor prints must not end up in a document.
        with bounded(LONGEST + file.size / SLOWEST), redirect_stdout(sys.stderr):
            if file.store:
                _take_store(task, settings, judge, masker, result)
            else:
                with open_source(file, settings.limits) as source:
                    source.part = task.part
                    if _DIGESTED.get("file") == file:
                        source.digest = _DIGESTED["digest"]
                    nothing = True
                    for found in _read(source, settings):
                        nothing = False
                        _take(found, source, settings, judge, masker, result)
                    if nothing and first:
                        reason = "its reader found nothing and did not say why"
                        _refuse(task, "", reason, result, masker)
                    if task.part[1] > 1 and "digest" in source.__dict__:
                        _DIGESTED.update(file=file, digest=source.digest)
    except ReadError as error:
        _refuse(task, error.position, error.reason, result, masker)
    except OSError as error:
        _refuse(task, "", error.strerror or str(error), result, masker)
    except TooSlow:
        _refuse(task, "", "given up: reading it took too long", result, masker)
    except MemoryError:
        _refuse(task, "", "given up: it does not fit into memory", result, masker)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a reader's fault is told, and hides no other file's findings
        reason = f"the reader failed: {type(error).__name__}: {str(error)[:200]}"
        _refuse(task, "", reason, result, masker)
    return result


def _take_store(
    task: Task, settings: Settings, judge: Judge, masker: Masker, result: TaskResult
) -> None:
    """Every session of a folder or database that spreads a session over many records."""
    for found in opencode_sessions(Path(task.file.path), settings.limits):
        if isinstance(found, Unreadable):
            _refuse(task, found.position, found.reason, result, masker)
            continue
        with found as source:
            try:
                for run in read_transcripts(source):
                    _take(run, source, settings, judge, masker, result)
            except ReadError as error:
                _refuse(task, error.position, error.reason, result, masker)


def _read(source: Source, settings: Settings) -> Iterator[Transcript | Unreadable | NoTranscript]:
    if settings.mapping is not None:
        return read_with_mapping(source, settings.mapping)
    return read_transcripts(source)


def _take(
    found: object,
    source: Source,
    settings: Settings,
    judge: Judge,
    masker: Masker,
    result: TaskResult,
) -> None:
    path = source.path
    if isinstance(found, Unreadable):
        result.unreadable.append(
            NotRead(
                path=path, position=masker.mask(found.position), reason=masker.mask(found.reason)
            )
        )
    elif isinstance(found, NoTranscript):
        _nothing_in(path, masker.mask(found.reason), result)
    elif not isinstance(found, Transcript):
        reason = f"its reader answered with {type(found).__name__}, which is no transcript"
        result.unreadable.append(NotRead(path=path, position="", reason=reason))
    else:
        if settings.since_us is not None:
            last = _last(found.events)
            if last is None:
                result.untimed += 1
            elif last < settings.since_us:
                result.older += 1
                return
        # The path is the user's own; the name of a run is the log's.
        name = f"{path}#{masker.mask(found.name, names=True)}" if found.name else path
        judged = judge.judge(found, name, source)
        result.runs.append(judged.run)
        result.findings += judged.findings
        result.not_judged += judged.not_judged
        result.signals += (RunSignal(name, signal) for signal in judged.signals)


def _nothing_in(path: str, reason: str, result: TaskResult) -> None:
    result.without_transcript.append(NotRead(path=path, position="", reason=reason))


def _last(events: tuple[Event, ...]) -> int | None:
    return max((event.at_us for event in events if event.at_us is not None), default=None)


def _refuse(task: Task, position: str, reason: str, result: TaskResult, masker: Masker) -> None:
    result.unreadable.append(
        NotRead(path=task.file.path, position=masker.mask(position), reason=masker.mask(reason))
    )
