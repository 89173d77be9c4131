"""Claude Code."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from custodes.types import JsonObject

from .._model import GATEWAY_PORT, PROMPT, ClientError, Preset
from ._environment import LOOPBACK, PLACEHOLDER
from ._output import finished, left_out
from ._words import has, with_first, without

_GATEWAY: Final = f"http://127.0.0.1:{GATEWAY_PORT}"
_SILENT: Final = {
    # Updates, error reports, usage statistics and feature switches, each of a server of its own.
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_ENABLE_TELEMETRY": "0",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_TELEMETRY": "1",
}
_REACHES: Final = {"ANTHROPIC_BASE_URL": _GATEWAY, "ANTHROPIC_API_KEY": PLACEHOLDER}
_ELSEWHERE: Final = re.compile(
    r"ANTHROPIC_(AUTH_TOKEN|BEDROCK_.*|VERTEX_.*|FOUNDRY_.*|UNIX_SOCKET)"
    r"|CLAUDE_CODE_(USE_.*|OAUTH_TOKEN|SKIP_.*_AUTH|CLIENT_CERT|CLIENT_KEY.*)"
    r"|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy"
)
_LOGIN: Final = ("apiKeyHelper", "awsAuthRefresh", "awsCredentialExport", "forceLoginMethod",
                 "forceLoginOrgUUID", "gcpAuthRefresh", "otelHeadersHelper")  # fmt: skip
_ACCOUNT: Final = ("oauthAccount", "primaryApiKey", "customApiKeyResponses")

_MODE: Final = ("--permission-mode", "--permission-prompt-tool", "--permission-prompts")
_BYPASS: Final = ("--dangerously-skip-permissions", "--allow-dangerously-skip-permissions")
_SESSION: Final = ("-c", "--continue", "-r", "--resume")

_NOTHING: Final = "(Bash completed with no output)"
_EXIT: Final = re.compile(r"Exit code (\d+)(?:\n|\Z)")
_LARGE: Final = re.compile(
    r"<persisted-output>\nOutput too large \(([^)\n]*)\)\.[^\n]*\n\nPreview[^\n]*\n"
    r"(.*?)(?:\n\.\.\.)?\n</persisted-output>\s*\Z",
    re.DOTALL,
)
_FOLDER: Final = re.compile(r"\n?Shell cwd was reset to [^\n]*\s*\Z")
_DENIED: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("hook", re.compile(r"PreToolUse:\S+ hook error: |Hook PreToolUse:\S+ denied this tool")),
    (
        "permission",
        re.compile(
            r"This (Bash )?command (requires approval|contains multiple operations)\b"
            r"|Claude requested permissions to "
            r"|Permission to use \S+ (with command .*)?has been denied"
            r"|Permission for this \S+ was denied\b"
            r"|\S+ in '[^\n]*' needs approval\."
            r"|\S+( \S+)? '[^\n]*' was blocked\. For security, Claude Code "
            r"|[^\n]* can't (all )?be (checked|verified) before (it|the command) runs\b"
            r"|Output redirection to '[^\n]*' (was blocked|needs approval)\b"
            r"|Auto mode is unavailable: "
            r"|<tool_use_error>Blocked: ",
            re.DOTALL,
        ),
    ),
    (
        "sandbox",
        re.compile(
            r"(Exit code \d+\n)?(bwrap: (No permissions|Creating new|setting up)|<sandbox_violat)"
        ),
    ),
)
_APPROVAL: Final = re.compile(r"[^\n]*\b(requires?|needs) approval\b")
"""What else it says for want of an approval; commands print such lines too, but as no error."""
_LEAVES: Final = re.compile(r"(?:^|[;&|({\n])\s*(?:cd|pushd|popd)\b")


class _Tooling:
    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        if "Bash" not in tools:
            raise ClientError(
                "expected the tool Bash of Claude Code, found it switched off; take it out of "
                "--disallowedTools, --tools or permissions.deny"
            )
        if _LEAVES.search(command):
            # Its shell keeps the folder from call to call; each of ours is a new one.
            command = f"(\n{command}\n)"
        return "Bash", {"command": command, "description": "Run the next step"}

    def output(self, text: str) -> str:
        if text == _NOTHING:
            return ""
        if self.denied(text) is not None:
            return text
        text = _FOLDER.sub("", text)
        code = _EXIT.match(text)
        body = text[code.end() :] if code else text
        large = _LARGE.fullmatch(body)
        if large is not None:
            body = f"{large[2]}\n{left_out(f'{large[1]} in all, the rest')}"
        return finished(body, int(code[1]) if code else 0)

    def denied(self, text: str, error: bool | None = None) -> str | None:
        """As the protocol says; ``error`` is whether the result was marked so, None: unknown."""
        if error is False:
            return None
        by = next((by for by, said in _DENIED if said.match(text)), None)
        if by is None and error and not _EXIT.match(text) and _APPROVAL.match(text):
            return "permission"
        return by


def _unguarded(words: Sequence[str]) -> tuple[str, ...]:
    kept = without(words, flags=_BYPASS, valued=_MODE)
    return with_first(kept, "--permission-mode", "bypassPermissions")


def _resumed(words: Sequence[str]) -> tuple[str, ...]:
    kept = without(words, flags=("--no-session-persistence",), valued=("--session-id",))
    return tuple(kept) if has(kept, _SESSION) else with_first(kept, "--continue")


def _adapted(path: str, content: bytes) -> bytes:
    name = path.rpartition("/")[2]
    if name not in (".claude.json", "settings.json", "settings.local.json"):
        return content
    try:
        settings: Any = json.loads(content)
    except ValueError as error:
        raise ClientError(f"expected JSON in {path}, found none ({error}); repair it") from None
    if not isinstance(settings, dict):
        raise ClientError(f"expected a JSON object in {path}, found none; repair it")
    for key in (*_LOGIN, *_ACCOUNT):
        settings.pop(key, None)
    variables = settings.get("env")
    if isinstance(variables, dict):
        # What stands here wins over the environment that the client is started with.
        settings["env"] = {
            key: _REACHES.get(key, value)
            for key, value in variables.items()
            if not _ELSEWHERE.fullmatch(key) and key not in _SILENT
        }
    return json.dumps(settings, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _complaint(code: int, said: str) -> str | None:
    if re.search(r"Not logged in|Please run /login|Invalid API key", said):
        return (
            "Claude Code wants a login: its settings choose another way to its model than an API "
            "key; take the login settings out of the configuration that is copied"
        )
    if "cannot be used with root" in said:
        return "Claude Code refuses --permission-mode bypassPermissions to the superuser"
    if "disableBypassPermissionsMode" in said or "bypass permissions mode is disabled" in said:
        return (
            "Claude Code's settings forbid bypassPermissions: plan the cells with the safeguards "
            "'deployed', or take disableBypassPermissionsMode out of the copied settings"
        )
    if "Auto mode can't check actions" in said:
        return (
            "Claude Code's plan and auto modes ask a classifier that only Anthropic's own server "
            "has: give another --permission-mode"
        )
    if re.search(r"(needs|requires) (an )?update|update required|minimum version", said, re.I):
        return "this Claude Code is too old for its model's server: update it"
    if re.search(r"unknown option|error: option ", said):
        return "Claude Code does not know an option of the command: compare it with claude --help"
    if "No conversation found to continue" in said:
        return "Claude Code found no session to go on with: sessions are not kept on disk"
    if code in (132, 133, 134, 137, 139):
        return "Claude Code was killed: give the sandbox more memory (limits.memory_mb)"
    return None


CLAUDE_CODE: Final = Preset(
    name="claude-code",
    title="Claude Code",
    programs=("claude",),
    dialect="messages",
    upstream="https://api.anthropic.com",
    key_variable="ANTHROPIC_API_KEY",
    authorise=("x-api-key", "{key}"),
    tested=("2.1.329",),
    oldest="2.0.0",
    default=("claude", "-p", PROMPT),
    environment={**_REACHES, **_SILENT, **LOOPBACK},
    unguarded=_unguarded,
    resumed=_resumed,
    base_files={},
    adapted=_adapted,
    config_folder=".claude",
    logs=(".claude/projects/**/*.jsonl",),
    tooling=_Tooling(),
    complaint=_complaint,
)
