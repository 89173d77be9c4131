"""The case: ledger, evidence store and configuration. The only code that writes evidence.

Names that need the configuration's machinery (pydantic, YAML) are loaded when first used, so that
checking a case stays fast and light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._bundle import make_bundle, seal_page
from ._canonical import canonical_document, parse_document
from ._dsse import (
    SignatureRefused,
    SignaturesUncheckable,
    Signed,
    envelope,
    from_envelope,
    parse_signed,
    sign,
    statement,
)
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
from ._heads import (
    HEAD_SIGNED,
    HeadFile,
    LedgerState,
    SignedHead,
    add_key,
    head_file,
    parse_head_file,
    read_head_file,
    read_state,
    revoke_key,
    rotate_key,
    sign_head,
)
from ._item import (
    EVIDENCE_RECORDED,
    Approval,
    Classification,
    EvidenceItem,
    Grade,
    Origin,
    evidence_items,
    parse_item,
    record_evidence,
    strictest,
)
from ._keyring import KEY_ADDED, KEY_REVOKED, KEY_ROTATED, REASONS, ROLES, KeyEntry, KeyRing
from ._keys import (
    KeyRefused,
    PrivateKey,
    PublicKey,
    keys_folder,
    make_key,
    parse_public,
    private_key,
    read_private,
    read_public,
)
from ._ledger import GENESIS, Event, Ledger, read_events
from ._references import file_entry
from ._verify import Problem, VerifyResult, verify
from ._verify_file import verify_file
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
        agent_config,
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
    "agent_config": "_config",
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
    "EVIDENCE_RECORDED",
    "GENESIS",
    "HEAD_SIGNED",
    "KEY_ADDED",
    "KEY_REVOKED",
    "KEY_ROTATED",
    "LEDGER_RECOVERED",
    "MEASUREMENT_RECORDED",
    "PAGE_RECORDED",
    "PLAN_FIXED",
    "PROBE_RECORDED",
    "REASONS",
    "REPORT_RENDERED",
    "ROLES",
    "SHARD_SEALED",
    "Approval",
    "Case",
    "CaseConfig",
    "CaseError",
    "CaseLocked",
    "Classification",
    "ConfigError",
    "Drills",
    "Event",
    "EventRefused",
    "EvidenceCorrupt",
    "EvidenceItem",
    "EvidenceMissing",
    "EvidenceStore",
    "Grade",
    "HeadFile",
    "KeyEntry",
    "KeyRefused",
    "KeyRing",
    "Ledger",
    "LedgerBroken",
    "LedgerPoisoned",
    "LedgerState",
    "Limits",
    "LocatorInvalid",
    "NotACase",
    "Origin",
    "Plan",
    "PrivateKey",
    "Problem",
    "PublicKey",
    "SealedLog",
    "SignatureRefused",
    "SignaturesUncheckable",
    "Signed",
    "SignedHead",
    "StorageError",
    "Subject",
    "VerifyResult",
    "Window",
    "add_key",
    "agent_config",
    "canonical_document",
    "envelope",
    "evidence_items",
    "file_entry",
    "from_envelope",
    "head_file",
    "keys_folder",
    "load_config",
    "make_bundle",
    "make_key",
    "parse_cell",
    "parse_config",
    "parse_document",
    "parse_head_file",
    "parse_item",
    "parse_public",
    "parse_signed",
    "private_key",
    "quickstart_config",
    "read_events",
    "read_head_file",
    "read_private",
    "read_public",
    "read_state",
    "record_evidence",
    "revoke_key",
    "rotate_key",
    "seal_page",
    "sign",
    "sign_head",
    "statement",
    "strictest",
    "to_yaml",
    "verify",
    "verify_file",
]
