"""``custodes report``."""

from __future__ import annotations

from pathlib import Path

import click

from ._exits import reported


@click.command("report")
@click.argument("folder", type=click.Path(path_type=Path), default=".")
@reported
def command(folder: Path) -> None:
    """Render the report of the case in FOLDER from its ledger and evidence."""
    from custodes.case import Case
    from custodes.reports import write_report
    from custodes.runs import read_results

    with Case.open(folder, write=True) as case:
        written = write_report(case, read_results(case))
    click.echo(str(written.html_path))
    click.echo(str(written.json_path))
