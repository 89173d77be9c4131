"""``verify --recompute``: recorded numbers against those that the sealed episodes give."""

from __future__ import annotations

import pytest

from custodes.cli._recompute import differences


@pytest.mark.parametrize(
    ("a", "b", "parts"),
    [
        ({"x": 1, "y": [1.0, 2]}, {"x": 1, "y": [1, 2.0]}, []),
        ({"x": 0.1 + 0.2}, {"x": 0.3}, []),
        ({"x": 1e9}, {"x": 1e9 + 0.1}, []),
        ({"x": 0.3}, {"x": 0.300000002}, ["x"]),
        ({"x": {"low": 0.1, "high": 0.2}}, {"x": {"low": 0.1, "high": 0.3}}, ["x.high"]),
        ({"x": [1, 2]}, {"x": [1, 3]}, ["x[1]"]),
        ({"x": [1, 2]}, {"x": [1]}, ["x"]),
        ({"x": True}, {"x": 1}, ["x"]),
        ({"x": None}, {"x": 0}, ["x"]),
        ({"x": 1}, {}, ["x"]),
        ({}, {"x": 1}, ["x"]),
        ({"x": "a"}, {"x": "b"}, ["x"]),
        ({"x": float("nan")}, {"x": 1.0}, ["x"]),
    ],
)
def test_where_two_documents_differ(a: object, b: object, parts: list[str]) -> None:
    assert [part for part, _ in differences(a, b)] == parts  # type: ignore[arg-type]
