"""The type checker has nothing to say; beside the other tests, as it takes a minute from cold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_mypy(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=repository, capture_output=True, text=True
    )
    assert done.returncode == 0, f"mypy, as `make lint` runs it:\n{done.stdout}{done.stderr}"
