"""Release tables: every form, every fault, and the published doubling times."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from custodes.horizon import BadInput, read_dates, read_releases
from custodes.statistics import trend

ROWS: list[dict[str, Any]] = [
    {"agent": "a", "release_date": "2024-01-01", "p50": 10},
    {"agent": "b", "release_date": "2025-01-01", "p50": 40.5},
    {"agent": "c", "release_date": "2025-06-01", "p50": None},
]


def write(folder: Path, text: str, name: str = "file") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def forms() -> dict[str, str]:
    ours = {
        "schema": "custodes.horizon/1",
        "agents": [
            {**row, "cheats": way, "p50": {"estimate": row["p50"], "low": None, "high": None}}
            for way in ("fail", "pass")
            for row in ROWS
        ],
    }
    return {
        "lines": "".join(json.dumps(row) + "\n" for row in ROWS),
        "array": json.dumps(ROWS),
        "csv": "agent,release_date,p50\na,2024-01-01,10\nb,2025-01-01,40.5\nc,2025-06-01,\n",
        "other names": "alias,date,horizon\na,2024-01-01,10\nb,2025-01-01,40.5\nc,2025-06-01,\n",
        "ours": json.dumps(ours, indent=1),
        "versions": json.dumps(
            {
                "2.0": {
                    "agents": {
                        row["agent"]: {
                            "release_date": row["release_date"],
                            "p50": {"estimate": row["p50"], "ci_low": 1},
                        }
                        for row in ROWS
                    }
                }
            },
            indent=1,
        ),
    }


@pytest.mark.parametrize("form", list(forms()))
def test_every_form_gives_the_same_releases(tmp_path: Path, form: str) -> None:
    found = read_releases(write(tmp_path, forms()[form]))
    assert [(one.agent, one.date, one.p50) for one in found] == [
        ("a", date(2024, 1, 1), 10.0),
        ("b", date(2025, 1, 1), 40.5),
        ("c", date(2025, 6, 1), None),
    ]


def test_dates_come_from_a_table_of_their_own(tmp_path: Path) -> None:
    bare = write(tmp_path, "agent,p50\na,1\nb,2\n", "bare")
    dates = write(
        tmp_path, "agent,release_date\nb,2025-01-01\na,2024-01-01\nx,2020-01-01\n", "dates"
    )
    assert [one.date.year for one in read_releases(bare, dates=dates)] == [2024, 2025]
    assert read_dates(dates)["x"] == date(2020, 1, 1)
    with pytest.raises(
        BadInput, match=r"bare:2: expected the release date of 'a', found none.*--dat"
    ):
        read_releases(bare)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agent,release_date,p50\na,soon,1\n", "file:2: expected a release date as YYYY-MM-DD"),
        ("agent,release_date,p50\na,2024-13-01,1\n", "found '2024-13-01'"),
        ("agent,release_date,p50\na,20240101x,1\n", "YYYY-MM-DD"),
        ("agent,release_date,p50\na,2024-01-01,-1\n", "expected p50 in minutes, 0 or more and fin"),
        (
            "agent,release_date,p50\na,2024-01-01,nan\n",
            "expected p50 in minutes, 0 or more and fin",
        ),
        (
            "agent,release_date,p50\na,2024-01-01,inf\n",
            "expected p50 in minutes, 0 or more and fin",
        ),
        (
            "agent,release_date,p50\na,2024-01-01,2 hours\n",
            "expected p50 in minutes, found '2 hours'",
        ),
        ("agent,release_date,p50\na,2024-01-01,1\na,2024-01-01,1\n", "file:3: expected each agent"),
        ("agent,release_date\na,2024-01-01\n", "file:2: expected a field p50 or horizon"),
        ("release_date,p50\n2024-01-01,1\n", "file:2: expected a field agent or alias"),
        ("agent,release_date,p50\n", "expected agents with a release date and a p50, found none"),
        ("", "expected agents with a release date and a p50, found none"),
        ('{"some": "document"}', "found another document"),
        ('{"1": {"agents": {}}, "2": {"agents": {}}}', "expected --version, one of 1, 2"),
        ('{"1": {"agents": {"a": 3}}}', "version 1, agent 'a': expected an object"),
    ],
)
def test_a_fault_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_releases(write(tmp_path, text))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_version_is_asked_of_a_file_that_has_some(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a version"):
        read_releases(write(tmp_path, forms()["versions"]), version="3.0")
    with pytest.raises(BadInput, match="expected versions in a file that --version is given for"):
        read_releases(write(tmp_path, forms()["csv"]), version="2.0")


@pytest.mark.parametrize(("since", "days"), [(date(2023, 1, 1), 130.801), (None, 196.475)])
def test_the_published_doubling_times(shared_data: Path, since: date | None, days: float) -> None:
    path = str(shared_data / "horizon" / "published_2026-01.json")
    found = trend(read_releases(path, version="1.1"), since=since)
    assert found.doubling_time_days.estimate == pytest.approx(days, abs=5e-4)


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        (5, "expected a list of agents, found 5"),
        (["x"], "agent 1: expected an object, found 'x'"),
        ([{"p50": {"estimate": 1}}], "agent 1: expected a field agent"),
    ],
)
def test_a_damaged_document_is_refused_in_one_line(
    tmp_path: Path, agents: object, said: str
) -> None:
    path = tmp_path / "horizons.json"
    path.write_text(json.dumps({"schema": "custodes.horizon/1", "agents": agents}))
    with pytest.raises(BadInput) as refused:
        read_releases(str(path))
    assert said in str(refused.value)


def test_cheats_counted_as_successes_are_read_where_there_is_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "horizons.json"
    agents = [
        {"agent": "a", "cheats": way, "release_date": "2024-01-01", "p50": {"estimate": minutes}}
        for way, minutes in (("fail", 1.0), ("pass", 2.0))
    ]
    for given, minutes in ((agents, 1.0), (agents[1:], 2.0)):
        path.write_text(json.dumps({"schema": "custodes.horizon/1", "agents": given}))
        assert [one.p50 for one in read_releases(str(path))] == [minutes]


@pytest.mark.parametrize("day", ["20240101", "2024-W30-1", "2024-1-1", "2024-02-30"])
def test_other_forms_of_dates_are_refused(tmp_path: Path, day: str) -> None:
    path = tmp_path / "agents.csv"
    path.write_text(f"agent,release_date,p50\na,{day},1\n")
    with pytest.raises(BadInput, match="expected a release date as YYYY-MM-DD"):
        read_releases(str(path))
