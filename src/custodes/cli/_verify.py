"""``custodes verify``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from ._exits import FAILED, USAGE, Exit, reported
from ._recompute import recomputed

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@click.command("verify")
@click.argument("target", metavar="TARGET", type=click.Path(path_type=Path), default=".")
@click.option(
    "--key",
    "keys",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A public key (.pub) that you know: the signatures must lead to it. Repeatable.",
)
@click.option(
    "--head",
    "heads",
    multiple=True,
    help="A head that you kept: a file of `head show --json`, or the digest of an event.",
)
@click.option("--recompute", is_flag=True, help="Also compute every number of a case again.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@reported
def command(
    target: Path, keys: tuple[Path, ...], heads: tuple[str, ...], recompute: bool, as_json: bool
) -> None:
    """Check a case (its folder), a bundle or a published report, offline."""
    from custodes.case import read_head_file, read_public, verify, verify_file

    digests = [text for text in heads if _DIGEST.match(text)]
    if len(digests) > 1:
        raise Exit(USAGE, "expected at most one digest with --head; name files for more")
    for text in heads:
        if text not in digests and not Path(text).is_file():
            raise Exit(
                USAGE,
                f"--head {text}: expected a file or 64 hex digits, found neither",
            )
    earlier = [read_head_file(Path(text)) for text in heads if text not in digests]
    known = [read_public(path) for path in keys]
    if target.is_dir():
        result = verify(
            target, expected_head=digests[0] if digests else None, keys=known, earlier=earlier
        )
        if recompute:
            result = recomputed(target, result)
    elif not target.exists():
        raise Exit(USAGE, f"{target}: not there; name the folder of a case, or a file")
    elif digests or recompute:
        raise Exit(USAGE, f"{target}: a digest and --recompute need the folder of a case")
    else:
        result = verify_file(target, keys=known, earlier=earlier)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    else:
        click.echo(
            f"{'intact' if result.ok else 'NOT INTACT'} ({result.level}): {result.events} events, "
            f"{result.evidence} blobs; head {result.head}"
        )
        for problem in result.problems:
            click.echo(f"  {problem.where}: {problem.what}")
        for text in result.notes:
            click.echo(f"  note: {text}")
        for text in result.not_checkable:
            click.echo(f"  not checkable: {text}")
    if not result.ok:
        raise Exit(FAILED)
