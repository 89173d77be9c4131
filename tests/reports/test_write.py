"""Writing: the same case gives the same bytes, and the case stays whole."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from custodes.case import Case, StorageError, verify
from custodes.reports import report_document, report_page, summary_lines
from custodes.runs import read_results

from .conftest import (
    DRILLS,
    MIXED,
    PROBES,
    Played,
    Rendered,
    make_case,
    render,
    subject,
)


def test_rendering_again_writes_the_same_bytes_and_no_event(mixed: Rendered) -> None:
    case = mixed.case
    before = sum(1 for _ in case.events())
    again = render(case)
    assert (again.html, again.document) == (mixed.html, mixed.document)
    assert mixed.written.recorded and not again.written.recorded
    assert sum(1 for _ in case.events()) == before
    assert again.document["case"]["head"] != case.head  # the rendering itself is not in it


def test_another_process_with_another_hash_seed_gives_the_same_bytes(mixed: Rendered) -> None:
    mixed.case.close()
    digest = hashlib.sha256()
    for path in (mixed.written.html_path, mixed.written.json_path):
        digest.update(path.read_bytes())
    code = (
        "import hashlib, sys; from pathlib import Path\n"
        "from custodes.case import Case, canonical_document\n"
        "from custodes.reports import report_document, report_page\n"
        "from custodes.runs import read_results\n"
        "from custodes.scenarios import all_scenarios\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from tests.reports.conftest import Box\n"
        "all_scenarios()['tests/box'] = Box()\n"
        "case = Case.open(Path(sys.argv[1]), write=False); r = read_results(case)\n"
        "data = report_page(case, r).encode() + canonical_document(report_document(case, r))\n"
        "print(hashlib.sha256(data + b'\\n').hexdigest())\n"
    )
    root = str(Path(__file__).parents[2])
    found = subprocess.run(
        [sys.executable, "-c", code, str(mixed.case.path), root],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == digest.hexdigest()


def test_a_case_that_grew_gets_a_new_report_and_keeps_the_old_one(mixed: Rendered) -> None:
    case = mixed.case
    case.append("measurement.recorded", {"estimand": "P(something else)", "estimate": {
        "value": None, "low": None, "high": None, "level": 0.95, "n": 0, "clusters": 0,
        "missing": 0, "method": "count", "note": "nothing was measured"},
        "inputs": [], "code": "x/1"})  # fmt: skip
    again = render(case)
    assert again.written.recorded and again.written.kept != mixed.written.kept
    assert (mixed.written.kept / "report.html").read_text() == mixed.html
    case.close()
    found = verify(case.path)
    assert found.ok and found.notes == (), (found.problems, found.notes)


def test_the_copies_beside_the_ledger_are_the_recorded_report(mixed: Rendered) -> None:
    case = mixed.case
    case.close()
    for name in ("report.html", "report.json"):
        assert (case.path / name).read_bytes() == (mixed.written.kept / name).read_bytes()
    assert verify(case.path).ok and verify(case.path).notes == ()
    mixed.written.html_path.write_text(mixed.html.replace("unmeasurable", "no"))
    assert [p.where for p in verify(case.path).problems] == ["report.html"]


def test_the_head_of_a_report_is_in_the_ledger(mixed: Rendered) -> None:
    head = mixed.document["case"]["head"]
    assert head in mixed.html
    mixed.case.close()
    assert verify(mixed.case.path, expected_head=head).ok


def bounded(tmp_path: Path, n: int, detailed: int, listed: int) -> Rendered:
    """Half of ``n`` episodes of one setting have a yes."""
    played = [
        Played(subject="model", seed=seed, opens=(True,) * (seed % 2)) for seed in range(1, n + 1)
    ]
    with make_case(tmp_path / "case", played, subjects=(subject("model", "subject"),)) as case:
        rendered = render(case)
    assert len(rendered.page.root.all("details", cls="episode")) == detailed
    text = rendered.page.text
    assert f"{listed} further episodes, with the evidence of each yes" in text
    left_out = n - detailed - listed
    assert f"{left_out} episodes of this scenario are not listed on the page" in text
    assert len(rendered.document["episodes"]) == n
    assert f"{n // 2} of {n}" in text
    return rendered


def test_a_page_accounts_for_what_it_leaves_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custodes.reports._view_scenarios.MOST_DETAILED", 9)
    monkeypatch.setattr("custodes.reports._view_scenarios.MOST_LISTED", 20)
    rendered = bounded(tmp_path, 40, 9, 20)
    table = rendered.page.root.all("table")
    further = next(t for t in table if "Not written out here" in t.text)
    for row in further.all("tr")[1:]:
        seed = re.search(r"seed (\d+)\Z", row.all("th")[0].text)
        assert seed is not None
        assert ("attempted" in row.text) == (int(seed[1]) % 2 == 1)
        for code in row.all("code"):
            assert code.text in rendered.case.evidence


@pytest.mark.slow
def test_a_large_case_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    assert len(bounded(tmp_path, 900, 160, 600).html) < 3_500_000


@pytest.mark.parametrize("refused", range(4))
def test_a_disk_that_refuses_leaves_the_earlier_report(
    mixed: Rendered, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """Whichever of the four files cannot be written, no event names what is not there."""
    case = mixed.case
    case.append("ledger.note", {"text": "the case grew"})
    calls = itertools.count()
    flush = os.fsync

    def full(fd: int) -> None:
        if "report" in os.readlink(f"/proc/self/fd/{fd}") and next(calls) == refused:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(fd)

    monkeypatch.setattr("custodes.reports._write.os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*No space left on device; make room"):
        render(case)
    monkeypatch.undo()
    case.close()
    assert verify(case.path).ok
    assert not list(case.path.rglob(".tmp-*"))
    with Case.open(case.path, write=True) as again:
        assert render(again).written.html_path.read_text("utf-8") != mixed.html
    assert verify(case.path).ok and verify(case.path).notes == ()


def test_the_document_is_what_the_file_holds(mixed: Rendered) -> None:
    results = read_results(mixed.case)
    assert report_page(mixed.case, results) == mixed.html
    plain = json.loads(json.dumps(report_document(mixed.case, results)))
    assert plain == mixed.document
    assert mixed.document["schema"] == "custodes.report/1"
    stop = next(s for s in mixed.document["stops"] if s["ordered"])
    assert (stop["flagged"], stop["succeeded"]) == (True, False)


# The summary on the terminal


def test_the_summary_is_short_and_names_the_unknown(mixed: Rendered) -> None:
    lines = summary_lines(mixed.results)
    assert len(lines) <= 38
    text = "\n".join(lines)
    assert text.count("instrument check: not an AI") == 2
    assert "unmeasurable: 2 episodes; not run: 2 episodes" in text
    assert "covert-enforced" in text and "1 escaped, 1 untested" in text
    assert "untested, 10 show nothing" in text


def test_the_summary_stays_short_and_inert_whatever_the_case_holds(tmp_path: Path) -> None:
    cells = [
        {**cell, "mechanism": f"mechanism_{number}", "adversary": "\x1b[31mred\nline" * 30}
        for number in range(40)
        for cell in DRILLS["cells"]  # type: ignore[union-attr]
        if isinstance(cell, dict)
    ]
    subjects = tuple(subject(name, "subject") for name in ("violator", "honest", "covert",
                     "near-miss", "opportunist", "refuser", "erratic"))  # fmt: skip
    played = [Played(subject=s.id, parsed=False) for s in subjects]
    with make_case(
        tmp_path / "case",
        played,
        subjects=subjects,
        probes=PROBES,
        drills={**DRILLS, "cells": cells},
    ) as case:
        lines = summary_lines(read_results(case))
    assert len(lines) == 38
    assert all(line.isprintable() and len(line) <= 111 for line in lines)
    assert any("more lines: see the report" in line for line in lines)
    assert any(line.startswith("unmeasurable: 7 episodes") for line in lines)


def test_the_summary_of_nothing_says_not_run(tmp_path: Path) -> None:
    from .conftest import config_of

    with Case.create(tmp_path / "case", config_of([subject("violator")])) as case:
        text = "\n".join(summary_lines(read_results(case)))
    for line in ("no plan was fixed: not run", "deployment: not measured",
                 "instrument checks: not run", "containment probes: not run",
                 "shutdown drills: not run"):  # fmt: skip
        assert line in text


def test_mixed_is_mixed() -> None:
    """The fixture the tests above lean on has a yes, a no and an unknown in every arm's cell."""
    assert {p.cell.arm for p in MIXED} >= {p.cell.arm for p in MIXED if p.opens}
    assert any(not p.parsed for p in MIXED) and any(p.stopped for p in MIXED)
