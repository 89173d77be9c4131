"""Words and numbers as the page shows them, and text that nobody can hide anything in."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from markupsafe import Markup, escape

from custodes.types import JsonValue

INSTRUMENT_CHECK = "instrument check: not an AI"
NOT_RUN = "not run"
NOT_MEASURED = "not measured"

MOST_MARKS = 3
"""Combining marks on one letter that are drawn; more are shown as code points."""

_HIDDEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters that draw nothing although their category says that they would."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _drawn(char: str) -> bool:
    """Whether a reader sees the character, as what it is."""
    if char in "\n ":
        return True
    if char in _HIDDEN or "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef":
        return False
    # Controls, formats (zero width, bidirectional, tags), surrogates, private, unassigned, spaces.
    return unicodedata.category(char)[0] not in "CZ"


def code_point(char: str) -> str:
    """Name of a character that is not drawn: ``⟦U+202E⟧``."""
    return f"⟦U+{ord(char):04X}⟧"


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces: whether to show code points, and the characters."""
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        yield (not _drawn(char) or marks > MOST_MARKS), char


def visible(text: str) -> Markup:
    """Text for the page: escaped, with everything that could hide or reorder made visible."""
    out: list[str] = []
    for hidden, group in groupby(_pieces(text), key=lambda piece: piece[0]):
        chars = "".join(char for _, char in group)
        if hidden:
            out.append(f'<span class="cp">{"".join(map(code_point, chars))}</span>')
        else:
            out.append(str(escape(chars)))
    return Markup("".join(out))


def plain(text: str) -> str:
    """The same for a terminal: no control, no hidden character, one line."""
    return "".join(
        code_point(char) if hidden or char == "\n" else char for hidden, char in _pieces(text)
    )


def finalize(value: object) -> object:
    """What a template prints of a value: all text goes through :func:`visible`."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def clip(text: str, most: int) -> tuple[str, int]:
    """The first ``most`` characters, and how many were left out."""
    return (text, 0) if len(text) <= most else (text[:most], len(text) - most)


def moment(us: int) -> str:
    """UTC time of microseconds since 1970, to the second."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(us: int) -> str:
    """UTC day of microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%d")


def milliseconds(us: float) -> str:
    """Microseconds as milliseconds: three digits after the point below 10 ms, one above."""
    value = us / 1000
    return f"{value:.3f} ms" if abs(value) < 10 else f"{value:,.1f} ms"


def number(value: float) -> str:
    """A rate or bound with three significant digits; 0 and 1 as such."""
    return f"{value:.0f}" if value in (0, 1) else f"{value:.3g}"


def grouped(value: int) -> str:
    """A whole number in groups of three."""
    return f"{value:,}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 episode``, ``3 episodes``."""
    return f"{grouped(count)} {one if count == 1 else many or one + 's'}"


def listed(words: list[str] | tuple[str, ...], *, nothing: str = "none") -> str:
    """``a, b and c``."""
    if not words:
        return nothing
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def word(value: bool | None) -> str:
    """The three-valued reply in words."""
    return {True: "yes", False: "no", None: "unmeasurable"}[value]


def shown_json(value: JsonValue) -> str:
    """A JSON value on one line, keys in order; what is not ASCII stays as it is."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


def sentence(text: str) -> str:
    """The text with a capital first letter and without a point at its end."""
    text = text.strip().rstrip(".")
    return text[:1].upper() + text[1:]
