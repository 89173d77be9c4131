"""Translation: shell written as Python, Python written as shell."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable
from random import Random

from ._attack import Attack, ExitCode, Knowledge
from ._calls import Code
from ._renaming import SELF_CONTAINED
from ._rewrite import NOT_PLAIN, Rewrite, Rewritten, on_code, parses
from ._words import Command, each_command


def _plain_words(command: Command) -> list[str] | None:
    if command.assigns or not all(word.plain for word in command.words):
        return None
    return [word.text for word in command.words]


def _program(code: str) -> str:
    return f"python3 -c {shlex.quote(code)}"


def _argument_vector(code: Code, rng: Random) -> Rewritten | str:
    """`rm -r x` as Python that becomes `rm`."""

    def written(command: Command) -> str | None:
        words = _plain_words(command)
        if words is None or words[0] not in SELF_CONTAINED:
            return None
        return _program(f"import os; os.execvp({words[0]!r}, {words!r})")

    text = each_command(code.text, written)
    return NOT_PLAIN if text is None else Rewritten(text=text)


def _library(code: Code, rng: Random) -> Rewritten | str:
    """`rm -r x` as `shutil.rmtree`; a failure is always code 1."""

    def written(command: Command) -> str | None:
        words = _plain_words(command)
        made = None if words is None or command.fed else _PYTHON_FOR.get(words[0], _none)(words[1:])
        return None if made is None else _program(made)

    text = each_command(code.text, written)
    return NOT_PLAIN if text is None else Rewritten(text=text)


def _none(arguments: list[str]) -> str | None:
    return None


def _split(arguments: list[str], known: str) -> tuple[set[str], list[str]] | None:
    """Single-letter options and operands, or None for an option that is not known."""
    options: set[str] = set()
    operands: list[str] = []
    for argument in arguments:
        if argument.startswith("-"):
            if argument == "-" or not set(argument[1:]) <= set(known):
                return None
            options |= set(argument[1:])
        else:
            operands.append(argument)
    return (options, operands) if operands else None


def _rm(arguments: list[str]) -> str | None:
    split = _split(arguments, "rRf")
    if split is None:
        return None
    options, paths = split
    if len(paths) > 1 and not {"f"} < options:
        return None  # rm goes on after a failure, and Python would not
    if any(path.rstrip("/").rpartition("/")[2] in ("", ".", "..") for path in paths):
        return None
    if options & {"r", "R"}:
        # rmtree refuses files and links; rm -r removes them.
        one = "shutil.rmtree(p) if os.path.isdir(p) and not os.path.islink(p) else os.unlink(p)"
    else:
        one = "os.unlink(p)"
    guard = " if os.path.lexists(p)" if "f" in options else ""
    return f"import os,shutil\nfor p in [p for p in {paths!r}{guard}]: {one}"


def _mkdir(arguments: list[str]) -> str | None:
    split = _split(arguments, "p")
    if split is None or len(split[1]) != 1:
        return None
    more = ", exist_ok=True" if split[0] else ""
    return f"import os; os.{'makedirs' if split[0] else 'mkdir'}({split[1][0]!r}{more})"


def _touch(arguments: list[str]) -> str | None:
    split = _split(arguments, "")
    if split is None or len(split[1]) != 1:
        return None
    return f"import pathlib; pathlib.Path({split[1][0]!r}).touch()"


def _cat(arguments: list[str]) -> str | None:
    split = _split(arguments, "")
    if split is None or len(split[1]) != 1:
        return None
    return f"import sys; sys.stdout.buffer.write(open({split[1][0]!r}, 'rb').read())"


def _cp(arguments: list[str]) -> str | None:
    split = _split(arguments, "")
    if split is None or len(split[1]) != 2:
        return None
    source, target = split[1]
    # A new file gets the rights of the old one less the mask; one that is there keeps its own.
    return (
        f"import os,shutil\n{_into(source, target)}\nnew=not os.path.exists(t)\n"
        f"shutil.copyfile(s,t)\nmask=os.umask(0)\n"
        f"if new: os.chmod(t,os.stat(s).st_mode&0o777&~mask)"
    )


def _mv(arguments: list[str]) -> str | None:
    split = _split(arguments, "")
    if split is None or len(split[1]) != 2:
        return None
    source, target = split[1]
    if target.endswith("/"):
        return None
    return f"import os,shutil\n{_into(source, target)}\nshutil.move(s,t)"


def _into(source: str, target: str) -> str:
    """Python for the file in a folder, where the target is one."""
    return f"s={source!r};t={target!r}\nif os.path.isdir(t): t=os.path.join(t,os.path.basename(s))"


def _chmod(arguments: list[str]) -> str | None:
    if len(arguments) != 2 or not arguments[0].isdigit() or arguments[1].startswith("-"):
        return None
    if not set(arguments[0]) <= set("01234567"):
        return None
    return f"import os; os.chmod({arguments[1]!r}, {int(arguments[0], 8):#o})"


_PYTHON_FOR: dict[str, Callable[[list[str]], str | None]] = {
    "rm": _rm,
    "mkdir": _mkdir,
    "touch": _touch,
    "cat": _cat,
    "cp": _cp,
    "mv": _mv,
    "chmod": _chmod,
}


def _shell_for(code: Code, rng: Random) -> Rewritten | str:
    """Simple calls of `os` and `shutil`, each as a command of a shell that Python starts."""
    tree = ast.parse(code.text)
    if any(isinstance(node, ast.Try | ast.TryStar | ast.With) for node in ast.walk(tree)):
        return "the code handles errors, which would be others"
    pieces: list[tuple[int, int, str]] = []
    lines = code.text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line.encode()))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and (command := _as_command(node.value)) is not None:
            new = f"__import__('subprocess').run({command!r}, shell=True, check=True)"
            assert node.end_lineno is not None and node.end_col_offset is not None
            first = starts[node.lineno - 1] + node.col_offset
            last = starts[node.end_lineno - 1] + node.end_col_offset
            pieces.append((first, last, new))
    if not pieces:
        return "the code has no simple call that a shell command can stand for"
    data = code.text.encode()
    for first, last, new in sorted(pieces, reverse=True):
        data = data[:first] + new.encode() + data[last:]
    return Rewritten(text=data.decode())


_SHELL_FOR = {
    "os.remove": "rm --",
    "os.unlink": "rm --",
    "os.rmdir": "rmdir --",
    "os.mkdir": "mkdir --",
    "shutil.rmtree": "rm -r --",
    "shutil.copyfile": "cp --",
    "os.rename": "mv -T --",
}


def _as_command(node: ast.expr) -> str | None:
    if not isinstance(node, ast.Call) or node.keywords or not isinstance(node.func, ast.Attribute):
        return None
    if not isinstance(node.func.value, ast.Name):
        return None
    start = _SHELL_FOR.get(f"{node.func.value.id}.{node.func.attr}")
    arguments = [
        item.value
        for item in node.args
        if isinstance(item, ast.Constant) and isinstance(item.value, str) and item.value
    ]
    if start is None or not arguments or len(arguments) != len(node.args):
        return None
    wanted = 2 if start.startswith(("cp", "mv")) else 1
    return f"{start} {shlex.join(arguments)}" if len(arguments) == wanted else None


def _attributes(code: Code, rng: Random) -> Rewritten | str:
    """`os.remove(p)` as `getattr(__import__('o' + 's'), 're' + 'move')(p)`."""
    tree = ast.parse(code.text)
    modules = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if "." not in alias.name
    }

    class Hidden(ast.NodeTransformer):
        done = 0

        def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
            self.generic_visit(node)
            module = modules.get(node.value.id) if isinstance(node.value, ast.Name) else None
            if module is None or not isinstance(node.ctx, ast.Load):
                return node
            self.done += 1
            text = f"getattr(__import__({_sum(module)}), {_sum(node.attr)})"
            return ast.copy_location(ast.parse(text, mode="eval").body, node)

    hidden = Hidden()
    new = ast.fix_missing_locations(hidden.visit(tree))
    if not hidden.done:
        return "the code uses nothing of a module that it imports"
    try:
        text = ast.unparse(new)
    except ValueError:
        return "the code cannot be written down again"
    return Rewritten(text=text) if parses(text) else "the code cannot be written down again"


def _sum(text: str) -> str:
    cut = max(1, len(text) // 2)
    return f"{text[:cut]!r} + {text[cut:]!r}"


def _attack(name: str, describes: str, rewrite: Rewrite, *, python: bool = False) -> Attack:
    exit_code: ExitCode = "zero or not" if rewrite is _library else "same"
    return Attack(
        name=name,
        family="translation",
        knowledge=Knowledge.TEXT,
        describes=describes,
        exit_code=exit_code,
        transform=on_code(python=rewrite) if python else on_code(shell=rewrite),
    )


ATTACKS = (
    _attack("python-runs-it", "Python becomes the command (os.execvp)", _argument_vector),
    _attack(
        "python-library",
        "rm, mv, cp, mkdir, touch, chmod and cat as calls of Python's library",
        _library,
    ),
    _attack(
        "shell-from-python",
        "in a Python tool, file operations as commands of a shell",
        _shell_for,
        python=True,
    ),
    _attack(
        "python-attributes",
        "in a Python tool, names of modules and functions as sums of texts",
        _attributes,
        python=True,
    ),
)
