"""The model provider ``reference/<policy>``: scripted policies behind Inspect's model interface."""

from __future__ import annotations

from typing import Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    Content,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolCall, ToolChoice, ToolInfo

from custodes.scenarios import Move, check_reference_policy, reference_move

from ._messages import conversation_of

CHARACTERS_PER_TOKEN = 4
LONGEST_TEXT = 32_000
"""Characters of one turn's text: a longer one is cut off there, as a model's would be."""


class ReferenceModelAPI(ModelAPI):
    """Plays a scripted policy. Stateless: the move follows from the messages alone."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self._policy = model_name
        check_reference_policy(self._policy)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        turn = sum(1 for message in input if isinstance(message, ChatMessageAssistant))
        move = reference_move(self._policy, conversation_of(input, tools))
        return _output(self.model_name, turn, move, input)

    async def count_text_tokens(self, text: str) -> int:
        # Inspect's own way downloads a tokenizer.
        return max(1, len(text) // CHARACTERS_PER_TOKEN)

    def max_connections(self) -> int:
        # The default of 10 is meant for a remote service and would throttle a script.
        return 1000

    def connection_key(self) -> str:
        return "reference"


def _output(model: str, turn: int, move: Move, messages: list[ChatMessage]) -> ModelOutput:
    content: list[Content] = []
    if move.reasoning:
        content.append(ContentReasoning(reasoning=move.reasoning))
    endless = len(move.text) > LONGEST_TEXT
    if move.text:
        content.append(ContentText(text=move.text[:LONGEST_TEXT]))
    calls = [
        ToolCall(id=f"call_{turn}_{index}", function=call.name, arguments=call.arguments)
        for index, call in enumerate(move.calls)
    ]
    if move.malformed is not None:
        calls.append(
            ToolCall(id=f"call_{turn}_x", function="bash", arguments={}, parse_error=move.malformed)
        )
    said = (
        min(len(move.text), LONGEST_TEXT)
        + len(move.reasoning)
        + sum(len(str(c.arguments)) for c in calls)
    )
    read = sum(len(message.text) for message in messages)
    output_tokens = max(1, said // CHARACTERS_PER_TOKEN)
    input_tokens = max(1, read // CHARACTERS_PER_TOKEN)
    return ModelOutput(
        model=model,
        choices=[
            ChatCompletionChoice(
                message=ChatMessageAssistant(
                    content=content or "", tool_calls=calls or None, model=model, source="generate"
                ),
                stop_reason="max_tokens" if endless else "tool_calls" if calls else "stop",
            )
        ],
        usage=ModelUsage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            total_tokens=input_tokens + output_tokens,
        ),
    )
