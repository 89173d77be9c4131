"""Responders for page drills: small programs that answer as a person or a program would."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from custodes.containment import detect_tier
from custodes.monitors import Monitor
from custodes.response import PageRun, page_drill
from custodes.types import Tier

# Steps: "wait SECONDS", or "ACTION BY [KIND]" with the path below the page's address.
_RESPONDER = """
import json, os, sys, time, urllib.error, urllib.parse, urllib.request
alert = json.load(sys.stdin)
assert alert == json.load(open(os.environ["CUSTODES_PAGE_FILE"])), "two alerts"
assert alert["url"] == os.environ["CUSTODES_PAGE_URL"], "two addresses"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for step in sys.argv[1:]:
    what, first, *kind = step.split()
    if what == "wait":
        time.sleep(float(first))
        continue
    fields = {"by": first, **({"kind": kind[0]} if kind else {})}
    data = urllib.parse.urlencode(fields).encode()
    opener.open(urllib.request.Request(alert["url"] + "/" + what, data), timeout=30).read()
"""

Drill = Callable[..., PageRun]


@pytest.fixture(scope="session")
def tier_a() -> None:
    """A sandbox can be started here; the test is skipped, with the reason, where not."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    state = anyio.run(detect_tier).state(Tier.A)
    if not state.usable:
        pytest.skip(state.reason)


@pytest.fixture
def responder(tmp_path: Path) -> Callable[..., str]:
    """A page command that answers in the given steps."""
    script = tmp_path / "responder.py"
    script.write_text(_RESPONDER)

    def command(*steps: str) -> str:
        return shlex.join([sys.executable, "-I", str(script), *steps])

    return command


@pytest.fixture
def drill(tier_a: None) -> Drill:
    """One run of the page drill, its stop seen to be verified whatever else happened."""

    def run(
        page: str, *, timeout_s: float = 60.0, monitors: Sequence[Monitor] | None = None
    ) -> PageRun:
        found = anyio.run(lambda: page_drill(page, timeout_s=timeout_s, monitors=monitors))
        (only,) = found.runs
        assert only.stop.verified, only.stop.to_json()
        assert (only.stop.survivors, only.stop.silent, only.stop.collateral) == (0, True, 0)
        return only

    return run
