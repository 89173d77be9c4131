"""Monitors by name: the shipped ones, those of entry points, and rule files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from ._claims import ClaimsMonitor
from ._ensemble import Combination, EnsembleMonitor
from ._judge import JudgeMonitor
from ._judge_options import JudgeOptions
from ._logistic import LogisticFit
from ._monitor import Monitor
from ._protocol import Safeguard, ThresholdProtocol
from ._rules import rule_monitor, shipped_rules
from ._sequence import SequenceMonitor
from ._shortcut import Counted, ShortcutMonitor

ENTRY_POINTS = "custodes.monitors"
"""Group in which a third party names an instance of :class:`Monitor`."""
LARGEST_FILE = 4 << 20
"""Bytes of a rule file."""
DEEPEST_NAME = 3
"""Ensembles in a name that may lie in each other."""
LONGEST_NAME = 4096

_SHIPPED: dict[str, Callable[[], Monitor]] = {
    "rules": shipped_rules,
    "sequence": SequenceMonitor,
    "claims": ClaimsMonitor,
}
_BASELINES: dict[str, Callable[[], Monitor]] = {
    "shortcut": ShortcutMonitor,
    "shortcut:calls": lambda: ShortcutMonitor(Counted.CALLS),
}
_FORMS = "judge:MODEL, judge:MODEL?OPTION=VALUE, max(A,B), mean(A,B), noisy_or(A,B)"
_CALLED = re.compile(r"([a-z_]+)\((.*)\)", re.DOTALL)


def shipped_monitors() -> tuple[Monitor, ...]:
    """The monitors that ship with Custodes and need no model: rules, sequence, claims."""
    return tuple(make() for make in _SHIPPED.values())


def monitor_by_name(name: str, *, unfitted: bool = False) -> Monitor:
    """A monitor by its name.

    That is a shipped name or a baseline's; ``judge:MODEL?view=actions&samples=3`` (options:
    :class:`JudgeOptions`); ``max(A,B)``, ``mean(A,B)`` or ``noisy_or(A,B)`` of such names, up to
    ``DEEPEST_NAME`` in each other; the name of an entry point; or the path of a rule file.

    Args:
        unfitted: whether ``logistic(A,B)`` is a name as well, around all others: of an ensemble
            that watches nothing until it has been given weights (``EnsembleMonitor.needs_fit``).

    Raises:
        BadRules: for a rule file that cannot be used; with file and line.
        LookupError: when nothing is called so, naming what there is; and for options or members
            that make no sense.
        OSError: for a file that cannot be read.
    """
    called = _CALLED.fullmatch(name)
    if unfitted and called is not None and called[1] == Combination.LOGISTIC:
        return _ensemble(Combination.LOGISTIC, called[2], DEEPEST_NAME)
    return _named(name, DEEPEST_NAME)


def _named(name: str, deep: int) -> Monitor:
    if name in _SHIPPED or name in _BASELINES:
        return (_SHIPPED.get(name) or _BASELINES[name])()
    points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name in points:
        try:
            monitor: Monitor = points[name].load()
        except Exception as error:
            raise LookupError(
                f"the monitor {name!r} cannot be loaded: {type(error).__name__}: {error}"
            ) from None
        return monitor
    if name.startswith("judge:"):
        try:
            return JudgeMonitor(JudgeOptions.parse(name))
        except ValueError as error:
            raise LookupError(str(error)) from None
    if (called := _CALLED.fullmatch(name)) is not None and called[1] in set(Combination):
        if called[1] == Combination.LOGISTIC:
            raise LookupError(
                "a logistic ensemble has no name here: its weights are fitted on labels "
                "(custodes monitor validate --labels, where it stands on its own; or "
                "EnsembleMonitor.fitted); by name there are max, mean and noisy_or"
            )
        return _ensemble(Combination(called[1]), called[2], deep)
    if os.path.isfile(name):
        path = Path(name)
        return rule_monitor([(name, read_rule_file(path))], name=f"rules:{path.stem}")
    known = ", ".join(sorted({*_SHIPPED, *_BASELINES, *points}))
    raise LookupError(
        f"expected the name of a monitor ({known}, {_FORMS}) or the path of a rule file, found "
        f"{name[:200]!r}"
    )


def _ensemble(combination: Combination, inside: str, deep: int) -> Monitor:
    if deep == 0:
        raise LookupError(f"expected at most {DEEPEST_NAME} ensembles in each other, found more")
    if len(inside) > LONGEST_NAME:
        raise LookupError(f"expected a name of at most {LONGEST_NAME} characters, found more")
    members = tuple(_named(part, deep - 1) for part in _parts(inside))
    fitted = combination is Combination.LOGISTIC
    try:
        fit = LogisticFit.unfitted([member.name for member in members]) if fitted else None
        return EnsembleMonitor(combination, members, fit)
    except ValueError as error:
        raise LookupError(str(error)) from None


def _parts(inside: str) -> list[str]:
    """What stands between the commas that no inner bracket holds."""
    parts, depth = [""], 0
    for char in inside:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            break
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    if depth != 0:
        raise LookupError(f"expected brackets that match in an ensemble, found ({inside[:200]})")
    return [part.strip() for part in parts]


def read_rule_file(path: Path) -> str:
    """The text of a rule file.

    Raises:
        BadRules: when it is too large or no UTF-8.
        OSError: when it cannot be read.
    """
    from ._rule_language import BadRules, Problem

    with path.open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        problem = Problem(str(path), 1, f"expected at most {LARGEST_FILE} bytes")
        raise BadRules([problem], is_rule_file=False)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(str(path), line, "expected UTF-8 text")
        raise BadRules([problem], is_rule_file=False) from None


def shipped_safeguard() -> Safeguard:
    """The safeguards of the shadow and enforced cells: the shipped rules, threshold protocol."""
    return Safeguard(monitors=(shipped_rules(),), protocol=ThresholdProtocol())
