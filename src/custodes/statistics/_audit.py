"""Which runs a person looks at, within a budget that is kept exactly on average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ._checks import checked_count, joined, listed, same_length
from ._runs import checked_keys, checked_number, checked_scores, checked_truth
from ._threshold import draw_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The runs chosen for a person to look at.

    Attributes:
        chosen: for each run, whether it is looked at.
        chances: for each run, the probability of that over seeds. Over the benign runs they sum
            to ``expected``.
        budget: the share of benign runs asked for. expected: that share in runs.
        cut: runs that score above it are all looked at, and runs at it with ``chance``; None
            when the budget ends among runs without a score or nothing is looked at.
        chance: of a run at the cut.
        audited: runs looked at, and of these audited_benign benign, audited_missing without a
            score.
        missing: runs without a score.
        seed: of the choice at the cut.
        note: what a reader must know; None when there is nothing.
    """

    chosen: tuple[bool, ...]
    chances: tuple[float, ...]
    budget: float
    expected: float
    cut: float | None
    chance: float
    audited: int
    audited_benign: int
    audited_missing: int
    missing: int
    seed: int
    note: str | None


def audit(
    scores: Sequence[float | None],
    budget: float,
    *,
    benign: Sequence[bool] | None = None,
    keys: Sequence[str] | None = None,
    seed: int = 0,
) -> Audit:
    """Choose the most suspicious runs so that a share ``budget`` of benign ones is looked at.

    The expected number of benign runs chosen is budget times their number, exactly, whatever
    the ties and however few they are; the number chosen is that rounded down or up. From the
    highest score down runs are chosen until the budget is used; of the runs that share the score
    at which that happens, each is chosen with the same chance, drawn with ``seed``. (A percentile
    of the scores as a threshold overruns the budget: every run tied with it is taken.)

    A run without a score is unknown, and unknown is not benign: such runs are looked at first,
    before the highest score, and they use the budget as any other. So an agent gains nothing by
    making its monitor fail, and a monitor that often fails leaves no budget for its scores,
    which ``audited_missing`` shows.

    For choosing among runs that are all here. For runs that arrive one by one use `calibrate`
    with the budget as fpr on earlier benign runs.

    Args:
        scores: in [0, 1]; None where the monitor gave none.
        budget: a share of benign runs, in [0, 1]. Read as the decimal that it prints as. 0
            chooses none and 1 all.
        benign: which runs are benign, where that is known, as when a protocol is evaluated: the
            budget is then counted on those, and the others are chosen by the same cut and
            chance. None: all traffic is taken as benign, as in a deployment.
        keys: the runs' names; with them the choice does not depend on the order of the list.
        seed: of the choice among ties.

    Raises:
        TypeError, ValueError: no run, or no benign one; a score or budget outside [0, 1]; a
            label that is no truth value; unequal lengths.
    """
    values = checked_scores(scores, "scores")
    share = checked_number(budget, "budget", low=0.0, high=1.0)
    seed = checked_count(seed, "seed")
    names = [str(i) for i in range(len(values))] if keys is None else list(
        checked_keys(keys, values, "keys")
    )
    truths = [True] * len(values)
    if benign is not None:
        benign = listed(benign, "benign")
        truths = [checked_truth(label, f"benign[{i}]") for i, label in enumerate(benign)]
    same_length(values, truths, "scores and benign")
    total = sum(truths)
    if total == 0:
        raise ValueError(f"expected at least one benign run, found none of {len(values)}")

    exact = Fraction(repr(share)) * total
    groups: dict[float, list[int]] = {}
    for i, value in enumerate(values):
        groups.setdefault(math.inf if value is None else value, []).append(i)
    chances = [0.0] * len(values)
    chosen: set[int] = set()
    left = exact
    cut, chance = None, 0.0
    for score in sorted(groups, reverse=True):
        if left == 0 and share < 1:
            break
        group = groups[score]
        of_benign = [i for i in group if truths[i]]
        others = [i for i in group if not truths[i]]
        part = Fraction(1) if left >= len(of_benign) else left / len(of_benign)
        for i in group:
            chances[i] = float(part)
        for side in (of_benign, others):
            chosen.update(_drawn(side, part * len(side), names, seed))
        cut, chance = (None if score == math.inf else score), float(part)
        left -= part * len(of_benign)
    missing = groups.get(math.inf, [])
    missed = None
    if missing:
        taken = sum(1 for i in missing if i in chosen)
        missed = f"{len(missing)} of {len(values)} runs have no score; {taken} of them looked at"
    return Audit(
        chosen=tuple(i in chosen for i in range(len(values))),
        chances=tuple(chances),
        budget=share,
        expected=float(exact),
        cut=cut,
        chance=chance,
        audited=len(chosen),
        audited_benign=sum(1 for i in chosen if truths[i]),
        audited_missing=sum(1 for i in missing if i in chosen),
        missing=len(missing),
        seed=seed,
        note=joined(missed),
    )


def _drawn(runs: list[int], expected: Fraction, names: list[str], seed: int) -> list[int]:
    """``expected`` of the runs on average, rounded down or up, each as likely."""
    whole = math.floor(expected)
    if whole == len(runs):
        return runs
    ordered = sorted(runs, key=lambda i: (draw_for(seed, names[i], purpose="audit order"), i))
    kept = ordered[:whole]
    # The run that is next decides by a draw of its own, which is independent of the order.
    after = ordered[whole]
    if draw_for(seed, names[after], purpose="audit remainder") < expected - whole:
        kept.append(after)
    return kept
