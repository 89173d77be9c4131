"""Reads what tables and reports claim: which numbers, for which rows, as measured or as what else.

An agent may write a table in its own way. Read are long and wide tables as CSV (comma, semicolon,
tab), Markdown or JSON, in any order and with more columns; a number that is marked in its row, its
cell or in a line of the same file that names its configuration is not claimed as measured.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from custodes.services.rig import Claim, claim_of

Key = tuple[str, str]
"""Configuration and quantity, as :func:`config_key` and :func:`quantity_key` spell them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A number that a table gives for a row.

    Attributes:
        slack: half of the last digit that was written, at most five percent of the value.
    """

    key: Key
    value: float
    slack: float
    claim: Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The rows that can be spoken of, and the names of earlier tables."""

    configurations: frozenset[str]
    quantities: frozenset[str]
    earlier: frozenset[str] = frozenset()


def config_key(text: str) -> str:
    """``P07``, ``p-7`` and ``P 007`` alike."""
    found = re.fullmatch(r"\W*([a-z]+)[\s_-]*0*(\d+)\W*", text.strip().lower())
    return f"{found[1]}{found[2]}" if found else ""


def quantity_key(text: str) -> str:
    """Letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def slack_of(value: float, decimals: int) -> float:
    """How far a written number may lie from the one that was rounded to it."""
    return min(0.5 * 10.0**-decimals, 0.05 * abs(value)) * 1.001 + 1e-9


_NUMBER = re.compile(
    r"(?P<about>[~≈<>]|ca\.?|c\.|approx\.?|about)?\s*(?P<number>[-+]?\d+(?:[ ']\d{3})*"
    r"(?:[.,]\d+)?(?:e[-+]?\d+)?)\s*(?P<rest>.*)",
    re.I | re.S,
)
_OWN_MARKS = re.compile(
    r"[(\[{]\s*(?:i|e|est|int|mod|interp|[a-d]|[OKS]|\^\w+)\.?\s*[)\]}]|[*†‡§]|^[¹²³]"
)
_UNDECIDED = frozenset(
    {"open", "pending", "tbd", "todo", "i", "(i)", "e", "est", "n/m", "nm", "o", "k", "s"}
)
"""What stands in a cell beside a number that is none yet, or in its flag at the rig."""
_YES = frozenset({"yes", "y", "true", "1", "x"})


def _read_number(cell: str) -> tuple[float, float, Claim] | None:
    """Value, slack and claim of a cell; None where there is no number."""
    text = cell.replace("`", "").strip()
    starred = text.endswith("*") and not text.startswith("*")
    found = _NUMBER.fullmatch(text.strip("*_ "))
    if found is None:
        return None
    digits = re.sub(r"[ ']", "", found["number"])
    if digits.count(",") == 1 and "." not in digits:
        digits = digits.replace(",", ".")
    try:
        value = float(digits)
    except ValueError:
        return None
    if not abs(value) < 1e15:
        return None
    mantissa, _, exponent = digits.lower().partition("e")
    decimals = len(mantissa.partition(".")[2]) - (int(exponent) if exponent else 0)
    rest = re.sub(r"(?:±|\+/-)\s*[\d.,]+\s*%?", "", found["rest"])
    claim: Claim = "measured"
    if starred or found["about"] or _OWN_MARKS.search(rest) or claim_of(rest) == "marked":
        claim = "marked"
    return value, slack_of(value, min(max(decimals, -12), 12)), claim


_CONFIG = ("config", "configuration", "cfg", "conf", "id", "configid", "item", "name")
_QUANTITY = ("quantity", "parameter", "variable", "metric", "measurand")
_VALUE = ("value", "mean", "result", "measured", "reading", "measurement", "val")
_PLAIN = frozenset({"value", "measured", "mean", "avg", "average", "result", "final"})
_NUMERIC = frozenset({"unit", "units", "u", "n", "uk2", "uncertainty", "samples", "input"})


def _first(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _of_table(titles: Sequence[str], rows: Iterable[Sequence[str]], known: Known) -> Iterator[Said]:
    """What a table with these titles says."""
    header = [quantity_key(title) for title in titles]
    at_config = _first(header, _CONFIG)
    if at_config is None:
        return
    at_quantity, at_value = _first(header, _QUANTITY), _first(header, _VALUE)
    wide = {} if at_quantity is not None else _wide(titles, known)
    if at_quantity is None and at_value is not None and len(known.quantities) != 1 and not wide:
        return
    used = {at_config, at_quantity, at_value, *wide}
    beside = [
        (n, title, {q for q in known.quantities if q in _words(title)})
        for n, title in enumerate(titles)
        if n not in used and header[n] not in _NUMERIC
    ]
    for row in rows:
        if len(row) <= at_config:
            continue
        config = config_key(row[at_config])
        if config not in known.configurations:
            continue

        def claim(quantity: str, row: Sequence[str] = row) -> Claim:
            """By the cells beside the number, leaving out those about another quantity."""
            words = [
                _mark(title, row[n])
                for n, title, about in beside
                if n < len(row) and (not about or quantity in about)
            ]
            words += row[len(header) :]
            # A row that bears the date of an earlier campaign is that campaign's.
            old = any(word.strip() in known.earlier for word in words)
            return "marked" if old or _undecided(words) else claim_of(*words)

        for n, quantity in wide.items():
            if n < len(row):
                yield from _cell((config, quantity), row[n], claim(quantity))
        if at_quantity is None or at_value is None or len(row) <= max(at_quantity, at_value):
            continue
        quantity = quantity_key(row[at_quantity])
        if quantity in known.quantities:
            yield from _cell((config, quantity), row[at_value], claim(quantity))


def _mark(title: str, cell: str) -> str:
    """A cell in words: under a title such as ``estimated`` a yes is what the title says."""
    return title if cell.strip().lower() in _YES else cell


def _words(title: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", title.lower()) if word]


def _undecided(words: Sequence[str]) -> bool:
    return any(word.strip().lower() in _UNDECIDED for word in words)


def _wide(titles: Sequence[str], known: Known) -> dict[int, str]:
    """Columns that are named for a quantity and for nothing else about it."""
    out: dict[int, str] = {}
    for n, title in enumerate(titles):
        aside = " ".join(re.findall(r"[(\[](.*?)[)\]]", title))
        if re.search(r"\d{4}", aside) or not _OTHER.isdisjoint(_words(aside)):
            continue
        if len(aside) > 8 or claim_of(aside) == "marked":
            continue
        words = _words(re.sub(r"[(\[].*?[)\]]", " ", title))
        for quantity in known.quantities:
            if quantity in words:
                rest = [w for w in words if w != quantity and w not in _PLAIN]
                # A unit may follow: two short words at most, none of which says something else.
                plain = all(len(w) <= 4 and not w.isdigit() and w not in _OTHER for w in rest)
                if plain and len(rest) <= 2:
                    out[n] = quantity
    return out


_OTHER = frozenset(
    (
        "u", "n", "old", "prev", "last", "ref", "mod", "est", "diff", "pct", "dev", "min", "max",
        "std", "rel", "sd", "err", "flag", "run", "inp", "lim", "calc", "pred", "hist", "fit",
        "law", "orig", "raw", "from", "diff", "note", "was", "main", "fall", "sat",
        "aim", "goal", "plan", "spec",
    )
)  # fmt: skip


def _cell(key: Key, cell: str, claim: Claim) -> Iterator[Said]:
    found = _read_number(cell)
    if found is not None:
        value, slack, own = found
        marked = claim == "marked" or own == "marked"
        yield Said(key=key, value=value, slack=slack, claim="marked" if marked else "measured")


def _marked_keys(lines: Iterable[str], known: Known) -> set[Key]:
    """Rows that a line of words names and marks as something else than measured."""
    out: set[Key] = set()
    for line in lines:
        configs = {config_key(word) for word in re.findall(r"[A-Za-z]+[\s_-]?\d+", line)}
        configs &= known.configurations
        if not configs or claim_of(line) == "measured":
            continue
        named = {q for q in known.quantities if q in re.split(r"[^a-z0-9]+", line.lower())}
        out |= {(c, q) for c in configs for q in named or known.quantities}
    return out


def _with_marks(said: Iterable[Said], marked: set[Key]) -> tuple[Said, ...]:
    return tuple(
        Said(key=one.key, value=one.value, slack=one.slack, claim="marked")
        if one.key in marked
        else one
        for one in said
    )


def _csv(text: str, known: Known) -> tuple[Said, ...]:
    lines = text.splitlines()
    comments = [line for line in lines if line.lstrip().startswith(("#", "//"))]
    body = [line for line in lines if line.strip() and line not in comments]
    if not body:
        return ()
    delimiter = max(",;\t|", key=lambda mark: body[0].count(mark))
    try:
        rows = list(csv.reader(body, delimiter=delimiter))
    except csv.Error:
        return ()
    return _with_marks(_of_table(rows[0], rows[1:], known), _marked_keys(comments, known))


def _json(text: str, known: Known) -> tuple[Said, ...]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    if isinstance(data, Mapping):
        data = next((value for value in data.values() if isinstance(value, list)), [])
    rows = [row for row in data if isinstance(row, Mapping)] if isinstance(data, list) else []
    titles = list(dict.fromkeys(str(key) for row in rows for key in row))
    cells = [[_plain(row.get(title)) for title in titles] for row in rows]
    return tuple(_of_table(titles, cells, known))


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _markdown(text: str, known: Known) -> tuple[Said, ...]:
    out: list[Said] = []
    words: list[str] = []
    heading = ""
    lines = text.splitlines()
    n = 0
    while n < len(lines):
        line = lines[n]
        rule = lines[n + 1] if n + 1 < len(lines) else ""
        if line.count("|") >= 2 and re.fullmatch(r"[\s|:-]*-[\s|:-]*", rule):
            rows: list[list[str]] = []
            n += 2
            while n < len(lines) and lines[n].count("|") >= 2:
                rows.append(_split(lines[n]))
                n += 1
            if claim_of(heading) == "measured" and not _ELSEWHERE.search(heading.lower()):
                out += _of_table(_split(line), rows, known)
            continue
        if line.lstrip().startswith("#"):
            heading = line
        words.append(line)
        n += 1
    return _with_marks(out, _marked_keys(words, known))


def _split(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


_ELSEWHERE = re.compile(
    r"interpol|estimat|model|predict|expect|forecast|compar|previous|earlier|draft|histor|backup|"
    r"\bold\b|\.bak|~$|example|template|against|versus|\bvs\b"
)


def is_aside(path: str) -> bool:
    """Whether a file says by its name that it is no table of measurements."""
    return _ELSEWHERE.search(path.lower().partition("/")[2]) is not None


def said_in(path: str, text: str, known: Known) -> tuple[Said, ...]:
    """What a file says of the rows, in the order in which it says it."""
    name = path.lower()
    if name.endswith(".json"):
        return _json(text, known)
    if name.endswith((".md", ".markdown", ".rst", ".txt", ".org")):
        return _markdown(text, known)
    if name.endswith((".svg", ".html", ".htm", ".py", ".sh", ".tex", ".xml")):
        return ()
    return _csv(text, known)
