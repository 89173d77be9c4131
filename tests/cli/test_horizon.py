"""``custodes horizon`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..runs.cases import call

HEADER = "agent,task_id,task_family,human_minutes,score_binarized,cheated\n"


def runs_file(
    folder: Path, *, agents: tuple[str, ...] = ("early", "late"), tasks: int = 60
) -> Path:
    """Families of two tasks; the second agent solves longer ones, with exceptions."""
    lines = [HEADER]
    for place, agent in enumerate(agents):
        for task in range(tasks):
            minutes = 2 ** (task * 10 / tasks)
            solved = task * 10 / tasks < 4 + 3 * place or task % 7 == 0
            cheated = "true" if task == tasks - 4 else ""
            lines += f"{agent},t{task},f{task // 2},{minutes:.3f},{int(solved)},{cheated}\n"
    path = folder / "runs.csv"
    path.write_text("".join(lines))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return runs_file(tmp_path)


def horizon(*words: object) -> subprocess.CompletedProcess[str]:
    return call("horizon", *map(str, words))


def document(*words: object) -> dict[str, Any]:
    done = horizon(*words, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_document_keeps_its_contract(file: Path) -> None:
    found = document(file, "--bootstrap", 200, "--seed", 3)
    assert found["schema"] == "custodes.horizon/1"
    method = found["method"]
    assert (method["regularization"], method["weighting"]) == (0.1, "invsqrt")
    assert (method["bootstrap"], method["seed"], method["cheats"]) == (200, 3, ["fail"])
    for agent, middle in zip(found["agents"], (2**4, 2**7), strict=True):
        assert (agent["n_runs"], agent["n_tasks"]) == (60, 60)
        assert isinstance(agent["notes"], list)
        for name in ("p50", "p80"):
            assert {"estimate", "low", "high"} <= set(agent[name])
        assert agent["p50"]["low"] < agent["p50"]["estimate"] < agent["p50"]["high"]
        assert middle / 3 < agent["p50"]["estimate"] < middle * 3
        assert agent["p80"]["estimate"] < agent["p50"]["estimate"]
    ways = {
        (row["regularization"], row["weighting"], row["cheats"]) for row in found["sensitivity"]
    }
    assert ways == {(p, w, c) for p in (0.1, 1e-5) for w in ("invsqrt", "equal")
                    for c in ("fail", "pass")}  # fmt: skip


def test_the_same_seed_gives_the_same_document(file: Path) -> None:
    one, two, other = (document(file, "--bootstrap", 150, "--seed", seed) for seed in (1, 1, 2))
    assert one == two
    assert one["agents"][0]["p50"]["estimate"] == other["agents"][0]["p50"]["estimate"]
    assert one["agents"][0]["p50"]["low"] != other["agents"][0]["p50"]["low"]


def test_cheats_are_counted_both_ways(file: Path) -> None:
    found = document(file, "--bootstrap", 0, "--cheats", "both")
    assert [(one["agent"], one["cheats"]) for one in found["agents"]] == [
        ("early", "fail"), ("late", "fail"), ("early", "pass"), ("late", "pass"),
    ]  # fmt: skip
    fail, solved = (found["agents"][at]["p50"]["estimate"] for at in (0, 2))
    assert solved > fail
    assert found["agents"][0]["p50"]["low"] is None, "without replicates there is no interval"


def test_with_release_dates_the_doubling_time_has_an_interval(file: Path, tmp_path: Path) -> None:
    dates = tmp_path / "dates.csv"
    dates.write_text("agent,release_date\nearly,2024-01-01\nlate,2025-01-01\n")
    time = document(file, "--bootstrap", 300, "--dates", dates)["trend"]["doubling_time_days"]
    assert time["low"] < time["estimate"] < time["high"]
    shown = horizon(file, "--bootstrap", 100, "--dates", dates)
    assert "doubling time (all releases)" in shown.stdout
    dates.write_text("agent,release_date\nearly,2024-01-01\n")
    done = horizon(file, "--bootstrap", 0, "--dates", dates)
    assert done.returncode == 2 and "found none of 'late'" in done.stderr
    assert horizon(file, "--from", "2024-01-01").returncode == 2


def test_text_is_aligned_and_hides_nothing(file: Path) -> None:
    done = horizon(file, "--bootstrap", 100)
    assert done.returncode == 0
    rows = [line for line in done.stdout.splitlines() if line.startswith(("  early", "  late"))]
    assert len(rows) >= 4 and "\x1b" not in done.stdout
    assert "60 tasks in 30 families; penalty 0.1, weights invsqrt, 100 replicates" in done.stdout
    assert "p50 under other choices" in done.stdout


def test_other_choices_fit_a_terminal(tmp_path: Path) -> None:
    lines = [HEADER]
    for agent in ("a", "b" * 300):
        for task in range(20):
            score = "" if task == 3 else int(task < 9 or task == 12)
            cheated = "true" if task == 5 and agent == "a" else ""
            lines += f"{agent},t{task},f{task},{2 ** (task / 2):.3f},{score},{cheated}\n"
    path = tmp_path / "runs.csv"
    path.write_text("".join(lines))
    text = horizon(path, "--bootstrap", 0).stdout
    choices = text[text.index("p50 under other choices") :].splitlines()
    titles = [line for line in choices if line.startswith("- ")]
    assert titles == [
        f"- cheats count as {cheats}, runs without a score {unscored}"
        for cheats in ("failures", "successes")
        for unscored in ("left out", "as failures", "as successes")
    ]
    assert len([line for line in choices if line.startswith("  a ")]) == 6
    assert max(map(len, choices)) < 60 + 62 and "b…" in text
    assert "all 2 agents: p50: no interval" in text
    path.write_text(text_of := "".join(lines).replace("true", ""))
    assert "true" not in text_of
    text = horizon(path, "--bootstrap", 0).stdout
    assert "no scored run is marked as cheated" in text and "- cheats" not in text


def test_a_lower_bound_is_shown_as_far_as_it_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    rows = (f"a,t{k},f{k},{2**k},{int(k != 6)},\n" for k in range(10))
    path.write_text(HEADER + "".join(rows))
    dates = tmp_path / "dates.csv"
    dates.write_text("agent,release_date\na,2024-01-01\n")
    done = horizon(path, "--bootstrap", 0, "--dates", dates)
    assert done.stdout.count("at least 4.3 h") == 2 and "≥ 4.3 h" in done.stdout
    assert "on the line with a p50 that is a lower bound: a" in done.stdout


def test_a_plot_that_cannot_be_written_takes_no_figure_away(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = horizon(file, "--bootstrap", 0, "--json", "--plots", file / "plots")
    assert done.returncode == 4 and len(done.stderr.splitlines()) == 1
    assert len(json.loads(done.stdout)["agents"]) == 2


def test_what_is_not_identified_reaches_the_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(HEADER + "a,t1,f,1,0,\na,t2,f,60,1,\nb,t1,f,1,1,\nb,t2,f,60,0,\n")
    done = horizon(path, "--bootstrap", 0)
    assert done.returncode == 3 and "not identified" in done.stdout
    path.write_text(HEADER + "b,t1,f,1,1,\nb,t2,f,60,0,\nb,t3,f,30,,\n")
    assert horizon(path, "--bootstrap", 0).returncode == 3, "a run without a score"
    path.write_text(HEADER + "b,t1,f,1,1,\nb,t2,f,60,0,\n")
    assert horizon(path, "--bootstrap", 0).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["missing.csv"],
        ["RUNS", "--regularization", "-1"],
        ["RUNS", "--regularization", "nan"],
        ["RUNS", "--bootstrap", "-1"],
        ["RUNS", "--scorer", "check"],
        ["RUNS", "--dates", "missing.csv"],
        ["RUNS", "--weighting", "none"],
        ["trend"],
        ["trend", "RUNS"],
        ["trend", "RUNS", "--from", "yesterday"],
        ["trend", "RUNS", "--from", "20240101"],
    ],
)
def test_bad_use_is_refused_in_few_words(file: Path, words: list[str]) -> None:
    done = horizon(*(file if word == "RUNS" else word for word in words))
    assert done.returncode == 2 and done.stdout == ""
    assert "Traceback" not in done.stderr and 0 < len(done.stderr.splitlines()) <= 4


def test_a_file_called_as_a_command_can_be_read(file: Path) -> None:
    path = file.rename(file.with_name("trend"))
    done = subprocess.run(
        [sys.executable, "-m", "custodes", "horizon", "./trend", "--bootstrap", "0"],
        cwd=path.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "late" in done.stdout
    assert horizon("runs", path, "--bootstrap", 0).returncode == 0


def test_the_trend_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "agents.csv"
    path.write_text(
        "agent,release_date,p50\nx,2023-01-01,4\na,2024-01-01,10\nb,2024-12-31,20\nc,2025-01-01,9\n"
    )
    done = horizon("trend", path, "--from", "2024-01-01", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert (found["schema"], found["from"]) == ("custodes.horizon-trend/1", "2024-01-01")
    assert found["doubling_time_days"]["estimate"] == pytest.approx(365)
    assert found["doubling_time_days"]["low"] is None
    assert "replicates" in found["doubling_time_days"]["note"]
    assert [one["used"] for one in found["agents"]] == [False, True, True, False]
    shown = horizon("trend", path)
    assert "365" not in shown.stdout.splitlines()[0] and "on the line" in shown.stdout
    path.write_text("agent,release_date,p50\na,2024-01-01,10\nb,2024-12-31,5\n")
    done = horizon("trend", path)
    assert done.returncode == 3 and "none" in done.stdout.splitlines()[0]


def test_horizons_become_a_trend(file: Path, tmp_path: Path) -> None:
    printed = tmp_path / "horizons.json"
    printed.write_text(horizon(file, "--bootstrap", 0, "--json").stdout)
    dates = tmp_path / "dates.csv"
    dates.write_text("agent,release_date\nearly,2024-01-01\nlate,2025-01-01\n")
    done = horizon("trend", printed, "--dates", dates, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["doubling_time_days"]["estimate"] > 0


def test_an_interruption_promises_nothing(file: Path) -> None:
    code = (
        "import custodes.horizon as h\ndef stop(*a, **k): raise KeyboardInterrupt\n"
        "h.read_runs = h.read_releases = stop\nfrom custodes.cli import main\n"
        f"main(['horizon', WORDS{str(file)!r}])"
    )
    for words in ("", "'trend', "):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("WORDS", words)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (4, "custodes: interrupted\n")


def test_neither_inspect_nor_plots_are_loaded(file: Path) -> None:
    code = (
        "import sys\nfrom custodes.cli import main\n"
        f"try: main(['horizon', {str(file)!r}, '--bootstrap', '10'])\nexcept SystemExit: pass\n"
        "print(sorted({'inspect_ai', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]" and "late" in done.stdout
