"""Many scripted agents in few evaluations and few processes.

An evaluation of one episode spends more on its log than on the episode, and a process several
seconds on importing Inspect. So the episodes of one scenario share evaluations, in which each
episode is played by the policy of its own subject, and all scenarios share the processes.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from custodes.types import EpisodeKey, EpisodeRecord, JsonObject

from ._plan import LARGEST_SHARD, PlannedSubject, Shard
from ._seal import read_records
from ._worker import CAST_MODEL, ModelRefused, WorkerResult, run_worker_series

_LEAST = 8
"""Episodes that are worth an evaluation, and a process, of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one scripted agent plays.

    Attributes:
        keys: its episodes, all of one scenario, none of them another part's.
        alone: in an evaluation of its own, for the sake of its log.
    """

    subject: PlannedSubject
    keys: tuple[EpisodeKey, ...]
    alone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayedPart:
    """What a part left.

    Attributes:
        log: of a part that was played alone, if its evaluation closed one.
        problem: why records are missing, or None where none is.
    """

    part: Part
    records: tuple[EpisodeRecord, ...]
    log: Path | None
    problem: str | None


def shards_of(parts: Sequence[Part], *, processes: int) -> Iterator[Shard]:
    """The evaluations in which parts of one scenario are played.

    Raises:
        ValueError: a part has a model, or an episode is in two parts.
    """
    shared = [part for part in parts if not part.alone and part.keys]
    keys = [key for part in shared for key in part.keys]
    digests = [key.digest for part in parts for key in part.keys]
    if len(set(digests)) < len(digests):
        raise ValueError("expected every episode in one part, found one in several")
    policies: dict[str, str] = {}
    for part in parts:
        if part.subject.policy is None:
            raise ValueError(f"expected a scripted agent, found the model {part.subject.model!r}")
        if not part.alone:
            policies[part.subject.digest] = part.subject.policy
    size = min(LARGEST_SHARD, max(_LEAST, math.ceil(len(keys) / processes)))
    count = math.ceil(len(keys) / size)
    for number in range(count):
        mine = tuple(keys[number::count])  # every part is spread over all: they take alike long
        cast = PlannedSubject(
            id="cast",
            role="control",
            model=CAST_MODEL,
            model_args={"policies": {key.subject: policies[key.subject] for key in mine}},
        )
        yield Shard(subject=cast, scenario=mine[0].scenario, keys=mine)
    for part in parts:
        if part.alone and part.keys:
            yield Shard(subject=part.subject, scenario=part.keys[0].scenario, keys=part.keys)


async def play(
    scenarios: Sequence[Sequence[Part]],
    folder: Path,
    settings: JsonObject,
    on_played: Callable[[int, tuple[PlayedPart, ...]], None],
) -> None:
    """Play the parts of several scenarios on all processors.

    Args:
        scenarios: for each scenario its parts.
        folder: where logs and records go.
        on_played: told of each scenario, by its place in ``scenarios``, once all of its parts are
            over.

    Raises:
        ValueError: as for :func:`shards_of`.
    """
    episodes = [sum(len(part.keys) for part in parts) for parts in scenarios]
    processes = max(1, min(os.cpu_count() or 1, sum(episodes) // _LEAST))
    lanes: list[list[tuple[Shard, Path]]] = [[] for _ in range(processes)]
    waiting: dict[int, int] = {}
    place_of: dict[Path, int] = {}
    results: dict[int, list[WorkerResult]] = {place: [] for place in range(len(scenarios))}
    dealt = 0
    for place in sorted(range(len(scenarios)), key=lambda place: -episodes[place]):
        for shard in shards_of(scenarios[place], processes=processes):
            home = folder / f"p{dealt}"
            # In turn: the halves of one scenario, which cost alike, go to different processes.
            lanes[dealt % processes].append((shard, home))
            place_of[home] = place
            waiting[place] = waiting.get(place, 0) + 1
            dealt += 1

    def over(result: WorkerResult) -> None:
        place = place_of[result.folder]
        results[place].append(result)
        waiting[place] -= 1
        if waiting[place] == 0:
            on_played(place, tuple(_collected(scenarios[place], results[place])))

    for place in range(len(scenarios)):
        if place not in waiting:
            on_played(place, tuple(_collected(scenarios[place], ())))
    try:
        async with asyncio.TaskGroup() as tasks:
            for lane in lanes:
                tasks.create_task(_lane(lane, settings, over))
    except ExceptionGroup as group:  # callers expect the error itself, as of one process
        raise group.exceptions[0] from None


async def _lane(
    shards: Sequence[tuple[Shard, Path]],
    settings: JsonObject,
    over: Callable[[WorkerResult], None],
) -> None:
    """Play shards one after the other; one that ends its process costs itself only."""
    left = list(shards)
    while left:
        try:
            results = await run_worker_series(left, settings, lambda: None, over)
        except ModelRefused as error:
            shard, folder = left[0]
            results = [WorkerResult(shard=shard, folder=folder, log=None, problem=str(error))]
        died = next((i for i, result in enumerate(results) if result.problem), len(results))
        if died < len(results):
            over(results[died])
        left = left[died + 1 :] if died < len(results) else []


def _collected(parts: Sequence[Part], results: Sequence[WorkerResult]) -> Iterator[PlayedPart]:
    records: dict[str, EpisodeRecord] = {}
    problems: dict[str, str] = {}
    logs: dict[str, Path] = {}
    for result in results:
        planned = {key.digest for key in result.shard.keys}
        for record in read_records(result.folder / "records.jsonl"):
            if record.key.digest in planned:
                records[record.key.digest] = record
        if result.problem is not None:
            problems |= dict.fromkeys(planned, result.problem)
        if result.log is not None:
            logs[result.shard.subject.digest] = result.log
    for part in parts:
        digests = [key.digest for key in part.keys]
        found = tuple(records[digest] for digest in digests if digest in records)
        missing = [digest for digest in digests if digest not in records]
        said = next((problems[digest] for digest in missing if digest in problems), None)
        problem = said or f"{len(found)} of {len(digests)} records" if missing else None
        yield PlayedPart(
            part=part,
            records=found,
            log=logs.get(part.subject.digest) if part.alone else None,
            problem=problem,
        )
