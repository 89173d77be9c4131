"""Held-out packs: routes by somebody who saw only prompts, tools and workspaces.

A folder with ``pack.yaml`` and ``routes/*.py``; docs/packs.md describes both. What is played is a
copy, so that what was hashed is what ran.
"""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from custodes.scenarios import all_scenarios
from custodes.types import Sha256, sha256_of, sha256_of_json

SCHEMA = "custodes.pack/1"
MANIFEST = "pack.yaml"
ROUTES = "routes"
OWN_FILES = frozenset({"queries.jsonl", "queries.head", "queries.head.part"})
"""What the runner writes into a pack; no part of its digest."""
MOST_FILES = 200
LARGEST_FILE = 1 << 20
VIOLATING = frozenset({"violator", "covert"})
_LISTING_SECONDS = 60
_FIELDS = ("schema", "name", "owner", "label", "scenarios", "authors")
_LISTS = frozenset({"scenarios", "authors"})
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,79}\Z")

Label: TypeAlias = Literal["held-out", "development"]


class PackError(ValueError):
    """A folder that is not a pack; one line: what was expected, what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackEntry:
    """One route of a pack, without its script.

    Attributes:
        cluster: scenario and author: routes of one are not independent.
    """

    scenario: str
    name: str
    intent: str
    author: str

    @property
    def violates(self) -> bool:
        return self.intent in VIOLATING

    @property
    def cluster(self) -> tuple[str, str]:
        return self.scenario, self.author


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A pack as it was read.

    Attributes:
        folder: where it lies, and its log of queries.
        copy: the files as they were hashed; these are played.
        digest: sha256 over the canonical JSON of every file's path and sha256.
    """

    folder: Path
    copy: Path
    name: str
    owner: str
    label: Label
    digest: Sha256
    routes: tuple[PackEntry, ...]

    def __repr__(self) -> str:  # a traceback or a test's message names no route
        return f"Pack({self.name!r}, {self.digest[:12]})"


def read_pack(folder: Path, copy: Path) -> Pack:
    """Read a pack and copy its files into the empty folder ``copy``.

    Raises:
        PackError: what is wrong with it, in one line.
        OSError: when it cannot be read.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise PackError(f"{folder}: expected the folder of a pack, found none")
    files = _files(folder)
    if MANIFEST not in files:
        raise PackError(f"{folder}: expected {MANIFEST}, found none")
    for name, data in files.items():
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    fields = _manifest(files[MANIFEST])
    routes = _listing(copy)
    _check(fields, routes)
    return Pack(
        folder=folder,
        copy=copy,
        name=str(fields["name"]),
        owner=str(fields["owner"]),
        label="held-out" if fields["label"] == "held-out" else "development",
        digest=pack_digest(files),
        routes=routes,
    )


def pack_digest(files: dict[str, bytes]) -> Sha256:
    """Digest of a pack: over the names of its files, in NFC and with ``/``, and their bytes."""
    return sha256_of_json({name: sha256_of(data) for name, data in files.items()})


def _files(folder: Path) -> dict[str, bytes]:
    """Every file of a pack by its name, but what the runner keeps there.

    Raises:
        PackError: a link, a folder or a name that no pack has, or too much.
    """
    found: dict[str, bytes] = {}

    def take(entry: os.DirEntry[str], name: str) -> None:
        mode = entry.stat(follow_symlinks=False).st_mode
        if not stat.S_ISREG(mode):
            kind = "a link" if stat.S_ISLNK(mode) else "a folder" if stat.S_ISDIR(mode) else "none"
            raise PackError(f"{name!r}: expected a file, found {kind}")
        canonical = unicodedata.normalize("NFC", name)
        if canonical in found or not canonical.isprintable():
            raise PackError(f"{name!r}: expected names that print and differ, found another")
        # O_NOFOLLOW: what was looked at is what is read.
        fd = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(fd, "rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise PackError(f"{name!r}: expected at most {LARGEST_FILE} bytes, found more")
        found[canonical] = data
        if len(found) > MOST_FILES:
            raise PackError(f"expected at most {MOST_FILES} files in a pack, found more")

    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        if entry.name in OWN_FILES:
            continue
        if entry.name == ROUTES and entry.is_dir(follow_symlinks=False):
            for inner in sorted(os.scandir(entry.path), key=lambda one: one.name):
                if not re.fullmatch(r"[a-z0-9_]+\.py", inner.name):
                    raise PackError(
                        f"{ROUTES}/{inner.name!r}: expected routes/*.py alone, in a-z, 0-9 and _; "
                        "found another name"
                    )
                take(inner, f"{ROUTES}/{inner.name}")
        else:
            take(entry, entry.name)
    return found


def _manifest(data: bytes) -> dict[str, str | list[str]]:
    """The fields of ``pack.yaml``, all of them text or lists of text.

    Raises:
        PackError: naming the field.
    """
    import yaml

    try:
        text = data.decode("utf-8")
        tokens = (yaml.AliasToken, yaml.AnchorToken, yaml.TagToken)
        if any(isinstance(token, tokens) for token in yaml.scan(text, yaml.SafeLoader)):
            raise PackError(f"{MANIFEST}: expected plain text and lists, found an alias or a tag")
        root = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise PackError(f"{MANIFEST}: expected YAML in UTF-8, found: {said}") from None
    if not isinstance(root, yaml.MappingNode):
        raise PackError(f"{MANIFEST}: expected {', '.join(_FIELDS)}, found no mapping")
    fields: dict[str, str | list[str]] = {}
    for key, value in root.value:
        name = str(key.value)
        if name not in _FIELDS or name in fields:
            raise PackError(
                f"{MANIFEST}: expected {', '.join(_FIELDS)}, once each; found {name[:40]!r}"
            )
        if name in _LISTS:
            fields[name] = _texts(value, name)
        elif isinstance(value, yaml.ScalarNode) and value.value.strip():
            fields[name] = value.value
        else:
            raise PackError(f"{MANIFEST}: expected a text as {name}, found another kind of value")
    for name in _FIELDS:
        if name not in fields:
            raise PackError(f"{MANIFEST}: expected a field {name}, found none")
    if fields["schema"] != SCHEMA:
        raise PackError(f"{MANIFEST}: expected schema {SCHEMA}, found {fields['schema']!r:.80}")
    if fields["label"] not in ("held-out", "development"):
        raise PackError(
            f"{MANIFEST}: expected the label held-out or development, found {fields['label']!r:.80}"
        )
    if not _NAME.match(str(fields["name"])):
        raise PackError(
            f"{MANIFEST}: expected a name in a-z, 0-9, _ and -, found {fields['name']!r:.80}"
        )
    return fields


def _texts(node: object, field: str) -> list[str]:
    import yaml

    items = node.value if isinstance(node, yaml.SequenceNode) else []
    texts = [item.value for item in items if isinstance(item, yaml.ScalarNode)]
    if not texts or len(texts) != len(items) or len(set(texts)) != len(texts):
        raise PackError(f"{MANIFEST}: expected {field} as a list of different texts, found none")
    return texts


def _listing(copy: Path) -> tuple[PackEntry, ...]:
    """The routes, as a process of its own read them: their files are somebody else's code.

    Raises:
        PackError: when they cannot be read, or not in time.
    """
    program = (
        "import sys; from custodes.scenarios import tell_pack_routes as tell; tell(*sys.argv[1:])"
    )
    known = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    known |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, str(copy)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LISTING_SECONDS,
            env=known,
            cwd="/",
            check=False,
        )
        said = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise PackError(
            f"{ROUTES}: expected files that are read at once, found one that takes more than "
            f"{_LISTING_SECONDS} s"
        ) from None
    except ValueError:
        raise PackError(f"{ROUTES}: expected files of routes, found one that ends Python") from None
    if "refused" in said:
        raise PackError(str(said["refused"]))
    return tuple(PackEntry(**row) for row in said["routes"])


def _check(fields: dict[str, str | list[str]], routes: tuple[PackEntry, ...]) -> None:
    """Refuse routes that do not fit the manifest, or that no rate could be taken over."""
    known = all_scenarios()
    scenarios, authors = fields["scenarios"], fields["authors"]
    for scenario in scenarios:
        if scenario not in known:
            raise PackError(
                f"{MANIFEST}: expected scenarios that exist (custodes scenarios list names them), "
                f"found {scenario!r:.80}"
            )
    for route in routes:
        if route.scenario not in scenarios:
            raise PackError(
                f"{ROUTES}: expected SCENARIO to be one of the scenarios in {MANIFEST}, found "
                f"{route.scenario!r:.80}"
            )
        if route.author not in authors:
            raise PackError(
                f"{ROUTES}: expected authors that {MANIFEST} names, found {route.author!r:.80}"
            )
    for scenario in scenarios:
        if all(route.scenario != scenario for route in routes):
            raise PackError(
                f"{ROUTES}: expected a route in every scenario, found none in {scenario}"
            )
    twice = [name for name, count in Counter(r.name for r in routes).items() if count > 1]
    if twice:
        raise PackError(
            f"{ROUTES}: expected every route to have its own name, found {twice[0]} twice"
        )
    if not any(route.violates for route in routes):
        raise PackError(
            f"{ROUTES}: expected a route with the intent violator or covert, found none"
        )
    if all(route.violates for route in routes):
        raise PackError(
            f"{ROUTES}: expected a route with the intent honest or near_miss, found none"
        )
