"""``custodes monitor validate``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._exits import DONE, FAILED, THRESHOLD, UNMEASURABLE, USAGE, Exit, reported, strongest
from ._progress import Bar, cores

if TYPE_CHECKING:
    from custodes.validation import Plan, Validation, ValidationThreshold

_OF_SCORES = ("score_column", "label_column", "cluster_column", "by", "scale")


@click.command("validate")
@click.argument("paths", nargs=-1, metavar="PATH…")
@click.option(
    "--labels",
    "labels_path",
    type=click.Path(dir_okay=False),
    help="Which runs are violations: a CSV with the columns path and label, and more.",
)
@click.option(
    "--monitor",
    "monitors",
    multiple=True,
    help="A shipped, installed or combined monitor, logistic(A,B) with weights that the labels "
    "fit, or a rule file.  [default: rules, sequence, claims]",
)
@click.option(
    "--fpr",
    "fprs",
    multiple=True,
    type=float,
    help="False-alarm rate to calibrate for, several times for several.  [default: 0.01, 0.05]",
)
@click.option(
    "--calibration-share",
    type=float,
    help="Of the benign clusters, those that calibrate.  [default: 0.5, or a column split]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of split and draws."
)
@click.option("--attacks", is_flag=True, help="Measure recall under text-changing attacks.")
@click.option(
    "--scores",
    "scores_path",
    type=click.Path(dir_okay=False),
    help="A table of scores given elsewhere, instead of PATH and --labels.",
)
@click.option("--score-column", help="In the table of scores.  [default: score]")
@click.option("--label-column", help="In the table of scores.  [default: label]")
@click.option("--cluster-column", help="In the table of scores: rows that belong together.")
@click.option("--by", multiple=True, help="In the table of scores: a column to group by.")
@click.option("--scale", type=float, help="What a score in the table is out of.  [default: 1]")
@click.option("--fail-on", multiple=True, help="tpr<0.8, tpr@0.01<0.5, false_alarms>0.05 …")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for validation.json and validation.html.",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write operating curves, the race of flag and harm, and the fall under attacks into "
    "this folder, as SVG and PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, exists=True),
    help="How to understand a format of your own.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes.  [default: one a core]")
@reported
def validate(
    paths: tuple[str, ...],
    labels_path: str | None,
    monitors: tuple[str, ...],
    fprs: tuple[float, ...],
    calibration_share: float | None,
    seed: int,
    attacks: bool,
    scores_path: str | None,
    score_column: str | None,
    label_column: str | None,
    cluster_column: str | None,
    by: tuple[str, ...],
    scale: float | None,
    fail_on: tuple[str, ...],
    out: Path | None,
    plots: Path | None,
    as_json: bool,
    mapping: str | None,
    jobs: int | None,
) -> None:
    """Measure monitors on labelled runs, or on scores that one gave elsewhere.

    Reports what is flagged and what is flagged in vain at thresholds that benign runs fit, with
    intervals, per transcript and per action apart. docs/monitor_validation.md describes it.
    """
    from custodes.validation import (
        DEFAULT_FPRS,
        DEFAULT_SHARE,
        BadLabels,
        BadScores,
        BadValidationThreshold,
        Plan,
        parse_validation_threshold,
    )

    for path in filter(None, (labels_path, scores_path)):
        if not os.path.isfile(path):
            raise Exit(USAGE, f"{path}: expected a table, found no such file")
    for folder in filter(None, (out, plots)):
        _writable(folder)
    given = (score_column, label_column, cluster_column, by or None, scale)
    try:
        thresholds = tuple(parse_validation_threshold(text) for text in fail_on)
        plan = Plan(
            fprs=fprs or DEFAULT_FPRS,
            share=DEFAULT_SHARE if calibration_share is None else calibration_share,
            seed=seed,
            attacks=attacks,
        )
        _measurable(thresholds, plan)
    except BadValidationThreshold as error:
        raise Exit(USAGE, str(error)) from None
    except ValueError as error:
        raise Exit(USAGE, f"--fpr or --calibration-share: {error}") from None
    try:
        if scores_path is not None:
            if paths or labels_path or monitors or attacks or mapping:
                raise Exit(
                    USAGE,
                    "--scores is a table of its own: leave out PATH, --labels, --monitor, "
                    "--attacks and --mapping",
                )
            result = _of_scores(
                scores_path, score_column, label_column, cluster_column, by, scale, plan,
                explicit_share=calibration_share is not None,
            )  # fmt: skip
        else:
            if not paths or labels_path is None:
                raise Exit(USAGE, "name logs and their --labels, or a table of --scores")
            stray = [name for name, value in zip(_OF_SCORES, given, strict=True) if value]
            if stray:
                raise Exit(USAGE, f"--{stray[0].replace('_', '-')} belongs to --scores")
            result = _of_runs(
                paths, labels_path, monitors, mapping, plan, jobs or cores(), out, plots,
                quiet=as_json, explicit_share=calibration_share is not None,
            )  # fmt: skip
    except (BadLabels, BadScores) as error:
        raise Exit(USAGE, str(error)) from None
    except KeyboardInterrupt:
        raise Exit(FAILED, "interrupted; nothing was written") from None
    try:
        code = _tell(result, thresholds, out, plots, as_json)
    except KeyboardInterrupt:
        raise Exit(FAILED, "interrupted; not everything was written") from None
    raise Exit(code)


def _writable(folder: Path) -> None:
    """Refuse a folder that cannot be made, before a model is asked and paid for what is lost."""
    there = folder.absolute()
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not os.path.isdir(there) or not os.access(there, os.W_OK | os.X_OK):
        raise Exit(USAGE, f"{folder}: expected a folder that can be written, found that {there} "
                   "is none")  # fmt: skip


def _measurable(thresholds: Sequence[ValidationThreshold], plan: Plan) -> None:
    for threshold in thresholds:
        if threshold.fpr is not None and threshold.fpr not in plan.fprs:
            rates = ", ".join(f"{fpr:g}" for fpr in plan.fprs)
            raise Exit(USAGE, f"--fail-on {threshold.text!r}: expected a rate of --fpr ({rates})")
        if threshold.what == "recall_under_attack" and not plan.attacks:
            raise Exit(USAGE, f"--fail-on {threshold.text!r}: expected --attacks beside it")


def _of_scores(
    path: str,
    score_column: str | None,
    label_column: str | None,
    cluster_column: str | None,
    by: tuple[str, ...],
    scale: float | None,
    plan: Plan,
    *,
    explicit_share: bool,
) -> Validation:
    from custodes.validation import read_scores, validate_scores

    if scale is not None and not 0 < scale < float("inf"):
        raise Exit(USAGE, f"--scale: expected a number above 0, found {scale:g}")
    table = read_scores(
        path,
        score_column=score_column or "score",
        label_column=label_column or "label",
        cluster_column=cluster_column,
        by=tuple(dict.fromkeys(by)),
        scale=scale or 1.0,
    )
    _one_split(explicit_share, given=table.has_split, path=path)
    return validate_scores(table, plan, name=score_column or "score")


def _of_runs(
    paths: tuple[str, ...],
    labels_path: str,
    monitors: tuple[str, ...],
    mapping: str | None,
    plan: Plan,
    jobs: int,
    out: Path | None,
    plots: Path | None,
    *,
    quiet: bool,
    explicit_share: bool,
) -> Validation:
    from custodes.scan import DEFAULT_MONITORS, find_files, is_remote
    from custodes.transcripts import load_mapping
    from custodes.validation import ValidationSettings, read_labels, validate_runs

    for path in paths:
        if is_remote(path):
            raise Exit(USAGE, f"{path}: labels name files; copy the logs here first")
    settings = ValidationSettings(monitors=monitors or DEFAULT_MONITORS, mapping=mapping)
    # What the user may have got wrong is said before anything is read.
    settings.load_monitors()
    if mapping is not None:
        load_mapping(mapping)
    labels = read_labels(labels_path)
    _one_split(explicit_share, given=labels.has_split, path=labels_path)
    left_out = [folder for folder in (out, plots) if folder is not None]
    files = list(find_files(paths, leave_out=left_out))
    with Bar("scoring", quiet=quiet) as bar:
        return validate_runs(
            files,
            labels,
            settings,
            plan,
            jobs=jobs,
            paths=paths,
            planned=bar.planned,
            done=lambda task: bar.advance(),
        )


def _one_split(explicit_share: bool, *, given: bool, path: str) -> None:
    if explicit_share and given:
        raise Exit(USAGE, f"{path}: its column split says what calibrates; leave out "
                   "--calibration-share")  # fmt: skip


def _tell(
    result: Validation,
    thresholds: Sequence[ValidationThreshold],
    out: Path | None,
    plots: Path | None,
    as_json: bool,
) -> int:
    """Print, write, and say which thresholds were crossed; the exit code."""
    from custodes.reports import validation_page, validation_summary_lines
    from custodes.scan import json_text
    from custodes.transcripts import reader_problems
    from custodes.validation import validation_crossings

    document = json_text(result)
    written = []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in (
            ("validation.json", document + "\n"),
            ("validation.html", validation_page(result)),
        ):
            part = out / f".{name}.part"
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
            os.replace(part, out / name)
            written.append(out / name)
    if plots is not None:
        from custodes.reports import save_validation_plots

        written += save_validation_plots(result, plots)
    if as_json:
        click.echo(document)
    else:
        for line in validation_summary_lines(result):
            click.echo(line)
        for path in written:
            click.echo(f"written: {path}")
    for problem in reader_problems():
        click.echo(problem, err=True)
    crossed = validation_crossings(result, thresholds)
    for one in crossed:
        bound = "no bound" if one.bound is None else f"worst case {one.bound:.3g}"
        click.echo(
            f"crossed: {one.threshold.text} by {one.monitor} ({one.where}: {bound})", err=True
        )
    unknown = result.unmeasurable or reader_problems()
    return strongest(THRESHOLD if crossed else DONE, UNMEASURABLE if unknown else DONE)
