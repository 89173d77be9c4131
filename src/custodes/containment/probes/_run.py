"""Run probes against a tier, each beside its positive control."""

from __future__ import annotations

import inspect
import json
import textwrap
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from custodes.types import Tier

from .._sandbox import Sandbox
from .._spec import AnySandbox, SandboxError, SandboxSpec
from .._volumes import run_identity_uid
from . import _inside
from ._folders import require_passable
from ._model import (
    Canaries,
    Ground,
    Place,
    Probe,
    ProbeMatrix,
    ProbeResult,
    Report,
    Sight,
    Untested,
    Victim,
    select,
)
from ._places import HostPlace, SandboxPlace, can_choose_user

Progress = Callable[[int, int], None]
"""Takes how many probes are done, of how many."""

_TOGETHER_S = 60.0
_LONGEST_LINE = 1 << 20
_LONGEST_DETAIL = 400


def _program(probes: Iterable[type[Probe]], told: Mapping[str, Canaries]) -> str:
    """The program that carries out these attempts with what they are told, as one text."""
    parts = [inspect.getsource(_inside), "Canaries = dict\nattempts = {}\n"]
    for probe in probes:
        source = textwrap.dedent(inspect.getsource(probe.attempt))
        parts.append(source.removeprefix("@staticmethod\n"))
        parts.append(f"attempts[{probe.name!r}] = {probe.attempt.__name__}\n")
    parts.append(f"import io\nsys.stdin = io.StringIO({json.dumps(told)!r})\n")
    parts.append("attempt_all(attempts)\n")
    return "\n".join(parts)


@dataclass(slots=True)
class _Outcome:
    sight: Sight | None
    """None: not tested."""
    detail: str


def parse_reports(output: bytes, expected: Container[str]) -> dict[str, Report]:
    """Reports among what a place wrote, which may be anything.

    A probe that is reported twice has no report: one of the two is somebody else's.
    """
    reports: dict[str, Report] = {}
    twice: set[str] = set()
    for line in output.split(b"\n"):
        if len(line) > _LONGEST_LINE:
            continue
        try:
            found = json.loads(line)
            name, report = found["name"], Report.parsed(found)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if not isinstance(name, str) or name not in expected:
            continue
        if name in reports:
            twice.add(name)
        reports[name] = report
    for name in twice:
        reports[name] = Report(how="broke", text="it was reported twice")
    return reports


async def _attempts(
    place: Place, told: dict[str, Canaries], probes: list[type[Probe]]
) -> tuple[dict[str, Report], str]:
    """Run the attempts one after another in one process.

    Returns:
        Reports of those that came back, and why others may be missing.
    """
    if not told:
        return {}, ""
    try:
        ran = await place.run_program(_program(probes, told), timeout=_TOGETHER_S)
    except (TimeoutError, SandboxError, OSError) as error:
        return {}, f"{error}"
    return parse_reports(ran.stdout, told), ran.note


async def _at(place: Place, ground: Ground, classes: list[type[Probe]]) -> dict[str, _Outcome]:
    """Plant, attempt, drive, end the place, and look."""
    outcomes: dict[str, _Outcome] = {}
    live: list[Probe] = []
    told: dict[str, Canaries] = {}
    victims: dict[str, list[Victim]] = {}
    for cls in sorted(classes, key=lambda cls: cls.order):
        probe = cls()
        planted = len(ground.victims)
        try:
            canaries = probe.plant(ground)
        except (Untested, OSError) as error:
            outcomes[cls.name] = _Outcome(None, str(error))
            continue
        live.append(probe)
        victims[cls.name] = ground.victims[planted:]
        if cls.attempts():
            told[cls.name] = canaries
    reports, trouble = await _attempts(
        place, told, [type(probe) for probe in live if probe.name in told]
    )
    late = {name for name, found in victims.items() if any(victim.over for victim in found)}
    driven: list[Probe] = []
    for probe in live:
        try:
            await probe.drive(place)
        except Untested as error:
            outcomes[probe.name] = _Outcome(None, str(error))
        except (TimeoutError, SandboxError, OSError) as error:
            outcomes[probe.name] = _Outcome(None, f"{type(error).__name__}: {error}")
        else:
            driven.append(probe)
    await place.end()
    for probe in driven:
        missing = Report(how="silent") if probe.name in told else Report(how="none")
        report = reports.get(probe.name, missing)
        try:
            sight = await probe.verdict(report)
        except (Untested, OSError) as error:
            outcomes[probe.name] = _Outcome(None, str(error))
            continue
        if not sight.reached and report.how in ("broke", "silent"):
            # An attempt that went wrong shows nothing about what would have stopped it.
            why = report.text or "; ".join(filter(None, ("it did not report", trouble)))
            outcomes[probe.name] = _Outcome(None, f"the attempt failed of itself: {why}")
        elif not sight.reached and probe.name in late:
            why = "the planted process ended by itself before the attempts were over"
            outcomes[probe.name] = _Outcome(None, why)
        else:
            outcomes[probe.name] = _Outcome(sight, sight.detail)
    return outcomes


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_DETAIL else f"{text[:_LONGEST_DETAIL]}…"


def _result(probe: type[Probe], tested: _Outcome, control: _Outcome) -> ProbeResult:
    escapes = control.sight is not None and control.sight.reached
    result = ProbeResult(
        name=probe.name,
        family=probe.family,
        description=probe.description(),
        result="contained",
        receipt=probe.receipt,
        control="escaped" if escapes else "failed",
        detail=_clipped(tested.detail),
    )
    if tested.sight is not None and tested.sight.reached:
        seen = tested.sight.receipt or probe.receipt
        return replace(result, result="escaped", receipt=seen)  # it needs no control
    if tested.sight is None:
        return replace(result, result="untested")
    if not escapes:
        why = _clipped(f"its control did not escape on the bare host: {control.detail}")
        return replace(result, result="untested", detail=why)
    return result


async def probe_places(
    classes: Sequence[type[Probe]],
    tested: Place,
    control: Place,
    *,
    canaries: Path | None = None,
    uid: int | None = None,
    lasting: float = 60,
    progress: Progress | None = None,
) -> tuple[ProbeResult, ...]:
    """Run the same probes at the place under test and, beside it, at the control.

    Args:
        classes: which probes.
        tested: the place under test; it is ended here, and its owner removes what it made.
        control: the bare host.
        canaries: existing directory in which a folder is made for what is planted for the place
            under test.
        uid: the host's user of both places, when the harness may choose it.
        lasting: seconds that planted processes may be needed.
        progress: told as results come in.
    """
    outcomes: dict[str, dict[str, _Outcome]] = {}
    done = 0

    async def side(name: str, place: Place, root: Path | None) -> None:
        nonlocal done
        ground = Ground(place, uid=uid, root=root, lasting=lasting)
        try:
            outcomes[name] = await _at(place, ground, list(classes))
        finally:
            ground.clear()
        done += 1
        if progress is not None:
            progress(done * len(classes) // 2, len(classes))

    async with anyio.create_task_group() as group:
        group.start_soon(side, "tested", tested, canaries)
        group.start_soon(side, "control", control, None)
    return tuple(
        _result(probe, outcomes["tested"][probe.name], outcomes["control"][probe.name])
        for probe in classes
    )


async def run_probes(
    names: Iterable[str] | None = None,
    *,
    tier: Tier = Tier.A,
    spec: SandboxSpec | None = None,
    canaries: Path | None = None,
    progress: Progress | None = None,
) -> ProbeMatrix:
    """Try to get out of a fresh sandbox in every known way, and the same on the bare host.

    Nothing is destroyed and nothing leaves the machine: what is reached for was planted. Takes
    about two seconds.

    Args:
        names: which probes; all by default.
        tier: A, or C (plain subprocess: most probes will escape, which shows that they can).
        spec: the sandbox under test, to probe a particular configuration.
        canaries: existing directory in which a folder for planted files is made, to test a
            sandbox that exposes it.
        progress: told as results come in.

    Raises:
        ValueError: for an unknown probe, a tier that cannot be started here, or a ``canaries``
            that not every user can pass into.
        SandboxUnavailable: no sandbox of that tier can be started on this machine.
    """
    classes = select(names)
    if canaries is not None:
        require_passable(canaries)
    spec = spec or SandboxSpec()
    if tier not in (Tier.A, Tier.C):
        raise ValueError(f"expected tier A or C, found {tier.value}")
    began = time.monotonic_ns()
    sandbox: AnySandbox
    if tier is Tier.A:
        sandbox = await Sandbox.start(spec)
    else:
        from .._plain import PlainSandbox

        sandbox = await PlainSandbox.start(spec, allow_uncontained=True)
    control = HostPlace(spec.limits)
    try:
        probes = await probe_places(
            classes,
            SandboxPlace(sandbox, spec.limits),
            control,
            canaries=canaries,
            uid=run_identity_uid() if can_choose_user() else None,
            progress=progress,
        )
    finally:
        with anyio.CancelScope(shield=True):
            await sandbox.close()
        control.remove()
    return ProbeMatrix(tier=tier, probes=probes, elapsed_us=(time.monotonic_ns() - began) // 1000)
