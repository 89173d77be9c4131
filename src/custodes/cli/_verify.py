"""``custodes verify``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ._exits import FAILED, USAGE, Exit, reported


@click.command("verify")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@click.option("--head", help="A head that you noted earlier: the ledger must contain it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@reported
def command(folder: Path, head: str | None, as_json: bool) -> None:
    """Check the ledger, the evidence and the logs of the case in FOLDER."""
    from custodes.case import verify

    if not folder.is_dir():
        raise Exit(USAGE, f"{folder}: no such folder; name the folder of a case")
    result = verify(folder, expected_head=head)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    else:
        click.echo(
            f"{'intact' if result.ok else 'NOT INTACT'}: {result.events} events, "
            f"{result.evidence} blobs; head {result.head}"
        )
        for problem in result.problems:
            click.echo(f"  {problem.where}: {problem.what}")
        for text in result.not_checkable:
            click.echo(f"  not checkable: {text}")
    if not result.ok:
        raise Exit(FAILED)
