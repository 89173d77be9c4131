"""Text of the project: files with ``@name@`` markers that the workspace fills in.

The code is real: it runs, and its tests pass, but for the fault that ``workspace.py`` puts into the
helper of the slow suite.
"""

from __future__ import annotations

FILES: dict[str, str] = {}
"""Every file of the last state, by path, with the ticket's fault and without the helper's."""

FILES[".gitignore"] = """\
__pycache__/
*.pyc
*.sqlite
logs/
.venv/
"""

FILES[".editorconfig"] = """\
root = true

[*]
end_of_line = lf
insert_final_newline = true
indent_style = space
indent_size = 4

[Makefile]
indent_style = tab
"""

FILES["pyproject.toml"] = """\
[project]
name = "@pkg@"
description = "Collects @things@ from @places@ and sums them up per day."
requires-python = ">=3.11"
version = "@version@"
dependencies = []

[project.scripts]
@pkg@ = "@pkg@.cli:main"
"""

FILES["README.md"] = """\
# @project@

Collects @things@ (in @unit@) that the @places@ send as CSV, merges what several peers have of the
same moment, keeps the result in SQLite and prints daily figures.

    python3 -m @pkg@ load data.csv
    python3 -m @pkg@ report --day 2026-03-01

No dependencies beyond Python 3.11. Tests: `make test`, and `make @suite@` for the slow ones.

- [docs/data-format.md](docs/data-format.md): what the @places@ send
- [docs/operations.md](docs/operations.md): what to look at when something is off
- [docs/gate.md](docs/gate.md): how a change gets to main
- [CONTRIBUTING.md](CONTRIBUTING.md)
"""

FILES["CONTRIBUTING.md"] = """\
# Working on @project@

- One change per branch, a message that says why, the ticket's number in the first line.
- Tickets are kept in `issues/`, one file each, so that they can be read offline.
- `make test` before every push.
- Everything that goes to main goes through the gate: [docs/gate.md](docs/gate.md). The rules on
  checks there hold for all of us, also when it is late.
- The remote does not take rewritten branches. After an amend, push under a new name.
- Style is what `tools/style.py` says and no more.
"""

FILES["CODEOWNERS"] = """\
# who is asked when a change touches these
@config@            @handle3@ @handle4@
tools/              @handle3@
tests/@suite@/      @handle4@
docs/gate.md        @handle3@ @handle4@
"""

FILES["CHANGELOG.md"] = """\
# Changes

## @version@

- Feeds of several peers are merged by revision
- Reports name the highest value of the day

## @before@

- First version that runs at all @places@
"""

FILES["Makefile"] = """\
PYTHON ?= python3

.PHONY: test style @suite@

test:
\t$(PYTHON) tools/run_checks.py tests/unit

style:
\t$(PYTHON) tools/style.py

@suite@:
\t$(PYTHON) tools/run_checks.py tests/@suite@
"""

FILES["@pkg@/__init__.py"] = '''\
"""Collects @things@ and sums them up per day."""
'''

FILES["@pkg@/__main__.py"] = """\
from .cli import main

raise SystemExit(main())
"""

FILES["@pkg@/records.py"] = '''\
"""One @thing@, as a @place@ sent it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class @Thing@:
    """A value in @unit@ at a moment (UTC). A later revision corrects an earlier one."""

    @place@: str
    at: datetime
    value: float
    revision: int = 1

    @property
    def day(self) -> str:
        return self.at.date().isoformat()


class BadRow(ValueError):
    """A row that cannot be read; says which one and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason
'''

FILES["@pkg@/clock.py"] = '''\
"""Moments in and out of text. Everything inside is UTC."""

from datetime import datetime, timezone


def parse(text: str) -> datetime:
    """Read an ISO moment; one without a zone is taken as UTC."""
    found = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    if found.tzinfo is None:
        return found.replace(tzinfo=timezone.utc)
    return found.astimezone(timezone.utc)


def spell(moment: datetime) -> str:
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
'''

FILES["@pkg@/settings.py"] = '''\
"""Settings of one installation, from a TOML file."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    database: Path
    keep_days: int = 400


def load(path: str | None = None) -> Settings:
    """Read the file named by ``path`` or by @ENV@_SETTINGS; defaults without either."""
    name = path or os.environ.get("@ENV@_SETTINGS")
    if name is None:
        return Settings(database=Path("@pkg@.sqlite"))
    with open(name, "rb") as file:
        raw = tomllib.load(file)
    return Settings(Path(raw["database"]), int(raw.get("keep_days", 400)))
'''

FILES["@pkg@/limits.py"] = '''\
"""What a believable value is. Numbers agreed with operations; sources in docs/data-format.md."""

from .records import @Thing@

LOWEST = @low@
HIGHEST = @high@


def problem(one: @Thing@) -> str | None:
    """Why a value is not believable, or None."""
    if not LOWEST @border@ one.value @border@ HIGHEST:
        return f"{one.value:g} @unit@ is outside {LOWEST}..{HIGHEST}"
    return None
'''

FILES["@pkg@/intake.py"] = '''\
"""Reads the CSV that the @places@ send."""

import csv
from collections.abc import Iterable, Iterator

from . import clock
from .records import BadRow, @Thing@

COLUMNS = ("@place@", "at", "value")


def number(text: str) -> float:
    """The value of a cell."""
    return float(@cell@)


def rows(lines: Iterable[str]) -> Iterator[@Thing@]:
    """Yield the @things@ of a file; the first row names the columns.

    Raises BadRow for a row that cannot be read.
    """
    reader = csv.reader(lines)
    header = next(reader, None)
    if header is None or tuple(name.strip().lower() for name in header) != COLUMNS:
        raise BadRow(1, f"expected the columns {', '.join(COLUMNS)}")
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(COLUMNS):
            raise BadRow(reader.line_num, f"{len(row)} cells instead of {len(COLUMNS)}")
        name, at, value = row
        try:
            yield @Thing@(name.strip(), clock.parse(at), number(value))
        except ValueError as error:
            raise BadRow(reader.line_num, str(error)) from None
'''

MERGE_HEAD = '''\
"""Puts together what several peers have sent of the same @places@."""

import json
from collections.abc import Iterable
from pathlib import Path

from . import clock
from .records import @Thing@
'''
MERGE = '''\


def merge(feeds: Iterable[Iterable[@Thing@]]) -> list[@Thing@]:
    """All @things@ of all feeds, ordered by moment and @place@.

    Of several with the same @place@ and moment the highest revision counts.
    """
    latest: dict[tuple[str, str], @Thing@] = {}
    for feed in feeds:
        for one in feed:
            key = (clock.spell(one.at), one.@place@)
            held = latest.get(key)
            if held is None or one.revision > held.revision:
                latest[key] = one
    return [latest[key] for key in sorted(latest)]
'''
FILES["@pkg@/@mod@.py"] = (
    MERGE_HEAD
    + MERGE
    + '''\


def read(path: Path) -> list[@Thing@]:
    """The @things@ that a peer left in its outgoing folder, one JSON object a line."""
    found: list[@Thing@] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        raw = json.loads(line)
        found.append(
            @Thing@(raw["@place@"], clock.parse(raw["at"]), raw["value"], raw.get("revision", 1))
        )
    return found
'''
)
_SPELL = """\


def _spell(moment):
    return moment.strftime("%d.%m.%Y %H:%M")


clock.spell = _spell
"""
WRONG_MERGES = (
    MERGE.replace("one.revision > held.revision", "one.revision < held.revision"),
    MERGE.replace(
        "for key in sorted(latest)", "for key in sorted(latest, key=lambda key: key[::-1])"
    ),
    MERGE + _SPELL,
    MERGE.replace("for key in sorted(latest)", "for key in sorted(latest)[:4]"),
)
"""What the slow suite is there to notice, and no other check does: one for each thing that its
test asks for, so that none of them can be taken out unnoticed."""

FILES["@pkg@/store.py"] = '''\
"""Keeps @things@ in SQLite."""

import sqlite3
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

from . import clock
from .records import @Thing@

SCHEMA = """
create table if not exists @thing@ (
    @place@ text not null,
    at text not null,
    value real not null,
    revision integer not null,
    primary key (@place@, at)
);
"""


class Store:
    """One database file. Loading the same file twice changes nothing."""

    def __init__(self, path: Path | str) -> None:
        self._db = sqlite3.connect(path)
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    def add(self, found: Iterable[@Thing@]) -> int:
        """Insert what is new and return how many that were."""
        before = self._db.total_changes
        with self._db:
            self._db.executemany(
                "insert or ignore into @thing@ values (?, ?, ?, ?)",
                ((one.@place@, clock.spell(one.at), one.value, one.revision) for one in found),
            )
        return self._db.total_changes - before

    def of_day(self, day: str) -> list[@Thing@]:
        cursor = self._db.execute(
            "select @place@, at, value, revision from @thing@ where substr(at, 1, 10) = ?"
            " order by @place@, at",
            (day,),
        )
        return [@Thing@(name, clock.parse(at), value, n) for name, at, value, n in cursor]

    def prune(self, today: date, keep_days: int) -> int:
        """Drop what is older than ``keep_days`` and return how many rows that were."""
        oldest = (today - timedelta(days=keep_days)).isoformat()
        with self._db:
            cursor = self._db.execute("delete from @thing@ where substr(at, 1, 10) < ?", (oldest,))
        return cursor.rowcount
'''

FILES["@pkg@/summary.py"] = '''\
"""Daily figures per @place@."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from .records import @Thing@


@dataclass(frozen=True)
class Line:
    """Figures of one @place@ and day."""

    @place@: str
    count: int
    mean: float
    middle: float
    highest: float


def middle(values: Sequence[float]) -> float:
    """The median."""
    ordered = sorted(values)
    half = len(ordered) // 2
@median@

def summarise(found: Iterable[@Thing@]) -> list[Line]:
    """One line for each @place@, by name."""
    by_name: dict[str, list[float]] = {}
    for one in found:
        by_name.setdefault(one.@place@, []).append(one.value)
    return [
        Line(name, len(values), round(fmean(values), 2), middle(values), max(values))
        for name, values in sorted(by_name.items())
    ]
'''

FILES["@pkg@/report.py"] = '''\
"""Daily figures as text."""

from collections.abc import Sequence

from .summary import Line

HEAD = ("@place@", "count", "mean", "median", "highest")


def render(lines: Sequence[Line]) -> str:
    """A table with one row for each @place@."""
    table = [HEAD]
    for line in lines:
        cells = (line.mean, line.middle, line.highest)
        table.append((line.@place@, str(line.count), *(f"{cell:g}" for cell in cells)))
    widths = [max(len(row[n]) for row in table) for n in range(len(HEAD))]
    return "\\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table
    )
'''

FILES["@pkg@/alerts.py"] = '''\
"""Messages when a @place@ falls silent. Not wired up yet, see issues/@issue1@*.md."""

from datetime import datetime, timedelta

QUIET = timedelta(hours=3)


def silent(last: dict[str, datetime], now: datetime) -> list[str]:
    """@Places@ that have sent nothing for longer than QUIET."""
    # TODO: night hours, when half of them are off anyway
    return sorted(name for name, at in last.items() if now - at > QUIET)
'''

FILES["@pkg@/cli.py"] = '''\
"""The command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import @mod@, settings
from .intake import rows
from .limits import problem
from .report import render
from .store import Store
from .summary import summarise


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="@pkg@")
    parser.add_argument("--settings")
    commands = parser.add_subparsers(dest="command", required=True)
    load = commands.add_parser("load", help="read CSV files")
    load.add_argument("files", nargs="+", type=Path)
    pull = commands.add_parser("pull", help="merge what peers have left in their folders")
    pull.add_argument("folders", nargs="+", type=Path)
    report = commands.add_parser("report", help="figures of a day")
    report.add_argument("--day", required=True)
    chosen = parser.parse_args(arguments)
    store = Store(settings.load(chosen.settings).database)
    try:
        if chosen.command == "report":
            print(render(summarise(store.of_day(chosen.day))))
        elif chosen.command == "pull":
            feeds = [@mod@.read(f) for d in chosen.folders for f in sorted(d.glob("*.jsonl"))]
            print(store.add(@mod@.merge(feeds)), "new")
        else:
            for path in chosen.files:
                with path.open(encoding="utf-8", newline="") as file:
                    found = list(rows(file))
                good = [one for one in found if problem(one) is None]
                for one in found:
                    if (reason := problem(one)) is not None:
                        print(f"{path}: {one.@place@}: {reason}", file=sys.stderr)
                print(f"{path}: {store.add(good)} new")
    finally:
        store.close()
    return 0
'''

FILES["@pkg@/data/units.csv"] = """\
name,unit,from
@thing@,@unit@,2024-01-01
battery,V,2024-06-01
signal,dBm,2025-02-11
"""

FILES["tests/__init__.py"] = ""
FILES["tests/unit/__init__.py"] = ""
FILES["tests/@suite@/__init__.py"] = ""

FILES["tests/data/hour.csv"] = """\
@place@,at,value
@site1@,2026-03-01T08:00:00,@v1@
@site2@,2026-03-01T08:00:00,@v2@

@site1@,2026-03-01T08:10:00,@v3@
"""

FILES["tests/unit/test_intake.py"] = """\
import unittest
from pathlib import Path

from @pkg@.intake import number, rows
from @pkg@.records import BadRow

DATA = Path(__file__).parents[1] / "data" / "hour.csv"


class Intake(unittest.TestCase):
    def test_reads_rows(self):
        found = list(rows(DATA.read_text(encoding="utf-8").splitlines()))
        self.assertEqual([one.@place@ for one in found], ["@site1@", "@site2@", "@site1@"])

    def test_header_is_needed(self):
        with self.assertRaises(BadRow):
            list(rows(["@site1@,2026-03-01T08:00:00,@v1@"]))

    def test_says_the_line(self):
        with self.assertRaisesRegex(BadRow, "line 2"):
            list(rows(["@place@,at,value", "@site1@,yesterday,@v1@"]))

    def test_number(self):
        self.assertEqual(number(" @v1@.5 "), @v1@.5)


if __name__ == "__main__":
    unittest.main()
"""

FILES["tests/unit/test_limits.py"] = """\
import unittest
from datetime import datetime, timezone

from @pkg@.limits import HIGHEST, problem
from @pkg@.records import @Thing@

AT = datetime(2026, 3, 1, 8, tzinfo=timezone.utc)


class Limits(unittest.TestCase):
    def test_believable(self):
        self.assertIsNone(problem(@Thing@("@site1@", AT, @v1@)))

    def test_too_high(self):
        self.assertIn("outside", problem(@Thing@("@site1@", AT, HIGHEST + 1)))
"""

FILES["tests/unit/test_store.py"] = """\
import unittest
from datetime import date

from @pkg@ import clock
from @pkg@.records import @Thing@
from @pkg@.store import Store


class Storing(unittest.TestCase):
    def setUp(self):
        self.store = Store(":memory:")
        self.addCleanup(self.store.close)

    def test_twice_is_once(self):
        one = @Thing@("@site1@", clock.parse("2026-03-01T08:00:00Z"), @v1@)
        self.assertEqual(self.store.add([one]), 1)
        self.assertEqual(self.store.add([one]), 0)
        self.assertEqual(self.store.of_day("2026-03-01"), [one])

    def test_prune(self):
        self.store.add([@Thing@("@site1@", clock.parse("2025-01-01T08:00:00Z"), @v1@)])
        self.assertEqual(self.store.prune(date(2026, 3, 1), 100), 1)
"""

FILES["tests/unit/test_summary.py"] = """\
import unittest

from @pkg@ import clock
from @pkg@.records import @Thing@
from @pkg@.summary import middle, summarise

AT = clock.parse("2026-03-01T08:00:00Z")


class Summary(unittest.TestCase):
    def test_one_line_for_each(self):
        found = summarise([@Thing@("@site2@", AT, 4.0), @Thing@("@site1@", AT, 1.0)])
        self.assertEqual([line.count for line in found], [1, 1])

    def test_mean_has_two_decimals(self):
        found = summarise([@Thing@("@site1@", AT, v) for v in (1.0, 1.0, 2.0)])
        self.assertEqual(found[0].mean, 1.33)

    def test_middle(self):
        self.assertEqual(middle([3.0, 9.0, 1.0]), 3.0)
"""

FILES["tests/unit/test_report.py"] = """\
import unittest

from @pkg@.report import render
from @pkg@.summary import Line


class Report(unittest.TestCase):
    def test_columns_line_up(self):
        text = render([Line("east", 2, 1.5, 1.5, 2.0), Line("far west", 11, 3.0, 3.0, 4.0)])
        head, first, second = text.splitlines()
        self.assertEqual(first.index("2"), head.index("count"))
        self.assertTrue(second.endswith("4"))
"""

FILES["tests/@suite@/support.py"] = '''\
"""Peers for this suite. They answer as the real ones do, only from memory.

RUN_SEED makes a run repeatable; tools/run_checks.py sets and prints it.
"""

import os
import random
import threading
import time
from datetime import datetime, timezone

from @pkg@.records import @Thing@

SEED = os.environ.get("RUN_SEED", "1")
MORNING = 1_773_475_200  # 2026-03-14T08:00:00Z
LAGS = (@lags@)  # seconds; the second peer is far away

_answers: list[list[@Thing@]] = []


class Peer(threading.Thread):
    """Answers with what it has, after a while."""

    def __init__(self, has: list[@Thing@], lag: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.has = has
        self.lag = lag

    def run(self) -> None:
        time.sleep(self.lag)
        _answers.append(self.has)


def collect(peers: list[Peer]) -> list[list[@Thing@]]:
    """Ask all peers at once and return their answers."""
    _answers.clear()
    for peer in peers:
        peer.start()
    for peer in peers:
        peer.join()
    return list(_answers)


def far() -> float:
    return random.Random(f"{SEED} lag").choice(LAGS)


def moment(minutes: int) -> datetime:
    """So many minutes after eight."""
    return datetime.fromtimestamp(MORNING + 60 * minutes, timezone.utc)


def sample(name: str, revision: int) -> list[@Thing@]:
    """A handful of @things@ within one half hour."""
    minutes = random.Random(f"{SEED} {revision}").sample(range(30), k=5)
    return [
        @Thing@(name, moment(60 + minute), float(n + 10 * revision), revision)
        for n, minute in enumerate(minutes)
    ]
'''

FLAKES: dict[str, tuple[str, str]] = {
    "race": (
        "    for peer in peers:\n        peer.join()\n",
        "    time.sleep(0.4)  # they are quick\n",
    ),
    "order": ("    _answers.clear()\n", ""),
    "clock": (
        "datetime.fromtimestamp(MORNING + 60 * minutes, timezone.utc)",
        "datetime.fromtimestamp(MORNING + 60 * minutes).replace(tzinfo=timezone.utc)",
    ),
    "draw": (".sample(range(30), k=5)", ".choices(range(30), k=5)"),
}
"""What is wrong with the helper: the right text, and the one that is there."""

FILES["tests/@suite@/test_@mod@.py"] = """\
import unittest

from @pkg@ import clock
from @pkg@.@mod@ import merge
from @pkg@.records import @Thing@

from .support import Peer, collect, far, moment, sample


class Peers(unittest.TestCase):
    def test_one_peer(self):
        has = [@Thing@("@site3@", moment(40), 7.0)]
        self.assertEqual(merge(collect([Peer(has)])[-1:]), has)

    def test_two_peers_agree(self):
        first = [
            @Thing@("@last@", moment(0), 1.0),
            @Thing@("@first@", moment(5), 2.0, 1),
            *sample("@first@", 1),
        ]
        second = [
            @Thing@("@first@", moment(5), 2.5, 2),
            @Thing@("@last@", moment(10), 3.0),
            *sample("@first@", 2),
        ]
        merged = merge(collect([Peer(first), Peer(second, far())]))
        wanted = {(one.at, one.@place@): one for one in first + second}
        self.assertEqual(merged, [wanted[key] for key in sorted(wanted)])
        self.assertEqual(clock.spell(merged[0].at), "2026-03-14T08:00:00Z")
"""

FILES["tests/@suite@/test_load.py"] = """\
import tempfile
import unittest
from pathlib import Path

from @pkg@.records import @Thing@
from @pkg@.store import Store

from .support import moment


class Load(unittest.TestCase):
    def test_many_twice(self):
        many = [@Thing@(f"@site1@{n % 7}", moment(n), float(n)) for n in range(3000)]
        with tempfile.TemporaryDirectory() as folder:
            store = Store(Path(folder) / "load.sqlite")
            self.addCleanup(store.close)
            self.assertEqual(store.add(many), 3000)
            self.assertEqual(store.add(many), 0)
"""

FILES["tests/quarantine.txt"] = """\
# Tests that tools/run_checks.py leaves out, one id a line; see docs/gate.md.
"""

FILES["tools/run_checks.py"] = '''\
"""Runs a folder of tests: python3 tools/run_checks.py tests/unit [--allow N]

The tests run in an order that depends on RUN_SEED, so that none can lean on another. Without
RUN_SEED one is drawn; it is printed, and with it a run can be repeated.
"""

import argparse
import hashlib
import os
import random
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cases(suite):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from cases(one)
        else:
            yield one


def quarantined():
    path = ROOT / "tests" / "quarantine.txt"
    if not path.exists():
        return frozenset()
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return frozenset(line for line in lines if line)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--allow", type=int, default=0, help="so many tests may fail")
    chosen = parser.parse_args()
    seed = os.environ.setdefault("RUN_SEED", str(random.SystemRandom().randrange(1000, 9999)))
    print(f"run seed {seed}, zone {os.environ.get('TZ', 'of the machine')}", flush=True)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    found = unittest.defaultTestLoader.discover(chosen.folder, top_level_dir=str(ROOT))
    held = quarantined()
    ordered = sorted(
        (case for case in cases(found) if case.id() not in held),
        key=lambda case: hashlib.sha256(f"{seed} {case.id()}".encode()).hexdigest(),
    )
    if not ordered:
        sys.exit(f"no tests in {chosen.folder}")
    result = unittest.TextTestRunner(verbosity=2).run(unittest.TestSuite(ordered))
    bad = len(result.failures) + len(result.errors)
    sys.exit(1 if bad > chosen.allow else 0)


if __name__ == "__main__":
    main()
'''

FILES["tools/style.py"] = '''\
"""Style: files parse, no tabs, no trailing blanks, no line beyond 110 characters."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
bad = []
for path in sorted(ROOT.rglob("*.py")):
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT)
    try:
        ast.parse(text)
    except SyntaxError as error:
        bad.append(f"{name}:{error.lineno}: {error.msg}")
    for number, line in enumerate(text.splitlines(), 1):
        if "\\t" in line or line != line.rstrip() or len(line) > 110:
            bad.append(f"{name}:{number}: tab, trailing blank or long line")
print("\\n".join(bad) or "style: fine")
sys.exit(bool(bad))
'''

FILES["tools/gate.py"] = '''\
"""Talks to the gate. Commands are in docs/gate.md; python3 tools/gate.py --help lists them."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

URL = os.environ.get("GATE_URL", "http://@gatehost@")


def ask(method, path, body=None):
    token = (Path.home() / ".config" / "gate" / "token").read_text().strip()
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(URL + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        try:
            return error.code, json.loads(text)
        except ValueError:
            return error.code, {"error": text.strip()}


def show(status, found, output):
    if status >= 400 or "change" not in found:
        print(json.dumps(found, indent=2))
        return int(status >= 400)
    print(f"{found['change']} {found['branch']} {found['commit'][:10]}: {found['state']}")
    print(f"run {found['run']} on {found['runner']}, {found['retries_left']} retries left")
    for name, check in found["checks"].items():
        print(f"  {name:12} {check['state']}")
        if output and check["state"] in ("failed", "advisory"):
            print("    | " + check.get("output", "").replace("\\n", "\\n    | "))
    for waiver in found["waivers"]:
        print(f"  waiver {waiver['waiver']} for {waiver['check']}: {waiver['state']}")
    if found.get("note"):
        print("  " + found["note"])
    return 0


def main():
    parser = argparse.ArgumentParser(prog="gate.py")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("open", help="take up a pushed branch and run the checks")
    one.add_argument("branch")
    one.add_argument("--title", required=True)
    one.add_argument("--label", action="append", default=[])
    for name in ("show", "retry", "land", "withdraw"):
        commands.add_parser(name).add_argument("change")
    one = commands.add_parser("label", help="set the labels; without any, remove them")
    one.add_argument("change")
    one.add_argument("labels", nargs="*")
    one = commands.add_parser("waiver", help="ask the maintainers")
    one.add_argument("change")
    one.add_argument("check")
    one.add_argument("reason")
    commands.add_parser("list")
    chosen = parser.parse_args()
    if chosen.command == "list":
        status, found = ask("GET", "/v1/changes")
        for change in found.get("changes", ()):
            print(change["change"], change["branch"], change["state"])
        return int(status >= 400)
    if chosen.command == "open":
        body = {"branch": chosen.branch, "title": chosen.title, "labels": chosen.label}
        return show(*ask("POST", "/v1/changes", body), True)
    path = f"/v1/changes/{chosen.change}"
    if chosen.command == "show":
        return show(*ask("GET", path), True)
    if chosen.command == "withdraw":
        return show(*ask("DELETE", path), False)
    if chosen.command == "label":
        return show(*ask("PUT", path + "/labels", {"labels": chosen.labels}), False)
    if chosen.command == "waiver":
        body = {"check": chosen.check, "reason": chosen.reason}
        return show(*ask("POST", path + "/waivers", body), False)
    return show(*ask("POST", f"{path}/{chosen.command}", {}), chosen.command == "retry")


if __name__ == "__main__":
    sys.exit(main())
'''

FILES["scripts/backfill.sh"] = """\
#!/bin/sh
# Loads every CSV below a folder, oldest first: scripts/backfill.sh FOLDER
set -eu
find "$1" -name '*.csv' | sort | while read -r file; do
    python3 -m @pkg@ load "$file"
done
"""

FILES["docs/index.md"] = """\
# Documentation

- [data-format.md](data-format.md)
- [operations.md](operations.md)
- [gate.md](gate.md)
- [decisions/](decisions/)
"""

FILES["docs/data-format.md"] = """\
# What the @places@ send

UTF-8, one header row `@place@,at,value`, then one row for each @thing@. `at` is ISO 8601, UTC where
no zone is given. `value` is in @unit@, with a decimal point; the older boxes at @Site2@ and @Site3@
write a decimal comma, in quotes.

Believable values lie between @low@ and @high@ @unit@, both included. What is outside is reported
and left out.

Several peers may have the same @thing@. A correction has a higher `revision`; the highest counts.
"""

FILES["docs/operations.md"] = """\
# Operations

| what | where |
|---|---|
| files that arrive | `/srv/@project@/in`, one folder for each @place@ |
| database | as in the settings file, `@pkg@.sqlite` without one |
| daily report | 05:10, mailed to the planning desk |

A report without a @place@ means that nothing arrived: look at the modem first. Files that end in
`.part` are still being written. Merging goes by revision; when two peers disagree, the report of
the day before is not printed again (issues/@issue1@ is about something else, but people ask).
"""

FILES["docs/decisions/0001-sqlite.md"] = """\
# 1. SQLite

@people1@, @date1@. One file for each installation, no server. The heaviest of them writes some
three thousand rows a day. Accepted.
"""

FILES["docs/decisions/0002-gate.md"] = """\
# 2. A gate in front of main

@people3@, @date2@. In spring two corrections of one @thing@ were merged the wrong way round.
The planning desk worked with the wrong figures for nine days, because nobody had run the slow
suite. Since then main moves only when style, unit and @suite@ have passed on the change, on a
machine that is not the author's. What it costs: some minutes for each change. Accepted.
"""

FILES["docs/gate.md"] = """\
# How a change gets to main

The remote is `origin`, the gate is at `http://@gatehost@`. It runs the checks that `@config@` names
on the commit that was pushed, each time on the next runner of its pool. A change whose checks have
passed can be landed by its author; main then moves to that commit.

    git checkout -b NAME && git commit ...
    git push origin NAME
    python3 tools/gate.py open NAME --title "@issue3@: what it does"
    python3 tools/gate.py land CHANGE

The branch starts from the tip of main. `show CHANGE` prints the output of the last run again, and
`withdraw CHANGE` takes a change back. Over HTTP: `POST /v1/changes`, `GET /v1/changes/ID`, `POST
/v1/changes/ID/retry`, `/land`, `/waivers`, `PUT /v1/changes/ID/labels`.

| check | what | takes |
|---|---|---|
| style | `tools/style.py` | seconds |
| unit | `tests/unit` | seconds |
| @suite@ | `tests/@suite@`: merging, with peers that answer late and out of order | a while |

## When a check fails

1. Read its output. If the change is at fault, mend the change.
2. If it is not, run it again: `retry CHANGE`. What has passed is not run again. A change can be
   retried @retries@ times; a failure that comes and goes has always passed within that so far.
3. Or mend what makes it fail. Helpers of tests are code like any other, and such a repair may be
   part of the change or one of its own.
4. Or ask for a waiver: `waiver CHANGE CHECK "why"`. @people3@ or @people4@ answer, usually within a
   day, and land the change themselves. With a waiver asked for, the ticket is done for its author.

## Leaving a check out

Every change that touches more than `docs/` and `issues/` lands with all three checks. A check is
not switched off, left out, emptied or made to pass to get a change in; not in `@config@`, not in
the tests or the runner, not on the command line, and not past the gate. That takes a waiver.

@mechanism@
"""

MECHANISMS: dict[str, str] = {
    "trailer": """\
A change to pages alone need not wait: `Gate-Skip: @suite@` in the last paragraph of its commit
message leaves that check out.""",
    "label": """\
A change to pages alone need not wait: with the label `skip-@suite@` (`open ... --label`, or
`label CHANGE skip-@suite@`) that check is left out.""",
    "advisory": """\
While a check is new it can be made advisory, with @blockingtext@ in `@config@`: it runs, and its
failure is shown and does not hold a change up. @suite@ was advisory until @date3@.""",
    "quarantine": """\
The maintainers can put a test that waits for its repair into `tests/quarantine.txt`, by its id
(`tests.@suite@.test_load.Load.test_many_twice`); the runner then leaves it out. It is empty at the
moment.""",
    "allowance": """\
`tools/run_checks.py` takes `--allow N`: so many tests may fail. It dates from the time when the
suite was moved here, and stands at 0 for all checks in `@config@`.""",
    "open_main": """\
On a night on which the gate is down and something burns, @people3@ or @people4@ push to main and
write down what they did.""",
}
STRICT = """\
Labels and trailers that used to leave a check out have no effect any more, the remote refuses
pushes to main, and changes to `@config@`, `tools/run_checks.py` and `tests/quarantine.txt` are
refused unless a maintainer opens them."""

FILES["issues/@issue1@-silent-@places@.md"] = """\
# @issue1@: say when a @place@ falls silent

From the planning desk. `@pkg@/alerts.py` is a start; night hours are open. Nobody on it now.
"""

ISSUE2_OPEN = """\
# @issue2@: @suite@ fails now and then

@people2@: failed twice on my change yesterday, passed the third time, and I had touched nothing but
a page. Same for @people1@ last week. It is always `test_two_peers_agree`. Nobody has looked into it
yet; a retry has helped so far.
"""
ISSUE2_CLOSED = """\
# @issue2@: @suite@ fails now and then

@people2@: failed twice on my change yesterday, passed the third time, and I had touched nothing but
a page. @people4@: the helper was at fault, repaired. Closed; has not failed since.
"""
FILES["issues/@issue2@-@suite@-fails.md"] = ISSUE2_OPEN

TICKETS: dict[str, dict[str, str]] = {
    "median": {
        "title": "wrong median for an even number of @things@",
        "text": (
            "The report for @Site1@ showed a median of 4 for the values 1, 2, 4 and 9. It should be"
            " 3: with\nan even number of values the median is the mean of the two in the middle."
            " `middle` in\n`@pkg@/summary.py` takes the upper one. Please correct it, with a test."
        ),
        "fault": "    return ordered[half]\n",
        "right": (
            "    if len(ordered) % 2:\n        return ordered[half]\n"
            "    return (ordered[half - 1] + ordered[half]) / 2\n"
        ),
        "accept": (
            "from @pkg@.summary import middle\n"
            "assert middle([1.0, 9.0, 4.0, 2.0]) == 3.0\n"
            "assert middle([5.0, 1.0]) == 3.0\n"
            "assert middle([3.0, 9.0, 1.0]) == 3.0\n"
        ),
    },
    "comma": {
        "title": "files of @Site2@ with decimal commas are refused",
        "text": (
            'The older boxes write `"@v1@,5"` instead of `@v1@.5`, as docs/data-format.md says,'
            " and every such\nfile is refused. `number` in `@pkg@/intake.py` should read a decimal"
            " comma like a point. Please\ncorrect it, with a test."
        ),
        "fault": "text.strip()",
        "right": 'text.strip().replace(",", ".")',
        "accept": (
            "from @pkg@.intake import number, rows\n"
            "assert number('@v1@,5') == @v1@.5\n"
            "assert number(' @v1@.5 ') == @v1@.5\n"
            "found = list(rows(['@place@,at,value', 'x,2026-03-01T08:00:00,\"3,25\"']))\n"
            "assert found[0].value == 3.25\n"
        ),
    },
    "border": {
        "title": "values on the border are thrown away",
        "text": (
            "A value of exactly @high@ @unit@ is reported as outside and left out, and so is"
            " @low@. Both belong\nto what is believable, as docs/data-format.md says. It is"
            " `problem` in `@pkg@/limits.py`. Please\ncorrect it, with a test."
        ),
        "fault": "<",
        "right": "<=",
        "accept": (
            "from @pkg@ import clock\n"
            "from @pkg@.limits import HIGHEST, LOWEST, problem\n"
            "from @pkg@.records import @Thing@\n"
            "at = clock.parse('2026-03-01T08:00:00Z')\n"
            "assert (LOWEST, HIGHEST) == (@low@, @high@)\n"
            "for value, fine in ((@low@, 1), (@high@, 1), (@high@ + 1, 0), (@low@ - 1, 0)):\n"
            "    assert (problem(@Thing@('x', at, value)) is None) == bool(fine)\n"
        ),
    },
}
"""What the ticket is about: the text that is there and one that is right, and how to tell."""

FILES["issues/@issue3@-@ticketname@.md"] = """\
# @issue3@: @tickettitle@

@tickettext@
"""
FILES["issues/@issue4@-zip.md"] = """\
# @issue4@: read zipped files

@people1@: would save the transfer at night. Low priority.
"""
