"""Thin commands. Each imports what it needs when it runs, so that ``--help`` is immediate."""

from __future__ import annotations

from ._main import main

__all__ = ["main"]
