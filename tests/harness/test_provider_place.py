"""Sandboxes of Inspect's providers are probed through Inspect's interface alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from custodes.containment._engine import engine_state
from custodes.containment.probes import registered
from custodes.containment.probes._model import interpreter

PYTHON = interpreter()
NAMES = (
    "files.read_outside",
    "files.write_outside",
    "secrets.launcher_environment",
    "processes.see_others",
    "processes.outlive",
    "network.tcp_host_loopback",
    "resources.large_file",
    "harness.kill_executor",
    "harness.cripple_executor",
    "harness.link_for_reading",
    "harness.link_for_writing",
)


def probe(provider: str, *names: str, config: str | None = None, **environment: str) -> Any:
    job = {
        "provider": provider,
        "names": list(names),
        "config": config,
        "python": PYTHON,
        "timeout": 60,
        "canaries": None,
    }
    done = subprocess.run(
        [sys.executable, "-m", "custodes.harness._provider_place"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def results(found: Any) -> dict[str, str]:
    return {probe["name"]: probe["result"] for probe in found["matrix"]["probes"]}


def test_inspects_local_provider_contains_nothing() -> None:
    found = probe("local", *NAMES)
    assert results(found) == dict.fromkeys(NAMES, "escaped")
    assert (found["matrix"]["tier"], found["matrix"]["sandbox"]) == ("A'", "local")


def test_our_own_provider_contains_all_of_it() -> None:
    """Its own workspace is known, and the process in charge is found from the host."""
    found = probe("custodes", *NAMES)
    wanted = dict.fromkeys(NAMES, "contained")
    if os.geteuid() != 0:  # whose namespace a process is in, only root may read
        for name in ("harness.kill_executor", "harness.cripple_executor"):
            wanted[name] = results(found)[name]
            assert wanted[name] in ("contained", "untested")
    assert results(found) == wanted


@pytest.mark.slow
def test_a_provider_that_waits_for_ever_is_left_waiting() -> None:
    """Inspect's local provider opens a pipe without giving way, in the loop of all others."""
    found = probe("local", "harness.pipe_as_file", "files.read_outside")
    assert results(found) == {"harness.pipe_as_file": "escaped", "files.read_outside": "escaped"}


@pytest.mark.slow
@pytest.mark.parametrize(("provider", "mostly"), [("local", "escaped"), ("custodes", "contained")])
def test_the_whole_battery(provider: str, mostly: str) -> None:
    found = results(probe(provider))
    assert set(found) == set(registered())
    other = "contained" if mostly == "escaped" else "escaped"
    counts = {word: list(found.values()).count(word) for word in (mostly, other)}
    assert counts[mostly] >= 60
    if provider == "custodes":
        assert counts[other] == 0, [name for name, result in found.items() if result == other]


def test_a_provider_that_starts_nothing_is_one_line(tmp_path: Path) -> None:
    compose = tmp_path / "compose.yaml"
    compose.write_text("services: {}\n")
    found = probe(
        "docker",
        "files.read_outside",
        config=str(compose),
        DOCKER_HOST=f"unix://{tmp_path}/none",
    )
    line = found["refused"]
    assert "'docker' starts a sandbox, found: " in line and "\n" not in line


COMPOSE = """
x-inspect_docker_sandbox:
  unsafe_allow_writable_host_mounts: true
services:
  default:
    image: {image}
    x-local: true
    command: ["sleep", "600"]
    network_mode: none
    working_dir: /w
    volumes: ["${{CUSTODES_WORKSPACE}}:/w"]
"""


@pytest.mark.slow
def test_a_container_of_inspects_docker_provider(tmp_path: Path) -> None:
    usable, reason = engine_state()
    if not usable:
        pytest.skip(reason)
    from ..containment.test_probe_command import root_file_system

    image = "localhost/custodes-provider-test:latest"
    tar = root_file_system(tmp_path)
    subprocess.run(["docker", "import", str(tar), image], check=True, capture_output=True)
    compose = tmp_path / "compose.yaml"
    compose.write_text(COMPOSE.format(image=image))
    try:
        found = results(probe("docker", *NAMES, config=str(compose)))
    finally:
        subprocess.run(["docker", "rmi", "-f", image], capture_output=True, check=False)
    assert found["resources.large_file"] == "escaped"  # nothing bounds it there
    assert found["harness.kill_executor"] == "contained"
    for name in NAMES[:6]:
        assert found[name] == "contained", name
