"""Custodes under /usr, which sandboxes see, must not be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from custodes.containment import masked_paths


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
