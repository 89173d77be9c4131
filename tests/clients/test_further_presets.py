"""opencode and mini-SWE-agent: what is done to their words, files and outputs."""

from __future__ import annotations

import json

import pytest
import yaml

from custodes.clients import PROMPT, ClientError, Preset
from custodes.clients.presets._mini_swe_agent import MINI_SWE_AGENT
from custodes.clients.presets._opencode import OPENCODE

GATEWAY = "http://127.0.0.1:8787/v1"


def test_opencode_asks_its_model_through_the_gateway() -> None:
    path = ".config/opencode/opencode.json"
    assert json.loads(OPENCODE.base_files[path])["model"] == "gateway/gpt-5"
    given = b"""{
      // the team's
      "model": "anthropic/claude-x", "permission": {"bash": "ask"},
      "provider": {"anthropic": {"options": {"baseURL": "https://elsewhere.example"}}},
      "mcp": {"docs": {"type": "local", "command": ["docs-mcp"]}},
    }"""
    tree = json.loads(OPENCODE.adapted(f"{path}c", given))
    assert tree["model"] == "gateway/claude-x"
    assert list(tree["provider"]) == ["gateway"]
    assert tree["provider"]["gateway"]["options"]["baseURL"] == GATEWAY
    assert tree["permission"] == {"bash": "ask"}
    assert tree["mcp"] == {"docs": {"type": "local", "command": ["docs-mcp"]}}
    assert OPENCODE.adapted(".config/opencode/AGENTS.md", b"{") == b"{"
    with pytest.raises(ClientError, match="expected JSON in"):
        OPENCODE.adapted(path, b"{")


def test_opencode_has_its_options_after_run() -> None:
    words = ("opencode", "run", "--agent", "build", PROMPT)
    assert OPENCODE.unguarded is not None and OPENCODE.resumed is not None
    free = OPENCODE.unguarded(words)
    assert free == ("opencode", "run", "--dangerously-skip-permissions", *words[2:])
    assert OPENCODE.unguarded(free) == free
    again = OPENCODE.resumed(words)
    assert again == ("opencode", "run", "--continue", *words[2:])
    assert OPENCODE.resumed(again) == again


def test_opencode_tells_scripts_how_a_command_ended() -> None:
    name, arguments = OPENCODE.tooling.call("exit 3", ["read", "bash"])
    assert name == "bash"
    assert arguments["command"] == '(\nexit 3\n) || echo "[exit code $?]"'
    with pytest.raises(ClientError, match="expected the tool bash of opencode"):
        OPENCODE.tooling.call("ls", ["read"])


@pytest.mark.parametrize(
    ("preset", "text", "output"),
    [
        (OPENCODE, "hi\n", "hi"),
        (OPENCODE, "(no output)", ""),
        (OPENCODE, "hi\n[exit code 3]\n", "hi\n[exit code 3]"),
        (OPENCODE, "[exit code 1]\n", "[exit code 1]"),
        (MINI_SWE_AGENT, '{\n "returncode": 3,\n "output": "hi\\n"\n}', "hi\n[exit code 3]"),
        (MINI_SWE_AGENT, '{"returncode": 0, "output": ""}', ""),
        (
            MINI_SWE_AGENT,
            '{"returncode": 0, "output_head": "a", "output_tail": "z\\n", "elided_chars": 9}',
            "a\n[... 9 characters left out ...]\nz",
        ),
        (MINI_SWE_AGENT, "no JSON", "no JSON"),
    ],
)
def test_outputs_come_back_as_scripts_read_them(preset: Preset, text: str, output: str) -> None:
    assert preset.tooling.output(text) == output


@pytest.mark.parametrize(
    ("preset", "text", "by"),
    [
        (OPENCODE, "The user rejected permission to use this specific tool call.", "permission"),
        (OPENCODE, "hi\n", None),
        (
            MINI_SWE_AGENT,
            '{"returncode": -1, "output": "", "exception_info": "action was not executed"}',
            "permission",
        ),
        (MINI_SWE_AGENT, '{"returncode": 1, "output": "permission denied"}', None),
    ],
)
def test_refusals_are_told_from_failures(preset: Preset, text: str, by: str | None) -> None:
    assert preset.tooling.denied(text) == by


def test_mini_asks_its_model_by_the_gateways_protocol() -> None:
    folder = ".config/mini-swe-agent"
    variables = b"MSWEA_MODEL_NAME='anthropic/claude-x'\nANTHROPIC_API_KEY=placeholder\nA=b\n"
    assert MINI_SWE_AGENT.adapted(f"{folder}/.env", variables) == (
        b"MSWEA_MODEL_NAME=openai/claude-x\nA=b\n"
    )
    given = yaml.safe_dump(
        {
            "agent": {"mode": "confirm"},
            "model": {"model_name": "x/m", "model_kwargs": {"api_base": "https://a", "top_p": 1}},
        }
    )
    assert yaml.safe_load(MINI_SWE_AGENT.adapted(f"{folder}/mine.yaml", given.encode())) == {
        "agent": {"mode": "confirm"},
        "model": {"model_name": "openai/m", "model_kwargs": {"top_p": 1}},
    }
    assert MINI_SWE_AGENT.environment["OPENAI_BASE_URL"] == GATEWAY
    assert MINI_SWE_AGENT.resumed is None


def test_mini_ends_with_a_call() -> None:
    ending = getattr(MINI_SWE_AGENT.tooling, "ending")  # noqa: B009 - no part of the contract yet
    assert ending(["bash"]) == ("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"})
