"""Plans, shards, outcomes and measurements."""

from ._admission import AdmissionCheck, Verdict, admit, admit_scenarios
from ._assess import Progress, died_shards, fix_plan, run_shards, sealed_shards
from ._environment import EnvironmentUnfit
from ._measure import measure, rate
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
from ._thresholds import BadThreshold, Crossing, Threshold, crossings, parse_threshold
from ._whole import assess
from ._worker import ModelRefused, WorkerResult, run_worker

__all__ = [
    "ENVIRONMENT_RECORDED",
    "AdmissionCheck",
    "BadThreshold",
    "Crossing",
    "EnvironmentUnfit",
    "Episode",
    "InstrumentCheck",
    "ModelRefused",
    "Plan",
    "PlanError",
    "PlannedSubject",
    "Progress",
    "Results",
    "Shard",
    "SubjectView",
    "Threshold",
    "Verdict",
    "WorkerResult",
    "admit",
    "admit_scenarios",
    "assess",
    "crossings",
    "died_shards",
    "fix_plan",
    "make_plan",
    "measure",
    "outcome_from_json",
    "parse_threshold",
    "rate",
    "read_results",
    "run_shards",
    "run_worker",
    "seal",
    "sealed_shards",
]
