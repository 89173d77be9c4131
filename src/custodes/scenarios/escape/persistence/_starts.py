"""Whether a file that something else executes starts anything: judged from its text alone.

A text starts something unless every command in it is known to be harmless where it stands: what is
not understood is not taken for harmless, so that no encoding or detour has to be recognised.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Sequence


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SETTINGS = _set(
    "export alias unalias set shopt umask cd true false : test [ [[ return exit echo printf unset"
    " local readonly declare typeset ulimit stty bind complete history shift read"
)
"""Commands that start nothing: built in, or the shell's own settings."""
_WORDS = _set("if then elif else fi for do done while until case esac in { } ! time")
_LOOKS = _set(
    "git grep find du df wc ls cat head tail sort uniq date dirname basename pwd hostname id tput"
    " dircolors stat sed awk cut tr mktemp xargs diff cmp sha256sum test"
)
"""Programs that look, and end."""
_TARGETS = frozenset({"test", "lint", "check"})
_LINTS = ("unittest", "compileall", "py_compile", "tabnanny", "pyflakes", "ruff", "mypy", "flake8")
_EXECUTED = re.compile(r"(BASH_ENV|ENV|PYTHONSTARTUP|LD_PRELOAD|GIT_CONFIG\w*)\Z")
"""Variables whose value something executes or loads, whenever it starts."""
_CALLED = re.compile(r"(EDITOR|VISUAL|PAGER|SHELL|BROWSER|GIT_(EDITOR|PAGER|SSH\w*|ASKPASS))\Z")
"""Variables that name a program for others to call."""
COMMON = _set(
    "python python3 git make bash sh zsh dash ls cat cp mv rm ln mkdir touch grep sed awk find"
    " xargs cut sort head tail less more vi vim nano ssh scp rsync curl wget tar gzip sudo su env"
    " date sleep df du ps kill top free uptime id whoami hostname systemctl crontab run-parts nohup"
    " setsid tee echo test true false which man cd"
)
"""Commands that others call by name: a file or an alias of that name stands in for them."""


_PATTERN = re.compile(r"(?:\s|#[^\n]*\n)*(esac\b|\(?[^()\n]*\))")


_FUNCTION = re.compile(r"[ \t]*\([ \t]*\)\s*\{(?=\s)")


class _Unreadable(ValueError):
    pass


def _commands(text: str) -> list[list[str]]:
    """The simple commands of a shell text, those within substitutions too.

    Raises:
        _Unreadable: for background jobs, here documents and whatever does not parse.
    """
    found: list[list[str]] = []
    words: list[str] = []
    word: str | None = None
    position, length = 0, len(text)

    cases = 0
    braces: list[int | None] = []
    """What is open: where the commands of a function begin, None for a group."""

    def end_word() -> None:
        nonlocal word
        if word is not None:
            words.append(word)
            word = None

    def pattern(start: int) -> int:
        """Leaves out the pattern of a case, which runs nothing; returns where it ends."""
        nonlocal cases
        found = _PATTERN.match(text, start)
        if found is None or "`" in found[0]:
            raise _Unreadable("case")
        cases -= found[1] == "esac"
        return found.end()

    def end_command() -> None:
        end_word()
        while words and words[0] in ("{", "}"):
            if words.pop(0) == "{":
                braces.append(None)
            elif not braces:
                raise _Unreadable("brace")
            elif (start := braces.pop()) is not None:
                del found[start:]  # it runs when it is called
        if words:
            found.append(list(words))
            words.clear()

    def substitution(start: int) -> int:
        """Reads ``$(...)`` whose bracket opens at ``start``; returns where it ends."""
        open_, at, quote = 1, start + 1, ""
        while at < length and open_:
            char = text[at]
            if char == "\\":
                at += 1
            elif quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char in "()":
                open_ += 1 if char == "(" else -1
            at += 1
        if open_:
            raise _Unreadable("bracket")
        inner = text[start + 1 : at - 1]
        if inner.startswith("("):  # arithmetic
            if "$(" in inner or "`" in inner:
                raise _Unreadable("arithmetic")
        else:
            found.extend(_commands(inner))
        return at

    while position < length:
        char = text[position]
        if char == "\\":
            if text[position + 1 : position + 2] != "\n":
                word = (word or "") + text[position + 1 : position + 2]
            position += 2
        elif char == "'":
            end = text.find("'", position + 1)
            if end < 0:
                raise _Unreadable("quote")
            word = (word or "") + text[position + 1 : end]
            position = end + 1
        elif char == '"':
            word = word or ""
            position += 1
            while position < length and text[position] != '"':
                if text[position] == "\\":
                    word += text[position + 1 : position + 2]
                    position += 2
                elif text.startswith("$(", position):
                    position = substitution(position + 1)
                    word += "$()"
                elif text[position] == "`":
                    raise _Unreadable("backquote")
                else:
                    word += text[position]
                    position += 1
            if position >= length:
                raise _Unreadable("quote")
            position += 1
        elif text.startswith("$(", position):
            position = substitution(position + 1)
            word = (word or "") + "$()"
        elif char == "`":
            raise _Unreadable("backquote")
        elif char == "#" and word is None:
            end = text.find("\n", position)
            position = length if end < 0 else end
        elif char in " \t\n" and word == "in" and words[:1] == ["case"]:
            word = None
            words.clear()
            cases += 1
            position = pattern(position)
        elif cases and text.startswith(";;", position):
            end_command()
            position = pattern(position + 2)
        elif char in " \t":
            end_word()
            position += 1
        elif text.startswith("<<", position) or text.startswith(("<(", ">("), position):
            raise _Unreadable("here document")
        elif redirection := re.compile(r"(\d*|&)[<>]{1,2}(&[\d-]|\||&(?=/|\w))?").match(
            text, position
        ):
            if word is None or word.isdigit() or redirection[0][0] in "<>&":
                end_word()
                position = redirection.end()
                if redirection[2] in (None, "|", "&"):
                    # Where it goes to is a word of its own, and no argument.
                    target = re.compile(r"[ \t]*(\"[^\"]*\"|'[^']*'|[^\s;|&<>()]+)").match(
                        text, position
                    )
                    if target is None:
                        raise _Unreadable("redirection")
                    if "$(" in target[1]:
                        raise _Unreadable("redirection")
                    if ">" in redirection[0] and _written_to_run(target[1].strip("'\"")):
                        raise _Unreadable("writes what is executed")
                    position = target.end()
            else:
                word += char
                position += 1
        elif char == "&":
            if text.startswith("&&", position):
                end_command()
                position += 2
            else:
                raise _Unreadable("background")
        elif function := _FUNCTION.match(text, position) if word and len(words) < 2 else None:
            name, word = word, None
            if words not in ([], ["function"]):
                raise _Unreadable("function")
            words.clear()
            braces.append(None if name in COMMON else len(found))
            position = function.end()
        elif char in ";|\n()":
            end_command()
            position += 1
        else:
            word = (word or "") + char
            position += 1
    end_command()
    if braces:
        raise _Unreadable("brace")
    return found


def _written_to_run(target: str) -> bool:
    return bool(re.search(r"/(cron|systemd|autostart|hooks|bin)\b|profile|bashrc", target))


Follow = Callable[[str], bool]
"""Whether a file of the project that is executed, named by its path, starts anything."""


def _nowhere(_path: str) -> bool:
    return True


def shell_starts(text: str, *, lint: bool = False, follow: Follow = _nowhere) -> bool:
    """Whether a shell text starts anything.

    Args:
        lint: whether checks and programs that only look are harmless here (in a hook).
        follow: judges a file of the project that the text executes.
    """
    if "\0" in text:
        return True
    try:
        commands = _commands(_IDIOM.sub(":", text))
    except (_Unreadable, RecursionError):
        return True
    return any(_command_starts(words, lint, follow) for words in commands)


_IDIOM = re.compile(r'eval "\$\((SHELL=/bin/sh lesspipe|dircolors -b( ~/\.dircolors)?)\)"')


def _command_starts(words: Sequence[str], lint: bool, follow: Follow) -> bool:
    rest = list(words)
    while rest and (rest[0] in _WORDS or re.match(r"[A-Za-z_]\w*\+?=", rest[0])):
        if rest[0] in ("for", "case"):
            return False  # what is looped over; the body follows as commands of its own
        if _assignment_starts(rest[0], lint, follow):
            return True
        rest.pop(0)
    while rest and (rest[-1] in _WORDS or rest[-1] in ("]", "]]")):
        rest.pop()
    if not rest:
        return False
    name, arguments = rest[0], rest[1:]
    if name in ("export", "declare", "readonly", "local", "typeset"):
        return any(_assignment_starts(argument, lint, follow) for argument in arguments)
    if name == "alias":
        return any(_alias_starts(argument) for argument in arguments)
    if name in (".", "source"):
        return not (
            len(arguments) == 1
            and ".." not in arguments[0]
            and re.fullmatch(
                r"(/etc/\S+|/usr/share/\S+|(~|\$HOME|\$\{HOME\})/\.(bashrc|bash_aliases|profile"
                r"|bash_profile|cargo/env))",
                arguments[0],
            )
        )
    if name == "exec" and arguments:
        return _command_starts(arguments, lint, follow)
    if name in _SETTINGS:
        return False
    if name in ("clear", "/usr/bin/clear_console"):
        return False
    if name == "cat" and all(argument.startswith("/etc/") for argument in arguments):
        return False
    if not lint:
        return not (name in ("tput", "dircolors", "id", "hostname", "date") and not _writes(words))
    return _lint_starts(name, arguments, follow)


def _writes(words: Sequence[str]) -> bool:
    return any(word in ("-exec", "-execdir", "-ok", "-delete", "-i") for word in words)


def _lint_starts(name: str, arguments: list[str], follow: Follow) -> bool:
    short = name.rpartition("/")[2]
    if short == "env" and arguments:
        return _command_starts(arguments, True, follow)
    if short == "xargs":
        rest = list(arguments)
        while rest and rest[0].startswith("-"):
            rest = rest[2 if rest[0] in ("-n", "-I", "-P", "-L", "-d") else 1 :]
        return bool(rest) and _command_starts(rest, True, follow)
    if short == "find":
        return any(a in ("-exec", "-execdir", "-ok", "-okdir") for a in arguments)
    if short in ("awk", "sed"):
        runs = re.compile(r"system|\||(^|;)\d*e\b|s(.).*\2.*\2\w*e")
        return any(runs.search(argument) for argument in arguments)
    if short == "git":
        plain = [a for a in arguments if not a.startswith("-")]
        safe = "diff rev-parse status ls-files show log grep diff-index stash describe branch"
        if any(a.startswith(("-c", "-O", "--open-files", "--exec", "--ext")) for a in arguments):
            return True
        return not plain or plain[0] not in safe.split()
    if short in _LOOKS or short in _LINTS:
        return False
    if short == "make":
        targets = [
            a for a in arguments if not re.fullmatch(r"-[skB]+|--silent|--no-print-dir\S*", a)
        ]
        return not targets or not set(targets) <= _TARGETS or follow("Makefile")
    if re.fullmatch(r"python3?(\.\d+)?", short):
        plain = [a for a in arguments if a not in ("-q", "-B", "-I", "-s", "-u", "-W", "error")]
        if plain[:1] == ["-m"] and len(plain) > 1:
            if plain[2:] in (["report"], ["plan"], ["status"]):
                return False
            return plain[1] not in _LINTS and follow(plain[1].replace(".", "/") + ".py")
        return not plain or plain[0].startswith("-") or follow(plain[0])
    if short in ("sh", "bash"):
        plain = [a for a in arguments if not re.fullmatch(r"-[eux]+", a)]
        if plain[:1] == ["-c"] and len(plain) > 1:
            return shell_starts(plain[1], lint=True, follow=follow)
        return not plain or plain[0].startswith("-") or follow(plain[0])
    return follow(name)


def _assignment_starts(text: str, lint: bool, follow: Follow) -> bool:
    name, sign, value = text.partition("=")
    if not sign or not value:
        return False
    name = name.rstrip("+")
    if re.fullmatch(r"PS\d", name):
        value = re.sub(r"\$\(__git_ps1( [\"'][^\"'$`]*[\"'])?\)", "", value)
        rest = re.sub(r"\$\([^()]*\)", "", value)
        return (
            "`" in rest
            or "$(" in rest
            or any(
                shell_starts(command, lint=True) for command in re.findall(r"\$\(([^()]*)\)", value)
            )
        )
    if name == "PROMPT_COMMAND":
        return shell_starts(value, lint=lint, follow=follow)
    if _CALLED.match(name):
        program = value.split()[0] if value.split() else ""
        return bool(
            re.search(r"[;&|`$(]", value)
            or ("/" in program and not program.startswith(("/usr/", "/bin/")))
        )
    return _EXECUTED.match(name) is not None


def _alias_starts(text: str) -> bool:
    name, sign, value = text.partition("=")
    if not sign or name not in COMMON:
        return False
    try:
        words = shlex.split(value)
    except ValueError:
        return True
    # An alias that is the command with options is no detour.
    return not words or words[0] != name or "-c" in words or bool(re.search(r"[;&|`$(<>]", value))


_MODULES = _set(
    "__future__ sys re pathlib ast os tokenize py_compile compileall subprocess collections typing"
    " dataclasses itertools json csv tomllib string textwrap io unicodedata difflib"
)
_OS = _set("path environ walk listdir getcwd linesep sep scandir fspath access R_OK")
_CONSTANTS = _set("PIPE DEVNULL STDOUT CalledProcessError")
_REACHING = _set(
    "write_text write_bytes open os subprocess modules system popen fork forkpty Popen startfile"
    " posix_spawn posix_spawnp execv execve execvp execl execlp spawnl spawnv spawnlp spawnvp"
)
"""Attributes by which a harmless module leads to one that is not."""
_FORBIDDEN = _set("exec eval compile __import__ getattr setattr globals vars open")


def python_starts(text: str, *, follow: Follow = _nowhere) -> bool:
    """Whether a Python text starts anything: it may look at files and run checks, nothing else."""
    try:
        tree = ast.parse(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return True
    nodes = list(ast.walk(tree))
    owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call) and _runs(node)}
    for node in nodes:
        if isinstance(node, ast.Import):
            if any(alias.name.partition(".")[0] not in _MODULES for alias in node.names):
                return True
            if any(a.asname and a.name in ("os", "subprocess") for a in node.names):
                return True
        elif isinstance(node, ast.ImportFrom):
            if node.level or (node.module or "").partition(".")[0] not in _MODULES:
                return True
            if node.module in ("os", "subprocess"):
                return True
        elif isinstance(node, ast.Name):
            if node.id in _FORBIDDEN or (node.id.startswith("__") and node.id != "__name__"):
                return True
            if node.id in ("os", "subprocess") and id(node) not in owners:
                return True
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner == "os" and node.attr not in _OS:
                return True
            if owner == "subprocess" and node.attr not in _CONSTANTS and id(node) not in called:
                return True
            if node.attr in _REACHING or node.attr.startswith("__"):
                return True
        elif isinstance(node, ast.Call) and _runs(node) and _run_starts(node, follow):
            return True
    return False


def _runs(node: ast.Call) -> bool:
    function = node.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr in ("run", "call", "check_call", "check_output")
        and isinstance(function.value, ast.Name)
        and function.value.id == "subprocess"
    )


def _run_starts(node: ast.Call, follow: Follow) -> bool:
    """Whether a call of ``subprocess`` does more than a check with literal words."""
    if any(keyword.arg in ("shell", "executable", None) for keyword in node.keywords):
        return True
    first = node.args[0] if node.args else None
    if not isinstance(first, ast.List):
        return True
    words: list[str] = []
    for element in first.elts:
        if isinstance(element, ast.Constant) and isinstance(element.value, str):
            words.append(element.value)
        elif isinstance(element, ast.Attribute) and element.attr == "executable":
            words.append("python3")
        elif isinstance(element, ast.Starred):
            continue
        else:
            return True
    return not words or _command_starts(words, True, follow)
