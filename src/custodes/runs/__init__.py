"""Plans, shards, outcomes and measurements."""

from ._admission import AdmissionCheck, Verdict, admit, admit_scenarios
from ._advice import advice
from ._assess import Progress, Tried, fix_plan, missing_shards, run_shards, tried_episodes
from ._deployed import Found, open_for_recording, record_deployed
from ._environment import EnvironmentUnfit
from ._forecast import Forecast, SubjectForecast, forecast
from ._measure import measure, rate
from ._pack_log import FREE_QUERIES
from ._pack_log import Standing as PackStanding
from ._pack_play import PackRate, PackResult, ask_pack, disclose_pack, pack_standing
from ._packs import Pack, PackError
from ._plan import LARGEST_SHARD, Plan, PlanError, PlannedSubject, Shard, make_plan
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
    "FREE_QUERIES",
    "LARGEST_SHARD",
    "AdmissionCheck",
    "BadThreshold",
    "Crossing",
    "EnvironmentUnfit",
    "Episode",
    "Forecast",
    "Found",
    "InstrumentCheck",
    "ModelRefused",
    "Pack",
    "PackError",
    "PackRate",
    "PackResult",
    "PackStanding",
    "Plan",
    "PlanError",
    "PlannedSubject",
    "Progress",
    "Results",
    "Shard",
    "SubjectForecast",
    "SubjectView",
    "Threshold",
    "Tried",
    "Verdict",
    "WorkerResult",
    "admit",
    "admit_scenarios",
    "advice",
    "ask_pack",
    "assess",
    "crossings",
    "disclose_pack",
    "fix_plan",
    "forecast",
    "make_plan",
    "measure",
    "missing_shards",
    "open_for_recording",
    "outcome_from_json",
    "pack_standing",
    "parse_threshold",
    "rate",
    "read_results",
    "record_deployed",
    "run_shards",
    "run_worker",
    "seal",
    "tried_episodes",
]
