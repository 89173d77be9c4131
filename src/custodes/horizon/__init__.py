"""Time horizons: runs files and release tables in, documents and text out."""

from ._columns import Columns, Scoring
from ._document import (
    HORIZON_SCHEMA,
    TREND_SCHEMA,
    doubts_of,
    duration,
    horizon_document,
    horizon_text,
    trend_document,
    trend_text,
)
from ._read import FileRead, read_runs
from ._releases import dated, read_dates, read_releases
from ._table import BadInput

__all__ = [
    "HORIZON_SCHEMA",
    "TREND_SCHEMA",
    "BadInput",
    "Columns",
    "FileRead",
    "Scoring",
    "dated",
    "doubts_of",
    "duration",
    "horizon_document",
    "horizon_text",
    "read_dates",
    "read_releases",
    "read_runs",
    "trend_document",
    "trend_text",
]
