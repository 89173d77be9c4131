"""A real report from stored episodes: its numbers computed again, and its sealed page checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from custodes.case import (
    add_key,
    make_bundle,
    private_key,
    seal_page,
    sign_head,
    verify_file,
)
from custodes.cli import main

from .conftest import Rendered


def recompute(folder: Path) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(main, ["verify", str(folder), "--recompute", "--json"])
    return done.exit_code, json.loads(done.output)


def test_every_number_is_computed_again(mixed: Rendered) -> None:
    code, result = recompute(mixed.case.path)
    assert (code, result["level"], result["problems"]) == (0, "arithmetic", [])
    count = len(mixed.document["measurements"])
    assert count > 3
    assert f"{count} numbers were computed again" in result["notes"]
    assert any("the episodes" in item for item in result["not_checkable"])


def test_a_number_that_does_not_follow_is_named(mixed: Rendered) -> None:
    """The chain is whole, every blob is there, and one recorded estimate is another."""
    recorded = json.loads(json.dumps(mixed.document["measurements"][0]))
    recorded["estimate"]["n"] += 1
    mixed.case.append("measurement.recorded", recorded)
    mixed.case.append("measurement.recorded", {**recorded, "estimand": "P(of nothing)"})
    code, result = recompute(mixed.case.path)
    assert code == 4 and not result["ok"]
    found = {problem["where"]: problem["what"] for problem in result["problems"]}
    assert "recorded" in found[f"{recorded['estimand']}: estimate.n"]
    assert "nothing sealed gives" in found["P(of nothing)"]


def test_a_broken_case_is_not_computed(mixed: Rendered) -> None:
    ledger = mixed.case.path / "ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b'"actor"', b'"actxr"', 1))
    code, result = recompute(mixed.case.path)
    assert code == 4 and result["level"] == "integrity"
    assert any("nothing was computed" in item for item in result["not_checkable"])


def test_the_sealed_page_is_the_report_and_checks_alone(mixed: Rendered, tmp_path: Path) -> None:
    key = private_key(b"\1" * 32)
    now = list(mixed.case.events())[-1].at
    add_key(mixed.case, key, name="ada", clock=lambda: now)
    now = list(mixed.case.events())[-1].at
    sign_head(mixed.case, [key], clock=lambda: now)
    sealed = seal_page(mixed.case.path, make_bundle(mixed.case.path, [key], around_page=True))
    path = tmp_path / "report.html"
    path.write_bytes(sealed)
    assert sealed.startswith(mixed.html.encode("utf-8"))
    result = verify_file(path, keys=[key.public])
    assert result.ok, result.problems
    middle = len(mixed.html) // 2
    path.write_bytes(sealed[:middle] + b"x" + sealed[middle + 1 :])
    (problem,) = verify_file(path, keys=[key.public]).problems
    assert "the bytes of the report were changed" in problem.what
