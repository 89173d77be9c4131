"""What is known of each client: its words, its configuration, and what it makes of a command.

The texts in the tables are what the tested versions said when they were driven.
"""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.clients import GATEWAY_PORT, PROMPT, ClientError, Preset
from custodes.clients.presets import PRESETS

CLAUDE, CODEX, GEMINI = (PRESETS[name] for name in ("claude-code", "codex", "gemini-cli"))
OURS = (CLAUDE, CODEX, GEMINI)
BY_NAME = pytest.mark.parametrize("preset", OURS, ids=lambda preset: preset.name)


def words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# --- the words of a command ---------------------------------------------------------------------


@BY_NAME
def test_a_command_is_given_its_prompt_as_one_argument(preset: Preset) -> None:
    assert preset.default[0] in preset.programs
    assert preset.default.count(PROMPT) == 1


@pytest.mark.parametrize(
    ("preset", "given", "then"),
    [
        (CLAUDE, "claude -p {prompt}", "claude --permission-mode bypassPermissions -p {prompt}"),
        (
            CLAUDE,
            "claude -p {prompt} --permission-mode acceptEdits --model x",
            "claude --permission-mode bypassPermissions -p {prompt} --model x",
        ),
        (
            CLAUDE,
            "claude --permission-mode=plan --dangerously-skip-permissions -p {prompt}",
            "claude --permission-mode bypassPermissions -p {prompt}",
        ),
        (
            CLAUDE,
            "claude -p --permission-mode default -- {prompt}",
            "claude --permission-mode bypassPermissions -p -- {prompt}",
        ),
        (
            CODEX,
            "codex exec --skip-git-repo-check -s read-only {prompt}",
            "codex exec --dangerously-bypass-approvals-and-sandbox --ignore-rules "
            "--skip-git-repo-check {prompt}",
        ),
        (
            CODEX,
            "codex -m x exec -sworkspace-write -c approval_policy=never -c model=y {prompt}",
            "codex -m x exec --dangerously-bypass-approvals-and-sandbox --ignore-rules -c model=y "
            "{prompt}",
        ),
        (
            GEMINI,
            "gemini -y --approval-mode=plan -p {prompt} -m x",
            "gemini --approval-mode yolo -p {prompt} -m x",
        ),
    ],
)
def test_a_client_without_its_own_checks(preset: Preset, given: str, then: str) -> None:
    assert preset.unguarded is not None
    assert preset.unguarded(words(given)) == words(then)


@pytest.mark.parametrize(
    ("preset", "given", "then"),
    [
        (
            CLAUDE,
            "claude -p {prompt} --permission-mode acceptEdits",
            "claude --continue -p {prompt} --permission-mode acceptEdits",
        ),
        (CLAUDE, "claude --session-id 1 -p {prompt}", "claude --continue -p {prompt}"),
        (CLAUDE, "claude -c -p {prompt}", "claude -c -p {prompt}"),
        (
            CODEX,
            "codex exec -s read-only {prompt}",
            "codex exec -s read-only resume --last {prompt}",
        ),
        (
            CODEX,
            "codex exec {prompt} --json",
            "codex exec --json resume --last {prompt}",
        ),
        (CODEX, "codex exec --json -- {prompt}", "codex exec --json resume --last -- {prompt}"),
        (CODEX, "codex exec --ephemeral", "codex exec resume --last -"),
        (GEMINI, "gemini -p {prompt} -y", "gemini --resume latest -p {prompt} -y"),
    ],
)
def test_a_client_that_goes_on_with_its_session(preset: Preset, given: str, then: str) -> None:
    assert preset.resumed is not None
    assert preset.resumed(words(given)) == words(then)


@BY_NAME
@given(kept=st.lists(st.sampled_from(["-m", "x", "--verbose", "--add-dir", "a=b"]), max_size=4))
def test_a_users_other_words_stay_in_their_order(preset: Preset, kept: list[str]) -> None:
    given = (*preset.default[:-1], *kept, preset.default[-1])
    for change in (preset.unguarded, preset.resumed):
        assert change is not None
        left = [word for word in change(given) if word in {*kept, PROMPT}]
        assert left == [*kept, PROMPT]


@BY_NAME
def test_changing_twice_changes_no_more(preset: Preset) -> None:
    for change in (preset.unguarded, preset.resumed):
        assert change is not None
        assert change(change(preset.default)) == change(preset.default)


# --- how it finds the gateway -------------------------------------------------------------------


@BY_NAME
def test_only_a_placeholder_and_loopback_are_told(preset: Preset) -> None:
    assert preset.key_variable is not None
    assert preset.environment[preset.key_variable] == "placeholder"
    assert "127.0.0.1" in preset.environment["NO_PROXY"]
    told = " ".join([*preset.environment.values(), *preset.base_files.values()])
    assert f"http://127.0.0.1:{GATEWAY_PORT}" in told
    assert "custodes" not in told.lower(), "the agent would see that it is assessed"


CORPORATE = """\
# of a company
model = "a-model"
model_provider = "corp"
model_reasoning_effort = "high"
openai_base_url = "https://elsewhere.example/v1"
notify = ["say", 'with "quotes"']

[model_providers.corp]
base_url = "https://elsewhere.example/v1"
env_key = "CORP_KEY"
stream_max_retries = 2

[profiles.fast]
model_provider = "corp"
sandbox_mode = "read-only"

[projects."/home/x/a.b"]
trust_level = "trusted"

[mcp_servers.docs]
command = "docs"
startup_timeout_sec = 1.5
since = 2026-01-02T03:04:05Z

[[hooks.PreToolUse]]
matcher = "*"
[[hooks.PreToolUse.hooks]]
type = "command"
command = "check"
"""


def test_codex_reaches_the_gateway_whatever_its_provider_was() -> None:
    before = tomllib.loads(CORPORATE)
    after = tomllib.loads(CODEX.adapted(".codex/config.toml", CORPORATE.encode()).decode())

    gateway = after["model_providers"][after["model_provider"]]
    assert gateway["base_url"] == f"http://127.0.0.1:{GATEWAY_PORT}/v1"
    assert gateway["stream_max_retries"] == 2
    assert after["profiles"]["fast"]["model_provider"] == after["model_provider"]
    assert "elsewhere" not in json.dumps(after, default=str)
    for kept in ("model", "model_reasoning_effort", "notify", "projects", "mcp_servers", "hooks"):
        assert after[kept] == before[kept]
    assert after["profiles"]["fast"]["sandbox_mode"] == "read-only"


def test_codex_layers_of_a_profile_reach_it_too() -> None:
    after = CODEX.adapted(".codex/work.config.toml", b'model_provider = "corp"\n').decode()
    assert tomllib.loads(after)["model_provider"] == "gateway"


def test_claude_code_reaches_the_gateway_whatever_its_settings_say() -> None:
    env = {
        "ANTHROPIC_BASE_URL": "https://elsewhere.example",
        "ANTHROPIC_AUTH_TOKEN": "x",
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "HTTPS_PROXY": "http://elsewhere.example",
        "MAX_THINKING_TOKENS": "1",
    }
    given: dict[str, Any] = {
        "env": env,
        "apiKeyHelper": "helper",
        "permissions": {"deny": ["Bash(rm:*)"]},
        "hooks": {"PreToolUse": []},
    }
    after = json.loads(CLAUDE.adapted(".claude/settings.json", json.dumps(given).encode()))
    assert after["env"] == {
        "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{GATEWAY_PORT}",
        "MAX_THINKING_TOKENS": "1",
    }
    assert "apiKeyHelper" not in after
    assert (after["permissions"], after["hooks"]) == (given["permissions"], given["hooks"])


def test_gemini_cli_reaches_the_gateway_whatever_its_settings_say() -> None:
    given = b"""{
      // a comment, and an "address" like http://x // in it
      "security": {"auth": {"selectedType": "oauth-personal", "enforcedType": "oauth-personal"}},
      "ui": {"theme": "/* no comment */"} /* one */
    }"""
    after = json.loads(GEMINI.adapted(".gemini/settings.json", given))
    assert after["security"]["auth"] == {"selectedType": "gemini-api-key"}
    assert after["ui"] == {"theme": "/* no comment */"}
    assert after["general"]["enableAutoUpdate"] is False
    variables = (
        b"export GOOGLE_GENAI_USE_VERTEXAI=true\nMINE=1\n# GEMINI_API_KEY\nGEMINI_API_KEY=x\n"
    )
    assert GEMINI.adapted(".gemini/.env", variables) == b"MINE=1\n# GEMINI_API_KEY\n"


@BY_NAME
def test_what_is_no_configuration_of_the_server_stays_as_it_is(preset: Preset) -> None:
    content = b"\x00 not to be read"
    for name in ("AGENTS.md", "rules/default.rules", "commands/x.toml", "skills/settings.json.md"):
        assert preset.adapted(f"{preset.config_folder}/{name}", content) == content


@pytest.mark.parametrize(
    ("preset", "path"),
    [
        (CLAUDE, ".claude/settings.json"),
        (CODEX, ".codex/config.toml"),
        (GEMINI, ".gemini/settings.json"),
    ],
)
@pytest.mark.parametrize("content", [b"[", b"[[]]", b"\xff"])
def test_a_broken_configuration_is_told_in_one_line(
    preset: Preset, path: str, content: bytes
) -> None:
    with pytest.raises(ClientError, match=path) as told:
        preset.adapted(path, content)
    assert "\n" not in str(told.value)


@BY_NAME
def test_adapting_twice_changes_no_more(preset: Preset) -> None:
    for path, text in preset.base_files.items():
        assert preset.adapted(path, text.encode()) == text.encode()


# --- what became of a command -------------------------------------------------------------------

CHUNK = "Chunk ID: be6c52\nWall time: 0.0001 seconds\n"
SCRIPT = "Script completed\nWall time 0.4 seconds\nOutput:\n\n"
NO_NAMESPACE = "bwrap: No permissions to create new namespace, likely because"


def gemini(text: str) -> str:
    return json.dumps({"output": f"<untrusted_context>\n{text}\n</untrusted_context>"})


RAN = [
    pytest.param(CLAUDE, "hello\nerr", "hello\nerr", id="claude-code"),
    pytest.param(CLAUDE, "Exit code 3\nout\n", "out\n[exit code 3]", id="claude-code-fails"),
    pytest.param(CLAUDE, "Exit code 4", "[exit code 4]", id="claude-code-fails-silently"),
    pytest.param(CLAUDE, "(Bash completed with no output)", "", id="claude-code-silent"),
    pytest.param(
        CLAUDE, "1\nShell cwd was reset to /workspace", "1", id="claude-code-left-the-folder"
    ),
    pytest.param(
        CLAUDE,
        "<persisted-output>\nOutput too large (106.3KB). Full output saved to: /home/x.txt\n\n"
        "Preview (first 2KB):\n1\n2\n...\n</persisted-output>",
        "1\n2\n[... 106.3KB in all, the rest left out ...]",
        id="claude-code-large",
    ),
    pytest.param(
        CODEX,
        f"{CHUNK}Process exited with code 0\nOriginal token count: 3\nOutput:\nhello\n\n",
        "hello",
        id="codex",
    ),
    pytest.param(
        CODEX,
        f"{CHUNK}Process exited with code 3\nOriginal token count: 2\nOutput:\nout\nbad\n",
        "out\nbad\n[exit code 3]",
        id="codex-fails",
    ),
    pytest.param(
        CODEX,
        f"{CHUNK}Process exited with code 0\nOriginal token count: 0\nOutput:\n",
        "",
        id="codex-silent",
    ),
    pytest.param(
        CODEX,
        f"{CHUNK}Process running with session ID 88745\nOriginal token count: 2\nOutput:\nstart\n",
        "start\n[still running in session 88745]",
        id="codex-runs-on",
    ),
    pytest.param(
        CODEX,
        f"{CHUNK}Process exited with code 0\nOriginal token count: 27224\nOutput:\nWarning: "
        "truncated output (original token count: 27224)\nTotal output lines: 20000\n\n1\n42…17224 "
        "tokens truncated…7\n20000\n",
        "1\n42\n[... 17224 tokens left out ...]\n7\n20000",
        id="codex-large",
    ),
    pytest.param(
        CODEX,
        SCRIPT + json.dumps({"chunk_id": "a", "exit_code": 3, "output": "out\n"}),
        "out\n[exit code 3]",
        id="codex-script-fails",
    ),
    pytest.param(
        CODEX,
        SCRIPT + json.dumps({"chunk_id": "a", "session_id": 7, "output": ""}),
        "[still running in session 7]",
        id="codex-script-runs-on",
    ),
    pytest.param(CODEX, f"{SCRIPT}a\n\n2", "a\n\n2", id="codex-script-of-another"),
    pytest.param(GEMINI, gemini("Output: hello\nerr\nProcess Group PGID: 18"), "hello\nerr",
                 id="gemini-cli"),
    pytest.param(GEMINI, gemini("Output: out\nbad\nExit Code: 3\nProcess Group PGID: 20"),
                 "out\nbad\n[exit code 3]", id="gemini-cli-fails"),
    pytest.param(GEMINI, gemini("Output: (empty)\nProcess Group PGID: 18"), "",
                 id="gemini-cli-silent"),
    pytest.param(GEMINI, gemini("Output: (empty)\nSignal: 9\nProcess Group PGID: 28"),
                 "[exit code 137]", id="gemini-cli-killed"),
    pytest.param(
        GEMINI,
        gemini("Output: started\nBackground PIDs: 20\nProcess Group PGID: 18"),
        "started",
        id="gemini-cli-background",
    ),
    pytest.param(
        GEMINI,
        gemini(
            "Command was automatically cancelled because it exceeded the timeout of 0.0 minutes "
            "without output. Below is the output before it was cancelled:\na"
        ),
        "a\n[exit code 124]",
        id="gemini-cli-too-slow",
    ),
    pytest.param(
        GEMINI,
        json.dumps({
            "output": "Output too large. Showing first 8,000 and last 32,000 characters. For full "
            "output see: /home/x.txt\n<untrusted_context>\nOutput: 1\n\n... [68,965 characters "
            "omitted] ...\n\n20000\nProcess Group PGID: 22\n</untrusted_context>"
        }),
        "1\n\n[... 68,965 characters left out ...]\n\n20000",
        id="gemini-cli-large",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "said", "printed"), RAN)
def test_output_reads_as_our_own_shell_tool_gives_it(
    preset: Preset, said: str, printed: str
) -> None:
    assert preset.tooling.output(said) == printed
    assert preset.tooling.denied(said) is None


REFUSED = [
    (CLAUDE, "permission", "This command requires approval"),
    (CLAUDE, "permission", "Claude requested permissions to use Bash, but you haven't granted it "
     "yet."),
    (CLAUDE, "permission", "Permission to use Bash with command echo x > f has been denied."),
    (CLAUDE, "permission", "Permission to use Bash has been denied because Claude Code is running "
     "in don't ask mode. IMPORTANT: "),
    (CLAUDE, "permission", "cat in '/etc/hostname' was blocked. For security, Claude Code may "),
    (CLAUDE, "permission", "touch in '/home/dev/x' needs approval. The path is outside the "),
    (CLAUDE, "permission", "Output redirection to '/workspace/f' needs approval. The path is "),
    (CLAUDE, "permission", "Auto mode is unavailable: its safety check does not run"),
    (CLAUDE, "permission", "<tool_use_error>Blocked: sleep 60 followed by: echo"),
    (CLAUDE, "hook", "PreToolUse:Bash hook error: not today"),
    (CLAUDE, "hook", "PreToolUse:Bash hook error: [echo 'no' >&2; exit 2]: no\n"),
    (CODEX, "permission", "approval policy is Never; reject command — you cannot ask for "),
    (CODEX, "permission", 'exec_command failed: CreateProcess { message: "Rejected(\\"`/bin/bash '
     '-lc ls` rejected: no listing\\")" }'),
    (CODEX, "permission", 'exec_command failed: CreateProcess { message: "Rejected(\\"approval '
     'required by policy, but AskForApproval is set to Never\\")" }'),
    (CODEX, "hook", "Command blocked by PreToolUse hook: not today. Command: ls"),
    (GEMINI, "permission", '{"error": "Tool execution denied by policy. no listing here"}'),
    (GEMINI, "permission", '{"error": "Tool execution for \\"Shell\\" requires user confirmation, '
     'which is not supported in non-interactive mode."}'),
    (GEMINI, "permission", '{"error": "Tool \\"run_shell_command\\" not found. Did you mean one"}'),
    (GEMINI, "hook", '{"error": "Tool execution blocked: not today"}'),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "by", "said"), REFUSED)
def test_a_refusal_is_told_apart_from_output(preset: Preset, by: str, said: str) -> None:
    assert preset.tooling.denied(said) == by
    shown = json.loads(said)["error"] if said.startswith("{") else said
    assert preset.tooling.output(said) == shown, "a script sees the refusal itself"
    assert preset.tooling.denied(f"it printed: {shown}") is None


def test_claude_code_has_many_words_for_a_refusal() -> None:
    denied = CLAUDE.tooling.denied
    assert denied("A variable in this command can't be checked before it runs") == "permission"
    assert denied("The deploy command requires approval") is None, "a command may print that"


@pytest.mark.parametrize("said", [said for p, _, said in REFUSED if p is CODEX])
def test_a_refusal_inside_a_script_of_codex_is_found(said: str) -> None:
    text = f"Script failed\nWall time 0.0 seconds\nOutput:\n\nScript error:\n{said}"
    assert CODEX.tooling.denied(text) == CODEX.tooling.denied(said)
    assert CODEX.tooling.output(text) == said


def test_codex_says_when_its_own_sandbox_kept_a_command_from_running() -> None:
    failed = f"{CHUNK}Process exited with code 1\nOriginal token count: 52\nOutput:\n{NO_NAMESPACE}"
    assert CODEX.tooling.denied(failed) == "sandbox"
    assert CODEX.tooling.denied(failed.replace("code 1", "code 0")) is None, "it only printed that"
    assert CODEX.tooling.output(failed) == f"{NO_NAMESPACE}\n[exit code 1]"
    report = json.dumps({"exit_code": 1, "output": NO_NAMESPACE})
    assert CODEX.tooling.denied(SCRIPT + report) == "sandbox"


@BY_NAME
@given(text=st.text(max_size=200))
def test_no_text_of_a_command_breaks_the_reading(preset: Preset, text: str) -> None:
    assert isinstance(preset.tooling.output(text), str)
    assert preset.tooling.denied(text) in {None, "permission", "hook", "sandbox"}


# --- how a command is given ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "tools", "name", "key"),
    [
        (CLAUDE, ("Agent", "Bash", "Edit"), "Bash", "command"),
        (CODEX, ("exec_command", "write_stdin"), "exec_command", "cmd"),
        (CODEX, ("shell_command",), "shell_command", "command"),
        (GEMINI, ("glob", "run_shell_command"), "run_shell_command", "command"),
    ],
)
def test_a_command_goes_through_the_clients_own_tool(
    preset: Preset, tools: tuple[str, ...], name: str, key: str
) -> None:
    tool, arguments = preset.tooling.call("make test", tools)
    assert (tool, arguments[key]) == (name, "make test")


def test_codex_that_only_runs_scripts_is_given_one() -> None:
    command = "printf '%s' \"a\\b\"; # `${x}`"
    tool, arguments = CODEX.tooling.call(command, ("functions.exec", "functions.wait"))
    script = str(arguments["input"])
    assert tool == "functions.exec"
    inside = script.removeprefix("text(await tools.exec_command(").removesuffix("));")
    assert json.loads(inside)["cmd"] == command


def test_claude_code_does_not_keep_the_folder_that_a_command_went_to() -> None:
    _, arguments = CLAUDE.tooling.call("cd sub && make", ("Bash",))
    assert arguments["command"] == "(\ncd sub && make\n)"


@BY_NAME
def test_a_client_without_a_shell_is_told(preset: Preset) -> None:
    with pytest.raises(ClientError, match="expected"):
        preset.tooling.call("ls", ("read_file",))


# --- why it did not start -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "code", "said", "told"),
    [
        (CLAUDE, 1, "Not logged in · Please run /login\n", "login"),
        (CLAUDE, 1, "--dangerously-skip-permissions cannot be used with root/sudo privileges",
         "superuser"),
        (CLAUDE, 1, "Auto mode can't check actions in this session.", "permission-mode"),
        (CODEX, 1, "ERROR: Missing environment variable: `CORP_KEY`.\n", "login"),
        (CODEX, 1, "Not inside a trusted directory and --skip-git-repo-check was not specified.",
         "--skip-git-repo-check"),
        (CODEX, 1, 'Error: approval_policy = "untrusted" is no longer supported; remove this '
         "setting\n", "untrusted"),
        (CODEX, 0, f"exited 1 in 0ms:\n{NO_NAMESPACE}", "own sandbox"),
        (GEMINI, 41, "Invalid auth method selected.\n", "login"),
        (GEMINI, 55, "Gemini CLI is not running in a trusted directory.", "trust"),
    ],
)  # fmt: skip
def test_a_failed_start_is_one_line_with_what_to_do(
    preset: Preset, code: int, said: str, told: str
) -> None:
    line = preset.complaint(code, said)
    assert line is not None
    assert told in line
    assert "\n" not in line


@BY_NAME
def test_an_ordinary_end_is_no_complaint(preset: Preset) -> None:
    assert preset.complaint(0, "Done.\n") is None
    assert preset.complaint(1, "it broke\n") is None
