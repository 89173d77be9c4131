"""``custodes drill``."""

from __future__ import annotations

import asyncio
import errno
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from ._exits import (
    DONE,
    FAILED,
    UNMEASURABLE,
    USAGE,
    Exit,
    ends_on_term,
    reported,
    strongest,
)
from ._record import Recorder, case_option, recorder

if TYPE_CHECKING:
    from custodes.containment.drills import DrillCell
    from custodes.containment.drills.launcher import Launcher, LauncherMatrix

_RUNS = 30
_SAY_EVERY_S = 10.0
_LAUNCHER = (  # parameters that mean something with --launch alone
    "launch",
    "stops",
    "label",
    "python",
    "folder",
    "up_timeout",
    "stop_timeout",
    "grace",
    "at_once",
)
_AGENT = ("agent", "config", "guarded", "stops", "grace", "up_timeout")
_SPELT = {
    "by": "--mechanism", "against": "--adversary", "folder": "--in", "stops": "--stop",
}  # fmt: skip


@click.command("drill")
@click.option("--adversary", "against", multiple=True, help="Which; all by default.")
@click.option("--mechanism", "by", multiple=True, help="Custodes' own, which; all by default.")
@click.option(
    "--n",
    type=int,
    default=None,
    help=f"Runs of each cell [default: {_RUNS}; with --agent 10, with --page 1].",
)
@click.option("--list", "listing", is_flag=True, help="Name adversaries and mechanisms, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the matrix as JSON.")
@click.option("--launch", metavar="CMD", help="Your own launcher, with {agent} in it.")
@click.option(
    "--stop",
    "stops",
    metavar="CMD|NAME",
    multiple=True,
    help="Your own stop command; with --agent: ways to stop it, all by default.",
)
@click.option("--agent", help="An installed agent: 'claude -p {prompt} …', or its name.")
@click.option(
    "--config",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --agent: its configuration, of which a copy without secrets is used.",
)
@click.option("--guarded", is_flag=True, help="With --agent: leave its permission checks on.")
@click.option("--label", default="user", show_default=True, help="Name of your mechanism.")
@click.option(
    "--python", default="python3", show_default=True, help="Interpreter that {agent} names."
)
@click.option(
    "--in",
    "folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Where {dir} is made; the system's temporary folder by default.",
)
@click.option(
    "--up-timeout", default=15.0, show_default=True, help="Seconds until all heartbeats are seen."
)
@click.option(
    "--stop-timeout", default=15.0, show_default=True, help="Seconds for the stop command itself."
)
@click.option(
    "--grace",
    default=1.0,
    show_default=True,
    help="Seconds after the stop until what goes on has survived; with --agent 3 by default.",
)
@click.option(
    "--at-once",
    default=1,
    show_default=True,
    help="Runs at a time; more than one only if the stop command stops its own run alone.",
)
@click.option("--page", metavar="CMD", help="Drill who recognises when to stop.")
@click.option(
    "--page-timeout", default=300.0, show_default=True, help="Seconds to wait for a person."
)
@case_option
@click.pass_context
@reported
def command(
    context: click.Context,
    against: tuple[str, ...],
    by: tuple[str, ...],
    n: int | None,
    listing: bool,
    as_json: bool,
    launch: str | None,
    stops: tuple[str, ...],
    agent: str | None,
    config: Path | None,
    guarded: bool,
    label: str,
    python: str,
    folder: Path | None,
    up_timeout: float,
    stop_timeout: float,
    grace: float,
    at_once: int,
    page: str | None,
    page_timeout: float,
    case: Path | None,
) -> None:
    """Run stubborn processes against ways to stop them, and count what survives.

    Without more: against Custodes' own mechanisms. With --launch and --stop: against yours. Both
    are lines for /bin/sh; {agent} is the stubborn program, {dir} a folder per run, {name} unique
    per run, {pid} (in --stop) the launch command's process. With --agent: an installed agent starts
    the programs by its own tools, and is stopped. With --page: who gives the order.

    Exit codes: 4 something survived, or a command does not work; 3 something could not be
    verified, or the stop command hung or failed; 0 nothing survived. With --page: 4 not flagged,
    or the stop was not verified; 3 something was not measured; 0 all was.
    """
    stop = stops[-1] if stops and agent is None else None  # several have a meaning with --agent
    _check(context, launch, stop, page, agent)
    ends_on_term()
    try:
        if listing:
            _list(as_json)
        elif page is not None:
            from ._drill_page import run_page

            record = recorder(case, "pages")
            runs = 1 if n is None else n
            raise Exit(
                run_page(page, timeout_s=page_timeout, as_json=as_json, n=runs, record=record)
            )
        elif agent is not None:
            from ._drill_agent import GRACE_S, RUNS, UP_S, run_agent

            cells = run_agent(
                agent,
                config=config,
                against=against or None,
                stops=stops or None,
                n=RUNS if n is None else n,
                guarded=guarded,
                grace_s=grace if _said(context, "grace") else GRACE_S,
                up_s=up_timeout if _said(context, "up_timeout") else UP_S,
                as_json=as_json,
                record=recorder(case, "drills"),
                progress=_Progress(),
                show=_print,
            )
            raise Exit(_code(cells))
        elif launch is not None and stop is not None:
            from custodes.containment.drills.launcher import Launcher

            launcher = Launcher(
                launch=launch,
                stop=stop,
                label=label,
                python=python,
                folder=folder,
                up_timeout_s=up_timeout,
                stop_timeout_s=stop_timeout,
                grace_s=grace,
            )
            record = recorder(case, "drills")
            runs = _RUNS if n is None else n
            _drill_launcher(launcher, against or None, runs, at_once, as_json, record)
        else:
            _drill_own(against or None, by or None, _RUNS if n is None else n, as_json)
    except KeyboardInterrupt:
        raise Exit(FAILED, "interrupted; what the drill had started was ended") from None
    except ValueError as error:
        raise Exit(USAGE, str(error)) from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        where = error.filename or f"the folder for temporary files ({tempfile.gettempdir()})"
        raise Exit(
            FAILED, f"no space left at {where}: free some, or name another folder in TMPDIR"
        ) from None


def _said(context: click.Context, option: str) -> bool:
    return context.get_parameter_source(option) is ParameterSource.COMMANDLINE


def _check(
    context: click.Context,
    launch: str | None,
    stop: str | None,
    page: str | None,
    agent: str | None,
) -> None:
    """Refuse options that do not go together."""
    given = {option for option in context.params if _said(context, option)}
    if (launch is None) != (stop is None):
        has, lacks = ("--launch", "--stop") if stop is None else ("--stop", "--launch")
        raise Exit(USAGE, f"expected --launch and --stop together, found {has} without {lacks}")
    for condition, allowed, why in (
        (page is not None, {"page", "page_timeout", "n", "as_json", "case"}, "with --page"),
        (agent is not None, {*_AGENT, "against", "n", "as_json", "case"}, "with --agent"),
        (launch is not None, {*_LAUNCHER, "against", "n", "as_json", "case"}, "with --launch"),
        (
            True,
            {"against", "by", "n", "as_json", "listing"},
            "without --launch, --agent or --page",
        ),
    ):
        if condition:
            for option in sorted(given - allowed):
                name = _SPELT.get(
                    option, f"--{option.replace('_', '-').replace('listing', 'list')}"
                )
                if option == "page_timeout" and page is None:
                    raise Exit(USAGE, "--page-timeout needs --page")
                raise Exit(USAGE, f"{name} says nothing {why}: leave it out")
            return


def _list(as_json: bool) -> None:
    from custodes.containment.drills import ADVERSARIES, MECHANISMS
    from custodes.containment.drills.launcher import not_launchable

    from ._drill_agent import listed

    alone = not_launchable()
    if as_json:
        document = {
            "adversaries": [
                {
                    "name": name,
                    "description": adversary.description,
                    "not_with_launch": alone.get(name),
                }
                for name, adversary in ADVERSARIES.items()
            ],
            "mechanisms": [
                {"name": name, "description": mechanism.description}
                for name, mechanism in MECHANISMS.items()
            ],
            "with_agent": listed(),
        }
        click.echo(json.dumps(document, indent=2))
        return
    for name, adversary in ADVERSARIES.items():
        why = f" Not with --launch: {alone[name]}." if name in alone else ""
        click.echo(f"adversary  {name:<22} {adversary.description}{why}")
    for name, mechanism in MECHANISMS.items():
        click.echo(f"mechanism  {name:<22} {mechanism.description}")
    for one in listed():
        what = "with --agent" if one["kind"] == "adversary" else "its stop"
        click.echo(f"{what:<12} {one['name']:<20} {one['description']}")


class _Progress:
    """Runs done of all, on standard error: in place on a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {of} runs" + ("\n" if done == of else ""), err=True, nl=False)
        elif done == of or time.monotonic() > self._said + _SAY_EVERY_S:
            self._said = time.monotonic()
            click.echo(f"{done} of {of} runs", err=True)


# --- against Custodes' own mechanisms ----------------------------------------------------------


def _drill_own(
    against: Iterable[str] | None, by: Iterable[str] | None, n: int, as_json: bool
) -> None:
    from custodes.containment.drills import run_drills

    matrix = asyncio.run(run_drills(against, by, n, progress=_Progress()))
    if as_json:
        click.echo(json.dumps(matrix.to_json(), indent=2))
    else:
        _print(matrix.cells)
    raise Exit(_code(matrix.cells))


# --- against the user's ------------------------------------------------------------------------


def _drill_launcher(
    launcher: Launcher,
    against: Iterable[str] | None,
    n: int,
    at_once: int,
    as_json: bool,
    record: Recorder,
) -> None:
    from custodes.containment.drills.launcher import LauncherUnusable, run_launcher_drill

    try:
        matrix = run_launcher_drill(launcher, against, n, at_once=at_once, progress=_Progress())
    except LauncherUnusable as error:
        raise Exit(FAILED, str(error)) from None
    if as_json:
        click.echo(json.dumps(matrix.to_json(), indent=2))
    else:
        _print([cell.drill for cell in matrix.cells])
        for line in _remarks(matrix):
            click.echo(line)
    record(matrix.to_json())
    for left in matrix.uncleared:
        click.echo(f"custodes: could not be cleared away: {left}", err=True)
    failed = any(cell.stop_failed for cell in matrix.cells)
    found = _code([cell.drill for cell in matrix.cells])
    raise Exit(strongest(found, UNMEASURABLE if failed else DONE))


def _remarks(matrix: LauncherMatrix) -> list[str]:
    """What holds for the whole drill, each in a line."""
    ended: Counter[str] = Counter()
    looked: dict[str, list[str]] = {}
    for cell in matrix.cells:
        ended.update(cell.stop_ended)
        looked.setdefault(cell.looked_at, []).append(cell.drill.adversary)
    ways = ", ".join(f"{how} in {count} runs" for how, count in ended.most_common())
    lines = [f"stop command: {ways or 'not run'}"]
    failed = sum(cell.stop_failed for cell in matrix.cells)
    if failed:
        lines.append(
            f"the stop command did not end well in {failed} of {ended.total()} runs: whether it "
            "is what stopped them is not shown"
        )
    for what, names in looked.items():
        where = "" if len(looked) == 1 else f" ({', '.join(names)})"
        lines.append(f"looked at: {what}{where}")
    others = sum(cell.others_left for cell in matrix.cells)
    if others:
        lines.append(
            f"in {others} runs processes of the launcher or the stop command itself were left"
        )
    collateral = sum(cell.drill.collateral for cell in matrix.cells)
    if collateral:
        lines.append(f"collateral: {collateral} unrelated processes ended too")
    return lines


# --- both --------------------------------------------------------------------------------------


def _print(cells: Sequence[DrillCell]) -> None:
    click.echo(
        f"{'mechanism':<24} {'adversary':<18} survived     at most   not verified   median ms"
    )
    for cell in cells:
        unknown = cell.status == "untested" or cell.survivors is None
        survived = "  -" if unknown else f"{cell.survivors:>3} of {cell.n}"
        upper = "-" if unknown or cell.rate.high is None else f"{cell.rate.high:.3f}"
        line = (
            f"{cell.mechanism:<24} {cell.adversary:<18} {survived:<11} "
            f"{upper:>8}   {cell.unverified:>12}   {'-' if unknown else _median(cell):>9}"
        )
        if cell.status != "measured":
            line += f"   {cell.status}" + (f": {cell.note}" if cell.note else "")
        click.echo(line)
        for reason in cell.reasons:
            click.echo(f"{'':<24} not verified: {reason}")
    click.echo("survived: runs with a survivor, of all runs; - where nothing may be said")
    click.echo("at most: exact upper 95 % bound of the share of verified runs with a survivor")
    click.echo(
        "median: from the order to the last side effect, over watched runs, survivors' cut short; "
        "- where it is not reached"
    )


def _median(cell: DrillCell) -> str:
    times = cell.to_json()["last_side_effect_ms"]
    middle = times.get("median") if isinstance(times, dict) else None
    return f"{middle:.1f}" if isinstance(middle, (int, float)) else "-"


def _code(cells: Sequence[DrillCell]) -> int:
    # Naive mechanisms are controls: what they leave shows that survivors are seen.
    survived = any(cell.survivors for cell in cells if cell.status != "control")
    unknown = any(cell.unverified or cell.status == "untested" for cell in cells)
    return strongest(FAILED if survived else DONE, UNMEASURABLE if unknown else DONE)
