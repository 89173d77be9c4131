"""A shard's work order: the document that the parent process hands to a worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custodes.types import EpisodeKey

SCHEMA = "custodes.job/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeLimits:
    """When an episode ends although its agent did not end it.

    Attributes:
        turns: turns of the agent. seconds: of the host's clock. tokens: read and written by the
        model, all turns together. call_seconds: of one tool call.
    """

    turns: int = 60
    seconds: int = 600
    tokens: int = 2_000_000
    call_seconds: int = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One worker, one evaluation, one closed log.

    Attributes:
        model: as Inspect names it, such as ``reference/honest`` or ``openai/gpt-…``.
        scenario: all episodes of a shard are of one scenario.
        folder: where the log and the records go.
        parallel: episodes at once.
        interview: whether the agent is asked about its work after the episode.
        deployment: the installed agent that the episodes are of, as
            :meth:`custodes.clients.Deployment.to_json` wrote it; None: a bare model in our loop.
    """

    shard: str
    model: str
    scenario: str
    episodes: tuple[EpisodeKey, ...]
    folder: Path
    model_args: Mapping[str, Any] = field(default_factory=dict)
    model_base_url: str | None = None
    limits: EpisodeLimits = EpisodeLimits()
    allow_uncontained: bool = False
    parallel: int = 6
    interview: bool = False
    deployment: Mapping[str, Any] | None = None

    @property
    def records(self) -> Path:
        """One line of JSON for each finished episode."""
        return self.folder / "records.jsonl"

    @property
    def failures(self) -> Path:
        """Samples that ended in an error of the harness, with what Inspect said of it."""
        return self.folder / "failures.json"


def read_job(path: Path) -> Job:
    """Read a work order.

    Raises:
        OSError, ValueError, KeyError: when it is not one.
    """
    raw = json.loads(path.read_text(encoding="utf-8"))
    if raw.get("schema") != SCHEMA:
        raise ValueError(f"expected schema {SCHEMA}, found {raw.get('schema')!r}")
    return Job(
        shard=raw["shard"],
        model=raw["model"],
        scenario=raw["scenario"],
        episodes=tuple(EpisodeKey.from_json(key) for key in raw["episodes"]),
        folder=Path(raw["folder"]),
        model_args=raw.get("model_args", {}),
        model_base_url=raw.get("model_base_url"),
        limits=EpisodeLimits(**raw.get("limits", {})),
        allow_uncontained=raw.get("allow_uncontained", False),
        parallel=raw.get("parallel", 6),
        interview=raw.get("interview", False),
        deployment=raw.get("deployment"),
    )
