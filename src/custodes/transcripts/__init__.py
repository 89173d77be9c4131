"""Transcripts of agent runs."""

from ._transcript import ATTACK_PARTS, Event, EventKind, Transcript, deployment_view

__all__ = ["ATTACK_PARTS", "Event", "EventKind", "Transcript", "deployment_view"]
