"""Exit codes, and the one line that stands for every error a user can cause."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn, TypeVar

import click

DONE = 0
THRESHOLD = 1
USAGE = 2
UNMEASURABLE = 3
FAILED = 4

_F = TypeVar("_F", bound=Callable[..., Any])


class Exit(Exception):
    """Ends the command with a code and, where there is something to say, a line."""

    def __init__(self, code: int, line: str = "") -> None:
        super().__init__(line)
        self.code = code
        self.line = line


def strongest(*codes: int) -> int:
    """The code that stands for several: 4, then 2, 1, 3, 0."""
    order = (DONE, UNMEASURABLE, THRESHOLD, USAGE, FAILED)
    return max(codes, key=order.index, default=DONE)


def _refuse(code: int, text: str) -> NoReturn:
    click.echo(f"custodes: {_one_line(text)}", err=True)
    raise SystemExit(code)


def _one_line(text: str) -> str:
    # What an error quotes may come from a file: control characters stay out of the terminal.
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


def ends_on_term() -> None:
    """Have a request to end (SIGTERM) clear up as Ctrl-C does: for what plants on the host."""
    # A shell starts background commands with SIGINT ignored, and so Python would leave it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


def reported(command: _F) -> _F:
    """Turn what can go wrong into one clear line and the right exit code, never a traceback."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except Exit as end:
            if end.line:
                _refuse(end.code, end.line)
            raise SystemExit(end.code) from None
        except (KeyboardInterrupt, click.Abort):
            _refuse(FAILED, "interrupted; the same command goes on where it stopped")
        except click.ClickException:
            raise
        except BrokenPipeError:
            # Whoever read the output has seen enough (`| head`): nothing is left to say to them.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(FAILED) from None
        except BaseExceptionGroup as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            _refuse(*_coded(first))
        except Exception as error:
            _refuse(*_coded(error))

    return run  # type: ignore[return-value]


# By name: importing the rooms that define them would cost every command their start.
_USAGE_ERRORS = frozenset(
    {
        "BadInput",
        "ClientError",
        "MappingError",
        "BadRules",
        "BadScanThreshold",
        "BadSince",
        "BadSuppressions",
        "BadThreshold",
        "NoSuchPath",
        "NothingToCompare",
        "PackError",
        "PlanError",
        "LookupError",
        "UnknownPolicy",
    }
)

_FAILURES = frozenset(
    {
        "EnvironmentUnfit",
        "FolderInUse",
        "ModelRefused",
        "PlotsUnavailable",
        "SandboxUnavailable",
    }
)


def _coded(error: BaseException) -> tuple[int, str]:
    from custodes.case import CaseError, ConfigError, NotACase

    if isinstance(error, (ConfigError, NotACase)):
        return USAGE, str(error)
    if isinstance(error, CaseError):
        return FAILED, str(error)
    name = type(error).__name__
    if name in _USAGE_ERRORS:
        return USAGE, str(error)
    if name in _FAILURES:
        return FAILED, str(error)
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        return FAILED, f"{error.strerror or error}{where}"
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return FAILED, "interrupted; the same command goes on where it stopped"
    if os.environ.get("CUSTODES_TRACEBACK"):
        import traceback

        traceback.print_exception(error)
    return FAILED, (
        f"unexpected {name}: {error}; this is a defect of Custodes "
        "(CUSTODES_TRACEBACK=1 shows where)"
    )
