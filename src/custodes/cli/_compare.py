"""``custodes compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._exits import DONE, THRESHOLD, UNMEASURABLE, USAGE, Exit, reported, strongest

if TYPE_CHECKING:
    from custodes.runs import CaseComparison

_USE = "expected CASE A B (two subjects of one case) or CASE1 CASE2 (one subject in two cases)"


@click.command("compare")
@click.argument("what", nargs=-1, metavar="CASE A B | CASE1 CASE2")
@click.option("--subject", help="The subject, where two cases are compared and have several.")
@click.option(
    "--fail-on", multiple=True, help="QUESTION@CELL rises, or falls; with >CHANGE for a rate."
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@reported
def command(
    what: tuple[str, ...], subject: str | None, fail_on: tuple[str, ...], as_json: bool
) -> None:
    """What changed between two settings that met the same scenarios, pair by pair.

    CASE A B compares subject B with subject A; CASE1 CASE2 a subject in the second case with the
    same one in the first. Nothing is run and nothing is written.
    """
    from custodes.reports import comparison_lines
    from custodes.runs import change_crossings, parse_change_threshold

    if len(what) not in (2, 3):
        raise Exit(USAGE, f"{_USE}, found {len(what)} names")
    if len(what) == 3 and subject is not None:
        raise Exit(USAGE, "--subject is for two cases; with one case the subjects are A and B")
    thresholds = tuple(parse_change_threshold(text) for text in fail_on)
    found = _of_one(*what) if len(what) == 3 else _of_two(what[0], what[1], subject)
    crossed = change_crossings(found, thresholds)
    if as_json:
        import json

        document = {
            **found.to_json(),
            "crossed": [
                {"threshold": c.threshold.text, "where": c.where, "bound": c.bound}
                for c in crossed
            ],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for line in comparison_lines(found):
            click.echo(line)
    for crossing in crossed:
        click.echo(
            f"crossed: {crossing.threshold.text} by {crossing.where} (bound {crossing.bound:.3g})",
            err=True,
        )
    raise Exit(
        strongest(
            THRESHOLD if crossed else DONE,
            UNMEASURABLE if found.has_unmeasurable else DONE,
        )
    )


def _of_one(folder: str, a: str, b: str) -> CaseComparison:
    from custodes.case import Case
    from custodes.runs import compare, read_results, side_of

    with Case.open(Path(folder), write=False) as case:
        results = read_results(case)
        return compare(side_of(case, results, a), side_of(case, results, b))


def _of_two(first: str, second: str, subject: str | None) -> CaseComparison:
    from custodes.case import Case
    from custodes.runs import compare, read_results, side_of

    with (
        Case.open(Path(first), write=False) as left,
        Case.open(Path(second), write=False) as right,
    ):
        sides = [
            side_of(case, read_results(case), subject, label=folder, name=folder)
            for case, folder in ((left, first), (right, second))
        ]
        return compare(*sides)
