"""Withholding blocks, opening them later, and the public document of both.

Nothing here draws random numbers, verifies signatures itself or reads a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar, Final

from custodes.types import JsonObject, JsonValue, Sha256, parse_sha256

from ._blocks import Approval, Block, Entropy, Verify, WithheldFor, check_approval
from ._codec import Document, body, load
from ._refusal import Refusal
from ._words import Attribution

_APPROVED: Final = frozenset(word.value for word in Attribution if word.needs_approval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms(Document):
    """What the agreement says about withheld blocks.

    Attributes:
        pad_to: the register's length is a multiple of this: 1 shows how many were withheld.
        sunset: first day (YYYY-MM-DD) on which anybody may see an opening; None is never.
        opens_to: who may see one on any day.
    """

    pad_to: int = 1
    sunset: str | None = None
    opens_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pad_to < 1:
            raise ValueError(f"expected a register padded to 1 or more, found {self.pad_to}")
        if self.sunset is not None and date.fromisoformat(self.sunset).isoformat() != self.sunset:
            raise ValueError(f"expected a day as YYYY-MM-DD, found {self.sunset}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Document):
    """The public redaction register of one participant.

    Nothing in it belongs to a single block but the leaf, and leaves are sorted by value: neither
    kind, size, reason nor place of a withheld block shows.

    Attributes:
        round: name of the round.
        participant: whose blocks are withheld.
        terms: what the agreement says.
        reasons: those that were given at all.
        leaves: of the withheld blocks, and of as many decoys as the padding takes.
    """

    schema: ClassVar[str] = "custodes.redaction-register/1"

    round: str
    participant: str
    terms: Terms
    reasons: tuple[WithheldFor, ...]
    leaves: tuple[Sha256, ...]

    def __post_init__(self) -> None:
        for leaf in self.leaves:
            parse_sha256(leaf)
        if list(self.leaves) != sorted(set(self.leaves)):
            raise ValueError("expected leaves once each, in their own order")

    @classmethod
    def from_json(cls, data: JsonValue) -> Register:
        """The register of a document; ValueError if it is none."""
        return load(cls, body(data, cls.schema), "redaction register")


def make_register(
    withheld: Sequence[tuple[Block, WithheldFor]],
    *,
    round: str,
    participant: str,
    terms: Terms,
    entropy: Entropy,
) -> Register:
    """The register of what a participant withheld: redacted blocks and originals of edits."""
    leaves = {block.leaf for block, _ in withheld}
    while len(leaves) % terms.pad_to:
        leaves.add(Sha256(hashlib.sha256(entropy(32)).hexdigest()))
    given = {reason for _, reason in withheld}
    return Register(
        round=round,
        participant=participant,
        terms=terms,
        reasons=tuple(reason for reason in WithheldFor if reason in given),
        leaves=tuple(sorted(leaves)),
    )


def check_opening(
    register: Register, opened: Block, *, to: str = "public", on: date
) -> Refusal | None:
    """Why an opening proves nothing or comes too early, or None when it does neither.

    Args:
        register: as it was published.
        opened: the block that is said to have been withheld.
        to: who sees it: ``public``, or somebody that the terms name.
        on: the day.
    """
    terms = register.terms
    day = terms.sunset
    if to not in terms.opens_to and (day is None or on < date.fromisoformat(day)):
        return Refusal(
            rule="opens",
            reason=f"the agreement opens this register to {', '.join(terms.opens_to) or 'nobody'} "
            f"and to everybody {'never' if day is None else f'from {day}'}, found {to} on {on}",
            remedy="ask the participant, or wait",
        )
    if opened.leaf not in register.leaves:
        return Refusal(
            rule="opening",
            reason="what is opened hashes to no leaf of this register",
            remedy="compare id, salt, kind, text and fields with what both parties kept",
        )
    return None


# --- what is published ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A block that stands in a public report.

    Attributes:
        block: its words.
        approval: its participant's, or None where nobody's is needed.
    """

    block: Block
    approval: Approval | None = None


def public_blocks(published: Sequence[Published], registers: Sequence[Register]) -> JsonObject:
    """The document of everything public about blocks: words with approvals, and registers.

    Blocks are sorted by leaf, which is a random order. A published block carries its own salt, so
    that anybody can check its approval; a withheld one carries nothing.
    """
    return {
        "schema": "custodes.public-blocks/1",
        "blocks": [
            {
                "block": one.block.to_json(),
                "leaf": one.block.leaf,
                "approval": None if one.approval is None else one.approval.to_json(),
            }
            for one in sorted(published, key=lambda one: one.block.leaf)
        ],
        "registers": [
            register.to_json()
            for register in sorted(registers, key=lambda register: register.participant)
        ],
    }


def check_public(document: JsonValue, verify: Verify) -> tuple[Refusal, ...]:
    """Everything that does not hold in a document of :func:`public_blocks`.

    Raises:
        ValueError: if it is none.
    """
    fields = body(document, "custodes.public-blocks/1")
    blocks, registers = fields.pop("blocks", None), fields.pop("registers", None)
    if fields or not isinstance(blocks, Sequence) or not isinstance(registers, Sequence):
        raise ValueError("public blocks: expected exactly blocks and registers, as lists")
    withheld = {leaf for data in registers for leaf in Register.from_json(data).leaves}
    found: list[Refusal] = []
    for data in blocks:
        if not isinstance(data, Mapping) or set(data) != {"block", "leaf", "approval"}:
            raise ValueError("public blocks: expected of each block, leaf and approval")
        block = Block.from_json(data["block"])
        if block.leaf != data["leaf"]:
            found.append(
                Refusal(
                    rule="exact_text",
                    reason=f"the words of block {block.id} hash to another leaf than is printed",
                    remedy="take the document from its publisher again",
                )
            )
        if block.leaf in withheld:
            found.append(
                Refusal(
                    rule="approval",
                    reason=f"block {block.id} is printed and in a register of what was withheld",
                    remedy="take the document from its publisher again",
                )
            )
        if data["approval"] is None:
            if block.data.get("attribution") in _APPROVED:
                found.append(
                    Refusal(
                        rule="approval",
                        reason=f"block {block.id} is a participant's and comes without approval",
                        remedy="take the document from its publisher again",
                    )
                )
        else:
            refusal = check_approval(block, Approval.from_json(data["approval"]), verify)
            if refusal is not None:
                found.append(refusal)
    return tuple(found)
