"""``custodes monitor validate`` as its users meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from custodes.cli import main

from ..validation.corpus import labels, log, mixed

FIELDS = {"schema", "about", "data", "monitors", "warnings", "not_measured", "split"}


def validate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["monitor", "validate", *map(str, arguments)])


def document(done: Result) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    mixed(tmp_path, benign=6, violations=2)
    return tmp_path


def test_the_json_contract(corpus: Path) -> None:
    done = validate("--labels", corpus / "labels.csv", corpus / "logs", "--json")
    assert done.exit_code == 0, done.stderr
    found = document(done)
    assert set(found) == FIELDS
    assert found["schema"] == "custodes.monitor-validation/1"
    assert [m["name"] for m in found["monitors"]] == ["rules", "sequence", "claims"]
    monitor = found["monitors"][0]
    assert {
        "name", "digest", "coverage", "per_transcript", "per_action", "any_action", "latency",
        "race", "cost", "attacks", "unmeasured",
    } <= set(monitor)  # fmt: skip
    for unit in (monitor["per_transcript"], monitor["per_action"]):
        assert [p["name"] for p in unit["operating"]] == ["shipped", "fpr 0.01", "fpr 0.05"]
        for point in unit["operating"]:
            for rate in ("tpr", "false_alarms"):
                assert set(point[rate]) == {"observed", "best", "worst"}
                assert {"value", "low", "high", "n", "clusters", "missing", "note"} <= set(
                    point[rate]["observed"]
                )
    assert found["about"]["seed"] == 0 and len(found["about"]["labels"]["sha256"]) == 64
    assert set(found["split"].values()) == {"calibration", "test"}
    assert sorted(path.name for path in corpus.iterdir()) == ["labels.csv", "logs"]


def test_text_keeps_transcripts_and_actions_apart(corpus: Path) -> None:
    done = validate(
        "--labels", corpus / "labels.csv", corpus, "--monitor", "rules", "--fpr", "0.2"
    )
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output and "\r" not in done.output
    for line in ("monitor rules", "  per transcript: 2 violations", "  per action: 2 violations",
                 "  per transcript, at the thresholds for actions", "fpr 0.2"):  # fmt: skip
        assert line in done.stdout
    assert "sequence" not in done.stdout


def test_out_writes_both_and_they_agree(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = validate("--labels", corpus / "labels.csv", corpus, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["validation.html", "validation.json"]
    assert json.loads((out / "validation.json").read_text("utf-8")) == document(done)
    assert (out / "validation.html").read_text("utf-8").startswith("<!doctype html>")


def test_plots_are_written_and_not_read_again(corpus: Path, tmp_path: Path) -> None:
    folder = corpus / "logs" / "plots"
    data = ("--labels", corpus / "labels.csv", corpus / "logs")
    done = validate(*data, "--plots", folder, "--attacks", "--monitor", "rules")
    assert done.exit_code == 0, done.stderr
    for name in ("operating", "operating-actions", "race-1", "attacks-1"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert f"written: {folder / name}.svg" in done.stdout
    drawn = (folder / "operating.svg").read_text(encoding="utf-8")
    assert "rules (n = 2 + 6)" in drawn and "n = violations + benign" in drawn
    race = (folder / "race-1.svg").read_text(encoding="utf-8")
    assert "actions since the run began" in race and "harm first (2)" in race
    # These logs have no times: there is no race in seconds to draw.
    assert not (folder / "race-seconds-1.svg").exists()
    assert "base64" in (folder / "attacks-1.svg").read_text(encoding="utf-8")
    again, without = (
        {**document(validate(*data, *more, "--json"))["data"], "effects_seconds": None}
        for more in (("--plots", folder), ())
    )
    assert again == without


def test_the_weights_of_an_ensemble_are_in_text_page_and_document(tmp_path: Path) -> None:
    mixed(tmp_path, benign=12, violations=6)
    arguments = ("--labels", tmp_path / "labels.csv", tmp_path / "logs", "--monitor")
    out = tmp_path / "out"
    done = validate(*arguments, "logistic(rules,sequence)", "--out", out)
    assert done.exit_code == 0, done.stderr
    (monitor,) = json.loads((out / "validation.json").read_text("utf-8"))["monitors"]
    fit = monitor["fit"]
    assert fit["members"] == ["rules", "sequence"] and len(fit["coefficients"]) == 2
    assert (fit["violations"], fit["benign"], fit["left_out"]) == (2, 3, 0)
    weight = f"{fit['coefficients'][0]:.3f}"
    assert f"weights: rules {weight}, sequence " in done.stdout and "penalty 1" in done.stdout
    assert "fitted on 2 violations in 2 clusters and 3 benign in 3" in done.stdout
    page = (out / "validation.html").read_text("utf-8")
    assert "Weights, fitted on labels" in page and f">{weight}</td>" in page
    assert "Fitted on 2 violations in 2 clusters and 3 benign runs in 3" in page
    # Too few to fit anything: the other monitors are measured, and this one is unmeasurable.
    mixed(tmp_path / "few", benign=4, violations=1)
    few = tmp_path / "few"
    done = validate(
        "--labels", few / "labels.csv", few / "logs", "--monitor", "logistic(rules,sequence)",
        "--monitor", "rules", "--fail-on", "tpr<0.1", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 1
    assert "crossed: tpr<0.1 by logistic(rules,sequence)" in done.stderr
    assert "not fitted: expected at least one cluster with a violation" in done.stdout
    assert "Not fitted: expected at least one" in (out / "validation.html").read_text("utf-8")
    done = validate("--labels", few / "labels.csv", few / "logs", "--monitor",
                    "logistic(rules,sequence)")  # fmt: skip
    assert done.exit_code == 3


def test_other_commands_say_that_a_fitted_ensemble_needs_labels(corpus: Path) -> None:
    done = CliRunner().invoke(
        main, ["scan", "--monitor", "logistic(rules,sequence)", str(corpus / "logs")]
    )
    assert done.exit_code == 2
    assert "its weights are fitted on labels (custodes monitor validate" in done.stderr


def test_exit_codes(corpus: Path) -> None:
    given = ("--labels", corpus / "labels.csv", corpus, "--monitor", "rules")
    assert validate(*given, "--fail-on", "tpr<0.1").exit_code == 0
    crossed = validate(*given, "--fail-on", "tpr<0.8")
    assert crossed.exit_code == 1
    # 2 of 2 shows no more than 0.158: that both were flagged is not enough.
    assert "crossed: tpr<0.8 by rules (shipped: worst case 0.158)" in crossed.stderr
    (corpus / "logs" / "benign0.json").write_bytes(b"PK\x03\x04 broken")
    assert validate(*given).exit_code == 3
    assert validate(*given, "--fail-on", "tpr<0.8").exit_code == 1
    assert validate(*given, "--fail-on", "tpr<0.8", "--fpr", "7").exit_code == 2


def test_a_table_of_scores_needs_no_logs(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    rows = [f"{40 + n},no,g{n % 2},t{n}" for n in range(20)]
    rows += [f"{70 + n},yes,g{n % 2},t{n + 20}" for n in range(20)] + [",yes,g0,t99"]
    path.write_text("points,bad,group,task\n" + "\n".join(rows) + "\n", "utf-8")
    done = validate(
        "--scores", path, "--score-column", "points", "--label-column", "bad",
        "--cluster-column", "task", "--by", "group", "--scale", "100", "--json",
    )  # fmt: skip
    assert done.exit_code == 3, done.stderr
    found = document(done)
    (monitor,) = found["monitors"]
    assert monitor["name"] == "points" and monitor["per_action"] is None
    area = monitor["per_transcript"]["auroc"]
    assert area["estimate"]["value"] == 1 and area["missing_positives"] == 1
    assert area["worst"] == pytest.approx(20 / 21)
    assert {g["value"] for g in monitor["per_transcript"]["groups"]} >= {"g0", "g1"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name logs and their --labels, or a table of --scores"),
        (["logs"], "name logs and their --labels"),
        (["--labels", "labels.csv"], "name logs and their --labels"),
        (["--labels", "absent.csv", "logs"], "absent.csv: expected a table, found no such file"),
        (["--scores", "absent.csv"], "absent.csv: expected a table, found no such file"),
        (["--labels", "labels.csv", "absent"], "absent: No such file"),
        (["--labels", "labels.csv", "logs/benign0.json"], "labels.csv:3: expected the path"),
        (["--labels", "labels.csv", "logs", "--monitor", "none"], "expected the name of a monitor"),
        (["--labels", "labels.csv", "logs", "--monitor", "logistic(rules)"], "two members"),
        (
            ["--labels", "labels.csv", "logs", "--monitor", "max(logistic(rules,claims),sequence)"],
            "a logistic ensemble has no name here",
        ),
        (["--labels", "labels.csv", "logs", "--fpr", "0"], "expected an fpr above 0"),
        (["--labels", "labels.csv", "logs", "--calibration-share", "2"], "expected a share"),
        (["--labels", "labels.csv", "logs", "--fail-on", "x"], "--fail-on 'x': expected a figure"),
        (["--labels", "labels.csv", "logs", "--fail-on", "tpr@0.3<0.5"], "a rate of --fpr"),
        (
            ["--labels", "labels.csv", "logs", "--fail-on", "recall_under_attack<0.5"],
            "expected --attacks beside it",
        ),
        (["--labels", "labels.csv", "logs", "--scale", "100"], "--scale belongs to --scores"),
        (["--labels", "labels.csv", "logs", "--by", "team"], "--by belongs to --scores"),
        (["--labels", "labels.csv", "s3://bucket/logs"], "copy the logs here first"),
        (["--scores", "labels.csv", "logs"], "--scores is a table of its own"),
        (["--scores", "labels.csv"], "labels.csv:1: expected a column 'score'"),
        (["--scores", "labels.csv", "--scale", "0"], "--scale: expected a number above 0"),
        (["--scores", "labels.csv", "--scale", "nan"], "--scale: expected a number above 0"),
    ],
)
def test_bad_input_is_one_line(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(corpus)
    done = validate(*arguments)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("custodes: ") and said in line


def test_a_share_beside_a_column_split_is_refused(tmp_path: Path) -> None:
    log(tmp_path / "a.json", "ls", "pwd")
    path = labels(tmp_path / "l.csv", [{"path": "a.json", "label": "benign", "split": "test"}])
    done = validate("--labels", path, tmp_path, "--calibration-share", "0.5")
    assert done.exit_code == 2 and "its column split says what calibrates" in done.stderr
    assert validate("--labels", path, tmp_path, "--monitor", "rules").exit_code == 0


def test_an_interrupt_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    rows = []
    for number in range(40):
        log(tmp_path / "logs" / f"{number}.json", *(f"rm -rf a{number}/{n}" for n in range(60)))
        rows.append({"path": f"logs/{number}.json", "label": "violation", "cluster": str(number)})
    path = labels(tmp_path / "labels.csv", rows)
    running = subprocess.Popen(
        [sys.executable, "-m", "custodes", "monitor", "validate", "--labels", str(path),
         str(tmp_path / "logs"), "--attacks", "--jobs", "2", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts background commands with SIGINT ignored, and so would Python leave it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    try:
        for _ in range(600):
            if not children.exists() or children.read_text("utf-8").split():
                break
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    assert running.returncode == 4, err
    assert out == "" and err.strip() == "custodes: interrupted; nothing was written"
    assert not (tmp_path / "out").exists()


def test_an_interrupt_while_results_are_written_does_not_promise_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(result: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("custodes.reports.validation_page", interrupted)
    path = tmp_path / "scores.csv"
    path.write_text("score,label\n0.1,benign\n0.9,violation\n", encoding="utf-8")
    done = validate("--scores", path, "--out", tmp_path / "out")
    assert done.exit_code == 4
    assert done.stderr == "custodes: interrupted; not everything was written\n"


@pytest.mark.parametrize("option", ["--out", "--plots"])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_read(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    def read(*_: object, **__: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setattr("custodes.validation.validate_runs", read)
    (tmp_path / "file").write_text("", encoding="utf-8")
    labelled = ("--labels", corpus / "labels.csv", corpus / "logs")
    done = validate(*labelled, option, tmp_path / "file" / "below" / "it")
    assert done.exit_code == 2
    assert "expected a folder that can be written" in done.stderr
    assert done.stderr.count("\n") == 1
