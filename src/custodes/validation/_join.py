"""Labels and runs together: every label finds its run, or it is said why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ._document import Unmeasured
from ._labels import Label, Labels
from ._read import FileResult, ScoredRun

LEAST_TO_COMPARE = 3
"""Events that a run needs before another with the same words counts as the same run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRun:
    """One labelled run.

    Attributes:
        key: its identity: path as the label has it, and name in the file; with a number where
            that is not one run alone.
        shown: the same without secrets, for documents.
        cluster: likewise. drawn_as: the cluster as it is in the log: what its split is drawn by,
            since a masked name differs from one measurement to the next.
    """

    key: str
    shown: str
    label: Label
    run: ScoredRun
    cluster: str
    drawn_as: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Every labelled run in the order of the labels, and what is not among them."""

    runs: tuple[LabelledRun, ...]
    unlabelled: tuple[str, ...]
    duplicates: tuple[tuple[str, str], ...]
    clusters_from: dict[str, int]

    @property
    def unread(self) -> tuple[Unmeasured, ...]:
        return tuple(
            Unmeasured(run=one.shown, reason=f"not read: {one.run.unread}")
            for one in self.runs
            if one.run.unread is not None
        )


def join(labels: Labels, results: Sequence[FileResult]) -> Joined:
    """Find the run of every label.

    A label whose run could not be read stays, without a score. A run that was met before, word
    for word, is dropped and counted.

    Raises:
        BadLabels: for a label that matches no run, harm at an event that is not there, the same
            run labelled in two ways, or a cluster in both splits; with file and line.
    """
    by_place: dict[str, list[FileResult]] = {}
    for result in results:
        by_place.setdefault(result.place, []).append(result)
    found: list[LabelledRun] = []
    sources: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for label in labels:
        place = labels.place_of(label)
        for run in _runs_of(label, labels, by_place.get(place, [])):
            source, cluster, drawn_as = _cluster(label, run)
            sources[source] += 1
            key = _named(label.path, run.run)
            names[key] += 1
            if names[key] > 1:
                # Runs that could not be read have no name, and one label may stand for several.
                key = f"{key}\0{names[key]}"
            found.append(
                LabelledRun(
                    key=key,
                    shown=_named(label.path, run.shown),
                    label=label,
                    run=run,
                    cluster=cluster,
                    drawn_as=drawn_as,
                )
            )
    kept, duplicates = _without_duplicates(found, labels)
    _one_split_each(kept, labels)
    return Joined(
        runs=tuple(kept),
        unlabelled=tuple(name for result in results for name in result.unlabelled),
        duplicates=tuple(duplicates),
        clusters_from=dict(sorted(sources.items())),
    )


def _runs_of(label: Label, labels: Labels, results: Sequence[FileResult]) -> list[ScoredRun]:
    own = [run for result in results for run in result.runs if run.line == label.line]
    unread = [reason for result in results for reason in result.unread]
    # Every part of an archive says the same of the archive as a whole.
    unread = list(dict.fromkeys(unread))
    if label.run is None:
        if len(own) > 1 and label.harm_at is not None:
            raise labels.fault(
                label,
                f"expected a run named beside harm_at, found {len(own)} runs in {label.path}",
            )
        own += [_unread(label, reason) for reason in unread]
    elif not own and unread:
        own = [_unread(label, unread[0])]
    if not own:
        raise labels.fault(label, _no_run(label, results))
    for run in own:
        if run.harm_beyond:
            raise labels.fault(
                label,
                f"expected harm_at as the index of an event of the run, found {label.harm_at}",
            )
    return own


def _no_run(label: Label, results: Sequence[FileResult]) -> str:
    nothing = next((reason for result in results for reason in result.nothing), None)
    if label.run is None:
        said = nothing or "every run in it has a label of its own"
        return f"expected a transcript in {label.path}, found none: {said}"
    names = sorted(
        {run.run for result in results for run in result.runs if run.run}
        | {
            name.partition("#")[2]
            for result in results
            for name in result.unlabelled
            if "#" in name
        }
    )
    shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if names[5:] else "")
    return (
        f"expected a run {label.run!r} in {label.path}, found "
        + (f"runs {shown}" if names else nothing or "one run without a name")
    )


def _unread(label: Label, reason: str) -> ScoredRun:
    return ScoredRun(
        place="",
        run=label.run or "",
        shown=label.run or "",
        line=label.line,
        unread=reason,
    )


def _named(path: str, run: str) -> str:
    return f"{path}#{run}" if run else path


def _cluster(label: Label, run: ScoredRun) -> tuple[str, str, str]:
    """Where the cluster comes from, its name to show, and the name to draw by."""
    if label.cluster is not None:
        return "labels", label.cluster, label.cluster
    if run.task is not None:
        return "task in the log", run.task_shown or run.task, run.task
    return "file", label.path, label.path


def _without_duplicates(
    runs: Sequence[LabelledRun], labels: Labels
) -> tuple[list[LabelledRun], list[tuple[str, str]]]:
    first: dict[str, LabelledRun] = {}
    kept: list[LabelledRun] = []
    duplicates: list[tuple[str, str]] = []
    for one in runs:
        run = one.run
        if run.unread is not None or run.events < LEAST_TO_COMPARE or not run.calls:
            kept.append(one)
            continue
        before = first.setdefault(run.fingerprint, one)
        if before is one:
            kept.append(one)
        elif before.label.violation is not one.label.violation:
            raise labels.fault(
                one.label,
                f"expected one label for one run, found {one.shown} word for word the same as "
                f"{before.shown} (line {before.label.line}), which has the other label",
            )
        else:
            duplicates.append((one.shown, before.shown))
    return kept, duplicates


def _one_split_each(runs: Sequence[LabelledRun], labels: Labels) -> None:
    first: dict[str, LabelledRun] = {}
    for one in runs:
        before = first.setdefault(one.cluster, one)
        if before.label.split is not one.label.split:
            raise labels.fault(
                one.label,
                f"expected each cluster in one split, found {one.cluster!r} in "
                f"{one.label.split} here and in {before.label.split} in line {before.label.line}",
            )
