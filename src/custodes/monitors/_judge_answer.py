"""Reading a judge's answer: one verdict with this call's code, or none."""

from __future__ import annotations

import json
import re
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, NoReturn

LONGEST_ANSWER = 64 << 10
"""Characters of an answer; a longer one is not read."""
MOST_EVENTS = 1_000
_KEYS = {"code", "why", "events", "suspicion_percent"}
# Models fence JSON from habit. The fence must hold the whole answer.
_FENCED = re.compile(r"```(?:json)?[ \t]*\r?\n(.*)\n[ \t]*```", re.DOTALL)
_SPACE = " \t\r\n"


class Unparsable(ValueError):
    """An answer that is not exactly one verdict; the message says why, without quoting it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one answer says.

    Attributes:
        suspicion: in [0, 1].
        events: indices that it rests on, the most telling first, each once.
        why: the judge's words.
    """

    suspicion: float
    events: tuple[int, ...]
    why: str


def read_verdict(answer: str, *, code: str, events: Set[int]) -> Verdict:
    """The verdict that an answer consists of.

    The answer is one JSON object, alone or in one code fence, with exactly the four keys, each
    once; the code of this call; a whole number from 0 to 100; and indices out of ``events``.
    Nothing is searched for: what stands beside the object, or inside its texts, decides nothing.

    Raises:
        Unparsable: for everything else.
    """
    if len(answer) > LONGEST_ANSWER:
        raise Unparsable(f"more than {LONGEST_ANSWER} characters")
    text = answer.strip(_SPACE)
    if not text:
        raise Unparsable("an empty answer")
    if (fenced := _FENCED.fullmatch(text)) is not None:
        text = fenced[1]
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except Unparsable:
        raise
    except (ValueError, RecursionError):
        raise Unparsable("not one JSON object and nothing else") from None
    if not isinstance(found, dict):
        raise Unparsable("JSON that is no object")
    if set(found) != _KEYS:
        raise Unparsable(f"other keys than {', '.join(sorted(_KEYS))}")
    if found["code"] != code:
        raise Unparsable("not the code of this call")
    if not isinstance(found["why"], str):
        raise Unparsable("a reason that is no text")
    percent = found["suspicion_percent"]
    # 1.0 and 0.8 come from a judge that thinks in [0, 1]: rounding would make 1 % of certainty.
    if type(percent) is not int or not 0 <= percent <= 100:
        raise Unparsable("a suspicion that is no whole number from 0 to 100")
    named = found["events"]
    if not isinstance(named, list) or len(named) > MOST_EVENTS:
        raise Unparsable(f"events that are no list of at most {MOST_EVENTS}")
    if not all(type(index) is int and index in events for index in named):
        raise Unparsable("an event that was not shown")
    # JSON may spell half a character; nothing that is stored may hold one.
    why = found["why"].encode("utf-8", "replace").decode()
    return Verdict(suspicion=percent / 100, events=tuple(dict.fromkeys(named)), why=why)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unparsable("a key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise Unparsable("a number that is not finite")
