"""Time horizons: the fit against general optimisers, the bootstrap against a plain one."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize, root

from custodes.statistics import _horizon_fit as outcome
from custodes.statistics._horizon import fit_horizons, horizons, sensitivity
from custodes.statistics._horizon_bootstrap import (
    DRAWN_TOGETHER,
    outer_ranks,
    replicates,
    resample_runs,
    resample_tasks,
)
from custodes.statistics._horizon_curve import observed_success, success_curve
from custodes.statistics._horizon_fit import cells_of, fit
from custodes.statistics._horizon_results import AgentHorizon, HorizonFit, Weighting
from custodes.statistics._horizon_runs import HorizonRuns, RunError, TaskRun

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def metr_records(shared_data: Path) -> list[dict[str, Any]]:
    path = shared_data / "horizon" / "metr_runs_2025-02.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def metr_runs(metr_records: list[dict[str, Any]]) -> HorizonRuns:
    return HorizonRuns.from_records(
        TaskRun(
            agent=record["alias"],
            task=record["task_id"],
            family=record["task_family"],
            human_minutes=record["human_minutes"],
            score=record["score_binarized"],
            run_id=record["run_id"],
        )
        for record in metr_records
    )


def run(
    minutes: float,
    score: float | None,
    *,
    agent: str = "a",
    task: str | None = None,
    family: str | None = None,
    cheated: bool = False,
) -> TaskRun:
    name = task or f"{minutes:g} min"
    return TaskRun(
        agent=agent,
        task=name,
        family=family or name,
        human_minutes=minutes,
        score=score,
        cheated=cheated,
    )


def of(*records: TaskRun) -> HorizonRuns:
    return HorizonRuns.from_records(records)


def point(runs: HorizonRuns, **options: Any) -> Any:
    (only,) = horizons(runs, bootstrap=0, **options)
    return only


def suite(seed: int, families: int = 24, agents: int = 2, runs: int = 3) -> list[TaskRun]:
    """Runs whose success falls with length and differs by family; some scores of one half."""
    rng = np.random.default_rng(seed)
    records = []
    for f in range(families):
        hard = float(rng.normal())
        for t in range(int(rng.integers(1, 4))):
            x = float(rng.uniform(0, 10))
            for a in range(agents):
                for _ in range(runs):
                    p = 1 / (1 + math.exp(0.7 * (x - 4 - a) + hard))
                    score = 0.5 if rng.random() < 0.1 else float(rng.random() < p)
                    records.append(
                        TaskRun(
                            agent=f"agent {a}",
                            task=f"{f}/{t}",
                            family=str(f),
                            human_minutes=2**x,
                            score=score,
                        )
                    )
    return records


# Weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weighting", "column"), [("invsqrt", "invsqrt_task_weight"), ("equal", "equal_task_weight")]
)
def test_weights_are_the_published_ones(
    metr_records: list[dict[str, Any]], metr_runs: HorizonRuns, weighting: Weighting, column: str
) -> None:
    cells = cells_of(metr_runs, metr_runs.scores(), weighting)
    by_task = [dict(zip(c.tasks.tolist(), c.weight.tolist(), strict=True)) for c in cells]
    agents = {name: i for i, name in enumerate(metr_runs.agents)}
    tasks = {name: i for i, name in enumerate(metr_runs.tasks)}
    for record in metr_records:
        weight = by_task[agents[record["alias"]]][tasks[record["task_id"]]]
        assert weight == pytest.approx(record[column], abs=1e-10)
    for cell in cells:
        assert (cell.weight * cell.runs).sum() == pytest.approx(1, abs=1e-12)


# The fit --------------------------------------------------------------------------------------


def general_optimum(
    x: Floats, y: Floats, w: Floats, regularization: float
) -> tuple[float, float]:
    """Intercept and slope from scipy's trust-region method, run by run."""
    middle = float(x.mean())
    columns = np.stack((np.ones_like(x), x - middle), axis=1)
    penalty = np.diag([0.0, regularization])

    def loss(beta: Floats) -> float:
        z = columns @ beta
        return float(w @ (np.logaddexp(0, z) - y * z) + beta @ penalty @ beta / 2)

    def slope_of(beta: Floats) -> Floats:
        p = 1 / (1 + np.exp(-(columns @ beta)))
        gradient: Floats = columns.T @ (w * (p - y)) + penalty @ beta
        return gradient

    def curvature(beta: Floats) -> Floats:
        p = 1 / (1 + np.exp(-(columns @ beta)))
        hessian: Floats = columns.T @ ((w * p * (1 - p))[:, None] * columns) + penalty
        return hessian

    found = minimize(
        loss,
        np.zeros(2),
        jac=slope_of,
        hess=curvature,
        method="trust-exact",
        options={"gtol": 1e-15, "maxiter": 500},
    )
    # It stops where the loss is flat to rounding; a root of the gradient is sharper.
    best = root(slope_of, found.x, jac=curvature, options={"xtol": 1e-15}).x
    assert np.abs(slope_of(best)).max() < 1e-14
    assert best == pytest.approx(found.x, rel=1e-6)
    return float(best[0] - best[1] * middle), float(best[1])


@pytest.mark.parametrize("weighting", ["invsqrt", "equal"])
@pytest.mark.parametrize("regularization", [0.1, 1e-5])
def test_point_fits_equal_a_general_optimiser(
    metr_runs: HorizonRuns, regularization: float, weighting: Weighting
) -> None:
    runs = metr_runs
    compared = 0
    for agent in horizons(
        runs, regularization=regularization, weighting=weighting, bootstrap=0
    ):
        mine = runs.run_agent == runs.agents.index(agent.agent)
        y = runs.run_score[mine]
        if not y.any():
            assert agent.p50.estimate == agent.p80.estimate == 0
            continue
        task = runs.run_task[mine]
        n = np.bincount(task, minlength=len(runs.tasks))
        w = 1 / n[task]
        if weighting == "invsqrt":
            families = np.bincount(runs.task_family[n > 0], minlength=len(runs.families))
            w = w / np.sqrt(families[runs.task_family[task]])
        x = np.log2(runs.task_minutes[task])
        intercept, slope = general_optimum(x, y, w / w.sum(), regularization)
        assert agent.slope == pytest.approx(slope, rel=1e-8)
        assert agent.p50.estimate == pytest.approx(2 ** (-intercept / slope), rel=1e-8)
        expected = 2 ** ((math.log(4) - intercept) / slope)
        assert agent.p80.estimate == pytest.approx(expected, rel=1e-8)
        compared += 1
    assert compared == 10


def test_two_lengths_without_regularization_are_met_exactly() -> None:
    # 0.8 at 1 minute, 0.3 at 4: the log odds fall from ln 4 to ln(3/7) over two doublings.
    agent = point(of(run(1, 0.8), run(4, 0.3)), regularization=0.0)
    slope = (math.log(3 / 7) - math.log(4)) / 2
    assert agent.slope == pytest.approx(slope, rel=1e-12)
    assert agent.p50.estimate == pytest.approx(2 ** (-math.log(4) / slope), rel=1e-12)
    assert agent.p80.estimate == pytest.approx(1, rel=1e-12)


def test_a_fraction_counts_as_so_many_runs_solved() -> None:
    whole = [run(4, s, task="t") for s in (1, 1, 1, 0)]
    split = [run(4, s, task="t") for s in (0.9, 0.85, 0.75, 0.5)]
    rest = [run(1, 1), run(64, 0)]
    one, other = point(of(*whole, *rest)), point(of(*split, *rest))
    assert one.p50.estimate == pytest.approx(other.p50.estimate, rel=1e-12)


def test_regularization_is_felt_on_the_slope_and_not_on_the_intercept() -> None:
    runs = of(*(run(2.0**k, float(k < 5)) for k in range(10)))
    loose, tight = (point(runs, regularization=value) for value in (1e-5, 10.0))
    assert loose.slope < tight.slope < 0
    # Half of the tasks are solved whatever the slope, so the middle stays.
    for agent in (loose, tight):
        assert agent.p50.estimate == pytest.approx(2**4.5, rel=1e-9)


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.integers(1, 5), st.floats(0, 1)), min_size=2, max_size=12
    ),
    st.sampled_from([0.0, 1e-5, 0.1, 3.0]),
    st.tuples(st.floats(-20, 20), st.floats(-5, 5)),
)
@example([(0.0, 1, 0.0), (0.0, 1, 2e-311)], 1e-5, (0.0, 0.0))
@example([(0.0, 1, 0.0), (1.0, 1, 1e-99)], 1e-5, (0.0, 0.0))
def test_every_start_leads_to_where_the_gradient_vanishes(
    tasks: list[tuple[float, int, float]], regularization: float, start: tuple[float, float]
) -> None:
    x = np.array([t[0] for t in tasks])
    w = np.array([[float(t[1]) for t in tasks]])
    y = w * np.array([t[2] for t in tasks])
    found = fit(x, w, y, regularization, start)
    state = int(found.status[0])
    if state not in (outcome.FALLING, outcome.RISING):
        alike = len(set(x.tolist())) == 1
        assert state != outcome.STOPPED or regularization == 0
        nothing = bool((y <= outcome.NO_SUCCESS * w).all())
        assert regularization == 0 or nothing or y.sum() == w.sum() or alike
        return
    b, s = float(found.intercept[0]), float(found.slope[0])
    p = 1 / (1 + np.exp(-np.clip(b + s * x, -700, 700)))
    assert abs((w[0] * p - y[0]).sum()) < 1e-7
    assert abs(((w[0] * p - y[0]) * x).sum() + regularization * s) < 1e-6


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_horizons_scale_with_the_unit_of_time(seed: int, unit: float) -> None:
    records = suite(seed, families=8, agents=1)
    before = point(of(*records))
    after = point(of(*(replace(r, human_minutes=r.human_minutes * unit) for r in records)))
    assert (before.p50.estimate is None) == (after.p50.estimate is None)
    if before.p50.estimate is not None:
        assert after.p50.estimate == pytest.approx(before.p50.estimate * unit, rel=1e-6)


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_order_of_runs_and_names_do_not_matter(seed: int) -> None:
    records = suite(seed, families=6, agents=2)
    order = np.random.default_rng(seed).permutation(len(records))
    shuffled = [records[i] for i in order]
    before = {a.agent: a for a in horizons(of(*records), bootstrap=0)}
    after = {a.agent: a for a in horizons(of(*shuffled), bootstrap=0)}
    for name, agent in before.items():
        assert after[name].slope == pytest.approx(agent.slope, rel=1e-9, abs=1e-12)
        assert agent.slope is not None
        low, high = agent.p80.estimate, agent.p50.estimate
        if agent.slope < 0:
            assert low is not None and high is not None and low < high


# Edges ----------------------------------------------------------------------------------------


def test_all_failed_is_zero_without_an_interval() -> None:
    (agent,) = horizons(of(*(run(2.0**k, 0) for k in range(25))), bootstrap=200)
    for horizon in (agent.p50, agent.p80):
        assert (horizon.estimate, horizon.bound) == (0.0, "zero")
        assert horizon.low is None and horizon.high is None
        assert horizon.unidentified == 200
        assert horizon.note is not None and "all runs failed" in horizon.note
    assert agent.slope is None
    assert agent.replicates.all_failed == 200


def test_all_solved_is_a_lower_bound_at_the_longest_task() -> None:
    (agent,) = horizons(of(*(run(2.0**k, 1) for k in range(25))), bootstrap=200)
    for horizon in (agent.p50, agent.p80):
        assert (horizon.estimate, horizon.bound) == (2.0**24, "lower")
        assert horizon.low is None and horizon.high is None
        assert horizon.note is not None and "lower bound" in horizon.note
    assert agent.replicates.all_solved == 200


def test_success_that_grows_with_length_has_no_horizon() -> None:
    agent = point(of(run(1, 0), run(2, 0.2), run(64, 1)))
    assert agent.slope > 0
    assert agent.p50.estimate is None
    assert "does not fall" in agent.p50.note


def test_tasks_of_one_length_have_no_horizon() -> None:
    for regularization in (0.0, 0.1):
        agent = point(of(run(8, 1, task="x"), run(8, 0, task="y")), regularization=regularization)
        assert agent.p50.estimate is None, regularization


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param((1, 1, 0, 0), id="apart"),
        pytest.param((1, 0.5, 0, 0), id="apart but for one length"),
        pytest.param((0, 0, 1, 1), id="apart the wrong way"),
    ],
)
def test_separation_has_a_fit_only_with_regularization(scores: tuple[float, ...]) -> None:
    runs = of(*(run(2.0**k, score) for k, score in enumerate(scores)))
    alone = point(runs, regularization=0.0)
    assert alone.p50.estimate is None and alone.slope is None
    assert "without regularization" in alone.p50.note
    fitted = point(runs, regularization=1e-5)
    assert (fitted.p50.estimate is None) == (scores[0] == 0)
    if scores == (1, 1, 0, 0):
        assert fitted.p50.estimate == pytest.approx(2**1.5, rel=1e-9)


def test_scores_that_do_not_depend_on_length_have_no_horizon() -> None:
    agent = point(of(*(run(2.0**k, 0.5) for k in range(6))))
    assert agent.p50.estimate is None


def test_few_longer_tasks_make_a_lower_bound_with_an_open_interval() -> None:
    # Success falls to one half at the longest of 25 lengths: nothing is longer.
    records = [run(2.0**k, 1 - (k / 24) ** 4 / 2) for k in range(25)]
    (agent,) = horizons(of(*records), bootstrap=200)
    assert agent.p50.bound == "lower"
    assert agent.p50.longer == 0
    assert agent.p50.measurable_to == 2.0**23
    assert agent.p50.high is None and agent.p50.low is not None
    assert "at least" in str(agent.p50.note)


def test_five_of_228_longer_is_a_lower_bound_and_six_is_not() -> None:
    # Even odds at 960 minutes, by 222 or 223 shorter tasks and the rest longer.
    for longer, bound in ((5, "lower"), (6, None)):
        short = [run(60 + k / 10, 0.9, task=f"s{k}") for k in range(228 - longer)]
        long = [run(1900 + k, 0.1, task=f"l{k}") for k in range(longer)]
        agent = point(of(*short, *long), weighting="equal", regularization=1e-9)
        assert agent.p50.longer == longer
        assert agent.p50.share_beyond == pytest.approx(longer / 228)
        assert agent.p50.bound == bound
        assert agent.share_beyond == agent.p50.share_beyond


def test_an_estimate_below_the_shortest_task_is_called_extrapolated() -> None:
    agent = point(of(*(run(2.0 ** (k + 4), 0.2 - k / 60) for k in range(8))))
    assert agent.p50.estimate < 16
    assert "extrapolated" in agent.p50.note


@pytest.mark.parametrize(
    ("options", "families", "words"),
    [
        ({"bootstrap": 0}, 30, "no bootstrap"),
        ({"bootstrap": 99}, 30, "99 replicates"),
        ({"level": 0.9}, 30, "level of 0.95"),
        ({}, 9, "10 families"),
        ({"quantiles": (0.5, 0.99)}, 30, None),
        ({}, 30, None),
    ],
)
def test_an_interval_is_shown_where_coverage_was(
    options: dict[str, Any], families: int, words: str | None
) -> None:
    runs = of(*suite(3, families=families, agents=1))
    (agent,) = horizons(runs, **{"bootstrap": 150, **options})
    if words is None:
        p50 = agent.p50
        assert p50.low is not None and p50.estimate is not None and p50.high is not None
        assert p50.low < p50.estimate < p50.high
    else:
        assert agent.p50.low is None and words in str(agent.p50.note)
    if len(agent.horizons) > 1 and agent.horizons[1].quantile == 0.99:
        assert "p5 to p95" in str(agent.horizons[1].note)


def test_other_quantiles_take_more_families_and_runs() -> None:
    (few,) = horizons(of(*suite(4, families=25, agents=1)), bootstrap=150)
    assert few.p50.low is not None
    assert few.p80.low is None and "30 families" in str(few.p80.note)
    (thin,) = horizons(of(*suite(5, families=32, agents=1, runs=1)), bootstrap=150)
    assert thin.n_runs < 100
    assert thin.p80.low is None and "100 runs" in str(thin.p80.note)
    (more,) = horizons(
        of(*suite(6, families=34, agents=1, runs=2)), bootstrap=150, quantiles=(0.3, 0.8, 0.9)
    )
    assert 100 <= more.n_runs < 200
    assert [h.low is None for h in more.horizons] == [False, False, True]
    assert "200 runs" in str(more.horizons[2].note)


# Cheats and runs without a score --------------------------------------------------------------


def test_cheats_and_unscored_runs_bound_the_horizon() -> None:
    records = [run(2.0**k, float(k < 4)) for k in range(9)]
    records += [run(32, 1, cheated=True), run(64, None)]
    runs = of(*records)
    failed, passed = point(runs), point(runs, cheats="pass")
    assert failed.p50.estimate < passed.p50.estimate
    assert (failed.cheated, failed.unscored, failed.n_runs) == (1, 1, 10)
    assert any("1 runs cheated" in note for note in failed.notes)
    assert any("have no score" in note for note in failed.notes)

    rows = sensitivity(runs)
    assert len(rows) == 2 * 2 * 2 * 3
    by = {
        (r.cheats, r.unscored): r.p50
        for r in rows
        if (r.regularization, r.weighting) == (0.1, "invsqrt")
    }
    assert by["fail", "left out"] == failed.p50.estimate
    assert by["pass", "left out"] == passed.p50.estimate
    worst, best = by["fail", "fail"], by["pass", "pass"]
    assert worst is not None and best is not None
    assert all(p50 is not None and worst <= p50 <= best for p50 in by.values())


def test_a_cheat_counts_as_asked_whatever_was_recorded() -> None:
    for score in (0.0, 1.0, None):
        runs = of(run(2, score, cheated=True), run(64, 0, cheated=True))
        assert runs.scores(cheats="pass").tolist() == [1.0, 1.0]
        assert runs.scores(cheats="fail").tolist() == [0.0, 0.0]


def test_sensitivity_names_every_choice(metr_runs: HorizonRuns) -> None:
    rows = sensitivity(metr_runs)
    assert len(rows) == 11 * 2 * 2 * 2
    assert {r.agent for r in rows} == set(metr_runs.agents)
    alone: dict[object, dict[str, AgentHorizon]] = {}
    for r in rows:
        choice = (r.regularization, r.weighting, r.cheats)
        if choice not in alone:
            found = horizons(
                metr_runs,
                regularization=r.regularization,
                weighting=r.weighting,
                cheats=r.cheats,
                bootstrap=0,
            )
            alone[choice] = {agent.agent: agent for agent in found}
        same = alone[choice][r.agent]
        assert (r.p50, r.p80) == (same.p50.estimate, same.p80.estimate)
        assert r.to_json()["p50_bound"] == same.p50.bound
    assert len(alone) == 8


def test_an_agent_without_any_score_is_listed() -> None:
    (agent,) = horizons(of(run(1, None), run(2, None)), bootstrap=120)
    assert (agent.n_runs, agent.n_tasks, agent.unscored) == (0, 0, 2)
    assert agent.p50.estimate is None
    assert agent.p50.share_beyond is None and agent.p50.measurable_to is None
    assert agent.replicates.none == 120


# The bootstrap --------------------------------------------------------------------------------


def test_tasks_are_drawn_by_family_and_then_within_it() -> None:
    family = np.array([0, 1, 1, 2, 2, 2, 3, 1, 4, 4])
    times = resample_tasks(family, np.random.default_rng(1), 60_000)
    sizes = np.bincount(family)
    by_family = np.stack([times[:, family == f].sum(axis=1) for f in range(5)], axis=1)
    assert (by_family % sizes == 0).all()
    drawn = by_family // sizes
    assert (drawn.sum(axis=1) == 5).all()
    # Families: multinomial(5, 1/5). Tasks: each copy of a family of n draws n of its n.
    assert drawn.mean(axis=0) == pytest.approx(np.ones(5), abs=0.02)
    assert drawn.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.03)
    assert times.mean(axis=0) == pytest.approx(np.ones(10), abs=0.02)
    expected = 0.8 + (1 - 1 / sizes)
    assert times.var(axis=0) == pytest.approx(expected[family], abs=0.04)


def test_runs_are_drawn_within_task_and_keep_their_weights() -> None:
    scores = (0.0, 0.25, 0.25, 1.0, 1.0, 1.0)
    runs = of(*(run(4, s, task="t") for s in scores), run(8, 0.5), run(16, 1.0), run(32, 0))
    (cells,) = cells_of(runs, runs.scores(), "invsqrt")
    times = np.tile([2, 3, 1, 0], (40_000, 1))
    weight, solved = resample_runs(cells, times, np.random.default_rng(2))
    assert weight[0] == pytest.approx([0.5, 0.75, 0.25, 0])
    drawn = solved[:, 0] / cells.weight[0]
    assert drawn.mean() == pytest.approx(12 * np.mean(scores), abs=0.03)
    assert drawn.var() == pytest.approx(12 * np.var(scores), abs=0.05)
    assert set((drawn * 4).round(9) % 1) == {0.0}
    # A single run can only be drawn as itself.
    assert (solved[:, 1] == 0.375).all()
    assert (solved[:, 2] == weight[:, 2]).all()
    assert (solved[:, 3] == 0).all()


def plain_bootstrap(runs: HorizonRuns, count: int, seed: int) -> Floats:
    """Log odds at 32 minutes, and slope, by replicate and agent; one run after the other."""
    rng = np.random.default_rng(seed)
    cells = cells_of(runs, runs.scores(), "invsqrt")
    weight_of = [dict(zip(c.tasks.tolist(), c.weight.tolist(), strict=True)) for c in cells]
    scores: dict[tuple[int, int], list[float]] = {}
    for a, t, y in zip(runs.run_agent, runs.run_task, runs.run_score, strict=True):
        scores.setdefault((int(a), int(t)), []).append(float(y))
    members = [np.flatnonzero(runs.task_family == f) for f in range(len(runs.families))]
    result = np.full((count, len(runs.agents), 2), np.nan)
    for i in range(count):
        tasks: list[int] = []
        for f in rng.integers(len(members), size=len(members)):
            tasks += rng.choice(members[f], size=len(members[f])).tolist()
        for a in range(len(runs.agents)):
            x, y, w = [], [], []
            for t in tasks:
                own = scores.get((a, t), [])
                for score in rng.choice(own, size=len(own)) if own else ():
                    x.append(math.log2(runs.task_minutes[t]))
                    y.append(score)
                    w.append(weight_of[a][t])
            found = fit(np.array(x), np.array([w]), np.array([w]) * np.array(y), 0.1)
            result[i, a] = found.intercept[0] + 5 * found.slope[0], found.slope[0]
    return result


def test_replicates_are_those_of_a_plain_bootstrap() -> None:
    runs = of(*suite(6, families=14))
    expected = plain_bootstrap(runs, 300, seed=1)
    found = fit_horizons(runs, bootstrap=4_000, seed=2)
    drawn = np.stack((found.intercept + 5 * found.slope, found.slope), axis=2)
    spread = expected.std(axis=0)
    assert (np.abs(drawn.mean(axis=0) - expected.mean(axis=0)) < 4 * spread / 300**0.5).all()
    # The standard deviation of 300 is off by 4 %, a little more with longer tails.
    assert drawn.std(axis=0) == pytest.approx(spread, rel=0.15)
    together = [
        np.corrcoef(v[:, 0, 0], v[:, 1, 0])[0, 1] for v in (drawn, expected)
    ]
    assert together[0] == pytest.approx(together[1], abs=0.15)


def test_agents_that_did_the_same_differ_in_no_replicate() -> None:
    records = [replace(r, score=round(r.score or 0)) for r in suite(7, agents=1, runs=1)]
    runs = of(*records, *(replace(r, agent="twin") for r in records))
    found = fit_horizons(runs, bootstrap=300)
    one, other = (found.replicate_horizons(name) for name in runs.agents)
    assert np.array_equal(one, other, equal_nan=True)
    assert len(set(one.tolist())) > 250


def test_a_seed_gives_the_same_replicates_whatever_is_fitted_together() -> None:
    runs = of(*suite(8, families=10))
    cells = cells_of(runs, runs.scores(), "invsqrt")
    points = outcome.Fits(
        intercept=np.array([2.0, 3.0]), slope=np.array([-0.5, -0.6]), status=np.zeros(2, np.int8)
    )

    def drawn(count: int, seed: int, together: int | None) -> outcome.Fits:
        return replicates(
            runs, cells, points, count=count, regularization=0.1, seed=seed,
            fitted_together=together,
        )  # fmt: skip

    count = DRAWN_TOGETHER + 45
    all_at_once = drawn(count, 5, None)
    for together in (1, 7, 256):
        again = drawn(count, 5, together)
        assert np.array_equal(again.status, all_at_once.status)
        assert again.slope == pytest.approx(all_at_once.slope, rel=1e-9, nan_ok=True)
        assert again.intercept == pytest.approx(all_at_once.intercept, rel=1e-9, nan_ok=True)
    assert np.array_equal(drawn(30, 5, None).slope, all_at_once.slope[:30], equal_nan=True)
    assert not np.array_equal(drawn(30, 6, None).slope, all_at_once.slope[:30])


def test_what_has_no_horizon_is_counted_and_kept() -> None:
    # One success in 24 families: a third of the replicates miss it.
    runs = of(*(run(2.0 ** (k % 8), float(k == 0), task=str(k)) for k in range(24)))
    found = fit_horizons(runs, bootstrap=1_000)
    (agent,) = found.agents
    counts = agent.replicates
    assert counts.all_failed == pytest.approx(360, abs=60)
    minutes = found.replicate_horizons("a")
    assert int((minutes == 0).sum()) == counts.all_failed
    assert int(np.isnan(minutes).sum()) == counts.rising + counts.none
    drawn = counts.fitted + counts.all_failed + counts.all_solved + counts.rising + counts.none
    assert drawn == counts.drawn == 1_000
    assert agent.p50.unidentified == counts.unidentified > 0
    assert agent.p50.low == 0.0
    assert any("all failed (counted as 0)" in note for note in agent.notes)


def test_replicates_without_a_horizon_open_the_interval() -> None:
    # Success hardly falls with length: many replicates rise, and count at both ends.
    runs = of(*(run(2.0 ** (k % 9), 0.6 - (k % 9) / 80 , task=str(k)) for k in range(30)))
    rng = np.random.default_rng(3)
    noisy = replace(runs, run_score=(rng.random(30) < runs.run_score).astype(np.float64))
    (agent,) = horizons(noisy, bootstrap=400, seed=1)
    assert agent.replicates.rising > 40
    assert agent.p50.estimate is not None
    assert agent.p50.low == 0.0 and agent.p50.high is None
    assert "open above" in str(agent.p50.note)


@pytest.mark.parametrize(
    ("families", "expected"),
    [
        # Hesterberg 2015, table 5: the percentile for nominal 0.025 is 1.59 % at n = 20.
        (20, 0.0159),
        (100, 0.0230),
    ],
)
def test_ends_lie_further_out_with_fewer_families(families: int, expected: float) -> None:
    below, above = outer_ranks(100_000, families, 0.95)
    assert (below + 1) / 100_001 == pytest.approx(expected, abs=6e-5)
    assert above == 100_000 - 1 - below


def test_intervals_of_the_recorded_agents(metr_runs: HorizonRuns) -> None:
    found = fit_horizons(metr_runs, bootstrap=300)
    assert len(found.agents) == 11
    for agent in found.agents:
        document = json.loads(json.dumps(agent.to_json(), allow_nan=False))
        assert {"agent", "n_runs", "n_tasks", "p50", "p80", "notes"} <= set(document)
        assert {"estimate", "low", "high"} <= set(document["p50"])
        if agent.agent == "davinci-002":
            assert document["p50"]["estimate"] == 0 and document["p50"]["low"] is None
        else:
            assert agent.p50.low is not None and agent.p50.estimate is not None
            assert agent.p50.low < agent.p50.estimate
    assert found.method()["regularization"] == 0.1
    human = found.agent("human").p50
    assert (human.bound, human.high, human.longer) == ("lower", None, 1)


# Curves ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> HorizonFit:
    return fit_horizons(of(*suite(9, families=32)), bootstrap=300)


def test_the_curve_goes_through_the_horizons_and_its_band_through_their_ends(
    fitted: HorizonFit,
) -> None:
    agent = fitted.agent("agent 0")
    p50, p80 = agent.p50, agent.p80
    assert p50.estimate and p80.estimate and p50.low and p50.high
    curve = success_curve(fitted, "agent 0", [p80.estimate, p50.estimate, p50.low, p50.high])
    assert curve.probability is not None and curve.low is not None and curve.high is not None
    assert curve.probability[:2] == pytest.approx((0.8, 0.5), abs=1e-12)
    # With success falling in all replicates, p50 is below m where success at m is below one half.
    assert agent.replicates.fitted == 300
    assert curve.low[2] == pytest.approx(0.5, abs=1e-9)
    assert curve.high[3] == pytest.approx(0.5, abs=1e-9)
    for low, middle, high in zip(curve.low, curve.probability, curve.high, strict=True):
        assert 0 < low <= middle <= high < 1
    assert "pointwise" in str(curve.note)
    json.dumps(curve.to_json(), allow_nan=False)


def test_a_curve_without_a_fit_or_a_band_says_so() -> None:
    minutes = (1.0, 60.0)
    failed = fit_horizons(of(run(1, 0), run(2, 0)), bootstrap=120)
    flat = success_curve(failed, "a", minutes)
    assert flat.probability == (0.0, 0.0) and flat.low is None
    assert "all runs failed" in str(flat.note)
    solved = success_curve(fit_horizons(of(run(1, 1)), bootstrap=0), "a", minutes)
    assert solved.probability == (1.0, 1.0) and solved.low is None
    lost = fit_horizons(of(run(1, 1), run(2, 0)), regularization=0.0, bootstrap=0)
    assert success_curve(lost, "a", minutes).probability is None
    few = fit_horizons(of(*suite(10, families=5, agents=1)), bootstrap=120)
    narrow = success_curve(few, "agent 0", minutes)
    assert narrow.probability is not None and narrow.low is None
    assert "no band" in str(narrow.note)


def test_observed_success_by_length(fitted: HorizonFit) -> None:
    bins = observed_success(fitted, "agent 1")
    agent = fitted.agent("agent 1")
    assert sum(b.n_runs for b in bins) == agent.n_runs
    assert sum(b.n_tasks for b in bins) == agent.n_tasks
    assert all(b.success is None or 0 <= b.success <= 1 for b in bins)
    for before, after in pairwise(bins):
        assert before.end == after.start
    own = fit_horizons(of(run(2, 0.3), run(2, 0.5), run(3, 1), run(8, 0)), bootstrap=0)
    low, middle, high = observed_success(own, "a", edges=(1, 4, 6, 8))
    # The task of 2 minutes weighs as much with two runs as that of 3 minutes with one.
    assert low.success == pytest.approx((0.4 + 1) / 2)
    assert (low.n_runs, low.n_tasks, low.n_families) == (3, 2, 2)
    assert middle.success is None and middle.n_runs == 0
    assert high.success == 0.0 and high.to_json()["end"] == 8


# Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"agent": ""}, "name of the agent"),
        ({"agent": "  "}, "name of the agent"),
        ({"task": None}, "name of the task"),
        ({"family": ""}, "name of the family"),
        ({"human_minutes": 0}, "human_minutes above 0"),
        ({"human_minutes": -3}, "human_minutes above 0"),
        ({"human_minutes": math.nan}, "human_minutes above 0"),
        ({"human_minutes": math.inf}, "human_minutes above 0"),
        ({"human_minutes": "7"}, "human_minutes to be a number"),
        ({"human_minutes": None}, "human_minutes to be a number"),
        ({"score": 1.5}, "score within"),
        ({"score": -0.1}, "score within"),
        ({"score": math.nan}, "score within"),
        ({"score": "1"}, "a score to be a number"),
        ({"cheated": 1}, "cheated to be true or false"),
        ({"task": "2 min", "family": "2 min", "human_minutes": 3}, "one length per task"),
        ({"task": "2 min", "human_minutes": 2}, "one family per task"),
    ],
)
def test_a_record_that_cannot_be_used_is_named(changes: dict[str, Any], words: str) -> None:
    bad = replace(run(4, 1), **changes)
    with pytest.raises(RunError, match=words) as caught:
        HorizonRuns.from_records([run(1, 1), run(2, 0), bad])
    assert caught.value.index == 2
    assert caught.value.other == (1 if "one" in words else None)
    assert "\n" not in str(caught.value)


def test_a_run_named_twice_is_refused() -> None:
    named = replace(run(1, 1), run_id="r1")
    with pytest.raises(RunError, match="'r1' twice") as caught:
        HorizonRuns.from_records([named, run(2, 1), named])
    assert (caught.value.index, caught.value.other) == (2, 0)


def test_no_records_and_no_task_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        HorizonRuns.from_records([])
    records: Iterable[Any] = [{"agent": "a"}]
    with pytest.raises(TypeError, match="TaskRun"):
        HorizonRuns.from_records(records)


@pytest.mark.parametrize(
    "options",
    [
        {"regularization": -0.1},
        {"regularization": math.nan},
        {"regularization": "0.1"},
        {"weighting": "sqrt"},
        {"bootstrap": -1},
        {"bootstrap": 10.5},
        {"seed": -1},
        {"quantiles": ()},
        {"quantiles": (0.5, 0.5)},
        {"quantiles": (0.0,)},
        {"quantiles": (1.0,)},
        {"quantiles": (math.nan,)},
        {"level": 1.0},
        {"cheats": "both"},
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match="expected"):
        horizons(of(run(1, 1), run(2, 0)), **options)


@pytest.mark.parametrize(
    "call",
    [
        lambda f: success_curve(f, "nobody", [1.0]),
        lambda f: success_curve(f, "agent 0", []),
        lambda f: success_curve(f, "agent 0", [0.0]),
        lambda f: success_curve(f, "agent 0", [math.inf]),
        lambda f: observed_success(f, "agent 0", edges=[4.0]),
        lambda f: observed_success(f, "agent 0", edges=[4.0, 2.0]),
        lambda f: f.agent("nobody"),
        lambda f: horizons(cast(Any, ["runs"])),
        lambda f: sensitivity(cast(Any, f)),
        lambda f: sensitivity(f.runs, regularizations=()),
        lambda f: sensitivity(f.runs, weightings=cast(Any, ("none",))),
    ],
)
def test_calls_that_mean_nothing_are_refused(
    fitted: HorizonFit, call: Callable[[HorizonFit], object]
) -> None:
    with pytest.raises((ValueError, TypeError), match="expected"):
        call(fitted)


def test_the_quantile_asked_for_is_found_or_missed_aloud(fitted: HorizonFit) -> None:
    agent = fitted.agents[0]
    assert agent.at(0.5) is agent.p50
    with pytest.raises(KeyError, match="found"):
        agent.at(0.9)


def test_importing_loads_neither_numpy_nor_scipy() -> None:
    code = (
        "import sys, custodes.statistics._horizon, custodes.statistics._horizon_curve, "
        "custodes.statistics._trend; "
        "print(sorted({'numpy', 'scipy', 'statsmodels'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
