"""Running a plan: what is missing and nothing else, shard by shard, each committed when closed."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from custodes.case import SHARD_SEALED, Case, CaseConfig
from custodes.types import JsonObject, Tier

from ._plan import Plan, Shard
from ._seal import seal
from ._worker import WorkerResult, run_worker

EPISODES_AT_ONCE = 6
"""Episodes that one worker runs at a time: enough to hide what Inspect waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run reports while it goes on: each is called with a count or a line of text."""

    episode: Callable[[], None] = lambda: None
    shard: Callable[[str], None] = lambda text: None


def sealed_shards(case: Case) -> Mapping[str, int]:
    """Shards that the ledger holds, with the number of attempts; the last attempt counts."""
    found: dict[str, int] = {}
    for event in case.events():
        if event.kind == SHARD_SEALED:
            shard = str(event.data["shard"])
            found[shard] = found.get(shard, 0) + 1
    return found


def died_shards(case: Case) -> frozenset[str]:
    """Shards whose last attempt left no log."""
    died: dict[str, bool] = {}
    for event in case.events():
        if event.kind == SHARD_SEALED:
            died[str(event.data["shard"])] = event.data["log"] is None
    return frozenset(shard for shard, dead in died.items() if dead)


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
    }


async def run_shards(
    case: Case,
    plan: Plan,
    *,
    allow_uncontained: bool = False,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> int:
    """Run every shard of the plan that is not sealed, and seal each as it closes.

    Returns the number of shards that were run. Interrupting it at any moment loses the unsealed
    shards and nothing else.

    Raises:
        CaseError: when the case cannot be written; workers that still run are ended first.
    """
    report = progress or Progress()
    attempts = dict(sealed_shards(case))
    again = died_shards(case) if retry_failed else frozenset()
    missing = [s for s in plan.shards if s.id not in attempts or s.id in again]
    settings = worker_settings(case.config, allow_uncontained=allow_uncontained)
    workers = case.config.plan.workers or os.cpu_count() or 1
    queue: asyncio.Queue[Shard] = asyncio.Queue()
    for shard in missing:
        queue.put_nowait(shard)

    async def work() -> None:
        while not queue.empty():
            shard = queue.get_nowait()
            folder = case.work / shard.name
            shutil.rmtree(folder, ignore_errors=True)
            result: WorkerResult = await run_worker(shard, folder, settings, report.episode)
            # The parent is the only writer of the ledger, and seals one shard at a time.
            seal(case, result, attempts.get(shard.id, 0) + 1)
            report.shard(result.problem or shard.name)
            shutil.rmtree(folder, ignore_errors=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(workers, len(missing))):
            group.create_task(work())
    return len(missing)
