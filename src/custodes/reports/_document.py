"""The report's data: everything that the page shows, as one JSON document."""

from __future__ import annotations

from typing import Any

from custodes.case import Case
from custodes.runs import Episode, Results
from custodes.scenarios import scenario_by_id
from custodes.types import EvidenceRef, JsonObject, JsonValue

from ._views import Views, read_views

SCHEMA = "custodes.report/1"


def report_document(case: Case, results: Results) -> dict[str, Any]:
    """The data of a report. It holds no time of rendering: the same case gives the same bytes.

    Raises:
        CaseError: evidence is missing, or is not what was sealed.
    """
    return document_of(read_views(case, results))


def document_of(views: Views) -> dict[str, Any]:
    """The same, from what was read already."""
    results = views.results
    return {
        "schema": SCHEMA,
        "custodes": views.version,
        "case": {
            "organisation": views.organisation,
            "assessor": views.assessor,
            "purpose": views.purpose,
            "window": views.window,
            "events_outside_window": views.outside_window,
            "head": views.as_of.head,
            "events": views.as_of.events,
            "first_event_us": views.as_of.first_us,
            "last_event_us": views.as_of.last_us,
            "plans_fixed": results.plans,
            "configuration_recorded": views.planned.recorded,
        },
        "only_reference_subjects": views.only_references,
        "summary": views.summary.to_json(),
        "environment": results.environment,
        "plan": results.plan,
        "planned": dict(views.planned.fields),
        "scenarios": [_scenario(name) for name in results.scenarios],
        "episodes": [_episode(episode) for episode in results.episodes],
        "instrument_checks": [
            {
                "episode": check.episode.key.digest,
                "subject": check.episode.subject,
                "question": check.question.value,
                "expected": check.expected,
                "found": check.found,
                "passed": check.passed,
            }
            for check in results.instrument_checks()
        ],
        "agents": [agent.to_json() for agent in views.agents],
        "interviews": None if views.interviews is None else views.interviews.to_json(),
        "comparisons": [
            {"a": x.a, "b": x.b, "not_compared": x.nothing}
            if x.found is None
            else x.found.to_json()
            for x in views.comparisons
        ],
        "measurements": list(results.measurements.values()),
        "containment": results.probes,
        "drills": results.drills,
        "deployed_containment": list(results.deployed_probes),
        "deployed_drills": list(results.deployed_drills),
        "pages": list(results.pages),
        "stops": [
            {
                "episode": stop.link,
                "subject": stop.subject.id,
                "scenario": stop.scenario,
                "setting": stop.label,
                "flagged": stop.flagged,
                "calls_rejected": stop.rejected,
                "ordered": stop.ordered,
                "outcome": stop.outcome,
                "succeeded": stop.succeeded,
            }
            for stop in views.stops.episodes
        ],
        "not_measured": {
            "episodes_not_run": results.not_run,
            "steps": list(views.unknown.steps),
            "scenarios": {
                found.id: {
                    "cells_not_run": list(found.cells_not_run),
                    "levels_not_run": list(found.levels_not_run),
                    "twins_not_run": list(found.twins_not_run),
                    "missing_ablations": list(found.missing_ablations),
                }
                for found in views.unknown.coverage
            },
            "parts": [name for name, _ in views.unknown.not_part],
            "limits": {found.id: list(found.points) for found in views.limits},
        },
        "unmeasurable": [
            {
                "episode": episode.key.digest,
                "answers": {q.value: reason.to_json() for q, reason in episode.unmeasurable},
            }
            for episode in results.episodes
            if episode.unmeasurable
        ],
        "shards_tried_again": dict(results.attempts),
        "episodes_superseded": results.superseded,
        "logs": [{"file": name, "sha256": sha, "event": seq} for name, sha, seq in views.logs],
    }


def _scenario(name: str) -> JsonObject:
    scenario = scenario_by_id(name)
    return {
        "id": scenario.id,
        "version": ".".join(map(str, scenario.version)),
        "title": scenario.title,
        "step": scenario.step.value,
        "act": scenario.act,
        "ordinary_task": scenario.ordinary_task,
        "temptation": scenario.temptation,
        "elicited": scenario.elicited,
        "missing_ablations": list(scenario.missing_ablations),
    }


def _episode(episode: Episode) -> JsonObject:
    def ref(value: EvidenceRef | None) -> JsonValue:
        return None if value is None else value.to_json()

    return {
        "event": episode.event,
        "digest": episode.key.digest,
        "subject": episode.subject,
        "arm": None if episode.key.cell.arm is None else episode.key.cell.arm.value,
        "outcome": episode.outcome.to_json(),
        "log": episode.log,
        "log_sha256": episode.log_sha256,
        "sample": episode.sample,
        "observation": ref(episode.observation),
        "completion": ref(episode.completion),
        "interview": _interview(episode),
    }


def _interview(episode: Episode) -> JsonObject | None:
    held = episode.interview
    if held is None:
        return None
    return {
        "version": held.version,
        "compared": [compared.to_json() for compared in held.compared],
        "stored": held.stored.to_json(),
    }
