"""The pinned clients, started in a sandbox as an episode starts them, say what the presets read."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from custodes.clients import (
    DIALECTS,
    GATEWAY_PORT,
    ClientError,
    Deployment,
    Gateway,
    Heard,
    Payload,
    ScriptedProvider,
    Spoken,
    detect,
)
from custodes.clients.presets import PRESETS
from custodes.containment import ExecResult, Sandbox, SandboxSpec
from custodes.scenarios import Move, bash

from ..gate.clients import installed as pinned
from ..gate.trialling import needs_bubblewrap

pytestmark = pytest.mark.slow

CLIENTS = pytest.mark.parametrize("name", ["claude-code", "codex", "gemini-cli"])
SECONDS = 180.0
# Newer models of Codex are offered one tool that runs JavaScript, and these do not need it.
MODEL = b'model = "gpt-5.5"\n'


@dataclass
class Driven:
    """What a client was seen to do. ``returns`` are texts of tool results, by their order."""

    ends: list[ExecResult] = field(default_factory=list)
    tools: set[str] = field(default_factory=set)
    returns: dict[str, str] = field(default_factory=dict)
    requests: list[Heard] = field(default_factory=list)

    async def heard(self, exchange: int, heard: Heard) -> None:
        self.requests.append(heard)
        self.tools |= set(heard.tools)
        self.returns |= {answer.id: answer.text for answer in heard.returns}

    async def spoken(self, exchange: int, heard: Heard, spoken: Spoken) -> None: ...

    def failed(self, exchange: int, status: int, problem: str) -> None:
        raise AssertionError(problem)

    def beside(self, method: str, path: str, status: int) -> None: ...


def deployment(name: str, repository: Path, words: str, files: Mapping[str, bytes]) -> Deployment:
    needs_bubblewrap()
    preset = PRESETS[name]
    program = pinned(name, repository / "build" / "clients")
    given = {path: text.encode() for path, text in preset.base_files.items()}
    if name == "codex":
        given[".codex/config.toml"] = MODEL
    return Deployment(
        preset=preset,
        spec={"preset": name},
        words=tuple(words.split()) or preset.default,
        installed=detect(preset, [str(program)]),
        home={path: preset.adapted(path, text) for path, text in {**given, **files}.items()},
        upstream=preset.upstream,
        key_variable=preset.key_variable,
    )


def driven(agent: Deployment, commands: Sequence[str], *, guarded: bool, held: int = -1) -> Driven:
    """Give a client commands, one an answer.

    Args:
        held: the answer to this request is held back until the client was interrupted, and the
            client is started again with another message.
    """
    return asyncio.run(_driven(agent, commands, guarded=guarded, held=held))


async def _driven(
    agent: Deployment, commands: Sequence[str], *, guarded: bool, held: int
) -> Driven:
    dialect, tooling = DIALECTS[agent.preset.dialect], agent.preset.tooling
    seen, asked = Driven(), 0
    due, ended = threading.Event(), threading.Event()

    def answer(method: str, path: str, body: bytes) -> Payload:
        nonlocal asked
        if not dialect.wants(method, path.partition("?")[0]):
            return dialect.beside(method, path, body)
        heard = dialect.heard(path, body)
        if not heard.tools:
            return dialect.speak(path, body, Move(text="ok"), tooling)
        at, asked = asked, asked + 1
        if at == held:
            due.set()
            ended.wait(SECONDS)
        try:
            move = bash(commands[at]) if at < len(commands) else Move(text="Done.")
            return dialect.speak(path, body, move, tooling)
        except ClientError:
            return dialect.speak(path, body, Move(text="There is no shell."), tooling)

    sandbox = await Sandbox.start(SandboxSpec(read_only=agent.installed.mounts))
    gateway = Gateway(dialect=dialect, provider=ScriptedProvider(answer), watch=seen)
    try:
        for path, content in agent.home.items():
            await sandbox.write_file(f"/home/dev/{path}", content)
        await gateway.serve(await sandbox.listen(GATEWAY_PORT))

        async def start(prompt: str, resumed: bool) -> None:
            launch = agent.launch(prompt, guarded=guarded, resumed=resumed)
            seen.ends.append(
                await sandbox.exec(
                    launch.argv, env=launch.environment, input=launch.stdin, timeout=SECONDS
                )
            )

        running = asyncio.create_task(start("the first task", resumed=False))
        if held >= 0:
            await asyncio.to_thread(due.wait, SECONDS)
            await sandbox.exec(["sh", "-c", "trap '' INT; kill -INT -1"])
        await running
        ended.set()
        if held >= 0:
            await start("the second message", resumed=True)
    finally:
        ended.set()
        await gateway.close()
        await sandbox.close()
    return seen


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("claude-code", {}),
        ("codex", {}),
        ("codex", {".codex/config.toml": b""}),
        ("gemini-cli", {}),
    ],
    ids=["claude-code", "codex", "codex-with-its-default-model", "gemini-cli"],
)
def test_commands_come_back_as_our_own_shell_tool_gives_them(
    name: str, files: Mapping[str, bytes], repository: Path
) -> None:
    expected = {
        "echo hello; echo err >&2": "hello\nerr",
        "echo out; exit 3": "out\n[exit code 3]",
        "true": "",
        "printf 'a\\n\\nb\\n'": "a\n\nb",
        "mkdir -p sub && cd sub && pwd": "/workspace/sub",
        "pwd": "/workspace",
    }
    agent = deployment(name, repository, "", files)
    seen = driven(agent, list(expected), guarded=False)
    assert seen.ends[0].returncode == 0, seen.ends[0]
    texts = list(seen.returns.values())
    assert [agent.preset.tooling.output(text) for text in texts] == list(expected.values())
    assert [agent.preset.tooling.denied(text) for text in texts] == [None] * len(expected)


DENY = {
    "PreToolUse": {
        "hookSpecificOutput": {
            "hookEventName": "PreToolUse",
            "permissionDecision": "deny",
            "permissionDecisionReason": "not today",
        }
    },
    "BeforeTool": {"decision": "deny", "reason": "not today"},
}


def hooked(event: str) -> dict[str, object]:
    command = f"echo '{json.dumps(DENY[event])}'"
    return {
        "hooks": {event: [{"matcher": "*", "hooks": [{"type": "command", "command": command}]}]}
    }


@pytest.mark.parametrize(
    ("name", "words", "path", "event"),
    [
        ("claude-code", "", ".claude/settings.json", "PreToolUse"),
        (
            "codex",
            "codex exec --skip-git-repo-check --dangerously-bypass-hook-trust {prompt}",
            ".codex/hooks.json",
            "PreToolUse",
        ),
        ("gemini-cli", "", ".gemini/settings.json", "BeforeTool"),
    ],
    ids=["claude-code", "codex", "gemini-cli"],
)
def test_a_hook_that_denies_is_recognised(
    name: str, words: str, path: str, event: str, repository: Path
) -> None:
    files = {path: json.dumps(hooked(event)).encode()}
    agent = deployment(name, repository, words, files)
    seen = driven(agent, ["echo hello"], guarded=False)
    (text,) = seen.returns.values()
    assert agent.preset.tooling.denied(text) == "hook"
    assert "not today" in text


@pytest.mark.parametrize(
    ("name", "words", "by"),
    [
        ("claude-code", "claude -p {prompt} --permission-mode default", "permission"),
        ("claude-code", "claude -p {prompt} --permission-mode dontAsk", "permission"),
        ("claude-code", "claude -p {prompt} --permission-mode acceptEdits", None),
        ("codex", "codex exec --skip-git-repo-check {prompt}", "sandbox"),
        ("codex", "codex exec --skip-git-repo-check -s workspace-write {prompt}", "sandbox"),
        ("codex", "codex exec --skip-git-repo-check -s danger-full-access {prompt}", None),
    ],
)
def test_what_a_clients_own_mode_does_with_a_write(
    name: str, words: str, by: str | None, repository: Path
) -> None:
    agent = deployment(name, repository, words, {})
    seen = driven(agent, ["echo x > made.txt"], guarded=True)
    (text,) = seen.returns.values()
    assert agent.preset.tooling.denied(text) == by


def test_gemini_cli_offers_no_shell_where_nobody_can_be_asked(repository: Path) -> None:
    agent = deployment("gemini-cli", repository, "", {})
    seen = driven(agent, ["ls"], guarded=True)
    assert "read_file" in seen.tools
    assert "run_shell_command" not in seen.tools


@CLIENTS
def test_an_interrupted_client_goes_on_with_its_session(name: str, repository: Path) -> None:
    agent = deployment(name, repository, "", {})
    seen = driven(agent, ["echo one", "echo never", "echo two"], guarded=False, held=1)
    assert len(seen.ends) == 2
    last = seen.requests[-1]
    user = "\n".join(last.user)
    assert user.index("the first task") < user.index("the second message")
    # Gemini CLI tells the result of a call of the earlier session twice.
    texts = {answer.id: answer.text for answer in last.returns}
    assert [agent.preset.tooling.output(text) for text in texts.values()] == ["one", "two"]
