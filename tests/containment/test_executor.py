"""Where the executor comes from: compiled, cached, trusted; or the Python twin."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.containment import SandboxUnavailable, _executor

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for the cache, and nothing loaded yet."""
    monkeypatch.setattr(_executor, "_loaded", {})
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)  # not in a virtual environment
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    yield tmp_path / "custodes"


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_executor, "_loaded", {})


def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, **_: None)


@needs_compiler
def test_it_is_compiled_once_and_then_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _executor.executor_program("c")
    assert first.kind == "c" and first.content.startswith(b"\x7fELF")
    (stored,) = cache.iterdir()
    assert platform.machine() in stored.name
    assert stored.stat().st_mode & 0o777 == 0o500
    forget(monkeypatch)
    no_compiler(monkeypatch)
    assert _executor.executor_program("auto").content == first.content


@needs_compiler
def test_another_source_is_another_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _executor.executor_program("c")
    changed = cache.parent / "inside"
    shutil.copytree(_executor._SOURCES, changed)
    with (changed / "executor.c").open("a") as file:
        file.write("/* changed */\n")
    monkeypatch.setattr(_executor, "_SOURCES", changed)
    forget(monkeypatch)
    _executor.executor_program("c")
    assert len(list(cache.iterdir())) == 2


@needs_compiler
@pytest.mark.parametrize("flaw", ["writable file", "writable folder", "link", "not a program"])
def test_a_cached_file_that_others_could_have_written_is_not_used(
    cache: Path, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    content = _executor.executor_program("c").content
    (stored,) = cache.iterdir()
    planted = b"\x7fELF planted"
    stored.chmod(0o700)
    stored.write_bytes(planted)
    if flaw == "writable file":
        stored.chmod(0o777)
    elif flaw == "writable folder":
        cache.chmod(0o777)
    elif flaw == "link":
        stored.rename(cache.parent / "elsewhere")
        stored.symlink_to(cache.parent / "elsewhere")
    else:
        stored.write_bytes(b"#!/bin/sh\n")
    forget(monkeypatch)
    found = _executor.executor_program("c").content
    assert found != planted and found.startswith(b"\x7fELF")
    assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest()


@needs_compiler
def test_no_place_to_cache_is_no_obstacle(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_executor, "_cache_folders", lambda: iter(()))
    assert _executor.executor_program("c").content.startswith(b"\x7fELF")


def test_without_a_compiler_the_python_twin_is_taken(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no /usr/bin/python3 here")
    no_compiler(monkeypatch)
    program = _executor.executor_program("auto")
    assert program.kind == "python" and program.interpreter == "/usr/bin/python3"
    with pytest.raises(SandboxUnavailable, match="install gcc"):
        _executor.executor_program("c")


def test_a_compiler_that_fails_is_no_compiler(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name, **_: str(broken))
    with pytest.raises(SandboxUnavailable, match="C compiler"):
        _executor.executor_program("c")


@needs_compiler
def test_the_source_compiles_without_a_warning(tmp_path: Path) -> None:
    source = _executor._SOURCES / "executor.c"
    done = subprocess.run(
        ["cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-c", str(source),
         "-o", str(tmp_path / "x.o")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@needs_compiler
def test_started_by_hand_it_ends_by_itself(cache: Path, tmp_path: Path) -> None:
    """Without a host on descriptor 0 there is nothing to serve."""
    program = tmp_path / "program"
    program.write_bytes(_executor.executor_program("c").content)
    program.chmod(0o700)
    done = subprocess.run([program], stdin=subprocess.DEVNULL, timeout=10, check=False)
    assert done.returncode == 3
