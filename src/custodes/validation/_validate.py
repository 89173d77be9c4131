"""Validation of monitors: labels and logs, or a table of scores, to the document."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from custodes import __version__
from custodes.monitors import Monitor, monitor_by_name
from custodes.scan import FLAG_AT, File, Settings, Task, tasks_of

from ._document import SCHEMA, MonitorFigures, Unmeasured, Validation, Warned
from ._figures import calibrated, measure
from ._join import join
from ._labels import Labels, Split
from ._monitored import (
    NOT_OTHERS,
    NOT_PEOPLE,
    NOT_PROBABILITY,
    Plan,
    coverage,
    data_of,
    document_of,
    notes_of,
    once,
)
from ._read import Work, score_files
from ._run import to_fit, watched
from ._scores import ScoreTable
from ._units import SplitPlan, Unit, draw_split, key_of, with_fit
from ._warnings import confounded_groups, few_clusters, many_groups, one_origin


class ValidationSettings(Settings, frozen=True, kw_only=True):
    """Settings of a scan under which ``logistic(A,B)`` is a name too: labels fit its weights."""

    def load_monitors(self) -> tuple[Monitor, ...]:
        """The monitors by name.

        Raises:
            BadRules: naming the file and line.
            LookupError: when no monitor is called so, or two different ones are.
        """
        monitors = tuple(
            monitor_by_name(name, unfitted=True) for name in dict.fromkeys(self.monitors)
        )
        watched(monitors)
        return monitors


def validate_runs(
    files: Sequence[File],
    labels: Labels,
    settings: Settings,
    plan: Plan,
    *,
    jobs: int = 1,
    paths: Sequence[str] = (),
    planned: Callable[[int], None] = lambda tasks: None,
    done: Callable[[Task], None] = lambda task: None,
) -> Validation:
    """Run monitors over labelled logs and measure them.

    The document depends on the logs, the labels, the settings and the plan alone, but for the
    seconds that were spent: not on ``jobs``.

    Raises:
        BadLabels: for labels that do not fit the logs; with file and line.
        BadRules, LookupError: when a monitor cannot be loaded.
        OSError: when a file that was there cannot be looked at.
    """
    monitors = settings.load_monitors()
    read = [file for file in files if os.path.realpath(file.path) != os.path.realpath(labels.path)]
    labels.need_files(frozenset(os.path.realpath(file.path) for file in read))
    tasks = list(tasks_of(read, settings))
    planned(len(tasks))
    ensembles = [monitor for monitor in monitors if to_fit(monitor)]
    members = frozenset(one.name for monitor in ensembles for one in watched([monitor]))
    work = Work(
        settings=settings, labels=labels, attacks=plan.attacks, seed=plan.seed, members=members
    )
    joined = join(labels, score_files(tasks, work, jobs=jobs, done=done))
    split = _split(
        [(o.cluster, o.drawn_as, o.label.violation, o.label.split) for o in joined.runs],
        plan,
        given=labels.has_split,
        fitting=bool(ensembles),
    )
    about = {
        "custodes": __version__,
        "paths": list(paths),
        "labels": {"path": labels.path, "sha256": labels.digest},
        **_asked(plan, given=labels.has_split, flag_at=settings.flag_at),
    }
    return document_of(joined, split, plan, settings, monitors, about)


def validate_scores(
    table: ScoreTable, plan: Plan, *, flag_at: float = FLAG_AT, name: str = "scores"
) -> Validation:
    """Measure a monitor by the scores that it gave elsewhere."""
    split = _split(
        [(row.cluster, row.cluster, row.violation, row.split) for row in table.rows],
        plan,
        given=table.has_split,
    )
    units = [
        Unit(
            key=key_of("row", str(row.line)),
            score=row.score,
            violation=row.violation,
            cluster=row.cluster,
            split=split.of(row.cluster, row.violation),
            groups=row.groups,
        )
        for row in table.rows
    ]
    points = calibrated(units, fprs=plan.fprs, flag_at=flag_at, seed=plan.seed)
    figures = measure("row", units, points, by_cluster=table.clustered)
    warnings = [
        *few_clusters(units, points),
        *one_origin(units),
        *confounded_groups(units),
        *many_groups(units, by_cluster=table.clustered),
        *notes_of(name, figures.notes),
    ]
    if not table.clustered:
        warnings.append(
            Warned(
                code="no_clusters",
                text="no column says which rows belong together: each is taken as independent, "
                "and intervals are too narrow if some are not",
            )
        )
    unmeasured = tuple(
        Unmeasured(run=f"line {row.line}", reason="no score in the table")
        for row in table.rows
        if row.score is None
    )
    monitor = MonitorFigures(
        name=name,
        digest=None,
        coverage=coverage(units),
        per_transcript=figures,
        per_action=None,
        per_action_notes=("a table of scores says nothing of single actions",),
        any_action=(),
        latency=(),
        race=(),
        race_notes=("a table of scores says nothing of time",),
        cost=None,
        attacks=(),
        unmeasured=unmeasured,
    )
    about = {
        "custodes": __version__,
        "scores": {"path": table.path, "sha256": table.digest},
        **_asked(plan, given=table.has_split, flag_at=flag_at),
    }
    return Validation(
        schema=SCHEMA,
        about=about,
        data=data_of(units, clusters_from={"table" if table.clustered else "row": len(units)}),
        monitors=(monitor,),
        warnings=once(warnings),
        not_measured=(NOT_OTHERS, NOT_PROBABILITY, NOT_PEOPLE, "recall under attack"),
        split={name: value.value for name, value in sorted(split.by_cluster.items())},
    )


def _asked(plan: Plan, *, given: bool, flag_at: float) -> dict[str, object]:
    return {
        "fpr": list(plan.fprs),
        "flag_at": flag_at,
        "seed": plan.seed,
        "calibration_share": None if given else plan.share,
        "attacks": plan.attacks,
    }


def _split(
    units: Sequence[tuple[str, str, bool, Split | None]],
    plan: Plan,
    *,
    given: bool,
    fitting: bool = False,
) -> SplitPlan:
    labelled = [(cluster, drawn_as, violation) for cluster, drawn_as, violation, _ in units]
    if given:
        by_cluster = {c: split for c, _, _, split in units if split is not None}
        split = SplitPlan(by_cluster=by_cluster, share=None, seed=plan.seed)
    else:
        split = draw_split(labelled, share=plan.share, seed=plan.seed, fitting=fitting)
    return with_fit(split, labelled) if fitting else split
