"""Suppressions: each answers for itself, none lasts for ever, and a wrong file is told by line."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from custodes.scan import BadSuppressions, Finding, Place, Suppressions, load_suppressions

TODAY = date(2026, 11, 20)
HEAD = "schema: custodes.suppressions/1\nsuppressions:\n"
ENTRY = "- finding: '0123456789abcdef'\n  reason: known\n  owner: jane\n  expires: 2027-01-31\n"


def finding(
    name: str = "0123456789abcdef", *, rule: str = "a-rule", path: str = "/a/b.jsonl"
) -> Finding:
    return Finding(
        id=name, transcript=path, session=None, client=None, model=None, project=None, event=3,
        at=None, monitor="rules", rule=rule, suspicion=0.7, flagged=True, step=None, techniques=(),
        reason="", effects=(), tool=None, excerpt="", rests_on=(),
        locator=Place(path=path, source="0" * 64, member=None, start=0, end=1, excerpt="0" * 64),
    )  # fmt: skip


def load(tmp_path: Path, text: str | bytes) -> Suppressions:
    path = tmp_path / "s.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_suppressions(path, TODAY)


def test_a_finding_is_suppressed_by_its_id_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, HEAD + ENTRY)
    found = loaded.of(finding())
    assert found is not None
    assert (found.reason, found.owner, found.expires) == ("known", "jane", "2027-01-31")
    assert loaded.of(finding("fedcba9876543210")) is None


def test_a_rule_is_suppressed_under_its_path_alone(tmp_path: Path) -> None:
    text = ENTRY.replace("finding: '0123456789abcdef'", "rule: a-rule\n  path: '/a/*.jsonl'")
    loaded = load(tmp_path, HEAD + text)
    assert loaded.of(finding("1" * 16)) is not None
    assert loaded.of(finding(path="/b/c.jsonl")) is None
    assert loaded.of(finding(rule="another")) is None
    anywhere = load(tmp_path, HEAD + text.replace("\n  path: '/a/*.jsonl'", ""))
    assert anywhere.of(finding(path="/b/c.jsonl")) is not None


def test_an_expired_entry_suppresses_nothing_and_is_told(tmp_path: Path) -> None:
    loaded = load(tmp_path, HEAD + ENTRY.replace("2027-01-31", "2026-11-19"))
    assert loaded.of(finding()) is None
    (line,) = loaded.unused()
    assert line.startswith(f"{tmp_path / 's.yaml'}:3: expired on 2026-11-19")
    last_day = load(tmp_path, HEAD + ENTRY.replace("2027-01-31", "2026-11-20"))
    assert last_day.of(finding()) is not None


def test_an_entry_that_suppresses_nothing_is_told(tmp_path: Path) -> None:
    loaded = load(tmp_path, HEAD + ENTRY + ENTRY.replace("0123456789abcdef", "f" * 16))
    assert loaded.of(finding()) is not None
    assert loaded.unused() == (f"{tmp_path / 's.yaml'}:7: suppresses nothing in this scan",)


def test_a_duplicate_entry_is_told_as_unused(tmp_path: Path) -> None:
    loaded = load(tmp_path, HEAD + ENTRY + ENTRY)
    loaded.of(finding())
    assert len(loaded.unused()) == 1


WRONG: tuple[tuple[str, str | bytes, int | None, str], ...] = (
    ("empty", "", 1, "schema"),
    ("a list", "- a\n", 1, "schema"),
    ("a text", "hello", 1, "schema"),
    ("another schema", "schema: custodes.rules/1\nsuppressions: []\n", 1, "schema"),
    ("no list", "schema: custodes.suppressions/1\n", 1, "list"),
    ("a mapping for a list", "schema: custodes.suppressions/1\nsuppressions: {}\n", 2, "list"),
    ("another key", "schema: custodes.suppressions/1\nsuppressions: []\nmore: 1\n", 3, "more"),
    ("no YAML", HEAD + "- finding: [\n", 4, "YAML"),
    ("a tab", HEAD + "-\tfinding: x\n\treason: y\n", 3, "YAML"),
    ("bytes", b"\xff\xfe\x00", 1, "UTF-8"),
    ("a control character", HEAD + "- finding: 'a\x00b'\n", 3, "YAML"),
    ("an object", HEAD + "- !!python/object/apply:os.system ['true']\n", 3, "YAML"),
    ("two documents", HEAD + ENTRY + "---\n" + HEAD, 7, "YAML"),
    ("deep", HEAD + "- " + "[" * 3_000, None, "YAML"),
    ("a key twice", HEAD + ENTRY + "  reason: again\n", 7, "reason"),
    ("an alias", "schema: custodes.suppressions/1\nsuppressions: &a [*a]\n", 2, ""),
    ("an entry that is a text", HEAD + "- x\n", 3, "entry"),
    ("an entry that is nothing", HEAD + ENTRY + "-\n", 7, "entry"),
    ("unknown key", HEAD + ENTRY + "  until: 2027-01-01\n", 7, "until"),
    ("no reason", HEAD + ENTRY.replace("  reason: known\n", ""), 3, "reason"),
    ("blank reason", HEAD + ENTRY.replace("known", "'  '"), 3, "reason"),
    ("reason of lines", HEAD + ENTRY.replace("known", '"a\\nb"'), 3, "reason"),
    ("no owner", HEAD + ENTRY.replace("  owner: jane\n", ""), 3, "owner"),
    ("owner is a number", HEAD + ENTRY.replace("jane", "7"), 3, "owner"),
    ("no expiry", HEAD + ENTRY.replace("  expires: 2027-01-31\n", ""), 3, "expires"),
    ("expiry is a word", HEAD + ENTRY.replace("2027-01-31", "never"), 3, "expires"),
    ("expiry is no day", HEAD + ENTRY.replace("2027-01-31", "2027-02-30"), 6, "day"),
    ("expiry is a time", HEAD + ENTRY.replace("2027-01-31", "2027-01-31 10:00:00"), 3, "expires"),
    ("expiry is far", HEAD + ENTRY.replace("2027-01-31", "2099-01-31"), 3, "a year"),
    ("neither", HEAD + ENTRY.replace("finding: '0123456789abcdef'", "path: x"), 3, "either"),
    ("both", HEAD + ENTRY + "  rule: a-rule\n", 3, "either"),
    ("path with finding", HEAD + ENTRY + "  path: x\n", 3, "path"),
    ("finding is a number", HEAD + ENTRY.replace("'0123456789abcdef'", "12345678"), 3, "text"),
    ("not an id", HEAD + ENTRY.replace("0123456789abcdef", "a-rule"), 3, "id"),
    ("rule is empty", HEAD + ENTRY.replace("finding: '0123456789abcdef'", "rule: ''"), 3, "rule"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "word"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
def test_a_wrong_file_is_told_in_one_line(
    tmp_path: Path, text: str | bytes, line: int | None, word: str
) -> None:
    with pytest.raises(BadSuppressions) as caught:
        load(tmp_path, text)
    said = str(caught.value)
    assert said.startswith(f"{tmp_path / 's.yaml'}:" + ("" if line is None else f"{line}:")), said
    assert word in said and "\n" not in said and len(said) < 400


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadSuppressions, match="No such file"):
        load_suppressions(tmp_path / "none.yaml", TODAY)
    with pytest.raises(BadSuppressions, match="directory"):
        load_suppressions(tmp_path, TODAY)


def test_a_year_ahead_is_the_farthest(tmp_path: Path) -> None:
    farthest = TODAY + timedelta(days=366)
    assert load(tmp_path, HEAD + ENTRY.replace("2027-01-31", farthest.isoformat())).of(finding())
    with pytest.raises(BadSuppressions):
        load(tmp_path, HEAD + ENTRY.replace("2027-01-31", (farthest + timedelta(1)).isoformat()))


def test_suppressing_changes_nothing_else_of_a_finding(tmp_path: Path) -> None:
    suppressed = load(tmp_path, HEAD + ENTRY).of(finding())
    told = msgspec.structs.replace(finding(), suppressed=suppressed)
    assert told.flagged and told.id == finding().id
