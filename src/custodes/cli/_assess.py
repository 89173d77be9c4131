"""``custodes assess``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._exits import DONE, FAILED, THRESHOLD, UNMEASURABLE, Exit, reported, strongest

if TYPE_CHECKING:
    from custodes.runs import Progress


@click.command("assess")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--quickstart", is_flag=True, help="Make the quickstart case when there is none.")
@click.option("--model", help="Assess this model instead of the plan's subjects: provider/name.")
@click.option("--base-url", help="Where that model is served.")
@click.option("--allow-uncontained", is_flag=True, help="Let a plan of tier C run: NO CONTAINMENT.")
@click.option("--retry-failed", is_flag=True, help="Run shards again whose worker died.")
@click.option("--fail-on", multiple=True, help="QUESTION@CELL>RATE, escapes>0 or survivors>0.")
@click.option("--plan", "plan_only", is_flag=True, help="Say what it would cost; run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the report's data as JSON.")
@reported
def command(
    folder: Path,
    quickstart: bool,
    model: str | None,
    base_url: str | None,
    allow_uncontained: bool,
    retry_failed: bool,
    fail_on: tuple[str, ...],
    plan_only: bool,
    as_json: bool,
) -> None:
    """Run what is missing of the plan of the case in FOLDER, then write its report."""
    if plan_only:
        _show_plan(folder, quickstart, model, base_url, retry_failed, as_json)
        return
    from custodes.case import Case, quickstart_config
    from custodes.reports import summary_lines, write_report
    from custodes.runs import assess, crossings, parse_threshold

    thresholds = tuple(parse_threshold(text) for text in fail_on)
    if quickstart and not (folder / "ledger.jsonl").exists():
        Case.create(folder, quickstart_config()).close()
    with Case.open(folder, write=True) as case:
        with _Shown(quiet=as_json) as shown:
            results = asyncio.run(
                assess(
                    case,
                    model=model,
                    base_url=base_url,
                    allow_uncontained=allow_uncontained,
                    retry_failed=retry_failed,
                    say=shown.say,
                    started=shown.started,
                    progress=shown.progress,
                )
            )
            shown.say("report")
            written = write_report(case, results)
        crossed = crossings(results, thresholds)
        if as_json:
            click.echo(written.json_path.read_text(encoding="utf-8"))
        else:
            for line in summary_lines(results):
                click.echo(line)
            click.echo(f"report: {folder / written.html_path.name}")
    for crossing in crossed:
        click.echo(
            f"crossed: {crossing.threshold.text} by {crossing.where} (bound {crossing.bound:.3g})",
            err=True,
        )
    failed = any(check.passed is False for check in results.instrument_checks())
    raise Exit(
        strongest(
            FAILED if failed else DONE,
            THRESHOLD if crossed else DONE,
            UNMEASURABLE if results.has_unmeasurable else DONE,
        )
    )


def _show_plan(
    folder: Path,
    quickstart: bool,
    model: str | None,
    base_url: str | None,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """What is left to run, about what it costs, and what would leave the machine."""
    import json

    from custodes.case import Case, quickstart_config
    from custodes.runs import forecast, make_plan, tried_episodes

    if quickstart and not (folder / "ledger.jsonl").exists():
        config = quickstart_config()
        tried = {}
    else:
        with Case.open(folder, write=False) as case:
            config, tried = case.config, dict(tried_episodes(case))
    plan = make_plan(config, model=model, base_url=base_url)
    found = forecast(config, plan, tried, retry_failed=retry_failed)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        return
    click.echo(f"{found.episodes} episodes to run; nothing is run now")
    for name, count in found.scenarios.items():
        click.echo(f"  {name:<36} {count:>6} episodes")
    click.echo("subject, episodes, about how many calls and tokens (at most, by the limits):")
    for s in found.subjects:
        kept = f", {s.on_record} on record" if s.on_record else ""
        most = "no limit" if s.most_tokens is None else f"{s.most_tokens:,}"
        tokens = (
            "no tokens: a scripted reference agent"
            if s.reference
            else f"{s.tokens:,} tokens ({most})"
        )
        click.echo(
            f"  {s.id:<20} {s.episodes:>6}{kept}; {s.calls:,} calls ({s.most_calls:,}); {tokens}"
        )
    leaving = [s for s in found.subjects if s.leaves and s.episodes]
    for s in leaving:
        click.echo(
            f"leaves this machine for {s.leaves}: the prompts of {s.id}, its own words, and what "
            "its commands print in the made-up workspaces"
        )
    if not leaving:
        click.echo("nothing leaves this machine")


class _Shown:
    """Progress on a terminal, and nothing in a pipe."""

    def __init__(self, *, quiet: bool) -> None:
        self._on = sys.stderr.isatty() and not quiet
        self._total = 0
        self._done = 0

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._on:
            click.echo("\r\x1b[K", nl=False, err=True)

    def say(self, text: str) -> None:
        if self._on:
            click.echo(f"\r\x1b[K{text} …", nl=False, err=True)

    def started(self, episodes: int) -> None:
        self._total = episodes
        if episodes:
            self.say(f"0 of {episodes} episodes")

    @property
    def progress(self) -> Progress:
        from custodes.runs import Progress

        return Progress(episode=self._episode)

    def _episode(self) -> None:
        self._done += 1
        self.say(f"{self._done} of {self._total} episodes")
