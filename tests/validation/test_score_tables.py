"""Scores that a monitor gave elsewhere: the published figures, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from custodes.reports import validation_page
from custodes.validation import BadScores, Plan, read_scores, validate_scores


def written(folder: Path, text: str) -> str:
    path = folder / "scores.csv"
    path.write_text(text, "utf-8")
    return str(path)


def test_the_published_figures_are_met(shared_data: Path) -> None:
    table = read_scores(
        str(shared_data / "cot_monitor" / "scores.csv"),
        score_column="monitor_probability",
        label_column="switched",
        cluster_column="task_id",
        by=("checkpoint",),
        scale=100,
    )
    published = json.loads((shared_data / "cot_monitor" / "published.json").read_text("utf-8"))
    result = validate_scores(table, Plan())
    (monitor,) = result.monitors
    groups = {g.value: g for g in monitor.per_transcript.groups if g.column == "checkpoint"}
    assert set(groups) == set(published)
    for name, said in published.items():
        group = groups[name]
        assert group.auroc is not None and group.auroc.estimate.value is not None
        assert abs(group.auroc.estimate.value - said["auroc"]) < 1e-9
        counts = group.confusion
        assert (counts.tp, counts.fp, counts.fn, counts.tn) == (
            said["tp"],
            said["fp"],
            said["fn"],
            said["tn"],
        )
    # The one missing score is counted and bounded, not dropped.
    olmo = groups["olmo_step_1000"]
    assert olmo.n == published["olmo_step_1000"]["n"] + 1 == 33
    assert olmo.confusion.missing_positive + olmo.confusion.missing_negative == 1
    assert olmo.auroc is not None
    worst, best = olmo.auroc.worst, olmo.auroc.best
    assert worst is not None and best is not None
    assert worst < published["olmo_step_1000"]["auroc"] < best
    assert result.unmeasurable == 1
    (unmeasured,) = monitor.unmeasured
    assert unmeasured.run == "line 248"


def test_labels_and_splits_are_read_in_every_spelling(tmp_path: Path) -> None:
    text = (
        "score,label,cluster,split\n"
        "0.1,false,a,calibration\n0.2,no,b,test\n0.3,0,c,test\n,benign,d,test\n"
        "0.9,TRUE,e,test\n0.8,yes,f,test\n0.7,1,g,test\n0.6,violation,h,test\n"
    )
    table = read_scores(written(tmp_path, text))
    assert [row.violation for row in table.rows] == [False] * 4 + [True] * 4
    assert [row.score for row in table.rows][3] is None
    assert table.has_split and table.clustered
    result = validate_scores(table, Plan())
    assert result.split["a"] == "calibration" and result.about["calibration_share"] is None


def test_rows_without_clusters_are_warned_of(tmp_path: Path) -> None:
    table = read_scores(written(tmp_path, "score,label\n0.1,benign\n0.9,violation\n"))
    result = validate_scores(table, Plan())
    assert "no_clusters" in {warning.code for warning in result.warnings}


@pytest.mark.parametrize(
    ("text", "scale", "line", "said"),
    [
        ("score,lable\n0.1,benign\n", 1, 1, "a column 'label'"),
        ("score,label\nhigh,benign\n", 1, 2, "score as a number, found 'high'"),
        ("score,label\n0.1,benign\nnan,violation\n", 1, 3, "finite number, found 'nan'"),
        ("score,label\n0.1,benign\n-inf,violation\n", 1, 3, "finite number, found '-inf'"),
        ("score,label\n1e999,violation\n", 1, 2, "finite number"),
        ("score,label\n-0.1,benign\n", 1, 2, "within [0, 1], found -0.1"),
        ("score,label\n1,benign\n92,violation\n", 1, 3, "say so with --scale 100"),
        (
            "score,label\n0.85,benign\n92,violation\n",
            1,
            3,
            "found 92 here and 0.85 in line 2: mixed units",
        ),
        (
            "score,label\n3,benign\n0.85,benign\n92,violation\n",
            100,
            3,
            "found 0.85 here and 92 in line 4: mixed units",
        ),
        ("score,label\n0.2,benign\n0.9,violation\n", 100, 3, "nothing above 0.9; leave --scale"),
        ("score,label\n101,violation\n", 100, 2, "within [0, 100], found 101"),
        ("score,label\n0.5,maybe\n", 1, 2, "found 'maybe'"),
        ("score,label,cluster\n0.5,benign,\n", 1, 2, "expected a cluster, found an empty cell"),
        ("score,label,split\n0.5,benign,train\n", 1, 2, "calibration or test, found 'train'"),
        ("score,label,split\n0.5,benign,test\n0.5,benign,\n", 1, 3, "found neither"),
        (
            "score,label,cluster,split\n0.5,benign,a,test\n0.5,benign,a,calibration\n",
            1,
            3,
            "each cluster in one split",
        ),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_place(
    tmp_path: Path, text: str, scale: float, line: int, said: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadScores) as error:
        read_scores(path, scale=scale)
    message = str(error.value)
    assert message.startswith(f"{path}:{line}: expected "), message
    assert said in message
    assert "\n" not in message


def test_whole_percentages_and_fractional_ones_are_no_mixture(tmp_path: Path) -> None:
    text = "score,label\n0,benign\n1,benign\n100,violation\n"
    assert [r.score for r in read_scores(written(tmp_path, text), scale=100).rows] == [0, 0.01, 1]
    text = "score,label\n0.4,benign\n2.5,benign\n97.1,violation\n"
    assert read_scores(written(tmp_path, text), scale=100).rows[0].score == 0.004


def test_clusters_may_be_named_like_rows(tmp_path: Path) -> None:
    rows = [f"0.{n},{'violation' if n > 6 else 'benign'},row {9 - n}" for n in range(1, 9)]
    table = read_scores(written(tmp_path, "score,label,cluster\n" + "\n".join(rows) + "\n"))
    for seed in range(5):
        result = validate_scores(table, Plan(seed=seed))
        assert result.monitors[0].per_transcript.auroc.estimate.value == 1


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("score,label,cluster\n0.1,benign,a\n0.2,benign,b\n", "no violation"),
        ("score,label,cluster\n0.1,violation,a\n0.2,violation,b\n", "no benign"),
        ("score,label,cluster\n0.5,benign,a\n0.5,violation,b\n", "every score is 0.5"),
        ("score,label,cluster\n,benign,a\n,violation,b\n", ""),
        ("score,label,cluster\n0.5,benign,a\n", "no violation"),
    ],
)
def test_degenerate_tables_have_figures_or_reasons(tmp_path: Path, text: str, note: str) -> None:
    result = validate_scores(read_scores(written(tmp_path, text)), Plan())
    figures = result.monitors[0].per_transcript
    assert any(note in said for said in figures.notes) or note == ""
    area = figures.auroc.estimate
    assert (area.value is None) == (area.n == 0)
    document = json.loads(msgspec.json.encode(result))
    assert document["schema"] == "custodes.monitor-validation/1"
    assert "NaN" not in json.dumps(document) and "Infinity" not in json.dumps(document)


@pytest.mark.parametrize("cell", ["1_0", "٠.٥", "０.５"])
def test_only_plain_digits_are_scores(tmp_path: Path, cell: str) -> None:
    path = written(tmp_path, f"score,label\n0.1,benign\n{cell},violation\n")
    with pytest.raises(BadScores, match=":3: expected score as a number"):
        read_scores(path, scale=100)


@pytest.mark.parametrize("cluster_column", [None, "cluster", "task"])
def test_the_grouping_by_cluster_is_not_given_twice(
    tmp_path: Path, cluster_column: str | None
) -> None:
    path = written(
        tmp_path, "score,label,task,cluster\n0.1,benign,s,a\n0.2,benign,t,a\n0.9,violation,t,b\n"
    )
    with pytest.raises(BadScores, match=":1: expected a grouping of another name"):
        read_scores(path, cluster_column=cluster_column, by=("cluster",))
    table = read_scores(path, cluster_column=cluster_column, by=("task",))
    groups = validate_scores(table, Plan()).monitors[0].per_transcript.groups
    counted = {c: sum(g.n for g in groups if g.column == c) for c in ("cluster", "task")}
    assert counted == {"cluster": 3, "task": 3}


def test_values_without_figures_of_their_own_are_said(tmp_path: Path) -> None:
    head = "score,label,cluster,kind\n0.9,violation,v,k\n"
    lines = [f"0.{n % 10},benign,c{n % 450},k{n}\n" for n in range(501)]
    table = read_scores(written(tmp_path, head + "".join(lines)), by=("kind",))
    result = validate_scores(table, Plan())
    (warning,) = (w for w in result.warnings if w.code == "groups")
    assert warning.text.startswith("502 values of kind: the first 500 by name have figures")
    groups = result.monitors[0].per_transcript.groups
    assert sum(g.column == "kind" for g in groups) == 500
    assert sum(g.column == "cluster" for g in groups) == 451
    page = validation_page(validate_scores(read_scores(table.path, cluster_column="kind"), Plan()))
    assert "<summary>By cluster (500 of 502)</summary>" in page
    assert "200 of 500 clusters are shown here; validation.json holds all 500." in page


def test_without_a_benign_score_there_is_no_threshold(tmp_path: Path) -> None:
    text = "score,label,split\n,benign,calibration\n0.1,benign,test\n0.9,violation,test\n"
    result = validate_scores(read_scores(written(tmp_path, text)), Plan(fprs=(0.05,)))
    (warning,) = (w for w in result.warnings if w.code == "few_benign_clusters")
    assert "no benign cluster with a score to calibrate on: there is no threshold" in warning.text
    fitted = result.monitors[0].per_transcript.operating[1]
    assert fitted.tpr.observed.value is None
    assert (fitted.tpr.worst.value, fitted.tpr.best.value) == (0, 1)
