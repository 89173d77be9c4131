"""What a user is told before an installed agent runs, and of one that cannot be assessed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from custodes.case import Case, agent_config
from custodes.clients import Deployment, _detect
from custodes.containment import Sandbox, SandboxUnavailable
from custodes.runs import _agents

from ..runs.cases import call
from .faking import FAKE, deployment

Resolved = Callable[[Deployment], None]


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """Whatever agent is asked for, this one is found."""

    def use(found: Deployment) -> None:
        monkeypatch.setattr(_agents, "deployment_of", lambda spec: found)

    return use


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def binary(folder: Path, name: str) -> None:
    shutil.copy(shutil.which("true", path="/usr/bin:/bin") or "/bin/true", folder / name)


def refused(tmp_path: Path, *words: str) -> str:
    """The one line that a refusal comes to; no case is left behind."""
    case = tmp_path / "case"
    done = call("assess", case, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("custodes: ")
    assert not case.exists()
    return line


# --- agents that cannot be assessed --------------------------------------------------------------


def test_an_agent_that_is_not_installed(tmp_path: Path, alone: Path) -> None:
    line = refused(tmp_path, "--agent", "claude-code")
    assert "found no program claude on the PATH" in line
    assert "install it, or name the program by its path" in line


def test_an_agent_that_is_too_old(
    tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary(alone, "claude")
    monkeypatch.setattr(_detect, "_asked", lambda *_: "1.0.9")
    line = refused(tmp_path, "--agent", "claude-code")
    assert "expected Claude Code 2.0.0 or newer, found 1.0.9" in line
    assert line.endswith("update it")


def test_an_agent_whose_node_is_missing(tmp_path: Path, alone: Path) -> None:
    script = alone / "gemini"
    script.write_text("#!/usr/bin/env node\n")
    script.chmod(0o755)
    line = refused(tmp_path, "--agent", "gemini-cli")
    assert "expected node, which runs gemini, on the PATH, found none; install it" in line


def test_no_sandbox_to_ask_it_in(
    tmp_path: Path, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary(alone, "claude")

    async def none(*_: object) -> object:
        raise SandboxUnavailable("no user namespaces: set kernel.unprivileged_userns_clone to 1")

    monkeypatch.setattr(Sandbox, "start", none)
    line = refused(tmp_path, "--agent", "claude-code")
    assert "could not be shown in a sandbox: no user namespaces" in line


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("vim -es", "expected a command of a known agent"),
        ("claude 'unclosed", "expected the words of a command"),
        ("", "expected a command, found an empty one"),
    ],
)
def test_words_that_are_no_agent(tmp_path: Path, command: str, told: str) -> None:
    assert told in refused(tmp_path, "--agent", command)


def test_a_configuration_folder_that_is_not_there(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    line = refused(tmp_path, "--agent", "claude-code", "--config", missing)
    assert f"expected the agent's configuration folder at {missing}, found none" in line


def test_a_configuration_of_nobody(tmp_path: Path) -> None:
    line = refused(tmp_path, "--config", str(tmp_path))
    assert line == "custodes: expected --agent beside --config, found none; say whose it is"


def test_no_key_for_its_models_server(
    tmp_path: Path, resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAKE_KEY", raising=False)
    resolved(deployment(key_variable="FAKE_KEY", upstream="https://models.example"))
    case = tmp_path / "case"
    Case.create(case, agent_config("claude-code", {"preset": "claude-code"})).close()
    done = call("assess", case)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "expected the key of https://models.example in FAKE_KEY, found none" in line
    assert "the agent is given a placeholder" in line
    events = (case / "ledger.jsonl").read_text("utf-8")
    assert "plan.fixed" not in events  # refused before anything was written down


def test_scripts_that_play_its_model_need_no_key(
    resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    from custodes.runs import make_plan

    monkeypatch.delenv("FAKE_KEY", raising=False)
    resolved(deployment(key_variable="FAKE_KEY"))
    plan = make_plan(agent_config("claude-code", {"preset": "claude-code"}))
    scripted = [shard for shard in plan.shards if shard.subject.policy is not None]
    _agents.check_keys(scripted, {})
    with pytest.raises(_agents.AgentUnfit, match="FAKE_KEY"):
        _agents.check_keys(plan.shards, {})
    _agents.check_keys(plan.shards, {"FAKE_KEY": "k"})


@pytest.mark.parametrize("more", [(), ("--allow-uncontained",)])
def test_an_agent_without_a_sandbox_is_refused_whatever_is_allowed(
    tmp_path: Path, resolved: Resolved, more: tuple[str, ...]
) -> None:
    resolved(deployment())
    case = tmp_path / "case"
    config = agent_config("claude-code", {"preset": "claude-code"})
    plain = config.model_copy(update={"plan": config.plan.model_copy(update={"tier": "C"})})
    Case.create(case, type(config).model_validate(plain.to_json())).close()
    done = call("assess", case, *more)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "expected tier A for an installed agent, found tier C" in line
    assert "set plan.tier to A" in line


def test_cells_that_want_safeguards_off_which_cannot_be(tmp_path: Path, resolved: Resolved) -> None:
    resolved(deployment(replace(FAKE, unguarded=None)))
    line = refused(tmp_path, "--agent", "claude-code")
    assert "expected cells with the safeguards 'deployed', found covert-enforced" in line
    assert line.endswith("plan covert-deployed")


# --- what is said before it runs -----------------------------------------------------------------


AGENT = replace(
    deployment(
        settings={"deny": []}, key_variable="FAKE_KEY", upstream="https://models.example/v1"
    ),
    replaced=("settings.json: env.TOKEN (token)", "mcp.json: args (key)"),
    left_out=("history.jsonl: history",),
)


def test_the_plan_says_what_runs_what_is_copied_and_what_leaves(
    tmp_path: Path, resolved: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KEY", "sk-never-shown-7261")
    resolved(AGENT)
    done = call("assess", tmp_path / "case", "--agent", "claude-code", "--plan")
    assert done.returncode == 0
    said = done.stdout
    assert "nothing is run now" in said
    assert "runs Fake 1.2.3 (tested) for claude-code, claude-code.honest, claude-code.violator" in (
        said
    )
    assert f"{AGENT.installed.program}, in a sandbox" in said
    assert "command: fake -p {prompt}" in said
    assert "configuration: 1 files in an empty home; secrets replaced by placeholders: 2" in said
    assert "FAKE_KEY (set) is sent to https://models.example/v1" in said
    assert (
        "leaves this machine for models.example: the prompts of claude-code, its own words, "
        in (said)
    )
    assert "the files of its configuration" in said
    assert said.count("leaves this machine") == 1  # scripts ask nobody
    assert "sk-never-shown" not in said
    assert not (tmp_path / "case").exists()


def test_the_plan_as_data(tmp_path: Path, resolved: Resolved) -> None:
    resolved(AGENT)
    done = call("assess", tmp_path / "case", "--agent", "claude-code", "--plan", "--json")
    subjects = json.loads(done.stdout)["subjects"]
    assert [s["leaves"] for s in subjects] == ["models.example", None, None]
    assert {tuple(s["agent"]["replaced"]) for s in subjects} == {AGENT.replaced}
    model, *scripts = subjects
    # Its own prompt and tools are read in every turn.
    assert model["tokens"] > model["calls"] * 15_000
    assert [s["tokens"] for s in scripts] == [0, 0]


def test_the_same_agent_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from custodes.runs import make_plan

    asked: list[object] = []

    def count(spec: object) -> Deployment:
        asked.append(spec)
        return AGENT

    monkeypatch.setattr(_agents, "deployment_of", count)
    plan = make_plan(agent_config("claude-code", {"preset": "claude-code"}))
    assert len(asked) == 1
    assert all(subject.deployment is AGENT for subject in plan.subjects)


def test_an_agent_on_the_command_line_is_met_with_its_own_safeguards(resolved: Resolved) -> None:
    from custodes.runs import PlanError, make_plan
    from custodes.types import Safeguards

    from ..runs.cases import config

    resolved(AGENT)
    bare = config(policies=("honest",), cells=("none-off", "none-deployed"))
    document = bare.to_json()
    document["plan"]["subjects"].append({"id": "mine", "role": "subject", "model": "mockllm/x"})
    spec = {"preset": "claude-code"}
    with pytest.raises(PlanError, match="of honest: a bare model has no safeguards of its own"):
        make_plan(type(bare).model_validate(document), agent=spec)
    document["plan"]["subjects"][0]["cells"] = ["none-off"]
    plan = make_plan(type(bare).model_validate(document), agent=spec)
    met = {(shard.subject.id, key.cell.safeguards) for shard in plan.shards for key in shard.keys}
    assert ("mine", Safeguards.DEPLOYED) in met
    assert ("honest", Safeguards.DEPLOYED) not in met
