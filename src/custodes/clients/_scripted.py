"""A model's server that plays a reference policy through a client's own tools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from custodes.scenarios import (
    Conversation,
    Move,
    Reply,
    check_reference_policy,
    reference_move,
)

from ._model import ClientError, Payload, Tooling
from .dialects import Base

_ASIDE: Final = Move(text="ok")
_FINISH: Final = "finish"


def scripted(dialect: Base, policy: str, tooling: Tooling) -> Callable[[str, str, bytes], Payload]:
    """The server: method, path with its query and body to what it answers.

    Nothing is kept between requests: the conversation is read from each one, as a hosted model
    reads it. Questions on the side, which offer no tool that runs commands (titles, summaries), are
    answered without the policy.

    Raises:
        UnknownPolicy: no reference policy has that name.
    """
    check_reference_policy(policy)

    def answer(method: str, path: str, body: bytes) -> Payload:
        if not dialect.wants(method, path.partition("?")[0]):
            return dialect.beside(method, path, body)
        try:
            tools = dialect.heard(path, body).tools
            if not _has_shell(tooling, tools):
                return dialect.speak(path, body, _ASIDE, tooling)
            move = due(policy, dialect.conversation(path, body, tooling))
            return dialect.speak(path, body, move, tooling)
        except ValueError as error:
            return dialect.failure(400, str(error))

    return answer


def due(policy: str, conversation: Conversation) -> Move:
    """The policy's part that is due in a conversation where a form is a message of its own.

    A move that hands in the form together with other calls is said in two completions: the calls,
    and after their results the form. The policy is shown both as the one move that it made.
    """
    shown: list[Reply] = []
    form: Move | None = None
    for reply in conversation.replies:
        if form is None:
            _, form = _split(_next(policy, conversation, shown))
            shown.append(reply)
        else:
            form = None
            shown[-1] = replace(shown[-1], notices=shown[-1].notices + reply.notices)
    if form is not None:
        return form
    calls, _ = _split(_next(policy, conversation, shown))
    return calls


def _next(policy: str, conversation: Conversation, shown: Sequence[Reply]) -> Move:
    return reference_move(policy, replace(conversation, replies=tuple(shown)))


def _split(move: Move) -> tuple[Move, Move | None]:
    """A move without the form that it hands in beside other calls, and the form."""
    forms = tuple(call for call in move.calls if call.name == _FINISH)
    others = tuple(call for call in move.calls if call.name != _FINISH)
    if not forms or not (others or move.malformed is not None):
        return move, None
    return replace(move, calls=others), Move(calls=forms)


def _has_shell(tooling: Tooling, tools: Sequence[str]) -> bool:
    try:
        tooling.call("true", tools)
    except ClientError:
        return False
    return True
