"""What an episode of an installed agent costs over the agent's own run.

    python benchmarks/client_overhead.py [--client fake] [--rounds R] [--episodes N]

Both sides start the same program with the same words in a sandbox, in the same workspace, and play
the same script as its model: five shell commands, then the form that ends the task.

- *bare*: a sandbox, a plain HTTP server for the model, the program; nothing is watched or kept.
- *episode*: Custodes' path. Workspace with history, services behind the broker, the gateway with
  its receipts, the transcript, the agent's own log read back and compared, snapshots before and
  after, a verified kill, the hidden check in a fresh sandbox, the record handed over.

They alternate in one process, one at a time. Asked is at most 0.5 s of difference. ``--client``
is ``fake`` (a small program of the tests, which needs nothing) or one of the real ones that the
slow tests install below build/clients. Processor time is printed beside the clock, and the load:
it decides what the figures are worth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.clients.faking import FAKE, deployment
from tests.gate.clients import PROGRAMS
from tests.harness import toy

import custodes.clients
from custodes.clients import (
    DIALECTS,
    GATEWAY_PORT,
    Deployment,
    Payload,
    deployment_of,
    preset_of,
    prompt_of,
    scripted,
)
from custodes.containment import Sandbox, SandboxSpec
from custodes.harness._host import HOME, USER
from custodes.harness._job import EpisodeLimits, Job
from custodes.harness.worker import run_job
from custodes.scenarios import World, write_workspace
from custodes.types import Ask, Cell, EpisodeKey, EpisodeRecord, Level, Safeguards, Tier, sha256_of

BUILT = Path(__file__).resolve().parent.parent / "build" / "clients"
HELD_TO = 0.5
POLICY = "route:five"


class _Model(BaseHTTPRequestHandler):
    """The scripted model with nothing around it."""

    protocol_version = "HTTP/1.1"
    answer: ClassVar[object]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        payload = type(self).answer(self.command, self.path, body)  # type: ignore[operator]
        assert isinstance(payload, Payload)
        self.send_response(payload.status)
        self.send_header("content-type", payload.content_type)
        self.send_header("content-length", str(len(payload.body)))
        self.end_headers()
        self.wfile.write(payload.body)

    do_GET = do_HEAD = do_POST


@contextlib.contextmanager
def serving(listener: int, answer: object) -> Iterator[None]:
    handler = type("Handler", (_Model,), {"answer": staticmethod(answer)})  # type: ignore[arg-type]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=listener)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


async def run_bare(agent: Deployment, template: Path, world: World, folder: Path) -> None:
    """The agent alone; fails when it does not come to its end."""
    shutil.copytree(template, folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777)
    inside = f"{HOME}/{world.project}"
    spec = SandboxSpec(
        workspace_host=folder, workspace=inside, user=USER, home=HOME,
        read_only=agent.installed.mounts,
    )  # fmt: skip
    brief = toy.SCENARIO.brief(world, key(0).cell, Level.NONE)
    launch = agent.launch(prompt_of(brief), guarded=False)
    answer = scripted(DIALECTS[agent.preset.dialect], POLICY, agent.preset.tooling)
    box = await Sandbox.start(spec)
    try:
        for path, content in agent.home.items():
            await box.write_file(f"{HOME}/{path}", content)
        with serving(await box.listen(GATEWAY_PORT), answer):
            done = await box.exec(
                list(launch.argv), input=launch.stdin, cwd=inside, env=launch.environment
            )
    finally:
        await box.close()
    if done.returncode != 0:
        raise SystemExit(f"bare: exit code {done.returncode}: {done.stderr[-300:]!r}")


def key(number: int) -> EpisodeKey:
    return EpisodeKey(
        scenario=toy.SCENARIO.id,
        major=1,
        cell=Cell(ask=Ask.NONE, safeguards=Safeguards.OFF),
        level=Level.NONE,
        twin="base",
        subject=sha256_of(b"subject"),
        safeguards=sha256_of(b"safeguards"),
        tier=Tier.A,
        seed=1,
        repeat=number,
    )


def run_episodes(agent: Deployment, episodes: int, folder: Path) -> None:
    folder.mkdir()
    job = Job(
        shard="benchmark",
        model=f"reference/{POLICY}",
        scenario=toy.SCENARIO.id,
        episodes=tuple(key(number) for number in range(episodes)),
        folder=folder,
        parallel=1,
        limits=EpisodeLimits(),
        deployment=agent.to_json(),
    )
    with (
        patch.object(custodes.clients, "preset_of", lambda _: agent.preset),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        run_job(job)
    for line in job.records.read_text("utf-8").splitlines():
        record = EpisodeRecord.from_json(json.loads(line))
        ended = [r.data for r in record.observation.receipts if r.kind == "episode.ended"]
        if ended[0]["by"] != "agent":
            raise SystemExit(f"an episode ended otherwise: {ended[0]}")


# --- measuring -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds for one: on the clock, and of processors, children included."""

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


def median_with_interval(values: Sequence[float]) -> str:
    """The median, and the order statistics that hold it with at least 95 % whatever the shape."""
    from scipy.stats import binom

    ordered, n = sorted(values), len(values)
    middle = statistics.median(ordered)
    below = int(binom.ppf(0.025, n, 0.5))
    if below < 1:
        return f"{middle:.3f} s (no 95 % interval from {n} rounds: 6 or more are needed)"
    return f"{middle:.3f} s [{ordered[below - 1]:.3f}, {ordered[n - below]:.3f}]"


def load() -> str:
    return "load " + " ".join(f"{value:.1f}" for value in os.getloadavg())


def agent_named(name: str) -> Deployment:
    if name == "fake":
        return deployment(FAKE)
    program = BUILT / name / PROGRAMS[name]
    if not program.exists():
        raise SystemExit(f"expected {program}, found none: run the slow tests of clients first")
    preset = preset_of({"preset": name})
    return deployment_of({"preset": name, "command": [str(program), *preset.default[1:]]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--client", choices=("fake", *PROGRAMS), default="fake")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--episodes", type=int, default=3, help="of each side in each round")
    given = parser.parse_args()
    agent = agent_named(given.client)
    print(f"{agent.preset.title} {agent.installed.version}, {os.cpu_count()} processors, {load()}")
    bare: list[Spent] = []
    ours: list[Spent] = []
    with toy.only(toy.SCENARIO), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        world = toy.SCENARIO.draw(1, "base")
        (folder / "template").mkdir()
        write_workspace(world, folder / "template")

        def alone(into: Path, times: int) -> None:
            for number in range(times):
                asyncio.run(run_bare(agent, folder / "template", world, Path(f"{into}-{number}")))

        alone(folder / "warm", 1)
        run_episodes(agent, 1, folder / "warm")
        for number in range(given.rounds):
            sides = [
                (bare, lambda n=number: alone(folder / f"b{n}", given.episodes)),
                (ours, lambda n=number: run_episodes(agent, given.episodes, folder / f"e{n}")),
            ]
            for spent, side in sides if number % 2 == 0 else reversed(sides):
                with measured(spent, given.episodes):
                    side()
            print(
                f"round {number + 1}: bare {bare[-1].wall:6.3f} s (cpu {bare[-1].cpu:6.3f})   "
                f"episode {ours[-1].wall:6.3f} s (cpu {ours[-1].cpu:6.3f})   "
                f"over {ours[-1].wall - bare[-1].wall:+.3f} s "
                f"(cpu {ours[-1].cpu - bare[-1].cpu:+.3f})   {load()}",
                flush=True,
            )
    walls = [b.wall - a.wall for a, b in zip(bare, ours, strict=True)]
    cpus = [b.cpu - a.cpu for a, b in zip(bare, ours, strict=True)]
    print(f"bare: median {statistics.median(s.wall for s in bare):.3f} s")
    print(f"an episode over that: {median_with_interval(walls)}   (held to {HELD_TO} s)")
    print(f"processor time over that: {median_with_interval(cpus)}")


if __name__ == "__main__":
    main()
