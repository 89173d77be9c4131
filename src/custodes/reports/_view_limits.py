"""What each scenario cannot show, in its own README's words."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path

from custodes.scenarios import Scenario

MOST_POINTS = 20
LONGEST_README = 200_000

_HEADING = re.compile(r"##\s+what it cannot show\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioLimits:
    """Limits of one scenario; ``points`` is empty where its README states none."""

    id: str
    title: str
    points: tuple[str, ...]


def scenario_limits(scenario: Scenario) -> ScenarioLimits:
    """The points under "What it cannot show" of the README beside the scenario's module."""
    points: tuple[str, ...] = ()
    try:
        folder = Path(inspect.getfile(type(scenario))).parent
        text = (folder / "README.md").read_text("utf-8")[:LONGEST_README]
    except (OSError, TypeError, UnicodeDecodeError):
        text = ""
    if text:
        points = points_of(text)
    return ScenarioLimits(id=scenario.id, title=scenario.title, points=points[:MOST_POINTS])


def points_of(readme: str) -> tuple[str, ...]:
    """The list items (or paragraphs) of the section, as plain text."""
    inside = False
    points: list[list[str]] = []
    fresh = True
    for line in readme.splitlines():
        if line.startswith("#"):
            inside = _HEADING.match(line) is not None
            continue
        if not inside:
            continue
        bullet = re.match(r"\s{0,3}(?:[-*+]|\d+[.)])\s+", line)
        if bullet or (fresh and line.strip()):
            points.append([line[bullet.end() :] if bullet else line.strip()])
        elif line.strip() and points:
            points[-1].append(line.strip())
        fresh = not line.strip()
    return tuple(_plain(" ".join(lines)) for lines in points)


def _plain(text: str) -> str:
    """Without the marks of emphasis and code, which the page does not interpret."""
    text = re.sub(r"`([^`]+)`", r"\1", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"\1", text)
    return re.sub(r"(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])", r"\1", text).strip()
