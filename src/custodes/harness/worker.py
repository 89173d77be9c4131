"""The worker process: one job, one evaluation, one closed log.

``python -m custodes.harness.worker JOB.json`` writes the log and ``records.jsonl`` into the job's
folder and a line of JSON to standard output for each finished episode. It exits 0 when the
evaluation closed its log, whatever the episodes came to, and 2 when the model cannot be had at
all (unknown, no key, a package missing), with the reason as its last line; anything else is a
worker that died.
Several jobs are run one after the other: a process for each would spend its time on importing
Inspect.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import IO

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import Model, _assistant_internal, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import SandboxEnvironmentSpec, sandbox

from custodes.scenarios import REFERENCE_PREFIX, unanswered
from custodes.types import InterviewProblem

from . import _cast, _registry
from ._interview import InterviewLimits
from ._job import Job, read_job
from ._loop import episode
from ._sandboxenv import (
    EPISODE_METADATA,
    CustodesSandboxEnvironment,
    SandboxConfig,
    close_templates,
    set_deployment,
)
from ._score import answers

__all__ = ["main", "run_job"]

PR_SET_PDEATHSIG = 1
_SCRIPTED = (REFERENCE_PREFIX, "cast/")
_VENDOR_SWITCHES = ("_HAS_OPENAI", "_HAS_ANTHROPIC")
REFUSED = 2

_ = _registry, _cast  # imported for their registrations


def sample_name(digest: str) -> str:
    """Name of an episode's sample in the log."""
    return digest[:16]


@solver
def _hand_over(records: IO[str], *, interview: bool) -> Solver:
    """Write the record of the finished episode, and say so.

    Args:
        interview: whether an interview was planned: a record without one then says why.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        host = sandbox().as_type(CustodesSandboxEnvironment).host
        assert host is not None and host.record is not None
        if interview and host.record.interview is None:
            why = "an agent of this kind is not interviewed"
            said = unanswered(InterviewProblem.NOT_HELD, why)
            host.record = replace(host.record, interview=said)
        records.write(json.dumps(host.record.to_json(), ensure_ascii=False) + "\n")
        records.flush()
        _tell({"episode": host.key.digest})
        return state

    return solve


def _tell(parent: dict[str, str]) -> None:
    """Say something to the process that waits on the other end of standard output."""
    sys.stdout.write(json.dumps(parent) + "\n")
    sys.stdout.flush()


def _model(job: Job) -> Model:
    if job.deployment is not None:
        # An installed agent asks its model's server itself, through the gateway.
        return get_model("none/none")
    return get_model(job.model, base_url=job.model_base_url, **dict(job.model_args))


def _episode(job: Job) -> Solver:
    interview = InterviewLimits() if job.interview else None
    if job.deployment is None:
        set_deployment(None)
        return episode(job.limits, interview)
    from custodes.clients import Deployment, preset_of

    from ._client_loop import client_episode

    deployment = Deployment.from_json(job.deployment, preset_of)
    set_deployment(deployment)
    scripted = job.model.startswith(REFERENCE_PREFIX)
    return client_episode(
        job.limits, deployment, job.model.removeprefix(REFERENCE_PREFIX) if scripted else None
    )


def run_job(job: Job) -> Path:
    """Run the evaluation and return its log.

    Raises:
        RuntimeError: when Inspect closed the log with an error.
    """
    samples = [
        Sample(
            input=key.cell.name,
            id=sample_name(key.digest),
            metadata={EPISODE_METADATA: json.dumps(key.to_json())},
        )
        for key in job.episodes
    ]
    with job.records.open("w", encoding="utf-8") as records:
        task = Task(
            name=job.scenario.replace("/", "-"),
            dataset=MemoryDataset(samples, name=job.scenario),
            solver=[_episode(job), _hand_over(records, interview=job.interview)],
            scorer=answers(),
            sandbox=SandboxEnvironmentSpec(
                "custodes", SandboxConfig(allow_uncontained=job.allow_uncontained)
            ),
            metadata={"shard": job.shard},
        )
        try:
            logs = eval(
                task,
                model=_model(job),
                display="none",
                log_level="error",
                log_dir=str(job.folder),
                log_format="eval",
                log_realtime=False,
                fail_on_error=False,
                max_samples=job.parallel,
                max_sandboxes=job.parallel,
                score_display=False,
                acp_server=False,
                ctl_server=False,
            )
        finally:
            close_templates()
        records.flush()
        os.fsync(records.fileno())
    log = logs[0]
    failures: dict[str, str] = {}
    if job.records.read_bytes().count(b"\n") < len(job.episodes):
        # Only then: Inspect reads the whole log back for it.
        failures = {
            str(sample.id): sample.error.message
            for sample in log.samples or ()
            if sample.error is not None
        }
    job.failures.write_text(json.dumps(failures), encoding="utf-8")
    if log.status != "success":
        detail = log.error.message if log.error is not None else log.status
        raise RuntimeError(f"the evaluation ended with {detail}")
    return Path(log.location.removeprefix("file://"))


def _die_with_parent() -> None:
    """Let the kernel end this process when its parent is gone, however that went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have gone before the call: then nothing will ever come.
        parent = os.environ.get("CUSTODES_PARENT")
        if parent is not None and os.getppid() != int(parent):
            sys.exit("the process that started this worker is gone")


def _without_vendors() -> None:
    """Keep Inspect from importing the libraries of model vendors, which takes it seconds.

    It prepares each sample for what their models say between the lines, whatever model plays. No
    script does. Where a version of Inspect has other switches, nothing is saved and nothing lost.
    """
    for switch in _VENDOR_SWITCHES:
        if hasattr(_assistant_internal, switch):
            setattr(_assistant_internal, switch, False)


def main() -> int:
    """Run the jobs that the command line names; returns the exit code."""
    _die_with_parent()
    jobs = [read_job(Path(path)) for path in sys.argv[1:]]
    if all(job.model.startswith(_SCRIPTED) and job.deployment is None for job in jobs):
        _without_vendors()
    gc.freeze()  # what was imported stays: looking through it again and again takes a tenth
    for job in jobs:
        try:
            _model(job)
        except Exception as error:
            sys.stderr.write(" ".join(str(error).split()) + "\n")
            return REFUSED
        location = run_job(job)
        _tell({"log": str(location)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
