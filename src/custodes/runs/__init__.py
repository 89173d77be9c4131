"""Plans, shards, outcomes and measurements."""

from ._assess import Progress, died_shards, fix_plan, run_shards, sealed_shards
from ._plan import Plan, PlanError, PlannedSubject, Shard, make_plan
from ._seal import seal
from ._worker import WorkerResult, run_worker

__all__ = [
    "Plan",
    "PlanError",
    "PlannedSubject",
    "Progress",
    "Shard",
    "WorkerResult",
    "died_shards",
    "fix_plan",
    "make_plan",
    "run_shards",
    "run_worker",
    "seal",
    "sealed_shards",
]
