"""Machines on which no sandbox can be had: one line each, with what to do; nothing left behind.

The conditions are real, made in a mount or user namespace of the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import custodes
from custodes.containment import APPARMOR_PROFILE, _sandbox, detect_tier
from custodes.types import Tier

from .ordinary import portable, run_as_nobody

_ = portable  # a fixture

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("setpriv") is None,
    reason="needs root, unshare and setpriv to make such a machine",
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# Tries to start a sandbox; prints what came of it and what lies in the temporary folders.
TRY = """
import asyncio, json, os, sys
from custodes.containment import Sandbox, SandboxUnavailable

async def main():
    try:
        async with await Sandbox.start():
            said = "started"
    except SandboxUnavailable as error:
        said = str(error)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    left = [name for folder in ("/tmp", "/var/tmp")
            for name in sorted(os.listdir(folder)) if name != "filler"]
    print(json.dumps([said, left]))

asyncio.run(main())
"""


def trying(prepare: str) -> tuple[str, list[str]]:
    """A start on a machine whose /tmp and /var/tmp were prepared; what it said, what it left."""
    for path in (sys.prefix, sys.base_prefix, custodes.__file__):
        if path.startswith(("/tmp/", "/var/tmp/")):
            pytest.skip(f"what runs the test lies below the folder that it takes away: {path}")
    environment = {k: v for k, v in os.environ.items() if k not in ("TMPDIR", "TEMP", "TMP")}
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", f'{prepare}\nexec "$@"',
         "sh", sys.executable, "-B", "-c", TRY],
        capture_output=True, text=True, timeout=120, check=False, env=environment, cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, left = json.loads(done.stdout)
    assert "\n" not in said
    return said, left


def mounts(options: str) -> str:
    lines = [f"mount -t tmpfs -o mode=1777,{options} none {at}" for at in ("/tmp", "/var/tmp")]
    return "\n".join(lines)


@needs_root
def test_temporary_folders_that_cannot_be_written() -> None:
    said, left = trying(mounts("ro"))
    assert said == (
        "expected a writable directory for temporary files, found none that works "
        "(/tmp: Read-only file system; /var/tmp: Read-only file system); set TMPDIR"
    )
    assert left == []


@needs_root
def test_a_disk_without_room_for_a_folder() -> None:
    said, left = trying(mounts("nr_inodes=2"))  # one is the root
    assert "(/tmp: No space left on device; /var/tmp: No space left on device)" in said
    assert left == []


@needs_root
@pytest.mark.parametrize("pages", [0, 1, 2, 20], ids=["marker", "first", "second", "later"])
def test_a_disk_with_room_for_some_of_the_files_of_a_start(pages: int) -> None:
    fill = "\n".join(
        f"head -c {(100 - pages) * 4096} /dev/zero > {folder}/filler"
        for folder in ("/tmp", "/var/tmp")
    )
    said, left = trying(f"{mounts('size=409600')}\n{fill}")
    assert said == (
        "expected a writable directory for temporary files, found none that works "
        "(/tmp: No space left on device; /var/tmp: No space left on device); set TMPDIR"
    )
    assert left == []


@needs_root
def test_a_full_temporary_folder_is_passed_over_for_one_with_room() -> None:
    said, left = trying(
        "mount -t tmpfs -o mode=1777,size=4096 none /tmp\n"
        "mount -t tmpfs -o mode=1777,size=4m none /var/tmp"
    )
    assert said == "started"
    assert left == []


@needs_root
def test_no_bubblewrap() -> None:
    said, left = trying(f"{mounts('size=1m')}\nmount --bind /dev/null $(command -v bwrap)")
    assert said == (
        "expected bubblewrap, found no program bwrap; install it (Debian and Ubuntu: "
        "apt-get install bubblewrap)"
    )
    assert left == []


NOBODY = """
import asyncio, ctypes, json, os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from custodes.containment._detect import detect_tier

def forbid():  # user namespaces, in one of this process's own
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
    uid, gid = 65534, 65534
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    Path("/proc/sys/user/max_user_namespaces").write_text("0")

forbid()
print(json.dumps(asyncio.run(detect_tier()).to_json()))
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root to become another"
)
def test_user_namespaces_that_the_kernel_forbids_to_an_ordinary_user(portable: Path) -> None:
    found = json.loads(run_as_nobody(portable, NOBODY))
    assert found["available"] != "A"
    (state,) = [tier for tier in found["tiers"] if tier["tier"] == "A"]
    assert not state["usable"] and "\n" not in state["reason"]
    assert state["reason"].startswith("bubblewrap did not start a sandbox: ")
    assert state["reason"].endswith(
        "/proc/sys/user/max_user_namespaces is 0, which forbids user namespaces; allow them: "
        "sudo sysctl user.max_user_namespaces=10000"
    )
    assert found["user_namespaces"] in state["reason"]


async def test_a_control_group_that_cannot_be_used_is_told_and_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUSTODES_CGROUP", str(tmp_path))
    report = await detect_tier()
    assert report.available is not Tier.A and report.cgroup is None
    assert "CUSTODES_CGROUP" in report.state(Tier.A).reason


def test_the_help_for_apparmor_is_the_profile_that_set_up_installs(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed = (repository / "scripts" / "apparmor-bwrap").read_text("utf-8")
    assert "".join(line for line in installed.splitlines(True) if line[0] != "#") == (
        APPARMOR_PROFILE
    )
    real = {Path(path).name: (value, advice) for path, value, advice in _sandbox._USERNS_SWITCHES}
    value, advice = real["apparmor_restrict_unprivileged_userns"]
    switch = tmp_path / "switch"
    switch.write_text(f"{value}\n")
    monkeypatch.setattr(_sandbox, "_USERNS_SWITCHES", ((str(switch), value, advice),))
    told = _sandbox.user_namespace_obstacle()
    assert told is not None and "\n" not in told
    assert "sudo tee /etc/apparmor.d/bwrap" in told
    assert "sudo apparmor_parser -r /etc/apparmor.d/bwrap" in told
    printing = told[told.index("python -c ") + len("python ") : told.index(" | ")]
    done = subprocess.run(
        f"{sys.executable} {printing}", shell=True, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == APPARMOR_PROFILE.strip()
    switch.write_text("0\n")
    assert _sandbox.user_namespace_obstacle() is None
