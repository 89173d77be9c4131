"""Monitors observe; protocols decide."""

from ._monitor import Monitor, Observation
from ._protocol import Decision, Safeguard, ThresholdProtocol
from ._rules import BadRules, Rule, RuleMonitor, check_rules, parse_rules, shipped_rules

__all__ = [
    "BadRules",
    "Decision",
    "Monitor",
    "Observation",
    "Rule",
    "RuleMonitor",
    "Safeguard",
    "ThresholdProtocol",
    "check_rules",
    "parse_rules",
    "shipped_rules",
    "shipped_safeguard",
]


def shipped_safeguard() -> Safeguard:
    """The safeguards of the shadow and enforced cells: the shipped rules, threshold protocol."""
    return Safeguard(monitors=(shipped_rules(),), protocol=ThresholdProtocol())
