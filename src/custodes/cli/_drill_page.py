"""``custodes drill --page``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import click

from ._exits import DONE, FAILED, UNMEASURABLE, USAGE, Exit, strongest
from ._record import Recorder

if TYPE_CHECKING:
    from custodes.response import Acted, PageDrill, PageRun
    from custodes.types import Estimate


def run_page(
    page: str,
    *,
    timeout_s: float,
    as_json: bool,
    n: int = 1,
    record: Recorder = lambda document: None,
) -> int:
    """Run the page drill, print it and return the exit code.

    0: every stage of every run was measured. 3: something was not. 4: a violation was not flagged,
    or a stop was not verified.

    Raises:
        Exit: when the command, the time or the count cannot be used, or no sandbox can be started.
    """
    from custodes.containment import SandboxError
    from custodes.response import page_drill

    def progress(line: str) -> None:
        click.echo(f"custodes: {line}", err=True)

    try:
        drill = asyncio.run(page_drill(page, timeout_s=timeout_s, n=n, progress=progress))
    except ValueError as error:
        raise Exit(USAGE, str(error)) from None
    except SandboxError as error:
        raise Exit(FAILED, str(error)) from None
    if as_json:
        click.echo(json.dumps(drill.to_json(), indent=2))
    else:
        for line in _text(drill):
            click.echo(line)
    record({"page": page, **drill.to_json()})
    return strongest(*(_code(run) for run in drill.runs))


def _code(run: PageRun) -> int:
    if run.failed:
        return FAILED
    return DONE if run.human == "measured" else UNMEASURABLE


def _text(drill: PageDrill) -> list[str]:
    lines = []
    for number, run in enumerate(drill.runs, 1):
        if len(drill.runs) > 1:
            lines.append(f"run {number} of {len(drill.runs)}")
        lines += [f"  {name:<12} {said}" for name, said in _said(run)]
        lines.append("")
    if len(drill.runs) > 1:
        lines.append("medians, each stage from the one before it")
        for name, found in drill.summaries().items():
            words = name.removesuffix("_us").replace("_", " ")
            lines.append(f"  {words:<40} {_median(found)}")
    else:
        lines.pop()
    return lines


def _said(run: PageRun) -> list[tuple[str, str]]:
    """Each stage in one line: when after the one before, and by whom; or that it was not."""
    act = run.violation
    said = [("violation", f"{act.name}: {act.what}; seen by the host" if act else "not seen")]
    if run.flag is None:
        said.append(("flag", f"not measured: {run.flag_missing}"))
    else:
        rule = f"/{run.flag.rule}" if run.flag.rule else ""
        said.append(
            (
                "flag",
                f"{_time(run.flag.us)} after the violation, by {run.flag.monitor}{rule}: "
                f"{run.flag.why}",
            )
        )
    if run.early_flags:
        said.append(("", f"{run.early_flags} honest calls were flagged before it, and not paged"))
    page, who = run.page, run.acknowledged
    if page is None or page.us is None:
        said.append(("page", f"not measured: {page.command if page else 'nobody was paged'}"))
    elif run.page_after_flag_us is None:
        said.append(("page", f"answered before its command ended ({page.command})"))
    else:
        said.append(("page", f"{_time(run.page_after_flag_us)} after the flag ({page.command})"))
    if run.acknowledged_after_page_us is not None:
        said.append(("acknowledge", _acted(who, run.acknowledged_after_page_us, "the page")))
    else:
        said.append(("acknowledge", _acted(who, run.acknowledged_after_flag_us, "the flag")))
    if run.ordered.kind.value == "drill":
        said.append(("order", f"not measured: nobody did; by {run.ordered.by}"))
    elif run.ordered_after_acknowledged_us is not None:
        said.append(
            ("order", _acted(run.ordered, run.ordered_after_acknowledged_us, "the acknowledgement"))
        )
    else:
        said.append(("order", _acted(run.ordered, run.ordered_after_flag_us, "the flag")))
    if run.gone_after_order_us is None:
        said.append(("stop", f"NOT VERIFIED: {run.stop.outcome}"))
    else:
        effect = run.stop.last_side_effect_us
        heard = "none watched" if effect is None else f"{_time(run.handover_us + effect)} after it"
        said.append(
            (
                "stop",
                f"{_time(run.gone_after_order_us)} after the order, verified: no process left, "
                f"and silence; last side effect {heard}",
            )
        )
    said.append(("people", run.human))
    return said


def _acted(who: Acted | None, us: int | None, after: str) -> str:
    if who is None or us is None:
        return "not measured: nobody did"
    return f"{_time(us)} after {after}, by {who.by} ({who.kind.value})"


def _time(us: float) -> str:
    """Microseconds as a person reads them, to three figures at most."""
    if us < 1_000_000:
        return f"{us / 1000:.3g} ms"
    return f"{us / 1e6:.1f} s"


def _median(found: Estimate) -> str:
    if found.value is None:
        return f"not measured (0 of {found.missing})"
    counted = f"n = {found.n}" + (f", {found.missing} not measured" if found.missing else "")
    if found.low is None or found.high is None:
        return f"{_time(found.value)} ({counted}; too few for an interval)"
    return (
        f"{_time(found.value)} ({found.level * 100:g} % interval "
        f"{_time(found.low)} to {_time(found.high)}; {counted})"
    )
