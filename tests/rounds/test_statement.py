"""The redaction summary statement against the words of its specification.

*Qualified* for a participant iff a withheld high-importance claim may not be described, or a
conclusion depends significantly on withheld content; otherwise unqualified. Edits and
anonymisations that the assessor has not signed as meaning-preserving count as withheld. Split,
merged or edited blocks inherit the highest importance; downgrades need two people and are
printed. A person may qualify further, never un-qualify.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.rounds._statement import (
    SENTENCES,
    Condition,
    DisclosureItem,
    Downgrade,
    QualifiedFor,
    Statement,
    Verdict,
    item_from_json,
    redaction_statement,
)
from custodes.rounds._words import Choice, Importance

LOW, MEDIUM, HIGH = Importance.LOW, Importance.MEDIUM, Importance.HIGH

# --- the specification, as tables ------------------------------------------------------------

# (decision, other words than offered, assessor signed the meaning) -> does the reader get it?
READER_GETS: dict[tuple[str, bool, bool], bool] = {
    ("silence", False, False): False,
    ("silence", False, True): False,
    ("silence", True, False): False,
    ("silence", True, True): False,
    ("approve", False, False): True,
    ("approve", False, True): True,
    ("approve", True, False): False,
    ("approve", True, True): True,
    ("edit", False, False): False,
    ("edit", False, True): True,
    ("edit", True, False): False,
    ("edit", True, True): True,
    ("anonymise", False, False): False,
    ("anonymise", False, True): True,
    ("anonymise", True, False): False,
    ("anonymise", True, True): True,
    ("redact", False, False): False,
    ("redact", False, True): False,
    ("redact", True, False): False,
    ("redact", True, True): False,
}

# (own importance, highest inherited, lowered by two people) -> is it of high importance?
IS_HIGH: dict[tuple[str, str, bool], bool] = {
    **{("unset", inherited, lowered): True for inherited in ("none", "low", "medium", "high")
       for lowered in (False, True)},
    **{("high", inherited, lowered): True for inherited in ("none", "low", "medium", "high")
       for lowered in (False, True)},
    ("low", "none", False): False,
    ("low", "low", False): False,
    ("low", "medium", False): False,
    ("low", "high", False): True,
    ("medium", "none", False): False,
    ("medium", "low", False): False,
    ("medium", "medium", False): False,
    ("medium", "high", False): True,
    ("low", "none", True): False,
    ("low", "low", True): False,
    ("low", "medium", True): False,
    ("low", "high", True): False,
    ("medium", "none", True): False,
    ("medium", "low", True): False,
    ("medium", "medium", True): False,
    ("medium", "high", True): False,
}  # fmt: skip

# (the reader gets it, high importance, may be described, a conclusion depends on it) -> qualified
QUALIFIED: dict[tuple[bool, bool, bool, bool], bool] = {
    **{(True, a, b, c): False for a, b, c in product((False, True), repeat=3)},
    (False, False, False, False): False,
    (False, False, False, True): True,
    (False, False, True, False): False,
    (False, False, True, True): True,
    (False, True, False, False): True,
    (False, True, False, True): True,
    (False, True, True, False): False,
    (False, True, True, True): True,
}

Case = tuple[Importance | None, Importance | None, bool, Choice | None, bool, bool, bool, bool]

CASES: tuple[Case, ...] = tuple(
    product(
        (None, *Importance),
        (None, *Importance),
        (False, True),
        (None, *Choice),
        (False, True),
        (False, True),
        (False, True),
        (False, True),
    )
)


def item(case: Case, name: str = "c1") -> DisclosureItem:
    importance, inherited, lowered, choice, changed, signed, describable, dependence = case
    return DisclosureItem(
        id=name,
        importance=importance,
        inherited=() if inherited is None else (inherited,),
        lowered=lowered,
        choice=choice,
        changed=changed,
        meaning_signed=signed,
        describable=describable,
        conclusions=("k1",) if dependence else (),
    )


def specified(case: Case) -> bool:
    importance, inherited, lowered, choice, changed, signed, describable, dependence = case
    gets = READER_GETS[(choice.value if choice else "silence", changed, signed)]
    high = IS_HIGH[
        (importance.value if importance else "unset", inherited.value if inherited else "none",
         lowered)
    ]  # fmt: skip
    return QUALIFIED[(gets, high, describable, dependence)]


def qualified(*items: DisclosureItem) -> bool:
    return redaction_statement("x", items).verdict is Verdict.QUALIFIED


def test_one_claim_in_every_combination_is_as_specified() -> None:
    assert len(CASES) == 4 * 4 * 2 * 5 * 2**4
    assert {specified(case) for case in CASES} == {False, True}
    assert [case for case in CASES if qualified(item(case)) is not specified(case)] == []


def test_two_claims_are_qualified_iff_one_of_them_is() -> None:
    # One case for each kind of answer that the tables give, crossed with every case.
    kinds = {specified(case): case for case in CASES}
    for case in CASES:
        for other in kinds.values():
            both = qualified(item(case), item(other, "c2"))
            assert both is (specified(case) or specified(other))


def test_nothing_withheld_is_unqualified() -> None:
    assert not qualified()


# --- the assessor's side ------------------------------------------------------------------------


def test_a_person_can_qualify_every_statement_and_un_qualify_none() -> None:
    codes = [further for size in range(3) for further in combinations(QualifiedFor, size)]
    for case, further in product(CASES[::29], codes):
        statement = redaction_statement("x", (item(case),), further=further)
        expected = specified(case) or bool(further)
        assert (statement.verdict is Verdict.QUALIFIED) is expected


def test_a_downgrade_goes_down_and_is_printed() -> None:
    downgrade = Downgrade(claim="c1", was=HIGH, now=LOW, people=("Ann", "Bo"))
    statement = redaction_statement("x", (), downgrades=(downgrade,))
    assert statement.public()["downgrades"] == [{"was": "high", "now": "low"}]
    with pytest.raises(ValueError, match="expected a lower importance"):
        Downgrade(claim="c1", was=LOW, now=LOW, people=("Ann", "Bo"))


# --- no act of a participant moves it towards unqualified -------------------------------------

# What a participant can do to a claim without letting the public read its exact words, or be told
# what it is about: each maps an item to the item after it.
WITHHOLDING = {
    "redact": lambda i: replace(i, choice=Choice.REDACT, describable=False),
    "redact, describable as before": lambda i: replace(
        i, choice=Choice.REDACT, describable=i.describable and i.withheld
    ),
    "edit": lambda i: replace(
        i, choice=Choice.EDIT, changed=True, meaning_signed=False, describable=False
    ),
    "anonymise": lambda i: replace(
        i, choice=Choice.ANONYMISE, changed=True, meaning_signed=False, describable=False
    ),
    "forbid description": lambda i: replace(i, describable=False),
    "say nothing": lambda i: replace(i, choice=None, describable=False),
}


@pytest.mark.parametrize("act", WITHHOLDING)
def test_withholding_never_moves_it_towards_unqualified(act: str) -> None:
    for case in CASES:
        before = item(case)
        if before.withheld and act in {"edit", "anonymise"} and before.describable:
            before = replace(before, describable=False)
        assert qualified(WITHHOLDING[act](before)) >= qualified(before), case


def test_approving_helps_only_by_letting_the_offered_words_be_read() -> None:
    for case in CASES:
        before = item(case)
        after = replace(before, choice=Choice.APPROVE)
        if qualified(before) and not qualified(after):
            assert not after.withheld
            assert not after.changed or after.meaning_signed


items = st.builds(item, st.sampled_from(CASES), st.sampled_from([f"c{n}" for n in range(6)]))


@given(st.lists(items, max_size=5, unique_by=lambda i: i.id), st.data())
def test_a_split_of_what_is_withheld_is_qualified_as_the_whole(
    found: list[DisclosureItem], data: st.DataObject
) -> None:
    """Every part inherits: cutting a claim up, and rating the pieces low, frees nothing."""
    if not found:
        return
    whole = data.draw(st.sampled_from(found))
    parts = [
        replace(whole, id=f"{whole.id}.{n}", importance=LOW, lowered=False,
                inherited=(whole.effective,))
        for n in range(2)
    ]  # fmt: skip
    rest = [i for i in found if i is not whole]
    assert qualified(*rest, *parts) >= qualified(*found)


@given(st.lists(items, min_size=2, max_size=5, unique_by=lambda i: i.id))
def test_a_merge_is_as_important_as_its_most_important_source(found: list[DisclosureItem]) -> None:
    merged = replace(
        found[0],
        importance=LOW,
        lowered=False,
        inherited=tuple(i.effective for i in found),
    )
    assert merged.effective == max((i.effective for i in found), key=lambda i: i.rank)


@given(st.lists(items, max_size=5, unique_by=lambda i: i.id), items)
def test_one_more_claim_never_un_qualifies(
    found: list[DisclosureItem], more: DisclosureItem
) -> None:
    assert qualified(*found, replace(more, id="more")) >= qualified(*found)


# --- what is printed ------------------------------------------------------------------------------


@given(
    st.lists(items, max_size=5, unique_by=lambda i: i.id),
    st.lists(st.sampled_from(QualifiedFor), max_size=2),
)
def test_no_typed_text_enters(found: list[DisclosureItem], further: list[QualifiedFor]) -> None:
    secret = [replace(i, id=f"the rent is 4711 {i.id}", conclusions=("K-SECRET",) * len(
        i.conclusions)) for i in found]  # fmt: skip
    statement = redaction_statement("x", tuple(secret), further=tuple(further))
    public = statement.public()
    assert "4711" not in str(public) and "K-SECRET" not in str(public)
    assert set(statement.sentences) <= set(SENTENCES.values())


def test_the_public_statement_does_not_tell_how_much_was_withheld() -> None:
    withheld = item((HIGH, None, False, Choice.REDACT, False, False, False, False))
    one = redaction_statement("x", (withheld,))
    many = redaction_statement("x", tuple(replace(withheld, id=f"c{n}") for n in range(9)))
    assert one.public() == many.public()


@given(st.lists(items, max_size=5, unique_by=lambda i: i.id))
def test_why_looks_at_every_claim(found: list[DisclosureItem]) -> None:
    statement = redaction_statement("x", tuple(found))
    assert {reason.item for reason in statement.trace} == {i.id for i in found}
    met = {reason.condition for reason in statement.trace} - {None}
    assert (statement.verdict is Verdict.QUALIFIED) is bool(met)
    assert len(statement.why()) == len(statement.trace)


def test_why_says_which_clause_counted() -> None:
    changed = item((LOW, HIGH, False, Choice.APPROVE, True, False, False, True))
    why = redaction_statement("x", (changed,)).why()
    assert why == (
        "high_undescribed: c1 (high, may not be described) withheld: changed, not signed by the "
        "assessor as preserving the meaning; it inherits the importance of what it was made from; "
        "k1 depends significantly on it",
        "dependence: c1 (high, may not be described) withheld: changed, not signed by the "
        "assessor as preserving the meaning; it inherits the importance of what it was made from; "
        "k1 depends significantly on it",
    )


@given(st.lists(items, max_size=3, unique_by=lambda i: i.id))
def test_a_statement_is_read_back_as_it_was_written(found: list[DisclosureItem]) -> None:
    statement = redaction_statement("x", tuple(found), further=(QualifiedFor.TONE,))
    assert Statement.from_json(statement.to_json()) == statement
    for one in found:
        assert item_from_json(one.to_json()) == one


def test_a_verdict_other_than_its_trace_is_refused() -> None:
    bad = item((HIGH, None, False, Choice.REDACT, False, False, False, False))
    document = dict(redaction_statement("x", (bad,)).to_json())
    document["verdict"] = "unqualified"
    with pytest.raises(ValueError, match="expected the verdict qualified of its trace"):
        Statement.from_json(document)


def test_every_condition_and_code_has_its_sentence_without_a_digit() -> None:
    assert set(SENTENCES) == {*Verdict, *Condition, *QualifiedFor}
    assert not any(character.isdigit() for text in SENTENCES.values() for character in text)
