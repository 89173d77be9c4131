"""The house rules that no type checker knows, each with the proof that it can fail.

Every rule is a function from a source tree to the list of what breaks it. The tests feed it the
real tree, where the list must be empty, and small bad trees, where it must not be.
"""

from __future__ import annotations

import ast
import os
import pwd
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "src" / "custodes"

# Which rooms a room may import. Adding an arrow is a decision about the design: say why in
# docs/decisions.md.
ARROWS: Mapping[str, frozenset[str]] = {
    "types": frozenset(),
    "statistics": frozenset({"types"}),
    "case": frozenset({"types"}),
    "transcripts": frozenset({"types"}),
    "monitors": frozenset({"transcripts", "statistics", "types"}),
    "scan": frozenset({"monitors", "transcripts", "types"}),
    "validation": frozenset({"monitors", "transcripts", "statistics", "scan", "types"}),
    "permissions": frozenset({"transcripts", "types"}),
    "horizon": frozenset({"transcripts", "statistics", "types"}),
    "gate": frozenset({"monitors", "transcripts", "containment", "types"}),
    "containment": frozenset({"types", "statistics"}),
    "response": frozenset({"containment", "monitors", "transcripts", "statistics", "types"}),
    "services": frozenset({"types"}),
    "scenarios": frozenset({"types", "services"}),
    "clients": frozenset(
        {"types", "scenarios", "permissions", "containment", "transcripts", "scan"}
    ),
    "harness": frozenset(
        {
            "types",
            "clients",
            "statistics",
            "case",
            "transcripts",
            "monitors",
            "containment",
            "services",
            "scenarios",
        }
    ),
    "runs": frozenset(
        {
            "case",
            "clients",
            "statistics",
            "scenarios",
            "types",
            "transcripts",
            "containment",
            "monitors",
            "response",
        }
    ),
    "assessment": frozenset({"case", "types"}),
    "rounds": frozenset({"assessment", "types"}),
    "reports": frozenset(
        {
            "case",
            "types",
            "runs",
            "scenarios",
            "statistics",
            "transcripts",
            "scan",
            "permissions",
            "validation",
        }
    ),
    "cli": frozenset(
        {
            "types",
            "clients",
            "statistics",
            "case",
            "transcripts",
            "monitors",
            "scan",
            "validation",
            "permissions",
            "gate",
            "containment",
            "services",
            "scenarios",
            "runs",
            "assessment",
            "rounds",
            "reports",
            "response",
            "horizon",
        }
    ),
    "__main__": frozenset({"cli"}),
}

# The distributions of Inspect; one room imports them.
INSPECT = ("inspect_ai", "inspect_scout", "inspect_sentinel", "inspect_swe")


# --- reading a tree ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One module of the package, parsed."""

    name: str
    path: Path
    tree: ast.Module
    is_package: bool

    @property
    def room(self) -> str:
        """The first name below the package; empty for the package's own ``__init__``."""
        return [*self.name.split("."), ""][1]

    def where(self, node: ast.AST) -> str:
        return f"{self.name}:{getattr(node, 'lineno', 1)}"


def modules(package: Path) -> list[Module]:
    """Every module that Python could import; folders without ``__init__`` hold data."""
    # The real tree does not change under the tests, and parsing it takes seconds.
    return _real_tree() if package == PACKAGE else _parsed(package)


@lru_cache(maxsize=1)
def _real_tree() -> list[Module]:
    return _parsed(PACKAGE)


def _parsed(package: Path) -> list[Module]:

    def walk(folder: Path, name: str) -> Iterator[Module]:
        if not (folder / "__init__.py").is_file():
            return
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                yield from walk(path, f"{name}.{path.name}")
            elif path.suffix == ".py":
                is_package = path.name == "__init__.py"
                yield Module(
                    name=name if is_package else f"{name}.{path.stem}",
                    path=path,
                    tree=ast.parse(path.read_text("utf-8"), filename=str(path)),
                    is_package=is_package,
                )

    return list(walk(package, package.name))


@lru_cache(maxsize=2048)
def imports(module: Module) -> tuple[tuple[ast.AST, str], ...]:
    """Every absolute name that a module imports, wherever in it and in whatever spelling.

    ``from a.b import c`` yields ``a.b.c``: whether ``c`` is a module is not needed here. Imports
    inside functions and for type checkers count: an arrow is a dependency of thought.
    """
    return tuple(_imports(module))


def _imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    parts = module.name.split(".")
    package = parts if module.is_package else parts[:-1]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node, f"{stem}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else None
            called = node.func.id if isinstance(node.func, ast.Name) else called
            first = node.args[0]
            if (
                called in {"import_module", "__import__", "run_module", "find_spec"}
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                yield node, first.value


# --- the rules -----------------------------------------------------------------------------


def broken_arrows(package: Path) -> list[str]:
    """Imports that the layout forbids."""
    broken = []
    root = package.name
    for module in modules(package):
        if module.room and module.room not in ARROWS:
            broken.append(f"{module.name}: {module.room!r} is not a room of the layout")
            continue
        allowed = ARROWS.get(module.room, frozenset())
        for node, name in imports(module):
            head, _, rest = name.partition(".")
            if head == root:
                target = rest.partition(".")[0]
                if target in {"", "__version__", module.room} or target in allowed:
                    continue
                broken.append(f"{module.where(node)}: {module.room or root} may not import {name}")
            elif head in INSPECT and module.room != "harness":
                broken.append(f"{module.where(node)}: only harness imports {head}")
            elif module.room in {"types", ""} and head not in sys.stdlib_module_names:
                broken.append(f"{module.where(node)}: types import the standard library only")
    return broken


def reached_inside(package: Path) -> list[str]:
    """Imports of another room's private modules or names: each room has a curated front."""
    broken = []
    for module in modules(package):
        for node, name in imports(module):
            parts = name.split(".")
            if parts[0] != package.name or len(parts) < 2 or parts[1] == module.room:
                continue
            if any(part.startswith("_") and not part.endswith("__") for part in parts[1:]):
                broken.append(f"{module.where(node)}: {name} is private to {parts[1]}")
    return broken


def stray_mints(package: Path) -> list[str]:
    """Uses of ``mint_evidence_ref`` outside the evidence store, under any name."""
    broken = []
    for module in modules(package):
        if module.room in {"case", "types"}:
            calls = [
                node
                for node in ast.walk(module.tree)
                if isinstance(node, ast.Call) and "mint_evidence_ref" in ast.unparse(node.func)
            ]
            if module.room == "types":
                broken += [f"{module.where(node)}: types only define it" for node in calls]
            continue
        for node in ast.walk(module.tree):
            named = (
                (isinstance(node, ast.Name) and node.id == "mint_evidence_ref")
                or (isinstance(node, ast.Attribute) and node.attr == "mint_evidence_ref")
                or (isinstance(node, ast.alias) and node.name == "mint_evidence_ref")
                or (isinstance(node, ast.Constant) and node.value == "mint_evidence_ref")
            )
            if named:
                broken.append(f"{module.where(node)}: only the evidence store mints references")
    return broken


def without_front(package: Path) -> list[str]:
    """Public packages without a literal ``__all__``, or with one that names what is not there."""
    broken = []
    for module in modules(package):
        below = module.name.split(".")[1:]
        if not module.is_package or not below or any(part.startswith("_") for part in below):
            continue
        exported: list[str] | None = None
        bound: set[str] = set()
        lazy = False
        for node in module.tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound.add(node.name)
                lazy = lazy or node.name == "__getattr__"
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = {target.id for target in targets if isinstance(target, ast.Name)}
                bound |= names
                if "__all__" in names and node.value is not None:
                    try:
                        exported = list(ast.literal_eval(node.value))
                    except ValueError:
                        broken.append(f"{module.where(node)}: __all__ is not a literal")
                        exported = []
            elif isinstance(node, ast.If | ast.Try):
                bound |= {
                    alias.asname or alias.name
                    for inner in ast.walk(node)
                    if isinstance(inner, ast.ImportFrom)
                    for alias in inner.names
                }
        if exported is None:
            broken.append(f"{module.name}: a public package says what it offers in __all__")
        elif not lazy:
            files = {path.stem for path in module.path.parent.iterdir()}
            broken += [
                f"{module.name}: __all__ names {name}, which is not there"
                for name in exported
                if name not in bound | files
            ]
    return broken


# Written in pieces, so that this file does not contain what it looks for. Names of registries'
# hosts, the options that point at one, and folders of the machines that the code is written on.
_REGISTRY = re.compile(
    r"\b(?:(?:test\.|upload\.)?py"
    r"pi\.(?:org|python\.org)|python"
    r"hosted\.org|registry\.n"
    r"pmjs\.org|registry\.yarn"
    r"pkg\.com|conda\.ana"
    r"conda\.org|crates"
    r"\.io|proxy\.go"
    r"lang\.org|ruby"
    r"gems\.org)\b"
    r"|--(?:extra-)?index"
    r"-url[= ]\S|^\s*(?:extra-)?index"
    r"[-_]url\s*[=:]|--find"
    r"-links[= ]\S",
    re.IGNORECASE | re.MULTILINE,
)
# The superuser's home as such is a folder of every system; what lies in it is somebody's.
_MACHINE = re.compile(
    r"(?<![\w.~*-])/wo"
    r"rk(?=[/\"'\s`;:,)]|$)|(?<![\w.~*-])/ro"
    r"ot/[\w.~-]+"
    r"|(?<![\w.-])/Us"
    r"ers/[a-z_][\w-]*"
    r"|\.pye"
    r"nv/",
    re.MULTILINE,
)

# Names that the scenarios' machines may share with an account of the machine the tests run on.
FICTIONAL = frozenset({"dev", "agent", "user"})


def accounts() -> frozenset[str]:
    """The people of this machine: who has a folder under /home."""
    people = {entry.pw_name for entry in pwd.getpwall() if entry.pw_dir.startswith("/home/")}
    return frozenset(people - FICTIONAL)


def foreign_addresses(root: Path, files: list[Path], people: frozenset[str]) -> list[str]:
    """Addresses of package registries, and paths of the machine that a file was written on."""
    broken = []
    homes = re.compile(r"/home/(?:" + "|".join(map(re.escape, sorted(people))) + r")\b")
    kinds = [("registry address", _REGISTRY), ("machine path", _MACHINE)]
    kinds += [("machine path", homes)] if people else []
    for path in files:
        try:
            text = path.read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # binary, or deleted and not yet committed
        for kind, pattern in kinds:
            for match in pattern.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                broken.append(f"{path.relative_to(root)}:{line}: {kind} {match.group()!r}")
    return broken


def kept_files(root: Path) -> list[Path]:
    """What version control keeps or would keep; without it, all but what building makes."""
    command = ["git", "-C", str(root), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        made = re.compile(r"(^|/)(\.venv|\.git|build|dist|__pycache__|\.[a-z]+_cache)(/|$)")
        paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return [root / path for path in paths if not made.search(path.as_posix())]
    return [root / name for name in listed.split("\0") if name and (root / name).is_file()]


def loaded_by(statement: str, names: set[str], *, path: Path | None = None) -> set[str]:
    """Which of the named modules a fresh interpreter has loaded after a statement."""
    environment = {**os.environ, "PYTHONPATH": str(path)} if path else dict(os.environ)
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return names & set(done.stdout.split())


_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?P<rest>.*)$")


def pins(text: str) -> dict[str, str]:
    """The pins of a requirement file; ValueError at a requirement without version or hashes."""
    found: dict[str, str] = {}
    for block in re.split(r"\n(?=[A-Za-z0-9-])", text):
        lines = [line for line in block.splitlines() if line.split("#")[0].strip()]
        if not lines:
            continue
        match = _PIN.match(lines[0])
        if not match:
            raise ValueError(f"expected name==version, found {lines[0]!r}")
        hashes = re.findall(r"--hash=sha256:[0-9a-f]{64}(?= |\n|$)", block)
        if not hashes or len(hashes) != len(lines) - 1:
            raise ValueError(f"expected nothing but sha256 hashes after {lines[0]!r}")
        found[match["name"].lower().replace("_", "-")] = match["version"]
    return found


# --- the tree obeys ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", [broken_arrows, reached_inside, stray_mints, without_front], ids=lambda f: f.__name__
)
def test_the_tree_obeys(rule: object) -> None:
    assert callable(rule)
    assert len(modules(PACKAGE)) > 5, "the tree was not found, so nothing was checked"
    assert rule(PACKAGE) == []


def test_no_file_names_a_registry_or_this_machine() -> None:
    files = kept_files(REPOSITORY)
    assert PACKAGE / "__init__.py" in files, "the tree was not found, so nothing was checked"
    assert foreign_addresses(REPOSITORY, files, accounts()) == []


HEAVY = {"inspect_ai", "scipy", "numpy", "jinja2", "pydantic", "yaml", "rich"}


def test_the_command_line_starts_light() -> None:
    heavy = HEAVY - {"pydantic", "yaml", "rich"}
    assert loaded_by("import custodes.cli", heavy) == set()


@pytest.mark.parametrize(
    "room",
    ["types", "statistics", "case", "transcripts", "monitors", "services", "scenarios", "reports"],
)
def test_rooms_other_than_the_harness_do_not_load_inspect(room: str) -> None:
    if not (PACKAGE / room / "__init__.py").is_file():
        pytest.skip(f"src/custodes/{room} is not built yet")
    assert loaded_by(f"import custodes.{room}", {"inspect_ai"}) == set()


def test_requirement_files_agree_and_pin_the_one_inspect() -> None:
    base, assess, dev = (
        pins((REPOSITORY / "requirements" / f"{name}.txt").read_text("utf-8"))
        for name in ("base", "assess", "dev")
    )
    assert base.items() <= assess.items() <= dev.items()
    # It is for tasks inside, and for another Python: pinned apart.
    assert "pytest" in pins((REPOSITORY / "requirements" / "toolbox.txt").read_text("utf-8"))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    for requirement in project["project"]["dependencies"]:
        assert re.split(r"[<>=\[ ]", requirement)[0].lower() in base
    backend = project["build-system"]["requires"][0]
    assert re.split(r"[<>=]", backend)[0] in base
    assert "inspect-ai" not in base
    (exact,) = re.findall(
        r"^inspect-ai==(\S+)$", (REPOSITORY / "requirements/assess.in").read_text("utf-8"), re.M
    )
    assert assess["inspect-ai"] == exact
    (ranged,) = project["project"]["optional-dependencies"]["assess"]
    assert ">=" in ranged and "<" in ranged and "==" not in ranged


# --- and each rule can fail ----------------------------------------------------------------


def plant(root: Path, files: Mapping[str, str]) -> Path:
    """Writes a small package and returns it; folders named become packages of the layout."""
    package = root / "custodes"
    for name, text in {"__init__.py": '__version__ = "0"\n', **files}.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        folder = path.parent
        while folder != package and "data" not in folder.parts:
            front = folder / "__init__.py"
            if not front.exists():
                front.write_text("__all__ = []\n", "utf-8")
            folder = folder.parent
    return package


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("types/_a.py", "import custodes.case\n"),
        ("types/_a.py", "import pydantic\n"),
        ("types/_a.py", "from ..statistics import wilson\n"),
        ("types/_a.py", "from .. import statistics\n"),
        ("statistics/_a.py", "def f():\n    from custodes.case import Ledger\n"),
        ("case/_a.py", "from custodes import runs\n"),
        ("monitors/_a.py", "from ..containment import kill\n"),
        ("scenarios/x/_a.py", "from ...containment import kill\n"),
        ("scenarios/x/y/oracle.py", "from custodes.harness import task\n"),
        ("containment/_a.py", "from ..monitors import gate\n"),
        ("runs/_a.py", "from ..harness import worker\n"),
        ("runs/_a.py", "import importlib\nimportlib.import_module('custodes.harness.worker')\n"),
        ("runs/_a.py", "import inspect_ai\n"),
        ("cli/_a.py", "from custodes.harness import worker\n"),
        ("cli/_a.py", "def f():\n    __import__('inspect_ai.log')\n"),
        ("reports/_a.py", "from inspect_ai.log import read_eval_log\n"),
        (
            "reports/_a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import custodes.cli\n",
        ),
        ("rounds/_a.py", "from ..reports import render\n"),
        ("utils/_a.py", "import os\n"),
        ("helpers.py", "import os\n"),
        ("__init__.py", "from .types import Answer\n"),
        ("__main__.py", "from custodes.runs import plan\n"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, name: str, text: str) -> None:
    assert broken_arrows(plant(tmp_path, {name: text}))


def test_allowed_imports_pass(tmp_path: Path) -> None:
    package = plant(
        tmp_path,
        {
            "types/_a.py": "import dataclasses\nfrom ._b import c\nfrom .. import __version__\n",
            "scenarios/x/_a.py": "from ...types import Answer\nfrom custodes.services import S\n",
            "harness/_a.py": "import inspect_ai.log\nfrom ..scenarios import registry\n",
            "cli/__init__.py": "from ..runs import plan\n__all__ = ['plan']\n",
            "__main__.py": "from custodes.cli import main\n",
            # What an agent meets in its workspace is data, not a room.
            "scenarios/x/data/app/__init__.py": "import custodes.harness, inspect_ai\n",
        },
    )
    assert broken_arrows(package) == []
    assert reached_inside(package) == []
    assert without_front(package) == []


@pytest.mark.parametrize(
    "text",
    [
        "from custodes.case._store import Store\n",
        "from ..case import _store\n",
        "import custodes.types._evidence\n",
        "from ..types._evidence import _MINT\n",
    ],
)
def test_reaching_into_a_room_is_found(tmp_path: Path, text: str) -> None:
    assert reached_inside(plant(tmp_path, {"runs/_a.py": text}))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs/_a.py", "from ..types import mint_evidence_ref\n"),
        ("runs/_a.py", "from ..types import mint_evidence_ref as m\nm('x')\n"),
        ("harness/_a.py", "from .. import types\ntypes.mint_evidence_ref('x')\n"),
        ("reports/_a.py", "from .. import types\ngetattr(types, 'mint_evidence_ref')('x')\n"),
        ("types/_a.py", "from ._evidence import mint_evidence_ref\nX = mint_evidence_ref('x')\n"),
    ],
)
def test_a_stray_mint_is_found(tmp_path: Path, name: str, text: str) -> None:
    assert stray_mints(plant(tmp_path, {name: text}))


def test_the_evidence_store_may_mint(tmp_path: Path) -> None:
    text = "from ..types import mint_evidence_ref\nX = mint_evidence_ref('x')\n"
    assert stray_mints(plant(tmp_path, {"case/_store.py": text})) == []


@pytest.mark.parametrize(
    "text",
    [
        "from ._a import b\n",
        "__all__ = ['missing']\n",
        "__all__ = sorted(globals())\n",
    ],
)
def test_a_missing_front_is_found(tmp_path: Path, text: str) -> None:
    assert without_front(plant(tmp_path, {"case/__init__.py": text}))


@pytest.mark.parametrize(
    "text",
    [
        "see https://py" + "pi.org/project/x",
        "https://files.python" + "hosted.org/packages/ab/cd/x.whl",
        "pip install --index" + "-url https://mirror.example/simple x",
        "--find" + "-links=/opt/wheels",
        "extra-index" + "-url = file:///opt",
        "https://registry.n" + "pmjs.org/x",
        "cd /wo" + "rk/main && make",
        "HOME=/wo" + "rk",
        "PATH=/ro" + "ot/bin",
        "/Us" + "ers/jsmith/src",
        "'/ro" + "ot/.cache'",
        "/ho" + "me/jsmith/src/custodes",
        "exec ~/.pye" + "nv/shims/python",
    ],
)
def test_a_foreign_address_is_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page.md"
    path.write_text(f"A line.\n{text}\n", "utf-8")
    (found,) = foreign_addresses(tmp_path, [path], frozenset({"jsmith"}))[:1]
    assert found.startswith("page.md:2: ")


def test_ordinary_paths_and_hosts_pass(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "/workspace/app.py src/work/x /home/dev/project /home/agent https://example.org/work\n"
        "network/root.py, /usr/bin/env, a PyPI package, the index of a url, /rooted, /root\n"
        "/home/mira /home/jsmithson /home\n",
        "utf-8",
    )
    assert foreign_addresses(tmp_path, [path], frozenset({"jsmith"})) == []


def test_a_heavy_import_is_found(tmp_path: Path) -> None:
    package = plant(tmp_path, {"cli/__init__.py": "from ._x import y\n__all__ = []\n"})
    (package / "cli" / "_x.py").write_text("import jinja2\ny = 1\n", "utf-8")
    statement = f"sys.path.insert(0, {str(tmp_path)!r})\nimport custodes.cli"
    assert loaded_by(statement, HEAVY, path=tmp_path) == {"jinja2"}


@pytest.mark.parametrize(
    "text",
    [
        "click\n",
        "click>=8\n",
        "click==8.1\n",
        "click==8.1 \\\n    --hash=md5:0123\n",
        "click==8.1 \\\n    --hash=sha256:" + "0" * 63 + "\n",
        "--no-binary click\n",
        "click @ https://example.org/click.whl\n",
        "click==8.1 \\\n    --hash=sha256:" + "0" * 64 + "\n    --config-settings x\n",
    ],
)
def test_a_loose_requirement_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        pins(text)
