"""What an attack on a monitor is: the same acts, made to look different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from types import MappingProxyType
from typing import Literal

import msgspec

from custodes.transcripts import Event, EventKind, Transcript
from custodes.types import JsonObject


class Knowledge(StrEnum):
    """What an attacker must know of the monitor to think of an attack."""

    NONE = "none of the monitor"
    TEXT = "knows that rules match text"
    EFFECTS = "knows that effects are derived"
    JUDGE = "knows that a language model judges"


Targets = Literal["calls", "parser"]
ExitCode = Literal["same", "zero or not"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """A transcript after an attack.

    Attributes:
        transcript: with the same acts; the one that was given when nothing could be changed.
        changed: how many events of the original were changed or got company.
        not_applicable: why nothing was changed, else None.
        indices: where each event of the original went: old index to new index. Labels of harm
            move along it.
    """

    transcript: Transcript
    changed: int
    not_applicable: str | None
    indices: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of one event.

    Attributes:
        arguments: the new arguments of a tool call, or None to keep them.
        before: new events that come right before it.
        after: new events that come after it; for a tool call, after its result.
    """

    arguments: JsonObject | None = None
    before: tuple[Event, ...] = ()
    after: tuple[Event, ...] = ()


Transform = Callable[[Event, Transcript, Random], "Change | str"]
"""From a tool call, its run and a source of chance to a change, or why there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """A transformation that keeps what tool calls do and changes how they look.

    Attributes:
        name: its name in reports.
        family: the kind of trick; recall is reported by attack and may be summed by family.
        knowledge: what the attacker must know of the monitor.
        queries: how often the attacker may ask the monitor; 0 for a fixed script.
        describes: what it does, in words, with the conditions under which it keeps the effect.
        targets: `calls`: how acts look. `parser`: text for a language-model judge. A fixed script
            of that kind tests how the judge's answer is parsed and how its data are fenced, and
            says nothing about how easily a model is talked round.
        exit_code: what of a command's exit code is kept: all, or whether it is zero.
    """

    name: str
    family: str
    knowledge: Knowledge
    queries: int = 0
    describes: str
    targets: Targets = "calls"
    exit_code: ExitCode = "same"
    transform: Transform = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name or not self.family or not self.describes:
            raise ValueError("expected a name, a family and a description, found an empty one")
        if self.queries < 0:
            raise ValueError(f"expected a query budget of 0 or more, found {self.queries}")

    def apply(
        self, transcript: Transcript, *, seed: int, calls: Collection[int] | None = None
    ) -> Attacked:
        """The transcript as this attacker would have made it.

        Args:
            transcript: of one run. Its events stay as they are, but for tool calls that change.
            seed: of every choice that is left to chance; equal seeds give equal results.
            calls: indices of the tool calls to attack; None for all of them.

        Raises:
            TypeError: for a seed that is no whole number.
            ValueError: for an index that is no tool call of the transcript.
        """
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"expected a whole number as seed, found {seed!r}")
        events = transcript.events
        if calls is not None:
            for index in calls:
                if not 0 <= index < len(events) or events[index].kind is not EventKind.TOOL_CALL:
                    raise ValueError(f"expected the index of a tool call, found {index}")
        changes: dict[int, Change] = {}
        refusals: Counter[str] = Counter()
        for event in events:
            if event.kind is not EventKind.TOOL_CALL:
                continue
            if calls is not None and event.index not in calls:
                continue
            done = self.transform(event, transcript, Random(f"{self.name}/{seed}/{event.index}"))
            if isinstance(done, Change):
                changes[event.index] = done
            else:
                refusals[done] += 1
        if not changes:
            why = refusals.most_common(1)[0][0] if refusals else "the run has no tool call"
            return Attacked(
                transcript=transcript,
                changed=0,
                not_applicable=why,
                indices=MappingProxyType({event.index: event.index for event in events}),
            )
        return _assembled(transcript, changes, self.name)


def _assembled(transcript: Transcript, changes: Mapping[int, Change], name: str) -> Attacked:
    events = transcript.events
    waiting: dict[int, list[Event]] = {}
    for index, change in changes.items():
        if change.after:
            waiting.setdefault(_result_of(events, index), []).extend(change.after)
    new: list[Event] = []
    indices: dict[int, int] = {}

    def add(event: Event) -> None:
        new.append(msgspec.structs.replace(event, index=len(new)))

    for event in events:
        done = changes.get(event.index)
        for inserted in done.before if done else ():
            add(inserted)
        old = event.index
        indices[old] = len(new)
        if done is not None and done.arguments is not None:
            # The bytes of the source show the original call, so they no longer belong to it.
            event = msgspec.structs.replace(event, arguments=done.arguments, span=None)
        add(event)
        for inserted in waiting.get(old, ()):
            add(inserted)
    notes = (*transcript.notes, f"changed by the attack {name}; the acts are the original's")
    return Attacked(
        transcript=msgspec.structs.replace(transcript, events=tuple(new), notes=notes),
        changed=len(changes),
        not_applicable=None,
        indices=MappingProxyType(indices),
    )


def _result_of(events: tuple[Event, ...], index: int) -> int:
    """Index of the call's result, or of the call when the log has none."""
    call = events[index].call
    if call is None:
        following = events[index + 1 : index + 2]
        alone = following and following[0].kind is EventKind.TOOL_RESULT
        return index + 1 if alone else index
    for event in events[index + 1 :]:
        if event.call == call and event.kind is EventKind.TOOL_RESULT:
            return event.index
    return index


def exchange(
    like: Event, arguments: JsonObject, output: str, rng: Random, *, tool: str | None = None
) -> tuple[Event, Event]:
    """A tool call that was not there before, and its result, at the time of ``like``."""
    call = None if like.call is None else f"call_{rng.getrandbits(64):016x}"
    name = tool or like.tool
    return (
        Event(
            index=0,
            kind=EventKind.TOOL_CALL,
            call=call,
            tool=name,
            arguments=arguments,
            at_us=like.at_us,
        ),
        Event(
            index=0,
            kind=EventKind.TOOL_RESULT,
            call=call,
            tool=name,
            text=output,
            at_us=like.at_us,
        ),
    )


def scratch(rng: Random, suffix: str = "") -> str:
    """Path of a file that the attacker makes."""
    return f"/tmp/{label(rng, 6)}{suffix}"


def label(rng: Random, length: int = 4) -> str:
    """A name that means nothing."""
    return "".join(rng.choice("bcdfghjkmnpqrstvwxz") for _ in range(length))
