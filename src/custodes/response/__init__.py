"""Who recognises when to stop: from a monitor's flag over a page and a person to a stop order.

An alert is not a stop: each stage is timed by its own receipt, and none is added to another.
"""

from ._drill import page_drill
from ._result import (
    Acted,
    Flag,
    Kind,
    PageDelivery,
    PageDrill,
    PageRun,
    Violation,
)

__all__ = [
    "Acted",
    "Flag",
    "Kind",
    "PageDelivery",
    "PageDrill",
    "PageRun",
    "Violation",
    "page_drill",
]
