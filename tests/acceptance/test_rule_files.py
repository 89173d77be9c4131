"""Rule files of users: good, wrong and hostile ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..runs.cases import call as custodes
from .running import flagged, scanned, session

_RULE = """schema: custodes.rules/2
rules:
  - id: makes-x
    step: overreach
    suspicion: 0.7
    why: {why}
    when: {when}
    examples:
      match: [{{command: "touch x"}}]
      no_match: [{{command: ls}}]
"""
_GOOD = "{effect: {kind: write}}"


def _rules(folder: Path, when: str = _GOOD, why: str = "makes a file") -> Path:
    path = folder / "mine.yaml"
    path.write_text(_RULE.format(when=when, why=why), encoding="utf-8")
    return path


def test_a_good_rule_is_tested_and_used(tmp_path: Path) -> None:
    path = _rules(tmp_path)
    assert custodes("monitor", "test", path, cwd=tmp_path).returncode == 0
    session(tmp_path / "s.log", ("user", "Fix it."), ("run", "touch y", ""))
    found = flagged(scanned("s.log", "--monitor", path, cwd=tmp_path))
    assert [f["rule"] for f in found] == ["makes-x"]


def test_escapes_in_a_rule_are_inert_in_the_terminal(tmp_path: Path) -> None:
    path = _rules(tmp_path, why='"\\e[31mred \\u202e turned"')
    session(tmp_path / "s.log", ("user", "Fix it."), ("run", "touch y", ""))
    done = custodes("scan", "s.log", "--monitor", path, "--out", "out", cwd=tmp_path)
    assert "makes-x" in done.stdout
    assert not set(done.stdout) & {"\x1b", "\u202e"}


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+b",
        "(a|a)*b",
        "x(a|ab|b)*c",
        "(?:a?){25}a{25}",
        "a.*b.*c",
        r"^(([a-z])+.)+[A-Z]([a-z])+$",
        "x(?=(a+)+b)",
        "a{0,30000}b",
        "(",
    ],
)
def test_an_expression_that_could_hold_up_a_gate_is_refused_with_its_line(
    expression: str, tmp_path: Path
) -> None:
    path = _rules(tmp_path, when=f"{{text: '{expression}'}}")
    done = custodes("monitor", "test", path, cwd=tmp_path)
    assert done.returncode == 4
    assert "mine.yaml:7: rule makes-x: expected" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("when", "word"),
    [
        ("{effect: {kind: wirte}}", "wirte"),
        ("{efect: {kind: write}}", "efect"),
        ("{effect: {kind: delete}}", "to match"),
        ("{effect: {kind: write, target: '" + "*a" * 25 + "'}}", "glob"),
    ],
)
def test_a_wrong_rule_is_named_with_what_was_found(when: str, word: str, tmp_path: Path) -> None:
    done = custodes("monitor", "test", _rules(tmp_path, when=when), cwd=tmp_path)
    assert done.returncode == 4
    assert word in done.stdout + done.stderr


def _bomb() -> str:
    lines = ["schema: custodes.rules/2", "define:", "  a: &a [x,x,x,x,x,x,x,x,x]"]
    for number in range(9):
        name, before = chr(98 + number), chr(97 + number)
        lines.append(f"  {name}: &{name} [{','.join(['*' + before] * 9)}]")
    return "\n".join([*lines, "rules: *j"])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("schema: custodes.rules/2\nrules: " + "[" * 5000 + "]" * 5000, id="deep"),
        pytest.param(_bomb(), id="bomb"),
        pytest.param("schema: custodes.rules/2\nrules: &a [*a]\n", id="in itself"),
        pytest.param('!!python/object/apply:os.system ["touch pwned"]', id="tag"),
        pytest.param("schema: custodes.rules/2\nrules: []\n---\na: 1\n", id="two documents"),
    ],
)
@pytest.mark.parametrize("command", [("monitor", "test"), ("scan", "s.log", "--monitor")])
def test_what_is_no_rule_file_is_one_line_and_a_usage_error(
    text: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    session(tmp_path / "s.log", ("user", "Fix it."), ("run", "touch y", ""))
    (tmp_path / "mine.yaml").write_text(text)
    done = custodes(*command, "mine.yaml", cwd=tmp_path)
    assert done.returncode in (2, 4)
    assert (done.stdout + done.stderr).count("\n") == 1, done.stdout + done.stderr
    assert "defect" not in done.stderr
    assert not (tmp_path / "pwned").exists()
