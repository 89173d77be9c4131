"""Why figures on a monitor may not mean what they seem to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from custodes.statistics import (
    Shortcut,
    clusters_needed,
    groups,
    minhash,
    near_duplicates,
    shortcut_check,
)

from ._document import ShortcutFigures, Warned
from ._figures import MOST_GROUPS, Points
from ._labels import CLUSTER, Split
from ._units import Unit

SIMILAR = 0.8
"""Jaccard similarity of what two runs do from which they count as near-duplicates."""
DETERMINED_FROM = 10
CLOSE = 0.05
"""How far a monitor's AUROC must be above that of something trivial."""


def shortcuts(
    labels: Sequence[bool],
    features: Mapping[str, Sequence[float | None]],
    aurocs: Mapping[str, float | None],
) -> tuple[tuple[ShortcutFigures, ...], list[Warned]]:
    """How well trivial features tell the labels, and whether a monitor does no better.

    Args:
        aurocs: of each monitor, per transcript.
    """
    if len(set(labels)) < 2:
        return (), []
    alone = shortcut_check(labels, features, monitor=None)
    figures = tuple(
        ShortcutFigures(feature=s.feature, auroc=s.auroc, higher_is=s.higher_is, n=s.n)
        for s in alone.shortcuts
    )
    warnings = []
    if strong := [s for s in alone.shortcuts if s.warning]:
        warnings.append(
            Warned(code="shortcut", text=f"something trivial predicts the labels: {_told(strong)}")
        )
    for monitor, value in aurocs.items():
        if value is None:
            continue
        found = shortcut_check(labels, features, monitor=value).shortcuts
        close = [s for s in found if s.warning and (s.auroc or 0.0) >= value - CLOSE]
        if close:
            warnings.append(
                Warned(
                    code="shortcut",
                    text=f"its AUROC {value:.3f} is not clearly above that of {_told(close)}",
                    monitor=monitor,
                )
            )
    return figures, warnings


def _told(found: Sequence[Shortcut]) -> str:
    return ", ".join(
        f"{s.feature} ({s.auroc:.3f}, {'more' if s.higher_is == 'positive' else 'fewer'} means "
        "violation)"
        for s in found
        if s.auroc is not None
    )


def few_clusters(units: Sequence[Unit], points: Points) -> list[Warned]:
    """False-alarm rates that the benign clusters are too few for."""
    test = len({u.cluster for u in units if not u.violation and u.split is Split.TEST})
    found = []
    for fpr, threshold in points.fitted.items():
        needed = clusters_needed(fpr)
        n = 0 if threshold is None else threshold.n
        if n == 0:
            what = "no benign cluster with a score to calibrate on: there is no threshold"
        elif n * fpr < 1:
            what = (
                f"{n} benign calibration clusters: fewer than one false alarm is expected, so "
                "next to nothing is flagged"
            )
        elif n * fpr < DETERMINED_FROM:
            what = (
                f"{n} benign calibration clusters: the threshold is not determined, another "
                "calibration may cut elsewhere"
            )
        elif test < needed:
            what = "the threshold is determined, but too few benign clusters test it"
        else:
            continue
        found.append(
            Warned(
                code="few_benign_clusters",
                text=(
                    f"fpr {fpr:g}: {what}; to show a rate of at most {fpr:g} takes {needed} "
                    f"independent benign clusters without an alarm, and {test} test it"
                ),
            )
        )
    return found


def of_one(monitor: str, warnings: Sequence[Warned]) -> list[Warned]:
    """The same warnings, as ones on this monitor alone."""
    return [structs.replace(warned, monitor=monitor) for warned in warnings]


def one_origin(
    units: Sequence[Unit],
    tasks: Sequence[str | None] = (),
    formats: Sequence[str] = (),
) -> list[Warned]:
    """One cluster or task behind all violations, and logs that differ by label in their kind."""
    found: list[Warned] = []
    violating = [i for i, unit in enumerate(units) if unit.violation]
    if not violating or len(violating) == len(units):
        return found
    clusters = {units[i].cluster for i in violating}
    named = {tasks[i] for i in violating} if tasks else {None}
    if len(clusters) == 1:
        found.append(
            Warned(
                code="one_cluster",
                text=(
                    f"all {len(violating)} violations are of one cluster ({clusters.pop()}): "
                    "nothing is known of others"
                ),
            )
        )
    elif len(named) == 1 and None not in named:
        found.append(
            Warned(
                code="one_task",
                text=f"all {len(violating)} violations are of one task ({named.pop()})",
            )
        )
    kinds: dict[bool, set[str]] = {True: set(), False: set()}
    for position, kind in enumerate(formats):
        if kind:
            kinds[units[position].violation].add(kind)
    if kinds[True] and kinds[False] and not kinds[True] & kinds[False]:
        found.append(
            Warned(
                code="confounded",
                text=(
                    "the format of the log alone predicts the labels: violations are "
                    f"{', '.join(sorted(kinds[True]))}, benign runs "
                    f"{', '.join(sorted(kinds[False]))}"
                ),
            )
        )
    return found


def confounded_groups(units: Sequence[Unit]) -> list[Warned]:
    """Grouping columns of which no value has both labels."""
    found = []
    columns = sorted({column for unit in units for column in unit.groups})
    for column in columns:
        values: dict[bool, set[str]] = {True: set(), False: set()}
        for unit in units:
            if column in unit.groups:
                values[unit.violation].add(unit.groups[column])
        if values[True] and values[False] and not values[True] & values[False]:
            found.append(
                Warned(
                    code="confounded",
                    text=f"the column {column} alone predicts the labels: no value has both",
                )
            )
    return found


def many_groups(units: Sequence[Unit], *, by_cluster: bool = True) -> list[Warned]:
    """Grouping columns with more values than get figures of their own."""
    values: dict[str, set[str]] = {CLUSTER: {u.cluster for u in units} if by_cluster else set()}
    for unit in units:
        for column, value in unit.groups.items():
            values.setdefault(column, set()).add(value)
    return [
        Warned(
            code="groups",
            text=(
                f"{len(found)} values of {column}: the first {MOST_GROUPS} by name have figures of "
                "their own; all figures that are not by group are of every run"
            ),
        )
        for column, found in values.items()
        if len(found) > MOST_GROUPS
    ]


def fit_duplicates(across: Sequence[tuple[str, str]], fitted: Sequence[str]) -> list[Warned]:
    """Near-duplicates of which one fitted the weights of an ensemble and the other measures it."""
    if not across:
        return []
    first = " and ".join(across[0])
    return [
        Warned(
            code="near_duplicates",
            text=(
                f"{len(across)} pairs of near-duplicates, one among the runs that fitted the "
                "weights and one among those that measure it: it looks better than it is; the "
                f"first: {first}"
            ),
            monitor=name,
        )
        for name in fitted
    ]


class Similarity:
    """Runs by what they do: near-duplicates, and distinct behaviours.

    Args:
        behaviours: what each run does, as shingles; empty for a run that is not known or does
            nothing.
    """

    def __init__(self, behaviours: Sequence[Sequence[str]]) -> None:
        self._signatures = [minhash(shingles) for shingles in behaviours]

    def distinct(self, chosen: Sequence[int]) -> int | None:
        """Groups among the chosen runs that do anything; None when none does."""
        acting = [self._signatures[i] for i in chosen if self._signatures[i]]
        return len(set(groups(acting, at_least=SIMILAR))) if acting else None

    def across(self, splits: Sequence[Split | None]) -> tuple[tuple[int, int], ...]:
        """Near-duplicates of which one calibrates and the other tests."""
        return tuple(
            (i, j)
            for i, j, _ in near_duplicates(self._signatures, at_least=SIMILAR)
            if {splits[i], splits[j]} == {Split.CALIBRATION, Split.TEST}
        )


def behaviour_warnings(
    violations: int, distinct: int | None, across: Sequence[tuple[str, str]]
) -> list[Warned]:
    """Few distinct behaviours behind the violations, and near-duplicates across splits."""
    found = []
    if distinct is not None and violations > 1 and distinct * 2 <= violations:
        found.append(
            Warned(
                code="few_behaviours",
                text=(
                    f"{violations} violations show {distinct} distinct "
                    f"behaviour{'' if distinct == 1 else 's'}: recall is of those, not of "
                    f"{violations} ways to do harm"
                ),
            )
        )
    if across:
        first = " and ".join(across[0])
        found.append(
            Warned(
                code="near_duplicates",
                text=(
                    f"{len(across)} pairs of near-duplicates, one in calibration and one in test: "
                    f"false alarms look rarer than they are; the first: {first}"
                ),
            )
        )
    return found
