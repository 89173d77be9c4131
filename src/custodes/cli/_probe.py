"""``custodes probe``."""

from __future__ import annotations

import asyncio
import json

import click

from ._exits import DONE, FAILED, UNMEASURABLE, USAGE, Exit, reported, strongest


@click.command("probe")
@click.argument("names", nargs=-1)
@click.option("--tier", type=click.Choice(["A", "C"]), default="A", help="Sandbox tier.")
@click.option(
    "--allow-uncontained", is_flag=True, help="Needed for tier C, which contains nothing."
)
@click.option("--list", "listing", is_flag=True, help="Name the probes and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the matrix as JSON.")
@reported
def command(
    names: tuple[str, ...], tier: str, allow_uncontained: bool, listing: bool, as_json: bool
) -> None:
    """Try to get out of a fresh sandbox, beside the same attempt on the bare host."""
    from custodes.containment.probes import registered, run_probes
    from custodes.types import Tier

    known = registered()
    if listing:
        for name, probe in known.items():
            click.echo(f"{probe.family.value:<12} {name}")
        return
    for name in names:
        if name not in known:
            raise Exit(USAGE, f"no probe is called {name!r}; custodes probe --list names them")
    if tier == "C" and not allow_uncontained:
        raise Exit(USAGE, "tier C contains nothing: say --allow-uncontained to probe it")
    matrix = asyncio.run(run_probes(names or None, tier=Tier(tier)))
    if as_json:
        click.echo(json.dumps(matrix.to_json(), indent=2))
    else:
        for found in matrix.probes:
            click.echo(
                f"{found.result:<10} {found.family.value:<12} {found.name:<28} "
                f"receipt: {found.receipt}, control: {found.control}"
                + (f"  ({found.detail})" if found.detail and found.result != "contained" else "")
            )
        counts = ", ".join(
            f"{len(matrix.of(word))} {word}" for word in ("contained", "escaped", "untested")
        )
        click.echo(f"tier {tier}: {counts}")
    # Tier C contains nothing and is probed to see that the attempts work.
    escaped = bool(matrix.of("escaped")) and tier != "C"
    raise Exit(
        strongest(
            FAILED if escaped else DONE,
            UNMEASURABLE if matrix.of("untested") else DONE,
        )
    )
