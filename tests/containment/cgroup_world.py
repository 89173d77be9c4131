"""A control group of a test's own, handed over as a user would, where this machine allows it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from custodes.containment import _cgroup


def hierarchy() -> Path | None:
    """Where a version 2 hierarchy is mounted in which this process may make groups."""
    for mount, _ in _cgroup._mounts():
        if os.access(mount, os.W_OK) and os.access(mount / "cgroup.procs", os.W_OK):
            return mount
    return None


@contextmanager
def delegated_group() -> Iterator[Path]:
    """An empty group below the hierarchy, named in ``CUSTODES_CGROUP`` while it is held.

    Skips where there is no hierarchy that may be written. Everything in it is killed at the end.
    """
    mount = hierarchy()
    if mount is None:
        pytest.skip("no version 2 control group hierarchy that this user may write")
    folder = mount / f"delegated-{os.getpid()}"
    folder.mkdir()
    before = os.environ.get(_cgroup.ENVIRONMENT)
    os.environ[_cgroup.ENVIRONMENT] = str(folder)
    try:
        yield folder
    finally:
        if before is None:
            del os.environ[_cgroup.ENVIRONMENT]
        else:
            os.environ[_cgroup.ENVIRONMENT] = before
        _remove(folder)


def _remove(folder: Path) -> None:
    (folder / "cgroup.kill").write_text("1\n", "ascii")
    end = time.monotonic() + 10
    while True:
        try:
            for child in sorted(folder.rglob("*"), reverse=True):
                if child.is_dir():
                    child.rmdir()
            folder.rmdir()
            return
        except OSError:  # the killed are still leaving
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
