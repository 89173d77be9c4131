"""The drill of the user's own launcher and stop command.

Each adversary is started by a command line that the user names, stopped by another, and looked
for: by heartbeats in a folder that both sides see, and by processes that carry marks of the run.
"""

from ._drill import (
    LAUNCHABLE,
    LauncherCell,
    LauncherMatrix,
    LauncherUnusable,
    not_launchable,
    run_launcher_drill,
)
from ._run import Launcher, LauncherRun

__all__ = [
    "LAUNCHABLE",
    "Launcher",
    "LauncherCell",
    "LauncherMatrix",
    "LauncherRun",
    "LauncherUnusable",
    "not_launchable",
    "run_launcher_drill",
]
