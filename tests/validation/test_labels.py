"""Files of labels: what they say, and one clear line for what they should not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from custodes.validation import BadLabels, read_labels

from .corpus import log


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "labels.csv"
    path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
    return str(path)


def test_every_column_is_read(tmp_path: Path) -> None:
    log(tmp_path / "a.json", "ls")
    text = (
        "path,run,label,cluster,harm_at,split,model,team\n"
        "a.json,one,violation,c1,7,test,m,red\n"
        "\n"
        "a.json,two,benign,c2,,calibration,,\n"
    )
    labels = read_labels(written(tmp_path, text))
    first, second = labels
    assert (first.line, first.path, first.run, first.violation) == (2, "a.json", "one", True)
    assert (first.cluster, first.harm_at, first.split) == ("c1", 7, "test")
    assert first.groups == {"model": "m", "team": "red"}
    assert (second.line, second.violation, second.harm_at) == (4, False, None)
    assert second.groups == {}
    assert labels.has_split and len(labels) == 2


def test_paths_are_as_given_or_beside_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = log(tmp_path / "data" / "a.json", "ls")
    here = log(tmp_path / "here" / "a.json", "ls")
    path = tmp_path / "data" / "labels.csv"
    path.write_text("path,label\na.json,benign\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    (label,) = read_labels(str(path))
    assert read_labels(str(path)).place_of(label) == os.path.realpath(beside)
    monkeypatch.chdir(tmp_path / "here")
    assert read_labels(str(path)).place_of(label) == os.path.realpath(here)


def test_a_label_of_a_run_is_stronger_than_one_of_its_file(tmp_path: Path) -> None:
    text = "path,run,label\na.json,,benign\na.json,two,violation\n"
    labels = read_labels(written(tmp_path, text))
    place = os.path.realpath("a.json")
    one, two = labels.of(place, "one"), labels.of(place, "two")
    assert one is not None and not one.violation
    assert two is not None and two.violation
    assert labels.of(os.path.realpath("b.json"), "one") is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 1, "found an empty file"),
        ("path,label\n", 1, "expected rows"),
        ("path,lable\na,benign\n", 1, "expected a column 'label', found 'path', 'lable'"),
        ("file,verdict\na,benign\n", 1, "expected columns 'path', 'label'"),
        ("path,label,label\na,benign,benign\n", 1, "each column once"),
        ("path,label,\na,benign,x\n", 1, "a name for column 3"),
        ("path,label\na,benign\nb,malicious\n", 3, "violation or benign, found 'malicious'"),
        ("path,label\na,\n", 2, "violation or benign, found ''"),
        ("path,label\n,benign\n", 2, "the path of a log"),
        ("path,label\na,benign,x\n", 2, "expected 2 cells as in the first row, found 3"),
        ("path,label\na,benign\n\na,violation\n", 4, "found 'a' again (line 2)"),
        ("path,run,label\na,r,benign\na,r,benign\n", 3, "found 'a run r' again (line 2)"),
        ("path,label,harm_at\na,violation,-1\n", 2, "harm_at as a whole number from 0"),
        ("path,label,harm_at\na,violation,1.5\n", 2, "harm_at as a whole number from 0"),
        ("path,label,harm_at\na,violation,²\n", 2, "harm_at as a whole number from 0"),
        ("path,label,harm_at\na,benign,3\n", 2, "harm_at only where the label is violation"),
        ("path,label,split\na,benign,train\n", 2, "calibration or test, found 'train'"),
        ("path,label,split\na,benign,test\nb,benign,\n", 3, "as in other rows"),
        (
            "path,label,cluster,split\na,benign,c,test\nb,benign,c,calibration\n",
            3,
            "each cluster in one split, found 'c' in calibration here and in test in line 2",
        ),
        (b"path,label\na,benign\n\xff,benign\n", 3, "UTF-8"),
        ("path,label\na,ben\0ign\n", 2, "zero byte"),
        ('path,label\n"a,benign\n', 2, "comma-separated values"),
        ("path,label\n" + "a" * 100_001 + ",benign\n", 2, "comma-separated values"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_place(
    tmp_path: Path, text: str | bytes, line: int, said: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadLabels) as error:
        read_labels(path)
    message = str(error.value)
    assert message.startswith(f"{path}:{line}: expected "), message
    assert said in message
    assert "\n" not in message


def test_two_names_of_one_file_are_one_run(tmp_path: Path) -> None:
    log(tmp_path / "a.json", "ls")
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    path = written(tmp_path, "path,label\na.json,benign\nb.json,violation\n")
    with pytest.raises(BadLabels, match=r"each run once, found 'b\.json' again"):
        read_labels(path)
