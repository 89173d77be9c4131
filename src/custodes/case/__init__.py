"""The case: ledger, evidence store and configuration. The only code that writes evidence.

Names that need the configuration's machinery (pydantic, YAML) are loaded when first used, so that
checking a case stays fast and light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._canonical import canonical_document, parse_document
from ._errors import (
    CaseError,
    CaseLocked,
    ConfigError,
    EventRefused,
    EvidenceCorrupt,
    EvidenceMissing,
    LedgerBroken,
    LedgerPoisoned,
    LocatorInvalid,
    NotACase,
    StorageError,
)
from ._evidence import EvidenceStore
from ._ledger import GENESIS, Event, Ledger, read_events
from ._references import file_entry
from ._verify import Problem, VerifyResult, verify
from ._words import (
    CASE_CREATED,
    DRILL_RECORDED,
    LEDGER_RECOVERED,
    MEASUREMENT_RECORDED,
    PAGE_RECORDED,
    PLAN_FIXED,
    PROBE_RECORDED,
    REPORT_RENDERED,
    SHARD_SEALED,
)

if TYPE_CHECKING:
    from ._case import Case, SealedLog
    from ._config import (
        CaseConfig,
        Drills,
        Limits,
        Plan,
        Subject,
        Window,
        load_config,
        parse_cell,
        parse_config,
        quickstart_config,
        to_yaml,
    )

_LATE = {
    "Case": "_case",
    "SealedLog": "_case",
    "CaseConfig": "_config",
    "Drills": "_config",
    "Limits": "_config",
    "Plan": "_config",
    "Subject": "_config",
    "Window": "_config",
    "load_config": "_config",
    "parse_cell": "_config",
    "parse_config": "_config",
    "quickstart_config": "_config",
    "to_yaml": "_config",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_LATE[name]}", __name__), name)
    globals()[name] = value
    return value


__all__ = [
    "CASE_CREATED",
    "DRILL_RECORDED",
    "GENESIS",
    "LEDGER_RECOVERED",
    "MEASUREMENT_RECORDED",
    "PAGE_RECORDED",
    "PLAN_FIXED",
    "PROBE_RECORDED",
    "REPORT_RENDERED",
    "SHARD_SEALED",
    "Case",
    "CaseConfig",
    "CaseError",
    "CaseLocked",
    "ConfigError",
    "Drills",
    "Event",
    "EventRefused",
    "EvidenceCorrupt",
    "EvidenceMissing",
    "EvidenceStore",
    "Ledger",
    "LedgerBroken",
    "LedgerPoisoned",
    "Limits",
    "LocatorInvalid",
    "NotACase",
    "Plan",
    "Problem",
    "SealedLog",
    "StorageError",
    "Subject",
    "VerifyResult",
    "Window",
    "canonical_document",
    "file_entry",
    "load_config",
    "parse_cell",
    "parse_config",
    "parse_document",
    "quickstart_config",
    "read_events",
    "to_yaml",
    "verify",
]
