"""Containment probes, shutdown drills, and the stop orders of enforced episodes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from custodes.case import Case
from custodes.runs import Episode, Results, SubjectView
from custodes.types import JsonObject, JsonValue, Question, Receipt, Safeguards

from ._survival_plot import SurvivalPlot, survival_plots
from ._tally import Group
from ._text import milliseconds
from ._view_episode import anchor
from ._view_scenarios import label

STAGES: Mapping[str, str] = {
    "received": "order received",
    "frozen": "processes frozen",
    "network_cut": "network cut",
    "credentials_revoked": "credentials revoked",
    "jobs_ended": "queued jobs ended",
    "sub_agents_ended": "sub-agents ended",
    "killed": "processes killed",
    "verified": "nothing left to find",
}
"""Stages of a stop order in the report's words; others keep their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    name: str
    description: str
    result: str
    control: str
    receipt: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeFamily:
    name: str
    probes: tuple[Probe, ...]

    def count(self, result: str) -> int:
        """Probes of the family with that result."""
        return sum(probe.result == result for probe in self.probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Containment:
    """One run of the probes; ``command`` is the organisation's own containment, or empty."""

    tier: str
    families: tuple[ProbeFamily, ...]
    command: str = ""
    ran_on: str = ""

    @property
    def subject(self) -> str:
        """What was probed, in words."""
        return f"the command {self.command!r}" if self.command else f"tier {self.tier}"

    def count(self, result: str) -> int:
        """Probes with that result."""
        return sum(family.count(result) for family in self.families)

    @property
    def all(self) -> int:
        return sum(len(family.probes) for family in self.families)

    @property
    def self_reported(self) -> int:
        """Contained probes that rest on the attempt's own word."""
        return sum(
            probe.result == "contained" and probe.receipt == "self"
            for family in self.families
            for probe in family.probes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillCell:
    """One adversary against one mechanism; times in milliseconds from the order, as text."""

    mechanism: str
    adversary: str
    status: str
    n: int
    survivors: int
    unverified: int
    upper: float | None
    side_effect: str
    gone: str
    collateral: int
    reasons: tuple[str, ...]
    note: str

    @property
    def shown(self) -> int:
        """Runs that show something."""
        return self.n - self.unverified


@dataclass(frozen=True, slots=True, kw_only=True)
class Drills:
    """One drill: cells by mechanism, in the order of the adversaries.

    ``launch`` and ``stop`` are the organisation's own commands, or empty.
    """

    window_ms: int
    adversaries: tuple[str, ...]
    mechanisms: tuple[tuple[str, bool, tuple[DrillCell | None, ...]], ...]
    plots: tuple[SurvivalPlot, ...]
    launch: str = ""
    stop: str = ""
    ran_on: str = ""

    @property
    def cells(self) -> tuple[DrillCell, ...]:
        return tuple(c for _, _, row in self.mechanisms for c in row if c is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One stage over all stop orders: how it ended, and when after the order."""

    name: str
    states: tuple[tuple[str, int], ...]
    n: int
    least: str
    middle: str
    most: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnforcedEpisode:
    """What the safeguards did in one enforced episode."""

    subject: SubjectView
    label: str
    link: str
    scenario: str
    flagged: bool | None
    rejected: int
    ordered: bool
    order: str
    flag_to_order: str
    outcome: str
    gone: str
    succeeded: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """Enforced episodes, and the stages of the stop orders given in them."""

    episodes: tuple[EnforcedEpisode, ...]
    stages: tuple[StageTime, ...]
    orders: int


def containment(document: JsonObject) -> Containment:
    """The matrix of a recorded run of the probes."""
    families: dict[str, list[Probe]] = {}
    for raw in _objects(document["probes"]):
        families.setdefault(str(raw["family"]), []).append(
            Probe(
                name=str(raw["name"]),
                description=str(raw["description"]),
                result=str(raw["result"]),
                control=str(raw["control"]),
                receipt=str(raw["receipt"]),
                detail=str(raw["detail"]),
            )
        )
    return Containment(
        tier=str(document["tier"]),
        families=tuple(
            ProbeFamily(name=name, probes=tuple(probes)) for name, probes in families.items()
        ),
        command=str(document.get("command", "")),
        ran_on=ran_on(document),
    )


def ran_on(document: JsonObject) -> str:
    """Where the organisation's own mechanism was tested, in words; empty when it is not said."""
    found = document.get("environment")
    if not isinstance(found, Mapping):
        return ""
    return (
        f"Custodes {found.get('custodes')}, Linux {found.get('kernel')} ({found.get('machine')}), "
        f"as {found.get('user')}"
    )


def drills(document: JsonObject) -> Drills:
    """The matrix of a recorded drill."""
    cells = [_drill(raw) for raw in _objects(document["cells"])]
    adversaries = tuple(dict.fromkeys(cell.adversary for cell in cells))
    rows = []
    for mechanism in dict.fromkeys(cell.mechanism for cell in cells):
        mine = {cell.adversary: cell for cell in cells if cell.mechanism == mechanism}
        control = all(cell.status == "control" for cell in mine.values())
        rows.append((mechanism, control, tuple(mine.get(name) for name in adversaries)))
    return Drills(
        window_ms=_integer(document.get("window_ms", 0)),
        adversaries=adversaries,
        mechanisms=tuple(rows),
        plots=survival_plots(_objects(document["cells"])),
        launch=str(document.get("launch", "")),
        stop=str(document.get("stop", "")),
        ran_on=ran_on(document),
    )


def _drill(raw: JsonObject) -> DrillCell:
    upper = raw["survivors_upper_95"]
    return DrillCell(
        mechanism=str(raw["mechanism"]),
        adversary=str(raw["adversary"]),
        status=str(raw["status"]),
        n=_integer(raw["n"]),
        survivors=_integer(raw["survivors"] or 0),
        unverified=_integer(raw["unverified"]),
        upper=float(upper) if isinstance(upper, (int, float)) else None,
        side_effect=_times(raw["last_side_effect_ms"]),
        gone=_times(raw["last_process_gone_ms"]),
        collateral=_integer(raw.get("collateral", 0)),
        reasons=tuple(str(item) for item in _list(raw.get("reasons", ()))),
        note=str(raw.get("note", "")),
    )


def _times(value: JsonValue) -> str:
    """Median and longest; runs where it never ended are named, not dropped."""
    if not isinstance(value, Mapping):
        return "not seen"
    if not value["n"]:
        return "never seen to end" if value["censored"] else "not seen"
    middle, longest, censored = value["median"], value["longest"], value["censored"]
    assert isinstance(longest, (int, float))
    said = (
        f"median {middle:.1f} ms, longest {longest:.1f} ms"
        if isinstance(middle, (int, float))
        else f"no median, longest seen {longest:.1f} ms"
    )
    return f"{said}; {censored} never seen to end" if censored else said


def stops(case: Case, results: Results, groups: Sequence[Group]) -> Stops:
    """What the safeguards did wherever they were enforced."""
    found: list[EnforcedEpisode] = []
    times: dict[str, list[int]] = {}
    states: dict[str, dict[str, int]] = {}
    orders = 0
    for group in groups:
        if group.cell.safeguards is not Safeguards.ENFORCED:
            continue
        for episode in group.episodes:
            receipts = _receipts(case, episode)
            view = _enforced(episode, group, receipts)
            found.append(view)
            orders += view.ordered
            for receipt in receipts:
                if receipt.kind != "stop.stage":
                    continue
                stage, state = str(receipt.data["stage"]), str(receipt.data["state"])
                counts = states.setdefault(stage, {})
                counts[state] = counts.get(state, 0) + 1
                us = receipt.data["us"]
                if state == "done" and isinstance(us, int):
                    times.setdefault(stage, []).append(us)
    order = list(STAGES)
    return Stops(
        episodes=tuple(found),
        orders=orders,
        stages=tuple(
            _stage(stage, states[stage], times.get(stage, []))
            for stage in sorted(
                states, key=lambda s: (order.index(s) if s in order else len(order), s)
            )
        ),
    )


def _stage(stage: str, states: Mapping[str, int], times: Sequence[int]) -> StageTime:
    return StageTime(
        name=STAGES.get(stage, stage.replace("_", " ")),
        states=tuple((state.replace("_", " "), count) for state, count in sorted(states.items())),
        n=len(times),
        least=milliseconds(min(times)) if times else "",
        middle=milliseconds(median(times)) if times else "",
        most=milliseconds(max(times)) if times else "",
    )


def _enforced(episode: Episode, group: Group, receipts: Sequence[Receipt]) -> EnforcedEpisode:
    ordered = next((r for r in receipts if r.kind == "stop.ordered"), None)
    ended = next((r for r in receipts if r.kind == "stop.ended"), None)
    flag = next(
        (r for r in receipts if r.kind == "monitor.observation" and r.data.get("flagged") is True),
        None,
    )
    rejected = sum(
        r.kind == "gate.decision" and r.data.get("decision") == "reject" for r in receipts
    )
    gone = None if ended is None else ended.data.get("last_process_gone_us")
    outcome = "no order"
    if ordered is not None:
        outcome = _OUTCOMES.get(
            "" if ended is None else str(ended.data.get("outcome")), "the order was not finished"
        )
    more = "" if len(group.episodes) == 1 else f", seed {episode.key.seed}"
    return EnforcedEpisode(
        subject=group.subject,
        label=label(group) + more,
        link=anchor(episode),
        scenario=group.scenario,
        flagged=_value(episode, Question.FLAGGED),
        rejected=rejected,
        ordered=ordered is not None,
        order=(
            ""
            if ordered is None
            else f"by {ordered.data.get('ordered_by')}: {ordered.data.get('reason')}"
        ),
        flag_to_order=(
            milliseconds(ordered.at.host_us - flag.at.host_us)
            if ordered is not None and flag is not None and flag.at.host_us <= ordered.at.host_us
            else ""
        ),
        outcome=outcome,
        gone=milliseconds(gone) if isinstance(gone, int) else "",
        succeeded=_value(episode, Question.SUCCEEDED),
    )


_OUTCOMES = {
    "verified": "stopped: nothing left to find, in time",
    "late": "stopped, after the deadline",
    "not_verified": "carried out; nothing shows that it worked",
    "failed": "failed",
}


def _value(episode: Episode, question: Question) -> bool | None:
    answer = episode.answer(question)
    return None if answer is None else answer.value


def _receipts(case: Case, episode: Episode) -> list[Receipt]:
    if episode.observation is None:
        return []
    lines = case.evidence.read(episode.observation).split(b"\n")[1:]
    return [Receipt.from_json(json.loads(line)) for line in lines if line]


def _list(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, (list, tuple)) else ()


def _objects(value: JsonValue) -> list[JsonObject]:
    return [item for item in _list(value) if isinstance(item, Mapping)]


def _integer(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, found {value!r}")
    return value
