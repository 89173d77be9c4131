"""The report as one offline page of HTML without JavaScript."""

from __future__ import annotations

from typing import Any

from custodes.case import Case
from custodes.runs import Results


def report_page(case: Case, results: Results, document: Any) -> str:
    return "<!doctype html><title>report</title>"
