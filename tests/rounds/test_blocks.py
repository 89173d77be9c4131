"""Blocks: what a leaf fixes, what a register gives away (nothing), and what an opening proves."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from custodes.rounds._blocks import (
    FIELDS,
    FIXED,
    Approval,
    Block,
    BlockKind,
    Decision,
    WithheldFor,
    approve,
    check_approval,
    check_signature,
    decide,
    new_block,
    revised,
)
from custodes.rounds._register import (
    Published,
    Register,
    Terms,
    check_opening,
    check_public,
    make_register,
    public_blocks,
)
from custodes.rounds._words import Choice
from custodes.types import JsonObject, canonical_json

KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode() * 32) for name in "ab"}
DAY = date(2027, 1, 1)


def verify(key: str, payload: bytes, signature: bytes) -> bool:
    try:
        KEYS[key].public_key().verify(signature, payload)
    except (InvalidSignature, KeyError):
        return False
    return True


def entropy(seed: int) -> Callable[[int], bytes]:
    return random.Random(seed).randbytes


def claim(text: str, seed: int = 1) -> Block:
    return new_block(BlockKind.CLAIM, text, {"attribution": "attributed"}, entropy=entropy(seed))


def made(kind: BlockKind, text: str, seed: int = 1) -> Block:
    """A block of any kind with plausible fields."""
    data: dict[str, str | int | bool | None] = dict.fromkeys(FIELDS[kind], "x")
    if kind is BlockKind.SENTENCE:
        data, text = {"sentence": "dispute.frozen"}, FIXED["dispute.frozen"]
    return new_block(kind, text, data, entropy=entropy(seed))


def approved(block: Block) -> Approval:
    return approve(block, round="spring", participant="A", key="a", sign=KEYS["a"].sign)


def register(*withheld: Block, terms: Terms | None = None, seed: int = 7) -> Register:
    return make_register(
        [(block, WithheldFor.SECURITY) for block in withheld],
        round="spring",
        participant="A",
        terms=terms or Terms(opens_to=("regulator",), sunset="2029-01-01"),
        entropy=entropy(seed),
    )


# --- leaves --------------------------------------------------------------------------------------


def test_a_leaf_is_the_hash_that_the_design_names() -> None:
    block = claim("Agents deleted logs.")
    plain = (
        f'{{"data":{{"attribution":"attributed"}},"id":"{block.id}","kind":"claim","salt":"{block.salt}",'
        '"text":"Agents deleted logs."}'
    )
    assert block.leaf == hashlib.sha256(b"\0" + plain.encode()).hexdigest()
    assert len(bytes.fromhex(block.salt)) * 8 == 128


def test_every_version_has_a_salt_of_its_own() -> None:
    first = claim("yes")
    again = revised(first, "yes", entropy=entropy(2))
    assert again.id == first.id and again.salt != first.salt and again.leaf != first.leaf


@pytest.mark.parametrize(
    "change",
    [
        {"salt": "0" * 31},
        {"salt": "A" * 32},
        {"id": "b1"},
        {"text": ""},
        {"text": " x"},
        {"text": "a\nb"},
        {"text": "e\u0301"},
        {"text": "a\u202eb"},
        {"data": {}},
        {"data": {"attribution": "attributed", "more": 1}},
        {"kind": BlockKind.SENTENCE, "data": {"sentence": "dispute.frozen"}},
        {"kind": BlockKind.SENTENCE, "data": {"sentence": "unknown"}},
    ],
)
def test_what_is_no_block_is_refused(change: Mapping[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(claim("x"), **change)  # type: ignore[arg-type]


@given(st.sampled_from(BlockKind), st.integers(0, 2**32))
def test_a_block_is_read_back_as_it_was_written(kind: BlockKind, seed: int) -> None:
    block = made(kind, "Some words.", seed)
    again = Block.from_json(json.loads(canonical_json(block.to_json())))
    assert again == block and again.leaf == block.leaf


# --- decisions and approvals -----------------------------------------------------------------


def test_an_approval_covers_exactly_its_words() -> None:
    block = claim("Agents deleted logs.")
    approval = approved(block)
    assert check_approval(block, approval, verify) is None
    for other in (
        replace(block, text="Agents deleted logs"),
        replace(block, data={"attribution": "non_attributed"}),
        revised(block, block.text, entropy=entropy(9)),
    ):
        refusal = check_approval(other, approval, verify)
        assert refusal is not None and refusal.rule == "exact_text"


@pytest.mark.parametrize(
    "change",
    [
        {"round": "autumn"},
        {"participant": "B"},
        {"key": "b"},
        {"key": "stranger"},
        {"leaf": hashlib.sha256(b"").hexdigest()},
        {"signature": "00" * 64},
        {"signature": "00"},
    ],
)
def test_a_changed_approval_does_not_hold(change: Mapping[str, object]) -> None:
    changed = replace(approved(claim("x")), **change)  # type: ignore[arg-type]
    refusal = check_signature(changed, verify)
    assert refusal is not None and refusal.rule == "signature" and refusal.remedy


def test_a_decision_is_no_approval_and_the_other_way_round() -> None:
    block = claim("x")
    decision, approval = decide(
        block, Choice.APPROVE, round="spring", participant="A", key="a", sign=KEYS["a"].sign
    )
    assert approval is not None
    assert check_signature(decision, verify) is None and check_signature(approval, verify) is None
    crossed = replace(approval, signature=decision.signature)
    assert check_signature(crossed, verify) is not None


@pytest.mark.parametrize("choice", Choice)
def test_a_decision_names_all_that_is_decided(choice: Choice) -> None:
    offered = claim("Agents deleted logs.")
    replaces = choice in {Choice.EDIT, Choice.ANONYMISE}
    other = revised(offered, "Agents changed logs.", entropy=entropy(3)) if replaces else None
    decision, approval = decide(
        offered,
        choice,
        round="spring",
        participant="A",
        key="a",
        sign=KEYS["a"].sign,
        replacement=other,
        reason=None if choice is Choice.APPROVE else WithheldFor.LEGAL,
    )
    assert check_signature(decision, verify) is None
    assert Decision.from_json(decision.to_json()) == decision
    assert (approval is None) is (choice is Choice.REDACT)
    if approval is not None:
        assert check_approval(other or offered, approval, verify) is None
        assert Approval.from_json(approval.to_json()) == approval
    hidden = replace(decision, describable=not decision.describable)
    assert check_signature(hidden, verify) is not None


def test_a_decision_without_what_it_needs_is_refused() -> None:
    common = {"round": "spring", "participant": "A", "key": "a", "sign": KEYS["a"].sign}
    with pytest.raises(ValueError, match="expected a replacement"):
        decide(claim("x"), Choice.EDIT, **common, reason=WithheldFor.LEGAL)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a reason"):
        decide(claim("x"), Choice.REDACT, **common)  # type: ignore[arg-type]


# --- opening later --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "on", "opens"),
    [
        ("regulator", date(2027, 1, 1), True),
        ("public", date(2028, 12, 31), False),
        ("public", date(2029, 1, 1), True),
        ("buyer", date(2028, 12, 31), False),
        ("buyer", date(2029, 1, 1), True),
    ],
)
def test_an_opening_is_for_whom_and_when_the_agreement_says(to: str, on: date, opens: bool) -> None:
    block = claim("no")
    refusal = check_opening(register(block), block, to=to, on=on)
    assert (refusal is None) is opens
    assert refusal is None or refusal.rule == "opens"


def test_without_a_sunset_nothing_opens_to_the_public() -> None:
    block = claim("no")
    refusal = check_opening(register(block, terms=Terms()), block, on=date.max)
    assert refusal is not None and refusal.rule == "opens"


@given(st.sampled_from(("id", "salt", "kind", "text", "data")), st.integers(0, 2**20))
def test_a_forged_opening_does_not_verify(part: str, seed: int) -> None:
    block = claim("no", seed)
    kept = register(block, terms=Terms(opens_to=("regulator",), pad_to=4))
    forged = {
        "id": replace(block, id=entropy(seed + 1)(16).hex()),
        "salt": replace(block, salt=entropy(seed + 1)(16).hex()),
        "kind": made(BlockKind.KEY_FACT, "no", seed),
        "text": replace(block, text="yes"),
        "data": replace(block, data={"attribution": "non_attributed"}),
    }[part]
    assert check_opening(kept, block, to="regulator", on=DAY) is None
    refusal = check_opening(kept, forged, to="regulator", on=DAY)
    assert refusal is not None and refusal.rule == "opening"


def test_a_register_of_another_form_is_refused() -> None:
    kept = register(claim("no", 1), claim("yes", 2))
    assert Register.from_json(kept.to_json()) == kept
    with pytest.raises(ValueError, match="expected leaves once each, in their own order"):
        replace(kept, leaves=kept.leaves[::-1])
    with pytest.raises(ValueError, match="expected a register padded"):
        Terms(pad_to=0)


# --- the attacker --------------------------------------------------------------------------------

WORDS = (
    "yes", "no", "none", "high", "low", "Alpha Corp", "Beta Labs", "Ada Ng", "Bo Li",
    *(str(number) for number in range(100)),
)  # fmt: skip


def guesses(public: bytes) -> Iterator[str]:
    """Words that an attacker who sees the public bytes can confirm to have been withheld.

    It knows the construction, every word that may have been withheld, and everything that is
    printed, and tries unsalted hashes, known salts and ids, and all of them together.
    """
    document = json.loads(public)
    leaves = {leaf for register in document["registers"] for leaf in register["leaves"]}
    printed = [entry["block"] for entry in document["blocks"]]
    tokens = {"", "0" * 32, *re.findall(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", public)}
    known = {token if isinstance(token, str) else token.decode() for token in tokens}
    known |= {block["salt"] for block in printed} | {block["id"] for block in printed}
    for word in WORDS:
        tried = {hashlib.sha256(prefix + word.encode()).hexdigest() for prefix in (b"", b"\0")}
        for token in known:
            tried.add(hashlib.sha256(token.encode() + word.encode()).hexdigest())
        for salt in known:
            for name in known:
                plain: JsonObject = {
                    "id": name,
                    "salt": salt,
                    "kind": "claim",
                    "text": word,
                    "data": {"attribution": "attributed"},
                }
                tried.add(hashlib.sha256(b"\0" + canonical_json(plain)).hexdigest())
        if tried & leaves:
            yield word


def artefact(
    secret: str, seed: int, *, place: int = 0, printed: int = 2, terms: Terms | None = None
) -> tuple[bytes, Block]:
    """Public bytes of a report from which one claim, at a place among the others, was withheld."""
    draw = entropy(seed)
    words = [f"Claim about {word}." for word in ("logs", "keys", "tests")[:printed]]
    words.insert(place, secret)
    blocks = [
        new_block(BlockKind.CLAIM, text, {"attribution": "attributed"}, entropy=draw)
        for text in words
    ]
    hidden = blocks.pop(place)
    kept = register(hidden, terms=terms, seed=seed + 1)
    public = public_blocks([Published(block=b, approval=approved(b)) for b in blocks], [kept])
    return canonical_json(public), hidden


def skeleton(public: bytes) -> bytes:
    """The public bytes without what is random: tokens, leaves, signatures."""
    return re.sub(rb"[0-9a-f]{32,}", lambda found: b"#" * len(found.group()), public)


def assert_nothing_of_it_shows(secret: str, seed: int, draw: random.Random) -> None:
    place = draw.randrange(3)
    terms = Terms(pad_to=draw.choice((1, 4)), opens_to=("regulator",))
    public, hidden = artefact(secret, seed, place=place, terms=terms)
    assert list(guesses(public)) == []
    for token in (hidden.id, hidden.salt):
        assert token.encode() not in public
    without_hex = re.sub(rb"[0-9a-f]{32,}", b"", public)
    assert f'"{secret}"'.encode() not in without_hex
    # Another secret, of another length, withheld from another place: the same public bytes but
    # for what is drawn at random. So neither length nor place nor order nor number can tell.
    other, _ = artefact("Quite another and a much longer text.", seed + 50, terms=terms)
    assert ordered(skeleton(public)) == ordered(skeleton(other))


def ordered(public: bytes) -> object:
    """The document with its published blocks by their words: their order is that of the leaves."""
    document = json.loads(public)
    document["blocks"].sort(key=lambda entry: entry["block"]["text"])
    return document


def test_no_short_text_can_be_recovered() -> None:
    draw = random.Random(11)
    for seed in range(25):
        assert_nothing_of_it_shows(draw.choice(WORDS), seed * 100, draw)


@pytest.mark.slow
def test_no_short_text_can_be_recovered_in_five_hundred_redactions() -> None:
    draw = random.Random(12)
    for seed in range(500):
        assert_nothing_of_it_shows(draw.choice(WORDS), seed * 100, draw)


def test_the_order_of_published_blocks_is_not_that_of_the_report() -> None:
    """Where a block stood among the others shows in no artefact more often than by chance."""
    firsts = 0
    for seed in range(60):
        public, _ = artefact("no", seed, place=1, printed=2)
        first = json.loads(public)["blocks"][0]["block"]["text"]
        firsts += first == "Claim about logs."
    assert 15 <= firsts <= 45


def test_the_attacker_would_find_what_a_weak_construction_gives_away() -> None:
    """So that an empty list of guesses means something."""
    public, _ = artefact("x", 1)
    document = json.loads(public)
    for weak in (b"no", b"\0no"):
        document["registers"][0]["leaves"] = [hashlib.sha256(weak).hexdigest()]
        assert list(guesses(canonical_json(document))) == ["no"]
    # The salt of a published block used again for a withheld one.
    shared = Block.from_json(document["blocks"][0]["block"])
    document["registers"][0]["leaves"] = [replace(shared, text="42").leaf]
    assert list(guesses(canonical_json(document))) == ["42"]


@pytest.mark.parametrize(("withheld", "shown"), [(0, 0), (1, 5), (5, 5), (6, 10)])
def test_counts_are_shown_as_agreed(withheld: int, shown: int) -> None:
    blocks = [claim("no", seed) for seed in range(withheld)]
    kept = register(*blocks, terms=Terms(pad_to=5, opens_to=("regulator",)))
    assert len(kept.leaves) == shown
    assert all(check_opening(kept, b, to="regulator", on=DAY) is None for b in blocks)


# --- what is published -----------------------------------------------------------------------


def test_a_stranger_can_check_what_is_published() -> None:
    public, _ = artefact("no", 3)
    assert check_public(json.loads(public), verify) == ()


@pytest.mark.parametrize(
    ("rule", "tamper"),
    [
        ("exact_text", lambda entry: entry["block"].update(text="Claim about nothing.")),
        ("exact_text", lambda entry: entry.update(leaf="0" * 64)),
        ("approval", lambda entry: entry.update(approval=None)),
        ("signature", lambda entry: entry["approval"].update(participant="B")),
        ("signature", lambda entry: entry["approval"].update(signature="00")),
    ],
)
def test_a_changed_publication_is_found(rule: str, tamper: Callable[[object], None]) -> None:
    document = json.loads(artefact("no", 3)[0])
    tamper(document["blocks"][0])
    assert rule in {refusal.rule for refusal in check_public(document, verify)}


def test_what_is_withheld_cannot_be_printed_as_well() -> None:
    block = claim("no")
    public = public_blocks([Published(block=block, approval=approved(block))], [register(block)])
    assert [refusal.rule for refusal in check_public(public, verify)] == ["approval"]


def test_a_document_of_another_form_is_refused() -> None:
    public = dict(json.loads(artefact("no", 3)[0]))
    changes: list[dict[str, object]] = [
        {"schema": "custodes.block/1"}, {"blocks": 1}, {"more": []}
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(ValueError, match="expected"):
            check_public({**public, **change}, verify)  # type: ignore[dict-item]
