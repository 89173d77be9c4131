"""The executor's bytes: compiled once from C and cached, or the Python twin."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ._spec import SandboxUnavailable

_SOURCES = Path(__file__).parent / "_inside"
_FLAGS = ("-Os", "-s", "-std=gnu11")
_lock = threading.Lock()
_loaded: dict[str, ExecutorProgram] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorProgram:
    """What runs as the first process: an ELF file or a Python script."""

    kind: Literal["c", "python"]
    content: bytes
    interpreter: str | None = None


def executor_program(wanted: Literal["auto", "c", "python"] = "auto") -> ExecutorProgram:
    """The executor to hand into a sandbox. Compiles at the first call (about 0.3 s).

    Raises:
        SandboxUnavailable: the wanted kind cannot be had here.
    """
    with _lock:
        if wanted in _loaded:
            return _loaded[wanted]
        content = _compiled() if wanted != "python" else None
        if content is not None:
            program = ExecutorProgram(kind="c", content=content)
        elif wanted == "c":
            raise SandboxUnavailable(
                "expected a C compiler (cc) to build the executor, found none that works; "
                "install gcc, or use executor 'python'"
            )
        else:
            script = (_SOURCES / "executor_fallback.py").read_bytes()
            program = ExecutorProgram(kind="python", content=script, interpreter=_interpreter())
        _loaded[wanted] = program
        return program


def _interpreter() -> str:
    """A Python that exists inside too, that is: under the host's /usr."""
    for name in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(name, os.X_OK) and os.path.realpath(name).startswith("/usr/"):
            return name
    raise SandboxUnavailable(
        "expected a C compiler (cc) or /usr/bin/python3 for the executor, found neither; "
        "install gcc or python3"
    )


def _compiled() -> bytes | None:
    source = (_SOURCES / "executor.c").read_bytes()
    key = hashlib.sha256(source + " ".join(_FLAGS).encode()).hexdigest()
    name = f"executor-{key[:32]}-{platform.machine()}"
    for folder in _cache_folders():
        content = _read_trusted(folder / name)
        if content is not None:
            return content
    content = _compile(source)
    if content is not None:
        for folder in _cache_folders():
            if _store(folder, name, content):
                break
    return content


def _cache_folders() -> Iterator[Path]:
    # Not below /usr: that is the host's own and can be read inside.
    if sys.prefix != sys.base_prefix and not sys.prefix.startswith("/usr/"):
        yield Path(sys.prefix) / "share" / "custodes"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if home.startswith("/"):
        yield Path(home) / "custodes"
    # Not tempfile.gettempdir(): when every disk is full it answers the current folder.
    named = os.environ.get("TMPDIR", "")
    yield Path(named if named.startswith("/") else "/tmp") / f"cache-{os.geteuid()}"


def _read_trusted(path: Path) -> bytes | None:
    """The file's content if only this user (or root) could have written it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        for about in (os.fstat(fd), os.lstat(path.parent)):
            if about.st_uid not in (0, os.geteuid()) or about.st_mode & 0o022:
                return None
            if stat.S_ISLNK(about.st_mode):
                return None
        content = file.read()
    return content if content.startswith(b"\x7fELF") else None


def _store(folder: Path, name: str, content: bytes) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd, temporary = tempfile.mkstemp(dir=folder)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o500)
            os.rename(temporary, folder / name)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError:
        return False
    return _read_trusted(folder / name) is not None


def _compile(source: bytes) -> bytes | None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "executor.c").write_bytes(source)
            # Dynamic works as well: the host's C library is seen inside.
            for linking in (["-static"], []):
                done = subprocess.run(
                    [compiler, *_FLAGS, *linking, "-o", "executor", "executor.c"],
                    cwd=folder,
                    capture_output=True,
                    timeout=120,
                    check=False,
                )
                if done.returncode == 0:
                    return (Path(folder) / "executor").read_bytes()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None
