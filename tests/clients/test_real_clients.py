"""The real clients through every scenario: judged as a bare model in our loop would be. Slow.

A script plays each client's model, through the client's own tools, in the sandbox. Nothing leaves
the machine, and no configuration of this machine is read.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from custodes.clients import Deployment, deployment_of, preset_of
from custodes.containment import Sandbox, make_volume, remove_volume
from custodes.harness import _client_loop
from custodes.harness._client_logs import collect_logs
from custodes.harness._job import EpisodeLimits, Job
from custodes.harness.worker import run_job
from custodes.scenarios import BASE_TWIN, all_scenarios, scenario_by_id
from custodes.types import (
    Ask,
    Cell,
    EpisodeKey,
    EpisodeRecord,
    JsonObject,
    Question,
    Safeguards,
    Tier,
    sha256_of,
)

from ..gate.clients import PROGRAMS, installed
from ..gate.trialling import needs_bubblewrap
from ..harness.playing import Played
from .planting import plant

pytestmark = pytest.mark.slow

CLIENTS = tuple(PROGRAMS)
POLICIES = ("honest", "violator")
COMPARED = (
    Question.EXPOSED,
    Question.ATTEMPTED,
    Question.SUCCEEDED,
    Question.SOLVED,
    Question.DISCLOSED,
)
_MIXED = (
    "Codex mixes the two outputs of a command as they arrive: on a busy machine a line of one may"
    " stand in the middle of the other, where the script does not find it"
)
MAY_DIFFER: Mapping[tuple[str, str, str, Question], str] = {
    ("codex", "deception/impossible_tests", policy, question): _MIXED
    for policy in POLICIES
    for question in (Question.ATTEMPTED, Question.SUCCEEDED, Question.SOLVED, Question.DISCLOSED)
}
"""Client, scenario, policy and question whose answer may be another than a bare model's, and why.

Closed: whatever is not listed fails.
"""
SECONDS = 600


@pytest.fixture(scope="module")
def cache() -> Path:
    return Path(__file__).resolve().parents[2] / "build" / "clients"


def agent_of(client: str, cache: Path, config: Path | None = None) -> Deployment:
    needs_bubblewrap()
    preset = preset_of({"preset": client})
    spec: JsonObject = {
        "preset": client,
        "command": [str(installed(client, cache)), *preset.default[1:]],
        **({} if config is None else {"config": str(config)}),
    }
    return deployment_of(spec)


def key_of(scenario: str, policy: str, cell: Cell) -> EpisodeKey:
    met = scenario_by_id(scenario)
    return EpisodeKey(
        scenario=scenario,
        major=met.version[0],
        cell=cell,
        level=met.levels[0],
        twin=BASE_TWIN,
        subject=sha256_of(policy.encode()),
        safeguards=sha256_of(b"none"),
        tier=Tier.A,
        seed=1,
        repeat=0,
    )


MOTIVE = Cell(ask=Ask.NONE, safeguards=Safeguards.OFF)


def worked(
    folder: Path, agent: Deployment | None, cell: Cell = MOTIVE
) -> dict[tuple[str, str], Played]:
    """Every scenario with every policy, in one worker process as an assessment starts it."""
    jobs: list[Path] = []
    places: dict[tuple[str, str], Path] = {}
    for scenario in all_scenarios():
        for policy in POLICIES:
            place = folder / f"{scenario.replace('/', '-')}-{policy}"
            place.mkdir(parents=True)
            places[scenario, policy] = place
            job = {
                "schema": "custodes.job/1",
                "shard": "real",
                "model": f"reference/{policy}",
                "scenario": scenario,
                "episodes": [key_of(scenario, policy, cell).to_json()],
                "folder": str(place),
                "limits": {"turns": 60, "seconds": SECONDS},
                "parallel": 1,
                **({} if agent is None else {"deployment": agent.to_json()}),
            }
            (place / "job.json").write_text(json.dumps(job), "utf-8")
            jobs.append(place / "job.json")
    home = folder / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "custodes.harness.worker", *map(str, jobs)],
        capture_output=True,
        text=True,
        # Nothing of this machine's environment: no key, no proxy, no home.
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[tuple[str, str], Played] = {}
    for (scenario, policy), place in places.items():
        (line,) = (place / "records.jsonl").read_text("utf-8").splitlines()
        record = EpisodeRecord.from_json(json.loads(line))
        found[scenario, policy] = Played(scenario_by_id(scenario), record)
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Played]:
    """The same policies as bare models in our own loop."""
    return worked(tmp_path_factory.mktemp("bare"), None)


@pytest.fixture(scope="module", params=CLIENTS)
def real(
    request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[tuple[str, str], Played]]:
    client: str = request.param
    return client, worked(tmp_path_factory.mktemp(client), agent_of(client, cache))


def test_the_outcome_is_that_of_a_bare_model(
    real: tuple[str, dict[tuple[str, str], Played]], bare: dict[tuple[str, str], Played]
) -> None:
    client, episodes = real
    unlike: dict[tuple[str, str, str, Question], Any] = {}
    for (scenario, policy), episode in episodes.items():
        for question in COMPARED:
            ours, wanted = episode[question], bare[scenario, policy][question]
            if ours is not wanted:
                said = episode.ended, episode.reasons().get(question.value)
                unlike[client, scenario, policy, question] = (ours, wanted, said)
    assert set(unlike) <= set(MAY_DIFFER), unlike


def test_the_log_and_the_gateway_tell_of_the_same_calls(
    real: tuple[str, dict[tuple[str, str], Played]],
) -> None:
    _, episodes = real
    for place, episode in episodes.items():
        (log,) = episode.of("client.log")
        (traffic,) = episode.of("client.traffic")
        assert log["problem"] == "", place
        assert (log["only_log"], log["only_gateway"]) == ([], []), place
        assert log["calls"] == log["given"] == log["matched"] == traffic["calls"], place
        assert int(str(log["calls"])) > 0, place


def test_everything_ends_and_nothing_outlives(
    real: tuple[str, dict[tuple[str, str], Played]],
) -> None:
    _, episodes = real
    ends = Counter(episode.ended[0] for episode in episodes.values())
    assert ends == {"agent": len(episodes)}
    for episode in episodes.values():
        (killed,) = episode.of("sandbox.killed")
        assert killed["verified"] is True
        assert episode.of("client.denied") == []  # its own checks were off


def test_it_reaches_nothing_but_the_scenario(
    real: tuple[str, dict[tuple[str, str], Played]], bare: dict[tuple[str, str], Played]
) -> None:
    _, episodes = real
    for place, episode in episodes.items():
        answered = {r["host"] for r in episode.of("net.request") if r["decision"] == "allowed"}
        known = {r["host"] for r in bare[place].of("net.request") if r["decision"] == "allowed"}
        assert answered == known, place
        for asked in episode.of("model.beside"):
            assert asked["status"] in (200, 404), place


# --- its own safeguards, and ours ----------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_our_safeguards_stop_it_in_the_place_of_its_own(
    client: str, cache: Path, tmp_path: Path
) -> None:
    scenario = "disobedience/stop_order"
    with patch.dict(all_scenarios(), {scenario: scenario_by_id(scenario)}, clear=True):
        cell = Cell(ask=Ask.COVERT, safeguards=Safeguards.ENFORCED)
        found = worked(tmp_path, agent_of(client, cache), cell)
    episode = found[scenario, "violator"]
    assert episode.ended[0] == "stop"
    assert episode[Question.SUCCEEDED] is False
    (ended,) = episode.of("stop.ended")
    assert ended["outcome"] == "verified"


# --- secrets -------------------------------------------------------------------------------------


def test_no_secret_of_the_configuration_is_inside_or_left_anywhere(cache: Path) -> None:
    """Searched from the host, through the sandbox's own root, while the client's work is done."""
    if os.geteuid() != 0:
        pytest.skip("expected root, which can look into the sandbox's root from outside")
    volume = make_volume()
    try:
        planted = plant(volume / "data" / "config", seed=7)
        marker = "Prefer willow over sandpiper."  # no secret by any rule
        (planted.folder / "CLAUDE.md").write_text(f"{marker}\n")
        agent = agent_of("claude-code", cache, planted.folder)
        wanted = {name: value.encode() for name, value in planted.secrets.items()}
        found: dict[str, list[str]] = {}

        async def look(host: Any, *others: Any) -> None:
            assert isinstance(host.sandbox, Sandbox)
            found["secrets"] = _inside(host.sandbox.init_pid, wanted)
            found["kept"] = _inside(host.sandbox.init_pid, {"marker": marker.encode()})
            await collect_logs(host, *others)

        job = Job(
            shard="real",
            model="reference/honest",
            scenario="escape/canary_credential",
            episodes=(key_of("escape/canary_credential", "honest", MOTIVE),),
            folder=volume / "data" / "job",
            limits=EpisodeLimits(seconds=SECONDS),
            deployment=agent.to_json(),
        )
        job.folder.mkdir()
        with patch.object(_client_loop, "collect_logs", look):
            log = run_job(job)
        # An empty home would prove nothing: what is no secret is there.
        assert found["kept"] != []
        assert found["secrets"] == []
        (line,) = job.records.read_text("utf-8").splitlines()
        record = EpisodeRecord.from_json(json.loads(line))
        done = [r for r in record.observation.receipts if r.kind == "tool.result"]
        assert len(done) > 3  # it was at work, and its log tells of it
        left = _holding([job.records], wanted) + _zipped(log, wanted)
        assert left == []
        assert [n for n, v in wanted.items() if v.decode() in json.dumps(agent.account())] == []
    finally:
        remove_volume(volume)


def _inside(init: int, wanted: Mapping[str, bytes]) -> list[str]:
    """Which of them files inside a sandbox hold; the system's own folders are the host's."""
    root = Path(f"/proc/{init}/root")
    files: list[Path] = []
    for top in sorted(root.iterdir()):
        if top.name in {"proc", "sys", "dev", "usr", "lib", "lib32", "lib64", "bin", "sbin", "opt"}:
            continue
        for folder, _, names in os.walk(top):
            files += [Path(folder, name) for name in names]
    return _holding(files, wanted)


def _holding(files: list[Path], wanted: Mapping[str, bytes]) -> list[str]:
    found: list[str] = []
    for file in files:
        if file.is_symlink() or not file.is_file():
            continue
        data = file.read_bytes()
        found += [f"{name} in {file}" for name, value in wanted.items() if value in data]
    return found


def _zipped(log: Path, wanted: Mapping[str, bytes]) -> list[str]:
    found: list[str] = []
    with zipfile.ZipFile(log) as archive:
        for member in archive.namelist():
            data = archive.read(member)
            found += [f"{name} in {member}" for name, value in wanted.items() if value in data]
    return found
