"""Reports: the page, its data, and the summary on the terminal."""

from ._document import report_document
from ._page import report_page
from ._summary import MOST_LINES, summary_lines
from ._write import WrittenReport, write_report

__all__ = [
    "MOST_LINES",
    "WrittenReport",
    "report_document",
    "report_page",
    "summary_lines",
    "write_report",
]
