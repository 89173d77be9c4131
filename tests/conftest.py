"""What every test may ask for: sizes of property tests, recorded data, a browser."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling, Scheduling  # type: ignore[import-untyped]

REPOSITORY = Path(__file__).resolve().parent.parent

# A shell starts what it runs in the background with SIGINT ignored, and every program that a test
# interrupts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the time of one example on a busy machine says nothing about the code.
settings.register_profile(
    "quick",
    max_examples=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("quick")

# A worker takes a file at a time, so that what a file plays once is played once. The tests of
# these files are taken one at a time: each plays something of its own that lasts.
ONE_BY_ONE = ("tests/test_types_check.py", "tests/scenarios/test_admitted.py")
# What lasts longest starts first, so that the workers end together.
FIRST = (
    *ONE_BY_ONE,
    "tests/harness/",
    "tests/scenarios/",
    "tests/runs/",
    "tests/cli/",
    "tests/containment/",
    "tests/hosted/",
    "tests/reports/",
)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # a class of a package without types
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in ONE_BY_ONE else file

    def remove_node(self, node: Any) -> str | None:
        """Gives what a worker that died had left to the others, without the test it died of."""
        left = {
            name: unit
            for name, unit in self.assigned_work.pop(node).items()
            if not all(unit.values())
        }
        if not left:
            return None
        first, unit = next(iter(left.items()))
        fatal: str = next(test for test, done in unit.items() if not done)
        unit[fatal] = True
        if all(unit.values()):
            del left[first]
        self.workqueue.update(left)
        for other in self.assigned_work:
            self._reschedule(other)
        return fatal


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Iterator[None]:
    """Has every test begin with the usual handlers: commands run in this process set their own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return (yield)
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """The scheduler of ``--dist loadfile``; every other way is left as it is."""
    return _ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts what lasts longest first and keeps the order of the rest."""
    order = {prefix: place for place, prefix in enumerate(FIRST)}

    def place(item: pytest.Item) -> int:
        return min(
            (at for prefix, at in order.items() if item.nodeid.startswith(prefix)), default=99
        )

    items.sort(key=place)


def pytest_collection() -> None:
    """Collecting makes a million objects that stay: looking through them for garbage is waste."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


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
