"""The table of pairs, the change with its interval, and what unmeasurable sides leave possible."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from custodes.statistics import PairedChange, minimum_detectable, paired_change

Pair = tuple[bool | None, bool | None]
YES: Pair = (True, True)
NO: Pair = (False, False)
GAIN: Pair = (False, True)
LOSS: Pair = (True, False)


def alone(pairs: list[Pair], *, scripted: bool = False) -> PairedChange:
    """Each pair a cluster of its own."""
    return paired_change(
        {i: [pair] for i, pair in enumerate(pairs)}, deterministic_subject=scripted
    )


def test_a_table_counted_by_hand() -> None:
    found = alone([YES] * 3 + [LOSS] * 1 + [GAIN] * 5 + [NO] * 11 + [(None, True), (False, None)])
    assert (found.both_yes, found.only_a, found.only_b, found.both_no) == (3, 1, 5, 11)
    assert (found.unknown_a, found.unknown_b, found.unknown_both) == (1, 1, 0)
    assert (found.measured, found.unmeasurable, found.changed) == (20, 2, 6)
    assert found.estimate.value == pytest.approx((5 - 1) / 20)
    # A of (None, True) was no or yes, B of (False, None) yes or no.
    assert found.highest.value == pytest.approx((5 - 1 + 1 + 1) / 22)
    assert found.lowest.value == pytest.approx((5 - 1 + 0 + 0) / 22)
    assert (found.highest.n, found.highest.missing) == (22, 2)


@pytest.mark.parametrize(("gains", "losses"), [(5, 0), (8, 1), (7, 3), (0, 6)])
def test_with_one_pair_a_cluster_the_test_is_mcnemars(gains: int, losses: int) -> None:
    found = alone([GAIN] * gains + [LOSS] * losses + [NO] * 4)
    assert found.p_value == pytest.approx(stats.binomtest(gains, gains + losses).pvalue)


def test_no_change_is_not_a_change_of_exactly_zero() -> None:
    found = alone([NO] * 20)
    reach = 1 - 0.025 ** (1 / 20)
    assert found.estimate.value == 0
    assert (found.estimate.low, found.estimate.high) == pytest.approx((-reach, reach))
    assert found.detectable == pytest.approx(minimum_detectable(20))
    assert found.p_value == 1


def test_an_interval_of_gains_alone_ends_at_an_exact_value() -> None:
    # Three gains of three: P(1 - 2 D >= m) with D uniform on three cuts is ((1 - m) / 2)^3 below.
    found = alone([GAIN] * 3).estimate
    assert (found.low, found.high) == pytest.approx((1 - 2 * (1 - 0.025 ** (1 / 3)), 1), abs=1e-6)


def test_many_pairs_of_one_cluster_are_one_voice() -> None:
    apart = alone([GAIN] * 40 + [NO] * 20)
    together = paired_change({"a": [GAIN] * 20, "b": [GAIN] * 20, "c": [NO] * 20})
    assert apart.estimate.value == together.estimate.value == pytest.approx(2 / 3)
    assert apart.estimate.low is not None and together.estimate.low is not None
    assert apart.estimate.low > 0.4
    assert together.estimate.low < 0
    assert together.p_value == 0.5


def test_a_cluster_counts_once_however_many_pairs_it_has() -> None:
    found = paired_change({"large": [NO] * 9 + [GAIN], "small": [GAIN]})
    assert found.estimate.value == pytest.approx((0.1 + 1) / 2)


def test_one_cluster_has_no_interval_and_says_why() -> None:
    found = paired_change({"only": [GAIN, NO]}, cluster="scenario")
    assert (found.estimate.value, found.estimate.low, found.p_value) == (0.5, None, None)
    assert "one scenario does not show" in (found.estimate.note or "")


def test_outside_the_region_there_is_no_interval() -> None:
    many = alone([NO] * 201).estimate
    assert many.low is None and "up to 200" in (many.note or "")
    other = paired_change({1: [NO], 2: [NO]}, level=0.9).estimate
    assert other.low is None and "0.95, not 0.9" in (other.note or "")


def test_a_script_has_a_count_and_nothing_more() -> None:
    found = alone([GAIN] * 5, scripted=True)
    assert (found.estimate.value, found.estimate.low, found.p_value) == (1, None, None)
    assert "not an AI" in (found.estimate.note or "")


def test_nothing_measured_has_bounds_all_the_same() -> None:
    found = alone([(None, None), (None, True)])
    assert (found.estimate.value, found.estimate.n, found.detectable) == (None, 0, 1)
    assert (found.lowest.value, found.highest.value) == (-0.5, 1)
    assert paired_change({}).estimate.value is None


sides = st.sampled_from([True, False, None])
tables = st.dictionaries(
    st.integers(0, 2), st.lists(st.tuples(sides, sides), min_size=1, max_size=2), max_size=3
)


@settings(max_examples=20)
@given(tables)
def test_exchanging_the_sides_mirrors_everything(table: dict[int, list[Pair]]) -> None:
    one = paired_change(table)
    other = paired_change({k: [(b, a) for a, b in pairs] for k, pairs in table.items()})
    assert (one.only_a, one.unknown_a) == (other.only_b, other.unknown_b)
    assert one.p_value == other.p_value
    for mine, theirs in ((one.estimate, other.estimate), (one.lowest, other.highest)):
        assert mine.n == theirs.n
        if mine.value is not None and theirs.value is not None:
            assert mine.value == pytest.approx(-theirs.value)
        if mine.low is not None and theirs.high is not None:
            assert mine.low == pytest.approx(-theirs.high, abs=1e-9)


@settings(max_examples=20)
@given(tables, st.data())
def test_whatever_the_unmeasurable_were_lies_between_the_bounds(
    table: dict[int, list[Pair]], data: st.DataObject
) -> None:
    found = paired_change(table)
    draw = data.draw
    filled: dict[int, list[Pair]] = {
        k: [
            (
                draw(st.booleans()) if a is None else a,
                draw(st.booleans()) if b is None else b,
            )
            for a, b in pairs
        ]
        for k, pairs in table.items()
    }
    truth = paired_change(filled).estimate.value
    if truth is None:
        assert found.lowest.value is None
    else:
        assert found.lowest.value is not None and found.highest.value is not None
        assert found.lowest.value - 1e-9 <= truth <= found.highest.value + 1e-9


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: paired_change([YES]), "map clusters"),  # type: ignore[arg-type]
        (lambda: paired_change({1: [(1, 0)]}), r"pairs\[1\]\[0\]"),  # type: ignore[list-item]
        (lambda: paired_change({1: [(True,)]}), r"pairs\[1\]\[0\]"),  # type: ignore[list-item]
        (lambda: paired_change({1: [YES]}, level=1.5), "level"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        call()
