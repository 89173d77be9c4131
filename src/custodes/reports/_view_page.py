"""Page drills: who recognises when to stop, and how long each step took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from custodes.types import JsonObject, JsonValue

from ._text import NOT_MEASURED, milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRunView:
    """One run; each time is of its own stage, in words, and says so when it was not measured."""

    flag: str
    page: str
    acknowledged: str
    ordered: str
    stop: str
    human: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageView:
    """The runs of one page command."""

    command: str
    runs: tuple[PageRunView, ...]


def page(document: JsonObject) -> PageView:
    """A recorded page drill."""
    runs = document["runs"]
    assert isinstance(runs, (list, tuple))
    return PageView(
        command=str(document["page"]),
        runs=tuple(_run(run) for run in runs if isinstance(run, Mapping)),
    )


def _run(run: JsonObject) -> PageRunView:
    gone = run["stop_us_after_order"]
    return PageRunView(
        flag=_time(run["flag_us_after_violation"]),
        page=_time(run["page_us_after_flag"]),
        acknowledged=_by(run["acknowledged"], run["acknowledged_us_after_page"]),
        ordered=_by(run["ordered"], run["ordered_us_after_acknowledged"]),
        stop=f"verified, {_time(gone)}" if run["stop_verified"] else "not verified",
        human=str(run["human"]),
    )


def _time(value: JsonValue) -> str:
    return milliseconds(value) if isinstance(value, int) else NOT_MEASURED


def _by(who: JsonValue, us: JsonValue) -> str:
    if not isinstance(who, Mapping):
        return NOT_MEASURED
    said = f"by {who['by']} ({who['kind']})"
    return f"{milliseconds(us)} {said}" if isinstance(us, int) else said
