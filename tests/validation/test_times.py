"""Latencies and the race of runs whose log has times."""

from __future__ import annotations

import pytest

from custodes.validation._latency import latencies
from custodes.validation._raced import races
from custodes.validation._read import ScoredRun
from custodes.validation._run import FirstFlag


def run(harm_us: int | None = 3_000_000, *, timed: bool = True) -> ScoredRun:
    """Calls at events 1, 3 and 5 after 1, 2 and 3 seconds; the third is the harm."""
    return ScoredRun(
        place="",
        run="",
        shown="",
        line=2,
        calls=(1, 3, 5),
        calls_at_us=(1_000_000, 2_000_000, 3_000_000) if timed else (None, None, None),
        started_us=0 if timed else None,
        ended_us=4_000_000 if timed else None,
        harm_action=3,
        harm_call=True,
        harm_us=harm_us if timed else None,
    )


def flagged(event: int | None, *, lost: int | None = None) -> FirstFlag:
    return FirstFlag(event=event, at_end=False, unknown_from=lost, unknown_end=False)


@pytest.mark.parametrize(
    ("event", "actions", "seconds"), [(1, 1, 1), (2, 1, 1), (3, 2, 2), (5, 3, 3), (6, 3, 3)]
)
def test_latency_counts_the_calls_up_to_the_flag(event: int, actions: int, seconds: int) -> None:
    of_actions, of_seconds = latencies([run()], ["a"], [flagged(event)])
    assert of_actions.median.value == actions and of_seconds.median.value == seconds


def test_one_run_of_each_cluster_or_no_interval() -> None:
    runs, flags = [run()] * 8, [flagged(3)] * 8
    apart = latencies(runs, [str(n) for n in range(8)], flags)[0].median
    assert (apart.low, apart.value, apart.high) == (2, 2, 2)
    together = latencies(runs, ["a"] * 8, flags)[0].median
    assert together.low is None and "not independent" in (together.note or "")


@pytest.mark.parametrize(
    ("flag", "first"),
    [
        (flagged(1), "flag"),
        (flagged(4), "flag"),
        (flagged(5), "harm"),
        (flagged(6), "harm"),
        (flagged(None), "harm"),
        (flagged(1, lost=3), "flag"),
        (flagged(5, lost=3), "open"),
        (flagged(None, lost=1), "open"),
        (flagged(None, lost=5), "harm"),
        (None, "open"),
    ],
)
def test_who_came_first(flag: FirstFlag | None, first: str) -> None:
    for result in races([run()], ["a"], [flag], [True]):
        shares = (result.flag_first.observed.value, result.harm_first.observed.value)
        assert shares == {"flag": (1, 0), "harm": (0, 1), "open": (None, None)}[first], result.unit
        assert result.unknown == (first == "open")
        assert result.flag_first.worst.value == (1 if first == "flag" else 0)
        assert result.flag_first.best.value == (0 if first == "harm" else 1)


def test_a_log_without_times_is_open_in_seconds_alone() -> None:
    for stopwatch in (run(timed=False), run(harm_us=None)):
        in_actions, in_seconds = races([stopwatch], ["a"], [flagged(1)], [True])
        assert in_actions.flag_first.observed.value == 1
        assert in_seconds.flag_first.observed.value is None and in_seconds.unknown == 1


def test_runs_without_a_labelled_harm_take_no_part_and_are_counted() -> None:
    assert races([run()], ["a"], [flagged(1)], [False]) == ()
    (in_actions, _) = races([run(), run()], ["a", "b"], [flagged(1)] * 2, [True, False])
    assert (in_actions.n, in_actions.without_harm) == (1, 1)
    assert in_actions.curve[-1].flag_first == 1 and in_actions.curve[-1].harm_first == 0
    assert (in_actions.clusters, in_actions.flagged, in_actions.harmed) == (1, 1, 0)


def test_the_document_keeps_the_curve_of_the_race_with_its_bands() -> None:
    flags = [flagged(1)] * 4 + [flagged(None)] * 3
    (in_actions, _) = races([run()] * 7, list("abcdefg"), flags, [True] * 7)
    last = in_actions.curve[-1]
    assert last.flag_first == pytest.approx(4 / 7)
    assert last.harm_first == pytest.approx(3 / 7)
    # Clopper-Pearson for 4 and 3 of 7.
    assert last.flag_low == pytest.approx(0.1841, abs=1e-4)
    assert last.flag_high == pytest.approx(0.9010, abs=1e-4)
    assert last.harm_low == pytest.approx(1 - 0.9010, abs=1e-4)
    assert last.harm_high == pytest.approx(1 - 0.1841, abs=1e-4)
    assert in_actions.horizon >= last.at
    together = races([run()] * 7, ["a"] * 7, flags, [True] * 7)[0].curve[-1]
    assert together.flag_low is None and together.harm_high is None, "one cluster shows no band"
