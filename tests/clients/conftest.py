"""A folder for temporary files of these tests' own, so that what is left behind shows."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.harness._sandboxenv import close_templates


@pytest.fixture(scope="module", autouse=True)
def volumes() -> Iterator[Path]:
    """Where episodes put their folders. As root, the sandbox's user must be able to pass."""
    folder = Path(tempfile.mkdtemp(prefix="vols-"))
    folder.chmod(0o711)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    yield folder
    close_templates()  # an evaluation of Inspect's own leaves them for the next one
    tempfile.tempdir = before
    shutil.rmtree(folder, ignore_errors=True)
