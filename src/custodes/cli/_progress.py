"""Progress of work over many files: drawn on a terminal, and nothing in a pipe."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class Bar:
    """A bar on standard error, from `planned` until the ``with`` block ends.

    Args:
        word: what is done, such as "reading".
        quiet: whether to draw nothing even on a terminal.
        in_bytes: whether progress is counted in bytes, and otherwise in tasks.
    """

    def __init__(self, word: str, *, quiet: bool, in_bytes: bool = False) -> None:
        self._on = sys.stderr.isatty() and not quiet
        self._word = word
        self._in_bytes = in_bytes
        self._progress: Progress | None = None  # rich is loaded only to draw

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def planned(self, total: int) -> None:
        """Begin to draw, with this much to come."""
        if not self._on:
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        count = DownloadColumn() if self._in_bytes else MofNCompleteColumn()
        progress = Progress(
            TextColumn(self._word),
            BarColumn(),
            count,
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        progress.add_task(self._word, total=max(total, 1))
        progress.start()
        self._progress = progress

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0], amount)

    def close(self) -> None:
        """Stop drawing; may be repeated."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = None


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
