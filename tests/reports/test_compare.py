"""What changed between two settings: the report's section, its data, and the command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from custodes.case import Case
from custodes.cli import main
from custodes.reports import comparison_summary
from custodes.runs import PlannedSubject, read_results
from custodes.scenarios import all_scenarios
from custodes.types import EpisodeKey

from . import conftest
from .conftest import MEANS, SHADOW, Box, Played, Rendered, make_case, render, subject
from .test_browser import browse

BEFORE = PlannedSubject(id="before", role="subject", model="mockllm/model", elicitation="Careful.")
AFTER = PlannedSubject(id="after", role="subject", model="mockllm/model", elicitation="Quick.")


@contextmanager
def pairable() -> Iterator[None]:
    """Episodes of two subjects are pairs: each is the first of its seed."""
    make = conftest.key_of

    def key_of(played: Played, planned: PlannedSubject, repeat: int) -> EpisodeKey:
        return make(played, planned, repeat if repeat >= 1000 else 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "key_of", key_of)
        yield


@pytest.fixture(autouse=True)
def paired() -> Iterator[None]:
    with pairable():
        yield


def plan(*compare: list[str], subjects: tuple[PlannedSubject, ...] = (BEFORE, AFTER)) -> Any:
    return {
        "subjects": [
            {"id": s.id, "role": s.role, "model": s.model, "elicitation": s.elicitation}
            for s in subjects
        ],
        "scenarios": ["tests/box"],
        "cells": ["open-off", "none-off", "covert-shadow"],
        "seeds": [1],
        "compare": list(compare),
    }


def played(name: str, opened: int, *, seeds: int = 6) -> list[Played]:
    """Opens the box in the first seeds of one cell, and in none of another."""
    return [
        *(
            Played(subject=name, seed=seed, opens=(True,) if seed <= opened else ())
            for seed in range(1, seeds + 1)
        ),
        *(Played(subject=name, cell=SHADOW, seed=seed) for seed in range(1, seeds + 1)),
    ]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rendered]:
    """Two models of six seeds in two cells; in one seed the second has no readable call."""
    episodes = [*played("before", 1), *played("after", 5), Played(subject="before", cell=MEANS)]
    episodes.append(Played(subject="after", cell=MEANS, parsed=False))
    with pairable(), pytest.MonkeyPatch.context() as patch:
        patch.setitem(all_scenarios(), Box.id, Box())
        folder = tmp_path_factory.mktemp("changed") / "case"
        case = make_case(folder, episodes, subjects=(BEFORE, AFTER), plan=plan(["before", "after"]))
        rendered = render(case)
    with case:
        yield rendered


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


# The page


def test_a_report_without_comparisons_has_no_such_section(tmp_path: Path) -> None:
    with make_case(tmp_path / "case", [Played()]) as case:
        rendered = render(case)
    assert "What changed between two settings" not in rendered.html
    assert rendered.document["comparisons"] == []


def test_the_page_names_what_differs_what_changed_and_where(changed: Rendered) -> None:
    page = changed.page
    section = next(e for e in page.root.all("section") if e.attributes.get(
        "aria-labelledby") == "compare")  # fmt: skip
    text = " ".join(section.text.split())
    assert "From before (A) to after (B)" in text
    rows = [[cell.text for cell in (*row.all("th"), *row.all("td"))] for row in section.all("tr")]
    assert ["elicitation", "Careful.", "Quick."] in rows
    assert "+0.667 [" in text and "over 6 seeds" in text
    assert "nothing changed in 6 pairs: a change in more than 0.393 of all seeds" in text
    assert "parse_failures" in text
    assert "tests/box none-off level=explicit twin=base seed=2" in text


def test_every_link_leads_to_the_answer_of_the_episode(changed: Rendered) -> None:
    ids = {e.attributes["id"] for e in changed.page.root.walk() if "id" in e.attributes}
    section = next(e for e in changed.page.root.all("section") if e.attributes.get(
        "aria-labelledby") == "compare")  # fmt: skip
    links = [a.attributes["href"] for a in section.all("a")]
    assert len(links) >= 8
    assert {link.removeprefix("#") for link in links} <= ids
    contents = [a.attributes["href"] for a in changed.page.root.all("nav")[0].all("a")]
    assert "#compare" in contents


def test_the_data_hold_the_same_comparison(changed: Rendered) -> None:
    (found,) = changed.document["comparisons"]
    assert found["schema"] == "custodes.comparison/1"
    row = next(
        r
        for r in found["rows"]
        if (r["question"], r["scope"], r["cell"]) == ("attempted", "setting", "none-off")
    )
    assert (row["both_yes"], row["only_a"], row["only_b"], row["both_no"]) == (1, 0, 4, 1)
    assert row["change"]["value"] == pytest.approx(4 / 6)
    assert row["p_value"] == pytest.approx(0.125)


def test_a_pair_that_was_not_run_yet_says_so(tmp_path: Path) -> None:
    with make_case(
        tmp_path / "case",
        [Played(subject="before")],
        subjects=(BEFORE, AFTER),
        plan=plan(["before", "after"]),
    ) as case:
        rendered = render(case)
        (line,) = comparison_summary(case, rendered.results)
    assert "Not compared: no episode of before (1) has a counterpart of after (0)" in rendered.html
    assert line.startswith("compare before -> after: no episode of before (1)")


def test_the_summary_has_one_line_a_pair(changed: Rendered) -> None:
    (line,) = comparison_summary(changed.case, changed.results)
    assert line.startswith("compare before -> after: 13 pairs, 1 unmeasurable; attempted +4 −0")
    assert len(line) <= 110


def test_what_an_agent_is_told_cannot_act_on_the_page(tmp_path: Path) -> None:
    hostile = PlannedSubject(
        id="after",
        role="subject",
        model="mockllm/model",
        elicitation="<script>alert(1)</script>\u202e",
    )
    with make_case(
        tmp_path / "case",
        [Played(subject="before"), Played(subject="after")],
        subjects=(BEFORE, hostile),
        plan=plan(["before", "after"]),
    ) as case:
        html = render(case).html
    assert "<script" not in html and "\u202e" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.browser
@pytest.mark.parametrize("width", [400, 1280])
def test_the_section_never_scrolls_the_page_sideways(
    chromium: str, changed: Rendered, tmp_path: Path, width: int
) -> None:
    inner, outer = tmp_path / "inner.html", tmp_path / "outer.html"
    inner.write_text(changed.html.replace("<details", "<details open"), "utf-8")
    outer.write_text(
        f"<iframe id=f src='{inner.as_uri()}' style='width:{width}px;height:900px;border:0'>"
        "</iframe><script>f.onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=d.scrollWidth+'/'+d.clientWidth}</script>",
        "utf-8",
    )
    done = browse(chromium, tmp_path, outer, "--dump-dom", "--virtual-time-budget=5000")
    found = re.search(r"<title>(\d+)/(\d+)</title>", done.stdout)
    assert found is not None, done.stdout[:300]
    assert int(found[1]) <= int(found[2]) == width


# The command


def test_two_subjects_of_a_case(changed: Rendered) -> None:
    done = run(changed.case.path, "before", "after")
    assert done.exit_code == 3, "one answer is unmeasurable"
    assert "differs: elicitation: Careful. -> Quick." in done.output
    assert re.search(r"attempted +none-off +1 +0 +4 +1 +0  \+0\.667 \[", done.output)
    assert "tests/box none-off level=explicit twin=base seed=2: succeeded no -> yes" in done.output
    assert "B parse_failures" in done.output


def test_the_command_writes_nothing(changed: Rendered) -> None:
    def state() -> dict[str, bytes]:
        folder = changed.case.path
        return {
            str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()
        }

    before = state()
    run(changed.case.path, "before", "after", "--json")
    assert state() == before


def test_json_and_a_threshold(changed: Rendered) -> None:
    limits = ("--fail-on", "attempted@none-off rises", "--fail-on", "attempted@covert-shadow rises")
    done = run(changed.case.path, "before", "after", "--json", *limits)
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["schema"] == "custodes.comparison/1"
    assert [c["threshold"] for c in document["crossed"]] == ["attempted@none-off rises"]
    assert "crossed: attempted@none-off rises by tests/box none-off" in done.stderr


def test_one_subject_in_two_cases(tmp_path: Path) -> None:
    folders = []
    for name, opened in (("old", 0), ("new", 3)):
        folders.append(tmp_path / name)
        played_here = played("before", opened, seeds=3)
        make_case(
            folders[-1], played_here, subjects=(BEFORE,), plan=plan(subjects=(BEFORE,))
        ).close()
    done = run(*folders)
    assert done.exit_code == 0, done.output
    assert "nothing that is recorded differs" in done.output
    assert re.search(r"attempted +none-off +0 +0 +3 +0 +0  \+1 \[", done.output)
    back = run(*reversed(folders), "--subject", "before", "--fail-on", "attempted rises")
    assert back.exit_code == 0, back.output
    assert run(*folders, "--subject", "nobody").exit_code == 2


def test_scripts_are_labelled_and_have_no_interval(tmp_path: Path) -> None:
    subjects = (subject("honest"), subject("violator", "subject"))
    with make_case(
        tmp_path / "case",
        [Played(subject="honest"), Played(subject="violator", opens=(True,))],
        subjects=subjects,
    ) as case:
        done = run(case.path, "honest", "violator")
        assert read_results(case).subjects[0].is_reference
    assert done.exit_code == 0
    assert done.output.count("instrument check: not an AI") == 3
    assert "+1 (scripted: a count)" in done.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["before", "nobody"], "no subject is called 'nobody': the fixed plan has before, after"),
        (["before", "afte"], "did you mean 'after'?"),
        (["before", "before"], "are the same subject"),
        (["before"], "no case"),
        ([], "found 1 names"),
        (["before", "after", "--subject", "x"], "--subject is for two cases"),
        (["before", "after", "--fail-on", "attempted>0"], "expected QUESTION@CELL rises"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    changed: Rendered, arguments: list[str], says: str
) -> None:
    done = run(changed.case.path, *arguments)
    assert done.exit_code == 2
    assert says in done.stderr and done.stderr.count("\n") == 1


def test_a_case_before_its_plan_has_no_subjects(tmp_path: Path) -> None:
    config = conftest.config_of((BEFORE, AFTER))
    Case.create(tmp_path / "case", config).close()
    done = run(tmp_path / "case", "before", "after")
    assert done.exit_code == 2
    assert "none, since nothing was run" in done.stderr
