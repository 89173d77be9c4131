"""One real evaluation by Inspect in our provider, with a model that follows a script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    Model,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    get_model,
    modelapi,
)
from inspect_ai.solver import Solver
from inspect_ai.tool import ToolChoice, ToolInfo
from inspect_ai.util import SandboxEnvironmentSpec, sandbox

from custodes.containment import Sandbox, _inspect_tools, _volumes
from custodes.harness._sandboxenv import CustodesSandboxEnvironment, SandboxConfig


@pytest.fixture(scope="module", autouse=True)
def own_tools() -> Iterator[None]:
    """The process keeps its copy of Inspect's tools to its end; other tests count what is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_inspect_tools, "_extracted", None)
        yield
        if _inspect_tools._extracted is not None:
            _volumes.remove_volume(_inspect_tools._extracted[1].parent)


@modelapi(name="scripted")
class Scripted(ModelAPI):
    """Inspect's own mock counts tokens with a tokenizer that it downloads."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        outputs: Sequence[ModelOutput] = (),
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        self._outputs = iter(outputs)

    async def generate(
        self,
        input: list[ChatMessage],
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        output = next(self._outputs)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    async def count_text_tokens(self, text: str) -> int:
        return len(text)


def scripted(*outputs: ModelOutput) -> Model:
    return get_model("scripted/model", memoize=False, outputs=outputs)


def call(tool: str, **arguments: Any) -> ModelOutput:
    return ModelOutput.for_tool_call("scripted", tool, arguments)


def says(text: str) -> ModelOutput:
    return ModelOutput.from_content("scripted", text)


@dataclass
class Seen:
    """The sandbox of the sample, kept beyond its end."""

    boxes: list[Sandbox] = field(default_factory=list)

    def note(self) -> Sandbox:
        box = sandbox().as_type(CustodesSandboxEnvironment)._sandbox
        assert isinstance(box, Sandbox)
        self.boxes.append(box)
        return box


def evaluate(
    solver: Solver, model: Model, folder: Path, *, config: SandboxConfig | None = None
) -> EvalLog:
    task = Task(
        dataset=[Sample(input="Go on.", id=1)],
        solver=solver,
        sandbox=SandboxEnvironmentSpec("custodes", config or SandboxConfig()),
    )
    (log,) = eval(
        task,
        model=model,
        display="none",
        log_level="error",
        log_dir=str(folder),
        log_realtime=False,
        score=False,
        acp_server=False,
        ctl_server=False,
    )
    return log


def tool_answers(log: EvalLog) -> Sequence[str]:
    """What the tools said, in order; an error of a tool raises."""
    assert log.error is None, log.error.message
    (sample,) = log.samples or []
    assert sample.error is None, sample.error.message
    answers = []
    for message in sample.messages:
        if message.role == "tool":
            assert message.error is None, message.error
            answers.append(message.text)
    return answers
