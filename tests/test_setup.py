"""Set-up meets machines that are not like this one: each gets one clear line, or what it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
TOOLS = ("sh", "env", "sed", "cat", "id", "dirname", "grep", "tail", "true")


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder of commands, to be the whole PATH: the tools of a bare system, no Python."""
    folder = tmp_path / "commands"
    folder.mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path, f"expected {tool} on this machine"
        (folder / tool).symlink_to(path)
    return folder


def command(folder: Path, name: str, script: str) -> None:
    """Puts a shell script in a folder; never through a link to something real."""
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)


def run(
    script: str, *arguments: str, path: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / script, *arguments],
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


# A real interpreter behind a wrapper that changes what the scripts see of it.
OLD = (
    f'exec {sys.executable} -c "import sys; sys.version_info = (3, 10, 1); exec(sys.stdin.read())"'
)
BARE = (
    f"exec {sys.executable} -c "
    "\"import sys; sys.modules['ensurepip'] = None; exec(sys.stdin.read())\""
)
SHIM = "echo 'python3: command not found in the selected version' >&2; exit 127"
GOOD = f'exec {sys.executable} "$@"'


@pytest.mark.parametrize(
    ("interpreters", "says"),
    [
        ({}, "found none; install it (Debian, Ubuntu: apt-get install python3 python3-venv)"),
        ({"python3": OLD}, "found python3, which is Python 3.10; install it"),
        ({"python3": SHIM, "python3.12": SHIM}, "found none; install it"),
        ({"python3": BARE}, "without venv; install what is missing (Debian, Ubuntu: apt-get"),
    ],
    ids=["none", "too old", "unselected shims", "no ensurepip"],
)
def test_without_a_usable_python_one_line_says_what_to_install(
    commands: Path, interpreters: dict[str, str], says: str
) -> None:
    for name, script in interpreters.items():
        command(commands, name, script)
    done = run("find_python.sh", path=commands)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_missing_package_is_named_with_its_version(commands: Path) -> None:
    command(commands, "python3", BARE)
    wanted = f"apt-get install python{sys.version_info.major}.{sys.version_info.minor}-venv)"
    assert wanted in run("find_python.sh", path=commands).stderr


@pytest.mark.parametrize("first", [OLD, SHIM, BARE], ids=["old", "shim", "bare"])
def test_an_unusable_python3_does_not_hide_a_usable_one(commands: Path, first: str) -> None:
    command(commands, "python3", first)
    command(commands, "python3.12", GOOD)
    done = run("find_python.sh", path=commands)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()).samefile(sys.executable)


def test_an_interpreter_that_was_asked_for_is_not_replaced_by_another(commands: Path) -> None:
    command(commands, "python3", GOOD)
    command(commands, "mine", SHIM)
    done = run("find_python.sh", path=commands, PYTHON="mine")
    assert done.returncode == 2
    assert "found mine, which does not run" in done.stderr
    done = run("find_python.sh", path=commands, PYTHON="/nowhere/python3")
    assert done.returncode == 2
    assert "found none at /nowhere/python3" in done.stderr


def test_a_missing_sandbox_is_told_in_words_and_stops_nothing(commands: Path) -> None:
    command(commands, "apt-get", "echo touched >&2; exit 1")
    done = run("system_package.sh", "bubblewrap", path=commands, CUSTODES_NO_APT="1")
    assert done.returncode == 0
    assert "touched" not in done.stdout + done.stderr
    assert "bubblewrap (the sandbox that agents run in) is missing; install it with:" in done.stdout
    assert "--allow-uncontained" in done.stdout


def test_a_sandbox_that_is_there_is_left_alone(commands: Path) -> None:
    command(commands, "bwrap", "exit 0")
    command(commands, "apt-get", "echo touched >&2; exit 1")
    done = run("system_package.sh", "bubblewrap", path=commands)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/etc/debian_version").exists(),
    reason="needs root on a Debian system, where set-up may install packages",
)
@pytest.mark.parametrize("works", [True, False])
def test_where_it_may_set_up_installs_the_sandbox(commands: Path, works: bool) -> None:
    made = f"printf '#!/bin/sh\\n' >{commands}/bwrap; /bin/chmod +x {commands}/bwrap"
    refusal = "echo 'E: no such package'; exit 100"
    command(
        commands,
        "apt-get",
        f'case " $* " in *" install "*) {made if works else refusal};; *) exit 100;; esac',
    )
    done = run("system_package.sh", "bubblewrap", path=commands)
    assert done.returncode == 0
    assert "custodes: installing bubblewrap" in done.stdout
    assert ("is missing; install it with: apt-get install bubblewrap" in done.stdout) is not works
    assert ("apt-get could not: E: no such package" in done.stdout) is not works


def test_a_sandbox_that_the_kernel_refuses_is_told(commands: Path) -> None:
    command(commands, "bwrap", "exit 1")
    done = run("check_sandbox.sh", path=commands)
    assert done.returncode == 0
    assert "user namespaces" in done.stdout
    command(commands, "bwrap", "exit 0")
    assert run("check_sandbox.sh", path=commands).stdout == ""


def environment_at(folder: Path) -> Path:
    """What a virtual environment looks like to the scripts, without the seconds it costs."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    site = next((folder / "lib").glob("python3*")) / "site-packages"
    (site / "pip.py").write_text("", "utf-8")
    (folder / "bin" / "pip").write_text(f"#!{folder}/bin/python\n", "utf-8")
    (folder / "kept").touch()
    return folder


def test_an_environment_that_works_is_kept(tmp_path: Path, commands: Path) -> None:
    folder = environment_at(tmp_path / "v")
    done = run("venv.sh", str(folder), path=commands)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "kept").exists()


def test_an_environment_that_was_moved_is_not_kept(tmp_path: Path, commands: Path) -> None:
    moved = environment_at(tmp_path / "v").rename(tmp_path / "w")
    # No interpreter to make it again with: that it asks for one is the proof.
    done = run("venv.sh", str(moved), path=commands)
    assert done.returncode == 2
    assert "expected Python 3.11 or later" in done.stderr


REQUIREMENTS = SCRIPTS.parent / "requirements" / "toolbox.txt"
# Stands for pip: lays out a package where it is told to, unless it is told to fail.
PIP = f"""
case " $* " in
*" pip "*) ;;
*) exec {sys.executable} "$@" ;;
esac
echo "$@" >>"$PIP_LOG"
[ -z "${{PIP_FAILS:-}}" ] || {{ echo "no matching distribution" >&2; exit 1; }}
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/bin" "$2/six"
echo 'x = 1' >"$2/six/__init__.py"
echo '#!/bin/sh' >"$2/bin/pytest"
"""


@pytest.fixture
def toolbox(tmp_path: Path, commands: Path) -> Path:
    """An environment with a stand-in for pip, and where its toolbox will be."""
    for tool in ("mkdir", "mktemp", "mv", "rm", "ln", "chmod"):
        path = shutil.which(tool)
        assert path
        (commands / tool).symlink_to(path)
    (tmp_path / "v/bin").mkdir(parents=True)
    command(tmp_path / "v/bin", "python", PIP)
    return tmp_path / "v/share/custodes/toolbox"


def install_toolbox(
    commands: Path, tmp_path: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return run(
        "toolbox.sh", str(tmp_path / "v"), str(REQUIREMENTS), path=commands,
        **{"CUSTODES_SYSTEM_PYTHON": sys.executable, "PIP_LOG": str(tmp_path / "log"),
           "HOME": str(tmp_path), **environment},
    )  # fmt: skip


def test_the_toolbox_is_installed_once_with_hashes_and_without_building(
    commands: Path, tmp_path: Path, toolbox: Path
) -> None:
    done = install_toolbox(commands, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    log = (tmp_path / "log").read_text("utf-8")
    assert f"--python {sys.executable} install" in log
    assert "--require-hashes --only-binary :all:" in log and log.count("\n") == 1
    assert sorted(path.name for path in toolbox.iterdir()) == ["bin", "lib", "toolbox.json"]
    assert sorted(path.name for path in (toolbox / "bin").iterdir()) == [
        "pytest",
        "python",
        "python3",
    ]
    (compiled,) = (toolbox / "lib/six/__pycache__").iterdir()
    assert b"/opt/tools/lib/six/__init__.py" in compiled.read_bytes()
    assert str(tmp_path).encode() not in compiled.read_bytes()
    assert [path.name for path in toolbox.parent.iterdir()] == ["toolbox"]
    again = install_toolbox(commands, tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert (tmp_path / "log").read_text("utf-8") == log


def test_a_toolbox_of_other_requirements_or_another_python_is_made_again(
    commands: Path, tmp_path: Path, toolbox: Path
) -> None:
    install_toolbox(commands, tmp_path)
    about = (toolbox / "toolbox.json").read_text("utf-8")
    for changed in (about.replace('"version": "3.', '"version": "2.'), about[:-9], ""):
        (toolbox / "toolbox.json").write_text(changed, "utf-8")
        assert "installing" in install_toolbox(commands, tmp_path).stdout
        assert (toolbox / "toolbox.json").read_text("utf-8") == about


def test_a_toolbox_that_cannot_be_installed_is_told_and_the_old_one_kept(
    commands: Path, tmp_path: Path, toolbox: Path
) -> None:
    toolbox.mkdir(parents=True)
    (toolbox / "old").touch()
    done = install_toolbox(commands, tmp_path, PIP_FAILS="1")
    assert done.returncode == 0
    assert "could not be installed; pip says why above" in done.stdout
    assert "scenarios whose tasks need more than git and Python are refused" in done.stdout
    assert [path.name for path in toolbox.parent.iterdir()] == ["toolbox"]
    assert (toolbox / "old").exists()


def test_without_a_system_python_there_is_no_toolbox_and_one_line_says_so(
    commands: Path, tmp_path: Path, toolbox: Path
) -> None:
    done = install_toolbox(commands, tmp_path, CUSTODES_SYSTEM_PYTHON="/nowhere/python3")
    assert done.returncode == 0 and not toolbox.exists()
    assert done.stdout.startswith("custodes: expected Python 3.10 or later at /usr/bin/python3")
    assert not (tmp_path / "log").exists()
