"""Everything that a report shows, read from a case once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from custodes import __version__
from custodes.case import Case
from custodes.runs import Results
from custodes.scenarios import scenario_by_id

from ._tally import Group, groups
from ._text import day
from ._view_agents import AgentView, agents
from ._view_appendix import AsOf, Measured, as_of, measured
from ._view_compare import ComparisonView, compared, comparison_views
from ._view_episode import Reader, in_full
from ._view_grid import Grid, grids
from ._view_interview import Interviews, interviews
from ._view_limits import ScenarioLimits, scenario_limits
from ._view_mechanisms import Containment, Drills, Stops, containment, drills, stops
from ._view_page import PageView, page
from ._view_scenarios import ScenarioView, scenario_views
from ._view_summary import Basis, Summary, summary
from ._view_unknown import Unknown, unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The plan as ``custodes.yaml`` asks for it; ``recorded`` is False after an edit of the file
    that the ledger does not know.
    """

    fields: tuple[tuple[str, str], ...]
    recorded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """A report before it is written down."""

    version: str
    organisation: str
    assessor: str
    purpose: str
    window: str | None
    outside_window: bool
    as_of: AsOf
    results: Results
    groups: tuple[Group, ...]
    only_references: bool
    planned: Planned
    summary: Summary
    grids: tuple[Grid, ...]
    control_grids: tuple[Grid, ...]
    scenarios: tuple[ScenarioView, ...]
    agents: tuple[AgentView, ...]
    interviews: Interviews | None
    comparisons: tuple[ComparisonView, ...]
    containment: Containment | None
    deployed_containment: tuple[Containment, ...]
    drills: Drills | None
    deployed_drills: tuple[Drills, ...]
    pages: tuple[PageView, ...]
    stops: Stops
    unknown: Unknown
    limits: tuple[ScenarioLimits, ...]
    measured: Measured
    logs: tuple[tuple[str, str, int], ...]


def read_views(case: Case, results: Results) -> Views:
    """Read the case's evidence for a report.

    Raises:
        CaseError: evidence is missing, or is not what was sealed.
    """
    config = case.config
    found = groups(results)
    at = as_of(case)
    probed = None if results.probes is None else containment(results.probes)
    drilled = None if results.drills is None else drills(results.drills)
    deployed_probed = tuple(map(containment, results.deployed_probes))
    deployed_drilled = tuple(map(drills, results.deployed_drills))
    paged = tuple(map(page, results.pages))
    stopped = stops(case, results, found)
    reader = Reader(case, in_full=in_full(found))
    scenarios = scenario_views(results, found, reader)
    subjects = [s for s in results.subjects if s.role == "subject"]
    controls = [s for s in results.subjects if s.role != "subject"]
    return Views(
        version=__version__,
        organisation=config.organisation,
        assessor=config.assessor,
        purpose=config.purpose,
        window=_window(case),
        outside_window=_outside(case, at),
        as_of=at,
        results=results,
        groups=found,
        only_references=bool(results.subjects) and all(s.is_reference for s in results.subjects),
        planned=_planned(case),
        summary=summary(
            Basis(
                results=results,
                groups=found,
                containment=probed,
                deployed_containment=deployed_probed,
                drills=drilled,
                deployed_drills=deployed_drilled,
                pages=paged,
                stops=stopped,
                purpose=config.purpose,
            )
        ),
        grids=grids(found, subjects),
        control_grids=grids(found, controls),
        scenarios=scenarios,
        agents=agents(case, results),
        interviews=interviews(results),
        comparisons=comparison_views(
            compared(case, results),
            [view for s in scenarios for _, views in s.details for view in views],
        ),
        containment=probed,
        deployed_containment=deployed_probed,
        drills=drilled,
        deployed_drills=deployed_drilled,
        pages=paged,
        stops=stopped,
        unknown=unknown(results, found),
        limits=tuple(scenario_limits(scenario_by_id(name)) for name in sorted(results.scenarios)),
        measured=measured(results),
        logs=tuple(
            (log.path.name, str(log.sha256), log.seq) for _, log in sorted(case.logs.items())
        ),
    )


def _window(case: Case) -> str | None:
    window = case.config.window
    if window is None:
        return None
    return f"{window.from_ or 'open'} to {window.to or 'open'}"


def _outside(case: Case, at: AsOf) -> bool:
    """Whether an event is dated outside the days that the assessment is about."""
    window = case.config.window
    if window is None or not at.events:
        return False
    first, last = day(at.first_us), day(at.last_us)
    return (window.from_ is not None and first < window.from_.isoformat()) or (
        window.to is not None and last > window.to.isoformat()
    )


def _planned(case: Case) -> Planned:
    plan = case.config.to_json()["plan"]
    fields = [
        (name.replace("_", " "), _shown(value))
        for name, value in plan.items()
        if name != "subjects"
    ]
    return Planned(fields=tuple(fields), recorded=case.config_recorded)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_shown(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_shown(item) for item in value) or "none"
    return str(value)
