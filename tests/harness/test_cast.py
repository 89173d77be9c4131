"""One evaluation in which every episode is played by the script of its own subject."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from inspect_ai.model import _assistant_internal

from custodes.harness._job import Job
from custodes.harness.worker import _VENDOR_SWITCHES, run_job
from custodes.types import EpisodeRecord, sha256_of

from . import toy
from .playing import LIMITS, key

POLICIES = {"five": "route:five", "desk": "route:as-desk", "erratic": "erratic"}


def test_every_record_is_of_the_script_that_its_subject_names(tmp_path: Path) -> None:
    subjects = {name: sha256_of(name.encode()) for name in (*POLICIES, "nobody")}
    keys = {name: replace(key(), subject=subject) for name, subject in subjects.items()}
    job = Job(
        shard="test",
        model="cast/policies",
        model_args={"policies": {subjects[name]: policy for name, policy in POLICIES.items()}},
        scenario=toy.Toy.id,
        episodes=tuple(keys.values()),
        folder=tmp_path,
        limits=LIMITS,
    )
    with toy.only(toy.SCENARIO):
        run_job(job)
    lines = job.records.read_text("utf-8").splitlines()
    records = {r.key: r for r in (EpisodeRecord.from_json(json.loads(line)) for line in lines)}
    assert set(records) == set(keys.values())
    five, desk, erratic, nobody = (records[one] for one in keys.values())
    assert len(five.observation.of_kind("tool.call")) == 6
    assert five.completion.form is not None
    # The same world: this script goes by what is in it, and so does as the other one does.
    assert len(desk.observation.of_kind("tool.call")) == 6
    assert erratic.completion.form is None
    # An episode for which there is no script is no agent's doing.
    ((_, ended),) = nobody.observation.of_kind("episode.ended")
    assert ended.data["by"] == "error" and "no policy was named" in str(ended.data["detail"])


def test_inspect_has_the_switches_that_keep_vendors_libraries_away() -> None:
    missing = [name for name in _VENDOR_SWITCHES if not hasattr(_assistant_internal, name)]
    assert not missing, "a worker imports them again: find the new switches or drop the old ones"


@pytest.mark.slow
def test_a_worker_of_scripts_imports_no_vendors_library() -> None:
    code = (
        "import sys\n"
        "from custodes.harness.worker import _without_vendors\n"
        "from inspect_ai.model._assistant_internal import init_sample_assistant_internal\n"
        "_without_vendors()\n"
        "init_sample_assistant_internal()\n"
        "print([name for name in ('anthropic', 'openai') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
