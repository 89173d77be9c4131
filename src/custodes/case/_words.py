"""Kinds of events, and the names of what lies in a case's folder."""

from __future__ import annotations

from typing import Final

from ._ledger import LEDGER_RECOVERED

CASE_CREATED: Final = "case.created"
PLAN_FIXED: Final = "plan.fixed"
SHARD_SEALED: Final = "shard.sealed"
MEASUREMENT_RECORDED: Final = "measurement.recorded"
PROBE_RECORDED: Final = "probe.recorded"
PAGE_RECORDED: Final = "page.recorded"
DRILL_RECORDED: Final = "drill.recorded"
REPORT_RENDERED: Final = "report.rendered"

CONFIG_NAME: Final = "custodes.yaml"
LEDGER_NAME: Final = "ledger.jsonl"
EVIDENCE_NAME: Final = "evidence"
LOGS_NAME: Final = "logs"
REPORTS_NAME: Final = "reports"
WORK_NAME: Final = "work"
REPORT_COPIES: Final = ("report.html", "report.json")
"""Copies of the newest report, beside the ledger, where a reader finds them."""

__all__ = [
    "CASE_CREATED",
    "CONFIG_NAME",
    "DRILL_RECORDED",
    "EVIDENCE_NAME",
    "LEDGER_NAME",
    "LEDGER_RECOVERED",
    "LOGS_NAME",
    "MEASUREMENT_RECORDED",
    "PAGE_RECORDED",
    "PLAN_FIXED",
    "PROBE_RECORDED",
    "REPORTS_NAME",
    "REPORT_COPIES",
    "REPORT_RENDERED",
    "SHARD_SEALED",
    "WORK_NAME",
]
