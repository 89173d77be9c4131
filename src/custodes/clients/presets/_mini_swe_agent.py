"""mini-SWE-agent 2: one tool, ``bash``, and chat completions through LiteLLM.

It ends when a call prints its closing line, not when a message has no call: a scripted model says
the form and makes that call in one message (:meth:`_Tooling.ending`). Its text-based models, which
write commands in code blocks, make no calls that a protocol shows: name a model class with tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import yaml

from custodes.types import JsonObject

from .._model import GATEWAY_PORT, PROMPT, ClientError, Preset
from ._environment import LOOPBACK, PLACEHOLDER
from ._output import finished, left_out
from ._words import has, with_first

_GATEWAY: Final = f"http://127.0.0.1:{GATEWAY_PORT}/v1"
_FOLDER: Final = ".config/mini-swe-agent"
_END: Final = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
_ENVIRONMENT: Final = {
    "OPENAI_API_BASE": _GATEWAY,
    "OPENAI_BASE_URL": _GATEWAY,
    "OPENAI_API_KEY": PLACEHOLDER,
    # Without it the first start asks questions; without the next, a model without a price ends it.
    "MSWEA_CONFIGURED": "true",
    "MSWEA_COST_TRACKING": "ignore_errors",
    # Else a list of prices is fetched.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
_REACHES: Final = re.compile(r"\s*(?:export\s+)?\w*(?:API_KEY|API_BASE|BASE_URL|_TOKEN)\s*=")
_MODEL: Final = re.compile(r"(\s*(?:export\s+)?MSWEA_MODEL_NAME\s*=\s*)['\"]?([^'\"\s]+)['\"]?\s*")


class _Tooling:
    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        if "bash" not in tools:
            raise ClientError(
                "expected the tool bash of mini-SWE-agent, found none: its model class is one "
                "that writes commands as text; choose litellm or litellm_response"
            )
        return "bash", {"command": command}

    def ending(self, tools: Sequence[str]) -> tuple[str, JsonObject]:
        """The call that goes with the last message."""
        return self.call(_END, tools)

    def output(self, text: str) -> str:
        try:
            said = json.loads(text)
        except ValueError:
            return text
        if not isinstance(said, dict) or not isinstance(said.get("returncode"), int):
            return text
        printed = said.get("output")
        if printed is None:
            cut = left_out(f"{said.get('elided_chars', 'some')} characters")
            printed = f"{said.get('output_head', '')}\n{cut}\n{said.get('output_tail', '')}"
        code = said["returncode"]
        return finished(str(printed), 124 if code == -1 and "timed out" in text else code & 255)

    def denied(self, text: str, error: bool | None = None) -> str | None:
        refused = re.search(r"rejected by (the )?user|action was not executed", text)
        return "permission" if refused else None


def _own(name: str) -> str:
    """A model's name so that LiteLLM asks for it by the protocol of the gateway."""
    return f"openai/{name.rpartition('/')[2]}"


def _adapted(path: str, content: bytes) -> bytes:
    folder, _, name = path.rpartition("/")
    if folder != _FOLDER:
        return content
    if name == ".env":
        lines = [
            x for x in content.decode("utf-8", "replace").splitlines() if not _REACHES.match(x)
        ]
        lines = [_MODEL.sub(lambda m: m[1] + _own(m[2]), line) for line in lines]
        return "".join(f"{line}\n" for line in lines).encode()
    if not name.endswith((".yaml", ".yml")):
        return content
    try:
        settings: Any = yaml.safe_load(content)
    except yaml.YAMLError:
        raise ClientError(f"expected YAML in {path}, found none; repair it") from None
    model = settings.get("model") if isinstance(settings, dict) else None
    if not isinstance(model, dict):
        return content
    if isinstance(model.get("model_name"), str):
        model["model_name"] = _own(model["model_name"])
    options = model.get("model_kwargs")
    for key in ("api_base", "base_url", "api_key", "custom_llm_provider"):
        if isinstance(options, dict):
            options.pop(key, None)
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode()


def _unguarded(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(words) if has(words, ("-y", "--yolo")) else with_first(words, "--yolo")


def _complaint(code: int, said: str) -> str | None:
    missing = re.search(r"No module named '([\w.]+)'", said)
    if missing:
        return f"mini-SWE-agent lacks the package {missing[1]}: install it beside it"
    if "AuthenticationError" in said or "Missing credentials" in said:
        return "mini-SWE-agent asks another provider: name a model as openai/NAME"
    if "EOFError" in said or "Aborted" in said:
        return "mini-SWE-agent asks questions: add --yolo --exit-immediately to the command"
    return None


MINI_SWE_AGENT: Final = Preset(
    name="mini-swe-agent",
    title="mini-SWE-agent",
    programs=("mini", "mini-swe-agent"),
    dialect="chat",
    upstream="https://api.openai.com",
    key_variable="OPENAI_API_KEY",
    authorise=("authorization", "Bearer {key}"),
    tested=("2.4.6",),
    oldest="2.0.0",
    default=("mini", "-t", PROMPT, "--yolo", "--exit-immediately"),
    environment={**_ENVIRONMENT, **LOOPBACK},
    unguarded=_unguarded,
    resumed=None,
    base_files={f"{_FOLDER}/.env": "MSWEA_MODEL_NAME=openai/gpt-5\n"},
    adapted=_adapted,
    config_folder=_FOLDER,
    logs=(f"{_FOLDER}/*.traj.json",),
    tooling=_Tooling(),
    complaint=_complaint,
)
