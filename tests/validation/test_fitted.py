"""Ensembles that labels fit: on runs that neither calibrate nor test, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean, stdev
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.monitors import (
    Combination,
    EnsembleMonitor,
    LogisticFit,
    Monitor,
    Observation,
    Watch,
    unmeasurable,
)
from custodes.scan import Settings, find_files
from custodes.transcripts import Event, EventKind, Transcript
from custodes.transcripts.effects import CallEffect
from custodes.types import Sha256, sha256_of
from custodes.validation import (
    Plan,
    Validation,
    ValidationSettings,
    read_labels,
    validate_runs,
)
from custodes.validation import _fitted as module
from custodes.validation._fitted import ENOUGH_FOR_EACH, Fitted, ensemble_spoken
from custodes.validation._join import Joined, LabelledRun
from custodes.validation._labels import Label, Split
from custodes.validation._monitored import document_of
from custodes.validation._read import ScoredRun
from custodes.validation._run import (
    Seen,
    Spoken,
    action_scores,
    first_flag,
    transcript_score,
    watch_run,
    watched,
)
from custodes.validation._units import SplitPlan, draw_split, with_fit

from .corpus import HARM, labels, log, mixed
from .monitors import Scripted, TestSettings, command_of

UNKNOWN, RAISES = "unknown", "raises"


def to_be_fitted(*members: Monitor) -> EnsembleMonitor:
    return EnsembleMonitor(
        Combination.LOGISTIC, members, LogisticFit.unfitted([member.name for member in members])
    )


def weighted(members: Sequence[Monitor], *weights: float, intercept: float = -1.0) -> LogisticFit:
    return LogisticFit(
        members=tuple(member.name for member in members), intercept=intercept,
        coefficients=weights, penalty=1.0, n=4, positives=2, missing=0,
    )  # fmt: skip


# --- what a fitted ensemble says -------------------------------------------------------------


@dataclass
class Says:
    """Gives an answer by event; a list of them at the end."""

    name: str
    at: dict[int, float | str]
    end: dict[int, float | str]
    needs_effects: bool = False

    @property
    def digest(self) -> Sha256:
        return sha256_of(self.name.encode())

    def begin(self, run: Transcript | None = None) -> Watch:
        return _Watch(self)


@dataclass
class _Watch:
    of: Says

    def see(self, event: Event, effects: Sequence[CallEffect]) -> Sequence[Observation]:
        return [_answer(self.of.at[event.index])] if event.index in self.of.at else []

    def finish(self) -> Sequence[tuple[int, Observation]]:
        return [(index, _answer(said)) for index, said in self.of.end.items()]


def _answer(said: float | str) -> Observation:
    if said == RAISES:
        raise RuntimeError("no answer")
    return unmeasurable("it could not say") if isinstance(said, str) else Observation(
        suspicion=said
    )


EVENTS = 5
_said = st.sampled_from([0.0, 0.3, 0.8, 1.0, UNKNOWN])
_saying = st.dictionaries(st.integers(0, EVENTS - 1), _said, max_size=4)


def run_of_calls() -> Transcript:
    events = tuple(
        Event(index=n, kind=EventKind.TOOL_CALL, tool="bash",
              arguments={"command": f"ls {n}"}, call=f"c{n}")
        for n in range(EVENTS)
    )  # fmt: skip
    return Transcript(name="run", format="test", events=events)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(_saying, _saying), min_size=2, max_size=3),
    st.lists(st.sampled_from([0.0, 0.7, 4.0, 2000.0]), min_size=3, max_size=3),
    st.sampled_from([-3.0, 0.0, 2.0]),
)
def test_what_is_combined_afterwards_is_what_the_ensemble_says_when_it_watches(
    said: list[tuple[dict[int, float | str], dict[int, float | str]]],
    weights: list[float],
    intercept: float,
) -> None:
    members = [Says(f"m{n}", at, end) for n, (at, end) in enumerate(said)]
    fit = weighted(members, *weights[: len(members)], intercept=intercept)
    ensemble = EnsembleMonitor(Combination.LOGISTIC, tuple(members), fit)
    run = run_of_calls()
    heard, _ = watch_run(run, [*members, ensemble])
    built = ensemble_spoken(ensemble, [heard[member.name] for member in members], EVENTS)
    watching = heard[ensemble.name]
    assert built.seen == watching.seen
    assert [one[1:] for one in map(msgspec.to_builtins, built.end)] == [
        one[1:] for one in map(msgspec.to_builtins, watching.end)
    ]
    assert bool(built.reasons) == bool(watching.reasons)
    for flag_at in (0.05, 0.5):
        assert first_flag(built, flag_at=flag_at) == first_flag(watching, flag_at=flag_at)


@pytest.mark.parametrize("where", [0, 2])
def test_a_member_that_failed_leaves_no_later_action_with_a_score(where: int) -> None:
    """Also where the others are silent; a member without weight makes nothing unknown."""
    members = [Says("good", {1: 0.8}, {}), Says("broken", {where: RAISES}, {})]
    for weight, known in ((1.0, where), (0.0, EVENTS)):
        ensemble = EnsembleMonitor(
            Combination.LOGISTIC, tuple(members), weighted(members, 1.0, weight)
        )
        heard, _ = watch_run(run_of_calls(), members)
        built = ensemble_spoken(ensemble, [heard["good"], heard["broken"]], EVENTS)
        scores = action_scores(built, range(EVENTS), flag_at=0.5)
        assert [score is None for score in scores] == [n >= known for n in range(EVENTS)]
        assert (transcript_score(built, flag_at=0.5) is None) == (weight > 0)
        assert bool(built.reasons) == (weight > 0)


# --- the whole way, on scores that are drawn -------------------------------------------------

MEMBERS = 40
"""More than there are runs to fit them on: any of those that came back would be told apart."""


def drawn(seed: int) -> Joined:
    """Benign, violating and mixed clusters that no member tells apart."""
    rng = Random(seed)
    runs = []
    for number in range(40):
        kinds = ((False,), (True,), (False,), (True,), (False, True))[number % 5]
        base = [rng.random() < 0.5 for _ in range(MEMBERS)]
        for copy, violation in enumerate(kinds):
            spoken = {
                f"m{m}": Spoken(seen=(Seen(1, float(on if rng.random() < 0.8 else not on), False),))
                for m, on in enumerate(base)
            }
            runs.append(labelled(f"r{number}-{copy}", f"c{number}", violation, spoken))
    return Joined(runs=tuple(runs), unlabelled=(), duplicates=(), clusters_from={})


def labelled(
    name: str, cluster: str, violation: bool, spoken: dict[str, Spoken]
) -> LabelledRun:
    run = ScoredRun(
        place=name, run="", shown="", line=1, events=4, calls=(1,), calls_at_us=(None,),
        spoken=spoken,
    )  # fmt: skip
    label = Label(
        line=1, path=name, run=None, violation=violation, cluster=cluster, harm_at=None,
        split=None, groups={},
    )  # fmt: skip
    return LabelledRun(
        key=name, shown=name, label=label, run=run, cluster=cluster, drawn_as=cluster
    )


ENSEMBLE = to_be_fitted(*(Scripted(f"m{m}") for m in range(MEMBERS)))


def split_of(joined: Joined, seed: int) -> SplitPlan:
    clusters = [(one.cluster, one.drawn_as, one.label.violation) for one in joined.runs]
    return with_fit(draw_split(clusters, share=0.5, seed=seed, fitting=True), clusters)


def measured_of(joined: Joined, split: SplitPlan, *, fpr: float = 0.2) -> Validation:
    plan = Plan(fprs=(fpr,), seed=split.seed)
    return document_of(joined, split, plan, Settings(), [ENSEMBLE], {})


def rates(replicates: int) -> tuple[float, float]:
    """The mean share of benign test runs that are flagged at a nominal 0.2, and its error."""
    found = []
    for seed in range(replicates):
        joined = drawn(seed)
        figures = measured_of(joined, split_of(joined, seed)).monitors[0]
        assert figures.fit is not None and figures.fit.why_not is None
        rate = figures.per_transcript.operating[1].expected_false_alarms
        assert rate is not None
        found.append(rate)
    return fmean(found), stdev(found) / len(found) ** 0.5


@pytest.mark.parametrize(
    ("replicates", "precise"), [(14, 0.06), pytest.param(40, 0.035, marks=pytest.mark.slow)]
)
def test_the_false_alarm_rate_of_a_fitted_ensemble_is_the_nominal_one_on_average(
    replicates: int, precise: float
) -> None:
    mean, error = rates(replicates)
    assert abs(mean - 0.2) < 3.5 * error
    assert error < precise


def on_calibration(runs: Sequence[LabelledRun], split: SplitPlan) -> list[LabelledRun]:
    """The leak: weights fitted on the clusters that calibrate, too."""
    return [one for one in runs if split.by_cluster[one.cluster] is Split.CALIBRATION]


def test_a_leak_of_calibration_into_the_fit_moves_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above would show if the calibration split were not divided."""
    monkeypatch.setattr(module, "_fitting", on_calibration)
    monkeypatch.setattr(LogisticFit, "check_apart", lambda fit, runs: None)
    mean, error = rates(12)
    assert mean - 0.2 > 5 * error


@pytest.mark.parametrize("leak", [on_calibration, lambda runs, split: list(runs)])
def test_a_leak_is_refused(monkeypatch: pytest.MonkeyPatch, leak: Callable[..., Any]) -> None:
    monkeypatch.setattr(module, "_fitting", leak)
    joined = drawn(0)
    with pytest.raises(ValueError, match="expected other runs than those of the calibration split"):
        measured_of(joined, split_of(joined, 0))


def test_no_run_that_calibrates_or_tests_moves_a_weight() -> None:
    joined = drawn(3)
    split = split_of(joined, 3)
    base = measured_of(joined, split).monitors[0]
    assert base.fit is not None and any(base.fit.coefficients)

    def changed(inside: bool) -> Iterator[LabelledRun]:
        for one in drawn(3).runs:
            if (one.cluster in split.fit) is inside:
                spoken = {f"m{m}": Spoken(seen=(Seen(1, 0.9, False),)) for m in range(MEMBERS)}
                label = replace(one.label, violation=not one.label.violation)
                run = msgspec.structs.replace(one.run, spoken=spoken)
                yield replace(one, label=label, run=run)
            else:
                yield one

    elsewhere, inside = (
        measured_of(replace(joined, runs=tuple(changed(side))), split).monitors[0]
        for side in (False, True)
    )
    assert elsewhere.fit is not None and inside.fit is not None
    # Labels and scores of every other run are turned round: not a digit of the weights moves.
    assert elsewhere.fit.coefficients == base.fit.coefficients
    assert elsewhere.fit.intercept == base.fit.intercept and elsewhere.digest == base.digest
    assert inside.fit.coefficients != base.fit.coefficients and inside.digest != base.digest


# --- the split ---------------------------------------------------------------------------------

_clusters = st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.booleans()), max_size=60)


@given(_clusters, st.sampled_from([0.2, 0.5, 0.8]), st.integers(0, 5))
def test_the_calibration_split_is_divided_by_cluster(
    found: list[tuple[str, bool]], share: float, seed: int
) -> None:
    clusters = [(name, name, violation) for name, violation in found]
    plain = draw_split(clusters, share=share, seed=seed)
    split = with_fit(draw_split(clusters, share=share, seed=seed, fitting=True), clusters)
    benign = {name for name, violation in found if not violation}
    calibrating = {c for c, side in split.by_cluster.items() if side is Split.CALIBRATION}
    assert split.fit <= calibrating
    # What calibrates and what tests among benign clusters is as without an ensemble.
    assert {c: side for c, side in split.by_cluster.items() if c in benign} == {
        c: side for c, side in plain.by_cluster.items() if c in benign
    }
    assert len(split.fit & benign) == len(calibrating & benign) // 2
    assert calibrating - benign <= split.fit
    violating = set(split.by_cluster) - benign
    if len(violating) >= 2:
        assert 1 <= len(violating & split.fit) < len(violating)
    again = with_fit(draw_split(clusters[::-1], share=share, seed=seed, fitting=True), clusters)
    assert again == split
    # No label decides which of the benign clusters fit.
    relabelled = [(c, c, False) for c in sorted(benign)]
    other = with_fit(draw_split(relabelled, share=share, seed=seed, fitting=True), relabelled)
    assert other.fit == split.fit & benign


# --- from logs to the document -------------------------------------------------------------------


def suspecting(name: str, **scores: float) -> Scripted:
    """Scores commands by their first word."""
    return Scripted(name, says=lambda e: scores.get((command_of(e).split() or [""])[0], 0.0))


def measured(folder: Path, path: Path, *members: Monitor, jobs: int = 1, **plan: Any) -> Validation:
    return validate_runs(
        list(find_files([str(folder)])),
        read_labels(str(path)),
        TestSettings(given=(to_be_fitted(*members), *members)),
        Plan(**plan),
        jobs=jobs,
    )


@pytest.mark.slow
def test_a_fitted_ensemble_has_every_figure_on_clusters_that_did_not_fit_it(tmp_path: Path) -> None:
    path = mixed(tmp_path, benign=24, violations=10)
    good, idle = suspecting("good", cat=0.1, grep=0.9), suspecting("idle", git=0.6, grep=0.4)
    result = measured(tmp_path, path, good, idle, fprs=(0.2,), attacks=True)
    ensemble, alone, _ = result.monitors
    assert ensemble.name == "logistic(good,idle)" and alone.fit is None
    fit = ensemble.fit
    assert fit is not None and fit.why_not is None and fit.penalty == 1
    assert (fit.violations, fit.violation_clusters) == (2, 2)
    assert (fit.benign, fit.benign_clusters, fit.left_out) == (6, 6, 0)
    assert fit.runs == 8 and len(fit.clusters) == 8
    assert all(result.split[name] == "calibration" for name in fit.clusters)
    # The weights are those that the same clusters give by themselves.
    own = EnsembleMonitor.fitted(
        (good, idle),
        [(name, transcript_of(name), name.startswith("v")) for name in fit.clusters],
    )
    assert own.fit is not None and fit.coefficients == pytest.approx(own.fit.coefficients)
    assert fit.intercept == pytest.approx(own.fit.intercept)
    assert fit.coefficients[0] > 0 and fit.coefficients[1] == 0
    # None of its figures has a run of theirs.
    runs = ensemble.per_transcript
    assert (runs.n, runs.violations, runs.benign) == (34 - 8, 8, 18)
    assert runs.auroc.positives == 8 and runs.auroc.negatives == 18
    assert not {g.value for g in runs.groups if g.column == "cluster"} & set(fit.clusters)
    shipped, fitted = runs.operating
    assert (shipped.tpr.observed.n, shipped.false_alarms.observed.n) == (8, 18)
    assert fitted.threshold["n"] == 6, "the other half of the calibration split"
    assert (fitted.tpr.observed.n, fitted.false_alarms.observed.n) == (8, 12)
    actions = ensemble.per_action
    assert actions is not None and (actions.violations, actions.benign) == (8, 36)
    assert ensemble.race[0].n == 8
    assert all(a.runs + a.not_applicable == 8 for a in ensemble.attacks)
    assert any(recall.after.observed.n for a in ensemble.attacks for recall in a.recalls)
    # A member by itself is measured on everything, and tested on the same split.
    assert alone.per_transcript.n == 34 and alone.per_transcript.operating[1].threshold["n"] == 12
    assert alone.per_transcript.operating[1].tpr.observed.n == 8
    texts = [w.text for w in result.warnings if w.monitor == ensemble.name]
    assert any(f"below {2 * ENOUGH_FOR_EACH}" in text for text in texts)
    assert any("the members separate the classes" in text for text in texts)
    assert any("fitted the weights and one among those that measure it" in text for text in texts)
    # 1 / (1 + e^-(b + w)) stays below 0.5 with so few violations: that is said, not found out.
    assert any("flags nothing" in text for text in texts)
    again = measured(tmp_path, path, good, idle, fprs=(0.2,), attacks=True)
    assert again.monitors[0].fit == fit and again.monitors[0].digest == ensemble.digest


def transcript_of(name: str) -> Transcript:
    """The calls of a run of the corpus, by its cluster."""
    number = name[1:]
    commands = (
        [f"ls src{number}", f"grep -n x y{number}", HARM]
        if name.startswith("v")
        else [f"cat src/part{number}.py", f"git diff HEAD~{int(number) + 1}"]
    )
    return Transcript(
        events=tuple(
            Event(index=n, kind=EventKind.TOOL_CALL, tool="bash", arguments={"command": command})
            for n, command in enumerate(commands)
        )
    )


def test_the_document_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    path = mixed(tmp_path, benign=8, violations=4)
    results = [
        validate_runs(
            list(find_files([str(tmp_path)])),
            read_labels(str(path)),
            ValidationSettings(monitors=("logistic(rules,sequence)", "sequence")),
            Plan(seed=2),
            jobs=jobs,
        ).monitors
        for jobs in (1, 2)
    ]
    one, two = ([msgspec.structs.replace(m, cost=None) for m in found] for found in results)
    assert one == two and one[0].fit is not None and one[0].fit.why_not is None


def test_labels_may_say_what_calibrates(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    for number in range(8):
        split = "calibration" if number < 4 else "test"
        log(tmp_path / f"b{number}.json", f"ls {number}", "pwd", task=f"b{number}")
        rows.append({"path": f"b{number}.json", "label": "benign", "split": split})
        log(tmp_path / f"v{number}.json", f"cat {number}", "pwd", task=f"v{number}")
        rows.append({"path": f"v{number}.json", "label": "violation", "split": split})
    path = labels(tmp_path / "l.csv", rows, "path", "label", "split")
    result = measured(tmp_path, path, suspecting("a", cat=0.7), suspecting("b", ls=0.3))
    figures = result.monitors[0]
    assert figures.fit is not None
    # Clusters without a benign run calibrate nothing: they all fit.
    assert (figures.fit.violation_clusters, figures.fit.benign_clusters) == (4, 2)
    assert (figures.per_transcript.violations, figures.per_transcript.benign) == (4, 6)


# --- what cannot be fitted -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("benign", "violations", "found"),
    [(1, 4, "found 1 and 0"), (2, 4, "found 1 and 0"), (8, 1, "found 0 and 2"),
     (8, 0, "found 0 and 2"), (0, 6, "found 2 and 0")],
)  # fmt: skip
def test_too_few_clusters_of_a_class_are_no_weights_and_one_line(
    tmp_path: Path, benign: int, violations: int, found: str
) -> None:
    path = mixed(tmp_path, benign=benign, violations=violations)
    a, b = suspecting("a", cat=0.7), suspecting("b", ls=0.3)
    result = measured(tmp_path, path, a, b, attacks=True)
    ensemble, alone, _ = result.monitors
    fit = ensemble.fit
    assert fit is not None and fit.why_not is not None and "\n" not in fit.why_not
    assert fit.why_not.startswith("not fitted: expected at least one cluster with a violation")
    assert found in fit.why_not
    assert fit.coefficients == () and fit.intercept is None and ensemble.digest is None
    # Nothing is made up: no score anywhere, bounded both ways, and said.
    assert ensemble.coverage.value in (0, None)
    assert ensemble.per_transcript.auroc.estimate.value is None
    tpr = ensemble.per_transcript.operating[0].tpr
    assert tpr.observed.value is None
    assert all(fit.why_not in one.reason for one in ensemble.unmeasured)
    assert any(w.code == "fit" and w.text == fit.why_not for w in result.warnings)
    assert not any("near-duplicates" in w.text for w in result.warnings
                   if w.monitor == ensemble.name)  # fmt: skip
    assert alone.coverage.value == 1


def test_runs_that_a_member_cannot_judge_are_left_out_of_the_fit_and_counted(
    tmp_path: Path,
) -> None:
    path = mixed(tmp_path, benign=12, violations=8)
    whole = measured(tmp_path, path, suspecting("a", cat=0.7), suspecting("b", ls=0.3))
    fit = whole.monitors[0].fit
    assert fit is not None and fit.left_out == 0
    lost, unread = (next(c for c in fit.clusters if c.startswith(kind)) for kind in "bv")
    (tmp_path / "logs" / f"harm{unread[1:]}.json").write_bytes(b"PK\x03\x04 broken")

    def says(event: Event) -> float | None:
        mute = command_of(event).startswith(f"cat src/part{lost[1:]}.")
        return None if mute else 0.0

    result = measured(tmp_path, path, suspecting("a", cat=0.7), Scripted("b", says=says))
    left = result.monitors[0].fit
    assert left is not None and left.clusters == fit.clusters
    assert left.left_out == 2 and left.runs == fit.runs - 2
    assert left.benign == fit.benign - 1 and left.violations == fit.violations - 1
    mute_all = Scripted("b", says=lambda event: None)
    nothing = measured(tmp_path, path, suspecting("a", cat=0.7), mute_all).monitors[0].fit
    assert nothing is not None and nothing.why_not is not None
    assert nothing.why_not.endswith(f"found 0 and 0 ({fit.runs} runs left out)")


def test_members_that_point_the_wrong_way_get_no_weight_and_that_is_said(tmp_path: Path) -> None:
    path = mixed(tmp_path, benign=12, violations=4)
    result = measured(tmp_path, path, suspecting("a", cat=0.7), suspecting("b", git=0.3))
    fit = result.monitors[0].fit
    assert fit is not None and fit.coefficients == (0, 0)
    assert "every weight is 0: no member scores violations above benign runs" in fit.notes


def test_an_ensemble_of_runs_that_are_mostly_violations_flags_everything_and_says_so(
    tmp_path: Path,
) -> None:
    path = mixed(tmp_path, benign=4, violations=40)
    result = measured(tmp_path, path, suspecting("a", grep=0.7), suspecting("b", ls=0.3))
    ensemble = result.monitors[0]
    assert ensemble.fit is not None and any("flags everything" in n for n in ensemble.fit.notes)
    assert ensemble.per_transcript.operating[0].false_alarms.observed.value == 1


def test_two_members_of_one_name_are_refused_where_they_differ() -> None:
    same = Says("a", {}, {})
    assert watched([to_be_fitted(same, Says("b", {}, {})), same])[0] is same

    class Other(Says):
        @property
        def digest(self) -> Sha256:
            return sha256_of(b"other")

    with pytest.raises(LookupError, match="two that are 'a'"):
        watched([to_be_fitted(same, Says("b", {}, {})), Other("a", {}, {})])


def test_an_ensemble_without_weights_watches_nothing() -> None:
    with pytest.raises(ValueError, match="to be fitted before it watches"):
        to_be_fitted(Says("a", {}, {}), Says("b", {}, {})).begin()


def test_a_fit_is_never_measured_on_itself() -> None:
    joined = drawn(0)
    split = split_of(joined, 0)
    found = module.fitted(ENSEMBLE, joined.runs, split, Settings())
    apart = found.measured(joined.runs)
    assert not {one.cluster for one in apart} & split.fit
    forgetful = msgspec.structs.replace(found.figures, clusters=())
    with pytest.raises(ValueError, match="expected other runs"):
        Fitted(monitor=found.monitor, figures=forgetful).measured(joined.runs)
