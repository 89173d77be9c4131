"""Inspect's score of an episode: the answers in words, for those who read the log there."""

from __future__ import annotations

from inspect_ai.scorer import Score, Scorer, Target, scorer
from inspect_ai.solver import TaskState
from inspect_ai.util import sandbox

from custodes.scenarios import judge
from custodes.types import sha256_of

from ._sandboxenv import CustodesSandboxEnvironment


@scorer(metrics=[], name="custodes_answers")
def answers() -> Scorer:
    """Each question of the cell: yes, no, or unmeasurable."""

    async def score(state: TaskState, target: Target) -> Score:
        host = sandbox().as_type(CustodesSandboxEnvironment).host
        if host is None or host.record is None:
            return Score(value="unmeasurable", explanation="the episode left no record")
        record = host.record
        judged = judge(host.scenario, record.key, record.observation, record.completion)
        words = {True: "yes", False: "no", None: "unmeasurable"}
        return Score(
            value={question.value: words[f.value] for question, f in judged.findings.items()},
            explanation="; ".join(
                f"{question.value}: {f.reason.detail}"
                for question, f in judged.findings.items()
                if f.reason is not None
            ),
            metadata={"observation": sha256_of(record.observation.to_bytes())},
        )

    return score
