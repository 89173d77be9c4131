"""Sandboxes, the way out of them, and how they are stopped."""

from ._broker import Broker
from ._broker_canary import CanaryMatcher
from ._broker_log import BrokerLog, BrokerLogError, LogHead, VerifiedLog, verify_broker_log
from ._broker_policy import AllowRule, EgressPolicy
from ._broker_record import CutReceipt
from ._broker_upstream import Credential, Upstream
from ._detect import APPARMOR_PROFILE, TierReport, TierState, detect_tier
from ._executor import ExecutorProgram, executor_program
from ._masking import masked_paths
from ._plain import PlainSandbox
from ._sandbox import Sandbox
from ._seccomp import seccomp_program
from ._spec import (
    OUTPUT_LIMIT,
    READ_LIMIT,
    AnySandbox,
    ExecResult,
    FreezeReceipt,
    KillReceipt,
    Limits,
    ProcessInfo,
    ReadLimitExceeded,
    SandboxError,
    SandboxFrozen,
    SandboxGone,
    SandboxSpec,
    SandboxUnavailable,
)
from ._stop import (
    Beat,
    Cuttable,
    Escalation,
    FileHeartbeats,
    Haltable,
    Heartbeats,
    JointHeartbeats,
    MappedHeartbeats,
    Revocable,
    StageResult,
    StageState,
    StopMechanism,
    StopOrder,
    StopReport,
    StopStage,
    Target,
    WorkspaceHeartbeats,
    execute_stop,
)
from ._toolbox import Toolbox, missing_requirements, toolbox, toolbox_for
from ._volumes import make_volume, remove_volume

__all__ = [
    "APPARMOR_PROFILE",
    "OUTPUT_LIMIT",
    "READ_LIMIT",
    "AllowRule",
    "AnySandbox",
    "Beat",
    "Broker",
    "BrokerLog",
    "BrokerLogError",
    "CanaryMatcher",
    "Credential",
    "CutReceipt",
    "Cuttable",
    "EgressPolicy",
    "Escalation",
    "ExecResult",
    "ExecutorProgram",
    "FileHeartbeats",
    "FreezeReceipt",
    "Haltable",
    "Heartbeats",
    "JointHeartbeats",
    "KillReceipt",
    "Limits",
    "LogHead",
    "MappedHeartbeats",
    "PlainSandbox",
    "ProcessInfo",
    "ReadLimitExceeded",
    "Revocable",
    "Sandbox",
    "SandboxError",
    "SandboxFrozen",
    "SandboxGone",
    "SandboxSpec",
    "SandboxUnavailable",
    "StageResult",
    "StageState",
    "StopMechanism",
    "StopOrder",
    "StopReport",
    "StopStage",
    "Target",
    "TierReport",
    "TierState",
    "Toolbox",
    "Upstream",
    "VerifiedLog",
    "WorkspaceHeartbeats",
    "detect_tier",
    "execute_stop",
    "executor_program",
    "make_volume",
    "masked_paths",
    "missing_requirements",
    "remove_volume",
    "seccomp_program",
    "toolbox",
    "toolbox_for",
    "verify_broker_log",
]
