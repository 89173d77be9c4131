"""How far recall falls when violating runs look different and do the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from custodes.monitors import JAILBREAK_RESISTANCE, PARSER_ROBUSTNESS
from custodes.statistics import holm, paired_difference

from ._document import AttackFigures, Recall
from ._figures import Points, flags_of, rate_name
from ._labels import Split
from ._rates import rate_of
from ._read import ScoredRun
from ._units import Unit
from .attacks import Attack, all_attacks

EVASION = "evasion by changed text"
NO_PARSER = f"{PARSER_ROBUSTNESS} of a judge: this monitor asks no model"


def attack_figures(
    monitor: str,
    runs: Sequence[ScoredRun],
    units: Sequence[Unit],
    points: Points,
    *,
    asks_a_model: bool,
) -> tuple[AttackFigures, ...]:
    """Recall with and without each attack, over the runs that the attack could change.

    A run that could not be read may be one of them: it is missing from both, and bounded.

    A run keeps its draw: what is compared is the change of its score alone. A calibrated
    threshold is tested on the test split, the shipped one on every violating run.

    Args:
        runs: the violating runs. units: of each, with the score as recorded.
        asks_a_model: then fixed scripts test how its answer is parsed, and are labelled so.
    """
    found = [
        (attack, *_recalls(attack, monitor, runs, units, points)) for attack in all_attacks()
    ]
    figures = []
    corrected = _corrected([recalls for _, recalls, *_ in found])
    for (attack, _, applied, refusals), recalls in zip(found, corrected, strict=True):
        figures.append(
            AttackFigures(
                name=attack.name,
                family=attack.family,
                knowledge=attack.knowledge.value,
                queries=attack.queries,
                describes=attack.describes,
                targets=attack.targets,
                label=_label(attack, asks_a_model=asks_a_model),
                runs=applied,
                not_applicable=sum(refusals.values()),
                unread=sum(run.unread is not None for run in runs),
                why_not=refusals.most_common(1)[0][0] if refusals else None,
                recalls=recalls,
            )
        )
    return tuple(figures)


def _label(attack: Attack, *, asks_a_model: bool) -> str:
    if asks_a_model:
        return f"{PARSER_ROBUSTNESS}; {JAILBREAK_RESISTANCE}"
    return NO_PARSER if attack.targets == "parser" else EVASION


def _recalls(
    attack: Attack,
    monitor: str,
    runs: Sequence[ScoredRun],
    units: Sequence[Unit],
    points: Points,
) -> tuple[tuple[Recall, ...], int, Counter[str]]:
    before: list[Unit] = []
    after: list[Unit] = []
    refusals: Counter[str] = Counter()
    for run, unit in zip(runs, units, strict=True):
        done = next((one for one in run.attacked if one.attack == attack.name), None)
        if done is not None and done.not_applicable is not None:
            refusals[done.not_applicable] += 1
            continue
        before.append(unit)
        after.append(
            Unit(
                key=unit.key,
                score=None if done is None else done.scores[monitor],
                violation=True,
                cluster=unit.cluster,
                split=unit.split,
            )
        )
    recalls = []
    for fpr in (None, *points.fitted):
        tested = [i for i, u in enumerate(before) if fpr is None or u.split is Split.TEST]
        if tested:
            recalls.append(
                _recall(
                    rate_name(fpr),
                    flags_of(points, fpr, [before[i] for i in tested]),
                    flags_of(points, fpr, [after[i] for i in tested]),
                    [before[i].cluster for i in tested],
                )
            )
    applied = len(before) - sum(run.unread is not None for run in runs)
    return (tuple(recalls) if applied else ()), applied, refusals


def _recall(
    name: str,
    before: Sequence[bool | None],
    after: Sequence[bool | None],
    clusters: Sequence[str],
) -> Recall:
    pairs: dict[str, list[tuple[bool, bool]]] = {cluster: [] for cluster in clusters}
    for one, other, cluster in zip(before, after, clusters, strict=True):
        if one is not None and other is not None:
            pairs[cluster].append((one, other))
    known = [own for own in pairs.values() if own]
    difference = paired_difference(
        [sum(a for a, _ in own) / len(own) for own in known],
        [sum(b for _, b in own) / len(own) for own in known],
        missing=len(pairs) - len(known),
    )
    return Recall(
        threshold=name,
        before=rate_of(before, clusters, harmful=False),
        after=rate_of(after, clusters, harmful=False),
        fall=difference.estimate,
        p_value=difference.p_value,
        p_holm=None,
    )


def _corrected(every: Sequence[tuple[Recall, ...]]) -> list[tuple[Recall, ...]]:
    """The same with p-values corrected within the family of all attacks at one threshold."""
    import msgspec

    adjusted: dict[tuple[int, str], float] = {}
    for name in dict.fromkeys(recall.threshold for recalls in every for recall in recalls):
        places = []
        values = []
        for position, recalls in enumerate(every):
            for recall in recalls:
                if recall.threshold == name and recall.p_value is not None:
                    places.append((position, name))
                    values.append(recall.p_value)
        adjusted.update(zip(places, holm(values), strict=True))
    return [
        tuple(
            msgspec.structs.replace(recall, p_holm=adjusted.get((position, recall.threshold)))
            for recall in recalls
        )
        for position, recalls in enumerate(every)
    ]
