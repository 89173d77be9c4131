"""``custodes assess``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._exits import DONE, FAILED, THRESHOLD, UNMEASURABLE, USAGE, Exit, reported, strongest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from custodes.runs import AgentForecast, Progress, SubjectForecast, Tried


@click.command("assess")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--quickstart", is_flag=True, help="Make the quickstart case when there is none.")
@click.option("--model", help="Assess this model instead of the plan's subjects: provider/name.")
@click.option("--base-url", help="Where that model is served.")
@click.option("--agent", help="Assess an installed agent: 'claude -p {prompt} …', or its name.")
@click.option(
    "--config",
    "agent_config_folder",
    type=click.Path(path_type=Path),
    help="The agent's configuration folder; a copy without its secrets is used.",
)
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
    agent: str | None,
    agent_config_folder: Path | None,
    allow_uncontained: bool,
    retry_failed: bool,
    fail_on: tuple[str, ...],
    plan_only: bool,
    as_json: bool,
) -> None:
    """Run what is missing of the plan of the case in FOLDER, then write its report."""
    spec = _agent(agent, agent_config_folder, base_url)
    if plan_only:
        _show_plan(folder, quickstart, model, base_url, spec, retry_failed, as_json)
        return
    from custodes.case import Case, agent_config, quickstart_config
    from custodes.reports import (
        agent_summary,
        comparison_summary,
        summary_lines,
        write_report,
    )
    from custodes.runs import assess, crossings, make_plan, parse_threshold

    thresholds = tuple(parse_threshold(text) for text in fail_on)
    if quickstart and not (folder / "ledger.jsonl").exists():
        Case.create(folder, quickstart_config()).close()
    elif spec is not None and not (folder / "ledger.jsonl").exists():
        config = agent_config(spec["preset"], spec)
        make_plan(config)  # an agent that cannot be assessed leaves no case behind
        Case.create(folder, config).close()
    with Case.open(folder, write=True) as case:
        with _Shown(quiet=as_json) as shown:
            results = asyncio.run(
                assess(
                    case,
                    model=model,
                    base_url=base_url,
                    agent=spec,
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
            for line in summary_lines(
                results, comparison_summary(case, results), agent_summary(case, results)
            ):
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


def _agent(command: str | None, config: Path | None, upstream: str | None) -> dict[str, Any] | None:
    if command is None:
        if config is not None:
            raise Exit(USAGE, "expected --agent beside --config, found none; say whose it is")
        return None
    from custodes.clients import spec_of

    if config is not None and not config.expanduser().is_dir():
        raise Exit(
            USAGE,
            f"expected the agent's configuration folder at {config}, found none; name the folder "
            "(custodes agents says where it lies), or leave --config out for the agent's defaults",
        )
    return spec_of(command, None if config is None else config.expanduser(), upstream)


def _show_plan(
    folder: Path,
    quickstart: bool,
    model: str | None,
    base_url: str | None,
    agent: dict[str, Any] | None,
    retry_failed: bool,
    as_json: bool,
) -> None:
    """What is left to run, about what it costs, and what would leave the machine."""
    import json

    from custodes.case import Case, agent_config, quickstart_config
    from custodes.runs import forecast, make_plan, tried_episodes

    tried: dict[str, Tried] = {}
    if quickstart and not (folder / "ledger.jsonl").exists():
        config = quickstart_config()
    elif agent is not None and not (folder / "ledger.jsonl").exists():
        config = agent_config(agent["preset"], agent)
    else:
        with Case.open(folder, write=False) as case:
            config, tried = case.config, dict(tried_episodes(case))
    plan = make_plan(config, model=model, base_url=base_url, agent=agent)
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
    asked = sum(s.interview_calls for s in found.subjects)
    if asked:
        at_most = sum(s.most_interview_calls for s in found.subjects)
        click.echo(f"interviews after the episodes: {asked:,} calls more ({at_most:,})")
    for line in _programs([s for s in found.subjects if s.episodes]):
        click.echo(line)
    leaving = [s for s in found.subjects if s.leaves and s.episodes]
    for s in leaving:
        more = "" if s.agent is None else ", the files of its configuration that it reads"
        click.echo(
            f"leaves this machine for {s.leaves}: the prompts of {s.id}, its own words{more}, and "
            "what its commands print in the made-up workspaces"
        )
    if not leaving:
        click.echo("nothing leaves this machine")


def _programs(subjects: Sequence[SubjectForecast]) -> Iterator[str]:
    """Which programs of this machine are started, with what, and for whom."""
    found: dict[AgentForecast, list[str]] = {}
    for s in subjects:
        if s.agent is not None:
            found.setdefault(s.agent, []).append(s.id)
    for agent, names in found.items():
        tested = "tested" if agent.tested else "this version was not tested"
        yield f"runs {agent.title} {agent.version} ({tested}) for {', '.join(names)}:"
        yield f"  {agent.program}, in a sandbox without this machine's files and network"
        yield f"  command: {' '.join(agent.words)}"
        yield (
            f"  configuration: {agent.files} files in an empty home; secrets replaced by "
            f"placeholders: {len(agent.replaced)}; left out: {len(agent.left_out)} (--json lists "
            "them)"
        )
        if agent.key_variable is not None:
            state = "set" if os.environ.get(agent.key_variable) else "not set"
            yield (
                f"  {agent.key_variable} ({state}) is sent to {agent.upstream} from outside the "
                "sandbox, for subjects that are no scripts"
            )


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
