"""Shutdown drills: scripted adversaries against ways to stop them.

To add an adversary, write its body in ``_agent`` and its entry in ``_adversaries``; to add a
mechanism, its entry in ``_episode``.
"""

from ._adversaries import ADVERSARIES, Adversary, Channel, Need
from ._cell import DrillCell, DrillMatrix, cell_of
from ._episode import MECHANISMS, Episode, Mechanism
from ._matrix import run_drills

__all__ = [
    "ADVERSARIES",
    "MECHANISMS",
    "Adversary",
    "Channel",
    "DrillCell",
    "DrillMatrix",
    "Episode",
    "Mechanism",
    "Need",
    "cell_of",
    "run_drills",
]
