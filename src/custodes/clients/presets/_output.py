"""Command output in the form that scripts read: what was printed, then ``[exit code N]``."""

from __future__ import annotations


def finished(printed: str, code: int) -> str:
    """Output as the harness's own shell tool gives it."""
    parts = [printed.rstrip("\n")] if printed else []
    if code != 0:
        parts.append(f"[exit code {code}]")
    return "\n".join(parts)


def left_out(what: str) -> str:
    """The mark where a client cut an output."""
    return f"[... {what} left out ...]"
