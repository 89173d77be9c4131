"""``custodes probe``."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ._exits import DONE, FAILED, UNMEASURABLE, USAGE, Exit, ends_on_term, reported, strongest
from ._record import case_option, recorder

_LONGEST_DETAIL = 160
_START_S = 300.0
"""Seconds for loading Inspect and starting a sandbox, which may build an image."""


@click.command("probe")
@click.argument("names", nargs=-1, metavar="[NAME|FAMILY]...")
@click.option("--tier", type=click.Choice(["A", "A'", "C"]), help="Sandbox tier; A by default.")
@click.option(
    "--allow-uncontained", is_flag=True, help="Needed for tier C, which contains nothing."
)
@click.option(
    "--command",
    "contained",
    metavar="CMD",
    help="Probe what this command contains, such as 'docker run --rm -i -v {workspace}:/w -w /w "
    "IMAGE {probe}'. {probe} stands for the program of the attempts (appended where absent), "
    "{workspace} for a folder of the host.",
)
@click.option("--python", default="python3", show_default=True, help="The interpreter inside.")
@click.option(
    "--workspace-inside", metavar="PATH", help="Where {workspace} is seen inside; else searched."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds that the attempts may take in a command or a provider's sandbox.",
)
@click.option(
    "--canaries",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Plant what is to be reached in a new folder inside this one, which every user must be "
    "able to pass into.",
)
@click.option(
    "--sandbox", default="docker", show_default=True, help="Tier A': the provider of Inspect."
)
@click.option(
    "--sandbox-config",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="Tier A': its configuration, such as a compose file; it may mount the folder that "
    "CUSTODES_WORKSPACE names.",
)
@case_option
@click.option("--list", "listing", is_flag=True, help="Name the probes and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the matrix, or the list, as JSON.")
@click.pass_context
@reported
def command(
    context: click.Context,
    names: tuple[str, ...],
    tier: str | None,
    allow_uncontained: bool,
    contained: str | None,
    python: str,
    workspace_inside: str | None,
    timeout: float,
    canaries: Path | None,
    sandbox: str,
    sandbox_config: str | None,
    case: Path | None,
    listing: bool,
    as_json: bool,
) -> None:
    """Try to get out of a fresh sandbox, beside the same attempt on the bare host.

    Exit codes: 4 something got out, or the command cannot be probed; 2 usage, or no such sandbox
    can be started here; 3 something was untested; 0 everything was contained. Tier C contains
    nothing: what gets out of it is expected, and ends with 0.
    """
    _check(context, tier, contained)
    ends_on_term()
    from custodes.containment.probes import (
        PlaceUnusable,
        registered,
        run_command_probes,
        run_probes,
    )
    from custodes.types import Tier

    known = registered()
    if listing:
        listed = [
            {"name": name, "family": probe.family.value, "description": probe.description()}
            for name, probe in known.items()
        ]
        if as_json:
            click.echo(json.dumps(listed, indent=2))
        else:
            for entry in listed:
                click.echo(f"{entry['family']:<12} {entry['name']}")
        return
    families = {probe.family.value for probe in known.values()}
    names = tuple(
        one
        for name in names
        for one in (
            [known_name for known_name, probe in known.items() if probe.family.value == name]
            if name in families
            else [name]
        )
    )
    for name in names:
        if name not in known:
            raise Exit(USAGE, f"no probe is called {name!r}; custodes probe --list names them")
    if tier == "C" and not allow_uncontained:
        raise Exit(USAGE, "tier C contains nothing: say --allow-uncontained to probe it")
    record = recorder(case, "probes")
    try:
        if contained is not None:
            document = asyncio.run(
                run_command_probes(
                    contained,
                    names or None,
                    python=python,
                    seen_at=workspace_inside,
                    timeout=timeout,
                    canaries=canaries,
                )
            ).to_json()
        elif tier == "A'":
            document = _probe_provider(sandbox, sandbox_config, names, python, timeout, canaries)
        else:
            document = asyncio.run(
                run_probes(names or None, tier=Tier(tier or "A"), canaries=canaries)
            ).to_json()
    except ValueError as error:
        option = "--command: " if contained is not None else ""
        raise Exit(USAGE, f"{option}{error}") from None
    except PlaceUnusable as error:
        raise Exit(FAILED, f"nothing was tested: {error}") from None
    except KeyboardInterrupt:
        raise Exit(FAILED, "interrupted; what was planted has been removed") from None
    click.echo(json.dumps(document, indent=2) if as_json else _text(document))
    record(document)
    results = {probe["result"] for probe in _probes(document)}
    # Tier C contains nothing and is probed to see that the attempts work.
    escaped = "escaped" in results and tier != "C"
    raise Exit(
        strongest(FAILED if escaped else DONE, UNMEASURABLE if "untested" in results else DONE)
    )


def _check(context: click.Context, tier: str | None, contained: str | None) -> None:
    """Refuse options that say nothing about what is probed."""
    if contained is not None and tier is not None:
        raise Exit(USAGE, "--command and --tier exclude each other: name one of them")
    given = {
        option
        for option in context.params
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE
    }
    for options, fits, goes_with in (
        ({"workspace_inside", "case"}, contained is not None, "--command"),
        ({"sandbox", "sandbox_config"}, tier == "A'", "--tier A'"),
        ({"python", "timeout"}, contained is not None or tier == "A'", "--command or --tier A'"),
    ):
        for option in sorted(given & options):
            if not fits:
                raise Exit(USAGE, f"--{option.replace('_', '-')} goes with {goes_with}")


def _probe_provider(
    provider: str,
    config: str | None,
    names: tuple[str, ...],
    python: str,
    timeout: float,
    canaries: Path | None,
) -> dict[str, Any]:
    """The matrix of a sandbox of Inspect's, from a process of its own.

    Inspect is loaded there alone, and what it prints stays apart from the matrix.
    """
    from custodes.containment import detect_tier
    from custodes.types import Tier

    if provider == "docker":
        state = asyncio.run(detect_tier()).state(Tier.A_PRIME)
        if not state.usable:
            raise Exit(USAGE, f"tier A' cannot be started here: {state.reason}")
    job = {
        "provider": provider,
        "config": config,
        "names": names,
        "python": python,
        "timeout": timeout,
        "canaries": None if canaries is None else str(canaries.resolve()),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "custodes.harness._provider_place"],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=_START_S + 6 * timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Exit(FAILED, f"nothing was tested: provider {provider!r} does not answer") from None
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise Exit(
            USAGE,
            f"tier A' needs Inspect (install custodes[assess]), whose process ended with "
            f"{done.returncode}: {said}",
        ) from None
    if "refused" in found:
        raise Exit(USAGE, f"tier A' cannot be probed here: {found['refused']}")
    matrix: dict[str, Any] = found["matrix"]
    return matrix


def _probes(document: Any) -> list[dict[str, Any]]:
    probes: list[dict[str, Any]] = document["probes"]
    return probes


def _text(document: Any) -> str:
    """The matrix family by family, the openings by name, and the counts."""
    lines: list[str] = []
    families: dict[str, list[dict[str, Any]]] = {}
    for probe in _probes(document):
        families.setdefault(probe["family"], []).append(probe)
    for family, probes in families.items():
        lines.append(f"{family}: {_counts(probes)}")
        for probe in probes:
            said = f"  {_shown(probe['detail'])}" if probe["result"] != "contained" else ""
            lines.append(
                f"  {probe['result']:<10} {probe['name']:<36} receipt: {probe['receipt']}, "
                f"control: {probe['control']}{said}"
            )
    openings = [probe for probe in _probes(document) if probe["result"] == "escaped"]
    if openings:
        lines.append("openings:")
        lines += [f"  {probe['name']:<36} {_shown(probe['description'])}" for probe in openings]
    what = f"tier {document['tier']}"
    if "command" in document:
        what = f"command {_shown(document['command'])}"
    elif "sandbox" in document:
        what += f" ({_shown(document['sandbox'])})"
    lines.append(f"{what}: {_counts(_probes(document))}")
    return "\n".join(lines)


def _counts(probes: list[dict[str, Any]]) -> str:
    return ", ".join(
        f"{sum(probe['result'] == word for probe in probes)} {word}"
        for word in ("contained", "escaped", "untested")
    )


def _shown(text: str) -> str:
    """One line without control characters: what is quoted was written by what was probed."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
    return line if len(line) <= _LONGEST_DETAIL else f"{line[:_LONGEST_DETAIL]}…"
