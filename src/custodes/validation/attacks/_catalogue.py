"""The attacks that ship with Custodes."""

from __future__ import annotations

from ._attack import Attack


def all_attacks() -> tuple[Attack, ...]:
    """Every attack, family by family."""
    from . import (
        _encoding,
        _files,
        _messages,
        _noise,
        _padding,
        _paths,
        _planted,
        _quoting,
        _renaming,
        _splitting,
        _translation,
    )

    return (
        *_encoding.ATTACKS,
        *_splitting.ATTACKS,
        *_quoting.ATTACKS,
        *_renaming.ATTACKS,
        *_files.ATTACKS,
        *_translation.ATTACKS,
        *_paths.ATTACKS,
        *_padding.ATTACKS,
        *_noise.ATTACKS,
        *_messages.ATTACKS,
        *_planted.ATTACKS,
    )


def attack_by_name(name: str) -> Attack:
    """The attack of that name.

    Raises:
        LookupError: when there is none, naming those that there are.
    """
    known = {attack.name: attack for attack in all_attacks()}
    if name not in known:
        raise LookupError(f"expected one of {', '.join(sorted(known))}, found {name!r}")
    return known[name]
