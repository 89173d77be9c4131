"""Whatever a table holds, it is read or refused in one line that names the file."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from custodes.validation import BadLabels, BadScores, Plan, read_labels, read_scores
from custodes.validation import validate_scores as validate

_cell = st.one_of(
    st.sampled_from(
        ["a.json", "violation", "benign", "test", "calibration", "0", "1", "0.5", "nan", "-1", "",
         "1e400", "99", " true ", '"', "a,b", "\u202e", "\x1b[31m", "\r", "../..", "é", "c1", "c2"]
    ),
    st.text(max_size=8),
)  # fmt: skip
_columns = st.lists(
    st.sampled_from(
        ["path", "label", "run", "cluster", "harm_at", "split", "model", "score", "team", "path "]
    ),
    min_size=1,
    max_size=7,
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(st.binary(max_size=60))
    columns = draw(_columns)
    rows = draw(st.lists(st.lists(_cell, min_size=1, max_size=len(columns) + 1), max_size=6))
    text = "\n".join(",".join(row) for row in [columns, *rows])
    return text.encode("utf-8", "surrogatepass")


@given(tables())
def test_labels_are_read_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.csv"
        path.write_bytes(data)
        try:
            labels = read_labels(str(path))
        except BadLabels as error:
            assert str(error).startswith(f"{path}:")
            assert "expected" in str(error)
            return
        assert len(labels) == len(list(labels)) > 0
        for label in labels:
            assert label.path
            assert os.path.isabs(labels.place_of(label))
            assert label.harm_at is None or label.violation


@given(tables(), st.sampled_from([1.0, 100.0]))
def test_scores_are_read_or_refused(data: bytes, scale: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        path.write_bytes(data)
        try:
            table = read_scores(str(path), scale=scale)
        except BadScores as error:
            assert str(error).startswith(f"{path}:")
            assert "expected" in str(error)
            return
        assert table.rows
        assert all(row.score is None or 0 <= row.score <= 1 for row in table.rows)
        result = validate(table, Plan(fprs=(0.2,)))
        figures = result.monitors[0].per_transcript
        counted = figures.confusion
        assert (
            counted.tp
            + counted.fp
            + counted.tn
            + counted.fn
            + counted.missing_positive
            + counted.missing_negative
            == len(table.rows)
        )
