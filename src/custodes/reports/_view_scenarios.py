"""Scenarios: what each measures, the table of its cells, contrasts, and the race with the flag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from custodes.runs import Episode, InstrumentCheck, Results, SubjectView
from custodes.scenarios import Scenario, scenario_by_id
from custodes.types import Cell, Level, Question, Safeguards, Stage, Step, Timed

from ._tally import BASE, SAFEGUARDS, Group, Tally
from ._text import counted, milliseconds
from ._view_episode import EpisodeView, Reader, anchor

COLUMNS = (
    Question.EXPOSED,
    Question.ATTEMPTED,
    Question.BLOCKED,
    Question.PARTIAL,
    Question.SUCCEEDED,
    Question.FLAGGED,
    Question.DISCLOSED,
    Question.SOLVED,
    Question.REFUSED,
)
CONTRASTED = (Question.ATTEMPTED, Question.SUCCEEDED, Question.FLAGGED, Question.DISCLOSED)

MOST_DETAILED = 160
"""Episodes of a report whose evidence is written out; those with a yes come first."""
MOST_LISTED = 600
"""Further episodes of a scenario that are named with their evidence, without writing it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was expected of a reference subject in a group, and what was found."""

    passed: int
    failed: int
    unknown: int

    @property
    def all(self) -> int:
        return self.passed + self.failed + self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One group of the table."""

    group: Group
    arm: str
    tallies: tuple[tuple[str, Tally | None], ...]
    grades: tuple[tuple[str, int], ...]
    check: Checked | None
    link: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Two groups that are one setting apart."""

    subject: SubjectView
    factor: str
    kind: str
    left: str
    right: str
    left_grade: str
    right_grade: str
    pairs: tuple[tuple[str, Tally | None, Tally | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Flag and harm in one shadow episode: nothing intervened, so neither is cut short."""

    subject: SubjectView
    label: str
    link: str | None
    times: tuple[tuple[str, str], ...]
    first: str
    gap: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An episode whose evidence is named and not written out."""

    episode: Episode
    label: str
    yes: tuple[tuple[str, str, int | None, int | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioView:
    """A scenario of the report."""

    number: int
    anchor: str
    scenario: Scenario
    version: str
    columns: tuple[str, ...]
    rows: tuple[tuple[SubjectView, tuple[Row, ...]], ...]
    contrasts: tuple[Contrast, ...]
    races: tuple[Race, ...]
    details: tuple[tuple[SubjectView, tuple[EpisodeView, ...]], ...]
    listed: tuple[Listed, ...]
    left_out: int


def scenario_views(
    results: Results, groups: Sequence[Group], reader: Reader
) -> tuple[ScenarioView, ...]:
    """Every scenario that has an episode, in the order of the grid's steps."""
    checks: dict[str, list[InstrumentCheck]] = {}
    for check in results.instrument_checks():
        checks.setdefault(check.episode.key.digest, []).append(check)
    detailed = _chosen(results, groups)
    steps = list(Step)
    names = sorted(
        {group.scenario for group in groups},
        key=lambda name: (steps.index(scenario_by_id(name).step), name),
    )
    return tuple(
        _view(number, name, groups, checks, detailed, reader)
        for number, name in enumerate(names, start=1)
    )


def _chosen(results: Results, groups: Sequence[Group]) -> frozenset[str]:
    """Episodes that are written out: failed checks, then a yes, then the unknown, then the rest."""
    failed = {c.episode.key.digest for c in results.instrument_checks() if c.passed is False}
    roles = {subject.id: subject.role for subject in results.subjects}
    counts: dict[tuple[object, ...], int] = {}

    def rank(episode: Episode) -> tuple[object, ...]:
        key = episode.key
        place = (episode.subject, key.scenario, key.cell, key.level, key.twin)
        nth = counts[place] = counts.get(place, 0) + 1
        attempted = episode.answer(Question.ATTEMPTED)
        value = None if attempted is None else attempted.value
        return (
            key.digest not in failed,
            nth,
            roles[episode.subject] != "subject",
            {True: 0, None: 1, False: 2}[value],
            episode.event,
        )

    ranked = sorted(
        ((rank(e), e.key.digest) for g in groups for e in g.episodes), key=lambda item: item[0]
    )
    return frozenset(digest for _, digest in ranked[:MOST_DETAILED])


def _view(
    number: int,
    name: str,
    every: Sequence[Group],
    checks: Mapping[str, list[InstrumentCheck]],
    detailed: frozenset[str],
    reader: Reader,
) -> ScenarioView:
    groups = [group for group in every if group.scenario == name]
    scenario = scenario_by_id(name)
    asked = {q for g in groups for e in g.episodes for q in e.outcome.asked}
    columns = tuple(question for question in COLUMNS if question in asked)
    subjects = {group.subject.id: group.subject for group in groups}
    rest = [e for g in groups for e in g.episodes if e.key.digest not in detailed]
    labels = {e.key.digest: f"{g.subject.id}, {label(g)}" for g in groups for e in g.episodes}
    return ScenarioView(
        number=number,
        anchor=f"scenario-{number}",
        scenario=scenario,
        version=".".join(map(str, scenario.version)),
        columns=tuple(question.value for question in columns),
        rows=tuple(
            (
                subject,
                tuple(
                    _row(group, columns, checks, detailed)
                    for group in groups
                    if group.subject.id == subject.id
                ),
            )
            for subject in subjects.values()
        ),
        contrasts=tuple(contrasts(groups, scenario)),
        races=tuple(_races(groups, detailed)),
        details=tuple(
            (
                subject,
                tuple(
                    reader.episode(episode, group, scenario, checks.get(episode.key.digest, ()))
                    for group in groups
                    if group.subject.id == subject.id
                    for episode in group.episodes
                    if episode.key.digest in detailed
                ),
            )
            for subject in subjects.values()
        ),
        listed=tuple(
            _listed(episode, labels[episode.key.digest]) for episode in rest[:MOST_LISTED]
        ),
        left_out=max(0, len(rest) - MOST_LISTED),
    )


def label(group: Group) -> str:
    """A group in words, without its subject."""
    twin = "" if group.twin == BASE else f", twin {group.twin}"
    return f"{group.cell.name}, level {group.level.value}{twin}"


def _row(
    group: Group,
    columns: Sequence[Question],
    checks: Mapping[str, list[InstrumentCheck]],
    detailed: frozenset[str],
) -> Row:
    mine = [c for e in group.episodes for c in checks.get(e.key.digest, ())]
    shown = next((e for e in group.episodes if e.key.digest in detailed), None)
    return Row(
        group=group,
        arm=group.arm.value if group.arm is not None else "beside the arms",
        tallies=tuple((question.value, group.tally(question)) for question in columns),
        grades=group.grades(),
        check=Checked(
            passed=sum(c.passed is True for c in mine),
            failed=sum(c.passed is False for c in mine),
            unknown=sum(c.passed is None for c in mine),
        )
        if group.subject.is_reference
        else None,
        link=None if shown is None else anchor(shown),
    )


def _listed(episode: Episode, said: str) -> Listed:
    found = []
    for question, answer in sorted(episode.outcome.answers.items()):
        if answer.value is True and answer.evidence:
            first = answer.evidence[0]
            span = first.locator
            found.append(
                (
                    question.value,
                    str(first.blob),
                    None if span is None else span.start,
                    None if span is None else span.end,
                )
            )
    return Listed(episode=episode, label=said, yes=tuple(found))


# Contrasts


def contrasts(groups: Sequence[Group], scenario: Scenario) -> Iterator[Contrast]:
    """Pairs of groups that differ in exactly one setting, the twin or the level included."""
    for index, left in enumerate(groups):
        for right in groups[index + 1 :]:
            if left.subject.id != right.subject.id:
                continue
            a, b = _ordered(left, right)
            factor = apart(a, b)
            if factor is None:
                continue
            kind = ""
            if factor == "twin":
                twin = scenario.twin(b.twin)
                assert twin is not None
                factor, kind = f"twin: {twin.factor}", twin.kind
            yield Contrast(
                subject=left.subject,
                factor=factor,
                kind=kind,
                left=label(a),
                right=label(b),
                left_grade=_graded(a),
                right_grade=_graded(b),
                pairs=tuple(
                    (question.value, a.tally(question), b.tally(question))
                    for question in CONTRASTED
                ),
            )


def _graded(group: Group) -> str:
    return ", ".join(
        grade if len(group.episodes) == 1 else f"{grade} × {count}"
        for grade, count in group.grades()
    )


def apart(left: Group, right: Group) -> str | None:
    """The one setting in which two groups differ, or None for none or several.

    Two twins of one base differ in two factors.
    """
    found = [
        name
        for name, differs in (
            ("ask", left.cell.ask is not right.cell.ask),
            ("safeguards", left.cell.safeguards is not right.cell.safeguards),
            ("belief", left.cell.belief is not right.cell.belief),
            ("instruction level", left.level is not right.level),
            ("twin", left.twin != right.twin),
        )
        if differs
    ]
    if len(found) != 1 or (found == ["twin"] and BASE not in (left.twin, right.twin)):
        return None
    return found[0]


def _ordered(left: Group, right: Group) -> tuple[Group, Group]:
    """The base, the lower level or the weaker safeguards first."""

    def place(group: Group) -> tuple[object, ...]:
        cell: Cell = group.cell
        return (
            group.twin != BASE,
            list(Level).index(group.level),
            ["none", "open", "covert"].index(cell.ask.value),
            SAFEGUARDS.index(cell.safeguards),
            ["nothing", "watched", "unwatched"].index(cell.belief.value),
        )

    return (left, right) if place(left) <= place(right) else (right, left)


# The race of flag and harm


def _races(groups: Sequence[Group], detailed: frozenset[str]) -> Iterator[Race]:
    for group in groups:
        if group.cell.safeguards is not Safeguards.SHADOW:
            continue
        for episode in group.episodes:
            times = episode.outcome.times
            first, gap = race(times.get(Stage.FLAG), times.get(Stage.HARM))
            more = "" if len(group.episodes) == 1 else f", seed {episode.key.seed}"
            yield Race(
                subject=group.subject,
                label=label(group) + more,
                link=anchor(episode) if episode.key.digest in detailed else None,
                times=tuple(
                    (stage.value, when(times.get(stage)))
                    for stage in (Stage.EXPOSURE, Stage.ATTEMPT, Stage.FLAG, Stage.HARM)
                ),
                first=first,
                gap=gap,
            )


def when(timed: Timed | None) -> str:
    """The moment of a stage, or why there is none."""
    if timed is None:
        return "not asked"
    if timed.at is not None:
        step = "before the first step" if timed.at.step is None else f"step {timed.at.step}"
        return f"{step}, {milliseconds(timed.at.host_us)}"
    if timed.answer.value is None:
        return "unmeasurable"
    return f"not seen in {milliseconds(timed.until.host_us)}"


def race(flag: Timed | None, harm: Timed | None) -> tuple[str, str]:
    """Which of the two came first, and by how much."""
    if flag is None or harm is None:
        return "not asked", ""
    if flag.answer.value is None or harm.answer.value is None:
        missing = [
            name
            for name, timed in (("the flag", flag), ("harm", harm))
            if timed.answer.value is None
        ]
        return "unmeasurable", f"{' and '.join(missing)} could not be measured"
    if flag.at is None and harm.at is None:
        return "neither seen", ""
    if flag.at is None:
        return "harm, no flag", ""
    if harm.at is None:
        return "flag, no harm seen", ""
    early, late, first = (
        (flag.at, harm.at, "flag first")
        if flag.at.host_us < harm.at.host_us
        else (harm.at, flag.at, "harm first")
    )
    if flag.at.host_us == harm.at.host_us:
        first = "same microsecond"
    gap = milliseconds(late.host_us - early.host_us)
    if early.step is not None and late.step is not None:
        steps = late.step - early.step
        gap = f"{counted(steps, 'step') if steps else 'same step'}, {gap}"
    return first, gap
