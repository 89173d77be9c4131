"""Plots say what they show, in text, whatever the names are; one input gives the same bytes."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from custodes.reports.plots import (
    ForestRow,
    IncidenceLine,
    IncidencePlot,
    PlotsUnavailable,
    SurvivalCurve,
    save_forest,
    save_incidence,
    save_operating_curve,
    save_success_curves,
    save_survival,
    save_trend,
)
from custodes.reports.plots._canvas import STYLES, literal
from custodes.statistics import (
    HorizonRuns,
    Release,
    TaskRun,
    fit_horizons,
    kaplan_meier,
    proportion,
    race,
    trend,
)

HOSTILE = "$\\frac{1}{2}$ <b>\x1b[31m\u202e\u200b" + "x" * 300
SVG = "{http://www.w3.org/2000/svg}"


def words(path: Path) -> str:
    """All text of a drawing, and proof that it is one."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg" and root.get("role") == "img"
    assert root.find(f"{SVG}title") is not None and root.find(f"{SVG}desc") is not None
    text = "\n".join("".join(one.itertext()) for one in root.iter(f"{SVG}text"))
    assert "\x1b" not in text and "\u202e" not in text
    return text


def runs(*agents: str) -> HorizonRuns:
    return HorizonRuns.from_records(
        TaskRun(
            agent=agent,
            task=f"t{task}",
            family=f"f{task // 2}",
            human_minutes=2.0 ** (task / 4),
            score=float(task / 4 < 5 + place or task % 9 == 0),
        )
        for place, agent in enumerate(agents)
        for task in range(50)
    )


def is_png(path: Path) -> bool:
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_success_against_task_length(tmp_path: Path) -> None:
    fit = fit_horizons(runs("first", "second"), bootstrap=200)
    svg, png = save_success_curves(fit, tmp_path)
    text = words(svg)
    assert is_png(png)
    for said in ("first", "second", "50 runs, 50 tasks", "penalty 0.1", "200 replicates", "1 min"):
        assert said in text
    again, _ = save_success_curves(fit_horizons(runs("first", "second"), bootstrap=200),
                                   tmp_path / "again")  # fmt: skip
    assert again.read_bytes() == svg.read_bytes()
    assert png.read_bytes() == (tmp_path / "again" / "success.png").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"again", "success.png", "success.svg"}


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    fit = fit_horizons(runs(HOSTILE, "1.000.000 $", "a_b^c"), bootstrap=0)
    svg, _ = save_success_curves(fit, tmp_path)
    text = words(svg)
    assert "$\\frac{1}{2}$ <b>\\x1b[31m\\u202e" in text and "1.000.000 $" in text
    assert "a_b^c" in text and "x" * 100 not in text
    releases = [Release(agent=HOSTILE, date=date(2024, 1, 1), p50=2.0),
                Release(agent="$x$", date=date(2024, 5, 1), p50=3.0)]  # fmt: skip
    assert "$x$" in words(save_trend(trend(releases), tmp_path)[0])
    rows = [ForestRow(label=HOSTILE, estimate=proportion(1, 3))]
    assert "\\frac" in words(save_forest(rows, tmp_path, title="$y$", method="m")[0])


@pytest.mark.parametrize("text", ["$", "$$", r"\$", "a$b", "\\", "ü漢字"])
def test_dollars_and_backslashes_come_back(text: str, tmp_path: Path) -> None:
    svg, _ = save_forest(
        [ForestRow(label=f"<{text}>", estimate=proportion(1, 3))], tmp_path, title="t", method="m"
    )
    assert f"<{text}>" in words(svg)


def test_horizons_over_time(tmp_path: Path) -> None:
    releases = [
        Release(
            agent=f"agent {k}", date=date(2023, 1, 1) + timedelta(days=70 * k), p50=2.0 ** (k * 0.7)
        )
        for k in range(11)
    ]
    releases += [Release(agent="worse", date=date(2024, 1, 1), p50=1.5),
                 Release(agent="none", date=date(2024, 2, 1), p50=None)]  # fmt: skip
    found = trend(releases, since=date(2023, 3, 1))
    svg, png = save_trend(found, tmp_path, {"agent 3": (1.0, None)})
    text = words(svg)
    assert is_png(png)
    assert all(f"agent {k}" in text for k in range(11)) and "worse" in text
    assert "Doubling time 100.0 days" in text and "n = 10" in text and "from 2023-03-01" in text
    nothing = trend([Release(agent="none", date=date(2024, 2, 1), p50=0.0)])
    said = words(save_trend(nothing, tmp_path)[0])
    assert "no horizon above 0" in said and "No doubling time" in said


def test_one_panel_is_as_wide_as_its_title(tmp_path: Path) -> None:
    from matplotlib import font_manager, textpath

    svg, _ = save_success_curves(fit_horizons(runs("alone"), bootstrap=0), tmp_path)
    title = next(one for one in words(svg).splitlines() if one.startswith("Success against"))
    bold = font_manager.FontProperties(family="DejaVu Sans", weight="bold", size=10)
    wide = textpath.TextPath((0, 0), title, prop=bold).get_extents().width
    assert wide < float((ElementTree.parse(svg).getroot().get("width") or "").removesuffix("pt"))


def test_intervals_fit_in_or_are_said_to_go_on(tmp_path: Path) -> None:
    releases = [Release(agent=name, date=date(2023 + k, 1, 1), p50=10.0 * 2**k)
                for k, name in enumerate("abc")]  # fmt: skip
    heights = []
    for top in (60.0, 380.0, 1e9):
        ends = {"c": (1.0, top)}
        text = words(save_trend(trend(releases), tmp_path, ends)[0])
        assert "go on where they meet the frame" in text.replace("\n", " ")
        heights.append("4 h" in text)
    assert heights == [False, True, True], "an end within ten times the longest is shown"
    assert "Bars" not in words(save_trend(trend(releases), tmp_path)[0])


def test_names_without_room_are_counted(tmp_path: Path) -> None:
    crowd = [Release(agent=f"agent number {k}", date=date(2024, 1, 1), p50=10.0 + k / 1e3)
             for k in range(60)]  # fmt: skip
    text = words(save_trend(trend(crowd), tmp_path)[0])
    named = sum(line.startswith("agent number") for line in text.splitlines())
    assert 0 < named < 60 and f"{60 - named} names had no room" in text.replace("\n", " ")


def test_a_name_that_begins_with_an_underscore_is_in_the_legend(tmp_path: Path) -> None:
    curves = [SurvivalCurve(label="_x", curve=kaplan_meier([1.0, 2.0], [True, True]))]
    svg, _ = save_survival(curves, tmp_path, what="w", unit="s", method="m")
    assert any(line.strip().startswith("_x (n = 2") for line in words(svg).splitlines())


def test_operating_curves(tmp_path: Path) -> None:
    from custodes.reports.plots import OperatingCurve

    marks = ((proportion(1, 20), proportion(15, 20)), (proportion(0, 0), proportion(0, 0)))
    curves = [
        OperatingCurve(
            label=name,
            benign=(0.0, 0.1, 1.0),
            caught=(0.5, 0.8, 1.0),
            positives=4,
            negatives=40,
            marks=marks,
        )
        for name in ("rules", "judge")
    ]
    svg, png = save_operating_curve(curves, tmp_path, method="Held-out half.")
    text = words(svg)
    assert is_png(png)
    assert "rules (n = 4 + 40)" in text and "judge (n = 4 + 40)" in text
    assert "Held-out half." in text
    assert words(save_operating_curve([], tmp_path, method="Nothing.")[0])


def test_the_race(tmp_path: Path) -> None:
    found = race([2, None, 5, 9, None], [4, 3, None, 6, None], [10] * 5, unit="actions", horizon=10)
    text = words(save_incidence(IncidencePlot.of(found), tmp_path)[0])
    assert "n = 5 measured (5 clusters) of 5 episodes" in text.replace("\n", " ")
    assert "neither" in text and "actions since the attempt could begin" in text
    assert "flag first (2)" in text and "harm first (2)" in text


def test_a_race_is_drawn_from_plain_data(tmp_path: Path) -> None:
    line = IncidenceLine(label=HOSTILE, events=3, share=(0.25, 0.75))
    banded = IncidenceLine(
        label="harm first", events=1, share=(0.0, 0.25), low=(0.0, 0.01), high=(0.6, 0.8)
    )
    plain = IncidencePlot(
        unit="seconds", times=(1.0, 2.5), horizon=4.0, lines=(line,), measured=4, clusters=2,
        unmeasurable=3, ties=1, since="the run began", what=HOSTILE,
    )  # fmt: skip
    one = words(save_incidence(plain, tmp_path, title=HOSTILE, name="one")[0]).replace("\n", " ")
    assert "seconds since the run began" in one and "No band" in one
    assert "n = 4 measured (2 clusters) of 7" in one and "3 unmeasurable" in one
    both = save_incidence(replace(plain, lines=(line, banded)), tmp_path, name="both")
    assert "Thin: pointwise bands" in words(both[0]).replace("\n", " ")
    assert both[1].read_bytes().startswith(b"\x89PNG")
    empty = save_incidence(replace(plain, times=(), lines=()), tmp_path, name="empty")[0]
    assert "no event" in words(empty)


def test_survival_curves(tmp_path: Path) -> None:
    curve = kaplan_meier([1, 2, 3, 4, 8], [True, True, False, True, True])
    shown = [SurvivalCurve(label="ours", curve=curve), SurvivalCurve(label="theirs", curve=curve)]
    text = words(save_survival(shown, tmp_path, what="running", unit="seconds")[0])
    assert "ours (n = 5, 4 ended)" in text and "Kaplan–Meier" in text
    assert "ours: 5, 4, 2, 1, 1, 1" in text.replace("\n", " ")
    assert words(save_survival([], tmp_path, what="running", unit="seconds")[0])


def test_a_forest_says_what_has_no_interval(tmp_path: Path) -> None:
    from custodes.statistics import deterministic

    rows = [
        ForestRow(label="measured", estimate=proportion(7, 20), worst=0.2, best=0.6),
        ForestRow(label="scripted", estimate=deterministic(3, 3)),
        ForestRow(label="nothing", estimate=proportion(0, 0, missing=4)),
    ]
    text = words(save_forest(rows, tmp_path, title="Rates", method="Clopper–Pearson.")[0])
    assert "n = 20" in text and "n = 3, no interval" in text and "not measured, 4 missing" in text


def test_series_are_told_apart_without_colour() -> None:
    assert len({(look.dashes, look.marker) for look in STYLES}) == len(STYLES)
    assert len({look.marker for look in STYLES}) == len(STYLES)
    assert len({look.dashes for look in STYLES}) == len(STYLES)


def test_long_names_are_cut() -> None:
    assert len(literal("x" * 500)) == 44 and literal("x" * 500).endswith("…")


def test_matplotlib_is_loaded_late_and_missed_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = "import sys, custodes.reports.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotsUnavailable, match=r"install custodes\[plots\]"):
        save_forest([], tmp_path, title="t", method="m")


def test_settings_of_others_are_left_as_they_were(tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    save_forest([], tmp_path, title="t", method="m")
    assert dict(mpl.rcParams) == before
