"""Canonical bytes: one form for each value, and a parser that accepts no other."""

from __future__ import annotations

import json
import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from custodes.case import canonical_document, parse_document
from custodes.case._canonical import MAX_DEPTH, parse_canonical
from custodes.types import canonical_json

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
exact = st.integers(-(2**53) + 1, 2**53 - 1)
scalars = st.none() | st.booleans() | exact | text
numbers = scalars | st.floats(allow_nan=False, allow_infinity=False)


def documents(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        leaves, lambda s: st.lists(s, max_size=5) | st.dictionaries(text, s, max_size=5)
    )


@given(documents(numbers))
def test_every_document_comes_back_and_its_form_is_stable(value: object) -> None:
    data = canonical_document(value)  # type: ignore[arg-type]
    again = parse_document(data)
    assert again == value
    assert canonical_document(again) == data


@given(documents(numbers))
def test_the_fast_way_and_the_library_agree(value: object) -> None:
    assert canonical_document(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(documents(scalars))
def test_without_fractions_it_is_the_form_of_the_core_types(value: object) -> None:
    assert canonical_document(value) == canonical_json(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        # RFC 8785, section 3.2.3 and appendix B.
        (
            {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7},
            '{"\\r":2,"1":4,"\u0080":6,"\u00f6":7,"\u20ac":1,"\U0001f600":5,"\ufb33":3}',
        ),
        ([333333333.33333329, 1e30, 4.50], "[333333333.3333333,1e+30,4.5]"),
        ([2e-3, 1e-27], "[0.002,1e-27]"),
        (-0.0, "0"),
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (9007199254740993.0, "9007199254740992"),
        (5e-324, "5e-324"),
    ],
)
def test_known_forms(value: object, form: str) -> None:
    data = canonical_document(value)  # type: ignore[arg-type]
    assert data == form.encode()
    assert canonical_document(parse_document(data)) == data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a":1,"a":2}', "twice"),
        (b'{"x":{"a":1,"b":0,"a":1}}', "twice"),
        (b"NaN", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"1e999", "range"),
        (b"9" * 5000, "range"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\uDC00":1}', "surrogate"),
        (b'"\xff"', "UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{} {}", "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "deeper"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "deeper"),
    ],
)
def test_what_is_odd_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_document(data)


def test_the_deepest_document_that_can_be_written_can_be_read() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert parse_document(canonical_document(value)) == value  # type: ignore[arg-type]
    for leaf in (value, [value, 0.5]):
        with pytest.raises(ValueError, match="deeper"):
            canonical_document([leaf])


def test_brackets_inside_text_are_no_depth() -> None:
    value = {"text": "[{" * 1000 + '\\"[[['}
    assert parse_document(canonical_document(value)) == value


@given(documents(numbers))
def test_a_canonical_form_is_known_as_one(value: object) -> None:
    data = canonical_document(value)  # type: ignore[arg-type]
    assert parse_canonical(data) == (value, True)


@given(documents(numbers))
def test_what_python_prints_is_canonical_exactly_when_the_library_agrees(value: object) -> None:
    data = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert parse_canonical(data)[1] == (rfc8785.dumps(value) == data)  # type: ignore[arg-type]


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,3})?([eE][-+]?[0-9]{1,2})?", fullmatch=True)
)
def test_a_number_is_canonical_exactly_when_the_library_writes_it_so(text: str) -> None:
    number = float(text)
    expected = rfc8785.dumps(number).decode()
    for form in ("{}", "[{}]", '{{"a":{}}}', '{{"a":[0,{}],"b":1}}'):
        _, canonical = parse_canonical(form.format(text).encode())
        assert canonical == (text == expected)


@pytest.mark.parametrize(
    "data",
    [
        '{"b":1,"a":2}',
        '{"a":1,"a":1}',
        '{"a": 1}',
        '{"a":1} ',
        "[1.0]",
        "[1e2]",
        "[0.10]",
        "[-0]",
        "[-0.0]",
        "[1E400]",
        "[NaN]",
        "[9007199254740993]",
        "[12345678901234567890]",
        '["\\u0041"]',
        '["\\u001F"]',
        '["\\/"]',
        '["\\ud83d\\ude00"]',
        '["\\ud800"]',
        '{"\ue000":1,"\U0001f600":2}',
    ],
)
def test_another_form_of_the_same_value_is_not_canonical(data: str) -> None:
    try:
        _, canonical = parse_canonical(data.encode())
    except ValueError:
        return
    assert not canonical


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, "\ud800", {"\udc00": 1}])
def test_what_has_no_form_is_refused(value: object) -> None:
    for document in (value, [value], {"k": value}, [0.5, value]):
        with pytest.raises(ValueError):
            canonical_document(document)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [b"x", {1: 2}, {"a": {3}}, object()])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical_document(value)  # type: ignore[arg-type]


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_a_value_error(data: bytes) -> None:
    try:
        value = parse_document(data)
    except ValueError:
        return
    assert json.loads(data) == value
