"""The monitor ``rules``: expressions over tool calls, with conditions on what came before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from custodes.transcripts import Event, EventKind
from custodes.types import Reason, ReasonCode, Sha256, Step, sha256_of

from ._monitor import Observation

SCHEMA = "custodes.rules/1"
LONGEST_CALL = 50_000
"""Characters of a call's arguments that are searched; a longer call cannot be judged."""

_COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n]*")
_RULE_KEYS = {"id", "step", "suspicion", "why", "match", "unless", "after", "without", "examples"}


class BadRules(ValueError):
    """A rule file that cannot be used; the message names the rule and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A command that a rule must or must not match, with what came before it."""

    command: str
    after: str | None
    before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; the fields are described at the head of the shipped file."""

    id: str
    step: Step
    suspicion: float
    why: str
    match: tuple[re.Pattern[str], ...]
    unless: tuple[re.Pattern[str], ...]
    after: tuple[re.Pattern[str], ...]
    without: tuple[re.Pattern[str], ...]
    must_match: tuple[Example, ...]
    must_not_match: tuple[Example, ...]

    def rests_on(self, history: Sequence[Event], call: Event) -> tuple[int, ...] | None:
        """Indices of the events that make the rule match, or None when it does not."""
        text = _text_of(call.arguments)
        if not any(pattern.search(text) for pattern in self.match):
            return None
        # A remark in a comment excuses nothing.
        bare = _COMMENT.sub("", text)
        if any(pattern.search(bare) for pattern in self.unless):
            return None
        events = [call.index]
        if self.after:
            # The first user message is the task; orders come later.
            orders = [e for e in history if e.kind is EventKind.USER and _late(e, history)]
            found = [e.index for e in orders if any(p.search(e.text) for p in self.after)]
            if not found:
                return None
            events.append(found[-1])
        if self.without:
            calls = (e for e in history if e.kind is EventKind.TOOL_CALL)
            if any(p.search(_text_of(e.arguments)) for e in calls for p in self.without):
                return None
        return tuple(sorted(events))


def _late(event: Event, history: Sequence[Event]) -> bool:
    return any(e.kind is EventKind.TOOL_CALL and e.index < event.index for e in history)


def _text_of(arguments: Mapping[str, Any] | None) -> str:
    """Every text in the arguments, however deep it lies."""
    texts: list[str] = []
    pending: list[Any] = [arguments]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, Mapping):
            pending.extend(reversed(list(value.values())))
        elif isinstance(value, (list, tuple)):
            if value and all(isinstance(item, str) for item in value):
                texts.append(" ".join(value))
            else:
                pending.extend(reversed(value))
    return "\n".join(texts)


def _patterns(raw: Mapping[str, Any], key: str, rule: str) -> tuple[re.Pattern[str], ...]:
    listed = raw.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise BadRules(f"rule {rule}: expected a list of expressions under {key!r}")
    compiled = []
    for item in listed:
        try:
            compiled.append(re.compile(item, re.IGNORECASE))
        except re.error as error:
            raise BadRules(f"rule {rule}: {key} {item!r} is not an expression: {error}") from None
    return tuple(compiled)


def _examples(raw: Mapping[str, Any], key: str, rule: str) -> tuple[Example, ...]:
    examples = raw.get("examples")
    listed = examples.get(key) if isinstance(examples, dict) else None
    if not isinstance(listed, list) or not listed:
        raise BadRules(f"rule {rule}: a rule carries examples under examples.{key}")
    for item in listed:
        if not isinstance(item, dict) or not isinstance(item.get("command"), str):
            raise BadRules(f"rule {rule}: expected a command in each of examples.{key}")
        if not all(isinstance(item.get(name, ""), str) for name in ("after", "before")):
            raise BadRules(f"rule {rule}: expected text after and before in examples.{key}")
    return tuple(
        Example(command=item["command"], after=item.get("after"), before=item.get("before"))
        for item in listed
    )


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Read a rule file.

    Raises:
        BadRules: naming the rule and what was expected.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadRules(f"the rules are not YAML: {error}") from None
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise BadRules(f"expected a document with schema {SCHEMA}")
    rules: list[Rule] = []
    listed = raw.get("rules")
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise BadRules("expected a list of rules under 'rules'")
    for item in listed:
        name = str(item.get("id", "without an id"))
        unknown = set(item) - _RULE_KEYS
        if unknown:
            raise BadRules(f"rule {name}: unknown keys {sorted(map(str, unknown))}")
        suspicion = item.get("suspicion")
        number = isinstance(suspicion, (int, float)) and not isinstance(suspicion, bool)
        if not number or not 0 < suspicion <= 1:
            raise BadRules(f"rule {name}: expected a suspicion above 0 and up to 1")
        try:
            step = Step(item["step"])
        except (KeyError, ValueError, TypeError):
            raise BadRules(
                f"rule {name}: expected a step out of {[s.value for s in Step]}"
            ) from None
        if not isinstance(item.get("why"), str) or not item["why"].strip():
            raise BadRules(f"rule {name}: expected a reason to read under 'why'")
        match = _patterns(item, "match", name)
        if not match:
            raise BadRules(f"rule {name}: nothing under 'match'")
        rules.append(
            Rule(
                id=name,
                step=step,
                suspicion=float(suspicion),
                why=item["why"],
                match=match,
                unless=_patterns(item, "unless", name),
                after=_patterns(item, "after", name),
                without=_patterns(item, "without", name),
                must_match=_examples(item, "match", name),
                must_not_match=_examples(item, "no_match", name),
            )
        )
    if not rules:
        raise BadRules("no rules")
    if len({rule.id for rule in rules}) != len(rules):
        raise BadRules("two rules share an id")
    return tuple(rules)


def _played(example: Example) -> tuple[tuple[Event, ...], Event]:
    events = [Event(index=0, kind=EventKind.USER, text="Do the task.")]
    first = example.before or "ls"
    events.append(Event(index=1, kind=EventKind.TOOL_CALL, arguments={"command": first}))
    if example.after:
        events.append(Event(index=2, kind=EventKind.USER, text=example.after))
    call = Event(
        index=len(events), kind=EventKind.TOOL_CALL, arguments={"command": example.command}
    )
    return tuple(events), call


def check_rules(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Run every rule against its examples; returns what failed, in words."""
    failures: list[str] = []
    for rule in rules:
        for wanted, examples in ((True, rule.must_match), (False, rule.must_not_match)):
            for example in examples:
                if (rule.rests_on(*_played(example)) is not None) != wanted:
                    verb = "does not match" if wanted else "matches"
                    failures.append(f"rule {rule.id} {verb} its example {example.command!r}")
    return tuple(failures)


@dataclass(frozen=True, slots=True)
class RuleMonitor:
    """Suspicion of a call: that of the strongest rule that matches, 0 when none does."""

    rules: tuple[Rule, ...]
    digest: Sha256
    name: str = "rules"

    def observe(self, history: Sequence[Event], call: Event) -> Observation:
        if call.arguments is None or len(_text_of(call.arguments)) > LONGEST_CALL:
            found = "no arguments" if call.arguments is None else "too many characters"
            return Observation(
                suspicion=None,
                reason=Reason(
                    code=ReasonCode.MONITOR_ERROR, detail=f"the call cannot be judged: {found}"
                ),
            )
        matched = [
            (rule.suspicion, rule, events)
            for rule in self.rules
            if (events := rule.rests_on(history, call)) is not None
        ]
        if not matched:
            return Observation(suspicion=0.0)
        suspicion, rule, events = max(matched, key=lambda item: item[0])
        return Observation(suspicion=suspicion, why=rule.why, rests_on=events, rule=rule.id)


@lru_cache(maxsize=1)
def shipped_rules() -> RuleMonitor:
    """The monitor with the rules that ship with Custodes."""
    text = files("custodes.monitors").joinpath("rules.yaml").read_text(encoding="utf-8")
    # The rules' engine is part of what decides: its version is in the identity.
    return RuleMonitor(rules=parse_rules(text), digest=sha256_of(b"rules/1\n" + text.encode()))
