"""``custodes keys``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._exits import USAGE, Exit, reported

if TYPE_CHECKING:
    from custodes.case import PrivateKey

_F = TypeVar("_F", bound=Callable[..., Any])


def keys_option(command: _F) -> _F:
    """``--keys``: where private keys are kept."""
    return click.option(
        "--keys",
        "folder",
        type=click.Path(path_type=Path),
        help="Folder of private keys; by default $CUSTODES_KEYS, or custodes/keys in the user's "
        "settings. Never inside a case.",
    )(command)


def place(folder: Path | None) -> Path:
    """The folder of private keys."""
    from custodes.case import keys_folder

    return keys_folder() if folder is None else folder


def private_keys(names: tuple[str, ...], folder: Path | None) -> list[PrivateKey]:
    """The keys of these names, in order."""
    from custodes.case import read_private

    return [read_private(name, place(folder)) for name in names]


@click.group("keys")
def command() -> None:
    """Make keys, and say in a case which may sign."""


@command.command("make")
@click.argument("name")
@keys_option
@reported
def make(name: str, folder: Path | None) -> None:
    """Make the key NAME: NAME.key, which nobody else may have, and NAME.pub for everybody."""
    from custodes.case import make_key

    where = place(folder)
    key = make_key(name, where)
    click.echo(f"key {key.public.id}: {where / (name + '.key')} (keep), {name}.pub (give away)")


@command.command("add")
@click.argument("name")
@click.argument("case", type=click.Path(path_type=Path), default=".")
@click.option(
    "--role",
    type=click.Choice(["assessor", "witness", "recovery", "participant"]),
    default="assessor",
    show_default=True,
    help="What it may do; docs/evidence.md says more.",
)
@click.option("--by", multiple=True, help="Name of a key that vouches; none for the first key.")
@click.option("--expires", metavar="DATE", help="Last day on which it signs: 2027-06-30.")
@keys_option
@reported
def add(
    name: str, case: Path, role: str, by: tuple[str, ...], expires: str | None, folder: Path | None
) -> None:
    """Record the key NAME in CASE as one that may sign."""
    from custodes.case import Case, add_key

    key, *others = private_keys((name, *by), folder)
    with Case.open(case, write=True) as opened:
        add_key(opened, key, name=name, role=role, by=others, not_after=_last_moment(expires))
    click.echo(f"key {key.public.id} ({name}, {role}) may sign in {case}")


@command.command("rotate")
@click.argument("old")
@click.argument("new")
@click.argument("case", type=click.Path(path_type=Path), default=".")
@click.option("--by", multiple=True, help="Two recovery keys, when the old key is lost.")
@click.option("--expires", metavar="DATE", help="Last day on which the new key signs.")
@keys_option
@reported
def rotate(
    old: str, new: str, case: Path, by: tuple[str, ...], expires: str | None, folder: Path | None
) -> None:
    """Let the key NEW take the place of OLD (a name, or the id of a lost one) in CASE."""
    from custodes.case import Case, rotate_key

    fresh, *others = private_keys((new, *by), folder)
    if not others:
        others = private_keys((old,), folder)
    with Case.open(case, write=True) as opened:
        replaced = _id_of(case, old)
        rotate_key(opened, replaced, fresh, by=others, not_after=_last_moment(expires))
    click.echo(f"key {fresh.public.id} took the place of {replaced} in {case}")


@command.command("revoke")
@click.argument("key")
@click.argument("case", type=click.Path(path_type=Path), default=".")
@click.option(
    "--reason", type=click.Choice(["retired", "lost", "compromised"]), required=True, help="Why."
)
@click.option("--by", multiple=True, required=True, help="Keys that sign it; one is a witness.")
@keys_option
@reported
def revoke(key: str, case: Path, reason: str, by: tuple[str, ...], folder: Path | None) -> None:
    """End KEY (its name or id) in CASE. A second key witnesses it where there is one."""
    from custodes.case import Case, revoke_key

    signers = private_keys(by, folder)
    with Case.open(case, write=True) as opened:
        ended = _id_of(case, key)
        revoke_key(opened, ended, reason=reason, by=signers)
    click.echo(f"key {ended} signs nothing more in {case}: {reason}")


@command.command("list")
@click.argument("case", type=click.Path(path_type=Path), default=".")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
@reported
def listing(case: Path, as_json: bool) -> None:
    """List the keys of CASE, and which are in force."""
    from custodes.case import read_state

    entries = read_state(case).check.ring.entries.values()
    if as_json:
        document = {
            "schema": "custodes.keys/1",
            "keys": [
                {
                    "key": e.public.id,
                    "public": e.public.raw.hex(),
                    "name": e.name,
                    "role": e.role,
                    "event": e.seq,
                    "since": e.since,
                    "until": e.until,
                    "ended": e.ended or None,
                    "ended_by": e.ended_by,
                }
                for e in entries
            ],
        }
        click.echo(json.dumps(document, indent=2))
        return
    if not entries:
        click.echo("no key yet: make one with `custodes keys make NAME`, then `custodes keys add`")
    for e in entries:
        state = f"{e.ended} by event {e.ended_by}" if e.ended else "in force"
        click.echo(f"{e.public.id}  {e.name}  {e.role}  since event {e.seq}  {state}")


def _id_of(case: Path, named: str) -> str:
    """The id of the key that a name or id means: of the one in force, where a name was reused."""
    from custodes.case import read_state

    entries = read_state(case).check.ring.entries
    if named in entries:
        return named
    found = [e for e in entries.values() if e.name == named]
    found = [e for e in found if not e.ended] or found
    if len(found) != 1:
        raise Exit(
            USAGE,
            f"{len(found)} keys of {case} are named {named!r}: give an id of `custodes keys list`",
        )
    return found[0].public.id


def _last_moment(day: str | None) -> int | None:
    if day is None:
        return None
    try:
        start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Exit(USAGE, f"expected a day such as 2027-06-30 for --expires, found {day}") from None
    return (int(start.timestamp()) + 86_400) * 1_000_000 - 1
