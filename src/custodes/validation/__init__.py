"""Validation of monitors: what their scores on labelled runs are worth."""

from ._document import (
    SCHEMA,
    AttackFigures,
    Bin,
    FitFigures,
    GroupFigures,
    Latency,
    MonitorFigures,
    OperatingFigures,
    RaceFigures,
    Rate,
    Recall,
    UnitFigures,
    Validation,
    Warned,
)
from ._labels import BadLabels, Labels, read_labels
from ._monitored import DEFAULT_FPRS, DEFAULT_SHARE, Plan
from ._scores import BadScores, ScoreTable, read_scores
from ._thresholds import (
    BadValidationThreshold,
    ValidationCrossing,
    ValidationThreshold,
    parse_validation_threshold,
    validation_crossings,
)
from ._validate import ValidationSettings, validate_runs, validate_scores

__all__ = [
    "DEFAULT_FPRS",
    "DEFAULT_SHARE",
    "SCHEMA",
    "AttackFigures",
    "BadLabels",
    "BadScores",
    "BadValidationThreshold",
    "Bin",
    "FitFigures",
    "GroupFigures",
    "Labels",
    "Latency",
    "MonitorFigures",
    "OperatingFigures",
    "Plan",
    "RaceFigures",
    "Rate",
    "Recall",
    "ScoreTable",
    "UnitFigures",
    "Validation",
    "ValidationCrossing",
    "ValidationSettings",
    "ValidationThreshold",
    "Warned",
    "parse_validation_threshold",
    "read_labels",
    "read_scores",
    "validate_runs",
    "validate_scores",
    "validation_crossings",
]
