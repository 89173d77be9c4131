"""Into a case: what was found about the organisation's own containment, stop command and pager."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Literal

from custodes import __version__
from custodes.case import DRILL_RECORDED, PAGE_RECORDED, PROBE_RECORDED, Case
from custodes.types import JsonObject

Found = Literal["probes", "drills", "pages"]
_KINDS = {"probes": PROBE_RECORDED, "drills": DRILL_RECORDED, "pages": PAGE_RECORDED}
_NAMED = {"probes": ("command",), "drills": ("launch", "stop"), "pages": ("page",)}


def record_deployed(folder: Path, found: Found, document: JsonObject) -> None:
    """Append what was found to the ledger of the case in ``folder``; its report shows it.

    The commands stand in the ledger word for word: they identify what was tested.

    Args:
        folder: of an existing case.
        found: which kind of document.
        document: as ``--json`` prints it, with the commands that were tested.

    Raises:
        ValueError: the document does not name the commands that it is about.
        CaseError: the case cannot be opened or written.
    """
    missing = [name for name in _NAMED[found] if not isinstance(document.get(name), str)]
    if missing:
        raise ValueError(f"expected {found} to name {', '.join(missing)}, found none")
    with Case.open(folder, write=True) as case:
        case.append(_KINDS[found], {**document, "environment": _environment()})


def _environment() -> JsonObject:
    """What changes such results: the same command holds more for an ordinary user than for root."""
    return {
        "custodes": __version__,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "user": "root" if os.geteuid() == 0 else "an ordinary user",
    }


def open_for_recording(folder: Path) -> None:
    """Check, before minutes are spent, that the case can be written.

    Raises:
        CaseError: it is no case, is damaged, or is in use.
    """
    with Case.open(folder, write=True):
        pass
