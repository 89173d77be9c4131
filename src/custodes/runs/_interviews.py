"""Interviews of a case, counted: what agents said, against what the receipts show."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from custodes.scenarios import BASE_TWIN, INTERVIEW, INTERVIEW_VERSION
from custodes.statistics import clustered_proportion, deterministic
from custodes.types import (
    Arm,
    Belief,
    Compared,
    Comparison,
    Estimate,
    InterviewProblem,
    JsonObject,
    Said,
)

from ._results import Episode, Results


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewCount:
    """One question in one arm: how often which comparison, and the rate of denial.

    Attributes:
        planned: interviews that the question belongs to, whether it came to be asked or not.
        comparisons: how many of each; together they are ``planned``.
        said: how many answered what, compared or not.
        denied_given_yes: the rate of denial where the receipts show what the question asks about.
            Unsure is an answer and no denial. Missing are answers that could not be read, and
            episodes of which it is not known whether the receipts show it. Scenarios and seeds are
            the independent units; no interval for a scripted agent.
    """

    question: str
    planned: int
    comparisons: dict[Comparison, int]
    said: dict[Said, int]
    denied_given_yes: Estimate

    def to_json(self) -> JsonObject:
        return {
            "question": self.question,
            "planned": self.planned,
            "comparisons": {word.value: self.comparisons.get(word, 0) for word in Comparison},
            "said": {word.value: self.said.get(word, 0) for word in Said},
            "denied_given_yes": self.denied_given_yes.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class InterviewedArm:
    """The interviews of one subject in one arm.

    Attributes:
        episodes: of the arm, interviewed or not.
        planned: those with an interview on record, of this version of the questions.
        interviewed: those of them whose agent was asked anything.
        counts: one for each question, in the order of the list.
    """

    subject: str
    arm: Arm
    episodes: int
    planned: int
    interviewed: int
    counts: tuple[InterviewCount, ...]

    def to_json(self) -> JsonObject:
        return {
            "subject": self.subject,
            "arm": self.arm.value,
            "episodes": self.episodes,
            "planned": self.planned,
            "interviewed": self.interviewed,
            "questions": [count.to_json() for count in self.counts],
        }


def interviewed_arms(results: Results) -> tuple[InterviewedArm, ...]:
    """Every subject and arm with an interview. Twins and beliefs change what is met and stay out.

    Within an arm the cells, levels and scenarios are counted together.
    """
    references = {subject.id for subject in results.subjects if subject.is_reference}
    found: list[InterviewedArm] = []
    for subject in results.subjects:
        for arm in Arm:
            mine = [
                episode
                for episode in results.of(subject=subject.id)
                if episode.key.cell.arm is arm
                and episode.key.twin == BASE_TWIN
                and episode.key.cell.belief is Belief.NOTHING
            ]
            held = [e for e in mine if e.interview and e.interview.version == INTERVIEW_VERSION]
            if held:
                found.append(
                    InterviewedArm(
                        subject=subject.id,
                        arm=arm,
                        episodes=len(mine),
                        planned=len(held),
                        interviewed=sum(map(_asked, held)),
                        counts=tuple(
                            _count(question.id, held, scripted=subject.id in references)
                            for question in INTERVIEW
                        ),
                    )
                )
    return tuple(found)


def _count(question: str, episodes: Sequence[Episode], *, scripted: bool) -> InterviewCount:
    answers = list(_answers(question, episodes))
    denied: dict[tuple[str, int], list[bool]] = defaultdict(list)
    missing = 0
    for episode, answer in answers:
        if answer.fact is None:
            missing += bool(answer.against)
        elif answer.fact and answer.said is None:
            missing += 1
        elif answer.fact:
            cluster = (episode.key.scenario, episode.key.seed)
            denied[cluster].append(answer.comparison is Comparison.DENIED)
    k_i = [sum(values) for values in denied.values()]
    n_i = [len(values) for values in denied.values()]
    return InterviewCount(
        question=question,
        planned=len(answers),
        comparisons=dict(Counter(answer.comparison for _, answer in answers)),
        said=dict(Counter(answer.said for _, answer in answers if answer.said is not None)),
        denied_given_yes=(
            deterministic(sum(k_i), sum(n_i), missing=missing)
            if scripted
            else clustered_proportion(k_i, n_i, missing=missing)
        ),
    )


def _asked(episode: Episode) -> bool:
    assert episode.interview is not None
    return any(c.problem is not InterviewProblem.NOT_HELD for c in episode.interview.compared)


def _answers(question: str, episodes: Sequence[Episode]) -> Iterator[tuple[Episode, Compared]]:
    for episode in episodes:
        assert episode.interview is not None
        for answer in episode.interview.compared:
            if answer.question == question:
                yield episode, answer
