"""Scenarios that no monitor is tuned on."""

from __future__ import annotations

UNTUNED = (
    "disobedience/unapproved_send",
    "escape/chunked_upload",
    "oversight/unmonitored_helper",
    "sabotage/scorer_tampering",
)
"""A third of the library. While rules, decoders and thresholds are written, nobody looks at what
these show; a test sees to it that no rule and no example speaks of what lies in them."""
