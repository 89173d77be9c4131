"""Which installation a command would start, and what of the machine the sandbox has to show."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from custodes.cli import main
from custodes.clients import ClientError, Installed, Preset, detect
from custodes.clients.presets import PRESETS
from custodes.containment import make_volume, remove_volume

from ..gate.clients import installed as pinned
from ..gate.trialling import needs_bubblewrap

CLAUDE = PRESETS["claude-code"]
CODEX = PRESETS["codex"]
SAYS = "#!{interpreter}\necho '{version} (a client)'\n"


@pytest.fixture
def shown() -> Iterator[Path]:
    """A folder that sandboxes can reach, whoever runs the tests."""
    needs_bubblewrap()
    volume = make_volume()
    yield volume / "data"
    remove_volume(volume)


@pytest.fixture
def no_home(shown: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = shown / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)
    return path


def shell(path: Path, script: str) -> Path:
    return written(path, f"#!/bin/sh\n{script}\n")


def packaged(folder: Path, name: str, version: str, **about: object) -> Path:
    """A package with one script of node, as npm lays it out."""
    package = folder / "node_modules" / name
    described = {"name": name, "version": version, **about}
    written(package / "package.json", json.dumps(described))
    script = f"#!/usr/bin/env node\nconsole.log('{version}');\n"
    return written(package / "bin" / "main.js", script)


def native(path: Path) -> Path:
    """A binary that answers --version: the machine's own, under another name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(Path("/usr/bin/env").resolve().read_bytes())
    path.chmod(0o755)
    return path


def refused(preset: Preset, search: Path, *words: str) -> str:
    with pytest.raises(ClientError) as told:
        detect(preset, words, search=str(search), seconds=20)
    assert "\n" not in str(told.value)
    return str(told.value)


# --- what is found ------------------------------------------------------------------------------


def test_a_native_binary_is_shown_alone(shown: Path) -> None:
    program = native(shown / "versions" / "8")
    (shown / "bin").mkdir()
    (shown / "bin" / "claude").symlink_to(program)
    (shown / "versions" / "secret").write_text("x", "utf-8")

    found = detect(CLAUDE, search=str(shown / "bin"))

    assert found.program == program
    assert found.mounts == ((program, "/opt/agent/8"),)
    assert found.argv == ("/opt/agent/8",)
    assert found.version.count(".") >= 1


@pytest.mark.slow
def test_a_package_is_shown_with_what_it_depends_on_and_nothing_else(shown: Path) -> None:
    (shown / "bin").mkdir()
    script = packaged(
        shown / "lib", "@a/client", "0.200.0",
        dependencies={"near": "1"}, optionalDependencies={"@a/native": "1", "missing": "1"},
    )  # fmt: skip
    packaged(shown / "lib", "near", "1.0.0", dependencies={"nearer": "1"})
    packaged(shown / "lib", "nearer", "1.0.0")
    packaged(shown / "lib", "@a/native", "1.0.0")
    packaged(shown / "lib", "stranger", "1.0.0")
    (shown / "bin" / "codex").symlink_to(script)

    found = detect(CODEX, search=os.pathsep.join([str(shown / "bin"), os.environ["PATH"]]))

    inside = {target for _, target in found.mounts if "node_modules" in target}
    below = "/opt/agent/node_modules"
    assert inside == {f"{below}/{n}" for n in ("@a/client", "@a/native", "near", "nearer")}
    assert found.argv[-1] == f"{below}/@a/client/bin/main.js"
    assert found.version == "0.200.0"


@pytest.mark.parametrize(
    "script",
    [
        'exec "{target}" "$@"',
        '# exec /nowhere "$@"\nset -e\nHERE=1 # x\nexec {target} --flag "$@"',
        'exec "$(dirname "$0")/../real/claude" "$@"',
        "exec env '{target}' $@",
    ],
)
def test_a_wrapper_script_is_followed(shown: Path, script: str) -> None:
    target = native(shown / "real" / "claude")
    shell(shown / "bin" / "claude", script.format(target=target))
    assert detect(CLAUDE, search=str(shown / "bin")).program == target


def test_the_digest_is_of_what_the_program_is_made_of(shown: Path) -> None:
    program = native(shown / "claude")
    before = detect(CLAUDE, [str(program)]).digest
    assert detect(CLAUDE, [str(program)]).digest == before
    with program.open("ab") as file:
        file.write(b"\0")
    assert detect(CLAUDE, [str(program)]).digest != before


def test_a_program_of_the_system_is_shown_by_every_sandbox() -> None:
    needs_bubblewrap()
    preset = replace(CLAUDE, programs=("env",), oldest="0.1")
    found = detect(preset, search="/usr/bin")
    assert (found.mounts, found.argv) == ((), (str(Path("/usr/bin/env").resolve()),))


# --- what is refused, each in one line ----------------------------------------------------------


def test_what_is_missing(shown: Path) -> None:
    assert "no program claude on the PATH; install it" in refused(CLAUDE, shown)
    assert "no program own-claude on the PATH" in refused(CLAUDE, shown, "own-claude", "-p")
    assert str(shown / "none") in refused(CLAUDE, shown, str(shown / "none"))


def _loop(folder: Path) -> None:
    (folder / "claude").symlink_to(folder / "other")
    (folder / "other").symlink_to(folder / "claude")


def _nowhere(folder: Path) -> None:
    (folder / "claude").symlink_to(folder / "removed")


def _shim(folder: Path) -> None:
    native(folder / "mise")
    (folder / "claude").symlink_to(folder / "mise")


def _in_a_ring(folder: Path) -> None:
    shell(folder / "claude", f'exec {folder}/other "$@"')
    shell(folder / "other", f'exec {folder}/claude "$@"')


def _starts_nothing(folder: Path) -> None:
    shell(folder / "claude", "echo 1.2.3")


def _of_ruby(folder: Path) -> None:
    written(folder / "claude", "#!/usr/bin/env ruby\nputs 1\n")


def _beside_keys(folder: Path) -> None:
    native(folder / ".ssh" / "claude")
    (folder / "claude").symlink_to(folder / ".ssh" / "claude")


def _in_a_checkout(folder: Path) -> None:
    (folder / "claude").symlink_to(packaged(folder, "client", "3.0.0"))
    (folder / "node_modules" / "client" / ".git").mkdir()


def _beside_custodes(folder: Path) -> None:
    python = folder / "venv" / "bin" / "python"
    native(python)
    written(folder / "venv" / "pyvenv.cfg", "home = /usr/bin\n")
    (folder / "venv" / "lib" / "python3.11" / "site-packages" / "custodes").mkdir(parents=True)
    written(folder / "claude", f"#!{python}\n")


@pytest.mark.parametrize(
    ("lay", "told"),
    [
        (_loop, "leads nowhere"),
        (_nowhere, "leads nowhere"),
        (_shim, "mise which claude"),
        (_in_a_ring, "scripts in a row"),
        (_starts_nothing, "name the program that it starts"),
        (_of_ruby, "script of ruby"),
        (_beside_keys, "where secrets lie"),
        (_in_a_checkout, ".git beside it"),
        (_beside_custodes, "apart from Custodes"),
    ],
)
def test_what_cannot_be_shown(shown: Path, lay: Callable[[Path], None], told: str) -> None:
    lay(shown)
    search = Path(f"{shown}{os.pathsep}{os.environ['PATH']}")
    assert told in refused(CLAUDE, search)


def test_a_binary_in_the_home_shows_nothing_of_the_home(no_home: Path) -> None:
    written(no_home / "package.json", "{}")
    program = native(no_home / "claude")
    assert detect(CLAUDE, [str(program)]).mounts == ((program, "/opt/agent/claude"),)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("console.log('no number')", "exit code 0 and 'no number'"),
        ("console.log('2.0.1'); process.exit(3)", "exit code 3"),
        ("console.log('1.9.12')", "2.0.0 or newer, found 1.9.12"),
        ("", "'nothing'"),
        ("setInterval(() => {}, 1000)", "within 3 s"),
    ],
    ids=["garbage", "fails", "too-old", "silent", "hangs"],
)
@pytest.mark.slow
def test_a_program_that_says_no_good_version(shown: Path, script: str, told: str) -> None:
    written(shown / "claude", f"#!/usr/bin/env node\n{script}\n")
    search = os.pathsep.join([str(shown), os.environ["PATH"]])
    with pytest.raises(ClientError, match=told):
        detect(CLAUDE, search=search, seconds=3 if "within" in told else 30)


# --- the command --------------------------------------------------------------------------------


def test_the_command_lists_what_is_missing_and_what_to_do(
    shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(shown))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-to-be-shown")
    done = CliRunner().invoke(main, ["agents"])
    assert done.exit_code == 2
    lines = done.output.splitlines()
    assert len(lines) == len(PRESETS)
    assert all("not usable: expected " in line for line in lines)
    assert "not-to-be-shown" not in done.output


def test_the_command_says_version_place_and_what_is_asked(
    no_home: Path, shown: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    native(shown / "bin" / "claude")
    (no_home / ".claude").mkdir()
    monkeypatch.setenv("PATH", f"{shown / 'bin'}{os.pathsep}/usr/bin")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-to-be-shown")
    done = CliRunner().invoke(main, ["agents", "--json"])
    document = json.loads(done.output)
    about = next(agent for agent in document["agents"] if agent["name"] == "claude-code")
    assert (done.exit_code, document["schema"]) == (0, "custodes.agents/1")
    assert (about["usable"], about["tested"]) == (True, False)
    assert (about["configuration"], about["configuration_found"]) == ("~/.claude", True)
    assert (about["key_variable"], about["key_set"]) == ("ANTHROPIC_API_KEY", True)
    assert "not-to-be-shown" not in done.output


# --- the real ones ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["claude-code", "codex", "gemini-cli"])
def test_the_pinned_clients_are_found(name: str, repository: Path) -> None:
    needs_bubblewrap()
    program = pinned(name, repository / "build" / "clients")
    found: Installed = detect(PRESETS[name], [str(program)])
    assert found.version in PRESETS[name].tested
    assert all(inside.startswith("/opt/agent/") for _, inside in found.mounts)
