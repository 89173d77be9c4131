"""What a reader sees is what the bytes are: nothing hides, reorders or escapes."""

from __future__ import annotations

import html
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from custodes.reports._text import (
    clip,
    code_point,
    counted,
    finalize,
    listed,
    milliseconds,
    number,
    plain,
    visible,
    word,
)

HIDDEN = {
    "a terminal's escape": "\x1b[2J",
    "a title by OSC": "\x1b]0;x\x07",
    "right to left override": "\u202e",
    "isolates": "\u2066\u2069",
    "zero width space": "\u200b",
    "zero width joiner": "\u200d",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "no-break space": "\u00a0",
    "line separator": "\u2028",
    "a tag": "\U000e0041",
    "a variation selector": "\ufe0f",
    "a variation selector beyond": "\U000e0101",
    "a filler": "\u3164",
    "an empty braille cell": "\u2800",
    "a private character": "\ue000",
    "carriage return": "\r",
    "backspace": "\b",
    "nul": "\0",
    "delete": "\x7f",
    "C1": "\x9b",
    "tab": "\t",
}


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_what_draws_nothing_is_shown_as_its_code_point(text: str) -> None:
    hidden = next(char for char in text if not char.isascii() or not char.isprintable())
    assert f'<span class="cp">{code_point(hidden)}' in visible(f"a{text}b")
    assert hidden not in plain(f"a{text}b")
    assert code_point(hidden) in plain(f"a{text}b")


def test_a_stack_of_combining_marks_does_not_climb_out_of_its_line() -> None:
    shown = visible("a" + "\u0301" * 40)
    assert shown.count("\u0301") == 3
    assert shown.count("⟦U+0301⟧") == 37


def test_text_that_imitates_a_code_point_is_told_apart() -> None:
    assert "span" not in visible("⟦U+202E⟧")
    assert "span" in visible("\u202e")


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_every_text_is_inert_and_none_of_it_is_lost(text: str) -> None:
    shown = str(visible(text))
    bare = shown.replace('<span class="cp">', "").replace("</span>", "")
    assert "<" not in bare and ">" not in bare and '"' not in bare
    for char in html.unescape(bare):
        assert char == "\n" or unicodedata.category(char)[0] not in "C"
    back = re.sub(
        r'<span class="cp">((?:⟦U\+[0-9A-F]+⟧)+)</span>',
        lambda m: "".join(f"&#x{point};" for point in re.findall(r"U\+([0-9A-F]+)", m[1])),
        shown,
    )
    # html.unescape changes some code points; compare by their numbers instead.
    numbers = [
        int(m[1], 16) if m[1] else ord(html.unescape(m[0]))
        for m in re.finditer(r"&#x([0-9A-F]+);|&[a-z#0-9]+;|.", back, re.DOTALL)
    ]
    assert numbers == [ord(char) for char in text]


def test_the_terminal_gets_one_line_without_controls() -> None:
    assert plain("a\nb\x1b[31m") == "a⟦U+000A⟧b⟦U+001B⟧[31m"


def test_templates_print_markup_as_it_is_and_text_made_visible() -> None:
    assert finalize(Markup("<b>")) == "<b>"
    assert finalize("<b>") == "&lt;b&gt;"
    assert finalize(3) == 3
    assert finalize(None) is None


def test_numbers_in_words() -> None:
    assert word(None) == "unmeasurable"
    assert (number(0), number(1), number(0.2588655), number(0.00012)) == (
        "0",
        "1",
        "0.259",
        "0.00012",
    )
    assert (milliseconds(1), milliseconds(9999), milliseconds(1_234_567)) == (
        "0.001 ms",
        "9.999 ms",
        "1,234.6 ms",
    )
    assert (counted(1, "probe"), counted(1200, "probe")) == ("1 probe", "1,200 probes")
    assert (listed([]), listed(["a"]), listed(["a", "b", "c"])) == ("none", "a", "a, b and c")
    assert clip("abcdef", 4) == ("abcd", 2)
    assert clip("abc", 4) == ("abc", 0)
