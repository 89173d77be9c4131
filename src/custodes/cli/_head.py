"""``custodes head``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ._exits import reported
from ._keys import keys_option, private_keys


@click.group("head")
def command() -> None:
    """Sign what a case holds now, and show it."""


@command.command("sign")
@click.argument("case", type=click.Path(path_type=Path), default=".")
@click.option("--key", "names", multiple=True, required=True, help="Name of a key; repeat it.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Also write the head there.")
@keys_option
@reported
def sign(case: Path, names: tuple[str, ...], out: Path | None, folder: Path | None) -> None:
    """Sign all events of CASE. Give the head to somebody else: who keeps it finds rewriting."""
    from custodes.case import Case, head_file, read_state, sign_head

    keys = private_keys(names, folder)
    with Case.open(case, write=True) as opened:
        head = sign_head(opened, keys)
    ids = ", ".join(key.public.id for key in keys)
    click.echo(f"signed {head.size} events by {ids}; root {head.root}")
    if out is not None:
        kept = head_file(read_state(case))
        _write(out, json.dumps(kept.to_json(), indent=2) + "\n")
        click.echo(f"{out}: hand it to somebody who keeps it outside your reach")


@command.command("show")
@click.argument("case", type=click.Path(path_type=Path), default=".")
@click.option("--json", "as_json", is_flag=True, help="Print it in the form to keep.")
@click.option("--dsse", is_flag=True, help="Print it as a DSSE envelope for other tools.")
@reported
def show(case: Path, as_json: bool, dsse: bool) -> None:
    """Show the newest signed head of CASE, after its signatures were checked."""
    from custodes.case import envelope, head_file, read_state

    state = read_state(case)
    kept = head_file(state)
    if dsse:
        click.echo(json.dumps(envelope(kept.head.signed), indent=2))
    elif as_json:
        click.echo(json.dumps(kept.to_json(), indent=2))
    else:
        head = kept.head
        later = len(state.events) - head.size - 1
        click.echo(
            f"head of {head.size} events, signed by {', '.join(kept.keys)}; {later} events since\n"
            f"  root   {head.root}\n  ledger {head.ledger}"
        )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


@command.command("bundle")
@click.argument("case", type=click.Path(path_type=Path), default=".")
@click.option("--key", "names", multiple=True, required=True, help="Name of a key; repeat it.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for bundle.json and the sealed report.html.",
)
@keys_option
@reported
def bundle(case: Path, names: tuple[str, ...], out: Path, folder: Path | None) -> None:
    """Write the newest report of CASE so that it can be checked alone: as JSON, and as a page."""
    from custodes.case import make_bundle, seal_page

    keys = private_keys(names, folder)
    document = make_bundle(case, keys)
    page = seal_page(case, make_bundle(case, keys, around_page=True))
    out.mkdir(parents=True, exist_ok=True)
    (out / "bundle.json").write_bytes(document)
    (out / "report.html").write_bytes(page)
    click.echo(f"{out / 'bundle.json'}\n{out / 'report.html'}")
