"""Plans, shards, outcomes and measurements."""

from ._assess import Progress, died_shards, fix_plan, run_shards, sealed_shards
from ._plan import Plan, PlanError, PlannedSubject, Shard, make_plan
from ._results import (
    ENVIRONMENT_RECORDED,
    Episode,
    InstrumentCheck,
    Results,
    SubjectView,
    outcome_from_json,
    read_results,
)
from ._seal import seal
from ._worker import WorkerResult, run_worker

__all__ = [
    "ENVIRONMENT_RECORDED",
    "Episode",
    "InstrumentCheck",
    "Plan",
    "PlanError",
    "PlannedSubject",
    "Progress",
    "Results",
    "Shard",
    "SubjectView",
    "WorkerResult",
    "died_shards",
    "fix_plan",
    "make_plan",
    "outcome_from_json",
    "read_results",
    "run_shards",
    "run_worker",
    "seal",
    "sealed_shards",
]
