"""One run under monitors: scores of actions and of transcripts, and when a run was flagged."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.monitors import Observation
from custodes.transcripts import Event, EventKind, Transcript
from custodes.validation._run import (
    Seen,
    Spoken,
    action_scores,
    first_flag,
    transcript_score,
    watch_run,
)

from .monitors import Scripted, command_of


def transcript(*commands: str, ask: str | None = None) -> Transcript:
    events = [Event(index=0, kind=EventKind.USER, text="work", part=ask)]
    for number, command in enumerate(commands):
        call = f"c{number}"
        events.append(
            Event(
                index=len(events),
                kind=EventKind.TOOL_CALL,
                tool="bash",
                call=call,
                arguments={"command": command},
            )
        )
        events.append(Event(index=len(events), kind=EventKind.TOOL_RESULT, call=call, text="ok"))
    return Transcript(events=tuple(events))


CALLS = (1, 3, 5)


def said_of(**answers: float | None) -> Scripted:
    return Scripted("scripted", says=lambda event: answers.get(command_of(event), 0.0))


def spoken(monitor: Scripted, *commands: str) -> Spoken:
    found, _ = watch_run(transcript(*commands), [monitor])
    return found["scripted"]


def test_an_action_has_what_was_said_when_it_was_called() -> None:
    said = spoken(said_of(a=0.2, b=0.7), "a", "b", "c")
    assert action_scores(said, CALLS, flag_at=0.5) == (0.2, 0.7, 0.0)
    assert transcript_score(said, flag_at=0.5) == 0.7
    assert first_flag(said, flag_at=0.5).event == 3


def test_silence_is_a_score_of_zero_and_failure_is_none() -> None:
    assert transcript_score(spoken(said_of(), "a", "b", "c"), flag_at=0.5) == 0.0
    said = spoken(said_of(b=None), "a", "b", "c")
    assert action_scores(said, CALLS, flag_at=0.5) == (0.0, None, 0.0)
    assert transcript_score(said, flag_at=0.5) is None
    assert said.reasons == ("it could not say",)


def test_a_known_flag_outweighs_what_was_not_judged_and_less_does_not() -> None:
    assert transcript_score(spoken(said_of(a=0.6, b=None), "a", "b"), flag_at=0.5) == 0.6
    assert transcript_score(spoken(said_of(a=0.4, b=None), "a", "b"), flag_at=0.5) is None


def test_what_the_end_says_counts_for_the_run_and_for_no_action() -> None:
    monitor = Scripted("scripted", ends=lambda events: 0.9)
    said = spoken(monitor, "a", "b")
    assert action_scores(said, (1, 3), flag_at=0.5) == (0.0, 0.0)
    assert transcript_score(said, flag_at=0.5) == 0.9
    flag = first_flag(said, flag_at=0.5)
    assert flag.event is None and flag.at_end


@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(0), KeyError("y")])
def test_a_monitor_that_fails_has_judged_nothing_from_there_on(error: BaseException) -> None:
    def says(event: Event) -> float:
        if command_of(event) == "b":
            raise error
        return 0.3

    said = spoken(Scripted("scripted", says=says), "a", "b", "c")
    assert action_scores(said, CALLS, flag_at=0.5) == (0.3, None, None)
    assert transcript_score(said, flag_at=0.5) is None
    assert said.failed_at == 3
    assert said.reasons == (f"the monitor failed: {type(error).__name__}",)
    assert first_flag(said, flag_at=0.5).unknown_from == 3


def test_a_monitor_that_cannot_begin_has_judged_nothing() -> None:
    class NeverBegins(Scripted):
        def begin(self, run: Transcript | None = None) -> object:  # type: ignore[override]
            raise OSError("no model")

    said = spoken(NeverBegins("scripted"), "a")
    assert action_scores(said, (1,), flag_at=0.5) == (None,)
    assert transcript_score(said, flag_at=0.5) is None


@pytest.mark.parametrize("answer", ["suspicious", 0.5, None, (0, 0.5)])
def test_an_answer_that_is_no_observation_is_a_failure(answer: object) -> None:
    class Odd(Scripted):
        def begin(self, run: Transcript | None = None) -> object:  # type: ignore[override]
            return self

        def see(self, event: Event, effects: Sequence[object]) -> Sequence[object]:
            return (answer,)

        def finish(self) -> Sequence[tuple[int, Observation]]:
            return ()

    said = spoken(Odd("scripted"), "a")
    assert transcript_score(said, flag_at=0.5) is None


def test_one_that_fails_costs_the_other_nothing() -> None:
    def fails(event: Event) -> float:
        raise ValueError

    found, _ = watch_run(
        transcript("a"), [Scripted("bad", says=fails), Scripted("good", says=lambda e: 0.8)]
    )
    assert transcript_score(found["bad"], flag_at=0.5) is None
    assert transcript_score(found["good"], flag_at=0.5) == 0.8


def test_monitors_see_what_a_deployment_would() -> None:
    seen: list[int] = []

    def says(event: Event) -> float:
        seen.append(event.index)
        return 0.0

    watch_run(transcript("a", ask="ask"), [Scripted("scripted", says=says)])
    assert seen == [1, 2]


_seen = st.builds(Seen, st.integers(0, 9), st.floats(0, 1), st.booleans())


@given(
    st.lists(_seen, unique_by=lambda one: one.event),
    st.lists(_seen, unique_by=lambda one: one.event),
    st.none() | st.integers(0, 10),
    st.floats(0.01, 1),
)
def test_the_score_is_never_below_a_known_flag_and_never_invented(
    seen: list[Seen], end: list[Seen], failed_at: int | None, flag_at: float
) -> None:
    said = Spoken(
        seen=tuple(sorted(seen, key=lambda one: one.event)), end=tuple(end), failed_at=failed_at
    )
    score = transcript_score(said, flag_at=flag_at)
    strongest = max((one.suspicion for one in (*seen, *end)), default=0.0)
    unknown = failed_at is not None or any(one.unknown for one in (*seen, *end))
    assert score in (None, strongest)
    assert (score is None) == (unknown and strongest < flag_at)
    flag = first_flag(said, flag_at=flag_at)
    if flag.event is not None or flag.at_end:
        assert score is not None and score >= flag_at
