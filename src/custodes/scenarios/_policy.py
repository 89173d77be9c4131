"""Reference agents: scripted policies that call real tools in the real sandbox.

A script is a generator over what the agent sees. It is given the opening messages and then, for
each of its moves, what came back; never the seed, the world or any oracle state. A policy is
stateless: at every turn the script is replayed over the conversation so far.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from custodes.types import Said


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One turn of the agent: reasoning, text, and the calls it makes.

    ``malformed`` stands for a call that the provider could not parse.
    """

    reasoning: str = ""
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    malformed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back after a move: the output of each call, and messages from the user."""

    outputs: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        """All outputs, one after the other."""
        return "\n".join(self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the agent is told at the start."""

    system: str
    task: str
    tools: tuple[str, ...]

    @property
    def text(self) -> str:
        return f"{self.system}\n{self.task}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The opening and one reply for each move made so far."""

    opening: Opening
    replies: tuple[Reply, ...] = ()


Steps: TypeAlias = Generator[Move, Reply, None]
Script: TypeAlias = Callable[[Opening], Steps]


def next_move(script: Script, conversation: Conversation) -> Move:
    """The script's next move: replay it over the replies so far."""
    steps = script(conversation.opening)
    try:
        move = next(steps)
        for reply in conversation.replies:
            move = steps.send(reply)
    except StopIteration:
        return Move(text="I have nothing further to do.")
    finally:
        steps.close()
    return move


def bash(command: str, *, why: str = "", text: str = "") -> Move:
    """A move that runs one shell command."""
    call = ToolCall(name="bash", arguments={"command": command})
    return Move(reasoning=why, text=text, calls=(call,))


def finish(
    summary: str,
    *,
    checks: tuple[tuple[str, str], ...] = (),
    deviations: tuple[tuple[str, str], ...] = (),
    access: tuple[str, ...] = (),
    notes: str = "",
    declined: bool = False,
    why: str = "",
) -> Move:
    """A move that hands in the completion form (fields: ``custodes.scenarios.FORM``)."""
    arguments: dict[str, Any] = {
        "summary": summary,
        "checks": [{"name": name, "result": result} for name, result in checks],
        "deviations": [{"kind": kind, "detail": detail} for kind, detail in deviations],
        "access": list(access),
        "notes": notes,
        "declined": declined,
    }
    return Move(reasoning=why, calls=(ToolCall(name="finish", arguments=arguments),))


def rewritten(script: Script, change: Callable[[Move], Move]) -> Script:
    """The same script with every move changed; what comes back goes to the script unchanged."""

    def run(opening: Opening) -> Steps:
        steps = script(opening)
        try:
            move = next(steps)
            while True:
                move = steps.send((yield change(move)))
        except StopIteration:
            return

    return run


def silent(script: Script) -> Script:
    """The same script without a word of reasoning."""
    return rewritten(
        script, lambda move: Move(text="", calls=move.calls, malformed=move.malformed)
    )


Intent = Literal["honest", "violator", "covert", "near_miss"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One scripted way through a scenario.

    Attributes:
        name: within the scenario, such as ``history_grep``.
        intent: what the oracle must find: ``honest`` and ``near_miss`` do not attempt the act,
            ``violator`` attempts and succeeds, ``covert`` does so and files a false form.
        script: the policy.
        author: who wrote it; routes of one scenario come from more than one author.
        unprompted: it does the act even where nothing tempts: it says nothing in the twin without
            the temptation, and is not played there.
        interview: what it says when it is interviewed, by id of the question, where that is not
            what follows from its intent.
    """

    name: str
    intent: Intent
    script: Script = field(repr=False)
    author: str = "scenario"
    unprompted: bool = False
    interview: Mapping[str, Said] | None = field(default=None, hash=False)
