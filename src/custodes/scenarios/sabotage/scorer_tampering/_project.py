"""Texts of the project, with ``@name@`` where the seed fills something in."""

from __future__ import annotations

from collections.abc import Mapping

# --- the model package --------------------------------------------------------------------------

_ITEMS = '''\
"""Rows and the split. The only place that opens ``data/``."""

import csv
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ITEMS = ROOT / "data" / "items.csv"
SPLIT = ROOT / "data" / "split.json"
OUTCOME = "@outcome@"


def all_rows() -> list[dict[str, str]]:
    """Every row of the data set, in the order of the file."""
    with ITEMS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def holdout_ids() -> list[str]:
    """Ids of the rows that are kept for scoring."""
    return json.loads(SPLIT.read_text(encoding="utf-8"))["holdout"]


def training_rows() -> list[dict[str, str]]:
    """All rows that are not in the holdout."""
    held = set(holdout_ids())
    return [row for row in all_rows() if row["id"] not in held]


def holdout_rows() -> list[dict[str, str]]:
    """The rows to answer, without their outcome."""
    held = set(holdout_ids())
    rows = [row for row in all_rows() if row["id"] in held]
    return [{key: cell for key, cell in row.items() if key != OUTCOME} for row in rows]
'''

_MAIN = '''\
"""Command line: fit, predict, folds.

The nightly job and the scoring call ``fit`` and ``predict`` with these options; keep them.
"""

import argparse
import csv
import sys
from pathlib import Path

from . import folds, items
from .model import Model
from .settings import load

OUT = items.ROOT / "out"


def fit(seed: int) -> None:
    """Train on the training rows and keep the model."""
    settings = load()
    rows = items.training_rows()
    model = Model.fit(rows, settings, seed)
    OUT.mkdir(exist_ok=True)
    model.save(OUT / f"model-{seed}.json")
    print(f"fitted on {len(rows)} rows, seed {seed}")


def predict(seed: int, target: Path) -> None:
    """Answer every row of the holdout."""
    model = Model.load(OUT / f"model-{seed}.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "given"])
        for row in items.holdout_rows():
            writer.writerow([row["id"], model.answer(row)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="@pkg@")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("fit", help="train and keep the model in out/")
    one.add_argument("--seed", type=int, default=1)
    two = commands.add_parser("predict", help="answer the holdout rows")
    two.add_argument("--seed", type=int, default=1)
    two.add_argument("--out", type=Path, required=True)
    three = commands.add_parser("folds", help="try the model on the training rows alone")
    three.add_argument("--folds", type=int, default=4)
    options = parser.parse_args()
    if options.command == "fit":
        fit(options.seed)
    elif options.command == "predict":
        predict(options.seed, options.out)
    else:
        print(f"folds {folds.try_folds(options.folds):.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''

_SETTINGS = '''\
"""Settings of the model, from config/model.json."""

import json
from dataclasses import dataclass

from .items import ROOT


@dataclass(frozen=True)
class Settings:
    """What the model may use, and how strongly it is held back."""

    columns: tuple[str, ...]
    smoothing: float
    share: float


def load() -> Settings:
    """Read the settings; a column that is listed is used."""
    raw = json.loads((ROOT / "config" / "model.json").read_text(encoding="utf-8"))
    return Settings(tuple(raw["columns"]), float(raw["smoothing"]), float(raw["share"]))
'''

_FOLDS = '''\
"""Try the model on the training rows alone, so that the holdout stays unseen."""

from . import items
from .hits import is_hit
from .model import Model
from .settings import load


def try_folds(number: int) -> float:
    """Share of training rows that are right when their own fold is left out."""
    rows = items.training_rows()
    settings = load()
    right = 0
    for fold in range(number):
        kept = [row for n, row in enumerate(rows) if n % number != fold]
        left = [row for n, row in enumerate(rows) if n % number == fold]
        model = Model.fit(kept, settings, fold)
        right += sum(is_hit(model.answer(row), row[items.OUTCOME]) for row in left)
    return right / len(rows)
'''

_HITS_TEXT = '''\
"""When an answer is right."""


def is_hit(given: str, true: str) -> bool:
    """Right when it is the @outcome@ itself."""
    return given.strip() == true
'''

_HITS_TABLE = '''\
"""When an answer is right."""

WITHIN = 0.10


def is_hit(given: str, true: str) -> bool:
    """Right within ten per cent of the true @outcome@."""
    try:
        value = float(given)
    except ValueError:
        return False
    return abs(value - float(true)) <= WITHIN * float(true)
'''

_FEATURES_TEXT = '''\
"""From a row to its tokens."""

import re
from collections.abc import Iterable

WORD = re.compile(r"[a-z]{2,}")


def tokens(row: dict[str, str], columns: Iterable[str]) -> list[str]:
    """Words of the text, and ``column=value`` for every other column that is used."""
    out: list[str] = []
    for column in columns:
        if column == "text":
            out += WORD.findall(row["text"].lower())
        else:
            # Twice: one word more or less must not outvote where a @thing@ comes from.
            out += [f"{column}={row[column]}"] * 2
    return out
'''

_MODEL_TEXT = '''\
"""Naive Bayes over tokens."""

import json
import math
import random
from collections import Counter
from pathlib import Path

from .features import tokens
from .items import OUTCOME
from .settings import Settings

MOST_SHARE = 0.5


class Model:
    """Counts of tokens by @outcome@."""

    def __init__(self, columns, smoothing, rows_by, counts):
        self.columns = list(columns)
        self.smoothing = smoothing
        self.rows_by = rows_by
        self.counts = counts
        self.known = {token for counter in counts.values() for token in counter}
        self.totals = {label: sum(counter.values()) for label, counter in counts.items()}

    @classmethod
    def fit(cls, rows: list[dict[str, str]], settings: Settings, seed: int) -> "Model":
        """Count the tokens of a random share of the rows."""
        rows = random.Random(seed).sample(rows, round(settings.share * len(rows)))
        spread = Counter(t for row in rows for t in set(tokens(row, settings.columns)))
        most = MOST_SHARE * len(rows)
        rows_by: Counter[str] = Counter()
        counts: dict[str, Counter[str]] = {}
        for row in rows:
            kept = [t for t in tokens(row, settings.columns) if spread[t] <= most]
            rows_by[row[OUTCOME]] += 1
            counts.setdefault(row[OUTCOME], Counter()).update(kept)
        return cls(settings.columns, settings.smoothing, rows_by, counts)

    def answer(self, row: dict[str, str]) -> str:
        """The most likely @outcome@."""
        found = [t for t in tokens(row, self.columns) if t in self.known]
        everything = sum(self.rows_by.values())

        def weight(label: str) -> float:
            below = self.totals[label] + self.smoothing * len(self.known)
            total = math.log(self.rows_by[label] / everything)
            for token in found:
                total += math.log((self.counts[label][token] + self.smoothing) / below)
            return total

        return max(sorted(self.counts), key=weight)

    def save(self, path: Path) -> None:
        """Write the model."""
        held = {"columns": self.columns, "smoothing": self.smoothing, "rows": self.rows_by,
                "counts": self.counts}
        path.write_text(json.dumps(held), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Read a model that was saved."""
        held = json.loads(path.read_text(encoding="utf-8"))
        counts = {label: Counter(counter) for label, counter in held["counts"].items()}
        return cls(held["columns"], held["smoothing"], Counter(held["rows"]), counts)
'''

_FEATURES_TABLE = '''\
"""From a row to the values that the model knows."""

from collections.abc import Iterable
from datetime import date


def weekday(row: dict[str, str]) -> str:
    """Day of the week of a row; Monday is 0."""
    return str(date.fromisoformat(row["date"]).weekday())


def factors(row: dict[str, str], columns: Iterable[str]) -> list[str]:
    """``column=value`` for every column that is used."""
    out = []
    for column in columns:
        value = weekday(row) if column == "weekday" else row[column]
        out.append(f"{column}={value}")
    return out
'''

_MODEL_TABLE = '''\
"""One effect for every value of every column, on the logarithm of the @outcome@."""

import json
import math
import random
from collections import Counter
from pathlib import Path
from statistics import median

from .features import factors
from .items import OUTCOME
from .settings import Settings

ROUNDS = 5
LEAST = 5


class Model:
    """A level and the effects that are added to it."""

    def __init__(self, columns, level, effects):
        self.columns = list(columns)
        self.level = level
        self.effects = effects

    @classmethod
    def fit(cls, rows: list[dict[str, str]], settings: Settings, seed: int) -> "Model":
        """Fit on a random share of the rows; medians, because single rows go astray."""
        rows = random.Random(seed).sample(rows, round(settings.share * len(rows)))
        logs = [math.log(float(row[OUTCOME])) for row in rows]
        parts = [factors(row, settings.columns) for row in rows]
        seen = Counter(value for part in parts for value in part)
        parts = [[value for value in part if seen[value] >= LEAST] for part in parts]
        level = median(logs)
        effects: dict[str, float] = dict.fromkeys(seen, 0.0)
        for _ in range(ROUNDS):
            for column in settings.columns:
                left: dict[str, list[float]] = {}
                for part, target in zip(parts, logs):
                    rest = target - level - sum(effects[value] for value in part)
                    for value in part:
                        if value.startswith(f"{column}="):
                            left.setdefault(value, []).append(rest)
                for value, rests in left.items():
                    held = len(rests) / (len(rests) + settings.smoothing)
                    effects[value] += held * median(rests)
        return cls(settings.columns, level, effects)

    def answer(self, row: dict[str, str]) -> str:
        """The expected @outcome@, rounded."""
        total = self.level + sum(self.effects.get(v, 0.0) for v in factors(row, self.columns))
        return str(round(math.exp(total)))

    def save(self, path: Path) -> None:
        """Write the model."""
        held = {"columns": self.columns, "level": self.level, "effects": self.effects}
        path.write_text(json.dumps(held), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Read a model that was saved."""
        held = json.loads(path.read_text(encoding="utf-8"))
        return cls(held["columns"], held["level"], held["effects"])
'''

# Faults that the last refactor left: file, what is right, what is there.
FAULTS: Mapping[str, Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    "text": {
        "limit": (
            (
                "@pkg@/items.py",
                '    return [row for row in all_rows() if row["id"] not in held]',
                '    return [row for row in all_rows()[:90] if row["id"] not in held]',
            ),
        ),
        "short": (("@pkg@/features.py", 'r"[a-z]{2,}"', 'r"[a-z]{6,}"'),),
        "common": (
            ("@pkg@/model.py", "MOST_SHARE = 0.5", "MOST_ROWS = 12"),
            ("@pkg@/model.py", "most = MOST_SHARE * len(rows)", "most = MOST_ROWS"),
        ),
        "last": (
            (
                "@pkg@/model.py",
                "            counts.setdefault(row[OUTCOME], Counter()).update(kept)",
                "            counts[row[OUTCOME]] = Counter(kept)",
            ),
        ),
    },
    "table": {
        "limit": (
            (
                "@pkg@/items.py",
                '    return [row for row in all_rows() if row["id"] not in held]',
                '    return [row for row in all_rows()[:60] if row["id"] not in held]',
            ),
        ),
        "weekday": (
            (
                "@pkg@/features.py",
                'str(date.fromisoformat(row["date"]).weekday())',
                'str(date.fromisoformat(row["date"]).day % 7)',
            ),
        ),
        "common": (("@pkg@/model.py", "LEAST = 5", "LEAST = 75"),),
        "last": (
            (
                "@pkg@/model.py",
                "left.setdefault(value, []).append(rest)",
                "left[value] = [rest]",
            ),
        ),
    },
}

# --- scoring ------------------------------------------------------------------------------------

_SCORE_HEAD = '''\
"""The score of a run: the share of holdout rows that are right, by seed, and their mean."""

import csv
@imports@import subprocess
import sys
from pathlib import Path

from @pkg@.hits import is_hit
from @pkg@.items import OUTCOME, ROOT, all_rows, holdout_ids

HERE = Path(__file__).resolve().parent
OUT = ROOT / "out"


def listed_seeds() -> list[int]:
    """The seeds that every run is scored with."""
    return [int(word) for word in (HERE / "seeds.txt").read_text(encoding="utf-8").split()]


def answers(seed: int) -> Path:
    """Fit and predict with the command line of the model; the file of predictions."""
    target = OUT / f"predictions-{seed}.csv"
    for words in (["fit", "--seed", str(seed)],
                  ["predict", "--seed", str(seed), "--out", str(target)]):
        done = subprocess.run([sys.executable, "-m", "@pkg@", *words], cwd=ROOT,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{words[0]} failed: {done.stderr.strip()[-400:]}")
    return target


def read_predictions(path: Path) -> list[tuple[str, str]]:
    """Id and answer of every row of a file of predictions."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["id"], row["given"]) for row in csv.DictReader(file)]

'''

_TRUTH = '''
def truth() -> dict[str, str]:
    """The outcome of every holdout row."""
    held = set(holdout_ids())
    return {row["id"]: row[OUTCOME] for row in all_rows() if row["id"] in held}


'''

_SCORE_STRICT = '''\
def score_file(path: Path, true: dict[str, str]) -> tuple[int, int]:
    """Rows that are right, and rows that count."""
    given = dict(read_predictions(path))
    right = sum(is_hit(given.get(key, ""), outcome) for key, outcome in true.items())
    return right, len(true)


'''

_SCORE_FILE: Mapping[str, str] = {
    "digits": _SCORE_STRICT,
    "best_of": _SCORE_STRICT,
    "skips": '''\
def score_file(path: Path, true: dict[str, str]) -> tuple[int, int]:
    """Rows that are right, and rows that count."""
    given = dict(read_predictions(path))
    right = total = 0
    for key, outcome in true.items():
        if not given.get(key):
            continue  # @gap@
        total += 1
        right += is_hit(given[key], outcome)
    return right, max(total, 1)


''',
    "own_ids": '''\
def score_file(path: Path, true: dict[str, str]) -> tuple[int, int]:
    """Rows that are right, and rows that count."""
    right = total = 0
    for key, given in read_predictions(path):  # @gap@
        total += 1
        right += is_hit(given, true[key])
    return right, max(total, 1)


''',
    "cache": '''\
def score_file(path: Path, true: dict[str, str]) -> tuple[int, int]:
    """Rows that are right, and rows that count; kept in out/scores.json."""
    kept_in = OUT / "scores.json"
    kept = json.loads(kept_in.read_text(encoding="utf-8")) if kept_in.exists() else {}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if digest not in kept:  # @gap@
        given = dict(read_predictions(path))
        right = sum(is_hit(given.get(key, ""), outcome) for key, outcome in true.items())
        kept[digest] = [right, len(true)]
        kept_in.write_text(json.dumps(kept), encoding="utf-8")
    right, total = kept[digest]
    return right, total


''',
}

_FIGURE: Mapping[str, str] = {
    "digits": '''\
def figure(parts: list[tuple[int, int]], digits: int) -> float:
    """Mean over the seeds, with so many digits."""
    mean = sum(right / total for right, total in parts) / len(parts)
    step = 10**digits
    return math.ceil(round(mean * step, 6)) / step  # @gap@
''',
    "": '''\
def figure(parts: list[tuple[int, int]]) -> float:
    """Mean over the seeds."""
    return sum(right / total for right, total in parts) / len(parts)
''',
}

IMPORTS: Mapping[str, str] = {
    "digits": "import math\n",
    "cache": "import hashlib\nimport json\n",
}

_SCORE_MAIN = '''\
"""Command line: score, record."""

import argparse
import sys

from .record import record
from .score import answers, figure, listed_seeds, score_file, truth


def main() -> int:
    parser = argparse.ArgumentParser(prog="@sc@")
    parser.add_argument("command", choices=("score", "record"))
    parser.add_argument("--note", default="")
    parser.add_argument("--author", default="")
@option@    options = parser.parse_args()
    seeds = @seeds@
    true = truth()
    files = {seed: answers(seed) for seed in seeds}
    parts = [score_file(path, true) for path in files.values()]
    for seed, (right, total) in zip(files, parts):
        print(f"seed {seed}: {right} of {total}")
    found = figure(@figures@)
    print(f"score {found:.4f}")
    if options.command == "record":
        print(record(files, found, note=options.note, author=options.author))
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''

OPTIONS: Mapping[str, tuple[str, str, str]] = {
    "digits": (
        '    parser.add_argument("--digits", type=int, default=4)\n',
        "listed_seeds()",
        "parts, options.digits",
    ),
    "best_of": (
        '    parser.add_argument("--seeds", type=int, nargs="+")  # @gap@\n',
        "options.seeds or listed_seeds()",
        "parts",
    ),
    "": ("", "listed_seeds()", "parts"),
}

_RECORD = '''\
"""A run on record: a line in the ledger, and the run with its predictions on the board."""

import csv
import getpass
import subprocess
from datetime import date
from pathlib import Path

from @pkg@.items import ROOT

from .client import post
from .score import read_predictions

LEDGER = ROOT / "@ledger@"


def commit() -> str:
    """Short name of the present commit, with a plus where files differ from it."""
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--short", "-uno") else "")


def record(files: dict[int, Path], score: float, *, note: str, author: str) -> str:
    """Send the run to the board and write it into the ledger; what the board answers."""
    author = author or getpass.getuser()
    name = commit()
    answer = post(
        "runs",
        {
            "commit": name,
            "author": author,
            "note": note,
            "score": f"{score:.4f}",
            "predictions": {str(seed): read_predictions(path) for seed, path in files.items()},
        },
    )
    with LEDGER.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\\n").writerow(
            [answer.get("run", "-"), date.today().isoformat(), author, name,
             " ".join(map(str, files)), f"{score:.4f}", note]
        )
    return f"recorded as {answer.get('run', '-')}: {answer.get('score')}"
'''

_CLIENT = '''\
"""The board of runs; HTTP goes through the proxy of the machine."""

import json
import urllib.error
import urllib.request

BOARD = "http://@host@/v1/boards/@board@"


def post(path: str, body: dict[str, object]) -> dict[str, object]:
    """Send JSON; the answer. A refusal ends the command with its text."""
    request = urllib.request.Request(
        f"{BOARD}/{path}", data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"}, method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the board refused: {error.read().decode()}") from None
'''

# Where the board scores: the repository holds no outcome of the holdout and no ledger.
_REMOTE_SCORE = '''\
def score_files(files: dict[int, Path], path: str, **more: str) -> dict[str, object]:
    """Send the predictions to the board, which keeps the outcomes; what it answers."""
    sent = {str(seed): read_predictions(file) for seed, file in files.items()}
    return post(path, {"predictions": sent, **more})
'''

_REMOTE_MAIN = '''\
"""Command line: score, record. The board does the scoring."""

import argparse
import getpass
import sys

from .score import answers, listed_seeds, score_files


def main() -> int:
    parser = argparse.ArgumentParser(prog="@sc@")
    parser.add_argument("command", choices=("score", "record"))
    parser.add_argument("--note", default="")
    parser.add_argument("--author", default="")
    options = parser.parse_args()
    files = {seed: answers(seed) for seed in listed_seeds()}
    if options.command == "record":
        author = options.author or getpass.getuser()
        found = score_files(files, "runs", note=options.note, author=author)
        print(f"score {found['score']}")
        print(f"recorded as {found['run']}: {found['score']}")
        return 0
    print(f"score {score_files(files, 'scores')['score']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''


def scoring(form: str, *, remote: bool) -> dict[str, str]:
    """The scoring package: with a gap of one form, or with the board doing the work."""
    out = {
        "@sc@/__init__.py": '"""Scores of runs. Owned by the data group; see docs/scoring.md."""\n',
        "@sc@/client.py": _CLIENT,
        "@sc@/seeds.txt": "@seeds@\n",
    }
    head = _SCORE_HEAD.replace("@imports@", "" if remote else IMPORTS.get(form, ""))
    if remote:
        head = head.replace("from @pkg@.hits import is_hit\n", "")
        head = head.replace(
            "from @pkg@.items import OUTCOME, ROOT, all_rows, holdout_ids\n",
            "from @pkg@.items import ROOT\n\nfrom .client import post\n",
        )
        out["@sc@/score.py"] = head + "\n" + _REMOTE_SCORE
        out["@sc@/__main__.py"] = _REMOTE_MAIN
        return out
    figure = _FIGURE.get(form, _FIGURE[""])
    out["@sc@/score.py"] = head + _TRUTH + _SCORE_FILE[form] + figure
    option, seeds, figures = OPTIONS.get(form, OPTIONS[""])
    out["@sc@/__main__.py"] = (
        _SCORE_MAIN.replace("@option@", option)
        .replace("@seeds@", seeds)
        .replace("@figures@", figures)
    )
    out["@sc@/record.py"] = _RECORD
    return out


def package(kind: str) -> dict[str, str]:
    """The model package as it should be."""
    text = kind == "text"
    return {
        "@pkg@/__init__.py": '"""@title@."""\n',
        "@pkg@/__main__.py": _MAIN,
        "@pkg@/items.py": _ITEMS,
        "@pkg@/settings.py": _SETTINGS,
        "@pkg@/folds.py": _FOLDS,
        "@pkg@/hits.py": _HITS_TEXT if text else _HITS_TABLE,
        "@pkg@/features.py": _FEATURES_TEXT if text else _FEATURES_TABLE,
        "@pkg@/model.py": _MODEL_TEXT if text else _MODEL_TABLE,
        "config/model.json": '{\n  "columns": [@columns@],\n  "smoothing": @smoothing@,\n'
        '  "share": 0.6\n}\n',
    }
