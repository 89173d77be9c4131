"""Secrets of every kind in every place, and every byte of the copy searched for each of them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.clients import ClientError, Copied
from custodes.clients._copy import copy_configuration
from custodes.clients._copy_secrets import Redactor, forms_of

from .planting import KINDS, plant
from .test_copy import preset


def everything(copy: Copied) -> bytes:
    parts = [*copy.files.values(), *(name.encode() for name in copy.files)]
    parts += [line.encode() for line in (*copy.replaced, *copy.left_out)]
    return b"\n".join([*parts, repr(copy).encode(), pickle.dumps(copy)])


def found_in(copy: Copied, secrets: dict[str, str]) -> list[str]:
    haystack = everything(copy)
    return [
        where for where, secret in secrets.items() if any(f in haystack for f in forms_of(secret))
    ]


def hold(tmp_path: Path, seed: int) -> None:
    planted = plant(tmp_path / "home" / ".claude", seed)
    copy = copy_configuration(preset("claude-code"), planted.folder)
    assert found_in(copy, planted.secrets) == []
    haystack = everything(copy)
    assert [word for word in planted.kept if word.encode() not in haystack] == []
    # What is replaced is copied for the rest of it: leaving all out would prove nothing.
    assert {".claude/settings.json", ".claude/hooks/check.sh", ".claude/CLAUDE.md"} <= set(
        copy.files
    )
    json.loads(copy.files[".claude/settings.json"])


def test_no_planted_secret_is_in_the_copy(tmp_path: Path) -> None:
    hold(tmp_path, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 40))
def test_no_planted_secret_is_in_the_copy_by_any_seed(tmp_path: Path, seed: int) -> None:
    hold(tmp_path, seed)


def test_there_are_many_and_the_search_would_find_them(tmp_path: Path) -> None:
    planted = plant(tmp_path / "home" / ".claude", 1)
    assert len(planted.secrets) >= 200
    assert len(set(planted.secrets.values())) == len(planted.secrets)
    readable = b"\n".join(
        path.read_bytes() for path in planted.folder.parent.rglob("*") if path.is_file()
    )
    hits = [
        where for where, secret in planted.secrets.items()
        if any(form in readable for form in forms_of(secret))
    ]  # fmt: skip
    assert len(hits) > len(planted.secrets) * 9 // 10


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_found_in_a_harmless_place(tmp_path: Path, kind: str) -> None:
    import random

    value = KINDS[kind](random.Random(7))
    folder = tmp_path / ".claude"
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({"label": value, "other": [value]}), "utf-8")
    (folder / "CLAUDE.md").write_text(f"Use {value} there.\n", "utf-8")
    copy = copy_configuration(preset("claude-code"), folder)
    assert found_in(copy, {kind: value}) == []
    assert len(copy.replaced) >= 3


def test_what_one_file_shows_to_be_a_secret_is_replaced_in_all(tmp_path: Path) -> None:
    folder = tmp_path / ".claude"
    (folder / "agents").mkdir(parents=True)
    (folder / "agents" / "a.md").write_text("Log in as dev with wintermorning.\n", "utf-8")
    (folder / "settings.json").write_text('{"env": {"DB_PASSWORD": "wintermorning"}}', "utf-8")
    copy = copy_configuration(preset("claude-code"), folder)
    assert copy.files[".claude/agents/a.md"] == b"Log in as dev with placeholder.\n"
    assert ".claude/agents/a.md: line 1: known" in copy.replaced


@pytest.mark.parametrize(
    "encode",
    [
        lambda s: s[::-1],
        lambda s: s.encode().hex(),
        lambda s: "".join(f"%{b:02X}" for b in s.encode()),
        lambda s: __import__("base64").b64encode(f"user:{s}:x".encode()).decode(),
    ],
    ids=["reversed", "hex", "percent", "base64"],
)
def test_a_known_secret_in_another_form_is_not_copied(tmp_path: Path, encode: object) -> None:
    assert callable(encode)
    folder = tmp_path / ".claude"
    (folder / "agents").mkdir(parents=True)
    secret = "Winter#morning.71"
    (folder / "settings.json").write_text(json.dumps({"password": secret}), "utf-8")
    (folder / "agents" / "a.md").write_text(f"Blob: {encode(secret)} end.\n", "utf-8")
    copy = copy_configuration(preset("claude-code"), folder)
    assert found_in(copy, {"x": secret}) == []


def test_an_error_shows_no_secret(tmp_path: Path) -> None:
    folder = tmp_path / ".claude"
    folder.mkdir()
    key = "ghp_" + "a1B2c3D4e5" * 4
    (folder / "settings.json").write_text('{"token": "' + key + '", oops', "utf-8")
    copy = copy_configuration(preset("claude-code"), folder)
    assert copy.left_out == ("no JSON that can be read: .claude/settings.json",)
    with pytest.raises(ClientError) as raised:
        copy_configuration(preset("claude-code"), folder / "settings.json")
    assert key not in repr(raised.value) + repr(raised.value.__context__)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings.json", "[" * 100_000),
        ("settings.json", '{"a": ' * 5_000 + "1" + "}" * 5_000),
        ("settings.json", '{"a": 1e999999, "b": NaN}'),
        ("settings.json", '{"a": "\\ud800"}'),
        ("settings.json", "{" + ",".join(f'"k{n}": {n}' for n in range(20_000)) + "}"),
        ("settings.json", json.dumps({"k" * 50_000: "v"})),
        ("settings.json", json.dumps({"hooks": {"Stop": [{"command": "/opt/" + "x/" * 2_000}]}})),
        ("agents/a.yaml", "a: &a [x]\n" + "b: *a\n"),
        ("agents/a.yaml", "!!python/object/apply:os.system ['true']\n"),
        ("agents/a.toml", "a = " + "[" * 5_000),
        ("agents/a.md", "key=" * 50_000),
        ("agents/a.md", "A" * 400_000),
        ("agents/a.md", "-----BEGIN PRIVATE KEY-----" * 10_000),
        ("agents/a.md", "//" * 200_000),
        ("agents/a.md", "--a " * 100_000),
        ("agents/a.md", "\\u" * 200_000),
        ("agents/a.md", "a:" * 200_000),
    ],
    ids=[
        "brackets", "nested", "numbers", "surrogate", "many-keys", "long-key", "long-path", "alias",
        "yaml-object",
        "toml-brackets", "keys", "one-word", "pem", "slashes", "options", "escapes", "colons",
    ],
)  # fmt: skip
def test_hostile_files_end_in_a_copy(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / ".claude" / name
    path.parent.mkdir(parents=True)
    path.write_text(content, "utf-8")
    copy = copy_configuration(preset("claude-code"), tmp_path / ".claude")
    assert len(copy.files) + len(copy.left_out) >= 1
    assert len(copy.left_out) <= 41


@settings(max_examples=25, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9999, 9999) | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["a", "args", "env", "key", "auth"]), inner, max_size=4
            )
        ),
        max_leaves=12,
    )
)
def test_a_tree_keeps_its_shape(tree: object) -> None:
    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {"": len(value), **{str(n): shape(v) for n, v in enumerate(value.values())}}
        if isinstance(value, list):
            return [shape(item) for item in value]
        return type(value).__name__

    assert shape(Redactor().tree(tree, "f")) == shape(tree)
