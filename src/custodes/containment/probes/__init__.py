"""Containment probes: attempts to get out, each beside the same attempt on the bare host.

To add one, write a class under ``@probe`` in the module of its family.
"""

from . import (  # noqa: F401 - each registers its probes
    _egress,
    _files,
    _harness,
    _identity,
    _network,
    _privilege,
    _processes,
    _resources,
    _secrets,
)
from ._command import CommandPlace, run_command_probes
from ._foreign import ForeignPlace, PlaceUnusable, probe_foreign
from ._model import (
    Canaries,
    Executor,
    Family,
    Ground,
    Place,
    Probe,
    ProbeMatrix,
    ProbeResult,
    Ran,
    Report,
    Sight,
    Untested,
    probe,
    registered,
)
from ._run import run_probes

__all__ = [
    "Canaries",
    "CommandPlace",
    "Executor",
    "Family",
    "ForeignPlace",
    "Ground",
    "Place",
    "PlaceUnusable",
    "Probe",
    "ProbeMatrix",
    "ProbeResult",
    "Ran",
    "Report",
    "Sight",
    "Untested",
    "probe",
    "probe_foreign",
    "registered",
    "run_command_probes",
    "run_probes",
]
