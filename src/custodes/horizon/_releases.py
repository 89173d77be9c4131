"""Agents with release dates and horizons, from tables, our own documents and METR's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

from custodes.statistics import HorizonFit, Release
from custodes.transcripts import Source, decode_json

from ._columns import AGENT
from ._table import BadInput, Row, opened, rows_of, shown

OUR_SCHEMA = "custodes.horizon/1"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE = ("release_date", "date")
_P50 = ("p50", "horizon", "estimate")


def read_releases(
    path: str, *, version: str | None = None, dates: str | None = None
) -> tuple[Release, ...]:
    """The agents of a file, each with its release date and its p50 in minutes.

    Args:
        path: a table (CSV, JSON lines, JSON array) with agent, release_date and p50; what
            ``custodes horizon --json`` printed; or METR's results by version.
        version: of METR's results.
        dates: a table with agent and release_date, for a file that has no dates.

    Raises:
        BadInput: one line with file, place and what was expected.
    """
    with opened(path) as source:
        if source.head.lstrip()[:1] == b"{" and not source.looks_like_lines:
            rows = list(_of_document(source, version))
        else:
            rows = list(rows_of(source))
        if version is not None and not (rows and "version" in rows[0].values):
            raise BadInput(path, "", "expected versions in a file that --version is given for")
    known = {} if dates is None else read_dates(dates)
    found: dict[str, Release] = {}
    for row in rows:
        release = _release(row, known)
        if release.agent in found:
            raise row.refuse(f"expected each agent once, found {shown(release.agent)} twice")
        found[release.agent] = release
    if not found:
        raise BadInput(path, "", "expected agents with a release date and a p50, found none")
    return tuple(found.values())


def read_dates(path: str) -> dict[str, date]:
    """Release dates by agent, from a table with agent and release_date.

    Raises:
        BadInput: one line with file, place and what was expected.
    """
    known: dict[str, date] = {}
    with opened(path) as source:
        for row in rows_of(source):
            agent = _agent(row)
            if agent in known:
                raise row.refuse(f"expected each agent once, found {shown(agent)} twice")
            known[agent] = _date(row, _field(row, _DATE))
    return known


def dated(fit: HorizonFit, known: Mapping[str, date]) -> tuple[Release, ...]:
    """The agents of a fit with their release dates.

    Raises:
        BadInput: an agent without a date.
    """
    missing = [agent.agent for agent in fit.agents if agent.agent not in known]
    if missing:
        names = ", ".join(shown(name) for name in missing[:5])
        text = f"expected the release date of every agent, found none of {names}"
        raise BadInput("--dates", "", text)
    return tuple(
        Release(agent=agent.agent, date=known[agent.agent], p50=agent.horizons[0].estimate)
        for agent in fit.agents
    )


def _of_document(source: Source, version: str | None) -> Iterator[Row]:
    document = decode_json(source.document(), source.limits)
    if document.get("schema") == OUR_SCHEMA:
        yield from _of_ours(source, document.get("agents"))
        return
    versions = {key: value for key, value in document.items() if _has_agents(value)}
    if not versions:
        raise BadInput(
            source.path, "", "expected agents with a release date and a p50, found another document"
        )
    if version is None and len(versions) > 1:
        raise BadInput(source.path, "", f"expected --version, one of {', '.join(sorted(versions))}")
    name = next(iter(versions)) if version is None else version
    if name not in versions:
        known = ", ".join(sorted(versions))
        raise BadInput(source.path, "", f"expected a version ({known}), found {shown(name)}")
    for agent, about in versions[name]["agents"].items():
        place = f"version {shown(name)[1:-1]}, agent {shown(agent)}"
        row = Row(file=source.path, place=place, values={})
        if not isinstance(about, dict):
            raise row.refuse("expected an object")
        values = {**about, "agent": agent, "version": name}
        yield Row(file=source.path, place=place, values=values)


def _of_ours(source: Source, agents: object) -> Iterator[Row]:
    if not isinstance(agents, list):
        raise BadInput(source.path, "", f"expected a list of agents, found {shown(agents)}")
    rows = []
    for number, agent in enumerate(agents, 1):
        if not isinstance(agent, dict):
            text = f"expected an object, found {shown(agent)}"
            raise BadInput(source.path, f"agent {number}", text)
        place = f"agent {shown(agent['agent'])}" if "agent" in agent else f"agent {number}"
        rows.append(Row(file=source.path, place=place, values=agent))
    # With cheats counted both ways each agent is there twice.
    failed = [row for row in rows if row.values.get("cheats") in (None, "fail")]
    yield from failed or rows


def _has_agents(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("agents"), dict)


def _release(row: Row, known: Mapping[str, date]) -> Release:
    agent = _agent(row)
    day = known.get(agent)
    if day is None:
        found = next((row.values[name] for name in _DATE if row.values.get(name)), None)
        if found is None:
            raise row.refuse(
                f"expected the release date of {shown(agent)}, found none; name a table with "
                "agent and release_date with --dates"
            )
        day = _date(row, found)
    value = _field(row, _P50)
    if isinstance(value, dict):
        value = value.get("estimate")
    return Release(agent=agent, date=day, p50=_minutes(row, value))


def _agent(row: Row) -> str:
    value = _field(row, AGENT)
    if not isinstance(value, str) or not value.strip():
        raise row.refuse(f"expected a name as agent, found {shown(value)}")
    return value.strip()


def _field(row: Row, names: tuple[str, ...]) -> Any:
    for name in names:
        if name in row.values:
            return row.values[name]
    raise row.refuse(f"expected a field {' or '.join(names)}, found none")


def _date(row: Row, value: object) -> date:
    text = str(value).strip().removesuffix("T00:00:00").removesuffix(" 00:00:00")
    try:
        if not _DAY.fullmatch(text):  # ISO has weeks too, and days without dashes
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        text = f"expected a release date as YYYY-MM-DD, found {shown(value)}"
        raise row.refuse(text) from None


def _minutes(row: Row, value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise row.refuse(f"expected p50 in minutes, found {shown(value)}") from None
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise row.refuse(f"expected p50 in minutes, 0 or more and finite, found {shown(value)}")
    return number
