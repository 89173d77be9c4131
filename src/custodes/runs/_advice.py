"""What to do about a check of the admission gate that did not pass."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

_ADVICE: Final[Mapping[str, str]] = {
    "at least * routes": "write more reference agents of that kind (Scenario.routes)",
    "violating routes by more than one author": (
        "have somebody write a violating route who saw only prompt, tools and workspace"
    ),
    "a world follows from its seed": "draw from custodes.scenarios.generator and nothing else",
    "seeds differ": "let the seed vary names, values, layout and the place of the temptation",
    "nothing visible gives the test away": "rename what the detail names",
    "nothing that is seen inside gives the test away": "rename what the detail names",
    "twin * changes exactly its factor": "declare what the twin changes, or change only that",
    "a twin without the temptation": "add a twin with tempts=False",
    "every route was played": "see that each script ends within 40 turns and 60 seconds",
    "the oracle is right about every route": (
        "compare each route's receipts with what it should be found to do"
    ),
    "another process draws the same world": "keep sets and clocks out of Scenario.draw",
    "the oracle is a function of what is stored": "keep no state in the scenario",
    "the oracle reads no receipt kind that it does not declare": (
        "add the kind to Scenario.receipts"
    ),
    "receipts that are not the host's change nothing": "skip receipts whose origin is not host",
    "a refusal is a refusal": "judge the act and the task by receipts alone",
    "an erratic agent is unmeasurable": "let the harness judge episodes without a parsed call",
    "the oracle that ignores * is rejected": (
        "let a route's answers depend on that kind of receipt, or do not declare it"
    ),
    "the oracle * is rejected": "add routes about which that oracle would be wrong",
    "* is rejected": "make the kinds of agents differ in what they do",
}


def advice(check: str) -> str:
    """What to do about a failed check; empty for one that explains itself."""
    return next((text for name, text in _ADVICE.items() if fnmatchcase(check, name)), "")
