"""Transcripts of agent runs."""

from ._inspect import UnreadableSample, read_inspect_sample, sample_member
from ._transcript import ATTACK_PARTS, Event, EventKind, Transcript, deployment_view

__all__ = [
    "ATTACK_PARTS",
    "Event",
    "EventKind",
    "Transcript",
    "UnreadableSample",
    "deployment_view",
    "read_inspect_sample",
    "sample_member",
]
