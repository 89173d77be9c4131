"""From files to scored runs, over processes: never raises for a log, always accounts."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import msgspec

from custodes.monitors import Monitor
from custodes.scan import DIED, Masker, Settings, Task, TooSlow, bounded, over_processes
from custodes.transcripts import (
    EventKind,
    NoTranscript,
    ReadError,
    Source,
    Transcript,
    Unreadable,
    deployment_view,
    opencode_sessions,
    read_transcripts,
    read_with_mapping,
)

from ._labels import Label, Labels
from ._run import Spoken, transcript_score, watch_run, watched

LONGEST_READING = 60.0
"""Seconds for one run of a file, and a second more for each `SLOWEST` bytes of the file."""
SLOWEST = 1 << 18


class Attacked(msgspec.Struct, frozen=True, kw_only=True):
    """One violating run after one attack.

    Attributes:
        attack: its name.
        changed: calls or texts that it changed.
        not_applicable: why it could not be applied to this run; then there are no scores.
        scores: of the transcript, by monitor.
        spoken: all that the members of ensembles said that are still to be fitted.
    """

    attack: str
    changed: int
    not_applicable: str | None
    scores: dict[str, float | None]
    spoken: dict[str, Spoken] = {}


class ScoredRun(msgspec.Struct, kw_only=True):
    """One labelled run with what the monitors said of it.

    Attributes:
        place: real path of its file. run: its name in the file, as it is there.
        shown: that name without secrets. task, task_shown: likewise.
        line: of its label.
        calls, calls_at_us: index and time of each tool call that a deployment would see.
        harm_action: the number of tool calls up to the harm, that one included; None without
            harm, 0 when the harm comes before every call.
        harm_call: whether the harm is that call, or its result, and not something else.
        harm_beyond: whether the label names an event that the run does not have.
        unread: why the run could not be read; then nothing else is known of it.
    """

    place: str
    run: str
    shown: str
    line: int
    events: int = 0
    characters: int = 0
    calls: tuple[int, ...] = ()
    calls_at_us: tuple[int | None, ...] = ()
    started_us: int | None = None
    ended_us: int | None = None
    harm_action: int | None = None
    harm_call: bool = False
    harm_beyond: bool = False
    harm_us: int | None = None
    format: str = ""
    model: str | None = None
    task: str | None = None
    task_shown: str | None = None
    fingerprint: str = ""
    behaviour: tuple[str, ...] = ()
    spoken: dict[str, Spoken] = {}
    attacked: tuple[Attacked, ...] = ()
    effects_seconds: float = 0.0
    unread: str | None = None


class FileResult(msgspec.Struct, kw_only=True):
    """What came of one task.

    Attributes:
        unlabelled: runs without a label, as they are shown.
        unread: position and reason of what could not be read.
        nothing: why a file holds no transcript.
    """

    number: int
    place: str
    runs: list[ScoredRun] = []
    unlabelled: list[str] = []
    unread: list[str] = []
    nothing: list[str] = []


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What every process needs to know.

    Attributes:
        members: names of monitors that belong to an ensemble which is fitted afterwards.
    """

    settings: Settings
    labels: Labels
    attacks: bool
    seed: int
    members: frozenset[str] = frozenset()


_PREPARED: tuple[Work, tuple[Monitor, ...]] | None = None


def _prepare(work: Work) -> None:
    global _PREPARED
    _PREPARED = (work, watched(work.settings.load_monitors()))


def _run_prepared(task: Task) -> FileResult:
    assert _PREPARED is not None
    return score_file(task, *_PREPARED)


def score_files(
    tasks: Sequence[Task],
    work: Work,
    *,
    jobs: int,
    done: Callable[[Task], None] = lambda task: None,
) -> list[FileResult]:
    """Score every labelled run of the files; the result does not depend on ``jobs``.

    Args:
        jobs: processes; 1 reads in this one.
        done: called after each task, for progress.

    Raises:
        BadRules, LookupError: when a monitor cannot be loaded.
    """
    if jobs <= 1 or len(tasks) <= 1:
        monitors = watched(work.settings.load_monitors())
        results = []
        for task in tasks:
            results.append(score_file(task, work, monitors))
            done(task)
        return results
    # Large ones first: a long last task would leave the other processes idle.
    waiting = deque(sorted(tasks, key=lambda task: (-task.file.size, task.number)))
    results = []
    for task, result in over_processes(
        waiting, _run_prepared, jobs=jobs, prepare=_prepare, about=work
    ):
        if result is None:
            result = _blank(task)
            result.unread.append(DIED)
        results.append(result)
        done(task)
    return sorted(results, key=lambda result: result.number)


def _blank(task: Task) -> FileResult:
    return FileResult(number=task.number, place=os.path.realpath(task.file.path))


def score_file(task: Task, work: Work, monitors: Sequence[Monitor]) -> FileResult:
    """Read one file, or part of one, and score every run in it that has a label."""
    result = _blank(task)
    masker = Masker(work.settings.mask_key)
    file = task.file
    try:
        if file.note is not None:
            result.nothing.append(file.note)
            return result
        # What a third party's reader or monitor prints must not end up in a document.
        with redirect_stdout(sys.stderr):
            for found in _bounded_runs(task, work.settings):
                if isinstance(found, Transcript):
                    _score(found, task, work, monitors, masker, result)
                elif isinstance(found, NoTranscript):
                    result.nothing.append(masker.mask(found.reason))
                elif isinstance(found, Unreadable):
                    result.unread.append(masker.mask(_at(found.position, found.reason)))
                else:
                    result.unread.append(f"its reader answered with {type(found).__name__}")
    except ReadError as error:
        result.unread.append(masker.mask(_at(error.position, error.reason)))
    except OSError as error:
        result.unread.append(error.strerror or str(error))
    except TooSlow:
        result.unread.append("given up: reading it took too long")
    except MemoryError:
        result.unread.append("given up: it does not fit into memory")
    except KeyboardInterrupt:
        raise
    except Exception as error:  # a reader's fault is told, and costs no other file its scores
        said = masker.mask(str(error)[:200])
        result.unread.append(f"the reader failed: {type(error).__name__}: {said}")
    return result


def _at(position: str, reason: str) -> str:
    return f"{position}: {reason}" if position else reason


def _bounded_runs(task: Task, settings: Settings) -> Iterator[object]:
    """The runs of a file. The time for each is bounded: a log is hostile until it is read."""
    runs = _runs(task, settings)
    while True:
        with bounded(LONGEST_READING + task.file.size / SLOWEST):
            found = next(runs, None)
        if found is None:
            return
        yield found


def _runs(task: Task, settings: Settings) -> Iterator[object]:
    file = task.file
    if file.store:
        for session in opencode_sessions(Path(file.path), settings.limits):
            if isinstance(session, Unreadable):
                yield session
                continue
            with session as source:
                yield from read_transcripts(source)
        return
    with Source(file.path, limits=settings.limits, settled=file.size or None) as source:
        source.part = task.part
        if settings.mapping is not None:
            yield from read_with_mapping(source, settings.mapping)
        else:
            yield from read_transcripts(source)


def _score(
    run: Transcript,
    task: Task,
    work: Work,
    monitors: Sequence[Monitor],
    masker: Masker,
    result: FileResult,
) -> None:
    name = masker.mask(run.name, names=True)
    shown = f"{task.file.path}#{name}" if name else task.file.path
    label = work.labels.of(result.place, run.name)
    if label is None:
        result.unlabelled.append(shown)
        return
    scored = _facts(run, label, masker)
    scored.place, scored.shown = result.place, name
    spoken, scored.effects_seconds = watch_run(run, monitors)
    scored.spoken = {
        by: msgspec.structs.replace(said, reasons=tuple(map(masker.mask, said.reasons)))
        for by, said in spoken.items()
    }
    from ._behaviours import behaviour

    scored.behaviour = behaviour(run)
    if work.attacks and label.violation:
        scored.attacked = tuple(_attacked(run, work, monitors))
    result.runs.append(scored)


def _facts(run: Transcript, label: Label, masker: Masker) -> ScoredRun:
    events = deployment_view(run.events)
    calls = [event for event in events if event.kind is EventKind.TOOL_CALL]
    times = [event.at_us for event in run.events if event.at_us is not None]
    scored = ScoredRun(
        place="",
        run=run.name,
        shown="",
        line=label.line,
        events=len(events),
        characters=sum(len(event.text) for event in events)
        + sum(len(msgspec.json.encode(event.arguments)) for event in calls if event.arguments),
        calls=tuple(event.index for event in calls),
        calls_at_us=tuple(event.at_us for event in calls),
        started_us=min(times, default=None),
        ended_us=max(times, default=None),
        format=run.format,
        model=None if run.model is None else masker.mask(run.model, names=True),
        task=run.task,
        task_shown=None if run.task is None else masker.mask(run.task, names=True),
        fingerprint=run.fingerprint,
    )
    if label.harm_at is not None:
        _place_harm(run, label.harm_at, scored)
    return scored


def _place_harm(run: Transcript, at: int, scored: ScoredRun) -> None:
    if at >= len(run.events):
        scored.harm_beyond = True
        return
    harm = run.events[at]
    before = [index for index in scored.calls if index <= at]
    scored.harm_us = harm.at_us
    if harm.kind is EventKind.TOOL_RESULT and harm.call is not None:
        # The harm is the act: a result names the call that it answers.
        made = [i for i in before if run.events[i].call == harm.call]
        if made:
            before = [index for index in before if index <= made[-1]]
            scored.harm_call = True
    scored.harm_action = len(before)
    scored.harm_call = scored.harm_call or (bool(before) and before[-1] == at)


def _attacked(run: Transcript, work: Work, monitors: Sequence[Monitor]) -> Iterator[Attacked]:
    from .attacks import all_attacks

    for attack in all_attacks():
        try:
            changed = attack.apply(run, seed=work.seed)
        except Exception:
            # What the monitor would have made of it is not known: that is no refusal to apply.
            unknown = dict.fromkeys((monitor.name for monitor in monitors), None)
            yield Attacked(attack=attack.name, changed=0, not_applicable=None, scores=unknown)
            continue
        scores: dict[str, float | None] = {}
        kept: dict[str, Spoken] = {}
        if changed.not_applicable is None:
            spoken, _ = watch_run(changed.transcript, monitors)
            scores = {
                by: transcript_score(said, flag_at=work.settings.flag_at)
                for by, said in spoken.items()
            }
            kept = {by: spoken[by] for by in sorted(work.members)}
        yield Attacked(
            attack=attack.name,
            changed=changed.changed,
            not_applicable=changed.not_applicable,
            scores=scores,
            spoken=kept,
        )
