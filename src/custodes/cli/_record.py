"""``--case``: what was found about the organisation's own mechanisms goes into a case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._exits import USAGE, Exit

if TYPE_CHECKING:
    from custodes.runs import Found
    from custodes.types import JsonObject

Recorder = Callable[["JsonObject"], None]

case_option = click.option(
    "--case",
    "case",
    type=click.Path(file_okay=False, path_type=Path),
    help="Record what was found about your own commands in this case, the commands word for word.",
)


def recorder(folder: Path | None, found: Found) -> Recorder:
    """What records a document in the case; without a case, what does nothing.

    The case is opened here already: minutes of testing are not to be lost on a wrong folder.

    Raises:
        Exit: the case cannot be written.
    """
    if folder is None:
        return lambda document: None
    from custodes.case import CaseError
    from custodes.runs import open_for_recording, record_deployed

    try:
        open_for_recording(folder)
    except CaseError as error:
        raise Exit(USAGE, f"--case: {error}") from None

    def record(document: JsonObject) -> None:
        record_deployed(folder, found, document)
        click.echo(f"recorded in {folder}; custodes report {folder} shows it", err=True)

    return record
