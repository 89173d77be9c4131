"""Codex."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from custodes.types import JsonObject

from .._model import GATEWAY_PORT, PROMPT, ClientError, Preset
from ._environment import LOOPBACK, PLACEHOLDER
from ._output import finished, left_out
from ._toml import toml_text
from ._words import without

_PROVIDER: Final = "gateway"
_KEY: Final = "OPENAI_API_KEY"
_ENTRY: Final = {
    "name": _PROVIDER,
    "base_url": f"http://127.0.0.1:{GATEWAY_PORT}/v1",
    "wire_api": "responses",
    "env_key": _KEY,
    "supports_websockets": False,
}
_ELSEWHERE: Final = (
    "chatgpt_base_url",
    "forced_chatgpt_workspace_id",
    "forced_login_method",
    "openai_base_url",
    "oss_provider",
    "otel",
)

_SANDBOX: Final = ("-s", "--sandbox", "-a", "--ask-for-approval", "--permissions-profile")
_MODES: Final = (
    "--approve-for-me",
    "--full-auto",
    "--yolo",
    "--dangerously-bypass-approvals-and-sandbox",
    "--ignore-rules",
)
_SET: Final = ("-c", "--config")
_SET_MODE: Final = re.compile(
    r"\s*(approval_policy|approvals_reviewer|default_permissions|sandbox_mode"
    r"|sandbox_workspace_write(\..*)?)\s*="
)
_EXEC: Final = ("exec", "e")

_RUN: Final = re.compile(
    r"(?:Chunk ID: \S+\n)?(?:Wall time: [^\n]*\n)?"
    r"(?:Process exited with code (-?\d+)|Process running with session ID (\d+))\n"
    r"(?:Original token count: \d+\n)?Output:\n(.*)",
    re.DOTALL,
)
_OLDER: Final = re.compile(
    r"Exit code: (-?\d+)\nWall time: [^\n]*\n(?:Total output lines: \d+\n)?Output:\n(.*)", re.DOTALL
)
_SCRIPT: Final = re.compile(
    r"Script (?:completed|failed|running with cell ID (\S+)|terminated)\nWall time [^\n]*\n"
    r"Output:\n+(.*)",
    re.DOTALL,
)
"""What the tool that runs JavaScript makes of a script; its parts come one to a line."""
_THROWN: Final = "Script error:\n"
_CUT: Final = re.compile(
    r"(?:Warning: truncated output \([^)\n]*\)\n)?(?:Total output lines: \d+\n\n?)"
)
_MIDDLE: Final = re.compile(r"…(\d+) (tokens|chars|characters) truncated…")
_DENIED: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    ("hook", re.compile(r"(Command|Tool call) blocked by PreToolUse hook: ")),
    (
        "permission",
        re.compile(
            r"approval policy is \w+; reject command"
            r"|exec_command failed: CreateProcess \{ message: \"Rejected\(\\\"(?!Failed to create)"
            r"|exec_command failed[^\n]*rejected by (user|policy)"
            r"|(patch|command) rejected( by user)?\b"
        ),
    ),
)
_OWN_SANDBOX: Final = re.compile(
    r"\s*(bwrap: (No permissions|Creating new|setting up|Can't|Unable)"
    r"|thread '[^']*' (\(\d+\) )?panicked at [^\n]*linux-sandbox/"
    r"|[^\n]*Sandbox\((Denied|Landlock))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ran:
    """What the client said of a command. ``code`` is None while it runs in ``session``."""

    code: int | None
    printed: str
    session: str | None = None


def _ran(text: str) -> _Ran | None:
    """What became of a command; None when it did not run, or in words that are not known."""
    run = _RUN.fullmatch(text)
    if run is not None:
        return _Ran(code=int(run[1]) if run[1] else None, printed=run[3], session=run[2])
    older = _OLDER.fullmatch(text)
    if older is not None:
        return _Ran(code=int(older[1]), printed=older[2])
    script = _SCRIPT.fullmatch(text)
    if script is not None:
        return _of_script(script[2], script[1])
    try:
        said: Any = json.loads(text) if text.startswith("{") else None
        return _Ran(code=int(said["metadata"]["exit_code"]), printed=str(said["output"]))
    except (ValueError, KeyError, TypeError):
        return None


def _of_script(said: str, cell: str | None) -> _Ran | None:
    """What a script of ours reported: the object that the nested tool returned."""
    if cell is not None:
        return _Ran(code=None, printed=said, session=cell)
    if said.startswith(_THROWN):
        return None
    cut = _CUT.match(said)
    whole = said[cut.end() :] if cut is not None else said
    try:
        report = json.loads(whole, strict=False)
    except ValueError:
        return _Ran(code=0, printed=said)
    if not isinstance(report, dict) or not isinstance(report.get("output"), str):
        return _Ran(code=0, printed=said)
    code, session = report.get("exit_code"), report.get("session_id")
    return _Ran(
        code=code if isinstance(code, int) else None,
        printed=report["output"],
        session=None if session is None else str(session),
    )


class _Tooling:
    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        offered = {tool.rpartition(".")[2]: tool for tool in reversed(tools)}
        # A command is waited for this long, and else is said to run on.
        run: JsonObject = {"cmd": command, "yield_time_ms": 30000}
        if "exec_command" in offered:
            return offered["exec_command"], run
        if "shell_command" in offered:
            return offered["shell_command"], {"command": command}
        if "shell" in offered:
            return offered["shell"], {"command": ["bash", "-lc", command]}
        if "exec" in offered:
            script = f"text(await tools.exec_command({json.dumps(run)}));"
            return offered["exec"], {"input": script}
        raise ClientError(
            "expected one of the tools exec_command, shell_command, shell and exec of Codex, found "
            "none; do not switch them off under [features] or [tools]"
        )

    def output(self, text: str) -> str:
        ran = _ran(text)
        if ran is None:
            return _refusal(text)
        printed = ran.printed
        cut = _CUT.match(printed)
        if cut is not None:
            printed = printed[cut.end() :]
        printed = _MIDDLE.sub(lambda found: f"\n{left_out(f'{found[1]} {found[2]}')}\n", printed)
        if ran.code is None:
            still = f"[still running in session {ran.session}]"
            return "\n".join(part for part in (printed.rstrip("\n"), still) if part)
        return finished(printed, ran.code)

    def denied(self, text: str, error: bool | None = None) -> str | None:
        ran = _ran(text)
        if ran is not None:
            return "sandbox" if ran.code and _OWN_SANDBOX.match(ran.printed) else None
        refusal = _refusal(text)
        return next((by for by, said in _DENIED if said.match(refusal)), None)


def _refusal(text: str) -> str:
    script = _SCRIPT.fullmatch(text)
    return script[2].removeprefix(_THROWN) if script is not None else text


def _unguarded(words: Sequence[str]) -> tuple[str, ...]:
    kept = without(words, flags=_MODES, valued=_SANDBOX, settings=(_SET, _is_mode))
    at = next((n for n, word in enumerate(kept) if word in _EXEC), 0) + 1
    # Rules of the user would forbid commands even so.
    return (*kept[:at], "--dangerously-bypass-approvals-and-sandbox", "--ignore-rules", *kept[at:])


def _is_mode(setting: str) -> bool:
    return _SET_MODE.match(setting) is not None


def _resumed(words: Sequence[str]) -> tuple[str, ...]:
    kept = without(words, flags=("--ephemeral",))
    if "resume" in kept:
        return tuple(kept)
    # What `exec resume` does not know, such as --sandbox, has to stand before the word resume.
    before = [word for word in kept if word not in (PROMPT, "-")]
    end = ["--"] if "--" in before else []
    before = [word for word in before if word != "--"]
    prompt = [word for word in kept if word in (PROMPT, "-")] or ["-"]
    return (*before, "resume", "--last", *end, *prompt)


def _adapted(path: str, content: bytes) -> bytes:
    folder, _, name = path.rpartition("/")
    if folder != ".codex" or not name.endswith(".toml"):
        return content
    try:
        settings: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except ValueError as error:
        raise ClientError(f"expected TOML in {path}, found none ({error}); repair it") from None
    for key in _ELSEWHERE:
        settings.pop(key, None)
    layers = [settings]
    profiles = settings.get("profiles")
    if isinstance(profiles, dict):
        layers += [profile for profile in profiles.values() if isinstance(profile, dict)]
    for layer in layers:
        for key in _ELSEWHERE:
            layer.pop(key, None)
        if layer is settings or "model_provider" in layer:
            layer["model_provider"] = _PROVIDER
    providers = settings.get("model_providers")
    named = providers if isinstance(providers, dict) else {}
    # The user's other entries would only hold addresses and keys of servers that are not reached.
    retries = {
        key: value
        for entry in named.values()
        if isinstance(entry, dict)
        for key, value in entry.items()
        if key in ("request_max_retries", "stream_max_retries", "stream_idle_timeout_ms")
    }
    settings["model_providers"] = {_PROVIDER: {**_ENTRY, **retries}}
    settings["check_for_update_on_startup"] = False
    settings["analytics"] = {"enabled": False}
    settings["feedback"] = {"enabled": False}
    return toml_text(settings).encode()


def _complaint(code: int, said: str) -> str | None:
    if re.search(r"Missing environment variable|401 Unauthorized|not logged in|codex login", said):
        return (
            "Codex wants a login: its command or configuration chooses another model provider than "
            f"{_PROVIDER!r}; take model_provider, --oss and --local-provider out of them"
        )
    if "--skip-git-repo-check was not specified" in said:
        return "Codex refuses a folder that is no git repository: add --skip-git-repo-check"
    if "is no longer supported" in said:
        return f"Codex refuses a setting: {_line(said, 'is no longer supported')}"
    if re.search(r"Error loading config|unknown (field|variant)|invalid type:", said):
        return "Codex refuses its configuration: run codex with it once, and repair what it names"
    if re.search(r"unexpected argument|invalid value .* for ", said):
        return "Codex does not know an option of the command: compare it with codex exec --help"
    if re.search(r"requires a newer version of Codex|please (upgrade|update)", said, re.I):
        return "this Codex is too old for its model: update it"
    if re.search(r"^bwrap: No permissions|linux-sandbox/src", said, re.MULTILINE):
        return (
            "Codex's own sandbox cannot start inside this one, so its commands fail: give "
            "--sandbox danger-full-access, and say that its sandbox was not assessed"
        )
    if code in (132, 133, 134, 137, 139):
        return "Codex was killed: give the sandbox more memory (limits.memory_mb)"
    return None


def _line(said: str, having: str) -> str:
    found = next((line for line in said.splitlines() if having in line), "")
    return " ".join(found.split())[:200]


CODEX: Final = Preset(
    name="codex",
    title="Codex",
    programs=("codex",),
    dialect="responses",
    upstream="https://api.openai.com",
    key_variable=_KEY,
    authorise=("authorization", "Bearer {key}"),
    tested=("0.169.0",),
    oldest="0.120.0",
    default=("codex", "exec", "--skip-git-repo-check", PROMPT),
    environment={_KEY: PLACEHOLDER, **LOOPBACK},
    unguarded=_unguarded,
    resumed=_resumed,
    base_files={".codex/config.toml": _adapted(".codex/config.toml", b"").decode()},
    adapted=_adapted,
    config_folder=".codex",
    logs=(".codex/sessions/**/rollout-*.jsonl",),
    tooling=_Tooling(),
    complaint=_complaint,
)
