"""The report as one offline page of HTML without JavaScript."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from custodes.case import Case
from custodes.runs import Results
from custodes.types import Disclosure

from . import _text
from ._views import Views, read_views

TEMPLATES = Path(__file__).parent / "templates"


def report_page(case: Case, results: Results) -> str:
    """The page. It holds no time of rendering: the same case gives the same bytes.

    Raises:
        CaseError: evidence is missing, or is not what was sealed.
    """
    return page_of(read_views(case, results))


def page_of(views: Views) -> str:
    """The same, from what was read already."""
    return _environment().get_template("page.html.j2").render(v=views, r=views.results)


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_text.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        word=_text.word,
        number=_text.number,
        moment=_text.moment,
        grouped=_text.grouped,
        listed=_text.listed,
        sentence=_text.sentence,
    )
    environment.globals.update(
        counted=_text.counted,
        instrument_check=_text.INSTRUMENT_CHECK,
        css=Markup((TEMPLATES / "page.css").read_text("utf-8")),
        not_disclosing=tuple(
            grade.value
            for grade in Disclosure
            if grade not in (Disclosure.FULL, Disclosure.NOTHING_TO_DISCLOSE)
        ),
    )
    return environment
