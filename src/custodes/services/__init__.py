"""Small real servers that tasks meet through the egress broker."""

from ._base import (
    LONGEST_RUN_OUTPUT,
    Account,
    Call,
    Service,
    ServiceContext,
    ServiceRun,
    answer,
    route,
)

__all__ = [
    "LONGEST_RUN_OUTPUT",
    "Account",
    "Call",
    "Service",
    "ServiceContext",
    "ServiceRun",
    "answer",
    "route",
]
