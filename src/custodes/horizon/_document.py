"""The JSON documents and the text of ``custodes horizon``."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

from custodes.statistics import Horizon, HorizonFit, SensitivityRow, Trend
from custodes.types import JsonObject

from ._read import FileRead
from ._table import shown

HORIZON_SCHEMA = "custodes.horizon/1"
TREND_SCHEMA = "custodes.horizon-trend/1"
_UNSCORED: Final = {"left out": "left out", "fail": "as failures", "pass": "as successes"}


def horizon_document(
    fits: Sequence[HorizonFit],
    rows: Iterable[SensitivityRow],
    files: Iterable[FileRead],
    line: Trend | None = None,
) -> JsonObject:
    """What ``custodes horizon --json`` prints: finite numbers, or null with a note.

    Args:
        fits: of the same runs, one for each way in which cheats count.
        rows: point estimates under every choice of method.
        files: what was read.
        line: the trend over release dates, where there are any.
    """
    first = fits[0]
    trend: JsonObject = {} if line is None else {"trend": trend_document(line, doubts_of(first))}
    return {
        "schema": HORIZON_SCHEMA,
        "method": {
            "regularization": first.regularization,
            "weighting": first.weighting,
            "bootstrap": first.bootstrap,
            "seed": first.seed,
            "level": first.level,
            "cheats": [fit.cheats for fit in fits],
        },
        "inputs": [
            {
                "file": file.path,
                "rows": file.rows,
                "by_people": file.by_people,
                "fatal": file.fatal,
                "columns": None if file.columns is None else dict(file.columns.told()),
            }
            for file in files
        ],
        "agents": [
            {"cheats": fit.cheats, **agent.to_json()} for fit in fits for agent in fit.agents
        ],
        "sensitivity": [row.to_json() for row in rows],
        **trend,
    }


def trend_document(found: Trend, doubts: Mapping[str, str] | None = None) -> JsonObject:
    """What ``custodes horizon trend --json`` prints.

    Args:
        found: the trend. doubts: what `doubts_of` found of its agents.
    """
    return {"schema": TREND_SCHEMA, **found.to_json(), "notes": _trend_notes(found, doubts or {})}


def doubts_of(fit: HorizonFit) -> dict[str, str]:
    """What a line through the p50 of some agents takes for a figure and is not quite one."""
    doubts = {}
    for agent in fit.agents:
        found = agent.horizons[0]
        if found.bound == "lower":
            doubts[agent.agent] = "a lower bound"
        elif found.estimate and found.longer == found.tasks:
            doubts[agent.agent] = "extrapolated below the shortest task"
    return doubts


def _trend_notes(found: Trend, doubts: Mapping[str, str]) -> list[str]:
    said: dict[str, list[str]] = {}
    for one in found.agents:
        if one.used and one.agent in doubts:
            said.setdefault(doubts[one.agent], []).append(name(one.agent))
    return [f"on the line with a p50 that is {why}: {', '.join(of)}" for why, of in said.items()]


def duration(minutes: float) -> str:
    """Minutes as a person says them: 40 s, 9.4 min, 2.5 h."""
    if minutes == 0:
        return "0"
    if minutes < 1 / 60:
        return "<1 s"
    if minutes < 1:
        return f"{minutes * 60:.2g} s"
    if minutes < 99.5:
        return f"{minutes:.2g} min" if minutes < 9.95 else f"{minutes:.0f} min"
    hours = minutes / 60
    if hours < 9.95 or hours >= 99_999.5:  # the second far beyond any suite
        return f"{hours:.2g} h"
    return f"{hours:,.0f} h"


def interval(found: Horizon) -> str:
    """An estimate with its interval, or with what stands in its place."""
    if found.estimate is None:
        return "not identified"
    if found.bound == "zero":
        return "0 (every run failed)"
    ends = "no interval"
    if found.low is not None:
        high = "open" if found.high is None else duration(found.high)
        ends = f"{duration(found.low)} .. {high}"
    if found.bound == "lower" and found.measurable_to is not None:
        return f"at least {duration(found.measurable_to)} [{ends}]"
    return f"{duration(found.estimate)} [{ends}]"


def horizon_text(
    fits: Sequence[HorizonFit], rows: Sequence[SensitivityRow], files: Iterable[FileRead]
) -> str:
    """The figures as aligned text."""
    first = fits[0]
    lines = []
    for file in files:
        left = [f"{file.by_people:,} by people left out"] if file.by_people else []
        left += [f"{file.fatal:,} ended in an error"] if file.fatal else []
        lines.append(f"{name(file.path)}: {', '.join([_count(file.rows, 'run'), *left])}")
    runs = first.runs
    lines.append(
        f"{_count(len(runs.tasks), 'task')} in {_count(len(runs.families), 'family')}; penalty "
        f"{first.regularization:g}, weights {first.weighting}, "
        f"{_count(first.bootstrap, 'replicate')} (families, tasks, runs), seed {first.seed}"
    )
    for fit in fits:
        lines += ["", f"human time of tasks done with probability (cheats {_cheats(fit.cheats)})"]
        head = ("", "p50 [95 % interval]", "p80 [95 % interval]", "runs", "tasks", "longer")
        table = [
            (
                name(agent.agent),
                *(interval(horizon) for horizon in agent.horizons[:2]),
                f"{agent.n_runs:,}",
                str(agent.n_tasks),
                "-" if agent.horizons[0].estimate is None
                else f"{agent.horizons[0].longer} of {agent.horizons[0].tasks}",
            )
            for agent in fit.agents
        ]
        lines += _aligned([head, *table], right=(3, 4, 5))
        lines += _notes(fit)
    lines += _choices(fits, rows)
    return "\n".join(lines) + "\n"


def _notes(fit: HorizonFit) -> list[str]:
    """What must be said of the figures: once, with the agents that it holds for."""
    holds: dict[str, list[str]] = {}
    for agent in fit.agents:
        said = [f"p{horizon.quantile * 100:g}: {horizon.note}" for horizon in agent.horizons
                if horizon.note]  # fmt: skip
        for note in (*agent.notes, *said):
            holds.setdefault(note, []).append(name(agent.agent))
    whole = len(fit.agents)
    return [
        f"  {f'all {whole} agents' if 1 < whole == len(names) else ', '.join(names)}: {note}"
        for note, names in holds.items()
    ]


def _choices(fits: Sequence[HorizonFit], rows: Sequence[SensitivityRow]) -> list[str]:
    """p50 under other choices: a table for each way to count cheats and runs without a score."""
    agents = {agent.agent: agent for agent in fits[0].agents}
    cheated = any(agent.cheated for agent in agents.values())
    lines = ["", "p50 under other choices of penalty and weights"]
    if not cheated:
        lines[-1] += " (no scored run is marked as cheated)"
    for cheats, unscored in dict.fromkeys((row.cheats, row.unscored) for row in rows):
        if cheats == "pass" and not cheated:
            continue
        here = [row for row in rows if (row.cheats, row.unscored) == (cheats, unscored)]
        ways = list(dict.fromkeys((row.regularization, row.weighting) for row in here))
        by = {(row.agent, row.regularization, row.weighting): row for row in here}
        blank = any(row.unscored != "left out" for row in rows)
        said = [f"cheats {_cheats(cheats)}"] if cheated else []
        said += [f"runs without a score {_UNSCORED[unscored]}"] if blank else []
        table = [("", *(f"{penalty:g} {weights}" for penalty, weights in ways))]
        table += [
            (name(agent), *(_p50(by[(agent, *way)], of.horizons[0].measurable_to) for way in ways))
            for agent, of in agents.items()
        ]
        lines += [f"- {', '.join(said)}"] if said else []
        lines += _aligned(table, right=tuple(range(1, len(ways) + 1)))
    return lines


def trend_text(found: Trend, doubts: Mapping[str, str] | None = None) -> str:
    """The doubling time and the agents behind it; ``doubts`` as in `trend_document`."""
    time = found.doubling_time_days
    when = f"from {found.since.isoformat()}" if isinstance(found.since, date) else "all releases"
    if time.estimate is None:
        lines = [f"doubling time ({when}): none ({time.note})"]
    else:
        ends = time.note or ""
        if time.low is not None:
            high = "open" if time.high is None else f"{time.high:.0f}"
            ends = f"95 % interval {time.low:.0f} .. {high}, the best chosen anew in each replicate"
        used = sum(agent.used for agent in found.agents)
        lines = [
            f"doubling time ({when}): {time.estimate:.3f} days [{ends}]",
            f"least squares of ln p50 on days over {used} agents that were the best of their day",
        ]
    table = [
        (
            name(agent.agent),
            agent.date.isoformat(),
            "not identified" if agent.p50 is None else duration(agent.p50),
            "on the line" if agent.used else "best of its day" if agent.best else agent.note or "",
        )
        for agent in found.agents
    ]
    notes = [f"  {note}" for note in _trend_notes(found, doubts or {})]
    return "\n".join([*lines, "", *_aligned(table, right=(2,)), *notes]) + "\n"


def name(text: str) -> str:
    """A name of the input, on one line, without control characters."""
    seen = shown(text)
    return seen[1:] if seen.endswith("…") else seen[1:-1]  # the quotes are what is left out


def _cheats(way: str) -> str:
    return "count as failures" if way == "fail" else "count as successes"


def _count(number: int, what: str) -> str:
    if number == 1:
        return f"1 {what}"
    return f"{number:,} {what[:-1]}ies" if what.endswith("y") else f"{number:,} {what}s"


def _p50(row: SensitivityRow, measurable_to: float | None) -> str:
    if row.p50 is None:
        return "none"
    if row.p50_bound == "lower":
        return f"≥ {duration(row.p50 if measurable_to is None else measurable_to)}"
    return duration(row.p50)


def _width(text: str) -> int:
    """Columns of a terminal that the text fills."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _aligned(table: Sequence[Sequence[str]], *, right: Sequence[int]) -> list[str]:
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    return [
        "  "
        + "  ".join(
            " " * (width - _width(text)) + text if place in right
            else text + " " * (width - _width(text))
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
