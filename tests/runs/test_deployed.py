"""What was found about the organisation's own mechanisms goes into the ledger, named."""

from __future__ import annotations

from pathlib import Path

import pytest

from custodes.case import Case, CaseError, CaseLocked, quickstart_config, verify
from custodes.runs import open_for_recording, read_results, record_deployed
from custodes.types import JsonObject

PROBES: JsonObject = {
    "schema": "custodes.probes/1",
    "tier": "command",
    "command": "box {probe}",
    "probes": [],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "case"
    Case.create(path, quickstart_config()).close()
    return path


def test_it_is_recorded_and_read_back_and_the_case_stays_intact(folder: Path) -> None:
    record_deployed(folder, "probes", PROBES)
    record_deployed(folder, "drills", {"launch": "a", "stop": "b", "cells": []})
    record_deployed(folder, "pages", {"page": "c", "runs": []})
    with Case.open(folder, write=False) as case:
        found = read_results(case)
    assert found.probes is None and found.drills is None
    assert [document["command"] for document in found.deployed_probes] == ["box {probe}"]
    assert [(d["launch"], d["stop"]) for d in found.deployed_drills] == [("a", "b")]
    assert [document["page"] for document in found.pages] == ["c"]
    assert verify(folder).ok


def test_a_document_that_does_not_say_what_it_is_about_is_refused(folder: Path) -> None:
    # Else it would stand in the report as a finding about Custodes' own sandbox.
    with pytest.raises(ValueError, match="command"):
        record_deployed(folder, "probes", {"tier": "command", "probes": []})
    with pytest.raises(ValueError, match="stop"):
        record_deployed(folder, "drills", {"launch": "a", "cells": []})
    with Case.open(folder, write=False) as case:
        assert read_results(case).probes is None


def test_a_case_that_cannot_be_written_is_refused_beforehand(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CaseError):
        open_for_recording(tmp_path)
    with Case.open(folder, write=True), pytest.raises(CaseLocked):
        open_for_recording(folder)
    open_for_recording(folder)
