"""``--fail-on``: thresholds on worst cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from custodes.validation import (
    BadValidationThreshold,
    Plan,
    Validation,
    parse_validation_threshold,
    read_scores,
    validate_scores,
    validation_crossings,
)


@pytest.fixture
def result(tmp_path: Path) -> Validation:
    """20 violations of which 18 are flagged, 40 benign of which 1 is, each a cluster."""
    lines = ["score,label,cluster"]
    lines += [f"{0.9 if n < 18 else 0.2},violation,v{n}" for n in range(20)]
    lines += [f"{0.8 if n < 1 else 0.1},benign,b{n}" for n in range(40)]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return validate_scores(read_scores(str(path)), Plan(fprs=(0.1,)))


def crossed(result: Validation, text: str) -> bool:
    return bool(validation_crossings(result, [parse_validation_threshold(text)]))


def test_the_end_of_the_interval_decides(result: Validation) -> None:
    # Clopper-Pearson: 18 of 20 is [0.683, 0.988], 1 of 40 is [0.001, 0.132].
    assert not crossed(result, "tpr<0.68")
    assert crossed(result, "tpr<0.69")
    assert not crossed(result, "false_alarms>0.14")
    assert crossed(result, "false_alarms>0.13")


def test_what_is_missing_counts_against_the_monitor(tmp_path: Path) -> None:
    lines = ["score,label,cluster"]
    lines += [f"0.9,violation,v{n}" for n in range(20)] + [f",violation,w{n}" for n in range(5)]
    lines += [f"0.1,benign,b{n}" for n in range(20)] + [f",benign,c{n}" for n in range(5)]
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    result = validate_scores(read_scores(str(path)), Plan(fprs=(0.1,)))
    # 20 of 20 would be at least 0.832; 20 of 25 is at least 0.593.
    assert crossed(result, "tpr<0.6") and not crossed(result, "tpr<0.59")
    assert crossed(result, "false_alarms>0.4") and not crossed(result, "false_alarms>0.41")
    assert crossed(result, "unmeasurable>0.19") and not crossed(result, "unmeasurable>0.21")


def test_what_was_not_measured_is_crossed(result: Validation) -> None:
    for text in ("flagged_before_harm<0.01", "recall_under_attack<0.01", "tpr@0.2<0.01"):
        (one,) = validation_crossings(result, [parse_validation_threshold(text)])
        assert one.bound is None and one.where == "not measured"


def test_a_rate_names_its_own_operating_point(result: Validation) -> None:
    (one,) = validation_crossings(result, [parse_validation_threshold("tpr@0.1<0.999")])
    assert one.where == "fpr 0.1" and one.monitor == "scores"


@pytest.mark.parametrize(
    "text",
    ["", "tpr", "tpr>0.8", "false_alarms<0.05", "tpr<1.5", "tpr<0", "false_alarms>1", "tpr<80",
     "auroc@0.1<0.9", "tpr@1<0.5", "tpr@0<0.5", "recall<0.5", "tpr<-1", "tpr<nan", "tpr< 0.5"],
)  # fmt: skip
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(BadValidationThreshold, match=r"^--fail-on"):
        parse_validation_threshold(text)
