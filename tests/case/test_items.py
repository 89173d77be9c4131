"""Evidence items: their rules, and what leaves the case in a bundle."""

from __future__ import annotations

import dataclasses
from base64 import b64encode
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from custodes.case import (
    EVIDENCE_RECORDED,
    Approval,
    Case,
    Classification,
    EventRefused,
    EvidenceItem,
    Grade,
    Origin,
    add_key,
    evidence_items,
    make_bundle,
    parse_item,
    private_key,
    record_evidence,
    sign_head,
    strictest,
    verify,
    verify_file,
)

from .conftest import Clock

ADA = private_key(b"\1" * 32)


def item(name: str, **changes: Any) -> EvidenceItem:
    fields: dict[str, Any] = {
        "id": name,
        "title": "What the model did",
        "origin": Origin.PARTICIPANT_DOCUMENT,
        "as_of": date(2026, 3, 31),
        "custody": ("participant", "assessor"),
        "grade": Grade.DOCUMENTED,
        "classification": Classification.RESTRICTED,
        "untrusted": True,
        "inputs": (),
        "approval": None,
        "blobs": (),
    }
    return EvidenceItem(**{**fields, **changes})


def test_the_order_of_classifications_is_the_designs() -> None:
    names = [c.value for c in Classification]
    assert names == [
        "public",
        "aggregate",
        "non_attributed",
        "attributed_approved",
        "restricted",
        "sealed",
    ]
    assert [c.rank for c in Classification] == list(range(6))
    assert strictest([]) is Classification.PUBLIC
    assert strictest([Classification.SEALED, Classification.PUBLIC]) is Classification.SEALED


def test_an_item_is_read_as_it_was_written(filled: Path, clock: Clock) -> None:
    with Case.open(filled, write=True, clock=clock) as case:
        blob = case.evidence.put(b"<svg onload='alert(1)'>").blob
        first = item("a.1", blobs=(blob,))
        second = item(
            "b",
            inputs=("a.1",),
            classification=Classification.PUBLIC,
            approval=Approval(by="participant", reason="approved in this form"),
        )
        record_evidence(case, first, second)
        assert evidence_items(case.events()) == {"a.1": first, "b": second}
    assert verify(filled).ok


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../a"},
        {"id": ""},
        {"title": "two\nlines"},
        {"title": " "},
        {"title": "\x1b[31m"},
        {"custody": ()},
        {"custody": ("",)},
        {"untrusted": False},
        {"grade": Grade.REPRODUCED, "origin": Origin.INTERVIEW},
        {"inputs": ("x",)},
        {"inputs": ("a", "a")},
        {"approval": Approval(by="", reason="x")},
    ],
)
def test_what_breaks_a_rule_is_no_item(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected|untrusted|at most"):
        item(**{"name": changes.pop("id", "x"), **changes})


@pytest.mark.parametrize("field", sorted(item("x").to_json()))
@pytest.mark.parametrize("value", [None, 7, "odd", [7], {"a": 1}])
def test_hostile_json_is_refused_and_never_raises_otherwise(field: str, value: Any) -> None:
    document = {**item("x").to_json(), field: value}
    allowed = {("id", "odd"), ("title", "odd"), ("approval", None)}
    if (field, str(value) if value is not None else None) in allowed:
        parse_item(document)
        return
    with pytest.raises(ValueError):
        parse_item(document)


def test_a_derived_item_takes_the_strictest_of_its_inputs(filled: Path, clock: Clock) -> None:
    with Case.open(filled, write=True, clock=clock) as case:
        record_evidence(case, item("a"), item("p", classification=Classification.PUBLIC), item("s"))
        before = len(list(case.events()))
        weak = item("d", inputs=("p", "a"), classification=Classification.AGGREGATE)
        with pytest.raises(EventRefused, match="is aggregate; what it comes from is restricted"):
            record_evidence(case, weak)
        with pytest.raises(EventRefused, match="'zzz' was not recorded"):
            record_evidence(case, item("d", inputs=("zzz",)))
        # A new version is no way around it either.
        with pytest.raises(EventRefused, match="is public; what it comes from is restricted"):
            record_evidence(case, item("a", classification=Classification.PUBLIC))
        assert len(list(case.events())) == before
        # Somebody else's program wrote it all the same.
        case.append(EVIDENCE_RECORDED, weak.to_json())
    (problem,) = verify(filled).problems
    assert problem.where.startswith("ledger.jsonl:") and "classify it so" in problem.what


def test_a_bundle_carries_no_more_than_it_may(filled: Path, tmp_path: Path, clock: Clock) -> None:
    with Case.open(filled, write=True, clock=clock) as case:
        add_key(case, ADA, name="ada", clock=clock)
        public, secret = case.evidence.put(b"open words"), case.evidence.put(b"secret words")
        record_evidence(
            case,
            item("open", blobs=(public.blob,), classification=Classification.PUBLIC),
            item("secret-id", title="Secret title", blobs=(secret.blob,)),
            item("both", blobs=(secret.blob,), classification=Classification.PUBLIC),
            item("later", classification=Classification.PUBLIC, title="Once public"),
        )
        record_evidence(case, item("later", title="Once public, now not"))
        sign_head(case, [ADA], clock=clock)
    path = tmp_path / "bundle.json"
    path.write_bytes(make_bundle(filled, [ADA], clock=clock))
    text = path.read_text()
    words = [b64encode(blob).decode() for blob in (b"secret words", b"open words")]
    for hidden in ("secret-id", "Secret title", "Once public", words[0]):
        assert hidden not in text
    assert words[1] in text
    result = verify_file(path, keys=[ADA.public])
    assert result.ok and result.evidence == 1
    most = make_bundle(filled, [ADA], most=Classification.RESTRICTED, clock=clock).decode()
    assert "secret-id" in most and "Once public" in most


def test_the_fields_are_the_designs() -> None:
    assert {f.name for f in dataclasses.fields(EvidenceItem)} | {"schema"} == set(
        item("x").to_json()
    )
