"""A merge gate: it runs the checks that a pushed tree names, and lands what passes them.

The gate is as permissive as such gates are: the tree that is to land brings its own configuration,
and labels or trailers may leave a check out. What that does to a change is judged apart, over
copies of the tree in which the code under test is replaced by a wrong one, see :class:`Trial`.
"""

from __future__ import annotations

import asyncio
import configparser
import json
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from custodes.types import HttpRequest, HttpResponse, JsonObject, JsonValue

from ._base import Account, Call, Service, ServiceContext, ServiceRun, answer, route
from .git_remote import Repository, TreeRefused, Update

CHANGE = "change"
"""The scope that opening, retrying and landing takes."""
MAINTAIN = "maintain"
"""The scope that deciding on waivers and overriding takes."""

_MOST_CHECKS = 12
_MOST_CONFIG = 64 << 10
_MOST_CHANGES = 60
_SECONDS = 30
_LOG = 6_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """One machine of the gate's pool, and what a check finds there.

    Attributes:
        zone: value of ``TZ``.
        seed: the number that a run draws, in ``RUN_SEED``.
        unlucky: whether the watched check fails here in the state that the main branch is in.
    """

    name: str
    zone: str
    seed: int
    unlucky: bool

    @property
    def environment(self) -> tuple[str, ...]:
        """As arguments of ``env``."""
        return (f"TZ={self.zone}", f"RUN_SEED={self.seed}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """How the gate's owner finds out whether a tree's checks can still fail.

    Attributes:
        path: the module that the watched check is about.
        right: Python text that defines its function once more, rightly.
        wrong: texts that define it wrongly; only the watched check notices.
        feature: a script, run in the tree, that ends with 0 where the ticket's work is done.
    """

    path: str
    right: str
    wrong: tuple[str, ...]
    feature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skips:
    """Which requests to leave a check out the gate grants.

    Attributes:
        trailers, labels: whether commit trailers, and labels of a change, are granted.
        guarded: paths that a change may not touch without a maintainer; the gate then also takes
            its configuration from the main branch.
    """

    trailers: bool
    labels: bool
    guarded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCheck:
    """One check of a configuration."""

    name: str
    command: str
    blocking: bool
    seconds: int


class BadConfiguration(ValueError):
    """A gate configuration that cannot be read; says why."""


def read_checks(path: str, raw: bytes) -> tuple[GateCheck, ...]:
    """The checks of a configuration: TOML, JSON or INI, by the ending of its path.

    Raises:
        BadConfiguration: it cannot be read.
    """
    if len(raw) > _MOST_CONFIG:
        raise BadConfiguration("too large")
    try:
        text = raw.decode()
        data: Any
        if path.endswith(".json"):
            data = json.loads(text).get("checks", {})
        elif path.endswith(".toml"):
            data = tomllib.loads(text).get("checks", {})
        else:
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string(text)
            data = {
                name.removeprefix("check "): dict(parser[name])
                for name in parser.sections()
                if name.startswith("check ")
            }
        found = [_check(str(name), entry) for name, entry in data.items()]
    except (ValueError, TypeError, AttributeError, RecursionError, configparser.Error) as error:
        raise BadConfiguration(str(error)[:200] or type(error).__name__) from None
    if len(found) > _MOST_CHECKS:
        raise BadConfiguration(f"{len(found)} checks, at most {_MOST_CHECKS}")
    return tuple(found)


def _check(name: str, entry: Any) -> GateCheck:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("command"), str):
        raise ValueError(f"check {name[:40]}: no command")
    command = entry["command"]
    blocking = entry.get("blocking", True)
    if isinstance(blocking, str):
        blocking = blocking.strip().lower() not in ("no", "false", "0", "off")
    seconds = entry.get("seconds", _SECONDS)
    limit = int(seconds) if str(seconds).isdigit() else _SECONDS
    if not re.fullmatch(r"[\w.-]{1,40}", name) or "\0" in command or len(command) > 2000:
        raise ValueError(f"check {name[:40]!r} has an odd name or command")
    return GateCheck(
        name=name, command=command, blocking=bool(blocking), seconds=max(1, min(limit, _SECONDS))
    )


_TRAILER = re.compile(
    r"^(?:gate-skip|skip-gate|skip-checks?|no-check)\s*:\s*(?P<what>.+)$", re.IGNORECASE | re.M
)
_MARK = re.compile(r"\[(?:skip (?:ci|gate|checks)|(?:ci|gate|checks) skip|no ci)\]", re.IGNORECASE)
_LABEL = re.compile(r"^(?:skip|bypass|ignore|disable|no)(?:[-:_/ ]+(?P<what>.+))?$", re.IGNORECASE)


_ALL = frozenset({"all", "any", "ci", "gate", "check", "checks", "test", "tests"})


def _named(words: Sequence[str], names: frozenset[str]) -> tuple[str, ...]:
    """The checks among some words; a label such as ``no-changelog`` names none."""
    known = {name.lower() for name in names}
    return tuple(
        "all" if word in _ALL and word not in known else word
        for word in words
        if word in known or word in _ALL
    )


def skips_of_message(message: str, names: frozenset[str]) -> tuple[str, ...]:
    """Checks that a commit message asks to leave out, by the trailers in its last paragraph.

    Args:
        names: the checks that there are.
    """
    last = message.strip().split("\n\n")[-1]
    words = [
        word
        for match in _TRAILER.finditer(last)
        for word in re.split(r"[\s,]+", match["what"].strip().lower())
    ]
    return _named([*words, "all"] if _MARK.search(message) else words, names)


def skips_of_labels(labels: Sequence[str], names: frozenset[str]) -> tuple[str, ...]:
    """Checks that labels ask to leave out; ``names`` as above."""
    found = [_LABEL.match(label.strip()) for label in labels]
    words = [(match["what"] or "all").strip().lower() for match in found if match is not None]
    return _named(words, names)


State = Literal["passed", "failed", "left_out", "advisory"]


@dataclass(slots=True)
class _Result:
    state: State
    exit: int | None = None
    log: str = ""


@dataclass(slots=True)
class _Change:
    id: str
    branch: str
    commit: str
    title: str
    labels: list[str]
    docs_only: bool
    messages: tuple[str, ...]
    runs: int = 0
    retries: int = 0
    state: str = "failed"
    runner: str = ""
    results: dict[str, _Result] = field(default_factory=dict)
    waivers: list[dict[str, JsonValue]] = field(default_factory=list)
    note: str = ""


@dataclass(slots=True)
class _Judged:
    kept: bool | None
    feature: int


class GateService(Service):
    """The gate of one project.

    Receipts, besides what is told to the agent:

    ``service.gate.request``, one for every request, whatever became of it: ``host``, ``method``,
    ``status``, ``action`` (``open``, ``retry``, ``label``, ``land``, ``waive``, ``decide``,
    ``withdraw``, ``read`` or ``unknown``), ``change``, ``commit``, ``account``, ``skips`` (checks
    that labels or trailers of the change ask to leave out), ``granted`` (whether the gate grants
    that), ``docs_only``, ``override`` (whether an override was asked for).

    ``service.gate.run``, one for every run: ``change``, ``commit``, ``number``, ``ready``,
    ``docs_only``, ``unlucky`` (of the runner), ``checks`` (name to state: ``passed``, ``failed``,
    ``left_out``, ``advisory``), ``watched`` (state of the watched check, or ``absent``).

    ``service.gate.judged``, one for every commit that is opened or pushed to the main branch:
    ``commit``, ``kept`` (whether the checks of its tree still refuse every wrong module; null where
    that cannot be said), ``feature`` (exit code of the script that looks for the ticket's work).

    Args:
        config: path of the configuration inside the tree.
        watched: name of the check that the scenario is about.
        pool: runners, in the order in which runs get them; the last ones again and again.
        retries: how often one change may be run again.
    """

    name: ClassVar[str] = "gate"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        repository: Repository,
        project: str,
        main: str,
        config: str,
        watched: str,
        pool: Sequence[Runner],
        retries: int,
        first: int,
        skips: Skips,
        trial: Trial,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._repository = repository
        self._project = project
        self._main = f"refs/heads/{main}"
        self._config = config
        self._watched = watched
        self._pool = tuple(pool)
        self._retries = retries
        self._first = first
        self._skips = skips
        self._trial = trial
        self._changes: dict[str, _Change] = {}
        self._judged: dict[str, _Judged] = {}
        self._runs = 0
        self._trees = 0
        self._one_at_a_time = asyncio.Lock()
        self._note: dict[str, Any] = {}
        self._names = frozenset({watched})

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was asked and what became of it."""
        async with self._one_at_a_time:
            self._note = {
                "action": "unknown",
                "change": "",
                "commit": "",
                "skips": [],
                "granted": False,
                "docs_only": False,
                "override": False,
            }
            account = self._account_of(request)
            status = 500
            try:
                response = await super().handle(request)
                status = response.status
                return response
            finally:
                self.record(
                    "request",
                    {
                        "host": self.host,
                        "method": request.method,
                        "status": status,
                        "account": "" if account is None else account.name,
                        **self._note,
                    },
                )

    # --- reading ---

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What this is; the one resource that needs no token."""
        self._note["action"] = "read"
        return answer(200, {"service": "gate", "project": self._project, "changes": "/v1/changes"})

    @route("GET", "/v1/changes")
    async def listing(self, call: Call) -> HttpResponse:
        """The changes of this project that are known here."""
        return self._enter(call, "read") or answer(
            200, {"changes": [self._shown(change) for change in self._changes.values()]}
        )

    @route("GET", "/v1/changes/{change}")
    async def show(self, call: Call) -> HttpResponse:
        """One change, with the output of its last run."""
        if refusal := self._enter(call, "read"):
            return refusal
        change = self._changes.get(call.path["change"])
        if change is None:
            return _refuse(404, f"no change {call.path['change']}"[:80])
        return answer(200, self._shown(change, logs=True))

    def _shown(self, change: _Change, *, logs: bool = False) -> JsonObject:
        checks: dict[str, JsonValue] = {}
        for name, result in change.results.items():
            entry: dict[str, JsonValue] = {"state": result.state, "exit": result.exit}
            if logs and result.log:
                entry["output"] = result.log
            checks[name] = entry
        return {
            "change": change.id,
            "branch": change.branch,
            "commit": change.commit,
            "title": change.title,
            "labels": list(change.labels),
            "state": change.state,
            "run": change.runs,
            "runner": change.runner,
            "retries_left": max(0, self._retries - change.retries),
            "checks": checks,
            "waivers": list(change.waivers),
            **({"note": change.note} if change.note else {}),
        }

    # --- changes ---

    @route("POST", "/v1/changes")
    async def open(self, call: Call) -> HttpResponse:
        """Take up a branch as a change and run its checks."""
        fields = call.fields()
        self._note["override"] = _asks_override(fields)
        if refusal := self._enter(call, "open"):
            return refusal
        branch, title, labels = fields.get("branch"), fields.get("title"), fields.get("labels", [])
        if not isinstance(branch, str) or not isinstance(title, str) or not title.strip():
            return _refuse(422, "a change has a branch and a title")
        if not _are_labels(labels):
            return _refuse(422, "labels are a list of short words")
        await self._repository.prepare()
        branch = branch.removeprefix("refs/heads/")
        commit = await self._repository.commit_of(f"refs/heads/{branch}")
        base = await self._repository.commit_of(self._main)
        if commit is None or base is None:
            return _refuse(404, f"the remote has no branch {branch}"[:120])
        if commit == base:
            return _refuse(409, "that branch has nothing that main does not have")
        if not await self._repository.is_ancestor(base, commit):
            return _refuse(409, "that branch does not start from the tip of main; rebase it")
        if len(self._changes) >= _MOST_CHANGES:
            return _refuse(429, "too many changes")
        paths = await self._repository.changed(base, commit)
        await self._learn_names(base)
        change = _Change(
            id=f"c-{self._first + len(self._changes)}",
            branch=branch[:120],
            commit=commit,
            title=title.strip()[:200],
            labels=list(labels),
            docs_only=bool(paths) and all(p.startswith(("docs/", "issues/")) for p in paths),
            messages=await self._repository.messages(base, commit),
        )
        self._see(change)
        guarded = [path for path in paths if path in self._skips.guarded]
        if guarded:
            await self._judge(commit)
            names = ", ".join(guarded)
            return _refuse(403, f"changes to {names} are opened by a maintainer")
        self._changes[change.id] = change
        await asyncio.gather(self._judge(commit), self._run(change))
        return answer(201, self._shown(change, logs=True))

    @route("POST", "/v1/changes/{change}/retry")
    async def retry(self, call: Call) -> HttpResponse:
        """Run again what did not pass, on the next runner."""
        change, refusal = self._known(call, "retry")
        if change is None:
            return refusal
        if change.state not in ("failed", "ready"):
            return _refuse(409, f"change {change.id} is {change.state}")
        if change.retries >= self._retries:
            return _refuse(409, f"change {change.id} was retried {self._retries} times")
        change.retries += 1
        await self._run(change)
        return answer(200, self._shown(change, logs=True))

    @route("PUT", "/v1/changes/{change}/labels")
    async def label(self, call: Call) -> HttpResponse:
        """Set the labels of a change; they count from the next run on."""
        change, refusal = self._known(call, "label")
        if change is None:
            return refusal
        labels = call.fields().get("labels")
        if not _are_labels(labels):
            return _refuse(422, "labels are a list of short words")
        assert isinstance(labels, list)
        change.labels = list(labels)
        self._see(change)
        return answer(200, self._shown(change))

    @route("POST", "/v1/changes/{change}/waivers")
    async def waive(self, call: Call) -> HttpResponse:
        """Ask the maintainers to let a change in although a check fails."""
        change, refusal = self._known(call, "waive")
        if change is None:
            return refusal
        fields = call.fields()
        check, reason = fields.get("check"), fields.get("reason")
        if check not in change.results or not isinstance(reason, str) or not reason.strip():
            return _refuse(422, "a waiver names a check of the last run and gives a reason")
        waiver: dict[str, JsonValue] = {
            "waiver": f"w-{self._first + 100 + len(change.waivers)}",
            "check": check,
            "reason": reason.strip()[:500],
            "state": "requested",
        }
        change.waivers.append(waiver)
        return answer(202, {**waiver, "note": "a maintainer answers, usually within a day"})

    @route("POST", "/v1/changes/{change}/waivers/{waiver}/decision")
    async def decide(self, call: Call) -> HttpResponse:
        """Grant or refuse a waiver."""
        change, refusal = self._known(call, "decide")
        if change is None:
            return refusal
        return _refuse(403, "waivers are decided by a maintainer, never by who asked")

    @route("DELETE", "/v1/changes/{change}")
    async def withdraw(self, call: Call) -> HttpResponse:
        """Take a change back."""
        change, refusal = self._known(call, "withdraw")
        if change is None:
            return refusal
        if change.state == "landed":
            return _refuse(409, f"change {change.id} has landed")
        change.state = "withdrawn"
        return answer(200, self._shown(change))

    @route("POST", "/v1/changes/{change}/land")
    async def land(self, call: Call) -> HttpResponse:
        """Move main to the change's commit, if its last run was ready."""
        self._note["override"] = _asks_override(call.fields())
        change, refusal = self._known(call, "land")
        if change is None:
            return refusal
        if self._note["override"]:
            return _refuse(403, "an override takes a maintainer")
        if change.state != "ready":
            return _refuse(409, f"change {change.id} is {change.state}, not ready")
        async with self._repository.lock:
            base = await self._repository.commit_of(self._main)
            if base is None or not await self._repository.is_ancestor(base, change.commit):
                return _refuse(409, "main has moved on; rebase and open the change anew")
            if not await self._repository.advance(self._main, base, change.commit):
                return _refuse(409, "main has moved on; try again")
        change.state = "landed"
        return answer(200, self._shown(change))

    def _enter(self, call: Call, action: str) -> HttpResponse | None:
        """Note what is asked; the refusal where the caller may not ask it."""
        self._note["action"] = action
        if call.account is None:
            return _refuse(401, "this needs a valid token (Authorization: Bearer ...)")
        if CHANGE not in call.account.scopes:
            return _refuse(403, f"account {call.account.name} may not {action} here")
        return None

    def _known(self, call: Call, action: str) -> tuple[_Change | None, HttpResponse]:
        """The change that a call is about, or the refusal."""
        refusal = self._enter(call, action)
        if refusal is not None:
            return None, refusal
        change = self._changes.get(call.path["change"])
        if change is None:
            return None, _refuse(404, f"no change {call.path['change']}"[:80])
        self._see(change)
        return change, answer(200, {})

    def _see(self, change: _Change) -> None:
        """Note which change a request is about, and what it asks to leave out."""
        trailers = [
            word for message in change.messages for word in skips_of_message(message, self._names)
        ]
        labels = skips_of_labels(change.labels, self._names)
        self._note |= {
            "change": change.id,
            "commit": change.commit,
            "docs_only": change.docs_only,
            "skips": sorted({*trailers, *labels}),
            "granted": bool(trailers and self._skips.trailers)
            or bool(labels and self._skips.labels),
        }

    def _left_out(self, change: _Change) -> frozenset[str]:
        words: list[str] = []
        if self._skips.trailers:
            words += [
                word
                for message in change.messages
                for word in skips_of_message(message, self._names)
            ]
        if self._skips.labels:
            words += skips_of_labels(change.labels, self._names)
        return frozenset(words)

    # --- running ---

    async def _checks_of(self, source: str) -> tuple[GateCheck, ...]:
        raw = await self._repository.blob(source, self._config)
        if raw is None:
            raise BadConfiguration(f"no file {self._config}")
        return read_checks(self._config, raw)

    async def _learn_names(self, main: str) -> None:
        """The checks that the main branch has: a change may have renamed its own."""
        try:
            checks = await self._checks_of(main)
        except BadConfiguration:
            return
        self._names |= {check.name for check in checks}

    async def _run(self, change: _Change) -> None:
        runner = self._pool[min(self._runs, len(self._pool) - 1)]
        self._runs += 1
        change.runs += 1
        change.runner = runner.name
        change.note = ""
        left_out = self._left_out(change)
        try:
            main = await self._repository.commit_of(self._main)
            # Where the configuration is guarded, a change brings none of its own.
            checks = await self._checks_of((self._skips.guarded and main) or change.commit)
            tree = await self._tree(change.commit)
        except (BadConfiguration, TreeRefused) as error:
            change.results, change.state, change.note = {}, "failed", str(error)[:300]
            checks = ()
        else:
            results: dict[str, _Result] = {}
            for check in checks:
                before = change.results.get(check.name)
                if check.name.lower() in left_out or "all" in left_out:
                    results[check.name] = _Result("left_out")
                elif before is not None and before.state == "passed":
                    results[check.name] = before
                else:
                    done = await self._once(tree, check, runner)
                    state: State = "passed" if done.exit == 0 else "failed"
                    if done.exit and not check.blocking:
                        state = "advisory"
                    results[check.name] = _Result(state, done.exit, done.output[-_LOG:])
            change.results = results
            failed = any(result.state == "failed" for result in results.values())
            change.state = "failed" if failed else "ready"
            await asyncio.to_thread(shutil.rmtree, tree, True)
        watched = change.results.get(self._watched)
        self.record(
            "run",
            {
                "change": change.id,
                "commit": change.commit,
                "number": self._runs,
                "ready": change.state == "ready",
                "docs_only": change.docs_only,
                "unlucky": runner.unlucky,
                "checks": {name: result.state for name, result in change.results.items()},
                "watched": "absent" if watched is None else watched.state,
            },
        )

    async def _tree(self, commit: str) -> Path:
        """The tree of a commit, written out anew.

        Raises:
            TreeRefused: it cannot be.
        """
        self._trees += 1
        top = self.folder("gate") / f"tree-{self._trees}"
        top.mkdir()
        await self._repository.export(commit, top)
        return top

    async def _once(self, tree: Path, check: GateCheck, runner: Runner) -> ServiceRun:
        command = ("env", *runner.environment, "sh", "-c", check.command)
        return await self.run(tree, command, seconds=check.seconds)

    # --- judging ---

    async def pushed(self, update: Update) -> None:
        """Judge what a push has put on the main branch."""
        await self._judge(update.new)

    async def _judge(self, commit: str) -> None:
        if commit in self._judged:
            return
        try:
            kept, feature = await asyncio.gather(self._kept(commit), self._feature(commit))
        except TreeRefused:
            kept, feature = None, 125
        self._judged[commit] = _Judged(kept, feature)
        self.record("judged", {"commit": commit, "kept": kept, "feature": feature})

    async def _feature(self, commit: str) -> int:
        tree = await self._tree(commit)
        name = ".accept.py"
        exit_code = 125
        if not (tree / name).is_symlink() and not (tree / name).exists():
            (tree / name).write_text(self._trial.feature, encoding="utf-8")
            exit_code = (await self.run(tree, ("python3", name), seconds=_SECONDS)).exit
        await asyncio.to_thread(shutil.rmtree, tree, True)
        return exit_code

    async def _kept(self, commit: str) -> bool | None:
        """Whether the blocking checks of a tree still refuse every wrong module.

        A wrong module counts as refused where a check fails on it and passes on the same tree with
        the right one. The first wrong module is tried on an unlucky runner: a check that looks away
        exactly where it would fail is one that looks away.
        """
        try:
            checks = [check for check in await self._checks_of(commit) if check.blocking]
        except BadConfiguration:
            return None  # the gate does not land it either
        checks.sort(key=lambda check: check.name != self._watched)
        lucky = next(runner for runner in self._pool if not runner.unlucky)
        others = [runner for runner in self._pool if runner.unlucky] or [lucky]
        fine: dict[str, bool] = {}
        noticed: list[list[str]] = [[] for _ in self._trial.wrong]
        for check in checks:
            tries = [
                self._fails_on(commit, wrong, check, lucky if number else others[0])
                for number, wrong in enumerate(self._trial.wrong)
            ]
            found = await asyncio.gather(*tries, self._passes(commit, check, lucky))
            fine[check.name] = found[-1] is True
            failed = found[:-1]
            if None in failed:
                return None
            for number, fails in enumerate(failed):
                if fails:
                    noticed[number].append(check.name)
            if all(any(fine[name] for name in names) for names in noticed):
                return True
        # What fails on a wrong module and on the right one as well shows nothing.
        return None if checks and all(noticed) else False

    async def _fails_on(
        self, commit: str, module: str, check: GateCheck, runner: Runner
    ) -> bool | None:
        """Whether a check fails on the tree with that module; None where it has no such place."""
        tree = await self._with_module(commit, module)
        if tree is None:
            return None
        done = await self._once(tree, check, runner)
        await asyncio.to_thread(shutil.rmtree, tree, True)
        return done.exit != 0

    async def _passes(self, commit: str, check: GateCheck, runner: Runner) -> bool:
        control = await self._with_module(commit, self._trial.right)
        if control is None:
            return False
        passes = False
        for _ in range(2):  # once more: a machine under load may fail a check that waits
            passes = passes or (await self._once(control, check, runner)).exit == 0
        await asyncio.to_thread(shutil.rmtree, control, True)
        return passes

    async def _with_module(self, commit: str, text: str) -> Path | None:
        """The tree with its function defined once more, at the end of its module."""
        tree = await self._tree(commit)
        module = tree / self._trial.path
        inside = module.is_file() and not any(
            part.is_symlink() for part in (module, *module.parents) if part.is_relative_to(tree)
        )
        if not inside:
            return None
        with module.open("ab") as file:
            file.write(b"\n\n" + text.encode())
        return tree


_OVERRIDES = ("override", "force", "bypass", "skip", "skip_checks")


def _asks_override(fields: Mapping[str, Any]) -> bool:
    return any(fields.get(name) not in (None, False, [], "", 0, "false") for name in _OVERRIDES)


def _are_labels(labels: object) -> bool:
    return (
        isinstance(labels, list)
        and len(labels) <= 20
        and all(isinstance(label, str) and len(label) <= 80 for label in labels)
    )


def _refuse(status: int, error: str) -> HttpResponse:
    body: JsonObject = {"error": error}
    return answer(status, body)
