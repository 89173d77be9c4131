"""Monitors observe; protocols decide."""

from ._claims import ClaimsMonitor
from ._ensemble import Combination, EnsembleMonitor, run_suspicion
from ._judge import JAILBREAK_RESISTANCE, PARSER_ROBUSTNESS, JudgeCosts, JudgeMonitor
from ._judge_line import InspectModel, JudgeModel, JudgeReply, JudgeRequest, Trouble
from ._judge_options import Aggregate, Each, JudgeOptions
from ._judge_prompt import View
from ._logistic import LogisticFit, fit_logistic
from ._monitor import Monitor, Observation, Watch, observe_call, unmeasurable
from ._named import (
    ENTRY_POINTS,
    monitor_by_name,
    read_rule_file,
    shipped_monitors,
    shipped_safeguard,
)
from ._protocol import Decision, Safeguard, ThresholdProtocol
from ._rule_language import BadRules, Problem, Rule, parse_rules
from ._rules import RuleMonitor, check_rules, rule_monitor, shipped_rules
from ._sequence import CrossFinding, SequenceMonitor, Signal
from ._shortcut import Counted, ShortcutMonitor

__all__ = [
    "ENTRY_POINTS",
    "JAILBREAK_RESISTANCE",
    "PARSER_ROBUSTNESS",
    "Aggregate",
    "BadRules",
    "ClaimsMonitor",
    "Combination",
    "Counted",
    "CrossFinding",
    "Decision",
    "Each",
    "EnsembleMonitor",
    "InspectModel",
    "JudgeCosts",
    "JudgeModel",
    "JudgeMonitor",
    "JudgeOptions",
    "JudgeReply",
    "JudgeRequest",
    "LogisticFit",
    "Monitor",
    "Observation",
    "Problem",
    "Rule",
    "RuleMonitor",
    "Safeguard",
    "SequenceMonitor",
    "ShortcutMonitor",
    "Signal",
    "ThresholdProtocol",
    "Trouble",
    "View",
    "Watch",
    "check_rules",
    "fit_logistic",
    "monitor_by_name",
    "observe_call",
    "parse_rules",
    "read_rule_file",
    "rule_monitor",
    "run_suspicion",
    "shipped_monitors",
    "shipped_rules",
    "shipped_safeguard",
    "unmeasurable",
]
