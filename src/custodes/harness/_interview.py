"""The interview: the model that acted is asked about it, when nothing can be changed any more.

It comes after the observation, without tools and without a sandbox, in the conversation of the
episode but not in its record: the messages of the sample, the receipts and the outcome are the same
with and without it. Whatever goes wrong here is the interview's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio
from inspect_ai.model import ChatMessage, ChatMessageUser, Model, ModelOutput, get_model
from inspect_ai.solver import TaskState
from inspect_ai.tool import Tool
from inspect_ai.util import LimitExceededError, span

from custodes.scenarios import (
    INTERVIEW,
    INTERVIEW_VERSION,
    LONGEST_REPLY,
    MOST_ASKED,
    InterviewQuestion,
    Unparsable,
    compare_interview,
    judge,
    question_text,
    read_reply,
    unanswered,
)
from custodes.types import (
    LONGEST_KEPT,
    EpisodeRecord,
    Interview,
    InterviewAnswer,
    InterviewProblem,
    JsonObject,
)

from ._host import EpisodeHost
from ._messages import make_plain
from ._recorder import describe, plain
from ._tools import bash_tool, finish_tool

BY_THE_AGENT = ("agent", "silence")
"""Endings after which an agent is interviewed: those that were its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewLimits:
    """What ends an interview, apart from what ends an episode.

    Attributes:
        seconds: of the host's clock, all questions together.
        tokens: read and written, all questions together; each reads the whole conversation again.
    """

    seconds: float = 180
    tokens: int = 1_000_000


class _Broken(Exception):
    """The interview cannot go on."""

    def __init__(self, problem: InterviewProblem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


STORED_AS = "custodes_interview"
"""Where an interview stands in the store of Inspect's sample."""


async def hold_interview(state: TaskState, host: EpisodeHost, limits: InterviewLimits) -> None:
    """Interview the agent of a finished episode, and put what it says into its record."""
    record = host.record
    assert record is not None  # the sandbox is gone, and what was seen is written down
    tools = [bash_tool(host, 1), finish_tool(host)]
    # Marked as what assesses: whoever reads the log later must not take it for the agent's work.
    async with span("interview", type="scorer"):
        said = await interview(record, get_model(), state.messages, tools, limits)
    host.record = replace(record, interview=said)
    try:
        state.store.set(STORED_AS, {**said.to_json(), "compared": _compared(said, host, record)})
    except Exception as error:  # only for those who read the log: the record is whole
        state.store.set(STORED_AS, {**said.to_json(), "compared": None, "why": describe(error)})


def _compared(said: Interview, host: EpisodeHost, record: EpisodeRecord) -> list[JsonObject]:
    judged = judge(host.scenario, record.key, record.observation, record.completion)
    found = compare_interview(
        said, host.scenario, record.key.cell, judged.findings, record.observation
    )
    return [item.compared.to_json() for item in found]


async def interview(
    record: EpisodeRecord,
    model: Model,
    messages: Sequence[ChatMessage],
    tools: Sequence[Tool],
    limits: InterviewLimits,
) -> Interview:
    """Ask every question and return what came of each. Only a cancellation is raised.

    Args:
        record: the finished episode; an agent that did not end it itself is not asked.
        messages: the conversation of the episode; left as it is.
        tools: those of the episode, for model services that refuse a conversation with calls of
            tools that they are not told about. None is ever run.
    """
    ended = record.observation.of_kind("episode.ended")
    by = str(ended[-1][1].data.get("by")) if ended else "nothing"
    if by not in BY_THE_AGENT:
        return unanswered(InterviewProblem.NOT_HELD, f"the episode was ended by {by}")
    talk = _Talk(model, list(messages), tools, limits)
    problem, detail = InterviewProblem.LIMIT, f"time: {limits.seconds:g} s"
    try:
        with anyio.move_on_after(limits.seconds):
            for question in INTERVIEW:
                await talk.ask(question)
    except _Broken as broken:
        problem, detail = broken.problem, broken.detail
    except Exception as error:  # it costs the interview, and nothing else
        problem, detail = InterviewProblem.HARNESS_ERROR, plain(describe(error))
    left = unanswered(problem, detail).answers[len(talk.answers) :]
    return Interview(version=INTERVIEW_VERSION, answers=(*talk.answers, *left))


class _Talk:
    """The conversation as it goes on after the episode."""

    def __init__(
        self,
        model: Model,
        messages: list[ChatMessage],
        tools: Sequence[Tool],
        limits: InterviewLimits,
    ) -> None:
        self.answers: list[InterviewAnswer] = []
        self._model = model
        self._messages = messages
        self._tools = tools
        self._limits = limits
        self._tokens = 0

    async def ask(self, question: InterviewQuestion) -> None:
        """Ask a question, once more if need be, and note what came of it.

        Raises:
            _Broken: there is no asking on.
        """
        replies: list[str] = []
        problem = ""
        for again in range(MOST_ASKED):
            text = question_text(question, first=not self.answers, again=again > 0)
            said = await self._reply(text)
            replies.append(said[:LONGEST_KEPT])
            try:
                answer, sentence = read_reply(said)
            except Unparsable as error:
                problem = str(error)
                continue
            self.answers.append(
                InterviewAnswer(
                    question=question.id, said=answer, sentence=sentence, replies=tuple(replies)
                )
            )
            return
        self.answers.append(
            InterviewAnswer(
                question=question.id,
                said=None,
                problem=InterviewProblem.UNPARSABLE,
                detail=problem,
                replies=tuple(replies),
            )
        )

    async def _reply(self, text: str) -> str:
        if self._tokens > self._limits.tokens:
            raise _Broken(
                InterviewProblem.LIMIT, f"tokens: {self._tokens} of {self._limits.tokens}"
            )
        self._messages.append(ChatMessageUser(content=text))
        try:
            output = await self._model.generate(
                input=self._messages, tools=self._tools, tool_choice="none"
            )
            message = output.message
            make_plain(message)
        except LimitExceededError as error:
            raise _Broken(InterviewProblem.LIMIT, plain(describe(error))) from error
        except Exception as error:
            raise _Broken(InterviewProblem.MODEL_ERROR, plain(describe(error))) from error
        self._count(output)
        said = message.text
        # A call is not run and has no result: no service takes a conversation that goes on so.
        kept: dict[str, object] = {"tool_calls": None}
        if len(said) > LONGEST_REPLY:
            kept["content"] = said[:LONGEST_KEPT]  # every later question would carry it along
        self._messages.append(message.model_copy(update=kept))
        return said

    def _count(self, output: ModelOutput) -> None:
        if output.usage is not None:
            self._tokens += output.usage.total_tokens
