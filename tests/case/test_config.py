"""``custodes.yaml``: what is not understood is refused, with the line and the nearest known key."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.case import (
    CaseConfig,
    ConfigError,
    StorageError,
    load_config,
    parse_cell,
    parse_config,
    quickstart_config,
    to_yaml,
)
from custodes.types import Ask, Belief, Cell, Level, Safeguards, Tier

# Fixed here, so that the quickstart may change without these tests.
SAMPLE = CaseConfig.model_validate(
    {
        "schema": "custodes.case/1",
        "organisation": "Quickstart",
        "assessor": "Quickstart",
        "purpose": "A sample: with a colon, and long enough that it has to be folded into lines.",
        "plan": {
            "subjects": [
                {"id": "opportunist", "role": "subject", "model": "reference/opportunist"},
                {"id": "honest", "role": "control", "model": "reference/honest"},
            ],
            "scenarios": ["disobedience/stop_order", "escape/canary_credential"],
            "cells": ["open-off", "none-off", "covert-enforced"],
            "levels": ["none", "explicit"],
            "seeds": [1],
            "limits": {"turns": 30, "seconds": 60},
            "probes": 20,
            "drills": {"mechanisms": ["kill"], "adversaries": ["forks"], "n": 10},
        },
    }
)
TEXT = to_yaml(SAMPLE)

line = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn", "Co", "Zs"])
    | st.just(" "),
    min_size=1,
    max_size=40,
).filter(lambda s: s.strip() and s.isprintable())
paragraph = st.lists(line, min_size=1, max_size=4).map("\n".join)
name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True)
positive = st.integers(1, 2**53 - 1)


def distinct(items: st.SearchStrategy[Any], least: int = 1) -> st.SearchStrategy[list[Any]]:
    return st.lists(items, min_size=least, max_size=4, unique=True)


configs = st.fixed_dictionaries(
    {
        "schema": st.just("custodes.case/1"),
        "organisation": line,
        "assessor": line,
        "purpose": paragraph,
        "window": st.none() | st.just({"from": "2026-11-01", "to": "2026-11-30"}),
        "plan": st.fixed_dictionaries(
            {
                "subjects": st.lists(
                    st.fixed_dictionaries(
                        {
                            "id": name,
                            "role": st.sampled_from(["subject", "control"]),
                            "model": st.sampled_from(["reference/honest", "vllm/a/b-2:7b"]),
                            "model_args": st.dictionaries(
                                line,
                                st.booleans() | st.integers(0, 9) | paragraph | st.floats(0, 1),
                            ),
                            "description": st.none() | paragraph,
                        }
                    ),
                    min_size=1,
                    max_size=3,
                    unique_by=lambda s: str(s["id"]),
                ),
                "scenarios": st.just("all") | st.just(["escape/canary_credential"]),
                "cells": distinct(
                    st.builds(
                        lambda a, s, b: Cell(ask=a, safeguards=s, belief=b).name,
                        st.sampled_from(Ask),
                        st.sampled_from(Safeguards),
                        st.sampled_from(Belief),
                    )
                ),
                "levels": distinct(st.sampled_from([level.value for level in Level])),
                "twins": st.just("all") | distinct(name),
                "seeds": distinct(st.integers(0, 2**53 - 1)),
                "repeats": positive,
                "tier": st.sampled_from(["A", "C"]),
                "limits": st.just({}) | st.fixed_dictionaries({"turns": positive}),
                "probes": st.booleans() | st.integers(0, 99) | distinct(name, 0),
                "drills": st.none()
                | st.fixed_dictionaries(
                    {"mechanisms": distinct(name), "adversaries": distinct(name), "n": positive}
                ),
                "workers": st.none() | st.integers(1, 64),
            }
        ),
    }
)


@given(configs)
def test_what_is_written_is_read_back(document: dict[str, Any]) -> None:
    config = CaseConfig.model_validate(document)
    again = parse_config(to_yaml(config).encode())
    assert again == config
    assert again.digest == config.digest


def test_the_quickstart_is_the_thin_path() -> None:
    config = parse_config(to_yaml(quickstart_config()).encode())
    assert config == quickstart_config()
    plan = config.plan
    assert [s.model for s in plan.subjects if s.role == "subject"] == ["reference/opportunist"]
    assert {s.model for s in plan.subjects if s.role == "control"} == {
        "reference/honest",
        "reference/violator",
    }
    assert len(plan.scenarios) == 3
    assert plan.tier is Tier.A
    assert {cell.arm for cell in plan.cells} >= {"means", "motive", "opportunity"}
    assert plan.probes == 20
    assert plan.drills is not None
    assert (len(plan.drills.mechanisms), len(plan.drills.adversaries), plan.drills.n) == (2, 3, 10)


def test_every_line_of_the_template_that_is_set_is_explained() -> None:
    comments = [row for row in TEXT.splitlines() if row.lstrip().startswith("#")]
    assert len(comments) > 15
    assert max(len(row) for row in TEXT.splitlines()) <= 100


@pytest.mark.parametrize("cell", [*({"x"}), "open", "open-off-", "none-off-nothing", ""])
def test_a_cell_that_is_none_is_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="is no cell"):
        parse_cell(cell)


def test_every_cell_is_found_by_its_name() -> None:
    for ask in Ask:
        for safeguards in Safeguards:
            for belief in Belief:
                cell = Cell(ask=ask, safeguards=safeguards, belief=belief)
                assert parse_cell(cell.name) == cell


def problems(text: str | bytes) -> tuple[str, ...]:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError) as caught:
        parse_config(data)
    assert caught.value.exit_code == 2
    return caught.value.problems


def line_of(text: str, part: str) -> int:
    return next(n for n, row in enumerate(text.splitlines(), 1) if part in row)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("organisation", "organization"),
        ("assessor", "asessor"),
        ("seeds", "sedes"),
        ("repeats", "repeat"),
        ("turns", "truns"),
        ("model", "modell"),
        ("role", "rolle"),
        ("adversaries", "adverseries"),
        ("workers", "worker"),
        ("subjects", "subject"),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_one(right: str, wrong: str) -> None:
    text = re.sub(rf"(?m)^([ -]*){right}:", rf"\1{wrong}:", TEXT, count=1)
    assert text != TEXT
    found = problems(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"custodes.yaml:{line_of(text, wrong + ':')}: unknown key ")
    assert f"{wrong}'" in found[0]
    assert found[0].endswith(f"the nearest known one is {right!r}")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tier: A", "tier: B", "plan.tier: expected 'A' or 'C'"),
        ("tier: A", "tier: A'", "plan.tier"),
        ("repeats: 1", "repeats: 0", "plan.repeats"),
        ("repeats: 1", "repeats: '1'", "whole number"),
        ("repeats: 1", "repeats: true", "whole number"),
        ("repeats: 1", "repeats: 1.0", "whole number"),
        ("seeds: [1]", "seeds: [1, 1]", "occurs twice"),
        ("seeds: [1]", "seeds: []", "plan.seeds"),
        ("seeds: [1]", "seeds: [-1]", "plan.seeds[0]"),
        ("seeds: [1]", "seeds: [9007199254740992]", "plan.seeds[0]"),
        ("seeds: [1]", "seeds: 1", "expected a list"),
        ("open-off", "open-of", "did you mean 'open-off'"),
        ("open-off", "none-off", "occurs twice"),
        ("levels: [none, explicit]", "levels: [strict]", "plan.levels[0]"),
        ("twins: all", "twins: 7", "expected all, or a list of names"),
        ("twins: all", "twins: [../x]", "plan.twins[0]: expected a name"),
        ("probes: 20", "probes: many", "expected true, false, how many"),
        ("probes: 20", "probes: -1", "plan.probes"),
        ("id: honest", "id: opportunist", "occurs twice"),
        ("id: honest", "id: ../../etc", "expected a name"),
        ("id: honest", "id: a/b", "expected a name"),
        ("id: honest", "id: .hidden", "expected a name"),
        ("model: reference/honest", "model: honest", "provider/model"),
        ("model: reference/honest", "model: a/../b", "provider/model"),
        ("escape/canary_credential", "../canary", "family/scenario"),
        ("escape/canary_credential", "/etc/passwd", "family/scenario"),
        ("organisation: Quickstart", "organisation: 12", "quotes"),
        ("organisation: Quickstart", "organisation: ''", "some text"),
        ("organisation: Quickstart", 'organisation: "a\\e[2Jb"', "control characters"),
        ("window: null", "window: {from: 2026-12-01, to: 2026-11-01}", "before it begins"),
        ("window: null", "window: {from: yesterday}", "window.from"),
        ("schema: custodes.case/1", "schema: custodes.case/2", "custodes.case/1"),
        ("workers: null", "workers: 0", "plan.workers"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(old: str, new: str, said: str) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    found = problems(text)
    assert len(found) == 1, found
    assert said in found[0]
    match = re.match(r"custodes\.yaml:(\d+): ", found[0])
    assert match is not None
    # The line of the value, or of the list that it occurs twice in.
    at = int(match[1]) - line_of(text, new)
    assert at == 0 or (at < 0 and "occurs twice" in said)


def test_all_problems_are_told_at_once() -> None:
    text = TEXT.replace("tier: A", "tier: B").replace("turns:", "truns:").replace("n: 10", "n: x")
    assert len(problems(text)) == 3


def test_words_stay_words() -> None:
    text = TEXT.replace("organisation: Quickstart", "organisation: no")
    assert parse_config(text.encode()).organisation == "no"
    text = TEXT.replace("twins: all", "twins: [off, on, y, 1e5, 12:30, 0x1f, 1_000]")
    with pytest.raises(ConfigError):  # 12:30 is no name; the others stay text
        parse_config(text.encode())
    text = TEXT.replace("twins: all", "twins: [off, on, y, 1e5, 0x1f, 1_000]")
    assert parse_config(text.encode()).plan.twins == ("off", "on", "y", "1e5", "0x1f", "1_000")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "anchors"),
        ("a: *b\n", "aliases"),
        ("a: &a\n  b: *a\n", "anchors"),
        ("[" * 5000, "deeper"),
        ("- " * 5000 + "x", "deeper"),
        ("{a: " * 200 + "1" + "}" * 200, "deeper"),
        ("x: " + "y" * (300 << 10), "bytes"),
        ("!!python/object/apply:os.system ['true']", "tags"),
        ("a: !!python/name:os.system x", "tags"),
        ("a: !!binary aGk=", "tags"),
        ("a: 1\n---\nb: 2\n", "second document"),
        ("a: 1\na: 2\n", "occurs twice"),
        ("plan:\n  seeds: [1]\n  seeds: [2]\n", "'seeds' occurs twice (first in line 2)"),
        ("plan: {tier: A, tier: C}\n", "occurs twice"),
        ("? [a]\n: 1\n", "key is no text"),
        ("a: 2026-99-99\n", "value '2026-99-99'"),
        ("a: [1,\n", "not YAML"),
        ("a: \t- b\n\t c", "not YAML"),
        ("%YAML 9.9\n---\na: 1\n", "not YAML"),
        ("\x00", "not YAML"),
        (b"\xff\xfe", "UTF-8"),
        ("", "expected keys"),
        ("just text", "expected keys"),
        ("- a\n", "expected keys"),
        ("<<: {schema: x}\n", "unknown key '<<'"),
    ],
    ids=range(25),
)
def test_yaml_that_could_do_harm_is_refused_quickly(text: str | bytes, said: str) -> None:
    begun = time.process_time()
    assert said in "\n".join(problems(text))
    assert time.process_time() - begun < 2


@given(st.binary(max_size=120))
def test_any_bytes_are_a_configuration_or_a_configuration_error(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_config(data)


@given(at=st.integers(0, len(TEXT) - 1), put=st.characters(exclude_categories=["Cs"]))
def test_any_character_changed_never_ends_in_another_error(at: int, put: str) -> None:
    try:
        parse_config((TEXT[:at] + put + TEXT[at + 1 :]).encode())
    except ConfigError as error:
        assert all(p.startswith("custodes.yaml") for p in error.problems)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(StorageError):
        load_config(tmp_path)
    (tmp_path / "real").write_text(TEXT)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StorageError, match="links"):
        load_config(tmp_path / "link")
    (tmp_path / "long").write_text("#" * (300 << 10))
    with pytest.raises(ConfigError, match="not read"):
        load_config(tmp_path / "long")
