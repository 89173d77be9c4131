"""``custodes init``."""

from __future__ import annotations

from pathlib import Path

import click

from ._exits import reported


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A custodes.yaml to take; without it the quickstart plan is written, to be edited.",
)
@reported
def command(folder: Path, config: Path | None) -> None:
    """Make a case in FOLDER, which must be empty or not exist."""
    from custodes.case import Case, load_config, quickstart_config

    if config is None:
        case = Case.create(folder, quickstart_config())
    else:
        load_config(config)
        case = Case.create(folder, config.read_text(encoding="utf-8"))
    with case:
        click.echo(f"{folder}: a new case; edit {folder / 'custodes.yaml'}, then run")
        click.echo(f"  custodes assess {folder}")
