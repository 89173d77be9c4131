"""Estimates with intervals that cover, or with the reason why there is none.

Pure functions on plain numbers. scipy and numpy are loaded when a function needs them, not when
this package is imported.
"""

from ._agreement import (
    Agreement,
    ClassAgreement,
    GraderConfusion,
    Scale,
    grader_confusion,
    krippendorff_alpha,
)
from ._audit import Audit, audit
from ._bootstrap import Bootstrap, bootstrap_statistic, cluster_weights, clustered_bootstrap
from ._chain import ANSWERS, LINKS, Chain, Link, chain
from ._clustered import CLUSTERED_REGIONS, Region, clustered_proportion
from ._duplicates import Signature, distinct, groups, minhash, near_duplicates, similarity
from ._equivalence import Equivalence, equivalence
from ._factors import FactorMethod, FactorModel, LevelEffect, Term, factors
from ._flag_rates import TranscriptFlag, flag_rate, per_transcript_rate, transcript_flags
from ._forecasts import Assessors, ForecastScore, assessors, brier, log_score
from ._horizon import fit_horizons, horizons, sensitivity
from ._horizon_curve import LengthBin, SuccessCurve, observed_success, success_curve
from ._horizon_results import AgentHorizon, Horizon, HorizonFit, Replicates, SensitivityRow
from ._horizon_runs import HorizonRuns, RunError, TaskRun
from ._incidence import CauseIncidence, CumulativeIncidence, cumulative_incidence
from ._logrank import LogRank, log_rank, log_rank_groups
from ._operating import Confusion, OperatingPoint, confusion, operating_point
from ._paired import PairedDifference, holm, paired_difference
from ._paired_change import PairedChange, paired_change
from ._partial_roc import PartialAuroc, partial_auroc
from ._proportion import (
    INSTRUMENT_CHECK,
    Method,
    MissingBounds,
    Sided,
    clusters_needed,
    deterministic,
    many_episodes,
    minimum_detectable,
    proportion,
    with_missing,
)
from ._race import Race, Share, race
from ._roc import Auroc, RocCurve, auroc, roc_curve
from ._safeguard_effect import SafeguardEffect, safeguard_effect
from ._shortcuts import Shortcut, ShortcutCheck, shortcut_check
from ._threshold import Cut, FixedThreshold, Threshold, calibrate, draw_for, fixed_threshold
from ._time import KaplanMeier, kaplan_meier, median_interval
from ._trend import DoublingTime, Release, Trend, TrendAgent, trend

__all__ = [
    "ANSWERS",
    "CLUSTERED_REGIONS",
    "INSTRUMENT_CHECK",
    "LINKS",
    "AgentHorizon",
    "Agreement",
    "Assessors",
    "Audit",
    "Auroc",
    "Bootstrap",
    "CauseIncidence",
    "Chain",
    "ClassAgreement",
    "Confusion",
    "CumulativeIncidence",
    "Cut",
    "DoublingTime",
    "Equivalence",
    "FactorMethod",
    "FactorModel",
    "FixedThreshold",
    "ForecastScore",
    "GraderConfusion",
    "Horizon",
    "HorizonFit",
    "HorizonRuns",
    "KaplanMeier",
    "LengthBin",
    "LevelEffect",
    "Link",
    "LogRank",
    "Method",
    "MissingBounds",
    "OperatingPoint",
    "PairedChange",
    "PairedDifference",
    "PartialAuroc",
    "Race",
    "Region",
    "Release",
    "Replicates",
    "RocCurve",
    "RunError",
    "SafeguardEffect",
    "Scale",
    "SensitivityRow",
    "Share",
    "Shortcut",
    "ShortcutCheck",
    "Sided",
    "Signature",
    "SuccessCurve",
    "TaskRun",
    "Term",
    "Threshold",
    "TranscriptFlag",
    "Trend",
    "TrendAgent",
    "assessors",
    "audit",
    "auroc",
    "bootstrap_statistic",
    "brier",
    "calibrate",
    "chain",
    "cluster_weights",
    "clustered_bootstrap",
    "clustered_proportion",
    "clusters_needed",
    "confusion",
    "cumulative_incidence",
    "deterministic",
    "distinct",
    "draw_for",
    "equivalence",
    "factors",
    "fit_horizons",
    "fixed_threshold",
    "flag_rate",
    "grader_confusion",
    "groups",
    "holm",
    "horizons",
    "kaplan_meier",
    "krippendorff_alpha",
    "log_rank",
    "log_rank_groups",
    "log_score",
    "many_episodes",
    "median_interval",
    "minhash",
    "minimum_detectable",
    "near_duplicates",
    "observed_success",
    "operating_point",
    "paired_change",
    "paired_difference",
    "partial_auroc",
    "per_transcript_rate",
    "proportion",
    "race",
    "roc_curve",
    "safeguard_effect",
    "sensitivity",
    "shortcut_check",
    "similarity",
    "success_curve",
    "transcript_flags",
    "trend",
    "with_missing",
]
