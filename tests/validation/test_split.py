"""Which clusters calibrate and which test."""

from __future__ import annotations

from random import Random
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.validation._figures import calibrated, flags_of
from custodes.validation._labels import Split
from custodes.validation._units import Unit, draw_split

_clusters = st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.booleans()), max_size=60)


def drawn(clusters: list[tuple[str, bool]], share: float, seed: int) -> dict[str, Split]:
    plan = draw_split(((c, c, v) for c, v in clusters), share=share, seed=seed)
    return dict(plan.by_cluster)


@given(_clusters, st.floats(0.01, 0.99), st.integers(0, 5))
def test_every_cluster_has_one_side_and_only_those_with_benign_runs_calibrate(
    clusters: list[tuple[str, bool]], share: float, seed: int
) -> None:
    by_cluster = drawn(clusters, share, seed)
    assert set(by_cluster) == {cluster for cluster, _ in clusters}
    benign = {cluster for cluster, violation in clusters if not violation}
    calibrating = {c for c, split in by_cluster.items() if split is Split.CALIBRATION}
    assert calibrating <= benign
    if len(benign) >= 2:
        assert 1 <= len(calibrating) < len(benign)
    else:
        assert not calibrating
    assert drawn(list(reversed(clusters)), share, seed) == by_cluster


@given(_clusters, st.integers(0, 5))
def test_violations_of_calibration_clusters_are_set_aside(
    clusters: list[tuple[str, bool]], seed: int
) -> None:
    plan = draw_split(((c, c, v) for c, v in clusters), share=0.5, seed=seed)
    for cluster, violation in clusters:
        split = plan.of(cluster, violation)
        if violation:
            assert split is not Split.CALIBRATION
            assert (split is None) == (plan.by_cluster[cluster] is Split.CALIBRATION)
        else:
            assert split is plan.by_cluster[cluster]


def test_seeds_draw_different_splits_and_every_cluster_gets_its_turn() -> None:
    clusters = [(f"c{n}", False) for n in range(20)]
    splits = [drawn(clusters, 0.5, seed) for seed in range(40)]
    for cluster, _ in clusters:
        turns = sum(split[cluster] is Split.CALIBRATION for split in splits)
        # 40 fair draws lie outside 5..35 with a chance below 1e-6.
        assert 5 <= turns <= 35


def test_a_cluster_more_moves_few_others() -> None:
    clusters = [(f"c{n}", False) for n in range(40)]
    before = drawn(clusters, 0.5, 0)
    after = drawn([*clusters, ("new", False)], 0.5, 0)
    assert sum(before[c] is not after[c] for c in before) <= 1


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected a share above 0 and below 1"):
        draw_split([("a", "a", False)], share=share, seed=0)


def test_the_false_alarm_rate_over_splits_is_the_nominal_one() -> None:
    """Split by cluster, one run of each ranked, draws kept: the mean over seeds is the rate."""
    rng = Random(5)
    scores: dict[str, list[float]] = {}
    for number in range(30):
        level = rng.random()
        # Runs of a cluster resemble each other, and scores tie.
        scores[f"c{number}"] = [round(0.7 * level + 0.3 * rng.random(), 1) for _ in range(3)]
    rates = []
    for seed in range(150):
        plan = draw_split(((c, c, False) for c in scores), share=0.5, seed=seed)
        units = [
            Unit(
                key=f"{cluster} {number}",
                score=score,
                violation=False,
                cluster=cluster,
                split=plan.of(cluster, violation=False),
            )
            for cluster, own in scores.items()
            for number, score in enumerate(own)
        ]
        points = calibrated(units, fprs=(0.1,), flag_at=0.5, seed=seed)
        test = [unit for unit in units if unit.split is Split.TEST]
        flags = flags_of(points, 0.1, test)
        rates.append(sum(map(bool, flags)) / len(flags))
    error = stdev(rates) / len(rates) ** 0.5
    assert abs(fmean(rates) - 0.1) < 4 * error
    assert error < 0.012
