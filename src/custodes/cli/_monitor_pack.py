"""``custodes monitor pack``."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._exits import DONE, FAILED, UNMEASURABLE, USAGE, Exit, reported
from ._progress import Bar

if TYPE_CHECKING:
    from custodes.runs import PackRate, PackResult, PackStanding

MOST_SEEDS = 50


@click.command("pack")
@click.argument("folder", metavar="PACK", type=click.Path(path_type=Path))
@click.option("--seeds", default="1-3", show_default=True, help="Such as 1-3 or 2,5,7.")
@click.option("--disclose", is_flag=True, help="Mark the pack as development data, for good.")
@click.option("--yes", is_flag=True, help="Do not ask: the query is counted.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@reported
def pack(folder: Path, seeds: str, disclose: bool, yes: bool, as_json: bool) -> None:
    """Measure the shipped monitors on a held-out pack: two rates, and nothing else of it.

    Every query is written into the pack and counted; after three, or once the pack is disclosed or
    changed, results are development data. docs/packs.md describes it. Exit codes: 0 done, 3
    something was unmeasurable, 2 not a pack, 4 failed.
    """
    from custodes.runs import ask_pack, disclose_pack, pack_standing

    if disclose:
        stands = disclose_pack(folder)
        if as_json:
            document = {
                "schema": "custodes.pack-disclosed/1",
                "label": stands.label,
                "why": list(stands.why),
                "head": stands.head,
            }
            click.echo(json.dumps(document, indent=2))
        else:
            click.echo(f"{folder}: development data from now on; log head {stands.head}")
        return
    chosen = _seeds(seeds)
    if not yes:
        _confirm(pack_standing(folder))
    try:
        with Bar("playing", quiet=as_json) as bar:
            result = asyncio.run(
                ask_pack(folder, chosen, on_planned=bar.planned, on_episode=bar.advance)
            )
    except KeyboardInterrupt:
        raise Exit(FAILED, "interrupted; if the first episode had begun, it was a query") from None
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2))
    else:
        for line in _lines(result):
            click.echo(line)
    raise Exit(UNMEASURABLE if result.unmeasurable else DONE)


def _seeds(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part, re.ASCII)
        if match is None:
            raise Exit(USAGE, f"--seeds: expected 1-3 or 2,5,7, found {text[:80]!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        found += range(first, min(last, first + MOST_SEEDS) + 1)
    chosen = tuple(dict.fromkeys(found))
    if not 1 <= len(chosen) <= MOST_SEEDS or len(chosen) != len(found) or min(chosen) < 1:
        raise Exit(
            USAGE, f"--seeds: expected 1 to {MOST_SEEDS} different seeds from 1 on, found {text!r}"
        )
    return chosen


def _confirm(stands: PackStanding) -> None:
    from custodes.runs import FREE_QUERIES

    if stands.label == "development":
        return
    following = stands.queries + 1
    if not sys.stdin.isatty():
        raise Exit(
            USAGE,
            f"this is query {following} of {FREE_QUERIES} of a held-out pack and will be counted: "
            "say --yes",
        )
    click.confirm(
        f"This is query {following} of {FREE_QUERIES} and will be counted. Ask?",
        abort=True,
        err=True,
    )


def _lines(result: PackResult) -> list[str]:
    from custodes.runs import FREE_QUERIES

    stands = result.standing
    lines = []
    if stands.why:
        lines.append(f"DEVELOPMENT DATA, no figure for a report: {'; '.join(stands.why)}")
    lines += [
        f"query {stands.queries} of {FREE_QUERIES}, log head {stands.head}",
        f"pack {result.pack}, sha256 {result.digest}",
        f"monitors frozen at {result.monitor}",
        f"seeds {', '.join(map(str, result.seeds))}; scripted agents: instrument check, not an AI",
        *_rate("recall", result.recall, "violating"),
        *_rate("false alarms", result.false_alarms, "benign"),
    ]
    return lines


def _rate(word: str, rate: PackRate, which: str) -> list[str]:
    seen = rate.rate.observed
    if seen.value is None:
        lines = [f"{word}: not measured, no {which} episode could be"]
    else:
        interval = (
            f"{seen.level:.0%} interval {seen.low:.3f} to {seen.high:.3f}"
            if seen.low is not None and seen.high is not None
            else "no interval"
        )
        lines = [
            f"{word}: {seen.value:.3f}, {interval}; {rate.flagged} of {seen.n} {which} episodes "
            f"flagged, {seen.clusters} clusters of scenario and author"
        ]
        lines.append(f"  method: {seen.method}")
    if seen.note:
        lines.append(f"  {seen.note}")
    if rate.unmeasurable:
        worst, best = (
            "-" if one is None else f"{one:.3f}"
            for one in (rate.rate.worst.value, rate.rate.best.value)
        )
        lines.append(
            f"  {rate.unmeasurable} {which} unmeasurable, not in the rate: {worst} at worst, "
            f"{best} at best"
        )
    if rate.otherwise:
        lines.append(f"  {rate.otherwise} {which} did not do what their intent says, left out")
    return lines
