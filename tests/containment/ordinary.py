"""A copy of containment that an ordinary user can run, and how root runs it as one."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import custodes


@pytest.fixture(scope="module")
def portable() -> Iterator[Path]:
    """A copy of what containment needs, readable by anybody, for the system's Python."""
    python = Path("/usr/bin/python3")
    if not python.exists():
        pytest.skip("no /usr/bin/python3 that another user could run")
    version = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info >= (3, 11))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    if version != "True":
        pytest.skip("/usr/bin/python3 is older than 3.11")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = Path(custodes.__file__).parent
        (root / "custodes").mkdir()
        shutil.copy(source / "__init__.py", root / "custodes")
        shutil.copytree(source / "types", root / "custodes" / "types")
        shutil.copytree(source / "containment", root / "custodes" / "containment")
        # The sandbox alone: what else the package exports needs more than the system's Python has.
        (root / "custodes" / "containment" / "__init__.py").write_text("")
        for name in ("anyio", "idna", "sniffio", "typing_extensions"):
            found = importlib.util.find_spec(name)
            if found is None or found.origin is None:
                continue
            origin = Path(found.origin)
            if origin.name == "__init__.py":
                shutil.copytree(origin.parent, root / name)
            else:
                shutil.copy(origin, root)
        for path in (root, *root.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        yield root


def run_as_nobody(portable: Path, program: str, *arguments: str, wrap: str = "") -> str:
    script = portable / "program.py"
    script.write_text(textwrap.dedent(program))
    script.chmod(0o644)
    done = subprocess.run(
        ["/bin/sh", "-c", f'{wrap} exec "$@"', "sh",
         "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
         "/usr/bin/python3", "-B", str(script), str(portable), *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
