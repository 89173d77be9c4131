"""Scanning recorded logs: files to tasks, runs under monitors, findings and the account."""

from ._engine import Scanned, conclude, run_tasks, scan_files, tasks_of
from ._files import File, NoSuchPath, find_files, is_remote
from ._finding import (
    SCHEMA,
    Duplicate,
    Finding,
    NotJudged,
    NotRead,
    Place,
    RunSummary,
    ScanResult,
    Suppressed,
    Totals,
)
from ._journal import NAME as JOURNAL_NAME
from ._journal import FolderInUse, Journal
from ._judge import Judge, Judged
from ._mask import Masker
from ._processes import DIED, TooSlow, bounded, over_processes
from ._settings import DEFAULT_MONITORS, FLAG_AT, Settings, Task
from ._since import BadSince, parse_since
from ._storable import json_text, storable, storable_text
from ._suppress import BadSuppressions, Suppressions, load_suppressions
from ._thresholds import (
    BadScanThreshold,
    ScanCrossing,
    ScanThreshold,
    parse_scan_threshold,
    scan_crossings,
)

__all__ = [
    "DEFAULT_MONITORS",
    "DIED",
    "FLAG_AT",
    "JOURNAL_NAME",
    "SCHEMA",
    "BadScanThreshold",
    "BadSince",
    "BadSuppressions",
    "Duplicate",
    "File",
    "Finding",
    "FolderInUse",
    "Journal",
    "Judge",
    "Judged",
    "Masker",
    "NoSuchPath",
    "NotJudged",
    "NotRead",
    "Place",
    "RunSummary",
    "ScanCrossing",
    "ScanResult",
    "ScanThreshold",
    "Scanned",
    "Settings",
    "Suppressed",
    "Suppressions",
    "Task",
    "TooSlow",
    "Totals",
    "bounded",
    "conclude",
    "find_files",
    "is_remote",
    "json_text",
    "load_suppressions",
    "over_processes",
    "parse_scan_threshold",
    "parse_since",
    "run_tasks",
    "scan_crossings",
    "scan_files",
    "storable",
    "storable_text",
    "tasks_of",
]
