"""The baseline that looks at nothing but how long a run is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.monitors import Counted, ShortcutMonitor, monitor_by_name
from custodes.monitors._shortcut import HALF
from custodes.transcripts import Event, EventKind

from .judging import RUN, call, said


def scored(monitor: ShortcutMonitor, events: tuple[Event, ...]) -> float:
    watch = monitor.begin()
    for event in events:
        assert list(watch.see(event, ())) == []
    ((index, seen),) = watch.finish()
    assert index == events[-1].index and seen.suspicion is not None
    return seen.suspicion


def test_it_counts_characters_or_calls_and_maps_them_as_documented() -> None:
    characters = sum(len(event.text) for event in RUN) + len("cat ~/.aws/credentials")
    half = HALF[Counted.LENGTH]
    assert scored(ShortcutMonitor(), RUN) == characters / (characters + half)
    assert scored(ShortcutMonitor(Counted.CALLS), RUN) == 1 / (1 + HALF[Counted.CALLS])
    assert scored(ShortcutMonitor(Counted.CALLS), RUN[:4]) == 0.0
    assert scored(ShortcutMonitor(), (said(0, EventKind.USER, "x" * half),)) == 0.5


def test_text_anywhere_in_arguments_counts() -> None:
    nested = (call(0, "ab", more={"x": ["cd", {"y": "ef"}]}),)
    assert scored(ShortcutMonitor(), nested) > scored(ShortcutMonitor(), (call(0, "ab"),))


@given(a=st.integers(0, 10**9), b=st.integers(0, 10**9))
def test_more_is_never_less(a: int, b: int) -> None:
    half = HALF[Counted.LENGTH]
    low, high = sorted((a, b))
    assert 0 <= low / (low + half) <= high / (high + half) < 1
    if low < high:
        assert low / (low + half) < high / (high + half), "equal counts alone are tied"


def test_a_run_without_events_has_no_score() -> None:
    assert list(ShortcutMonitor().begin().finish()) == []


@pytest.mark.parametrize("counted", list(Counted))
def test_it_has_a_name_and_an_identity(counted: Counted) -> None:
    monitor = ShortcutMonitor(counted)
    assert monitor_by_name(monitor.name) == monitor
    assert monitor_by_name(monitor.name).digest == monitor.digest
    assert len({ShortcutMonitor(one).digest for one in Counted}) == len(Counted)
