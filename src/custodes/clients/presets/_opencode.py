"""opencode, as an npm package with a native program in it; asks its model by chat completions.

Whatever provider its configuration chose, its model is asked through the gateway, by the chat
protocol: a provider of its own is laid down for that. A model named in the command (``-m``) keeps
its own provider; name it in the configuration instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from custodes.types import JsonObject

from .._model import GATEWAY_PORT, PROMPT, ClientError, Preset
from ._environment import LOOPBACK, PLACEHOLDER
from ._output import finished
from ._words import has

_GATEWAY: Final = f"http://127.0.0.1:{GATEWAY_PORT}/v1"
_FILE: Final = ".config/opencode/opencode.json"
_COMMENT: Final = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING: Final = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])')
_SILENT: Final = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_SHARE": "1",
}
_ALL: Final = "--dangerously-skip-permissions"
_NOTHING: Final = "(no output)"
_EXIT: Final = re.compile(r"\n?\[exit code (\d+)\]\s*\Z")
_DENIED: Final = re.compile(
    r"The user (rejected permission|has specified a rule which prevents)|.{0,40}permission (denied"
    r"|rejected)\b",
    re.IGNORECASE,
)


class _Tooling:
    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        if "bash" not in tools:
            raise ClientError(
                "expected the tool bash of opencode, found it switched off; take it out of "
                "`tools` or `permission` in its configuration"
            )
        # Its result does not say how a command ended, and scripts have to know.
        told = f'(\n{command}\n) || echo "[exit code $?]"'
        return "bash", {"command": told, "description": "Run the next step"}

    def output(self, text: str) -> str:
        if text.strip() == _NOTHING:
            return ""
        code = _EXIT.search(text)
        return finished(text[: code.start()] if code else text, int(code[1]) if code else 0)

    def denied(self, text: str, error: bool | None = None) -> str | None:
        return "permission" if _DENIED.match(text) else None


def _unguarded(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(words) if has(words, (_ALL,)) else _after_run(words, _ALL)


def _resumed(words: Sequence[str]) -> tuple[str, ...]:
    known = has(words, ("-c", "--continue", "-s", "--session"))
    return tuple(words) if known else _after_run(words, "--continue")


def _after_run(words: Sequence[str], option: str) -> tuple[str, ...]:
    at = list(words).index("run") + 1 if "run" in words else 1
    return (*words[:at], option, *words[at:])


def _adapted(path: str, content: bytes) -> bytes:
    if path not in (_FILE, f"{_FILE}c"):
        return content
    try:
        text = _COMMENT.sub(lambda found: found[1] or " ", content.decode("utf-8"))
        text = _TRAILING.sub(lambda found: found[1] or "", text)
        settings: Any = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ClientError(f"expected JSON in {path}, found none ({error}); repair it") from None
    if not isinstance(settings, dict):
        raise ClientError(f"expected a JSON object in {path}, found none; repair it")
    models: dict[str, JsonObject] = {}
    for key in ("model", "small_model"):
        name = settings.get(key) or ("openai/gpt-5" if key == "model" else None)
        if isinstance(name, str):
            model = name.partition("/")[2] or name
            models[model] = {"name": model}
            settings[key] = f"gateway/{model}"
    settings["provider"] = {
        "gateway": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "gateway",
            "options": {"baseURL": _GATEWAY, "apiKey": PLACEHOLDER},
            "models": models,
        }
    }
    for key in ("enabled_providers", "disabled_providers"):
        settings.pop(key, None)
    settings["autoupdate"] = False
    settings["share"] = "disabled"
    return json.dumps(settings, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _complaint(code: int, said: str) -> str | None:
    if "ProviderModelNotFoundError" in said or "Model not found" in said:
        return (
            "opencode does not know the model of the command: take -m out of it, and name the "
            "model in opencode.json"
        )
    if "ConfigInvalidError" in said or "ConfigJsonError" in said:
        return "opencode refuses its configuration: run opencode with it once, and repair it"
    if code in (132, 133, 134, 137, 139):
        return "opencode was killed: give the sandbox more memory (limits.memory_mb)"
    return None


OPENCODE: Final = Preset(
    name="opencode",
    title="opencode",
    programs=("opencode",),
    dialect="chat",
    upstream="https://api.openai.com",
    key_variable="OPENAI_API_KEY",
    authorise=("authorization", "Bearer {key}"),
    tested=("1.18.33",),
    oldest="1.0.0",
    default=("opencode", "run", PROMPT),
    environment={**_SILENT, **LOOPBACK},
    unguarded=_unguarded,
    resumed=_resumed,
    base_files={_FILE: _adapted(_FILE, b"").decode()},
    adapted=_adapted,
    config_folder=".config/opencode",
    logs=(".local/share/opencode/log/*.log", ".local/share/opencode/storage/**/*.json"),
    tooling=_Tooling(),
    complaint=_complaint,
)
