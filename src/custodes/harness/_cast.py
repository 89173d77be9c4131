"""The model provider ``cast``: in one evaluation, a scripted policy for each subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    modelapi,
)
from inspect_ai.tool import ToolChoice, ToolInfo
from inspect_ai.util import sandbox

from ._provider import CHARACTERS_PER_TOKEN, ReferenceModelAPI
from ._sandboxenv import CustodesSandboxEnvironment


class CastModelAPI(ModelAPI):
    """Plays in each episode the policy of the subject that the episode's key names.

    Args:
        policies: by a subject's digest, the name of its policy.
    """

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        policies: Mapping[str, str],
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self._members = {subject: ReferenceModelAPI(policy) for subject, policy in policies.items()}

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        host = sandbox().as_type(CustodesSandboxEnvironment).host
        if host is None:
            raise RuntimeError("the sample has no episode: set the metadata custodes_episode")
        member = self._members.get(host.key.subject)
        if member is None:
            raise RuntimeError(f"no policy was named for the subject {host.key.subject[:12]}")
        return await member.generate(input, tools, tool_choice, config)

    async def count_text_tokens(self, text: str) -> int:
        return max(1, len(text) // CHARACTERS_PER_TOKEN)

    def max_connections(self) -> int:
        return 1000  # as for one policy: nothing remote is to be spared

    def connection_key(self) -> str:
        return "cast"


@modelapi(name="cast")
def cast() -> type[ModelAPI]:
    return CastModelAPI
