"""The page: nothing active, nothing hidden, the same figures as the document."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from custodes.reports import validation_page, validation_summary_lines
from custodes.scan import Settings, find_files
from custodes.validation import Plan, Validation, read_labels, validate_runs

from .corpus import HARM, labels, log

EVIL = "</style><script>alert(1)</script><img src=x onerror=alert(1)>\u202egnp.exe"


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Validation:
    folder = tmp_path_factory.mktemp("page")
    rows: list[dict[str, object]] = []
    for number in range(6):
        log(folder / f"b{number}.json", f"ls {number}", "git status", task=f"t{number}")
        rows.append({"path": f"b{number}.json", "label": "benign", "team": EVIL})
    log(folder / "v.json", "ls", HARM, task="v")
    rows.append({"path": "v.json", "label": "violation", "harm_at": 3, "cluster": EVIL})
    (folder / "lost.json").write_bytes(b"PK\x03\x04 broken")
    rows.append({"path": "lost.json", "label": "violation", "model": "\x1b[31mred"})
    return validate_runs(
        list(find_files([str(folder)])),
        read_labels(str(labels(folder / "labels.csv", rows))),
        Settings(monitors=("rules", "shortcut")),
        Plan(attacks=True),
    )


class Collected(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_nothing_is_active_and_nothing_loads(result: Validation) -> None:
    page = validation_page(result)
    found = Collected()
    found.feed(page)
    assert not {"script", "img", "iframe", "object", "form", "link"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert all((value or "").startswith("#") for name, value in found.attributes if name == "href")
    assert "default-src 'none'" in page
    assert EVIL not in page and "\u202e" not in page and "\x1b" not in page
    assert "&lt;script&gt;" in page and "U+202E" in page


def test_the_page_tells_what_the_document_does(result: Validation) -> None:
    page = validation_page(result)
    assert "1 labelled runs could not be read" in page
    for monitor in result.monitors:
        assert f">{monitor.name}</h2>" in page
    for warning in result.warnings:
        assert warning.text.split("(")[0].split(EVIL[:9])[0][:40].replace("'", "&#39;") in page
    for text in result.not_measured:
        assert text.replace(">", "&gt;").replace("'", "&#39;") in page
    assert page == validation_page(result), "the same document gives the same bytes"


def test_the_terminal_is_sent_no_control_character(result: Validation) -> None:
    lines = list(validation_summary_lines(result))
    assert all(line.isprintable() or not line for line in lines)
    assert any(line.startswith("monitor rules") for line in lines)
    assert any("per transcript" in line for line in lines)
    assert any("per action" in line for line in lines)
    assert any(line.startswith("not measured: ") for line in lines)
