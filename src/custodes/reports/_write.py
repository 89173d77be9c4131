"""Writing a report into its case, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from custodes.case import REPORT_RENDERED, Case, StorageError, canonical_document
from custodes.runs import Results
from custodes.types import sha256_of

from ._document import SCHEMA, document_of
from ._page import page_of
from ._views import read_views

PAGE = "report.html"
DATA = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """Where a report lies.

    Attributes:
        html_path, json_path: beside the ledger: the newest report.
        kept: folder with the same two files, named by their content and never replaced.
        recorded: whether an event was appended; not when this very report was recorded before.
    """

    html_path: Path
    json_path: Path
    kept: Path
    recorded: bool


def write_report(case: Case, results: Results) -> WrittenReport:
    """Render the report of a case, record it, and lay a copy beside the ledger.

    The files are kept in ``reports/<digest>/``, so that at no moment an event names a file with
    other bytes. Rendering the same case again writes the same bytes and no event.

    Raises:
        StorageError: the disk refused; earlier reports stay as they are.
        CaseError: evidence is missing, or is not what was sealed.
    """
    views = read_views(case, results)
    files = {
        DATA: canonical_document(document_of(views)) + b"\n",
        PAGE: page_of(views).encode("utf-8"),
    }
    name = sha256_of(b"".join(sha256_of(data).encode() for data in files.values()))[:16]
    folder = case.reports / name
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise _refused(folder, error) from None
    for file, data in files.items():
        _replace(folder / file, data)
    wanted = sorted(f"reports/{name}/{file}" for file in files)
    fresh = _newest(case) != wanted
    if fresh:
        case.report_rendered(
            [f"{name}/{file}" for file in sorted(files)],
            {"schema": SCHEMA, "head": views.as_of.head, "custodes": views.version},
        )
    for file, data in files.items():
        _replace(case.path / file, data)
    return WrittenReport(
        html_path=case.path / PAGE, json_path=case.path / DATA, kept=folder, recorded=fresh
    )


def _newest(case: Case) -> list[str]:
    """Names of the files of the newest recorded report."""
    found: list[str] = []
    for event in case.events():
        if event.kind == REPORT_RENDERED:
            listed = event.data["files"]
            assert isinstance(listed, (list, tuple))
            found = sorted(str(item["file"]) for item in listed if isinstance(item, Mapping))
    return found


def _replace(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path`` in one step, unless it is there."""
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
            return
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _refused(path, error) from None


def _refused(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror}; make room or permission and run again"
    )
