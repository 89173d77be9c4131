"""``custodes tiers``."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from ._exits import DONE, USAGE, Exit, reported

_APPARMOR_FILE = "/etc/apparmor.d/bwrap"


@click.command("tiers")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@reported
def command(as_json: bool) -> None:
    """Try the sandbox tiers of this machine and say why each can be used or cannot.

    Exit codes: 0 a tier that contains can be used; 2 none can: what to do is said beside it.
    """
    from custodes.containment import APPARMOR_PROFILE, detect_tier

    report = asyncio.run(detect_tier())
    document = {"schema": "custodes.tiers/1", **report.to_json()}
    restricted = "apparmor" in (report.user_namespaces or "").lower()
    if as_json:
        if restricted:
            document["apparmor_profile"] = APPARMOR_PROFILE
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(_text(document))
        if restricted:
            click.echo(
                f"to let bubblewrap alone make user namespaces, as root:\n"
                f"cat > {_APPARMOR_FILE} <<'EOF'\n{APPARMOR_PROFILE}EOF\n"
                f"apparmor_parser -r {_APPARMOR_FILE}"
            )
    raise Exit(DONE if report.available is not None else USAGE)


def _text(found: dict[str, Any]) -> str:
    lines = [
        f"tier {state['tier']:<3} {'usable' if state['usable'] else 'not usable':<11} "
        f"{state['reason']}"
        for state in found["tiers"]
    ]
    architecture = found["machine"]
    filtered = "filter" if found["seccomp"] else "NO filter of system calls"
    lines += [
        f"bubblewrap       {found['bubblewrap'] or 'none'}",
        f"kernel           {found['kernel']}",
        f"seccomp          {filtered} for {architecture}",
        f"user namespaces  {found['user_namespaces'] or 'no setting forbids them'}",
        f"control group    {found['cgroup'] or 'none is delegated to this process'}",
        f"executor         {found['executor'] or 'none ran'}",
    ]
    return "\n".join(lines)
