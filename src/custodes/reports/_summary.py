"""The summary on the terminal: at most forty lines, the unknown beside the known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from custodes.runs import Results
from custodes.scenarios import scenario_by_id
from custodes.types import Arm, Belief, Cell, Question, Step

from ._tally import BASE, SAFEGUARDS, Group, Tally, groups, total
from ._text import INSTRUMENT_CHECK, NOT_MEASURED, NOT_RUN, clip, counted, listed, number, plain
from ._view_mechanisms import Drills, containment, drills
from ._view_page import page
from ._view_unknown import unknown

MOST_LINES = 38
"""Two fewer than forty: the command adds where the report lies."""
LONGEST_LINE = 110
MOST_CHECKS = 4
MOST_REASONS = 3


def summary_lines(
    results: Results, comparisons: Sequence[str] = (), agents: Sequence[str] = ()
) -> list[str]:
    """What the case says, in at most :data:`MOST_LINES` lines.

    Args:
        comparisons: lines about the comparisons that the plan names.
        agents: lines about installed agents.
    """
    found = groups(results)
    blocks = [
        list(_subjects(results)),
        list(_grid(results, found)),
        list(agents),
        list(_checks(results)),
        [*_probes(results), *_drills(results)],
        list(comparisons),
        list(_unknown(results, found)),
    ]
    lines: list[str] = []
    for block in blocks:
        if block:
            lines += ["", *block] if lines else block
    if len(lines) > MOST_LINES:
        # The unknown is not what is cut.
        tail = ["", *blocks[-1]]
        kept = MOST_LINES - len(tail) - 1
        left_out = len(lines) - len(tail) - kept
        lines = [*lines[:kept], f"… {left_out} more lines: see the report", *tail]
    return [_line(line) for line in lines]


def _line(text: str) -> str:
    shown, left_out = clip(plain(text), LONGEST_LINE)
    return f"{shown}…" if left_out else shown


def _subjects(results: Results) -> Iterator[str]:
    if results.plan is None:
        yield f"no plan was fixed: {NOT_RUN}"
        return
    for subject in results.subjects[:6]:
        label = f"  [{INSTRUMENT_CHECK}]" if subject.is_reference else ""
        yield f"{subject.role:<8} {subject.id} ({subject.model}){label}"
    if len(results.subjects) > 6:
        yield f"and {len(results.subjects) - 6} more"
    missing = f", {results.not_run} not run" if results.not_run else ""
    planned = counted(results.planned, "planned episode")
    yield f"{len(results.episodes)} of {planned} sealed{missing}"


def _grid(results: Results, found: Sequence[Group]) -> Iterator[str]:
    """Attempts of the subjects (not the controls), by step of a rogue deployment and arm."""
    subjects = {subject.id for subject in results.subjects if subject.role == "subject"}
    base = [
        group
        for group in found
        if group.subject.id in subjects
        and group.twin == BASE
        and group.cell.belief is Belief.NOTHING
    ]
    steps = {scenario_by_id(group.scenario).step for group in base}
    if not steps:
        yield f"attempts by step of a rogue deployment: {NOT_MEASURED}"
        return
    # Cells are never pooled: what a safeguard prevented is not what was not tried.
    cells = sorted(
        {group.cell for group in base if group.arm is not None},
        key=lambda cell: (list(Arm).index(_arm(cell)), SAFEGUARDS.index(cell.safeguards)),
    )
    arms = [_arm(cell).value for cell in cells]
    yield "attempted (base scenario; instruction levels together)"
    yield (
        f"{'':<18}"
        + "".join(
            f"{'' if arms[:i].count(arm) else arm:<18}" for i, arm in enumerate(arms)
        ).rstrip()
    )
    yield f"{'':<18}" + "".join(f"{cell.name:<18}" for cell in cells).rstrip()
    for step in Step:
        if step not in steps:
            continue
        here = [g for g in base if scenario_by_id(g.scenario).step is step]
        counts = [
            _cell(total(g.tally(Question.ATTEMPTED) for g in here if g.cell == cell))
            for cell in cells
        ]
        yield f"{step.value:<18}" + "".join(f"{count:<18}" for count in counts).rstrip()
    unmet = listed([s.value for s in Step if s not in steps])
    yield from wrap(f"{NOT_MEASURED}: {unmet}", 100, subsequent_indent="  ")


def _arm(cell: Cell) -> Arm:
    assert cell.arm is not None
    return cell.arm


def _cell(tally: Tally | None) -> str:
    if tally is None:
        return NOT_RUN
    if not tally.unknown:
        return f"{tally.yes} of {tally.measured}"
    if not tally.measured:
        return "unmeasurable"
    return f"{tally.yes} of {tally.measured} + {tally.unknown} unm."


def _checks(results: Results) -> Iterator[str]:
    checks = results.instrument_checks()
    if not checks:
        yield f"instrument checks: {NOT_RUN}"
        return
    passed = sum(check.passed is True for check in checks)
    yield f"instrument checks: {passed} of {len(checks)} as expected"
    odd = sorted((c for c in checks if c.passed is not True), key=lambda c: c.passed is None)
    for check in odd[:MOST_CHECKS]:
        key = check.episode.key
        found = {True: "yes", False: "no", None: "unmeasurable"}[check.found]
        yield (
            f"  {'FAILED' if check.passed is False else 'unmeasurable'}: {check.episode.subject} "
            f"{key.scenario} {key.cell.name} {key.twin}: {check.question.value} is {found}"
        )
    if len(odd) > MOST_CHECKS:
        yield f"  and {len(odd) - MOST_CHECKS} more"


def _probes(results: Results) -> Iterator[str]:
    if results.probes is None:
        yield f"containment probes: {NOT_RUN}"
    for found in map(containment, results.probe_documents):
        yield (
            f"containment probes ({found.subject}): {found.count('contained')} contained, "
            f"{found.count('escaped')} escaped, {found.count('untested')} untested"
        )


def _drills(results: Results) -> Iterator[str]:
    if results.drills is None:
        yield f"shutdown drills: {NOT_RUN}"
    for found in map(drills, results.drill_documents):
        yield from _drill(found)
    for found_page in map(page, results.pages):
        for run in found_page.runs:
            yield f"page drill ({found_page.command}): people {run.human}; stop {run.stop}"


def _drill(found: Drills) -> Iterator[str]:
    of = f" of {found.launch!r} stopped by {found.stop!r}" if found.launch else ""
    yield f"shutdown drills{of}: runs with a survivor (exact upper 95 % bound)"
    for cell in found.cells:
        if cell.status == "not_applicable":
            continue
        if cell.status == "untested":
            said = "untested"
        elif cell.status == "control":
            said = f"{cell.survivors} of {cell.shown}  [control]"
        else:
            bound = "no bound" if cell.upper is None else f"at most {number(cell.upper)}"
            said = f"{cell.survivors} of {cell.shown} ({bound})"
        unsure = f", {cell.unverified} show nothing" if cell.unverified else ""
        yield f"  {cell.mechanism:<18} {cell.adversary:<18} {said}{unsure}"


def _unknown(results: Results, found: Sequence[Group]) -> Iterator[str]:
    episodes = results.unmeasurable_episodes()
    yield (
        f"unmeasurable: {counted(len(episodes), 'episode')}; not run: "
        f"{counted(results.not_run, 'episode')}"
    )
    silent = results.unmeasurable_interviews()
    if silent:
        yield f"interviews with a question that has no answer: {len(silent)}"
    reasons = unknown(results, found).reasons
    for reason in reasons[:MOST_REASONS]:
        yield (
            f"  {reason.code}: {counted(reason.answers, 'answer')} in "
            f"{counted(reason.episodes, 'episode')}, such as: {reason.details[0]}"
        )
    if len(reasons) > MOST_REASONS:
        yield f"  and {counted(len(reasons) - MOST_REASONS, 'more reason')}"
