"""What an episode costs over plain Inspect, and how many a machine gets through.

    python benchmarks/episodes.py [--episodes N] [--rounds R] [--shard N] [--parallel P]

First the ratio. Both sides play the same script through the same model provider: five shell
commands, then the form that ends the task. Both use the sandbox provider ``custodes``, the same
files, and the same hidden check at the end.

- *plain*: what one writes with Inspect alone. A loop of ``generate`` and ``execute_tools``, files
  laid in by ``Sample(files=...)``, a scorer that runs the check in the sandbox.
- *episode*: Custodes' path. Workspace with history, services behind the broker, receipts,
  snapshots before and after, a verified kill, the check in a fresh sandbox without network on a
  copy, the record handed over, the questions answered.

They alternate in one process. Then the throughput: two worker processes, as ``assess`` starts
them, with and without the time that a worker needs to begin. The machine's load is printed,
because it decides what the figures are worth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import io
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    execute_tools,
    get_model,
)
from inspect_ai.scorer import Score, Scorer, Target, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import Tool, ToolDef
from inspect_ai.util import SandboxEnvironmentSpec, sandbox

from custodes.harness._job import EpisodeLimits, Job
from custodes.harness._sandboxenv import SandboxConfig
from custodes.harness._tools import CheckEntry, DeviationEntry, shorten
from custodes.harness.worker import run_job
from custodes.runs._plan import PlannedSubject, Shard
from custodes.runs._worker import run_worker
from custodes.scenarios import FORM, Scenario
from custodes.types import Ask, Cell, EpisodeKey, Level, Safeguards, Tier, sha256_of

TESTS = Path(__file__).resolve().parent.parent / "tests" / "harness"
MODEL = "reference/route:five"


def load_toy() -> ModuleType:
    """The smallest scenario, which belongs to the tests."""
    spec = importlib.util.spec_from_file_location("toy", TESTS / "toy.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["toy"] = module
    spec.loader.exec_module(module)
    return module


# --- plain Inspect -------------------------------------------------------------------------------


def plain_tools() -> list[Tool]:
    """The two tools as one would write them with Inspect alone: same names, same schema."""

    async def bash(command: str) -> str:
        """Run a command with bash in the project folder.

        Each call is a new shell; files and background processes stay.

        Args:
            command: The command to run.
        """
        result = await sandbox().exec(["bash", "-c", command], timeout=120)
        parts = [part.rstrip("\n") for part in (result.stdout, result.stderr) if part]
        if result.returncode != 0:
            parts.append(f"[exit code {result.returncode}]")
        return shorten("\n".join(parts))

    async def finish(
        summary: str,
        checks: list[CheckEntry],
        deviations: list[DeviationEntry],
        access: list[str],
        notes: str = "",
        declined: bool = False,
    ) -> str:
        """Hand in the completion report."""
        return "Recorded."

    return [
        ToolDef(bash, name="bash", parallel=False).as_tool(),
        ToolDef(
            finish, name="finish", parameters=dict(FORM), parallel=False, description="Hand in."
        ).as_tool(),
    ]


@solver
def plain_loop(system: str, task: str) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model()
        tools = plain_tools()
        state.messages = [ChatMessageSystem(content=system), ChatMessageUser(content=task)]
        for _ in range(60):
            state.output = await model.generate(input=state.messages, tools=tools)
            state.messages.append(state.output.message)
            calls = state.output.message.tool_calls or []
            if calls:
                result = await execute_tools(state.messages, tools)
                state.messages.extend(result.messages)
            if any(call.function == "finish" for call in calls):
                break
        return state

    return solve


@scorer(metrics=[])
def plain_check(command: tuple[str, ...]) -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        result = await sandbox().exec(list(command), timeout=60)
        return Score(value="solved" if result.success else "not solved")

    return score


def run_plain(scenario: Scenario, episodes: int, parallel: int, folder: Path) -> None:
    world = scenario.draw(1, "base")
    brief = scenario.brief(world, key(0).cell, Level.NONE)
    check = scenario.checks(world)[0]
    samples = [
        Sample(input="plain", id=str(number), files=dict(world.files()))
        for number in range(episodes)
    ]
    task = Task(
        name="plain",
        dataset=MemoryDataset(samples),
        solver=plain_loop(brief.system_text, brief.task_text),
        scorer=plain_check(check.command),
        sandbox=SandboxEnvironmentSpec("custodes", SandboxConfig()),
    )
    (log,) = eval(
        task,
        model=get_model(MODEL, config=GenerateConfig()),
        display="none",
        log_level="error",
        log_dir=str(folder),
        log_format="eval",
        log_realtime=False,
        fail_on_error=True,
        max_samples=parallel,
        max_sandboxes=parallel,
        score_display=False,
        acp_server=False,
        ctl_server=False,
    )
    if log.status != "success":
        raise SystemExit(f"plain Inspect ended with {log.error}")


# --- Custodes ------------------------------------------------------------------------------------


def key(number: int, safeguards: Safeguards = Safeguards.OFF) -> EpisodeKey:
    return EpisodeKey(
        scenario="tests/toy",
        major=1,
        cell=Cell(ask=Ask.NONE, safeguards=safeguards),
        level=Level.NONE,
        twin="base",
        subject=sha256_of(b"subject"),
        safeguards=sha256_of(b"safeguards"),
        tier=Tier.A,
        seed=1,
        repeat=number,
    )


def run_episodes(
    episodes: int, parallel: int, folder: Path, safeguards: Safeguards = Safeguards.OFF
) -> None:
    job = Job(
        shard="benchmark",
        model=MODEL,
        scenario="tests/toy",
        episodes=tuple(key(number, safeguards) for number in range(episodes)),
        folder=folder,
        parallel=parallel,
        limits=EpisodeLimits(),
    )
    with contextlib.redirect_stdout(io.StringIO()):
        run_job(job)
    records = [json.loads(line) for line in job.records.read_text("utf-8").splitlines()]
    kinds = [[receipt["kind"] for receipt in record["receipts"]] for record in records]
    whole = [k for k in kinds if k.count("tool.result") == 6 and "check.finished" in k]
    if len(whole) != episodes:
        raise SystemExit(f"{len(whole)} of {episodes} episodes were whole: nothing to compare")


# --- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds: on the clock, and of processors, children included."""

    wall: float
    cpu: float


def _cpu() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


@contextlib.contextmanager
def measured(into: list[Spent], episodes: int) -> Iterator[None]:
    wall, cpu = time.perf_counter(), _cpu()
    yield
    into.append(Spent((time.perf_counter() - wall) / episodes, (_cpu() - cpu) / episodes))


def load() -> str:
    return "load " + " ".join(f"{value:.1f}" for value in os.getloadavg())


def compare(scenario: Scenario, episodes: int, rounds: int, parallel: int) -> float:
    plain: list[Spent] = []
    ours: list[Spent] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_plain(scenario, 2, 2, folder / "warm")  # imports, the compiled executor
        (folder / "warm2").mkdir()
        run_episodes(2, 2, folder / "warm2")
        for number in range(rounds):
            into = folder / str(number)
            into.mkdir()
            sides = [
                (plain, lambda into=into: run_plain(scenario, episodes, parallel, into)),
                (ours, lambda into=into: run_episodes(episodes, parallel, into)),
            ]
            for spent, side in sides if number % 2 == 0 else reversed(sides):
                with measured(spent, episodes):
                    side()
            print(
                f"round {number + 1}: plain {plain[-1].wall * 1e3:6.1f} ms"
                f" (cpu {plain[-1].cpu * 1e3:6.1f})   episode {ours[-1].wall * 1e3:6.1f} ms"
                f" (cpu {ours[-1].cpu * 1e3:6.1f})   ratio {ours[-1].wall / plain[-1].wall:.3f}"
                f" (cpu {ours[-1].cpu / plain[-1].cpu:.3f})   {load()}",
                flush=True,
            )
    walls = [b.wall / a.wall for a, b in zip(plain, ours, strict=True)]
    cpus = [b.cpu / a.cpu for a, b in zip(plain, ours, strict=True)]
    best = min(s.wall for s in ours) / min(s.wall for s in plain)
    print(
        f"ratio of wall time: of the fastest rounds {best:.3f}"
        f", median {statistics.median(walls):.3f}"
        f", least {min(walls):.3f}; of processor time: median {statistics.median(cpus):.3f}"
        f", least {min(cpus):.3f}   (held to 1.15)"
    )
    return best


async def throughput(episodes: int, parallel: int, workers: int) -> None:
    """Workers as ``assess`` starts them; the first episode's end marks the end of the start-up."""
    subject = PlannedSubject(id="five", role="subject", model=MODEL)
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        # The worker finds the toy through an entry point, as it would any scenario from outside.
        package = Path(name) / "site"
        info = package / "toy_scenario-1.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-scenario\nVersion: 1\n")
        (info / "entry_points.txt").write_text("[custodes.scenarios]\ntoy = toy:SCENARIO\n")
        (package / "toy.py").write_bytes((TESTS / "toy.py").read_bytes())
        os.environ["PYTHONPATH"] = os.pathsep.join(
            [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        keys = [key(number) for number in range(workers * episodes)]
        shards = [
            Shard(subject=subject, scenario="tests/toy", keys=tuple(keys[n::workers]))
            for n in range(workers)
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        results = await asyncio.gather(
            *(
                run_worker(
                    shard,
                    Path(name) / f"s{number}",
                    {"parallel": parallel},
                    lambda: ends.append(time.perf_counter()),
                )
                for number, shard in enumerate(shards)
            )
        )
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    for result in results:
        if result.problem is not None:
            raise SystemExit(result.problem)
    total = workers * episodes
    if len(ends) != total:
        raise SystemExit(f"{len(ends)} of {total} episodes ended")
    ends.sort()
    # The first episodes to end began with the others: what they took is counted from the start.
    steady = (len(ends) - 2 * parallel) / (ends[-1] - ends[2 * parallel - 1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{workers} workers, {total} episodes of five calls: {total / wall:.1f} a second with the "
        f"start of the workers ({wall:.1f} s), {steady:.1f} without; "
        f"cpu {cpu / total * 1e3:.0f} ms an episode; first ended after {ends[0] - started:.1f} s; "
        f"{load()}   (held to 8)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=60, help="of each side in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shard", type=int, default=100, help="episodes of each worker")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--parallel", type=int, default=6, help="episodes at once in a process")
    parser.add_argument("--only", choices=("ratio", "throughput"))
    given = parser.parse_args()
    print(f"{os.cpu_count()} processors, {load()}")
    toy = load_toy()
    if given.only != "throughput":
        with toy.only(toy.SCENARIO):
            compare(toy.SCENARIO, given.episodes, given.rounds, given.parallel)
    if given.only != "ratio":
        asyncio.run(throughput(given.shard, given.parallel, given.workers))


if __name__ == "__main__":
    main()
