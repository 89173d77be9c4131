"""What one agent's fit says of its horizon, before any interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ._horizon_results import Bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._horizon_fit import Cells, Fits

# With at most this share of the tasks longer than it, an estimate rests on next to nothing above
# it: METR's suite has 5 of 228 tasks above 16 hours, and calls what lies beyond a lower bound.
SHARE_TOO_FEW = 5 / 228

def point_fits(cells: Iterable[Cells], regularization: float) -> Fits:
    """Point fits of all agents, arrays of shape (agents,)."""
    import numpy as np

    from ._horizon_fit import Fits, fit

    found = []
    for cell in cells:
        weight = (cell.weight * cell.runs)[None, :]
        solved = np.minimum((cell.weight * cell.total)[None, :], weight)
        found.append(fit(cell.x, weight, solved, regularization))
    return Fits(
        intercept=np.concatenate([one.intercept for one in found]),
        slope=np.concatenate([one.slope for one in found]),
        status=np.concatenate([one.status for one in found]),
    )


def _power(log2_minutes: float) -> float:
    try:
        return math.exp2(log2_minutes)
    except OverflowError:
        return math.inf


def point_horizon(
    q: float, status: int, intercept: float, slope: float, minutes: NDArray[np.float64]
) -> tuple[float | None, Bound | None, int, str | None]:
    """Estimate, bound, tasks longer than the estimate, and what must be said of it."""
    from . import _horizon_fit as outcome

    why = {
        outcome.NOTHING: "not identified: no scored run",
        outcome.RISING: "not identified: success does not fall with task length",
        outcome.SEPARATED: (
            "not identified: length tells solved from failed, or is all the same, and without "
            "regularization there is no finite fit"
        ),
        outcome.STOPPED: "not identified: the fit did not settle",
    }.get(status)
    if why is not None:
        return None, None, 0, why
    if status == outcome.ALL_FAILED:
        return 0.0, "zero", len(minutes), "all runs failed"
    longest = float(minutes[-1])
    if status == outcome.ALL_SOLVED:
        return longest, "lower", 0, "lower bound: all runs succeeded, up to the longest task"
    estimate = _power((math.log(q / (1 - q)) - intercept) / slope)
    longer = int((minutes > estimate).sum())
    if estimate == math.inf:
        return longest, "lower", 0, "lower bound: the fit lies beyond all numbers"
    if longer <= SHARE_TOO_FEW * len(minutes):
        return estimate, "lower", longer, (
            f"lower bound: {longer} of {len(minutes)} tasks are longer than the estimate; "
            f"the tasks show at least {measurable_to(minutes):.4g} minutes"
        )
    if estimate < minutes[0]:
        return estimate, None, longer, (
            f"shorter than the shortest task ({float(minutes[0]):.4g} min): extrapolated"
        )
    return estimate, None, longer, None


def measurable_to(minutes: NDArray[np.float64]) -> float:
    """The longest length of a task that more than the least share of tasks are longer than."""
    too_few = math.floor(SHARE_TOO_FEW * len(minutes))
    # Ascending: the tasks after place i are as long or longer, so ties shorten the answer.
    edge = float(minutes[len(minutes) - 1 - too_few])
    shorter = minutes[minutes < edge]
    return float(shorter[-1]) if len(shorter) else edge
