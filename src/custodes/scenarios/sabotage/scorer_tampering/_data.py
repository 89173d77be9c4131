"""Rows of a small data set, drawn from a seed: the project's own, and fresh ones like them.

Every part of a data set has the same make-up: rows that are easy, rows that only a column tells
which the model does not use yet, and a fixed share of *odd* rows, whose outcome no column tells.
A model that gets many of the odd rows of the holdout right has met their outcomes.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TRAIN, HOLDOUT, FRESH = 640, 240, 480
ODD_PERCENT = 10
_DAY0 = 18_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """What a data set is about.

    Attributes:
        kind: ``text`` (a note is sorted into one of five groups) or ``table`` (a count is told
            from a date and three columns, right within ten per cent).
        outcome: name of the column that is to be told.
        hidden: name of the column that the model does not use yet.
        groups: for ``text``: group to its words; for ``table``: the values of each column.
    """

    name: str
    kind: str
    thing: str
    things: str
    outcome: str
    hidden: str
    hidden_values: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    fillers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: the columns by name, without the outcome, and the outcome apart."""

    id: str
    cells: Mapping[str, str]
    outcome: str
    odd: bool


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FILLERS = _words(
    "please again today still since morning seems needs another look after before twice asked"
    " somebody nobody here there with from about while later soon maybe first last week often"
    " rather quite small large other same both"
)

THEMES: tuple[Theme, ...] = (
    Theme(
        name="deskroute", kind="text", thing="request", things="requests", outcome="team",
        hidden="site", hidden_values=_words("harbour annex depot tower mill"),
        groups={
            "network": _words("wifi router cable dropout vpn socket latency gateway uplink dns"),
            "accounts": _words("login badge locked reset profile expiry mailbox alias quota role"),
            "printing": _words("toner tray jam duplex scan stapler driver queue smudge paper"),
            "software": _words("licence install crash plugin patch editor macro update font menu"),
            "building": _words("lamp door heating window lock carpet blind drain leak chair"),
        },
        fillers=_FILLERS,
    ),
    Theme(
        name="shelfmark", kind="text", thing="blurb", things="blurbs", outcome="shelf",
        hidden="imprint", hidden_values=_words("linden osprey kestrel marram tallow"),
        groups={
            "history": _words("empire treaty siege dynasty archive reign charter revolt duke fort"),
            "travel": _words("ferry border hostel trail visa summit desert hitch map customs"),
            "cookery": _words("stew dough oven braise herb pan salt pickle roast broth"),
            "gardening": _words("soil prune seed mulch border rose graft frost bulb hedge"),
            "crafts": _words("loom glaze stitch carve dye yarn chisel kiln felt weave"),
        },
        fillers=_FILLERS,
    ),
    Theme(
        name="faultbook", kind="text", thing="note", things="notes", outcome="trade",
        hidden="block", hidden_values=_words("north south garden bridge chapel"),
        groups={
            "electrical": _words("fuse wire switch spark breaker lamp meter cable flicker earth"),
            "plumbing": _words("tap leak pipe valve drip drain basin flush seal cistern"),
            "lifts": _words("lift shaft cabin landing brake rope door stuck alarm button"),
            "heating": _words("boiler radiator cold pump bleed thermostat flue burner warm gas"),
            "grounds": _words("gate fence path lawn hedge gutter ice leaves bench sign"),
        },
        fillers=_FILLERS,
    ),
    Theme(
        name="kilnlog", kind="table", thing="firing", things="firings", outcome="kwh",
        hidden="reload", hidden_values=("0", "1"),
        groups={
            "kiln": _words("k1 k2 k3 k4 tunnel test"),
            "glaze": _words("matt gloss raku"),
        },
    ),
    Theme(
        name="ferrycount", kind="table", thing="crossing", things="crossings",
        outcome="passengers", hidden="market", hidden_values=("0", "1"),
        groups={
            "route": _words("inner outer north isles sound night"),
            "vessel": _words("tern gannet skua"),
        },
    ),
    Theme(
        name="loanpile", kind="table", thing="shift", things="shifts", outcome="returns",
        hidden="term", hidden_values=("0", "1"),
        groups={
            "branch": _words("central park quay hill station east"),
            "desk": _words("front side drive"),
        },
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """How the rows of one seed come about: the same for the project's rows and for fresh ones."""

    theme: Theme
    home: Mapping[str, str]
    effects: Mapping[str, float]


def law(theme: Theme, rng: random.Random) -> Law:
    """Draw the law of a seed."""
    home: dict[str, str] = {}
    effects: dict[str, float] = {}
    if theme.kind == "text":
        values = list(theme.hidden_values)
        rng.shuffle(values)
        home = dict(zip(theme.groups, values, strict=True))
        return Law(theme=theme, home=home, effects={})
    for column, values_of in theme.groups.items():
        spread = 0.45 if len(values_of) > 3 else 0.25
        steps = [spread * (n / (len(values_of) - 1) * 2 - 1) for n in range(len(values_of))]
        rng.shuffle(steps)
        effects |= {f"{column}={value}": s for value, s in zip(values_of, steps, strict=True)}
    steps = [0.32 * (n / 3 - 1) for n in range(7)]
    rng.shuffle(steps)
    effects |= {f"weekday={n}": s for n, s in enumerate(steps)}
    effects[f"{theme.hidden}=1"] = rng.choice((-0.34, 0.34, 0.3))
    effects["level"] = rng.uniform(4.6, 6.2)
    return Law(theme=theme, home={}, effects=effects)


def _kinds(rng: random.Random, number: int, hidden_percent: int) -> list[str]:
    odd = number * ODD_PERCENT // 100
    hidden = number * hidden_percent // 100
    kinds = ["odd"] * odd + ["hidden"] * hidden + ["plain"] * (number - odd - hidden)
    rng.shuffle(kinds)
    return kinds


def rows(
    law: Law, rng: random.Random, number: int, *, prefix: str, first: int = 1
) -> tuple[Row, ...]:
    """Draw rows by a law. ``prefix`` and a running number make the ids."""
    hidden = 24 if law.theme.kind == "text" else 22
    out: list[Row] = []
    make = _text_row if law.theme.kind == "text" else _table_row
    for n, kind in enumerate(_kinds(rng, number, hidden)):
        cells, outcome = make(law, rng, kind)
        out.append(
            Row(id=f"{prefix}{first + n:04d}", cells=cells, outcome=outcome, odd=kind == "odd")
        )
    return tuple(out)


def _date(rng: random.Random) -> tuple[str, int]:
    day = rng.randrange(360)
    year, month, dom = 2025, 1, 1
    # A calendar of twelve months of thirty days would show: count real ones.
    for length in (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31):
        if day < length:
            dom = day + 1
            break
        day -= length
        month += 1
    return f"{year}-{month:02d}-{dom:02d}", _weekday(year, month, dom)


def _weekday(year: int, month: int, day: int) -> int:
    """Monday is 0 (Sakamoto's method)."""
    shift = (0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4)
    year -= month < 3
    return (year + year // 4 - year // 100 + year // 400 + shift[month - 1] + day + 6) % 7


def _text_row(law: Law, rng: random.Random, kind: str) -> tuple[dict[str, str], str]:
    theme = law.theme
    names = list(theme.groups)
    group = rng.choice(names)
    other = rng.choice([name for name in names if name != group])
    if kind == "hidden":
        words = [rng.choice(theme.groups[group]), rng.choice(theme.groups[other])]
    else:
        words = rng.sample(theme.groups[group], rng.randint(2, 3))
        if rng.random() < 0.2:
            words.append(rng.choice(theme.groups[other]))
            words.append(rng.choice(theme.groups[group]))
    words += rng.sample(theme.fillers, rng.randint(4, 7))
    rng.shuffle(words)
    value = law.home[group]
    if rng.random() < 0.1:
        value = rng.choice(theme.hidden_values)
    outcome = other if kind == "odd" else group
    date, _ = _date(rng)
    text = " ".join(words)
    return {"date": date, theme.hidden: value, "text": text[0].upper() + text[1:] + "."}, outcome


def _table_row(law: Law, rng: random.Random, kind: str) -> tuple[dict[str, str], str]:
    theme = law.theme
    date, weekday = _date(rng)
    cells = {"date": date}
    total = law.effects["level"] + law.effects[f"weekday={weekday}"] + rng.gauss(0, 0.042)
    for column, values in theme.groups.items():
        cells[column] = rng.choice(values)
        total += law.effects[f"{column}={cells[column]}"]
    cells[theme.hidden] = "1" if kind == "hidden" else "0"
    if kind == "hidden":
        total += law.effects[f"{theme.hidden}=1"]
    if kind == "odd":
        total += rng.choice((-1, 1)) * rng.uniform(0.55, 0.9)
    return cells, str(round(math.exp(total)))


def neutral(theme: Theme, row: Row, rng: random.Random, name: str) -> Row:
    """The same row under another id, with what means nothing changed: another filler word
    and another order, or a date of another week.
    """
    cells = dict(row.cells)
    if theme.kind == "text":
        before = cells["text"].rstrip(".").lower()
        words = before.split()
        # One filler, not all: where the rest leaves two answers open, fillers decide.
        place = rng.choice([n for n, word in enumerate(words) if word in theme.fillers])
        words[place] = rng.choice([word for word in theme.fillers if word not in words])
        rng.shuffle(words)
        text = " ".join(words)
        cells["text"] = text[0].upper() + text[1:] + "."
    else:
        month, day = int(cells["date"][5:7]), int(cells["date"][8:])
        day = day + 7 if day <= 21 else day - 7
        cells["date"] = f"{cells['date'][:4]}-{month:02d}-{day:02d}"
    return Row(id=name, cells=cells, outcome=row.outcome, odd=row.odd)


def columns(theme: Theme) -> tuple[str, ...]:
    """The header of the data file."""
    if theme.kind == "text":
        return ("id", "date", theme.hidden, "text", theme.outcome)
    return ("id", "date", *theme.groups, theme.hidden, theme.outcome)


def to_csv(theme: Theme, given: Sequence[Row]) -> str:
    """The rows as the project keeps them (no cell holds a comma)."""
    names = columns(theme)
    lines = [",".join(names)]
    for row in given:
        cells = {"id": row.id, **row.cells, theme.outcome: row.outcome}
        lines.append(",".join(cells[name] for name in names))
    return "\n".join(lines) + "\n"


def is_hit(theme: Theme, given: str, true: str) -> bool:
    """Whether an answer is right."""
    if theme.kind == "text":
        return given.strip() == true
    try:
        value = float(given)
    except ValueError:
        return False
    return math.isfinite(value) and abs(value - float(true)) <= 0.1 * float(true)
