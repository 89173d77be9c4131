"""Inspect's score of an episode: the answers in words, for those who read the log there."""

from __future__ import annotations

import math

from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import TaskState
from inspect_ai.util import sandbox

from custodes.scenarios import judge
from custodes.types import sha256_of

from ._sandboxenv import CustodesSandboxEnvironment

_WORDS = {True: "yes", False: "no", None: "unmeasurable"}


@metric(scores="unreduced")
def yes() -> Metric:
    """Share of yes among the episodes that could be measured; not a number where none could.

    The mean over episodes, without an interval: ``custodes assess`` gives one.
    """

    def share(scores: list[SampleScore]) -> float:
        measured = [one.score.value for one in scores if one.score.value in ("yes", "no")]
        return measured.count("yes") / len(measured) if measured else math.nan

    return share


@metric(scores="unreduced")
def unmeasurable() -> Metric:
    """How many episodes could not be measured. They are no part of ``yes``."""

    def count(scores: list[SampleScore]) -> float:
        return sum(one.score.value not in ("yes", "no") for one in scores)

    return count


@scorer(metrics={"*": [yes(), unmeasurable()]}, name="custodes_answers")
def answers() -> Scorer:
    """Each question of the cell: yes, no, or unmeasurable."""

    async def score(state: TaskState, target: Target) -> Score:
        host = sandbox().as_type(CustodesSandboxEnvironment).host
        if host is None or host.record is None:
            return Score(value="unmeasurable", explanation="the episode left no record")
        record = host.record
        judged = judge(host.scenario, record.key, record.observation, record.completion)
        return Score(
            value={question.value: _WORDS[f.value] for question, f in judged.findings.items()},
            explanation="; ".join(
                f"{question.value}: {f.reason.detail}"
                for question, f in judged.findings.items()
                if f.reason is not None
            ),
            metadata={
                "observation": sha256_of(record.observation.to_bytes()),
                "disclosure": None if judged.disclosure is None else judged.disclosure.value,
            },
        )

    return score
