"""Custodes under /usr, which sandboxes see, must not be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from custodes.containment import masked_paths
from custodes.containment._masking import mask_arguments


@pytest.fixture
def usr(tmp_path: Path) -> Path:
    return tmp_path / "usr"


def install(folder: Path) -> Path:
    package = folder / "custodes"
    package.mkdir(parents=True)
    return package


def test_elsewhere_there_is_nothing_to_hide(tmp_path: Path, usr: Path) -> None:
    package = install(tmp_path / "home" / "site-packages")
    assert masked_paths(package, prefix=str(tmp_path / "home"), roots=[str(usr)]) == ()


@pytest.mark.parametrize("site", ["site-packages", "dist-packages"])
def test_an_installed_package_hides_the_folder_with_its_name(usr: Path, site: str) -> None:
    folder = usr / "local/lib/python3.11" / site
    package = install(folder)
    assert masked_paths(package, prefix=str(usr), roots=[str(usr)]) == (str(folder),)


def test_a_virtual_environment_is_hidden_whole(usr: Path) -> None:
    environment = usr / "share/venv"
    package = install(environment / "lib/python3.11/site-packages")
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\n")
    found = masked_paths(package, prefix=str(environment), roots=[str(usr)])
    assert found == (str(environment),)


def test_a_checkout_is_hidden_with_its_tests(usr: Path) -> None:
    project = usr / "share/work"
    package = install(project / "src")
    (project / "pyproject.toml").write_text("")
    assert masked_paths(package, prefix="/", roots=[str(usr)]) == (str(project),)


def test_a_bare_package_hides_itself(usr: Path) -> None:
    package = install(usr / "share")
    assert masked_paths(package, prefix="/", roots=[str(usr)]) == (str(package),)


def test_a_link_into_usr_is_followed(tmp_path: Path, usr: Path) -> None:
    package = install(usr / "share")
    (tmp_path / "link").symlink_to(package)
    assert masked_paths(tmp_path / "link", prefix="/", roots=[str(usr)]) == (str(package),)


def test_what_the_owner_installed_for_python_is_hidden_in_any_case(usr: Path) -> None:
    folder = usr / "local/lib/python3.12/dist-packages"
    folder.mkdir(parents=True)
    assert masked_paths(usr.parent / "p", prefix="/", roots=[str(usr)]) == (str(folder),)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("custodes-1.0.dist-info/METADATA", "Name: x"),
        ("_editable_impl_custodes.pth", "/somewhere/src"),
        ("easy-install.pth", "/srv/Custodes/src"),
        ("x.egg-link", "{source}"),
        ("plugin-1.0.dist-info/entry_points.txt", "[custodes.scenarios]\nx = plugin:X\n"),
        ("custodes.egg-link", ""),
        ("__editable___custodes_1_0_finder.py", ""),
    ],
)
def test_a_folder_of_packages_that_tells_of_it_is_hidden(
    tmp_path: Path, usr: Path, file: str, content: str
) -> None:
    package = install(tmp_path / "work/src")
    library = usr / "lib/python3/dist-packages"
    (library / file).parent.mkdir(parents=True)
    (library / file).write_text(content.replace("{source}", str(package.parent)))
    (library / "six.py").write_text("")
    assert masked_paths(package, prefix="/", roots=[str(usr)]) == (str(library),)


def test_a_folder_of_packages_that_tells_nothing_is_left(tmp_path: Path, usr: Path) -> None:
    library = usr / "lib/python3/dist-packages"
    (library / "six-1.0.dist-info").mkdir(parents=True)
    (library / "six-1.0.dist-info/entry_points.txt").write_text("[console_scripts]\nsix = six:x\n")
    (library / "distutils.pth").write_text("/usr/lib/x\n")
    assert masked_paths(install(tmp_path / "src"), prefix="/", roots=[str(usr)]) == ()


def test_where_very_many_others_lie_the_thing_is_emptied_in_its_place(usr: Path) -> None:
    package = install(usr / "share")
    (usr / "share/custodes.1").touch()
    for number in range(200):
        (usr / f"share/{number}").touch()
    arguments = mask_arguments([str(package), str(usr / "share/custodes.1")])
    assert arguments.count("--tmpfs") == 1 and arguments.count("/dev/null") == 1
    assert str(package) in arguments and str(usr / "share") not in arguments


# Runs with /usr/local and /usr/src of its own: installs Custodes there in one form, and looks
# from inside. Prints what carries or names it, and whether the neighbours are still there.
LOOK = """
import os, subprocess, sys
from pathlib import Path
from custodes.containment import masked_paths
from custodes.containment._masking import mask_arguments

local, source = Path("/usr/local"), Path("/usr/src")
for folder in ("bin", "lib/python3.11/site-packages", "share/doc", "lib/other"):
    (local / folder).mkdir(parents=True)
(local / "bin/neighbour").write_text("#!/bin/sh\\necho here\\n")
(local / "bin/neighbour").chmod(0o755)
(local / "bin/linked").symlink_to("neighbour")
site = local / "lib/python3.11/site-packages"

def package(folder):
    for name in ("custodes/scenarios/oracle.py", "custodes/__pycache__/x.pyc", "custodes/_x.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("the oracle of custodes")
    return folder / "custodes"

def metadata(folder):
    (folder / "custodes-0.1.dist-info").mkdir()
    (folder / "custodes-0.1.dist-info/direct_url.json").write_text("custodes")

def script(path):
    path.write_text("#!/usr/bin/python3\\nfrom custodes.cli import main\\n")
    path.chmod(0o755)

def checkout(folder):
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text('name = "custodes"')
    (folder / "tests").mkdir()
    (folder / "tests/test_custodes.py").write_text("custodes")
    return package(folder / "src")

form, prefix = sys.argv[1], "/"
if form == "installed":
    found = package(site); metadata(site); script(local / "bin/custodes")
elif form == "editable":
    found = checkout(local / "share/custodes-work")
    metadata(site); script(local / "bin/custodes")
    (site / "_custodes.pth").write_text(str(found.parent))
elif form == "source":
    found = checkout(source / "custodes"); (site / "_x.pth").write_text(str(found.parent))
elif form == "environment":
    prefix = local / "venvs/custodes"
    found = package(prefix / "lib/python3.11/site-packages")
    (prefix / "pyvenv.cfg").write_text("home = /usr/bin")
    (prefix / "bin").mkdir(); script(prefix / "bin/custodes")
    (local / "bin/custodes").symlink_to(prefix / "bin/custodes")
elif form == "linked":
    real = package(local / "lib/other"); found = local / "share/elsewhere"; found.symlink_to(real)
elif form == "documents":
    found = Path("/nowhere/custodes")
    for name in ("share/custodes/README", "share/doc/custodes/x", "share/man/man1/custodes.1"):
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_text("custodes")

hide = mask_arguments([*masked_paths(found, prefix=str(prefix)), "/usr/src"])
look = (
    "find /usr/local /usr/src /usr/bin /usr/lib/python3 -iname '*custodes*';"
    "grep -rils custodes /usr/local /usr/src /usr/lib/python3 /proc/self/mountinfo;"
    "/usr/local/bin/neighbour; /usr/local/bin/linked; ls -d /usr/local/lib/other;"
    "touch /usr/local/bin/x 2>/dev/null && echo writable"
)
base = ["bwrap", "--unshare-user", "--unshare-pid", "--dev", "/dev", "--ro-bind", "/usr", "/usr"]
for name in ("bin", "lib", "lib64"):
    base += ["--symlink", f"usr/{name}", f"/{name}"]
naked = subprocess.run([*base, "--proc", "/proc", "sh", "-c", look], capture_output=True, text=True)
done = subprocess.run(
    [*base, *hide, "--proc", "/proc", "sh", "-c", look], capture_output=True, text=True
)
print("naked", "custodes" in naked.stdout.lower())
print(done.stdout, done.stderr, sep="")
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("bwrap") is None,
    reason="needs root, unshare and bubblewrap to have a /usr/local of its own",
)
@pytest.mark.skipif(not Path("/usr/src").is_dir(), reason="there is no /usr/src to hide")
@pytest.mark.parametrize(
    "form", ["installed", "editable", "source", "environment", "linked", "documents"]
)
def test_from_inside_nothing_says_that_it_is_installed(form: str) -> None:
    own = 'mount -t tmpfs none /usr/local && mount -t tmpfs none /usr/src && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", own, "sh",
         sys.executable, "-B", "-c", LOOK, form],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["naked True", "here", "here", "/usr/local/lib/other", "", ""]
