"""Writing a report into its case, whole or not at all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from custodes.case import Case, StorageError, canonical_document
from custodes.runs import Results

from ._document import report_document
from ._page import report_page


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    html_path: Path
    json_path: Path


def write_report(case: Case, results: Results) -> WrittenReport:
    """Render the report of a case into ``reports/`` and beside the ledger, and record it.

    Raises:
        StorageError: the disk refused; earlier reports stay as they are.
    """
    config = case.config
    document = report_document(
        results,
        organisation=config.organisation,
        assessor=config.assessor,
        purpose=config.purpose,
    )
    page = report_page(case, results, document).encode("utf-8")
    data = canonical_document(document) + b"\n"
    written = WrittenReport(
        html_path=case.reports / "report.html", json_path=case.reports / "report.json"
    )
    for path, content in ((written.json_path, data), (written.html_path, page)):
        _replace(path, content)
    return written


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".tmp-{path.name}")
    try:
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror}; make room or permission and run again"
        ) from None
