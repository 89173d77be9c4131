"""The fake client as an installed agent, and whole episodes of it in this process."""

from __future__ import annotations

import json
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final
from unittest.mock import patch

import custodes.clients
from custodes.clients import PROMPT, ClientError, Deployment, Installed, Payload, Preset
from custodes.harness import _client_loop
from custodes.harness._job import EpisodeLimits, Job
from custodes.harness.worker import run_job
from custodes.monitors import Safeguard
from custodes.scenarios import (
    Interjection,
    Opening,
    Route,
    Scenario,
    Script,
    Steps,
    World,
)
from custodes.types import (
    Ask,
    Cell,
    EpisodeKey,
    EpisodeRecord,
    JsonObject,
    Level,
    Receipt,
    Safeguards,
    Tier,
    sha256_of,
)

from ..harness import toy
from ..harness.playing import Played, Run

PROGRAM: Final = Path(__file__).with_name("fake_client.py")
LIMITS: Final = EpisodeLimits(turns=12, seconds=60, call_seconds=30)


class _Tooling:
    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        if "Shell" not in tools:
            raise ClientError("expected the tool Shell, found none")
        return "Shell", {"command": command}

    def output(self, text: str) -> str:
        return text

    def denied(self, text: str, error: bool | None = None) -> str | None:
        if text.startswith("hook error:"):
            return "hook"
        return "permission" if text.startswith("permission denied:") else None


def _complaint(code: int, said: str) -> str | None:
    return "Fake wants a login: run fake login" if "wants a login" in said else None


FAKE: Final = Preset(
    name="fake",
    title="Fake",
    programs=("fake",),
    dialect="messages",
    upstream="http://127.0.0.1:9",
    key_variable=None,
    authorise=("x-api-key", "{key}"),
    tested=("1.2.3",),
    oldest="1.0.0",
    default=("fake", "-p", PROMPT),
    environment={"FAKE_URL": "http://127.0.0.1:8787", "NO_PROXY": "127.0.0.1"},
    unguarded=lambda words: (words[0], "--bypass", *words[1:]),
    resumed=lambda words: (words[0], "--continue", *words[1:]),
    base_files={},
    adapted=lambda path, content: content,
    config_folder=".fake",
    logs=(".fake/projects/**/*.jsonl",),
    tooling=_Tooling(),
    complaint=_complaint,
)


def installed_in(folder: Path, name: str = "fake") -> Path:
    """The program, put into a folder as an installation would put it."""
    program = folder / name
    shutil.copyfile(PROGRAM, program)
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program


def deployment(
    preset: Preset = FAKE,
    *,
    words: tuple[str, ...] | None = None,
    settings: Mapping[str, Any] | None = None,
    key_variable: str | None = None,
    upstream: str | None = None,
) -> Deployment:
    return Deployment(
        preset=preset,
        spec={"preset": preset.name},
        words=words or preset.default,
        installed=Installed(
            preset=preset.name,
            program=PROGRAM,
            argv=("/usr/bin/python3", "-S", "/opt/agent/fake_client.py"),
            version="1.2.3",
            digest=sha256_of(PROGRAM.read_bytes()),
            mounts=((PROGRAM, "/opt/agent/fake_client.py"),),
        ),
        home={} if settings is None else {".fake/settings.json": json.dumps(settings).encode()},
        upstream=upstream or preset.upstream,
        key_variable=key_variable,
    )


@dataclass(frozen=True)
class Setup:
    """One episode: what the model does, in which odd ways the client behaves, what it is told."""

    script: Script
    odd: str = ""
    told: str = ""


SETUPS: dict[str, Setup] = {}
"""By the name of the twin, for as long as :func:`play` runs."""


def _as_told(opening: Opening) -> Steps:
    name = opening.text.partition("Desk: ")[2].partition(".")[0]
    yield from SETUPS[name].script(opening)


class Notes(toy.Toy):
    """The toy, with the client's oddities in its environment and a message in mid-work."""

    id = "tests/notes"
    receipts: ClassVar[Mapping[str, str]] = toy.Toy.receipts

    def draw(self, seed: int, twin: str) -> World:
        world = super().draw(seed, twin)
        return replace(world, environment={"FAKE": SETUPS[twin].odd})

    def interject(
        self, world: World, cell: Cell, receipts: Sequence[Receipt], sent: frozenset[str]
    ) -> Interjection | None:
        told = SETUPS[world.twin].told
        if not told or "told" in sent or not any(r.kind == "tool.result" for r in receipts):
            return None
        return Interjection(id="told", text=told)

    def routes(self) -> Sequence[Route]:
        return (Route(name="as-told", intent="honest", script=_as_told),)


NOTES: Final = Notes()


def play(
    setups: Mapping[str, Setup],
    *,
    safeguards: Safeguards = Safeguards.OFF,
    ask: Ask = Ask.NONE,
    tier: Tier = Tier.A,
    limits: EpisodeLimits = LIMITS,
    agent: Deployment | None = None,
    watched_by: Safeguard | None = None,
    provider: Callable[[Callable[[str, str, bytes], Payload]], Any] | None = None,
    scenario: Scenario | None = None,
    model: str = "reference/route:as-told",
) -> Run:
    """Play every setup once, in one evaluation; read what the worker leaves.

    Args:
        provider: wraps the scripted server that plays the model.
        scenario: instead of the toy; then the names of the setups are its twins.
    """
    agent = agent or deployment()
    met = scenario or NOTES
    keys = tuple(
        EpisodeKey(
            scenario=met.id,
            major=met.version[0],
            cell=Cell(ask=ask, safeguards=safeguards),
            level=met.levels[0],
            twin=name,
            subject=sha256_of(b"subject"),
            safeguards=sha256_of(b"safeguards"),
            tier=tier,
            seed=1,
            repeat=0,
        )
        for name in setups
    )
    job = Job(
        shard="test",
        model=model,
        scenario=met.id,
        episodes=keys,
        folder=Path(tempfile.mkdtemp(prefix="job-")),
        limits=limits,
        allow_uncontained=True,
        deployment=agent.to_json(),
    )
    with ExitStack() as stack:
        stack.enter_context(patch.dict(SETUPS, setups))
        if scenario is None:
            stack.enter_context(toy.only(NOTES))
        stack.enter_context(patch.object(custodes.clients, "preset_of", lambda _: agent.preset))
        if watched_by is not None:
            stack.enter_context(patch.object(_client_loop, "shipped_safeguard", lambda: watched_by))
        if provider is not None:
            made = custodes.clients.scripted
            stack.enter_context(
                patch.object(_client_loop, "scripted", lambda *args: provider(made(*args)))
            )
        log = run_job(job)
    records = [
        EpisodeRecord.from_json(json.loads(line))
        for line in job.records.read_text("utf-8").splitlines()
    ]
    return Run(
        episodes={record.key.twin: Played(met, record) for record in records},
        log=log,
        planned=len(keys),
        failures=json.loads(job.failures.read_text("utf-8")),
    )


__all__ = ["FAKE", "LIMITS", "NOTES", "PROGRAM", "Level", "Setup", "deployment", "installed_in",
           "play"]  # fmt: skip
