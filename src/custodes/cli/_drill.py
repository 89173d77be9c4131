"""``custodes drill``."""

from __future__ import annotations

import asyncio
import json

import click

from ._exits import DONE, FAILED, UNMEASURABLE, USAGE, Exit, reported, strongest


@click.command("drill")
@click.option("--adversary", "against", multiple=True, help="Which; all by default.")
@click.option("--mechanism", "by", multiple=True, help="Which; all by default.")
@click.option("--n", default=30, show_default=True, help="Runs of each cell.")
@click.option("--json", "as_json", is_flag=True, help="Print the matrix as JSON.")
@reported
def command(against: tuple[str, ...], by: tuple[str, ...], n: int, as_json: bool) -> None:
    """Run adversaries against stop mechanisms and count what survives."""
    from custodes.containment.drills import run_drills

    try:
        matrix = asyncio.run(run_drills(against or None, by or None, n))
    except ValueError as error:
        raise Exit(USAGE, str(error)) from None
    if as_json:
        click.echo(json.dumps(matrix.to_json(), indent=2))
    else:
        click.echo(f"{'mechanism':<18} {'adversary':<18} survived   at most   not verified")
        for cell in matrix.cells:
            upper = "-" if cell.rate.high is None else f"{cell.rate.high:.3f}"
            click.echo(
                f"{cell.mechanism:<18} {cell.adversary:<18} "
                f"{cell.survivors:>3} of {cell.n:<4} {upper:>7}   {cell.unverified:>3}"
                + ("" if cell.status == "measured" else f"   {cell.status}: {cell.note}")
            )
        click.echo("at most: exact upper 95 % bound of the share of runs with a survivor")
    # Naive mechanisms are controls: what they leave shows that survivors are seen.
    survived = any(cell.survivors for cell in matrix.cells if cell.status != "control")
    unknown = any(cell.unverified or cell.status == "untested" for cell in matrix.cells)
    raise Exit(strongest(FAILED if survived else DONE, UNMEASURABLE if unknown else DONE))
