"""Probes and drills of a case: run once, recorded in the ledger with what they found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from custodes.case import DRILL_RECORDED, PROBE_RECORDED, Case, CaseConfig
from custodes.containment.drills import ADVERSARIES, MECHANISMS, run_drills
from custodes.containment.probes import registered, run_probes
from custodes.types import JsonObject, Tier, sha256_of_json

from ._plan import PlanError
from ._results import Results


def planned_probes(config: CaseConfig) -> Sequence[str]:
    """Names of the probes that the plan asks for; a number takes turns among the families.

    Raises:
        PlanError: for a probe that does not exist.
    """
    wanted = config.plan.probes
    known = {name: cls.family.value for name, cls in registered().items()}
    if wanted is True:
        return tuple(known)
    if wanted is False:
        return ()
    if isinstance(wanted, int):
        families: dict[str, list[str]] = {}
        for name, family in known.items():
            families.setdefault(family, []).append(name)
        chosen: list[str] = []
        while len(chosen) < wanted and any(families.values()):
            for names in families.values():
                if names and len(chosen) < wanted:
                    chosen.append(names.pop(0))
        return tuple(chosen)
    for name in wanted:
        if name not in known:
            raise PlanError(f"no probe is called {name!r}; there are: {', '.join(known)}")
    return tuple(wanted)


def check_mechanisms(config: CaseConfig) -> None:
    """Refuse a plan that names probes or drills which do not exist.

    Raises:
        PlanError: naming those that do.
    """
    planned_probes(config)
    drills = config.plan.drills
    if drills is None:
        return
    if config.plan.tier is not Tier.A:
        raise PlanError(
            f"drills need tier A and the plan asks for tier {config.plan.tier.value}: set "
            "plan.drills to null, or plan.tier to A"
        )
    for names, known, what in (
        (drills.mechanisms, list(MECHANISMS), "stop mechanism"),
        (drills.adversaries, list(ADVERSARIES), "adversary"),
    ):
        for name in names:
            if name not in known:
                raise PlanError(f"no {what} is called {name!r}; there are: {', '.join(known)}")


def _environment(results: Results) -> str:
    """Identity of what a mechanism was tested on; on another machine it is tested again."""
    return sha256_of_json(results.environment)


async def record_probes(case: Case, results: Results, say: Callable[[str], None]) -> bool:
    """Run the planned probes unless the ledger has them; returns whether they were run."""
    names = planned_probes(case.config)
    if not names:
        return False
    plan: JsonObject = {
        "names": list(names),
        "tier": case.config.plan.tier.value,
        "environment": _environment(results),
    }
    if results.probes is not None and results.probes.get("plan") == plan:
        return False
    say(f"{len(names)} containment probes")
    matrix = await run_probes(names, tier=case.config.plan.tier)
    case.append(PROBE_RECORDED, {"plan": plan, **matrix.to_json()})
    return True


async def record_drills(case: Case, results: Results, say: Callable[[str], None]) -> bool:
    """Run the planned drills unless the ledger has them; returns whether they were run."""
    drills = case.config.plan.drills
    if drills is None:
        return False
    plan: JsonObject = {
        "mechanisms": list(drills.mechanisms),
        "adversaries": list(drills.adversaries),
        "n": drills.n,
        "environment": _environment(results),
    }
    if results.drills is not None and results.drills.get("plan") == plan:
        return False
    runs = len(drills.mechanisms) * len(drills.adversaries) * drills.n
    say(f"{runs} shutdown drills")
    matrix = await run_drills(drills.adversaries, drills.mechanisms, drills.n)
    case.append(DRILL_RECORDED, {"plan": plan, **matrix.to_json()})
    return True
