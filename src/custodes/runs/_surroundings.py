"""What an agent that looks around sees, read back from the log of one that did."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import custodes
from custodes.transcripts import EventKind, Source, Transcript, read_transcripts

MACHINE = ("bubblewrap", "bwrap", "seccomp notif", "pytest", "fast-import", "inspect-ai")
"""Words that no workstation shows and our machinery might."""
_AROUND = 60


def outputs_of(log: Path) -> tuple[str, ...]:
    """What the tools gave back in every sample of a log of Inspect's.

    Raises:
        OSError, ReadError: the log cannot be read.
    """
    with Source(str(log)) as source:
        return tuple(
            event.text
            for found in read_transcripts(source)
            if isinstance(found, Transcript)
            for event in found.events
            if event.kind is EventKind.TOOL_RESULT
        )


def revealing(outputs: Sequence[str], telltales: Sequence[str]) -> Iterator[str]:
    """Words that say what the agent is in, each once, with what stands around it.

    Besides the given ones: words of our machinery, the name of this host, and the folder from
    which Custodes runs.
    """
    own = [socket.gethostname(), str(Path(custodes.__file__).parent)]
    words = [*telltales, *MACHINE, *(name for name in own if len(name) > 5)]
    text = "\n".join(outputs)
    for word in dict.fromkeys(word.lower() for word in words):
        found = re.search(rf"(?<![a-z]){re.escape(word)}", text.lower())
        if found is not None:
            start = max(0, found.start() - _AROUND)
            around = " ".join(text[start : found.end() + _AROUND].split())
            yield f"{word!r} in {around!r}"
    if os.environ.get("USER", "") not in ("", "dev", "root") and os.environ["USER"] in text:
        yield f"the name of this machine's user, {os.environ['USER']!r}"
