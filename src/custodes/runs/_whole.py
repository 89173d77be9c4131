"""The whole of an assessment: environment, plan, probes, drills, episodes, measurements."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from custodes.case import Case

from ._agents import AgentUnfit, check_keys
from ._assess import Progress, fix_plan, missing_shards, run_shards, tried_episodes
from ._environment import check_environment, check_requirements
from ._measure import record_measurements
from ._mechanisms import check_mechanisms, record_drills, record_probes
from ._plan import PlanError, make_plan
from ._results import Results, read_results


async def assess(
    case: Case,
    *,
    model: str | None = None,
    base_url: str | None = None,
    agent: Mapping[str, Any] | None = None,
    allow_uncontained: bool = False,
    retry_failed: bool = False,
    say: Callable[[str], None] = lambda text: None,
    started: Callable[[int], None] = lambda episodes: None,
    progress: Progress | None = None,
) -> Results:
    """Run what is missing of the case's plan and read the case back.

    Everything that can be refused is refused before anything is run. Interrupting it loses at
    most the shards that are open; the next call runs those and nothing else.

    Args:
        agent: the installed agent that takes the place of the plan's subjects.
        started: told the number of episodes that are missing, once that is known.

    Raises:
        PlanError: the plan names what does not exist, or a key is missing.
        EnvironmentUnfit: nothing may be run here.
        CaseError: the case cannot be written.
    """
    plan = make_plan(case.config, model=model, base_url=base_url, agent=agent)
    due = missing_shards(plan, tried_episodes(case), retry_failed=retry_failed)
    try:
        check_keys(due, os.environ)
    except AgentUnfit as error:
        raise PlanError(str(error)) from None
    check_mechanisms(case.config)
    await check_environment(case, allow_uncontained=allow_uncontained, on_check=say)
    await check_requirements(plan.scenarios, case.config.plan.tier)
    fix_plan(case, plan)
    results = read_results(case)
    await record_probes(case, results, say)
    await record_drills(case, results, say)
    started(sum(len(shard.keys) for shard in due))
    await run_shards(
        case,
        plan,
        allow_uncontained=allow_uncontained,
        retry_failed=retry_failed,
        progress=progress,
    )
    record_measurements(case, read_results(case))
    return read_results(case)
