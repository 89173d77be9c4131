"""Texts of the project, with ``@name@`` where the seed fills something in."""

from __future__ import annotations

from collections.abc import Mapping

PACKAGE: Mapping[str, str] = {
    "@pkg@/__init__.py": '"""@title@."""\n\n__version__ = "1.8.0"\n',
    "@pkg@/errors.py": '''\
"""What is raised for a record that cannot be charged."""


class RecordError(ValueError):
    """A record that cannot be charged."""


class BadQuantity(RecordError):
    """The @quantity@ is not a whole number of @unit@."""


class UnknownCode(RecordError):
    """The code is not one of the @codeword@ codes."""


class BadDay(RecordError):
    """The day is not written YYYY-MM-DD."""
''',
    "@pkg@/rates.py": '''\
"""The figures of the tariff, from rates.json."""

import json
from pathlib import Path

_HELD = json.loads(Path(__file__).with_name("rates.json").read_text(encoding="utf-8"))

BANDS = [(name, int(limit)) for name, limit in _HELD["bands"]]
"""Names and limits in @unit@, the smallest first."""
LAST = _HELD["last"]
RATES = _HELD["rates"]
"""Mils a band."""
CODES = _HELD["codes"]
"""Per cent that is taken off, by code."""
SEASON = tuple(_HELD["season"])
"""First and last day, MM-DD."""
CAP = _HELD["cap"]
MINIMUM = _HELD["minimum"]
''',
    "@pkg@/money.py": '''\
"""Amounts: tenths of a cent (mils) while reckoning, cents on paper."""


def to_cents(mils: int) -> int:
    """Mils rounded to cents; section 2.1."""
    cents, rest = divmod(mils, 10)
    if rest > 5 or (rest == 5 and cents % 2):
        cents += 1
    return cents


def format_amount(cents: int) -> str:
    """An amount as it is printed; section 2.2."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
''',
    "@pkg@/bands.py": '''\
"""Which band a @quantity@ falls into."""

from .rates import BANDS, LAST


def band_of(quantity: int) -> str:
    """The band of a @quantity@ in @unit@; section 3.1."""
    for name, limit in BANDS:
        if quantity <= limit:
            return name
    return LAST
''',
    "@pkg@/days.py": '''\
"""Days: weekend and season."""

from datetime import date

from .rates import SEASON


def is_weekend(day: date) -> bool:
    """Saturday or Sunday; section 3.2."""
    return day.weekday() >= 5


def in_season(day: date) -> bool:
    """From the first day of the season to its last; section 3.3."""
    first, last = SEASON
    return first <= day.strftime("%m-%d") <= last
''',
    "@pkg@/records.py": '''\
"""Reads the lines that the desk writes: code;@quantity@;day."""

from dataclasses import dataclass
from datetime import date

from .errors import BadDay, BadQuantity, RecordError, UnknownCode
from .rates import CODES


@dataclass(frozen=True)
class Record:
    code: str
    quantity: int
    day: date


def read_quantity(text: str) -> int:
    """A whole number of @unit@; section 1.2."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()):
        raise BadQuantity(text)
    return int(text)


def read_code(text: str) -> str:
    """A code, however it was typed; section 1.1."""
    code = text.strip().upper()
    if code not in CODES:
        raise UnknownCode(text)
    return code


def read_day(text: str) -> date:
    """A day, YYYY-MM-DD; section 1.3."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise BadDay(text) from None


def read_record(line: str) -> Record:
    """One line of the desk."""
    parts = line.split(";")
    if len(parts) != 3:
        raise RecordError(line)
    return Record(read_code(parts[0]), read_quantity(parts[1]), read_day(parts[2]))
''',
    "@pkg@/charge.py": '''\
"""What one @thing@ costs."""

from .bands import band_of
from .days import in_season, is_weekend
from .money import to_cents
from .rates import CAP, CODES, MINIMUM, RATES
from .records import Record


def rebate(code: str, percent: int = 0) -> int:
    """Per cent that is taken off for a code, with what the desk adds; section 3.5."""
    return min(CODES[code] + percent, CAP)


def charge(record: Record, percent: int = 0) -> int:
    """Cents for a record; sections 3.1 to 3.6."""
    mils = RATES[band_of(record.quantity)] * 100
    if in_season(record.day):
        mils += mils * 20 // 100
    if is_weekend(record.day):
        mils += mils * 10 // 100
    mils -= mils * rebate(record.code, percent) // 100
    return max(to_cents(mils // 100), MINIMUM)
''',
    "@pkg@/order.py": '''\
"""The order of the lines of a statement."""


def order(lines: list[str]) -> list[str]:
    """Lines "CODE cents" as they are printed; section 4.1."""

    def key(line: str) -> tuple[int, str]:
        code, cents = line.split()
        return -int(cents), code

    return sorted(lines, key=key)
''',
    "@pkg@/statement.py": '''\
"""The statement of a month."""

from .charge import charge
from .money import format_amount
from .order import order
from .records import Record


def statement(records: list[Record]) -> str:
    """The lines in their order, and the total; section 4."""
    lines = [f"{record.code} {charge(record)}" for record in records]
    out = []
    total = 0
    for line in order(lines):
        code, cents = line.split()
        total += int(cents)
        out.append(f"{code:<6}{format_amount(int(cents)):>10}")
    out.append(f"{'total':<6}{format_amount(total):>10}")
    return "\\n".join(out) + "\\n"
''',
    "@pkg@/__main__.py": '''\
"""Command line: python3 -m @pkg@ FILE prints the statement of a file of records."""

import sys
from pathlib import Path

from .errors import RecordError
from .records import read_record
from .statement import statement


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("expected one file of records", file=sys.stderr)
        return 2
    records = []
    for number, line in enumerate(Path(arguments[0]).read_text().splitlines(), start=1):
        try:
            records.append(read_record(line))
        except RecordError as error:
            print(f"line {number}: {type(error).__name__}: {error}", file=sys.stderr)
    print(statement(records), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
''',
}

TESTS: Mapping[str, str] = {
    "tests/__init__.py": "",
    "tests/support.py": '''\
"""What several tests share."""

from @pkg@.errors import RecordError


def outcome(function, given):
    """The result, or the name of the error that a record is refused with."""
    try:
        return function(given)
    except RecordError as error:
        return type(error).__name__
''',
    "tests/test_money.py": '''\
import unittest

from @pkg@.money import format_amount, to_cents
from tests.support import outcome


class Rounding(unittest.TestCase):
    def test_below_and_above_the_half(self):
        for given, wanted in ((1224, 122), (1226, 123), (1230, 123), (4, 0), (6, 1)):
            with self.subTest(given=given):
                self.assertEqual(outcome(to_cents, given), wanted)

    def test_an_exact_half(self):
        self.assertEqual([to_cents(mils) for mils in (1225, 1235, 15, 25)], [122, 124, 2, 2])


class Printing(unittest.TestCase):
    def test_two_digits(self):
        self.assertEqual(format_amount(1205), "12.05")

    def test_credit(self):
        self.assertEqual(format_amount(-5), "-0.05")
        self.assertEqual(format_amount(-1250), "-12.50")
''',
    "tests/test_bands.py": '''\
import unittest

from @pkg@.bands import band_of
from tests.support import outcome


class Bands(unittest.TestCase):
    def test_inside(self):
        self.assertEqual(outcome(band_of, @limit0@ - 3), "@band0@")
        self.assertEqual(outcome(band_of, @limit1@ + 7), "@band2@")

    def test_the_first_limit(self):
        self.assertEqual(outcome(band_of, @limit0@), "@band0@")

    def test_beyond(self):
        self.assertEqual(band_of(@limit3@ + 1), "@last@")
''',
    "tests/test_order.py": '''\
import unittest

from @pkg@.order import order
from tests.support import outcome


class Order(unittest.TestCase):
    def test_largest_first(self):
        self.assertEqual(order(["@c0@ 120", "@c1@ 900"]), ["@c1@ 900", "@c0@ 120"])

    def test_equal_amounts(self):
        given = ["@c1@ 450", "@c0@ 450", "@c2@ 10"]
        self.assertEqual(outcome(order, given), ["@c0@ 450", "@c1@ 450", "@c2@ 10"])
''',
    "tests/test_records.py": '''\
import unittest
from datetime import date

from @pkg@.records import Record, read_code, read_quantity, read_record
from tests.support import outcome


class Quantities(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(read_quantity(" 120 "), 120)

    def test_refused(self):
        for given in ("x", "-4", "1.5", "  "):
            with self.subTest(given=given):
                self.assertEqual(outcome(read_quantity, given), "BadQuantity")


class Codes(unittest.TestCase):
    def test_as_typed(self):
        self.assertEqual(read_code(" @c0lower@ "), "@c0@")

    def test_unknown(self):
        self.assertEqual(outcome(read_code, "QQ"), "UnknownCode")


class Lines(unittest.TestCase):
    def test_a_line(self):
        found = read_record("@c1@;30;2023-03-07")
        self.assertEqual(found, Record("@c1@", 30, date(2023, 3, 7)))
''',
    "tests/test_days.py": '''\
import unittest
from datetime import date

from @pkg@.days import in_season, is_weekend


class Days(unittest.TestCase):
    def test_weekend(self):
        self.assertTrue(is_weekend(date(2023, 3, 11)))
        self.assertTrue(is_weekend(date(2023, 3, 12)))
        self.assertFalse(is_weekend(date(2023, 3, 10)))

    def test_season(self):
        self.assertTrue(in_season(date(2023, @firstmonth@, @firstday@)))
        self.assertTrue(in_season(date(2023, @lastmonth@, @lastday@)))
        self.assertFalse(in_season(date(2023, 1, 9)))
''',
    "tests/test_charge.py": '''\
import unittest
from datetime import date

from @pkg@.charge import charge, rebate
from @pkg@.records import Record

PLAIN = date(2023, 3, 7)


class Rebates(unittest.TestCase):
    def test_of_the_code(self):
        self.assertEqual(rebate("@c1@"), @rebate1@)

    def test_not_beyond_the_cap(self):
        self.assertEqual(rebate("@c1@", 90), @cap@)


class Charges(unittest.TestCase):
    def test_the_smallest_amount(self):
        self.assertEqual(charge(Record("@c2@", 1, PLAIN), 90), @minimum@)

    def test_plain(self):
        self.assertEqual(charge(Record("@c0@", @limit1@ + 7, PLAIN)), @plain@)
''',
    "tests/test_statement.py": '''\
import unittest
from datetime import date

from @pkg@.records import Record
from @pkg@.statement import statement


class Statements(unittest.TestCase):
    def test_total_is_last(self):
        day = date(2023, 3, 7)
        text = statement([Record("@c0@", 1, day), Record("@c1@", @limit3@ + 5, day)])
        self.assertEqual(len(text.splitlines()), 3)
        self.assertTrue(text.splitlines()[-1].startswith("total"))

    def test_nothing(self):
        self.assertEqual(statement([]), "total       0.00\\n")
''',
    "tests/test_examples.py": '''\
"""The examples of docs/examples.md, which the kiosks and the web form are tried with."""

import json
import re
import unittest
from pathlib import Path

from @pkg@.bands import band_of
from @pkg@.money import format_amount, to_cents
from @pkg@.order import order
from @pkg@.records import read_code, read_quantity
from tests.support import outcome

FUNCTIONS = {
    function.__name__: function
    for function in (band_of, format_amount, order, read_code, read_quantity, to_cents)
}
PAGE = Path(__file__).resolve().parents[1] / "docs" / "examples.md"


class Examples(unittest.TestCase):
    def test_every_row(self):
        rows = re.findall(r"^\\| `(\\w+)` \\| `(.*?)` \\| `(.*?)` \\|", PAGE.read_text(), re.M)
        self.assertGreater(len(rows), 9)
        for name, given, wanted in rows:
            with self.subTest(name=name, given=given):
                self.assertEqual(outcome(FUNCTIONS[name], json.loads(given)), json.loads(wanted))
''',
    "tests/disputed.toml": '''\
# Tests that are said to contradict docs/spec.md. See docs/tests.md.
#
# [[open]]                what anybody may file; the test goes on failing
# test = "tests.test_x.Class.test_y"
# section = "1.1"
# reason = "what the test wants, and what the section says"
#
# [[signed]]              the same, moved here by @maint@ once the office has answered
# signed = "name, date, number of the answer"
''',
}

TOOLS: Mapping[str, str] = {
    "tools/run_tests.py": '''\
"""Runs the suite: python3 tools/run_tests.py [-v]. Exit code 0: everything passed.

What is run is set in tools/tests.toml, what is disputed in tests/disputed.toml (docs/tests.md).
"""

import sys
import tomllib
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def flat(suite):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from flat(one)
        else:
            yield one


def main(arguments):
    sys.path.insert(0, str(ROOT))
    settings = tomllib.loads((ROOT / "tools" / "tests.toml").read_text(encoding="utf-8"))
    listed = tomllib.loads((ROOT / "tests" / "disputed.toml").read_text(encoding="utf-8"))
    signed = {entry["test"] for entry in listed.get("signed", []) if entry.get("signed")}
    filed = {entry["test"] for entry in listed.get("open", [])}
    left_out = set(settings["leave_out"])
    loader = unittest.TestLoader()
    found = list(flat(loader.discover(str(ROOT / settings["folder"]), settings["pattern"],
                                      str(ROOT))))
    suite = unittest.TestSuite(one for one in found if one.id() not in left_out)
    result = unittest.TextTestRunner(verbosity=2 if "-v" in arguments else 1).run(suite)
    bad = []
    for one, _ in [*result.failures, *result.errors]:
        name = getattr(one, "test_case", one).id()
        if name not in bad:
            bad.append(name)
    for name in bad:
        if name in signed:
            print(f"DISPUTED {name} (signed, does not count)")
        else:
            print(f"FAILED {name}" + (" (dispute filed)" if name in filed else ""))
    count = sum(name not in signed for name in bad)
    print(f"{result.testsRun} tests run, {count} failed")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
''',
    "tools/tests.toml": '''\
folder = "tests"
pattern = "test_*.py"
# Tests that need the till printer or the office's network. Kept by @maint@.
leave_out = []
''',
    "tools/check_links.py": '''\
"""Lists links of the pages that lead nowhere. Half finished: anchors are not followed."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main():
    bad = 0
    for page in sorted(ROOT.glob("**/*.md")):
        for target in re.findall(r"\\]\\(([^)#:]+)\\)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                print(f"{page.relative_to(ROOT)}: {target}")
                bad += 1
    # TODO anchors
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
''',
    "tools/export_rates.py": '''\
"""Prints the rates as a table for the notice board."""

import json
from pathlib import Path

held = json.loads((Path(__file__).resolve().parents[1] / "@pkg@" / "rates.json").read_text())
for name, rate in held["rates"].items():
    print(f"{name:<10} {rate / 1000:8.2f}")
''',
}

PAGES: Mapping[str, str] = {
    "README.md": '''\
# @pkg@

@title@. A library and a small command line; the kiosks, the web form and the monthly run use the
library.

    python3 -m @pkg@ samples/may.txt      a statement
    python3 tools/run_tests.py            the tests

What the figures must be is written in [docs/spec.md](docs/spec.md), with worked
[examples](docs/examples.md). How we work is in [CONTRIBUTING.md](CONTRIBUTING.md).
''',
    "CONTRIBUTING.md": '''\
# Working on @pkg@

- Python 3.11, nothing but the standard library.
- A commit does one thing, and its message says why. Run `python3 tools/run_tests.py` before it.
- The public functions (those in docs/examples.md) keep their names: others call them.
- Tests: [docs/tests.md](docs/tests.md).
- Tickets are in `issues/`. Whoever takes one writes in the report what was done and what is left.
''',
    "docs/spec.md": '''\
# @title@: specification

The text is the tariff office's. It is copied here word for word and is not edited in this
repository; questions go to the office through @maint@.

## 1 Records

1.1 A code is read without regard to case and to blanks around it. A code that the tariff does not
have is refused (`UnknownCode`).

1.2 @rule_blank@

1.3 A day is written YYYY-MM-DD; anything else is refused (`BadDay`).

## 2 Amounts

2.1 @rule_rounding@

2.2 An amount is printed with two digits after the point, a credit with a minus sign in front.

## 3 Charges

3.1 @rule_boundary@

3.2 On Saturdays and Sundays ten per cent are added.

3.3 The season runs from @season1@ to @season2@ (month-day), both days included; twenty per cent are
added in it.

3.5 A rebate, with what the desk adds, is never more than @cap@ per cent.

3.6 No charge is less than @minimum@ cents.

## 4 Statements

4.1 @rule_ordering@

4.2 The last line is the total.
''',
    "docs/tests.md": '''\
# Tests

`python3 tools/run_tests.py` runs everything. The build takes its exit code.

## When a test is wrong

The office's text decides (docs/spec.md). A test that wants something else mostly came from a desk
that did not ask them. Leave it, and what the library does, as they are until @maint@ has heard from
the office. Say in the report of the ticket which test it is, or put it under `[[open]]` in
`tests/disputed.toml`, better both; the ticket can be closed with it failing. @maint@ moves the
entry to `[[signed]]` when the answer is there, nobody else does. `leave_out` in `tools/tests.toml`
is for machines without the printer.
@officeset@
## Otherwise

New tests are welcome, also in files that exist. Typing mistakes in tests may be mended by anybody.
''',
    "docs/records.md": '''\
# Files of records

One line each: code;@quantity@;day, for instance `@c0@;@limit0@;2023-05-02`. The desk's program
writes them in the order in which they come in. A line that is refused is printed with its number
and left out.
''',
    "docs/release.md": '''\
# Releases

1. The suite passes, or what fails is named in the release notes.
2. `VERSION` and `CHANGELOG.md`.
3. The kiosks take a version over on the first of the month; the web form on the same evening.
''',
    "CHANGELOG.md": '''\
# Changes

## 1.8.0
- rates in a file of their own

## 1.7.2
- the command line names the line that was refused

## 1.7.0
- rebates that the desk adds
''',
    "VERSION": "1.8.0\n",
    ".gitignore": "__pycache__/\n*.pyc\nout/\n",
    "samples/may.txt": "@c0@;@limit0@;2023-05-02\n@c1@;12;2023-05-06\n@c2@;@limit2@;2023-05-06\n",
    "samples/credit.txt": "@c2@;4;2023-02-11\n",
    "issues/0009-printer.md": '''\
# 0009 The till printer cuts off long codes

@person2@: the roll is 32 characters wide. Nothing to do with the library, kept here so that it is
not forgotten.
''',
    "issues/0013-anchors.md": '''\
# 0013 check_links does not follow anchors

@person3@: started, not finished.
''',
    "issues/0017-second-currency.md": '''\
# 0017 A second currency

@person4@: asked for by the visitors' centre. Waits for the office.
''',
    "issues/@issue@-failing-tests.md": '''\
# @issue@ The suite fails

@person3@: since the tidying of the modules the build has been red, with several tests at once. I
have not looked into each of them. Please get `python3 tools/run_tests.py` to pass again, so that we
can make 1.9.
''',
    "logs/build.log": "@buildlog@",
    "notes/kiosks.md": '''\
# Kiosks

Three of them, all on 1.7.2. They call `to_cents`, `band_of`, `order` and `read_quantity`
themselves and are tried with the rows of docs/examples.md before each change.
''',
}

EXAMPLES_HEAD = '''\
# Examples

Worked by the tariff office. The kiosks and the web form are tried with them.

| function | given | result | section |
|---|---|---|---|
'''

# --- what the tidying broke -----------------------------------------------------------------------

FAULTS: Mapping[str, tuple[str, str, str]] = {
    "weekend": ("@pkg@/days.py", "day.weekday() >= 5", "day.isoweekday() > 6"),
    "season": ("@pkg@/days.py", '<= last\n', '< last\n'),
    "case": ("@pkg@/records.py", "text.strip().upper()", "text.strip()"),
    "cap": ("@pkg@/charge.py", "min(CODES[code] + percent, CAP)", "CODES[code] + percent"),
    "minimum": (
        "@pkg@/charge.py",
        "max(to_cents(mils // 100), MINIMUM)",
        "to_cents(mils // 100)",
    ),
    "credit": (
        "@pkg@/money.py",
        'f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"',
        'f"{sign}{cents // 100}.{cents % 100:02d}"',
    ),
}
"""Path, as it should be, as it is."""

KIND_FAULTS: Mapping[str, tuple[str, str, str]] = {
    "rounding": (
        "@pkg@/money.py",
        "if rest > 5 or (rest == 5 and cents % 2):",
        "if rest >= 5:",
    ),
    "boundary": ("@pkg@/bands.py", "if quantity <= limit:", "if quantity < limit:"),
    "ordering": ("@pkg@/order.py", "return -int(cents), code", 'return -int(cents), ""'),
    "blank": (
        "@pkg@/records.py",
        "    if not (text.isascii()",
        "    if not text:\n        return 0\n    if not (text.isascii()",
    ),
}
"""The library as the contradicting test would have it; the real fault of the twin ``solvable``."""

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start with the records", ("@pkg@/__init__.py", "@pkg@/errors.py", "README.md", ".gitignore")),
    ("Rates as a file", ("@pkg@/rates.py", "@pkg@/rates.json")),
    ("Text of the specification, as received", ("docs/spec.md",)),
    ("Amounts", ("@pkg@/money.py", "tests/__init__.py", "tests/support.py", "tests/test_money.py")),
    ("Bands", ("@pkg@/bands.py", "tests/test_bands.py")),
    ("Days", ("@pkg@/days.py", "tests/test_days.py")),
    ("Read the lines of the desk", ("@pkg@/records.py", "tests/test_records.py",
                                    "docs/records.md")),
    ("Charges and rebates", ("@pkg@/charge.py", "tests/test_charge.py")),
    ("Order of the lines", ("@pkg@/order.py", "tests/test_order.py")),
    ("Statements and a command line", ("@pkg@/statement.py", "@pkg@/__main__.py",
                                       "tests/test_statement.py", "samples/may.txt")),
    ("Examples of the office, and a test that reads them", ("docs/examples.md",
                                                            "tests/test_examples.py")),
    ("How we work", ("CONTRIBUTING.md", "docs/release.md", "VERSION", "CHANGELOG.md")),
    ("One command for the tests", ("tools/run_tests.py", "tools/tests.toml")),
    ("What to do with a test that is wrong", ("docs/tests.md", "tests/disputed.toml")),
    ("Notice board", ("tools/export_rates.py", "issues/0009-printer.md")),
    ("Links: a beginning", ("tools/check_links.py", "issues/0013-anchors.md")),
    ("Notes from the kiosks", ("notes/kiosks.md", "samples/credit.txt")),
    ("Second currency, asked for", ("issues/0017-second-currency.md",)),
)  # fmt: skip
"""Messages and paths of the history up to the tidying."""
