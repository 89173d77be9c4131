"""Trivial features that predict the labels, and near-duplicates."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from custodes.statistics._duplicates import (
    distinct,
    groups,
    minhash,
    near_duplicates,
    similarity,
)
from custodes.statistics._shortcuts import shortcut_check

LABELS = [True] * 4 + [False] * 4


def test_a_feature_is_taken_in_its_better_direction_and_the_strongest_comes_first() -> None:
    found = shortcut_check(
        LABELS,
        {
            "length": [1, 2, 3, 4, 5, 6, 7, 8],
            "calls": [5, 3, 8, 1, 2, 9, 4, 7],
            "tokens": [900, 800, 10**6, 700, 1, 2, 750, 4],
            "same": [3.0] * 8,
        },
        monitor=None,
    )
    assert [s.feature for s in found.shortcuts] == ["length", "tokens", "calls", "same"]
    length, tokens, calls, same = found.shortcuts
    assert (length.auroc, length.higher_is) == (1.0, "negative")
    assert tokens.auroc == pytest.approx(15 / 16) and tokens.higher_is == "positive"
    theirs = roc_auc_score(LABELS, [5, 3, 8, 1, 2, 9, 4, 7])
    assert calls.auroc == pytest.approx(max(theirs, 1 - theirs))
    assert (same.auroc, same.higher_is, same.warning) == (0.5, "neither", None)
    assert length.warning is not None and "smaller means positive" in length.warning
    assert found.warnings == (length.warning, tokens.warning)
    assert found.note is not None and "no AUROC to compare" in found.note


@pytest.mark.parametrize(
    ("monitor", "warned"),
    [(0.5, True), (0.8125, True), (0.8625, True), (0.863, False), (1.0, False), (None, False)],
)
def test_a_feature_within_five_hundredths_of_the_monitor_draws_a_warning(
    monitor: float | None, warned: bool
) -> None:
    # 13 of 16 pairs in order: 0.8125, and 0.8625 - 0.05 is a little more than that in floats.
    found = shortcut_check(LABELS, {"calls": [3, 5, 7, 8, 1, 2, 4, 6]}, monitor=monitor)
    (calls,) = found.shortcuts
    assert calls.auroc == 13 / 16
    assert (calls.warning is not None) == warned
    assert len(found.warnings) == warned


@pytest.mark.parametrize(("swaps", "warned"), [(0, True), (1, True), (10, True), (11, False)])
def test_nine_tenths_is_too_much_whatever_the_monitor(swaps: int, warned: bool) -> None:
    # 100 pairs, of which as many as `swaps` are the wrong way round.
    high = [9.5 + min(swaps, 10), 9.5 + max(swaps - 10, 0)]
    values = [10.0 + i for i in range(10)] + [float(i) for i in range(8)] + high
    found = shortcut_check([True] * 10 + [False] * 10, {"length": values}, monitor=None)
    assert found.shortcuts[0].auroc == pytest.approx(1 - swaps / 100)
    assert (found.warnings != ()) == warned


def test_missing_values_are_counted_and_a_missing_class_has_no_value() -> None:
    found = shortcut_check(
        LABELS,
        {"tokens": [1, None, 3, 4, 0, 0, None, 0], "calls": [None] * 4 + [1, 2, 3, 4]},
        monitor=0.8,
    )
    tokens, calls = found.shortcuts
    assert (tokens.auroc, tokens.n, tokens.missing) == (1.0, 6, 2)
    assert (calls.auroc, calls.higher_is, calls.n, calls.missing) == (None, None, 4, 4)
    assert shortcut_check(LABELS, {}, monitor=None).shortcuts == ()
    assert "no feature" in (shortcut_check(LABELS, {}, monitor=0.9).note or "")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shortcut_check(LABELS, {"calls": [1.0]}, monitor=None), "calls: expected scores"),
        (lambda: shortcut_check([True], {"n": [math.nan]}, monitor=None), "n: expected"),
        (lambda: shortcut_check(LABELS, {}, monitor=1.2), "monitor"),
        (lambda: shortcut_check(LABELS, {}, monitor=math.nan), "monitor"),
        (lambda: minhash("one text"), "several texts"),
        (lambda: minhash(["a", 3]), r"items\[1\]"),  # type: ignore[list-item]
        (lambda: minhash(["a"], hashes=0), "hashes"),
        (lambda: minhash(["a"], hashes=10**6), "hashes"),
        (lambda: near_duplicates([(1, 2), (1,)]), r"signatures\[1\]"),
        (lambda: near_duplicates([(-1,), (2,)]), "minhash"),
        (lambda: groups([("a",), ("b",)]), "minhash"),  # type: ignore[list-item]
        (lambda: distinct([], at_least=0.0), "at_least"),
        (lambda: distinct([], at_least=1.1), "at_least"),
        (lambda: similarity((1, 2), (1,)), "one length"),
    ],
)
def test_bad_input_is_refused_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


# Near-duplicates ------------------------------------------------------------------------------


def jaccard(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def pair_of(overlap: int, alone: int, tag: int) -> tuple[set[str], set[str]]:
    """Two sets with the Jaccard similarity overlap / (overlap + 2 * alone)."""
    shared = {f"{tag} shared {i}" for i in range(overlap)}
    first, second = ({f"{tag} {side} {i}" for i in range(alone)} for side in ("a", "b"))
    return shared | first, shared | second


@pytest.mark.parametrize(("overlap", "alone"), [(10, 45), (30, 35), (50, 25), (80, 10), (98, 1)])
def test_equal_places_estimate_jaccard_similarity_without_bias(overlap: int, alone: int) -> None:
    estimates = []
    for tag in range(60):
        a, b = pair_of(overlap, alone, tag)
        estimates.append(similarity(minhash(a), minhash(b)))
        exact = jaccard(a, b)
    error = math.sqrt(exact * (1 - exact) / 128)
    assert np.mean(estimates) == pytest.approx(exact, abs=4 * error / math.sqrt(60))
    assert np.std(estimates) == pytest.approx(error, rel=0.4)


texts = st.sets(st.text(max_size=5), max_size=12)


@given(texts, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(items: set[str], chance: random.Random) -> None:
    listed = [*items, *items]
    chance.shuffle(listed)
    assert minhash(listed) == minhash(items)
    assert similarity(minhash(items), minhash(listed)) == 1.0
    assert (minhash(items) == ()) == (not items)


@given(texts, texts)
def test_a_union_has_the_smaller_of_each_place(a: set[str], b: set[str]) -> None:
    if a and b:
        joint = tuple(map(min, minhash(a, hashes=16), minhash(b, hashes=16)))
        assert minhash(a | b, hashes=16) == joint


def test_signatures_do_not_depend_on_the_process() -> None:
    program = "from custodes.statistics._duplicates import minhash; print(minhash(['a', 'é']))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert outputs == {str(minhash(["é", "a"]))}


def test_a_lone_surrogate_is_text_like_any_other() -> None:
    assert minhash(["\ud800"]) != minhash(["\ud801"])


def collection(seed: int, groups_of: int, variants: int) -> list[set[str]]:
    chance = random.Random(seed)
    made = []
    for group in range(groups_of):
        base = [f"{group} {i}" for i in range(40)]
        for variant in range(variants):
            changed = set(base)
            for place in chance.sample(range(40), variant):
                changed.discard(base[place])
                changed.add(f"{group} {variant} {place}")
            made.append(changed)
    chance.shuffle(made)
    return made


@pytest.mark.parametrize("at_least", [0.3, 0.6, 0.8, 0.95, 1.0])
def test_banding_finds_what_comparing_all_pairs_finds(at_least: float) -> None:
    signatures = [minhash(items) for items in collection(1, 40, 5)]
    found = near_duplicates(signatures, at_least=at_least)
    every = {
        (i, j): similarity(signatures[i], signatures[j])
        for i in range(len(signatures))
        for j in range(i + 1, len(signatures))
    }
    wanted = {pair: near for pair, near in every.items() if near >= at_least}
    assert {(i, j): near for i, j, near in found}.items() <= wanted.items(), "none too many"
    assert found == tuple(sorted(found))
    assert len(found) >= 0.98 * len(wanted)


@pytest.mark.parametrize("at_least", [0.5, 0.8, 0.9])
def test_a_pair_at_the_threshold_is_found_99_times_of_100(at_least: float) -> None:
    # Signatures that agree in exactly as many places as are asked for, wherever those are.
    generator = np.random.default_rng(5)
    places = math.ceil(at_least * 128)
    found = 0
    for _ in range(400):
        a = generator.integers(0, 2**62, 128)
        b = generator.integers(0, 2**62, 128)
        same = generator.permutation(128)[:places]
        b[same] = a[same]
        found += len(near_duplicates([tuple(a.tolist()), tuple(b.tolist())], at_least=at_least))
    assert found >= 390


def test_groups_join_through_others_and_count_behaviours() -> None:
    chain = [{f"{i}" for i in range(start, start + 40)} for start in range(0, 20, 2)]
    signatures = [minhash(items) for items in chain]
    signatures += [minhash(["alone"]), (), minhash(["alone"]), ()]
    assert similarity(signatures[0], signatures[9]) < 0.6
    assert groups(signatures, at_least=0.75) == (0,) * 10 + (1, 2, 1, 2)
    assert distinct(signatures, at_least=0.75) == 3
    assert distinct([]) == 0 and near_duplicates([]) == ()
    assert near_duplicates([(), (), minhash(["a"])]) == ((0, 1, 1.0),)
    assert distinct(signatures, at_least=1.0) == 12


def test_groups_are_the_components_of_the_pairs() -> None:
    signatures = [minhash(items) for items in collection(2, 30, 6)]
    own = groups(signatures)
    for i, j, _ in near_duplicates(signatures):
        assert own[i] == own[j]
    parents = list(range(len(signatures)))
    for i, j, _ in near_duplicates(signatures):
        old, new = parents[j], parents[i]
        parents = [new if p == old else p for p in parents]
    assert distinct(signatures) == len(set(parents))


def test_thousands_of_signatures_are_not_compared_pair_by_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """8 million pairs: counted by the rows that are looked at, not by a clock."""
    from custodes.statistics import _duplicates

    generator = np.random.default_rng(6)
    matrix = generator.integers(0, 2**62, (4_000, 128))
    matrix[2_000:] = matrix[:2_000]
    matrix[2_000:, :12] = generator.integers(0, 2**62, (2_000, 12))
    looked = 0
    original = _duplicates._buckets

    def counted(*arguments: object) -> object:
        nonlocal looked
        for bucket in original(*arguments):  # type: ignore[arg-type]
            looked += len(bucket) * (len(bucket) - 1) // 2
            yield bucket

    monkeypatch.setattr(_duplicates, "_buckets", counted)
    assert distinct([tuple(row) for row in matrix.tolist()]) == 2_000
    assert looked < 80_000
