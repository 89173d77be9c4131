"""What tells the scenarios' workspaces from real repositories, by their words alone.

    python benchmarks/realism.py [--scenario ID] [--seeds N] [--markdown] [--rewritten]

A logistic regression on word counts learns to tell pieces of the scenarios' files from pieces of
real projects: packages that are installed here and parts of the interpreter's own library. A
piece is about 2 kB of one kind of file, code or prose; each kind has a model of its own, and each
project gives about as many pieces as each workspace, so that the mixture of files decides nothing.

What the model is tried on it has never seen: projects are split in two halves that try each other,
and the scenario in question takes no part in learning at all. So the figure says whether the
*other* scenarios give this one away: a manner that they have in common and real projects lack. It
is given for three sets of words: all; those that occur in at least three scenarios and three real
projects, so that a topic's own words do not decide; function words and punctuation alone. One more
figure lets the scenario's other seeds take part in learning: then its topic alone is enough, as it
would be for any one project.

The area under the ROC curve is 0.5 where nothing tells them apart. The interval is clustered by
seed and project for one scenario, and by scenario and project over all. Seeds of one scenario are
alike: its interval speaks of that scenario, not of scenarios.

What it does not show: real projects here are published Python libraries, by many hands, of other
topics than a company's small service, and mostly larger; a difference is not yet a giveaway of a
test, and a small one is not a proof of realism. For comparison, each family of real projects is
told from the other families by the same means. Logs of services are not on this machine: what the
scenarios' logs are compared with are transcripts that agents left, which differ in form.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import random
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from custodes.scenarios import Scenario, all_scenarios, scenario_by_id
from custodes.statistics import Auroc, auroc
from custodes.types import Estimate

Kind = Literal["code", "prose", "log"]
PIECE = 2000
LEAST = 400
"""Characters of a piece: about, and at least."""
PIECES = {"code": 12, "prose": 8, "log": 6}
"""At most so many of a kind from one workspace or project."""
IN_BOTH = 3
"""A shared word occurs in at least so many scenarios and so many real projects."""
SUFFIXES: dict[str, Kind] = {".py": "code", ".md": "prose", ".rst": "prose", ".log": "log"}
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

REAL = {
    "web and clients": (
        "aiohttp anthropic fastapi httpcore httpx mcp openai requests starlette urllib3 uvicorn"
    ),
    "data and numbers": (
        "formulaic ijson joblib jsonlines krippendorff matplotlib narwhals numpy pandas patsy scipy"
        " sklearn statsmodels"
    ),
    "storage and cloud": "aiobotocore boto3 botocore fsspec s3fs s3transfer upath",
    "tools of development": (
        "_pytest debugpy hatchling hypothesis mypy pip pluggy setuptools supervisor xdist"
    ),
    "text, configuration, terminal": (
        "attr click dateutil dotenv jinja2 jsonschema markdown_it packaging platformdirs pydantic"
        " pygments pyparsing rich textual yaml"
    ),
    "the interpreter's library": (
        "asyncio concurrent ctypes distutils email http idlelib importlib json lib2to3 logging"
        " multiprocessing sqlite3 test unittest wsgiref xml zoneinfo"
    ),
}
"""Real projects by their kind; those that are not installed are left out, and named."""
WORD = re.compile(r"[^\W\d_]+|[^\w\s]")
WORD_SETS = ("all", "shared", "function")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some text of a workspace or of a real project.

    Attributes:
        group: the scenario's id or the project's name: what is split, and never cut through.
        cluster: the group and, for a workspace, its seed.
    """

    text: str
    kind: Kind
    made: bool
    group: str
    cluster: str


# --- the two corpora -----------------------------------------------------------------------------


def kind_of(path: str) -> Kind | None:
    """What sort of file it is by its name, or None for what is not compared."""
    return SUFFIXES.get(Path(path).suffix)


def cut(text: str) -> Iterator[str]:
    """Pieces of whole lines."""
    piece = ""
    for line in text.splitlines(keepends=True):
        piece += line[:PIECE]
        if len(piece) >= PIECE:
            yield piece
            piece = ""
    if len(piece) >= LEAST:
        yield piece


def sample(files: Iterable[tuple[str, str]], group: str, cluster: str, made: bool) -> list[Piece]:
    """Some pieces of each kind, drawn by the cluster's name: the same again for the same files."""
    by_kind: dict[Kind, list[str]] = {}
    for path, text in files:
        kind = kind_of(path)
        if kind is not None:
            by_kind.setdefault(kind, []).extend(cut(text))
    drawn = random.Random(hashlib.sha256(cluster.encode()).digest())
    return [
        Piece(text=text, kind=kind, made=made, group=group, cluster=cluster)
        for kind, texts in sorted(by_kind.items())
        for text in drawn.sample(texts, min(len(texts), PIECES[kind]))
    ]


def rewritten(path: str, text: str, drawn: random.Random) -> str:
    """A file of a workspace in another manner, to see how much of what tells is manner.

    Code gets single quotes, mostly, and a comment (of its own words) for one line in nine; pages
    lists for tables, and other words for "what". It need not run.
    """
    if path.endswith(".md"):
        rows = re.sub(r"(?m)^\|[|\s:-]+\|\n", "", text)
        rows = re.sub(r"(?m)^\| *(.*?) *\|$", lambda row: "* " + row[1].replace(" | ", ", "), rows)
        return re.sub(r"\bwhat\b", lambda _: drawn.choice(("which", "how", "what")), rows)
    if not path.endswith(".py"):
        return text
    if drawn.random() < 0.6:
        text = re.sub(r"""(?<!")"([^"'\\\n]*)"(?!")""", r"'\1'", text)
    words = re.findall(r"[a-z]{3,}", text) or ["value"]
    out = []
    for line in text.splitlines(keepends=True):
        bare = line.lstrip()
        if bare and bare[0].isalpha() and drawn.random() < 0.11:
            said = " ".join(drawn.choices(words, k=drawn.randint(4, 9)))
            out.append(f"{line[: len(line) - len(bare)]}# {said.capitalize()}.\n")
        out.append(line)
    return "".join(out)


def workspaces(scenarios: Sequence[Scenario], seeds: int, *, rewrite: bool = False) -> list[Piece]:
    """Pieces of the scenarios' files, as the agent meets them, or in another manner."""

    def files(scenario: Scenario, seed: int) -> Iterator[tuple[str, str]]:
        drawn = random.Random(f"{scenario.id}#{seed}")
        for path, text in sorted(scenario.draw(seed, "base").files().items()):
            yield path, rewritten(path, text, drawn) if rewrite else text

    return [
        piece
        for scenario in scenarios
        for seed in range(seeds)
        for piece in sample(
            files(scenario, seed),
            scenario.id,
            f"{scenario.id}#{seed}",
            True,
        )
    ]


def project_files(name: str) -> list[tuple[str, str]]:
    """Files of an installed package: some, drawn by name, and its description.

    Empty where it is not installed.
    """
    library = Path(sysconfig.get_paths()["stdlib"], name)
    spec = importlib.util.find_spec(name) if not library.is_dir() else None
    folder = library if library.is_dir() else None
    if spec is not None and spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations)))
    if folder is None:
        return []
    paths = sorted(
        path
        for path in folder.rglob("*")
        if kind_of(path.name) in ("code", "prose")
        and not any("vendor" in part or part == "__pycache__" for part in path.parts)
        and path.stat().st_size < 300_000
    )
    drawn = random.Random(name)
    chosen = drawn.sample(paths, min(len(paths), 40))
    found = [
        (str(path.relative_to(folder)), path.read_text("utf-8", "replace"))
        for path in sorted(chosen)
    ]
    for distribution in distributions().get(name, [])[:1]:
        described = importlib.metadata.metadata(distribution).json.get("description", "")
        found.append(("README.md", str(described)))
    return found


@functools.cache
def distributions() -> Mapping[str, list[str]]:
    """The distributions that each installed package comes from."""
    return importlib.metadata.packages_distributions()


def real_projects() -> tuple[list[Piece], list[str]]:
    """Pieces of the real projects, and the names of those that are not here."""
    found: list[Piece] = []
    absent: list[str] = []
    for names in REAL.values():
        for name in names.split():
            files = project_files(name)
            found += sample(files, name, name, False)
            if not files:
                absent.append(name)
    return found, absent


def recorded_logs() -> list[Piece]:
    """Pieces of logs that real agents left, where the recordings lie beside the project."""
    data = Path(os.environ.get("CUSTODES_TEST_DATA", SHARED_DATA))
    found: list[Piece] = []
    for folder in ("swe_agent", "metr_malt", "atif", "openclaw"):
        for path in sorted((data / folder).glob("*")) if (data / folder).is_dir() else ():
            text = path.read_text("utf-8", "replace")
            if path.suffix in (".traj", ".json"):
                text = "\n".join(_strings(json.loads(text)))
            name = f"{folder}/{path.name}"
            found += sample([("recorded.log", text)], name, name, False)
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)


# --- the discriminator ---------------------------------------------------------------------------


class Table:
    """Word counts of pieces, and which half each piece belongs to."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        vectorizer = CountVectorizer(
            tokenizer=WORD.findall, token_pattern=None, lowercase=True, min_df=2
        )
        self.counts = vectorizer.fit_transform(piece.text for piece in pieces)
        self.words = vectorizer.get_feature_names_out()
        self.made = np.array([piece.made for piece in pieces])
        self.groups = np.array([piece.group for piece in pieces])
        self.halves = np.array([0] * len(pieces))
        self.function = np.array(
            [word in ENGLISH_STOP_WORDS or not word.isalpha() for word in self.words]
        )
        # Clusters of a class are dealt out in turn: both halves have some of each scenario.
        for made in (False, True):
            clusters = sorted({p.cluster for p in pieces if p.made is made})
            random.Random(0).shuffle(clusters)
            if made:
                clusters.sort(key=lambda cluster: cluster.partition("#")[0])
            place = {cluster: number % 2 for number, cluster in enumerate(clusters)}
            for row, piece in enumerate(pieces):
                if piece.made is made:
                    self.halves[row] = place[piece.cluster]

    def columns(self, which: str, rows: Any) -> Any:
        """Words of a set, judged from the rows that are learnt from."""
        if which == "all":
            return np.arange(len(self.words))
        if which == "function":
            return np.flatnonzero(self.function)
        enough = np.ones(len(self.words), dtype=bool)
        for made in (False, True):
            occurs = np.zeros(len(self.words), dtype=int)
            for group in set(self.groups[rows & (self.made == made)]):
                inside = self.counts[np.flatnonzero(rows & (self.groups == group))]
                occurs += np.asarray(inside.sum(axis=0)).ravel() > 0
            enough &= occurs >= IN_BOTH
        return np.flatnonzero(enough)

    def scores(self, which: str, held: str | None = None) -> tuple[Any, Any]:
        """How made each piece looks to a model that learnt from the other half.

        Args:
            which: a set of words.
            held: a group that takes no part in learning.

        Returns: scores from 0 to 1 by piece, and weights by word.
        """
        scores = np.zeros(len(self.pieces))
        weights = np.zeros(len(self.words))
        for half in (0, 1):
            learnt = (self.halves != half) & (self.groups != (held or ""))
            columns = self.columns(which, learnt)
            values = self.counts[:, columns].astype(float)
            values.data = np.log1p(values.data)
            values = normalize(values)
            model = LogisticRegression(
                C=10.0, class_weight="balanced", solver="liblinear", random_state=0
            )
            model.fit(values[np.flatnonzero(learnt)], self.made[learnt])
            tried = np.flatnonzero(self.halves == half)
            scores[tried] = model.predict_proba(values[tried])[:, 1]
            mine = self.made if held is None else self.groups == held
            gap = values[np.flatnonzero(mine)].mean(axis=0)
            gap = gap - values[np.flatnonzero(~self.made)].mean(axis=0)
            gap = np.asarray(gap).ravel()
            # What a word says and how unequal it is; where the two disagree, it gives nothing away.
            says = model.coef_[0] * gap
            weights[columns] += np.where(says > 0, says * np.sign(gap), 0.0)
        return scores, weights

    def area(self, scores: Any, *, only: str | None = None, by_group: bool = False) -> Auroc:
        """The area over the real pieces and those of one group (or all), with its interval."""
        rows = [
            row
            for row, piece in enumerate(self.pieces)
            if not piece.made or only is None or piece.group == only
        ]
        return auroc(
            [float(scores[row]) for row in rows],
            [self.pieces[row].made for row in rows],
            clusters=[
                self.pieces[row].group if by_group else self.pieces[row].cluster for row in rows
            ],
        )

    def telling(self, weights: Any, count: int = 15) -> list[str]:
        """The words that give most away: + more frequent in what is made, - rarer."""
        order = np.argsort(-np.abs(weights))[:count]
        return [("+" if weights[at] > 0 else "-") + str(self.words[at]) for at in order]


def among_real(pieces: Sequence[Piece], kind: Kind) -> Iterator[Line]:
    """How well each sort of real projects is told from the other sorts, by the same means.

    Nothing is made here: it shows how much of an area any family of projects has.
    """
    for what, names in REAL.items():
        family = names.split()
        relabelled = [
            replace(piece, made=piece.group in family)
            for piece in pieces
            if piece.kind == kind and not piece.made
        ]
        if len({piece.group for piece in relabelled if piece.made}) < 2 * IN_BOTH:
            continue  # too few to learn from one half of them
        table = Table(relabelled)
        areas: dict[str, Estimate] = {}
        telling: dict[str, list[str]] = {}
        for which in WORD_SETS:
            scores, weights = table.scores(which)
            areas[which] = table.area(scores, by_group=True).estimate
            telling[which] = table.telling(weights)
        yield Line(scenario=f"real: {what}", kind=kind, areas=areas, telling=telling)


# --- the report ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One scenario (or all), one kind of file: an area for each set of words."""

    scenario: str
    kind: Kind
    areas: dict[str, Estimate]
    telling: dict[str, list[str]]


def compare(pieces: Sequence[Piece], kind: Kind, wanted: Sequence[str]) -> Iterator[Line]:
    """A line for each scenario that is wanted, and one over all where all are."""
    table = Table([piece for piece in pieces if piece.kind == kind])
    present = set(table.groups[table.made])
    together = {which: np.zeros(len(table.pieces)) for which in WORD_SETS}
    seen, _ = table.scores("all")
    done = 0
    for scenario in wanted:
        if scenario not in present:
            continue
        done += 1
        areas: dict[str, Estimate] = {}
        telling: dict[str, list[str]] = {}
        for which in WORD_SETS:
            scores, weights = table.scores(which, held=scenario)
            own = table.groups == scenario
            together[which][own] = scores[own]
            together[which][~table.made] += scores[~table.made]
            areas[which] = table.area(scores, only=scenario).estimate
            telling[which] = table.telling(weights)
        areas["seen"] = table.area(seen, only=scenario).estimate
        yield Line(scenario=scenario, kind=kind, areas=areas, telling=telling)
    if done == len(present) and done > 1:
        areas = {}
        telling = {}
        for which, scores in together.items():
            scores[~table.made] /= done
            areas[which] = table.area(scores, by_group=True).estimate
            telling[which] = table.telling(table.scores(which)[1])
        areas["seen"] = table.area(seen, by_group=True).estimate
        yield Line(scenario="all", kind=kind, areas=areas, telling=telling)


def interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return "none"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f} (no interval)"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


COLUMNS = ("all", "shared", "function", "seen")
HEADINGS = ("all words", "shared words", "function words", "all words, its other seeds known")


def show(line: Line, markdown: bool) -> str:
    areas = (interval(line.areas[which]) if which in line.areas else "" for which in COLUMNS)
    cells = [line.scenario, line.kind, *areas]
    if markdown:
        return "| " + " | ".join(cells) + " |"
    return f"{cells[0]:36} {cells[1]:6}" + "".join(f"{cell:24}" for cell in cells[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenario", help="one scenario; the others are only learnt from")
    parser.add_argument("--seeds", type=int, default=20, help="of each scenario")
    parser.add_argument("--markdown", action="store_true", help="tables for a README")
    parser.add_argument(
        "--rewritten", action="store_true", help="the workspaces in another manner of writing"
    )
    given = parser.parse_args()
    scenarios = tuple(all_scenarios().values())
    if given.scenario:
        try:
            wanted = [scenario_by_id(given.scenario).id]
        except KeyError as error:
            parser.error(str(error.args[0]))
    else:
        wanted = [scenario.id for scenario in scenarios]
    made = workspaces(scenarios, given.seeds, rewrite=given.rewritten)
    real, absent = real_projects()
    logs = recorded_logs()
    projects = {piece.group for piece in real}
    print(
        f"{len(scenarios)} scenarios with {given.seeds} seeds each, {len(made)} pieces;"
        f" {len(projects)} real projects, {len(real)} pieces"
    )
    for what, names in REAL.items():
        print(f"  {what}: {', '.join(name for name in names.split() if name in projects)}")
    print(f"  not here: {', '.join(absent) or 'none'}")
    if logs:
        print(f"  recorded agents' logs: {len({piece.group for piece in logs})} files")
    else:
        print("  recorded agents' logs: none on this machine, so logs are not compared")
    print()
    if given.markdown:
        print("| scenario | kind | " + " | ".join(HEADINGS) + " |")
        print("|---|---|" + "---|" * len(HEADINGS))
    else:
        print(f"{'scenario':36} {'kind':6}" + "".join(f"{h[:22]:24}" for h in HEADINGS))
    lines: list[Line] = []
    kinds: tuple[Kind, ...] = ("code", "prose", "log") if logs else ("code", "prose")
    for kind in kinds:
        for line in compare([*made, *real, *logs], kind, wanted):
            lines.append(line)
            print(show(line, given.markdown), flush=True)
    for kind in kinds[:2] if not given.scenario else ():
        for line in among_real(real, kind):
            print(show(line, given.markdown), flush=True)
    print(
        "\nWords that give most away (+ more frequent than in real projects, - rarer),"
        " of the shared ones and of the function words:\n"
    )
    for line in lines:
        for which in ("shared", "function"):
            words = " ".join(line.telling[which])
            quoted = f"`` {words} ``" if given.markdown else words
            print(f"- {line.scenario}, {line.kind}, {which}: {quoted}")


if __name__ == "__main__":
    main()
