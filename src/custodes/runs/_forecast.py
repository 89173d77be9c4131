"""What a plan will cost and what will leave the machine, said before anything runs."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from custodes.case import CaseConfig
from custodes.scenarios import INTERVIEW, MOST_ASKED, question_text, scenario_by_id
from custodes.types import EpisodeKey, JsonObject

from ._assess import Tried, missing_shards
from ._plan import Plan, PlannedSubject

CALLS = 20
"""Calls of an agent in one episode: the design asks for 10 to 50 in honest work."""
WRITTEN = 250
"""Tokens that an agent writes in one turn: some reasoning, and a command."""
RETURNED = 600
"""Tokens that a command gives back."""
CHARACTERS_PER_TOKEN = 4
OWN = 15_000
"""Tokens of an installed agent's own prompt and tool descriptions, read in every turn."""

_LOCAL = frozenset({"hf", "vllm", "sglang", "ollama", "llama-cpp-python", "nnterp", "mockllm"})
"""Providers of Inspect that run or reach a model on this machine unless told an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentForecast:
    """What will be started of this machine.

    Attributes:
        program: the file that is started, in a sandbox. words: its command.
        files: that its home holds; replaced, left_out: of the user's configuration.
        key_variable: whose content the gateway on the host sends; None where none is needed.
    """

    title: str
    version: str
    tested: bool
    program: str
    words: tuple[str, ...]
    files: int
    replaced: tuple[str, ...]
    left_out: tuple[str, ...]
    upstream: str
    key_variable: str | None

    def to_json(self) -> JsonObject:
        return {
            "title": self.title,
            "version": self.version,
            "tested": self.tested,
            "program": self.program,
            "words": list(self.words),
            "files": self.files,
            "replaced": list(self.replaced),
            "left_out": list(self.left_out),
            "upstream": self.upstream,
            "key_variable": self.key_variable,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectForecast:
    """What one subject will come to.

    Attributes:
        episodes: still to be run; ``on_record`` of its plan are not run again.
        calls, tokens: about how many, read and written together; 0 for a scripted agent, which
            reads no tokens that anybody charges for.
        most_calls, most_tokens: what the limits allow; None without a limit.
        interview_calls, most_interview_calls: of the interviews afterwards, beside ``calls``; when
            every question is answered at once, and when each is asked again. ``tokens`` has theirs,
            ``most_tokens`` has not: the limits of an episode do not hold for its interview.
        leaves: where its prompts and what its commands print go to; empty when they stay here.
        agent: the installed agent that runs; None for a bare model.
    """

    id: str
    model: str
    reference: bool
    episodes: int
    on_record: int
    calls: int
    tokens: int
    most_calls: int
    most_tokens: int | None
    leaves: str
    interview_calls: int = 0
    most_interview_calls: int = 0
    agent: AgentForecast | None = None

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "model": self.model,
            "reference": self.reference,
            "episodes": self.episodes,
            "on_record": self.on_record,
            "calls": self.calls,
            "tokens": self.tokens,
            "most_calls": self.most_calls,
            "most_tokens": self.most_tokens,
            "interview_calls": self.interview_calls,
            "most_interview_calls": self.most_interview_calls,
            "leaves": self.leaves or None,
            "agent": None if self.agent is None else self.agent.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is left to run of a plan."""

    subjects: tuple[SubjectForecast, ...]
    scenarios: Mapping[str, int]
    cells: Mapping[str, int]

    @property
    def episodes(self) -> int:
        return sum(subject.episodes for subject in self.subjects)

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.forecast/1",
            "episodes": self.episodes,
            "subjects": [subject.to_json() for subject in self.subjects],
            "scenarios": dict(self.scenarios),
            "cells": dict(self.cells),
            "assumed": {
                "calls_per_episode": CALLS,
                "tokens_written_per_turn": WRITTEN,
                "tokens_returned_per_call": RETURNED,
                "tokens_of_an_installed_agents_own_per_turn": OWN,
            },
        }


def forecast(
    config: CaseConfig, plan: Plan, tried: Mapping[str, Tried], *, retry_failed: bool = False
) -> Forecast:
    """Count what is left to run, and estimate its calls and tokens.

    The estimate is arithmetic, not a measurement: every turn reads the whole conversation again,
    without a cache, so that tokens grow with the square of the calls.

    Args:
        tried: episodes on record, by digest.
    """
    missing = missing_shards(plan, tried, retry_failed=retry_failed)
    planned = Counter(shard.subject.id for shard in plan.shards for _ in shard.keys)
    due: dict[str, list[EpisodeKey]] = {subject.id: [] for subject in plan.subjects}
    for shard in missing:
        due[shard.subject.id] += shard.keys
    limits = config.plan.limits
    lengths: dict[tuple[object, ...], int] = {}

    def prompt(key: EpisodeKey) -> int:
        """Tokens of the prompt; seeds differ little, so that one stands for all."""
        kind = (key.scenario, key.cell, key.level, key.twin)
        if kind not in lengths:
            scenario = scenario_by_id(key.scenario)
            brief = scenario.brief(scenario.draw(key.seed, key.twin), key.cell, key.level)
            text = len(brief.system_text) + len(brief.task_text)
            lengths[kind] = text // CHARACTERS_PER_TOKEN
        return lengths[kind]

    calls = min(CALLS, limits.turns)
    again = calls * (calls - 1) // 2 * (WRITTEN + RETURNED) + calls * WRITTEN
    questions = len(INTERVIEW) if plan.interview else 0
    asked = max(len(question_text(q, first=True)) for q in INTERVIEW) // CHARACTERS_PER_TOKEN

    def interview(key: EpisodeKey) -> int:
        """Tokens of one interview: each question reads the whole episode again."""
        episode = prompt(key) + calls * (WRITTEN + RETURNED)
        before = questions * (questions + 1) // 2 * asked
        replies = questions * (questions - 1) // 2 * WRITTEN
        return questions * (episode + WRITTEN) + before + replies

    def one(subject: PlannedSubject) -> SubjectForecast:
        keys = due[subject.id]
        scripted = subject.policy is not None
        own = 0 if subject.deployment is None else OWN
        tokens = 0 if scripted else sum(calls * (prompt(key) + own) + again for key in keys)
        most = None if limits.tokens is None else limits.tokens * len(keys)
        return SubjectForecast(
            id=subject.id,
            model=subject.model,
            reference=scripted,
            episodes=len(keys),
            on_record=planned[subject.id] - len(keys),
            calls=calls * len(keys),
            tokens=(tokens if most is None else min(tokens, most))
            + (0 if scripted else sum(map(interview, keys))),
            interview_calls=questions * len(keys),
            most_interview_calls=MOST_ASKED * questions * len(keys),
            most_calls=limits.turns * len(keys),
            most_tokens=0 if scripted else most,
            leaves="" if scripted else _destination(subject),
            agent=_agent(subject),
        )

    keys = [key for keys in due.values() for key in keys]
    return Forecast(
        subjects=tuple(map(one, plan.subjects)),
        scenarios=dict(sorted(Counter(key.scenario for key in keys).items())),
        cells=dict(sorted(Counter(key.cell.name for key in keys).items())),
    )


def _agent(subject: PlannedSubject) -> AgentForecast | None:
    found = subject.deployment
    if found is None:
        return None
    return AgentForecast(
        title=found.preset.title,
        version=found.installed.version,
        tested=found.installed.version in found.preset.tested,
        program=str(found.installed.program),
        words=found.words,
        files=len(found.home),
        replaced=found.replaced,
        left_out=found.left_out,
        upstream=found.upstream,
        key_variable=found.key_variable,
    )


def _destination(subject: PlannedSubject) -> str:
    """Where a model's prompts go; empty when that is this machine."""
    if subject.deployment is not None:
        host = urlsplit(subject.deployment.upstream).hostname or subject.deployment.upstream
        return "" if _is_loopback(host) else host
    address = subject.base_url or subject.model_args.get("base_url")
    provider = subject.model.partition("/")[0]
    if isinstance(address, str) and address:
        host = urlsplit(address).hostname or address
        return "" if _is_loopback(host) else host
    return "" if provider in _LOCAL else f"the service of the provider {provider}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
