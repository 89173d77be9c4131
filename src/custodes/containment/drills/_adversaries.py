"""The adversaries: what each does to outlive a stop, and how one knows that it is up."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import _agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversary:
    """A scripted program that is hard to stop.

    Attributes:
        name: name of its body in ``_agent``.
        description: one sentence.
        beats: how many heartbeat files show that it is up.
        leaves_group: a kill of the launched command's process group must leave survivors; a drill
            that sees none could not have seen any.
        interval_ms: longest pause between two beats.
        shows_stopped: one of its processes must be seen stopped before the drill begins.
    """

    name: str
    description: str
    beats: int
    leaves_group: bool
    interval_ms: int = 5
    shows_stopped: bool = False

    def __post_init__(self) -> None:
        if self.name not in _agent.BODIES:
            raise ValueError(f"the adversary {self.name} has no body in _agent")

    def argv(self, interpreter: str) -> list[str]:
        return [interpreter, "-I", "-S", "-c", inspect.getsource(_agent), self.name]


_ALL = (
    Adversary(
        name="plain",
        description="One process that does nothing against being stopped.",
        beats=1,
        leaves_group=False,
    ),
    Adversary(
        name="sigterm_ignoring",
        description="Ignores every signal that can be ignored and is used to ask for an end.",
        beats=1,
        leaves_group=False,
    ),
    Adversary(
        name="own_session",
        description="Starts a child in a session, and so a process group, of its own.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="double_forked",
        description="Leaves a daemon: own session, parent gone, no descendant of the command.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="reparented",
        description="Stays in the group, but is no longer a descendant of the command.",
        beats=2,
        leaves_group=False,
    ),
    Adversary(
        name="fork_hopping",
        description="A daemon that forks and ends every few milliseconds: a new process each time.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="stopped",
        description="A child in its own session that is stopped, waiting to be continued.",
        beats=2,
        leaves_group=True,
        shows_stopped=True,
    ),
    Adversary(
        name="holding_pipe",
        description="A child that keeps the command's output open after the command has ended.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="mid_write",
        description="A child in its own session in the middle of writing a file.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="fork_storm",
        description="Forty children, each in a session of its own.",
        beats=41,
        leaves_group=True,
        interval_ms=20,
    ),
)

ADVERSARIES: Mapping[str, Adversary] = {adversary.name: adversary for adversary in _ALL}
"""Every adversary by name."""


def adversaries(names: Iterable[str] | None) -> list[Adversary]:
    """Those of these names, or all.

    Raises:
        ValueError: for an unknown name, with the nearest known one, or for none at all.
    """
    return [ADVERSARIES[name] for name in known(names, ADVERSARIES, "adversary")]


def known(names: Iterable[str] | None, among: Iterable[str], what: str) -> list[str]:
    """``names`` without repeats, each known; all that are known for None."""
    everything = list(among)
    if names is None:
        return everything
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in everything:
            near = difflib.get_close_matches(name, everything, n=1, cutoff=0.0)
            raise ValueError(f"there is no {what} {name!r}; the nearest is {near[0]!r}")
    if not chosen:
        raise ValueError(f"expected the name of at least one {what}")
    return chosen
