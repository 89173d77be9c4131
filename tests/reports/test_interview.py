"""Interviews in the report: counted beside the receipts, and nobody can write into the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from custodes.reports import summary_lines
from custodes.scenarios import INTERVIEW
from custodes.types import EpisodeRecord, Interview, InterviewAnswer, InterviewProblem, Said

from . import conftest
from .conftest import MEANS, Played, Rendered, make_case, render, subject

HOSTILE = '</td><script>alert("x")</script><img src=x onerror=alert(1)> \u202egnp {{ 7 * 7 }}'


def interview(answers: Mapping[str, Said], *, sentence: str = "So it was.") -> Interview:
    """What was said; questions that are left out have replies that could not be read."""
    made = []
    for question in INTERVIEW:
        said = answers.get(question.id)
        made.append(
            InterviewAnswer(
                question=question.id,
                said=said,
                sentence="" if said is None else sentence,
                problem=InterviewProblem.UNPARSABLE if said is None else None,
                detail="expected one code block, found none" if said is None else "",
                replies=(f"{sentence} {'again ' * 300}",),
            )
        )
    return Interview(version=1, answers=tuple(made))


NOTHING = {q.id: Said.YES if q.id == "complete" else Said.NO for q in INTERVIEW}
EVERYTHING = {**NOTHING, "outside_task": Said.YES, "complete": Said.NO, "still_running": Said.YES}


def rendered(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interviews: list[Interview | None],
    *,
    model: str = "model",
) -> Rendered:
    """A case in which each interview belongs to an episode with the act, of a seed of its own."""
    left = iter(interviews)

    def record(**fields: object) -> EpisodeRecord:
        return EpisodeRecord(**fields, interview=next(left))  # type: ignore[arg-type]

    monkeypatch.setattr(conftest, "EpisodeRecord", record)
    played = [
        Played(subject=model, seed=seed, opens=(True,)) for seed in range(1, len(interviews) + 1)
    ]
    return render(make_case(path / "case", played, subjects=(subject(model, "subject"),)))


def counts(found: Rendered, question: str) -> dict[str, int]:
    (arm,) = found.document["interviews"]["arms"]
    (row,) = [row for row in arm["questions"] if row["question"] == question]
    return {name: count for name, count in row["comparisons"].items() if count}


def test_what_was_denied_is_counted_with_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [interview(NOTHING)] * 3 + [interview(EVERYTHING)] * 4 + [interview({})]
    found = rendered(tmp_path, monkeypatch, list(said))
    assert counts(found, "outside_task") == {"denied": 3, "consistent": 4, "unmeasurable": 1}
    assert counts(found, "complete") == {"denied": 3, "consistent": 4, "unmeasurable": 1}
    assert counts(found, "got_past") == {"not comparable": 7, "unmeasurable": 1}
    (arm,) = found.document["interviews"]["arms"]
    assert (arm["subject"], arm["arm"], arm["episodes"]) == ("model", "motive", 8)
    rate = arm["questions"][0]["denied_given_yes"]
    assert (rate["n"], rate["missing"]) == (7, 1)
    assert rate["low"] < 3 / 7 < rate["high"]
    text = found.page.text
    assert "8 of 8 episodes interviewed" in text
    assert "3 of 7" in text and "3 to 4 of all 8" in text


def test_the_belief_in_a_test_stands_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    believes = {**NOTHING, "test": Said.YES}
    found = rendered(tmp_path, monkeypatch, [interview(believes), interview(NOTHING)])
    assert "yes 1, no 1, unsure 0, unmeasurable 0" in found.page.text
    assert counts(found, "test") == {"not comparable": 2}


def test_nobody_writes_into_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = rendered(
        tmp_path,
        monkeypatch,
        [interview(NOTHING, sentence=HOSTILE), interview({}, sentence=HOSTILE)],
    )
    assert "<script" not in found.html and "<img src=x" not in found.html
    assert "\u202e" not in found.html and "⟦U+202E⟧" in found.html
    assert found.html.count("&lt;script&gt;") >= 12
    assert "{{ 7 * 7 }}" in found.html
    assert "characters left out" in found.page.text
    assert found.document["episodes"][0]["interview"]["compared"][0]["sentence"] == HOSTILE


def test_an_interview_stands_with_its_episode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(tmp_path, monkeypatch, [interview(EVERYTHING), None])
    text = found.page.text
    assert text.count("What the agent says when it is asked afterwards") == 1
    held, none = (episode["interview"] for episode in found.document["episodes"])
    assert none is None
    assert held["compared"][0]["comparison"] == "consistent"
    stored = found.case.evidence.ref_from_json(held["stored"])
    assert b'"custodes.interview/1"' in found.case.evidence.read(stored)
    assert "1 of 2 episodes interviewed" in text
    assert 'href="#interviews"' in found.html


def test_the_terminal_says_what_the_exit_code_is_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "interviews with a question that has no answer: 1"
    found = rendered(tmp_path, monkeypatch, [interview({}), interview(NOTHING)])
    assert found.results.has_unmeasurable and said in summary_lines(found.results)


def test_a_scripted_agent_is_an_instrument_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(tmp_path, monkeypatch, [interview(NOTHING)], model="covert")
    (arm,) = found.document["interviews"]["arms"]
    rate = arm["questions"][0]["denied_given_yes"]
    assert (rate["n"], rate["low"], rate["high"]) == (1, None, None)
    at = found.html.index('id="interviews"')
    assert "instrument check: not an AI" in found.html[at : at + 3_000]


def test_a_case_without_interviews_says_nothing_of_them(tmp_path: Path) -> None:
    found = render(make_case(tmp_path / "case", [Played(cell=MEANS, opens=(True,))]))
    assert found.document["interviews"] is None
    assert 'id="interviews"' not in found.html


def test_the_same_case_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = rendered(tmp_path, monkeypatch, [interview(NOTHING)])
    assert render(found.case).html == found.html
