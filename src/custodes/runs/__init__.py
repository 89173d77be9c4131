"""Plans, shards, outcomes and measurements."""

from ._admission import AdmissionCheck, Verdict, admit, admit_scenarios
from ._advice import advice
from ._assess import Progress, Tried, fix_plan, missing_shards, run_shards, tried_episodes
from ._compare import (
    COMPARED,
    CaseComparison,
    ChangedPair,
    Row,
    Scope,
    compare,
)
from ._compare_pairs import Pair, Place
from ._compare_settings import Difference, NothingToCompare, Side, side_of
from ._compare_thresholds import (
    ChangeCrossing,
    ChangeThreshold,
    change_crossings,
    parse_change_threshold,
)
from ._deployed import Found, open_for_recording, record_deployed
from ._environment import EnvironmentUnfit
from ._forecast import AgentForecast, Forecast, SubjectForecast, forecast
from ._interviews import InterviewCount, InterviewedArm, interviewed_arms
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
    Interviewed,
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
    "COMPARED",
    "ENVIRONMENT_RECORDED",
    "FREE_QUERIES",
    "LARGEST_SHARD",
    "AdmissionCheck",
    "AgentForecast",
    "BadThreshold",
    "CaseComparison",
    "ChangeCrossing",
    "ChangeThreshold",
    "ChangedPair",
    "Crossing",
    "Difference",
    "EnvironmentUnfit",
    "Episode",
    "Forecast",
    "Found",
    "InstrumentCheck",
    "InterviewCount",
    "Interviewed",
    "InterviewedArm",
    "ModelRefused",
    "NothingToCompare",
    "Pack",
    "PackError",
    "PackRate",
    "PackResult",
    "PackStanding",
    "Pair",
    "Place",
    "Plan",
    "PlanError",
    "PlannedSubject",
    "Progress",
    "Results",
    "Row",
    "Scope",
    "Shard",
    "Side",
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
    "change_crossings",
    "compare",
    "crossings",
    "disclose_pack",
    "fix_plan",
    "forecast",
    "interviewed_arms",
    "make_plan",
    "measure",
    "missing_shards",
    "open_for_recording",
    "outcome_from_json",
    "pack_standing",
    "parse_change_threshold",
    "parse_threshold",
    "rate",
    "read_results",
    "record_deployed",
    "run_shards",
    "run_worker",
    "seal",
    "side_of",
    "tried_episodes",
]
