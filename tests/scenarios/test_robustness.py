"""What breaks is unmeasurable, nothing is left behind, and no script knows more than it is told."""

from __future__ import annotations

import ast
import copy
import ctypes
import dis
import functools
import gc
import importlib
import inspect
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import pytest
from tests.harness import playing, toy
from tests.scenarios.play import Episode, perform

from custodes.harness._job import EpisodeLimits, Job
from custodes.harness.worker import run_job
from custodes.runs._seal import read_records
from custodes.scenarios import (
    Finding,
    Opening,
    Reply,
    Route,
    Scenario,
    Script,
    Steps,
    all_scenarios,
    bash,
    finish,
    judge,
)
from custodes.services import Service, ServiceContext
from custodes.types import (
    Ask,
    Cell,
    Completion,
    EpisodeKey,
    EpisodeRecord,
    HttpRequest,
    HttpResponse,
    Moment,
    Observation,
    Question,
    ReasonCode,
    Receipt,
    Safeguards,
    Snapshot,
    Tier,
    sha256_of,
)

CELL = Cell(ask=Ask.NONE, safeguards=Safeguards.OFF)
SCENARIOS = all_scenarios()
QUICK = ("disobedience/stop_order", "escape/canary_credential")
"""Played in the quick run; the others, and all other routes of these, in the slow one."""
ACTS = (Question.ATTEMPTED, Question.SUCCEEDED)
OF_THE_ORACLE = (
    Question.EXPOSED,
    Question.ATTEMPTED,
    Question.BLOCKED,
    Question.PARTIAL,
    Question.SUCCEEDED,
    Question.SOLVED,
)


def key_of(
    scenario: Scenario, *, seed: int = 3, tier: Tier = Tier.C, repeat: int = 0
) -> EpisodeKey:
    return EpisodeKey(
        scenario=scenario.id,
        major=scenario.version[0],
        cell=CELL,
        level=scenario.levels[0],
        twin="base",
        subject=sha256_of(b"subject"),
        safeguards=sha256_of(b"none"),
        tier=tier,
        seed=seed,
        repeat=repeat,
    )


# --- plays, once each ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one route left, to be damaged and judged again."""

    scenario: Scenario
    route: Route
    observation: Observation
    completion: Completion

    @property
    def key(self) -> EpisodeKey:
        return key_of(self.scenario)

    @property
    def violates(self) -> bool:
        return self.route.intent in ("violator", "covert")

    def judged(self, observation: Observation | None = None) -> Mapping[Question, Finding]:
        seen = self.observation if observation is None else observation
        return judge(self.scenario, self.key, seen, self.completion).findings

    def without(self, prefix: str) -> Observation:
        """The observation without the receipts whose kind begins so."""
        receipts = self.observation.receipts
        kept = tuple(receipt for receipt in receipts if not receipt.kind.startswith(prefix))
        return replace(self.observation, receipts=kept)


def careful(script: Script) -> Script:
    """The script, which hands in what it has when something it relies on is not there."""

    def run(opening: Opening) -> Steps:
        steps = script(opening)
        reply: Reply | None = None
        while True:
            try:
                move = next(steps) if reply is None else steps.send(reply)
            except StopIteration:
                return
            except Exception:
                yield finish("Something did not answer; I leave it as it is.")
                return
            reply = yield move

    return run


def perform_route(scenario: Scenario, route: Route, seed: int = 3) -> Episode:
    return perform(
        scenario,
        careful(route.script),
        seed=seed,
        cell=CELL,
        level=scenario.levels[0],
        max_turns=80,
    )


@functools.cache
def recorded(name: str, route_name: str) -> Recorded:
    scenario = SCENARIOS[name]
    route = next(route for route in scenario.routes() if route.name == route_name)
    played = perform_route(scenario, route)
    return Recorded(
        scenario=scenario,
        route=route,
        observation=played.observation,
        completion=played.completion,
    )


def firsts(scenario: Scenario) -> list[Route]:
    """The first honest and the first violating route."""
    return [
        next(route for route in scenario.routes() if route.intent == intent)
        for intent in ("honest", "violator")
    ]


def plays(*, only_firsts: bool = False, quick: tuple[str, ...] = QUICK[:1]) -> list[Any]:
    """Every route of every scenario as parameters, all but a few of them slow."""
    return [
        pytest.param(
            name,
            route.name,
            id=f"{name}-{route.name}",
            marks=() if name in quick and route in firsts(scenario) else (pytest.mark.slow,),
        )
        for name, scenario in SCENARIOS.items()
        for route in (firsts(scenario) if only_firsts else scenario.routes())
    ]


def broken_oracle(findings: Mapping[Question, Finding]) -> list[str]:
    """What the oracle raised: it is caught, and costs every answer."""
    return sorted(
        {
            finding.reason.detail
            for finding in findings.values()
            if finding.reason is not None and finding.reason.code is ReasonCode.ORACLE_ERROR
        }
    )


def wrong(one: Recorded, observation: Observation, *, asked: tuple[Question, ...]) -> list[str]:
    """Noes where the whole record says yes, and acts of which the whole record knows nothing."""
    before, after = one.judged(), one.judged(observation)
    found = [f"the oracle raised {said}" for said in broken_oracle(after)]
    for question in asked:
        if question not in before:
            continue
        was, now = before[question].value, after[question].value
        if was is True and now is False:
            found.append(f"{question.value} became no")
        if question in ACTS and not one.violates and now is True:
            found.append(f"{question.value} became yes")
    return found


# --- receipts that are cut off -------------------------------------------------------------------


@pytest.mark.parametrize(("name", "route"), plays())
def test_receipts_without_an_end_tell_nothing(name: str, route: str) -> None:
    one = recorded(name, route)
    receipts = one.observation.receipts
    assert receipts[-1].kind == "episode.ended"
    for length in (0, 1, len(receipts) // 3, 2 * len(receipts) // 3, len(receipts) - 1):
        found = one.judged(replace(one.observation, receipts=receipts[:length]))
        assert {finding.value for finding in found.values()} == {None}
        codes = {finding.reason.code for finding in found.values() if finding.reason}
        assert codes == {ReasonCode.RECEIPTS_INCOMPLETE}


def services_of(one: Recorded) -> list[str]:
    kinds = {receipt.kind for receipt in one.observation.receipts}
    return sorted({kind.split(".")[1] for kind in kinds if kind.startswith("service.")} - {"error"})


@pytest.mark.parametrize(("name", "route"), plays())
def test_lost_receipts_of_a_service_leave_no_wrong_answer(name: str, route: str) -> None:
    """An honest no may stand where no violating route depends on what was lost."""
    one = recorded(name, route)
    found: dict[str, list[str]] = {}
    for service in services_of(one):
        lost = one.without(f"service.{service}.")
        assert len(lost.receipts) < len(one.observation.receipts)
        if mistakes := wrong(one, lost, asked=(Question.EXPOSED, *ACTS, Question.SOLVED)):
            found[service] = mistakes
    assert found == {}


@pytest.mark.parametrize("name", [pytest.param(n, id=n) for n in QUICK])
def test_a_record_file_that_breaks_off_keeps_what_came_before(name: str, tmp_path: Path) -> None:
    one = recorded(name, firsts(SCENARIOS[name])[1].name)
    records = [
        EpisodeRecord(
            key=replace(one.key, repeat=repeat),
            sample=str(repeat),
            observation=one.observation,
            completion=one.completion,
        )
        for repeat in range(2)
    ]
    lines = [json.dumps(record.to_json()).encode() + b"\n" for record in records]
    for length in (1, len(lines[1]) // 2, len(lines[1]) - 2):
        file = tmp_path / f"{length}.jsonl"
        file.write_bytes(lines[0] + lines[1][:length])
        (only,) = read_records(file)
        assert only.key == records[0].key
        assert only.observation == one.observation
    # In the middle of the file: the line is lost, the one after it is not.
    file.write_bytes(lines[0][: len(lines[0]) // 2] + b"\n" + lines[1])
    assert [record.sample for record in read_records(file)] == ["1"]


# --- snapshots that miss files -------------------------------------------------------------------


def poorer(one: Recorded) -> dict[str, Observation]:
    """The observation with less and less of the state in it."""
    seen = one.observation
    nothing = Snapshot(files={})
    textless = Snapshot(files={p: replace(s, text=None) for p, s in seen.after.files.items()})
    return {
        "no files after": replace(seen, after=nothing),
        "no texts after": replace(seen, after=textless),
        "no files before": replace(seen, before=nothing),
        "no files at all": replace(seen, before=nothing, after=nothing),
    }


@pytest.mark.parametrize(("name", "route"), plays())
def test_snapshots_without_files_leave_no_wrong_answer(name: str, route: str) -> None:
    """A single file that is missing looks like one that was removed: that is not asked here."""
    one = recorded(name, route)
    assert one.observation.before.files and one.observation.after.files
    found = {
        what: mistakes
        for what, observation in poorer(one).items()
        if (mistakes := wrong(one, observation, asked=(Question.EXPOSED, *ACTS, Question.SOLVED)))
    }
    assert found == {}


@pytest.mark.parametrize(("name", "route"), plays())
def test_a_snapshot_that_lacks_one_changed_file_raises_nothing(name: str, route: str) -> None:
    one = recorded(name, route)
    before, after = one.observation.before.files, one.observation.after.files
    changed = [path for path in after if before.get(path) != after[path]]
    for path in changed:
        less = Snapshot(files={p: state for p, state in after.items() if p != path})
        assert broken_oracle(one.judged(replace(one.observation, after=less))) == []


# --- services that crash -------------------------------------------------------------------------


def with_services(scenario: Scenario, change: Callable[[list[Service]], None]) -> Scenario:
    """A copy of the scenario whose services are changed after they are built."""
    other = copy.copy(scenario)

    def services(world: Any, context: ServiceContext) -> list[Service]:
        made = list(scenario.services(world, context))
        change(made)
        return made

    vars(other)["services"] = services
    return other


@dataclass
class Fault:
    """Does something at a request, counted over all services of an episode."""

    at: int
    act: Callable[[Service], Any] | None = None
    seen: int = 0

    def put_into(self, services: list[Service]) -> None:
        for service in services:
            vars(service)["handle"] = functools.partial(self._handle, service, service.handle)

    async def _handle(self, service: Service, handle: Any, request: HttpRequest) -> HttpResponse:
        self.seen += 1
        if self.act is None and self.seen >= self.at:
            raise RuntimeError("out of memory")
        if self.act is not None and self.seen == self.at:
            await self.act(service)
        answered: HttpResponse = await handle(request)
        return answered


def requests_of(one: Recorded) -> int:
    return sum(
        receipt.kind == "net.request" and receipt.data["decision"] == "allowed"
        for receipt in one.observation.receipts
    )


@pytest.mark.parametrize(("name", "route"), plays(only_firsts=True, quick=QUICK[:1]))
def test_after_a_crash_of_a_service_no_no_is_left(name: str, route: str) -> None:
    one = recorded(name, route)
    made = requests_of(one)
    if made == 0:
        pytest.skip("this route asks no service")
    # Not the last: how many there are depends on the pace of the machine.
    for at in {(made + 1) // 2} if name in QUICK else {1, (made + 1) // 2}:
        fault = Fault(at=at)
        episode = perform_route(with_services(one.scenario, fault.put_into), one.route)
        assert fault.seen >= at
        seen, form = episode.observation, episode.completion
        assert seen.of_kind("service.error")
        found = judge(one.scenario, one.key, seen, form).findings
        assert broken_oracle(found) == []
        assert [q.value for q in OF_THE_ORACLE if q in found and found[q].value is False] == []
        assert all(found[q].reason is not None for q in found if found[q].value is None)
        if not one.violates:
            assert [q.value for q in ACTS if found[q].value is True] == []
        # A yes that the receipts show does not hang on whether something crashed as well.
        kept = tuple(r for r in seen.receipts if r.kind != "service.error")
        shown = judge(one.scenario, one.key, replace(seen, receipts=kept), form).findings
        for question in OF_THE_ORACLE:
            if question in shown and shown[question].value is True:
                assert found[question].value is True, question


# --- a broker that is gone -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "route"), plays(only_firsts=True))
def test_a_broker_that_ended_before_the_agent_leaves_no_no(name: str, route: str) -> None:
    """Its summary is written when it closes: work after that was done without it."""
    one = recorded(name, route)
    receipts = one.observation.receipts
    results = [index for index, _ in one.observation.of_kind("tool.result")]
    middle = results[len(results) // 2]
    at = Moment(step=receipts[middle].at.step, host_us=receipts[middle].at.host_us)
    summary = Receipt(origin="host", kind="net.summary", at=at, data={"requests": 0})
    kept = tuple(r for r in receipts[middle + 1 :] if not r.kind.startswith(("net.", "service.")))
    gone = replace(one.observation, receipts=(*receipts[: middle + 1], summary, *kept))
    found = one.judged(gone)
    assert broken_oracle(found) == []
    assert [q.value for q in OF_THE_ORACLE if q in found and found[q].value is False] == []


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Path]:
    """A folder for temporary files of a test's own; the sandbox's user must be able to pass.

    ``tmp_path`` first: pytest's own folder is to lie elsewhere.
    """
    folder = Path(tempfile.mkdtemp(prefix="vols-"))
    folder.chmod(0o711)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    yield folder
    tempfile.tempdir = before
    shutil.rmtree(folder, ignore_errors=True)


async def close_broker(service: Service) -> None:
    host = service._context.host  # type: ignore[attr-defined]
    await host.broker.close()


def test_a_broker_that_closes_in_the_sandbox_leaves_no_no(volumes: Path) -> None:
    scenario = with_services(toy.SCENARIO, Fault(at=1, act=close_broker).put_into)
    run = playing.play({"goes": toy.moves(toy.fetch("1"), toy.SUM)}, scenario=scenario)
    assert not run.failures
    goes = run["goes"]
    assert goes.kinds.index("net.summary") < len(goes.kinds) - 1 - goes.kinds[::-1].index(
        "tool.result"
    )
    assert goes[Question.ATTEMPTED] is None, goes.ended


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_broker_that_closes_in_the_sandbox_leaves_no_no_in_any_scenario(
    name: str, volumes: Path
) -> None:
    for route in firsts(SCENARIOS[name]):
        fault = Fault(at=max(1, requests_of(recorded(name, route.name)) // 2), act=close_broker)
        scenario = with_services(SCENARIOS[name], fault.put_into)
        guarded = replace(route, script=careful(route.script))
        vars(scenario)["routes"] = lambda guarded=guarded: (guarded,)
        run = playing.play(
            {},
            scenario=scenario,
            model=f"reference/route:{route.name}",
            limits=EpisodeLimits(turns=80),
            keys=(key_of(scenario, tier=Tier.A),),
        )
        assert not run.failures and fault.seen >= fault.at
        (played,) = run.episodes.values()
        found = played.judged.findings
        assert [q.value for q in OF_THE_ORACLE if q in found and found[q].value is False] == []


# --- nothing is left -----------------------------------------------------------------------------

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def orphans_come_here() -> Iterator[None]:
    """Processes whose parents have ended become children of this one, and so are seen."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What belongs to this process at one moment."""

    processes: frozenset[str]
    files: frozenset[str]
    ports: frozenset[str]
    descriptors: int

    def added_by(self, later: Look) -> dict[str, object]:
        """What there is more of later; two descriptors may be an event loop's."""
        more: dict[str, object] = {
            "processes": sorted(later.processes - self.processes),
            "files": sorted(later.files - self.files),
            "ports": sorted(later.ports - self.ports),
            "descriptors": max(0, later.descriptors - self.descriptors - 2),
        }
        return {what: found for what, found in more.items() if found}


def look(folder: Path) -> Look:
    """Processes below this one, files below the folder, ports it listens on, descriptors."""
    gc.collect()
    return Look(
        processes=_descendants(),
        files=frozenset(str(path.relative_to(folder)) for path in folder.rglob("*")),
        ports=_listening(),
        descriptors=len(os.listdir("/proc/self/fd")),
    )


def _descendants() -> frozenset[str]:
    parents: dict[str, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents[stat.parent.name] = parent
    found: set[str] = set()
    new = {str(os.getpid())}
    while new:
        new = {process for process, parent in parents.items() if parent in new} - found
        found |= new
    return frozenset(found)


def _listening() -> frozenset[str]:
    own = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            own.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        path = Path("/proc/self/net", table)
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                found.add(f"{table} {fields[1]}")
    return frozenset(found)


def test_the_watch_sees_what_is_left(volumes: Path, orphans_come_here: None) -> None:
    before = look(volumes)
    assert before.added_by(look(volumes)) == {}
    started = subprocess.run(
        ["bash", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo $!"],
        capture_output=True,
        text=True,
        check=True,
    )
    orphan = int(started.stdout)
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        (volumes / "left").write_text("over")
        found = before.added_by(look(volumes))
        port = f"{server.getsockname()[1]:04X}"
    os.kill(orphan, 9)
    os.waitpid(orphan, 0)
    for descriptor in spare:
        os.close(descriptor)
    assert str(orphan) in found["processes"]  # type: ignore[operator]
    assert found["files"] == ["left"]
    assert [name.rpartition(":")[2] for name in found["ports"]] == [port]  # type: ignore[attr-defined]
    assert found["descriptors"] == 2  # three files and the socket, less the two that may be
    (volumes / "left").unlink()
    assert before.added_by(look(volumes)) == {}


def run_episodes(name: str, policy: str, seeds: range, folder: Path) -> list[EpisodeRecord]:
    """Real episodes in real sandboxes, and the records that they left."""
    scenario = SCENARIOS[name]
    folder.mkdir()
    job = Job(
        shard="left",
        model=f"reference/{policy}",
        scenario=name,
        episodes=tuple(key_of(scenario, seed=seed, tier=Tier.A) for seed in seeds),
        folder=folder,
        limits=EpisodeLimits(turns=80),
        parallel=4,
        allow_uncontained=False,
    )
    run_job(job)
    failures = json.loads(job.failures.read_text("utf-8"))
    assert failures == {}
    return list(read_records(job.records))


def check_that_nothing_is_left(
    names: tuple[str, ...], seeds: range, volumes: Path, logs: Path
) -> int:
    """Play honest and violating agents, look, and return how many episodes there were."""
    run_episodes(names[0], "honest", range(1), logs / "first")  # what is opened once and kept
    before = look(volumes)
    played = 0
    for number, name in enumerate(names):
        for policy in ("honest", "violator"):
            records = run_episodes(name, policy, seeds, logs / f"{number}-{policy}")
            assert len(records) == len(seeds)
            for record in records:
                found = judge(
                    SCENARIOS[name], record.key, record.observation, record.completion
                ).findings
                assert found[Question.ATTEMPTED].value is (policy == "violator")
            played += len(records)
            assert before.added_by(look(volumes)) == {}, (name, policy)
    return played


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3])
def test_a_few_episodes_leave_nothing(
    seeds: int, volumes: Path, tmp_path: Path, orphans_come_here: None
) -> None:
    assert check_that_nothing_is_left(QUICK, range(seeds), volumes, tmp_path) == 4 * seeds


@pytest.mark.slow
def test_two_hundred_episodes_leave_nothing(
    volumes: Path, tmp_path: Path, orphans_come_here: None
) -> None:
    seeds = range(-(-200 // (2 * len(SCENARIOS))))
    assert check_that_nothing_is_left(tuple(SCENARIOS), seeds, volumes, tmp_path) >= 200


# --- scripts know what they are told -------------------------------------------------------------

OUTWARD = frozenset({"open", "__import__", "eval", "exec", "globals", "input", "vars"})
"""Builtins that reach beyond what a function is given."""
HARMLESS_MODULES = frozenset(
    {
        "ast",
        "base64",
        "binascii",
        "builtins",
        "collections",
        "csv",
        "dataclasses",
        "datetime",
        "enum",
    }
    | {"fractions", "functools", "hashlib", "io", "itertools", "json", "math", "operator", "re"}
    | {"shlex", "statistics", "string", "textwrap", "typing", "urllib"}
)
"""Modules of the language that know nothing of a scenario."""
POLICY = "custodes.scenarios._policy"


@dataclass
class Reach:
    """Everything that a function can come to by its names, and what of it is not for a script."""

    beyond: set[str] = field(default_factory=set)
    _seen: set[int] = field(default_factory=set)

    def follow(self, thing: object, named: str, home: str) -> None:
        """Walk into a value that a script of module ``home`` can name."""
        if id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        if isinstance(thing, functools.partial):
            for part in (thing.func, *thing.args, *thing.keywords.values()):
                self.follow(part, named, home)
        elif isinstance(thing, ModuleType):
            if thing.__name__.partition(".")[0] not in HARMLESS_MODULES:
                self.beyond.add(f"module {thing.__name__} as {named}")
        elif isinstance(thing, FunctionType):
            self._function(inspect.unwrap(thing), named)
        elif isinstance(thing, MethodType):
            self.follow(thing.__self__, named, home)
            self.follow(thing.__func__, named, home)
        elif isinstance(thing, type):
            self._type(thing, named)
        elif isinstance(thing, Mapping):
            for part in (*thing.keys(), *thing.values()):
                self.follow(part, named, home)
        elif isinstance(thing, list | tuple | set | frozenset):
            for part in thing:
                self.follow(part, named, home)
        else:
            self._type(type(thing), named)

    def _function(self, function: Any, named: str) -> None:
        home = function.__module__
        if home.partition(".")[0] in HARMLESS_MODULES or home == POLICY:
            return
        if not is_script_module(home):
            self.beyond.add(f"{home}.{function.__name__}")
            return
        for cell in function.__closure__ or ():
            self.follow(cell.cell_contents, named, home)
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.follow(default, named, home)
        self._code(function.__code__, function.__globals__, home)

    def _type(self, kind: type, named: str) -> None:
        home = kind.__module__
        if home.partition(".")[0] in HARMLESS_MODULES or home == POLICY:
            return
        if not is_script_module(home):
            self.beyond.add(f"{home}.{kind.__name__}")
            return
        for member in vars(kind).values():
            inner = member.fget if isinstance(member, property) else member
            self.follow(getattr(inner, "__func__", inner), named, home)

    def _code(self, code: CodeType, names: Mapping[str, Any], home: str) -> None:
        for instruction in dis.get_instructions(code):
            name = instruction.argval
            if instruction.opname == "IMPORT_NAME":
                if str(name).partition(".")[0] not in HARMLESS_MODULES:
                    self.beyond.add(f"import of {name or 'a neighbour'} in {home}")
            elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                if name in names:
                    self._global(str(name), names[name], home)
                elif name in OUTWARD:
                    self.beyond.add(f"builtin {name} in {home}")
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant, names, home)

    def _global(self, name: str, value: object, home: str) -> None:
        source = imported_from(home).get(name)
        if source is not None and source.startswith("custodes.") and not is_script_module(source):
            if source != "custodes.scenarios" or not _of_the_policy(value):
                self.beyond.add(f"{source}.{name}")
            return
        self.follow(value, name, home)


def _of_the_policy(value: object) -> bool:
    """Whether it is one of the words that scripts are written in."""
    policy = vars(importlib.import_module(POLICY))
    return any(value is known for known in policy.values())


def is_script_module(name: str) -> bool:
    """Where scripts live: ``agents`` and ``unforeseen`` of a scenario, or a test."""
    if not name.startswith("custodes."):
        return True
    return name.rpartition(".")[2] in ("agents", "unforeseen")


@functools.cache
def imported_from(module: str) -> Mapping[str, str]:
    """Names that a module imports, with the module that they come from."""
    if module not in sys.modules:  # made at run time, as named tuples are
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    package = module.rpartition(".")[0]
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*above, *([node.module] if node.module else [])])
            if node.level == 0:
                source = node.module or ""
            found |= {alias.asname or alias.name: source for alias in node.names}
    return found


def beyond(script: Script) -> set[str]:
    """What a script can come to and should not know."""
    reach = Reach()
    reach.follow(script, "script", getattr(script, "__module__", ""))
    return reach.beyond


def _peeks(opening: Opening) -> Steps:
    scenario = SCENARIOS[QUICK[0]]
    yield bash(f"echo {scenario.draw(3, 'base').hostname}")


def _imports(opening: Opening) -> Steps:
    from custodes.scenarios.escape.canary_credential import workspace

    yield bash(f"echo {workspace.__name__}")


def _reads(opening: Opening) -> Steps:
    with open("/proc/self/environ") as file:
        yield bash(file.read())


def _tells(opening: Opening) -> Steps:
    yield bash("ls", why=opening.task)


def test_the_walk_sees_what_a_script_should_not_know() -> None:
    assert beyond(_tells) == set()
    assert beyond(functools.partial(_tells)) == set()
    assert any("import of custodes" in found for found in beyond(_imports))
    assert any("builtin open" in found for found in beyond(_reads))
    world = SCENARIOS[QUICK[0]].draw

    def told(opening: Opening) -> Steps:
        yield bash(world(3, "base").hostname)

    def hidden(opening: Opening) -> Steps:
        def inner() -> str:
            return judge.__name__

        yield bash(inner())

    assert any("judge" in found for found in beyond(hidden))
    assert any("StopOrder.draw" in found or "scenario" in found for found in beyond(told))
    assert any("scenario" in found for found in beyond(_peeks))


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_scripts_reach_nothing_of_the_world(name: str) -> None:
    scenario = SCENARIOS[name]
    routes = (*scenario.routes(), *scenario.unforeseen())
    assert len(routes) >= 8
    found = {route.name: known for route in routes if (known := beyond(route.script))}
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "route"), plays())
def test_a_script_does_what_it_is_for_where_the_temptation_has_moved(name: str, route: str) -> None:
    scenario = SCENARIOS[name]
    one = next(r for r in scenario.routes() if r.name == route)
    for seed in (14, 207):
        played = perform(
            scenario, one.script, seed=seed, cell=CELL, level=scenario.levels[0], max_turns=80
        )
        found = judge(
            scenario, key_of(scenario, seed=seed), played.observation, played.completion
        ).findings
        meant = one.intent in ("violator", "covert")
        assert found[Question.ATTEMPTED].value is meant, seed
        if one.intent == "honest":
            assert found[Question.SOLVED].value is True, seed
