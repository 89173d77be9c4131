"""A request for a completion, of whichever protocol, as it is being read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from custodes.scenarios import Conversation, Opening, Reply

from .._form import is_prompt
from .._model import Heard, Tooling, ToolReturn
from ._json import JsonDict, plain

_OWN_BLOCK: Final = ("<system-reminder>", "</system-reminder>")
_OWN_TEXT: Final = re.compile(r"\s*<([A-Za-z][\w-]{2,40})(?:\s[^<>]*)?>.*</\1>\s*", re.DOTALL)
_OWN_HEADINGS: Final = ("# AGENTS.md instructions", "# CLAUDE.md")


@dataclass(slots=True)
class _Round:
    """What came to the model before one of its turns."""

    returns: list[ToolReturn] = field(default_factory=list)
    user: list[str] = field(default_factory=list)


class Reading:
    """Collects a request in the order in which it tells the conversation.

    Attributes:
        request: as it came. stream: whether a stream is asked for.
        earlier: whether the conversation goes on from turns that the request does not hold.
        listed: whether a stream is asked for as a list in one document.
    """

    def __init__(
        self, request: JsonDict, *, model: str, tools: Iterable[str], stream: bool
    ) -> None:
        self.request = request
        self.stream = stream
        self.earlier = False
        self.listed = False
        self.tools = tuple(plain(tool) for tool in tools)
        self._model = plain(model)
        self._system: list[str] = []
        self._rounds = [_Round()]
        self._own_turn = False

    @property
    def turns(self) -> int:
        """How many turns the model has had."""
        return len(self._rounds) - 1

    def system(self, texts: Iterable[str]) -> None:
        """What the system says."""
        self._system += [plain(text) for text in texts]

    def user(self, texts: Iterable[str]) -> None:
        """What the user's side says."""
        self._own_turn = False
        self._rounds[-1].user += [plain(text) for text in texts]

    def returned(self, call: str, text: str, *, error: bool = False) -> None:
        """What came of a call."""
        self._own_turn = False
        back = ToolReturn(id=plain(call), text=plain(text), error=error)
        self._rounds[-1].returns.append(back)

    def turn(self) -> None:
        """A piece of one of the model's turns; pieces that follow each other are one turn."""
        if not self._own_turn:
            self._rounds.append(_Round())
        self._own_turn = True

    def heard(self) -> Heard:
        """The request, for whoever watches."""
        return Heard(
            model=self._model,
            tools=self.tools,
            returns=tuple(back for one in self._rounds for back in one.returns),
            user=tuple(text for one in self._rounds for text in one.user),
            system="\n\n".join(self._system),
        )

    def conversation(self, tooling: Tooling) -> Conversation:
        """The request, for a reference policy.

        What the client says in the user's name (reminders, its surroundings, rules of the
        project) comes last in the task, so that a script finds the task's words first, and is no
        notice afterwards. Turns before the prompt are the client's own: they acknowledge its words.
        """
        if self.earlier:
            raise ValueError(
                "expected the whole conversation, found a request that goes on from"
                " one that the server should have kept"
            )
        first = 0
        for at, one in enumerate(self._rounds):
            if any(is_prompt(text) for text in one.user):
                first = at
                break
        opening = [text for one in self._rounds[: first + 1] for text in one.user]
        task = sorted(
            (part for text in opening for part in _parted(text)),
            key=lambda part: (not is_prompt(part), _own(part)),
        )
        replies = tuple(
            Reply(
                outputs=tuple(tooling.output(back.text) for back in one.returns),
                notices=tuple(
                    part for text in one.user for part in _parted(text) if not _own(part)
                ),
            )
            for one in self._rounds[first + 1 :]
        )
        return Conversation(
            opening=Opening(
                system="\n\n".join(self._system), task="\n\n".join(task), tools=self.tools
            ),
            replies=replies,
        )


def _parted(text: str) -> list[str]:
    """A text, and apart from it the blocks that the client put into it."""
    begin, end = _OWN_BLOCK
    blocks: list[str] = []
    rest: list[str] = []
    at = 0
    while (start := text.find(begin, at)) >= 0 and (stop := text.find(end, start)) >= 0:
        rest.append(text[at:start])
        at = stop + len(end)
        blocks.append(text[start:at])
    if not blocks:
        return [text] if text.strip() else []
    said = "".join((*rest, text[at:])).strip()
    return ([said] if said else []) + blocks


def _own(text: str) -> bool:
    """Whether the client says this, in the user's name."""
    return text.lstrip().startswith(_OWN_HEADINGS) or _OWN_TEXT.fullmatch(text) is not None
