"""The whole of an assessment: environment, plan, probes, drills, episodes, measurements."""

from __future__ import annotations

from collections.abc import Callable

from custodes.case import Case

from ._assess import Progress, fix_plan, missing_shards, run_shards, tried_episodes
from ._environment import check_environment, check_requirements
from ._measure import record_measurements
from ._mechanisms import check_mechanisms, record_drills, record_probes
from ._plan import make_plan
from ._results import Results, read_results


async def assess(
    case: Case,
    *,
    model: str | None = None,
    base_url: str | None = None,
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
        started: told the number of episodes that are missing, once that is known.

    Raises:
        PlanError: the plan names what does not exist.
        EnvironmentUnfit: nothing may be run here.
        CaseError: the case cannot be written.
    """
    plan = make_plan(case.config, model=model, base_url=base_url)
    check_mechanisms(case.config)
    await check_environment(case, allow_uncontained=allow_uncontained, on_check=say)
    await check_requirements(plan.scenarios, case.config.plan.tier)
    fix_plan(case, plan)
    results = read_results(case)
    await record_probes(case, results, say)
    await record_drills(case, results, say)
    missing = missing_shards(plan, tried_episodes(case), retry_failed=retry_failed)
    started(sum(len(shard.keys) for shard in missing))
    await run_shards(
        case,
        plan,
        allow_uncontained=allow_uncontained,
        retry_failed=retry_failed,
        progress=progress,
    )
    record_measurements(case, read_results(case))
    return read_results(case)
