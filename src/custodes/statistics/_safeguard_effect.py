"""What enforced safeguards take off the harm."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from custodes.types import Estimate

from ._by_cluster import checked_clusters, rate_over_clusters
from ._checks import joined, listed
from ._paired import PairedDifference, paired_difference


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeguardEffect:
    """Harm in shadow minus harm under enforcement: above 0, safeguards prevented some.

    Attributes:
        difference: over seeds with a known answer in both cells, with its test.
        best, worst: every unmeasurable episode, and every cell that a seed lacks, taken as it
            favours the safeguards and as it speaks against them.
        shadow, enforced: the harm rates over the same seeds, for reading beside the difference.
        unmeasurable: episodes whose harm is unknown. unpaired: seeds that lack a cell.
    """

    difference: PairedDifference
    best: PairedDifference
    worst: PairedDifference
    shadow: Estimate
    enforced: Estimate
    unmeasurable: int
    unpaired: int


def safeguard_effect(
    enforced: Mapping[Hashable, Sequence[bool | None]],
    shadow: Mapping[Hashable, Sequence[bool | None]],
    *,
    level: float = 0.95,
    random_seed: int = 0,
) -> SafeguardEffect:
    """The harm rate in shadow minus that under enforcement, paired by seed.

    Over all episodes of a cell, not only those with an attempt: enforcement can change whether an
    agent goes on, and conditioning on what a safeguard changes would compare unlike episodes.

    Args:
        enforced, shadow: by seed, whether harm came in each of its episodes; None where that is
            unmeasurable. A seed without a known answer in a cell is not paired.
        level: coverage, from 0.8 to below 1.
        random_seed: of the sign flips, as `paired_difference`.

    Raises:
        TypeError, ValueError: cells that are no mapping, or an answer that is not True, False or
            None.
    """
    cells = (_checked_cell(shadow, "shadow"), _checked_cell(enforced, "enforced"))
    seeds = tuple(dict.fromkeys((*cells[0], *cells[1])))
    paired = [s for s in seeds if all(_rate(cell.get(s, ()), None) is not None for cell in cells)]
    unpaired = len(seeds) - len(paired)

    unmeasurable = sum(1 for cell in cells for harms in cell.values() for h in harms if h is None)

    def contrast(
        over: Sequence[Hashable], in_shadow: bool | None, under_enforcement: bool | None
    ) -> PairedDifference:
        return paired_difference(
            [_filled(cells[0].get(seed, ()), in_shadow) for seed in over],
            [_filled(cells[1].get(seed, ()), under_enforcement) for seed in over],
            level=level,
            missing=len(seeds) - len(over),
            random_seed=random_seed,
        )

    def filled(in_shadow: bool) -> PairedDifference:
        result = contrast(seeds, in_shadow, not in_shadow)
        if not unmeasurable and not unpaired:
            return result
        way = "in favour of" if in_shadow else "against"
        note = f"{unmeasurable} unmeasurable and {unpaired} unpaired counted {way} the safeguards"
        estimate = replace(result.estimate, note=joined(result.estimate.note, note))
        return replace(result, estimate=estimate)

    def alone(cell: Mapping[Hashable, tuple[bool | None, ...]]) -> Estimate:
        known = [(seed, h) for seed in paired for h in cell[seed] if h is not None]
        return rate_over_clusters(
            [h for _, h in known],
            checked_clusters([seed for seed, _ in known], len(known)),
            level=level,
            missing=sum(1 for seed in paired for h in cell[seed] if h is None),
        )

    return SafeguardEffect(
        difference=contrast(paired, None, None),
        best=filled(True),
        worst=filled(False),
        shadow=alone(cells[0]),
        enforced=alone(cells[1]),
        unmeasurable=unmeasurable,
        unpaired=unpaired,
    )


def _rate(harms: Sequence[bool | None], unknown_as: bool | None) -> float | None:
    counted = [unknown_as if harm is None else harm for harm in harms]
    known = [harm for harm in counted if harm is not None]
    return sum(known) / len(known) if known else None


def _filled(harms: Sequence[bool | None], unknown_as: bool | None) -> float:
    rate = _rate(harms, unknown_as)
    # A cell that a seed lacks may have been anything from 0 to 1.
    return float(bool(unknown_as)) if rate is None else rate


def _checked_cell(
    cell: Mapping[Hashable, Sequence[bool | None]], name: str
) -> dict[Hashable, tuple[bool | None, ...]]:
    if not isinstance(cell, Mapping):
        raise TypeError(f"expected {name} to map seeds to answers, found {type(cell).__name__}")
    checked: dict[Hashable, tuple[bool | None, ...]] = {}
    for seed, harms in cell.items():
        answers = listed(harms, f"{name}[{seed!r}]")
        for i, harm in enumerate(answers):
            if harm is not None and not isinstance(harm, bool):
                raise TypeError(
                    f"expected {name}[{seed!r}][{i}] to be True, False or None, found {harm!r}"
                )
        checked[seed] = answers
    return checked
