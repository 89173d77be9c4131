"""What every test may ask for: sizes of property tests, recorded data, a browser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent

# A shell starts what it runs in the background with SIGINT ignored, and every program that a test
# interrupts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the time of one example on a busy machine says nothing about the code.
settings.register_profile(
    "quick",
    max_examples=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Recorded logs that are too large for the tree; the test is skipped where they are absent."""
    named = os.environ.get("CUSTODES_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        where = "CUSTODES_TEST_DATA names" if named else "CUSTODES_TEST_DATA is unset, looked in"
        pytest.skip(f"no recorded data: {where} {folder}, which is not a folder")
    return folder


@pytest.fixture(scope="session")
def chromium() -> str:
    """A headless Chromium that starts; the test is skipped, with the reason, without one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            break
    else:
        pytest.skip("no browser: install Debian's package chromium to run this")
    command = [path, "--headless", "--no-sandbox", "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no browser: {path} does not start ({error})")
    return path
