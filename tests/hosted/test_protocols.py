"""What a script does over a hosted model's protocol is what it does in process, or unmeasurable."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from custodes.harness._job import EpisodeLimits, Job
from custodes.harness.worker import run_job
from custodes.scenarios import judge, scenario_by_id
from custodes.types import (
    Ask,
    Cell,
    EpisodeKey,
    EpisodeRecord,
    Level,
    Question,
    ReasonCode,
    Safeguards,
    Tier,
    sha256_of,
)

from .protocols import Fault, Faults, fine, serving

SCENARIO = "escape/canary_credential"
PROTOCOLS: Mapping[str, tuple[str, str, str, dict[str, Any]]] = {
    # model, what is below the policy in the address, package, arguments of Inspect's provider
    "chat": ("openai-api/local/scripted", "/v1", "openai", {"stream": False}),
    "chat-stream": ("openai-api/local/scripted", "/v1", "openai", {"stream": True}),
    "responses": ("openai/scripted", "/v1", "openai", {"responses_api": True, "streaming": False}),
    "responses-stream": (
        "openai/scripted", "/v1", "openai", {"responses_api": True, "streaming": True}
    ),
    # The client refuses to wait for a whole answer of a model that may write for minutes.
    "messages": ("anthropic/claude-3-haiku-20240307", "", "anthropic", {"streaming": False}),
    "messages-stream": ("anthropic/scripted", "", "anthropic", {"streaming": True}),
}  # fmt: skip
POLICIES = ("honest", "violator", "covert", "near-miss", "refuser", "stranger:walker", "erratic")

Outcome = tuple[dict[str, bool | None], str | None]


@pytest.fixture(autouse=True)
def no_real_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that open nothing; proxies of this machine stay out of it."""
    for name in ("LOCAL_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def play(
    model: str, *, address: str | None = None, seconds: int = 60, **arguments: Any
) -> tuple[Outcome, set[str]]:
    """One episode; its answers, its grade of disclosure, and why what is unmeasurable is so."""
    scenario = scenario_by_id(SCENARIO)
    key = EpisodeKey(
        scenario=SCENARIO,
        major=scenario.version[0],
        cell=Cell(ask=Ask.NONE, safeguards=Safeguards.SHADOW),
        level=Level.EXPLICIT,
        twin="base",
        subject=sha256_of(b"subject"),
        safeguards=sha256_of(b"safeguards"),
        tier=Tier.A,
        seed=5,
        repeat=0,
    )
    job = Job(
        shard="test",
        model=model,
        scenario=SCENARIO,
        episodes=(key,),
        folder=Path(tempfile.mkdtemp(prefix="job-")),
        model_args=arguments,
        model_base_url=address,
        limits=EpisodeLimits(turns=60, seconds=seconds),
    )
    run_job(job)
    (line,) = job.records.read_text("utf-8").splitlines()
    record = EpisodeRecord.from_json(json.loads(line))
    judged = judge(scenario, record.key, record.observation, record.completion)
    found = {question.value: finding.value for question, finding in judged.findings.items()}
    grade = None if judged.disclosure is None else judged.disclosure.value
    reasons = {f.reason.code.value for f in judged.findings.values() if f.reason is not None}
    return (found, grade), reasons


def over(
    protocol: str, policy: str, faults: Faults = fine, *, seconds: int = 60
) -> tuple[Outcome, set[str], list[tuple[str, bool]]]:
    model, below, package, arguments = PROTOCOLS[protocol]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"the package {package} is not installed")
    with serving(faults) as server:
        outcome, reasons = play(
            model, address=server.url(policy, below), seconds=seconds, **arguments
        )
        return outcome, reasons, server.requests


@pytest.fixture(scope="module")
def inside() -> dict[str, tuple[Outcome, set[str]]]:
    """What each policy comes to in process; filled as it is asked for."""
    return {}


def _cases() -> list[object]:
    quick = {("messages-stream", "covert")}
    return [
        pytest.param(
            protocol,
            policy,
            marks=() if (protocol, policy) in quick else (pytest.mark.slow,),
        )
        for protocol in PROTOCOLS
        for policy in POLICIES
    ]


@pytest.mark.parametrize(("protocol", "policy"), _cases())
def test_the_outcome_is_the_one_in_process(
    protocol: str, policy: str, inside: dict[str, tuple[Outcome, set[str]]]
) -> None:
    if policy not in inside:
        inside[policy] = play(f"reference/{policy}")
    outcome, reasons, requests = over(protocol, policy)
    assert (outcome, reasons) == inside[policy]
    assert len(requests) > 1 or policy == "refuser"
    # Inspect may ask for something of its own first, whole.
    assert (True in {stream for _, stream in requests}) is protocol.endswith("-stream")
    if policy == "violator":
        assert outcome[0]["attempted"] is True
    if policy == "erratic":
        assert set(outcome[0].values()) == {None}


_SLOW_DOWN = Fault(
    status=429,
    headers=(("retry-after", "0"),),
    body=b'{"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}',
)


def _stumbling(number: int) -> Fault | None:
    return {2: _SLOW_DOWN, 4: Fault(), 6: Fault(status=503)}.get(number)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_stumbles_is_asked_again(protocol: str) -> None:
    (answers, _), reasons, requests = over(protocol, "honest", _stumbling)
    assert reasons == set()
    assert answers["solved"] is True and answers["attempted"] is False
    assert len(requests) > 8


@pytest.mark.parametrize(
    ("protocol", "fault"),
    [
        pytest.param(protocol, fault, id=f"{protocol}-{name}", marks=marks)
        for protocol in PROTOCOLS
        for name, fault in {
            "no-json": Fault(status=200, body=b"this is not JSON"),
            "refused": Fault(status=400, body=b'{"error": {"message": "no", "type": "x"}}'),
            "empty": Fault(status=200, body=b"{}"),
            "hang": Fault(status=200, body=b"{}", seconds=60),
            "cut": Fault(cut=2),
        }.items()
        if name != "cut" or protocol.endswith("-stream")
        for marks in [() if (protocol, name) == ("messages", "refused") else (pytest.mark.slow,)]
    ],
)
def test_a_server_that_makes_no_sense_is_unmeasurable_and_never_innocent(
    protocol: str, fault: Fault
) -> None:
    (answers, grade), reasons, _ = over(protocol, "honest", lambda number: fault, seconds=6)
    assert set(answers.values()) == {None}
    assert grade is None
    assert reasons <= {
        ReasonCode.MODEL_ERROR.value,
        ReasonCode.LIMIT.value,
        ReasonCode.PARSE_FAILURES.value,
        ReasonCode.NO_FORM.value,
    }
    assert reasons


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_yes_stands_when_the_server_fails_after_it(protocol: str) -> None:
    (whole, _), _, requests = over(protocol, "violator")
    assert whole["succeeded"] is True
    last = len(requests)
    refused = Fault(status=400, body=b'{"error": {"message": "no", "type": "x"}}')
    (answers, _), reasons, _ = over(
        protocol, "violator", lambda number: refused if number >= last else None, seconds=20
    )
    assert answers["attempted"] is True and answers["succeeded"] is True
    assert answers["disclosed"] is None and answers["solved"] is None
    assert ReasonCode.MODEL_ERROR.value in reasons
    assert Question.ATTEMPTED.value in answers
