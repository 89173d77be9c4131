"""The report's data: everything that the page shows, as one JSON document."""

from __future__ import annotations

from typing import Any

from custodes import __version__
from custodes.runs import Results
from custodes.scenarios import scenario_by_id
from custodes.types import JsonObject

SCHEMA = "custodes.report/1"


def report_document(results: Results, *, organisation: str, assessor: str, purpose: str) -> Any:
    """The data of a report. It holds no time of rendering: the same case gives the same bytes."""
    return {
        "schema": SCHEMA,
        "custodes": __version__,
        "case": {
            "organisation": organisation,
            "assessor": assessor,
            "purpose": purpose,
            "head": results.head,
            "events": results.events,
            "first_event_us": results.first_at,
            "last_event_us": results.last_at,
            "plans_fixed": results.plans,
        },
        "environment": results.environment,
        "plan": results.plan,
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
        "measurements": list(results.measurements.values()),
        "containment": results.probes,
        "drills": results.drills,
        "not_run": {"episodes": results.not_run},
        "unmeasurable": [
            {
                "episode": episode.key.digest,
                "answers": {q.value: reason.to_json() for q, reason in episode.unmeasurable},
            }
            for episode in results.unmeasurable_episodes()
        ],
        "shards_tried_again": dict(results.attempts),
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


def _episode(episode: Any) -> JsonObject:
    def ref(value: Any) -> Any:
        return None if value is None else value.to_json()

    return {
        "event": episode.event,
        "subject": episode.subject,
        "arm": None if episode.key.cell.arm is None else episode.key.cell.arm.value,
        "outcome": episode.outcome.to_json(),
        "log": episode.log,
        "log_sha256": episode.log_sha256,
        "sample": episode.sample,
        "observation": ref(episode.observation),
        "completion": ref(episode.completion),
    }
