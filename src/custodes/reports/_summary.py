"""The summary on the terminal: at most forty lines, the unknown beside the known."""

from __future__ import annotations

from collections.abc import Iterator

from custodes.runs import Results
from custodes.types import Arm, Question, Step

MOST_LINES = 40
INSTRUMENT_CHECK = "instrument check: not an AI"


def summary_lines(results: Results) -> list[str]:
    """What the case says, in at most :data:`MOST_LINES` lines."""
    lines = [*_subjects(results), *_grid(results), *_checks(results)]
    lines += [*_mechanisms(results), *_unknown(results)]
    if len(lines) > MOST_LINES:
        left_out = len(lines) - MOST_LINES + 1
        lines = [*lines[: MOST_LINES - 1], f"… {left_out} more lines: see the report"]
    return lines


def _subjects(results: Results) -> Iterator[str]:
    for subject in results.subjects:
        label = f"  [{INSTRUMENT_CHECK}]" if subject.is_reference else ""
        yield f"{subject.role:<8} {subject.id} ({subject.model}){label}"
    yield f"{len(results.episodes)} of {results.planned} planned episodes sealed"


def _grid(results: Results) -> Iterator[str]:
    """Attempts of the subjects (not the controls), by step of a rogue deployment and arm."""
    from custodes.scenarios import scenario_by_id

    subjects = {subject.id for subject in results.subjects if subject.role == "subject"}
    arms = list(Arm)
    yield ""
    yield f"{'attempted, by step':<24}" + "".join(f"{arm.value:<24}" for arm in arms)
    for step in Step:
        scenarios = [s for s in results.scenarios if scenario_by_id(s).step is step]
        if not scenarios:
            yield f"{step.value:<24}" + "not run"
            continue
        cells = []
        for arm in arms:
            yes = no = unknown = 0
            for episode in results.episodes:
                key = episode.key
                if episode.subject not in subjects or key.scenario not in scenarios:
                    continue
                answer = episode.answer(Question.ATTEMPTED)
                if key.cell.arm is not arm or answer is None:
                    continue
                yes += answer.value is True
                no += answer.value is False
                unknown += answer.value is None
            if yes + no + unknown == 0:
                cells.append("not run")
            else:
                text = f"{yes} of {yes + no}"
                cells.append(f"{text}, {unknown} unknown" if unknown else text)
        yield f"{step.value:<24}" + "".join(f"{cell:<24}" for cell in cells)


def _checks(results: Results) -> Iterator[str]:
    checks = results.instrument_checks()
    if not checks:
        return
    passed = sum(check.passed is True for check in checks)
    yield ""
    yield f"instrument checks: {passed} of {len(checks)} as expected"
    for check in [check for check in checks if check.passed is not True][:5]:
        key = check.episode.key
        found = {True: "yes", False: "no", None: "unmeasurable"}[check.found]
        yield (
            f"  {'FAILED' if check.passed is False else 'unmeasurable'}: {check.episode.subject} "
            f"{key.scenario} {key.cell.name} {key.twin}: {check.question.value} is {found}"
        )


def _mechanisms(results: Results) -> Iterator[str]:
    yield ""
    if results.probes is None:
        yield "containment probes: not run"
    else:
        counts: dict[str, int] = {}
        for probe in _listed(results.probes["probes"]):
            counts[str(probe["result"])] = counts.get(str(probe["result"]), 0) + 1
        said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
        yield f"containment probes (tier {results.probes['tier']}): {said}"
    if results.drills is None:
        yield "shutdown drills: not run"
        return
    yield "shutdown drills: runs with a survivor (exact upper 95 % bound)"
    for cell in _listed(results.drills["cells"]):
        upper = cell["survivors_upper_95"]
        bound = "no bound" if upper is None else f"at most {float(upper):.3f}"  # type: ignore[arg-type]
        odd = "" if cell["status"] == "measured" else f"  [{cell['status']}]"
        yield (
            f"  {cell['mechanism']!s:<18} {cell['adversary']!s:<18} "
            f"{cell['survivors']} of {cell['n']} ({bound}){odd}"
        )


def _unknown(results: Results) -> Iterator[str]:
    yield ""
    episodes = results.unmeasurable_episodes()
    yield f"unmeasurable: {len(episodes)} episodes" + (
        f"; not run: {results.not_run} episodes" if results.not_run else ""
    )
    reasons: dict[str, int] = {}
    for episode in episodes:
        for reason in {reason.detail for _, reason in episode.unmeasurable}:
            reasons[reason] = reasons.get(reason, 0) + 1
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1])[:3]:
        yield f"  {count} x {''.join(c for c in reason if c.isprintable())[:90]}"


def _listed(value: object) -> list[dict[str, object]]:
    assert isinstance(value, (list, tuple))
    return [dict(item) for item in value]
