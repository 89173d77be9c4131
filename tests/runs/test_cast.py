"""Many scripted agents share evaluations and processes, and every record keeps its agent."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from custodes.runs import PlannedSubject, Shard, WorkerResult
from custodes.runs import _cast as cast
from custodes.runs import _worker as worker
from custodes.runs._cast import Part, PlayedPart, shards_of
from custodes.runs._plan import LARGEST_SHARD
from custodes.types import Ask, Cell, EpisodeKey, JsonObject, Level, Safeguards, Tier, sha256_of

from .records import record


def agent(name: str) -> PlannedSubject:
    return PlannedSubject(id=name, role="control", model=f"reference/route:{name}")


def part(name: str, episodes: int = 1, *, scenario: str = "a/b", alone: bool = False) -> Part:
    subject = agent(name)
    keys = tuple(
        EpisodeKey(
            scenario=scenario,
            major=1,
            cell=Cell(ask=Ask.NONE, safeguards=Safeguards.OFF),
            level=Level.NONE,
            twin="base",
            subject=subject.digest,
            safeguards=sha256_of(b"none"),
            tier=Tier.A,
            seed=seed,
            repeat=0,
        )
        for seed in range(1, episodes + 1)
    )
    return Part(subject=subject, keys=keys, alone=alone)


# What is played in which evaluation


@pytest.mark.parametrize(("parts", "each", "processes"), [(1, 1, 2), (31, 1, 2), (20, 9, 2)])
def test_every_episode_is_played_once_by_its_own_policy(
    parts: int, each: int, processes: int
) -> None:
    given = [part(f"r{number}", each) for number in range(parts)]
    shards = list(shards_of(given, processes=processes))
    keys = [key for shard in shards for key in shard.keys]
    assert Counter(keys) == Counter(key for one in given for key in one.keys)
    named = {one.subject.digest: f"route:{one.subject.id}" for one in given}
    for shard in shards:
        mine = {key.subject: named[key.subject] for key in shard.keys}
        assert shard.subject.model_args["policies"] == mine
        assert len(shard.keys) <= LARGEST_SHARD
    sizes = [len(shard.keys) for shard in shards]
    assert max(sizes) - min(sizes) <= 1, "one process would wait for the other"


def test_a_scenario_is_spread_over_the_processes_but_not_thinly() -> None:
    many = [part(f"r{number}") for number in range(32)]
    assert len(list(shards_of(many, processes=2))) == 2
    assert len(list(shards_of(many[:6], processes=2))) == 1


def test_an_agent_whose_log_is_wanted_is_played_alone() -> None:
    both = [part("looks", alone=True), part("works")]
    shared, alone = shards_of(both, processes=2)
    assert alone.subject == agent("looks") and alone.keys == both[0].keys
    assert shared.keys == both[1].keys


def test_an_episode_in_two_parts_is_refused() -> None:
    with pytest.raises(ValueError, match="in several"):
        list(shards_of([part("a"), replace(part("a"), alone=True)], processes=1))


def test_a_model_is_refused() -> None:
    model = PlannedSubject(id="m", role="subject", model="openai/gpt")
    with pytest.raises(ValueError, match="expected a scripted agent"):
        list(shards_of([Part(subject=model, keys=())], processes=1))


# What comes back


def play(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    scenarios: Sequence[Sequence[Part]],
    dies: Callable[[Shard], bool],
    processors: int = 2,
) -> tuple[dict[int, tuple[PlayedPart, ...]], list[list[str]]]:
    """What is told of each scenario, and in which processes which scenarios were met.

    A worker that is to die of a shard leaves the record of its first episode.
    """
    processes: list[list[str]] = []

    async def series(
        shards: Sequence[tuple[Shard, Path]],
        settings: JsonObject,
        on_episode: Callable[[], None],
        on_closed: Callable[[WorkerResult], None],
    ) -> list[WorkerResult]:
        met: list[str] = []
        processes.append(met)
        results: list[WorkerResult] = []
        for shard, place in shards:
            problem = "exit code 9" if results and results[-1].problem else None
            problem = problem or ("exit code 9" if dies(shard) else None)
            place.mkdir(parents=True, exist_ok=True)
            if not (results and results[-1].problem):
                met.append(shard.scenario)
                lines = [json.dumps(record(key).to_json()) for key in shard.keys]
                text = "".join(f"{line}\n" for line in lines[: 1 if problem else None])
                (place / "records.jsonl").write_text(text, encoding="utf-8")
            log = None if problem else place / "x.eval"
            results.append(WorkerResult(shard=shard, folder=place, log=log, problem=problem))
            if problem is None:
                on_closed(results[-1])
            await asyncio.sleep(0)
        return results

    monkeypatch.setattr(cast, "run_worker_series", series)
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    told: dict[int, tuple[PlayedPart, ...]] = {}

    def on_played(place: int, parts: tuple[PlayedPart, ...]) -> None:
        assert place not in told, "told twice"
        told[place] = parts

    asyncio.run(cast.play(scenarios, folder, {}, on_played))
    return told, processes


def scenario(name: str, agents: int) -> list[Part]:
    return [part(f"{name}{number}", scenario=f"x/{name}") for number in range(agents)]


def test_every_scenario_comes_back_with_the_records_of_each_agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenarios = [scenario("a", 20), [*scenario("b", 30), part("eyes", scenario="x/b", alone=True)]]
    told, processes = play(monkeypatch, tmp_path, scenarios, lambda shard: False)
    for place, parts in enumerate(scenarios):
        assert [one.part for one in told[place]] == list(parts)
        for one in told[place]:
            assert one.problem is None and [r.key for r in one.records] == list(one.part.keys)
            assert (one.log is not None) is one.part.alone
    assert len(processes) == 2
    assert all({"x/a", "x/b"} == set(met) for met in processes), "both work on both scenarios"


def test_an_episode_that_ends_its_process_costs_its_own_evaluation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenarios = [scenario("a", 16), scenario("b", 16)]
    victim = scenarios[0][0].keys[0]
    told, processes = play(
        monkeypatch, tmp_path, scenarios, lambda shard: shard.keys[0] == victim, processors=1
    )
    assert processes == [["x/a"], ["x/b"]], "a new process went on with what was left"
    assert [one.problem for one in told[1]] == [None] * 16
    first, *others = told[0]
    assert first.problem is None and len(first.records) == 1, "what was left counts"
    assert {one.problem for one in others} == {"exit code 9"}
    assert not any(one.records for one in others)


def test_a_scenario_without_parts_is_over_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told, _ = play(monkeypatch, tmp_path, [[], scenario("a", 1)], lambda shard: False)
    assert told[0] == () and len(told[1]) == 1


def test_what_goes_wrong_in_one_process_comes_out_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def series(*arguments: object) -> list[WorkerResult]:
        raise LookupError("no such world")

    monkeypatch.setattr(cast, "run_worker_series", series)
    with pytest.raises(LookupError, match="no such world"):
        asyncio.run(cast.play([scenario("a", 20)], tmp_path, {}, lambda place, parts: None))


# Where workspaces lie


def temporary(subject: PlannedSubject) -> str:
    return worker._temporary(Shard(subject=subject, scenario="a/b", keys=()))


def test_workspaces_of_scripted_agents_lie_in_memory_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    many = PlannedSubject(id="cast", role="control", model=worker.CAST_MODEL)
    model = PlannedSubject(id="m", role="subject", model="openai/gpt")
    pack = PlannedSubject(id="p", role="control", model="reference/pack:p")
    monkeypatch.setattr(worker, "_free_memory", lambda: worker._ROOM)
    found = [temporary(subject) for subject in (agent("a"), many, model, pack)]
    assert found == ["/dev/shm", "/dev/shm", "/tmp", "/tmp"]
    monkeypatch.setattr(worker, "_free_memory", lambda: worker._ROOM - 1)
    assert temporary(agent("a")) == "/tmp"


def test_a_folder_that_the_user_names_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_free_memory", lambda: worker._ROOM)
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert temporary(agent("a")) == "/var/tmp"


def test_what_is_no_file_system_in_memory_has_no_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker, "_MEMORY", tmp_path)
    assert worker._free_memory() == 0
    monkeypatch.setattr(worker, "_MEMORY", tmp_path / "absent")
    assert worker._free_memory() == 0
