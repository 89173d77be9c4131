"""Reports: pages, their data, exports, and summaries on the terminal.

Names are loaded when they are used: a scan prints without the rooms that an assessment needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._document import report_document
    from ._page import report_page
    from ._permissions_page import permissions_page
    from ._permissions_summary import permissions_summary_lines
    from ._sarif import write_sarif
    from ._scan_json import write_scan_json
    from ._scan_page import write_scan_page
    from ._scan_parquet import write_findings_parquet
    from ._scan_summary import finding_lines, scan_summary_lines
    from ._scan_write import write_scan_reports
    from ._summary import MOST_LINES, summary_lines
    from ._text import plain
    from ._validation_page import validation_page
    from ._validation_plots import save_validation_plots
    from ._validation_summary import validation_summary_lines
    from ._view_agents import agent_summary
    from ._view_compare import comparison_lines, comparison_summary
    from ._write import WrittenReport, write_report

_WHERE = {
    "MOST_LINES": "_summary",
    "WrittenReport": "_write",
    "agent_summary": "_view_agents",
    "comparison_lines": "_view_compare",
    "comparison_summary": "_view_compare",
    "finding_lines": "_scan_summary",
    "permissions_page": "_permissions_page",
    "permissions_summary_lines": "_permissions_summary",
    "plain": "_text",
    "report_document": "_document",
    "report_page": "_page",
    "save_validation_plots": "_validation_plots",
    "scan_summary_lines": "_scan_summary",
    "summary_lines": "_summary",
    "validation_page": "_validation_page",
    "validation_summary_lines": "_validation_summary",
    "write_findings_parquet": "_scan_parquet",
    "write_report": "_write",
    "write_sarif": "_sarif",
    "write_scan_json": "_scan_json",
    "write_scan_page": "_scan_page",
    "write_scan_reports": "_scan_write",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_WHERE[name]}", __name__), name)


__all__ = [
    "MOST_LINES",
    "WrittenReport",
    "agent_summary",
    "comparison_lines",
    "comparison_summary",
    "finding_lines",
    "permissions_page",
    "permissions_summary_lines",
    "plain",
    "report_document",
    "report_page",
    "save_validation_plots",
    "scan_summary_lines",
    "summary_lines",
    "validation_page",
    "validation_summary_lines",
    "write_findings_parquet",
    "write_report",
    "write_sarif",
    "write_scan_json",
    "write_scan_page",
    "write_scan_reports",
]
