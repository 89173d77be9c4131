"""Installed agents: what was assessed, what its own safeguards did beside ours, and its log."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from custodes.case import Case
from custodes.runs import Episode, Results, SubjectView
from custodes.scenarios import scenario_by_id
from custodes.statistics import clustered_proportion
from custodes.types import (
    Ask,
    Belief,
    Cell,
    JsonObject,
    JsonValue,
    Question,
    Receipt,
    Safeguards,
)

from ._tally import BASE, Tally, groups, tally
from ._text import counted
from ._view_episode import anchor

MOST_SHOWN = 20
"""Hosts, requests, disagreements and names that are listed; the rest are counted."""
_UNTOLD = "the worker left no record"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCell:
    """What one subject did in one cell, all scenarios and levels together: counts, no rates.

    Attributes:
        calls: ordered by the model. denied: by what of its own, to how many.
        rejected: calls that our protocol did not let through. stopped: episodes with a stop order.
        failures: completions that did not come. starts: of the client.
    """

    subject: SubjectView
    cell: str
    episodes: int
    calls: int
    denied: Mapping[str, int]
    rejected: int
    stopped: int
    starts: int
    failures: int

    def to_json(self) -> JsonObject:
        return {
            "subject": self.subject.id,
            "cell": self.cell,
            "episodes": self.episodes,
            "calls": self.calls,
            "denied_by_its_own": dict(self.denied),
            "rejected_by_ours": self.rejected,
            "episodes_stopped_by_ours": self.stopped,
            "starts": self.starts,
            "model_failures": self.failures,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One scenario under one kind of safeguards.

    Attributes:
        kept: episodes in which at least one call was kept from running.
    """

    cell: str
    n: int
    attempted: Tally | None
    kept: Tally
    succeeded: Tally | None

    def to_json(self) -> JsonObject:
        return {
            "cell": self.cell,
            "episodes": self.n,
            "attempted": _tally_json(self.attempted),
            "a_call_was_kept_from_running": _tally_json(self.kept),
            "succeeded": _tally_json(self.succeeded),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One scenario with its own safeguards, and with ours in their place. Either may be None."""

    subject: SubjectView
    step: str
    scenario: str
    ask: str
    level: str
    deployed: Side | None
    enforced: Side | None

    def to_json(self) -> JsonObject:
        return {
            "subject": self.subject.id,
            "step": self.step,
            "scenario": self.scenario,
            "ask": self.ask,
            "level": self.level,
            "deployed": None if self.deployed is None else self.deployed.to_json(),
            "enforced": None if self.enforced is None else self.enforced.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Something that was asked for, how often, and in how many episodes."""

    what: str
    why: str
    times: int
    episodes: int

    def to_json(self) -> JsonObject:
        return {"what": self.what, "why": self.why, "times": self.times, "episodes": self.episodes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """An episode whose log and gateway tell of different calls."""

    subject: SubjectView
    episode: Episode
    only_log: tuple[str, ...]
    only_gateway: tuple[str, ...]

    @property
    def link(self) -> str:
        return anchor(self.episode)

    @property
    def label(self) -> str:
        key = self.episode.key
        return f"{key.scenario} {key.cell.name}, seed {key.seed}"

    def to_json(self) -> JsonObject:
        return {
            "subject": self.subject.id,
            "episode": self.episode.key.digest,
            "only_in_the_log": list(self.only_log),
            "only_at_the_gateway": list(self.only_gateway),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """How the client's own logs compare with what the gateway saw.

    Attributes:
        read: episodes whose log was read. unread: why others were not, with their count.
        calls: in the logs. matched: of them, at the gateway too.
        only_log, only_gateway: calls that one side alone tells of.
    """

    read: int
    unread: Mapping[str, int]
    calls: int
    matched: int
    only_log: int
    only_gateway: int
    disagreements: tuple[Disagreement, ...]

    @property
    def agree(self) -> bool:
        return not self.disagreements

    def to_json(self) -> JsonObject:
        return {
            "episodes_read": self.read,
            "episodes_unread": dict(self.unread),
            "calls_in_the_logs": self.calls,
            "calls_matched": self.matched,
            "calls_only_in_the_logs": self.only_log,
            "calls_only_at_the_gateway": self.only_gateway,
            "disagreements": [found.to_json() for found in self.disagreements],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """One installed agent of a case, as one or more subjects had it.

    Attributes:
        account: what the plan says of it (client, version, words, configuration).
        refused: requests to hosts outside that were refused.
        other: requests to the model's server beside completions, with the answer's status.
    """

    subjects: tuple[SubjectView, ...]
    account: JsonObject
    cells: tuple[AgentCell, ...]
    beside: tuple[Beside, ...]
    refused: tuple[Counted, ...]
    other: tuple[Counted, ...]
    logs: Logs

    @property
    def title(self) -> str:
        return str(self.account.get("title") or self.account.get("preset"))

    @property
    def version(self) -> str:
        return str(self.account.get("version"))

    @property
    def tested(self) -> bool:
        return self.account.get("tested") is True

    @property
    def words(self) -> str:
        return " ".join(map(str, _list(self.account.get("words"))))

    @property
    def files(self) -> tuple[str, ...]:
        home = self.account.get("home")
        return tuple(map(str, home)) if isinstance(home, Mapping) else ()

    @property
    def replaced(self) -> tuple[str, ...]:
        return tuple(map(str, _list(self.account.get("replaced"))))

    @property
    def left_out(self) -> tuple[str, ...]:
        return tuple(map(str, _list(self.account.get("left_out"))))

    @property
    def reference(self) -> bool:
        return all(subject.is_reference for subject in self.subjects)

    def to_json(self) -> JsonObject:
        return {
            "subjects": [subject.id for subject in self.subjects],
            "agent": self.account,
            "cells": [cell.to_json() for cell in self.cells],
            "its_own_safeguards_beside_ours": [row.to_json() for row in self.beside],
            "refused_outside": [found.to_json() for found in self.refused],
            "asked_of_the_model_server_beside": [found.to_json() for found in self.other],
            "log_beside_gateway": self.logs.to_json(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """An episode with its receipts, read once."""

    subject: SubjectView
    episode: Episode
    receipts: tuple[Receipt, ...]

    def of(self, kind: str) -> list[JsonObject]:
        return [receipt.data for receipt in self.receipts if receipt.kind == kind]


def agents(case: Case, results: Results) -> tuple[AgentView, ...]:
    """Every installed agent of the newest plan; empty for a case of bare models.

    Raises:
        CaseError: evidence is missing, or is not what was sealed.
    """
    found: dict[str, tuple[JsonObject, list[SubjectView]]] = {}
    accounts = _accounts(results)
    for subject in results.subjects:
        account = accounts.get(subject.id)
        if account is not None:
            name = json.dumps(account, sort_keys=True, default=str)
            found.setdefault(name, (account, []))[1].append(subject)
    return tuple(
        _view(case, results, account, tuple(subjects)) for account, subjects in found.values()
    )


def agent_summary(case: Case, results: Results) -> list[str]:
    """A few lines for each installed agent, for a terminal."""
    return agent_lines(agents(case, results))


def agent_lines(found: Sequence[AgentView]) -> list[str]:
    """The same from what was read already."""
    lines: list[str] = []
    for agent in found:
        tested = "tested" if agent.tested else "this version was not tested"
        lines.append(f"agent {agent.title} {agent.version} ({tested}): {agent.words}")
        lines.append(
            f"  configuration: {counted(len(agent.files), 'file')}, "
            f"{counted(len(agent.replaced), 'secret')} replaced, {len(agent.left_out)} left out"
        )
        if agent.cells:
            lines.append("  calls, and those that its own safeguards or ours kept from running:")
        lines += [f"  {_cell_line(cell)}" for cell in agent.cells]
        lines.append(f"  {_logs_line(agent.logs)}")
        if agent.refused:
            times = sum(host.times for host in agent.refused)
            hosts = len({host.what for host in agent.refused})
            lines.append(
                f"  refused outside: {counted(times, 'request')} to {counted(hosts, 'host')}"
            )
    return lines


def _cell_line(cell: AgentCell) -> str:
    own = ", ".join(f"{count} {by}" for by, count in cell.denied.items())
    ours = [f"{cell.rejected} rejected"] if cell.rejected else []
    ours += [f"{cell.stopped} stopped"] if cell.stopped else []
    said = [f"own: {own}"] if own else []
    said += [f"ours: {', '.join(ours)}"] if ours else []
    label = "  [script]" if cell.subject.is_reference else ""
    return (
        f"{cell.subject.id} {cell.cell}: {counted(cell.calls, 'call')}; "
        f"{'; '.join(said) or 'all ran'}{label}"
    )


def _logs_line(logs: Logs) -> str:
    unread = sum(logs.unread.values())
    more = f"; {counted(unread, 'log')} not read" if unread else ""
    if not logs.read:
        return f"its own log: not measured{more}"
    if logs.agree:
        return f"its own log and the gateway agree on all {counted(logs.matched, 'call')}{more}"
    return (
        f"ITS LOG DISAGREES with the gateway in {counted(len(logs.disagreements), 'episode')}: "
        f"{logs.only_log} calls only logged, {logs.only_gateway} only at the gateway{more}"
    )


# --- one agent -----------------------------------------------------------------------------------


def _accounts(results: Results) -> dict[str, JsonObject]:
    if results.plan is None:
        return {}
    found: dict[str, JsonObject] = {}
    for raw in _list(results.plan.get("subjects")):
        if isinstance(raw, Mapping) and isinstance(account := raw.get("agent"), Mapping):
            found[str(raw["id"])] = account
    return found


def _view(
    case: Case, results: Results, account: JsonObject, subjects: tuple[SubjectView, ...]
) -> AgentView:
    by_id = {subject.id: subject for subject in subjects}
    told = [
        _Told(subject=by_id[e.subject], episode=e, receipts=_receipts(case, e))
        for e in results.episodes
        if e.subject in by_id
    ]
    return AgentView(
        subjects=subjects,
        account=account,
        cells=tuple(_cells(told, subjects)),
        beside=tuple(_beside(results, told, by_id)),
        refused=_most(told, _refusals),
        other=_most(told, _others),
        logs=_logs(told),
    )


def _cells(told: Sequence[_Told], subjects: Sequence[SubjectView]) -> Iterable[AgentCell]:
    order = {subject.id: number for number, subject in enumerate(subjects)}
    found: dict[tuple[int, str], list[_Told]] = defaultdict(list)
    for one in told:
        found[order[one.subject.id], one.episode.key.cell.name].append(one)
    for (_, name), here in sorted(found.items(), key=lambda item: item[0][0]):
        denied = Counter(str(d.get("by")) for one in here for d in one.of("client.denied"))
        yield AgentCell(
            subject=here[0].subject,
            cell=name,
            episodes=len(here),
            calls=sum(len(one.of("tool.call")) for one in here),
            denied=dict(sorted(denied.items())),
            rejected=sum(
                d.get("decision") == "reject" for one in here for d in one.of("gate.decision")
            ),
            stopped=sum(bool(one.of("stop.ordered")) for one in here),
            starts=sum(len(one.of("client.started")) for one in here),
            failures=sum(len(one.of("model.failed")) for one in here),
        )


def _kept_by_ours(one: _Told) -> list[JsonObject]:
    return [d for d in one.of("gate.decision") if d.get("decision") in ("reject", "terminate")]


def _beside(
    results: Results, told: Sequence[_Told], subjects: Mapping[str, SubjectView]
) -> Iterable[Beside]:
    """By subject, scenario, ask and level. Scenarios are not pooled: they are no sample."""
    receipts = {one.episode.key.digest: one for one in told}
    found: dict[tuple[str, str, Ask, str], dict[Safeguards, Side]] = {}
    for group in groups(results):
        safeguards = group.cell.safeguards
        if (
            group.subject.id not in subjects
            or safeguards not in (Safeguards.DEPLOYED, Safeguards.ENFORCED)
            or group.twin != BASE
            or group.cell.belief is not Belief.NOTHING
        ):
            continue
        place = (group.subject.id, group.scenario, group.cell.ask, group.level.value)
        here = [receipts[episode.key.digest] for episode in group.episodes]
        found.setdefault(place, {})[safeguards] = _side(group.cell, group.subject, here)
    for (subject, scenario, ask, level), sides in found.items():
        yield Beside(
            subject=subjects[subject],
            step=scenario_by_id(scenario).step.value,
            scenario=scenario,
            ask=ask.value,
            level=level,
            deployed=sides.get(Safeguards.DEPLOYED),
            enforced=sides.get(Safeguards.ENFORCED),
        )


def _side(cell: Cell, subject: SubjectView, here: Sequence[_Told]) -> Side:
    episodes = [one.episode for one in here]
    kind = "client.denied" if cell.safeguards is Safeguards.DEPLOYED else "gate.decision"
    kept = [
        None
        if not one.receipts
        else bool(one.of(kind) if kind == "client.denied" else _kept_by_ours(one))
        for one in here
    ]
    return Side(
        cell=cell.name,
        n=len(here),
        attempted=tally(episodes, Question.ATTEMPTED, subject),
        kept=_rated(kept, episodes, subject),
        succeeded=tally(episodes, Question.SUCCEEDED, subject),
    )


def _rated(
    values: Sequence[bool | None], episodes: Sequence[Episode], subject: SubjectView
) -> Tally:
    """Counts with the interval that the other tables have: seeds are the independent unit."""
    by_seed: dict[int, list[bool]] = defaultdict(list)
    for value, episode in zip(values, episodes, strict=True):
        if value is not None:
            by_seed[episode.key.seed].append(value)
    unknown = sum(value is None for value in values)
    low = high = None
    if not subject.is_reference and by_seed:
        estimate = clustered_proportion(
            [sum(v) for v in by_seed.values()],
            [len(v) for v in by_seed.values()],
            missing=unknown,
        )
        low, high = estimate.low, estimate.high
    return Tally(
        yes=sum(value is True for value in values),
        no=sum(value is False for value in values),
        unknown=unknown,
        low=low,
        high=high,
        reference=subject.is_reference,
    )


def _refusals(one: _Told) -> Iterable[tuple[str, str]]:
    for data in one.of("net.request"):
        if data.get("decision") != "allowed":
            yield str(data.get("host") or "no host"), str(data.get("reason"))


def _others(one: _Told) -> Iterable[tuple[str, str]]:
    for data in one.of("model.beside"):
        status = data.get("status")
        yield (
            f"{data.get('method')} {data.get('path')}",
            "refused by the gateway" if status == 404 else f"answered with status {status}",
        )


def _most(
    told: Sequence[_Told], asked: Callable[[_Told], Iterable[tuple[str, str]]]
) -> tuple[Counted, ...]:
    times: Counter[tuple[str, str]] = Counter()
    episodes: Counter[tuple[str, str]] = Counter()
    for one in told:
        mine = Counter(asked(one))
        times += mine
        episodes.update(mine.keys())
    found = [
        Counted(what=what, why=why, times=count, episodes=episodes[what, why])
        for (what, why), count in sorted(times.items(), key=lambda item: (-item[1], item[0]))
    ]
    if len(found) <= MOST_SHOWN:
        return tuple(found)
    rest = found[MOST_SHOWN:]
    return (
        *found[:MOST_SHOWN],
        Counted(
            what=f"{len(rest)} others",
            why="not listed",
            times=sum(one.times for one in rest),
            episodes=max(one.episodes for one in rest),
        ),
    )


def _logs(told: Sequence[_Told]) -> Logs:
    unread: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    odd: list[Disagreement] = []
    for one in told:
        found = one.of("client.log")
        problem = str(found[0].get("problem") or "") if found else _UNTOLD
        if problem:
            unread[problem] += 1
        if not found or "calls" not in found[0]:
            continue
        data = found[0]
        totals["read"] += not problem
        calls, matched, given = (_whole(data.get(name)) for name in ("calls", "matched", "given"))
        totals.update(calls=calls, matched=matched)
        only_log, only_gateway = (_names(data.get(n)) for n in ("only_log", "only_gateway"))
        # A log that could not be read in full lacks calls for that reason.
        if only_log or (only_gateway and not problem):
            totals.update(only_log=calls - matched, only_gateway=given - matched)
            odd.append(
                Disagreement(
                    subject=one.subject,
                    episode=one.episode,
                    only_log=only_log,
                    only_gateway=only_gateway,
                )
            )
    return Logs(
        read=totals["read"],
        unread=dict(sorted(unread.items())),
        calls=totals["calls"],
        matched=totals["matched"],
        only_log=totals["only_log"],
        only_gateway=totals["only_gateway"],
        disagreements=tuple(odd),
    )


def _receipts(case: Case, episode: Episode) -> tuple[Receipt, ...]:
    if episode.observation is None:
        return ()
    lines = case.evidence.read(episode.observation).split(b"\n")[1:]
    return tuple(Receipt.from_json(json.loads(line)) for line in lines if line)


def _tally_json(found: Tally | None) -> JsonObject | None:
    if found is None:
        return None
    return {
        "yes": found.yes,
        "no": found.no,
        "unmeasurable": found.unknown,
        "low": found.low,
        "high": found.high,
    }


def _list(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, (list, tuple)) else ()


def _names(value: JsonValue) -> tuple[str, ...]:
    return tuple(map(str, _list(value)))


def _whole(value: JsonValue) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
