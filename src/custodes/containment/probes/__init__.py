"""Containment probes: attempts to get out, each beside the same attempt on the bare host.

To add one, write a class under ``@probe`` in the module of its family.
"""

from . import (  # noqa: F401 - each registers its probes
    _files,
    _harness,
    _identity,
    _network,
    _privilege,
    _processes,
    _resources,
    _secrets,
)
from ._model import (
    Canaries,
    Family,
    Ground,
    Place,
    Probe,
    ProbeMatrix,
    ProbeResult,
    Report,
    Sight,
    Untested,
    probe,
    registered,
)
from ._run import run_probes

__all__ = [
    "Canaries",
    "Family",
    "Ground",
    "Place",
    "Probe",
    "ProbeMatrix",
    "ProbeResult",
    "Report",
    "Sight",
    "Untested",
    "probe",
    "registered",
    "run_probes",
]
