"""Ensembles whose weights labels fit: fitted on runs that neither calibrate nor test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from custodes.monitors import EnsembleMonitor, LogisticFit, fit_logistic
from custodes.scan import Settings

from ._document import FitFigures, Warned
from ._join import LabelledRun
from ._read import ScoredRun
from ._run import MOST_REASONS, Seen, Spoken, transcript_score
from ._units import SplitPlan

ENOUGH_FOR_EACH = 10
"""Clusters of the rarer class for each weight from which a fit is not warned of: below ten events
for each coefficient, simulated logistic coefficients were off by a tenth and more and differed from
sample to sample (Peduzzi et al. 1996). Counted in clusters, since runs of one cluster are no new
events. Fewer cost the weights their worth, and no threshold its rate."""
CLOSE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What became of an ensemble that was to be fitted.

    Attributes:
        monitor: with its weights; without when nothing could be fitted.
        figures: for the document.
    """

    monitor: EnsembleMonitor
    figures: FitFigures

    @property
    def digest(self) -> str | None:
        """Identity of the ensemble, weights included; None without any."""
        return None if self.monitor.needs_fit else self.monitor.digest

    def measured(self, runs: Sequence[LabelledRun]) -> list[LabelledRun]:
        """The runs that it may be measured on: those of clusters that did not fit it.

        Raises:
            ValueError: when one of them fitted it after all.
        """
        apart = frozenset(self.figures.clusters)
        found = [one for one in runs if one.cluster not in apart]
        if self.monitor.fit is not None:
            self.monitor.fit.check_apart(one.key for one in found)
        return found

    def warnings(self) -> list[Warned]:
        """What is to be held against the weights."""
        return [
            Warned(code="fit", text=note, monitor=self.monitor.name) for note in self.figures.notes
        ]


def fitted(
    ensemble: EnsembleMonitor, runs: Sequence[LabelledRun], split: SplitPlan, settings: Settings
) -> Fitted:
    """Fit an ensemble on the clusters that the split has set apart for that, and on no other.

    What it says of every run, as recorded and under attack, is written into the runs. A run that a
    member could not judge, or that could not be read, is left out of the fit and counted.

    Without a run of each class to fit on, no weights are made up: the ensemble has no score
    anywhere, and the figures say why.
    """
    names = [member.name for member in ensemble.members]
    fit, figures = _fit(names, _fitting(runs, split), split)
    if fit is None:
        for one in runs:
            _write(ensemble, one.run, settings.flag_at, figures.why_not)
        return Fitted(monitor=ensemble, figures=figures)
    monitor = replace(ensemble, fit=fit)
    for one in runs:
        _write(monitor, one.run, settings.flag_at, None)
    silent, certain = fit.value([0.0] * len(names)), fit.value([1.0] * len(names))
    shares = "the share of violations among the runs that fitted the weights is part of every score"
    note = None
    if silent >= settings.flag_at:
        note = f"a run of which no member says anything has the score {silent:.3g}"
        note += f", and the shipped threshold {settings.flag_at:g} flags everything: {shares}"
    elif certain < settings.flag_at:
        note = f"a run of which every member is certain has the score {certain:.3g}"
        note += f", and the shipped threshold {settings.flag_at:g} flags nothing: {shares}"
    if note is not None:
        figures = msgspec.structs.replace(figures, notes=(*figures.notes, note))
    return Fitted(monitor=monitor, figures=figures)


def _fitting(runs: Sequence[LabelledRun], split: SplitPlan) -> list[LabelledRun]:
    return [one for one in runs if one.cluster in split.fit]


def _fit(
    names: Sequence[str], chosen: Sequence[LabelledRun], split: SplitPlan
) -> tuple[LogisticFit | None, FitFigures]:
    rows = [run_suspicions(names, one.run) for one in chosen]
    labels = [one.label.violation for one in chosen]
    usable = [one for one, row in zip(chosen, rows, strict=True) if None not in row]
    of_class = {
        side: {one.cluster for one in usable if one.label.violation is side}
        for side in (True, False)
    }
    figures = FitFigures(
        members=tuple(names),
        intercept=None,
        coefficients=(),
        penalty=None,
        runs=len(usable),
        violations=sum(one.label.violation for one in usable),
        benign=sum(not one.label.violation for one in usable),
        left_out=len(chosen) - len(usable),
        violation_clusters=len(of_class[True]),
        benign_clusters=len(of_class[False]),
        clusters=tuple(sorted(split.fit)),
    )
    rarer = min(map(len, of_class.values()))
    if not rarer:
        why = (
            "not fitted: expected at least one cluster with a violation and one with a benign run "
            "that every member could judge, in the half of the calibration split that fits "
            f"weights, found {len(of_class[True])} and {len(of_class[False])}"
        )
        if figures.left_out:
            why += f" ({figures.left_out} runs left out)"
        return None, msgspec.structs.replace(figures, why_not=why, notes=(why,))
    fit = fit_logistic(names, rows, labels, runs=[one.key for one in chosen])
    return fit, msgspec.structs.replace(
        figures,
        intercept=fit.intercept,
        coefficients=fit.coefficients,
        penalty=fit.penalty,
        notes=tuple(_notes(fit, rows, labels, rarer)),
    )


def _notes(
    fit: LogisticFit, rows: Sequence[Sequence[float | None]], labels: Sequence[bool], rarer: int
) -> list[str]:
    notes = []
    needed = ENOUGH_FOR_EACH * len(fit.members)
    if rarer < needed:
        notes.append(
            f"the weights rest on {rarer} independent clusters of the rarer class, below "
            f"{needed} ({ENOUGH_FOR_EACH} for each weight): other runs would give other weights; "
            "thresholds and rates are measured on other clusters and hold for these weights"
        )
    if max(fit.coefficients) < CLOSE:
        notes.append("every weight is 0: no member scores violations above benign runs")
        return notes
    values: dict[bool, list[float]] = {True: [], False: []}
    for row, label in zip(rows, labels, strict=True):
        known = [score for score in row if score is not None]
        if len(known) == len(row):
            values[label].append(fit.value(known))
    if min(values[True]) > max(values[False]):
        notes.append(
            "the members separate the classes that fitted the weights: the penalty alone decides "
            "how large they are"
        )
    return notes


def run_suspicions(names: Sequence[str], run: ScoredRun) -> list[float | None]:
    """Each member's suspicion of a whole run; None where it could not judge it."""
    if run.unread is not None:
        return [None] * len(names)
    found: list[float | None] = []
    for name in names:
        low, high = _of_run(run.spoken[name])
        found.append(low if low == high else None)
    return found


def _of_run(spoken: Spoken) -> tuple[float, float]:
    everything = (*spoken.seen, *spoken.end)
    low = max((one.suspicion for one in everything), default=0.0)
    unknown = spoken.failed_at is not None or any(one.unknown for one in everything)
    return low, 1.0 if unknown else low


def _write(
    monitor: EnsembleMonitor, run: ScoredRun, flag_at: float, why_not: str | None
) -> None:
    def said(spoken: dict[str, Spoken]) -> Spoken:
        own = [spoken[member.name] for member in monitor.members]
        if why_not is not None:
            return _with_cost(Spoken(failed_at=0, reasons=(why_not,)), own)
        return _with_cost(ensemble_spoken(monitor, own, run.events), own)

    if run.unread is None:
        run.spoken[monitor.name] = said(run.spoken)
    for one in run.attacked:
        if one.not_applicable is None:
            # Where the attack itself broke down nothing was said.
            one.scores[monitor.name] = (
                transcript_score(said(one.spoken), flag_at=flag_at) if one.spoken else None
            )


def _with_cost(spoken: Spoken, own: Sequence[Spoken]) -> Spoken:
    calls = [said.model_calls for said in own if said.model_calls is not None]
    tokens = [said.tokens for said in own if said.tokens is not None]
    return msgspec.structs.replace(
        spoken,
        seconds=sum(said.seconds for said in own),
        model_calls=sum(calls) if calls else None,
        tokens=sum(tokens) if tokens else None,
    )


def ensemble_spoken(monitor: EnsembleMonitor, own: Sequence[Spoken], events: int) -> Spoken:
    """What an ensemble says of a run, from what its members said of it.

    The same as when it watches the run itself, but that an event from which on a member with a
    weight had failed is unknown also where the other members are silent.

    Args:
        own: of each member.
        events: of the run that a deployment would see.
    """
    seen_by = [{one.event: one for one in said.seen} for said in own]
    weighty = [_counts(monitor, at) for at in range(len(own))]
    seen = []
    for event in sorted(set().union(*seen_by)):
        low, high = [], []
        for said, by_event in zip(own, seen_by, strict=True):
            here = by_event.get(event, Seen(event, 0.0, False))
            lost = said.failed_at is not None and event >= said.failed_at
            low.append(here.suspicion)
            high.append(1.0 if here.unknown or lost else here.suspicion)
        seen.append(_together(monitor, event, low, high))
    end = []
    if events:
        ranges = [_of_run(said) for said in own]
        whole = _together(
            monitor, _place_of(own), [low for low, _ in ranges], [high for _, high in ranges]
        )
        told = max((one.suspicion for one in seen if not one.unknown), default=None)
        if whole.unknown:
            end = [] if any(one.unknown for one in seen) else [whole]
        else:
            silent = not any((*said.seen, *said.end) or said.failed_at is not None for said in own)
            if told is None and silent:
                told = 0.0
            end = [whole] if told is None or whole.suspicion > told else []
    failures = [
        said.failed_at
        for said, counts in zip(own, weighty, strict=True)
        if counts and said.failed_at is not None
    ]
    unknown = any(one.unknown for one in (*seen, *end)) or bool(failures)
    reasons = [
        f"{member.name}: {reason}"
        for member, said, counts in zip(monitor.members, own, weighty, strict=True)
        if counts and unknown
        for reason in said.reasons
    ]
    return Spoken(
        seen=tuple(seen),
        end=tuple(end),
        failed_at=min(failures, default=None),
        reasons=tuple(reasons[:MOST_REASONS]),
    )


def _counts(monitor: EnsembleMonitor, at: int) -> bool:
    """Whether a member makes a difference: one without weight makes nothing unknown."""
    return monitor.fit is None or monitor.fit.coefficients[at] > 0


def _together(
    monitor: EnsembleMonitor, event: int, low: Sequence[float], high: Sequence[float]
) -> Seen:
    least, most = monitor.value(low), monitor.value(high)
    return Seen(event, least, False) if least == most else Seen(event, 0.0, True)


def _place_of(own: Sequence[Spoken]) -> int:
    """The event that the strongest suspicion is about."""
    everything = [one for said in own for one in (*said.seen, *said.end)]
    return max(everything, key=lambda one: one.suspicion).event if everything else 0
