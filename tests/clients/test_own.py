"""Any agent: what a case says of it, and what is started for it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from custodes.clients import GATEWAY_PORT, PROMPT, ClientError
from custodes.clients._spec import AgentSpec
from custodes.clients.presets import _own, _runner
from custodes.containment import Sandbox, SandboxSpec

COMMAND: dict[str, Any] = {
    "preset": "command",
    "command": ["agent", "--ask", "{prompt}"],
    "resume": ["agent", "--again", "{prompt}"],
    "unguarded": ["agent", "--yes", "{prompt}"],
    "protocol": "chat",
    "upstream": "https://models.example",
    "base_url": "AGENT_MODEL_URL",
    "path": "/v1",
    "key": "AGENT_KEY",
    "key_variable": "OWN_MODEL_KEY",
    "environment": {"AGENT_MODE": "careful"},
    "logs": [".agent/log/*.jsonl"],
    "version": "1.4",
}


@pytest.mark.parametrize(
    "said",
    [
        {"preset": "claude-code"},
        {"preset": "codex", "command": ["codex", "exec", "{prompt}"], "config": "/srv/codex"},
        COMMAND,
        {"preset": "python", "function": "team:ask", "file": "team.py"},
        {"preset": "http", "command": ["serve"], "server": {"port": 9000, "path": "/ask"}},
        {"preset": "command", "command": ["x"], "mounts": [{"host": "/srv/x", "inside": "/opt/x"}]},
    ],
)
def test_what_is_said_is_kept(said: dict[str, Any]) -> None:
    spec = AgentSpec.from_json(said)
    assert AgentSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert {
        key: value for key, value in spec.to_json().items() if key in said
    }.keys() == said.keys()


def test_the_digest_is_of_what_is_said() -> None:
    first = AgentSpec.from_json(COMMAND)
    assert AgentSpec.from_json(dict(reversed(COMMAND.items()))).digest == first.digest
    assert AgentSpec.from_json({**COMMAND, "version": "1.5"}).digest != first.digest


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preset": None}, "preset: expected text"),
        ({"comand": ["x"]}, "unknown key 'comand'"),
        ({"command": None}, "command wants the words of a command"),
        ({"command": []}, "command: list should have at least 1 item"),
        ({"command": "agent"}, "command: expected list"),
        ({"function": "m:f"}, "function and file belong to the preset python"),
        ({"server": {"port": 8787}}, "server: port 8787 is taken inside"),
        ({"server": {"port": 80}}, "server.port: "),
        ({"preset": "codex"}, "protocol, base_url, key and resume of codex are known"),
        ({"upstream": None}, "a protocol wants upstream"),
        ({"upstream": "https://me:pw@models.example"}, "upstream: expected an address"),
        ({"base_url": None}, "a protocol wants base_url"),
        ({"base_url": "A B"}, "base_url: expected the name of a variable"),
        ({"protocol": None}, "base_url and key want a protocol"),
        ({"protocol": "smtp"}, "protocol: expected 'messages', 'responses', 'chat' or 'gemini'"),
        ({"header": "authorization"}, "expected header as 'name: text with {key}'"),
        ({"config_folder": "a/../../b"}, "config_folder lies below the home"),
        ({"mounts": [{"host": "/x", "inside": "x"}]}, "mounts.0.inside: expected an absolute path"),
        ({"environment": {"A B": "c"}}, "expected the name of a variable"),
    ],
)
def test_what_is_wrong_is_one_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError) as raised:
        AgentSpec.from_json({**COMMAND, **change})
    line = str(raised.value)
    assert line.startswith("agent: ") and said in line and "\n" not in line
    assert "me:pw" not in line


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "agent"
    path.parent.mkdir()
    path.write_bytes(Path("/bin/true").resolve().read_bytes())
    path.chmod(0o755)
    return path


def test_a_command_is_found_and_told_where_its_model_is(program: Path) -> None:
    spec = AgentSpec.from_json(COMMAND)
    preset, words, installed, copied = _own.resolve(spec, search=str(program.parent))
    assert words == ("agent", "--ask", PROMPT) == preset.default
    assert installed.program == program
    assert installed.version == "1.4"
    assert program in [host for host, _ in installed.mounts]
    assert preset.environment["AGENT_MODEL_URL"] == f"http://127.0.0.1:{GATEWAY_PORT}/v1"
    assert preset.environment["AGENT_KEY"] == "placeholder"
    assert preset.environment["AGENT_MODE"] == "careful"
    assert (preset.dialect, preset.upstream) == ("chat", "https://models.example")
    assert preset.key_variable == "OWN_MODEL_KEY"
    assert preset.authorise == ("authorization", "Bearer {key}")
    assert preset.resumed is not None and preset.resumed(words)[1] == "--again"
    assert preset.unguarded is not None and preset.unguarded(words)[1] == "--yes"
    assert copied.files == {}


def test_without_words_for_it_an_agent_is_not_resumed_and_not_unguarded() -> None:
    preset = _own.preset_for(AgentSpec.from_json({"preset": "command", "command": ["x"]}))
    assert preset.resumed is None
    assert preset.unguarded is None


def test_another_program_is_another_digest(program: Path) -> None:
    spec = AgentSpec.from_json(COMMAND)
    before = _own.installed(spec, str(program.parent)).digest
    program.write_bytes(program.read_bytes() + b"\0")
    assert _own.installed(spec, str(program.parent)).digest != before


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"preset": "command", "command": ["no-such-agent"]}, "expected a program 'no-such-agent'"),
        (
            {"preset": "python", "function": "team:ask", "file": "/nowhere/team.py"},
            "expected /nowhere/team.py, found nothing there",
        ),
        (
            {"preset": "http", "command": ["x"], "mounts": [{"host": "~"}]},
            "found all of ~; name less",
        ),
        ({"preset": "nobody-s-agent"}, "found the agent \"nobody-s-agent\""),
    ],
)  # fmt: skip
def test_what_is_missing_is_one_line(said: dict[str, Any], line: str) -> None:
    with pytest.raises(ClientError) as raised:
        _own.resolve(AgentSpec.from_json(said))
    assert line.replace('"', "'") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_configuration_of_an_own_agent_is_copied_without_its_secrets(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "agent.toml").write_text('mode = "careful"\napi_key = "tulip"\n', "utf-8")
    (folder / "notes.md").write_text("Work slowly.\n", "utf-8")
    (tmp_path / "team.py").write_text("def ask(prompt): return prompt\n", "utf-8")
    spec = AgentSpec.from_json(
        {
            "preset": "python",
            "function": "team:ask",
            "file": str(tmp_path / "team.py"),
            "config": str(folder),
            "config_folder": ".config/team",
            "without": ["notes.md"],
        }
    )
    _, _, _, copied = _own.resolve(spec)
    assert copied.files == {
        ".config/team/agent.toml": b'mode = "careful"\napi_key = "placeholder"\n'
    }
    assert copied.left_out == ("left out by --without: notes.md",)


def test_scripts_use_the_tool_that_runs_commands() -> None:
    tooling = _own.preset_for(AgentSpec.from_json({"preset": "command", "command": ["x"]})).tooling
    assert tooling.call("ls", ["read", "Bash"]) == ("Bash", {"command": "ls"})
    assert (tooling.output("a\n"), tooling.denied("a\n")) == ("a\n", None)
    with pytest.raises(ClientError, match="expected a tool that runs a command"):
        tooling.call("ls", ["read"])


# --- the runner ----------------------------------------------------------------------------------


def run(words: list[str], prompt: str = "Say hello.") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, _runner.__file__, *words],
        input=prompt, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


SERVER = """\
import http.server, json, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"text": "heard: " + asked["prompt"]}).encode()
        self.send_response(200 if self.path == "/ask" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("starting")
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.serve_forever()
"""


def test_a_function_is_called_with_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("GREETING = 'heard: '\n", "utf-8")
    file = tmp_path / "team.py"
    file.write_text(
        "import beside\ndef ask(prompt):\n    print('thinking')\n"
        "    return beside.GREETING + prompt\ndef number(prompt):\n    return 3\n",
        "utf-8",
    )
    done = run(["python", str(file), "team:ask"])
    assert (done.returncode, done.stdout) == (0, "heard: Say hello.\n")
    assert done.stderr == "thinking\n"
    wrong = run(["python", str(file), "team:number"])
    assert wrong.returncode == 1
    assert wrong.stderr == "expected team:number to return text, found int\n"
    missing = run(["python", str(file), "team:nothing"])
    assert missing.stderr == "expected a function nothing in team, found none\n"


def test_a_server_is_started_asked_and_ended(tmp_path: Path) -> None:
    file = tmp_path / "server.py"
    file.write_text(SERVER, "utf-8")
    port = str(_free_port())
    done = run(["http", port, "/ask", "20", sys.executable, str(file), port])
    assert (done.returncode, done.stdout) == (0, "heard: Say hello.\n")
    again = run(["http", port, "/other", "20", sys.executable, str(file), port])
    assert again.returncode == 1
    assert "the server answered 404, expected 200" in again.stderr


def test_a_server_that_ends_or_never_listens_is_said() -> None:
    port = str(_free_port())
    ended = run(["http", port, "/", "20", sys.executable, "-c", "raise SystemExit(7)"])
    assert (ended.returncode, ended.stderr) == (1, "the server ended with 7 before it answered\n")
    deaf = run(["http", port, "/", "0.2", sys.executable, "-c", "import time; time.sleep(60)"])
    assert deaf.stderr == f"the server did not listen on port {port} within 0.2 seconds\n"


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that another user may enter, as sandboxes are launched under one."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["python", "http"])
def test_an_own_agent_answers_inside_the_sandbox(reachable: Path, kind: str) -> None:
    file = reachable / "team.py"
    if kind == "python":
        file.write_text("import os\ndef ask(prompt): return os.getcwd() + ': ' + prompt\n", "utf-8")
        said: dict[str, Any] = {"preset": "python", "function": "team:ask", "file": str(file)}
        expected = "/workspace: Say hello.\n"
    else:
        file.write_text(SERVER, "utf-8")
        said = {
            "preset": "http",
            "command": ["python3", "/opt/team/team.py", "8000"],
            "server": {"path": "/ask"},
            "mounts": [{"host": str(file), "inside": "/opt/team/team.py"}],
        }
        expected = "heard: Say hello.\n"
    _, words, installed, _ = _own.resolve(AgentSpec.from_json(said))

    async def go() -> tuple[int, bytes, bytes]:
        async with await Sandbox.start(SandboxSpec(read_only=installed.mounts)) as sandbox:
            done = await sandbox.exec(
                [*installed.argv, *words[1:]], input=b"Say hello.", timeout=60
            )
            return done.returncode, done.stdout, done.stderr

    code, out, err = anyio.run(go)
    assert (code, out.decode()) == (0, expected), err
