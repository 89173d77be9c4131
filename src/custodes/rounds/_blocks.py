"""Blocks of a report: salted leaves, decisions about them, approvals of exact words.

A leaf proves that something was fixed, not that withholding it was justified. Nothing here draws
random numbers, signs or reads a clock: entropy, keys and days come from the caller.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Final

from custodes.types import JsonValue, Sha256, canonical_json, parse_sha256

from ._codec import Document, body, dump, load
from ._refusal import Refusal
from ._statement import SENTENCES
from ._words import Choice

Entropy = Callable[[int], bytes]
"""Gives that many unpredictable bytes; ``secrets.token_bytes`` outside tests."""
Sign = Callable[[bytes], bytes]
"""Signs a payload with one key."""
Verify = Callable[[str, bytes, bytes], bool]
"""Whether a signature holds: key id, payload, signature."""

ID_BYTES: Final = 16
SALT_BYTES: Final = 16
_TOKEN = re.compile(r"[0-9a-f]{32}\Z")
_SIGNATURE = re.compile(r"(?:[0-9a-f]{2})+\Z")


class BlockKind(StrEnum):
    """What a block is."""

    CLAIM = "claim"
    KEY_FACT = "key_fact"
    INCIDENT = "incident"
    JUDGEMENT = "judgement"
    MEASUREMENT = "measurement"
    SENTENCE = "sentence"
    """Text of the fixed sentences."""


FIELDS: Final[Mapping[BlockKind, frozenset[str]]] = {
    BlockKind.CLAIM: frozenset({"attribution"}),
    BlockKind.KEY_FACT: frozenset({"factor"}),
    BlockKind.INCIDENT: frozenset({"overreach", "deception"}),
    BlockKind.JUDGEMENT: frozenset({"cell", "scale"}),
    BlockKind.MEASUREMENT: frozenset({"estimand", "value", "low", "high", "n"}),
    BlockKind.SENTENCE: frozenset({"sentence"}),
}
"""The fields that a block of each kind has beside its text. Fractions are decimal text."""

FIXED: Final[Mapping[str, str]] = {
    **{f"statement.{word.value}": text for word, text in SENTENCES.items()},
    "register.meaning": (
        "A leaf of this register proves that something was fixed before publication, not that "
        "withholding it was justified."
    ),
    "dispute.frozen": "The participant disputes this report; both positions are printed.",
}
"""The sentences that a block of kind sentence may hold, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Document):
    """One block in its exact words, with what makes its leaf unguessable.

    As a document it is an opening: whoever gets it can prove what the leaf stood for.

    Attributes:
        id: 128 random bits as hexadecimal digits: no gaps, no order.
        salt: as many, drawn anew for every version of the words.
        kind: what it is.
        text: the words as printed.
        data: the fields of its kind.
    """

    schema: ClassVar[str] = "custodes.block/1"

    id: str
    salt: str
    kind: BlockKind
    text: str
    data: Mapping[str, str | int | bool | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, token in (("id", self.id), ("salt", self.salt)):
            if _TOKEN.match(token) is None:
                raise ValueError(f"expected a block's {name} as 32 lower-case hexadecimal digits")
        text = unicodedata.normalize("NFC", self.text)
        if not text or text != self.text or text != text.strip() or not text.isprintable():
            raise ValueError(
                "expected a block's text in one line, in normal form C, without space at its ends"
            )
        if set(self.data) != FIELDS[self.kind]:
            raise ValueError(
                f"expected of a {self.kind} block the fields {', '.join(sorted(FIELDS[self.kind]))}"
                f", found {', '.join(sorted(self.data)) or 'none'}"
            )
        if self.kind is BlockKind.SENTENCE and FIXED.get(str(self.data["sentence"])) != self.text:
            raise ValueError("expected the words of a fixed sentence, found others")

    @property
    def leaf(self) -> Sha256:
        """sha256(0x00 ‖ JCS of the block): fixes the words and tells nothing about them."""
        plain = canonical_json(
            {
                "id": self.id,
                "salt": self.salt,
                "kind": self.kind.value,
                "text": self.text,
                "data": self.data,
            }
        )
        return Sha256(hashlib.sha256(b"\x00" + plain).hexdigest())

    @classmethod
    def from_json(cls, data: JsonValue) -> Block:
        """The block of a document; ValueError if it is none."""
        return load(cls, body(data, cls.schema), "block")


def new_block(
    kind: BlockKind,
    text: str,
    data: Mapping[str, str | int | bool | None],
    *,
    entropy: Entropy,
) -> Block:
    """A block with a random id and salt.

    Raises:
        ValueError: if its text or fields are not those of its kind.
    """
    return Block(
        id=entropy(ID_BYTES).hex(), salt=entropy(SALT_BYTES).hex(), kind=kind, text=text, data=data
    )


def revised(block: Block, text: str, *, entropy: Entropy) -> Block:
    """The same block in other words, under a new salt.

    With the old salt, who opens one version would have the salt of the other.
    """
    return Block(
        id=block.id,
        salt=entropy(SALT_BYTES).hex(),
        kind=block.kind,
        text=text,
        data=block.data,
    )


# --- decisions and approvals ---------------------------------------------------------------------


class WithheldFor(StrEnum):
    """Why a participant withholds or changes words."""

    SECURITY = "security"
    COMMERCIAL = "commercial"
    LEGAL = "legal"
    PERSONAL = "personal"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Document):
    """A participant's signature over the exact words of one published block.

    It names nothing but that block, so publishing it tells nothing about any other.

    Attributes:
        round: name of the round.
        participant: who approves.
        key: id of the key that signed.
        leaf: digest of the words.
        signature: hexadecimal.
    """

    schema: ClassVar[str] = "custodes.approval/1"

    round: str
    participant: str
    key: str
    leaf: Sha256
    signature: str

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)
        _need_hex(self.signature)

    @property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        return _payload(self)

    @classmethod
    def from_json(cls, data: JsonValue) -> Approval:
        """The approval of a document; ValueError if it is none."""
        return load(cls, body(data, cls.schema), "approval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Document):
    """What a participant decided about one offered block. Stays between the two parties.

    Attributes:
        round: name of the round.
        participant: who decides.
        key: id of the key that signed.
        leaf: digest of the words offered.
        choice: what is decided.
        replacement: digest of the words approved instead, for edit and anonymise.
        describable: whether the report may say what was withheld.
        reason: why, for everything but approve.
        signature: hexadecimal.
    """

    schema: ClassVar[str] = "custodes.decision/1"

    round: str
    participant: str
    key: str
    leaf: Sha256
    choice: Choice
    replacement: Sha256 | None
    describable: bool
    reason: WithheldFor | None
    signature: str

    def __post_init__(self) -> None:
        parse_sha256(self.leaf)
        _need_hex(self.signature)
        replaces = self.choice in {Choice.EDIT, Choice.ANONYMISE}
        if replaces != (self.replacement is not None):
            raise ValueError("expected a replacement exactly for edit and anonymise")
        if (self.choice is not Choice.APPROVE) != (self.reason is not None):
            raise ValueError("expected a reason for everything but approve, and for nothing else")

    @property
    def payload(self) -> bytes:
        """The bytes that are signed."""
        return _payload(self)

    @classmethod
    def from_json(cls, data: JsonValue) -> Decision:
        """The decision of a document; ValueError if it is none."""
        return load(cls, body(data, cls.schema), "decision")


def _need_hex(signature: str) -> None:
    if _SIGNATURE.match(signature) is None:
        raise ValueError("expected a signature as lower-case hexadecimal digits")


def _payload(document: Approval | Decision) -> bytes:
    fields = dump(document)
    del fields["signature"]
    return canonical_json({"schema": document.schema, **fields})


def _signed(document: Approval | Decision, sign: Sign) -> str:
    return sign(document.payload).hex()


def approve(block: Block, *, round: str, participant: str, key: str, sign: Sign) -> Approval:
    """A participant's approval of a block's exact words."""
    fields = {"round": round, "participant": participant, "key": key}
    unsigned = Approval(**fields, leaf=block.leaf, signature="00")
    return Approval(**fields, leaf=block.leaf, signature=_signed(unsigned, sign))


def decide(
    offered: Block,
    choice: Choice,
    *,
    round: str,
    participant: str,
    key: str,
    sign: Sign,
    replacement: Block | None = None,
    describable: bool = False,
    reason: WithheldFor | None = None,
) -> tuple[Decision, Approval | None]:
    """A signed decision about an offered block, and the approval of the words that may stand.

    Raises:
        ValueError: if the choice lacks its replacement or reason, or has one that it has no use
            for.
    """

    def decision(signature: str) -> Decision:
        return Decision(
            round=round,
            participant=participant,
            key=key,
            leaf=offered.leaf,
            choice=choice,
            replacement=None if replacement is None else replacement.leaf,
            describable=describable,
            reason=reason,
            signature=signature,
        )

    made = decision(_signed(decision("00"), sign))
    if choice is Choice.REDACT:
        return made, None
    standing = replacement or offered
    return made, approve(standing, round=round, participant=participant, key=key, sign=sign)


def check_signature(document: Approval | Decision, verify: Verify) -> Refusal | None:
    """Why a decision's or approval's signature does not hold, or None when it does."""
    if verify(document.key, document.payload, bytes.fromhex(document.signature)):
        return None
    return Refusal(
        rule="signature",
        reason=f"the signature of key {document.key} does not hold over this {_name(document)}",
        remedy="ask its signer for the document again, and compare the key with the pinned one",
    )


def check_approval(block: Block, approval: Approval, verify: Verify) -> Refusal | None:
    """Why an approval does not cover a block's exact words, or None when it does."""
    if approval.leaf != block.leaf:
        return Refusal(
            rule="exact_text",
            reason="the approval is over other words than the block's",
            remedy="offer these words, or restore those that were approved",
        )
    return check_signature(approval, verify)


def _name(document: Approval | Decision) -> str:
    return "approval" if isinstance(document, Approval) else "decision"
