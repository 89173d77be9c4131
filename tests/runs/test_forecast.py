"""What a plan comes to is counted from the plan, and a remote model is never called local."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from custodes.case import CaseConfig, quickstart_config
from custodes.cli import main
from custodes.runs import Tried, forecast, make_plan


def with_model(**changes: Any) -> CaseConfig:
    """The quickstart's plan with a model in the place of its subject."""
    document = quickstart_config().model_dump(mode="json", by_alias=True, exclude_none=True)
    document["plan"]["subjects"][0] = {
        "id": "model",
        "role": "subject",
        "model": "openai/some-model",
        **changes,
    }
    return CaseConfig.model_validate(document)


def test_scripted_agents_cost_no_tokens_and_leave_nothing() -> None:
    config = quickstart_config()
    plan = make_plan(config)
    found = forecast(config, plan, {})
    assert found.episodes == plan.episodes == 54
    assert sum(found.scenarios.values()) == sum(found.cells.values()) == 54
    for subject in found.subjects:
        assert subject.reference and subject.tokens == 0 and subject.leaves == ""
        assert 0 < subject.calls <= subject.most_calls


def test_tokens_grow_with_the_square_of_the_calls_and_are_capped_by_the_limit() -> None:
    config = with_model()
    (model, *_) = forecast(config, make_plan(config), {}).subjects
    # 20 turns that each write 250 tokens and return 600, read again at every later turn.
    least = model.episodes * (190 * 850 + 20 * 250)
    assert least < model.tokens < 1.5 * least
    document = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["plan"]["limits"]["tokens"] = 1_000
    capped = CaseConfig.model_validate(document)
    (model, *_) = forecast(capped, make_plan(capped), {}).subjects
    assert model.tokens == model.most_tokens == 1_000 * model.episodes


@pytest.mark.parametrize(
    ("model", "address", "leaves"),
    [
        ("openai/m", None, "the service of the provider openai"),
        ("anthropic/m", None, "the service of the provider anthropic"),
        ("openai/m", "http://127.0.0.1:8000/v1", ""),
        ("openai/m", "http://[::1]:8000/v1", ""),
        ("openai/m", "http://localhost:8000/v1", ""),
        ("openai/m", "https://models.example/v1", "models.example"),
        ("openai/m", "http://127.0.0.1.example/v1", "127.0.0.1.example"),
        ("vllm/m", None, ""),
        ("vllm/m", "http://gpu-3.example:8000", "gpu-3.example"),
        ("somebody/m", None, "the service of the provider somebody"),
    ],
)
def test_where_prompts_go(model: str, address: str | None, leaves: str) -> None:
    config = quickstart_config()
    plan = make_plan(config, model=model, base_url=address)
    (first, *_) = forecast(config, plan, {}).subjects
    assert first.leaves == leaves


def test_an_address_among_the_arguments_counts_too() -> None:
    config = with_model(model="vllm/m", model_args={"base_url": "http://gpu-4.example"})
    (first, *_) = forecast(config, make_plan(config), {}).subjects
    assert first.leaves == "gpu-4.example"


def test_what_is_on_record_is_not_run_again() -> None:
    config = quickstart_config()
    plan = make_plan(config)
    keys = plan.shards[0].keys
    tried: dict[str, Tried] = {k.digest: Tried(times=1, died=False) for k in keys[:2]}
    found = forecast(config, plan, tried)
    assert found.episodes == 52
    assert {s.id: s.on_record for s in found.subjects}[plan.shards[0].subject.id] == 2
    died: dict[str, Tried] = {k.digest: Tried(times=1, died=True) for k in keys[:2]}
    assert forecast(config, plan, died, retry_failed=True).episodes == 54


def test_the_command_says_it_and_runs_nothing(tmp_path: Path) -> None:
    case = tmp_path / "case"
    arguments = ["assess", str(case), "--quickstart", "--plan"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0
    assert "54 episodes to run" in done.output and "nothing leaves this machine" in done.output
    done = CliRunner().invoke(main, [*arguments, "--model", "openai/m", "--json"])
    document = json.loads(done.output)
    assert document["schema"] == "custodes.forecast/1"
    assert [s["leaves"] for s in document["subjects"]] == [
        "the service of the provider openai",
        None,
        None,
    ]
    assert not case.exists()
    assert CliRunner().invoke(main, ["assess", str(case), "--plan"]).exit_code != 0
