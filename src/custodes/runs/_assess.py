"""Running a plan: what is missing and nothing else, shard by shard, each committed when closed."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from custodes.case import SHARD_SEALED, Case, CaseConfig
from custodes.types import EpisodeKey, JsonObject, Tier

from ._plan import Plan, Shard
from ._results import episodes_of
from ._seal import seal
from ._worker import WorkerResult, run_worker_series

EPISODES_AT_ONCE = 6
"""Episodes that one worker runs at a time: enough to hide what Inspect waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run reports while it goes on: each is called with a count or a line of text."""

    episode: Callable[[], None] = lambda: None
    shard: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How often an episode was sealed, and whether the last worker died of it."""

    times: int
    died: bool


def tried_episodes(case: Case) -> Mapping[str, Tried]:
    """Episodes that the ledger holds, by digest, under whatever plan they were run."""
    found: dict[str, Tried] = {}
    for event in case.events():
        if event.kind == SHARD_SEALED:
            died = event.data["log"] is None
            for digest in episodes_of(event.data):
                before = found.get(digest)
                times = 1 if before is None else before.times + 1
                found[digest] = Tried(times=times, died=died)
    return found


def missing_shards(
    plan: Plan, tried: Mapping[str, Tried], *, retry_failed: bool
) -> tuple[Shard, ...]:
    """What is left to run of a plan: its shards without the episodes that are on record.

    Resume goes by episode. A plan that grows by a seed or a cell runs what is new, and never
    draws what was measured a second time.
    """

    def due(key: EpisodeKey) -> bool:
        before = tried.get(key.digest)
        return before is None or (retry_failed and before.died)

    left = (
        replace(shard, keys=tuple(key for key in shard.keys if due(key))) for shard in plan.shards
    )
    return tuple(shard for shard in left if shard.keys)


def fix_plan(case: Case, plan: Plan) -> None:
    """Record the plan, unless the ledger's newest one is the same."""
    document = plan.to_json()
    newest = case.plan
    if newest is not None and case.config_recorded and newest.data.get("plan") == document:
        return
    case.fix_plan(document)


def worker_settings(config: CaseConfig, *, allow_uncontained: bool) -> JsonObject:
    limits = config.plan.limits
    chosen: dict[str, int] = {"turns": limits.turns, "seconds": limits.seconds}
    if limits.tokens is not None:
        chosen["tokens"] = limits.tokens
    return {
        "limits": chosen,
        "allow_uncontained": allow_uncontained and config.plan.tier is Tier.C,
        "parallel": EPISODES_AT_ONCE,
        **({"interview": True} if config.plan.interview else {}),
    }


async def run_shards(
    case: Case,
    plan: Plan,
    *,
    allow_uncontained: bool = False,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> int:
    """Run every episode of the plan that is not on record, and seal each shard as it closes.

    Returns the number of shards that were run. Interrupting it at any moment loses the unsealed
    shards and nothing else.

    Raises:
        CaseError: when the case cannot be written; workers that still run are ended first.
    """
    report = progress or Progress()
    tried = tried_episodes(case)
    missing = missing_shards(plan, tried, retry_failed=retry_failed)
    for left_over in case.work.iterdir():
        # What an interrupted run left of shards, sealed or not, is of no use to this one.
        if left_over.is_dir():
            shutil.rmtree(left_over, ignore_errors=True)
    settings = worker_settings(case.config, allow_uncontained=allow_uncontained)
    workers = case.config.plan.workers or os.cpu_count() or 1

    def commit(result: WorkerResult) -> None:
        # The parent is the only writer of the ledger, and seals one shard at a time.
        shard = result.shard
        before = max((tried[k.digest].times for k in shard.keys if k.digest in tried), default=0)
        seal(case, result, before + 1)
        report.shard(result.problem or shard.name)
        shutil.rmtree(result.folder, ignore_errors=True)

    async def work(lane: Sequence[Shard]) -> None:
        left = list(lane)
        while left:
            folders = [(shard, case.work / shard.name) for shard in left]
            for _, folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            results = await run_worker_series(folders, settings, report.episode, commit)
            died = next((i for i, result in enumerate(results) if result.problem), len(results))
            if died < len(results):
                commit(results[died])
            left = left[died + 1 :]
            # The worker's home lies in the first folder, and it may have written there since.
            for _, folder in folders:
                shutil.rmtree(folder, ignore_errors=True)

    for group in _alike(missing):
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes(group, workers):
                tasks.create_task(work(lane))
    return len(missing)


def _alike(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Shards whose workers may see the same environment: scripted agents apart from models."""
    scripted = [shard for shard in shards if shard.subject.policy is not None]
    models = [shard for shard in shards if shard.subject.policy is None]
    return [group for group in (scripted, models) if group]


def lanes(shards: Sequence[Shard], workers: int) -> list[list[Shard]]:
    """Deal shards out to worker processes, the longest first to the lane with the least to do."""
    dealt: list[list[Shard]] = [[] for _ in range(min(workers, len(shards)))]
    for shard in sorted(shards, key=lambda shard: -len(shard.keys)):
        min(dealt, key=lambda lane: sum(len(s.keys) for s in lane)).append(shard)
    return dealt
