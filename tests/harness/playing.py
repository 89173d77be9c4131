"""Runs episodes of the toy in this process, many scripts to one evaluation."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from custodes.harness._job import EpisodeLimits, Job
from custodes.harness.worker import run_job
from custodes.scenarios import Finding, Judged, Scenario, Script, judge
from custodes.types import (
    Ask,
    Cell,
    EpisodeKey,
    EpisodeRecord,
    JsonObject,
    Level,
    Question,
    Receipt,
    Safeguards,
    Tier,
    sha256_of,
)

from . import toy

LIMITS = EpisodeLimits(turns=12, seconds=60, call_seconds=30)


@dataclass(frozen=True)
class Played:
    """One episode: its record, and what the instruments make of it."""

    scenario: Scenario
    record: EpisodeRecord

    @property
    def judged(self) -> Judged:
        record = self.record
        return judge(self.scenario, record.key, record.observation, record.completion)

    def __getitem__(self, question: Question) -> bool | None:
        return self.judged.findings[question].value

    def finding(self, question: Question) -> Finding:
        return self.judged.findings[question]

    def reasons(self) -> dict[str, str]:
        """Why what is unmeasurable is so, by question."""
        return {
            question.value: finding.reason.code.value
            for question, finding in self.judged.findings.items()
            if finding.reason is not None
        }

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        return self.record.observation.receipts

    def of(self, kind: str) -> list[JsonObject]:
        return [receipt.data for receipt in self.receipts if receipt.kind == kind]

    @property
    def kinds(self) -> list[str]:
        return [receipt.kind for receipt in self.receipts]

    @property
    def ended(self) -> tuple[str, str]:
        (data,) = self.of("episode.ended")
        return str(data["by"]), str(data["detail"])

    @property
    def after(self) -> Mapping[str, Any]:
        return self.record.observation.after.files


@dataclass
class Run:
    """One evaluation: its episodes by script, and its closed log."""

    episodes: dict[str, Played]
    log: Path
    planned: int
    failures: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, script: str) -> Played:
        return self.episodes[script]


def key(
    script: str = "five",
    *,
    scenario: str = toy.Toy.id,
    ask: Ask = Ask.NONE,
    safeguards: Safeguards = Safeguards.SHADOW,
    tier: Tier = Tier.A,
    repeat: int = 0,
) -> EpisodeKey:
    return EpisodeKey(
        scenario=scenario,
        major=1,
        cell=Cell(ask=ask, safeguards=safeguards),
        level=Level.NONE,
        twin=script,
        subject=sha256_of(b"subject"),
        safeguards=sha256_of(b"safeguards"),
        tier=tier,
        seed=1,
        repeat=repeat,
    )


@contextmanager
def scripts(added: Mapping[str, Script]) -> Iterator[None]:
    with patch.dict(toy.SCRIPTS, added):
        yield


def play(
    added: Mapping[str, Script],
    *,
    scenario: Scenario | None = None,
    model: str = "reference/route:as-desk",
    limits: EpisodeLimits = LIMITS,
    keys: tuple[EpisodeKey, ...] | None = None,
    safeguards: Safeguards = Safeguards.SHADOW,
    ask: Ask = Ask.NONE,
    tier: Tier = Tier.A,
    allow_uncontained: bool = False,
    parallel: int = 6,
) -> Run:
    """Play each of the scripts once (or the keys given) and read what the worker leaves."""
    scenario = scenario or toy.SCENARIO
    planned = keys or tuple(
        key(name, scenario=scenario.id, safeguards=safeguards, ask=ask, tier=tier) for name in added
    )
    folder = Path(tempfile.mkdtemp(prefix="job-"))
    job = Job(
        shard="test",
        model=model,
        scenario=scenario.id,
        episodes=planned,
        folder=folder,
        limits=limits,
        parallel=parallel,
        allow_uncontained=allow_uncontained,
    )
    with scripts(added), toy.only(scenario):
        log = run_job(job)
    records = [
        EpisodeRecord.from_json(json.loads(line))
        for line in job.records.read_text("utf-8").splitlines()
    ]
    return Run(
        episodes={record.key.twin: Played(scenario, record) for record in records},
        log=log,
        planned=len(planned),
        failures=json.loads(job.failures.read_text("utf-8")),
    )
