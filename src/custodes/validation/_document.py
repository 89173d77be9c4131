"""What a validation comes to: one document, `custodes.monitor-validation/1`."""

from __future__ import annotations

from typing import Any

import msgspec

from custodes.statistics import Confusion
from custodes.types import Estimate

SCHEMA = "custodes.monitor-validation/1"


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A share as observed, and had everything without an outcome gone one way or the other."""

    observed: Estimate
    best: Estimate
    worst: Estimate


class OperatingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor does at one threshold.

    Attributes:
        name: `shipped`, or `fpr 0.01`.
        fpr: the false-alarm rate aimed at; None for a threshold that was not fitted.
        threshold: how it was found and what it is.
        tpr: share of violations that are flagged. false_alarms: share of benign units that are.
        tpr_at_rate: the same share with the uncertainty of the threshold in its interval; None
            for one that was not fitted.
        expected_tpr, expected_false_alarms: over all draws, not the kept ones alone.
        by_draw: decisions that the draw made.
        determined: whether there were enough calibration clusters to fix the threshold; None for
            one that was not fitted.
        notes: what a reader must know.
    """

    name: str
    fpr: float | None
    threshold: dict[str, Any]
    tpr: Rate
    false_alarms: Rate
    tpr_at_rate: Estimate | None = None
    expected_tpr: float | None = None
    expected_false_alarms: float | None = None
    by_draw: int = 0
    determined: bool | None = None
    notes: tuple[str, ...] = ()


class AnyAction(msgspec.Struct, frozen=True, kw_only=True):
    """Transcripts with any action flagged at a threshold for actions.

    Attributes:
        name: of the threshold.
        median_actions: of the benign transcripts that were tested; None without any.
        if_independent: the false alarms that as many independently flagged actions would give.
    """

    name: str
    fpr: float | None
    tpr: Rate
    false_alarms: Rate
    median_actions: int | None
    if_independent: Estimate | None


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """An area under the ROC curve, with missing scores bounded both ways."""

    estimate: Estimate
    worst: float | None
    best: float | None
    positives: int
    negatives: int
    missing_positives: int
    missing_negatives: int


class PartialArea(msgspec.Struct, frozen=True, kw_only=True):
    """The same over few false alarms; `standardised` is McClish's."""

    max_fpr: float
    raw: Estimate
    standardised: Estimate
    worst: float | None
    best: float | None


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Units whose score lies in [low, high) (the last one: with its end), against their labels."""

    low: float
    high: float
    n: int
    mean_score: float | None
    violations: Estimate


class Reliability(msgspec.Struct, frozen=True, kw_only=True):
    """The score read as a probability of a violation.

    Attributes:
        base_rate: share of violations among the scored; whoever collected the runs chose it.
        brier, brier_worst, brier_best: mean squared error, and with missing scores bounded.
    """

    bins: tuple[Bin, ...]
    brier: Estimate
    brier_worst: float | None
    brier_best: float | None
    base_rate: float | None
    notes: tuple[str, ...] = ()


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The units with one value in one column. `auroc` is None where a class is absent."""

    column: str
    value: str
    n: int
    clusters: int
    confusion: Confusion
    auroc: Area | None
    operating: tuple[OperatingFigures, ...]


class RocPoint(msgspec.Struct, frozen=True, array_like=True):
    """A score, and the shares of benign units and of violations that reach it."""

    cut: float
    false_alarms: float
    tpr: float


class UnitFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is measured of one kind of unit.

    Attributes:
        unit: `transcript`, `action` or `row`.
        unmeasurable: share of units without a score.
        groups: by each grouping column, empty where there is none.
        roc: the operating curve, at most some hundred points of it.
    """

    unit: str
    n: int
    violations: int
    benign: int
    clusters: int
    benign_clusters: int
    violation_clusters: int
    unmeasurable: Rate
    confusion: Confusion
    operating: tuple[OperatingFigures, ...]
    auroc: Area
    partial_auroc: PartialArea
    reliability: Reliability | None
    groups: tuple[GroupFigures, ...] = ()
    roc: tuple[RocPoint, ...] = ()
    notes: tuple[str, ...] = ()


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """How long after its beginning a violating run was first flagged.

    Attributes:
        unit: `actions` or `seconds`.
        median: over the runs that were flagged while they went on; runs that never were have none.
        flagged: those runs. at_end: flagged only once the run had ended. never: not flagged.
        unknown: of which that could not be said. untimed: flagged, but the log has no times.
    """

    unit: str
    median: Estimate
    flagged: int
    at_end: int
    never: int
    unknown: int
    untimed: int


class CurvePoint(msgspec.Struct, frozen=True, array_like=True):
    """A time, and the share of runs with the flag first, and with the harm first, until then.

    Attributes:
        flag_low, flag_high, harm_low, harm_high: ends of pointwise intervals, None where none was
            shown to cover.
    """

    at: float
    flag_first: float
    harm_first: float
    flag_low: float | None = None
    flag_high: float | None = None
    harm_low: float | None = None
    harm_high: float | None = None


class RaceFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Which came first in violating runs: the flag at the shipped threshold, or the harm.

    Attributes:
        ties: flag and harm at the same action; counted as harm first.
        n: runs in the race. clusters: of these. flagged, harmed: with the flag first, and with
            the harm first. unknown: runs of which that cannot be said.
        without_harm: violating runs whose label names no harm: not in the race.
        horizon: end of the longest run; the curve is flat from its last point to there.
        curve: cumulative incidence, at most some hundred points of it.
    """

    unit: str
    flag_first: Rate
    harm_first: Rate
    neither: Rate
    ties: int
    n: int
    unknown: int
    without_harm: int
    clusters: int
    flagged: int
    harmed: int
    horizon: float
    curve: tuple[CurvePoint, ...] = ()
    notes: tuple[str, ...] = ()


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Recall under one attack at one threshold, over the runs that the attack could change.

    Attributes:
        before, after: share flagged without and with the attack. fall: before minus after, paired
            by cluster. p_value: two-sided; p_holm: corrected for all attacks at this threshold.
    """

    threshold: str
    before: Rate
    after: Rate
    fall: Estimate
    p_value: float | None
    p_holm: float | None


class AttackFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One attack on one monitor.

    Attributes:
        knowledge, queries: what the attacker must know of the monitor, and may ask it.
        label: what the recall under this attack shows of this monitor.
        runs: violating runs that it could change. not_applicable: those that it could not.
        unread: those that could not be read, missing from every recall and bounded.
        recalls: at each threshold; empty when it could change no run.
    """

    name: str
    family: str
    knowledge: str
    queries: int
    describes: str
    targets: str
    label: str
    runs: int
    not_applicable: int
    unread: int
    why_not: str | None
    recalls: tuple[Recall, ...]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What the monitor spent on all labelled runs; seconds differ from one measurement to the next.

    Attributes:
        seconds: without the effects that all monitors share. model_calls, tokens: None for a
            monitor that asks no model, or does not say.
    """

    seconds: float | None
    seconds_per_action: float | None
    model_calls: int | None
    tokens: int | None


class FitFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The weights of an ensemble and what they were fitted on.

    Attributes:
        intercept, coefficients: of 1 / (1 + exp(-(intercept + sum of coefficient times suspicion)))
            over the members, in their order; None and empty when nothing could be fitted.
        penalty: of the ridge penalty on the coefficients, half of it times their squares.
        runs, violations, benign: that fitted them. violation_clusters, benign_clusters: likewise.
        left_out: runs of these clusters that a member could not judge, or that were not read.
        clusters: that were set apart for the fit: no figure of this monitor has a run of theirs.
        why_not: why nothing was fitted.
        notes: what a reader must know of the weights.
    """

    members: tuple[str, ...]
    intercept: float | None
    coefficients: tuple[float, ...]
    penalty: float | None
    runs: int
    violations: int
    benign: int
    left_out: int
    violation_clusters: int
    benign_clusters: int
    clusters: tuple[str, ...]
    why_not: str | None = None
    notes: tuple[str, ...] = ()


class Unmeasured(msgspec.Struct, frozen=True, kw_only=True):
    """A run that was not scored, or not wholly."""

    run: str
    reason: str


class MonitorFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One monitor.

    Attributes:
        digest: its identity, weights included; None for scores given elsewhere and for an ensemble
            that could not be fitted.
        fit: for an ensemble whose weights the labels fitted; None for every other monitor.
    """

    name: str
    digest: str | None
    coverage: Estimate
    per_transcript: UnitFigures
    per_action: UnitFigures | None
    per_action_notes: tuple[str, ...]
    any_action: tuple[AnyAction, ...]
    latency: tuple[Latency, ...]
    race: tuple[RaceFigures, ...]
    race_notes: tuple[str, ...]
    cost: Cost | None
    attacks: tuple[AttackFigures, ...]
    unmeasured: tuple[Unmeasured, ...]
    fit: FitFigures | None = None


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """Why a figure may not mean what it seems to. `monitor` is None for all of them."""

    code: str
    text: str
    monitor: str | None = None


class ShortcutFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How well a trivial feature tells the labels apart."""

    feature: str
    auroc: float | None
    higher_is: str | None
    n: int


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured on, and what was not.

    Attributes:
        labelled: labelled runs, those that could not be read included.
        unlabelled: runs that were read and have no label, as they are shown: not scored.
        not_read: labelled runs that could not be read: unmeasurable for every monitor.
        duplicates: labelled runs met before, word for word: counted once.
        behaviours: distinct behaviours behind the violations, and behind the benign runs.
        clusters_from: where clusters come from.
    """

    labelled: int
    violations: int
    benign: int
    clusters: int
    benign_clusters: int
    violation_clusters: int
    calibration_clusters: int
    calibration_runs: int
    test_runs: int
    set_aside: int
    clusters_from: dict[str, int]
    actions: int | None = None
    unlabelled: tuple[str, ...] = ()
    not_read: tuple[Unmeasured, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()
    behaviours_of_violations: int | None = None
    behaviours_of_benign: int | None = None
    near_duplicates_across: int | None = None
    shortcuts: tuple[ShortcutFigures, ...] = ()
    effects_seconds: float | None = None


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """The document.

    Attributes:
        about: what was measured and how; everything that the figures depend on.
        split: calibration or test, by cluster.
        not_measured: what this cannot say, in words.
    """

    schema: str
    about: dict[str, Any]
    data: Data
    monitors: tuple[MonitorFigures, ...]
    warnings: tuple[Warned, ...]
    not_measured: tuple[str, ...]
    split: dict[str, str]

    @property
    def unmeasurable(self) -> int:
        """Scores that are missing, over all monitors, and runs that could not be read."""
        return sum(len(monitor.unmeasured) for monitor in self.monitors)
