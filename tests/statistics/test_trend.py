"""The trend of time horizons, against published figures and plain least squares."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.statistics._trend import Release, trend

START = date(2024, 1, 1)


def releases(*p50s: float | None, apart: int = 100) -> list[Release]:
    return [
        Release(agent=f"agent {i}", date=START + timedelta(days=apart * i), p50=p50)
        for i, p50 in enumerate(p50s)
    ]


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, Any]:
    path = shared_data / "horizon" / "published_2026-01.json"
    return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))


def published_releases(version: dict[str, Any]) -> list[Release]:
    return [
        Release(
            agent=name,
            date=date.fromisoformat(agent["release_date"]),
            p50=agent["p50"]["estimate"],
        )
        for name, agent in version["agents"].items()
    ]


def test_published_doubling_times(published: dict[str, Any]) -> None:
    agents = published_releases(published["1.1"])
    figures = published["1.1"]["doubling_time_in_days"]
    for since, name, expected in (
        (None, "all_time_stitched", 196.475),
        (date(2023, 1, 1), "from_2023_on", 130.801),
    ):
        assert figures[name]["point_estimate"] == expected
        doubling = trend(agents, since=since).doubling_time_days
        assert doubling.estimate == pytest.approx(expected, abs=5e-4)
        assert doubling.low is None and "go together" in str(doubling.note)


def test_the_best_are_the_published_ones(published: dict[str, Any]) -> None:
    for version in published.values():
        result = trend(published_releases(version))
        flags = {name: agent["is_sota"] for name, agent in version["agents"].items()}
        assert {agent.agent: agent.best for agent in result.agents} == flags
        assert all(agent.used == agent.best for agent in result.agents)


def test_since_selects_points_after_the_best_are_known() -> None:
    # The second is no best of its day although it is the first of the line's days.
    agents = releases(10, 5, 20, 80)
    result = trend(agents, since=START + timedelta(days=50))
    assert [agent.best for agent in result.agents] == [True, False, True, True]
    assert [agent.used for agent in result.agents] == [False, False, True, True]
    assert result.doubling_time_days.estimate == pytest.approx(50)
    assert result.origin == START + timedelta(days=200)
    assert result.intercept == pytest.approx(math.log(20))
    assert result.slope == pytest.approx(math.log(2) / 50)
    # The day itself belongs to the line.
    assert trend(agents, since=START).doubling_time_days == trend(agents).doubling_time_days


def test_ties_and_days_shared() -> None:
    day = START + timedelta(days=30)
    agents = [
        Release(agent="first", date=START, p50=8),
        Release(agent="equal later", date=day, p50=8),
        Release(agent="worse", date=day, p50=4),
        Release(agent="b", date=day + timedelta(days=30), p50=16),
        Release(agent="a", date=day + timedelta(days=30), p50=16),
        Release(agent="c", date=day + timedelta(days=30), p50=12),
    ]
    best = {agent.agent for agent in trend(agents).agents if agent.best}
    assert best == {"first", "a"}
    assert trend(agents) == trend(agents[::-1])
    assert trend(agents).doubling_time_days.estimate == pytest.approx(60)


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000), st.floats(0.01, 1e5)), min_size=2, max_size=15
    )
)
def test_the_line_is_that_of_polyfit(points: list[tuple[int, float]]) -> None:
    agents = [
        Release(agent=str(i), date=START + timedelta(days=day), p50=p50)
        for i, (day, p50) in enumerate(points)
    ]
    result = trend(agents)
    used = [agent for agent in result.agents if agent.used]
    highest = 0.0
    for agent in used:
        assert agent.p50 is not None and agent.p50 > highest
        highest = agent.p50
    assert highest == max(p50 for _, p50 in points)
    if len(used) < 2:
        assert result.doubling_time_days.estimate is None
        assert "two best agents" in str(result.doubling_time_days.note)
        return
    x = np.array([(agent.date - used[0].date).days for agent in used], dtype=np.float64)
    y = np.log([agent.p50 or math.nan for agent in used])
    slope, height = np.polyfit(x - x.mean(), y, 1)
    assert result.slope == pytest.approx(slope, rel=1e-8)
    assert result.intercept == pytest.approx(height - slope * x.mean(), rel=1e-6, abs=1e-8)
    assert result.origin == used[0].date
    # Horizons of the best ascend, so the line does.
    assert result.doubling_time_days.estimate == pytest.approx(math.log(2) / slope, rel=1e-8)


def test_what_has_no_logarithm_is_listed_and_not_used() -> None:
    result = trend(releases(0, 5, None, 10, math.inf, 20))
    notes = [agent.note for agent in result.agents]
    assert [note is None for note in notes] == [False, True, False, True, False, True]
    assert [agent.best for agent in result.agents] == [False, True, False, True, False, True]
    assert result.doubling_time_days.estimate == pytest.approx(200)
    empty = trend(releases(0, None))
    assert empty.doubling_time_days.estimate is None
    assert (empty.slope, empty.intercept, empty.origin) == (None, None, None)


# Replicates -----------------------------------------------------------------------------------


def drawn(agents: list[Release], spread: float, count: int = 400) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {
        agent.agent: (agent.p50 or 0.0) * np.exp(spread * rng.normal(size=count))
        for agent in agents
    }


def test_the_interval_is_that_of_lines_through_each_replicate() -> None:
    agents = releases(4, 9, 8, 30, 60)
    replicates = drawn(agents, 0.4)
    result = trend(agents, replicates=replicates)
    for anew, doubling in (
        (True, result.doubling_time_days),
        (False, result.doubling_time_days_same_best),
    ):
        assert doubling.best == ("anew" if anew else "same")
        slopes = []
        for i in range(400):
            values = [float(replicates[agent.agent][i]) for agent in agents]
            if anew:
                points = [k for k in range(5) if values[k] > max(values[:k], default=0)]
            else:
                points = [0, 1, 3, 4]
            x = 100.0 * np.array(points)
            slopes.append(
                np.polyfit(x, np.log([values[k] for k in points]), 1)[0]
                if len(points) > 1
                else math.nan
            )
        ordered = np.sort(slopes)
        # 2.5 % of 401 is 10.025: the tenth from each end.
        assert doubling.low == pytest.approx(math.log(2) / ordered[-10], rel=1e-9)
        assert doubling.high == pytest.approx(math.log(2) / ordered[9], rel=1e-9)
        assert doubling.estimate is not None
        assert doubling.low is not None and doubling.high is not None
        assert doubling.low < doubling.estimate < doubling.high
        assert (doubling.replicates, doubling.unidentified) == (400, 0)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert {"estimate", "low", "high"} <= set(document["doubling_time_days"])
    assert document["from"] is None and len(document["agents"]) == 5


def test_agents_that_do_not_differ_open_the_interval_of_the_same_best() -> None:
    agents = releases(10, 10.1, 10.2)
    result = trend(agents, replicates=drawn(agents, 1.0))
    same, anew = result.doubling_time_days_same_best, result.doubling_time_days
    assert same.high is None and "no growth is not excluded" in str(same.note)
    assert same.low is not None and anew.low is not None
    # A replicate in which the first stays best has no line, and says nothing either way.
    assert anew.unidentified > 0 and anew.high is None


def test_a_replicate_with_an_agent_without_a_horizon_counts_at_both_ends() -> None:
    agents = releases(4, 8, 16)
    replicates = drawn(agents, 0.05)
    for lost in (math.nan, math.inf):
        columns = {name: values.copy() for name, values in replicates.items()}
        columns["agent 1"][:5] = lost
        few = trend(agents, replicates=columns).doubling_time_days
        assert few.unidentified == 5 and few.high is not None
        columns["agent 1"][:50] = lost
        many = trend(agents, replicates=columns).doubling_time_days
        assert many.high is None and many.low == 0.0
        assert "open at both ends" in str(many.note)
    # An agent that failed everything is never the best, and its replicates are complete.
    columns = {**replicates, "agent 3": np.zeros(400)}
    result = trend(releases(4, 8, 16, 0), replicates=columns)
    assert result.doubling_time_days.unidentified == 0


def test_few_replicates_and_other_levels_have_no_interval() -> None:
    agents = releases(4, 8, 16)
    few = trend(agents, replicates=drawn(agents, 0.1, 99)).doubling_time_days
    assert few.low is None and "99 replicates" in str(few.note)
    wide = trend(agents, replicates=drawn(agents, 0.1), level=0.8).doubling_time_days
    assert wide.low is None and "level of 0.95" in str(wide.note)
    thin = trend(agents, replicates=drawn(agents, 0.1), families=9).doubling_time_days
    assert thin.low is None and "10 families" in str(thin.note)
    assert trend(agents, replicates=drawn(agents, 0.1), families=10).doubling_time_days.low
    with pytest.raises(ValueError, match="families"):
        trend(agents, families=-1)


# Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_releases",
    [
        pytest.param([], id="none"),
        pytest.param([("a", START, 3.0)], id="no release"),
        pytest.param(releases(1) * 2, id="a name twice"),
        pytest.param([Release(agent="", date=START, p50=1)], id="no name"),
        pytest.param([Release(agent="a", date=START, p50=-1)], id="negative"),
        pytest.param([Release(agent="a", date=START, p50=math.nan)], id="NaN"),
        pytest.param([Release(agent="a", date=START, p50=cast(Any, "3"))], id="text"),
        pytest.param([Release(agent="a", date=START, p50=cast(Any, [3]))], id="list"),
        pytest.param([Release(agent="a", date=cast(Any, "2024-01-01"), p50=1)], id="text date"),
        pytest.param(
            [Release(agent="a", date=datetime(2024, 1, 1, tzinfo=UTC), p50=1)],
            id="date with a time",
        ),
    ],
)
def test_releases_that_cannot_be_used_are_refused(given_releases: list[Any]) -> None:
    with pytest.raises((ValueError, TypeError), match="expected") as caught:
        trend(given_releases)
    assert "\n" not in str(caught.value)


def test_replicates_that_do_not_fit_are_refused() -> None:
    agents = releases(4, 8)
    good = drawn(agents, 0.1)
    for bad, words in (
        ({"agent 0": good["agent 0"]}, "found none of 'agent 1'"),
        ({**good, "agent 1": good["agent 1"][:-1]}, "399 and 400"),
        ({**good, "agent 1": -good["agent 1"]}, "negative"),
        ({**good, "agent 1": good["agent 1"][None, :]}, "one row"),
    ):
        with pytest.raises(ValueError, match=words):
            trend(agents, replicates=bad)
    with pytest.raises(TypeError, match="since to be a date"):
        trend(agents, since=cast(Any, "2024-01-01"))
    with pytest.raises(ValueError, match="level"):
        trend(agents, level=0.5)
