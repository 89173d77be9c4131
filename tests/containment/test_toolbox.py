"""The toolbox: pinned, read-only, the same for every task, and never silently absent."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.containment import (
    Sandbox,
    SandboxSpec,
    SandboxUnavailable,
    _toolbox,
    _volumes,
    missing_requirements,
    toolbox,
    toolbox_for,
)

pytestmark = pytest.mark.anyio
PROVIDED = sorted([*_toolbox.PROGRAMS, *(f"python3:{name}" for name in _toolbox.MODULES)])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def installed() -> Path:
    try:
        return _toolbox._installed()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def fresh() -> Iterator[None]:
    """As in a process that has not laid the toolbox out yet."""
    before = dict(_toolbox._linked)
    _toolbox._linked.clear()
    yield
    for volume in _toolbox._linked.values():
        _volumes.remove_volume(volume.parent)
    _toolbox._linked.clear()
    _toolbox._linked.update(before)


async def test_everything_that_it_promises_is_found_inside_and_works(installed: Path) -> None:
    tools = toolbox()
    spec = SandboxSpec(read_only=tools.read_only, environment=tools.environment)
    async with await Sandbox.start(spec) as box:
        assert await missing_requirements(box, ["git", "python3", *PROVIDED]) == {}
        await box.write_file("test_it.py", b"import yaml\ndef test(tmp_path): assert 1 + 1 == 2\n")
        done = await box.exec(["pytest", "-q", "-p", "no:cacheprovider"])
        assert done.returncode == 0 and b"1 passed" in done.stdout, done
        done = await box.exec(["sh", "-c", "pytest --version; python3 -m pytest --version"])
        locked = re.search(r"^pytest==(\S+)", lock(), re.M)
        assert locked is not None
        assert done.stdout.decode() == f"pytest {locked[1]}\n" * 2
        for attempt in ("touch /opt/tools/lib/x", "chmod u+w /opt/tools/lib/yaml/__init__.py",
                        "echo >> /opt/tools/bin/pytest", "rm /opt/tools/bin/python3"):  # fmt: skip
            assert not (await box.exec(["sh", "-c", attempt])).success
        done = await box.exec(
            ["sh", "-c", "grep -rils custodes /opt/tools; grep -i custodes /proc/self/mountinfo"]
        )
        assert done.stdout == b""
        done = await box.exec(["python3", "-c", "import sys; print(sys.prefix)"])
        assert done.stdout == b"/usr\n" or done.stdout == b"/usr/local\n"


async def test_a_task_that_does_not_ask_for_it_does_not_get_it() -> None:
    assert toolbox_for(["git", "python3", "python3:json", "make"]) == _toolbox.Toolbox()
    async with await Sandbox.start() as box:
        assert not (await box.exec(["ls", "/opt/tools"])).success


async def test_what_is_missing_inside_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_toolbox, "PROGRAMS", frozenset({"pinned-tool"}))
    async with await Sandbox.start() as box:
        missing = await missing_requirements(
            box, ["git", "pinned-tool", "other-tool", "python3:x9", "python3:json"]
        )
    assert missing == {
        "pinned-tool": "expected pinned-tool in the sandbox, found none; run make toolbox",
        "other-tool": "expected other-tool in the sandbox, found none; install other-tool on this "
        "machine, below /usr",
        "python3:x9": "expected python3:x9 in the sandbox, found none; install x9 for the "
        "system's Python",
    }


@pytest.mark.parametrize(
    "text", ["", "a b", "-x", "$(id)", "python3:a-b", "python3:", "node:x", "../git", "a\nb"]
)
def test_what_is_neither_program_nor_module_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a program"):
        toolbox_for([text])


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"schema": "other/1"}'])
def test_without_a_toolbox_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None, content: str | None
) -> None:
    monkeypatch.setenv("CUSTODES_TOOLBOX", str(tmp_path))
    if content is not None:
        (tmp_path / "toolbox.json").write_text(content)
    with pytest.raises(SandboxUnavailable) as refused:
        toolbox_for(["git", "pytest"])
    assert str(refused.value) == (
        f"expected the toolbox at {tmp_path}, found none; run make toolbox, or name another with "
        "CUSTODES_TOOLBOX"
    )


def test_a_toolbox_for_a_python_that_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    monkeypatch.setenv("CUSTODES_TOOLBOX", str(tmp_path))
    about = {"schema": "custodes.toolbox/1", "python": "/usr/bin/python9.9"}
    (tmp_path / "toolbox.json").write_text(json.dumps(about))
    with pytest.raises(SandboxUnavailable, match=r"expected /usr/bin/python9\.9"):
        toolbox()


@pytest.mark.slow
def test_on_another_file_system_it_is_copied(
    installed: Path, monkeypatch: pytest.MonkeyPatch, fresh: None
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (folder, _), (libraries, _) = toolbox().read_only
    assert (folder / "pytest").stat().st_nlink == 1
    assert (folder / "python3").is_symlink()
    assert (libraries / "yaml" / "__init__.py").read_bytes() == (
        installed / "lib" / "yaml" / "__init__.py"
    ).read_bytes()


def test_without_room_nothing_of_it_is_left(
    installed: Path, monkeypatch: pytest.MonkeyPatch, fresh: None, tmp_path: Path
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    made = [_volumes.make_volume()]
    monkeypatch.setattr(_volumes, "make_volume", lambda: made[0])
    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(SandboxUnavailable, match="No space left on device; set TMPDIR"):
        toolbox()
    assert not made[0].exists()


LAY_OUT = """
import signal, sys
from custodes.containment import toolbox
print(toolbox().read_only[0][0].parent.parent, flush=True)
if sys.argv[1] == "wait":
    signal.pause()
"""


@pytest.mark.parametrize("ends", ["exit", "wait"])
def test_it_goes_with_its_process_or_with_the_next_sweep(installed: Path, ends: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LAY_OUT, ends], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        volume = Path(process.stdout.readline().strip())
        if ends == "wait":
            assert (volume / "data" / "bin" / "pytest").exists()
            process.send_signal(signal.SIGKILL)
    _volumes.sweep()
    deadline = time.monotonic() + 10
    while volume.exists() and time.monotonic() < deadline:  # another process may be at it
        time.sleep(0.05)
    assert not volume.exists()
    assert (installed / "bin" / "pytest").exists()


# ---------------------------------------------------------------------- what is pinned


def lock() -> str:
    root = Path(__file__).resolve().parents[2]
    return (root / "requirements" / "toolbox.txt").read_text("utf-8")


def test_every_tool_is_at_one_version_with_hashes_and_no_other_source() -> None:
    blocks = re.split(r"\n(?=[a-z])", lock().strip())
    names = set()
    for block in blocks:
        first, *rest = [line for line in block.splitlines() if line.split("#")[0].strip()]
        match = re.match(r"([a-z0-9-]+)==[^\s;]+( ; [^\\]+)? \\$", first)
        assert match, first
        assert rest and all(re.match(r" +--hash=sha256:[0-9a-f]{64}( \\)?$", line) for line in rest)
        names.add(match[1])
    root = Path(__file__).resolve().parents[2]
    wanted = (root / "requirements" / "toolbox.in").read_text("utf-8").splitlines()
    assert {line for line in wanted if not line.startswith("#")} <= names
