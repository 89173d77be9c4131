"""``custodes horizon``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from datetime import date, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import click

from ._exits import FAILED, UNMEASURABLE, Exit, reported


class _WithDefault(click.Group):
    """A group that takes paths: what is no command of it goes to its default."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ("-h", "--help"):
            args = ["runs", *args]
        return super().parse_args(context, args)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            args = ["runs", *args]
        return super().resolve_command(context, args)


@click.group("horizon", cls=_WithDefault, invoke_without_command=False)
def command() -> None:
    """Time horizons: how long a task, in human time, an agent completes.

    `custodes horizon RUNS...` is short for `custodes horizon runs RUNS...`. docs/horizon.md
    describes formats and figures.
    """


def _interrupted(body: Callable[..., None]) -> Callable[..., None]:
    """Say no more than that: nothing is kept from which the same command could go on."""

    @wraps(body)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            body(*args, **kwargs)
        except KeyboardInterrupt:
            raise Exit(FAILED, "interrupted") from None

    return run


@command.command("runs")
@click.argument("files", nargs=-1, required=True, metavar="RUNS...")
@click.option(
    "--regularization",
    type=click.FloatRange(min=0),
    default=0.1,
    show_default=True,
    help="Weight of the penalty on the slope (METR: 0.1 in January 2026, 1e-5 later).",
)
@click.option(
    "--weighting",
    type=click.Choice(["invsqrt", "equal"]),
    default="invsqrt",
    show_default=True,
    help="A family counts as the root of its tasks, or every task as one.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0, max=1_000_000),
    default=10_000,
    show_default=True,
    help="Replicates: families, tasks within them, runs within task and agent.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--cheats",
    type=click.Choice(["fail", "pass", "both"]),
    default="fail",
    show_default=True,
    help="How runs marked as cheated count; both ways are always among the other choices.",
)
@click.option(
    "--score",
    "scoring",
    type=click.Choice(["binarized", "continuous"]),
    default="binarized",
    show_default=True,
)
@click.option("--scorer", metavar="NAME", help="In logs of Inspect: whose score counts.")
@click.option(
    "--dates",
    metavar="FILE",
    help="Table with agent and release_date: adds the doubling time, with an interval.",
)
@click.option("--from", "since", metavar="DATE", help="With --dates: releases from this day on.")
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the plots into this folder, as SVG and PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@reported
@_interrupted
def runs(
    files: tuple[str, ...],
    regularization: float,
    weighting: Literal["invsqrt", "equal"],
    bootstrap: int,
    seed: int,
    cheats: Literal["fail", "pass", "both"],
    scoring: Literal["binarized", "continuous"],
    scorer: str | None,
    dates: str | None,
    since: str | None,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Time horizons of the agents in runs files.

    RUNS are CSV, JSON lines or a JSON array with METR's columns (agent or alias, task_id,
    task_family, human_minutes, score_binarized), or logs of Inspect with human_minutes in the
    samples' metadata. Exit codes: 0; 2 a file that cannot be used; 3 a horizon is not identified,
    or runs have no score; 4 failed.
    """
    from custodes.horizon import (
        dated,
        doubts_of,
        horizon_document,
        horizon_text,
        read_dates,
        read_runs,
        trend_text,
    )
    from custodes.statistics import Trend, fit_horizons, sensitivity
    from custodes.statistics import trend as fit_trend

    day = _day(since)
    if not math.isfinite(regularization):
        raise click.BadParameter(
            f"expected a finite number, found {regularization}", param_hint="--regularization"
        )
    if since is not None and dates is None:
        raise click.UsageError("expected --dates with --from")
    released = None if dates is None else read_dates(dates)
    found, read = read_runs(files, scoring=scoring, scorer=scorer)
    ways: tuple[Literal["fail", "pass"], ...] = ("fail", "pass") if cheats == "both" else (cheats,)
    fits = [
        fit_horizons(
            found,
            regularization=regularization,
            weighting=weighting,
            bootstrap=bootstrap,
            seed=seed,
            cheats=way,
        )
        for way in ways
    ]
    rows = sensitivity(found, regularizations=tuple(dict.fromkeys((regularization, 0.1, 1e-5))))
    line: Trend | None = None
    if released is not None:
        names = fits[0].runs.agents
        draws = {name: fits[0].replicate_horizons(name) for name in names} if bootstrap else None
        agents_of = dated(fits[0], released)
        families = len(found.families)
        line = fit_trend(agents_of, since=day, replicates=draws, families=families)
    # First what was computed: a plot that cannot be written takes none of it away.
    if as_json:
        document = horizon_document(fits, rows, read, line)
        click.echo(json.dumps(document, indent=2, allow_nan=False))
    else:
        click.echo(horizon_text(fits, rows, read), nl=False)
        if line is not None:
            click.echo("\n" + trend_text(line, doubts_of(fits[0])), nl=False)
    if plots is not None:
        from custodes.reports.plots import save_success_curves, save_trend

        written = list(save_success_curves(fits[0], plots))
        if line is not None:
            ends = {
                one.agent: (one.horizons[0].low, one.horizons[0].high) for one in fits[0].agents
            }
            written += save_trend(line, plots, ends)
        if not as_json:
            _tell(written)
    agents = [agent for fit in fits for agent in fit.agents]
    if any(agent.unscored or agent.horizons[0].estimate is None for agent in agents):
        raise Exit(UNMEASURABLE)


@command.command("trend")
@click.argument("file", metavar="FILE")
@click.option("--from", "since", metavar="DATE", help="Releases from this day on make the line.")
@click.option("--version", metavar="NAME", help="Of METR's results by version.")
@click.option("--dates", metavar="FILE", help="Table with agent and release_date.")
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write horizons over time into this folder, as SVG and PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@reported
@_interrupted
def trend(
    file: str,
    since: str | None,
    version: str | None,
    dates: str | None,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Doubling time of the longest horizon.

    A line through ln p50 of the agents that were the best of their day, against release dates.
    FILE is a table with agent, release_date (YYYY-MM-DD) and p50 (minutes), METR's results, or
    what `custodes horizon --json` printed (with --dates). Exit codes: 0; 2 a file that cannot be
    used; 3 there is no doubling time; 4 failed.
    """
    from custodes.horizon import read_releases, trend_document, trend_text
    from custodes.statistics import trend as fit_trend

    day = _day(since)
    found = fit_trend(read_releases(file, version=version, dates=dates), since=day)
    if as_json:
        click.echo(json.dumps(trend_document(found), indent=2, allow_nan=False))
    else:
        click.echo(trend_text(found), nl=False)
    if plots is not None:
        from custodes.reports.plots import save_trend

        written = save_trend(found, plots)
        if not as_json:
            _tell(written)
    if found.doubling_time_days.estimate is None:
        raise Exit(UNMEASURABLE)


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007
    except ValueError:
        raise click.BadParameter(
            f"expected YYYY-MM-DD, found {text!r}", param_hint="--from"
        ) from None


def _tell(written: Iterable[Path]) -> None:
    for path in written:
        click.echo(f"written: {path}")
