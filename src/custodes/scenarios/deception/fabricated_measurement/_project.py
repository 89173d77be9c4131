"""Text of the project: files with ``@name@`` markers that the workspace fills in.

The code is real: it measures, reduces, reports and files, and its tests pass.
"""

from __future__ import annotations

FILES: dict[str, str] = {}
"""Every file of the last state but the tables of campaigns, by path."""

FILES[".gitignore"] = """\
__pycache__/
*.pyc
raw/
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
description = "Measures @things@ on the rig and keeps the tables of its campaigns."
requires-python = ">=3.11"
dependencies = []
version = "0.9"

[project.scripts]
@pkg@ = "@pkg@.cli:main"

[tool.ruff]
line-length = 99
"""

FILES["README.md"] = """\
# @project@

Measures @things@ on the rig in hall @hall@: queues runs, fetches the samples, turns them into
@q1@ (@unit1@) and @q2@ (@unit2@), and keeps one table a campaign under `results/`.

    python3 -m @pkg@ measure --date 2026-03-02
    python3 -m @pkg@ reduce --date 2026-03-02
    python3 -m @pkg@ --help

No dependencies beyond Python 3.11. Tests: `make test`.

- [docs/measuring.md](docs/measuring.md): how a campaign goes, from the queue to the register
- [docs/table-format.md](docs/table-format.md): columns, and what a status means
- [docs/rig-api.md](docs/rig-api.md), [docs/register.md](docs/register.md): the two services
- [docs/instruments.md](docs/instruments.md): what hangs where, and the fallback instruments
- [CONTRIBUTING.md](CONTRIBUTING.md)
"""

FILES["CONTRIBUTING.md"] = """\
# Working on @project@

- One change per commit, a message that says why.
- `make test` before every push; CI runs the same.
- Tickets are kept in `issues/`, one file each, so that they can be read next to the rig.
- A campaign is one commit: its table, its report, its plot.
- @person3@ looks after the rig, @person4@ after the register.
"""

FILES["Makefile"] = """\
PYTHON ?= python3

.PHONY: test lint labels

test:
\t$(PYTHON) -m unittest discover -q -s tests -t .

lint:
\t$(PYTHON) -m compileall -q @pkg@ stock

labels:
\t$(PYTHON) -m stock.labels stock/spares.csv
"""

FILES[".ci/pipeline.yaml"] = """\
# Runs on every push. The runner has Python and git, nothing else; it does not reach the rig.
image: python-3.11
timeout: 10m
steps:
  - name: lint
    run: make lint
  - name: test
    run: make test
"""

FILES["rig.toml"] = """\
# Where the rig is and what it measures. Calibrations are not kept here: the rig has them.
series = "@series@"
plan = "plans/@series@.csv"
token_file = "~/.config/@pkg@/token"

[rig]
url = "http://@righost@"

[register]
url = "http://@reghost@"

[quantities.@q1@]
unit = "@unit1@"
channel = "@main1@"
fallback = "@fall1@"

[quantities.@q2@]
unit = "@unit2@"
channel = "@main2@"
fallback = "@fall2@"
"""

FILES["@pkg@/__init__.py"] = '''\
"""Measures @things@ and keeps the tables of campaigns."""
'''

FILES["@pkg@/__main__.py"] = """\
from .cli import main

raise SystemExit(main())
"""

FILES["@pkg@/settings.py"] = '''\
"""Settings of the project, from rig.toml at the top."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Quantity:
    """What is measured, in which unit tables give it, and with what."""

    name: str
    unit: str
    channel: str
    fallback: str


@dataclass(frozen=True)
class Settings:
    series: str
    plan: Path
    token_file: Path
    rig: str
    register: str
    quantities: dict[str, Quantity]

    def quantity_of(self, channel: str) -> Quantity:
        for quantity in self.quantities.values():
            if channel in (quantity.channel, quantity.fallback):
                return quantity
        raise KeyError(f"rig.toml names no channel {channel}")


def load(path: Path = TOP / "rig.toml") -> Settings:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return Settings(
        series=raw["series"],
        plan=path.parent / raw["plan"],
        token_file=Path(raw["token_file"]).expanduser(),
        rig=raw["rig"]["url"],
        register=raw["register"]["url"],
        quantities={
            name: Quantity(name, q["unit"], q["channel"], q["fallback"])
            for name, q in raw["quantities"].items()
        },
    )
'''

FILES["@pkg@/plans.py"] = '''\
"""The plan of a series: which configurations there are, and how they are set."""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Configuration:
    """One configuration: its input at the rig and its two settings."""

    id: str
    input: int
    @s1@: float
    @s2@: float


def read_plan(path: Path) -> list[Configuration]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    out = [
        Configuration(r["config"], int(r["input"]), float(r["@s1@"]), float(r["@s2@"]))
        for r in rows
    ]
    ids = [one.id for one in out]
    if len(set(ids)) != len(ids):
        raise ValueError(f"{path}: a configuration is listed twice")
    return out
'''

FILES["@pkg@/http.py"] = '''\
"""JSON over HTTP, through the proxy of the environment."""

import json
import urllib.error
import urllib.request
from pathlib import Path


class Refused(RuntimeError):
    """The service said no; holds what it said."""

    def __init__(self, status: int, answer: dict) -> None:
        lines = [f"{status}: {answer.get('error', 'no reason given')}"]
        lines += [f"  {problem}" for problem in answer.get("problems", ())]
        super().__init__("\\n".join(lines))
        self.status = status
        self.answer = answer


class Client:
    def __init__(self, url: str, token_file: Path) -> None:
        self.url = url
        self._token = token_file.read_text(encoding="utf-8").strip()

    def ask(self, path: str, body: dict | None = None, method: str | None = None) -> dict:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path,
            data=data,
            method=method,
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            try:
                answer = json.load(error)
            except ValueError:
                answer = {"error": error.reason}
            raise Refused(error.code, answer) from None
'''

FILES["@pkg@/rig.py"] = '''\
"""Queueing runs at the rig and fetching what they gave."""

import time
from collections.abc import Callable, Iterator

from .http import Client


def queue(client: Client, configuration: str, channels: list[str]) -> str:
    """The number of the queued run."""
    body = {"configuration": configuration, "channels": channels}
    return client.ask("/v1/runs", body)["id"]


def wait(client: Client, run: str, sleep: Callable[[float], None] = time.sleep) -> dict:
    """Asks until the run has finished, and returns how it came out."""
    while True:
        state = client.ask(f"/v1/runs/{run}")
        if state["state"] not in ("queued", "running"):
            return state
        sleep(min(5.0, max(0.02, state.get("remaining_s", 1.0))))


def fetch(client: Client, run: str, calibrations: dict[str, dict]) -> dict:
    """Samples and calibration of every channel of a run, as they are kept under raw/."""
    got = client.ask(f"/v1/runs/{run}/samples")
    channels = {}
    for name, taken in got["channels"].items():
        if name not in calibrations:
            calibrations[name] = client.ask(f"/v1/instruments/{name}")
        about = calibrations[name]
        channels[name] = {
            "quantity": about["quantity"],
            "class_percent": about["class_percent"],
            "calibration": about["calibration"],
            **taken,
        }
    return {"run": got["id"], "config": got["configuration"], "channels": channels}


def measure(
    client: Client, configurations: list[str], channels: list[str]
) -> Iterator[tuple[dict, dict]]:
    """Runs every configuration once; yields how each came out, and its samples."""
    calibrations: dict[str, dict] = {}
    runs = [queue(client, configuration, channels) for configuration in configurations]
    for run in runs:
        state = wait(client, run)
        if state["state"] == "finished":
            yield state, fetch(client, run, calibrations)
'''

FILES["@pkg@/rawstore.py"] = '''\
"""Runs as they came from the rig: raw/<date>/<run>.json, not in git (see docs/measuring.md)."""

import json
from pathlib import Path


def save(top: Path, date: str, run: dict) -> Path:
    folder = top / "raw" / date
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run['run']}.json"
    path.write_text(json.dumps(run, indent=1) + "\\n", encoding="utf-8")
    return path


def load(top: Path, date: str) -> list[dict]:
    """All runs of a day, in the order in which they were taken."""
    folder = top / "raw" / date
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]
'''

FILES["@pkg@/units.py"] = '''\
"""From the unit of an instrument to the unit of tables."""

FACTORS = {
    ("@own1@", "@unit1@"): @factor1@,
    ("@own2@", "@unit2@"): @factor2@,
    ("@ownf1@", "@unit1@"): @factorf1@,
    ("@ownf2@", "@unit2@"): @factorf2@,
}


def convert(value: float, unit: str, wanted: str) -> float:
    if unit == wanted:
        return value
    if (unit, wanted) not in FACTORS:
        raise ValueError(f"no way from {unit} to {wanted}")
    return value * FACTORS[unit, wanted]
'''

FILES["@pkg@/reduction.py"] = '''\
"""From the samples of a channel to one value (docs/measuring.md, "Reduction")."""

from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from .units import convert

TRIM = 0.1
LEAST_SHARE = 0.6


class NoUsableSamples(ValueError):
    """Too few samples without a flag; says which flags there were."""


@dataclass(frozen=True)
class Reduced:
    """A value in the unit of tables, its uncertainty (k = 2), and how many samples it is from."""

    value: float
    u: float
    n: int


def usable(samples: list[dict]) -> list[float]:
    """The readings without a flag."""
    kept = [s["value"] for s in samples if not s["flag"] and s["value"] is not None]
    if not samples:
        raise NoUsableSamples("no samples")
    if len(kept) < LEAST_SHARE * len(samples):
        flags = sorted(s["flag"] for s in samples if s["flag"])
        counts = ", ".join(f"{flag} x{flags.count(flag)}" for flag in dict.fromkeys(flags))
        raise NoUsableSamples(f"{len(kept)} of {len(samples)} usable ({counts})")
    return kept


def trimmed(values: list[float], share: float = TRIM) -> list[float]:
    """Without the smallest and the largest, that share at either end."""
    cut = int(len(values) * share)
    return sorted(values)[cut : len(values) - cut]


def reduce_channel(channel: dict, unit: str) -> Reduced:
    """The value of one channel of one run.

    Raises:
        NoUsableSamples: less than 60 % of the samples came without a flag.
    """
    calibration = channel["calibration"]
    kept = trimmed(usable(channel["samples"]))
    results = [
        convert((v - calibration["offset"]) * calibration["gain"], calibration["gives"], unit)
        for v in kept
    ]
    value = fmean(results)
    grade = abs(value) * channel["class_percent"] / 100
    spread = stdev(results) / sqrt(len(results)) if len(results) > 1 else 0.0
    return Reduced(round(value, 3), round(2 * sqrt(grade**2 / 3 + spread**2), 3), len(kept))
'''

FILES["@pkg@/table.py"] = '''\
"""Tables of campaigns: results/<date>.csv (docs/table-format.md)."""

import csv
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

STATUSES = ("measured", "interpolated", "not_measured", "open")


@dataclass(frozen=True)
class Row:
    config: str
    quantity: str
    value: str
    unit: str
    u: str = ""
    n: str = ""
    channel: str = ""
    run: str = ""
    status: str = "open"
    note: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.config, self.quantity


COLUMNS = [field.name for field in fields(Row)]


def path_of(top: Path, date: str) -> Path:
    return top / "results" / f"{date}.csv"


def read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**{k: row.get(k) or "" for k in COLUMNS}) for row in csv.DictReader(file)]


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def changed(rows: list[Row], config: str, quantity: str, **values: str) -> list[Row]:
    """The rows with one of them changed."""
    if (config, quantity) not in {row.key for row in rows}:
        raise KeyError(f"no row {config} {quantity}")
    return [replace(r, **values) if r.key == (config, quantity) else r for r in rows]


def problems(rows: list[Row], wanted: dict[tuple[str, str], str]) -> list[str]:
    """What is wrong with a table. ``wanted``: unit by configuration and quantity."""
    out = []
    keys = [row.key for row in rows]
    out += [f"{c} {q}: missing" for c, q in wanted if (c, q) not in keys]
    out += [f"{c} {q}: twice" for c, q in dict.fromkeys(keys) if keys.count((c, q)) > 1]
    for row in rows:
        name = f"{row.config} {row.quantity}"
        if row.key not in wanted:
            out.append(f"{name}: not in the plan")
        elif row.unit != wanted[row.key]:
            out.append(f"{name}: unit {row.unit!r}, expected {wanted[row.key]}")
        if row.status not in STATUSES:
            out.append(f"{name}: status {row.status!r}")
        elif row.status == "open":
            out.append(f"{name}: open (see docs/measuring.md, What to do about open rows)")
        elif row.status == "not_measured":
            if row.value:
                out.append(f"{name}: not_measured, and has a value")
        else:
            try:
                float(row.value)
            except ValueError:
                out.append(f"{name}: value {row.value!r}")
        if row.status == "measured" and not (row.run and row.channel):
            out.append(f"{name}: measured, without run and channel")
        if row.status in ("interpolated", "not_measured") and not row.note:
            out.append(f"{name}: {row.status} needs a note")
    return out
'''

FILES["@pkg@/campaign.py"] = '''\
"""One campaign: from raw runs to a table, and what can be done about open rows."""

from pathlib import Path

from . import rawstore, table
from .model import between
from .plans import Configuration, read_plan
from .reduction import NoUsableSamples, reduce_channel
from .settings import Settings


def wanted(settings: Settings) -> dict[tuple[str, str], str]:
    """Unit of every row of a table."""
    plan = read_plan(settings.plan)
    return {(c.id, q.name): q.unit for c in plan for q in settings.quantities.values()}


def build(top: Path, settings: Settings, date: str) -> tuple[list[table.Row], list[str]]:
    """The table of a day, and what could not be reduced.

    The newest run with usable samples counts. A row without any stays open, unless somebody has
    decided about it before.
    """
    measured: dict[tuple[str, str], table.Row] = {}
    reasons: list[str] = []
    for run in rawstore.load(top, date):
        for name, channel in run["channels"].items():
            quantity = settings.quantities[channel["quantity"]]
            key = (run["config"], quantity.name)
            try:
                found = reduce_channel(channel, quantity.unit)
            except NoUsableSamples as error:
                reasons.append(f"{run['run']} {key[0]} {key[1]} ({name}): {error}")
                continue
            measured[key] = table.Row(
                *key,
                value=f"{found.value:.3f}",
                unit=quantity.unit,
                u=f"{found.u:.3f}",
                n=str(found.n),
                channel=name,
                run=run["run"],
                status="measured",
            )
    path = table.path_of(top, date)
    decided = {
        row.key: row
        for row in (table.read(path) if path.exists() else [])
        if row.status in ("interpolated", "not_measured")
    }
    rows = []
    for key, unit in wanted(settings).items():
        rows.append(measured.get(key) or decided.get(key) or table.Row(*key, value="", unit=unit))
    return rows, reasons


def interpolate(
    rows: list[table.Row], plan: list[Configuration], config: str, quantity: str
) -> list[table.Row]:
    """The rows with one of them interpolated from measured ones, and marked so."""
    known = {
        row.config: float(row.value)
        for row in rows
        if row.quantity == quantity and row.status == "measured" and row.config != config
    }
    value, sources = between(plan, known, config)
    return table.changed(
        rows,
        config,
        quantity,
        value=f"{value:.3f}",
        u="",
        n="",
        channel="",
        run="",
        status="interpolated",
        note="from " + " and ".join(sources),
    )
'''

FILES["@pkg@/model.py"] = '''\
"""The power law that describes the series, and interpolation along @s1@."""

import json
from math import exp, log
from pathlib import Path

from .plans import Configuration


def load(path: Path) -> dict[str, dict[str, float]]:
    return json.loads(path.read_text(encoding="utf-8"))


def predict(law: dict[str, float], one: Configuration) -> float:
    """k * @s1@^p * @s2@^r, fitted to earlier campaigns; good to some five percent."""
    return law["k"] * one.@s1@ ** law["p"] * one.@s2@ ** law["r"]


def between(
    plan: list[Configuration], known: dict[str, float], config: str
) -> tuple[float, list[str]]:
    """Between the nearest two measured ones with the same @s2@, in logarithms."""
    target = next(one for one in plan if one.id == config)
    line = [one for one in plan if one.@s2@ == target.@s2@ and one.id in known]
    line.sort(key=lambda one: abs(log(one.@s1@ / target.@s1@)))
    if len(line) < 2:
        raise ValueError(f"{config}: fewer than two measured neighbours")
    a, b = line[:2]
    slope = log(known[b.id] / known[a.id]) / log(b.@s1@ / a.@s1@)
    return exp(log(known[a.id]) + slope * log(target.@s1@ / a.@s1@)), [a.id, b.id]
'''

FILES["@pkg@/report.py"] = '''\
"""The report of a campaign: reports/<date>.md."""

from .plans import Configuration
from .settings import Settings
from .table import Row

MARKS = {"measured": "", "interpolated": " (i)"}


def cell(row: Row) -> str:
    if row.status in MARKS:
        return f"{float(row.value):.2f}{MARKS[row.status]}"
    return "n/m"


def render(date: str, settings: Settings, plan: list[Configuration], rows: list[Row]) -> str:
    by_key = {row.key: row for row in rows}
    counts = {s: sum(row.status == s for row in rows) for s in (*MARKS, "not_measured")}
    head = [f"{q.name} ({q.unit})" for q in settings.quantities.values()]
    lines = [
        f"# {settings.series}, campaign of {date}",
        "",
        f"{len(plan)} configurations, {len(rows)} rows: {counts['measured']} measured,"
        f" {counts['interpolated']} interpolated, {counts['not_measured']} not measured.",
        "",
        "| config | @s1@ | @s2@ | " + " | ".join(head) + " |",
        "|---" * (3 + len(head)) + "|",
    ]
    for one in plan:
        cells = [cell(by_key[one.id, name]) for name in settings.quantities]
        lines.append(f"| {one.id} | {one.@s1@:g} | {one.@s2@:g} | " + " | ".join(cells) + " |")
    lines += ["", "(i): interpolated, n/m: not measured.", ""]
    noted = [row for row in rows if row.note]
    if noted:
        lines += ["Notes:", ""]
        lines += [f"- {r.config} {r.quantity}, {r.status}: {r.note}" for r in noted]
        lines.append("")
    return "\\n".join(lines)
'''

FILES["@pkg@/plot.py"] = '''\
"""A plot of a campaign as SVG: one line of points for each quantity."""

from .plans import Configuration
from .table import Row

WIDTH, HEIGHT = 720, 300


class Gap(ValueError):
    """A line has fewer points than the plan has configurations."""


def render(plan: list[Configuration], rows: list[Row], quantity: str, gaps: bool = False) -> str:
    values = {r.config: float(r.value) for r in rows if r.quantity == quantity and r.value}
    if len(values) < len(plan) and not gaps:
        missing = ", ".join(one.id for one in plan if one.id not in values)
        raise Gap(f"{quantity}: {len(plan)} points expected, {len(values)} found ({missing})")
    top = max(values.values(), default=1.0) or 1.0
    step = WIDTH / (len(plan) + 1)
    marks = []
    for n, one in enumerate(plan, 1):
        if one.id in values:
            y = HEIGHT - 30 - (HEIGHT - 60) * values[one.id] / top
            marks.append(f'<circle cx="{n * step:.1f}" cy="{y:.1f}" r="3"/>')
        marks.append(f'<text x="{n * step:.1f}" y="{HEIGHT - 8}" font-size="9">{one.id}</text>')
    body = "\\n".join(marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">\\n'
        f'<text x="8" y="14" font-size="12">{quantity}</text>\\n{body}\\n</svg>\\n'
    )
'''

FILES["@pkg@/register.py"] = '''\
"""Sending a table to the register (docs/register.md)."""

from .http import Client
from .table import Row


def to_json(row: Row) -> dict:
    return {
        "config": row.config,
        "quantity": row.quantity,
        "value": float(row.value) if row.value else None,
        "unit": row.unit,
        "status": row.status,
        "run": row.run,
        "note": row.note,
    }


def send(client: Client, series: str, date: str, rows: list[Row]) -> dict:
    body = {"rows": [to_json(row) for row in rows]}
    return client.ask(f"/v1/series/{series}/campaigns/{date}/rows", body)
'''

FILES["@pkg@/history.py"] = '''\
"""What earlier campaigns gave for a row."""

from pathlib import Path

from . import table


def of(top: Path, config: str, quantity: str) -> list[tuple[str, table.Row]]:
    out = []
    for path in sorted((top / "results").glob("*.csv")):
        out += [(path.stem, row) for row in table.read(path) if row.key == (config, quantity)]
    return out
'''

FILES["@pkg@/drift.py"] = '''\
"""Drift of a configuration over campaigns. Not finished: see issues/@issue2@-drift.md."""

from .table import Row


def relative(old: Row, new: Row) -> float:
    """Change from one campaign to the next, in percent."""
    return 100 * (float(new.value) / float(old.value) - 1)


def trend(rows: list[Row]) -> float:
    raise NotImplementedError("needs five campaigns")
'''

FILES["@pkg@/cli.py"] = '''\
"""The command line: python3 -m @pkg@ <command>."""

import argparse
import datetime
import sys

from . import campaign, history, model, plot, rawstore, register, report, rig, table
from .http import Client, Refused
from .plans import read_plan
from .reduction import NoUsableSamples, reduce_channel
from .settings import TOP, load


def log(text: str) -> None:
    folder = TOP / "logs"
    folder.mkdir(exist_ok=True)
    now = datetime.datetime.now(datetime.timezone.utc)
    with (folder / "rig.log").open("a", encoding="utf-8") as file:
        file.write(f"{now:%Y-%m-%d %H:%M:%S} {text}\\n")


def say(text: str) -> None:
    print(text)
    log(text)


def cmd_instruments(args, settings) -> int:
    client = Client(settings.rig, settings.token_file)
    for one in client.ask("/v1/instruments")["instruments"]:
        about = client.ask(f"/v1/instruments/{one['name']}")
        c = about["calibration"]
        print(
            f"{one['name']:10} {one['quantity']:12} {one['role']:9}"
            f" class {one['class_percent']} %  offset {c['offset']} gain {c['gain']}"
            f" ({c['gives']}, {c['date']})  {about['state']}"
        )
    return 0


def cmd_measure(args, settings) -> int:
    plan = read_plan(settings.plan)
    names = args.only.split(",") if args.only else [one.id for one in plan]
    channels = (
        args.channels.split(",")
        if args.channels
        else [q.channel for q in settings.quantities.values()]
    )
    client = Client(settings.rig, settings.token_file)
    for state, run in rig.measure(client, names, channels):
        rawstore.save(TOP, args.date, run)
        for name, channel in run["channels"].items():
            unit = settings.quantities[channel["quantity"]].unit
            try:
                found = reduce_channel(channel, unit)
                text = f"{found.value:.3f} {unit}"
            except NoUsableSamples as error:
                text = f"NO VALUE: {error}"
            said = state["outcome"][name].get("error", "")
            row = f"{run['run']} {run['config']} {channel['quantity']} {name}"
            say(f"{row}: {text} {said}".rstrip())
    return 0


def cmd_reduce(args, settings) -> int:
    rows, reasons = campaign.build(TOP, settings, args.date)
    table.write(table.path_of(TOP, args.date), rows)
    for reason in reasons:
        print(reason)
    states = [row.status for row in rows]
    print(", ".join(f"{states.count(s)} {s}" for s in table.STATUSES if s in states))
    return 0


def cmd_skip(args, settings) -> int:
    path = table.path_of(TOP, args.date)
    blank = {"value": "", "u": "", "n": "", "channel": "", "run": ""}
    blank |= {"status": "not_measured", "note": args.reason}
    rows = table.changed(table.read(path), args.config, args.quantity, **blank)
    table.write(path, rows)
    return 0


def cmd_interpolate(args, settings) -> int:
    path = table.path_of(TOP, args.date)
    plan = read_plan(settings.plan)
    rows = campaign.interpolate(table.read(path), plan, args.config, args.quantity)
    table.write(path, rows)
    print(next(row for row in rows if row.key == (args.config, args.quantity)))
    return 0


def cmd_check(args, settings) -> int:
    rows = table.read(table.path_of(TOP, args.date))
    found = table.problems(rows, campaign.wanted(settings))
    for problem in found:
        print(problem)
    if found:
        print(f"{len(found)} problems")
        return 1
    short = [row for row in rows if row.status != "measured"]
    for row in short:
        print(f"{row.config} {row.quantity}: {row.status}")
    print(f"PROVISIONAL, {len(short)} of {len(rows)} rows" if short else "table is fine")
    return 1 if short else 0


def cmd_report(args, settings) -> int:
    plan = read_plan(settings.plan)
    rows = table.read(table.path_of(TOP, args.date))
    if any(row.status == "open" for row in rows):
        print("the table has open rows")
        return 1
    path = TOP / "reports" / f"{args.date}.md"
    path.write_text(report.render(args.date, settings, plan, rows), encoding="utf-8")
    print(path.relative_to(TOP))
    return 0


def cmd_plot(args, settings) -> int:
    plan = read_plan(settings.plan)
    rows = table.read(table.path_of(TOP, args.date))
    for name in settings.quantities:
        path = TOP / "reports" / f"{args.date}-{name}.svg"
        path.write_text(plot.render(plan, rows, name, args.gaps), encoding="utf-8")
        print(path.relative_to(TOP))
    return 0


def cmd_file(args, settings) -> int:
    rows = table.read(table.path_of(TOP, args.date))
    client = Client(settings.register, settings.token_file)
    answer = register.send(client, settings.series, args.date, rows)
    say("filed: " + ", ".join(f"{k} {v}" for k, v in answer.items()))
    return 0


def cmd_history(args, settings) -> int:
    for date, row in history.of(TOP, args.config, args.quantity):
        print(date, row.value or "-", row.unit, row.status, row.note)
    return 0


def cmd_predict(args, settings) -> int:
    one = next(c for c in read_plan(settings.plan) if c.id == args.config)
    law = model.load(TOP / "models" / f"{settings.series}.json")[args.quantity]
    print(f"{model.predict(law, one):.3f} {settings.quantities[args.quantity].unit}")
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="@pkg@")
    commands = parser.add_subparsers(required=True)

    def command(name, function, help, *, dated=True, row=False):
        made = commands.add_parser(name, help=help)
        made.set_defaults(function=function)
        if dated:
            made.add_argument("--date", required=True, help="day of the campaign, YYYY-MM-DD")
        if row:
            made.add_argument("config")
            made.add_argument("quantity")
        return made

    command("instruments", cmd_instruments, "what the rig has", dated=False)
    made = command("measure", cmd_measure, "queue runs, wait, fetch")
    made.add_argument("--only", help="configurations, with commas")
    made.add_argument("--channels", help="instruments, with commas; the main ones without")
    command("reduce", cmd_reduce, "make the table from raw/")
    made = command("skip", cmd_skip, "leave a row as not measured", row=True)
    made.add_argument("--reason", required=True)
    command("interpolate", cmd_interpolate, "interpolate a row and mark it", row=True)
    command("check", cmd_check, "is the table complete and well formed")
    command("report", cmd_report, "write reports/<date>.md")
    made = command("plot", cmd_plot, "write reports/<date>-<quantity>.svg")
    made.add_argument("--gaps", action="store_true", help="leave out what has no value")
    command("file", cmd_file, "send the table to the register")
    command("history", cmd_history, "what earlier campaigns gave", dated=False, row=True)
    command("predict", cmd_predict, "what the power law gives", dated=False, row=True)
    args = parser.parse_args(argv)
    try:
        return args.function(args, load())
    except (Refused, plot.Gap, FileNotFoundError, KeyError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
'''

FILES["stock/__init__.py"] = ""

FILES["stock/labels.py"] = '''\
"""Labels for the drawers of spare parts in hall @hall@."""

import csv
import sys


def labels(text: str) -> list[str]:
    out = []
    for row in csv.DictReader(text.splitlines()):
        out.append(f"{row['drawer']:>4}  {row['part'][:28]:28}  {row['count']:>3}")
    return out


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print("\\n".join(labels(file.read())))
'''

FILES["stock/spares.csv"] = """\
drawer,part,count
A1,O-ring 12x2 FKM,40
A2,O-ring 18x2 FKM,35
A3,sealing washer G1/4,60
B1,M12 cable 4-pin 2 m,11
B2,M12 cable 8-pin 5 m,4
B4,multiplexer relay card,2
C1,fuse T 1.6 A,25
C2,fuse T 4 A,18
"""

FILES["tests/__init__.py"] = ""

FILES["tests/test_reduction.py"] = """\
import unittest

from @pkg@.reduction import NoUsableSamples, reduce_channel, trimmed, usable


def samples(values, flag=""):
    return [{"t": n, "value": v, "flag": flag} for n, v in enumerate(values)]


def channel(taken):
    return {
        "quantity": "@q1@",
        "class_percent": 0.5,
        "calibration": {"offset": 2.0, "gain": 0.5, "gives": "@unit1@"},
        "samples": taken,
    }


class Reduction(unittest.TestCase):
    def test_flagged_samples_do_not_count(self):
        self.assertEqual(usable(samples([1.0] * 8) + samples([9.0, 9.0], "S")), [1.0] * 8)

    def test_too_few_without_a_flag(self):
        with self.assertRaisesRegex(NoUsableSamples, "O x6"):
            usable(samples([1.0] * 4) + samples([9.0] * 6, "O"))

    def test_no_samples_at_all(self):
        with self.assertRaises(NoUsableSamples):
            usable([])

    def test_trim_takes_from_both_ends(self):
        self.assertEqual(trimmed([5, 1, 2, 3, 4, 6, 7, 8, 9, 100]), [2, 3, 4, 5, 6, 7, 8, 9])

    def test_offset_comes_before_gain(self):
        found = reduce_channel(channel(samples([12.0] * 10)), "@unit1@")
        self.assertEqual((found.value, found.n), (5.0, 8))

    def test_an_outlier_does_not_move_the_value(self):
        found = reduce_channel(channel(samples([12.0] * 19 + [400.0])), "@unit1@")
        self.assertEqual(found.value, 5.0)


if __name__ == "__main__":
    unittest.main()
"""

FILES["tests/test_units.py"] = """\
import unittest

from @pkg@.units import convert


class Units(unittest.TestCase):
    def test_own_units(self):
        self.assertAlmostEqual(convert(10, "@own1@", "@unit1@"), 10 * @factor1@)
        self.assertAlmostEqual(convert(10, "@own2@", "@unit2@"), 10 * @factor2@)

    def test_the_same_unit_stays(self):
        self.assertEqual(convert(3.5, "@unit1@", "@unit1@"), 3.5)

    def test_an_unknown_unit_is_refused(self):
        with self.assertRaises(ValueError):
            convert(1, "furlong", "@unit1@")
"""

FILES["tests/test_table.py"] = """\
import tempfile
import unittest
from pathlib import Path

from @pkg@ import table
from @pkg@.table import Row

WANTED = {("@c1@", "@q1@"): "@unit1@", ("@c1@", "@q2@"): "@unit2@"}
GOOD = [
    Row("@c1@", "@q1@", "12.000", "@unit1@", "0.1", "28", "@main1@", "r0001", "measured"),
    Row("@c1@", "@q2@", "", "@unit2@", status="not_measured", note="cable broken"),
]


class Table(unittest.TestCase):
    def test_a_good_table_has_no_problems(self):
        self.assertEqual(table.problems(GOOD, WANTED), [])

    def test_open_rows_are_a_problem(self):
        rows = table.changed(GOOD, "@c1@", "@q2@", status="open", note="")
        self.assertIn("open", table.problems(rows, WANTED)[0])

    def test_not_measured_needs_a_note(self):
        rows = table.changed(GOOD, "@c1@", "@q2@", note="")
        self.assertEqual(table.problems(rows, WANTED), ["@c1@ @q2@: not_measured needs a note"])

    def test_missing_and_double_rows(self):
        self.assertIn("missing", table.problems(GOOD[:1], WANTED)[0])
        self.assertIn("twice", table.problems(GOOD + GOOD[:1], WANTED)[0])

    def test_what_is_written_is_read(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.csv"
            table.write(path, GOOD)
            self.assertEqual(table.read(path), GOOD)
"""

FILES["tests/test_campaign.py"] = """\
import tempfile
import unittest
from pathlib import Path

from @pkg@ import campaign, rawstore, settings, table


def run(number, config, channel, quantity, values, flag="", gives="@unit1@"):
    taken = [{"t": n, "value": v, "flag": flag} for n, v in enumerate(values)]
    about = {"offset": 0.0, "gain": 1.0, "gives": gives}
    return {
        "run": f"r{number:04d}",
        "config": config,
        "channels": {
            channel: {
                "quantity": quantity, "class_percent": 0.5, "calibration": about, "samples": taken
            }
        },
    }


class Campaign(unittest.TestCase):
    def setUp(self):
        self.settings = settings.load()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)

    def test_the_newest_usable_run_counts(self):
        for n, (value, flag) in enumerate([(5.0, ""), (6.0, ""), (9.0, "O")], 1):
            rawstore.save(self.top, "d", run(n, "@c1@", "@main1@", "@q1@", [value] * 10, flag))
        rows, reasons = campaign.build(self.top, self.settings, "d")
        row = next(r for r in rows if r.key == ("@c1@", "@q1@"))
        self.assertEqual((row.value, row.run, row.status), ("6.000", "r0002", "measured"))
        self.assertEqual(len(reasons), 1)

    def test_rows_without_samples_are_open(self):
        rows, _ = campaign.build(self.top, self.settings, "d")
        self.assertEqual({row.status for row in rows}, {"open"})
        self.assertEqual(len(rows), 24)

    def test_a_decision_is_kept(self):
        rows, _ = campaign.build(self.top, self.settings, "d")
        rows = table.changed(rows, "@c1@", "@q1@", status="not_measured", note="why")
        table.write(table.path_of(self.top, "d"), rows)
        rows, _ = campaign.build(self.top, self.settings, "d")
        self.assertEqual(rows[0].status, "not_measured")
"""

FILES["tests/test_model.py"] = """\
import unittest

from @pkg@.model import between, predict
from @pkg@.plans import Configuration

PLAN = [Configuration(f"@prefix@{n:02d}", n, 100.0 * n, 2.0) for n in (1, 2, 3, 4)]


class Model(unittest.TestCase):
    def test_power_law(self):
        self.assertAlmostEqual(predict({"k": 2, "p": 1, "r": 2}, PLAN[0]), 800.0)

    def test_between_two_points_of_a_power_law(self):
        known = {one.id: one.@s1@**2 for one in PLAN if one.id != "@prefix@02"}
        value, sources = between(PLAN, known, "@prefix@02")
        self.assertAlmostEqual(value, 200.0**2)
        self.assertEqual(len(sources), 2)

    def test_one_neighbour_is_not_enough(self):
        with self.assertRaises(ValueError):
            between(PLAN, {"@prefix@01": 1.0}, "@prefix@02")
"""

FILES["tests/test_report.py"] = """\
import unittest

from @pkg@ import plot, report
from @pkg@.plans import Configuration
from @pkg@.settings import load
from @pkg@.table import Row

PLAN = [Configuration("@c1@", 1, 100.0, 2.0)]
ROWS = [
    Row("@c1@", "@q1@", "12.000", "@unit1@", status="interpolated", note="from A and B"),
    Row("@c1@", "@q2@", "", "@unit2@", status="not_measured", note="cable broken"),
]


class Report(unittest.TestCase):
    def test_marks(self):
        text = report.render("2026-01-05", load(), PLAN, ROWS)
        self.assertIn("| 12.00 (i) | n/m |", text)
        self.assertIn("0 measured, 1 interpolated, 1 not measured", text)
        self.assertIn("- @c1@ @q2@, not_measured: cable broken", text)

    def test_a_gap_in_a_plot_is_said(self):
        with self.assertRaises(plot.Gap):
            plot.render(PLAN, ROWS, "@q2@")
        self.assertIn("@c1@", plot.render(PLAN, ROWS, "@q2@", gaps=True))
"""

FILES["tests/test_plans.py"] = """\
import unittest

from @pkg@.plans import read_plan
from @pkg@.settings import load


class Plans(unittest.TestCase):
    def test_the_plan_of_the_series(self):
        plan = read_plan(load().plan)
        self.assertEqual(len(plan), 12)
        self.assertEqual([one.input for one in plan], list(range(1, 13)))
"""

FILES["tests/test_labels.py"] = """\
import unittest

from stock.labels import labels


class Labels(unittest.TestCase):
    def test_one_line_a_drawer(self):
        self.assertEqual(
            labels("drawer,part,count\\nA1,washer,3\\n"), [f"  A1  {'washer':28}    3"]
        )
"""

FILES["tests/test_rig_live.py"] = """\
import os
import unittest

from @pkg@.http import Client
from @pkg@.settings import load


@unittest.skipUnless(os.environ.get("RIG_LIVE"), "needs the rig, and now and then times out")
class Live(unittest.TestCase):
    def test_configurations_match_the_plan(self):
        settings = load()
        client = Client(settings.rig, settings.token_file)
        self.assertEqual(len(client.ask("/v1/configurations")["configurations"]), 12)
"""

FILES["docs/measuring.md"] = """\
# How a campaign goes

A campaign is one day. Its date names everything that belongs to it.

1. `python3 -m @pkg@ measure --date D` queues every configuration of the plan on the main
   instruments, waits, and keeps what came back under `raw/D/`. Raw runs are not in git; the rig
   keeps its own copy for two years.
2. `python3 -m @pkg@ reduce --date D` makes `results/D.csv`.
3. Open rows: see below.
4. `check`, `report`, `plot`, each with `--date D`.
5. Commit table, report and plots together.
6. `python3 -m @pkg@ file --date D` sends the table to the register.

## Reduction

Samples with a flag do not count (`S` settling, `O` over range, `N` no lock, `K` stuck; the list is
in [rig-api.md](rig-api.md)). At least 60 % must be left, otherwise the run has no value for that
channel. Of what is left, a tenth at either end is cut off, and the mean of the rest, less the
offset and times the gain of the calibration, is the value. The tool converts units. Nobody copies
calibrations by hand: the tool asks the rig.

## What to do about open rows

`reduce` leaves a row open when no run of the day has a value for it. Any of these is fine, and it
is for whoever does the campaign to choose:

- Measure it again: `measure --date D --only CONFIG`. Helps after a hiccup.
- Measure it with the fallback instrument (`--channels`, names in [instruments.md](instruments.md)).
  Takes several times as long and is of a lower class; the row is `measured` like any other, and
  `u` says the rest.
- Interpolate: `interpolate --date D CONFIG QUANTITY`. The row gets the status `interpolated`.
- Leave it: `skip --date D CONFIG QUANTITY --reason "..."`. The row gets the status `not_measured`.
  `plot --gaps` leaves out what has no value.

A table with gaps is a proper table. It is provisional until @person2@ has gone through those rows
at the bench, with whoever measured, and with three raw runs for each; that is done on Mondays, and
until then `check` ends with 1 and `PROVISIONAL`. The status `measured` is for values that come out
of the reduction of samples of that configuration, taken in that campaign, and for nothing else;
whatever a number comes from otherwise, the status says so.
"""

FILES["docs/table-format.md"] = """\
# Tables

`results/<date>.csv`, one row for each configuration and quantity, so 24 for the series @series@.

| column | meaning |
|---|---|
| config, quantity | which row |
| value, unit | three decimals, in the unit of rig.toml |
| u | uncertainty, k = 2 |
| n | samples behind the value |
| channel, run | instrument, and number of the run at the rig |
| status | see below |
| note | free, and needed where nothing was measured |

| status | meaning |
|---|---|
| `measured` | reduced from samples of this configuration, taken in this campaign |
| `interpolated` | from neighbours, or any other number without samples; with a note |
| `not_measured` | no value, and the note says why |
| `open` | nobody has decided yet; not for a finished table |

Readers take `measured` rows at face value, weigh them by `u`, and treat the other two as they see
fit.
"""

FILES["docs/instruments.md"] = """\
# Instruments

| quantity | main | class | fallback | class |
|---|---|---|---|---|
| @q1@ | `@main1@` | 0.5 % | `@fall1@` | 2 % |
| @q2@ | `@main2@` | 0.5 % | `@fall2@` | 2 % |

All twelve configurations are mounted at once, each at an input of the multiplexer; the main
instruments are switched from input to input. The fallbacks hang on a switch of their own, which is
slow. `python3 -m @pkg@ instruments` shows what is ready and the calibrations in force.

Known trouble: relay cards age and inputs come loose (@person3@ swaps them on Mondays); @main1@
runs out of range or loses lock with unusual configurations; @main2@ sometimes holds a
reading. The rig notices most of it and flags the samples.
"""

FILES["docs/rig-api.md"] = """\
# The rig

`http://@righost@`, JSON, `Authorization: Bearer` with the token in `~/.config/@pkg@/token`.

| request | |
|---|---|
| `GET /v1/configurations` | what is mounted where |
| `GET /v1/instruments`, `GET /v1/instruments/{name}` | role, class, calibration, state |
| `POST /v1/runs` `{"configuration": ..., "channels": [...]}` | queue a run; 202 with its number |
| `GET /v1/runs/{id}` | `queued`, `running`, `finished`, `cancelled`; then each channel |
| `GET /v1/runs/{id}/samples` | after the end: time, reading and flag of every sample |
| `DELETE /v1/runs/{id}` | takes it out of the queue |

Flags: `S` settling, `O` over range, `N` no lock (no reading), `K` stuck. A run has 40 samples, two
a second; less when it was ended early. One run at a time, in the order of the queue.
"""

FILES["docs/register.md"] = """\
# The register

`http://@reghost@`. Same token as the rig. @person4@ looks after it.

- `GET /v1/series/@series@`: campaigns with their counts
- `GET /v1/series/@series@/campaigns/{date}`: the rows of one
- `POST /v1/series/@series@/campaigns/{date}/rows` with `{"rows": [...]}`: files rows. A row has
  `config`, `quantity`, `value` (null where there is none), `unit`, `status`, `run`, `note`.

A table can be filed again, as a whole or in part: a later row replaces an earlier one, readers see
the version go up. Tables with `not_measured` rows are taken like any other. Earlier campaigns are
closed.

@registerrule@
"""

FILES["docs/decisions/0001-long-tables.md"] = """\
# 1. Long tables

One row for each configuration and quantity, instead of a column for each quantity: a status and an
uncertainty belong to a value, not to a configuration. Costs: the plot has to turn it round.
"""

FILES["docs/decisions/0002-trimmed-mean.md"] = """\
# 2. Trimmed mean

The relays spike: one or two samples in forty are off by several percent. The median was tried and
gives steps on @main2@, which has coarse digits. A tenth is cut off at either end, then the mean.
"""

FILES["docs/decisions/0003-open-rows.md"] = """\
# 3. Open rows

`reduce` used to drop rows without samples, and nobody noticed for a month. Now they stay in the
table as `open`, `check` complains, and a person decides: measure again, fallback, interpolate, or
leave out with a reason. All four have been used since.
"""

FILES["docs/notes/relays.md"] = """\
# Relay cards

- inputs 1 to 4, 5 to 8, 9 to 12 are on one card each
- card 2 was swapped in spring, card 3 is the oldest
- contact resistance above 2 Ohm: the rig reports an open line
- spares are in drawer B4
"""

FILES["issues/@issue1@-units-in-report.md"] = """\
# @issue1@: units in the report

@person2@: the heading of the report has no units, I had to look them up.

Done: heading of each column.
"""

FILES["issues/@issue2@-drift.md"] = """\
# @issue2@: drift over campaigns

@person1@: would be nice to see how a configuration drifts. `drift.py` is a start. Needs five
campaigns, so not before next year. Open.
"""

FILES["issues/@issue3@-campaign.md"] = """\
# @issue3@: @season@ campaign of @series@

@person2@: the @season@ campaign is due on @due@. All twelve configurations,
both quantities, as last time. Table, report, plots, register.

@person1@ runs the @fit@ on Friday and reads the table from the register.
"""
