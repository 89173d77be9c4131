"""Transcripts of agent runs."""

from ._archive import Archive
from ._draft import Draft
from ._find_sessions import LocalSessions, find_local_sessions
from ._reader import (
    NoTranscript,
    Reader,
    Unreadable,
    all_readers,
    read_transcripts,
    reader_for,
    reader_problems,
)
from ._source import Limits, Line, Member, ReadError, Source, decode_json
from ._transcript import (
    ATTACK_PARTS,
    Completeness,
    Content,
    Event,
    EventKind,
    Ruling,
    Transcript,
    Visibility,
    deployment_view,
)
from .readers._inspect import read_inspect_sample, sample_member
from .readers._mapping import MappingError, load_mapping, read_with_mapping
from .readers._opencode_storage import holds_opencode_sessions, opencode_sessions

__all__ = [
    "ATTACK_PARTS",
    "Archive",
    "Completeness",
    "Content",
    "Draft",
    "Event",
    "EventKind",
    "Limits",
    "Line",
    "LocalSessions",
    "MappingError",
    "Member",
    "NoTranscript",
    "ReadError",
    "Reader",
    "Ruling",
    "Source",
    "Transcript",
    "Unreadable",
    "Visibility",
    "all_readers",
    "decode_json",
    "deployment_view",
    "find_local_sessions",
    "holds_opencode_sessions",
    "load_mapping",
    "opencode_sessions",
    "read_inspect_sample",
    "read_transcripts",
    "read_with_mapping",
    "reader_for",
    "reader_problems",
    "sample_member",
]
