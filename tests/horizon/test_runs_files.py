"""Runs files of every accepted form give the same runs, and every fault one line with its place."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.horizon import BadInput, read_runs
from custodes.statistics import horizons

ROWS: list[dict[str, Any]] = [
    {
        "run_id": f"r{number}",
        "alias": agent,
        "task_id": f"t{task}",
        "task_family": f"f{task // 2}",
        "human_minutes": 2.0**task,
        "score_binarized": int(task + number % 2 < 4),
        "score_cont": 0.25,
    }
    for number, (agent, task) in enumerate((a, t) for a in ("one", "two") for t in range(6))
]


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def renamed(rows: list[dict[str, Any]], **names: str) -> list[dict[str, Any]]:
    return [{names.get(key, key): value for key, value in row.items()} for row in rows]


def write(folder: Path, text: str | bytes, name: str = "runs") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def fault(folder: Path, text: str | bytes, **options: Any) -> str:
    with pytest.raises(BadInput) as refused:
        read_runs([write(folder, text)], **options)
    line = str(refused.value)
    assert "\n" not in line and line.isprintable()
    return line.removeprefix(str(folder) + "/")


@pytest.mark.parametrize(
    "text",
    [
        as_lines(ROWS),
        as_lines(renamed(ROWS, alias="agent")),
        as_lines(renamed(ROWS, alias="model", task_id="task", task_family="family")),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=1),
        as_csv(ROWS),
        as_csv(ROWS).replace("\n", "\r\n"),
        "\ufeff" + as_csv(ROWS),
        as_csv(renamed(ROWS, score_binarized="success")),
    ],
    ids=[
        "lines",
        "new names",
        "short names",
        "array",
        "indented",
        "csv",
        "crlf",
        "mark",
        "success",
    ],
)
def test_every_form_gives_the_same_runs(tmp_path: Path, text: str) -> None:
    runs, (file,) = read_runs([write(tmp_path, text)])
    assert runs.agents == ("one", "two") and len(runs.tasks) == 6 and len(runs.families) == 3
    assert runs.task_minutes.tolist() == [2.0**task for task in range(6)]
    assert runs.run_score.tolist() == [row["score_binarized"] for row in ROWS]
    assert (file.rows, file.by_people, file.fatal) == (12, 0, 0)


def test_several_files_are_one_set(tmp_path: Path) -> None:
    whole, _ = read_runs([write(tmp_path, as_lines(ROWS))])
    parts = [
        write(tmp_path, as_csv(ROWS[:5]), "a.csv"),
        write(tmp_path, json.dumps(ROWS[5:]), "b.json"),
    ]
    runs, files = read_runs(parts)
    assert [file.rows for file in files] == [5, 7]
    assert horizons(runs, bootstrap=0) == horizons(whole, bootstrap=0)


def test_the_score_is_chosen_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, as_lines(ROWS))
    assert set(read_runs([path], scoring="continuous")[0].run_score.tolist()) == {0.25}


def test_people_are_left_out_and_counted(tmp_path: Path) -> None:
    people = [{**row, "alias": "human", "run_id": f"h{row['run_id']}"} for row in ROWS[:4]]
    runs, (file,) = read_runs([write(tmp_path, as_lines(people + ROWS))])
    assert runs.agents == ("one", "two") and (file.rows, file.by_people) == (16, 4)


def test_a_run_without_a_score_is_not_one_that_failed(tmp_path: Path) -> None:
    rows = [{**row, "score_binarized": None if row["run_id"] == "r0" else row["score_binarized"]}
            for row in ROWS]  # fmt: skip
    for text in (as_lines(rows), as_csv(rows)):
        runs, _ = read_runs([write(tmp_path, text)])
        assert math.isnan(runs.run_score[0]) and not math.isnan(runs.run_score[1])
        assert [agent.unscored for agent in horizons(runs, bootstrap=0)] == [1, 0]


def test_cheats_are_read(tmp_path: Path) -> None:
    rows = [{**row, "cheated": row["run_id"] == "r1"} for row in ROWS]
    for text in (as_lines(rows), as_csv(rows), as_csv(renamed(rows, cheated="reward_hacked"))):
        assert read_runs([write(tmp_path, text)])[0].run_cheated.tolist().count(True) == 1


def changed(place: int, **values: Any) -> list[dict[str, Any]]:
    return [{**row, **values} if at == place else row for at, row in enumerate(ROWS)]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (changed(3, human_minutes=-5), "runs:4: expected human_minutes above 0, found -5"),
        (changed(3, human_minutes=0), "runs:4: expected human_minutes above 0, found 0"),
        (
            changed(3, human_minutes="ten"),
            "runs:4: expected a number as human_minutes, found 'ten'",
        ),
        (changed(3, human_minutes=None), "runs:4: expected human_minutes above 0, found none"),
        (changed(3, human_minutes=1e300), "human_minutes from 1e-06 to 1e+09, found 1e+300"),
        (changed(3, score_binarized=7), "runs:4: expected score_binarized within [0, 1], found 7"),
        (changed(3, score_binarized="inf"), "expected a finite number as score_binarized"),
        (changed(3, alias=""), "runs:4: expected a name as alias, found ''"),
        (changed(3, cheated="perhaps"), "expected true or false as cheated"),
        (
            changed(3, run_id="r0"),
            "runs:4: expected each run once, found run 'r0' twice (first in line 1)",
        ),
        (
            changed(7, human_minutes=120.0),
            "runs:8: expected one length per task, found 't1' with 2",
        ),
        (
            changed(7, task_family="other"),
            "runs:8: expected one family per task, found 't1' in 'f0'",
        ),
        (renamed(ROWS, alias="who"), "runs:1: expected a column agent or alias or model (who ran)"),
        (renamed(ROWS, human_minutes="human_hours"), "found human_hours; convert it to minutes"),
        (renamed(ROWS, score_binarized="grade"), "--score chooses binarized or continuous"),
    ],
)
def test_a_fault_is_one_line_with_its_place(
    tmp_path: Path, rows: list[dict[str, Any]], said: str
) -> None:
    if said.endswith("cheated"):
        rows = [{"cheated": False, **row} for row in rows]
    assert said in fault(tmp_path, as_lines(rows))


def test_a_contradiction_names_both_places(tmp_path: Path) -> None:
    line = fault(tmp_path, as_csv(changed(7, human_minutes=120.0)))
    assert line.startswith("runs:9: ") and line.endswith("(first in line 3)")
    assert "record" not in line
    first = write(tmp_path, as_lines(ROWS[:6]), "first.jsonl")
    second = write(tmp_path, as_lines([ROWS[2]]), "second.jsonl")
    with pytest.raises(BadInput, match=r"second.jsonl:1: .*r2.*first.jsonl, line 3\)"):
        read_runs([first, second])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "expected runs, found none"),
        (b"[]", "expected runs, found none"),
        (b"a,b\n", "expected runs, found none"),
        (b"[1, 2]", "record 1: expected an object, found 1"),
        (b'{"alias": "a"}\n[3]\n', "expected a column task_id"),
        (b'{"alias": ', "invalid JSON"),
        (b'{"a": 1, "a": 2}\n', "twice"),
        (b"agent,task_id\n\xff\xfe,1\n", "runs:2: expected UTF-8"),
        (b"agent,agent\n1,2\n", "runs:1: expected each column once, found 'agent' twice"),
        (as_csv(ROWS).encode() + b"1,2\n", "runs:14: expected 7 fields as in the header, found 2"),
        (b'agent,task_id\n"open,1\n', "expected CSV, found"),
        (b"[" * 5000, "nested deeper than 60"),
        (b"\xff\xfea\x00", "UTF-16"),
        (b"PK\x03\x04 no archive", "zip"),
        (b'agent,x\n"\x1b[31mred",1\n', "expected a column task_id"),
    ],
)
def test_hostile_files_are_refused_in_one_line(tmp_path: Path, text: bytes, said: str) -> None:
    assert said in fault(tmp_path, text)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    with pytest.raises(BadInput):
        read_runs([write(folder, data, "any")])


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_a_damaged_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, piece: bytes
) -> None:
    data = as_csv(ROWS).encode()
    path = write(tmp_path_factory.getbasetemp(), data[:at] + piece + data[at + 1 :], "damaged")
    try:
        runs, _ = read_runs([path])
    except BadInput as error:
        assert "damaged" in str(error)
    else:
        assert all(0 <= score <= 1 for score in runs.run_score if not math.isnan(score))


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a plain file"):
        read_runs([str(tmp_path)])
    with pytest.raises(BadInput, match="none: expected a file to read, found: No such file"):
        read_runs([str(tmp_path / "none")])
    with pytest.raises(BadInput, match=r"-: expected a file.*standard input is not read"):
        read_runs(["-"])


def test_compressed_files_and_other_separators_are_named(tmp_path: Path) -> None:
    assert "found gzip; unpack it first" in fault(tmp_path, gzip.compress(as_csv(ROWS).encode()))
    for sign, word in ((";", "semicolons"), ("\t", "tabs")):
        line = fault(tmp_path, as_csv(ROWS).replace(",", sign))
        assert line == f"runs:1: expected columns separated by commas, found {word}"


@pytest.mark.parametrize("form", ["lines", "array"])
def test_nan_in_json_is_nothing_and_infinity_no_number(tmp_path: Path, form: str) -> None:
    def text(**values: float) -> str:
        rows = changed(3, **values)
        return as_lines(rows) if form == "lines" else json.dumps(rows)

    runs, _ = read_runs([write(tmp_path, text(score_binarized=math.nan))])
    assert [place for place, score in enumerate(runs.run_score) if math.isnan(score)] == [3]
    assert "expected human_minutes above 0, found none" in fault(
        tmp_path, text(human_minutes=math.nan)
    )
    assert "expected a finite number as human_minutes, found inf" in fault(
        tmp_path, text(human_minutes=math.inf)
    )


def test_space_around_names_makes_no_other_agent(tmp_path: Path) -> None:
    rows = [{**row, "alias": row["alias"] + " " * (at % 2), "task_id": f" {row['task_id']}"}
            for at, row in enumerate(ROWS)]  # fmt: skip
    runs, _ = read_runs([write(tmp_path, as_csv(rows))])
    assert (runs.agents, runs.tasks[0]) == (("one", "two"), "t0")


def test_people_alone_are_no_runs(tmp_path: Path) -> None:
    people = [{**row, "alias": "human"} for row in ROWS]
    assert fault(tmp_path, as_csv(people)).endswith("one run, found 12 by people alone")


def test_a_scorer_is_for_logs(tmp_path: Path) -> None:
    assert "expected a log of Inspect with --scorer" in fault(
        tmp_path, as_csv(ROWS), scorer="check"
    )


def sample(number: int, **values: Any) -> dict[str, Any]:
    return {
        "id": f"t{number}",
        "epoch": 1,
        "metadata": {"human_minutes": 2.0**number, "task_family": f"f{number // 2}"},
        "scores": {"check": {"value": "C" if number < 3 else "I"}},
        "messages": [{"role": "user", "content": "no" * 100}],
        **values,
    }


def log(folder: Path, samples: list[dict[str, Any]], kind: str = "eval", name: str = "log") -> str:
    header = {"version": 2, "eval": {"model": "provider/model", "task": "suite", "eval_id": "e1"}}
    path = folder / f"{name}.{kind}"
    if kind == "json":
        path.write_text(json.dumps({**header, "samples": samples}))
        return str(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header))
        archive.writestr("summaries.json", "[]")
        for number, one in enumerate(samples):
            archive.writestr(f"samples/{number}_epoch_1.json", json.dumps(one))
    return str(path)


@pytest.mark.parametrize("kind", ["eval", "json"])
def test_logs_of_inspect_are_read(tmp_path: Path, kind: str) -> None:
    samples = [sample(number) for number in range(6)]
    samples[5] = sample(5, scores={}, error={"message": "crashed"})
    runs, (file,) = read_runs([log(tmp_path, samples, kind)])
    assert runs.agents == ("provider/model",)
    assert runs.tasks[0] == "suite/t0" and runs.families == ("f0", "f1", "f2")
    assert runs.run_score[:5].tolist() == [1, 1, 1, 0, 0] and math.isnan(runs.run_score[5])
    assert (file.rows, file.fatal, file.columns) == (6, 1, None)


@pytest.mark.parametrize(
    ("samples", "scorer", "said"),
    [
        ([sample(0, metadata={})], None, "expected human_minutes in the sample's metadata"),
        ([sample(0, metadata=None)], None, "expected human_minutes in the sample's metadata"),
        ([sample(0, scores={"a": {"value": 1}, "b": {"value": 0}})], None, "'a, b'"),
        ([sample(0)], "other", "expected the scorer 'other', found check"),
        ([sample(0, scores={"a": {"value": [1, 2]}})], None, "as the score of 'a', found [1, 2]"),
        ([sample(0, scores={"a": {"value": "NaN"}})], None, "as the score of 'a', found 'NaN'"),
        ([sample(0, scores={"a": {"value": 3}})], None, "within [0, 1], found 3"),
        ([sample(0), sample(0)], None, "expected each run once"),
        ([], None, "expected runs, found none"),
    ],
)
def test_a_faulty_log_is_one_line_with_the_sample(
    tmp_path: Path, samples: list[dict[str, Any]], scorer: str | None, said: str
) -> None:
    for kind in ("eval", "json"):
        with pytest.raises(BadInput) as refused:
            read_runs([log(tmp_path, samples, kind)], scorer=scorer)
        assert said.strip("'") in str(refused.value)


def test_one_of_several_scorers_is_chosen(tmp_path: Path) -> None:
    both = {"a": {"value": 1}, "b": {"value": 0.5}}
    path = log(tmp_path, [sample(0, scores=both)])
    assert read_runs([path], scorer="b")[0].run_score.tolist() == [0.5]


def test_the_same_log_twice_is_refused(tmp_path: Path) -> None:
    samples = [sample(number) for number in range(3)]
    paths = [log(tmp_path, samples), log(tmp_path, samples, "json", "copy")]
    with pytest.raises(BadInput, match="expected each run once"):
        read_runs(paths)


def test_recorded_logs_say_what_they_lack(shared_data: Path) -> None:
    with pytest.raises(BadInput, match="expected human_minutes in the sample's metadata"):
        read_runs([str(shared_data / "inspect_logs" / "docent__log.eval")])


def test_the_recorded_runs(shared_data: Path) -> None:
    runs, (file,) = read_runs([str(shared_data / "horizon" / "metr_runs_2025-02.jsonl")])
    assert (file.rows, file.by_people) == (7063, 211)
    assert (len(runs.agents), len(runs.tasks), len(runs.families)) == (10, 83, 36)
