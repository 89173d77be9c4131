"""The discriminator finds what is there, and nothing where there is nothing."""

from __future__ import annotations

import importlib.util
import random
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from custodes.scenarios import all_scenarios

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "realism.py"


@cache
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("realism", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["realism"] = module
    spec.loader.exec_module(module)
    return module


@cache
def corpus() -> tuple[Any, ...]:
    """Code of the interpreter's own library, which is everywhere."""
    realism = benchmark()
    names = realism.REAL["the interpreter's library"].split()
    pieces = [p for n in names for p in realism.sample(realism.project_files(n), n, n, False)]
    return tuple(piece for piece in pieces if piece.kind == "code")


def halves(seed: int) -> list[Any]:
    """The corpus with one random half of its projects called made."""
    projects = sorted({piece.group for piece in corpus()})
    random.Random(seed).shuffle(projects)
    made = set(projects[::2])
    return [replace(piece, made=piece.group in made) for piece in corpus()]


def test_two_halves_of_one_corpus_are_not_told_apart() -> None:
    for seed in range(3):
        table = benchmark().Table(halves(seed))
        for which in benchmark().WORD_SETS:
            scores, _ = table.scores(which)
            found = table.area(scores).estimate
            assert found.low is not None and found.high is not None
            assert found.low <= 0.5 <= found.high, (seed, which)
            assert found.high - found.low < 0.8


def test_planted_words_are_found_and_named() -> None:
    plant = "\n# ordinarily notwithstandingly heretoforely\n" * 3
    planted = [
        replace(piece, text=f"{piece.text}{plant}" if piece.made else piece.text)
        for piece in halves(1)
    ]
    table = benchmark().Table(planted)
    for which in ("all", "function"):
        scores, weights = table.scores(which)
        found = table.area(scores).estimate
        if which == "all":
            assert found.value is not None and found.value > 0.97
            assert "+ordinarily" in table.telling(weights, 3)
        else:  # it is not among the function words
            assert "+ordinarily" not in table.telling(weights, 1000)


def test_what_takes_no_part_in_learning_decides_nothing_of_it() -> None:
    """A word of one group alone cannot be learnt when that group is held out."""
    pieces = halves(2)
    group = next(piece.group for piece in pieces if piece.made)
    marked = [
        replace(piece, text=f"{piece.text} ordinarily" if piece.group == group else piece.text)
        for piece in pieces
    ]
    table = benchmark().Table(marked)
    at = list(table.words).index("ordinarily")
    _, without = table.scores("all", held=group)
    assert without[at] == 0
    learnt = (table.groups != group).copy()
    assert at not in table.columns("shared", learnt)


def test_no_cluster_lies_on_both_sides_and_both_sides_have_each_scenario() -> None:
    scenarios = tuple(all_scenarios().values())[:2]
    pieces = benchmark().workspaces(scenarios, 2)
    table = benchmark().Table([*pieces, *corpus()])
    sides: dict[str, set[int]] = {}
    for piece, half in zip(table.pieces, table.halves, strict=True):
        sides.setdefault(piece.cluster, set()).add(int(half))
    assert {len(found) for found in sides.values()} == {1}
    for scenario in scenarios:
        assert {side for s in range(2) for side in sides[f"{scenario.id}#{s}"]} == {0, 1}


def test_pieces_are_whole_lines_of_about_one_size() -> None:
    text = "".join(f"line {number} of some text\n" for number in range(400))
    pieces = list(benchmark().cut(text))
    assert text.startswith("".join(pieces))
    assert all(piece.endswith("\n") for piece in pieces)
    sizes = [len(piece) for piece in pieces]
    assert min(sizes) >= benchmark().LEAST and max(sizes) < benchmark().PIECE + 100


def test_another_manner_is_what_it_says() -> None:
    realism = benchmark()
    code = "def f(x):\n    return x + \"a\"\n" * 200
    pages = "Say what.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n" * 50
    drawn = [realism.rewritten("a.py", code, random.Random(seed)) for seed in range(8)]
    assert {"'a'" in text for text in drawn} == {True, False}
    assert all(30 < text.count("# ") < 70 for text in drawn)
    page = realism.rewritten("a.md", pages, random.Random(1))
    assert "|" not in page and page.count("* a, b") == page.count("* 1, 2") == 50
    assert page.count("what") < 40
    assert realism.rewritten("a.csv", code, random.Random(1)) == code
