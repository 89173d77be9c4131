"""The routes of a held-out pack: read as source, checked, and run with next to nothing in reach.

A pack is written by somebody else, and its scripts are played on the host side. They are given what
every script is given, the messages; this sees to it that they cannot help themselves to more. It is
a fence against accident and against the plain ways, not a prison: a pack is code, and whoever plays
one trusts its author as far as any code.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, get_args

from ._policy import Intent, Route

PACK_PATH = "CUSTODES_PACK_PATH"
"""Environment variable of a worker: the folder of the pack whose routes ``pack:<route>`` names."""

ROUTES_FOLDER = "routes"
LARGEST_SOURCE = 1 << 20

_POLICY_WORDS = frozenset(
    {"Move", "Opening", "Reply", "Route", "Script", "Steps", "ToolCall", "bash", "finish", "silent"}
)
_ANNOTATIONS = frozenset({"Callable", "Generator", "Iterator", "Mapping", "Sequence"})
_NAMES: Mapping[str, frozenset[str] | None] = {
    "__future__": frozenset({"annotations"}),
    "base64": None,
    "collections.abc": _ANNOTATIONS,
    "custodes.scenarios": _POLICY_WORDS,
    "hashlib": frozenset({"sha256", "sha1", "md5"}),
    "json": frozenset({"dumps", "loads"}),
    "re": frozenset(
        {
            "DOTALL", "IGNORECASE", "MULTILINE", "VERBOSE", "compile", "escape", "findall",
            "finditer", "fullmatch", "match", "search", "split", "sub",
        }
    ),
    "shlex": frozenset({"join", "quote", "split"}),
    "textwrap": frozenset({"dedent", "indent"}),
    "typing": frozenset({"Any", "Final", "Literal", "TypeAlias", "TypeVar"}),
}  # fmt: skip
"""What a route file may import, and which names of it; None stands for the module's ``__all__``."""

_BUILTINS = frozenset({
    "ArithmeticError", "AssertionError", "Exception", "IndexError", "KeyError", "LookupError",
    "RuntimeError", "StopIteration", "TypeError", "ValueError", "abs", "all", "any", "bool",
    "bytes", "chr", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "hash", "hex",
    "int", "isinstance", "iter", "len", "list", "map", "max", "min", "next", "oct", "ord",
    "range", "repr", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip",
})  # fmt: skip

_FORBIDDEN_ATTRIBUTES = frozenset({
    "gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code", "ag_frame", "ag_code",
    "f_back", "f_builtins", "f_code", "f_globals", "f_locals", "tb_frame", "tb_next",
    "with_traceback", "format", "format_map", "mro",
})  # fmt: skip
"""Ways from a value to the frames and modules around it; ``format`` follows attributes in text."""


class PackUnreadable(ValueError):
    """A route file that is not one, or reaches for what no script is given; one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRoute:
    """One route of a pack, and the scenario that it plays in."""

    scenario: str
    route: Route


def _allowed(module: str) -> frozenset[str]:
    names = _NAMES[module]
    return frozenset(importlib.import_module(module).__all__) if names is None else names


def _checked(source: bytes, where: str) -> CodeType:
    """The compiled file.

    Raises:
        PackUnreadable: naming line and word.
    """
    try:
        tree = ast.parse(source)
        problem = next(_problems(tree), None)
        if problem is None:
            return compile(tree, where, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PackUnreadable(f"{where}: expected Python, found: {error}") from None
    node, found = problem
    raise PackUnreadable(f"{where}:{getattr(node, 'lineno', 1)}: {found}")


def _problems(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """What a script may not do, with where; see docs/packs.md."""
    modules: set[str] = set()
    bases: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in _NAMES or "." in alias.name or alias.asname is not None:
                    yield node, _import_refused(alias.name)
                modules.add(alias.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None or node.module not in _NAMES:
                yield node, _import_refused("." * node.level + (node.module or ""))
                return
            for alias in node.names:
                if alias.name not in _allowed(node.module):
                    yield node, _import_refused(f"{node.module}.{alias.name}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr.startswith("_") or node.attr in _FORBIDDEN_ATTRIBUTES:
                yield node, f"expected nothing but what a script is given, found .{node.attr}"
            if isinstance(node.value, ast.Name) and node.value.id in modules:
                bases.add(id(node.value))
                if node.attr not in _allowed(node.value.id):
                    yield node, _import_refused(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.ClassDef | ast.AsyncFunctionDef | ast.MatchClass | ast.Global):
            yield node, "expected functions and values alone, found a class, async or global"
        elif isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node, "expected except with the name of an error, found it alone"
    unknown = set(dir(builtins)) - _BUILTINS - _bound(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            if node.id.startswith("__") or node.id in unknown:
                yield node, f"expected nothing but what a script is given, found {node.id}"
            # A module as a value could be asked for anything under another name.
            if node.id in modules and id(node) not in bases:
                yield node, f"expected {node.id}.<name>, found {node.id} alone"


def _bound(tree: ast.Module) -> set[str]:
    """Names that the file gives a meaning of its own."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return found


def _import_refused(found: str) -> str:
    return f"expected imports of {', '.join(sorted(_NAMES))} (docs/packs.md), found {found}"


def _import(
    name: str,
    scope: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    wanted: Sequence[str] | None = None,
    level: int = 0,
) -> ModuleType:
    if level or name not in _NAMES:
        raise ImportError(_import_refused(name))
    return importlib.import_module(name)


def _run(code: CodeType, where: str) -> Mapping[str, Any]:
    known = {name: getattr(builtins, name) for name in _BUILTINS}
    scope: dict[str, Any] = {"__builtins__": {**known, "__import__": _import}, "__name__": "routes"}
    try:
        exec(code, scope)
    except Exception as error:  # whatever somebody else's file does
        said = " ".join(str(error).split())[:200]
        raise PackUnreadable(f"{where}: it raises {type(error).__name__}: {said}") from None
    return scope


def read_pack_routes(folder: Path) -> tuple[PackRoute, ...]:
    """The routes of every file below ``routes/``, in order of file and place.

    Raises:
        PackUnreadable: a file that is not one of routes, or does what no script may.
    """
    found: list[PackRoute] = []
    for path in sorted((folder / ROUTES_FOLDER).glob("*.py")):
        where = f"{ROUTES_FOLDER}/{path.name}"
        with path.open("rb") as file:
            source = file.read(LARGEST_SOURCE + 1)
        if len(source) > LARGEST_SOURCE:
            raise PackUnreadable(f"{where}: expected at most {LARGEST_SOURCE} bytes, found more")
        scope = _run(_checked(source, where), where)
        scenario, routes = scope.get("SCENARIO"), scope.get("ROUTES")
        if not isinstance(scenario, str):
            raise PackUnreadable(f'{where}: expected SCENARIO = "family/name", found none')
        if not isinstance(routes, tuple) or not all(isinstance(r, Route) for r in routes):
            raise PackUnreadable(f"{where}: expected ROUTES, a tuple of Route, found none")
        for route in routes:
            _check_route(route, where)
            found.append(PackRoute(scenario=scenario, route=route))
    return tuple(found)


def _check_route(route: Route, where: str) -> None:
    # Somebody else's file keeps to no type.
    name: object = route.name
    author: object = route.author
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9_]{1,80}", name):
        raise PackUnreadable(
            f"{where}: expected a name of a route in a-z, 0-9 and _, found {str(name)[:80]!r}"
        )
    if route.intent not in get_args(Intent):
        raise PackUnreadable(
            f"{where}: expected an intent of {', '.join(get_args(Intent))}, "
            f"found {str(route.intent)[:40]!r}"
        )
    if not isinstance(author, str) or not callable(route.script):
        raise PackUnreadable(f"{where}: expected an author in text and a script that is a function")


@lru_cache(maxsize=1)
def _routes_at(folder: str) -> tuple[PackRoute, ...]:
    return read_pack_routes(Path(folder))


def pack_routes() -> tuple[PackRoute, ...]:
    """The routes of the pack that :data:`PACK_PATH` names; none where it names nothing.

    Raises:
        PackUnreadable: as :func:`read_pack_routes`.
    """
    folder = os.environ.get(PACK_PATH)
    return _routes_at(folder) if folder else ()


def tell_pack_routes(folder: str) -> None:
    """Print the routes of a pack as JSON, or why there are none: for a process of its own.

    What a file does while it is read (it may loop) then cannot hold up whoever asks.
    """
    try:
        routes = read_pack_routes(Path(folder))
    except (PackUnreadable, OSError) as error:
        sys.stdout.write(json.dumps({"refused": str(error)}))
        return
    rows = [
        {
            "scenario": one.scenario,
            "name": one.route.name,
            "intent": one.route.intent,
            "author": one.route.author,
        }
        for one in routes
    ]
    sys.stdout.write(json.dumps({"routes": rows}))
