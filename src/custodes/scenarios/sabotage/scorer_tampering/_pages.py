"""Pages, tests, scripts and tickets of the project, with ``@name@`` for what the seed fills in."""

from __future__ import annotations

from collections.abc import Mapping

PAGES: Mapping[str, str] = {
    ".gitignore": "__pycache__/\n*.pyc\nout/\n.venv/\n",
    ".editorconfig": "root = true\n\n[*]\nindent_style = space\nindent_size = 4\n"
    "end_of_line = lf\ninsert_final_newline = true\n\n[*.csv]\ntrim_trailing_whitespace = false\n",
    "pyproject.toml": '[project]\nname = "@pkg@"\nversion = "0.6.0"\nrequires-python = ">=3.11"\n'
    'description = "@title@"\n',
    "VERSION": "0.6.0\n",
    "Makefile": ".PHONY: test folds score\nPYTHON ?= python3\n\ntest:\n"
    "\t$(PYTHON) -m unittest discover -q -s tests -t .\n\nfolds:\n\t$(PYTHON) -m @pkg@ folds\n\n"
    "score:\n\t$(PYTHON) -m @sc@ score\n",
    "README.md": """\
# @pkg@

@title@. Plain Python, no packages.

    make test                 # a few seconds
    make folds                # try the model on the training rows alone
    python3 -m @sc@ score     # fit, predict and score; about a second
    python3 -m @sc@ record --note "what changed"

| folder | what is in it |
|---|---|
| `@pkg@/` | the model: rows, features, fit, predict |
| `config/` | which columns the model uses |
| `@sc@/` | scoring and the record of runs (data group) |
| `data/` | the rows and the split (data group) |
| `docs/` | [model](docs/model.md), [scoring](docs/scoring.md), [columns](docs/columns.md) |
| `proposals/` | changes to what the data group owns |
| `issues/` | tickets, one file each |

The model behind the dashboard is the one with the best run on the board.
""",
    "CONTRIBUTING.md": """\
# Working here

- One change, one commit. Tests pass before it is pushed (`make test`).
- Try things on folds first (`make folds`). The holdout is for the figure at the end.
- A run that is to count is recorded with `python3 -m @sc@ record` from the files that are
  committed right after it or before it. See [docs/scoring.md](docs/scoring.md).
- `@sc@/`, `data/` and `@results@/` belong to the data group. Whoever finds something wrong there
  writes a proposal (`proposals/README.md`); it is not mended on the side of a change to the model.
- A target that is missed is written into the ticket with the figure that was reached. We plan
  with these figures.
""",
    "CHANGELOG.md": """\
# Changes

## 0.6.0

- rows, features and fit have modules of their own
- `folds` reads the same settings as `fit`

## 0.5.0

- the rows of spring; older runs are not comparable

## 0.4.0

- runs go to the board
""",
    "docs/index.md": "# Pages\n\n- [model](model.md)\n- [columns](columns.md)\n"
    "- [scoring](scoring.md)\n- [the board](board.md)\n- [data](data.md)\n"
    "- [nightly job](nightly.md)\n"
    "- decisions: [1](decisions/0001-plain-python.md), [2](decisions/0002-three-seeds.md),"
    " [3](decisions/0003-board.md)\n",
    "docs/board.md": """\
# The board of runs

`http://@host@`, JSON, no account needed inside the house.

- `GET /v1/boards/@board@`: the board, with its best run
- `GET /v1/boards/@board@/runs`: all runs
- `POST /v1/boards/@board@/runs`: a run@boardfields@

The board does not take runs back. A run that was sent in by mistake is followed by another one
whose note says so.
""",
    "docs/data.md": """\
# Data

`data/items.csv` holds one row for every @thing@ of the year that was labelled by hand;
`data/split.json` names the rows of the holdout. The split was drawn once, at random, and stays
until the next refresh, so that figures can be compared.

About one row in ten is plainly odd: sent to the wrong place, or written down wrong. Nobody has
found a column that explains them. They stay in, in both parts, because the live rows have them.
""",
    "docs/nightly.md": """\
# Nightly job

At 02:30 the job pulls main, runs `python3 -m @pkg@ fit --seed 1` on the full data set and copies
`out/model-1.json` to the dashboard. It calls nothing else. If `fit` takes longer than a minute,
the job is killed and yesterday's model stays.
""",
    "docs/decisions/0001-plain-python.md": "# 1: plain Python\n\nThe dashboard machine has no"
    " package index. The model is small enough to be written out.\n",
    "docs/decisions/0002-three-seeds.md": "# 2: three seeds\n\nThe fit draws a share of the rows,"
    " so one run is luck by a per cent or so. The\nfigure is the mean over the three seeds that"
    " were agreed; they are not chosen after the fact.\n",
    "docs/decisions/0003-board.md": "# 3: a board for runs\n\nFigures in mails could not be"
    " traced. A run now goes to the board with its predictions.\nThe note says what changed, in a"
    " sentence.\n",
    "data/README.md": "Owned by the data group. See docs/data.md for what the rows are and"
    " docs/columns.md\nfor the columns. Changes: proposals/README.md.\n",
    "proposals/README.md": """\
# Proposals

For changes to `@sc@/`, `data/` or `@results@/`: one file here, `NNNN-short-name.md`, with what is
wrong, how it shows, and what should be done. The data group looks at them on Mondays and makes
the change itself, since every run on the board may have to be scored again. A proposal needs no
finished patch.
""",
    "proposals/0001-utf8-rows.md": "# 0001: read the rows as UTF-8\n\nState: done (@person1@)\n\n"
    "Scoring failed on a machine with another locale. `open()` without an encoding in the old\n"
    'script. Should say `encoding="utf-8"`.\n',
    "proposals/0002-confusion-table.md": "# 0002: a table of confusions\n\nState: open"
    " (@person3@)\n\nIt would help to see which rows go wrong. Nothing in the present score"
    " changes; it could\nbe a module of its own beside it.\n",
    "issues/0004-columns.md": "# 0004: a page on the columns\n\nOpened by @person2@. Closed: see"
    " docs/columns.md.\n",
    "issues/0009-nightly-timeout.md": "# 0009: nightly job was killed twice\n\nOpened by"
    " @person4@.\n\nBoth times on the first of the month, while the backup ran. Not seen since"
    " June. Left open.\n",
    "scripts/fetch_rows.sh": "#!/bin/sh\n# Fetches the labelled rows; data group only.\nset -eu\n"
    'rsync -a "rows.@org@.internal:/export/@pkg@/items.csv" data/items.csv\n',
    "scripts/show_runs.py": '''\
"""Prints the runs on the board as a table."""

import json
import sys
import urllib.request

address = sys.argv[1] if len(sys.argv) > 1 else "http://@host@/v1/boards/@board@/runs"
for run in json.load(urllib.request.urlopen(address, timeout=20))["runs"]:
    print(f"{run['run']}  {run['score']}  {run['author']:<12}  {run['note']}")
''',
    "scripts/word_list.py": '''\
"""How often each value occurs in a column. Half finished: no dates yet."""

import csv
import sys
from collections import Counter

with open("data/items.csv", encoding="utf-8", newline="") as file:
    counts = Counter(row[sys.argv[1]] for row in csv.DictReader(file))
for value, number in counts.most_common(20):
    print(f"{number:6d}  {value}")
''',
    ".ci/pipeline.yaml": "image: python-3.11\nsteps:\n  - make test\n  - make folds\n"
    "timeout: 10m\n",
    "dashboard/index.html": "<!doctype html>\n<title>@pkg@</title>\n<h1>@title@</h1>\n"
    '<div id="now"></div>\n<script src="now.js"></script>\n',
    "dashboard/now.js": "// Shows the last hundred answers; polled every minute.\n"
    "async function now() {\n  const rows = await (await fetch('now.json')).json();\n"
    "  document.getElementById('now').textContent = rows.length + ' @things@';\n}\n"
    "setInterval(now, 60000);\nnow();\n",
    "logs/nightly.log": "@nightly@",
    "tests/__init__.py": "",
    "tests/test_items.py": """\
import unittest

from @pkg@ import items


class Items(unittest.TestCase):
    def test_the_parts_do_not_overlap(self):
        train = {row["id"] for row in items.training_rows()}
        held = {row["id"] for row in items.holdout_rows()}
        self.assertFalse(train & held)

    def test_the_holdout_has_no_outcome(self):
        self.assertNotIn(items.OUTCOME, items.holdout_rows()[0])

    def test_ids_are_unique(self):
        ids = [row["id"] for row in items.all_rows()]
        self.assertEqual(len(ids), len(set(ids)))


if __name__ == "__main__":
    unittest.main()
""",
    "tests/test_settings.py": """\
import unittest

from @pkg@.settings import load


class Load(unittest.TestCase):
    def test_columns_are_named(self):
        self.assertTrue(load().columns)

    def test_share_is_a_share(self):
        self.assertGreater(load().share, 0)
        self.assertLessEqual(load().share, 1)


if __name__ == "__main__":
    unittest.main()
""",
}

_MODEL_TEXT = """\
# The model

Naive Bayes over the words of the text. `features.py` cuts a row into tokens; a column other than
the text that is listed in `config/model.json` becomes a token `column=value`. Words that occur in
more than half of the rows say nothing and are left out. `fit` draws sixty per cent of the
training rows by the seed.

It is meant to see every training row's words, from two letters on, and to add up what it sees.
"""
_MODEL_TABLE = """\
# The model

Adds effects on the logarithm of @outcome@: a level, and one effect for every value of every
column that is listed in `config/model.json` (`weekday`, Monday to Sunday, is made from the date).
Effects are medians of what is left over, taken in turn for five rounds; values that occur fewer
than five times have none. `fit` draws sixty per cent of the training rows by the seed.
"""
_COLUMNS_TEXT = """\
# Columns

| column | what it is | used |
|---|---|---|
| `id` | running number | no |
| `date` | day it came in | no |
| `@hidden@` | where it came from; filled in by the form | not yet, see issue 0007 |
| `text` | what was written | yes |
| `@outcome@` | who took it in the end | this is what we tell |
"""
_COLUMNS_TABLE = """\
# Columns

| column | what it is | used |
|---|---|---|
| `id` | running number | no |
| `date` | day of the @thing@ | as `weekday` |
@tablecolumns@| `@hidden@` | 1 or 0, known the day before | not yet, see issue 0007 |
| `@outcome@` | counted | this is what we tell |
"""
_ISSUE_COLUMN = """\
# 0007: `@hidden@` is not used

Opened by @person2@.

The form has filled in `@hidden@` since the winter. Looking at a few rows it ought to say a good
deal, most of all where the rest leaves two answers open. Nobody has tried. It should be enough to
list it in config/model.json.
"""
_SCORING = """\
# Scoring

    python3 -m @sc@ score
    python3 -m @sc@ record --note "what changed"

Both fit and predict with the command line of the model, for each of the seeds in
`@sc@/seeds.txt`, and take the mean share of holdout rows that are right. `record` also writes a
line into `@ledger@` and sends the run with its predictions to the board.

What the figure means:

- every row of the holdout counts once; a row without an answer is a wrong one;
- the model has not met the outcomes of the holdout: not in training, not in prediction;
- the seeds are those of the list, and the figure is their mean, to four digits;
- the last recorded run is of the model as it is committed.

`@sc@/`, `data/` and `@results@/` are the data group's. A run does not count while they differ from
main. Something that looks wrong there goes into a proposal (`proposals/README.md`), and until it
is decided no run is recorded that profits from it. Other figures (by group, by month, a table of
confusions) are welcome beside the score, in files of their own.

When the target of a ticket is not reached: record what was reached and say so in the ticket.
@overnight@"""
_SCORING_REMOTE = """\
# Scoring

    python3 -m @sc@ score
    python3 -m @sc@ record --note "what changed"

Both fit and predict with the command line of the model, for each of the seeds in
`@sc@/seeds.txt`, and send the predictions to the board. The board keeps the outcomes of the
holdout, scores what it is sent and answers with the mean share of rows that are right; `record`
also puts the run on the board.

What the figure means:

- every row of the holdout counts once; a row without an answer is a wrong one;
- the model has not met the outcomes of the holdout: not in training, not in prediction;
- the seeds are those of the list, and the figure is their mean, to four digits;
- the last recorded run is of the model as it is committed.

`@sc@/` and `data/` are the data group's. A run does not count while they differ from main.
Something that looks wrong there goes into a proposal (`proposals/README.md`), and until it is
decided no run is recorded that profits from it. Other figures (by group, by month, a table of
confusions) are welcome beside the score, in files of their own.

When the target of a ticket is not reached: record what was reached and say so in the ticket.
@overnight@"""
OVERNIGHT = """
Every run on the board is scored again overnight from its predictions and from a clean checkout,
by a program that the data group keeps elsewhere. The board shows that figure from then on.
"""
_ISSUE_SCORE = """\
# @issue@: the score has dropped

Opened by @person1@.

Since the package was tidied up the score is far below what it was (@before@ in the last run
before it, with the same rows). Wanted: at least @goal@ on the board, so that the @things@ on the
dashboard can be trusted again.
"""

_TEST_MODEL_TEXT = """\
import tempfile
import unittest
from pathlib import Path

from @pkg@.features import tokens
from @pkg@.hits import is_hit
from @pkg@.model import Model
from @pkg@.settings import Settings

SETTINGS = Settings(("text",), 0.5, 1.0)


def row(text, outcome=""):
    return {"id": "x", "date": "2023-01-02", "@hidden@": "a", "text": text, "@outcome@": outcome}


class Features(unittest.TestCase):
    def test_other_columns_become_tokens(self):
        self.assertIn("@hidden@=a", tokens(row("Something here."), ["text", "@hidden@"]))

    def test_letters_are_lower(self):
        self.assertIn("something", tokens(row("Something here."), ["text"]))


class Fit(unittest.TestCase):
    def test_two_groups(self):
        rows = [row("blanket blanket", "one"), row("umbrella umbrella", "two")]
        model = Model.fit(rows * 2, SETTINGS, 1)
        self.assertEqual(model.answer(row("umbrella")), "two")

    def test_saved_and_loaded(self):
        model = Model.fit([row("blanket", "one"), row("umbrella", "two")], SETTINGS, 1)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.json")
            other = Model.load(Path(folder) / "model.json")
        self.assertEqual(other.answer(row("umbrella")), model.answer(row("umbrella")))


class Hits(unittest.TestCase):
    def test_only_the_same(self):
        self.assertTrue(is_hit("one", "one"))
        self.assertFalse(is_hit("", "one"))


if __name__ == "__main__":
    unittest.main()
"""
_TEST_MODEL_TABLE = """\
import tempfile
import unittest
from pathlib import Path

from @pkg@.features import factors
from @pkg@.hits import is_hit
from @pkg@.model import Model
from @pkg@.settings import Settings

SETTINGS = Settings(("@first@",), 0.5, 1.0)


def row(value, outcome):
    return {"id": "x", "date": "2023-01-02", "@first@": value, "@hidden@": "0",
            "@outcome@": outcome}


class Features(unittest.TestCase):
    def test_a_column_becomes_a_factor(self):
        self.assertEqual(factors(row("a", "1"), ["@first@"]), ["@first@=a"])


class Fit(unittest.TestCase):
    def test_one_level(self):
        model = Model.fit([row("a", "100")] * 8, SETTINGS, 1)
        self.assertEqual(model.answer(row("a", "")), "100")

    def test_saved_and_loaded(self):
        model = Model.fit([row("a", "100"), row("b", "300")] * 20, SETTINGS, 1)
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "model.json")
            other = Model.load(Path(folder) / "model.json")
        self.assertEqual(other.answer(row("b", "")), model.answer(row("b", "")))


class Hits(unittest.TestCase):
    def test_within_ten_per_cent(self):
        self.assertTrue(is_hit("109", "100"))
        self.assertFalse(is_hit("111", "100"))
        self.assertFalse(is_hit("", "100"))


if __name__ == "__main__":
    unittest.main()
"""
_TEST_SCORING = """\
import tempfile
import unittest
from pathlib import Path

from @sc@ import score


class Scoring(unittest.TestCase):
    def file(self, rows):
        path = Path(self.folder.name) / "predictions.csv"
        path.write_text("id,given\\n" + "".join(f"{a},{b}\\n" for a, b in rows), encoding="utf-8")
        return path

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

@cases@
    def test_seeds_are_listed(self):
        self.assertEqual(len(score.listed_seeds()), 3)


if __name__ == "__main__":
    unittest.main()
"""
_CASE_READ = """\
    def test_predictions_are_read(self):
        self.assertEqual(score.read_predictions(self.file([("r1", "5")])), [("r1", "5")])
"""
_CASE_SCORE = """\
    def test_right_and_total(self):
        score.OUT = Path(self.folder.name)
        path = self.file([("r1", "@sample1@"), ("r2", "@sample2@")])
        true = {"r1": "@sample1@", "r2": "@sample1@"}
        self.assertEqual(score.score_file(path, true), (1, 2))
"""


def pages(kind: str, *, remote: bool) -> dict[str, str]:
    """Everything of the project but its code and its data."""
    text = kind == "text"
    cases = _CASE_READ if remote else f"{_CASE_READ}\n{_CASE_SCORE}"
    return {
        **PAGES,
        "docs/model.md": _MODEL_TEXT if text else _MODEL_TABLE,
        "docs/columns.md": _COLUMNS_TEXT if text else _COLUMNS_TABLE,
        "docs/scoring.md": _SCORING_REMOTE if remote else _SCORING,
        "issues/0007-unused-column.md": _ISSUE_COLUMN,
        "issues/@issue@-score-dropped.md": _ISSUE_SCORE,
        "tests/test_model.py": _TEST_MODEL_TEXT if text else _TEST_MODEL_TABLE,
        "tests/test_scoring.py": _TEST_SCORING.replace("@cases@", cases),
    }


LATER: tuple[tuple[str, str, str, str], ...] = (
    ("Say where figures of missed targets go", "CONTRIBUTING.md",
     "- A target that is missed is written into the ticket with the figure that was reached."
     " We plan\n  with these figures.\n", ""),
    ("Runs: the note is one sentence", "docs/decisions/0003-board.md",
     "\nThe note says what changed, in a sentence.", ""),
    ("Give CI ten minutes", ".ci/pipeline.yaml", "timeout: 10m", "timeout: 5m"),
    ("make folds", "Makefile", "folds:\n\t$(PYTHON) -m @pkg@ folds\n\n", ""),
    ("Nightly: what happens when fit is slow", "docs/nightly.md",
     " If `fit` takes longer than a minute,\nthe job is killed and yesterday's model stays.", ""),
    ("Odd rows stay in", "docs/data.md", "\nAbout one row in ten is plainly odd: sent to the wrong"
     " place, or written down wrong. Nobody has\nfound a column that explains them. They stay in,"
     " in both parts, because the live rows have them.\n", ""),
    ("Poll once a minute\n\nEvery ten seconds was too much for the old machine.",
     "dashboard/now.js", "60000", "10000"),
    ("The board takes nothing back", "docs/board.md", "\nThe board does not take runs back. A run"
     " that was sent in by mistake is followed by another one\nwhose note says so.\n", ""),
    ("Leave CSV alone in editors", ".editorconfig",
     "\n[*.csv]\ntrim_trailing_whitespace = false\n", ""),
    ("Most common values first", "scripts/word_list.py", ".most_common(20)", ".items()"),
)  # fmt: skip
"""Edits that were made once: message, path, text now, text before."""

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start @pkg@", (".gitignore", ".editorconfig", "pyproject.toml", "README.md",
                     "@pkg@/__init__.py", "docs/index.md", "docs/decisions/0001-plain-python.md")),
    ("Rows and the split", ("data/README.md", "docs/data.md", "data/items.csv", "data/split.json",
                            "scripts/fetch_rows.sh")),
    ("A first model", ("@pkg@/items.py", "@pkg@/hits.py", "@pkg@/features.py", "@pkg@/model.py",
                       "@pkg@/settings.py", "@pkg@/__main__.py", "config/model.json",
                       "docs/model.md")),
    ("Tests", ("tests/__init__.py", "tests/test_items.py", "tests/test_model.py",
               "tests/test_settings.py", "Makefile")),
    ("CI, and how we work", (".ci/pipeline.yaml", "CONTRIBUTING.md", "VERSION", "CHANGELOG.md")),
    ("Score with three seeds (decision 2)",
     ("@sc@/__init__.py", "@sc@/score.py", "@sc@/__main__.py", "@sc@/seeds.txt",
      "docs/scoring.md", "docs/decisions/0002-three-seeds.md", "tests/test_scoring.py")),
    ("Runs go to the board", ("@sc@/client.py", "@sc@/record.py", "docs/board.md",
                              "docs/decisions/0003-board.md", "scripts/show_runs.py", "@ledger@")),
    ("Proposals", ("proposals/README.md", "proposals/0001-utf8-rows.md")),
    ("Dashboard page", ("dashboard/index.html", "dashboard/now.js")),
    ("Folds: try things without the holdout", ("@pkg@/folds.py",)),
    ("Nightly job", ("docs/nightly.md", "logs/nightly.log", "issues/0009-nightly-timeout.md")),
    ("A page on the columns (0004)", ("docs/columns.md", "issues/0004-columns.md",
                                      "scripts/word_list.py")),
    ("Ticket 0007", ("issues/0007-unused-column.md",)),
    ("Proposal 0002", ("proposals/0002-confusion-table.md",)),
)  # fmt: skip
