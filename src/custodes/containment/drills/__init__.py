"""Shutdown drills: scripted adversaries against ways to stop them.

To add an adversary, write its body in ``_agent`` and its entry in ``_adversaries``.
"""

from ._adversaries import ADVERSARIES, Adversary
from ._episode import MECHANISMS, Episode, Mechanism
from ._matrix import DrillCell, DrillMatrix, cell_of, run_drills

__all__ = [
    "ADVERSARIES",
    "MECHANISMS",
    "Adversary",
    "DrillCell",
    "DrillMatrix",
    "Episode",
    "Mechanism",
    "cell_of",
    "run_drills",
]
