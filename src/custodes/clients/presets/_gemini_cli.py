"""Gemini CLI."""

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

_REACHES: Final = {
    "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{GATEWAY_PORT}",
    "GEMINI_API_KEY": PLACEHOLDER,
}
_SILENT: Final = {
    "GEMINI_TELEMETRY_ENABLED": "false",
    # It would start itself a second time, to raise node's own limit of memory.
    "GEMINI_CLI_NO_RELAUNCH": "1",
    # Without a terminal nobody can be asked whether the workspace is trusted.
    "GEMINI_CLI_TRUST_WORKSPACE": "true",
    "NO_BROWSER": "1",
}
_NEEDED: Final[tuple[tuple[tuple[str, ...], object], ...]] = (
    (("security", "auth", "selectedType"), "gemini-api-key"),
    (("general", "enableAutoUpdate"), False),
    (("general", "enableAutoUpdateNotification"), False),
    (("privacy", "usageStatisticsEnabled"), False),
    (("telemetry", "enabled"), False),
)
_VARIABLE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")
_ELSEWHERE: Final = re.compile(
    r"GEMINI_API_KEY|GOOGLE_(API_KEY|GEMINI_BASE_URL|VERTEX_BASE_URL|GENAI_.*|CLOUD_.*"
    r"|APPLICATION_CREDENTIALS)|GEMINI_(TELEMETRY_.*|SANDBOX.*)"
    r"|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy"
)
_COMMENT: Final = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)

_MODE: Final = ("--approval-mode", "--approval_mode")
_YOLO: Final = ("-y", "--yolo")

_LARGE: Final = re.compile(r"Output too large\.[^\n]*\n")
_OMITTED: Final = re.compile(r"\n?\.\.\. \[([\d,]+) characters omitted\] \.\.\.\n?")
_WRAPPED: Final = re.compile(r"<untrusted_context>\n(.*?)\n?</untrusted_context>\s*", re.DOTALL)
_RUN: Final = re.compile(
    r"Output: (.*?)"
    r"(?:\nError: ([^\n]*))?(?:\nExit Code: (-?\d+))?(?:\nSignal: (\d+))?"
    r"(?:\nBackground PIDs: [^\n]*)?(?:\nProcess Group PGID: [^\n]*)?\s*",
    re.DOTALL,
)
_CANCELLED: Final = re.compile(
    r"Command was (?:automatically )?cancelled[^\n]*?(?:Below is the output[^\n]*:\n(.*))?\s*",
    re.DOTALL,
)
_DENIED: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("hook", re.compile(r"Tool execution blocked: |Agent execution (stopped|blocked)")),
    (
        "permission",
        re.compile(
            r"Tool execution denied by policy\b"
            r"|Tool execution for \"[^\n]*\" requires user confirmation\b"
            r"|Tool \"run_shell_command\" not found\b"
            r"|User (denied|cancelled|did not allow)\b"
        ),
    ),
    ("sandbox", re.compile(r"Sandbox (denied|blocked|expansion)\b")),
)
_SHELL: Final = "run_shell_command"


def _said(text: str) -> tuple[str, bool]:
    """The text in a function's response, and whether the client marked it as an error."""
    if text.startswith("{"):
        try:
            response = json.loads(text)
        except ValueError:
            return text, False
        if isinstance(response, dict):
            for key in ("output", "error"):
                if isinstance(response.get(key), str):
                    return response[key], key == "error"
    return text, False


class _Tooling:
    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        if _SHELL not in tools:
            raise ClientError(
                f"expected the tool {_SHELL} of Gemini CLI, found it not offered: without a "
                "terminal only --approval-mode yolo, or a policy that allows it, offers it"
            )
        return _SHELL, {"command": command}

    def output(self, text: str) -> str:
        said, _ = _said(text)
        said = _LARGE.sub("", said, count=1)
        wrapped = _WRAPPED.fullmatch(said)
        inner = wrapped[1] if wrapped else said
        cancelled = _CANCELLED.fullmatch(inner)
        if cancelled is not None:
            return finished(cancelled[1] or "", 124)
        run = _RUN.fullmatch(inner)
        if run is None:
            return inner
        printed = "" if run[1] == "(empty)" else run[1]
        printed = _OMITTED.sub(lambda cut: f"\n{left_out(f'{cut[1]} characters')}\n", printed)
        code = int(run[3]) if run[3] else 128 + int(run[4]) if run[4] else 0
        return finished(printed, code)

    def denied(self, text: str, error: bool | None = None) -> str | None:
        said, _ = _said(text)
        return next((by for by, refused in _DENIED if refused.match(said)), None)


def _unguarded(words: Sequence[str]) -> tuple[str, ...]:
    return with_first(without(words, flags=_YOLO, valued=_MODE), "--approval-mode", "yolo")


def _resumed(words: Sequence[str]) -> tuple[str, ...]:
    kept = without(words, valued=("--session-id", "--session-file"))
    if has(kept, ("-r", "--resume")):
        return tuple(kept)
    return with_first(kept, "--resume", "latest")


def _adapted(path: str, content: bytes) -> bytes:
    if path == ".gemini/.env" or path == ".env":
        kept = []
        for line in content.splitlines(keepends=True):
            name = _VARIABLE.match(line.decode("utf-8", "replace"))
            if name is None or not _ELSEWHERE.fullmatch(name[1]):
                kept.append(line)
        return b"".join(kept)
    if path != ".gemini/settings.json":
        return content
    try:
        text = _COMMENT.sub(lambda found: found[1] or " ", content.decode("utf-8"))
        settings: Any = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ClientError(f"expected JSON in {path}, found none ({error}); repair it") from None
    if not isinstance(settings, dict):
        raise ClientError(f"expected a JSON object in {path}, found none; repair it")
    for where, value in _NEEDED:
        table = settings
        for key in where[:-1]:
            if not isinstance(table.get(key), dict):
                table[key] = {}
            table = table[key]
        table[where[-1]] = value
    settings["security"]["auth"].pop("enforcedType", None)
    settings["security"]["auth"].pop("useExternal", None)
    return json.dumps(settings, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _complaint(code: int, said: str) -> str | None:
    if code == 41 or re.search(r"Please set an Auth method|must specify the GEMINI_API_KEY", said):
        return (
            "Gemini CLI wants a login: its settings choose another way than an API key; take "
            "security.auth out of the project's settings"
        )
    if re.search(r"not running in a trusted directory|untrusted (folder|workspace)", said):
        return "Gemini CLI does not trust the workspace: add --skip-trust to the command"
    if re.search(r"Unknown arguments?:|Invalid values:|Cannot use both", said):
        return "Gemini CLI does not know an option of the command: compare it with gemini --help"
    if code == 44 or "failed to start sandbox" in said.lower():
        return (
            "Gemini CLI's own sandbox wants a container engine, and there is none inside: take "
            "--sandbox out of the command and tools.sandbox out of the settings"
        )
    if code == 52:
        return "Gemini CLI refuses its settings: run gemini with them once, and repair what it says"
    if "requires Node" in said or "SyntaxError: " in said:
        return "this node is too old for Gemini CLI: install Node.js 20 or later"
    if code in (132, 133, 134, 137, 139) or "heap out of memory" in said:
        return "Gemini CLI was killed: give the sandbox more memory (limits.memory_mb)"
    return None


GEMINI_CLI: Final = Preset(
    name="gemini-cli",
    title="Gemini CLI",
    programs=("gemini",),
    dialect="gemini",
    upstream="https://generativelanguage.googleapis.com",
    key_variable="GEMINI_API_KEY",
    authorise=("x-goog-api-key", "{key}"),
    tested=("0.61.0",),
    oldest="0.20.0",
    default=("gemini", "-p", PROMPT),
    environment={**_REACHES, **_SILENT, **LOOPBACK},
    unguarded=_unguarded,
    resumed=_resumed,
    base_files={".gemini/settings.json": _adapted(".gemini/settings.json", b"").decode()},
    adapted=_adapted,
    config_folder=".gemini",
    logs=(".gemini/tmp/**/chats/session-*.json*",),
    tooling=_Tooling(),
    complaint=_complaint,
)
