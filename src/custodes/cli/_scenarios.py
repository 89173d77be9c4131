"""``custodes scenarios``."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import click

from ._exits import FAILED, USAGE, Exit, reported


@click.group("scenarios")
def command() -> None:
    """List, show and admit scenarios."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True)
@reported
def list_scenarios(as_json: bool) -> None:
    """Name every scenario."""
    from custodes.scenarios import all_scenarios

    if as_json:
        found = [
            {
                "id": s.id,
                "version": ".".join(map(str, s.version)),
                "step": s.step.value,
                "cells": [cell.name for cell in s.cells()],
                "levels": [level.value for level in s.levels],
                "twins": [twin.name for twin in s.twins],
                "elicited": s.elicited,
                "missing_ablations": list(s.missing_ablations),
            }
            for s in all_scenarios().values()
        ]
        document = {"schema": "custodes.scenarios/1", "scenarios": found}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for s in all_scenarios().values():
        version = ".".join(map(str, s.version))
        click.echo(f"{s.id:<32} {version:<6} {s.step.value:<18} {s.title}")


@command.command("show")
@click.argument("scenario")
@reported
def show(scenario: str) -> None:
    """What a scenario measures, and how."""
    from custodes.scenarios import scenario_by_id

    try:
        s = scenario_by_id(scenario)
    except KeyError as error:
        raise Exit(USAGE, str(error.args[0])) from None
    click.echo(f"{s.id} {s.version[0]}.{s.version[1]}: {s.title}")
    click.echo(f"step: {s.step.value}\nact: {s.act}")
    click.echo(f"ordinary task: {s.ordinary_task}\ntemptation: {s.temptation}")
    click.echo("levels: " + ", ".join(level.value for level in s.levels))
    for twin in s.twins:
        click.echo(f"twin {twin.name}: {twin.description} ({twin.kind}: {twin.factor})")
    for kind, meaning in s.receipts.items():
        click.echo(f"receipt {kind}: {meaning}")
    for route in s.routes():
        click.echo(f"route {route.name}: {route.intent}, by {route.author}")
    for ablation in s.missing_ablations:
        click.echo(f"missing ablation: {ablation}")


@command.command("admit")
@click.argument("scenario", nargs=-1)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Seeds from 1 on that each check runs.",
)
@click.option(
    "--unforeseen", is_flag=True, help="Play the routes by authors who had not seen the oracle."
)
@click.option(
    "--from",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Also know the scenarios in this folder (their packages, or src/ with them).",
)
@click.option("--json", "as_json", is_flag=True)
@reported
def admit(
    scenario: tuple[str, ...],
    seeds: int,
    unforeseen: bool,
    folders: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Run the admission gate: does the oracle tell the reference agents apart?"""
    from custodes.runs import admit_scenarios, advice
    from custodes.scenarios import SCENARIO_PATH, all_scenarios

    for folder in folders:
        if not folder.is_dir():
            raise Exit(USAGE, f"expected a folder with scenarios, found none at {folder}")
    if folders:
        known = os.environ.get(SCENARIO_PATH, "").split(os.pathsep)
        added = [str(_sources(folder)) for folder in folders]
        os.environ[SCENARIO_PATH] = os.pathsep.join(filter(None, [*known, *added]))
        all_scenarios.cache_clear()
    for name in scenario:
        if name not in all_scenarios():
            raise Exit(USAGE, f"no scenario is called {name!r}; custodes scenarios list names them")
    ids = tuple(dict.fromkeys(scenario)) or tuple(all_scenarios())
    verdicts = asyncio.run(admit_scenarios(ids, seeds=seeds, unforeseen=unforeseen))
    if as_json:
        document = {
            "schema": "custodes.admission/1",
            "scenarios": [verdict.to_json() for verdict in verdicts],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for verdict in verdicts:
            click.echo(f"{verdict.id}: {'admitted' if verdict.admitted else 'NOT ADMITTED'}")
            for check in verdict.checks:
                if not check.passed:
                    click.echo(f"  failed: {check.name}: {check.detail}".rstrip(": "))
                    if to_do := advice(check.name):
                        click.echo(f"    to do: {to_do}")
            passed = sum(check.passed for check in verdict.checks)
            click.echo(f"  {passed} of {len(verdict.checks)} checks passed")
            if (found := verdict.unforeseen) is not None:
                sensitivity, specificity = found.violations, found.legitimate
                click.echo(
                    "  unforeseen routes: sensitivity {} of {}, specificity {} of {}".format(
                        *sensitivity, *specificity
                    )
                )
                for miss in found.misses:
                    click.echo(f"  missed: {miss}")
    if not all(verdict.admitted for verdict in verdicts):
        raise Exit(FAILED)


def _sources(folder: Path) -> Path:
    """Where the packages of a project lie."""
    below = folder.resolve() / "src"
    return below if below.is_dir() else folder.resolve()


@command.command("new")
@click.argument("name")
@click.option(
    "--into", type=click.Path(path_type=Path), help="A new folder; by default named after NAME."
)
@reported
def new(name: str, into: Path | None) -> None:
    """Start a scenario of one's own: a small whole one, and a list of what is to be done."""
    from custodes.scenarios import SkeletonRefused, write_skeleton

    folder = into or Path(name.rpartition("/")[2].replace("_", "-"))
    try:
        written = write_skeleton(name, folder)
    except SkeletonRefused as error:
        raise Exit(USAGE, str(error)) from None
    for path in written:
        click.echo(path)
    click.echo(f"now: custodes scenarios admit {name} --from {folder}")
    click.echo("it will not be admitted yet; what it says is the list of what is to be done")
