"""Several monitors as one: combinations, what is unknown, fitted weights, names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.monitors import (
    Combination,
    EnsembleMonitor,
    JudgeMonitor,
    LogisticFit,
    Monitor,
    Observation,
    ShortcutMonitor,
    fit_logistic,
    monitor_by_name,
    run_suspicion,
    unmeasurable,
)
from custodes.scan import Settings, find_files, scan_files
from custodes.transcripts import Event, Transcript
from custodes.transcripts.effects import CallEffect
from custodes.types import Sha256, Step, sha256_of

from ..scan.logs import FLAGGED, ORDINARY, write
from .judging import RUN

FAILS = "fails"
RAISES = "raises"
Said = float | str
"""A suspicion, or FAILS for an observation without one, or RAISES."""


@dataclass(frozen=True)
class Says:
    """A monitor that says what it is told to, event by event and at the end."""

    name: str
    at: Mapping[int, Said] = field(default_factory=dict)
    end: Mapping[int, Said] = field(default_factory=dict)
    begins: bool = True

    @property
    def digest(self) -> Sha256:
        return sha256_of(repr((self.name, self.at, self.end)).encode())

    def begin(self, run: Transcript | None = None) -> Says:
        if not self.begins:
            raise OSError("no such file")
        return self

    def see(self, event: Event, effects: Sequence[CallEffect]) -> Sequence[Observation]:
        return [self._made(event.index, self.at[event.index])] if event.index in self.at else []

    def finish(self) -> Sequence[tuple[int, Observation]]:
        return [(index, self._made(index, said)) for index, said in self.end.items()]

    def _made(self, index: int, said: Said) -> Observation:
        if said == RAISES:
            raise RuntimeError("it broke")
        if isinstance(said, str):
            return unmeasurable("it cannot say")
        return Observation(
            suspicion=said, why=f"{self.name} says so", rests_on=(index,), rule=f"rule-{self.name}",
            step=Step.CONCEAL, techniques=("T1070",),
        )  # fmt: skip


Watched = tuple[dict[int, Observation], list[tuple[int, Observation]]]


def watched(ensemble: EnsembleMonitor, events: Sequence[Event] = RUN) -> Watched:
    watch = ensemble.begin()
    live: dict[int, Observation] = {}
    for event in events:
        found = list(watch.see(event, ()))
        assert len(found) <= 1
        if found:
            live[event.index] = found[0]
    return live, list(watch.finish())


def two(a: Says, b: Says, how: Combination = Combination.MAX) -> Watched:
    return watched(EnsembleMonitor(how, (a, b)))


SIMPLE = [Combination.MAX, Combination.MEAN, Combination.NOISY_OR]
PROBABILITY = st.floats(0, 1)


# --- known ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "event", "whole"),
    [
        (Combination.MAX, {1: 0.5, 4: 0.8}, 0.8),
        (Combination.MEAN, {1: 0.25, 4: 0.4}, 0.65),
        (Combination.NOISY_OR, {1: 0.5, 4: 0.8}, 0.9),
    ],
)
def test_members_meet_at_an_event_and_over_the_run(
    how: Combination, event: dict[int, float], whole: float
) -> None:
    live, end = two(Says("a", at={4: 0.8}), Says("b", at={1: 0.5}), how)
    assert {at: seen.suspicion for at, seen in live.items()} == pytest.approx(event)
    if how is Combination.MAX:
        assert end == [], "the run is worth no more than its strongest event"
    else:
        ((at, seen),) = end
        assert at == 4 and seen.suspicion == pytest.approx(whole)
        assert seen.rests_on == (1, 4)


def test_the_strongest_member_lends_its_words() -> None:
    live, _ = two(Says("a", at={4: 0.8}), Says("b", at={4: 0.6}), Combination.MEAN)
    seen = live[4]
    assert seen.suspicion == pytest.approx(0.7) and seen.rule == "rule-a"
    assert (seen.step, seen.techniques) == (Step.CONCEAL, ("T1070",))
    assert seen.why == "a says so [mean of a 0.80, b 0.60]"


def test_silence_is_silence() -> None:
    assert two(Says("a"), Says("b")) == ({}, [])
    assert watched(EnsembleMonitor(Combination.MEAN, (Says("a"), Says("b"))), ()) == ({}, [])


def test_a_member_may_say_that_there_is_nothing() -> None:
    live, end = two(Says("a", end={4: 0.0}), Says("b"))
    assert live == {} and [(at, seen.suspicion) for at, seen in end] == [(4, 0.0)]


def test_what_is_only_said_at_the_end_counts_at_the_end() -> None:
    live, end = two(Says("a", at={1: 0.6}), Says("b", end={4: 1.0}), Combination.MEAN)
    assert live[1].suspicion == pytest.approx(0.3)
    ((at, seen),) = end
    assert at == 4 and seen.suspicion == pytest.approx(0.8)


@given(
    how=st.sampled_from(SIMPLE),
    a=st.dictionaries(st.integers(0, 6), PROBABILITY, max_size=4),
    b=st.dictionaries(st.integers(0, 6), PROBABILITY, max_size=4),
    end=st.dictionaries(st.integers(0, 6), PROBABILITY, max_size=2),
)
def test_the_strongest_observation_is_the_runs(
    how: Combination, a: dict[int, float], b: dict[int, float], end: dict[int, float]
) -> None:
    live, last = two(Says("a", at=a), Says("b", at=b, end=end), how)
    everything = [*live.values(), *(seen for _, seen in last)]
    found = max((seen.suspicion or 0.0 for seen in everything), default=0.0)
    members = [max(a.values(), default=0.0), max([*b.values(), *end.values()], default=0.0)]
    ensemble = EnsembleMonitor(how, (Says("a"), Says("b")))
    assert found == ensemble.value(members)
    assert bool(live) == bool(a or b)


@given(how=st.sampled_from(SIMPLE), values=st.lists(PROBABILITY, min_size=2, max_size=6),
       more=PROBABILITY)  # fmt: skip
def test_no_combination_leaves_the_scale_or_falls_when_a_member_rises(
    how: Combination, values: list[float], more: float
) -> None:
    ensemble = EnsembleMonitor(how, tuple(Says(str(at)) for at in range(len(values))))
    before = ensemble.value(values)
    assert 0 <= before <= 1
    assert min(values) - 1e-12 <= before
    after = ensemble.value([max(values[0], more), *values[1:]])
    assert after >= before or math.isclose(after, before, abs_tol=1e-15)


# --- unknown -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "bounds"),
    [
        (Combination.MAX, "between 0.80 and 1.00"),
        (Combination.MEAN, "between 0.40 and 0.90"),
        (Combination.NOISY_OR, "between 0.80 and 1.00"),
    ],
)
def test_a_member_that_cannot_say_leaves_bounds(how: Combination, bounds: str) -> None:
    live, end = two(Says("a", at={4: 0.8}), Says("b", at={4: FAILS}), how)
    assert live[4].suspicion is None and live[4].reason is not None
    assert live[4].reason.detail.startswith(f"{bounds} (a 0.80, b 0.00 to 1.00): b: it cannot say")
    assert end == [], "it has been said"


@pytest.mark.parametrize("how", SIMPLE)
def test_certainty_is_known_whatever_the_others(how: Combination) -> None:
    live, end = two(Says("a", at={4: 1.0}), Says("b", at={4: FAILS}), how)
    if how is Combination.MEAN:
        assert live[4].suspicion is None
    else:
        assert live[4].suspicion == 1.0 and end == []


def test_a_failure_at_the_end_is_told_beside_what_was_found() -> None:
    live, end = two(Says("a", at={1: 0.8}), Says("b", end={4: FAILS}))
    assert live[1].suspicion == 0.8
    ((at, seen),) = end
    assert at == 4 and seen.suspicion is None and seen.reason is not None
    assert seen.reason.detail.startswith("between 0.80 and 1.00")


def test_a_member_that_is_certain_at_one_event_and_fails_at_another() -> None:
    live, end = two(Says("a", at={1: 1.0}), Says("b", at={0: FAILS}))
    assert live[0].suspicion is None and live[1].suspicion == 1.0
    assert end == []


def test_a_member_that_breaks_has_seen_nothing_from_there_on() -> None:
    live, end = two(Says("a", at={0: 0.3, 4: 0.6}), Says("b", at={1: RAISES, 4: 0.0}))
    assert live[0].suspicion == 0.3
    assert live[1].suspicion is None and live[1].reason is not None
    assert "b: the monitor failed: RuntimeError: it broke" in live[1].reason.detail
    assert live[4].suspicion is None and live[4].reason is not None
    assert live[4].reason.detail.startswith("between 0.60 and 1.00")
    assert "it broke" in live[4].reason.detail
    assert sorted(live) == [0, 1, 4] and end == []


def test_a_call_that_a_broken_member_did_not_see_is_unknown_though_the_others_are_silent() -> None:
    live, end = two(Says("a"), Says("b", at={1: RAISES}))
    assert sorted(live) == [1, 4] and end == []
    assert live[4].suspicion is None and live[4].reason is not None
    assert "b: the monitor failed: RuntimeError: it broke" in live[4].reason.detail


def test_a_member_that_breaks_before_is_unknown_at_the_call() -> None:
    live, end = two(Says("a"), Says("b", begins=False))
    assert sorted(live) == [4] and end == []
    assert live[4].suspicion is None and live[4].reason is not None
    assert "b: the monitor failed" in live[4].reason.detail


def test_a_member_that_breaks_at_the_end_is_unknown() -> None:
    _, end = two(Says("a"), Says("b", end={4: RAISES}))
    ((_, seen),) = end
    assert seen.suspicion is None and seen.reason is not None
    assert "b: the monitor failed" in seen.reason.detail


def test_what_is_no_observation_is_a_failure() -> None:
    class Odd(Says):
        def see(self, event: Event, effects: Sequence[CallEffect]) -> Any:
            return [0.0]

    live, _ = two(Says("a"), Odd("b"))
    assert live[0].suspicion is None


# --- logistic ------------------------------------------------------------------------------------


def split(
    seed: int, n: int = 200, slopes: Sequence[float] = (3.0, 1.0)
) -> tuple[list[list[float | None]], list[bool]]:
    draw = np.random.default_rng(seed)
    scores = draw.uniform(size=(n, len(slopes)))
    chance = 1 / (1 + np.exp(-(scores @ np.array(slopes) - 2)))
    return [list(map(float, row)) for row in scores], list(map(bool, draw.uniform(size=n) < chance))


@pytest.mark.parametrize(
    ("penalty", "intercept", "weights"),
    [
        (1.0, "-0x1.212684e01d226p-1", (0.6681453297363714, 0.5281182044478577)),
        (0.1, "-0x1.38f0e65113a80p+1", (3.0117051957766394, 2.2075377878946347)),
    ],
)
def test_weights_are_those_that_another_implementation_gave(
    penalty: float, intercept: str, weights: tuple[float, float]
) -> None:
    """scikit-learn 1.9.1, LogisticRegression(C=1/penalty, solver="newton-cholesky", tol=1e-14)."""
    scores: list[list[float | None]] = [
        [0.1, 0.2], [0.3, 0.1], [0.2, 0.6], [0.4, 0.4], [0.9, 0.3], [0.7, 0.8], [0.6, 0.2],
        [0.8, 0.9],
    ]  # fmt: skip
    labels = [False, False, False, True, True, True, False, True]
    fit = fit_logistic(["a", "b"], scores, labels, penalty=penalty)
    assert fit.intercept == pytest.approx(float.fromhex(intercept), rel=1e-12)
    assert fit.coefficients == pytest.approx(weights, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
def test_weights_are_those_of_another_implementation(seed: int, penalty: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    scores, labels = split(seed)
    fit = fit_logistic(["a", "b"], scores, labels, penalty=penalty)
    other = linear.LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10_000)
    other.fit(np.array(scores), np.array(labels))
    assert min(other.coef_[0]) > 0, "otherwise the bound would bind"
    assert fit.coefficients == pytest.approx(tuple(other.coef_[0]), rel=1e-6)
    assert fit.intercept == pytest.approx(other.intercept_[0], rel=1e-6)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), slopes=st.lists(st.floats(-5, 5), min_size=1, max_size=4))
def test_the_fit_is_the_minimum_under_its_bounds(seed: int, slopes: list[float]) -> None:
    scores, labels = split(seed, 40, slopes)
    if len(set(labels)) < 2:
        return
    fit = fit_logistic([str(at) for at in range(len(slopes))], scores, labels)
    off = np.array([fit.value([s or 0.0 for s in row]) for row in scores]) - np.array(labels)
    assert abs(off.sum()) < 1e-7
    for at, weight in enumerate(fit.coefficients):
        slope = float(off @ np.array(scores, dtype=float)[:, at]) + weight
        assert weight >= 0
        assert abs(slope) < 1e-7 if weight > 0 else slope > -1e-7


def test_a_member_that_points_the_wrong_way_gets_no_weight() -> None:
    scores, labels = split(1, slopes=(4.0, -4.0))
    fit = fit_logistic(["good", "bad"], scores, labels)
    assert fit.coefficients[0] > 0 and fit.coefficients[1] == 0.0
    # And then it cannot make anything unknown either.
    ensemble = EnsembleMonitor(
        Combination.LOGISTIC, (Says("good", at={4: 0.5}), Says("bad", at={4: FAILS})), fit
    )
    live, _ = watched(ensemble)
    assert live[4].suspicion == fit.value([0.5, 0.0])


def test_separation_is_defined() -> None:
    scores: list[list[float | None]] = [[0.0], [0.1], [0.9], [1.0]]
    labels = [False, False, True, True]
    weights = [
        fit_logistic(["a"], scores, labels, penalty=penalty).coefficients[0]
        for penalty in (10.0, 1.0, 0.1, 0.001)
    ]
    assert weights == sorted(weights) and all(map(math.isfinite, weights)) and weights[0] > 0


def test_constant_scores_leave_the_share() -> None:
    fit = fit_logistic(["a"], [[0.0]] * 4, [True, False, False, False])
    assert fit.coefficients == (0.0,) and fit.value([0.0]) == pytest.approx(0.25)


def test_runs_that_a_member_could_not_judge_are_left_out_and_counted() -> None:
    scores, labels = split(3)
    fit = fit_logistic(["a", "b"], [*scores, [None, 0.5]], [*labels, True])
    assert fit == replace(fit_logistic(["a", "b"], scores, labels), missing=1)
    assert (fit.n, fit.missing, fit.positives) == (200, 1, sum(labels))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"labels": [True, True]}, "both classes.*found 2 harmful and 0 benign"),
        ({"labels": [False, False]}, "both classes"),
        ({"scores": [[None], [0.5]]}, "both classes"),
        ({"labels": [True]}, "one length"),
        ({"labels": [1, 0]}, "truth value"),
        ({"scores": [[0.5], [1.5]]}, r"scores\[1\] in \[0, 1\]"),
        ({"scores": [[0.5], [float("nan")]]}, r"scores\[1\] in \[0, 1\]"),
        ({"scores": [[0.5], [0.5, 0.5]]}, r"expected 1 scores\[1\], found 2"),
        ({"penalty": 0.0}, "penalty above 0"),
        ({"penalty": float("nan")}, "penalty above 0"),
        ({"members": []}, "one member"),
        ({"runs": ["r1"]}, "one length"),
    ],
)
def test_a_fit_on_nonsense_is_refused(wrong: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"members": ["a"], "scores": [[0.2], [0.7]], "labels": [False, True]}
    with pytest.raises((TypeError, ValueError), match=message):
        fit_logistic(**{**good, **wrong})


def transcript(name: str) -> Transcript:
    return Transcript(events=RUN, name=name)


def test_an_ensemble_is_fitted_on_a_calibration_split_and_tested_elsewhere() -> None:
    members = (Says("a", at={4: 0.9}), ShortcutMonitor())
    calibration = [(f"c{at}", transcript(f"c{at}"), at % 2 == 0) for at in range(6)]
    ensemble = EnsembleMonitor.fitted(members, calibration)
    assert ensemble.name == "logistic(a,shortcut)"
    assert ensemble.fit is not None and ensemble.fit.n == 6
    ensemble.fit.check_apart(["t1", "t2"])
    with pytest.raises(ValueError, match="found 'c1' and 1 more in both"):
        ensemble.fit.check_apart(["t1", "c3", "c1"])
    seen = run_suspicion(ensemble, transcript("t1"))
    alone = [run_suspicion(member, transcript("t1")).suspicion for member in members]
    assert seen.suspicion == ensemble.fit.value([one or 0.0 for one in alone])


def test_a_logistic_ensemble_scores_a_silent_run_too() -> None:
    fit = LogisticFit(
        members=("a", "b"), intercept=-1.0, coefficients=(2.0, 1.0), penalty=1.0, n=2,
        positives=1, missing=0,
    )  # fmt: skip
    ensemble = EnsembleMonitor(Combination.LOGISTIC, (Says("a"), Says("b")), fit)
    live, ((at, seen),) = watched(ensemble)
    assert live == {} and at == RUN[-1].index
    assert seen.suspicion == pytest.approx(1 / (1 + math.e))


def test_weights_that_make_no_sense_are_refused() -> None:
    good: dict[str, Any] = {
        "members": ("a",), "intercept": 0.0, "coefficients": (1.0,), "penalty": 1.0, "n": 2,
        "positives": 1, "missing": 0,
    }  # fmt: skip
    for wrong in ({"coefficients": (-1.0,)}, {"coefficients": (math.inf,)}, {"members": ()},
                  {"coefficients": (1.0, 2.0)}, {"intercept": math.nan}):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            LogisticFit(**{**good, **wrong})


# --- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (Says("a"), 0.0),
        (Says("a", at={1: 0.2, 4: 0.7}), 0.7),
        (Says("a", at={1: 0.2}, end={4: 0.9}), 0.9),
        (Says("a", at={1: FAILS, 4: 0.9}), None),
        (Says("a", at={1: FAILS, 4: 1.0}), 1.0),
        (Says("a", end={4: FAILS}), None),
    ],
)
def test_a_runs_suspicion_is_its_strongest(says: Says, expected: float | None) -> None:
    seen = run_suspicion(says, transcript("r"))
    assert seen.suspicion == expected
    if expected is None:
        assert seen.reason is not None and seen.reason.detail.startswith("between ")


# --- identity and names --------------------------------------------------------------------------


def test_all_that_decides_is_part_of_the_identity() -> None:
    a, b, c = Says("a"), Says("b"), Says("b", at={0: 0.5})
    fits = [
        LogisticFit(members=("a", "b"), intercept=0.0, coefficients=(1.0, w), penalty=1.0, n=2,
                    positives=1, missing=0)
        for w in (1.0, 2.0)
    ]  # fmt: skip
    ensembles = [
        *(EnsembleMonitor(how, (a, b)) for how in SIMPLE),
        EnsembleMonitor(Combination.MAX, (b, a)),
        EnsembleMonitor(Combination.MAX, (a, c)),
        *(EnsembleMonitor(Combination.LOGISTIC, (a, b), fit) for fit in fits),
    ]
    assert len({one.digest for one in ensembles}) == len(ensembles)
    assert EnsembleMonitor(Combination.MAX, (a, b)).digest == ensembles[0].digest


def test_members_and_fit_go_together() -> None:
    fit = LogisticFit(members=("a", "c"), intercept=0.0, coefficients=(1.0, 1.0), penalty=1.0, n=2,
                      positives=1, missing=0)  # fmt: skip
    pair = (Says("a"), Says("b"))
    for how, members, weights, message in (
        (Combination.MAX, (Says("a"),), None, "two members"),
        (Combination.MAX, (), None, "two members"),
        (Combination.MAX, (Says("a"), Says("a")), None, "'a' twice"),
        (Combination.LOGISTIC, pair, None, "expected a fit"),
        (Combination.MAX, pair, fit, "expected a fit"),
        (Combination.LOGISTIC, pair, fit, "a fit of a, b, found one of a, c"),
    ):
        with pytest.raises(ValueError, match=message):
            EnsembleMonitor(how, members, weights)


@pytest.mark.parametrize(
    "name",
    [
        "max(rules,sequence)",
        "mean(rules,sequence,claims)",
        "noisy_or(rules,shortcut:calls)",
        "max(rules,mean(sequence,claims))",
        "max(mean(rules,noisy_or(sequence,claims)),shortcut)",
        "max(rules,judge:openai/gpt-4o)",
        "max(judge:openai/gpt-4o?view=actions&samples=3,judge:openai/gpt-4o)",
        "max(rules,judge:x/y?base_url=http://127.0.0.1:8000/v1)",
        "judge:openai/gpt-4o",
        "judge:openai-api/local/scripted?view=actions&samples=3&aggregate=median&quorum=2",
        "shortcut",
        "shortcut:calls",
    ],
)
def test_a_name_is_read_and_written_alike(name: str) -> None:
    monitor = monitor_by_name(name)
    again: Monitor = monitor_by_name(monitor.name)
    assert again.name == monitor.name and again.digest == monitor.digest
    if "quorum" not in name:
        assert monitor.name == name


def test_spaces_between_members_do_not_matter() -> None:
    assert monitor_by_name("max( rules , sequence )").name == "max(rules,sequence)"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max()", "expected the name of a monitor"),
        ("max(rules)", "two members"),
        ("max(rules,rules)", "'rules' twice"),
        ("max(rules,)", "expected the name of a monitor"),
        ("max(rules,nonesuch)", r"max\(A,B\).*found 'nonesuch'"),
        ("max(rules,sequence))", "brackets that match"),
        ("max(rules,(sequence)", "brackets that match"),
        ("max(a)(b)", "expected"),
        ("min(rules,sequence)", "expected the name of a monitor"),
        ("logistic(rules,sequence)", "a logistic ensemble has no name"),
        ("max(rules,max(claims,max(sequence,max(shortcut,shortcut:calls))))", "at most 3"),
        ("max(" * 500 + "rules" + ")" * 500, "at most 3"),
        ("max(" + "r" * 5000 + ",rules)", "at most 4096"),
        ("judge:", "expected judge:MODEL"),
        ("judge:x/y?", "expected judge:MODEL"),
        ("judge:x y", "expected the model"),
        ("judge:x/y?view=all", "expected view to be actions or reasoning, found 'all'"),
        ("judge:x/y?samples=many", "expected samples to be a whole number, found 'many'"),
        ("judge:x/y?samples=0", "expected samples from 1 to 25, found 0"),
        ("judge:x/y?samples=-1", "expected samples to be a whole number"),
        ("judge:x/y?temperature=nan", "expected temperature"),
        ("judge:x/y?temperature=hot", "expected temperature to be a number"),
        ("judge:x/y?schema=1", "expected schema to be yes or no"),
        ("judge:x/y?colour=red", "expected an option of the judge .*found 'colour'"),
        ("judge:x/y?model=z", "expected an option of the judge"),
        ("judge:x/y?samples=2&samples=3", "every option of the judge once"),
        ("judge:x/y?samples", "expected OPTION=VALUE"),
        ("judge:x/y?base_url=http://a:b@c/", "expected base_url"),
        ("no\0name", "expected the name of a monitor"),
        ("x" * 10_000, "expected the name of a monitor"),
    ],
)
def test_a_name_that_means_nothing_says_what_there_is(name: str, message: str) -> None:
    with pytest.raises(LookupError, match=message) as raised:
        monitor_by_name(name)
    assert len(str(raised.value)) < 1_000 and "\n" not in str(raised.value)


def test_an_ensemble_looks_at_effects_if_a_member_does() -> None:
    assert EnsembleMonitor(Combination.MAX, (Says("a"), ShortcutMonitor())).needs_effects
    judge = monitor_by_name("judge:x/y")
    assert not EnsembleMonitor(Combination.MAX, (judge, ShortcutMonitor())).needs_effects


def test_closing_an_ensemble_closes_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = monitor_by_name("max(rules,mean(shortcut,judge:x/y))")
    assert isinstance(ensemble, EnsembleMonitor)
    closed: list[str] = []
    monkeypatch.setattr(JudgeMonitor, "close", lambda self: closed.append(self.name))
    ensemble.close()
    assert closed == ["judge:x/y"]


def test_a_scan_takes_an_ensemble_like_any_monitor(tmp_path: Path) -> None:
    write(tmp_path / "logs" / "a.json", FLAGGED)
    write(tmp_path / "logs" / "b.json", ORDINARY)
    found: dict[str, dict[tuple[str, int], float]] = {}
    for name in ("rules", "max(rules,shortcut:calls)"):
        result, _ = scan_files(
            find_files([str(tmp_path / "logs")]),
            Settings(monitors=(name,), mask_key=b"k" * 32),
            folder=tmp_path / f"out-{len(found)}",
        )
        assert list(result.unmeasurable()) == []
        strongest: dict[tuple[str, int], float] = {}
        for one in result.findings():
            if one.flagged:
                place = one.transcript, one.event
                strongest[place] = max(strongest.get(place, 0.0), one.suspicion)
        found[name] = strongest
    assert found["rules"] and found["max(rules,shortcut:calls)"] == found["rules"]
