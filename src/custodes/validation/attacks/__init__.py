"""Attacks on monitors: transformations that keep what calls do and change how they look.

A monitor that matches text falls under them; how far its recall falls is reported beside its
recall. Each attack is a script without knowledge of the monitor's answers (`queries` is 0).
"""

from ._attack import Attack, Attacked, Change, Knowledge
from ._catalogue import all_attacks, attack_by_name

__all__ = ["Attack", "Attacked", "Change", "Knowledge", "all_attacks", "attack_by_name"]
