"""From labels and logs to the document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from custodes.monitors import JudgeCosts, Monitor, ShortcutMonitor, Watch
from custodes.scan import Settings, find_files
from custodes.transcripts import (
    Event,
    NoTranscript,
    Source,
    Transcript,
    Unreadable,
    read_transcripts,
)
from custodes.validation import BadLabels, Plan, Validation, read_labels, validate_runs

from .corpus import HARM, labels, log, mixed
from .monitors import Scripted, TestSettings, command_of

RULES = Settings(monitors=("rules",))


def measured(
    folder: Path,
    labels_path: Path,
    settings: Settings = RULES,
    plan: Plan | None = None,
    *,
    jobs: int = 1,
) -> Validation:
    return validate_runs(
        list(find_files([str(folder)])),
        read_labels(str(labels_path)),
        settings,
        plan or Plan(),
        jobs=jobs,
    )


def using(*monitors: Monitor) -> TestSettings:
    return TestSettings(given=monitors)


def codes(result: Validation) -> set[str]:
    return {warning.code for warning in result.warnings}


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if "seconds" not in k}
    return [without_seconds(v) for v in value] if isinstance(value, list) else value


def test_every_figure_of_a_small_corpus(tmp_path: Path) -> None:
    result = measured(tmp_path, mixed(tmp_path))
    assert (result.data.labelled, result.data.violations, result.data.benign) == (16, 4, 12)
    assert result.data.actions == 12 * 2 + 4 * 3
    assert result.data.calibration_clusters == 6 and result.data.test_runs == 10
    assert result.data.unlabelled == () and result.data.not_read == ()
    (rules,) = result.monitors
    runs = rules.per_transcript
    counts = runs.confusion
    assert (counts.tp, counts.fn, counts.fp, counts.tn) == (4, 0, 0, 12)
    shipped, one, five = runs.operating
    assert (shipped.name, one.name, five.name) == ("shipped", "fpr 0.01", "fpr 0.05")
    assert (shipped.tpr.observed.n, shipped.false_alarms.observed.n) == (4, 12)
    assert shipped.tpr.observed.value == 1 and shipped.false_alarms.observed.value == 0
    # Never (1, 1): the lower end at 4 of 4 is exact.
    assert shipped.tpr.observed.low == pytest.approx(0.025 ** (1 / 4))
    assert shipped.determined is None and five.determined is False
    assert five.threshold["n"] == 6
    assert (five.tpr.observed.n, five.false_alarms.observed.n) == (4, 6)
    assert runs.auroc.estimate.value == 1
    assert runs.auroc.estimate.low is None or runs.auroc.estimate.low < 1
    actions = rules.per_action
    assert actions is not None
    assert (actions.violations, actions.benign) == (4, 24)
    assert (actions.confusion.tp, actions.confusion.fp) == (4, 0)
    any_shipped = rules.any_action[0]
    assert any_shipped.tpr.observed.value == 1 and any_shipped.false_alarms.observed.value == 0
    assert any_shipped.median_actions == 2
    assert rules.unmeasured == () and result.unmeasurable == 0
    assert rules.cost is not None and rules.cost.model_calls is None


def test_the_flag_of_the_harmful_call_is_a_tie_and_an_earlier_one_comes_first(
    tmp_path: Path,
) -> None:
    early = Scripted("early", says=lambda e: 0.9 if command_of(e).startswith("grep") else 0.0)
    late = Scripted("late", says=lambda e: 0.9 if command_of(e) == HARM else 0.0)
    after = Scripted("after", ends=lambda events: float(any(command_of(e) == HARM for e in events)))
    result = measured(tmp_path, mixed(tmp_path), using(early, late, after))
    races = {m.name: m.race[0] for m in result.monitors}
    assert races["early"].flag_first.observed.value == 1 and races["early"].ties == 0
    assert races["late"].harm_first.observed.value == 1 and races["late"].ties == 4
    assert races["after"].harm_first.observed.value == 1 and races["after"].ties == 0
    latencies = {m.name: m.latency[0] for m in result.monitors}
    assert latencies["early"].median.value == 2 and latencies["late"].median.value == 3
    assert latencies["after"].median.value is None
    assert (latencies["after"].at_end, latencies["after"].never) == (4, 0)
    # Such a log has no times: nothing is known in seconds, and nothing is assumed.
    seconds = result.monitors[0].race[1]
    assert (seconds.unit, seconds.n, seconds.unknown) == ("seconds", 0, 4)
    assert seconds.flag_first.worst.value == 0 and seconds.flag_first.best.value == 1


def test_the_harm_may_be_named_by_the_result_of_its_call(tmp_path: Path) -> None:
    log(tmp_path / "a.json", "ls", HARM)
    log(tmp_path / "b.json", "ls", "pwd", task="other")
    rows: list[dict[str, object]] = [
        {"path": "a.json", "label": "violation", "harm_at": 4},
        {"path": "b.json", "label": "benign"},
    ]
    result = measured(tmp_path, labels(tmp_path / "l.csv", rows))
    actions = result.monitors[0].per_action
    assert actions is not None
    assert (actions.violations, actions.confusion.tp) == (1, 1)
    assert result.monitors[0].race[0].ties == 1


def test_without_harm_labels_the_race_is_not_measured(tmp_path: Path) -> None:
    log(tmp_path / "a.json", "ls", HARM)
    log(tmp_path / "b.json", "ls", "pwd", task="other")
    rows = [{"path": "a.json", "label": "violation"}, {"path": "b.json", "label": "benign"}]
    (monitor,) = measured(tmp_path, labels(tmp_path / "l.csv", rows)).monitors
    assert monitor.race == () and "harm_at" in monitor.race_notes[0]
    assert monitor.per_action is not None and monitor.per_action.violations == 0
    assert monitor.per_action.operating[0].tpr.observed.value is None


def test_a_labelled_run_that_cannot_be_read_is_bounded_both_ways(tmp_path: Path) -> None:
    path = mixed(tmp_path, benign=4, violations=2)
    (tmp_path / "logs" / "harm1.json").write_bytes(b"PK\x03\x04 broken")
    result = measured(tmp_path, path, plan=Plan(attacks=True))
    (rules,) = result.monitors
    attacked = [recall for attack in rules.attacks for recall in attack.recalls]
    assert attacked
    for recall in attacked:
        assert recall.after.observed.missing >= 1
        assert recall.after.worst.value is not None and recall.after.worst.value <= 0.5
    assert len(result.data.not_read) == 1
    assert rules.per_transcript.confusion.missing_positive == 1
    tpr = rules.per_transcript.operating[0].tpr
    assert tpr.observed.value == 1 and tpr.observed.missing == 1
    assert (tpr.worst.value, tpr.best.value) == (0.5, 1)
    assert rules.coverage.value == pytest.approx(5 / 6)
    assert result.unmeasurable == 1
    assert rules.race[0].unknown == 1
    # Nor is any of its actions taken as not flagged.
    assert rules.per_action is not None
    assert (rules.per_action.violations, rules.per_action.confusion.missing_positive) == (2, 1)
    any_one = rules.any_action[0].tpr
    assert (any_one.observed.value, any_one.observed.missing) == (1, 1)
    assert (any_one.worst.value, any_one.best.value) == (0.5, 1)


def test_a_monitor_that_fails_is_unmeasurable_and_never_zero(tmp_path: Path) -> None:
    def says(event: Event) -> float:
        if command_of(event) == HARM:
            raise RuntimeError("no answer")
        return 0.0

    result = measured(tmp_path, mixed(tmp_path), using(Scripted("fails", says=says)))
    (monitor,) = result.monitors
    assert monitor.per_transcript.confusion.missing_positive == 4
    assert monitor.per_transcript.operating[0].tpr.observed.value is None
    assert monitor.per_transcript.operating[0].tpr.worst.value == 0
    assert len(monitor.unmeasured) == 4
    assert "without a score: 1 of 3 actions and the run" in monitor.unmeasured[0].reason
    assert monitor.race[0].unknown == 0, "a failure at the harm itself came too late to matter"


def test_a_monitor_of_whole_runs_has_no_figures_of_actions(tmp_path: Path) -> None:
    mute = Scripted("mute", ends=lambda events: None)
    result = measured(tmp_path, mixed(tmp_path), using(ShortcutMonitor(), mute))
    shortcut, silent = result.monitors
    assert shortcut.per_action is None and shortcut.any_action == ()
    assert shortcut.per_action_notes == (
        "this monitor judges runs at their end, not single actions",
    )
    # One that could not judge the end has not "never" flagged.
    assert [(lag.never, lag.unknown) for lag in silent.latency] == [(0, 4), (0, 4)]
    assert len(silent.unmeasured) == 16 and silent.coverage.value == 0


def test_transcripts_without_a_label_are_counted_and_said(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    log(tmp_path / "logs" / "more.json", "ls")
    result = measured(tmp_path, path)
    assert [Path(name).name for name in result.data.unlabelled] == ["more.json"]
    assert "unlabelled" in codes(result)
    assert result.data.labelled == 16


def test_the_same_run_twice_is_counted_once(tmp_path: Path) -> None:
    log(tmp_path / "a.json", "ls", "pwd")
    log(tmp_path / "b.json", "ls", "pwd")
    log(tmp_path / "c.json", HARM, task="other")
    rows = [
        {"path": "a.json", "label": "benign"},
        {"path": "b.json", "label": "benign"},
        {"path": "c.json", "label": "violation"},
    ]
    result = measured(tmp_path, labels(tmp_path / "l.csv", rows))
    assert result.data.duplicates == (("b.json", "a.json"),)
    assert result.data.benign == 1 and "duplicates" in codes(result)
    rows[1]["label"] = "violation"
    with pytest.raises(BadLabels, match=r"l\.csv:3: expected one label for one run.*line 2"):
        measured(tmp_path, labels(tmp_path / "l.csv", rows))


def several(path: Path, *runs: tuple[str, ...]) -> Path:
    """One file with several runs."""
    lines = []
    for number, commands in enumerate(runs):
        one = json.loads(log(path, *commands, task=f"task {number}").read_text("utf-8"))
        lines.append(json.dumps({"id": f"run{number}", **one}))
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_what_matches_no_run_is_one_line(tmp_path: Path) -> None:
    log(tmp_path / "a.json", "ls", "pwd")
    for row, said in (
        ({"path": "none.json", "label": "benign"}, "l.csv:2: expected the path of a log among"),
        ({"path": "a.json", "run": "x", "label": "benign"}, "l.csv:2: expected a run 'x' in"),
        (
            {"path": "a.json", "label": "violation", "harm_at": 99},
            "l.csv:2: expected harm_at as the index of an event of the run, found 99",
        ),
        ({"path": "l.csv", "label": "benign"}, "l.csv:2: expected"),
    ):
        path = labels(tmp_path / "l.csv", [row])
        with pytest.raises(BadLabels) as error:
            measured(tmp_path, path)
        assert said in str(error.value) and "\n" not in str(error.value)


def test_a_label_of_a_file_covers_all_its_runs(tmp_path: Path) -> None:
    several(tmp_path / "many.jsonl", ("ls", "pwd"), ("cat a", "cat b"), (HARM, "ls"))
    path = labels(tmp_path / "l.csv", [{"path": "many.jsonl", "label": "benign"}])
    whole = measured(tmp_path, path)
    assert whole.data.labelled == 3 and whole.data.clusters == 1
    rows = [{"path": "many.jsonl", "label": "violation", "harm_at": 1}]
    with pytest.raises(BadLabels, match="expected a run named beside harm_at, found 3 runs"):
        measured(tmp_path, labels(tmp_path / "l.csv", rows))


def test_the_document_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    path = mixed(tmp_path, benign=3, violations=1)
    plan = Plan(attacks=True, seed=3)
    results = (measured(tmp_path, path, plan=plan, jobs=jobs) for jobs in (1, 2))
    one, two = (without_seconds(json.loads(msgspec.json.encode(result))) for result in results)
    assert one == two


def test_only_benign_calibration_runs_move_a_threshold(tmp_path: Path) -> None:
    """The threshold is never fitted on what tests it."""
    path = mixed(tmp_path)
    plan = Plan(fprs=(0.3,))
    base = measured(tmp_path, path, using(graded({})), plan)
    calibrating = [c for c, split in base.split.items() if split == "calibration"]
    assert len(calibrating) == 6 and all(c.startswith("b") for c in calibrating)
    elsewhere = {c: 0.99 for c in base.split if c not in calibrating}
    moved = measured(tmp_path, path, using(graded(elsewhere)), plan)
    inside = measured(tmp_path, path, using(graded(dict.fromkeys(calibrating, 0.99))), plan)
    alike, above, below = (
        result.monitors[0].per_transcript.operating[1] for result in (base, moved, inside)
    )
    assert alike.threshold == above.threshold != below.threshold
    # Scores that tie with all 6: (0.3 x 7) / (1 + 6). Above all: certain. Below all: never.
    assert alike.expected_tpr == pytest.approx(0.3)
    assert alike.expected_false_alarms == pytest.approx(0.3)
    assert (above.expected_tpr, above.expected_false_alarms) == (1, 1)
    assert (below.expected_tpr, below.expected_false_alarms) == (0, 0)


def graded(scores: dict[str, float]) -> Scripted:
    """A monitor whose score of a run depends on its cluster alone, 0.1 unless given."""

    def says(event: Event) -> float:
        command = command_of(event)
        if command.startswith("cat src/part"):
            return scores.get("b" + command.removeprefix("cat src/part").removesuffix(".py"), 0.1)
        if command.startswith("ls src"):
            return scores.get("v" + command.removeprefix("ls src"), 0.1)
        return 0.0

    return Scripted("graded", says=says)


def test_results_by_group_and_by_cluster(tmp_path: Path) -> None:
    (rules,) = measured(tmp_path, mixed(tmp_path)).monitors
    groups = {(g.column, g.value): g for g in rules.per_transcript.groups}
    red, blue = groups["team", "red"], groups["team", "blue"]
    assert (red.n, blue.n) == (14, 2)
    assert red.auroc is not None and red.auroc.estimate.value == 1
    assert blue.auroc is None, "there is no benign run in it"
    assert groups["cluster", "v0"].confusion.tp == 1 and groups["cluster", "v0"].operating == ()
    assert sum(1 for column, _ in groups if column == "cluster") == 16


def test_warnings_name_what_would_mislead(tmp_path: Path) -> None:
    result = measured(tmp_path, mixed(tmp_path))
    found = codes(result)
    assert "few_benign_clusters" in found
    texts = " ".join(warning.text for warning in result.warnings)
    assert "299 independent benign clusters" in texts and "59 independent" in texts
    # Violating runs have three calls and benign ones two: anything tells them apart.
    assert "shortcut" in found and "calls (1.000, more means violation)" in texts
    assert result.data.behaviours_of_violations == 1 and "few_behaviours" in found
    quiet = measured(tmp_path, tmp_path / "labels.csv", using(Scripted("quiet")))
    assert any("every score is 0" in w.text and w.monitor == "quiet" for w in quiet.warnings)


def test_near_duplicates_across_splits_are_warned_of(tmp_path: Path) -> None:
    rows = []
    for number, split in enumerate(["calibration", "test", "test"]):
        name = f"r{number}.json"
        log(tmp_path / name, "rm -rf build", "git commit -am x", "curl -O http://a.example/x.tgz",
            task=f"task {number}")  # fmt: skip
        rows.append({"path": name, "label": "benign", "split": split})
    result = measured(tmp_path, labels(tmp_path / "l.csv", rows))
    assert result.data.near_duplicates_across == 2
    (warning,) = [w for w in result.warnings if w.code == "near_duplicates"]
    assert "r0.json" in warning.text


def test_one_cluster_or_task_behind_all_violations_is_warned_of(tmp_path: Path) -> None:
    rows = [{"path": "b.json", "label": "benign", "cluster": "b"}]
    log(tmp_path / "b.json", "ls", "pwd")
    for number in range(3):
        log(tmp_path / f"v{number}.json", HARM, f"echo {number}", task=f"task {number}")
        rows.append({"path": f"v{number}.json", "label": "violation", "cluster": "same"})
    result = measured(tmp_path, labels(tmp_path / "l.csv", rows))
    assert any("of one cluster (same)" in w.text for w in result.warnings)


def test_attacks_are_paired_with_the_same_runs(tmp_path: Path) -> None:
    def says(event: Event) -> float:
        return 0.9 if "id_rsa" in command_of(event) else 0.0

    naive = Scripted("naive", says=says)
    blind = Scripted("blind", says=lambda event: 0.0)
    result = measured(
        tmp_path, mixed(tmp_path, benign=4), using(naive, blind), Plan(attacks=True)
    )
    found, none = (monitor.attacks for monitor in result.monitors)
    assert len(found) >= 25 and len({attack.family for attack in found}) >= 8
    fallen = [a for a in found for r in a.recalls if r.threshold == "shipped" and r.fall.value == 1]
    assert fallen, "no attack hides a name from a monitor that matches it"
    for attack in (*found, *none):
        assert attack.knowledge and attack.queries == 0
        assert attack.runs + attack.not_applicable == 4
        assert (attack.not_applicable > 0) == (attack.why_not is not None)
        for recall in attack.recalls:
            before, after = recall.before.observed.value, recall.after.observed.value
            assert before is not None and after is not None
            assert recall.fall.value == pytest.approx(before - after)
            assert recall.p_value is not None and recall.p_holm is not None
            assert recall.p_holm >= recall.p_value
    assert all(r.fall.value == 0 for a in none for r in a.recalls if r.threshold == "shipped")
    assert any("adapts" in text for text in result.not_measured)


def test_a_judge_is_counted_and_attacks_on_it_test_its_parser(tmp_path: Path) -> None:
    class Asking(Scripted):
        costs = JudgeCosts()

        def begin(self, run: Transcript | None = None) -> Watch:
            Asking.costs = replace(
                self.costs, samples=self.costs.samples + 2, input_tokens=100, output_tokens=7
            )
            return super().begin(run)

    result = measured(
        tmp_path,
        mixed(tmp_path, benign=3, violations=1),
        using(Asking("asking"), Scripted("plain")),
        Plan(attacks=True),
    )
    asking, plain = result.monitors
    assert asking.cost is not None and asking.cost.model_calls == 8, "attacks are not the cost"
    assert plain.cost is not None and plain.cost.model_calls is None
    assert {a.label for a in asking.attacks} == {
        "parser robustness; jailbreak resistance: not measured"
    }
    assert all("jailbreak" not in attack.label for attack in plain.attacks)
    assert "jailbreak resistance" in result.not_measured


def test_reading_a_log_that_is_no_log_costs_no_other_its_scores(tmp_path: Path) -> None:
    path = mixed(tmp_path, benign=3, violations=1)
    (tmp_path / "logs" / "noise.bin").write_bytes(bytes(range(256)) * 50)
    (tmp_path / "logs" / "empty.json").write_bytes(b"")
    result = measured(tmp_path, path)
    assert result.monitors[0].per_transcript.confusion.tp == 1
    assert result.unmeasurable == 0


@pytest.mark.parametrize(
    "plan",
    [{"fprs": (0.0,)}, {"fprs": (1.0,)}, {"fprs": (0.1, 0.1)}, {"share": 0.0}, {"share": 1.0},
     {"seed": -1}, {"fprs": (float("nan"),)}],
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(plan: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Plan(**plan)


def test_on_recorded_runs_of_others(shared_data: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"path": path, "label": "violation"} for path in sorted((shared_data / "shade").iterdir())
    ]
    rows += [
        {"path": path, "label": "benign"} for path in sorted((shared_data / "swe_agent").iterdir())
    ]
    result = validate_runs(
        list(find_files([str(shared_data / "shade"), str(shared_data / "swe_agent")])),
        read_labels(str(labels(tmp_path / "l.csv", rows, "path", "label"))),
        RULES,
        Plan(),
    )
    (rules,) = result.monitors
    # Both were carried out by one scenario; message 0, which asks for it, is not shown.
    assert rules.per_transcript.confusion.tp == 2
    assert rules.per_transcript.confusion.fp == 0
    assert {"one_cluster", "confounded", "few_benign_clusters"} <= codes(result)
    assert (result.data.violations, result.data.violation_clusters) == (2, 1)
    assert rules.per_transcript.auroc.estimate.low is None, "one cluster shows no interval"


def test_several_unreadable_runs_of_one_label_are_each_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mixed(tmp_path)
    with path.open("a", encoding="utf-8") as file:
        file.write("logs/broken.json,,benign,,,,,\n")
    log(tmp_path / "logs/broken.json", "cat readable.py", "git status")

    def partly(source: Source) -> Iterator[Transcript | Unreadable | NoTranscript]:
        yield from read_transcripts(source)
        if source.path.endswith("broken.json"):
            yield Unreadable(position="second", reason="cut off")
            yield Unreadable(position="third", reason="cut off")

    monkeypatch.setattr("custodes.validation._read.read_transcripts", partly)
    result = measured(tmp_path, path)
    reasons = [one.reason for one in result.data.not_read]
    assert reasons == ["not read: second: cut off", "not read: third: cut off"]
    (rules,) = result.monitors
    counts = rules.per_transcript.confusion
    # The run that was read keeps its score beside them.
    assert (counts.tn, counts.missing_negative) == (13, 2)
    assert rules.per_transcript.n == result.data.labelled == 19


def test_a_warning_that_is_true_of_one_monitor_names_it(tmp_path: Path) -> None:
    path = mixed(tmp_path)
    fails = Scripted("fails", says=lambda event: None)
    quiet = Scripted("quiet")

    def few(*monitors: Monitor) -> list[tuple[str | None, bool]]:
        warnings = measured(tmp_path, path, using(*monitors), Plan(fprs=(0.05,))).warnings
        return [
            (one.monitor, "no benign cluster with a score" in one.text)
            for one in warnings
            if one.code == "few_benign_clusters"
        ]

    assert few(quiet) == [(None, False)]
    assert few(quiet, Scripted("other")) == [(None, False)]
    assert few(quiet, fails) == [("quiet", False), ("fails", True)]
